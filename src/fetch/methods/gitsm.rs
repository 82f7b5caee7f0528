//! `gitsm://` and `gitannex://`: git with submodules, git with large files in an annex. The contents of
//! an annex cannot be fetched yet.
//!
//! Every submodule is a `gitsm://` URL of its own, fetched as a bare clone and unpacked where git keeps
//! the submodules of a checkout.

use super::git::{self, Git};
use super::Method;
use crate::command::run;
use crate::context::Cx;
use crate::error::{FetchError, Result};
use crate::fetcher;
use crate::files;
use crate::urldata::{UrlData, dirname, join};

/// A submodule of a revision.
struct Submodule {
    name: String,
    /// Where it is checked out.
    path: String,
    /// As a `gitsm://` URL.
    url: String,
    revision: String,
}

/// (name, path, url) of each section of a `.gitmodules` that has both.
fn sections(gitmodules: &str) -> Vec<(String, String, String)> {
    let mut found: Vec<(String, String, String)> = Vec::new();
    for line in gitmodules.lines() {
        if line.starts_with("[submodule") {
            let name = line.split('"').nth(1).unwrap_or_default().to_owned();
            found.push((name, String::new(), String::new()));
        } else if let (Some(section), Some((key, value))) = (found.last_mut(), line.split_once('=')) {
            let value = value.split('=').next().unwrap_or_default().trim().to_owned();
            match key.trim() {
                "path" => section.1 = value,
                "url" => section.2 = value,
                _ => {}
            }
        }
    }
    found.retain(|(_, path, url)| !path.is_empty() && !url.is_empty());
    found
}

/// The address in a `.gitmodules` as (URL, protocol).
fn address(ud: &UrlData, cx: &Cx<'_>, url: &str) -> (String, String) {
    if let Some((proto, _)) = url.split_once("://") {
        return (url.replacen(&format!("{proto}:"), "gitsm:", 1), proto.to_owned());
    }
    if !url.contains(':') {
        return (format!("gitsm://{url}"), "file".to_owned());
    }
    // As ssh is used with: host:path.
    if url.contains(":/") {
        return (format!("gitsm://{}", url.replacen(":/", "/", 1)), "ssh".to_owned());
    }
    cx.warning(format!(
        "Submodule included by {} refers to relative ssh reference {url}.  References may fail if not absolute.",
        ud.url
    ));
    (format!("gitsm://{}", url.replacen(':', "/", 1)), "ssh".to_owned())
}

/// The submodules of the URL's revision, as the repository in `workdir` tells.
fn submodules(ud: &UrlData, cx: &Cx<'_>, workdir: &str) -> Result<Vec<Submodule>> {
    let revision = ud.revision.clone().unwrap_or_default();
    // What git fails at has no submodules, or not this one.
    let ask = |arguments: String| match run(cx, &format!("{} {arguments}", ud.text("basecmd")), Some(workdir)) {
        Err(e) if e.is_fetch() => Ok(String::new()),
        other => other,
    };
    let mut found = Vec::new();
    if !files::exists(workdir) {
        return Ok(found);
    }
    for (name, path, mut url) in sections(&ask(format!("show {revision}:.gitmodules"))?) {
        let entry = ask(format!("ls-tree -z -d {revision} {path}"))?;
        let Some(wanted) = entry.split_whitespace().nth(2) else {
            cx.debug(format!("submodule {name} is defined, but is not initialized in the repository. Skipping"));
            continue;
        };
        if url.starts_with("..") || url.starts_with("./") {
            url = git::repository_at(ud, &crate::cache::normal(&join(&ud.path, &url)));
        }
        let (url, proto) = address(ud, cx, &url);
        if url.ends_with(&format!("{}{}", ud.host, ud.path)) {
            return Err(FetchError::new(
                "Submodule refers to the parent repository. This will cause deadlock situation in current version of Bitbake.Consider using git fetcher instead.",
            ));
        }
        let lfs = i32::from(Git::wants_lfs(ud));
        let url = format!("{url};protocol={proto};name={name};subpath={name};nobranch=1;lfs={lfs};bareclone=1;nobranch=1");
        found.push(Submodule { name, path, url, revision: wanted.to_owned() });
    }
    Ok(found)
}

