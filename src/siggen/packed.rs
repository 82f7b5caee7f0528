//! Signatures of recipes as numbers: thousands of recipes have the same names, values and lists, so
//! each stands once in tables that all recipes of a process share, and everything else names it by
//! number. In this form they are made, travel between processes and lie in the recipe cache.

use crate::deps::RecipeSignatures;
use crate::sigdata::VarVal;
use hz_diagnostics::Str;
use indexmap::IndexMap;
use rustc_hash::FxHashMap;
use std::sync::Arc;

/// Absent value, and a task's closure that follows from the dependencies.
pub const NONE: u32 = u32::MAX;
/// Marks the number of a text that is the JSON of a value which is no plain text.
pub const OTHER: u32 = 1 << 31;

/// The signatures of one recipe.
#[derive(Clone, Debug, Default, PartialEq, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
pub struct PackedSignatures {
    /// Pairs: name, list of the names it depends on. Both sorted by the names.
    pub gendeps: Vec<(u32, u32)>,
    /// Pairs: name, and text, NONE, or (with OTHER set) the JSON of another kind of value.
    pub varvals: Vec<(u32, u32)>,
    /// Pairs: task, and the list of the names in its closure; NONE: all that follow from `gendeps`.
    pub taskdeps: Vec<(u32, u32)>,
}

/// The tables: texts and lists of texts by number.
#[derive(Default)]
pub struct Interner {
    pub(crate) texts: Vec<Str>,
    /// First bytes of each text, so that most comparisons need not look at the text.
    pub(crate) starts: Vec<u128>,
    text_ids: FxHashMap<Str, u32>,
    lists: Vec<Arc<[u32]>>,
    list_ids: FxHashMap<Arc<[u32]>, u32>,
}

fn start(text: &str) -> u128 {
    let mut bytes = [0u8; 16];
    let length = text.len().min(16);
    bytes[..length].copy_from_slice(&text.as_bytes()[..length]);
    u128::from_be_bytes(bytes)
}

impl Interner {
    pub fn intern(&mut self, text: &str) -> u32 {
        match self.text_ids.get(text) {
            Some(id) => *id,
            None => self.fresh_text(text.into()),
        }
    }
    /// As [`Self::intern`], without a copy of a text seen for the first time.
    pub fn intern_shared(&mut self, text: &Str) -> u32 {
        match self.text_ids.get(text) {
            Some(id) => *id,
            None => self.fresh_text(text.clone()),
        }
    }
    fn fresh_text(&mut self, text: Str) -> u32 {
        let id = self.texts.len() as u32;
        self.starts.push(start(&text));
        self.texts.push(text.clone());
        self.text_ids.insert(text, id);
        id
    }
    pub fn intern_list(&mut self, list: &[u32]) -> u32 {
        if let Some(id) = self.list_ids.get(list) {
            return *id;
        }
        let id = self.lists.len() as u32;
        let list: Arc<[u32]> = list.into();
        self.lists.push(list.clone());
        self.list_ids.insert(list, id);
        id
    }
    pub fn intern_value(&mut self, value: &VarVal) -> u32 {
        match value {
            VarVal::None => NONE,
            VarVal::Str(text) => self.intern_shared(text),
            // A value made of texts, numbers and truth values always has a JSON form.
            other => OTHER | self.intern(&serde_json::to_string(other).unwrap_or_default()),
        }
    }
    /// All texts and lists, in the order of their numbers.
    pub fn texts(&self) -> &[Str] {
        &self.texts
    }
    pub fn lists(&self) -> &[Arc<[u32]>] {
        &self.lists
    }
    /// Orders two texts by their numbers.
    pub(crate) fn compare(&self, a: u32, b: u32) -> std::cmp::Ordering {
        let (a, b) = (a as usize, b as usize);
        self.starts[a].cmp(&self.starts[b]).then_with(|| self.texts[a].cmp(&self.texts[b]))
    }
}

thread_local! {
    static INTERNER: std::cell::RefCell<Interner> = std::cell::RefCell::default();
}

/// The tables of this process.
pub fn with_interner<R>(work: impl FnOnce(&mut Interner) -> R) -> R {
    INTERNER.with_borrow_mut(work)
}

/// Read access to tables, wherever they are.
pub trait Tables {
    fn text(&self, id: u32) -> &str;
    fn list(&self, id: u32) -> Vec<u32>;
}

impl Tables for Interner {
    fn text(&self, id: u32) -> &str {
        &self.texts[id as usize]
    }
    fn list(&self, id: u32) -> Vec<u32> {
        self.lists[id as usize].to_vec()
    }
}

