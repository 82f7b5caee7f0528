//! The way of a task through its process: what it finds there, its log, its functions, its end. All of it is native
//! but the metadata's own Python: functions, class handlers, and what signature generators say of stamps. A
//! process forked from one that runs Python pays for every object it touches, so the VM is entered only where
//! something of that is to run; `bb.build` does there what Python code could see.

use crate::child::{Leavings, TaskPython, TaskSpec};
use crate::gate::Gate;
use crate::pymodule;
use crate::shell;
use crate::tasklog::TaskLog;
use crate::prologue;
use hz_data::{DataError, DataStore, RAW, RuntimeError, SetInfo, Value};
use hz_diagnostics::Str;
use hz_events::{Event, TaskInfo, emit, level, log};
use hz_python::convert::Deferred;
use hz_python::utils::{files, system};
use serde_json::json;
use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::ffi::OsStr;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Domain of the messages about tasks.
const BUILD: &str = "Build";
/// The Python side.
const MODULE: &str = "bb.build";
const TASK_STARTED: &str = "bb.build.TaskStarted";

/// Why a task ends early.
enum Failure {
    /// Python code raised something, which `bb.build` keeps.
    Python,
    /// The message of the exception there would be.
    Said(String),
    /// The user has been told.
    Handled,
}

impl From<DataError> for Failure {
    fn from(error: DataError) -> Self {
        match error {
            DataError::Runtime(RuntimeError::Handled) | DataError::Expansion { cause: RuntimeError::Handled, .. } => Failure::Handled,
            error => Failure::Said(error.message()),
        }
    }
}

impl From<RuntimeError> for Failure {
    fn from(error: RuntimeError) -> Self {
        match error {
            RuntimeError::Handled => Failure::Handled,
            error => Failure::Said(error.to_string()),
        }
    }
}

type Result<T> = std::result::Result<T, Failure>;

/// An error of the system in the words of Python's OSError.
fn os_error(error: &io::Error, path: &Path) -> Failure {
    Failure::Said(match error.raw_os_error() {
        Some(code) => format!("[Errno {code}] {}: '{}'", nix::errno::Errno::from_raw(code).desc(), path.display()),
        None => format!("{error}: '{}'", path.display()),
    })
}

pub(crate) struct Run<'a> {
    spec: &'a TaskSpec,
    python: &'a dyn TaskPython,
    /// User and group before any name space changed their meaning.
    ids: (u32, u32),
    /// Has Python code been given what it finds in a task?
    entered: Cell<bool>,
    /// Is Python still to be told that the log has ended?
    log_ended: Cell<bool>,
    /// Debug messages (domain, text) that are told when the task has started.
    untold: RefCell<Vec<(&'static str, String)>>,
    logfile: String,
    quieterr: bool,
}

/// Is a task one that only `bb.build.worker_run` can run: shown while it runs, or without being one?
pub(crate) fn is_plain(spec: &TaskSpec) -> bool {
    !spec.verbose_stdout && flag(&spec.store, &spec.task, "task").is_ok_and(|found| found.is_some_and(|value| value.is_true()))
}

fn flag(store: &DataStore, name: &str, flag: &str) -> hz_data::Result<Option<Value>> {
    store.get_flag(name, flag, RAW)
}

/// Words of a flag, expanded.
fn flag_words(store: &DataStore, name: &str, flag: &str) -> hz_data::Result<Vec<String>> {
    Ok(store.flag_text(name, flag)?.map(|text| text.split_whitespace().map(str::to_owned).collect()).unwrap_or_default())
}

/// A name from its format as `str.format` makes it; None for what only Python understands.
fn formatted(template: &str, fields: &[(&str, &str)]) -> Option<String> {
    let mut out = String::new();
    let mut rest = template;
    while let Some(at) = rest.find(['{', '}']) {
        out.push_str(&rest[..at]);
        let (name, after) = rest[at..].strip_prefix('{')?.split_once('}')?;
        out.push_str(fields.iter().find(|(field, _)| *field == name)?.1);
        rest = after;
    }
    out.push_str(rest);
    Some(out)
}

