//! `FetchData`: everything known about one URL of SRC_URI before it is fetched.

use crate::context::Cx;
use crate::error::{FetchError, Result};
use crate::methods::Method;
use crate::srcrev;
use crate::uri::{Params, decode_url};
use hz_data::Value;
pub use hz_versions::paths::{basename, dirname, join};
use indexmap::IndexMap;
use std::any::Any;
use std::fmt;
use std::sync::Arc;

/// Checksums in the order in which they are computed, stored and compared.
pub const CHECKSUMS: [&str; 6] = ["goh1", "md5", "sha256", "sha1", "sha384", "sha512"];
/// Those that messages suggest for a recipe.
pub const SHOWN_CHECKSUM: &str = "sha256";
/// Schemes whose checksums may stand in flags of SRC_URI.
const CHECKSUM_FLAG_SCHEMES: [&str; 11] =
    ["http", "https", "ftp", "ftps", "sftp", "s3", "az", "crate", "gs", "gomod", "npm"];

/// A checksum that the recipe gives, or could give.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sum {
    /// One of [`CHECKSUMS`].
    pub id: &'static str,
    /// Parameter or SRC_URI flag: `NAME.sha256sum` or `sha256sum`.
    pub name: String,
    pub expected: Option<String>,
}

#[derive(Clone)]
pub struct UrlData {
    pub url: String,
    pub scheme: String,
    pub host: String,
    pub path: String,
    pub user: String,
    pub pswd: String,
    pub parm: Params,
    /// SRCDATE of the component.
    pub date: Option<String>,
    /// Parameter `name`, else "default".
    pub name: String,
    pub method: Arc<dyn Method>,
    /// File name in DL_DIR (or a full path); empty: the file is local.
    pub localfile: String,
    pub localpath: Option<String>,
    pub basename: Option<String>,
    pub basepath: Option<String>,
    pub donestamp: Option<String>,
    pub lockfile: Option<String>,
    pub needdonestamp: bool,
    /// Archive names that stand for this URL on a mirror, best first.
    pub mirrortarballs: Vec<String>,
    pub ignore_checksums: bool,
    pub revision: Option<String>,
    pub sums: Vec<Sum>,
    /// What a method keeps for itself, by the names that its Python class has always used.
    pub extra: IndexMap<String, Value>,
    /// The Python object this mirrors, where there is one.
    pub foreign: Option<Arc<dyn Any + Send + Sync>>,
}

impl fmt::Debug for UrlData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UrlData").field("url", &self.url).field("localpath", &self.localpath).finish_non_exhaustive()
    }
}

impl UrlData {
    /// Decodes `url` and lets the first method that supports it name its files.
    ///
    /// # Errors
    /// [`FetchError::NonLocal`] with `localonly` for anything but `file://`;
    /// [`FetchError::NoMethod`]; what the method finds wrong with the parameters.
    pub fn new(url: &str, cx: &Cx<'_>, localonly: bool) -> Result<UrlData> {
        let mut ud = UrlData::decode(url, cx)?;
        ud.complete(cx, localonly)?;
        Ok(ud)
    }

    /// The fields that follow from the text of the URL alone.
    pub fn decode(url: &str, cx: &Cx<'_>) -> Result<UrlData> {
        let decoded = decode_url(&cx.d.expand(url, None)?)?;
        let parm = decoded.params;
        let text = |name: &str| parm.get(name).and_then(|v| v.clone());
        let or_parm = |value: String, name: &str| if value.is_empty() { text(name).unwrap_or_default() } else { value };
        let ud = UrlData {
            url: url.to_owned(),
            scheme: decoded.scheme,
            host: decoded.host,
            path: decoded.path,
            user: or_parm(decoded.user, "user"),
            pswd: or_parm(decoded.pswd, "pswd"),
            date: None,
            name: text("name").unwrap_or_else(|| "default".into()),
            method: Arc::new(crate::methods::Unsupported),
            parm,
            localfile: String::new(),
            localpath: None,
            basename: None,
            basepath: None,
            donestamp: None,
            lockfile: None,
            needdonestamp: true,
            mirrortarballs: Vec::new(),
            ignore_checksums: false,
            revision: None,
            sums: Vec::new(),
            extra: IndexMap::new(),
            foreign: None,
        };
        Ok(UrlData { date: ud.source_date(cx)?, ..ud })
    }

    /// Chooses the method and lets it fill in the rest.
    pub fn complete(&mut self, cx: &Cx<'_>, localonly: bool) -> Result<()> {
        if self.name.contains(',') {
            return Err(FetchError::parameter(
                "The fetcher no longer supports multiple name parameters in a single url",
                &self.url,
            ));
        }
        let mut chosen = None;
        for method in cx.host.methods().iter() {
            if method.supports(self, cx)? {
                chosen = Some(method.clone());
                break;
            }
        }
        self.method = chosen.ok_or_else(|| FetchError::NoMethod { url: self.url.clone() })?;
        if localonly && !self.method.is_local() {
            return Err(FetchError::NonLocal);
        }
        if let Some(proto) = self.parm_text("proto").filter(|p| !p.is_empty())
            && !self.parm.contains_key("protocol")
        {
            cx.warning(format!(
                "Consider updating {} recipe to use \"protocol\" not \"proto\" in SRC_URI.",
                cx.var("PN")?.unwrap_or_else(|| "None".into())
            ));
            self.parm.insert("protocol".into(), Some(proto));
        }
        let url = self.url.clone();
        let method = self.method.clone();
        method.urldata_init(self, cx)?;
        self.sums = CHECKSUMS.iter().map(|id| self.sum(id, cx)).collect::<Result<_>>()?;
        self.ignore_checksums = false;
        if let Some(path) = self.parm_text("localpath") {
            self.basename = Some(basename(&path).to_owned());
            self.localpath = Some(path);
        } else if !self.localfile.is_empty() {
            self.localpath = Some(method.localpath(self, cx)?);
        }
        if !self.needdonestamp {
            return Ok(());
        }
        // Stamps and locks always stand in DL_DIR, the file itself need not.
        let dldir = cx.dldir()?;
        let base = match (&self.localpath, &self.basepath, &self.basename) {
            (Some(path), _, _) if path.starts_with(&dldir) => path.clone(),
            (Some(path), _, _) => format!("{dldir}/{}", basename(path)),
            (None, Some(name), _) if !name.is_empty() => format!("{dldir}/{name}"),
            (None, _, Some(name)) if !name.is_empty() => format!("{dldir}/{name}"),
            _ => return Err(FetchError::Fatal(format!("Can't determine lock path for url {url}"))),
        };
        self.donestamp = Some(format!("{base}.done"));
        self.lockfile = Some(format!("{base}.lock"));
        Ok(())
    }

