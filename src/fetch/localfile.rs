//! Files of the metadata: finding `file://` URLs along FILESPATH, and the checksums by which tasks
//! notice that such a file changed.

use crate::cache;
use crate::context::Cx;
use crate::error::{FetchError, Result};
use crate::files;
use crate::urldata::{UrlData, basename, join};
use std::path::Path;

/// Every path at which a `file://` URL's file was looked for, the one found (or tried last) at
/// the end.
///
/// # Errors
/// FILESPATH does not expand.
pub fn search_paths(path: &str, cx: &Cx<'_>) -> Result<Vec<String>> {
    Ok(searched(path, cx)?.into_iter().map(|(path, _)| path).collect())
}

/// The same, and whether there was a file.
fn searched(path: &str, cx: &Cx<'_>) -> Result<Vec<(String, bool)>> {
    if path.starts_with('/') {
        cx.debug2(format!("Using absolute {path}"));
        return Ok(vec![(path.to_owned(), files::exists(path))]);
    }
    let Some(filespath) = cx.var("FILESPATH")?.filter(|f| !f.is_empty()) else { return Ok(Vec::new()) };
    cx.debug2(format!("Searching for {path} in paths:\n    {}", filespath.replace(':', "\n    ")));
    let mut tried = Vec::new();
    let mut found = String::new();
    for dir in filespath.split(':') {
        let candidate = join(dir, path);
        let there = files::exists(&candidate);
        if there {
            found = absolute(&candidate);
        }
        tried.push((candidate, there));
        if there {
            break;
        }
    }
    cx.debug2(format!("Using {found} for {path}"));
    Ok(tried)
}

fn absolute(path: &str) -> String {
    if path.starts_with('/') { path.to_owned() } else { std::path::absolute(path).map_or_else(|_| path.to_owned(), |p| p.to_string_lossy().into_owned()) }
}

/// `get_checksum_file_list`: `PATH:True` or `PATH:False` for every path that a `file://` URL of
/// SRC_URI depends on.
///
/// # Errors
/// A file is nowhere (fatal); a URL is malformed.
pub fn checksum_file_list(cx: &Cx<'_>) -> Result<String> {
    let mut list = Vec::new();
    let urls = cx.var_or("SRC_URI", "")?;
    // All URLs are set up before any is looked at, each text once.
    let mut entries: Vec<(&str, Option<UrlData>)> = Vec::new();
    for url in urls.split_whitespace() {
        let known = entries.iter().find(|(u, _)| *u == url).map(|(_, ud)| ud.clone());
        let ud = match known {
            Some(ud) => ud,
            None => match UrlData::new(url, cx, true) {
                Ok(ud) => Some(ud),
                Err(FetchError::NonLocal) => None,
                Err(e) => return Err(e),
            },
        };
        entries.push((url, ud));
    }
    for (_, ud) in entries {
        let Some(ud) = ud else { continue };
        let paths = searched(&ud.path, cx)?;
        let mut found = false;
        for (path, there) in &paths {
            found |= there;
            list.push(format!("{path}:{}", if *there { "True" } else { "False" }));
        }
        if !found {
            return Err(FetchError::Fatal(format!(
                "Unable to get checksum for {} SRC_URI entry {}: file could not be found\nThe following paths were searched:\n{}",
                cx.var("PN")?.unwrap_or_else(|| "None".into()),
                basename(paths.last().map_or(ud.path.as_str(), |(path, _)| path)),
                paths.iter().map(|(path, _)| path.as_str()).collect::<Vec<_>>().join("\n")
            )));
        }
    }
    Ok(list.join(" "))
}

/// `PATH:True PATH:False …` taken apart; paths may hold blanks.
fn existing(list: &str) -> Vec<&str> {
    let mut out = Vec::new();
    let mut rest = list;
    while !rest.is_empty() {
        let end = [":True", ":False"]
            .iter()
            .filter_map(|mark| {
                let mut from = 0;
                while let Some(at) = rest[from..].find(mark) {
                    let after = from + at + mark.len();
                    if rest[after..].starts_with(char::is_whitespace) {
                        return Some(after);
                    }
                    from = after;
                }
                None
            })
            .min()
            .unwrap_or(rest.len());
        let item = rest[..end].trim();
        rest = rest[end..].trim_start();
        let mut parts = item.split(':');
        let path = parts.next().unwrap_or("");
        if !path.is_empty() && parts.next() != Some("False") {
            out.push(path);
        }
    }
    out
}

/// `get_file_checksums`: path and MD5 of every existing entry of `list`, directories walked, sorted
/// by checksum. Paths inside a directory carry `/./` after it, so that a move inside counts.
/// `skip` names directories not to walk into.
///
/// # Errors
/// `/` is to be checksummed. A file that cannot be read only warns.
pub fn file_checksums(list: &str, pn: &str, skip: &[String], cx: &Cx<'_>) -> Result<Vec<(String, String)>> {
    let mut out = Vec::new();
    let one = |path: String, out: &mut Vec<(String, String)>| match cache::file_md5(&path) {
        Ok(sum) => out.push((path, sum)),
        Err(e) => cx.warn(format!("Unable to get checksum for {pn} SRC_URI entry {}: {}", basename(&path), python_error(&e, &path))),
    };
    for path in existing(list) {
        if path.contains('*') {
            let mut names: Vec<String> =
                glob::glob(path).map(|g| g.flatten().map(|p| p.to_string_lossy().into_owned()).collect()).unwrap_or_default();
            names.sort();
            for name in names {
                if !files::is_dir(&name) {
                    one(name, &mut out);
                } else if !Path::new(&name).is_symlink() {
                    directory(&name, skip, &mut |p| one(p, &mut out))?;
                }
            }
        } else if files::is_dir(path) {
            if !Path::new(path).is_symlink() {
                directory(path, skip, &mut |p| one(p, &mut out))?;
            }
        } else {
            one(path.to_owned(), &mut out);
        }
    }
    out.sort_by(|a, b| a.1.cmp(&b.1));
    Ok(out)
}

fn python_error(e: &std::io::Error, path: &str) -> String {
    match e.raw_os_error() {
        Some(code) => {
            let text = nix::errno::Errno::from_raw(code).desc();
            format!("[Errno {code}] {text}: {}", hz_data::python_repr(path))
        }
        None => e.to_string(),
    }
}

fn directory(path: &str, skip: &[String], one: &mut dyn FnMut(String)) -> Result<()> {
    if path == "/" {
        return Err(FetchError::Fatal("Refusing to checksum /".into()));
    }
    let root = path.trim_end_matches('/');
    walk(root, &format!("{root}/."), skip, one);
    Ok(())
}

/// Files of a directory, then of those below it; in the order in which the system lists them.
fn walk(real: &str, shown: &str, skip: &[String], one: &mut dyn FnMut(String)) {
    let Ok(entries) = std::fs::read_dir(real) else { return };
    let mut below = Vec::new();
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        // A link to a directory counts as one but is not walked into.
        if files::is_dir(&format!("{real}/{name}")) {
            if !entry.path().is_symlink() && !skip.contains(&name) {
                below.push(name);
            }
        } else {
            one(format!("{shown}/{name}"));
        }
    }
    for name in below {
        walk(&format!("{real}/{name}"), &format!("{shown}/{name}"), skip, one);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists() {
        assert_eq!(existing("/a b:True /c:False  /d:True"), ["/a b", "/d"]);
        assert_eq!(existing(""), [""; 0]);
        assert_eq!(existing("/a:True"), ["/a"]);
    }
}
