//! `_hz_imports`: importing modules that are part of the program, without what the import system does for all
//! others: locks against other threads, and a question to each finder. A start imports more than a hundred, and
//! that was half of what an import took. Who finds and runs them is unchanged, so that modules look the same.

use rustpython_vm::builtins::{PyDict, PyList, PyModuleDef, PyStrRef, PyTupleRef};
use rustpython_vm::{AsObject, Context, PyObjectRef, PyResult, VirtualMachine};
use std::sync::OnceLock;

/// The module's definition, for the VM's start-up.
pub fn module_def(ctx: &Context) -> &'static PyModuleDef {
    _hz_imports::module_def(ctx)
}

/// What [`find_and_load`] works with, from `_hz_stdlib._lazy`.
struct Imports {
    /// `_find_and_load` of the import system.
    original: PyObjectRef,
    module_from_spec: PyObjectRef,
    /// `sys.meta_path` as it is at the start: the finder of what is put off, of built-in modules, of frozen ones, of files.
    finders: PyTupleRef,
    /// Names of modules that the first finder has.
    put_off: PyObjectRef,
    /// The class of modules that were not run yet. A package that is one is run first: what it does decides what
    /// is in it.
    not_run_yet: PyObjectRef,
}

static IMPORTS: OnceLock<Imports> = OnceLock::new();

/// The finder that has a module, if it is one of ours and nobody has put finders of his own before.
fn finder<'a>(imports: &'a Imports, name: &str, in_package: bool, vm: &VirtualMachine) -> PyResult<Option<&'a PyObjectRef>> {
    // Another thread may be importing the same.
    if vm.state.thread_count.load() != 0 {
        return Ok(None);
    }
    let path = vm.sys_module.get_attr("meta_path", vm)?;
    let Some(path) = path.downcast_ref::<PyList>() else { return Ok(None) };
    let unchanged = {
        let path = path.borrow_vec();
        path.len() == imports.finders.len() && path.iter().zip(imports.finders.iter()).all(|(now, then)| now.is(then))
    };
    if !unchanged {
        return Ok(None);
    }
    let at = if vm.call_method(&imports.put_off, "__contains__", (vm.ctx.new_str(name),))?.try_to_bool(vm)? {
        0
    } else if !in_package && vm.state.module_defs.contains_key(name) {
        1
    } else if vm.state.frozen.contains_key(name) {
        2
    } else {
        return Ok(None);
    };
    Ok(imports.finders.get(at))
}

/// Loads a module that is not there yet by a finder; None: this finder has it not.
fn load(imports: &Imports, finder: &PyObjectRef, name: &PyStrRef, package: Option<&PyObjectRef>, vm: &VirtualMachine) -> PyResult<Option<PyObjectRef>> {
    let path = match package {
        Some(package) => package.get_attr("__path__", vm)?,
        None => vm.ctx.none(),
    };
    let spec = vm.call_method(finder, "find_spec", (name.clone(), path))?;
    if vm.is_none(&spec) {
        return Ok(None);
    }
    let modules = vm.sys_module.get_attr("modules", vm)?;
    // Circular imports are told of by these two.
    let parents = match package {
        Some(package) => {
            let spec = package.get_attr("__spec__", vm)?;
            (!vm.is_none(&spec)).then(|| spec.get_attr("_uninitialized_submodules", vm)).transpose()?
        }
        None => None,
    };
    let child = || -> PyStrRef { vm.ctx.new_str(name.to_string_lossy().rsplit('.').next().unwrap_or_default()) };
    if let Some(parents) = &parents {
        vm.call_method(parents, "append", (child(),))?;
    }
    let run = || -> PyResult {
        let module = imports.module_from_spec.call((spec.clone(),), vm)?;
        spec.set_attr("_initializing", vm.ctx.new_bool(true), vm)?;
        let run = || -> PyResult {
            modules.set_item(&**name, module.clone(), vm)?;
            let loader = spec.get_attr("loader", vm)?;
            if let Err(error) = vm.call_method(&loader, "exec_module", (module.clone(),)) {
                let _ = modules.del_item(&**name, vm);
                return Err(error);
            }
            // It may have put another in its place; that, too, is now the last.
            let module = modules.get_item(&**name, vm)?;
            modules.del_item(&**name, vm)?;
            modules.set_item(&**name, module.clone(), vm)?;
            Ok(module)
        };
        let module = run();
        spec.set_attr("_initializing", vm.ctx.new_bool(false), vm)?;
        module
    };
    let module = run();
    if let Some(parents) = &parents {
        vm.call_method(parents, "pop", ())?;
    }
    let module = module?;
    if let Some(package) = package {
        package.set_attr(&child(), module.clone(), vm)?;
    }
    Ok(Some(module))
}

/// `importlib._bootstrap._find_and_load`.
fn find_and_load(name: PyStrRef, import: PyObjectRef, vm: &VirtualMachine) -> PyResult {
    let Some(imports) = IMPORTS.get() else { return Err(vm.new_import_error("no importing yet", name)) };
    let modules = vm.sys_module.get_attr("modules", vm)?;
    let ours = || -> PyResult<Option<PyObjectRef>> {
        let (Some(text), Some(modules)) = (name.to_str(), modules.downcast_ref::<PyDict>()) else { return Ok(None) };
        if modules.get_item_opt(text, vm)?.is_some() {
            return Ok(None);
        }
        let package = match text.rsplit_once('.') {
            None => None,
            Some((package, _)) => {
                if modules.get_item_opt(package, vm)?.is_none() {
                    import.call((vm.ctx.new_str(package),), vm)?;
                    // Importing the package may have brought the module.
                    if modules.get_item_opt(text, vm)?.is_some() {
                        return Ok(None);
                    }
                }
                let Some(package) = modules.get_item_opt(package, vm)? else { return Ok(None) };
                if package.class().as_object().is(&imports.not_run_yet) || vm.get_attribute_opt(&package, vm.ctx.intern_str("__path__"))?.is_none() {
                    return Ok(None);
                }
                Some(package)
            }
        };
        match finder(imports, text, package.is_some(), vm)? {
            Some(finder) => load(imports, finder, &name, package.as_ref(), vm),
            None => Ok(None),
        }
    };
    match ours()? {
        Some(module) => Ok(module),
        None => imports.original.call((name, import), vm),
    }
}

#[rustpython_vm::pymodule]
mod _hz_imports {
    use rustpython_vm::builtins::{PyStrRef, PyTupleRef};
    use rustpython_vm::{PyObjectRef, PyResult, VirtualMachine};

    /// Sets what `find_and_load` needs to know.
    #[pyfunction]
    fn begin(
        original: PyObjectRef, module_from_spec: PyObjectRef, finders: PyTupleRef, put_off: PyObjectRef, not_run_yet: PyObjectRef,
    ) {
        let _ = super::IMPORTS.set(super::Imports { original, module_from_spec, finders, put_off, not_run_yet });
    }

    /// `importlib._bootstrap._find_and_load`.
    #[pyfunction]
    fn find_and_load(name: PyStrRef, import: PyObjectRef, vm: &VirtualMachine) -> PyResult {
        super::find_and_load(name, import, vm)
    }
}
