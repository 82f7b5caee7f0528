//! Checksums of the local files that tasks name in `file-checksums`, remembered between runs.
//!
//! A remembered MD5 counts while the file's size, inode and modification time are what they were:
//! stricter than the reference, which looks at whole seconds of the time only, and never different
//! from it for a file that did not change.

use hz_diagnostics::{Diagnostic, Str};
use md5::{Digest, Md5};
use rustc_hash::FxHashMap;
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::Metadata;
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

/// Folders of version control, left out unless BB_SIGNATURE_LOCAL_DIRS_EXCLUDE says otherwise.
pub const LOCAL_DIRS_EXCLUDE: &str = "CVS .bzr .git .hg .osc .p4 .repo .svn";

/// Header of the file; bump with its layout.
const MAGIC: &str = "hitzeleiter file checksums 1";

/// What a file was when its checksum was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Stamp {
    seconds: i64,
    nanoseconds: i64,
    size: u64,
    inode: u64,
}

impl Stamp {
    fn of(meta: &Metadata) -> Stamp {
        Stamp { seconds: meta.mtime(), nanoseconds: meta.mtime_nsec(), size: meta.size(), inode: meta.ino() }
    }
}

/// The checksums known.
#[derive(Debug, Default)]
pub struct FileChecksums {
    known: FxHashMap<PathBuf, (Stamp, Str)>,
    dirty: bool,
}

/// The answer for one list of files.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Checksums {
    /// Path (`DIR/./REL` for members of a directory) and MD5, sorted by MD5.
    pub files: Vec<(Str, Str)>,
    /// Warnings about files that cannot be read, as the reference words them.
    pub warnings: Vec<String>,
}

impl FileChecksums {
    /// Reads the file that [`FileChecksums::save`] wrote; anything else counts as nothing known.
    pub fn load(path: &Path) -> FileChecksums {
        let mut sums = FileChecksums::default();
        let Ok(text) = std::fs::read_to_string(path) else { return sums };
        let mut lines = text.split('\n');
        // The last line is the checksum of all before it.
        let intact = text.rsplit_once('\n').and_then(|(text, _)| text.rsplit_once('\n')).is_some_and(|(body, sum)| {
            hex::encode(Md5::digest(body)) == sum
        });
        if lines.next() != Some(MAGIC) || !intact {
            return sums;
        }
        for line in lines {
            let mut parts = line.splitn(6, ' ');
            let mut number = || parts.next()?.parse::<i64>().ok();
            let (Some(seconds), Some(nanoseconds), Some(size), Some(inode)) = (number(), number(), number(), number()) else { continue };
            let (Some(sum), Some(name)) = (parts.next(), parts.next()) else { continue };
            let stamp = Stamp { seconds, nanoseconds, size: size as u64, inode: inode as u64 };
            sums.known.insert(name.into(), (stamp, sum.into()));
        }
        sums
    }

