//! The store against answers of the reference: each case was run through it, and says what it gave.

use crate::*;
use std::sync::{Arc, Mutex};

/// Python enough for tests: calls of `d.getVar`, `d.setVar` and `bb.utils.contains` with literals, a text
/// in quotes, a number; anything else is a NameError. Keeps what is logged; the truth value tells whether
/// what it evaluates is trusted to have read nothing but the store.
#[derive(Default)]
struct Fake(Mutex<Vec<String>>, bool);

impl Runtime for Fake {
    fn eval_inline(&self, store: &DataStore, expr: &str, _: Option<&str>) -> Result<Value, RuntimeError> {
        let back = |error: DataError| match error {
            DataError::Runtime(error) => error,
            other => RuntimeError::Python(Box::new(PythonError {
                class: "bb.data_smart.ExpansionError".into(),
                message: other.to_string(),
                ..PythonError::default()
            })),
        };
        let argument = |name: &str| {
            let rest = expr.strip_prefix(name)?.strip_prefix("('")?.strip_suffix("')")?;
            Some(rest.split("', '").collect::<Vec<_>>())
        };
        if let Some(args) = argument("d.getVar") {
            return Ok(store.get_var(args[0], Read::default()).map_err(back)?.unwrap_or(Value::None));
        }
        if let Some(args) = argument("d.getRaw") {
            return Ok(store.get_raw(args[0]).unwrap_or(Value::None));
        }
        if let Some(args) = argument("d.setVar") {
            store.set_var(args[0], args[1], &SetInfo::default()).map_err(back)?;
            return Ok(Value::None);
        }
        if let Some(args) = argument("bb.utils.contains") {
            let value = store.get_or_empty(args[0]).map_err(back)?;
            return Ok(text::words(&value).any(|w| w == args[1]).to_string().into());
        }
        if expr.starts_with('\'') && !expr[1..].ends_with('\'') {
            let message = "unterminated string literal (detected at line 1)".into();
            let error = PythonError { class: "SyntaxError".into(), message, ..PythonError::default() };
            return Err(RuntimeError::Python(Box::new(error)));
        }
        if let Some(text) = expr.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\'')) {
            return Ok(text.into());
        }
        match expr {
            "skip" => Err(RuntimeError::Skip("not today".into())),
            "None" => Ok(Value::None),
            _ => match expr.parse() {
                Ok(number) => Ok(Value::Int(number)),
                Err(_) => Err(RuntimeError::Python(Box::new(PythonError {
                    class: "NameError".into(),
                    message: format!("name '{expr}' is not defined"),
                    ..PythonError::default()
                }))),
            },
        }
    }
    fn eval_seen(&self, store: &DataStore, expr: &str, var: Option<&str>) -> Result<(Value, Depends), RuntimeError> {
        self.eval_inline(store, expr, var).map(|value| (value, if self.1 { Depends::Store } else { Depends::Anything }))
    }
    fn apply_filter(&self, _: &DataStore, _: &str, value: &str, expr: &str) -> Result<Value, RuntimeError> {
        Ok(format!("{expr}({value})").into())
    }
    fn log(&self, level: u32, domain: &str, message: &str) {
        self.0.lock().unwrap().push(format!("{level} {domain} {message}"));
    }
}

pub(crate) fn store() -> DataStore {
    DataStore::new(Arc::new(Fake::default()))
}
fn logged() -> (DataStore, Arc<Fake>) {
    let fake = Arc::new(Fake::default());
    (DataStore::new(fake.clone()), fake)
}
fn code() -> SetInfo {
    SetInfo::default()
}
fn file() -> SetInfo {
    SetInfo { parsing: true, file: Some("/l/conf/a.conf".into()), line: 7, ..SetInfo::default() }
}
/// A store after the `NAME = value` lines of a file.
fn parsed(lines: &[(&str, &str)]) -> DataStore {
    let d = store();
    for (name, value) in lines {
        d.set_var(name, *value, &file()).unwrap();
    }
    d
}
fn get(d: &DataStore, name: &str) -> Option<String> {
    d.get(name).unwrap().map(|s| s.to_string())
}
#[track_caller]
fn check(d: &DataStore, name: &str, expected: &str) {
    assert_eq!(get(d, name).as_deref(), Some(expected), "{name}");
}
fn texts(names: &[Str]) -> Vec<&str> {
    names.iter().map(|name| &**name).collect()
}

