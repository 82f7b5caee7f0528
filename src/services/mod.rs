//! Services beside a build: the hash equivalence server and its client. The PR service comes with
//! an issue of its own.

pub mod hashserv;
#[cfg(feature = "python")]
pub mod pymodule;
