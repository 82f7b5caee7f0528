//! Methods of `bb.data_smart.DataSmart` that metadata has put functions of its own in place of. Code
//! here that stands for a call of such a method then asks Python, as a call in the reference would; the
//! original of a method stays what Python code calls by the name it had kept.
//!
//! Nothing is paid for it while nobody does so: one word is looked at.

use crate::{DataError, DataStore, Read, Result, SetInfo, StoreObject, Value};
use hz_diagnostics::Str;
use indexmap::IndexMap;
use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// A method that can be replaced; its place in [`NAMES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    GetVar,
    GetVarFlag,
    GetVarFlags,
    SetVar,
    SetVarFlag,
    SetVarFlags,
    AppendVar,
    AppendVarFlag,
    PrependVar,
    PrependVarFlag,
    DelVar,
    DelVarFlag,
    DelVarFlags,
    RenameVar,
    Expand,
    CreateCopy,
}

const METHODS: [Method; 16] = [
    Method::GetVar, Method::GetVarFlag, Method::GetVarFlags, Method::SetVar, Method::SetVarFlag, Method::SetVarFlags, Method::AppendVar,
    Method::AppendVarFlag, Method::PrependVar, Method::PrependVarFlag, Method::DelVar, Method::DelVarFlag, Method::DelVarFlags,
    Method::RenameVar, Method::Expand, Method::CreateCopy,
];

/// Python's names of the methods, in the order of [`Method`].
pub const NAMES: [&str; 16] = [
    "getVar", "getVarFlag", "getVarFlags", "setVar", "setVarFlag", "setVarFlags", "appendVar", "appendVarFlag",
    "prependVar", "prependVarFlag", "delVar", "delVarFlag", "delVarFlags", "renameVar", "expand", "createCopy",
];

/// A bit for each method that is replaced in this process.
static REPLACED: AtomicU32 = AtomicU32::new(0);

thread_local! {
    /// Methods whose next call on this thread is the original's.
    static ORIGINAL: Cell<u32> = const { Cell::new(0) };
}

/// The class has functions of somebody else's for these names, and for no others.
pub fn set_replaced<'a>(names: impl IntoIterator<Item = &'a str>) {
    let methods = names.into_iter().filter_map(Method::of);
    REPLACED.store(methods.fold(0, |all, method| all | method.bit()), Ordering::Relaxed);
}

/// Has metadata put anything in place of a method?
pub fn is_any_replaced() -> bool {
    REPLACED.load(Ordering::Relaxed) != 0
}

impl Method {
    /// By Python's name.
    pub fn of(name: &str) -> Option<Method> {
        NAMES.iter().position(|known| *known == name).map(|at| METHODS[at])
    }

    fn bit(self) -> u32 {
        1 << self as u32
    }

    #[inline]
    pub(crate) fn is_replaced(self) -> bool {
        REPLACED.load(Ordering::Relaxed) & self.bit() != 0
    }

    /// Python calls the original: the call of the store's method that follows is not to ask again.
    #[inline]
    pub fn original(self) {
        if self.is_replaced() {
            ORIGINAL.set(ORIGINAL.get() | self.bit());
        }
    }

    /// Is Python to be asked instead?
    #[inline]
    pub(crate) fn asks(self) -> bool {
        self.is_replaced() && self.not_original()
    }

    #[cold]
    fn not_original(self) -> bool {
        let original = ORIGINAL.get();
        ORIGINAL.set(original & !self.bit());
        original & self.bit() == 0
    }
}

/// What a call of the reference's own gives beside the values. Where the program itself makes the change it
/// names no place.
fn named(info: &SetInfo, variable: &Value) -> Vec<(&'static str, Value)> {
    let mut named = Vec::new();
    if info.ignore {
        named.push(("ignore", true.into()));
    } else {
        if let Some(file) = &info.file {
            named.push(("variable", variable.clone()));
            named.push(("file", file.clone().into()));
            named.push(("line", i64::from(info.line).into()));
        }
        if !info.op.is_empty() {
            named.push(("op", info.op.into()));
        }
        if let Some(detail) = &info.detail {
            named.push(("detail", detail.clone()));
        }
        if let Some(func) = &info.func {
            named.push(("func", func.clone().into()));
        }
    }
    if info.parsing {
        named.push(("parsing", true.into()));
    }
    named
}

impl DataStore {
    #[cold]
    fn ask(&self, method: Method, values: &[Value], named: &[(&str, Value)]) -> Result<Value> {
        self.0.runtime.call_method(self, NAMES[method as usize], values, named).map_err(DataError::from)
    }

    /// A change made by the method that stands in Python.
    #[cold]
    pub(crate) fn ask_change(&self, method: Method, values: &[Value], info: &SetInfo) -> Result<()> {
        self.ask(method, values, &named(info, &values[0])).map(drop)
    }

    /// A value read by the method that stands in Python.
    #[cold]
    pub(crate) fn ask_value(&self, method: Method, names: &[&str], read: Read) -> Result<Option<Value>> {
        let mut values: Vec<Value> = names.iter().map(|name| Value::str(*name)).collect();
        let mut named: Vec<(&str, Value)> = Vec::new();
        if !read.expand {
            values.push(false.into());
        }
        if read.noweakdefault {
            named.push(("noweakdefault", true.into()));
        }
        if read.parsing {
            named.push(("parsing", true.into()));
        }
        Ok(Some(self.ask(method, &values, &named)?).filter(|value| !matches!(value, Value::None)))
    }

    #[cold]
    pub(crate) fn ask_flags(&self, name: &str, expand: Option<&[&str]>, internal: bool) -> Result<Option<IndexMap<Str, Value>>> {
        let expand = match expand {
            Some(flags) => Value::List(Arc::new(flags.iter().map(|flag| Value::str(*flag)).collect())),
            None => false.into(),
        };
        match self.ask(Method::GetVarFlags, &[name.into(), expand, internal.into()], &[])? {
            Value::None => Ok(None),
            Value::Map(flags) => Ok(Some(Arc::unwrap_or_clone(flags))),
            other => Err(DataError::python("TypeError", format!("getVarFlags gave {}, not a dictionary", other.repr()))),
        }
    }

    #[cold]
    pub(crate) fn ask_expand(&self, source: &str, varname: Option<&str>) -> Result<Str> {
        let mut values = vec![source.into()];
        values.extend(varname.map(Value::from));
        Ok(self.ask(Method::Expand, &values, &[])?.to_text())
    }

    /// None: what came back is no store, which whoever replaced the method was told of.
    #[cold]
    pub(crate) fn ask_copy(&self) -> Option<DataStore> {
        match self.ask(Method::CreateCopy, &[], &[]) {
            Ok(Value::Object(object)) if object.as_any().is::<StoreObject>() => {
                object.as_any().downcast_ref::<StoreObject>().map(|store| store.0.clone())
            }
            Ok(other) => {
                self.warn(&format!("createCopy gave {}, not a data store", other.repr()));
                None
            }
            Err(error) => {
                self.warn(&format!("createCopy failed: {}", error.message()));
                None
            }
        }
    }
}
