//! Checks of a finished graph: loops, two recipes for one item; and the weights of tasks.

use crate::taskgraph::{DOMAIN, TaskGraph, TaskId, split_tid};
use crate::weight::Weight;
use crate::{Config, Result, fatal};
use hz_data::python_repr;
use hz_diagnostics::Str;
use hz_events::{level, log};
use indexmap::{IndexMap, IndexSet};
use rustc_hash::{FxHashMap, FxHashSet};

/// Loops shown at most.
const MAX_LOOPS: usize = 10;

impl TaskGraph {
    /// Fills in reverse edges and weights; a loop is an error.
    pub(crate) fn link(&mut self) -> Result<()> {
        for id in 0..self.tasks.len() {
            for at in 0..self.tasks[id].depends.len() {
                let dep = self.tasks[id].depends[at];
                self.tasks[dep as usize].revdeps.push(id as TaskId);
            }
        }
        let mut ends = Vec::new();
        for (id, task) in self.tasks.iter().enumerate() {
            if task.revdeps.is_empty() {
                ends.push(id);
            }
            if let Some(dep) = task.revdeps.iter().find(|dep| task.depends.binary_search(dep).is_ok()) {
                return Err(fatal(DOMAIN, format!("Task {} has circular dependency on {}", task.tid, self.task(*dep).tid)));
            }
        }
        log(level::VERBOSE, DOMAIN, "Assign Weightings");
        log(level::VERBOSE, DOMAIN, format!("Compute totals (have {} endpoint(s))", ends.len()));
        self.weigh(ends)
    }

    /// An end of the graph weighs 10, any other task 1 more than all tasks that wait for it.
    fn weigh(&mut self, ends: Vec<usize>) -> Result<()> {
        let mut weights = vec![Weight::new(1); self.tasks.len()];
        let mut left: Vec<usize> = self.tasks.iter().map(|task| task.revdeps.len()).collect();
        ends.iter().for_each(|id| weights[*id] = Weight::new(10));
        let mut todo = ends;
        let mut done = 0;
        while let Some(id) = todo.pop() {
            done += 1;
            let weight = weights[id].clone();
            for dep in &self.tasks[id].depends {
                let dep = *dep as usize;
                weights[dep].add(&weight);
                left[dep] -= 1;
                if left[dep] == 0 {
                    todo.push(dep);
                }
            }
        }
        if done < self.tasks.len() {
            let problems: Vec<TaskId> = (0..self.tasks.len()).filter(|id| left[*id] > 0).map(|id| id as TaskId).collect();
            log(level::ERROR, DOMAIN, format!(
                "{} unbuildable tasks were found.\nThese are usually caused by circular dependencies and any circular dependency chains found will be printed below. Increase the debug level to see a list of unbuildable tasks.\n\nIdentifying dependency loops (this may take a short while)...\n",
                problems.len()
            ));
            return Err(fatal(DOMAIN, format!("\n{}", self.describe_loops(&problems))));
        }
        let mut order: Vec<usize> = (0..weights.len()).collect();
        order.sort_by(|a, b| weights[*a].cmp(&weights[*b]));
        let mut place = 0;
        for (at, id) in order.iter().enumerate() {
            if at > 0 && weights[order[at - 1]] != weights[*id] {
                place += 1;
            }
            self.tasks[*id].weight = place;
        }
        Ok(())
    }

    /// The loops among `problems`, each once, with what their tasks depend on.
    fn describe_loops(&self, problems: &[TaskId]) -> String {
        let mut finder = LoopFinder { graph: self, loops: Vec::new(), explored: FxHashMap::default(), text: String::new() };
        for id in problems {
            if finder.search(*id).is_err() {
                break;
            }
        }
        finder.text
    }

