//! `inherit` and `inherit_defer`.

use crate::error::{Error, Result, level, log};
use crate::handle::{handle_included, push};
use crate::paths::{exists, list, mark_all, search};
use hz_data::{DataStore, Value};
use hz_diagnostics::Str;
use std::sync::Arc;

/// Notes classes (an unexpanded expression) to be inherited when the recipe is finalised.
pub fn inherit_defer(classes: &str, file: &str, line: u32, store: &DataStore) -> Result<()> {
    let entry = Value::List(Arc::new(vec![Value::str(classes), Value::str(file), Value::Int(line.into())]));
    push(store, "__BBDEFINHERITS", list(store, "__BBDEFINHERITS"), entry)
}

/// Inherits the classes that `classes` (expanded here) names, each once per store. `deferred`: this
/// is the deferred inherit itself, so BB_DEFER_BBCLASSES does not put it off again.
///
/// # Errors
/// A class that no BBPATH entry has, and whatever its evaluation raises.
pub fn inherit(classes: &str, file: &str, line: u32, store: &DataStore, deferred: bool) -> Result<()> {
    let classes = store.expand(classes, None)?;
    for class in hz_versions::words(&classes) {
        if !deferred {
            let defer = store.get_or_empty("BB_DEFER_BBCLASSES")?;
            if hz_versions::words(&defer).any(|d| d == class) {
                inherit_defer(class, file, line, store)?;
                continue;
            }
        }
        let path = find(class, file, line, store)?;
        let cache = list(store, "__inherit_cache");
        if cache.iter().any(|v| v.as_str() == Some(&path)) {
            continue;
        }
        log(store, level::DEBUG, &format!("Inheriting {path} (from {file}:{line})"));
        push(store, "__inherit_cache", cache, Value::Str(path.clone()))?;
        handle_included(&path, store, false).map_err(|e| match e {
            Error::File { reason, .. } => Error::parse(format!("Could not inherit file {file}: {reason}"), file, line),
            other => other,
        })?;
    }
    Ok(())
}

/// Every path tried becomes a dependency; the one found becomes one when it is read.
fn find(class: &str, file: &str, line: u32, store: &DataStore) -> Result<Str> {
    let kind = store.get_raw("__bbclasstype").map(|v| v.to_text()).unwrap_or_default();
    let mut path = Str::from(class);
    for folder in [&*format!("classes-{kind}"), "classes"] {
        path = if class.starts_with('/') || class.ends_with(".bbclass") {
            class.into()
        } else {
            format!("{folder}/{class}.bbclass").into()
        };
        if !path.starts_with('/') {
            let bbpath = store.get_or_empty("BBPATH")?;
            let search = search(&bbpath, &path);
            mark_all(store, search.tried.iter().filter(|t| Some(*t) != search.found.as_ref()))?;
            if let Some(found) = &search.found {
                return Ok(found.clone());
            }
        }
        if exists(&path) {
            return Ok(path);
        }
    }
    Err(Error::parse(format!("Could not inherit file {path}"), file, line))
}
