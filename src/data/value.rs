//! What a variable or a flag can hold.

use hz_diagnostics::{Str, python_repr};
use indexmap::{IndexMap, IndexSet};
use std::any::Any;
use std::fmt;
use std::sync::Arc;

/// A value that only the Python runtime understands (a live Python object). The store keeps and
/// hands it on, and asks it for text where text is needed.
pub trait Object: Any + Send + Sync + fmt::Debug {
    /// What Python's `str()` gives.
    fn to_text(&self) -> String;
    /// As signature files hold it, if it is data that JSON knows.
    fn to_json(&self) -> Option<String> {
        None
    }
    /// Python's truth value.
    fn is_true(&self) -> bool;
    fn as_any(&self) -> &dyn Any;
}

/// A value of a variable or flag. Metadata files only make `Str`; code can store the others, and
/// their type must survive (a flag set to `1` is written to sigdata as a number).
#[derive(Clone, Debug)]
pub enum Value {
    /// Python's `None` stored on purpose (`d.setVar("X", None)`); reads like an unset value.
    None,
    Str(Str),
    Int(i64),
    Bool(bool),
    List(Arc<Vec<Value>>),
    Set(Arc<IndexSet<Str>>),
    Map(Arc<IndexMap<Str, Value>>),
    Object(Arc<dyn Object>),
}

impl Value {
    pub fn str(text: impl Into<Str>) -> Value {
        Value::Str(text.into())
    }
    /// The text, if this is text.
    pub fn as_str(&self) -> Option<&Str> {
        if let Value::Str(s) = self { Some(s) } else { None }
    }
    /// What Python's `str()` gives for it.
    pub fn to_text(&self) -> Str {
        match self {
            Value::Str(s) => s.clone(),
            Value::None => "None".into(),
            Value::Int(i) => i.to_string().into(),
            Value::Bool(true) => "True".into(),
            Value::Bool(false) => "False".into(),
            Value::Object(o) => o.to_text().into(),
            Value::List(_) | Value::Set(_) | Value::Map(_) => self.repr().into(),
        }
    }
    /// What Python's `repr()` gives for it, containers included.
    pub fn repr(&self) -> String {
        match self {
            Value::Str(s) => python_repr(s),
            Value::List(l) => format!("[{}]", l.iter().map(Value::repr).collect::<Vec<_>>().join(", ")),
            Value::Set(s) if s.is_empty() => "set()".into(),
            Value::Set(s) => format!("{{{}}}", s.iter().map(|x| python_repr(x)).collect::<Vec<_>>().join(", ")),
            Value::Map(m) => format!(
                "{{{}}}",
                m.iter().map(|(k, v)| format!("{}: {}", python_repr(k), v.repr())).collect::<Vec<_>>().join(", ")
            ),
            other => other.to_text().to_string(),
        }
    }
    /// Python's truth value.
    pub fn is_true(&self) -> bool {
        match self {
            Value::None => false,
            Value::Str(s) => !s.is_empty(),
            Value::Int(i) => *i != 0,
            Value::Bool(b) => *b,
            Value::List(l) => !l.is_empty(),
            Value::Set(s) => !s.is_empty(),
            Value::Map(m) => !m.is_empty(),
            Value::Object(o) => o.is_true(),
        }
    }
}

/// Are both the same for certain? What cannot be looked into is never.
pub fn same_value(a: Option<&Value>, b: Option<&Value>) -> bool {
    match (a, b) {
        (None, None) | (Some(Value::None), Some(Value::None)) => true,
        (Some(Value::Str(a)), Some(Value::Str(b))) => a == b,
        (Some(Value::Int(a)), Some(Value::Int(b))) => a == b,
        (Some(Value::Bool(a)), Some(Value::Bool(b))) => a == b,
        (Some(Value::List(a)), Some(Value::List(b))) => {
            Arc::ptr_eq(a, b) || (a.len() == b.len() && a.iter().zip(&**b).all(|(a, b)| same_value(Some(a), Some(b))))
        }
        _ => false,
    }
}

impl From<&str> for Value {
    fn from(s: &str) -> Self {
        Value::Str(s.into())
    }
}
impl From<Str> for Value {
    fn from(s: Str) -> Self {
        Value::Str(s)
    }
}
impl From<bool> for Value {
    fn from(b: bool) -> Self {
        Value::Bool(b)
    }
}
impl From<i64> for Value {
    fn from(i: i64) -> Self {
        Value::Int(i)
    }
}
impl From<String> for Value {
    fn from(s: String) -> Self {
        Value::Str(s.into())
    }
}

/// A whole store as the value of a variable: `BB_ORIGENV`. Python shows it as a `d` of its own.
#[derive(Clone)]
pub struct StoreObject(pub crate::DataStore);

impl fmt::Debug for StoreObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_text())
    }
}

impl Object for StoreObject {
    fn to_text(&self) -> String {
        format!("<bb.data_smart.DataSmart object at {:#x}>", self.0.id())
    }
    fn is_true(&self) -> bool {
        true
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
}
