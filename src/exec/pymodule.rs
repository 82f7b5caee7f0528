//! `_hz_build`: what `bb.build` needs of the system, and the way from a task's process into it.

use crate::child::TaskPython;
use crate::tasklog::TaskLog;
use hz_data::{DataStore, RuntimeError};
use hz_events::{LogRecord, level};
use rustpython_vm::builtins::PyModuleDef;
use rustpython_vm::{Context, PyResult, VirtualMachine};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

/// The module's definition, for the VM's start-up.
pub fn module_def(ctx: &Context) -> &'static PyModuleDef {
    _hz_build::module_def(ctx)
}

/// The log of the task that runs in this process.
static LOG: Mutex<Option<TaskLog>> = Mutex::new(None);
/// Native code has logged an error since the log was opened.
static ERRORS: AtomicBool = AtomicBool::new(false);

fn log() -> std::sync::MutexGuard<'static, Option<TaskLog>> {
    LOG.lock().unwrap_or_else(|e| e.into_inner())
}

/// A record of native code as it stands in logs.
fn formatted(record: &LogRecord) -> String {
    let name = match record.level {
        level::PLAIN => return format!("{}\n", record.message),
        level::DEBUG3 | level::DEBUG2 | level::DEBUG => "DEBUG",
        level::VERBOSE | level::NOTE | level::VERBNOTE => "NOTE",
        level::WARNONCE | level::WARNING => "WARNING",
        level::ERRORONCE | level::ERROR | level::CRITICAL => "ERROR",
        other => return format!("Level {other}: {}\n", record.message),
    };
    format!("{name}: {}\n", record.message)
}

fn tap(record: &LogRecord) {
    if record.level >= level::ERROR {
        ERRORS.store(true, Ordering::Relaxed);
    }
    if record.level >= level::DEBUG3
        && let Some(log) = log().as_mut()
    {
        let _ = log.write(formatted(record).as_bytes());
    }
}

/// Makes a log that was opened the one of this process; gives its path.
pub(crate) fn begin_log(opened: TaskLog) -> String {
    let path = opened.path().to_string_lossy().into_owned();
    ERRORS.store(false, Ordering::Relaxed);
    *log() = Some(opened);
    hz_events::set_log_tap(Some(tap));
    path
}

/// Ends the log; true if it was empty and has been removed.
pub(crate) fn end_log() -> std::io::Result<bool> {
    let open = log().take();
    open.map_or(Ok(false), TaskLog::close)
}

/// Errors logged so far count as not shown.
pub(crate) fn no_errors() {
    ERRORS.store(false, Ordering::Relaxed);
}

/// `template.format(**fields)`; an error is the text of the exception.
pub(crate) fn format_text(template: &str, fields: &[(&str, &str)], vm: &VirtualMachine) -> Result<String, String> {
    let template: rustpython_vm::PyObjectRef = vm.ctx.new_str(template).into();
    let fields = fields.iter().map(|(name, value)| (name.to_string().into(), vm.ctx.new_str(*value).into()));
    let arguments = rustpython_vm::function::FuncArgs::new(vec![], rustpython_vm::function::KwArgs::new(fields.collect()));
    let made = template.get_attr("format", vm).and_then(|format| format.call(arguments, vm)).and_then(|text| text.str(vm));
    made.map(|text| text.to_string_lossy().into_owned()).map_err(|e| hz_python::errors::message(vm, &e))
}

pub(crate) fn write_all(fd: i32, mut bytes: &[u8]) -> std::io::Result<()> {
    while !bytes.is_empty() {
        // SAFETY: the buffer and its length.
        let n = unsafe { libc::write(fd, bytes.as_ptr().cast(), bytes.len()) };
        if n < 0 {
            let e = std::io::Error::last_os_error();
            if e.kind() != std::io::ErrorKind::Interrupted {
                return Err(e);
            }
        } else {
            bytes = &bytes[n as usize..];
        }
    }
    Ok(())
}

/// Facts as Python has them.
pub fn object(facts: &serde_json::Value, vm: &VirtualMachine) -> PyResult {
    use serde_json::Value;
    Ok(match facts {
        Value::Null => vm.ctx.none(),
        Value::Bool(fact) => vm.ctx.new_bool(*fact).into(),
        Value::Number(number) => match number.as_i64() {
            Some(number) => vm.ctx.new_int(number).into(),
            None => vm.ctx.new_float(number.as_f64().unwrap_or_default()).into(),
        },
        Value::String(text) => vm.ctx.new_str(text.as_str()).into(),
        Value::Array(items) => vm.ctx.new_list(items.iter().map(|item| object(item, vm)).collect::<PyResult<_>>()?).into(),
        Value::Object(fields) => {
            let dict = vm.ctx.new_dict();
            for (name, fact) in fields {
                dict.set_item(name.as_str(), object(fact, vm)?, vm)?;
            }
            dict.into()
        }
    })
}

