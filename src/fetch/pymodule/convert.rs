//! Between Python's `FetchData` and the core's `UrlData`, and other values of the interface.

use super::method;
use crate::uri::{Decoded, Params};
use crate::urldata::{CHECKSUMS, Sum, UrlData};
use hz_data::Value;
use hz_python::convert::{text_of, to_python, to_value};
use indexmap::IndexMap;
use rustpython_vm::builtins::{PyDict, PyDictRef, PyStr, PyStrRef};
use rustpython_vm::{AsObject, PyObjectRef, PyResult, VirtualMachine};
use std::sync::Arc;

/// Attributes that `UrlData` has fields for, and those that are nobody's business here.
const FIELDS: [&str; 21] = [
    "url", "type", "host", "path", "user", "pswd", "parm", "date", "name", "method", "localfile", "localpath", "basename",
    "basepath", "donestamp", "lockfile", "needdonestamp", "mirrortarballs", "ignore_checksums", "revision", "unpack_tracer",
];

pub fn text(value: &PyStrRef) -> String {
    text_of(value).to_string()
}

/// Text, or `None` for Python's None.
pub fn optional_text(value: &PyObjectRef, vm: &VirtualMachine) -> PyResult<Option<String>> {
    if vm.is_none(value) {
        return Ok(None);
    }
    match value.downcast_ref::<PyStr>() {
        Some(s) => Ok(Some(text_of(s).to_string())),
        None => Err(vm.new_type_error(format!("a text is needed, not '{}'", value.class().slot_name()))),
    }
}

/// Text of anything; `None` for None. For attributes, which layers may have set to anything.
fn loose_text(value: &PyObjectRef, vm: &VirtualMachine) -> PyResult<Option<String>> {
    if vm.is_none(value) {
        return Ok(None);
    }
    Ok(Some(match value.downcast_ref::<PyStr>() {
        Some(s) => text_of(s).to_string(),
        None => value.str(vm)?.to_string_lossy().into_owned(),
    }))
}

pub fn strings(list: &PyObjectRef, vm: &VirtualMachine) -> PyResult<Vec<String>> {
    vm.extract_elements_with(list, |item| Ok(loose_text(&item, vm)?.unwrap_or_default()))
}

pub fn mapping(dict: &PyDictRef, vm: &VirtualMachine) -> PyResult<Vec<(String, String)>> {
    dict.items_vec()
        .into_iter()
        .map(|(k, v)| Ok((loose_text(&k, vm)?.unwrap_or_default(), loose_text(&v, vm)?.unwrap_or_default())))
        .collect()
}

pub fn pair(a: &str, b: &str, vm: &VirtualMachine) -> PyObjectRef {
    vm.ctx.new_tuple(vec![vm.ctx.new_str(a).into(), vm.ctx.new_str(b).into()]).into()
}

/// Mirror pairs; lines that are no pairs are ignored.
pub fn pairs(list: &PyObjectRef, vm: &VirtualMachine) -> PyResult<Vec<(String, String)>> {
    let items: Vec<Vec<String>> = vm.extract_elements_with(list, |item| strings(&item, vm))?;
    Ok(items
        .into_iter()
        .filter_map(|item| match <[String; 2]>::try_from(item) {
            Ok([find, put]) => Some((find, put)),
            Err(_) => None,
        })
        .collect())
}

pub fn params_dict(params: &Params, vm: &VirtualMachine) -> PyResult {
    let dict = vm.ctx.new_dict();
    for (k, v) in params {
        let value = v.as_deref().map_or_else(|| vm.ctx.none(), |v| vm.ctx.new_str(v).into());
        dict.set_item(&**k, value, vm)?;
    }
    Ok(dict.into())
}

fn params(value: &PyObjectRef, vm: &VirtualMachine) -> PyResult<Params> {
    let mut out = Params::new();
    if let Some(dict) = value.downcast_ref::<PyDict>() {
        for (k, v) in dict.items_vec() {
            out.insert(loose_text(&k, vm)?.unwrap_or_default(), loose_text(&v, vm)?);
        }
    } else if !vm.is_none(value) {
        let items = vm.call_method(value, "items", ())?;
        for item in vm.extract_elements_with(&items, |i| strings(&i, vm))? {
            if let [k, v] = item.as_slice() {
                out.insert(k.clone(), Some(v.clone()));
            }
        }
    }
    Ok(out)
}

