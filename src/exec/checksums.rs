//! The checksums of local files that this process knows, for all tasks.

use hz_diagnostics::{Diagnostic, Str};
use hz_siggen::FileChecksums;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};

/// With the file in which they are kept, if they are.
static KNOWN: Mutex<Option<(FileChecksums, Option<PathBuf>)>> = Mutex::new(None);

fn known() -> MutexGuard<'static, Option<(FileChecksums, Option<PathBuf>)>> {
    KNOWN.lock().unwrap_or_else(|e| e.into_inner())
}

/// Reads what is known from a directory (empty: nothing is kept).
pub fn open(directory: &str) {
    let path = (!directory.is_empty()).then(|| Path::new(directory).join("hitzeleiter-checksums.dat"));
    let kept = path.as_deref().map(FileChecksums::load).unwrap_or_default();
    *known() = Some((kept, path));
}

/// Writes what is known where it was read.
///
/// # Errors
/// Whatever the file system says.
pub fn save() -> std::io::Result<()> {
    match known().as_mut() {
        Some((sums, Some(path))) => sums.save(path),
        _ => Ok(()),
    }
}

/// (path, checksum) of a `file-checksums` list of recipe `pn`, folders named in `exclude` left out. Warns of files
/// that cannot be read.
///
/// # Errors
/// The list is none.
pub fn of_list(files: &str, pn: &str, exclude: &str) -> Result<Vec<(Str, Str)>, Diagnostic> {
    let found = known().get_or_insert_default().0.of_list(files, pn, exclude)?;
    for warning in found.warnings {
        hz_events::log(hz_events::level::WARNING, "", warning);
    }
    Ok(found.files)
}
