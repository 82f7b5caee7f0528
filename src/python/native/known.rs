//! Functions of Python and of `bb` that are done natively when natively run code calls them: known by the
//! object, so that whoever replaces one is asked.

use hz_versions::glob::glob;
use hz_versions::percent::quote;
use hz_versions::paths::{basename, dirname, join, normpath, relpath};
use super::value::{Shared, Val};
use crate::errors::from_data;
use crate::utils::{contains_all, contains_any, filter_words, to_boolean};
use hz_data::{DataStore, Read, Value};
use rustc_hash::FxHashMap;
use rustpython_vm::builtins::{PyFunction, PyStr, PyType};
use rustpython_vm::{AsObject, PyObject, PyObjectRef, PyResult, VirtualMachine};
use std::cell::RefCell;
use std::cmp::Ordering;
use std::mem::ManuallyDrop;

#[derive(Clone, Copy, Debug)]
pub enum Known {
    Len,
    Str,
    Int,
    Bool,
    List,
    Tuple,
    Set,
    Sorted,
    Any,
    All,
    IsInstance,
    BaseName,
    DirName,
    NormPath,
    Join,
    RelPath,
    Exists,
    IsFile,
    IsDir,
    IsAbs,
    SplitExt,
    RealPath,
    Glob,
    ExplodeDeps,
    Contains,
    ContainsAny,
    Filter,
    FilterString,
    ToBoolean,
    InheritsClass,
    VarsFromFile,
    Quote,
    Repr,
    Min,
    Max,
    Access,
}

/// Module, name, and what it is.
const NAMES: [(&str, &str, Known); 36] = [
    ("builtins", "len", Known::Len),
    ("builtins", "str", Known::Str),
    ("builtins", "int", Known::Int),
    ("builtins", "bool", Known::Bool),
    ("builtins", "list", Known::List),
    ("builtins", "tuple", Known::Tuple),
    ("builtins", "set", Known::Set),
    ("builtins", "sorted", Known::Sorted),
    ("builtins", "any", Known::Any),
    ("builtins", "all", Known::All),
    ("builtins", "isinstance", Known::IsInstance),
    ("builtins", "repr", Known::Repr),
    ("builtins", "min", Known::Min),
    ("builtins", "max", Known::Max),
    ("posix", "access", Known::Access),
    ("posixpath", "basename", Known::BaseName),
    ("posixpath", "dirname", Known::DirName),
    ("posixpath", "normpath", Known::NormPath),
    ("posixpath", "join", Known::Join),
    ("posixpath", "relpath", Known::RelPath),
    ("genericpath", "exists", Known::Exists),
    ("genericpath", "isfile", Known::IsFile),
    ("genericpath", "isdir", Known::IsDir),
    ("posixpath", "isabs", Known::IsAbs),
    ("posixpath", "splitext", Known::SplitExt),
    ("_hz_stdlib._os", "realpath", Known::RealPath),
    ("glob", "glob", Known::Glob),
    ("bb.utils", "explode_deps", Known::ExplodeDeps),
    ("_hz_utils", "contains", Known::Contains),
    ("_hz_utils", "contains_any", Known::ContainsAny),
    ("_hz_utils", "filter", Known::Filter),
    ("_hz_utils", "filter_string", Known::FilterString),
    ("_hz_utils", "to_boolean", Known::ToBoolean),
    ("bb.data", "inherits_class", Known::InheritsClass),
    ("bb.parse", "vars_from_file", Known::VarsFromFile),
    ("urllib.parse", "quote", Known::Quote),
];

#[derive(Default)]
struct Table {
    known: FxHashMap<usize, Known>,
    /// Keeps the addresses.
    _objects: Vec<PyObjectRef>,
    /// Of modules that nobody had imported so far.
    waiting: Vec<(&'static str, &'static str, Known)>,
}

thread_local! {
    /// Not taken apart when a thread ends: the VM's part of it may be gone.
    static TABLE: RefCell<Option<ManuallyDrop<Table>>> = const { RefCell::new(None) };
}

impl Table {
    fn new() -> Table {
        Table { waiting: NAMES.to_vec(), ..Table::default() }
    }

