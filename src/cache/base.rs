//! What recipes were made from besides files: the configuration. Not all of it counts for each of them, only
//! the variables it read.

use hz_data::{Fingerprint, ReadSet};
use rustc_hash::FxHashMap;

/// What a cache file's recipes were parsed with.
#[derive(Clone, Debug, Default, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
pub struct Base {
    /// What counts for all recipes whatever they read: another one makes the whole file invalid.
    pub key: String,
    /// Per multiconfig (empty for the default one) all variables: hash of the name, of the record, and
    /// whether the name is looked for in ways that reading does not show.
    pub variables: Vec<(String, Vec<(u64, u64, bool)>)>,
    /// What was read once for all recipes ([`ReadSet::words`]).
    pub common: Vec<u64>,
}

impl Base {
    pub fn new(key: String, variables: impl IntoIterator<Item = (String, Vec<Fingerprint>)>, common: &ReadSet) -> Base {
        let plain = |all: Vec<Fingerprint>| all.into_iter().map(|f| (f.name, f.record, f.hidden)).collect();
        Base { key, variables: variables.into_iter().map(|(mc, all)| (mc, plain(all))).collect(), common: common.words().to_vec() }
    }
}

/// How two configurations differ, for the recipes of one multiconfig.
#[derive(Clone, Debug, Default)]
pub(crate) struct Changes {
    /// Nothing can be kept.
    all: bool,
    /// Hashes of the names of variables that changed.
    names: Vec<u64>,
}

impl Changes {
    /// Does what was made by reading `reads` still count?
    pub fn spare(&self, reads: &ReadSet) -> bool {
        !self.all && !self.names.iter().any(|name| reads.has(*name))
    }
    pub fn is_empty(&self) -> bool {
        !self.all && self.names.is_empty()
    }
}

/// What changed between `then` and `now`, per multiconfig. None: the files of the one are of no use to the other.
pub(crate) fn changes(then: &ArchivedBase, now: &Base) -> Option<FxHashMap<String, Changes>> {
    if then.key != now.key || then.variables.len() != now.variables.len() {
        return None;
    }
    let common = ReadSet::from_words(then.common.iter().map(|word| word.to_native()));
    let mut found = FxHashMap::default();
    for (before, (mc, after)) in then.variables.iter().zip(&now.variables) {
        if before.0 != *mc {
            return None;
        }
        let mut changes = Changes::default();
        let mut changed = |(name, hidden): (u64, bool)| {
            changes.all |= hidden || common.has(name);
            changes.names.push(name);
        };
        let mut old: FxHashMap<u64, (u64, bool)> = before.1.iter().map(|v| (v.0.to_native(), (v.1.to_native(), v.2))).collect();
        for (name, record, hidden) in after {
            match old.remove(name) {
                Some((then, _)) if then == *record => {}
                Some((_, was_hidden)) => changed((*name, *hidden || was_hidden)),
                None => changed((*name, *hidden)),
            }
        }
        old.into_iter().for_each(|(name, (_, hidden))| changed((name, hidden)));
        found.insert(mc.clone(), changes);
    }
    Some(found)
}
