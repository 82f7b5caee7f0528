//! Reading: which value a name has now, its flags, and what reading it touched.

use crate::answers::{self, Question};
use crate::cache::Reads;
use crate::error::type_name;
use crate::expand::Refs;
use crate::pmap::hash_name;
use crate::store::{Ctx, Operation, Overrides, State, Var};
use crate::text::Keyword;
use crate::watch::{self, Origins};
use crate::{DataError, DataStore, Expansion, Method, RAW, Read, Result, Value, text};
use hz_diagnostics::Str;
use indexmap::IndexMap;
use std::collections::BTreeSet;
use std::sync::Arc;

/// A look at a variable that needs no work.
pub(crate) enum Quick<'a> {
    Value(Option<&'a Value>),
    Slow,
}

/// A value read in full.
struct Outcome {
    /// Operations applied, not expanded.
    raw: Option<Value>,
    /// Expanded, words removed and, if the read asked for expansion, filtered.
    value: Option<Value>,
    /// `:remove` texts that took something away.
    removes: Vec<Str>,
    full: Option<Arc<Expansion>>,
    /// The variable's record, as it is now.
    var: Option<Arc<Var>>,
}

/// A value with operations applied, before expansion.
#[derive(Default)]
pub(crate) struct Raw {
    pub value: Option<Value>,
    /// Removes an override variant brings along.
    pub carried: Vec<Str>,
    /// The override variant the value is that of. The reference expands it as that variant's
    /// first, so that is whose name errors give and whose references to itself are errors.
    origin: Option<Str>,
    /// Operations of the plain name were applied to the variant's value.
    mixed: bool,
    /// The variable's record.
    var: Option<Arc<Var>>,
}

/// Python's None is no value.
pub(crate) fn some(value: Option<&Value>) -> Option<&Value> {
    value.filter(|v| !matches!(v, Value::None))
}

fn truthy(value: &Option<Value>) -> bool {
    value.as_ref().is_some_and(Value::is_true)
}

/// Name before the first colon: what filters are set for.
pub(crate) fn base_name(name: &str) -> &str {
    name.split(':').next().unwrap_or(name)
}

/// Python's `first + second`.
pub(crate) fn concat(first: &Value, second: &Value) -> Result<Value> {
    match (first, second) {
        (Value::Str(a), Value::Str(b)) => {
            let mut text = String::with_capacity(a.len() + b.len());
            text.push_str(a);
            text.push_str(b);
            Ok(text.into())
        }
        (Value::List(a), Value::List(b)) => Ok(Value::List(Arc::new(a.iter().chain(b.iter()).cloned().collect()))),
        (Value::Int(a), Value::Int(b)) if a.checked_add(*b).is_some() => Ok(Value::Int(a + b)),
        (Value::Str(_), other) => {
            Err(DataError::python("TypeError", format!("can only concatenate str (not \"{}\") to str", type_name(other))))
        }
        (Value::List(_), other) => {
            Err(DataError::python("TypeError", format!("can only concatenate list (not \"{}\") to list", type_name(other))))
        }
        (a, b) => Err(DataError::python(
            "TypeError",
            format!("unsupported operand type(s) for +: '{}' and '{}'", type_name(a), type_name(b)),
        )),
    }
}

impl State {
    /// The expanded value of `name` if it is at hand: cached, plain or missing. With `collecting`
    /// values that were expanded without noting references are not enough.
    #[inline]
    pub fn quick(&self, hash: u64, name: &str, collecting: bool) -> Quick<'_> {
        if let Some(cached) = self.cached(hash, name)
            && (!collecting || cached.full.is_some())
        {
            self.note_reads(&cached.reads);
            return Quick::Value(some(cached.value.as_ref()));
        }
        self.note_read(hash);
        let Some(var) = self.vars.get(hash, name) else { return Quick::Value(None) };
        if var.dollar || var.variants.is_some() || var.has_operations() || !self.filters.is_empty() {
            return Quick::Slow;
        }
        Quick::Value(some(var.content.as_ref().or(var.weak.as_ref())))
    }
}

