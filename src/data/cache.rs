//! Expanded values that are kept, and how long they count.
//!
//! The reference forgets all of them at each write. Here an entry knows what was read for it, as a set
//! of bits, one of which every name has; a write makes old only what read a name of that bit. In the same way it knows
//! which words of OVERRIDES decided about it: other overrides make old only what asked for one of those that came or went. An entry
//! whose making was not seen through (Python ran) has all bits, and is forgotten at the next write
//! as there. Copies of a store begin with what their original knew.

use crate::pmap::hash_name;
use crate::runtime::definitions;
use crate::watch::{self, Origins};
use crate::{Expansion, Value};
use hz_diagnostics::Str;
use rustc_hash::FxHashSet;
use std::cell::RefCell;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

const WORDS: usize = 8;
const BITS: usize = WORDS * 64;

const OVERRIDE_WORDS: usize = 2;
const OVERRIDE_BITS: usize = OVERRIDE_WORDS * 64;

/// A set of the names something was made from, and of the overrides that were asked for. Several share a bit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reads([u64; WORDS], [u64; OVERRIDE_WORDS]);

/// Somebody asked which overrides are active.
const OVERRIDES: usize = 0;
/// Stands for the functions of the metadata.
const DEFINITIONS: usize = 1;

#[inline]
fn bit(hash: u64) -> usize {
    // The first two are never a name's.
    (hash ^ (hash >> 32)) as usize % (BITS - 2) + 2
}

/// The bit of one of the overrides.
#[inline]
fn override_bit(word: &str) -> usize {
    (hash_name(word) >> 7) as usize % OVERRIDE_BITS
}

fn set_bits(words: &[u64]) -> impl Iterator<Item = usize> {
    words.iter().enumerate().flat_map(|(index, word)| {
        std::iter::successors((*word != 0).then_some(*word), |word| {
            let rest = word & (word - 1);
            (rest != 0).then_some(rest)
        })
        .map(move |word| index * 64 + word.trailing_zeros() as usize)
    })
}

impl Reads {
    pub const NONE: Reads = Reads([0; WORDS], [0; OVERRIDE_WORDS]);
    /// More than can be told: every write counts.
    pub const ALL: Reads = Reads([u64::MAX; WORDS], [u64::MAX; OVERRIDE_WORDS]);

    #[inline]
    pub fn add_name(&mut self, hash: u64) {
        let bit = bit(hash);
        self.0[bit / 64] |= 1 << (bit % 64);
    }
    /// It was asked which of these are active: overrides, or several joined by colons.
    pub fn add_overrides<'a>(&mut self, asked: impl Iterator<Item = &'a str>) {
        self.0[OVERRIDES / 64] |= 1 << (OVERRIDES % 64);
        let mut add = |word: &str| {
            let bit = override_bit(word);
            self.1[bit / 64] |= 1 << (bit % 64);
        };
        for overrides in asked {
            // Few are several.
            if memchr::memchr(b':', overrides.as_bytes()).is_none() {
                add(overrides);
            } else {
                overrides.split(':').for_each(&mut add);
            }
        }
    }
    #[inline]
    pub fn add(&mut self, other: &Reads) {
        let more = other.0.iter().chain(&other.1);
        self.0.iter_mut().chain(&mut self.1).zip(more).for_each(|(word, more)| *word |= more);
    }
    pub fn add_definitions(&mut self) {
        self.0[DEFINITIONS / 64] |= 1 << (DEFINITIONS % 64);
    }
    #[inline]
    fn of_definitions(&self) -> bool {
        self.0[DEFINITIONS / 64] & (1 << (DEFINITIONS % 64)) != 0
    }
    #[inline]
    fn of_overrides(&self) -> bool {
        self.0[OVERRIDES / 64] & (1 << (OVERRIDES % 64)) != 0
    }
    pub fn has_name(&self, hash: u64) -> bool {
        let bit = bit(hash);
        self.0[bit / 64] & (1 << (bit % 64)) != 0
    }
}

/// An expanded value.
pub(crate) struct Cached {
    generation: u64,
    /// What [`definitions`] said when it was made.
    definitions: u64,
    /// The last generation in which somebody asked for it. The reference would have made it anew then.
    used: AtomicU64,
    /// Variable, or `VARIABLE[flag]`.
    name: Str,
    pub value: Option<Value>,
    /// What the expansion touched, if somebody asked.
    pub full: Option<Arc<Expansion>>,
    pub reads: Reads,
    origins: Origins,
}

