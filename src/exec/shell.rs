//! Running a generated script: its output, and the messages it sends through its FIFO.

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// What a running script gives, as it comes.
pub trait Receiver {
    type Error: From<io::Error>;
    /// A message: `bbnote`, `bbwarn`, … and its text.
    fn message(&mut self, command: &str, text: &str) -> Result<(), Self::Error>;
    /// Output, both streams in the order written.
    fn output(&mut self, bytes: &[u8]) -> Result<(), Self::Error>;
}

/// Splits what comes through the FIFO into messages; each ends in a NUL.
#[derive(Default)]
struct Messages(Vec<u8>);

impl Messages {
    fn feed<R: Receiver>(&mut self, bytes: &[u8], receiver: &mut R) -> Result<(), R::Error> {
        self.0.extend_from_slice(bytes);
        while let Some(end) = self.0.iter().position(|b| *b == 0) {
            let record: Vec<u8> = self.0.drain(..=end).collect();
            let record = String::from_utf8_lossy(&record[..end]).into_owned();
            let (command, text) = record.split_once(' ').unwrap_or((&record, ""));
            receiver.message(command, text)?;
        }
        Ok(())
    }
}

/// Runs `argv` with no input, and gives its exit code, negative for the signal that ended it.
///
/// The FIFO is made at `fifo` and removed at the end. The environment and directory are the
/// process's own; no descriptor but the three standard ones is handed on. Returns when the script
/// has ended, without waiting for what it left running in the background.
///
/// # Errors
/// The FIFO cannot be made, the program cannot be started (`ErrorKind::NotFound`), or what the
/// receiver returned; the script is then ended first.
pub fn run<R: Receiver>(argv: &[&OsStr], fifo: &Path, receiver: &mut R) -> Result<i32, R::Error> {
    match std::fs::remove_file(fifo) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e.into()),
        _ => {}
    }
    nix::unistd::mkfifo(fifo, nix::sys::stat::Mode::from_bits_truncate(0o666)).map_err(io::Error::from)?;
    let result = run_with_fifo(argv, fifo, receiver);
    let _ = std::fs::remove_file(fifo);
    result
}

fn run_with_fifo<R: Receiver>(argv: &[&OsStr], fifo: &Path, receiver: &mut R) -> Result<i32, R::Error> {
    // Open for writing as well, so that it never ends and a script never waits for a reader.
    let mut messages = OpenOptions::new().read(true).write(true).custom_flags(libc::O_NONBLOCK).open(fifo)?;
    let (reader, writer) = io::pipe()?;
    let mut output = File::from(OwnedFd::from(reader));
    let mut command = Command::new(argv[0]);
    command.args(&argv[1..]).stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer);
    // Done here and not in the new process: that way the memory of this one need not be copied for it. SIGPIPE
    // is as usual again in what is started so.
    // SAFETY: flags of descriptors of this process, which has one thread.
    unsafe { libc::syscall(libc::SYS_close_range, 3, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) };
    let mut child = command.spawn()?;
    drop(command); // and with it our copies of the writing end
    let done = pump(&mut child, &mut messages, &mut output, receiver);
    if done.is_err() {
        let _ = child.kill();
    }
    let status = child.wait();
    done?;
    let status = status?;
    Ok(status.code().unwrap_or_else(|| -status.signal().unwrap_or(0)))
}

fn pump<R: Receiver>(child: &mut Child, messages: &mut File, output: &mut File, receiver: &mut R) -> Result<(), R::Error> {
    let ended = pidfd(child.id() as libc::pid_t)?;
    set_nonblocking(output)?;
    let mut parser = Messages::default();
    let mut open = true;
    loop {
        let mut fds = vec![PollFd::new(ended.as_fd(), PollFlags::POLLIN), PollFd::new(messages.as_fd(), PollFlags::POLLIN)];
        if open {
            fds.push(PollFd::new(output.as_fd(), PollFlags::POLLIN));
        }
        match poll(&mut fds, PollTimeout::NONE) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(e) => return Err(io::Error::from(e).into()),
        }
        let last = fds[0].any() == Some(true);
        // A message comes before the output of the command that follows it in the script.
        drain(messages, |bytes| parser.feed(bytes, receiver))?;
        if open {
            open = drain(output, |bytes| receiver.output(bytes))?;
        }
        if last {
            // What was sent between the last look and the end.
            drain(messages, |bytes| parser.feed(bytes, receiver))?;
            return Ok(());
        }
    }
}

