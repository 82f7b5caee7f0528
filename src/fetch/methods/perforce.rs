//! `p4://`: Perforce. Naming and revisions; no download yet.

use super::Method;
use crate::command::{check_network_access, run};
use crate::context::Cx;
use crate::error::{FetchError, Result};
use crate::files;
use crate::urldata::{UrlData, join};

pub struct Perforce;

impl Method for Perforce {
    fn name(&self) -> &'static str {
        "perforce"
    }
    fn supports(&self, ud: &UrlData, _cx: &Cx<'_>) -> Result<bool> {
        Ok(ud.scheme == "p4")
    }
    fn urldata_init(&self, ud: &mut UrlData, cx: &Cx<'_>) -> Result<()> {
        let command = cx.var_or("FETCHCMD_p4", "/usr/bin/env p4")?;
        let dldir = cx.var_or("P4DIR", &format!("{}/p4", cx.dldir()?))?;
        let url = ud.url.clone();
        let rest = url.split_once("://").map_or("", |(_, r)| r).split(';').next().unwrap_or("");
        match rest.split_once('@') {
            Some((login, path)) => {
                let (user, pswd) = login
                    .split_once(':')
                    .ok_or_else(|| FetchError::parameter("a user needs a password: p4://USER:PASSWORD@PATH", &url))?;
                (ud.user, ud.pswd, ud.path) = (user.to_owned(), pswd.to_owned(), path.to_owned());
            }
            None => ud.path = rest.to_owned(),
        }
        let port = cx.var("P4PORT")?.filter(|p| !p.is_empty());
        ud.put_bool("usingp4config", port.is_none());
        match port {
            Some(port) => {
                cx.debug(format!("Using recipe provided P4PORT: {port}"));
                ud.host = port;
            }
            None => {
                cx.debug("Trying to use P4CONFIG to automatically set P4PORT...");
                let ask = format!("{command} info | grep \"Server address\"");
                check_network_access(cx, &ask, &url)?;
                let out = run(cx, &ask, None)?;
                ud.host = out.split(": ").nth(1).unwrap_or("").trim().to_owned();
                cx.debug(format!("Determined P4PORT to be: {}", ud.host));
                if ud.host.is_empty() {
                    return Err(FetchError::new("Could not determine P4PORT from P4CONFIG"));
                }
            }
        }
        let module = ud.parm_text("module").filter(|m| !m.is_empty());
        let tree = ud.path.contains("/...");
        ud.put_bool("pathisdir", tree);
        ud.put_bool("keepremotepath", ud.parm_or("remotepath", "") == "keep");
        if tree && module.is_some() {
            return Err(FetchError::new("SRC_URI depot path cannot not end in /... when a module value is given"));
        }
        let clean = |text: &str| text.replace("/...", "").replace('/', ".");
        let (host, mut path, mut part) = (ud.host.replace(':', "."), clean(&ud.path), String::new());
        if let Some(module) = &module {
            if module.starts_with('/') {
                return Err(FetchError::new("module cannot begin with /"));
            }
            ud.path = join(&ud.path, module);
            part = clean(module);
            path = format!("{path}--{part}");
        }
        ud.put("pkgdir", join(&join(&dldir, &host), &path));
        ud.put("dldir", dldir);
        ud.put("basecmd", command);
        ud.put("module", module.map_or(hz_data::Value::None, Into::into));
        ud.setup_revisions(cx)?;
        let name = format!("{host}_{path}_{part}_{}.tar.gz", ud.revision.as_deref().unwrap_or("None"));
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
        Ok(format!("p4:{}", ud.text("pkgdir")))
    }
    fn ask_latest_revision(&self, ud: &UrlData, cx: &Cx<'_>, _name: &str) -> Result<String> {
        let mut options = String::new();
        if !ud.user.is_empty() {
            options.push_str(&format!(" -u \"{}\"", ud.user));
        }
        if !ud.pswd.is_empty() {
            options.push_str(&format!(" -P \"{}\"", ud.pswd));
        }
        if !ud.host.is_empty() && !ud.is("usingp4config") {
            options.push_str(&format!(" -p {}", ud.host));
        }
        let command = format!("{}{options} changes -m 1 //{}", ud.text("basecmd"), ud.path);
        check_network_access(cx, &command, &ud.url)?;
        let out = run(cx, &command, None)?;
        let change = out.split(' ').nth(1).unwrap_or("");
        if change.is_empty() {
            return Err(FetchError::new("Could not determine the latest perforce changelist"));
        }
        cx.debug(format!("p4 tip found to be changelist {change}"));
        Ok(change.to_owned())
    }
    fn sortable_revision(&self, ud: &mut UrlData, _cx: &Cx<'_>, _name: &str) -> Result<(bool, String)> {
        Ok((false, ud.revision.clone().unwrap_or_default()))
    }
    fn download(&self, ud: &mut UrlData, _cx: &Cx<'_>) -> Result<()> {
        Err(super::unsupported(ud, "downloading"))
    }
    fn clean(&self, ud: &mut UrlData, _cx: &Cx<'_>) -> Result<()> {
        files::remove(ud.local(), false)?;
        files::remove(&ud.text("pkgdir"), true)
    }
}
