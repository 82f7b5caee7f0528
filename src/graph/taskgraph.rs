//! The task graph of a build: which tasks run and after which others.
//!
//! Made in the steps of the reference's run queue preparation: every dependency of every known task
//! becomes an edge, recursive ones are iterated to a fixed point, tasks that nothing requested
//! needs are dropped, and what is left is checked and weighed.

use crate::recursive::{RecursiveTask, resolve};
use crate::targets::with_prefix;
use crate::{BuildPlan, Config, RecipeId, RecipeSet, Result, Target, TaskData, close_matches, fatal, split_mc};
use hz_data::python_repr;
use hz_diagnostics::Str;
use hz_events::{level, log};
use indexmap::{IndexMap, IndexSet};
use rustc_hash::{FxHashMap, FxHashSet};

pub(crate) const DOMAIN: &str = "RunQueue";

/// Position of a task in [`TaskGraph::tasks`].
pub type TaskId = u32;
/// Position of a multiconfig in [`BuildPlan::sets`].
pub type McId = u16;

/// One task that runs.
#[derive(Clone, Debug)]
pub struct Task {
    /// `[mc:NAME:][virtual:VARIANT:]FILE:TASK`.
    pub tid: Str,
    pub mc: McId,
    pub recipe: RecipeId,
    pub name: Str,
    /// Tasks that must be complete before, ascending.
    pub depends: Vec<TaskId>,
    /// Tasks that wait for this one, ascending.
    pub revdeps: Vec<TaskId>,
    /// Place of its weight among all weights: heavier is higher, equal weights are equal.
    pub weight: u32,
    /// A `NAME_setscene` task of the recipe can replace it.
    pub setscene: bool,
}

/// A task whose stamp the user wants invalidated (`-f`, `-C`); done before hashes are computed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalidation {
    pub mc: Str,
    /// With the multiconfig's prefix.
    pub mcfn: Str,
    pub task: Str,
}

/// What the command line says about the graph.
#[derive(Clone, Debug, Default)]
pub struct GraphOptions {
    /// `--runall`, each with or without `do_`.
    pub runall: Vec<String>,
    pub runonly: Vec<String>,
    /// `-f`.
    pub force: bool,
    /// `-C`: tasks separated by commas.
    pub invalidate_stamp: Option<String>,
    /// `--no-setscene`.
    pub nosetscene: bool,
    /// Two recipes for one item are told as a note only (`universe`).
    pub warn_multi_bb: bool,
}

/// The tasks of a build and all that was used to find them.
pub struct TaskGraph {
    pub plan: BuildPlan,
    pub tasks: Vec<Task>,
    by_tid: FxHashMap<Str, TaskId>,
    /// Tasks the user asked for by name; some may be pruned and are not in here.
    pub targets: Vec<TaskId>,
    pub invalidations: Vec<Invalidation>,
}

/// The graph while it is made: tasks of all multiconfigs, before pruning.
pub(crate) struct Draft<'a> {
    plan: &'a BuildPlan,
    /// Where the tasks of each multiconfig start.
    base: Vec<usize>,
    pub tids: Vec<Str>,
    pub mcs: Vec<McId>,
    /// Number of the recipe over all multiconfigs.
    pub recipes: Vec<u32>,
    pub recipe_count: usize,
    pub depends: Vec<Vec<u32>>,
    /// The path of each task's recipe without multiconfig, for what the reference keeps apart by it.
    index: FxHashMap<(u32, &'a str), u32>,
}

