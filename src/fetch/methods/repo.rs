//! `repo://`: trees of git repositories by Android's repo tool. Naming only; no download yet.

use super::Method;
use crate::context::Cx;
use crate::error::Result;
use crate::files;
use crate::urldata::UrlData;

pub struct Repo;

impl Method for Repo {
    fn name(&self) -> &'static str {
        "repo"
    }
    fn supports(&self, ud: &UrlData, _cx: &Cx<'_>) -> Result<bool> {
        Ok(ud.scheme == "repo")
    }
    fn urldata_init(&self, ud: &mut UrlData, cx: &Cx<'_>) -> Result<()> {
        let branch = ud.parm_or("branch", "master");
        let mut manifest = ud.parm_or("manifest", "default.xml");
        if !manifest.ends_with(".xml") {
            manifest.push_str(".xml");
        }
        let name = format!("repo_{}{}_{manifest}_{branch}.tar.gz", ud.host, ud.path.replace('/', "."));
        ud.localfile = cx.d.expand(&name, None)?.to_string();
        ud.put("basecmd", cx.var_or("FETCHCMD_repo", "/usr/bin/env repo")?);
        ud.put("proto", ud.parm_or("protocol", "git"));
        ud.put("branch", branch);
        ud.put("manifest", manifest);
        Ok(())
    }
    fn download(&self, ud: &mut UrlData, _cx: &Cx<'_>) -> Result<()> {
        if files::exists(ud.local()) { Ok(()) } else { Err(super::unsupported(ud, "downloading")) }
    }
}
