//! What the variables of a recipe depend on, and the base hash of each of its tasks.
//!
//! The rules are the reference's, some of them surprising: see "Base hash" in the compatibility
//! surface. Names are numbers while the walk lasts: a recipe has about a thousand, each with some
//! ten dependencies, and every task asks for its closure.

use crate::sigdata::VarVal;
use crate::{LibrarySignatures, Rules};
use hz_data::{DataError, DataStore, Expansion, RAW, RuntimeError, SetInfo, Value, type_name};
use hz_diagnostics::{Diagnostic, Str};
use indexmap::IndexMap;
use rustc_hash::{FxHashMap, FxHashSet};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::sync::Arc;

/// What a recipe's variables add to hashes.
#[derive(Clone, Debug, Default)]
pub struct RecipeSignatures {
    /// task -> base hash, in task order.
    pub basehashes: IndexMap<Str, Str>,
    /// name -> names it depends on, sorted; in sorted order of names.
    pub gendeps: IndexMap<Str, Vec<Str>>,
    /// name -> what entered the hash.
    pub varvals: IndexMap<Str, VarVal>,
    /// task -> names of its closure, sorted; in task order.
    pub taskdeps: IndexMap<Str, Vec<Str>>,
}

/// Why a recipe has no signatures.
#[derive(Clone, Debug)]
pub struct SignatureError {
    /// The name whose dependencies were asked for; empty if none in particular.
    pub variable: Str,
    pub cause: SignatureCause,
}

#[derive(Clone, Debug)]
pub enum SignatureCause {
    Data(DataError),
    /// Shell or Python that cannot be scanned.
    Code(Diagnostic),
}

impl SignatureError {
    pub(crate) fn data(variable: &str, cause: DataError) -> Self {
        SignatureError { variable: variable.into(), cause: SignatureCause::Data(cause) }
    }
    pub(crate) fn code(variable: &str, cause: Diagnostic) -> Self {
        SignatureError { variable: variable.into(), cause: SignatureCause::Code(cause) }
    }
    fn other(variable: &str, message: impl Into<String>) -> Self {
        Self::code(variable, Diagnostic::error(message))
    }

    /// What is told first, at level ERROR: shell that cannot be scanned, by its last lines.
    pub fn report(&self) -> Option<String> {
        match &self.cause {
            SignatureCause::Code(cause) => hz_codeparser::raised(cause).logged,
            SignatureCause::Data(_) => None,
        }
    }

    /// The warning that goes before the exception, with the exception as Python shows it; None where
    /// nothing is to be told: outside of any variable, and of recipes that skip themselves.
    pub fn warning(&self) -> Option<String> {
        if self.variable.is_empty() || self.is_skip() {
            return None;
        }
        Some(format!("Exception during build_dependencies for {}: {}", self.variable, self.exception().repr()))
    }

    /// The exception that leaves parsing.
    pub fn exception(&self) -> DataError {
        match &self.cause {
            SignatureCause::Data(cause) => cause.clone(),
            SignatureCause::Code(cause) => {
                let raised = hz_codeparser::raised(cause);
                DataError::python(&raised.class, raised.message)
            }
        }
    }

    /// The recipe wants to be skipped: nothing is to be told.
    pub fn is_skip(&self) -> bool {
        matches!(
            &self.cause,
            SignatureCause::Data(DataError::Runtime(RuntimeError::Skip(_)) | DataError::Expansion { cause: RuntimeError::Skip(_), .. })
        )
    }
}

impl std::fmt::Display for SignatureError {
    /// The reference's warning; for failed code scans after it what was logged before it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if !self.variable.is_empty() {
            write!(f, "Exception during build_dependencies for {}: ", self.variable)?;
        }
        match &self.cause {
            SignatureCause::Data(cause) => write!(f, "{cause}"),
            SignatureCause::Code(cause) => {
                write!(f, "{cause}")?;
                for (what, _) in &cause.chain {
                    write!(f, "\n{what}")?;
                }
                Ok(())
            }
        }
    }
}
impl std::error::Error for SignatureError {}

type Result<T> = std::result::Result<T, SignatureError>;

/// BitBake's idea of a boolean word.
fn is_yes(value: Option<&Value>, name: &str) -> Result<bool> {
    match value {
        Some(Value::Str(text)) if !text.is_empty() => match text.to_lowercase().as_str() {
            "y" | "yes" | "1" | "true" => Ok(true),
            "n" | "no" | "0" | "false" => Ok(false),
            _ => Err(SignatureError::other(name, format!("ValueError: Invalid value for to_boolean: {text}"))),
        },
        other => Ok(other.is_some_and(Value::is_true)),
    }
}

