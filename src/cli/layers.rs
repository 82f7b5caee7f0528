//! `bitbake-layers` and `bitbake-config-build`: sub-commands that plug-ins bring, ours and those of
//! the configured layers.

use std::ffi::OsString;

/// Runs the command (written in Python, `pylib/bblayers/_frame.py`); gives the exit status.
pub fn main(args: Vec<OsString>) -> i32 {
    hz_server::run_command(super::texts(args), "bblayers._frame", "main")
}
