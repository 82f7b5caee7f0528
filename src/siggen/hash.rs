//! Task hashes, and both hashes recomputed from a sigdata file.

use crate::Rules;
use crate::sigdata::{SigData, VarVal};
use hz_diagnostics::Str;
use sha2::{Digest, Sha256};

/// What a task hash is made of besides the base hash.
#[derive(Clone, Debug, Default)]
pub struct TaskInputs<'a> {
    /// Tasks it runs after: (`[mc:NAME:]pn:task`, task id, unihash), any order.
    pub dependencies: Vec<(&'a str, &'a str, &'a str)>,
    /// Path and checksum of each local file, in the order of [`crate::FileChecksums`].
    pub files: Vec<(&'a str, Option<&'a str>)>,
    /// Text of the taint file, or `nostamp:` and a random text.
    pub taint: Option<&'a str>,
}

/// The part of a path behind its last `/`.
fn base_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// `./REL` of a member of a directory.
fn member(path: &str) -> Option<String> {
    path.split("/./").nth(1).map(|relative| format!("./{relative}"))
}

/// Files in the order in which they enter the hash. Equal names keep the order they came in.
pub fn ordered_files<T: Clone>(files: &[(Str, T)], rules: &Rules) -> Vec<(Str, T)> {
    let mut files = files.to_vec();
    if rules.checksums_by_basename {
        files.sort_by_cached_key(|(path, _)| member(path).unwrap_or_else(|| base_name(path).into()));
    } else {
        files.sort_by_cached_key(|(path, _)| member(path).unwrap_or_else(|| path.to_string()));
    }
    files
}

/// How a sigdata file names a local file.
pub fn shown_name(path: &str) -> Str {
    member(path).map_or_else(|| base_name(path).into(), Str::from)
}

/// SHA-256 over the base hash, the unihashes of the dependencies, the file checksums and the taint.
pub fn task_hash(basehash: &str, inputs: &TaskInputs<'_>, rules: &Rules) -> Str {
    let mut hash = Sha256::new();
    hash.update(basehash);
    let mut dependencies = inputs.dependencies.clone();
    dependencies.sort_unstable();
    for (_, _, unihash) in dependencies {
        hash.update(unihash);
    }
    let files: Vec<(Str, Option<&str>)> = inputs.files.iter().map(|(path, sum)| (Str::from(*path), *sum)).collect();
    for (path, sum) in ordered_files(&files, rules) {
        if let Some(sum) = sum.filter(|sum| !sum.is_empty()) {
            if let Some(member) = member(&path) {
                hash.update(member);
            }
            hash.update(sum);
        }
    }
    if let Some(taint) = inputs.taint {
        hash.update(taint.strip_prefix("nostamp:").unwrap_or(taint));
    }
    hex::encode(hash.finalize()).into()
}

/// The base hash that the content of a file gives. None: it does not name its task.
pub fn calc_basehash(data: &SigData) -> Option<Str> {
    let mut hash = Sha256::new();
    let mut add = |value: Option<&VarVal>| match value {
        None | Some(VarVal::None) => {}
        Some(value) => hash.update(value.to_text().as_bytes()),
    };
    add(Some(data.varvals.get(data.task.as_ref()?)?));
    for dep in &data.taskdeps {
        add(Some(&VarVal::Str(dep.clone())));
        add(data.varvals.get(dep));
    }
    Some(hex::encode(hash.finalize()).into())
}

/// The task hash that the content of a file gives. None: it has none.
pub fn calc_taskhash(data: &SigData) -> Option<Str> {
    let run = data.run.as_ref()?;
    let mut hash = Sha256::new();
    hash.update(&*data.basehash);
    for dep in &run.runtaskdeps {
        hash.update(run.runtaskhashes.get(dep)?.as_bytes());
    }
    for (name, sum) in &run.file_checksum_values {
        if let Some(sum) = sum.as_ref().filter(|sum| !sum.is_empty()) {
            if name.contains("./") {
                hash.update(name.as_bytes());
            }
            hash.update(sum.as_bytes());
        }
    }
    if let Some(taint) = &data.taint {
        // The reference drops as many characters as the marker has, wherever it stands.
        let text = if taint.contains("nostamp:") { taint.get(8..).unwrap_or_default() } else { taint };
        hash.update(text.as_bytes());
    }
    Some(hex::encode(hash.finalize()).into())
}
