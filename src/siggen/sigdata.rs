//! sigdata, sigbasedata and siginfo files: Zstandard-compressed JSON with sorted keys, ASCII only,
//! sets written as `{"_set_object":[…]}`. Byte for byte the JSON that the reference writes.

use hz_data::Value;
use hz_diagnostics::Str;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// What a variable or flag put into a hash. The type survives: flags that parsing sets are
/// numbers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum VarVal {
    /// Without a value: adds nothing.
    None,
    Str(Str),
    Int(i64),
    Bool(bool),
    /// A list, set or mapping that code stored: JSON, and the text that enters the hash.
    Other { json: Str, text: Str },
}

impl From<Option<&Value>> for VarVal {
    fn from(value: Option<&Value>) -> Self {
        match value {
            None | Some(Value::None) => VarVal::None,
            Some(Value::Str(s)) => VarVal::Str(s.clone()),
            Some(Value::Int(i)) => VarVal::Int(*i),
            Some(Value::Bool(b)) => VarVal::Bool(*b),
            Some(other) => {
                let mut json = String::new();
                write_value(&mut json, other);
                VarVal::Other { json: json.into(), text: other.to_text() }
            }
        }
    }
}

impl VarVal {
    /// The value as the store and Python have it.
    pub fn to_value(&self) -> Value {
        match self {
            VarVal::None => Value::None,
            VarVal::Str(s) => Value::Str(s.clone()),
            VarVal::Int(i) => Value::Int(*i),
            VarVal::Bool(b) => Value::Bool(*b),
            VarVal::Other { json, text } => serde_json::from_str(json).map_or_else(|_| Value::Str(text.clone()), |json| store_value(&json)),
        }
    }
    /// What Python's `str()` gives for it.
    pub fn to_text(&self) -> Cow<'_, str> {
        match self {
            VarVal::None => "None".into(),
            VarVal::Str(s) => Cow::Borrowed(s),
            VarVal::Int(i) => i.to_string().into(),
            VarVal::Bool(b) => if *b { "True" } else { "False" }.into(),
            VarVal::Other { text, .. } => Cow::Borrowed(text),
        }
    }
    pub(crate) fn write(&self, out: &mut String) {
        match self {
            VarVal::None => out.push_str("null"),
            VarVal::Str(s) => write_text(out, s),
            VarVal::Int(i) => out.push_str(&i.to_string()),
            VarVal::Bool(b) => out.push_str(if *b { "true" } else { "false" }),
            VarVal::Other { json, .. } => out.push_str(json),
        }
    }
}

/// The content of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SigData {
    pub task: Option<Str>,
    pub basehash_ignore_vars: BTreeSet<Str>,
    /// BB_TASKHASH_IGNORE_TASKS; None when empty.
    pub taskhash_ignore_tasks: Option<Str>,
    pub taskdeps: BTreeSet<Str>,
    pub basehash: Str,
    pub gendeps: BTreeMap<Str, BTreeSet<Str>>,
    pub varvals: BTreeMap<Str, VarVal>,
    /// What only a file with a task hash has.
    pub run: Option<RunData>,
    pub taint: Option<Str>,
}

/// The part of a file that belongs to the task hash.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunData {
    /// `[mc:NAME:]pn:task`, in the order in which their hashes entered.
    pub runtaskdeps: Vec<Str>,
    /// Name (`./REL` for members of directories) and checksum, in order.
    pub file_checksum_values: Vec<(Str, Option<Str>)>,
    pub runtaskhashes: BTreeMap<Str, Str>,
    pub taskhash: Str,
    pub unihash: Str,
}

impl RunData {
    /// From (name, task id, unihash) of the tasks it runs after, and its local files, in any order.
    pub fn new(mut dependencies: Vec<(&str, &str, &str)>, files: &[(Str, Option<Str>)], taskhash: Str, unihash: Str, rules: &crate::Rules) -> RunData {
        dependencies.sort_unstable();
        let files = crate::hash::ordered_files(files, rules);
        let names: Vec<Str> = dependencies.iter().map(|(name, ..)| Str::from(*name)).collect();
        RunData {
            runtaskhashes: names.iter().cloned().zip(dependencies.iter().map(|(_, _, unihash)| Str::from(*unihash))).collect(),
            runtaskdeps: names,
            file_checksum_values: files.into_iter().map(|(path, sum)| (crate::hash::shown_name(&path), sum)).collect(),
            taskhash,
            unihash,
        }
    }
}

