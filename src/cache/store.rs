//! The cache file: a header, a checksum and one archive, replaced as a whole.

use crate::files::{Checker, FileState};
use crate::packed::{NONE, Numbering, OTHER, PackedFile, PackedSiggen, Packet, Tables};
use crate::recipe::{RecipeInfo, SiggenInfo};
use hz_diagnostics::Str;
use rustc_hash::FxHashMap;
use sha2::{Digest, Sha256};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Bumped whenever the archived types change.
const LAYOUT: u32 = 1;
const MAGIC: &[u8; 8] = b"hzrecipe";
/// Magic, layout, padding to 16, checksum; the archive behind it stays aligned.
const HEADER: usize = 16 + 32;

#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    #[error("cannot write the recipe cache {path}: {source}")]
    Write { path: PathBuf, source: std::io::Error },
    #[error("a parsing process sent a packet that cannot be read: {0}")]
    Packet(String),
}

#[derive(Default, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
struct Archive {
    /// What the configuration was; another one makes the whole file invalid.
    key: String,
    tables: Tables,
    files: Vec<PackedFile>,
}

/// Which packed record a recipe's signature data is in.
#[derive(Clone, Copy)]
struct Slot {
    file: usize,
    info: usize,
}

/// All known recipes of this run: what the file held and still is valid, and what was parsed anew.
pub struct RecipeCache {
    path: PathBuf,
    key: String,
    tables: Tables,
    shared: Vec<Option<Str>>,
    numbering: Numbering,
    old: FxHashMap<(String, String), PackedFile>,
    checker: Checker,
    files: Vec<PackedFile>,
    slots: FxHashMap<Str, Slot>,
    /// Numbers of each parsing process in ours.
    workers: FxHashMap<usize, Translation>,
    changed: bool,
}

#[derive(Default)]
struct Translation {
    texts: Vec<u32>,
    lists: Vec<u32>,
    files: Vec<u32>,
}

fn read(path: &Path, key: &str) -> Option<Archive> {
    let file = std::fs::File::open(path).ok()?;
    // SAFETY: the file is only ever replaced by rename, never written in place.
    let map = unsafe { memmap2::Mmap::map(&file) }.ok()?;
    if map.len() < HEADER || &map[..8] != MAGIC || map[8..12] != LAYOUT.to_le_bytes() {
        return None;
    }
    let body = &map[HEADER..];
    if Sha256::digest(body).as_slice() != &map[16..HEADER] {
        return None;
    }
    // SAFETY: the checksum says these are the bytes this layout version wrote, and HEADER keeps
    // the archive aligned to 16 in a page-aligned map.
    let archived = unsafe { rkyv::access_unchecked::<ArchivedArchive>(body) };
    if archived.key.as_str() != key {
        return None;
    }
    rkyv::deserialize::<Archive, rkyv::rancor::Error>(archived).ok()
}

impl RecipeCache {
    /// Opens the cache at `path` (a missing, foreign or damaged file is an empty cache). `key`
    /// stands for the configuration everything was parsed with.
    pub fn open(path: &Path, key: &str) -> RecipeCache {
        let archive = read(path, key).unwrap_or_default();
        let mut numbering = Numbering::default();
        for text in &archive.tables.texts {
            numbering.text(&Str::from(text.as_str()));
        }
        for list in &archive.tables.lists {
            numbering.list(list.clone());
        }
        for (file, state) in &archive.tables.files {
            numbering.file(file, || state.clone());
        }
        numbering.fresh = Tables::default();
        RecipeCache {
            path: path.to_path_buf(),
            key: key.to_string(),
            shared: vec![None; archive.tables.texts.len()],
            tables: archive.tables,
            numbering,
            old: archive.files.into_iter().map(|f| ((f.mc.clone(), f.path.clone()), f)).collect(),
            checker: Checker::default(),
            files: Vec::new(),
            slots: FxHashMap::default(),
            workers: FxHashMap::default(),
            changed: false,
        }
    }