impl<'a> Ctx<'a> {
    /// The value of a variable. A cached expansion counts even where the read asks for less than
    /// a cached read would have given; that is what the reference does.
    pub fn content(&self, name: &str, hash: u64, read: Read) -> Result<Option<Value>> {
        if read.expand && !read.noweakdefault {
            let st = self.st.borrow();
            if let Some(cached) = st.cached(hash, name)
                && (st.collecting == 0 || cached.full.is_some())
            {
                st.note_reads(&cached.reads);
                return Ok(some(cached.value.as_ref()).cloned());
            }
        }
        if !read.expand {
            let raw = self.raw_content(name, hash, read)?;
            if let Some(variant) = &raw.origin
                && let Some(Value::Str(source)) = &raw.value
                && text::has_expansion(source)
            {
                self.look_into(variant)?;
            }
            return Ok(raw.value);
        }
        let collecting = self.st.borrow().collecting > 0;
        Ok(self.full_content(name, hash, read, collecting)?.value)
    }

    /// The value with operations applied, not expanded.
    pub(crate) fn raw_content(&self, name: &str, hash: u64, read: Read) -> Result<Raw> {
        let found = {
            let st = self.st.borrow();
            st.note_read(hash);
            st.vars.get(hash, name).cloned()
        };
        let Some(var) = found else { return Ok(Raw::default()) };
        if var.variants.is_some() || var.operations.iter().flatten().flat_map(|list| list.iter()).any(|op| op.condition.is_some()) {
            self.st.borrow().note_overrides(&var);
        }
        let mut raw = Raw::default();
        if !read.parsing
            && let Some(variants) = &var.variants
        {
            let overrides = self.overrides()?;
            if let Some(variant) = pick_variant(variants, &overrides) {
                raw = self.variant_content(variant)?;
            }
        }
        if raw.value.is_none() {
            let own = match &var.content {
                Some(content) => Some(content),
                None if !read.noweakdefault => var.weak.as_ref(),
                None => None,
            };
            raw.value = some(own).cloned();
            raw.origin = None;
        }
        if !read.parsing && (var.operations[0].is_some() || var.operations[1].is_some()) {
            let overrides = self.overrides()?;
            raw.mixed = raw.origin.is_some();
            raw.value = apply_operations(raw.value, &var, &overrides)?;
        }
        raw.var = Some(var);
        Ok(raw)
    }

    /// The reference expands an override variant whenever it stands in for the plain name, even for
    /// a raw read, which then fails where the expansion does.
    fn look_into(&self, variant: &str) -> Result<()> {
        let hash = hash_name(variant);
        let known = self.st.borrow().cached(hash, variant).is_some();
        if !known {
            self.full_content(variant, hash, RAW, false)?;
        }
        Ok(())
    }

    /// The value of an override variant on behalf of the plain name, unexpanded, and which removes
    /// of the variant took something out of its expansion. The expansion itself is only made
    /// where it can matter.
    fn variant_content(&self, variant: &Str) -> Result<Raw> {
        let hash = hash_name(variant);
        let on_behalf = |value, carried| Raw { value, carried, origin: Some(variant.clone()), ..Raw::default() };
        let known = {
            let st = self.st.borrow();
            let cached = st.cached(hash, variant).filter(|cached| cached.full.is_some());
            cached.inspect(|cached| st.note_reads(&cached.reads)).and_then(|cached| cached.full.clone())
        };
        if let Some(full) = known {
            return Ok(on_behalf(full.unexpanded.clone(), full.removes.iter().cloned().collect()));
        }
        let raw = self.raw_content(variant, hash, RAW)?;
        let removes = !raw.carried.is_empty() || raw.var.as_ref().is_some_and(|v| !v.operations(Keyword::Remove).is_empty());
        let filtered = self.is_filtered(variant);
        if (removes && truthy(&raw.value)) || filtered {
            let outcome = self.full_content(variant, hash, RAW, false)?;
            return Ok(on_behalf(outcome.raw, outcome.removes));
        }
        match raw.origin {
            Some(_) if !raw.mixed => Ok(Raw { carried: Vec::new(), ..raw }),
            _ => Ok(on_behalf(raw.value, Vec::new())),
        }
    }

    fn is_filtered(&self, name: &str) -> bool {
        let st = self.st.borrow();
        !st.filters.is_empty() && st.filters.contains_key(base_name(name))
    }

    /// The record of a variable as it is now; `known` is that of the given generation.
    fn record(&self, name: &str, hash: u64, known: Option<Arc<Var>>, generation: u64) -> Option<Arc<Var>> {
        let st = self.st.borrow();
        if st.cache.generation() == generation { known } else { st.vars.get(hash, name).cloned() }
    }

