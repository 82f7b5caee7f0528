//! The data store: names, values, flags, operations, overrides, expansion, history and
//! copy-on-write copies. Knows no Python: inline Python goes through [`Runtime`].
//!
//! A [`DataStore`] is a handle: cloning it gives another name for the same store (as a Python
//! reference does); [`DataStore::create_copy`] makes an independent one that shares storage until
//! written.

pub mod emit;
mod answers;
mod cache;
mod depth;
mod error;
mod expand;
mod history;
mod keys;
mod pmap;
mod read;
mod record;
mod replaced;
mod runtime;
mod snapshot;
mod store;
pub mod text;
mod value;
mod watch;
mod write;

#[cfg(test)]
mod tests;

pub use depth::{Level, TOO_DEEP};
pub use error::{DataError, Result, type_name};
pub use expand::Refs;

pub use runtime::{ClassEvent, Depends, Frame, LibFunction, LibFunctions, PythonError, Runtime, RuntimeError, definitions, note_definition, without_python};
pub use history::is_anything_tracked;
pub use keys::Fingerprint;
pub use snapshot::{SavedOperation, SavedVariable, Snapshot};
pub use read::Flags;
pub use record::{Record, harmless, plain_references};
pub use replaced::{Method, NAMES as REPLACEABLE, is_any_replaced, set_replaced};
pub use store::RENAMED;
pub use hz_diagnostics::python_repr;
pub use value::{Object, StoreObject, Value, same_value};
pub use watch::{ReadSet, collect_reads, list_reads, remember_origins};

use hz_diagnostics::Str;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

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
    /// Python function of the metadata that made the change; the place is found by looking at who
    /// called, so messages about the change do not give it.
    pub func: Option<Str>,
    /// The program itself made the change; shown in the history where there is no `file`.
    pub origin: Option<Origin>,
    /// Do not record in history.
    pub ignore: bool,
}

/// A change the program itself makes: (file, line, function) as release 2.18 shows it in the history
/// of a variable, so that the output of `bitbake -e` can be compared.
pub type Origin = (&'static str, u32, &'static str);

impl SetInfo {
    /// A change made by the program itself.
    pub fn internal(origin: Origin) -> SetInfo {
        SetInfo { origin: Some(origin), ..SetInfo::default() }
    }
    /// Where the metadata says the change is made.
    pub(crate) fn stated_file(&self) -> Option<&Str> {
        self.file.as_ref().filter(|_| self.func.is_none())
    }
}

/// How to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
    /// `:remove` texts, unexpanded, that took a word away.
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

/// A handle on a store; see the module's head. Reading is in `read.rs`, writing in `write.rs`,
/// names in `keys.rs`, history in `history.rs`. May be used from any thread: one lock a store,
/// which the thread that holds it may take again, as Python code in an expansion does.
#[derive(Clone)]
pub struct DataStore(Arc<store::Inner>);

impl DataStore {
    pub fn new(runtime: Arc<dyn Runtime>) -> DataStore {
        DataStore::from_state(runtime, store::State::new())
    }
    pub fn runtime(&self) -> Arc<dyn Runtime> {
        self.0.runtime.clone()
    }
    /// Every value is made anew from here on; for tests of those that are kept.
    #[cfg(test)]
    pub(crate) fn forget_kept_values(&self) {
        self.locked(|ctx| ctx.st.borrow_mut().cache.forget());
    }

    /// Gives back the memory of what only dependency analysis asks for; it can be asked again.
    pub fn forget_references(&self) {
        self.locked(|ctx| ctx.st.borrow_mut().cache.forget_references());
    }

    /// An independent store with the same contents; shares everything until one of them writes.
    pub fn create_copy(&self) -> DataStore {
        if Method::CreateCopy.asks()
            && let Some(copy) = self.ask_copy()
        {
            return copy;
        }
        let state = self.locked(|ctx| ctx.st.borrow_mut().copy());
        DataStore::from_state(self.runtime(), state)
    }
    /// Tells stores apart while they live; a name for what `same` compares.
    pub fn id(&self) -> usize {
        Arc::as_ptr(&self.0) as *const () as usize
    }
    /// Same store (Python's `is`)?
    pub fn same(&self, other: &DataStore) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}