/// Code stored something else where there has to be text.
fn no_text(name: &str, value: &Value, method: &str) -> SignatureError {
    SignatureError::other(name, format!("AttributeError: '{}' object has no attribute '{method}'", type_name(value)))
}

/// Signatures of the finished recipe in `store`. `libs` holds the library functions of its
/// configuration.
///
/// # Errors
/// A value that cannot be expanded, shell or Python that cannot be scanned. The caller warns with
/// the error's text and, for a recipe, `Error during finalise of MCFN`.
pub fn base_signatures(store: &DataStore, mcfn: &str, libs: &LibrarySignatures, rules: &Rules) -> Result<RecipeSignatures> {
    let mut walk = Walk::new(store, libs, rules)?;
    let tasks: Vec<Str> = match store.get_raw("__BBTASKS") {
        Some(Value::List(list)) => list.iter().map(Value::to_text).collect(),
        _ => Vec::new(),
    };
    let mut wanted: Vec<u32> = Vec::new();
    for task in &tasks {
        let id = walk.names.id(task);
        wanted.push(id);
        let mut next = vec![id];
        while let Some(id) = next.pop() {
            if walk.nodes.get(id as usize).is_some_and(Option::is_some) {
                continue;
            }
            let node = walk.build(id)?;
            next.extend(node.deps.iter().copied());
            let at = id as usize;
            if walk.nodes.len() <= at {
                walk.nodes.resize_with(at + 1, || None);
            }
            walk.nodes[at] = Some(node);
        }
    }
    walk.finish(mcfn, &tasks, &wanted)
}

struct Names {
    ids: FxHashMap<Str, u32>,
    names: Vec<Str>,
    ignored: Vec<bool>,
    /// Names below this number are keys of the store or library functions.
    keys: u32,
}

impl Names {
    fn id(&mut self, name: &str) -> u32 {
        if let Some(id) = self.ids.get(name) {
            return *id;
        }
        self.insert(name.into(), false)
    }
    fn insert(&mut self, name: Str, ignored: bool) -> u32 {
        let id = self.names.len() as u32;
        self.ids.insert(name.clone(), id);
        self.names.push(name);
        self.ignored.push(ignored);
        id
    }
    fn key(&self, name: &str) -> Option<u32> {
        self.ids.get(name).copied().filter(|id| *id < self.keys)
    }
}

struct Node {
    /// Without doubles.
    deps: Vec<u32>,
    value: VarVal,
}

struct Walk<'a> {
    store: &'a DataStore,
    /// `store` with BB_HASH_CODEPARSER_VALS forced: shell is expanded here.
    code_store: DataStore,
    /// A store without anything, for texts that code hands to `.expand`.
    empty: Option<DataStore>,
    libs: &'a LibrarySignatures,
    names: Names,
    nodes: Vec<Option<Node>>,
    exported: Vec<u32>,
    exclude_flags: Str,
    exclude_flag_words: Vec<Str>,
    by_word: bool,
    /// Words of the variables that `contains` asks about.
    words: FxHashMap<Str, FxHashSet<Str>>,
}

/// The dependencies of one name while they are gathered.
#[derive(Default)]
struct Deps(Vec<u32>);

impl<'a> Walk<'a> {
    fn new(store: &'a DataStore, libs: &'a LibrarySignatures, rules: &Rules) -> Result<Self> {
        let outside = |e| SignatureError::data("", e);
        let mut names = Names { ids: FxHashMap::default(), names: Vec::new(), ignored: Vec::new(), keys: 0 };
        for key in store.keys().map_err(outside)? {
            if !key.starts_with("__") && !names.ids.contains_key(&key) {
                names.insert(key, false);
            }
        }
        for name in libs.functions.keys() {
            if !names.ids.contains_key(name) {
                names.insert(name.clone(), false);
            }
        }
        names.keys = names.names.len() as u32;
        for name in &rules.ignored_vars {
            let id = names.id(name);
            names.ignored[id as usize] = true;
        }

        let mut exported = Vec::new();
        let listed: Vec<Str> = match store.get_raw("__exportlist") {
            Some(Value::Set(list)) => list.iter().cloned().collect(),
            Some(Value::List(list)) => list.iter().map(Value::to_text).collect(),
            _ => return Err(SignatureError::other("", "TypeError: 'NoneType' object is not iterable")),
        };
        for name in &listed {
            let flag = |flag| store.get_flag(name, flag, hz_data::Read::default()).map_err(outside);
            if is_yes(flag("export")?.as_ref(), "")? && !is_yes(flag("unexport")?.as_ref(), "")? {
                exported.push(names.id(name));
            }
        }

        let exclude_flags = store.get_or_empty("BB_SIGNATURE_EXCLUDE_FLAGS").map_err(outside)?;
        let forced = store.get_or_empty("BB_HASH_CODEPARSER_VALS").map_err(outside)?;
        let code_store = if forced.trim().is_empty() { store.clone() } else { store.create_copy() };
        for word in forced.split_whitespace() {
            let (name, value) = word.split_once('=').ok_or_else(|| {
                SignatureError::other("", "ValueError: not enough values to unpack (expected 2, got 1)")
            })?;
            code_store.set_var(name, value, &SetInfo { ignore: true, ..SetInfo::default() }).map_err(outside)?;
        }
        Ok(Walk {
            store,
            code_store,
            empty: None,
            libs,
            names,
            nodes: Vec::new(),
            exported,
            exclude_flag_words: exclude_flags.split_whitespace().map(Str::from).collect(),
            exclude_flags,
            by_word: rules.exclude_flags_by_word,
            words: FxHashMap::default(),
        })
    }

