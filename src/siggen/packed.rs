//! Signatures of recipes as numbers: thousands of recipes have the same names, values and lists, so
//! each stands once in tables that all recipes of a process share, and everything else names it by
//! number. In this form they are made, travel between processes and lie in the recipe cache.

use crate::deps::RecipeSignatures;
use crate::sigdata::VarVal;
use hz_diagnostics::Str;
use indexmap::IndexMap;
use rustc_hash::FxHashMap;
use std::collections::VecDeque;
use std::sync::Arc;

/// Absent value, and a task's closure that follows from the dependencies.
pub const NONE: u32 = u32::MAX;
/// Marks the number of a text that is the JSON of a value which is no plain text.
pub const OTHER: u32 = 1 << 31;
/// In place of a list or a value: nothing is said about it (a generator of somebody's own may say more of
/// one than of the other).
pub const UNSAID: u32 = u32::MAX - 1;

/// What is said of one name: the name, the list of the names it depends on (sorted as texts), its value
/// (a text, NONE, or, with OTHER set, the JSON of another kind of value).
pub type Node = [u32; 3];

/// The signatures of one recipe.
#[derive(Clone, Debug, Default, PartialEq, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
pub struct PackedSignatures {
    /// Numbers of nodes, sorted by their names.
    pub nodes: Vec<u32>,
    /// Pairs: task, and the list of the names in its closure; NONE: all that follow from the nodes.
    pub taskdeps: Vec<(u32, u32)>,
}

/// The tables: texts, lists of texts and nodes by number.
#[derive(Default)]
pub struct Interner {
    pub(crate) texts: Vec<Str>,
    /// First bytes of each text, so that most comparisons need not look at the text.
    pub(crate) starts: Vec<u128>,
    text_ids: FxHashMap<Str, u32>,
    text_numbers: Numbers,
    /// Counts recipe files.
    round: u32,
    /// Numbers of texts that were forgotten since somebody asked.
    forgotten: Vec<u32>,
    lists: Vec<Arc<[u32]>>,
    list_ids: FxHashMap<Arc<[u32]>, u32>,
    list_numbers: Numbers,
    nodes: Vec<Node>,
    node_ids: FxHashMap<Node, u32>,
    node_numbers: Numbers,
}

/// Marks what more than one recipe file has.
const AGAIN: u32 = 1 << 31;
/// Recipe files between two sweeps.
const SWEEP: u32 = 16;

/// Which numbers are given, and to what: what only one recipe file has is forgotten after a while, and its number is given again.
#[derive(Default)]
struct Numbers {
    /// By number: the round in which what has it came, and AGAIN.
    rounds: Vec<u32>,
    /// Those given lately, in the order in which they were.
    young: VecDeque<u32>,
    /// How many were given before those.
    before: usize,
    /// Those to be given again.
    free: Vec<u32>,
}

impl Numbers {
    /// The number for something new.
    fn give(&mut self, now: u32) -> u32 {
        let number = self.free.pop().unwrap_or(self.rounds.len() as u32);
        match self.rounds.get_mut(number as usize) {
            Some(round) => *round = now,
            None => self.rounds.push(now),
        }
        self.young.push_back(number);
        number
    }
    /// What has the number came again. Gives whether it did so in another recipe file for the first time.
    #[inline]
    fn meet(&mut self, number: u32, now: u32) -> bool {
        let round = &mut self.rounds[number as usize];
        let first = *round != now && *round & AGAIN == 0;
        if first {
            *round |= AGAIN;
        }
        first
    }
    /// What has the number is kept whatever happens. Gives whether that is new.
    fn pin(&mut self, number: u32) -> bool {
        let round = &mut self.rounds[number as usize];
        let first = *round & AGAIN == 0;
        *round |= AGAIN;
        first
    }
    fn is_kept(&self, number: u32) -> bool {
        self.rounds[number as usize] & AGAIN != 0
    }
    /// Those given since so many had been; all, for who comes late.
    fn since(&self, given: usize) -> impl Iterator<Item = u32> + '_ {
        let (all, old) = match given.checked_sub(self.before) {
            Some(old) => (0, old),
            None => (self.rounds.len() as u32, self.young.len()),
        };
        (0..all).chain(self.young.iter().skip(old).copied())
    }
    fn given(&self) -> usize {
        self.before + self.young.len()
    }
    /// Hands on what only one recipe file had, at least a sweep ago.
    fn sweep(&mut self, now: u32, mut forget: impl FnMut(u32)) {
        while let Some(number) = self.young.pop_front_if(|number| (self.rounds[*number as usize] & !AGAIN) + SWEEP <= now) {
            self.before += 1;
            if !self.is_kept(number) {
                forget(number);
                self.free.push(number);
            }
        }
    }
}

