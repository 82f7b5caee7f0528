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
use crate::{DataError, DataStore, Depends, Read, Result, Value, is_any_replaced};
use hz_diagnostics::Str;
use rustc_hash::{FxHashMap, FxHashSet};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

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

fn same_answer(a: &Option<Value>, b: &Option<Value>) -> bool {
    match (a, b) {
        (None, None) => true,
        (Some(Value::Str(a)), Some(Value::Str(b))) => Arc::ptr_eq(a, b) || a == b,
        (Some(Value::None), Some(Value::None)) => true,
        (Some(Value::Int(a)), Some(Value::Int(b))) => a == b,
        (Some(Value::Bool(a)), Some(Value::Bool(b))) => a == b,
        _ => false,
    }
}

/// Can an answer be compared with others?
fn is_plain(answer: &Option<Value>) -> bool {
    same_answer(answer, answer)
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
            Ok(answer) if listening.store == store.id() && is_plain(answer) && listening.told.len() < MOST_QUESTIONS => {
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
            Some((asked, found)) if asked == question && same_answer(found, answer) => {}
            Some(_) => return Ok(false),
            None => {
                let found = question.ask(store).inspect_err(|error| {
                    FAILED.set(Some((store.id(), question.clone(), error.clone())));
                    HAS_FAILED.set(true);
                })?;
                let same = same_answer(&found, answer);
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
        && is_plain(&Some(value.clone()))
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
