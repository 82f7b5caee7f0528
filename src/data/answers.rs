//! What expressions gave, with what they asked a store and were answered.
//!
//! An expression that depends on nothing but its store gives the same value wherever it gets the same answers, in
//! whichever store: recipes ask the same questions over and over. So before one is evaluated, the questions of an
//! earlier time are asked again, in their order; as long as the answers are those of then, the next question is, too. Asking is
//! reading: all that follows from a read (what a kept value was made from, errors) follows as it does in an evaluation.
//!
//! What an expression asks is heard at the doors of the store ([`heard`]); what is read past them
//! makes the evaluation one that is not remembered ([`overheard`]).

use crate::pmap::hash_name;
use crate::runtime::definitions;
use crate::{DataError, DataStore, Depends, Read, Result, Value, is_any_replaced, same_value};
use hz_diagnostics::Str;
use rustc_hash::{FxHashMap, FxHashSet};
use std::cell::{Cell, RefCell};
use std::rc::Rc;

/// What an expression asks for.
#[derive(Clone, PartialEq)]
pub(crate) enum Question {
    Variable(Str, Read),
    Flag(Str, Str, Read),
}

impl Question {
    fn ask(&self, store: &DataStore) -> Result<Option<Value>> {
        match self {
            Question::Variable(name, read) => store.get_var(name, *read),
            Question::Flag(name, flag, read) => store.get_flag(name, flag, *read),
        }
    }
}

struct Told {
    question: Question,
    answer: Option<Value>,
}

struct Answered {
    told: Box<[Told]>,
    value: Value,
    depends: Depends,
    /// What [`definitions`] said then, if the value depends on that.
    definitions: u64,
}

/// What is known of an expression.
struct Known {
    text: Str,
    /// The one that was used last first.
    answered: Vec<Rc<Answered>>,
    hits: u32,
    misses: u32,
}

/// Different answers to an expression that are remembered.
const MOST: usize = 8;
/// Questions of an expression that is remembered.
const MOST_QUESTIONS: usize = 100;

#[derive(Default)]
struct Memory {
    /// Hashes of the expressions that were met. Only those that are met again are remembered.
    met: FxHashSet<u64>,
    known: FxHashMap<u64, Known>,
}

/// An evaluation that is listened to.
struct Listening {
    store: usize,
    told: Vec<Told>,
    /// Something was read that is not among them.
    untold: bool,
}

thread_local! {
    static MEMORY: RefCell<Memory> = RefCell::default();
    /// Is somebody listened to, who does not wait for an answer?
    static LISTENS: Cell<bool> = const { Cell::new(false) };
    /// The innermost evaluation.
    static LISTENING: RefCell<Option<Listening>> = const { RefCell::new(None) };
    /// The answer to a question was an error, and whoever asks it next gets that.
    static FAILED: RefCell<Option<(usize, Question, DataError)>> = const { RefCell::new(None) };
    static HAS_FAILED: Cell<bool> = const { Cell::new(false) };
}

/// Can an answer be compared with others, and does nobody change it?
fn is_plain(answer: Option<&Value>) -> bool {
    matches!(answer, None | Some(Value::None | Value::Str(_) | Value::Int(_) | Value::Bool(_)))
}

/// Something of the store is read.
#[inline]
pub(crate) fn overheard() {
    if LISTENS.get() {
        LISTENS.set(false);
        LISTENING.with_borrow_mut(|listening| {
            if let Some(listening) = listening {
                listening.untold = true;
            }
        });
    }
}

/// A read that an expression may ask for: `work` does it.
#[inline]
pub(crate) fn heard(
    store: &DataStore, question: impl FnOnce() -> Question, work: impl FnOnce() -> Result<Option<Value>>,
) -> Result<Option<Value>> {
    if !LISTENS.get() && !HAS_FAILED.get() {
        return work();
    }
    let question = question();
    if let Some(error) = failed(store, &question) {
        return Err(error);
    }
    if !LISTENS.replace(false) {
        return work();
    }
    let answer = work();
    LISTENING.with_borrow_mut(|listening| {
        let Some(listening) = listening else { return };
        match &answer {
            Ok(answer) if listening.store == store.id() && is_plain(answer.as_ref()) && listening.told.len() < MOST_QUESTIONS => {
                listening.told.push(Told { question, answer: answer.clone() });
            }
            _ => listening.untold = true,
        }
        LISTENS.set(!listening.untold);
    });
    answer
}

/// The error that asking this gave just now.
fn failed(store: &DataStore, question: &Question) -> Option<DataError> {
    if !HAS_FAILED.get() {
        return None;
    }
    FAILED.with_borrow_mut(|failed| {
        let found = failed.take_if(|(id, asked, _)| *id == store.id() && asked == question);
        HAS_FAILED.set(failed.is_some());
        found.map(|(.., error)| error)
    })
}

