//! Builds of made-up recipes by an executor that only writes stamps. Task names, set-scene rules and
//! expected task lists follow what the reference does with recipes of this shape.

use crate::*;
use hz_cache::{Recipe, RecipeInfo};
use hz_graph::{ExtraDepends, RecipeSet, TargetOptions, TaskGraph, build_task_data};
use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;

type Table = HashMap<String, String>;

/// `pn`, what it depends on, and `do_package_setscene[depends]`.
fn recipe(pn: &str, mc: &str, depends: &[&str], hard: &str) -> Arc<Recipe> {
    let prefix = if mc.is_empty() { String::new() } else { format!("mc:{mc}:") };
    let mut info = RecipeInfo {
        mcfn: format!("{prefix}/{pn}.bb").into(),
        pn: pn.into(),
        pv: "1".into(),
        packages: vec![pn.into()],
        depends: depends.iter().map(|d| Str::from(*d)).collect(),
        rdepends: depends.iter().map(|d| Str::from(*d)).collect(),
        ..RecipeInfo::default()
    };
    let chain = [
        ("fetch", ""),
        ("unpack", "fetch"),
        ("patch", "unpack"),
        ("prepare_recipe_sysroot", "patch"),
        ("configure", "prepare_recipe_sysroot"),
        ("compile", "configure"),
        ("install", "compile"),
        ("populate_sysroot", "install"),
        ("package", "install"),
        ("packagedata", "package"),
        ("package_write_ipk", "packagedata package"),
        ("package_write_rpm", "packagedata package"),
        ("package_qa", "package"),
        ("build", "package_qa package_write_rpm package_write_ipk populate_sysroot"),
        ("package_setscene", ""),
        ("package_qa_setscene", ""),
        ("package_write_ipk_setscene", ""),
        ("package_write_rpm_setscene", ""),
        ("packagedata_setscene", ""),
        ("populate_sysroot_setscene", ""),
    ];
    for (name, after) in chain {
        let name: Str = format!("do_{name}").into();
        info.tasks.push(name.clone());
        info.task_deps.tasks.push(name.clone());
        info.task_deps.parents.insert(name, after.split_whitespace().map(|a| format!("do_{a}").into()).collect());
    }
    let flags = [
        ("deptask", "prepare_recipe_sysroot", "do_populate_sysroot"),
        ("deptask", "package", "do_packagedata"),
        ("recrdeptask", "build", "do_deploy do_package_write_ipk do_package_write_rpm"),
        ("rdeptask", "package_qa", "do_packagedata"),
        ("rdeptask", "package_write_ipk", "do_packagedata"),
        ("rdeptask", "package_write_rpm", "do_packagedata"),
        ("depends", "package_setscene", hard),
    ];
    for (flag, task, text) in flags {
        info.task_deps.flags.entry(flag.into()).or_default().insert(format!("do_{task}").into(), text.into());
    }
    Arc::new(info.into())
}

/// What happens in a simulated build.
#[derive(Default)]
struct World {
    dir: PathBuf,
    /// `pn:do_task` whose objects can be had.
    valid: HashSet<String>,
    /// `pn:task` that fail.
    failing: HashSet<String>,
    /// `pn:task` that end only after `N` looks.
    slow: HashMap<String, usize>,
    /// Processes made ahead, told to be of no use, and used.
    ahead_counts: (usize, usize, usize),
    /// tid -> unihash that is reported when the task ends.
    new_unihash: HashMap<String, String>,
    /// What ran, in order.
    ran: Vec<String>,
    most_parallel: usize,
    killed: bool,
    unihash: HashMap<TaskId, String>,
    reported: Vec<String>,
    invalidated: Vec<String>,
    /// `pn:do_task` -> unihash of the objects its last run left behind, which can be had if `keeps`.
    left: HashMap<String, String>,
    keeps: bool,
    /// Time of the last stamp and how long after it the next one is written; none: real time.
    clock: Option<(std::time::SystemTime, Duration)>,
}
type Shared = Rc<RefCell<World>>;

