//! `git://`: bare mirror clones under DL_DIR/git2, archives of them for mirrors (full or shallow),
//! and clones of those as unpacked sources.

use super::Method;
use crate::command::{LineFilter, Run, check_network_access, run, run_with, shell_quote, trusted_network};
use crate::context::Cx;
use crate::error::{FetchError, Result};
use crate::files;
use crate::srcrev;
use crate::uri::quote;
use crate::urldata::{UrlData, basename, dirname, join};
use hz_data::Value;
use indexmap::IndexMap;
use std::sync::Arc;

const COMMAND: &str =
    "git -c gc.autoDetach=false -c core.pager=cat -c safe.bareRepository=all -c clone.defaultRemoteName=origin";

pub struct Git;

/// What every method over a git repository answers alike.
macro_rules! shared {
    () => {
        git::shared!(names);
        git::shared!(
            need_update(ud: &mut UrlData) -> bool,
            download(ud: &mut UrlData) -> (),
            clean(ud: &mut UrlData) -> ()
        );
    };
    // Without what submodules add to.
    (names) => {
        fn supports_checksum(&self, _ud: &UrlData) -> Result<bool> {
            Ok(false)
        }
        fn cleanup_upon_failure(&self) -> Result<bool> {
            Ok(false)
        }
        fn localpath(&self, ud: &mut UrlData, _cx: &Cx<'_>) -> Result<String> {
            Ok(ud.text("clonedir"))
        }
        fn supports_srcrev(&self) -> Result<bool> {
            Ok(true)
        }
        fn asks_upstream(&self) -> bool {
            true
        }
        git::shared!(
            build_mirror_data(ud: &mut UrlData) -> (),
            try_premirror(ud: &mut UrlData) -> bool,
            checkstatus(ud: &mut UrlData) -> bool,
            latest_versionstring(ud: &mut UrlData) -> (String, String)
        );
        fn update_mirror_links(&self, ud: &UrlData, origin: &UrlData) -> Result<()> {
            git::Git.update_mirror_links(ud, origin)
        }
        fn revision_key(&self, ud: &UrlData, cx: &Cx<'_>, name: &str) -> Result<String> {
            git::Git.revision_key(ud, cx, name)
        }
        fn ask_latest_revision(&self, ud: &UrlData, cx: &Cx<'_>, name: &str) -> Result<String> {
            git::Git.ask_latest_revision(ud, cx, name)
        }
        fn formatted_revision(&self, ud: &mut UrlData, cx: &Cx<'_>, name: &str, form: &str) -> Result<(bool, String)> {
            git::Git.formatted_revision(ud, cx, name, form)
        }
    };
    ($($name:ident($ud:ident: $kind:ty) -> $out:ty),*) => {
        $(fn $name(&self, $ud: $kind, cx: &Cx<'_>) -> Result<$out> {
            git::Git.$name($ud, cx)
        })*
    };
}
pub(super) use shared;