/// Gives every submodule to `work`, with a store in which its revision is set.
fn each(
    ud: &UrlData, cx: &Cx<'_>, workdir: &str, work: &mut dyn FnMut(&Submodule, &Cx<'_>) -> Result<()>,
) -> Result<bool> {
    let found = submodules(ud, cx, workdir)?;
    for module in &found {
        let copy = cx.d.create_copy();
        let inner = cx.with(&copy);
        inner.set(&format!("SRCREV_{}", module.name), &*module.revision)?;
        // Only the repository of the recipe's own URL counts for versions.
        if let Some(srcpv) = cx.var("SRCPV")? {
            inner.set("SRCPV", srcpv)?;
        }
        inner.set("SRCREV_FORMAT", &*module.name)?;
        work(module, &inner)?;
    }
    Ok(!found.is_empty())
}

/// The same where the repository may be an archive only.
fn each_downloaded(
    ud: &UrlData, cx: &Cx<'_>, look_inside: bool, work: &mut dyn FnMut(&Submodule, &Cx<'_>) -> Result<()>,
) -> Result<()> {
    let (clone, archive) = (ud.text("clonedir"), ud.text("fullshallow"));
    if !(ud.is("shallow") && files::exists(&archive) && (look_inside || !files::exists(&clone))) {
        return each(ud, cx, &clone, work).map(drop);
    }
    let dldir = cx.dldir()?;
    let folder = tempfile::tempdir_in(&dldir).map_err(|e| FetchError::io(&e, dldir))?;
    let path = folder.path().to_string_lossy().into_owned();
    run(cx, &format!("tar -xzf {archive}"), Some(&path))?;
    each(ud, cx, &path, work).map(drop)
}

/// Tells what failed with a submodule; the error goes on.
fn told<T>(cx: &Cx<'_>, what: &str, result: Result<T>) -> Result<T> {
    result.inspect_err(|e| cx.error(format!("gitsm: submodule {what} failed: {e}")))
}

pub struct GitSubmodules;

