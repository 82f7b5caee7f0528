//! `-S`: signature files of all tasks, written by several processes, and where the tasks start
//! that no longer match what is cached.
//!
//! The processes take recipe by recipe from a counter they share: what the files of a recipe have in common is
//! made ready once, and nobody is idle while another has the large recipes left.
//!
//! Some of the files are made while later tasks are still being hashed, which only one process can do ([`Early`]).

use crate::interface::{PreparedDump, Signatures};
use crate::{DOMAIN, Options, Result, RunQueue, Work, settings};
use hz_exec::shared::Shared;
use hz_events::pipe::{Lines, line};
use hz_events::{Event, Sink, emit, level, log};
use hz_diagnostics::Str;
use hz_graph::{Config, McId, RecipeId, TaskGraph, TaskId, fatal};
use indexmap::IndexMap;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rustc_hash::FxHashSet;
use std::io::{self, PipeReader, PipeWriter, Read, Write, pipe};
use std::os::fd::{AsFd, AsRawFd};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// A process that writes signature files; its messages come through a pipe, so that they are shown
/// and counted by the process that shows and counts all others.
struct Writer {
    pid: i32,
    events: Lines<PipeReader>,
}

/// The sink of such a process.
struct ToParent(PipeWriter);

impl Sink for ToParent {
    fn emit(&mut self, event: Event) {
        if let Some(line) = line(&event) {
            // If nobody reads any more, the command has gone.
            let _ = self.0.write_all(&line);
        }
    }
}

/// Forks a process that writes files. The parent is to have one thread.
fn fork_writer(write: impl FnOnce() -> Result<()>) -> io::Result<Writer> {
    let (reader, writer) = pipe()?;
    // SAFETY: the process that runs builds has one thread, so the child is as good as it.
    match unsafe { libc::fork() } {
        0 => {
            drop(reader);
            hz_events::set_sink(Box::new(ToParent(writer)));
            let code = match std::panic::catch_unwind(std::panic::AssertUnwindSafe(write)) {
                Ok(Ok(())) => 0,
                Ok(Err(e)) => {
                    log(level::ERROR, DOMAIN, e.to_string());
                    1
                }
                Err(_) => 1,
            };
            // SAFETY: ends the child without running what belongs to the parent.
            unsafe { libc::_exit(code) }
        }
        -1 => Err(io::Error::last_os_error()),
        pid => {
            // SAFETY: a plain system call on our own descriptor.
            unsafe { libc::fcntl(reader.as_raw_fd(), libc::F_SETFL, libc::O_NONBLOCK) };
            Ok(Writer { pid, events: Lines::new(reader) })
        }
    }
}

/// Tasks by their recipes.
fn by_recipe(graph: &TaskGraph, which: impl Fn(TaskId) -> bool) -> IndexMap<(McId, RecipeId), Vec<TaskId>> {
    let mut groups: IndexMap<(McId, RecipeId), Vec<TaskId>> = IndexMap::new();
    for (id, task) in graph.tasks.iter().enumerate().filter(|(id, _)| which(*id as TaskId)) {
        groups.entry((task.mc, task.recipe)).or_default().push(id as TaskId);
    }
    groups
}

/// What that many tasks take to be hashed is worth another process.
const MANY: usize = if cfg!(test) { 4 } else { 1000 };
/// What a process keeps until it may write, at most.
const MOST_KEPT: usize = 64 << 20;
/// No more recipes are to be taken.
const CLOSED: usize = usize::MAX / 2;

/// Processes that make signature files of tasks that have their hashes already, while others are being hashed. They
/// keep them until they are told that files are written now, and nothing is noticed of them if they never are.
pub(crate) struct Early {
    /// How many there are to be.
    wanted: usize,
    waiting: Vec<(Writer, PipeWriter)>,
    /// The tasks they may take, by recipe, and how many of these are taken.
    groups: Vec<Vec<TaskId>>,
    taken: Option<Shared<AtomicUsize>>,
    /// Hashes and unihashes that tasks had when the processes were made.
    hashes: Vec<(TaskId, Str, Str)>,
}

impl Early {
    /// None are made where few files, or none, are to be written.
    pub(crate) fn new(options: &Options, config: &dyn Config) -> Early {
        let words = &options.dump_signatures;
        let files = !words.is_empty() && !words.iter().any(|word| word == "printdiff");
        let threads = if files { settings::parse_threads(config).unwrap_or(1) } else { 1 };
        // One processor is needed for what goes on here.
        Early { wanted: threads.saturating_sub(1), waiting: Vec::new(), groups: Vec::new(), taken: None, hashes: Vec::new() }
    }

    /// Makes the processes once enough tasks have their hashes.
    pub(crate) fn look(&mut self, work: &Work, sigs: &mut dyn Signatures, hashed: usize) {
        let count = work.graph.tasks.len();
        if self.wanted == 0 || hashed * 5 < count * 2 {
            return;
        }
        // Without them all files are written later.
        if count - hashed >= MANY && self.begin(work, sigs).is_err() {
            self.end();
        }
        self.wanted = 0;
    }

