//! Which recipe provides an item: layer priorities, DEFAULT_PREFERENCE, versions,
//! PREFERRED_VERSION / REQUIRED_VERSION and PREFERRED_PROVIDER.

use crate::{Config, RecipeId, RecipeSet, Result};
use hz_diagnostics::Str;
use hz_events::{level, log};
use hz_versions::Version;
use indexmap::IndexMap;
use std::cmp::Ordering;
use std::collections::BTreeMap;

const DOMAIN: &str = "Provider";

/// The recipes of one PN in order of layer priority, highest first; within a priority by
/// DEFAULT_PREFERENCE, lowest first.
type Ranked = Vec<Vec<RecipeId>>;

/// PE, PV, PR.
pub type PePvPr = (Str, Str, Str);

/// What [`find_best_provider`] says of a PN.
#[derive(Clone, Debug)]
pub struct BestProvider {
    pub latest: Option<(PePvPr, RecipeId)>,
    pub preferred: Option<(PePvPr, RecipeId)>,
    /// REQUIRED_VERSION is set.
    pub required: bool,
}

fn pepvpr(set: &RecipeSet, id: RecipeId) -> PePvPr {
    let info = set.recipe(id).info.providing();
    (info.pe.clone(), info.pv.clone(), info.pr.clone())
}

fn rank(set: &RecipeSet, recipes: &[RecipeId]) -> Ranked {
    let mut by_priority: BTreeMap<i64, BTreeMap<i64, Vec<RecipeId>>> = BTreeMap::new();
    for id in recipes {
        let recipe = set.recipe(*id);
        by_priority.entry(recipe.priority).or_default().entry(recipe.info.providing().default_preference).or_default().push(*id);
    }
    by_priority.into_values().rev().map(|by_preference| by_preference.into_values().flatten().collect()).collect()
}

/// `PREFERRED_VERSION` and its kin: the override form, the `_PN` form, then the bare variable.
fn version_variable(config: &dyn Config, keyword: &str, pn: &str) -> Result<Option<String>> {
    // PN can hold "_" where an override cannot, hence by name.
    for name in [format!("{keyword}_VERSION:pn-{pn}"), format!("{keyword}_VERSION_{pn}")] {
        if let Some(value) = config.get_filled(&name)? {
            return Ok(Some(value));
        }
    }
    config.get(&format!("{keyword}_VERSION"))
}

/// `[EPOCH:]VERSION` of a preference; a revision cannot be told from the version.
fn split_preference(text: &str) -> (Option<&str>, &str) {
    let mut rest = text;
    let mut epoch = None;
    while let Some((head, tail)) = rest.split_once(':') {
        if head.is_empty() || !head.bytes().all(|b| b.is_ascii_digit()) {
            break;
        }
        (epoch, rest) = (Some(head), tail);
    }
    (epoch, rest.split('\n').next().unwrap_or(rest))
}

/// The first recipe of `ranked` that has the preferred (or required) version, and whether a
/// version is required. Warns when there is none.
fn find_preferred(
    pn: &str,
    config: &dyn Config,
    set: &RecipeSet,
    ranked: &Ranked,
    item: Option<&str>,
) -> Result<(Option<RecipeId>, bool)> {
    let required_version = version_variable(config, "REQUIRED", pn)?;
    let mut wanted = version_variable(config, "PREFERRED", pn)?;
    let for_item = item.map(|item| format!(" (for item {item})")).unwrap_or_default();
    let required = required_version.is_some();
    if let Some(version) = required_version {
        if wanted.is_some() {
            log(level::WARNING, DOMAIN, format!("REQUIRED_VERSION and PREFERRED_VERSION for package {pn}{for_item} are both set using REQUIRED_VERSION {version}"));
        } else {
            log(level::DEBUG, DOMAIN, format!("REQUIRED_VERSION is set for package {pn}{for_item}"));
        }
        wanted = Some(version);
    }
    let Some(wanted) = wanted.filter(|text| !text.is_empty()) else { return Ok((None, required)) };
    let (epoch, version) = split_preference(&wanted);
    let matches = |id: &RecipeId| {
        let info = set.recipe(*id).info.providing();
        epoch.is_none_or(|epoch| epoch == &*info.pe)
            && (version == &*info.pv || version.strip_suffix('%').is_some_and(|start| info.pv.starts_with(start)))
    };
    let shown = epoch.map_or_else(|| version.to_owned(), |epoch| format!("{epoch}:{version}"));
    if let Some(found) = ranked.iter().flatten().copied().find(matches) {
        let variable = if required { "REQUIRED_VERSION" } else { "PREFERRED_VERSION" };
        log(level::DEBUG, DOMAIN, format!("selecting {} as {variable} {shown} of package {pn}{for_item}", set.mcfn(found)));
        return Ok((Some(found), required));
    }
    if !required {
        log(level::WARNING, DOMAIN, format!("preferred version {shown} of {pn} not available{for_item}"));
    }
    let mut available: Vec<String> = ranked
        .iter()
        .flatten()
        .map(|id| {
            let info = set.recipe(*id).info.providing();
            if info.pe.is_empty() { info.pv.to_string() } else { format!("{}:{}", info.pe, info.pv) }
        })
        .collect();
    available.sort();
    available.dedup();
    if !available.is_empty() {
        log(level::WARNING, DOMAIN, format!("versions of {pn} available: {}", available.join(" ")));
    }
    if required {
        log(level::ERROR, DOMAIN, format!("required version {shown} of {pn} not available{for_item}"));
    }
    Ok((None, required))
}

