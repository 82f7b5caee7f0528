//! The graph with its hashes: what the run queue decides on, and what a task may see of it.

use crate::interface::{Hooks, Signatures, TaskSpec};
use hz_diagnostics::Str;
use crate::{PROGRESS, progress};
use hz_events::{Event, emit, level, log};
use hz_graph::{BuildPlan, Config, GraphOptions, Result, TaskGraph, TaskId, split_mc};
use rustc_hash::FxHashSet;
use std::time::{Duration, Instant};

/// The tasks of a build and their hashes. Vectors are indexed by task.
pub struct Work {
    pub graph: TaskGraph,
    pub hash: Vec<Str>,
    pub unihash: Vec<Str>,
    /// What `prep_taskhash` gave.
    pub taskhash_deps: Vec<Vec<Str>>,
    /// Place of each task in the order of tids.
    pub rank: Vec<u32>,
    /// Tasks in the order of tids.
    pub by_rank: Vec<TaskId>,
}

/// Told after each layer of tasks that was hashed how many there are; the others have no hash yet.
pub(crate) type Watch<'a> = &'a mut dyn FnMut(&Work, &mut dyn Signatures, usize);

/// One entry of BB_TASKDEPDATA (`bb.TaskData`).
#[derive(Clone, Debug)]
pub struct TaskDep {
    pub task: TaskId,
    pub tid: Str,
    pub pn: Str,
    pub taskname: Str,
    /// Without the multiconfig's prefix.
    pub file: Str,
    pub deps: Vec<Str>,
    pub provides: Vec<Str>,
    pub taskhash: Str,
    pub unihash: Str,
    pub hashfn: Str,
    pub taskhash_deps: Vec<Str>,
}

/// The tasks of a graph, those first that depend on none, then what depends on those alone, and so on.
pub fn layers(graph: &TaskGraph) -> impl Iterator<Item = Vec<TaskId>> {
    let mut open: Vec<usize> = graph.tasks.iter().map(|task| task.depends.len()).collect();
    let mut layers = Vec::new();
    let mut layer: Vec<TaskId> = (0..open.len() as TaskId).filter(|id| open[*id as usize] == 0).collect();
    while !layer.is_empty() {
        let mut next = Vec::new();
        for above in layer.iter().flat_map(|id| &graph.task(*id).revdeps) {
            open[*above as usize] -= 1;
            if open[*above as usize] == 0 {
                next.push(*above);
            }
        }
        layers.push(std::mem::replace(&mut layer, next));
    }
    layers.into_iter()
}

impl Work {
    /// Makes the graph of `plan` and all hashes. None: there is nothing to do. `config` is the
    /// default multiconfig's; `show`: tell the progress.
    pub(crate) fn prepare(
        plan: BuildPlan,
        config: &dyn Config,
        options: &GraphOptions,
        show: bool,
        sigs: &mut dyn Signatures,
        hooks: &mut dyn Hooks,
        watch: Watch<'_>,
    ) -> Result<Option<Work>> {
        if show {
            emit(Event::ProcessStarted { name: PROGRESS.into(), total: 100 });
        }
        let Some(graph) = TaskGraph::build(plan, config, options)? else { return Ok(None) };
        Work::hashed(graph, show, sigs, hooks, watch).map(Some)
    }

    /// All hashes of a graph that is made already. The progress is not told.
    pub fn of_graph(graph: TaskGraph, sigs: &mut dyn Signatures, hooks: &mut dyn Hooks) -> Result<Work> {
        Work::hashed(graph, false, sigs, hooks, &mut |_, _, _| {})
    }

    fn hashed(graph: TaskGraph, show: bool, sigs: &mut dyn Signatures, hooks: &mut dyn Hooks, watch: Watch<'_>) -> Result<Work> {
        sigs.setup(&graph)?;
        hooks.check_interrupts()?;
        progress(show, 10);
        for entry in &graph.invalidations {
            sigs.invalidate_task(&graph, &entry.mcfn, &entry.task)?;
        }
        for (mc, data) in &graph.plan.taskdata {
            let set = &graph.plan.sets[mc];
            let items = data.provider_map("virtual/").into_iter();
            let items: Vec<(Str, Str, Str)> = items.map(|(item, id)| (item, set.mcfn(id).clone(), set.pn(id).clone())).collect();
            sigs.tasks_resolved(&graph, mc, &items)?;
        }
        let scenes: Vec<TaskId> = (0..graph.tasks.len() as TaskId).filter(|id| graph.task(*id).setscene).collect();
        sigs.set_setscene_tasks(&graph, &scenes)?;
        progress(show, 15);
        Work::new(graph, sigs, hooks, watch)
    }