    /// Writes what is known beside `path` and renames it there, if anything is new.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn save(&mut self, path: &Path) -> io::Result<()> {
        if !self.dirty {
            return Ok(());
        }
        let mut text = String::from(MAGIC);
        let mut known: Vec<_> = self.known.iter().collect();
        known.sort_by_key(|(name, _)| *name);
        for (name, (stamp, sum)) in known {
            let Some(name) = name.to_str().filter(|name| !name.contains('\n')) else { continue };
            let Stamp { seconds, nanoseconds, size, inode } = stamp;
            text.push_str(&format!("\n{seconds} {nanoseconds} {size} {inode} {sum} {name}"));
        }
        let sum = hex::encode(Md5::digest(&text));
        text.push_str(&format!("\n{sum}\n"));
        let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        std::fs::create_dir_all(folder)?;
        let mut file = tempfile::Builder::new().prefix(".checksums.").tempfile_in(folder)?;
        file.write_all(text.as_bytes())?;
        file.persist(path).map_err(|e| e.error)?;
        self.dirty = false;
        Ok(())
    }

    /// Takes what `other` knows as well (a forked worker's, after it was sent over as a file).
    pub fn merge(&mut self, other: FileChecksums) {
        self.dirty |= !other.known.is_empty();
        self.known.extend(other.known);
    }

    /// MD5 of a file's content.
    ///
    /// # Errors
    /// The file is not there or cannot be read.
    pub fn checksum(&mut self, path: &Path) -> io::Result<Str> {
        let name = normal(path);
        let stamp = Stamp::of(&std::fs::metadata(&name)?);
        if let Some((known, sum)) = self.known.get(&name)
            && *known == stamp
        {
            return Ok(sum.clone());
        }
        let mut file = std::fs::File::open(&name)?;
        let mut hash = Md5::new();
        let mut buffer = vec![0; 128 * 1024];
        loop {
            let n = file.read(&mut buffer)?;
            if n == 0 {
                break;
            }
            hash.update(&buffer[..n]);
        }
        let sum: Str = hex::encode(hash.finalize()).into();
        self.known.insert(name, (stamp, sum.clone()));
        self.dirty = true;
        Ok(sum)
    }

    /// The checksums of a `file-checksums` list: `PATH:True` or `PATH:False` separated by blanks;
    /// a path with `*` is expanded, a directory stands for the files below it without the folders
    /// named in `exclude`. `pn` is for the warnings.
    ///
    /// # Errors
    /// An entry without `:True` or `:False`, and the root directory.
    pub fn of_list(&mut self, list: &str, pn: &str, exclude: &str) -> Result<Checksums, Diagnostic> {
        let exclude: BTreeSet<&OsStr> = exclude.split_whitespace().map(OsStr::new).collect();
        let mut found = Checksums::default();
        for entry in entries(list) {
            let mut parts = entry.split(':');
            let path = parts.next().unwrap_or_default();
            let Some(exists) = parts.next() else {
                return Err(Diagnostic::error(format!("file-checksums of {pn} holds '{entry}' without :True or :False")));
            };
            if exists == "False" {
                continue;
            }
            if path.contains('*') {
                let options = glob::MatchOptions { case_sensitive: true, require_literal_separator: true, require_literal_leading_dot: true };
                for path in glob::glob_with(&path.replace("**", "*"), options).into_iter().flatten().flatten() {
                    self.add(&path.to_string_lossy(), pn, &exclude, &mut found)?;
                }
            } else {
                self.add(path, pn, &exclude, &mut found)?;
            }
        }
        found.files.sort_by(|a, b| a.1.cmp(&b.1));
        Ok(found)
    }

    fn add(&mut self, path: &str, pn: &str, exclude: &BTreeSet<&OsStr>, found: &mut Checksums) -> Result<(), Diagnostic> {
        let at = Path::new(path);
        if !at.is_dir() {
            self.add_file(path, pn, found);
        } else if !at.is_symlink() {
            if path.chars().all(|c| c == '/') {
                return Err(Diagnostic::error("Refusing to checksum /"));
            }
            let top = path.trim_end_matches('/');
            self.add_directory(top, Path::new(top), pn, exclude, found);
        }
        Ok(())
    }

    fn add_file(&mut self, path: &str, pn: &str, found: &mut Checksums) {
        match self.checksum(Path::new(path)) {
            Ok(sum) => found.files.push((path.into(), sum)),
            Err(e) => {
                let name = path.rsplit('/').next().unwrap_or(path);
                let cause = os_error(&e, &normal(Path::new(path)));
                found.warnings.push(format!("Unable to get checksum for {pn} SRC_URI entry {name}: {cause}"));
            }
        }
    }

    fn add_directory(&mut self, top: &str, at: &Path, pn: &str, exclude: &BTreeSet<&OsStr>, found: &mut Checksums) {
        // A folder that cannot be listed counts as empty, as for the reference.
        let Ok(listing) = std::fs::read_dir(at) else { return };
        for entry in listing.flatten() {
            let path = entry.path();
            let kind = entry.file_type();
            if kind.as_ref().is_ok_and(|k| k.is_dir()) {
                if !exclude.contains(entry.file_name().as_os_str()) {
                    self.add_directory(top, &path, pn, exclude, found);
                }
            } else if !(kind.is_ok_and(|k| k.is_symlink()) && path.is_dir()) {
                let marked = path.to_string_lossy().replace(top, &format!("{top}/."));
                self.add_file(&marked, pn, found);
            }
        }
    }
}

/// `list` cut after each `:True` and `:False` that blanks follow.
fn entries(list: &str) -> Vec<&str> {
    let mut out = Vec::new();
    let mut start = 0;
    let mut at = 0;
    while let Some(run) = list[at..].find(char::is_whitespace) {
        let blank = at + run;
        let next = list[blank..].find(|c: char| !c.is_whitespace()).map_or(list.len(), |n| blank + n);
        if list[..blank].ends_with(":True") || list[..blank].ends_with(":False") {
            out.push(&list[start..blank]);
            start = next;
        }
        at = next;
    }
    out.push(&list[start..]);
    out.into_iter().map(str::trim).filter(|entry| !entry.is_empty()).collect()
}

/// The path without `.`, `..` and doubled slashes, by its text alone.
fn normal(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                if out.file_name().is_some_and(|name| name != "..") {
                    out.pop();
                } else if !out.has_root() {
                    out.push("..");
                }
            }
            other => out.push(other),
        }
    }
    if out.as_os_str().is_empty() { ".".into() } else { out }
}

/// An I/O error as Python's `str()` shows it.
fn os_error(error: &io::Error, path: &Path) -> String {
    match error.raw_os_error() {
        Some(code) => {
            let text = error.to_string();
            let text = text.split(" (os error").next().unwrap_or(&text);
            format!("[Errno {code}] {text}: {}", hz_data::python_repr(&path.to_string_lossy()))
        }
        None => error.to_string(),
    }
}
