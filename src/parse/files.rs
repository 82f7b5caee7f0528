//! Which recipe files there are: BBFILES, BBMASK, appends and overlaid recipes of one multiconfig.

use crate::collections::Collection;
use crate::error::{Result, level};
use crate::origins;
use fancy_regex::Regex;
use hz_data::{DataStore, SetInfo};
use hz_diagnostics::Str;
use hz_syntax::base_name;
use hz_versions::glob::glob;
use hz_versions::paths::{absolute, cwd, join};
use indexmap::IndexMap;
use rustc_hash::{FxHashMap, FxHashSet};
use std::path::Path;

/// What [`FileCollector::collect`] found.
#[derive(Clone, Debug, Default)]
pub struct Collected {
    /// Recipes in the order of BBFILES by priority.
    pub files: Vec<String>,
    /// Files that BBMASK hides, appends included.
    pub masked: usize,
    /// Directories whose content decided the result.
    pub searched: Vec<String>,
    /// BBFILES names nothing at all; the user has been told.
    pub nowhere: bool,
}

/// The recipe files of one multiconfig.
pub struct FileCollector {
    mc: Str,
    /// The pattern that sorts last first: nested layers come before the layers around them.
    collections: Vec<Collection>,
    /// Name of the recipe it wants (with `%`), path.
    appends: Vec<(String, String)>,
    /// Recipe -> those of the same name that it hides, lowest priority last.
    pub overlayed: IndexMap<String, Vec<String>>,
}

impl FileCollector {
    pub fn new(collections: &[Collection], mc: &str) -> FileCollector {
        let mut collections = collections.to_vec();
        collections.sort_by(|a, b| b.pattern.cmp(&a.pattern));
        FileCollector { mc: mc.into(), collections, appends: Vec::new(), overlayed: IndexMap::new() }
    }

    /// A second view of the same files.
    pub fn copy(&self) -> FileCollector {
        FileCollector {
            mc: self.mc.clone(),
            collections: self.collections.clone(),
            appends: self.appends.clone(),
            overlayed: self.overlayed.clone(),
        }
    }

    /// The collection that a file belongs to. None: priority 0, no layer.
    pub fn collection(&self, file: &str) -> Option<&Collection> {
        self.collections.iter().find(|c| c.matches(file))
    }

    /// Priority of a file and the name of its layer.
    pub fn priority(&self, file: &str) -> (i64, Option<&Str>) {
        self.collection(file).map_or((0, None), |c| (c.priority, Some(&c.name)))
    }

    /// Finds all recipes and appends of the configuration; sets BBFILES_PRIORITIZED.
    pub fn collect(&mut self, config: &DataStore) -> Result<Collected> {
        let runtime = config.runtime();
        let log = |lvl, message: &str| runtime.log(lvl, "Collection", message);
        let bbfiles = config.get_or_empty("BBFILES")?;
        let mut entries: Vec<String> = hz_versions::words(&bbfiles).map(Into::into).collect();
        entries.sort_by_cached_key(|entry| self.priority(entry).0);
        config.set_var("BBFILES_PRIORITIZED", entries.join(" "), &SetInfo::internal(origins::PRIORITIZED))?;
        if entries.is_empty() {
            entries = recipes_here();
        }
        let mut out = Collected { nowhere: entries.is_empty(), ..Collected::default() };
        if out.nowhere {
            log(level::ERROR, "no recipe files to build, check your BBPATH and BBFILES?");
        }

        let mut seen: FxHashSet<String> = FxHashSet::default();
        let mut found: Vec<String> = Vec::new();
        for entry in entries {
            let files = if Path::new(&entry).is_dir() {
                walk(&entry, &mut out.searched)
            } else {
                let mut files = glob(&entry, &mut out.searched);
                if files.is_empty() && Path::new(&entry).exists() {
                    files.push(entry);
                }
                files.sort();
                files
            };
            for file in files {
                if seen.insert(file.clone()) {
                    found.push(file);
                }
            }
        }

        let mask = self.mask(config)?;
        self.appends.clear();
        self.overlayed.clear();
        for file in found {
            if mask.as_ref().is_some_and(|m| m.is_match(&file).unwrap_or(false)) {
                log(level::DEBUG, &format!("skipping masked file {file}"));
                out.masked += 1;
            } else if file.ends_with(".bb") {
                out.files.push(file);
            } else if file.ends_with(".bbappend") {
                self.appends.push((base_name(&file).replace(".bbappend", ".bb"), file));
            } else {
                log(level::DEBUG, &format!("skipping {file}: unknown file extension"));
            }
        }
        let mut top: FxHashMap<&str, &String> = FxHashMap::default();
        for file in out.files.iter().rev() {
            match top.get(base_name(file)) {
                None => {
                    top.insert(base_name(file), file);
                }
                Some(first) => self.overlayed.entry((*first).clone()).or_default().push(file.clone()),
            }
        }
        Ok(out)
    }