impl PackedSignatures {
    /// Turns the numbers of one pair of tables into those of another.
    pub fn renumber(&mut self, text: impl Fn(u32) -> u32, list: impl Fn(u32) -> u32) {
        for (name, deps) in self.gendeps.iter_mut().chain(self.taskdeps.iter_mut()) {
            *name = text(*name);
            if *deps != NONE {
                *deps = list(*deps);
            }
        }
        for (name, value) in &mut self.varvals {
            *name = text(*name);
            if *value != NONE {
                *value = text(*value & !OTHER) | (*value & OTHER);
            }
        }
    }

    /// With texts instead of numbers.
    pub fn unpack(&self, basehashes: IndexMap<Str, Str>, tables: &(impl Tables + ?Sized)) -> RecipeSignatures {
        let mut known: FxHashMap<u32, Str> = FxHashMap::default();
        let mut text = |id: u32| known.entry(id).or_insert_with(|| tables.text(id).into()).clone();
        let lists: FxHashMap<u32, Vec<u32>> = self.gendeps.iter().map(|(name, list)| (*name, tables.list(*list))).collect();
        let mut out = RecipeSignatures { basehashes, ..RecipeSignatures::default() };
        for (name, _) in &self.gendeps {
            out.gendeps.insert(text(*name), lists[name].iter().map(|id| text(*id)).collect());
        }
        for (task, list) in &self.taskdeps {
            let mut names: Vec<Str> = match *list {
                NONE => closure(*task, &lists).into_iter().map(&mut text).collect(),
                list => tables.list(list).into_iter().map(&mut text).collect(),
            };
            names.sort_unstable();
            out.taskdeps.insert(text(*task), names);
        }
        for (name, value) in &self.varvals {
            let value = match *value {
                NONE => VarVal::None,
                id if id & OTHER != 0 => serde_json::from_str(tables.text(id & !OTHER)).unwrap_or(VarVal::None),
                id => VarVal::Str(tables.text(id).into()),
            };
            out.varvals.insert(text(*name), value);
        }
        out
    }

    /// The numbers of signatures in the tables.
    pub fn pack(found: &RecipeSignatures, tables: &mut Interner) -> PackedSignatures {
        let names = |tables: &mut Interner, map: &IndexMap<Str, Vec<Str>>| {
            map.iter()
                .map(|(name, list)| {
                    let list: Vec<u32> = list.iter().map(|name| tables.intern_shared(name)).collect();
                    (tables.intern_shared(name), tables.intern_list(&list))
                })
                .collect()
        };
        PackedSignatures {
            gendeps: names(tables, &found.gendeps),
            taskdeps: names(tables, &found.taskdeps),
            varvals: found.varvals.iter().map(|(name, value)| (tables.intern_shared(name), tables.intern_value(value))).collect(),
        }
    }
}

/// All names that a name depends on, directly or not.
fn closure(of: u32, deps: &FxHashMap<u32, Vec<u32>>) -> Vec<u32> {
    let mut seen = rustc_hash::FxHashSet::default();
    let mut found = Vec::new();
    let mut next: Vec<u32> = deps.get(&of).cloned().unwrap_or_default();
    while let Some(id) = next.pop() {
        if seen.insert(id) {
            found.push(id);
            next.extend(deps.get(&id).into_iter().flatten());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stand_for_the_same() {
        let mut found = RecipeSignatures::default();
        found.gendeps.insert("A".into(), vec!["B".into()]);
        found.gendeps.insert("B".into(), vec![]);
        found.gendeps.insert("do_x".into(), vec!["A".into()]);
        found.taskdeps.insert("do_x".into(), vec!["A".into(), "B".into()]);
        found.varvals.insert("A".into(), VarVal::Str("1".into()));
        found.varvals.insert("A[func]".into(), VarVal::Int(1));
        found.varvals.insert("B".into(), VarVal::None);
        let mut tables = Interner::default();
        tables.intern("something else");
        let mut packed = PackedSignatures::pack(&found, &mut tables);
        assert_eq!(packed.unpack(IndexMap::new(), &tables), found);
        packed.taskdeps[0].1 = NONE;
        assert_eq!(packed.unpack(IndexMap::new(), &tables), found, "the closure follows from the dependencies");
        let mut other = Interner::default();
        let texts: Vec<u32> = tables.texts().iter().rev().map(|text| other.intern(text)).collect();
        let texts: Vec<u32> = texts.into_iter().rev().collect();
        let lists: Vec<u32> = tables
            .lists()
            .iter()
            .map(|list| other.intern_list(&list.iter().map(|id| texts[*id as usize]).collect::<Vec<_>>()))
            .collect();
        packed.renumber(|id| texts[id as usize], |id| lists[id as usize]);
        assert_eq!(packed.unpack(IndexMap::new(), &other), found);
    }
}
