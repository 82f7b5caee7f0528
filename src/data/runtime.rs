//! The one door from the data store (and from parsing and execution) to Python.
//!
//! The data store knows no Python: inline expressions, metadata functions and class event handlers
//! go through [`Runtime`], which `python/` implements. Tests implement it with a few lines.

use crate::{DataStore, Value};
use hz_diagnostics::{Place, Str};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Why a call into Python did not return a value.
#[derive(Clone, Debug)]
pub enum RuntimeError {
    /// `raise bb.parse.SkipRecipe(reason)` (or SkipPackage): the recipe is left out, with this text.
    Skip(String),
    /// `bb.BBHandledException`: somebody has already told the user; fail without a further message.
    Handled,
    /// `bb.fatal` and friends are logged when raised; anything else is told by whoever catches it.
    Python(Box<PythonError>),
}

/// An uncaught Python exception, ready to be shown without Python.
#[derive(Clone, Debug, Default)]
pub struct PythonError {
    /// Dotted class name: `NameError`, `bb.data_smart.ExpansionError`, `bb.process.ExecutionError`.
    pub class: String,
    /// `str(exception)`.
    pub message: String,
    /// Outermost first.
    pub frames: Vec<Frame>,
    /// The classes the exception derives from, itself first, as dotted names.
    pub mro: Vec<String>,
    /// Syntax errors: the place in the metadata file.
    pub place: Option<Place>,
    /// The exception object, for the way back into Python; only Python looks into it.
    pub live: Option<std::sync::Arc<dyn std::any::Any + Send + Sync>>,
}

impl PythonError {
    /// The class name without its module, as messages show it.
    pub fn short_class(&self) -> &str {
        self.class.rsplit('.').next().unwrap_or(&self.class)
    }
}

#[derive(Clone, Debug)]
pub struct Frame {
    pub file: Str,
    pub line: u32,
    pub function: Str,
    /// The line's text, if it could be found (metadata files and functions of a store included).
    pub text: Option<String>,
}

impl std::fmt::Display for RuntimeError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            RuntimeError::Skip(reason) => f.write_str(reason),
            RuntimeError::Handled => f.write_str("handled"),
            RuntimeError::Python(e) => write!(f, "{}: {}", e.short_class(), e.message),
        }
    }
}
impl std::error::Error for RuntimeError {}

