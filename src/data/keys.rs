//! Everything that looks at the store as a whole: its names, renaming of unexpanded names, the
//! configuration's hash.

use crate::history::{FROM_EXPAND_KEYS, FROM_VARREF};
use crate::pmap::hash_name;
use crate::read::WEAK_FLAG;
use crate::store::{Ctx, Marked, Overrides, State, Var};
use crate::watch;
use crate::{DataStore, Method, RAW, Result, SetInfo, StoreObject, Value, python_repr, text};
use hz_diagnostics::Str;
use rustc_hash::FxHashSet;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Is the name one of the store's keys: has it something, or an active override variant?
fn is_key(var: &Var, overrides: &Overrides) -> bool {
    var.exists() || var.variants.iter().flat_map(|v| v.iter()).any(|(_, over)| overrides.all_active(over))
}

fn has_flag_or_default(var: &Var, flags: &[&str]) -> bool {
    var.flags.iter().any(|(name, _)| flags.contains(&name.strip_prefix(WEAK_FLAG).unwrap_or(name)))
}

impl<'a> Ctx<'a> {
    fn names(&self, want: impl Fn(&State, &Var) -> bool) -> Result<Vec<Str>> {
        let overrides = self.overrides()?;
        let st = self.st.borrow();
        Ok(st.vars.iter().filter(|var| is_key(var, &overrides) && want(&st, var)).map(|var| var.name.clone()).collect())
    }
}

impl DataStore {
    /// All names, in no particular but always the same order (the reference's is that of a set).
    ///
    /// # Errors
    /// OVERRIDES cannot be worked out: which override variants are active decides what is there.
    pub fn keys(&self) -> Result<Vec<Str>> {
        self.locked(|ctx| ctx.names(|_, _| true))
    }

    /// Is the name one of [`Self::keys`]?
    pub fn has_key(&self, name: &str) -> bool {
        let hash = hash_name(name);
        self.locked(|ctx| {
            let Some(var) = ctx.st.borrow().vars.get(hash, name).cloned() else { return false };
            // Where OVERRIDES cannot be read, whoever reads it next will be told.
            var.exists() || (var.variants.is_some() && ctx.overrides().is_ok_and(|overrides| is_key(&var, &overrides)))
        })
    }

    /// Of [`Self::keys`] those that have the flag set, whatever to.
    pub fn keys_with_flag(&self, flag: &str) -> Result<Vec<Str>> {
        self.locked(|ctx| ctx.names(|_, var| var.flag(flag).is_some()))
    }

    /// The same with one of the flags, also one that only has a default value.
    pub fn keys_with_flag_or_default(&self, flags: &[&str]) -> Result<Vec<Str>> {
        self.locked(|ctx| ctx.names(|_, var| has_flag_or_default(var, flags)))
    }

    /// [`Self::keys_with_flag_or_default`] of the flags `export` and `unexport`, sorted.
    pub fn marked_keys(&self) -> Result<Vec<Str>> {
        let is_marked = |var: &Var| has_flag_or_default(var, &["export", "unexport"]);
        self.locked(|ctx| {
            let overrides = ctx.overrides()?;
            let known = ctx.st.borrow_mut().marked.take().filter(|known| Arc::ptr_eq(&known.overrides, &overrides));
            let mut names = match known {
                Some(Marked { mut names, written, .. }) => {
                    watch::note_all();
                    let st = ctx.st.borrow();
                    let wanted = |name: &Str| st.vars.get(hash_name(name), name).is_some_and(|var| is_marked(var) && is_key(var, &overrides));
                    names.retain(|name| !written.contains(name));
                    names.extend(written.into_iter().filter(wanted));
                    names
                }
                None => ctx.names(|_, var| is_marked(var))?,
            };
            names.sort_unstable();
            names.dedup();
            ctx.st.borrow_mut().marked = Some(Marked { names: names.clone(), overrides, written: Vec::new() });
            Ok(names)
        })
    }

    /// The names written in this very store since it was made or copied.
    pub fn local_keys(&self) -> Vec<Str> {
        self.locked(|ctx| {
            let st = ctx.st.borrow();
            st.vars.iter().filter(|var| var.owner == st.id).map(|var| var.name.clone()).collect()
        })
    }