pub fn decoded_tuple(d: &Decoded, vm: &VirtualMachine) -> PyResult {
    let new = |s: &str| -> PyObjectRef { vm.ctx.new_str(s).into() };
    let fields = vec![new(&d.scheme), new(&d.host), new(&d.path), new(&d.user), new(&d.pswd), params_dict(&d.params, vm)?];
    Ok(vm.ctx.new_tuple(fields).into())
}

/// The six fields; any of them may be None.
pub fn decoded(fields: &PyObjectRef, vm: &VirtualMachine) -> PyResult<Decoded> {
    let items: Vec<PyObjectRef> = vm.extract_elements_with(fields, Ok)?;
    let count = items.len();
    let [scheme, host, path, user, pswd, parameters] = <[PyObjectRef; 6]>::try_from(items)
        .map_err(|_| vm.new_value_error(format!("expected 6 fields of a URL, got {count}")))?;
    let get = |v: &PyObjectRef| loose_text(v, vm).map(Option::unwrap_or_default);
    Ok(Decoded {
        scheme: get(&scheme)?,
        host: get(&host)?,
        path: get(&path)?,
        user: get(&user)?,
        pswd: get(&pswd)?,
        params: params(&parameters, vm)?,
    })
}

/// Remembers the Python object that `data` mirrors.
pub fn attach(data: &mut UrlData, object: &PyObjectRef) {
    data.foreign = Some(Arc::new(object.clone()));
}

/// The Python object that `data` mirrors, if there is one.
pub fn attached(data: &UrlData) -> Option<PyObjectRef> {
    data.foreign.as_ref()?.downcast_ref::<PyObjectRef>().cloned()
}

/// A Python `FetchData` for `data`: the one it mirrors, or a new one.
pub fn object(data: &UrlData, vm: &VirtualMachine) -> PyResult {
    if let Some(object) = attached(data) {
        write(data, None, &object, vm)?;
        return Ok(object);
    }
    let class = vm.import("bb.fetch2", 0)?;
    let _ = class;
    let class = hz_python::errors::class(vm, "bb.fetch2", "FetchData")
        .ok_or_else(|| vm.new_runtime_error("bb.fetch2 has no FetchData".to_owned()))?;
    let object = vm.call_method(class.as_object(), "__new__", (class.clone(),))?;
    write(data, None, &object, vm)?;
    Ok(object)
}

/// Reads a Python `FetchData`.
pub fn read(object: &PyObjectRef, vm: &VirtualMachine) -> PyResult<UrlData> {
    let dict = object.dict().ok_or_else(|| vm.new_type_error("a FetchData is needed".to_owned()))?;
    let mut all: IndexMap<String, PyObjectRef> = IndexMap::new();
    for (k, v) in dict.items_vec() {
        if let Some(name) = k.downcast_ref::<PyStr>() {
            all.insert(text_of(name).to_string(), v);
        }
    }
    let optional = |name: &str| match all.get(name) {
        Some(v) => loose_text(v, vm),
        None => Ok(None),
    };
    let get = |name: &str| optional(name).map(Option::unwrap_or_default);
    let truth = |name: &str, default: bool| match all.get(name) {
        Some(v) => v.clone().is_true(vm),
        None => Ok(default),
    };
    let method = match all.get("method").filter(|m| !vm.is_none(m)) {
        Some(m) => method::of_object(m, vm),
        None => Arc::new(crate::methods::Unsupported),
    };
    let mut sums = Vec::new();
    for id in CHECKSUMS {
        sums.push(Sum {
            id,
            name: optional(&format!("{id}_name"))?.unwrap_or_else(|| format!("{id}sum")),
            expected: optional(&format!("{id}_expected"))?,
        });
    }
    let mut data = UrlData {
        url: get("url")?,
        scheme: get("type")?,
        host: get("host")?,
        path: get("path")?,
        user: get("user")?,
        pswd: get("pswd")?,
        parm: all.get("parm").map_or_else(|| Ok(Params::new()), |p| params(p, vm))?,
        date: optional("date")?,
        name: get("name")?,
        method,
        localfile: get("localfile")?,
        localpath: optional("localpath")?,
        basename: optional("basename")?,
        basepath: optional("basepath")?,
        donestamp: optional("donestamp")?,
        lockfile: optional("lockfile")?,
        needdonestamp: truth("needdonestamp", true)?,
        mirrortarballs: all.get("mirrortarballs").map_or_else(|| Ok(Vec::new()), |l| strings(l, vm))?,
        ignore_checksums: truth("ignore_checksums", false)?,
        revision: optional("revision")?,
        sums,
        extra: IndexMap::new(),
        foreign: None,
    };
    for (name, value) in &all {
        let known = FIELDS.contains(&name.as_str())
            || CHECKSUMS.iter().any(|id| name.strip_prefix(id).is_some_and(|rest| matches!(rest, "_name" | "_expected")));
        if !known {
            match to_value(value, vm) {
                // Somebody's own object stays where it is.
                Value::Object(_) => {}
                plain => drop(data.extra.insert(name.clone(), plain)),
            }
        }
    }
    attach(&mut data, object);
    Ok(data)
}

