//! Running the programs that fetch: their environment, their output, their failures; and asking
//! whether the network may be used.

use crate::context::Cx;
use crate::error::{FetchError, Result};
use crate::uri::decode_url;
use hz_data::{DataError, RAW};
use std::io::Read;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus, Stdio};

/// Variables handed to fetch programs, from the store or else the original environment.
pub const EXPORTED: &[&str] = &[
    "HOME", "PATH", "HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "FTP_PROXY", "ftp_proxy", "FTPS_PROXY",
    "ftps_proxy", "NO_PROXY", "no_proxy", "ALL_PROXY", "all_proxy", "GIT_CONFIG_GLOBAL", "GIT_PROXY_COMMAND", "GIT_SSH",
    "GIT_SSH_COMMAND", "GIT_SSL_CAINFO", "GIT_SMART_HTTP", "SSH_AUTH_SOCK", "SSH_AGENT_PID", "SOCKS5_USER",
    "SOCKS5_PASSWD", "DBUS_SESSION_BUS_ADDRESS", "P4CONFIG", "SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS", "AWS_PROFILE",
    "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ROLE_ARN", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_DEFAULT_REGION",
    "AWS_SESSION_TOKEN", "GIT_CACHE_PATH", "REMOTE_CONTAINERS_IPC", "GITHUB_TOKEN", "SSL_CERT_DIR",
];

/// How to run a command.
#[derive(Default)]
pub struct Run<'a> {
    pub workdir: Option<&'a str>,
    /// Removed when the command fails.
    pub cleanup: &'a [String],
    /// Watches the output while the command runs; the output then is not part of the error.
    pub log: Option<&'a mut dyn FnMut(&str)>,
}

/// `get_fetcher_environment`: name and value of each exported variable that has one.
///
/// # Errors
/// A variable does not expand.
pub fn environment(cx: &Cx<'_>, names: &[String]) -> Result<Vec<(String, String)>> {
    let original = cx.host.original_environment(cx.d);
    let mut out = Vec::new();
    for name in names {
        let mut value = cx.var(name)?.filter(|v| !v.is_empty());
        if let (None, Some(store)) = (&value, &original) {
            value = store.get(name)?.map(|v| v.to_string()).filter(|v| !v.is_empty());
        }
        if let Some(value) = value {
            out.push((name.clone(), value));
        }
    }
    Ok(out)
}

/// `runfetchcmd` in short.
pub fn run(cx: &Cx<'_>, command: &str, workdir: Option<&str>) -> Result<String> {
    run_with(cx, command, Run { workdir, ..Run::default() })
}

/// Runs a shell command with the exported environment in front; gives its standard output.
///
/// # Errors
/// [`FetchError::Fetch`] with the command and its output if it fails.
pub fn run_with(cx: &Cx<'_>, command: &str, run: Run<'_>) -> Result<String> {
    let names: Vec<String> = EXPORTED.iter().map(|s| (*s).to_owned()).collect();
    run_exporting(cx, command, run, &names)
}

/// As [`run_with`], with another list of variables (`bb.fetch2.FETCH_EXPORT_VARS` may be changed).
pub fn run_exporting(cx: &Cx<'_>, command: &str, mut run: Run<'_>, names: &[String]) -> Result<String> {
    // PATH may hold WORKDIR, which holds PV, which may hold the revision that we are about to ask
    // for: break that circle in a copy.
    let copy;
    let mut cx = *cx;
    if matches!(cx.d.get("PV"), Err(DataError::Expansion { .. })) || matches!(cx.d.get("PR"), Err(DataError::Expansion { .. })) {
        copy = cx.d.create_copy();
        cx = cx.with(&copy);
        cx.set("PV", "fetcheravoidrecurse")?;
        cx.set("PR", "fetcheravoidrecurse")?;
    }
    let mut line = command.to_owned();
    for (name, value) in environment(&cx, names)? {
        line = format!("export {name}=\"{value}\"; {line}");
    }
    line = format!("export PSEUDO_DISABLED=1; {line}");
    match run.workdir {
        Some(dir) => cx.debug(format!("Running '{line}' in {dir}")),
        None => cx.debug(format!("Running {line}")),
    }
    let logged = run.log.is_some();
    let message = match shell(&line, run.workdir, run.log.take()) {
        Ok((status, stdout, _)) if status.success() => return Ok(stdout),
        Ok((status, stdout, stderr)) => {
            let output = if logged {
                // What was logged is not repeated.
                "see logfile for output".to_owned()
            } else if !stdout.is_empty() {
                format!("output:\n{stdout}\n{stderr}")
            } else if !stderr.is_empty() {
                format!("output:\n{stderr}")
            } else {
                "no output".to_owned()
            };
            format!("Fetch command {line} failed with exit code {}, {output}", exit_code(status))
        }
        Err(e) if e.kind() == std::io::ErrorKind::NotFound && run.workdir.is_none() => format!("Fetch command {line} not found"),
        Err(e) if run.workdir.is_some_and(|d| !std::path::Path::new(d).is_dir()) => {
            return Err(FetchError::io(&e, run.workdir.unwrap_or("")));
        }
        Err(e) => format!("Fetch command {line} could not be run:\n{e}"),
    };
    for path in run.cleanup {
        let _ = crate::files::remove(path, true);
    }
    Err(FetchError::new(message))
}

