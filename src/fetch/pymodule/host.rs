//! The core's host where Python is: events, output, tracers, and errors as exceptions.

use super::convert::attached;
use super::method;
use crate::context::Host;
use crate::error::{FetchError, Foreign, Kind, Result};
use crate::methods::Method;
use crate::urldata::UrlData;
use hz_data::{DataStore, StoreObject, Value};
use hz_python::convert::Held;
use hz_python::errors;
use hz_python::store::{unwrap, wrap};
use rustpython_vm::builtins::PyBaseExceptionRef;
use rustpython_vm::function::{FuncArgs, KwArgs};
use rustpython_vm::{AsObject, PyObjectRef, PyResult, VirtualMachine};
use std::any::Any;
use std::fmt;
use std::sync::Arc;

pub struct PythonHost;

/// Runs Python and takes its exception as an error of ours.
pub fn python<T>(f: impl FnOnce(&VirtualMachine) -> PyResult<T>) -> Result<T> {
    hz_python::enter(|vm| f(vm).map_err(|e| caught(vm, e)))
}

impl Host for PythonHost {
    fn methods(&self) -> Arc<[Arc<dyn Method>]> {
        hz_python::enter(method::all)
    }
    fn missing_checksum(&self, d: &DataStore, url: &str, sums: &[(&'static str, String)]) -> Result<()> {
        python(|vm| {
            let class = errors::class(vm, "bb.fetch2", "MissingChecksumEvent")
                .ok_or_else(|| vm.new_runtime_error("bb.fetch2 has no MissingChecksumEvent".to_owned()))?;
            let named: KwArgs =
                sums.iter().map(|(id, sum)| (format!("{id}sum"), vm.ctx.new_str(&**sum).into())).collect::<Vec<(String, PyObjectRef)>>().into_iter().collect();
            let event = class.as_object().call(FuncArgs::new(vec![vm.ctx.new_str(url).into()], named), vm)?;
            let fire = vm.import("bb.event", 0)?.get_attr("event", vm)?.get_attr("fire", vm)?;
            fire.call((event, wrap(d, vm)?), vm).map(drop)
        })
    }
    fn output(&self, text: &str) {
        // To Python's own stream, which holds back text of its own.
        let _ = python(|vm| {
            let stdout = vm.sys_module.get_attr("stdout", vm)?;
            vm.call_method(&stdout, "write", (text.to_owned(),))
        });
    }
    fn trace_unpack(&self, ud: &UrlData, kind: &str, directory: &str) -> Result<()> {
        let Some(object) = attached(ud) else { return Ok(()) };
        python(|vm| {
            let Ok(tracer) = object.get_attr("unpack_tracer", vm) else { return Ok(()) };
            vm.call_method(&tracer, "unpack", (kind.to_owned(), directory.to_owned())).map(drop)
        })
    }
    fn original_environment(&self, d: &DataStore) -> Option<DataStore> {
        let Value::Object(object) = d.get_raw("BB_ORIGENV")? else { return None };
        if let Some(store) = object.as_any().downcast_ref::<StoreObject>() {
            return Some(store.0.clone());
        }
        let held = object.as_any().downcast_ref::<Held>()?;
        hz_python::enter(|vm| unwrap(&held.0, vm).ok().cloned())
    }
}

/// An exception on its way through the core.
pub struct Raised {
    pub exception: PyBaseExceptionRef,
    kind: Kind,
    text: String,
    checksum: Option<String>,
}
impl fmt::Debug for Raised {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
impl fmt::Display for Raised {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
impl Foreign for Raised {
    fn kind(&self) -> Kind {
        self.kind
    }
    fn checksum(&self) -> Option<String> {
        self.checksum.clone()
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
}

fn caught(vm: &VirtualMachine, exception: PyBaseExceptionRef) -> FetchError {
    let is = |name: &str| {
        errors::class(vm, "bb.fetch2", name).is_some_and(|class| exception.class().fast_issubclass(&class))
    };
    if is("NonLocalMethod") {
        return FetchError::NonLocal;
    }
    let kind = if is("NetworkAccess") {
        Kind::NetworkAccess
    } else if is("NoChecksumError") {
        Kind::NoChecksum
    } else if is("ChecksumError") {
        Kind::Checksum
    } else if is("BBFetchException") {
        Kind::Fetch
    } else {
        Kind::Other
    };
    let text = errors::message(vm, &exception);
    let checksum = exception.as_object().get_attr("checksum", vm).ok().and_then(|c| c.try_into_value::<String>(vm).ok());
    FetchError::Foreign(Arc::new(Raised { exception, kind, text, checksum }))
}

/// The exception that an error of ours is in Python.
pub fn raise(vm: &VirtualMachine, error: FetchError) -> PyBaseExceptionRef {
    exception(vm, error).unwrap_or_else(|e| e)
}

fn exception(vm: &VirtualMachine, error: FetchError) -> PyResult<PyBaseExceptionRef> {
    let new = |s: &str| -> PyObjectRef { vm.ctx.new_str(s).into() };
    let option = |s: &Option<String>| s.as_deref().map_or_else(|| vm.ctx.none(), new);
    let make = |name: &str, args: Vec<PyObjectRef>| -> PyResult<PyBaseExceptionRef> {
        vm.import("bb.fetch2", 0)?;
        let class = errors::class(vm, "bb.fetch2", name)
            .ok_or_else(|| vm.new_runtime_error(format!("bb.fetch2 has no {name}")))?;
        vm.invoke_exception(&class, args)
    };
    match &error {
        FetchError::Fetch { message, url } => make("FetchError", vec![new(message), option(url)]),
        FetchError::Checksum { message, url, checksum } => {
            make("ChecksumError", vec![new(message), option(url), option(checksum)])
        }
        FetchError::NoChecksum { message } => make("NoChecksumError", vec![new(message)]),
        FetchError::MissingSums => make("BBFetchException", vec![new(&error.to_string())]),
        FetchError::Unpack { message, url } => make("UnpackError", vec![new(message), new(url)]),
        FetchError::LocalModifications { repodir, url, output } => {
            make("LocalModificationsError", vec![new(repodir), new(url), new(output)])
        }
        FetchError::Rebase { repodir, url, output } => make("RebaseError", vec![new(repodir), new(url), new(output)]),
        FetchError::Malformed { url, message } => {
            make("MalformedUrl", vec![new(url), new(message.as_deref().unwrap_or(""))])
        }
        FetchError::Untrusted { url, message } => {
            make("UntrustedUrl", vec![new(url), new(message.as_deref().unwrap_or(""))])
        }
        FetchError::NoMethod { url } => make("NoMethodError", vec![new(url)]),
        FetchError::MissingParameter { missing, url } => make("MissingParameterError", vec![new(missing), new(url)]),
        FetchError::Parameter { message, url } => make("ParameterError", vec![new(message), new(url)]),
        FetchError::NetworkAccess { url, command } => make("NetworkAccess", vec![new(url), new(command)]),
        FetchError::NonLocal => make("NonLocalMethod", vec![]),
        FetchError::Fatal(text) => {
            hz_events::log(hz_events::level::CRITICAL, "Main", text.as_str());
            Ok(errors::from_runtime(vm, &hz_data::RuntimeError::Handled))
        }
        FetchError::Skip(text) => Ok(errors::from_runtime(vm, &hz_data::RuntimeError::Skip(text.clone()))),
        FetchError::Value(text) => Ok(vm.new_value_error(text.clone())),
        FetchError::Runtime(text) => Ok(vm.new_runtime_error(text.clone())),
        FetchError::Io { errno, path, text } => {
            let description = nix::errno::Errno::from_raw(*errno).desc();
            let description = if description == "Unknown errno" { text } else { description };
            let class = vm.ctx.exceptions.os_error.to_owned();
            let args = vec![vm.ctx.new_int(*errno).into(), new(description), new(path)];
            // OSError's constructor picks the subclass (FileNotFoundError, …).
            class.as_object().call(args, vm)?.downcast().map_err(|_| vm.new_runtime_error(error.to_string()))
        }
        FetchError::Data(e) => Ok(errors::from_data(vm, e.clone())),
        FetchError::Foreign(e) => match e.as_any().downcast_ref::<Raised>() {
            Some(raised) => Ok(raised.exception.clone()),
            None => make("BBFetchException", vec![new(&e.to_string())]),
        },
    }
}
