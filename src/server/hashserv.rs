//! The hash equivalence server of a build directory (BB_HASHSERVE = "auto"): a child process with a
//! socket in the build directory, gone with the command.

use hz_events::{level, log};
use hz_parse::{Configuration, Error, Result};
use std::ffi::OsString;
use std::io::Read;
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

/// As release 2.18 shows it in the history.
const ADDRESS: hz_data::Origin = ("cooker.py", 369, "handlePRServ");

/// The running server.
pub struct Child {
    process: std::process::Child,
}

impl Drop for Child {
    fn drop(&mut self) {
        // SAFETY: plain call on our own child. It saves its database and goes.
        unsafe { libc::kill(self.process.id() as i32, libc::SIGTERM) };
        let _ = self.process.wait();
    }
}

/// Starts the server if the configuration asks for one, and tells the configuration its address.
pub fn start(config: &Configuration) -> Result<Option<Child>> {
    let data = config.data();
    if data.get("BB_HASHSERVE")?.as_deref() != Some("auto") {
        return Ok(None);
    }
    let filled = |name: &str| data.get(name).map(|v| v.filter(|t| !t.is_empty()));
    let dir = match filled("BB_HASHSERVE_DB_DIR")? {
        Some(dir) => Some(dir),
        None => match filled("PERSISTENT_DIR")? {
            Some(dir) => Some(dir),
            None => filled("CACHE")?,
        },
    };
    let Some(dir) = dir else {
        return Err(Error::Other("BB_HASHSERVE is \"auto\" and neither PERSISTENT_DIR nor CACHE says where its database goes".into()));
    };
    std::fs::create_dir_all(&*dir).map_err(|e| Error::Other(format!("cannot make {dir}: {e}")))?;
    let mut upstream = filled("BB_HASHSERVE_UPSTREAM")?;
    if let Some(address) = &upstream
        && let Err(e) = hz_services::hashserv::Client::connect(address).and_then(|mut c| c.open())
    {
        log(
            level::WARNING,
            "",
            format!("Unable to connect to hash equivalence server at '{address}', please correct or remove BB_HASHSERVE_UPSTREAM:\n{e}"),
        );
        upstream = None;
    }
    let address = format!("unix://{}/hashserve.sock", data.get_or_empty("TOPDIR")?);
    let program = std::env::current_exe().map_err(|e| Error::Other(e.to_string()))?;
    let (mut ready, started) = std::io::pipe().map_err(|e| Error::Other(e.to_string()))?;
    let fd = started.as_raw_fd();
    let mut command = Command::new(program);
    command
        .arg0("hitzeleiter")
        .arg("internal-hashserv")
        .arg(&address)
        .arg(Path::new(&*dir).join("hashserv.db"))
        .arg(upstream.as_deref().unwrap_or(""))
        .arg(fd.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    // SAFETY: only keeps one descriptor open across the exec.
    unsafe {
        command.pre_exec(move || {
            libc::fcntl(fd, libc::F_SETFD, 0);
            Ok(())
        });
    }
    let process = command.spawn().map_err(|e| Error::Other(format!("cannot start the hash equivalence server: {e}")))?;
    let child = Child { process };
    drop(started);
    let mut byte = [0u8; 1];
    if !matches!(ready.read(&mut byte), Ok(n) if n > 0) {
        return Err(Error::Other("the hash equivalence server did not start".into()));
    }
    for store in config.mcdata.values().chain(config.original.values()) {
        store.set_var("BB_HASHSERVE", address.as_str(), &hz_data::SetInfo::internal(ADDRESS))?;
    }
    Ok(Some(child))
}

/// Gives a configuration the address it has once more, for its history.
pub fn tell_again(store: &hz_data::DataStore) -> Result<()> {
    if store.history("BB_HASHSERVE").iter().any(|h| h.func.as_deref() == Some(ADDRESS.2)) {
        let address = store.get_or_empty("BB_HASHSERVE")?;
        store.set_var("BB_HASHSERVE", address, &hz_data::SetInfo::internal(("cooker.py", 370, ADDRESS.2)))?;
    }
    Ok(())
}

/// The child's side: ADDRESS DATABASE UPSTREAM READY-DESCRIPTOR.
pub fn hashserv_child(args: &[OsString]) -> Result<(), String> {
    let text = |n: usize| args.get(n).map(|a| a.to_string_lossy().into_owned()).unwrap_or_default();
    if args.len() != 4 {
        return Err("for use by bitbake itself only".into());
    }
    let (address, upstream) = (text(0), text(2));
    let upstream = Some(upstream.as_str()).filter(|u| !u.is_empty());
    match hz_services::hashserv::run_child(&address, Path::new(&args[1]), upstream, text(3).parse().ok()) {
        0 => Ok(()),
        code => Err(format!("ended with {code}")),
    }
}
