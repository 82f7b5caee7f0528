//! URLs as BitBake understands them: `scheme://user:password@host:port/path?query;key=value;…`.
//!
//! Two readings exist. [`Uri`] (and [`decode_url`]) takes source URLs, by the rules of Python's
//! urllib plus BitBake's `;` parameters and its `file://relative/path`. [`decode_mirror_url`] takes
//! the two columns of PREMIRRORS and MIRRORS, whose fields are regular expressions.

use crate::error::{FetchError, Result};
use indexmap::IndexMap;

/// `;key=value` parameters in order; `None`: a key without `=`.
pub type Params = IndexMap<String, Option<String>>;

/// The six fields of a decoded URL.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Decoded {
    pub scheme: String,
    /// `host` or `host:port`.
    pub host: String,
    pub path: String,
    pub user: String,
    pub pswd: String,
    pub params: Params,
}

impl Decoded {
    /// As Python shows the six fields as a list (log messages hold it).
    pub fn repr(&self) -> String {
        let r = hz_data::python_repr;
        let params = if self.params.is_empty() {
            "OrderedDict()".to_owned()
        } else {
            let items: Vec<String> = self
                .params
                .iter()
                .map(|(k, v)| format!("({}, {})", r(k), v.as_deref().map_or("None".into(), r)))
                .collect();
            format!("OrderedDict([{}])", items.join(", "))
        };
        format!("[{}, {}, {}, {}, {}, {params}]", r(&self.scheme), r(&self.host), r(&self.path), r(&self.user), r(&self.pswd))
    }
}

/// A URI in parts; what `bb.fetch2.URI` holds.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Uri {
    pub scheme: String,
    /// `user` or `user:password`.
    pub userinfo: String,
    pub hostname: String,
    pub port: Option<u32>,
    /// Unquoted.
    pub path: String,
    pub params: Params,
    pub query: Params,
    pub relative: bool,
}

/// Parts as urllib's urlparse splits them; the fragment is dropped.
struct Split<'a> {
    scheme: String,
    netloc: &'a str,
    path: &'a str,
    query: &'a str,
}

/// Leading control characters and blanks are ignored, as are tabs and line ends anywhere.
fn sanitize(url: &str) -> String {
    url.trim_start_matches(|c: char| c <= ' ').chars().filter(|c| !matches!(c, '\t' | '\r' | '\n')).collect()
}

fn split(url: &str) -> Result<Split<'_>> {
    let mut scheme = String::new();
    let mut rest = url;
    if let Some((head, tail)) = url.split_once(':')
        && head.starts_with(|c: char| c.is_ascii_alphabetic())
        && head.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'))
    {
        scheme = head.to_ascii_lowercase();
        rest = tail;
    }
    let mut netloc = "";
    if let Some(after) = rest.strip_prefix("//") {
        let end = after.find(['/', '?', '#']).unwrap_or(after.len());
        (netloc, rest) = after.split_at(end);
        if netloc.contains('[') != netloc.contains(']') {
            return Err(FetchError::Value("Invalid IPv6 URL".into()));
        }
    }
    let rest = rest.split_once('#').map_or(rest, |(r, _)| r);
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    Ok(Split { scheme, netloc, path, query })
}

/// `user`, `password`, `host` (lower case), `port` of a network location.
fn netloc_parts(netloc: &str) -> Result<(String, Option<String>, String, Option<u32>)> {
    let (userinfo, hostinfo) = netloc.rsplit_once('@').map_or((None, netloc), |(u, h)| (Some(u), h));
    let (user, pswd) = match userinfo {
        Some(u) => u.split_once(':').map_or((u.to_owned(), None), |(u, p)| (u.to_owned(), Some(p.to_owned()))),
        None => (String::new(), None),
    };
    let (host, port) = match hostinfo.split_once('[') {
        Some((_, bracketed)) => {
            let (host, after) = bracketed.split_once(']').unwrap_or((bracketed, ""));
            (host, after.split_once(':').map_or("", |(_, p)| p))
        }
        None => hostinfo.split_once(':').unwrap_or((hostinfo, "")),
    };
    let port = if port.is_empty() {
        None
    } else if !port.bytes().all(|b| b.is_ascii_digit()) {
        return Err(FetchError::Value(format!("Port could not be cast to integer value as {}", hz_data::python_repr(port))));
    } else {
        match port.parse::<u32>() {
            Ok(p) if p <= 65535 => Some(p),
            _ => return Err(FetchError::Value("Port out of range 0-65535".into())),
        }
    };
    // A zone after '%' keeps its case.
    let host = match host.split_once('%') {
        Some((name, zone)) => format!("{}%{zone}", name.to_lowercase()),
        None => host.to_lowercase(),
    };
    Ok((user, pswd, host, port))
}

