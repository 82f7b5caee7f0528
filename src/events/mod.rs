//! The typed build events. Who emits (parsing, run queue, tasks) and who reads (terminal, logs,
//! reports) know this file and never each other. Events of task processes travel as JSON lines.

pub mod pipe;

use serde::{Deserialize, Serialize};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

/// Python logging levels with BitBake's additions.
pub mod level {
    pub const DEBUG3: u32 = 8;
    pub const DEBUG2: u32 = 9;
    pub const DEBUG: u32 = 10;
    pub const VERBOSE: u32 = 19;
    pub const NOTE: u32 = 20;
    pub const PLAIN: u32 = 21;
    pub const VERBNOTE: u32 = 22;
    pub const WARNONCE: u32 = 29;
    pub const WARNING: u32 = 30;
    pub const ERRORONCE: u32 = 39;
    pub const ERROR: u32 = 40;
    pub const CRITICAL: u32 = 50;
}

/// A log record of a `BitBake…` logger.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LogRecord {
    pub level: u32,
    /// "BitBake", "BitBake.Fetcher", …
    pub logger: String,
    pub message: String,
    /// Process that logged it.
    pub pid: i32,
    /// Task process this belongs to, if any.
    pub taskpid: Option<i32>,
    /// Recipe file the record is about, if any: knotty puts the recipe's name in front.
    pub fn_: Option<String>,
}

/// What identifies a task in messages.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TaskRef {
    /// `[mc:…:][virtual:…:]PATH:TASK`.
    pub tid: String,
    /// `[mc:…:][virtual:…:]PATH`.
    pub mcfn: String,
    pub task: String,
    pub taskhash: String,
}

/// How a task failed: its process's exit code, or a word where none ran.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ExitCode {
    Number(i32),
    Word(String),
}

impl std::fmt::Display for ExitCode {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        match self {
            ExitCode::Number(number) => number.fmt(f),
            ExitCode::Word(word) => word.fmt(f),
        }
    }
}

/// Counters of the run queue, as the reference's RunQueueStats.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Stats {
    pub completed: usize,
    pub skipped: usize,
    pub failed: usize,
    pub active: usize,
    pub total: usize,
    pub setscene_active: usize,
    pub setscene_covered: usize,
    pub setscene_notcovered: usize,
    pub setscene_total: usize,
}

