//! Stamps: empty files whose names say which task has run with which hash.

use crate::notices::{Change, Notices};
use std::collections::{BTreeSet, HashMap};
use std::fs::{self, File};
use std::io;
use std::ops::Bound;
use std::path::{Path, PathBuf};

/// Directories of stamps, each read once: thousands of tasks ask for the stamps of few recipes.
#[derive(Default)]
pub struct Listings(HashMap<PathBuf, Vec<String>>);

const AS_SHELLS_DO: glob::MatchOptions = glob::MatchOptions { case_sensitive: true, require_literal_separator: false, require_literal_leading_dot: true };

/// Is this the name of a stamp? Signature data and taints lie beside them.
fn is_stamp(name: &str) -> bool {
    !name.contains("sigdata") && !name.contains("sigbasedata") && !name.ends_with(".taint")
}

impl Listings {
    /// Stamps that a mask matches, as a shell matches: a leading dot only by a dot.
    pub fn matching(&mut self, mask: &str) -> Vec<PathBuf> {
        let special = |text: &str| text.contains(['*', '?', '[']);
        let options = AS_SHELLS_DO;
        let (folder, name) = mask.rsplit_once('/').unwrap_or((".", mask));
        if special(folder) {
            let found = glob::glob_with(mask, options).into_iter().flatten().flatten();
            return found.filter(|path| is_stamp(&path.to_string_lossy())).collect();
        }
        let Ok(pattern) = glob::Pattern::new(name) else { return Vec::new() };
        let folder = PathBuf::from(if folder.is_empty() { "/" } else { folder });
        let names = self.0.entry(folder.clone()).or_insert_with(|| {
            let entries = std::fs::read_dir(&folder).into_iter().flatten().flatten();
            entries.filter_map(|entry| entry.file_name().into_string().ok()).filter(|name| is_stamp(name)).collect()
        });
        // Almost all fail by their first letters, which is quickly seen.
        let start = &name[..name.find(['*', '?', '[']).unwrap_or(name.len())];
        let matches = |name: &&String| name.starts_with(start) && pattern.matches_with(name, options);
        names.iter().filter(matches).map(|name| folder.join(name)).collect()
    }
}

/// Files the masks match that are stamps.
pub fn matching(masks: &[impl AsRef<str>]) -> Vec<PathBuf> {
    if let Some(found) = beginning_alike(masks) {
        return found;
    }
    let mut listings = Listings::default();
    masks.iter().flat_map(|mask| listings.matching(mask.as_ref())).collect()
}

/// The same for masks of one folder that begin alike, as those of a task do: of the many names in a folder of
/// stamps only those that begin so are looked at further. None: they are not such masks.
fn beginning_alike(masks: &[impl AsRef<str>]) -> Option<Vec<PathBuf>> {
    let special = |c: char| matches!(c, '*' | '?' | '[');
    let masks: Vec<(&str, &str)> = masks.iter().map(|mask| mask.as_ref().rsplit_once('/')).collect::<Option<_>>()?;
    let (folder, name) = *masks.first()?;
    if folder.is_empty() || masks.iter().any(|(other, _)| *other != folder) || folder.contains(special) {
        return None;
    }
    let fixed = |name: &str| name.find(special).unwrap_or(name.len());
    let common = |a: &str, b: &str| a.bytes().zip(b.bytes()).take_while(|(a, b)| a == b).count();
    let length = masks.iter().map(|(_, other)| common(name, other).min(fixed(other))).min()?;
    let start = &name.as_bytes()[..length];
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.file_name());
    let names: Vec<String> = entries.filter(|name| name.as_encoded_bytes().starts_with(start)).filter_map(|name| name.into_string().ok()).collect();
    let mut listings = Listings::default();
    listings.0.insert(PathBuf::from(folder), names.into_iter().filter(|name| is_stamp(name)).collect());
    Some(masks.iter().flat_map(|(folder, name)| listings.matching(&format!("{folder}/{name}"))).collect())
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
    make_over(stamp, &matching(masks))
}

/// The same after removing older ones, which are known.
pub fn make_over(stamp: &Path, old: &[PathBuf]) -> io::Result<()> {
    if let Some(dir) = stamp.parent() {
        fs::create_dir_all(dir)?;
    }
    old.iter().try_for_each(|path| remove(path))?;
    remove(stamp)?;
    File::create(stamp).map(drop)
}

/// From this size on a folder is worth watching.
const LARGE: u64 = 16 * 1024;

/// Large folders of stamps as they are at present: read once, and followed by what the system tells of them. Where
/// the stamps of many recipes lie together, each task would otherwise read the names of all.
#[derive(Default)]
pub struct Watched {
    notices: Option<Notices>,
    folders: HashMap<PathBuf, BTreeSet<String>>,
}

