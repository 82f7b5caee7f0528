//! Hash equivalence: which task hashes are known to produce the same output.
//!
//! Wire protocol and database are those of the reference (`OEHASHEQUIV 1.1`, `hashserv.db`), so its
//! clients can talk to our server, ours to its server, and both can use one database in turn.

mod client;
mod db;
mod server;
mod wire;

pub use client::{Client, ClientError, set_before_connecting};
pub use db::{Database, Sync};
pub use server::{ServeError, ServeOptions, run_child, serve};
pub use wire::{Address, parse_address};

/// Whether this is a unihash the protocol allows: 64 lower-case hexadecimal digits.
pub fn is_valid_unihash(value: &str) -> bool {
    value.len() == 64 && value.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests;
