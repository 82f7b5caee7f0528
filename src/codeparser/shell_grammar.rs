//! The POSIX shell grammar over the tokens of the lexer, read only for what the scan wants: the
//! words of every simple command, and the names of functions defined.
//!
//! Accepts and refuses what the reference's grammar does. Some of that is wider than POSIX: at the
//! outermost level two complete commands need nothing between them, so `a {` ends a command and
//! begins a group there. Some is narrower: `for x` wants `in`, a function takes no redirections,
//! `&` may not end a list in braces, parentheses or a clause.

use crate::shell_lexer::{Tk, Token};

/// What a word is in its command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The first word of a simple command that is not a redirection or assignment.
    Command,
    /// Any other word.
    Word,
    /// The value of an assignment.
    Value,
}

#[derive(Clone, Debug)]
pub struct Word {
    pub role: Role,
    pub text: String,
}

#[derive(Debug, Default)]
pub struct Script {
    /// The words of each simple command, `for` list and `case` pattern list.
    pub groups: Vec<Vec<Word>>,
    pub functions: Vec<String>,
}

/// Reads a whole script.
pub fn parse(tokens: Vec<Token>) -> Result<Script, String> {
    let mut parser = Parser { tokens, at: 0, depth: 0, script: Script::default() };
    parser.newlines();
    while parser.at < parser.tokens.len() {
        parser.complete_command()?;
    }
    Ok(parser.script)
}

struct Parser {
    tokens: Vec<Token>,
    at: usize,
    depth: usize,
    script: Script,
}

type Parsed<T = ()> = Result<T, String>;

fn starts_command(kind: Option<Tk>) -> bool {
    use Tk::*;
    matches!(
        kind,
        Some(Word | Open | LBrace | For | If | While | Until | Case | Bang | Assignment | IoNumber | Redirect | HereDoc)
    )
}

impl Parser {
    fn peek(&self) -> Option<Tk> {
        self.tokens.get(self.at).map(|t| t.kind)
    }

    fn take(&mut self, kind: Tk) -> bool {
        let found = self.peek() == Some(kind);
        self.at += found as usize;
        found
    }

    fn expect(&mut self, kind: Tk) -> Parsed {
        if self.take(kind) { Ok(()) } else { Err(self.unexpected()) }
    }

    fn unexpected(&self) -> String {
        match self.tokens.get(self.at) {
            None => "ShellSyntaxError: Unexpected EOF".into(),
            Some(token) => {
                let mut text = format!("ShellSyntaxError: {}\nfollowed by:\n", token.shown());
                for token in self.tokens.iter().skip(self.at + 1).take(5) {
                    text.push_str(&format!("  {}\n", token.shown()));
                }
                text
            }
        }
    }

    fn newlines(&mut self) -> bool {
        let before = self.at;
        while self.take(Tk::Newline) {}
        self.at > before
    }

    /// A word, or `fi`, which the grammar takes for one wherever it cannot close an `if`.
    fn word(&mut self) -> Option<String> {
        if matches!(self.peek(), Some(Tk::Word | Tk::Fi)) {
            self.at += 1;
            Some(std::mem::take(&mut self.tokens[self.at - 1].text))
        } else {
            None
        }
    }

    /// `;`, `; ;` or `&`. Gives whether it was `&`.
    fn separator_operator(&mut self) -> Option<bool> {
        if self.take(Tk::Amp) {
            Some(true)
        } else if self.take(Tk::Semi) {
            self.take(Tk::Semi);
            Some(false)
        } else {
            None
        }
    }

    fn complete_command(&mut self) -> Parsed {
        loop {
            self.and_or()?;
            if self.separator_operator().is_some() {
                if !self.newlines() && starts_command(self.peek()) {
                    continue;
                }
            } else {
                self.newlines();
            }
            return Ok(());
        }
    }

    fn and_or(&mut self) -> Parsed {
        self.pipeline()?;
        while self.take(Tk::AndIf) || self.take(Tk::OrIf) {
            self.newlines();
            self.pipeline()?;
        }
        Ok(())
    }

    fn pipeline(&mut self) -> Parsed {
        self.take(Tk::Bang);
        self.command()?;
        while self.take(Tk::Pipe) {
            self.newlines();
            self.command()?;
        }
        Ok(())
    }

    fn command(&mut self) -> Parsed {
        self.depth += 1;
        if self.depth > 300 {
            return Err("RecursionError: maximum recursion depth exceeded".into());
        }
        use Tk::*;
        match self.peek() {
            Some(LBrace | Open | For | Case | If | While | Until) => {
                self.compound()?;
                while self.redirection()? {}
            }
            Some(Word) if self.tokens.get(self.at + 1).map(|t| t.kind) == Some(Open) => {
                let name = self.word().unwrap_or_default();
                self.script.functions.push(name);
                self.at += 1;
                self.expect(Close)?;
                self.newlines();
                self.compound()?;
                if self.redirection()? {
                    return Err("NotImplementedError: functions redirections lists are not implemented".into());
                }
            }
            _ => self.simple()?,
        }
        self.depth -= 1;
        Ok(())
    }