impl Watched {
    /// What [`matching`] would find. None: that has to be asked.
    pub fn matching(&mut self, masks: &[impl AsRef<str>]) -> Option<Vec<PathBuf>> {
        let folder = masks.first()?.as_ref().rsplit_once('/')?.0;
        let folder = Path::new(folder);
        self.follow();
        if !self.folders.contains_key(folder) {
            self.begin(folder)?;
        }
        let names = self.folders.get(folder)?;
        let mut found = Vec::new();
        for mask in masks {
            let (own, name) = mask.as_ref().rsplit_once('/')?;
            let pattern = glob::Pattern::new(name).ok().filter(|_| Path::new(own) == folder)?;
            let start = &name[..name.find(['*', '?', '[']).unwrap_or(name.len())];
            let alike = names.range::<str, _>((Bound::Included(start), Bound::Unbounded)).take_while(|name| name.starts_with(start));
            found.extend(alike.filter(|name| pattern.matches_with(name, AS_SHELLS_DO)).map(|name| folder.join(name)));
        }
        Some(found)
    }

    /// Reads a folder that is large enough.
    fn begin(&mut self, folder: &Path) -> Option<()> {
        if fs::metadata(folder).ok().filter(|meta| meta.is_dir())?.len() < LARGE {
            return None;
        }
        if self.notices.is_none() {
            self.notices = Some(Notices::new().ok()?);
        }
        // First the watch, so that nothing comes between; what is told twice does no harm.
        self.notices.as_mut()?.add(folder).ok()?;
        let names = fs::read_dir(folder).ok()?.flatten().filter_map(|entry| entry.file_name().into_string().ok());
        self.folders.insert(folder.to_owned(), names.filter(|name| is_stamp(name)).collect());
        Some(())
    }

    /// Takes in what has changed.
    fn follow(&mut self) {
        let Some(notices) = &mut self.notices else { return };
        let known = notices.read(|change| match change {
            Change::Made(folder, name) if is_stamp(name) => drop(self.folders.get_mut(folder).map(|names| names.insert(name.into()))),
            Change::Made(..) => {}
            Change::Gone(folder, name) => drop(self.folders.get_mut(folder).map(|names| names.remove(name))),
            Change::Unknown(folder) => drop(self.folders.remove(folder)),
        });
        if !known {
            *self = Watched::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_folders_are_watched() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("stamps");
        fs::create_dir(&folder).unwrap();
        let masks = [format!("{}/r7.do_x.*", folder.display()), format!("{}/r7.do_x_setscene.*", folder.display())];
        let mut watched = Watched::default();
        assert_eq!(watched.matching(&masks), None);
        for n in 0..3000 {
            fs::write(folder.join(format!("r{n}.do_x.a_hash_as_long_as_they_are")), "").unwrap();
        }
        if fs::metadata(&folder).unwrap().len() < LARGE {
            return; // a file system that tells other sizes
        }
        let agree = |watched: &mut Watched| {
            let found = watched.matching(&masks).unwrap();
            let mut read = matching(&masks);
            read.sort();
            assert_eq!(found, read);
            found.len()
        };
        assert_eq!(agree(&mut watched), 1);
        fs::write(folder.join("r7.do_x.b"), "").unwrap();
        fs::write(folder.join("r7.do_x.sigdata.b"), "").unwrap();
        fs::rename(folder.join("r8.do_x.a_hash_as_long_as_they_are"), folder.join("r7.do_x_setscene.c")).unwrap();
        assert_eq!(agree(&mut watched), 3);
        make_over(&folder.join("r7.do_x.d"), &watched.matching(&masks).unwrap()).unwrap();
        assert_eq!(agree(&mut watched), 1);
        let elsewhere = [masks[0].clone(), format!("{}/other/r7.do_x_setscene.*", folder.display())];
        assert_eq!(watched.matching(&elsewhere), None);
        fs::rename(&folder, dir.path().join("moved")).unwrap();
        assert_eq!(watched.matching(&masks), None);
    }

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
        // A folder may have a pattern as well, and a name none.
        let everywhere = format!("{}/*/1.0-r0.do_y.aa*", dir.path().display());
        assert_eq!(matching(&[everywhere, at("do_y.aaaa").display().to_string()]), [at("do_y.aaaa"), at("do_y.aaaa")]);
        assert_eq!(matching(&[at("do_y.*").display().to_string(), at("do_y_setscene.*").display().to_string()]), [at("do_y.aaaa")]);
        assert_eq!(matching(&[at("do_?.aaa[ab]").display().to_string(), at("d*.bbbb").display().to_string()]), [at("do_y.aaaa"), at("do_x.bbbb")]);
        fs::write(base.parent().unwrap().join(".hidden"), "").unwrap();
        assert!(matching(&[format!("{}/*hidden", base.parent().unwrap().display())]).is_empty());
        make(&dir.path().join("new/dir/1.do_z.c"), &[""; 0]).unwrap();
        assert!(dir.path().join("new/dir/1.do_z.c").exists());
    }
}