    fn flag_excluded(&self, flag: &str) -> bool {
        if self.by_word { self.exclude_flag_words.iter().any(|word| **word == *flag) } else { self.exclude_flags.contains(flag) }
    }

    fn refer(&mut self, deps: &mut Deps, names: impl IntoIterator<Item = impl AsRef<str>>) {
        for name in names {
            deps.0.push(self.names.id(name.as_ref()));
        }
    }

    /// Calls count only where there is something of that name.
    fn call(&self, deps: &mut Deps, names: impl IntoIterator<Item = impl AsRef<str>>) {
        deps.0.extend(names.into_iter().filter_map(|name| self.names.key(name.as_ref())));
    }

    /// What goes out: no doubles, no ignored and no excluded names.
    fn settle(&mut self, mut deps: Deps, exclusions: &FxHashSet<u32>) -> Vec<u32> {
        deps.0.sort_unstable();
        deps.0.dedup();
        deps.0.retain(|id| !self.names.ignored[*id as usize] && !exclusions.contains(id));
        deps.0
    }

    /// Appends whether each item of each variable is set.
    fn contains(
        &mut self, value: &mut String, contains: &BTreeMap<Str, BTreeSet<Str>>, exclusions: &FxHashSet<u32>,
    ) -> std::result::Result<(), DataError> {
        for (variable, items) in contains {
            if let Some(id) = self.names.ids.get(variable)
                && (exclusions.contains(id) || self.names.ignored[*id as usize])
            {
                continue;
            }
            if !self.words.contains_key(variable) {
                let text = self.store.get_or_empty(variable)?;
                self.words.insert(variable.clone(), text.split_whitespace().map(Str::from).collect());
            }
            let words = &self.words[variable];
            for item in items {
                let set = item.split_whitespace().all(|word| words.contains(word));
                let _ = write!(value, "\n{variable}{{{item}}} = {}", if set { "Set" } else { "Unset" });
            }
        }
        Ok(())
    }

    /// Appends the removes that took effect. Only the first one's references count.
    fn removes(
        &mut self, value: &mut String, deps: &mut Deps, removes: &BTreeSet<Str>, exclusions: &FxHashSet<u32>,
    ) -> std::result::Result<(), DataError> {
        for (n, remove) in removes.iter().enumerate() {
            let found = self.store.expand_with_refs(remove, None)?;
            let _ = write!(value, "\n_remove of {remove}");
            if n == 0 {
                self.refer(deps, &found.references);
            }
            self.contains(value, &found.contains, exclusions)?;
        }
        Ok(())
    }

    fn build(&mut self, id: u32) -> Result<Node> {
        hz_meter::count(hz_meter::Count::Dependency);
        let name = self.names.names[id as usize].clone();
        if let Some(entry) = self.libs.functions.get(&name) {
            let mut deps = Deps::default();
            self.refer(&mut deps, &entry.references);
            self.call(&mut deps, &entry.execs);
            let mut value = entry.value.to_string();
            self.contains(&mut value, &entry.contains, &FxHashSet::default()).map_err(|e| SignatureError::data(&name, e))?;
            return Ok(Node { deps: self.settle(deps, &FxHashSet::default()), value: VarVal::Str(value.into()) });
        }
        if name.ends_with(']') {
            return self.build_flag(&name);
        }
        if name.is_empty() {
            return Err(SignatureError::other(&name, "IndexError: string index out of range"));
        }
        self.build_variable(&name)
    }