    fn begin(&mut self, work: &Work, sigs: &mut dyn Signatures) -> io::Result<()> {
        let all = by_recipe(&work.graph, |_| true);
        let ready = by_recipe(&work.graph, |id| !work.unihash[id as usize].is_empty());
        // What files of a recipe have in common is made ready once where all of them are made here.
        let (whole, others): (Vec<_>, Vec<_>) = ready.into_iter().partition(|(recipe, tasks)| all[recipe].len() == tasks.len());
        self.groups = whole.into_iter().chain(others).map(|(_, tasks)| tasks).collect();
        let hashes = |id: &TaskId| (*id, work.hash[*id as usize].clone(), work.unihash[*id as usize].clone());
        self.hashes = self.groups.iter().flatten().map(hashes).collect();
        let taken = self.taken.insert(Shared::new()?);
        for _ in 0..self.wanted {
            let (go, word) = pipe()?;
            let (groups, taken) = (&self.groups, &*taken);
            let ours = word.try_clone()?;
            let writer = fork_writer(|| {
                drop(word);
                prepare_files(&work.graph, sigs, groups, taken, go)
            })?;
            self.waiting.push((writer, ours));
        }
        Ok(())
    }

    /// Lets the processes write, and gives them with the tasks whose files they write.
    fn let_go(&mut self, work: &Work) -> (Vec<Writer>, FxHashSet<TaskId>) {
        let changed = |(id, hash, unihash): &(TaskId, Str, Str)| work.hash[*id as usize] != *hash || work.unihash[*id as usize] != *unihash;
        if self.waiting.is_empty() || self.hashes.iter().any(changed) {
            self.end();
            return Default::default();
        }
        let taken = self.taken.as_ref().map_or(0, |taken| taken.swap(CLOSED, Ordering::Relaxed));
        let tasks = self.groups.iter().take(taken).flatten().copied().collect();
        let mut go = |(writer, mut word): (Writer, PipeWriter)| {
            // One that has ended is seen to have failed.
            let _ = word.write_all(&[1]);
            writer
        };
        (self.waiting.drain(..).map(&mut go).collect(), tasks)
    }

    /// Have the processes taken all they may?
    #[cfg(test)]
    pub(crate) fn has_taken_all(&self) -> bool {
        self.taken.as_ref().is_some_and(|taken| taken.load(Ordering::Relaxed) > self.groups.len())
    }

    /// Ends the processes, which have written nothing.
    fn end(&mut self) {
        for (writer, word) in self.waiting.drain(..) {
            drop(word);
            // SAFETY: plain system calls on a child of ours.
            unsafe {
                libc::kill(writer.pid, libc::SIGKILL);
                libc::waitpid(writer.pid, std::ptr::null_mut(), 0);
            }
        }
    }
}

impl Drop for Early {
    fn drop(&mut self) {
        self.end();
    }
}

/// The inside of such a process.
fn prepare_files(graph: &TaskGraph, sigs: &mut dyn Signatures, groups: &[Vec<TaskId>], taken: &AtomicUsize, mut go: PipeReader) -> Result<()> {
    let (mut made, mut rest, mut size) = (Vec::new(), Vec::new(), 0);
    while size < MOST_KEPT
        && let Some(tasks) = groups.get(taken.fetch_add(1, Ordering::Relaxed))
    {
        for id in tasks {
            match sigs.prepare_dump(graph, *id) {
                Some(PreparedDump { size: more, write }) => {
                    size += more;
                    made.push((*id, write));
                }
                None => rest.push(*id),
            }
        }
    }
    if go.read_exact(&mut [0]).is_err() {
        // The files are not wanted.
        return Ok(());
    }
    rest.extend(made.into_iter().filter_map(|(id, write)| (!write()).then_some(id)));
    rest.into_iter().try_for_each(|id| sigs.dump_sigtask(graph, id))
}

/// Processes that write signature files.
pub(crate) struct Dump {
    children: Vec<Writer>,
    failed: bool,
    /// Tasks whose difference is explained at the end (`printdiff`).
    differing: Vec<TaskId>,
}

impl RunQueue {
    fn print_diff(&self) -> bool {
        self.options.dump_signatures.iter().any(|word| word == "printdiff")
    }

