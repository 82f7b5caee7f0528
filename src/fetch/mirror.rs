//! PREMIRRORS and MIRRORS: rewriting URLs by pairs of expressions, and trying the results.

use crate::checksum::{self, rename_bad};
use crate::command::trusted_network;
use crate::context::Cx;
use crate::error::{FetchError, Kind, Result};
use crate::files;
use crate::uri::{Params, decode_mirror_url, encode_url};
use crate::urldata::{UrlData, basename, dirname, join};
use fancy_regex::Regex;
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

/// A pair: what to find, what to put.
pub type Pair = (String, String);

/// `mirror_from_string`: pairs out of a variable's text; a literal `\n` separates too.
pub fn parse(cx: &Cx<'_>, text: &str) -> Vec<Pair> {
    let clean = text.replace("\\n", " ");
    let words: Vec<&str> = clean.split_whitespace().collect();
    if words.len() % 2 != 0 {
        cx.warn(format!("Invalid mirror data {text}, should have paired members."));
    }
    words.chunks_exact(2).map(|p| (p[0].to_owned(), p[1].to_owned())).collect()
}

thread_local! {
    static COMPILED: RefCell<HashMap<String, Option<Rc<Regex>>>> = RefCell::default();
}

fn compiled(pattern: &str) -> Result<Rc<Regex>> {
    COMPILED
        .with_borrow_mut(|all| {
            all.entry(pattern.to_owned()).or_insert_with(|| Regex::new(pattern).ok().map(Rc::new)).clone()
        })
        .ok_or_else(|| FetchError::Value(format!("Invalid regular expression in a mirror: {pattern}")))
}

/// Does `pattern` match at the start of `text` (Python's `re.match`)?
fn matches(pattern: &str, text: &str) -> Result<bool> {
    Ok(compiled(&format!("^(?:{pattern})"))?.is_match(text).unwrap_or(false))
}

/// Python's `re.sub(pattern, template, text, count=1)`.
fn substitute(pattern: &str, template: &str, text: &str) -> Result<String> {
    let regex = compiled(pattern)?;
    let Ok(Some(found)) = regex.captures(text) else { return Ok(text.to_owned()) };
    let Some(whole) = found.get(0) else { return Ok(text.to_owned()) };
    let mut put = String::new();
    let mut chars = template.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '\\' {
            put.push(c);
            continue;
        }
        match chars.next() {
            Some('g') if chars.peek() == Some(&'<') => {
                chars.next();
                let name: String = chars.by_ref().take_while(|c| *c != '>').collect();
                let group = name.parse::<usize>().map_or_else(|_| found.name(&name), |n| found.get(n));
                put.push_str(group.map_or("", |g| g.as_str()));
            }
            Some(d) if d.is_ascii_digit() => {
                let mut number = d.to_digit(10).unwrap_or(0) as usize;
                if let Some(next) = chars.peek().and_then(|c| c.to_digit(10)).filter(|_| number != 0) {
                    number = number * 10 + next as usize;
                    chars.next();
                }
                put.push_str(found.get(number).map_or("", |g| g.as_str()));
            }
            Some('n') => put.push('\n'),
            Some('t') => put.push('\t'),
            Some('\\') => put.push('\\'),
            Some(other) => put.extend(['\\', other]),
            None => put.push('\\'),
        }
    }
    Ok(format!("{}{put}{}", &text[..whole.start()], &text[whole.end()..]))
}

