//! Physical lines of a file, and the white space rules that hold everywhere.

use logos::Logos;

/// What a file is made of at the lowest level: text up to the end of a line, and line ends of all
/// three kinds (they all count as one line each).
#[derive(Logos, Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    #[regex(r"[^\r\n]+", allow_greedy = true)]
    Text,
    #[regex(r"\r\n|\r|\n")]
    Newline,
}

/// A physical line.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Line<'a> {
    /// Text without trailing white space.
    pub text: &'a str,
    /// From 1.
    pub number: u32,
    /// Byte offsets in the file, line end included.
    pub start: usize,
    pub end: usize,
}

/// Iterates over the physical lines of a text.
pub(crate) struct Lines<'a> {
    lexer: logos::Lexer<'a, Piece>,
    next: u32,
}

impl<'a> Lines<'a> {
    pub fn new(text: &'a str) -> Self {
        Lines { lexer: Piece::lexer(text), next: 1 }
    }
}

impl<'a> Iterator for Lines<'a> {
    type Item = Line<'a>;

    fn next(&mut self) -> Option<Line<'a>> {
        let mut piece = self.lexer.next()?;
        let start = self.lexer.span().start;
        let number = self.next;
        self.next += 1;
        let mut text = "";
        if piece == Ok(Piece::Text) {
            text = trim_end(self.lexer.slice());
            // Between a text and the next there is always a line end; the last line may lack it.
            piece = match self.lexer.next() {
                Some(p) => p,
                None => return Some(Line { text, number, start, end: self.lexer.source().len() }),
            };
        }
        debug_assert_eq!(piece, Ok(Piece::Newline));
        Some(Line { text, number, start, end: self.lexer.span().end })
    }
}

/// White space as the reference's language knows it (`str.strip`, `\s`): Unicode's and the four
/// separators U+001C…U+001F.
pub fn is_space(c: char) -> bool {
    hz_versions::is_space(c)
}

pub(crate) fn trim_end(text: &str) -> &str {
    // Nearly every line ends in a visible ASCII character: decide that without decoding.
    match text.as_bytes().last() {
        Some(b) if b.is_ascii_graphic() => text,
        _ => text.trim_end_matches(is_space),
    }
}

/// Length in bytes of the white space at the start.
pub(crate) fn leading_space(text: &str) -> usize {
    text.len() - text.trim_start_matches(is_space).len()
}
