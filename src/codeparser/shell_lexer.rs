//! Shell text to tokens of the POSIX grammar, in the dialect the reference reads: words keep their
//! quotes, reserved words are recognised wherever they stand, an assignment is one only at the very
//! end of the text, and the content of a here-document follows its name directly.

use crate::shell_words::{WordError, nested, pieces, unquoted, written};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tk {
    Word,
    Newline,
    IoNumber,
    Assignment,
    HereName,
    AndIf,
    OrIf,
    DoubleSemi,
    Semi,
    Amp,
    Pipe,
    Open,
    Close,
    /// Any redirection to or from a file.
    Redirect,
    /// `<<` and `<<-`.
    HereDoc,
    If,
    Then,
    Else,
    Elif,
    Fi,
    Do,
    Done,
    Case,
    Esac,
    While,
    Until,
    For,
    LBrace,
    RBrace,
    Bang,
    In,
}

#[derive(Clone, Debug)]
pub struct Token {
    pub kind: Tk,
    pub text: String,
}

impl Token {
    /// How the reference's messages show a token.
    pub fn shown(&self) -> String {
        use Tk::*;
        let kind = match self.kind {
            Word => "TOKEN",
            Newline => "NEWLINE",
            IoNumber => "IO_NUMBER",
            Assignment => "ASSIGNMENT_WORD",
            HereName => "HERENAME",
            AndIf => "AND_IF",
            OrIf => "OR_IF",
            DoubleSemi => "DSEMI",
            Semi => "COMMA",
            Amp => "AMP",
            Pipe => "PIPE",
            Open => "LPARENS",
            Close => "RPARENS",
            HereDoc if self.text == "<<-" => "DLESSDASH",
            HereDoc => "DLESS",
            Redirect => match self.text.as_str() {
                ">>" => "DGREAT",
                "<&" => "LESSAND",
                ">&" => "GREATAND",
                "<>" => "LESSGREAT",
                ">|" => "CLOBBER",
                "<" => "LESS",
                _ => "GREATER",
            },
            If => "If",
            Then => "Then",
            Else => "Else",
            Elif => "Elif",
            Fi => "Fi",
            Do => "Do",
            Done => "Done",
            Case => "Case",
            Esac => "Esac",
            While => "While",
            Until => "Until",
            For => "For",
            LBrace => "Lbrace",
            RBrace => "Rbrace",
            Bang => "Bang",
            In => "In",
        };
        format!("LexToken({kind},{},0,0)", hz_diagnostics::python_repr(&self.text))
    }
}

/// What a token is before it is classified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Raw {
    Word,
    Operator,
    Comment,
    Newline,
    /// Already decided.
    HereName,
}

/// The character after a token, as far as it decides what the token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum After {
    /// The end of the text.
    Nothing,
    Angle,
    Other,
}

impl After {
    fn of(c: Option<u8>) -> After {
        match c {
            None => After::Nothing,
            Some(b'<' | b'>') => After::Angle,
            Some(_) => After::Other,
        }
    }
}

fn operator(text: &[u8]) -> Option<Tk> {
    Some(match text {
        b"&&" => Tk::AndIf,
        b"||" => Tk::OrIf,
        b";;" => Tk::DoubleSemi,
        b"<<" | b"<<-" => Tk::HereDoc,
        b">>" | b"<&" | b">&" | b"<>" | b">|" | b"<" | b">" => Tk::Redirect,
        b"&" => Tk::Amp,
        b";" => Tk::Semi,
        b"(" => Tk::Open,
        b")" => Tk::Close,
        _ => return None,
    })
}

/// Can `text` still become an operator?
fn operator_prefix(text: &[u8]) -> bool {
    text == b"|" || operator(text).is_some()
}

