//! What one run of the fetcher remembers for the next: MD5s of files of the metadata, and the
//! revisions that floating branches had. Processes that parse write what they learned beside the
//! cache (`NAME-PID`), the main process merges. The files bear names of our own.

use crate::checksum::md5_file;
use crate::error::{FetchError, Result};
use crate::files;
use serde_json::{Map, Value, json};
use std::collections::HashMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{LazyLock, Mutex, MutexGuard};

const SUMS_FILE: &str = "hitzeleiter_file_checksums.json";
const REVISIONS_FILE: &str = "hitzeleiter_srcrevisions.json";
const VERSION: u32 = 1;

/// A file as it was when its sum was computed.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Seen {
    mtime: i64,
    nanoseconds: i64,
    size: u64,
    inode: u64,
}

#[derive(Default)]
struct State {
    dir: Option<PathBuf>,
    sums: HashMap<String, (Seen, String)>,
    new_sums: HashMap<String, (Seen, String)>,
    /// Files whose sum was checked in this process: a file does not change during a build.
    checked: HashMap<String, String>,
    revisions: HashMap<String, String>,
    new_revisions: HashMap<String, String>,
    /// Revisions as they were when the server started.
    saved: Option<HashMap<String, String>>,
}

static STATE: LazyLock<Mutex<State>> = LazyLock::new(Mutex::default);

fn state() -> MutexGuard<'static, State> {
    STATE.lock().unwrap_or_else(|e| e.into_inner())
}

/// MD5 of a file, from the cache if the file is as it was.
///
/// # Errors
/// The file cannot be read.
pub fn file_md5(path: &str) -> std::io::Result<String> {
    let clean = normal(path);
    if let Some(sum) = state().checked.get(&clean) {
        return Ok(sum.clone());
    }
    let meta = std::fs::metadata(&clean)?;
    let seen = Seen { mtime: meta.mtime(), nanoseconds: meta.mtime_nsec(), size: meta.len(), inode: meta.ino() };
    let known = state().sums.get(&clean).filter(|(s, _)| *s == seen).map(|(_, sum)| sum.clone());
    let sum = match known {
        Some(sum) => sum,
        None => {
            let sum = md5_file(&clean)?;
            state().new_sums.insert(clean.clone(), (seen, sum.clone()));
            sum
        }
    };
    state().checked.insert(clean, sum.clone());
    Ok(sum)
}

/// `os.path.normpath` of an absolute path.
pub(crate) fn normal(path: &str) -> String {
    if !path.contains("/.") && !path.contains("//") && !path.ends_with('/') {
        return path.to_owned();
    }
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|p| *p != "..") => drop(parts.pop()),
            ".." if path.starts_with('/') => {}
            _ => parts.push(part),
        }
    }
    format!("{}{}", if path.starts_with('/') { "/" } else { "" }, parts.join("/"))
}

/// Forgets that files were checked: between commands of a server that stays.
pub fn forget_checked() {
    state().checked.clear();
}

pub fn revision(key: &str) -> Option<String> {
    let s = state();
    s.new_revisions.get(key).or_else(|| s.revisions.get(key)).cloned()
}
pub fn set_revision(key: &str, revision: &str) {
    let mut s = state();
    s.revisions.insert(key.into(), revision.into());
    s.new_revisions.insert(key.into(), revision.into());
}
pub fn revisions() -> HashMap<String, String> {
    state().revisions.clone()
}

/// `fetcher_init`: opens the caches in `dir` (BB_CACHEDIR). In the server, `policy`
/// (BB_SRCREV_POLICY) decides whether revisions are kept.
///
/// # Errors
/// The policy is neither `clear` nor `cache`.
pub fn open(dir: Option<&str>, server: bool, policy: &str) -> Result<()> {
    if let Some(dir) = dir.filter(|d| !d.is_empty()) {
        files::mkdir(dir)?;
        let mut s = state();
        s.dir = Some(dir.into());
        if let Some(data) = read(&Path::new(dir).join(SUMS_FILE)) {
            s.sums = data.iter().filter_map(|(k, v)| Some((k.clone(), sum_entry(v)?))).collect();
        }
        if let Some(data) = read(&Path::new(dir).join(REVISIONS_FILE)) {
            s.revisions = data.iter().filter_map(|(k, v)| Some((k.clone(), v.as_str()?.to_owned()))).collect();
        }
    }
    if !server {
        return Ok(());
    }
    let mut s = state();
    if s.saved.as_ref().is_none_or(HashMap::is_empty) {
        s.saved = Some(s.revisions.clone());
    }
    match policy {
        "cache" => {}
        "clear" => {
            s.revisions.clear();
            s.new_revisions.clear();
            if let Some(dir) = &s.dir {
                let _ = std::fs::remove_file(dir.join(REVISIONS_FILE));
            }
        }
        other => return Err(FetchError::new(format!("Invalid SRCREV cache policy of: {other}"))),
    }
    Ok(())
}

