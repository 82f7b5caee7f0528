//! Where a process that was made ahead of its task waits until the task starts.

use std::cell::Cell;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Is this a process that waits, or will, for its task to start?
static WAITS: AtomicBool = AtomicBool::new(false);

/// How long a process may take to be ready: others that need as long had better be seen at it.
const PATIENCE: Duration = Duration::from_secs(1);

/// The process's side.
pub struct Gate {
    /// None: the task has started, or the process was not made ahead.
    line: Cell<Option<UnixStream>>,
}

/// The side of those who start the task.
pub struct Line {
    stream: UnixStream,
    made: Instant,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Preparing,
    Ready,
    Useless,
}

impl Gate {
    /// The two sides; the gate is for a process to be forked.
    pub(crate) fn new() -> io::Result<(Line, Gate)> {
        let (ours, theirs) = UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        Ok((Line { stream: ours, made: Instant::now(), state: State::Preparing }, Gate { line: Cell::new(Some(theirs)) }))
    }

    /// For a process that was not made ahead.
    pub fn open() -> Gate {
        Gate { line: Cell::new(None) }
    }

    /// Called first in the process.
    pub(crate) fn enter(&self) {
        WAITS.store(self.waits(), Ordering::Relaxed);
    }

    /// Is the task still to be started?
    pub fn waits(&self) -> bool {
        let line = self.line.take();
        let waits = line.is_some();
        self.line.set(line);
        waits
    }

    /// Waits until the task starts. The process ends here if it never does.
    pub fn pass(&self) {
        let Some(mut line) = self.line.take() else { return };
        let mut word = [0];
        if line.write_all(&[1]).and_then(|()| line.read_exact(&mut word)).is_err() {
            leave();
        }
        WAITS.store(false, Ordering::Relaxed);
    }

    /// Before the task has started the process turns out to be of no use.
    pub fn give_up(&self) {
        if self.waits() {
            leave();
        }
    }
}

impl Line {
    /// Takes in what the process has said. True: nothing more is to be waited for.
    pub(crate) fn look(&mut self) -> bool {
        if self.state == State::Preparing {
            self.state = match self.stream.read(&mut [0]) {
                Ok(1) => State::Ready,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock && self.made.elapsed() < PATIENCE => State::Preparing,
                _ => State::Useless,
            };
        }
        self.state != State::Preparing
    }

    /// Lets the process go on, if it is there and ready.
    pub(crate) fn release(mut self) -> bool {
        self.look();
        let goes_on = self.state == State::Ready && self.stream.write_all(&[1]).is_ok();
        if goes_on {
            // Where each processor has something to do the process waits for one of them, and what this one does
            // next, reading the next recipe perhaps, is in less of a hurry.
            std::thread::yield_now();
        }
        goes_on
    }

    /// What becomes readable when there is something to look at, if there may be.
    pub(crate) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        (self.state == State::Preparing).then(|| self.stream.as_fd())
    }
}

fn leave() -> ! {
    // SAFETY: ends the process without running the parent's exit handlers.
    unsafe { libc::_exit(0) }
}

/// Somebody is about to be told something: that must not be before the task has started.
pub(crate) fn nothing_said() {
    if WAITS.load(Ordering::Relaxed) {
        leave();
    }
}
