//! Source revisions: SRCREV and its forms, AUTOREV, and the strings that versions are made of.

use crate::cache;
use crate::context::Cx;
use crate::error::{FetchError, Result};
use crate::urldata::UrlData;

/// Characters of a revision that enter a version.
const SHORT: usize = 10;

/// Which revision of a URL: `rev` parameter and SRCREV (they must agree), else the `tag`
/// parameter; AUTOINC asks upstream.
///
/// # Errors
/// None is set, or two that differ.
pub fn source_revision(ud: &UrlData, cx: &Cx<'_>, name: &str) -> Result<Option<String>> {
    let pn = cx.var("PN")?.filter(|p| !p.is_empty());
    let mut tried = Vec::new();
    if !name.is_empty() {
        if let Some(pn) = &pn {
            tried.push(format!("SRCREV_{name}:pn-{pn}"));
        }
        tried.push(format!("SRCREV_{name}"));
    }
    if let Some(pn) = &pn {
        tried.push(format!("SRCREV:pn-{pn}"));
    }
    tried.push("SRCREV".into());
    let mut revision = None;
    for variable in &tried {
        revision = cx.var(variable)?.filter(|r| !r.is_empty() && r != "INVALID");
        if revision.is_some() {
            break;
        }
    }
    if let Some(wanted) = ud.parm.get("rev") {
        return match revision {
            Some(set) if Some(&set) != wanted.as_ref() => Err(FetchError::new(format!(
                "Conflicting revisions ({set} from SRCREV and {} from the url) found, please specify one valid value",
                wanted.as_deref().unwrap_or("None")
            ))),
            _ => Ok(wanted.clone()),
        };
    }
    match revision {
        None => match ud.parm.get("tag") {
            Some(tag) => Ok(tag.clone()),
            None => {
                let names: Vec<String> = tried.iter().map(|t| hz_data::python_repr(t)).collect();
                Err(FetchError::at(
                    format!(
                        "Please set a valid SRCREV for url [{}] (possible key names are {}, or use a ;rev=X URL parameter)",
                        names.join(", "),
                        ud.url
                    ),
                    &ud.url,
                ))
            }
        },
        Some(auto) if auto == "AUTOINC" => {
            cx.set("__BBAUTOREV_ACTED_UPON", hz_data::Value::Bool(true))?;
            latest(ud, cx, name).map(Some)
        }
        some => Ok(some),
    }
}

/// The newest revision upstream, from the cache of this run or by asking.
///
/// # Errors
/// The method has no such thing; asking failed.
pub fn latest(ud: &UrlData, cx: &Cx<'_>, name: &str) -> Result<String> {
    let method = ud.method.clone();
    if !method.asks_upstream() {
        return Err(FetchError::parameter("The fetcher for this URL does not support _latest_revision", &ud.url));
    }
    let key = method.revision_key(ud, cx, name)?;
    if let Some(known) = cache::revision(&key) {
        return Ok(known);
    }
    let revision = method.ask_latest_revision(ud, cx, name)?;
    cache::set_revision(&key, &revision);
    Ok(revision)
}

/// `mark_recipe_nocache`: a recipe with a floating revision is parsed again every time.
pub fn mark_nocache(cx: &Cx<'_>) -> Result<()> {
    if cx.var("BB_SRCREV_POLICY")?.as_deref() != Some("cache") {
        cx.set_seen("BB_DONT_CACHE", "1", ("__init__.py", 790, "mark_recipe_nocache"))?;
    }
    Ok(())
}

