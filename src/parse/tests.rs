//! Parsing with a runtime that knows no Python: it answers a few expressions and keeps notes.

use super::*;
use hz_data::{ClassEvent, DataStore, LibFunctions, Runtime, RuntimeError, SetInfo, Value};
use hz_diagnostics::Str;
use indexmap::IndexMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

#[derive(Default)]
struct Fake {
    notes: Mutex<Vec<String>>,
}

impl Fake {
    fn note(&self, text: String) {
        self.notes.lock().unwrap().push(text);
    }
    fn notes(&self) -> Vec<String> {
        self.notes.lock().unwrap().clone()
    }
    fn has(&self, part: &str) -> bool {
        self.notes().iter().any(|n| n.contains(part))
    }
}

impl Runtime for Fake {
    fn eval_inline(&self, store: &DataStore, expr: &str, _var: Option<&str>) -> Result<Value, RuntimeError> {
        if let Some(reason) = expr.strip_prefix("skip ") {
            return Err(RuntimeError::Skip(reason.into()));
        }
        // `name:N`: part N of what the file name says.
        if let Some(part) = expr.strip_prefix("name:") {
            let file = store.get("FILE").ok().flatten().unwrap_or_default();
            let vars = vars_from_file(&file).map_err(|_| RuntimeError::Handled)?;
            return Ok(Value::str(vars[part.parse::<usize>().unwrap()].clone().unwrap_or_else(|| "none".into())));
        }
        Ok(Value::str(expr))
    }
    fn define(&self, module: &str, text: &str, _file: &str, line: u32) -> Result<(), RuntimeError> {
        self.note(format!("define {module} {line} {}", text.lines().next().unwrap_or_default()));
        Ok(())
    }
    fn run_anonymous(&self, store: &DataStore, names: &[Str]) -> Result<(), RuntimeError> {
        for name in names {
            let text = store.get_raw(name).map(|v| v.to_text()).unwrap_or_default();
            self.note(format!("anonymous {name}"));
            if text.contains("raise SkipRecipe") {
                return Err(RuntimeError::Skip("not today".into()));
            }
        }
        Ok(())
    }
    fn fire(&self, store: &DataStore, event: ClassEvent<'_>) -> Result<(), RuntimeError> {
        match event {
            ClassEvent::ConfigParsed => {
                let round = store.get("ROUND").ok().flatten().is_none() && self.has("ask again");
                self.note("ConfigParsed".into());
                if round && self.notes().iter().filter(|n| *n == "ConfigParsed").count() == 1 {
                    store.set_var("BB_INVALIDCONF", Value::Bool(true), &SetInfo::default()).unwrap();
                }
            }
            ClassEvent::MultiConfigParsed { mcdata } => self.note(format!("MultiConfigParsed {}", mcdata.len())),
            ClassEvent::RecipePreDeferredInherits { inherits, .. } => self.note(format!("deferred {inherits:?}")),
            ClassEvent::RecipePreFinalise { .. } => self.note("RecipePreFinalise".into()),
            ClassEvent::RecipePostKeyExpansion { .. } => self.note("RecipePostKeyExpansion".into()),
            ClassEvent::RecipeTaskPreProcess { tasklist, .. } => self.note(format!("tasks {tasklist:?}")),
            ClassEvent::RecipeParsed { .. } => self.note("RecipeParsed".into()),
        }
        Ok(())
    }
    fn register_handler(
        &self, _: &DataStore, name: &str, _: &str, mask: &[&str], _: &str, line: u32,
    ) -> Result<(), RuntimeError> {
        self.note(format!("handler {name} {mask:?} {line}"));
        Ok(())
    }
    fn add_pylib(&self, _: &DataStore, dir: &str, namespace: &str) -> Result<LibFunctions, RuntimeError> {
        self.note(format!("pylib {dir} {namespace}"));
        Ok(Vec::new().into())
    }
    fn log(&self, level: u32, domain: &str, message: &str) {
        self.note(format!("log {level} {domain}: {message}"));
    }
}

struct Tree {
    dir: tempfile::TempDir,
    runtime: Arc<Fake>,
}