impl<'a> Draft<'a> {
    fn set(&self, mc: usize) -> &'a RecipeSet {
        &self.plan.sets[mc]
    }
    fn data(&self, mc: usize) -> &'a TaskData {
        &self.plan.taskdata[mc]
    }
    /// Task `name` of a recipe, by its number over all multiconfigs.
    pub fn task_of(&self, recipe: u32, name: &str) -> Option<u32> {
        self.index.get(&(recipe, name)).copied()
    }
    fn find(&self, mc: usize, recipe: RecipeId, name: &str) -> Option<u32> {
        self.data(mc).find_task(recipe, name).map(|index| (self.base[mc] + index) as u32)
    }

    fn add_dependencies(&self, mc: usize, items: &[Str], runtime: bool, names: &[&str], out: &mut Vec<u32>) {
        let data = self.data(mc);
        for item in items {
            let provider = if runtime { data.runtime_provider(item) } else { data.provider(item) };
            if let Some(recipe) = provider {
                out.extend(names.iter().filter_map(|name| self.find(mc, recipe, name)));
            }
        }
    }

    /// Edges between multiconfigs. Each task with `mcdepends` gets all of its multiconfig's.
    fn add_mc_dependencies(&self, mc: usize, out: &mut Vec<u32>) -> Result<()> {
        let (own, data) = (&self.plan.sets[mc].mc, self.data(mc));
        for dep in &data.mcdepends {
            let parts: Vec<&str> = dep.split(':').collect();
            let [_, from, to, item, name] = parts[..] else { continue };
            let Some(target) = self.plan.taskdata.get_index_of(to) else {
                return Err(fatal("", format!("Multiconfig '{to}' is referenced in multiconfig dependency '{dep}' but not enabled in BBMULTICONFIG?")));
            };
            if **own == *from {
                let provider = self.data(target).provider(item);
                let Some(provider) = provider else {
                    return Err(fatal("", format!("Multiconfig dependency '{dep}': nothing provides '{item}' in multiconfig '{to}'")));
                };
                match self.find(target, provider, name) {
                    Some(task) => out.push(task),
                    None => return Err(fatal("", format!("Task mcdepends on non-existent task {}:{name}", self.set(target).mcfn(provider)))),
                }
            }
        }
        Ok(())
    }

    /// The edges of one task that need no recursion; recursive ones are noted in `recursive`.
    fn edges(&self, mc: usize, index: usize, recursive: &mut IndexMap<u32, RecursiveTask>) -> Result<Vec<u32>> {
        let (set, data) = (self.set(mc), self.data(mc));
        let entry = &data.tasks[index];
        let id = (self.base[mc] + index) as u32;
        let info = &set.recipe(entry.recipe).info;
        let path = split_mc(&info.mcfn).1;
        let flag = |flag: &str| info.task_deps.flags.get(flag).and_then(|table| table.get(&entry.name)).map(|text| &**text);
        let mut out = Vec::new();
        // The reference looks for the bare path here, so this holds for the default one only.
        if set.mc.is_empty() && data.failed_recipes.contains(&entry.recipe) {
            return Ok(out);
        }
        out.extend(entry.parents.iter().filter_map(|parent| self.find(mc, entry.recipe, parent)));
        if flag("mcdepends").is_some() {
            self.add_mc_dependencies(mc, &mut out)?;
        }
        let names_of = |text: &'a str| hz_versions::words(text).collect::<Vec<_>>();
        let (depids, rdepids) = (&data.depids[&entry.recipe], &data.rdepids[&entry.recipe]);
        if let Some(text) = flag("deptask") {
            self.add_dependencies(mc, depids, false, &names_of(text), &mut out);
        }
        if let Some(text) = flag("rdeptask") {
            self.add_dependencies(mc, rdepids, true, &names_of(text), &mut out);
        }
        for (item, name) in &entry.idepends {
            if data.failed_deps.contains(item) {
                continue;
            }
            if let Some(provider) = data.provider(item) {
                out.push(self.find(mc, provider, name).ok_or_else(|| {
                    fatal(DOMAIN, format!("Task {} in {path} depends upon non-existent task {name} in {}", entry.name, set.mcfn(provider)))
                })?);
            }
        }
        for (item, name) in &entry.irdepends {
            if let Some(provider) = data.runtime_provider(item) {
                out.push(self.find(mc, provider, name).ok_or_else(|| {
                    fatal(DOMAIN, format!("Task {} in {path} rdepends upon non-existent task {name} in {}", entry.name, set.mcfn(provider)))
                })?);
            }
        }
        if let Some(text) = flag("recrdeptask") {
            let names = names_of(text);
            self.add_dependencies(mc, depids, false, &names, &mut out);
            self.add_dependencies(mc, rdepids, true, &names, &mut out);
            let also = flag("recideptask").map(names_of).unwrap_or_default();
            recursive.insert(id, RecursiveTask {
                refers_to_itself: names.contains(&&*entry.name),
                names: names.into_iter().map(Str::from).collect(),
                also: also.into_iter().filter_map(|name| self.find(mc, entry.recipe, name)).collect(),
            });
        }
        out.sort_unstable();
        out.dedup();
        out.retain(|dep| *dep != id);
        Ok(out)
    }

    /// Marks `start` and everything it depends on.
    fn mark(&self, start: u32, active: &mut [bool]) {
        let mut todo = vec![start];
        while let Some(id) = todo.pop() {
            if !std::mem::replace(&mut active[id as usize], true) {
                todo.extend(&self.depends[id as usize]);
            }
        }
    }

    /// Notes that a task's stamp is to be invalidated. A `nostamp` task has none: an error with
    /// `strict`.
    fn invalidate(&self, mc: usize, mcfn: &str, name: &str, strict: bool, out: &mut Vec<Invalidation>) -> Result<()> {
        let set = self.set(mc);
        let path = split_mc(mcfn).1;
        let recipe = set.find(mcfn);
        // Looked up by the bare path, as everywhere in the reference's messages of this step.
        let exists = set.mc.is_empty() && recipe.is_some_and(|recipe| self.data(mc).find_task(recipe, name).is_some());
        if !exists {
            log(level::WARNING, DOMAIN, format!("Task {name} does not exist, invalidating this task will have no effect"));
        }
        let nostamp = recipe.is_some_and(|id| set.recipe(id).info.task_deps.flags.get("nostamp").is_some_and(|table| table.contains_key(name)));
        if nostamp {
            let message = format!("Task {name} is marked nostamp, cannot invalidate this task");
            if strict {
                return Err(fatal("", message));
            }
            log(level::DEBUG, "", message);
            return Ok(());
        }
        log(level::VERBOSE, DOMAIN, format!("Invalidate task {name}, {path}"));
        let entry = Invalidation { mc: set.mc.clone(), mcfn: mcfn.into(), task: name.into() };
        if !out.contains(&entry) {
            out.push(entry);
        }
        Ok(())
    }
}

