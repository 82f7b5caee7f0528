//! Files on disk as parsing sees them: searching along path lists, what a store depends on, and
//! names that file names imply.

use crate::error::{Error, Result};
use hz_data::{DataStore, SetInfo, Value};
use hz_diagnostics::Str;
use hz_versions::paths::{absolute, cwd, join};
use parking_lot::Mutex;
use rustc_hash::{FxHashMap, FxHashSet};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Arc, LazyLock};

/// What identifies a file's state without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Stat {
    /// Nanoseconds since the epoch.
    pub mtime_ns: i64,
    /// Bytes.
    pub size: u64,
    pub inode: u64,
}

impl Stat {
    pub fn of(path: &str) -> std::io::Result<Stat> {
        let m = std::fs::metadata(path)?;
        Ok(Stat {
            mtime_ns: m.mtime().saturating_mul(1_000_000_000).saturating_add(m.mtime_nsec()),
            size: m.size(),
            inode: m.ino(),
        })
    }
}

/// Something a recipe was made from: a file that was read, or a path that was looked at and did
/// not exist (`stat` is `None`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dependency {
    pub path: Str,
    pub stat: Option<Stat>,
}

/// Where a search along a path list ended, and every path it tried.
pub(crate) struct Search {
    pub found: Option<Str>,
    pub tried: Vec<Str>,
}

#[derive(Default)]
struct Caches {
    stats: FxHashMap<Str, Stat>,
    searches: FxHashMap<(Str, Str), Arc<Search>>,
}

static CACHES: LazyLock<Mutex<Caches>> = LazyLock::new(Default::default);

/// Forgets what is known of the file system: to be called whenever it may have changed, at the
/// latest before the configuration is parsed or caches are checked again.
pub fn clear_caches() {
    *CACHES.lock() = Caches::default();
    DEPENDS.with_borrow_mut(|d| *d = None);
}

/// State of a file, remembered until [`clear_caches`] once it existed.
pub fn cached_stat(path: &str) -> Option<Stat> {
    if let Some(stat) = CACHES.lock().stats.get(path) {
        return Some(*stat);
    }
    let stat = Stat::of(path).ok()?;
    CACHES.lock().stats.insert(path.into(), stat);
    Some(stat)
}

/// `bb.utils.which` with its history; remembered until [`clear_caches`].
pub(crate) fn search(path: &Str, item: &str) -> Arc<Search> {
    let key = (path.clone(), Str::from(item));
    if let Some(hit) = CACHES.lock().searches.get(&key) {
        return hit.clone();
    }
    let (found, tried) = hz_versions::which(path, item, false, false);
    let search =
        Arc::new(Search { found: found.map(Into::into), tried: tried.into_iter().map(Into::into).collect() });
    CACHES.lock().searches.insert(key, search.clone());
    search
}

pub(crate) fn exists(path: &str) -> bool {
    Path::new(path).exists()
}

/// For variables that no output shows, so that nothing need be remembered of them.
pub(crate) fn unseen() -> SetInfo {
    SetInfo { ignore: true, ..SetInfo::default() }
}

/// The list in a variable, unexpanded; empty when there is none.
pub(crate) fn list(store: &DataStore, name: &str) -> Arc<Vec<Value>> {
    match store.get_raw(name) {
        Some(Value::List(l)) => l,
        _ => Arc::default(),
    }
}

fn depend_value(path: &Str) -> Value {
    let stat = match cached_stat(path) {
        Some(s) => Value::List(Arc::new(vec![
            Value::Int(s.mtime_ns),
            Value::Int(s.size as i64),
            Value::Int(s.inode as i64),
        ])),
        None => Value::Int(0),
    };
    Value::List(Arc::new(vec![Value::Str(path.clone()), stat]))
}

fn depend_path(value: &Value) -> Option<&Str> {
    match value {
        Value::List(l) => l.first()?.as_str(),
        _ => None,
    }
}

thread_local! {
    /// The list last written and the paths in it, so that a long list is not searched per path.
    static DEPENDS: std::cell::RefCell<Option<(Arc<Vec<Value>>, FxHashSet<Str>)>> =
        const { std::cell::RefCell::new(None) };
}

fn with_depends<T>(store: &DataStore, f: impl FnOnce(&Arc<Vec<Value>>, &mut FxHashSet<Str>) -> T) -> T {
    let now = list(store, "__depends");
    let known = DEPENDS.with_borrow_mut(Option::take);
    let mut paths = match known {
        Some((l, paths)) if Arc::ptr_eq(&l, &now) && !now.is_empty() => paths,
        _ => now.iter().filter_map(depend_path).cloned().collect(),
    };
    let result = f(&now, &mut paths);
    let after = list(store, "__depends");
    DEPENDS.with_borrow_mut(|d| *d = Some((after, paths)));
    result
}

