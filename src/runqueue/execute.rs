//! The loop's body: the next set-scene decision, then the next task, then what ended.

use crate::interface::{ExecEvent, TaskSpec};
use crate::marks::Mark;
use crate::stamps::fakeroot_trouble;
use crate::{DOMAIN, HASHEQUIV, Result, RunQueue, State, Step};
use hz_events::{Event, ExitCode, emit, level, log};
use hz_graph::TaskId;
use rustc_hash::FxHashMap;
use std::time::Duration;

/// Processes that are made ahead, at most: each has memory of its own.
const MOST_AHEAD: usize = 4;

/// Exit code shown for a task that must not run as set-scene tasks are enforced.
const NOT_ALLOWED: &str = "setscene ignore_tasks";

impl RunQueue {
    fn can_start(&self) -> bool {
        self.active() + self.pending.len() < self.settings.number_tasks
    }

    pub(crate) fn execute(&mut self) -> Result<Step> {
        self.read_executor(Duration::ZERO)?;
        if self.state != State::Running {
            return Ok(Step::Again);
        }
        if !self.unihash_updates.is_empty() || self.marks.count(Mark::ScenePending) > 0 {
            self.process_migrations()?;
            if self.state != State::Running {
                return Ok(Step::Again);
            }
        }
        if !self.sq_done && self.can_start() {
            match self.next_scene()? {
                Next::Decided => return Ok(Step::Again),
                Next::Run(id) => {
                    if self.run_scene(id)? || self.can_start() {
                        return Ok(Step::Again);
                    }
                }
                Next::Nothing => {}
            }
        }
        self.update_holdoff();

        let waiting = self.marks.count(Mark::SceneLive) > 0
            || !self.deferred.is_empty()
            || !self.unihash_updates.is_empty()
            || self.marks.count(Mark::Holdoff) > 0;
        if !self.sq_done && !waiting {
            log(level::VERBOSE, HASHEQUIV, "Setscene tasks completed");
            if self.summarise_scene_errors() {
                self.state = State::Failed;
                return Ok(Step::Again);
            }
            if self.options.setscene_only {
                self.state = State::Complete;
                return Ok(Step::Again);
            }
            self.sq_done = true;
            if self.stats.total == 0 {
                self.state = State::Complete;
                return Ok(Step::Again);
            }
        }
        let next = match self.ready_pending() {
            Some(id) => Some(id),
            None if self.options.setscene_only || !self.can_start() => None,
            None => self.next_task(),
        };
        if let Some(id) = next
            && (self.run_task(id)? || self.can_start())
        {
            return Ok(Step::Again);
        }
        if self.active() > 0 || !self.pending.is_empty() {
            self.read_executor(Duration::ZERO)?;
            return Ok(if self.dry_exits.is_empty() { Step::Wait } else { Step::Again });
        }
        // Nothing runs and nothing can start: whatever is still deferred blocks itself.
        if let Some((id, blocking)) = self.deferred.shift_remove_index(0) {
            log(level::WARNING, DOMAIN, format!("Runqueue deadlocked on deferred tasks, forcing task {} blocked by {}", self.work.tid(id), self.work.tid(blocking)));
            return Ok(Step::Again);
        }
        if !self.failed.is_empty() {
            self.state = State::Failed;
            return Ok(Step::Again);
        }
        let mut error = self.summarise_scene_errors();
        for id in 0..self.work.graph.tasks.len() as TaskId {
            let marks = [(Mark::Buildable, "buildable"), (Mark::Running, "ran"), (Mark::Complete, "completed")];
            if let Some((_, what)) = marks.into_iter().find(|(mark, _)| !self.has(id, *mark)) {
                log(level::ERROR, DOMAIN, format!("Task {} never {what}!", self.work.tid(id)));
                error = true;
            }
        }
        self.state = if error { State::Failed } else { State::Complete };
        Ok(Step::Again)
    }

