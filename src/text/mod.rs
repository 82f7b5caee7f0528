//! Text that many places share.
//!
//! A recipe copies names and values millions of times, and most of what a copy costs is that processors agree on its
//! count. Parsers are processes with one thread. So, as the C++ library does for its shared pointers, counts are kept
//! without that agreement for as long as the C library says that there is no other thread.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::borrow::{Borrow, Cow};
use std::cmp::Ordering;
use std::ffi::c_char;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering as Order, fence};

/// Shared text that never changes, one pointer wide. As `Arc<str>` otherwise.
pub struct Str(NonNull<Header>);

/// What stands before the bytes of a text.
#[repr(C)]
struct Header {
    count: AtomicUsize,
    length: usize,
}

/// The text without anything in it needs no memory. Its count starts with one that nobody gives back.
static EMPTY: Header = Header { count: AtomicUsize::new(1), length: 0 };

/// More copies than memory can hold: somebody forgot them without dropping, and the count is about to start over.
const MOST: usize = isize::MAX as usize;

// SAFETY: the text never changes, and the count is changed by one thread alone only while there is one ([`is_alone`]).
unsafe impl Send for Str {}
// SAFETY: as above.
unsafe impl Sync for Str {}

/// There may be other threads.
static UNKNOWN: c_char = 0;

/// Where it says whether this process has one thread: 0, or nothing is known.
static ALONE: AtomicPtr<c_char> = AtomicPtr::new((&raw const UNKNOWN).cast_mut());

/// Asks the C library from here on whether there are other threads; without this, or where it does not know, there may be
/// some. To be called at the start of a program.
pub fn watch_threads() {
    // SAFETY: a name that ends with a zero byte. Of glibc 2.32: a byte that is there as long as the program, and is set to 0
    // by the only thread there is, before it starts another.
    let found = unsafe { libc::dlsym(libc::RTLD_DEFAULT, c"__libc_single_threaded".as_ptr()) };
    if !found.is_null() {
        ALONE.store(found.cast(), Order::Relaxed);
    }
}

/// Has this process no other thread? Whatever was done so far is seen by those that it starts later.
#[inline]
fn is_alone() -> bool {
    // SAFETY: either of both is there for good, and is not written while other threads could read it.
    unsafe { ALONE.load(Order::Relaxed).read() != 0 }
}

impl Str {
    fn new(text: &str) -> Str {
        if text.is_empty() {
            return Str::default();
        }
        let layout = Self::layout(text.len());
        // SAFETY: the layout has the room that is written here, and is not of size zero.
        unsafe {
            let place = alloc(layout).cast::<Header>();
            let Some(header) = NonNull::new(place) else { handle_alloc_error(layout) };
            header.write(Header { count: AtomicUsize::new(1), length: text.len() });
            header.add(1).cast::<u8>().copy_from_nonoverlapping(NonNull::from(text.as_bytes()).cast(), text.len());
            Str(header)
        }
    }

    fn layout(length: usize) -> Layout {
        let size = size_of::<Header>().checked_add(length).unwrap_or(usize::MAX);
        match Layout::from_size_align(size, align_of::<Header>()) {
            Ok(layout) => layout,
            Err(_) => panic!("a text of {length} bytes is more than memory can hold"),
        }
    }

    #[inline]
    fn header(&self) -> &Header {
        // SAFETY: it is there as long as somebody counts.
        unsafe { self.0.as_ref() }
    }

    /// Are both the same piece of memory?
    #[inline]
    pub fn ptr_eq(a: &Str, b: &Str) -> bool {
        a.0 == b.0
    }

    /// Where it is; others can be there once all copies are gone.
    #[inline]
    pub fn address(&self) -> usize {
        self.0.addr().get()
    }

    #[cold]
    fn free(&mut self) {
        let layout = Self::layout(self.header().length);
        // SAFETY: nobody counts any more, and it was made with this layout: the empty text is always counted.
        unsafe { dealloc(self.0.as_ptr().cast(), layout) }
    }
}

impl Clone for Str {
    #[inline]
    fn clone(&self) -> Str {
        let count = &self.header().count;
        let before = if is_alone() {
            let before = count.load(Order::Relaxed);
            count.store(before + 1, Order::Relaxed);
            before
        } else {
            count.fetch_add(1, Order::Relaxed)
        };
        if before > MOST {
            std::process::abort();
        }
        Str(self.0)
    }
}

impl Drop for Str {
    #[inline]
    fn drop(&mut self) {
        let count = &self.header().count;
        if is_alone() {
            let before = count.load(Order::Relaxed);
            if before != 1 {
                count.store(before - 1, Order::Relaxed);
                return;
            }
        } else {
            if count.fetch_sub(1, Order::Release) != 1 {
                return;
            }
            // What others did with it comes before it goes.
            fence(Order::Acquire);
        }
        self.free();
    }
}