    /// Takes what is imported by now.
    fn fill(&mut self, vm: &VirtualMachine) {
        let Ok(modules) = vm.sys_module.get_attr("modules", vm) else { return };
        for (name, function, known) in std::mem::take(&mut self.waiting) {
            // The standard library's can take long, and nobody may ever use them.
            let ours = name.starts_with("bb.") || name.starts_with("_hz");
            let module = if ours { crate::runtime::module(vm, name) } else { modules.get_item(name, vm) };
            let Ok(module) = module else {
                self.waiting.push((name, function, known));
                continue;
            };
            let Ok(object) = module.get_attr(function, vm) else { continue };
            // Only what stands where it was defined: somebody may have put something else there.
            let from = object.get_attr("__module__", vm).and_then(|m| m.str(vm)).map(|m| m.to_string_lossy().into_owned());
            let own = match from {
                Ok(from) => from == name,
                Err(_) => true,
            };
            if own {
                self.known.insert(std::ptr::from_ref::<PyObject>(&object) as usize, known);
                self._objects.push(object);
            }
        }
    }

    fn get(&self, object: &PyObject) -> Option<Known> {
        self.known.get(&(std::ptr::from_ref(object) as usize)).copied()
    }

    /// May it be one of those that wait?
    fn waits_for(&self, object: &PyObject, vm: &VirtualMachine) -> bool {
        !self.waiting.is_empty()
            && object.downcast_ref::<PyFunction>().is_some()
            && object
                .get_attr("__module__", vm)
                .is_ok_and(|module| module.downcast_ref::<PyStr>().is_some_and(|name| self.waiting.iter().any(|(known, ..)| name.as_bytes() == known.as_bytes())))
    }
}

pub fn known(object: &PyObject, vm: &VirtualMachine) -> Option<Known> {
    let look = || {
        TABLE.with_borrow(|table| {
            let table = table.as_ref()?;
            let found = table.get(object);
            Some((found, found.is_none() && table.waits_for(object, vm)))
        })
    };
    match look() {
        Some((found, false)) => found,
        seen => {
            // What is imported for it may come here, too.
            let mut table = if seen.is_none() { ManuallyDrop::new(Table::new()) } else { TABLE.take()? };
            table.fill(vm);
            let found = table.get(object);
            TABLE.set(Some(table));
            found
        }
    }
}

/// The texts of a list, tuple or set, or the words of a text, as `bb.utils` takes them.
fn with_words<R>(value: &Val, use_them: impl FnOnce(&mut dyn Iterator<Item = &str>) -> R) -> Option<R> {
    match value {
        Val::Str(text) => Some(use_them(&mut hz_versions::words(text))),
        Val::Set(set) => set.read(|set| use_them(&mut set.iter().map(|item| &**item))),
        list => list.items(|items| {
            let texts: Option<Vec<&str>> = items.iter().map(|item| item.as_str().map(|text| &**text)).collect();
            texts.map(|texts| use_them(&mut texts.into_iter()))
        })?,
    }
}

fn read(store: &DataStore, name: &str, vm: &VirtualMachine) -> PyResult<Option<Value>> {
    let value = crate::vm::waiting(vm, || store.get_var(name, Read::default())).map_err(|error| from_data(vm, error))?;
    Ok(value.filter(Value::is_true))
}

/// What a set makes of items, if they are all texts.
fn set_of(items: &[Val]) -> Option<Val> {
    let texts: Option<indexmap::IndexSet<_>> = items.iter().map(|item| item.as_str().cloned()).collect();
    texts.map(|texts| Val::Set(Shared::new(texts)))
}

/// The items of something of ours that can be gone through, as they are now.
pub fn snapshot(value: &Val) -> Option<Vec<Val>> {
    match value {
        Val::Set(set) => set.read(|set| set.iter().cloned().map(Val::Str).collect()),
        Val::Dict(dict) => dict.read(|dict| dict.keys().cloned().map(Val::Str).collect()),
        Val::Str(text) => Some(text.chars().map(|c| Val::text(c.encode_utf8(&mut [0; 4]))).collect()),
        value => value.items(<[Val]>::to_vec),
    }
}

