//! Tables of texts, lists of texts, nodes and files, in which each stands once, and looking up what they are.

use crate::files::FileState;
use hashbrown::HashTable;
use hz_diagnostics::Str;
use hz_siggen::packed::{self, Node};
use rustc_hash::{FxBuildHasher, FxHashMap};
use std::cell::RefCell;
use std::hash::BuildHasher;

/// Items of any length in a row.
#[derive(Clone, Debug, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
pub(crate) struct Row<T> {
    items: Vec<T>,
    /// Where each ends.
    ends: Vec<u32>,
}

impl<T> Default for Row<T> {
    fn default() -> Self {
        Row { items: Vec::new(), ends: Vec::new() }
    }
}

impl<T: Copy> Row<T> {
    pub fn push(&mut self, items: &[T]) {
        self.items.extend_from_slice(items);
        self.ends.push(self.items.len() as u32);
    }
    pub fn len(&self) -> usize {
        self.ends.len()
    }
    pub fn get(&self, n: u32) -> &[T] {
        let n = n as usize;
        &self.items[if n == 0 { 0 } else { self.ends[n - 1] as usize }..self.ends[n] as usize]
    }
    fn bytes(&self) -> usize {
        size_of_val(&self.items[..]) + size_of_val(&self.ends[..])
    }
}

/// Texts, lists of texts, nodes, and files with the state they were read in.
#[derive(Clone, Debug, Default, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
pub(crate) struct Tables {
    pub texts: Row<u8>,
    pub lists: Row<u32>,
    /// Three numbers each.
    pub nodes: Vec<u32>,
    pub files: Vec<(String, FileState)>,
}

impl Tables {
    pub fn text(&self, n: u32) -> &str {
        // Only whole texts were ever put in.
        std::str::from_utf8(self.texts.get(n)).unwrap_or_default()
    }
    pub fn push_node(&mut self, node: Node) {
        self.nodes.extend_from_slice(&node);
    }
    pub fn node_at(&self, n: u32) -> Node {
        let at = n as usize * 3;
        [self.nodes[at], self.nodes[at + 1], self.nodes[at + 2]]
    }
    /// Bytes that all of it takes, roughly.
    pub fn bytes(&self) -> usize {
        self.texts.bytes() + self.lists.bytes() + self.nodes.len() * 4 + self.files.len() * 200
    }
}

impl packed::Tables for Tables {
    fn text(&self, id: u32) -> &str {
        self.text(id)
    }
    fn list(&self, id: u32) -> Vec<u32> {
        self.lists.get(id).to_vec()
    }
    fn node(&self, id: u32) -> Node {
        self.node_at(id)
    }
}

impl ArchivedTables {
    pub fn text(&self, n: u32) -> &str {
        let n = n as usize;
        let ends = &self.texts.ends;
        let from = if n == 0 { 0 } else { ends[n - 1].to_native() as usize };
        std::str::from_utf8(&self.texts.items[from..ends[n].to_native() as usize]).unwrap_or_default()
    }
    pub fn list(&self, n: u32) -> impl Iterator<Item = u32> + '_ {
        let n = n as usize;
        let ends = &self.lists.ends;
        let from = if n == 0 { 0 } else { ends[n - 1].to_native() as usize };
        self.lists.items[from..ends[n].to_native() as usize].iter().map(|item| item.to_native())
    }
    pub fn node_at(&self, n: u32) -> Node {
        let at = n as usize * 3;
        [0, 1, 2].map(|part| self.nodes[at + part].to_native())
    }
    /// How many texts, lists and nodes there are.
    pub fn counts(&self) -> (u32, u32, u32) {
        (self.texts.ends.len() as u32, self.lists.ends.len() as u32, self.nodes.len() as u32 / 3)
    }
}

impl packed::Tables for ArchivedTables {
    fn text(&self, id: u32) -> &str {
        self.text(id)
    }
    fn list(&self, id: u32) -> Vec<u32> {
        self.list(id).collect()
    }
    fn node(&self, id: u32) -> Node {
        self.node_at(id)
    }
}

/// Texts that stand together in [`SharedTexts`].
const GROUP: usize = 16;

/// Texts of a table as shared ones, each made when it is first asked for. In groups: most commands ask for few of
/// them, and memory that is touched takes time.
#[derive(Default)]
pub(crate) struct SharedTexts(RefCell<Vec<Option<Box<[Option<Str>; GROUP]>>>>);

