//! `_hz_parse`: parsing for Python code that asks for it (`bb.parse.handle`, `inherit`, tasks); and
//! the list of all native modules of the folders below Python.

use rustpython_vm::Context;
use rustpython_vm::builtins::PyModuleDef;

/// All modules to hand to the VM before it starts.
pub fn definitions() -> Vec<&'static PyModuleDef> {
    let ctx = Context::genesis();
    vec![
        _hz_parse::module_def(ctx),
        hz_fetch::pymodule::module_def(ctx),
        hz_exec::pymodule::module_def(ctx),
        hz_exec::siggen_module::module_def(ctx),
        hz_services::pymodule::module_def(ctx),
        crate::client::module_def(ctx),
        crate::files_module::module_def(ctx),
    ]
}

#[rustpython_vm::pymodule]
mod _hz_parse {
    use crate::basehashes::BaseHashes;
    use crate::raised::{keep_signatures, raised};
    use rustpython_vm::builtins::PyStrRef;
    use rustpython_vm::{PyObjectRef, PyResult, VirtualMachine};

    /// `inherit(classes, file, line, d, deferred)`.
    #[pyfunction]
    fn inherit(classes: PyStrRef, file: PyStrRef, line: u32, d: PyObjectRef, deferred: bool, vm: &VirtualMachine) -> PyResult<()> {
        let store = hz_python::store::unwrap(&d, vm)?;
        hz_parse::inherit(&classes.to_string(), &file.to_string(), line, store, deferred).map_err(|e| raised(vm, e))
    }

    /// `handle(file, d, include, baseconfig)`: a recipe gives a dict of its variants' stores, other
    /// files the store.
    #[pyfunction]
    fn handle(file: PyStrRef, d: PyObjectRef, include: bool, baseconfig: bool, vm: &VirtualMachine) -> PyResult {
        let store = hz_python::store::unwrap(&d, vm)?;
        let file = file.to_string();
        if file.ends_with(".bb") && !include {
            let finalise = BaseHashes::new(store).map_err(|e| raised(vm, e))?;
            let variants = hz_parse::handle_recipe(&file, store, &finalise).map_err(|e| raised(vm, e))?;
            let out = vm.ctx.new_dict();
            for variant in variants {
                if finalise.makes() {
                    keep_signatures(&variant).map_err(|e| raised(vm, e))?;
                }
                out.set_item(&*variant.name, hz_python::store::wrap(&variant.store, vm)?, vm)?;
            }
            return Ok(out.into());
        }
        hz_parse::handle_included(&file, store, baseconfig).map_err(|e| raised(vm, e))?;
        Ok(d)
    }

    #[pyfunction]
    fn mark_dependency(d: PyObjectRef, file: PyStrRef, vm: &VirtualMachine) -> PyResult<()> {
        let store = hz_python::store::unwrap(&d, vm)?;
        hz_parse::mark_dependency(store, &file.to_string()).map_err(|e| raised(vm, e))
    }

    #[pyfunction]
    fn check_dependency(d: PyObjectRef, file: PyStrRef, vm: &VirtualMachine) -> PyResult<bool> {
        Ok(hz_parse::check_dependency(hz_python::store::unwrap(&d, vm)?, &file.to_string()))
    }

    /// The collection a file belongs to, or None.
    #[pyfunction]
    fn file_layer(file: PyStrRef, d: PyObjectRef, vm: &VirtualMachine) -> PyResult<Option<String>> {
        hz_parse::file_layer(&file.to_string(), hz_python::store::unwrap(&d, vm)?).map_err(|e| raised(vm, e))
    }

    #[pyfunction]
    fn get_file_depends(d: PyObjectRef, vm: &VirtualMachine) -> PyResult<String> {
        Ok(hz_parse::file_depends(hz_python::store::unwrap(&d, vm)?))
    }
}