#[test]
fn expands_and_leaves_the_unknown() {
    let d = parsed(&[("A", "1"), ("B", "${A}2"), ("C", "${B}${UNKNOWN} ${ A} ${@'x'}"), ("D", "${@'${UNKNOWN}'}")]);
    check(&d, "C", "12${UNKNOWN} ${ A} x");
    check(&d, "D", "${@'${UNKNOWN}'}");
    d.set_var("A", "3", &code()).unwrap();
    check(&d, "C", "32${UNKNOWN} ${ A} x");
    assert_eq!(get(&d, "UNKNOWN"), None);
    assert_eq!(&*d.expand("<${B}>", None).unwrap(), "<32>");
}

#[test]
fn python_expressions() {
    let d = parsed(&[
        ("A", "x"),
        ("B", "${@d.getVar('A')}-${@d.getVar('${NAME}')}"),
        ("NAME", "A"),
        ("CUT", "${A} ${@'}'}"),
        ("NUMBER", "${@ 12 }${@None}"),
        ("WRITES", "${@d.setVar('A', 'y')}${A}"),
    ]);
    check(&d, "B", "x-x");
    check(&d, "CUT", "x ${@'}'}");
    check(&d, "NUMBER", "12None");
    check(&d, "WRITES", "Nonex");
    check(&d, "B", "y-y");
}

#[test]
fn errors_read_as_those_of_the_reference() {
    let d = parsed(&[("SELF", "a ${SELF}"), ("BAD", "${A}${@nope}"), ("A", "1"), ("OUTER", "${BAD}"), ("MORE", "<${OUTER}>")]);
    assert_eq!(
        d.get("MORE").unwrap_err().to_string(),
        "Failure expanding variable BAD, expression was 1${@nope} which triggered exception NameError: name 'nope' is not defined\nThe variable dependency chain for the failure is: BAD -> OUTER -> MORE"
    );
    assert_eq!(
        d.get("SELF").unwrap_err().to_string(),
        "Failure expanding variable SELF, expression was a ${SELF} which triggered exception Exception: variable SELF references itself!\nThe variable dependency chain for the failure is: SELF"
    );
    assert_eq!(
        d.expand("${@nope}", None).unwrap_err().to_string(),
        "Failure expanding expression ${@nope} which triggered exception NameError: name 'nope' is not defined\nThe variable dependency chain for the failure is: ${@nope}"
    );
    d.set_var("THROUGH", "${@d.getVar('BAD')}", &file()).unwrap();
    let text = d.get("THROUGH").unwrap_err().to_string();
    assert!(text.ends_with("chain for the failure is: BAD -> THROUGH"), "{text}");
    d.set_var("SKIPS", "${@skip}", &file()).unwrap();
    assert!(matches!(d.get("SKIPS"), Err(DataError::Runtime(RuntimeError::Skip(reason))) if reason == "not today"));
    d.set_var("NUM", Value::Int(5), &code()).unwrap();
    d.set_var("USES", "a${A}b${NUM}", &code()).unwrap();
    assert!(d.get("USES").unwrap_err().to_string().contains("TypeError: sequence item 3: expected str instance, int found"));
}

#[test]
fn endless_expansion_is_an_error() {
    let d = parsed(&[("A", "${B}"), ("B", "${A}"), ("GROWS", "${@d.getRaw('GROWS')} x")]);
    assert!(d.get("A").unwrap_err().to_string().contains("maximum recursion depth exceeded"));
    assert_eq!(d.0.lock.lock().borrow().depth, 0);
    assert!(d.get("GROWS").is_err());
    let d = parsed(&[("C", "5")]);
    assert!(d.rename_var("C", "C:c:a", &code()).is_err());
}

#[test]
fn overrides() {
    let d = parsed(&[
        ("OVERRIDES", "linux:${MACHINE}:class-target"),
        ("MACHINE", "qemu"),
        ("V", "plain"),
        ("V:linux", "l"),
        ("V:qemu", "q"),
        ("W:qemu:linux", "ql"),
        ("W:linux:qemu", "lq"),
        ("X", "x"),
        ("X:append:qemu", " ap"),
        ("X:append:nothere", " no"),
        ("X:prepend", "pre "),
        ("Y:append", "1"),
        ("Y:linux", "y"),
    ]);
    check(&d, "V", "q");
    check(&d, "W", "lq");
    check(&d, "X", "pre x ap");
    check(&d, "Y", "y1");
    d.set_var("MACHINE", "other", &code()).unwrap();
    check(&d, "V", "l");
    check(&d, "X", "pre x");
    assert_eq!(texts(&d.overrides().unwrap()), ["linux", "other", "class-target"]);
    assert!(d.has_overrides("V") && !d.has_overrides("MACHINE"));
    // Code that sets a variable does away with what was pending.
    d.set_var("V", "new", &code()).unwrap();
    d.set_var("X", "new", &code()).unwrap();
    check(&d, "V", "new");
    check(&d, "X", "new");
    assert_eq!(get(&d, "V:linux"), None);
    check(&d, "V:qemu", "q");
}

