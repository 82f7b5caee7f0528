//! Starting the VM, once per process, and entering it.
//!
//! The standard library and our own `pylib/` are frozen into the binary. While working on
//! `pylib/`, `HITZELEITER_PYLIB=DIR` takes the modules from a directory instead.

use rustpython_vm::builtins::{PyModuleDef, PyStr};
use rustpython_vm::common::rc::PyRc;
use rustpython_vm::frozen::FrozenLib;
use rustpython_vm::vm::thread::{current_vm_is_set, with_current_vm};
use rustpython_vm::function::{FuncArgs, KwArgs};
use rustpython_vm::{Interpreter, PyObject, PyObjectRef, PyResult, Settings, VirtualMachine};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock};

/// `bb` and everything else under `pylib/`, compiled.
static PYLIB: &FrozenLib = rustpython_derive::py_freeze!(dir = "../../pylib");

/// How to start the VM.
#[derive(Default)]
pub struct Options {
    /// `sys.argv`.
    pub argv: Vec<String>,
    /// Directory to take `pylib/` from instead of the frozen modules.
    pub pylib: Option<PathBuf>,
    /// Directory for compiled modules of the layers' libraries (nothing is ever written into a
    /// layer). None: they are compiled at each start.
    pub pycache: Option<PathBuf>,
}

/// The VM of this process.
pub struct Python {
    interpreter: Interpreter,
}

// SAFETY: the interpreter is only ever entered by the thread that started it (`enter` checks);
// threads that Python code starts bring a VM of their own and never reach this one.
unsafe impl Send for Python {}
unsafe impl Sync for Python {}

static PYTHON: OnceLock<(Python, std::thread::ThreadId)> = OnceLock::new();
static NATIVE: Mutex<Vec<&'static PyModuleDef>> = Mutex::new(Vec::new());

/// Hands native modules to the VM (`#[pymodule]`s, as `fetch/` brings). Before `start` only.
pub fn add_native_modules(defs: &[&'static PyModuleDef]) {
    assert!(PYTHON.get().is_none(), "native modules are added before the VM starts");
    NATIVE.lock().unwrap_or_else(|e| e.into_inner()).extend_from_slice(defs);
}

/// Does the VM run?
pub fn started() -> bool {
    PYTHON.get().is_some()
}

static PYCACHE: OnceLock<PathBuf> = OnceLock::new();

/// Where what was compiled is kept, if it is.
pub(crate) fn pycache() -> Option<&'static PathBuf> {
    PYCACHE.get()
}

/// Runs every module that is imported and was put off until it is used, for processes that use much of it. Those forked
/// from here on share them. (Parsers are not such: a few of the smaller modules are all that recipes use.)
pub fn run_deferred() {
    enter(|vm| {
        let run = |vm: &VirtualMachine| crate::runtime::module(vm, "_hz_stdlib._lazy")?.get_attr("run_all", vm)?.call((), vm);
        if let Err(error) = run(vm) {
            vm.print_exception(&error);
        }
    });
}

/// Starts the VM; later calls give the one that runs.
pub fn start(options: Options) -> &'static Python {
    if let Some(dir) = &options.pycache
        && PYCACHE.set(dir.clone()).is_ok()
    {
        crate::codes::open(&dir.join("definitions"));
    }
    let (python, _) = PYTHON.get_or_init(|| (Python { interpreter: build(options) }, std::thread::current().id()));
    python
}

