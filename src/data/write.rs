//! Writing: values, flags, operations, deletions and renames, and what they do to overrides.

use crate::history::{FROM_RENAME, FROM_RENAMED_FLAG, FROM_RENAMED_SET, FROM_SET};
use crate::pmap::hash_name;
use crate::read::{concat, dependencies, operations_value};
use crate::store::{Ctx, Operation, State, Var};
use crate::text::{Keyword, split_operation};
use crate::{DataError, DataStore, Method, RAW, Origin, Read, Result, SetInfo, Value};
use hz_diagnostics::Str;
use memchr::memmem;
use std::sync::Arc;

/// Set from within the store on behalf of `info`: not worth a history entry of its own.
fn silent(info: &SetInfo, parsing: bool) -> SetInfo {
    SetInfo { parsing, ignore: true, op: "", detail: None, ..info.clone() }
}

/// Each (shorter name, overrides) a variant name stands for: `A:b:c` is `c` of `A:b` and `b:c`
/// of `A`. Overrides start with a small letter or digit. A name without colon is taken for a
/// variant of itself less a character, as the reference does for operations on such names.
fn variant_steps(name: &str) -> impl Iterator<Item = (&str, &str)> {
    let first = match name.rfind(':') {
        Some(at) => Some((&name[..at], &name[at + 1..])),
        None => name.char_indices().next_back().map(|(at, _)| (&name[..at], name)),
    };
    let is_override = |over: &str| over.bytes().next().is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    std::iter::successors(first, move |(short, _)| {
        let at = short.rfind(':').filter(|&at| at > 0)?;
        Some((&name[..at], &name[at + 1..]))
    })
    .take_while(move |(_, over)| is_override(over))
}

impl State {
    /// Makes the variant known to the names it is a variant of.
    fn add_variant(&mut self, name: &str) {
        let mut whole: Option<Str> = None;
        for (short, over) in variant_steps(name) {
            let known = self.vars.get(hash_name(short), short).and_then(|var| var.variants.as_ref());
            if known.is_some_and(|list| list.iter().any(|(n, o)| &**n == name && &**o == over)) {
                continue;
            }
            let whole = whole
                .get_or_insert_with(|| match self.vars.get(hash_name(name), name) {
                    Some(var) => var.name.clone(),
                    None => name.into(),
                })
                .clone();
            // Being listed here does not make the shorter name one of the store's own.
            self.cache.touch_name(short);
            let owner = self.vars.get(hash_name(short), short).map_or(0, |var| var.owner);
            let var = self.var_mut(short);
            var.owner = owner;
            Arc::make_mut(var.variants.get_or_insert_default()).push((whole, over.into()));
        }
    }

    fn remove_variant(&mut self, name: &str) {
        for (short, over) in variant_steps(name) {
            let Some(var) = self.vars.get(hash_name(short), short) else { continue };
            let Some(list) = &var.variants else { continue };
            let Some(at) = list.iter().position(|(n, o)| &**n == name && &**o == over) else { continue };
            self.cache.touch_name(short);
            self.marked = None;
            if let Some(list) = self.vars.get_mut(hash_name(short), short).and_then(|var| var.variants.as_mut()) {
                Arc::make_mut(list).remove(at);
            }
        }
    }
}

impl<'a> Ctx<'a> {
    /// What the reference does by a call of its own method, which may be one of the metadata.
    fn call_set(&self, name: &str, value: Value, info: &SetInfo) -> Result<()> {
        if Method::SetVar.is_replaced() { self.store.set_var(name, value, info) } else { self.set(name, value, info) }
    }

    /// As [`Self::call_set`].
    fn call_delete(&self, name: &str, info: &SetInfo) -> Result<()> {
        if Method::DelVar.is_replaced() {
            return self.store.del_var(name, info);
        }
        self.delete(name, info);
        Ok(())
    }

    /// As [`Self::call_set`].
    fn call_set_flag(&self, name: &str, flag: &str, value: Value, info: &SetInfo) -> Result<()> {
        if Method::SetVarFlag.is_replaced() {
            return self.store.set_flag(name, flag, value, info);
        }
        self.set_flag(name, flag, value, info)
    }

