//! Statement lists of files, read once per process (and shared with forked workers) as long as the
//! file is the same.

use crate::error::{Error, Result, level, log, warn};
use crate::paths::{Stat, cached_stat};
use hz_data::DataStore;
use hz_diagnostics::Str;
use hz_syntax::{Grammar, Options, Parsed, parse};
use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use std::sync::{Arc, LazyLock};

/// A file's statements with the name they report.
pub(crate) struct File {
    pub name: Str,
    pub parsed: Parsed,
}

#[derive(PartialEq, Eq, Hash)]
struct Key {
    path: Str,
    name: Str,
    grammar: Grammar,
    baseconfig: bool,
}

static CACHE: LazyLock<Mutex<FxHashMap<Key, (Stat, Arc<File>)>>> = LazyLock::new(Default::default);

/// Forgets all statement lists.
pub fn forget_statements() {
    CACHE.lock().clear();
}

fn open_error(path: &str, e: &std::io::Error) -> Error {
    let text = e.to_string();
    let reason = text.split(" (os error").next().unwrap_or(&text).to_string();
    Error::File {
        not_found: e.kind() == std::io::ErrorKind::NotFound,
        message: format!("[Errno {}] {reason}: '{path}'", e.raw_os_error().unwrap_or(0)),
        reason,
    }
}

/// The statements of the file at `path`, which calls itself `name` in messages. Tells warnings
/// when the file is read.
///
/// # Errors
/// The file cannot be read, is not UTF-8, or holds something the grammar rejects.
pub(crate) fn load(
    store: &DataStore, path: &Str, name: &Str, grammar: Grammar, baseconfig: bool,
) -> Result<Arc<File>> {
    // Recipes and appends are read once each; classes, includes and configuration again and again.
    let keep = !path.ends_with(".bb") && !path.ends_with(".bbappend");
    let key = Key { path: path.clone(), name: name.clone(), grammar, baseconfig };
    let stat = if keep { cached_stat(path) } else { None };
    if let Some(stat) = stat
        && let Some((then, file)) = CACHE.lock().get(&key)
        && *then == stat
    {
        return Ok(file.clone());
    }
    hz_meter::count(hz_meter::Count::File);
    let bytes = std::fs::read(&**path).map_err(|e| open_error(path, &e))?;
    let text = String::from_utf8(bytes).map_err(|e| {
        let at = e.utf8_error().valid_up_to();
        let line = 1 + e.as_bytes()[..at].iter().filter(|&&b| b == b'\n').count() as u32;
        let byte = e.as_bytes()[at];
        let message = format!("'utf-8' codec can't decode byte 0x{byte:02x} in position {at}: invalid start byte");
        Error::parse(message, name, line)
    })?;
    let parsed = parse(&text, Options { file: name, grammar, baseconfig });
    // Nobody reads beyond the first error.
    let last = parsed.error().map_or(u32::MAX, |e| 1 + text[..e.span.end].trim_end_matches('\n').matches('\n').count() as u32);
    for w in parsed.warnings.iter().filter(|w| w.line <= last) {
        if w.parser {
            log(store, level::WARNING, &w.message);
        } else {
            warn(store, &w.message);
        }
    }
    if let Some(e) = parsed.error() {
        if e.fatal {
            return Err(crate::error::fatal(store, &e.diagnostic.message));
        }
        return Err(Error::Parse(Box::new(e.diagnostic.clone())));
    }
    let file = Arc::new(File { name: name.clone(), parsed });
    if let Some(stat) = stat {
        CACHE.lock().insert(key, (stat, file.clone()));
    }
    Ok(file)
}