fn build(options: Options) -> Interpreter {
    crate::native::function::note_start();
    let mut settings = Settings::default();
    settings.argv = options.argv;
    settings.ignore_environment = true;
    settings.user_site_directory = false;
    settings.import_site = false;
    settings.write_bytecode = options.pycache.is_some();
    settings.safe_path = true;
    settings.install_signal_handlers = false;
    settings.allow_external_library = true;
    settings.utf8_mode = 1;
    let pylib = options.pylib.or_else(|| std::env::var_os("HITZELEITER_PYLIB").map(PathBuf::from));
    let builder = Interpreter::builder(settings);
    let stdlib = rustpython_stdlib::stdlib_module_defs(&builder.ctx);
    let mut own = NATIVE.lock().unwrap_or_else(|e| e.into_inner()).clone();
    own.push(crate::store::module_def(&builder.ctx));
    own.push(crate::modules::module_def(&builder.ctx));
    own.push(crate::imports::module_def(&builder.ctx));
    own.push(crate::utils::module_def(&builder.ctx));
    own.push(crate::events_module::module_def(&builder.ctx));
    let mut builder = builder
        .add_native_modules(&stdlib)
        .add_native_modules(&own)
        .add_frozen_modules(rustpython_pylib::FROZEN_STDLIB);
    if pylib.is_none() {
        builder = builder.add_frozen_modules(PYLIB);
    }
    let interpreter = builder
        .init_hook(move |vm| {
            if let Some(state) = PyRc::get_mut(&mut vm.state) {
                let paths = &mut state.config.paths;
                // Metadata runs `sys.executable` for real: it has to be the host's Python.
                if let Some(host) = host_python() {
                    paths.executable = host.to_string_lossy().into_owned();
                }
                paths.stdlib_dir = None;
                paths.module_search_paths = pylib.iter().map(|dir| dir.to_string_lossy().into_owned()).collect();
            }
        })
        .build();
    interpreter.enter(|vm| {
        if let Some(dir) = &options.pycache {
            let _ = vm.sys_module.set_attr("pycache_prefix", vm.ctx.new_str(dir.to_string_lossy().into_owned()), vm);
        }
        // What the standard library lacks here is there before anybody can look.
        if let Err(error) = vm.import("_hz_stdlib", 0) {
            vm.print_exception(&error);
        }
        // Output of Python and of the commands it runs goes to the same logs, in order.
        for stream in ["stdout", "stderr"] {
            let arguments = KwArgs::new([("line_buffering".to_string().into(), vm.ctx.new_bool(true).into())].into_iter().collect());
            let stream = vm.sys_module.get_attr(stream, vm);
            let _ = stream.and_then(|stream| stream.get_attr("reconfigure", vm)).and_then(|f| f.call(FuncArgs::new(vec![], arguments), vm));
        }
    });
    interpreter
}

/// `python3` of the PATH.
fn host_python() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).filter(|dir| dir.is_absolute()).map(|dir| dir.join("python3")).find(|file| file.is_file())
}

impl Python {
    /// Runs `f` with the VM entered; nests freely.
    pub fn enter<R>(&self, f: impl FnOnce(&VirtualMachine) -> R) -> R {
        if JUST_FORKED.load(Ordering::Relaxed) {
            JUST_FORKED.store(false, Ordering::Relaxed);
            self.enter(after_fork as fn(&VirtualMachine));
        }
        if current_vm_is_set() {
            return with_current_vm(|vm| vm.attach_for_callback(|| f(vm)));
        }
        match PYTHON.get() {
            Some((_, thread)) if *thread != std::thread::current().id() => self.interpreter.new_thread().run(f),
            _ => self.interpreter.enter(f),
        }
    }
}

/// Is this a process that [`fork_lightly`] made, in which Python's own hooks have yet to run?
static JUST_FORKED: AtomicBool = AtomicBool::new(false);

/// What a hook of `os.register_at_fork` is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ForkHook {
    /// Locks that another thread may have held: there was no other.
    Locks,
    /// Which thread the only one left is: it is the one that was there before, with another number.
    Threads,
    Other,
}

impl ForkHook {
    /// By the function of the standard library that it is.
    fn of(hook: &PyObject, vm: &VirtualMachine) -> ForkHook {
        let text = |name: &str| hook.get_attr(&vm.ctx.new_str(name), vm).ok().and_then(|value| value.downcast::<PyStr>().ok());
        let (module, name) = (text("__module__"), text("__name__"));
        match (module.as_ref().and_then(|m| m.to_str()), name.as_ref().and_then(|n| n.to_str())) {
            (Some("logging"), Some("_prepareFork" | "_afterFork" | "_after_at_fork_child_reinit_locks")) => ForkHook::Locks,
            (Some("threading"), Some("_after_fork")) => ForkHook::Threads,
            _ => ForkHook::Other,
        }
    }
}

/// The hooks there are, judged. Hooks are only ever added, so that their numbers tell whether this still holds.
struct ForkHooks {
    numbers: [usize; 3],
    /// Does nobody have to run any in the parent?
    none_before: bool,
    /// Has the main thread to be told its number?
    threads: bool,
    /// Those to call in the child.
    others: Vec<PyObjectRef>,
}