#[test]
fn overrides_that_depend_on_overrides() {
    let d = parsed(&[("OVERRIDES", "a:${X}"), ("X", "n"), ("X:a", "b"), ("V:b", "found"), ("V", "plain")]);
    check(&d, "V", "found");
    let (d, fake) = logged();
    for (name, value) in [("OVERRIDES", "${X}"), ("X", "a"), ("X:a", "b"), ("X:b", "a"), ("V:a", "1")] {
        d.set_var(name, value, &file()).unwrap();
    }
    assert!(matches!(d.get("V"), Err(DataError::Runtime(RuntimeError::Handled))));
    assert!(fake.0.lock().unwrap()[0].starts_with("50 Main Overrides could not be expanded into a stable state after 5"));
}

#[test]
fn removes() {
    let d = parsed(&[
        ("OVERRIDES", "o"),
        ("A", "a  b\tc ${B}\n"),
        ("B", "d a"),
        ("A:remove", "a ${B}"),
        ("P", "x y"),
        ("P:o", "x y z"),
        ("P:o:remove", "y"),
        ("P:remove:o", "z"),
        ("P:remove:nope", "x"),
    ]);
    check(&d, "A", "  b\tc  \n");
    check(&d, "P", "x  ");
    let refs = d.read_with_refs("P", "_content").unwrap();
    assert_eq!(refs.removes.iter().map(|s| &**s).collect::<Vec<_>>(), ["y", "z"]);
    assert_eq!(refs.unexpanded.unwrap().to_text().as_ref(), "x y z");
    assert_eq!(d.get_raw("A").unwrap().to_text().as_ref(), "a  b\tc ${B}\n");
}

#[test]
fn weak_defaults() {
    let d = store();
    d.set_flag("A", "_defaultval", "${B}", &file()).unwrap();
    d.set_flag("A", "_defaultval_flag_f", "weak", &file()).unwrap();
    d.set_var("B", "b", &file()).unwrap();
    check(&d, "A", "b");
    assert_eq!(&*d.flag_text("A", "f").unwrap().unwrap(), "weak");
    assert!(d.get_var("A", Read { noweakdefault: true, ..Read::default() }).unwrap().is_none());
    assert_eq!(d.get_flags("A", None, false).unwrap().unwrap().keys().map(|k| &**k).collect::<Vec<_>>(), ["f"]);
    d.set_var("A:append", "+", &file()).unwrap();
    check(&d, "A", "b+");
    d.set_var("A", "own", &file()).unwrap();
    d.set_flag("A", "f", "strong", &file()).unwrap();
    check(&d, "A", "own+");
    assert_eq!(&*d.flag_text("A", "f").unwrap().unwrap(), "strong");
}

#[test]
fn flags() {
    let d = parsed(&[("A", "1")]);
    d.set_flag("A", "x", "${A}0", &code()).unwrap();
    d.append_flag("A", "x", " end", &code()).unwrap();
    d.prepend_flag("A", "new", "start", &code()).unwrap();
    assert_eq!(&*d.flag_text("A", "x").unwrap().unwrap(), "10 end");
    assert_eq!(d.get_flag("A", "x", RAW).unwrap().unwrap().to_text().as_ref(), "${A}0 end");
    assert_eq!(d.get_flag("A", "_content", RAW).unwrap().unwrap().to_text().as_ref(), "1");
    d.set_var("A:append:q", "z", &file()).unwrap();
    assert_eq!(d.get_flag("A", ":append", RAW).unwrap().unwrap().repr(), "[['z', 'q']]");
    let flags = d.get_flags("A", Some(&["x"]), false).unwrap().unwrap();
    assert_eq!(Value::Map(Arc::new(flags)).repr(), "{'x': '10 end', 'new': 'start'}");
    assert!(d.get_flags("A", None, true).unwrap().unwrap().contains_key("_content"));
    d.del_flag("A", "x", &code()).unwrap();
    assert!(d.get_flag("A", "x", RAW).unwrap().is_none());
    d.del_flags("A", &code()).unwrap();
    assert!(d.get_flags("A", None, false).unwrap().is_none());
    check(&d, "A", "1");
    d.set_flag("A", "export", "1", &code()).unwrap();
    assert_eq!(d.get_raw("__exportlist").unwrap().repr(), "{'A'}");
}

