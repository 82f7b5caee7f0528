//! What the run queue reaches through its traits: task processes forked from this one, and the
//! metadata's set-scene functions.

use crate::bridge::{call, fire, number, text, texts};
use crate::basehashes::BaseHashes;
use crate::session::{Session, parse_variant_in};
use crate::signatures::graph_error;
use hz_data::{DataStore, RuntimeError, SetInfo, Value};
use hz_diagnostics::Str;
use hz_events::Event;
use hz_exec::child::{TaskDepData, TaskPython, TaskSpec, run_in_child};
use hz_exec::gate::Gate;
use hz_exec::pages::Gathered;
use hz_exec::spawn::{Report, Spawner};
use hz_graph::{Result, TaskId};
use hz_parse::{Configuration, FileCollector, Finalise, Signatures};
use hz_python::Definition;
use hz_python::utils::system::{self, Offline};
use hz_runqueue::{DepValid, ExecEvent, Executor, HashCheck, Hooks, Work};
use indexmap::IndexMap;
use rustc_hash::FxHashMap;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Recipes as tasks see them: parsed once, when their first task starts; every task's process
/// starts from that store.
pub struct Recipes {
    config: IndexMap<Str, DataStore>,
    collectors: IndexMap<Str, FileCollector>,
    finalise: BaseHashes,
    /// An error is that of the first try, which has told what is wrong.
    parsed: FxHashMap<Str, Result<(DataStore, Vec<Definition>), String>>,
}

/// Remembers a recipe's signatures for the signature files that its tasks write.
struct Remembered<'a>(&'a BaseHashes);

impl Finalise for Remembered<'_> {
    fn finalise(&self, mcfn: &str, store: &DataStore) -> hz_parse::Result<Signatures> {
        let found = self.0.finalise(mcfn, store)?;
        self.0.check_reparsed(mcfn, &found.basehashes, store)?;
        hz_exec::signatures::set_packed(mcfn, found.siggen.clone());
        Ok(found)
    }
}

impl Recipes {
    /// Recipes of the session's configuration, seen as in a task.
    pub fn new(session: &Session, finalise: BaseHashes) -> hz_parse::Result<Recipes> {
        let mut config = IndexMap::new();
        for (mc, store) in &session.config.mcdata {
            let store = store.create_copy();
            store.set_var("BB_WORKERCONTEXT", "1", &SetInfo::default())?;
            config.insert(mc.clone(), store);
        }
        let collectors = match &session.parsed {
            Some(parsed) => parsed.collectors.iter().map(|(mc, c)| (mc.clone(), c.copy())).collect(),
            None => IndexMap::new(),
        };
        Ok(Recipes { config, collectors, finalise, parsed: FxHashMap::default() })
    }

    fn get(&mut self, mcfn: &Str) -> Result<&(DataStore, Vec<Definition>), String> {
        if !self.parsed.contains_key(mcfn) {
            let made = self.parse(mcfn);
            self.parsed.insert(mcfn.clone(), made);
        }
        match self.parsed.get(mcfn) {
            Some(Ok(found)) => Ok(found),
            Some(Err(error)) => Err(error.clone()),
            None => Err("unreachable".into()),
        }
    }

    fn parse(&self, mcfn: &Str) -> Result<(DataStore, Vec<Definition>), String> {
        let (_, _, mc) = hz_parse::realfn(mcfn);
        let config = self.config.get(mc).ok_or_else(|| format!("no multiconfig {mc}"))?;
        let (variant, definitions) = hz_python::record_definitions(|| {
            parse_variant_in(self.collectors.get(mc), config, mcfn, &Remembered(&self.finalise))
        });
        let variant = variant.map_err(|e| format!("Parsing {mcfn} for its tasks failed: {e}"))?;
        // The environment of its tasks, whose values the store keeps for as long as they hold.
        hz_data::emit::expand_exported(&variant.store);
        Ok((variant.store, definitions))
    }
}

/// Calls `bb.build` in the task's process.
struct VmPython<'a> {
    definitions: &'a [Definition],
    /// Are they those of this process?
    defined: Cell<bool>,
    offline: Option<&'a Offline>,
    /// Are events of these classes wanted? As it was when the process was forked.
    wanted: [(&'static str, bool); 2],
}

/// The events of every task that succeeds.
const TASK_EVENTS: [&str; 2] = ["bb.build.TaskStarted", "bb.build.TaskSucceeded"];

impl TaskPython for VmPython<'_> {
    fn wants(&self, class: &str) -> bool {
        match self.wanted.iter().find(|(known, _)| *known == class) {
            Some((_, wanted)) if hz_python::just_forked() => *wanted,
            _ => hz_python::runtime::has_handlers(class),
        }
    }
    fn disable_network(&self, uid: u32, gid: u32) -> std::io::Result<bool> {
        Ok(self.offline.is_some_and(Offline::join) || system::disable_network(uid, gid)?)
    }
    fn call(&self, store: &DataStore, module: &str, function: &str, spec: &serde_json::Value) -> Result<i32, RuntimeError> {
        // Another recipe may have been parsed since: its functions of the same names go. In the process of a task none
        // is parsed any more.
        if !self.defined.replace(true) {
            hz_python::replay_definitions(self.definitions)?;
        }
        crate::bridge::python(|vm| {
            let d = hz_python::store::wrap(store, vm)?;
            call(vm, module, function, vec![d, hz_exec::pymodule::object(spec, vm)?])?.try_into_value::<i32>(vm)
        })
    }
}

