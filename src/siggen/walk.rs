//! The walk over the variables of a recipe: what each of them depends on, and the hash of each task.
//!
//! Names are numbers while the walk lasts: a recipe has about a thousand, each with some ten dependencies,
//! and every task asks for its closure. Most names say the same in most recipes: what was made of a name is
//! kept with all it was made from ([`crate::memo`]) and made again only where some of that differs.

use crate::deps::{Result, SignatureError};
use crate::memo::{Content, Kept, Kind, Made, Memo, Seen};
use crate::packed::{self, PackedSignatures, with_interner};
use crate::sigdata::VarVal;
use crate::{LibrarySignatures, Rules};
use hz_data::{DataError, DataStore, Expansion, Flags, RAW, SetInfo, Value, type_name};
use hz_diagnostics::Str;
use rustc_hash::{FxHashMap, FxHashSet};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::rc::Rc;

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

/// Number of a name in the tables of this process.
fn id_of(name: &str) -> u32 {
    with_interner(|tables| tables.intern(name))
}

fn name_of(id: u32) -> Str {
    with_interner(|tables| tables.texts()[id as usize].clone())
}

/// References within references up to which values are looked into without expansion.
const DEEP: u32 = 100;

/// Flags that are read expanded.
const EXPANDED: [&str; 8] =
    ["vardeps", "vardepvalue", "vardepsexclude", "exports", "postfuncs", "prefuncs", "lineno", "filename"];

/// Flags whose values count, besides those.
const COUNTED: [&str; 3] = ["vardepvalueexclude", "func", "python"];

/// Does the value of this flag count for the variable that has it?
pub(crate) fn counts(flag: &str) -> bool {
    EXPANDED.contains(&flag) || COUNTED.contains(&flag)
}

pub(crate) struct Walk<'a> {
    store: &'a DataStore,
    /// `store` with BB_HASH_CODEPARSER_VALS forced: shell is expanded here.
    code_store: DataStore,
    /// Variables that `code_store` has another value of.
    forced: FxHashSet<u32>,
    /// A store without anything, for texts that code hands to `.expand`.
    empty: Option<DataStore>,
    libs: &'a LibrarySignatures,
    ignored: FxHashSet<u32>,
    nodes: Vec<Rc<Made>>,
    /// Lent by the thread while the walk lasts.
    memo: Memo,
    exported: Vec<u32>,
    /// The list of `exported`.
    exported_list: u32,
    /// The list of no names, and the text that is empty.
    nothing: (u32, u32),
    /// What the variables that `contains` asks about hold.
    words: FxHashMap<u32, Rc<FxHashSet<Str>>>,
    /// That of the store when it was last asked what is there.
    generation: u64,
}

impl Drop for Walk<'_> {
    fn drop(&mut self) {
        for node in &self.nodes {
            self.memo.slots[node.id as usize] = 0;
        }
        Memo::give_back(std::mem::take(&mut self.memo));
    }
}

/// The dependencies of one name while they are gathered.
#[derive(Default)]
struct Deps {
    ids: Vec<u32>,
    /// Names that count where there is something of that name, and whether there was.
    calls: Vec<(u32, bool)>,
    /// Variable, words asked for, and whether it had them.
    contains: Vec<(u32, Str, bool)>,
    /// Something was read that is not told here.
    unseen: bool,
}

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

/// The value of a flag, if it counts as set.
fn true_text(flags: &Flags, flag: &str) -> Str {
    flags.get(flag).filter(|value| value.is_true()).map_or_else(|| "".into(), Value::to_text)
}

fn is_set(flags: &Flags, flag: &str) -> bool {
    flags.get(flag).is_some_and(Value::is_true)
}

/// A flag that has to be text where it is there at all.
fn text_of(name: &str, flags: &Flags, flag: &str) -> Result<Str> {
    match flags.get(flag) {
        None => Ok("".into()),
        Some(Value::Str(text)) => Ok(text.clone()),
        Some(other) => Err(no_text(name, other, "split")),
    }
}

/// The true text of a value, as code that is hashed has it.
fn body_of(value: Option<Value>) -> Str {
    value.filter(Value::is_true).map_or_else(|| "".into(), |value| value.to_text())
}

