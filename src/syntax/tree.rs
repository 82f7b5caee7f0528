//! The lossless tree of a file: a node per statement, tokens for every byte.
//!
//! It is built beside the statement list from the same reader, so what is a statement in one is a
//! statement in the other. Lines that nobody understands become [`SyntaxKind::Error`] nodes, so
//! that the tree of a broken file is complete too.

use crate::statement::{Span, StatementKind};
use crate::{Options, parse};
use logos::Logos;
use rowan::{GreenNodeBuilder, Language};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u16)]
pub enum SyntaxKind {
    // -- tokens
    /// Blanks, tabs and other white space inside a line.
    Whitespace,
    Newline,
    /// A backslash with its line end: the statement goes on in the next line.
    Continuation,
    /// A comment line, without its line end.
    Comment,
    /// Names, words, numbers, and references like `${X}` in them.
    Word,
    /// `=`, `:=` and relatives.
    Operator,
    /// `"` and `'`.
    Quote,
    /// `[`, `]`, `(`, `)`, `{`, `}`.
    Bracket,
    /// Any other text.
    Text,
    /// A line of a function body, without its line end.
    BodyLine,
    // -- nodes
    File,
    Assignment,
    Include,
    Export,
    Unset,
    Function,
    PythonDef,
    ExportFunctions,
    Task,
    Handler,
    Pylib,
    Inherit,
    Fragments,
    /// What the grammar rejects.
    Error,
}