    fn set(&self, name: &str, value: Value, info: &SetInfo) -> Result<()> {
        hz_meter::count(hz_meter::Count::Set);
        if name.contains('_')
            && !name.starts_with("__anon_")
            && ["_append", "_prepend", "_remove"].iter().any(|op| memmem::find(name.as_bytes(), op.as_bytes()).is_some())
        {
            let mut place = String::new();
            if let Some(file) = info.stated_file() {
                place = format!(" file: {file} line: {}", info.line);
            }
            return self.store.fatal(&format!(
                "Variable {name}{place} contains an operation using the old override syntax. Please convert this layer/metadata before attempting to use with a newer bitbake."
            ));
        }
        let base = name.split(':').next().unwrap_or(name);
        self.check_renamed(base, name, info, FROM_RENAMED_SET)?;
        self.st.borrow_mut().cache.touch_name(name);

        if let Some((base, keyword, condition)) = split_operation(name) {
            self.st.borrow_mut().cache.touch_name(base);
            self.check_renamed(base, base, &SetInfo::default(), FROM_RENAMED_FLAG)?;
            let operation = Operation { value: value.clone(), condition: condition.map(Str::from) };
            let asked = Method::SetVarFlag.is_replaced();
            if asked {
                let known = self.st.borrow().vars.get(hash_name(base), base).map(|var| var.operations(keyword).to_vec());
                let all: Vec<Operation> = known.into_iter().flatten().chain([operation.clone()]).collect();
                self.store.set_flag(base, keyword.text(), operations_value(&all), &silent(&SetInfo::default(), false))?;
            }
            {
                let mut st = self.st.borrow_mut();
                if !asked {
                    st.var_mut(base).operations_mut(keyword).push(operation);
                }
                if st.tracking && !info.ignore {
                    let op = match condition {
                        Some(condition) if !condition.is_empty() => format!("{}[{condition}]", keyword.text()),
                        _ => keyword.text().to_string(),
                    };
                    st.record(info, base, &op, &value, None);
                }
                st.add_variant(base);
            }
            return self.note_override_source(base, name, &value);
        }

        if !info.parsing {
            self.drop_pending(name)?;
        }
        {
            let mut st = self.st.borrow_mut();
            if name.contains(':') {
                st.add_variant(name);
            }
            st.record(info, name, info.op, info.detail.as_ref().unwrap_or(&value), None);
            st.var_mut(name).put_content(Some(value.clone()));
        }
        self.note_override_source(name, name, &value)
    }

    /// A value set by code replaces everything: operations and active override variants go.
    fn drop_pending(&self, name: &str) -> Result<()> {
        let variants = {
            let mut st = self.st.borrow_mut();
            let Some(var) = st.vars.get(hash_name(name), name) else { return Ok(()) };
            let variants = var.variants.clone();
            if var.has_operations() {
                st.var_mut(name).operations = [None, None, None];
            }
            variants
        };
        let Some(variants) = variants else { return Ok(()) };
        let overrides = self.overrides()?;
        let because = SetInfo::internal(FROM_SET);
        for (variant, _) in variants.iter().filter(|(_, over)| overrides.all_active(over)) {
            self.call_delete(variant, &because)?;
        }
        self.st.borrow_mut().var_mut(name).variants = None;
        Ok(())
    }

    /// `bb.erroronce` for a name that went away with a former release; the recipe will fail.
    fn check_renamed(&self, name: &str, full: &str, info: &SetInfo, origin: Origin) -> Result<()> {
        let Some(hint) = self.st.borrow().renamed.get(name).cloned() else { return Ok(()) };
        let mut place = String::new();
        if let Some(file) = info.stated_file() {
            place = format!(" file: {file} line: {}", info.line);
        }
        if full != name {
            place.push_str(" referenced as: ");
            place.push_str(full);
        }
        if !place.is_empty() {
            place = format!(" ({})", place.trim());
        }
        let what = if hint.contains(' ') { hint.to_string() } else { format!("has been renamed to {hint}") };
        self.store.0.runtime.log(39, "Main", &format!("Variable {name} {what}{place}"));
        self.call_set("_FAILPARSINGERRORHANDLED", Value::Bool(true), &SetInfo::internal(origin))
    }

