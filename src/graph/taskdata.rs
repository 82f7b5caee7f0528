//! Which recipes a build needs: requested items and, from there, everything their recipes depend
//! on, each item with its providers in order of preference. What cannot be provided is taken out
//! together with all that needs it.

use crate::recipes::Table;
use crate::{Config, GraphError, RecipeId, RecipeSet, Result, close_matches, fatal, providers};
use hz_data::python_repr;
use hz_diagnostics::Str;
use hz_events::{Event, emit, level, log};
use indexmap::{IndexMap, IndexSet};
use rustc_hash::{FxBuildHasher, FxHashMap, FxHashSet};

const DOMAIN: &str = "TaskData";

/// A task of a recipe that may be needed.
#[derive(Clone, Debug)]
pub struct TaskEntry {
    pub recipe: RecipeId,
    pub name: Str,
    /// Tasks of the same recipe that come before.
    pub parents: Vec<Str>,
    /// `[depends]`: item and task.
    pub idepends: Vec<(Str, Str)>,
    /// `[rdepends]`: item needed at run time and task.
    pub irdepends: Vec<(Str, Str)>,
}

/// A recipe's `calculate_extra_depends` function with what it may read.
pub struct ExtraDepends<'a> {
    /// Body of the function.
    pub code: &'a str,
    /// Name it is given: `_PN_calculate_extra_depends`.
    pub function: String,
    /// `deps`: the function adds to it.
    pub deps: Vec<Str>,
    pub world_target: Vec<Str>,
    pub set: &'a RecipeSet,
    pub self_pn: &'a str,
}
/// What resolving needs from whoever runs it. A closure for [`Host::extra_depends`] is one whose
/// events nobody but the process's sink sees.
pub trait Host {
    /// Runs [`ExtraDepends`] (Python) and gives the new `deps`.
    fn extra_depends(&mut self, call: &ExtraDepends) -> Result<Vec<Str>>;
    /// Tells an event: handlers of the metadata see it in multiconfig `mc` ("" the default one)
    /// before the user does.
    fn fire(&mut self, _mc: &str, event: Event) -> Result<()> {
        emit(event);
        Ok(())
    }
}
impl<F: FnMut(&ExtraDepends) -> Result<Vec<Str>>> Host for F {
    fn extra_depends(&mut self, call: &ExtraDepends) -> Result<Vec<Str>> {
        self(call)
    }
}

/// Recipes, items and tasks of one multiconfig that a build needs (`bb.taskdata.TaskData`).
#[derive(Clone, Debug, Default)]
pub struct TaskData {
    /// Item -> recipes that provide it, best first; empty: not resolved, or assumed to be there.
    pub build_targets: Table<Vec<RecipeId>>,
    /// The same for items needed at run time.
    pub run_targets: Table<Vec<RecipeId>>,
    external_targets: IndexSet<Str>,
    /// Tasks in the order in which they were found.
    pub tasks: Vec<TaskEntry>,
    task_index: FxHashMap<(RecipeId, Str), u32>,
    /// Recipe -> items it needs at build time.
    pub depids: IndexMap<RecipeId, Vec<Str>, FxBuildHasher>,
    /// Recipe -> items it needs at run time.
    pub rdepids: IndexMap<RecipeId, Vec<Str>, FxBuildHasher>,
    considered: FxHashSet<Str>,
    pub failed_deps: FxHashSet<Str>,
    pub failed_rdeps: FxHashSet<Str>,
    pub failed_recipes: FxHashSet<RecipeId>,
    /// Without `-k`: a requested item that cannot be built ends the command.
    pub halt: bool,
    pub allow_incomplete: bool,
    /// Every `[mcdepends]` entry of a recipe in here.
    pub mcdepends: IndexSet<Str>,
}

impl TaskData {
    pub fn new(halt: bool, allow_incomplete: bool) -> TaskData {
        TaskData { halt, allow_incomplete, ..TaskData::default() }
    }