    /// One expression of all valid masks.
    fn mask(&self, config: &DataStore) -> Result<Option<Regex>> {
        let runtime = config.runtime();
        let log = |lvl, message: &str| runtime.log(lvl, "Collection", message);
        let masks = config.get_or_empty("BBMASK")?;
        if masks.is_empty() {
            return Ok(None);
        }
        let mut valid = Vec::new();
        for mut mask in hz_versions::words(&masks) {
            if let Some(rest) = mask.strip_prefix('|') {
                log(
                    level::WARNING,
                    &format!("BBMASK contains regular expression beginning with '|', fixing: {mask}"),
                );
                mask = rest;
            }
            if Regex::new(mask).is_ok() {
                valid.push(mask);
            } else {
                log(level::CRITICAL, &format!("BBMASK contains an invalid regular expression, ignoring: {mask}"));
            }
        }
        let joined = valid.join("|");
        if joined.is_empty() {
            // No valid expression is left, and an empty one would hide everything.
            return Ok(None);
        }
        let regex = Regex::new(&joined).ok();
        if regex.is_none() {
            log(level::CRITICAL, &format!("BBMASK is not a valid regular expression, ignoring: {joined}"));
        }
        Ok(regex)
    }

    /// All appends: the recipe name each wants (may hold `%`) and its path.
    pub fn appends(&self) -> &[(String, String)] {
        &self.appends
    }

    /// The appends that apply to a recipe, in order.
    pub fn appends_of(&self, recipe: &str) -> Vec<String> {
        let name = base_name(recipe);
        self.appends
            .iter()
            .filter(|(wants, _)| {
                wants == name
                    || wants.find('%').is_some_and(|at| {
                        // As the reference: as much of the recipe's name as stands before the `%`.
                        let at = wants[..at].chars().count();
                        let head: String = name.chars().take(at).collect();
                        wants.starts_with(&head)
                    })
            })
            .map(|(_, path)| path.clone())
            .collect()
    }

    /// Priority of each recipe (given as `[virtual:…:]PATH`); warns of collections without files.
    /// `all` are the recipe files found, skipped ones included.
    pub fn priorities(
        &self, recipes: &[Str], all: &[String], config: &DataStore,
    ) -> Result<IndexMap<Str, i64>> {
        let mut out = IndexMap::new();
        let mut used = vec![false; self.collections.len()];
        let mut matched: FxHashSet<&str> = FxHashSet::default();
        for recipe in recipes {
            let file = crate::recipe::realfn(recipe).0;
            match self.collections.iter().position(|c| c.matches(file)) {
                Some(i) => {
                    out.insert(recipe.clone(), self.collections[i].priority);
                    used[i] = true;
                    matched.insert(file);
                }
                None => {
                    out.insert(recipe.clone(), 0);
                }
            }
        }
        // Appends and skipped recipes make a pattern count as used, unless they belong to another.
        let rest: Vec<&str> = self
            .appends
            .iter()
            .map(|a| a.1.as_str())
            .chain(all.iter().map(String::as_str))
            .filter(|f| !matched.contains(f))
            .collect();
        let matched_by: Vec<usize> = (0..used.len()).filter(|&i| used[i]).collect();
        for (i, collection) in self.collections.iter().enumerate() {
            if used[i]
                || rest.iter().any(|f| {
                    collection.matches(f) && !matched_by.iter().any(|&m| self.collections[m].matches(f))
                })
            {
                continue;
            }
            let ignore = config.get(&format!("BBFILE_PATTERN_IGNORE_EMPTY_{}", collection.name))?;
            if ignore.as_deref() != Some("1") {
                let mc = if self.mc.is_empty() { "default" } else { &self.mc };
                config.runtime().log(
                    level::WARNING,
                    "Collection",
                    &format!(
                        "No bb files in {mc} matched BBFILE_PATTERN_{} '{}'",
                        collection.name, collection.pattern
                    ),
                );
            }
        }
        Ok(out)
    }
}

/// Recipes of the current directory, for a configuration without BBFILES.
fn recipes_here() -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(cwd()) else { return Vec::new() };
    let mut out: Vec<String> = entries
        .flatten()
        .filter_map(|e| e.file_name().into_string().ok())
        .filter(|n| n.ends_with(".bb"))
        .map(|n| absolute(&n))
        .collect();
    out.sort();
    out
}

/// Recipes and appends in a directory and below; version control directories are left out.
fn walk(dir: &str, searched: &mut Vec<String>) -> Vec<String> {
    searched.push(dir.to_string());
    let mut names: Vec<(String, bool)> = std::fs::read_dir(dir)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|e| {
            let path = e.path();
            // Links to directories are listed but not entered.
            let is_dir = path.is_dir();
            let enter = is_dir && !path.is_symlink();
            let name = e.file_name().into_string().ok()?;
            (!is_dir || enter).then_some((name, is_dir))
        })
        .collect();
    names.sort();
    let mut out: Vec<String> = names
        .iter()
        .filter(|(n, is_dir)| !is_dir && (n.ends_with(".bb") || n.ends_with(".bbappend")))
        .map(|(n, _)| join(dir, n))
        .collect();
    for (name, is_dir) in &names {
        if *is_dir && !matches!(&**name, "SCCS" | "CVS" | ".svn") {
            out.extend(walk(&join(dir, name), searched));
        }
    }
    out
}
