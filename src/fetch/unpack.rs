//! Unpacking a downloaded file, by its suffix, with the programs that the reference runs.

use crate::command::{exit_code, shell_quote};
use crate::context::{Cx, to_boolean};
use crate::error::{FetchError, Result};
use crate::files;
use crate::urldata::{UrlData, basename, join};
use std::process::{Command, Stdio};

/// What to run for a file, if it is an archive at all.
enum Step {
    Copy,
    Shell(String),
    /// Take a member out of a package, then unpack that.
    Member { command: String, member: String },
}

/// The suffix as Python's `os.path.splitext` takes it off.
fn without_suffix(path: &str) -> &str {
    let start = path.rfind('/').map_or(0, |at| at + 1);
    let name = &path[start..];
    let dots = name.len() - name.trim_start_matches('.').len();
    match name[dots..].rfind('.') {
        Some(at) => &path[..start + dots + at],
        None => path,
    }
}

/// The command that unpacks `file` below `root`.
fn plan(ud: &UrlData, file: &str, root: &str) -> Result<Step> {
    let ends = |suffixes: &[&str]| suffixes.iter().any(|s| file.ends_with(s));
    let mut tar = "tar --extract --no-same-owner".to_owned();
    if let Some(level) = ud.parm.get("striplevel") {
        let level = level.as_deref().unwrap_or("");
        if level.is_empty() || !level.chars().all(|c| c.is_ascii_digit()) {
            return Err(FetchError::unpack(format!("Invalid striplevel parameter: {level}"), &ud.url));
        }
        tar.push_str(&format!(" --strip-components={level}"));
    }
    let plain = if ends(&[".gz", ".bz2", ".Z", ".xz", ".lz", ".zst"]) {
        join(root, basename(without_suffix(file)))
    } else {
        file.to_owned()
    };
    let through = |program: &str| Step::Shell(format!("{program} {file} | {tar} -f -"));
    let to_file = |program: &str| Step::Shell(format!("{program} {file} > {plain}"));
    Ok(if ends(&[".tar"]) {
        Step::Shell(format!("{tar} -f {file}"))
    } else if ends(&[".tgz", ".tar.gz", ".tar.Z"]) {
        Step::Shell(format!("{tar} -z -f {file}"))
    } else if ends(&[".tbz", ".tbz2", ".tar.bz2"]) {
        through("bzip2 -dc")
    } else if ends(&[".gz", ".Z", ".z"]) {
        to_file("gzip -dc")
    } else if ends(&[".bz2"]) {
        to_file("bzip2 -dc")
    } else if ends(&[".txz", ".tar.xz"]) {
        through("xz -dc")
    } else if ends(&[".xz"]) {
        to_file("xz -dc")
    } else if ends(&[".tar.lz"]) {
        through("lzip -dc")
    } else if ends(&[".lz"]) {
        to_file("lzip -dc")
    } else if ends(&[".tar.7z"]) {
        through("7z x -so")
    } else if ends(&[".7z"]) {
        Step::Shell(format!("7za x -y {file} 1>/dev/null"))
    } else if ends(&[".tzst", ".tar.zst"]) {
        through("zstd --decompress --stdout")
    } else if ends(&[".zst"]) {
        to_file("zstd --decompress --stdout")
    } else if ends(&[".zip", ".jar"]) {
        let dos = ud.parm_text("dos");
        let dos = to_boolean(dos.as_deref()).map_err(|_| {
            FetchError::Fatal(format!("Invalid value for 'dos' parameter for {file}: {}", dos.as_deref().unwrap_or("None")))
        })?;
        Step::Shell(format!("unzip -q -o{} '{file}'", if dos == Some(true) { " -a" } else { "" }))
    } else if ends(&[".rpm", ".srpm"]) {
        let command = format!("rpm2cpio.sh {file} | cpio --no-absolute-filenames -id");
        match ud.parm.get("extract") {
            Some(member) => {
                let member = member.clone().unwrap_or_default();
                Step::Member { command: format!("{command} {member}"), member }
            }
            None => Step::Shell(command),
        }
    } else if ends(&[".deb", ".ipk"]) {
        let data = shell_quote(&package_data(ud, file)?);
        Step::Shell(format!("ar x {} {data} && {tar} -p -f {data} && rm {data}", shell_quote(file)))
    } else {
        Step::Copy
    })
}

