//! Metadata files -> a configuration, and a recipe with all its variants.
//!
//! Evaluates the statements of `hz-syntax` into the stores of `hz-data`; Python runs behind
//! [`hz_data::Runtime`] only. A file per subject: [`config`](parse_base_configuration) for the base
//! configuration, `recipe` for one recipe, `files` for which recipes there are, `facts` for what the
//! rest of a build needs to know of a recipe.

mod collections;
mod config;
mod environment;
mod error;
mod eval;
mod facts;
mod files;
mod fragments;
mod handle;
mod include;
mod inherit;
mod origins;
mod paths;
mod pylib;
mod recipe;
mod statements;
mod tasks;

pub use collections::{Collection, file_layer, handle_collections};
pub use config::{ConfigHooks, ConfigRequest, Configuration, find_config_file, find_topdir, parse_base_configuration};
pub use environment::{approved_variables, clean_environment, exported_variables, told_environment};
pub use error::{Error, Result};
pub use facts::{parse_recipe_facts, recipe_infos, to_boolean};
pub use files::{Collected, FileCollector};
pub use hz_versions::glob::{fnmatch, glob};
pub use hz_versions::paths::absolute;
pub use handle::{handle_append, handle_included};
pub use include::include;
pub use inherit::{inherit, inherit_defer};
pub use paths::{
    Dependency, Stat, cached_stat, check_dependency, clear_caches, dependencies, file_depends, mark_dependency,
    resolve_file, vars_from_file,
};
pub use pylib::lib_functions;
pub use recipe::{
    Finalise, NoSignatures, RecipeParse, RecipeRequest, Signatures, Variant, mcfn, parse_recipe, parse_recipe_variants,
    realfn, handle_recipe,
};
pub use statements::forget_statements;
pub use tasks::{add_task, del_task};

#[cfg(test)]
mod tests;
