//! `_hz_files`: the collector of recipe files, with layers given by hand, for Python code that makes
//! one (`bb.cooker.CookerCollectFiles`). The cooker's own collectors are reached through `_hz_cooker`.

use hz_parse::{Collection, FileCollector};
use rustpython_vm::builtins::PyModuleDef;
use rustpython_vm::{Context, PyObjectRef, PyResult, VirtualMachine};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The module's definition, for the VM's start-up.
pub fn module_def(ctx: &Context) -> &'static PyModuleDef {
    _hz_files::module_def(ctx)
}

/// `(name, pattern, expression, priority)`, as collections are handed about in Python.
fn collection(row: &PyObjectRef, vm: &VirtualMachine) -> PyResult<Collection> {
    let parts: Vec<PyObjectRef> = row.try_to_value(vm)?;
    let [name, pattern, expression, priority] = &parts[..] else {
        return Err(vm.new_value_error("a collection is (name, pattern, expression, priority)"));
    };
    let text = |object: &PyObjectRef| -> PyResult<String> { Ok(object.str(vm)?.to_string()) };
    // Compiled expressions know their text.
    let expression = text(&expression.get_attr("pattern", vm).unwrap_or_else(|_| expression.clone()))?;
    let made = Collection::new(&text(name)?, &text(pattern)?, &expression, priority.try_to_value(vm)?);
    made.ok_or_else(|| vm.new_value_error(format!("not a valid regular expression: {expression}")))
}

#[rustpython_vm::pymodule]
mod _hz_files {
    use super::*;
    use crate::bridge::{text, texts};
    use crate::raised::raised;
    use rustpython_vm::builtins::{PyDictRef, PyStrRef};
    use rustpython_vm::{Py, PyPayload, PyRef, pyclass};

    /// The recipe files of one multiconfig.
    #[pyattr]
    #[pyclass(module = "_hz_files", name = "Files")]
    #[derive(PyPayload)]
    struct PyFiles {
        files: Mutex<FileCollector>,
    }

    impl std::fmt::Debug for PyFiles {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("Files")
        }
    }

    /// A collector for layers, given as rows, and the name of a multiconfig.
    #[pyfunction]
    fn collector(rows: Vec<PyObjectRef>, mc: PyStrRef, vm: &VirtualMachine) -> PyResult<PyRef<PyFiles>> {
        let layers: Vec<Collection> = rows.iter().map(|row| collection(row, vm)).collect::<PyResult<_>>()?;
        Ok(PyFiles { files: Mutex::new(FileCollector::new(&layers, &mc.to_string())) }.into_ref(&vm.ctx))
    }

    impl PyFiles {
        fn files(&self) -> MutexGuard<'_, FileCollector> {
            self.files.lock().unwrap_or_else(PoisonError::into_inner)
        }
    }

    #[pyclass]
    impl PyFiles {
        /// (priority, name of the layer or None) of a file.
        #[pymethod]
        fn priority(zelf: &Py<Self>, file: PyStrRef, vm: &VirtualMachine) -> PyResult {
            let files = zelf.files();
            let (priority, layer) = files.priority(&file.to_string());
            let layer = layer.map_or_else(|| vm.ctx.none(), |layer| text(vm, layer));
            Ok(vm.ctx.new_tuple(vec![vm.ctx.new_int(priority).into(), layer]).into())
        }

        /// (recipe files, how many BBMASK hides, folders looked into).
        #[pymethod]
        fn collect(zelf: &Py<Self>, d: PyObjectRef, vm: &VirtualMachine) -> PyResult {
            let store = hz_python::store::unwrap(&d, vm)?;
            // A copy works: reading variables may run Python, which may ask this very object.
            let mut files = zelf.files().copy();
            let found = files.collect(store).map_err(|e| raised(vm, e))?;
            *zelf.files() = files;
            let parts = vec![texts(vm, found.files), vm.ctx.new_int(found.masked).into(), texts(vm, found.searched)];
            Ok(vm.ctx.new_tuple(parts).into())
        }

        /// All appends: (name of the recipe file it wants, path).
        #[pymethod]
        fn appends(zelf: &Py<Self>, vm: &VirtualMachine) -> PyObjectRef {
            let files = zelf.files();
            let row = |(wants, path): &(String, String)| vm.ctx.new_tuple(vec![text(vm, wants), text(vm, path)]).into();
            vm.ctx.new_list(files.appends().iter().map(row).collect()).into()
        }

        /// The appends that apply to a recipe file.
        #[pymethod]
        fn file_appends(zelf: &Py<Self>, file: PyStrRef, vm: &VirtualMachine) -> PyObjectRef {
            texts(vm, zelf.files().appends_of(&file.to_string()))
        }

        /// Recipe -> recipes of the same file name that it hides.
        #[pymethod]
        fn overlayed(zelf: &Py<Self>, vm: &VirtualMachine) -> PyResult<PyDictRef> {
            let dict = vm.ctx.new_dict();
            for (recipe, hidden) in &zelf.files().overlayed {
                dict.set_item(&**recipe, texts(vm, hidden), vm)?;
            }
            Ok(dict)
        }

        /// Priority by recipe; tells of layers that none of the files belongs to.
        #[pymethod]
        fn priorities(zelf: &Py<Self>, recipes: Vec<String>, all: Vec<String>, d: PyObjectRef, vm: &VirtualMachine) -> PyResult<PyDictRef> {
            let store = hz_python::store::unwrap(&d, vm)?;
            let recipes: Vec<hz_diagnostics::Str> = recipes.into_iter().map(Into::into).collect();
            let files = zelf.files().copy();
            let dict = vm.ctx.new_dict();
            for (recipe, priority) in files.priorities(&recipes, &all, store).map_err(|e| raised(vm, e))? {
                dict.set_item(&*recipe, vm.ctx.new_int(priority).into(), vm)?;
            }
            Ok(dict)
        }
    }
}
