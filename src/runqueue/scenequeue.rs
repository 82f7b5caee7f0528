//! The graph of set-scene tasks: what is left of the task graph when all that has no set-scene
//! variant is folded away.

use crate::Work;
use hz_events::{level, log};
use hz_graph::{Bits, Result, TaskId, fatal};
use rustc_hash::FxHashMap;

/// Relations between set-scene tasks. Vectors are indexed by set-scene number (`index`).
#[derive(Default)]
pub(crate) struct SceneGraph {
    /// Task -> its set-scene number; u32::MAX: has none.
    pub index: Vec<u32>,
    /// Set-scene tasks in the order of their tids.
    pub tids: Vec<TaskId>,
    /// Set-scene tasks nearest above: if they are covered, this one may not be needed.
    pub revdeps: Vec<Vec<TaskId>>,
    /// Set-scene tasks nearest below.
    pub deps: Vec<Vec<TaskId>>,
    /// Normal tasks between this one and the set-scene tasks below: superfluous if it is covered.
    pub covers: Vec<Vec<TaskId>>,
    /// Set-scene tasks it needs before it (`[depends]` of the variant), in any case.
    pub hard: Vec<Vec<TaskId>>,
    /// Those that need it so.
    pub hard_for: FxHashMap<TaskId, Vec<TaskId>>,
    /// Tasks the build needs directly: the ends of the graph and what they depend on, down to the
    /// first set-scene tasks.
    pub unskippable: Vec<bool>,
    /// Requested tasks without a set-scene variant.
    pub cantskip: Vec<TaskId>,
    /// Stamp of each, without extra information: two of one stamp never run at once.
    pub stamps: Vec<String>,
    /// PN and unihash -> the first task that has it.
    pub hashes: FxHashMap<String, TaskId>,
}

impl SceneGraph {
    pub fn new(work: &Work) -> Result<SceneGraph> {
        let graph = &work.graph;
        let count = graph.tasks.len();
        let tids: Vec<TaskId> = work.by_rank.iter().copied().filter(|id| graph.task(*id).setscene).collect();
        let mut index = vec![u32::MAX; count];
        tids.iter().enumerate().for_each(|(at, id)| index[*id as usize] = at as u32);
        let scenes = tids.len();
        let mut sq = SceneGraph {
            index,
            tids,
            revdeps: vec![Vec::new(); scenes],
            deps: vec![Vec::new(); scenes],
            covers: vec![Vec::new(); scenes],
            hard: vec![Vec::new(); scenes],
            unskippable: vec![false; count],
            stamps: vec![String::new(); scenes],
            ..SceneGraph::default()
        };
        sq.cantskip = graph.targets.iter().copied().filter(|id| !graph.task(*id).setscene).collect();
        sq.fold(work);
        sq.find_unskippable(work);
        sq.hard_dependencies(work)?;
        Ok(sq)
    }

    pub fn is_scene(&self, id: TaskId) -> bool {
        self.index[id as usize] != u32::MAX
    }
    pub fn at(&self, id: TaskId) -> usize {
        self.index[id as usize] as usize
    }

    /// For each task the set-scene tasks nearest above, found from the ends of the graph down.
    fn fold(&mut self, work: &Work) {
        let graph = &work.graph;
        let count = graph.tasks.len();
        let mut left: Vec<usize> = graph.tasks.iter().map(|task| task.revdeps.len()).collect();
        let mut todo: Vec<TaskId> = (0..count as TaskId).filter(|id| left[*id as usize] == 0).collect();
        let mut above: Vec<Option<Bits>> = vec![None; count];
        while let Some(id) = todo.pop() {
            let own = above[id as usize].take();
            let scene = self.is_scene(id);
            if let Some(own) = &own {
                if scene {
                    let at = self.at(id);
                    self.revdeps[at] = own.iter().map(|at| self.tids[at]).collect();
                } else {
                    own.iter().for_each(|at| self.covers[at].push(id));
                }
            }
            for dep in &graph.task(id).depends {
                let dep = *dep as usize;
                if scene {
                    above[dep].get_or_insert_with(|| Bits::new(self.tids.len())).insert(self.at(id));
                } else if let Some(own) = &own {
                    above[dep].get_or_insert_with(|| Bits::new(self.tids.len())).union(own);
                }
                left[dep] -= 1;
                if left[dep] == 0 {
                    todo.push(dep as TaskId);
                }
            }
        }
        for at in 0..self.tids.len() {
            for up in &self.revdeps[at] {
                let up = self.at(*up);
                self.deps[up].push(self.tids[at]);
            }
        }
    }

    fn find_unskippable(&mut self, work: &Work) {
        let graph = &work.graph;
        let ends = (0..graph.tasks.len() as TaskId).filter(|id| graph.task(*id).revdeps.is_empty());
        let mut todo: Vec<TaskId> = ends.chain(self.cantskip.iter().copied()).collect();
        while let Some(id) = todo.pop() {
            if !std::mem::replace(&mut self.unskippable[id as usize], true) && !self.is_scene(id) {
                todo.extend(&graph.task(id).depends);
            }
        }
    }

    fn hard_dependencies(&mut self, work: &Work) -> Result<()> {
        for at in 0..self.tids.len() {
            let id = self.tids[at];
            for (dep, mcfn, name) in work.graph.setscene_depends(id) {
                let Some(dep) = dep else {
                    return Err(fatal(crate::DOMAIN, format!("Task {}_setscene depends upon non-existent task {mcfn}:{name}", work.tid(id))));
                };
                log(level::DEBUG2, crate::DOMAIN, format!("Adding hard setscene dependency {} for {}", work.tid(dep), work.tid(id)));
                // Anything else has no decision that could be waited for.
                if !self.is_scene(dep) {
                    continue;
                }
                if !self.hard[at].contains(&dep) {
                    self.hard[at].push(dep);
                }
                let users = self.hard_for.entry(dep).or_default();
                if !users.contains(&id) {
                    users.push(id);
                }
            }
        }
        Ok(())
    }
}

/// What pairs up tasks of different multiconfigs that would make the same thing. The reference
/// writes the word "taskname" where the task's name would be.
pub(crate) fn hash_index(work: &Work, id: TaskId) -> String {
    format!("{}:taskname{}", work.graph.pn(id), work.unihash[id as usize])
}
