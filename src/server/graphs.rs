//! Recipes and targets as graphs: what a build, `-g` and `-s` have in common, and the last two.

use crate::bridge::{call, fire, text, texts};
use crate::session::Session;
use crate::signatures::{PythonSignatures, graph_error};
use crate::tasks::BuildHooks;
use crate::unnoticed;
use hz_data::{DataStore, RuntimeError};
use hz_diagnostics::Str;
use hz_events::{Event, emit, level, log};
use hz_graph::{BuildPlan, Config, DependTree, ExtraDepends, GraphError, GraphOptions, Host, RecipeSet, TargetOptions, TaskGraph};
use hz_parse::{Error, Result};
use indexmap::IndexMap;
use rustc_hash::FxHashMap;

/// A graph or run queue error as the command's.
pub fn told(error: GraphError) -> Error {
    told_as(error, "Exited with 1")
}

/// The same with the words for an error that the reference leaves by exit status 1 for.
pub fn told_as(error: GraphError, exit: &str) -> Error {
    match error {
        GraphError::Exit(_) => {
            emit(Event::CommandFailed { message: exit.into() });
            Error::Handled
        }
        GraphError::Config(text) => Error::Other(text),
        // Each of these has been told where it arose.
        GraphError::Handled(_)
        | GraphError::NoProvider(_)
        | GraphError::NoRuntimeProvider(_)
        | GraphError::MultipleRuntimeProviders(_) => Error::Handled,
    }
}

/// The default task: `-c`, else BB_DEFAULT_TASK, else build.
pub fn default_task(session: &Session) -> Result<String> {
    let given = session.request.cmd.clone().filter(|t| !t.is_empty());
    let configured = session.data().get("BB_DEFAULT_TASK")?.filter(|t| !t.is_empty()).map(|t| t.to_string());
    Ok(given.or(configured).unwrap_or_else(|| "build".into()))
}

/// The recipes of each multiconfig with all tables, and the configuration that choices among them
/// are made by (`${…}` in its names expanded).
pub type RecipeSets = (IndexMap<Str, RecipeSet>, IndexMap<Str, DataStore>);

/// Makes [`RecipeSets`] of what was parsed; warns of layers without files.
pub fn recipe_sets(session: &Session) -> Result<RecipeSets> {
    let Some(parsed) = &session.parsed else { return Err(Error::Other("nothing is parsed yet".into())) };
    let mut sets: IndexMap<Str, RecipeSet> = IndexMap::new();
    let mut expanded: IndexMap<Str, DataStore> = IndexMap::new();
    for (mc, store) in &session.config.mcdata {
        let config = hz_graph::expanded_config(store).map_err(told)?;
        let priorities = &parsed.priorities[mc];
        let mut set = RecipeSet::new(mc.clone());
        for info in &parsed.recipes[mc] {
            set.add(info.clone(), priorities.get(&info.mcfn).copied().unwrap_or(0));
        }
        set.read_preferences(&config, &session.request.assume_provided).map_err(told)?;
        sets.insert(mc.clone(), set);
        expanded.insert(mc.clone(), config);
    }
    Ok((sets, expanded))
}

/// Metadata's part in resolving: its functions and its event handlers.
pub struct Metadata<'a> {
    stores: &'a IndexMap<Str, DataStore>,
    /// Event class -> does a handler want it?
    wanted: FxHashMap<&'static str, bool>,
}