const KINDS: [SyntaxKind; 24] = {
    use SyntaxKind::*;
    [
        Whitespace, Newline, Continuation, Comment, Word, Operator, Quote, Bracket, Text, BodyLine, File, Assignment,
        Include, Export, Unset, Function, PythonDef, ExportFunctions, Task, Handler, Pylib, Inherit, Fragments, Error,
    ]
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BitBakeLanguage {}

impl Language for BitBakeLanguage {
    type Kind = SyntaxKind;
    fn kind_from_raw(raw: rowan::SyntaxKind) -> SyntaxKind {
        KINDS.get(raw.0 as usize).copied().unwrap_or(SyntaxKind::Error)
    }
    fn kind_to_raw(kind: SyntaxKind) -> rowan::SyntaxKind {
        rowan::SyntaxKind(kind as u16)
    }
}

pub type SyntaxNode = rowan::SyntaxNode<BitBakeLanguage>;
pub type SyntaxToken = rowan::SyntaxToken<BitBakeLanguage>;

/// Tokens inside a statement's lines.
#[derive(Logos, Clone, Copy, Debug, PartialEq, Eq)]
enum Token {
    #[regex(r"[ \t]+")]
    Whitespace,
    #[regex(r"\\[ \t]*(\r\n|\r|\n)")]
    Continuation,
    #[regex(r"\r\n|\r|\n")]
    Newline,
    #[regex(r"[A-Za-z0-9_\-$/~@%,;<>.:+]+", priority = 3)]
    Word,
    #[regex(r":=|\?\?=|\?=|\+=|=\+|=\.|\.=|=", priority = 5)]
    Operator,
    #[regex("[\"']")]
    Quote,
    #[regex(r"[\[\](){}]")]
    Bracket,
}

/// Tokens between statements.
#[derive(Logos, Clone, Copy, Debug, PartialEq, Eq)]
enum Between {
    #[regex(r"#[^\r\n]*", allow_greedy = true)]
    Comment,
    #[regex(r"[ \t]+")]
    Whitespace,
    #[regex(r"\\[ \t]*(\r\n|\r|\n)")]
    Continuation,
    #[regex(r"\r\n|\r|\n")]
    Newline,
}

/// A line's text or its end, in function bodies.
use crate::lines::Piece;

fn node_kind(kind: &StatementKind) -> SyntaxKind {
    match kind {
        StatementKind::Assign(_) => SyntaxKind::Assignment,
        StatementKind::Include { .. } | StatementKind::IncludeAll { .. } => SyntaxKind::Include,
        StatementKind::Export { .. } => SyntaxKind::Export,
        StatementKind::Unset { .. } | StatementKind::UnsetFlag { .. } => SyntaxKind::Unset,
        StatementKind::Function(_) => SyntaxKind::Function,
        StatementKind::Def(_) => SyntaxKind::PythonDef,
        StatementKind::ExportFunctions { .. } => SyntaxKind::ExportFunctions,
        StatementKind::AddTask { .. } | StatementKind::DelTask { .. } => SyntaxKind::Task,
        StatementKind::AddHandler { .. } => SyntaxKind::Handler,
        StatementKind::AddPylib { .. } => SyntaxKind::Pylib,
        StatementKind::Inherit { .. } | StatementKind::InheritDefer { .. } => SyntaxKind::Inherit,
        StatementKind::AddFragments { .. } => SyntaxKind::Fragments,
    }
}

/// The tree of a file. Its text is `text`.
pub fn tree(text: &str, options: Options<'_>) -> SyntaxNode {
    let parsed = parse(text, options);
    let mut parts: Vec<(Span, SyntaxKind)> =
        parsed.statements.iter().map(|s| (s.span.clone(), node_kind(&s.kind))).collect();
    parts.extend(parsed.errors.iter().map(|e| (e.span.clone(), SyntaxKind::Error)));
    parts.sort_by_key(|(span, _)| span.start);

    let mut builder = GreenNodeBuilder::new();
    let raw = BitBakeLanguage::kind_to_raw;
    builder.start_node(raw(SyntaxKind::File));
    let mut at = 0;
    for (span, kind) in parts {
        // An error can name lines that a statement covers too; the first to name them has them.
        let span = span.start.max(at)..span.end.max(at);
        if span.is_empty() {
            continue;
        }
        between(&mut builder, &text[at..span.start]);
        builder.start_node(raw(kind));
        let body = &text[span.clone()];
        match kind {
            SyntaxKind::Function | SyntaxKind::PythonDef => function(&mut builder, body),
            _ => line(&mut builder, body),
        }
        builder.finish_node();
        at = span.end;
    }
    between(&mut builder, &text[at..]);
    builder.finish_node();
    SyntaxNode::new_root(builder.finish())
}

fn token(builder: &mut GreenNodeBuilder<'_>, kind: SyntaxKind, text: &str) {
    if !text.is_empty() {
        builder.token(BitBakeLanguage::kind_to_raw(kind), text);
    }
}

/// Feeds the tokens of `text` to `builder`; stretches the lexer does not know become one `Text`.
fn lex<'a, T>(builder: &mut GreenNodeBuilder<'_>, text: &'a str, kind: impl Fn(T) -> SyntaxKind)
where
    T: Logos<'a, Source = str>,
    T::Extras: Default,
{
    let mut lexer = T::lexer(text);
    let mut unknown = 0;
    while let Some(result) = lexer.next() {
        if let Ok(t) = result {
            let span = lexer.span();
            token(builder, SyntaxKind::Text, &text[unknown..span.start]);
            token(builder, kind(t), &text[span.clone()]);
            unknown = span.end;
        }
    }
    token(builder, SyntaxKind::Text, &text[unknown..]);
}

fn line(builder: &mut GreenNodeBuilder<'_>, text: &str) {
    lex::<Token>(builder, text, |t| match t {
        Token::Whitespace => SyntaxKind::Whitespace,
        Token::Continuation => SyntaxKind::Continuation,
        Token::Newline => SyntaxKind::Newline,
        Token::Word => SyntaxKind::Word,
        Token::Operator => SyntaxKind::Operator,
        Token::Quote => SyntaxKind::Quote,
        Token::Bracket => SyntaxKind::Bracket,
    });
}

fn between(builder: &mut GreenNodeBuilder<'_>, text: &str) {
    lex::<Between>(builder, text, |t| match t {
        Between::Comment => SyntaxKind::Comment,
        Between::Whitespace => SyntaxKind::Whitespace,
        Between::Continuation => SyntaxKind::Continuation,
        Between::Newline => SyntaxKind::Newline,
    });
}

/// Head line as any statement, then a token per line.
fn function(builder: &mut GreenNodeBuilder<'_>, text: &str) {
    let head = text.find(['\n', '\r']).unwrap_or(text.len());
    line(builder, &text[..head]);
    lex::<Piece>(builder, &text[head..], |p| match p {
        Piece::Text => SyntaxKind::BodyLine,
        Piece::Newline => SyntaxKind::Newline,
    });
}

/// Typed view of a whole tree.
#[derive(Clone, Debug)]
pub struct SourceFile(SyntaxNode);

impl SourceFile {
    /// `None` if `node` is not the root of a file.
    pub fn cast(node: SyntaxNode) -> Option<SourceFile> {
        (node.kind() == SyntaxKind::File).then_some(SourceFile(node))
    }
    pub fn syntax(&self) -> &SyntaxNode {
        &self.0
    }
    pub fn statements(&self) -> impl Iterator<Item = StatementView> + use<> {
        self.0.children().map(StatementView)
    }
}

/// Typed view of one statement's node.
#[derive(Clone, Debug)]
pub struct StatementView(SyntaxNode);

impl StatementView {
    pub fn kind(&self) -> SyntaxKind {
        self.0.kind()
    }
    pub fn syntax(&self) -> &SyntaxNode {
        &self.0
    }
    /// The first word behind the keywords: the variable of an assignment, the function's name.
    pub fn name(&self) -> Option<SyntaxToken> {
        let keywords: &[&str] = match self.kind() {
            SyntaxKind::Assignment | SyntaxKind::Export => &["export"],
            SyntaxKind::Function => &["python", "fakeroot"],
            SyntaxKind::PythonDef => &["def"],
            SyntaxKind::Unset => &["unset"],
            _ => return None,
        };
        self.0
            .children_with_tokens()
            .filter_map(|e| e.into_token())
            .take_while(|t| !matches!(t.kind(), SyntaxKind::Newline | SyntaxKind::Operator | SyntaxKind::Quote))
            .find(|t| t.kind() == SyntaxKind::Word && !keywords.contains(&t.text()))
    }
    pub fn operator(&self) -> Option<SyntaxToken> {
        (self.kind() == SyntaxKind::Assignment).then(|| {
            self.0.children_with_tokens().filter_map(|e| e.into_token()).find(|t| t.kind() == SyntaxKind::Operator)
        })?
    }
}