fn split_params(text: &str, delimiter: char) -> Params {
    text.split(delimiter)
        .filter(|p| !p.is_empty())
        .map(|p| match p.split_once('=') {
            Some((k, v)) => (k.to_owned(), Some(v.to_owned())),
            None => (p.to_owned(), None),
        })
        .collect()
}

impl Uri {
    /// Reads a source URL.
    ///
    /// # Errors
    /// [`FetchError::Value`] where urllib raises ValueError: a bad port, unbalanced brackets.
    pub fn parse(text: &str) -> Result<Uri> {
        let mut uri = Uri::default();
        if text.is_empty() {
            return Ok(uri);
        }
        let (address, params) = text.split_once(';').unwrap_or((text, ""));
        let mut address = sanitize(address);
        uri.scheme = split(&address)?.scheme;
        // file://name is a relative path, not a host.
        if uri.scheme == "file" && let Some(at) = bare_slashes(&address) {
            address.replace_range(at..at + 2, "");
        }
        let parts = split(&address)?;
        if matches!(parts.scheme.as_str(), "file" | "git") {
            let after = address.split_once(':').map_or("", |(_, rest)| rest);
            uri.relative = !after.starts_with("//");
        }
        if !uri.relative {
            let (user, pswd, host, port) = netloc_parts(parts.netloc)?;
            uri.hostname = host;
            uri.port = port;
            uri.userinfo = user;
            if let Some(pswd) = pswd.filter(|p| !p.is_empty()) {
                uri.userinfo.push(':');
                uri.userinfo.push_str(&pswd);
            }
        }
        uri.set_path(unquote(parts.path));
        uri.query = split_params(parts.query, '&');
        uri.params = split_params(params, ';');
        Ok(uri)
    }

    /// Sets the path; a path without a leading slash makes the URI relative.
    pub fn set_path(&mut self, path: String) {
        self.relative = !path.is_empty() && !path.starts_with('/');
        self.path = path;
    }

    pub fn hostport(&self) -> String {
        match self.port {
            Some(port) if port != 0 => format!("{}:{port}", self.hostname),
            _ => self.hostname.clone(),
        }
    }
    pub fn username(&self) -> &str {
        self.userinfo.split_once(':').map_or(&self.userinfo, |(u, _)| u)
    }
    pub fn password(&self) -> &str {
        self.userinfo.split_once(':').map_or("", |(_, p)| p)
    }
}

/// Position of a `//` that follows a colon and is not followed by a third slash.
fn bare_slashes(address: &str) -> Option<usize> {
    address.match_indices("://").map(|(at, _)| at + 1).find(|at| !address[at + 2..].starts_with('/'))
}

impl std::fmt::Display for Uri {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let at = if self.userinfo.is_empty() { "" } else { "@" };
        let slashes = if self.relative { "" } else { "//" };
        write!(f, "{}:{slashes}{}{at}{}{}", self.scheme, self.userinfo, self.hostport(), quote(&self.path))?;
        let mut mark = '?';
        for (k, v) in &self.query {
            match v.as_deref() {
                Some(v) if !v.is_empty() => write!(f, "{mark}{k}={v}")?,
                _ => write!(f, "{mark}{k}")?,
            }
            mark = '&';
        }
        for (k, v) in &self.params {
            // A parameter without a value keeps its form (the reference cannot print it at all).
            match v {
                Some(v) => write!(f, ";{k}={v}")?,
                None => write!(f, ";{k}")?,
            }
        }
        Ok(())
    }
}

