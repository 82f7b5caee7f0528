//! `include`, `require`, `include_all`.

use crate::error::{Error, Result, level, log};
use crate::handle::handle_included;
use crate::paths::{check_dependency, mark_all, search};
use hz_data::DataStore;
use hz_diagnostics::Str;
use hz_versions::paths::{dirname, join};

/// Includes the files that `files` (expanded here) names, searched beside `parent` and along BBPATH.
/// `error_out` is the verb of the error when one cannot be included (`include required`); `None`
/// lets missing ones pass.
///
/// # Errors
/// A missing file with `error_out`, an unreadable one always, and whatever evaluation raises.
pub fn include(parent: &str, files: &str, line: u32, store: &DataStore, error_out: Option<&str>) -> Result<()> {
    let files = store.expand(files, None)?;
    let parent = store.expand(parent, None)?;
    for file in hz_versions::words(&files) {
        include_one(&parent, file, line, store, error_out)?;
    }
    Ok(())
}

fn include_one(parent: &str, file: &str, line: u32, store: &DataStore, error_out: Option<&str>) -> Result<()> {
    // A file that includes itself.
    if parent == file {
        return Ok(());
    }
    let duplicate = |path: &str| -> Result<()> {
        if check_dependency(store, path) {
            let inside = store.get("FILE")?;
            let inside = inside.as_deref().unwrap_or("None");
            log(store, level::WARNING, &format!("Duplicate inclusion for {path} in {inside}"));
        }
        Ok(())
    };
    let mut file = Str::from(file);
    if file.starts_with('/') {
        duplicate(&file)?;
    } else {
        let bbpath = store.get("BBPATH")?;
        let path = format!("{}:{}", dirname(parent), bbpath.as_deref().unwrap_or("None"));
        let search = search(&path.into(), &file);
        if let Some(found) = &search.found {
            duplicate(found)?;
        }
        mark_all(store, &search.tried)?;
        if let Some(found) = &search.found {
            file = found.clone();
        }
    }
    match handle_included(&file, store, false) {
        Err(Error::File { not_found, reason, .. }) => match (not_found, error_out) {
            (true, Some(verb)) => Err(Error::parse(format!("Could not {verb} file {file}"), parent, line)),
            (true, None) => {
                log(store, level::DEBUG2, &format!("CONF file '{file}' not found"));
                Ok(())
            }
            (false, Some(verb)) => Err(Error::parse(format!("Could not {verb} file {file}: {reason}"), parent, line)),
            (false, None) => Err(Error::parse(format!("Error parsing {file}: {reason}"), parent, line)),
        },
        other => other,
    }
}

/// `include_all`: the file of every BBPATH entry that has it.
pub(crate) fn include_all(parent: &str, what: &str, line: u32, store: &DataStore) -> Result<()> {
    let what = store.expand(what, None)?;
    let bbpath = store.get_or_empty("BBPATH")?;
    for dir in bbpath.split(':') {
        include(parent, &join(dir, &what), line, store, None)?;
    }
    Ok(())
}
