//! Text rules the store borrows from Python: white space, names in `${…}`, operation suffixes.

use memchr::{memchr, memmem};

/// White space as Python's `str.split()` and `\s` see it.
#[inline]
pub fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\x1c'..='\x1f').contains(&c)
}

/// `text.split()`.
pub fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(is_space).filter(|word| !word.is_empty())
}

/// `bb.utils.to_boolean` of text: None for text that is neither.
pub fn to_boolean(text: &str) -> Option<bool> {
    match text.to_lowercase().as_str() {
        "y" | "yes" | "1" | "true" => Some(true),
        "n" | "no" | "0" | "false" => Some(false),
        _ => None,
    }
}

const fn name_table() -> [bool; 256] {
    let mut table = [false; 256];
    let mut i = 0;
    while i < 256 {
        let b = i as u8;
        table[i] = b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'+' | b'.' | b'/' | b'~' | b':');
        i += 1;
    }
    table
}
/// Bytes allowed in NAME of `${NAME}`.
static NAME: [bool; 256] = name_table();

#[inline]
pub(crate) fn has_expansion(text: &str) -> bool {
    let bytes = text.as_bytes();
    let mut from = 0;
    while let Some(at) = memchr(b'$', &bytes[from..]) {
        let at = from + at;
        if bytes.get(at + 1) == Some(&b'{') {
            return true;
        }
        from = at + 1;
    }
    false
}

/// The next `${NAME}` at or after `from`: (start, end), `end` behind the brace.
#[inline]
pub(crate) fn next_variable(text: &str, mut from: usize) -> Option<(usize, usize)> {
    let bytes = text.as_bytes();
    loop {
        let start = from + memchr(b'$', &bytes[from..])?;
        if bytes.get(start + 1) == Some(&b'{') {
            let mut end = start + 2;
            while end < bytes.len() && NAME[bytes[end] as usize] {
                end += 1;
            }
            if end > start + 2 && bytes.get(end) == Some(&b'}') {
                return Some((start, end + 1));
            }
        }
        from = start + 1;
    }
}

/// The next `${@expression}` at or after `from`: (start, end), `end` behind the closing brace.
///
/// An expression is at least one character of one line. A `{` takes everything up to the nearest
/// `}` with it as long as the line still has another `}` to close the whole; otherwise it counts
/// as a plain character.
pub(crate) fn next_python(text: &str, mut from: usize) -> Option<(usize, usize)> {
    let bytes = text.as_bytes();
    loop {
        let start = from + memmem::find(&bytes[from..], b"${@")?;
        let begin = start + 3;
        let line_end = memchr(b'\n', &bytes[begin..]).map_or(bytes.len(), |n| begin + n);
        let last_brace = memchr::memrchr(b'}', &bytes[begin..line_end]).map(|n| begin + n);
        if let Some(last) = last_brace {
            let mut at = begin;
            while at <= last {
                match bytes[at] {
                    b'}' if at > begin => return Some((start, at + 1)),
                    b'{' => {
                        let close = at + memchr(b'}', &bytes[at..line_end]).unwrap_or(0);
                        at = if close > at && close < last { close + 1 } else { at + 1 };
                    }
                    _ => at += 1,
                }
            }
        }
        from = begin;
    }
}

/// An operation in a variable's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keyword {
    Append,
    Prepend,
    Remove,
}

impl Keyword {
    pub const ALL: [Keyword; 3] = [Keyword::Append, Keyword::Prepend, Keyword::Remove];
    pub fn text(self) -> &'static str {
        match self {
            Keyword::Append => ":append",
            Keyword::Prepend => ":prepend",
            Keyword::Remove => ":remove",
        }
    }
    pub fn of(flag: &str) -> Option<Keyword> {
        Keyword::ALL.into_iter().find(|k| k.text() == flag)
    }
}

/// `BASE:append:over:ride` -> (BASE, append, overrides). Overrides hold no capital letter.
pub(crate) fn split_operation(name: &str) -> Option<(&str, Keyword, Option<&str>)> {
    let bytes = name.as_bytes();
    let mut from = 0;
    while let Some(at) = memchr(b':', &bytes[from..]) {
        let at = from + at;
        let rest = &name[at..];
        for keyword in Keyword::ALL {
            let Some(tail) = rest.strip_prefix(keyword.text()) else { continue };
            if tail.is_empty() || tail == "\n" {
                return Some((&name[..at], keyword, None));
            }
            if let Some(overrides) = tail.strip_prefix(':')
                && !overrides.bytes().any(|b| b.is_ascii_uppercase())
            {
                return Some((&name[..at], keyword, Some(overrides)));
            }
        }
        from = at + 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn python(text: &str) -> Option<&str> {
        next_python(text, 0).map(|(s, e)| &text[s..e])
    }

    #[test]
    fn finds_variables() {
        let find = |t: &'static str| next_variable(t, 0).map(|(s, e)| &t[s..e]);
        assert_eq!(find("a ${B-_+./~:9} c"), Some("${B-_+./~:9}"));
        assert_eq!(find("${} ${a b} ${x"), None);
        assert_eq!(find("${${X}}"), Some("${X}"));
        assert_eq!(find("$$ ${@x}"), None);
    }

    #[test]
    fn finds_python_as_the_expression_search_of_the_reference() {
        assert_eq!(python("x ${@1} y"), Some("${@1}"));
        assert_eq!(python("${@}"), None);
        assert_eq!(python("${@}}"), Some("${@}}"));
        assert_eq!(python("${@{'a': 1}['a']} }"), Some("${@{'a': 1}['a']}"));
        assert_eq!(python("${@{1} z"), Some("${@{1}"));
        assert_eq!(python("${@foo('${BAR}')}"), Some("${@foo('${BAR}')}"));
        assert_eq!(python("${@foo(\n)} ${@2}"), Some("${@2}"));
        assert_eq!(python("${@{{}}}"), Some("${@{{}}"));
    }

    #[test]
    fn splits_operations() {
        use Keyword::*;
        assert_eq!(split_operation("A:append"), Some(("A", Append, None)));
        assert_eq!(split_operation("A:x:remove:b:c"), Some(("A:x", Remove, Some("b:c"))));
        assert_eq!(split_operation("A:append:Big:prepend"), Some(("A:append:Big", Prepend, None)));
        assert_eq!(split_operation("A:appendix"), None);
        assert_eq!(split_operation("A"), None);
    }

    #[test]
    fn splits_words_as_python() {
        assert_eq!(words(" a\x1cb\u{a0}c\n").collect::<Vec<_>>(), ["a", "b", "c"]);
    }
}