impl<'a> Walk<'a> {
    pub fn new(store: &'a DataStore, libs: &'a LibrarySignatures, rules: &Rules) -> Result<Self> {
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
        let mut forced_ids = FxHashSet::default();
        for word in forced.split_whitespace() {
            let (name, value) = word.split_once('=').ok_or_else(|| {
                SignatureError::other("", "ValueError: not enough values to unpack (expected 2, got 1)")
            })?;
            forced_ids.insert(id_of(name));
            code_store.set_var(name, value, &SetInfo { ignore: true, ..SetInfo::default() }).map_err(outside)?;
        }
        let (exported_list, nothing) =
            with_interner(|tables| (tables.intern_list(&exported), (tables.intern_list(&[]), tables.intern(""))));
        let mut memo = Memo::take(libs, rules, exclude_flags);
        memo.ask_anew();
        Ok(Walk {
            store,
            code_store,
            forced: forced_ids,
            empty: None,
            libs,
            ignored,
            nodes: Vec::new(),
            memo,
            exported,
            exported_list,
            nothing,
            words: FxHashMap::default(),
            generation: 0,
        })
    }

    /// Visits all that the tasks depend on. Gives the numbers of their names.
    pub fn walk(&mut self, tasks: &[Str]) -> Result<Vec<u32>> {
        let mut wanted: Vec<u32> = Vec::with_capacity(tasks.len());
        let mut next = Vec::new();
        for task in tasks {
            let id = id_of(task);
            wanted.push(id);
            next.push(id);
            while let Some(id) = next.pop() {
                if self.slot(id).is_some() {
                    continue;
                }
                let node = self.build(id)?;
                next.extend(node.deps.iter().copied().filter(|id| self.slot(*id).is_none()));
                self.put(node);
            }
        }
        Ok(wanted)
    }

    fn slot(&self, id: u32) -> Option<usize> {
        match self.memo.slots.get(id as usize) {
            None | Some(0) => None,
            Some(at) => Some(*at as usize - 1),
        }
    }

    fn put(&mut self, node: Rc<Made>) {
        let id = node.id as usize;
        if self.memo.slots.len() <= id {
            self.memo.slots.resize(id + 1 + id / 8, 0);
        }
        self.nodes.push(node);
        self.memo.slots[id] = self.nodes.len() as u32;
    }

    fn refer(&self, deps: &mut Deps, names: impl IntoIterator<Item = impl AsRef<str>>) {
        with_interner(|tables| deps.ids.extend(names.into_iter().map(|name| tables.intern(name.as_ref()))));
    }

    /// What was found to be there counts as long as nobody writes (expressions can).
    fn note_writes(&mut self) {
        let generation = self.store.generation();
        if generation != self.generation {
            self.generation = generation;
            self.memo.ask_anew();
        }
    }

    /// Is there something of that name that can be called?
    fn is_there(&mut self, id: u32) -> bool {
        if let Some(known) = self.memo.is_there(id) {
            return known;
        }
        let name = name_of(id);
        let found = (!name.starts_with("__") && self.store.has_key(&name)) || self.libs.functions.contains_key(&name);
        self.memo.set_there(id, found);
        found
    }

    /// Calls count only where there is something of that name.
    fn call(&mut self, deps: &mut Deps, names: impl IntoIterator<Item = impl AsRef<str>>) {
        self.note_writes();
        for name in names {
            let id = id_of(name.as_ref());
            let there = self.is_there(id);
            if there {
                deps.ids.push(id);
            }
            deps.calls.push((id, there));
        }
    }

    /// What goes out: no doubles, no ignored and no excluded names, in the order of the names.
    fn settle(&self, deps: &mut Deps, exclusions: &FxHashSet<u32>) -> Vec<u32> {
        let mut ids = std::mem::take(&mut deps.ids);
        ids.sort_unstable();
        ids.dedup();
        ids.retain(|id| !self.ignored.contains(id) && !exclusions.contains(id));
        with_interner(|tables| tables.sort(&mut ids));
        ids
    }

    /// The words of a variable.
    fn words(&mut self, id: u32) -> std::result::Result<&FxHashSet<Str>, DataError> {
        if !self.words.contains_key(&id) {
            let text = self.store.get_or_empty(&name_of(id))?;
            let words = self.memo.words_of(text);
            self.words.insert(id, words);
        }
        Ok(&self.words[&id])
    }

    fn has_words(&mut self, id: u32, item: &str) -> std::result::Result<bool, DataError> {
        let words = self.words(id)?;
        Ok(item.split_whitespace().all(|word| words.contains(word)))
    }

