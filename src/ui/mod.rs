//! Readers of events. [`Knotty`] is the terminal: plain lines on a pipe, a live footer of running
//! tasks on a terminal, a console log file, and the closing summary.

mod console;
mod footer;
mod knotty;

pub use console::{Console, ConsoleLog};
pub use knotty::{Knotty, Options};
