//! The inside of a task's process, up to the call of `bb.build`.

use crate::gate::Gate;
use hz_data::{DataStore, SetInfo, Value};
use hz_diagnostics::Str;
use hz_events::level;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

/// What a task may ask of another through `BB_TASKDEPDATA` (bb.TaskData).
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct TaskDepData {
    pub pn: Str,
    pub taskname: Str,
    /// Recipe file with its variant, without the multiconfig.
    pub fn_: Str,
    /// Task ids it depends on.
    pub deps: Vec<Str>,
    pub provides: Vec<Str>,
    pub taskhash: Str,
    pub unihash: Str,
    pub hashfn: Str,
    /// Task ids whose hashes entered its own; None: not computed.
    pub taskhash_deps: Option<Vec<Str>>,
}

/// A task to run, as the run queue hands it over.
pub struct TaskSpec {
    /// `[mc:NAME:][virtual:VARIANT:]PATH`.
    pub mcfn: Str,
    /// `do_compile`, or `do_compile_setscene`.
    pub task: Str,
    pub taskhash: Str,
    pub unihash: Str,
    /// The recipe as it was parsed. The task changes it, so it must be nobody else's.
    pub store: DataStore,
    /// Task id -> what is known of it, for the task and everything it depends on: much, and asked for by few.
    pub taskdepdata: Arc<dyn Fn() -> BTreeMap<Str, TaskDepData> + Send + Sync>,
    /// BUILDNAME, DATE, TIME, PRSERV_HOST, BB_HASHSERVE and what else the build sets in every task.
    pub variables: Vec<(Str, Value)>,
    /// Built with `-b`: dependencies are not run.
    pub limited_deps: bool,
    pub dry_run: bool,
    /// A failure is a warning (setscene tasks: the real one runs instead).
    pub quieterrors: bool,
    /// The task's `umask` flag, else BB_DEFAULT_UMASK: octal digits, or a sum of stat.S_ names.
    pub umask: Option<Str>,
    /// The task has the `fakeroot` flag.
    pub fakeroot: bool,
    /// FAKEROOTNOENV of the recipe: `NAME=value` words for tasks without `fakeroot`.
    pub fakerootnoenv: Str,
    /// Show every shell command, and task output as it comes (`-v`).
    pub verbose_shell: bool,
    pub verbose_stdout: bool,
    /// What it leaves, if that was known before; else its process finds out.
    pub leavings: Option<Leavings>,
}

/// What a task leaves when it has succeeded: its stamp (empty: none), what older ones match, and its
/// signature file.
#[derive(Clone, Debug)]
pub struct Leavings {
    pub stamp: String,
    pub masks: Vec<String>,
    /// Those older ones, if they are known; else its process looks for them.
    pub old: Option<Vec<PathBuf>>,
    pub signature: Option<crate::signatures::PendingFile>,
}

/// What `bb.build.worker_run` is told.
#[derive(Serialize)]
struct Payload<'a> {
    mcfn: &'a str,
    task: &'a str,
    taskhash: &'a str,
    unihash: &'a str,
    environment: Vec<(&'a str, &'a str)>,
    taskdepdata: BTreeMap<Str, TaskDepData>,
    quieterrors: bool,
    uid: u32,
    gid: u32,
    verbose_shell: bool,
    verbose_stdout: bool,
}

/// The Python side of a task, as the VM's folder or a test provides it.
pub trait TaskPython {
    /// `module.function(d, spec)`, which gives a number.
    fn call(&self, store: &DataStore, module: &str, function: &str, spec: &serde_json::Value) -> Result<i32, hz_data::RuntimeError>;
    /// Does a class handler want events of this class (`bb.build.TaskStarted`)?
    fn wants(&self, class: &str) -> bool;
    /// Cuts this process off the network; false if the system does not let it.
    fn disable_network(&self, uid: u32, gid: u32) -> std::io::Result<bool>;
}

impl TaskSpec {
    /// What the recipe wants in the environment beside what it exports.
    pub(crate) fn environment(&self) -> Vec<(&str, &str)> {
        self.fakerootnoenv.split_whitespace().filter_map(|word| word.split_once('=')).collect()
    }
}

/// BB_TASKDEPDATA as Python has it.
#[cfg(feature = "python")]
pub(crate) fn dep_data_object(data: &BTreeMap<Str, TaskDepData>, vm: &rustpython_vm::VirtualMachine) -> rustpython_vm::PyResult {
    use rustpython_vm::builtins::PySet;
    use rustpython_vm::{PyObjectRef, PyPayload};
    let make = vm.import("bb", 0)?.get_attr("TaskData", vm)?.get_attr("_make", vm)?;
    let text = |text: &Str| -> PyObjectRef { vm.ctx.new_str(&**text).into() };
    let set = |items: &[Str]| -> rustpython_vm::PyResult {
        let set = PySet::default().into_ref(&vm.ctx);
        items.iter().try_for_each(|item| set.add(text(item), vm))?;
        Ok(set.into())
    };
    let all = vm.ctx.new_dict();
    for (tid, entry) in data {
        // In the order of the fields of `bb.TaskData`.
        let fields = vec![
            text(&entry.pn),
            text(&entry.taskname),
            text(&entry.fn_),
            set(&entry.deps)?,
            vm.ctx.new_list(entry.provides.iter().map(text).collect()).into(),
            text(&entry.taskhash),
            text(&entry.unihash),
            text(&entry.hashfn),
            entry.taskhash_deps.as_ref().map_or_else(|| Ok(vm.ctx.none()), |deps| set(deps))?,
        ];
        all.set_item(&**tid, make.call((vm.ctx.new_list(fields),), vm)?, vm)?;
    }
    Ok(all.into())
}