struct Sigs(Shared);
impl Signatures for Sigs {
    fn invalidate_task(&mut self, _: &TaskGraph, mcfn: &str, task: &str) -> Result<()> {
        self.0.borrow_mut().invalidated.push(format!("{mcfn}:{task}"));
        Ok(())
    }
    fn prep_taskhash(&mut self, graph: &TaskGraph, task: TaskId) -> Result<Vec<Str>> {
        Ok(graph.task(task).depends.iter().map(|dep| graph.task(*dep).tid.clone()).collect())
    }
    fn get_taskhash(&mut self, graph: &TaskGraph, task: TaskId) -> Result<Str> {
        let world = self.0.borrow();
        let mut hasher = DefaultHasher::new();
        // Without the multiconfig, so that the same recipe makes the same hash in two of them.
        (graph.pn(task), &graph.task(task).name).hash(&mut hasher);
        world.invalidated.contains(&graph.task(task).tid.to_string()).hash(&mut hasher);
        let mut deps: Vec<(&Str, &Str, &String)> =
            graph.task(task).depends.iter().map(|dep| (graph.pn(*dep), &graph.task(*dep).name, &world.unihash[dep])).collect();
        deps.sort();
        deps.hash(&mut hasher);
        Ok(format!("{:016x}", hasher.finish()).into())
    }
    fn get_unihashes(&mut self, graph: &TaskGraph, tasks: &[TaskId]) -> Result<Vec<Str>> {
        tasks
            .iter()
            .map(|id| {
                let hash = self.get_taskhash(graph, *id)?;
                self.0.borrow_mut().unihash.insert(*id, hash.to_string());
                Ok(hash)
            })
            .collect()
    }
    fn set_unihash(&mut self, _: &TaskGraph, task: TaskId, unihash: &str) -> Result<()> {
        self.0.borrow_mut().unihash.insert(task, unihash.into());
        Ok(())
    }
    fn report_unihash_equiv(&mut self, graph: &TaskGraph, task: TaskId, _: &str, _: &str, _: &str) -> Result<()> {
        self.0.borrow_mut().reported.push(graph.task(task).tid.to_string());
        Ok(())
    }
    fn stampfile(&self, graph: &TaskGraph, task: TaskId, setscene: bool, _: bool) -> Result<String> {
        let world = self.0.borrow();
        let hash = world.unihash.get(&task).cloned().unwrap_or_default();
        Ok(stamp(&world, graph, task, setscene, &hash))
    }
    fn stampcleanmask(&self, graph: &TaskGraph, task: TaskId, setscene: bool) -> Result<String> {
        Ok(stamp(&self.0.borrow(), graph, task, setscene, "*"))
    }
    fn dump_sigtask(&mut self, graph: &TaskGraph, task: TaskId) -> Result<()> {
        let world = self.0.borrow();
        hz_events::log(level::ERROR, "", format!("about {}", graph.task(task).tid));
        std::fs::write(world.dir.join(format!("{}.{}.sigdata", graph.pn(task), graph.task(task).name)), "").map_err(|e| hz_graph::fatal("", e.to_string()))
    }
    fn prepare_dump(&mut self, graph: &TaskGraph, task: TaskId) -> Option<PreparedDump> {
        let name = &graph.task(task).name;
        let path = self.0.borrow().dir.join(format!("{}.{name}.sigdata", graph.pn(task)));
        // One that cannot be written so.
        let write = move || !path.to_str().unwrap_or_default().contains("do_fetch") && std::fs::write(path, "early").is_ok();
        (**name != *"do_unpack").then(|| PreparedDump { size: 1, write: Box::new(write) })
    }
}
fn stamp(world: &World, graph: &TaskGraph, task: TaskId, setscene: bool, hash: &str) -> String {
    let suffix = if setscene { "_setscene" } else { "" };
    format!("{}/{}{}.{}{suffix}.{hash}", world.dir.display(), graph.mc(task), graph.pn(task), graph.task(task).name)
}

struct TestHooks(Shared);
impl Hooks for TestHooks {
    fn hashcheck(&mut self, work: &Work, call: &HashCheck) -> Result<Vec<TaskId>> {
        let world = self.0.borrow();
        let known = |id: &TaskId| {
            let name = format!("{}:{}", work.graph.pn(*id), work.taskname(*id));
            world.valid.contains(&name) || world.keeps && world.left.get(&name).is_some_and(|hash| **hash == *work.unihash[*id as usize])
        };
        Ok(call.tasks.iter().copied().filter(known).collect())
    }
    fn setscene_depvalid(&mut self, work: &Work, call: &DepValid) -> Result<bool> {
        let own = &**work.taskname(call.task);
        if own == "do_packagedata" {
            return Ok(false);
        }
        Ok(call.taskdata.iter().filter(|id| **id != call.task && !call.notneeded.contains(id)).all(|id| {
            let dep = &**work.taskname(*id);
            (own == "do_package" && dep.starts_with("do_package")) || (own == "do_populate_sysroot" && ["do_package", "do_packagedata", "do_package_qa"].contains(&dep))
        }))
    }
}

