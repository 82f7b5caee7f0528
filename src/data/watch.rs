//! Which names were looked up, told by the map of variables itself, so that nothing escapes: what a recipe
//! was made from decides whether it still counts when the configuration has changed.
//!
//! A thread either notes nothing; or it keeps a list, so that an expanded value that is kept can say later
//! what it was made from (the configuration, whose values all recipes go on with); or it fills a set (a
//! recipe).

use std::cell::{Cell, RefCell};
use std::sync::Arc;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Off,
    List,
    Set,
}

thread_local! {
    static MODE: Cell<Mode> = const { Cell::new(Mode::Off) };
    /// Open frames of [`listed`].
    static FRAMES: Cell<usize> = const { Cell::new(0) };
    static LIST: RefCell<Vec<u64>> = const { RefCell::new(Vec::new()) };
    static SET: RefCell<ReadSet> = RefCell::new(ReadSet::new());
    /// Counts the sets, from 1.
    static NUMBER: Cell<u32> = const { Cell::new(0) };
}

const BITS: u64 = 1 << 16;

/// A set of names that may hold a few more than were put in (of those of one recipe, one in some hundreds
/// of others).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadSet {
    bits: Box<[u64]>,
    /// It was asked which names there are: any name counts.
    all: bool,
}

impl Default for ReadSet {
    fn default() -> ReadSet {
        ReadSet::new()
    }
}

/// Where the bits of a name are: three, far apart.
fn places(hash: u64) -> [usize; 3] {
    let mixed = hash ^ (hash >> 29);
    [mixed % BITS, (mixed >> 16) % BITS, (mixed >> 32) % BITS].map(|bit| bit as usize)
}

impl ReadSet {
    pub fn new() -> ReadSet {
        ReadSet { bits: vec![0; (BITS / 64) as usize].into(), all: false }
    }
    fn add(&mut self, hash: u64) {
        for bit in places(hash) {
            self.bits[bit / 64] |= 1 << (bit % 64);
        }
    }
    /// May the name of this hash ([`crate::name_hash`]) be among them?
    pub fn has(&self, hash: u64) -> bool {
        self.all || places(hash).iter().all(|bit| self.bits[bit / 64] & (1 << (bit % 64)) != 0)
    }
    pub fn has_all(&self) -> bool {
        self.all
    }
    /// Takes in what another set holds.
    pub fn join(&mut self, other: &ReadSet) {
        self.all |= other.all;
        self.bits.iter_mut().zip(&other.bits).for_each(|(word, more)| *word |= more);
    }
    /// For storing: the words of [`ReadSet::from_words`]; empty where every name counts.
    pub fn words(&self) -> &[u64] {
        if self.all { &[] } else { &self.bits }
    }
    pub fn from_words(words: impl ExactSizeIterator<Item = u64>) -> ReadSet {
        if words.len() as u64 == BITS / 64 { ReadSet { bits: words.collect(), all: false } } else { ReadSet { all: true, ..ReadSet::new() } }
    }
}

/// A name is looked up.
#[inline]
pub(crate) fn note(hash: u64) {
    match MODE.get() {
        Mode::Off => {}
        Mode::List if FRAMES.get() == 0 => {}
        Mode::List => LIST.with_borrow_mut(|list| list.push(hash)),
        Mode::Set => SET.with_borrow_mut(|set| set.add(hash)),
    }
}

/// Somebody goes through all names.
pub(crate) fn note_all() {
    if MODE.get() == Mode::Set {
        SET.with_borrow_mut(|set| set.all = true);
    }
}

/// From what names a kept value was made.
#[derive(Clone, Debug)]
pub(crate) enum Origins {
    Unknown,
    /// They are in the set of this number.
    Noted(u32),
    Listed(Arc<[u64]>),
}