/// `bb.fetch2.decodeurl`. An empty path becomes `/`.
///
/// # Errors
/// See [`Uri::parse`].
pub fn decode_url(url: &str) -> Result<Decoded> {
    let uri = Uri::parse(url)?;
    Ok(Decoded {
        host: uri.hostport(),
        user: uri.username().to_owned(),
        pswd: uri.password().to_owned(),
        path: if uri.path.is_empty() { "/".into() } else { uri.path },
        scheme: uri.scheme,
        params: uri.params,
    })
}

/// `bb.fetch2.encodeurl`: the URL of six fields. Repeated slashes of the path collapse.
///
/// # Errors
/// [`FetchError::MissingParameter`] without a scheme.
pub fn encode_url(decoded: &Decoded) -> Result<String> {
    if decoded.scheme.is_empty() {
        let mut shown = decoded.repr();
        shown.replace_range(0..1, "(");
        shown.pop();
        return Err(FetchError::missing("type", &format!("encoded from the data {shown})")));
    }
    let file = decoded.scheme == "file";
    let mut uri = Uri { scheme: decoded.scheme.clone(), ..Uri::default() };
    if !decoded.user.is_empty() && !file {
        uri.userinfo = decoded.user.clone();
        if !decoded.pswd.is_empty() {
            uri.userinfo = format!("{}:{}", uri.username(), decoded.pswd);
        }
    }
    if !file {
        uri.hostname = decoded.host.clone();
    }
    if !decoded.path.is_empty() {
        let mut path = String::with_capacity(decoded.path.len());
        for c in decoded.path.chars() {
            if c != '/' || !path.ends_with('/') {
                path.push(c);
            }
        }
        uri.set_path(path);
        if file {
            uri.relative = false;
        }
    }
    uri.params = decoded.params.clone();
    Ok(uri.to_string())
}

/// `bb.fetch2.decodemirrorurl`: one column of a mirror line, whose fields may be expressions.
///
/// # Errors
/// [`FetchError::Malformed`] when it has no `://`, no location, or a parameter without value.
pub fn decode_mirror_url(url: &str) -> Result<Decoded> {
    let malformed = || FetchError::malformed(url);
    let colon = url.find(':').ok_or_else(malformed)?;
    let scheme = &url[..colon];
    let rest = url[colon..].strip_prefix("://").ok_or_else(malformed)?;
    let (mut location, params) = rest.split_once(';').unwrap_or((rest, ""));
    // A user stands before the last '@' of the first field, with something after it.
    let mut user = "";
    let field = &location[..location.find('/').unwrap_or(location.len())];
    let candidate = field
        .char_indices()
        .filter(|&(at, c)| c == '@' && at > 0 && at + 1 < location.len())
        .map(|(at, _)| at)
        .last();
    if let Some(at) = candidate {
        user = &location[..at];
        location = &location[at + 1..];
    }
    if location.is_empty() {
        return Err(malformed());
    }
    let file = scheme.eq_ignore_ascii_case("file");
    let mut out = Decoded { scheme: scheme.into(), ..Decoded::default() };
    let path;
    if file {
        path = if user.is_empty() { location.to_owned() } else { format!("{user}@{location}") };
        user = "";
    } else if let Some(slash) = location.find('/') {
        out.host = location[..slash].into();
        path = location[slash..].into();
    } else {
        out.host = location.into();
        path = "/".to_owned();
    }
    let (name, pswd) = match user.split_once(':') {
        Some((name, pswd)) if !name.is_empty() => (name, pswd),
        _ => (user, ""),
    };
    out.user = name.into();
    out.pswd = pswd.into();
    for p in params.split(';').filter(|p| !p.is_empty()) {
        let Some((k, v)) = p.split_once('=') else {
            return Err(FetchError::Malformed {
                url: url.into(),
                message: Some(format!("The URL: '{url}' is invalid: parameter {p} does not specify a value (missing '=')")),
            });
        };
        out.params.insert(k.into(), Some(v.into()));
    }
    out.path = unquote(&path);
    Ok(out)
}

/// Percent-encodes everything but letters, digits and `_.-~/`, as Python's `quote`.
pub fn quote(text: &str) -> String {
    hz_versions::percent::quote(text, "/")
}

