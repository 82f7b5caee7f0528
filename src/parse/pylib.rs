//! `addpylib`: Python packages of layers, and what signatures need to know of their functions.

use crate::error::Result;
use hz_data::{DataStore, LibFunction, LibFunctions};
use hz_diagnostics::Str;
use indexmap::IndexMap;
use parking_lot::Mutex;
use std::sync::LazyLock;

#[derive(Default)]
struct Table {
    /// By dotted name, the last definition wins.
    known: IndexMap<Str, LibFunction>,
    /// Nobody has asked for these yet.
    waiting: Vec<LibFunctions>,
}

/// One table per process, as there is one Python.
static FUNCTIONS: LazyLock<Mutex<Table>> = LazyLock::new(Default::default);

/// Every function and class that `addpylib` made known for the configuration `_store` belongs to.
/// There is one Python and so one configuration per process; a new parse starts a new table.
pub fn lib_functions(_store: &DataStore) -> Vec<LibFunction> {
    let mut table = FUNCTIONS.lock();
    for functions in std::mem::take(&mut table.waiting) {
        for function in functions.find() {
            table.known.insert(function.name.clone(), function);
        }
    }
    table.known.values().cloned().collect()
}

/// Before a configuration is parsed.
pub(crate) fn forget() {
    *FUNCTIONS.lock() = Table::default();
}

pub(crate) fn add_pylib(dir: &str, namespace: &str, store: &DataStore) -> Result<()> {
    let runtime = store.runtime();
    let modules = store.get_or_empty("BB_GLOBAL_PYMODULES")?;
    let modules: Vec<&str> = hz_versions::words(&modules).collect();
    runtime.add_global_modules(&modules)?;
    let dir = store.expand(dir, None)?;
    let functions = runtime.add_pylib(store, &dir, namespace)?;
    FUNCTIONS.lock().waiting.push(functions);
    Ok(())
}
