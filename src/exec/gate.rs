//! Where a process that was made ahead of its task waits until the task starts.

use std::cell::Cell;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Is this a process that waits, or will, for its task to start?
static WAITS: AtomicBool = AtomicBool::new(false);

/// How long a task that starts waits for its process to be ready: as long as it may take to make another.
const PATIENCE: Duration = Duration::from_millis(100);

/// The process's side.
pub struct Gate {
    /// None: the task has started, or the process was not made ahead.
    line: Cell<Option<UnixStream>>,
}

/// The side of those who start the task.
pub struct Line(UnixStream);

impl Gate {
    /// The two sides; the gate is for a process to be forked.
    pub(crate) fn new() -> io::Result<(Line, Gate)> {
        let (ours, theirs) = UnixStream::pair()?;
        ours.set_read_timeout(Some(PATIENCE))?;
        Ok((Line(ours), Gate { line: Cell::new(Some(theirs)) }))
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
    /// Lets the process go on, if it is there and ready or soon will be.
    pub(crate) fn release(mut self) -> bool {
        let mut word = [0];
        self.0.read_exact(&mut word).and_then(|()| self.0.write_all(&word)).is_ok()
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
