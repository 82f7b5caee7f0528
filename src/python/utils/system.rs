//! Requests to the kernel that Python code made through a foreign function interface: process
//! name, death signal, I/O priority, name spaces, extended attributes.

use nix::sched::{CloneFlags, CpuSet, sched_getaffinity, unshare};
use nix::unistd::Pid;
use std::ffi::{CString, OsStr, OsString};
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

/// Asks for `signal` when the parent of this process ends.
pub fn signal_on_parent_exit(signal: i32) -> io::Result<()> {
    // SAFETY: PR_SET_PDEATHSIG takes one integer and touches no memory of ours.
    check(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, signal) })
}

/// Names this thread, as `ps` and `top` show it; the kernel keeps 15 bytes.
pub fn set_process_name(name: &str) {
    if let Ok(name) = CString::new(name) {
        // SAFETY: PR_SET_NAME reads a terminated string.
        unsafe { libc::prctl(libc::PR_SET_NAME, name.as_ptr(), 0, 0, 0) };
    }
}

/// Sets the I/O scheduling class (1 real time, 2 best effort, 3 idle) and priority of process `who`
/// (0: this one).
pub fn ioprio_set(who: i32, class: i32, value: i32) -> io::Result<()> {
    const WHO_PROCESS: i32 = 1;
    const CLASS_SHIFT: i32 = 13;
    // SAFETY: three integers.
    check(unsafe { libc::syscall(libc::SYS_ioprio_set, WHO_PROCESS, who, value | (class << CLASS_SHIFT)) } as i32)
}

/// Moves this process into a network name space of its own, without any interface that leads out.
/// An ordinary user gets there through a user name space in which it stays `uid` and `gid`. False
/// if the system does not permit it. Only for processes with one thread.
pub fn disable_network(uid: u32, gid: u32) -> io::Result<bool> {
    if unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWUSER).is_err() {
        return Ok(false);
    }
    std::fs::write("/proc/self/uid_map", format!("{uid} {uid} 1"))?;
    std::fs::write("/proc/self/setgroups", "deny")?;
    std::fs::write("/proc/self/gid_map", format!("{gid} {gid} 1"))?;
    Ok(true)
}

/// A network name space without any interface that leads out, made once for all tasks of a build: each name
/// space the kernel makes and takes down again costs more than all else that starts a task.
pub struct Offline {
    user: OwnedFd,
    network: OwnedFd,
}

/// Is this process in a network name space that others are in as well?
static SHARED: AtomicBool = AtomicBool::new(false);

impl Offline {
    /// Makes it, by way of a process of its own; None if the system does not permit it. Only for processes with
    /// one thread.
    pub fn new(uid: u32, gid: u32) -> Option<Offline> {
        let (mut ready, mut tell_ready) = io::pipe().ok()?;
        let (mut done, tell_done) = io::pipe().ok()?;
        // SAFETY: one thread; the child makes system calls and ends.
        match unsafe { libc::fork() } {
            -1 => None,
            0 => {
                drop(tell_done);
                if disable_network(uid, gid).unwrap_or(false) {
                    let _ = tell_ready.write_all(b"x");
                    // Until the other side has what it needs, or is gone.
                    let _ = done.read(&mut [0]);
                }
                // SAFETY: ends the child without running what belongs to the parent.
                unsafe { libc::_exit(0) }
            }
            pid => {
                drop((done, tell_ready));
                let made = ready.read_exact(&mut [0]).is_ok();
                let open = |name: &str| std::fs::File::open(format!("/proc/{pid}/ns/{name}")).map(OwnedFd::from).ok();
                let found = if made { open("user").zip(open("net")) } else { None };
                drop(tell_done);
                // SAFETY: a child of ours that nobody else waits for.
                unsafe { libc::waitpid(pid, std::ptr::null_mut(), 0) };
                found.map(|(user, network)| Offline { user, network })
            }
        }
    }

    /// Moves this process there; false if that is not permitted.
    pub fn join(&self) -> bool {
        use nix::sched::setns;
        let joined = setns(&self.user, CloneFlags::CLONE_NEWUSER).is_ok() && setns(&self.network, CloneFlags::CLONE_NEWNET).is_ok();
        SHARED.store(joined, Ordering::Relaxed);
        joined
    }
}

/// Brings up `lo` with 127.0.0.1/8 in the current network name space; where others are in it as well, in a new one.
pub fn enable_loopback() -> io::Result<()> {
    use std::os::fd::AsRawFd;
    if SHARED.swap(false, Ordering::Relaxed) {
        unshare(CloneFlags::CLONE_NEWNET)?;
    }
    let socket = std::net::UdpSocket::bind("0.0.0.0:0")?;
    let fd = socket.as_raw_fd();
    // SAFETY: `ifreq` is plain data; every request below reads or writes only that structure.
    unsafe {
        let mut request: libc::ifreq = std::mem::zeroed();
        request.ifr_name[0] = b'l' as libc::c_char;
        request.ifr_name[1] = b'o' as libc::c_char;
        let template = request;
        let set_address = |request_code: libc::c_ulong, address: [u8; 4]| {
            let mut req = template;
            let inet = libc::sockaddr_in {
                sin_family: libc::AF_INET as libc::sa_family_t,
                sin_port: 0,
                sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(address) },
                sin_zero: [0; 8],
            };
            req.ifr_ifru.ifru_addr = std::mem::transmute::<libc::sockaddr_in, libc::sockaddr>(inet);
            check(libc::ioctl(fd, request_code as _, &req))
        };
        set_address(libc::SIOCSIFADDR as libc::c_ulong, [127, 0, 0, 1])?;
        check(libc::ioctl(fd, libc::SIOCGIFFLAGS as _, &mut request))?;
        request.ifr_ifru.ifru_flags |= (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
        check(libc::ioctl(fd, libc::SIOCSIFFLAGS as _, &request))?;
        set_address(libc::SIOCSIFNETMASK as libc::c_ulong, [255, 0, 0, 0])
    }
}

