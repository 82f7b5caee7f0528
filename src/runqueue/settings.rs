//! The variables the run queue follows.

use glob::Pattern;
use hz_events::{level, log};
use hz_graph::{Config, Result, TaskGraph, fatal};
use hz_versions::words;
use rustc_hash::FxHashMap;

/// Limits of pressure, in microseconds stalled per second.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Limits {
    pub cpu: Option<f64>,
    pub io: Option<f64>,
    pub memory: Option<f64>,
    /// BB_LOADFACTOR_MAX: load average for each processor.
    pub load: Option<f64>,
}

pub(crate) struct Settings {
    /// BB_NUMBER_THREADS.
    pub number_tasks: usize,
    pub scheduler: String,
    pub limits: Limits,
    /// Task name -> its `number_threads`.
    pub number_threads: FxHashMap<String, usize>,
    pub hashcheck: Option<String>,
    pub depvalid: Option<String>,
    pub enforce: bool,
    /// BB_SETSCENE_ENFORCE_IGNORE_TASKS, if enforced.
    pub ignore_tasks: Option<Vec<String>>,
    /// Processes for `-S`.
    pub parse_threads: usize,
}

/// BB_NUMBER_PARSE_THREADS.
pub fn parse_threads(config: &dyn Config) -> Result<usize> {
    let processors = || std::thread::available_parallelism().map_or(1, |n| n.get());
    Ok(config.get_filled("BB_NUMBER_PARSE_THREADS")?.and_then(|text| text.trim().parse().ok()).unwrap_or_else(processors))
}

impl Settings {
    pub fn read(config: &dyn Config, graph: &TaskGraph) -> Result<Settings> {
        let threads = config.get_filled("BB_NUMBER_THREADS")?.unwrap_or_else(|| "1".into());
        let number_tasks = match threads.trim().parse::<i64>() {
            Ok(n) if n > 0 => n as usize,
            _ => return Err(fatal("", format!("Invalid BB_NUMBER_THREADS {threads}"))),
        };
        let mut number_threads = FxHashMap::default();
        for task in &graph.tasks {
            if number_threads.contains_key(&*task.name) {
                continue;
            }
            let limit = match config.flag(&task.name, "number_threads")?.filter(|text| !text.is_empty()) {
                None => usize::MAX,
                Some(text) => match text.trim().parse::<i64>() {
                    Ok(n) => n.max(0) as usize,
                    Err(_) => return Err(fatal("", format!("Invalid {}[number_threads] '{text}': it must be a number", task.name))),
                },
            };
            number_threads.insert(task.name.to_string(), limit);
        }
        number_threads.retain(|_, limit| *limit != usize::MAX);
        let enforce = config.get("BB_SETSCENE_ENFORCE")?.as_deref() == Some("1");
        Ok(Settings {
            number_tasks,
            scheduler: config.get_filled("BB_SCHEDULER")?.unwrap_or_else(|| "speed".into()),
            limits: Limits {
                cpu: pressure(config, "BB_PRESSURE_MAX_CPU")?,
                io: pressure(config, "BB_PRESSURE_MAX_IO")?,
                memory: pressure(config, "BB_PRESSURE_MAX_MEMORY")?,
                load: load_factor(config)?,
            },
            number_threads,
            hashcheck: config.get_filled("BB_HASHCHECK_FUNCTION")?,
            depvalid: config.get_filled("BB_SETSCENE_DEPVALID")?,
            enforce,
            ignore_tasks: if enforce { Some(ignore_tasks(config, graph)?) } else { None },
            parse_threads: parse_threads(config)?,
        })
    }

    /// May `pn:task` run although set-scene tasks are enforced?
    pub fn may_run(&self, pn: &str, task: &str) -> bool {
        let Some(patterns) = &self.ignore_tasks else { return true };
        let item = format!("{pn}:{task}");
        patterns.iter().any(|pattern| Pattern::new(pattern).map_or(*pattern == item, |p| p.matches(&item)))
    }
}

fn number(variable: &str, text: &str) -> Result<f64> {
    text.trim().parse().map_err(|_| fatal("", format!("Invalid {variable} {text}, it must be a number.")))
}

/// A number as Python shows a float.
pub(crate) fn python_float(n: f64) -> String {
    if n == n.trunc() && n.abs() < 1e16 { format!("{n:.1}") } else { format!("{n}") }
}

fn pressure(config: &dyn Config, variable: &str) -> Result<Option<f64>> {
    let Some(text) = config.get_filled(variable)? else { return Ok(None) };
    let limit = number(variable, &text)?;
    if limit < 1.0 {
        return Err(fatal("", format!("Invalid {variable} {}, minimum value is 1.0.", python_float(limit))));
    }
    if limit > 1_000_000.0 {
        log(level::WARNING, "", format!(
            "Your build will be largely unregulated since {variable} is set to {}. It is very unlikely that such high pressure will be experienced.",
            python_float(limit)
        ));
    }
    Ok(Some(limit))
}

fn load_factor(config: &dyn Config) -> Result<Option<f64>> {
    let Some(text) = config.get_filled("BB_LOADFACTOR_MAX")? else { return Ok(None) };
    let limit = number("BB_LOADFACTOR_MAX", &text)?;
    if limit <= 0.0 {
        return Err(fatal("", format!("Invalid BB_LOADFACTOR_MAX {}, needs to be greater than zero.", python_float(limit))));
    }
    Ok(Some(limit))
}

/// The patterns, `%:TASK` put in full as that task of every target.
fn ignore_tasks(config: &dyn Config, graph: &TaskGraph) -> Result<Vec<String>> {
    let mut patterns = Vec::new();
    for item in words(&config.get_or_empty("BB_SETSCENE_ENFORCE_IGNORE_TASKS")?) {
        match item.strip_prefix("%:") {
            Some(task) => {
                let task = task.split(':').next().unwrap_or_default();
                patterns.extend(graph.plan.targets.iter().map(|target| format!("{}:{task}", target.item)));
            }
            None => patterns.push(item.to_owned()),
        }
    }
    Ok(patterns)
}
