//! Graphs of small made-up recipes, and (ignored: it needs files made with the reference) of real
//! layers against the reference's `task-depends.dot`.

use crate::*;
use hz_cache::{Recipe, RecipeInfo};
use hz_diagnostics::Str;
use indexmap::IndexMap;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

type Table = HashMap<String, String>;

fn config(pairs: &[(&str, &str)]) -> Table {
    pairs.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect()
}

/// A recipe from `NAME=VALUE` facts; tasks `a b c` in a chain plus those given.
fn recipe(file: &str, pn: &str, pv: &str, edit: impl FnOnce(&mut RecipeInfo)) -> Arc<Recipe> {
    let mut info = RecipeInfo { mcfn: file.into(), pn: pn.into(), pv: pv.into(), packages: vec![pn.into()], ..RecipeInfo::default() };
    add_task(&mut info, "do_fetch", &[]);
    add_task(&mut info, "do_compile", &["do_fetch"]);
    add_task(&mut info, "do_install", &["do_compile"]);
    add_task(&mut info, "do_build", &["do_install"]);
    flag(&mut info, "deptask", "do_compile", "do_install");
    flag(&mut info, "recrdeptask", "do_build", "do_install");
    edit(&mut info);
    Arc::new(info.into())
}
fn add_task(info: &mut RecipeInfo, name: &str, after: &[&str]) {
    info.tasks.push(name.into());
    info.task_deps.tasks.push(name.into());
    info.task_deps.parents.insert(name.into(), after.iter().map(|x| Str::from(*x)).collect());
}
fn flag(info: &mut RecipeInfo, flag: &str, task: &str, text: &str) {
    info.task_deps.flags.entry(flag.into()).or_default().insert(task.into(), text.into());
}

fn set(recipes: &[Arc<Recipe>]) -> RecipeSet {
    let mut set = RecipeSet::new("");
    recipes.iter().for_each(|info| set.add(info.clone(), 5));
    set
}

fn build_with(mut set: RecipeSet, names: &[&str], config: &Table, halt: bool, options: &GraphOptions) -> Result<Option<TaskGraph>> {
    set.read_preferences(config, &[])?;
    let names: Vec<String> = names.iter().map(|n| n.to_string()).collect();
    let sets = IndexMap::from([(Str::from(""), set)]);
    let configs = IndexMap::from([(Str::from(""), config as &dyn Config)]);
    let targets = TargetOptions { halt, allow_incomplete: false };
    let plan = build_task_data(&names, "build", sets, &configs, targets, &mut |extra: &ExtraDepends| Ok(extra.deps.clone()))?;
    TaskGraph::build(plan, config, options)
}
fn build(recipes: &[Arc<Recipe>], names: &[&str], config: &Table) -> Result<TaskGraph> {
    build_with(set(recipes), names, config, true, &GraphOptions::default()).map(|graph| graph.expect("tasks"))
}
fn deps(graph: &TaskGraph, tid: &str) -> Vec<String> {
    let mut list: Vec<String> = graph.task(graph.find(tid).expect(tid)).depends.iter().map(|d| graph.task(*d).tid.to_string()).collect();
    list.sort();
    list
}