/// Listens to `work`; gives what it asked, if all of that is told.
fn listen<T>(store: &DataStore, work: impl FnOnce() -> T) -> (T, Option<Box<[Told]>>) {
    let own = Listening { store: store.id(), told: Vec::new(), untold: false };
    let outer = LISTENING.replace(Some(own));
    let listened = LISTENS.replace(true);
    let result = work();
    LISTENS.set(listened);
    let own = LISTENING.replace(outer);
    (result, own.filter(|own| !own.untold).map(|own| own.told.into()))
}

/// Does an earlier time count now? `given` are answers that were given already, to the questions that come first.
fn counts(earlier: &Answered, store: &DataStore, given: &mut Vec<(Question, Option<Value>)>) -> Result<bool> {
    if earlier.depends == Depends::Definitions && earlier.definitions != definitions() {
        return Ok(false);
    }
    for (at, Told { question, answer }) in earlier.told.iter().enumerate() {
        match given.get(at) {
            Some((asked, found)) if asked == question && same_value(found.as_ref(), answer.as_ref()) => {}
            Some(_) => return Ok(false),
            None => {
                let found = question.ask(store).inspect_err(|error| {
                    FAILED.set(Some((store.id(), question.clone(), error.clone())));
                    HAS_FAILED.set(true);
                })?;
                let same = same_value(found.as_ref(), answer.as_ref());
                given.push((question.clone(), found));
                if !same {
                    return Ok(false);
                }
            }
        }
    }
    Ok(true)
}

/// The value of an expression and what it depends on, remembered or by `work`, which evaluates it.
pub(crate) fn evaluated<E>(
    store: &DataStore, text: &str, work: impl FnOnce() -> std::result::Result<(Value, Depends), E>,
) -> std::result::Result<(Value, Depends), E> {
    if is_any_replaced() {
        return work();
    }
    let key = hash_name(text);
    let met = MEMORY.with_borrow_mut(|memory| match memory.known.get(&key) {
        Some(known) => &*known.text == text,
        None => !memory.met.insert(key),
    });
    if !met {
        return work();
    }
    let mut given = Vec::new();
    let mut at = 0;
    while let Some(earlier) = MEMORY.with_borrow(|memory| memory.known.get(&key)?.answered.get(at).cloned()) {
        match counts(&earlier, store, &mut given) {
            Ok(true) => {
                MEMORY.with_borrow_mut(|memory| memory.known.get_mut(&key).map(|known| known.hit(&earlier)));
                return Ok((earlier.value.clone(), earlier.depends));
            }
            Ok(false) => at += 1,
            // Evaluated, it says so in its own way.
            Err(_) => {
                let result = work();
                FAILED.set(None);
                HAS_FAILED.set(false);
                return result;
            }
        }
    }
    if !MEMORY.with_borrow_mut(|memory| memory.known.get_mut(&key).is_none_or(Known::miss)) {
        return work();
    }
    let before = (definitions(), store.generation());
    let (result, told) = listen(store, work);
    if let (Ok((value, depends)), Some(told)) = (&result, told)
        && *depends != Depends::Anything
        // Who writes has to write the next time, too.
        && (definitions(), store.generation()) == before
        && is_plain(Some(value))
    {
        let answered = Answered { told, value: value.clone(), depends: *depends, definitions: before.0 };
        MEMORY.with_borrow_mut(|memory| {
            let known = memory.known.entry(key).or_insert_with(|| Known { text: text.into(), answered: Vec::new(), hits: 0, misses: 0 });
            known.answered.retain(|old| old.depends != Depends::Definitions || old.definitions == before.0);
            known.answered.truncate(MOST - 1);
            known.answered.insert(0, Rc::new(answered));
        });
    }
    result
}