/// Exit code as Python counts it: minus the signal.
pub fn exit_code(status: ExitStatus) -> i32 {
    status.code().unwrap_or_else(|| -status.signal().unwrap_or(1))
}

type Output = (ExitStatus, String, String);

fn shell(line: &str, workdir: Option<&str>, log: Option<&mut dyn FnMut(&str)>) -> std::io::Result<Output> {
    let mut command = Command::new("/bin/sh");
    command.arg("-c").arg(line).stdin(Stdio::null());
    if let Some(dir) = workdir {
        command.current_dir(dir);
    }
    let Some(log) = log else {
        let out = command.output()?;
        return Ok((out.status, lossy(out.stdout), lossy(out.stderr)));
    };
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let (mut stdout, mut stderr) = (child.stdout.take(), child.stderr.take());
    let mut seen = String::new();
    while stdout.is_some() || stderr.is_some() {
        let fds: Vec<_> = [stdout.as_ref().map(|f| f.as_fd()), stderr.as_ref().map(|f| f.as_fd())].into_iter().flatten().collect();
        let mut polls: Vec<_> = fds.iter().map(|fd| nix::poll::PollFd::new(*fd, nix::poll::PollFlags::POLLIN)).collect();
        match nix::poll::poll(&mut polls, nix::poll::PollTimeout::NONE) {
            Err(nix::errno::Errno::EINTR) => continue,
            Err(e) => return Err(e.into()),
            Ok(_) => {}
        }
        let ready: Vec<i32> = polls
            .iter()
            .zip(&fds)
            .filter(|(p, _)| p.revents().is_some_and(|r| !r.is_empty()))
            .map(|(_, fd)| fd.as_raw_fd())
            .collect();
        let mut buffer = [0; 8192];
        if stdout.as_ref().is_some_and(|f| ready.contains(&f.as_raw_fd())) {
            let n = stdout.as_mut().map_or(Ok(0), |f| f.read(&mut buffer))?;
            if n == 0 {
                stdout = None;
            }
            let text = String::from_utf8_lossy(&buffer[..n]);
            seen.push_str(&text);
            log(&text);
        }
        if stderr.as_ref().is_some_and(|f| ready.contains(&f.as_raw_fd())) {
            let n = stderr.as_mut().map_or(Ok(0), |f| f.read(&mut buffer))?;
            if n == 0 {
                stderr = None;
            }
            log(&String::from_utf8_lossy(&buffer[..n]));
        }
    }
    let status = child.wait()?;
    Ok((status, seen, String::new()))
}

fn lossy(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned())
}

/// Takes a command's output apart at line ends and carriage returns; `line` says whether it was
/// only progress. Everything else goes to the task's log.
pub struct LineFilter<'a> {
    cx: Cx<'a>,
    buffer: String,
    shown: i64,
    last: std::time::Instant,
}

impl<'a> LineFilter<'a> {
    pub fn new(cx: Cx<'a>, first: f64) -> Self {
        cx.host.progress(cx.d, first, None);
        LineFilter { cx, buffer: String::new(), shown: 0, last: std::time::Instant::now() }
    }
    pub fn progress(&mut self, percent: i64, rate: Option<&str>) {
        let percent = percent.min(100);
        if percent != self.shown || self.last.elapsed().as_secs_f64() > 1.0 {
            self.cx.host.progress(self.cx.d, percent as f64, rate);
            self.shown = percent;
            self.last = std::time::Instant::now();
        }
    }
    pub fn feed(&mut self, text: &str, mut is_progress: impl FnMut(&mut Self, &str) -> bool) {
        self.buffer.push_str(text);
        while let Some(end) = self.buffer.find('\n').or_else(|| self.buffer.find('\r')) {
            let line: String = self.buffer.drain(..=end).collect();
            let body = &line[..line.len() - 1];
            let start = body.rfind('\r').map_or(0, |at| at + 1);
            let clean = without_colors(&line[start..]);
            if !is_progress(self, &clean) {
                self.cx.host.output(&clean);
            }
        }
    }
}

