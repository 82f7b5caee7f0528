//! Calls from the cooker into the Python side: modules of `bb`, events, and errors on the way back.

use hz_data::{DataStore, RuntimeError};
use hz_parse::Error;
use hz_python::errors::{from_runtime, to_runtime};
use rustpython_vm::builtins::{PyBaseException, PyBaseExceptionRef};
use rustpython_vm::{PyObjectRef, PyResult, VirtualMachine};

/// Runs `f` in the VM; what it raises becomes a runtime error.
pub fn python<R>(f: impl FnOnce(&VirtualMachine) -> PyResult<R>) -> Result<R, RuntimeError> {
    hz_python::enter(|vm| f(vm).map_err(|error| to_runtime(vm, error)))
}

/// A loaded module by its dotted name.
pub fn module(vm: &VirtualMachine, name: &str) -> PyResult {
    vm.import(&vm.ctx.new_str(name), 0)?;
    vm.sys_module.get_attr("modules", vm)?.get_item(name, vm)
}

/// `module.function(*args)`.
pub fn call(vm: &VirtualMachine, name: &str, function: &str, args: Vec<PyObjectRef>) -> PyResult {
    module(vm, name)?.get_attr(&vm.ctx.new_str(function), vm)?.call(args, vm)
}

/// `bb.event.fire(bb.event.CLASS(*args), store)`: class handlers first, then the user interface.
pub fn fire(
    store: &DataStore, class: &str, args: impl FnOnce(&VirtualMachine) -> PyResult<Vec<PyObjectRef>>,
) -> Result<(), RuntimeError> {
    python(|vm| {
        let (module_name, class) = class.rsplit_once('.').unwrap_or(("bb.event", class));
        let event = call(vm, module_name, class, args(vm)?)?;
        let store = hz_python::store::wrap(store, vm)?;
        call(vm, "bb.event", "fire", vec![event, store])?;
        Ok(())
    })
}

/// A Python list of texts.
pub fn texts<S: AsRef<str>>(vm: &VirtualMachine, items: impl IntoIterator<Item = S>) -> PyObjectRef {
    vm.ctx.new_list(items.into_iter().map(|t| vm.ctx.new_str(t.as_ref()).into()).collect()).into()
}

/// A Python string.
pub fn text(vm: &VirtualMachine, text: &str) -> PyObjectRef {
    vm.ctx.new_str(text).into()
}

/// A Python int.
pub fn number(vm: &VirtualMachine, n: usize) -> PyObjectRef {
    vm.ctx.new_int(n).into()
}

/// The Python exception for a parsing error.
pub fn raised(vm: &VirtualMachine, error: Error) -> PyBaseExceptionRef {
    let parse = |message: String, file: &str, line: u32| {
        let made = call(vm, "bb.parse", "ParseError", vec![text(vm, &message), text(vm, file), vm.ctx.new_int(line).into()]);
        match made.map(|e| e.downcast::<PyBaseException>()) {
            Ok(Ok(exception)) => exception,
            Ok(Err(_)) => vm.new_runtime_error("bb.parse.ParseError is no exception"),
            Err(exception) => exception,
        }
    };
    match error {
        Error::Handled => from_runtime(vm, &RuntimeError::Handled),
        Error::Skip(reason) => from_runtime(vm, &RuntimeError::Skip(reason)),
        Error::Data(e, _) => hz_python::errors::from_data(vm, *e),
        Error::Python(e, _) => from_runtime(vm, &e),
        Error::Parse(d) => match &d.place {
            Some(place) => parse(d.message.clone(), &place.file, place.line),
            None => parse(d.message.clone(), "", 0),
        },
        other => parse(other.to_string(), "", 0),
    }
}

/// Tells the user about an error that nobody has told of yet.
pub fn tell(error: &RuntimeError) {
    match error {
        RuntimeError::Handled => {}
        RuntimeError::Skip(reason) => hz_events::log(hz_events::level::ERROR, "", reason.clone()),
        RuntimeError::Python(e) => hz_events::log(hz_events::level::ERROR, "", trace(e)),
    }
}

/// A Python exception as its traceback, innermost frame last.
pub fn trace(e: &hz_data::PythonError) -> String {
    let mut out = String::new();
    if !e.frames.is_empty() {
        out.push_str("Traceback (most recent call last):\n");
    }
    for frame in &e.frames {
        out.push_str(&format!("  File \"{}\", line {}, in {}\n", frame.file, frame.line, frame.function));
        if let Some(text) = &frame.text {
            out.push_str(&format!("    {}\n", text.trim()));
        }
    }
    out.push_str(&e.class);
    if !e.message.is_empty() {
        out.push_str(&format!(": {}", e.message));
    }
    out
}