    /// If OVERRIDES depends on the variable just written, what it depends on is found out anew
    /// and the active overrides are forgotten.
    fn note_override_source(&self, written: &str, name: &str, value: &Value) -> Result<()> {
        if !self.st.borrow().override_vars.contains(written) {
            return Ok(());
        }
        let mut found = match value {
            Value::Str(text) => dependencies(&self.expand_collecting(text, name)?),
            _ => Default::default(),
        };
        while found.iter().any(|name| !self.st.borrow().override_vars.contains(name)) {
            Arc::make_mut(&mut self.st.borrow_mut().override_vars).extend(found.iter().cloned());
            let mut next = std::collections::BTreeSet::new();
            for name in &found {
                if let Some(Value::Str(text)) = self.content(name, hash_name(name), Read::default())? {
                    next.extend(dependencies(&self.expand_collecting(&text, name)?));
                }
            }
            found = next;
        }
        let mut st = self.st.borrow_mut();
        st.forget_overrides();
        Ok(())
    }

    fn expand_collecting(&self, text: &Str, name: &str) -> Result<crate::Refs> {
        let mut refs = crate::Refs::default();
        self.expand_text(text, name, Some(&mut refs))?;
        Ok(refs)
    }

    fn delete(&self, name: &str, info: &SetInfo) {
        let mut st = self.st.borrow_mut();
        st.cache.touch_name(name);
        st.record(info, name, "del", &"".into(), None);
        if st.vars.get(hash_name(name), name).is_some() {
            let var = st.var_mut(name);
            var.clear();
            var.variants = None;
        }
        if name.contains(':') {
            st.remove_variant(name);
        }
    }

    fn set_flag(&self, name: &str, flag: &str, value: Value, info: &SetInfo) -> Result<()> {
        hz_meter::count(hz_meter::Count::Set);
        {
            let mut st = self.st.borrow_mut();
            st.cache.touch_name(name);
            if name == "BB_RENAMED_VARIABLES" {
                let text = value.to_text();
                Arc::make_mut(&mut st.renamed).insert(flag.into(), text);
            }
        }
        self.check_renamed(name, name, info, FROM_RENAMED_FLAG)?;
        {
            let mut st = self.st.borrow_mut();
            st.record(info, name, info.op, info.detail.as_ref().unwrap_or(&value), Some(flag));
            self.store_flag(&mut st, name, flag, value.clone())?;
        }
        if flag == "_defaultval" {
            if name.contains(':') {
                self.st.borrow_mut().add_variant(name);
            }
            self.note_override_source(name, name, &value)?;
        }
        if flag == "export" || flag == "unexport" {
            let mut st = self.st.borrow_mut();
            let exported = st.vars.get(hash_name(name), name).map(|var| var.name.clone());
            let list = st.var_mut("__exportlist");
            if let Some(exported) = exported {
                match &mut list.content {
                    Some(Value::Set(set)) if set.contains(&exported) => {}
                    Some(Value::Set(set)) => {
                        Arc::make_mut(set).insert(exported);
                    }
                    _ => list.put_content(Some(Value::Set(Arc::new([exported].into_iter().collect())))),
                }
            }
        }
        Ok(())
    }

    fn store_flag(&self, st: &mut State, name: &str, flag: &str, value: Value) -> Result<()> {
        let var = st.var_mut(name);
        match flag {
            "_content" => var.put_content(Some(value)),
            "_defaultval" => var.put_weak(Some(value)),
            _ => match Keyword::of(flag) {
                Some(keyword) => var.operations[keyword as usize] = Some(Arc::new(operations_from(&value)?)),
                None => match var.flags.iter_mut().find(|(known, _)| &**known == flag) {
                    Some((_, slot)) => *slot = value,
                    None => var.flags.push((flag.into(), value)),
                },
            },
        }
        Ok(())
    }

