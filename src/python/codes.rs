//! Compiled metadata code, by its text: in memory while the process lives, and in a file between runs.
//!
//! Compiling is many times dearer than reading what was compiled, and a command compiles all functions of
//! the configuration's classes before it does anything else.

use crate::metadata::digest;
use hz_stored::{Kind, Stored};
use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use rustpython_vm::builtins::PyCode;
use rustpython_vm::compiler::Mode;
use rustpython_vm::{PyObjectRef, PyRef, PyResult, VirtualMachine};
use sha2::{Digest, Sha256};
use std::io;
use std::path::{Path, PathBuf};

/// Bump when the layout below changes; what the interpreter writes goes with the program itself.
const KIND: &Kind = b"hz-python-code-1";

/// The first 128 bits of a SHA-256 over everything that code is compiled from.
type Key = [u8; 16];

#[derive(Default)]
struct Codes {
    compiled: FxHashMap<(u64, usize), PyRef<PyCode>>,
    file: Option<PathBuf>,
    stored: Option<Stored>,
    /// Where in the stored file each is.
    places: FxHashMap<Key, (usize, usize)>,
    /// What the file does not hold.
    new: Vec<(Key, Vec<u8>)>,
    /// How many of those [`take_new`] gave away.
    taken: usize,
}

static CODES: Mutex<Option<Codes>> = Mutex::new(None);

fn key(text: &str, file: &str, line: u32) -> Key {
    let mut hash = Sha256::new();
    hash.update(line.to_le_bytes());
    hash.update((file.len() as u64).to_le_bytes());
    hash.update(file);
    hash.update(text);
    let mut key = Key::default();
    key.copy_from_slice(&hash.finalize()[..16]);
    key
}

/// Uses the file at `path` from here on; whatever is wrong with it, it only costs time.
pub fn open(path: &Path) {
    let mut codes = CODES.lock();
    let codes = codes.get_or_insert_default();
    codes.file = Some(path.to_path_buf());
    codes.stored = Stored::open(path, KIND);
    codes.places.clear();
    if let Some(stored) = codes.stored.as_deref() {
        read(stored, |key, from, to| {
            codes.places.insert(key, (from, to));
        });
    }
}

/// Entries: key, length, code.
fn read(content: &[u8], mut each: impl FnMut(Key, usize, usize)) {
    let mut at = 0;
    while let Some((head, _)) = content.get(at..).and_then(|rest| rest.split_first_chunk::<20>()) {
        let (mut key, mut length) = (Key::default(), [0; 4]);
        key.copy_from_slice(&head[..16]);
        length.copy_from_slice(&head[16..]);
        let (from, to) = (at + 20, at + 20 + u32::from_le_bytes(length) as usize);
        if to > content.len() {
            return;
        }
        each(key, from, to);
        at = to;
    }
}

fn append(out: &mut Vec<u8>, key: &Key, code: &[u8]) {
    out.extend(key);
    out.extend((code.len() as u32).to_le_bytes());
    out.extend(code);
}

/// What this process compiled since the last call, for its parent's [`absorb`].
pub fn take_new() -> Vec<u8> {
    let mut codes = CODES.lock();
    let codes = codes.get_or_insert_default();
    let mut out = Vec::new();
    for (key, code) in &codes.new[codes.taken..] {
        append(&mut out, key, code);
    }
    codes.taken = codes.new.len();
    out
}

/// Takes in what another process compiled.
pub fn absorb(bytes: &[u8]) {
    let mut codes = CODES.lock();
    let codes = codes.get_or_insert_default();
    let known: rustc_hash::FxHashSet<Key> = codes.new.iter().map(|(key, _)| *key).collect();
    read(bytes, |key, from, to| {
        if !codes.places.contains_key(&key) && !known.contains(&key) {
            codes.new.push((key, bytes[from..to].to_vec()));
        }
    });
}

/// Forgets what was counted as new so far: in a helper it is its parent's.
pub fn forked() {
    if let Some(codes) = CODES.lock().as_mut() {
        codes.taken = codes.new.len();
    }
}

/// Writes the file if something was compiled that it does not hold.
///
/// # Errors
/// Whatever the file system says.
pub fn save() -> io::Result<()> {
    let mut codes = CODES.lock();
    let Some(codes) = codes.as_mut().filter(|codes| !codes.new.is_empty()) else { return Ok(()) };
    let Some(file) = &codes.file else { return Ok(()) };
    let mut out = Vec::new();
    if let Some(stored) = codes.stored.as_deref() {
        for (key, (from, to)) in &codes.places {
            append(&mut out, key, &stored[*from..*to]);
        }
    }
    codes.new.iter().for_each(|(key, code)| append(&mut out, key, code));
    hz_stored::write(file, KIND, &out)?;
    codes.new.clear();
    codes.taken = 0;
    Ok(())
}

/// The code of `text` (statements) as it stands after line `line` of `file`.
pub fn compile(vm: &VirtualMachine, text: &str, file: &str, line: u32) -> PyResult<PyRef<PyCode>> {
    let short = (digest((text, file, line)), text.len());
    let (persistent, stored) = {
        let mut codes = CODES.lock();
        let codes = codes.get_or_insert_default();
        if let Some(code) = codes.compiled.get(&short) {
            return Ok(code.clone());
        }
        let persistent = codes.file.is_some().then(|| key(text, file, line));
        let place = persistent.and_then(|key| codes.places.get(&key));
        (persistent, place.and_then(|(from, to)| Some(codes.stored.as_deref()?[*from..*to].to_vec())))
    };
    let marshal = |function: &'static str, argument: PyObjectRef| vm.import("marshal", 0).and_then(|module| vm.call_method(&module, function, (argument,)));
    if let Some(bytes) = stored
        && let Ok(code) = marshal("loads", vm.ctx.new_bytes(bytes).into())
        && let Ok(code) = code.downcast::<PyCode>()
    {
        CODES.lock().get_or_insert_default().compiled.insert(short, code.clone());
        return Ok(code);
    }
    let padded;
    let source = if line == 0 {
        text
    } else {
        padded = format!("{}{text}", "\n".repeat(line as usize));
        &padded
    };
    let code = vm
        .compile(source, Mode::Exec, file)
        .map_err(|error| crate::metadata::syntax_error(vm, error.into_pyexception(vm, Some(source))))?;
    let bytes = persistent.and_then(|key| {
        let bytes = marshal("dumps", code.clone().into()).ok()?;
        Some((key, bytes.downcast_ref::<rustpython_vm::builtins::PyBytes>()?.as_bytes().to_vec()))
    });
    let mut codes = CODES.lock();
    let codes = codes.get_or_insert_default();
    codes.new.extend(bytes);
    codes.compiled.insert(short, code.clone());
    Ok(code)
}