    /// Computes all hashes, dependencies first, a layer of the graph at a time so that unihashes
    /// are asked for in bulk.
    fn new(graph: TaskGraph, sigs: &mut dyn Signatures, hooks: &mut dyn Hooks, watch: Watch<'_>) -> Result<Work> {
        let count = graph.tasks.len();
        let mut by_rank: Vec<TaskId> = (0..count as TaskId).collect();
        by_rank.sort_by(|a, b| graph.task(*a).tid.cmp(&graph.task(*b).tid));
        let mut rank = vec![0; count];
        by_rank.iter().enumerate().for_each(|(at, id)| rank[*id as usize] = at as u32);
        let empty: Str = "".into();
        let (hash, unihash) = (vec![empty.clone(); count], vec![empty; count]);
        let mut work = Work { graph, hash, unihash, taskhash_deps: vec![Vec::new(); count], rank, by_rank };

        let (start, mut told, mut done) = (Instant::now(), Instant::now(), 0);
        for layer in layers(&work.graph) {
            for id in &layer {
                let at = *id as usize;
                work.taskhash_deps[at] = sigs.prep_taskhash(&work.graph, *id)?;
                work.hash[at] = sigs.get_taskhash(&work.graph, *id)?;
            }
            let unihashes = sigs.get_unihashes(&work.graph, &layer)?;
            for (id, unihash) in layer.iter().zip(unihashes) {
                work.unihash[*id as usize] = unihash;
            }
            done += layer.len();
            hooks.check_interrupts()?;
            watch(&work, sigs, done);
            if told.elapsed() > Duration::from_secs(30) {
                told = Instant::now();
                let text = format!("Initial setup loop progress: {} of {count} in {}", count - done, start.elapsed().as_secs_f64());
                log(level::VERBOSE, crate::HASHEQUIV, text);
            }
        }
        if start.elapsed() > Duration::from_secs(60) {
            log(level::VERBOSE, crate::HASHEQUIV, format!("Initial setup loop took: {}", start.elapsed().as_secs_f64()));
        }
        sigs.writeout_file_checksum_cache()?;
        Ok(work)
    }

    pub fn tid(&self, id: TaskId) -> &Str {
        &self.graph.task(id).tid
    }
    pub fn taskname(&self, id: TaskId) -> &Str {
        &self.graph.task(id).name
    }
    /// The task's file without its multiconfig's prefix.
    pub fn file(&self, id: TaskId) -> &str {
        split_mc(self.graph.mcfn(id)).1
    }
    /// `ids` in the order of their tids.
    pub(crate) fn sorted(&self, mut ids: Vec<TaskId>) -> Vec<TaskId> {
        ids.sort_by_key(|id| self.rank[*id as usize]);
        ids
    }

    fn entry(&self, id: TaskId, deps: Vec<Str>) -> TaskDep {
        let at = id as usize;
        let recipe = self.graph.set(id).recipe(self.graph.task(id).recipe);
        TaskDep {
            task: id,
            tid: self.tid(id).clone(),
            pn: recipe.info.pn.clone(),
            taskname: self.taskname(id).clone(),
            file: self.file(id).into(),
            deps,
            provides: recipe.provides.clone(),
            taskhash: self.hash[at].clone(),
            unihash: self.unihash[at].clone(),
            hashfn: recipe.info.hashfilename.clone(),
            taskhash_deps: self.taskhash_deps[at].clone(),
        }
    }

    /// BB_TASKDEPDATA of a task: itself and all below it of the same multiconfig; for a setscene
    /// task what its `[depends]` names. Costs as much as the graph is big: made in the task's
    /// process, and only if asked for.
    pub fn taskdepdata(&self, spec: &TaskSpec) -> Vec<TaskDep> {
        let mut out = Vec::new();
        let mut seen = FxHashSet::from_iter([spec.task]);
        let mut todo = vec![spec.task];
        while let Some(id) = todo.pop() {
            let (known, names): (Vec<TaskId>, Vec<Str>) = if spec.setscene {
                let deps = self.graph.setscene_depends(id);
                let names = deps.iter().map(|(_, mcfn, name)| format!("{mcfn}:{}", name.replace("_setscene", "")).into()).collect();
                (deps.into_iter().filter_map(|(id, _, _)| id).collect(), names)
            } else {
                let mc = self.graph.task(id).mc;
                let own: Vec<TaskId> = self.graph.task(id).depends.iter().copied().filter(|dep| self.graph.task(*dep).mc == mc).collect();
                let names = own.iter().map(|dep| self.tid(*dep).clone()).collect();
                (own, names)
            };
            out.push(self.entry(id, names));
            todo.extend(known.into_iter().filter(|id| seen.insert(*id)));
        }
        out
    }
}