/// Are both made of texts and numbers in the same places, so that they have an order?
fn alike(a: &Val, b: &Val) -> bool {
    match (a, b) {
        (Val::Str(_), Val::Str(_)) | (Val::Int(_), Val::Int(_)) => true,
        (Val::Tuple(a), Val::Tuple(b)) => a.len() == b.len() && a.iter().zip(b.iter()).all(|(a, b)| alike(a, b)),
        _ => false,
    }
}

/// The order of values that are [`alike`].
fn order(a: &Val, b: &Val) -> Ordering {
    match (a, b) {
        (Val::Str(a), Val::Str(b)) => a.cmp(b),
        (Val::Int(a), Val::Int(b)) => a.cmp(b),
        (Val::Tuple(a), Val::Tuple(b)) => a.iter().zip(b.iter()).map(|(a, b)| order(a, b)).find(|order| order.is_ne()).unwrap_or(Ordering::Equal),
        _ => Ordering::Equal,
    }
}

/// Sorts what can be compared here; None: there is something else among it.
pub fn sort(items: &mut [Val]) -> Option<()> {
    let Some(first) = items.first() else { return Some(()) };
    if !items.iter().all(|item| alike(first, item)) {
        return None;
    }
    items.sort_by(order);
    Some(())
}

impl Known {
    /// Does the answer depend on its arguments and the store alone?
    pub fn is_pure(self) -> bool {
        !matches!(self, Known::Exists | Known::IsFile | Known::IsDir | Known::RealPath | Known::Glob | Known::Access)
    }
}

/// Calls a known function with arguments by name; None: the VM has to.
pub fn call_named(known: Known, args: &[Val], named: &[(super::compile::Name, Val)]) -> Option<Val> {
    let [(name, value)] = named else { return None };
    match (known, args, name.as_str(), value) {
        (Known::Sorted, [list], "reverse", Val::Bool(true)) => {
            let mut items = snapshot(list)?;
            // Equal ones stay in order.
            items.reverse();
            sort(&mut items)?;
            items.reverse();
            Some(Val::list(items))
        }
        (Known::Quote, [Val::Str(text)], "safe", Val::Str(safe)) if safe.is_ascii() => Some(Val::Str(quote(text, safe).into())),
        _ => None,
    }
}

