//! What `bb.utils` does natively: plain functions that Rust uses too, and the module `_hz_utils`
//! that the thin `pylib/bb/utils.py` stands on.

pub mod files;
pub mod githead;
pub mod hashes;
mod module;
pub mod system;

use hz_versions::words;
use rustc_hash::FxHashSet;

pub use module::module_def;

/// Are all words of `wanted` among the words of `value`? (`bb.utils.contains`; an empty or missing
/// value is false before this is asked.)
pub fn contains_all<'a>(value: &str, wanted: impl IntoIterator<Item = &'a str>) -> bool {
    let mut wanted = wanted.into_iter();
    let Some(first) = wanted.next() else { return true };
    match wanted.next() {
        // One word is the common case by far: no set is needed.
        None => words(value).any(|word| word == first),
        Some(second) => {
            let have: FxHashSet<&str> = words(value).collect();
            [first, second].into_iter().chain(wanted).all(|word| have.contains(word))
        }
    }
}

/// Is any word of `wanted` among the words of `value`? (`bb.utils.contains_any`)
pub fn contains_any<'a>(value: &str, wanted: impl IntoIterator<Item = &'a str>) -> bool {
    let have: FxHashSet<&str> = words(value).collect();
    wanted.into_iter().any(|word| have.contains(word))
}

/// The words of `wanted` that are also in `value`, each once, sorted, separated by a blank
/// (`bb.utils.filter`).
pub fn filter_words<'a>(value: &str, wanted: impl IntoIterator<Item = &'a str>) -> String {
    let have: FxHashSet<&str> = words(value).collect();
    let mut both: Vec<&str> = wanted.into_iter().filter(|word| have.contains(word)).collect();
    both.sort_unstable();
    both.dedup();
    both.join(" ")
}

/// What a text says as a truth value; None for anything but y, yes, 1, true and n, no, 0, false in
/// any case (`bb.utils.to_boolean`, which makes an error of that).
pub fn to_boolean(text: &str) -> Option<bool> {
    match text.to_lowercase().as_str() {
        "y" | "yes" | "1" | "true" => Some(true),
        "n" | "no" | "0" | "false" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn membership() {
        assert!(contains_all("a b c", ["c"]) && contains_all("a b c", ["c", "a"]) && contains_all("a", []));
        assert!(!contains_all("a bc", ["b"]) && !contains_all("a b c", ["a", "d"]));
        assert!(contains_any("a b", ["x", "b"]) && !contains_any("a b", []) && !contains_any("", ["a"]));
        assert_eq!(filter_words("c b a", ["b", "x", "c", "b"]), "b c");
    }

    #[test]
    fn truth() {
        assert_eq!(to_boolean("YES"), Some(true));
        assert_eq!(to_boolean("0"), Some(false));
        assert_eq!(to_boolean("on"), None);
    }
}
