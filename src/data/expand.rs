//! Expansion of `${NAME}` and `${@expression}` in text.

use crate::answers;
use crate::error::type_name;
use crate::cache::Reads;
use crate::pmap::hash_name;
use crate::read::Quick;
use crate::store::{Ctx, State};
use crate::{DataError, DataStore, Depends, Method, Expansion, Read, Result, RuntimeError, Value, text};
use hz_diagnostics::Str;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

/// Expansions within expansions. The reference stops where Python's stack ends, at about 300.
const MAX_DEPTH: u32 = 200;

/// Rounds and bytes after which a text that keeps bringing forth new expressions is given up.
const MAX_ROUNDS: u32 = 300;
const MAX_TEXT: usize = 8 << 20;

/// What an expansion touched.
#[derive(Clone, Debug, Default)]
pub struct Refs {
    pub references: BTreeSet<Str>,
    pub execs: BTreeSet<Str>,
    pub contains: BTreeMap<Str, BTreeSet<Str>>,
}

impl Refs {
    fn add(&mut self, references: &BTreeSet<Str>, execs: &BTreeSet<Str>, contains: &BTreeMap<Str, BTreeSet<Str>>) {
        self.references.extend(references.iter().cloned());
        self.execs.extend(execs.iter().cloned());
        for (name, items) in contains {
            self.contains.entry(name.clone()).or_default().extend(items.iter().cloned());
        }
    }
    pub(crate) fn into_expansion(self, value: Option<Value>, unexpanded: Option<Value>) -> Expansion {
        let Refs { references, execs, contains } = self;
        Expansion { value, unexpanded, references, execs, contains, removes: BTreeSet::new() }
    }
}

/// Counts one level of expansion for as long as it lives.
struct Level<'a>(&'a RefCell<State>);
impl Drop for Level<'_> {
    fn drop(&mut self) {
        self.0.borrow_mut().depth -= 1;
    }
}

impl<'a> Ctx<'a> {
    /// Expands `source`, which belongs to `owner` (a variable, `VAR[flag]` or, empty, nothing).
    /// What it touches goes to `refs`, if given; only then are expressions scanned.
    pub fn expand_text(&self, source: &Str, owner: &str, mut refs: Option<&mut Refs>) -> Result<Str> {
        if !text::has_expansion(source) {
            return Ok(source.clone());
        }
        hz_meter::count(hz_meter::Count::Expansion);
        let _level = {
            let mut st = self.st.borrow_mut();
            if st.depth >= MAX_DEPTH {
                drop(st);
                let error = DataError::too_deep();
                return Err(error.leaving(owner, source));
            }
            st.depth += 1;
            Level(self.st)
        };
        let mut expanded: Option<String> = None;
        for round in 0.. {
            let now: &str = expanded.as_deref().unwrap_or(source);
            if expanded.is_some() && !text::has_expansion(now) {
                break;
            }
            if round > MAX_ROUNDS || now.len() > MAX_TEXT {
                let error = DataError::python("RecursionError", "the value expands to ever more expressions");
                return Err(error.leaving(owner, source));
            }
            let variables =
                self.replace_variables(now, owner, refs.as_deref_mut()).map_err(|error| error.leaving(owner, now))?;
            let between: &str = variables.as_deref().unwrap_or(now);
            let python =
                self.replace_python(between, owner, refs.as_deref_mut()).map_err(|error| error.leaving(owner, between))?;
            match python.or(variables) {
                Some(fresh) if fresh != now => expanded = Some(fresh),
                _ => break,
            }
        }
        Ok(expanded.map_or_else(|| source.clone(), Str::from))
    }