struct Exec {
    world: Shared,
    /// With name, stamp, mask of older stamps, and looks until it ends.
    running: Vec<(TaskSpec, String, String, String, usize)>,
    ahead: HashMap<TaskId, TaskSpec>,
    /// Those whose processes were asked for.
    asked: std::collections::HashSet<TaskId>,
}
impl Executor for Exec {
    fn is_ready(&mut self, _: &Work, task: TaskId) -> bool {
        // Not at once.
        self.ahead.get(&task).is_none_or(|_| !self.asked.insert(task))
    }
    fn start_ahead(&mut self, _: &Work, spec: &TaskSpec) -> bool {
        self.asked.remove(&spec.task);
        assert!(!spec.setscene && self.ahead.insert(spec.task, spec.clone()).is_none());
        self.world.borrow_mut().ahead_counts.0 += 1;
        self.ahead.len() <= 8 || panic!("too many processes are made ahead")
    }
    fn forget_ahead(&mut self, _: &Work, task: Option<TaskId>) {
        self.ahead.retain(|known, _| task.is_some_and(|task| task != *known));
        self.world.borrow_mut().ahead_counts.1 += 1;
    }
    fn start(&mut self, work: &Work, spec: &TaskSpec) -> Result<(), String> {
        if let Some(made) = self.ahead.remove(&spec.task) {
            assert_eq!((made.setscene, &made.taskhash, &made.unihash), (spec.setscene, &spec.taskhash, &spec.unihash));
            self.world.borrow_mut().ahead_counts.2 += 1;
        }
        let mut world = self.world.borrow_mut();
        let mc = if spec.mc.is_empty() { String::new() } else { format!("{}:", spec.mc) };
        let name = format!("{mc}{}:{}", work.graph.pn(spec.task), &spec.taskname[3..]);
        let wait = world.slow.get(&name).copied().unwrap_or(0);
        // A task that reports another hash stamps itself with that.
        let reported = world.new_unihash.get(&*spec.tid).filter(|_| !spec.setscene);
        let hash = reported.map_or(&*spec.unihash, String::as_str).to_string();
        let [path, mask] = [&*hash, "*"].map(|hash| stamp(&world, &work.graph, spec.task, spec.setscene, hash));
        self.running.push((spec.clone(), name, path, mask, wait));
        if !spec.setscene {
            world.left.insert(format!("{}:{}", work.graph.pn(spec.task), spec.taskname), hash);
        }
        world.most_parallel = world.most_parallel.max(self.running.len());
        Ok(())
    }
    fn poll(&mut self, timeout: Duration) -> Vec<ExecEvent> {
        let mut events = Vec::new();
        if timeout.is_zero() {
            return events;
        }
        let mut world = self.world.borrow_mut();
        self.running.retain_mut(|(spec, name, path, mask, wait)| {
            if *wait > 0 {
                *wait -= 1;
                return true;
            }
            world.ran.push(name.clone());
            let fails = world.failing.contains(name);
            if !fails {
                hz_exec::stamps::make(path.as_ref(), std::slice::from_ref(mask)).expect("stamp");
                if let Some((now, tick)) = &mut world.clock {
                    *now += *tick;
                    std::fs::File::open(&*path).and_then(|file| file.set_modified(*now)).expect("time of a stamp");
                }
                if let Some(unihash) = world.new_unihash.get(&*spec.tid).filter(|_| !spec.setscene) {
                    events.push(ExecEvent::UniHash { tid: spec.tid.to_string(), unihash: unihash.clone() });
                }
            }
            events.push(ExecEvent::Exit { task: spec.task, code: fails as i32, fakeroot_log: None });
            false
        });
        events
    }
    fn kill(&mut self) {
        self.running.clear();
        self.world.borrow_mut().killed = true;
    }
}

thread_local! {
    /// Events of this thread's test.
    static EVENTS: RefCell<Vec<Event>> = const { RefCell::new(Vec::new()) };
}
/// Collects the events of a test since it was started; each test is a thread of its own.
struct Recorder;
impl Recorder {
    fn start() -> Recorder {
        struct Sink;
        impl hz_events::Sink for Sink {
            fn emit(&mut self, event: Event) {
                EVENTS.with_borrow_mut(|list| list.push(event));
            }
        }
        hz_events::set_sink(Box::new(Sink));
        EVENTS.with_borrow_mut(Vec::clear);
        Recorder
    }
    fn logs(&self, at_least: u32) -> Vec<String> {
        EVENTS.with_borrow(|list| {
            let logs = list.iter().filter_map(|event| match event {
                Event::Log(record) if record.level >= at_least => Some(record.message.clone()),
                _ => None,
            });
            logs.collect()
        })
    }
}

struct Build {
    world: Shared,
    config: Table,
    options: Options,
    recipes: Vec<Arc<Recipe>>,
    halt: bool,
    _dir: tempfile::TempDir,
    events: Recorder,
}

impl Build {
    fn new(valid: &str) -> Build {
        let events = Recorder::start();
        let dir = tempfile::tempdir().expect("dir");
        let world = World { dir: dir.path().into(), valid: valid.split_whitespace().map(String::from).collect(), ..World::default() };
        let config = [("BB_HASHCHECK_FUNCTION", "check"), ("BB_SETSCENE_DEPVALID", "depvalid"), ("BB_NUMBER_THREADS", "4")];
        Build {
            world: Rc::new(RefCell::new(world)),
            config: config.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect(),
            options: Options::default(),
            recipes: vec![
                recipe("a1", "", &[], ""),
                recipe("b1", "", &["a1"], ""),
                recipe("c1", "", &[], ""),
                // Its set-scene package needs a1's before it.
                recipe("d1", "", &["a1"], "a1:do_package_setscene"),
            ],
            halt: true,
            _dir: dir,
            events,
        }
    }
    fn queue(&self, targets: &[&str]) -> Result<Option<RunQueue>> {
        let mut sets: IndexMap<Str, RecipeSet> = IndexMap::from([(Str::from(""), RecipeSet::new(""))]);
        for info in &self.recipes {
            let mc = hz_graph::split_mc(&info.mcfn).0;
            sets.entry(mc.into()).or_insert_with(|| RecipeSet::new(mc)).add(info.clone(), 5);
        }
        let configs = sets.keys().map(|mc| (mc.clone(), &self.config as &dyn Config)).collect();
        let targets: Vec<String> = targets.iter().map(|t| t.to_string()).collect();
        let options = TargetOptions { halt: self.halt, allow_incomplete: false };
        let plan = build_task_data(&targets, "build", sets, &configs, options, &mut |e: &ExtraDepends| Ok(e.deps.clone()))?;
        let exec = Exec { world: self.world.clone(), running: Vec::new(), ahead: HashMap::new(), asked: Default::default() };
        let (sigs, hooks) = (Sigs(self.world.clone()), TestHooks(self.world.clone()));
        RunQueue::prepare(plan, &self.config, self.options.clone(), Box::new(sigs), Box::new(hooks), Box::new(exec))
    }
    fn finish(&self, mut queue: RunQueue) -> Outcome {
        for _ in 0..100_000 {
            match queue.step().expect("step") {
                Step::Again => {}
                Step::Wait => queue.wait(Duration::from_millis(1)).expect("wait"),
                Step::Done(outcome) => return outcome,
            }
        }
        panic!("never ends");
    }
    /// Builds and gives what ran, sorted.
    fn run(&self, targets: &[&str]) -> (Vec<String>, Outcome) {
        self.world.borrow_mut().ran.clear();
        let queue = self.queue(targets).expect("prepare").expect("something to do");
        let outcome = self.finish(queue);
        let mut ran = self.world.borrow().ran.clone();
        ran.sort();
        (ran, outcome)
    }
    fn ran(&self, targets: &[&str]) -> Vec<String> {
        self.run(targets).0
    }
}

