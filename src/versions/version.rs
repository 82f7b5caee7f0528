//! `[EPOCH:]VERSION[-REVISION]`: taking it apart and putting two in order.

use crate::VersionError;
use std::cmp::Ordering;

/// A version in its three parts, as `(PE, PV, PR)`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Version {
    /// 0 when absent.
    pub epoch: i64,
    pub version: String,
    /// Empty when absent.
    pub revision: String,
}

/// Takes `text` apart at its first colon and its last dash; blanks and comparison signs around it
/// are dropped first. An epoch that is no number is an error.
pub fn split_version(text: &str) -> Result<Version, VersionError> {
    let text = text.trim_matches([' ', '<', '>', '=']);
    let mut pieces = text.split(':');
    let first = pieces.next().unwrap_or_default();
    // What follows a second colon is lost, as it always was.
    let (epoch, rest) = match pieces.next() {
        Some(rest) => (integer(first)?, rest),
        None => (0, first),
    };
    let (version, revision) = rest.rsplit_once('-').unwrap_or((rest, ""));
    Ok(Version { epoch, version: version.to_owned(), revision: revision.to_owned() })
}

/// Python's `int(text)` as far as an `i64` holds it.
fn integer(text: &str) -> Result<i64, VersionError> {
    let error = || VersionError::Epoch(text.to_owned());
    let trimmed = text.trim_matches(crate::is_space);
    let digits = trimmed.strip_prefix(['+', '-']).unwrap_or(trimmed);
    let well_formed = digits.split('_').all(|group| !group.is_empty() && group.bytes().all(|b| b.is_ascii_digit()));
    if !well_formed {
        return Err(error());
    }
    trimmed.replace('_', "").parse().map_err(|_| error())
}

/// One run of a version: what compares as a unit.
#[derive(Debug, PartialEq, Eq)]
enum Run<'a> {
    Tilde,
    Number(&'a str),
    Letters(&'a str),
    Other(char),
}

impl Run<'_> {
    /// A tilde sorts before everything, also before the end; the end counts as a number.
    fn class(run: &Option<Self>) -> i8 {
        match run {
            Some(Run::Tilde) => -1,
            None | Some(Run::Number(_)) => 0,
            Some(Run::Letters(_)) => 1,
            Some(Run::Other(_)) => 2,
        }
    }
}

fn next_run<'a>(rest: &mut &'a str) -> Option<Run<'a>> {
    let first = rest.chars().next()?;
    let length = if first.is_ascii_digit() {
        rest.bytes().take_while(u8::is_ascii_digit).count()
    } else if first.is_ascii_alphabetic() {
        rest.bytes().take_while(u8::is_ascii_alphabetic).count()
    } else {
        first.len_utf8()
    };
    let (run, tail) = rest.split_at(length);
    *rest = tail;
    Some(match first {
        '0'..='9' => Run::Number(run),
        'a'..='z' | 'A'..='Z' => Run::Letters(run),
        '~' => Run::Tilde,
        other => Run::Other(other),
    })
}

/// Compares decimal numbers of any length.
fn compare_numbers(a: &str, b: &str) -> Ordering {
    let (a, b) = (a.trim_start_matches('0'), b.trim_start_matches('0'));
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
}

/// Orders two versions (or two revisions) run by run: numbers by value, letters by code point,
/// letters after numbers, other characters after letters, `~` before all.
pub fn vercmp_part(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a, b);
    loop {
        let (left, right) = (next_run(&mut a), next_run(&mut b));
        if left.is_none() && right.is_none() {
            return Ordering::Equal;
        }
        let order = Run::class(&left).cmp(&Run::class(&right)).then_with(|| match (&left, &right) {
            (None, _) => Ordering::Less,
            (_, None) => Ordering::Greater,
            (Some(Run::Number(a)), Some(Run::Number(b))) => compare_numbers(a, b),
            (Some(Run::Letters(a)), Some(Run::Letters(b))) => a.cmp(b),
            (Some(Run::Other(a)), Some(Run::Other(b))) => a.cmp(b),
            _ => Ordering::Equal,
        });
        if order != Ordering::Equal {
            return order;
        }
    }
}

/// Orders by epoch, then version, then revision.
pub fn vercmp(a: &Version, b: &Version) -> Ordering {
    a.epoch
        .cmp(&b.epoch)
        .then_with(|| vercmp_part(&a.version, &b.version))
        .then_with(|| vercmp_part(&a.revision, &b.revision))
}

/// [`vercmp`] of two texts.
pub fn vercmp_string(a: &str, b: &str) -> Result<Ordering, VersionError> {
    Ok(vercmp(&split_version(a)?, &split_version(b)?))
}

/// Does `a OP b` hold? `op` is one of `= == != < << <= > >> >=`.
pub fn vercmp_string_op(a: &str, b: &str, op: &str) -> Result<bool, VersionError> {
    let order = vercmp_string(a, b)?;
    Ok(match op {
        "=" | "==" => order.is_eq(),
        "!=" => order.is_ne(),
        "<" | "<<" => order.is_lt(),
        "<=" => order.is_le(),
        ">" | ">>" => order.is_gt(),
        ">=" => order.is_ge(),
        _ => return Err(VersionError::Operator(op.to_owned())),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(a: &str, b: &str) -> i32 {
        vercmp_string(a, b).unwrap() as i32
    }

    #[test]
    fn parts() {
        let v = |text: &str| {
            let v = split_version(text).unwrap();
            (v.epoch, v.version, v.revision)
        };
        assert_eq!(v(" >= 2:1.0-r3"), (2, "1.0".into(), "r3".into()));
        assert_eq!(v("1.0"), (0, "1.0".into(), "".into()));
        assert_eq!(v("1-2-3"), (0, "1-2".into(), "3".into()));
        assert_eq!(v("1:2:3"), (1, "2".into(), "".into()));
        assert_eq!(v(""), (0, "".into(), "".into()));
        assert_eq!(v("1_0:2"), (10, "2".into(), "".into()));
        assert_eq!(split_version("x:1").unwrap_err().to_string(), "invalid literal for int() with base 10: 'x'");
        assert!(split_version("1__0:2").is_err() && split_version(":2").is_err());
    }

    #[test]
    fn numbers_letters_signs_and_tildes() {
        for (a, b, expected) in [
            ("1", "2", -1),
            ("2.0", "1.9", 1),
            ("1.10", "1.9", 1),
            ("1.0", "1.00", 0),
            ("1.0a", "1.0", 1),
            ("1.0~rc1", "1.0", -1),
            ("1.0~", "1.0~rc1", -1),
            ("1.0+git", "1.0a", 1),
            ("1:0.1", "2.0", 1),
            ("1.0-r1", "1.0-r10", -1),
            ("1.0", "1.0-r0", -1),
            ("99999999999999999999999", "100000000000000000000000", -1),
            ("1.0", "1.0.0", -1),
            ("", "", 0),
            ("é", "z", 1),
        ] {
            assert_eq!(order(a, b), expected, "{a} {b}");
            assert_eq!(order(b, a), -expected, "{b} {a}");
        }
    }

    #[test]
    fn operators() {
        assert!(vercmp_string_op("1", "1.0", "<").unwrap());
        assert!(vercmp_string_op("1", "1", "==").unwrap() && vercmp_string_op("1", "1", "=").unwrap());
        assert!(!vercmp_string_op("1", "1", "!=").unwrap() && vercmp_string_op("1", "1", ">=").unwrap());
        let error = vercmp_string_op("1", "1", "~").unwrap_err();
        assert_eq!(error.to_string(), "Unsupported comparison operator \"~\"");
    }
}