fn reserved(text: &[u8]) -> Option<Tk> {
    Some(match text {
        b"if" => Tk::If,
        b"then" => Tk::Then,
        b"else" => Tk::Else,
        b"elif" => Tk::Elif,
        b"fi" => Tk::Fi,
        b"do" => Tk::Do,
        b"done" => Tk::Done,
        b"case" => Tk::Case,
        b"esac" => Tk::Esac,
        b"while" => Tk::While,
        b"until" => Tk::Until,
        b"for" => Tk::For,
        b"{" => Tk::LBrace,
        b"}" => Tk::RBrace,
        b"!" => Tk::Bang,
        b"in" => Tk::In,
        b"|" => Tk::Pipe,
        _ => return None,
    })
}

/// A here-document that was announced and whose text comes after the line.
struct Announced {
    strip_tabs: bool,
    name: Option<Vec<u8>>,
    /// The rest of the line: handed on after the document's text.
    waiting: Vec<(Vec<u8>, Raw, After)>,
}

struct Lexer<'a> {
    text: &'a [u8],
    at: usize,
    current: Vec<u8>,
    raw: Raw,
    here: Option<Announced>,
    /// The line of an announced here-document has ended: its text is next.
    in_document: bool,
    /// Tokens since `for` or `case`: `in` is reserved only as the third word.
    since_for: Option<u8>,
    out: Vec<Token>,
}

/// Splits `text`. The error says what the text is wrong about.
pub fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let mut lexer = Lexer {
        text: text.as_bytes(),
        at: 0,
        current: Vec::new(),
        raw: Raw::Word,
        here: None,
        in_document: false,
        since_for: None,
        out: Vec::new(),
    };
    lexer.run()?;
    Ok(lexer.out)
}

/// What the reference raises where the text ends within a quotation, and so on: class and message,
/// as all errors of the shell scan.
pub fn explain(error: WordError) -> String {
    match error {
        WordError::Unterminated => "NeedMore: ".into(),
        WordError::Arithmetic => "NotImplementedError: $((".into(),
        WordError::TooDeep => "RecursionError: maximum recursion depth exceeded".into(),
    }
}

/// The same for a word that was a token already; there the reference forgot to name it.
pub fn explain_word(error: WordError) -> String {
    match error {
        WordError::Unterminated => "ShellSyntaxError: Invalid token \"%s\"".into(),
        other => explain(other),
    }
}