impl Tree {
    fn new() -> Tree {
        Tree { dir: tempfile::tempdir().unwrap(), runtime: Arc::default() }
    }
    fn path(&self, file: &str) -> String {
        self.dir.path().join(file).to_str().unwrap().to_string()
    }
    fn write(&self, file: &str, text: &str) -> String {
        let path = PathBuf::from(self.path(file));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_string()
    }
    fn store(&self) -> DataStore {
        let store = DataStore::new(self.runtime.clone());
        store.set_var("BBPATH", self.path(""), &SetInfo::default()).unwrap();
        store.set_var("__bbclasstype", "recipe", &SetInfo::default()).unwrap();
        store
    }
    fn conf(&self, text: &str) -> (DataStore, Result<()>) {
        let file = self.write("test.conf", text);
        let store = self.store();
        let result = handle_included(&file, &store, true);
        (store, result)
    }
    fn bb(&self, text: &str) -> Result<Vec<Variant>> {
        let file = self.write("test_1.0_r3.bb", text);
        forget_statements();
        handle_recipe(&file, &self.store(), &NoSignatures)
    }
}

fn get(store: &DataStore, name: &str) -> String {
    store.get(name).unwrap().map_or("<unset>".into(), |s| s.to_string())
}

#[test]
fn operators() {
    let t = Tree::new();
    let (d, r) = t.conf(
        "A = \"1\"\nA += \"2\"\nA =+ \"0\"\nA .= \"3\"\nA =. \"x\"\nB ?= \"b\"\nB ?= \"c\"\nC ??= \"d\"\nC ??= \"e\"\n\
         D = \"${E}\"\nE = \"1\"\nF := \"${E}${Z}\"\nE = \"2\"\nG[f] = \"1\"\nG[f] += \"2\"\nG[w] ??= \"x\"\nH ??= \"w\"\n\
         H += \"y\"\nexport I = \"i\"\nJ = \"j\"\nunset J\nK:append = \" k\"\nG[u] = \"1\"\nunset G[u2]\nexport L\n",
    );
    r.unwrap();
    for (name, value) in
        [("A", "x0 1 23"), ("B", "b"), ("C", "e"), ("D", "2"), ("F", "1${Z}"), ("H", " y"), ("J", "<unset>"), ("K", " k")]
    {
        assert_eq!(get(&d, name), value, "{name}");
    }
    assert_eq!(d.flag_text("G", "f").unwrap().as_deref(), Some("1 2"));
    assert_eq!(d.flag_text("G", "w").unwrap().as_deref(), Some("x"));
    for name in ["I", "L"] {
        assert!(matches!(d.get_flag(name, "export", hz_data::RAW).unwrap(), Some(Value::Int(1))));
    }
}

#[test]
fn append_with_an_operator_warns() {
    let t = Tree::new();
    let (d, r) = t.conf("A:append += \"x\"\n");
    r.unwrap();
    assert_eq!(get(&d, "A"), " x");
    assert!(t.runtime.has("log 30 Main: A:append += is not a recommended operator combination, please replace it."));
}

#[test]
fn functions() {
    let t = Tree::new();
    let v = t
        .bb("do_a() {\n\techo\n}\nfakeroot python do_b () {\n    pass\n}\npython () {\n    x = 1\n}\ndef f(d):\n    return 1\n\nX = \"1\"\n")
        .unwrap();
    let d = &v[0].store;
    assert_eq!(d.get_raw("do_a").unwrap().to_text().as_ref(), "\techo\n");
    assert_eq!(d.flag_text("do_a", "lineno").unwrap().as_deref(), Some("1"));
    assert!(matches!(d.get_flag("do_a", "func", hz_data::RAW).unwrap(), Some(Value::Int(1))));
    assert_eq!(d.flag_text("do_b", "python").unwrap().as_deref(), Some("1"));
    assert_eq!(d.flag_text("do_b", "fakeroot").unwrap().as_deref(), Some("1"));
    assert_eq!(d.get_raw("f").unwrap().to_text().as_ref(), "def f(d):\n    return 1\n");
    assert_eq!(d.flag_text("f", "lineno").unwrap().as_deref(), Some("9"));
    let file = t.path("test_1.0_r3.bb").replace(['/', '.', '-'], "_");
    assert!(t.runtime.has(&format!("define __anon_9_{file} 6 def __anon_9_{file}(d):")));
    assert!(t.runtime.has(&format!("anonymous __anon_9_{file}")));
    assert!(t.runtime.has("define test_1.0_r3.bb 9 def f(d):"));
}

