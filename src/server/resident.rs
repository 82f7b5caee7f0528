//! The program's own pages in memory.

use libc::{c_int, c_void, dl_phdr_info, size_t};

/// Lets go of the program's code and constants as far as they are in this process's memory: of what the start needed, the
/// Python library's modules most of all, nobody needs most again, and the system brings at once what somebody does.
pub fn let_go() {
    // SAFETY: the function is called before this returns, and keeps nothing.
    unsafe { libc::dl_iterate_phdr(Some(let_go_of), std::ptr::null_mut()) };
}

/// The first that this is called with is the program itself.
extern "C" fn let_go_of(info: *mut dl_phdr_info, _: size_t, _: *mut c_void) -> c_int {
    // SAFETY: the caller hands on a description of what is loaded, which stays.
    let (base, segments) = unsafe {
        let info = &*info;
        (info.dlpi_addr as usize, std::slice::from_raw_parts(info.dlpi_phdr, usize::from(info.dlpi_phnum)))
    };
    // SAFETY: asks for a setting of the system.
    let page = usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(0).max(4096);
    for segment in segments.iter().filter(|segment| segment.p_type == libc::PT_LOAD && segment.p_flags & libc::PF_W == 0) {
        let (from, length) = whole_pages(page, base + segment.p_vaddr as usize, segment.p_memsz as usize);
        // SAFETY: nobody ever wrote there: the pages are as they are in the file, and come from there again.
        unsafe { libc::madvise(from as *mut c_void, length, libc::MADV_DONTNEED) };
    }
    1
}

/// The pages that lie all in a range.
fn whole_pages(page: usize, from: usize, length: usize) -> (usize, usize) {
    let (first, end) = (from.next_multiple_of(page), (from + length) / page * page);
    (first, end.saturating_sub(first))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_pages_count() {
        assert_eq!(whole_pages(4096, 4096, 8192), (4096, 8192));
        assert_eq!(whole_pages(4096, 4097, 8192), (8192, 4096));
        assert_eq!(whole_pages(4096, 4097, 10), (8192, 0));
    }

    #[test]
    fn what_was_let_go_of_is_there() {
        static TEXT: [u8; 1 << 16] = [7; 1 << 16];
        let_go();
        assert!(std::hint::black_box(&TEXT).iter().all(|byte| *byte == 7));
    }
}
