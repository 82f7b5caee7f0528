//! `bitbake-selftest`: the reference's tests, which the user has, against our `bb`.

use std::ffi::OsString;

/// Runs the command (written in Python, `pylib/bb/_selftest.py`); gives the exit status.
pub fn main(args: Vec<OsString>) -> i32 {
    hz_server::hand_logs_to_python();
    hz_server::run_command(super::texts(args), "bb._selftest", "main")
}
