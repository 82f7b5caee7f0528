//! `bitbake-getvar`: one variable of the configuration or of a recipe, with its history.

use std::ffi::OsString;

/// Runs the command (written in Python, `pylib/bb/_getvar.py`); gives the exit status.
pub fn main(args: Vec<OsString>) -> i32 {
    hz_server::run_command(super::texts(args), "bb._getvar", "main")
}
