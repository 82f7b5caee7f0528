//! Python exceptions as the errors of everything below Python, and back again.

use hz_data::{DataError, Frame, PythonError, RuntimeError};
use hz_diagnostics::Place;
use rustpython_vm::builtins::{PyBaseExceptionRef, PyTypeRef};
use rustpython_vm::{AsObject, PyObjectRef, PyResult, VirtualMachine};
use std::collections::HashMap;

/// `module.NAME`, if the module is loaded.
pub fn class(vm: &VirtualMachine, module: &str, name: &str) -> Option<PyTypeRef> {
    let modules = vm.sys_module.get_attr("modules", vm).ok()?;
    let module = modules.get_item(module, vm).ok()?;
    module.get_attr(&vm.ctx.new_str(name), vm).ok()?.downcast().ok()
}

fn is(vm: &VirtualMachine, exception: &PyBaseExceptionRef, module: &str, name: &str) -> bool {
    class(vm, module, name).is_some_and(|class| exception.class().fast_issubclass(&class))
}

/// Has somebody already told the user (`bb.BBHandledException` and what derives from it)?
pub fn is_handled(vm: &VirtualMachine, exception: &PyBaseExceptionRef) -> bool {
    is(vm, exception, "bb", "BBHandledException")
}
pub fn is_skip(vm: &VirtualMachine, exception: &PyBaseExceptionRef) -> bool {
    is(vm, exception, "bb.parse", "SkipRecipe")
}
pub fn is_expansion(vm: &VirtualMachine, exception: &PyBaseExceptionRef) -> bool {
    is(vm, exception, "bb.data_smart", "ExpansionError")
}
/// `bb.process.ExecutionError`: shown by whoever catches it, with the output.
pub fn is_execution(vm: &VirtualMachine, exception: &PyBaseExceptionRef) -> bool {
    is(vm, exception, "bb.process", "ExecutionError")
}

/// `str(exception)`; the class name if even that fails.
pub fn message(vm: &VirtualMachine, exception: &PyBaseExceptionRef) -> String {
    match exception.as_object().str(vm) {
        Ok(text) => text.to_string_lossy().into_owned(),
        Err(_) => exception.class().slot_name().to_string(),
    }
}

fn dotted(vm: &VirtualMachine, class: &PyTypeRef) -> String {
    let name = class.slot_name().to_string();
    let module = class.as_object().get_attr("__module__", vm).ok().and_then(|m| m.try_into_value::<String>(vm).ok());
    match module.as_deref() {
        Some("builtins") | None => name,
        Some(module) if name.starts_with(&format!("{module}.")) => name,
        Some(module) => format!("{module}.{name}"),
    }
}

/// The frames of the exception's traceback, outermost first.
pub fn frames(exception: &PyBaseExceptionRef) -> Vec<Frame> {
    let mut texts = Lines::default();
    let Some(traceback) = exception.traceback() else { return Vec::new() };
    traceback
        .iter()
        .map(|entry| {
            let code = entry.frame.iframe().code();
            let file = code.source_path().as_str();
            let line = entry.lineno.get() as u32;
            Frame { file: file.into(), line, function: code.obj_name.as_str().into(), text: texts.get(file, line) }
        })
        .collect()
}

/// Lines of files, each read once.
#[derive(Default)]
pub struct Lines(HashMap<String, Option<Vec<String>>>);

impl Lines {
    pub fn file(&mut self, file: &str) -> Option<&[String]> {
        let lines = self.0.entry(file.to_string()).or_insert_with(|| {
            if !file.starts_with('/') {
                return None;
            }
            let bytes = std::fs::read(file).ok()?;
            Some(String::from_utf8_lossy(&bytes).split('\n').map(str::to_string).collect())
        });
        lines.as_deref()
    }
    fn get(&mut self, file: &str, line: u32) -> Option<String> {
        self.file(file)?.get((line as usize).checked_sub(1)?).cloned()
    }
}

/// A caught exception for those who know no Python.
pub fn to_runtime(vm: &VirtualMachine, exception: PyBaseExceptionRef) -> RuntimeError {
    if is_skip(vm, &exception) {
        return RuntimeError::Skip(message(vm, &exception));
    }
    if is_handled(vm, &exception) {
        return RuntimeError::Handled;
    }
    RuntimeError::Python(Box::new(python_error(vm, exception)))
}