impl<'a> Metadata<'a> {
    /// `stores`: the configurations whose handlers are asked, by multiconfig.
    pub fn new(stores: &'a IndexMap<Str, DataStore>) -> Metadata<'a> {
        Metadata { stores, wanted: FxHashMap::default() }
    }

    fn wants(&mut self, class: &'static str) -> std::result::Result<bool, RuntimeError> {
        if let Some(known) = self.wanted.get(class) {
            return Ok(*known);
        }
        let wants = wants_event(class)?;
        self.wanted.insert(class, wants);
        Ok(wants)
    }

    /// Fires `event` at the handlers, if there are any for it; false: nobody was told.
    fn handlers(&mut self, mc: &str, event: &Event) -> std::result::Result<bool, RuntimeError> {
        let class = match event {
            Event::NoProvider { .. } => "bb.event.NoProvider",
            Event::MultipleProviders { .. } => "bb.event.MultipleProviders",
            Event::Other { class, .. } => match class.as_str() {
                "bb.event.TreeDataPreparationStarted" => "bb.event.TreeDataPreparationStarted",
                "bb.event.TreeDataPreparationProgress" => "bb.event.TreeDataPreparationProgress",
                "bb.event.TreeDataPreparationCompleted" => "bb.event.TreeDataPreparationCompleted",
                _ => return Ok(false),
            },
            _ => return Ok(false),
        };
        let Some(store) = self.stores.get(mc) else { return Ok(false) };
        if !self.wants(class)? {
            return Ok(false);
        }
        fire(store, class, |vm| {
            let truth = |b: bool| -> rustpython_vm::PyObjectRef { vm.ctx.new_bool(b).into() };
            let number = |facts: &serde_json::Value, name: &str| crate::bridge::number(vm, facts[name].as_u64().unwrap_or(0) as usize);
            Ok(match event {
                Event::NoProvider { item, runtime, dependees, reasons, close_matches } => {
                    // Where nothing close is looked for, there is no list.
                    let looked = !*runtime && !reasons.iter().any(|reason| reason.starts_with("No eligible "));
                    let close = if looked { texts(vm, close_matches) } else { vm.ctx.none() };
                    vec![text(vm, item), truth(*runtime), texts(vm, dependees), texts(vm, reasons), close]
                }
                Event::MultipleProviders { item, candidates, runtime } => vec![text(vm, item), texts(vm, candidates), truth(*runtime)],
                Event::Other { attributes, .. } if class.ends_with("Progress") => vec![number(attributes, "current"), number(attributes, "total")],
                Event::Other { attributes, .. } if class.ends_with("Completed") => vec![number(attributes, "total")],
                _ => Vec::new(),
            })
        })?;
        Ok(true)
    }
}

/// Do class handlers of the metadata ask for events of this class?
pub fn wants_event(class: &str) -> std::result::Result<bool, RuntimeError> {
    crate::bridge::python(|vm| call(vm, "bb._cooker", "wants_event", vec![text(vm, class)])?.is_true(vm))
}

impl Host for Metadata<'_> {
    fn extra_depends(&mut self, request: &ExtraDepends) -> hz_graph::Result<Vec<Str>> {
        crate::bridge::python(|vm| {
            let pkg_pn = vm.ctx.new_dict();
            for (pn, ids) in &request.set.pkg_pn {
                pkg_pn.set_item(&**pn, texts(vm, ids.iter().map(|id| request.set.mcfn(*id))), vm)?;
            }
            let args = vec![
                text(vm, &request.function),
                text(vm, request.code),
                texts(vm, &request.deps),
                texts(vm, &request.world_target),
                pkg_pn.into(),
                text(vm, request.self_pn),
            ];
            let found = call(vm, "bb._cooker", "extra_depends", args)?;
            let items: Vec<rustpython_vm::PyObjectRef> = vm.extract_elements_with(&found, Ok)?;
            items.into_iter().map(|i| Ok(i.str(vm)?.to_string().into())).collect()
        })
        .map_err(graph_error)
    }

    fn fire(&mut self, mc: &str, event: Event) -> hz_graph::Result<()> {
        // The Python event goes on to the user by itself.
        if !self.handlers(mc, &event).map_err(graph_error)? {
            emit(event);
        }
        Ok(())
    }
}

/// Resolves targets and all they need.
pub fn plan(session: &Session, targets: &[String], task: &str, options: TargetOptions) -> Result<BuildPlan> {
    let (sets, expanded) = recipe_sets(session)?;
    let configs: IndexMap<Str, &dyn Config> = expanded.iter().map(|(mc, c)| (mc.clone(), c as &dyn Config)).collect();
    let mut host = Metadata::new(&expanded);
    hz_graph::build_task_data(targets, task, sets, &configs, options, &mut host).map_err(told)
}

/// What the command line says about the graph.
pub fn graph_options(session: &Session) -> GraphOptions {
    let r = &session.request;
    GraphOptions {
        runall: r.runall.clone(),
        runonly: r.runonly.clone(),
        force: r.force,
        invalidate_stamp: (!r.invalidate_stamps.is_empty()).then(|| r.invalidate_stamps.join(",")),
        nosetscene: r.no_setscene,
        warn_multi_bb: r.verb == crate::Verb::Build && r.targets.iter().any(|t| t == "universe"),
    }
}

/// The DepTreeGenerated event's contents for the request's targets, for programs that ask for it.
pub fn depend_tree(session: &Session) -> Result<serde_json::Value> {
    let task = default_task(session)?;
    let plan = plan(session, &session.request.targets, &task, TargetOptions { halt: true, allow_incomplete: true })?;
    let graph = unnoticed::graph(session, plan)?;
    let layers = session.parsed.iter().flat_map(|parsed| &parsed.layers);
    let priorities = layers.map(|c| serde_json::json!([&*c.name, &*c.pattern, c.priority])).collect();
    Ok(graph.map(|graph| DependTree::new(&graph)).unwrap_or_default().to_json(priorities))
}

/// The TargetsTreeGenerated event's contents: the request's targets (none: all recipes), and with
/// `class` the recipes that inherit the class file of that path.
pub fn targets_tree(session: &Session, class: Option<&str>) -> Result<serde_json::Value> {
    let mut targets = session.request.targets.clone();
    if targets.is_empty() {
        targets.push("universe".into());
    }
    if let (Some(class), Some(parsed)) = (class, &session.parsed) {
        let recipes = parsed.recipes.get("").into_iter().flatten().filter(|info| info.skipped.is_none());
        targets.extend(recipes.filter(|info| info.inherits.iter().any(|file| **file == *class)).map(|info| info.pn.to_string()));
    }
    let plan = plan(session, &targets, "do_build", TargetOptions { halt: false, allow_incomplete: true })?;
    Ok(DependTree::of_recipes(&plan).recipes_to_json())
}