    /// Position of a task in `tasks`.
    pub fn find_task(&self, recipe: RecipeId, name: &str) -> Option<usize> {
        self.task_index.get(&(recipe, Str::from(name))).map(|index| *index as usize)
    }
    /// The provider of `item` that is used.
    pub fn provider(&self, item: &str) -> Option<RecipeId> {
        self.build_targets.get(item)?.first().copied()
    }
    pub fn runtime_provider(&self, item: &str) -> Option<RecipeId> {
        self.run_targets.get(item)?.first().copied()
    }
    /// Item -> recipe used, for items that start with `prefix`.
    pub fn provider_map(&self, prefix: &str) -> Vec<(Str, RecipeId)> {
        let used = self.build_targets.iter().filter(|(item, _)| item.starts_with(prefix));
        used.filter_map(|(item, list)| Some((item.clone(), *list.first()?))).collect()
    }

    fn add_tasks(&mut self, id: RecipeId, set: &mut RecipeSet, host: &mut dyn Host) -> Result<()> {
        if self.failed_recipes.contains(&id) {
            return Err(fatal(DOMAIN, "Trying to re-add a failed file? Something is broken..."));
        }
        if self.depids.contains_key(&id) {
            return Ok(());
        }
        self.add_extra_deps(id, set, host)?;
        let recipe = set.recipe(id);
        let info = recipe.info.clone();
        let deps = &info.task_deps;
        let known: FxHashSet<&str> = deps.tasks.iter().map(|task| &**task).collect();
        for name in &deps.tasks {
            let mut entry = TaskEntry { recipe: id, name: name.clone(), parents: Vec::new(), idepends: Vec::new(), irdepends: Vec::new() };
            for parent in deps.parents.get(name).into_iter().flatten() {
                if known.contains(&**parent) {
                    entry.parents.push(parent.clone());
                } else {
                    log(level::DEBUG2, "", format!("Not adding dependency of {name} on {parent} since {parent} does not exist"));
                }
            }
            entry.idepends = self.inter_task(&info.mcfn, deps, name, "depends")?;
            for (item, _) in &entry.idepends {
                self.build_targets.entry(item.clone()).or_default();
            }
            entry.irdepends = self.inter_task(&info.mcfn, deps, name, "rdepends")?;
            for (item, _) in &entry.irdepends {
                self.run_targets.entry(item.clone()).or_default();
            }
            if let Some(text) = deps.flags.get("mcdepends").and_then(|table| table.get(name)) {
                for dep in hz_versions::words(text) {
                    if dep.split(':').count() != 5 {
                        return Err(fatal(DOMAIN, format!(
                            "Error for {}:{name}[mcdepends], multiconfig dependency {dep} does not contain exactly four  ':' characters.\n Task 'mcdepends' should be specified in the form 'mc:fromMC:toMC:packagename:task'",
                            info.mcfn
                        )));
                    }
                    self.mcdepends.insert(dep.into());
                }
            }
            self.task_index.insert((id, name.clone()), self.tasks.len() as u32);
            self.tasks.push(entry);
        }
        let unique = |list: &mut dyn Iterator<Item = &Str>| list.cloned().collect::<IndexSet<Str, FxBuildHasher>>().into_iter().collect::<Vec<_>>();
        let needs = recipe.needs();
        let depids = unique(&mut needs.deps.iter());
        let rdepids = unique(&mut needs.rundeps.values().flatten().chain(needs.runrecs.values().flatten()));
        self.depids.insert(id, depids.clone());
        self.rdepids.insert(id, rdepids.clone());
        for dep in depids {
            let failed = self.failed_deps.contains(&dep);
            self.build_targets.entry(dep).or_default();
            if failed {
                return self.fail_recipe(id, &[], set);
            }
        }
        for dep in rdepids {
            let failed = self.failed_rdeps.contains(&dep);
            self.run_targets.entry(dep).or_default();
            if failed {
                return self.fail_recipe(id, &[], set);
            }
        }
        Ok(())
    }

