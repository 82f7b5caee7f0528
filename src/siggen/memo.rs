//! What was made of names in earlier recipes of this process, with all it was made from.
//!
//! Nothing is believed: an entry counts where the flags and the content that the walk reads now equal those
//! it was made from, and what else was asked of the recipe (which functions there are, which words a variable
//! has) has the same answers, which the walk checks.

use crate::sigdata::VarVal;
use crate::walk::counts;
use crate::{LibrarySignatures, Rules};
use hz_codeparser::ShellRefs;
use hz_data::{Expansion, Flags, Record, Value, same_value};
use hz_diagnostics::Str;
use rustc_hash::{FxHashMap, FxHashSet};
use crate::packed::with_interner;
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

/// What a name adds to hashes.
pub(crate) struct Made {
    pub id: u32,
    /// In the order of the names, without doubles.
    pub deps: Vec<u32>,
    pub value: VarVal,
    /// Its number in the tables.
    pub node: u32,
}

/// What there was of a name.
pub(crate) struct Seen {
    /// Of a variable.
    pub flags: Option<Flags>,
    pub content: Content,
}

pub(crate) enum Content {
    /// A library function.
    Library,
    /// The flag `vardepvalue` says it.
    Given,
    /// Nothing that expands.
    Plain(Option<Value>),
    Expanded(Arc<Expansion>),
    /// A body: what it reads and calls follows from the text.
    Python(Str),
    /// With what the expanded script calls.
    Script(Arc<Expansion>, Arc<ShellRefs>),
}

/// An entry.
pub(crate) struct Kept {
    pub seen: Seen,
    /// The list of exported variables, on which scripts depend.
    pub exported: u32,
    /// Names that were looked for, and whether they were there.
    pub calls: Vec<(u32, bool)>,
    /// Variable, words looked for, and whether it had them.
    pub contains: Vec<(u32, Str, bool)>,
    /// The content follows from the text alone, if these names have harmless values; None: only from its expansion.
    pub direct: Option<Box<[u32]>>,
    pub made: Rc<Made>,
}

/// What kind of name one is.
#[derive(Clone, Default)]
pub(crate) enum Kind {
    #[default]
    Unknown,
    Library,
    Variable,
    /// Variable and flag.
    Flag(Str, Str),
    /// Errors, or the store's own flags.
    Odd,
}

/// The entries of one name, the one that was used last first.
#[derive(Default)]
struct Entries {
    kind: Kind,
    kept: Vec<Rc<Kept>>,
    hits: u32,
    misses: u32,
}

/// Different contents of a name that are kept.
const MOST: usize = 8;

/// What entries hold for besides what they say themselves.
#[derive(Default, PartialEq)]
struct Terms {
    libraries: u64,
    ignored: FxHashSet<Str>,
    exclude_flags: Str,
    by_word: bool,
}

/// Flags that are left out.
#[derive(Default)]
struct Excluded {
    words: FxHashSet<Str>,
    text: Str,
    by_word: bool,
}

impl Excluded {
    fn has(&self, flag: &str) -> bool {
        if self.by_word { self.words.contains(flag) } else { self.text.contains(flag) }
    }
}

#[derive(Default)]
pub(crate) struct Memo {
    terms: Terms,
    excluded: Excluded,
    entries: Vec<Entries>,
    /// By the number of a name: one more than the place of its entries; 0: there are none.
    places: Vec<u32>,
    /// By the number of a name: has any recipe had it?
    met: Vec<bool>,
    /// By the number of a name: whether there was something to call, and when that was.
    there: Vec<u32>,
    /// By the number of a name: whether its value is harmless, as `there`.
    harmless: Vec<u32>,
    /// By the number of a name: its last text, and what that refers to (None: that cannot be told). Few numbers are those
    /// of names that more than one recipe has.
    references: FxHashMap<u32, (Str, Option<Rc<[u32]>>)>,
    /// Counts the times from which on all that has to be asked anew.
    now: u32,
    words: FxHashMap<Str, Rc<FxHashSet<Str>>>,
    /// By the number of a name: one more than its place in the walk; 0: it has none yet.
    pub slots: Vec<u32>,
}