/// `get_autorev`: what AUTOREV expands to.
pub fn autorev(cx: &Cx<'_>) -> Result<&'static str> {
    mark_nocache(cx)?;
    cx.set("__BBAUTOREV_SEEN", hz_data::Value::Bool(true))?;
    Ok("AUTOINC")
}

/// Version text and full revisions of all SCM URLs in SRC_URI.
fn revisions(cx: &Cx<'_>, form: &str) -> Result<(String, Vec<String>)> {
    cx.set("__BBSRCREV_SEEN", "1")?;
    if cx.d.get_var("__BBINSRCREV", Default::default())?.is_some_and(|v| v.is_true()) {
        return Err(FetchError::new("There are recursive references in fetcher variables, likely through SRC_URI"));
    }
    cx.set("__BBINSRCREV", hz_data::Value::Bool(true))?;
    let mut scms: Vec<UrlData> = Vec::new();
    let mut seen = Vec::new();
    for url in cx.var_or("SRC_URI", "")?.split_whitespace() {
        if seen.contains(&url.to_owned()) {
            continue;
        }
        seen.push(url.to_owned());
        let ud = UrlData::new(url, cx, false)?;
        if ud.method.supports_srcrev()? {
            scms.push(ud);
        }
    }
    let done = |version: String, revs| {
        cx.unset("__BBINSRCREV")?;
        Ok((version, revs))
    };
    let short = |rev: &str| rev.chars().take(SHORT).collect::<String>();
    match scms.as_mut_slice() {
        [] => done(String::new(), Vec::new()),
        [ud] => {
            let name = ud.name.clone();
            let (floating, rev) = ud.method.clone().formatted_revision(ud, cx, &name, form)?;
            let version = format!("{}{}", if floating { "AUTOINC+" } else { "" }, short(&rev));
            done(version, vec![rev])
        }
        many => {
            let Some(format) = cx.var("SRCREV_FORMAT")?.filter(|f| !f.is_empty()) else {
                let urls: Vec<&str> = many.iter().map(|u| u.url.as_str()).collect();
                return Err(FetchError::new(format!(
                    "The SRCREV_FORMAT variable must be set when multiple SCMs are used.\nThe SCMs are:\n{}",
                    urls_as_given(&seen, &urls).join("\n")
                )));
            };
            let mut names: Vec<(String, String)> = Vec::new();
            let (mut revs, mut any_floating) = (Vec::new(), false);
            for ud in many {
                let name = ud.name.clone();
                let (floating, rev) = ud.method.clone().formatted_revision(ud, cx, &name, form)?;
                any_floating |= floating;
                match names.iter_mut().find(|(n, _)| *n == ud.name) {
                    Some(entry) => entry.1 = short(&rev),
                    None => names.push((ud.name.clone(), short(&rev))),
                }
                revs.push(rev);
            }
            let version = fill_format(&format, names);
            done(if any_floating { format!("AUTOINC+{version}") } else { version }, revs)
        }
    }
}

/// The URLs as SRC_URI has them (a method may have rewritten its own).
fn urls_as_given<'a>(given: &'a [String], scms: &[&'a str]) -> Vec<&'a str> {
    let exact: Vec<&str> = given.iter().map(String::as_str).filter(|g| scms.contains(g)).collect();
    if exact.len() == scms.len() { exact } else { scms.to_vec() }
}

/// Puts revisions for names, longest names first, never inside what was put.
fn fill_format(format: &str, mut names: Vec<(String, String)>) -> String {
    names.sort_by_key(|(name, _)| std::cmp::Reverse(name.chars().count()));
    let mut out = String::new();
    let mut rest = format;
    while !rest.is_empty() {
        if let Some((name, rev)) = names.iter().find(|(n, _)| !n.is_empty() && rest.starts_with(n.as_str())) {
            out.push_str(rev);
            rest = &rest[name.len()..];
        } else {
            let c = rest.chars().next().map_or(1, char::len_utf8);
            out.push_str(&rest[..c]);
            rest = &rest[c..];
        }
    }
    out
}

/// `get_hashvalue`: the full revisions, separated by blanks. `form` names the method's way of
/// writing a revision ("sortable_revision").
///
/// # Errors
/// Whatever setting up a URL of SRC_URI raises.
pub fn hash_value(cx: &Cx<'_>, form: &str) -> Result<String> {
    Ok(revisions(cx, form)?.1.join(" "))
}

/// `get_pkgv_string`: for use in PV; empty if SRC_URI has no SCM.
///
/// # Errors
/// As [`hash_value`].
pub fn pkgv_string(cx: &Cx<'_>, form: &str) -> Result<String> {
    Ok(revisions(cx, form)?.0)
}

/// `get_srcrev`: as [`pkgv_string`], but there must be one.
///
/// # Errors
/// As [`hash_value`]; also without an SCM in SRC_URI.
pub fn srcrev(cx: &Cx<'_>, form: &str) -> Result<String> {
    let version = pkgv_string(cx, form)?;
    if version.is_empty() {
        return Err(FetchError::new("SRCREV was used yet no valid SCM was found in SRC_URI"));
    }
    Ok(version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats() {
        let names = vec![("meta".to_owned(), "metas".to_owned()), ("machine".into(), "abc".into()), ("me".into(), "x".into())];
        assert_eq!(fill_format("machine_meta-me", names), "abc_metas-x");
    }
}
