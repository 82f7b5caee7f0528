//! Counts of work, always kept; times by kind of work, kept while somebody profiles
//! (`HITZELEITER_PROFILE`). Counts are steady from run to run, so tests hold them; times are not.
//!
//! Work happens in forked helpers, too: a helper sends [`take`] and its parent [`absorb`]s that.
//! Threads other than the main one add to the same numbers, now and then losing one.

use serde::{Deserialize, Serialize};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant, SystemTime};

macro_rules! kinds {
    ($(#[$doc:meta])* $name:ident { $($(#[$item_doc:meta])* $item:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum $name { $($(#[$item_doc])* $item,)* }
        impl $name {
            pub const ALL: &'static [$name] = &[$($name::$item,)*];
            /// As reports show it.
            pub const fn text(self) -> &'static str {
                match self { $($name::$item => $text,)* }
            }
        }
    };
}

kinds! {
    /// What is counted.
    Count {
        Lookup = "look-ups of variables and flags",
        Expansion = "texts expanded",
        Native = "inline expressions evaluated natively",
        Vm = "inline expressions evaluated by the VM",
        Dependency = "dependencies of a variable found",
        Anonymous = "anonymous functions run",
        Handler = "events fired at class handlers",
        Filter = "filters applied",
        Scan = "shell and Python bodies scanned",
        Set = "variables and flags written",
        Copy = "stores copied",
        File = "files read",
        Recipe = "recipe files parsed",
        Fork = "processes forked",
    }
}

kinds! {
    /// What time is spent on. Each moment belongs to the innermost kind that is going on.
    Kind {
        Other = "everything else",
        Start = "start of the VM and its modules",
        Configuration = "configuration",
        Definitions = "Python functions and libraries of layers defined",
        Statements = "files read and statements evaluated",
        Store = "look-ups and expansion",
        Inline = "inline expressions",
        Anonymous = "anonymous functions",
        Handlers = "class event handlers",
        Filters = "filters",
        Dependencies = "dependencies and base hashes",
        Scanning = "scanning of code bodies",
        Facts = "facts of recipes",
        Cache = "recipe cache",
        Graph = "task graph",
        Queue = "run queue, hashes and signature files",
        Wait = "waiting for helpers",
    }
}

static COUNTS: [AtomicU64; Count::ALL.len()] = [const { AtomicU64::new(0) }; Count::ALL.len()];
static PROFILING: AtomicBool = AtomicBool::new(false);

/// One more of `what`.
#[inline]
pub fn count(what: Count) {
    add(what, 1);
}

/// `n` more of `what`.
#[inline]
pub fn add(what: Count, n: u64) {
    // Not one atomic step: a lost count in a rare second thread is cheaper than a locked bus.
    let counter = &COUNTS[what as usize];
    counter.store(counter.load(Relaxed).wrapping_add(n), Relaxed);
}

/// The counts so far, of this process and what it absorbed.
pub fn counts() -> Vec<(Count, u64)> {
    Count::ALL.iter().map(|what| (*what, COUNTS[*what as usize].load(Relaxed))).collect()
}

/// A stretch of time for the trace.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Span {
    pub name: String,
    pub kind: Kind,
    pub process: u32,
    /// Microseconds since the epoch of the trace ([`begin`]).
    pub start: u64,
    pub length: u64,
}

struct Profile {
    epoch: Instant,
    /// Since when the innermost kind goes on.
    since: Instant,
    stack: Vec<Kind>,
    times: Vec<Duration>,
    expressions: HashMap<String, (u64, Duration)>,
    spans: Vec<Span>,
    /// The epoch as the system's clock has it, in nanoseconds.
    clock: u64,
}

thread_local! {
    static PROFILE: RefCell<Option<Profile>> = const { RefCell::new(None) };
    /// Does this thread profile? The main one only.
    static HERE: Cell<bool> = const { Cell::new(false) };
}

