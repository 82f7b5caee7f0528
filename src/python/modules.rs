//! `_hz_meta`: what the Python side of `bb` asks of the engine besides the store: defining and
//! calling metadata functions, and the scanners of code.

use crate::errors::from_runtime;
use crate::metadata;
use rustpython_vm::Context;
use rustpython_vm::builtins::PyModuleDef;

/// The module's definition, for the VM's start-up.
pub fn module_def(ctx: &Context) -> &'static PyModuleDef {
    _hz_meta::module_def(ctx)
}

#[rustpython_vm::pymodule]
mod _hz_meta {
    use super::{from_runtime, metadata};
    use hz_diagnostics::{Diagnostic, Str};
    use rustpython_vm::builtins::{PyBaseExceptionRef, PySet, PyStrRef};
    use rustpython_vm::{PyObjectRef, PyPayload, PyResult, VirtualMachine};

    fn set_of<'a>(items: impl IntoIterator<Item = &'a Str>, vm: &VirtualMachine) -> PyResult {
        let set = PySet::default().into_ref(&vm.ctx);
        for item in items {
            set.add(vm.ctx.new_str(&**item).into(), vm)?;
        }
        Ok(set.into())
    }

    /// Tells what the reference tells of code it cannot scan, and gives what it raises.
    fn scan_error(vm: &VirtualMachine, problem: &Diagnostic) -> PyBaseExceptionRef {
        let raised = hz_codeparser::raised(problem);
        if let Some(text) = raised.logged {
            hz_events::log(hz_events::level::ERROR, "Main", text);
        }
        crate::errors::from_data(vm, hz_data::DataError::python(&raised.class, raised.message))
    }

    /// Defines the functions of `code`, which stands after line `line` of `file`, for all metadata.
    #[pyfunction]
    fn define(code: PyStrRef, file: PyStrRef, line: i64, vm: &VirtualMachine) -> PyResult<()> {
        let line = line.clamp(0, u32::MAX.into()) as u32;
        metadata::define(vm, &code.to_string_lossy(), &file.to_string_lossy(), line).map_err(|error| from_runtime(vm, &error))
    }

    /// Runs a metadata function as a task does.
    #[pyfunction]
    fn call_function(d: PyObjectRef, name: PyStrRef, body: PyStrRef, file: PyStrRef, line: i64, vm: &VirtualMachine) -> PyResult<()> {
        let store = crate::store::unwrap(&d, vm)?;
        let line = line.clamp(0, u32::MAX.into()) as u32;
        metadata::call_function(vm, store, &name.to_string_lossy(), &body.to_string_lossy(), &file.to_string_lossy(), line)
            .map_err(|error| from_runtime(vm, &error))
    }

    /// Runs functions already defined, in order, each with the store.
    #[pyfunction]
    fn run_functions(d: PyObjectRef, names: Vec<String>, vm: &VirtualMachine) -> PyResult<()> {
        let store = crate::store::unwrap(&d, vm)?;
        let names: Vec<Str> = names.into_iter().map(Into::into).collect();
        metadata::run_anonymous(vm, store, &names).map_err(|error| from_runtime(vm, &error))
    }

    /// Scans Python: (references, execs, {name: items}, texts to expand, computed calls).
    #[pyfunction]
    fn scan_python(code: PyStrRef, vm: &VirtualMachine) -> PyResult {
        let found = hz_codeparser::python(&code.to_string_lossy()).map_err(|error| scan_error(vm, &error))?;
        let contains = vm.ctx.new_dict();
        for (name, items) in &found.contains {
            contains.set_item(&**name, set_of(items, vm)?, vm)?;
        }
        let mut computed = Vec::new();
        for (function, argument) in &found.computed {
            let pair = vec![vm.ctx.new_str(&**function).into(), vm.ctx.new_str(&**argument).into()];
            computed.push(vm.ctx.new_tuple(pair).into());
        }
        let parts = vec![
            set_of(&found.references, vm)?,
            set_of(&found.execs, vm)?,
            contains.into(),
            set_of(&found.expands, vm)?,
            vm.ctx.new_list(computed).into(),
        ];
        Ok(vm.ctx.new_tuple(parts).into())
    }

    /// Scans shell: the commands it calls.
    #[pyfunction]
    fn scan_shell(code: PyStrRef, vm: &VirtualMachine) -> PyResult {
        let found = hz_codeparser::shell(&code.to_string_lossy()).map_err(|error| scan_error(vm, &error))?;
        set_of(&found.execs, vm)
    }
}