/// Calls a known function; None: the VM has to.
pub fn call(known: Known, args: &[Val], vm: &VirtualMachine) -> PyResult<Option<Val>> {
    Ok(match (known, args) {
        (Known::Len, [value]) => match value {
            Val::Str(text) => Some(Val::Int(text.chars().count() as i64)),
            Val::Dict(dict) => dict.read(|dict| Val::Int(dict.len() as i64)),
            Val::Set(set) => set.read(|set| Val::Int(set.len() as i64)),
            value => value.items(|items| Val::Int(items.len() as i64)),
        },
        (Known::Str, [value]) => value.shown().map(Val::Str),
        (Known::Int, [Val::Str(digits)]) => {
            let digits = digits.trim_matches(hz_versions::is_space);
            let bare = digits.strip_prefix(['-', '+']).unwrap_or(digits);
            let plain = !bare.is_empty() && bare.bytes().all(|byte| byte.is_ascii_digit());
            if plain { digits.parse().ok().map(Val::Int) } else { None }
        }
        (Known::Int, [value]) => value.number().map(Val::Int),
        (Known::Repr, [value]) => value.repr().map(|text| Val::Str(text.into())),
        (Known::Min, [Val::Int(first), rest @ ..]) if !rest.is_empty() => {
            rest.iter().try_fold(*first, |least, value| if let Val::Int(value) = value { Some(least.min(*value)) } else { None }).map(Val::Int)
        }
        (Known::Max, [Val::Int(first), rest @ ..]) if !rest.is_empty() => {
            rest.iter().try_fold(*first, |most, value| if let Val::Int(value) = value { Some(most.max(*value)) } else { None }).map(Val::Int)
        }
        (Known::Access, [Val::Str(path), Val::Int(mode)]) => access(path, *mode).map(Val::Bool),
        (Known::Bool, [value]) => Some(Val::Bool(value.is_true(vm)?)),
        (Known::List, []) => Some(Val::list(Vec::new())),
        (Known::List, [value]) => snapshot(value).map(Val::list),
        (Known::Tuple, [value]) => snapshot(value).map(Val::tuple),
        (Known::Set, []) => Some(Val::Set(Shared::new(Default::default()))),
        (Known::Set, [value]) => snapshot(value).and_then(|items| set_of(&items)),
        (Known::Sorted, [value]) => snapshot(value).and_then(|mut items| {
            sort(&mut items)?;
            Some(Val::list(items))
        }),
        (Known::Any | Known::All, [value]) => {
            let Some(items) = snapshot(value) else { return Ok(None) };
            let any = matches!(known, Known::Any);
            for item in items {
                if item.is_true(vm)? == any {
                    return Ok(Some(Val::Bool(any)));
                }
            }
            Some(Val::Bool(!any))
        }
        (Known::IsInstance, [value, Val::Object(class)]) => is_instance(value, class, vm),
        (Known::BaseName, [Val::Str(path)]) => Some(Val::text(basename(path))),
        (Known::DirName, [Val::Str(path)]) => Some(Val::text(dirname(path))),
        (Known::NormPath, [Val::Str(path)]) => Some(Val::Str(normpath(path).into())),
        (Known::Join, [Val::Str(first), rest @ ..]) => {
            let joined = rest.iter().try_fold(first.to_string(), |path, part| part.as_str().map(|part| join(&path, part)));
            joined.map(|path| Val::Str(path.into()))
        }
        // Others are taken from where the process stands.
        (Known::RelPath, [Val::Str(path), Val::Str(start)]) if path.starts_with('/') && start.starts_with('/') => {
            Some(Val::Str(relpath(path, start).into()))
        }
        (Known::Exists, [Val::Str(path)]) => Some(Val::Bool(std::path::Path::new(&**path).exists())),
        (Known::IsFile, [Val::Str(path)]) => Some(Val::Bool(std::path::Path::new(&**path).is_file())),
        (Known::IsDir, [Val::Str(path)]) => Some(Val::Bool(std::path::Path::new(&**path).is_dir())),
        (Known::RealPath, [Val::Str(path)]) => {
            let found = crate::utils::system::realpath(std::path::Path::new(&**path));
            found.and_then(|path| path.into_os_string().into_string().ok()).map(|path| Val::Str(path.into()))
        }
        (Known::Glob, [Val::Str(pattern)]) => {
            Some(Val::list(glob(pattern, &mut Vec::new()).into_iter().map(|path| Val::Str(path.into())).collect()))
        }
        (Known::SplitExt, [Val::Str(path)]) => {
            let at = path.len() - basename(path).len();
            // Dots in front belong to the name.
            let bare = path[at..].trim_start_matches('.');
            let end = bare.rfind('.').map_or(path.len(), |dot| path.len() - bare.len() + dot);
            Some(Val::tuple(vec![Val::text(&path[..end]), Val::text(&path[end..])]))
        }
        (Known::ExplodeDeps, [Val::Str(deps)]) => Some(Val::list(hz_versions::explode_deps(deps).iter().map(|dep| Val::text(dep)).collect())),
        (Known::IsAbs, [Val::Str(path)]) => Some(Val::Bool(path.starts_with('/'))),
        (Known::Contains | Known::ContainsAny, [Val::Str(name), check, yes, no, Val::Store(store)]) => {
            if !matches!(check, Val::Str(_) | Val::List(_) | Val::Tuple(_) | Val::Set(_)) {
                return Ok(None);
            }
            let Some(value) = read(store, name, vm)? else { return Ok(Some(no.clone())) };
            let Value::Str(have) = value else { return Ok(None) };
            let any = matches!(known, Known::ContainsAny);
            let found = with_words(check, |words| if any { contains_any(&have, words) } else { contains_all(&have, words) });
            found.map(|found| if found { yes.clone() } else { no.clone() })
        }
        (Known::Filter, [Val::Str(name), check, Val::Store(store)]) => {
            let Some(value) = read(store, name, vm)? else { return Ok(Some(Val::text(""))) };
            let Value::Str(have) = value else { return Ok(None) };
            with_words(check, |words| Val::Str(filter_words(&have, words).into()))
        }
        (Known::FilterString, [Val::None, _]) => Some(Val::text("")),
        (Known::FilterString, [Val::Str(have), check]) => with_words(check, |words| Val::Str(filter_words(have, words).into())),
        (Known::ToBoolean, [value, rest @ ..]) if rest.len() < 2 => {
            if !value.is_true(vm)? {
                return Ok(Some(rest.first().cloned().unwrap_or(Val::None)));
            }
            match value {
                Val::Str(text) => to_boolean(text).map(Val::Bool),
                other => other.number().map(|number| Val::Bool(number != 0)),
            }
        }
        (Known::InheritsClass, [Val::Str(class), Val::Store(store)]) => Some(Val::Bool(crate::store::inherits_class(class, store))),
        (Known::VarsFromFile, [file, Val::Store(_)]) => vars_from_file(file),
        (Known::Quote, [Val::Str(text)]) => Some(Val::Str(quote(text, "/").into())),
        (Known::Quote, [Val::Str(text), Val::Str(safe)]) if safe.is_ascii() => Some(Val::Str(quote(text, safe).into())),
        _ => None,
    })
}