/// The item of a name in a table that grows.
fn at<T: Clone + Default>(table: &mut Vec<T>, id: u32) -> &mut T {
    let id = id as usize;
    if table.len() <= id {
        // Most numbers are those of values, and there are many of them.
        table.resize(id + 1 + id / 8, T::default());
    }
    &mut table[id]
}

thread_local! {
    static MEMO: RefCell<Memo> = RefCell::default();
}

/// Texts of which the words are kept.
const MOST_TEXTS: usize = 1000;

impl Memo {
    /// The memo of this thread; what is in it holds for these terms.
    pub fn take(libs: &LibrarySignatures, rules: &Rules, exclude_flags: Str) -> Memo {
        let mut memo = MEMO.take();
        for id in with_interner(|tables| tables.take_forgotten()) {
            if let Some(met) = memo.met.get_mut(id as usize) {
                *met = false;
            }
        }
        let same = memo.terms.libraries == libs.id
            && memo.terms.exclude_flags == exclude_flags
            && memo.terms.by_word == rules.exclude_flags_by_word
            && memo.terms.ignored == rules.ignored_vars;
        if !same {
            memo.entries.clear();
            memo.places.clear();
            memo.excluded = Excluded {
                words: exclude_flags.split_whitespace().map(Str::from).collect(),
                text: exclude_flags.clone(),
                by_word: rules.exclude_flags_by_word,
            };
            memo.terms = Terms {
                libraries: libs.id,
                ignored: rules.ignored_vars.clone(),
                exclude_flags,
                by_word: rules.exclude_flags_by_word,
            };
        }
        memo
    }

    pub fn give_back(memo: Memo) {
        MEMO.set(memo);
    }

    /// Are there any flags that are left out? Without, all are.
    pub fn excludes_flags(&self) -> bool {
        !self.excluded.words.is_empty()
    }

    pub fn flag_excluded(&self, flag: &str) -> bool {
        self.excluded.has(flag)
    }

    pub fn words_of(&mut self, text: Str) -> Rc<FxHashSet<Str>> {
        if let Some(known) = self.words.get(&text) {
            return known.clone();
        }
        if self.words.len() >= MOST_TEXTS {
            self.words.clear();
        }
        let words: Rc<FxHashSet<Str>> = Rc::new(text.split_whitespace().map(Str::from).collect());
        self.words.insert(text, words.clone());
        words
    }

    /// An entry of the name with the same flags and content.
    pub fn find(&mut self, id: u32, seen: &Seen, exported: u32) -> Option<Rc<Kept>> {
        let excluded = &self.excluded;
        let entries = match self.places.get(id as usize) {
            None | Some(0) => return None,
            Some(place) => &mut self.entries[*place as usize - 1],
        };
        let at = entries.kept.iter().position(|kept| {
            same_content(&kept.seen.content, &seen.content)
                && (kept.exported == exported || !matches!(seen.content, Content::Script(..)))
                && match (&kept.seen.flags, &seen.flags) {
                    (None, None) => true,
                    (Some(a), Some(b)) => same_flags(excluded, a, b),
                    _ => false,
                }
        });
        let Some(at) = at else {
            entries.misses = entries.misses.saturating_add(1);
            return None;
        };
        entries.hits = entries.hits.saturating_add(1);
        entries.kept[..=at].rotate_right(1);
        Some(entries.kept[0].clone())
    }