    /// Reads a variable with its expansion, whether or not the caller asks for the expanded value
    /// (`read.expand`: that decides about filters, and whether an empty raw value is looked at
    /// for removes). The result is cached.
    fn full_content(&self, name: &str, hash: u64, read: Read, collect: bool) -> Result<Outcome> {
        hz_meter::count(hz_meter::Count::Lookup);
        let (outcome, (mut reads, origins)) = self.seen(|| self.make_content(name, hash, read, collect));
        let outcome = outcome?;
        if !read.noweakdefault {
            if read.parsing || self.is_filtered(name) {
                // Another kind of read would have made another value.
                reads = Reads::ALL;
                self.st.borrow().reads.set(reads);
            }
            if let Some(var) = &outcome.var {
                let mut st = self.st.borrow_mut();
                st.cache.put(hash, var.name.clone(), outcome.value.clone(), outcome.full.clone(), (reads, origins));
            }
        }
        Ok(outcome)
    }

    /// Runs `work` and gives, beside its result, what it read of the store; who goes on depends on
    /// that, too.
    fn seen<T>(&self, work: impl FnOnce() -> T) -> (T, (Reads, Origins)) {
        let before = self.st.borrow().reads.replace(Reads::NONE);
        let (result, origins) = watch::listed(work);
        let st = self.st.borrow();
        let reads = st.reads.replace(before);
        st.note_reads(&reads);
        (result, (reads, origins))
    }

    fn make_content(&self, name: &str, hash: u64, read: Read, collect: bool) -> Result<Outcome> {
        let earlier = {
            let st = self.st.borrow();
            let cached = if read.noweakdefault { None } else { st.cached(hash, name) };
            cached.map(|cached| (st.cache.generation(), cached.value.clone()))
        };
        let Raw { value: raw, carried, origin, mixed, var } = self.raw_content(name, hash, read)?;
        let generation = self.st.borrow().cache.generation();
        if mixed && let Some(origin) = &origin {
            self.full_content(origin, hash_name(origin), RAW, false)?;
        }
        let owner = origin.as_deref().filter(|_| !mixed).unwrap_or(name);
        let mut refs = collect.then(Refs::default);
        let mut value = match &raw {
            Some(Value::Str(source)) => Some(Value::Str(self.expand_text(source, owner, refs.as_mut())?)),
            other => other.clone(),
        };

        let mut hits = Vec::new();
        if !read.parsing && truthy(if read.expand { &value } else { &raw }) {
            let mut removes = carried;
            if let Some(var) = &self.record(name, hash, var.clone(), generation)
                && let Some(own) = &var.operations[Keyword::Remove as usize]
            {
                let overrides = self.overrides()?;
                for operation in own.iter().filter(|op| overrides.applies(&op.condition)) {
                    let text = operation.value.to_text();
                    if !removes.contains(&text) {
                        removes.push(text);
                    }
                }
            }
            if !removes.is_empty() {
                let Some(Value::Str(source)) = &value else {
                    let class = value.as_ref().map_or("NoneType", type_name);
                    let text = format!("expected string or bytes-like object, got '{class}'");
                    return Err(DataError::python("TypeError", text));
                };
                let expanded: Vec<(Str, Str)> = removes
                    .into_iter()
                    .map(|remove| Ok((remove.clone(), self.expand_text(&remove, "", None)?)))
                    .collect::<Result<_>>()?;
                let (left, taken) = remove_words(source, &expanded);
                if let Some(left) = left {
                    value = Some(left.into());
                }
                hits = taken;
            }
        }

        if read.expand && truthy(&value) {
            let filter = {
                let st = self.st.borrow();
                if st.filters.is_empty() { None } else { st.filters.get(base_name(name)).cloned() }
            };
            if let Some(expression) = filter.as_deref().map(str::trim).filter(|e| !e.is_empty())
                && let Some(before) = value.as_ref().map(Value::to_text)
            {
                let after = self.store.0.runtime.apply_filter(self.store, name, &before, expression)?;
                value = Some(after);
            }
        }

        if let Some((generation, earlier)) = earlier
            && generation == self.st.borrow().cache.generation()
        {
            // Somebody has read it before, without references: the value stays the one they saw.
            value = earlier;
        }
        let mut full = None;
        if let Some(refs) = refs {
            let mut expansion = refs.into_expansion(value.clone(), raw.clone());
            expansion.removes = hits.iter().cloned().collect();
            full = Some(Arc::new(expansion));
        }
        Ok(Outcome { raw, value, removes: hits, full, var: self.record(name, hash, var, generation) })
    }