#[test]
fn tasks() {
    let t = Tree::new();
    let v = t
        .bb("addtask a\naddtask do_b after a before c\naddtask c after x\naddtask gone before c\ndeltask gone\n\
             do_b[depends] = \"p:do_q\"\ndo_b[nostamp] = \"1\"\ndo_c[noexec] = \"yes\"\n")
        .unwrap();
    let d = &v[0].store;
    assert_eq!(d.get_raw("__BBTASKS").unwrap().repr(), "['do_a', 'do_b', 'do_c']");
    assert_eq!(d.get_flag("do_c", "deps", hz_data::RAW).unwrap().unwrap().repr(), "['do_b', 'do_x']");
    let parse = RecipeParse {
        file: t.path("test_1.0_r3.bb").into(),
        mc: "".into(),
        appends: vec![],
        variants: v.clone(),
        depends: vec![],
    };
    let info = &recipe_infos(&parse).unwrap()[0];
    assert_eq!(info.task_deps.flags["depends"]["do_b"].as_ref(), "p:do_q");
    assert_eq!(info.task_deps.flags["depends"]["do_a"].as_ref(), "");
    assert_eq!(info.task_deps.flags["nostamp"].len(), 1);
    assert_eq!(info.task_deps.parents["do_b"], ["do_a".into()]);
    assert_eq!(info.pn.as_ref(), "test");
    assert_eq!(info.packages, ["test".into()]);
    assert!(t.runtime.has("setting the 'noexec' flag to something other than '1'"));
}

#[test]
fn export_functions() {
    let t = Tree::new();
    t.write("classes/k.bbclass", "k_do_a() {\n    :\n}\npython k_do_b() {\n    pass\n}\nEXPORT_FUNCTIONS do_a do_b do_c\n");
    let v = t.bb("do_c() {\n  mine\n}\ndo_a[dirs] = \"x\"\ninherit k\n").unwrap();
    let d = &v[0].store;
    assert_eq!(d.get_raw("do_a").unwrap().to_text().as_ref(), "    # Export function set\n    k_do_a\n");
    assert_eq!(
        d.get_raw("do_b").unwrap().to_text().as_ref(),
        "    # Export function set\n    bb.build.exec_func('k_do_b', d)\n"
    );
    assert_eq!(d.get_raw("do_c").unwrap().to_text().as_ref(), "  mine\n");
    assert_eq!(d.flag_text("k_do_a", "dirs").unwrap().as_deref(), Some("x"));
    t.write("classes/a-b.bbclass", "a-b_do_x() {\n    :\n}\nEXPORT_FUNCTIONS do_x\n");
    assert!(matches!(t.bb("inherit a-b\n"), Err(Error::Handled)));
    assert!(t.runtime.has("The classname a-b contains a dash character"));
}

#[test]
fn includes() {
    let t = Tree::new();
    let inc = t.write("d/x.inc", "X = \"1\"\n");
    t.write("y.inc", "Y = \"1\"\n");
    let file = t.write("d/r.bb", "require x.inc y.inc\ninclude none.inc x.inc\nrequire ${FILE}\n");
    let v = handle_recipe(&file, &t.store(), &NoSignatures).unwrap();
    let d = &v[0].store;
    assert_eq!((get(d, "X"), get(d, "Y"), get(d, "FILE")), ("1".into(), "1".into(), file.clone()));
    let depends = dependencies(d, false);
    for path in ["d/r.bb", "d/x.inc", "y.inc", "d/y.inc", "none.inc"] {
        let wanted = t.path(path);
        let found = depends.iter().find(|p| absolute(&p.path) == wanted);
        assert_eq!(found.map(|f| f.stat.is_some()), Some(std::path::Path::new(&wanted).exists()), "{path}");
    }
    assert!(t.runtime.has(&format!("Duplicate inclusion for {inc} in {file}")));

    let e = t.bb("A = \"1\"\nrequire gone.inc\n").err().unwrap();
    let file = t.path("test_1.0_r3.bb");
    assert_eq!(e.to_string(), format!("ParseError at {file}:2: Could not include required file gone.inc"));
    let e = t.bb("inherit gone\n").err().unwrap();
    assert_eq!(e.to_string(), format!("ParseError at {file}:1: Could not inherit file classes/gone.bbclass"));
    let e = t.bb("foo\n").err().unwrap();
    assert_eq!(e.to_string(), format!("ParseError at {file}:1: unparsed line: 'foo'"));
    t.write("loop.inc", "require loop2.inc\n");
    t.write("loop2.inc", "require loop.inc\n");
    assert!(t.bb("require loop.inc\n").is_err());
}