/// Puts what has a number into its place, which may be that of something forgotten.
fn place<T>(table: &mut Vec<T>, number: u32, item: T) {
    match table.get_mut(number as usize) {
        Some(place) => *place = item,
        None => table.push(item),
    }
}

fn start(text: &str) -> u128 {
    let mut bytes = [0u8; 16];
    let length = text.len().min(16);
    bytes[..length].copy_from_slice(&text.as_bytes()[..length]);
    u128::from_be_bytes(bytes)
}

/// How much of the tables was handed on: texts, lists, nodes that had been given numbers.
pub type Given = [usize; 3];

impl Interner {
    pub fn intern(&mut self, text: &str) -> u32 {
        match self.text_ids.get(text) {
            Some(id) => self.met(*id),
            None => self.fresh_text(text.into()),
        }
    }
    /// As [`Self::intern`], without a copy of a text seen for the first time.
    pub fn intern_shared(&mut self, text: &Str) -> u32 {
        match self.text_ids.get(text) {
            Some(id) => self.met(*id),
            None => self.fresh_text(text.clone()),
        }
    }
    #[inline]
    fn met(&mut self, id: u32) -> u32 {
        self.text_numbers.meet(id, self.round);
        id
    }
    /// Has more than one recipe file the text?
    pub(crate) fn is_kept(&self, id: u32) -> bool {
        self.text_numbers.is_kept(id)
    }
    /// The text is kept whatever happens.
    pub(crate) fn pin(&mut self, id: u32) {
        self.text_numbers.pin(id);
    }
    /// The list is kept, with its texts.
    pub(crate) fn pin_list(&mut self, id: u32) {
        if self.list_numbers.pin(id) {
            self.pin_texts_of(id);
        }
    }
    /// The node is kept, with all that it names.
    pub(crate) fn pin_node(&mut self, id: u32) {
        if self.node_numbers.pin(id) {
            self.pin_parts_of(id);
        }
    }
    /// What is kept names what is kept: a number of something forgotten will be that of something else.
    fn pin_texts_of(&mut self, list: u32) {
        self.lists[list as usize].iter().for_each(|text| _ = self.text_numbers.pin(*text));
    }
    fn pin_parts_of(&mut self, node: u32) {
        let [name, list, value] = self.nodes[node as usize];
        self.pin(name);
        if list != UNSAID {
            self.pin_list(list);
        }
        if value != NONE && value != UNSAID {
            self.pin(value & !OTHER);
        }
    }

