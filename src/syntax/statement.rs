//! What a file says, as a list of typed statements.

use hz_diagnostics::{Diagnostic, Str};

/// Byte range in the file, from the start of the first physical line to the end of the last one.
pub type Span = std::ops::Range<usize>;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    pub kind: StatementKind,
    /// The line the reference records: the last physical line of a continued statement, the line
    /// of the closing brace of a function, and the line that ended the body of a `def`.
    pub line: u32,
    pub span: Span,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StatementKind {
    Assign(Assign),
    /// `include` (`required` false) and `require`; `what` is unexpanded and may name several files.
    Include { what: Str, required: bool },
    IncludeAll { what: Str },
    /// `export NAME`.
    Export { name: Str },
    Unset { name: Str },
    UnsetFlag { name: Str, flag: Str },
    Function(Function),
    Def(PythonDef),
    /// `class` is the name of the class file, empty in other files.
    ExportFunctions { names: Vec<Str>, class: Str },
    /// Unexpanded words; `before` and `after` are the clauses glued together.
    AddTask { tasks: Str, before: Str, after: Str },
    DelTask { tasks: Str },
    AddHandler { names: Vec<Str> },
    AddPylib { dir: Str, namespace: Str },
    Inherit { classes: Str },
    InheritDefer { classes: Str },
    AddFragments { prefix: Str, variable: Str, flagged: Str, builtin: Str },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assign {
    pub export: bool,
    pub name: Str,
    pub flag: Option<Str>,
    pub op: Op,
    /// Between the quotes, continuations joined, unexpanded.
    pub value: Str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// `=`
    Set,
    /// `?=`
    Default,
    /// `??=`
    WeakDefault,
    /// `:=`
    Immediate,
    /// `+=`
    Append,
    /// `=+`
    Prepend,
    /// `.=`
    AppendDot,
    /// `=.`
    PrependDot,
}

impl Op {
    pub fn text(self) -> &'static str {
        match self {
            Op::Set => "=",
            Op::Default => "?=",
            Op::WeakDefault => "??=",
            Op::Immediate => ":=",
            Op::Append => "+=",
            Op::Prepend => "=+",
            Op::AppendDot => ".=",
            Op::PrependDot => "=.",
        }
    }
}

/// `[fakeroot] [python] NAME() {` … `}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Function {
    /// `__anonymous` when the file gives no name.
    pub name: Str,
    /// The lines of the body without trailing white space, each followed by a line end.
    pub body: Str,
    pub python: bool,
    pub fakeroot: bool,
    /// Line of the opening line: what the flag `lineno` holds.
    pub first_line: u32,
}

/// `def NAME(…):` and all indented, empty and comment lines below it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PythonDef {
    pub name: Str,
    /// The lines joined by line ends, none after the last.
    pub text: Str,
    /// The line before the `def`: what the flag `lineno` holds.
    pub line_before: u32,
}

/// A message that does not stop the reader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    pub message: String,
    pub line: u32,
    /// Told by the parser's own logger (`BitBake.Parsing`) rather than the general one.
    pub parser: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyntaxError {
    /// Complete text in `message`, see [`crate::parse_error`].
    pub diagnostic: Diagnostic,
    /// Told at once and then only reported as handled (the reference's `bb.fatal`), instead of
    /// being an exception that whoever asked for the file tells.
    pub fatal: bool,
    pub span: Span,
}

/// A file, read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parsed {
    pub statements: Vec<Statement>,
    pub warnings: Vec<Warning>,
    /// All problems in order; the first one is what the reference reports.
    pub errors: Vec<SyntaxError>,
    /// A function opened on the last line: the reference finds out only after evaluation.
    pub unclosed: Option<Diagnostic>,
}

impl Parsed {
    pub fn error(&self) -> Option<&SyntaxError> {
        self.errors.first()
    }
}
