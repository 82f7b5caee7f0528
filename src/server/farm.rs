//! Forked helpers that work off a list of jobs and send what they made back through pipes.
//!
//! Jobs are claimed from a counter in shared memory, so a helper with small jobs takes more of
//! them. The main process stays single-threaded and reads all pipes with poll(2).

use hz_exec::shared::Shared;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, IntoRawFd};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// What a helper sends.
pub enum Message {
    /// Result of a job.
    Done { worker: usize, job: usize, bytes: Vec<u8> },
    /// An event to pass on (JSON of `hz_events::Event`).
    Event(Vec<u8>),
    /// What the helper leaves behind when all jobs are claimed (caches to merge).
    Rest(Vec<u8>),
    /// A helper ended without being done, while it worked on `job`.
    Died { job: Option<usize>, status: String },
}

const RESULT: u8 = 0;
const EVENT: u8 = 1;
const STARTED: u8 = 2;
const REST: u8 = 3;
/// As REST, of a process that did one job in the place of its helper.
const ASIDE: u8 = 4;

/// The helper's end of its pipe. Nobody waits for the main process to read: it may be busy for a while, and what does
/// not go into the pipe meanwhile waits here.
pub struct Outlet {
    file: File,
    /// What was not sent yet, and events that can wait for what is sent next; all clones share it, so that nothing
    /// overtakes it.
    waiting: Arc<Mutex<Waiting>>,
}

#[derive(Default)]
struct Waiting {
    bytes: VecDeque<u8>,
    /// How many there were when the pipe took no more.
    refused: usize,
}

impl Waiting {
    fn add(&mut self, kind: u8, job: usize, bytes: &[u8]) {
        self.bytes.extend(&head(kind, job, bytes.len()));
        self.bytes.extend(bytes);
    }
}

/// Bytes of events that may wait.
const MOST_WAITING: usize = 1 << 15;
/// Bytes that may wait until the pipe takes them.
const MOST_KEPT: usize = 16 << 20;

fn head(kind: u8, job: usize, length: usize) -> [u8; 17] {
    let mut head = [0u8; 17];
    head[0] = kind;
    head[1..9].copy_from_slice(&(job as u64).to_le_bytes());
    head[9..17].copy_from_slice(&(length as u64).to_le_bytes());
    head
}

impl Outlet {
    fn new(file: File) -> Outlet {
        // It is ours alone: the other end is read as before. A pipe that blocks nevertheless does, too.
        // SAFETY: plain calls on a descriptor of ours.
        unsafe {
            let flags = libc::fcntl(file.as_raw_fd(), libc::F_GETFL);
            libc::fcntl(file.as_raw_fd(), libc::F_SETFL, flags | libc::O_NONBLOCK);
        }
        Outlet { file, waiting: Arc::default() }
    }
    fn frame(&mut self, kind: u8, job: usize, bytes: &[u8]) -> io::Result<()> {
        let mut waiting = self.waiting.lock().unwrap_or_else(|e| e.into_inner());
        waiting.add(kind, job, bytes);
        send(&self.file, &mut waiting, MOST_KEPT)
    }
    /// Sends an event, or, unless it is `urgent`, keeps it for a moment: a recipe tells of every place where it looked
    /// for a file.
    pub fn event(&mut self, json: &[u8], urgent: bool) -> io::Result<()> {
        let mut waiting = self.waiting.lock().unwrap_or_else(|e| e.into_inner());
        waiting.add(EVENT, 0, json);
        if !urgent && waiting.bytes.len() - waiting.refused < MOST_WAITING {
            return Ok(());
        }
        send(&self.file, &mut waiting, MOST_KEPT)
    }
    /// Waits until everything is sent.
    fn finish(&mut self) -> io::Result<()> {
        send(&self.file, &mut self.waiting.lock().unwrap_or_else(|e| e.into_inner()), 0)
    }
    pub fn try_clone(&self) -> io::Result<Outlet> {
        Ok(Outlet { file: self.file.try_clone()?, waiting: self.waiting.clone() })
    }
}

