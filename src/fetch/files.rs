//! Small file operations: locks, removal, links, directories.

use crate::error::{FetchError, Result};
use crate::urldata::{basename, dirname, join};
use nix::fcntl::{Flock, FlockArg};
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// A held lock file; it is removed when let go, unless another holder shares it.
pub struct Lock {
    held: Option<Flock<File>>,
    path: String,
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Whoever waits for it finds the file gone and makes a new one (see `lock`).
        if let Some(held) = self.held.take() {
            let alone = match held.relock(FlockArg::LockExclusiveNonblock) {
                Ok(()) => true,
                Err(_) => false,
            };
            if alone {
                let _ = fs::remove_file(&self.path);
            }
        }
    }
}

/// Takes the lock file `path`, waiting as long as needed (`bb.utils.lockfile`).
///
/// # Errors
/// The directory cannot be made or written.
pub fn lock(path: &str) -> Result<Lock> {
    let mut name = basename(path).to_owned();
    if name.len() > 255 {
        let extension = name.rfind('.').map_or(String::new(), |at| name[at..].to_owned());
        let mut end = 255 - extension.len().min(255);
        while !name.is_char_boundary(end) {
            end -= 1;
        }
        name = format!("{}{extension}", &name[..end]);
    }
    let dir = dirname(path);
    mkdir(dir)?;
    let path = join(dir, &name);
    loop {
        let file = OpenOptions::new()
            .append(true)
            .read(true)
            .create(true)
            .open(&path)
            .map_err(|e| FetchError::Fatal(format!("Unable to acquire lock '{path}', {e}")))?;
        let held = match Flock::lock(file, FlockArg::LockExclusive) {
            Ok(held) => held,
            Err((_, nix::errno::Errno::EINTR)) => continue,
            Err((_, e)) => return Err(FetchError::Fatal(format!("Unable to acquire lock '{path}', {e}"))),
        };
        // The holder before us removes the file: only a lock on the file that is there counts.
        if let (Ok(ours), Ok(there)) = (held.metadata(), fs::metadata(&path))
            && ours.ino() == there.ino()
            && ours.dev() == there.dev()
        {
            return Ok(Lock { held: Some(held), path });
        }
    }
}

pub fn mkdir(path: &str) -> Result<()> {
    if path.is_empty() {
        return Ok(());
    }
    fs::create_dir_all(path).map_err(|e| FetchError::io(&e, path))
}

/// `rm -f` or `rm -rf`; the path may be a glob, as the reference's `bb.utils.remove` takes it.
pub fn remove(path: &str, recurse: bool) -> Result<()> {
    if path.is_empty() {
        return Ok(());
    }
    let names: Vec<String> = if path.contains(['*', '?', '[']) {
        glob::glob(path).map(|g| g.flatten().map(|p| p.to_string_lossy().into_owned()).collect()).unwrap_or_default()
    } else {
        vec![path.to_owned()]
    };
    for name in names {
        let link = Path::new(&name).is_symlink();
        let result = if recurse && !link && Path::new(&name).is_dir() {
            if matches!(name.trim_end_matches('/'), "" | "/home" | "/usr" | "/etc" | "/root") {
                return Err(FetchError::new(format!("refusing to remove {name}")));
            }
            fs::remove_dir_all(&name)
        } else {
            fs::remove_file(&name)
        };
        match result {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(FetchError::io(&e, name)),
            _ => {}
        }
    }
    Ok(())
}

/// Empties a directory by removing and forgetting it.
pub fn prune(path: &str) -> Result<()> {
    remove(path, true)
}

/// A symbolic link to `target`, replacing a broken one; one that works is left alone.
pub fn ensure_symlink(target: &str, link: &str) -> Result<()> {
    if exists(link) {
        return Ok(());
    }
    mkdir(dirname(link))?;
    if Path::new(link).is_symlink() {
        remove(link, false)?;
    }
    symlink(target, link)
}

/// A symbolic link; that somebody else has just made it is fine.
pub fn symlink(target: &str, link: &str) -> Result<()> {
    match std::os::unix::fs::symlink(target, link) {
        Err(e) if e.kind() != std::io::ErrorKind::AlreadyExists => Err(FetchError::io(&e, link)),
        _ => Ok(()),
    }
}

/// Follows links.
pub fn exists(path: &str) -> bool {
    !path.is_empty() && Path::new(path).exists()
}
pub fn is_dir(path: &str) -> bool {
    Path::new(path).is_dir()
}
/// `os.path.realpath`: what exists is resolved, the rest is kept.
pub fn realpath(path: &str) -> String {
    let mut rest = Vec::new();
    let mut at = std::path::absolute(path).unwrap_or_else(|_| path.into());
    loop {
        if let Ok(real) = at.canonicalize() {
            let mut out = real;
            out.extend(rest.iter().rev());
            return out.to_string_lossy().into_owned();
        }
        match (at.file_name().map(|n| n.to_owned()), at.parent().map(Path::to_path_buf)) {
            (Some(name), Some(parent)) => {
                rest.push(name);
                at = parent;
            }
            _ => return path.to_owned(),
        }
    }
}
/// Removes an empty-looking path's links and content before it is written anew, beside its target.
pub fn write_beside(path: &str, content: &[u8]) -> Result<()> {
    let temporary = format!("{path}.{}.new", std::process::id());
    fs::write(&temporary, content).and_then(|()| fs::rename(&temporary, path)).map_err(|e| FetchError::io(&e, path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locks_and_links() {
        let dir = tempfile::tempdir().unwrap();
        let at = |n: &str| format!("{}/{n}", dir.path().display());
        let held = lock(&at("sub/x.lock")).unwrap();
        assert!(exists(&at("sub/x.lock")));
        drop(held);
        assert!(!exists(&at("sub/x.lock")));
        fs::write(at("file"), "x").unwrap();
        ensure_symlink(&at("file"), &at("deep/link")).unwrap();
        ensure_symlink(&at("file"), &at("deep/link")).unwrap();
        assert_eq!(realpath(&at("deep/link")), realpath(&at("file")));
        remove(&at("file"), false).unwrap();
        fs::write(at("other"), "x").unwrap();
        ensure_symlink(&at("other"), &at("deep/link")).unwrap();
        assert!(exists(&at("deep/link")));
        remove(&at("deep"), true).unwrap();
        remove(&at("nothing"), false).unwrap();
    }
}
