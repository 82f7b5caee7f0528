//! One logical line that is not a function, a `def` or a comment -> a statement.

use crate::Options;
use crate::assign::{is_flag_start, is_plain_name_byte, match_assignment};
use crate::lines::leading_space;
use crate::parse_error;
use crate::statement::{StatementKind, Warning};
use hz_diagnostics::{Diagnostic, Str};
use logos::Logos;

/// The word a line starts with, if it is one that means something in column 0.
#[derive(Logos, Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keyword {
    #[token("def")]
    Def,
    #[token("EXPORT_FUNCTIONS")]
    ExportFunctions,
    #[token("addtask")]
    AddTask,
    #[token("deltask")]
    DelTask,
    #[token("addhandler")]
    AddHandler,
    #[token("inherit")]
    Inherit,
    #[token("inherit_defer")]
    InheritDefer,
    #[token("include")]
    Include,
    #[token("require")]
    Require,
    #[token("include_all")]
    IncludeAll,
    #[token("export")]
    Export,
    #[token("unset")]
    Unset,
    #[token("addpylib")]
    AddPylib,
    #[token("addfragments")]
    AddFragments,
    #[regex(r"[A-Za-z0-9_]+", priority = 1)]
    Other,
}

/// The keyword of the line and what follows it (starting with white space), if it has one.
pub(crate) fn keyword(line: &str) -> Option<(Keyword, &str)> {
    let mut lexer = Keyword::lexer(line);
    match lexer.next() {
        Some(Ok(Keyword::Other)) | Some(Err(_)) | None => None,
        Some(Ok(word)) => {
            let rest = lexer.remainder();
            (leading_space(rest) > 0).then_some((word, rest))
        }
    }
}

/// What `\s+(.+)` captures: all after the white space, or its last character if nothing follows
/// and there is more than one.
fn argument(rest: &str) -> Option<&str> {
    let space = leading_space(rest);
    if space < rest.len() {
        return Some(&rest[space..]);
    }
    let last = rest.char_indices().next_back()?.0;
    (last > 0).then(|| &rest[last..])
}

/// As [`argument`], up to the first `#`.
fn argument_before_hash(rest: &str) -> Option<&str> {
    argument(rest.split('#').next().unwrap_or_default())
}

/// `\s+(.+)\s+(.+)…` with `N` captures, each as long as it can be.
fn arguments<const N: usize>(rest: &str) -> Option<[&str; N]> {
    fn after_space<'a>(rest: &'a str, n: usize, out: &mut Vec<&'a str>) -> bool {
        let space = leading_space(rest);
        let ends: Vec<usize> = rest[..space].char_indices().map(|(i, c)| i + c.len_utf8()).collect();
        ends.iter().rev().any(|&end| captures(&rest[end..], n, out))
    }
    fn captures<'a>(text: &'a str, n: usize, out: &mut Vec<&'a str>) -> bool {
        if n == 1 {
            if !text.is_empty() {
                out.push(text);
            }
            return !text.is_empty();
        }
        for (at, c) in text.char_indices().rev() {
            if at > 0 && crate::is_space(c) {
                out.push(&text[..at]);
                if after_space(&text[at..], n - 1, out) {
                    return true;
                }
                out.pop();
            }
        }
        false
    }
    let mut out = Vec::with_capacity(N);
    after_space(rest, N, &mut out).then(|| out.try_into().ok()).flatten()
}

fn words(text: &str) -> Vec<Str> {
    hz_versions::words(text).map(Into::into).collect()
}

/// The directives that only recipes and classes know. `None`: not one of them.
pub(crate) fn recipe_directive(
    line: &str, options: Options<'_>, class: &str,
) -> Result<Option<StatementKind>, Diagnostic> {
    let Some((word, rest)) = keyword(line) else { return Ok(None) };
    let kind = match word {
        Keyword::ExportFunctions => {
            argument(rest).map(|names| StatementKind::ExportFunctions { names: words(names), class: class.into() })
        }
        Keyword::AddTask => match argument_before_hash(rest) {
            Some(text) => Some(add_task(line, text, options.file)?),
            None => None,
        },
        Keyword::DelTask => argument_before_hash(rest).map(|tasks| StatementKind::DelTask { tasks: tasks.into() }),
        Keyword::AddHandler => argument(rest).map(|names| StatementKind::AddHandler { names: words(names) }),
        Keyword::Inherit => argument(rest).map(|classes| StatementKind::Inherit { classes: classes.into() }),
        Keyword::InheritDefer => argument(rest).map(|classes| StatementKind::InheritDefer { classes: classes.into() }),
        _ => None,
    };
    Ok(kind)
}

