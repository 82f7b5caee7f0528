//! Which task runs next: schedulers, pressure, set-scene decisions, stamps, hash changes, failure
//! and interruption.
//!
//! [`RunQueue::prepare`] makes the graph and its hashes; then the server calls [`RunQueue::step`]
//! again and again, and [`RunQueue::wait`] when a step has nothing to do until a task ends, so that
//! it can see to clients and signals in between. Hashes, processes and the metadata's functions are
//! behind the traits of [`interface`]. Decisions follow the reference's `bb.runqueue`; every change
//! of a task's state goes through one function (`marks`).

mod diskmon;
mod dumpsigs;
mod execute;
mod interface;
mod marks;
mod rehash;
mod scenequeue;
mod scheduler;
mod setscene;
mod settings;
mod stamps;
#[cfg(test)]
mod tests;
mod work;

pub use diskmon::{DiskAction, DiskMonitor};
pub use interface::{DepValid, ExecEvent, Executor, HashCheck, Hooks, Leavings, Options, PreparedDump, Signatures, TaskSpec};
pub use work::{TaskDep, Work, layers};

use hz_diagnostics::Str;
use hz_events::{Event, Stats, TaskRef, emit, level, log};
use hz_graph::{BuildPlan, Config, Result, TaskId};
use indexmap::{IndexMap, IndexSet};
use marks::{Mark, Marks};
use rustc_hash::FxHashMap;
use scenequeue::SceneGraph;
use scheduler::{Pressure, Scheduler};
use settings::Settings;
use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

pub(crate) const DOMAIN: &str = "RunQueue";
pub(crate) const HASHEQUIV: &str = "RunQueue.HashEquiv";
pub(crate) const PSI: &str = "RunQueue.PSI";
/// Name of the progress shown while the queue is made ready.
const PROGRESS: &str = "Initialising tasks";

/// How long what is prepared for later waits where the processors are busy with the start of tasks.
const CROWD: Duration = Duration::from_millis(2);

/// What to do after a step.
#[derive(Clone, Debug)]
pub enum Step {
    /// Step again at once.
    Again,
    /// Nothing to do until a task's process reports: [`RunQueue::wait`], then step again.
    Wait,
    Done(Outcome),
}

/// How the build ended.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Tids of failed tasks; not empty: the build failed. Empty in a failed build whose errors
    /// were logged (`success` tells).
    pub failed: Vec<Str>,
    pub success: bool,
    /// Tasks of the build.
    pub total: usize,
    pub stats: Stats,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    SceneInit,
    DumpSigs,
    Running,
    Failed,
    /// No new tasks; those that run end by themselves.
    CleanUp,
    Complete,
}

/// A build in progress.
pub struct RunQueue {
    pub work: Work,
    options: Options,
    settings: Settings,
    pub(crate) sigs: Box<dyn Signatures>,
    pub(crate) hooks: Box<dyn Hooks>,
    pub(crate) exec: Box<dyn Executor>,
    disk: DiskMonitor,

    state: State,
    stats: Stats,
    marks: Marks,
    sq: SceneGraph,
    sched: Scheduler,
    pressure: Pressure,
    /// Set-scene numbers that may be looked at, and where the last look ended.
    scene_ready: BTreeSet<u32>,
    scene_cursor: u32,
    /// All set-scene decisions are made.
    sq_done: bool,
    /// Set-scene task -> the one of the same hash it waits for.
    deferred: IndexMap<TaskId, TaskId>,
    holdoff_stale: bool,
    unihash_updates: Vec<(TaskId, Str)>,
    stamp_cache: FxHashMap<TaskId, bool>,
    /// Stamp (without extra information) of each task that runs, and how many run for each stamp.
    running_stamps: FxHashMap<TaskId, String>,
    stamp_users: FxHashMap<String, usize>,
    /// Tasks whose processes are made, and how they were described.
    ahead: IndexMap<TaskId, TaskSpec>,
    /// Of these the tasks that start as soon as their processes are ready.
    pending: IndexSet<TaskId>,
    /// Whoever runs tasks makes none ahead.
    none_ahead: bool,
    failed: Vec<TaskId>,
    is_target: Vec<bool>,
    /// Tasks that a dry run "ran".
    dry_exits: VecDeque<TaskId>,
    dump: Option<dumpsigs::Dump>,
    early: dumpsigs::Early,
    finished: bool,
}

