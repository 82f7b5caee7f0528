//! The cache: one large file, and smaller ones beside it with what was parsed since.
//!
//! A file begins with texts and recipes in the order in which they came, and ends with what says where they are: what was
//! parsed is written at once and need not stay in memory. Each is replaced as a whole. Writing the large one takes longer
//! than parsing a recipe, so what some recipes say anew goes into a smaller one ([`ADDITION`]), and what few say anew after
//! that into a smaller one still, until each holds too much beside the one below, which it names.

use crate::base::{Base, Changes, changes};
use crate::basehashes::{self, Kept};
use crate::encoded::{Head, decode, head, providing, renumber};
use crate::files::{Checker, FileState};
use crate::packed::{ArchivedPackedFile, PackedFile, Packet};
use crate::recipe::{Providing, Recipe, RecipeInfo};
use crate::tables::{Index, Numbering, SharedTexts};
use hz_data::ReadSet;
use hz_diagnostics::Str;
use hz_siggen::PackedSignatures;
use hz_siggen::packed::{Node, Tables, renumber_node};
use hz_stored::{Draft, Kind, Stored};
use indexmap::IndexMap;
use rustc_hash::{FxHashMap, FxHashSet};
use std::cell::RefCell;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Bumped whenever the archived types change.
const KIND: &Kind = b"hz-recipes-00008";

/// What the names of the files beside the cache file end in; the second one's goes on with its number.
const ADDITION: &str = "-added";

/// Files beside it.
const ADDITIONS: usize = 2;

/// May a file with so many recipe files stand beside one with so many that count? Writing them again each time has to take
/// less than writing all would; above the first, several edits come before that.
fn is_small(adding: usize, staying: usize, level: usize) -> bool {
    if level == 1 { adding * 3 <= staying * 2 } else { adding * 8 <= staying }
}

#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    #[error("cannot write the recipe cache {path}: {source}")]
    Write { path: PathBuf, source: std::io::Error },
    #[error("a parsing process sent a packet that cannot be read: {0}")]
    Packet(String),
}

/// The end of a file.
#[derive(Default, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
struct Archive {
    /// What all recipes count under, those of the file that this one adds to as well.
    base: Base,
    index: Index,
    /// Where each [`PackedFile`] begins, and its length.
    files: Vec<(u32, u32)>,
    /// Sum of the file that this one adds to; zeros in that one itself.
    onto: [u8; 32],
    /// Numbers of the recipe files below that no longer count: which of the files, number there.
    gone: Vec<(u32, u32)>,
}

/// A finished file.
struct Mapped {
    path: PathBuf,
    stored: Stored,
    /// Texts of its tables.
    texts: Mutex<SharedTexts>,
    /// Base hashes of its recipes that somebody asked for before.
    hashes: OnceLock<Kept>,
}

impl Mapped {
    fn open(path: &Path) -> Option<Mapped> {
        Some(Mapped::of(path, Stored::open(path, KIND)?))
    }

    fn of(path: &Path, stored: Stored) -> Mapped {
        Mapped { path: path.to_path_buf(), stored, texts: Mutex::default(), hashes: OnceLock::new() }
    }

    fn hashes(&self) -> &Kept {
        self.hashes.get_or_init(|| Kept::open(&self.path, self.stored.sum()))
    }

    /// The files at `path`: the large one first.
    fn open_all(path: &Path) -> Vec<Arc<Mapped>> {
        let mut below = [0; 32];
        let files = (0..=ADDITIONS).map_while(|level| {
            let mapped = Mapped::open(&beside(path, level)).filter(|mapped| mapped.archive().onto == below)?;
            below = mapped.stored.sum();
            Some(Arc::new(mapped))
        });
        files.collect()
    }

    fn archive(&self) -> &ArchivedArchive {
        // SAFETY: these are the bytes this layout wrote, aligned to 16.
        unsafe { rkyv::access_unchecked::<ArchivedArchive>(&self.stored) }
    }

    fn record(&self, n: usize) -> &ArchivedPackedFile {
        let place = &self.archive().files[n];
        let (from, length) = (place.0.to_native() as usize, place.1.to_native() as usize);
        // SAFETY: as above.
        unsafe { rkyv::access_unchecked::<ArchivedPackedFile>(&self.stored[from..from + length]) }
    }
    fn file(&self, n: usize) -> Option<PackedFile> {
        rkyv::deserialize::<PackedFile, rkyv::rancor::Error>(self.record(n)).ok()
    }
    /// A file that recipes were made from.
    fn state(&self, n: u32) -> Option<(String, FileState)> {
        rkyv::deserialize::<(String, FileState), rkyv::rancor::Error>(&self.archive().index.files[n as usize]).ok()
    }
}

impl Tables for Mapped {
    fn text(&self, n: u32) -> &str {
        let (from, length) = self.archive().index.text(n);
        std::str::from_utf8(&self.stored[from..from + length]).unwrap_or_default()
    }
    fn each(&self, n: u32, give: &mut dyn FnMut(u32)) {
        self.archive().index.list(n).for_each(give);
    }
    fn node(&self, n: u32) -> Node {
        self.archive().index.node_at(n)
    }
}

/// A file that grows.
struct Growing {
    numbering: Numbering,
    files: Vec<(u32, u32)>,
    draft: Draft,
}

impl Growing {
    /// A file that will be in the folder of `path`.
    fn new(path: &Path) -> Growing {
        let dir = path.parent().unwrap_or(Path::new("."));
        Growing { numbering: Numbering::default(), files: Vec::new(), draft: Draft::new(dir) }
    }