use crate::absolute;

#[test]
fn inherits() {
    let t = Tree::new();
    t.write("classes/a.bbclass", "ORDER .= \"a\"\ninherit b\n");
    t.write("classes-recipe/b.bbclass", "ORDER .= \"b\"\n");
    t.write("classes/b.bbclass", "ORDER .= \"wrong\"\n");
    t.write("classes/late.bbclass", "ORDER .= \"l\"\n");
    t.write("classes/put_off.bbclass", "ORDER .= \"p\"\n");
    let v = t
        .bb("BB_DEFER_BBCLASSES = \"put_off\"\nC = \"late\"\ninherit put_off a a ${X}\ninherit_defer ${C}\nORDER .= \"r\"\nX = \"\"\n")
        .err()
        .unwrap();
    // `${X}` is not set yet when the line is evaluated.
    assert!(v.to_string().contains("Could not inherit file classes/${X}.bbclass"), "{v}");
    let v = t
        .bb("BB_DEFER_BBCLASSES = \"put_off\"\nC = \"late\"\ninherit put_off a a\ninherit_defer ${C}\nORDER .= \"r\"\n")
        .unwrap();
    assert_eq!(get(&v[0].store, "ORDER"), "abrpl");
    assert!(t.runtime.has("deferred [\"put_off\", \"${C}\"]"));
}

#[test]
fn variants_and_appends() {
    let t = Tree::new();
    t.write("classes/native.bbclass", "OVERRIDES .= \":class-native\"\n");
    t.write("classes/multi.bbclass", "ML = \"${BBEXTENDVARIANT}\"\n");
    let append = t.write("test_1.0_r3.bbappend", "APPENDED = \"yes\"\nBBCLASSEXTEND += \"native\"\n");
    let file = t.write(
        "test_1.0_r3.bb",
        "PN = \"${@name:0}\"\nPV = \"${@name:1}\"\nPR = \"${@name:2}\"\nBBCLASSEXTEND = \"multi:lib32 native\"\nV = \"base\"\nV:class-native = \"native\"\naddtask x\n",
    );
    forget_statements();
    clear_caches();
    let appends = [append.clone()];
    let request = RecipeRequest { file: &file, appends: &appends, layer: Some("core"), ..Default::default() };
    let parse = parse_recipe_variants(&t.store(), request, &NoSignatures).unwrap();
    let names: Vec<&str> = parse.variants.iter().map(|v| &*v.name).collect();
    assert_eq!(names, ["", "multi:lib32", "native"]);
    let d = |name: &str| &parse.variant(name).unwrap().store;
    assert_eq!((get(d(""), "PN"), get(d(""), "PV"), get(d(""), "PR")), ("test".into(), "1.0".into(), "r3".into()));
    assert_eq!((get(d("native"), "PN"), get(d("native"), "V")), ("test-native".into(), "native".into()));
    assert_eq!((get(d("multi:lib32"), "ML"), get(d(""), "ML")), ("lib32".into(), "<unset>".into()));
    assert_eq!(get(d("native"), "APPENDED"), "yes");
    assert_eq!(get(d(""), "FILE_LAYERNAME"), "core");
    assert!(parse.depends.iter().any(|p| *p.path == *append));
    let infos = recipe_infos(&parse).unwrap();
    let ids: Vec<String> = infos.iter().map(|i| i.mcfn.replace(&file, "F")).collect();
    assert_eq!(ids, ["virtual:native:F", "virtual:multi:lib32:F", "F"]);
    assert_eq!(infos[2].variants, ["native".into(), "multi:lib32".into(), Str::from("")]);
    assert_eq!(infos[0].tasks, ["do_x".into()]);
    let (early, depends) = parse_recipe_facts(&t.store(), request, &NoSignatures).unwrap();
    assert_eq!(format!("{early:?}"), format!("{infos:?}"));
    assert_eq!(depends.iter().map(|d| &d.path).collect::<Vec<_>>(), parse.depends.iter().map(|d| &d.path).collect::<Vec<_>>());
    // What is set for the variants shows in the base recipe's history, which is a view of it.
    let tracked = t.store();
    tracked.enable_tracking();
    let parse = parse_recipe_variants(&tracked, request, &NoSignatures).unwrap();
    let history = parse.variant("").unwrap().store.history("BBCLASSEXTEND");
    assert_eq!(history.last().and_then(|h| h.func.as_deref()), Some("multi_finalize"));
    let one = parse_recipe(&t.store(), &format!("virtual:native:{file}"), &appends, None, &NoSignatures).unwrap();
    assert_eq!(get(&one.store, "PN"), "test-native");
    assert_eq!(realfn("mc:m:virtual:multi:lib32:/f.bb"), ("/f.bb", "multi:lib32", "m"));
    assert_eq!(mcfn("/f.bb", "native", "m"), "mc:m:virtual:native:/f.bb");
}

