//! `bitbake.lock`: one BitBake, ours or the reference, works in a build directory at a time.
//!
//! The lock is flock(2) on a file that its holder removes when it leaves, so after taking the
//! lock one must check that the locked file is still the one the name leads to.

use std::fs::{File, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Held until dropped.
pub struct BuildLock {
    file: File,
    path: PathBuf,
}

impl BuildLock {
    /// Takes the lock if it is free; `Ok(None)` if somebody holds it.
    pub fn try_take(topdir: &Path) -> io::Result<Option<BuildLock>> {
        let path = topdir.join("bitbake.lock");
        loop {
            let mut file = File::options().read(true).append(true).create(true).open(&path)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Ok(None),
                Err(TryLockError::Error(e)) => return Err(e),
            }
            let same = std::fs::metadata(&path).is_ok_and(|now| file.metadata().is_ok_and(|ours| ours.ino() == now.ino()));
            if same {
                file.set_len(0)?;
                writeln!(file, "{}", std::process::id())?;
                return Ok(Some(BuildLock { file, path }));
            }
        }
    }

    /// Takes the lock, waiting for its holder. `told` is called once, with the holder's process id
    /// as far as known, before the waiting starts; `stop` is asked between tries.
    pub fn take(topdir: &Path, told: impl FnOnce(Option<i32>), stop: impl Fn() -> bool) -> io::Result<Option<BuildLock>> {
        if let Some(lock) = BuildLock::try_take(topdir)? {
            return Ok(Some(lock));
        }
        told(holder(topdir));
        loop {
            if stop() {
                return Ok(None);
            }
            std::thread::sleep(Duration::from_millis(100));
            if let Some(lock) = BuildLock::try_take(topdir)? {
                return Ok(Some(lock));
            }
        }
    }
}

impl Drop for BuildLock {
    fn drop(&mut self) {
        // In a forked child the file is a copy of the parent's descriptor: closing it is harmless,
        // but the name is not the child's to remove.
        let mut text = String::new();
        let ours = self.file.rewind().and_then(|()| self.file.read_to_string(&mut text)).is_ok()
            && text.trim() == std::process::id().to_string();
        if ours {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// The process that holds the lock of a build directory, if its file says so and it is held.
pub fn holder(topdir: &Path) -> Option<i32> {
    let path = topdir.join("bitbake.lock");
    let mut file = File::open(&path).ok()?;
    match file.try_lock_shared() {
        Err(TryLockError::WouldBlock) => {
            let mut text = String::new();
            file.read_to_string(&mut text).ok()?;
            text.split_whitespace().next()?.parse().ok()
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_holder_at_a_time_and_the_file_goes_with_it() {
        let dir = tempfile::tempdir().unwrap();
        let lock = BuildLock::try_take(dir.path()).unwrap().unwrap();
        assert!(BuildLock::try_take(dir.path()).unwrap().is_none());
        assert_eq!(holder(dir.path()), Some(std::process::id() as i32));
        drop(lock);
        assert!(!dir.path().join("bitbake.lock").exists());
        assert_eq!(holder(dir.path()), None);
        assert!(BuildLock::try_take(dir.path()).unwrap().is_some());
    }

    #[test]
    fn waiting_can_be_given_up() {
        let dir = tempfile::tempdir().unwrap();
        let _lock = BuildLock::try_take(dir.path()).unwrap().unwrap();
        let mut who = None;
        assert!(BuildLock::take(dir.path(), |pid| who = pid, || true).unwrap().is_none());
        assert_eq!(who, Some(std::process::id() as i32));
    }
}
