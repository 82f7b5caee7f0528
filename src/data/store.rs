//! The store's state behind its lock, and the small steps every operation is made of.

use crate::cache::{Cache, Cached, Reads};
use crate::history::{History, Includes};
use crate::pmap::{Named, PMap, hash_name};
use crate::read::WEAK_FLAG;
use crate::text::Keyword;
use crate::{DataStore, Result, Runtime, Value};
use hz_diagnostics::Str;
use parking_lot::ReentrantMutex;
use rustc_hash::{FxHashMap, FxHashSet};
use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Names of former releases and what replaced them; a text with blanks is the message itself.
pub const RENAMED: [(&str, &str); 9] = [
    ("BB_ENV_WHITELIST", "BB_ENV_PASSTHROUGH"),
    ("BB_ENV_EXTRAWHITE", "BB_ENV_PASSTHROUGH_ADDITIONS"),
    ("BB_HASHBASE_WHITELIST", "BB_BASEHASH_IGNORE_VARS"),
    ("BB_HASHCONFIG_WHITELIST", "BB_HASHCONFIG_IGNORE_VARS"),
    ("BB_HASHTASK_WHITELIST", "BB_TASKHASH_IGNORE_TASKS"),
    ("BB_SETSCENE_ENFORCE_WHITELIST", "BB_SETSCENE_ENFORCE_IGNORE_TASKS"),
    ("MULTI_PROVIDER_WHITELIST", "BB_MULTI_PROVIDER_ALLOWED"),
    ("BB_STAMP_WHITELIST", "is a deprecated variable and support has been removed"),
    ("BB_STAMP_POLICY", "is a deprecated variable and support has been removed"),
];

/// One pending `:append`, `:prepend` or `:remove`.
#[derive(Clone)]
pub(crate) struct Operation {
    pub value: Value,
    /// Overrides that must all be active; None or empty: always.
    pub condition: Option<Str>,
}

/// Everything known about one name.
#[derive(Clone)]
pub(crate) struct Var {
    pub name: Str,
    /// Id of the store that wrote last: tells a store's own names from those it was copied with.
    pub owner: u64,
    pub content: Option<Value>,
    /// `??=`.
    pub weak: Option<Value>,
    /// Content, or the weak default where there is none, is text with `${` in it.
    pub dollar: bool,
    /// `:append`, `:prepend`, `:remove`; None: no such record (an empty one is a different thing
    /// to those who list flags, but never occurs in files).
    pub operations: [Option<Arc<Vec<Operation>>>; 3],
    pub flags: Vec<(Str, Value)>,
    /// Override variants as (whole name, overrides), in the order they were first set.
    pub variants: Option<Arc<Vec<(Str, Str)>>>,
}

impl Named for Var {
    const WATCHED: bool = true;
    fn name(&self) -> &str {
        &self.name
    }
}

impl Var {
    pub fn new(name: &str) -> Var {
        Var {
            name: name.into(),
            owner: 0,
            content: None,
            weak: None,
            dollar: false,
            operations: [None, None, None],
            flags: Vec::new(),
            variants: None,
        }
    }
    /// Has the name anything to it (a deleted one has not)?
    pub fn exists(&self) -> bool {
        self.content.is_some() || self.weak.is_some() || !self.flags.is_empty() || self.has_operations()
    }
    pub fn has_operations(&self) -> bool {
        self.operations.iter().any(Option::is_some)
    }
    pub fn operations(&self, keyword: Keyword) -> &[Operation] {
        self.operations[keyword as usize].as_deref().map_or(&[], Vec::as_slice)
    }
    pub fn operations_mut(&mut self, keyword: Keyword) -> &mut Vec<Operation> {
        Arc::make_mut(self.operations[keyword as usize].get_or_insert_default())
    }
    pub fn flag(&self, flag: &str) -> Option<&Value> {
        self.flags.iter().find(|(name, _)| &**name == flag).map(|(_, value)| value)
    }
    /// The weak default of a flag.
    pub fn weak_flag(&self, flag: &str) -> Option<&Value> {
        let length = WEAK_FLAG.len() + flag.len();
        self.flags.iter().find(|(name, _)| name.len() == length && name.strip_prefix(WEAK_FLAG) == Some(flag)).map(|(_, value)| value)
    }
    pub fn clear(&mut self) {
        self.content = None;
        self.weak = None;
        self.dollar = false;
        self.operations = [None, None, None];
        self.flags = Vec::new();
    }
    pub fn put_content(&mut self, content: Option<Value>) {
        self.content = content;
        self.note_dollar();
    }
    pub fn put_weak(&mut self, weak: Option<Value>) {
        self.weak = weak;
        self.note_dollar();
    }
    fn note_dollar(&mut self) {
        let text = self.content.as_ref().or(self.weak.as_ref()).and_then(Value::as_str);
        self.dollar = text.is_some_and(|text| crate::text::has_expansion(text));
    }
}