#[test]
fn flags_deleted_of_a_copy_uncover_the_original() {
    let d = parsed(&[("A", "a"), ("A:append", "b"), ("B", "1")]);
    d.set_flag("A", "doc", "text", &code()).unwrap();
    let copy = d.create_copy();
    // Nothing of its own yet, and a value that stays.
    copy.del_flags("B", &code()).unwrap();
    check(&copy, "B", "1");
    copy.del_var("A", &code()).unwrap();
    copy.set_flag("A", "flag", "1", &code()).unwrap();
    copy.del_flags("A", &code()).unwrap();
    check(&copy, "A", "ab");
    assert_eq!(&*copy.flag_text("A", "doc").unwrap().unwrap(), "text");
    assert!(copy.get_flag("A", "flag", RAW).unwrap().is_none());
    assert!(!copy.local_keys().iter().any(|name| &**name == "A"));
    // Where the original has nothing, nothing is left.
    copy.set_flag("C", "flag", "1", &code()).unwrap();
    copy.del_flags("C", &code()).unwrap();
    assert!(!copy.keys().unwrap().iter().any(|name| &**name == "C"));
}

#[test]
fn deletes_and_renames() {
    let d = parsed(&[
        ("OVERRIDES", "o"),
        ("A", "a"),
        ("A:o", "ao"),
        ("A:append", "+"),
        ("R${N}", "r"),
        ("R${N}:o", "ro"),
        ("R${N}:append", "!"),
        ("N", "1"),
    ]);
    d.del_var("A:o", &code()).unwrap();
    check(&d, "A", "a+");
    d.del_var("A", &code()).unwrap();
    assert_eq!(get(&d, "A"), None);
    assert!(!d.contains("A") && d.contains("N"));
    d.expand_keys().unwrap();
    check(&d, "R1", "ro!");
    check(&d, "R1:o", "ro");
    assert_eq!(get(&d, "R${N}"), None);
    let mut keys = d.keys().unwrap();
    keys.sort();
    assert_eq!(texts(&keys), ["N", "OVERRIDES", "R1", "R1:o"]);
}

#[test]
fn exported_names_have_the_flag_or_its_default() {
    let (d, _) = logged();
    for name in ["A", "B", "C", "__D"] {
        d.set_var(name, "x", &file()).unwrap();
    }
    d.set_flag("A", "export", "1", &file()).unwrap();
    d.set_flag("B", "_defaultval_flag_export", "1", &file()).unwrap();
    d.set_flag("C", "export", "", &file()).unwrap();
    d.set_flag("__D", "export", "1", &file()).unwrap();
    let sorted = |d: &DataStore| {
        let mut names = crate::emit::exported_keys(d).unwrap();
        names.sort();
        names.join(" ")
    };
    assert_eq!(sorted(&d), "A B");
    let copy = d.create_copy();
    copy.set_flag("A", "unexport", "1", &file()).unwrap();
    copy.set_flag("C", "export", "1", &file()).unwrap();
    assert_eq!((sorted(&copy).as_str(), sorted(&d).as_str()), ("B C", "A B"));
}

#[test]
fn expand_keys_tells_of_clashes() {
    let (d, fake) = logged();
    for (name, value) in [("P", "x"), ("A${P}", "new"), ("Ax", "old")] {
        d.set_var(name, value, &file()).unwrap();
    }
    d.expand_keys().unwrap();
    check(&d, "Ax", "new");
    assert_eq!(*fake.0.lock().unwrap(), ["30 Main Variable key A${P} (new) replaces original key Ax (old)."]);
}

#[test]
fn copies() {
    let d = parsed(&[("A", "1"), ("B", "${A}"), ("V", "v"), ("OVERRIDES", "${A}"), ("V:2", "two")]);
    check(&d, "V", "v");
    let copy = d.create_copy();
    copy.set_var("A", "2", &code()).unwrap();
    check(&copy, "B", "2");
    check(&copy, "V", "two");
    check(&d, "B", "1");
    check(&d, "V", "v");
    copy.set_flag("V", "f", "x", &code()).unwrap();
    assert!(d.get_flag("V", "f", RAW).unwrap().is_none());
    let mut local = copy.local_keys();
    local.sort();
    assert_eq!(texts(&local), ["A", "V"]);
    assert!(d.same(&d.clone()) && !d.same(&copy));
}

