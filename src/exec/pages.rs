//! The memory of a process that forks many others, in large pages.
//!
//! A fork copies an entry for each page the process has, which for a hundred megabytes of small pages takes longer
//! than all else a task does. What is in use is moved into large pages, where the system lets it: one entry for 512
//! of them. A process that writes to one has the entries made and a small page copied, as before.

use std::collections::BTreeSet;
use std::io;

const SMALL: usize = 4096;
const LARGE: usize = 2 << 20;
/// Moves a range into large pages at once, whatever the system's settings. Of Linux 6.1; others refuse.
const MADV_COLLAPSE: libc::c_int = 25;

/// Memory in large pages, by where these begin.
#[derive(Default)]
pub struct Gathered {
    known: BTreeSet<usize>,
    /// How many processes had been made when that was done last.
    forks: usize,
}

/// How many processes are made before it is worth it: it takes as long as some forks, and many builds have few
/// tasks.
const FIRST: usize = 16;

impl Gathered {
    /// Gathers memory if that is worth it when so many processes were made: later more and more seldom, as the
    /// process grows with each recipe.
    pub fn note_forks(&mut self, forks: usize) {
        if forks >= (self.forks * 4).max(FIRST) {
            self.forks = forks;
            self.gather();
        }
    }

    /// Moves private memory that is mostly in use into large pages, once. What cannot be moved stays as it is.
    fn gather(&mut self) {
        let Ok(maps) = std::fs::read_to_string("/proc/self/maps") else { return };
        // The allocator asks for no large pages for the process, as memory is to be touched sparingly.
        let refused = large_pages_refused();
        if refused {
            refuse_large_pages(false);
        }
        for (start, end) in maps.lines().filter_map(private_memory) {
            let used = in_use(start, end).unwrap_or_default();
            for (start, end) in neighbours(used.into_iter().filter(|page| self.known.insert(*page))) {
                // SAFETY: only how the memory is mapped changes, not what is in it.
                unsafe { libc::madvise(start as *mut libc::c_void, end - start, MADV_COLLAPSE) };
            }
        }
        if refused {
            refuse_large_pages(true);
        }
    }
}

fn large_pages_refused() -> bool {
    // SAFETY: asks for a setting of this process.
    unsafe { libc::prctl(libc::PR_GET_THP_DISABLE, 0, 0, 0, 0) == 1 }
}

fn refuse_large_pages(refuse: bool) {
    // SAFETY: a setting of this process.
    unsafe { libc::prctl(libc::PR_SET_THP_DISABLE, libc::c_ulong::from(refuse), 0, 0, 0) };
}

/// The range of a line of `/proc/self/maps` that is writable, private and of no file.
fn private_memory(line: &str) -> Option<(usize, usize)> {
    let mut words = line.split_ascii_whitespace();
    let (start, end) = words.next()?.split_once('-')?;
    let (rights, inode, name) = (words.next()?, words.nth(2)?, words.next());
    if rights != "rw-p" || inode != "0" || name.is_some_and(|name| name != "[heap]" && !name.starts_with("[anon")) {
        return None;
    }
    let number = |text: &str| usize::from_str_radix(text, 16).ok();
    let (start, end) = (number(start)?.next_multiple_of(LARGE), number(end)? / LARGE * LARGE);
    (start < end).then_some((start, end))
}

/// Where large pages could begin of which half is in use at least.
fn in_use(start: usize, end: usize) -> io::Result<Vec<usize>> {
    let mut resident = vec![0u8; (end - start) / SMALL];
    // SAFETY: a byte for each page of the range.
    if unsafe { libc::mincore(start as *mut libc::c_void, end - start, resident.as_mut_ptr()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let used = |pages: &[u8]| pages.iter().filter(|page| **page & 1 != 0).count();
    let pages = resident.chunks(LARGE / SMALL).enumerate();
    Ok(pages.filter(|(_, pages)| used(pages) >= pages.len() / 2).map(|(at, _)| start + at * LARGE).collect())
}

/// Ranges of large pages: each is asked for by itself, which takes a while.
fn neighbours(pages: impl Iterator<Item = usize>) -> Vec<(usize, usize)> {
    let mut found: Vec<(usize, usize)> = Vec::new();
    for page in pages {
        match found.last_mut() {
            Some((_, to)) if *to == page => *to += LARGE,
            _ => found.push((page, page + LARGE)),
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn when() {
        let mut gathered = Gathered::default();
        let times: Vec<usize> = (0..5000).filter(|forks| {
            let before = gathered.forks;
            gathered.note_forks(*forks);
            gathered.forks != before
        }).collect();
        assert_eq!(times, [16, 64, 256, 1024, 4096]);
    }

    #[test]
    fn lines() {
        let memory = |rest: &str| private_memory(&format!("7f0000100000-7f0000900000 {rest}"));
        let range = Some((0x7f0000200000, 0x7f0000800000));
        assert_eq!(memory("rw-p 00000000 00:00 0"), range);
        assert_eq!(memory("rw-p 00000000 00:00 0 [heap]"), range);
        for other in ["r--p 00000000 00:00 0", "rw-s 00000000 00:00 0", "rw-p 00000000 08:01 77 /lib/x", "rw-p 00000000 00:00 0 [stack]"] {
            assert_eq!(memory(other), None, "{other}");
        }
        assert_eq!(private_memory("7f0000200000-7f0000300000 rw-p 00000000 00:00 0"), None);
    }

    #[test]
    fn ranges() {
        assert_eq!(neighbours([0, LARGE, 4 * LARGE, 6 * LARGE].into_iter()), [(0, 2 * LARGE), (4 * LARGE, 5 * LARGE), (6 * LARGE, 7 * LARGE)]);
    }

    #[test]
    fn what_is_in_memory_stays() {
        let length = 4 * LARGE;
        // SAFETY: memory of our own.
        let memory = unsafe {
            let at = libc::mmap(std::ptr::null_mut(), length, libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1, 0);
            assert_ne!(at, libc::MAP_FAILED);
            std::slice::from_raw_parts_mut(at.cast::<u8>(), length)
        };
        let start = (memory.as_ptr() as usize).next_multiple_of(LARGE);
        assert!(in_use(start, start + 3 * LARGE).unwrap().is_empty());
        let first = start - memory.as_ptr() as usize;
        for at in (first..first + 2 * LARGE).step_by(SMALL) {
            memory[at] = (at / SMALL % 251) as u8;
        }
        assert_eq!(in_use(start, start + 3 * LARGE).unwrap(), [start, start + LARGE]);
        let before = large_pages_refused();
        let mut gathered = Gathered::default();
        gathered.gather();
        assert!(gathered.known.contains(&start) && gathered.known.contains(&(start + LARGE)));
        assert_eq!(large_pages_refused(), before);
        assert!((first..first + 2 * LARGE).step_by(SMALL).all(|at| memory[at] == (at / SMALL % 251) as u8));
    }
}
