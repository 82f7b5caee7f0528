//! Commands over parsed recipes: building.

use crate::basehashes::BaseHashes;
use crate::bridge::{fire, number, text, texts};
use crate::graphs::{default_task, graph_options, plan, told_as};
use crate::parsing::python_error;
use crate::session::Session;
use crate::signatures::PythonSignatures;
use crate::tasks::{BuildHooks, Forker, Recipes};
use hz_data::DataStore;
use hz_diagnostics::Str;
use hz_graph::{BuildPlan, TargetOptions};
use hz_parse::{Error, Result};
use hz_runqueue::{Options, RunQueue, Step};
use std::time::{Duration, Instant};

/// What the build's time and name are, in every multiconfig's store.
pub(crate) fn set_build_variables(session: &Session) -> Result<()> {
    let now = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC);
    let quiet = hz_data::SetInfo::default();
    for store in session.config.mcdata.values() {
        if store.get_raw("BUILDNAME").is_none_or(|v| !v.is_true()) {
            store.set_var("BUILDNAME", "${DATE}${TIME}", &quiet)?;
        }
        store.set_var("BUILDSTART", now.strftime("%m/%d/%Y %H:%M:%S").to_string(), &quiet)?;
        store.set_var("DATE", now.strftime("%Y%m%d").to_string(), &quiet)?;
        store.set_var("TIME", now.strftime("%H%M%S").to_string(), &quiet)?;
    }
    Ok(())
}

/// `bitbake TARGET…`, with all that shapes a build.
pub fn build(session: &mut Session) -> Result<()> {
    set_build_variables(session)?;
    let task = default_task(session)?;
    let prefixed = if task.starts_with("do_") { task.clone() } else { format!("do_{task}") };
    let named = |t: &String| if t.contains(':') { t.clone() } else { format!("{t}:{prefixed}") };
    let packages: Vec<String> = session.request.targets.iter().map(named).collect();
    fire(session.data(), "bb.event.BuildInit", |vm| Ok(vec![texts(vm, &packages)])).map_err(python_error)?;
    let options = TargetOptions { halt: !session.request.keep_going, allow_incomplete: false };
    let plan = hz_meter::span(hz_meter::Kind::Graph, || "task graph".into(), || plan(session, &session.request.targets, &task, options))?;
    let targets: Vec<String> = plan
        .targets
        .iter()
        .flat_map(|t| {
            let plain = format!("{}:{}", t.item, t.task);
            let prefixed = (!t.mc.is_empty()).then(|| format!("mc:{}:{plain}", t.mc));
            prefixed.into_iter().chain([plain])
        })
        .collect();
    let stores: Vec<DataStore> = session.config.mcdata.values().cloned().collect();
    hz_meter::span(hz_meter::Kind::Queue, || "run queue".into(), || run(session, plan, &stores, &Names::List(targets)))
}

/// What is built, as the build's events tell it: `-b` gives its one name as a text at the end, and a
/// program may want no events at all.
pub(crate) enum Names {
    List(Vec<String>),
    One(String),
    Untold,
}

