//! `_hz_services`: the hash server's client for `hashserv` in `pylib/`.

use rustpython_vm::Context;
use rustpython_vm::builtins::PyModuleDef;

/// The module's definition, for the VM's start-up.
pub fn module_def(ctx: &Context) -> &'static PyModuleDef {
    _hz_services::module_def(ctx)
}

#[rustpython_vm::pymodule]
mod _hz_services {
    use crate::hashserv::{self, ClientError};
    use rustpython_vm::builtins::{PyBaseExceptionRef, PyStrRef};
    use rustpython_vm::convert::ToPyException;
    use rustpython_vm::types::Constructor;
    use rustpython_vm::{Py, PyObjectRef, PyPayload, PyResult, VirtualMachine, pyclass};
    use serde_json::{Map, Value};
    use std::sync::Mutex;

    /// What the server refused is a RuntimeError with its words.
    fn raise(error: ClientError, vm: &VirtualMachine) -> PyBaseExceptionRef {
        match error {
            ClientError::Connection(text) => vm.new_exception_msg(vm.ctx.exceptions.connection_error.to_owned(), text.into()),
            ClientError::Connect(error) => error.to_pyexception(vm),
            ClientError::Invoke(text) => vm.new_runtime_error(text),
            ClientError::Address(text) => vm.new_value_error(text),
        }
    }

    fn text(value: &PyStrRef) -> String {
        value.to_string_lossy().into_owned()
    }

    #[pyfunction]
    fn is_valid_unihash(value: PyObjectRef) -> bool {
        value.downcast_ref::<rustpython_vm::builtins::PyStr>().is_some_and(|s| hashserv::is_valid_unihash(&s.to_string_lossy()))
    }

    /// A client of a hash equivalence server.
    #[pyattr]
    #[pyclass(module = "_hz_services", name = "Client")]
    #[derive(PyPayload)]
    struct Client(Mutex<hashserv::Client>);

    impl std::fmt::Debug for Client {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("Client")
        }
    }

    impl Constructor for Client {
        type Args = (PyStrRef, Option<PyStrRef>, Option<PyStrRef>);
        fn py_new(_cls: &Py<rustpython_vm::builtins::PyType>, (address, username, password): Self::Args, vm: &VirtualMachine) -> PyResult<Self> {
            let (username, password) = (username.as_ref().map(text), password.as_ref().map(text));
            hashserv::Client::with_login(&text(&address), username.as_deref(), password.as_deref())
                .map(|client| Client(Mutex::new(client)))
                .map_err(|e| raise(e, vm))
        }
    }

    #[pyclass(with(Constructor))]
    impl Client {
        fn with<T>(&self, vm: &VirtualMachine, work: impl FnOnce(&mut hashserv::Client) -> Result<T, ClientError>) -> PyResult<T> {
            work(&mut self.0.lock().unwrap_or_else(|e| e.into_inner())).map_err(|e| raise(e, vm))
        }

        #[pymethod]
        fn connect(zelf: &Py<Self>, vm: &VirtualMachine) -> PyResult<()> {
            zelf.payload().with(vm, hashserv::Client::open)
        }

        #[pymethod]
        fn close(zelf: &Py<Self>) {
            zelf.payload().0.lock().unwrap_or_else(|e| e.into_inner()).close();
        }

        #[pymethod]
        fn invoke(zelf: &Py<Self>, command: PyStrRef, request: PyStrRef, vm: &VirtualMachine) -> PyResult<String> {
            let request: Value = serde_json::from_str(&text(&request)).map_err(|e| vm.new_value_error(e.to_string()))?;
            zelf.payload().with(vm, |c| c.invoke(&text(&command), request)).map(|v| v.to_string())
        }

        #[pymethod]
        fn get_unihash_batch(zelf: &Py<Self>, methods: Vec<PyStrRef>, taskhashes: Vec<PyStrRef>, vm: &VirtualMachine) -> PyResult<Vec<PyObjectRef>> {
            let queries: Vec<(String, String)> = methods.iter().map(text).zip(taskhashes.iter().map(text)).collect();
            let found = zelf.payload().with(vm, |c| c.get_unihash_batch(&queries))?;
            Ok(found.into_iter().map(|u| u.map_or_else(|| vm.ctx.none(), |u| vm.ctx.new_str(u).into())).collect())
        }

        #[pymethod]
        fn unihash_exists_batch(zelf: &Py<Self>, unihashes: Vec<PyStrRef>, vm: &VirtualMachine) -> PyResult<Vec<PyObjectRef>> {
            let unihashes: Vec<String> = unihashes.iter().map(text).collect();
            let found = zelf.payload().with(vm, |c| c.unihash_exists_batch(&unihashes))?;
            Ok(found.into_iter().map(|b| vm.ctx.new_bool(b).into()).collect())
        }

        #[pymethod]
        fn gc_mark_stream(zelf: &Py<Self>, mark: PyStrRef, conditions: Vec<PyStrRef>, vm: &VirtualMachine) -> PyResult<u64> {
            let conditions: Result<Vec<Map<String, Value>>, _> = conditions.iter().map(|c| serde_json::from_str(&text(c))).collect();
            let conditions = conditions.map_err(|e| vm.new_value_error(e.to_string()))?;
            zelf.payload().with(vm, |c| c.gc_mark_stream(&text(&mark), &conditions))
        }

        #[pymethod]
        fn auth(zelf: &Py<Self>, username: PyStrRef, token: PyStrRef, vm: &VirtualMachine) -> PyResult<String> {
            zelf.payload().with(vm, |c| c.auth(&text(&username), &text(&token))).map(|v| v.to_string())
        }

        #[pymethod]
        fn become_user(zelf: &Py<Self>, username: PyStrRef, vm: &VirtualMachine) -> PyResult<String> {
            zelf.payload().with(vm, |c| c.become_user(&text(&username))).map(|v| v.to_string())
        }

        #[pymethod]
        fn refresh_token(zelf: &Py<Self>, username: Option<PyStrRef>, vm: &VirtualMachine) -> PyResult<String> {
            let username = username.as_ref().map(text);
            zelf.payload().with(vm, |c| c.refresh_token(username.as_deref())).map(|v| v.to_string())
        }
    }
}
