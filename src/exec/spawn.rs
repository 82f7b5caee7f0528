//! Task processes as their parent sees them: fork, events, end.
//!
//! The parent has one thread. Each child leads a session and process group of its own, so that a
//! terminal's signals reach only the parent and one signal reaches all that a task started.
//!
//! A process may be made ahead of its task ([`Spawner::spawn_ahead`]). It prepares itself up to its [`Gate`]
//! and goes on when the task starts; what starts one then only waits for what the task itself does. Nobody can
//! tell: up to there it leaves nothing and says nothing. One that has something to say ends instead, and the task
//! starts as any other.

use crate::gate::{Gate, Line};
use crate::shared::Shared;
use crate::shell::pidfd;
use hz_events::pipe::Lines;
use hz_events::{Event, Sink};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// What became known of a task process.
#[derive(Debug)]
pub enum Report {
    /// An event it sent.
    Event { tid: String, pid: i32, event: Event },
    /// It ended: its exit code, or 128 + N for signal N.
    Exited { tid: String, pid: i32, code: i32 },
}

struct Child {
    tid: String,
    pid: i32,
    ended: OwnedFd,
    events: Lines<File>,
    started: Instant,
}

/// fork(2) as the process needs it done: the child's id, or None in the child.
pub type Fork = fn() -> io::Result<Option<i32>>;

#[cfg_attr(feature = "python", allow(dead_code))]
fn plain_fork() -> io::Result<Option<i32>> {
    // SAFETY: one thread, so the child may run on as the parent would have.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(None),
        pid => Ok(Some(pid)),
    }
}

/// How long a task is on its way to the first line of what it runs, roughly.
const START: Duration = Duration::from_millis(10);

/// The running task processes.
pub struct Spawner {
    children: Vec<Child>,
    /// Those made ahead.
    ahead: Vec<(Child, Line)>,
    fork: Fork,
    processors: usize,
}

impl Default for Spawner {
    /// Forks in a way that lets children use the Python VM, if it is built in.
    fn default() -> Self {
        #[cfg(feature = "python")]
        let fork: Fork = || {
            Ok(match hz_python::fork_lightly()? {
                hz_python::ForkResult::Parent(pid) => Some(pid),
                hz_python::ForkResult::Child => None,
            })
        };
        #[cfg(not(feature = "python"))]
        let fork: Fork = plain_fork;
        Spawner::with_fork(fork)
    }
}