fn comparable(set: &RecipeSet, id: RecipeId) -> Version {
    let info = set.recipe(id).info.providing();
    Version { epoch: info.pe.trim().parse().unwrap_or(0), version: info.pv.to_string(), revision: info.pr.to_string() }
}

/// The highest version of the highest DEFAULT_PREFERENCE.
fn find_latest(set: &RecipeSet, recipes: &[RecipeId]) -> Option<RecipeId> {
    let mut latest: Option<(RecipeId, Version)> = None;
    for id in recipes {
        let version = comparable(set, *id);
        let better = latest.as_ref().is_none_or(|(best, best_version)| {
            let (old, new) = (set.recipe(*best).info.providing().default_preference, set.recipe(*id).info.providing().default_preference);
            new > old || (new == old && hz_versions::vercmp(best_version, &version) == Ordering::Less)
        });
        if better {
            latest = Some((*id, version));
        }
    }
    latest.map(|(id, _)| id)
}

/// Latest and preferred recipe of `pn` among `recipes` (`bb.providers.findBestProvider`).
pub fn find_best_provider(
    pn: &str,
    config: &dyn Config,
    set: &RecipeSet,
    recipes: &[RecipeId],
    item: Option<&str>,
) -> Result<BestProvider> {
    let ranked = rank(set, recipes);
    let (mut preferred, required) = find_preferred(pn, config, set, &ranked, item)?;
    let latest = ranked.first().and_then(|top| find_latest(set, top));
    if !required && preferred.is_none() {
        preferred = latest;
    }
    let with_version = |id: Option<RecipeId>| id.map(|id| (pepvpr(set, id), id));
    Ok(BestProvider { latest: with_version(latest), preferred: with_version(preferred), required })
}

/// [`find_best_provider`] for every PN (`bb.providers.findProviders`).
pub fn find_providers(config: &dyn Config, set: &RecipeSet) -> Result<IndexMap<Str, BestProvider>> {
    set.pkg_pn.iter().map(|(pn, recipes)| Ok((pn.clone(), find_best_provider(pn, config, set, recipes, None)?))).collect()
}

/// One recipe for each PN among `recipes`: preferred ones first, then the latest of the others,
/// each group by PN; a recipe whose PN is the item itself in front.
fn eligible(recipes: &[RecipeId], item: &str, config: &dyn Config, set: &RecipeSet) -> Result<Vec<RecipeId>> {
    let mut recipes = recipes.to_vec();
    // The order in which recipes were parsed must not matter.
    recipes.sort_by(|a, b| set.mcfn(*a).cmp(set.mcfn(*b)));
    let mut by_pn: BTreeMap<&Str, Vec<RecipeId>> = BTreeMap::new();
    for id in &recipes {
        by_pn.entry(set.pn(*id)).or_default().push(*id);
    }
    let mut chosen = Vec::new();
    let mut later = Vec::new();
    for (pn, recipes) in &by_pn {
        let ranked = rank(set, recipes);
        match find_preferred(pn, config, set, &ranked, Some(item))? {
            (Some(id), _) => chosen.push(id),
            // Nothing satisfies a required version: what was found so far is all there is.
            (None, true) => return Ok(chosen),
            (None, false) => later.extend(find_latest(set, &ranked[0])),
        }
    }
    chosen.extend(later);
    if let Some(at) = chosen.iter().position(|id| &**set.pn(*id) == item) {
        let own = chosen.remove(at);
        chosen.insert(0, own);
    }
    Ok(chosen)
}