/// Does something with a Python function of a recipe: name, body, file, and the line before it. Others are passed over.
fn on_function(store: &DataStore, name: &str, act: impl FnOnce(&str, &str, &str, u32)) -> hz_data::Result<()> {
    if !flag(store, name, "python")?.is_some_and(|value| value.is_true()) {
        return Ok(());
    }
    let Some(body) = store.get_raw(name).filter(Value::is_true) else { return Ok(()) };
    let file = flag(store, name, "filename")?.filter(Value::is_true).map_or_else(|| format!("<{name}>").into(), |file| file.to_text());
    let line = flag(store, name, "lineno")?.and_then(|line| line.to_text().trim().parse::<u32>().ok()).unwrap_or(1);
    act(name, &body.to_text(), &file, line.saturating_sub(1));
    Ok(())
}

/// Compiles the Python functions of a task in the process it will be forked from: others have the same ones.
pub fn prepare_functions(store: &DataStore, task: &str) {
    let prepare = |name: &str| on_function(store, name, hz_python::prepare_function);
    let around = ["prefuncs", "postfuncs"].into_iter().flat_map(|flag| flag_words(store, task, flag).unwrap_or_default());
    // What is wrong with any of them is told where it is run.
    around.chain([task.to_owned()]).for_each(|name| drop(prepare(&name)));
}