#[test]
fn facts_that_cannot_be_had_are_told_of_after_the_last_variant() {
    let t = Tree::new();
    ["a", "b", "c"].iter().for_each(|name| _ = t.write(&format!("classes/{name}.bbclass"), ""));
    let file = t.write(
        "f_1.bb",
        "PN = \"f\"\nBBCLASSEXTEND = \"a b c\"\nP:f-b = \"${P:f-b}\"\nPROVIDES = \"${P:${PN}}\"\nP:f-a = \"${P:f-a}\"\n",
    );
    let request = RecipeRequest { file: &file, ..Default::default() };
    let (error, events) = hz_events::captured(|| parse_recipe_facts(&t.store(), request, &NoSignatures).map(drop).unwrap_err().to_string());
    let (late, later) = hz_events::captured(|| {
        let parse = parse_recipe_variants(&t.store(), request, &NoSignatures).unwrap();
        recipe_infos(&parse).map(drop).unwrap_err().to_string()
    });
    assert!(error.contains("P:f-b") && !error.contains("P:f-a"), "{error}");
    assert_eq!((error, format!("{events:?}")), (late, format!("{later:?}")));
}

#[test]
fn skipping() {
    let t = Tree::new();
    let v = t.bb("python () {\n    raise SkipRecipe\n}\n").unwrap();
    assert_eq!(v[0].skipped.as_deref(), Some("not today"));
    let v = t.bb("X := \"${@skip now}\"\nY = \"1\"\n").unwrap();
    assert_eq!(v[0].skipped.as_deref(), Some("True"));
    assert_eq!(get(&v[0].store, "Y"), "<unset>");
    // A base that skips itself can still have variants.
    t.write("classes/native.bbclass", "");
    let v = t.bb("BBCLASSEXTEND = \"native\"\npython () {\n    raise SkipRecipe\n}\n").unwrap();
    assert_eq!(v.len(), 2);
}

#[test]
fn virtual_providers() {
    let t = Tree::new();
    let text = "BB_RECIPE_VIRTUAL_PROVIDERS = \"virtual/c\"\nDEPENDS = \" a  virtual/c\"\naddtask x\n\
                do_x[depends] = \"virtual/c:do_y\"\n";
    assert!(matches!(t.bb(text), Err(Error::Handled)));
    let v = t.bb(&format!("PREFERRED_PROVIDER_virtual/c = \"gcc\"\n{text}")).unwrap();
    assert_eq!(get(&v[0].store, "DEPENDS"), "a gcc");
    assert_eq!(v[0].store.flag_text("do_x", "depends").unwrap().as_deref(), Some("gcc:do_y"));
    assert!(t.bb("addtask x\ndo_x[depends] = \"broken\"\n").err().unwrap().to_string().contains("not enough values"));
}

fn layer(t: &Tree, name: &str, extra: &str) -> String {
    t.write(
        &format!("{name}/conf/layer.conf"),
        &format!(
            "BBPATH .= \":${{LAYERDIR}}\"\nBBFILES += \"${{LAYERDIR}}/recipes/*.bb ${{LAYERDIR}}/recipes/*.bbappend\"\n\
             BBFILE_COLLECTIONS += \"{name}\"\nBBFILE_PATTERN_{name} = \"^${{LAYERDIR_RE}}/\"\n\
             LAYERSERIES_COMPAT_{name} = \"now\"\n{extra}"
        ),
    );
    t.path(name)
}