    fn simple(&mut self) -> Parsed {
        let mut words = Vec::new();
        let mut values = Vec::new();
        let start = self.at;
        loop {
            if self.peek() == Some(Tk::Assignment) {
                let text = &self.tokens[self.at].text;
                let value = text.split_once('=').map_or("", |(_, value)| value).to_string();
                values.push(Word { role: Role::Value, text: value });
                self.at += 1;
            } else if !self.redirection()? {
                break;
            }
        }
        // `fi` is a command only after a redirection or assignment.
        let first = if self.at > start || self.peek() == Some(Tk::Word) { self.word() } else { None };
        if let Some(text) = first {
            words.push(Word { role: Role::Command, text });
            loop {
                use Tk::*;
                match self.peek() {
                    Some(Word | Fi | For | Done | Do | Until | Assignment | If | Then | Bang) => {
                        let text = std::mem::take(&mut self.tokens[self.at].text);
                        words.push(crate::shell_grammar::Word { role: Role::Word, text });
                        self.at += 1;
                    }
                    _ if self.redirection()? => {}
                    _ => break,
                }
            }
        }
        if self.at == start {
            return Err(self.unexpected());
        }
        words.append(&mut values);
        self.script.groups.push(words);
        Ok(())
    }

    /// A redirection, if one is next.
    fn redirection(&mut self) -> Parsed<bool> {
        let numbered = self.take(Tk::IoNumber);
        if self.take(Tk::Redirect) {
            self.expect(Tk::Word)?;
            Ok(true)
        } else if self.take(Tk::HereDoc) {
            self.expect(Tk::HereName)?;
            self.expect(Tk::Word)?;
            Ok(true)
        } else if numbered {
            Err(self.unexpected())
        } else {
            Ok(false)
        }
    }

    /// Commands inside a compound command: at least one.
    fn list(&mut self) -> Parsed {
        self.newlines();
        loop {
            self.and_or()?;
            let background = match self.separator_operator() {
                Some(background) => {
                    self.newlines();
                    background
                }
                None if self.newlines() => false,
                None => return Ok(()),
            };
            if !starts_command(self.peek()) {
                return if background { Err("NotImplementedError: ".into()) } else { Ok(()) };
            }
        }
    }

    fn do_group(&mut self) -> Parsed {
        self.expect(Tk::Do)?;
        self.list()?;
        self.expect(Tk::Done)
    }

    fn compound(&mut self) -> Parsed {
        let kind = self.peek();
        self.at += 1;
        match kind {
            Some(Tk::LBrace) => {
                self.list()?;
                self.expect(Tk::RBrace)
            }
            Some(Tk::Open) => {
                self.list()?;
                self.expect(Tk::Close)
            }
            Some(Tk::While | Tk::Until) => {
                self.list()?;
                self.do_group()
            }
            Some(Tk::If) => {
                self.list()?;
                self.expect(Tk::Then)?;
                self.list()?;
                while self.take(Tk::Elif) {
                    self.list()?;
                    self.expect(Tk::Then)?;
                    self.list()?;
                }
                if self.take(Tk::Else) {
                    self.list()?;
                }
                self.expect(Tk::Fi)
            }
            Some(Tk::For) => {
                self.word().ok_or_else(|| self.unexpected())?;
                self.newlines();
                if !self.take(Tk::In) {
                    return Err("NotImplementedError: \"in\" omission is not implemented".into());
                }
                let mut items = Vec::new();
                while let Some(text) = self.word() {
                    items.push(Word { role: Role::Word, text });
                }
                self.script.groups.push(items);
                let separated = self.take(Tk::Semi);
                if !self.newlines() && !separated {
                    return Err(self.unexpected());
                }
                self.do_group()
            }
            Some(Tk::Case) => self.case(),
            _ => {
                self.at -= 1;
                Err(self.unexpected())
            }
        }
    }

    fn case(&mut self) -> Parsed {
        self.word().ok_or_else(|| self.unexpected())?;
        self.newlines();
        self.expect(Tk::In)?;
        self.newlines();
        let mut patterns = Vec::new();
        while !self.take(Tk::Esac) {
            let parenthesis = self.take(Tk::Open);
            let first = patterns.len();
            loop {
                let text = self.word().ok_or_else(|| self.unexpected())?;
                patterns.push(Word { role: Role::Word, text });
                if !self.take(Tk::Pipe) {
                    break;
                }
            }
            self.expect(Tk::Close)?;
            self.newlines();
            if !matches!(self.peek(), Some(Tk::DoubleSemi | Tk::Esac)) {
                self.list()?;
            }
            if self.take(Tk::DoubleSemi) {
                self.newlines();
            } else {
                self.newlines();
                self.expect(Tk::Esac)?;
                // The reference loses the patterns of a last item that is written with an opening
                // parenthesis and without `;;`.
                if parenthesis {
                    patterns.truncate(first);
                }
                break;
            }
        }
        self.script.groups.push(patterns);
        Ok(())
    }
}