    /// The active overrides, worked out if a variable they depend on was written.
    pub fn overrides(&self) -> Result<Arc<Overrides>> {
        {
            let st = self.st.borrow();
            if let Some(overrides) = &st.overrides {
                return Ok(overrides.clone());
            }
            if st.in_override {
                return Ok(Arc::default());
            }
        }
        // Nobody asks for the references of OVERRIDES here, and what was read before must be found.
        let collecting = std::mem::take(&mut self.st.borrow_mut().collecting);
        let result = self.settle_overrides();
        let mut st = self.st.borrow_mut();
        st.collecting = collecting;
        // After an error whatever was found last stays (nothing, if the first read failed), until a
        // variable OVERRIDES depends on is written: the error is told once.
        st.in_override = false;
        if result.is_err() {
            st.cache.set_settling(false);
            st.cache.overrides_known = true;
            st.cache.unsettled();
            st.last_overrides = None;
        }
        drop(st);
        result
    }

    fn settle_overrides(&self) -> Result<Arc<Overrides>> {
        let name = "OVERRIDES";
        let hash = hash_name(name);
        let read = || -> Result<Str> {
            let value = self.content(name, hash, Read::default())?;
            Ok(value.filter(Value::is_true).map_or_else(|| "".into(), |value| value.to_text()))
        };
        let mut tried = Vec::new();
        for round in 0..5 {
            {
                // Reading OVERRIDES may come back here: nothing is active meanwhile.
                let mut st = self.st.borrow_mut();
                st.in_override = true;
                st.overrides = Some(Arc::default());
                st.cache.overrides_known = true;
                st.cache.set_settling(round == 0);
            }
            let text = read()?;
            let overrides = Arc::new(Overrides::new(&text));
            {
                let mut st = self.st.borrow_mut();
                st.overrides = Some(overrides.clone());
                st.in_override = false;
                st.cache.set_settling(false);
                if round > 0 {
                    st.cache.forget();
                } else {
                    match st.last_overrides.clone() {
                        None => st.cache.touch_overrides(None),
                        Some(last) if last.list != overrides.list => st.cache.touch_overrides(last.changes(&overrides).as_deref()),
                        Some(_) => {}
                    }
                }
                st.last_overrides = Some(overrides.clone());
            }
            let again = read()?;
            if again == text {
                return Ok(overrides);
            }
            {
                let mut st = self.st.borrow_mut();
                st.overrides = Some(Arc::new(Overrides::new(&again)));
                // What is kept was made with others.
                st.last_overrides = None;
            }
            let list: Vec<Value> = overrides.list.iter().cloned().map(Value::Str).collect();
            tried.push(Value::List(Arc::new(list)).repr());
        }
        self.store.fatal(&format!(
            "Overrides could not be expanded into a stable state after 5 iterations, overrides must be being referenced by other overridden variables in some recursive fashion. Please provide your configuration to bitbake-devel so we can laugh, er, I mean try and understand how to make it work. The list of failing override expansions: {}",
            tried.join("\n")
        ))
    }

    /// `VAR[flag]`, from the cache or expanded now.
    fn flag(&self, name: &str, flag: &str, read: Read) -> Result<Option<Value>> {
        hz_meter::count(hz_meter::Count::Lookup);
        let own = hash_name(name);
        self.st.borrow().note_read(own);
        let Some(value) = self.flag_value(name, own, flag, read.noweakdefault) else { return Ok(None) };
        let source = match value {
            Value::Str(source) if read.expand && text::has_expansion(&source) => source,
            other => return Ok(Some(other)),
        };
        let cache_name = format!("{name}[{flag}]");
        let hash = hash_name(&cache_name);
        if !read.noweakdefault {
            let st = self.st.borrow();
            if let Some(cached) = st.cached(hash, &cache_name) {
                st.note_reads(&cached.reads);
                return Ok(cached.value.clone());
            }
        }
        let (value, (mut reads, origins)) = self.seen(|| self.expand_text(&source, &cache_name, None));
        let value = Value::Str(value?);
        if !read.noweakdefault {
            reads.add_name(own);
            self.st.borrow_mut().cache.put(hash, cache_name.into(), Some(value.clone()), None, (reads, origins));
        }
        Ok(Some(value))
    }

