//! Checksums of downloads: computing them in one reading, comparing them with the recipe, and
//! remembering them in `FILE.done`, a pickled dictionary that other BitBakes read and write too.

use crate::context::Cx;
use crate::error::{FetchError, Kind, Result};
use crate::files;
use crate::pickle;
use crate::urldata::{CHECKSUMS, SHOWN_CHECKSUM, UrlData};
use crate::zip;
use indexmap::IndexMap;
use md5::Md5;
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha384, Sha512};
use std::fs::File;
use std::io::Read;

/// Checksum name to hexadecimal value, in the order of [`CHECKSUMS`].
pub type Sums = IndexMap<String, String>;

/// All checksums of a file, each computed at most once; `known` ones are taken over.
///
/// # Errors
/// The file cannot be read.
pub fn compute(path: &str, known: &Sums) -> Result<Sums> {
    let mut fresh = None;
    let mut out = Sums::new();
    for id in CHECKSUMS {
        let value = match known.get(id) {
            Some(v) => v.clone(),
            None => {
                if fresh.is_none() {
                    fresh = Some(read_sums(path)?);
                }
                fresh.as_ref().and_then(|f: &Sums| f.get(id)).cloned().unwrap_or_default()
            }
        };
        out.insert(id.to_owned(), value);
    }
    Ok(out)
}

fn read_sums(path: &str) -> Result<Sums> {
    let fail = |e: std::io::Error| FetchError::io(&e, path);
    let mut file = File::open(path).map_err(fail)?;
    let (mut md5, mut sha1) = (Md5::new(), Sha1::new());
    let (mut sha256, mut sha384, mut sha512) = (Sha256::new(), Sha384::new(), Sha512::new());
    let mut buffer = vec![0; 1 << 18];
    loop {
        let n = match file.read(&mut buffer) {
            Ok(0) => break,
            Ok(n) => n,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(fail(e)),
        };
        let part = &buffer[..n];
        md5.update(part);
        sha1.update(part);
        sha256.update(part);
        sha384.update(part);
        sha512.update(part);
    }
    let sha256 = hex::encode(sha256.finalize());
    let mut out = Sums::new();
    out.insert("goh1".into(), goh1(path, &sha256)?);
    out.insert("md5".into(), hex::encode(md5.finalize()));
    out.insert("sha1".into(), hex::encode(sha1.finalize()));
    out.insert("sha384".into(), hex::encode(sha384.finalize()));
    out.insert("sha512".into(), hex::encode(sha512.finalize()));
    out.insert("sha256".into(), sha256);
    Ok(out)
}

/// The hash that go.sum lists: over the members of a zip, or over the file as a `go.mod`.
fn goh1(path: &str, sha256: &str) -> Result<String> {
    let mut lines = String::new();
    match zip::members(path) {
        Some(mut members) => {
            members.sort_by(|a, b| a.0.cmp(&b.0));
            for (name, content) in members {
                lines.push_str(&format!("{}  {name}\n", hex::encode(Sha256::digest(&content))));
            }
        }
        None => lines = format!("{sha256}  go.mod\n"),
    }
    Ok(hex::encode(Sha256::digest(lines.as_bytes())))
}

/// MD5 of a file, as file-checksums of tasks use it.
///
/// # Errors
/// The file cannot be read.
pub fn md5_file(path: &str) -> std::io::Result<String> {
    let mut file = File::open(path)?;
    let mut md5 = Md5::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(hex::encode(md5.finalize())),
            Ok(n) => md5.update(&buffer[..n]),
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
}

/// Compares the file with what the recipe expects; gives the sums to be kept in the done stamp
/// (none for what has no checksum).
///
/// # Errors
/// [`FetchError::Checksum`] for any that differs; [`FetchError::NoChecksum`] when there is none,
/// there should be one and BB_STRICT_CHECKSUM is "1".
pub fn verify(ud: &UrlData, cx: &Cx<'_>, known: &Sums, path: Option<&str>, need_one: bool) -> Result<Sums> {
    if ud.ignore_checksums || !ud.method.supports_checksum(ud)? {
        return Ok(Sums::new());
    }
    let path = path.unwrap_or_else(|| ud.local());
    let sums = compute(path, known)?;
    let suggestion: Vec<String> = ud
        .sums
        .iter()
        .filter(|s| s.id == SHOWN_CHECKSUM)
        .map(|s| format!("SRC_URI[{}] = \"{}\"", s.name, sums[s.id]))
        .collect();
    let expected: Vec<_> =
        ud.sums.iter().filter_map(|s| Some((s.id, s.expected.as_deref().filter(|e| !e.is_empty())?))).collect();

    if need_one && expected.is_empty() && ud.method.recommends_checksum(ud)? {
        let strict = cx.var_or("BB_STRICT_CHECKSUM", "0")?;
        if strict == "1" {
            return Err(FetchError::NoChecksum { message: suggestion.join("\n") });
        }
        let list: Vec<_> = CHECKSUMS.iter().map(|id| (*id, sums[*id].clone())).collect();
        cx.host.missing_checksum(cx.d, &ud.url, &list)?;
        if strict == "ignore" {
            return Ok(sums);
        }
        cx.warning(format!(
            "Missing checksum for '{}', consider adding at least one to the recipe:\n{}",
            ud.local(),
            suggestion.join("\n")
        ));
    }

    let mut lines = vec!["Checksum mismatch!".to_owned()];
    let mut bad = None;
    for (id, expected) in expected {
        let found = &sums[id];
        if expected != found {
            lines.push(format!("File: '{path}' has {id} checksum '{found}' when '{expected}' was expected"));
            bad = Some(found.clone());
        }
    }
    let Some(bad) = bad else { return Ok(sums) };
    lines.push("If this change is expected (e.g. you have upgraded to a new version without updating the checksums) then you can use these lines within the recipe:".into());
    lines.extend(suggestion);
    lines.push("Otherwise you should retry the download and/or check with upstream to determine if the file has become corrupted or otherwise unexpectedly modified.".into());
    Err(FetchError::Checksum { message: lines.join("\n"), url: Some(ud.url.clone()), checksum: Some(bad) })
}