impl Method for GitSubmodules {
    fn name(&self) -> &'static str {
        "gitsm"
    }
    fn supports(&self, ud: &UrlData, _cx: &Cx<'_>) -> Result<bool> {
        Ok(ud.scheme == "gitsm")
    }
    fn urldata_init(&self, ud: &mut UrlData, cx: &Cx<'_>) -> Result<()> {
        git::init(ud, cx, "gitsm")
    }
    fn need_update(&self, ud: &mut UrlData, cx: &Cx<'_>) -> Result<bool> {
        if Git.need_update(ud, cx)? {
            return Ok(true);
        }
        let mut outdated = Vec::new();
        let look_inside = !files::exists(&ud.text("clonedir"));
        each_downloaded(ud, cx, look_inside, &mut |module, cx| {
            let asked = UrlData::new(&module.url, cx, false).and_then(|mut ud| ud.method.clone().need_update(&mut ud, cx));
            // Whoever downloads next is told again, and fails.
            if let Ok(true) = told(cx, "update check", asked) {
                outdated.push(module.path.clone());
            }
            Ok(())
        })?;
        if !outdated.is_empty() {
            cx.debug(format!("gitsm: Submodules requiring update: {}", outdated.join(" ")));
        }
        Ok(!outdated.is_empty())
    }
    fn download(&self, ud: &mut UrlData, cx: &Cx<'_>) -> Result<()> {
        Git.download(ud, cx)?;
        let look_inside = self.need_update(ud, cx)?;
        each_downloaded(ud, cx, look_inside, &mut |module, cx| {
            let fetched = UrlData::new(&module.url, cx, false).and_then(|mut ud| fetcher::download([(&*module.url, &mut ud)], cx));
            told(cx, "download", fetched)
        })
    }
    fn unpack(&self, ud: &mut UrlData, root: &str, cx: &Cx<'_>) -> Result<()> {
        Git.unpack(ud, root, cx)?;
        let dir = ud.text("destdir");
        let git = ud.text("basecmd");
        let bare = ud.is("bareclone");
        let modules = join(&if bare { dir.clone() } else { join(&dir, ".git") }, "modules");
        let shallow = ud.is("shallow");
        let any = each(ud, cx, &dir, &mut |module, cx| {
            let place = join(&modules, &module.name);
            let unpacked = UrlData::new(&module.url, cx, false).and_then(|mut inner| {
                // The tracer wants to know where the submodule will be checked out.
                inner.put("modpath", module.path.clone());
                inner.setup_localpath(cx)?;
                let _lock = inner.lockfile.as_deref().map(files::lock).transpose()?;
                fetcher::unpack(&mut inner, dirname(&place), false, cx)?;
                Ok(inner)
            });
            let inner = told(cx, "unpack", unpacked)?;
            // git takes it from the download, and checks out of what looks bare to it.
            run(cx, &format!("{git} config submodule.{}.url {}", module.name, inner.local()), Some(&dir))?;
            if shallow {
                run(cx, &format!("{git} config submodule.{}.shallow true", module.name), Some(&dir))?;
            }
            let normal = run(cx, &format!("{git} config core.bare false"), Some(&place));
            normal.map(drop).inspect_err(|_| cx.error(format!("Unable to set git config core.bare to false for {place}")))
        })?;
        if any && !bare {
            let skip = if Git::wants_lfs(ud) { "" } else { "GIT_LFS_SKIP_SMUDGE=1 " };
            run(cx, &format!("{skip}{git} submodule update --recursive --no-fetch"), Some(&dir))?;
        }
        Ok(())
    }
    fn unpack_update(&self, ud: &mut UrlData, root: &str, cx: &Cx<'_>) -> Result<()> {
        Git.unpack_update(ud, root, cx)
    }
    fn clean(&self, ud: &mut UrlData, cx: &Cx<'_>) -> Result<()> {
        each_downloaded(ud, cx, true, &mut |module, cx| {
            let cleaned = UrlData::new(&module.url, cx, false).and_then(|mut ud| fetcher::clean(&mut ud, cx));
            if let Err(e) = cleaned {
                cx.warning(format!("gitsm: submodule clean failed: {e}"));
            }
            Ok(())
        })?;
        Git.clean(ud, cx)
    }
    fn implicit_urldata(&self, ud: &mut UrlData, cx: &Cx<'_>) -> Result<Vec<UrlData>> {
        let look_inside = self.need_update(ud, cx)?;
        let mut all = Vec::new();
        each_downloaded(ud, cx, look_inside, &mut |module, cx| {
            let mut inner = UrlData::new(&module.url, cx, false)?;
            let further = inner.method.clone().implicit_urldata(&mut inner, cx)?;
            all.push(inner);
            all.extend(further);
            Ok(())
        })?;
        Ok(all)
    }
    git::shared!(names);
}

pub struct GitAnnex;

