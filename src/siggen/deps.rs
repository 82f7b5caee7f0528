//! What the variables of a recipe depend on, and the base hash of each of its tasks.
//!
//! The rules are the reference's, some of them surprising: see "Base hash" in the compatibility
//! surface. Names are numbers while the walk lasts: a recipe has about a thousand, each with some
//! ten dependencies, and every task asks for its closure.

use crate::packed::{self, Interner, PackedSignatures, with_interner};
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
#[derive(Clone, Debug, Default, PartialEq)]
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
    let (basehashes, packed) = packed_signatures(store, mcfn, libs, rules)?;
    Ok(with_interner(|tables| packed.unpack(basehashes, tables)))
}

/// The base hashes of the tasks, in task order, and everything else of [`base_signatures`] as numbers
/// of this process's tables.
///
/// # Errors
/// As [`base_signatures`].
pub fn packed_signatures(
    store: &DataStore, mcfn: &str, libs: &LibrarySignatures, rules: &Rules,
) -> Result<(IndexMap<Str, Str>, PackedSignatures)> {
    let mut walk = Walk::new(store, libs, rules)?;
    let tasks: Vec<Str> = match store.get_raw("__BBTASKS") {
        Some(Value::List(list)) => list.iter().map(Value::to_text).collect(),
        _ => Vec::new(),
    };
    let mut wanted: Vec<u32> = Vec::new();
    let mut next = Vec::new();
    for task in &tasks {
        let id = id_of(task);
        wanted.push(id);
        next.push(id);
        while let Some(id) = next.pop() {
            if walk.slot(id).is_some() {
                continue;
            }
            let node = walk.build(id)?;
            next.extend(node.deps.iter().copied());
            walk.put(id, node);
        }
    }
    walk.finish(mcfn, &tasks, &wanted)
}

/// Number of a name in the tables of this process.
fn id_of(name: &str) -> u32 {
    with_interner(|tables| tables.intern(name))
}

struct Node {
    id: u32,
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
    ignored: FxHashSet<u32>,
    nodes: Vec<Node>,
    /// By the number of a name: one more than its place in `nodes`; 0: it has none yet.
    slots: Vec<u32>,
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

/// What enters the hash for a name: a text and what is said after it.
struct Described {
    text: Str,
    added: String,
}

impl Described {
    fn new(text: Str) -> Described {
        Described { text, added: String::new() }
    }
    fn finish(self) -> Str {
        if self.added.is_empty() { self.text } else { format!("{}{}", self.text, self.added).into() }
    }
}

impl<'a> Walk<'a> {
    fn new(store: &'a DataStore, libs: &'a LibrarySignatures, rules: &Rules) -> Result<Self> {
        let outside = |e| SignatureError::data("", e);
        // Which names there are is asked one by one; where that cannot be told, nothing can.
        store.overrides().map_err(outside)?;
        let ignored = rules.ignored_vars.iter().map(|name| id_of(name)).collect();
        let mut exported = Vec::new();
        let listed: Vec<Str> = match store.get_raw("__exportlist") {
            Some(Value::Set(list)) => list.iter().cloned().collect(),
            Some(Value::List(list)) => list.iter().map(Value::to_text).collect(),
            _ => return Err(SignatureError::other("", "TypeError: 'NoneType' object is not iterable")),
        };
        for name in &listed {
            let flag = |flag| store.get_flag(name, flag, hz_data::Read::default()).map_err(outside);
            if is_yes(flag("export")?.as_ref(), "")? && !is_yes(flag("unexport")?.as_ref(), "")? {
                exported.push(id_of(name));
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
            ignored,
            nodes: Vec::new(),
            slots: Vec::new(),
            exported,
            exclude_flag_words: exclude_flags.split_whitespace().map(Str::from).collect(),
            exclude_flags,
            by_word: rules.exclude_flags_by_word,
            words: FxHashMap::default(),
        })
    }