    fn add_text(&mut self, text: &str) -> u32 {
        self.numbering.text(text, &mut self.draft)
    }

    fn add_file(&mut self, file: &PackedFile) {
        // Serialising owned data into memory has no way to fail but running out of it.
        let bytes = rkyv::to_bytes::<rkyv::rancor::Panic>(file).unwrap_or_else(|never| match never {});
        self.files.push((self.draft.align() as u32, bytes.len() as u32));
        self.draft.append(&bytes);
    }

    /// Of what [`Draft::map`] made readable.
    fn file(&self, n: usize) -> Option<PackedFile> {
        let (from, length) = self.files[n];
        let mut aligned = rkyv::util::AlignedVec::<16>::with_capacity(length as usize);
        aligned.extend_from_slice(self.draft.get(from as usize, length as usize));
        if aligned.len() < length as usize {
            return None;
        }
        // SAFETY: what `add_file` wrote, aligned.
        let record = unsafe { rkyv::access_unchecked::<ArchivedPackedFile>(&aligned) };
        rkyv::deserialize::<PackedFile, rkyv::rancor::Error>(record).ok()
    }

    /// Puts the file at `path`. After an error all is as before.
    fn finish(&mut self, path: &Path, base: Base, onto: [u8; 32], gone: Vec<(u32, u32)>) -> io::Result<Mapped> {
        // Lent for a moment rather than copied.
        let (index, files) = (std::mem::take(&mut self.numbering.index), std::mem::take(&mut self.files));
        let archive = Archive { base, index, files, onto, gone };
        let bytes = serialized(&archive);
        (self.numbering.index, self.files) = (archive.index, archive.files);
        self.draft.align();
        self.draft.append(&bytes.map_err(io::Error::other)?);
        Ok(Mapped::of(path, self.draft.finish(path, KIND)?))
    }
}

/// Of what [`Draft::map`] made readable.
impl Tables for Growing {
    fn text(&self, n: u32) -> &str {
        let (from, length) = self.numbering.index.texts[n as usize];
        std::str::from_utf8(self.draft.get(from as usize, length as usize)).unwrap_or_default()
    }
    fn each(&self, n: u32, give: &mut dyn FnMut(u32)) {
        self.numbering.index.lists.get(n).iter().copied().for_each(give);
    }
    fn node(&self, n: u32) -> Node {
        self.numbering.index.node_at(n)
    }
}

/// Where the file at `path` is, or what is added to it.
fn beside(path: &Path, level: usize) -> PathBuf {
    match level {
        0 => path.to_path_buf(),
        1 => hz_stored::beside(path, ADDITION),
        level => hz_stored::beside(path, &format!("{ADDITION}-{level}")),
    }
}

/// A recipe file of the mapped ones: which of them, number there.
#[derive(Clone, Copy, PartialEq)]
struct Known {
    mapped: usize,
    file: usize,
}

/// What was parsed in this run, with numbers of its own.
enum Fresh {
    Growing(Growing),
    /// As it lies in a file, with recipe files that were known before behind it.
    Saved(Mapped),
}

/// What was parsed, to be read.
fn readable(fresh: &RwLock<Fresh>) -> RwLockReadGuard<'_, Fresh> {
    if matches!(&*read(fresh), Fresh::Growing(growing) if !growing.draft.is_mapped())
        && let Fresh::Growing(growing) = &mut *write(fresh)
    {
        growing.draft.map();
    }
    read(fresh)
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|e| e.into_inner())
}

fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(|e| e.into_inner())
}

fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(|e| e.into_inner())
}

#[derive(Clone)]
enum Source {
    Mapped(Arc<Mapped>),
    Fresh(Arc<RwLock<Fresh>>),
}

/// Where a recipe's facts stand. They are made of that when somebody asks: of most recipes nobody does, and all
/// of them take twice the memory of what they are made of.
#[derive(Clone)]
pub(crate) struct Place {
    source: Source,
    /// Number of the recipe file, of the variant.
    file: usize,
    variant: usize,
}

impl std::fmt::Debug for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Place({}, {})", self.file, self.variant)
    }
}

/// Is handed the row of a recipe's facts, and what its numbers stand for.
type Look<'a, R> = &'a dyn Fn(&mut dyn Iterator<Item = u32>, &dyn Fn(u32) -> Str, &dyn Fn(u32, &mut dyn FnMut(u32))) -> R;

impl Mapped {
    fn look<R>(&self, file: usize, variant: usize, look: Look<'_, R>) -> R {
        let (index, texts) = (&self.archive().index, locked(&self.texts));
        let mut row = self.record(file).infos[variant].iter().map(|n| n.to_native());
        look(&mut row, &|n| texts.get(n, || self.text(n)), &|n, give| index.list(n).for_each(give))
    }
    fn head(&self, file: usize, variant: usize) -> Head {
        self.look(file, variant, &|row, text, _| head(row, text))
    }
    fn signatures(&self, file: usize, variant: usize) -> Option<PackedSignatures> {
        rkyv::deserialize::<PackedSignatures, rkyv::rancor::Error>(&self.record(file).siggen[variant]).ok()
    }
}

