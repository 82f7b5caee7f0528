//! Decisions on set-scene tasks: which are needed, which can be had, which failed; and what these
//! mean for the normal tasks below them.

use crate::interface::{DepValid, HashCheck};
use crate::marks::Mark;
use crate::scenequeue::hash_index;
use crate::{DOMAIN, Result, RunQueue, State};
use hz_events::{Event, emit, level, log};
use hz_graph::TaskId;

impl RunQueue {
    pub(crate) fn scene_decided(&self, id: TaskId) -> bool {
        self.has(id, Mark::SceneCovered) || self.has(id, Mark::SceneNotCovered)
    }

    /// Set-scene state before anything is decided.
    pub(crate) fn init_scene(&mut self) -> Result<()> {
        for id in 0..self.work.graph.tasks.len() as TaskId {
            if self.sq.unskippable[id as usize] && !self.sq.is_scene(id) {
                if self.work.graph.task(id).depends.is_empty() {
                    self.set(id, Mark::Buildable, true);
                }
                self.set(id, Mark::SceneDone, true);
            }
        }
        for at in 0..self.sq.tids.len() {
            let id = self.sq.tids[at];
            self.sq.stamps[at] = self.sigs.stampfile(&self.work.graph, id, false, false)?;
            if self.sq.revdeps[at].is_empty() {
                self.set(id, Mark::SceneBuildable, true);
            }
        }
        for mc in self.sorted_multiconfigs() {
            for at in 0..self.sq.tids.len() {
                let id = self.sq.tids[at];
                if self.work.graph.task(id).mc != mc {
                    continue;
                }
                let index = hash_index(&self.work, id);
                match self.sq.hashes.get(&index) {
                    None => {
                        self.sq.hashes.insert(index, id);
                    }
                    Some(first) => {
                        log(level::DEBUG, "", format!("Deferring {} after {}", self.work.tid(id), self.work.tid(*first)));
                        self.deferred.insert(id, *first);
                    }
                }
            }
        }
        self.update_scene(self.sq.tids.clone(), true)
    }

    pub(crate) fn sorted_multiconfigs(&self) -> Vec<u16> {
        let mut list: Vec<u16> = (0..self.work.graph.plan.sets.len() as u16).collect();
        list.sort_by_key(|mc| self.work.graph.plan.sets[*mc as usize].mc.clone());
        list
    }

    /// Asks the metadata which of `tasks` can be had.
    pub(crate) fn validate(&mut self, tasks: &[TaskId], currentcount: usize, siginfo: bool, summary: bool) -> Result<Vec<TaskId>> {
        let Some(function) = &self.settings.hashcheck else { return Ok(Vec::new()) };
        self.hooks.hashcheck(&self.work, &HashCheck { function, tasks, siginfo, currentcount, summary })
    }

    /// Looks anew at what is there for set-scene tasks: stamps, then objects.
    pub(crate) fn update_scene(&mut self, tasks: Vec<TaskId>, summary: bool) -> Result<()> {
        let tasks = self.work.sorted(tasks);
        let mut check = Vec::new();
        for id in &tasks {
            for mark in [Mark::SceneStamp, Mark::SceneValid, Mark::SceneFails] {
                self.set(*id, mark, false);
            }
            let (noexec, stamp) = self.scene_stamps(*id)?;
            if noexec || stamp {
                self.set(*id, if noexec { Mark::SceneNoexec } else { Mark::SceneStamp }, true);
                self.scene_skip(*id)?;
            } else {
                check.push(*id);
            }
        }
        for id in self.validate(&check, self.marks.count(Mark::SceneStamp), false, summary)? {
            self.set(id, Mark::SceneValid, true);
        }
        for id in tasks {
            let known = [Mark::SceneStamp, Mark::SceneValid, Mark::SceneNoexec, Mark::SceneCovered, Mark::SceneNotCovered];
            if !known.into_iter().any(|mark| self.has(id, mark)) && !self.deferred.contains_key(&id) {
                self.set(id, Mark::SceneFails, true);
            }
        }
        Ok(())
    }

    /// Are the set-scene tasks above the only ones that could need this one, and do they not?
    pub(crate) fn scene_unneeded(&mut self, id: TaskId) -> Result<bool> {
        let Some(function) = &self.settings.depvalid else { return Ok(false) };
        let mut taskdata = self.sq.revdeps[self.sq.at(id)].clone();
        if !taskdata.contains(&id) {
            taskdata.push(id);
        }
        let notneeded: Vec<TaskId> = self.marks.with(Mark::SceneNotNeeded).collect();
        self.hooks.setscene_depvalid(&self.work, &DepValid { function, task: id, taskdata: &taskdata, notneeded: &notneeded })
    }

