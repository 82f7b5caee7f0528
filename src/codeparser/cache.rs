//! Results by text: in memory while a process lives, and in a file between runs.
//!
//! The file is a header, entries and a checksum. It is believed only when all of it is as it was
//! written by this version with the same visitors; otherwise it counts as absent and is replaced.

use crate::{Diagnostic, PythonRefs, ShellRefs, Str};
use parking_lot::RwLock;
use rustc_hash::{FxHashMap, FxHashSet};
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::sync::{Arc, LazyLock};

/// Bump when a scan starts to answer differently, or the layout below changes.
const MAGIC: &[u8; 16] = b"hz-codeparser-01";

/// The first 128 bits of a text's SHA-256, salted with the visitors for Python.
type Key = [u8; 16];

#[derive(Default)]
struct Cache {
    python: FxHashMap<Str, Arc<PythonRefs>>,
    shell: FxHashMap<Str, Arc<ShellRefs>>,
    /// By key: what a file brought and what this process found.
    python_known: FxHashMap<Key, Arc<PythonRefs>>,
    shell_known: FxHashMap<Key, Arc<ShellRefs>>,
    /// Found by this process since the last `take_new`.
    new_python: Vec<Key>,
    new_shell: Vec<Key>,
    visitors: BTreeSet<String>,
    /// Something is known that the file does not hold.
    dirty: bool,
}

static CACHE: LazyLock<RwLock<Cache>> = LazyLock::new(RwLock::default);

fn key(kind: u8, salt: &BTreeSet<String>, text: &str) -> Key {
    let mut hash = Sha256::new();
    hash.update([kind]);
    for visitor in salt {
        hash.update(visitor.as_bytes());
        hash.update([0, 0]);
    }
    hash.update([0xff]);
    hash.update(text.as_bytes());
    hash.finalize()[..16].try_into().expect("a digest has 32 bytes")
}

/// A visitor was set: what was found without it no longer counts.
pub(crate) fn salt(visitor: &str) {
    let mut cache = CACHE.write();
    if cache.visitors.insert(visitor.into()) {
        cache.python.clear();
    }
}

pub(crate) fn unsalt() {
    let mut cache = CACHE.write();
    if !cache.visitors.is_empty() {
        cache.visitors.clear();
        cache.python.clear();
    }
}

pub(crate) fn python(text: &str, scan: impl FnOnce() -> Result<PythonRefs, Diagnostic>) -> Result<Arc<PythonRefs>, Diagnostic> {
    if let Some(found) = CACHE.read().python.get(text) {
        return Ok(found.clone());
    }
    let (key, known) = {
        let cache = CACHE.read();
        let key = key(b'p', &cache.visitors, text);
        (key, cache.python_known.get(&key).cloned())
    };
    let fresh = known.is_none();
    let refs = match known {
        Some(refs) => refs,
        None => {
            hz_meter::count(hz_meter::Count::Scan);
            let _timed = hz_meter::timed(hz_meter::Kind::Scanning);
            Arc::new(scan()?)
        }
    };
    let mut cache = CACHE.write();
    cache.python.insert(text.into(), refs.clone());
    if fresh {
        cache.python_known.insert(key, refs.clone());
        cache.new_python.push(key);
        cache.dirty = true;
    }
    Ok(refs)
}

pub(crate) fn shell(text: &str, scan: impl FnOnce() -> Result<ShellRefs, Diagnostic>) -> Result<Arc<ShellRefs>, Diagnostic> {
    if let Some(found) = CACHE.read().shell.get(text) {
        return Ok(found.clone());
    }
    let (key, known) = {
        let cache = CACHE.read();
        let key = key(b's', &BTreeSet::new(), text);
        (key, cache.shell_known.get(&key).cloned())
    };
    let fresh = known.is_none();
    let refs = match known {
        Some(refs) => refs,
        None => {
            hz_meter::count(hz_meter::Count::Scan);
            let _timed = hz_meter::timed(hz_meter::Kind::Scanning);
            Arc::new(scan()?)
        }
    };
    let mut cache = CACHE.write();
    cache.shell.insert(text.into(), refs.clone());
    if fresh {
        cache.shell_known.insert(key, refs.clone());
        cache.new_shell.push(key);
        cache.dirty = true;
    }
    Ok(refs)
}