    fn build_flag(&mut self, name: &str) -> Result<Node> {
        let mut parts = name[..name.len() - 1].split('[');
        let variable = parts.next().unwrap_or_default();
        let flag = parts.next().unwrap_or_default();
        if flag.is_empty() {
            if name.contains('[') {
                self.store.runtime().log(30, "Main", "Calling getVarFlag with flag unset is invalid");
                return Err(SignatureError::other(name, "TypeError: cannot unpack non-iterable NoneType object"));
            }
            return Err(SignatureError::other(name, "IndexError: list index out of range"));
        }
        if flag == "vardepvalueexclude" {
            return Ok(Node { deps: Vec::new(), value: VarVal::Str("".into()) });
        }
        let found = self.store.read_shared_with_refs(variable, flag, RAW).map_err(|e| SignatureError::data(name, e))?;
        let mut deps = Deps::default();
        self.refer(&mut deps, &found.references);
        self.call(&mut deps, &found.execs);
        Ok(Node { deps: self.settle(deps, &FxHashSet::default()), value: VarVal::from(found.unexpanded.as_ref()) })
    }

    fn build_variable(&mut self, name: &Str) -> Result<Node> {
        const EXPANDED: [&str; 8] =
            ["vardeps", "vardepvalue", "vardepsexclude", "exports", "postfuncs", "prefuncs", "lineno", "filename"];
        let failed = |e| SignatureError::data(name, e);
        let flags = self.store.get_flags(name, Some(&EXPANDED), false).map_err(failed)?.unwrap_or_default();
        let words = |flag: &str| flags.get(flag).filter(|value| value.is_true()).map(Value::to_text).unwrap_or_default_text();
        let set = |flag: &str| flags.get(flag).is_some_and(Value::is_true);
        // Flags that have to be text where they are there at all.
        let text_of = |flag: &str| match flags.get(flag) {
            None => Ok("".into()),
            Some(Value::Str(text)) => Ok(text.clone()),
            Some(other) => Err(no_text(name, other, "split")),
        };

        let excluded = text_of("vardepsexclude")?;
        let exclusions: FxHashSet<u32> = excluded.split_whitespace().map(|word| self.names.id(word)).collect();
        let mut deps = Deps::default();
        let mut value;
        if let Some(given) = flags.get("vardepvalue") {
            value = VarVal::from(Some(given));
        } else if set("func") {
            let mut text;
            if set("python") {
                let body = self.code_store.get_raw(name);
                let body = body.filter(Value::is_true).map(|v| v.to_text()).unwrap_or_default_text();
                let refs = hz_codeparser::python(&body).map_err(|mut e| {
                    if let Some((_, Some(place))) = e.chain.first() {
                        let before: u32 = words("lineno").trim().parse().unwrap_or(0);
                        let file = words("filename");
                        let file = file.rsplit('/').next().unwrap_or_default();
                        e.message = format!("{} ({file}, line {})", e.message, before + place.line);
                    }
                    SignatureError::code(name, e)
                })?;
                self.refer(&mut deps, &refs.references);
                self.call(&mut deps, &refs.execs);
                text = body.to_string();
                if refs.expands.is_empty() {
                    self.contains(&mut text, &refs.contains, &exclusions).map_err(failed)?;
                } else {
                    let mut contains = refs.contains.clone();
                    for literal in &refs.expands {
                        let empty = self.empty.get_or_insert_with(|| DataStore::new(self.store.runtime()));
                        let found = empty.expand_with_refs(literal, Some(name)).map_err(failed)?;
                        self.refer(&mut deps, &found.references);
                        self.call(&mut deps, &found.execs);
                        for (variable, items) in found.contains {
                            contains.entry(variable).or_default().extend(items);
                        }
                    }
                    self.contains(&mut text, &contains, &exclusions).map_err(failed)?;
                }
            } else {
                let found = self.code_store.read_shared_with_refs(name, "_content", RAW).map_err(failed)?;
                let Some(Value::Str(script)) = &found.value else {
                    return Err(SignatureError::other(name, "AttributeError: 'NoneType' object has no attribute 'split'"));
                };
                let refs = hz_codeparser::shell(script).map_err(|e| SignatureError::code(name, e))?;
                deps.0.extend_from_slice(&self.exported);
                self.call(&mut deps, &refs.execs);
                text = self.described(&found, &mut deps, &exclusions).map_err(failed)?;
            }
            value = VarVal::Str(std::mem::take(&mut text).into());
            for flag in ["prefuncs", "postfuncs", "exports"] {
                self.refer(&mut deps, text_of(flag)?.split_whitespace());
            }
        } else {
            let found = self.store.read_shared_with_refs(name, "_content", RAW).map_err(failed)?;
            value = VarVal::Str(self.described(&found, &mut deps, &exclusions).map_err(failed)?.into());
        }

        for cut in text_of("vardepvalueexclude")?.split('|').filter(|cut| !cut.is_empty()) {
            let VarVal::Str(text) = &value else { return Err(no_text(name, &value.to_value(), "replace")) };
            value = VarVal::Str(text.replace(cut, "").into());
        }
        if !self.exclude_flag_words.is_empty() {
            for flag in flags.keys().filter(|flag| !self.flag_excluded(flag)).cloned().collect::<Vec<_>>() {
                self.refer(&mut deps, [format!("{name}[{flag}]")]);
            }
        }
        // Code sets this to what a variable has, also when it has nothing (None).
        if set("vardeps") {
            self.refer(&mut deps, text_of("vardeps")?.split_whitespace());
        }
        Ok(Node { deps: self.settle(deps, &exclusions), value })
    }