/// Is the download there and, by its done stamp or by computing, right? A stamp that says wrong is
/// removed, a bad file set aside. `origin` is the URL that a mirror's file stands in for.
///
/// # Errors
/// As [`verify`], but for mismatches, which give false.
pub fn verify_donestamp(ud: &UrlData, cx: &Cx<'_>, origin: Option<&UrlData>) -> Result<bool> {
    if !ud.needdonestamp || origin.is_some_and(|o| !o.needdonestamp) {
        return Ok(true);
    }
    let stamp = ud.donestamp.as_deref().unwrap_or("");
    if !files::exists(ud.local()) {
        if files::exists(stamp) {
            files::remove(stamp, false)?;
        }
        return Ok(false);
    }
    let summed = ud.method.supports_checksum(ud)?
        && match origin {
            Some(o) => o.method.supports_checksum(o)?,
            None => true,
        };
    if !summed {
        return Ok(files::exists(stamp));
    }
    let mut known = Sums::new();
    if files::exists(stamp) && (files::is_dir(ud.local()) || mtime(ud.local()) < mtime(stamp)) {
        match std::fs::read(stamp).map_err(|e| ("OSError".to_owned(), e.to_string())).and_then(|b| pickle::load(&b)) {
            Ok(sums) => known = sums,
            // Stamps of mirror tarballs are empty.
            Err((class, _)) if class == "EOFError" => {}
            Err((class, text)) => {
                cx.warning(format!("Couldn't load checksums from donestamp {stamp}: {class} (msg: {text})"));
            }
        }
    }
    match verify(ud, cx, &known, None, true) {
        Ok(sums) => {
            if !pickle::same(&sums, &known) {
                files::write_beside(stamp, &pickle::dump(&sums))?;
            }
            Ok(true)
        }
        Err(e) if e.kind() == Kind::Checksum => {
            set_aside(ud, cx, &e)?;
            Ok(false)
        }
        Err(e) => Err(e),
    }
}

/// Says that the download is complete: touches the done stamp, or checks the file and writes one.
///
/// # Errors
/// As [`verify`]; on a mismatch the file is set aside first.
pub fn update_donestamp(ud: &UrlData, cx: &Cx<'_>) -> Result<()> {
    if !ud.needdonestamp {
        return Ok(());
    }
    let stamp = ud.donestamp.as_deref().unwrap_or("");
    if files::exists(stamp) {
        // Shows that the download is in use; not being allowed to is fine.
        if let Ok(file) = File::options().append(true).open(stamp) {
            let _ = file.set_modified(std::time::SystemTime::now());
        }
        return Ok(());
    }
    match verify(ud, cx, &Sums::new(), None, true) {
        Ok(sums) => files::write_beside(stamp, &pickle::dump(&sums)),
        Err(e) => {
            if e.kind() == Kind::Checksum {
                set_aside(ud, cx, &e)?;
            }
            Err(e)
        }
    }
}

fn set_aside(ud: &UrlData, cx: &Cx<'_>, error: &FetchError) -> Result<()> {
    cx.warning(format!("Checksum mismatch for local file {}\nCleaning and trying again.", ud.local()));
    if files::exists(ud.local()) {
        rename_bad(ud, cx, error.checksum().as_deref());
    }
    files::remove(ud.donestamp.as_deref().unwrap_or(""), false)
}

/// Renames a bad download to `FILE_bad-checksum_SUM`.
pub fn rename_bad(ud: &UrlData, cx: &Cx<'_>, sum: Option<&str>) {
    let Some(path) = ud.localpath.as_deref() else { return };
    let aside = format!("{path}_bad-checksum_{}", sum.unwrap_or("None"));
    cx.warn(format!("Renaming {path} to {aside}"));
    if std::fs::rename(path, &aside).is_err() {
        cx.warn(format!("Renaming {path} to {aside} failed, grep movefile in log.do_fetch to see why"));
    }
}

fn mtime(path: &str) -> Option<std::time::SystemTime> {
    std::fs::metadata(path).and_then(|m| m.modified()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_of_a_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "hello\n").unwrap();
        let path = file.path().to_str().unwrap();
        let sums = compute(path, &Sums::new()).unwrap();
        assert_eq!(sums.keys().map(String::as_str).collect::<Vec<_>>(), CHECKSUMS);
        assert_eq!(sums["md5"], "b1946ac92492d2347c6235b4d2611184");
        assert_eq!(sums["sha256"], "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03");
        assert_eq!(md5_file(path).unwrap(), sums["md5"]);
        // sha256("5891…be03  go.mod\n")
        let expected = hex::encode(Sha256::digest(format!("{}  go.mod\n", sums["sha256"])));
        assert_eq!(sums["goh1"], expected);
        let mut known = Sums::new();
        known.insert("md5".into(), "kept".into());
        assert_eq!(compute(path, &known).unwrap()["md5"], "kept");
    }
}