fn without_colors(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if c == '\x1b' && chars.peek() == Some(&'[') {
            chars.next();
            while chars.next().is_some_and(|c| !('@'..='~').contains(&c)) {}
        } else {
            out.push(c);
        }
    }
    out
}

/// `trusted_network`: may this URL's host be asked, by BB_ALLOWED_NETWORKS?
///
/// # Errors
/// The URL or a variable is malformed.
pub fn trusted_network(cx: &Cx<'_>, url: &str) -> Result<bool> {
    if cx.var_true("BB_NO_NETWORK")? {
        return Ok(true);
    }
    let mut trusted = None;
    if let Some(pn) = cx.var("PN")?.filter(|p| !p.is_empty()) {
        trusted = cx.d.get_flag("BB_ALLOWED_NETWORKS", &pn, RAW)?.map(|v| v.to_text().to_string()).filter(|v| !v.is_empty());
    }
    if trusted.is_none() {
        trusted = cx.var("BB_ALLOWED_NETWORKS")?.filter(|v| !v.is_empty());
    }
    let Some(trusted) = trusted else { return Ok(true) };
    let host = decode_url(url)?.host;
    if host.is_empty() {
        return Ok(true);
    }
    Ok(host_allowed(&trusted, &host))
}

fn host_allowed(trusted: &str, host: &str) -> bool {
    let host = host.split(':').next().unwrap_or("").to_lowercase();
    trusted.to_lowercase().split(' ').any(|allowed| match allowed.strip_prefix('*') {
        Some(domain) if domain.starts_with('.') && format!(".{host}").ends_with(domain) => true,
        _ => allowed == host,
    })
}

/// `check_network_access`: to be asked before anything leaves the machine.
///
/// # Errors
/// [`FetchError::NetworkAccess`] under BB_NO_NETWORK, [`FetchError::Untrusted`] for a host that is
/// not in BB_ALLOWED_NETWORKS.
pub fn check_network_access(cx: &Cx<'_>, command: &str, url: &str) -> Result<()> {
    if cx.var_true("BB_NO_NETWORK")? {
        return Err(FetchError::NetworkAccess { url: url.into(), command: command.into() });
    }
    if !trusted_network(cx, url)? {
        return Err(FetchError::Untrusted { url: url.into(), message: Some(command.into()) });
    }
    cx.debug(format!("Fetcher accessed the network with the command {command}"));
    Ok(())
}

/// Python's `shlex.quote`.
pub fn shell_quote(text: &str) -> String {
    let safe = |c: char| c.is_ascii_alphanumeric() || "_@%+=:,./-".contains(c);
    if !text.is_empty() && text.chars().all(safe) { text.to_owned() } else { format!("'{}'", text.replace('\'', "'\"'\"'")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoting() {
        assert_eq!(shell_quote("a/b-1.0"), "a/b-1.0");
        assert_eq!(shell_quote("a b"), "'a b'");
        assert_eq!(shell_quote("a'b"), "'a'\"'\"'b'");
        assert_eq!(shell_quote(""), "''");
    }

    #[test]
    fn networks() {
        assert!(host_allowed("*.example.com other.org", "git.example.com"));
        assert!(host_allowed("*.example.com", "Example.com:80"));
        assert!(!host_allowed("*.example.com", "badexample.com"));
        assert!(host_allowed("other.org", "other.org"));
        assert!(!host_allowed("other.org", "x.other.org"));
    }

    #[test]
    fn shell_output() {
        let (status, out, err) = shell("echo a; echo b >&2; exit 3", None, None).unwrap();
        assert_eq!((exit_code(status), out.as_str(), err.as_str()), (3, "a\n", "b\n"));
        let mut seen = String::new();
        let (status, out, _) = shell("echo a; echo b >&2", None, Some(&mut |t: &str| seen.push_str(t))).unwrap();
        assert!(status.success() && out == "a\n" && seen.contains('b'));
    }
}
