//! What the variables of a recipe depend on, and the base hash of each of its tasks.
//!
//! The rules are the reference's, some of them surprising: see "Base hash" in the compatibility
//! surface. The walk over them is in [`crate::walk`].

use crate::packed::{PackedSignatures, with_interner};
use crate::sigdata::VarVal;
use crate::walk::Walk;
use crate::{LibrarySignatures, Rules};
use hz_data::{DataError, DataStore, RuntimeError, Value};
use hz_diagnostics::{Diagnostic, Str};
use indexmap::IndexMap;

/// What a recipe's variables add to hashes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RecipeSignatures {
    /// task -> base hash, in task order.
    pub basehashes: IndexMap<Str, Str>,
    /// name -> names it depends on, sorted; in sorted order of names.
    pub gendeps: IndexMap<Str, Vec<Str>>,
    /// name -> what entered the hash.
    pub varvals: IndexMap<Str, VarVal>,
    /// task -> names of its closure, sorted; in task order.
    pub taskdeps: IndexMap<Str, Vec<Str>>,
}

/// Why a recipe has no signatures.
#[derive(Clone, Debug)]
pub struct SignatureError {
    /// The name whose dependencies were asked for; empty if none in particular.
    pub variable: Str,
    pub cause: SignatureCause,
}

#[derive(Clone, Debug)]
pub enum SignatureCause {
    Data(DataError),
    /// Shell or Python that cannot be scanned.
    Code(Diagnostic),
}

impl SignatureError {
    pub(crate) fn data(variable: &str, cause: DataError) -> Self {
        SignatureError { variable: variable.into(), cause: SignatureCause::Data(cause) }
    }
    pub(crate) fn code(variable: &str, cause: Diagnostic) -> Self {
        SignatureError { variable: variable.into(), cause: SignatureCause::Code(cause) }
    }
    pub(crate) fn other(variable: &str, message: impl Into<String>) -> Self {
        Self::code(variable, Diagnostic::error(message))
    }

    /// What is told first, at level ERROR: shell that cannot be scanned, by its last lines.
    pub fn report(&self) -> Option<String> {
        match &self.cause {
            SignatureCause::Code(cause) => hz_codeparser::raised(cause).logged,
            SignatureCause::Data(_) => None,
        }
    }

    /// The warning that goes before the exception, with the exception as Python shows it; None where
    /// nothing is to be told: outside of any variable, and of recipes that skip themselves.
    pub fn warning(&self) -> Option<String> {
        if self.variable.is_empty() || self.is_skip() {
            return None;
        }
        Some(format!("Exception during build_dependencies for {}: {}", self.variable, self.exception().repr()))
    }

    /// The exception that leaves parsing.
    pub fn exception(&self) -> DataError {
        match &self.cause {
            SignatureCause::Data(cause) => cause.clone(),
            SignatureCause::Code(cause) => {
                let raised = hz_codeparser::raised(cause);
                DataError::python(&raised.class, raised.message)
            }
        }
    }

    /// The recipe wants to be skipped: nothing is to be told.
    pub fn is_skip(&self) -> bool {
        matches!(
            &self.cause,
            SignatureCause::Data(DataError::Runtime(RuntimeError::Skip(_)) | DataError::Expansion { cause: RuntimeError::Skip(_), .. })
        )
    }
}

impl std::fmt::Display for SignatureError {
    /// The reference's warning; for failed code scans after it what was logged before it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if !self.variable.is_empty() {
            write!(f, "Exception during build_dependencies for {}: ", self.variable)?;
        }
        match &self.cause {
            SignatureCause::Data(cause) => write!(f, "{cause}"),
            SignatureCause::Code(cause) => {
                write!(f, "{cause}")?;
                for (what, _) in &cause.chain {
                    write!(f, "\n{what}")?;
                }
                Ok(())
            }
        }
    }
}
impl std::error::Error for SignatureError {}

pub(crate) type Result<T> = std::result::Result<T, SignatureError>;

/// Signatures of the finished recipe in `store`. `libs` holds the library functions of its
/// configuration.
///
/// # Errors
/// A value that cannot be expanded, shell or Python that cannot be scanned. The caller warns with
/// the error's text and, for a recipe, `Error during finalise of MCFN`.
pub fn base_signatures(store: &DataStore, mcfn: &str, libs: &LibrarySignatures, rules: &Rules) -> Result<RecipeSignatures> {
    let packed = packed_signatures(store, mcfn, libs, rules)?;
    Ok(with_interner(|tables| packed.unpack(packed.by_task(&packed.base_hashes(tables), tables), tables)))
}

/// What [`base_signatures`] says besides base hashes, as numbers of this process's tables;
/// [`PackedSignatures::base_hashes`] makes those of it.
///
/// # Errors
/// As [`base_signatures`].
pub fn packed_signatures(store: &DataStore, mcfn: &str, libs: &LibrarySignatures, rules: &Rules) -> Result<PackedSignatures> {
    let tasks: Vec<Str> = match store.get_raw("__BBTASKS") {
        Some(Value::List(list)) => list.iter().map(Value::to_text).collect(),
        _ => Vec::new(),
    };
    let mut walk = Walk::new(store, libs, rules)?;
    let wanted = walk.walk(&tasks)?;
    Ok(walk.finish(mcfn, &tasks, &wanted))
}
