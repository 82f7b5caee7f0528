//! `ccrc://`: ClearCase. Naming only; no download yet.

use super::Method;
use crate::context::Cx;
use crate::error::{FetchError, Result};
use crate::urldata::{UrlData, join};

pub struct ClearCase;

impl Method for ClearCase {
    fn name(&self) -> &'static str {
        "clearcase"
    }
    fn supports(&self, ud: &UrlData, _cx: &Cx<'_>) -> Result<bool> {
        Ok(ud.scheme == "ccrc")
    }
    fn urldata_init(&self, ud: &mut UrlData, cx: &Cx<'_>) -> Result<()> {
        let proto = ud.parm_or("protocol", "https");
        if !matches!(proto.as_str(), "http" | "https") {
            return Err(FetchError::parameter("Invalid protocol type", &ud.url));
        }
        let Some(vob) = ud.parm_text("vob") else {
            return Err(FetchError::missing("vob", &format!("{}: vob must be defined so the fetcher knows what to get.", ud.url)));
        };
        let module = ud.parm_or("module", "");
        if cx.var("SRCREV")?.as_deref() == Some("INVALID") {
            return Err(FetchError::new("Set a valid SRCREV for the clearcase fetcher in your recipe, e.g. SRCREV = \"/main/LATEST\" or any other label of your choice."));
        }
        let label = cx.d.get_raw("SRCREV").map(|v| v.to_text().to_string()).unwrap_or_default();
        let identifier = format!("clearcase-{}{}-{}", vob.replace('/', ""), module.replace('/', "."), label.replace('/', "."));
        let dir = join(&cx.dldir()?, &ud.scheme);
        let view = format!("{identifier}-view{}", cx.var("DATETIME")?.unwrap_or_else(|| "None".into()));
        ud.localfile = format!("{identifier}.tar.gz");
        ud.put("basecmd", cx.var_or("FETCHCMD_ccrc", "/usr/bin/env cleartool || rcleartool")?);
        ud.put("server", format!("{proto}://{}{}", ud.host, ud.path));
        ud.put("viewdir", join(&dir, &view));
        ud.put("viewname", view);
        ud.put("csname", format!("{identifier}-config-spec"));
        ud.put("configspecfile", join(&dir, &format!("{identifier}-config-spec")));
        ud.put("ccasedir", dir);
        ud.put("identifier", identifier);
        ud.put("label", label);
        ud.put("vob", vob);
        ud.put("module", module);
        ud.put("proto", proto);
        match cx.var("CCASE_CUSTOM_CONFIG_SPEC")? {
            Some(spec) => ud.put("customspec", spec),
            None => ud.put("customspec", hz_data::Value::None),
        }
        Ok(())
    }
    fn supports_srcrev(&self) -> Result<bool> {
        Ok(true)
    }
    fn sortable_revision(&self, ud: &mut UrlData, _cx: &Cx<'_>, _name: &str) -> Result<(bool, String)> {
        Ok((false, ud.text("identifier")))
    }
    fn download(&self, ud: &mut UrlData, _cx: &Cx<'_>) -> Result<()> {
        Err(super::unsupported(ud, "downloading"))
    }
}
