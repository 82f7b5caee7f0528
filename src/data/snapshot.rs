//! A store's whole content as plain values, for whoever writes it down (`pickle` does) and makes a
//! store of it again.

use crate::store::{Operation, State};
use crate::{DataStore, HistoryEntry, Value};
use hz_diagnostics::Str;
use std::sync::Arc;

/// One pending `:append`, `:prepend` or `:remove`: its value and the overrides it waits for.
pub type SavedOperation = (Value, Option<Str>);

/// Everything known about one name.
#[derive(Clone, Debug, Default)]
pub struct SavedVariable {
    pub name: Str,
    pub content: Option<Value>,
    pub weak: Option<Value>,
    /// Of `:append`, `:prepend` and `:remove`.
    pub operations: [Option<Vec<SavedOperation>>; 3],
    pub flags: Vec<(Str, Value)>,
    /// Override variants: (whole name, overrides).
    pub variants: Option<Vec<(Str, Str)>>,
}

/// Everything known about a store.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    pub variables: Vec<SavedVariable>,
    pub filters: Vec<(Str, Str)>,
    pub renamed: Vec<(Str, Str)>,
    pub override_variables: Vec<Str>,
    pub tracking: bool,
    pub history: Vec<(Str, Vec<HistoryEntry>)>,
    /// Files as they were included, each with the index of the one that did it; the first is the root.
    pub includes: Vec<(Str, u32)>,
}

impl DataStore {
    pub fn snapshot(&self) -> Snapshot {
        self.locked(|ctx| {
            let st = ctx.st.borrow();
            let variables = st.vars.iter().map(|var| SavedVariable {
                name: var.name.clone(),
                content: var.content.clone(),
                weak: var.weak.clone(),
                operations: var.operations.clone().map(|list| {
                    list.map(|list| list.iter().map(|op| (op.value.clone(), op.condition.clone())).collect())
                }),
                flags: var.flags.clone(),
                variants: var.variants.as_deref().cloned(),
            });
            let pairs = |map: &rustc_hash::FxHashMap<Str, Str>| {
                let mut pairs: Vec<_> = map.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
                pairs.sort();
                pairs
            };
            let mut override_variables: Vec<Str> = st.override_vars.iter().cloned().collect();
            override_variables.sort();
            Snapshot {
                variables: variables.collect(),
                filters: pairs(&st.filters),
                renamed: pairs(&st.renamed),
                override_variables,
                tracking: st.tracking,
                history: st.saved_history(),
                includes: st.includes.saved(),
            }
        })
    }

    /// Takes over the content of another store; what was in this one is gone.
    pub fn restore(&self, saved: Snapshot) {
        self.locked(|ctx| {
            let st = &mut *ctx.st.borrow_mut();
            let mut cache = std::mem::take(&mut st.cache);
            cache.forget();
            cache.overrides_known = false;
            *st = State { id: st.id, cache, ..State::new() };
            for saved in saved.variables {
                let var = st.var_mut(&saved.name);
                var.put_weak(saved.weak);
                var.put_content(saved.content);
                var.operations = saved.operations.map(|list| {
                    list.map(|list| {
                        Arc::new(list.into_iter().map(|(value, condition)| Operation { value, condition }).collect())
                    })
                });
                var.flags = saved.flags;
                var.variants = saved.variants.map(Arc::new);
            }
            st.filters = Arc::new(saved.filters.into_iter().collect());
            st.renamed = Arc::new(saved.renamed.into_iter().collect());
            st.override_vars = Arc::new(saved.override_variables.into_iter().collect());
            st.tracking = saved.tracking;
            st.restore_history(saved.history);
            st.includes = crate::history::Includes::restored(saved.includes);
        });
    }
}

#[cfg(test)]
mod tests {
    use crate::tests;
    use crate::{RAW, SetInfo, Value};

    #[test]
    fn nothing_is_lost() {
        let d = tests::store();
        d.enable_tracking();
        let parsing = SetInfo { parsing: true, file: Some("a.conf".into()), line: 3, ..SetInfo::default() };
        d.include_enter("a.conf");
        d.include_enter("b.inc");
        d.include_leave();
        d.include_leave();
        d.set_var("OVERRIDES", "one:two", &parsing).unwrap();
        d.set_var("X", "x", &parsing).unwrap();
        d.set_var("X:append:one", "+${Y}", &parsing).unwrap();
        d.set_var("X:remove:three", "x", &parsing).unwrap();
        d.set_var("Y", "y", &parsing).unwrap();
        d.set_var("Y:two", "y2", &parsing).unwrap();
        d.set_flag("X", "doc", Value::Int(4), &parsing).unwrap();
        d.set_flag("W", "_defaultval", "weak", &parsing).unwrap();
        d.set_var("L", Value::List(std::sync::Arc::new(vec![Value::Int(1), Value::None])), &parsing).unwrap();
        d.set_var("K${Y}", "k", &parsing).unwrap();
        let copy = tests::store();
        copy.set_var("GONE", "1", &parsing).unwrap();
        copy.restore(d.snapshot());
        let mut names = (d.keys().unwrap(), copy.keys().unwrap());
        names.0.sort();
        names.1.sort();
        assert_eq!(names.0, names.1);
        for name in &names.0 {
            for read in [RAW, crate::Read::default()] {
                let values = [&d, &copy].map(|d| format!("{:?}", d.get_var(name, read).unwrap()));
                assert_eq!(values[0], values[1], "{name}");
            }
            let flags = [&d, &copy].map(|d| format!("{:?}", d.get_flags(name, None, true).unwrap()));
            assert_eq!(flags[0], flags[1], "{name}");
            let history = [&d, &copy].map(|d| format!("{:?}", d.history(name)));
            assert_eq!(history[0], history[1], "{name}");
        }
        assert_eq!(copy.get("X").unwrap().as_deref(), Some("x+y2"));
        let mut includes = [Vec::new(), Vec::new()];
        d.includes_emit(&mut includes[0]).unwrap();
        copy.includes_emit(&mut includes[1]).unwrap();
        assert_eq!(includes[0], includes[1]);
        // The override variants go on being followed, and both stores are independent.
        copy.set_var("OVERRIDES", "", &SetInfo::default()).unwrap();
        assert_eq!(copy.get("X").unwrap().as_deref(), Some("x"));
        assert_eq!(d.get("X").unwrap().as_deref(), Some("x+y2"));
        copy.expand_keys().unwrap();
        assert_eq!(copy.get("Ky").unwrap().as_deref(), Some("k"));
    }
}
