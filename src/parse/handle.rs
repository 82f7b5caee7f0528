//! Reading one file into a store: `bb.parse.handle` for files that are included, inherited or part
//! of the configuration.

use crate::error::{Error, Result};
use crate::eval::eval;
use crate::origins;
use crate::paths::{list, resolve_file, unseen};
use crate::statements::load;
use hz_data::{DataError, DataStore, Level, RAW, SetInfo, Value};
use hz_diagnostics::Str;
use hz_syntax::Grammar;
use std::cell::Cell;
use std::sync::Arc;

/// Files that include each other in a circle end here instead of at the end of the stack. The
/// reference gives up at a depth of this order, too.
const MAX_DEPTH: u32 = 140;

thread_local! {
    static DEPTH: Cell<u32> = const { Cell::new(0) };
}

/// `bb.parse.handle(file, d, True)`: evaluates a `.conf`, `.inc`, `.bbclass` or `.bb` into the store
/// without finalising anything. `baseconfig`: `addpylib` is understood.
///
/// # Errors
/// A file of another kind, one that cannot be read, and whatever its evaluation raises. A recipe
/// that skips itself is no error: the store then says so in `__SKIPPED`.
pub fn handle_included(file: &str, store: &DataStore, baseconfig: bool) -> Result<()> {
    let Some(grammar) = Grammar::of(file) else {
        return Err(Error::parse("not a BitBake file", file, 0));
    };
    let _level = Level::enter(&DEPTH, MAX_DEPTH).ok_or_else(DataError::too_deep)?;
    store.include_enter(file);
    let result = match grammar {
        Grammar::Conf => handle_conf(file, store, baseconfig),
        Grammar::Recipe => handle_recipe_grammar(file, store, true).map(|_| ()),
    };
    store.include_leave();
    result
}

/// An append of a recipe: `bb.parse.BBHandler.handle(file, d, True)`.
///
/// # Errors
/// As [`handle_included`].
pub fn handle_append(file: &str, store: &DataStore) -> Result<()> {
    let _level = Level::enter(&DEPTH, MAX_DEPTH).ok_or_else(DataError::too_deep)?;
    handle_recipe_grammar(file, store, true).map(|_| ())
}

fn handle_conf(file: &str, store: &DataStore, baseconfig: bool) -> Result<()> {
    let _timed = hz_meter::timed(hz_meter::Kind::Statements);
    let old = store.get_var("FILE", RAW)?;
    let path = resolve_file(file, store)?;
    let file = load(store, &path, &path, Grammar::Conf, baseconfig)?;
    store.set_var("FILE", Value::Str(path), &SetInfo::internal(origins::CONF_FILE))?;
    eval(&file, store)?;
    if let Some(old) = old
        && old.is_true()
    {
        store.set_var("FILE", old, &SetInfo::internal(origins::CONF_FILE_BACK))?;
    }
    Ok(())
}

/// Gives false when the recipe skipped itself on the way and is not an included file.
pub(crate) fn handle_recipe_grammar(file: &str, store: &DataStore, included: bool) -> Result<bool> {
    let _timed = hz_meter::timed(hz_meter::Kind::Statements);
    let (_, ext) = hz_syntax::split_ext(hz_syntax::base_name(file));
    let class = ext == ".bbclass";
    if class {
        let cache = list(store, "__inherit_cache");
        if !cache.iter().any(|v| v.as_str().is_some_and(|s| **s == *file)) {
            push(store, "__inherit_cache", cache, Value::str(file))?;
        }
    }
    let old = if included { store.get_var("FILE", RAW)? } else { None };
    let path = resolve_file(file, store)?;
    let name: Str = file.into();
    let loaded = load(store, &path, &name, Grammar::Recipe, false)?;

    let other = !old.as_ref().and_then(Value::as_str).is_some_and(|o| *o == path);
    if !class && other {
        store.set_var("FILE", Value::Str(path), &SetInfo::internal(origins::RECIPE_FILE))?;
    }
    match eval(&loaded, store) {
        Ok(()) => {}
        Err(Error::Skip(_)) => {
            store.set_var("__SKIPPED", Value::Bool(true), &unseen())?;
            if !included {
                return Ok(false);
            }
        }
        Err(e) => return Err(e),
    }
    if let Some(diagnostic) = &loaded.parsed.unclosed {
        return Err(Error::Parse(Box::new(diagnostic.clone())));
    }
    if !class
        && included
        && other
        && let Some(old) = old
        && old.is_true()
    {
        store.set_var("FILE", old, &SetInfo::internal(origins::RECIPE_FILE_BACK))?;
    }
    Ok(true)
}

/// Sets a variable to a list with one more entry.
pub(crate) fn push(store: &DataStore, name: &str, now: Arc<Vec<Value>>, value: Value) -> Result<()> {
    let mut all = Vec::with_capacity(now.len() + 1);
    all.extend_from_slice(&now);
    all.push(value);
    store.set_var(name, Value::List(Arc::new(all)), &unseen())?;
    Ok(())
}
