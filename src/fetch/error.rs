//! What can go wrong while fetching, with the texts that BitBake users know, and the class each
//! error has in Python (`bb.fetch2.<class>`).

use hz_data::DataError;
use std::any::Any;
use std::fmt;
use std::sync::Arc;

/// The groups of errors that the fetch sequence tells apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `BBFetchException` and everything below it that is not named here.
    Fetch,
    Checksum,
    NoChecksum,
    NetworkAccess,
    /// Not a fetch error: never swallowed by trying the next source.
    Other,
}

/// An exception raised by a fetch method that is written in Python.
pub trait Foreign: fmt::Debug + fmt::Display + Send + Sync {
    fn kind(&self) -> Kind;
    /// The `checksum` attribute of a ChecksumError.
    fn checksum(&self) -> Option<String>;
    fn as_any(&self) -> &dyn Any;
}

#[derive(Clone, Debug)]
pub enum FetchError {
    /// `FetchError(message, url)`.
    Fetch { message: String, url: Option<String> },
    /// `ChecksumError(message, url, checksum)`; `checksum` is the sum the bad file has.
    Checksum { message: String, url: Option<String>, checksum: Option<String> },
    NoChecksum { message: String },
    /// After all URLs were tried, some had no checksum. A plain BBFetchException.
    MissingSums,
    Unpack { message: String, url: String },
    /// An update of a checkout that holds changes: directory, URL, `git status` output.
    LocalModifications { repodir: String, url: String, output: String },
    Rebase { repodir: String, url: String, output: String },
    Malformed { url: String, message: Option<String> },
    Untrusted { url: String, message: Option<String> },
    NoMethod { url: String },
    MissingParameter { missing: String, url: String },
    Parameter { message: String, url: String },
    NetworkAccess { url: String, command: String },
    /// Only local files were asked for and this URL is none. Not a BBFetchException.
    NonLocal,
    /// `bb.fatal(text)`.
    Fatal(String),
    /// `bb.parse.SkipRecipe(text)`.
    Skip(String),
    /// Python's `ValueError(text)`: a URL that urllib would not take.
    Value(String),
    /// Python's `RuntimeError(text)`.
    Runtime(String),
    /// `errno`, path.
    Io { errno: i32, path: String, text: String },
    Data(DataError),
    Foreign(Arc<dyn Foreign>),
}

pub type Result<T, E = FetchError> = std::result::Result<T, E>;

impl FetchError {
    pub fn new(message: impl Into<String>) -> Self {
        FetchError::Fetch { message: message.into(), url: None }
    }
    pub fn at(message: impl Into<String>, url: &str) -> Self {
        FetchError::Fetch { message: message.into(), url: Some(url.to_owned()) }
    }
    pub fn parameter(message: impl Into<String>, url: &str) -> Self {
        FetchError::Parameter { message: message.into(), url: url.to_owned() }
    }
    pub fn missing(parameter: &str, url: &str) -> Self {
        FetchError::MissingParameter { missing: parameter.into(), url: url.into() }
    }
    pub fn unpack(message: impl Into<String>, url: &str) -> Self {
        FetchError::Unpack { message: message.into(), url: url.into() }
    }
    pub fn malformed(url: &str) -> Self {
        FetchError::Malformed { url: url.into(), message: None }
    }
    pub fn io(error: &std::io::Error, path: impl Into<String>) -> Self {
        FetchError::Io { errno: error.raw_os_error().unwrap_or(libc::EIO), path: path.into(), text: error.to_string() }
    }
    pub fn kind(&self) -> Kind {
        match self {
            FetchError::Checksum { .. } => Kind::Checksum,
            FetchError::NoChecksum { .. } => Kind::NoChecksum,
            FetchError::NetworkAccess { .. } => Kind::NetworkAccess,
            FetchError::NonLocal
            | FetchError::Fatal(_)
            | FetchError::Skip(_)
            | FetchError::Value(_)
            | FetchError::Runtime(_)
            | FetchError::Io { .. }
            | FetchError::Data(_) => Kind::Other,
            FetchError::Foreign(e) => e.kind(),
            _ => Kind::Fetch,
        }
    }
    /// Is it a `BBFetchException`?
    pub fn is_fetch(&self) -> bool {
        self.kind() != Kind::Other
    }
    /// The sum of the file that failed its check.
    pub fn checksum(&self) -> Option<String> {
        match self {
            FetchError::Checksum { checksum, .. } => checksum.clone(),
            FetchError::Foreign(e) => e.checksum(),
            _ => None,
        }
    }
}

