//! Which commands shell text calls.
//!
//! The walk has the reference's habits, because they decide task hashes: the list of words is
//! edited while it is walked (a command word that holds a substitution is taken out, and the word
//! after it is then not searched), words with `=` before the command are stepped over, commands
//! that begin with `$` are not counted, and `eval` reads its arguments as a script.

use crate::shell_grammar::{Role, Word, parse};
use crate::shell_lexer::{explain_word, tokens};
use crate::shell_words::{Kind, Piece, pieces, written};
use crate::{Diagnostic, ShellRefs, Str};
use std::collections::BTreeSet;

/// Scans without the cache.
pub fn scan(text: &str) -> Result<ShellRefs, Diagnostic> {
    let mut scan = Scan::default();
    scan.script(text, 0)?;
    let execs = scan.commands.iter().filter(|c| !scan.functions.contains(*c)).map(|c| Str::from(c.as_str())).collect();
    Ok(ShellRefs { execs, computed: scan.computed })
}

#[derive(Default)]
struct Scan {
    commands: BTreeSet<String>,
    functions: BTreeSet<String>,
    computed: Vec<Str>,
}

/// The reference tells of a script it cannot read before it raises.
fn refused(text: &str, cause: String) -> Diagnostic {
    let lines: Vec<&str> = text.split('\n').collect();
    let tail = lines[lines.len().saturating_sub(5)..].join("\n");
    Diagnostic::error(format!("Error during parse shell code, the last 5 lines are:\n{tail}")).via(cause, None)
}

impl Scan {
    fn script(&mut self, text: &str, depth: usize) -> Result<(), Diagnostic> {
        if depth > 100 {
            return Err(Diagnostic::error("").via("RecursionError: maximum recursion depth exceeded", None));
        }
        let script = tokens(text).and_then(parse).map_err(|cause| refused(text, cause))?;
        self.functions.extend(script.functions);
        for words in script.groups {
            self.words(words, depth)?;
        }
        Ok(())
    }

    fn words(&mut self, mut words: Vec<Word>, depth: usize) -> Result<(), Diagnostic> {
        let mut at = 0;
        while at < words.len() {
            let word = words[at].clone();
            if word.text.bytes().any(|c| matches!(c, b'$' | b'`' | b'\\' | b'"' | b'\'')) {
                let parts = pieces(word.text.as_bytes()).map_err(|e| Diagnostic::error("").via(explain_word(e), None))?;
                let mut substituted = false;
                for inner in substitutions(&parts) {
                    let mut command = Vec::new();
                    written(inner, &mut command);
                    self.script(&String::from_utf8_lossy(&command), depth + 1)?;
                    substituted = true;
                }
                if substituted && word.role == Role::Command {
                    words.remove(at);
                }
            }
            at += 1;
        }

        let mut past_assignment = false;
        for at in 0..words.len() {
            let word = &words[at];
            let candidate = word.role == Role::Command || (past_assignment && word.role == Role::Word);
            if !candidate {
                continue;
            }
            if word.text.contains('=') {
                past_assignment = true;
                continue;
            }
            if word.text.starts_with('$') {
                self.computed.push(word.text.as_str().into());
            } else if word.text == "eval" {
                let arguments = words[1..].iter().map(|w| w.text.as_str()).collect::<Vec<_>>().join(" ");
                self.script(&arguments, depth + 1)?;
            } else {
                self.commands.insert(word.text.clone());
            }
            break;
        }
        Ok(())
    }
}

/// The command substitutions of a word: bare ones, and those directly inside double quotes.
fn substitutions(parts: &[Piece]) -> impl Iterator<Item = &[Piece]> {
    fn command(piece: &Piece) -> Option<&[Piece]> {
        match piece {
            Piece::Nested(Kind::Command | Kind::Backquote, inner) => Some(inner.as_slice()),
            _ => None,
        }
    }
    parts.iter().flat_map(|part| {
        let inside: &[Piece] = match part {
            Piece::Nested(Kind::Double, inner) => inner,
            _ => &[],
        };
        command(part).into_iter().chain(inside.iter().filter_map(command))
    })
}