/// What a task hashes to: PN, task and unihash.
pub type TaskSignature = (Str, Str, Str);

/// The signatures of the given tasks of the request's targets; of all their tasks if none is given.
/// Set-scene variants and tasks without stamp have none.
pub fn task_signatures(session: &Session, tasks: &[String]) -> Result<Vec<TaskSignature>> {
    let all = tasks.is_empty();
    let built = if all { vec!["do_build".to_string()] } else { tasks.to_vec() };
    let mut found = Vec::new();
    for task in &built {
        let halt = !session.request.keep_going;
        let plan = plan(session, &session.request.targets, task, TargetOptions { halt, allow_incomplete: false })?;
        let targets = plan.targets.clone();
        let Some(graph) = TaskGraph::build(plan, session.data(), &graph_options(session)).map_err(told)? else { continue };
        let (mut sigs, mut hooks) = (PythonSignatures::new(), BuildHooks::new(session));
        let work = hz_runqueue::Work::of_graph(graph, &mut sigs, &mut hooks).map_err(told)?;
        for target in targets {
            let info = &work.graph.plan.sets[&target.mc].recipe(target.recipe).info;
            for name in &info.task_deps.tasks {
                let nostamp = info.task_deps.flags.get("nostamp").is_some_and(|table| table.contains_key(name));
                if nostamp || name.contains("setscene") || !(all || task.contains(&**name)) {
                    continue;
                }
                match work.graph.find(&format!("{}:{name}", info.mcfn)) {
                    Some(id) => found.push((target.item.clone(), name.clone(), work.unihash[id as usize].clone())),
                    // What the targets do not need is asked for by itself.
                    None => found.extend(task_signatures(session, &[name.to_string()])?.into_iter().take(1)),
                }
            }
        }
    }
    Ok(found)
}

/// `-g`: pn-buildlist and task-depends.dot in the current directory. Tasks are hashed as for a
/// build, for what the signature code has to say about them.
pub fn write_graph(session: &Session) -> Result<()> {
    let task = default_task(session)?;
    let plan = plan(session, &session.request.targets, &task, TargetOptions { halt: true, allow_incomplete: true })?;
    let tree = unnoticed::graph(session, plan)?.map(|graph| DependTree::new(&graph)).unwrap_or_default();
    let dir = std::env::current_dir().map_err(|e| Error::Other(e.to_string()))?;
    tree.write_files(&dir).map_err(told)
}

/// Fires `bb.event.DepTreeGenerated` at the class handlers that want it.
pub fn dep_tree_generated(session_data: &DataStore, graph: &hz_graph::TaskGraph, layers: &[hz_parse::Collection]) -> std::result::Result<(), RuntimeError> {
    if !wants_event("bb.event.DepTreeGenerated")? {
        return Ok(());
    }
    let priorities = layers.iter().map(|c| serde_json::json!([&*c.name, &*c.pattern, c.priority])).collect();
    let tree = DependTree::new(graph).to_json(priorities).to_string();
    crate::bridge::python(|vm| {
        let d = hz_python::store::wrap(session_data, vm)?;
        call(vm, "bb._cooker", "dep_tree_generated", vec![text(vm, &tree), d]).map(drop)
    })
}

/// `-s`: every recipe's latest version, and the preferred or required one where that is another.
pub fn show_versions(session: &Session) -> Result<()> {
    let (sets, expanded) = recipe_sets(session)?;
    let (Some(set), Some(config)) = (sets.get(""), expanded.get("")) else { return Ok(()) };
    let found = hz_graph::providers::find_providers(config, set).map_err(told)?;
    let line = |a: &str, b: &str, c: &str, d: &str, end: &str| log(level::PLAIN, "", format!("{a:<35} {b:>25} {c:>25} {d:>25}{end}"));
    line("Recipe Name", "Latest Version", "Preferred Version", "Required Version", "");
    line("===========", "==============", "=================", "================", "\n");
    let mut names: Vec<&Str> = found.keys().collect();
    names.sort();
    for pn in names {
        let best = &found[pn];
        let shown = |id: Option<hz_graph::RecipeId>| id.map(|id| set.version(id)).unwrap_or_default();
        let (latest, preferred) = (best.latest.as_ref().map(|(_, id)| *id), best.preferred.as_ref().map(|(_, id)| *id));
        let version = shown(preferred);
        let (preferred, required) = match (best.required, preferred) {
            (true, None) => {
                log(level::CRITICAL, "", format!("REQUIRED_VERSION of package {pn} not available"));
                return Err(Error::Handled);
            }
            (true, Some(_)) => (String::new(), version),
            (false, preferred) if preferred == latest => (String::new(), String::new()),
            (false, _) => (version, String::new()),
        };
        line(pn, &shown(latest), &preferred, &required, "");
    }
    Ok(())
}