impl Clone for Cached {
    fn clone(&self) -> Cached {
        Cached {
            generation: self.generation,
            definitions: self.definitions,
            used: AtomicU64::new(self.used.load(Relaxed)),
            name: self.name.clone(),
            value: self.value.clone(),
            full: self.full.clone(),
            reads: self.reads,
            origins: self.origins.clone(),
        }
    }
}

/// For keys that are hashes already.
#[derive(Default)]
pub(crate) struct Identity(u64);
impl Hasher for Identity {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, _: &[u8]) {
        unreachable!("only u64 keys")
    }
    fn write_u64(&mut self, value: u64) {
        self.0 = value;
    }
}
type Entries = HashMap<u64, Cached, BuildHasherDefault<Identity>>;

/// Room for entries that a store begins with: most that are written to come to more than half of it.
const ROOM: usize = 448;

/// Entries of its own below which a store does not share them with its copies: making the common table
/// costs more than expanding a few values again.
const WORTH_SHARING: usize = 64;

/// The kept values of one store.
pub(crate) struct Cache {
    own: Entries,
    /// Shared with the original and other copies of it. These are as old as `written` is.
    inherited: Arc<Entries>,
    /// Those of `inherited` that were asked for since the last write.
    hits: RefCell<Vec<u64>>,
    /// Counts writes, from 1.
    generation: u64,
    /// Per bit the last write.
    written: Box<[u64; BITS]>,
    /// Per bit of overrides when one of them last came or went.
    overridden: Box<[u64; OVERRIDE_BITS]>,
    /// Are the active overrides known? Until then nothing counts that depends on them.
    pub overrides_known: bool,
    /// The active overrides are being found out, for the first time.
    settling: bool,
    /// What was made while they were and depends on them. None was active, so it counts when they are found out again.
    settled: Arc<Entries>,
}

impl Default for Cache {
    fn default() -> Cache {
        Cache {
            own: Entries::default(),
            inherited: Arc::default(),
            hits: RefCell::default(),
            generation: 1,
            written: Box::new([0; BITS]),
            overridden: Box::new([0; OVERRIDE_BITS]),
            overrides_known: false,
            settling: false,
            settled: Arc::default(),
        }
    }
}

impl Cache {
    /// The active overrides are being found out from here on (true), or no longer.
    pub fn set_settling(&mut self, on: bool) {
        self.settling = on;
    }

    #[inline]
    fn next_generation(&mut self) {
        self.generation += 1;
        self.hits.get_mut().clear();
    }

    /// A write to a name.
    #[inline]
    pub fn touch(&mut self, hash: u64) {
        self.next_generation();
        self.written[bit(hash)] = self.generation;
    }

    pub fn touch_name(&mut self, name: &str) {
        self.touch(hash_name(name));
    }

    /// These overrides came or went since the last time; None: more changed than that.
    pub fn touch_overrides(&mut self, changed: Option<&[&str]>) {
        self.next_generation();
        match changed {
            Some(words) => words.iter().for_each(|word| self.overridden[override_bit(word)] = self.generation),
            None => self.overridden.fill(self.generation),
        }
    }

    /// Every expansion made so far may be out of date.
    pub fn forget(&mut self) {
        self.next_generation();
        self.own.clear();
        self.inherited = Arc::default();
        self.settled = Arc::default();
    }

    /// Changes with every write.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    #[inline]
    fn blocked(&self, entry: &Cached) -> bool {
        if !entry.reads.of_overrides() || (self.overrides_known && !self.settling) {
            return false;
        }
        // Made since the last write without asking for the active overrides, or they would be known.
        let untold = !self.settling && entry.reads == Reads::ALL && entry.generation == self.generation;
        !untold
    }

    fn is_fresh(&self, entry: &Cached, since: u64) -> bool {
        self.is_unwritten(entry, since) && set_bits(&entry.reads.1).all(|bit| self.overridden[bit] <= since)
    }

    /// As [`Self::is_fresh`], whatever the active overrides are.
    fn is_unwritten(&self, entry: &Cached, since: u64) -> bool {
        entry.reads != Reads::ALL
            && set_bits(&entry.reads.0).all(|bit| self.written[bit] <= since)
            && (!entry.reads.of_definitions() || entry.definitions == definitions())
    }

    /// The entry, if it counts.
    #[inline]
    pub fn get(&self, hash: u64, name: &str) -> Option<&Cached> {
        self.find(hash, name).inspect(|entry| watch::note_origins(&entry.origins))
    }

