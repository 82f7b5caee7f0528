//! What the functions that `addpylib` made known add to hashes.

use crate::deps::SignatureError;
use hz_data::{DataStore, LibFunction, Read};
use hz_diagnostics::Str;
use rustc_hash::{FxHashMap, FxHashSet};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};

/// One library function, `namespace.module.function`.
#[derive(Debug, Default)]
pub(crate) struct LibraryEntry {
    pub references: Vec<Str>,
    pub execs: Vec<Str>,
    pub contains: BTreeMap<Str, BTreeSet<Str>>,
    /// SHA-256 of as many newlines as its line number says, and its source.
    pub value: Str,
}

/// Every library function of a configuration.
#[derive(Debug, Default)]
pub struct LibrarySignatures {
    /// Tells these from others; 0: there are none.
    pub(crate) id: u64,
    pub(crate) functions: FxHashMap<Str, LibraryEntry>,
}

impl LibrarySignatures {
    /// Scans `functions`, in the order in which `addpylib` met them (a visitor counts for what
    /// comes after it). `base` is the configuration: `vardepsexclude` flags set on a dotted name
    /// take references and calls away.
    ///
    /// # Errors
    /// A function whose source cannot be scanned.
    pub fn new(functions: &[LibFunction], base: &DataStore) -> Result<LibrarySignatures, SignatureError> {
        let names: FxHashSet<&str> = functions.iter().map(|f| &*f.name).collect();
        let mut visited: FxHashSet<&str> = FxHashSet::default();
        let mut known = FxHashMap::default();
        let mut empty = None;
        for function in functions {
            let module = function.name.rsplit_once('.').map_or("", |(module, _)| module);
            let sibling = |name: &str| !name.contains('.') && names.contains(format!("{module}.{name}").as_str());
            let refs = hz_codeparser::library_function(module, &function.source, &sibling, &|name| visited.contains(name))
                .map_err(|e| SignatureError::code(&function.name, e))?;
            let mut references = refs.references;
            let mut execs = refs.execs;
            let mut contains = refs.contains;
            for text in &refs.expands {
                let empty = empty.get_or_insert_with(|| DataStore::new(base.runtime()));
                let found = empty
                    .expand_with_refs(text, Some(&function.name))
                    .map_err(|e| SignatureError::data(&function.name, e))?;
                references.extend(found.references);
                execs.extend(found.execs);
                for (variable, items) in found.contains {
                    contains.entry(variable).or_default().extend(items);
                }
            }
            references.extend(function.vardeps.iter().cloned());
            references.retain(|name| !function.vardepsexclude.contains(name));
            if function.has_visitor {
                visited.insert(&function.name);
            }

            let exclude = base
                .get_flag(&function.name, "vardepsexclude", Read::default())
                .map_err(|e| SignatureError::data(&function.name, e))?;
            if let Some(exclude) = exclude {
                let exclude = exclude.to_text();
                for word in exclude.split_whitespace() {
                    references.remove(word);
                    execs.remove(word);
                }
            }

            let mut hash = Sha256::new();
            hash.update("\n".repeat(function.line as usize));
            hash.update(&*function.source);
            known.insert(
                function.name.clone(),
                LibraryEntry {
                    references: references.into_iter().collect(),
                    execs: execs.into_iter().collect(),
                    contains,
                    value: hex::encode(hash.finalize()).into(),
                },
            );
        }
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Ok(LibrarySignatures { id: NEXT.fetch_add(1, Ordering::Relaxed), functions: known })
    }
}
