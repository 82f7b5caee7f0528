//! `HITZELEITER_PROFILE=FILE` writes where the time of a command went to FILE (text) and to
//! FILE.trace.json (for a browser's trace viewer); `HITZELEITER_COUNTS=FILE` writes the counts of
//! work alone, a `NUMBER<tab>NAME` a line, which are the same from run to run.

use std::ffi::OsString;
use std::path::Path;

fn written(path: &Path, text: String) {
    if let Err(e) = std::fs::write(path, text) {
        eprintln!("WARNING: cannot write {}: {e}", path.display());
    }
}

/// Runs a command, measured if the environment asks for it.
pub fn measured(command: impl FnOnce() -> i32) -> i32 {
    // Relative to where the user stands: the command changes to the build directory.
    let here = std::env::current_dir().unwrap_or_default();
    let wanted = |name: &str| std::env::var_os(name).filter(|path| !path.is_empty()).map(|path| here.join(path));
    let (profile, counts) = (wanted("HITZELEITER_PROFILE"), wanted("HITZELEITER_COUNTS"));
    if profile.is_some() {
        hz_meter::begin();
    }
    let code = command();
    if let Some(path) = profile {
        let mut trace: OsString = path.clone().into();
        trace.push(".trace.json");
        written(&path, hz_meter::report());
        written(Path::new(&trace), hz_meter::trace());
    }
    if let Some(path) = counts {
        written(&path, hz_meter::counts().iter().map(|(what, n)| format!("{n}\t{}\n", what.text())).collect());
    }
    code
}
