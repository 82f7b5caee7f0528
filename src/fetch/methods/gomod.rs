//! `gomod://` and `gomodgit://`: Go modules, from a module proxy or from their repository, laid out
//! as the go command's module cache.

use super::git::{self, Git};
use super::{Method, wget};
use crate::command::run;
use crate::context::Cx;
use crate::error::{FetchError, Result};
use crate::files;
use crate::uri::{Decoded, encode_url};
use crate::urldata::{UrlData, basename, dirname, join};
use sha2::{Digest, Sha256};

/// Go's file names have no capitals: `A` is `!a`.
pub fn escape(text: &str) -> String {
    text.chars().flat_map(|c| if c.is_ascii_uppercase() { vec!['!', c.to_ascii_lowercase()] } else { vec![c] }).collect()
}

fn module(ud: &UrlData) -> String {
    if ud.path == "/" { ud.host.clone() } else { format!("{}{}", ud.host, ud.path) }
}

pub struct GoMod;

impl Method for GoMod {
    fn name(&self) -> &'static str {
        "gomod"
    }
    fn supports(&self, ud: &UrlData, _cx: &Cx<'_>) -> Result<bool> {
        Ok(ud.scheme == "gomod")
    }
    fn recommends_checksum(&self, _ud: &UrlData) -> Result<bool> {
        Ok(true)
    }
    fn urldata_init(&self, ud: &mut UrlData, cx: &Cx<'_>) -> Result<()> {
        let proxy = cx.var_or("GO_MOD_PROXY", "proxy.golang.org")?;
        let cache = cx.var_or("GO_MOD_CACHE_DIR", "pkg/mod")?;
        let version = ud.require("version")?;
        let module = module(ud);
        let suffix = if ud.parm_on("mod") { ".mod" } else { ".zip" };
        let path = escape(&format!("{module}/@v/{version}{suffix}"));
        ud.url = encode_url(&Decoded { scheme: "https".into(), host: proxy, path: format!("/{path}"), ..Default::default() })?;
        let mut put = |name: &str, value: String| ud.parm.insert(name.into(), Some(value));
        put("module", module.clone());
        put("downloadfilename", format!("{}@{version}{suffix}", module.replace('/', ".")));
        put("name", format!("{module}@{version}"));
        put("unpackpath", format!("{}/{path}", join(&cache, "cache/download")));
        wget::init(ud)
    }
    fn download(&self, ud: &mut UrlData, cx: &Cx<'_>) -> Result<()> {
        wget::download(ud, cx)
    }
    fn checkstatus(&self, ud: &mut UrlData, cx: &Cx<'_>) -> Result<bool> {
        wget::checkstatus(ud, cx)
    }
    fn unpack(&self, ud: &mut UrlData, root: &str, cx: &Cx<'_>) -> Result<()> {
        let target = join(root, &ud.parm_or("unpackpath", ""));
        let dir = dirname(&target).to_owned();
        files::mkdir(&dir)?;
        cx.host.trace_unpack(ud, "file-copy", &dir)?;
        let name = basename(&target).to_owned();
        cx.note(format!("Unpacking {name} to {dir}/"));
        std::fs::copy(ud.local(), &target).map_err(|e| FetchError::io(&e, ud.local()))?;
        let Some(stem) = name.strip_suffix(".zip") else { return Ok(()) };
        let name = format!("{stem}.mod");
        cx.note(format!("Unpacking {name} to {dir}/"));
        let module = ud.parm_or("module", "");
        let wanted = format!("{module}@{}/go.mod", ud.parm_or("version", ""));
        let members = crate::zip::members(ud.local()).ok_or_else(|| FetchError::unpack("File is not a zip file", &ud.url))?;
        let content = members.into_iter().find(|(n, _)| *n == wanted).map(|(_, c)| c);
        // A module without one gets the shortest there is.
        let content = content.unwrap_or_else(|| format!("module {module}\n").into_bytes());
        let file = join(&dir, &name);
        std::fs::write(&file, content).map_err(|e| FetchError::io(&e, file))
    }
}

pub struct GoModGit;

