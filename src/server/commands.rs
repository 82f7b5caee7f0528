//! Commands over parsed recipes: building, graphs, variables.

use crate::bridge::{fire, number, python, text, texts};
use crate::parsing::{BaseHashes, python_error};
use crate::session::{Session, parse_variant};
use crate::signatures::{PythonSignatures, graph_error};
use crate::tasks::{BuildHooks, Forker, Recipes};
use hz_data::{DataStore, RAW};
use hz_diagnostics::Str;
use hz_events::{Event, emit, level, log};
use hz_graph::{BuildPlan, Config, GraphError, GraphOptions, RecipeSet, TargetOptions, TaskGraph};
use hz_parse::{Error, Result};
use hz_runqueue::{Options, RunQueue, Step};
use indexmap::IndexMap;
use std::time::{Duration, Instant};

/// A graph or run queue error as the command's.
fn told(error: GraphError) -> Error {
    match error {
        GraphError::Config(text) => Error::Other(text),
        // Each of these has been told where it arose.
        GraphError::Handled(_)
        | GraphError::NoProvider(_)
        | GraphError::NoRuntimeProvider(_)
        | GraphError::MultipleRuntimeProviders(_) => Error::Handled,
    }
}

/// The default task: `-c`, else BB_DEFAULT_TASK, else build.
fn default_task(session: &Session) -> Result<String> {
    let configured = session.data().get("BB_DEFAULT_TASK")?.filter(|t| !t.is_empty()).map(|t| t.to_string());
    Ok(session.request.cmd.clone().or(configured).unwrap_or_else(|| "build".into()))
}

/// Resolves targets and all they need.
fn plan(session: &Session, targets: &[String], task: &str, options: TargetOptions) -> Result<BuildPlan> {
    let Some(parsed) = &session.parsed else { return Err(Error::Other("nothing is parsed yet".into())) };
    let mut sets: IndexMap<Str, RecipeSet> = IndexMap::new();
    let mut expanded: IndexMap<Str, DataStore> = IndexMap::new();
    for (mc, store) in &session.config.mcdata {
        let config = hz_graph::expanded_config(store).map_err(told)?;
        let names: Vec<Str> = parsed.recipes[mc].iter().filter(|r| r.skipped.is_none()).map(|r| r.mcfn.clone()).collect();
        let priorities = parsed.collectors[mc].priorities(&names, &parsed.files[mc], store)?;
        let mut set = RecipeSet::new(mc.clone());
        for info in &parsed.recipes[mc] {
            set.add(info.clone(), priorities.get(&info.mcfn).copied().unwrap_or(0));
        }
        set.read_preferences(&config, &session.request.assume_provided).map_err(told)?;
        sets.insert(mc.clone(), set);
        expanded.insert(mc.clone(), config);
    }
    let configs: IndexMap<Str, &dyn Config> = expanded.iter().map(|(mc, c)| (mc.clone(), c as &dyn Config)).collect();
    let mut extra = |call: &hz_graph::ExtraDepends| -> hz_graph::Result<Vec<Str>> {
        crate::bridge::python(|vm| {
            let pkg_pn = vm.ctx.new_dict();
            for (pn, ids) in &call.set.pkg_pn {
                pkg_pn.set_item(&**pn, texts(vm, ids.iter().map(|id| call.set.mcfn(*id))), vm)?;
            }
            let args = vec![
                text(vm, &call.function),
                text(vm, call.code),
                texts(vm, &call.deps),
                texts(vm, &call.world_target),
                pkg_pn.into(),
                text(vm, call.self_pn),
            ];
            let found = crate::bridge::call(vm, "bb._cooker", "extra_depends", args)?;
            let items: Vec<rustpython_vm::PyObjectRef> = vm.extract_elements_with(&found, Ok)?;
            items.into_iter().map(|i| Ok(i.str(vm)?.to_string().into())).collect()
        })
        .map_err(graph_error)
    };
    hz_graph::build_task_data(targets, task, sets, &configs, options, &mut extra).map_err(told)
}