    /// The flag as stored; None also for a stored None.
    fn flag_value(&self, name: &str, hash: u64, flag: &str, noweakdefault: bool) -> Option<Value> {
        let st = self.st.borrow();
        let var = st.vars.get(hash, name)?;
        if var.flags.is_empty() && !flag.starts_with([':', '_']) {
            return None;
        }
        if let Some(keyword) = Keyword::of(flag) {
            return var.operations[keyword as usize].as_deref().map(|list| operations_value(list));
        }
        let own = if flag == "_defaultval" { var.weak.as_ref() } else { var.flag(flag) };
        let value = match own {
            None if !noweakdefault => var.weak_flag(flag),
            own => own,
        };
        some(value).cloned()
    }

    fn known_with_refs(&self, hash: u64, name: &str) -> Option<Arc<Expansion>> {
        let st = self.st.borrow();
        let cached = st.cached(hash, name).filter(|cached| cached.full.is_some())?;
        st.note_reads(&cached.reads);
        cached.full.clone()
    }

    fn read_with_refs(&self, name: &str, flag: &str, read: Read) -> Result<Arc<Expansion>> {
        if flag != "_content" {
            let own = hash_name(name);
            self.st.borrow().note_read(own);
            let value = self.flag_value(name, own, flag, read.noweakdefault);
            let Some(Value::Str(source)) = &value else {
                return Ok(Arc::new(Refs::default().into_expansion(value.clone(), value)));
            };
            let cache_name: Str = format!("{name}[{flag}]").into();
            let hash = hash_name(&cache_name);
            if !read.noweakdefault
                && let Some(full) = self.known_with_refs(hash, &cache_name)
            {
                return Ok(full);
            }
            let mut refs = Refs::default();
            let (expanded, (mut reads, origins)) = self.seen(|| self.expand_text(source, &cache_name, Some(&mut refs)));
            let expanded = Value::Str(expanded?);
            let full = Arc::new(refs.into_expansion(Some(expanded.clone()), value));
            if !read.noweakdefault {
                reads.add_name(own);
                self.st.borrow_mut().cache.put(hash, cache_name, Some(expanded), Some(full.clone()), (reads, origins));
            }
            return Ok(full);
        }
        let hash = hash_name(name);
        if !read.noweakdefault
            && let Some(full) = self.known_with_refs(hash, name)
        {
            return Ok(full);
        }
        let outcome = self.full_content(name, hash, read, true)?;
        Ok(outcome.full.unwrap_or_default())
    }
}

/// `:append` and the like as the list of [value, override] pairs Python sees.
pub(crate) fn operations_value(list: &[Operation]) -> Value {
    let pair = |op: &Operation| {
        let condition = op.condition.clone().map_or(Value::None, Value::Str);
        Value::List(Arc::new(vec![op.value.clone(), condition]))
    };
    Value::List(Arc::new(list.iter().map(pair).collect()))
}

fn apply_operations(value: Option<Value>, var: &Var, overrides: &Overrides) -> Result<Option<Value>> {
    let mut value = value;
    for keyword in [Keyword::Append, Keyword::Prepend] {
        for operation in var.operations(keyword).iter().filter(|op| overrides.applies(&op.condition)) {
            let before = value.unwrap_or_else(|| "".into());
            value = Some(match keyword {
                Keyword::Append => concat(&before, &operation.value)?,
                _ => concat(&operation.value, &before)?,
            });
        }
    }
    Ok(value)
}

/// The active override variant that wins, as its whole name.
fn pick_variant<'v>(variants: &'v [(Str, Str)], overrides: &Overrides) -> Option<&'v Str> {
    // The last to come first in OVERRIDES; of two names for one override the later.
    let mut last: Option<(usize, &Str)> = None;
    let mut combined = false;
    for (name, over) in variants {
        match overrides.position.get(over) {
            Some(at) if last.is_none_or(|(known, _)| *at >= known) => last = Some((*at, name)),
            Some(_) => {}
            None => combined |= overrides.all_active(over),
        }
    }
    if !combined {
        return last.map(|(_, name)| name);
    }
    let active = || variants.iter().filter(|(_, o)| overrides.all_active(o));
    // Combinations lose the overrides they name, one by one in the order of OVERRIDES, until one
    // is left, which then counts as itself.
    let mut left: IndexMap<String, &Str> = IndexMap::new();
    for (name, o) in active() {
        left.insert(o.to_string(), name);
    }
    let mut winner = None;
    let mut changed = true;
    while changed {
        changed = false;
        for one in &overrides.list {
            let suffix = format!(":{one}");
            for key in left.keys().cloned().collect::<Vec<_>>() {
                if key.ends_with(&suffix) {
                    if let Some(name) = left.shift_remove(&key) {
                        left.insert(key.replace(&suffix, ""), name);
                        changed = true;
                    }
                } else if key == **one {
                    winner = left.shift_remove(&key);
                }
            }
        }
    }
    winner
}

