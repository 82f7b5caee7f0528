//! Quoting inside one shell word: where quotes, backquotes, `$(…)`, `${…}` and `$NAME` begin and
//! end. Used twice: by the lexer to find the end of a word, and by the scan to find the command
//! substitutions a word holds.
//!
//! The limits are the reference's: parentheses do not nest inside `$(…)` unless they belong to a
//! further substitution, a quote inside `${…}` must be closed, `$((…))` is refused, and a `$` at
//! the very end of a word is an error.

/// Why a word could not be delimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WordError {
    /// The text ended inside a quotation or expansion, or in a lone `$` or backslash.
    Unterminated,
    /// `$((…))`.
    Arithmetic,
    /// Deeper than anything a person would write.
    TooDeep,
}

/// What a nested piece is, as far as anybody asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Double,
    Single,
    Escape,
    Backquote,
    Command,
    /// `${…}`, `$NAME`, `$?`.
    Parameter,
}

/// A part of a word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Literal text; line continuations are already gone.
    Text(Vec<u8>),
    Nested(Kind, Vec<Piece>),
}

const DEPTH_LIMIT: usize = 400;

/// Reads the quotation or expansion that starts at `at` (one of `" ' \ $` or a backquote). Gives
/// the piece and the position after it. `parent` is what it stands in.
pub fn nested(text: &[u8], at: usize, parent: Option<Kind>, depth: usize) -> Result<(Piece, usize), WordError> {
    if depth > DEPTH_LIMIT {
        return Err(WordError::TooDeep);
    }
    let after = at + 1;
    match text[at] {
        b'\'' => {
            let length = memchr::memchr(b'\'', &text[after..]).ok_or(WordError::Unterminated)?;
            let inner = text[after..after + length].to_vec();
            Ok((Piece::Nested(Kind::Single, vec![Piece::Text(inner)]), after + length + 1))
        }
        b'\\' => match text.get(after) {
            None => Err(WordError::Unterminated),
            Some(b'\n') => Ok((Piece::Text(Vec::new()), after + 1)),
            Some(&c) => {
                let special = match parent {
                    Some(Kind::Double) => matches!(c, b'$' | b'\\' | b'`' | b'"'),
                    Some(Kind::Backquote) => matches!(c, b'$' | b'\\' | b'`'),
                    _ => true,
                };
                let piece = if special {
                    Piece::Nested(Kind::Escape, vec![Piece::Text(vec![c])])
                } else {
                    Piece::Text(vec![b'\\', c])
                };
                Ok((piece, after + 1))
            }
        },
        b'"' => until(text, after, Kind::Double, b'"', b"$\\`\"", depth),
        b'`' => until(text, after, Kind::Backquote, b'`', b"$\\`\"'", depth),
        _ => dollar(text, after, depth),
    }
}

fn dollar(text: &[u8], after: usize, depth: usize) -> Result<(Piece, usize), WordError> {
    match text.get(after) {
        None => Err(WordError::Unterminated),
        Some(b'(') => match text.get(after + 1) {
            None => Err(WordError::Unterminated),
            Some(b'(') => Err(WordError::Arithmetic),
            Some(_) => until(text, after + 1, Kind::Command, b')', b"$\\`\"')", depth),
        },
        Some(b'{') => until(text, after + 1, Kind::Parameter, b'}', b"$\\`\"'}", depth),
        Some(&c) if b"@*#?-$!0".contains(&c) => {
            Ok((Piece::Nested(Kind::Parameter, vec![Piece::Text(vec![b'$', c])]), after + 1))
        }
        Some(_) => {
            let name = text[after..].iter().take_while(|c| c.is_ascii_alphanumeric() || **c == b'_').count();
            let end = after + name;
            let whole = text[after - 1..end].to_vec();
            if name == 0 { Ok((Piece::Text(whole), end)) } else { Ok((Piece::Nested(Kind::Parameter, vec![Piece::Text(whole)]), end)) }
        }
    }
}