/// Runs the tasks of `plan` and fires the build's events in each of `stores`.
pub(crate) fn run(session: &mut Session, plan: BuildPlan, stores: &[DataStore], names: &Names) -> Result<()> {
    let buildname = session.data().get_or_empty("BUILDNAME")?;
    let raw_name = session.data().get_raw("BUILDNAME").map(|v| v.to_text()).unwrap_or_default();
    let listed: Vec<&str> = match names {
        Names::List(list) => list.iter().map(String::as_str).collect(),
        Names::One(name) => vec![name],
        Names::Untold => Vec::new(),
    };
    let stores = if matches!(names, Names::Untold) { &[] } else { stores };
    for store in stores {
        fire(store, "bb.event.BuildStarted", |vm| Ok(vec![text(vm, &raw_name), texts(vm, &listed)])).map_err(python_error)?;
    }
    let finalise = BaseHashes::new(session.data())?;
    let recipes = Recipes::new(session, finalise)?;
    let variables = ["DATE", "TIME"]
        .iter()
        .map(|n| Ok(((*n).into(), session.data().get_or_empty(n)?)))
        .chain([Ok(("BUILDNAME".into(), buildname.clone()))])
        .collect::<Result<Vec<(Str, Str)>>>()?;
    let options = Options {
        graph: graph_options(session),
        dry_run: session.request.dry_run,
        dump_signatures: session.request.dump_signatures.clone(),
        skip_setscene: session.request.skip_setscene,
        setscene_only: session.request.setscene_only,
        progress: true,
    };
    if !options.dry_run && options.dump_signatures.is_empty() {
        hz_python::run_deferred();
    }
    let config = session.data().clone();
    let hooks = BuildHooks::new(session);
    let forker = Forker::new(session, recipes, variables);
    let queue = RunQueue::prepare(plan, &config, options, Box::new(PythonSignatures::new()), Box::new(hooks), Box::new(forker));
    let outcome = match queue {
        // Nothing to do, of which nothing is said.
        Ok(None) => Ok((0, 0, true)),
        Ok(Some(mut queue)) => drive(session, &mut queue),
        Err(e) => Err(told(e)),
    };
    let (total, failed, interrupted) = match &outcome {
        Ok((total, failed, _)) => (*total, *failed, session.told as usize),
        Err(_) => (0, 1, session.told as usize),
    };
    for store in stores {
        fire(store, "bb.event.BuildCompleted", |vm| {
            let items = match names {
                Names::List(list) => texts(vm, list),
                Names::One(name) => text(vm, name),
                Names::Untold => vm.ctx.none(),
            };
            let args = [number(vm, total), text(vm, &raw_name), items, number(vm, failed), number(vm, interrupted)];
            Ok(args.to_vec())
        })
        .map_err(python_error)?;
    }
    match outcome? {
        (_, _, true) => Ok(()),
        _ => Err(Error::Handled),
    }
}

/// An error of the run queue: once it stands, the reference reports an exit by its bare status.
fn told(error: hz_graph::GraphError) -> Error {
    told_as(error, "1")
}

/// Steps the run queue to its end: gives the number of tasks, of failed ones, and success.
fn drive(session: &mut Session, queue: &mut RunQueue) -> Result<(usize, usize, bool)> {
    let heartbeat = session.data().get_or_empty("BB_HEARTBEAT_EVENT")?.trim().parse::<f64>().ok().filter(|s| *s > 0.0).unwrap_or(1.0);
    let heartbeat = Duration::from_secs_f64(heartbeat);
    let (mut beat, mut asked) = (Instant::now(), 0);
    loop {
        let step = queue.step().map_err(told)?;
        crate::client::deliver(&session.terminal).map_err(python_error)?;
        for event in session.terminal.take_queue_events() {
            crate::queue_events::fire(&event, session.data()).map_err(python_error)?;
        }
        let interrupts = session.terminal.interrupts(&mut session.told);
        if interrupts > asked {
            asked = interrupts;
            queue.finish(interrupts > 1);
        }
        match step {
            Step::Again => {}
            Step::Wait => {
                queue.wait(Duration::from_millis(100)).map_err(told)?;
                session.terminal.lock().tick();
            }
            Step::Done(outcome) => return Ok((outcome.total, outcome.failed.len(), outcome.success)),
        }
        if beat.elapsed() >= heartbeat {
            beat = Instant::now();
            queue.heartbeat();
            for store in session.config.mcdata.values() {
                fire(store, "bb.event.HeartbeatEvent", |vm| Ok(vec![vm.ctx.new_float(unix_time()).into()])).map_err(python_error)?;
            }
        }
    }
}

fn unix_time() -> f64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0.0, |d| d.as_secs_f64())
}

/// Does to a configuration what the end of a recipe does: expands keys, runs anonymous functions.
pub fn finish_configuration(data: &DataStore) -> Result<()> {
    data.expand_keys()?;
    let names: Vec<Str> = match data.get_raw("__BBANONFUNCS") {
        Some(hz_data::Value::List(list)) => list.iter().map(hz_data::Value::to_text).collect(),
        _ => Vec::new(),
    };
    data.runtime().run_anonymous(data, &names).map_err(python_error)
}
