//! What parsing on behalf of Python code leaves behind: the exceptions it stands for, and the facts of
//! signatures in the stores.

use hz_siggen::SignatureError;
use hz_data::{RuntimeError, SetInfo, Value};
use hz_diagnostics::Str;
use hz_parse::{Error, Result, Variant};
use indexmap::IndexMap;
use rustpython_vm::builtins::{PyBaseException, PyBaseExceptionRef};
use rustpython_vm::{PyObjectRef, PyResult, VirtualMachine};
use std::sync::Arc;

fn made(vm: &VirtualMachine, object: PyResult) -> PyBaseExceptionRef {
    match object.map(|e| e.downcast::<PyBaseException>()) {
        Ok(Ok(exception)) | Err(exception) => exception,
        Ok(Err(_)) => vm.new_runtime_error("an exception was expected"),
    }
}

fn parse_error(vm: &VirtualMachine, message: &str, file: &str, line: u32) -> PyBaseExceptionRef {
    // The exception puts the place in front of its text itself.
    let bare = [format!("ParseError at {file}:{line}: "), format!("ParseError in {file}: ")]
        .iter()
        .find_map(|place| message.strip_prefix(place.as_str()))
        .unwrap_or(message);
    let args: Vec<PyObjectRef> = vec![vm.ctx.new_str(bare).into(), vm.ctx.new_str(file).into(), vm.ctx.new_int(line).into()];
    made(vm, crate::bridge::call(vm, "bb.parse", "ParseError", args))
}

/// `OSError(number, text)` for a text `[Errno NUMBER] TEXT`.
fn os_error(vm: &VirtualMachine, message: &str) -> PyBaseExceptionRef {
    let parts = message.strip_prefix("[Errno ").and_then(|rest| rest.split_once("] "));
    let Some((Ok(number), text)) = parts.map(|(number, text)| (number.parse::<i32>(), text)) else {
        return vm.new_os_error(message.to_string());
    };
    let args: Vec<PyObjectRef> = vec![vm.ctx.new_int(number).into(), vm.ctx.new_str(text).into()];
    made(vm, crate::bridge::call(vm, "builtins", "OSError", args))
}

/// The Python exception for a parsing error.
pub fn raised(vm: &VirtualMachine, error: Error) -> PyBaseExceptionRef {
    match error {
        Error::Handled => hz_python::errors::from_runtime(vm, &RuntimeError::Handled),
        Error::Skip(reason) => hz_python::errors::from_runtime(vm, &RuntimeError::Skip(reason)),
        Error::Data(e, _) => hz_python::errors::from_data(vm, *e),
        // By this way an ExpansionError learns the names it passed through natively.
        Error::Python(e, _) => hz_python::errors::from_data(vm, hz_data::DataError::Runtime(*e)),
        Error::Parse(d) => match &d.place {
            Some(place) => parse_error(vm, &d.message, &place.file, place.line),
            None => parse_error(vm, &d.message, "", 0),
        },
        Error::File { message, .. } => os_error(vm, &message),
        Error::Other(text) => vm.new_exception_msg(vm.ctx.exceptions.exception_type.to_owned(), text.into()),
    }
}

/// Tells why a recipe has no signatures; gives the exception for the caller to pass on.
pub fn unsigned(error: &SignatureError) -> Error {
    if let Some(report) = error.report() {
        hz_events::log(hz_events::level::ERROR, "Main", report);
    }
    if let Some(warning) = error.warning() {
        hz_events::log(hz_events::level::WARNING, "Main", warning);
    }
    error.exception().into()
}

/// Leaves in a variant's store what `bb.siggen`'s `finalise` leaves there, for Python code that looks.
///
/// # Errors
/// The store cannot be written.
pub fn keep_signatures(variant: &Variant) -> Result<()> {
    let (Some(found), store) = (&variant.signatures, &variant.store) else { return Ok(()) };
    let sets = |items: &IndexMap<Str, Vec<Str>>| {
        let set = |names: &Vec<Str>| Value::Set(Arc::new(names.iter().cloned().collect()));
        Value::Map(Arc::new(items.iter().map(|(name, names)| (name.clone(), set(names))).collect()))
    };
    let quiet = SetInfo { ignore: true, ..SetInfo::default() };
    let hashes = found.basehashes.iter().map(|(task, hash)| (task.clone(), Value::Str(hash.clone()))).collect();
    let siggen = hz_siggen::packed::with_interner(|tables| found.siggen.unpack(IndexMap::new(), tables));
    let values = siggen.varvals.iter().map(|(name, value)| (name.clone(), value.to_value())).collect();
    store.set_var("__siggen_basehashes", Value::Map(Arc::new(hashes)), &quiet)?;
    store.set_var("__siggen_gendeps", sets(&siggen.gendeps), &quiet)?;
    store.set_var("__siggen_varvals", Value::Map(Arc::new(values)), &quiet)?;
    store.set_var("__siggen_taskdeps", sets(&siggen.taskdeps), &quiet)?;
    Ok(())
}