    /// The place of an entry that was made from the same variable with the same value before expansion, and for which
    /// the text alone decides; `value` None: as the record has it.
    pub fn find_direct(&self, id: u32, record: Option<Record<'_>>, value: Option<Option<&Value>>) -> Option<usize> {
        let own = match record {
            None => Some(None),
            Some(record) => record.own_value(),
        };
        let now = value.or(own)?;
        self.kept(id).iter().position(|kept| {
            let Some(flags) = kept.seen.flags.as_ref().filter(|_| kept.direct.is_some()) else { return false };
            let same = match (&kept.seen.content, record) {
                // As the record has it, flags and value are what they were.
                (Content::Plain(_) | Content::Expanded(_), Some(record)) if value.is_none() && record.is_of(flags) => return true,
                (Content::Given, Some(_)) => true,
                (Content::Plain(kept), _) => same_value(kept.as_ref(), now),
                (Content::Expanded(kept), _) => same_value(kept.unexpanded.as_ref(), now),
                // What is code is read from another store.
                (Content::Python(kept), Some(_)) => own.is_some() && matches!(now, Some(Value::Str(now)) if kept == now),
                _ => false,
            };
            same && match record {
                None => flags.is_missing(),
                Some(record) => {
                    record.is_of(flags)
                        || (!flags.is_missing() && !record.has_weak_flags() && same_stored(&self.excluded, &[], flags.stored(), record.flags()))
                }
            }
        })
    }

    /// The place of an entry of a flag, as [`Self::find_direct`].
    pub fn find_direct_flag(&self, id: u32, now: Option<&Value>) -> Option<usize> {
        self.kept(id).iter().position(|kept| {
            kept.direct.is_some()
                && match &kept.seen.content {
                    Content::Plain(kept) => same_value(kept.as_ref(), now),
                    Content::Expanded(kept) => same_value(kept.unexpanded.as_ref(), now),
                    _ => false,
                }
        })
    }

    pub fn kept(&self, id: u32) -> &[Rc<Kept>] {
        match self.places.get(id as usize) {
            None | Some(0) => &[],
            Some(place) => &self.entries[*place as usize - 1].kept,
        }
    }

    /// The entry at a place counted.
    pub fn hit(&mut self, id: u32, at: usize) {
        let entries = &mut self.entries[self.places[id as usize] as usize - 1];
        entries.hits = entries.hits.saturating_add(1);
        entries.kept[..=at].rotate_right(1);
    }

    /// Of a name that has entries.
    pub fn kind(&mut self, id: u32) -> Option<&mut Kind> {
        match self.places.get(id as usize) {
            None | Some(0) => None,
            Some(place) => Some(&mut self.entries[*place as usize - 1].kind),
        }
    }

    pub fn is_harmless(&self, id: u32) -> Option<bool> {
        let found = *self.harmless.get(id as usize)?;
        (found >> 1 == self.now).then_some(found & 1 == 1)
    }

    pub fn set_harmless(&mut self, id: u32, is: bool) {
        let now = self.now;
        *at(&mut self.harmless, id) = now << 1 | u32::from(is);
    }

    /// The names that the text of a name refers to, if that can be told without expanding it.
    pub fn references(&mut self, id: u32, text: &Str) -> Option<Rc<[u32]>> {
        if let Some((known, found)) = self.references.get(&id)
            && known == text
        {
            return found.clone();
        }
        with_interner(|tables| {
            let found = hz_data::plain_references(text);
            let found: Option<Rc<[u32]>> = found.map(|names| names.into_iter().map(|name| tables.intern(name)).collect());
            // What one recipe alone has is not worth the room.
            if tables.is_kept(id) {
                found.iter().flat_map(|found| found.iter()).for_each(|id| tables.pin(*id));
                self.references.insert(id, (text.clone(), found.clone()));
            }
            found
        })
    }

    /// Has a name been here before? What one recipe alone has is not worth the room.
    pub fn meet(&mut self, id: u32) -> bool {
        std::mem::replace(at(&mut self.met, id), true)
    }

    /// From here on everything that was found to be there is asked anew.
    pub fn ask_anew(&mut self) {
        self.now += 1;
    }

    pub fn is_there(&self, id: u32) -> Option<bool> {
        let found = *self.there.get(id as usize)?;
        (found >> 1 == self.now).then_some(found & 1 == 1)
    }

    pub fn set_there(&mut self, id: u32, there: bool) {
        let now = self.now;
        *at(&mut self.there, id) = now << 1 | u32::from(there);
    }