/// `os.access`. None: a text that is no path, or a number that is none of its modes.
fn access(path: &str, mode: i64) -> Option<bool> {
    let mode = nix::unistd::AccessFlags::from_bits(i32::try_from(mode).ok()?)?;
    match nix::unistd::access(path, mode) {
        Err(nix::errno::Errno::EINVAL) => None,
        done => Some(done.is_ok()),
    }
}

fn vars_from_file(file: &Val) -> Option<Val> {
    let name = match file {
        Val::Str(name) if name.ends_with(".bb") || name.ends_with(".bbappend") => name,
        Val::Str(_) | Val::None => return Some(Val::tuple(vec![Val::None, Val::None, Val::None])),
        _ => return None,
    };
    let base = basename(name);
    let dot = base.rfind('.')?;
    // A name that is nothing but its suffix has no suffix.
    let stem = if base[..dot].bytes().all(|byte| byte == b'.') { base } else { &base[..dot] };
    let mut parts: Vec<Val> = stem.split('_').map(Val::text).collect();
    if parts.len() > 3 {
        return None;
    }
    parts.resize(3, Val::None);
    Some(Val::list(parts))
}

/// `isinstance` of values of ours and the plain types.
/// Is an object of the VM one of this class, which has no say of its own in that? None: by what the object itself says
/// (`__class__`), perhaps.
fn is_of_class(value: &Val, class: &PyObject, vm: &VirtualMachine) -> Option<Val> {
    let class = class.downcast_ref::<PyType>()?;
    let object = value.to_object(vm).ok()?;
    if object.class().fast_issubclass(class) {
        return Some(Val::Bool(true));
    }
    let says = vm.ctx.intern_str("__class__");
    let plain = vm.ctx.types.object_type.get_attr(says)?;
    object.class().get_attr(says).filter(|found| found.is(&plain)).map(|_| Val::Bool(false))
}

fn is_instance(value: &Val, class: &PyObject, vm: &VirtualMachine) -> Option<Val> {
    let types = &vm.ctx.types;
    let own = match value {
        Val::Str(_) => types.str_type,
        Val::Int(_) => types.int_type,
        Val::Bool(_) => types.bool_type,
        Val::List(_) => types.list_type,
        Val::Tuple(_) => types.tuple_type,
        Val::Dict(_) => types.dict_type,
        Val::Set(_) => types.set_type,
        Val::Object(_) | Val::Store(_) if class.class().is(types.type_type) => return is_of_class(value, class, vm),
        _ => return None,
    };
    let plain = [types.str_type, types.int_type, types.bool_type, types.list_type, types.tuple_type, types.dict_type, types.set_type];
    if !plain.iter().any(|known| class.is(known.as_object())) {
        return None;
    }
    let same = class.is(own.as_object()) || (matches!(value, Val::Bool(_)) && class.is(types.int_type.as_object()));
    Some(Val::Bool(same))
}