/// A file that cannot be read as sigdata.
#[derive(Debug)]
pub struct SigdataError {
    pub file: PathBuf,
    pub cause: String,
}
impl fmt::Display for SigdataError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Failed to open sigdata file '{}': {}", self.file.display(), self.cause)
    }
}
impl std::error::Error for SigdataError {}

// -- writing

/// How hard the files are compressed: as hard as the zstd program does unasked.
const LEVEL: i32 = 3;

/// Is there anything in these bytes that JSON in ASCII writes in another way?
fn is_special(byte: u8) -> bool {
    !(b' '..=b'~').contains(&byte) || byte == b'"' || byte == b'\\'
}

pub(crate) fn write_text(out: &mut String, text: &str) {
    out.push('"');
    let mut rest = text;
    while !rest.is_empty() {
        // Whole blocks first, which the compiler looks at many bytes at a time.
        let blocks = rest.as_bytes().chunks(32).take_while(|block| !block.iter().fold(false, |any, byte| any | is_special(*byte))).map(<[u8]>::len);
        let mut plain: usize = blocks.sum();
        plain += rest.as_bytes()[plain..].iter().take_while(|byte| !is_special(**byte)).count();
        // What ends it is ASCII or the start of a character.
        out.push_str(&rest[..plain]);
        rest = &rest[plain..];
        let Some(c) = rest.chars().next() else { break };
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            c => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    out.push_str(&format!("\\u{unit:04x}"));
                }
            }
        }
        rest = &rest[c.len_utf8()..];
    }
    out.push('"');
}

fn write_list<T>(out: &mut String, items: impl IntoIterator<Item = T>, each: impl FnMut(&mut String, T)) {
    out.push('[');
    write_list_items(out, items, each);
    out.push(']');
}

fn write_list_items<T>(out: &mut String, items: impl IntoIterator<Item = T>, mut each: impl FnMut(&mut String, T)) {
    for (n, item) in items.into_iter().enumerate() {
        if n > 0 {
            out.push(',');
        }
        each(out, item);
    }
}