/// Reads up to the closing character, descending wherever one of `stops` opens something.
fn until(text: &[u8], mut at: usize, kind: Kind, close: u8, stops: &[u8], depth: usize) -> Result<(Piece, usize), WordError> {
    let mut parts = Vec::new();
    // A braced parameter keeps its own delimiters: only its text is ever wanted.
    if kind == Kind::Parameter {
        parts.push(Piece::Text(b"${".to_vec()));
    }
    loop {
        let run = text[at..].iter().position(|c| stops.contains(c)).ok_or(WordError::Unterminated)?;
        if run > 0 {
            parts.push(Piece::Text(text[at..at + run].to_vec()));
        }
        at += run;
        if text[at] == close {
            if kind == Kind::Parameter {
                parts.push(Piece::Text(b"}".to_vec()));
            }
            return Ok((Piece::Nested(kind, parts), at + 1));
        }
        let (piece, next) = nested(text, at, Some(kind), depth + 1)?;
        parts.push(piece);
        at = next;
    }
}

/// Takes a whole word apart.
pub fn pieces(word: &[u8]) -> Result<Vec<Piece>, WordError> {
    let mut parts = Vec::new();
    let mut at = 0;
    loop {
        let rest = &word[at..];
        let run = rest.iter().position(|c| b"\\$`'\"".contains(c)).unwrap_or(rest.len());
        if run > 0 {
            parts.push(Piece::Text(rest[..run].to_vec()));
        }
        at += run;
        if at >= word.len() {
            return Ok(parts);
        }
        let (piece, next) = nested(word, at, None, 0)?;
        parts.push(piece);
        at = next;
    }
}

/// The text of pieces with their delimiters, as it stood (less the line continuations).
pub fn written(parts: &[Piece], out: &mut Vec<u8>) {
    for part in parts {
        match part {
            Piece::Text(text) => out.extend_from_slice(text),
            Piece::Nested(kind, inner) => {
                let (open, close): (&[u8], &[u8]) = match kind {
                    Kind::Double => (b"\"", b"\""),
                    Kind::Single => (b"'", b"'"),
                    Kind::Escape => (b"\\", b""),
                    Kind::Backquote => (b"`", b"`"),
                    Kind::Command => (b"$(", b")"),
                    Kind::Parameter => (b"", b""),
                };
                out.extend_from_slice(open);
                written(inner, out);
                out.extend_from_slice(close);
            }
        }
    }
}

/// The text of pieces with quotes and escapes taken away and expansions left as they stand
/// (what delimits a here-document).
pub fn unquoted(parts: &[Piece], out: &mut Vec<u8>) {
    for part in parts {
        match part {
            Piece::Text(text) => out.extend_from_slice(text),
            Piece::Nested(kind, inner) => {
                let (open, close): (&[u8], &[u8]) = match kind {
                    Kind::Backquote => (b"`", b"`"),
                    Kind::Command => (b"$(", b")"),
                    _ => (b"", b""),
                };
                out.extend_from_slice(open);
                unquoted(inner, out);
                out.extend_from_slice(close);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn back(word: &str) -> String {
        let mut out = Vec::new();
        written(&pieces(word.as_bytes()).unwrap(), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn words_come_back_as_written() {
        for word in ["a", "$A", "${A:-'}'}x", "\"a $(b \"c\") `d`\"", "\\$x", "'a\\b'", "$", "$%", "a\"\\n\""] {
            if word == "$" {
                assert_eq!(pieces(word.as_bytes()), Err(WordError::Unterminated));
            } else {
                assert_eq!(back(word), word);
            }
        }
        assert_eq!(back("a\\\nb"), "ab");
        assert_eq!(pieces(b"$((1+1))"), Err(WordError::Arithmetic));
        assert_eq!(pieces(b"${A:-'}"), Err(WordError::Unterminated));
    }

    #[test]
    fn here_document_names_lose_their_quotes() {
        for (word, name) in [("'E'OF", "EOF"), ("\\EOF", "EOF"), ("\"E\\OF\"", "E\\OF"), ("$A", "$A"), ("\"$(x)\"", "$(x)")] {
            let mut out = Vec::new();
            unquoted(&pieces(word.as_bytes()).unwrap(), &mut out);
            assert_eq!(out, name.as_bytes(), "{word}");
        }
    }
}
