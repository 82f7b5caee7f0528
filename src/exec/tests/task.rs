//! Tasks from the fork to the stamp, on a recipe of our own. One test function: the VM belongs to
//! one thread.
#![cfg(feature = "python")]

use hz_data::{DataStore, SetInfo, Value};
use hz_events::Event;
use hz_exec::child::{TaskSpec, run_in_child};
use hz_exec::gate::Gate;
use hz_exec::spawn::{Report, Spawner};
use rustpython_vm::compiler::Mode;
use std::path::Path;
use std::time::Duration;

const FN: &str = "/layer/recipes/tool_1.0.bb";

fn python(code: &str, d: &DataStore) {
    hz_python::enter(|vm| {
        let scope = vm.new_scope_with_builtins();
        scope.globals.set_item("d", hz_python::store::wrap(d, vm).unwrap(), vm).unwrap();
        let code = vm.compile(code, Mode::Exec, "<test>").map_err(|e| e.into_pyexception(vm, Some(code)));
        if let Err(e) = code.and_then(|code| vm.run_code_obj(code, scope)) {
            vm.print_exception(&e);
            panic!("python failed");
        }
    });
}

struct Fixture {
    store: DataStore,
    spawner: Spawner,
}

impl Fixture {
    fn set(&self, name: &str, value: impl Into<Value>) {
        self.store.set_var(name, value, &SetInfo::default()).unwrap();
    }
    fn flag(&self, name: &str, flag: &str, value: impl Into<Value>) {
        self.store.set_flag(name, flag, value, &SetInfo::default()).unwrap();
    }

    fn task(&self, name: &str, is_python: bool, body: &str) {
        self.set(name, body);
        self.flag(name, "func", Value::Int(1));
        self.flag(name, "task", Value::Int(1));
        self.flag(name, "filename", FN);
        self.flag(name, "lineno", "10");
        if is_python {
            self.flag(name, "python", "1");
        }
    }

    /// Runs a task in its own process; its exit code and events.
    fn run(&mut self, task: &str, quieterrors: bool) -> (i32, Vec<Event>) {
        let (spec, vm) = (self.spec(task, quieterrors), hz_python::start(Default::default()));
        self.spawner.spawn(&format!("{FN}:{task}"), || run_in_child(&spec, vm, &Gate::open())).unwrap();
        self.finished()
    }

    /// The same in a process made ahead; None: it said that it is of no use.
    fn run_ahead(&mut self, task: &str, before: impl FnOnce()) -> Option<(i32, Vec<Event>)> {
        let (spec, vm) = (self.spec(task, false), hz_python::start(Default::default()));
        self.spawner.spawn_ahead(task, |gate| run_in_child(&spec, vm, gate)).unwrap();
        while !self.spawner.is_ready(task) {
            self.spawner.wait(Some(Duration::from_secs(5))).unwrap();
        }
        before();
        self.spawner.release(task)?;
        Some(self.finished())
    }

    fn spec(&self, task: &str, quieterrors: bool) -> TaskSpec {
        let store = self.store.create_copy();
        TaskSpec {
            mcfn: FN.into(),
            task: task.into(),
            taskhash: "t".repeat(64).into(),
            unihash: "u".repeat(64).into(),
            store,
            taskdepdata: std::sync::Arc::new(Default::default),
            variables: vec![("BUILDNAME".into(), Value::str("now"))],
            limited_deps: false,
            dry_run: false,
            quieterrors,
            umask: Some("022".into()),
            fakeroot: false,
            fakerootnoenv: "NOFAKE=yes".into(),
            verbose_shell: false,
            verbose_stdout: false,
            leavings: None,
        }
    }

    fn finished(&mut self) -> (i32, Vec<Event>) {
        let mut events = Vec::new();
        loop {
            for report in self.spawner.wait(Some(Duration::from_secs(60))).unwrap() {
                match report {
                    Report::Event { event, .. } => events.push(event),
                    Report::Exited { code, .. } => return (code, events),
                }
            }
        }
    }
}

