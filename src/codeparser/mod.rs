//! What a shell or Python body reads and calls. Pure text in, names out: knows no data store.
//!
//! Everything here decides task hashes, so it answers as the reference's code parser does, habits
//! included; the modules say which.

mod cache;
mod python;
mod python_calls;
mod shell;
mod shell_grammar;
mod shell_lexer;
mod shell_words;

pub use cache::{absorb, load_cache, save_cache, take_new};
pub use python::visitors_of_module;

use hz_diagnostics::{Diagnostic, Str};
use parking_lot::RwLock;
use rustc_hash::FxHashMap;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What a piece of Python reads and calls.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct PythonRefs {
    /// Variables read by literal name, `VAR[flag]` for flags.
    pub references: BTreeSet<Str>,
    /// Functions called, as written (dotted) or named by literal in `bb.build.exec_func`.
    pub execs: BTreeSet<Str>,
    /// `bb.utils.contains("VAR", "item", …)` and relatives: variable -> items.
    pub contains: BTreeMap<Str, BTreeSet<Str>>,
    /// Literal arguments of `.expand("…")`: to be scanned as expansions by the caller, in an empty
    /// store (references, execs and contains of that join those here).
    pub expands: BTreeSet<Str>,
    /// Calls whose variable name is computed: (function, argument), both as written. Worth a debug
    /// message `while parsing NAME, in call of FUNCTION, argument 'ARGUMENT' is not a string literal`.
    pub computed: Vec<(Str, Str)>,
}

/// Commands a shell body calls that it does not define itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShellRefs {
    pub execs: BTreeSet<Str>,
    /// Command words that begin with `$`. Worth a debug message
    /// `while parsing NAME, unable to handle non-literal command 'COMMAND'`.
    pub computed: Vec<Str>,
}

/// A call of a library function that has a `visitorcode` attribute.
#[derive(Debug)]
pub struct VisitorCall<'a> {
    /// The dotted name called.
    pub name: &'a str,
    /// The whole call as written: `oe.qa.handle_error("x", msg, d)`.
    pub call: &'a str,
    pub args: &'a [VisitorArg],
}

#[derive(Clone, Debug)]
pub struct VisitorArg {
    /// The value, if it is a text literal.
    pub literal: Option<Str>,
    pub source: Str,
}

/// What a visitor found in a call; `contains` replaces what was known of these variables.
#[derive(Clone, Debug, Default)]
pub struct VisitorFound {
    pub contains: BTreeMap<Str, BTreeSet<Str>>,
    pub execs: BTreeSet<Str>,
    /// The argument to tell as computed.
    pub warn: Option<Str>,
}

/// Answers for the Python function that a `visitorcode` attribute names.
pub type Visitor = Arc<dyn Fn(&VisitorCall<'_>) -> Result<VisitorFound, Diagnostic> + Send + Sync>;

static VISITORS: RwLock<Option<FxHashMap<Str, Visitor>>> = RwLock::new(None);

/// Makes calls of `name` (`oe.qa.handle_error`) go to `visitor` instead of being seen as ordinary
/// calls. To be set before the first scan; `fingerprint` (of the visitor's source) keeps results that
/// another visitor gave out of the cache on disk.
pub fn set_visitor(name: &str, fingerprint: &str, visitor: Visitor) {
    VISITORS.write().get_or_insert_default().insert(name.into(), visitor);
    cache::salt(&format!("{name}\0{fingerprint}"));
}

/// Forgets every visitor (a configuration that is parsed anew sets its own).
pub fn clear_visitors() {
    *VISITORS.write() = None;
    cache::unsalt();
}

fn visitor_of(name: &str) -> Option<Visitor> {
    VISITORS.read().as_ref()?.get(name).cloned()
}

/// The exception with which the reference ends a scan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Raised {
    /// Dotted; without a module for Python's own classes.
    pub class: String,
    pub message: String,
    /// The error that is logged before.
    pub logged: Option<String>,
}

/// What the reference raises for a problem that a scan gave.
pub fn raised(problem: &Diagnostic) -> Raised {
    let known = |text: &str| {
        let (class, message) = text.split_once(": ")?;
        let class = match class {
            "ShellSyntaxError" => "bb.pysh.sherrors.ShellSyntaxError",
            "NeedMore" => "bb.pysh.pyshlex.NeedMore",
            class if class.ends_with("Error") && class.bytes().all(|c| c.is_ascii_alphabetic()) => class,
            _ => return None,
        };
        Some((class.to_string(), message.to_string()))
    };
    if let Some((class, message)) = known(&problem.message) {
        return Raised { class, message, logged: None };
    }
    if let Some((class, message)) = problem.chain.first().and_then(|(what, _)| known(what)) {
        let logged = (!problem.message.is_empty()).then(|| problem.message.clone());
        return Raised { class, message, logged };
    }
    Raised { class: syntax_error_class(&problem.message).into(), message: problem.message.clone(), logged: None }
}

/// SyntaxError or that one of its classes which Python's own compiler raises for such a mistake.
fn syntax_error_class(message: &str) -> &'static str {
    let message = message.to_ascii_lowercase();
    if ["expected an indented block", "unexpected indent", "unindent does not match"].iter().any(|m| message.starts_with(m)) {
        "IndentationError"
    } else if message.starts_with("inconsistent use of tabs") {
        "TabError"
    } else {
        "SyntaxError"
    }
}

/// Scans a Python body (function body text as stored in a variable, or an inline expression).
/// Results are cached by text.
///
/// # Errors
/// Text that is not Python (the message is that of a `SyntaxError`), or calls of the data store's
/// functions without arguments (`IndexError: …`).
pub fn python(text: &str) -> Result<Arc<PythonRefs>, Diagnostic> {
    cache::python(text, || python::scan(text))
}

/// Scans an expanded shell function body. Results are cached by text.
///
/// # Errors
/// Text that the reference's grammar refuses: the message is the one it logs, the cause stands in
/// the chain.
pub fn shell(text: &str) -> Result<Arc<ShellRefs>, Diagnostic> {
    cache::shell(text, || shell::scan(text))
}

/// Scans a function or class of a library module named `prefix` (`oe.utils`). Calls of names that
/// `siblings` knows (functions and classes of the same module) become `prefix.NAME`. Not cached:
/// each is asked for once a configuration. A visitor counts only where `visited` knows its name:
/// library functions that were read before it see an ordinary call.
///
/// # Errors
/// As [`python`].
pub fn library_function(
    prefix: &str, source: &str, siblings: &dyn Fn(&str) -> bool, visited: &dyn Fn(&str) -> bool,
) -> Result<PythonRefs, Diagnostic> {
    python::scan_library(prefix, source, siblings, visited)
}

#[cfg(test)]
mod tests;