impl Known {
    fn hit(&mut self, used: &Rc<Answered>) {
        self.hits = self.hits.saturating_add(1);
        if let Some(at) = self.answered.iter().position(|answered| Rc::ptr_eq(answered, used)) {
            self.answered[..=at].rotate_right(1);
        }
    }
    /// None of them counts. Is another one worth the room?
    fn miss(&mut self) -> bool {
        self.misses = self.misses.saturating_add(1);
        let different = self.misses > 16 + 2 * self.hits;
        if different {
            // What is different everywhere is not even asked about.
            self.answered.clear();
        }
        !different || self.misses % 16 == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{PythonError, Runtime, RuntimeError, SetInfo};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    /// Expressions are names joined by `+`, which give their values joined. `A[f]` is a flag; `!A` writes to A; `?A` asks
    /// whether A is there, past the doors that are listened at; `def A` depends on functions as well. Counts evaluations.
    #[derive(Default)]
    struct Counting(AtomicUsize);

    impl Runtime for Counting {
        fn eval_inline(&self, store: &DataStore, expr: &str, _: Option<&str>) -> std::result::Result<Value, RuntimeError> {
            self.0.fetch_add(1, Relaxed);
            let failed = |error: DataError| RuntimeError::Python(Box::new(PythonError { message: error.to_string(), ..PythonError::default() }));
            let mut text = String::new();
            for part in expr.trim_start_matches("def ").split('+') {
                let value = if let Some(name) = part.strip_prefix('!') {
                    store.set_var(name, "written", &SetInfo::default()).map_err(failed)?;
                    None
                } else if let Some(name) = part.strip_prefix('?') {
                    Some(Value::Str(store.unexpanded(name).flatten().is_some().to_string().into()))
                } else if let Some((name, flag)) = part.strip_suffix(']').and_then(|part| part.split_once('[')) {
                    store.get_flag(name, flag, Read::default()).map_err(failed)?
                } else {
                    store.get_var(part, Read::default()).map_err(failed)?
                };
                text.push_str(&value.map_or_else(|| "-".into(), |value| value.to_text()));
            }
            Ok(text.into())
        }
        fn eval_seen(&self, store: &DataStore, expr: &str, var: Option<&str>) -> std::result::Result<(Value, Depends), RuntimeError> {
            let depends = if expr.starts_with("def ") { Depends::Definitions } else { Depends::Store };
            self.eval_inline(store, expr, var).map(|value| (value, depends))
        }
    }

    fn set(d: &DataStore, name: &str, value: &str) {
        d.set_var(name, value, &SetInfo::default()).unwrap();
    }

    /// What the variable X with the expression has in a new store with these others, and how many evaluations that took.
    fn in_new_store(runtime: &Arc<Counting>, expr: &str, values: &[(&str, &str)]) -> (std::result::Result<String, String>, usize) {
        let d = DataStore::new(runtime.clone());
        set(&d, "X", &format!("${{@{expr}}}"));
        for (name, value) in values {
            match name.split_once(' ') {
                Some((name, flag)) => d.set_flag(name, flag, *value, &SetInfo::default()).unwrap(),
                None => set(&d, name, value),
            }
        }
        let before = runtime.0.load(Relaxed);
        let found = d.get("X").map(|value| value.unwrap().to_string()).map_err(|error| error.to_string());
        (found, runtime.0.load(Relaxed) - before)
    }

    #[test]
    fn the_same_answers_give_the_same_value() {
        let runtime = Arc::new(Counting::default());
        let run = |expr: &str, values: &[(&str, &str)]| {
            let (found, count) = in_new_store(&runtime, expr, values);
            (found.unwrap(), count)
        };
        let one = [("A", "1"), ("B", "${A}2"), ("C f", "3")];
        let given = |text: &str, count| (text.to_string(), count);
        assert_eq!(run("A+B+C[f]", &one), given("1123", 1));
        assert_eq!(run("A+B+C[f]", &one), given("1123", 1), "met again: remembered from here on");
        assert_eq!(run("A+B+C[f]", &one), given("1123", 0));
        assert_eq!(run("A+B+C[f]", &[("A", "1"), ("B", "x"), ("C f", "3")]), given("1x3", 1));
        assert_eq!(run("A+B+C[f]", &[("A", "1"), ("B", "12"), ("C f", "3"), ("Z", "")]), given("1123", 0), "whatever makes the answers");
        assert_eq!(run("A+B+C[f]", &[("A", "1"), ("B", "x"), ("C f", "4")]), given("1x4", 1));
        assert_eq!(run("A+B+C[f]", &[("A", "1"), ("B", "x"), ("C f", "3")]), given("1x3", 0));
        assert_eq!(run("A+B+C[f]", &[]), given("---", 1));
        // An expression within.
        let within = [("A", "${@B}"), ("B", "b")];
        (0..2).for_each(|_| assert_eq!(run("A+B", &within), given("bb", 2)));
        assert_eq!(run("A+B", &within), given("bb", 0));
        assert_eq!(run("A+B", &[("A", "${@B}"), ("B", "c")]), given("cc", 2));
    }

    #[test]
    fn what_asks_otherwise_is_evaluated_each_time() {
        let runtime = Arc::new(Counting::default());
        for expr in ["?A", "A+!B", "!B"] {
            (0..4).for_each(|_| assert_eq!(in_new_store(&runtime, expr, &[("A", "1")]).1, 1, "{expr}"));
        }
        let wrong = |_| in_new_store(&runtime, "A+B", &[("A", "1"), ("B", "${B}")]);
        let errors: Vec<_> = (0..4).map(wrong).collect();
        assert!(errors.iter().all(|(found, count)| found.is_err() && *count == 1 && *found == errors[0].0), "{errors:?}");
        (0..2).for_each(|_| drop(in_new_store(&runtime, "A+B", &[("A", "1"), ("B", "2")])));
        // The first answer is that of an earlier time, the second an error.
        assert_eq!(wrong(0), errors[0]);
        assert!(!HAS_FAILED.get());
        let function = || in_new_store(&runtime, "def A", &[("A", "1")]).1;
        assert_eq!([function(), function(), function()], [1, 1, 0]);
        crate::note_definition();
        assert_eq!([function(), function()], [1, 0]);
    }

    #[test]
    fn what_is_different_everywhere_is_not_remembered() {
        let runtime = Arc::new(Counting::default());
        for n in 0..100 {
            assert_eq!(in_new_store(&runtime, "A", &[("A", &n.to_string())]), (Ok(n.to_string()), 1));
        }
        let kept = MEMORY.with_borrow(|memory| memory.known.values().map(|known| known.answered.len()).max());
        assert!(kept <= Some(1), "{kept:?}");
    }
}
