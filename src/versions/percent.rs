//! Texts in URLs.

/// Percent-encodes everything but letters, digits, `_.-~` and the characters of `safe` (ASCII), as Python's `urllib.parse.quote`.
pub fn quote(text: &str, safe: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"_.-~".contains(&byte) || safe.as_bytes().contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_python_quotes() {
        assert_eq!(quote("a b/ä~%", "/"), "a%20b/%C3%A4~%25");
        assert_eq!(quote("a/b+c", "+"), "a%2Fb+c");
    }
}