impl Place {
    fn look<R>(&self, look: Look<'_, R>) -> R {
        match &self.source {
            Source::Mapped(mapped) => mapped.look(self.file, self.variant, look),
            Source::Fresh(fresh) => match &*readable(fresh) {
                Fresh::Saved(mapped) => mapped.look(self.file, self.variant, look),
                Fresh::Growing(growing) => {
                    let row = growing.file(self.file).map(|mut file| file.infos.swap_remove(self.variant));
                    let lists = &growing.numbering.index.lists;
                    look(&mut row.into_iter().flatten(), &|n| growing.text(n).into(), &|n, give| lists.get(n).iter().copied().for_each(give))
                }
            },
        }
    }
    pub fn providing(&self) -> Providing {
        self.look(&|row, text, list| providing(row, text, list))
    }
    pub fn read(&self) -> RecipeInfo {
        self.look(&|row, text, list| decode(row, text, list))
    }
    /// Hands on the finished file that the recipe is in, and the number of its recipe file there; None: it is in none yet.
    fn mapped<R>(&self, look: impl FnOnce(&Mapped, usize) -> R) -> Option<R> {
        match &self.source {
            Source::Mapped(mapped) => Some(look(mapped, self.file)),
            Source::Fresh(fresh) => match &*readable(fresh) {
                Fresh::Saved(mapped) => Some(look(mapped, self.file)),
                Fresh::Growing(_) => None,
            },
        }
    }
    /// The recipe's base hashes that were kept, in the order of its tasks.
    pub fn kept_hashes(&self) -> Option<Vec<[u8; 32]>> {
        self.mapped(|mapped, file| mapped.hashes().find(file, self.variant)).flatten()
    }
    /// The same, made now; none where they do not follow from the signatures.
    pub fn make_hashes(&self) -> Vec<[u8; 32]> {
        let mut found = Vec::new();
        let _ = self.signatures(&mut |signatures, tables| {
            if signatures.say_base_hashes() {
                found = signatures.base_hashes(tables);
            }
        });
        found
    }
    /// Base hashes by the names of tasks.
    pub fn named_hashes(&self, hashes: &[[u8; 32]]) -> IndexMap<Str, Str> {
        let mut found = IndexMap::new();
        let _ = self.signatures(&mut |signatures, tables| found = signatures.by_task(hashes, tables));
        found
    }
    /// Hands on the signatures and the tables that their numbers belong to.
    fn signatures(&self, look: &mut dyn FnMut(&PackedSignatures, &dyn Tables)) -> Option<()> {
        match &self.source {
            Source::Mapped(mapped) => look(&mapped.signatures(self.file, self.variant)?, &**mapped),
            Source::Fresh(fresh) => match &*readable(fresh) {
                Fresh::Saved(mapped) => look(&mapped.signatures(self.file, self.variant)?, mapped),
                Fresh::Growing(growing) => look(&growing.file(self.file)?.siggen[self.variant], growing),
            },
        }
        Some(())
    }
}

/// All known recipes of this run: what the file held and still is valid, and what was parsed anew.
pub struct RecipeCache {
    path: PathBuf,
    base: Base,
    /// What changed since the mapped files were written, per multiconfig.
    changes: FxHashMap<String, Changes>,
    /// The large one and what is added to it, or nothing.
    old: Vec<Arc<Mapped>>,
    /// Of each of them, which of its files are unchanged, as far as they were looked at.
    unchanged: Vec<Vec<Option<bool>>>,
    /// Recipe files of the mapped ones by multiconfig and path, until they are taken.
    untaken: FxHashMap<(Str, Str), Known>,
    /// Those taken.
    kept: Vec<Known>,
    held: usize,
    checker: Checker,
    fresh: Arc<RwLock<Fresh>>,
    /// Where each recipe is.
    places: FxHashMap<Str, Place>,
    /// Numbers of each parsing process in those of `fresh`.
    workers: FxHashMap<usize, Translation>,
    changed: bool,
}

#[derive(Default)]
struct Translation {
    texts: Vec<u32>,
    lists: Vec<u32>,
    nodes: Vec<u32>,
    files: Vec<u32>,
}

/// From here on the number stands for this one.
fn stands_for(table: &mut Vec<u32>, number: u32, this: u32) {
    let number = number as usize;
    if table.len() <= number {
        table.resize(number + 1, 0);
    }
    table[number] = this;
}

impl RecipeCache {
    /// Opens the cache at `path` (a missing, foreign or damaged file is an empty cache). `base` is the
    /// configuration of now.
    pub fn open(path: &Path, base: Base) -> RecipeCache {
        let mut old = Mapped::open_all(path);
        let newest = old.last().and_then(|newest| changes(&newest.archive().base, &base));
        if newest.is_none() {
            old.clear();
        }
        let changes = newest.unwrap_or_default();
        let mut untaken = FxHashMap::default();
        let gone = old.iter().flat_map(|old| old.archive().gone.iter());
        let gone: FxHashSet<(usize, usize)> = gone.map(|gone| (gone.0.to_native() as usize, gone.1.to_native() as usize)).collect();
        for (mapped, of) in old.iter().enumerate() {
            for n in (0..of.archive().files.len()).filter(|n| !gone.contains(&(mapped, *n))) {
                let file = of.record(n);
                untaken.insert((file.mc.as_str().into(), file.path.as_str().into()), Known { mapped, file: n });
            }
        }
        let held = untaken.values().map(|known| old[known.mapped].record(known.file).infos.len()).sum();
        RecipeCache {
            path: path.to_path_buf(),
            base,
            changed: changes.values().any(|changes| !changes.is_empty()),
            changes,
            unchanged: old.iter().map(|old| vec![None; old.archive().index.files.len()]).collect(),
            old,
            untaken,
            kept: Vec::new(),
            held,
            checker: Checker::default(),
            fresh: Arc::new(RwLock::new(Fresh::Growing(Growing::new(path)))),
            places: FxHashMap::default(),
            workers: FxHashMap::default(),
        }
    }