const ALL: &str = "package fetch unpack patch prepare_recipe_sysroot configure compile install packagedata package_qa package_write_rpm package_write_ipk populate_sysroot build";
const A1_VALID: &str = "a1:do_package a1:do_package_qa a1:do_packagedata a1:do_package_write_ipk a1:do_package_write_rpm a1:do_populate_sysroot";

fn names(pn: &str, tasks: &str) -> Vec<String> {
    tasks.split_whitespace().map(|task| format!("{pn}:{task}")).collect()
}
fn sorted(mut list: Vec<String>) -> Vec<String> {
    list.sort();
    list
}

#[test]
fn nothing_cached() {
    let build = Build::new("");
    let (ran, outcome) = build.run(&["a1"]);
    assert_eq!(ran, sorted(names("a1", ALL)));
    assert!(outcome.success && outcome.failed.is_empty());
    let logs = build.events.logs(level::NOTE);
    assert!(logs.contains(&"Executing Tasks".into()));
    assert_eq!(logs.last().map(String::as_str), Some("Tasks Summary: Attempted 14 tasks of which 0 didn't need to be rerun and all succeeded."));
    // Everything has a stamp now.
    assert!(build.ran(&["a1"]).is_empty());
    assert_eq!(
        build.events.logs(level::NOTE).last().map(String::as_str),
        Some("Tasks Summary: Attempted 14 tasks of which 14 didn't need to be rerun and all succeeded.")
    );
}

#[test]
fn some_cached() {
    let all_but = |pn: &str, done: &str| names(pn, ALL).into_iter().filter(|n| !done.split(' ').any(|d| *n == format!("{pn}:{d}"))).collect::<Vec<_>>();
    let mut expected = all_but("a1", "package");
    expected.push("a1:package_setscene".into());
    assert_eq!(Build::new("a1:do_package").ran(&["a1"]), sorted(expected.clone()));
    // The same with a set-scene task that takes long while real ones run already.
    let build = Build::new("a1:do_package");
    build.world.borrow_mut().slow.insert("a1:package_setscene".into(), 20);
    assert_eq!(build.ran(&["a1"]), sorted(expected));
    assert_eq!(
        Build::new("a1:do_package a1:do_populate_sysroot").ran(&["a1"]),
        sorted(names("a1", "package_setscene packagedata package_qa package_write_rpm package_write_ipk populate_sysroot_setscene build"))
    );
}

#[test]
fn all_cached() {
    let scenes = "package_write_ipk_setscene package_write_rpm_setscene packagedata_setscene package_qa_setscene populate_sysroot_setscene";
    let expected = sorted(names("a1", &format!("{scenes} build")));
    assert_eq!(Build::new(A1_VALID).ran(&["a1"]), expected);
    assert_eq!(Build::new(&A1_VALID.replace("a1:do_package ", "")).ran(&["a1"]), expected);
    assert_eq!(Build::new(A1_VALID).ran(&["a1:do_patch"]), sorted(names("a1", "fetch unpack patch")));
    assert_eq!(Build::new(A1_VALID).ran(&["a1:do_patch", "a1:do_populate_sysroot"]), sorted(names("a1", "fetch unpack patch populate_sysroot_setscene")));
    let mut both = expected;
    both.extend(names("c1", "fetch unpack patch"));
    assert_eq!(Build::new(A1_VALID).ran(&["c1:do_patch", "a1"]), sorted(both));
    let mut build = Build::new(A1_VALID);
    build.options.setscene_only = true;
    assert_eq!(build.ran(&["a1"]), sorted(names("a1", scenes)));
    let mut build = Build::new(A1_VALID);
    build.options.graph.nosetscene = true;
    assert_eq!(build.ran(&["a1"]), sorted(names("a1", ALL)));
    let mut build = Build::new(A1_VALID);
    build.options.skip_setscene = true;
    assert_eq!(build.ran(&["a1"]), sorted(names("a1", ALL)));
}

#[test]
fn a_failed_setscene_task_runs_the_real_one() {
    let build = Build::new("a1:do_package");
    build.world.borrow_mut().failing.insert("a1:package_setscene".into());
    let (ran, outcome) = build.run(&["a1"]);
    assert!(outcome.success);
    let mut expected = names("a1", ALL);
    expected.push("a1:package_setscene".into());
    assert_eq!(ran, sorted(expected));
}