    /// One pass over `${NAME}`; None if nothing was replaced.
    fn replace_variables(&self, now: &str, owner: &str, mut refs: Option<&mut Refs>) -> Result<Option<String>> {
        let mut out: Option<String> = None;
        let mut copied = 0;
        let mut from = 0;
        // What Python's join would stumble over, and at which piece.
        let mut pieces = 0;
        let mut piece_end = 0;
        let mut not_text: Option<(usize, &'static str)> = None;

        while let Some((start, end)) = text::next_variable(now, from) {
            from = end;
            let name = &now[start + 2..end - 1];
            if name == owner {
                return Err(DataError::Other(format!("variable {owner} references itself!")));
            }
            pieces += usize::from(start > piece_end) + 1;
            piece_end = end;

            let hash = hash_name(name);
            let mut replace = |value: &Value| match value {
                Value::Str(value) => {
                    let out = out.get_or_insert_with(|| String::with_capacity(now.len() + value.len()));
                    out.push_str(&now[copied..start]);
                    out.push_str(value);
                    copied = end;
                }
                Value::None => {}
                other => {
                    not_text.get_or_insert((pieces - 1, type_name(other)));
                }
            };
            let slow = {
                let st = self.st.borrow();
                match st.quick(hash, name, refs.is_some()) {
                    Quick::Value(Some(value)) => {
                        replace(value);
                        false
                    }
                    Quick::Value(None) => false,
                    Quick::Slow => true,
                }
            };
            if slow && let Some(value) = self.content(name, hash, Read::default())? {
                replace(&value);
            }
            if let Some(refs) = refs.as_deref_mut()
                && !refs.references.contains(name)
            {
                let known = self.st.borrow().vars.get(hash, name).map(|var| var.name.clone());
                refs.references.insert(known.unwrap_or_else(|| name.into()));
            }
        }
        if let Some((index, class)) = not_text {
            return Err(DataError::python(
                "TypeError",
                format!("sequence item {index}: expected str instance, {class} found"),
            ));
        }
        if let Some(out) = &mut out {
            out.push_str(&now[copied..]);
        }
        Ok(out)
    }

    /// One pass over `${@expression}`; None if nothing was replaced.
    fn replace_python(&self, now: &str, owner: &str, mut refs: Option<&mut Refs>) -> Result<Option<String>> {
        let mut out: Option<String> = None;
        let mut copied = 0;
        let mut from = 0;
        while let Some((start, end)) = text::next_python(now, from) {
            from = end;
            let code = &now[start + 3..end - 1];
            if text::next_variable(code, 0).is_some() {
                // Something is still unknown: the expression waits, perhaps for ever.
                continue;
            }
            let value = match self.evaluate(code, owner, refs.as_deref_mut()) {
                Ok(value) => value,
                // A brace within quotes cut the expression short: leave the whole text alone.
                Err(error) if is_unterminated(&error) => return Ok(None),
                Err(error) => return Err(error),
            };
            let out = out.get_or_insert_with(|| String::with_capacity(now.len() + value.len()));
            out.push_str(&now[copied..start]);
            out.push_str(&value);
            copied = end;
        }
        if let Some(out) = &mut out {
            out.push_str(&now[copied..]);
        }
        Ok(out)
    }

    fn evaluate(&self, code: &str, owner: &str, refs: Option<&mut Refs>) -> Result<Str> {
        let name = (!owner.is_empty()).then_some(owner);
        let mut scan_error = None;
        if let Some(refs) = refs {
            match self.store.scan_into(code, name, refs) {
                Ok(()) => {}
                // Evaluation knows better what is wrong with it.
                Err(error @ DataError::Runtime(_)) => scan_error = Some(error),
                Err(error) => return Err(error),
            }
        }
        let code = code.trim_matches(text::is_space);
        let (value, depends) = answers::evaluated(self.store, code, || self.store.0.runtime.eval_seen(self.store, code, name))?;
        match depends {
            Depends::Store => {}
            Depends::Definitions => self.st.borrow().note_definitions(),
            Depends::Anything => self.st.borrow().reads.set(Reads::ALL),
        }
        match scan_error {
            Some(error) => Err(error),
            None => Ok(value.to_text()),
        }
    }
}

/// A syntax error because of a string literal without end.
fn is_unterminated(error: &DataError) -> bool {
    let DataError::Runtime(RuntimeError::Python(error)) = error else { return false };
    let syntax = |class: &str| class == "SyntaxError" || class.ends_with(".SyntaxError");
    (syntax(&error.class) || error.mro.iter().any(|class| syntax(class)))
        && ["EOL while scanning string literal", "unterminated string literal", "missing closing quote in string literal"]
            .iter()
            .any(|start| error.message.starts_with(start))
}

impl DataStore {
    /// `d.expand(text, varname)`.
    pub fn expand(&self, source: &str, varname: Option<&str>) -> Result<Str> {
        if Method::Expand.asks() {
            return self.ask_expand(source, varname);
        }
        let source: Str = source.into();
        if !text::has_expansion(&source) {
            return Ok(source);
        }
        self.locked(|ctx| ctx.expand_text(&source, varname.unwrap_or_default(), None))
    }

    /// `d.expandWithRefs(text, varname)`.
    pub fn expand_with_refs(&self, source: &str, varname: Option<&str>) -> Result<Expansion> {
        let source: Str = source.into();
        let mut refs = Refs::default();
        let value = self.locked(|ctx| ctx.expand_text(&source, varname.unwrap_or_default(), Some(&mut refs)))?;
        Ok(refs.into_expansion(Some(Value::Str(value)), Some(Value::Str(source))))
    }

    /// What a piece of Python reads and calls, the texts it hands to `expand` included: those are
    /// expanded in an empty store, as `name`'s. Errors: not Python (a `SyntaxError`).
    pub fn scan_python(&self, code: &str, name: Option<&str>) -> Result<Refs> {
        let mut refs = Refs::default();
        self.scan_into(code, name, &mut refs)?;
        Ok(refs)
    }

    /// [`Self::scan_python`], added to what there is.
    fn scan_into(&self, code: &str, name: Option<&str>, refs: &mut Refs) -> Result<()> {
        let found = hz_codeparser::python(code).map_err(|problem| {
            let raised = hz_codeparser::raised(&problem);
            DataError::python(&raised.class, raised.message)
        })?;
        let mut within = Vec::new();
        for literal in &found.expands {
            let empty = DataStore::new(self.runtime());
            within.push(empty.expand_with_refs(literal, name)?);
        }
        refs.add(&found.references, &found.execs, &found.contains);
        within.iter().for_each(|within| refs.add(&within.references, &within.execs, &within.contains));
        Ok(())
    }
}