impl<'a> Run<'a> {
    pub fn new(spec: &'a TaskSpec, python: &'a dyn TaskPython, ids: (u32, u32)) -> Run<'a> {
        Run { spec, python, ids, entered: Cell::new(false), log_ended: Cell::new(false), untold: RefCell::default(), logfile: String::new(), quieterr: false }
    }

    fn store(&self) -> &DataStore {
        &self.spec.store
    }

    fn set(&self, name: &str, value: impl Into<Value>) -> Result<()> {
        Ok(self.store().set_var(name, value, &SetInfo::default())?)
    }

    /// Gives Python code what it finds in a task, once.
    fn enter(&self) -> Result<()> {
        if !self.entered.replace(true) {
            let spec = self.spec;
            let facts = json!({ "mcfn": &*spec.mcfn, "verbose_shell": spec.verbose_shell, "verbose_stdout": spec.verbose_stdout });
            self.python.call(self.store(), MODULE, "task_enter", &facts)?;
        }
        Ok(())
    }

    /// Calls a function of `bb.build` with facts of the task.
    fn call(&self, function: &str, mut facts: serde_json::Value) -> Result<i32> {
        self.enter()?;
        if self.log_ended.take() {
            // Records of Python's loggers must not look for the log any more.
            self.python.call(self.store(), MODULE, "task_log_closed", &json!({}))?;
        }
        facts["mcfn"] = json!(&*self.spec.mcfn);
        facts["task"] = json!(&*self.spec.task);
        facts["logfile"] = json!(self.logfile);
        Ok(self.python.call(self.store(), MODULE, function, &facts)?)
    }

    /// Runs the task; gives the exit code. Up to the gate nothing can be noticed of it, or it gives up there.
    pub fn run(mut self, gate: &Gate) -> i32 {
        let prepared = self.prepare();
        let settled = prepared.is_ok().then(|| self.settle());
        if gate.waits() {
            let ready = matches!(&settled, Some(Ok(Some(_)))) && self.warm().is_ok();
            if !ready {
                gate.give_up();
            }
        }
        gate.pass();
        self.tell();
        if let Err(failure) = prepared {
            let text = match failure {
                Failure::Said(text) => format!("{}:{}: {text}", self.spec.mcfn, self.spec.task),
                Failure::Python | Failure::Handled => return 1,
            };
            if !self.spec.quieterrors {
                log(level::CRITICAL, "", text);
            }
            return 1;
        }
        let done = settled.unwrap_or(Ok(None)).and_then(|tempdir| self.begin(tempdir)).and_then(|()| {
            let ran = self.functions();
            let empty = pymodule::end_log().unwrap_or(false);
            self.log_ended.set(self.entered.get());
            if empty {
                log(level::DEBUG2, BUILD, format!("Zero size logfn {}, removing", self.logfile));
            }
            ran
        });
        let ended = match done {
            Ok(()) => self.succeed(),
            Err(failure) => self.fail(failure),
        };
        ended.unwrap_or_else(|failure| {
            if let Failure::Said(text) = failure
                && !self.quieterr
            {
                log(level::ERROR, BUILD, text);
            }
            1
        })
    }

    /// What a task finds in its process.
    fn prepare(&mut self) -> Result<()> {
        let (spec, store) = (self.spec, self.store());
        let data = spec.taskdepdata.clone();
        self.set("BB_TASKDEPDATA", Value::Object(std::sync::Arc::new(Deferred::new(move |vm| crate::child::dep_data_object(&data(), vm)))))?;
        let pn = store.get("PN")?;
        system::set_process_name(&format!("{}:{}", pn.as_deref().unwrap_or("None"), spec.task.replace("do_", "")));
        if !store.flag_is_true(&spec.task, "network")? {
            self.leave_network()?;
        }
        self.set_environment()?;
        if spec.quieterrors {
            store.set_flag(&spec.task, "quieterrors", "1", &SetInfo::default())?;
        }
        self.quieterr = flag(store, &spec.task, "quieterrors")?.is_some_and(|value| !matches!(value, Value::None));
        Ok(())
    }

    fn leave_network(&self) -> Result<()> {
        let (uid, gid) = self.ids;
        let passwd = std::fs::read("/etc/passwd").map_err(|e| os_error(&e, Path::new("/etc/passwd")))?;
        let own = uid.to_string();
        let local = passwd.split(|b| *b == b'\n').any(|line| line.split(|b| *b == b':').nth(2) == Some(own.as_bytes()));
        if !local {
            self.later(BUILD, format!("Skipping disable network for {} since {uid} is not a local uid.", self.spec.task));
            return Ok(());
        }
        self.later(BUILD, format!("Attempting to disable network for {}", self.spec.task));
        if !self.python.disable_network(uid, gid).map_err(|e| os_error(&e, Path::new("/proc/self/uid_map")))? {
            self.later("Util", "System doesn't support disabling network without admin privs".into());
        }
        Ok(())
    }

    /// Leaves this process only what the recipe exports, and what the task is to have besides.
    fn set_environment(&self) -> Result<()> {
        let (spec, store) = (self.spec, self.store());
        let mut wanted = hz_data::emit::exported_vars(store)?;
        let info = SetInfo::default();
        for (name, value) in spec.environment() {
            wanted.push((name.into(), value.into()));
            store.set_var(name, value, &info)?;
            store.set_flag(name, "export", "1", &info)?;
        }
        for name in flag_words(store, &spec.task, "exports")? {
            store.set_flag(&name, "export", "1", &info)?;
            if let Some(value) = store.get(&name)? {
                wanted.push((name.as_str().into(), value));
            }
        }
        let names: HashSet<&OsStr> = wanted.iter().map(|(name, _)| OsStr::new(&**name)).collect();
        // SAFETY: the process of a task has one thread.
        unsafe {
            for (name, _) in std::env::vars_os().filter(|(name, _)| !names.contains(name.as_os_str())) {
                std::env::remove_var(name);
            }
            for (name, value) in &wanted {
                // What no environment can hold is not handed on.
                if !name.is_empty() && !name.contains(['=', '\0']) && !value.contains('\0') {
                    std::env::set_var(&**name, &**value);
                }
            }
        }
        Ok(())
    }

    /// Tells a debug message when the task has started.
    fn later(&self, domain: &'static str, text: String) {
        self.untold.borrow_mut().push((domain, text));
    }

    fn tell(&self) {
        for (domain, text) in self.untold.take() {
            log(level::DEBUG, domain, text);
        }
    }

    /// The task's own override; gives its directory.
    fn settle(&self) -> Result<Option<Str>> {
        let (spec, store) = (self.spec, &self.spec.store);
        self.later(BUILD, format!("Executing task {}", spec.task));
        self.set("BB_FILENAME", &*spec.mcfn)?;
        let overrides = store.get_raw("OVERRIDES").map(|value| value.to_text());
        let own = spec.task.get(3..).unwrap_or_default().replace('_', "-");
        self.set("OVERRIDES", format!("task-{own}:{}", overrides.as_deref().unwrap_or("None")))?;
        store.expand_keys()?;
        Ok(store.get("T")?.filter(|text| !text.is_empty()))
    }

    /// In a process made ahead: does once what the task will do again, and which then finds its values expanded and
    /// the VM's pages its own.
    fn warm(&self) -> Result<()> {
        let (task, store) = (&*self.spec.task, self.store());
        for name in ["BB_TASK_NICE_LEVEL", "BB_TASK_IONICE_LEVEL", "BB_LOGFMT", "BB_RUNFMT", "PF", "BB_CURRENT_MC"] {
            store.get(name)?;
        }
        for name in ["prefuncs", "postfuncs", "cleandirs", "dirs"] {
            flag_words(store, task, name)?;
        }
        let python = flag(store, task, "python")?.is_some_and(|value| value.is_true());
        if python {
            hz_data::emit::emit_func_python(task, &mut Vec::new(), store)?;
        } else {
            hz_data::emit::emit_func(task, &mut Vec::new(), store)?;
        }
        if self.python.wants(TASK_STARTED) {
            self.call("task_warm", json!({}))?;
        }
        if python {
            self.enter()?;
            on_function(store, task, hz_python::define_function)?;
        }
        Ok(())
    }

    /// Priorities and log.
    fn begin(&mut self, tempdir: Option<Str>) -> Result<()> {
        let (spec, store) = (self.spec, &self.spec.store);
        let Some(tempdir) = tempdir else {
            log(level::CRITICAL, "", "T variable not set, unable to build");
            return Err(Failure::Handled);
        };
        self.set_priorities()?;
        let format = store.get("BB_LOGFMT")?.filter(|text| !text.is_empty()).unwrap_or_else(|| "log.{task}.{pid}".into());
        let pid = std::process::id().to_string();
        let name = self.name(&format, &[("task", &spec.task), ("pid", &pid)])?;
        let tempdir = Path::new(&*tempdir);
        files::mkdirhier(tempdir).map_err(|e| os_error(&e, tempdir))?;
        let opened = TaskLog::open(tempdir, &spec.task, &name).map_err(|e| os_error(&e, &tempdir.join(&name)))?;
        self.logfile = pymodule::begin_log(opened);
        Ok(())
    }

    fn name(&self, template: &str, fields: &[(&str, &str)]) -> Result<String> {
        match formatted(template, fields) {
            Some(name) => Ok(name),
            None => Ok(hz_python::enter(|vm| pymodule::format_text(template, fields, vm)).map_err(Failure::Said)?),
        }
    }

    fn set_priorities(&self) -> Result<()> {
        let some = |name: &str| Ok::<_, Failure>(self.store().get(name)?.filter(|text| !text.is_empty()));
        if let Some(text) = some("BB_TASK_NICE_LEVEL")? {
            let wrong = || Failure::Said(format!("invalid literal for int() with base 10: '{text}'"));
            let wanted: i32 = text.trim().parse().map_err(|_| wrong())?;
            // SAFETY: plain system calls on this process.
            let level = unsafe { libc::nice(wanted - libc::nice(0)) };
            log(level::DEBUG, BUILD, format!("Renice to {level} "));
        }
        if let Some(text) = some("BB_TASK_IONICE_LEVEL")? {
            let parts = text.split_once('.').and_then(|(class, value)| Some((class.trim().parse().ok()?, value.trim().parse().ok()?)));
            if !parts.is_some_and(|(class, value)| system::ioprio_set(std::process::id() as i32, class, value).is_ok()) {
                log(level::WARNING, "", format!("Invalid ionice level {text}"));
            }
        }
        Ok(())
    }

    /// Fires one of the events of a task: through Python if a class handler wants it.
    fn event(&self, class: &str, native: fn(TaskInfo) -> Event) -> Result<()> {
        if self.python.wants(&format!("{MODULE}.Task{class}")) {
            return match self.call("task_event", json!({ "class": format!("Task{class}") }))? {
                0 => Ok(()),
                _ => Err(Failure::Python),
            };
        }
        emit(native(self.info(class)?));
        Ok(())
    }

    fn info(&self, class: &str) -> Result<TaskInfo> {
        let (spec, store) = (self.spec, self.store());
        let package = store.get("PF")?;
        let mc = store.get("BB_CURRENT_MC")?.unwrap_or_default();
        let shown = package.as_deref().unwrap_or("None");
        Ok(TaskInfo {
            pid: std::process::id() as i32,
            package: package.as_deref().unwrap_or_default().to_owned(),
            task: spec.task.to_string(),
            mcfn: if mc.is_empty() || *mc == *"default" { spec.mcfn.to_string() } else { format!("mc:{mc}:{}", spec.mcfn) },
            logfile: Some(self.logfile.clone()),
            time: std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0.0, |d| d.as_secs_f64()),
            message: format!("recipe {shown}: task {}: {class}", spec.task),
        })
    }

    fn functions(&self) -> Result<()> {
        let (task, store) = (&*self.spec.task, self.store());
        let before = flag_words(store, task, "prefuncs")?;
        let after = flag_words(store, task, "postfuncs")?;
        self.set("BB_LOGFILE", self.logfile.as_str())?;
        self.set("BB_RUNTASK", task)?;
        self.event("Started", Event::TaskStarted)?;
        for function in before.iter().map(String::as_str).chain([task]).chain(after.iter().map(String::as_str)) {
            self.function(function)?;
        }
        Ok(())
    }

    /// Runs a metadata function, shell or Python, as its flags say (`bb.build.exec_func`).
    fn function(&self, name: &str) -> Result<()> {
        let store = self.store();
        let cleandirs = flag_words(store, name, "cleandirs")?;
        let special = ["lockfiles", "progress", "fakeroot"].iter().any(|f| flag(store, name, f).is_ok_and(|v| v.is_some_and(|v| v.is_true())));
        if special || cleandirs.iter().any(|path| path.contains(['*', '?', '['])) {
            return self.python_says("task_function", json!({ "function": name }));
        }
        let before = std::env::current_dir().ok();
        for path in &cleandirs {
            let path = Path::new(path);
            remove(path).map_err(|e| os_error(&e, path))?;
            files::mkdirhier(path).map_err(|e| os_error(&e, path))?;
            if before.as_deref() == Some(path) {
                // What we stood in is gone: stand in the new one.
                std::env::set_current_dir(path).map_err(|e| os_error(&e, path))?;
            }
        }
        let dirs = flag_words(store, name, "dirs")?;
        for path in &dirs {
            files::mkdirhier(Path::new(path)).map_err(|e| os_error(&e, Path::new(path)))?;
        }
        match store.get_raw(name) {
            None | Some(Value::None) => {
                log(level::WARNING, BUILD, format!("Function {name} doesn't exist"));
                return Ok(());
            }
            Some(body) if !body.is_true() => return Ok(()),
            Some(_) => {}
        }
        let (runfile, cwd) = (self.runfile(name)?, dirs.last().map(String::as_str));
        if flag(store, name, "python")?.is_some_and(|value| value.is_true()) {
            let mut listing = Vec::new();
            hz_data::emit::emit_func_python(name, &mut listing, store)?;
            std::fs::write(&runfile, listing).map_err(|e| os_error(&e, Path::new(&runfile)))?;
            log(level::DEBUG2, "", format!("Executing python function {name}"));
            let done = self.python_says("task_function", json!({ "function": name, "runfile": runfile, "cwd": cwd }));
            log(level::DEBUG2, "", format!("Python function {name} finished"));
            done?;
        } else {
            self.shell(name, &runfile, cwd)?;
        }
        let Some(before) = before else { return Ok(()) };
        if std::env::current_dir().ok().as_ref() != Some(&before) {
            let now = std::env::current_dir().map_or("None".into(), |dir| dir.display().to_string());
            log(level::WARNING, "", format!("Task {name} changed cwd to {now}"));
            let _ = std::env::set_current_dir(before);
        }
        Ok(())
    }

    fn python_says(&self, function: &str, facts: serde_json::Value) -> Result<()> {
        match self.call(function, facts)? {
            0 => Ok(()),
            _ => Err(Failure::Python),
        }
    }

    /// Where a function's run file goes. That of the task itself has a link, before it exists: a failing
    /// function has its link.
    fn runfile(&self, name: &str) -> Result<String> {
        let (task, store) = (&*self.spec.task, self.store());
        let tempdir = store.get_or_empty("T")?;
        let format = store.get("BB_RUNFMT")?.filter(|text| !text.is_empty()).unwrap_or_else(|| "run.{func}.{pid}".into());
        let pid = std::process::id().to_string();
        let taskfunc = if task == name { name.to_owned() } else { format!("{task}.{name}") };
        let file = self.name(&format, &[("taskfunc", &taskfunc), ("task", task), ("func", name), ("pid", &pid)])?;
        let path = Path::new(&*tempdir).join(&file);
        if let Some(folder) = path.parent() {
            files::mkdirhier(folder).map_err(|e| os_error(&e, folder))?;
        }
        if task == name {
            let link = Path::new(&*tempdir).join(format!("run.{task}"));
            let _ = std::fs::remove_file(&link);
            let _ = std::os::unix::fs::symlink(&file, link);
        }
        Ok(path.to_string_lossy().into_owned())
    }

    fn shell(&self, name: &str, runfile: &str, cwd: Option<&str>) -> Result<()> {
        let store = self.store();
        // A script has its own idea of where it is.
        store.del_flag("PWD", "export", &SetInfo::default())?;
        let trace = self.spec.verbose_shell || verbose_logs(store)?;
        let mut script = prologue::PROLOGUE.as_bytes().to_vec();
        hz_data::emit::emit_func(name, &mut script, store)?;
        script.extend_from_slice(prologue::call(name, cwd, trace).as_bytes());
        let path = Path::new(runfile);
        std::fs::write(path, script)
            .and_then(|()| std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o775)))
            .map_err(|e| os_error(&e, path))?;
        let fifo = Path::new(&*store.get_or_empty("T")?).join(format!("fifo.{}", std::process::id()));
        log(level::DEBUG2, "", format!("Executing shell function {name}"));
        match shell::run(&[OsStr::new(runfile)], &fifo, &mut Messages) {
            Ok(0) => {}
            Ok(code) => return Err(Failure::Said(format!("Execution of '{runfile}' failed with exit code {code}"))),
            Err(Stopped::Said(text)) => return Err(Failure::Said(text)),
            Err(Stopped::System(e)) if e.kind() == io::ErrorKind::NotFound => {
                return Err(Failure::Said(format!("Execution of '{runfile}' failed: command not found")));
            }
            Err(Stopped::System(e)) => {
                let Failure::Said(text) = os_error(&e, path) else { return Err(Failure::Handled) };
                return Err(Failure::Said(format!("Execution of '{runfile}' failed: {text}")));
            }
        }
        log(level::DEBUG2, "", format!("Shell function {name} finished"));
        Ok(())
    }

    fn succeed(&self) -> Result<i32> {
        let (task, store) = (&*self.spec.task, self.store());
        let handlers = self.python.wants(&format!("{MODULE}.TaskSucceeded"));
        if !handlers {
            emit(Event::TaskSucceeded(self.info("Succeeded")?));
        }
        let is_set = |name: &str| Ok::<_, Failure>(flag(store, task, name)?.is_some_and(|value| value.is_true()));
        let stamp = !is_set("nostamp")? && !is_set("selfstamp")?;
        let known = self.spec.leavings.as_ref().filter(|_| stamp);
        let Some(Leavings { stamp: path, masks, old, signature }) = known else {
            return if handlers || stamp { self.call("task_succeeded", json!({ "event": handlers, "stamp": stamp })) } else { Ok(0) };
        };
        if handlers {
            let code = self.call("task_succeeded", json!({ "event": true, "stamp": false }))?;
            if code != 0 {
                return Ok(code);
            }
        }
        // Metadata's Python may have given the task another hash.
        if crate::signatures::changed() {
            return self.call("task_succeeded", json!({ "event": false, "stamp": true }));
        }
        if !path.is_empty() {
            let stamp = Path::new(path);
            let made = old.as_ref().map_or_else(|| crate::stamps::make(stamp, masks), |old| crate::stamps::make_over(stamp, old));
            made.map_err(|e| os_error(&e, stamp))?;
        }
        if let Some(signature) = signature {
            signature.write().map_err(|e| os_error(&e, Path::new(&signature.path)))?;
        }
        Ok(0)
    }

    fn fail(&self, failure: Failure) -> Result<i32> {
        let message = match &failure {
            Failure::Said(text) => Some(text.as_str()),
            Failure::Python | Failure::Handled => None,
        };
        let handled = matches!(failure, Failure::Handled);
        self.call("task_failed", json!({ "message": message, "handled": handled, "quieterr": self.quieterr }))
    }
}

