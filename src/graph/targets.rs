//! From what the user asks for to targets: `world`, `universe`, `mc:…`, `NAME:do_TASK`.

use crate::{Config, Host, RecipeId, RecipeSet, Result, TaskData, fatal};
use hz_diagnostics::Str;
use hz_events::{Event, level, log};
use indexmap::IndexMap;
use rustc_hash::FxHashSet;
use serde_json::json;

/// A requested target: item, task (a `-` at its end: only what the task depends on), recipe.
#[derive(Clone, Debug)]
pub struct Target {
    pub mc: Str,
    pub item: Str,
    pub task: Str,
    pub recipe: RecipeId,
}

/// How targets are resolved.
#[derive(Clone, Copy, Debug, Default)]
pub struct TargetOptions {
    /// Without `-k`.
    pub halt: bool,
    /// Go on without providers of dependencies (`-g`, queries).
    pub allow_incomplete: bool,
}

/// Everything a task graph is made from. Multiconfigs in the configured order, the default one first.
pub struct BuildPlan {
    pub sets: IndexMap<Str, RecipeSet>,
    pub taskdata: IndexMap<Str, TaskData>,
    pub targets: Vec<Target>,
}

/// `do_NAME` for NAME.
pub(crate) fn with_prefix(task: &str) -> String {
    if task.starts_with("do_") { task.to_owned() } else { format!("do_{task}") }
}

/// Takes a target apart at `mc:NAME:`, which needs two colons.
fn split_target(target: &str) -> Option<(&str, &str)> {
    target.strip_prefix("mc:")?.split_once(':')
}

/// The requested names with `world` and `universe` put in full. `task` restricts those to recipes
/// that have it. No names at all is an error.
pub fn check_packages(names: &[String], task: Option<&str>, config: &dyn Config, sets: &mut IndexMap<Str, RecipeSet>) -> Result<Vec<String>> {
    if names.is_empty() {
        return Err(crate::GraphError::Handled("Nothing to do.  Use 'bitbake world' to build everything, or run 'bitbake --help' for usage information.".into()));
    }
    let assumed = config.get_or_empty("ASSUME_PROVIDED")?;
    let mut list = Vec::new();
    let mut renamed = Vec::new();
    for name in names {
        if hz_versions::words(&assumed).any(|item| item == name) {
            log(level::WARNING, "Parsing", format!("Explicit target \"{name}\" is in ASSUME_PROVIDED, ignoring"));
        }
        match name.strip_prefix("multiconfig:") {
            Some(_) => renamed.push(name.replace("multiconfig:", "mc:")),
            None => list.push(name.clone()),
        }
    }
    list.append(&mut renamed);
    let prefixed = |mc: &str, pn: &str| if mc.is_empty() { pn.to_owned() } else { format!("mc:{mc}:{pn}") };
    let remove = |list: &mut Vec<String>, word: &str| list.iter().position(|name| name == word).map(|at| list.remove(at)).is_some();
    if remove(&mut list, "world") {
        for (mc, set) in sets.iter_mut() {
            list.extend(set.world_targets(task).iter().map(|pn| prefixed(mc, pn)));
        }
    }
    if remove(&mut list, "universe") {
        log(level::VERBNOTE, "Parsing", "The \"universe\" target is only intended for testing and may produce errors.");
        for (mc, set) in sets {
            for pn in &set.universe_target {
                let has_task = task.is_none_or(|task| {
                    set.providers.get(pn).into_iter().flatten().any(|id| set.recipe(*id).info.task_deps.tasks.iter().any(|t| &**t == task))
                });
                if has_task {
                    list.push(prefixed(mc, pn));
                } else {
                    log(level::DEBUG, "", format!("Skipping {pn} for universe tasks as task {} doesn't exist", task.unwrap_or_default()));
                }
            }
        }
    }
    Ok(list)
}