    /// Looks for a set-scene task to run, from where the last look ended.
    fn next_scene(&mut self) -> Result<Next> {
        let from = self.scene_cursor;
        // Not all at once: there may be tens of thousands, and the first one mostly is it.
        let mut seen = None;
        loop {
            let Some(at) = self.scene_after(from, seen) else { return Ok(Next::Nothing) };
            seen = Some(at);
            let id = self.sq.tids[at as usize];
            self.scene_cursor = at + 1;
            if self.has(id, Mark::SceneHardDeferred) || self.stamp_users.contains_key(&self.sq.stamps[at as usize]) {
                continue;
            }
            if self.deferred.get(&id).is_some_and(|first| !self.has(*first, Mark::Complete)) {
                continue;
            }
            let at = at as usize;
            if !self.sq.unskippable[id as usize]
                && !self.sq.revdeps[at].is_empty()
                && !self.has(id, Mark::SceneHardNeeded)
                && self.marks.uncovered[at] == 0
                && self.scene_unneeded(id)?
                && !self.is_target[id as usize]
            {
                log(level::DEBUG2, DOMAIN, format!("Skipping setscene for task {}", self.work.tid(id)));
                self.scene_skip(id)?;
                self.set(id, Mark::SceneNotNeeded, true);
                self.deferred.shift_remove(&id);
                return Ok(Next::Decided);
            }
            if self.sq.hard[at].iter().any(|dep| !self.scene_decided(*dep)) {
                log(level::DEBUG2, DOMAIN, format!("Deferring {} due to hard dependencies", self.work.tid(id)));
                let mut updated = false;
                for dep in self.sq.hard[at].clone() {
                    if self.set(dep, Mark::SceneHardNeeded, true) {
                        log(level::DEBUG2, DOMAIN, format!("Enabling task {} as it is a hard dependency", self.work.tid(dep)));
                        self.set(dep, Mark::SceneBuildable, true);
                        updated = true;
                    }
                }
                self.set(id, Mark::SceneHardDeferred, true);
                if updated {
                    return Ok(Next::Decided);
                }
                continue;
            }
            if self.deferred.shift_remove(&id).is_some() {
                log(level::DEBUG, DOMAIN, format!("Task {} no longer deferred", self.work.tid(id)));
                if self.validate(&[id], 0, false, false)?.is_empty() {
                    log(level::DEBUG, DOMAIN, format!("{} didn't become valid, skipping setscene", self.work.tid(id)));
                    self.scene_fail_outright(id)?;
                    return Ok(Next::Decided);
                }
            }
            if self.has(id, Mark::SceneFails) {
                log(level::DEBUG2, DOMAIN, format!("No package found, so skipping setscene task {}", self.work.tid(id)));
                self.scene_fail_outright(id)?;
                return Ok(Next::Decided);
            }
            return Ok(Next::Run(id));
        }
    }

    /// The set-scene number to look at after `seen` (None: the first), going round from `from`.
    fn scene_after(&self, from: u32, seen: Option<u32>) -> Option<u32> {
        let ready = &self.scene_ready;
        match seen {
            None => ready.range(from..).next().or_else(|| ready.range(..from).next()),
            Some(at) if at >= from => ready.range(at + 1..).next().or_else(|| ready.range(..from).next()),
            Some(at) => ready.range(at + 1..from).next(),
        }
        .copied()
    }

    /// Runs a set-scene task unless it turns out that it need not; true: decided without running.
    fn run_scene(&mut self, id: TaskId) -> Result<bool> {
        if self.stamp_current(id, false, true)? {
            log(level::DEBUG2, DOMAIN, format!("Stamp for underlying task {} is current, so skipping setscene variant", self.work.tid(id)));
            self.scene_fail_outright(id)?;
            return Ok(true);
        }
        if self.options.graph.force && self.is_target[id as usize] {
            self.scene_fail_outright(id)?;
            return Ok(true);
        }
        if self.stamp_current(id, true, false)? {
            log(level::DEBUG2, DOMAIN, format!("Setscene stamp current task {}, so skip it and its dependencies", self.work.tid(id)));
            self.scene_skip(id)?;
            return Ok(true);
        }
        if self.options.skip_setscene {
            log(level::DEBUG2, DOMAIN, format!("No setscene tasks should be executed. Skipping {}", self.work.tid(id)));
            self.scene_fail_outright(id)?;
            return Ok(true);
        }
        emit(Event::SceneQueueTaskStarted { task: self.task_ref(id, true), stats: self.stats, noexec: false });
        if !self.start(id, true)? {
            return Ok(true);
        }
        self.set(id, Mark::SceneRunning, true);
        self.set(id, Mark::SceneLive, true);
        self.stats.setscene_active = self.marks.count(Mark::SceneLive);
        Ok(false)
    }

