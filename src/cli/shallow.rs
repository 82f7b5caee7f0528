//! `git-make-shallow`: cuts off the history of the repository it is called in.

use std::ffi::OsString;

/// Runs the command (written in Python, `pylib/bb/_makeshallow.py`); gives the exit status.
pub fn main(args: Vec<OsString>) -> i32 {
    hz_server::run_command(super::texts(args), "bb._makeshallow", "main")
}