/// What this process found since the last call, for a parent process to [`absorb`]. None: nothing.
pub fn take_new() -> Option<Vec<u8>> {
    let mut cache = CACHE.write();
    let python = std::mem::take(&mut cache.new_python);
    let shell = std::mem::take(&mut cache.new_shell);
    if python.is_empty() && shell.is_empty() {
        return None;
    }
    let python = python.iter().filter_map(|key| Some((key, cache.python_known.get(key)?)));
    let shell = shell.iter().filter_map(|key| Some((key, cache.shell_known.get(key)?)));
    Some(encode(python, shell))
}

/// Takes in what another process's [`take_new`] gave. Gives whether it was intact.
pub fn absorb(bytes: &[u8]) -> bool {
    let Some((python, shell)) = decode(bytes) else { return false };
    let mut cache = CACHE.write();
    cache.dirty |= !(python.is_empty() && shell.is_empty());
    cache.python_known.extend(python);
    cache.shell_known.extend(shell);
    true
}

/// Reads the file that [`save_cache`] wrote. Gives whether there was one that could be believed.
pub fn load_cache(path: &Path) -> bool {
    let Ok(bytes) = std::fs::read(path) else { return false };
    let Some((python, shell)) = decode(&bytes) else { return false };
    let mut cache = CACHE.write();
    cache.python_known.extend(python);
    cache.shell_known.extend(shell);
    true
}

/// Writes all that is known beside `path` and renames it there, if there is anything new.
///
/// # Errors
/// The file cannot be written; a run goes on without it.
pub fn save_cache(path: &Path) -> io::Result<()> {
    let bytes = {
        let mut cache = CACHE.write();
        if !cache.dirty {
            return Ok(());
        }
        cache.dirty = false;
        encode(&cache.python_known, &cache.shell_known)
    };
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    let mut file = tempfile::Builder::new().prefix(".codeparser.").tempfile_in(folder)?;
    io::Write::write_all(&mut file, &bytes)?;
    file.persist(path).map_err(|e| e.error)?;
    Ok(())
}

// The layout: MAGIC, checksum of the rest, strings (count, each with its length), then the two
// tables, every name a number into the strings.

struct Writer<'a> {
    strings: Vec<&'a str>,
    numbers: FxHashMap<&'a str, u32>,
    out: Vec<u8>,
}

impl<'a> Writer<'a> {
    fn number(&mut self, n: usize) {
        self.out.extend_from_slice(&(n as u32).to_le_bytes());
    }
    fn name(&mut self, name: &'a str) {
        let next = self.strings.len() as u32;
        let strings = &mut self.strings;
        let id = *self.numbers.entry(name).or_insert_with(|| {
            strings.push(name);
            next
        });
        self.number(id as usize);
    }
    fn names(&mut self, names: impl ExactSizeIterator<Item = &'a Str>) {
        self.number(names.len());
        for name in names {
            self.name(name);
        }
    }
}

fn encode<'a>(
    python: impl IntoIterator<Item = (&'a Key, &'a Arc<PythonRefs>)>,
    shell: impl IntoIterator<Item = (&'a Key, &'a Arc<ShellRefs>)>,
) -> Vec<u8> {
    let mut tables = Writer { strings: Vec::new(), numbers: FxHashMap::default(), out: Vec::new() };
    let python: Vec<_> = python.into_iter().collect();
    let shell: Vec<_> = shell.into_iter().collect();
    tables.number(python.len());
    for (key, refs) in python {
        tables.out.extend_from_slice(key);
        tables.names(refs.references.iter());
        tables.names(refs.execs.iter());
        tables.number(refs.contains.len());
        for (variable, items) in &refs.contains {
            tables.name(variable);
            tables.names(items.iter());
        }
        tables.names(refs.expands.iter());
        tables.number(refs.computed.len());
        for (function, argument) in &refs.computed {
            tables.name(function);
            tables.name(argument);
        }
    }
    tables.number(shell.len());
    for (key, refs) in shell {
        tables.out.extend_from_slice(key);
        tables.names(refs.execs.iter());
        tables.names(refs.computed.iter());
    }
    let mut body = Vec::with_capacity(tables.out.len() * 2);
    body.extend_from_slice(&(tables.strings.len() as u32).to_le_bytes());
    for text in &tables.strings {
        body.extend_from_slice(&(text.len() as u32).to_le_bytes());
        body.extend_from_slice(text.as_bytes());
    }
    body.extend_from_slice(&tables.out);
    let mut out = MAGIC.to_vec();
    out.extend_from_slice(&Sha256::digest(&body));
    out.extend_from_slice(&body);
    out
}

