//! Version numbers and dependency lists as metadata writes them, and the search along a path list; patterns of file
//! names, paths and quoting for URLs, as Python has them.
//!
//! Pure functions that parsing, providers, the run queue and the Python layer (`bb.utils`) share.
//! Knows no data store and no Python; behaviour is that of BitBake 2.18's `bb.utils`.

mod deps;
pub mod glob;
pub mod paths;
pub mod percent;
mod version;

pub use deps::{DepVersions, explode_dep_versions2, explode_deps, join_deps};
pub use version::{Version, split_version, vercmp, vercmp_part, vercmp_string, vercmp_string_op};

use std::path::Path;

/// Text that is not a version or a dependency list. The texts are those of the reference's
/// exceptions: `bb.utils.VersionStringException`, and `ValueError` for [`VersionError::Epoch`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VersionError {
    #[error("invalid literal for int() with base 10: '{0}'")]
    Epoch(String),
    #[error("Unsupported comparison operator \"{0}\"")]
    Operator(String),
    #[error("Invalid version specification in \"({0}\" - invalid or missing operator")]
    Specification(String),
}

/// Is `c` white space for Python's `str.split()`? Unicode's white space and four separators.
pub fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\x1c'..='\x1f').contains(&c)
}

/// The words of `text` as Python's `text.split()` gives them.
pub fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(is_space).filter(|word| !word.is_empty())
}

/// Looks for `item` in the directories of `path` (separated by colons); gives the absolute path of
/// the first that exists and every path that was tried up to and including it. `reverse` starts at
/// the end of `path`; `executable` accepts only files that this process may execute.
///
/// An empty entry (an empty `path` is one) means the current directory, an absolute `item` is
/// found by itself.
pub fn which(path: &str, item: &str, reverse: bool, executable: bool) -> (Option<String>, Vec<String>) {
    let mut tried = Vec::new();
    let mut directories: Vec<&str> = path.split(':').collect();
    if reverse {
        directories.reverse();
    }
    for directory in directories {
        let candidate = paths::join(directory, item);
        let found = if executable { is_executable(&candidate) } else { Path::new(&candidate).exists() };
        tried.push(candidate);
        if found {
            return (tried.last().map(|hit| absolute(hit)), tried);
        }
    }
    (None, tried)
}

/// A relative hit becomes absolute and loses `.`, `..` and doubled slashes; an absolute one stays.
fn absolute(path: &str) -> String {
    if path.starts_with('/') { path.to_owned() } else { paths::absolute(path) }
}

fn is_executable(path: &str) -> bool {
    use nix::unistd::{AccessFlags, access};
    Path::new(path).is_file() && access(path, AccessFlags::X_OK).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn which_walks_the_path_both_ways() {
        assert_eq!(which("/nonexistent:/bin:/usr/bin", "sh", false, true).0.as_deref(), Some("/bin/sh"));
        assert_eq!(which("/nonexistent:/bin:/usr/bin", "sh", true, true).0.as_deref(), Some("/usr/bin/sh"));
        let (hit, tried) = which("/nonexistent:/also/", "nothing", false, false);
        assert_eq!(hit, None);
        assert_eq!(tried, ["/nonexistent/nothing", "/also/nothing"]);
    }

    #[test]
    fn which_takes_directories_unless_a_program_is_wanted() {
        assert_eq!(which("/", "bin", false, false).0.as_deref(), Some("/bin"));
        assert_eq!(which("/", "bin", false, true).0, None);
        assert_eq!(which("", "/bin/sh", false, true).0.as_deref(), Some("/bin/sh"));
    }

    #[test]
    fn which_makes_relative_hits_absolute() {
        let here = std::env::current_dir().unwrap();
        assert_eq!(which(".", "Cargo.toml", false, false).0.unwrap(), here.join("Cargo.toml").to_str().unwrap());
    }

    #[test]
    fn words_split_as_python_does() {
        assert_eq!(words(" a\tb\x1cc\u{a0}d\n").collect::<Vec<_>>(), ["a", "b", "c", "d"]);
        assert_eq!(words("").count(), 0);
    }
}