/// Sends what the pipe takes now, and waits until it has taken all but `most` bytes.
fn send(mut pipe: &File, waiting: &mut Waiting, most: usize) -> io::Result<()> {
    let bytes = &mut waiting.bytes;
    while !bytes.is_empty() {
        match pipe.write(bytes.as_slices().0) {
            Ok(length) => drop(bytes.drain(..length)),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) if e.kind() != io::ErrorKind::WouldBlock => return Err(e),
            Err(_) if bytes.len() <= most => break,
            Err(_) => _ = poll(&mut [PollFd::new(pipe.as_fd(), PollFlags::POLLOUT)], PollTimeout::NONE),
        }
    }
    if bytes.is_empty() {
        bytes.shrink_to(MOST_WAITING);
    }
    waiting.refused = bytes.len();
    Ok(())
}

static AT_START: std::sync::OnceLock<fn()> = std::sync::OnceLock::new();

/// What every helper does first. The first call counts.
pub fn at_helper_start(work: fn()) {
    let _ = AT_START.set(work);
}

struct Helper {
    pid: nix::unistd::Pid,
    pipe: File,
    buffer: Vec<u8>,
    at: Option<usize>,
    finished: bool,
}

/// Adds a part to bytes that are sent; [`parts`] finds it.
pub fn add_part(bytes: &mut Vec<u8>, part: &[u8]) {
    bytes.extend((part.len() as u64).to_le_bytes());
    bytes.extend(part);
}

/// The parts that [`add_part`] put together.
pub fn parts(mut bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (length, behind) = bytes.split_first_chunk::<8>()?;
        let (part, behind) = behind.split_at_checked(u64::from_le_bytes(*length) as usize)?;
        bytes = behind;
        Some(part)
    })
}

/// Forks for [`Farm::start`].
///
/// # Errors
/// The system refuses.
pub fn fork() -> io::Result<i32> {
    Ok(match hz_python::fork()? {
        hz_python::ForkResult::Child => 0,
        hz_python::ForkResult::Parent(pid) => pid,
    })
}

/// A helper never outlives the process it helps.
fn live_with_parent() {
    // SAFETY: a plain call.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
}

/// Ends a forked process without running the parent's exit handlers.
fn leave(code: i32) -> ! {
    // SAFETY: ends this process.
    unsafe { libc::_exit(code) }
}

/// What a child exits with. If a signal ended it, that ends this process, too: it shows why.
fn end_of(pid: i32) -> i32 {
    use nix::sys::{signal, wait};
    loop {
        match wait::waitpid(nix::unistd::Pid::from_raw(pid), None) {
            Ok(wait::WaitStatus::Exited(_, code)) => return code,
            Ok(wait::WaitStatus::Signaled(_, reason, _)) => {
                // SAFETY: nothing is called when it comes.
                let _ = unsafe { signal::signal(reason, signal::SigHandler::SigDfl) };
                let _ = signal::raise(reason);
                return 1;
            }
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(_) => return 1,
        }
    }
}

/// A running farm.
pub struct Farm {
    helpers: Vec<Option<Helper>>,
    counter: Shared<AtomicUsize>,
    total: usize,
    /// Room for what is read at once.
    chunk: Vec<u8>,
}

/// What a pipe may hold, so that helpers seldom wait for us: as much as everybody may ask for.
const PIPE: i32 = 1 << 20;

/// Bytes that are read at once.
const CHUNK: usize = 1 << 18;

impl Farm {
    /// Starts `workers` helpers for jobs `0..total`. `fork` forks (0 in the child). In the child,
    /// `make` gets the outlet once and gives the function that does one job; `rest` what is sent
    /// last.
    pub fn start<S>(
        workers: usize,
        total: usize,
        fork: impl FnMut() -> io::Result<i32>,
        make: impl Fn(usize, &Outlet) -> S,
        job: impl Fn(&mut S, usize) -> Vec<u8>,
        rest: impl Fn(S) -> Vec<u8>,
    ) -> io::Result<Farm> {
        Self::start_with_asides(workers, total, fork, make, (job, |_| false), rest)
    }

