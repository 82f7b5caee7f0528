//! One task: environment, run scripts, logs, stamps, exit. Knows no graph.
//!
//! A task runs in a process forked from the one that parsed its recipe ([`spawn`]). There
//! [`child::run_in_child`] prepares the process and runs the task (`run`); `bb.build` of `pylib/` calls the
//! metadata's Python functions, class handlers and signature generator, and runs what is out of the ordinary as
//! a whole; what it needs of the system (logs, shell scripts and their messages, stamps) is here.

pub mod checksums;
pub mod child;
pub mod gate;
pub mod notices;
pub mod pages;
pub mod prologue;
pub mod shared;
pub mod shell;
pub mod signatures;
pub mod spawn;
pub mod stamps;
pub mod tasklog;

#[cfg(feature = "python")]
pub mod pymodule;
#[cfg(feature = "python")]
pub mod run;
#[cfg(feature = "python")]
pub mod siggen_module;