#[test]
fn hard_dependencies() {
    // As the reference: a1's package is needed although only d1's would be.
    let build = Build::new("a1:do_package a1:do_packagedata d1:do_package d1:do_packagedata d1:do_package_qa d1:do_package_write_ipk d1:do_package_write_rpm d1:do_populate_sysroot a1:do_package_write_ipk a1:do_package_write_rpm a1:do_populate_sysroot");
    let ran = build.ran(&["d1"]);
    assert!(!ran.iter().any(|n| n.ends_with(":compile")), "{ran:?}");
    let build = Build::new("d1:do_package");
    let ran = build.ran(&["d1"]);
    assert!(ran.contains(&"d1:package".into()) && !ran.contains(&"d1:package_setscene".into()), "a1:do_package cannot be had: {ran:?}");
    let build = Build::new("a1:do_package d1:do_package");
    build.world.borrow_mut().ran.clear();
    let queue = build.queue(&["d1"]).expect("prepare").expect("tasks");
    assert!(build.finish(queue).success);
    let order = build.world.borrow().ran.clone();
    let at = |name: &str| order.iter().position(|n| n == name).unwrap_or_else(|| panic!("{name} in {order:?}"));
    assert!(at("a1:package_setscene") < at("d1:package_setscene"));
}

#[test]
fn failure_and_continue() {
    let build = Build::new("");
    build.world.borrow_mut().failing.insert("a1:compile".into());
    let (ran, outcome) = build.run(&["b1", "c1"]);
    assert!(!outcome.success);
    assert_eq!(outcome.failed.iter().map(|t| t.to_string()).collect::<Vec<_>>(), ["/a1.bb:do_compile"]);
    assert!(!ran.contains(&"c1:build".into()) && !ran.contains(&"a1:install".into()));
    let mut build = Build::new("");
    build.halt = false;
    build.world.borrow_mut().failing.insert("a1:compile".into());
    let (ran, outcome) = build.run(&["b1", "c1"]);
    assert!(!outcome.success && ran.contains(&"c1:build".into()) && !ran.contains(&"b1:configure".into()));
    let last = build.events.logs(level::NOTE).pop().unwrap_or_default();
    assert!(last.starts_with("Tasks Summary: Attempted ") && last.ends_with(" and 1 failed."), "{last}");
}

#[test]
fn enforced_setscene() {
    let mut build = Build::new(&A1_VALID.replace("a1:do_package_write_rpm", ""));
    build.config.insert("BB_SETSCENE_ENFORCE".into(), "1".into());
    build.config.insert("BB_SETSCENE_ENFORCE_IGNORE_TASKS".into(), "a1:do_package_write_rpm %:do_build".into());
    let expected = "packagedata_setscene package_qa_setscene package_write_ipk_setscene populate_sysroot_setscene package_setscene";
    let (ran, outcome) = build.run(&["a1"]);
    assert_eq!(ran, sorted(names("a1", expected)), "real tasks only seem to run");
    assert!(outcome.success);
    build.config.insert("BB_SETSCENE_ENFORCE_IGNORE_TASKS".into(), "x".into());
    drop(build.queue(&["a1"]));
    let strict = build.run(&["a1"]).1;
    assert!(!strict.success);
    assert!(build.events.logs(level::ERROR).iter().any(|t| t.starts_with("Task a1.do_package_write_rpm attempted to execute unexpectedly and should have been setscened")));
    let codes = EVENTS.with_borrow(|list| -> Vec<String> {
        list.iter().filter_map(|e| if let Event::RunQueueTaskFailed { exitcode, .. } = e { Some(exitcode.to_string()) } else { None }).collect()
    });
    assert_eq!(codes, ["setscene ignore_tasks"]);
}

#[test]
fn dry_run_force_and_invalidate() {
    let mut build = Build::new("");
    build.options.dry_run = true;
    let (ran, outcome) = build.run(&["a1"]);
    assert!(ran.is_empty() && outcome.success && outcome.stats.completed == 14);
    build.options.dry_run = false;
    build.options.graph.force = true;
    build.options.graph.invalidate_stamp = Some("compile".into());
    build.run(&["a1:do_install"]);
    assert_eq!(build.world.borrow().invalidated, ["/a1.bb:do_install", "/a1.bb:do_compile"]);
}

#[test]
fn noexec_and_nostamp() {
    let mut build = Build::new("");
    let mut info = RecipeInfo::clone(&build.recipes[0]);
    info.task_deps.flags.entry("noexec".into()).or_default().insert("do_patch".into(), "1".into());
    info.task_deps.flags.entry("nostamp".into()).or_default().insert("do_build".into(), "1".into());
    build.recipes[0] = Arc::new(info.into());
    let ran = build.ran(&["a1"]);
    assert!(!ran.contains(&"a1:patch".into()) && ran.len() == 13);
    assert_eq!(build.ran(&["a1"]), ["a1:build"]);
}

