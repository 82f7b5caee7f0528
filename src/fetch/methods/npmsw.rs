//! `npmsw://` (npm shrinkwrap files): switched off in BitBake 2.18, as `npm://`.

use super::Method;
use crate::context::Cx;
use crate::error::{FetchError, Result};
use crate::urldata::UrlData;

pub struct NpmShrinkWrap;

impl Method for NpmShrinkWrap {
    fn name(&self) -> &'static str {
        "npmsw"
    }
    fn supports(&self, ud: &UrlData, _cx: &Cx<'_>) -> Result<bool> {
        if ud.scheme == "npmsw" {
            return Err(FetchError::Skip(
                "The npmsw fetcher has been disabled due to security issues and there is no maintainer to address them".into(),
            ));
        }
        Ok(false)
    }
}