    /// The most important task that may start now.
    fn next_task(&mut self) -> Option<TaskId> {
        let may = |queue: &RunQueue, id: TaskId| {
            !queue.pending.contains(&id) && !queue.has(id, Mark::Holdoff) && (queue.has(id, Mark::Covered) || queue.has(id, Mark::NotCovered))
        };
        let first = self.sched.ready().find(|id| may(self, *id))?;
        // One task may always run, or a busy machine would stop the build for good.
        let running = self.marks.count(Mark::Running) - self.marks.count(Mark::Complete);
        if self.stats.active > 0 && self.pressure.exceeded(running, self.settings.number_tasks) {
            return None;
        }
        let mut in_use: FxHashMap<&str, usize> = FxHashMap::default();
        if !self.settings.number_threads.is_empty() {
            for id in self.running_stamps.keys().filter(|id| !self.has(**id, Mark::SceneLive)) {
                *in_use.entry(self.work.taskname(*id)).or_default() += 1;
            }
        }
        self.sched.ready().skip_while(|id| *id != first).filter(|id| may(self, *id)).find(|id| {
            let name = &**self.work.taskname(*id);
            let used = in_use.get(name).copied().unwrap_or(0);
            let full = used > 0 && self.settings.number_threads.get(name).is_some_and(|limit| used >= *limit);
            !full && self.base_stamp(*id).is_ok_and(|stamp| !self.stamp_users.contains_key(&stamp))
        })
    }