impl TaskGraph {
    /// Makes the graph of `plan`. None: there is nothing to do at all. `config` is that of the
    /// default multiconfig (BB_MULTI_PROVIDER_ALLOWED).
    pub fn build(plan: BuildPlan, config: &dyn Config, options: &GraphOptions) -> Result<Option<TaskGraph>> {
        if plan.taskdata.values().all(|data| data.tasks.is_empty()) {
            return Ok(None);
        }
        let mut graph = Self::assemble(plan, options)?;
        graph.link()?;
        graph.check_providers(config, options.warn_multi_bb)?;
        for id in 0..graph.tasks.len() {
            let task = &graph.tasks[id];
            let variant = !options.nosetscene && graph.has_setscene(task);
            graph.tasks[id].setscene = variant;
        }
        for (mc, data) in &graph.plan.taskdata {
            let set = &graph.plan.sets[mc];
            for (item, recipe) in data.provider_map("virtual/") {
                log(level::DEBUG2, "", format!("{item} resolved to: {} ({})", set.pn(recipe), set.mcfn(recipe)));
            }
        }
        Ok(Some(graph))
    }

    fn has_setscene(&self, task: &Task) -> bool {
        self.plan.taskdata[task.mc as usize].find_task(task.recipe, &format!("{}_setscene", task.name)).is_some()
    }