    /// Number of recipes (variants included) the file holds.
    pub fn len(&self) -> usize {
        self.held
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The recipes of a file if nothing they were made from has changed, the same appends apply and it is of the
    /// same layer.
    pub fn take(&mut self, mc: &str, path: &str, appends: &[String], layer: Option<&str>) -> Option<Vec<Recipe>> {
        let known = self.untaken.remove(&(mc.into(), path.into()))?;
        let old = self.old.get(known.mapped)?;
        let (index, file) = (&old.archive().index, old.record(known.file));
        let spared = self.changes.get(mc).is_some_and(|changes| {
            changes.is_empty() || changes.spare(&ReadSet::from_words(file.reads.iter().map(|word| word.to_native())))
        });
        let unchanged = &mut self.unchanged[known.mapped];
        let fresh = spared
            && !file.nocache
            && file.layer.as_ref().map(|layer| layer.as_str()) == layer
            && file.appends.iter().map(|a| a.as_str()).eq(appends.iter().map(String::as_str))
            && file.depends.iter().all(|n| {
                let n = n.to_native() as usize;
                let entry = &index.files[n];
                *unchanged[n].get_or_insert_with(|| self.checker.unchanged_since(entry.0.as_str(), &entry.1))
            });
        if !fresh {
            self.changed = true;
            return None;
        }
        let place = |variant| Place { source: Source::Mapped(old.clone()), file: known.file, variant };
        let variants = 0..file.infos.len();
        let recipes: Vec<Recipe> = variants.map(|variant| Recipe::at(place(variant), old.head(known.file, variant))).collect();
        for (at, recipe) in recipes.iter().enumerate() {
            self.places.insert(recipe.mcfn.clone(), place(at));
        }
        self.kept.push(known);
        Some(recipes)
    }

    /// Takes a packet of parsing process `worker` (any number that tells them apart).
    pub fn absorb(&mut self, worker: usize, bytes: &[u8]) -> Result<Vec<Recipe>, CacheError> {
        let mut aligned = rkyv::util::AlignedVec::<16>::with_capacity(bytes.len());
        aligned.extend_from_slice(bytes);
        // SAFETY: packets come from our own forked processes, framed by the caller, made by
        // `Packer::pack` of this very binary.
        let packet = unsafe { rkyv::access_unchecked::<<Packet as rkyv::Archive>::Archived>(&aligned) };
        let known = self.workers.entry(worker).or_default();
        let mut fresh = write(&self.fresh);
        let Fresh::Growing(growing) = &mut *fresh else { return Err(CacheError::Packet("all is saved".into())) };
        let [texts, lists, nodes] = &packet.numbers;
        for (at, n) in (0..).zip(texts.iter()) {
            stands_for(&mut known.texts, n.to_native(), growing.add_text(packet.new.text(at)));
        }
        let mut translated = Vec::new();
        let numbering = &mut growing.numbering;
        for (at, n) in (0..).zip(lists.iter()) {
            translated.clear();
            translated.extend(packet.new.list(at).map(|text| known.texts[text as usize]));
            stands_for(&mut known.lists, n.to_native(), numbering.list(&translated));
        }
        for (at, n) in (0..).zip(nodes.iter()) {
            let node = renumber_node(packet.new.node_at(at), |n| known.texts[n as usize], |n| known.lists[n as usize]);
            stands_for(&mut known.nodes, n.to_native(), numbering.node(node));
        }
        // A process that was forked from that one for one recipe may have numbered more.
        known.files.truncate(packet.files_from.to_native() as usize);
        let unreadable = |e: rkyv::rancor::Error| CacheError::Packet(e.to_string());
        let mut file = rkyv::deserialize::<PackedFile, _>(&packet.file).map_err(unreadable)?;
        for siggen in &mut file.siggen {
            siggen.renumber(|n| known.texts[n as usize], |n| known.lists[n as usize], |n| known.nodes[n as usize]);
        }
        let states = rkyv::deserialize::<Vec<(String, FileState)>, _>(&packet.new.files).map_err(unreadable)?;
        known.files.extend(states.into_iter().map(|(path, state)| numbering.file(&path, state)));
        for n in &mut file.depends {
            *n = known.files[*n as usize];
        }
        for row in &mut file.infos {
            renumber(row, |n| known.texts[n as usize], |n| known.lists[n as usize]);
        }
        self.changed = true;
        let number = growing.files.len();
        growing.add_file(&file);
        growing.draft.map();
        let heads: Vec<Head> = file.infos.iter().map(|row| head(&mut row.iter().copied(), |n| growing.text(n).into())).collect();
        drop(fresh);
        let place = |variant| Place { source: Source::Fresh(self.fresh.clone()), file: number, variant };
        let recipes: Vec<Recipe> = heads.into_iter().enumerate().map(|(variant, head)| Recipe::at(place(variant), head)).collect();
        for (at, recipe) in recipes.iter().enumerate() {
            self.places.insert(recipe.mcfn.clone(), place(at));
        }
        Ok(recipes)
    }

    /// Shows what base hashes of a recipe are made of, with the tables the numbers belong to; false: it is not known.
    pub fn siggen(&self, mcfn: &str, look: &mut dyn FnMut(&PackedSignatures, &dyn Tables)) -> bool {
        self.places.get(mcfn).and_then(|place| place.signatures(look)).is_some()
    }

    /// Writes what changed; what was neither taken nor absorbed is dropped.
    pub fn save(&mut self) -> Result<(), CacheError> {
        if !self.changed && self.untaken.is_empty() {
            return Ok(());
        }
        let lock = self.fresh.clone();
        let mut fresh = write(&lock);
        let Fresh::Growing(growing) = &mut *fresh else { return Ok(()) };
        let level = self.level_for(growing.files.len());
        let path = beside(&self.path, level);
        let saved = self.write(level, growing, &path);
        *fresh = Fresh::Saved(saved.map_err(|source| CacheError::Write { path, source })?);
        for level in level + 1..=ADDITIONS {
            // It adds to a file that is no more, so nobody would believe it.
            let _ = std::fs::remove_file(beside(&self.path, level));
        }
        self.workers.clear();
        self.changed = false;
        Ok(())
    }

    /// The base of what is written beside recipes that are kept: what was read for those counts on.
    fn joined_base(&self) -> Base {
        let mut base = self.base.clone();
        let mut common = ReadSet::from_words(base.common.iter().copied());
        if let Some(newest) = self.old.last() {
            common.join(&ReadSet::from_words(newest.archive().base.common.iter().map(|word| word.to_native())));
        }
        base.common = common.words().to_vec();
        base
    }

    /// Recipe files that go on from one of the files.
    fn kept_of(&self, level: usize) -> impl Iterator<Item = usize> {
        self.kept.iter().filter(move |known| known.mapped == level).map(|known| known.file)
    }

    /// Which file is written with so many new recipe files. Those above it go into it.
    fn level_for(&self, new: usize) -> usize {
        let mut level = self.old.len();
        let mut adding = new;
        while level > 0 {
            let below = self.kept_of(level - 1).count();
            if level <= ADDITIONS && is_small(adding, below, level) {
                break;
            }
            adding += below;
            level -= 1;
        }
        level
    }

    /// Writes a file of what is new, and of what is kept of the one that was there and those above it.
    fn write(&self, level: usize, growing: &mut Growing, path: &Path) -> io::Result<Mapped> {
        for (n, old) in self.old.iter().enumerate().skip(level) {
            move_files(old, self.kept_of(n), growing)?;
        }
        let (below, mut gone) = (&self.old[..level], Vec::new());
        for (n, old) in below.iter().enumerate() {
            let staying: FxHashSet<usize> = self.kept_of(n).collect();
            gone.extend((0..old.archive().files.len()).filter(|file| !staying.contains(file)).map(|file| (n as u32, file as u32)));
        }
        let onto = below.last().map_or([0; 32], |below| below.stored.sum());
        growing.finish(path, self.joined_base(), onto, gone)
    }
}

/// Keeps base hashes that were made in this run for the next one.
///
/// # Errors
/// Whatever the file system says; they are made again then.
pub fn keep_base_hashes<'r>(recipes: impl Iterator<Item = &'r Recipe>) -> io::Result<()> {
    let mut rows: FxHashMap<(PathBuf, [u8; 32]), Vec<basehashes::Row>> = FxHashMap::default();
    for (place, hashes) in recipes.filter_map(Recipe::made_hashes) {
        place.mapped(|mapped, file| {
            let row = basehashes::Row { file: file as u32, variant: place.variant as u32, hashes: hashes.to_vec() };
            rows.entry((mapped.path.clone(), mapped.stored.sum())).or_default().push(row);
        });
    }
    rows.into_iter().try_for_each(|((path, sum), rows)| basehashes::keep(&path, sum, rows))
}