/// OVERRIDES, split.
#[derive(Debug, Default)]
pub(crate) struct Overrides {
    pub list: Vec<Str>,
    /// Where each stands first.
    pub position: FxHashMap<Str, usize>,
}

impl Overrides {
    pub fn new(text: &str) -> Overrides {
        let list: Vec<Str> = text.split(':').map(Str::from).collect();
        let mut position = FxHashMap::default();
        for (index, name) in list.iter().enumerate() {
            position.entry(name.clone()).or_insert(index);
        }
        Overrides { list, position }
    }
    /// Those that are in one of both only; None if the others are in another order.
    pub fn changes<'a>(&'a self, new: &'a Overrides) -> Option<Vec<&'a str>> {
        let common = |list: &'a Overrides, other: &'a Overrides| list.list.iter().filter(|word| other.position.contains_key(*word));
        let only = |list: &'a Overrides, other: &'a Overrides| list.list.iter().filter(|word| !other.position.contains_key(*word));
        let same = common(self, new).eq(common(new, self));
        same.then(|| only(self, new).chain(only(new, self)).map(|word| &**word).collect())
    }
    /// One override or several joined by colons: are all of them active?
    pub fn all_active(&self, overrides: &str) -> bool {
        self.position.contains_key(overrides)
            || (overrides.contains(':') && overrides.split(':').all(|one| self.position.contains_key(one)))
    }
    /// Does an operation with this condition apply?
    pub fn applies(&self, condition: &Option<Str>) -> bool {
        match condition.as_deref() {
            None | Some("") => true,
            Some(text) => text.split(':').all(|one| self.position.contains_key(one)),
        }
    }
}

/// The names with a flag that says something about the environment of tasks. Of thousands of names those are few, and
/// a task asks for them several times.
pub(crate) struct Marked {
    pub names: Vec<Str>,
    /// Those it depended on which names there are.
    pub overrides: Arc<Overrides>,
    /// Names written since, which may have become such ones, or are none any more.
    pub written: Vec<Str>,
}

impl Marked {
    /// So many names are looked at sooner than all there are.
    const FEW: usize = 64;

    fn note_write(marked: &mut Option<Marked>, name: &Str) {
        match marked {
            Some(known) if known.written.len() < Marked::FEW => known.written.push(name.clone()),
            _ => *marked = None,
        }
    }
}

pub(crate) struct State {
    pub id: u64,
    pub vars: PMap<Var>,
    /// What `vars` was when this store was copied: what shows again where its own record goes.
    pub beneath: Option<PMap<Var>>,
    /// Every name ever made with `${` in it, so that expandKeys need not look at all the others.
    pub dollar_names: Arc<Vec<Str>>,
    pub filters: Arc<FxHashMap<Str, Str>>,
    pub renamed: Arc<FxHashMap<Str, Str>>,
    pub cache: Cache,
    /// What the expansion going on has read so far.
    pub reads: Cell<Reads>,
    /// None: to be worked out by whoever needs it next.
    pub overrides: Option<Arc<Overrides>>,
    /// Those that kept values were made with; None: nobody asked for any yet.
    pub last_overrides: Option<Arc<Overrides>>,
    pub in_override: bool,
    /// Variables whose change can change OVERRIDES.
    pub override_vars: Arc<FxHashSet<Str>>,
    /// Expansions within expansions, to stop before the stack does.
    pub depth: u32,
    /// Above 0 while somebody reads with references: nested reads collect theirs too, since they
    /// will be asked next.
    pub collecting: u32,
    pub tracking: bool,
    pub history: History,
    pub includes: Includes,
    /// None: to be looked for by whoever asks next.
    pub marked: Option<Marked>,
}
static NEXT_ID: AtomicU64 = AtomicU64::new(1);

impl State {
    pub fn new() -> State {
        State {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            vars: PMap::new(64),
            beneath: None,
            dollar_names: Arc::default(),
            filters: Arc::default(),
            renamed: Arc::new(RENAMED.iter().map(|&(old, new)| (old.into(), new.into())).collect()),
            cache: Cache::default(),
            reads: Cell::new(Reads::NONE),
            overrides: None,
            last_overrides: None,
            in_override: false,
            override_vars: Arc::new(["OVERRIDES", "FILE"].into_iter().map(Str::from).collect()),
            depth: 0,
            collecting: 0,
            tracking: false,
            history: PMap::new(1),
            includes: Includes::new(),
            marked: None,
        }
    }

