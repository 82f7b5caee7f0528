//! Tables of texts, lists of texts, nodes and files, in which each stands once, and looking up what they are.

use crate::files::FileState;
use hashbrown::HashTable;
use hz_diagnostics::Str;
use hz_siggen::packed::Node;
use hz_stored::Draft;
use rustc_hash::FxBuildHasher;
use siphasher::sip128::SipHasher13;
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

/// Texts, lists of texts, nodes, and files with the state they were read in, as they travel between processes.
#[derive(Clone, Debug, Default, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
pub(crate) struct Tables {
    pub texts: Row<u8>,
    pub lists: Row<u32>,
    /// Three numbers each.
    pub nodes: Vec<u32>,
    pub files: Vec<(String, FileState)>,
}

impl Tables {
    pub fn push_node(&mut self, node: Node) {
        self.nodes.extend_from_slice(&node);
    }
}

/// The same as it stands in a file, beside what it belongs to: texts are elsewhere in the file.
#[derive(Debug, Default, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
pub(crate) struct Index {
    /// Where each text begins, and its length.
    pub texts: Vec<(u32, u32)>,
    pub lists: Row<u32>,
    /// Three numbers each.
    pub nodes: Vec<u32>,
    pub files: Vec<(String, FileState)>,
}

impl Index {
    pub fn node_at(&self, n: u32) -> Node {
        let at = n as usize * 3;
        [self.nodes[at], self.nodes[at + 1], self.nodes[at + 2]]
    }
    /// Bytes that all of it takes, roughly.
    pub fn bytes(&self) -> usize {
        size_of_val(&self.texts[..]) + self.lists.bytes() + self.nodes.len() * 4 + self.files.len() * 200
    }
}

impl ArchivedIndex {
    /// Where a text is: its first byte, its length.
    pub fn text(&self, n: u32) -> (usize, usize) {
        let place = &self.texts[n as usize];
        (place.0.to_native() as usize, place.1.to_native() as usize)
    }
    pub fn list(&self, n: u32) -> impl Iterator<Item = u32> + '_ {
        self.lists.list(n)
    }
    pub fn node_at(&self, n: u32) -> Node {
        node_at(&self.nodes, n)
    }
}

fn node_at(nodes: &[rkyv::rend::u32_le], n: u32) -> Node {
    let at = n as usize * 3;
    [0, 1, 2].map(|part| nodes[at + part].to_native())
}

impl ArchivedRow<u32> {
    fn list(&self, n: u32) -> impl Iterator<Item = u32> + '_ {
        let n = n as usize;
        let from = if n == 0 { 0 } else { self.ends[n - 1].to_native() as usize };
        self.items[from..self.ends[n].to_native() as usize].iter().map(|item| item.to_native())
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
        self.lists.list(n)
    }
    pub fn node_at(&self, n: u32) -> Node {
        node_at(&self.nodes, n)
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

/// A sum that no two texts share: by it a text is known that is in a file.
fn sum(text: &[u8]) -> u128 {
    SipHasher13::new().hash(text).into()
}

/// Tables that grow, and know what they hold. Texts go into a file at once.
#[derive(Default)]
pub(crate) struct Numbering {
    pub index: Index,
    /// Sum of each text.
    sums: Vec<u128>,
    texts: HashTable<u32>,
    lists: HashTable<u32>,
    nodes: HashTable<u32>,
    files: HashTable<u32>,
}

impl Numbering {
    pub fn text(&mut self, text: &str, draft: &mut Draft) -> u32 {
        let (sums, sum) = (&mut self.sums, sum(text.as_bytes()));
        if let Some(n) = self.texts.find(sum as u64, |n| sums[*n as usize] == sum) {
            return *n;
        }
        let n = sums.len() as u32;
        sums.push(sum);
        self.index.texts.push((draft.len() as u32, text.len() as u32));
        draft.append(text.as_bytes());
        self.texts.insert_unique(sum as u64, n, |n| sums[*n as usize] as u64);
        n
    }
    pub fn list(&mut self, list: &[u32]) -> u32 {
        let tables = &mut self.index;
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
        let tables = &mut self.index;
        let hash = digest(node);
        if let Some(n) = self.nodes.find(hash, |n| tables.node_at(*n) == node) {
            return *n;
        }
        let n = tables.nodes.len() as u32 / 3;
        tables.nodes.extend_from_slice(&node);
        self.nodes.insert_unique(hash, n, |n| digest(tables.node_at(*n)));
        n
    }
    /// A file known already gets the state given now.
    pub fn file(&mut self, path: &str, state: FileState) -> u32 {
        let files = &mut self.index.files;
        let hash = digest(path);
        if let Some(n) = self.files.find(hash, |n| files[*n as usize].0 == path) {
            files[*n as usize].1 = state;
            return *n;
        }
        let n = files.len() as u32;
        files.push((path.to_string(), state));
        self.files.insert_unique(hash, n, |n| digest(files[*n as usize].0.as_str()));
        n
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_keeps_its_number() {
        let dir = tempfile::tempdir().unwrap();
        let (mut known, mut draft) = (Numbering::default(), Draft::new(dir.path()));
        let (a, b) = (known.text("a", &mut draft), known.text("", &mut draft));
        let list = known.list(&[a, b, a]);
        let node = known.node([a, list, b]);
        let file = known.file("/a", FileState::Absent);
        for n in 0..1000 {
            let text = known.text(&format!("text {n}"), &mut draft);
            let list = known.list(&[text]);
            known.node([text, list, text]);
            known.file(&format!("/{n}"), FileState::Absent);
        }
        assert_eq!((known.text("a", &mut draft), known.text("", &mut draft)), (a, b));
        assert_eq!((known.list(&[a, b, a]), known.node([a, list, b]), known.file("/a", FileState::Absent)), (list, node, file));
        assert_eq!(known.text("new", &mut draft), 1002);
        assert_eq!((known.index.texts[b as usize].1, known.index.node_at(node)), (0, [a, list, b]));
        let (from, length) = known.index.texts[500];
        draft.map();
        assert_eq!(draft.get(from as usize, length as usize), b"text 498");
    }
}
