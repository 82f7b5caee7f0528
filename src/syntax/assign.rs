//! The assignment line: `[export ]NAME[[FLAG]] OP "VALUE"`.
//!
//! The reference matches it with one expression whose name part is lazy; since neither names nor
//! flags can hold `=`, the operator always contains the first `=` of the line, which leaves at
//! most two ways to read it. The shorter name wins.

use crate::lines::{leading_space, trim_end};
use crate::statement::{Assign, Op};

pub(crate) struct Match<'a> {
    pub export: bool,
    pub name: &'a str,
    pub flag: Option<&'a str>,
    pub op: Op,
    pub value: &'a str,
    /// White space on both sides of the operator.
    pub spaced: bool,
}

impl Match<'_> {
    pub fn to_assign(&self) -> Assign {
        Assign {
            export: self.export,
            name: self.name.into(),
            flag: self.flag.map(Into::into),
            op: self.op,
            value: self.value.into(),
        }
    }
}

pub(crate) fn is_name_byte(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"-_+.${}/~:".contains(&b)
}

/// Names of the bare `export` and `unset`: no colon.
pub(crate) fn is_plain_name_byte(b: u8) -> bool {
    b != b':' && is_name_byte(b)
}

pub(crate) fn is_flag_start(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"-_+.".contains(&b)
}

pub(crate) fn match_assignment(line: &str) -> Option<Match<'_>> {
    if let Some(rest) = line.strip_prefix("export") {
        let space = leading_space(rest);
        if space > 0
            && let Some(m) = match_unexported(&rest[space..])
        {
            return Some(Match { export: true, ..m });
        }
    }
    match_unexported(line)
}

fn match_unexported(line: &str) -> Option<Match<'_>> {
    let equals = memchr(b'=', line.as_bytes())?;
    let bytes = line.as_bytes();
    let last = equals.checked_sub(1).map(|i| bytes[i]);
    let prefixed = match last {
        Some(b':') => Some((equals - 1, Op::Immediate)),
        Some(b'+') => Some((equals - 1, Op::Append)),
        Some(b'.') => Some((equals - 1, Op::AppendDot)),
        Some(b'?') if equals >= 2 && bytes[equals - 2] == b'?' => Some((equals - 2, Op::WeakDefault)),
        Some(b'?') => Some((equals - 1, Op::Default)),
        _ => None,
    };
    if let Some((at, op)) = prefixed
        && let Some(m) = complete(line, at, equals + 1, op)
    {
        return Some(m);
    }
    match bytes.get(equals + 1) {
        Some(b'+') => complete(line, equals, equals + 2, Op::Prepend),
        Some(b'.') => complete(line, equals, equals + 2, Op::PrependDot),
        _ => complete(line, equals, equals + 1, Op::Set),
    }
}

/// Reads what stands before `at` as name and flag and what stands from `after` as quoted value.
fn complete(line: &str, at: usize, after: usize, op: Op) -> Option<Match<'_>> {
    let target = trim_end(&line[..at]);
    let (name, flag) = match target.strip_suffix(']') {
        Some(open) => {
            let bracket = memchr(b'[', open.as_bytes())?;
            let flag = &open[bracket + 1..];
            let (first, others) = flag.as_bytes().split_first()?;
            if !is_flag_start(*first) || !others.iter().all(|&b| is_flag_start(b) || b == b'@' || b == b'/') {
                return None;
            }
            (&open[..bracket], Some(flag))
        }
        None => (target, None),
    };
    if !name.bytes().all(is_name_byte) {
        return None;
    }
    let rest = &line[after..];
    let space = leading_space(rest);
    let quoted = &rest[space..];
    let quote = *quoted.as_bytes().first()?;
    if (quote != b'"' && quote != b'\'') || quoted.len() < 2 || quoted.as_bytes()[quoted.len() - 1] != quote {
        return None;
    }
    let value = &quoted[1..quoted.len() - 1];
    // One stray quote of the same kind is taken for a mistake; two or more are part of the value.
    if value.bytes().filter(|&b| b == quote).take(2).count() == 1 {
        return None;
    }
    Some(Match { export: false, name, flag, op, value, spaced: target.len() < at && space > 0 })
}

fn memchr(needle: u8, haystack: &[u8]) -> Option<usize> {
    haystack.iter().position(|&b| b == needle)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn m(line: &str) -> Option<(bool, &str, Option<&str>, &'static str, &str)> {
        match_assignment(line).map(|m| (m.export, m.name, m.flag, m.op.text(), m.value))
    }

    #[test]
    fn operators() {
        assert_eq!(m("A = \"x\""), Some((false, "A", None, "=", "x")));
        assert_eq!(m("A:append = 'x'"), Some((false, "A:append", None, "=", "x")));
        assert_eq!(m("A:=\"x\""), Some((false, "A", None, ":=", "x")));
        assert_eq!(m("A??=\"x\""), Some((false, "A", None, "??=", "x")));
        assert_eq!(m("A+=\"x\""), Some((false, "A", None, "+=", "x")));
        assert_eq!(m("A=+\"x\""), Some((false, "A", None, "=+", "x")));
        assert_eq!(m("A=.\"x\""), Some((false, "A", None, "=.", "x")));
        assert_eq!(m("A.=\"x\""), Some((false, "A", None, ".=", "x")));
        assert_eq!(m("A:=+ \"x\""), Some((false, "A:", None, "=+", "x")));
        assert_eq!(m("export A[f/g] ?= \"a = b\""), Some((true, "A", Some("f/g"), "?=", "a = b")));
        assert_eq!(m("export = \"x\""), Some((true, "", None, "=", "x")));
        assert_eq!(m("= \"x\""), Some((false, "", None, "=", "x")));
    }

    #[test]
    fn quotes() {
        assert_eq!(m("A = \"a\"b\""), None);
        assert_eq!(m("A = \"a\"b\"c\""), Some((false, "A", None, "=", "a\"b\"c")));
        assert_eq!(m("A = \"a'b\""), Some((false, "A", None, "=", "a'b")));
        assert_eq!(m("A = \""), None);
        assert_eq!(m("A = \"\""), Some((false, "A", None, "=", "")));
        assert_eq!(m("A = \"x\" # no"), None);
        assert_eq!(m("A B = \"x\""), None);
        assert_eq!(m("A[@f] = \"x\""), None);
    }
}
