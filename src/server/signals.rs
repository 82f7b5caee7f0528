//! Ctrl-C and termination: counted by the handler, acted on by the main loop.

use std::sync::atomic::{AtomicU32, Ordering};

static INTERRUPTS: AtomicU32 = AtomicU32::new(0);

extern "C" fn count(signal: libc::c_int) {
    // SIGTERM and SIGHUP do not ask nicely: they count as the second Ctrl-C.
    let add = if signal == libc::SIGINT { 1 } else { 2 };
    INTERRUPTS.fetch_add(add, Ordering::SeqCst);
}

/// Installs the handlers in the main process. System calls are not restarted, so that a waiting
/// loop notices at once.
pub fn install() {
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
        // SAFETY: the handler only touches an atomic.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = count as extern "C" fn(libc::c_int) as libc::sighandler_t;
            libc::sigaction(signal, &action, std::ptr::null_mut());
        }
    }
    // SAFETY: plain call. A reader that closed its end is an error value, not a death.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_IGN) };
}

/// For forked helpers that live and die with the main process: the terminal's Ctrl-C is not theirs.
pub fn ignore_in_child() {
    // SAFETY: plain calls.
    unsafe {
        libc::signal(libc::SIGINT, libc::SIG_IGN);
        libc::signal(libc::SIGTERM, libc::SIG_DFL);
        libc::signal(libc::SIGHUP, libc::SIG_DFL);
    }
}

/// How often the user has asked to stop: 0 no, 1 after the running tasks, 2 or more now.
pub fn interrupts() -> u32 {
    INTERRUPTS.load(Ordering::SeqCst)
}