/// Writes `data` to its Python object: all of it, or what differs from `before`.
pub fn write(data: &UrlData, before: Option<&UrlData>, object: &PyObjectRef, vm: &VirtualMachine) -> PyResult<()> {
    let set = |name: &str, value: PyObjectRef| object.set_attr(&vm.ctx.new_str(name), value, vm);
    let new = |s: &str| -> PyObjectRef { vm.ctx.new_str(s).into() };
    let option = |s: &Option<String>| s.as_deref().map_or_else(|| vm.ctx.none(), new);
    macro_rules! put {
        ($field:ident, $name:literal, $convert:expr) => {
            if before.is_none_or(|b| b.$field != data.$field) {
                set($name, $convert(&data.$field))?;
            }
        };
    }
    put!(url, "url", |s: &String| new(s));
    put!(scheme, "type", |s: &String| new(s));
    put!(host, "host", |s: &String| new(s));
    put!(path, "path", |s: &String| new(s));
    put!(user, "user", |s: &String| new(s));
    put!(pswd, "pswd", |s: &String| new(s));
    put!(date, "date", option);
    put!(name, "name", |s: &String| new(s));
    put!(localfile, "localfile", |s: &String| new(s));
    put!(localpath, "localpath", option);
    put!(basename, "basename", option);
    put!(basepath, "basepath", option);
    put!(donestamp, "donestamp", option);
    put!(lockfile, "lockfile", option);
    put!(needdonestamp, "needdonestamp", |b: &bool| vm.ctx.new_bool(*b).into());
    put!(ignore_checksums, "ignore_checksums", |b: &bool| vm.ctx.new_bool(*b).into());
    put!(mirrortarballs, "mirrortarballs", |l: &Vec<String>| {
        vm.ctx.new_list(l.iter().map(|s| new(s)).collect()).into()
    });
    if before.is_none_or(|b| b.parm != data.parm) {
        set("parm", params_dict(&data.parm, vm)?)?;
    }
    // Only what has a revision has the attribute.
    if data.revision.is_some() && before.is_none_or(|b| b.revision != data.revision) {
        set("revision", option(&data.revision))?;
    }
    if before.is_none_or(|b| !Arc::ptr_eq(&b.method, &data.method)) {
        set("method", method::object(&data.method, vm)?)?;
    }
    for sum in &data.sums {
        let old = before.and_then(|b| b.sums.iter().find(|s| s.id == sum.id));
        if old != Some(sum) {
            set(&format!("{}_name", sum.id), new(&sum.name))?;
            set(&format!("{}_expected", sum.id), option(&sum.expected))?;
        }
    }
    for (name, value) in &data.extra {
        let old = before.and_then(|b| b.extra.get(name));
        if !old.is_some_and(|old| same(old, value)) {
            set(name, to_python(value, vm)?)?;
        }
    }
    Ok(())
}

fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::None, Value::None) => true,
        (Value::Str(a), Value::Str(b)) => a == b,
        (Value::Int(a), Value::Int(b)) => a == b,
        (Value::Bool(a), Value::Bool(b)) => a == b,
        (Value::List(a), Value::List(b)) => Arc::ptr_eq(a, b),
        (Value::Map(a), Value::Map(b)) => Arc::ptr_eq(a, b),
        (Value::Set(a), Value::Set(b)) => Arc::ptr_eq(a, b),
        _ => false,
    }
}