/// Events of a test, one test at a time as the sink is the process's.
struct Recorder(Arc<Mutex<Vec<hz_events::Event>>>, #[allow(dead_code)] MutexGuard<'static, ()>);
impl Recorder {
    fn start() -> Recorder {
        static ONE: Mutex<()> = Mutex::new(());
        let guard = ONE.lock().unwrap_or_else(|e| e.into_inner());
        struct Sink(Arc<Mutex<Vec<hz_events::Event>>>);
        impl hz_events::Sink for Sink {
            fn emit(&mut self, event: hz_events::Event) {
                self.0.lock().expect("sink").push(event);
            }
        }
        let list = Arc::new(Mutex::new(Vec::new()));
        hz_events::set_sink(Box::new(Sink(list.clone())));
        Recorder(list, guard)
    }
    /// Messages of at least `level` and the main events, as text.
    fn texts(&self, at_least: u32) -> Vec<String> {
        let list = self.0.lock().expect("sink");
        list.iter()
            .filter_map(|event| match event {
                hz_events::Event::Log(record) if record.level >= at_least => Some(record.message.clone()),
                hz_events::Event::NoProvider { item, dependees, reasons, close_matches, .. } => {
                    Some(format!("NoProvider {item} {dependees:?} {reasons:?} {close_matches:?}"))
                }
                hz_events::Event::MultipleProviders { item, candidates, .. } => Some(format!("MultipleProviders {item} {candidates:?}")),
                _ => None,
            })
            .collect()
    }
}

#[test]
fn edges_of_all_kinds() {
    let a = recipe("/a.bb", "a", "1", |r| {
        r.depends = vec!["b".into()];
        r.rdepends_pkg.insert("a".into(), vec!["c-pkg".into()]);
        add_task(r, "do_image", &["do_install", "do_gone"]);
        flag(r, "rdeptask", "do_image", "do_install");
        flag(r, "depends", "do_image", "b:do_fetch");
        flag(r, "rdepends", "do_image", "c-pkg:do_compile");
    });
    let b = recipe("/b.bb", "b", "1", |r| r.depends = vec!["d".into()]);
    let c = recipe("/c.bb", "c", "1", |r| r.packages = vec!["c".into(), "c-pkg".into()]);
    let d = recipe("/d.bb", "d", "1", |_| {});
    let graph = build(&[a, b, c, d], &["a", "a:do_image"], &Table::new()).expect("graph");
    assert_eq!(deps(&graph, "/a.bb:do_compile"), ["/a.bb:do_fetch", "/b.bb:do_install"]);
    assert_eq!(deps(&graph, "/a.bb:do_image"), ["/a.bb:do_install", "/b.bb:do_fetch", "/c.bb:do_compile", "/c.bb:do_install"]);
    // Recursive: d is only reached through b.
    assert_eq!(deps(&graph, "/a.bb:do_build"), ["/a.bb:do_install", "/b.bb:do_install", "/c.bb:do_install", "/d.bb:do_install"]);
    assert!(graph.find("/b.bb:do_build").is_none(), "nothing asked for it");
    let weight = |tid: &str| graph.task(graph.find(tid).expect(tid)).weight;
    assert!(weight("/d.bb:do_fetch") > weight("/a.bb:do_fetch"));
}

#[test]
fn recursion_through_recursive_tasks_and_itself() {
    let chain = |file: &str, pn: &str, dep: &[&str]| {
        let dep: Vec<Str> = dep.iter().map(|d| Str::from(*d)).collect();
        recipe(file, pn, "1", |r| {
            r.depends = dep;
            r.task_deps.flags.clear();
            add_task(r, "do_deploy", &[]);
            flag(r, "recrdeptask", "do_deploy", "do_deploy do_fetch");
        })
    };
    let graph = build(&[chain("/a.bb", "a", &["b"]), chain("/b.bb", "b", &["c"]), chain("/c.bb", "c", &[])], &["a:do_deploy"], &Table::new());
    // do_deploy waits for no do_deploy, but what those found counts.
    assert_eq!(deps(&graph.expect("graph"), "/a.bb:do_deploy"), ["/b.bb:do_fetch", "/c.bb:do_fetch"]);
}

#[test]
fn provider_choice() {
    let _guard = Recorder::start();
    let v = |file: &str, pv: &str, dp: i64| recipe(file, "x", pv, |r| r.default_preference = dp);
    let recipes = [v("/x_1.bb", "1.0", 0), v("/x_2.bb", "2.0", 0), v("/x_git.bb", "9+git", -1)];
    let mut all = set(&recipes);
    all.add(v("/top/x_0.bb", "0.5", 0), 7);
    let ids: Vec<RecipeId> = all.pkg_pn["x"].clone();
    let best = |all: &RecipeSet, pairs: &[(&str, &str)]| {
        let best = providers::find_best_provider("x", &config(pairs), all, &ids, None).expect("best");
        best.preferred.map(|(_, id)| all.mcfn(id).to_string()).unwrap_or_default()
    };
    assert_eq!(best(&all, &[]), "/top/x_0.bb", "layer priority comes first");
    assert_eq!(best(&all, &[("PREFERRED_VERSION_x", "1.%")]), "/x_1.bb");
    assert_eq!(best(&all, &[("PREFERRED_VERSION", "9%"), ("PREFERRED_VERSION:pn-x", "2.0")]), "/x_2.bb");
    assert_eq!(best(&all, &[("REQUIRED_VERSION_x", "7"), ("PREFERRED_VERSION_x", "1.0")]), "");
    let low = set(&recipes);
    let ids: Vec<RecipeId> = low.pkg_pn["x"].clone();
    let best = providers::find_best_provider("x", &config(&[]), &low, &ids, None).expect("best");
    assert_eq!(best.latest.map(|(v, _)| v.1.to_string()).as_deref(), Some("2.0"), "a negative DEFAULT_PREFERENCE loses");
}

#[test]
fn dynamic_packages() {
    let k = recipe("/k.bb", "k", "1", |r| r.packages_dynamic = vec!["^kernel-module-.*".into(), "^g++-x?.*".into(), "a|b".into()]);
    let all = set(&[k]);
    let found = |name: &str| all.runtime_providers(name).len();
    assert_eq!([found("kernel-module-x"), found("kernel-image"), found("g++-"), found("g++-y"), found("b"), found("c")], [1, 0, 1, 1, 1, 0]);
}

#[test]
fn several_providers_and_preference() {
    let events = Recorder::start();
    let p = |file: &str, pn: &str| recipe(file, pn, "1", |r| r.provides = vec!["virtual/x".into()]);
    let a = recipe("/a.bb", "a", "1", |r| r.depends = vec!["virtual/x".into()]);
    let recipes = [a, p("/p.bb", "p"), p("/q.bb", "q")];
    let graph = build(&recipes, &["a"], &Table::new()).expect("graph");
    assert!(graph.find("/p.bb:do_install").is_some() && graph.find("/q.bb:do_install").is_none());
    assert_eq!(events.texts(level_warning()), [r#"MultipleProviders virtual/x ["p", "q"]"#]);
    let graph = build(&recipes, &["a"], &config(&[("PREFERRED_PROVIDER_virtual/x", "q")])).expect("graph");
    assert!(graph.find("/q.bb:do_install").is_some() && graph.find("/p.bb:do_install").is_none());
    let graph = build(&recipes, &["a"], &config(&[("PREFERRED_PROVIDERS", "virtual/x:q")])).expect("graph");
    assert!(graph.find("/q.bb:do_install").is_some());
    // Both in one build: an error message; allowed by name.
    build(&recipes, &["a", "q"], &Table::new()).expect("only an error message");
    assert!(events.texts(level_warning()).iter().any(|t| t.starts_with("Multiple .bb files are due to be built which each provide virtual/x:\n  /q.bb\n  /p.bb\nA list of tasks")), "{:?}", events.texts(30));
}

fn level_warning() -> u32 {
    hz_events::level::WARNING
}

#[test]
fn runtime_preferences_of_several_candidates() {
    let _guard = Recorder::start();
    let p = |file: &str, pn: &str, item: &str| recipe(file, pn, "1", |r| {
        r.provides = vec![item.into()];
        r.rprovides = vec!["many".into()];
    });
    let all = set(&[p("/m1.bb", "m1", "virtual/a"), p("/m2.bb", "m2", "virtual/b"), p("/m3.bb", "m3", "virtual/c")]);
    let of = |names: &[&str]| {
        let pairs: Vec<(String, String)> = names.iter().map(|pn| (format!("PREFERRED_PROVIDER_virtual/{}", ["a", "b", "c"][pn[1..].parse::<usize>().unwrap() - 1]), pn.to_string())).collect();
        let table: Table = pairs.into_iter().collect();
        let ids = all.runtime_providers("many");
        let (list, count) = providers::filter_runtime_providers(&ids, "many", &table, &all).expect("choice");
        (all.pn(list[0]).to_string(), count)
    };
    assert_eq!(of(&["m2"]), ("m2".into(), 1));
    // m2 moves into m1's place and is never asked, as on the reference.
    assert_eq!(of(&["m1", "m2"]), ("m1".into(), 1));
    assert_eq!(of(&["m1", "m3"]), ("m3".into(), 2));
}

#[test]
fn world_is_worked_out_once() {
    let _guard = Recorder::start();
    let mut all = set(&[recipe("/a.bb", "a", "1", |r| add_task(r, "do_image", &[])), recipe("/b.bb", "b", "1", |_| {})]);
    assert!(all.world_targets(Some("do_nothing")).is_empty());
    assert_eq!(all.world_targets(Some("do_image")), ["a".into()]);
    assert_eq!(all.world_targets(None), ["a".into()], "who asks later gets the first list");
}

#[test]
fn events_go_through_the_host() {
    let _guard = Recorder::start();
    struct Listener(Vec<String>);
    impl Host for Listener {
        fn extra_depends(&mut self, call: &ExtraDepends) -> Result<Vec<Str>> {
            Ok(call.deps.clone())
        }
        fn fire(&mut self, mc: &str, event: hz_events::Event) -> Result<()> {
            self.0.push(match event {
                hz_events::Event::NoProvider { item, .. } => format!("{mc}:{item}"),
                hz_events::Event::Other { class, attributes } => format!("{class} {attributes}"),
                other => format!("{other:?}"),
            });
            Ok(())
        }
    }
    let table = Table::new();
    let sets = IndexMap::from([(Str::from(""), set(&[recipe("/a.bb", "a", "1", |r| r.depends = vec!["none".into()])]))]);
    let configs = IndexMap::from([(Str::from(""), &table as &dyn Config)]);
    let mut listener = Listener(Vec::new());
    let options = TargetOptions { halt: true, allow_incomplete: true };
    build_task_data(&["a".into()], "build", sets, &configs, options, &mut listener).expect("plan");
    let of = |name: &str, facts: &str| format!("bb.event.TreeDataPreparation{name} {facts}");
    let expected = [of("Started", "{}"), of("Progress", r#"{"current":1,"total":1}"#), ":none".into(), of("Completed", r#"{"total":1}"#)];
    assert_eq!(listener.0, expected);
}

#[test]
fn two_versions_of_one_recipe() {
    let _guard = Recorder::start();
    let old = recipe("/x_1.bb", "x", "1", |_| {});
    let new = recipe("/x_2.bb", "x", "2", |r| r.packages = vec!["x".into(), "new-x".into()]);
    let odd = recipe("/y.bb", "y", "1", |r| {
        r.rdepends = vec!["old-x".into()];
        flag(r, "rdeptask", "do_build", "do_install");
        r.depends = vec!["x".into()];
    });
    let mut old = RecipeInfo::clone(&old);
    old.packages.push("old-x".into());
    let error = build(&[Arc::new(old.into()), new, odd], &["y"], &Table::new()).err().expect("two versions");
    assert!(matches!(error, GraphError::Handled(_)));
    assert!(error.to_string().starts_with("Multiple versions of x are due to be built (/x_2.bb /x_1.bb)."), "{error}");
}

#[test]
fn missing_providers() {
    let events = Recorder::start();
    let a = recipe("/a.bb", "a", "1", |r| r.depends = vec!["busbox".into()]);
    let busybox = recipe("/busybox.bb", "busybox", "1", |_| {});
    let skipped = recipe("/s.bb", "s", "1", |r| {
        r.skipped = Some("incompatible with machine".into());
        r.provides = vec!["thing".into()];
    });
    let recipes = [a, busybox, skipped];
    // Not requested itself: what needs it is taken out, which ends in an error for the target.
    let error = build(&recipes, &["a"], &Table::new()).err().expect("no provider");
    assert_eq!(error.to_string(), "a");
    let texts = events.texts(level_warning());
    assert_eq!(texts[0], r#"NoProvider busbox ["/a.bb"] [] ["busybox"]"#);
    assert_eq!(texts[1], "Required build target 'a' has no buildable providers.\nMissing or unbuildable dependency chain was: ['a', 'busbox']");
    let error = build(&recipes, &["thing"], &Table::new()).err().expect("skipped");
    assert!(matches!(error, GraphError::NoProvider(_)));
    assert_eq!(events.texts(level_warning())[2], r#"NoProvider thing [] ["s PROVIDES thing but was skipped: incompatible with machine"] []"#);
    assert!(build(&recipes, &["a"], &config(&[("ASSUME_PROVIDED", "^bus.*")])).is_ok(), "assumed by expression");
    // With -k the rest goes on.
    let graph = build_with(set(&recipes), &["a", "busybox"], &Table::new(), false, &GraphOptions::default()).expect("goes on").expect("tasks");
    assert!(graph.find("/busybox.bb:do_build").is_some() && graph.find("/a.bb:do_build").is_none());
}

#[test]
fn unknown_task_and_loops() {
    let _guard = Recorder::start();
    let a = recipe("/a.bb", "a", "1", |_| {});
    let error = build(&[a.clone()], &["a:do_compil"], &Table::new()).err().expect("unknown");
    assert!(matches!(error, GraphError::Exit(_)), "the reference leaves by an exit status");
    assert_eq!(error.to_string(), "Task do_compil does not exist for target a (/a.bb:do_compil). Close matches:\n  do_compile");
    let b = recipe("/b.bb", "b", "1", |r| flag(r, "depends", "do_fetch", "b:do_install"));
    let error = build(&[b], &["b"], &Table::new()).err().expect("loop");
    assert_eq!(error.to_string(), "\nDependency loop #1 found:\n  Task /b.bb:do_compile (dependent Tasks ['b.bb:do_fetch'])\n  Task /b.bb:do_install (dependent Tasks ['b.bb:do_compile'])\n  Task /b.bb:do_fetch (dependent Tasks ['b.bb:do_install'])\n\n");
    let c = recipe("/c.bb", "c", "1", |r| flag(r, "depends", "do_fetch", "nothing"));
    let error = build(&[c], &["c"], &Table::new()).err().expect("no colon");
    assert!(error.to_string().starts_with("Error for /c.bb:do_fetch[depends], dependency nothing in 'nothing' does not contain exactly one ':' character."));
    let d = recipe("/d.bb", "d", "1", |r| flag(r, "depends", "do_fetch", "d:do_nothing"));
    let error = build(&[d], &["d"], &Table::new()).err().expect("no task");
    assert_eq!(error.to_string(), "Task do_fetch in /d.bb depends upon non-existent task do_nothing in /d.bb");
}

#[test]
fn runall_runonly_and_force() {
    let _guard = Recorder::start();
    let a = recipe("/a.bb", "a", "1", |r| r.depends = vec!["b".into()]);
    let b = recipe("/b.bb", "b", "1", |r| flag(r, "nostamp", "do_fetch", "1"));
    let tids = |options: &GraphOptions| {
        let graph = build_with(set(&[a.clone(), b.clone()]), &["a"], &Table::new(), true, options).expect("graph").expect("tasks");
        (graph.tasks.iter().map(|t| t.tid.to_string()).collect::<Vec<_>>(), graph.invalidations)
    };
    let runall = GraphOptions { runall: vec!["fetch".into()], ..Default::default() };
    assert_eq!(tids(&runall).0, ["/a.bb:do_fetch", "/b.bb:do_fetch"]);
    let runonly = GraphOptions { runonly: vec!["compile".into()], ..Default::default() };
    assert!(tids(&runonly).0.contains(&"/b.bb:do_install".into()) && !tids(&runonly).0.contains(&"/a.bb:do_install".into()));
    let force = GraphOptions { force: true, invalidate_stamp: Some("compile".into()), ..Default::default() };
    let names: Vec<String> = tids(&force).1.iter().map(|i| i.task.to_string()).collect();
    assert_eq!(names, ["do_build", "do_compile"]);
    let error = build_with(set(&[a.clone(), b.clone()]), &["a"], &Table::new(), true, &GraphOptions { runonly: vec!["x".into()], ..Default::default() });
    assert_eq!(error.err().expect("none").to_string(), "Could not find any tasks with the tasknames ['x'] to run within the taskgraphs of the targets [['', 'a', 'do_build', '/a.bb']]");
    let _ = b;
}

#[test]
fn multiconfig() {
    let _guard = Recorder::start();
    let a = recipe("/a.bb", "a", "1", |r| flag(r, "mcdepends", "do_compile", "mc::two:b:do_install"));
    let b = recipe("mc:two:/b.bb", "b", "1", |_| {});
    let mut two = RecipeSet::new("two");
    two.add(b, 5);
    let table = Table::new();
    let sets = IndexMap::from([(Str::from(""), set(&[a])), (Str::from("two"), two)]);
    let configs = IndexMap::from([(Str::from(""), &table as &dyn Config), (Str::from("two"), &table as &dyn Config)]);
    let options = TargetOptions { halt: true, allow_incomplete: false };
    let plan = build_task_data(&["a".into(), "mc:two:b:do_fetch".into()], "build", sets, &configs, options, &mut |e: &ExtraDepends| Ok(e.deps.clone())).expect("plan");
    let graph = TaskGraph::build(plan, &table, &GraphOptions::default()).expect("graph").expect("tasks");
    assert_eq!(deps(&graph, "/a.bb:do_compile"), ["/a.bb:do_fetch", "mc:two:/b.bb:do_install"]);
    assert!(DependTree::new(&graph).dot().contains("\"a.do_compile\" -> \"mc:two:b.do_install\"\n"));
}

/// `HZ_GOLDEN=DIR` holds recipes.json (facts the reference cached), config.json (its `-e`) and
/// NAME.dot / NAME.targets for each graph to compare.
#[test]
#[ignore = "needs files made with the reference"]
fn as_the_reference() {
    let _guard = Recorder::start();
    let Ok(dir) = std::env::var("HZ_GOLDEN") else { return };
    let read = |name: &str| std::fs::read_to_string(format!("{dir}/{name}")).expect(name);
    let infos: Vec<RecipeInfo> = serde_json::from_str(&read("recipes.json")).expect("recipes");
    let table: Table = serde_json::from_str(&read("config.json")).expect("config");
    let infos: Vec<Arc<Recipe>> = infos.into_iter().map(|info| Arc::new(info.into())).collect();
    for name in ["zip", "cim", "world"] {
        let start = std::time::Instant::now();
        let mut all = set(&infos);
        all.read_preferences(&table, &[]).expect("preferences");
        let names: Vec<String> = read(&format!("{name}.targets")).split_whitespace().map(String::from).collect();
        let sets = IndexMap::from([(Str::from(""), all)]);
        let configs = IndexMap::from([(Str::from(""), &table as &dyn Config)]);
        let options = TargetOptions { halt: true, allow_incomplete: true };
        let mut extra = |e: &ExtraDepends| {
            let world = e.world_target.iter().filter(|pn| &***pn != e.self_pn);
            Ok(e.deps.iter().chain(world).cloned().collect())
        };
        let plan = build_task_data(&names, "build", sets, &configs, options, &mut extra).expect("plan");
        let resolved = start.elapsed();
        let graph = TaskGraph::build(plan, &table, &GraphOptions::default()).expect("graph").expect("tasks");
        let built = start.elapsed();
        let dot = DependTree::new(&graph).dot();
        eprintln!("{name}: {} tasks, resolved in {resolved:?}, graph after {built:?}, text after {:?}", graph.tasks.len(), start.elapsed());
        std::fs::write(format!("{dir}/{name}.ours"), &dot).expect("write");
        assert!(dot == read(&format!("{name}.dot")), "{name} differs");
    }
}
