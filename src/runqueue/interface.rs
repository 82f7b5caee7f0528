//! What the run queue needs from others: signatures, the metadata's set-scene functions and the
//! processes that run tasks.

use crate::Work;
use hz_diagnostics::Str;
pub use hz_exec::child::Leavings;
use hz_graph::{Result, TaskGraph, TaskId};
use std::time::Duration;

/// The signature generator (`bb.parse.siggen`).
pub trait Signatures {
    /// `setup_datacache`: before anything else is asked.
    fn setup(&mut self, _graph: &TaskGraph) -> Result<()> {
        Ok(())
    }
    /// `invalidate_task`: makes the task's hash another one, or its stamp invalid.
    fn invalidate_task(&mut self, graph: &TaskGraph, mcfn: &str, task: &str) -> Result<()>;
    /// `tasks_resolved`: item, recipe and PN of every `virtual/` item of a multiconfig.
    fn tasks_resolved(&mut self, _graph: &TaskGraph, _mc: &str, _items: &[(Str, Str, Str)]) -> Result<()> {
        Ok(())
    }
    /// `set_setscene_tasks`.
    fn set_setscene_tasks(&mut self, _graph: &TaskGraph, _tasks: &[TaskId]) -> Result<()> {
        Ok(())
    }
    /// `prep_taskhash` with the task's dependencies (`graph.task(task).depends`); gives
    /// `taskhash_deps`. Dependencies are always prepared and hashed before.
    fn prep_taskhash(&mut self, graph: &TaskGraph, task: TaskId) -> Result<Vec<Str>>;
    /// `get_taskhash`; comes before the task's unihash is asked for, and again when the unihash of
    /// a dependency changed.
    fn get_taskhash(&mut self, graph: &TaskGraph, task: TaskId) -> Result<Str>;
    /// `get_unihashes`, one for each of `tasks`, in that order.
    fn get_unihashes(&mut self, graph: &TaskGraph, tasks: &[TaskId]) -> Result<Vec<Str>>;
    /// `set_unihash`.
    fn set_unihash(&mut self, graph: &TaskGraph, task: TaskId, unihash: &str) -> Result<()>;
    /// `report_unihash_equiv`: a task that is covered already would have another unihash now.
    fn report_unihash_equiv(&mut self, graph: &TaskGraph, task: TaskId, taskhash: &str, wanted: &str, current: &str) -> Result<()>;
    /// `stampfile_mcfn` of a task, or of its setscene variant.
    fn stampfile(&self, graph: &TaskGraph, task: TaskId, setscene: bool, extrainfo: bool) -> Result<String>;
    /// `stampcleanmask_mcfn`; empty: nothing to clean.
    fn stampcleanmask(&self, graph: &TaskGraph, task: TaskId, setscene: bool) -> Result<String>;
    /// `dump_sigtask(mcfn, task, stampbase, True)` of `-S`. Called in forked processes.
    fn dump_sigtask(&mut self, graph: &TaskGraph, task: TaskId) -> Result<()>;
    /// What [`Self::dump_sigtask`] will do, as far as nobody notices. None: nothing of it. Called in forked processes.
    fn prepare_dump(&mut self, _graph: &TaskGraph, _task: TaskId) -> Option<PreparedDump> {
        None
    }
    /// `dump_sigs` with the words of `-S`.
    fn dump_sigs(&mut self, _graph: &TaskGraph, _options: &[String]) -> Result<()> {
        Ok(())
    }
    /// What a task leaves when it has succeeded, if that can be told before it runs.
    fn leavings(&mut self, _graph: &TaskGraph, _task: TaskId, _setscene: bool) -> Result<Option<Leavings>> {
        Ok(None)
    }
    /// Does that still hold of a task that has not run?
    fn leaves_still(&mut self, _leavings: &Leavings) -> bool {
        true
    }
    fn writeout_file_checksum_cache(&mut self) -> Result<()> {
        Ok(())
    }
    fn save_unitaskhashes(&mut self) -> Result<()> {
        Ok(())
    }
}

/// A signature file that is yet to be written.
pub struct PreparedDump {
    /// The memory it takes until then.
    pub size: usize,
    /// False: it was not written.
    pub write: Box<dyn FnOnce() -> bool>,
}

/// A call of BB_HASHCHECK_FUNCTION.
pub struct HashCheck<'a> {
    /// The function's name.
    pub function: &'a str,
    /// `sq_data` is made of these: tid -> hash, unihash ([`Work`]) and BB_HASHFILENAME (graph).
    pub tasks: &'a [TaskId],
    pub siginfo: bool,
    pub currentcount: usize,
    pub summary: bool,
}

