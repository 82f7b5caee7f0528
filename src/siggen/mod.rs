//! Base hashes, task hashes, sigdata files and their comparison. What a hash is made of and what
//! explains it come from one walk.
//!
//! * [`deps`]: what each variable of a recipe depends on, and the base hash of its tasks.
//!   [`walk`] is how, [`memo`] what it keeps from one recipe to the next.
//! * [`packed`]: the same as numbers in shared tables; [`basehash`]: base hashes made of that. * [`hash`]: task hashes, and both hashes recomputed from a sigdata file.
//! * [`sigdata`]: the files themselves; [`share`]: what the files of a recipe's tasks have in common. * [`compare`]: what differs between two of them.
//! * [`checksum`]: checksums of local files, remembered between runs.

mod basehash;
pub mod checksum;
pub mod compare;
pub mod deps;
mod diff;
pub mod hash;
mod library;
mod memo;
pub mod packed;
pub mod share;
pub mod sigdata;
mod walk;

pub use checksum::FileChecksums;
pub use compare::{Colors, compare_sigfiles, dump_sigfile};
pub use deps::{RecipeSignatures, SignatureError, base_signatures, packed_signatures};
pub use diff::{Change, by_runs};
pub use hash::{TaskInputs, calc_basehash, calc_taskhash, task_hash};
pub use library::LibrarySignatures;
pub use packed::PackedSignatures;
pub use share::Share;
pub use sigdata::{SigData, SigdataError, VarVal};

use hz_data::DataStore;
use hz_diagnostics::Str;
use rustc_hash::FxHashSet;

/// What signatures take from the configuration, and where releases differ.
#[derive(Clone, Debug)]
pub struct Rules {
    /// BB_BASEHASH_IGNORE_VARS of the configuration.
    pub ignored_vars: FxHashSet<Str>,
    /// 2.18: a flag is left out when BB_SIGNATURE_EXCLUDE_FLAGS names it; 2.8: when its name
    /// stands anywhere in that text.
    pub exclude_flags_by_word: bool,
    /// 2.18: file checksums enter the task hash in the order of base names; 2.8: of full paths.
    pub checksums_by_basename: bool,
}

impl Default for Rules {
    fn default() -> Self {
        Rules { ignored_vars: FxHashSet::default(), exclude_flags_by_word: true, checksums_by_basename: true }
    }
}

impl Rules {
    /// The rules of BitBake 2.18 with what the configuration says.
    ///
    /// # Errors
    /// BB_BASEHASH_IGNORE_VARS cannot be expanded.
    pub fn from_configuration(base: &DataStore) -> hz_data::Result<Rules> {
        let ignored = base.get_or_empty("BB_BASEHASH_IGNORE_VARS")?;
        Ok(Rules { ignored_vars: ignored.split_whitespace().map(Str::from).collect(), ..Rules::default() })
    }
}

#[cfg(test)]
mod tests;