/// The member of a deb or ipk that holds its files.
fn package_data(ud: &UrlData, file: &str) -> Result<String> {
    const MEMBERS: [&str; 6] = ["data.tar", "data.tar.gz", "data.tar.xz", "data.tar.zst", "data.tar.bz2", "data.tar.lzma"];
    let out = Command::new("ar")
        .args(["-t", file])
        .stderr(Stdio::inherit())
        .output()
        .map_err(|e| FetchError::io(&e, "ar"))?;
    let list = String::from_utf8_lossy(&out.stdout).into_owned();
    if list.is_empty() || !out.status.success() {
        return Err(FetchError::unpack("Unable to unpack deb/ipk package - could not list contents", &ud.url));
    }
    list.lines().find(|l| MEMBERS.contains(l)).map(str::to_owned).ok_or_else(|| {
        FetchError::unpack("Unable to unpack deb/ipk package - does not contain supported data.tar* file", &ud.url)
    })
}

/// Directory to unpack in: `subdir` below `root` if given.
pub fn directory(ud: &UrlData, root: &str) -> Result<String> {
    let Some(subdir) = ud.parm.get("subdir") else { return Ok(root.to_owned()) };
    let subdir = subdir.as_deref().unwrap_or("");
    inside(ud, root, subdir)
}

/// `subdir` below `root`; an absolute one must lie below it.
pub fn inside(ud: &UrlData, root: &str, subdir: &str) -> Result<String> {
    if subdir.starts_with('/') && !files::realpath(subdir).starts_with(&files::realpath(root)) {
        return Err(FetchError::unpack(format!("subdir argument isn't a subdirectory of unpack root {root}"), &ud.url));
    }
    Ok(join(root, subdir))
}

/// Unpacks (or copies) `ud`'s local file below `root`.
///
/// # Errors
/// [`FetchError::Unpack`] for bad parameters or a failing program.
pub fn unpack(ud: &mut UrlData, root: &str, cx: &Cx<'_>) -> Result<()> {
    let file = ud.local().to_owned();
    let wanted = ud.parm_text("unpack");
    let wanted = to_boolean(wanted.as_deref())
        .map_err(|_| {
            FetchError::Fatal(format!("Invalid value for 'unpack' parameter for {file}: {}", wanted.as_deref().unwrap_or("None")))
        })?
        .unwrap_or(true);
    let step = if wanted { plan(ud, &file, root)? } else { Step::Copy };
    let dir = directory(ud, root)?;
    if ud.parm.contains_key("subdir") {
        files::mkdir(&dir)?;
    }
    let mut member = None;
    let command = match step {
        Step::Shell(command) => {
            cx.host.trace_unpack(ud, "archive-extract", &dir)?;
            command
        }
        Step::Member { command, member: name } => {
            cx.host.trace_unpack(ud, "archive-extract", &dir)?;
            member = Some(name);
            command
        }
        Step::Copy => {
            cx.host.trace_unpack(ud, "file-copy", &dir)?;
            let there = join(&dir, basename(&file));
            if file == there || same_file(&file, &there) {
                return Ok(());
            }
            let mut into = ".".to_owned();
            // Directories of a file:// URL are kept.
            if ud.scheme == "file" && let Some((dirs, _)) = ud.path.trim_matches('/').rsplit_once('/') {
                into = format!("{dirs}/");
                files::mkdir(&format!("{dir}/{into}"))?;
            }
            format!("cp --force --preserve=timestamps --no-dereference --recursive -H \"{file}\" \"{into}\"")
        }
    };
    run(ud, &command, &file, &dir, cx)?;
    if let Some(member) = member {
        ud.localpath = Some(format!("{root}/{member}"));
        unpack(ud, root, cx)?;
    }
    Ok(())
}

/// Runs an unpack command in `dir` with the store's PATH, its output going where ours goes.
pub fn run(ud: &UrlData, command: &str, file: &str, dir: &str, cx: &Cx<'_>) -> Result<()> {
    let command = match cx.var("PATH")?.filter(|p| !p.is_empty()) {
        Some(path) => format!("PATH=\"{path}\" {command}"),
        None => command.to_owned(),
    };
    cx.note(format!("Unpacking {file} to {dir}/"));
    let status = Command::new("/bin/sh")
        .args(["-c", &command])
        .current_dir(dir)
        .status()
        .map_err(|e| FetchError::io(&e, dir))?;
    if !status.success() {
        let code = exit_code(status);
        return Err(FetchError::unpack(format!("Unpack command {command} failed with return value {code}"), &ud.url));
    }
    Ok(())
}

fn same_file(a: &str, b: &str) -> bool {
    use std::os::unix::fs::MetadataExt;
    match (std::fs::metadata(a), std::fs::metadata(b)) {
        (Ok(a), Ok(b)) => a.ino() == b.ino() && a.dev() == b.dev(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suffixes() {
        assert_eq!(without_suffix("/a.b/c.tar.gz"), "/a.b/c.tar");
        assert_eq!(without_suffix("/a.b/.hidden"), "/a.b/.hidden");
        assert_eq!(without_suffix("/a/c"), "/a/c");
    }
}
