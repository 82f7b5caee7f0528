//! Why a file or a recipe could not be parsed, and how messages get out.

use hz_data::{DataError, DataStore, RuntimeError};
use hz_diagnostics::{Diagnostic, Place};

pub type Result<T, E = Error> = std::result::Result<T, E>;

#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The reference's `bb.parse.ParseError`; the message is complete. Whoever catches it tells.
    #[error("{}", .0.message)]
    Parse(Box<Diagnostic>),
    /// The user has been told already (`bb.BBHandledException`).
    #[error("handled")]
    Handled,
    /// `raise bb.parse.SkipRecipe(…)` outside of what turns it into a skipped recipe.
    #[error("{0}")]
    Skip(String),
    /// An expansion failed, or Python raised while a value was made; where, if known.
    #[error("{0}")]
    Data(Box<DataError>, Option<Place>),
    /// Python code of the metadata raised; where it was called, if known.
    #[error("{0}")]
    Python(Box<RuntimeError>, Option<Place>),
    /// A file could not be opened. `not_found` is what an `include` forgives.
    #[error("{message}")]
    File { not_found: bool, message: String, reason: String },
    /// Anything else the reference raises an exception for, as its text.
    #[error("{0}")]
    Other(String),
}

impl Error {
    pub(crate) fn parse(message: impl AsRef<str>, file: &str, line: u32) -> Error {
        Error::Parse(Box::new(hz_syntax::parse_error(message, file, line)))
    }

    /// Adds the place if the error has none yet.
    pub(crate) fn at(self, file: &str, line: u32) -> Error {
        match self {
            Error::Data(e, None) => Error::Data(e, Some(Place::new(file, line))),
            Error::Python(e, None) => Error::Python(e, Some(Place::new(file, line))),
            other => other,
        }
    }

    /// For telling the user; `None` when that has happened.
    pub fn to_diagnostic(&self) -> Option<Diagnostic> {
        let (text, place) = match self {
            Error::Handled => return None,
            Error::Parse(d) => return Some((**d).clone()),
            Error::Data(e, place) => (e.to_string(), place.clone()),
            Error::Python(e, place) => {
                let mut d = Diagnostic::error(e.to_string());
                d.place = place.clone();
                if let RuntimeError::Python(p) = &**e {
                    d.place = p.place.clone().or(d.place);
                    for frame in p.frames.iter().rev() {
                        d = d.via(format!("in {}", frame.function), Some(Place::new(frame.file.clone(), frame.line)));
                    }
                }
                return Some(d);
            }
            other => (other.to_string(), None),
        };
        let mut d = Diagnostic::error(text);
        d.place = place;
        Some(d)
    }
}

impl From<DataError> for Error {
    fn from(e: DataError) -> Error {
        match e {
            DataError::Runtime(RuntimeError::Skip(s))
            | DataError::Expansion { cause: RuntimeError::Skip(s), .. } => Error::Skip(s),
            DataError::Runtime(RuntimeError::Handled)
            | DataError::Expansion { cause: RuntimeError::Handled, .. } => Error::Handled,
            DataError::Runtime(e) => Error::Python(Box::new(e), None),
            other => Error::Data(Box::new(other), None),
        }
    }
}

impl From<RuntimeError> for Error {
    fn from(e: RuntimeError) -> Error {
        match e {
            RuntimeError::Skip(s) => Error::Skip(s),
            RuntimeError::Handled => Error::Handled,
            other => Error::Python(Box::new(other), None),
        }
    }
}

pub(crate) mod level {
    pub const DEBUG2: u32 = 9;
    pub const DEBUG: u32 = 10;
    pub const WARNING: u32 = 30;
    pub const ERRORONCE: u32 = 39;
    pub const ERROR: u32 = 40;
    pub const CRITICAL: u32 = 50;
}

/// `bb.warn`.
pub(crate) fn warn(store: &DataStore, message: &str) {
    store.runtime().log(level::WARNING, "Main", message);
}

/// `bb.fatal`: tells, and gives the error to return.
pub(crate) fn fatal(store: &DataStore, message: &str) -> Error {
    store.runtime().log(level::CRITICAL, "Main", message);
    Error::Handled
}

/// A message of the parser's own logger.
pub(crate) fn log(store: &DataStore, level: u32, message: &str) {
    store.runtime().log(level, "Parsing", message);
}
