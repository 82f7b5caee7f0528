//! The command line, one file a command. The binary is called by many names; `bitbake` is one.

mod bitbake;
mod environments;
mod getvar;
mod layers;
mod selftest;
mod shallow;
mod sigtools;

pub use hz_server::at_helper_start;

use std::ffi::OsString;
use std::path::Path;

type Command = fn(Vec<OsString>) -> i32;

/// Every name of the reference's bin/ that the binary answers to. One without a function says that
/// it is not built yet, which beats doing something else.
const COMMANDS: &[(&str, Option<Command>)] = &[
    ("bitbake", Some(bitbake::main)),
    ("bitbake-config-build", Some(layers::main)),
    ("bitbake-diffsigs", Some(sigtools::main)),
    ("bitbake-dumpsig", Some(sigtools::main)),
    ("bitbake-getvar", Some(getvar::main)),
    ("bitbake-hashclient", None),
    ("bitbake-hashserv", None),
    ("bitbake-layers", Some(layers::main)),
    ("bitbake-prserv", None),
    ("bitbake-selftest", Some(selftest::main)),
    ("bitbake-server", None),
    ("bitbake-setup", None),
    ("bitbake-worker", None),
    ("git-make-shallow", Some(shallow::main)),
    ("toaster", None),
    ("toaster-eventreplay", None),
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
        "internal-names" => {
            COMMANDS.iter().for_each(|(name, _)| println!("{name}"));
            0
        }
        "environments" => environments::main(args),
        "python" => hz_server::run_script(texts(args.split_off(1))),
        "hitzeleiter" => {
            eprintln!("usage: hitzeleiter COMMAND [ARGUMENT ...]\n\nCommands: environments, python, or one of its other names:");
            COMMANDS.iter().for_each(|(name, _)| eprintln!("  {name}"));
            2
        }
        name => match COMMANDS.iter().find(|(known, _)| *known == name) {
            Some((_, Some(run))) => run(args),
            Some((_, None)) => {
                eprintln!("ERROR: {name} is not built yet in this BitBake.");
                1
            }
            None => bitbake::main(args),
        },
    }
}

/// Arguments as texts, for commands that are written in Python.
fn texts(args: Vec<OsString>) -> Vec<String> {
    args.into_iter().map(|a| a.to_string_lossy().into_owned()).collect()
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