/// A umask as recipes write it: octal digits with or without `0o`.
pub fn parse_umask(text: &str) -> Option<u32> {
    let digits = text.trim();
    let digits = digits.strip_prefix("0o").unwrap_or(digits);
    u32::from_str_radix(digits, 8).ok().filter(|mask| *mask <= 0o7777)
}

/// Standard input and output lead nowhere; errors stay where the parent's go.
fn detach() {
    // SAFETY: plain system calls on descriptors of this process.
    unsafe {
        let null = libc::open(c"/dev/null".as_ptr(), libc::O_RDWR | libc::O_CLOEXEC);
        if null >= 0 {
            libc::dup2(null, 0);
            libc::dup2(null, 1);
        }
    }
}

fn fail(spec: &TaskSpec, message: String) -> i32 {
    if !spec.quieterrors {
        hz_events::log(level::CRITICAL, "", message);
    }
    1
}

/// Runs the task in this process, which was forked for it ([`crate::spawn::Spawner`]); gives the
/// exit code. Nothing is to be noticed of it before `gate` is passed.
pub fn run_in_child(spec: &TaskSpec, python: &dyn TaskPython, gate: &Gate) -> i32 {
    detach();
    // SAFETY: plain system calls. The ids are asked before a new name space changes their meaning.
    let (uid, gid) = unsafe { (libc::getuid(), libc::getgid()) };
    if let Some(text) = &spec.umask {
        match parse_umask(text) {
            // SAFETY: sets a number of this process.
            Some(mask) => drop(unsafe { libc::umask(mask as libc::mode_t) }),
            None => return fail(spec, format!("{}: '{text}' is not a umask (octal digits)", spec.mcfn)),
        }
    }
    if spec.dry_run {
        return 0;
    }
    if spec.fakeroot {
        let message = format!(
            "{}:{} needs fakeroot, and tasks under fakeroot cannot be run yet. Build something that needs no packaging or image",
            spec.mcfn, spec.task
        );
        return fail(spec, message);
    }
    if let Err(e) = set_variables(spec) {
        return fail(spec, format!("{}:{}: {e}", spec.mcfn, spec.task));
    }
    #[cfg(feature = "python")]
    if crate::run::is_plain(spec) {
        return crate::run::Run::new(spec, python, (uid, gid)).run(gate);
    }
    // Only what is plain is done in that order.
    gate.give_up();
    let payload = Payload {
        mcfn: &spec.mcfn,
        task: &spec.task,
        taskhash: &spec.taskhash,
        unihash: &spec.unihash,
        environment: spec.environment(),
        taskdepdata: (spec.taskdepdata)(),
        quieterrors: spec.quieterrors,
        uid,
        gid,
        verbose_shell: spec.verbose_shell,
        verbose_stdout: spec.verbose_stdout,
    };
    let payload = match serde_json::to_value(&payload) {
        Ok(payload) => payload,
        Err(e) => return fail(spec, e.to_string()),
    };
    match python.call(&spec.store, "bb.build", "worker_run", &payload) {
        Ok(code) => code,
        Err(hz_data::RuntimeError::Handled) => 1,
        Err(e) => fail(spec, format!("{}:{}: {e}", spec.mcfn, spec.task)),
    }
}

/// What a task finds in its store beside its recipe.
fn set_variables(spec: &TaskSpec) -> hz_data::Result<()> {
    let info = SetInfo::default();
    let store = &spec.store;
    store.set_var("BB_WORKERCONTEXT", "1", &info)?;
    store.set_var("BB_CURRENTTASK", spec.task.replace("do_", ""), &info)?;
    if spec.limited_deps {
        store.set_var("BB_LIMITEDDEPS", "1", &info)?;
    }
    for (name, value) in &spec.variables {
        store.set_var(name, value.clone(), &info)?;
    }
    store.set_var("BB_TASKHASH", &*spec.taskhash, &info)?;
    store.set_var("BB_UNIHASH", &*spec.unihash, &info)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn umasks() {
        assert_eq!(parse_umask("022"), Some(0o22));
        assert_eq!(parse_umask("0o002"), Some(2));
        assert_eq!(parse_umask(" 22 "), Some(0o22));
        assert_eq!(parse_umask("u=rwx"), None);
        assert_eq!(parse_umask("99"), None);
    }
}
