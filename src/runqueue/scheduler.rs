//! Which of the tasks that could start starts first, and whether the machine can take one more.

use crate::settings::{Limits, python_float};
use crate::work::Work;
use hz_events::{Event, emit, level, log};
use hz_graph::{Config, Result, TaskId, fatal};
use indexmap::IndexSet;
use serde_json::json;
use std::collections::BTreeSet;
use std::time::Instant;

/// The schedulers there are.
const NAMES: [&str; 3] = ["basic", "speed", "completion"];

/// The order of tasks and those of them that could start.
#[derive(Default)]
pub(crate) struct Scheduler {
    /// Tasks, most important first, and the place of each in there.
    order: Vec<TaskId>,
    priority: Vec<u32>,
    ready: BTreeSet<u32>,
}

impl Scheduler {
    pub fn new(name: &str, config: &dyn Config, work: &Work) -> Result<Scheduler> {
        for entry in hz_versions::words(&config.get_or_empty("BB_SCHEDULERS")?) {
            if entry.contains('.') {
                log(level::WARNING, "", format!("Ignoring scheduler '{entry}' from BB_SCHEDULERS: schedulers written in Python are not supported"));
            } else {
                log(level::NOTE, "", format!("Ignoring scheduler '{entry}' from BB_SCHEDULERS: not an import"));
            }
        }
        let count = work.graph.tasks.len() as TaskId;
        let order = match name {
            "basic" => (0..count).collect(),
            "speed" => by_weight(work),
            "completion" => by_completion(work),
            _ => return Err(fatal("", format!("Invalid scheduler '{name}'.  Available schedulers: {}", NAMES.join(", ")))),
        };
        log(level::DEBUG, crate::DOMAIN, format!("Using runqueue scheduler '{name}'"));
        let mut priority = vec![0; order.len()];
        order.iter().enumerate().for_each(|(at, id): (usize, &TaskId)| priority[*id as usize] = at as u32);
        Ok(Scheduler { order, priority, ready: BTreeSet::new() })
    }

    /// Notes whether a task could start.
    pub fn offer(&mut self, id: TaskId, could: bool) {
        let priority = self.priority[id as usize];
        if could {
            self.ready.insert(priority);
        } else {
            self.ready.remove(&priority);
        }
    }

    /// Tasks that could start, most important first.
    pub fn ready(&self) -> impl Iterator<Item = TaskId> + '_ {
        self.ready.iter().map(|priority| self.order[*priority as usize])
    }
}

/// Heaviest first; of equal weight the later one in the graph first.
fn by_weight(work: &Work) -> Vec<TaskId> {
    let mut order: Vec<TaskId> = (0..work.graph.tasks.len() as TaskId).collect();
    order.sort_by_key(|id| std::cmp::Reverse((work.graph.task(*id).weight, *id)));
    order
}

/// By weight, then regrouped by task name so that what ends the work on a recipe comes first:
/// recipes are finished one after another, which saves disk space where finished ones are removed.
fn by_completion(work: &Work) -> Vec<TaskId> {
    let order = by_weight(work);
    let mut recipes: IndexSet<(u16, u32)> = IndexSet::new();
    let mut lists: Vec<Vec<&str>> = Vec::new();
    for id in &order {
        let task = work.graph.task(*id);
        let (at, new) = recipes.insert_full((task.mc, task.recipe.0));
        if new {
            lists.push(Vec::new());
        }
        lists[at].push(&task.name);
    }
    // One list of all names: those of each recipe, in order, new ones after the one before them.
    let mut names: Vec<&str> = Vec::new();
    for list in lists {
        let mut at = 0;
        for name in list {
            if names.get(at) != Some(&name) {
                match names.iter().position(|known| *known == name) {
                    Some(known) => at = known,
                    None => names.insert(at, name),
                }
            }
            at += 1;
        }
    }
    let place: rustc_hash::FxHashMap<&str, usize> = names.iter().rev().enumerate().map(|(at, name)| (*name, at)).collect();
    let mut order = order;
    order.sort_by_key(|id| place.get(&*work.graph.task(*id).name).copied());
    order
}