/// `source` without the words of `removes` (original, expanded); None if nothing matched. And the
/// removes that matched.
fn remove_words(source: &str, removes: &[(Str, Str)]) -> (Option<String>, Vec<Str>) {
    let removes: Vec<(&Str, Vec<&str>)> = removes.iter().map(|(o, e)| (o, text::words(e).collect())).collect();
    let mut hits: Vec<Str> = Vec::new();
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    while !rest.is_empty() {
        let end = rest.find(text::is_space).unwrap_or(rest.len());
        let word = &rest[..end];
        let mut gone = false;
        for (original, words) in &removes {
            if words.contains(&word) {
                gone = true;
                if !hits.contains(original) {
                    hits.push((*original).clone());
                }
            }
        }
        if !gone {
            out.push_str(word);
        }
        rest = &rest[end..];
        if let Some(space) = rest.chars().next() {
            out.push(space);
            rest = &rest[space.len_utf8()..];
        }
    }
    if hits.is_empty() { (None, hits) } else { (Some(out), hits) }
}

impl DataStore {
    /// `d.getVar(name, expand, noweakdefault, parsing)`.
    pub fn get_var(&self, name: &str, read: Read) -> Result<Option<Value>> {
        if Method::GetVar.asks() {
            return self.ask_value(Method::GetVar, &[name], read);
        }
        // The original is a call of the other.
        if Method::GetVarFlag.asks() {
            return self.ask_value(Method::GetVarFlag, &[name, "_content"], read);
        }
        self.own_var(name, read)
    }

    fn own_var(&self, name: &str, read: Read) -> Result<Option<Value>> {
        hz_meter::count(hz_meter::Count::Lookup);
        let hash = hash_name(name);
        let question = || Question::Variable(name.into(), read);
        answers::heard(self, question, || {
            self.locked(|ctx| {
                if read.expand && !read.noweakdefault && !read.parsing {
                    let st = ctx.st.borrow();
                    if let Quick::Value(value) = st.quick(hash, name, st.collecting > 0) {
                        return Ok(value.cloned());
                    }
                }
                ctx.content(name, hash, read)
            })
        })
    }

    /// `d.getVar(name)` as text; None when unset.
    pub fn get(&self, name: &str) -> Result<Option<Str>> {
        Ok(self.get_var(name, Read::default())?.map(|value| value.to_text()))
    }

    /// `d.getVar(name) or ""`.
    pub fn get_or_empty(&self, name: &str) -> Result<Str> {
        let value = self.get_var(name, Read::default())?.filter(Value::is_true);
        Ok(value.map_or_else(|| "".into(), |value| value.to_text()))
    }

    /// `d.getVar(name, False)`; None also if an override variant could not be worked out.
    pub fn get_raw(&self, name: &str) -> Option<Value> {
        self.get_var(name, RAW).ok().flatten()
    }

    /// `d.getVarFlag(name, flag, expand, noweakdefault, parsing)`.
    pub fn get_flag(&self, name: &str, flag: &str, read: Read) -> Result<Option<Value>> {
        if Method::GetVarFlag.asks() {
            return self.ask_value(Method::GetVarFlag, &[name, flag], read);
        }
        match flag {
            "_content" => self.own_var(name, read),
            "" => {
                self.warn("Calling getVarFlag with flag unset is invalid");
                Ok(None)
            }
            _ => {
                let question = || Question::Flag(name.into(), flag.into(), read);
                answers::heard(self, question, || self.locked(|ctx| ctx.flag(name, flag, read)))
            }
        }
    }

    /// Flag, expanded, as text.
    pub fn flag_text(&self, name: &str, flag: &str) -> Result<Option<Str>> {
        Ok(self.get_flag(name, flag, Read::default())?.map(|value| value.to_text()))
    }

