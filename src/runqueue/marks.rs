//! What is known of each task. [`RunQueue::set`] is the one function that changes it: it keeps the
//! counts and ready lists that follow from the marks.

use crate::RunQueue;
use hz_graph::TaskId;

/// A fact about a task. The first group is about tasks that run, the second about set-scene tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Mark {
    /// All it depends on is complete.
    Buildable,
    /// Was started, or decided without being started.
    Running,
    Complete,
    /// Really ran, or its stamp was current: not just covered.
    Ran,
    /// Need not run, as set-scene tasks above made it superfluous.
    Covered,
    /// Must run.
    NotCovered,
    /// The set-scene decisions that concern it are made.
    SceneDone,
    /// Must not start yet: a set-scene decision may make it superfluous.
    Holdoff,

    SceneBuildable,
    SceneRunning,
    /// Its process runs.
    SceneLive,
    SceneCovered,
    SceneNotCovered,
    SceneNotNeeded,
    /// Its object can be had.
    SceneValid,
    SceneStamp,
    SceneNoexec,
    /// There is nothing to be had: fails at once.
    SceneFails,
    /// Another one needs it before.
    SceneHardNeeded,
    /// Waits for one it needs before.
    SceneHardDeferred,
    /// Its hash changed: it is to be decided anew.
    ScenePending,
}
pub(crate) const MARKS: usize = Mark::ScenePending as usize + 1;

/// The marks of all tasks and what follows from them.
#[derive(Default)]
pub(crate) struct Marks {
    flags: Vec<u32>,
    counts: [usize; MARKS],
    /// Dependencies that are not complete.
    pub open: Vec<u32>,
    /// Dependents whose set-scene decisions are not made.
    pub undone: Vec<u32>,
    /// By set-scene number: those above that are not decided, and not covered.
    pub undecided: Vec<u32>,
    pub uncovered: Vec<u32>,
}

impl Marks {
    pub fn has(&self, id: TaskId, mark: Mark) -> bool {
        self.flags[id as usize] & (1 << mark as u8) != 0
    }
    pub fn count(&self, mark: Mark) -> usize {
        self.counts[mark as usize]
    }
    pub fn with(&self, mark: Mark) -> impl Iterator<Item = TaskId> + '_ {
        (0..self.flags.len() as TaskId).filter(move |id| self.has(*id, mark))
    }
}

impl RunQueue {
    pub(crate) fn has(&self, id: TaskId, mark: Mark) -> bool {
        self.marks.has(id, mark)
    }

    /// Counters as they are before any mark is set.
    pub(crate) fn init_marks(&mut self) {
        let graph = &self.work.graph;
        let count = graph.tasks.len();
        self.marks = Marks {
            flags: vec![0; count],
            counts: [0; MARKS],
            open: graph.tasks.iter().map(|task| task.depends.len() as u32).collect(),
            undone: graph.tasks.iter().map(|task| task.revdeps.len() as u32).collect(),
            undecided: self.sq.revdeps.iter().map(|list| list.len() as u32).collect(),
            uncovered: self.sq.revdeps.iter().map(|list| list.len() as u32).collect(),
        };
    }

    /// Sets or takes away a mark; did that change anything?
    pub(crate) fn set(&mut self, id: TaskId, mark: Mark, on: bool) -> bool {
        let at = id as usize;
        let old = self.marks.flags[at];
        let bit = 1 << mark as u8;
        if (old & bit != 0) == on {
            return false;
        }
        let new = old ^ bit;
        self.marks.flags[at] = new;
        let step = |n: &mut u32, down: bool| *n = if down { n.saturating_sub(1) } else { *n + 1 };
        let count = &mut self.marks.counts[mark as usize];
        *count = if on { *count + 1 } else { *count - 1 };
        let graph = &self.work.graph;
        match mark {
            Mark::Complete => graph.tasks[at].revdeps.iter().for_each(|above| step(&mut self.marks.open[*above as usize], on)),
            Mark::SceneDone => graph.tasks[at].depends.iter().for_each(|dep| step(&mut self.marks.undone[*dep as usize], on)),
            Mark::Buildable | Mark::Running => self.sched.offer(id, has(new, Mark::Buildable) && !has(new, Mark::Running)),
            Mark::SceneCovered | Mark::SceneNotCovered => {
                let scene = self.sq.index[at] as usize;
                let decided = |flags| has(flags, Mark::SceneCovered) || has(flags, Mark::SceneNotCovered);
                for dep in &self.sq.deps[scene] {
                    let dep = self.sq.index[*dep as usize] as usize;
                    if decided(old) != decided(new) {
                        step(&mut self.marks.undecided[dep], decided(new));
                    }
                    if mark == Mark::SceneCovered {
                        step(&mut self.marks.uncovered[dep], on);
                    }
                }
            }
            Mark::SceneBuildable | Mark::SceneRunning => {
                let scene = self.sq.index[at];
                if has(new, Mark::SceneBuildable) && !has(new, Mark::SceneRunning) {
                    self.scene_ready.insert(scene);
                } else {
                    self.scene_ready.remove(&scene);
                }
            }
            _ => {}
        }
        true
    }
}

fn has(flags: u32, mark: Mark) -> bool {
    flags & (1 << mark as u8) != 0
}