/// From now on times are kept for this thread and the processes forked from it.
pub fn begin() {
    let now = Instant::now();
    PROFILE.set(Some(Profile {
        epoch: now,
        since: now,
        stack: vec![Kind::Other],
        times: vec![Duration::ZERO; Kind::ALL.len()],
        expressions: HashMap::new(),
        spans: Vec::new(),
        clock: SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |d| d.as_nanos() as u64),
    }));
    HERE.set(true);
    PROFILING.store(true, Relaxed);
}

#[inline]
pub fn profiling() -> bool {
    PROFILING.load(Relaxed) && HERE.get()
}

impl Profile {
    fn settle(&mut self) {
        let now = Instant::now();
        let kind = self.stack.last().copied().unwrap_or(Kind::Other);
        self.times[kind as usize] += now - self.since;
        self.since = now;
    }
}

/// Work of one kind, until dropped.
#[must_use]
pub struct Timed(bool);

/// Begins work of a kind.
#[inline]
pub fn timed(kind: Kind) -> Timed {
    if !profiling() {
        return Timed(false);
    }
    PROFILE.with_borrow_mut(|profile| {
        if let Some(profile) = profile {
            profile.settle();
            profile.stack.push(kind);
        }
    });
    Timed(true)
}

impl Drop for Timed {
    #[inline]
    fn drop(&mut self) {
        if self.0 {
            PROFILE.with_borrow_mut(|profile| {
                if let Some(profile) = profile {
                    profile.settle();
                    profile.stack.pop();
                }
            });
        }
    }
}

/// Runs `work`, named in the trace.
pub fn span<R>(kind: Kind, name: impl Fn() -> String, work: impl FnOnce() -> R) -> R {
    if !profiling() {
        return work();
    }
    let start = Instant::now();
    let result = {
        let _timed = timed(kind);
        work()
    };
    let length = start.elapsed();
    PROFILE.with_borrow_mut(|profile| {
        if let Some(profile) = profile {
            let span = Span {
                name: name(),
                kind,
                process: std::process::id(),
                start: (start - profile.epoch).as_micros() as u64,
                length: length.as_micros() as u64,
            };
            profile.spans.push(span);
        }
    });
    result
}

/// Runs `work` and adds its time to what `text` (an expression, a function) took in all.
pub fn expression<R>(text: &str, work: impl FnOnce() -> R) -> R {
    if !profiling() {
        return work();
    }
    let start = Instant::now();
    let result = work();
    let took = start.elapsed();
    PROFILE.with_borrow_mut(|profile| {
        if let Some(profile) = profile {
            match profile.expressions.get_mut(text) {
                Some(known) => {
                    known.0 += 1;
                    known.1 += took;
                }
                None => {
                    profile.expressions.insert(text.to_string(), (1, took));
                }
            }
        }
    });
    result
}

/// What a process measured.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Measured {
    counts: Vec<u64>,
    /// Nanoseconds.
    times: Vec<u64>,
    expressions: Vec<(String, u64, u64)>,
    spans: Vec<Span>,
}

/// To be called in a forked child: what the parent measured is the parent's.
pub fn forked() {
    for counter in &COUNTS {
        counter.store(0, Relaxed);
    }
    PROFILE.with_borrow_mut(|profile| {
        if let Some(profile) = profile {
            profile.settle();
            profile.stack = vec![Kind::Other];
            profile.times.fill(Duration::ZERO);
            profile.expressions.clear();
            profile.spans.clear();
        }
    });
}

/// All that was measured so far, for [`absorb`] in another process.
pub fn take() -> Vec<u8> {
    let mut measured = Measured { counts: COUNTS.iter().map(|c| c.swap(0, Relaxed)).collect(), ..Measured::default() };
    PROFILE.with_borrow_mut(|profile| {
        if let Some(profile) = profile {
            profile.settle();
            measured.times = profile.times.iter_mut().map(|t| std::mem::take(t).as_nanos() as u64).collect();
            measured.expressions =
                profile.expressions.drain().map(|(text, (n, time))| (text, n, time.as_nanos() as u64)).collect();
            measured.spans = std::mem::take(&mut profile.spans);
        }
    });
    serde_json::to_vec(&measured).unwrap_or_default()
}