impl TaskPython for hz_python::Python {
    fn wants(&self, class: &str) -> bool {
        hz_python::runtime::has_handlers(class)
    }
    fn disable_network(&self, uid: u32, gid: u32) -> std::io::Result<bool> {
        hz_python::utils::system::disable_network(uid, gid)
    }
    fn call(&self, store: &DataStore, module: &str, function: &str, spec: &serde_json::Value) -> Result<i32, RuntimeError> {
        let run = |vm: &VirtualMachine| -> PyResult<i32> {
            vm.import(&vm.ctx.new_str(module), 0)?;
            let module = vm.sys_module.get_attr("modules", vm)?.get_item(module, vm)?;
            let function = module.get_attr(&vm.ctx.new_str(function), vm)?;
            let d = hz_python::store::wrap(store, vm)?;
            function.call((d, object(spec, vm)?), vm)?.try_into_value(vm)
        };
        self.enter(|vm| run(vm).map_err(|e| hz_python::errors::to_runtime(vm, e)))
    }
}

#[rustpython_vm::pymodule]
mod _hz_build {
    use super::{AtomicBool, ERRORS, Ordering, TaskLog, log};
    use crate::{prologue, shell, stamps};
    use hz_python::errors::from_data;
    use hz_python::store::unwrap;
    use rustpython_vm::builtins::{PyBaseExceptionRef, PyDictRef, PyStrRef};
    use rustpython_vm::convert::ToPyException;
    use rustpython_vm::function::OptionalArg;
    use rustpython_vm::{PyObjectRef, PyResult, VirtualMachine};
    use std::ffi::OsStr;
    use std::path::Path;

    fn text(value: &PyStrRef) -> String {
        value.to_string_lossy().into_owned()
    }