    fn delete_flag(&self, name: &str, flag: &str, info: &SetInfo) {
        let mut st = self.st.borrow_mut();
        st.cache.touch_name(name);
        let Some(var) = st.vars.get(hash_name(name), name) else { return };
        let there = match flag {
            "_content" => var.content.is_some(),
            "_defaultval" => var.weak.is_some(),
            _ => match Keyword::of(flag) {
                Some(keyword) => var.operations[keyword as usize].is_some(),
                None => var.flag(flag).is_some(),
            },
        };
        if !there {
            return;
        }
        st.record(info, name, "delFlag", &"".into(), Some(flag));
        let var = st.var_mut(name);
        match flag {
            "_content" => var.put_content(None),
            "_defaultval" => var.put_weak(None),
            _ => match Keyword::of(flag) {
                Some(keyword) => var.operations[keyword as usize] = None,
                None => {
                    var.flags.retain(|(known, _)| &**known != flag && known.strip_prefix("_defaultval_flag_") != Some(flag))
                }
            },
        }
    }

    /// `level`: override variants of override variants; a name renamed to a variant of itself
    /// would never end.
    fn rename(&self, name: &str, new: &str, info: &SetInfo, level: u32) -> Result<()> {
        if level > 30 {
            return Err(DataError::too_deep());
        }
        if name == new {
            self.store.warn(&format!("Calling renameVar with equivalent keys ({name}) is invalid"));
            return Ok(());
        }
        let value = self.content(name, hash_name(name), Read { parsing: true, ..RAW })?;
        if let Some(value) = &value {
            {
                let mut st = self.st.borrow_mut();
                st.rename_history(name, new);
                st.record(info, new, &format!("rename from {name}"), value, None);
            }
            self.call_set(new, value.clone(), &silent(info, true))?;
        }

        let old = self.st.borrow().vars.get(hash_name(name), name).cloned();
        if let Some(old) = &old {
            for keyword in Keyword::ALL {
                let moved = old.operations(keyword);
                if old.operations[keyword as usize].is_none() {
                    continue;
                }
                self.check_renamed(new, new, &SetInfo::default(), FROM_RENAMED_FLAG)?;
                let mut st = self.st.borrow_mut();
                st.cache.touch_name(new);
                st.var_mut(new).operations_mut(keyword).extend(moved.iter().cloned());
            }
            if let Some(variants) = &old.variants {
                let mut renamed: Vec<(Str, Str)> = Vec::with_capacity(variants.len());
                {
                    let mut st = self.st.borrow_mut();
                    st.cache.touch_name(new);
                    st.var_mut(new).variants = Some(Arc::default());
                }
                for (variant, over) in variants.iter() {
                    let target: Str = variant.replace(name, new).into();
                    renamed.push((target.clone(), over.clone()));
                    {
                        let mut st = self.st.borrow_mut();
                        st.cache.touch_name(new);
                        let list = Arc::make_mut(st.var_mut(new).variants.get_or_insert_default());
                        list.push((target.clone(), over.clone()));
                    }
                    let because = SetInfo::internal(FROM_RENAME);
                    if Method::RenameVar.is_replaced() {
                        self.store.rename_var(variant, &target, &because)?;
                    } else {
                        self.rename(variant, &target, &because, level + 1)?;
                    }
                }
            }
        }
        if new.contains(':') && value.is_none() {
            self.st.borrow_mut().add_variant(new);
        }
        self.st.borrow_mut().record(info, name, "rename (to)", &new.into(), None);
        self.call_delete(name, &silent(info, false))
    }
}

/// The [value, override] pairs Python hands in for `:append` and the like.
fn operations_from(value: &Value) -> Result<Vec<Operation>> {
    let wrong = || DataError::python("TypeError", "an operation record is a list of [value, override] pairs");
    let Value::List(list) = value else { return Err(wrong()) };
    list.iter()
        .map(|item| match item {
            Value::List(pair) => match pair.as_slice() {
                [value, Value::None] => Ok(Operation { value: value.clone(), condition: None }),
                [value, Value::Str(condition)] => {
                    Ok(Operation { value: value.clone(), condition: Some(condition.clone()) })
                }
                _ => Err(wrong()),
            },
            _ => Err(wrong()),
        })
        .collect()
}

