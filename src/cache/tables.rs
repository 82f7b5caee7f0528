//! The cache's tables of texts, lists and files: one stretch of bytes each, so that they are written
//! and mapped as they are.

use crate::files::FileState;
use hz_diagnostics::Str;
use hz_siggen::packed;
use rustc_hash::FxHashMap;

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
}

/// Texts, lists of texts, and files with the state they were read in.
#[derive(Clone, Debug, Default, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
pub(crate) struct Tables {
    pub texts: Row<u8>,
    pub lists: Row<u32>,
    pub files: Vec<(String, FileState)>,
}

impl Tables {
    pub fn text(&self, n: u32) -> &str {
        // Only whole texts were ever put in.
        std::str::from_utf8(self.texts.get(n)).unwrap_or_default()
    }
}

impl packed::Tables for Tables {
    fn text(&self, id: u32) -> &str {
        self.text(id)
    }
    fn list(&self, id: u32) -> Vec<u32> {
        self.lists.get(id).to_vec()
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
    pub fn counts(&self) -> (u32, u32) {
        (self.texts.ends.len() as u32, self.lists.ends.len() as u32)
    }
}

impl packed::Tables for ArchivedTables {
    fn text(&self, id: u32) -> &str {
        self.text(id)
    }
    fn list(&self, id: u32) -> Vec<u32> {
        self.list(id).collect()
    }
}

/// Tables that grow, and know what they hold.
#[derive(Default)]
pub(crate) struct Numbering {
    pub tables: Tables,
    texts: FxHashMap<Str, u32>,
    lists: FxHashMap<Box<[u32]>, u32>,
    files: FxHashMap<String, u32>,
}

impl Numbering {
    pub fn new(tables: Tables) -> Numbering {
        let mut known = Numbering::default();
        for n in 0..tables.texts.len() as u32 {
            known.texts.insert(tables.text(n).into(), n);
        }
        for n in 0..tables.lists.len() as u32 {
            known.lists.insert(tables.lists.get(n).into(), n);
        }
        for (n, (path, _)) in tables.files.iter().enumerate() {
            known.files.insert(path.clone(), n as u32);
        }
        known.tables = tables;
        known
    }
    pub fn text(&mut self, text: &str) -> u32 {
        if let Some(n) = self.texts.get(text) {
            return *n;
        }
        let n = self.texts.len() as u32;
        self.texts.insert(text.into(), n);
        self.tables.texts.push(text.as_bytes());
        n
    }
    pub fn list(&mut self, list: &[u32]) -> u32 {
        if let Some(n) = self.lists.get(list) {
            return *n;
        }
        let n = self.lists.len() as u32;
        self.lists.insert(list.into(), n);
        self.tables.lists.push(list);
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