/// Forks a process for each task.
pub struct Forker {
    recipes: Recipes,
    spawner: Spawner,
    variables: Vec<(Str, Value)>,
    running: FxHashMap<String, TaskId>,
    fakeroot_logs: FxHashMap<String, String>,
    default_umask: IndexMap<Str, Option<Str>>,
    /// Where tasks without network go, once it is known whether there is such a place.
    offline: Option<Option<Offline>>,
    /// Is made in this process what each task would make for itself?
    ready: bool,
    /// How many processes were made.
    forks: usize,
    gathered: Gathered,
    verbose: bool,
    debug: u8,
    dry_run: bool,
}

impl Forker {
    /// `variables`: what the build sets in every task.
    pub fn new(session: &Session, recipes: Recipes, variables: Vec<(Str, Str)>) -> Forker {
        let umask = |store: &DataStore| store.get("BB_DEFAULT_UMASK").ok().flatten().filter(|t| !t.is_empty());
        Forker {
            recipes,
            spawner: Spawner::new(),
            variables: variables.into_iter().map(|(n, v)| (n, Value::Str(v))).collect(),
            running: FxHashMap::default(),
            fakeroot_logs: FxHashMap::default(),
            default_umask: session.config.mcdata.iter().map(|(mc, s)| (mc.clone(), umask(s))).collect(),
            offline: None,
            ready: false,
            forks: 0,
            gathered: Gathered::default(),
            verbose: session.request.verbose,
            debug: session.request.debug,
            dry_run: session.request.dry_run,
        }
    }

    fn reports(&mut self, reports: Vec<Report>) -> Vec<ExecEvent> {
        let mut out = Vec::new();
        for report in reports {
            match report {
                Report::Event { event: Event::TaskUniHashUpdate { tid, unihash }, .. } => out.push(ExecEvent::UniHash { tid, unihash }),
                Report::Event { event, .. } => hz_events::emit(event),
                Report::Exited { tid, code, .. } => {
                    if let Some(task) = self.running.remove(&tid) {
                        let fakeroot_log = self.fakeroot_logs.remove(&tid).filter(|p| !p.is_empty());
                        out.push(ExecEvent::Exit { task, code, fakeroot_log });
                    }
                }
            }
        }
        out
    }