/// The operation for "FLAG = old + new" flavours of flag writing.
fn flag_text(value: Option<Value>) -> Value {
    value.filter(Value::is_true).unwrap_or_else(|| "".into())
}

impl DataStore {
    /// `d.setVar(name, value)`. Errors: an operation in the old syntax, a recursive OVERRIDES.
    pub fn set_var(&self, name: &str, value: impl Into<Value>, info: &SetInfo) -> Result<()> {
        let value = value.into();
        if Method::SetVar.asks() {
            return self.ask_change(Method::SetVar, &[name.into(), value], info);
        }
        self.locked(|ctx| ctx.set(name, value, info))
    }

    pub fn append_var(&self, name: &str, value: impl Into<Value>, info: &SetInfo) -> Result<()> {
        if Method::AppendVar.asks() {
            return self.ask_change(Method::AppendVar, &[name.into(), value.into()], info);
        }
        self.operation(name, value.into(), info, "append", Keyword::Append)
    }

    pub fn prepend_var(&self, name: &str, value: impl Into<Value>, info: &SetInfo) -> Result<()> {
        if Method::PrependVar.asks() {
            return self.ask_change(Method::PrependVar, &[name.into(), value.into()], info);
        }
        self.operation(name, value.into(), info, "prepend", Keyword::Prepend)
    }

    fn operation(&self, name: &str, value: Value, info: &SetInfo, op: &str, keyword: Keyword) -> Result<()> {
        self.locked(|ctx| {
            ctx.st.borrow_mut().record(info, name, op, info.detail.as_ref().unwrap_or(&value), None);
            ctx.call_set(&format!("{name}{}", keyword.text()), value, &silent(info, true))
        })
    }

    pub fn del_var(&self, name: &str, info: &SetInfo) -> Result<()> {
        if Method::DelVar.asks() {
            return self.ask_change(Method::DelVar, &[name.into()], info);
        }
        self.locked(|ctx| ctx.delete(name, info));
        Ok(())
    }

    /// `d.renameVar(name, new)`: value, operations and override variants move, other flags do not.
    pub fn rename_var(&self, name: &str, new: &str, info: &SetInfo) -> Result<()> {
        if Method::RenameVar.asks() {
            return self.ask_change(Method::RenameVar, &[name.into(), new.into()], info);
        }
        self.locked(|ctx| ctx.rename(name, new, info, 0))
    }

    pub fn set_flag(&self, name: &str, flag: &str, value: impl Into<Value>, info: &SetInfo) -> Result<()> {
        let value = value.into();
        if Method::SetVarFlag.asks() {
            return self.ask_change(Method::SetVarFlag, &[name.into(), flag.into(), value], info);
        }
        self.locked(|ctx| ctx.set_flag(name, flag, value, info))
    }

    pub fn append_flag(&self, name: &str, flag: &str, value: impl Into<Value>, info: &SetInfo) -> Result<()> {
        let value = value.into();
        if Method::AppendVarFlag.asks() {
            return self.ask_change(Method::AppendVarFlag, &[name.into(), flag.into(), value], info);
        }
        self.locked(|ctx| {
            ctx.st.borrow_mut().record(info, name, "append", info.detail.as_ref().unwrap_or(&value), Some(flag));
            let joined = concat(&flag_text(self.get_flag(name, flag, RAW)?), &value)?;
            ctx.call_set_flag(name, flag, joined, &silent(info, false))
        })
    }

    pub fn prepend_flag(&self, name: &str, flag: &str, value: impl Into<Value>, info: &SetInfo) -> Result<()> {
        let value = value.into();
        if Method::PrependVarFlag.asks() {
            return self.ask_change(Method::PrependVarFlag, &[name.into(), flag.into(), value], info);
        }
        self.locked(|ctx| {
            ctx.st.borrow_mut().record(info, name, "prepend", info.detail.as_ref().unwrap_or(&value), Some(flag));
            let joined = concat(&value, &flag_text(self.get_flag(name, flag, RAW)?))?;
            ctx.call_set_flag(name, flag, joined, &silent(info, false))
        })
    }