fn build(t: &Tree, layers: &[String]) -> Result<Configuration> {
    t.write("build/conf/bblayers.conf", &format!("BBPATH = \"${{TOPDIR}}\"\nBBFILES ?= \"\"\nBBLAYERS = \"{}\"\n", layers.join(" ")));
    let request = ConfigRequest {
        runtime: t.runtime.clone(),
        prefiles: vec![],
        postfiles: vec![],
        tracking: false,
        skip_fragments: false,
        env: [("BBPATH", t.path("build")), ("HOME", "/h".into()), ("SECRET", "s".into())]
            .map(|(k, v)| (k.to_string(), v))
            .into_iter()
            .collect::<IndexMap<_, _>>(),
        worker: false,
    };
    forget_statements();
    parse_base_configuration(&request, &mut ())
}

#[test]
fn configuration() {
    let t = Tree::new();
    let core = layer(
        &t,
        "core",
        "LAYERSERIES_CORENAMES = \"now\"\nBBFILE_PRIORITY_core = \"5\"\nLAYERVERSION_core = \"3\"\naddpylib ${LAYERDIR}/lib oe\n",
    );
    let other = layer(&t, "other", "LAYERDEPENDS_other = \"core (>= 2)\"\nBBFILES_DYNAMIC += \"core:${LAYERDIR}/dyn/*.bb !core:x\"\n");
    t.write("core/conf/bitbake.conf", "INHERIT = \"extra\"\nBBMULTICONFIG = \"m\"\ninclude conf/multiconfig/${BB_CURRENT_MC}.conf\nPN = \"${@name:0}\"\n");
    t.write("core/conf/multiconfig/m.conf", "M = \"1\"\n");
    t.write("core/classes/base.bbclass", "addhandler h\nh[eventmask] = \"bb.event.A\"\npython h() {\n    pass\n}\n");
    t.write("core/classes-global/extra.bbclass", "EXTRA = \"1\"\n");
    t.write("core/recipes/a_1.bb", "");
    t.write("core/recipes/b_2.bb", "");
    t.write("other/recipes/a_1.bb", "");
    let append = t.write("other/recipes/b_%.bbappend", "");
    t.write("other/recipes/c_1.bb", "");
    t.runtime.note("ask again".into());
    let config = build(&t, &[core.clone(), format!("{other}/")]).unwrap();
    let d = config.data();
    assert_eq!((get(d, "EXTRA"), get(d, "HOME"), get(d, "SECRET")), ("1".into(), "/h".into(), "<unset>".into()));
    assert_eq!(get(d, "BBPATH"), format!("{}:{core}:{other}", t.path("build")));
    assert_eq!(get(d, "TOPDIR"), t.path("build"));
    assert_eq!(get(d, "BB_CACHEDIR"), t.path("build/cache"));
    assert_eq!(get(&config.mcdata["m"], "M"), "1");
    assert_eq!(get(d, "LAYERSERIES_COMPAT_other"), "now");
    assert!(get(d, "BBFILES").ends_with(&format!(" {other}/dyn/*.bb")));
    assert!(dependencies(d, false).is_empty() && !dependencies(d, true).is_empty());
    assert!(t.runtime.has("handler h [\"bb.event.A\"] 3"));
    assert!(t.runtime.has(&format!("pylib {core}/lib oe")));
    assert_eq!(t.runtime.notes().iter().filter(|n| *n == "ConfigParsed").count(), 3);
    assert!(t.runtime.has("MultiConfigParsed 2"));

    let collections = handle_collections(d).unwrap();
    let priorities: Vec<_> = collections.iter().map(|c| (&*c.name, c.priority)).collect();
    assert_eq!(priorities, [("core", 5), ("other", 6)]);
    let mut files = FileCollector::new(&collections, "");
    let found = files.collect(d).unwrap();
    assert_eq!(
        found.files,
        ["core/recipes/a_1.bb", "core/recipes/b_2.bb", "other/recipes/a_1.bb", "other/recipes/c_1.bb"].map(|f| t.path(f))
    );
    assert_eq!(files.overlayed[&t.path("other/recipes/a_1.bb")], [t.path("core/recipes/a_1.bb")]);
    assert_eq!(files.appends_of(&found.files[1]), [append]);
    assert!(files.appends_of(&found.files[0]).is_empty());
    assert_eq!(files.priority(&found.files[2]), (6, Some(&"other".into())));
    assert_eq!(file_layer(&found.files[2], d).unwrap().as_deref(), Some("other"));
    d.set_var("BBMASK", "|core/recipes/a other/.*bbappend [", &SetInfo::default()).unwrap();
    let masked = files.collect(d).unwrap();
    assert_eq!((masked.files.len(), masked.masked), (3, 2));
    assert!(t.runtime.has("invalid regular expression, ignoring: ["));
    // Where no valid one is left, nothing is hidden.
    d.set_var("BBMASK", "[ (", &SetInfo::default()).unwrap();
    let unmasked = files.collect(d).unwrap();
    assert_eq!((unmasked.files.len(), unmasked.masked), (found.files.len(), 0));
}

