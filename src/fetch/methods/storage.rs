//! Object stores: `s3://`, `gs://`, `az://`. Naming only; no download yet.

use super::{Method, wget};
use crate::context::Cx;
use crate::error::Result;
use crate::urldata::{UrlData, basename};

/// `downloadfilename`, else the last part of the path.
pub fn name(ud: &mut UrlData) {
    let name = ud.parm_text("downloadfilename").unwrap_or_else(|| basename(&ud.path).to_owned());
    ud.localfile = name.clone();
    ud.basename = Some(name);
}

macro_rules! store {
    ($type:ident, $name:literal, $scheme:literal, $init:expr) => {
        pub struct $type;
        impl Method for $type {
            fn name(&self) -> &'static str {
                $name
            }
            fn supports(&self, ud: &UrlData, _cx: &Cx<'_>) -> Result<bool> {
                Ok(ud.scheme == $scheme)
            }
            fn recommends_checksum(&self, _ud: &UrlData) -> Result<bool> {
                Ok(true)
            }
            fn urldata_init(&self, ud: &mut UrlData, cx: &Cx<'_>) -> Result<()> {
                let init: fn(&mut UrlData, &Cx<'_>) -> Result<()> = $init;
                init(ud, cx)
            }
            fn download(&self, ud: &mut UrlData, _cx: &Cx<'_>) -> Result<()> {
                Err(super::unsupported(ud, "downloading"))
            }
            fn checkstatus(&self, ud: &mut UrlData, _cx: &Cx<'_>) -> Result<bool> {
                Err(super::unsupported(ud, "checking"))
            }
        }
    };
}

store!(S3, "s3", "s3", |ud, cx| {
    name(ud);
    ud.put("basecmd", cx.var_or("FETCHCMD_s3", "/usr/bin/env aws s3")?);
    Ok(())
});
store!(Google, "gcp", "gs", |ud, _cx| {
    name(ud);
    Ok(())
});
store!(Azure, "az", "az", |ud, _cx| wget::init(ud));