fn progress(on: bool, percent: usize) {
    if on {
        emit(Event::ProcessProgress { name: PROGRESS.into(), current: percent });
    }
}

impl RunQueue {
    /// Makes the graph of `plan` and all hashes. None: there is nothing to do. `config` is the
    /// default multiconfig's.
    pub fn prepare(
        plan: BuildPlan,
        config: &dyn Config,
        options: Options,
        mut sigs: Box<dyn Signatures>,
        mut hooks: Box<dyn Hooks>,
        exec: Box<dyn Executor>,
    ) -> Result<Option<RunQueue>> {
        let show = options.progress;
        let mut early = dumpsigs::Early::new(&options, config);
        let mut watch = |work: &Work, sigs: &mut dyn Signatures, hashed: usize| early.look(work, sigs, hashed);
        let work = Work::prepare(plan, config, &options.graph, show, &mut *sigs, &mut *hooks, &mut watch)?;
        let Some(work) = work else { return Ok(None) };
        sigs.save_unitaskhashes()?;
        progress(show, 45);
        let settings = Settings::read(config, &work.graph)?;
        let sched = Scheduler::new(&settings.scheduler, config, &work)?;
        let pressure = Pressure::new(settings.limits);
        let mut is_target = vec![false; work.graph.tasks.len()];
        work.graph.targets.iter().for_each(|id| is_target[*id as usize] = true);
        let stats = Stats { total: work.graph.tasks.len(), setscene_total: work.graph.tasks.iter().filter(|task| task.setscene).count(), ..Stats::default() };
        Ok(Some(RunQueue {
            disk: DiskMonitor::new(config)?,
            work,
            options,
            settings,
            sigs,
            hooks,
            exec,
            state: State::SceneInit,
            stats,
            marks: Marks::default(),
            sq: SceneGraph::default(),
            sched,
            pressure,
            scene_ready: BTreeSet::new(),
            scene_cursor: 0,
            sq_done: false,
            deferred: IndexMap::new(),
            holdoff_stale: true,
            unihash_updates: Vec::new(),
            stamp_cache: FxHashMap::default(),
            running_stamps: FxHashMap::default(),
            stamp_users: FxHashMap::default(),
            ahead: IndexMap::new(),
            pending: IndexSet::new(),
            none_ahead: false,
            failed: Vec::new(),
            is_target,
            dry_exits: VecDeque::new(),
            dump: None,
            early,
            finished: false,
        }))
    }

    /// Does what can be done now: one decision, or one task started.
    pub fn step(&mut self) -> Result<Step> {
        match self.step_inner() {
            Ok(step) => Ok(step),
            Err(error) => {
                self.exec.finish();
                self.state = State::Complete;
                Err(error)
            }
        }
    }

    fn step_inner(&mut self) -> Result<Step> {
        self.hooks.check_interrupts()?;
        let mut step = Step::Again;
        if self.state == State::SceneInit {
            self.scene_init()?;
        }
        if self.state == State::DumpSigs {
            if !self.dump_step()? {
                return Ok(Step::Wait);
            }
            self.state = State::Complete;
        }
        if self.state == State::Running {
            step = self.execute()?;
        }
        if self.state == State::CleanUp {
            step = self.clean_up()?;
        }
        if matches!(self.state, State::Complete | State::Failed) {
            return self.finish_up();
        }
        Ok(step)
    }

