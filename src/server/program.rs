//! Python programs in our VM, outside a build: a script with `bb` importable as the metadata has it,
//! and the commands that are written in Python (`pylib/`).

use crate::modules;
use rustpython_vm::AsObject;
use rustpython_vm::builtins::PyBaseExceptionRef;
use rustpython_vm::compiler::Mode;
use rustpython_vm::{PyResult, VirtualMachine};

/// Starts the VM with every native module; `argv` becomes `sys.argv`.
pub fn start_python(argv: Vec<String>, pycache: Option<std::path::PathBuf>) -> &'static hz_python::Python {
    // A program in the VM may open a session.
    if !hz_python::started() {
        hz_python::add_native_modules(&modules::definitions());
    }
    hz_python::start(hz_python::Options { argv, pylib: None, pycache })
}

/// The exit status that an exception out of a program's top level means; anything but
/// SystemExit is printed with its traceback.
pub fn exit_status(vm: &VirtualMachine, error: PyBaseExceptionRef) -> i32 {
    if !error.fast_isinstance(vm.ctx.exceptions.system_exit) {
        vm.print_exception(&error);
        return 1;
    }
    let Ok(code) = error.as_object().get_attr("code", vm) else { return 0 };
    if vm.is_none(&code) {
        return 0;
    }
    match code.clone().try_into_value::<i32>(vm) {
        Ok(code) => code,
        Err(_) => {
            eprintln!("{}", code.str(vm).map(|s| s.to_string()).unwrap_or_default());
            1
        }
    }
}

/// A command that is a function of a Python module: `argv` is its command line, the function's
/// result its exit status (None: 0). Like the reference's programs it keeps compiled metadata in the
/// build directory it is called in, if it is in one.
pub fn run_command(argv: Vec<String>, module: &str, function: &str) -> i32 {
    let topdir = hz_parse::find_topdir(&crate::session::environment());
    let topdir = std::path::Path::new(&topdir);
    let cache = topdir.join("conf/bblayers.conf").is_file().then(|| crate::session::pycache(topdir));
    let mut status = 0;
    let ended = run_program(start_python(argv, cache), |vm| {
        let result = crate::bridge::call(vm, module, function, Vec::new())?;
        if !vm.is_none(&result) {
            status = result.try_into_value(vm)?;
        }
        Ok(())
    });
    if ended != 0 { ended } else { status }
}

/// Runs `body` in the VM as a program: gives its exit status, its output written.
pub fn run_program(python: &hz_python::Python, body: impl FnOnce(&VirtualMachine) -> PyResult<()>) -> i32 {
    let status = python.enter(|vm| {
        let status = match body(vm) {
            Ok(()) => 0,
            Err(error) => exit_status(vm, error),
        };
        leave(vm);
        status
    });
    hz_python::flush();
    status
}

/// What Python does when a program ends: it waits for its threads, then calls what was registered.
fn leave(vm: &VirtualMachine) {
    for (module, function) in [("threading", "_shutdown"), ("atexit", "_run_exitfuncs")] {
        let called = vm.sys_module.get_attr("modules", vm).and_then(|modules| modules.get_item(module, vm));
        // Not imported: nothing to do.
        let Ok(module) = called else { continue };
        if let Err(error) = vm.call_method(&module, function, ()) {
            vm.print_exception(&error);
        }
    }
}

/// Hands a native log record to Python's logger of that name: a program that attaches handlers to the
/// `BitBake` loggers sees what the engine says, not only what Python code says. What is said while it
/// has a cooker open comes to it as an event.
fn to_python_logging(record: &hz_events::LogRecord) {
    if crate::client::is_open() {
        return;
    }
    hz_python::enter(|vm| {
        let log = |vm: &VirtualMachine| -> PyResult<()> {
            let logging = vm.import("logging", 0)?;
            let logger = vm.call_method(&logging, "getLogger", (record.logger.clone(),))?;
            vm.call_method(&logger, "log", (record.level, "%s", record.message.clone())).map(drop)
        };
        if let Err(error) = log(vm) {
            vm.print_exception(&error);
        }
    });
}

/// What the engine says goes to Python's loggers, too, from here on.
pub fn hand_logs_to_python() {
    hz_events::set_log_tap(Some(to_python_logging));
}

/// `hitzeleiter python FILE [ARG…]` or `-c CODE [ARG…]`: gives the exit status. 2 when the file
/// cannot be read.
pub fn run_script(mut args: Vec<String>) -> i32 {
    let (file, text) = match args.first().map(String::as_str) {
        None => {
            eprintln!("usage: hitzeleiter python FILE [ARG ...] | -c CODE [ARG ...]");
            return 2;
        }
        Some("-c") => {
            let code = args.get(1).cloned().unwrap_or_default();
            args.drain(1..args.len().min(2));
            ("<string>".to_string(), code)
        }
        Some(file) => match std::fs::read_to_string(file) {
            Ok(text) => (file.to_string(), text),
            Err(e) => {
                eprintln!("ERROR: cannot read {file}: {e}");
                return 2;
            }
        },
    };
    hand_logs_to_python();
    let folder = std::path::Path::new(&file).parent().map(|p| p.to_string_lossy().into_owned());
    run_program(start_python(args, None), |vm| {
        let path = vm.sys_module.get_attr("path", vm)?;
        vm.call_method(&path, "insert", (0, folder.filter(|_| file != "<string>").unwrap_or_default()))?;
        let scope = vm.new_scope_with_main()?;
        scope.globals.set_item("__file__", vm.ctx.new_str(&*file).into(), vm)?;
        let code = vm.compile(&text, Mode::Exec, &file).map_err(|e| e.into_pyexception(vm, Some(&text)))?;
        vm.run_code_obj(code, scope).map(drop)
    })
}
