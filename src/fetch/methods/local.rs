//! `file://`: files and directories of the metadata, used where they are.

use super::Method;
use crate::context::Cx;
use crate::error::{FetchError, Result};
use crate::files;
use crate::localfile;
use crate::urldata::{UrlData, basename};

pub struct Local;

impl Method for Local {
    fn name(&self) -> &'static str {
        "local"
    }
    fn supports(&self, ud: &UrlData, _cx: &Cx<'_>) -> Result<bool> {
        Ok(ud.scheme == "file")
    }
    fn is_local(&self) -> bool {
        true
    }
    fn urldata_init(&self, ud: &mut UrlData, _cx: &Cx<'_>) -> Result<()> {
        ud.basename = Some(basename(&ud.path).to_owned());
        ud.basepath = Some(ud.path.clone());
        ud.needdonestamp = false;
        if ud.path.contains('*') {
            return Err(FetchError::parameter(
                "file:// urls using globbing are no longer supported. Please place the files in a directory and reference that instead.",
                &ud.url,
            ));
        }
        Ok(())
    }
    fn localpath(&self, ud: &mut UrlData, cx: &Cx<'_>) -> Result<String> {
        let mut paths = localfile::search_paths(&ud.path, cx)?;
        paths.pop().ok_or_else(|| FetchError::at("FILESPATH is not set, so no file:// URL can be found", &ud.url))
    }
    fn download(&self, ud: &mut UrlData, cx: &Cx<'_>) -> Result<()> {
        if self.supports_checksum(ud)? && !files::exists(ud.local()) {
            let searched = cx.var_or("FILESPATH", "")?.replace(':', "\n    ");
            return Err(FetchError::new(format!(
                "Unable to find file {} anywhere to download to {}. The paths that were searched were:\n    {searched}",
                ud.url,
                ud.local()
            )));
        }
        Ok(())
    }
    fn checkstatus(&self, ud: &mut UrlData, _cx: &Cx<'_>) -> Result<bool> {
        Ok(files::exists(ud.local()))
    }
    fn clean(&self, _ud: &mut UrlData, _cx: &Cx<'_>) -> Result<()> {
        Ok(())
    }
}