    /// Follows up a decision on a set-scene task: those below may be looked at, and normal tasks
    /// whose dependents are all decided are done with set-scene.
    fn scene_follow_up(&mut self, id: TaskId, failed: bool) -> Result<()> {
        let mut todo = vec![(id, failed)];
        while let Some((id, failed)) = todo.pop() {
            if failed {
                for user in self.work.sorted(self.sq.hard_for.get(&id).cloned().unwrap_or_default()) {
                    if self.scene_decided(user) {
                        continue;
                    }
                    let (noexec, stamp) = self.scene_stamps(user)?;
                    if noexec || stamp {
                        continue;
                    }
                    log(level::DEBUG2, DOMAIN, format!("{} was unavailable and is a hard dependency of {} so skipping", self.work.tid(id), self.work.tid(user)));
                    self.set(user, Mark::SceneRunning, true);
                    self.set(user, Mark::SceneBuildable, true);
                    self.set(user, Mark::SceneNotCovered, true);
                    todo.push((user, true));
                }
            }
            for at in 0..self.sq.deps[self.sq.at(id)].len() {
                let dep = self.sq.deps[self.sq.at(id)][at];
                if self.marks.undecided[self.sq.at(dep)] == 0 {
                    self.set(dep, Mark::SceneBuildable, true);
                }
            }
            let mut next = vec![id];
            while let Some(id) = next.pop() {
                self.set(id, Mark::SceneDone, true);
                for at in 0..self.work.graph.task(id).depends.len() {
                    let dep = self.work.graph.task(id).depends[at];
                    if !self.sq.is_scene(dep) && !self.has(dep, Mark::SceneDone) && self.marks.undone[dep as usize] == 0 {
                        next.push(dep);
                    }
                }
            }
            if self.sq.hard_for.contains_key(&id) {
                let waiting: Vec<TaskId> = self.marks.with(Mark::SceneHardDeferred).collect();
                for user in waiting {
                    if self.sq.hard[self.sq.at(user)].iter().all(|dep| self.scene_decided(*dep)) {
                        self.set(user, Mark::SceneHardDeferred, false);
                    }
                }
            }
        }
        self.count_covered();
        self.holdoff_stale = true;
        Ok(())
    }

    pub(crate) fn count_covered(&mut self) {
        self.stats.setscene_covered = self.marks.count(Mark::SceneCovered);
        self.stats.setscene_notcovered = self.marks.count(Mark::SceneNotCovered);
    }

    fn scene_covered(&mut self, id: TaskId) -> Result<()> {
        log(level::DEBUG, DOMAIN, format!("Found task {} which could be accelerated", self.work.tid(id)));
        self.set(id, Mark::SceneCovered, true);
        self.scene_follow_up(id, false)
    }

    pub(crate) fn scene_complete(&mut self, id: TaskId) -> Result<()> {
        emit(Event::SceneQueueTaskCompleted { task: self.task_ref(id, true), stats: self.stats });
        self.scene_covered(id)
    }

    pub(crate) fn scene_fail(&mut self, id: TaskId, exitcode: i32) -> Result<()> {
        emit(Event::SceneQueueTaskFailed { task: self.task_ref(id, true), stats: self.stats, exitcode });
        self.set(id, Mark::SceneNotCovered, true);
        self.scene_follow_up(id, true)?;
        let (pn, name) = (self.work.graph.pn(id), self.work.taskname(id));
        if !self.settings.may_run(pn, name) {
            log(level::ERROR, DOMAIN, format!("Task {pn}.{name}_setscene failed"));
            self.state = State::CleanUp;
        }
        Ok(())
    }

    /// The real task runs instead, and no set-scene process was needed to find that out.
    pub(crate) fn scene_fail_outright(&mut self, id: TaskId) -> Result<()> {
        self.set(id, Mark::SceneRunning, true);
        self.set(id, Mark::SceneBuildable, true);
        self.set(id, Mark::SceneNotCovered, true);
        self.scene_follow_up(id, true)
    }

    /// Counts as covered without running anything.
    pub(crate) fn scene_skip(&mut self, id: TaskId) -> Result<()> {
        self.set(id, Mark::SceneRunning, true);
        self.set(id, Mark::SceneBuildable, true);
        self.scene_covered(id)
    }

    /// From the decisions made so far: which tasks are covered, which must run, and which wait for
    /// a decision.
    pub(crate) fn update_holdoff(&mut self) {
        if !std::mem::take(&mut self.holdoff_stale) {
            return;
        }
        let count = self.work.graph.tasks.len();
        let (mut covered, mut not) = (vec![false; count], vec![false; count]);
        self.sq.cantskip.iter().for_each(|id| not[*id as usize] = true);
        for (at, id) in self.sq.tids.iter().enumerate() {
            let list = if self.has(*id, Mark::SceneNotCovered) {
                &mut not
            } else if self.has(*id, Mark::SceneCovered) {
                &mut covered
            } else {
                continue;
            };
            list[*id as usize] = true;
            self.sq.covers[at].iter().for_each(|id| list[*id as usize] = true);
        }
        for id in 0..count as TaskId {
            let at = id as usize;
            not[at] |= self.sq.unskippable[at] && !self.sq.is_scene(id);
            let done = self.has(id, Mark::SceneDone);
            not[at] &= done;
            covered[at] &= done && !not[at];
            if (not[at] || covered[at]) && self.marks.open[at] == 0 {
                self.set(id, Mark::Buildable, true);
            }
            self.set(id, Mark::Covered, covered[at]);
            self.set(id, Mark::NotCovered, not[at]);
        }
        let mut wait = vec![false; count];
        for (at, id) in self.sq.tids.iter().enumerate().filter(|(_, id)| !self.scene_decided(**id)) {
            wait[*id as usize] = true;
            self.sq.covers[at].iter().filter(|id| !self.has(**id, Mark::Complete)).for_each(|id| wait[*id as usize] = true);
        }
        for id in 0..count as TaskId {
            self.set(id, Mark::Holdoff, wait[id as usize]);
        }
    }
}
