//! `-S`: signature files of all tasks, written by several processes, and where the tasks start
//! that no longer match what is cached.
//!
//! The processes take recipe by recipe from a counter they share: what the files of a recipe have in common is
//! made ready once, and nobody is idle while another has the large recipes left.

use crate::{DOMAIN, Result, RunQueue};
use hz_exec::shared::Shared;
use hz_events::pipe::{Lines, line};
use hz_events::{Event, Sink, emit, level, log};
use hz_graph::{TaskId, fatal};
use indexmap::IndexMap;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rustc_hash::FxHashSet;
use std::io::{PipeReader, PipeWriter, Write, pipe};
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
        let failed = |e: std::io::Error| fatal(DOMAIN, format!("Unable to start a process: {e}"));
        let mut groups: IndexMap<(u16, u32), Vec<TaskId>> = IndexMap::new();
        for (id, task) in self.work.graph.tasks.iter().enumerate() {
            groups.entry((task.mc, task.recipe.0)).or_default().push(id as TaskId);
        }
        let next = Shared::<AtomicUsize>::new().map_err(failed)?;
        let parts = self.settings.parse_threads.clamp(1, groups.len().max(1));
        let mut children = Vec::new();
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
            let (reader, writer) = pipe().map_err(failed)?;
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
                -1 => return Err(failed(std::io::Error::last_os_error())),
                pid => {
                    // SAFETY: a plain system call on our own descriptor.
                    unsafe { libc::fcntl(reader.as_raw_fd(), libc::F_SETFL, libc::O_NONBLOCK) };
                    children.push(Writer { pid, events: Lines::new(reader) });
                }
            }
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
