//! The log of a task: `log.TASK.PID`, its link, its line in `log.task_order`, and the standard
//! descriptors while the task runs.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::{Path, PathBuf};

/// An open log. Until [`TaskLog::close`] descriptors 1 and 2 lead into it and 0 gives nothing.
pub struct TaskLog {
    path: PathBuf,
    link: PathBuf,
    file: File,
    saved: [OwnedFd; 3],
}

/// Makes `dir/log.TASK` point to `name`. A link that cannot be made is done without.
fn link(dir: &Path, task: &str, name: &str) -> PathBuf {
    let link = dir.join(format!("log.{task}"));
    let _ = fs::remove_file(&link);
    let _ = std::os::unix::fs::symlink(name, &link);
    link
}

/// The local time as `YYYYMMDD-HHMMSS.ffffff`.
pub fn timestamp() -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let seconds = now.as_secs() as libc::time_t;
    // SAFETY: both point to values of the right type; no other thread changes the environment.
    let t = unsafe {
        let mut t: libc::tm = std::mem::zeroed();
        libc::localtime_r(&seconds, &mut t);
        t
    };
    format!(
        "{:04}{:02}{:02}-{:02}{:02}{:02}.{:06}",
        t.tm_year + 1900, t.tm_mon + 1, t.tm_mday, t.tm_hour, t.tm_min, t.tm_sec, now.subsec_micros()
    )
}

impl TaskLog {
    /// Begins the log `name` (a path below `dir`) of `task` in its directory `dir`, the task's `T`.
    /// Flush what is buffered for the standard descriptors before this and before `close`.
    pub fn open(dir: &Path, task: &str, name: &str) -> io::Result<TaskLog> {
        fs::create_dir_all(dir)?;
        let order = dir.join("log.task_order");
        let line = format!("{} {task} ({}): {name}\n", timestamp(), std::process::id());
        if let Err(e) = OpenOptions::new().append(true).create(true).open(&order).and_then(|mut f| f.write_all(line.as_bytes())) {
            hz_events::log(hz_events::level::ERROR, "Build", format!("Opening log file '{}': {e}", order.display()));
        }
        let link = link(dir, task, name);
        let path = dir.join(name);
        if let Some(parent) = path.parent().filter(|parent| *parent != dir) {
            fs::create_dir_all(parent)?;
        }
        let file = File::create(&path)?;
        let saved = [save(0)?, save(1)?, save(2)?];
        replace(File::open("/dev/null")?.as_raw_fd(), 0)?;
        replace(file.as_raw_fd(), 1)?;
        replace(file.as_raw_fd(), 2)?;
        Ok(TaskLog { path, link, file, saved })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Adds text; it stands before whatever is written to the descriptors afterwards.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)
    }

    /// Gives the descriptors back what they were. True: the log was empty and is gone.
    pub fn close(self) -> io::Result<bool> {
        for (fd, saved) in self.saved.iter().enumerate() {
            replace(saved.as_raw_fd(), fd as i32)?;
        }
        if self.file.metadata()?.len() == 0 {
            let _ = fs::remove_file(&self.path);
            let _ = fs::remove_file(&self.link);
            return Ok(true);
        }
        Ok(false)
    }
}

fn save(fd: i32) -> io::Result<OwnedFd> {
    // SAFETY: makes a descriptor that is ours, out of the way of the standard ones.
    let copy = unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, 10) };
    if copy < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(unsafe { OwnedFd::from_raw_fd(copy) })
}

fn replace(from: i32, to: i32) -> io::Result<()> {
    // SAFETY: `to` is a standard descriptor.
    if unsafe { libc::dup2(from, to) } < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In a child of its own: the test's other threads write to the same descriptors.
    fn in_child(body: impl FnOnce() -> io::Result<()>) -> bool {
        unsafe {
            let pid = libc::fork();
            if pid == 0 {
                libc::_exit(if body().is_ok() { 0 } else { 1 });
            }
            let mut status = 0;
            libc::waitpid(pid, &mut status, 0);
            status == 0
        }
    }

    #[test]
    fn everything_written_is_in_the_log() {
        let dir = tempfile::tempdir().unwrap();
        let t = dir.path().join("work/temp");
        assert!(in_child(|| {
            let mut log = TaskLog::open(&t, "do_compile", "log.do_compile.77")?;
            log.write(b"DEBUG: begin\n")?;
            std::process::Command::new("sh").args(["-c", "echo out; echo err >&2"]).status()?;
            log.write(b"DEBUG: end\n")?;
            assert!(!log.close()?);
            Ok(())
        }));
        assert_eq!(fs::read_link(t.join("log.do_compile")).unwrap(), Path::new("log.do_compile.77"));
        assert_eq!(fs::read_to_string(t.join("log.do_compile")).unwrap(), "DEBUG: begin\nout\nerr\nDEBUG: end\n");
        let order = fs::read_to_string(t.join("log.task_order")).unwrap();
        let (time, rest) = order.split_once(' ').unwrap();
        assert_eq!(time.len(), "20260101-000000.000000".len());
        assert!(rest.starts_with("do_compile (") && rest.ends_with("): log.do_compile.77\n"), "{rest}");
    }

    #[test]
    fn an_empty_log_goes() {
        let dir = tempfile::tempdir().unwrap();
        assert!(in_child(|| {
            let log = TaskLog::open(dir.path(), "do_x", "logs/log.do_x.1")?;
            assert!(log.close()?);
            Ok(())
        }));
        assert!(!dir.path().join("logs/log.do_x.1").exists());
        assert!(fs::symlink_metadata(dir.path().join("log.do_x")).is_err());
        assert!(dir.path().join("log.task_order").exists());
    }
}
