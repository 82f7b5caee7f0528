//! The cooker: one command from the configuration to its result. Everything happens in the process
//! of the command; parsers and tasks are forked from it, the hash equivalence server is a child.

mod basehashes;
mod bridge;
mod buildfile;
mod client;
mod commands;
mod environment;
mod farm;
mod files_module;
mod graphs;
mod hashing;
mod hashserv;
mod lock;
mod modules;
mod parsing;
mod profile;
mod program;
mod queries;
mod raised;
mod queue_events;
mod resident;
mod session;
mod signals;
mod signatures;
mod sigtools;
mod tasks;
mod unnoticed;

pub use environment::Selection;
pub use farm::at_helper_start;
pub use hashserv::hashserv_child;
pub use program::{hand_logs_to_python, run_command, run_script};
pub use session::{environments, lock_holder, run};
pub use sigtools::signature_tool;

/// What a command does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Verb {
    /// Parse all recipes (`-p`).
    Parse,
    /// Print variables with their history (`-e`).
    Environment,
    /// Write dependency graphs (`-g`).
    Graph,
    /// List recipes with their versions (`-s`).
    Versions,
    /// Build the targets.
    #[default]
    Build,
}

/// A command line, understood.
#[derive(Clone, Debug, Default)]
pub struct Request {
    pub verb: Verb,
    pub targets: Vec<String>,
    /// The command as it was called (BB_CMDLINE).
    pub command: Vec<String>,
    /// `-b`.
    pub buildfile: Option<String>,
    /// `-c`.
    pub cmd: Option<String>,
    pub force: bool,
    /// `-C`.
    pub invalidate_stamps: Vec<String>,
    pub runall: Vec<String>,
    pub runonly: Vec<String>,
    pub no_setscene: bool,
    pub skip_setscene: bool,
    pub setscene_only: bool,
    pub dry_run: bool,
    pub keep_going: bool,
    /// `-S`.
    pub dump_signatures: Vec<String>,
    pub prefiles: Vec<String>,
    pub postfiles: Vec<String>,
    /// `-I`.
    pub assume_provided: Vec<String>,
    /// Level below which log records are not shown.
    pub loglevel: u32,
    pub debug: u8,
    pub verbose: bool,
    pub quiet: u8,
    /// `-l`: domain and its level.
    pub domains: Vec<(String, u32)>,
}
