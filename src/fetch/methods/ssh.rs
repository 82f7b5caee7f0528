//! `ssh://` (scp) and `sftp://`. Naming only; no download yet.

use super::Method;
use crate::context::Cx;
use crate::error::{FetchError, Result};
use crate::uri::unquote;
use crate::urldata::{UrlData, basename};

pub struct Ssh;

/// The path of `ssh://[user[:password][;…]@]host[:port]/path[;…]`.
fn path_of(url: &str) -> Option<&str> {
    let rest = url.trim_start().strip_prefix("ssh://")?;
    let rest = match rest.rfind('@') {
        Some(at) if at > 0 && !rest[..at].contains(char::is_whitespace) => &rest[at + 1..],
        _ => rest,
    };
    let (host, path) = rest.split_once('/')?;
    let path = path.split(';').next().unwrap_or("");
    (!host.is_empty() && !host.contains(char::is_whitespace) && !path.is_empty()).then_some(path)
}

impl Method for Ssh {
    fn name(&self) -> &'static str {
        "ssh"
    }
    fn supports(&self, ud: &UrlData, _cx: &Cx<'_>) -> Result<bool> {
        Ok(path_of(&ud.url).is_some())
    }
    fn supports_checksum(&self, _ud: &UrlData) -> Result<bool> {
        Ok(false)
    }
    fn urldata_init(&self, ud: &mut UrlData, _cx: &Cx<'_>) -> Result<()> {
        not_git(ud)?;
        let path = unquote(path_of(&ud.url).unwrap_or(""));
        ud.localfile = basename(path.trim_end_matches('/')).to_owned();
        Ok(())
    }
    fn download(&self, ud: &mut UrlData, _cx: &Cx<'_>) -> Result<()> {
        Err(super::unsupported(ud, "downloading"))
    }
    fn checkstatus(&self, ud: &mut UrlData, _cx: &Cx<'_>) -> Result<bool> {
        Err(super::unsupported(ud, "checking"))
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
    use super::path_of;

    #[test]
    fn paths() {
        assert_eq!(path_of("ssh://user@host:22/dir/file.txt;x=y"), Some("dir/file.txt"));
        assert_eq!(path_of("ssh://host/~/f"), Some("~/f"));
        assert_eq!(path_of("http://host/f"), None);
        assert_eq!(path_of("ssh://host"), None);
    }
}