    fn sum(&self, id: &'static str, cx: &Cx<'_>) -> Result<Sum> {
        let plain = format!("{id}sum");
        let named = match self.parm_text("name") {
            Some(name) => format!("{name}.{plain}"),
            None => plain.clone(),
        };
        let (name, expected) = if let Some(value) = self.parm.get(&named) {
            (named, value.clone())
        } else if let Some(value) = self.parm.get(&plain) {
            (plain, value.clone())
        } else if CHECKSUM_FLAG_SCHEMES.contains(&self.scheme.as_str()) {
            let value = cx.d.flag_text("SRC_URI", &named)?.map(|v| v.to_string());
            (named, value)
        } else {
            (named, None)
        };
        Ok(Sum { id, name, expected })
    }

    /// `getSRCDate`: parameter srcdate, SRCDATE_PN, SRCDATE, DATE.
    fn source_date(&self, cx: &Cx<'_>) -> Result<Option<String>> {
        if let Some(date) = self.parm_text("srcdate") {
            return Ok(Some(date));
        }
        let mut names = Vec::new();
        if let Some(pn) = cx.var("PN")?.filter(|pn| !pn.is_empty()) {
            names.push(format!("SRCDATE_{pn}"));
        }
        names.push("SRCDATE".into());
        for name in names {
            if let Some(date) = cx.var(&name)?.filter(|d| !d.is_empty()) {
                return Ok(Some(date));
            }
        }
        cx.var("DATE")
    }

    /// Finds out the local path, if the method did not say it at once.
    pub fn setup_localpath(&mut self, cx: &Cx<'_>) -> Result<()> {
        if self.localpath.as_deref().unwrap_or("").is_empty() {
            self.localpath = Some(self.method.clone().localpath(self, cx)?);
        }
        Ok(())
    }
    /// Sets the revision from SRCREV and the parameters.
    pub fn setup_revisions(&mut self, cx: &Cx<'_>) -> Result<()> {
        let name = self.name.clone();
        self.revision = srcrev::source_revision(self, cx, &name)?;
        Ok(())
    }

    /// A parameter with a value.
    pub fn parm_text(&self, name: &str) -> Option<String> {
        self.parm.get(name).and_then(|v| v.clone())
    }
    pub fn parm_or(&self, name: &str, default: &str) -> String {
        self.parm_text(name).unwrap_or_else(|| default.to_owned())
    }
    /// A parameter that is exactly "1".
    pub fn parm_on(&self, name: &str) -> bool {
        self.parm.get(name).is_some_and(|v| v.as_deref() == Some("1"))
    }
    /// The local path, empty while unknown.
    pub fn local(&self) -> &str {
        self.localpath.as_deref().unwrap_or("")
    }

    pub fn put(&mut self, name: &str, value: impl Into<Value>) {
        self.extra.insert(name.to_owned(), value.into());
    }
    pub fn put_bool(&mut self, name: &str, value: bool) {
        self.extra.insert(name.to_owned(), Value::Bool(value));
    }
    pub fn put_list(&mut self, name: &str, items: &[String]) {
        self.extra.insert(name.to_owned(), Value::List(Arc::new(items.iter().map(|s| Value::from(s.as_str())).collect())));
    }
    /// A text of the method's own, empty if unset.
    pub fn text(&self, name: &str) -> String {
        match self.extra.get(name) {
            None | Some(Value::None) => String::new(),
            Some(v) => v.to_text().to_string(),
        }
    }
    pub fn is(&self, name: &str) -> bool {
        self.extra.get(name).is_some_and(Value::is_true)
    }
    pub fn list(&self, name: &str) -> Vec<String> {
        match self.extra.get(name) {
            Some(Value::List(l)) => l.iter().map(|v| v.to_text().to_string()).collect(),
            _ => Vec::new(),
        }
    }
    /// Makes the parameter `name` mandatory.
    pub fn require(&self, name: &str) -> Result<String> {
        self.parm.get(name).map(|v| v.clone().unwrap_or_default()).ok_or_else(|| FetchError::missing(name, &self.url))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        assert_eq!((basename("/a/b"), basename("a/")), ("b", ""));
        assert_eq!((dirname("/a/b"), dirname("/a"), dirname("a"), dirname("/a//b")), ("/a", "/", "", "/a"));
        assert_eq!(join("a/", "b"), "a/b");
        assert_eq!(join("a", "/b"), "/b");
        assert_eq!(join("a", ""), "a/");
    }
}