    /// `bb.utils.to_boolean(d.getVarFlag(name, flag))`. Errors: text that is neither true nor
    /// false (a ValueError).
    pub fn flag_is_true(&self, name: &str, flag: &str) -> Result<bool> {
        Ok(match self.get_flag(name, flag, Read::default())? {
            None => false,
            Some(Value::Str(text)) if !text.is_empty() => text::to_boolean(&text).ok_or_else(|| {
                DataError::python("ValueError", format!("Invalid value for to_boolean: {text}"))
            })?,
            Some(value) => value.is_true(),
        })
    }

    /// `getVarFlags`: `expand` lists the flags to expand (None: none). Internal flags (those
    /// starting with "_" and the `:append` records) only with `internal`. None: no flags at all.
    pub fn get_flags(
        &self,
        name: &str,
        expand: Option<&[&str]>,
        internal: bool,
    ) -> Result<Option<IndexMap<Str, Value>>> {
        if Method::GetVarFlags.asks() {
            return self.ask_flags(name, expand, internal);
        }
        self.locked(|ctx| {
            let Some(var) = ctx.st.borrow().vars.get(hash_name(name), name).cloned() else { return Ok(None) };
            let mut flags: IndexMap<Str, Value> = IndexMap::with_capacity(var.flags.len());
            if internal {
                if let Some(content) = &var.content {
                    flags.insert("_content".into(), content.clone());
                }
                if let Some(weak) = &var.weak {
                    flags.insert("_defaultval".into(), weak.clone());
                }
                for keyword in Keyword::ALL {
                    if let Some(list) = &var.operations[keyword as usize] {
                        flags.insert(keyword.text().into(), operations_value(list));
                    }
                }
            }
            for (flag, value) in &var.flags {
                if internal {
                    flags.insert(flag.clone(), value.clone());
                } else if let Some(weak) = flag.strip_prefix(WEAK_FLAG) {
                    if var.flag(weak).is_none() {
                        flags.insert(weak.into(), value.clone());
                    }
                } else if !flag.starts_with(['_', ':']) {
                    flags.insert(flag.clone(), value.clone());
                }
            }
            for &flag in expand.unwrap_or_default() {
                if let Some(Value::Str(source)) = flags.get(flag)
                    && text::has_expansion(source)
                {
                    let expanded = ctx.expand_text(&source.clone(), &format!("{name}[{flag}]"), None)?;
                    flags.insert(flag.into(), Value::Str(expanded));
                }
            }
            Ok((!flags.is_empty()).then_some(flags))
        })
    }

    /// getVarFlag(name, flag, expand=False, retparser=True), as dependency analysis reads: the
    /// expanded value (`value`), the unexpanded one and everything the expansion touches. `flag`
    /// is "_content" for the variable itself. Filters do not apply, as in the reference, unless an
    /// earlier plain read left its filtered result behind.
    pub fn read_with_refs(&self, name: &str, flag: &str) -> Result<Expansion> {
        self.read_shared_with_refs(name, flag, RAW).map(Arc::unwrap_or_clone)
    }

    /// [`Self::read_with_refs`] without a copy of the sets, and for other kinds of reads: with
    /// `read.expand` filters apply.
    pub fn read_shared_with_refs(&self, name: &str, flag: &str, read: Read) -> Result<Arc<Expansion>> {
        self.locked(|ctx| {
            ctx.st.borrow_mut().collecting += 1;
            let result = ctx.read_with_refs(name, flag, read);
            ctx.st.borrow_mut().collecting -= 1;
            result
        })
    }

    /// `d.getVar(name, False) is not None`.
    pub fn contains(&self, name: &str) -> bool {
        self.get_raw(name).is_some()
    }

    /// Was the name written in this store itself, rather than in the one it is a copy of?
    pub fn owns(&self, name: &str) -> bool {
        self.locked(|ctx| {
            let st = ctx.st.borrow();
            st.vars.get(hash_name(name), name).is_some_and(|var| var.owner == st.id)
        })
    }

    /// Changes with every write.
    pub fn generation(&self) -> u64 {
        self.locked(|ctx| ctx.st.borrow().cache.generation())
    }

    /// Is any variable filtered?
    pub fn has_filters(&self) -> bool {
        self.locked(|ctx| !ctx.st.borrow().filters.is_empty())
    }

    /// Was any override variant of the name ever set?
    pub fn has_overrides(&self, name: &str) -> bool {
        self.locked(|ctx| ctx.st.borrow().vars.get(hash_name(name), name).is_some_and(|var| var.variants.is_some()))
    }