/// Watches what the kernel says of stalls and load, so that no task is started on a machine that
/// is busy already.
pub(crate) struct Pressure {
    limits: Limits,
    /// Totals (microseconds) of cpu, io, memory and when they were read; None: not watched.
    before: Option<([f64; 3], Instant)>,
    state: Option<[bool; 3]>,
    load_state: Option<bool>,
}

fn totals() -> Option<[f64; 3]> {
    let total = |name: &str| -> Option<f64> {
        let text = std::fs::read_to_string(format!("/proc/pressure/{name}")).ok()?;
        text.lines().next()?.split_whitespace().nth(4)?.split_once('=')?.1.parse().ok()
    };
    Some([total("cpu")?, total("io")?, total("memory")?])
}

impl Pressure {
    pub fn new(limits: Limits) -> Pressure {
        let wanted = limits.cpu.or(limits.io).or(limits.memory).is_some();
        let before = if wanted { totals().map(|totals| (totals, Instant::now())) } else { None };
        if wanted && before.is_none() {
            log(level::NOTE, "", "The /proc/pressure files can't be read. Continuing build without monitoring pressure");
        }
        Pressure { limits, before, state: None, load_state: None }
    }

    /// Is there too much? `running` of `threads` tasks run, for the messages.
    pub fn exceeded(&mut self, running: usize, threads: usize) -> bool {
        if let Some((before, since)) = self.before {
            let Some(now) = totals() else { return false };
            let seconds = since.elapsed().as_secs_f64().max(1e-6);
            let limits = [self.limits.cpu, self.limits.io, self.limits.memory];
            let values: [f64; 3] = std::array::from_fn(|i| (now[i] - before[i]) / seconds);
            let state: [bool; 3] = std::array::from_fn(|i| limits[i].is_some_and(|limit| values[i] > limit));
            if seconds > 1.0 {
                self.before = Some((now, Instant::now()));
            }
            if self.state.is_some_and(|old| old != state) {
                let on = |i: usize| if state[i] { "True" } else { "False" };
                let value = |i: usize| python_float((values[i] * 10.0).round() / 10.0);
                let limit = |i: usize| limits[i].map_or("None".into(), python_float);
                log(level::VERBOSE, crate::PSI, format!(
                    "Pressure status changed to CPU: {}, IO: {}, Mem: {} (CPU: {}/{}, IO: {}/{}, Mem: {}/{}) - using {running}/{threads} bitbake threads",
                    on(0), on(1), on(2), value(0), limit(0), value(1), limit(1), value(2), limit(2)
                ));
                let round = |i: usize| (values[i] * 10.0).round() / 10.0;
                emit(Event::Other { class: "bb.runqueue.PSIEvent".into(), attributes: json!({
                    "pressure_state": state,
                    "pressure_values": [json!(round(0)), json!(limits[0]), json!(round(1)), json!(limits[1]), json!(round(2)), json!(limits[2])],
                }) });
            }
            self.state = Some(state);
            return state.contains(&true);
        }
        let Some(limit) = self.limits.load else { return false };
        let mut averages = [0f64; 3];
        // SAFETY: the array has room for the three averages asked for.
        if unsafe { libc::getloadavg(averages.as_mut_ptr(), 3) } < 1 {
            return false;
        }
        let factor = averages[0] / std::thread::available_parallelism().map_or(1, |n| n.get()) as f64;
        let limited = factor > limit;
        if self.load_state.is_some_and(|old| old != limited) {
            let shown = if limited { "True" } else { "False" };
            log(level::NOTE, "", format!("Load average limiting set to {shown} as load average: {} - using {running}/{threads} bitbake threads", python_float(factor)));
        }
        self.load_state = Some(limited);
        limited
    }
}