    fn slot(&self, id: u32) -> Option<usize> {
        match self.slots.get(id as usize) {
            None | Some(0) => None,
            Some(at) => Some(*at as usize - 1),
        }
    }

    fn put(&mut self, id: u32, node: Node) {
        if self.slots.len() <= id as usize {
            self.slots.resize(id as usize + 1, 0);
        }
        self.nodes.push(node);
        self.slots[id as usize] = self.nodes.len() as u32;
    }

    fn flag_excluded(&self, flag: &str) -> bool {
        if self.by_word { self.exclude_flag_words.iter().any(|word| **word == *flag) } else { self.exclude_flags.contains(flag) }
    }

    fn refer(&self, deps: &mut Deps, names: impl IntoIterator<Item = impl AsRef<str>>) {
        with_interner(|tables| deps.0.extend(names.into_iter().map(|name| tables.intern(name.as_ref()))));
    }

    /// Calls count only where there is something of that name.
    fn call(&self, deps: &mut Deps, names: impl IntoIterator<Item = impl AsRef<str>>) {
        for name in names {
            let name = name.as_ref();
            if (!name.starts_with("__") && self.store.has_key(name)) || self.libs.functions.contains_key(name) {
                deps.0.push(id_of(name));
            }
        }
    }

    /// What goes out: no doubles, no ignored and no excluded names.
    fn settle(&self, mut deps: Deps, exclusions: &FxHashSet<u32>) -> Vec<u32> {
        deps.0.sort_unstable();
        deps.0.dedup();
        deps.0.retain(|id| !self.ignored.contains(id) && !exclusions.contains(id));
        deps.0
    }

    /// Appends whether each item of each variable is set.
    fn contains(
        &mut self, value: &mut Described, contains: &BTreeMap<Str, BTreeSet<Str>>, exclusions: &FxHashSet<u32>,
    ) -> std::result::Result<(), DataError> {
        for (variable, items) in contains {
            let id = id_of(variable);
            if exclusions.contains(&id) || self.ignored.contains(&id) {
                continue;
            }
            if !self.words.contains_key(variable) {
                let text = self.store.get_or_empty(variable)?;
                self.words.insert(variable.clone(), text.split_whitespace().map(Str::from).collect());
            }
            let words = &self.words[variable];
            for item in items {
                let set = item.split_whitespace().all(|word| words.contains(word));
                let _ = write!(value.added, "\n{variable}{{{item}}} = {}", if set { "Set" } else { "Unset" });
            }
        }
        Ok(())
    }

    /// Appends the removes that took effect. Only the first one's references count.
    fn removes(
        &mut self, value: &mut Described, deps: &mut Deps, removes: &BTreeSet<Str>, exclusions: &FxHashSet<u32>,
    ) -> std::result::Result<(), DataError> {
        for (n, remove) in removes.iter().enumerate() {
            let found = self.store.expand_with_refs(remove, None)?;
            let _ = write!(value.added, "\n_remove of {remove}");
            if n == 0 {
                self.refer(deps, &found.references);
            }
            self.contains(value, &found.contains, exclusions)?;
        }
        Ok(())
    }

    fn build(&mut self, id: u32) -> Result<Node> {
        hz_meter::count(hz_meter::Count::Dependency);
        let name = with_interner(|tables| tables.texts()[id as usize].clone());
        let none = FxHashSet::default();
        if let Some(entry) = self.libs.functions.get(&name) {
            let mut deps = Deps::default();
            self.refer(&mut deps, &entry.references);
            self.call(&mut deps, &entry.execs);
            let mut value = Described::new(entry.value.clone());
            self.contains(&mut value, &entry.contains, &none).map_err(|e| SignatureError::data(&name, e))?;
            return Ok(Node { id, deps: self.settle(deps, &none), value: VarVal::Str(value.finish()) });
        }
        let (deps, value) = if name.ends_with(']') {
            self.build_flag(&name)?
        } else if name.is_empty() {
            return Err(SignatureError::other(&name, "IndexError: string index out of range"));
        } else {
            self.build_variable(&name)?
        };
        Ok(Node { id, deps, value })
    }