/// Runs `work` and gives, beside its result, what it looked up.
#[inline]
pub(crate) fn listed<T>(work: impl FnOnce() -> T) -> (T, Origins) {
    match MODE.get() {
        Mode::Off => (work(), Origins::Unknown),
        Mode::Set => (work(), Origins::Noted(NUMBER.get())),
        Mode::List => {
            let from = LIST.with_borrow(Vec::len);
            FRAMES.set(FRAMES.get() + 1);
            let result = work();
            FRAMES.set(FRAMES.get() - 1);
            let names = LIST.with_borrow_mut(|list| {
                let mut names = list.get(from..).unwrap_or_default().to_vec();
                names.sort_unstable();
                names.dedup();
                list.truncate(from);
                if FRAMES.get() > 0 {
                    list.extend_from_slice(&names);
                }
                names
            });
            (result, Origins::Listed(names.into()))
        }
    }
}

/// A kept value is used: so is what it was made from.
#[inline]
pub(crate) fn note_origins(origins: &Origins) {
    if MODE.get() == Mode::Off {
        return;
    }
    match origins {
        Origins::Noted(number) if *number == NUMBER.get() => {}
        Origins::Listed(names) => names.iter().for_each(|hash| note(*hash)),
        Origins::Unknown | Origins::Noted(_) => note_all(),
    }
}

/// From here on values that are kept remember what they were made from.
pub fn remember_origins() {
    if MODE.get() == Mode::Off {
        MODE.set(Mode::List);
    }
}

/// As [`collect_reads`], where values that are kept meanwhile have to remember what they were made from.
pub fn list_reads<T>(work: impl FnOnce() -> T) -> (T, ReadSet) {
    let (result, origins) = listed(work);
    let mut set = ReadSet::new();
    match origins {
        Origins::Listed(names) => names.iter().for_each(|hash| set.add(*hash)),
        Origins::Unknown | Origins::Noted(_) => set.all = true,
    }
    (result, set)
}