/// BB_VERBOSE_LOGS, unexpanded, as a truth value.
fn verbose_logs(store: &DataStore) -> Result<bool> {
    match store.get_raw("BB_VERBOSE_LOGS") {
        None | Some(Value::None) => Ok(false),
        Some(Value::Str(text)) if text.is_empty() => Ok(false),
        Some(Value::Str(text)) => {
            hz_python::utils::to_boolean(&text).ok_or_else(|| Failure::Said(format!("Invalid value for to_boolean: {text}")))
        }
        Some(value) => Ok(value.is_true()),
    }
}

/// Removes a file, a link or a whole folder; what is not there is no error.
fn remove(path: &Path) -> io::Result<()> {
    let removed = match std::fs::symlink_metadata(path) {
        Ok(meta) if meta.is_dir() => std::fs::remove_dir_all(path),
        Ok(_) => std::fs::remove_file(path),
        Err(e) => Err(e),
    };
    match removed {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

/// Takes a shell function's messages to the log and the user.
struct Messages;

enum Stopped {
    System(io::Error),
    Said(String),
}
impl From<io::Error> for Stopped {
    fn from(e: io::Error) -> Self {
        Stopped::System(e)
    }
}

impl shell::Receiver for Messages {
    type Error = Stopped;
    fn message(&mut self, command: &str, text: &str) -> std::result::Result<(), Stopped> {
        match command {
            "bbplain" => log(level::PLAIN, "", text),
            "bbnote" => log(level::NOTE, "", text),
            "bbverbnote" => log(level::VERBNOTE, "", text),
            "bbwarn" => log(level::WARNING, "", text),
            // After bbfatal the script exits by itself.
            "bberror" | "bbfatal" => log(level::ERROR, "", text),
            "bbfatal_log" => {
                // Such an error wants the log shown: to the user it is none yet.
                log(level::ERROR, "", text);
                pymodule::no_errors();
            }
            "bbdebug" => {
                let (number, rest) = text.split_once(' ').unwrap_or((text, ""));
                let wrong = || Stopped::Said(format!("invalid literal for int() with base 10: '{number}'"));
                let number: u32 = number.trim().parse().map_err(|_| wrong())?;
                log(level::DEBUG.saturating_sub(number.saturating_sub(1)), "", rest);
            }
            _ => log(level::WARNING, "", format!("Unrecognised command '{command}' on FIFO")),
        }
        Ok(())
    }
    fn output(&mut self, bytes: &[u8]) -> std::result::Result<(), Stopped> {
        pymodule::write_all(1, bytes).map_err(Stopped::System)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_from_formats() {
        let fields = [("task", "do_x"), ("pid", "7")];
        assert_eq!(formatted("log.{task}.{pid}", &fields).as_deref(), Some("log.do_x.7"));
        assert_eq!(formatted("plain", &fields).as_deref(), Some("plain"));
        for only_python in ["{task!r}", "{pid:>5}", "{{}}", "{other}", "open {task", "}"] {
            assert_eq!(formatted(only_python, &fields), None, "{only_python}");
        }
    }

    #[test]
    fn what_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let (kept, link, file, folder) = (dir.path().join("kept"), dir.path().join("link"), dir.path().join("file"), dir.path().join("folder"));
        std::fs::create_dir_all(folder.join("deep/er")).unwrap();
        std::fs::create_dir(&kept).unwrap();
        std::fs::write(&file, "").unwrap();
        std::os::unix::fs::symlink(&kept, &link).unwrap();
        for path in [&link, &file, &folder, &dir.path().join("missing")] {
            remove(path).unwrap();
            assert!(std::fs::symlink_metadata(path).is_err());
        }
        assert!(kept.is_dir(), "a link goes, not what it leads to");
    }
}