#[test]
fn filters_apply_last_and_to_expanded_reads() {
    let d = parsed(&[("A", "x ${B}"), ("B", "y"), ("A:remove", "y")]);
    d.set_filter("A", Some("f")).unwrap();
    check(&d, "A", "f(x )");
    assert_eq!(d.get_raw("A").unwrap().to_text().as_ref(), "x ${B}");
}

#[test]
fn names_of_former_releases() {
    let (d, fake) = logged();
    d.set_var("BB_ENV_WHITELIST", "x", &file()).unwrap();
    d.set_var("BB_STAMP_POLICY:o", "x", &file()).unwrap();
    d.set_flag("BB_RENAMED_VARIABLES", "OLD", "NEW", &file()).unwrap();
    d.set_var("OLD", "x", &file()).unwrap();
    assert_eq!(
        *fake.0.lock().unwrap(),
        [
            "39 Main Variable BB_ENV_WHITELIST has been renamed to BB_ENV_PASSTHROUGH (file: /l/conf/a.conf line: 7)",
            "39 Main Variable BB_STAMP_POLICY is a deprecated variable and support has been removed (file: /l/conf/a.conf line: 7 referenced as: BB_STAMP_POLICY:o)",
            "39 Main Variable OLD has been renamed to NEW (file: /l/conf/a.conf line: 7)",
        ]
    );
    check(&d, "_FAILPARSINGERRORHANDLED", "True");
    assert!(d.set_var("A_append", "x", &file()).is_err());
    assert_eq!(
        fake.0.lock().unwrap().last().unwrap(),
        "50 Main Variable A_append file: /l/conf/a.conf line: 7 contains an operation using the old override syntax. Please convert this layer/metadata before attempting to use with a newer bitbake."
    );
}

#[test]
fn references() {
    let d = parsed(&[
        ("A", "${B} ${@d.getVar('C')} ${@bb.utils.contains('D', 'w')} ${@os.path.join('x')}"),
        ("B", "${INNER}"),
        ("INNER", "i"),
        ("D", "w v"),
    ]);
    d.set_var("A", "${B} ${@d.getVar('C')} ${@bb.utils.contains('D', 'w')} ${UNKNOWN}", &file()).unwrap();
    check(&d, "A", "i None true ${UNKNOWN}");
    let refs = d.read_with_refs("A", "_content").unwrap();
    assert_eq!(refs.references.iter().map(|s| &**s).collect::<Vec<_>>(), ["B", "C", "UNKNOWN"]);
    assert_eq!(refs.contains.get("D").unwrap().iter().map(|s| &**s).collect::<Vec<_>>(), ["w"]);
    d.set_flag("A", "deps", "${B}x", &file()).unwrap();
    let refs = d.read_with_refs("A", "deps").unwrap();
    assert_eq!((refs.references.len(), refs.value.unwrap().to_text().as_ref()), (1, "ix"));
    assert!(d.read_with_refs("ABSENT", "_content").unwrap().value.is_none());
    assert_eq!(d.expand_with_refs("${B}", None).unwrap().references.len(), 1);
}

#[test]
fn history_as_environment_output_shows_it() {
    let d = store();
    d.enable_tracking();
    d.set_var("A", "1\n2", &file()).unwrap();
    d.set_var("A:o", "3", &file()).unwrap();
    d.set_var("A:append:x", "4", &file()).unwrap();
    d.set_flag("A", "doc", "text", &SetInfo { op: "set?", ..file() }).unwrap();
    d.set_var("A", "5", &SetInfo { func: Some("do".into()), ..file() }).unwrap();
    let mut out = Vec::new();
    d.history_emit("A", d.get_raw("A").as_ref(), &mut out).unwrap();
    assert_eq!(
        String::from_utf8(out).unwrap(),
        "#\n# $A [5 operations]\n#   set /l/conf/a.conf:7\n#     \"1\n#     2\"\n#   :append[x] /l/conf/a.conf:7\n#     \"4\"\n#   set? /l/conf/a.conf:7\n#     [doc] \"text\"\n#   set a.conf:7 [do]\n#     \"5\"\n#   override[o]:set /l/conf/a.conf:7\n#     \"3\"\n# pre-expansion value:\n#   \"5\"\n"
    );
    let mut out = Vec::new();
    d.history_emit("NONE", None, &mut out).unwrap();
    assert_eq!(String::from_utf8(out).unwrap(), "#\n# $NONE\n#   [no history recorded]\n#\n#   \"None\"\n");
    assert_eq!(d.history_lines("A", "/l/conf/a.conf"), [7, 7, 7, 7]);
    d.set_var("LIST", "a b", &file()).unwrap();
    assert_eq!(d.history_items_files("LIST").unwrap().len(), 2);
    d.history_delete("A");
    assert!(d.history("A").is_empty());
}