/// `path` made absolute, with symbolic links followed and what does not exist kept, as Python's
/// `os.path.realpath` does. None: links that lead in circles, or no current directory.
pub fn realpath(path: &Path) -> Option<std::path::PathBuf> {
    use std::path::{Component, PathBuf};
    let mut found = if path.is_absolute() { PathBuf::from("/") } else { std::env::current_dir().ok()? };
    let mut pending: Vec<OsString> = path.components().rev().map(|part| part.as_os_str().to_owned()).collect();
    let mut links = 0;
    // Where it was first seen that there is nothing: nor is there below that.
    let mut missing: Option<PathBuf> = None;
    while let Some(part) = pending.pop() {
        match Path::new(&part).components().next() {
            None | Some(Component::CurDir) => {}
            Some(Component::RootDir | Component::Prefix(_)) => found = PathBuf::from("/"),
            Some(Component::ParentDir) => {
                found.pop();
            }
            Some(Component::Normal(_)) => {
                found.push(&part);
                if missing.as_ref().is_some_and(|missing| found.starts_with(missing)) {
                    continue;
                }
                match std::fs::read_link(&found) {
                    Ok(target) => {
                        links += 1;
                        if links > 40 {
                            return None;
                        }
                        found.pop();
                        pending.extend(target.components().rev().map(|part| part.as_os_str().to_owned()));
                    }
                    Err(error) if error.kind() == io::ErrorKind::NotFound => missing = Some(found.clone()),
                    // No link.
                    Err(_) => {}
                }
            }
        }
    }
    Some(found)
}

/// Processors this process may use; at least 1.
pub fn cpu_count() -> usize {
    sched_getaffinity(Pid::from_raw(0))
        .map(|set| (0..CpuSet::count()).filter(|&cpu| set.is_set(cpu).unwrap_or(false)).count())
        .ok()
        .filter(|&count| count > 0)
        .unwrap_or_else(|| std::thread::available_parallelism().map_or(1, |count| count.get()))
}

/// The processors process `pid` (0: this one) may run on.
pub fn sched_getaffinity_of(pid: i32) -> io::Result<Vec<usize>> {
    let set = sched_getaffinity(Pid::from_raw(pid))?;
    Ok((0..CpuSet::count()).filter(|&cpu| set.is_set(cpu).unwrap_or(false)).collect())
}

/// Restricts process `pid` (0: this one) to some processors.
pub fn sched_setaffinity_of(pid: i32, cpus: &[usize]) -> io::Result<()> {
    let mut set = CpuSet::new();
    for &cpu in cpus {
        set.set(cpu)?;
    }
    Ok(nix::sched::sched_setaffinity(Pid::from_raw(pid), &set)?)
}

/// Number of the device that a device file stands for; of a link itself unless `follow`.
pub fn device_number(path: &Path, follow: bool) -> io::Result<u64> {
    use std::os::unix::fs::MetadataExt;
    let metadata = if follow { path.metadata() } else { path.symlink_metadata() };
    Ok(metadata?.rdev())
}

/// Makes a named pipe.
pub fn mkfifo(path: &Path, mode: u32) -> io::Result<()> {
    Ok(nix::unistd::mkfifo(path, nix::sys::stat::Mode::from_bits_truncate(mode))?)
}

/// Sets the extended attribute `name`; `flags` may demand that it exists or not (XATTR_REPLACE,
/// XATTR_CREATE).
pub fn setxattr(path: &Path, name: &OsStr, value: &[u8], flags: i32, follow: bool) -> io::Result<()> {
    let (path, name) = (terminated(path.as_os_str())?, terminated(name)?);
    let call = if follow { libc::setxattr } else { libc::lsetxattr };
    // SAFETY: terminated strings, and a buffer with its length.
    check(unsafe { call(path.as_ptr(), name.as_ptr(), value.as_ptr().cast(), value.len(), flags) })
}

/// Removes the extended attribute `name`.
pub fn removexattr(path: &Path, name: &OsStr, follow: bool) -> io::Result<()> {
    let (path, name) = (terminated(path.as_os_str())?, terminated(name)?);
    let call = if follow { libc::removexattr } else { libc::lremovexattr };
    // SAFETY: terminated strings.
    check(unsafe { call(path.as_ptr(), name.as_ptr()) })
}