    /// As [`Self::start`]. A job of which the second function of `job` says so is done by a process of its own, forked
    /// from the helper, which waits for it: what it leaves in memory goes with it.
    pub fn start_with_asides<S>(
        workers: usize,
        total: usize,
        mut fork: impl FnMut() -> io::Result<i32>,
        make: impl Fn(usize, &Outlet) -> S,
        job: (impl Fn(&mut S, usize) -> Vec<u8>, impl Fn(usize) -> bool),
        rest: impl Fn(S) -> Vec<u8>,
    ) -> io::Result<Farm> {
        let mut farm = Farm { helpers: Vec::new(), counter: Shared::new()?, total, chunk: vec![0; CHUNK] };
        for n in 0..workers.min(total).max(1) {
            let (read, write) = nix::unistd::pipe()?;
            let pid = fork()?;
            if pid == 0 {
                drop(read);
                farm.helpers.clear();
                // SAFETY: the descriptor is ours and goes nowhere else.
                let outlet = Outlet::new(unsafe { File::from_raw_fd(write.into_raw_fd()) });
                crate::signals::ignore_in_child();
                if let Some(work) = AT_START.get() {
                    work();
                }
                let claim = || Some(farm.counter.fetch_add(1, Ordering::Relaxed)).filter(|at| *at < total);
                leave(Self::work(outlet, claim, fork, |outlet| make(n, outlet), &job, &rest));
            }
            drop(write);
            // SAFETY: the descriptor is ours and goes nowhere else.
            let pipe = unsafe { File::from_raw_fd(read.into_raw_fd()) };
            // A small pipe does, too.
            // SAFETY: a plain call on a descriptor of ours.
            unsafe { libc::fcntl(pipe.as_raw_fd(), libc::F_SETPIPE_SZ, PIPE) };
            farm.helpers.push(Some(Helper {
                pid: nix::unistd::Pid::from_raw(pid),
                pipe,
                buffer: Vec::new(),
                at: None,
                finished: false,
            }));
        }
        Ok(farm)
    }

    /// What a helper does; gives what it exits with.
    fn work<S>(
        mut outlet: Outlet,
        claim: impl Fn() -> Option<usize>,
        mut fork: impl FnMut() -> io::Result<i32>,
        make: impl Fn(&Outlet) -> S,
        (job, aside): &(impl Fn(&mut S, usize) -> Vec<u8>, impl Fn(usize) -> bool),
        rest: &impl Fn(S) -> Vec<u8>,
    ) -> i32 {
        live_with_parent();
        let mut state = make(&outlet);
        while let Some(at) = claim() {
            if outlet.frame(STARTED, at, &[]).is_err() {
                return 1;
            }
            // What waits would be sent by both. Who cannot fork does it without.
            let forked = if aside(at) && outlet.finish().is_ok() { fork().ok() } else { None };
            match forked {
                Some(0) => {
                    live_with_parent();
                    let result = job(&mut state, at);
                    let sent = outlet.frame(RESULT, at, &result).and_then(|()| outlet.frame(ASIDE, 0, &rest(state)));
                    leave(i32::from(sent.and_then(|()| outlet.finish()).is_err()));
                }
                Some(pid) => match end_of(pid) {
                    0 => {}
                    code => return code,
                },
                None => {
                    let bytes = job(&mut state, at);
                    if outlet.frame(RESULT, at, &bytes).is_err() {
                        return 1;
                    }
                }
            }
        }
        let bytes = rest(state);
        i32::from(outlet.frame(REST, 0, &bytes).and_then(|()| outlet.finish()).is_err())
    }

    /// No further jobs are claimed; those being worked on are finished.
    pub fn stop(&self) {
        self.counter.store(self.total, Ordering::Relaxed);
    }