/// A full SHA-1?
pub fn is_sha1(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

/// Reads the parameters and names everything; `kind` is the scheme's name in archive names.
///
/// # Errors
/// No branch, a bad protocol or depth, a revision that cannot be found out.
pub fn init(ud: &mut UrlData, cx: &Cx<'_>, kind: &str) -> Result<()> {
    let mut proto = match ud.parm_text("protocol") {
        Some(proto) => proto,
        None if ud.host.is_empty() => "file".into(),
        None => "git".into(),
    };
    if ud.host == "github.com" && proto == "git" {
        proto = "https".into();
        cx.warn(format!(
            "URL: {} uses git protocol which is no longer supported by github. Please change to ;protocol=https in the url.",
            ud.url
        ));
    }
    if !matches!(proto.as_str(), "git" | "file" | "ssh" | "http" | "https" | "rsync") {
        return Err(FetchError::parameter(format!("Invalid protocol type: '{proto}'"), &ud.url));
    }
    let usehead = ud.parm_on("usehead");
    if usehead && proto != "file" {
        return Err(FetchError::parameter(
            "The usehead option is only for use with local ('protocol=file') git repositories",
            &ud.url,
        ));
    }
    let nobranch = usehead || ud.parm_on("nobranch");
    let bareclone = ud.parm_on("bareclone");
    let branch = ud.parm_or("branch", "");
    if branch.is_empty() && !nobranch {
        return Err(FetchError::parameter("The url does not set any branch parameter or set nobranch=1.", &ud.url));
    }
    let noshared = cx.var("BB_GIT_NOSHARED")?.as_deref() == Some("1");
    let rebaseable = ud.parm_on("rebaseable");
    ud.put("proto", proto);
    ud.put_bool("usehead", usehead);
    ud.put_bool("nobranch", nobranch);
    ud.put_bool("bareclone", bareclone);
    ud.put_bool("nocheckout", bareclone || ud.parm_on("nocheckout"));
    ud.put_bool("rebaseable", rebaseable);
    ud.put_bool("noshared", noshared);
    ud.put("branch", branch.clone());
    let mirror = if bareclone { " --mirror" } else { "" };
    ud.put("cloneflags", format!("-n{}{mirror}", if noshared { "" } else { " -s" }));
    ud.put("unresolvedrev", if usehead { "HEAD".to_owned() } else { branch.clone() });
    shallow_settings(ud, cx)?;
    ud.put("basecmd", cx.var_or("FETCHCMD_git", COMMAND)?);
    let tarballs = cx.var_or("BB_GENERATE_MIRROR_TARBALLS", "0")?;
    ud.put_bool("write_tarballs", tarballs != "0" || rebaseable);
    ud.put_bool("write_shallow_tarballs", cx.var_or("BB_GENERATE_SHALLOW_TARBALLS", &tarballs)? != "0");

    ud.setup_revisions(cx)?;
    let given = ud.revision.clone().unwrap_or_default();
    if !is_sha1(&given) {
        if !given.is_empty() {
            ud.put("unresolvedrev", given);
        }
        let name = ud.name.clone();
        ud.revision = Some(srcrev::latest(ud, cx, &name)?);
    }
    name_files(ud, cx, kind)
}

/// BB_GIT_SHALLOW and its variables.
fn shallow_settings(ud: &mut UrlData, cx: &Cx<'_>) -> Result<()> {
    let depth_of = |variable: String| -> Result<Option<i64>> {
        let Some(text) = cx.var(&variable)? else { return Ok(None) };
        let text = if text.is_empty() { "0" } else { text.trim() };
        match text.parse::<i64>() {
            Ok(n) if n >= 0 => Ok(Some(n)),
            _ => Err(FetchError::new(format!("Invalid depth for {variable}: {text}"))),
        }
    };
    let common = depth_of("BB_GIT_SHALLOW_DEPTH".into())?.unwrap_or(1);
    let depth = depth_of(format!("BB_GIT_SHALLOW_DEPTH_{}", ud.name))?.unwrap_or(common);
    let words = |text: Option<String>| -> Vec<String> {
        text.unwrap_or_default().split_whitespace().map(str::to_owned).collect()
    };
    let mut revs = cx.var(&format!("BB_GIT_SHALLOW_REVS_{}", ud.name))?;
    if revs.is_none() {
        revs = cx.var("BB_GIT_SHALLOW_REVS")?;
    }
    let revs = words(revs);
    let mut refs = words(cx.var("BB_GIT_SHALLOW_EXTRA_REFS")?);
    if let Some(tag) = ud.parm_text("tag") {
        refs.push(format!("refs/tags/{tag}"));
    }
    // Without excluded revisions and without a depth nothing would be left out.
    let shallow = cx.var("BB_GIT_SHALLOW")?.as_deref() == Some("1") && !(revs.is_empty() && depth == 0);
    ud.put_bool("shallow", shallow);
    ud.put_bool("shallow_skip_fast", false);
    ud.put_list("shallow_extra_refs", &refs);
    ud.put_list("shallow_revs", &revs);
    let depths: IndexMap<hz_diagnostics::Str, Value> = [(ud.name.as_str().into(), Value::Int(depth))].into_iter().collect();
    ud.extra.insert("shallow_depths".into(), Value::Map(Arc::new(depths)));
    Ok(())
}

/// The depth that applies to this URL; 0: all of it.
fn depth(ud: &UrlData) -> i64 {
    match ud.extra.get("shallow_depths") {
        Some(Value::Map(m)) => match m.get(ud.name.as_str()) {
            Some(Value::Int(n)) => *n,
            _ => 1,
        },
        _ => 1,
    }
}

fn name_files(ud: &mut UrlData, cx: &Cx<'_>, kind: &str) -> Result<()> {
    let revision = ud.revision.clone().unwrap_or_default();
    let path = ud.path.replace(['/', '*'], ".").replace([' ', '(', ')'], "_");
    let mut name = format!("{}{path}", ud.host.replace(':', "."));
    if name.starts_with('.') {
        name.remove(0);
    }
    // Such a repository loses revisions: one archive for each.
    if ud.is("rebaseable") {
        name = format!("{name}_{revision}");
    }
    let dldir = cx.dldir()?;
    let clones = cx.var_or("GITDIR", &format!("{dldir}/git2"))?;
    let clone = join(&clones, &name);
    ud.localfile = clone.clone();
    ud.put("clonedir", clone);
    let archive = format!("git2_{name}.tar.gz");
    ud.put("fullmirror", join(&dldir, &archive));
    ud.mirrortarballs = vec![archive];
    if !ud.is("shallow") {
        return Ok(());
    }
    if ud.is("bareclone") {
        name.push_str("_bare");
    }
    let mut revs = ud.list("shallow_revs");
    revs.sort();
    if !revs.is_empty() {
        name = format!("{name}_{}", revs.join("_"));
    }
    name = format!("{name}_{}", revision.chars().take(7).collect::<String>());
    if depth(ud) != 0 {
        name = format!("{name}-{}", depth(ud));
    }
    let mut refs: Vec<String> = if ud.is("nobranch") { Vec::new() } else { vec![ud.text("branch")] };
    refs.extend(ud.list("shallow_extra_refs").iter().map(|r| r.replace("refs/heads/", "").replace('*', "ALL")));
    refs.sort();
    if !refs.is_empty() {
        name = format!("{name}_{}", refs.join("_").replace('/', "."));
    }
    let archive = format!("{kind}shallow_{name}.tar.gz");
    ud.put("fullshallow", join(&dldir, &archive));
    ud.put("shallowtarball", archive.clone());
    ud.mirrortarballs.insert(0, archive);
    Ok(())
}

/// The repository's address for git itself. Passwords have no place in it.
pub fn repository(ud: &UrlData) -> String {
    repository_at(ud, &ud.path)
}

/// The same for a repository at another path of the same host.
pub fn repository_at(ud: &UrlData, path: &str) -> String {
    let user = if ud.user.is_empty() { String::new() } else { format!("{}@", ud.user) };
    format!("{}://{user}{}{}", ud.text("proto"), ud.host, quote(path))
}

/// Runs git with `arguments`.
fn git(ud: &UrlData, cx: &Cx<'_>, arguments: &str, workdir: Option<&str>) -> Result<String> {
    run(cx, &format!("{} {arguments}", ud.text("basecmd")), workdir)
}

/// Runs a transfer, showing its progress.
fn transfer(cx: &Cx<'_>, command: &str, workdir: Option<&str>) -> Result<()> {
    const STAGES: [(&str, f64, f64); 4] = [
        ("Counting objects", 0.0, 0.2),
        ("Compressing objects", 0.2, 0.05),
        ("Receiving objects", 0.25, 0.5),
        ("Resolving deltas", 0.75, 0.25),
    ];
    let mut filter = LineFilter::new(*cx, -1.0);
    let mut count = 0;
    let mut log = |text: &str| {
        filter.feed(text, |filter, line| {
            let stage = STAGES.iter().rev().find(|s| line.contains(s.0));
            let number = |end: usize| {
                let digits = line[..end].bytes().rev().take_while(u8::is_ascii_digit).count();
                line[end - digits..end].parse::<i64>().ok()
            };
            if let Some((_, start, weight)) = stage
                && let Some(percent) = line.rfind('%').and_then(number)
            {
                let rate = line.rsplit(['|', ',']).find(|p| p.contains("/s")).map(str::trim);
                filter.progress((start * 100.0 + percent as f64 * weight).round() as i64, rate);
            } else if let Some(n) = line.rfind(": ").and_then(|at| {
                let digits: String = line[at + 2..].chars().take_while(char::is_ascii_digit).collect();
                digits.parse::<i64>().ok()
            }) && n > count
            {
                count = n;
                cx.host.progress(cx.d, -(n as f64), None);
            }
            // git's own lines belong into the log too.
            false
        });
    };
    run_with(cx, command, Run { workdir, log: Some(&mut log), cleanup: &[] }).map(drop)
}

impl Git {
    /// Does the clone hold the revision (on its branch), or with `tag` the URL's tag?
    pub fn contains(ud: &UrlData, cx: &Cx<'_>, dir: &str, tag: bool) -> Result<bool> {
        let wanted = if tag { format!("refs/tags/{}", ud.parm_or("tag", "")) } else { ud.revision.clone().unwrap_or_default() };
        let base = ud.text("basecmd");
        let command = if ud.is("nobranch") {
            format!("{base} log --pretty=oneline -n 1 {wanted} -- 2> /dev/null | wc -l")
        } else {
            format!("{base} branch --contains {wanted} --list {} 2> /dev/null | wc -l", ud.text("branch"))
        };
        let out = match run(cx, &command, Some(dir)) {
            Ok(out) => out,
            Err(e) if e.is_fetch() => return Ok(false),
            Err(e) => return Err(e),
        };
        let words: Vec<&str> = out.split_whitespace().collect();
        if words.len() > 1 {
            return Err(FetchError::new(format!(
                "The command '{command}' gave output with more then 1 line unexpectedly, output: '{out}'"
            )));
        }
        Ok(words.first().is_some_and(|n| *n != "0"))
    }

    fn clone_outdated(ud: &UrlData, cx: &Cx<'_>) -> Result<bool> {
        let clone = ud.text("clonedir");
        Ok(!files::exists(&clone)
            || (ud.is("shallow") && ud.is("write_shallow_tarballs") && Self::missing_shallow_rev(ud, cx)?.is_some())
            || !Self::contains(ud, cx, &clone, false)?
            || (ud.parm.contains_key("tag") && !Self::contains(ud, cx, &clone, true)?))
    }

    fn missing_shallow_rev(ud: &UrlData, cx: &Cx<'_>) -> Result<Option<String>> {
        for rev in ud.list("shallow_revs") {
            match git(ud, cx, &format!("rev-parse -q --verify {rev}"), Some(&ud.text("clonedir"))) {
                Ok(_) => {}
                Err(e) if e.is_fetch() => return Ok(Some(rev)),
                Err(e) => return Err(e),
            }
        }
        Ok(None)
    }

    pub(super) fn wants_lfs(ud: &UrlData) -> bool {
        ud.parm_or("lfs", "1") == "1"
    }

    fn has_lfs(ud: &UrlData, cx: &Cx<'_>, dir: &str) -> Result<bool> {
        let revision = ud.revision.as_deref().unwrap_or("");
        match git(ud, cx, &format!("grep '^[^#].*lfs' {revision}:.gitattributes | wc -l"), Some(dir)) {
            Ok(out) => Ok(out.trim().parse::<u64>().is_ok_and(|n| n > 0)),
            Err(e) if e.is_fetch() => Ok(false),
            Err(e) => Err(e),
        }
    }

    fn need_lfs_tool(ud: &UrlData, cx: &Cx<'_>) -> Result<()> {
        let path = cx.var_or("PATH", "")?;
        if path.split(':').any(|dir| files::exists(&join(dir, "git-lfs"))) {
            return Ok(());
        }
        Err(FetchError::new(format!(
            "Repository {} has LFS content, install git-lfs on host to download (or set lfs=0 to ignore it)",
            repository(ud)
        )))
    }

    fn lfs_outdated(ud: &UrlData, cx: &Cx<'_>) -> Result<bool> {
        let clone = ud.text("clonedir");
        if !Self::wants_lfs(ud) {
            return Ok(false);
        }
        if Self::clone_outdated(ud, cx)? {
            return Ok(true);
        }
        if !Self::has_lfs(ud, cx, &clone)? {
            return Ok(false);
        }
        Self::need_lfs_tool(ud, cx)?;
        let list = git(ud, cx, &format!("lfs ls-files -l {}", ud.revision.as_deref().unwrap_or("")), Some(&clone))?;
        Ok(list.trim_end().lines().any(|line| {
            let id: String = line.chars().take_while(char::is_ascii_hexdigit).collect();
            if id.len() < 5 {
                cx.warn(format!("git lfs ls-files output '{line}' did not match expected format."));
                return false;
            }
            !files::exists(&format!("{clone}/lfs/objects/{}/{}/{id}", &id[..2], &id[2..4]))
        }))
    }

    fn fetch_lfs(ud: &UrlData, cx: &Cx<'_>, dir: &str) {
        let attempt = || -> Result<()> {
            let revision = ud.revision.as_deref().unwrap_or("");
            if revision.is_empty() || !Self::wants_lfs(ud) || !Self::has_lfs(ud, cx, dir)? {
                return Ok(());
            }
            Self::need_lfs_tool(ud, cx)?;
            // In a checkout of the revision, for its .lfsconfig.
            git(ud, cx, &format!("worktree add wt {revision}"), Some(dir))?;
            git(ud, cx, "lfs fetch ", Some(&format!("{dir}/wt")))?;
            git(ud, cx, "worktree remove -f wt", Some(dir)).map(drop)
        };
        if attempt().is_err() {
            cx.warning("Fetching LFS did not succeed.");
        }
    }

    /// Upstream's references, as `git ls-remote` lists them; nothing when asked from within itself.
    fn ls_remote(ud: &UrlData, cx: &Cx<'_>, search: &str) -> Result<String> {
        // Expanding PATH for the command may lead back here.
        if cx.d.get_raw("_BB_GIT_IN_LSREMOTE").is_some_and(|v| v.is_true()) {
            return Ok(String::new());
        }
        cx.set("_BB_GIT_IN_LSREMOTE", "1")?;
        let ask = || -> Result<String> {
            let address = repository(ud);
            let command = format!("{} ls-remote {} {search}", ud.text("basecmd"), shell_quote(&address));
            if !ud.text("proto").eq_ignore_ascii_case("file") {
                check_network_access(cx, &command, &address)?;
            }
            let out = run(cx, &command, None)?;
            if out.is_empty() {
                return Err(FetchError::at(format!("The command {command} gave empty output unexpectedly"), &ud.url));
            }
            Ok(out)
        };
        let result = ask();
        cx.unset("_BB_GIT_IN_LSREMOTE")?;
        result
    }

    /// The archive of a full clone brought into DL_DIR becomes (or updates) the clone.
    fn take_archive(ud: &UrlData, cx: &Cx<'_>) -> Result<()> {
        let (clone, archive) = (ud.text("clonedir"), ud.text("fullmirror"));
        if !files::exists(&clone) {
            files::mkdir(&clone)?;
            return run(cx, &format!("tar -xzf {archive}"), Some(&clone)).map(drop);
        }
        let dldir = cx.dldir()?;
        let temporary = tempfile::tempdir_in(&dldir).map_err(|e| FetchError::io(&e, dldir))?;
        let dir = temporary.path().to_string_lossy().into_owned();
        run(cx, &format!("tar -xzf {archive}"), Some(&dir))?;
        if git(ud, cx, "remote", Some(&clone))?.contains("mirror") {
            git(ud, cx, "remote rm mirror", Some(&clone))?;
        }
        git(ud, cx, &format!("remote add --mirror=fetch mirror {dir}"), Some(&clone))?;
        let command = format!("LANG=C {} fetch -f --update-head-ok  --progress mirror ", ud.text("basecmd"));
        run(cx, &command, Some(&clone)).map(drop)
    }

    /// Is the clone directory the top of a repository?
    fn is_repository(ud: &UrlData, cx: &Cx<'_>) -> Result<bool> {
        let clone = ud.text("clonedir");
        match run(cx, &format!("LANG=C {} rev-parse --absolute-git-dir", ud.text("basecmd")), Some(&clone)) {
            Ok(out) => {
                let (top, real) = (files::realpath(out.trim_end()), files::realpath(&clone));
                if top == real || top.starts_with(&format!("{real}/")) {
                    return Ok(true);
                }
                cx.warning(format!("Top level directory '{}' is not a descendant of '{clone}'. Re-cloning", out.trim_end()));
                Ok(false)
            }
            Err(e) if e.is_fetch() => {
                cx.warning(format!("Unable to get top level for {clone} (not a git directory?): {e}"));
                Ok(false)
            }
            Err(FetchError::Io { errno: libc::ENOENT, text, .. }) => {
                cx.warning(text);
                Ok(false)
            }
            Err(e) => Err(e),
        }
    }

    /// Makes the shallow archive, at first straight from upstream, else from a full clone.
    fn shallow_archive(ud: &mut UrlData, cx: &Cx<'_>) -> Result<()> {
        let dldir = cx.dldir()?;
        for fast in [true, false] {
            ud.put_bool("shallow_skip_fast", !fast);
            let temporary = tempfile::tempdir_in(&dldir).map_err(|e| FetchError::io(&e, dldir.as_str()))?;
            let clone = temporary.path().join("git").to_string_lossy().into_owned();
            match Self::shallow_clone(ud, cx, &clone) {
                Ok(()) => {}
                Err(_) if fast => {
                    cx.warning("Fast shallow clone failed, try to skip fast mode now.");
                    continue;
                }
                Err(e) => return Err(e),
            }
            cx.info("Creating tarball of git repository");
            let archive = ud.text("fullshallow");
            atomically(&archive, |file| run(cx, &format!("tar -czf {file} ."), Some(&clone)).map(drop))?;
            return run(cx, &format!("touch {archive}.done"), None).map(drop);
        }
        Ok(())
    }

    fn shallow_clone(ud: &UrlData, cx: &Cx<'_>, dest: &str) -> Result<()> {
        let here = Some(dest);
        files::mkdir(dest)?;
        let bare = ud.is("bareclone");
        git(ud, cx, if bare { "init -q --bare" } else { "init -q" }, here)?;
        let (clone, address) = (ud.text("clonedir"), repository(ud));
        let slow = ud.is("shallow_skip_fast");
        let remote = if !slow && !files::exists(&clone) { shell_quote(&address) } else { clone.clone() };
        git(ud, cx, &format!("remote add origin {remote}"), here)?;
        let exclude: String = ud.list("shallow_revs").iter().map(|r| format!(" --shallow-exclude={r}")).collect();
        let (revision, depth) = (ud.revision.clone().unwrap_or_default(), depth(ud));
        if depth != 0 && !exclude.is_empty() {
            return Err(FetchError::new("BB_GIT_SHALLOW_REVS is set, but BB_GIT_SHALLOW_DEPTH is not 0."));
        }
        let branch = ud.text("branch");
        let reference = match (ud.is("nobranch"), bare) {
            (true, _) => format!("refs/shallow/{}", ud.name),
            (false, true) => format!("refs/heads/{branch}"),
            (false, false) => format!("refs/remotes/origin/{branch}"),
        };
        if slow {
            // Old gits only hand out what a reference names.
            run(cx, &format!("git branch -f advertise-{revision} {revision}"), Some(&clone))?;
        }
        let deep = if depth != 0 { format!(" --depth {depth}") } else { String::new() };
        git(ud, cx, &format!("fetch origin {revision}{deep}{exclude}"), here)?;
        git(ud, cx, &format!("update-ref {reference} {revision}"), here)?;
        Self::fetch_lfs(ud, cx, dest);
        let listing = git(ud, cx, "ls-remote origin 'refs/*'", here)?;
        let all: Vec<&str> = listing.lines().filter_map(|l| l.split_whitespace().last()).collect();
        for wanted in ud.list("shallow_extra_refs") {
            let wanted = if bare { wanted } else { wanted.replace("refs/heads/", "refs/remotes/origin/") };
            let names: Vec<String> = if wanted.contains('*') {
                let pattern = glob::Pattern::new(&wanted).map_err(|e| FetchError::new(e.to_string()))?;
                all.iter().filter(|r| pattern.matches(r)).map(|r| (*r).to_owned()).collect()
            } else {
                vec![wanted]
            };
            for name in names {
                let short = name.replace("refs/heads/", "").replace("refs/remotes/origin/", "").replace("refs/tags/", "");
                git(ud, cx, &format!("fetch origin --depth 1 -- {}", shell_quote(&short)), here)?;
                let head = git(ud, cx, "rev-parse FETCH_HEAD", here)?;
                git(ud, cx, &format!("update-ref {} {head}", shell_quote(&name)), here)?;
            }
        }
        git(ud, cx, &format!("remote set-url origin {}", shell_quote(&address)), here).map(drop)
    }

    /// Unpacks below `root`; with `update` an existing checkout is rebased instead.
    fn check_out(ud: &mut UrlData, root: &str, cx: &Cx<'_>, update: bool) -> Result<()> {
        let subpath = ud.parm_text("subpath").filter(|s| !s.is_empty());
        let mut suffix = match &subpath {
            Some(subpath) => format!("{}/", basename(subpath.trim_end_matches('/'))),
            None => format!("{}/", cx.var_or("BB_GIT_DEFAULT_DESTSUFFIX", "git")?),
        };
        let mut dir = root.to_owned();
        if let Some(subdir) = ud.parm_text("subdir").filter(|s| !s.is_empty()) {
            dir = crate::unpack::inside(ud, root, &subdir)?;
            suffix = String::new();
        }
        let dir = join(&dir, &ud.parm_text("destsuffix").unwrap_or(suffix));
        ud.put("destdir", dir.clone());
        let here = Some(dir.as_str());
        if files::exists(&dir) && !update {
            files::prune(&dir)?;
        }
        if !ud.is("bareclone") {
            cx.host.trace_unpack(ud, "git", &dir)?;
        }
        let lfs = Self::wants_lfs(ud);
        if !lfs {
            ud.put("basecmd", format!("GIT_LFS_SKIP_SMUDGE=1 {}", ud.text("basecmd")));
        }
        let clone = ud.text("clonedir");
        let in_place = update && files::exists(&dir);
        if !Self::clone_outdated(ud, cx)? {
            if !in_place {
                let command = format!("clone {} {clone}/ {dir}", ud.text("cloneflags"));
                git(ud, cx, &command, None)?;
            }
        } else {
            let mut reasons = vec![format!("clone directory not available or not up to date: {clone}")];
            let archive = ud.text("fullshallow");
            if ud.is("shallow") && files::exists(&archive) {
                if !in_place {
                    files::mkdir(&dir)?;
                    run(cx, &format!("tar -xzf {archive}"), here)?;
                }
                reasons.clear();
            } else if ud.is("shallow") {
                reasons.push(format!("shallow clone not available: {archive}"));
            } else {
                reasons.push("shallow clone not enabled".into());
            }
            if !reasons.is_empty() {
                return Err(FetchError::unpack(format!("No up to date source found: {}", reasons.join("; ")), &ud.url));
            }
        }
        if in_place {
            return Self::rebase(ud, cx, &dir);
        }
        let revision = ud.revision.clone().unwrap_or_default();
        Self::check_tag(ud, cx, &dir, &revision)?;
        let address = repository(ud);
        git(ud, cx, &format!("remote set-url origin {}", shell_quote(&address)), here)?;
        Self::add_dldir(ud, cx, &dir)?;
        if Self::has_lfs(ud, cx, &dir)? {
            if lfs {
                Self::need_lfs_tool(ud, cx)?;
                git(ud, cx, "lfs install --local", here)?;
            } else {
                cx.note(format!("Repository {address} has LFS content but it is not being fetched"));
            }
        }
        if ud.is("nocheckout") {
            return Ok(());
        }
        let branch = ud.text("branch");
        if let Some(subpath) = subpath {
            git(ud, cx, &format!("read-tree {revision}:{subpath}"), here)?;
            git(ud, cx, "checkout-index -q -f -a", here)?;
            git(ud, cx, &format!("update-ref --no-deref HEAD {revision}"), here)?;
            if !ud.is("nobranch") {
                git(ud, cx, &format!("update-ref refs/heads/{branch} {revision}"), here)?;
            }
        } else if ud.is("nobranch") {
            git(ud, cx, &format!("checkout {revision}"), here)?;
        } else {
            git(ud, cx, &format!("checkout -B {branch} {revision}"), here)?;
            git(ud, cx, &format!("branch {branch} --set-upstream-to origin/{branch}"), here)?;
        }
        Ok(())
    }

    /// A tag beside a revision must name that revision.
    fn check_tag(ud: &UrlData, cx: &Cx<'_>, dir: &str, revision: &str) -> Result<()> {
        let Some(tag) = ud.parm_text("tag").filter(|_| is_sha1(revision)) else { return Ok(()) };
        let commit = |name: &str| git(ud, cx, &format!("rev-list -n 1 {name}"), Some(dir)).map(|o| o.trim().to_owned());
        let tagged = commit(&tag)?;
        // The revision may be that of an annotated tag.
        if tagged == revision || tagged == commit(revision)? {
            return Ok(());
        }
        Err(FetchError::at(
            format!("The revision the git tag '{tag}' resolved to didn't match the SRCREV in use ({tagged} vs {revision})"),
            &ud.url,
        ))
    }

    /// The remote by which a checkout reaches our clone.
    fn add_dldir(ud: &UrlData, cx: &Cx<'_>, dir: &str) -> Result<()> {
        match git(ud, cx, "remote get-url dldir", Some(dir)) {
            Err(e) if e.is_fetch() => {
                git(ud, cx, &format!("remote add dldir file://{}", ud.text("clonedir")), Some(dir)).map(drop)
            }
            other => other.map(drop),
        }
    }

    fn rebase(ud: &UrlData, cx: &Cx<'_>, dir: &str) -> Result<()> {
        let here = Some(dir);
        if ud.is("shallow") {
            return Err(FetchError::unpack(
                "Can't update shallow clones checkouts without network access, not supported.",
                &ud.url,
            ));
        }
        let output = git(ud, cx, "status --untracked-files=no --porcelain", here)?;
        if !output.is_empty() {
            return Err(FetchError::LocalModifications { repodir: dir.into(), url: ud.url.clone(), output });
        }
        Self::add_dldir(ud, cx, dir)?;
        git(ud, cx, "fetch dldir", here).map_err(|e| {
            if e.is_fetch() { FetchError::unpack(format!("Failed to fetch from dldir remote: {e}"), &ud.url) } else { e }
        })?;
        let revision = ud.revision.as_deref().unwrap_or("");
        match git(ud, cx, &format!("rebase --no-autosquash --no-autostash {revision}"), here) {
            Err(e) if e.is_fetch() => {
                let _ = git(ud, cx, "rebase --abort", here);
                Err(FetchError::Rebase { repodir: dir.into(), url: ud.url.clone(), output: e.to_string() })
            }
            other => other.map(drop),
        }
    }
}

/// Lets `make` write a temporary file beside `path`, then renames it.
fn atomically(path: &str, make: impl FnOnce(&str) -> Result<()>) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let dir = dirname(path);
    let fail = |e: std::io::Error| FetchError::io(&e, path);
    let file = tempfile::Builder::new()
        .permissions(std::fs::Permissions::from_mode(0o666))
        .tempfile_in(dir)
        .map_err(fail)?;
    make(&file.path().to_string_lossy())?;
    file.persist(path).map(drop).map_err(|e| fail(e.error))
}