fn write_map<'a, T: 'a>(
    out: &mut String, items: impl IntoIterator<Item = (&'a Str, T)>, each: impl FnMut(&mut String, T),
) {
    out.push('{');
    write_items(out, items, each);
    out.push('}');
}

fn write_items<'a, T: 'a>(
    out: &mut String, items: impl IntoIterator<Item = (&'a Str, T)>, mut each: impl FnMut(&mut String, T),
) {
    for (n, (key, item)) in items.into_iter().enumerate() {
        if n > 0 {
            out.push(',');
        }
        write_text(out, key);
        out.push(':');
        each(out, item);
    }
}

fn write_set<'a>(out: &mut String, items: impl IntoIterator<Item = &'a Str>) {
    out.push_str("{\"_set_object\":");
    write_list(out, items, |out, item| write_text(out, item));
    out.push('}');
}

fn write_value(out: &mut String, value: &Value) {
    match value {
        Value::None => out.push_str("null"),
        Value::Str(s) => write_text(out, s),
        Value::Int(i) => out.push_str(&i.to_string()),
        Value::Bool(b) => out.push_str(if *b { "true" } else { "false" }),
        Value::List(list) => write_list(out, list.iter(), write_value),
        Value::Set(set) => write_set(out, set.iter().collect::<BTreeSet<_>>()),
        Value::Map(map) => write_map(out, map.iter().collect::<BTreeMap<_, _>>(), write_value),
        Value::Object(object) => match object.to_json() {
            Some(json) => out.push_str(&json),
            None => write_text(out, &object.to_text()),
        },
    }
}

impl SigData {
    /// The JSON text.
    pub fn to_json(&self) -> String {
        let mut out = String::with_capacity(64 * 1024);
        self.write_json(
            &mut out,
            |o| write_items(o, &self.gendeps, |o, deps| write_set(o, deps)),
            |o| write_list_items(o, &self.taskdeps, |o, dep| write_text(o, dep)),
            |o| write_items(o, &self.varvals, |o, value| value.write(o)),
        );
        out
    }

    /// The JSON text, with what is inside of `gendeps`, `taskdeps` and `varvals` written by others.
    pub(crate) fn write_json(
        &self, o: &mut String, gendeps: impl FnOnce(&mut String), taskdeps: impl FnOnce(&mut String), varvals: impl FnOnce(&mut String),
    ) {
        o.push_str("{\"basehash\":");
        write_text(o, &self.basehash);
        o.push_str(",\"basehash_ignore_vars\":");
        write_set(o, &self.basehash_ignore_vars);
        if let Some(run) = &self.run {
            o.push_str(",\"file_checksum_values\":");
            write_list(o, &run.file_checksum_values, |o, (file, sum)| {
                o.push('[');
                write_text(o, file);
                o.push(',');
                match sum {
                    Some(sum) => write_text(o, sum),
                    None => o.push_str("null"),
                }
                o.push(']');
            });
        }
        o.push_str(",\"gendeps\":{");
        gendeps(o);
        o.push('}');
        if let Some(run) = &self.run {
            o.push_str(",\"runtaskdeps\":");
            write_list(o, &run.runtaskdeps, |o, dep| write_text(o, dep));
            o.push_str(",\"runtaskhashes\":");
            write_map(o, &run.runtaskhashes, |o, hash| write_text(o, hash));
        }
        if let Some(taint) = &self.taint {
            o.push_str(",\"taint\":");
            write_text(o, taint);
        }
        if let Some(task) = &self.task {
            o.push_str(",\"task\":");
            write_text(o, task);
        }
        o.push_str(",\"taskdeps\":{\"_set_object\":[");
        taskdeps(o);
        o.push_str("]}");
        if let Some(run) = &self.run {
            o.push_str(",\"taskhash\":");
            write_text(o, &run.taskhash);
        }
        o.push_str(",\"taskhash_ignore_tasks\":");
        match &self.taskhash_ignore_tasks {
            Some(text) => write_text(o, text),
            None => o.push_str("null"),
        }
        if let Some(run) = &self.run {
            o.push_str(",\"unihash\":");
            write_text(o, &run.unihash);
        }
        o.push_str(",\"varvals\":{");
        varvals(o);
        o.push_str("}}");
    }

    /// Writes the file, see [`write_file`].
    ///
    /// # Errors
    /// The folder or the file cannot be written.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        write_file(path, &self.to_json())
    }

    /// Reads a file; the names that fields had in old releases are known.
    ///
    /// # Errors
    /// It cannot be read, or is not sigdata.
    pub fn read(path: &Path) -> Result<SigData, SigdataError> {
        let failed = |cause: String| SigdataError { file: path.into(), cause };
        let bytes = std::fs::read(path).map_err(|e| failed(e.to_string()))?;
        let json = zstd::decode_all(&bytes[..]).map_err(|e| failed(e.to_string()))?;
        let json = serde_json::from_slice(&json).map_err(|e| failed(e.to_string()))?;
        parse(&json).map_err(|what| failed(format!("unexpected content of {what}")))
    }

    /// Reads the JSON text of a file.
    ///
    /// # Errors
    /// What of it is not as it should be.
    pub fn from_json(text: &str) -> Result<SigData, String> {
        let json = serde_json::from_str(text).map_err(|e| e.to_string())?;
        parse(&json).map_err(|what| format!("unexpected content of {what}"))
    }

    /// The name of a task's file: with a task hash (`hash` is then the unihash) or without (the
    /// base hash).
    pub fn file_name(stampbase: &str, task: &str, with_taskhash: bool, hash: &str) -> String {
        format!("{stampbase}.{task}.{}.{hash}", if with_taskhash { "sigdata" } else { "sigbasedata" })
    }
}