    /// Appends whether each item of each variable is set.
    fn contains(
        &mut self, value: &mut Described, deps: &mut Deps, contains: &BTreeMap<Str, BTreeSet<Str>>, exclusions: &FxHashSet<u32>,
    ) -> std::result::Result<(), DataError> {
        for (variable, items) in contains {
            let id = id_of(variable);
            if exclusions.contains(&id) || self.ignored.contains(&id) {
                continue;
            }
            // Read even where nothing is asked for.
            self.words(id)?;
            for item in items {
                let set = self.has_words(id, item)?;
                deps.contains.push((id, item.clone(), set));
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
            deps.unseen = true;
            let found = self.store.expand_with_refs(remove, None)?;
            let _ = write!(value.added, "\n_remove of {remove}");
            if n == 0 {
                self.refer(deps, &found.references);
            }
            self.contains(value, deps, &found.contains, exclusions)?;
        }
        Ok(())
    }

    fn build(&mut self, id: u32) -> Result<Rc<Made>> {
        hz_meter::count(hz_meter::Count::Dependency);
        let name = name_of(id);
        if let Some(made) = self.direct(id, &name).or_else(|| self.missing(id, &name)) {
            return Ok(made);
        }
        let seen = self.look(&name)?;
        if let Some(made) = self.known(id, &seen) {
            return Ok(made);
        }
        let mut deps = Deps::default();
        let (ids, value) = self.make(&name, &seen, &mut deps)?;
        let made = with_interner(|tables| {
            let list = tables.intern_list(&ids);
            let value_id = tables.intern_value(&value);
            let node = tables.intern_node([id, list, value_id]);
            // One copy of a text is enough.
            let value = if let VarVal::Str(_) = value { VarVal::Str(tables.texts()[value_id as usize].clone()) } else { value };
            Rc::new(Made { id, deps: ids, value, node })
        });
        if self.memo.meet(id) && !deps.unseen {
            let direct = self.is_direct(id, &seen);
            let Deps { calls, contains, .. } = deps;
            let kept = Kept { seen, exported: self.exported_list, calls, contains, direct, made: made.clone() };
            self.memo.keep(id, kept);
        }
        Ok(made)
    }

    /// What was made of the same, if everything is as it was then.
    fn known(&mut self, id: u32, seen: &Seen) -> Option<Rc<Made>> {
        let kept = self.memo.find(id, seen, self.exported_list)?;
        self.note_writes();
        self.answers_are_the_same(&kept).then(|| kept.made.clone())
    }

    fn answers_are_the_same(&mut self, kept: &Kept) -> bool {
        kept.calls.iter().all(|(id, there)| self.is_there(*id) == *there)
            // What cannot be read is told of by who makes it anew.
            && kept.contains.iter().all(|(id, item, set)| self.has_words(*id, item).is_ok_and(|found| found == *set))
    }

    /// As [`Self::known`], for what follows from texts alone: nothing is expanded.
    fn direct(&mut self, id: u32, name: &Str) -> Option<Rc<Made>> {
        if !DataStore::reads_plainly() {
            return None;
        }
        let at = match self.kind(id, name)? {
            Kind::Library => 0,
            Kind::Flag(variable, flag) => {
                let memo = &self.memo;
                self.store.with_record(&variable, |record| memo.find_direct_flag(id, record.and_then(|record| record.flag(&flag))))?
            }
            Kind::Variable => {
                let memo = &self.memo;
                let found = self.store.with_record(name, |record| match record {
                    Some(record) if record.own_value().is_none() => None,
                    record => Some(memo.find_direct(id, record, None)),
                });
                match found {
                    Some(at) => at?,
                    None => {
                        let value = self.store.unexpanded(name)?;
                        self.store.with_record(name, |record| memo.find_direct(id, record, Some(value.as_ref())))?
                    }
                }
            }
            Kind::Unknown | Kind::Odd => return None,
        };
        let kept = self.memo.kept(id)[at].clone();
        self.note_writes();
        let references = kept.direct.as_ref()?;
        let same = references.iter().all(|id| self.is_harmless(*id, 0)) && self.answers_are_the_same(&kept);
        // Expressions that were evaluated on the way can write.
        if !same || self.store.generation() != self.generation {
            return None;
        }
        self.memo.hit(id, at);
        Some(kept.made.clone())
    }

    /// What is made of the name of a variable that is not there. Those are most of the names that no recipe had before: code
    /// depends on each variable a package can have, for each package.
    fn missing(&mut self, id: u32, name: &Str) -> Option<Rc<Made>> {
        let is_variable = matches!(self.kind_of(name), Kind::Variable);
        if !is_variable || !DataStore::reads_plainly() || !self.store.with_record(name, |record| record.is_none()) {
            return None;
        }
        let (list, value) = self.nothing;
        let node = with_interner(|tables| tables.intern_node([id, list, value]));
        Some(Rc::new(Made { id, deps: Vec::new(), value: VarVal::Str(Str::default()), node }))
    }

    /// None: the name was not here before.
    fn kind(&mut self, id: u32, name: &Str) -> Option<Kind> {
        let known = self.memo.kind(id)?.clone();
        if !matches!(known, Kind::Unknown) {
            return Some(known);
        }
        let found = self.kind_of(name);
        *self.memo.kind(id)? = found.clone();
        Some(found)
    }

    fn kind_of(&self, name: &Str) -> Kind {
        if self.libs.functions.contains_key(name) {
            Kind::Library
        } else if let Some(inner) = name.strip_suffix(']') {
            match inner.split_once('[') {
                Some((variable, flag)) if !flag.is_empty() && !flag.starts_with(['_', ':']) && !flag.contains('[') => {
                    if flag == "vardepvalueexclude" { Kind::Odd } else { Kind::Flag(variable.into(), flag.into()) }
                }
                _ => Kind::Odd,
            }
        } else if name.is_empty() {
            Kind::Odd
        } else {
            Kind::Variable
        }
    }

    /// Is there nothing in the value of a name that could bring forth a reference in a text it is put into, and can the
    /// value be made at all? False where that is not clear without expanding texts that refer to others only.
    fn is_harmless(&mut self, id: u32, level: u32) -> bool {
        if let Some(known) = self.memo.is_harmless(id) {
            return known;
        }
        // Who comes back here refers to itself.
        self.memo.set_harmless(id, false);
        let found = level < DEEP && self.find_harmless(id, level);
        self.memo.set_harmless(id, found);
        found
    }

    fn find_harmless(&mut self, id: u32, level: u32) -> bool {
        let name = name_of(id);
        let harmless = |value: &Value| matches!(value, Value::Str(text) if hz_data::harmless(text));
        // With what it touches, which will be asked when the name itself is visited.
        let evaluated = || {
            let found = self.store.read_shared_with_refs(&name, "_content", RAW);
            found.is_ok_and(|found| found.value.as_ref().is_some_and(harmless))
        };
        let own = self.store.with_record(&name, |record| match record {
            // A reference to nothing stays as it is.
            None => Some(Some(None)),
            Some(record) if record.is_filtered() => None,
            Some(record) => Some(record.own_value().map(|value| value.cloned())),
        });
        let Some(own) = own else {
            let value = self.store.get_var(&name, hz_data::Read::default());
            return value.is_ok_and(|value| value.as_ref().is_some_and(harmless));
        };
        let text = match own {
            Some(value) => value,
            None => match self.store.unexpanded(&name) {
                Some(value) => value,
                None => return evaluated(),
            },
        };
        let Some(Value::Str(text)) = text else { return false };
        if !text.contains('$') {
            return true;
        }
        match self.memo.references(id, &text) {
            Some(references) => references.iter().all(|id| self.is_harmless(*id, level + 1)),
            None => evaluated(),
        }
    }

    /// Says of which names the values have to be harmless, so that what was seen follows from texts alone.
    fn is_direct(&self, id: u32, seen: &Seen) -> Option<Box<[u32]>> {
        let exact = |found: &Expansion| {
            let Some(Value::Str(text)) = &found.unexpanded else { return None };
            let names = hz_data::plain_references(text)?;
            let same = names.len() == found.references.len() && names.iter().all(|name| found.references.contains(*name));
            (same && found.execs.is_empty() && found.contains.is_empty() && found.removes.is_empty())
                .then(|| names.into_iter().map(id_of).collect())
        };
        match (&seen.flags, &seen.content) {
            (None, Content::Library) => Some(Box::default()),
            (None, Content::Expanded(found)) => exact(found),
            (None, Content::Plain(Some(Value::Str(text)))) => {
                hz_data::plain_references(text).filter(Vec::is_empty).map(|_| Box::default())
            }
            (None, Content::Plain(_)) => Some(Box::default()),
            (Some(flags), content) if flags.expanded().is_empty() && !flags.has_weak() => match content {
                Content::Given | Content::Plain(_) => Some(Box::default()),
                Content::Python(_) if !self.forced.contains(&id) => Some(Box::default()),
                Content::Expanded(found) => exact(found),
                _ => None,
            },
            _ => None,
        }
    }

    /// Reads what there is of a name.
    fn look(&mut self, name: &Str) -> Result<Seen> {
        if self.libs.functions.contains_key(name) {
            return Ok(Seen { flags: None, content: Content::Library });
        }
        if name.ends_with(']') {
            return Ok(Seen { flags: None, content: self.look_at_flag(name)? });
        }
        if name.is_empty() {
            return Err(SignatureError::other(name, "IndexError: string index out of range"));
        }
        let failed = |e| SignatureError::data(name, e);
        let flags = self.store.flags_view(name, &EXPANDED).map_err(failed)?;
        text_of(name, &flags, "vardepsexclude")?;
        let content = if flags.get("vardepvalue").is_some() {
            Content::Given
        } else if is_set(&flags, "func") {
            let own = if self.code_store.same(self.store) {
                None
            } else {
                Some(self.code_store.flags_view(name, &[]).map_err(failed)?)
            };
            let own = own.as_ref().unwrap_or(&flags);
            if is_set(&flags, "python") {
                let body = match own.own_value() {
                    Some(value) => body_of(value.cloned()),
                    None => body_of(self.code_store.get_raw(name)),
                };
                Content::Python(body)
            } else {
                let found = self.code_store.read_shared_with_refs(name, "_content", RAW).map_err(failed)?;
                let Some(Value::Str(script)) = &found.value else {
                    return Err(SignatureError::other(name, "AttributeError: 'NoneType' object has no attribute 'split'"));
                };
                let refs = hz_codeparser::shell(script).map_err(|e| SignatureError::code(name, e))?;
                Content::Script(found, refs)
            }
        } else {
            match flags.plain_value() {
                Some(value) => Content::Plain(value.cloned()),
                None => Content::Expanded(self.store.read_shared_with_refs(name, "_content", RAW).map_err(failed)?),
            }
        };
        Ok(Seen { flags: Some(flags), content })
    }

    fn look_at_flag(&mut self, name: &str) -> Result<Content> {
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
            return Ok(Content::Plain(Some("".into())));
        }
        let found = self.store.read_shared_with_refs(variable, flag, RAW).map_err(|e| SignatureError::data(name, e))?;
        let plain = found.references.is_empty() && found.execs.is_empty();
        Ok(if plain { Content::Plain(found.unexpanded.clone()) } else { Content::Expanded(found) })
    }

