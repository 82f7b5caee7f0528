//! How deep a recursion of this thread may go before it is a RecursionError instead of the end of
//! the stack.

use crate::DataError;
use std::cell::Cell;
use std::thread::LocalKey;

/// A recursion's counter, one a thread: `thread_local! { static DEPTH: Cell<u32> = const { Cell::new(0) }; }`.
pub type Counter = LocalKey<Cell<u32>>;

/// One level of a recursion, until dropped.
pub struct Level(&'static Counter);

impl Level {
    /// One level deeper; None: there are `most` already.
    pub fn enter(counter: &'static Counter, most: u32) -> Option<Level> {
        if counter.get() >= most {
            return None;
        }
        counter.set(counter.get() + 1);
        Some(Level(counter))
    }
}

impl Drop for Level {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// What Python's interpreter says when it is too deep.
pub const TOO_DEEP: &str = "maximum recursion depth exceeded";

impl DataError {
    /// The RecursionError of a recursion that went too deep.
    pub fn too_deep() -> DataError {
        DataError::python("RecursionError", TOO_DEEP)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_counted_and_given_back() {
        thread_local! {
            static DEPTH: Cell<u32> = const { Cell::new(0) };
        }
        let first = Level::enter(&DEPTH, 2);
        let second = Level::enter(&DEPTH, 2);
        assert!(first.is_some() && second.is_some() && Level::enter(&DEPTH, 2).is_none());
        drop(second);
        assert!(Level::enter(&DEPTH, 2).is_some());
        assert_eq!(DEPTH.get(), 1);
    }
}
