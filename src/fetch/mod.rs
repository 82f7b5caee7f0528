//! Fetching: URLs, mirrors, checksums, unpacking, source revisions. One file a method under
//! `methods/`.
//!
//! The core works on [`hz_data::DataStore`] and knows no Python; [`context::Host`] is its way out.
//! `pymodule.rs` is the view that `bb.fetch2` is made of: Python classes (metadata subclasses and
//! extends them) whose work is done here.

pub mod cache;
pub mod checksum;
pub mod command;
pub mod context;
pub mod error;
pub mod fetcher;
pub mod files;
pub mod localfile;
pub mod methods;
pub mod mirror;
pub mod pickle;
#[cfg(feature = "python")]
pub mod pymodule;
pub mod srcrev;
#[cfg(test)]
mod tests;
pub mod unpack;
pub mod uri;
pub mod urldata;
mod zip;

pub use context::{Cx, Host, Native};
pub use error::{FetchError, Kind, Result};
pub use uri::{Decoded, Params, Uri, decode_mirror_url, decode_url, encode_url};
pub use urldata::UrlData;