/// Words that a replacement may hold, and what stands for them; in order.
pub type Words = Vec<(&'static str, String)>;

fn words_of(origin: &UrlData) -> Words {
    vec![
        ("TYPE", origin.scheme.clone()),
        ("HOST", origin.host.clone()),
        ("PATH", origin.path.clone()),
        ("BASENAME", basename(&origin.path).to_owned()),
        ("MIRRORNAME", format!("{}{}", origin.host.replace(':', "."), origin.path.replace(['/', '*'], "."))),
    ]
}

fn fill(text: &str, words: &[(impl AsRef<str>, String)]) -> String {
    words.iter().fold(text.to_owned(), |t, (word, value)| t.replace(word.as_ref(), value))
}

/// `uri_replace`: the URL that a mirror pair gives for `ud`, or `None` if it does not match.
///
/// # Errors
/// One of the three URLs, or an expression, is malformed.
pub fn replace(
    ud: &UrlData, find: &str, put: &str, words: &[(impl AsRef<str>, String)], cx: &Cx<'_>, tarball: Option<&str>,
) -> Result<Option<String>> {
    if ud.url.is_empty() || find.is_empty() || put.is_empty() {
        cx.error("uri_replace: passed an undefined value, not replacing");
        return Ok(None);
    }
    let source = decode_mirror_url(&ud.url)?;
    let find = decode_mirror_url(find)?;
    let put = decode_mirror_url(put)?;
    cx.debug2(format!("For url {} comparing {} to {}", source.repr(), find.repr(), put.repr()));

    let field = |pattern: &str, template: &str, text: &str| -> Result<Option<String>> {
        if !matches(pattern, text)? {
            return Ok(None);
        }
        if template.is_empty() {
            return Ok(Some(String::new()));
        }
        substitute(pattern, &fill(template, words), text).map(Some)
    };
    // The type must match to its end: "http" is not the start of "https".
    let mut kind = find.scheme.clone();
    if !kind.is_empty() && !kind.ends_with('$') {
        kind.push('$');
    }
    let mut out = source.clone();
    let Some(scheme) = field(&kind, &put.scheme, &source.scheme)? else { return Ok(None) };
    let Some(host) = field(&find.host, &put.host, &source.host)? else { return Ok(None) };
    let Some(mut path) = field(&find.path, &put.path, &source.path)? else { return Ok(None) };
    let mut keep_params = true;
    // What the file is called on the mirror.
    let wanted = match tarball {
        Some(tarball) if source.scheme != fill(&put.scheme, words) => {
            keep_params = false;
            Some(basename(tarball).to_owned())
        }
        _ => match &ud.localpath {
            Some(local) if !local.is_empty() && ud.method.supports_checksum(ud)? => Some(basename(local).to_owned()),
            _ => None,
        },
    };
    if let Some(wanted) = wanted.filter(|w| !w.is_empty()) {
        let own = basename(&source.path);
        let slashed = format!("/{path}");
        if !own.is_empty() && wanted != own && slashed.ends_with(&format!("/{own}")) {
            path = format!("{}{wanted}", &path[..path.len() - own.len()]);
        } else if !slashed.ends_with(&format!("/{wanted}")) {
            path = join(&path, &wanted);
        }
    }
    (out.scheme, out.host, out.path) = (scheme, host, path);
    for (mine, pattern, template) in
        [(&mut out.user, &find.user, &put.user), (&mut out.pswd, &find.pswd, &put.pswd)]
    {
        if !template.is_empty() {
            *mine = template.clone();
        } else if matches(pattern, mine)? {
            mine.clear();
        } else {
            return Ok(None);
        }
    }
    if keep_params {
        if find.params.iter().any(|(k, v)| source.params.get(k) != Some(v)) {
            return Ok(None);
        }
    } else {
        out.params = Params::new();
    }
    for (k, v) in &put.params {
        out.params.insert(k.clone(), v.as_deref().map(|v| fill(v, words)));
    }
    let result = encode_url(&out)?;
    if result == ud.url {
        return Ok(None);
    }
    cx.debug2(format!("For url {} returning {result}", ud.url));
    Ok(Some(result))
}

/// `build_mirroruris`: every URL the pairs lead to, in order, mirrors of mirrors included (each
/// pair at most once on a way).
///
/// # Errors
/// As [`replace`]; a mirror URL that cannot be set up is only left out.
pub fn candidates(origin: &UrlData, mirrors: &[Pair], cx: &Cx<'_>) -> Result<Vec<UrlData>> {
    let mut found = Vec::new();
    let words = words_of(origin);
    follow(origin, origin, mirrors, &words, cx, &mut found)?;
    Ok(found)
}

fn follow(origin: &UrlData, from: &UrlData, mirrors: &[Pair], words: &Words, cx: &Cx<'_>, found: &mut Vec<UrlData>) -> Result<()> {
    let tarballs: Vec<Option<&str>> = if origin.mirrortarballs.is_empty() {
        vec![None]
    } else {
        origin.mirrortarballs.iter().map(|t| Some(t.as_str())).collect()
    };
    for pair in mirrors {
        for tarball in &tarballs {
            let Some(url) = replace(from, &pair.0, &pair.1, words, cx, *tarball)? else { continue };
            if url == origin.url || found.iter().any(|u| u.url == url) {
                continue;
            }
            if !trusted_network(cx, &url)? {
                cx.debug(format!("Mirror {url} not in the list of trusted networks, skipping"));
                continue;
            }
            // Without this pair, so that no circle of pairs is followed twice.
            let mut rest = mirrors.to_vec();
            if let Some(at) = rest.iter().position(|p| p == pair) {
                rest.remove(at);
            }
            let failed = |e: &FetchError| {
                cx.debug(format!("Mirror fetch failure for url {url} (original url: {})", origin.url));
                cx.debug(e.to_string());
            };
            let mut ud = match UrlData::new(&url, cx, false) {
                Ok(ud) => ud,
                Err(e) if e.is_fetch() => {
                    failed(&e);
                    continue;
                }
                Err(e) => return Err(e),
            };
            ud.ignore_checksums = true;
            match ud.setup_localpath(cx) {
                Ok(()) => found.push(ud.clone()),
                Err(e) if e.is_fetch() => failed(&e),
                Err(e) => return Err(e),
            }
            follow(origin, &ud, &rest, words, cx, found)?;
        }
    }
    Ok(())
}

/// `try_mirrors`: goes through the mirrors until one has it. With `check` it only asks whether it
/// is there.
///
/// # Errors
/// No network where one is needed, no checksum where one is demanded, and what is no fetch error.
pub fn try_all(origin: &mut UrlData, cx: &Cx<'_>, mirrors: &[Pair], check: bool) -> Result<bool> {
    let copy = cx.d.create_copy();
    let cx = cx.with(&copy);
    for mut ud in candidates(origin, mirrors, &cx)? {
        if try_one(origin, &mut ud, &cx, check)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn try_one(origin: &mut UrlData, ud: &mut UrlData, cx: &Cx<'_>, check: bool) -> Result<bool> {
    let _lock = match &ud.lockfile {
        Some(path) if ud.lockfile != origin.lockfile => Some(files::lock(path)?),
        _ => None,
    };
    match fetch_from(origin, ud, cx, check) {
        Ok(got) => Ok(got),
        Err(e) if matches!(e.kind(), Kind::NetworkAccess | Kind::NoChecksum) => Err(e),
        Err(FetchError::Io { errno: libc::ESTALE, .. }) => {
            cx.warning(format!("Stale Error Observed {}.", ud.url));
            Ok(false)
        }
        Err(e) if !e.is_fetch() => Err(e),
        Err(e) => {
            if e.kind() == Kind::Checksum {
                cx.warning(format!(
                    "Mirror checksum failure for url {} (original url: {})\nCleaning and trying again.",
                    ud.url, origin.url
                ));
                cx.warning(e.to_string());
                if files::exists(ud.local()) {
                    rename_bad(ud, cx, e.checksum().as_deref());
                }
            } else {
                cx.debug(format!("Mirror fetch failure for url {} (original url: {})", ud.url, origin.url));
                cx.debug(e.to_string());
            }
            let method = ud.method.clone();
            if method.cleanup_upon_failure()? {
                method.clean(ud, cx)?;
            }
            Ok(false)
        }
    }
}

fn fetch_from(origin: &mut UrlData, ud: &mut UrlData, cx: &Cx<'_>, check: bool) -> Result<bool> {
    let method = ud.method.clone();
    if check {
        return method.checkstatus(ud, cx);
    }
    if !checksum::verify_donestamp(ud, cx, Some(origin))? || method.need_update(ud, cx)? {
        method.download(ud, cx)?;
        method.build_mirror_data(ud, cx)?;
    }
    if !files::exists(ud.local()) {
        return Ok(false);
    }
    if ud.localpath == origin.localpath {
        return Ok(true);
    }
    let copy;
    let mut cx = *cx;
    let dldir = cx.dldir()?;
    if cx.var_true("BB_FETCH_PREMIRRORONLY")? {
        copy = cx.d.create_copy();
        cx = cx.with(&copy);
        cx.set("BB_NO_NETWORK", "1")?;
    }
    let name = basename(ud.local()).to_owned();
    let archive = origin.mirrortarballs.contains(&name) && name != basename(origin.local());
    let origins = origin.method.clone();
    if archive {
        // An archive of a repository: bring it to DL_DIR, the real method unpacks it there.
        if let Some(stamp) = &ud.donestamp {
            files::mkdir(dirname(stamp))?;
            std::fs::write(stamp, "").map_err(|e| FetchError::io(&e, stamp.as_str()))?;
        }
        let link = join(&dldir, &name);
        if !files::exists(&link) {
            files::symlink(ud.local(), &link)?;
        }
        if !checksum::verify_donestamp(origin, &cx, None)? || origins.need_update(origin, &cx)? {
            origins.download(origin, &cx)?;
            origins.build_mirror_data(origin, &cx)?;
        }
        return Ok(!origin.local().is_empty());
    }
    origins.update_mirror_links(ud, origin)?;
    checksum::update_donestamp(origin, &cx)?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regular_expressions() {
        assert!(matches("https?$", "https").unwrap() && !matches("http$", "https").unwrap());
        assert!(matches("", "anything").unwrap());
        assert_eq!(substitute("/.*", "/mirror", "/a/b").unwrap(), "/mirror");
        assert_eq!(substitute("/", "/x/", "/a/b").unwrap(), "/x/a/b");
        assert_eq!(substitute("/(.)/(.)", r"/\2/\g<1>", "/a/b").unwrap(), "/b/a");
        assert_eq!(substitute("", "x", "abc").unwrap(), "xabc");
        assert!(matches("(", "x").is_err());
    }

    #[test]
    fn words() {
        let words: Words = vec![("HOST", "h".into()), ("PATH", "/p".into())];
        assert_eq!(fill("http://m/HOST/PATH", &words), "http://m/h//p");
    }
}
