//! The data store: names, values, flags, operations, overrides, expansion, history and
//! copy-on-write copies. Knows no Python: inline Python goes through [`Runtime`].
//!
//! A [`DataStore`] is a handle: cloning it gives another name for the same store (as a Python
//! reference does); [`DataStore::create_copy`] makes an independent one that shares storage until
//! written.

mod runtime;
mod value;

pub use runtime::{ClassEvent, Frame, LibFunction, PythonError, Runtime, RuntimeError};
pub use value::{Object, StoreObject, Value, python_repr};

use hz_diagnostics::Str;
use indexmap::IndexMap;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A failed read or write.
#[derive(Clone, Debug, thiserror::Error)]
pub enum DataError {
    /// Expansion of `var` failed; `chain` names the variables on the way, outermost first.
    /// Its text is the reference's ExpansionError text.
    #[error("Failure expanding variable {var}, expression was {expression} which triggered exception {cause}")]
    Expansion { var: String, expression: String, cause: RuntimeError, chain: Vec<String> },
    #[error("{0}")]
    Runtime(#[from] RuntimeError),
    /// "Overrides could not be expanded into a stable state after 5 iterations" and the like.
    #[error("{0}")]
    Other(String),
}
pub type Result<T, E = DataError> = std::result::Result<T, E>;

/// Where and how a value was set; recorded in the history while tracking is on.
#[derive(Clone, Debug, Default)]
pub struct SetInfo {
    /// True while a metadata file is evaluated: keeps `:append` & co. and override variants.
    pub parsing: bool,
    pub file: Option<Str>,
    pub line: u32,
    /// History operation: "set", "set?", "append", "prepend", "postdot", "predot", "immediate",
    /// "exported", …; empty: "set".
    pub op: &'static str,
    /// Value as the file gave it, if it differs from the value set.
    pub detail: Option<Value>,
    pub func: Option<Str>,
    /// Do not record in history.
    pub ignore: bool,
}

/// How to read.
#[derive(Clone, Copy, Debug)]
pub struct Read {
    pub expand: bool,
    pub noweakdefault: bool,
    pub parsing: bool,
}
impl Default for Read {
    fn default() -> Self {
        Read { expand: true, noweakdefault: false, parsing: false }
    }
}
/// Unexpanded read.
pub const RAW: Read = Read { expand: false, noweakdefault: false, parsing: false };

/// The result of expanding with everything it touched (expandWithRefs, and getVarFlag's retparser).
#[derive(Clone, Debug, Default)]
pub struct Expansion {
    /// Expanded value (None: the variable has none).
    pub value: Option<Value>,
    /// Value before expansion, `:append`s applied.
    pub unexpanded: Option<Value>,
    pub references: BTreeSet<Str>,
    pub execs: BTreeSet<Str>,
    pub contains: BTreeMap<Str, BTreeSet<Str>>,
    /// `:remove` texts that are active, unexpanded -> the expansion of each.
    pub removes: BTreeSet<Str>,
}

/// One entry of a variable's history.
#[derive(Clone, Debug)]
pub struct HistoryEntry {
    pub variable: Str,
    pub file: Str,
    pub line: u32,
    pub op: Str,
    pub detail: Value,
    pub flag: Option<Str>,
    pub func: Option<Str>,
}

#[derive(Clone)]
pub struct DataStore(Arc<()>);

#[allow(unused_variables)]
impl DataStore {
    pub fn new(runtime: Arc<dyn Runtime>) -> DataStore { todo!() }
    pub fn runtime(&self) -> Arc<dyn Runtime> { todo!() }
    pub fn create_copy(&self) -> DataStore { todo!() }
    /// Tells stores apart while they live; a name for what `same` compares.
    pub fn id(&self) -> usize { Arc::as_ptr(&self.0) as *const () as usize }
    /// Same store (Python's `is`)?
    pub fn same(&self, other: &DataStore) -> bool { Arc::ptr_eq(&self.0, &other.0) }

