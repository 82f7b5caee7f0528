//! A variable as it stands in a store, for those who keep what they made of it and want to know whether it is
//! still the same, without a copy of anything.

use crate::pmap::hash_name;
use crate::read::{Flags, WEAK_FLAG, base_name, some, stored_flag};
use crate::store::{State, Var};
use crate::text::{Keyword, next_variable};
use crate::{DataStore, Method, RAW, Value};
use hz_diagnostics::Str;
use memchr::memchr;
use std::sync::Arc;

/// What a store has of a name.
#[derive(Clone, Copy)]
pub struct Record<'a>(&'a Arc<Var>, &'a State);

impl<'a> Record<'a> {
    /// Is it the very one that was looked at then?
    pub fn is_of(self, flags: &Flags) -> bool {
        flags.var.as_ref().is_some_and(|var| Arc::ptr_eq(var, self.0))
    }
    pub fn flags(self) -> &'a [(Str, Value)] {
        &self.0.flags
    }
    pub fn has_weak_flags(self) -> bool {
        self.0.flags.iter().any(|(flag, _)| flag.starts_with(WEAK_FLAG))
    }
    /// A flag; a weak default counts where there is none. Not for the names of operations and what begins with `_`.
    pub fn flag(self, flag: &str) -> Option<&'a Value> {
        some(stored_flag(self.0, flag))
    }
    /// Does the expanded value go through a filter?
    pub fn is_filtered(self) -> bool {
        !self.1.filters.is_empty() && self.1.filters.contains_key(base_name(&self.0.name))
    }
    /// The value before expansion, where the record alone decides it: no override variants, no operations.
    pub fn own_value(self) -> Option<Option<&'a Value>> {
        if self.0.variants.is_some() || self.0.has_operations() {
            return None;
        }
        Some(some(self.0.content.as_ref().or(self.0.weak.as_ref())))
    }
}

impl DataStore {
    /// Does reading follow the rules of this program alone, without methods of metadata's own?
    pub fn reads_plainly() -> bool {
        ![Method::GetVar, Method::GetVarFlag, Method::GetVarFlags, Method::Expand].into_iter().any(Method::is_replaced)
    }

    /// Runs `work` with what there is of a name. It must not write to the store.
    #[inline]
    pub fn with_record<T>(&self, name: &str, work: impl FnOnce(Option<Record<'_>>) -> T) -> T {
        self.locked(|ctx| {
            let st = ctx.st.borrow();
            work(st.vars.get(hash_name(name), name).map(|var| Record(var, &st)))
        })
    }

    /// The value of a variable before expansion, with its operations applied; None where more than the expansion of
    /// that text makes the value (words are removed), or it fails.
    pub fn unexpanded(&self, name: &str) -> Option<Option<Value>> {
        self.locked(|ctx| {
            let hash = hash_name(name);
            let removes = |var: &Arc<Var>| !var.operations(Keyword::Remove).is_empty();
            if ctx.st.borrow().vars.get(hash, name).is_some_and(removes) {
                return None;
            }
            let raw = ctx.raw_content(name, hash, RAW).ok()?;
            raw.carried.is_empty().then_some(raw.value)
        })
    }
}

/// The names in a text that expands to nothing but the text with their values put in, provided that each of them has
/// a [`harmless`] one. None: there is more to it.
pub fn plain_references(text: &str) -> Option<Vec<&str>> {
    let bytes = text.as_bytes();
    let mut names: Vec<&str> = Vec::new();
    let mut from = 0;
    while let Some(at) = memchr(b'$', &bytes[from..]) {
        let at = from + at;
        match bytes.get(at + 1) {
            Some(b'{') => match next_variable(text, at) {
                Some((start, end)) if start == at => {
                    let name = &text[start + 2..end - 1];
                    if !names.contains(&name) {
                        names.push(name);
                    }
                    from = end;
                }
                _ => return None,
            },
            // What follows could complete it.
            Some(b'$') | None => return None,
            Some(_) => from = at + 1,
        }
    }
    Some(names)
}

/// Can a value, put into a text, never bring forth a reference there?
pub fn harmless(value: &str) -> bool {
    let bytes = value.as_bytes();
    let mut from = 0;
    while let Some(at) = memchr(b'$', &bytes[from..]) {
        match bytes.get(from + at + 1) {
            Some(b'{') | None => return false,
            Some(_) => from += at + 1,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{SetInfo, tests};

    #[test]
    fn texts_that_only_take_values_in() {
        assert_eq!(plain_references("a ${B}/${C-x} $d ${B}"), Some(vec!["B", "C-x"]));
        assert_eq!(plain_references("nothing"), Some(vec![]));
        for text in ["${@x}", "${A", "${${A}}", "$${A}", "x$", "${}"] {
            assert_eq!(plain_references(text), None, "{text}");
        }
        assert!(harmless("") && harmless("a $b") && harmless("$$x"));
        assert!(!harmless("${A}") && !harmless("a$") && !harmless("$${"));
    }

    #[test]
    fn a_record_tells_what_decides() {
        let d = tests::store();
        let parsing = SetInfo { parsing: true, ..SetInfo::default() };
        d.set_var("OVERRIDES", "one:two", &parsing).unwrap();
        d.set_var("A", "a", &parsing).unwrap();
        d.set_flag("A", "f", "1", &parsing).unwrap();
        d.set_flag("A", "_defaultval_flag_w", "2", &parsing).unwrap();
        d.set_var("B", "b ${A}", &parsing).unwrap();
        d.set_var("B:append:one", "+", &parsing).unwrap();
        d.set_var("C:two", "${A}", &parsing).unwrap();
        d.set_var("D", "x y", &parsing).unwrap();
        d.set_var("D:remove", "x", &parsing).unwrap();
        let own = |name| d.with_record(name, |record| record.map(|record| record.own_value().map(|v| v.map(Value::to_text))));
        assert_eq!(own("A"), Some(Some(Some("a".into()))));
        assert_eq!((own("B"), own("C"), own("NONE")), (Some(None), Some(None), None));
        d.with_record("A", |record| {
            let record = record.unwrap();
            assert_eq!(record.flag("f").unwrap().to_text().as_ref(), "1");
            assert_eq!(record.flag("w").unwrap().to_text().as_ref(), "2");
            assert!(record.flag("g").is_none() && record.has_weak_flags());
            assert!(record.is_of(&d.flags_view("A", &[]).unwrap()) && !record.is_of(&d.flags_view("B", &[]).unwrap()));
        });
        let raw = |name| d.unexpanded(name).map(|value| value.map(|value| value.to_text()));
        assert_eq!(raw("B"), Some(Some("b ${A}+".into())));
        assert_eq!(raw("C"), Some(Some("${A}".into())));
        assert_eq!((raw("D"), raw("NONE")), (None, Some(None)));
        assert!(DataStore::reads_plainly());
        let filtered = || d.with_record("A", |record| record.unwrap().is_filtered());
        assert!(!filtered());
        d.set_filter("A", Some("val")).unwrap();
        assert!(filtered());
    }
}
