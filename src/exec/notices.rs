//! What the system tells of changes in folders (inotify).

use std::collections::HashMap;
use std::ffi::{CString, OsStr};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The length of what stands before a name: four numbers of four bytes.
const HEAD: usize = 16;

/// Something that happened.
pub enum Change<'a> {
    /// An entry of the folder was made, or moved there.
    Made(&'a Path, &'a str),
    Gone(&'a Path, &'a str),
    /// The folder is no longer followed.
    Unknown(&'a Path),
}

/// Folders that are followed. Not for processes forked from the one that does.
pub struct Notices {
    queue: File,
    folders: HashMap<i32, PathBuf>,
}

impl Notices {
    pub fn new() -> io::Result<Notices> {
        // SAFETY: makes a descriptor that is ours.
        let queue = unsafe {
            match libc::inotify_init1(libc::IN_CLOEXEC | libc::IN_NONBLOCK) {
                -1 => return Err(io::Error::last_os_error()),
                fd => OwnedFd::from_raw_fd(fd),
            }
        };
        Ok(Notices { queue: File::from(queue), folders: HashMap::new() })
    }

    /// Follows a folder from here on.
    ///
    /// # Errors
    /// It is not there, or the system follows no more.
    pub fn add(&mut self, folder: &Path) -> io::Result<()> {
        let path = CString::new(folder.as_os_str().as_bytes())?;
        let what = libc::IN_CREATE | libc::IN_MOVED_TO | libc::IN_DELETE | libc::IN_MOVED_FROM | libc::IN_DELETE_SELF | libc::IN_MOVE_SELF | libc::IN_ONLYDIR;
        // SAFETY: a text that ends in a NUL.
        match unsafe { libc::inotify_add_watch(self.queue.as_raw_fd(), path.as_ptr(), what) } {
            -1 => Err(io::Error::last_os_error()),
            watch => {
                self.folders.insert(watch, folder.to_owned());
                Ok(())
            }
        }
    }

    /// Tells what has happened since. False: not all of it is known.
    pub fn read(&mut self, mut take: impl FnMut(Change<'_>)) -> bool {
        let mut buffer = [0u8; 16 * 1024];
        loop {
            let length = match self.queue.read(&mut buffer) {
                Ok(0) => return true,
                Ok(length) => length,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return true,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => return false,
            };
            let mut rest = &buffer[..length];
            while let Some((head, after)) = rest.split_at_checked(HEAD) {
                let number = |at: usize| head[at..at + 4].try_into().map_or(0, u32::from_ne_bytes);
                let (watch, kind) = (number(0) as i32, number(4));
                let Some((name, after)) = after.split_at_checked(number(12) as usize) else { return false };
                rest = after;
                if kind & libc::IN_Q_OVERFLOW != 0 {
                    return false;
                }
                self.tell(watch, kind, name, &mut take);
            }
        }
    }

    fn tell(&mut self, watch: i32, kind: u32, name: &[u8], take: &mut impl FnMut(Change<'_>)) {
        let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
        if kind & (libc::IN_DELETE_SELF | libc::IN_MOVE_SELF | libc::IN_UNMOUNT | libc::IN_IGNORED) != 0 {
            if let Some(folder) = self.folders.remove(&watch) {
                // SAFETY: a number of ours; one that is gone already is refused.
                unsafe { libc::inotify_rm_watch(self.queue.as_raw_fd(), watch) };
                take(Change::Unknown(&folder));
            }
            return;
        }
        // Other names are nobody's who asks.
        let (Some(folder), Some(name)) = (self.folders.get(&watch), OsStr::from_bytes(name).to_str()) else { return };
        if kind & (libc::IN_CREATE | libc::IN_MOVED_TO) != 0 {
            take(Change::Made(folder, name));
        } else if kind & (libc::IN_DELETE | libc::IN_MOVED_FROM) != 0 {
            take(Change::Gone(folder, name));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes() {
        let dir = tempfile::tempdir().unwrap();
        let (first, second) = (dir.path().join("first"), dir.path().join("second"));
        let mut notices = Notices::new().unwrap();
        assert!(notices.add(&first).is_err());
        for folder in [&first, &second] {
            std::fs::create_dir(folder).unwrap();
            notices.add(folder).unwrap();
        }
        let mut told = || {
            let mut all = Vec::new();
            let known = notices.read(|change| {
                let (what, folder, name) = match change {
                    Change::Made(folder, name) => ("made", folder, name),
                    Change::Gone(folder, name) => ("gone", folder, name),
                    Change::Unknown(folder) => ("unknown", folder, ""),
                };
                all.push(format!("{what} {} {name}", folder.file_name().unwrap().display()));
            });
            assert!(known);
            all
        };
        assert!(told().is_empty());
        std::fs::write(first.join("a"), "").unwrap();
        std::fs::rename(first.join("a"), second.join("b")).unwrap();
        std::fs::remove_file(second.join("b")).unwrap();
        assert_eq!(told(), ["made first a", "gone first a", "made second b", "gone second b"]);
        std::fs::remove_dir(&first).unwrap();
        assert_eq!(told(), ["unknown first "]);
        std::fs::create_dir(&first).unwrap();
        std::fs::write(first.join("a"), "").unwrap();
        assert!(told().is_empty());
    }
}