impl Method for GoModGit {
    fn name(&self) -> &'static str {
        "gomodgit"
    }
    fn supports(&self, ud: &UrlData, _cx: &Cx<'_>) -> Result<bool> {
        Ok(ud.scheme == "gomodgit")
    }
    fn urldata_init(&self, ud: &mut UrlData, cx: &Cx<'_>) -> Result<()> {
        let cache = cx.var_or("GO_MOD_CACHE_DIR", "pkg/mod")?;
        let version = ud.require("version")?;
        let module = module(ud);
        ud.parm.insert("module".into(), Some(module.clone()));
        if let Some(repo) = ud.parm_text("repo") {
            let at = repo.find('/').unwrap_or(repo.len());
            (ud.host, ud.path) = (repo[..at].to_owned(), repo[at..].to_owned());
        }
        ud.parm.entry("protocol".into()).or_insert_with(|| Some("https".into()));
        ud.name = format!("{module}@{version}");
        let variable = format!("SRCREV_{}", ud.name);
        match (cx.var(&variable)?.filter(|r| !r.is_empty()), ud.parm_text("srcrev")) {
            (Some(set), None) => drop(ud.parm.insert("srcrev".into(), Some(set))),
            (None, Some(given)) => cx.set(&variable, given)?,
            _ => {}
        }
        if !ud.parm.contains_key("branch") {
            ud.parm.insert("nobranch".into(), Some("1".into()));
        }
        if let Some(subdir) = ud.parm_text("subdir") {
            ud.parm.insert("subpath".into(), Some(subdir));
        }
        let key = format!("git3:{}://{}{}", ud.parm_or("protocol", ""), ud.host, ud.path);
        let vcs = join(&join(&cache, "cache/vcs"), &hex::encode(Sha256::digest(key.as_bytes())));
        ud.parm.insert("key".into(), Some(key));
        ud.parm.insert("subdir".into(), Some(vcs));
        ud.parm.insert("bareclone".into(), Some("1".into()));
        git::init(ud, cx, "gomodgit")
    }
    fn unpack(&self, ud: &mut UrlData, root: &str, cx: &Cx<'_>) -> Result<()> {
        Git.unpack(ud, root, cx)?;
        let cache = cx.var_or("GO_MOD_CACHE_DIR", "pkg/mod")?;
        let module = ud.parm_or("module", "");
        let repository = join(root, &ud.parm_or("subdir", ""));
        let write = |file: String, content: &[u8]| std::fs::write(&file, content).map_err(|e| FetchError::io(&e, file));
        write(format!("{repository}.info"), ud.parm_or("key", "").as_bytes())?;
        let dir = join(root, &join(&join(&cache, "cache/download"), &format!("{}/@v", escape(&module))));
        files::mkdir(&dir)?;
        let (revision, version) = (ud.require("srcrev")?, ud.parm_or("version", ""));
        let subpath = ud.parm_text("subpath");
        let mut command = format!("git ls-tree -r --name-only '{revision}'");
        if let Some(subpath) = &subpath {
            command.push_str(&format!(" '{subpath}'"));
        }
        let list = run(cx, &command, Some(&repository))?;
        let names: Vec<&str> = list.split_whitespace().collect();
        let blob = |name: &str| -> Result<Vec<u8>> {
            let out = std::process::Command::new("git")
                .args(["cat-file", "blob", &format!("{revision}:{name}")])
                .current_dir(&repository)
                .stderr(std::process::Stdio::inherit())
                .output()
                .map_err(|e| FetchError::io(&e, "git"))?;
            if out.status.success() { Ok(out.stdout) } else { Err(FetchError::unpack(format!("git has no {name}"), &ud.url)) }
        };
        let escaped = escape(&version);
        cx.note(format!("Unpacking {escaped}.mod to {dir}/"));
        let wanted = subpath.as_deref().map_or("go.mod".to_owned(), |s| join(s, "go.mod"));
        let content =
            if names.contains(&wanted.as_str()) { blob(&wanted)? } else { format!("module {module}\n").into_bytes() };
        write(format!("{dir}/{escaped}.mod"), &content)?;
        cx.note(format!("Unpacking {escaped}.zip to {dir}/"));
        let members: Vec<(String, Vec<u8>)> =
            names.iter().map(|n| Ok((format!("{module}@{version}/{n}"), blob(n)?))).collect::<Result<_>>()?;
        write(format!("{dir}/{escaped}.zip"), &crate::zip::stored(&members))
    }
    git::shared!();
}

#[cfg(test)]
mod tests {
    #[test]
    fn capitals() {
        assert_eq!(super::escape("github.com/Azure/X"), "github.com/!azure/!x");
    }
}
