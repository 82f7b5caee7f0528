//! Dependency lists: `NAME (>= VERSION) NAME …`, as RDEPENDS and its relatives hold them.

use crate::{VersionError, words};

/// Names with their version demands (`">= 1.0"`), in order of first mention; no demand: empty list.
pub type DepVersions = Vec<(String, Vec<String>)>;

/// The names of a dependency list, in order and with repetitions; versions in parentheses are
/// dropped.
pub fn explode_deps(text: &str) -> Vec<&str> {
    let mut inside = false;
    let mut names = Vec::new();
    for word in words(text) {
        inside |= word.starts_with('(');
        if !inside {
            names.push(word);
        } else if word.ends_with(')') {
            inside = false;
        }
    }
    names
}

/// Longer operators first: `<=` must not be read as `<`.
const OPERATORS: [&str; 11] = ["<=", "=<", "<<", "==", "!=", ">=", "=>", ">>", "<", ">", "="];

/// The names of a dependency list with the version demands of each; commas are ignored. Sorted by
/// name if `sort`, else in order of mention. A demand before any name stands under the empty name.
///
/// A demand of several words records each prefix, and a second pair of parentheses behind one name
/// continues the first one's text: that is how the reference reads it, and package managers'
/// back ends see it.
pub fn explode_dep_versions2(text: &str, sort: bool) -> Result<DepVersions, VersionError> {
    enum At {
        Name,
        Operator,
        Version,
    }
    let text = text.replace(',', "");
    let mut found = Found::default();
    let (mut name, mut operator, mut version) = ("", "", String::new());
    let mut at = At::Name;
    for word in words(&text) {
        let mut word = word;
        if let Some(rest) = word.strip_prefix('(') {
            at = At::Operator;
            word = rest;
            if word.is_empty() {
                continue;
            }
        }
        if let At::Operator = at {
            let Some(sign) = OPERATORS.into_iter().find(|sign| word.starts_with(sign)) else {
                return Err(VersionError::Specification(word.to_owned()));
            };
            operator = sign;
            word = &word[sign.len()..];
            at = At::Version;
            if word.is_empty() {
                continue;
            }
        }
        if let At::Version = at {
            if let Some(rest) = word.strip_suffix(')') {
                word = rest;
                at = At::Name;
                if !version.is_empty() && !word.is_empty() {
                    version.push(' ');
                }
            }
            if !word.is_empty() {
                version.push_str(word);
                found.entry(name).push(format!("{operator} {version}"));
            }
            continue;
        }
        name = word;
        operator = "";
        version.clear();
        found.entry(name);
    }
    if sort {
        found.list.sort_by(|a, b| a.0.cmp(&b.0));
    }
    Ok(found.list)
}

/// A map that keeps the order of first mention.
#[derive(Default)]
struct Found {
    list: DepVersions,
    index: std::collections::HashMap<String, usize>,
}

impl Found {
    fn entry(&mut self, name: &str) -> &mut Vec<String> {
        let at = *self.index.entry(name.to_owned()).or_insert(self.list.len());
        if at == self.list.len() {
            self.list.push((name.to_owned(), Vec::new()));
        }
        &mut self.list[at].1
    }
}

/// The text of a dependency list, one entry per demand; separated by `, ` or a blank.
pub fn join_deps<'a>(deps: impl IntoIterator<Item = &'a (String, Vec<String>)>, commasep: bool) -> String {
    let mut entries = Vec::new();
    for (name, versions) in deps {
        if versions.is_empty() {
            entries.push(name.clone());
        }
        entries.extend(versions.iter().map(|version| format!("{name} ({version})")));
    }
    entries.join(if commasep { ", " } else { " " })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(text: &str) -> Vec<(String, Vec<String>)> {
        explode_dep_versions2(text, false).unwrap()
    }

    #[test]
    fn names_only() {
        assert_eq!(explode_deps("a (>= 1.0) b(x c (= 2 ) d (bad) a"), ["a", "b(x", "c", "d", "a"]);
        assert_eq!(explode_deps(" \n "), [""; 0]);
        assert_eq!(explode_deps("a ( b"), ["a"]);
    }

    #[test]
    fn names_and_versions() {
        let d = |n: &str, v: &[&str]| (n.to_string(), v.iter().map(|v| v.to_string()).collect::<Vec<_>>());
        assert_eq!(pairs("foo (>= 1.0), bar foo (<< 2) baz"), [d("foo", &[">= 1.0", "<< 2"]), d("bar", &[]), d("baz", &[])]);
        assert_eq!(pairs("foo ( = 1.0 )"), [d("foo", &["= 1.0"])]);
        assert_eq!(pairs("foo (=1.0)"), [d("foo", &["= 1.0"])]);
        assert_eq!(pairs("foo (>= 1) (<= 2)"), [d("foo", &[">= 1", "<= 1 2"])]);
        assert_eq!(pairs("foo (>= 1 2)"), [d("foo", &[">= 1", ">= 1 2"])]);
        let sorted = explode_dep_versions2("b a", true).unwrap();
        assert_eq!(sorted, [d("a", &[]), d("b", &[])]);
    }

    #[test]
    fn a_version_needs_an_operator() {
        let error = explode_dep_versions2("foo (1.0)", true).unwrap_err();
        assert_eq!(error.to_string(), "Invalid version specification in \"(1.0)\" - invalid or missing operator");
    }

    #[test]
    fn joined_again() {
        let deps = pairs("foo (>= 1.0) bar foo (<< 2)");
        assert_eq!(join_deps(&deps, true), "foo (>= 1.0), foo (<< 2), bar");
        assert_eq!(join_deps(&deps, false), "foo (>= 1.0) foo (<< 2) bar");
    }
}
