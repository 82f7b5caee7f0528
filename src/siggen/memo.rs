//! What was made of names in earlier recipes of this process, with all it was made from.
//!
//! Nothing is believed: an entry counts where the flags and the content that the walk reads now equal those
//! it was made from, and what else was asked of the recipe (which functions there are, which words a variable
//! has) has the same answers, which the walk checks.

use crate::sigdata::VarVal;
use crate::walk::counts;
use crate::{LibrarySignatures, Rules};
use hz_codeparser::ShellRefs;
use hz_data::{Expansion, Flags, Value};
use hz_diagnostics::Str;
use rustc_hash::{FxHashMap, FxHashSet};
use crate::packed::{NONE, OTHER, with_interner};
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
    pub made: Rc<Made>,
}

/// The entries of one name, the one that was used last first.
#[derive(Default)]
struct Entries {
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
    /// Counts the times from which on all that has to be asked anew.
    now: u32,
    words: FxHashMap<Str, Rc<FxHashSet<Str>>>,
    /// By the number of a name: one more than its place in the walk; 0: it has none yet.
    pub slots: Vec<u32>,
    /// Room that is used again.
    pub row: String,
}

/// The item of a name in a table that grows.
fn at<T: Clone + Default>(table: &mut Vec<T>, id: u32) -> &mut T {
    let id = id as usize;
    if table.len() <= id {
        table.resize((id + 1).next_power_of_two(), T::default());
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
            calls.chain(contains).chain(&kept.made.deps).chain([&id]).for_each(|id| tables.pin(*id));
            let [_, _, value] = tables.node(kept.made.node);
            if value != NONE {
                tables.pin(value & !OTHER);
            }
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
        (Content::Python(a), Content::Python(b)) => same_text(a, b),
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
    let equal = |(flag, value): &(Str, Value), other: &Value| {
        same_value(Some(value), Some(other)) || !counts(flag) || a.expanded().iter().any(|(known, _)| **known == **flag)
    };
    let (x, y) = (a.stored(), b.stored());
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

fn same_text(a: &Str, b: &Str) -> bool {
    Arc::ptr_eq(a, b) || a == b
}

fn same_value(a: Option<&Value>, b: Option<&Value>) -> bool {
    match (a, b) {
        (None, None) | (Some(Value::None), Some(Value::None)) => true,
        (Some(Value::Str(a)), Some(Value::Str(b))) => same_text(a, b),
        (Some(Value::Int(a)), Some(Value::Int(b))) => a == b,
        (Some(Value::Bool(a)), Some(Value::Bool(b))) => a == b,
        (Some(Value::List(a)), Some(Value::List(b))) => {
            Arc::ptr_eq(a, b) || (a.len() == b.len() && a.iter().zip(&**b).all(|(a, b)| same_value(Some(a), Some(b))))
        }
        _ => false,
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
