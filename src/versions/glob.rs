//! File name patterns as Python's `fnmatch` and `glob` (not recursive) read them.

use std::path::Path;

/// `fnmatch.fnmatchcase`: `*`, `?`, `[abc]`, `[!abc]` over the whole name; `*` matches slashes too.
pub fn fnmatch(name: &str, pattern: &str) -> bool {
    let name: Vec<char> = name.chars().collect();
    let pattern: Vec<char> = pattern.chars().collect();
    matches(&name, &pattern)
}

fn matches(name: &[char], pattern: &[char]) -> bool {
    // Position to go back to: the last `*` and where its match may end next.
    let mut back: Option<(usize, usize)> = None;
    let (mut n, mut p) = (0, 0);
    while n < name.len() {
        let step = match pattern.get(p) {
            Some('*') => {
                back = Some((p + 1, n));
                p += 1;
                continue;
            }
            Some('?') => Some(p + 1),
            Some('[') => match class(&pattern[p..], name[n]) {
                Some((true, length)) => Some(p + length),
                Some((false, _)) => None,
                // No closing bracket: an ordinary character.
                None => (name[n] == '[').then_some(p + 1),
            },
            Some(&c) => (c == name[n]).then_some(p + 1),
            None => None,
        };
        match (step, back) {
            (Some(next), _) => {
                n += 1;
                p = next;
            }
            (None, Some((star, end))) => {
                back = Some((star, end + 1));
                n = end + 1;
                p = star;
            }
            (None, None) => return false,
        }
    }
    pattern[p..].iter().all(|&c| c == '*')
}

/// Does `c` match the class at the start of `pattern`, and how long is the class?
fn class(pattern: &[char], c: char) -> Option<(bool, usize)> {
    let negated = pattern.get(1) == Some(&'!');
    let start = if negated { 2 } else { 1 };
    // A `]` in first place is a member.
    let end = (start + 1..pattern.len()).find(|&i| pattern[i] == ']')?;
    let members = &pattern[start..end];
    let mut found = false;
    let mut i = 0;
    while i < members.len() {
        if i + 2 < members.len() && members[i + 1] == '-' {
            found |= (members[i]..=members[i + 2]).contains(&c);
            i += 3;
        } else {
            found |= members[i] == c;
            i += 1;
        }
    }
    Some((found != negated, end + 1))
}

fn has_magic(text: &str) -> bool {
    text.contains(['*', '?', '['])
}

/// `glob.glob(pattern)`: names starting with a dot only match patterns that start with one. Order
/// is the disk's. Directories that were listed are added to `listed`.
pub fn glob(pattern: &str, listed: &mut Vec<String>) -> Vec<String> {
    let (dir, base) = match pattern.rfind('/') {
        Some(i) => {
            let head = &pattern[..i + 1];
            let trimmed = head.trim_end_matches('/');
            (if trimmed.is_empty() { head } else { trimmed }, &pattern[i + 1..])
        }
        None => ("", pattern),
    };
    let join = |dir: &str, name: &str| crate::paths::join(dir, name);
    if !has_magic(pattern) {
        let found = if base.is_empty() {
            Path::new(dir).is_dir()
        } else {
            std::fs::symlink_metadata(pattern).is_ok()
        };
        return if found { vec![pattern.to_string()] } else { Vec::new() };
    }
    let dirs = if dir != pattern && has_magic(dir) { glob(dir, listed) } else { vec![dir.to_string()] };
    let mut out = Vec::new();
    for dir in dirs {
        if has_magic(base) {
            let here = if dir.is_empty() { "." } else { &dir };
            listed.push(here.to_string());
            let Ok(entries) = std::fs::read_dir(here) else { continue };
            for entry in entries.flatten() {
                let name = entry.file_name();
                let Some(name) = name.to_str() else { continue };
                if (base.starts_with('.') || !name.starts_with('.')) && fnmatch(name, base) {
                    out.push(join(&dir, name));
                }
            }
        } else if base.is_empty() {
            if Path::new(&dir).is_dir() {
                out.push(join(&dir, base));
            }
        } else {
            let path = join(&dir, base);
            if std::fs::symlink_metadata(&path).is_ok() {
                out.push(path);
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (name, pattern, want) in [
            ("a/b/c.bb", "a/*.bb", true),
            ("abc", "a?c", true),
            ("abc", "a[!b]c", false),
            ("a]c", "a[]]c", true),
            ("a[c", "a[c", true),
            ("abcbd", "a*b?", true),
            ("x", "", false),
            ("b", "[a-c]", true),
        ] {
            assert_eq!(fnmatch(name, pattern), want, "{name} {pattern}");
        }
    }

    #[test]
    fn files() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().to_str().unwrap();
        for f in ["r-a/x/x.bb", "r-a/y/y.bb", "r-b/z/z.bb", "r-a/x/.hidden.bb"] {
            let path = dir.path().join(f);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        let mut listed = Vec::new();
        let mut found = glob(&format!("{root}/r-*/*/*.bb"), &mut listed);
        found.sort();
        assert_eq!(found, ["r-a/x/x.bb", "r-a/y/y.bb", "r-b/z/z.bb"].map(|f| format!("{root}/{f}")));
        assert!(listed.contains(&root.to_string()) && listed.contains(&format!("{root}/r-a/x")));
    }
}
