//! The command line, one file a command. The binary is called by many names; `bitbake` is one.

mod bitbake;

use std::ffi::OsString;
use std::path::Path;

/// Names the binary answers to that are not built yet; saying so beats doing something else.
const NOT_YET: &[&str] = &[
    "bitbake-layers",
    "bitbake-config-build",
    "bitbake-getvar",
    "bitbake-diffsigs",
    "bitbake-dumpsig",
    "bitbake-hashclient",
    "bitbake-hashserv",
    "bitbake-prserv",
    "bitbake-selftest",
    "bitbake-server",
    "bitbake-setup",
    "bitbake-worker",
    "git-make-shallow",
    "toaster",
    "toaster-eventreplay",
];

/// Runs the command the binary was called as; gives the exit status.
pub fn main() -> i32 {
    let mut args: Vec<OsString> = std::env::args_os().collect();
    let called =
        args.first().map(|a| Path::new(a).file_name().unwrap_or_default().to_string_lossy().into_owned()).unwrap_or_default();
    let name = if called == "hitzeleiter" && args.len() > 1 {
        args.remove(0);
        args[0].to_string_lossy().into_owned()
    } else {
        called
    };
    match name.as_str() {
        "internal-hashserv" => internal_hashserv(&args[1..]),
        "python" => hz_server::run_script(args[1..].iter().map(|a| a.to_string_lossy().into_owned()).collect()),
        "hitzeleiter" => {
            eprintln!("usage: hitzeleiter COMMAND [ARGUMENT ...]\n\nCommands: bitbake, python");
            2
        }
        name if NOT_YET.contains(&name) => {
            eprintln!("ERROR: {name} is not built yet in this BitBake; only bitbake itself is.");
            1
        }
        _ => bitbake::main(args),
    }
}

/// The hash equivalence server of one build directory, started by `bitbake` itself.
fn internal_hashserv(args: &[OsString]) -> i32 {
    match hz_server::hashserv_child(args) {
        Ok(()) => 0,
        Err(message) => {
            eprintln!("ERROR: hash equivalence server: {message}");
            1
        }
    }
}