    fn build_flag(&mut self, name: &str) -> Result<(Vec<u32>, VarVal)> {
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
            return Ok((Vec::new(), VarVal::Str("".into())));
        }
        let found = self.store.read_shared_with_refs(variable, flag, RAW).map_err(|e| SignatureError::data(name, e))?;
        let mut deps = Deps::default();
        self.refer(&mut deps, &found.references);
        self.call(&mut deps, &found.execs);
        Ok((self.settle(deps, &FxHashSet::default()), VarVal::from(found.unexpanded.as_ref())))
    }

    fn build_variable(&mut self, name: &Str) -> Result<(Vec<u32>, VarVal)> {
        const EXPANDED: [&str; 8] =
            ["vardeps", "vardepvalue", "vardepsexclude", "exports", "postfuncs", "prefuncs", "lineno", "filename"];
        let failed = |e| SignatureError::data(name, e);
        let flags = self.store.flags_view(name, &EXPANDED).map_err(failed)?;
        let words = |flag: &str| flags.get(flag).filter(|value| value.is_true()).map(|value| value.to_text()).unwrap_or_default_text();
        let set = |flag: &str| flags.get(flag).is_some_and(Value::is_true);
        // Flags that have to be text where they are there at all.
        let text_of = |flag: &str| match flags.get(flag) {
            None => Ok("".into()),
            Some(Value::Str(text)) => Ok(text.clone()),
            Some(other) => Err(no_text(name, other, "split")),
        };

        let excluded = text_of("vardepsexclude")?;
        let exclusions: FxHashSet<u32> = excluded.split_whitespace().map(id_of).collect();
        let mut deps = Deps::default();
        let mut value;
        if let Some(given) = flags.get("vardepvalue") {
            value = VarVal::from(Some(given));
        } else if set("func") {
            let text;
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
                let mut described = Described::new(body);
                if refs.expands.is_empty() {
                    self.contains(&mut described, &refs.contains, &exclusions).map_err(failed)?;
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
                    self.contains(&mut described, &contains, &exclusions).map_err(failed)?;
                }
                text = described.finish();
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
            value = VarVal::Str(text);
            for flag in ["prefuncs", "postfuncs", "exports"] {
                self.refer(&mut deps, text_of(flag)?.split_whitespace());
            }
        } else {
            let found = self.store.read_shared_with_refs(name, "_content", RAW).map_err(failed)?;
            value = VarVal::Str(self.described(&found, &mut deps, &exclusions).map_err(failed)?);
        }

        for cut in text_of("vardepvalueexclude")?.split('|').filter(|cut| !cut.is_empty()) {
            let VarVal::Str(text) = &value else { return Err(no_text(name, &value.to_value(), "replace")) };
            value = VarVal::Str(text.replace(cut, "").into());
        }
        if !self.exclude_flag_words.is_empty() {
            for flag in flags.names().filter(|flag| !self.flag_excluded(flag)) {
                self.refer(&mut deps, [format!("{name}[{flag}]")]);
            }
        }
        // Code sets this to what a variable has, also when it has nothing (None).
        if set("vardeps") {
            self.refer(&mut deps, text_of("vardeps")?.split_whitespace());
        }
        Ok((self.settle(deps, &exclusions), value))
    }

    /// The value of a variable as it enters the hash, with what its expansion touched.
    fn described(
        &mut self, found: &Arc<Expansion>, deps: &mut Deps, exclusions: &FxHashSet<u32>,
    ) -> std::result::Result<Str, DataError> {
        self.refer(deps, &found.references);
        self.call(deps, &found.execs);
        let text = match &found.unexpanded {
            Some(value) if value.is_true() => value.to_text(),
            _ => "".into(),
        };
        let mut text = Described::new(text);
        self.contains(&mut text, &found.contains, exclusions)?;
        self.removes(&mut text, deps, &found.removes, exclusions)?;
        Ok(text.finish())
    }

