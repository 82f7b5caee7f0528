//! Directories made in one go, and facts about file systems.

use std::io;
use std::path::Path;

/// `mkdir -p`: makes `directory` and what is missing above it, with the process's umask. Fine if it
/// stands already; an error if something else stands there, or if the name is empty.
pub fn mkdirhier(directory: &Path) -> io::Result<()> {
    if directory.as_os_str().is_empty() {
        return Err(io::Error::from_raw_os_error(libc::ENOENT));
    }
    match std::fs::create_dir_all(directory) {
        Ok(()) => Ok(()),
        Err(error) if error.raw_os_error() == Some(libc::EEXIST) => {
            // On NFS a directory another host has just made may look absent until it is read.
            if let Some(parent) = directory.parent() {
                let _ = std::fs::read_dir(parent);
            }
            if directory.is_dir() { Ok(()) } else { Err(error) }
        }
        Err(error) => Err(error),
    }
}

/// Is `path` on an NFS mount? Asked of its nearest existing parent if it does not exist and is
/// absolute.
pub fn is_on_nfs(path: &Path) -> io::Result<bool> {
    const NFS: u64 = 0x6969;
    let mut path = path;
    while path.is_absolute() && !path.exists() {
        match path.parent() {
            Some(parent) => path = parent,
            None => break,
        }
    }
    let stat = nix::sys::statfs::statfs(path)?;
    Ok(stat.filesystem_type().0 as u64 == NFS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories() {
        let top = std::env::temp_dir().join(format!("hz-mkdirhier-{}", std::process::id()));
        let deep = top.join("a/b/c");
        mkdirhier(&deep).unwrap();
        mkdirhier(&deep).unwrap();
        let file = top.join("file");
        std::fs::write(&file, "").unwrap();
        assert_eq!(mkdirhier(&file).unwrap_err().raw_os_error(), Some(libc::EEXIST));
        assert!(mkdirhier(&file.join("x")).is_err());
        assert_eq!(mkdirhier(Path::new("")).unwrap_err().raw_os_error(), Some(libc::ENOENT));
        std::fs::remove_dir_all(top).unwrap();
    }

    #[test]
    fn the_root_is_not_nfs_here() {
        is_on_nfs(Path::new("/no/such/place")).unwrap();
    }
}
