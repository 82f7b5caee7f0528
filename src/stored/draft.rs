//! A file that grows as its content comes, so that the content need not be in memory. Until it is finished it has no
//! name: nothing is left of it if the process ends before.

use crate::{HEADER, Kind, Stored, header, settle};
use memmap2::Mmap;
use sha2::{Digest, Sha256};
use std::ffi::CString;
use std::fs::{File, Permissions};
use std::io::{self, Seek};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Bytes that are written at once.
const CHUNK: usize = 1 << 18;
/// Bytes after which the system is asked to put them on the disk: there is less to wait for at the end.
const STRETCH: usize = 4 << 20;

/// A file that is being written.
pub struct Draft {
    dir: PathBuf,
    /// None: nothing was written yet. What cannot be written for any reason stays in memory; the reason is told at the
    /// end.
    file: Option<io::Result<File>>,
    /// Bytes of the content that are in the file.
    written: usize,
    /// What comes behind them.
    rest: Vec<u8>,
    /// How much of it the system was asked to put on the disk.
    settled: usize,
    hash: Sha256,
    /// The file as far as somebody looked at it.
    map: Option<Mmap>,
}

impl Draft {
    /// A file that will be in `dir`.
    pub fn new(dir: &Path) -> Draft {
        Draft { dir: dir.to_path_buf(), file: None, written: 0, rest: Vec::new(), settled: 0, hash: Sha256::new(), map: None }
    }