    /// Two recipes of this build that provide the same item: an error message, and the end when
    /// they are versions of one recipe.
    pub(crate) fn check_providers(&self, config: &dyn Config, note_only: bool) -> Result<()> {
        let allowed = config.get_or_empty("BB_MULTI_PROVIDER_ALLOWED")?;
        let allowed: FxHashSet<&str> = hz_versions::words(&allowed).collect();
        for (mc, set) in self.plan.sets.values().enumerate() {
            let mut providers: IndexMap<&Str, Vec<crate::RecipeId>> = IndexMap::new();
            let mut seen = FxHashSet::default();
            for task in self.tasks.iter().filter(|task| task.mc as usize == mc) {
                if seen.insert(task.recipe) {
                    for item in &set.recipe(task.recipe).provides {
                        providers.entry(item).or_default().push(task.recipe);
                    }
                }
            }
            for (item, recipes) in providers.iter().filter(|(item, recipes)| recipes.len() > 1 && !allowed.contains(&****item)) {
                let mut pns = FxHashSet::default();
                let files = |separator: &str| recipes.iter().map(|id| &**set.mcfn(*id)).collect::<Vec<_>>().join(separator);
                if let Some(pn) = recipes.iter().map(|id| set.pn(*id)).find(|pn| !pns.insert(*pn)) {
                    return Err(fatal("", format!(
                        "Multiple versions of {pn} are due to be built ({}). Only one version of a given PN should be built in any given build. You likely need to set PREFERRED_VERSION_{pn} to select the correct version or don't depend on multiple versions.",
                        files(" ")
                    )));
                }
                let message = format!(
                    "Multiple .bb files are due to be built which each provide {item}:\n  {}{}",
                    files("\n  "),
                    self.compare_providers(mc, recipes)
                );
                log(if note_only { level::VERBNOTE } else { level::ERROR }, DOMAIN, message);
            }
        }
        Ok(())
    }

    /// What tells the given recipes apart: who needs each, and what only it provides.
    fn compare_providers(&self, mc: usize, recipes: &[crate::RecipeId]) -> String {
        let set = &self.plan.sets[mc];
        fn only<'a>(all: &[IndexSet<&'a Str>]) -> Vec<String> {
            // A first set that is empty is replaced by the next, as the reference has it.
            let mut common: IndexSet<&'a Str> = IndexSet::new();
            for one in all {
                if common.is_empty() {
                    common = one.clone();
                } else {
                    common.retain(|name| one.contains(name));
                }
            }
            let join = |one: &IndexSet<&'a Str>| one.iter().filter(|name| !common.contains(*name)).map(|name| &***name).collect::<Vec<_>>().join("\n  ");
            all.iter().map(join).collect()
        }
        let dependees: Vec<IndexSet<&Str>> = recipes
            .iter()
            .map(|id| {
                let own = self.tasks.iter().filter(|task| task.mc as usize == mc && task.recipe == *id);
                let above = own.flat_map(|task| &task.revdeps).map(|dep| self.task(*dep));
                above.filter(|dep| dep.mc as usize != mc || dep.recipe != *id).map(|dep| &dep.tid).collect()
            })
            .collect();
        let provides: Vec<IndexSet<&Str>> = recipes.iter().map(|id| set.recipe(*id).provides.iter().collect()).collect();
        let rprovides: Vec<IndexSet<&Str>> = recipes
            .iter()
            .map(|id| {
                let tables = [&set.rproviders, &set.packages, &set.packages_dynamic];
                tables.into_iter().flatten().filter(|(_, list)| list.contains(id)).map(|(name, _)| name).collect()
            })
            .collect();
        let mut text = String::from("\nA list of tasks depending on these providers is shown and may help explain where the dependency comes from.");
        for (id, unique) in recipes.iter().zip(only(&dependees)) {
            text += &format!("\n{} has unique dependees:\n  {unique}", set.mcfn(*id));
        }
        text += "\nIt could be that one recipe provides something the other doesn't and should. The following provider and runtime provider differences may be helpful.";
        for ((id, unique), runtime) in recipes.iter().zip(only(&provides)).zip(only(&rprovides)) {
            let mcfn = set.mcfn(*id);
            text += &format!("\n{mcfn} has unique provides:\n  {unique}\n{mcfn} has unique rprovides:\n  {runtime}");
        }
        text
    }
}

