//! From recipes to tasks: which recipe provides what ([`RecipeSet`], [`providers`]), which recipes
//! a build needs ([`TaskData`]) and which tasks must run after which ([`TaskGraph`]).
//!
//! Names are text up to [`TaskData`]; from [`TaskGraph`] on a task is a dense number. Knows nothing
//! of hashes, stamps and processes. Messages go out as events; an error that was told to the user
//! already is [`GraphError::Handled`].

mod bits;
mod closematch;
mod deptree;
pub mod providers;
mod recipes;
mod recursive;
mod sanity;
mod targets;
mod taskdata;
mod taskgraph;
#[cfg(test)]
mod tests;
mod weight;

pub use bits::Bits;
pub use closematch::close_matches;
pub use deptree::{DependTree, PackageInfo, PnInfo};
pub use recipes::{NameMatcher, Recipe, RecipeId, RecipeSet, SkippedRecipe};
pub use targets::{BuildPlan, Target, TargetOptions, build_task_data, check_packages};
pub use taskdata::{ExtraDepends, Host, TaskData, TaskEntry};
pub use taskgraph::{GraphOptions, Invalidation, McId, Task, TaskGraph, TaskId};

use hz_data::{DataStore, Read};
use hz_events::level;

/// Why there is no graph.
#[derive(Clone, Debug, thiserror::Error)]
pub enum GraphError {
    /// Reading the configuration failed; not yet told to the user.
    #[error("{0}")]
    Config(String),
    /// Ends the command; the message was logged where it arose.
    #[error("{0}")]
    Handled(String),
    /// Like [`GraphError::Handled`], and the reference leaves by an exit status here: the command
    /// reports that status as its failure, each command in its own words.
    #[error("{0}")]
    Exit(String),
    /// A requested item has no provider; the NoProvider event was emitted.
    #[error("{0}")]
    NoProvider(String),
    /// An item needed at run time has no provider; the event was emitted.
    #[error("{0}")]
    NoRuntimeProvider(String),
    /// Several preferences contradict each other for an item needed at run time.
    #[error("{0}")]
    MultipleRuntimeProviders(String),
}
pub type Result<T, E = GraphError> = std::result::Result<T, E>;

/// Logs `message` as BitBake's fatal messages are and gives the error that ends the command. With a
/// domain it is the reference's `bb.msg.fatal`, which exits; without one `bb.fatal`.
pub fn fatal(domain: &str, message: impl Into<String>) -> GraphError {
    let message = message.into();
    hz_events::log(level::CRITICAL, domain, message.clone());
    if domain.is_empty() { GraphError::Handled(message) } else { GraphError::Exit(message) }
}

/// The configuration of one multiconfig, as far as providers, graph and run queue read it.
pub trait Config {
    /// `d.getVar(name)`.
    fn get(&self, name: &str) -> Result<Option<String>>;
    /// `d.getVarFlag(name, flag)`.
    fn flag(&self, name: &str, flag: &str) -> Result<Option<String>>;

    /// `d.getVar(name) or ""`.
    fn get_or_empty(&self, name: &str) -> Result<String> {
        Ok(self.get(name)?.unwrap_or_default())
    }
    /// A variable that counts only when it is not empty.
    fn get_filled(&self, name: &str) -> Result<Option<String>> {
        Ok(self.get(name)?.filter(|text| !text.is_empty()))
    }
}

impl Config for DataStore {
    fn get(&self, name: &str) -> Result<Option<String>> {
        DataStore::get(self, name).map(|value| value.map(|text| text.to_string())).map_err(|e| GraphError::Config(e.to_string()))
    }
    fn flag(&self, name: &str, flag: &str) -> Result<Option<String>> {
        match self.get_flag(name, flag, Read::default()).map_err(|e| GraphError::Config(e.to_string()))? {
            None | Some(hz_data::Value::None) => Ok(None),
            Some(value) => Ok(Some(value.to_text().to_string())),
        }
    }
}

/// A configuration that is a plain table (tests, tools): flags are stored as `NAME[FLAG]`.
impl Config for std::collections::HashMap<String, String> {
    fn get(&self, name: &str) -> Result<Option<String>> {
        Ok(std::collections::HashMap::get(self, name).cloned())
    }
    fn flag(&self, name: &str, flag: &str) -> Result<Option<String>> {
        Ok(std::collections::HashMap::get(self, &format!("{name}[{flag}]")).cloned())
    }
}

/// The copy of a multiconfig's store that provider choice reads: `${…}` in names is expanded.
pub fn expanded_config(store: &DataStore) -> Result<DataStore> {
    let copy = store.create_copy();
    copy.expand_keys().map_err(|e| GraphError::Config(e.to_string()))?;
    Ok(copy)
}

/// The multiconfig of `mcfn` ("" for the default one) and the rest without its `mc:NAME:` part.
pub fn split_mc(mcfn: &str) -> (&str, &str) {
    if let Some(rest) = mcfn.strip_prefix("mc:")
        && let Some((mc, path)) = rest.split_once(':')
    {
        return (mc, path);
    }
    ("", mcfn)
}