/// Adds paths, existing or not, to what the store depends on (`__depends`).
pub(crate) fn mark_all<'a>(store: &DataStore, paths: impl IntoIterator<Item = &'a Str>) -> Result<()> {
    with_depends(store, |now, known| {
        let mut added: Vec<Value> = Vec::new();
        for path in paths {
            let path: Str = match path.strip_prefix("./") {
                Some(rest) => join(&cwd(), rest).into(),
                None => path.clone(),
            };
            if known.insert(path.clone()) {
                added.push(depend_value(&path));
            }
        }
        if added.is_empty() {
            return Ok(());
        }
        let mut all = Vec::with_capacity(now.len() + added.len());
        all.extend_from_slice(now);
        all.append(&mut added);
        store.set_var("__depends", Value::List(Arc::new(all)), &unseen())?;
        Ok(())
    })
}

/// `bb.parse.mark_dependency`: adds one path.
pub fn mark_dependency(store: &DataStore, path: &str) -> Result<()> {
    mark_all(store, [&Str::from(path)])
}

/// Is the path among what the store depends on?
pub fn check_dependency(store: &DataStore, path: &str) -> bool {
    with_depends(store, |_, known| known.contains(path))
}

fn read_depends(store: &DataStore, name: &str) -> Vec<Dependency> {
    list(store, name)
        .iter()
        .filter_map(|v| {
            let Value::List(pair) = v else { return None };
            let path = pair.first()?.as_str()?.clone();
            let stat = match pair.get(1) {
                Some(Value::List(s)) => match (s.first(), s.get(1), s.get(2)) {
                    (Some(&Value::Int(m)), Some(&Value::Int(size)), Some(&Value::Int(inode))) => {
                        Some(Stat { mtime_ns: m, size: size as u64, inode: inode as u64 })
                    }
                    _ => None,
                },
                _ => None,
            };
            Some(Dependency { path, stat })
        })
        .collect()
}

/// What the store was made from: the configuration's files (`base` true) or its own.
pub fn dependencies(store: &DataStore, base: bool) -> Vec<Dependency> {
    read_depends(store, if base { "__base_depends" } else { "__depends" })
}

/// `bb.parse.get_file_depends`: all of them, absolute, separated by blanks (`BBINCLUDED`).
pub fn file_depends(store: &DataStore) -> String {
    let mut out = String::new();
    for name in ["__base_depends", "__depends"] {
        for v in list(store, name).iter() {
            if let Some(path) = depend_path(v) {
                if !out.is_empty() {
                    out.push(' ');
                }
                let clean = path.starts_with('/')
                    && !path.contains("//")
                    && !path.contains("/.")
                    && (path.len() == 1 || !path.ends_with('/'));
                if clean { out.push_str(path) } else { out.push_str(&absolute(path)) }
            }
        }
    }
    out
}

/// `bb.parse.resolve_file`: the path of a file to be read, searched along BBPATH if relative. All
/// paths tried become dependencies.
///
/// # Errors
/// [`Error::File`] when there is no such regular file.
pub fn resolve_file(file: &str, store: &DataStore) -> Result<Str> {
    let not_found = |message: String| Error::File {
        not_found: true,
        message: format!("[Errno 2] {message}"),
        reason: message,
    };
    let path: Str = if file.starts_with('/') {
        let path = Str::from(file);
        mark_all(store, [&path])?;
        path
    } else {
        let bbpath = store.get("BBPATH")?;
        let search = search(&bbpath.clone().unwrap_or_else(|| "".into()), file);
        mark_all(store, &search.tried)?;
        match &search.found {
            Some(path) => path.clone(),
            None => {
                let shown = bbpath.as_deref().unwrap_or("None");
                return Err(not_found(format!("file {file} not found in {shown}")));
            }
        }
    };
    if !Path::new(&*path).is_file() {
        return Err(not_found(format!("file {path} not found")));
    }
    Ok(path)
}

/// `bb.parse.vars_from_file`: PN, PV and PR as the name of a recipe or append implies them.
///
/// # Errors
/// More than three parts between underscores.
pub fn vars_from_file(file: &str) -> Result<[Option<Str>; 3]> {
    if !file.ends_with(".bb") && !file.ends_with(".bbappend") {
        return Ok([None, None, None]);
    }
    let (root, _) = hz_syntax::split_ext(hz_syntax::base_name(file));
    let mut parts = root.split('_').map(Str::from);
    let vars = [parts.next(), parts.next(), parts.next()];
    if parts.next().is_some() {
        return Err(Error::parse(
            "Unable to generate default variables from filename (too many underscores)",
            file,
            0,
        ));
    }
    Ok(vars)
}
