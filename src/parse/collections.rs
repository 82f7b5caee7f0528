//! Layers as collections: BBFILE_COLLECTIONS with their patterns, priorities and dependencies.

use crate::error::{Error, Result, fatal, level, log};
use hz_versions::glob::fnmatch;
use fancy_regex::Regex;
use hz_data::DataStore;
use hz_diagnostics::Str;
use hz_versions::{explode_dep_versions2, vercmp_string_op};
use indexmap::IndexMap;

/// A layer's collection.
#[derive(Clone, Debug)]
pub struct Collection {
    pub name: Str,
    /// BBFILE_PATTERN as written; empty matches nothing.
    pub pattern: Str,
    regex: Regex,
    pub priority: i64,
}

impl Collection {
    /// None: the expression is not a valid one.
    pub fn new(name: &str, pattern: &str, expression: &str, priority: i64) -> Option<Collection> {
        Some(Collection { name: name.into(), pattern: pattern.into(), regex: start_regex(expression)?, priority })
    }
    /// Python's `re.match`: at the start of the path.
    pub fn matches(&self, path: &str) -> bool {
        self.regex.is_match(path).unwrap_or(false)
    }
}

/// An expression that must match from the start on.
pub(crate) fn start_regex(pattern: &str) -> Option<Regex> {
    Regex::new(&format!(r"\A(?:{pattern})")).ok()
}

thread_local! {
    /// Expressions of [`file_layer`]: few, and asked for with thousands of files.
    static COMPILED: std::cell::RefCell<rustc_hash::FxHashMap<Str, Option<Regex>>> = Default::default();
}

/// Does an expression match from the start of a path on? One that does not compile never does.
fn starts_with_match(pattern: &Str, path: &str) -> bool {
    COMPILED.with_borrow_mut(|known| {
        let regex = known.entry(pattern.clone()).or_insert_with(|| start_regex(pattern));
        regex.as_ref().is_some_and(|r| r.is_match(path).unwrap_or(false))
    })
}