    /// Starts the processes or sees whether they ended; true: all is done.
    pub(crate) fn dump_step(&mut self) -> Result<bool> {
        if self.dump.is_none() {
            let differing = if self.print_diff() { self.differing_tasks()? } else { Vec::new() };
            log(level::NOTE, "", "Writing task signature files");
            let children = self.fork_dumps()?;
            self.dump = Some(Dump { children, failed: false, differing });
        }
        let Some(dump) = &mut self.dump else { return Ok(true) };
        dump.children.retain_mut(|writer| {
            let mut status = 0;
            // First whether it ended, then what it sent: so nothing it sent is missed.
            // SAFETY: a plain system call on a child of ours.
            let ended = unsafe { libc::waitpid(writer.pid, &mut status, libc::WNOHANG) };
            writer.events.take(emit);
            if ended == writer.pid && status != 0 {
                dump.failed = true;
            }
            ended == 0
        });
        if !dump.children.is_empty() {
            return Ok(false);
        }
        if dump.failed {
            return Err(fatal(DOMAIN, "Writing task signature files failed, see the messages above"));
        }
        let differing = std::mem::take(&mut dump.differing);
        self.sigs.dump_sigs(&self.work.graph, &self.options.dump_signatures)?;
        for id in differing {
            self.hooks.explain_difference(&self.work, id)?;
        }
        Ok(true)
    }

    /// Waits until one of the processes sends something or ends.
    pub(crate) fn dump_wait(&self, timeout: Duration) {
        let Some(dump) = &self.dump else { return };
        let fds = dump.children.iter().filter(|writer| writer.events.is_open());
        let mut fds: Vec<PollFd<'_>> = fds.map(|writer| PollFd::new(writer.events.pipe().as_fd(), PollFlags::POLLIN)).collect();
        // One that closed its pipe is about to end.
        let timeout = if fds.len() < dump.children.len() { Duration::from_millis(1) } else { timeout };
        // A signal ends the wait early, which does no harm.
        let _ = poll(&mut fds, PollTimeout::try_from(timeout).unwrap_or(PollTimeout::MAX));
    }

    fn fork_dumps(&mut self) -> Result<Vec<Writer>> {
        let failed = |e: io::Error| fatal(DOMAIN, format!("Unable to start a process: {e}"));
        let (mut children, begun) = self.early.let_go(&self.work);
        let groups = by_recipe(&self.work.graph, |id| !begun.contains(&id));
        let next = Shared::<AtomicUsize>::new().map_err(failed)?;
        let parts = self.settings.parse_threads.clamp(1, groups.len().max(1));
        for _ in 0..parts {
            let mut write = || {
                while let Some((_, tasks)) = groups.get_index(next.fetch_add(1, Ordering::Relaxed)) {
                    tasks.iter().try_for_each(|id| self.sigs.dump_sigtask(&self.work.graph, *id))?;
                }
                Ok::<(), hz_graph::GraphError>(())
            };
            if parts == 1 {
                write()?;
                return Ok(children);
            }
            children.push(fork_writer(write).map_err(failed)?);
        }
        Ok(children)
    }

    /// From the targets down: the first tasks whose objects cannot be had although all they depend
    /// on can.
    fn differing_tasks(&mut self) -> Result<Vec<TaskId>> {
        let count = self.work.graph.tasks.len() as TaskId;
        let (noexec, check): (Vec<TaskId>, Vec<TaskId>) = (0..count).partition(|id| self.work.graph.has_flag(*id, "noexec"));
        let mut valid: FxHashSet<TaskId> = self.validate(&check, 0, true, false)?.into_iter().collect();
        let graph = &self.work.graph;
        let is_noexec: FxHashSet<TaskId> = noexec.iter().copied().collect();
        // Such set-scene tasks never care for what they depend on.
        let careless = |id: &TaskId| self.sq.is_scene(*id) && is_noexec.contains(id);
        for id in noexec.iter().filter(|id| careless(id)) {
            valid.extend(graph.task(*id).depends.iter().filter(|dep| graph.task(**dep).revdeps.iter().all(careless)));
        }
        let mut found: Vec<TaskId> = Vec::new();
        let mut seen: FxHashSet<TaskId> = FxHashSet::default();
        let targets = graph.plan.targets.iter().filter_map(|t| graph.find(&format!("{}:{}", graph.plan.sets[&t.mc].mcfn(t.recipe), t.task)));
        let mut todo: Vec<TaskId> = targets.collect();
        let mut roots: FxHashSet<TaskId> = FxHashSet::default();
        while let Some(id) = todo.pop() {
            if !seen.insert(id) {
                continue;
            }
            if !valid.contains(&id) && !is_noexec.contains(&id) {
                let mut stack = vec![id];
                while let Some(id) = stack.pop() {
                    if !roots.insert(id) {
                        continue;
                    }
                    let invalid: Vec<TaskId> = graph.task(id).depends.iter().copied().filter(|dep| !valid.contains(dep)).collect();
                    if invalid.is_empty() && !is_noexec.contains(&id) {
                        found.push(id);
                    }
                    stack.extend(invalid);
                }
            } else if self.sq.is_scene(id) {
                todo.extend(&self.sq.deps[self.sq.at(id)]);
            } else {
                todo.extend(&graph.task(id).depends);
            }
        }
        let found = self.work.sorted(found);
        if !found.is_empty() {
            let names: Vec<&str> = found.iter().map(|id| &**self.work.tid(*id)).collect();
            log(level::PLAIN, "", format!("The differences between the current build and any cached tasks start at the following tasks:\n{}", names.join("\n")));
        }
        Ok(found)
    }
}
