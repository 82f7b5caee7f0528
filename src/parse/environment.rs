//! Which variables of the caller's environment may reach the metadata.

use indexmap::IndexMap;

/// Taken into the metadata and exported to tasks.
const EXPORTED: [&str; 9] =
    ["BB_TASKHASH", "HOME", "LOGNAME", "PATH", "PWD", "SHELL", "USER", "LC_ALL", "BBSERVER"];

/// Taken into the metadata only.
const TAKEN: [&str; 3] = ["BBPATH", "BB_PRESERVE_ENV", "BB_ENV_PASSTHROUGH_ADDITIONS"];

pub fn exported_variables() -> &'static [&'static str] {
    &EXPORTED
}

/// The names that stay: all with BB_PRESERVE_ENV; those that BB_ENV_PASSTHROUGH lists instead of
/// the usual ones; and what BB_ENV_PASSTHROUGH_ADDITIONS adds.
pub fn approved_variables(env: &IndexMap<String, String>) -> Vec<String> {
    if env.contains_key("BB_PRESERVE_ENV") {
        return env.keys().cloned().collect();
    }
    let mut out: Vec<String> = match env.get("BB_ENV_PASSTHROUGH") {
        Some(list) => hz_versions::words(list).chain(["BB_ENV_PASSTHROUGH"]).map(Into::into).collect(),
        None => TAKEN.iter().chain(&EXPORTED).map(|n| n.to_string()).collect(),
    };
    if let Some(more) = env.get("BB_ENV_PASSTHROUGH_ADDITIONS") {
        out.extend(hz_versions::words(more).map(Into::into));
        if !out.iter().any(|n| n == "BB_ENV_PASSTHROUGH_ADDITIONS") {
            out.push("BB_ENV_PASSTHROUGH_ADDITIONS".into());
        }
    }
    out
}

/// The environment that the command itself goes on with: only approved variables, and a UTF-8
/// locale. With BB_PRESERVE_ENV it is the caller's, unchanged.
pub fn clean_environment(env: &IndexMap<String, String>) -> IndexMap<String, String> {
    if env.contains_key("BB_PRESERVE_ENV") {
        return env.clone();
    }
    let approved = approved_variables(env);
    let mut out: IndexMap<String, String> =
        env.iter().filter(|(k, _)| approved.contains(k)).map(|(k, v)| (k.clone(), v.clone())).collect();
    out.insert("LC_ALL".into(), "en_US.UTF-8".into());
    out
}

/// The caller's environment as the cooker is told of it: the locale that the command itself was given
/// is part of it, unless LC_ALL is no approved variable and the caller has one of his own.
pub fn told_environment(env: &IndexMap<String, String>) -> IndexMap<String, String> {
    let mut out = env.clone();
    for (name, value) in clean_environment(env) {
        if !env.contains_key(&name) || approved_variables(env).contains(&name) {
            out.insert(name, value);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(pairs: &[(&str, &str)]) -> IndexMap<String, String> {
        pairs.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect()
    }

    #[test]
    fn the_cooker_is_told_of_the_locale() {
        let told = |pairs: &[(&str, &str)]| told_environment(&env(pairs)).get("LC_ALL").cloned();
        assert_eq!(told(&[("HOME", "/h")]).as_deref(), Some("en_US.UTF-8"));
        assert_eq!(told(&[("LC_ALL", "C")]).as_deref(), Some("en_US.UTF-8"));
        assert_eq!(told(&[("LC_ALL", "C"), ("BB_ENV_PASSTHROUGH", "HOME")]).as_deref(), Some("C"));
        assert_eq!(told(&[("BB_PRESERVE_ENV", "1")]), None);
    }

    #[test]
    fn passthrough() {
        let base = env(&[("FOO", "1"), ("HOME", "/h"), ("BAR", "2")]);
        assert_eq!(clean_environment(&base).keys().collect::<Vec<_>>(), ["HOME", "LC_ALL"]);
        let mut more = base.clone();
        more.insert("BB_ENV_PASSTHROUGH_ADDITIONS".into(), "FOO".into());
        assert!(approved_variables(&more).contains(&"FOO".to_string()));
        let mut only = base.clone();
        only.insert("BB_ENV_PASSTHROUGH".into(), "BAR".into());
        assert_eq!(approved_variables(&only), ["BAR", "BB_ENV_PASSTHROUGH"]);
        let mut all = base;
        all.insert("BB_PRESERVE_ENV".into(), "".into());
        assert_eq!(approved_variables(&all).len(), 4);
    }
}
