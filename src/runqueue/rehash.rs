//! A task whose output turned out to equal another's changes its unihash; what depends on it gets
//! other hashes then, and may be had after all.

use crate::marks::Mark;
use crate::scenequeue::hash_index;
use crate::{DOMAIN, HASHEQUIV, Result, RunQueue, State};
use hz_diagnostics::Str;
use hz_events::{level, log};
use hz_graph::TaskId;
use std::time::{Duration, Instant};

impl RunQueue {
    /// Takes in queued unihash changes and decides set-scene tasks anew where they matter.
    pub(crate) fn process_migrations(&mut self) -> Result<()> {
        // They know hashes as they were.
        self.forget_ahead(None);
        let changed = self.rehash()?;
        if !changed.is_empty() {
            self.exec.new_taskhashes(&self.work);
            let names: Vec<&str> = changed.iter().map(|id| &**self.work.tid(*id)).collect();
            log(level::DEBUG, HASHEQUIV, format!("Tasks changed:\n{}", names.join("\n")));
        }
        let mut any = !changed.is_empty();
        for id in changed {
            if self.sq.is_scene(id) {
                self.set(id, Mark::ScenePending, true);
            }
        }
        let mut reset = Vec::new();
        let pending: Vec<TaskId> = self.marks.with(Mark::ScenePending).collect();
        for id in pending {
            if self.has(id, Mark::Running) || self.has(id, Mark::SceneLive) {
                // Too late.
                self.set(id, Mark::ScenePending, false);
                continue;
            }
            let covers = self.sq.covers[self.sq.at(id)].clone();
            if covers.iter().any(|dep| self.has(*dep, Mark::Running) && !self.has(*dep, Mark::Complete)) {
                continue;
            }
            self.set(id, Mark::ScenePending, false);
            any = true;
            self.set(id, Mark::SceneDone, false);
            for dep in covers {
                if self.has(dep, Mark::Complete) {
                    if !self.has(dep, Mark::Ran) {
                        log(level::ERROR, "", format!("Task {} marked as completed but now needing to rerun? Halting build.", self.work.tid(dep)));
                        self.failed.push(id);
                        self.state = State::CleanUp;
                        return Ok(());
                    }
                } else if !self.sq.unskippable[dep as usize] {
                    self.set(dep, Mark::SceneDone, false);
                }
            }
            for mark in [
                Mark::SceneBuildable,
                Mark::SceneRunning,
                Mark::SceneFails,
                Mark::SceneNotCovered,
                Mark::SceneCovered,
                Mark::SceneNotNeeded,
            ] {
                self.set(id, mark, false);
            }
            let at = self.sq.at(id);
            self.sq.stamps[at] = self.sigs.stampfile(&self.work.graph, id, false, false)?;
            self.stamp_cache.remove(&id);
            self.forget_stamp(id);
            reset.push(id);
        }
        self.decide_again(reset)?;
        if any {
            self.count_covered();
            for mark in [Mark::SceneHardNeeded, Mark::SceneHardDeferred] {
                let marked: Vec<TaskId> = self.marks.with(mark).collect();
                marked.into_iter().for_each(|id| { self.set(id, mark, false); });
            }
            self.holdoff_stale = true;
        }
        Ok(())
    }

