//! The program that counts how often each piece of it runs, for the optimiser (`scripts/guide`; not compiled otherwise).
//!
//! Forked processes end without the handlers of an exit, so what they counted is written as they end; and what their
//! parent had counted before is not theirs.

use std::ffi::{c_int, c_long};

unsafe extern "C" {
    fn __llvm_profile_write_file() -> c_int;
    fn __llvm_profile_reset_counters();
    fn pthread_atfork(prepare: Option<extern "C" fn()>, parent: Option<extern "C" fn()>, child: Option<extern "C" fn()>) -> c_int;
    fn syscall(number: c_long, ...) -> c_long;
}

/// `SYS_exit_group` of x86_64.
const EXIT_GROUP: c_long = 231;

/// In place of the C library's.
#[unsafe(no_mangle)]
pub extern "C" fn _exit(code: c_int) -> ! {
    // SAFETY: plain calls; the last one does not come back.
    unsafe {
        __llvm_profile_write_file();
        loop {
            syscall(EXIT_GROUP, code);
        }
    }
}

extern "C" fn forked() {
    // SAFETY: a plain call, in a process of one thread.
    unsafe { __llvm_profile_reset_counters() }
}

pub fn start() {
    // SAFETY: the handler stays as long as the program.
    unsafe { pthread_atfork(None, None, Some(forked)) };
}
