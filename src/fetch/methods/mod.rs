//! What a fetch method is, with the behaviour that most share. One file a method.
//!
//! Everything returns `Result`, also plain questions: a method may be a Python class of a layer.

mod clearcase;
mod crates;
mod git;
mod gitsm;
mod gomod;
mod hg;
mod local;
mod npm;
mod npmsw;
mod perforce;
mod repo;
mod ssh;
mod storage;
mod svn;
mod wget;

pub use git::Git;
pub use local::Local;
pub use git::repository as git_repository;
pub use wget::{Wget, run_wget};

use crate::checksum;
use crate::context::Cx;
use crate::error::{FetchError, Result};
use crate::files;
use crate::mirror;
use crate::srcrev;
use crate::urldata::{UrlData, join};
use std::sync::{Arc, OnceLock};

pub trait Method: Send + Sync {
    /// Our name for it (`wget`, `git`, …), by which the Python class finds it.
    fn name(&self) -> &'static str;
    fn supports(&self, ud: &UrlData, cx: &Cx<'_>) -> Result<bool>;
    /// Names the files and checks the parameters.
    fn urldata_init(&self, _ud: &mut UrlData, _cx: &Cx<'_>) -> Result<()> {
        Ok(())
    }
    /// Is it the method of `file://`?
    fn is_local(&self) -> bool {
        false
    }
    fn localpath(&self, ud: &mut UrlData, cx: &Cx<'_>) -> Result<String> {
        Ok(join(&cx.dldir()?, &ud.localfile))
    }
    /// Is the local path something that has a checksum?
    fn supports_checksum(&self, ud: &UrlData) -> Result<bool> {
        Ok(ud.localpath.as_deref().is_some_and(|p| !files::is_dir(p)))
    }
    /// Should a missing checksum be complained about?
    fn recommends_checksum(&self, _ud: &UrlData) -> Result<bool> {
        Ok(false)
    }
    /// Remove what a failed download left?
    fn cleanup_upon_failure(&self) -> Result<bool> {
        Ok(true)
    }
    fn verify_donestamp(&self, ud: &mut UrlData, cx: &Cx<'_>) -> Result<bool> {
        checksum::verify_donestamp(ud, cx, None)
    }
    fn update_donestamp(&self, ud: &mut UrlData, cx: &Cx<'_>) -> Result<()> {
        checksum::update_donestamp(ud, cx)
    }
    /// Fetch although the local path exists?
    fn need_update(&self, ud: &mut UrlData, _cx: &Cx<'_>) -> Result<bool> {
        Ok(!files::exists(ud.local()))
    }
    fn supports_srcrev(&self) -> Result<bool> {
        Ok(false)
    }
    /// Fetches from the URL's own host.
    fn download(&self, ud: &mut UrlData, _cx: &Cx<'_>) -> Result<()> {
        Err(FetchError::NoMethod { url: ud.url.clone() })
    }
    /// Makes the archive by which mirrors keep a repository.
    fn build_mirror_data(&self, _ud: &mut UrlData, _cx: &Cx<'_>) -> Result<()> {
        Ok(())
    }
    fn unpack(&self, ud: &mut UrlData, root: &str, cx: &Cx<'_>) -> Result<()> {
        crate::unpack::unpack(ud, root, cx)
    }
    fn unpack_update(&self, ud: &mut UrlData, _root: &str, _cx: &Cx<'_>) -> Result<()> {
        Err(FetchError::Runtime(format!("No method available for this url type: {}", ud.scheme)))
    }
    fn clean(&self, ud: &mut UrlData, _cx: &Cx<'_>) -> Result<()> {
        files::remove(ud.local(), false)
    }
    /// A mirror's local file takes the place of the download.
    fn update_mirror_links(&self, ud: &UrlData, origin: &UrlData) -> Result<()> {
        files::ensure_symlink(ud.local(), origin.local())
    }
    fn try_premirror(&self, _ud: &mut UrlData, _cx: &Cx<'_>) -> Result<bool> {
        Ok(true)
    }
    fn try_mirrors(&self, ud: &mut UrlData, cx: &Cx<'_>, mirrors: &[mirror::Pair], check: bool) -> Result<bool> {
        mirror::try_all(ud, cx, mirrors, check)
    }
    /// Is it there upstream?
    fn checkstatus(&self, ud: &mut UrlData, cx: &Cx<'_>) -> Result<bool> {
        cx.info(format!("URL {} could not be checked for status since no method exists.", ud.url));
        Ok(true)
    }
    /// Can the newest revision be asked for?
    fn asks_upstream(&self) -> bool {
        false
    }
    fn revision_key(&self, ud: &UrlData, _cx: &Cx<'_>, _name: &str) -> Result<String> {
        Ok(format!("{}:{}", self.name(), ud.url))
    }
    fn ask_latest_revision(&self, ud: &UrlData, _cx: &Cx<'_>, _name: &str) -> Result<String> {
        Err(unsupported(ud, "asking for the latest revision"))
    }
    /// Revision for use in a version; true: it does not sort by itself.
    fn sortable_revision(&self, ud: &mut UrlData, _cx: &Cx<'_>, _name: &str) -> Result<(bool, String)> {
        Ok((true, ud.revision.clone().unwrap_or_else(|| "None".into())))
    }
    /// The revision written in the way `form` names: `sortable_revision`, or one of the method's own.
    fn formatted_revision(&self, ud: &mut UrlData, cx: &Cx<'_>, name: &str, form: &str) -> Result<(bool, String)> {
        match form {
            "sortable_revision" => self.sortable_revision(ud, cx, name),
            other => Err(FetchError::parameter(format!("The fetcher for this URL does not support {other}"), &ud.url)),
        }
    }
    /// Version and revision of the newest release, empty if unknown.
    fn latest_versionstring(&self, _ud: &mut UrlData, _cx: &Cx<'_>) -> Result<(String, String)> {
        Ok(Default::default())
    }
    fn done(&self, ud: &mut UrlData, _cx: &Cx<'_>) -> Result<bool> {
        Ok(files::exists(ud.local()))
    }
    /// Further URLs that come with this one.
    fn implicit_urldata(&self, _ud: &mut UrlData, _cx: &Cx<'_>) -> Result<Vec<UrlData>> {
        Ok(Vec::new())
    }
}

/// The error of what is not built yet.
pub fn unsupported(ud: &UrlData, what: &str) -> FetchError {
    FetchError::at(format!("{what} is not supported yet for {}:// URLs", ud.scheme), &ud.url)
}

/// The revision, asking upstream where the recipe names none.
fn revision_or_latest(ud: &mut UrlData, cx: &Cx<'_>) -> Result<()> {
    if ud.revision.as_deref().unwrap_or("").is_empty() {
        let name = ud.name.clone();
        ud.revision = Some(srcrev::latest(ud, cx, &name)?);
    }
    Ok(())
}

/// Stands in a `UrlData` until its method is chosen.
pub struct Unsupported;
impl Method for Unsupported {
    fn name(&self) -> &'static str {
        "none"
    }
    fn supports(&self, _ud: &UrlData, _cx: &Cx<'_>) -> Result<bool> {
        Ok(false)
    }
}