struct TooMany;

struct LoopFinder<'a> {
    graph: &'a TaskGraph,
    loops: Vec<Vec<TaskId>>,
    /// Task -> everything found above it when it was searched.
    explored: FxHashMap<TaskId, IndexSet<TaskId>>,
    text: String,
}

impl LoopFinder<'_> {
    /// Depth first along reverse edges from `start`. Iterative: chains are as long as builds are deep.
    fn search(&mut self, start: TaskId) -> Result<(), TooMany> {
        struct Frame {
            id: TaskId,
            next: usize,
            total: IndexSet<TaskId>,
            /// The task above at `next` was searched just now.
            searched: bool,
        }
        let graph = self.graph;
        let frame = |id: TaskId| Frame { id, next: 0, total: graph.task(id).revdeps.iter().copied().collect(), searched: false };
        let mut stack = vec![frame(start)];
        while let Some(top) = stack.last() {
            let (id, next, searched) = (top.id, top.next, top.searched);
            let Some(up) = graph.task(id).revdeps.get(next).copied() else {
                if let Some(done) = stack.pop() {
                    self.explored.insert(id, done.total);
                }
                continue;
            };
            if let Some(at) = stack.iter().position(|frame| frame.id == up) {
                let chain: Vec<TaskId> = stack[at..].iter().map(|frame| frame.id).collect();
                self.found(chain)?;
                stack.last_mut().into_iter().for_each(|top| top.next += 1);
                continue;
            }
            let scan = match self.explored.get(&up) {
                None => true,
                Some(above) => above.contains(&up) || stack.iter().any(|frame| above.contains(&frame.id)),
            };
            if scan && !searched {
                if let Some(top) = stack.last_mut() {
                    top.searched = true;
                }
                stack.push(frame(up));
                continue;
            }
            let above: Vec<TaskId> = self.explored.get(&up).into_iter().flatten().copied().collect();
            if let Some(top) = stack.last_mut() {
                top.searched = false;
                top.total.extend(above);
                top.next += 1;
            }
        }
        Ok(())
    }

    /// Notes a loop unless it is known. Loops are told apart after turning the task with the
    /// lowest id to the front.
    fn found(&mut self, mut chain: Vec<TaskId>) -> Result<(), TooMany> {
        let lowest = (0..chain.len()).min_by_key(|at| &self.graph.task(chain[*at]).tid).unwrap_or(0);
        chain.rotate_left(lowest);
        if !self.loops.contains(&chain) {
            self.text += &format!("Dependency loop #{} found:\n", self.loops.len() + 1);
            for id in &chain {
                let task = self.graph.task(*id);
                let names: Vec<String> = task.depends.iter().map(|dep| python_repr(&short_name(&self.graph.task(*dep).tid))).collect();
                self.text += &format!("  Task {} (dependent Tasks [{}])\n", task.tid, names.join(", "));
            }
            self.text += "\n";
            self.loops.push(chain);
        }
        if self.loops.len() > MAX_LOOPS {
            self.text += &format!("Halted dependency loops search after {MAX_LOOPS} matches.\n");
            return Err(TooMany);
        }
        Ok(())
    }
}

/// The last part of a task id's path, as loop messages show it: with a comma in it, what stands
/// between the underscore and each comma is left out.
fn short_name(tid: &str) -> String {
    let (file, _) = split_tid(tid);
    let mut name = &tid[file.rfind('/').map_or(0, |at| at + 1)..];
    let mut out = String::new();
    while let Some(under) = name.find('_') {
        match name[under + 1..].find(',') {
            Some(comma) => {
                out += &name[..under];
                out.push(',');
                name = &name[under + 1 + comma + 1..];
            }
            None => break,
        }
    }
    out + name
}