/// Undoes `quote`; bytes that are no UTF-8 become U+FFFD, a stray `%` stays.
pub fn unquote(text: &str) -> String {
    if !text.contains('%') {
        return text.to_owned();
    }
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut i = 0;
    while i < bytes.len() {
        let pair = (bytes[i] == b'%').then(|| bytes.get(i + 1..i + 3)).flatten();
        let digit = |b: u8| (b as char).to_digit(16);
        match pair.and_then(|p| Some((digit(p[0])? * 16 + digit(p[1])?) as u8)) {
            Some(b) => {
                out.push(b);
                i += 3;
            }
            None => {
                out.push(bytes[i]);
                i += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn d(url: &str) -> (String, String, String, String, String, Vec<(String, Option<String>)>) {
        let d = decode_url(url).unwrap();
        (d.scheme, d.host, d.path, d.user, d.pswd, d.params.into_iter().collect())
    }
    fn tuple(a: &str, b: &str, c: &str, u: &str, p: &str) -> (String, String, String, String, String, Vec<(String, Option<String>)>) {
        (a.into(), b.into(), c.into(), u.into(), p.into(), vec![])
    }

    #[test]
    fn decode() {
        assert_eq!(d("http://www.google.com/index.html"), tuple("http", "www.google.com", "/index.html", "", ""));
        assert_eq!(d("file://example@.service"), tuple("file", "", "example@.service", "", ""));
        assert_eq!(d("file:///a/b"), tuple("file", "", "/a/b", "", ""));
        assert_eq!(d("https://h:8080/p%20q#frag"), tuple("https", "h:8080", "/p q", "", ""));
        assert_eq!(d("git://user:pw@Host.COM/r.git"), tuple("git", "host.com", "/r.git", "user", "pw"));
        assert_eq!(d("crate://crates.io/a/1.0"), tuple("crate", "crates.io", "/a/1.0", "", ""));
        assert_eq!(d("http://host"), tuple("http", "host", "/", "", ""));
        let (_, _, _, _, _, p) = d("git://h/r;branch=main;flag;a=b=c");
        assert_eq!(
            p,
            vec![("branch".into(), Some("main".into())), ("flag".into(), None), ("a".into(), Some("b=c".into()))]
        );
        assert!(matches!(decode_url("git://host:path/x"), Err(FetchError::Value(_))));
    }

    #[test]
    fn encode() {
        for url in ["http://www.google.com/index.html", "git://user:pw@host/r.git;branch=main", "file://a/b.patch;apply=no"] {
            assert_eq!(encode_url(&decode_url(url).unwrap()).unwrap(), url);
        }
        let d = Decoded { scheme: "https".into(), host: "h".into(), path: "/a//b (c)".into(), ..Default::default() };
        assert_eq!(encode_url(&d).unwrap(), "https://h/a/b%20%28c%29");
        assert!(encode_url(&Decoded::default()).is_err());
    }

    #[test]
    fn mirror_columns() {
        let m = decode_mirror_url("https?://.*/.*").unwrap();
        assert_eq!((m.scheme.as_str(), m.host.as_str(), m.path.as_str()), ("https?", ".*", "/.*"));
        let m = decode_mirror_url("git://sourceware.org/git/glibc.git").unwrap();
        assert_eq!((m.host.as_str(), m.path.as_str()), ("sourceware.org", "/git/glibc.git"));
        let m = decode_mirror_url("file:///some/mirror").unwrap();
        assert_eq!((m.host.as_str(), m.path.as_str()), ("", "/some/mirror"));
        assert!(decode_mirror_url("nonsense").is_err());
        assert!(decode_mirror_url("http://x;flag").is_err());
        assert_eq!(m.repr(), "['file', '', '/some/mirror', '', '', OrderedDict()]");
    }

    #[test]
    fn uris() {
        let u = Uri::parse("file:relative/x;a=b").unwrap();
        assert!(u.relative);
        assert_eq!(u.to_string(), "file:relative/x;a=b");
        assert_eq!(Uri::parse("file://foo.diff").unwrap().to_string(), "file:foo.diff");
        assert_eq!(Uri::parse("git:rel/path.git").unwrap().hostname, "");
        assert_eq!(Uri::parse("https://x/y?b=1&c").unwrap().to_string(), "https://x/y?b=1&c");
    }
}
