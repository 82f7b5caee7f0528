//! What a shell or Python body reads and calls. Pure text in, names out: knows no data store.

use hz_diagnostics::{Diagnostic, Str};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What a piece of Python reads and calls.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PythonRefs {
    /// Variables read by literal name, `VAR[flag]` for flags.
    pub references: BTreeSet<Str>,
    /// Functions called, as written (dotted) or named by literal in `bb.build.exec_func`.
    pub execs: BTreeSet<Str>,
    /// `bb.utils.contains("VAR", "item", …)` and relatives: variable -> items.
    pub contains: BTreeMap<Str, BTreeSet<Str>>,
    /// Literal arguments of `.expand("…")`: to be scanned as expansions by the caller.
    pub expands: BTreeSet<Str>,
}

/// Commands a shell body calls that it does not define itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShellRefs {
    pub execs: BTreeSet<Str>,
}

/// Scans a Python body (function body text as stored in a variable, or an inline expression).
/// Results are cached by text. `prefix` is `namespace.module.` for library functions, whose
/// calls of names in `module_names` are rewritten to dotted names.
pub fn python(_text: &str) -> Result<Arc<PythonRefs>, Diagnostic> {
    todo!()
}

/// Scans an expanded shell function body. Results are cached by text.
pub fn shell(_text: &str) -> Result<Arc<ShellRefs>, Diagnostic> {
    todo!()
}