    /// expandKeys: renames keys that hold `${`, telling of clashes through `Runtime::log`.
    pub fn expand_keys(&self) -> Result<()> {
        self.locked(|ctx| {
            let candidates = ctx.st.borrow().dollar_names.clone();
            let overrides = ctx.overrides()?;
            let mut renames: BTreeMap<Str, Str> = BTreeMap::new();
            for name in candidates.iter() {
                let is_key =
                    ctx.st.borrow().vars.get(hash_name(name), name).is_some_and(|var| is_key(var, &overrides));
                if is_key {
                    let expanded = self.expand(name, None)?;
                    if expanded != *name {
                        renames.insert(name.clone(), expanded);
                    }
                }
            }
            let info = SetInfo::internal(FROM_EXPAND_KEYS);
            for (name, expanded) in &renames {
                if let Some(existing) = self.get_var(expanded, RAW)?
                    && let Some(value) = self.get_var(name, RAW)?
                {
                    self.warn(&format!(
                        "Variable key {name} ({}) replaces original key {expanded} ({}).",
                        value.to_text(),
                        existing.to_text()
                    ));
                }
                self.rename_var(name, expanded, &info)?;
            }
            Ok(())
        })
    }

    /// `d.expandVarref(variable, parents)`: replaces `${variable}` by its unexpanded value in all
    /// values (of names written in this store, unless `parents`).
    pub fn expand_varref(&self, variable: &str, parents: bool) -> Result<()> {
        let reference = format!("${{{variable}}}");
        let Some(Value::Str(value)) = self.get_var(variable, RAW)? else { return Ok(()) };
        for name in if parents { self.keys()? } else { self.local_keys() } {
            if let Some(Value::Str(text)) = self.get_var(&name, RAW)?
                && text.contains(&reference)
            {
                self.set_var(&name, text.replace(&reference, &value), &SetInfo::internal(FROM_VARREF))?;
            }
        }
        Ok(())
    }