thread_local! {
    /// Making its state anew takes longer than most files; and the room for what it makes, so that no memory is
    /// touched for the first time for each.
    static COMPRESSOR: std::cell::RefCell<Option<(zstd::bulk::Compressor<'static>, Vec<u8>)>> = const { std::cell::RefCell::new(None) };
}

/// Shows the text compressed.
fn compressed<T>(json: &str, look: impl FnOnce(&[u8]) -> io::Result<T>) -> io::Result<T> {
    COMPRESSOR.with_borrow_mut(|kept| {
        let (compressor, bytes) = match kept {
            Some(kept) => kept,
            None => kept.insert((zstd::bulk::Compressor::new(LEVEL)?, Vec::new())),
        };
        bytes.clear();
        bytes.reserve(zstd::zstd_safe::compress_bound(json.len()));
        compressor.compress_to_buffer(json.as_bytes(), bytes)?;
        look(bytes)
    })
}

/// Writes a file with the JSON text compressed, beside `path`, and renames it there, mode 0664; folders are made,
/// mode 0775. A file that holds the very same text already only becomes as new: replacing a file makes some file
/// systems wait for the disk, and to look at a text takes a quarter of the time that compressing it does.
///
/// # Errors
/// The folder or the file cannot be written.
pub fn write_file(path: &Path, json: &str) -> io::Result<()> {
    if renewed(path, json) {
        return Ok(());
    }
    put_file(path, |file| compressed(json, |bytes| file.write_all(bytes)))
}

/// Makes a file beside `path`, has it filled, and renames it there.
fn put_file(path: &Path, fill: impl FnOnce(&mut tempfile::NamedTempFile) -> io::Result<()>) -> io::Result<()> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    make_folders(folder)?;
    let mut file = tempfile::Builder::new().prefix("sigtask.").tempfile_in(folder)?;
    fill(&mut file)?;
    file.as_file().set_permissions(std::fs::Permissions::from_mode(0o664))?;
    file.persist(path).map_err(|e| e.error)?;
    Ok(())
}

/// A file that is to be written, compressed already.
pub struct Prepared {
    path: PathBuf,
    bytes: Box<[u8]>,
}

impl Prepared {
    /// # Errors
    /// It cannot be compressed.
    pub fn new(path: &Path, json: &str) -> io::Result<Prepared> {
        let bytes = compressed(json, |bytes| Ok(Box::from(bytes)))?;
        Ok(Prepared { path: path.into(), bytes })
    }

    pub fn size(&self) -> usize {
        self.bytes.len() + self.path.as_os_str().len()
    }

    /// As [`write_file`], but looks at no file that is there.
    ///
    /// # Errors
    /// The folder or the file cannot be written.
    pub fn write(&self) -> io::Result<()> {
        put_file(&self.path, |file| file.write_all(&self.bytes))
    }
}

thread_local! {
    /// What takes files apart, and the room for their texts: files are written one after the other.
    static HELD: std::cell::RefCell<Option<(zstd::bulk::Decompressor<'static>, Vec<u8>)>> = const { std::cell::RefCell::new(None) };
    /// The room for what they hold.
    static READ: std::cell::RefCell<Vec<u8>> = const { std::cell::RefCell::new(Vec::new()) };
}

/// Is this what bytes of a file hold?
fn holds(bytes: &[u8], json: &str) -> bool {
    HELD.with_borrow_mut(|kept| {
        let (decompressor, text) = match kept {
            Some(kept) => kept,
            None => match zstd::bulk::Decompressor::new() {
                Ok(new) => kept.insert((new, Vec::new())),
                Err(_) => return false,
            },
        };
        text.clear();
        // One byte more than is wanted: a longer text does not fit or is seen to be longer.
        text.reserve(json.len() + 1);
        decompressor.decompress_to_buffer(bytes, text).is_ok_and(|_| text == json.as_bytes())
    })
}

/// Does the file have this text and its mode, and could it be given the present time?
fn renewed(path: &Path, json: &str) -> bool {
    let Ok(meta) = std::fs::symlink_metadata(path) else { return false };
    if !meta.is_file() || meta.permissions().mode() & 0o777 != 0o664 {
        return false;
    }
    let Ok(file) = std::fs::OpenOptions::new().read(true).write(true).open(path) else { return false };
    let same = READ.with_borrow_mut(|held| {
        held.clear();
        held.reserve(usize::try_from(meta.len()).unwrap_or_default() + 1);
        (&file).read_to_end(held).is_ok_and(|_| holds(held, json))
    });
    same && file.set_modified(std::time::SystemTime::now()).is_ok()
}

/// Makes missing folders group-writable whatever the umask says.
fn make_folders(folder: &Path) -> io::Result<()> {
    if folder.as_os_str().is_empty() || folder.is_dir() {
        return Ok(());
    }
    if let Some(parent) = folder.parent() {
        make_folders(parent)?;
    }
    match std::fs::create_dir(folder) {
        Ok(()) => std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o775)),
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(e) => Err(e),
    }
}

