//! Checksums of files, as fetching, sigdata and packaging write them: lower-case hexadecimal.

use sha2::Digest;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// The checksum kinds that metadata may name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Md5,
    Sha1,
    Sha256,
    Sha384,
    Sha512,
}

/// Checksum of a file's content; any error of opening and reading is the caller's to tell.
pub fn hash_file(kind: Kind, path: &Path) -> io::Result<String> {
    let file = File::open(path)?;
    match kind {
        Kind::Md5 => digest::<md5::Md5>(file),
        Kind::Sha1 => digest::<sha1::Sha1>(file),
        Kind::Sha256 => digest::<sha2::Sha256>(file),
        Kind::Sha384 => digest::<sha2::Sha384>(file),
        Kind::Sha512 => digest::<sha2::Sha512>(file),
    }
}

fn digest<D: Digest>(mut file: File) -> io::Result<String> {
    let mut hasher = D::new();
    let mut buffer = vec![0; 128 * 1024];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(hex::encode(hasher.finalize())),
            Ok(length) => hasher.update(&buffer[..length]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_sums() {
        let path = std::env::temp_dir().join(format!("hz-hash-{}", std::process::id()));
        std::fs::write(&path, "abc").unwrap();
        let sum = |kind| hash_file(kind, &path).unwrap();
        assert_eq!(sum(Kind::Md5), "900150983cd24fb0d6963f7d28e17f72");
        assert_eq!(sum(Kind::Sha1), "a9993e364706816aba3e25717850c26c9cd0d89d");
        assert_eq!(sum(Kind::Sha256), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert!(sum(Kind::Sha384).starts_with("cb00753f45a35e8b") && sum(Kind::Sha512).starts_with("ddaf35a193617aba"));
        std::fs::write(&path, "").unwrap();
        assert_eq!(hash_file(Kind::Md5, &path).unwrap(), "d41d8cd98f00b204e9800998ecf8427e");
        std::fs::remove_file(&path).unwrap();
        assert_eq!(hash_file(Kind::Md5, &path).unwrap_err().raw_os_error(), Some(libc::ENOENT));
    }
}