impl Default for Str {
    #[inline]
    fn default() -> Str {
        std::mem::ManuallyDrop::new(Str(NonNull::from(&EMPTY))).deref().clone()
    }
}

impl Deref for Str {
    type Target = str;
    #[inline]
    fn deref(&self) -> &str {
        let length = self.header().length;
        // SAFETY: as many bytes of a text stand behind the header, and nobody writes there.
        unsafe { std::str::from_utf8_unchecked(std::slice::from_raw_parts(self.0.add(1).cast().as_ptr(), length)) }
    }
}

impl AsRef<str> for Str {
    #[inline]
    fn as_ref(&self) -> &str {
        self
    }
}
impl Borrow<str> for Str {
    #[inline]
    fn borrow(&self) -> &str {
        self
    }
}

impl From<&str> for Str {
    #[inline]
    fn from(text: &str) -> Str {
        Str::new(text)
    }
}
impl From<String> for Str {
    #[inline]
    fn from(text: String) -> Str {
        Str::new(&text)
    }
}
impl From<Cow<'_, str>> for Str {
    #[inline]
    fn from(text: Cow<'_, str>) -> Str {
        Str::new(&text)
    }
}

impl PartialEq for Str {
    #[inline]
    fn eq(&self, other: &Str) -> bool {
        Str::ptr_eq(self, other) || **self == **other
    }
}
impl Eq for Str {}
impl PartialOrd for Str {
    #[inline]
    fn partial_cmp(&self, other: &Str) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Str {
    #[inline]
    fn cmp(&self, other: &Str) -> Ordering {
        (**self).cmp(other)
    }
}
impl Hash for Str {
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        (**self).hash(state);
    }
}
impl fmt::Debug for Str {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
impl fmt::Display for Str {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl Serialize for Str {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self)
    }
}
impl<'de> Deserialize<'de> for Str {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Str, D::Error> {
        Cow::<str>::deserialize(deserializer).map(Str::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(text: &Str) -> usize {
        text.header().count.load(Order::Relaxed)
    }

    #[test]
    fn it_is_its_text() {
        let text = Str::from("do_compile");
        assert_eq!((&*text, text.len(), format!("{text} {text:?}")), ("do_compile", 10, "do_compile \"do_compile\"".to_string()));
        assert_eq!(text, Str::from("do_compile".to_string()));
        assert_ne!(text, Str::from("do_install"));
        assert!(Str::from("a") < Str::from("b"));
        let set = std::collections::HashSet::from([text.clone()]);
        assert!(set.contains("do_compile") && !set.contains(""));
        assert_eq!(size_of::<Option<Str>>(), 8);
        assert_eq!((Str::default().len(), &*Str::from("")), (0, ""));
    }

    #[test]
    fn copies_are_counted_and_the_last_one_frees() {
        let text = Str::from("x".repeat(1000));
        let copy = text.clone();
        assert!(Str::ptr_eq(&text, &copy) && text.address() == copy.address());
        assert_eq!(count(&text), 2);
        drop(text);
        assert_eq!((count(&copy), copy.len()), (1, 1000));
        // The empty one is never freed.
        for _ in 0..3 {
            drop((Str::default(), Str::from("")));
        }
        assert!(count(&Str::default()) >= 2);
    }

    #[test]
    fn threads_count_together() {
        watch_threads();
        let text = Str::from("shared");
        let work = || {
            let text = text.clone();
            move || (0..100_000).for_each(|_| assert_eq!(text.clone().len(), 6))
        };
        let threads: Vec<_> = (0..4).map(|_| std::thread::spawn(work())).collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(count(&text), 1);
        assert!(!is_alone(), "tests have threads");
    }

    #[test]
    fn one_thread_counts_alone() {
        // The tests have other threads, a program of its own has not.
        let name = "HZ_TEXT_ALONE";
        if std::env::var_os(name).is_none() {
            let me = std::env::current_exe().unwrap();
            let arguments = ["--exact", "tests::one_thread_counts_alone", "--nocapture", "--test-threads=1"];
            let status = std::process::Command::new(me).args(arguments).env(name, "1").status().unwrap();
            assert!(status.success());
            return;
        }
        static ONE: c_char = 1;
        ALONE.store((&raw const ONE).cast_mut(), Order::Relaxed);
        let text = Str::from("alone");
        let copies: Vec<Str> = (0..100).map(|_| text.clone()).collect();
        assert_eq!(count(&text), 101);
        drop(copies);
        assert_eq!((count(&text), &*text), (1, "alone"));
    }

    #[test]
    fn it_is_stored_as_text() {
        let text = Str::from("a \"b\"\n");
        let stored = serde_json::to_string(&text).unwrap();
        assert_eq!(stored, "\"a \\\"b\\\"\\n\"");
        assert_eq!(serde_json::from_str::<Str>(&stored).unwrap(), text);
    }
}