impl Spawner {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn with_fork(fork: Fork) -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Spawner { children: Vec::new(), ahead: Vec::new(), fork, processors }
    }

    /// Forks; the child runs `body` and exits with the code it gives (1 if it panics). Events the
    /// child emits come back as reports.
    ///
    /// # Errors
    /// No process, pipe or descriptor to be had.
    pub fn spawn(&mut self, tid: &str, body: impl FnOnce() -> i32) -> io::Result<i32> {
        let child = self.child(tid, body)?;
        let pid = child.pid;
        self.children.push(child);
        Ok(pid)
    }

    /// Forks ahead of the task's start. The child runs `body`, which is to pass the gate before it does anything
    /// that can be noticed. There is no report of it before [`Spawner::release`].
    ///
    /// # Errors
    /// No process, pipe or descriptor to be had.
    pub fn spawn_ahead(&mut self, tid: &str, body: impl FnOnce(&Gate) -> i32) -> io::Result<()> {
        let (line, gate) = Gate::new()?;
        let child = self.child(tid, || {
            gate.enter();
            let code = body(&gate);
            // What ends before the gate has run no task.
            gate.give_up();
            code
        })?;
        self.ahead.push((child, line));
        Ok(())
    }

    /// Is a process made ahead ready, or of no use? Whichever it is, nothing is to be waited for.
    pub fn is_ready(&mut self, tid: &str) -> bool {
        self.ahead.iter_mut().find(|(child, _)| child.tid == tid).is_none_or(|(_, line)| line.look())
    }

    /// Lets a process made ahead go on with its task, and gives its id. None: there is no such process, or it is
    /// of no use.
    pub fn release(&mut self, tid: &str) -> Option<i32> {
        let at = self.ahead.iter().position(|(child, _)| child.tid == tid)?;
        let (child, line) = self.ahead.swap_remove(at);
        if !line.release() {
            child.end();
            return None;
        }
        let pid = child.pid;
        self.children.push(Child { started: Instant::now(), ..child });
        Some(pid)
    }

    /// Ends the processes made ahead for tasks that `which` picks.
    pub fn discard(&mut self, which: impl Fn(&str) -> bool) {
        let (gone, kept) = std::mem::take(&mut self.ahead).into_iter().partition(|(child, _)| which(&child.tid));
        self.ahead = kept;
        let gone: Vec<(Child, Line)> = gone;
        gone.into_iter().for_each(|(child, _)| child.end());
    }

    fn child(&mut self, tid: &str, body: impl FnOnce() -> i32) -> io::Result<Child> {
        let (reader, writer) = io::pipe()?;
        let (reader, writer) = (OwnedFd::from(reader), OwnedFd::from(writer));
        // SAFETY: a larger pipe saves both sides waking up; refusal does no harm.
        unsafe { libc::fcntl(writer.as_raw_fd(), libc::F_SETPIPE_SZ, 512 * 1024) };
        let lock = SharedLock::new()?;
        let _ = io::stdout().flush();
        let parent = std::process::id();
        let Some(pid) = (self.fork)()? else {
            drop(reader);
            self.children.clear();
            self.ahead.clear();
            let code = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                lead_group(parent);
                let sink = PipeSink { pipe: File::from(writer), pid: std::process::id() as i32, lock };
                hz_events::set_last_sink(Box::new(sink));
                body()
            }));
            // SAFETY: ends the process without running the parent's exit handlers.
            unsafe { libc::_exit(code.unwrap_or(1)) }
        };
        drop(writer);
        let ended = pidfd(pid)?;
        let pipe = File::from(reader);
        // SAFETY: flags of a descriptor we own.
        unsafe { libc::fcntl(pipe.as_raw_fd(), libc::F_SETFL, libc::O_NONBLOCK) };
        Ok(Child { tid: tid.to_string(), pid, ended, events: Lines::new(pipe), started: Instant::now() })
    }

    /// Has each processor a process that has just been started, or is being made ready for it?
    pub fn is_crowded(&self) -> bool {
        let starting = self.children.iter().filter(|child| child.started.elapsed() < START).count();
        let preparing = self.ahead.iter().filter(|(_, line)| line.descriptor().is_some()).count();
        starting + preparing >= self.processors
    }

    /// Number of task processes still running.
    pub fn len(&self) -> usize {
        self.children.len()
    }
    pub fn is_empty(&self) -> bool {
        self.children.is_empty()
    }

    /// Descriptors that become readable when `collect` has something; for a loop of one's own.
    pub fn descriptors(&self) -> Vec<BorrowedFd<'_>> {
        let mut fds = Vec::with_capacity(self.children.len() * 2);
        for child in &self.children {
            fds.push(child.ended.as_fd());
            if child.events.is_open() {
                fds.push(child.events.pipe().as_fd());
            }
        }
        fds.extend(self.ahead.iter().filter_map(|(_, line)| line.descriptor()));
        fds
    }

    /// Waits until a process sent something or ended, at most `timeout` (None: for ever), and
    /// collects. Returns early, perhaps with nothing, on a signal.
    pub fn wait(&mut self, timeout: Option<Duration>) -> io::Result<Vec<Report>> {
        if self.descriptors().is_empty() {
            return Ok(Vec::new());
        }
        let mut fds: Vec<PollFd<'_>> = self.descriptors().into_iter().map(|fd| PollFd::new(fd, PollFlags::POLLIN)).collect();
        let timeout = match timeout {
            Some(t) => PollTimeout::try_from(t).unwrap_or(PollTimeout::MAX),
            None => PollTimeout::NONE,
        };
        match poll(&mut fds, timeout) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(e) => return Err(e.into()),
        }
        Ok(self.collect())
    }

    /// What is there now, without waiting: events in the order each process sent them, its end last.
    pub fn collect(&mut self) -> Vec<Report> {
        for (_, line) in &mut self.ahead {
            line.look();
        }
        let mut reports = Vec::new();
        self.children.retain_mut(|child| {
            // First whether it ended, then what it sent: so nothing it sent is missed.
            let status = reap(child.pid);
            child.read(&mut reports);
            match status {
                Some(code) => {
                    reports.push(Report::Exited { tid: child.tid.clone(), pid: child.pid, code });
                    false
                }
                None => true,
            }
        });
        reports
    }

    /// Sends `signal` to a task and all it started.
    pub fn signal(&self, pid: i32, signal: i32) {
        // SAFETY: plain system calls. A child that has not made its group yet is sent it itself.
        unsafe {
            if libc::kill(-pid, signal) != 0 {
                libc::kill(pid, signal);
            }
        }
    }

    /// Ends all tasks: SIGTERM, and SIGKILL for what has not gone after `grace`. Gives their last
    /// reports.
    pub fn terminate(&mut self, grace: Duration) -> Vec<Report> {
        for child in &self.children {
            self.signal(child.pid, libc::SIGTERM);
        }
        let mut reports = Vec::new();
        let deadline = Instant::now() + grace;
        let mut killed = false;
        while !self.children.is_empty() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() && !killed {
                killed = true;
                for child in &self.children {
                    self.signal(child.pid, libc::SIGKILL);
                }
            }
            let step = if killed { Duration::from_millis(200) } else { left.min(Duration::from_millis(200)) };
            match self.wait(Some(step)) {
                Ok(more) => reports.extend(more),
                Err(_) => reports.extend(self.collect()),
            }
        }
        reports
    }
}