    #[inline]
    fn find(&self, hash: u64, name: &str) -> Option<&Cached> {
        if self.settling
            && let Some(entry) = self.settled.get(&hash)
            && &*entry.name == name
            && (entry.generation == self.generation || self.is_unwritten(entry, entry.generation))
        {
            return Some(entry);
        }
        if let Some(entry) = self.own.get(&hash)
            && &*entry.name == name
        {
            // Used means that it was fresh then.
            let now = self.generation;
            let fresh = entry.generation == now || entry.used.load(Relaxed) == now || self.is_fresh(entry, entry.generation);
            if !fresh || self.blocked(entry) {
                return None;
            }
            entry.used.store(self.generation, Relaxed);
            return Some(entry);
        }
        let entry = self.inherited.get(&hash)?;
        if &*entry.name != name || !self.is_fresh(entry, 0) || self.blocked(entry) {
            return None;
        }
        self.hits.borrow_mut().push(hash);
        Some(entry)
    }

    pub fn put(&mut self, hash: u64, name: Str, value: Option<Value>, full: Option<Arc<Expansion>>, (reads, origins): (Reads, Origins)) {
        let used = AtomicU64::new(self.generation);
        let entry = Cached { generation: self.generation, definitions: definitions(), used, name, value, full, reads, origins };
        if self.settling && reads.of_overrides() {
            Arc::make_mut(&mut self.settled).insert(hash, entry);
        } else {
            if self.own.capacity() == 0 {
                self.own.reserve(ROOM);
            }
            self.own.insert(hash, entry);
        }
    }

    /// Values stay, what their making touched goes.
    pub fn forget_references(&mut self) {
        self.own.values_mut().for_each(|entry| entry.full = None);
        self.own.shrink_to_fit();
    }

    /// A name is filtered from now on. What the reference would have kept at this moment, because it was
    /// made since the last write, counts until the next one; all else made from the name no longer does.
    pub fn filtered(&mut self, name: &str) {
        let hash = hash_name(name);
        self.settle_until_next_write(|reads| reads.has_name(hash));
    }

    /// The active overrides could not be found out: what there is counts until the next write.
    pub fn unsettled(&mut self) {
        self.settle_until_next_write(Reads::of_overrides);
    }

    fn settle_until_next_write(&mut self, which: impl Fn(&Reads) -> bool) {
        self.settled = Arc::default();
        let hits: FxHashSet<u64> = std::mem::take(self.hits.get_mut()).into_iter().collect();
        let generation = self.generation;
        let inherited = self.inherited.clone();
        for (key, entry) in inherited.iter().filter(|(_, entry)| which(&entry.reads)) {
            if self.own.contains_key(key) {
                continue;
            }
            // An entry of its own hides the inherited one, also when it does not count.
            let generation = if hits.contains(key) && self.is_fresh(entry, 0) { generation } else { 0 };
            self.own.insert(*key, Cached { generation, reads: Reads::ALL, ..entry.clone() });
        }
        for entry in self.own.values_mut().filter(|entry| which(&entry.reads) && entry.reads != Reads::ALL) {
            // Used means that it was fresh then.
            entry.generation = if entry.used.load(Relaxed) == generation { generation } else { 0 };
            entry.reads = Reads::ALL;
        }
    }