    /// Length of the content.
    pub fn len(&self) -> usize {
        self.written + self.rest.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn append(&mut self, bytes: &[u8]) {
        if self.rest.len() + bytes.len() > CHUNK {
            self.flush();
            if bytes.len() > CHUNK && self.write(bytes) {
                return;
            }
        }
        self.rest.extend_from_slice(bytes);
    }

    /// Fills up to a multiple of 16; gives the length then.
    pub fn align(&mut self) -> usize {
        self.append(&[0; 16][..self.len().wrapping_neg() % 16]);
        self.len()
    }

    fn flush(&mut self) {
        let mut rest = std::mem::take(&mut self.rest);
        if self.write(&rest) {
            rest.clear();
        }
        self.rest = rest;
    }

    /// Puts what comes next into the file; false: it cannot be, now or since some time.
    fn write(&mut self, bytes: &[u8]) -> bool {
        let dir = &self.dir;
        let new = || {
            std::fs::create_dir_all(dir)?;
            let file = tempfile::tempfile_in(dir)?;
            file.set_permissions(Permissions::from_mode(0o600))?;
            Ok(file)
        };
        let Ok(file) = self.file.get_or_insert_with(new) else { return false };
        if let Err(e) = file.write_all_at(bytes, (HEADER + self.written) as u64) {
            self.file = Some(Err(e));
            return false;
        }
        self.hash.update(bytes);
        self.written += bytes.len();
        if self.written - self.settled >= STRETCH {
            let (from, length) = (self.settled as i64, (self.written - self.settled) as i64);
            // SAFETY: a plain call on a descriptor of ours. It is only a hint.
            unsafe { libc::sync_file_range(file.as_raw_fd(), from, length, libc::SYNC_FILE_RANGE_WRITE) };
            self.settled = self.written;
        }
        true
    }

    /// Would [`Self::get`] find all that is there?
    pub fn is_mapped(&self) -> bool {
        self.written == 0 || self.map.as_ref().is_some_and(|map| map.len() >= HEADER + self.written)
    }

    /// Makes [`Self::get`] find all that is there now.
    pub fn map(&mut self) {
        if !self.is_mapped()
            && let Some(Ok(file)) = &self.file
        {
            // SAFETY: nobody else has the file, and what is written stays as it is.
            match unsafe { Mmap::map(file) } {
                Ok(map) => self.map = Some(map),
                Err(e) => self.read_back(e),
            }
        }
    }

    /// Has all of it in memory from here on.
    fn read_back(&mut self, reason: io::Error) {
        let mut all = vec![0; self.written];
        if matches!(&self.file, Some(Ok(file)) if file.read_exact_at(&mut all, HEADER as u64).is_ok()) {
            all.append(&mut self.rest);
            (self.rest, self.written) = (all, 0);
        }
        (self.file, self.map) = (Some(Err(reason)), None);
    }

    /// A part of the content; nothing if it was not there at the last [`Self::map`].
    pub fn get(&self, from: usize, length: usize) -> &[u8] {
        if from >= self.written {
            return self.rest.get(from - self.written..from - self.written + length).unwrap_or_default();
        }
        self.map.as_ref().and_then(|map| map.get(HEADER + from..HEADER + from + length)).unwrap_or_default()
    }

    /// Puts the file at `path`, in place of what is there; readers see the old file or the new one.
    ///
    /// # Errors
    /// Whatever the file system said, now or before. The content can still be looked at.
    pub fn finish(&mut self, path: &Path, kind: &Kind) -> io::Result<Stored> {
        self.flush();
        let file = match &self.file {
            Some(Ok(file)) => file,
            Some(Err(e)) => return Err(io::Error::new(e.kind(), e.to_string())),
            None => return Err(io::ErrorKind::NotFound.into()),
        };
        let (header, written) = header(kind, self.written as u64, &self.hash.clone().finalize());
        file.write_all_at(&header, 0)?;
        settle(file, written)?;
        let dir = path.parent().unwrap_or(Path::new("."));
        match tempfile::Builder::new().make_in(dir, |name| link(file, name)) {
            Ok(named) => drop(named.persist(path).map_err(|e| e.error)?),
            // A file system on which such a file can have no name.
            Err(_) => {
                let mut copy = tempfile::NamedTempFile::new_in(dir)?;
                let mut from = file;
                from.rewind()?;
                io::copy(&mut from, &mut copy)?;
                settle(copy.as_file(), written)?;
                copy.persist(path).map_err(|e| e.error)?;
            }
        }
        // SAFETY: such a file is only ever replaced by rename, never written in place.
        Ok(Stored(unsafe { Mmap::map(file) }?))
    }
}

/// Gives a file without a name one.
fn link(file: &File, name: &Path) -> io::Result<()> {
    let of = CString::new(format!("/proc/self/fd/{}", file.as_raw_fd()))?;
    let name = CString::new(name.as_os_str().as_bytes())?;
    // SAFETY: both are texts that end in a zero byte.
    match unsafe { libc::linkat(libc::AT_FDCWD, of.as_ptr(), libc::AT_FDCWD, name.as_ptr(), libc::AT_SYMLINK_FOLLOW) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIND: &Kind = b"hz-stored-test-3";

    fn names(dir: &Path) -> usize {
        std::fs::read_dir(dir).unwrap().count()
    }

    #[test]
    fn a_draft_has_a_name_when_it_is_finished() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("new/file");
        let mut draft = Draft::new(path.parent().unwrap());
        let text = "some content".repeat(CHUNK / 20);
        draft.append(text.as_bytes());
        draft.append(text.as_bytes());
        draft.append(b"end");
        assert_eq!(names(path.parent().unwrap()), 0);
        assert!(!draft.is_mapped());
        draft.map();
        assert_eq!(draft.get(12, 4), b"some");
        assert_eq!(draft.get(2 * text.len(), 3), b"end");
        assert_eq!((draft.get(draft.len(), 1), draft.get(0, draft.len() + 1)), (&b""[..], &b""[..]));
        let length = draft.align();
        assert_eq!((length % 16, draft.align()), (0, length));
        let stored = draft.finish(&path, KIND).unwrap();
        assert_eq!(names(path.parent().unwrap()), 1);
        let again = Stored::open(&path, KIND).unwrap();
        assert!(*stored == *again && again.sum() == stored.sum() && again.len() == length);
        assert!(again.starts_with(text.as_bytes()));
        // Its time is not the one it was written at, so that its sum counts.
        File::options().write(true).open(&path).unwrap().set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
        assert!(Stored::open(&path, KIND).is_some());
    }

    #[test]
    fn what_cannot_be_written_is_in_memory() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("file"), "").unwrap();
        let mut draft = Draft::new(&dir.path().join("file"));
        draft.append(&[7; CHUNK]);
        draft.append(b"end");
        draft.map();
        assert_eq!((draft.get(3, 2), draft.get(CHUNK, 3)), (&[7, 7][..], &b"end"[..]));
        assert!(draft.finish(&dir.path().join("other"), KIND).is_err());
        assert_eq!(draft.get(CHUNK, 3), b"end");
    }
}