fn messages(events: &[Event], level: u32) -> Vec<&str> {
    let of_level = |e: &'_ Event| matches!(e, Event::Log(r) if r.level == level);
    events.iter().filter(|e| of_level(e)).map(|e| if let Event::Log(r) = e { r.message.as_str() } else { "" }).collect()
}

fn names(events: &[Event]) -> Vec<&'static str> {
    events
        .iter()
        .filter_map(|e| match e {
            Event::TaskStarted(_) => Some("started"),
            Event::TaskSucceeded(_) => Some("succeeded"),
            Event::TaskFailed { .. } => Some("failed"),
            Event::TaskFailedSilent(_) => Some("silent"),
            Event::TaskInvalid(_) => Some("invalid"),
            _ => None,
        })
        .collect()
}

/// Process ids differ from run to run.
fn without_numbers(text: &str) -> String {
    text.split(|c: char| c.is_ascii_digit()).filter(|part| !part.is_empty()).collect::<Vec<_>>().join("#")
}

fn log(t: &Path, task: &str) -> String {
    std::fs::read_to_string(t.join(format!("log.{task}"))).unwrap_or_else(|e| panic!("log.{task}: {e}"))
}

#[test]
fn tasks() {
    let ctx = rustpython_vm::Context::genesis();
    hz_python::add_native_modules(&[
        hz_exec::pymodule::module_def(ctx),
        hz_exec::siggen_module::module_def(ctx),
        hz_services::pymodule::module_def(ctx),
        hz_fetch::pymodule::module_def(ctx),
    ]);
    let dir = tempfile::tempdir().unwrap();
    let top = dir.path().to_str().unwrap().to_string();
    let t = dir.path().join("work/temp");
    hz_python::start(Default::default());
    let mut f = Fixture { store: DataStore::new(hz_python::shared()), spawner: Spawner::new() };
    for (name, value) in [
        ("PN", "tool"), ("PV", "1.0"), ("PF", "tool-1.0-r0"), ("FILE", FN), ("OVERRIDES", "own"), ("PATH", "/usr/bin:/bin"),
        ("BB_SIGNATURE_HANDLER", "basichash"), ("BB_BASEHASH_IGNORE_VARS", "T PATH FILE STAMP"),
    ] {
        f.set(name, value);
    }
    f.flag("PATH", "export", "1");
    f.set("GREETING", "hello");
    f.flag("GREETING", "export", "1");
    f.set("T", t.to_str().unwrap());
    f.set("PERSISTENT_DIR", format!("{top}/cache"));
    f.set("STAMP", format!("{top}/stamps/tool/1.0"));
    f.task("do_shell", false, "\thelper\n\tprintf 'bbnote a note\\0' > ${T}/fifo.$PPID\n\techo $GREETING $NOFAKE `pwd`\n\techo err >&2\n");
    f.set("helper", "\tprintf 'bbwarn careful\\0' > ${T}/fifo.$PPID\n");
    f.flag("helper", "func", Value::Int(1));
    f.flag("do_shell", "dirs", format!("{top}/made/one {top}/made/two"));
    f.flag("do_shell", "prefuncs", "before");
    f.task("before", true, "    print('printed')\n    bb.note('from %s' % d.getVar('BB_CURRENTTASK'))\n");
    f.task("do_python", true, "    bb.build.exec_func('helper', d)\n    open(d.getVar('T') + '/made', 'w').write(d.getVar('BUILDNAME'))\n");
    f.task("do_fail", false, "\techo doomed\n\texit 3\n");
    f.task("do_pyfail", true, "    x = 1\n    return x / 0\n");
    f.task("do_empty", true, "    pass\n");
    let tasks = ["do_shell", "do_python", "do_fail", "do_pyfail", "do_empty"];
    f.set("__BBTASKS", Value::List(std::sync::Arc::new(tasks.iter().map(|t| Value::str(*t)).collect())));
    // Which generators' stamps the run queue names itself, and who gives it the hash.
    python(
        "import bb, bb._generator, bb.parse, bb.siggen\n\
         kept = getattr(bb.parse, 'siggen', None)\n\
         class Hash(bb.siggen.SignatureGeneratorBasicHash):\n    \
             name = 'hash'\n    \
             def get_stampfile_hash(self, tid):\n        \
                 return 'h'\n\
         class Name(bb.siggen.SignatureGeneratorBasicHash):\n    \
             name = 'names'\n    \
             def stampfile(self, stampbase, mcfn, taskname, extrainfo, clean=False):\n        \
                 return 's'\n\
         def named(kind):\n    \
             bb.parse.siggen = kind(d)\n    \
             return bb._generator.stamp_hash()\n\
         assert named(bb.siggen.SignatureGeneratorBasicHash) == (True, None)\n\
         assert named(bb.siggen.SignatureGeneratorBasic) == (False, None)\n\
         assert named(Name) == (False, None)\n\
         ours, found = named(Hash)\n\
         assert ours and found('t') == 'h'\n\
         bb.parse.siggen.stampcleanmask_mcfn = lambda *args: 'm'\n\
         assert bb._generator.stamp_hash() == (False, None)\n\
         bb.parse.siggen = kept",
        &f.store,
    );

    // Unihashes of the builds before are read when somebody wants them.
    python(
        "import bb, bb.cache, bb.parse, bb.siggen\n\
         e = d.createCopy()\n\
         e.setVar('PERSISTENT_DIR', d.getVar('T') + '/persistent')\n\
         cache = bb.cache.SimpleCache('3')\n\
         assert cache.init_cache(e, 'bb_unihashes.dat', 7) == 7\n\
         cache.save({'k': ('t', 'u')})\n\
         g = bb.siggen.init(e)\n\
         assert g._unitaskhashes is None and g.unitaskhashes == {'k': ('t', 'u')}\n\
         g.unitaskhashes['l'] = ('a', 'b')\n\
         g.save_unitaskhashes()\n\
         assert bb.siggen.init(e).get_taskhashes()[2] == {'k': ('t', 'u'), 'l': ('a', 'b')}\n\
         g = bb.siggen.init(e)\n\
         g.set_taskhashes(({}, {}, {'m': 1}, {}))\n\
         assert g.unitaskhashes == {'m': 1}\n\
         bb.siggen.init(e).save_unitaskhashes()\n\
         assert len(bb.siggen.init(e).unitaskhashes) == 2",
        &f.store,
    );

    python(
        "import bb, bb.build, bb.parse, bb.siggen, bb.runqueue\n\
         g = bb.parse.siggen = bb.siggen.init(d)\n\
         assert type(g) is bb.siggen.SignatureGeneratorBasicHash, type(g)\n\
         fn = d.getVar('FILE')\n\
         g.finalise(fn, d, '')\n\
         for task in d.getVar('__BBTASKS', False):\n    \
             tid = bb.runqueue.build_tid('', fn, task)\n    \
             g.runtaskdeps[tid] = []\n    \
             g.file_checksum_values[tid] = [('/x/files/./sub/a.patch', '1' * 32)]\n    \
             g.tidtopn[tid] = 'tool'\n    \
             assert len(g.get_taskhash(tid, [], {})) == 64\n",
        &f.store,
    );

    let (code, events) = f.run("do_shell", false);
    assert_eq!(code, 0, "{events:?}");
    assert_eq!(names(&events), ["started", "succeeded"]);
    assert_eq!(messages(&events, hz_events::level::WARNING), ["careful"]);
    let text = log(&t, "do_shell");
    let expected = format!(
        "DEBUG: Executing python function before\nNOTE: from shell\nprinted\nDEBUG: Python function before finished\n\
         DEBUG: Executing shell function do_shell\nWARNING: careful\nNOTE: a note\nhello yes {top}/made/two\nerr\n\
         DEBUG: Shell function do_shell finished\n"
    );
    assert_eq!(text, expected);
    let run = std::fs::read_to_string(t.join("run.do_shell")).unwrap();
    assert!(run.starts_with("#!/bin/sh\n") && run.contains("\nhelper() {\n") && run.contains("export GREETING=\"hello\"\n"), "{run}");
    assert!(run.ends_with(&format!("cd '{top}/made/two'\ndo_shell\n\n# cleanup\nret=$?\ntrap '' 0\nexit $ret\n")), "{run}");
    assert!(std::fs::read_dir(&t).unwrap().all(|e| !e.unwrap().file_name().to_str().unwrap().starts_with("fifo")));
    let stamps: Vec<String> =
        std::fs::read_dir(dir.path().join("stamps/tool")).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    assert!(stamps.iter().any(|s| s.starts_with("1.0.do_shell.") && !s.contains("sigdata")), "{stamps:?}");
    let sigdata = stamps.iter().find(|s| s.starts_with("1.0.do_shell.sigdata.")).unwrap();
    let sigdata = hz_siggen::SigData::read(&dir.path().join("stamps/tool").join(sigdata)).unwrap();
    assert_eq!(sigdata.run.as_ref().unwrap().file_checksum_values[0].0.as_ref(), "./sub/a.patch");
    assert_eq!(hz_siggen::calc_taskhash(&sigdata).unwrap(), sigdata.run.unwrap().taskhash);

    let (code, events) = f.run("do_python", false);
    assert_eq!((code, names(&events)), (0, vec!["started", "succeeded"]), "{events:?}");
    assert_eq!(std::fs::read_to_string(t.join("made")).unwrap(), "now");
    assert!(log(&t, "do_python").contains("DEBUG: Executing shell function helper\nWARNING: careful\nDEBUG: Shell function helper finished\n"));

    let (code, events) = f.run("do_fail", false);
    assert_eq!((code, names(&events)), (1, vec!["started", "failed"]), "{events:?}");
    let failed = messages(&events, hz_events::level::ERROR).join("\n");
    assert!(failed.starts_with("Execution of '") && failed.ends_with("' failed with exit code 3"), "{failed}");
    assert!(events.iter().any(|e| matches!(e, Event::TaskFailed { errprinted: false, info } if info.logfile.is_some())));
    let text = log(&t, "do_fail");
    assert!(text.contains("doomed\nWARNING: "), "{text}");

    let (code, events) = f.run("do_pyfail", false);
    assert_eq!((code, names(&events)), (1, vec!["started", "failed"]), "{events:?}");
    assert!(events.iter().any(|e| matches!(e, Event::TaskFailed { errprinted: true, .. })), "{events:?}");
    assert!(log(&t, "do_pyfail").contains("ERROR: Error executing a python function in exec_func_python() autogenerated:"));
    assert!(log(&t, "do_pyfail").contains("ZeroDivisionError"));

    let (code, events) = f.run("do_fail", true);
    assert_eq!((code, names(&events)), (1, vec!["started", "silent"]), "{events:?}");
    let (code, events) = f.run("do_missing", false);
    assert_eq!((code, names(&events)), (1, vec!["invalid"]), "{events:?}");

    // The log says what ran; only what is logged by nobody leaves no log.
    let (code, _) = f.run("do_empty", false);
    assert_eq!(code, 0);
    let order = std::fs::read_to_string(t.join("log.task_order")).unwrap();
    let order: Vec<&str> = order.lines().map(|l| l.split(' ').nth(1).unwrap()).collect();
    assert_eq!(order, ["do_shell", "do_python", "do_fail", "do_pyfail", "do_fail", "do_empty"]);

    // In processes made ahead all is the same, and nothing is there before.
    let plain = |events: &[Event]| {
        let said = events.iter().filter_map(|e| if let Event::Log(r) = e { Some(format!("{}: {}", r.level, r.message)) } else { None });
        said.map(|text| without_numbers(&text)).collect::<Vec<_>>()
    };
    let all = ["do_shell", "do_python", "do_fail", "do_pyfail", "do_empty"];
    for task in all {
        let (code, events) = f.run(task, false);
        let known = |file: &str| std::fs::read_to_string(t.join(format!("{file}.{task}"))).unwrap();
        let (log, run) = (known("log"), known("run"));
        for folder in ["work", "stamps", "made"] {
            std::fs::remove_dir_all(dir.path().join(folder)).ok();
        }
        let top = dir.path().to_owned();
        let nothing = || assert!(["work", "stamps", "made"].iter().all(|folder| !top.join(folder).exists()), "{task}");
        let (found, told) = f.run_ahead(task, nothing).expect(task);
        assert_eq!((found, names(&told), plain(&told)), (code, names(&events), plain(&events)), "{task}");
        let found = [known("log"), known("run")].map(|text| without_numbers(&text));
        assert_eq!(found, [log, run].map(|text| without_numbers(&text)), "{task}");
    }
    // What has to be told before the task begins is told by an ordinary process.
    assert!(f.run_ahead("do_missing", || ()).is_none());
    f.set("LOUD", "${@bb.warn('heard') or 'loud'}");
    f.flag("LOUD", "export", "1");
    assert!(f.run_ahead("do_shell", || ()).is_none());
    let (code, events) = f.run("do_shell", false);
    assert!(code == 0 && messages(&events, hz_events::level::WARNING).contains(&"heard"), "{events:?}");
    f.flag("LOUD", "export", "");

    // Class handlers hear of a task's start and end. What they raise fails it, and the start is then not told.
    let heard = dir.path().join("heard");
    let body = format!("    with open('{}', 'a') as f:\n        f.write('%s %s %s\\n' % (bb.event.getName(e), e.task, e.data is d))\n    \
                        if d.getVar('REFUSE'):\n        raise ValueError('refused')\n", heard.display());
    f.store.runtime().register_handler(&f.store, "listener", &body, &["bb.build.TaskStarted", "bb.build.TaskSucceeded"], FN, 1).unwrap();
    hz_python::enter(|vm| hz_python::runtime::prepare_handlers(vm, &["bb.build.TaskStarted", "bb.build.TaskFailed"]).unwrap());
    let both = "TaskStarted do_shell True\nTaskSucceeded do_shell True\n";
    let (code, events) = f.run("do_shell", false);
    assert_eq!((code, names(&events)), (0, vec!["started", "succeeded"]), "{events:?}");
    assert_eq!(std::fs::read_to_string(&heard).unwrap(), both);
    std::fs::remove_file(&heard).unwrap();
    let (code, events) = f.run_ahead("do_shell", || assert!(!heard.exists())).unwrap();
    assert_eq!((code, names(&events)), (0, vec!["started", "succeeded"]), "{events:?}");
    assert_eq!(std::fs::read_to_string(&heard).unwrap(), both);
    f.set("REFUSE", "1");
    let (code, events) = f.run("do_shell", false);
    assert_eq!((code, names(&events)), (1, vec!["failed"]), "{events:?}");
    let told = messages(&events, hz_events::level::ERROR).join("\n");
    assert!(told.contains("Execution of event handler 'listener' failed") && told.ends_with("\nrefused"), "{told}");
    f.set("REFUSE", "");

    // Which tasks' names a generator tells apart is read off its code, and nothing is claimed of code with effects.
    let filters = "import bb\n\n\
        def passed(siggen, fn, recipename, task, dep, depname, dataCaches):\n    \
            # What it does not tell apart is one.\n    \
            mc, _, name, depfn = bb.runqueue.split_tid_mcfn(dep)\n    \
            if task == 'do_a':\n        \
                return False\n    \
            return name == 'do_b' or depname in siggen.names\n\n\n\
        def good(self, fn, recipename, task, dep, depname, dataCaches=None):\n    \
            return passed(self, fn, recipename, task, dep, depname, dataCaches)\n\n\
        def logs(self, fn, recipename, task, dep, depname, dataCaches):\n    \
            bb.note(recipename)\n    \
            return True\n\n\
        def writes(self, fn, recipename, task, dep, depname, dataCaches):\n    \
            self.last = fn\n    \
            return True\n\n\
        def any_task(self, fn, recipename, task, dep, depname, dataCaches):\n    \
            return task in self.tasks\n\n\
        def any_dependency(self, fn, recipename, task, dep, depname, dataCaches):\n    \
            return dep.endswith(':do_x')\n";
    let file = dir.path().join("hz_filters.py");
    std::fs::write(&file, filters).unwrap();
    f.set("FILTERS", file.to_str().unwrap());
    python(
        "import bb._depfilter, bb.runqueue\n\
         scope = {}\n\
         exec(compile(open(d.getVar('FILTERS')).read(), d.getVar('FILTERS'), 'exec'), scope)\n\
         told = bb._depfilter.names_told_apart\n\
         assert told(scope['good']) == ({'do_a'}, {'do_b'}), told(scope['good'])\n\
         for name in ('logs', 'writes', 'any_task', 'any_dependency'):\n    \
             assert told(scope[name]) is None, name\n\
         passed = bb._depfilter.function_for\n\
         assert passed(scope['good']) is scope['passed']\n\
         assert passed(scope['logs']) is None and passed(scope['passed']) is None\n",
        &f.store,
    );
    what_methods_come_to(&f, dir.path());

    // The unihash cache is the reference's: a pickle of [dict, version].
    python(
        "import bb.cache, pickle\n\
         c = bb.cache.SimpleCache('3')\n\
         assert c.init_cache(d, 'bb_unihashes.dat', {}) == {}\n\
         c.save({':tool:do_x': ('a', 'b')})\n\
         assert c.init_cache(d, 'bb_unihashes.dat', {}) == {':tool:do_x': ('a', 'b')}\n\
         assert pickle.load(open(c.cachefile, 'rb')) == [{':tool:do_x': ('a', 'b')}, '3']\n\
         assert bb.cache.SimpleCache('4').init_cache(d, 'bb_unihashes.dat', 7) == 7\n\
         bb.build.addtask('more', 'do_fail', 'do_shell do_python', d)\n\
         assert d.getVarFlag('do_more', 'deps', False) == ['do_shell', 'do_python']\n\
         assert bb.build.tasksbetween('do_shell', 'do_fail', d) == ['do_shell', 'do_more', 'do_fail']\n\
         assert bb.build.preceedtask('do_fail', False, d) == {'do_more'}\n\
         bb.build.deltask('more', d)\n\
         assert 'do_more' not in bb.build.listtasks(d)\n",
        &f.store,
    );

    // The hash server's client as the generator uses it.
    let address = format!("unix://{top}/hashserve.sock");
    let database = dir.path().join("hashserv.db");
    let options = hz_services::hashserv::ServeOptions::new(address.as_str(), database);
    f.spawner.spawn("hashserv", || hz_services::hashserv::serve(&options).is_err() as i32).unwrap();
    for _ in 0..500 {
        if dir.path().join("hashserve.sock").exists() {
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    f.set("ADDRESS", address.as_str());
    python(
        "import hashserv\n\
         a, b = 'a' * 64, 'b' * 64\n\
         with hashserv.create_client(d.getVar('ADDRESS')) as c:\n    \
             assert c.ping() == {'alive': True}\n    \
             assert c.report_unihash(a, 'm', 'out', a, {'owner': None})['unihash'] == a\n    \
             assert c.report_unihash(b, 'm', 'out', b)['unihash'] == a\n    \
             assert c.get_unihash_batch(('m', h) for h in (a, b, 'c')) == [a, a, None]\n    \
             assert c.unihash_exists_batch([a, b]) == [True, False]\n    \
             try:\n        \
                 c.report_unihash(a, 'm', 'out', 'bad')\n        \
                 assert False\n    \
             except hashserv.client.InvokeError as e:\n        \
                 assert str(e) == 'Invalid unihash', e\n\
         try:\n    \
             hashserv.create_client('unix:///nonexistent/sock')\n    \
             assert False\n\
         except FileNotFoundError:\n    \
             pass\n",
        &f.store,
    );
    let left = f.spawner.terminate(Duration::from_secs(10));
    assert!(matches!(left.as_slice(), [Report::Exited { .. }]), "{left:?}");
}

/// What methods of a generator of the metadata's add to ours is read off their code and their tables.
fn what_methods_come_to(f: &Fixture, dir: &std::path::Path) {
    let generators = "import bb\nimport bb.siggen\n\n
class Locks:
    def __init__(self, data):
        self.locked, self.recipes, self.hashes = {}, {}, {}
        super().__init__(data)

    def get_taskhash(self, tid, deps, dataCaches):
        if tid in self.hashes:
            return self.hashes[tid] or super().get_taskhash(tid, deps, dataCaches)
        h = super().get_taskhash(tid, deps, dataCaches)
        (mc, _, task, fn) = bb.runqueue.split_tid_mcfn(tid)
        name = dataCaches[mc].pkg_fn[fn]
        self.recipes[fn] = name
        if any(x in d for d in [bb.runqueue.mc_from_tid(d) for d in deps] for x in self.locked):
            bb.note('locked')
        if name in self.locked:
            return self.locked[name]
        self.hashes[tid] = False
        return h

    def get_cached_unihash(self, tid):
        if tid in self.hashes and self.hashes[tid] and not self.inside:
            return self.hashes[tid]
        (mc, _, task, fn) = bb.runqueue.split_tid_mcfn(tid)
        if (self.recipes[fn], task) in self.locked:
            return 'locked'
        return super().get_cached_unihash(tid)

    def dump_sigtask(self, fn, task, stampbase, runtime):
        tid = fn + ':' + task
        if tid in self.hashes and self.hashes[tid]:
            return
        super(bb.siggen.SignatureGeneratorBasicHash, self).dump_sigtask(fn, task, stampbase, runtime)


class Generator(Locks, bb.siggen.SignatureGeneratorBasicHash):
    name = 'locks'


class Other(Generator):
    def get_taskhash(self, tid, deps, dataCaches):
        return super().get_taskhash(tid, deps, dataCaches) + 'x'


class Tells(Generator):
    def get_taskhash(self, tid, deps, dataCaches):
        bb.note(tid)
        return super().get_taskhash(tid, deps, dataCaches)


class Changes(Generator):
    def dump_sigtask(self, fn, task, stampbase, runtime):
        super().dump_sigtask(fn, task, stampbase + 'x', runtime)


class Empties(Generator):
    def get_cached_unihash(self, tid):
        if 'x' in self.recipes:
            return None
        return super().get_cached_unihash(tid)


class Asks(Generator):
    def get_unihash(self, tid):
        return 'other'
";
    let file = dir.join("hz_generators.py");
    std::fs::write(&file, generators).unwrap();
    f.set("GENERATORS", file.to_str().unwrap());
    python(
        "import importlib.util, bb._generator, bb.parse, bb.siggen\n\
         spec = importlib.util.spec_from_file_location('hz_generators', d.getVar('GENERATORS'))\n\
         m = importlib.util.module_from_spec(spec)\n\
         spec.loader.exec_module(m)\n\
         kept = bb.parse.siggen\n\
         def found(kind):\n    \
             bb.parse.siggen = kind(d)\n    \
             return bb._generator.native_hashing()\n\
         asks, told, tables, notes, exclude, check, stamps = found(m.Generator)\n\
         g = bb.parse.siggen\n\
         assert not asks and told == ([], []) and not stamps and check is None\n\
         assert tables[1] is g.taskhash and 'CVS' in exclude\n\
         assert [note[1:] for note in notes] == [(False, 'pkg_fn', None), (True, None, False)], notes\n\
         assert notes[0][0] is g.recipes and notes[1][0] is g.hashes\n\
         g.hashes['t'] = False\n\
         assert bb._generator.native_dumps() is not None\n\
         g.hashes['t'] = 'locked'\n\
         assert bb._generator.native_dumps() is None\n\
         found(m.Generator)\n\
         bb.parse.siggen.locked['tool'] = 'h'\n\
         assert bb._generator.native_hashing() is None\n\
         bb.parse.siggen = m.Generator(d)\n\
         bb.parse.siggen.get_taskhash = None\n\
         assert bb._generator.native_hashing() is None\n\
         for kind in (m.Other, m.Tells, m.Empties, m.Asks, bb.siggen.SignatureGenerator):\n    \
             assert found(kind) is None, kind\n\
         assert found(m.Changes) and bb._generator.native_dumps() is None\n\
         assert found(bb.siggen.SignatureGeneratorBasicHash)[3] == []\n\
         assert bb._generator.native_dumps() is not None\n\
         bb.parse.siggen = kept\n",
        &f.store,
    );
}
