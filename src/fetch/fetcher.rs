//! The sequence in which a URL is brought here: what is there, premirrors, upstream, mirrors; and
//! checking, unpacking and cleaning.

use crate::checksum::rename_bad;
use crate::command::trusted_network;
use crate::context::Cx;
use crate::error::{FetchError, Kind, Result};
use crate::files;
use crate::mirror;
use crate::urldata::UrlData;

/// Downloads every URL that is not there yet.
///
/// # Errors
/// The first URL that no source gave. Missing checksums (BB_STRICT_CHECKSUM) are collected over all
/// URLs and told at the end.
pub fn download<'u>(items: impl IntoIterator<Item = (&'u str, &'u mut UrlData)>, cx: &Cx<'_>) -> Result<()> {
    let mut without = Vec::new();
    for (url, ud) in items {
        match one(url, ud, cx) {
            Err(FetchError::NoChecksum { message }) => without.push(message),
            Err(FetchError::Io { errno: libc::ESTALE, .. }) => {
                cx.error(format!("Stale Error Observed {url}."));
                return Err(FetchError::Checksum { message: "Stale Error Detected".into(), url: None, checksum: None });
            }
            Err(e) => {
                match e.kind() {
                    Kind::NoChecksum => {
                        without.push(e.to_string());
                        continue;
                    }
                    Kind::Checksum => cx.error(format!("Checksum failure fetching {url}")),
                    _ => {}
                }
                return Err(e);
            }
            Ok(()) => {}
        }
    }
    if without.is_empty() { Ok(()) } else { Err(missing_checksums(cx, &without)) }
}

/// Tells of missing checksums; gives the error to fail with.
pub fn missing_checksums(cx: &Cx<'_>, messages: &[String]) -> FetchError {
    cx.error(format!("Missing SRC_URI checksum, please add those to the recipe: \n{}", messages.join("\n")));
    FetchError::MissingSums
}

fn one(url: &str, ud: &mut UrlData, cx: &Cx<'_>) -> Result<()> {
    ud.setup_localpath(cx)?;
    let method = ud.method.clone();
    let _lock = ud.lockfile.as_deref().map(files::lock).transpose()?;
    let mut done = false;
    if method.verify_donestamp(ud, cx)? && !method.need_update(ud, cx)? {
        done = true;
    } else if method.try_premirror(ud, cx)? {
        cx.debug("Trying PREMIRRORS");
        let mirrors = mirror::parse(cx, &cx.var_or("PREMIRRORS", "")?);
        done = method.try_mirrors(ud, cx, &mirrors, false)?;
        if done {
            // A bad file there must not keep us from asking upstream.
            match method.update_donestamp(ud, cx) {
                Err(e) if e.kind() == Kind::Checksum => {
                    cx.warning(format!(
                        "Checksum failure encountered with premirror download of {url} - will attempt other sources."
                    ));
                    cx.debug(e.to_string());
                    done = false;
                }
                other => other?,
            }
        }
    }
    let copy;
    let mut cx = *cx;
    if cx.var_true("BB_FETCH_PREMIRRORONLY")? {
        copy = cx.d.create_copy();
        cx = cx.with(&copy);
        cx.set("BB_NO_NETWORK", "1")?;
    }
    let mut first_error = None;
    if done {
        // What came from a mirror is checked once more against the stamp.
        method.verify_donestamp(ud, &cx)?;
    } else {
        match upstream(ud, &cx) {
            Ok(()) => done = true,
            Err(e) => {
                match e.kind() {
                    Kind::NetworkAccess | Kind::NoChecksum | Kind::Other => return Err(e),
                    Kind::Checksum => {
                        cx.warning(format!(
                            "Checksum failure encountered with download of {url} - will attempt other sources if available"
                        ));
                        cx.debug(e.to_string());
                        if files::exists(ud.local()) {
                            rename_bad(ud, &cx, e.checksum().as_deref());
                        }
                    }
                    Kind::Fetch => {
                        cx.warning(format!("Failed to fetch URL {url}, attempting MIRRORS if available"));
                        cx.debug(e.to_string());
                    }
                }
                first_error = Some(e);
                if method.cleanup_upon_failure()? {
                    method.clean(ud, &cx)?;
                }
                cx.debug("Trying MIRRORS");
                let mirrors = mirror::parse(&cx, &cx.var_or("MIRRORS", "")?);
                done = method.try_mirrors(ud, &cx, &mirrors, false)?;
            }
        }
    }
    if !done || !method.done(ud, &cx)? {
        if let Some(e) = first_error {
            cx.error(e.to_string());
        }
        return Err(FetchError::at("Unable to fetch URL from any source.", url));
    }
    method.update_donestamp(ud, &cx)
}

/// Asks the URL's own host, and checks what came while a mirror can still be asked.
fn upstream(ud: &mut UrlData, cx: &Cx<'_>) -> Result<()> {
    let method = ud.method.clone();
    if !trusted_network(cx, &ud.url)? {
        return Err(FetchError::Untrusted { url: ud.url.clone(), message: None });
    }
    cx.debug("Trying Upstream");
    method.download(ud, cx)?;
    method.build_mirror_data(ud, cx)?;
    method.update_donestamp(ud, cx)
}

/// Asks whether every URL exists, at premirrors, upstream or mirrors.
///
/// # Errors
/// "URL doesn't work" for the first that does not.
pub fn checkstatus<'u>(items: impl IntoIterator<Item = (&'u str, &'u mut UrlData)>, cx: &Cx<'_>) -> Result<()> {
    for (url, ud) in items {
        ud.setup_localpath(cx)?;
        let method = ud.method.clone();
        cx.debug(format!("Testing URL {url}"));
        let before = mirror::parse(cx, &cx.var_or("PREMIRRORS", "")?);
        if method.try_mirrors(ud, cx, &before, true)? || method.checkstatus(ud, cx)? {
            continue;
        }
        let after = mirror::parse(cx, &cx.var_or("MIRRORS", "")?);
        if !method.try_mirrors(ud, cx, &after, true)? {
            return Err(FetchError::at("URL doesn't work", url));
        }
    }
    Ok(())
}

/// Unpacks one URL below `root`, holding its lock. With `update` an existing checkout is brought
/// up to date instead.
pub fn unpack(ud: &mut UrlData, root: &str, update: bool, cx: &Cx<'_>) -> Result<()> {
    let method = ud.method.clone();
    if update { method.unpack_update(ud, root, cx) } else { method.unpack(ud, root, cx) }
}

/// Removes what fetching one URL left.
pub fn clean(ud: &mut UrlData, cx: &Cx<'_>) -> Result<()> {
    ud.setup_localpath(cx)?;
    if ud.localfile.is_empty() && ud.localpath.is_none() {
        return Ok(());
    }
    let _lock = ud.lockfile.as_deref().map(files::lock).transpose()?;
    ud.method.clone().clean(ud, cx)?;
    match &ud.donestamp {
        Some(stamp) => files::remove(stamp, false),
        None => Ok(()),
    }
}