impl Method for Git {
    fn name(&self) -> &'static str {
        "git"
    }
    fn supports(&self, ud: &UrlData, _cx: &Cx<'_>) -> Result<bool> {
        Ok(ud.scheme == "git")
    }
    fn supports_checksum(&self, _ud: &UrlData) -> Result<bool> {
        Ok(false)
    }
    fn cleanup_upon_failure(&self) -> Result<bool> {
        Ok(false)
    }
    fn urldata_init(&self, ud: &mut UrlData, cx: &Cx<'_>) -> Result<()> {
        init(ud, cx, "git")
    }
    fn localpath(&self, ud: &mut UrlData, _cx: &Cx<'_>) -> Result<String> {
        Ok(ud.text("clonedir"))
    }
    fn need_update(&self, ud: &mut UrlData, cx: &Cx<'_>) -> Result<bool> {
        Ok(Git::clone_outdated(ud, cx)?
            || (ud.is("shallow") && ud.is("write_shallow_tarballs") && !files::exists(&ud.text("fullshallow")))
            || (ud.is("write_tarballs") && !files::exists(&ud.text("fullmirror")))
            || Git::lfs_outdated(ud, cx)?)
    }
    fn update_mirror_links(&self, ud: &UrlData, origin: &UrlData) -> Result<()> {
        files::ensure_symlink(ud.local(), origin.local())?;
        if origin.is("shallow") && !files::exists(&origin.text("fullshallow")) {
            files::ensure_symlink(ud.local(), &origin.text("fullshallow"))?;
        }
        Ok(())
    }
    fn try_premirror(&self, ud: &mut UrlData, cx: &Cx<'_>) -> Result<bool> {
        // A clone is best brought up to date from upstream, if that can be reached.
        Ok(cx.var_true("BB_FETCH_PREMIRRORONLY")? || !trusted_network(cx, &ud.url)? || !files::exists(&ud.text("clonedir")))
    }
    fn download(&self, ud: &mut UrlData, cx: &Cx<'_>) -> Result<()> {
        let clone = ud.text("clonedir");
        if ud.is("shallow") && files::exists(&ud.text("fullshallow")) && self.need_update(ud, cx)? {
            ud.localpath = Some(ud.text("fullshallow"));
            return Ok(());
        }
        if files::exists(&ud.text("fullmirror")) && self.need_update(ud, cx)? {
            Git::take_archive(ud, cx)?;
        }
        let address = repository(ud);
        let remote = !ud.text("proto").eq_ignore_ascii_case("file");
        if files::exists(&clone) && !Git::is_repository(ud, cx)? {
            files::remove(&clone, true)?;
        }
        if !files::exists(&clone) {
            // A path instead of a file:// URL lets git link objects, where they are no link themselves.
            let source = match address.strip_prefix("file://") {
                Some(path) if files::is_dir(&join(path, "objects")) && !std::path::Path::new(&join(path, "objects")).is_symlink() => path.to_owned(),
                _ => address.clone(),
            };
            let command = format!("LANG=C {} clone --bare --mirror {} {clone} --progress", ud.text("basecmd"), shell_quote(&source));
            if remote {
                check_network_access(cx, &command, &ud.url)?;
            }
            if ud.is("shallow") && !ud.is("shallow_skip_fast") {
                match Git::shallow_archive(ud, cx) {
                    Ok(()) => {
                        ud.localpath = Some(ud.text("fullshallow"));
                        return Ok(());
                    }
                    Err(_) => cx.warning("Creating fast initial shallow clone failed, try initial regular clone now."),
                }
            }
            transfer(cx, &command, None)?;
        }
        if Git::clone_outdated(ud, cx)? {
            let here = Some(clone.as_str());
            if git(ud, cx, "remote", here)?.contains("origin") {
                git(ud, cx, "remote rm origin", here)?;
            }
            let quoted = shell_quote(&address);
            git(ud, cx, &format!("remote add --mirror=fetch origin {quoted}"), here)?;
            let refs = if ud.is("nobranch") { "refs/*:refs/*" } else { "refs/heads/*:refs/heads/* refs/tags/*:refs/tags/*" };
            let command = format!("LANG=C {} fetch -f --progress {quoted} {refs}", ud.text("basecmd"));
            if remote {
                check_network_access(cx, &command, &ud.url)?;
            }
            transfer(cx, &command, here)?;
            for step in ["repack -adk", "pack-refs --all", "prune-packed"] {
                git(ud, cx, step, here)?;
            }
            files::remove(&ud.text("fullmirror"), false)?;
        }
        if !Git::contains(ud, cx, &clone, false)? {
            return Err(FetchError::new(format!(
                "Unable to find revision {} in branch {} even from upstream",
                ud.revision.as_deref().unwrap_or("None"),
                ud.text("branch")
            )));
        }
        if ud.is("shallow")
            && ud.is("write_shallow_tarballs")
            && let Some(rev) = Git::missing_shallow_rev(ud, cx)?
        {
            return Err(FetchError::new(format!("Unable to find revision {rev} even from upstream")));
        }
        if Git::lfs_outdated(ud, cx)? {
            Git::fetch_lfs(ud, cx, &clone);
        }
        Ok(())
    }
    fn build_mirror_data(&self, ud: &mut UrlData, cx: &Cx<'_>) -> Result<()> {
        let archive = ud.text(if ud.is("shallow") { "fullshallow" } else { "fullmirror" });
        let wanted = if ud.is("shallow") { ud.is("write_shallow_tarballs") } else { ud.is("write_tarballs") };
        if ud.is("shallow") && !wanted && ud.is("write_tarballs") {
            return full_archive(ud, cx, &ud.text("fullmirror"));
        }
        if !wanted || files::exists(&archive) {
            return Ok(());
        }
        if ud.is("shallow") {
            // A dangling link into a mirror.
            files::remove(&archive, false)?;
            Git::shallow_archive(ud, cx)
        } else {
            full_archive(ud, cx, &archive)
        }
    }
    fn unpack(&self, ud: &mut UrlData, root: &str, cx: &Cx<'_>) -> Result<()> {
        Git::check_out(ud, root, cx, false)
    }
    fn unpack_update(&self, ud: &mut UrlData, root: &str, cx: &Cx<'_>) -> Result<()> {
        Git::check_out(ud, root, cx, true)
    }
    fn clean(&self, ud: &mut UrlData, cx: &Cx<'_>) -> Result<()> {
        let archive = ud.text("fullmirror");
        let mut paths = vec![ud.local().to_owned(), archive.clone(), format!("{archive}.done")];
        // A clone on a mirror is linked to: remove both.
        if std::path::Path::new(ud.local()).is_symlink() {
            paths.push(files::realpath(ud.local()));
        }
        if ud.is("shallow") {
            let archive = ud.text("fullshallow");
            paths.extend([archive.clone(), format!("{archive}.done")]);
        }
        for path in paths.iter().filter(|p| !p.is_empty() && std::fs::symlink_metadata(p).is_ok()) {
            cx.note(format!("Removing {path}"));
            files::remove(path, true)?;
        }
        Ok(())
    }
    fn supports_srcrev(&self) -> Result<bool> {
        Ok(true)
    }
    fn asks_upstream(&self) -> bool {
        true
    }
    fn revision_key(&self, ud: &UrlData, _cx: &Cx<'_>, _name: &str) -> Result<String> {
        let mut path = String::new();
        for c in ud.path.chars() {
            if c != '/' {
                path.push(c);
            } else if !path.ends_with("\u{0}") {
                path.push('\u{0}');
            }
        }
        Ok(format!("git:{}{}{}", ud.host, path.replace('\u{0}', "."), ud.text("unresolvedrev")))
    }
    fn ask_latest_revision(&self, ud: &UrlData, cx: &Cx<'_>, _name: &str) -> Result<String> {
        let wanted = ud.text("unresolvedrev");
        let place = format!("{}{}", ud.host, ud.path);
        if !cx.var("__BBSRCREV_SEEN")?.is_some_and(|v| !v.is_empty()) {
            return Err(FetchError::new(format!("Recipe uses a floating tag/branch '{wanted}' for repo '{place}' without a fixed SRCREV yet doesn't call bb.fetch2.get_srcrev() (use SRCPV in PV for OE).")));
        }
        srcrev::mark_nocache(cx)?;
        let listing = Git::ls_remote(ud, cx, "")?;
        let names = if wanted.starts_with("refs/") || ud.is("usehead") {
            [wanted.clone(), format!("{wanted}^{{}}"), wanted.clone()]
        } else {
            [format!("refs/heads/{wanted}"), format!("refs/tags/{wanted}^{{}}"), format!("refs/tags/{wanted}")]
        };
        names
            .iter()
            .find_map(|name| {
                listing.lines().find_map(|line| {
                    let (sha1, reference) = line.trim().split_once(char::is_whitespace)?;
                    (reference.trim() == name).then(|| sha1.to_owned())
                })
            })
            .ok_or_else(|| {
                FetchError::new(format!("Unable to resolve '{wanted}' in upstream git repository in git ls-remote output for {place}"))
            })
    }
    fn formatted_revision(&self, ud: &mut UrlData, cx: &Cx<'_>, name: &str, form: &str) -> Result<(bool, String)> {
        match form {
            "sortable_revision" => self.sortable_revision(ud, cx, name),
            "gitpkgv_revision" => commits(ud, cx),
            other => Err(FetchError::parameter(format!("The fetcher for this URL does not support {other}"), &ud.url)),
        }
    }
    fn latest_versionstring(&self, ud: &mut UrlData, cx: &Cx<'_>) -> Result<(String, String)> {
        let listing = match Git::ls_remote(ud, cx, "refs/tags/*") {
            Ok(listing) => listing,
            Err(e) if e.is_fetch() => {
                cx.note(format!("Could not list remote: {e}"));
                return Ok(Default::default());
            }
            Err(e) => return Err(e),
        };
        let pattern = cx.var_or("UPSTREAM_CHECK_GITTAGREGEX", r"(?P<pver>([0-9][\.|_]?)+)")?;
        let regex = fancy_regex::Regex::new(&pattern).map_err(|e| FetchError::Value(format!("{pattern}: {e}")))?;
        let mut best: Option<(String, String)> = None;
        for line in listing.lines() {
            let Some((revision, tag)) = line.split_once(char::is_whitespace) else { continue };
            let Some(tag) = tag.trim_start().strip_prefix("refs/tags/").filter(|_| is_sha1(revision)) else { continue };
            if ["alpha", "beta", "rc", "final"].iter().any(|w| tag.contains(w)) {
                continue;
            }
            let Ok(Some(found)) = regex.captures(tag) else { continue };
            let Some(version) = found.name("pver").map(|v| v.as_str().replace('_', ".")) else { continue };
            let newer = best.as_ref().is_none_or(|(known, _)| version_order(&version, known) != std::cmp::Ordering::Less);
            if newer {
                best = Some((version, revision.to_owned()));
            }
        }
        Ok(best.unwrap_or_default())
    }
    fn checkstatus(&self, ud: &mut UrlData, cx: &Cx<'_>) -> Result<bool> {
        match Git::ls_remote(ud, cx, "") {
            Ok(_) => Ok(true),
            Err(FetchError::Fetch { .. }) => Ok(false),
            Err(e) => Err(e),
        }
    }
}

