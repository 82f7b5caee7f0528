//! What every part of the fetcher works with: the data store, and the host it runs in (the Python
//! view or nothing), which takes log lines, events and progress.

use crate::error::{FetchError, Result};
use crate::methods::Method;
use crate::urldata::UrlData;
use hz_data::{DataStore, SetInfo, StoreObject, Value};
use hz_events::level;
use std::sync::Arc;

/// Where the fetcher runs. The defaults are for a process without Python.
pub trait Host {
    /// The methods in order of asking; `bb.fetch2.methods` where Python is.
    fn methods(&self) -> Arc<[Arc<dyn Method>]> {
        crate::methods::builtin()
    }
    fn log(&self, level: u32, domain: &str, message: &str) {
        hz_events::log(level, domain, message);
    }
    /// Fires `MissingChecksumEvent(url, md5sum=…, …)`.
    fn missing_checksum(&self, _d: &DataStore, _url: &str, _sums: &[(&'static str, String)]) -> Result<()> {
        Ok(())
    }
    /// Progress in percent, or minus a count while the end is unknown.
    fn progress(&self, _d: &DataStore, progress: f64, rate: Option<&str>) {
        hz_events::emit(hz_events::Event::TaskProgress {
            pid: std::process::id() as i32,
            progress,
            rate: rate.map(str::to_owned),
        });
    }
    /// Output of a command that belongs into the task's log.
    fn output(&self, text: &str) {
        print!("{text}");
    }
    /// The unpack tracer's `unpack(kind, directory)`.
    fn trace_unpack(&self, _ud: &UrlData, _kind: &str, _directory: &str) -> Result<()> {
        Ok(())
    }
    /// The store of the original environment (BB_ORIGENV).
    fn original_environment(&self, d: &DataStore) -> Option<DataStore> {
        match d.get_raw("BB_ORIGENV")? {
            Value::Object(o) => o.as_any().downcast_ref::<StoreObject>().map(|s| s.0.clone()),
            _ => None,
        }
    }
}

/// A process without Python.
pub struct Native;
impl Host for Native {}

/// A data store and its host.
#[derive(Clone, Copy)]
pub struct Cx<'a> {
    pub d: &'a DataStore,
    pub host: &'a dyn Host,
}

impl<'a> Cx<'a> {
    pub fn new(d: &'a DataStore, host: &'a dyn Host) -> Self {
        Cx { d, host }
    }
    /// The same host over another store.
    pub fn with<'b>(&self, d: &'b DataStore) -> Cx<'b>
    where
        'a: 'b,
    {
        Cx { d, host: self.host }
    }

    /// `d.getVar(name)` as text.
    pub fn var(&self, name: &str) -> Result<Option<String>> {
        Ok(self.d.get(name)?.map(|v| v.to_string()))
    }
    /// `d.getVar(name) or default`.
    pub fn var_or(&self, name: &str, default: &str) -> Result<String> {
        Ok(self.var(name)?.filter(|v| !v.is_empty()).unwrap_or_else(|| default.to_owned()))
    }
    /// `bb.utils.to_boolean(d.getVar(name))`.
    pub fn var_true(&self, name: &str) -> Result<bool> {
        Ok(to_boolean(self.var(name)?.as_deref())?.unwrap_or(false))
    }
    pub fn set(&self, name: &str, value: impl Into<Value>) -> Result<()> {
        Ok(self.d.set_var(name, value, &SetInfo::default())?)
    }
    /// [`Self::set`] for a variable that `bitbake -e` shows, with the place its history gives.
    pub fn set_seen(&self, name: &str, value: impl Into<Value>, origin: hz_data::Origin) -> Result<()> {
        Ok(self.d.set_var(name, value, &SetInfo::internal(origin))?)
    }
    pub fn unset(&self, name: &str) -> Result<()> {
        Ok(self.d.del_var(name, &SetInfo::default())?)
    }
    /// DL_DIR.
    pub fn dldir(&self) -> Result<String> {
        self.var_or("DL_DIR", "")
    }

    pub fn debug(&self, message: impl AsRef<str>) {
        self.host.log(level::DEBUG, "Fetcher", message.as_ref());
    }
    pub fn debug2(&self, message: impl AsRef<str>) {
        self.host.log(level::DEBUG2, "Fetcher", message.as_ref());
    }
    pub fn info(&self, message: impl AsRef<str>) {
        self.host.log(level::NOTE, "Fetcher", message.as_ref());
    }
    pub fn warning(&self, message: impl AsRef<str>) {
        self.host.log(level::WARNING, "Fetcher", message.as_ref());
    }
    pub fn error(&self, message: impl AsRef<str>) {
        self.host.log(level::ERROR, "Fetcher", message.as_ref());
    }
    /// `bb.note`.
    pub fn note(&self, message: impl AsRef<str>) {
        self.host.log(level::NOTE, "Main", message.as_ref());
    }
    /// `bb.warn`.
    pub fn warn(&self, message: impl AsRef<str>) {
        self.host.log(level::WARNING, "Main", message.as_ref());
    }
}

/// Python's reading of a yes/no text; `None` for no text.
///
/// # Errors
/// [`FetchError::Value`] for any other text.
pub fn to_boolean(text: Option<&str>) -> Result<Option<bool>> {
    let Some(text) = text.filter(|t| !t.is_empty()) else { return Ok(None) };
    match text.to_lowercase().as_str() {
        "y" | "yes" | "1" | "true" => Ok(Some(true)),
        "n" | "no" | "0" | "false" => Ok(Some(false)),
        _ => Err(FetchError::Value(format!("Invalid value for to_boolean: {text}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn booleans() {
        assert_eq!(to_boolean(Some("Yes")).unwrap(), Some(true));
        assert_eq!(to_boolean(Some("0")).unwrap(), Some(false));
        assert_eq!(to_boolean(Some("")).unwrap(), None);
        assert!(to_boolean(Some("maybe")).is_err());
    }
}
