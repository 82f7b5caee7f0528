//! `http`, `https`, `ftp`, `ftps`, by wget (FETCHCMD_wget). Others that end in a plain download
//! use its functions.

use super::Method;
use crate::checksum::{self, Sums};
use crate::command::{LineFilter, Run, check_network_access, run_with, shell_quote};
use crate::context::Cx;
use crate::error::{FetchError, Result};
use crate::files;
use crate::urldata::{UrlData, basename, dirname, join};

pub struct Wget;

impl Method for Wget {
    fn name(&self) -> &'static str {
        "wget"
    }
    fn supports(&self, ud: &UrlData, _cx: &Cx<'_>) -> Result<bool> {
        Ok(matches!(ud.scheme.as_str(), "http" | "https" | "ftp" | "ftps"))
    }
    fn recommends_checksum(&self, _ud: &UrlData) -> Result<bool> {
        Ok(true)
    }
    fn urldata_init(&self, ud: &mut UrlData, _cx: &Cx<'_>) -> Result<()> {
        init(ud)
    }
    fn download(&self, ud: &mut UrlData, cx: &Cx<'_>) -> Result<()> {
        download(ud, cx)
    }
    fn checkstatus(&self, ud: &mut UrlData, cx: &Cx<'_>) -> Result<bool> {
        checkstatus(ud, cx)
    }
    fn latest_versionstring(&self, ud: &mut UrlData, _cx: &Cx<'_>) -> Result<(String, String)> {
        Err(super::unsupported(ud, "looking for newer releases"))
    }
}

/// Names the file: `downloadfilename`, the last part of the path, else host and path.
pub fn init(ud: &mut UrlData) -> Result<()> {
    if ud.parm_text("protocol").as_deref() == Some("git") {
        return Err(FetchError::parameter(
            "Invalid protocol - if you wish to fetch from a git repository using http, you need to instead use the git:// prefix with protocol=http",
            &ud.url,
        ));
    }
    let name = ud.parm_text("downloadfilename").unwrap_or_else(|| basename(&ud.path).to_owned());
    ud.localfile = if name.is_empty() { format!("{}{}", ud.host, ud.path.replace('/', ".")) } else { name.clone() };
    ud.basename = Some(name);
    Ok(())
}

/// FETCHCMD_wget with the options that the URL and the configuration call for.
pub fn base_command(ud: &UrlData, cx: &Cx<'_>) -> Result<String> {
    let mut command = cx.var_or("FETCHCMD_wget", "/usr/bin/env wget --tries=2 --timeout=100")?;
    if matches!(ud.scheme.as_str(), "ftp" | "ftps") {
        command.push_str(" --passive-ftp");
    }
    if cx.var_or("BB_CHECK_SSL_CERTS", "1")? == "0" {
        command.push_str(" --no-check-certificate");
    }
    Ok(command)
}

/// Runs wget, turning its dots into progress.
pub fn run_wget(ud: &UrlData, cx: &Cx<'_>, command: &str, workdir: Option<&str>) -> Result<()> {
    let mut filter = LineFilter::new(*cx, 0.0);
    cx.debug2(format!("Fetching {} using command '{command}'", ud.url));
    check_network_access(cx, command, &ud.url)?;
    let mut log = |text: &str| filter.feed(text, progress);
    run_with(cx, &format!("{command} --progress=dot --verbose"), Run { workdir, log: Some(&mut log), cleanup: &[] })?;
    Ok(())
}

/// A line such as `  1050K .......... ..........  75% 1.23M 0s`.
fn progress(filter: &mut LineFilter<'_>, line: &str) -> bool {
    let mut found = None;
    for (at, _) in line.match_indices('%') {
        let digits = line[..at].bytes().rev().take_while(u8::is_ascii_digit).count();
        let after = line[at + 1..].trim_start();
        let number = after.bytes().take_while(|b| b.is_ascii_digit() || *b == b'.').count();
        let unit = after[number..].chars().next().filter(char::is_ascii_uppercase);
        if digits > 0 && after.len() < line.len() - at - 1 && number > 0 && unit.is_some() {
            found = line[at - digits..at].parse().ok().map(|p: i64| (p, format!("{}/s", &after[..=number])));
        }
    }
    match found {
        Some((percent, rate)) => {
            filter.progress(percent, Some(&rate));
            true
        }
        None => false,
    }
}

/// Fetches to `NAME.tmp`, checks, renames.
pub fn download(ud: &mut UrlData, cx: &Cx<'_>) -> Result<()> {
    let dldir = files::realpath(&cx.dldir()?);
    let target = join(&dldir, &ud.localfile);
    let temporary = format!("{target}.tmp");
    files::mkdir(dirname(&target))?;
    let mut command = format!("{} --output-document={}", base_command(ud, cx)?, shell_quote(&temporary));
    if !ud.user.is_empty() && !ud.pswd.is_empty() {
        command.push_str(" --auth-no-challenge");
        // Given as options the credentials follow redirections, which not every host bears.
        if ud.parm_or("redirectauth", "1") == "1" {
            command.push_str(&format!(" --user={} --password={}", ud.user, ud.pswd));
        }
    }
    let uri = ud.url.split(';').next().unwrap_or("").to_owned();
    command.push_str(&format!(" --continue --directory-prefix={dldir} '{uri}'"));
    run_wget(ud, cx, &command, None)?;
    sane(&temporary, &uri)?;
    // Checked before it takes the place of a file that somebody else may be using.
    checksum::verify(ud, cx, &Sums::new(), Some(&temporary), false)?;
    std::fs::rename(&temporary, &target).map_err(|e| FetchError::io(&e, temporary))
}