fn python_error(vm: &VirtualMachine, exception: PyBaseExceptionRef) -> PythonError {
    let class = exception.class().to_owned();
    let place = class.fast_issubclass(vm.ctx.exceptions.syntax_error).then(|| {
        let get = |name: &'static str| exception.as_object().get_attr(name, vm).ok();
        let file = get("filename").and_then(|f| f.try_into_value::<String>(vm).ok()).unwrap_or_default();
        let line = get("lineno").and_then(|l| l.try_into_value::<u32>(vm).ok()).unwrap_or(0);
        Place::new(file, line)
    });
    PythonError {
        class: dotted(vm, &class),
        message: message(vm, &exception),
        frames: frames(&exception),
        mro: class.mro_collect().iter().map(|class| dotted(vm, class)).collect(),
        place,
        live: Some(std::sync::Arc::new(Live(exception))),
    }
}

/// The exception itself, for the way back into Python.
struct Live(PyBaseExceptionRef);

/// The exception that `error` came from, or a new one of the same class.
fn from_python_error(vm: &VirtualMachine, error: &PythonError) -> PyBaseExceptionRef {
    if let Some(live) = error.live.as_ref().and_then(|live| live.downcast_ref::<Live>()) {
        return live.0.clone();
    }
    let class = match error.class.rsplit_once('.') {
        Some((module, name)) => class(vm, module, name).or_else(|| {
            vm.import(&vm.ctx.new_str(module), 0).ok()?;
            class(vm, module, name)
        }),
        None => vm.builtins.get_attr(&vm.ctx.new_str(&*error.class), vm).ok().and_then(|class| class.downcast().ok()),
    };
    let class = class
        .filter(|class| class.fast_issubclass(vm.ctx.exceptions.base_exception_type))
        .unwrap_or_else(|| vm.ctx.exceptions.exception_type.to_owned());
    vm.invoke_exception(&class, vec![vm.ctx.new_str(&*error.message).into()])
        .unwrap_or_else(|_| vm.new_runtime_error(error.message.clone()))
}

fn raise(vm: &VirtualMachine, module: &str, name: &str, args: Vec<PyObjectRef>) -> PyBaseExceptionRef {
    let made: PyResult<PyBaseExceptionRef> = vm.import(&vm.ctx.new_str(module), 0).and_then(|_| match class(vm, module, name) {
        Some(class) => vm.invoke_exception(&class, args),
        None => Err(vm.new_runtime_error(format!("{module}.{name} is missing"))),
    });
    made.unwrap_or_else(|error| error)
}

/// The exception a failed call into Python stands for.
pub fn from_runtime(vm: &VirtualMachine, error: &RuntimeError) -> PyBaseExceptionRef {
    match error {
        RuntimeError::Skip(reason) => raise(vm, "bb.parse", "SkipRecipe", vec![vm.ctx.new_str(&**reason).into()]),
        RuntimeError::Handled => raise(vm, "bb", "BBHandledException", vec![]),
        RuntimeError::Python(error) => from_python_error(vm, error),
    }
}

/// The exception a failed read or write of the store stands for.
pub fn from_data(vm: &VirtualMachine, error: DataError) -> PyBaseExceptionRef {
    match error {
        DataError::Runtime(RuntimeError::Python(error)) => {
            let exception = from_python_error(vm, &error);
            // An ExpansionError that passed through further variables: the store wrote their names
            // behind its text, the exception itself has yet to learn them.
            if is_expansion(vm, &exception)
                && let Some(names) = error.message.strip_prefix(&message(vm, &exception))
            {
                for name in names.split(" -> ").filter(|name| !name.is_empty()) {
                    let _ = vm.call_method(exception.as_object(), "addVar", (name.to_string(),));
                }
            }
            exception
        }
        DataError::Runtime(error) => from_runtime(vm, &error),
        DataError::Other(text) => vm.new_exception_msg(vm.ctx.exceptions.exception_type.to_owned(), text.into()),
        DataError::Expansion { var, expression, cause, chain } => {
            let inner = from_runtime(vm, &cause);
            let name = if var.is_empty() { vm.ctx.none() } else { vm.ctx.new_str(var).into() };
            let args = vec![name, vm.ctx.new_str(expression).into(), inner.clone().into()];
            let error = raise(vm, "bb.data_smart", "ExpansionError", args);
            if is_expansion(vm, &error) {
                error.set_cause(Some(inner));
                for name in chain.into_iter().skip(1) {
                    let _ = vm.call_method(error.as_object(), "addVar", (name,));
                }
            }
            error
        }
    }
}