    /// To be called when a recipe file is finished and all that is new in the tables was handed on: what
    /// only one recipe had, a while ago, is forgotten. It gets another number if it comes again.
    pub fn finish_round(&mut self) {
        self.round += 1;
        if self.round % SWEEP != 0 {
            return;
        }
        let nothing: Str = "".into();
        let no_list: Arc<[u32]> = Arc::default();
        let Interner { texts, text_ids, lists, list_ids, nodes, node_ids, forgotten, round, .. } = self;
        self.text_numbers.sweep(*round, |at| {
            text_ids.remove(&std::mem::replace(&mut texts[at as usize], nothing.clone()));
            forgotten.push(at);
        });
        self.list_numbers.sweep(*round, |at| _ = list_ids.remove(&std::mem::replace(&mut lists[at as usize], no_list.clone())));
        self.node_numbers.sweep(*round, |at| _ = node_ids.remove(&nodes[at as usize]));
    }
    /// Numbers of texts that were forgotten since this was asked: what was known of them is wrong.
    pub(crate) fn take_forgotten(&mut self) -> Vec<u32> {
        std::mem::take(&mut self.forgotten)
    }
    fn fresh_text(&mut self, text: Str) -> u32 {
        let id = self.text_numbers.give(self.round);
        place(&mut self.starts, id, start(&text));
        place(&mut self.texts, id, text.clone());
        self.text_ids.insert(text, id);
        id
    }
    pub fn intern_list(&mut self, list: &[u32]) -> u32 {
        if let Some(id) = self.list_ids.get(list).copied() {
            if self.list_numbers.meet(id, self.round) {
                self.pin_texts_of(id);
            }
            return id;
        }
        let id = self.list_numbers.give(self.round);
        let list: Arc<[u32]> = list.into();
        place(&mut self.lists, id, list.clone());
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
    pub fn intern_node(&mut self, node: Node) -> u32 {
        let (numbers, now) = (&mut self.node_numbers, self.round);
        let id = *self.node_ids.entry(node).or_insert_with(|| numbers.give(now));
        if self.nodes.get(id as usize) != Some(&node) {
            place(&mut self.nodes, id, node);
        } else if self.node_numbers.meet(id, now) {
            self.pin_parts_of(id);
        }
        id
    }
    pub fn node(&self, id: u32) -> Node {
        self.nodes[id as usize]
    }
    /// Texts that were given a number since so much had been, with it.
    pub fn new_texts(&self, given: Given) -> impl Iterator<Item = (u32, &Str)> {
        self.text_numbers.since(given[0]).map(|n| (n, &self.texts[n as usize]))
    }
    pub fn new_lists(&self, given: Given) -> impl Iterator<Item = (u32, &Arc<[u32]>)> {
        self.list_numbers.since(given[1]).map(|n| (n, &self.lists[n as usize]))
    }
    pub fn new_nodes(&self, given: Given) -> impl Iterator<Item = (u32, Node)> {
        self.node_numbers.since(given[2]).map(|n| (n, self.nodes[n as usize]))
    }
    pub fn given(&self) -> Given {
        [&self.text_numbers, &self.list_numbers, &self.node_numbers].map(Numbers::given)
    }
    /// All texts and lists, in the order of their numbers.
    pub fn texts(&self) -> &[Str] {
        &self.texts
    }
    pub fn lists(&self) -> &[Arc<[u32]>] {
        &self.lists
    }
    /// Orders texts by what their numbers stand for. The first bytes of each are fetched once: they lie all over memory.
    pub(crate) fn sort(&self, numbers: &mut [u32]) {
        let mut keys: Vec<(u128, u32)> = numbers.iter().map(|id| (self.starts[*id as usize], *id)).collect();
        keys.sort_unstable_by(|a, b| a.0.cmp(&b.0).then_with(|| self.texts[a.1 as usize].cmp(&self.texts[b.1 as usize])));
        numbers.iter_mut().zip(keys).for_each(|(number, (_, id))| *number = id);
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
    /// Hands on the numbers of a list.
    fn each(&self, id: u32, give: &mut dyn FnMut(u32));
    fn list(&self, id: u32) -> Vec<u32> {
        let mut list = Vec::new();
        self.each(id, &mut |number| list.push(number));
        list
    }
    fn node(&self, id: u32) -> Node;
}

impl Tables for Interner {
    fn text(&self, id: u32) -> &str {
        &self.texts[id as usize]
    }
    fn each(&self, id: u32, give: &mut dyn FnMut(u32)) {
        self.lists[id as usize].iter().copied().for_each(give);
    }
    fn node(&self, id: u32) -> Node {
        self.nodes[id as usize]
    }
}

/// A node in the numbers of other tables.
pub fn renumber_node(node: Node, mut text: impl FnMut(u32) -> u32, list: impl FnOnce(u32) -> u32) -> Node {
    let [name, deps, value] = node;
    let deps = if deps == UNSAID { UNSAID } else { list(deps) };
    let value = match value {
        NONE | UNSAID => value,
        value => text(value & !OTHER) | (value & OTHER),
    };
    [text(name), deps, value]
}

impl PackedSignatures {
    /// Turns the numbers of one set of tables into those of another.
    pub fn renumber(&mut self, text: impl Fn(u32) -> u32, list: impl Fn(u32) -> u32, node: impl Fn(u32) -> u32) {
        for (name, deps) in self.taskdeps.iter_mut() {
            *name = text(*name);
            if *deps != NONE {
                *deps = list(*deps);
            }
        }
        for id in &mut self.nodes {
            *id = node(*id);
        }
    }

    /// Pairs: name, list of the names it depends on. Both sorted by the names.
    pub fn gendeps(&self, tables: &(impl Tables + ?Sized)) -> Vec<(u32, u32)> {
        self.nodes.iter().map(|id| tables.node(*id)).filter(|node| node[1] != UNSAID).map(|[name, deps, _]| (name, deps)).collect()
    }

    /// Pairs: name, and its value.
    pub fn varvals(&self, tables: &(impl Tables + ?Sized)) -> Vec<(u32, u32)> {
        self.nodes.iter().map(|id| tables.node(*id)).filter(|node| node[2] != UNSAID).map(|[name, _, value]| (name, value)).collect()
    }

    /// With texts instead of numbers.
    pub fn unpack(&self, basehashes: IndexMap<Str, Str>, tables: &(impl Tables + ?Sized)) -> RecipeSignatures {
        let mut known: FxHashMap<u32, Str> = FxHashMap::default();
        let mut text = |id: u32| known.entry(id).or_insert_with(|| tables.text(id).into()).clone();
        let nodes: Vec<Node> = self.nodes.iter().map(|id| tables.node(*id)).collect();
        let said = nodes.iter().filter(|[_, list, _]| *list != UNSAID);
        let lists: FxHashMap<u32, Vec<u32>> = said.map(|[name, list, _]| (*name, tables.list(*list))).collect();
        let mut out = RecipeSignatures { basehashes, ..RecipeSignatures::default() };
        for [name, list, value] in &nodes {
            if *list != UNSAID {
                out.gendeps.insert(text(*name), lists[name].iter().map(|id| text(*id)).collect());
            }
            let value = match *value {
                UNSAID => continue,
                NONE => VarVal::None,
                id if id & OTHER != 0 => serde_json::from_str(tables.text(id & !OTHER)).unwrap_or(VarVal::None),
                id => VarVal::Str(text(id)),
            };
            out.varvals.insert(text(*name), value);
        }
        for (task, list) in &self.taskdeps {
            let mut names: Vec<Str> = match *list {
                NONE => closure(*task, &lists).into_iter().map(&mut text).collect(),
                list => tables.list(list).into_iter().map(&mut text).collect(),
            };
            names.sort_unstable();
            out.taskdeps.insert(text(*task), names);
        }
        out
    }

    /// The numbers of signatures in the tables.
    pub fn pack(found: &RecipeSignatures, tables: &mut Interner) -> PackedSignatures {
        let list = |tables: &mut Interner, list: &[Str]| {
            let list: Vec<u32> = list.iter().map(|name| tables.intern_shared(name)).collect();
            tables.intern_list(&list)
        };
        let mut names: Vec<&Str> = found.gendeps.keys().chain(found.varvals.keys().filter(|name| !found.gendeps.contains_key(*name))).collect();
        names.sort_unstable();
        let nodes = names.into_iter().map(|name| {
            let deps = found.gendeps.get(name).map_or(UNSAID, |deps| list(tables, deps));
            let value = found.varvals.get(name).map_or(UNSAID, |value| tables.intern_value(value));
            let name = tables.intern_shared(name);
            tables.intern_node([name, deps, value])
        });
        let nodes = nodes.collect();
        let tasks = found.taskdeps.iter();
        PackedSignatures { nodes, taskdeps: tasks.map(|(task, deps)| (tables.intern_shared(task), list(tables, deps))).collect() }
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
    fn numbers_are_sorted_as_their_texts() {
        let mut texts = ["b", "", "a", "do_package_write_rpm_b", "do_package_write_rpm", "do_package_write_rpm_a", "\u{e4}", "a\0"];
        let mut tables = Interner::default();
        let mut numbers = texts.map(|text| tables.intern(text));
        tables.sort(&mut numbers);
        texts.sort();
        assert_eq!(numbers.map(|n| tables.texts()[n as usize].to_string()), texts.map(String::from));
    }

    #[test]
    fn what_one_recipe_had_is_forgotten() {
        let mut tables = Interner::default();
        let [once, again, pinned] = ["once", "again", "pinned"].map(|text| tables.intern(text));
        let lists = [once, again, pinned].map(|name| tables.intern_list(&[name]));
        let nodes = [0, 1, 2].map(|n| tables.intern_node([[once, again, pinned][n], lists[n], NONE]));
        tables.pin(pinned);
        tables.pin_node(nodes[2]);
        for _ in 0..SWEEP {
            tables.finish_round();
            assert_eq!(tables.intern("again"), again);
            assert_eq!(tables.intern_list(&[again]), lists[1]);
            assert_eq!(tables.intern_node([again, lists[1], NONE]), nodes[1]);
        }
        tables.finish_round();
        (0..SWEEP).for_each(|_| tables.finish_round());
        assert_eq!((tables.intern("again"), tables.intern("pinned")), (again, pinned));
        assert_eq!((tables.intern_list(&[again]), tables.intern_list(&[pinned])), (lists[1], lists[2]));
        assert_eq!(tables.intern_node([again, lists[1], NONE]), nodes[1]);
        assert_eq!(tables.intern_node([pinned, lists[2], NONE]), nodes[2]);
        assert_eq!(tables.take_forgotten(), [once]);
        assert_eq!((tables.intern("other"), tables.intern("once")), (once, 3), "another number, and its own is given again");
        assert_eq!((tables.intern_list(&[again, pinned]), tables.intern_list(&[3])), (lists[0], 3));
        assert_eq!((tables.intern_node([pinned, lists[1], NONE]), tables.intern_node([3, 3, 3 | OTHER])), (nodes[0], 3));
    }

    #[test]
    fn what_is_kept_keeps_what_it_names() {
        let mut tables = Interner::default();
        let [name, dep, value, other] = ["name", "dep", "value", "other"].map(|text| tables.intern(text));
        let list = tables.intern_list(&[dep]);
        let [node, plain] = [[name, list, value | OTHER], [name, UNSAID, NONE]].map(|node| tables.intern_node(node));
        tables.finish_round();
        assert_eq!((tables.intern_node([name, list, value | OTHER]), tables.intern_node([name, UNSAID, NONE])), (node, plain));
        (0..3 * SWEEP).for_each(|_| tables.finish_round());
        assert_eq!(["name", "dep", "value", "other"].map(|text| tables.intern(text)), [name, dep, value, other]);
        assert_eq!(tables.intern_list(&[dep]), list);
        assert_eq!(tables.take_forgotten(), [other]);
    }

    #[test]
    fn what_is_new_is_handed_on_once() {
        let mut tables = Interner::default();
        let mut given = Given::default();
        let mut new = |tables: &mut Interner| {
            let texts = tables.new_texts(given).map(|(n, text)| format!("{n} {text}")).collect::<Vec<_>>();
            let counts = (tables.new_lists(given).count(), tables.new_nodes(given).count());
            given = tables.given();
            tables.finish_round();
            (texts, counts)
        };
        for text in ["a", "b"] {
            let text = tables.intern(text);
            let list = tables.intern_list(&[text]);
            tables.intern_node([text, list, NONE]);
        }
        assert_eq!(new(&mut tables), (vec!["0 a".to_string(), "1 b".into()], (2, 2)));
        (0..2 * SWEEP).for_each(|_| assert_eq!(new(&mut tables), (vec![], (0, 0))));
        assert_eq!((tables.intern("c"), tables.intern("a")), (1, 0));
        assert_eq!(new(&mut tables), (vec!["1 c".to_string(), "0 a".into()], (0, 0)));
        let late: Vec<_> = tables.new_texts(Given::default()).map(|(n, text)| (n, text.to_string())).collect();
        assert_eq!(late, [(0, "a".to_string()), (1, "c".into())]);
    }

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
        found.gendeps.insert("only".into(), vec![]);
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
        let nodes: Vec<u32> = tables
            .nodes
            .iter()
            .map(|node| other.intern_node(renumber_node(*node, |id| texts[id as usize], |id| lists[id as usize])))
            .collect();
        packed.renumber(|id| texts[id as usize], |id| lists[id as usize], |id| nodes[id as usize]);
        assert_eq!(packed.unpack(IndexMap::new(), &other), found);
    }
}