#[test]
fn broken_configurations() {
    let t = Tree::new();
    assert!(matches!(build(&t, &[t.path("gone")]), Err(Error::Handled)));
    assert!(t.runtime.has("The following layer directories do not exist:"));
    let core = layer(&t, "core", "LAYERSERIES_CORENAMES = \"other\"\n");
    assert!(matches!(build(&t, &[core.clone()]), Err(Error::Handled)));
    assert!(t.runtime.has("Layer core is not compatible with the core layer which only supports these series: other"));
    let core = layer(&t, "core", "LAYERSERIES_CORENAMES = \"now\"\nLAYERDEPENDS_core = \"gone\"\n");
    assert!(matches!(build(&t, &[core.clone()]), Err(Error::Handled)));
    assert!(t.runtime.has("Unable to parse conf/bitbake.conf"));
    t.write("core/conf/bitbake.conf", "oops\n");
    assert!(matches!(build(&t, &[core.clone()]), Err(Error::Handled)));
    assert!(t.runtime.has("bitbake.conf:1: unparsed line: 'oops'"));
    t.write("core/conf/bitbake.conf", "BB_STAMP_POLICY = \"x\"\n");
    t.write("core/classes/base.bbclass", "");
    assert!(build(&t, &[core.clone()]).is_err());
    t.write("core/conf/bitbake.conf", "");
    let config = build(&t, &[core]).unwrap();
    assert!(handle_collections(config.data()).is_err());
    assert!(t.runtime.has("Layer 'core' depends on layer 'gone', but this layer is not enabled in your configuration"));
}

#[test]
fn fragments() {
    let t = Tree::new();
    let store = t.store();
    let quiet = SetInfo::default();
    t.write("core/conf/fragments/a/f.conf", "BB_CONF_FRAGMENT_SUMMARY = \"s\"\nF = \"1\"\n");
    for (name, value) in [
        ("BBLAYERS", t.path("core")),
        ("BBFILE_COLLECTIONS", "core".into()),
        ("BBFILE_PATTERN_core", format!("^{}/", t.path("core"))),
        ("FR", "core/a/f machine/m1".into()),
        ("FRM", "BB_CONF_FRAGMENT_SUMMARY".into()),
        ("FRB", "machine:MACHINE".into()),
    ] {
        store.set_var(name, value, &quiet).unwrap();
    }
    let file = t.write("x.conf", "addfragments conf/fragments FR FRM FRB\n");
    handle_included(&file, &store, false).unwrap();
    assert_eq!((get(&store, "F"), get(&store, "MACHINE")), ("1".into(), "m1".into()));
    assert_eq!(store.flag_text("BB_CONF_FRAGMENT_SUMMARY", "core/a/f").unwrap().as_deref(), Some("s"));
    assert!(matches!(handle_included(&file, &store, false), Err(Error::Handled)));
    assert!(t.runtime.has("A builtin fragment 'machine/m1' is used while MACHINE has already got an assignment."));
    store.set_var("FR", "core/gone", &quiet).unwrap();
    assert!(handle_included(&file, &store, false).is_err());
    assert!(t.runtime.has("Could not find fragment core/gone in enabled layers:"));
}

#[test]
fn names() {
    assert_eq!(vars_from_file("/x/a-b_1.2_r1.bb").unwrap().map(|v| v.map(|s| s.to_string())), ["a-b", "1.2", "r1"].map(|s| Some(s.into())));
    assert_eq!(vars_from_file("a.bbclass").unwrap(), [None, None, None]);
    assert!(vars_from_file("a_b_c_d.bb").is_err());
    assert_eq!(to_boolean("Yes").unwrap(), Some(true));
    assert!(to_boolean("maybe").is_err());
}
