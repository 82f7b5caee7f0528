//! Events that travel between processes: a JSON line each, written to a pipe and read without waiting.

use crate::Event;
use std::io::Read;

/// An event as its line, with the line end. None: it cannot be written so.
pub fn line(event: &Event) -> Option<Vec<u8>> {
    let mut line = serde_json::to_vec(event).ok()?;
    line.push(b'\n');
    Some(line)
}

/// The reading end of a pipe that does not block.
pub struct Lines<R> {
    pipe: R,
    buffer: Vec<u8>,
    /// Somebody may still write.
    open: bool,
}

impl<R: Read> Lines<R> {
    pub fn new(pipe: R) -> Lines<R> {
        Lines { pipe, buffer: Vec::new(), open: true }
    }
    /// The pipe itself, to wait for it; what it holds is read by [`Lines::take`] alone.
    pub fn pipe(&self) -> &R {
        &self.pipe
    }
    /// False: all writers have gone.
    pub fn is_open(&self) -> bool {
        self.open
    }
    /// Hands over the events that are there.
    pub fn take(&mut self, mut each: impl FnMut(Event)) {
        if self.open {
            // What came before an error such as "would block" is in the buffer; the end is no error.
            self.open = self.pipe.read_to_end(&mut self.buffer).is_err();
        }
        let mut start = 0;
        while let Some(length) = self.buffer[start..].iter().position(|b| *b == b'\n') {
            // A line that is no event was torn by a process killed while it wrote.
            if let Ok(event) = serde_json::from_slice(&self.buffer[start..start + length]) {
                each(event);
            }
            start += length + 1;
        }
        self.buffer.drain(..start);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::ErrorKind;

    /// Gives its parts one a read, and would block in between.
    struct Slow(Vec<Option<&'static [u8]>>);

    impl Read for Slow {
        fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
            match self.0.pop() {
                Some(Some(part)) => {
                    into[..part.len()].copy_from_slice(part);
                    Ok(part.len())
                }
                Some(None) => Err(ErrorKind::WouldBlock.into()),
                None => Ok(0),
            }
        }
    }

    #[test]
    fn lines_come_whole_and_torn_ones_are_left_out() {
        let text = line(&Event::CommandCompleted).unwrap();
        let text: &'static [u8] = text.leak();
        let (head, tail) = text.split_at(5);
        let mut parts = vec![Some(head), None, Some(tail), Some(&b"{\"torn\n"[..]), None, Some(text)];
        parts.reverse();
        let mut lines = Lines::new(Slow(parts));
        let count = |lines: &mut Lines<Slow>| {
            let mut seen = 0;
            lines.take(|event| seen += usize::from(matches!(event, Event::CommandCompleted)));
            seen
        };
        assert_eq!(count(&mut lines), 0);
        assert_eq!(count(&mut lines), 1);
        assert!(lines.is_open());
        assert_eq!(count(&mut lines), 1);
        assert!(!lines.is_open());
    }
}