    /// What a name depends on and what it adds to hashes.
    fn make(&mut self, name: &Str, seen: &Seen, deps: &mut Deps) -> Result<(Vec<u32>, VarVal)> {
        let none = FxHashSet::default();
        match (&seen.flags, &seen.content) {
            (None, Content::Library) => {
                let libs = self.libs;
                let entry = &libs.functions[name];
                self.refer(deps, &entry.references);
                self.call(deps, &entry.execs);
                let mut value = Described::new(entry.value.clone());
                self.contains(&mut value, deps, &entry.contains, &none).map_err(|e| SignatureError::data(name, e))?;
                Ok((self.settle(deps, &none), VarVal::Str(value.finish())))
            }
            (Some(flags), content) => self.make_variable(name, flags, content, deps),
            // A flag.
            (None, Content::Expanded(found)) => {
                self.refer(deps, &found.references);
                self.call(deps, &found.execs);
                Ok((self.settle(deps, &none), VarVal::from(found.unexpanded.as_ref())))
            }
            (None, Content::Plain(value)) => Ok((Vec::new(), VarVal::from(value.as_ref()))),
            (None, _) => Ok((Vec::new(), VarVal::None)),
        }
    }

    fn make_variable(&mut self, name: &Str, flags: &Flags, content: &Content, deps: &mut Deps) -> Result<(Vec<u32>, VarVal)> {
        let failed = |e| SignatureError::data(name, e);
        let excluded = text_of(name, flags, "vardepsexclude")?;
        let exclusions: FxHashSet<u32> = excluded.split_whitespace().map(id_of).collect();
        let mut value = match content {
            Content::Given => VarVal::from(flags.get("vardepvalue")),
            Content::Plain(value) => VarVal::Str(body_of(value.clone())),
            Content::Expanded(found) => VarVal::Str(self.described(found, deps, &exclusions).map_err(failed)?),
            Content::Script(found, refs) => {
                deps.ids.extend_from_slice(&self.exported);
                self.call(deps, &refs.execs);
                VarVal::Str(self.described(found, deps, &exclusions).map_err(failed)?)
            }
            Content::Python(body) => {
                let refs = hz_codeparser::python(body).map_err(|mut e| {
                    if let Some((_, Some(place))) = e.chain.first() {
                        let before: u32 = true_text(flags, "lineno").trim().parse().unwrap_or(0);
                        let file = true_text(flags, "filename");
                        let file = file.rsplit('/').next().unwrap_or_default();
                        e.message = format!("{} ({file}, line {})", e.message, before + place.line);
                    }
                    SignatureError::code(name, e)
                })?;
                self.refer(deps, &refs.references);
                self.call(deps, &refs.execs);
                let mut described = Described::new(body.clone());
                if refs.expands.is_empty() {
                    self.contains(&mut described, deps, &refs.contains, &exclusions).map_err(failed)?;
                } else {
                    deps.unseen = true;
                    let mut contains = refs.contains.clone();
                    for literal in &refs.expands {
                        let empty = self.empty.get_or_insert_with(|| DataStore::new(self.store.runtime()));
                        let found = empty.expand_with_refs(literal, Some(name)).map_err(failed)?;
                        self.refer(deps, &found.references);
                        self.call(deps, &found.execs);
                        for (variable, items) in found.contains {
                            contains.entry(variable).or_default().extend(items);
                        }
                    }
                    self.contains(&mut described, deps, &contains, &exclusions).map_err(failed)?;
                }
                VarVal::Str(described.finish())
            }
            Content::Library => VarVal::None,
        };
        if matches!(content, Content::Script(..) | Content::Python(..)) {
            for flag in ["prefuncs", "postfuncs", "exports"] {
                self.refer(deps, text_of(name, flags, flag)?.split_whitespace());
            }
        }

        for cut in text_of(name, flags, "vardepvalueexclude")?.split('|').filter(|cut| !cut.is_empty()) {
            let VarVal::Str(text) = &value else { return Err(no_text(name, &value.to_value(), "replace")) };
            value = VarVal::Str(text.replace(cut, "").into());
        }
        if self.memo.excludes_flags() {
            for flag in flags.names().filter(|flag| !self.memo.flag_excluded(flag)) {
                self.refer(deps, [format!("{name}[{flag}]")]);
            }
        }
        // Code sets this to what a variable has, also when it has nothing (None).
        if is_set(flags, "vardeps") {
            self.refer(deps, text_of(name, flags, "vardeps")?.split_whitespace());
        }
        Ok((self.settle(deps, &exclusions), value))
    }