/// Facts of a bb.build task event (fired inside the task's process).
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TaskInfo {
    pub pid: i32,
    /// PF (package and version).
    pub package: String,
    pub task: String,
    pub mcfn: String,
    pub logfile: Option<String>,
    /// Seconds since the epoch.
    pub time: f64,
    pub message: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Event {
    Log(LogRecord),
    ConfigParsed,
    CacheLoadStarted { total: usize },
    CacheLoadProgress { current: usize, total: usize },
    CacheLoadCompleted { total: usize, num_entries: usize },
    ParseStarted { total: usize },
    ParseProgress { current: usize, total: usize },
    ParseCompleted { cached: usize, parsed: usize, skipped: usize, masked: usize, virtuals: usize, errors: usize, total: usize },
    ProcessStarted { name: String, total: usize },
    ProcessProgress { name: String, current: usize },
    ProcessFinished { name: String },
    NoProvider { item: String, runtime: bool, dependees: Vec<String>, reasons: Vec<String>, close_matches: Vec<String> },
    MultipleProviders { item: String, candidates: Vec<String>, runtime: bool },
    /// `pkgs`: the targets, a list or (`-b`) a text.
    BuildStarted { name: String, pkgs: serde_json::Value },
    BuildCompleted { name: String, pkgs: serde_json::Value, total: usize, failed: usize, interrupted: usize },
    RunQueueTaskStarted { task: TaskRef, stats: Stats, noexec: bool },
    RunQueueTaskFailed { task: TaskRef, stats: Stats, exitcode: ExitCode, fakeroot_log: Option<String> },
    RunQueueTaskCompleted { task: TaskRef, stats: Stats },
    RunQueueTaskSkipped { task: TaskRef, stats: Stats, reason: String },
    SceneQueueTaskStarted { task: TaskRef, stats: Stats, noexec: bool },
    SceneQueueTaskFailed { task: TaskRef, stats: Stats, exitcode: i32 },
    SceneQueueTaskCompleted { task: TaskRef, stats: Stats },
    SceneQueueComplete { stats: Stats },
    RunQueueExitWait { remain: usize },
    TaskUniHashUpdate { tid: String, unihash: String },
    TaskStarted(TaskInfo),
    TaskSucceeded(TaskInfo),
    TaskFailed { info: TaskInfo, errprinted: bool },
    /// A failed setscene task or one with `quieterrors`.
    TaskFailedSilent(TaskInfo),
    TaskInvalid(TaskInfo),
    /// `progress` in percent, negative: indeterminate with -progress as a count; `rate` e.g. "1.2M/s".
    TaskProgress { pid: i32, progress: f64, rate: Option<String> },
    DiskFull { dev: String, fs_type: String, free: u64, mount: String },
    CommandCompleted,
    CommandFailed { message: String },
    CommandExit { code: i32 },
    /// Any other Python event that reached the user interface: class name and attributes.
    Other { class: String, attributes: serde_json::Value },
}

/// Where events go. One per process, set once per role (`set_sink`): the main process hands them
/// to its readers, a forked worker writes them to its pipe.
pub trait Sink: Send {
    fn emit(&mut self, event: Event);
}

static SINK: Mutex<Option<Box<dyn Sink>>> = Mutex::new(None);

/// Replaces the process's sink (a forked child calls this first).
pub fn set_sink(sink: Box<dyn Sink>) {
    *SINK.lock().unwrap_or_else(|e| e.into_inner()) = Some(sink);
}

/// The same in a process that was forked and ends without looking back: what the sink before was made of stays,
/// as taking it apart would copy the memory it is in.
pub fn set_last_sink(sink: Box<dyn Sink>) {
    std::mem::forget(SINK.lock().unwrap_or_else(|e| e.into_inner()).replace(sink));
}

static OTHERS: AtomicBool = AtomicBool::new(true);

/// Does anybody read [`Event::Other`]? Until told otherwise, yes. A program that takes events itself
/// does; the terminal does not, and making them costs.
pub fn set_others_wanted(wanted: bool) {
    OTHERS.store(wanted, Ordering::Relaxed);
}

pub fn others_wanted() -> bool {
    OTHERS.load(Ordering::Relaxed)
}

/// Is a sink set?
pub fn has_sink() -> bool {
    SINK.lock().unwrap_or_else(|e| e.into_inner()).is_some()
}

/// Emits an event; lost if no sink is set.
pub fn emit(event: Event) {
    if let Some(sink) = SINK.lock().unwrap_or_else(|e| e.into_inner()).as_mut() {
        sink.emit(event);
    }
}

/// Runs `work`; gives the events that it emitted, which nobody has seen.
pub fn captured<R>(work: impl FnOnce() -> R) -> (R, Vec<Event>) {
    struct Waiting(std::sync::Arc<Mutex<Vec<Event>>>);
    impl Sink for Waiting {
        fn emit(&mut self, event: Event) {
            self.0.lock().unwrap_or_else(|e| e.into_inner()).push(event);
        }
    }
    let events = std::sync::Arc::default();
    let swap = |sink| std::mem::replace(&mut *SINK.lock().unwrap_or_else(|e| e.into_inner()), sink);
    let before = swap(Some(Box::new(Waiting(std::sync::Arc::clone(&events)))));
    let result = work();
    drop(swap(before));
    let events = std::mem::take(&mut *events.lock().unwrap_or_else(|e| e.into_inner()));
    (result, events)
}

static LOG_TAP: Mutex<Option<fn(&LogRecord)>> = Mutex::new(None);

/// Sets (or with None takes away) a function that sees every record of `log` before it is emitted:
/// a task's process writes them into the task's log. Records of Python's loggers do not come here.
pub fn set_log_tap(tap: Option<fn(&LogRecord)>) {
    *LOG_TAP.lock().unwrap_or_else(|e| e.into_inner()) = tap;
}

/// Emits a log record of `BitBake.<domain>` (`domain` empty: `BitBake`).
pub fn log(level: u32, domain: &str, message: impl Into<String>) {
    let logger = if domain.is_empty() { "BitBake".into() } else { format!("BitBake.{domain}") };
    let record = LogRecord { level, logger, message: message.into(), pid: std::process::id() as i32, taskpid: None, fn_: None };
    let tap = *LOG_TAP.lock().unwrap_or_else(|e| e.into_inner());
    if let Some(tap) = tap {
        tap(&record);
    }
    emit(Event::Log(record));
}

