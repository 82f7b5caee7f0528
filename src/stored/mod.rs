//! Files that this program keeps for its next run: replaced as a whole, mapped rather than read, and
//! believed only if they are as they were written.
//!
//! A header says who wrote the file, when, and how much; a checksum follows. Reading a file of a hundred
//! megabytes to check its sum takes longer than all else a command does at its start, so a file whose time
//! of modification is the one in its header is believed without: whoever changes it changes that.

mod draft;

pub use draft::Draft;
use sha2::{Digest, Sha256};
use std::fs::{File, FileTimes, Metadata};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// Tells one kind of file, and one layout of it, from all others.
pub type Kind = [u8; 16];

/// Kind; program; time in nanoseconds; length of the content; checksum. A multiple of 16, so that the content
/// of a mapped file is aligned to that.
const HEADER: usize = 16 + 16 + 8 + 8 + 32;

/// The content of a file, mapped.
#[derive(Debug)]
pub struct Stored(memmap2::Mmap);

impl Stored {
    /// The file at `path`. None: missing, of another kind or another build of the program, damaged.
    pub fn open(path: &Path, kind: &Kind) -> Option<Stored> {
        Stored::open_of(path, kind, program())
    }

    fn open_of(path: &Path, kind: &Kind, program: [u8; 16]) -> Option<Stored> {
        let file = File::open(path).ok()?;
        // SAFETY: such a file is only ever replaced by rename, never written in place.
        let map = unsafe { memmap2::Mmap::map(&file) }.ok()?;
        let (header, content) = map.split_at_checked(HEADER)?;
        if header[..16] != *kind || header[16..32] != program || number(&header[40..48]) != content.len() as u64 {
            return None;
        }
        let as_written = changed(&file.metadata().ok()?) == i128::from(number(&header[32..40]));
        (as_written || Sha256::digest(content).as_slice() == &header[48..]).then_some(Stored(map))
    }

    /// SHA-256 of the content, as the header says it.
    pub fn sum(&self) -> [u8; 32] {
        let mut sum = [0; 32];
        sum.copy_from_slice(&self.0[48..HEADER]);
        sum
    }
}

impl std::ops::Deref for Stored {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.0[HEADER..]
    }
}

fn number(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

fn changed(meta: &Metadata) -> i128 {
    i128::from(meta.mtime()) * 1_000_000_000 + i128::from(meta.mtime_nsec())
}

/// The path of a file beside another one, whose name goes on with `ending`.
pub fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

/// Puts `content` at `path`, in place of what is there; readers see the old file or the new one.
///
/// # Errors
/// Whatever the file system says; the old file is still there then.
pub fn write(path: &Path, kind: &Kind, content: &[u8]) -> io::Result<()> {
    let dir = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(dir)?;
    let mut out = tempfile::NamedTempFile::new_in(dir)?;
    let (header, written) = header(kind, content.len() as u64, &Sha256::digest(content));
    out.write_all(&header)?;
    out.write_all(content)?;
    settle(out.as_file(), written)?;
    out.persist(path).map_err(|e| e.error)?;
    Ok(())
}

/// The header of a file that is written now, and the time it names.
fn header(kind: &Kind, length: u64, sum: &[u8]) -> ([u8; HEADER], SystemTime) {
    let written = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO).as_nanos() as u64;
    let mut header = [0u8; HEADER];
    header[..16].copy_from_slice(kind);
    header[16..32].copy_from_slice(&program());
    header[32..40].copy_from_slice(&written.to_le_bytes());
    header[40..48].copy_from_slice(&length.to_le_bytes());
    header[48..].copy_from_slice(sum);
    (header, SystemTime::UNIX_EPOCH + Duration::from_nanos(written))
}

/// Gives a file that is complete the time that its header names; it is on the disk then.
fn settle(file: &File, written: SystemTime) -> io::Result<()> {
    file.set_times(FileTimes::new().set_modified(written))?;
    file.sync_all()
}

/// Tells this build of the program from others: what they keep may mean something else.
fn program() -> [u8; 16] {
    let text = match std::env::current_exe().and_then(std::fs::metadata) {
        Ok(meta) => format!("{} {}", meta.size(), changed(&meta)),
        Err(_) => String::new(),
    };
    let mut program = [0; 16];
    program.copy_from_slice(&Sha256::digest(text)[..16]);
    program
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIND: &Kind = b"hz-stored-test-1";

    #[test]
    fn what_was_written_comes_back_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("new/file");
        assert!(Stored::open(&path, KIND).is_none());
        write(&path, KIND, b"some content").unwrap();
        assert_eq!(&*Stored::open(&path, KIND).unwrap(), b"some content");
        assert!(Stored::open(&path, b"hz-stored-test-2").is_none());
        assert!(Stored::open_of(&path, KIND, [7; 16]).is_none(), "another program");

        let bytes = std::fs::read(&path).unwrap();
        let damaged = |at: usize| {
            let mut bytes = bytes.clone();
            bytes[at] ^= 1;
            std::fs::write(&path, &bytes).unwrap();
            Stored::open(&path, KIND).is_none()
        };
        assert!([3, 25, 40, 50, bytes.len() - 1].into_iter().all(damaged));
        std::fs::write(&path, &bytes).unwrap();
        assert_eq!(&*Stored::open(&path, KIND).unwrap(), b"some content", "a copy");
        for length in [0, 10, HEADER, bytes.len() - 1] {
            std::fs::write(&path, &bytes[..length]).unwrap();
            assert!(Stored::open(&path, KIND).is_none());
        }
    }
}
