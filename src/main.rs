//! The multi-call binary: `bitbake` and its relatives, by the name it is called as.

#[cfg(hz_counting)]
mod counting;

use std::ffi::{c_int, c_long};

// Without huge pages: a command that lives for a quarter of a second touches tens of megabytes, and clearing all of each huge
// page it touches takes longer than the rest of it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

unsafe extern "C" {
    fn mi_option_set(option: c_int, value: c_long);
}

/// `mi_option_purge_delay` of the allocator's header.
const PURGE_DELAY: c_int = 15;

/// Milliseconds that a parser keeps what it freed: it will want most of it for the next recipe, and what was
/// given back is cleared by the kernel when it is had again; a recipe that needed much more than others should
/// not leave that behind for good.
const KEPT: c_long = 2500;

fn keep_memory() {
    // SAFETY: a plain call of the allocator that is in use.
    unsafe { mi_option_set(PURGE_DELAY, KEPT) };
}

fn main() {
    #[cfg(hz_counting)]
    counting::start();
    hz_text::watch_threads();
    hz_cli::at_helper_start(keep_memory);
    std::process::exit(hz_cli::main());
}

#[cfg(test)]
mod tests {
    use super::*;

    unsafe extern "C" {
        fn mi_option_get(option: c_int) -> c_long;
    }

    #[test]
    fn the_option_is_the_one_meant() {
        // SAFETY: as above.
        unsafe {
            assert_eq!(mi_option_get(PURGE_DELAY), 1000, "milliseconds, as its authors set it");
            keep_memory();
            assert_eq!(mi_option_get(PURGE_DELAY), KEPT);
        }
    }
}