    // -- reading
    pub fn get_var(&self, name: &str, read: Read) -> Result<Option<Value>> { todo!() }
    /// `d.getVar(name)` as text; None when unset.
    pub fn get(&self, name: &str) -> Result<Option<Str>> { todo!() }
    /// `d.getVar(name) or ""`.
    pub fn get_or_empty(&self, name: &str) -> Result<Str> { todo!() }
    pub fn get_raw(&self, name: &str) -> Option<Value> { todo!() }
    pub fn get_flag(&self, name: &str, flag: &str, read: Read) -> Result<Option<Value>> { todo!() }
    /// Flag, expanded, as text.
    pub fn flag_text(&self, name: &str, flag: &str) -> Result<Option<Str>> { todo!() }
    /// `getVarFlags`: `expand` lists the flags to expand (None: none). Internal flags (those
    /// starting with "_" and the `:append` records) only with `internal`. None: no flags at all.
    pub fn get_flags(&self, name: &str, expand: Option<&[&str]>, internal: bool) -> Result<Option<IndexMap<Str, Value>>> { todo!() }
    pub fn expand(&self, text: &str, varname: Option<&str>) -> Result<Str> { todo!() }
    pub fn expand_with_refs(&self, text: &str, varname: Option<&str>) -> Result<Expansion> { todo!() }
    /// getVarFlag(name, flag, expand=True, retparser=True): value and everything it touches.
    /// `flag` is "_content" for the variable itself.
    pub fn read_with_refs(&self, name: &str, flag: &str) -> Result<Expansion> { todo!() }
    /// All names, in the order of the reference's iteration as far as it is defined.
    pub fn keys(&self) -> Vec<Str> { todo!() }
    pub fn local_keys(&self) -> Vec<Str> { todo!() }
    pub fn contains(&self, name: &str) -> bool { todo!() }
    pub fn has_overrides(&self, name: &str) -> bool { todo!() }
    /// OVERRIDES split, in order; `need_overrides`.
    pub fn overrides(&self) -> Result<Vec<Str>> { todo!() }
    /// The `get_hash` of the configuration, BB_HASHCONFIG_IGNORE_VARS left out.
    pub fn get_hash(&self) -> Result<String> { todo!() }

    // -- writing
    pub fn set_var(&self, name: &str, value: impl Into<Value>, info: &SetInfo) -> Result<()> { todo!() }
    pub fn append_var(&self, name: &str, value: impl Into<Value>, info: &SetInfo) -> Result<()> { todo!() }
    pub fn prepend_var(&self, name: &str, value: impl Into<Value>, info: &SetInfo) -> Result<()> { todo!() }
    pub fn del_var(&self, name: &str, info: &SetInfo) -> Result<()> { todo!() }
    pub fn rename_var(&self, name: &str, new: &str, info: &SetInfo) -> Result<()> { todo!() }
    pub fn set_flag(&self, name: &str, flag: &str, value: impl Into<Value>, info: &SetInfo) -> Result<()> { todo!() }
    pub fn append_flag(&self, name: &str, flag: &str, value: impl Into<Value>, info: &SetInfo) -> Result<()> { todo!() }
    pub fn prepend_flag(&self, name: &str, flag: &str, value: impl Into<Value>, info: &SetInfo) -> Result<()> { todo!() }
    pub fn del_flag(&self, name: &str, flag: &str, info: &SetInfo) -> Result<()> { todo!() }
    pub fn set_flags(&self, name: &str, flags: &[(&str, Value)], info: &SetInfo) -> Result<()> { todo!() }
    pub fn del_flags(&self, name: &str, info: &SetInfo) -> Result<()> { todo!() }
    /// `setVarFilter`; None removes it.
    pub fn set_filter(&self, name: &str, expr: Option<&str>) -> Result<()> { todo!() }
    /// expandKeys: renames keys that hold `${`, telling of clashes through `Runtime::log`.
    pub fn expand_keys(&self) -> Result<()> { todo!() }

    // -- history
    pub fn enable_tracking(&self) { todo!() }
    pub fn disable_tracking(&self) { todo!() }
    pub fn is_tracking(&self) -> bool { todo!() }
    pub fn history(&self, name: &str) -> Vec<HistoryEntry> { todo!() }
    pub fn history_record(&self, entry: HistoryEntry) { todo!() }
    pub fn history_delete(&self, name: &str) { todo!() }
    pub fn history_rename(&self, name: &str, new: &str) { todo!() }
    /// Include history: enter/leave a file while it is evaluated.
    pub fn include_enter(&self, file: &str) { todo!() }
    pub fn include_leave(&self) { todo!() }
}
