//! `svn://`: Subversion. Naming and revisions; no download yet.

use super::Method;
use crate::command::{check_network_access, run};
use crate::context::Cx;
use crate::error::{FetchError, Result};
use crate::files;
use crate::urldata::{UrlData, join};

pub struct Svn;

impl Method for Svn {
    fn name(&self) -> &'static str {
        "svn"
    }
    fn supports(&self, ud: &UrlData, _cx: &Cx<'_>) -> Result<bool> {
        Ok(ud.scheme == "svn")
    }
    fn supports_checksum(&self, _ud: &UrlData) -> Result<bool> {
        Ok(false)
    }
    fn urldata_init(&self, ud: &mut UrlData, cx: &Cx<'_>) -> Result<()> {
        let module = ud.require("module")?;
        let path_spec = ud.parm_text("path_spec").unwrap_or_else(|| module.clone());
        let dir = cx.var_or("SVNDIR", &format!("{}/svn", cx.dldir()?))?;
        let packages = join(&join(&dir, &ud.host), ud.path.trim_start_matches('/'));
        ud.put("basecmd", cx.var_or("FETCHCMD_svn", "/usr/bin/env svn --non-interactive")?);
        ud.put("module", module.clone());
        ud.put("moddir", join(&packages, &path_spec));
        ud.put("path_spec", path_spec);
        ud.put("svnlock", join(&packages, "svn.lock"));
        ud.put("pkgdir", packages);
        ud.setup_revisions(cx)?;
        if let Some(rev) = ud.parm.get("rev") {
            ud.revision = rev.clone();
        }
        let peg = !ud.parm.contains_key("nopegrevision");
        ud.put_bool("pegrevision", peg);
        let name = format!(
            "{}_{}_{}_{}_{}.tar.gz",
            module.replace('/', "."),
            ud.host,
            ud.path.replace('/', "."),
            ud.revision.as_deref().unwrap_or("None"),
            u8::from(peg)
        );
        ud.localfile = cx.d.expand(&name, None)?.to_string();
        Ok(())
    }
    fn supports_srcrev(&self) -> Result<bool> {
        Ok(true)
    }
    fn asks_upstream(&self) -> bool {
        true
    }
    fn revision_key(&self, ud: &UrlData, _cx: &Cx<'_>, _name: &str) -> Result<String> {
        Ok(format!("svn:{}", ud.text("moddir")))
    }
    fn ask_latest_revision(&self, ud: &UrlData, cx: &Cx<'_>, _name: &str) -> Result<String> {
        let mut options = "--no-auth-cache".to_owned();
        if !ud.user.is_empty() {
            options.push_str(&format!(" --username {}", ud.user));
        }
        if !ud.pswd.is_empty() {
            options.push_str(&format!(" --password {}", ud.pswd));
        }
        let proto = ud.parm_or("protocol", "svn");
        let mut command = format!(
            "{} log --limit 1 --quiet {options} {proto}://{}{}/{}/",
            ud.text("basecmd"),
            ud.host,
            ud.path,
            ud.text("module")
        );
        if let Some(ssh) = ud.parm_text("ssh").filter(|_| proto == "svn+ssh") {
            command = format!("SVN_SSH=\"{ssh}\" {command}");
        }
        check_network_access(cx, &command, &ud.url)?;
        let out = run(cx, &format!("LANG=C LC_ALL=C {command}"), None)?;
        let line = out.lines().nth(1).unwrap_or("");
        let digits: String = line.strip_prefix('r').unwrap_or("").chars().take_while(char::is_ascii_digit).collect();
        if digits.is_empty() { Err(FetchError::at("svn log shows no revision", &ud.url)) } else { Ok(digits) }
    }
    fn sortable_revision(&self, ud: &mut UrlData, _cx: &Cx<'_>, _name: &str) -> Result<(bool, String)> {
        Ok((false, ud.revision.clone().unwrap_or_default()))
    }
    fn download(&self, ud: &mut UrlData, _cx: &Cx<'_>) -> Result<()> {
        Err(super::unsupported(ud, "downloading"))
    }
    fn clean(&self, ud: &mut UrlData, _cx: &Cx<'_>) -> Result<()> {
        files::remove(ud.local(), false)?;
        files::remove(&ud.text("moddir"), true)
    }
}