fn serialized(archive: &Archive) -> Result<rkyv::util::AlignedVec, rkyv::rancor::Error> {
    let size = archive.index.bytes() + archive.base.variables.iter().map(|(_, all)| all.len() * 24).sum::<usize>();
    rkyv::api::high::to_bytes_in(archive, rkyv::util::AlignedVec::with_capacity(size))
}

/// Numbers of some tables in others, found out one by one.
struct Move<'a> {
    from: &'a Mapped,
    into: &'a mut Growing,
    texts: FxHashMap<u32, u32>,
    lists: FxHashMap<u32, u32>,
    nodes: FxHashMap<u32, u32>,
    files: FxHashMap<u32, u32>,
}

impl Move<'_> {
    fn text(&mut self, n: u32) -> u32 {
        *self.texts.entry(n).or_insert_with(|| self.into.add_text(self.from.text(n)))
    }
    fn list(&mut self, n: u32) -> u32 {
        if let Some(known) = self.lists.get(&n) {
            return *known;
        }
        let list: Vec<u32> = self.from.list(n).into_iter().map(|n| self.text(n)).collect();
        let new = self.into.numbering.list(&list);
        self.lists.insert(n, new);
        new
    }
    fn node(&mut self, n: u32) -> u32 {
        if let Some(known) = self.nodes.get(&n) {
            return *known;
        }
        let node = self.from.node(n);
        let cell = RefCell::new(&mut *self);
        let node = renumber_node(node, |n| cell.borrow_mut().text(n), |n| cell.borrow_mut().list(n));
        let new = self.into.numbering.node(node);
        self.nodes.insert(n, new);
        new
    }
    fn file(&mut self, n: u32) -> u32 {
        *self.files.entry(n).or_insert_with(|| {
            let (path, state) = self.from.state(n).unwrap_or_else(|| (String::new(), FileState::Absent));
            self.into.numbering.file(&path, state)
        })
    }
}