/// Have revisions changed since the server started (`--revisions-changed`)?
pub fn revisions_changed() -> bool {
    let s = state();
    s.saved.clone().unwrap_or_default() != s.revisions
}

/// `fetcher_parse_save`: a parsing process leaves what it learned.
///
/// # Errors
/// The cache directory cannot be written.
pub fn save_extras() -> Result<()> {
    let mut s = state();
    let Some(dir) = s.dir.clone() else { return Ok(()) };
    let pid = std::process::id();
    if !s.new_sums.is_empty() {
        let data = s.new_sums.iter().map(|(k, v)| (k.clone(), sum_value(v))).collect();
        write(&dir.join(format!("{SUMS_FILE}-{pid}")), data)?;
        let new = std::mem::take(&mut s.new_sums);
        s.sums.extend(new);
    }
    if !s.new_revisions.is_empty() {
        let data = s.new_revisions.iter().map(|(k, v)| (k.clone(), json!(v))).collect();
        write(&dir.join(format!("{REVISIONS_FILE}-{pid}")), data)?;
    }
    Ok(())
}

/// `fetcher_parse_done`: merges what all processes left.
///
/// # Errors
/// The cache directory cannot be written.
pub fn merge() -> Result<()> {
    let mut s = state();
    let Some(dir) = s.dir.clone() else { return Ok(()) };
    let (mut sums, mut revisions) = (false, false);
    for entry in std::fs::read_dir(&dir).map_err(|e| FetchError::io(&e, dir.to_string_lossy()))?.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_part = |file: &str| name.strip_prefix(file).and_then(|n| n.strip_prefix('-')).is_some_and(|n| n.parse::<u32>().is_ok());
        let (is_sums, is_revisions) = (is_part(SUMS_FILE), is_part(REVISIONS_FILE));
        if !is_sums && !is_revisions {
            continue;
        }
        if let Some(data) = read(&entry.path()) {
            if is_sums {
                sums = true;
                s.sums.extend(data.iter().filter_map(|(k, v)| Some((k.clone(), sum_entry(v)?))));
            } else {
                revisions = true;
                s.revisions.extend(data.iter().filter_map(|(k, v)| Some((k.clone(), v.as_str()?.to_owned()))));
            }
        }
        let _ = std::fs::remove_file(entry.path());
    }
    if sums {
        write(&dir.join(SUMS_FILE), s.sums.iter().map(|(k, v)| (k.clone(), sum_value(v))).collect())?;
    }
    if revisions {
        write(&dir.join(REVISIONS_FILE), s.revisions.iter().map(|(k, v)| (k.clone(), json!(v))).collect())?;
    }
    Ok(())
}

fn sum_value((seen, sum): &(Seen, String)) -> Value {
    json!([seen.mtime, seen.nanoseconds, seen.size, seen.inode, sum])
}
fn sum_entry(v: &Value) -> Option<(Seen, String)> {
    let seen = Seen {
        mtime: v.get(0)?.as_i64()?,
        nanoseconds: v.get(1)?.as_i64()?,
        size: v.get(2)?.as_u64()?,
        inode: v.get(3)?.as_u64()?,
    };
    Some((seen, v.get(4)?.as_str()?.to_owned()))
}
fn read(path: &Path) -> Option<Map<String, Value>> {
    let mut value: Value = serde_json::from_slice(&std::fs::read(path).ok()?).ok()?;
    if value.get("version")?.as_u64()? != u64::from(VERSION) {
        return None;
    }
    match value.get_mut("data")?.take() {
        Value::Object(map) => Some(map),
        _ => None,
    }
}
fn write(path: &Path, data: Map<String, Value>) -> Result<()> {
    let text = serde_json::to_vec(&json!({ "version": VERSION, "data": data })).map_err(|e| FetchError::new(e.to_string()))?;
    files::write_beside(&path.to_string_lossy(), &text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normal_paths() {
        assert_eq!(normal("/a/./b//c/../d/"), "/a/b/d");
        assert_eq!(normal("/a/b"), "/a/b");
    }

    #[test]
    fn remembers_across_processes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().to_str().unwrap();
        assert!(open(Some(path), true, "nonsense").is_err());
        open(Some(path), true, "cache").unwrap();
        let file = dir.path().join("f");
        std::fs::write(&file, "hello\n").unwrap();
        assert_eq!(file_md5(file.to_str().unwrap()).unwrap(), "b1946ac92492d2347c6235b4d2611184");
        set_revision("git:x", "abc");
        save_extras().unwrap();
        merge().unwrap();
        assert!(dir.path().join(SUMS_FILE).exists());
        state().sums.clear();
        state().revisions.clear();
        open(Some(path), false, "").unwrap();
        assert!(state().sums.len() == 1 && revisions()["git:x"] == "abc");
    }
}
