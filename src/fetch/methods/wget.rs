//! `http`, `https`, `ftp`, `ftps`, by wget (FETCHCMD_wget). Others that end in a plain download
//! use its functions.

use super::Method;
use crate::checksum::{self, Sums};
use crate::command::{LineFilter, Run, check_network_access, run_with, shell_quote};
use crate::context::Cx;
use crate::error::{FetchError, Result};
use crate::files;
use crate::urldata::{UrlData, basename, dirname, join};

pub struct Wget;

impl Method for Wget {
    fn name(&self) -> &'static str {
        "wget"
    }
    fn supports(&self, ud: &UrlData, _cx: &Cx<'_>) -> Result<bool> {
        Ok(matches!(ud.scheme.as_str(), "http" | "https" | "ftp" | "ftps"))
    }
    fn recommends_checksum(&self, _ud: &UrlData) -> Result<bool> {
        Ok(true)
    }
    fn urldata_init(&self, ud: &mut UrlData, _cx: &Cx<'_>) -> Result<()> {
        init(ud)
    }
    fn download(&self, ud: &mut UrlData, cx: &Cx<'_>) -> Result<()> {
        download(ud, cx)
    }
    fn checkstatus(&self, ud: &mut UrlData, cx: &Cx<'_>) -> Result<bool> {
        checkstatus(ud, cx)
    }
    fn latest_versionstring(&self, ud: &mut UrlData, _cx: &Cx<'_>) -> Result<(String, String)> {
        Err(super::unsupported(ud, "looking for newer releases"))
    }
}

/// Names the file: `downloadfilename`, the last part of the path, else host and path.
pub fn init(ud: &mut UrlData) -> Result<()> {
    if ud.parm_text("protocol").as_deref() == Some("git") {
        return Err(FetchError::parameter(
            "Invalid protocol - if you wish to fetch from a git repository using http, you need to instead use the git:// prefix with protocol=http",
            &ud.url,
        ));
    }
    let name = ud.parm_text("downloadfilename").unwrap_or_else(|| basename(&ud.path).to_owned());
    ud.localfile = if name.is_empty() { format!("{}{}", ud.host, ud.path.replace('/', ".")) } else { name.clone() };
    ud.basename = Some(name);
    Ok(())
}

/// FETCHCMD_wget with the options that the URL and the configuration call for.
pub fn base_command(ud: &UrlData, cx: &Cx<'_>) -> Result<String> {
    let mut command = cx.var_or("FETCHCMD_wget", "/usr/bin/env wget --tries=2 --timeout=100")?;
    if matches!(ud.scheme.as_str(), "ftp" | "ftps") {
        command.push_str(" --passive-ftp");
    }
    if cx.var_or("BB_CHECK_SSL_CERTS", "1")? == "0" {
        command.push_str(" --no-check-certificate");
    }
    Ok(command)
}

/// Runs wget, turning its dots into progress.
pub fn run_wget(ud: &UrlData, cx: &Cx<'_>, command: &str, workdir: Option<&str>) -> Result<()> {
    let mut filter = LineFilter::new(*cx, 0.0);
    cx.debug2(format!("Fetching {} using command '{command}'", ud.url));
    check_network_access(cx, command, &ud.url)?;
    let mut log = |text: &str| filter.feed(text, progress);
    run_with(cx, &format!("{command} --progress=dot --verbose"), Run { workdir, log: Some(&mut log), cleanup: &[] })?;
    Ok(())
}

/// A line such as `  1050K .......... ..........  75% 1.23M 0s`.
fn progress(filter: &mut LineFilter<'_>, line: &str) -> bool {
    let mut found = None;
    for (at, _) in line.match_indices('%') {
        let digits = line[..at].bytes().rev().take_while(u8::is_ascii_digit).count();
        let after = line[at + 1..].trim_start();
        let number = after.bytes().take_while(|b| b.is_ascii_digit() || *b == b'.').count();
        let unit = after[number..].chars().next().filter(char::is_ascii_uppercase);
        if digits > 0 && after.len() < line.len() - at - 1 && number > 0 && unit.is_some() {
            found = line[at - digits..at].parse().ok().map(|p: i64| (p, format!("{}/s", &after[..=number])));
        }
    }
    match found {
        Some((percent, rate)) => {
            filter.progress(percent, Some(&rate));
            true
        }
        None => false,
    }
}

/// Fetches to `NAME.tmp`, checks, renames.
pub fn download(ud: &mut UrlData, cx: &Cx<'_>) -> Result<()> {
    let dldir = files::realpath(&cx.dldir()?);
    let target = join(&dldir, &ud.localfile);
    let temporary = format!("{target}.tmp");
    files::mkdir(dirname(&target))?;
    let mut command = format!("{} --output-document={}", base_command(ud, cx)?, shell_quote(&temporary));
    if !ud.user.is_empty() && !ud.pswd.is_empty() {
        command.push_str(" --auth-no-challenge");
        // Given as options the credentials follow redirections, which not every host bears.
        if ud.parm_or("redirectauth", "1") == "1" {
            command.push_str(&format!(" --user={} --password={}", ud.user, ud.pswd));
        }
    }
    let uri = ud.url.split(';').next().unwrap_or("").to_owned();
    command.push_str(&format!(" --continue --directory-prefix={dldir} '{uri}'"));
    run_wget(ud, cx, &command, None)?;
    sane(&temporary, &uri)?;
    // Checked before it takes the place of a file that somebody else may be using.
    checksum::verify(ud, cx, &Sums::new(), Some(&temporary), false)?;
    std::fs::rename(&temporary, &target).map_err(|e| FetchError::io(&e, temporary))
}

/// The file is there and not empty; wget may say success either way.
fn sane(file: &str, uri: &str) -> Result<()> {
    match std::fs::metadata(file) {
        Err(_) => Err(FetchError::at(
            format!("The fetch command returned success for url {uri} but {file} doesn't exist?!"),
            uri,
        )),
        Ok(m) if m.len() == 0 => {
            files::remove(file, false)?;
            Err(FetchError::at(
                format!("The fetch of {uri} resulted in a zero size file?! Deleting and failing since this isn't right."),
                uri,
            ))
        }
        Ok(_) => Ok(()),
    }
}

/// Asks for the headers only.
pub fn checkstatus(ud: &UrlData, cx: &Cx<'_>) -> Result<bool> {
    let uri = ud.url.split(';').next().unwrap_or("");
    let mut command = format!("{} --spider --quiet", base_command(ud, cx)?);
    if !ud.user.is_empty() && !ud.pswd.is_empty() {
        command.push_str(&format!(" --auth-no-challenge --user={} --password={}", shell_quote(&ud.user), shell_quote(&ud.pswd)));
    }
    command.push_str(&format!(" {}", shell_quote(uri)));
    match run_with(cx, &command, Run::default()) {
        Ok(_) => Ok(true),
        Err(e) if e.is_fetch() => {
            cx.debug2(format!("checkstatus() urlopen failed for {uri}: {e}"));
            Ok(false)
        }
        Err(e) => Err(e),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::Native;

    #[test]
    fn progress_lines() {
        let d = crate::tests::store();
        let mut filter = LineFilter::new(Cx::new(&d, &Native), 0.0);
        assert!(progress(&mut filter, "  1050K .......... ..........  75% 1.23M 0s"));
        assert!(!progress(&mut filter, "Saving to: 'x100%'"));
        assert!(!progress(&mut filter, "100%"));
    }
}