fn full_archive(ud: &UrlData, cx: &Cx<'_>, archive: &str) -> Result<()> {
    if files::exists(archive) {
        return Ok(());
    }
    files::remove(archive, false)?;
    cx.info("Creating tarball of git repository");
    let clone = ud.text("clonedir");
    atomically(archive, |file| {
        let time = git(ud, cx, "log --all -1 --format=%cD", Some(&clone))?;
        run(cx, &format!("tar -czf {file} --owner oe:0 --group oe:0 --mtime \"{time}\" ."), Some(&clone)).map(drop)
    })?;
    run(cx, &format!("touch {archive}.done"), None).map(drop)
}

/// Number of commits and short revision ("gitpkgv_revision").
fn commits(ud: &UrlData, cx: &Cx<'_>) -> Result<(bool, String)> {
    let revision = ud.revision.clone().unwrap_or_default();
    if !files::exists(ud.local()) {
        return Ok((true, revision));
    }
    let kept = join(ud.local(), &format!("oe-gitpkgv_{revision}"));
    let mut count = std::fs::read_to_string(&kept).unwrap_or_default().trim().to_owned();
    if count.is_empty() {
        count = run(cx, &format!("git rev-list {} -- | wc -l", shell_quote(&revision)), Some(ud.local()))?
            .trim()
            .trim_start_matches('0')
            .to_owned();
        if !count.is_empty() {
            std::fs::write(&kept, format!("{count}\n")).map_err(|e| FetchError::io(&e, kept))?;
        }
    }
    if count.is_empty() {
        return Ok((true, revision));
    }
    Ok((false, format!("{count}+{}", revision.chars().take(7).collect::<String>())))
}

/// Dotted versions, number by number.
fn version_order(a: &str, b: &str) -> std::cmp::Ordering {
    let parts = |v: &str| -> Vec<u64> {
        v.split(|c: char| !c.is_ascii_digit()).filter(|p| !p.is_empty()).map(|p| p.parse().unwrap_or(u64::MAX)).collect()
    };
    parts(a).cmp(&parts(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn revisions() {
        assert!(is_sha1("0123456789abcdef0123456789abcdef01234567"));
        assert!(!is_sha1("v1.0") && !is_sha1("0123456789ABCDEF0123456789abcdef01234567"));
        assert_eq!(version_order("1.10", "1.9"), std::cmp::Ordering::Greater);
    }
}