    /// OVERRIDES split, in order; `need_overrides`.
    pub fn overrides(&self) -> Result<Vec<Str>> {
        self.locked(|ctx| Ok(ctx.overrides()?.list.clone()))
    }
}

/// The flags of a variable as they are now, some of them expanded.
pub struct Flags {
    pub(crate) var: Option<Arc<Var>>,
    expanded: Vec<(&'static str, Value)>,
}

impl Flags {
    /// A flag; weak defaults count where there is none.
    pub fn get(&self, flag: &str) -> Option<&Value> {
        let var = self.var.as_ref()?;
        if let Some((_, value)) = self.expanded.iter().find(|(known, _)| *known == flag) {
            return Some(value);
        }
        stored_flag(var, flag)
    }

    /// Is there a record of the variable, and is it the very one that the other looked at?
    pub fn same_record(&self, other: &Flags) -> bool {
        match (&self.var, &other.var) {
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            (None, None) => true,
            _ => false,
        }
    }

    /// Is there no record of the variable?
    pub fn is_missing(&self) -> bool {
        self.var.is_none()
    }

    /// The flags as they are stored, and those that were expanded.
    pub fn stored(&self) -> &[(Str, Value)] {
        self.var.as_ref().map_or(&[], |var| &var.flags)
    }
    pub fn expanded(&self) -> &[(&'static str, Value)] {
        &self.expanded
    }
    /// Are there weak defaults among the flags?
    pub fn has_weak(&self) -> bool {
        self.stored().iter().any(|(flag, _)| flag.starts_with(WEAK_FLAG))
    }

    /// The raw value of the variable, where nothing but its record decides that: no override variants, no
    /// operations, no methods of metadata's own.
    pub fn own_value(&self) -> Option<Option<&Value>> {
        if Method::GetVar.asks() || Method::GetVarFlag.asks() {
            return None;
        }
        match &self.var {
            None => Some(None),
            Some(var) if var.variants.is_some() || var.has_operations() => None,
            Some(var) => Some(some(var.content.as_ref().or(var.weak.as_ref()))),
        }
    }
    /// As [`Self::own_value`], where there is nothing to expand in it either.
    pub fn plain_value(&self) -> Option<Option<&Value>> {
        if self.var.as_ref().is_some_and(|var| var.dollar) { None } else { self.own_value() }
    }

    /// The names of the flags, those left out that are the store's own.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.var.iter().flat_map(|var| {
            var.flags.iter().filter_map(|(flag, _)| match flag.strip_prefix(WEAK_FLAG) {
                Some(weak) => var.flag(weak).is_none().then_some(weak),
                None => (!flag.starts_with(['_', ':'])).then_some(&**flag),
            })
        })
    }
}

/// The flag that holds the weak default of another.
pub(crate) const WEAK_FLAG: &str = "_defaultval_flag_";

pub(crate) fn stored_flag<'v>(var: &'v Var, flag: &str) -> Option<&'v Value> {
    if var.flags.is_empty() {
        return None;
    }
    var.flag(flag).or_else(|| var.weak_flag(flag))
}

impl DataStore {
    /// What [`Self::get_flags`] gives without internal flags, without a copy. `expand` are the flags
    /// to expand.
    pub fn flags_view(&self, name: &str, expand: &[&'static str]) -> Result<Flags> {
        self.locked(|ctx| {
            let hash = hash_name(name);
            let var = {
                let st = ctx.st.borrow();
                st.note_read(hash);
                st.vars.get(hash, name).cloned()
            };
            let mut expanded = Vec::new();
            let expands = |var: &&Arc<Var>| var.flags.iter().any(|(_, value)| matches!(value, Value::Str(text) if text::has_expansion(text)));
            if let Some(var) = var.as_ref().filter(expands) {
                for flag in expand {
                    if let Some(Value::Str(source)) = stored_flag(var, flag)
                        && text::has_expansion(source)
                    {
                        expanded.push((*flag, Value::Str(ctx.expand_text(source, &format!("{name}[{flag}]"), None)?)));
                    }
                }
            }
            Ok(Flags { var, expanded })
        })
    }
}

/// References as a set, for those who only want them.
pub(crate) fn dependencies(refs: &Refs) -> BTreeSet<Str> {
    refs.references.iter().chain(refs.contains.keys()).cloned().collect()
}
