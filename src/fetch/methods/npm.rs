//! `npm://`: switched off in BitBake 2.18 for security reasons; a recipe that uses it is skipped.

use super::Method;
use crate::context::Cx;
use crate::error::{FetchError, Result};
use crate::urldata::UrlData;

pub struct Npm;

impl Method for Npm {
    fn name(&self) -> &'static str {
        "npm"
    }
    fn supports(&self, ud: &UrlData, _cx: &Cx<'_>) -> Result<bool> {
        if ud.scheme == "npm" {
            return Err(FetchError::Skip(
                "The npm fetcher has been disabled due to security issues and there is no maintainer to address them".into(),
            ));
        }
        Ok(false)
    }
}