#[test]
fn include_history() {
    let d = store();
    d.include_enter("a.conf");
    d.include_enter("b.inc");
    d.include_leave();
    d.include_leave();
    d.include_enter("c.conf");
    let copy = d.create_copy();
    copy.include_enter("d.bb");
    let mut out = Vec::new();
    copy.includes_emit(&mut out).unwrap();
    assert_eq!(
        String::from_utf8(out).unwrap(),
        "#\n# INCLUDE HISTORY:\n#\n# a.conf includes:\n#   b.inc\n# c.conf\n# d.bb"
    );
}

#[test]
fn hash_of_the_configuration() {
    let make = |value: &str| {
        let d = parsed(&[("A", value), ("BB_HASHCONFIG_IGNORE_VARS", "T"), ("T", "1")]);
        d.set_flag("A", "f", "x", &code()).unwrap();
        d
    };
    let hash = make("1").get_hash().unwrap();
    assert_eq!(hash, make("1").get_hash().unwrap());
    assert_ne!(hash, make("2").get_hash().unwrap());
    let d = make("1");
    d.set_var("T", "2", &code()).unwrap();
    d.set_var("__internal", "2", &code()).unwrap();
    assert_eq!(hash, d.get_hash().unwrap());
    d.set_flag("A", "f", "y", &code()).unwrap();
    assert_ne!(hash, d.get_hash().unwrap());
}

#[test]
fn what_cannot_be_hashed_is_found_without_hashing() {
    let told = |d: &DataStore| {
        let error = d.get_hash().unwrap_err().to_string();
        assert_eq!(d.check_hash().unwrap_err().to_string(), error);
        assert!(error.contains("references itself"), "{error}");
    };
    let d = parsed(&[("A", "1"), ("X", "${X}")]);
    assert!(d.get_hash().is_ok() && d.check_hash().is_ok());
    d.set_flag("A", "f", "${X}", &code()).unwrap();
    assert!(d.get_hash().is_ok() && d.check_hash().is_ok());
    d.set_flag("A", "vardepvalue", "${X}", &code()).unwrap();
    told(&d);
    told(&parsed(&[("X", "${X}"), ("NAME_${X}", "1")]));
}

#[test]
fn scripts() {
    let d = parsed(&[
        ("PATH", "/bin:$HOME \"q\" `t`\nnext"),
        ("HIDDEN", "x"),
        ("not-a-name", "x"),
        ("GONE", "x"),
        ("do_it", "\thelper ${HIDDEN}\n"),
        ("helper", "\techo hi"),
        ("other", "\techo no"),
        ("BASH_FUNC_which%%", "() {  :\n}"),
        ("pyfunc", "    pyhelper(d)\n"),
        ("pyhelper", "def pyhelper(d):\n    pass\n"),
    ]);
    for name in ["PATH", "not-a-name", "BASH_FUNC_which%%"] {
        d.set_flag(name, "export", "1", &code()).unwrap();
    }
    d.set_flag("GONE", "unexport", "1", &code()).unwrap();
    for name in ["do_it", "helper", "other", "pyfunc", "pyhelper"] {
        d.set_flag(name, "func", Value::Int(1), &code()).unwrap();
        d.set_flag(name, "lineno", Value::Int(3), &code()).unwrap();
    }
    for name in ["pyfunc", "pyhelper"] {
        d.set_flag(name, "python", "1", &code()).unwrap();
    }
    d.set_flag("do_it", "filename", "/l/a.bb", &code()).unwrap();
    let mut out = Vec::new();
    emit::emit_func("do_it", &mut out, &d).unwrap();
    assert_eq!(
        String::from_utf8(out).unwrap(),
        "which() {  :\n}\nexport -f which\nunset GONE\nexport PATH=\"/bin:\\$HOME \\\"q\\\" \\`t\\` \\\nnext\"\n\n# line: 3, file: /l/a.bb\ndo_it() {\n\thelper x\n}\n\n# line: 3, file: None\nhelper() {\n\techo hi\n}\n\n"
    );
    let mut out = Vec::new();
    emit::emit_func_python("pyfunc", &mut out, &d).unwrap();
    assert_eq!(
        String::from_utf8(out).unwrap(),
        "def pyfunc(d):\n    pyhelper(d)\n\npyfunc(d)\n\ndef pyhelper(d):\n    pass\n\n"
    );
    let mut exported: Vec<Str> = emit::exported_vars(&d).unwrap().into_iter().map(|(name, _)| name).collect();
    exported.sort();
    assert_eq!(texts(&exported), ["BASH_FUNC_which%%", "PATH", "not-a-name"]);
    let environment = parsed(&[("HOME", "/h"), ("OTHER", "x")]);
    let e = store();
    emit::inherit_from_os(&e, &environment, &["HOME"]).unwrap();
    check(&e, "HOME", "/h");
    assert!(e.flag_is_true("HOME", "export").unwrap() && !e.contains("OTHER"));
}