/// The file is there and not empty; wget may say success either way.
fn sane(file: &str, uri: &str) -> Result<()> {
    match std::fs::metadata(file) {
        Err(_) => Err(FetchError::at(
            format!("The fetch command returned success for url {uri} but {file} doesn't exist?!"),
            uri,
        )),
        Ok(m) if m.len() == 0 => {
            files::remove(file, false)?;
            Err(FetchError::at(
                format!("The fetch of {uri} resulted in a zero size file?! Deleting and failing since this isn't right."),
                uri,
            ))
        }
        Ok(_) => Ok(()),
    }
}

/// Redirections followed before giving up.
const HOPS: usize = 10;

/// Asks for the headers only. Redirections are followed here and not by wget, which would hand the
/// credentials to whatever host it is sent to.
pub fn checkstatus(ud: &UrlData, cx: &Cx<'_>) -> Result<bool> {
    let first = ud.url.split(';').next().unwrap_or("").to_owned();
    let http = matches!(ud.scheme.as_str(), "http" | "https");
    let mut credentials = String::new();
    if !ud.user.is_empty() && !ud.pswd.is_empty() {
        credentials = format!(" --auth-no-challenge --user={} --password={}", shell_quote(&ud.user), shell_quote(&ud.pswd));
    }
    let mut uri = first.clone();
    for _ in 0..HOPS {
        let mut command = format!("{} --spider", base_command(ud, cx)?);
        // Without --quiet wget may ask again, and tells the headers of a directory's listing.
        command.push_str(if http { " --quiet --server-response --max-redirect=0" } else { " --quiet" });
        command.push_str(&credentials);
        command.push_str(&format!(" {}", shell_quote(&uri)));
        let mut said = String::new();
        let mut log = |text: &str| said.push_str(text);
        match run_with(cx, &command, Run { log: Some(&mut log), ..Run::default() }) {
            Ok(_) => return Ok(true),
            Err(e) if e.is_fetch() => match redirection(&said) {
                Some(location) => {
                    let next = absolute(&uri, location);
                    if origin(&next) != origin(&uri) {
                        credentials.clear();
                    }
                    uri = next;
                }
                None => {
                    cx.debug2(format!("checkstatus() urlopen failed for {first}: {e}\n{said}"));
                    return Ok(false);
                }
            },
            Err(e) => return Err(e),
        }
    }
    cx.debug2(format!("checkstatus() urlopen failed for {first}: more than {HOPS} redirections"));
    Ok(false)
}

/// Where the last answer of a server sends us, if it is a redirection.
fn redirection(headers: &str) -> Option<&str> {
    let lines: Vec<&str> = headers.lines().map(str::trim).collect();
    let last = &lines[lines.iter().rposition(|line| line.starts_with("HTTP/"))?..];
    let code = last[0].split_whitespace().nth(1)?;
    if !matches!(code, "301" | "302" | "303" | "307" | "308") {
        return None;
    }
    last.iter().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("location").then(|| value.trim()).filter(|value| !value.is_empty())
    })
}

/// Scheme and host with port.
fn origin(uri: &str) -> (String, String) {
    let (scheme, rest) = uri.split_once("://").unwrap_or(("", uri));
    let host = rest.split(['/', '?', '#']).next().unwrap_or("");
    let host = host.rsplit('@').next().unwrap_or("").to_ascii_lowercase();
    let scheme = scheme.to_ascii_lowercase();
    let default = if scheme == "https" { ":443" } else { ":80" };
    let host = host.strip_suffix(default).map(str::to_owned).unwrap_or(host);
    (scheme, host)
}

/// A location as it stands in an answer to a request for `base`.
fn absolute(base: &str, location: &str) -> String {
    if location.split_once("://").is_some_and(|(scheme, _)| scheme.bytes().all(|b| b.is_ascii_alphanumeric())) {
        return location.to_owned();
    }
    let (scheme, rest) = base.split_once("://").unwrap_or(("http", base));
    if let Some(host) = location.strip_prefix("//") {
        return format!("{scheme}://{host}");
    }
    let rest = rest.split(['?', '#']).next().unwrap_or("");
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    if location.starts_with('/') {
        return format!("{scheme}://{host}{location}");
    }
    let folder = path.rsplit_once('/').map_or(String::new(), |(folder, _)| format!("{folder}/"));
    format!("{scheme}://{host}/{folder}{location}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::Native;

    #[test]
    fn redirections() {
        let said = "  HTTP/1.1 302 Found\n  Server: BaseHTTP/0.6\n  Location: /b?c\n0 redirections exceeded.\n";
        assert_eq!(redirection(said), Some("/b?c"));
        assert_eq!(redirection("  HTTP/1.1 200 OK\n  Location: /b\n"), None);
        assert_eq!(redirection("  HTTP/1.1 302 Found\n"), None);
        assert_eq!(redirection(""), None);
        for (location, whole) in [
            ("/b?c", "http://h:8/b?c"),
            ("b", "http://h:8/dir/b"),
            ("//other/b", "http://other/b"),
            ("https://other/b", "https://other/b"),
        ] {
            assert_eq!(absolute("http://h:8/dir/file?x=/y", location), whole);
        }
        assert_eq!(origin("HTTP://user@Host:80/a"), origin("http://host/b?c@d"));
        assert_ne!(origin("http://host/a"), origin("http://host:8080/a"));
        assert_ne!(origin("http://host/a"), origin("https://host/a"));
    }

    #[test]
    fn progress_lines() {
        let d = crate::tests::store();
        let mut filter = LineFilter::new(Cx::new(&d, &Native), 0.0);
        assert!(progress(&mut filter, "  1050K .......... ..........  75% 1.23M 0s"));
        assert!(!progress(&mut filter, "Saving to: 'x100%'"));
        assert!(!progress(&mut filter, "100%"));
    }
}
