//! The identity of a file: what must be unchanged for a cached recipe to count.

use sha2::{Digest, Sha256};
use std::collections::hash_map::Entry;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::SystemTime;

use rustc_hash::FxHashMap;

/// What a path held when a recipe was made from it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
pub enum FileState {
    /// Nothing: the path was tried and not found; its appearance changes the recipe.
    Absent,
    /// A file, or a directory (whose content is the sorted list of its names).
    Present { stat: Stamp, sha256: [u8; 32] },
}

/// What stat(2) says; equal stamps spare reading the content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
pub struct Stamp {
    pub mtime_ns: i128,
    pub ctime_ns: i128,
    pub size: u64,
    pub inode: u64,
}

/// Ages below which a file may change once more without its times telling: the clock that kernels stamp
/// files with ticks some hundred times a second, and some file systems keep whole seconds, FAT pairs of them.
const YOUNG_NS: i128 = 50_000_000;
const YOUNG_COARSE_NS: i128 = 2_000_000_000;

impl Stamp {
    /// Never that of a file: the content has to be read.
    const UNTOLD: i128 = i128::MIN;

    fn is_young(&self) -> bool {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_nanos() as i128;
        let changed = self.mtime_ns.max(self.ctime_ns);
        let coarse = self.mtime_ns % 1_000_000_000 == 0 && self.ctime_ns % 1_000_000_000 == 0;
        now - changed < if coarse { YOUNG_COARSE_NS } else { YOUNG_NS }
    }
}

fn stamp(path: &Path) -> Option<(Stamp, bool)> {
    let meta = std::fs::metadata(path).ok()?;
    let nanoseconds = |seconds: i64, rest: i64| i128::from(seconds) * 1_000_000_000 + i128::from(rest);
    let stamp = Stamp {
        mtime_ns: nanoseconds(meta.mtime(), meta.mtime_nsec()),
        ctime_ns: nanoseconds(meta.ctime(), meta.ctime_nsec()),
        size: meta.size(),
        inode: meta.ino(),
    };
    Some((stamp, meta.is_dir()))
}

fn content(path: &Path, dir: bool) -> Option<[u8; 32]> {
    let mut hasher = Sha256::new();
    if dir {
        let mut names: Vec<_> = std::fs::read_dir(path).ok()?.filter_map(|e| Some(e.ok()?.file_name())).collect();
        names.sort();
        for name in names {
            hasher.update(name.as_encoded_bytes());
            hasher.update([0]);
        }
    } else {
        hasher.update(std::fs::read(path).ok()?);
    }
    Some(hasher.finalize().into())
}

impl FileState {
    /// The state of `path` now. An unreadable file counts as absent. Of a file that was changed a moment
    /// ago only the content is remembered, since another change would not show.
    pub fn of(path: &Path) -> FileState {
        let Some((mut stat, dir)) = stamp(path) else { return FileState::Absent };
        let Some(sha256) = content(path, dir) else { return FileState::Absent };
        if stat.is_young() {
            stat.mtime_ns = Stamp::UNTOLD;
        }
        FileState::Present { stat, sha256 }
    }
}

/// Asks each path once a run whether it still is what it was.
#[derive(Default)]
pub(crate) struct Checker {
    seen: FxHashMap<String, FileState>,
}

impl Checker {
    /// Does `path` hold the content it held in state `then`?
    pub fn unchanged(&mut self, path: &str, then: &FileState) -> bool {
        let now = match self.seen.entry(path.to_string()) {
            Entry::Occupied(e) => e.into_mut(),
            Entry::Vacant(e) => {
                let now = match (stamp(Path::new(path)), then) {
                    (None, _) => FileState::Absent,
                    // The same stat: the content need not be read.
                    (Some((now, _)), FileState::Present { stat, .. }) if now == *stat => then.clone(),
                    (Some((stat, dir)), _) => match content(Path::new(path), dir) {
                        Some(sha256) => FileState::Present { stat, sha256 },
                        None => FileState::Absent,
                    },
                };
                e.insert(now)
            }
        };
        same_content(now, then)
    }

    /// As [`Self::unchanged`], of a state in a mapped file.
    pub fn unchanged_since(&mut self, path: &str, then: &ArchivedFileState) -> bool {
        // Known already: no need to turn the archived state into one of ours.
        match (self.seen.get(path), then) {
            (Some(FileState::Absent), ArchivedFileState::Absent) => true,
            (Some(FileState::Present { sha256: now, .. }), ArchivedFileState::Present { sha256: then, .. }) => now == then,
            (Some(_), _) => false,
            (None, then) => rkyv::deserialize::<FileState, rkyv::rancor::Error>(then).is_ok_and(|then| self.unchanged(path, &then)),
        }
    }
}

fn same_content(now: &FileState, then: &FileState) -> bool {
    match (now, then) {
        (FileState::Absent, FileState::Absent) => true,
        (FileState::Present { sha256: a, .. }, FileState::Present { sha256: b, .. }) => a == b,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_decides_not_time() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.inc");
        let name = path.to_str().unwrap();
        std::fs::write(&path, "A = \"1\"\n").unwrap();
        let state = FileState::of(&path);
        std::thread::sleep(std::time::Duration::from_millis(5));
        std::fs::write(&path, "A = \"1\"\n").unwrap();
        assert!(Checker::default().unchanged(name, &state), "touched, same bytes");
        std::fs::write(&path, "A = \"2\"\n").unwrap();
        assert!(!Checker::default().unchanged(name, &state), "other bytes");
        std::fs::remove_file(&path).unwrap();
        assert!(!Checker::default().unchanged(name, &state), "gone");
        assert!(Checker::default().unchanged(name, &FileState::Absent));
        std::fs::write(&path, "").unwrap();
        assert!(!Checker::default().unchanged(name, &FileState::Absent), "appeared");
    }

    #[test]
    fn times_of_a_young_file_tell_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.inc");
        let name = path.to_str().unwrap();
        std::fs::write(&path, "A = \"1\"\n").unwrap();
        let young = FileState::of(&path);
        // As if the second write fell into the same tick: same times, size and inode.
        let FileState::Present { stat, .. } = young else { panic!("it is there") };
        assert_eq!(stat.mtime_ns, Stamp::UNTOLD);
        std::fs::write(&path, "A = \"2\"\n").unwrap();
        assert!(!Checker::default().unchanged(name, &young));

        std::thread::sleep(std::time::Duration::from_nanos(YOUNG_NS as u64 * 2));
        let old = FileState::of(&path);
        assert!(matches!(&old, FileState::Present { stat, .. } if stat.mtime_ns != Stamp::UNTOLD));
        let times = std::fs::FileTimes::new().set_modified(SystemTime::UNIX_EPOCH);
        let back = std::fs::metadata(&path).unwrap().modified().unwrap();
        std::fs::write(&path, "A = \"3\"\n").unwrap();
        let file = std::fs::File::options().write(true).open(&path).unwrap();
        file.set_times(times.set_modified(back)).unwrap();
        assert!(!Checker::default().unchanged(name, &old), "the time of the last change of the inode cannot be set back");
    }

    #[test]
    fn a_directory_is_its_names() {
        let dir = tempfile::tempdir().unwrap();
        let name = dir.path().to_str().unwrap();
        let state = FileState::of(dir.path());
        assert!(Checker::default().unchanged(name, &state));
        std::fs::write(dir.path().join("x"), "").unwrap();
        assert!(!Checker::default().unchanged(name, &state));
    }
}