struct Reader<'a> {
    rest: &'a [u8],
    strings: Vec<Str>,
}

impl<'a> Reader<'a> {
    fn bytes(&mut self, n: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.rest.split_at_checked(n)?;
        self.rest = rest;
        Some(head)
    }
    fn number(&mut self) -> Option<usize> {
        Some(u32::from_le_bytes(self.bytes(4)?.try_into().ok()?) as usize)
    }
    fn name(&mut self) -> Option<Str> {
        let id = self.number()?;
        self.strings.get(id).cloned()
    }
    fn names<T: FromIterator<Str>>(&mut self) -> Option<T> {
        (0..self.number()?).map(|_| self.name()).collect()
    }
}

type Tables = (FxHashMap<Key, Arc<PythonRefs>>, FxHashMap<Key, Arc<ShellRefs>>);

fn decode(bytes: &[u8]) -> Option<Tables> {
    let rest = bytes.strip_prefix(MAGIC)?;
    let (checksum, body) = rest.split_at_checked(32)?;
    if Sha256::digest(body)[..] != *checksum {
        return None;
    }
    let mut reader = Reader { rest: body, strings: Vec::new() };
    for _ in 0..reader.number()? {
        let length = reader.number()?;
        let text = std::str::from_utf8(reader.bytes(length)?).ok()?;
        reader.strings.push(text.into());
    }
    // Many texts read the same names: share what is equal.
    let mut python_sets: FxHashSet<Arc<PythonRefs>> = FxHashSet::default();
    let mut python = FxHashMap::default();
    for _ in 0..reader.number()? {
        let key: Key = reader.bytes(16)?.try_into().ok()?;
        let mut refs = PythonRefs { references: reader.names()?, execs: reader.names()?, ..Default::default() };
        for _ in 0..reader.number()? {
            let variable = reader.name()?;
            refs.contains.insert(variable, reader.names()?);
        }
        refs.expands = reader.names()?;
        for _ in 0..reader.number()? {
            refs.computed.push((reader.name()?, reader.name()?));
        }
        let refs = match python_sets.get(&refs) {
            Some(same) => same.clone(),
            None => {
                let refs = Arc::new(refs);
                python_sets.insert(refs.clone());
                refs
            }
        };
        python.insert(key, refs);
    }
    let mut shell = FxHashMap::default();
    for _ in 0..reader.number()? {
        let key: Key = reader.bytes(16)?.try_into().ok()?;
        shell.insert(key, Arc::new(ShellRefs { execs: reader.names()?, computed: reader.names()? }));
    }
    reader.rest.is_empty().then_some((python, shell))
}

#[cfg(test)]
pub(crate) fn round_trip(python: &PythonRefs, shell: &ShellRefs) -> bool {
    let (p, s) = (Arc::new(python.clone()), Arc::new(shell.clone()));
    let bytes = encode([(&[1; 16], &p)], [(&[2; 16], &s)]);
    let mut broken = bytes.clone();
    *broken.last_mut().expect("not empty") ^= 1;
    decode(&bytes) == Some((FxHashMap::from_iter([([1; 16], p)]), FxHashMap::from_iter([([2; 16], s)])))
        && decode(&broken).is_none()
        && decode(&bytes[..bytes.len() - 3]).is_none()
        && decode(b"").is_none()
}