    /// The `item:task` pairs of flag `flag` of a task.
    fn inter_task(&self, mcfn: &str, deps: &hz_cache::TaskDeps, task: &str, flag: &str) -> Result<Vec<(Str, Str)>> {
        let Some(text) = deps.flags.get(flag).and_then(|table| table.get(task)) else { return Ok(Vec::new()) };
        hz_versions::words(text)
            .map(|dep| match dep.split_once(':') {
                Some((item, name)) if !name.contains(':') => Ok((item.into(), name.into())),
                _ => Err(fatal(DOMAIN, format!(
                    "Error for {mcfn}:{task}[{flag}], dependency {dep} in '{text}' does not contain exactly one ':' character.\n Task '{flag}' should be specified in the form 'packagename:task'"
                ))),
            })
            .collect()
    }

    fn add_extra_deps(&mut self, id: RecipeId, set: &mut RecipeSet, host: &mut dyn Host) -> Result<()> {
        let info = set.recipe(id).info.clone();
        if info.extradepsfunc.is_empty() {
            return Ok(());
        }
        let world_target = set.world_targets(None);
        let request = ExtraDepends {
            code: &info.extradepsfunc,
            function: format!("_{}_calculate_extra_depends", info.pn.replace('-', "_")),
            deps: set.recipe(id).needs().deps.clone(),
            world_target,
            set,
            self_pn: &info.pn,
        };
        let deps = host.extra_depends(&request)?;
        set.recipes[id.0 as usize].set_deps(deps);
        Ok(())
    }

    /// Recipes that need `item`, as the files messages name.
    fn dependees(table: &IndexMap<RecipeId, Vec<Str>, FxBuildHasher>, item: &str) -> Vec<RecipeId> {
        table.iter().filter(|(_, items)| items.iter().any(|i| &**i == item)).map(|(id, _)| *id).collect()
    }

    fn reasons(set: &RecipeSet, item: &str, runtime: bool) -> Vec<String> {
        let has = |list: &[Str]| list.iter().any(|i| &**i == item);
        set.skipped
            .iter()
            .filter_map(|skip| {
                if &*skip.pn == item {
                    Some(format!("{} was skipped: {}", skip.pn, skip.reason))
                } else if runtime && has(&skip.rprovides) {
                    Some(format!("{} RPROVIDES {item} but was skipped: {}", skip.pn, skip.reason))
                } else if !runtime && has(&skip.provides) {
                    Some(format!("{} PROVIDES {item} but was skipped: {}", skip.pn, skip.reason))
                } else {
                    None
                }
            })
            .collect()
    }

    /// Tells that nothing provides `item`; gives the error to return.
    fn no_provider(&self, set: &RecipeSet, item: &str, runtime: bool, reasons: Vec<String>, close_matches: Vec<String>, host: &mut dyn Host) -> GraphError {
        let dependees = Self::dependees(if runtime { &self.rdepids } else { &self.depids }, item);
        let dependees = dependees.into_iter().map(|id| set.mcfn(id).to_string()).collect();
        let event = Event::NoProvider { item: item.to_owned(), runtime, dependees, reasons, close_matches };
        if let Err(error) = host.fire(&set.mc, event) {
            return error;
        }
        if runtime { GraphError::NoRuntimeProvider(item.to_owned()) } else { GraphError::NoProvider(item.to_owned()) }
    }

    /// Adds a requested item. Without `-k`, none to provide it is an error.
    pub fn add_provider(&mut self, config: &dyn Config, set: &mut RecipeSet, item: &str, host: &mut dyn Host) -> Result<()> {
        match self.add_provider_internal(config, set, item, host) {
            Err(GraphError::NoProvider(_)) if !self.halt => self.remove_build_target(item, &[], set)?,
            other => other?,
        }
        self.external_targets.insert(item.into());
        Ok(())
    }