/// A call of BB_SETSCENE_DEPVALID.
pub struct DepValid<'a> {
    pub function: &'a str,
    pub task: TaskId,
    /// `taskdata`: the task itself and the setscene tasks that depend on it; for each the function
    /// gets PN, task name and file.
    pub taskdata: &'a [TaskId],
    pub notneeded: &'a [TaskId],
}

/// Functions of the metadata and events with contents of their own.
pub trait Hooks {
    /// The tasks whose objects can be had.
    fn hashcheck(&mut self, work: &Work, call: &HashCheck) -> Result<Vec<TaskId>>;
    fn setscene_depvalid(&mut self, work: &Work, call: &DepValid) -> Result<bool>;
    /// StaleSetSceneTasks for one multiconfig: tasks and stamp files of other hashes.
    fn stale_setscene(&mut self, _work: &Work, _mc: &str, _found: &[(TaskId, Vec<String>)]) -> Result<()> {
        Ok(())
    }
    /// The graph is final: DepTreeGenerated ([`hz_graph::DependTree`]) for who wants it.
    fn graph_ready(&mut self, _work: &Work) -> Result<()> {
        Ok(())
    }
    /// `-S printdiff`: shows how a task's signature differs from the nearest one known.
    fn explain_difference(&mut self, _work: &Work, _task: TaskId) -> Result<()> {
        Ok(())
    }
    /// Is to fail when the command is being interrupted (`check_for_interrupts`). Asked now and
    /// then while the queue is prepared.
    fn check_interrupts(&mut self) -> Result<()> {
        Ok(())
    }
}

/// A task to run.
#[derive(Clone, Debug)]
pub struct TaskSpec {
    pub task: TaskId,
    /// Run the `_setscene` variant.
    pub setscene: bool,
    pub mc: Str,
    pub mcfn: Str,
    /// `MCFN:TASK`, without `_setscene`.
    pub tid: Str,
    /// With `_setscene` for such.
    pub taskname: String,
    pub taskhash: Str,
    pub unihash: Str,
    /// A failure is no error of the build.
    pub quieterrors: bool,
    /// Runs under the recipe's fakeroot environment.
    pub fakeroot: bool,
    /// What it leaves, if it is known now; else its process finds out.
    pub leavings: Option<Leavings>,
}

/// What the processes of tasks report.
#[derive(Clone, Debug)]
pub enum ExecEvent {
    /// A task's process ended; `fakeroot_log` is the recipe's FAKEROOTLOGS file if it was one
    /// under fakeroot.
    Exit { task: TaskId, code: i32, fakeroot_log: Option<String> },
    /// A task reported that its output is that of another unihash (`taskUniHashUpdate`).
    UniHash { tid: String, unihash: String },
    /// What starts tasks ended itself: the build is over. The message is for the user.
    WorkerDied { message: String },
}

/// Runs tasks in processes.
pub trait Executor {
    /// Starts a task. An error is that of the fakeroot environment and ends the build.
    fn start(&mut self, work: &Work, spec: &TaskSpec) -> Result<(), String>;
    /// Makes ready what starting the task will need, if it is not; false: there was nothing to do. Called before
    /// it starts, and while other tasks run and nothing else is to be done.
    fn prepare(&mut self, _work: &Work, _task: TaskId) -> bool {
        false
    }
    /// Makes the process of a task that is likely to start soon, as far as nobody notices; `start` with the same
    /// description then takes it. False: it makes none.
    fn start_ahead(&mut self, _work: &Work, _spec: &TaskSpec) -> bool {
        false
    }
    /// Is the process made ahead for a task ready? Also if that is of no use.
    fn is_ready(&mut self, _work: &Work, _task: TaskId) -> bool {
        true
    }
    /// Has each processor something to do with the start of a task? What is prepared for later had better wait then.
    fn is_crowded(&self) -> bool {
        false
    }
    /// The processes made ahead are of no use any more: all, or that of one task.
    fn forget_ahead(&mut self, _work: &Work, _task: Option<TaskId>) {}
    /// What happened; waits for something up to `timeout` (zero: only looks).
    fn poll(&mut self, timeout: Duration) -> Vec<ExecEvent>;
    /// Kills what runs and does not wait for it.
    fn kill(&mut self);
    /// Hashes changed; for executors whose processes hold copies.
    fn new_taskhashes(&mut self, _work: &Work) {}
    /// The build is over.
    fn finish(&mut self) {}
}

/// What the command line says, as far as the run queue follows it.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// What shapes the graph: `--runall`, `--runonly`, `-f`, `-C`, `--no-setscene`.
    pub graph: hz_graph::GraphOptions,
    /// `-n`.
    pub dry_run: bool,
    /// `-S`: none, or words such as "none", "printdiff".
    pub dump_signatures: Vec<String>,
    pub skip_setscene: bool,
    pub setscene_only: bool,
    /// Show "Initialising tasks" (builds do, `-g` does not).
    pub progress: bool,
}