#[test]
fn a_newer_stamp_below_makes_a_task_run() {
    let build = Build::new("");
    build.run(&["a1:do_patch"]);
    let dir = build.world.borrow().dir.clone();
    let old = std::time::SystemTime::now() - Duration::from_secs(100);
    for entry in std::fs::read_dir(&dir).expect("dir").flatten() {
        let unpack = entry.file_name().to_string_lossy().contains("do_unpack");
        let file = std::fs::File::options().write(true).open(entry.path()).expect("stamp");
        file.set_modified(if unpack { old + Duration::from_secs(10) } else { old }).expect("time");
    }
    assert_eq!(build.ran(&["a1:do_patch"]), ["a1:patch"]);
}

#[test]
fn threads_and_task_limits() {
    let mut build = Build::new("");
    build.config.insert("BB_NUMBER_THREADS".into(), "2".into());
    build.run(&["a1", "c1", "b1"]);
    assert_eq!(build.world.borrow().most_parallel, 2);
    let mut build = Build::new("");
    build.config.insert("BB_NUMBER_THREADS".into(), "4".into());
    build.config.insert("do_fetch[number_threads]".into(), "1".into());
    build.world.borrow_mut().slow.insert("a1:fetch".into(), 3);
    build.world.borrow_mut().slow.insert("c1:fetch".into(), 3);
    build.run(&["a1:do_fetch", "c1:do_fetch"]);
    assert_eq!(build.world.borrow().most_parallel, 1);
    build.config.insert("BB_NUMBER_THREADS".into(), "0".into());
    assert_eq!(build.queue(&["a1"]).err().expect("error").to_string(), "Invalid BB_NUMBER_THREADS 0");
    build.config.insert("BB_NUMBER_THREADS".into(), "1".into());
    build.config.insert("BB_SCHEDULER".into(), "best".into());
    assert_eq!(build.queue(&["a1"]).err().expect("error").to_string(), "Invalid scheduler 'best'.  Available schedulers: basic, speed, completion");
}

#[test]
fn schedulers() {
    let order = |scheduler: &str| {
        let mut build = Build::new("");
        build.config.insert("BB_SCHEDULER".into(), scheduler.into());
        build.config.insert("BB_NUMBER_THREADS".into(), "1".into());
        build.run(&["b1", "c1"]);
        build.world.borrow().ran.len()
    };
    assert_eq!(order("speed"), order("completion"));
    assert_eq!(order("speed"), order("basic"));
    let mut build = Build::new("");
    build.config.insert("BB_SCHEDULER".into(), "completion".into());
    build.config.insert("BB_NUMBER_THREADS".into(), "1".into());
    build.options.graph.nosetscene = true;
    let queue = build.queue(&["a1", "c1"]).expect("queue").expect("tasks");
    assert!(build.finish(queue).success);
    let ran = build.world.borrow().ran.clone();
    let at = |name: &str| ran.iter().position(|n| n == name).expect("ran");
    let first = if at("a1:build") < at("c1:build") { ("a1:build", "c1:unpack") } else { ("c1:build", "a1:unpack") };
    assert!(at(first.0) < at(first.1), "a recipe is finished before the next is begun: {ran:?}");
}

#[test]
fn interrupts() {
    let build = Build::new("");
    build.world.borrow_mut().slow.insert("a1:fetch".into(), 5);
    let mut queue = build.queue(&["a1"]).expect("queue").expect("tasks");
    while build.world.borrow().most_parallel == 0 {
        queue.step().expect("step");
    }
    queue.finish(false);
    let outcome = build.finish(queue);
    assert!(outcome.success && build.world.borrow().ran == ["a1:fetch"] && !build.world.borrow().killed);
    let build = Build::new("");
    build.world.borrow_mut().slow.insert("a1:fetch".into(), 5);
    let mut queue = build.queue(&["a1"]).expect("queue").expect("tasks");
    while build.world.borrow().most_parallel == 0 {
        queue.step().expect("step");
    }
    queue.finish(true);
    build.finish(queue);
    assert!(build.world.borrow().ran.is_empty() && build.world.borrow().killed);
}

#[test]
fn equal_hashes_in_two_multiconfigs() {
    let mut build = Build::new("");
    build.recipes.push(recipe("a1", "two", &[], ""));
    let (ran, outcome) = build.run(&["a1", "mc:two:a1"]);
    assert!(outcome.success);
    // The second waits for the first's set-scene tasks; nothing can be had, so both run.
    assert!(ran.contains(&"a1:compile".into()) && ran.contains(&"two:a1:compile".into()));
}

#[test]
fn processes_are_made_ahead() {
    let build = Build::new("");
    let (ran, outcome) = build.run(&["d1", "c1"]);
    assert!(outcome.success, "{ran:?}");
    let (made, forgotten, used) = build.world.borrow().ahead_counts;
    assert!(used > 0 && made == used && forgotten == 0, "{made} made, {forgotten} times forgotten, {used} used");
    // What is done already or only said to be done needs none.
    build.run(&["d1", "c1"]);
    let mut dry = Build::new("");
    dry.options.dry_run = true;
    dry.run(&["d1"]);
    assert_eq!((build.world.borrow().ahead_counts.0, dry.world.borrow().ahead_counts.0), (made, 0));
}

