//! Finished recipes on disk, valid while the content of what they were made from is unchanged.

mod recipe;
pub use recipe::{RecipeInfo, SiggenInfo, TaskDeps};
