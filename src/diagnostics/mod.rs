//! One located error: what went wrong, where, how we got there and what to do next.
//!
//! Every folder reports problems with [`Diagnostic`]; nobody here knows a terminal or a log.

use std::fmt;

/// Text shared between the many places that mention it (file names, variable names, values).
pub use hz_text::Str;

/// Python's `repr()` of a string: single quotes unless the text holds one and no double quote.
pub fn python_repr(text: &str) -> String {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    let mut out = String::with_capacity(text.len() + 2);
    out.push(quote);
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c == quote => {
                out.push('\\');
                out.push(c);
            }
            c if (c as u32) < 0x20 || c as u32 == 0x7f => out.push_str(&format!("\\x{:02x}", c as u32)),
            c => out.push(c),
        }
    }
    out.push(quote);
    out
}

/// A line of a file. `line` counts from 1; 0 means "the file as a whole".
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    pub file: Str,
    pub line: u32,
}

impl Place {
    pub fn new(file: impl Into<Str>, line: u32) -> Self {
        Place { file: file.into(), line }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line == 0 { write!(f, "{}", self.file) } else { write!(f, "{}:{}", self.file, self.line) }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    Note,
    Warning,
    Error,
}

/// A problem with the user's input (or, at worst, with ourselves), complete enough to be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    pub severity: Severity,
    /// The message people and scripts look for, as the reference words it where the reference has one.
    pub message: String,
    /// Where it happened.
    pub place: Option<Place>,
    /// How we got there, innermost first: "included from", "inherited by", Python frames.
    pub chain: Vec<(String, Option<Place>)>,
    /// What to do about it, if we know more than the message says.
    pub help: Option<String>,
}

impl Diagnostic {
    pub fn error(message: impl Into<String>) -> Self {
        Diagnostic { severity: Severity::Error, message: message.into(), place: None, chain: Vec::new(), help: None }
    }
    pub fn warning(message: impl Into<String>) -> Self {
        Diagnostic { severity: Severity::Warning, ..Self::error(message) }
    }
    pub fn at(mut self, place: Place) -> Self {
        self.place = Some(place);
        self
    }
    pub fn via(mut self, what: impl Into<String>, place: Option<Place>) -> Self {
        self.chain.push((what.into(), place));
        self
    }
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.place {
            write!(f, "{place}: ")?;
        }
        f.write_str(&self.message)
    }
}

impl std::error::Error for Diagnostic {}