#[test]
fn a_new_unihash_makes_what_depends_on_it_available() {
    let build = Build::new("");
    build.run(&["b1"]);
    // b1 anew, as if a1's do_populate_sysroot had another hash that proves equal when it ran.
    let unihash = |build: &Build, tid: &str| {
        let queue = build.queue(&["b1"]).expect("queue").expect("tasks");
        queue.work.unihash[queue.work.graph.find(tid).expect(tid) as usize].to_string()
    };
    let old = unihash(&build, "/b1.bb:do_install");
    build.world.borrow_mut().new_unihash.insert("/a1.bb:do_populate_sysroot".into(), "f00d".into());
    let dir = build.world.borrow().dir.clone();
    for entry in std::fs::read_dir(&dir).expect("dir").flatten() {
        std::fs::remove_file(entry.path()).expect("remove");
    }
    build.world.borrow_mut().ran.clear();
    let mut queue = build.queue(&["b1"]).expect("queue").expect("tasks");
    let id = queue.work.graph.find("/b1.bb:do_install").expect("task");
    let mut changed = false;
    let outcome = loop {
        match queue.step().expect("step") {
            Step::Done(outcome) => break outcome,
            Step::Wait => queue.wait(Duration::from_millis(1)).expect("wait"),
            Step::Again => {}
        }
        changed |= *queue.work.unihash[id as usize] != *old;
    };
    assert!(outcome.success && changed, "{outcome:?}");
    assert!(build.events.logs(level::VERBOSE).iter().any(|t| t == "Task /a1.bb:do_populate_sysroot unihash changed to f00d"));
}

/// As upstream's test_hashserv_single, whose list of tasks this is: a1 is installed anew, and what is made of it
/// proves equal to what there was. Their stamps are newer then than those of what was made of them before, however
/// quickly all of it happens and whichever of the two is done first.
#[test]
fn what_was_made_of_a_result_that_proved_equal_is_stale_within_a_second_too() {
    for tick in [Duration::from_nanos(1), Duration::from_secs(1)] {
        for slow in ["a1:package", "a1:populate_sysroot"] {
            let build = Build::new("");
            {
                let mut world = build.world.borrow_mut();
                world.keeps = true;
                world.clock = Some((std::time::UNIX_EPOCH + Duration::from_secs(1_700_000_000), tick));
            }
            build.run(&["a1", "b1"]);
            for task in ["do_package", "do_populate_sysroot"] {
                let mut world = build.world.borrow_mut();
                let hash = world.left[&format!("a1:{task}")].clone();
                world.new_unihash.insert(format!("/a1.bb:{task}"), hash);
            }
            build.world.borrow_mut().invalidated.push("/a1.bb:do_install".into());
            assert_eq!(build.ran(&["a1:do_install"]), ["a1:install"]);
            build.world.borrow_mut().slow.insert(slow.into(), 3);
            let again = "populate_sysroot package package_write_rpm_setscene packagedata_setscene package_write_ipk_setscene package_qa_setscene build";
            assert_eq!(build.ran(&["a1", "b1"]), sorted(names("a1", again)), "{tick:?} {slow}");
        }
    }
}

#[test]
fn signature_dump() {
    let mut build = Build::new("");
    build.options.dump_signatures = vec!["none".into()];
    build.config.insert("BB_NUMBER_PARSE_THREADS".into(), "1".into());
    let (ran, outcome) = build.run(&["a1:do_patch"]);
    assert!(ran.is_empty() && outcome.success);
    assert!(build.world.borrow().dir.join("a1.do_unpack.sigdata").exists());
}

#[test]
fn messages_of_the_processes_that_write_signatures_arrive() {
    let mut build = Build::new("");
    build.options.dump_signatures = vec!["none".into()];
    build.config.insert("BB_NUMBER_PARSE_THREADS".into(), "2".into());
    let (_, outcome) = build.run(&["a1:do_patch"]);
    assert!(outcome.success);
    let told = build.events.logs(level::ERROR);
    for name in ["do_fetch", "do_unpack", "do_patch"] {
        assert!(told.contains(&format!("about /a1.bb:{name}")), "{told:?}");
    }
}

/// Files are made while later tasks are being hashed, and written when files are written.
#[test]
fn early_signature_files() {
    let mut build = Build::new("");
    build.options.dump_signatures = vec!["none".into()];
    build.config.insert("BB_NUMBER_PARSE_THREADS".into(), "2".into());
    let dir = build.world.borrow().dir.clone();
    let files = || {
        let entries = std::fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().path());
        let named = entries.map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), std::fs::read_to_string(&path).unwrap()));
        named.filter(|(name, _)| name.ends_with(".sigdata")).collect::<std::collections::BTreeMap<_, _>>()
    };
    for (changes, expected) in [(false, "early"), (true, "")] {
        let mut queue = build.queue(&["d1", "b1"]).unwrap().unwrap();
        let deadline = std::time::Instant::now() + Duration::from_secs(20);
        while !queue.early.has_taken_all() && std::time::Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(1));
        }
        assert!(queue.early.has_taken_all() && files().is_empty(), "nothing is noticed before");
        let first = queue.work.graph.find("/a1.bb:do_patch").unwrap();
        if changes {
            queue.work.unihash[first as usize] = "other".into();
        }
        let count = queue.work.graph.tasks.len();
        assert!(build.finish(queue).success);
        let found = files();
        assert_eq!(found.len(), count);
        assert_eq!(found["a1.do_patch.sigdata"], expected);
        assert!(["a1.do_fetch.sigdata", "a1.do_unpack.sigdata", "d1.do_build.sigdata"].iter().all(|name| found[*name].is_empty()), "{found:?}");
        found.keys().for_each(|name| std::fs::remove_file(dir.join(name)).unwrap());
    }
    // One that is given up leaves nothing.
    drop(build.queue(&["d1"]).unwrap());
    assert!(files().is_empty());
}