    /// Closures and hashes.
    fn finish(self, mcfn: &str, tasks: &[Str], wanted: &[u32]) -> Result<(IndexMap<Str, Str>, PackedSignatures)> {
        let mut empty = Vec::new();
        let done = with_interner(|tables| self.hash(tasks, wanted, tables, &mut empty));
        for task in empty {
            self.store.runtime().log(40, "Main", &format!("Task {task} from {mcfn} seems to be empty?!"));
        }
        Ok(done)
    }

    /// `empty` gets the tasks without a value.
    fn hash(
        &self, tasks: &[Str], wanted: &[u32], tables: &mut Interner, empty: &mut Vec<Str>,
    ) -> (IndexMap<Str, Str>, PackedSignatures) {
        // From here on a name is its rank among the names of the recipe.
        let mut order: Vec<u32> = (0..self.nodes.len() as u32).collect();
        order.sort_unstable_by(|a, b| tables.compare(self.nodes[*a as usize].id, self.nodes[*b as usize].id));
        let mut rank = vec![0u32; order.len()];
        for (at, node) in order.iter().enumerate() {
            rank[*node as usize] = at as u32;
        }

        let mut packed = PackedSignatures::default();
        // All names and values in a row: what enters a hash are stretches of it.
        let mut row = String::new();
        let mut ends: Vec<usize> = Vec::with_capacity(order.len() + 1);
        ends.push(0);
        let mut deps: Vec<Vec<u32>> = Vec::with_capacity(order.len());
        let mut ids = Vec::new();
        for node in &order {
            let node = &self.nodes[*node as usize];
            row.push_str(&tables.texts()[node.id as usize]);
            if !matches!(node.value, VarVal::None) {
                row.push_str(&node.value.to_text());
            }
            ends.push(row.len());
            // Every name that somebody depends on was built.
            let mut found: Vec<u32> = node.deps.iter().filter_map(|id| self.slot(*id)).map(|at| rank[at]).collect();
            found.sort_unstable();
            ids.clear();
            ids.extend(found.iter().map(|at| self.nodes[order[*at as usize] as usize].id));
            packed.gendeps.push((node.id, tables.intern_list(&ids)));
            packed.varvals.push((node.id, tables.intern_value(&node.value)));
            deps.push(found);
        }

        let mut basehashes = IndexMap::with_capacity(tasks.len());
        let mut seen = vec![0u64; order.len().div_ceil(64)];
        let mut next: Vec<u32> = Vec::new();
        for (task, id) in tasks.iter().zip(wanted) {
            seen.fill(0);
            let mut hash = Sha256::new();
            let node = self.slot(*id);
            match node.map(|at| &self.nodes[at].value) {
                None | Some(VarVal::None) => empty.push(task.clone()),
                Some(value) => hash.update(value.to_text().as_bytes()),
            }
            next.clear();
            next.extend(node.into_iter().flat_map(|at| &deps[rank[at] as usize]));
            while let Some(at) = next.pop() {
                let (word, bit) = (at as usize / 64, 1u64 << (at % 64));
                if seen[word] & bit == 0 {
                    seen[word] |= bit;
                    next.extend(deps[at as usize].iter().filter(|at| seen[**at as usize / 64] & (1 << (**at % 64)) == 0));
                }
            }
            let mut stretch = 0..0;
            for (word, bits) in seen.iter().enumerate() {
                let mut bits = *bits;
                while bits != 0 {
                    let at = word * 64 + bits.trailing_zeros() as usize;
                    bits &= bits - 1;
                    if stretch.end != ends[at] {
                        hash.update(&row.as_bytes()[stretch]);
                        stretch = ends[at]..ends[at];
                    }
                    stretch.end = ends[at + 1];
                }
            }
            hash.update(&row.as_bytes()[stretch]);
            basehashes.insert(task.clone(), hex::encode(hash.finalize()).into());
            packed.taskdeps.push((tables.intern_shared(task), packed::NONE));
        }
        (basehashes, packed)
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