impl Method for GitAnnex {
    fn name(&self) -> &'static str {
        "gitannex"
    }
    fn supports(&self, ud: &UrlData, _cx: &Cx<'_>) -> Result<bool> {
        Ok(ud.scheme == "gitannex")
    }
    fn urldata_init(&self, ud: &mut UrlData, cx: &Cx<'_>) -> Result<()> {
        git::init(ud, cx, "gitannex")?;
        if ud.is("shallow") {
            let mut refs = ud.list("shallow_extra_refs");
            refs.extend(["refs/heads/git-annex".into(), "refs/heads/synced/*".into()]);
            ud.put_list("shallow_extra_refs", &refs);
        }
        Ok(())
    }
    fn unpack(&self, ud: &mut UrlData, _root: &str, _cx: &Cx<'_>) -> Result<()> {
        Err::<(), FetchError>(super::unsupported(ud, "unpacking"))
    }
    git::shared!();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::Native;

    #[test]
    fn gitmodules() {
        let text = "[submodule \"a/b\"]\n\tpath = a/b\n\turl = ../x.git\n[submodule \"c\"]\n\tpath = c\n[submodule \"d\"]\n\tbranch = z\n\turl=u\n path=d\n";
        let expected = [("a/b", "a/b", "../x.git"), ("d", "d", "u")].map(|(a, b, c)| (a.to_owned(), b.to_owned(), c.to_owned()));
        assert_eq!(sections(text), expected);
        assert!(sections("").is_empty());
    }

    #[test]
    fn addresses() {
        let d = crate::tests::store();
        let cx = Cx::new(&d, &Native);
        let ud = UrlData::decode("gitsm://host/repo;branch=x", &cx).unwrap();
        for (given, url, proto) in [
            ("https://h/p.git", "gitsm://h/p.git", "https"),
            ("/local/repo", "gitsm:///local/repo", "file"),
            ("git@h:/p", "gitsm://git@h/p", "ssh"),
            ("git@h:p", "gitsm://git@h/p", "ssh"),
        ] {
            assert_eq!(address(&ud, &cx, given), (url.to_owned(), proto.to_owned()));
        }
    }

    /// A repository with a submodule that has one itself: fetched, unpacked, cleaned.
    #[test]
    fn submodules_are_fetched_and_checked_out() {
        let work = tempfile::tempdir().unwrap();
        let top = work.path().to_str().unwrap();
        let shell = |script: &str| {
            let done = std::process::Command::new("sh").arg("-ec").arg(script).current_dir(top).env("HOME", top).output().unwrap();
            assert!(done.status.success(), "{script}: {}", String::from_utf8_lossy(&done.stderr));
            String::from_utf8(done.stdout).unwrap().trim().to_owned()
        };
        let git = "git -c protocol.file.allow=always -c user.name=n -c user.email=e@x";
        shell(&format!(
            "for r in inner middle outer; do git init -q -b master $r; echo $r >$r/file; git -C $r add file; {git} -C $r commit -qm $r; done
             {git} -C middle submodule --quiet add file://{top}/inner in; {git} -C middle commit -qm in
             {git} -C outer submodule --quiet add ../middle sub/mid; {git} -C outer commit -qm mid"
        ));
        let d = crate::tests::store();
        for (name, value) in [("DL_DIR", format!("{top}/dl")), ("PATH", std::env::var("PATH").unwrap()), ("HOME", top.to_owned())] {
            d.set_var(name, value, &hz_data::SetInfo::default()).unwrap();
        }
        // Submodules from the file system are asked for in each command.
        d.set_var("FETCHCMD_git", "git -c protocol.file.allow=always", &hz_data::SetInfo::default()).unwrap();
        let cx = Cx::new(&d, &Native);
        let revision = shell("git -C outer rev-parse HEAD");
        let url = format!("gitsm://{top}/outer;protocol=file;branch=master;rev={revision}");
        let mut ud = UrlData::new(&url, &cx, false).unwrap();
        assert!(ud.method.clone().need_update(&mut ud, &cx).unwrap());
        fetcher::download([(&*url, &mut ud)], &cx).unwrap();
        assert!(!ud.method.clone().need_update(&mut ud, &cx).unwrap());
        let implicit = ud.method.clone().implicit_urldata(&mut ud, &cx).unwrap();
        assert_eq!(implicit.iter().map(|u| &*u.name).collect::<Vec<_>>(), ["sub/mid", "in"]);
        // Nothing but the downloads is needed from here on.
        shell("mkdir unpacked; mv inner middle outer unpacked");
        let root = format!("{top}/s");
        std::fs::create_dir(&root).unwrap();
        fetcher::unpack(&mut ud, &root, false, &cx).unwrap();
        assert_eq!(std::fs::read_to_string(format!("{root}/git/sub/mid/file")).unwrap(), "middle\n");
        assert_eq!(std::fs::read_to_string(format!("{root}/git/sub/mid/in/file")).unwrap(), "inner\n");
        fetcher::clean(&mut ud, &cx).unwrap();
        let left = shell("ls dl/git2 | grep -v '\\.done$' | grep -v '\\.lock$' || true");
        assert_eq!(left, "");
    }
}