#[test]
fn depdata() {
    let build = Build::new("");
    let queue = build.queue(&["b1"]).expect("queue").expect("tasks");
    let id = queue.work.graph.find("/b1.bb:do_unpack").expect("task");
    let spec = |task: TaskId, setscene: bool| TaskSpec {
        task,
        setscene,
        mc: "".into(),
        mcfn: "".into(),
        tid: "".into(),
        taskname: String::new(),
        taskhash: "".into(),
        unihash: "".into(),
        quieterrors: false,
        leavings: None,
        fakeroot: false,
    };
    let data = queue.work.taskdepdata(&spec(id, false));
    let list: Vec<(&str, &[Str])> = data.iter().map(|d| (&*d.taskname, &*d.deps)).collect();
    assert_eq!(list, [("do_unpack", &["/b1.bb:do_fetch".into()][..]), ("do_fetch", &[][..])]);
    drop(queue);
    let queue = build.queue(&["d1"]).expect("queue").expect("tasks");
    let id = queue.work.graph.find("/d1.bb:do_package").expect("task");
    let data = queue.work.taskdepdata(&spec(id, true));
    assert_eq!(data.iter().map(|d| d.tid.to_string()).collect::<Vec<_>>(), ["/d1.bb:do_package", "/a1.bb:do_package"]);
}

/// A big build decides quickly.
#[test]
fn scales() {
    let mut build = Build::new("");
    let count = 600;
    build.recipes = (0..count)
        .map(|n| {
            let deps: Vec<String> = (1..4).filter_map(|k| (n >= k * k).then(|| format!("r{}", n - k * k))).collect();
            recipe(&format!("r{n}"), "", &deps.iter().map(String::as_str).collect::<Vec<_>>(), "")
        })
        .collect();
    build.options.dry_run = true;
    let start = std::time::Instant::now();
    let queue = build.queue(&[&format!("r{}", count - 1)]).expect("queue").expect("tasks");
    let tasks = queue.work.graph.tasks.len();
    let prepared = start.elapsed();
    let outcome = {
        let mut queue = queue;
        loop {
            match queue.step().expect("step") {
                Step::Done(outcome) => break outcome,
                Step::Wait => queue.wait(Duration::from_millis(1)).expect("wait"),
                Step::Again => {}
            }
        }
    };
    eprintln!("{tasks} tasks: prepared in {prepared:?}, decided in {:?}", start.elapsed());
    assert!(outcome.success && outcome.stats.completed == tasks);
}

/// The whole of real layers, dry: `HZ_GOLDEN=DIR` as for the graph's test.
#[test]
#[ignore = "needs files made with the reference"]
fn real_layers() {
    let Ok(dir) = std::env::var("HZ_GOLDEN") else { return };
    let read = |name: &str| std::fs::read_to_string(format!("{dir}/{name}")).expect(name);
    for (name, cached) in [("zip", false), ("cim", false), ("cim", true), ("world", false), ("world", true)] {
        let mut build = Build::new("");
        let infos: Vec<RecipeInfo> = serde_json::from_str(&read("recipes.json")).expect("recipes");
        build.recipes = infos.into_iter().map(|info| Arc::new(info.into())).collect();
        build.config.extend(serde_json::from_str::<Table>(&read("config.json")).expect("config"));
        build.config.insert("BB_NUMBER_THREADS".into(), "8".into());
        build.options.dry_run = true;
        if cached {
            let all = build.recipes.iter().flat_map(|r| r.tasks.iter().map(|t| format!("{}:{t}", r.pn)));
            let all: HashSet<String> = all.collect();
            build.world.borrow_mut().valid = all;
        }
        let targets = read(&format!("{name}.targets"));
        let start = std::time::Instant::now();
        let mut set = RecipeSet::new("");
        build.recipes.iter().for_each(|info| set.add(info.clone(), 5));
        set.read_preferences(&build.config, &[]).expect("preferences");
        let sets = IndexMap::from([(Str::from(""), set)]);
        let configs = IndexMap::from([(Str::from(""), &build.config as &dyn Config)]);
        let targets: Vec<String> = targets.split_whitespace().map(String::from).collect();
        let plan = build_task_data(&targets, "build", sets, &configs, TargetOptions { halt: true, allow_incomplete: true }, &mut |e: &ExtraDepends| Ok(e.deps.clone())).expect("plan");
        let exec = Exec { world: build.world.clone(), running: Vec::new(), ahead: HashMap::new(), asked: Default::default() };
        let (sigs, hooks) = (Sigs(build.world.clone()), TestHooks(build.world.clone()));
        let queue = RunQueue::prepare(plan, &build.config, build.options.clone(), Box::new(sigs), Box::new(hooks), Box::new(exec));
        let queue = queue.expect("prepare").expect("tasks");
        let prepared = start.elapsed();
        let outcome = build.finish(queue);
        eprintln!("{name} cached={cached}: prepared in {prepared:?}, decided in {:?}: {:?}", start.elapsed(), outcome.stats);
        assert!(outcome.success, "{:?}", build.events.logs(level::ERROR));
    }
}