/// Priorities of all collections, worked out from LAYERDEPENDS where BBFILE_PRIORITY is not set.
///
/// # Errors
/// Told in full: missing layers, versions that do not fit, bad patterns.
pub fn handle_collections(store: &DataStore) -> Result<Vec<Collection>> {
    let names = store.get_or_empty("BBFILE_COLLECTIONS")?;
    let names: Vec<&str> = hz_versions::words(&names).collect();
    let mut errors = false;
    let mut lowest = 0;
    let mut priorities: IndexMap<&str, Option<i64>> = IndexMap::new();
    let mut depends: IndexMap<&str, Vec<String>> = IndexMap::new();
    let error = |message: String| log(store, level::ERROR, &message);
    for &c in &names {
        let text = store.get_or_empty(&format!("BBFILE_PRIORITY_{c}"))?;
        let mut priority = None;
        if !text.is_empty() {
            match text.trim().parse::<i64>() {
                Ok(p) => {
                    if lowest == 0 || p < lowest {
                        lowest = p;
                    }
                    priority = Some(p);
                }
                Err(_) => {
                    error(format!("invalid value for BBFILE_PRIORITY_{c}: \"{text}\""));
                    errors = true;
                }
            }
        }
        priorities.insert(c, priority);
        let mut needs = Vec::new();
        let bad = |kind: &str, e: hz_versions::VersionError| fatal(store, &format!("Error parsing {kind}_{c}: {e}"));
        let text = store.get_or_empty(&format!("LAYERDEPENDS_{c}"))?;
        for (dep, demands) in explode_dep_versions2(&text, true).map_err(|e| bad("LAYERDEPENDS", e))? {
            if names.contains(&&*dep) {
                for demand in &demands {
                    let present = store.get_or_empty(&format!("LAYERVERSION_{dep}"))?;
                    let (op, wanted) = demand.split_once(' ').unwrap_or((demand, ""));
                    if present.is_empty() {
                        error(format!(
                            "Layer '{c}' depends on version {demand} of layer '{dep}', which exists in your \
                             configuration but does not specify a version. Check that you are using the correct \
                             matching versions/branches of these two layers."
                        ));
                        errors = true;
                    } else if !vercmp_string_op(&present, wanted.trim(), op).map_err(|e| bad("LAYERDEPENDS", e))? {
                        error(format!(
                            "Layer '{c}' depends on version {demand} of layer '{dep}', but version {present} is \
                             currently enabled in your configuration. Check that you are using the correct matching \
                             versions/branches of these two layers."
                        ));
                        errors = true;
                    }
                }
            } else {
                error(format!(
                    "Layer '{c}' depends on layer '{dep}', but this layer is not enabled in your configuration"
                ));
                errors = true;
            }
            needs.push(dep);
        }
        let text = store.get_or_empty(&format!("LAYERRECOMMENDS_{c}"))?;
        for (rec, demands) in explode_dep_versions2(&text, true).map_err(|e| bad("LAYERRECOMMENDS", e))? {
            if !names.contains(&&*rec) {
                continue;
            }
            if let Some(demand) = demands.first() {
                let present = store.get_or_empty(&format!("LAYERVERSION_{rec}"))?;
                let (op, wanted) = demand.split_once(' ').unwrap_or((demand, ""));
                if present.is_empty()
                    || !vercmp_string_op(&present, wanted.trim(), op).map_err(|e| bad("LAYERRECOMMENDS", e))?
                {
                    continue;
                }
            }
            needs.push(rec);
        }
        depends.insert(c, needs);
    }

    let mut out = Vec::new();
    for &c in &names {
        let priority = priority(c, lowest, &mut priorities, &depends, 0)?;
        let Some(pattern) = store.get(&format!("BBFILE_PATTERN_{c}"))? else {
            error(format!("BBFILE_PATTERN_{c} not defined"));
            errors = true;
            continue;
        };
        let regex = if pattern.is_empty() {
            // The reference forgives all errors so far here.
            errors = false;
            start_regex("^NULL$")
        } else {
            start_regex(&pattern)
        };
        match regex {
            Some(regex) => out.push(Collection { name: c.into(), pattern, regex, priority }),
            None => {
                error(format!("BBFILE_PATTERN_{c} \"{pattern}\" is not a valid regular expression"));
                errors = true;
            }
        }
    }
    if errors {
        // Each was told; the reference's exception has a text that nobody sees.
        return Err(Error::Handled);
    }
    Ok(out)
}

fn priority<'a>(
    name: &'a str, lowest: i64, priorities: &mut IndexMap<&'a str, Option<i64>>,
    depends: &'a IndexMap<&str, Vec<String>>, depth: usize,
) -> Result<i64> {
    if depth > depends.len() {
        return Err(Error::Other(format!("Layer '{name}' depends on itself through LAYERDEPENDS")));
    }
    if let Some(Some(p)) = priorities.get(name)
        && *p != 0
    {
        return Ok(*p);
    }
    let mut highest = lowest;
    for dep in depends.get(name).into_iter().flatten() {
        if depends.contains_key(&**dep) {
            highest = highest.max(priority(dep, lowest, priorities, depends, depth + 1)?);
        }
    }
    priorities.insert(name, Some(highest + 1));
    Ok(highest + 1)
}

/// `bb.utils.get_file_layer`: the collection a file belongs to, by the BBFILES entry that matches
/// it or else by its path; the longest pattern wins.
pub fn file_layer(file: &str, store: &DataStore) -> Result<Option<String>> {
    let names = store.get_or_empty("BBFILE_COLLECTIONS")?;
    let mut patterns = Vec::new();
    for name in hz_versions::words(&names) {
        patterns.push((name, store.get_or_empty(&format!("BBFILE_PATTERN_{name}"))?));
    }
    let entries = store.get_or_empty("BBFILES_PRIORITIZED")?;
    let path = hz_versions::words(&entries).find(|entry| fnmatch(file, entry)).unwrap_or(file);
    let mut best: Option<(&str, usize)> = None;
    for (name, pattern) in &patterns {
        let length = pattern.chars().count();
        if length > best.map_or(0, |b| b.1) && starts_with_match(pattern, path) {
            best = Some((name, length));
        }
    }
    Ok(best.map(|(name, _)| name.to_string()))
}
