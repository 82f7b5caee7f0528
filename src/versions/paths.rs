//! `os.path` of texts, as native code needs it.

/// `os.path.basename`.
pub fn basename(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or("")
}

/// `os.path.dirname`.
pub fn dirname(path: &str) -> &str {
    match path.rfind('/') {
        Some(at) => {
            let head = &path[..=at];
            let trimmed = head.trim_end_matches('/');
            if trimmed.is_empty() { head } else { trimmed }
        }
        None => "",
    }
}

/// `os.path.join` of two.
pub fn join(a: &str, b: &str) -> String {
    if b.starts_with('/') || a.is_empty() {
        b.to_owned()
    } else if a.ends_with('/') {
        format!("{a}{b}")
    } else {
        format!("{a}/{b}")
    }
}

/// `os.getcwd`.
pub fn cwd() -> String {
    std::env::current_dir().map_or_else(|_| "/".to_string(), |path| path.to_string_lossy().into_owned())
}

/// `os.path.abspath`.
pub fn absolute(path: &str) -> String {
    let whole = if path.starts_with('/') { path.to_owned() } else { join(&cwd(), path) };
    let mut parts: Vec<&str> = Vec::new();
    for part in whole.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

/// `os.path.normpath`: two slashes in front, and no more, mean something of their own.
pub fn normpath(path: &str) -> String {
    let slashes = path.bytes().take_while(|byte| *byte == b'/').count();
    let root = match slashes {
        0 => "",
        2 => "//",
        _ => "/",
    };
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/').filter(|part| !part.is_empty() && *part != ".") {
        match parts.last() {
            _ if part != ".." => parts.push(part),
            None if root.is_empty() => parts.push(part),
            Some(&"..") => parts.push(part),
            None => {}
            Some(_) => drop(parts.pop()),
        }
    }
    let path = format!("{root}{}", parts.join("/"));
    if path.is_empty() { ".".into() } else { path }
}

/// `os.path.relpath` of two absolute paths.
pub fn relpath(path: &str, start: &str) -> String {
    let (path, start) = (normpath(path), normpath(start));
    let parts = |path: &'_ str| -> Vec<String> { path.split('/').filter(|part| !part.is_empty()).map(str::to_string).collect() };
    let (to, from) = (parts(&path), parts(&start));
    let common = to.iter().zip(&from).take_while(|(a, b)| a == b).count();
    let up = std::iter::repeat_n("..", from.len() - common);
    let found = up.chain(to[common..].iter().map(String::as_str)).collect::<Vec<_>>().join("/");
    if found.is_empty() { ".".into() } else { found }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn from_one_place_to_another() {
        for (path, start, found) in [
            ("/usr/bin", "/usr/", "bin"),
            ("/usr", "/usr/lib/x/..", ".."),
            ("//a/./b", "/a/b/", "."),
            ("/", "/a/b", "../.."),
            ("/ab", "/a", "../ab"),
        ] {
            assert_eq!(relpath(path, start), found, "{path} from {start}");
        }
    }
}
