//! Finished recipes on disk, valid while the content of what they were made from is unchanged.
//!
//! Parsing processes [`pack`](Packer::pack) what they finished; the main process
//! [`absorb`](RecipeCache::absorb)s the packets and [`save`](RecipeCache::save)s them in one file
//! that is mapped, not decoded, at the next start. Only the facts every command needs are turned
//! into [`RecipeInfo`]; what sigdata files show of base hashes stays packed until asked for.

mod base;
mod basehashes;
mod encoded;
mod files;
mod packed;
mod recipe;
mod store;
mod tables;

pub use base::Base;
pub use files::{FileState, Stamp};
pub use packed::{Packer, ParsedFile};
pub use recipe::{Providing, Recipe, RecipeInfo, TaskDeps};
pub use store::{CacheError, RecipeCache, keep_base_hashes};