/// Moves the recipe of PN `pn` to the front; is there one?
fn prefer(list: &mut Vec<RecipeId>, set: &RecipeSet, pn: &str) -> bool {
    let Some(at) = list.iter().position(|id| &**set.pn(*id) == pn) else { return false };
    let id = list.remove(at);
    list.insert(0, id);
    true
}

/// The recipes that may provide `item` at build time, best first, and whether a preference
/// decided (`bb.providers.filterProviders`).
pub fn filter_providers(recipes: &[RecipeId], item: &str, config: &dyn Config, set: &RecipeSet) -> Result<(Vec<RecipeId>, bool)> {
    let mut list = eligible(recipes, item, config, set)?;
    let variable = config.get_filled(&format!("PREFERRED_PROVIDER_{item}"))?;
    let preferred = variable.as_deref().or_else(|| set.preferred.get(item).map(|pn| &**pn));
    let unique = preferred.is_some_and(|pn| {
        let found = prefer(&mut list, set, pn);
        if found {
            log(level::VERBOSE, DOMAIN, format!("selecting {pn} to satisfy {item} due to PREFERRED_PROVIDERS"));
        }
        found
    });
    Ok((list, unique))
}

/// The recipes that may provide `item` at run time, best first, and how many preferences apply
/// (more than one is a conflict; `bb.providers.filterProvidersRunTime`).
pub fn filter_runtime_providers(
    recipes: &[RecipeId],
    item: &str,
    config: &dyn Config,
    set: &RecipeSet,
) -> Result<(Vec<RecipeId>, usize)> {
    let mut list = eligible(recipes, item, config, set)?;
    if let Some(pn) = config.get_filled(&format!("PREFERRED_RPROVIDER_{item}"))?
        && prefer(&mut list, set, &pn)
    {
        log(level::VERBOSE, DOMAIN, format!("selecting {pn} to satisfy {item} due to PREFERRED_RPROVIDER"));
        return Ok((list, 1));
    }
    // No direct preference: a PREFERRED_PROVIDER for anything the candidates provide tells too. On
    // the reference the first preference found leaves the list that is being walked, so that the
    // candidate that moves up into its place may never be looked at; which conflicts are seen
    // hangs on that.
    let by_pn: IndexMap<&Str, RecipeId> = list.iter().map(|id| (set.pn(*id), *id)).collect();
    let mut walk = list.clone();
    let mut preferred: Vec<RecipeId> = Vec::new();
    let mut because = Vec::new();
    let mut at = 0;
    while let Some(id) = walk.get(at).copied() {
        at += 1;
        for item_provided in set.pn_provides.get(set.pn(id)).into_iter().flatten() {
            let Some(pn) = config.get(&format!("PREFERRED_PROVIDER_{item_provided}"))? else { continue };
            let Some(choice) = by_pn.get(&Str::from(pn.as_str())).copied().filter(|id| !preferred.contains(id)) else { continue };
            let variable = format!("PREFERRED_PROVIDER_{item_provided} = {pn}");
            log(level::VERBOSE, DOMAIN, format!("selecting {pn} to satisfy runtime {item} due to {variable}"));
            because.push(variable);
            if preferred.is_empty() {
                walk.retain(|id| *id != choice);
            }
            list.retain(|id| *id != choice);
            list.insert(0, choice);
            preferred.push(choice);
            break;
        }
    }
    if preferred.len() > 1 {
        let list_of = |texts: Vec<String>| format!("[{}]", texts.iter().map(|t| hz_data::python_repr(t)).collect::<Vec<_>>().join(", "));
        let files = list_of(preferred.iter().map(|id| set.mcfn(*id).to_string()).collect());
        log(level::ERROR, DOMAIN, format!(
            "Trying to resolve runtime dependency {item} resulted in conflicting PREFERRED_PROVIDER entries being found.\nThe providers found were: {files}\nThe PREFERRED_PROVIDER entries resulting in this conflict were: {}. You could set PREFERRED_RPROVIDER_{item}",
            list_of(because)
        ));
    }
    Ok((list, preferred.len()))
}
