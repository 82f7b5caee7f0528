//! `hg://`: Mercurial. Naming and revisions; no download yet.

use super::Method;
use crate::command::{check_network_access, run};
use crate::context::Cx;
use crate::error::Result;
use crate::files;
use crate::urldata::{UrlData, join};

pub struct Hg;

impl Hg {
    /// The command that tells the newest revision.
    fn identify(ud: &UrlData) -> String {
        let proto = ud.parm_or("protocol", "http");
        let host = if proto == "file" { "/" } else { &ud.host };
        let login = match (ud.user.is_empty(), ud.pswd.is_empty()) {
            (true, _) => String::new(),
            (false, true) => format!("{}@", ud.user),
            (false, false) => format!("{}:{}@", ud.user, ud.pswd),
        };
        format!("{} identify -i {proto}://{login}{host}{}/{}", ud.text("basecmd"), ud.path, ud.text("module"))
    }
}

impl Method for Hg {
    fn name(&self) -> &'static str {
        "hg"
    }
    fn supports(&self, ud: &UrlData, _cx: &Cx<'_>) -> Result<bool> {
        Ok(ud.scheme == "hg")
    }
    fn supports_checksum(&self, _ud: &UrlData) -> Result<bool> {
        Ok(false)
    }
    fn urldata_init(&self, ud: &mut UrlData, cx: &Cx<'_>) -> Result<()> {
        let module = ud.require("module")?;
        let proto = ud.parm_text("protocol").unwrap_or_else(|| if ud.host.is_empty() { "file" } else { "hg" }.into());
        let name = format!("{}_{}_{}", module.replace('/', "."), ud.host, ud.path.replace('/', "."));
        let dldir = cx.dldir()?;
        let archive = format!("hg_{name}.tar.gz");
        let packages = join(&cx.var_or("HGDIR", &format!("{dldir}/hg"))?, &name);
        let checkout = join(&packages, &module);
        ud.put("fullmirror", join(&dldir, &archive));
        ud.mirrortarballs = vec![archive];
        ud.put("pkgdir", packages);
        ud.localfile = checkout.clone();
        ud.put("moddir", checkout);
        ud.put("module", module);
        ud.put("proto", proto);
        ud.put("basecmd", cx.var_or("FETCHCMD_hg", "/usr/bin/env hg")?);
        ud.setup_revisions(cx)?;
        if let Some(rev) = ud.parm.get("rev") {
            ud.revision = rev.clone();
        } else {
            super::revision_or_latest(ud, cx)?;
        }
        match cx.var("BB_GENERATE_MIRROR_TARBALLS")? {
            Some(v) => ud.put("write_tarballs", v),
            None => ud.put("write_tarballs", hz_data::Value::None),
        }
        Ok(())
    }
    fn localpath(&self, ud: &mut UrlData, _cx: &Cx<'_>) -> Result<String> {
        Ok(ud.text("pkgdir"))
    }
    fn need_update(&self, ud: &mut UrlData, _cx: &Cx<'_>) -> Result<bool> {
        Ok(ud.parm_or("rev", "tip") == "tip" || !files::exists(ud.local()))
    }
    fn try_premirror(&self, ud: &mut UrlData, cx: &Cx<'_>) -> Result<bool> {
        Ok(cx.var_true("BB_FETCH_PREMIRRORONLY")? || !files::exists(&ud.text("moddir")))
    }
    fn supports_srcrev(&self) -> Result<bool> {
        Ok(true)
    }
    fn asks_upstream(&self) -> bool {
        true
    }
    fn revision_key(&self, ud: &UrlData, _cx: &Cx<'_>, _name: &str) -> Result<String> {
        Ok(format!("hg:{}", ud.text("moddir")))
    }
    fn ask_latest_revision(&self, ud: &UrlData, cx: &Cx<'_>, _name: &str) -> Result<String> {
        let command = Hg::identify(ud);
        check_network_access(cx, &command, &ud.url)?;
        Ok(run(cx, &command, None)?.trim().to_owned())
    }
    fn download(&self, ud: &mut UrlData, _cx: &Cx<'_>) -> Result<()> {
        Err(super::unsupported(ud, "downloading"))
    }
    fn unpack(&self, ud: &mut UrlData, _root: &str, _cx: &Cx<'_>) -> Result<()> {
        Err(super::unsupported(ud, "unpacking"))
    }
    fn clean(&self, ud: &mut UrlData, _cx: &Cx<'_>) -> Result<()> {
        files::remove(ud.local(), true)?;
        let archive = ud.text("fullmirror");
        files::remove(&archive, false)?;
        files::remove(&format!("{archive}.done"), false)
    }
}