/// Our methods, in the order in which they are asked.
pub fn builtin() -> Arc<[Arc<dyn Method>]> {
    static ALL: OnceLock<Arc<[Arc<dyn Method>]>> = OnceLock::new();
    ALL.get_or_init(|| {
        Arc::new([
            Arc::new(local::Local),
            Arc::new(wget::Wget),
            Arc::new(svn::Svn),
            Arc::new(git::Git),
            Arc::new(gitsm::GitSubmodules),
            Arc::new(gitsm::GitAnnex),
            Arc::new(ssh::Ssh),
            Arc::new(ssh::Sftp),
            Arc::new(storage::S3),
            Arc::new(perforce::Perforce),
            Arc::new(hg::Hg),
            Arc::new(repo::Repo),
            Arc::new(clearcase::ClearCase),
            Arc::new(npm::Npm),
            Arc::new(npmsw::NpmShrinkWrap),
            Arc::new(storage::Azure),
            Arc::new(crates::Crate),
            Arc::new(storage::Google),
            Arc::new(gomod::GoMod),
            Arc::new(gomod::GoModGit),
        ])
    })
    .clone()
}

/// One of ours by its name.
pub fn by_name(name: &str) -> Option<Arc<dyn Method>> {
    builtin().iter().find(|m| m.name() == name).cloned()
}

#[cfg(test)]
mod tests {
    #[test]
    fn names_are_unique() {
        let mut names: Vec<_> = super::builtin().iter().map(|m| m.name()).collect();
        assert_eq!(names.len(), 20);
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), 20);
        assert!(super::by_name("git").is_some());
    }
}