impl ForkHooks {
    /// Looks at the hooks, judged if they have to be.
    fn with<R>(vm: &VirtualMachine, look: impl FnOnce(&ForkHooks) -> R) -> R {
        static KNOWN: Mutex<Option<ForkHooks>> = Mutex::new(None);
        let mut known = KNOWN.lock().unwrap_or_else(|e| e.into_inner());
        let lists = [&vm.state.before_forkers, &vm.state.after_forkers_parent, &vm.state.after_forkers_child];
        let numbers = lists.map(|list| list.lock().len());
        if known.as_ref().is_none_or(|known| known.numbers != numbers) {
            let [before, after, child] = lists.map(|list| list.lock().clone());
            let mut found = ForkHooks { numbers, none_before: true, threads: false, others: Vec::new() };
            found.none_before = before.iter().chain(&after).all(|hook| ForkHook::of(hook, vm) == ForkHook::Locks);
            for hook in child {
                match ForkHook::of(&hook, vm) {
                    ForkHook::Locks => {}
                    ForkHook::Threads => found.threads = true,
                    ForkHook::Other => found.others.push(hook),
                }
            }
            *known = Some(found);
        }
        // Just set, if it was not.
        look(known.get_or_insert_with(|| ForkHooks { numbers, none_before: false, threads: true, others: Vec::new() }))
    }
}

/// [`fork`] for a process that may never run Python: hooks wait until it does, and those that only mend what
/// other threads left are not run at all. Where there are other threads, or hooks that the parent has to run,
/// it is `fork`.
pub fn fork_lightly() -> std::io::Result<ForkResult> {
    let light = PYTHON.get().is_some() && enter(|vm| vm.state.thread_count.load() == 0 && ForkHooks::with(vm, |hooks| hooks.none_before));
    if !light {
        return fork();
    }
    hz_meter::count(hz_meter::Count::Fork);
    flush();
    // SAFETY: one thread, so the child may run on as the parent would have.
    match unsafe { libc::fork() } {
        -1 => Err(std::io::Error::last_os_error()),
        0 => {
            JUST_FORKED.store(true, Ordering::Relaxed);
            Ok(ForkResult::Child)
        }
        pid => Ok(ForkResult::Parent(pid)),
    }
}

/// Has no Python run yet in this process, which [`fork_lightly`] made?
pub fn just_forked() -> bool {
    JUST_FORKED.load(Ordering::Relaxed)
}

/// What was put off when [`fork_lightly`] made this process.
fn after_fork(vm: &VirtualMachine) {
    let (threads, others) = ForkHooks::with(vm, |hooks| (hooks.threads, hooks.others.clone()));
    let told = |run: PyResult<()>, what: PyObjectRef| {
        if let Err(error) = run {
            vm.run_unraisable(error, Some("Exception ignored in".to_owned()), what);
        }
    };
    if threads {
        let tell = || {
            let threads = crate::runtime::module(vm, "threading")?;
            let main = threads.get_attr("_main_thread", vm)?;
            vm.call_method(&main, "_set_native_id", ()).map(drop)
        };
        told(tell(), vm.ctx.none());
    }
    for hook in others {
        told(hook.call((), vm).map(drop), hook);
    }
}

/// Runs `f`, which may wait for a lock that another Python thread holds while that runs Python.
/// Without other threads there is nothing to wait for.
pub(crate) fn waiting<R>(vm: &VirtualMachine, f: impl FnOnce() -> R) -> R {
    if vm.state.thread_count.load() == 0 { f() } else { vm.allow_threads(f) }
}

/// `start` with the default options, then `enter`.
pub fn enter<R>(f: impl FnOnce(&VirtualMachine) -> R) -> R {
    match PYTHON.get() {
        Some((python, _)) => python.enter(f),
        None => start(Options::default()).enter(f),
    }
}

/// Writes out what Python code has printed so far.
pub fn flush() {
    if PYTHON.get().is_none() {
        return;
    }
    enter(|vm| {
        for stream in ["stdout", "stderr"] {
            let _ = vm.sys_module.get_attr(stream, vm).and_then(|stream| vm.call_method(&stream, "flush", ()));
        }
    });
}

/// Which side of a fork this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForkResult {
    /// The child's process id.
    Parent(i32),
    Child,
}

/// fork(2). With the VM running, its own hooks run before and after, so that both sides can go on
/// using Python. The process must have no other thread.
pub fn fork() -> std::io::Result<ForkResult> {
    hz_meter::count(hz_meter::Count::Fork);
    let pid = if PYTHON.get().is_some() {
        flush();
        enter(|vm| {
            let forked = vm.import("os", 0).and_then(|os| vm.call_method(&os, "fork", ()));
            forked
                .and_then(|pid| pid.try_into_value::<i32>(vm))
                .map_err(|error| std::io::Error::other(crate::errors::message(vm, &error)))
        })?
    } else {
        // SAFETY: one thread, so the child may run on as the parent would have.
        match unsafe { libc::fork() } {
            -1 => return Err(std::io::Error::last_os_error()),
            pid => pid,
        }
    };
    Ok(if pid == 0 { ForkResult::Child } else { ForkResult::Parent(pid) })
}