/// A class event, fired at metadata handlers (`addhandler`). The runtime makes the Python object.
#[derive(Clone)]
pub enum ClassEvent<'a> {
    ConfigParsed,
    MultiConfigParsed { mcdata: &'a [(Str, DataStore)] },
    /// `inherits`: the classes still deferred, unexpanded; one empty text when there are none.
    RecipePreDeferredInherits { fn_: &'a str, inherits: &'a [Str] },
    RecipePreFinalise { fn_: &'a str },
    RecipePostKeyExpansion { fn_: &'a str },
    RecipeTaskPreProcess { fn_: &'a str, tasklist: &'a [Str] },
    RecipeParsed { fn_: &'a str },
}

/// A function or class that `addpylib` made known: `oe.utils.conditional` and what it hashes to.
#[derive(Clone, Debug)]
pub struct LibFunction {
    /// `namespace.module.function`.
    pub name: Str,
    /// File the source stands in.
    pub file: Str,
    /// First line of the definition (decorators included, as the inspection module counts), from 1.
    pub line: u32,
    /// The source text as the inspection module returns it.
    pub source: Str,
    /// Variables the decorators `bb.parse.vardeps` and `vardepsexclude` name, sorted.
    pub vardeps: Vec<Str>,
    pub vardepsexclude: Vec<Str>,
    /// The function has a `visitorcode`, which tells what a call of it reads; the code
    /// parser has been given it (`hz_codeparser::set_visitor`).
    pub has_visitor: bool,
}

/// Library functions, looked up when somebody needs them: signatures do, most commands do not.
pub struct LibFunctions(Box<dyn FnOnce() -> Vec<LibFunction> + Send>);

impl LibFunctions {
    pub fn new(find: impl FnOnce() -> Vec<LibFunction> + Send + 'static) -> LibFunctions {
        LibFunctions(Box::new(find))
    }
    /// In the order in which the library's modules were named.
    pub fn find(self) -> Vec<LibFunction> {
        (self.0)()
    }
}

impl From<Vec<LibFunction>> for LibFunctions {
    fn from(functions: Vec<LibFunction>) -> LibFunctions {
        LibFunctions::new(move || functions)
    }
}

/// What the value of an expression depends on, besides its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Depends {
    /// On what was read of the store meanwhile, and nothing else.
    Store,
    /// On functions of the metadata as well, which can be defined anew ([`note_definition`]).
    Definitions,
    Anything,
}

static DEFINED: AtomicU64 = AtomicU64::new(0);

/// A function of the metadata is another one from now on.
pub fn note_definition() {
    DEFINED.fetch_add(1, Relaxed);
}

/// Changes when a function of the metadata does.
pub fn definitions() -> u64 {
    DEFINED.load(Relaxed)
}

/// What everything below Python may ask of Python. One per process. What an implementation leaves out does
/// nothing, which is right where there is no Python ([`without_python`], tests).
pub trait Runtime: Send + Sync {
    /// `${@expr}`: evaluate `expr` (already free of `${…}`) with `d` bound to `store`. Gives the
    /// value; the caller applies `str()`. `var` names the variable being expanded, for messages.
    fn eval_inline(&self, store: &DataStore, expr: &str, var: Option<&str>) -> Result<Value, RuntimeError>;

    /// As [`Self::eval_inline`], and what the value depends on.
    fn eval_seen(&self, store: &DataStore, expr: &str, var: Option<&str>) -> Result<(Value, Depends), RuntimeError> {
        self.eval_inline(store, expr, var).map(|value| (value, Depends::Anything))
    }

    /// `d.setVarFilter(var, expr)`: filter `value` of `var` through the expression.
    fn apply_filter(&self, _store: &DataStore, _var: &str, value: &str, _expr: &str) -> Result<Value, RuntimeError> {
        Ok(value.into())
    }

    /// Python `def` text of a metadata file, to be defined in the namespace all metadata shares.
    /// `line` is the line number in `file` of the line before the text's first line, so that
    /// tracebacks name the metadata's own lines.
    fn define(&self, _module: &str, _text: &str, _file: &str, _line: u32) -> Result<(), RuntimeError> {
        Ok(())
    }

    /// Calls `names` in order, each as `name(d)`, as anonymous functions are.
    fn run_anonymous(&self, _store: &DataStore, _names: &[Str]) -> Result<(), RuntimeError> {
        Ok(())
    }

    /// Fires `event` at the registered class handlers whose mask wants it.
    fn fire(&self, _store: &DataStore, _event: ClassEvent<'_>) -> Result<(), RuntimeError> {
        Ok(())
    }

    /// `addhandler` of a finished configuration or recipe: registers `name` whose body is `text`
    /// (a metadata python function), for `mask` (event class names; empty: all).
    fn register_handler(
        &self, _store: &DataStore, _name: &str, _text: &str, _mask: &[&str], _file: &str, _line: u32,
    ) -> Result<(), RuntimeError> {
        Ok(())
    }

    /// The handlers now registered; given back to `restore_handlers` after a recipe.
    fn save_handlers(&self) -> Box<dyn std::any::Any + Send> {
        Box::new(())
    }
    fn restore_handlers(&self, _saved: Box<dyn std::any::Any + Send>) {}

    /// `addpylib DIR NAMESPACE`: see the compatibility surface. Gives every library function.
    fn add_pylib(&self, _store: &DataStore, _dir: &str, _namespace: &str) -> Result<LibFunctions, RuntimeError> {
        Ok(Vec::new().into())
    }

    /// `BB_GLOBAL_PYMODULES`: import each and make it a global of metadata code.
    fn add_global_modules(&self, _names: &[&str]) -> Result<(), RuntimeError> {
        Ok(())
    }

    /// Calls a method of the store's Python object, because metadata put one of its own in place of ours.
    fn call_method(&self, _store: &DataStore, name: &str, _values: &[Value], _named: &[(&str, Value)]) -> Result<Value, RuntimeError> {
        let message = format!("no {name} of its own");
        Err(RuntimeError::Python(Box::new(PythonError { class: "AttributeError".into(), message, ..PythonError::default() })))
    }

    /// A log record of the `BitBake.<domain>` logger from native code. `level` as in Python's
    /// logging with BitBake's additions (DEBUG 10, NOTE 20, PLAIN 21, WARNING 30, ERROR 40).
    fn log(&self, _level: u32, _domain: &str, _message: &str) {}
}

/// A runtime for stores whose values hold no Python: expressions give nothing, functions are not run, nothing is
/// told. For the tests of those who know stores and no Python.
pub fn without_python() -> std::sync::Arc<dyn Runtime> {
    std::sync::Arc::new(WithoutPython)
}

struct WithoutPython;
impl Runtime for WithoutPython {
    fn eval_inline(&self, _: &DataStore, _: &str, _: Option<&str>) -> Result<Value, RuntimeError> {
        Ok(Value::None)
    }
}