impl SharedTexts {
    pub fn get<'t>(&self, n: u32, text: impl FnOnce() -> &'t str) -> Str {
        let mut groups = self.0.borrow_mut();
        let (group, n) = (n as usize / GROUP, n as usize % GROUP);
        if groups.len() <= group {
            groups.resize_with((group + 1).next_power_of_two(), || None);
        }
        groups[group].get_or_insert_default()[n].get_or_insert_with(|| text().into()).clone()
    }
}

fn digest(items: impl std::hash::Hash) -> u64 {
    FxBuildHasher.hash_one(items)
}

/// Tables that grow, and know what they hold.
#[derive(Default)]
pub(crate) struct Numbering {
    pub tables: Tables,
    texts: HashTable<u32>,
    lists: HashTable<u32>,
    nodes: HashTable<u32>,
    files: FxHashMap<String, u32>,
}

impl Numbering {
    pub fn new(tables: Tables) -> Numbering {
        let mut known = Numbering { tables, ..Numbering::default() };
        let Numbering { tables, texts, lists, nodes, files } = &mut known;
        for n in 0..tables.texts.len() as u32 {
            texts.insert_unique(digest(tables.texts.get(n)), n, |n| digest(tables.texts.get(*n)));
        }
        for n in 0..tables.lists.len() as u32 {
            lists.insert_unique(digest(tables.lists.get(n)), n, |n| digest(tables.lists.get(*n)));
        }
        for n in 0..tables.nodes.len() as u32 / 3 {
            nodes.insert_unique(digest(tables.node_at(n)), n, |n| digest(tables.node_at(*n)));
        }
        for (n, (path, _)) in tables.files.iter().enumerate() {
            files.insert(path.clone(), n as u32);
        }
        known
    }
    pub fn text(&mut self, text: &str) -> u32 {
        let (tables, bytes) = (&mut self.tables, text.as_bytes());
        let hash = digest(bytes);
        if let Some(n) = self.texts.find(hash, |n| tables.texts.get(*n) == bytes) {
            return *n;
        }
        let n = tables.texts.len() as u32;
        tables.texts.push(bytes);
        self.texts.insert_unique(hash, n, |n| digest(tables.texts.get(*n)));
        n
    }
    pub fn list(&mut self, list: &[u32]) -> u32 {
        let tables = &mut self.tables;
        let hash = digest(list);
        if let Some(n) = self.lists.find(hash, |n| tables.lists.get(*n) == list) {
            return *n;
        }
        let n = tables.lists.len() as u32;
        tables.lists.push(list);
        self.lists.insert_unique(hash, n, |n| digest(tables.lists.get(*n)));
        n
    }
    pub fn node(&mut self, node: Node) -> u32 {
        let tables = &mut self.tables;
        let hash = digest(node);
        if let Some(n) = self.nodes.find(hash, |n| tables.node_at(*n) == node) {
            return *n;
        }
        let n = tables.nodes.len() as u32 / 3;
        tables.push_node(node);
        self.nodes.insert_unique(hash, n, |n| digest(tables.node_at(*n)));
        n
    }
    /// A file known already gets the state given now.
    pub fn file(&mut self, path: &str, state: FileState) -> u32 {
        if let Some(n) = self.files.get(path) {
            self.tables.files[*n as usize].1 = state;
            return *n;
        }
        let n = self.files.len() as u32;
        self.files.insert(path.to_string(), n);
        self.tables.files.push((path.to_string(), state));
        n
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_keeps_its_number() {
        let mut first = Numbering::default();
        let (a, b) = (first.text("a"), first.text(""));
        let list = first.list(&[a, b, a]);
        let node = first.node([a, list, b]);
        for n in 0..1000 {
            let text = first.text(&format!("text {n}"));
            let list = first.list(&[text]);
            first.node([text, list, text]);
        }
        let mut again = Numbering::new(first.tables.clone());
        for known in [&mut first, &mut again] {
            assert_eq!((known.text("a"), known.text("")), (a, b));
            assert_eq!((known.list(&[a, b, a]), known.node([a, list, b])), (list, node));
            assert_eq!(known.text("new"), 1002);
            assert_eq!((known.tables.text(b), known.tables.node_at(node)), ("", [a, list, b]));
        }
    }
}