#[test]
fn many_threads_may_read_and_write() {
    let d = parsed(&[("A", "${B}"), ("B", "b")]);
    std::thread::scope(|scope| {
        for i in 0..4 {
            let d = d.clone();
            scope.spawn(move || {
                for j in 0..200 {
                    d.set_var(&format!("T{i}_{j}"), "${A}", &code()).unwrap();
                    check(&d, &format!("T{i}_{j}"), "b");
                }
            });
        }
    });
    assert_eq!(d.keys().unwrap().len(), 2 + 800);
}

#[test]
fn history_names_the_function_of_what_the_program_sets_itself() {
    let d = DataStore::new(Arc::new(Fake::default()));
    d.enable_tracking();
    d.set_var("A", "1", &SetInfo::internal(("some/where.py", 7, "starter"))).unwrap();
    d.set_var("B", "1", &SetInfo { file: Some("x.bb".into()), line: 3, ..SetInfo::internal(("w.py", 7, "f")) }).unwrap();
    d.set_var("C", "1", &SetInfo { ignore: true, ..SetInfo::internal(("w.py", 7, "f")) }).unwrap();
    let comment = |name: &str| {
        let mut out = Vec::new();
        d.history_emit(name, d.get_raw(name).as_ref(), &mut out).unwrap();
        String::from_utf8(out).unwrap()
    };
    assert_eq!(comment("A"), "#\n# $A\n#   set where.py:7 [starter]\n#     \"1\"\n");
    assert_eq!(comment("B"), "#\n# $B\n#   set x.bb:3\n#     \"1\"\n");
    assert!(comment("C").contains("[no history recorded]"));
}

#[test]
fn a_place_found_by_looking_at_the_caller_is_not_in_messages() {
    let fake = Arc::new(Fake::default());
    let d = DataStore::new(fake.clone());
    let found = SetInfo { file: Some("x.bb".into()), line: 3, func: Some("f".into()), ..SetInfo::default() };
    d.set_var("BB_ENV_WHITELIST", "1", &found).unwrap();
    let stated = SetInfo { file: Some("x.bb".into()), line: 3, ..SetInfo::default() };
    d.set_var("BB_ENV_EXTRAWHITE", "1", &stated).unwrap();
    let told = fake.0.lock().unwrap().join("\n");
    assert!(told.contains("BB_ENV_WHITELIST has been renamed to BB_ENV_PASSTHROUGH\n"), "{told}");
    assert!(told.contains("BB_ENV_PASSTHROUGH_ADDITIONS (file: x.bb line: 3)"), "{told}");
}

mod kept_values {
    use super::*;
    use proptest::prelude::*;
    use proptest::test_runner::RngSeed;

    #[derive(Clone, Debug)]
    enum Step {
        Set(String, String, bool),
        Flag(String, String),
        Delete(String),
        DeleteFlag(String),
        Rename(String, String),
        ExpandKeys,
        Copy,
        Read(String),
        ReadFlag(String),
        References(String),
    }