impl Lexer<'_> {
    fn run(&mut self) -> Result<(), String> {
        loop {
            if self.in_document {
                self.document()?;
                continue;
            }
            let Some(&c) = self.text.get(self.at) else {
                self.push(After::Nothing)?;
                break;
            };
            match c {
                b'\n' => {
                    self.push(After::Other)?;
                    self.current.push(b'\n');
                    self.raw = Raw::Newline;
                    self.push(After::Nothing)?;
                    self.at += 1;
                }
                b'\\' | b'\'' | b'"' | b'`' | b'$' => {
                    let (piece, next) = nested(self.text, self.at, None, 0).map_err(explain)?;
                    written(std::slice::from_ref(&piece), &mut self.current);
                    self.at = next;
                }
                b'&' | b'|' | b';' | b'<' | b'>' | b'(' | b')' => {
                    self.push(After::of(Some(c)))?;
                    self.raw = Raw::Operator;
                    self.current.push(c);
                    self.at += 1;
                    while let Some(&next) = self.text.get(self.at) {
                        self.current.push(next);
                        if !operator_prefix(&self.current) {
                            self.current.pop();
                            break;
                        }
                        self.at += 1;
                    }
                    self.push(After::of(self.text.get(self.at).copied()))?;
                }
                b' ' | b'\t' => {
                    self.push(After::Other)?;
                    self.at += 1;
                }
                b'#' if self.current.is_empty() => {
                    self.raw = Raw::Comment;
                    let rest = &self.text[self.at + 1..];
                    // The reference wants a newline after a comment; a bare # may end the text.
                    let length = match memchr::memchr(b'\n', rest) {
                        Some(length) => length,
                        None if rest.is_empty() => 0,
                        None => return Err("NeedMore: ".into()),
                    };
                    self.current.extend_from_slice(&rest[..length]);
                    self.at += 1 + length;
                    if self.current.is_empty() {
                        // An empty comment leaves no token behind that could reset this.
                        self.raw = Raw::Word;
                    }
                }
                _ => {
                    self.current.push(c);
                    self.at += 1;
                }
            }
        }
        if self.here.is_some() { Err("ShellSyntaxError: missing here-document delimiter".into()) } else { Ok(()) }
    }

    /// Reads the text of the announced here-document, then hands on what stood after its name.
    fn document(&mut self) -> Result<(), String> {
        let here = self.here.take().expect("a document is announced");
        let name = here.name.clone().unwrap_or_default();
        if name.is_empty() {
            return Err("ShellSyntaxError: invalid here document delimiter ".into());
        }
        if self.at >= self.text.len() {
            return Err("NeedMore: ".into());
        }
        let mut content = Vec::new();
        loop {
            let rest = &self.text[self.at..];
            // A backslash hides the newline after it, so that such lines count as one.
            let mut escaped = false;
            let end = rest.iter().position(|&c| {
                let newline = c == b'\n' && !escaped;
                escaped = c == b'\\' && !escaped;
                newline
            });
            let mut line = &rest[..end.unwrap_or(rest.len())];
            self.at += end.map_or(rest.len(), |end| end + 1);
            if here.strip_tabs {
                let tabs = line.iter().take_while(|c| **c == b'\t').count();
                line = &line[tabs..];
            }
            if line == name {
                break;
            }
            content.extend_from_slice(line);
            if end.is_none() {
                break;
            }
            content.push(b'\n');
        }
        self.in_document = false;
        let after = if name == b"<" || name == b">" { After::Angle } else { After::Other };
        for (text, raw, after) in std::iter::once((content, Raw::Word, after)).chain(here.waiting) {
            self.current = text;
            self.raw = raw;
            self.push(after)?;
        }
        Ok(())
    }

    /// Ends the current token, if there is one.
    fn push(&mut self, after: After) -> Result<(), String> {
        if self.current.is_empty() {
            return Ok(());
        }
        let text = std::mem::take(&mut self.current);
        let mut raw = std::mem::replace(&mut self.raw, Raw::Word);
        if let Some(here) = &mut self.here {
            if here.name.is_none() {
                if raw != Raw::Word {
                    return Err(format!("ShellSyntaxError: expecting here-document name, got '{}'", String::from_utf8_lossy(&text)));
                }
                let mut name = Vec::new();
                unquoted(&pieces(&text).map_err(explain_word)?, &mut name);
                here.name = Some(name);
                raw = Raw::HereName;
            } else {
                self.in_document |= raw == Raw::Newline;
                here.waiting.push((text, raw, after));
                return Ok(());
            }
        }
        let mut kind = match raw {
            Raw::Newline => Tk::Newline,
            Raw::HereName => Tk::HereName,
            Raw::Comment => return Ok(()),
            Raw::Word => Tk::Word,
            Raw::Operator => operator(&text).unwrap_or(Tk::Word),
        };
        if kind == Tk::HereDoc {
            self.here = Some(Announced { strip_tabs: text == b"<<-", name: None, waiting: Vec::new() });
        }
        if kind == Tk::Word {
            if after == After::Nothing && text.contains(&b'=') {
                let name = text.split(|c| *c == b'=').next().unwrap_or_default();
                if !name.is_empty() && name.iter().all(|c| c.is_ascii_alphanumeric() || *c == b'_') {
                    kind = Tk::Assignment;
                }
            } else if let Some(word) = reserved(&text) {
                if word != Tk::In || self.since_for == Some(2) {
                    kind = word;
                    if matches!(word, Tk::For | Tk::Case) {
                        self.since_for = Some(0);
                    }
                }
            } else if after == After::Angle && text.iter().all(u8::is_ascii_digit) {
                kind = Tk::IoNumber;
            } else if text == b";" {
                // Only a here-document's text gets here as a word of this kind.
                kind = Tk::Semi;
            } else if text == b"&" {
                kind = Tk::Amp;
            }
        }
        self.since_for = match self.since_for {
            Some(2) | None => None,
            Some(n) => Some(n + 1),
        };
        self.out.push(Token { kind, text: String::from_utf8_lossy(&text).into_owned() });
        Ok(())
    }
}