    /// Makes the process of a task, which runs at once or is made ahead.
    fn fork(&mut self, work: &Work, spec: &hz_runqueue::TaskSpec, ahead: bool) -> Result<(), String> {
        let info = work.graph.info(spec.task);
        let flag = |name: &str| info.task_deps.flags.get(name).and_then(|tasks| tasks.get(&*spec.taskname)).cloned();
        let umask = flag("umask").filter(|t| !t.is_empty()).or_else(|| self.default_umask.get(&spec.mc).cloned().flatten());
        // SAFETY: plain system calls.
        let offline = self.offline.get_or_insert_with(|| unsafe { Offline::new(libc::getuid(), libc::getgid()) }).as_ref();
        let (store, definitions) = self.recipes.get(&spec.mcfn)?;
        hz_exec::run::prepare_functions(store, &spec.taskname);
        self.forks += 1;
        if !std::mem::replace(&mut self.ready, true) {
            // Without it tasks run just as well.
            let _ = crate::bridge::python(|vm| {
                hz_python::runtime::prepare_handlers(vm, &TASK_EVENTS)?;
                hz_python::runtime::prepare_handler(vm, crate::bridge::module(vm, "bb.build")?.get_attr("_as_handlers_do", vm)?)?;
                call(vm, "bb.build", "before_tasks", vec![]).map(drop)
            });
        }
        let wanted = TASK_EVENTS.map(|class| (class, hz_python::runtime::has_handlers(class)));
        let body = |gate: &Gate| {
            let entry = |dep: hz_runqueue::TaskDep| {
                let data = TaskDepData {
                    pn: dep.pn,
                    taskname: dep.taskname,
                    fn_: dep.file,
                    deps: dep.deps,
                    provides: dep.provides,
                    taskhash: dep.taskhash,
                    unihash: dep.unihash,
                    hashfn: dep.hashfn,
                    taskhash_deps: Some(dep.taskhash_deps),
                };
                (dep.tid, data)
            };
            let later = || work.taskdepdata(spec).into_iter().map(entry).collect::<BTreeMap<Str, TaskDepData>>();
            let later: Box<dyn Fn() -> BTreeMap<Str, TaskDepData> + '_> = Box::new(later);
            // SAFETY: this runs in the child, which ends with `body`: there the graph outlives all else, and
            // there is one thread.
            let later: Box<dyn Fn() -> BTreeMap<Str, TaskDepData> + Send + Sync> = unsafe { std::mem::transmute(later) };
            let task = TaskSpec {
                mcfn: spec.mcfn.clone(),
                task: spec.taskname.as_str().into(),
                taskhash: spec.taskhash.clone(),
                unihash: spec.unihash.clone(),
                store: store.clone(),
                taskdepdata: Arc::from(later),
                variables: self.variables.clone(),
                limited_deps: false,
                dry_run: self.dry_run,
                quieterrors: spec.quieterrors,
                umask,
                fakeroot: spec.fakeroot,
                fakerootnoenv: info.fakerootnoenv.clone(),
                verbose_shell: self.verbose || self.debug > 0,
                verbose_stdout: self.verbose,
                leavings: spec.leavings.clone(),
            };
            run_in_child(&task, &VmPython { definitions, defined: Cell::new(false), offline, wanted }, gate)
        };
        let made = if ahead {
            self.spawner.spawn_ahead(&spec.tid, body)
        } else {
            self.spawner.spawn(&spec.tid, || body(&Gate::open())).map(drop)
        };
        made.map_err(|e| format!("cannot start a process for {}: {e}", spec.tid))
    }

    fn begin(&mut self, work: &Work, spec: &hz_runqueue::TaskSpec) -> Result<(), String> {
        if spec.setscene || self.spawner.release(&spec.tid).is_none() {
            self.fork(work, spec, false)?;
        }
        self.running.insert(spec.tid.to_string(), spec.task);
        if spec.fakeroot {
            self.fakeroot_logs.insert(spec.tid.to_string(), work.graph.info(spec.task).fakerootlogs.to_string());
        }
        Ok(())
    }
}

impl Executor for Forker {
    fn start(&mut self, work: &Work, spec: &hz_runqueue::TaskSpec) -> Result<(), String> {
        hz_meter::span(hz_meter::Kind::Queue, || format!("start {}", spec.tid), || self.begin(work, spec))
    }

    fn start_ahead(&mut self, work: &Work, spec: &hz_runqueue::TaskSpec) -> bool {
        // What is done in another order there could be noticed where everything is told.
        !self.verbose && self.debug == 0 && self.fork(work, spec, true).is_ok()
    }

    fn is_ready(&mut self, work: &Work, task: TaskId) -> bool {
        self.spawner.is_ready(work.tid(task))
    }

    fn is_crowded(&self) -> bool {
        self.spawner.is_crowded()
    }

    fn forget_ahead(&mut self, work: &Work, task: Option<TaskId>) {
        self.spawner.discard(|tid| task.is_none_or(|task| **work.tid(task) == *tid));
    }

    fn prepare(&mut self, work: &Work, task: TaskId) -> bool {
        self.gathered.note_forks(self.forks);
        let mcfn = work.graph.mcfn(task);
        if self.recipes.parsed.contains_key(mcfn) {
            return false;
        }
        // What is wrong with the recipe is told when its task starts.
        if let Ok((store, _)) = self.recipes.get(mcfn) {
            hz_exec::run::prepare_functions(store, work.taskname(task));
        }
        true
    }

    fn poll(&mut self, timeout: Duration) -> Vec<ExecEvent> {
        let reports = if timeout.is_zero() { self.spawner.collect() } else { self.spawner.wait(Some(timeout)).unwrap_or_default() };
        self.reports(reports)
    }

    fn kill(&mut self) {
        let reports = self.spawner.terminate(Duration::from_secs(3));
        self.reports(reports);
    }

    fn finish(&mut self) {
        self.spawner.discard(|_| true);
        if !self.spawner.is_empty() {
            self.kill();
        }
    }
}

/// The metadata's functions and events of a build.
pub struct BuildHooks {
    config: Configuration,
    layers: Vec<hz_parse::Collection>,
}

impl BuildHooks {
    pub fn new(session: &Session) -> BuildHooks {
        let layers = session.parsed.as_ref().map(|parsed| parsed.layers.clone());
        BuildHooks { config: session.config.clone(), layers: layers.unwrap_or_default() }
    }