    pub fn del_flag(&self, name: &str, flag: &str, info: &SetInfo) -> Result<()> {
        if Method::DelVarFlag.asks() {
            return self.ask_change(Method::DelVarFlag, &[name.into(), flag.into()], info);
        }
        self.locked(|ctx| ctx.delete_flag(name, flag, info));
        Ok(())
    }

    /// `d.setVarFlags(name, flags)`: stores each as it is; none of set_flag's consequences.
    pub fn set_flags(&self, name: &str, flags: &[(&str, Value)], info: &SetInfo) -> Result<()> {
        if Method::SetVarFlags.asks() {
            let flags = flags.iter().map(|(flag, value)| (Str::from(*flag), value.clone())).collect();
            return self.ask_change(Method::SetVarFlags, &[name.into(), Value::Map(Arc::new(flags))], info);
        }
        self.locked(|ctx| {
            let mut st = ctx.st.borrow_mut();
            st.cache.touch_name(name);
            st.var_mut(name);
            for (flag, value) in flags.iter().filter(|(flag, _)| *flag != "_content") {
                // The reference finds no caller to remember here.
                if info.stated_file().is_some() {
                    st.record(info, name, info.op, value, Some(flag));
                }
                ctx.store_flag(&mut st, name, flag, value.clone())?;
            }
            Ok(())
        })
    }

    /// `d.delVarFlags(name)`: only the value itself stays.
    pub fn del_flags(&self, name: &str, info: &SetInfo) -> Result<()> {
        if Method::DelVarFlags.asks() {
            return self.ask_change(Method::DelVarFlags, &[name.into()], info);
        }
        self.locked(|ctx| {
            let mut st = ctx.st.borrow_mut();
            st.cache.touch_name(name);
            st.record(info, name, "delete flags", &Value::None, None);
            let Some(known) = st.vars.get(hash_name(name), name) else { return Ok(()) };
            // Of a variable without a value the reference drops this store's copy, and all of it
            // is what the store it was copied from had.
            if known.content.is_some() {
                let var = st.var_mut(name);
                let content = var.content.take();
                var.clear();
                var.put_content(content);
            } else if known.owner == st.id {
                let below = st.beneath.as_ref().and_then(|vars| vars.get(hash_name(name), name)).cloned();
                let var = st.var_mut(name);
                let variants = var.variants.take();
                match below {
                    Some(below) => *var = Var { variants, ..(*below).clone() },
                    None => {
                        var.clear();
                        var.variants = variants;
                        var.owner = 0;
                    }
                }
            }
            Ok(())
        })
    }

    /// `d.initVar(name)`.
    pub fn init_var(&self, name: &str) {
        self.locked(|ctx| {
            let mut st = ctx.st.borrow_mut();
            st.cache.touch_name(name);
            st.var_mut(name);
        });
    }

    /// `setVarFilter`; None removes it. What was expanded before stays as it was.
    pub fn set_filter(&self, name: &str, expr: Option<&str>) -> Result<()> {
        self.locked(|ctx| {
            let mut st = ctx.st.borrow_mut();
            st.cache.filtered(name);
            let filters = Arc::make_mut(&mut st.filters);
            match expr.filter(|expr| !expr.is_empty()) {
                Some(expr) => {
                    filters.insert(name.into(), expr.into());
                }
                None => {
                    filters.remove(name);
                }
            }
        });
        Ok(())
    }

    /// The pending operations of a name, as Python sees them (`:append`, `:prepend`, `:remove`).
    pub fn operations(&self, name: &str) -> Vec<(&'static str, Value)> {
        self.locked(|ctx| {
            let st = ctx.st.borrow();
            let Some(var) = st.vars.get(hash_name(name), name) else { return Vec::new() };
            Keyword::ALL
                .into_iter()
                .filter_map(|k| var.operations[k as usize].as_deref().map(|list| (k.text(), operations_value(list))))
                .collect()
        })
    }
}