impl From<DataError> for FetchError {
    fn from(e: DataError) -> Self {
        FetchError::Data(e)
    }
}

impl fmt::Display for FetchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let failure = |f: &mut fmt::Formatter<'_>, message: &str, url: Option<&str>| match url {
            Some(url) if !url.is_empty() => write!(f, "Fetcher failure for URL: '{url}'. {message}"),
            _ => write!(f, "Fetcher failure: {message}"),
        };
        match self {
            FetchError::Fetch { message, url } | FetchError::Checksum { message, url, .. } => {
                failure(f, message, url.as_deref())
            }
            FetchError::NoChecksum { message } => failure(f, message, None),
            FetchError::Unpack { message, url } => write!(f, "Unpack failure for URL: '{url}'. {message}"),
            FetchError::LocalModifications { repodir, url, output } => write!(
                f,
                "Unpack failure for URL: '{url}'. Repository at {repodir} has uncommitted changes, unable to update:\n{output}\nCommit, stash or discard your changes and re-run the update."
            ),
            FetchError::Rebase { repodir, url, output } => write!(
                f,
                "Unpack failure for URL: '{url}'. Repository at {repodir} has local commits that could not be rebased onto the new upstream revision:\n{output}\nNote: the 'dldir' remote points to the local download cache and may be used to resolve the conflict manually.\nOnce resolved, re-run the update."
            ),
            FetchError::Malformed { url, message } => match message {
                Some(m) if !m.is_empty() => f.write_str(m),
                _ => write!(f, "The URL: '{url}' is invalid and cannot be interpreted"),
            },
            FetchError::Untrusted { url, message } => match message {
                Some(m) if !m.is_empty() => f.write_str(m),
                _ => write!(f, "The URL: '{url}' is not trusted and cannot be used"),
            },
            FetchError::NoMethod { url } => write!(f, "Could not find a fetcher which supports the URL: '{url}'"),
            FetchError::MissingParameter { missing, url } => {
                write!(f, "URL: '{url}' is missing the required parameter '{missing}'")
            }
            FetchError::Parameter { message, url } => write!(f, "URL: '{url}' has invalid parameters. {message}"),
            FetchError::NetworkAccess { url, command } => write!(
                f,
                "Network access disabled through BB_NO_NETWORK (or set indirectly due to use of BB_FETCH_PREMIRRORONLY) but access requested with command {command} (for url {url})"
            ),
            FetchError::NonLocal => Ok(()),
            FetchError::MissingSums => f.write_str("There was some missing checksums in the recipe"),
            FetchError::Fatal(text) | FetchError::Skip(text) | FetchError::Value(text) | FetchError::Runtime(text) => f.write_str(text),
            FetchError::Io { path, text, .. } => write!(f, "{text}: '{path}'"),
            FetchError::Data(e) => e.fmt(f),
            FetchError::Foreign(e) => e.fmt(f),
        }
    }
}
impl std::error::Error for FetchError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts() {
        assert_eq!(FetchError::new("x").to_string(), "Fetcher failure: x");
        assert_eq!(FetchError::at("x", "http://u").to_string(), "Fetcher failure for URL: 'http://u'. x");
        assert_eq!(
            FetchError::missing("module", "svn://u").to_string(),
            "URL: 'svn://u' is missing the required parameter 'module'"
        );
        assert_eq!(
            FetchError::NetworkAccess { url: "u".into(), command: "c".into() }.to_string(),
            "Network access disabled through BB_NO_NETWORK (or set indirectly due to use of BB_FETCH_PREMIRRORONLY) but access requested with command c (for url u)"
        );
    }

    #[test]
    fn kinds() {
        assert!(FetchError::malformed("x").is_fetch());
        assert!(!FetchError::NonLocal.is_fetch());
        assert_eq!(FetchError::NoChecksum { message: "m".into() }.kind(), Kind::NoChecksum);
    }
}
