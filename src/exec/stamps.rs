//! Stamps: empty files whose names say which task has run with which hash.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

/// Files a mask matches that are stamps: signature data and taints lie beside them and stay.
pub fn matching(masks: &[impl AsRef<str>]) -> Vec<PathBuf> {
    // As a shell matches: a leading dot only by a dot.
    let options = glob::MatchOptions { require_literal_leading_dot: true, ..Default::default() };
    let mut found = Vec::new();
    for mask in masks {
        let Ok(paths) = glob::glob_with(mask.as_ref(), options) else { continue };
        for path in paths.flatten() {
            let name = path.to_string_lossy();
            if !name.contains("sigdata") && !name.contains("sigbasedata") && !name.ends_with(".taint") {
                found.push(path);
            }
        }
    }
    found
}

/// Removes the stamps the masks match.
pub fn clean(masks: &[impl AsRef<str>]) -> io::Result<()> {
    for path in matching(masks) {
        remove(&path)?;
    }
    Ok(())
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

/// Writes `stamp` anew (so that its time is now) after removing what the masks match.
pub fn make(stamp: &Path, masks: &[impl AsRef<str>]) -> io::Result<()> {
    if let Some(dir) = stamp.parent() {
        fs::create_dir_all(dir)?;
    }
    clean(masks)?;
    remove(stamp)?;
    File::create(stamp).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_stamp_replaces_old_ones() {
        let dir = tempfile::tempdir().unwrap();
        let base = dir.path().join("stamps/1.0-r0");
        let at = |suffix: &str| PathBuf::from(format!("{}.{suffix}", base.display()));
        fs::create_dir_all(base.parent().unwrap()).unwrap();
        for old in ["do_x.aaaa", "do_x_setscene.aaaa", "do_x.sigdata.aaaa", "do_x.taint", "do_y.aaaa"] {
            fs::write(at(old), "").unwrap();
        }
        let masks = [format!("{}.do_x.*", base.display()), format!("{}.do_x_setscene.*", base.display())];
        make(&at("do_x.bbbb"), &masks).unwrap();
        let mut left: Vec<String> = fs::read_dir(base.parent().unwrap())
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort();
        assert_eq!(left, ["1.0-r0.do_x.bbbb", "1.0-r0.do_x.sigdata.aaaa", "1.0-r0.do_x.taint", "1.0-r0.do_y.aaaa"]);
        make(&dir.path().join("new/dir/1.do_z.c"), &[""; 0]).unwrap();
        assert!(dir.path().join("new/dir/1.do_z.c").exists());
    }
}