    fn add_provider_internal(&mut self, config: &dyn Config, set: &mut RecipeSet, item: &str, host: &mut dyn Host) -> Result<()> {
        if set.ignored.matches(item) {
            return Ok(());
        }
        let Some(all) = set.providers.get(item) else {
            let known = set.providers.keys().map(|name| &**name).chain(set.skipped.iter().map(|skip| &*skip.pn));
            let mut close = close_matches(item, known, 0.7);
            for id in set.runtime_providers(item) {
                let text = format!("{} RPROVIDES {item}", set.pn(id));
                if !close.contains(&text) {
                    close.push(text);
                }
            }
            return Err(self.no_provider(set, item, false, Self::reasons(set, item, false), close, host));
        };
        if self.provider(item).is_some() {
            return Ok(());
        }
        let (mut eligible, unique) = providers::filter_providers(all, item, config, set)?;
        eligible.retain(|id| !self.failed_recipes.contains(id));
        if eligible.is_empty() {
            return Err(self.no_provider(set, item, false, vec![format!("No eligible PROVIDERs exist for '{item}'")], Vec::new(), host));
        }
        if eligible.len() > 1 && !unique {
            self.tell_multiple(set, item, &eligible, false, host)?;
        }
        for id in eligible {
            if self.failed_recipes.contains(&id) {
                continue;
            }
            let list = self.build_targets.entry(item.into()).or_default();
            if !list.contains(&id) {
                list.push(id);
            }
            self.add_tasks(id, set, host)?;
        }
        Ok(())
    }

    fn tell_multiple(&mut self, set: &RecipeSet, item: &str, candidates: &[RecipeId], runtime: bool, host: &mut dyn Host) -> Result<()> {
        if !self.considered.insert(item.into()) {
            return Ok(());
        }
        let candidates = candidates.iter().map(|id| set.pn(*id).to_string()).collect();
        host.fire(&set.mc, Event::MultipleProviders { item: item.to_owned(), candidates, runtime })
    }

    fn add_runtime_provider(&mut self, config: &dyn Config, set: &mut RecipeSet, item: &str, host: &mut dyn Host) -> Result<()> {
        if set.ignored.matches(item) || self.runtime_provider(item).is_some() {
            return Ok(());
        }
        let all = set.runtime_providers(item);
        if all.is_empty() {
            return Err(self.no_provider(set, item, true, Self::reasons(set, item, true), Vec::new(), host));
        }
        let (mut eligible, preferred) = providers::filter_runtime_providers(&all, item, config, set)?;
        eligible.retain(|id| !self.failed_recipes.contains(id));
        if eligible.is_empty() {
            return Err(self.no_provider(set, item, true, vec![format!("No eligible RPROVIDERs exist for '{item}'")], Vec::new(), host));
        }
        if (eligible.len() > 1 && preferred == 0) || preferred > 1 {
            self.tell_multiple(set, item, &eligible, true, host)?;
        }
        if preferred > 1 {
            return Err(GraphError::MultipleRuntimeProviders(item.to_owned()));
        }
        for id in eligible {
            if self.failed_recipes.contains(&id) {
                continue;
            }
            let list = self.run_targets.entry(item.into()).or_default();
            if !list.contains(&id) {
                list.push(id);
            }
            self.add_tasks(id, set, host)?;
        }
        Ok(())
    }

    /// Takes a recipe out that cannot be built, and all that needs it.
    fn fail_recipe(&mut self, id: RecipeId, missing: &[Str], set: &RecipeSet) -> Result<()> {
        if !self.failed_recipes.insert(id) {
            return Ok(());
        }
        log(level::DEBUG, DOMAIN, format!("File '{}' is unbuildable, removing...", set.mcfn(id)));
        for index in 0..self.build_targets.len() {
            let list = &mut self.build_targets[index];
            if let Some(at) = list.iter().position(|other| *other == id) {
                list.remove(at);
                if list.is_empty() {
                    let item = self.build_targets.get_index(index).map(|(item, _)| item.clone()).unwrap_or_default();
                    self.remove_build_target(&item, missing, set)?;
                }
            }
        }
        for index in 0..self.run_targets.len() {
            let list = &mut self.run_targets[index];
            if let Some(at) = list.iter().position(|other| *other == id) {
                list.remove(at);
                if list.is_empty() {
                    let item = self.run_targets.get_index(index).map(|(item, _)| item.clone()).unwrap_or_default();
                    self.remove_run_target(&item, missing, set)?;
                }
            }
        }
        Ok(())
    }

