//! `addfragments`: configuration files that a variable switches on by name.

use crate::collections::file_layer;
use crate::error::{Error, Result, fatal, warn};
use crate::include::include;
use crate::origins;
use crate::paths::exists;
use hz_data::{DataStore, Read, SetInfo, Value};
use hz_diagnostics::Str;
use hz_versions::paths::join;

pub(crate) fn add_fragments(
    file: &Str, line: u32, prefix: &str, variable: &str, flagged: &str, builtin: &str, store: &DataStore,
) -> Result<()> {
    if store.get("_BB_SKIP_FRAGMENTS")?.as_deref() == Some("1") {
        return Ok(());
    }
    let fragments = store.get_or_empty(variable)?;
    let layers = store.get_or_empty("BBLAYERS")?;
    let set = |name: &str| match store.get(name)? {
        Some(value) => Ok(value),
        None => Err(Error::parse(format!("addfragments reads {name}, which is not set"), file, line)),
    };
    let (flagged, builtin) = (set(flagged)?, set(builtin)?);
    // prefix -> variable; a word of another shape is an error of the metadata.
    let mut builtins: Vec<(&str, &str)> = Vec::new();
    for word in hz_versions::words(&builtin) {
        let mut parts = word.split(':');
        let (Some(key), Some(value)) = (parts.next(), parts.next()) else {
            return Err(Error::parse(format!("builtin fragment '{word}' is not of the form prefix:VARIABLE"), file, line));
        };
        match builtins.iter_mut().find(|(k, _)| *k == key) {
            Some(known) => known.1 = value,
            None => builtins.push((key, value)),
        }
    }
    let words: Vec<&str> = hz_versions::words(&fragments).collect();
    for (key, _) in &builtins {
        let same: Vec<&str> =
            words.iter().copied().filter(|f| f.strip_prefix(key).is_some_and(|r| r.starts_with('/'))).collect();
        if same.len() > 1 {
            warn(
                store,
                &format!(
                    "Multiple builtin fragments are enabled for {key} via variable {variable}: {}. This likely points \
                     to a mis-configuration in the metadata, as only one of them should be set. The build will use \
                     the last value.",
                    same.join(" ")
                ),
            );
        }
    }
    for fragment in words {
        let Some((layer, name)) = fragment.split_once('/') else {
            return Err(Error::parse(format!("fragment '{fragment}' is not of the form layer/name"), file, line));
        };
        if let Some((_, target)) = builtins.iter().find(|(k, _)| *k == layer) {
            set_builtin(fragment, name, target, variable, store)?;
            continue;
        }
        let relative = store.expand(&format!("{prefix}/{name}.conf"), None)?;
        let mut found = None;
        for dir in hz_versions::words(&layers) {
            let candidate = join(dir, &relative);
            if exists(&candidate) && file_layer(&candidate, store)?.as_deref() == Some(layer) {
                found = Some(candidate);
                break;
            }
        }
        let Some(found) = found else {
            let layers: Vec<&str> = hz_versions::words(&layers).collect();
            return Err(fatal(
                store,
                &format!("Could not find fragment {fragment} in enabled layers:\n\t{}", layers.join("\n\t")),
            ));
        };
        include(file, &found, line, store, Some("include fragment"))?;
        for name in hz_versions::words(&flagged) {
            let value = store.get_var(name, Read::default())?.unwrap_or(Value::None);
            store.set_flag(name, fragment, value, &SetInfo::internal(origins::FRAGMENT_FLAG))?;
            store.set_var(name, Value::None, &SetInfo::internal(origins::FRAGMENT_VALUE))?;
        }
    }
    Ok(())
}

fn set_builtin(fragment: &str, value: &str, target: &str, variable: &str, store: &DataStore) -> Result<()> {
    let now = store.get_var(target, Read { noweakdefault: true, ..Read::default() })?;
    if now.is_some_and(|v| !matches!(v, Value::None)) {
        return Err(fatal(
            store,
            &format!(
                "A builtin fragment '{fragment}' is used while {target} has already got an assignment.\nPlease either \
                 disable the fragment or remove the value assignment.\nTo disable the fragment, use \
                 'bitbake-config-build disable-fragment {fragment}'."
            ),
        ));
    }
    // The history points at where the fragment was switched on.
    let mut info = SetInfo { parsing: true, ignore: true, ..SetInfo::default() };
    for entry in store.history(variable).iter().rev() {
        if matches!(&*entry.op, "set" | "append") && entry.detail.to_text().contains(fragment) {
            info.ignore = false;
            info.op = "set";
            info.file = Some(entry.file.clone());
            info.line = entry.line;
            info.detail = Some(Value::str(format!("{value} ({variable} contains \"{fragment}\")")));
            break;
        }
    }
    store.set_var(target, value, &info)?;
    Ok(())
}
