//! `ssh://` (scp), and `sftp://`, which is only named yet.

use super::Method;
use crate::command::{check_network_access, run};
use crate::context::Cx;
use crate::error::{FetchError, Result};
use crate::uri::unquote;
use crate::urldata::{UrlData, basename};

pub struct Ssh;

/// The parts of `ssh://[user[:password][;…]@]host[:port]/path[;…]`.
#[derive(Debug, PartialEq)]
struct Address<'a> {
    user: &'a str,
    password: &'a str,
    host: &'a str,
    port: &'a str,
    path: &'a str,
}

fn address(url: &str) -> Option<Address<'_>> {
    let rest = url.trim_start().strip_prefix("ssh://")?;
    let (login, rest) = match rest.rfind('@') {
        Some(at) if at > 0 && !rest[..at].contains(char::is_whitespace) => (&rest[..at], &rest[at + 1..]),
        _ => ("", rest),
    };
    let (host, path) = rest.split_once('/')?;
    let path = path.split(';').next().unwrap_or("");
    if host.is_empty() || host.contains(char::is_whitespace) || path.is_empty() {
        return None;
    }
    let (host, port) = match host.rsplit_once(':') {
        Some((name, port)) if !name.is_empty() && !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) => (name, port),
        _ => (host, ""),
    };
    // As the reference: the user's name reaches to the last colon, parameters are part of what follows it.
    let (user, password) = login.rsplit_once(':').filter(|(user, _)| !user.is_empty()).unwrap_or((login, ""));
    Some(Address { user, password, host, port, path })
}

impl Address<'_> {
    fn port_option(&self) -> String {
        if self.port.is_empty() { String::new() } else { format!("-P {}", self.port) }
    }
    fn login(&self) -> String {
        match (self.user, self.password) {
            ("", _) => self.host.to_owned(),
            (user, "") => format!("{user}@{}", self.host),
            (user, password) => format!("{user}:{password}@{}", self.host),
        }
    }
    /// Absolute, unless it begins at somebody's home.
    fn remote_path(&self) -> String {
        let path = unquote(self.path);
        if self.path.starts_with('~') { path } else { format!("/{path}") }
    }
}

impl Method for Ssh {
    fn name(&self) -> &'static str {
        "ssh"
    }
    fn supports(&self, ud: &UrlData, _cx: &Cx<'_>) -> Result<bool> {
        Ok(address(&ud.url).is_some())
    }
    fn supports_checksum(&self, _ud: &UrlData) -> Result<bool> {
        Ok(false)
    }
    fn urldata_init(&self, ud: &mut UrlData, _cx: &Cx<'_>) -> Result<()> {
        not_git(ud)?;
        let path = unquote(address(&ud.url).map_or("", |a| a.path));
        ud.localfile = basename(path.trim_end_matches('/')).to_owned();
        Ok(())
    }
    fn download(&self, ud: &mut UrlData, cx: &Cx<'_>) -> Result<()> {
        let Some(address) = address(&ud.url) else { return Err(super::unsupported(ud, "downloading")) };
        let (port, login, path) = (address.port_option(), address.login(), address.remote_path());
        let command = format!("scp -B -r {port} {login}:{path} {}/", cx.dldir()?);
        check_network_access(cx, &command, &ud.url)?;
        run(cx, &command, None).map(drop)
    }
    fn checkstatus(&self, ud: &mut UrlData, cx: &Cx<'_>) -> Result<bool> {
        let Some(address) = address(&ud.url) else { return Err(super::unsupported(ud, "checking")) };
        let (port, login, path) = (address.port_option(), address.login(), address.remote_path());
        let command = format!("ssh -o BatchMode=true {port} {login} [ -f {path} ]");
        check_network_access(cx, &command, &ud.url)?;
        run(cx, &command, None)?;
        Ok(true)
    }
}

fn not_git(ud: &UrlData) -> Result<()> {
    if ud.parm_text("protocol").as_deref() == Some("git") {
        let kind = if ud.scheme == "sftp" { "the git://" } else { "git://" };
        return Err(FetchError::parameter(
            format!(
                "Invalid protocol - if you wish to fetch from a git repository using ssh, you need to use {kind} prefix with protocol=ssh"
            ),
            &ud.url,
        ));
    }
    Ok(())
}

pub struct Sftp;

impl Method for Sftp {
    fn name(&self) -> &'static str {
        "sftp"
    }
    fn supports(&self, ud: &UrlData, _cx: &Cx<'_>) -> Result<bool> {
        Ok(ud.scheme == "sftp")
    }
    fn recommends_checksum(&self, _ud: &UrlData) -> Result<bool> {
        Ok(true)
    }
    fn urldata_init(&self, ud: &mut UrlData, _cx: &Cx<'_>) -> Result<()> {
        not_git(ud)?;
        super::storage::name(ud);
        Ok(())
    }
    fn download(&self, ud: &mut UrlData, _cx: &Cx<'_>) -> Result<()> {
        Err(super::unsupported(ud, "downloading"))
    }
}

#[cfg(test)]
mod tests {
    use super::address;

    #[test]
    fn addresses() {
        let path_of = |url| address(url).map(|a| a.path);
        assert_eq!(path_of("ssh://user@host:22/dir/file.txt;x=y"), Some("dir/file.txt"));
        assert_eq!(path_of("ssh://host/~/f"), Some("~/f"));
        assert_eq!(path_of("http://host/f"), None);
        assert_eq!(path_of("ssh://host"), None);
        let full = address("ssh://user:secret@host:22/dir/a%20b").unwrap();
        assert_eq!((full.login(), full.port_option(), full.remote_path()), ("user:secret@host".into(), "-P 22".into(), "/dir/a b".into()));
        let short = address("ssh://host/~/f").unwrap();
        assert_eq!((short.login(), short.port_option(), short.remote_path()), ("host".into(), String::new(), "~/f".into()));
    }
}
