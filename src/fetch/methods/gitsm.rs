//! `gitsm://` and `gitannex://`: git with submodules, git with large files in an annex. Named and
//! fetched as git; submodules and annex contents cannot be fetched yet.

use super::git::{self, Git};
use super::Method;
use crate::command::run;
use crate::context::Cx;
use crate::error::{FetchError, Result};
use crate::urldata::UrlData;

pub struct GitSubmodules;

impl Method for GitSubmodules {
    fn name(&self) -> &'static str {
        "gitsm"
    }
    fn supports(&self, ud: &UrlData, _cx: &Cx<'_>) -> Result<bool> {
        Ok(ud.scheme == "gitsm")
    }
    fn urldata_init(&self, ud: &mut UrlData, cx: &Cx<'_>) -> Result<()> {
        git::init(ud, cx, "gitsm")
    }
    fn unpack(&self, ud: &mut UrlData, root: &str, cx: &Cx<'_>) -> Result<()> {
        Git.unpack(ud, root, cx)?;
        // A repository that has none is complete.
        let revision = ud.revision.clone().unwrap_or_default();
        let show = format!("{} show {revision}:.gitmodules", ud.text("basecmd"));
        match run(cx, &show, Some(&ud.text("destdir"))) {
            Ok(text) if text.contains("[submodule") => Err(super::unsupported(ud, "unpacking submodules")),
            Ok(_) => Ok(()),
            Err(e) if e.is_fetch() => Ok(()),
            Err(e) => Err(e),
        }
    }
    fn unpack_update(&self, ud: &mut UrlData, _root: &str, _cx: &Cx<'_>) -> Result<()> {
        Err(super::unsupported(ud, "updating a checkout"))
    }
    git::shared!();
}

pub struct GitAnnex;

impl Method for GitAnnex {
    fn name(&self) -> &'static str {
        "gitannex"
    }
    fn supports(&self, ud: &UrlData, _cx: &Cx<'_>) -> Result<bool> {
        Ok(ud.scheme == "gitannex")
    }
    fn urldata_init(&self, ud: &mut UrlData, cx: &Cx<'_>) -> Result<()> {
        git::init(ud, cx, "gitannex")?;
        if ud.is("shallow") {
            let mut refs = ud.list("shallow_extra_refs");
            refs.extend(["refs/heads/git-annex".into(), "refs/heads/synced/*".into()]);
            ud.put_list("shallow_extra_refs", &refs);
        }
        Ok(())
    }
    fn unpack(&self, ud: &mut UrlData, _root: &str, _cx: &Cx<'_>) -> Result<()> {
        Err::<(), FetchError>(super::unsupported(ud, "unpacking"))
    }
    git::shared!();
}
