//! A data store as Python objects that `pickle` can write, and back: what `DataSmart.__reduce__`
//! stands on.

use crate::convert::{option_to_python, to_own_value, to_python, to_value};
use crate::store::{entry, record, text, unwrap};
use hz_data::{SavedOperation, SavedVariable, Snapshot, Value};
use hz_diagnostics::Str;
use rustpython_vm::builtins::PyDict;
use rustpython_vm::{PyObject, PyObjectRef, PyResult, VirtualMachine};

fn word(text: &Str, vm: &VirtualMachine) -> PyObjectRef {
    vm.ctx.new_str(&**text).into()
}

fn option(text: Option<&Str>, vm: &VirtualMachine) -> PyObjectRef {
    text.map_or_else(|| vm.ctx.none(), |text| word(text, vm))
}

fn tuple(items: Vec<PyObjectRef>, vm: &VirtualMachine) -> PyObjectRef {
    vm.ctx.new_tuple(items).into()
}

fn pairs(items: &[(Str, Str)], vm: &VirtualMachine) -> PyObjectRef {
    tuple(items.iter().map(|(a, b)| tuple(vec![word(a, vm), word(b, vm)], vm)).collect(), vm)
}

/// A store's content.
pub fn save(d: &PyObject, vm: &VirtualMachine) -> PyResult {
    let saved = unwrap(d, vm)?.snapshot();
    let mut variables = Vec::new();
    for var in &saved.variables {
        let mut parts = vec![word(&var.name, vm)];
        for value in [&var.content, &var.weak] {
            // Nothing, and `None` set on purpose, differ.
            parts.push(tuple(value.iter().map(|value| to_python(value, vm)).collect::<PyResult<_>>()?, vm));
        }
        for list in &var.operations {
            parts.push(match list {
                None => vm.ctx.none(),
                Some(list) => {
                    let pair = |(value, condition): &SavedOperation| {
                        Ok(tuple(vec![to_python(value, vm)?, option(condition.as_ref(), vm)], vm))
                    };
                    tuple(list.iter().map(pair).collect::<PyResult<_>>()?, vm)
                }
            });
        }
        let flag = |(name, value): &(Str, Value)| Ok(tuple(vec![word(name, vm), option_to_python(Some(value), vm)?], vm));
        parts.push(tuple(var.flags.iter().map(flag).collect::<PyResult<_>>()?, vm));
        parts.push(var.variants.as_ref().map_or_else(|| vm.ctx.none(), |list| pairs(list, vm)));
        variables.push(tuple(parts, vm));
    }
    let mut history = Vec::new();
    for (name, entries) in &saved.history {
        let entries = entries.iter().map(|found| entry(found, vm)).collect::<PyResult<_>>()?;
        history.push(tuple(vec![word(name, vm), tuple(entries, vm)], vm));
    }
    let include = |(file, parent): &(Str, u32)| tuple(vec![word(file, vm), vm.ctx.new_int(*parent).into()], vm);
    let parts = vec![
        tuple(variables, vm),
        pairs(&saved.filters, vm),
        pairs(&saved.renamed, vm),
        tuple(saved.override_variables.iter().map(|name| word(name, vm)).collect(), vm),
        vm.ctx.new_bool(saved.tracking).into(),
        tuple(history, vm),
        tuple(saved.includes.iter().map(include).collect(), vm),
    ];
    Ok(tuple(parts, vm))
}

/// The items of a tuple of `N`.
fn parts<const N: usize>(object: &PyObject, vm: &VirtualMachine) -> PyResult<[PyObjectRef; N]> {
    let items: Vec<PyObjectRef> = object.try_to_value(vm)?;
    items.try_into().map_err(|_| vm.new_value_error("not the state of a data store"))
}

fn list<T>(object: &PyObject, vm: &VirtualMachine, read: impl Fn(&PyObject) -> PyResult<T>) -> PyResult<Vec<T>> {
    object.try_to_value::<Vec<PyObjectRef>>(vm)?.iter().map(|item| read(item)).collect()
}

/// The same where there may be none.
fn maybe<T>(object: &PyObject, vm: &VirtualMachine, read: impl Fn(&PyObject) -> PyResult<T>) -> PyResult<Option<Vec<T>>> {
    if vm.is_none(object) { Ok(None) } else { list(object, vm, read).map(Some) }
}

fn pair(object: &PyObject, vm: &VirtualMachine) -> PyResult<(Str, Str)> {
    let [a, b] = parts(object, vm)?;
    Ok((text(&a, vm)?, text(&b, vm)?))
}

fn variable(object: &PyObject, vm: &VirtualMachine) -> PyResult<SavedVariable> {
    let [name, content, weak, append, prepend, remove, flags, variants] = parts(object, vm)?;
    let name = text(&name, vm)?;
    let value = |object: &PyObject| if name.starts_with("__") { to_own_value(object, vm) } else { to_value(object, vm) };
    let one = |object: &PyObject| Ok(list(object, vm, |item| Ok(value(item)))?.pop());
    let operation = |object: &PyObject| -> PyResult<SavedOperation> {
        let [value, condition] = parts(object, vm)?;
        let condition = if vm.is_none(&condition) { None } else { Some(text(&condition, vm)?) };
        Ok((to_value(&value, vm), condition))
    };
    let flag = |object: &PyObject| {
        let [name, value] = parts(object, vm)?;
        Ok((text(&name, vm)?, to_value(&value, vm)))
    };
    Ok(SavedVariable {
        content: one(&content)?,
        weak: one(&weak)?,
        operations: [maybe(&append, vm, operation)?, maybe(&prepend, vm, operation)?, maybe(&remove, vm, operation)?],
        flags: list(&flags, vm, flag)?,
        variants: maybe(&variants, vm, |item| pair(item, vm))?,
        name,
    })
}

/// Gives a store the content that [`save`] told.
pub fn restore(d: &PyObject, state: &PyObject, vm: &VirtualMachine) -> PyResult<()> {
    let [variables, filters, renamed, override_variables, tracking, history, includes] = parts(state, vm)?;
    let log = |object: &PyObject| {
        let [name, entries] = parts(object, vm)?;
        let entries = list(&entries, vm, |item| match item.downcast_ref::<PyDict>() {
            Some(dict) => record(dict, vm),
            None => Err(vm.new_value_error("not the state of a data store")),
        })?;
        Ok((text(&name, vm)?, entries))
    };
    let include = |object: &PyObject| {
        let [file, parent] = parts(object, vm)?;
        Ok((text(&file, vm)?, parent.try_into_value(vm)?))
    };
    let saved = Snapshot {
        variables: list(&variables, vm, |item| variable(item, vm))?,
        filters: list(&filters, vm, |item| pair(item, vm))?,
        renamed: list(&renamed, vm, |item| pair(item, vm))?,
        override_variables: list(&override_variables, vm, |item| text(item, vm))?,
        tracking: tracking.is_true(vm)?,
        history: list(&history, vm, log)?,
        includes: list(&includes, vm, include)?,
    };
    unwrap(d, vm)?.restore(saved);
    Ok(())
}