    /// The value of a variable as it enters the hash, with what its expansion touched.
    fn described(
        &mut self, found: &Expansion, deps: &mut Deps, exclusions: &FxHashSet<u32>,
    ) -> std::result::Result<Str, DataError> {
        self.refer(deps, &found.references);
        self.call(deps, &found.execs);
        let mut text = Described::new(body_of(found.unexpanded.clone()));
        self.contains(&mut text, deps, &found.contains, exclusions)?;
        self.removes(&mut text, deps, &found.removes, exclusions)?;
        Ok(text.finish())
    }

    /// The signatures, sorted by the names.
    pub fn finish(self, mcfn: &str, tasks: &[Str], wanted: &[u32]) -> PackedSignatures {
        let packed = with_interner(|tables| {
            let mut names: Vec<u32> = self.nodes.iter().map(|made| made.id).collect();
            tables.sort(&mut names);
            PackedSignatures {
                nodes: names.into_iter().filter_map(|id| self.slot(id)).map(|at| self.nodes[at].node).collect(),
                taskdeps: tasks.iter().map(|task| (tables.intern_shared(task), packed::NONE)).collect(),
            }
        });
        for (task, id) in tasks.iter().zip(wanted) {
            if self.slot(*id).is_none_or(|at| matches!(self.nodes[at].value, VarVal::None)) {
                self.store.runtime().log(40, "Main", &format!("Task {task} from {mcfn} seems to be empty?!"));
            }
        }
        packed
    }
}