/// Reads what is there. False: the other side has closed.
fn drain<E: From<io::Error>>(file: &mut File, mut take: impl FnMut(&[u8]) -> Result<(), E>) -> Result<bool, E> {
    let mut buffer = [0u8; 64 * 1024];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(false),
            Ok(n) => take(&buffer[..n])?,
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(true),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e.into()),
        }
    }
}

fn set_nonblocking(file: &File) -> io::Result<()> {
    // SAFETY: flags of a descriptor we own.
    let done = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETFL, libc::O_NONBLOCK) };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// A descriptor that becomes readable when the child `pid` ends.
pub(crate) fn pidfd(pid: libc::pid_t) -> io::Result<OwnedFd> {
    // SAFETY: a plain system call that gives a new descriptor.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made it for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Log(Vec<String>);
    impl Receiver for Log {
        type Error = io::Error;
        fn message(&mut self, command: &str, text: &str) -> io::Result<()> {
            if command == "stop" {
                return Err(io::Error::other("stopped"));
            }
            self.0.push(format!("{command}<{text}>"));
            Ok(())
        }
        fn output(&mut self, bytes: &[u8]) -> io::Result<()> {
            self.0.extend(String::from_utf8_lossy(bytes).lines().map(String::from));
            Ok(())
        }
    }

    fn sh(script: &str) -> (io::Result<i32>, Vec<String>) {
        let dir = tempfile::tempdir().unwrap();
        let fifo = dir.path().join("fifo.1");
        let script = script.replace("FIFO", fifo.to_str().unwrap());
        let mut log = Log::default();
        let code = run(&["sh".as_ref(), "-c".as_ref(), script.as_ref()], &fifo, &mut log);
        assert!(!fifo.exists());
        (code, log.0)
    }

    #[test]
    fn messages_and_output_in_order() {
        let (code, log) = sh(r"printf 'bbnote one two\0bbwarn \0plain\0' > FIFO; echo out; echo err >&2; exit 3");
        assert_eq!(code.unwrap(), 3);
        assert_eq!(log, ["bbnote<one two>", "bbwarn<>", "plain<>", "out", "err"]);
    }

    #[test]
    fn signals_and_missing_programs() {
        assert_eq!(sh("kill -9 $$").0.unwrap(), -9);
        assert_eq!(sh("kill -PIPE $$; exit 3").0.unwrap(), -libc::SIGPIPE, "as usual, though this process ignores it");
        let mut log = Log::default();
        let dir = tempfile::tempdir().unwrap();
        let fifo = dir.path().join("fifo");
        let missing = run(&["/nonexistent/program".as_ref()], &fifo, &mut log);
        assert_eq!(missing.unwrap_err().kind(), io::ErrorKind::NotFound);
        assert!(!fifo.exists());
    }

    #[test]
    fn other_descriptors_stay_here() {
        let (reader, _writer) = io::pipe().unwrap();
        // SAFETY: flags of a descriptor of ours.
        unsafe { libc::fcntl(reader.as_raw_fd(), libc::F_SETFD, 0) };
        let (code, log) = sh(&format!("test -e /proc/self/fd/{} && echo there; test -e /proc/self/fd/1 && echo output", reader.as_raw_fd()));
        assert_eq!((code.unwrap(), log), (0, vec!["output".to_string()]));
    }

    #[test]
    fn background_processes_are_not_waited_for() {
        let start = std::time::Instant::now();
        let (code, log) = sh("sleep 20 & echo $!");
        assert_eq!(code.unwrap(), 0);
        assert!(start.elapsed().as_secs() < 10);
        unsafe { libc::kill(log[0].parse().unwrap(), libc::SIGTERM) };
    }

    #[test]
    fn a_receiver_can_end_it() {
        let start = std::time::Instant::now();
        assert!(sh(r"printf 'stop \0' > FIFO; exec sleep 20").0.is_err());
        assert!(start.elapsed().as_secs() < 10);
    }
}