    /// Waits up to `timeout_ms` for messages. None: all helpers have ended.
    pub fn wait(&mut self, timeout_ms: u16) -> Option<Vec<Message>> {
        let live: Vec<usize> = (0..self.helpers.len()).filter(|n| self.helpers[*n].is_some()).collect();
        if live.is_empty() {
            return None;
        }
        let ready: Vec<bool> = {
            let mut fds: Vec<PollFd> = live
                .iter()
                .filter_map(|n| self.helpers[*n].as_ref())
                .map(|h| PollFd::new(h.pipe.as_fd(), PollFlags::POLLIN))
                .collect();
            // An interrupted wait is an empty one.
            let _ = poll(&mut fds, PollTimeout::from(timeout_ms));
            fds.iter().map(|f| f.any().unwrap_or(false)).collect()
        };
        let mut out = Vec::new();
        for (n, _) in live.into_iter().zip(ready).filter(|(_, ready)| *ready) {
            let Some(helper) = &mut self.helpers[n] else { continue };
            let got = helper.pipe.read(&mut self.chunk).unwrap_or(0);
            helper.buffer.extend_from_slice(&self.chunk[..got]);
            let mut from = 0;
            while helper.buffer.len() - from >= 17 {
                let head = &helper.buffer[from..from + 17];
                let number = |r: std::ops::Range<usize>| {
                    let mut b = [0u8; 8];
                    b.copy_from_slice(&head[r]);
                    u64::from_le_bytes(b) as usize
                };
                let (kind, job, len) = (head[0], number(1..9), number(9..17));
                if helper.buffer.len() - from - 17 < len {
                    break;
                }
                let bytes = helper.buffer[from + 17..from + 17 + len].to_vec();
                from += 17 + len;
                match kind {
                    RESULT => {
                        helper.at = None;
                        out.push(Message::Done { worker: n, job, bytes });
                    }
                    EVENT => out.push(Message::Event(bytes)),
                    STARTED => helper.at = Some(job),
                    ASIDE => out.push(Message::Rest(bytes)),
                    _ => {
                        helper.finished = true;
                        out.push(Message::Rest(bytes));
                    }
                }
            }
            helper.buffer.drain(..from);
            // A large recipe's room is not needed for the others.
            helper.buffer.shrink_to(CHUNK);
            if got == 0 {
                let status = match nix::sys::wait::waitpid(helper.pid, None) {
                    Ok(status) => format!("{status:?}"),
                    Err(e) => e.to_string(),
                };
                if !helper.finished {
                    out.push(Message::Died { job: helper.at, status });
                }
                self.helpers[n] = None;
            }
        }
        Some(out)
    }
}

