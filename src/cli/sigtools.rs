//! `bitbake-dumpsig` and `bitbake-diffsigs`: what a signature file says, what differs between two.

use std::ffi::OsString;

/// Either program, by the name in the first argument; gives the exit status.
pub fn main(args: Vec<OsString>) -> i32 {
    hz_server::signature_tool(args.into_iter().map(|a| a.to_string_lossy().into_owned()).collect())
}