impl Child {
    /// Ends the process, and waits until it has.
    fn end(self) {
        // SAFETY: plain system calls on a child of ours, which leads a group of its own by now or is alone.
        unsafe {
            libc::kill(-self.pid, libc::SIGKILL);
            libc::kill(self.pid, libc::SIGKILL);
            libc::waitpid(self.pid, std::ptr::null_mut(), 0);
        }
    }

    fn read(&mut self, reports: &mut Vec<Report>) {
        let (tid, pid) = (&self.tid, self.pid);
        self.events.take(|event| reports.push(Report::Event { tid: tid.clone(), pid, event }));
    }
}

/// The exit code of a child that has ended.
fn reap(pid: i32) -> Option<i32> {
    let mut status = 0;
    // SAFETY: a child of ours that nobody else waits for.
    match unsafe { libc::waitpid(pid, &mut status, libc::WNOHANG) } {
        0 => None,
        p if p == pid && libc::WIFEXITED(status) => Some(libc::WEXITSTATUS(status)),
        p if p == pid && libc::WIFSIGNALED(status) => Some(128 + libc::WTERMSIG(status)),
        p if p == pid => None,
        _ => Some(1), // not our child any more
    }
}

/// Ends the whole group: what a task gets SIGTERM for, its commands get too.
extern "C" fn end_group(signal: i32) {
    // SAFETY: only calls allowed in a signal handler.
    unsafe {
        libc::signal(libc::SIGTERM, libc::SIG_DFL);
        libc::kill(0, libc::SIGTERM);
        libc::_exit(128 + signal);
    }
}

/// Makes this process lead a session, and end when its parent does or it is told to.
fn lead_group(parent: u32) {
    // SAFETY: plain system calls on this process.
    unsafe {
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM);
        libc::setsid();
        let handler = end_group as extern "C" fn(i32) as usize;
        libc::signal(libc::SIGTERM, handler);
        libc::signal(libc::SIGHUP, handler);
        libc::signal(libc::SIGINT, libc::SIG_DFL);
        libc::signal(libc::SIGQUIT, libc::SIG_DFL);
        libc::signal(libc::SIGCHLD, libc::SIG_DFL);
        let mut none = std::mem::zeroed();
        libc::sigemptyset(&mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &none, std::ptr::null_mut());
        if libc::getppid() as u32 != parent {
            libc::_exit(128 + libc::SIGTERM); // it ended before we asked to be told
        }
    }
}