impl Drop for Farm {
    fn drop(&mut self) {
        for helper in self.helpers.iter().flatten() {
            let _ = nix::sys::signal::kill(helper.pid, nix::sys::signal::Signal::SIGKILL);
            let _ = nix::sys::wait::waitpid(helper.pid, None);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_before_what_is_sent_after_them() {
        let make = |_: usize, outlet: &Outlet| outlet.try_clone().unwrap();
        let job = |outlet: &mut Outlet, at: usize| {
            outlet.event(format!("later {at}").as_bytes(), false).unwrap();
            outlet.event(format!("now {at}").as_bytes(), at == 1).unwrap();
            vec![at as u8]
        };
        let mut farm = Farm::start(1, 3, fork, make, job, |_| Vec::new()).unwrap();
        let mut seen = Vec::new();
        while let Some(messages) = farm.wait(1000) {
            for message in messages {
                match message {
                    Message::Event(bytes) => seen.push(String::from_utf8(bytes).unwrap()),
                    Message::Done { job, .. } => seen.push(format!("done {job}")),
                    _ => {}
                }
            }
        }
        assert_eq!(seen, ["later 0", "now 0", "done 0", "later 1", "now 1", "done 1", "later 2", "now 2", "done 2"]);
    }

    #[test]
    fn nobody_waits_for_who_does_not_read() {
        let done: Shared<AtomicUsize> = Shared::new().unwrap();
        let job = |_: &mut (), at: usize| {
            done.fetch_add(1, Ordering::Relaxed);
            vec![at as u8; PIPE as usize / 2]
        };
        let mut farm = Farm::start(1, 8, fork, |_, _| (), job, |()| vec![7]).unwrap();
        for _ in 0..1000 {
            if done.load(Ordering::Relaxed) == 8 {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        assert_eq!(done.load(Ordering::Relaxed), 8);
        let mut seen = Vec::new();
        while let Some(messages) = farm.wait(1000) {
            for message in messages {
                match message {
                    Message::Done { job, bytes, .. } => {
                        assert!(bytes == vec![job as u8; PIPE as usize / 2]);
                        seen.push(job);
                    }
                    Message::Rest(bytes) => assert_eq!(bytes, [7]),
                    _ => panic!(),
                }
            }
        }
        assert_eq!(seen, (0..8).collect::<Vec<_>>());
    }

    fn fork() -> io::Result<i32> {
        // SAFETY: the child only runs the closures of the tests below.
        Ok(unsafe { libc::fork() })
    }

    #[test]
    fn every_job_is_done_once() {
        let mut farm = Farm::start(2, 50, fork, |_, _| 0usize, |n, at| { *n += 1; vec![at as u8] }, |n| vec![n as u8]).unwrap();
        let (mut done, mut rest) = (Vec::new(), 0);
        while let Some(messages) = farm.wait(1000) {
            for message in messages {
                match message {
                    Message::Done { job, bytes, .. } => {
                        assert_eq!(bytes, [job as u8]);
                        done.push(job);
                    }
                    Message::Rest(bytes) => rest += bytes[0] as usize,
                    Message::Event(_) => {}
                    Message::Died { status, .. } => panic!("{status}"),
                }
            }
        }
        done.sort();
        assert_eq!(done, (0..50).collect::<Vec<_>>());
        assert_eq!(rest, 50);
    }

    #[test]
    fn a_job_aside_leaves_nothing_but_its_result() {
        let job = |n: &mut u8, at: usize| { *n += 1; vec![at as u8, *n] };
        let rest = |n: u8| vec![n];
        let mut farm = Farm::start_with_asides(1, 4, fork, |_, _| 0u8, (job, |at| at == 1), rest).unwrap();
        let (mut done, mut rest) = (Vec::new(), Vec::new());
        while let Some(messages) = farm.wait(1000) {
            for message in messages {
                match message {
                    Message::Done { bytes, .. } => done.push(bytes),
                    Message::Rest(bytes) => rest.push(bytes),
                    _ => panic!(),
                }
            }
        }
        assert_eq!(done, [[0, 1], [1, 2], [2, 2], [3, 3]]);
        assert_eq!(rest, [[2], [3]]);
    }

    #[test]
    fn a_death_aside_is_one_of_the_helper() {
        for (end, shown) in [((|| leave(7)) as fn() -> i32, "7"), (|| { let _ = nix::sys::signal::raise(nix::sys::signal::SIGKILL); 1 }, "SIGKILL")] {
            let job = |_: &mut (), _: usize| { end(); Vec::new() };
            let mut farm = Farm::start_with_asides(1, 2, fork, |_, _| (), (job, |at| at == 0), |()| Vec::new()).unwrap();
            let mut died = None;
            while let Some(messages) = farm.wait(1000) {
                for message in messages {
                    if let Message::Died { job, status } = message {
                        died = Some((job, status));
                    }
                }
            }
            let (job, status) = died.unwrap();
            assert_eq!(job, Some(0));
            assert!(status.contains(shown), "{status}");
        }
    }

    #[test]
    fn a_death_names_its_job() {
        // SAFETY: ends the forked child.
        let mut farm = Farm::start(1, 3, fork, |_, _| (), |_, at| if at == 1 { unsafe { libc::_exit(7) } } else { vec![] }, |_| vec![]).unwrap();
        let mut died = None;
        while let Some(messages) = farm.wait(1000) {
            for message in messages {
                if let Message::Died { job, .. } = message {
                    died = job;
                }
            }
        }
        assert_eq!(died, Some(1));
    }
}