    /// Number of recipes (variants included) the file holds.
    pub fn len(&self) -> usize {
        self.old.values().map(|f| f.infos.len()).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The recipes of a file if nothing they were made from has changed and the same appends apply.
    pub fn take(&mut self, mc: &str, path: &str, appends: &[String]) -> Option<Vec<RecipeInfo>> {
        let file = self.old.remove(&(mc.to_string(), path.to_string()))?;
        let fresh = !file.nocache
            && file.appends == appends
            && file.depends.iter().all(|n| {
                let (path, state) = &self.tables.files[*n as usize];
                self.checker.unchanged(path, state)
            });
        if !fresh {
            self.changed = true;
            return None;
        }
        let infos = file.infos.clone();
        self.keep(file);
        Some(infos)
    }

    fn keep(&mut self, file: PackedFile) {
        for (n, info) in file.infos.iter().enumerate() {
            self.slots.insert(info.mcfn.clone(), Slot { file: self.files.len(), info: n });
        }
        self.files.push(file);
    }

    /// Takes a packet of parsing process `worker` (any number that tells them apart).
    pub fn absorb(&mut self, worker: usize, bytes: &[u8]) -> Result<Vec<RecipeInfo>, CacheError> {
        let mut aligned = rkyv::util::AlignedVec::<16>::with_capacity(bytes.len());
        aligned.extend_from_slice(bytes);
        let packet: Packet = {
            // SAFETY: packets come from our own forked processes, framed by the caller, made by
            // `Packer::pack` of this very binary.
            let archived = unsafe { rkyv::access_unchecked::<<Packet as rkyv::Archive>::Archived>(&aligned) };
            rkyv::deserialize::<Packet, rkyv::rancor::Error>(archived).map_err(|e| CacheError::Packet(e.to_string()))?
        };
        let known = self.workers.entry(worker).or_default();
        for text in packet.new.texts {
            known.texts.push(self.numbering.text(&Str::from(text)));
        }
        let mut path_state = FxHashMap::default();
        for (path, state) in packet.new.files {
            known.files.push(self.numbering.file(&path, || state.clone()));
            path_state.insert(path, state);
        }
        let mut file = packet.file;
        for list in packet.new.lists {
            let list = list.iter().map(|x| known.texts[*x as usize]).collect();
            known.lists.push(self.numbering.list(list));
        }
        for siggen in &mut file.siggen {
            siggen.renumber(&known.texts, &known.lists);
        }
        for n in &mut file.depends {
            *n = known.files[*n as usize];
        }
        let fresh = std::mem::take(&mut self.numbering.fresh);
        self.shared.resize(self.shared.len() + fresh.texts.len(), None);
        self.tables.texts.extend(fresh.texts);
        self.tables.lists.extend(fresh.lists);
        self.tables.files.extend(fresh.files);
        // A file known from an older run is what it is now.
        for (path, state) in path_state {
            let n = self.numbering.file(&path, || FileState::Absent);
            self.tables.files[n as usize].1 = state;
        }
        self.changed = true;
        let infos = file.infos.clone();
        self.keep(file);
        Ok(infos)
    }

    /// What sigdata files show of a recipe's base hashes.
    pub fn siggen(&mut self, mcfn: &str) -> Option<SiggenInfo> {
        let slot = *self.slots.get(mcfn)?;
        let packed: PackedSiggen = self.files[slot.file].siggen[slot.info].clone();
        let (texts, lists) = (&self.tables.texts, &self.tables.lists);
        let shared = std::cell::RefCell::new(&mut self.shared);
        let text = |n: u32| {
            shared.borrow_mut()[n as usize].get_or_insert_with(|| Arc::from(texts[n as usize].as_str())).clone()
        };
        Some(packed.unpack(text, |n| lists[n as usize].clone()))
    }

    /// Writes the file if anything changed; what was neither taken nor absorbed is dropped.
    pub fn save(&mut self) -> Result<(), CacheError> {
        if !self.changed && self.old.is_empty() {
            return Ok(());
        }
        let failed = |source: std::io::Error| CacheError::Write { path: self.path.clone(), source };
        let archive = self.compact();
        let body = rkyv::to_bytes::<rkyv::rancor::Error>(&archive).map_err(|e| failed(std::io::Error::other(e.to_string())))?;
        let dir = self.path.parent().unwrap_or(Path::new("."));
        std::fs::create_dir_all(dir).map_err(failed)?;
        let mut out = tempfile::NamedTempFile::new_in(dir).map_err(failed)?;
        let mut header = [0u8; HEADER];
        header[..8].copy_from_slice(MAGIC);
        header[8..12].copy_from_slice(&LAYOUT.to_le_bytes());
        header[16..].copy_from_slice(&Sha256::digest(&body));
        out.write_all(&header).and_then(|()| out.write_all(&body)).and_then(|()| out.as_file().sync_all()).map_err(failed)?;
        out.persist(&self.path).map_err(|e| failed(e.error))?;
        self.changed = false;
        Ok(())
    }

    /// The tables with only what the kept recipes use, so that edits do not grow the file for ever.
    fn compact(&self) -> Archive {
        let mut n = Numbering::default();
        let mut files = self.files.clone();
        let mut list_of = FxHashMap::default();
        for file in &mut files {
            for siggen in &mut file.siggen {
                let text = |n: &mut Numbering, x: u32| n.text(&Str::from(self.tables.texts[x as usize].as_str()));
                for (name, list) in siggen.gendeps.iter_mut().chain(siggen.taskdeps.iter_mut()) {
                    *name = text(&mut n, *name);
                    *list = match list_of.get(list) {
                        Some(known) => *known,
                        None => {
                            let texts = self.tables.lists[*list as usize].iter().map(|x| text(&mut n, *x)).collect();
                            let new = n.list(texts);
                            list_of.insert(*list, new);
                            new
                        }
                    };
                }
                for (name, value) in &mut siggen.varvals {
                    *name = text(&mut n, *name);
                    if *value != NONE {
                        *value = text(&mut n, *value & !OTHER) | (*value & OTHER);
                    }
                }
            }
            for x in &mut file.depends {
                let (path, state) = &self.tables.files[*x as usize];
                *x = n.file(path, || state.clone());
            }
        }
        Archive { key: self.key.clone(), tables: n.fresh, files }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hz_siggen::VarVal;
    use crate::packed::{Packer, ParsedFile};

    fn parsed(path: &Path, pn: &str) -> ParsedFile {
        let mut info = RecipeInfo { mcfn: path.to_str().unwrap().into(), pn: pn.into(), ..Default::default() };
        info.depends = vec!["a".into(), "b".into()];
        info.siggen.gendeps.insert("do_x".into(), vec!["A".into(), "B".into()]);
        info.siggen.taskdeps.insert("do_x".into(), vec!["A".into()]);
        info.siggen.varvals.insert("A".into(), VarVal::Str("1".into()));
        info.siggen.varvals.insert("A[func]".into(), VarVal::Int(1));
        info.siggen.varvals.insert("B".into(), VarVal::None);
        ParsedFile {
            mc: String::new(),
            path: path.to_str().unwrap().into(),
            appends: vec![],
            infos: vec![info],
            depends: vec![path.to_str().unwrap().into(), "/nowhere/x.bbappend".into()],
        }
    }

    #[test]
    fn what_was_parsed_comes_back_until_a_file_changes() {
        let dir = tempfile::tempdir().unwrap();
        let (one, two) = (dir.path().join("one.bb"), dir.path().join("two.bb"));
        std::fs::write(&one, "1").unwrap();
        std::fs::write(&two, "2").unwrap();
        let file = dir.path().join("cache");
        let mut cache = RecipeCache::open(&file, "k");
        let (mut a, mut b) = (Packer::new(), Packer::new());
        // Two processes number their texts differently.
        b.pack(parsed(&one, "zzz"));
        let mut second = Packer::new();
        let (p1, p2) = (a.pack(parsed(&one, "one")), second.pack(parsed(&two, "two")));
        assert_eq!(cache.absorb(0, &p1).unwrap()[0].pn.as_ref(), "one");
        assert_eq!(cache.absorb(1, &p2).unwrap()[0].depends.len(), 2);
        let siggen = cache.siggen(two.to_str().unwrap()).unwrap();
        assert_eq!(siggen, parsed(&two, "two").infos[0].siggen);
        cache.save().unwrap();

        let mut again = RecipeCache::open(&file, "k");
        assert_eq!(again.len(), 2);
        assert_eq!(again.take("", one.to_str().unwrap(), &[]).unwrap()[0].pn.as_ref(), "one");
        assert_eq!(again.siggen(one.to_str().unwrap()).unwrap(), siggen);
        std::fs::write(&two, "changed").unwrap();
        assert!(again.take("", two.to_str().unwrap(), &[]).is_none());
        assert!(RecipeCache::open(&file, "k").take("", one.to_str().unwrap(), &["x".into()]).is_none(), "another append");
        assert!(RecipeCache::open(&file, "other").is_empty());
        again.save().unwrap();
        assert_eq!(RecipeCache::open(&file, "k").len(), 1);
    }

    #[test]
    fn a_damaged_file_is_an_empty_cache() {
        let dir = tempfile::tempdir().unwrap();
        let one = dir.path().join("one.bb");
        std::fs::write(&one, "1").unwrap();
        let file = dir.path().join("cache");
        let mut cache = RecipeCache::open(&file, "k");
        cache.absorb(0, &Packer::new().pack(parsed(&one, "one"))).unwrap();
        cache.save().unwrap();
        let mut bytes = std::fs::read(&file).unwrap();
        let last = bytes.len() - 5;
        bytes[last] ^= 1;
        std::fs::write(&file, &bytes).unwrap();
        assert!(RecipeCache::open(&file, "k").is_empty());
        std::fs::write(&file, "short").unwrap();
        assert!(RecipeCache::open(&file, "k").is_empty());
    }
}