    /// Applies queued unihashes of tasks that do not run and computes the hashes of all that
    /// depends on them, dependencies first. Gives the tasks whose hashes changed.
    fn rehash(&mut self) -> Result<Vec<TaskId>> {
        let mut changed_first = Vec::new();
        for (id, unihash) in std::mem::take(&mut self.unihash_updates) {
            if self.has(id, Mark::Running) && !self.has(id, Mark::Complete) {
                self.unihash_updates.push((id, unihash));
                continue;
            }
            if self.work.unihash[id as usize] == unihash {
                continue;
            }
            // Those deferred after this one have the same hash.
            let deferred = self.deferred.iter().filter(|(_, first)| **first == id).map(|(later, _)| *later);
            for id in std::iter::once(id).chain(deferred).collect::<Vec<_>>() {
                log(level::VERBOSE, HASHEQUIV, format!("Task {} unihash changed to {unihash}", self.work.tid(id)));
                self.work.unihash[id as usize] = unihash.clone();
                self.sigs.set_unihash(&self.work.graph, id, &unihash)?;
                changed_first.push(id);
            }
        }
        let graph = &self.work.graph;
        let mut total = vec![false; graph.tasks.len()];
        let mut todo: Vec<TaskId> = changed_first.iter().flat_map(|id| graph.task(*id).revdeps.iter().copied()).collect();
        let mut left = 0;
        while let Some(id) = todo.pop() {
            if !std::mem::replace(&mut total[id as usize], true) {
                left += 1;
                todo.extend(&graph.task(id).revdeps);
            }
        }
        let mut open: Vec<usize> = graph.tasks.iter().map(|task| task.depends.iter().filter(|dep| total[**dep as usize]).count()).collect();
        let mut layer: Vec<TaskId> = (0..graph.tasks.len() as TaskId).filter(|id| total[*id as usize] && open[*id as usize] == 0).collect();
        let mut changed = Vec::new();
        let (start, mut told) = (Instant::now(), Instant::now());
        while !layer.is_empty() {
            let mut hashes: Vec<Str> = Vec::with_capacity(layer.len());
            for id in &layer {
                hashes.push(self.sigs.get_taskhash(&self.work.graph, *id)?);
            }
            let unihashes = self.sigs.get_unihashes(&self.work.graph, &layer)?;
            let mut next = Vec::new();
            for ((id, hash), unihash) in layer.iter().zip(hashes).zip(unihashes) {
                let at = *id as usize;
                if unihash != self.work.unihash[at] {
                    if self.has(*id, Mark::SceneCovered) || self.has(*id, Mark::SceneLive) {
                        let wanted = self.work.unihash[at].clone();
                        self.sigs.report_unihash_equiv(&self.work.graph, *id, &hash, &wanted, &unihash)?;
                        log(level::VERBOSE, HASHEQUIV, format!("Already covered setscene for {} so ignoring rehash (remap)", self.work.tid(*id)));
                    } else {
                        self.work.hash[at] = hash;
                        self.work.unihash[at] = unihash;
                        changed.push(*id);
                    }
                }
                left -= 1;
                for above in &self.work.graph.task(*id).revdeps {
                    open[*above as usize] -= 1;
                    if open[*above as usize] == 0 {
                        next.push(*above);
                    }
                }
            }
            self.hooks.check_interrupts()?;
            if told.elapsed() > Duration::from_secs(30) {
                told = Instant::now();
                log(level::VERBOSE, HASHEQUIV, format!("Rehash loop slow progress: {left} in {}", start.elapsed().as_secs_f64()));
            }
            layer = next;
        }
        if start.elapsed() > Duration::from_secs(60) {
            log(level::VERBOSE, HASHEQUIV, format!("Rehash loop took more than 60s: {}", start.elapsed().as_secs_f64()));
        }
        Ok(changed)
    }

    /// Set-scene tasks that were reset enter the queue again.
    fn decide_again(&mut self, reset: Vec<TaskId>) -> Result<()> {
        let mut entries = Vec::new();
        for id in &reset {
            let at = self.sq.at(*id);
            let hard_failed = self.sq.hard[at].iter().any(|dep| self.has(*dep, Mark::SceneNotCovered));
            if (!hard_failed && self.marks.undecided[at] == 0) || self.sq.revdeps[at].is_empty() {
                self.set(*id, Mark::SceneBuildable, true);
            }
            entries.push((*id, hard_failed, self.has(*id, Mark::SceneValid)));
        }
        if !reset.is_empty() {
            self.sq_done = false;
            let sorted = self.work.sorted(reset.clone());
            for mc in self.sorted_multiconfigs() {
                for id in sorted.iter().copied().filter(|id| self.work.graph.task(*id).mc == mc) {
                    if let Some(first) = self.sq.hashes.get(&hash_index(&self.work, id)).copied().filter(|first| *first != id) {
                        self.deferred.insert(id, first);
                        log(level::NOTE, "", format!("Deferring {} after {}", self.work.tid(id), self.work.tid(first)));
                    }
                }
            }
            self.update_scene(reset, false)?;
        }
        for (id, hard_failed, was_valid) in entries {
            if self.has(id, Mark::SceneValid) && !was_valid {
                log(level::VERBOSE, HASHEQUIV, format!("Setscene task {} became valid", self.work.tid(id)));
            }
            if hard_failed {
                log(level::DEBUG2, DOMAIN, format!("{} has an unavailable hard dependency so skipping", self.work.tid(id)));
                self.scene_fail_outright(id)?;
            }
        }
        Ok(())
    }
}