/// Names of the extended attributes of `path`, of a link itself unless `follow`.
pub fn listxattr(path: &Path, follow: bool) -> io::Result<Vec<OsString>> {
    let path = terminated(path.as_os_str())?;
    let call = if follow { libc::listxattr } else { libc::llistxattr };
    // SAFETY: `fill` passes a buffer and its length.
    let names = fill(|buffer, length| unsafe { call(path.as_ptr(), buffer.cast(), length) })?;
    let names = names.split(|&b| b == 0).filter(|name| !name.is_empty());
    Ok(names.map(|name| OsString::from_vec(name.to_vec())).collect())
}

/// Value of the extended attribute `name`; None if it has none of that name.
pub fn getxattr(path: &Path, name: &OsStr, follow: bool) -> io::Result<Option<Vec<u8>>> {
    let (path, name) = (terminated(path.as_os_str())?, terminated(name)?);
    let call = if follow { libc::getxattr } else { libc::lgetxattr };
    // SAFETY: `fill` passes a buffer and its length.
    match fill(|buffer, length| unsafe { call(path.as_ptr(), name.as_ptr(), buffer.cast(), length) }) {
        Err(error) if error.raw_os_error() == Some(libc::ENODATA) => Ok(None),
        other => other.map(Some),
    }
}

/// Calls twice, for the size and for the content, again if it grew in between.
fn fill(call: impl Fn(*mut u8, usize) -> isize) -> io::Result<Vec<u8>> {
    loop {
        let length = call(std::ptr::null_mut(), 0);
        if length < 0 {
            return Err(io::Error::last_os_error());
        }
        let mut buffer = vec![0u8; length as usize];
        if length == 0 {
            return Ok(buffer);
        }
        let got = call(buffer.as_mut_ptr(), buffer.len());
        if got >= 0 {
            buffer.truncate(got as usize);
            return Ok(buffer);
        }
        let error = io::Error::last_os_error();
        if error.raw_os_error() != Some(libc::ERANGE) {
            return Err(error);
        }
    }
}

fn terminated(text: &OsStr) -> io::Result<CString> {
    CString::new(text.as_bytes()).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))
}

fn check(result: i32) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// What a signal does: 0 the default, 1 nothing, else the handler's address.
///
/// # Errors
/// There is no such signal.
pub fn signal_handler(signal: i32) -> io::Result<usize> {
    // SAFETY: sigaction only writes to the place given, which is ours.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        if libc::sigaction(signal, std::ptr::null(), &mut action) != 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(action.sa_sigaction)
    }
}

/// Sets what a signal does, to something that [`signal_handler`] told of this process.
///
/// # Errors
/// There is no such signal.
pub fn set_signal_handler(signal: i32, handler: usize) -> io::Result<()> {
    // SAFETY: the handler was in force in this very process before.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler;
        if libc::sigaction(signal, &action, std::ptr::null_mut()) != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn harmless_requests() {
        assert!(cpu_count() >= 1);
        ioprio_set(0, 2, 7).unwrap();
        assert!(ioprio_set(0, 6, 0).is_err());
        assert!(signal_on_parent_exit(4711).is_err());
    }

    #[test]
    fn pipes_and_processors() {
        let path = std::env::temp_dir().join(format!("hz-fifo-{}", std::process::id()));
        mkfifo(&path, 0o600).unwrap();
        assert_eq!(mkfifo(&path, 0o600).unwrap_err().raw_os_error(), Some(libc::EEXIST));
        std::fs::remove_file(&path).unwrap();
        assert_eq!(device_number(Path::new("/dev/null"), true).unwrap(), 0x103);
        let cpus = sched_getaffinity_of(0).unwrap();
        sched_setaffinity_of(0, &cpus).unwrap();
        assert!(sched_setaffinity_of(0, &[]).is_err());
    }

    #[test]
    fn real_paths() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        std::fs::create_dir_all(root.join("a/b")).unwrap();
        std::os::unix::fs::symlink("a/b", root.join("link")).unwrap();
        std::os::unix::fs::symlink("nowhere/x", root.join("dangling")).unwrap();
        std::os::unix::fs::symlink("circle", root.join("circle")).unwrap();
        std::fs::write(root.join("file"), "").unwrap();
        for (path, wanted) in [
            ("a/./b", "a/b"),
            ("link/..", "a"),
            ("link/c/d", "a/b/c/d"),
            ("none/below/../../link", "a/b"),
            ("none/below/../link", "none/link"),
            ("none/../none2/../link/x", "a/b/x"),
            ("dangling/y", "nowhere/x/y"),
            ("dangling/../../link", "a/b"),
            ("file/z/../../link", "a/b"),
        ] {
            assert_eq!(realpath(&root.join(path)), Some(root.join(wanted)), "{path}");
        }
        assert_eq!(realpath(&root.join("circle")), None);
    }

    #[test]
    fn attributes() {
        let path = std::env::temp_dir();
        listxattr(&path, true).unwrap();
        assert_eq!(getxattr(&path, OsStr::new("user.none"), true).unwrap(), None);
        assert!(listxattr(Path::new("/no/such"), false).is_err());
    }
}
