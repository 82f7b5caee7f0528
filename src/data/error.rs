//! How reading or writing the store can fail, worded as the reference words it.

use crate::{PythonError, RuntimeError, Value, python_repr};
use std::fmt;

/// A failed read or write.
#[derive(Clone, Debug)]
pub enum DataError {
    /// Expansion of `var` (empty: of a text that belongs to no variable) failed; `chain` names the
    /// variables on the way, innermost first. The text is that of the reference's ExpansionError.
    Expansion { var: String, expression: String, cause: RuntimeError, chain: Vec<String> },
    Runtime(RuntimeError),
    /// Anything else; Python sees a plain `Exception`.
    Other(String),
}
pub type Result<T, E = DataError> = std::result::Result<T, E>;

impl From<RuntimeError> for DataError {
    fn from(cause: RuntimeError) -> Self {
        DataError::Runtime(cause)
    }
}

impl std::error::Error for DataError {}

/// The class name without its module.
fn short_class(class: &str) -> &str {
    class.rsplit('.').next().unwrap_or(class)
}

/// `type(e).__name__` and `str(e)` of the exception Python would hold.
fn class_and_text(cause: &RuntimeError) -> (&str, &str) {
    match cause {
        RuntimeError::Skip(reason) => ("SkipRecipe", reason),
        RuntimeError::Handled => ("BBHandledException", ""),
        RuntimeError::Python(e) => (short_class(&e.class), &e.message),
    }
}

impl DataError {
    /// An exception of one of Python's own classes.
    pub fn python(class: &str, message: impl Into<String>) -> DataError {
        DataError::Runtime(RuntimeError::Python(Box::new(PythonError {
            class: class.into(),
            message: message.into(),
            mro: [class, "Exception", "BaseException", "object"].map(String::from).to_vec(),
            ..PythonError::default()
        })))
    }

    /// `type(e).__name__` of the exception Python would see.
    pub fn class_name(&self) -> &str {
        match self {
            DataError::Expansion { .. } => "ExpansionError",
            DataError::Runtime(cause) => class_and_text(cause).0,
            DataError::Other(_) => "Exception",
        }
    }

    /// `repr(e)` of the exception Python would see, where its only argument is its text.
    pub fn repr(&self) -> String {
        // An ExpansionError that Python holds: here only its text is known, which says it all.
        fn expansion_of(class: &str, text: &str) -> Option<String> {
            let rest = text.strip_prefix("Failure expanding variable ").filter(|_| class == "ExpansionError")?;
            let (what, _) = rest.rsplit_once("\nThe variable dependency chain for the failure is: ")?;
            let (var, rest) = what.split_once(", expression was ")?;
            let (expression, cause) = rest.split_once(" which triggered exception ")?;
            let (class, text) = cause.split_once(": ")?;
            Some(format!("ExpansionError({}, {}, {})", python_repr(var), python_repr(expression), plain(class, text)))
        }
        fn plain(class: &str, text: &str) -> String {
            match class {
                _ if text.is_empty() => format!("{class}()"),
                // A KeyError's text is the key's repr already.
                "KeyError" => format!("KeyError({text})"),
                _ => format!("{class}({})", python_repr(text)),
            }
        }
        match self {
            DataError::Expansion { var, expression, cause, .. } => {
                let (class, text) = class_and_text(cause);
                let var = if var.is_empty() { "None".to_string() } else { python_repr(var) };
                format!("ExpansionError({var}, {}, {})", python_repr(expression), plain(class, text))
            }
            DataError::Runtime(cause) => {
                let (class, text) = class_and_text(cause);
                expansion_of(class, text).unwrap_or_else(|| plain(class, text))
            }
            DataError::Other(text) => plain("Exception", text),
        }
    }

    /// The error's first line: ExpansionError's `msg`, without the chain.
    pub fn message(&self) -> String {
        match self {
            DataError::Expansion { var, expression, cause, .. } => {
                let (class, text) = class_and_text(cause);
                match (var.is_empty(), expression.is_empty()) {
                    (false, false) => format!(
                        "Failure expanding variable {var}, expression was {expression} which triggered exception {class}: {text}"
                    ),
                    (false, true) => format!("Failure expanding variable {var}: {class}: {text}"),
                    _ => format!("Failure expanding expression {expression} which triggered exception {class}: {text}"),
                }
            }
            DataError::Runtime(cause) => class_and_text(cause).1.to_string(),
            DataError::Other(text) => text.clone(),
        }
    }

    /// Python's handling of an exception that leaves the expansion of `expression` of `var`: an
    /// ExpansionError learns one more name, skips and told errors pass, anything else is wrapped.
    pub(crate) fn leaving(self, var: &str, expression: &str) -> DataError {
        match self {
            DataError::Expansion { var: inner, expression: text, cause, mut chain } => {
                if !var.is_empty() {
                    chain.push(var.into());
                }
                DataError::Expansion { var: inner, expression: text, cause, chain }
            }
            DataError::Runtime(RuntimeError::Python(mut error)) if is_expansion_error(&error) => {
                // The text ends with the chain; the exception itself stayed on the Python side.
                if !var.is_empty() {
                    error.message.push_str(" -> ");
                    error.message.push_str(var);
                }
                DataError::Runtime(RuntimeError::Python(error))
            }
            DataError::Runtime(RuntimeError::Python(error)) => wrap(var, expression, RuntimeError::Python(error)),
            DataError::Runtime(passes) => DataError::Runtime(passes),
            DataError::Other(message) => {
                let DataError::Runtime(cause) = DataError::python("Exception", message) else { unreachable!() };
                wrap(var, expression, cause)
            }
        }
    }
}

fn is_expansion_error(error: &PythonError) -> bool {
    short_class(&error.class) == "ExpansionError" || error.mro.iter().any(|class| short_class(class) == "ExpansionError")
}

fn wrap(var: &str, expression: &str, cause: RuntimeError) -> DataError {
    let first = if var.is_empty() { expression } else { var };
    DataError::Expansion { var: var.into(), expression: expression.into(), cause, chain: vec![first.into()] }
}

impl fmt::Display for DataError {
    /// What `str()` gives for the exception.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message())?;
        if let DataError::Expansion { chain, .. } = self {
            write!(f, "\nThe variable dependency chain for the failure is: {}", chain.join(" -> "))?;
        }
        Ok(())
    }
}

/// `type(value).__name__`, as Python's TypeErrors mention it.
pub fn type_name(value: &Value) -> &'static str {
    match value {
        Value::None => "NoneType",
        Value::Str(_) => "str",
        Value::Int(_) => "int",
        Value::Bool(_) => "bool",
        Value::List(_) => "list",
        Value::Set(_) => "set",
        Value::Map(_) => "dict",
        Value::Object(_) => "object",
    }
}
