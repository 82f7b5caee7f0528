//! The checksums of local files that this process knows, for all tasks.

use hz_diagnostics::{Diagnostic, Str};
use hz_siggen::FileChecksums;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};

#[derive(Default)]
struct Known {
    /// Read when somebody asks for the first: most commands do not.
    sums: Option<FileChecksums>,
    /// Where they are kept, if they are.
    path: Option<PathBuf>,
}

static KNOWN: Mutex<Option<Known>> = Mutex::new(None);

fn known() -> MutexGuard<'static, Option<Known>> {
    KNOWN.lock().unwrap_or_else(|e| e.into_inner())
}

/// From now on what is kept in a directory is known (empty: nothing is kept).
pub fn open(directory: &str) {
    let path = (!directory.is_empty()).then(|| Path::new(directory).join("hitzeleiter-checksums.dat"));
    *known() = Some(Known { sums: None, path });
}

/// Writes what is known where it was read.
///
/// # Errors
/// Whatever the file system says.
pub fn save() -> std::io::Result<()> {
    match known().as_mut() {
        Some(Known { sums: Some(sums), path: Some(path) }) => sums.save(path),
        _ => Ok(()),
    }
}

/// (path, checksum) of a `file-checksums` list of recipe `pn`, folders named in `exclude` left out. Warns of files
/// that cannot be read.
///
/// # Errors
/// The list is none.
pub fn of_list(files: &str, pn: &str, exclude: &str) -> Result<Vec<(Str, Str)>, Diagnostic> {
    let found = {
        let mut known = known();
        let Known { sums, path } = known.get_or_insert_default();
        let sums = sums.get_or_insert_with(|| path.as_deref().map(FileChecksums::load).unwrap_or_default());
        sums.of_list(files, pn, exclude)?
    };
    for warning in found.warnings {
        hz_events::log(hz_events::level::WARNING, "", warning);
    }
    Ok(found.files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kept_sums_are_read_when_they_are_wanted() {
        let dir = tempfile::tempdir().unwrap();
        let (file, kept) = (dir.path().join("file"), dir.path().join("hitzeleiter-checksums.dat"));
        std::fs::write(&file, "text").unwrap();
        let list = format!("{}:True", file.display());
        let directory = dir.path().to_str().unwrap();
        open(directory);
        let found = of_list(&list, "pn", "").unwrap();
        save().unwrap();
        let first = std::fs::read(&kept).unwrap();
        // Without anybody asking nothing is written; who asks is told what was kept.
        open(directory);
        assert!(known().as_ref().unwrap().sums.is_none());
        save().unwrap();
        assert_eq!(std::fs::read(&kept).unwrap(), first);
        assert_eq!(of_list(&list, "pn", "").unwrap(), found);
        assert_eq!(found.len(), 1);
        save().unwrap();
        assert_eq!(std::fs::read(&kept).unwrap(), first);
    }
}