    pub fn keep(&mut self, id: u32, mut kept: Kept) {
        let place = at(&mut self.places, id);
        if *place == 0 {
            self.entries.push(Entries::default());
            *place = self.entries.len() as u32;
        }
        let entries = &mut self.entries[*place as usize - 1];
        // A name that is different everywhere is not worth the room either.
        if entries.misses > 8 + 4 * entries.hits && entries.misses % 16 != 0 {
            return;
        }
        with_interner(|tables| {
            let calls = kept.calls.iter().map(|(id, _)| id);
            let contains = kept.contains.iter().map(|(id, ..)| id);
            let direct = kept.direct.iter().flat_map(|direct| direct.iter());
            // Of what is forgotten the numbers are given to others.
            calls.chain(contains).chain(direct).chain(&kept.made.deps).chain([&id]).for_each(|id| tables.pin(*id));
            tables.pin_list(kept.exported);
            tables.pin_node(kept.made.node);
        });
        if let Content::Expanded(found) | Content::Script(found, _) = &mut kept.seen.content {
            // Only what is compared.
            let Expansion { unexpanded, references, execs, contains, .. } = &**found;
            *found = Arc::new(Expansion {
                value: None,
                unexpanded: unexpanded.clone(),
                references: references.clone(),
                execs: execs.clone(),
                contains: contains.clone(),
                removes: Default::default(),
            });
        }
        entries.kept.truncate(MOST - 1);
        entries.kept.insert(0, Rc::new(kept));
    }
}

fn same_content(kept: &Content, now: &Content) -> bool {
    match (kept, now) {
        (Content::Library, Content::Library) | (Content::Given, Content::Given) => true,
        (Content::Plain(a), Content::Plain(b)) => same_value(a.as_ref(), b.as_ref()),
        (Content::Expanded(a), Content::Expanded(b)) => same_expansion(a, b),
        (Content::Python(a), Content::Python(b)) => a == b,
        (Content::Script(a, found), Content::Script(b, now)) => {
            same_expansion(a, b) && (Arc::ptr_eq(found, now) || found.execs == now.execs)
        }
        _ => false,
    }
}

/// Do all flags say the same that count for the variable? Of those that have a node of their own only
/// the names do.
fn same_flags(excluded: &Excluded, a: &Flags, b: &Flags) -> bool {
    let expanded = a.expanded().len() == b.expanded().len()
        && a.expanded().iter().zip(b.expanded()).all(|(a, b)| a.0 == b.0 && same_value(Some(&a.1), Some(&b.1)));
    if !expanded {
        return false;
    }
    if a.same_record(b) {
        return true;
    }
    if a.has_weak() || b.has_weak() {
        return false;
    }
    same_stored(excluded, a.expanded(), a.stored(), b.stored())
}

/// [`same_flags`] of flags as they are stored, but for those that were expanded.
fn same_stored(excluded: &Excluded, expanded: &[(&'static str, Value)], x: &[(Str, Value)], y: &[(Str, Value)]) -> bool {
    let equal = |(flag, value): &(Str, Value), other: &Value| {
        same_value(Some(value), Some(other)) || !counts(flag) || expanded.iter().any(|(known, _)| **known == **flag)
    };
    if x.len() == y.len() && x.iter().zip(y).all(|(x, y)| x.0 == y.0 && equal(x, &y.1)) {
        return true;
    }
    let named = |flag: &&(Str, Value)| counts(&flag.0) || (!excluded.words.is_empty() && !excluded.has(&flag.0));
    let (mut x, mut y) = (x.iter().filter(named), y.iter().filter(named));
    loop {
        match (x.next(), y.next()) {
            (None, None) => return true,
            (Some(x), Some(y)) if x.0 == y.0 && equal(x, &y.1) => {}
            _ => return false,
        }
    }
}

fn same_expansion(a: &Expansion, b: &Expansion) -> bool {
    same_value(a.unexpanded.as_ref(), b.unexpanded.as_ref())
        && a.references == b.references
        && a.execs == b.execs
        && a.contains == b.contains
        && a.removes.is_empty()
        && b.removes.is_empty()
}