    /// Has the first of the tasks that come next made ready that is not; false: there is none.
    pub(crate) fn prepare_next(&mut self) -> Result<bool> {
        if self.options.setscene_only {
            return Ok(false);
        }
        let wanted = |id: &TaskId| !self.has(*id, Mark::Holdoff) && self.has(*id, Mark::NotCovered) && !self.work.graph.has_flag(*id, "noexec");
        let next: Vec<TaskId> = self.sched.ready().take(100).filter(wanted).take(self.settings.number_tasks).collect();
        for id in &next {
            // One whose stamp is current will not run.
            if self.ahead.contains_key(id) || self.stamp_current(*id, false, false)? {
                continue;
            }
            let prepared = self.exec.prepare(&self.work, *id);
            if self.start_before(*id, &next)? || prepared {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Has the process of a task made that is among the `next` to start.
    fn start_before(&mut self, id: TaskId, next: &[TaskId]) -> Result<bool> {
        if self.ahead.len() >= self.settings.number_tasks.min(MOST_AHEAD) {
            // Another one of them has become more important than one of those.
            let Some(other) = self.ahead.keys().copied().find(|other| !next.contains(other)) else { return Ok(false) };
            self.forget_ahead(Some(other));
        }
        self.start_ahead(id)
    }

    fn start_ahead(&mut self, id: TaskId) -> Result<bool> {
        if self.none_ahead || self.settings.enforce || self.stamp_users.contains_key(&self.base_stamp(id)?) {
            return Ok(false);
        }
        let spec = self.described(id, false)?;
        if spec.fakeroot {
            return Ok(false);
        }
        self.none_ahead = !self.exec.start_ahead(&self.work, &spec);
        if !self.none_ahead {
            self.ahead.insert(id, spec);
        }
        Ok(!self.none_ahead)
    }

    /// A task whose process is ready by now.
    fn ready_pending(&mut self) -> Option<TaskId> {
        let (exec, work) = (&mut self.exec, &self.work);
        self.pending.iter().copied().find(|id| exec.is_ready(work, *id))
    }

    /// Has the task, which is to start, to wait for its process? That is made if there is none: so the queue can go
    /// on meanwhile.
    fn awaits_process(&mut self, id: TaskId) -> Result<bool> {
        if self.options.dry_run || self.settings.enforce {
            return Ok(false);
        }
        self.exec.prepare(&self.work, id);
        let made = self.ahead.contains_key(&id) || self.start_ahead(id)?;
        let waits = made && !self.exec.is_ready(&self.work, id);
        if !waits {
            self.forget_pending(Some(id));
        } else if self.pending.insert(id) {
            let stamp = self.base_stamp(id)?;
            self.note_stamp(id, stamp);
        }
        Ok(waits)
    }

    /// Nothing is to be waited for: of all, or of a task.
    fn forget_pending(&mut self, id: Option<TaskId>) {
        let gone: Vec<TaskId> = self.pending.iter().copied().filter(|known| id.is_none_or(|id| id == *known)).collect();
        for id in gone {
            self.pending.shift_remove(&id);
            self.forget_stamp(id);
        }
    }

    /// No other task with that stamp may run meanwhile.
    fn note_stamp(&mut self, id: TaskId, stamp: String) {
        *self.stamp_users.entry(stamp.clone()).or_default() += 1;
        self.running_stamps.insert(id, stamp);
    }

    /// Processes made ahead are of no use any more: all, or that of a task.
    pub(crate) fn forget_ahead(&mut self, id: Option<TaskId>) {
        self.forget_pending(id);
        let any = match id {
            Some(id) => self.ahead.shift_remove(&id).is_some(),
            None => !std::mem::take(&mut self.ahead).is_empty(),
        };
        if any {
            self.exec.forget_ahead(&self.work, id);
        }
    }

    fn base_stamp(&self, id: TaskId) -> Result<String> {
        self.sigs.stampfile(&self.work.graph, id, false, false)
    }

    /// Runs a task unless it need not run; true: decided without running it, or its process is to be waited for.
    fn run_task(&mut self, id: TaskId) -> Result<bool> {
        if self.not_allowed(id)? {
            self.task_fail(id, ExitCode::Word(NOT_ALLOWED.into()), None);
            return Ok(true);
        }
        if self.has(id, Mark::Covered) {
            self.forget_ahead(Some(id));
            log(level::DEBUG2, DOMAIN, format!("Setscene covered task {}", self.work.tid(id)));
            self.task_skip(id, "covered")?;
            return Ok(true);
        }
        if self.stamp_current(id, false, false)? {
            log(level::DEBUG2, DOMAIN, format!("Stamp current task {}", self.work.tid(id)));
            self.forget_ahead(Some(id));
            self.task_skip(id, "existing")?;
            self.set(id, Mark::Ran, true);
            return Ok(true);
        }
        let noexec = self.work.graph.has_flag(id, "noexec");
        if !noexec && self.awaits_process(id)? {
            return Ok(true);
        }
        emit(Event::RunQueueTaskStarted { task: self.task_ref(id, false), stats: self.stats, noexec });
        if noexec {
            self.set(id, Mark::Running, true);
            self.stats.active += 1;
            if !self.options.dry_run && !self.settings.enforce {
                self.make_stamp(id, false)?;
            }
            self.task_complete(id)?;
            return Ok(true);
        }
        if !self.start(id, false)? {
            return Ok(true);
        }
        self.set(id, Mark::Running, true);
        self.stats.active += 1;
        Ok(false)
    }

    /// Starts the process of a task; false: there is no fakeroot environment, which ends the build.
    fn start(&mut self, id: TaskId, setscene: bool) -> Result<bool> {
        let stamp = self.sigs.stampfile(&self.work.graph, id, setscene, false)?;
        let dry_run = self.options.dry_run || (self.settings.enforce && !setscene);
        if dry_run {
            self.dry_exits.push_back(id);
        } else {
            let spec = match self.ahead.shift_remove(&id) {
                Some(spec) if !setscene && self.is_current(&spec) => spec,
                made => {
                    if made.is_some() {
                        self.exec.forget_ahead(&self.work, Some(id));
                    }
                    self.described(id, setscene)?
                }
            };
            if let Err(message) = self.exec.start(&self.work, &spec) {
                log(level::CRITICAL, DOMAIN, format!("Failed to spawn fakeroot worker to run {}: {message}", spec.tid));
                self.state = State::Failed;
                self.failed.push(id);
                self.stats.failed += 1;
                return Ok(false);
            }
        }
        self.note_stamp(id, stamp);
        Ok(true)
    }

    /// A task for the executor.
    fn described(&mut self, id: TaskId, setscene: bool) -> Result<TaskSpec> {
        let leavings = self.sigs.leavings(&self.work.graph, id, setscene)?;
        let info = self.work.graph.info(id);
        let name = self.work.taskname(id);
        let taskname = if setscene { format!("{name}_setscene") } else { name.to_string() };
        Ok(TaskSpec {
            task: id,
            setscene,
            mc: self.work.graph.mc(id).clone(),
            mcfn: info.mcfn.clone(),
            tid: self.work.tid(id).clone(),
            fakeroot: info.task_deps.flags.get("fakeroot").is_some_and(|table| table.contains_key(&*taskname)),
            taskname,
            taskhash: self.work.hash[id as usize].clone(),
            unihash: self.work.unihash[id as usize].clone(),
            quieterrors: setscene,
            leavings,
        })
    }

    /// Would the task be described so now?
    fn is_current(&mut self, spec: &TaskSpec) -> bool {
        let at = spec.task as usize;
        let alike = self.work.hash[at] == spec.taskhash && self.work.unihash[at] == spec.unihash;
        alike && spec.leavings.as_ref().is_none_or(|leavings| self.sigs.leaves_still(leavings))
    }

    pub(crate) fn forget_stamp(&mut self, id: TaskId) {
        if let Some(stamp) = self.running_stamps.remove(&id)
            && let Some(users) = self.stamp_users.get_mut(&stamp)
        {
            *users -= 1;
            if *users == 0 {
                self.stamp_users.remove(&stamp);
            }
        }
    }

    /// Takes in what the processes of tasks report.
    pub(crate) fn read_executor(&mut self, timeout: Duration) -> Result<()> {
        while let Some(id) = self.dry_exits.pop_front() {
            self.task_exit(id, 0, None)?;
        }
        for event in self.exec.poll(timeout) {
            match event {
                ExecEvent::Exit { task, code, fakeroot_log } => self.task_exit(task, code, fakeroot_log)?,
                ExecEvent::UniHash { tid, unihash } => {
                    if let Some(id) = self.work.graph.find(&tid) {
                        self.unihash_updates.push((id, unihash.into()));
                    }
                }
                ExecEvent::WorkerDied { message } => {
                    log(level::ERROR, "", message);
                    self.finish(true);
                }
            }
        }
        Ok(())
    }

    fn task_exit(&mut self, id: TaskId, code: i32, fakeroot_log: Option<String>) -> Result<()> {
        self.forget_stamp(id);
        if self.has(id, Mark::SceneLive) {
            if code == 0 {
                self.scene_complete(id)?;
            } else {
                self.scene_fail(id, code)?;
            }
            self.set(id, Mark::SceneLive, false);
            self.stats.setscene_active = self.marks.count(Mark::SceneLive);
        } else if code == 0 {
            self.task_complete(id)?;
        } else {
            self.task_fail(id, ExitCode::Number(code), fakeroot_log);
        }
        Ok(())
    }

    fn task_complete(&mut self, id: TaskId) -> Result<()> {
        self.stats.active = self.stats.active.saturating_sub(1);
        self.stats.completed += 1;
        emit(Event::RunQueueTaskCompleted { task: self.task_ref(id, false), stats: self.stats });
        self.task_done(id)?;
        self.set(id, Mark::Ran, true);
        Ok(())
    }

    fn task_fail(&mut self, id: TaskId, exitcode: ExitCode, fakeroot_log: Option<String>) {
        self.stats.active = self.stats.active.saturating_sub(1);
        self.stats.failed += 1;
        self.failed.push(id);
        let fakeroot_log = fakeroot_log.and_then(|path| fakeroot_trouble(&path));
        emit(Event::RunQueueTaskFailed { task: self.task_ref(id, false), stats: self.stats, exitcode, fakeroot_log });
        if self.work.graph.plan.taskdata.first().is_none_or(|(_, data)| data.halt) {
            self.state = State::CleanUp;
        }
    }

    fn task_skip(&mut self, id: TaskId, reason: &str) -> Result<()> {
        self.set(id, Mark::Running, true);
        self.set(id, Mark::Buildable, true);
        emit(Event::RunQueueTaskSkipped { task: self.task_ref(id, false), stats: self.stats, reason: reason.into() });
        self.task_done(id)?;
        self.stats.skipped += 1;
        self.stats.completed += 1;
        Ok(())
    }

    /// A task is complete: what waited only for it may start.
    fn task_done(&mut self, id: TaskId) -> Result<()> {
        self.set(id, Mark::Complete, true);
        for at in 0..self.work.graph.task(id).revdeps.len() {
            let above = self.work.graph.task(id).revdeps[at];
            if !self.has(above, Mark::Running) && self.marks.open[above as usize] == 0 && self.set(above, Mark::Buildable, true) {
                log(level::DEBUG, DOMAIN, format!("Marking task {} as buildable", self.work.tid(above)));
            }
        }
        if self.deferred.is_empty() {
            return Ok(());
        }
        // Of those deferred after it, one goes on and the others wait for that one.
        let waiting = self.deferred.iter().filter(|(_, first)| **first == id).map(|(later, _)| *later).collect();
        let mut found = None;
        for later in self.work.sorted(waiting) {
            match found {
                None => {
                    log(level::DEBUG, "", format!("Deferred task {} now buildable", self.work.tid(later)));
                    self.deferred.shift_remove(&later);
                    self.update_scene(vec![later], false)?;
                    found = Some(later);
                }
                Some(first) => {
                    log(level::DEBUG, "", format!("Deferring {} after {}", self.work.tid(later), self.work.tid(first)));
                    self.deferred.insert(later, first);
                }
            }
        }
        Ok(())
    }

    /// Set-scene tasks are enforced and this task would really run without being listed.
    fn not_allowed(&mut self, id: TaskId) -> Result<bool> {
        if self.settings.ignore_tasks.is_none()
            || self.has(id, Mark::Covered)
            || self.stamp_current(id, false, false)?
            || self.work.graph.has_flag(id, "noexec")
        {
            return Ok(false);
        }
        let (pn, name) = (self.work.graph.pn(id), self.work.taskname(id));
        if self.settings.may_run(pn, name) {
            return Ok(false);
        }
        let mut text = format!("Task {pn}.{name} attempted to execute unexpectedly");
        if self.sq.is_scene(id) {
            text += " and should have been setscened";
        }
        let missing = self.work.sorted(self.marks.with(Mark::SceneNotCovered).collect());
        for id in &missing {
            let at = *id as usize;
            text += &format!("\nTask {}, unihash {}, taskhash {}", self.work.tid(*id), self.work.unihash[at], self.work.hash[at]);
        }
        text += &format!("\nThis is usually due to missing setscene tasks. Those missing in this build were: {}", self.set_text(&missing));
        log(level::ERROR, DOMAIN, text);
        Ok(true)
    }

    /// A set of tids as Python's pprint shows it.
    fn set_text(&self, ids: &[TaskId]) -> String {
        if ids.is_empty() {
            return "set()".into();
        }
        let names: Vec<String> = ids.iter().map(|id| hz_data::python_repr(self.work.tid(*id))).collect();
        let line = format!("{{{}}}", names.join(", "));
        if line.len() <= 80 { line } else { format!("{{{}}}", names.join(",\n ")) }
    }

    /// Tells what the set-scene decisions left undone, which is a bug; was there any?
    fn summarise_scene_errors(&mut self) -> bool {
        let mut errors = Vec::new();
        if !self.sq_done {
            emit(Event::SceneQueueComplete { stats: self.stats });
        }
        if !self.deferred.is_empty() {
            let entries: Vec<String> = self.deferred.iter().map(|(id, first)| format!("{}: {}", hz_data::python_repr(self.work.tid(*id)), hz_data::python_repr(self.work.tid(*first)))).collect();
            errors.push(format!("Scenequeue had deferred entries: {{{}}}", entries.join(",\n ")));
        }
        if !self.unihash_updates.is_empty() {
            let entries: Vec<String> = self.unihash_updates.iter().map(|(id, hash)| format!("({}, {})", hz_data::python_repr(self.work.tid(*id)), hz_data::python_repr(hash))).collect();
            errors.push(format!("Scenequeue had unprocessed changed taskhash entries: [{}]", entries.join(",\n ")));
        }
        if self.marks.count(Mark::Holdoff) > 0 {
            let held = self.work.sorted(self.marks.with(Mark::Holdoff).collect());
            errors.push(format!("Scenequeue had holdoff tasks: {}", self.set_text(&held)));
        }
        for id in &self.sq.tids {
            let tid = self.work.tid(*id);
            if self.has(*id, Mark::SceneCovered) && self.has(*id, Mark::SceneNotCovered) {
                log(level::ERROR, DOMAIN, format!("Setscene task {tid} in both covered and notcovered."));
            }
            if !self.scene_decided(*id) {
                errors.push(format!("Setscene Task {tid} was never marked as covered or not covered"));
            }
            for (mark, what) in [(Mark::SceneBuildable, "buildable"), (Mark::SceneRunning, "running")] {
                if !self.has(*id, mark) {
                    errors.push(format!("Setscene Task {tid} was never marked as {what}"));
                }
            }
        }
        for id in 0..self.work.graph.tasks.len() as TaskId {
            let tid = self.work.tid(id);
            if !self.has(id, Mark::Covered) && !self.has(id, Mark::NotCovered) {
                errors.push(format!("Task {tid} was never moved from the setscene queue"));
            }
            if !self.has(id, Mark::SceneDone) {
                errors.push(format!("Task {tid} was never processed by the setscene code"));
            }
            if self.work.graph.task(id).depends.is_empty() && !self.has(id, Mark::Buildable) {
                errors.push(format!("Task {tid} was never marked as buildable by the setscene code"));
            }
        }
        let any = !errors.is_empty();
        errors.into_iter().for_each(|text| log(level::ERROR, DOMAIN, text));
        any
    }
}

/// What a look for set-scene work gave.
enum Next {
    /// A decision without running anything.
    Decided,
    Run(TaskId),
    Nothing,
}
