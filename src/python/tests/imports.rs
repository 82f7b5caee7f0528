//! Modules that are part of the program, imported natively, are as the import system makes them.

use hz_data::DataStore;

const BODY: &str = r#"
    import sys
    import _frozen_importlib

    def facts(module):
        spec = module.__spec__
        shown = (repr(spec), spec.loader, module.__loader__, module.__name__, module.__package__, getattr(module, "__path__", None))
        return shown + (getattr(spec, "_initializing", False), vars(spec.loader_state) if spec.loader_state is not None else None)

    def by_the_import_system(name):
        parent = sys.modules[name.rpartition(".")[0]] if "." in name else None
        spec = _frozen_importlib._find_spec(name, parent.__path__ if parent else None)
        return facts(_frozen_importlib.module_from_spec(spec))

    problems = []
    def check(what, found, wanted):
        if found != wanted:
            problems.append("%s: %r, not %r" % (what, found, wanted))

    # Frozen, a package and what is in it, built in.
    for name in ("colorsys", "wsgiref", "wsgiref.util", "_bisect"):
        sys.modules.pop(name, None)
        __import__(name)
        check("last of the modules after " + name, name in list(sys.modules)[-3:], True)
        check(name, facts(sys.modules[name]), by_the_import_system(name))
    check("attribute of its package", sys.modules["wsgiref"].util, sys.modules["wsgiref.util"])
    check("circular imports", sys.modules["wsgiref"].__spec__._uninitialized_submodules, [])

    # The package comes with the module; what is put off stays so.
    for name in ("wsgiref", "wsgiref.util"):
        del sys.modules[name]
    import wsgiref.util
    check("package", "wsgiref" in sys.modules, True)
    sys.modules.pop("textwrap", None)
    import textwrap
    check("put off", type(textwrap).__name__, "_NotRunYet")
    check("run when used", textwrap.dedent(" a"), "a")

    # One value of `dis` is known without running it.
    for name in ("dis", "inspect"):
        sys.modules.pop(name, None)
    import inspect
    check("a flag", inspect.CO_COROUTINE, 128)
    dis = sys.modules["dis"]
    said = dis.COMPILER_FLAG_NAMES
    check("still put off", type(dis).__name__, "_NotRunYet")
    dis.opmap
    check("the same", (dis.COMPILER_FLAG_NAMES, dis.COMPILER_FLAG_NAMES is said), (said, False))

    # One that gives another its documentation and its place.
    for name in ("decimal", "_pydecimal"):
        sys.modules.pop(name, None)
    import decimal
    check("put off, too", (type(decimal).__name__, decimal.__name__), ("_NotRunYet", "_pydecimal"))
    check("the given one", decimal.__doc__.partition("\n")[0], "Decimal fixed-point and floating-point arithmetic.")
    check("run", (str(decimal.Decimal("0.1") + 1), type(decimal) is type(sys)), ("1.1", True))

    # What cannot be imported.
    def error(name):
        try:
            exec("import " + name)
        except ImportError as e:
            files = []
            tb = e.__traceback__
            while tb:
                files.append(tb.tb_frame.f_code.co_filename)
                tb = tb.tb_next
            return type(e).__name__, str(e), [f for f in files if "importlib" in f or "_hz" in f]
    check("no module", error("nowhere"), ("ModuleNotFoundError", "No module named 'nowhere'", []))
    check("in none", error("colorsys.x"), ("ModuleNotFoundError", "No module named 'colorsys.x'; 'colorsys' is not a package", []))
    check("in one", error("wsgiref.x"), ("ModuleNotFoundError", "No module named 'wsgiref.x'", []))
    sys.modules.pop("filecmp", None)
    kept = sys.modules.pop("stat")
    sys.modules["stat"] = None
    check("one that fails", error("filecmp"), ("ModuleNotFoundError", "import of stat halted; None in sys.modules", []))
    check("is gone", "filecmp" in sys.modules, False)
    sys.modules["stat"] = kept
    import filecmp

    # A finder that somebody puts before the others is asked.
    asked = []
    class Finder:
        @staticmethod
        def find_spec(name, path=None, target=None):
            asked.append(name)
    sys.meta_path.insert(0, Finder)
    sys.modules.pop("colorsys")
    import colorsys
    sys.meta_path.remove(Finder)
    check("asked", asked, ["colorsys"])
    d.setVar("PROBLEMS", "\n".join(problems))
"#;

#[test]
fn modules_look_the_same() {
    let store = DataStore::new(hz_python::shared());
    hz_python::call_python_function(&store, "do_imports", BODY, "imports.bb", 0).unwrap();
    assert_eq!(store.get("PROBLEMS").unwrap().as_deref(), Some(""));
}