    fn utf8(bytes: Vec<u8>) -> String {
        String::from_utf8(bytes).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned())
    }

    /// The fixed first part of shell scripts.
    #[pyfunction]
    fn prologue_text() -> String {
        prologue::PROLOGUE.to_string()
    }

    /// The script that runs a shell function: all it calls, and the call in `cwd` (None: where it is
    /// started); `trace` shows each command.
    #[pyfunction]
    fn script(func: PyStrRef, d: PyObjectRef, cwd: Option<PyStrRef>, trace: bool, vm: &VirtualMachine) -> PyResult<String> {
        let store = unwrap(&d, vm)?;
        let func = text(&func);
        let mut out = prologue::PROLOGUE.as_bytes().to_vec();
        hz_data::emit::emit_func(&func, &mut out, store).map_err(|e| from_data(vm, e))?;
        out.extend_from_slice(prologue::call(&func, cwd.as_ref().map(text).as_deref(), trace).as_bytes());
        Ok(utf8(out))
    }

    /// What is written down of a Python function before it runs: it and all it calls.
    #[pyfunction]
    fn listing(func: PyStrRef, d: PyObjectRef, vm: &VirtualMachine) -> PyResult<String> {
        let mut out = Vec::new();
        hz_data::emit::emit_func_python(&text(&func), &mut out, unwrap(&d, vm)?).map_err(|e| from_data(vm, e))?;
        Ok(utf8(out))
    }

    /// Names and values of what tasks find in their environment, in order.
    #[pyfunction]
    fn exported_vars(d: PyObjectRef, vm: &VirtualMachine) -> PyResult<Vec<PyObjectRef>> {
        let vars = hz_data::emit::exported_vars(unwrap(&d, vm)?).map_err(|e| from_data(vm, e))?;
        let pair = |(name, value): (hz_diagnostics::Str, hz_diagnostics::Str)| {
            vm.ctx.new_tuple(vec![vm.ctx.new_str(&*name).into(), vm.ctx.new_str(&*value).into()]).into()
        };
        Ok(vars.into_iter().map(pair).collect())
    }

    /// An exception of Python code, or a failure of the system.
    enum Failure {
        Python(PyBaseExceptionRef),
        System(std::io::Error),
    }
    impl From<std::io::Error> for Failure {
        fn from(e: std::io::Error) -> Self {
            Failure::System(e)
        }
    }

    struct Callbacks<'a> {
        message: PyObjectRef,
        /// None: straight to descriptor 1.
        output: Option<PyObjectRef>,
        /// Bytes of a character that has not come whole yet.
        pending: Vec<u8>,
        vm: &'a VirtualMachine,
    }

    impl shell::Receiver for Callbacks<'_> {
        type Error = Failure;
        fn message(&mut self, command: &str, text: &str) -> Result<(), Failure> {
            let vm = self.vm;
            self.message.call((vm.ctx.new_str(command), vm.ctx.new_str(text)), vm).map(drop).map_err(Failure::Python)
        }
        fn output(&mut self, bytes: &[u8]) -> Result<(), Failure> {
            let Some(output) = &self.output else {
                return super::write_all(1, bytes).map_err(Failure::System);
            };
            self.pending.extend_from_slice(bytes);
            let whole = match std::str::from_utf8(&self.pending) {
                Err(e) if e.error_len().is_none() => e.valid_up_to(),
                _ => self.pending.len(),
            };
            let chunk: Vec<u8> = self.pending.drain(..whole).collect();
            let text = self.vm.ctx.new_str(String::from_utf8_lossy(&chunk));
            output.call((text,), self.vm).map(drop).map_err(Failure::Python)
        }
    }

    /// Runs a script; gives its exit code, negative for a signal. `message(command, text)` is called
    /// for what it sends to the FIFO, `output(text)` for what it writes (None: goes to stdout).
    #[pyfunction]
    fn run_shell(
        argv: Vec<PyStrRef>, fifo: PyStrRef, message: PyObjectRef, output: OptionalArg<Option<PyObjectRef>>, vm: &VirtualMachine,
    ) -> PyResult<i32> {
        let argv: Vec<String> = argv.iter().map(text).collect();
        let argv: Vec<&OsStr> = argv.iter().map(OsStr::new).collect();
        if argv.is_empty() {
            return Err(vm.new_value_error("no command"));
        }
        let mut callbacks = Callbacks { message, output: output.flatten(), pending: Vec::new(), vm };
        shell::run(&argv, Path::new(&text(&fifo)), &mut callbacks).map_err(|e| match e {
            Failure::Python(e) => e,
            Failure::System(e) => e.to_pyexception(vm),
        })
    }

    /// Begins the log of this process's task; gives its path.
    #[pyfunction]
    fn open_log(dir: PyStrRef, task: PyStrRef, name: PyStrRef, vm: &VirtualMachine) -> PyResult<String> {
        let opened = TaskLog::open(Path::new(&text(&dir)), &text(&task), &text(&name)).map_err(|e| e.to_pyexception(vm))?;
        Ok(super::begin_log(opened))
    }

    /// Adds text to the open log.
    #[pyfunction]
    fn write_log(line: PyStrRef, vm: &VirtualMachine) -> PyResult<()> {
        match log().as_mut() {
            Some(log) => log.write(line.to_string_lossy().as_bytes()).map_err(|e| e.to_pyexception(vm)),
            None => Ok(()),
        }
    }

    /// Ends the log; True if it was empty and has been removed.
    #[pyfunction]
    fn close_log(vm: &VirtualMachine) -> PyResult<bool> {
        super::end_log().map_err(|e| e.to_pyexception(vm))
    }

    /// The environment of this process, as `os.environ` keeps it.
    #[pyfunction]
    fn environment(vm: &VirtualMachine) -> PyResult<PyDictRef> {
        use std::os::unix::ffi::OsStrExt;
        let all = vm.ctx.new_dict();
        for (name, value) in std::env::vars_os() {
            let bytes = |text: &OsStr| -> PyObjectRef { vm.ctx.new_bytes(text.as_bytes().to_vec()).into() };
            all.set_item(&*bytes(&name), bytes(&value), vm)?;
        }
        Ok(all)
    }

    /// `bb.event.fire(event, d)` for an event of that class.
    #[pyfunction]
    fn fire(class: PyStrRef, event: PyObjectRef, d: PyObjectRef, vm: &VirtualMachine) -> PyResult<()> {
        hz_python::runtime::fire_event(vm, &text(&class), event, d)
    }

    /// Calls a function with an event as a class handler is called.
    #[pyfunction]
    fn call_as_handler(function: PyObjectRef, event: PyObjectRef, d: PyObjectRef, vm: &VirtualMachine) -> PyResult<()> {
        hz_python::runtime::call_as_handler(vm, &function, event, d)
    }

    /// Has native code logged an error since the log was opened?
    #[pyfunction]
    fn native_errors() -> bool {
        AtomicBool::load(&ERRORS, Ordering::Relaxed)
    }

    /// Writes a stamp anew, after removing what the masks match.
    #[pyfunction]
    fn make_stamp(stamp: PyStrRef, masks: Vec<PyStrRef>, vm: &VirtualMachine) -> PyResult<()> {
        let masks: Vec<String> = masks.iter().map(text).collect();
        stamps::make(Path::new(&text(&stamp)), &masks).map_err(|e| e.to_pyexception(vm))
    }

    /// Removes the stamps the masks match.
    #[pyfunction]
    fn clean_stamps(masks: Vec<PyStrRef>, vm: &VirtualMachine) -> PyResult<()> {
        let masks: Vec<String> = masks.iter().map(text).collect();
        stamps::clean(&masks).map_err(|e| e.to_pyexception(vm))
    }

    /// The stamps the masks match.
    #[pyfunction]
    fn matching_stamps(masks: Vec<PyStrRef>, vm: &VirtualMachine) -> Vec<PyObjectRef> {
        let masks: Vec<String> = masks.iter().map(text).collect();
        stamps::matching(&masks).into_iter().map(|p| vm.ctx.new_str(p.to_string_lossy()).into()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_look_as_python_formats_them() {
        let record = |level| LogRecord { level, logger: "BitBake".into(), message: "m".into(), pid: 1, taskpid: None, fn_: None };
        let shown: Vec<String> = [9, 10, 20, 21, 30, 40, 15].map(|l| formatted(&record(l))).into();
        assert_eq!(shown, ["DEBUG: m\n", "DEBUG: m\n", "NOTE: m\n", "m\n", "WARNING: m\n", "ERROR: m\n", "Level 15: m\n"]);
    }
}