// -- reading

use serde_json::Value as Json;

fn parse(json: &Json) -> Result<SigData, &'static str> {
    let get = |names: &[&str]| names.iter().find_map(|name| json.get(name));
    let text = |name: &'static str| json.get(name).and_then(Json::as_str).map(Str::from);
    let mut data = SigData {
        task: text("task"),
        basehash_ignore_vars: set(get(&["basehash_ignore_vars", "basewhitelist"])).ok_or("basehash_ignore_vars")?,
        taskhash_ignore_tasks: get(&["taskhash_ignore_tasks", "taskwhitelist"]).and_then(Json::as_str).map(Str::from),
        taskdeps: set(json.get("taskdeps")).ok_or("taskdeps")?,
        basehash: text("basehash").ok_or("basehash")?,
        taint: text("taint"),
        ..SigData::default()
    };
    for (name, deps) in json.get("gendeps").and_then(Json::as_object).ok_or("gendeps")? {
        data.gendeps.insert(name.as_str().into(), set(Some(deps)).ok_or("gendeps")?);
    }
    for (name, value) in json.get("varvals").and_then(Json::as_object).ok_or("varvals")? {
        data.varvals.insert(name.as_str().into(), value_of(value));
    }
    if let Some(deps) = json.get("runtaskdeps").and_then(Json::as_array) {
        let mut run = RunData {
            runtaskdeps: deps.iter().filter_map(Json::as_str).map(Str::from).collect(),
            taskhash: text("taskhash").unwrap_or_else(|| "".into()),
            unihash: text("unihash").unwrap_or_else(|| "".into()),
            ..RunData::default()
        };
        for entry in json.get("file_checksum_values").and_then(Json::as_array).into_iter().flatten() {
            let name = entry.get(0).and_then(Json::as_str).ok_or("file_checksum_values")?;
            run.file_checksum_values.push((name.into(), entry.get(1).and_then(Json::as_str).map(Str::from)));
        }
        for (name, hash) in json.get("runtaskhashes").and_then(Json::as_object).into_iter().flatten() {
            run.runtaskhashes.insert(name.as_str().into(), hash.as_str().ok_or("runtaskhashes")?.into());
        }
        data.run = Some(run);
    }
    Ok(data)
}

fn set(json: Option<&Json>) -> Option<BTreeSet<Str>> {
    let json = json?;
    let list = json.get("_set_object").unwrap_or(json).as_array()?;
    list.iter().map(|item| item.as_str().map(Str::from)).collect()
}

fn value_of(json: &Json) -> VarVal {
    match json {
        Json::Null => VarVal::None,
        Json::String(s) => VarVal::Str(s.as_str().into()),
        Json::Bool(b) => VarVal::Bool(*b),
        Json::Number(n) if n.is_i64() => VarVal::Int(n.as_i64().unwrap_or_default()),
        other => {
            let value = store_value(other);
            match VarVal::from(Some(&value)) {
                VarVal::Str(text) => VarVal::Other { json: other.to_string().into(), text },
                known => known,
            }
        }
    }
}

fn store_value(json: &Json) -> Value {
    match json {
        Json::Null => Value::None,
        Json::Bool(b) => Value::Bool(*b),
        Json::Number(n) => n.as_i64().map_or_else(|| Value::from(n.to_string()), Value::Int),
        Json::String(s) => Value::from(s.as_str()),
        Json::Array(list) => Value::List(std::sync::Arc::new(list.iter().map(store_value).collect())),
        Json::Object(map) => match set(Some(json)) {
            Some(set) if map.contains_key("_set_object") => Value::Set(std::sync::Arc::new(set.into_iter().collect())),
            _ => Value::Map(std::sync::Arc::new(map.iter().map(|(k, v)| (k.as_str().into(), store_value(v))).collect())),
        },
    }
}