    pub fn copy(&mut self) -> State {
        hz_meter::count(hz_meter::Count::Copy);
        State {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            vars: self.vars.clone(),
            beneath: Some(self.vars.clone()),
            dollar_names: self.dollar_names.clone(),
            filters: self.filters.clone(),
            renamed: self.renamed.clone(),
            cache: self.cache.for_copy(),
            reads: Cell::new(Reads::NONE),
            overrides: None,
            last_overrides: self.last_overrides.clone(),
            in_override: false,
            override_vars: self.override_vars.clone(),
            depth: 0,
            collecting: 0,
            tracking: self.tracking,
            history: self.history.clone(),
            includes: self.includes.copy(),
            marked: None,
        }
    }

    /// The record of `name` for writing; made if missing. The store owns it from here on.
    pub fn var_mut(&mut self, name: &str) -> &mut Var {
        let State { vars, dollar_names, id, cache, marked, .. } = self;
        let hash = hash_name(name);
        cache.touch(hash);
        let var = vars.entry(hash, name, || {
            let var = Var::new(name);
            if name.contains("${") {
                Arc::make_mut(dollar_names).push(var.name.clone());
            }
            var
        });
        var.owner = *id;
        Marked::note_write(marked, &var.name);
        var
    }

    /// Notes what the expansion going on depends on.
    #[inline]
    fn note(&self, add: impl FnOnce(&mut Reads)) {
        crate::answers::overheard();
        let mut reads = self.reads.get();
        add(&mut reads);
        self.reads.set(reads);
    }

    /// The expansion going on has read a name.
    #[inline]
    pub fn note_read(&self, hash: u64) {
        self.note(|reads| reads.add_name(hash));
    }

    /// The expansion going on depends on which overrides are active, of those that a variable names.
    pub fn note_overrides(&self, var: &Var) {
        let variants = var.variants.as_deref().map_or(&[][..], Vec::as_slice).iter().map(|(_, overrides)| &**overrides);
        self.note(|reads| {
            reads.add_overrides(variants);
            for list in var.operations.iter().flatten() {
                reads.add_overrides(list.iter().filter_map(|operation| operation.condition.as_deref()));
            }
        });
    }

    /// The expansion going on depends on functions of the metadata.
    pub fn note_definitions(&self) {
        self.note(Reads::add_definitions);
    }

    /// The expansion going on depends on all that another one read.
    #[inline]
    pub fn note_reads(&self, more: &Reads) {
        self.note(|reads| reads.add(more));
    }

    /// OVERRIDES or something it depends on was written.
    pub fn forget_overrides(&mut self) {
        self.overrides = None;
        self.cache.overrides_known = false;
    }

    #[inline]
    pub fn cached(&self, hash: u64, name: &str) -> Option<&Cached> {
        self.cache.get(hash, name)
    }
}

/// What is behind a [`DataStore`].
pub(crate) struct Inner {
    pub runtime: Arc<dyn Runtime>,
    pub lock: ReentrantMutex<RefCell<State>>,
}

/// A locked store. The state is borrowed for moments only, never across a call of the runtime,
/// which may come back to this very store.
#[derive(Clone, Copy)]
pub(crate) struct Ctx<'a> {
    pub store: &'a DataStore,
    pub st: &'a RefCell<State>,
}

impl DataStore {
    pub(crate) fn from_state(runtime: Arc<dyn Runtime>, state: State) -> DataStore {
        DataStore(Arc::new(Inner { runtime, lock: ReentrantMutex::new(RefCell::new(state)) }))
    }

    /// Runs `work` with the store locked; the lock may be taken again by the same thread.
    #[inline]
    pub(crate) fn locked<T>(&self, work: impl FnOnce(&Ctx<'_>) -> T) -> T {
        let guard = self.0.lock.lock();
        work(&Ctx { store: self, st: &guard })
    }

    /// Tells what the reference tells of code it cannot scan, and gives what it raises.
    pub(crate) fn code_error(&self, problem: &hz_diagnostics::Diagnostic) -> crate::DataError {
        let raised = hz_codeparser::raised(problem);
        if let Some(text) = raised.logged {
            self.0.runtime.log(40, "Main", &text);
        }
        crate::DataError::python(&raised.class, raised.message)
    }

    pub(crate) fn warn(&self, message: &str) {
        self.0.runtime.log(30, "Main", message);
    }

    /// `bb.fatal`: tells the user, and gives the error that means somebody did.
    pub(crate) fn fatal<T>(&self, message: &str) -> Result<T> {
        self.0.runtime.log(50, "Main", message);
        Err(crate::RuntimeError::Handled.into())
    }
}

impl std::fmt::Debug for DataStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "DataStore({:p})", Arc::as_ptr(&self.0))
    }
}