    /// Edges, recursion and pruning.
    fn assemble(plan: BuildPlan, options: &GraphOptions) -> Result<TaskGraph> {
        let mut draft = Draft {
            plan: &plan,
            base: Vec::new(),
            tids: Vec::new(),
            mcs: Vec::new(),
            recipes: Vec::new(),
            recipe_count: 0,
            depends: Vec::new(),
            index: FxHashMap::default(),
        };
        for (mc, (set, data)) in plan.sets.values().zip(plan.taskdata.values()).enumerate() {
            draft.base.push(draft.tids.len());
            for entry in &data.tasks {
                let recipe = draft.recipe_count as u32 + entry.recipe.0;
                draft.index.insert((recipe, &entry.name), draft.tids.len() as u32);
                draft.tids.push(format!("{}:{}", set.mcfn(entry.recipe), entry.name).into());
                draft.mcs.push(mc as McId);
                draft.recipes.push(recipe);
            }
            draft.recipe_count += set.recipes.len();
        }
        let mut recursive: IndexMap<u32, RecursiveTask> = IndexMap::new();
        for (mc, data) in plan.taskdata.values().enumerate() {
            for index in 0..data.tasks.len() {
                let edges = draft.edges(mc, index, &mut recursive)?;
                draft.depends.push(edges);
            }
        }
        resolve(&mut draft, &recursive);

        log(level::VERBOSE, DOMAIN, "Marking Active Tasks");
        let count = draft.tids.len();
        let mut active = vec![false; count];
        let mut invalidations = Vec::new();
        let mut targets: Vec<u32> = Vec::new();
        for target in &plan.targets {
            Self::mark_target(&draft, target, &mut active, &mut targets)?;
        }
        // The target list as it is forced and invalidated later: requested tasks, then runall's.
        if !options.runall.is_empty() {
            Self::apply_runall(&draft, options, &mut active, &mut targets, &mut invalidations)?;
            if !active.contains(&true) {
                let wanted = list_text(&options.runall);
                return Err(fatal(DOMAIN, format!(
                    "Could not find any tasks with the tasknames {wanted} to run within the recipes of the taskgraphs of the targets {}",
                    targets_text(&plan)
                )));
            }
        }
        if !options.runonly.is_empty() {
            let known = std::mem::replace(&mut active, vec![false; count]);
            for name in &options.runonly {
                let name = with_prefix(name);
                for id in (0..count).filter(|id| known[*id] && task_name(&draft.tids[*id]) == name) {
                    draft.mark(id as u32, &mut active);
                    if options.force {
                        let (mcfn, name) = split_tid(&draft.tids[id]);
                        draft.invalidate(draft.mcs[id] as usize, mcfn, name, false, &mut invalidations)?;
                    }
                }
            }
            if !active.contains(&true) {
                let wanted = list_text(&options.runonly);
                return Err(fatal(DOMAIN, format!(
                    "Could not find any tasks with the tasknames {wanted} to run within the taskgraphs of the targets {}",
                    targets_text(&plan)
                )));
            }
        }
        let left = active.iter().filter(|active| **active).count();
        if left == 0 {
            let halt = plan.taskdata.first().is_none_or(|(_, data)| data.halt);
            return Err(fatal(DOMAIN, if halt {
                "No active tasks and not in --continue mode?! Please report this bug."
            } else {
                "All buildable tasks have been run but the build is incomplete (--continue mode). Errors for the tasks that failed will have been printed above."
            }));
        }
        log(level::VERBOSE, DOMAIN, format!("Pruned {} inactive tasks, {left} left", count - left));

        if options.force {
            for id in &targets {
                let (mcfn, name) = split_tid(&draft.tids[*id as usize]);
                draft.invalidate(draft.mcs[*id as usize] as usize, mcfn, name, false, &mut invalidations)?;
            }
        }
        if let Some(names) = options.invalidate_stamp.as_deref().filter(|names| !names.is_empty()) {
            for id in &targets {
                for name in names.split(',') {
                    let mcfn = split_tid(&draft.tids[*id as usize]).0;
                    draft.invalidate(draft.mcs[*id as usize] as usize, mcfn, &with_prefix(name), true, &mut invalidations)?;
                }
            }
        }

        // What is left gets new, dense numbers in the old order.
        let mut number = vec![u32::MAX; count];
        for (new, old) in (0..count).filter(|id| active[*id]).enumerate() {
            number[old] = new as u32;
        }
        let mut tasks = Vec::with_capacity(left);
        let mut by_tid = FxHashMap::default();
        let depends = std::mem::take(&mut draft.depends);
        for (old, edges) in depends.into_iter().enumerate().filter(|(old, _)| active[*old]) {
            let mc = draft.mcs[old];
            let entry = &plan.taskdata[mc as usize].tasks[old - draft.base[mc as usize]];
            by_tid.insert(draft.tids[old].clone(), tasks.len() as TaskId);
            tasks.push(Task {
                tid: draft.tids[old].clone(),
                mc,
                recipe: entry.recipe,
                name: entry.name.clone(),
                depends: edges.into_iter().map(|dep| number[dep as usize]).collect(),
                revdeps: Vec::new(),
                weight: 0,
                setscene: false,
            });
        }
        let mut seen = FxHashSet::default();
        let targets = targets.into_iter().map(|old| number[old as usize]).filter(|id| *id != u32::MAX && seen.insert(*id)).collect();
        Ok(TaskGraph { plan, tasks, by_tid, targets, invalidations })
    }

    fn mark_target(draft: &Draft, target: &Target, active: &mut [bool], targets: &mut Vec<u32>) -> Result<()> {
        let mc = draft.plan.sets.get_index_of(&target.mc).unwrap_or_default();
        let (set, data) = (draft.set(mc), draft.data(mc));
        if data.provider(&target.item).is_none() || data.failed_deps.contains(&target.item) || data.failed_recipes.contains(&target.recipe) {
            return Ok(());
        }
        let (name, parents) = match target.task.strip_suffix('-') {
            Some(name) => (name, true),
            None => (&*target.task, false),
        };
        let Some(id) = draft.find(mc, target.recipe, name) else {
            let mcfn = set.mcfn(target.recipe);
            let known = data.tasks.iter().filter(|entry| entry.recipe == target.recipe).map(|entry| &*entry.name);
            let close = close_matches(name, known, 0.7);
            let extra = if close.is_empty() { String::new() } else { format!(". Close matches:\n  {}", close.join("\n  ")) };
            return Err(fatal(DOMAIN, format!("Task {name} does not exist for target {} ({mcfn}:{name}){extra}", target.item)));
        };
        targets.push(id);
        if parents {
            for dep in &draft.depends[id as usize] {
                draft.mark(*dep, active);
            }
        } else {
            draft.mark(id, active);
        }
        Ok(())
    }