    fn data(&self) -> DataStore {
        self.config.data().clone()
    }
}

impl Hooks for BuildHooks {
    fn graph_ready(&mut self, work: &Work) -> Result<()> {
        crate::graphs::dep_tree_generated(&self.data(), &work.graph, &self.layers).map_err(graph_error)
    }

    fn hashcheck(&mut self, work: &Work, check: &HashCheck) -> Result<Vec<TaskId>> {
        let data = self.data();
        crate::bridge::python(|vm| {
            let (hash, hashfn, unihash) = (vm.ctx.new_dict(), vm.ctx.new_dict(), vm.ctx.new_dict());
            for id in check.tasks {
                let tid = &**work.tid(*id);
                hash.set_item(tid, text(vm, &work.hash[*id as usize]), vm)?;
                hashfn.set_item(tid, text(vm, &work.graph.info(*id).hashfilename), vm)?;
                unihash.set_item(tid, text(vm, &work.unihash[*id as usize]), vm)?;
            }
            let sq_data = vm.ctx.new_dict();
            sq_data.set_item("hash", hash.into(), vm)?;
            sq_data.set_item("hashfn", hashfn.into(), vm)?;
            sq_data.set_item("unihash", unihash.into(), vm)?;
            let names = vm.ctx.new_dict();
            names.set_item("sq_data", sq_data.into(), vm)?;
            names.set_item("d", hz_python::store::wrap(&data, vm)?, vm)?;
            names.set_item("siginfo", vm.ctx.new_bool(check.siginfo).into(), vm)?;
            names.set_item("currentcount", number(vm, check.currentcount), vm)?;
            names.set_item("summary", vm.ctx.new_bool(check.summary).into(), vm)?;
            let code = format!("{}(sq_data, d, siginfo=siginfo, currentcount=currentcount, summary=summary)", check.function);
            let found = call(vm, "bb.utils", "better_eval", vec![text(vm, &code), names.into()])?;
            let tids: Vec<rustpython_vm::PyObjectRef> = vm.extract_elements_with(&found, Ok)?;
            let mut out = Vec::new();
            for tid in tids {
                out.extend(work.graph.find(&tid.str(vm)?.to_string()));
            }
            Ok(out)
        })
        .map_err(graph_error)
    }

    fn setscene_depvalid(&mut self, work: &Work, check: &DepValid) -> Result<bool> {
        let data = self.data();
        crate::bridge::python(|vm| {
            let taskdata = vm.ctx.new_dict();
            for id in check.taskdata {
                let entry = vec![text(vm, work.graph.pn(*id)), text(vm, work.taskname(*id)), text(vm, work.file(*id))];
                taskdata.set_item(&**work.tid(*id), vm.ctx.new_list(entry).into(), vm)?;
            }
            let notneeded = call(vm, "builtins", "set", vec![texts(vm, check.notneeded.iter().map(|id| work.tid(*id)))])?;
            let names = vm.ctx.new_dict();
            names.set_item("task", text(vm, work.tid(check.task)), vm)?;
            names.set_item("taskdata", taskdata.into(), vm)?;
            names.set_item("notneeded", notneeded, vm)?;
            names.set_item("d", hz_python::store::wrap(&data, vm)?, vm)?;
            let code = format!("{}(task, taskdata, notneeded, d)", check.function);
            call(vm, "bb.utils", "better_eval", vec![text(vm, &code), names.into()])?.is_true(vm)
        })
        .map_err(graph_error)
    }

    fn stale_setscene(&mut self, work: &Work, mc: &str, found: &[(TaskId, Vec<String>)]) -> Result<()> {
        let Some(store) = self.config.mcdata.get(mc).cloned() else { return Ok(()) };
        fire(&store, "bb.event.StaleSetSceneTasks", |vm| {
            let dict = vm.ctx.new_dict();
            for (id, stamps) in found {
                dict.set_item(&**work.tid(*id), texts(vm, stamps), vm)?;
            }
            Ok(vec![dict.into()])
        })
        .map_err(graph_error)
    }

    fn explain_difference(&mut self, work: &Work, task: TaskId) -> Result<()> {
        let config = self.data();
        let mcdata = self.config.mcdata.get(&work.graph.plan.sets[work.graph.task(task).mc as usize].mc).cloned();
        crate::bridge::python(|vm| {
            let known = [&**work.tid(task), work.graph.pn(task), work.taskname(task), &*work.unihash[task as usize]];
            let mut args: Vec<_> = known.iter().map(|t| text(vm, t)).collect();
            for store in [mcdata.as_ref().unwrap_or(&config), &config] {
                args.push(hz_python::store::wrap(store, vm)?);
            }
            call(vm, "bb._sigtools", "explain", args).map(drop)
        })
        .map_err(graph_error)
    }
}