    /// The `get_hash` of the configuration, BB_HASHCONFIG_IGNORE_VARS left out: covers what the
    /// reference's covers (values, flags, tasks, handlers, anonymous functions) and changes when
    /// any of it does.
    pub fn get_hash(&self) -> Result<String> {
        let (d, names) = self.hashed()?;
        let mut data: BTreeMap<String, String> = BTreeMap::new();
        for name in names {
            data.insert(name.to_string(), stable_repr(&d.get_var(&name, RAW)?)?);
            for (flag, value) in d.get_flags(&name, Some(&["vardepvalue"]), true)?.unwrap_or_default() {
                if &*flag != "_content" {
                    data.insert(format!("{name}[{flag}]"), stable_repr(&Some(value))?);
                }
            }
        }
        for name in ["__BBTASKS", "__BBANONFUNCS", "__BBHANDLERS"] {
            let value = d.get_var(name, RAW)?;
            if name == "__BBANONFUNCS"
                && let Some(Value::List(functions)) = &value
            {
                for function in functions.iter().map(Value::to_text) {
                    data.insert(function.to_string(), stable_repr(&d.get_var(&function, RAW)?)?);
                }
            }
            data.insert(name.to_string(), stable_repr(&value)?);
        }
        let mut hasher = Sha256::new();
        for (name, value) in &data {
            hasher.update(python_repr(name));
            hasher.update(b"=");
            hasher.update(value);
            hasher.update(b"\n");
        }
        Ok(hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// What is hashed: a copy with its names expanded, and those of them that count.
    fn hashed(&self) -> Result<(DataStore, Vec<Str>)> {
        let d = self.create_copy();
        d.expand_keys()?;
        let ignored = d.get_or_empty("BB_HASHCONFIG_IGNORE_VARS")?;
        let ignored: FxHashSet<&str> = text::words(&ignored).collect();
        let names = d.keys()?.into_iter().filter(|name| !name.starts_with("__") && !ignored.contains(&**name)).collect();
        Ok((d, names))
    }

    /// Whether [`Self::get_hash`] can be made: its errors, in the same order, without the texts that are hashed.
    pub fn check_hash(&self) -> Result<()> {
        if Method::GetVar.asks() || Method::GetVarFlags.asks() {
            return self.get_hash().map(drop);
        }
        let (d, names) = self.hashed()?;
        for name in names {
            if let Some(Value::Object(object)) = d.get_var(&name, RAW)?
                && let Some(store) = object.as_any().downcast_ref::<StoreObject>()
            {
                store.0.check_hash()?;
            }
            d.flags_view(&name, &["vardepvalue"])?;
        }
        for name in ["__BBTASKS", "__BBANONFUNCS", "__BBHANDLERS"] {
            let value = d.get_var(name, RAW)?;
            if name == "__BBANONFUNCS"
                && let Some(Value::List(functions)) = &value
            {
                functions.iter().try_for_each(|function| d.get_var(&function.to_text(), RAW).map(drop))?;
            }
        }
        Ok(())
    }
}

/// One variable in a comparison of two configurations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fingerprint {
    /// Of the name, as [`crate::ReadSet::has`] wants it.
    pub name: u64,
    /// Of everything known about it: value, default, operations, flags, override variants.
    pub record: u64,
    /// The name is looked for in ways that reading does not show: it is to be expanded itself, it is that of a
    /// library function or an event handler, or the environment of commands has it.
    pub hidden: bool,
}

/// Values that are the same in another process give the same.
fn digest_value(value: &Value, hash: &mut Sha256) {
    match value {
        Value::Object(object) => match object.as_any().downcast_ref::<StoreObject>() {
            Some(store) => {
                for Fingerprint { name, record, .. } in store.0.fingerprints(&FxHashSet::default()) {
                    hash.update(name.to_le_bytes());
                    hash.update(record.to_le_bytes());
                }
            }
            // Its address, mostly: another one in every process, which is right.
            None => hash.update(object.to_text()),
        },
        Value::Str(text) => {
            hash.update(b"s");
            hash.update(text.as_bytes());
        }
        Value::Set(set) => {
            let mut items: Vec<&Str> = set.iter().collect();
            items.sort();
            hash.update(format!("{items:?}"));
        }
        // Numbers, words and brackets: what text cannot begin with here.
        other => hash.update(other.repr()),
    }
    hash.update([0]);
}

impl DataStore {
    /// All variables, sorted by the hash of the name. `ignored` are left out.
    pub fn fingerprints(&self, ignored: &FxHashSet<&str>) -> Vec<Fingerprint> {
        let vars: Vec<Arc<Var>> = self.locked(|ctx| ctx.st.borrow().vars.iter().cloned().collect());
        let handlers: FxHashSet<Str> = match self.get_raw("__BBHANDLERS") {
            Some(Value::List(names)) => names.iter().map(Value::to_text).collect(),
            _ => FxHashSet::default(),
        };
        let mut all = Vec::with_capacity(vars.len());
        for var in vars.iter().filter(|var| !ignored.contains(&*var.name)) {
            let mut hash = Sha256::new();
            for value in [&var.content, &var.weak] {
                hash.update([u8::from(value.is_some())]);
                value.iter().for_each(|value| digest_value(value, &mut hash));
            }
            for list in &var.operations {
                hash.update([u8::from(list.is_some())]);
                for operation in list.iter().flat_map(|list| list.iter()) {
                    digest_value(&operation.value, &mut hash);
                    hash.update(operation.condition.as_deref().unwrap_or_default());
                    hash.update([0]);
                }
            }
            for (flag, value) in &var.flags {
                hash.update(flag.as_bytes());
                hash.update([0]);
                digest_value(value, &mut hash);
            }
            for (name, overrides) in var.variants.iter().flat_map(|list| list.iter()) {
                hash.update(format!("{name}\0{overrides}\0"));
            }
            let digest = hash.finalize();
            let record = digest.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte));
            let sought = var.name.contains("${") || var.name.contains('.') || handlers.contains(&var.name);
            let hidden = sought || std::env::var_os(&*var.name).is_some();
            all.push(Fingerprint { name: hash_name(&var.name), record, hidden });
        }
        all.sort_unstable();
        all
    }
}

/// Text of a value that is the same in every process. A store within the store counts by its own
/// hash; what is false counts as nothing.
fn stable_repr(value: &Option<Value>) -> Result<String> {
    Ok(match value {
        None => "''".into(),
        Some(Value::Set(set)) => {
            let mut items: Vec<&Str> = set.iter().collect();
            items.sort();
            format!("{items:?}")
        }
        Some(Value::Object(object)) => match object.as_any().downcast_ref::<StoreObject>() {
            Some(store) => store.0.get_hash()?,
            None => python_repr(&object.to_text()),
        },
        Some(value) if !value.is_true() => "''".into(),
        Some(value) => value.repr(),
    })
}