    /// The value of a variable as it enters the hash, with what its expansion touched.
    fn described(
        &mut self, found: &Arc<Expansion>, deps: &mut Deps, exclusions: &FxHashSet<u32>,
    ) -> std::result::Result<String, DataError> {
        self.refer(deps, &found.references);
        self.call(deps, &found.execs);
        let mut text = match &found.unexpanded {
            Some(value) if value.is_true() => value.to_text().to_string(),
            _ => String::new(),
        };
        self.contains(&mut text, &found.contains, exclusions)?;
        self.removes(&mut text, deps, &found.removes, exclusions)?;
        Ok(text)
    }

    /// Closures and hashes.
    fn finish(mut self, mcfn: &str, tasks: &[Str], wanted: &[u32]) -> Result<RecipeSignatures> {
        self.nodes.resize_with(self.names.names.len(), || None);
        let mut order: Vec<u32> = (0..self.nodes.len() as u32).filter(|id| self.nodes[*id as usize].is_some()).collect();
        order.sort_unstable_by(|a, b| self.names.names[*a as usize].cmp(&self.names.names[*b as usize]));
        let mut rank = vec![0u32; self.nodes.len()];
        for (at, id) in order.iter().enumerate() {
            rank[*id as usize] = at as u32;
        }

        let mut out = RecipeSignatures::default();
        let mut seen = vec![false; self.nodes.len()];
        for (task, id) in tasks.iter().zip(wanted) {
            let node = self.nodes[*id as usize].as_ref();
            seen.fill(false);
            let mut closure: Vec<u32> = Vec::new();
            let mut next: Vec<u32> = node.map(|n| n.deps.clone()).unwrap_or_default();
            while let Some(id) = next.pop() {
                if std::mem::replace(&mut seen[id as usize], true) {
                    continue;
                }
                closure.push(id);
                if let Some(node) = &self.nodes[id as usize] {
                    next.extend(node.deps.iter().filter(|id| !seen[**id as usize]));
                }
            }
            closure.sort_unstable_by_key(|id| rank[*id as usize]);

            let mut hash = Sha256::new();
            match node.map(|n| &n.value) {
                None | Some(VarVal::None) => {
                    self.store.runtime().log(40, "Main", &format!("Task {task} from {mcfn} seems to be empty?!"));
                }
                Some(value) => hash.update(value.to_text().as_bytes()),
            }
            for id in &closure {
                hash.update(self.names.names[*id as usize].as_bytes());
                if let Some(node) = &self.nodes[*id as usize]
                    && !matches!(node.value, VarVal::None)
                {
                    hash.update(node.value.to_text().as_bytes());
                }
            }
            out.basehashes.insert(task.clone(), hex::encode(hash.finalize()).into());
            out.taskdeps.insert(task.clone(), closure.iter().map(|id| self.names.names[*id as usize].clone()).collect());
        }
        for id in order {
            let Some(mut node) = self.nodes[id as usize].take() else { continue };
            node.deps.sort_unstable_by_key(|id| rank[*id as usize]);
            let name = &self.names.names[id as usize];
            out.gendeps.insert(name.clone(), node.deps.iter().map(|id| self.names.names[*id as usize].clone()).collect());
            out.varvals.insert(name.clone(), node.value);
        }
        Ok(out)
    }
}

trait TextOrEmpty {
    fn unwrap_or_default_text(self) -> Str;
}
impl TextOrEmpty for Option<Str> {
    fn unwrap_or_default_text(self) -> Str {
        self.unwrap_or_else(|| "".into())
    }
}
