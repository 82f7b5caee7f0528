//! `addpylib` and metadata functions through the runtime. With HITZELEITER_OE naming a checkout of
//! OE-core, its whole library is imported too.

use hz_data::{DataStore, RuntimeError, SetInfo, Value};
use std::sync::{Arc, Mutex};

struct Collect(Arc<Mutex<Vec<String>>>);
impl hz_events::Sink for Collect {
    fn emit(&mut self, event: hz_events::Event) {
        if let hz_events::Event::Log(record) = event {
            self.0.lock().unwrap().push(format!("{}:{}:{}", record.level, record.logger, record.message));
        }
    }
}

#[test]
fn metadata_runs() {
    let logs = Arc::new(Mutex::new(Vec::new()));
    hz_events::set_sink(Box::new(Collect(logs.clone())));
    let taken = || std::mem::take(&mut *logs.lock().unwrap());
    let dir = std::env::temp_dir().join(format!("hz-python-{}", std::process::id()));
    std::fs::create_dir_all(dir.join("lib/own")).unwrap();
    hz_python::start(hz_python::Options { pycache: Some(dir.join("cache")), ..Default::default() });
    let runtime = hz_python::shared();
    let store = DataStore::new(runtime.clone());
    let info = SetInfo { ignore: true, ..SetInfo::default() };

    // A library: its functions, decorators, and that its code sees `bb`.
    std::fs::write(dir.join("lib/own/__init__.py"), "BBIMPORTS = ['a']\n").unwrap();
    std::fs::write(dir.join("lib/own/part.py"), "Y = 7\n").unwrap();
    let source = "import os, own.part\nfrom contextlib import contextmanager\n\n@bb.parse.vardeps('ONE')\n@bb.parse.vardepsexclude('TWO')\ndef f(d):\n    # body\n    return helper(d.getVar('X'))\n    # tail\n\n\ndef helper(x):\n    return x\n\n@contextmanager\ndef ctx():\n    yield 1\n\ndef _private(): pass\n\ndef seen(name, args):\n    import ast\n    if isinstance(args[0], ast.Constant):\n        return {'V': {args[0].value}}, set(), None\n    return {}, {name}, args[0]\nhelper.visitorcode = seen\n\nclass C(object):\n    def m(self): return 1\n";
    std::fs::write(dir.join("lib/own/a.py"), source).unwrap();
    let found = runtime.add_pylib(&store, dir.join("lib").to_str().unwrap(), "own").unwrap().find();
    let shown: Vec<(&str, u32, &str)> = found.iter().map(|f| (&*f.name, f.line, &*f.source)).collect();
    assert_eq!(
        shown,
        [
            ("own.a.C", 28, "class C(object):\n    def m(self): return 1\n"),
            ("own.a.f", 4, "@bb.parse.vardeps('ONE')\n@bb.parse.vardepsexclude('TWO')\ndef f(d):\n    # body\n    return helper(d.getVar('X'))\n    # tail\n"),
            ("own.a.helper", 12, "def helper(x):\n    return x\n"),
            (
                "own.a.seen",
                21,
                "def seen(name, args):\n    import ast\n    if isinstance(args[0], ast.Constant):\n        return {'V': {args[0].value}}, set(), None\n    return {}, {name}, args[0]\n",
            ),
        ]
    );
    assert_eq!(found[1].vardeps, ["ONE".into()]);
    assert_eq!(found[1].vardepsexclude, ["TWO".into()]);
    assert!(found[2].has_visitor && !found[1].has_visitor);
    let refs = hz_codeparser::python("own.a.helper('item')\nown.a.helper(x + y)").unwrap();
    assert_eq!(format!("{:?} {:?} {:?}", refs.contains, refs.execs, refs.computed), r#"{"V": {"item"}} {"own.a.helper"} [("own.a.helper", "x + y")]"#);
    store.set_var("X", "value", &info).unwrap();
    store.set_var("Y", "${@own.a.f(d)}", &info).unwrap();
    assert_eq!(store.get("Y").unwrap().as_deref(), Some("value"));

    // Another process that finds what this one kept: the module is run when something of it is named.
    let eval = |expression: &str| runtime.eval_inline(&store, expression, None).unwrap().to_text().to_string();
    let forget = "    import sys\n    for name in [n for n in sys.modules if n.split('.')[0] == 'own']:\n        del sys.modules[name]\n";
    hz_python::call_python_function(&store, "do_forget", forget, "forget", 0).unwrap();
    let again = runtime.add_pylib(&store, dir.join("lib").to_str().unwrap(), "own").unwrap().find();
    assert_eq!(format!("{again:?}"), format!("{found:?}"));
    let state = "type(__import__('sys').modules['own.a']).__name__";
    assert_eq!(eval(state), "_NotRunYet");
    // What it would have imported is there for those who count on that, as are parts of the standard library.
    assert_eq!(eval("own.part.Y"), "7");
    assert_eq!(eval("__import__('urllib').parse.quote('a b')"), "a%20b");
    assert_eq!(eval("hasattr(own, 'nothing') or hasattr(__import__('xml'), 'nothing')"), "False");
    assert_eq!(eval(state), "_NotRunYet");
    assert_eq!(eval("'helper' in dir(own.a) and own.a.f(d)"), "value");
    assert_eq!(eval(state), "module");
    // One that changes another module is run at once where that was run before.
    std::fs::create_dir_all(dir.join("lib/late")).unwrap();
    for (file, text) in [
        ("__init__", "BBIMPORTS = ['loud', 'marks']\n"),
        ("loud", "import late.still\nbb.late_loud = late.still.f()\n"),
        ("marks", "import late.still\ndef mark(o): o.marked = True\nmark(late.still.f)\n"),
        ("still", "def f(): return 1\n"),
    ] {
        std::fs::write(dir.join(format!("lib/late/{file}.py")), text).unwrap();
    }
    for _ in 0..2 {
        runtime.add_pylib(&store, dir.join("lib").to_str().unwrap(), "late").unwrap();
        assert_eq!(eval("late.still.f.marked"), "True");
        hz_python::call_python_function(&store, "do_forget_late", &forget.replace("'own'", "'late'"), "forget", 0).unwrap();
    }
    // Not when it says something else than then.
    std::fs::write(dir.join("lib/own/a.py"), format!("{source}\nX = 1\n")).unwrap();
    hz_python::call_python_function(&store, "do_forget", forget, "forget", 0).unwrap();
    runtime.add_pylib(&store, dir.join("lib").to_str().unwrap(), "own").unwrap();
    assert_eq!(eval(state), "module");

    // Functions of metadata: defined once, seen by expressions, errors told with their lines.
    let file = dir.join("x.bbclass");
    let text = "\n\ndef twice(x):\n    return x + x\n\ndef bad(d):\n    a = 1\n    return a / 0\n";
    std::fs::write(&file, text).unwrap();
    let file = file.to_str().unwrap();
    runtime.define("twice", "def twice(x):\n    return x + x\n", file, 2).unwrap();
    runtime.define("twice", "def twice(x):\n    return x + x\n", file, 2).unwrap();
    runtime.define("bad", "def bad(d):\n    a = 1\n    return a / 0\n", file, 5).unwrap();
    assert!(matches!(runtime.eval_inline(&store, "twice('ab')", None), Ok(Value::Str(s)) if &*s == "abab"));
    taken();
    let failed = runtime.run_anonymous(&store, &["bad".into()]);
    assert!(matches!(failed, Err(RuntimeError::Handled)), "{failed:?}");
    let told = taken().join("\n");
    let wanted = format!(
        "40:BitBake.Util:Error executing a python function in <code>:\n\nThe stack trace of python calls that resulted in this exception/failure was:\nFile: '<code>', lineno: 1, function: <module>\n *** 0001:bad(d)\nFile: '{file}', lineno: 8, function: bad\n     0004:    return x + x\n     0005:\n     0006:def bad(d):\n     0007:    a = 1\n *** 0008:    return a / 0\nException: ZeroDivisionError: division by zero\n"
    );
    assert_eq!(told, wanted);

    // A task's function.
    hz_python::call_python_function(&store, "do_set", "    d.setVar('SET', twice('z'))\n", file, 1).unwrap();
    assert_eq!(store.get("SET").unwrap().as_deref(), Some("zz"));
    let failed = hz_python::call_python_function(&store, "do_bad", "    d.getVar('X').nosuch\n", file, 10);
    assert!(matches!(failed, Err(RuntimeError::Handled)));
    assert!(taken().join("\n").contains("File: 'exec_func_python() autogenerated', lineno: 2, function: <module>\n     0001:\n *** 0002:do_bad(d)\n     0003:\nFile: "));
    let failed = hz_python::call_python_function(&store, "do_skip", "    raise bb.parse.SkipRecipe('not me')\n", file, 10);
    assert!(matches!(failed, Err(RuntimeError::Skip(reason)) if reason == "not me"));
    let failed = hz_python::call_python_function(&store, "do_fatal", "    bb.fatal('dead ', 'end')\n", file, 10);
    assert!(matches!(failed, Err(RuntimeError::Handled)));
    assert_eq!(taken(), ["50:BitBake.Main:dead end"]);
    // Text that is no Python.
    let failed = runtime.define("broken", "def broken(d):\n    if x\n", file, 20);
    assert!(matches!(failed, Err(RuntimeError::Handled)));
    let told = taken().join("\n");
    assert!(told.contains(&format!("Error in compiling python function in {file}, line 22:")), "{told}");
    assert!(told.contains(" *** 0002:    if x"), "{told}");

    // Errors keep their class on the way through the store and back.
    store.set_var("DEEP", "${@d.getVar('DEEPER')}", &info).unwrap();
    store.set_var("DEEPER", "${@1/0}", &info).unwrap();
    let body = "    try:\n        d.getVar('DEEP')\n    except bb.data_smart.ExpansionError as e:\n        d.setVar('CAUGHT', '%s %s' % (type(e.exception).__name__, ' -> '.join(e.varlist)))\n";
    hz_python::call_python_function(&store, "do_catch", body, file, 10).unwrap();
    assert_eq!(store.get("CAUGHT").unwrap().as_deref(), Some("ZeroDivisionError DEEPER -> DEEP"));

    // Handlers: only those whose mask wants an event are called; the recipe's go away again.
    let saved = runtime.save_handlers();
    runtime.register_handler(&store, "own_handler", "    d.setVar('SEEN', e.fn + bb.event.getName(e))\n", &["bb.event.RecipePreFinalise"], file, 1).unwrap();
    runtime.fire(&store, hz_data::ClassEvent::RecipeParsed { fn_: "a.bb" }).unwrap();
    assert_eq!(store.get("SEEN").unwrap(), None);
    runtime.fire(&store, hz_data::ClassEvent::RecipePreFinalise { fn_: "a.bb" }).unwrap();
    assert_eq!(store.get("SEEN").unwrap().as_deref(), Some("a.bbRecipePreFinalise"));
    runtime.restore_handlers(saved);
    store.set_var("SEEN", "", &info).unwrap();
    runtime.fire(&store, hz_data::ClassEvent::RecipePreFinalise { fn_: "b.bb" }).unwrap();
    assert_eq!(store.get("SEEN").unwrap().as_deref(), Some(""));

    // A process that was forked lightly runs hooks when it first runs Python, and not before.
    let body = "    import os, threading\n    d.setVar('HOOKED', 'no')\n    os.register_at_fork(after_in_child=lambda: d.setVar('HOOKED', 'yes'))\n";
    hz_python::call_python_function(&store, "do_hook", body, file, 10).unwrap();
    match hz_python::fork_lightly().unwrap() {
        hz_python::ForkResult::Child => {
            let before = store.get("HOOKED").unwrap();
            let thread = eval("__import__('threading').main_thread().native_id == os.getpid()");
            let after = store.get("HOOKED").unwrap();
            let right = [before.as_deref(), Some(&*thread), after.as_deref()] == [Some("no"), Some("True"), Some("yes")];
            std::process::exit(if right { 7 } else { 1 });
        }
        hz_python::ForkResult::Parent(pid) => {
            let status = nix::sys::wait::waitpid(nix::unistd::Pid::from_raw(pid), None).unwrap();
            assert_eq!(status, nix::sys::wait::WaitStatus::Exited(nix::unistd::Pid::from_raw(pid), 7));
        }
    }

    // Threads of Python code read the store while others run Python.
    let body = "    from concurrent.futures import ThreadPoolExecutor\n    import gc\n    def work(i):\n        gc.collect()\n        return d.getVar('THREADED')\n    with ThreadPoolExecutor(max_workers=4) as pool:\n        d.setVar('RESULT', ' '.join(sorted(set(pool.map(work, range(40))))))\n";
    store.set_var("THREADED", "${@' '.join(sorted(x for x in 'c b a'.split()))}", &info).unwrap();
    hz_python::call_python_function(&store, "do_threads", body, file, 10).unwrap();
    assert_eq!(store.get("RESULT").unwrap().as_deref(), Some("a b c"));

    // Both sides of a fork go on.
    match hz_python::fork().unwrap() {
        hz_python::ForkResult::Child => {
            let right = runtime.eval_inline(&store, "twice('c')", None).is_ok_and(|v| &*v.to_text() == "cc");
            std::process::exit(if right { 7 } else { 1 });
        }
        hz_python::ForkResult::Parent(pid) => {
            let status = nix::sys::wait::waitpid(nix::unistd::Pid::from_raw(pid), None).unwrap();
            assert_eq!(status, nix::sys::wait::WaitStatus::Exited(nix::unistd::Pid::from_raw(pid), 7));
        }
    }

    // A library of which nothing is kept is compiled by another process, too, as far as the compiler has nothing to say.
    std::fs::create_dir_all(dir.join("lib/many")).unwrap();
    let modules = [("__init__", "BBIMPORTS = ['a', 'b', 'c', 'd']\n"), ("a", "raise ValueError('first')\n"), ("b", "import many.e\n"), ("c", "X = '\\d'\n"), ("d", "X = (\n"), ("e", "")];
    for (module, text) in modules {
        std::fs::write(dir.join(format!("lib/many/{module}.py")), text).unwrap();
    }
    assert!(runtime.add_pylib(&store, dir.join("lib").to_str().unwrap(), "many").is_err());
    let kept = dir.join("cache").join(dir.join("lib/many").strip_prefix("/").unwrap());
    let names = std::fs::read_dir(kept).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.map(|name| name.split('.').next().unwrap().to_string()).collect();
    names.sort();
    assert_eq!(names, ["__init__", "a", "b", "e"]);
    let _ = std::fs::remove_dir_all(&dir);

    if let Some(oe) = std::env::var_os("HITZELEITER_OE") {
        let lib = std::path::Path::new(&oe).join("meta/lib");
        // The native modules of the crates above are not here: something that takes any call stands in.
        let body = "    import importlib, sys, types\n    class Anything(types.ModuleType):\n        def __getattr__(self, name):\n            if name.startswith('__'):\n                raise AttributeError(name)\n            return lambda *args, **kwargs: None\n    for name in ('_hz_siggen', '_hz_build', '_hz_fetch', '_hz_services', '_hz_parse'):\n        sys.modules[name] = Anything(name)\n";
        hz_python::call_python_function(&store, "do_stand_in", body, file, 10).unwrap();
        let started = std::time::Instant::now();
        let found = runtime.add_pylib(&store, lib.to_str().unwrap(), "oe").unwrap().find();
        eprintln!("{} functions in {:?}", found.len(), started.elapsed());
        if let Some(out) = std::env::var_os("HITZELEITER_OE_OUT") {
            let lines: Vec<String> = found.iter().map(|f| format!("{} {} {:?}\n", f.name, f.line, f.source)).collect();
            std::fs::write(out, lines.concat()).unwrap();
        }
        assert!(found.len() > 100 && taken().is_empty());
    }
}