    /// `--runall`: the named tasks of every recipe in the graph, and of those these bring in.
    fn apply_runall(
        draft: &Draft,
        options: &GraphOptions,
        active: &mut Vec<bool>,
        targets: &mut Vec<u32>,
        invalidations: &mut Vec<Invalidation>,
    ) -> Result<()> {
        let mut wanted: IndexSet<u32> = IndexSet::new();
        loop {
            let count = active.len();
            let known = std::mem::replace(active, vec![false; count]);
            let before = std::mem::take(&mut wanted);
            for name in &options.runall {
                let name = with_prefix(name);
                wanted.extend((0..count).filter(|id| known[*id]).filter_map(|id| draft.task_of(draft.recipes[id], &name)));
                for id in &wanted {
                    draft.mark(*id, active);
                    targets.push(*id);
                    if options.force {
                        let (mcfn, name) = split_tid(&draft.tids[*id as usize]);
                        draft.invalidate(draft.mcs[*id as usize] as usize, mcfn, name, false, invalidations)?;
                    }
                }
            }
            if wanted.iter().all(|id| before.contains(id)) {
                return Ok(());
            }
        }
    }

    pub fn find(&self, tid: &str) -> Option<TaskId> {
        self.by_tid.get(tid).copied()
    }
    pub fn task(&self, id: TaskId) -> &Task {
        &self.tasks[id as usize]
    }
    /// The recipes of a task's multiconfig.
    pub fn set(&self, id: TaskId) -> &RecipeSet {
        &self.plan.sets[self.task(id).mc as usize]
    }
    pub fn info(&self, id: TaskId) -> &hz_cache::Recipe {
        &self.set(id).recipe(self.task(id).recipe).info
    }
    pub fn mcfn(&self, id: TaskId) -> &Str {
        &self.info(id).mcfn
    }
    pub fn mc(&self, id: TaskId) -> &Str {
        &self.set(id).mc
    }
    pub fn pn(&self, id: TaskId) -> &Str {
        &self.info(id).pn
    }
    /// Has the task flag `flag` (`nostamp`, `noexec`, `fakeroot`, …)?
    pub fn has_flag(&self, id: TaskId, flag: &str) -> bool {
        self.info(id).task_deps.flags.get(flag).is_some_and(|table| table.contains_key(&self.task(id).name))
    }

    /// Tasks that the `[depends]` of a task's setscene variant names, each with the recipe and
    /// task text of the entry; None instead of a number for a task that does not run.
    pub fn setscene_depends(&self, id: TaskId) -> Vec<(Option<TaskId>, Str, Str)> {
        let task = self.task(id);
        let data = &self.plan.taskdata[task.mc as usize];
        let Some(index) = data.find_task(task.recipe, &format!("{}_setscene", task.name)) else { return Vec::new() };
        let used = data.tasks[index].idepends.iter().filter_map(|(item, name)| Some((data.provider(item)?, name)));
        used.map(|(recipe, name)| {
            let mcfn = self.set(id).mcfn(recipe).clone();
            (self.find(&format!("{mcfn}:{}", name.replace("_setscene", ""))), mcfn, name.clone())
        })
        .collect()
    }
}

/// `FILE` and `TASK` of a task id.
pub(crate) fn split_tid(tid: &str) -> (&str, &str) {
    tid.rsplit_once(':').unwrap_or((tid, ""))
}
fn task_name(tid: &str) -> &str {
    split_tid(tid).1
}
fn list_text(names: &[String]) -> String {
    format!("[{}]", names.iter().map(|name| python_repr(name)).collect::<Vec<_>>().join(", "))
}
fn targets_text(plan: &BuildPlan) -> String {
    let one = |t: &Target| list_text(&[t.mc.to_string(), t.item.to_string(), t.task.to_string(), plan.sets[&t.mc].mcfn(t.recipe).to_string()]);
    format!("[{}]", plan.targets.iter().map(one).collect::<Vec<_>>().join(", "))
}
