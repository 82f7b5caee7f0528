//! `crate://HOST/NAME/VERSION`: a crate of a Cargo registry; unpacked as Cargo's vendored sources.

use super::{Method, wget};
use crate::context::Cx;
use crate::error::{FetchError, Result};
use crate::files;
use crate::unpack;
use crate::urldata::{UrlData, basename, join};
use sha2::{Digest, Sha256};

pub struct Crate;

impl Method for Crate {
    fn name(&self) -> &'static str {
        "crate"
    }
    fn supports(&self, ud: &UrlData, _cx: &Cx<'_>) -> Result<bool> {
        Ok(ud.scheme == "crate")
    }
    fn recommends_checksum(&self, _ud: &UrlData) -> Result<bool> {
        Ok(true)
    }
    fn urldata_init(&self, ud: &mut UrlData, cx: &Cx<'_>) -> Result<()> {
        let parts: Vec<&str> = ud.url.split('/').collect();
        if parts.len() < 5 {
            return Err(FetchError::parameter("Invalid URL: Must be crate://HOST/NAME/VERSION", &ud.url));
        }
        let version = parts[parts.len() - 1].split(';').next().unwrap_or("").to_owned();
        let name = parts[parts.len() - 2].to_owned();
        let host = parts[2..parts.len() - 2].join("/");
        let versions;
        if host == "crates.io" {
            ud.url = format!("https://static.crates.io/crates/{name}/{version}/download");
            versions = format!("https://index.crates.io/{}", index_path(&name));
        } else {
            ud.url = format!("https://{host}/{name}/{version}/download");
            versions = format!("https://{host}/{name}/versions");
        }
        ud.put("versionsurl", versions);
        let file = format!("{name}-{version}.crate");
        cx.debug2(format!("Fetching {} to {file}", ud.url));
        ud.parm.insert("downloadfilename".into(), Some(file));
        ud.parm.entry("name".into()).or_insert_with(|| Some(format!("{name}-{version}")));
        wget::init(ud)
    }
    fn download(&self, ud: &mut UrlData, cx: &Cx<'_>) -> Result<()> {
        wget::download(ud, cx)
    }
    fn checkstatus(&self, ud: &mut UrlData, cx: &Cx<'_>) -> Result<bool> {
        wget::checkstatus(ud, cx)
    }
    fn unpack(&self, ud: &mut UrlData, root: &str, cx: &Cx<'_>) -> Result<()> {
        let file = ud.local().to_owned();
        // The recipe's own sources go where sources go, everything else to Cargo's vendor directory.
        if cx.var("BP")?.is_some_and(|bp| Some(bp) == ud.parm_text("name")) {
            cx.host.trace_unpack(ud, "crate-extract", root)?;
            return unpack::run(ud, &format!("tar -xz --no-same-owner -f {file}"), &file, root, cx);
        }
        let vendor = join(root, "cargo_home/bitbake");
        cx.host.trace_unpack(ud, "cargo-extract", &vendor)?;
        files::mkdir(&vendor)?;
        let content = std::fs::read(&file).map_err(|e| FetchError::io(&e, file.as_str()))?;
        unpack::run(ud, &format!("tar -xz --no-same-owner -f {file} -C {vendor}"), &file, root, cx)?;
        let name = basename(&file);
        let name = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
        let checksums = format!("{vendor}/{name}/.cargo-checksum.json");
        let text = format!("{{\"files\": {{}}, \"package\": \"{}\"}}", hex::encode(Sha256::digest(&content)));
        std::fs::write(&checksums, text).map_err(|e| FetchError::io(&e, checksums))
    }
    fn latest_versionstring(&self, ud: &mut UrlData, _cx: &Cx<'_>) -> Result<(String, String)> {
        Err(super::unsupported(ud, "looking for newer releases"))
    }
}

/// Where a registry's index keeps a crate.
fn index_path(name: &str) -> String {
    match name.len() {
        1 | 2 => format!("{}/{name}", name.len()),
        3 => format!("3/{}/{name}", &name[..1]),
        _ => match (name.get(..2), name.get(2..4)) {
            (Some(a), Some(b)) => format!("{a}/{b}/{name}"),
            _ => name.to_owned(),
        },
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn index_paths() {
        assert_eq!(super::index_path("a"), "1/a");
        assert_eq!(super::index_path("abc"), "3/a/abc");
        assert_eq!(super::index_path("serde"), "se/rd/serde");
    }
}
