//! The hash equivalence server of a build directory (BB_HASHSERVE = "auto"): a child process with a
//! socket in the build directory, gone with the command.

use hz_events::{level, log};
use hz_parse::{Configuration, Error, Result};
use std::ffi::OsString;
use std::io::{PipeReader, Read};
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard};

/// As release 2.18 shows it in the history.
const ADDRESS: hz_data::Origin = ("cooker.py", 369, "handlePRServ");

/// The server of a session; it ends with this.
pub struct Child(());

/// What there is of the server, and the process whose child it is or will be.
struct Server {
    owner: u32,
    state: State,
}

enum State {
    /// Its address is told, and it starts when somebody in this process asks it something: most commands never do,
    /// and starting it takes as long as all else they do.
    Wanted(Command),
    /// Until it says that it listens.
    Starting(Process, PipeReader),
    Running(#[expect(dead_code, reason = "the server ends with it")] Process),
}

/// Ends with this.
struct Process(std::process::Child);

impl Drop for Process {
    fn drop(&mut self) {
        // SAFETY: plain call on our own child. It saves its database and goes.
        unsafe { libc::kill(self.0.id() as i32, libc::SIGTERM) };
        let _ = self.0.wait();
    }
}

static SERVER: Mutex<Option<Server>> = Mutex::new(None);

fn server() -> MutexGuard<'static, Option<Server>> {
    SERVER.lock().unwrap_or_else(|e| e.into_inner())
}

impl Drop for Child {
    fn drop(&mut self) {
        server().take_if(|server| server.owner == std::process::id());
    }
}

impl Server {
    fn spawn(&mut self) -> std::io::Result<()> {
        let State::Wanted(command) = &mut self.state else { return Ok(()) };
        let (ready, started) = std::io::pipe()?;
        let fd = started.as_raw_fd();
        command.arg(fd.to_string()).stdin(Stdio::null()).stdout(Stdio::null());
        // SAFETY: only keeps one descriptor open across the exec.
        unsafe {
            command.pre_exec(move || {
                libc::fcntl(fd, libc::F_SETFD, 0);
                Ok(())
            });
        }
        self.state = State::Starting(Process(command.spawn()?), ready);
        Ok(())
    }
}

/// The server listens when this returns, if there is one that this process started or will. One that cannot be
/// started is as one that does not answer, which whoever asks it tells.
fn ensure() {
    let mut server = server();
    let Some(server) = server.as_mut().filter(|server| server.owner == std::process::id()) else { return };
    if let Err(e) = server.spawn() {
        log(level::ERROR, "", format!("cannot start the hash equivalence server: {e}"));
        return;
    }
    let State::Starting(_, ready) = &mut server.state else { return };
    if !matches!(ready.read(&mut [0u8; 1]), Ok(n) if n > 0) {
        log(level::ERROR, "", "the hash equivalence server did not start");
    }
    let before = std::mem::replace(&mut server.state, State::Wanted(Command::new("")));
    if let State::Starting(process, _) = before {
        server.state = State::Running(process);
    }
}

/// Sees to the server if the configuration asks for one, and tells the configuration its address. It starts
/// `at_once`, or when it is first asked something.
pub fn provide(config: &Configuration, at_once: bool) -> Result<Option<Child>> {
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
    let mut command = Command::new(program);
    command
        .arg0("hitzeleiter")
        .arg("internal-hashserv")
        .arg(&address)
        .arg(Path::new(&*dir).join("hashserv.db"))
        .arg(upstream.as_deref().unwrap_or(""));
    let mut new = Server { owner: std::process::id(), state: State::Wanted(command) };
    if at_once {
        new.spawn().map_err(|e| Error::Other(format!("cannot start the hash equivalence server: {e}")))?;
    }
    *server() = Some(new);
    hz_services::hashserv::set_before_connecting(ensure);
    for store in config.mcdata.values().chain(config.original.values()) {
        store.set_var("BB_HASHSERVE", address.as_str(), &hz_data::SetInfo::internal(ADDRESS))?;
    }
    Ok(Some(Child(())))
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