/// Moves recipe files from one set of tables to another.
fn move_files(from: &Mapped, files: impl Iterator<Item = usize>, into: &mut Growing) -> io::Result<()> {
    let (texts, lists, nodes) = (FxHashMap::default(), FxHashMap::default(), FxHashMap::default());
    let moving = RefCell::new(Move { from, into, texts, lists, nodes, files: FxHashMap::default() });
    let (text, list) = (|n| moving.borrow_mut().text(n), |n| moving.borrow_mut().list(n));
    for n in files {
        let mut file = from.file(n).ok_or(io::ErrorKind::InvalidData)?;
        for siggen in &mut file.siggen {
            siggen.renumber(text, list, |n| moving.borrow_mut().node(n));
        }
        for row in &mut file.infos {
            renumber(row, text, list);
        }
        for n in &mut file.depends {
            *n = moving.borrow_mut().file(*n);
        }
        moving.borrow_mut().into.add_file(&file);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packed::{Packer, ParsedFile};
    use hz_siggen::{RecipeSignatures, VarVal};
    use indexmap::IndexMap;
    use hz_siggen::packed::with_interner;

    fn signatures() -> RecipeSignatures {
        let mut found = RecipeSignatures::default();
        found.gendeps.insert("do_x".into(), vec!["A".into(), "B".into()]);
        found.taskdeps.insert("do_x".into(), vec!["A".into()]);
        found.varvals.insert("A".into(), VarVal::Str("1".into()));
        found.varvals.insert("A[func]".into(), VarVal::Int(1));
        found.varvals.insert("B".into(), VarVal::None);
        found
    }

    fn base(key: &str) -> Base {
        Base::new(key.into(), [(String::new(), Vec::new())], &ReadSet::new())
    }

    fn parsed(path: &Path, pn: &str) -> ParsedFile {
        let mut info = RecipeInfo { mcfn: path.to_str().unwrap().into(), pn: pn.into(), ..Default::default() };
        info.depends = vec!["a".into(), "b".into()];
        info.siggen = with_interner(|tables| PackedSignatures::pack(&signatures(), tables));
        ParsedFile {
            mc: String::new(),
            path: path.to_str().unwrap().into(),
            appends: vec![],
            infos: vec![info],
            depends: vec![path.to_str().unwrap().into(), "/nowhere/x.bbappend".into()],
            layer: None,
            reads: ReadSet::new(),
        }
    }

    #[test]
    fn what_was_parsed_comes_back_until_a_file_changes() {
        let dir = tempfile::tempdir().unwrap();
        let (one, two) = (dir.path().join("one.bb"), dir.path().join("two.bb"));
        std::fs::write(&one, "1").unwrap();
        std::fs::write(&two, "2").unwrap();
        let file = dir.path().join("cache");
        let mut cache = RecipeCache::open(&file, base("k"));
        let (mut a, mut b) = (Packer::new(), Packer::new());
        // Two processes number their texts differently.
        b.pack(parsed(&one, "zzz"));
        let mut second = Packer::new();
        let (p1, p2) = (a.pack(parsed(&one, "one")), second.pack(parsed(&two, "two")));
        assert_eq!(cache.absorb(0, &p1).unwrap()[0].pn.as_ref(), "one");
        assert_eq!(cache.absorb(1, &p2).unwrap()[0].depends.len(), 2);
        let unpacked = |cache: &RecipeCache, path: &Path| {
            let mut found = None;
            cache.siggen(path.to_str().unwrap(), &mut |packed, tables| found = Some(packed.unpack(IndexMap::new(), tables)));
            found
        };
        let siggen = unpacked(&cache, &two).unwrap();
        assert_eq!(siggen, signatures());
        cache.save().unwrap();

        let mut again = RecipeCache::open(&file, base("k"));
        assert_eq!(again.len(), 2);
        assert_eq!(again.take("", one.to_str().unwrap(), &[], None).unwrap()[0].pn.as_ref(), "one");
        assert_eq!(unpacked(&again, &one).unwrap(), siggen);
        std::fs::write(&two, "changed").unwrap();
        assert!(again.take("", two.to_str().unwrap(), &[], None).is_none());
        assert!(RecipeCache::open(&file, base("k")).take("", one.to_str().unwrap(), &["x".into()], None).is_none(), "another append");
        assert!(RecipeCache::open(&file, base("other")).is_empty());
        again.save().unwrap();
        assert_eq!(RecipeCache::open(&file, base("k")).len(), 1);
    }

    /// Twenty recipe files and their cache.
    struct Recipes {
        _dir: tempfile::TempDir,
        file: PathBuf,
        paths: Vec<PathBuf>,
    }

    impl Recipes {
        fn new() -> Recipes {
            let dir = tempfile::tempdir().unwrap();
            let paths = (0..20).map(|n| dir.path().join(format!("{n}.bb"))).collect();
            Recipes { file: dir.path().join("cache"), paths, _dir: dir }
        }
        fn write(&self, text: &str, which: std::ops::Range<usize>) {
            self.paths[which].iter().for_each(|path| std::fs::write(path, text).unwrap());
        }
        /// What the cache does not know is "parsed", with `pn` as its name. Which were, all names.
        fn run(&self, pn: &str, key: &str) -> (Vec<usize>, Vec<String>) {
            let mut cache = RecipeCache::open(&self.file, base(key));
            let (mut packer, mut parsed_now, mut names) = (Packer::new(), Vec::new(), Vec::new());
            for (n, path) in self.paths.iter().enumerate() {
                let recipes = cache.take("", path.to_str().unwrap(), &[], None).unwrap_or_else(|| {
                    parsed_now.push(n);
                    cache.absorb(0, &packer.pack(parsed(path, pn))).unwrap()
                });
                names.push(recipes[0].pn.to_string());
                assert_eq!(recipes[0].depends.len(), 2);
                let mut found = None;
                cache.siggen(path.to_str().unwrap(), &mut |packed, tables| found = Some(packed.unpack(IndexMap::new(), tables)));
                assert_eq!(found.unwrap(), signatures());
            }
            cache.save().unwrap();
            (parsed_now, names)
        }
    }

    #[test]
    fn a_few_recipes_are_added_beside_the_large_file() {
        let recipes = Recipes::new();
        let file = &recipes.file;
        let run = |pn: &str, key: &str| {
            let (parsed_now, names) = recipes.run(pn, key);
            (parsed_now, names.join(" "))
        };
        let named = |first: &str, second: &str| {
            let mut names = vec!["a"; 20];
            (names[3], names[4]) = (first, second);
            names.join(" ")
        };
        recipes.write("1", 0..20);
        assert_eq!(run("a", "k"), ((0..20).collect(), named("a", "a")));
        let large = std::fs::read(file).unwrap();
        recipes.write("2", 3..4);
        assert_eq!(run("b", "k"), (vec![3], named("b", "a")));
        recipes.write("2", 4..5);
        assert_eq!(run("c", "k"), (vec![4], named("b", "c")), "what was added stays");
        assert_eq!(run("d", "k"), (vec![], named("b", "c")));
        recipes.write("3", 3..4);
        assert_eq!(run("e", "k"), (vec![3], named("e", "c")));
        assert!(std::fs::read(file).unwrap() == large, "the large file is as it was");
        // Without what was added the large file tells of files that have changed since.
        let small = std::fs::read(beside(file, 1)).unwrap();
        std::fs::write(beside(file, 1), &small[..small.len() - 1]).unwrap();
        assert_eq!(run("f", "k"), (vec![3, 4], named("f", "f")));
        assert_eq!(RecipeCache::open(file, base("k")).len(), 20);
        recipes.write("4", 0..10);
        assert_eq!(run("g", "k").0.len(), 10);
        assert!(!beside(file, 1).exists(), "too much for the file beside");
        assert_eq!(run("h", "k").0.len(), 0);
        std::fs::write(beside(file, 1), &small).unwrap();
        assert_eq!(run("i", "k").0.len(), 0, "it adds to another file");
        assert_eq!(run("j", "other").0.len(), 20);
    }

    #[test]
    fn few_recipes_go_beside_what_is_beside() {
        let recipes = Recipes::new();
        let file = &recipes.file;
        let run = |pn: &str| {
            let (parsed_now, names) = recipes.run(pn, "k");
            let there = (1..=ADDITIONS).map(|level| beside(file, level).exists()).collect::<Vec<_>>();
            (parsed_now.len(), names.concat(), there)
        };
        let is = |parsed, names: &str, there: [bool; ADDITIONS]| (parsed, names.to_string(), there.to_vec());
        recipes.write("1", 0..20);
        assert_eq!(run("a"), is(20, "aaaaaaaaaaaaaaaaaaaa", [false, false]));
        recipes.write("2", 0..8);
        assert_eq!(run("b"), is(8, "bbbbbbbbaaaaaaaaaaaa", [true, false]));
        let (large, first) = (std::fs::read(file).unwrap(), std::fs::read(beside(file, 1)).unwrap());
        recipes.write("3", 9..10);
        assert_eq!(run("c"), is(1, "bbbbbbbbacaaaaaaaaaa", [true, true]));
        assert_eq!(run("d"), is(0, "bbbbbbbbacaaaaaaaaaa", [true, true]));
        assert!(std::fs::read(file).unwrap() == large && std::fs::read(beside(file, 1)).unwrap() == first, "as they were");
        recipes.write("4", 9..10);
        assert_eq!(run("e"), is(1, "bbbbbbbbaeaaaaaaaaaa", [true, true]), "in place of the last one");
        recipes.write("5", 10..11);
        assert_eq!(run("f"), is(1, "bbbbbbbbaefaaaaaaaaa", [false, false]), "too much: all goes into one");
        assert_eq!(run("g"), is(0, "bbbbbbbbaefaaaaaaaaa", [false, false]));
        recipes.write("6", 0..8);
        recipes.write("7", 8..9);
        assert_eq!(run("h").0, 9);
        std::fs::write(beside(file, 2), &first).unwrap();
        assert_eq!(run("i").0, 0, "it adds to something else");
    }

    #[test]
    fn base_hashes_are_made_once() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("cache");
        let paths: Vec<PathBuf> = ["one.bb", "two.bb", "three.bb"].iter().map(|name| dir.path().join(name)).collect();
        let mut cache = RecipeCache::open(&file, base("k"));
        let mut packer = Packer::new();
        let absorbed = |cache: &mut RecipeCache, packer: &mut Packer, path: &PathBuf, edit: &dyn Fn(&mut RecipeInfo)| {
            std::fs::write(path, "").unwrap();
            let mut parsed = parsed(path, "x");
            edit(&mut parsed.infos[0]);
            cache.absorb(0, &packer.pack(parsed)).unwrap().remove(0)
        };
        let ours = |info: &mut RecipeInfo| info.siggen.taskdeps[0].1 = hz_siggen::packed::NONE;
        let one = absorbed(&mut cache, &mut packer, &paths[0], &ours);
        let two = absorbed(&mut cache, &mut packer, &paths[1], &|info| {
            ours(info);
            info.basehashes.insert("do_x".into(), "own".into());
        });
        let three = absorbed(&mut cache, &mut packer, &paths[2], &|_| ());
        let text = |recipe: &Recipe| recipe.base_hashes().get("do_x").map(|hash| hash.to_string());
        // SHA-256 of "A1B": the task has no value, A has one, B none.
        let made = "f369536d7f61ed2ca6f4be9f2e34effa56b6f9c3362041e9ece82e7da09a4e26";
        assert!(one.lacks_base_hashes() && !two.lacks_base_hashes());
        one.take_base_hashes(&one.make_base_hashes());
        assert!(!one.lacks_base_hashes() && one.has_new_base_hashes());
        assert_eq!((text(&one).as_deref(), text(&two).as_deref(), text(&three)), (Some(made), Some("own"), None));
        assert_eq!(keep_base_hashes([&one].into_iter()).ok(), Some(()), "not in a file yet");
        cache.save().unwrap();
        keep_base_hashes([&one].into_iter()).unwrap();
        keep_base_hashes([&three].into_iter()).unwrap();
        let mut again = RecipeCache::open(&file, base("k"));
        let mut taken = |n: usize| again.take("", paths[n].to_str().unwrap(), &[], None).unwrap().remove(0);
        let (one, two) = (taken(0), taken(1));
        assert!(!one.lacks_base_hashes() && one.made_hashes().is_none() && !one.has_new_base_hashes(), "kept");
        assert_eq!((text(&one).as_deref(), text(&two).as_deref()), (Some(made), Some("own")));
    }

    #[test]
    fn a_damaged_file_is_an_empty_cache() {
        let dir = tempfile::tempdir().unwrap();
        let one = dir.path().join("one.bb");
        std::fs::write(&one, "1").unwrap();
        let file = dir.path().join("cache");
        let mut cache = RecipeCache::open(&file, base("k"));
        cache.absorb(0, &Packer::new().pack(parsed(&one, "one"))).unwrap();
        cache.save().unwrap();
        let mut bytes = std::fs::read(&file).unwrap();
        let last = bytes.len() - 5;
        bytes[last] ^= 1;
        std::fs::write(&file, &bytes).unwrap();
        assert!(RecipeCache::open(&file, base("k")).is_empty());
        bytes[last] ^= 1;
        std::fs::write(&file, &bytes).unwrap();
        assert_eq!(RecipeCache::open(&file, base("k")).len(), 1, "a copy");
        std::fs::write(&file, &bytes[..last]).unwrap();
        assert!(RecipeCache::open(&file, base("k")).is_empty());
        std::fs::write(&file, "short").unwrap();
        assert!(RecipeCache::open(&file, base("k")).is_empty());
    }

    #[test]
    fn another_configuration_spares_what_did_not_read_what_changed() {
        let store = |text: &str| {
            let d = hz_data::DataStore::new(hz_data::without_python());
            for line in text.split_whitespace() {
                let (name, value) = line.split_once('=').unwrap();
                d.set_var(name, value, &hz_data::SetInfo::default()).unwrap();
            }
            d
        };
        let base = |text: &str, common: &ReadSet| {
            Base::new("k".into(), [(String::new(), store(text).fingerprints(&Default::default()))], common)
        };
        let reading = |name: &str| hz_data::collect_reads(|| drop(store("").get(name))).1;
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("cache");
        let paths: Vec<PathBuf> = ["A", "B", "ABSENT"].iter().map(|name| dir.path().join(name)).collect();
        let mut cache = RecipeCache::open(&file, base("A=1 B=1 C=1", &reading("COMMON")));
        let mut packer = Packer::new();
        for path in &paths {
            std::fs::write(path, "").unwrap();
            let name = path.file_name().unwrap().to_str().unwrap();
            let parsed = ParsedFile { reads: reading(name), layer: Some("l".into()), ..parsed(path, name) };
            cache.absorb(0, &packer.pack(parsed)).unwrap();
        }
        cache.save().unwrap();
        let kept = |text: &str, common: &str, layer: &str| {
            let mut cache = RecipeCache::open(&file, base(text, &reading(common)));
            let taken = |path: &PathBuf| cache.take("", path.to_str().unwrap(), &[], Some(layer)).is_some();
            paths.iter().map(taken).map(|kept| if kept { "+" } else { "-" }).collect::<String>()
        };
        assert_eq!(kept("A=1 B=1 C=1", "COMMON", "l"), "+++");
        assert_eq!(kept("A=1 B=1 C=1", "COMMON", "m"), "---");
        assert_eq!(kept("A=2 B=1 C=1", "COMMON", "l"), "-++");
        assert_eq!(kept("A=1 B=1 C=2 D=1", "COMMON", "l"), "+++");
        assert_eq!(kept("A=1 C=1", "COMMON", "l"), "+-+", "gone");
        assert_eq!(kept("A=1 B=1 C=1 ABSENT=1", "COMMON", "l"), "++-", "appeared");
        assert_eq!(kept("A=1 B=1 C=1 COMMON=1", "COMMON", "l"), "---", "all recipes depend on it");
        assert_eq!(kept("A=1 B=1 C=1 X${Y}=1", "COMMON", "l"), "---", "a name to be expanded");
        // Saved under the new configuration, the others go on counting.
        let mut cache = RecipeCache::open(&file, base("A=2 B=1 C=1", &ReadSet::new()));
        paths.iter().for_each(|path| drop(cache.take("", path.to_str().unwrap(), &[], Some("l"))));
        cache.save().unwrap();
        assert_eq!(kept("A=2 B=1 C=1", "COMMON", "l"), "-++");
        assert_eq!(kept("A=1 B=1 C=1", "COMMON", "l"), "-++");
        assert_eq!(kept("A=2 B=1 C=1 COMMON=1", "COMMON", "l"), "---");
    }
}