/// The requested names with `mc:*:NAME` put in full: every multiconfig, the default one last and
/// only if no name without `mc:` was given.
fn expand_wildcards(list: Vec<String>, sets: &IndexMap<Str, RecipeSet>) -> Result<Vec<String>> {
    let mut full = Vec::new();
    let mut implicit = String::new();
    let (mut explicit, mut wildcard) = (false, false);
    for name in list {
        let Some((mc, rest)) = split_target(&name) else {
            explicit = true;
            full.push(name);
            continue;
        };
        if wildcard {
            return Err(fatal("", "multiconfig conflict"));
        }
        if mc != "*" {
            full.push(name);
            continue;
        }
        wildcard = true;
        for mc in sets.keys() {
            if mc.is_empty() {
                implicit = rest.split(':').next().unwrap_or_default().to_owned();
            } else {
                full.push(name.replace('*', mc));
            }
        }
    }
    if !explicit && !implicit.is_empty() {
        full.push(implicit);
    }
    Ok(full)
}

fn tell(host: &mut dyn Host, name: &str, attributes: serde_json::Value) -> Result<()> {
    host.fire("", Event::Other { class: format!("bb.event.TreeDataPreparation{name}"), attributes })
}

/// Resolves requested names and all they need. `configs`: one per entry of `sets`, names expanded
/// (see [`crate::expanded_config`]); `task` is the default task, without or with `do_`.
pub fn build_task_data(
    names: &[String],
    task: &str,
    mut sets: IndexMap<Str, RecipeSet>,
    configs: &IndexMap<Str, &dyn Config>,
    options: TargetOptions,
    host: &mut dyn Host,
) -> Result<BuildPlan> {
    tell(host, "Started", json!({}))?;
    let task = with_prefix(task);
    let default = configs.get("").copied().ok_or_else(|| fatal("", "There is no default configuration"))?;
    let list = check_packages(names, Some(&task), default, &mut sets)?;
    let list = expand_wildcards(list, &sets)?;
    log(level::DEBUG, "", format!("Target list: [{}]", list.iter().map(|t| hz_data::python_repr(t)).collect::<Vec<_>>().join(", ")));

    let mut taskdata: IndexMap<Str, TaskData> =
        sets.keys().map(|mc| (mc.clone(), TaskData::new(options.halt, options.allow_incomplete))).collect();
    let mut targets = Vec::new();
    for (index, name) in list.iter().enumerate() {
        let (mc, rest) = split_target(name).unwrap_or(("", name));
        let (item, task) = match rest.split_once(":do_") {
            Some((item, task)) => (item, with_prefix(task.split(":do_").next().unwrap_or_default())),
            None => (rest, task.clone()),
        };
        let (Some(set), Some(data), Some(config)) = (sets.get_mut(mc), taskdata.get_mut(mc), configs.get(mc)) else {
            return Err(fatal("", format!("Multiconfig dependency {name} depends on nonexistent multiconfig configuration named {mc}")));
        };
        data.add_provider(*config, set, item, host)?;
        if let Some(recipe) = data.provider(item) {
            targets.push(Target { mc: mc.into(), item: item.into(), task: task.into(), recipe });
            tell(host, "Progress", json!({ "current": index + 1, "total": list.len() }))?;
        }
    }

    // Items that another multiconfig depends on are asked for like the user's own.
    if sets.len() > 1 || taskdata.values().any(|data| !data.mcdepends.is_empty()) {
        let mut seen: FxHashSet<Str> = FxHashSet::default();
        loop {
            for (mc, data) in &mut taskdata {
                data.add_unresolved(configs[mc], &mut sets[mc], host)?;
            }
            let wanted: Vec<Str> = taskdata.values().flat_map(|data| &data.mcdepends).filter(|dep| !seen.contains(*dep)).cloned().collect();
            if wanted.is_empty() {
                break;
            }
            for dep in wanted {
                let mut parts = dep.split(':').skip(2);
                let (mc, item) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
                let (Some(set), Some(data), Some(config)) = (sets.get_mut(mc), taskdata.get_mut(mc), configs.get(mc)) else {
                    return Err(fatal("", format!("Multiconfig dependency {dep} depends on nonexistent multiconfig configuration named configuration {mc}")));
                };
                data.add_provider(*config, set, item, host)?;
                seen.insert(dep);
            }
        }
    }
    for (mc, data) in &mut taskdata {
        data.add_unresolved(configs[mc], &mut sets[mc], host)?;
    }
    tell(host, "Completed", json!({ "total": list.len() }))?;
    Ok(BuildPlan { sets, taskdata, targets })
}