/// A lock that processes forked from one another share. Its holder's id is its value, so that a
/// holder that was killed does not keep the others out.
struct SharedLock(Shared<AtomicU32>);

impl SharedLock {
    fn new() -> io::Result<SharedLock> {
        Shared::new().map(SharedLock)
    }

    fn with<T>(&self, work: impl FnOnce() -> T) -> T {
        let lock = &*self.0;
        let me = std::process::id();
        while let Err(holder) = lock.compare_exchange(0, me, Ordering::Acquire, Ordering::Relaxed) {
            // SAFETY: signal 0 only asks whether the process is there.
            if holder == me || unsafe { libc::kill(holder as i32, 0) } != 0 {
                if lock.compare_exchange(holder, me, Ordering::Acquire, Ordering::Relaxed).is_ok() {
                    break;
                }
            } else {
                std::thread::sleep(Duration::from_micros(200));
            }
        }
        let result = work();
        lock.store(0, Ordering::Release);
        result
    }
}

/// The sink of a task process: a JSON line an event.
struct PipeSink {
    pipe: File,
    /// The task's process; those it forks say they are it.
    pid: i32,
    lock: SharedLock,
}

impl Sink for PipeSink {
    fn emit(&mut self, mut event: Event) {
        crate::gate::nothing_said();
        if let Event::Log(record) = &mut event {
            record.taskpid.get_or_insert(self.pid);
        }
        let Some(line) = hz_events::pipe::line(&event) else { return };
        if self.lock.with(|| self.pipe.write_all(&line)).is_err() {
            // Nobody reads any more: the build has gone, and so do we.
            end_group(libc::SIGTERM);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Forking tests one at a time: each looks at its own children only, but pipes get inherited.
    static ONE: std::sync::Mutex<()> = std::sync::Mutex::new(());

    fn all(spawner: &mut Spawner) -> Vec<Report> {
        let mut reports = Vec::new();
        while !spawner.is_empty() {
            reports.extend(spawner.wait(Some(Duration::from_secs(10))).unwrap());
        }
        reports
    }

    #[test]
    fn events_come_back_and_then_the_end() {
        let _one = ONE.lock();
        let mut spawner = Spawner::with_fork(plain_fork);
        let pid = spawner
            .spawn("/a.bb:do_x", || {
                for i in 0..2000 {
                    hz_events::log(hz_events::level::NOTE, "", format!("message {i} {}", "x".repeat(i % 300)));
                }
                7
            })
            .unwrap();
        let reports = all(&mut spawner);
        assert_eq!(reports.len(), 2001);
        for (i, report) in reports[..2000].iter().enumerate() {
            let Report::Event { event: Event::Log(record), .. } = report else { panic!("{report:?}") };
            assert!(record.message.starts_with(&format!("message {i} ")));
            assert_eq!((record.taskpid, record.fn_.as_deref()), (Some(pid), None));
        }
        assert!(matches!(&reports[2000], Report::Exited { tid, code: 7, .. } if tid == "/a.bb:do_x"));
    }

    #[test]
    fn signals_reach_the_group() {
        let _one = ONE.lock();
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("pid");
        let mut spawner = Spawner::with_fork(plain_fork);
        let path = file.clone();
        spawner
            .spawn("t", move || {
                let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
                std::fs::write(&path, child.id().to_string()).unwrap();
                let _ = child.wait();
                0
            })
            .unwrap();
        while !std::fs::read_to_string(&file).is_ok_and(|t| !t.is_empty()) {
            std::thread::sleep(Duration::from_millis(10));
        }
        let reports = spawner.terminate(Duration::from_secs(10));
        assert!(matches!(reports.last(), Some(Report::Exited { code: 143, .. })), "{reports:?}");
        let sleeper = std::fs::read_to_string(&file).unwrap();
        for _ in 0..200 {
            let stat = std::fs::read_to_string(format!("/proc/{sleeper}/stat")).unwrap_or_default();
            if stat.is_empty() || stat.contains(") Z ") {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("the task's command still runs");
    }

    #[test]
    fn panics_are_failures() {
        let _one = ONE.lock();
        let mut spawner = Spawner::with_fork(plain_fork);
        spawner.spawn("t", || {
            std::panic::set_hook(Box::new(|_| {}));
            panic!("no")
        }).unwrap();
        assert!(matches!(all(&mut spawner).as_slice(), [Report::Exited { code: 1, .. }]));
    }

    #[test]
    fn crowded_while_tasks_start() {
        let _one = ONE.lock();
        let mut spawner = Spawner::with_fork(plain_fork);
        spawner.processors = 2;
        assert!(!spawner.is_crowded());
        let forever = || {
            std::thread::sleep(Duration::from_secs(60));
            0
        };
        spawner.spawn("a", forever).unwrap();
        // Has been started but now, however slow this is.
        spawner.children[0].started = Instant::now() + Duration::from_secs(60);
        assert!(!spawner.is_crowded(), "one of two");
        let (mut go, wait) = std::os::unix::net::UnixStream::pair().unwrap();
        spawner.spawn_ahead("b", |gate| {
            let _ = io::Read::read(&mut &wait, &mut [0]);
            gate.pass();
            forever()
        }).unwrap();
        assert!(spawner.is_crowded(), "one starts, one is made ready");
        go.write_all(&[1]).unwrap();
        while !spawner.is_ready("b") {
            spawner.wait(Some(Duration::from_secs(5))).unwrap();
        }
        assert!(!spawner.is_crowded(), "one waits");
        spawner.release("b").unwrap();
        spawner.children[1].started = Instant::now() + Duration::from_secs(60);
        assert!(spawner.is_crowded(), "both start");
        spawner.children[0].started = Instant::now() - START;
        assert!(!spawner.is_crowded(), "one runs");
        spawner.terminate(Duration::from_secs(10));
    }

    #[test]
    fn made_ahead() {
        let _one = ONE.lock();
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        let mut spawner = Spawner::with_fork(plain_fork);
        let task = |gate: &Gate| {
            gate.pass();
            hz_events::log(hz_events::level::NOTE, "", "runs");
            std::fs::write(&file, "made").map_or(1, |()| 7)
        };
        spawner.spawn_ahead("a", task).unwrap();
        spawner.spawn_ahead("b", task).unwrap();
        // One that has something to say before its task, and one that ends.
        spawner.spawn_ahead("c", |gate| {
            hz_events::log(hz_events::level::NOTE, "", "too early");
            task(gate)
        }).unwrap();
        spawner.spawn_ahead("d", |_| 0).unwrap();
        for tid in ["a", "b", "c", "d"] {
            while !spawner.is_ready(tid) {
                assert!(spawner.wait(Some(Duration::from_secs(5))).unwrap().is_empty());
            }
        }
        assert!(spawner.is_ready("unknown") && spawner.is_empty() && !file.exists());
        for useless in ["c", "d", "unknown"] {
            assert!(spawner.release(useless).is_none(), "{useless}");
        }
        spawner.discard(|tid| tid == "b");
        assert!(spawner.release("b").is_none());
        let pid = spawner.release("a").unwrap();
        let reports = all(&mut spawner);
        assert!(matches!(&reports[0], Report::Event { tid, event: Event::Log(record), .. } if tid == "a" && record.message == "runs"), "{reports:?}");
        assert!(matches!(&reports[1], Report::Exited { pid: ended, code: 7, .. } if *ended == pid), "{reports:?}");
        assert!(file.exists() && spawner.ahead.is_empty());
    }
}