    /// What a copy of the store begins with.
    pub fn for_copy(&mut self) -> Cache {
        if self.own.len() >= WORTH_SHARING {
            let mut all: Entries = Entries::default();
            all.reserve(self.own.len() + self.inherited.len());
            let own = std::mem::take(&mut self.own);
            for (key, entry) in self.inherited.iter().filter(|(key, entry)| !own.contains_key(key) && self.is_fresh(entry, 0)) {
                all.insert(*key, entry.clone());
            }
            for (key, entry) in own {
                let fresh = entry.generation == self.generation || self.is_fresh(&entry, entry.generation);
                if fresh && entry.reads != Reads::ALL {
                    all.insert(key, entry);
                } else if fresh {
                    // Counts here until the next write.
                    self.own.insert(key, entry);
                }
            }
            let settled = self.settled.iter().filter(|(_, entry)| self.is_unwritten(entry, entry.generation));
            self.settled = Arc::new(settled.map(|(key, entry)| (*key, entry.clone())).collect());
            self.inherited = Arc::new(all);
            self.written.fill(0);
            self.overridden.fill(0);
        }
        Cache {
            own: Entries::default(),
            inherited: self.inherited.clone(),
            hits: RefCell::default(),
            generation: self.generation,
            written: self.written.clone(),
            overridden: self.overridden.clone(),
            overrides_known: false,
            settling: false,
            settled: self.settled.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reads(names: &[&str]) -> Reads {
        let mut reads = Reads::NONE;
        names.iter().for_each(|name| reads.add_name(hash_name(name)));
        reads
    }
    fn known(cache: &Cache, name: &str) -> bool {
        cache.get(hash_name(name), name).is_some()
    }
    fn put(cache: &mut Cache, name: &str, reads: Reads) {
        cache.put(hash_name(name), name.into(), Some("x".into()), None, (reads, Origins::Unknown));
    }

    #[test]
    fn a_write_makes_old_what_read_it() {
        let mut cache = Cache { overrides_known: true, ..Cache::default() };
        put(&mut cache, "A", reads(&["A", "B"]));
        put(&mut cache, "C", reads(&["C"]));
        put(&mut cache, "P", Reads::ALL);
        assert!(known(&cache, "P"));
        cache.touch_name("B");
        assert!(!known(&cache, "A") && known(&cache, "C") && !known(&cache, "P"));
        let mut over = reads(&["O"]);
        over.add_overrides(["one:two"].into_iter());
        put(&mut cache, "O", over);
        assert!(known(&cache, "O"));
        cache.overrides_known = false;
        assert!(!known(&cache, "O"));
        cache.overrides_known = true;
        cache.touch_overrides(Some(&["three", "four"]));
        assert!(known(&cache, "O"), "asks for other ones");
        cache.touch_overrides(Some(&["three", "two"]));
        assert!(!known(&cache, "O") && known(&cache, "C"));
        put(&mut cache, "O", over);
        cache.touch_overrides(None);
        assert!(!known(&cache, "O") && known(&cache, "C"));
        cache.forget();
        assert!(!known(&cache, "C"));
    }

    #[test]
    fn what_was_made_while_overrides_were_found_out_counts_the_next_time() {
        let mut cache = Cache::default();
        let mut over = reads(&["O"]);
        over.add_overrides(["one"].into_iter());
        cache.overrides_known = true;
        cache.set_settling(true);
        put(&mut cache, "O", over);
        assert!(known(&cache, "O"));
        cache.set_settling(false);
        assert!(!known(&cache, "O"), "with none of them active it may be another");
        cache.touch_overrides(Some(&["one"]));
        let mut copy = cache.for_copy();
        for cache in [&mut cache, &mut copy] {
            cache.overrides_known = true;
            cache.set_settling(true);
            assert!(known(cache, "O"));
            cache.touch_name("O");
            assert!(!known(cache, "O"));
        }
    }

    #[test]
    fn a_function_defined_anew_makes_old_what_called_it() {
        let mut cache = Cache { overrides_known: true, ..Cache::default() };
        let mut called = reads(&["A"]);
        called.add_definitions();
        put(&mut cache, "A", called);
        put(&mut cache, "B", reads(&["B"]));
        cache.touch_name("C");
        assert!(known(&cache, "A"));
        crate::note_definition();
        assert!(known(&cache, "A"), "as in the reference, until the next write");
        cache.touch_name("C");
        assert!(!known(&cache, "A") && known(&cache, "B"));
    }

    #[test]
    fn values_stay_without_their_references() {
        let mut cache = Cache { overrides_known: true, ..Cache::default() };
        cache.put(hash_name("A"), "A".into(), Some("x".into()), Some(Arc::default()), (reads(&["A"]), Origins::Unknown));
        assert!(cache.get(hash_name("A"), "A").unwrap().full.is_some());
        cache.forget_references();
        let kept = cache.get(hash_name("A"), "A").unwrap();
        assert!(kept.full.is_none() && kept.value.is_some());
    }

    #[test]
    fn copies_begin_with_what_counts() {
        let mut cache = Cache { overrides_known: true, ..Cache::default() };
        for n in 0..100 {
            put(&mut cache, &format!("V{n}"), reads(&[&format!("V{n}")]));
        }
        put(&mut cache, "P", Reads::ALL);
        cache.touch_name("V1");
        put(&mut cache, "Q", Reads::ALL);
        let mut copy = cache.for_copy();
        assert!(known(&cache, "V2") && known(&copy, "V2") && !known(&copy, "V1") && !known(&copy, "P"));
        assert!(known(&cache, "Q") && !known(&copy, "Q"));
        copy.touch_name("V2");
        assert!(known(&cache, "V2") && !known(&copy, "V2"));
        cache.touch_name("V3");
        assert!(!known(&cache, "V3") && known(&copy, "V3"));
        assert!(known(&copy, "V4"));
        copy.filtered("V4");
        assert!(known(&copy, "V4"), "asked for since the last write");
        copy.touch_name("X9");
        assert!(!known(&copy, "V4") && known(&copy, "V5"));
        copy.touch_name("X9");
        copy.filtered("V5");
        assert!(!known(&copy, "V5") && known(&copy, "V6"), "not asked for");
    }
}