/// Runs `work` and gives, beside its result, all names that it looked up in any store.
pub fn collect_reads<T>(work: impl FnOnce() -> T) -> (T, ReadSet) {
    let mode = MODE.replace(Mode::Set);
    let outer = SET.replace(ReadSet::new());
    let number = NUMBER.get();
    NUMBER.set(number + 1);
    let result = work();
    MODE.set(mode);
    let set = SET.replace(outer);
    if mode == Mode::Set {
        SET.with_borrow_mut(|outer| outer.join(&set));
    }
    (result, set)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pmap::hash_name;
    use crate::{SetInfo, Value};

    #[test]
    fn a_set_holds_what_was_put_in_and_little_else() {
        let mut set = ReadSet::new();
        (0..3000).for_each(|n| set.add(hash_name(&format!("NAME_{n}"))));
        assert!((0..3000).all(|n| set.has(hash_name(&format!("NAME_{n}")))));
        let wrong = (0..10_000).filter(|n| set.has(hash_name(&format!("OTHER_{n}")))).count();
        assert!(wrong < 100, "{wrong} of 10,000");
        assert_eq!(ReadSet::from_words(set.words().iter().copied()), set);
        set.all = true;
        assert!(ReadSet::from_words(set.words().iter().copied()).has(1));
    }

    #[test]
    fn a_copy_has_read_what_its_original_had() {
        let info = SetInfo { ignore: true, ..SetInfo::default() };
        remember_origins();
        let base = crate::tests::store();
        base.set_var("DEEP", "1", &info).unwrap();
        base.set_var("MIDDLE", "${DEEP}", &info).unwrap();
        base.set_var("TOP", "${MIDDLE} ${ABSENT}", &info).unwrap();
        base.set_var("OTHER", "2", &info).unwrap();
        base.set_var("FLAGGED", "x", &info).unwrap();
        base.set_flag("FLAGGED", "f", "${OTHER}", &info).unwrap();
        for n in 0..100 {
            base.set_var(&format!("V{n}"), "${DEEP}", &info).unwrap();
        }
        // Kept in the original, and inherited by the copy.
        assert_eq!(base.get("TOP").unwrap().as_deref(), Some("1 ${ABSENT}"));
        (0..100).for_each(|n| drop(base.get(&format!("V{n}")).unwrap()));
        let copy = base.create_copy();
        let reads = |work: &dyn Fn()| collect_reads(work).1;
        let read = |set: &ReadSet, names: &[&str]| names.iter().all(|name| set.has(hash_name(name)));
        let top = reads(&|| drop(copy.get("TOP").unwrap()));
        assert!(!top.has_all(), "some names only");
        assert!(read(&top, &["TOP", "MIDDLE", "DEEP"]), "what it was made from");
        assert!(read(&top, &["ABSENT"]), "and what was not there");
        assert!(!read(&top, &["OTHER"]));
        let flag = reads(&|| drop(copy.get_flag("FLAGGED", "f", crate::Read::default()).unwrap()));
        assert!(read(&flag, &["FLAGGED", "OTHER"]) && !read(&flag, &["DEEP"]));
        // A second recipe with the same inherited value.
        let again = reads(&|| drop(base.create_copy().get("TOP").unwrap()));
        assert!(read(&again, &["DEEP"]));
        // What a recipe keeps itself it has read already, and its own copies know that.
        let own = reads(&|| {
            let recipe = base.create_copy();
            recipe.set_var("OWN", "${OTHER}", &info).unwrap();
            drop(recipe.get("OWN").unwrap());
            drop(recipe.create_copy().get("OWN").unwrap());
        });
        assert!(read(&own, &["OWN", "OTHER"]) && !own.has_all());
        assert!(reads(&|| drop(copy.keys().unwrap())).has_all());
        MODE.set(Mode::Off);
        let untold = crate::tests::store();
        untold.set_var("A", "${B}", &info).unwrap();
        drop(untold.get("A").unwrap());
        assert!(reads(&|| drop(untold.get("A").unwrap())).has_all());
    }

    #[test]
    fn fingerprints_tell_what_changed() {
        let info = SetInfo { ignore: true, ..SetInfo::default() };
        let make = |edit: &dyn Fn(&crate::DataStore)| {
            let d = crate::tests::store();
            d.set_var("A", "1", &info).unwrap();
            d.set_var("B", "${A}", &info).unwrap();
            d.set_var("C", Value::Int(1), &info).unwrap();
            edit(&d);
            d.fingerprints(&["IGNORED"].into_iter().collect())
        };
        let same = make(&|_| {});
        let changed = |edit: &dyn Fn(&crate::DataStore)| {
            let other = make(edit);
            let mut names: Vec<u64> = other.iter().filter(|f| !same.contains(f)).chain(same.iter().filter(|f| !other.contains(f))).map(|f| f.name).collect();
            names.dedup();
            names
        };
        assert!(changed(&|_| {}).is_empty());
        assert!(changed(&|d| d.set_var("IGNORED", "1", &info).unwrap()).is_empty());
        assert_eq!(changed(&|d| d.set_var("A", "2", &info).unwrap()), [hash_name("A")]);
        assert_eq!(changed(&|d| d.set_var("NEW", "2", &info).unwrap()), [hash_name("NEW")]);
        assert_eq!(changed(&|d| d.set_var("C", "1", &info).unwrap()), [hash_name("C")]);
        assert_eq!(changed(&|d| d.set_flag("A", "f", "2", &info).unwrap()), [hash_name("A")]);
        assert_eq!(changed(&|d| d.append_var("A", "2", &info).unwrap()), [hash_name("A")]);
        let parsing = SetInfo { parsing: true, ..info.clone() };
        let appended = changed(&|d| d.set_var("A:append", "2", &parsing).unwrap());
        assert!(appended.contains(&hash_name("A")));
        let variant = changed(&|d| d.set_var("A:over", "2", &parsing).unwrap());
        assert!(variant.contains(&hash_name("A")) && variant.contains(&hash_name("A:over")));
    }
}