/// Adds what another process measured; anything unreadable is nothing.
pub fn absorb(bytes: &[u8]) {
    let Ok(measured) = serde_json::from_slice::<Measured>(bytes) else { return };
    for (counter, n) in COUNTS.iter().zip(measured.counts) {
        counter.fetch_add(n, Relaxed);
    }
    PROFILE.with_borrow_mut(|profile| {
        let Some(profile) = profile else { return };
        for (time, more) in profile.times.iter_mut().zip(measured.times) {
            *time += Duration::from_nanos(more);
        }
        for (text, n, time) in measured.expressions {
            let known = profile.expressions.entry(text).or_default();
            known.0 += n;
            known.1 += Duration::from_nanos(time);
        }
        profile.spans.extend(measured.spans);
    });
}

/// The report of a profile: seconds by kind, counts, the dearest expressions and functions.
pub fn report() -> String {
    use std::fmt::Write;
    let mut out = String::new();
    PROFILE.with_borrow_mut(|profile| {
        let Some(profile) = profile else { return };
        profile.settle();
        let total: f64 = profile.times.iter().map(Duration::as_secs_f64).sum();
        let _ = writeln!(out, "Seconds of all processes, by kind of work");
        for kind in Kind::ALL {
            let time = profile.times[*kind as usize].as_secs_f64();
            let _ = writeln!(out, "{time:9.3} {:5.1} %  {}", 100.0 * time / total.max(1e-9), kind.text());
        }
        let _ = writeln!(out, "\nCounts");
        for (what, n) in counts() {
            let _ = writeln!(out, "{n:12}  {}", what.text());
        }
        let _ = writeln!(out, "\nExpressions and functions of metadata, with what they call (seconds, times run)");
        let mut all: Vec<_> = profile.expressions.iter().collect();
        all.sort_by(|a, b| b.1.1.cmp(&a.1.1).then(a.0.cmp(b.0)));
        for (text, (n, time)) in all.into_iter().take(60) {
            let line: String = text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(150).collect();
            let _ = writeln!(out, "{:9.3} {n:9}  {line}", time.as_secs_f64());
        }
    });
    out
}

/// The spans as a file for a browser's trace viewer (the Chrome trace format).
pub fn trace() -> String {
    let mut events = Vec::new();
    PROFILE.with_borrow(|profile| {
        for span in profile.iter().flat_map(|profile| &profile.spans) {
            events.push(serde_json::json!({
                "name": span.name, "cat": span.kind.text(), "ph": "X", "ts": span.start, "dur": span.length,
                "pid": span.process, "tid": span.process,
            }));
        }
    });
    let clock = PROFILE.with_borrow(|profile| profile.as_ref().map_or(0, |profile| profile.clock));
    serde_json::json!({ "traceEvents": events, "displayTimeUnit": "ms", "otherData": { "epoch_ns": clock } }).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_belongs_to_the_innermost_kind_and_helpers_add_theirs() {
        begin();
        {
            let _outer = timed(Kind::Graph);
            let _inner = timed(Kind::Inline);
            std::thread::sleep(Duration::from_millis(20));
        }
        count(Count::Native);
        expression("x + 1", || ());
        span(Kind::Queue, || "a span".into(), || ());
        let sent = take();
        absorb(&sent);
        absorb(&sent);
        PROFILE.with_borrow(|profile| {
            let profile = profile.as_ref().unwrap();
            assert!(profile.times[Kind::Inline as usize] >= Duration::from_millis(40));
            assert!(profile.times[Kind::Graph as usize] < Duration::from_millis(20));
            assert_eq!(profile.expressions["x + 1"].0, 2);
        });
        assert!(counts().contains(&(Count::Native, 2)));
        assert!(report().contains("inline expressions evaluated natively"));
        let trace: serde_json::Value = serde_json::from_str(&trace()).unwrap();
        assert_eq!(trace["traceEvents"].as_array().unwrap().len(), 2);
        assert!(trace["otherData"]["epoch_ns"].as_u64().unwrap() > 0);
        absorb(b"nonsense");
    }
}