/// The name that a `def` line defines.
pub(crate) fn def_name(line: &str) -> Option<&str> {
    let (Keyword::Def, rest) = keyword(line)? else { return None };
    let rest = &rest[leading_space(rest)..];
    let end = rest.find(|c: char| !is_word(c)).unwrap_or(rest.len());
    (end > 0 && rest[end..].contains(':')).then(|| &rest[..end])
}

pub(crate) fn is_word(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

const OPERATION_KEYWORDS: [&str; 3] = [":append", ":prepend", ":remove"];

fn add_task(line: &str, text: &str, file: &str) -> Result<StatementKind, Diagnostic> {
    for word in hz_versions::words(line) {
        if OPERATION_KEYWORDS.iter().any(|k| word.match_indices(k).any(|(i, _)| word[i + k.len()..].starts_with('_'))) {
            return Err(parse_error(
                format!(
                    "Task name '{word}' contains a keyword which is not recommended/supported.\nPlease rename the \
                     task not to include the keyword.\n{}",
                    OPERATION_KEYWORDS.join("\n")
                ),
                file,
                0,
            ));
        }
    }
    const BEFORE: &str = " before ";
    const AFTER: &str = " after ";
    let first = |text: &'static str| move |s: &str| s.split(text).next().unwrap_or_default().to_string();
    let tasks = first(AFTER)(&first(BEFORE)(text));
    // All clauses of a kind; inside one of the other kind's stretches they are joined by a blank,
    // between them by nothing.
    let clauses = |outer: &str, inner: &str| -> String {
        text.split(outer).map(|part| part.split(inner).skip(1).collect::<Vec<_>>().join(" ")).collect()
    };
    Ok(StatementKind::AddTask {
        tasks: tasks.into(),
        before: clauses(AFTER, BEFORE).into(),
        after: clauses(BEFORE, AFTER).into(),
    })
}

/// What both grammars know: assignments and the directives of configuration files.
pub(crate) fn common(
    line: &str, number: u32, options: Options<'_>, warnings: &mut Vec<Warning>,
) -> Result<StatementKind, Diagnostic> {
    if let Some(m) = match_assignment(line) {
        if m.name.is_empty() {
            return Err(parse_error(
                format!("Empty variable name in assignment: '{line}'"),
                options.file,
                number,
            ));
        }
        if !m.spaced {
            let message = format!(
                "{}:{number} has a lack of whitespace around the assignment: '{line}'",
                options.file
            );
            warnings.push(Warning { message, line: number, parser: true });
        }
        return Ok(StatementKind::Assign(m.to_assign()));
    }
    keyword(line)
        .and_then(|(word, rest)| match word {
            Keyword::Include => argument(rest).map(|w| StatementKind::Include { what: w.into(), required: false }),
            Keyword::Require => argument(rest).map(|w| StatementKind::Include { what: w.into(), required: true }),
            Keyword::IncludeAll => argument(rest).map(|w| StatementKind::IncludeAll { what: w.into() }),
            Keyword::Export => plain_name(rest).map(|name| StatementKind::Export { name: name.into() }),
            Keyword::Unset => unset(rest),
            Keyword::AddPylib if options.baseconfig && options.grammar == crate::Grammar::Conf => {
                arguments::<2>(rest)
                    .map(|[dir, namespace]| StatementKind::AddPylib { dir: dir.into(), namespace: namespace.into() })
            }
            Keyword::AddFragments => arguments::<4>(rest).map(|[prefix, variable, flagged, builtin]| {
                StatementKind::AddFragments {
                    prefix: prefix.into(),
                    variable: variable.into(),
                    flagged: flagged.into(),
                    builtin: builtin.into(),
                }
            }),
            _ => None,
        })
        .ok_or_else(|| parse_error(format!("unparsed line: '{line}'"), options.file, number))
}

fn plain_name(rest: &str) -> Option<&str> {
    let name = &rest[leading_space(rest)..];
    (!name.is_empty() && name.bytes().all(is_plain_name_byte)).then_some(name)
}

fn unset(rest: &str) -> Option<StatementKind> {
    if let Some(name) = plain_name(rest) {
        return Some(StatementKind::Unset { name: name.into() });
    }
    let target = rest[leading_space(rest)..].strip_suffix(']')?;
    let (name, flag) = target.split_once('[')?;
    // One character of flag name is not enough for the reference's expression.
    let flag_ok = flag.len() >= 2
        && is_flag_start(flag.as_bytes()[0])
        && flag.bytes().skip(1).all(|b| is_flag_start(b) || b == b'@');
    (!name.is_empty() && name.bytes().all(is_plain_name_byte) && flag_ok)
        .then(|| StatementKind::UnsetFlag { name: name.into(), flag: flag.into() })
}