    fn scene_init(&mut self) -> Result<()> {
        let show = self.options.progress;
        self.hooks.graph_ready(&self.work)?;
        progress(show, 55);
        self.sq = SceneGraph::new(&self.work)?;
        self.init_marks();
        progress(show, 70);
        self.init_scene()?;
        progress(show, 95);
        self.tell_stale_stamps()?;
        if show {
            emit(Event::ProcessFinished { name: PROGRESS.into() });
        }
        if !self.options.dump_signatures.is_empty() {
            self.state = State::DumpSigs;
            return Ok(());
        }
        if self.sq.tids.is_empty() {
            log(level::NOTE, DOMAIN, "No setscene tasks");
            for id in 0..self.work.graph.tasks.len() as TaskId {
                if self.work.graph.task(id).depends.is_empty() {
                    self.set(id, Mark::Buildable, true);
                }
                self.set(id, Mark::NotCovered, true);
                self.set(id, Mark::SceneDone, true);
            }
            self.sq_done = true;
            self.holdoff_stale = false;
        }
        log(level::NOTE, DOMAIN, "Executing Tasks");
        self.state = State::Running;
        Ok(())
    }

    /// Waits up to `timeout` for a task's process to report, and takes in what it reports.
    pub fn wait(&mut self, timeout: Duration) -> Result<()> {
        if self.state == State::DumpSigs {
            self.dump_wait(timeout);
            return Ok(());
        }
        // While tasks run, those that come next are made ready.
        let idle = self.state == State::Running && self.dry_exits.is_empty() && !self.options.dry_run && self.pending.is_empty();
        let crowded = idle && self.exec.is_crowded();
        if idle && !crowded && self.prepare_next()? {
            return self.read_executor(Duration::ZERO);
        }
        let timeout = if crowded { timeout.min(CROWD) } else { timeout };
        self.read_executor(if self.dry_exits.is_empty() { timeout } else { Duration::ZERO })
    }

    /// Ends the build: tasks that run may end by themselves, or (`now`) are killed.
    pub fn finish(&mut self, now: bool) {
        if matches!(self.state, State::Complete | State::Failed) {
            return;
        }
        if self.state == State::SceneInit {
            self.state = State::Complete;
        } else if now {
            self.exec.kill();
            self.state = if self.failed.is_empty() { State::Complete } else { State::Failed };
        } else {
            self.state = State::CleanUp;
        }
    }

    /// To be called at each heartbeat: watches disk space while tasks run.
    pub fn heartbeat(&mut self) {
        if matches!(self.state, State::Running | State::CleanUp) {
            match self.disk.check() {
                DiskAction::None => {}
                DiskAction::StopTasks => self.finish(false),
                DiskAction::Halt => self.finish(true),
            }
            self.disk.report();
        }
    }

    pub fn stats(&self) -> Stats {
        self.stats
    }

    fn clean_up(&mut self) -> Result<Step> {
        let active = self.active();
        if active > 0 {
            emit(Event::RunQueueExitWait { remain: active });
            self.read_executor(Duration::ZERO)?;
            return Ok(Step::Wait);
        }
        self.state = if self.failed.is_empty() { State::Complete } else { State::Failed };
        Ok(Step::Again)
    }

    fn finish_up(&mut self) -> Result<Step> {
        if !std::mem::replace(&mut self.finished, true) {
            self.sigs.save_unitaskhashes()?;
            self.exec.finish();
            let stats = &self.stats;
            let end = match stats.failed {
                0 => "all succeeded.".to_owned(),
                failed => format!("{failed} failed."),
            };
            log(level::NOTE, DOMAIN, format!("Tasks Summary: Attempted {} tasks of which {} didn't need to be rerun and {end}", stats.completed + stats.failed, stats.skipped));
        }
        Ok(Step::Done(Outcome {
            failed: self.failed.iter().map(|id| self.work.tid(*id).clone()).collect(),
            success: self.state == State::Complete,
            total: self.work.graph.tasks.len(),
            stats: self.stats,
        }))
    }

    /// Processes that run.
    pub(crate) fn active(&self) -> usize {
        self.stats.active + self.marks.count(Mark::SceneLive)
    }

    pub(crate) fn task_ref(&self, id: TaskId, setscene: bool) -> TaskRef {
        let suffix = if setscene { "_setscene" } else { "" };
        TaskRef {
            tid: format!("{}{suffix}", self.work.tid(id)),
            mcfn: self.work.graph.mcfn(id).to_string(),
            task: format!("{}{suffix}", self.work.taskname(id)),
            taskhash: self.work.hash[id as usize].to_string(),
        }
    }
}