fn graph_options(session: &Session) -> GraphOptions {
    let r = &session.request;
    GraphOptions {
        runall: r.runall.clone(),
        runonly: r.runonly.clone(),
        force: r.force,
        invalidate_stamp: (!r.invalidate_stamps.is_empty()).then(|| r.invalidate_stamps.join(",")),
        nosetscene: r.no_setscene,
        warn_multi_bb: r.targets.iter().any(|t| t == "universe"),
    }
}

/// What the build's time and name are, in every multiconfig's store.
fn set_build_variables(session: &Session) -> Result<()> {
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
    let named = |t: &String| if t.contains(':') { t.clone() } else { format!("{t}:{}", with_prefix(&task)) };
    let packages: Vec<String> = session.request.targets.iter().map(named).collect();
    fire(session.data(), "bb.event.BuildInit", |vm| Ok(vec![texts(vm, &packages)])).map_err(python_error)?;
    let plan = plan(session, &session.request.targets, &task, TargetOptions { halt: !session.request.keep_going, allow_incomplete: false })?;
    let targets: Vec<String> = plan
        .targets
        .iter()
        .flat_map(|t| {
            let plain = format!("{}:{}", t.item, t.task);
            let prefixed = (!t.mc.is_empty()).then(|| format!("mc:{}:{plain}", t.mc));
            prefixed.into_iter().chain([plain])
        })
        .collect();
    let buildname = session.data().get_or_empty("BUILDNAME")?;
    let raw_name = session.data().get_raw("BUILDNAME").map(|v| v.to_text()).unwrap_or_default();
    let stores: Vec<DataStore> = session.config.mcdata.values().cloned().collect();
    for store in &stores {
        fire(store, "bb.event.BuildStarted", |vm| Ok(vec![text(vm, &raw_name), texts(vm, &targets)])).map_err(python_error)?;
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
    let config = session.data().clone();
    let hooks = BuildHooks::new(session);
    let forker = Forker::new(session, recipes, variables);
    let queue = RunQueue::prepare(plan, &config, options, Box::new(PythonSignatures::new()), Box::new(hooks), Box::new(forker));
    let outcome = match queue {
        Ok(None) => {
            log(level::PLAIN, "", "No valid tasks to run");
            Ok((0, 0, true))
        }
        Ok(Some(mut queue)) => drive(session, &mut queue),
        Err(e) => Err(told(e)),
    };
    let (total, failed, interrupted) = match &outcome {
        Ok((total, failed, _)) => (*total, *failed, session.told as usize),
        Err(_) => (0, 1, session.told as usize),
    };
    for store in &stores {
        fire(store, "bb.event.BuildCompleted", |vm| {
            let args = [number(vm, total), text(vm, &raw_name), texts(vm, &targets), number(vm, failed), number(vm, interrupted)];
            Ok(args.to_vec())
        })
        .map_err(python_error)?;
    }
    match outcome? {
        (_, _, true) => Ok(()),
        _ => Err(Error::Handled),
    }
}

/// Steps the run queue to its end: gives the number of tasks, of failed ones, and success.
fn drive(session: &mut Session, queue: &mut RunQueue) -> Result<(usize, usize, bool)> {
    let heartbeat = session.data().get_or_empty("BB_HEARTBEAT_EVENT")?.trim().parse::<f64>().ok().filter(|s| *s > 0.0).unwrap_or(1.0);
    let heartbeat = Duration::from_secs_f64(heartbeat);
    let (mut beat, mut asked) = (Instant::now(), 0);
    loop {
        let step = queue.step().map_err(told)?;
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

fn with_prefix(task: &str) -> String {
    if task.starts_with("do_") { task.to_string() } else { format!("do_{task}") }
}

/// `-g`: pn-buildlist and task-depends.dot in the current directory.
pub fn write_graph(session: &Session) -> Result<()> {
    let task = default_task(session)?;
    let plan = plan(session, &session.request.targets, &task, TargetOptions { halt: false, allow_incomplete: true })?;
    let Some(graph) = TaskGraph::build(plan, session.data(), &graph_options(session)).map_err(told)? else {
        log(level::PLAIN, "", "No valid tasks to run");
        return Ok(());
    };
    let dir = std::env::current_dir().map_err(|e| Error::Other(e.to_string()))?;
    hz_graph::DependTree::new(&graph).write_files(&dir).map_err(told)
}

/// `-e TARGET`.
pub fn show_environment_of_target(session: &Session) -> Result<()> {
    let [target] = &session.request.targets[..] else {
        log(level::ERROR, "", "Only one target can be used with the --environment option.");
        return Err(Error::Handled);
    };
    if let Some(mc) = target.strip_prefix("mc:").filter(|t| !t.contains(':')) {
        let Some(store) = session.config.mcdata.get(mc) else {
            log(level::CRITICAL, "", format!("No multiconfig named \"{mc}\" found"));
            return Err(Error::Handled);
        };
        return print_environment(session, store);
    }
    let assumed = session.data().get_or_empty("ASSUME_PROVIDED")?;
    if assumed.split_whitespace().any(|name| name == target) {
        log(level::CRITICAL, "", format!("{target} is in ASSUME_PROVIDED"));
        return Err(Error::Handled);
    }
    let plan = plan(session, &session.request.targets, &default_task(session)?, TargetOptions { halt: true, allow_incomplete: true })?;
    let Some(found) = plan.targets.first() else { return Err(Error::Handled) };
    let mcfn = plan.sets[&found.mc].mcfn(found.recipe).clone();
    let variant = parse_variant(session, &session.config.mcdata[&found.mc], &mcfn, &BaseHashes::new(session.data())?)?;
    print_environment(session, &variant.store)
}

/// `-e`: the configuration, or one recipe's store.
pub fn show_environment(session: &Session, store: Option<&DataStore>) -> Result<()> {
    if let Some(store) = store {
        return print_environment(session, store);
    }
    let data = session.data();
    data.expand_keys()?;
    let names: Vec<Str> = match data.get_raw("__BBANONFUNCS") {
        Some(hz_data::Value::List(list)) => list.iter().map(hz_data::Value::to_text).collect(),
        _ => Vec::new(),
    };
    data.runtime().run_anonymous(data, &names).map_err(python_error)?;
    print_environment(session, data)
}

fn print_environment(session: &Session, store: &DataStore) -> Result<()> {
    let say = |text: String| emit(Event::Log(hz_events::LogRecord {
        level: level::PLAIN,
        logger: "BitBake".into(),
        message: text,
        pid: std::process::id() as i32,
        taskpid: None,
        fn_: None,
    }));
    let text = python(|vm| {
        let out = crate::bridge::call(vm, "io", "StringIO", vec![])?;
        let d = hz_python::store::wrap(session.data(), vm)?;
        let history = d.get_attr("inchistory", vm)?;
        vm.call_method(&history, "emit", (out.clone(),))?;
        Ok(vm.call_method(&out, "getvalue", ())?.str(vm)?.to_string())
    })
    .map_err(python_error)?;
    say(text);
    let text = python(|vm| {
        let out = crate::bridge::call(vm, "io", "StringIO", vec![])?;
        let d = hz_python::store::wrap(store, vm)?;
        crate::bridge::call(vm, "bb.data", "emit_env", vec![out.clone(), d, vm.ctx.new_bool(true).into()])?;
        Ok(vm.call_method(&out, "getvalue", ())?.str(vm)?.to_string())
    })
    .map_err(python_error)?;
    say(text);
    let mut names = store.keys();
    names.sort();
    for name in names {
        let set = |flag: &str| store.get_flag(&name, flag, RAW).ok().flatten().is_some_and(|v| v.is_true());
        if set("func") && set("python") {
            let body = store.get_raw(&name).map(|v| v.to_text()).unwrap_or_default();
            say(format!("\npython {name} () {{\n{body}}}\n"));
        }
    }
    Ok(())
}
