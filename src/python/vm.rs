//! Starting the VM, once per process, and entering it.
//!
//! The standard library and our own `pylib/` are frozen into the binary. While working on
//! `pylib/`, `HITZELEITER_PYLIB=DIR` takes the modules from a directory instead.

use rustpython_vm::builtins::PyModuleDef;
use rustpython_vm::common::rc::PyRc;
use rustpython_vm::frozen::FrozenLib;
use rustpython_vm::vm::thread::{current_vm_is_set, with_current_vm};
use rustpython_vm::{Interpreter, Settings, VirtualMachine};
use std::path::PathBuf;
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

/// Starts the VM; later calls give the one that runs.
pub fn start(options: Options) -> &'static Python {
    let (python, _) = PYTHON.get_or_init(|| (Python { interpreter: build(options) }, std::thread::current().id()));
    python
}

fn build(options: Options) -> Interpreter {
    let mut settings = Settings::default();
    settings.argv = options.argv;
    settings.ignore_environment = true;
    settings.user_site_directory = false;
    settings.import_site = false;
    settings.write_bytecode = false;
    settings.safe_path = true;
    settings.install_signal_handlers = false;
    settings.allow_external_library = true;
    settings.utf8_mode = 1;
    let pylib = options.pylib.or_else(|| std::env::var_os("HITZELEITER_PYLIB").map(PathBuf::from));
    let builder = Interpreter::builder(settings);
    let stdlib = rustpython_stdlib::stdlib_module_defs(&builder.ctx);
    let mut own = NATIVE.lock().unwrap_or_else(|e| e.into_inner()).clone();
    own.push(crate::utils::module_def(&builder.ctx));
    own.push(crate::events_module::module_def(&builder.ctx));
    let mut builder = builder
        .add_native_modules(&stdlib)
        .add_native_modules(&own)
        .add_frozen_modules(rustpython_pylib::FROZEN_STDLIB);
    if pylib.is_none() {
        builder = builder.add_frozen_modules(PYLIB);
    }
    builder
        .init_hook(move |vm| {
            if let Some(state) = PyRc::get_mut(&mut vm.state) {
                let paths = &mut state.config.paths;
                paths.stdlib_dir = Some(rustpython_pylib::LIB_PATH.to_owned());
                if let Some(dir) = pylib {
                    paths.module_search_paths.insert(0, dir.to_string_lossy().into_owned());
                }
            }
        })
        .build()
}

impl Python {
    /// Runs `f` with the VM entered; nests freely.
    pub fn enter<R>(&self, f: impl FnOnce(&VirtualMachine) -> R) -> R {
        if current_vm_is_set() { with_current_vm(f) } else { self.interpreter.enter(f) }
    }
}

/// `start` with the default options, then `enter`.
pub fn enter<R>(f: impl FnOnce(&VirtualMachine) -> R) -> R {
    start(Options::default()).enter(f)
}
