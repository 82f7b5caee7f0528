//! Calls from the cooker into the Python side: modules of `bb`, events, and errors on the way back.

use hz_data::{DataStore, RuntimeError};
use hz_python::errors::to_runtime;
use rustpython_vm::{PyObjectRef, PyResult, VirtualMachine};

/// Runs `f` in the VM; what it raises becomes a runtime error.
pub fn python<R>(f: impl FnOnce(&VirtualMachine) -> PyResult<R>) -> Result<R, RuntimeError> {
    hz_python::enter(|vm| f(vm).map_err(|error| to_runtime(vm, error)))
}

/// A loaded module by its dotted name.
pub fn module(vm: &VirtualMachine, name: &str) -> PyResult {
    hz_python::runtime::module(vm, name)
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
