//! Text of `.bb`, `.bbclass`, `.inc`, `.bbappend` and `.conf` files -> statements.
//!
//! Two products of one reader: [`parse`] gives the typed [`Statement`] list that evaluation runs,
//! and [`tree`] gives a lossless rowan tree of the same file (its text is the file byte for byte,
//! whatever the file holds). Quirks of lines, continuations, comments and quotes are those of the
//! BitBake release we stand in for; `test_data/reference_dump.py` holds the lists of both against
//! each other.

mod assign;
mod directive;
mod dump;
mod lines;
mod reader;
mod statement;
mod tree;

pub use dump::dump;
pub use lines::is_space;
pub use statement::{Assign, Function, Op, Parsed, PythonDef, Span, Statement, StatementKind, SyntaxError, Warning};
pub use tree::{BitBakeLanguage, SourceFile, StatementView, SyntaxKind, SyntaxNode, SyntaxToken, tree};

use hz_diagnostics::{Diagnostic, Place};

/// Which of the two grammars a file is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Grammar {
    /// `.conf`.
    Conf,
    /// `.bb`, `.bbclass`, `.inc`, and `.bbappend` when applied to a recipe.
    Recipe,
}

impl Grammar {
    /// The grammar that the name of an included, inherited or parsed file asks for. `.bbappend` has
    /// none: appends are only read when a recipe asks for them.
    pub fn of(file: &str) -> Option<Grammar> {
        if file.ends_with(".conf") {
            return Some(Grammar::Conf);
        }
        match split_ext(file).1 {
            ".bb" | ".bbclass" | ".inc" => Some(Grammar::Recipe),
            _ => None,
        }
    }
}

/// What the reader must know about the file besides its text.
#[derive(Clone, Copy, Debug)]
pub struct Options<'a> {
    /// Name for messages, and where the class name of `EXPORT_FUNCTIONS` comes from.
    pub file: &'a str,
    pub grammar: Grammar,
    /// `addpylib` is accepted: the file is part of the base configuration. Only for `.conf`.
    pub baseconfig: bool,
}

/// Reads a whole file. Never fails: [`Parsed::error`] is the first problem, and the statements of
/// a file with a problem must not be evaluated.
pub fn parse(text: &str, options: Options<'_>) -> Parsed {
    reader::read(text, options)
}

/// An error of the parser as the reference words it (`ParseError at FILE:LINE: …`; without a line
/// `ParseError in FILE: …`), located.
pub fn parse_error(message: impl AsRef<str>, file: &str, line: u32) -> Diagnostic {
    let message = message.as_ref();
    let text = if line != 0 {
        format!("ParseError at {file}:{line}: {message}")
    } else {
        format!("ParseError in {file}: {message}")
    };
    Diagnostic::error(text).at(Place::new(file, line))
}

/// `os.path.splitext`: a name of dots and nothing else before the last dot has no extension.
pub fn split_ext(path: &str) -> (&str, &str) {
    let base = path.rfind('/').map_or(0, |i| i + 1);
    match path[base..].rfind('.') {
        Some(dot) if path[base..base + dot].bytes().any(|b| b != b'.') => path.split_at(base + dot),
        _ => (path, ""),
    }
}

/// The part after the last slash.
pub fn base_name(path: &str) -> &str {
    path.rfind('/').map_or(path, |i| &path[i + 1..])
}

#[cfg(test)]
mod tests;