    fn name() -> impl Strategy<Value = String> {
        let plain = prop::sample::select(vec!["A", "B", "C", "OVERRIDES", "X", "${C}Y"]);
        let over = prop::sample::select(vec!["", "", "", ":a", ":b", ":a:b", ":c"]);
        (plain, over).prop_map(|(name, over)| format!("{name}{over}"))
    }
    fn target() -> impl Strategy<Value = String> {
        let operation = prop::sample::select(vec!["", "", "", ":append", ":prepend", ":remove", ":append:a", ":remove:b"]);
        (name(), operation).prop_map(|(name, operation)| format!("{name}{operation}"))
    }
    fn value() -> impl Strategy<Value = String> {
        let part = prop::sample::select(vec![
            "x", " y ", "a", "b:a", ":c", "${A}", "${B}", "${C}", "${X}", "${D}", "${@d.getVar('A')}", "${@d.getVar('B:a')}",
            "${@bb.utils.contains('C', 'x')}", "${@d.getRaw('X')}",
        ]);
        prop::collection::vec(part, 0..3).prop_map(|parts| parts.concat())
    }
    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (target(), value(), any::<bool>()).prop_map(|(name, value, parsing)| Step::Set(name, value, parsing)),
            1 => (name(), value()).prop_map(|(name, value)| Step::Flag(name, value)),
            1 => name().prop_map(Step::Delete),
            1 => name().prop_map(Step::DeleteFlag),
            1 => (name(), name()).prop_map(|(name, new)| Step::Rename(name, new)),
            1 => Just(Step::ExpandKeys),
            1 => Just(Step::Copy),
            4 => name().prop_map(Step::Read),
            1 => name().prop_map(Step::ReadFlag),
            2 => name().prop_map(Step::References),
        ]
    }

    fn run(store: &mut DataStore, step: &Step) -> String {
        let info = SetInfo::default();
        let told = |result: Result<()>| result.map_or_else(|error| error.to_string(), |()| String::new());
        match step {
            Step::Set(name, value, parsing) => {
                told(store.set_var(name, value.as_str(), &SetInfo { parsing: *parsing, ..info }))
            }
            Step::Flag(name, value) => told(store.set_flag(name, "f", value.as_str(), &info)),
            Step::Delete(name) => told(store.del_var(name, &info)),
            Step::DeleteFlag(name) => told(store.del_flag(name, "f", &info)),
            Step::Rename(name, new) => told(store.rename_var(name, new, &info)),
            Step::ExpandKeys => told(store.expand_keys()),
            Step::Copy => {
                *store = store.create_copy();
                String::new()
            }
            Step::Read(name) => format!("{:?}", store.get_var(name, Read::default()).map_err(|e| e.to_string())),
            Step::ReadFlag(name) => format!("{:?}", store.get_flag(name, "f", Read::default()).map_err(|e| e.to_string())),
            Step::References(name) => format!("{:?}", store.read_with_refs(name, "_content").map_err(|e| e.to_string())),
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2000, rng_seed: RngSeed::Fixed(20), ..ProptestConfig::default() })]

        /// Values that are kept say what values made anew say, whatever was written in between.
        #[test]
        fn say_what_fresh_ones_say(steps in prop::collection::vec(step(), 1..40)) {
            let trusted = || Arc::new(Fake(Mutex::default(), true));
            let mut keeps = DataStore::new(trusted());
            let mut forgets = DataStore::new(trusted());
            for (at, step) in steps.iter().enumerate() {
                let kept = run(&mut keeps, step);
                forgets.forget_kept_values();
                let fresh = run(&mut forgets, step);
                prop_assert_eq!(kept, fresh, "step {} of {:#?}", at, steps);
            }
        }
    }
}

#[test]
fn names_with_marks_are_kept_up() {
    let d = store();
    let info = SetInfo { parsing: true, ..SetInfo::default() };
    let set = |name: &str, value: &str| d.set_var(name, value, &info).unwrap();
    let flag = |name: &str, flag: &str| d.set_flag(name, flag, "1", &info).unwrap();
    let found = || {
        let marked: Vec<String> = d.marked_keys().unwrap().iter().map(|name| name.to_string()).collect();
        let mut looked_for = d.keys_with_flag_or_default(&["export", "unexport"]).unwrap();
        looked_for.sort_unstable();
        assert_eq!(marked, looked_for.iter().map(|name| name.to_string()).collect::<Vec<_>>());
        marked.join(" ")
    };
    set("OVERRIDES", "one");
    for name in ["A", "B", "C"] {
        set(name, "1");
    }
    flag("B", "export");
    assert_eq!(found(), "B");
    flag("A", "unexport");
    flag("A", "export");
    set("D", "2");
    flag("C", "other");
    assert_eq!(found(), "A B");
    assert_eq!(found(), "A B");
    d.del_flag("B", "export", &info).unwrap();
    d.del_var("A", &info).unwrap();
    flag("E", "export");
    assert_eq!(found(), "E");
    for at in 0..200 {
        set(&format!("F{at}"), "x");
        flag(&format!("F{at}"), if at == 7 { "export" } else { "func" });
    }
    assert_eq!(found(), "E F7");
    set("G:two", "3");
    flag("G", "export");
    found();
    set("OVERRIDES", "two");
    found();
    d.rename_var("F7", "H", &info).unwrap();
    assert_eq!(found(), "E G", "flags stay behind");
}
