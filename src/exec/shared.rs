//! A number in memory that processes forked from one another share.

use std::io;
use std::marker::PhantomData;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, AtomicUsize};

/// Numbers that can be shared so.
///
/// # Safety
/// All zeros are a value of the type, it holds no pointers, and it may be used by several processes at once.
pub unsafe trait Number {}
// SAFETY: atomics of plain integers.
unsafe impl Number for AtomicU32 {}
// SAFETY: as above.
unsafe impl Number for AtomicUsize {}

/// A number, 0 at first, that this process and those forked from it have in common.
pub struct Shared<T: Number>(NonNull<T>, PhantomData<T>);

// SAFETY: the memory stays mapped as long as the value lives, and is used through an atomic only.
unsafe impl<T: Number> Send for Shared<T> {}
// SAFETY: as above.
unsafe impl<T: Number> Sync for Shared<T> {}

impl<T: Number> Shared<T> {
    /// # Errors
    /// There is no memory to be had.
    pub fn new() -> io::Result<Shared<T>> {
        // SAFETY: asks for memory of our own, zeroed.
        let page = unsafe {
            libc::mmap(std::ptr::null_mut(), size_of::<T>(), libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED | libc::MAP_ANONYMOUS, -1, 0)
        };
        match NonNull::new(page.cast()) {
            Some(number) if page != libc::MAP_FAILED => Ok(Shared(number, PhantomData)),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

impl<T: Number> std::ops::Deref for Shared<T> {
    type Target = T;
    fn deref(&self) -> &T {
        // SAFETY: mapped, aligned to a page, and only ever used as this type.
        unsafe { self.0.as_ref() }
    }
}

impl<T: Number> Drop for Shared<T> {
    fn drop(&mut self) {
        // SAFETY: unmaps what `new` mapped; other processes keep their own mapping.
        unsafe { libc::munmap(self.0.as_ptr().cast(), size_of::<T>()) };
    }
}