    fn chain(item: &str, missing: &[Str]) -> (Vec<Str>, String) {
        let chain: Vec<Str> = std::iter::once(Str::from(item)).chain(missing.iter().cloned()).collect();
        let text = format!("[{}]", chain.iter().map(|i| python_repr(i)).collect::<Vec<_>>().join(", "));
        (chain, text)
    }

    fn remove_build_target(&mut self, item: &str, missing: &[Str], set: &RecipeSet) -> Result<()> {
        let (missing, shown) = Self::chain(item, missing);
        log(level::VERBOSE, DOMAIN, format!("Target '{item}' is unbuildable, removing...\nMissing or unbuildable dependency chain was: {shown}"));
        self.failed_deps.insert(item.into());
        for id in Self::dependees(&self.depids, item) {
            self.fail_recipe(id, &missing, set)?;
        }
        let users: Vec<RecipeId> = self.tasks.iter().filter(|t| t.idepends.iter().any(|(i, _)| &**i == item)).map(|t| t.recipe).collect();
        for id in users {
            self.fail_recipe(id, &missing, set)?;
        }
        if self.halt && self.external_targets.contains(item) {
            log(level::ERROR, DOMAIN, format!("Required build target '{item}' has no buildable providers.\nMissing or unbuildable dependency chain was: {shown}"));
            return Err(GraphError::NoProvider(item.to_owned()));
        }
        Ok(())
    }

    fn remove_run_target(&mut self, item: &str, missing: &[Str], set: &RecipeSet) -> Result<()> {
        let (missing, shown) = Self::chain(item, missing);
        log(level::NOTE, DOMAIN, format!("Runtime target '{item}' is unbuildable, removing...\nMissing or unbuildable dependency chain was: {shown}"));
        self.failed_rdeps.insert(item.into());
        for id in Self::dependees(&self.rdepids, item) {
            self.fail_recipe(id, &missing, set)?;
        }
        let users: Vec<RecipeId> = self.tasks.iter().filter(|t| t.irdepends.iter().any(|(i, _)| &**i == item)).map(|t| t.recipe).collect();
        for id in users {
            self.fail_recipe(id, &missing, set)?;
        }
        Ok(())
    }

    /// Resolves whatever items are known but have no provider, until nothing is left to resolve.
    pub fn add_unresolved(&mut self, config: &dyn Config, set: &mut RecipeSet, host: &mut dyn Host) -> Result<()> {
        log(level::NOTE, DOMAIN, "Resolving any missing task queue dependencies");
        // What is assumed to be provided never gets a provider: remember it rather than match it
        // against every expression in every round.
        let mut assumed: FxHashSet<Str> = FxHashSet::default();
        let mut open = |targets: &Table<Vec<RecipeId>>, failed: &FxHashSet<Str>, set: &RecipeSet| -> Vec<Str> {
            let unresolved = targets.iter().filter(|(item, list)| list.is_empty() && !failed.contains(*item)).map(|(item, _)| item.clone());
            unresolved.filter(|item| !assumed.contains(item) && (!set.ignored.matches(item) || { assumed.insert(item.clone()); false })).collect()
        };
        loop {
            let mut added = 0;
            for item in open(&self.build_targets, &self.failed_deps, set) {
                match self.add_provider_internal(config, set, &item, host) {
                    Ok(()) => added += 1,
                    Err(GraphError::NoProvider(name)) => {
                        if self.halt && self.external_targets.contains(&item) && !self.allow_incomplete {
                            return Err(GraphError::NoProvider(name));
                        }
                        if !self.allow_incomplete {
                            self.remove_build_target(&item, &[], set)?;
                        }
                    }
                    Err(other) => return Err(other),
                }
            }
            for item in open(&self.run_targets, &self.failed_rdeps, set) {
                match self.add_runtime_provider(config, set, &item, host) {
                    Ok(()) => added += 1,
                    Err(GraphError::NoRuntimeProvider(_) | GraphError::MultipleRuntimeProviders(_)) => self.remove_run_target(&item, &[], set)?,
                    Err(other) => return Err(other),
                }
            }
            log(level::DEBUG, DOMAIN, format!("Resolved {added} extra dependencies"));
            if added == 0 {
                return Ok(());
            }
        }
    }
}
