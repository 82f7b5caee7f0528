//! Against what the reference answered. `fixtures/recipes.json` holds stores (as the calls that
//! fill them) and the dependencies, values and hashes that the reference made of them; the texts are
//! random and ours.

use crate::sigdata::RunData;
use crate::*;
use hz_data::{
    DataError, DataStore, LibFunction, PythonError, Read, Runtime, RuntimeError, SetInfo, Value,
};
use hz_diagnostics::Str;
use serde_json::Value as Json;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

/// Knows the few expressions of the fixtures.
struct Expressions;

fn cause(error: DataError) -> RuntimeError {
    match error {
        DataError::Runtime(cause) | DataError::Expansion { cause, .. } => cause,
        other => RuntimeError::Python(Box::new(PythonError { message: other.to_string(), ..PythonError::default() })),
    }
}

impl Runtime for Expressions {
    fn eval_inline(&self, d: &DataStore, expr: &str, _: Option<&str>) -> Result<Value, RuntimeError> {
        let texts: Vec<&str> = expr.split('\'').skip(1).step_by(2).collect();
        let get = |name: &str| d.get_var(name, Read::default()).map_err(cause);
        let words = |name: &str| -> Result<Vec<String>, RuntimeError> {
            Ok(get(name)?.map(|v| v.to_text().split_whitespace().map(String::from).collect()).unwrap_or_default())
        };
        let expr = expr.trim();
        Ok(match expr.split('(').next().unwrap_or_default() {
            "bb.utils.contains" => {
                let words = words(texts[0])?;
                let all = !words.is_empty() && texts[1].split_whitespace().all(|x| words.iter().any(|y| y == x));
                if all { "yes" } else { "no" }.into()
            }
            "bb.utils.filter" => {
                let words = words(texts[0])?;
                let mut found: Vec<&str> = texts[1].split_whitespace().filter(|x| words.iter().any(|y| y == x)).collect();
                found.sort();
                found.join(" ").into()
            }
            "bb.utils.contains_any" => {
                let words = words(texts[0])?;
                Value::Int(if texts[1].split_whitespace().any(|x| words.iter().any(|y| y == x)) { 1 } else { 2 })
            }
            "tl.mod.plain" => "plain".into(),
            "d.getVarFlag" => d.get_flag(texts[0], "flagx", Read::default()).map_err(cause)?.unwrap_or(Value::None),
            "d.getVar" | "fn1" => get(texts[texts.len() - 1])?.unwrap_or(Value::None),
            "d.expand" => d.expand(texts[0], None).map_err(cause)?.to_string().into(),
            "len" => Value::Int(texts[0].chars().count() as i64),
            "'a' 'b'" => "ab".into(),
            other => panic!("the fixtures hold an expression this does not know: {other}"),
        })
    }
}

/// A store as configurations have it: the environment has brought exported variables.
fn store() -> DataStore {
    let d = DataStore::new(Arc::new(Expressions));
    d.set_var("__exportlist", Value::Set(Arc::default()), &SetInfo::default()).unwrap();
    d
}

fn value(json: &Json) -> Value {
    match json {
        Json::String(text) => text.as_str().into(),
        Json::Number(n) => Value::Int(n.as_i64().unwrap()),
        Json::Array(list) => Value::List(Arc::new(list.iter().map(value).collect())),
        _ => Value::None,
    }
}

fn texts(json: &Json) -> Vec<Str> {
    json.as_array().unwrap().iter().map(|x| x.as_str().unwrap().into()).collect()
}

#[test]
fn recipes_hash_as_for_the_reference() {
    let doc: Json = serde_json::from_str(include_str!("fixtures/recipes.json")).unwrap();
    let libraries: Vec<LibFunction> = doc["libs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|l| LibFunction {
            name: l["name"].as_str().unwrap().into(),
            file: "lib.py".into(),
            line: l["line"].as_u64().unwrap() as u32,
            source: l["source"].as_str().unwrap().into(),
            vardeps: texts(&l["vardeps"]),
            vardepsexclude: texts(&l["vardepsexclude"]),
            has_visitor: false,
        })
        .collect();
    for (n, recipe) in doc["scenarios"].as_array().unwrap().iter().enumerate() {
        let d = store();
        for call in recipe["ops"].as_array().unwrap() {
            let text = |at: usize| call[at].as_str().unwrap();
            match text(0) {
                "set" => {
                    let info = SetInfo { parsing: call.get(3).is_some(), ..SetInfo::default() };
                    d.set_var(text(1), value(&call[2]), &info).unwrap();
                }
                _ => d.set_flag(text(1), text(2), value(&call[3]), &SetInfo::default()).unwrap(),
            }
        }
        let rules = Rules::from_configuration(&d).unwrap();
        let libs = LibrarySignatures::new(&libraries, &d).unwrap();
        let found = base_signatures(&d, "recipe.bb", &libs, &rules).unwrap();
        let expect = &recipe["expect"];
        let lists = |json: &Json| -> BTreeMap<Str, Vec<Str>> {
            json.as_object().unwrap().iter().map(|(k, v)| (k.as_str().into(), texts(v))).collect()
        };
        assert_eq!(found.gendeps.into_iter().collect::<BTreeMap<_, _>>(), lists(&expect["gendeps"]), "recipe {n}");
        assert_eq!(found.taskdeps.into_iter().collect::<BTreeMap<_, _>>(), lists(&expect["taskdeps"]), "recipe {n}");
        for (name, expected) in expect["varvals"].as_object().unwrap() {
            let expected = VarVal::from(Some(&value(expected)));
            assert_eq!(found.varvals.get(name.as_str()), Some(&expected), "recipe {n}, {name}");
        }
        assert_eq!(found.varvals.len(), expect["varvals"].as_object().unwrap().len());
        for (task, hash) in expect["basehash"].as_object().unwrap() {
            assert_eq!(found.basehashes[task.as_str()].as_ref(), hash.as_str().unwrap(), "recipe {n}, {task}");
        }
    }
}

#[test]
fn a_recipe_that_cannot_be_scanned_says_so() {
    let d = store();
    let info = SetInfo::default();
    d.set_var("__BBTASKS", Value::List(Arc::new(vec!["do_x".into()])), &info).unwrap();
    d.set_var("do_x", "\tif true; then\n", &info).unwrap();
    d.set_flag("do_x", "func", 1, &info).unwrap();
    let error = base_signatures(&d, "x.bb", &LibrarySignatures::default(), &Rules::default()).unwrap_err();
    assert_eq!(
        error.to_string().lines().next().unwrap(),
        "Exception during build_dependencies for do_x: Error during parse shell code, the last 5 lines are:"
    );
    assert!(!error.is_skip());
    assert!(error.report().unwrap().starts_with("Error during parse shell code"));
    assert_eq!(error.warning().unwrap(), "Exception during build_dependencies for do_x: ShellSyntaxError('Unexpected EOF')");
    assert_eq!(error.exception().to_string(), "Unexpected EOF");
    d.set_var("do_x", "\techo \"open\n", &info).unwrap();
    let error = base_signatures(&d, "x.bb", &LibrarySignatures::default(), &Rules::default()).unwrap_err();
    assert_eq!(error.warning().unwrap(), "Exception during build_dependencies for do_x: NeedMore()");
}

#[test]
fn python_that_does_not_compile_is_told_with_its_place() {
    let d = store();
    let info = SetInfo::default();
    d.set_var("__BBTASKS", Value::List(Arc::new(vec!["do_x".into()])), &info).unwrap();
    d.set_var("do_x", "    a = 1\n    b = (\n", &info).unwrap();
    for (flag, value) in [("func", "1"), ("python", "1"), ("filename", "/r/x.bb"), ("lineno", "7")] {
        d.set_flag("do_x", flag, value, &info).unwrap();
    }
    let error = base_signatures(&d, "x.bb", &LibrarySignatures::default(), &Rules::default()).unwrap_err();
    assert!(error.exception().to_string().contains("(x.bb, line "), "{}", error.exception());
    assert_eq!(error.report(), None);
}

#[test]
fn old_releases_exclude_flags_by_substring() {
    let d = store();
    let info = SetInfo::default();
    d.set_var("__BBTASKS", Value::List(Arc::new(vec!["do_x".into()])), &info).unwrap();
    d.set_var("BB_SIGNATURE_EXCLUDE_FLAGS", "cleandirs python", &info).unwrap();
    d.set_var("do_x", "x", &info).unwrap();
    d.set_flag("do_x", "dirs", "d", &info).unwrap();
    let flags = |by_word| {
        let rules = Rules { exclude_flags_by_word: by_word, ..Rules::default() };
        base_signatures(&d, "x", &LibrarySignatures::default(), &rules).unwrap().gendeps["do_x"].len()
    };
    assert_eq!((flags(true), flags(false)), (1, 0));
}

fn example() -> SigData {
    let set = |names: &[&str]| names.iter().map(|n| Str::from(*n)).collect::<BTreeSet<_>>();
    SigData {
        task: Some("do_é".into()),
        basehash_ignore_vars: set(&["B", "A"]),
        taskdeps: set(&["X", "X[func]"]),
        basehash: "00".into(),
        gendeps: BTreeMap::from([("X".into(), set(&[])), ("X[func]".into(), set(&["Y"]))]),
        varvals: BTreeMap::from([
            ("do_é".into(), VarVal::Str("a\"\\\n\t\u{8}\u{c}\r\u{1}\u{7f} é😀".into())),
            ("X".into(), VarVal::None),
            ("X[func]".into(), VarVal::Int(1)),
            ("Y".into(), VarVal::Bool(true)),
        ]),
        run: Some(RunData {
            runtaskdeps: vec!["p:do_a".into()],
            file_checksum_values: vec![("./f".into(), Some("aa".into())), ("g".into(), None)],
            runtaskhashes: BTreeMap::from([("p:do_a".into(), "11".into())]),
            taskhash: "22".into(),
            unihash: "33".into(),
        }),
        taint: Some("nostamp:x".into()),
        ..SigData::default()
    }
}

#[test]
fn files_are_the_reference_s_byte_for_byte() {
    let json = r#"{"basehash":"00","basehash_ignore_vars":{"_set_object":["A","B"]},"file_checksum_values":[["./f","aa"],["g",null]],"gendeps":{"X":{"_set_object":[]},"X[func]":{"_set_object":["Y"]}},"runtaskdeps":["p:do_a"],"runtaskhashes":{"p:do_a":"11"},"taint":"nostamp:x","task":"do_\u00e9","taskdeps":{"_set_object":["X","X[func]"]},"taskhash":"22","taskhash_ignore_tasks":null,"unihash":"33","varvals":{"X":null,"X[func]":1,"Y":true,"do_\u00e9":"a\"\\\n\t\b\f\r\u0001\u007f \u00e9\ud83d\ude00"}}"#;
    assert_eq!(example().to_json(), json);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new/x.do_a.sigdata.33");
    example().write(&path).unwrap();
    assert_eq!(SigData::read(&path).unwrap(), example());
    let mode = |path: &Path| std::os::unix::fs::PermissionsExt::mode(&path.metadata().unwrap().permissions()) & 0o777;
    assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o664, 0o775));
    std::fs::write(&path, "nonsense").unwrap();
    assert!(SigData::read(&path).unwrap_err().to_string().starts_with("Failed to open sigdata file"));
    assert_eq!(SigData::file_name("s", "do_x", true, "h"), "s.do_x.sigdata.h");
}

#[test]
fn task_hash_takes_everything_in_order() {
    let inputs = TaskInputs {
        dependencies: vec![("b:do_x", "2", "BB"), ("a:do_x", "9", "AA")],
        files: vec![("/x/z", Some("11")), ("/y/d/./s/f", Some("22")), ("/a/q", None), ("/z/a", Some("33"))],
        taint: Some("nostamp:T"),
    };
    let hash = |text: &str| -> Str { hex::encode(<sha2::Sha256 as sha2::Digest>::digest(text)).into() };
    assert_eq!(task_hash("base", &inputs, &Rules::default()), hash("baseAABB./s/f223311T"));
    let old = Rules { checksums_by_basename: false, ..Rules::default() };
    assert_eq!(task_hash("base", &inputs, &old), hash("baseAABB./s/f221133T"));
    assert_eq!(crate::hash::shown_name("/y/d/./s/f").as_ref(), "./s/f");
    assert_eq!(crate::hash::shown_name("/y/f").as_ref(), "f");
}

#[test]
fn dump_and_comparison_in_words() {
    let a = example();
    let dump = dump_sigfile(&a);
    assert_eq!(dump[0], "basehash_ignore_vars: ['A', 'B']");
    assert!(dump.contains(&"Tainted (by forced/invalidated task): nostamp(uuid4):x".to_string()));
    assert!(dump.contains(&"This task depends on the checksums of files: [['./f', 'aa'], ['g', None]]".to_string()));

    let mut b = a.clone();
    b.varvals.insert("Y".into(), VarVal::Str("some new words".into()));
    b.varvals.insert("X[func]".into(), VarVal::Int(2));
    assert_eq!(
        compare_sigfiles(&a, &b, None, Colors::new(false), false),
        ["Variable X[func] value changed from '1' to '2'", "Variable Y value changed from 'True' to 'some new words'"]
    );
    let mut c = b.clone();
    c.varvals.insert("Y".into(), VarVal::Str("some old words  here".into()));
    let run = c.run.as_mut().unwrap();
    run.runtaskhashes.insert("p:do_a".into(), "12".into());
    run.file_checksum_values[0].1 = Some("bb".into());
    let mut asked = Vec::new();
    let mut recurse = |task: &str, old: &str, new: &str| {
        asked.push(format!("{task} {old} {new}"));
        None
    };
    assert_eq!(
        compare_sigfiles(&b, &c, Some(&mut recurse), Colors::new(false), false),
        [
            "Variable Y value changed:\n\"some [-new-] {+old+} words {+ here+}\"",
            "Checksum for file ./f changed from aa to bb",
            "runtaskdeps changed:",
            "p:do_a with hash 11\n changed to\np:do_a with hash 12",
            "Hash for task dependency p:do_a changed from 11 to 12"
        ]
    );
    assert_eq!(asked, ["p:do_a 11 12"]);
    let mut d = c.clone();
    d.varvals.insert("Y".into(), VarVal::Str("1\n2\n3\n4\n5\nx".into()));
    let mut e = c.clone();
    e.varvals.insert("Y".into(), VarVal::Str("1\n2\n3\n4\n5\ny".into()));
    assert_eq!(
        compare_sigfiles(&d, &e, None, Colors::default(), true),
        ["Variable Y value changed:\n@@ -3,4 +3,4 @@\n 3\n 4\n 5\n-x\n+y"]
    );
}

#[test]
fn a_file_with_the_same_text_only_becomes_new() {
    use crate::sigdata::write_file;
    use std::fs;
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("made/x.sigdata.1");
    let text = format!("{{\"a\": \"{}\"}}", "word ".repeat(500));
    write_file(&path, &text).unwrap();
    let old = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000);
    // Is it the same file still, and is its text what it is to be?
    let written = |text: &str| {
        fs::File::options().write(true).open(&path).unwrap().set_modified(old).unwrap();
        let before = fs::metadata(&path).unwrap();
        write_file(&path, text).unwrap();
        let after = fs::metadata(&path).unwrap();
        assert!(after.modified().unwrap() > old && after.permissions().mode() & 0o777 == 0o664);
        assert_eq!(zstd::decode_all(&fs::read(&path).unwrap()[..]).unwrap(), text.as_bytes());
        before.ino() == after.ino()
    };
    assert!(written(&text));
    // Compressed by another program, in another way.
    fs::write(&path, zstd::encode_all(text.as_bytes(), 19).unwrap()).unwrap();
    assert!(written(&text));
    // Another text, longer, shorter, as long; a file that is none.
    let other = text.replacen("word", "work", 1);
    for text in [&format!("{text} "), &text, &other, &text[..40].to_string()] {
        assert!(!written(text), "{}", text.len());
    }
    fs::write(&path, "no such file").unwrap();
    assert!(!written(&text));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    assert!(!written(&text));
}

#[test]
fn checksums_of_files_and_folders() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let top = folder.path().to_str().unwrap();
    std::fs::create_dir_all(at("d/.git")).unwrap();
    std::fs::create_dir_all(at("d/sub")).unwrap();
    for (name, text) in [("one", "1"), ("d/.git/x", "x"), ("d/sub/two", "2"), ("d/three", "3")] {
        std::fs::write(at(name), text).unwrap();
    }
    std::os::unix::fs::symlink("sub", at("d/link")).unwrap();
    let mut sums = FileChecksums::default();
    let list = format!("{top}/one:True {top}/gone:False  {top}/d:True\n{top}/missing file:True {top}/o*:True");
    let found = sums.of_list(&list, "pn", checksum::LOCAL_DIRS_EXCLUDE).unwrap();
    let names: Vec<&str> = found.files.iter().map(|(name, _)| name.strip_prefix(top).unwrap()).collect();
    assert_eq!(names, ["/one", "/one", "/d/./sub/two", "/d/./three"]);
    assert_eq!(found.files[0].1.as_ref(), "c4ca4238a0b923820dcc509a6f75849b");
    assert_eq!(
        found.warnings,
        [format!("Unable to get checksum for pn SRC_URI entry missing file: [Errno 2] No such file or directory: '{top}/missing file'")]
    );
    let cache = at("cache/sums");
    sums.save(&cache).unwrap();
    let mut again = FileChecksums::load(&cache);
    assert_eq!(again.checksum(&at("d/../one")).unwrap(), found.files[0].1);
    std::fs::write(at("one"), "other").unwrap();
    assert_ne!(again.checksum(&at("one")).unwrap(), found.files[0].1);
    assert!(sums.of_list("/:True", "pn", "").is_err());
    assert!(sums.of_list("/x", "pn", "").is_err());
    std::fs::write(&cache, "hitzeleiter file checksums 1\n1 2 3 4 5 /x\n").unwrap();
    assert_eq!(format!("{:?}", FileChecksums::load(&cache)), format!("{:?}", FileChecksums::default()));
}

/// Anonymous code sets flags to what a variable has, also when that is nothing.
#[test]
fn a_vardeps_flag_that_is_none_names_nothing() {
    let hashes = |flag: Option<Value>| {
        let d = store();
        let info = SetInfo::default();
        d.set_var("do_x", "echo\n", &info).unwrap();
        for name in ["func", "task"] {
            d.set_flag("do_x", name, Value::Int(1), &info).unwrap();
        }
        d.set_var("__BBTASKS", Value::List(vec![Value::str("do_x")].into()), &info).unwrap();
        d.set_var("__exportlist", Value::List(Vec::new().into()), &info).unwrap();
        if let Some(flag) = flag {
            d.set_flag("do_x", "vardeps", flag, &info).unwrap();
        }
        let found = base_signatures(&d, "/x.bb", &LibrarySignatures::default(), &Rules::default()).unwrap();
        (found.basehashes["do_x"].clone(), found.taskdeps["do_x"].clone())
    };
    assert_eq!(hashes(Some(Value::None)), hashes(None));
    assert_ne!(hashes(Some(Value::str("None"))), hashes(None));
}

/// Numbers that look random, the same in each run.
struct Dice(u64);
impl Dice {
    fn throw(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) as usize % sides
    }
    fn one<'t>(&mut self, of: &[&'t str]) -> &'t str {
        of[self.throw(of.len())]
    }
}

/// A recipe of a few names that all recipes share, each with one of a few contents: nearly everything was
/// there before, in another company.
fn any_recipe(dice: &mut Dice, configuration: &mut Dice) -> (DataStore, Rules) {
    const NAMES: [&str; 8] = ["A", "B", "C", "fn1", "fn2", "do_x", "do_y", "W"];
    const TEXTS: [&str; 17] = [
        "$", "{B}", "${C}{B}", "$${B}", "${UNSET} ${B}", "c$d ${B}", "${W}/${C}${A:o}",
        "", "a", "a b", "${B} x", "${C}", "x${@bb.utils.contains('W', 'a', '1', '2', d)}", "${@d.getVar('C')}",
        "\tfn1 a\n\tfn2\n", "\tfn1 ${A}\n", "    d.getVar('A')\n    fn1(d)\n    bb.utils.contains('W', 'b a', 1, 2, d)\n",
    ];
    const FLAGS: [&str; 12] = [
        "func", "python", "vardeps", "vardepsexclude", "vardepvalue", "vardepvalueexclude", "prefuncs", "postfuncs", "exports",
        "doc", "mine", "yours",
    ];
    let d = store();
    let info = SetInfo::default();
    let set = |name: &str, value: &str| d.set_var(name, value, &info).unwrap();
    set("BB_SIGNATURE_EXCLUDE_FLAGS", configuration.one(&["doc func python vardeps", "doc func python vardeps vardepsexclude vardepvalue", ""]));
    set("BB_HASH_CODEPARSER_VALS", dice.one(&["", "A=forced"]));
    set("OVERRIDES", dice.one(&["", "o"]));
    for name in NAMES.into_iter().chain(["A:o", "W:o"]) {
        if dice.throw(6) > 0 {
            set(name, dice.one(&TEXTS));
        }
        for _ in 0..dice.throw(3) {
            let (flag, value) = (dice.one(&FLAGS), dice.one(&["1", "", "A B", "C", "${B}", "a|x"]));
            // Python is told from shell by what is in it, or it could not be scanned.
            if !matches!(flag, "func" | "python") {
                d.set_flag(name, flag, value, &info).unwrap();
            }
        }
        if dice.throw(12) == 0 {
            d.set_filter(name, Some(dice.one(&["val", "${B}"]))).unwrap();
        }
        match dice.throw(8) {
            0 => set(&format!("{name}:append"), dice.one(&[" b", "${C}"])),
            1 => set(&format!("{name}:remove"), "a"),
            2 => set(&format!("{name}:append:o"), " c"),
            _ => {}
        }
        let text = d.get_raw(name).map(|value| value.to_text()).unwrap_or_default();
        if text.contains("fn1") || dice.throw(5) == 0 {
            d.set_flag(name, "func", Value::Int(1), &info).unwrap();
            if text.contains("d.getVar") && !text.contains('$') {
                d.set_flag(name, "python", dice.one(&["1", "yes"]), &info).unwrap();
            }
        }
    }
    let exported: indexmap::IndexSet<Str> = ["A", "B"].into_iter().filter(|_| dice.throw(2) == 0).map(Str::from).collect();
    exported.iter().for_each(|name| d.set_flag(name, "export", "1", &info).unwrap());
    d.set_var("__exportlist", Value::Set(Arc::new(exported)), &info).unwrap();
    d.set_var("__BBTASKS", Value::List(Arc::new(vec!["do_x".into(), "do_y".into()])), &info).unwrap();
    let ignored = if configuration.throw(4) == 0 { vec!["C".into()] } else { vec![] };
    (d, Rules { ignored_vars: ignored.into_iter().collect(), ..Rules::default() })
}

#[test]
fn what_is_kept_between_recipes_changes_nothing() {
    let mut dice = Dice(7);
    let (mut good, mut again) = (0, 0);
    let mut met: BTreeSet<String> = BTreeSet::new();
    for round in 0..3000 {
        // What is kept holds for one configuration.
        let (d, rules) = any_recipe(&mut dice, &mut Dice(round / 100));
        let libs = LibrarySignatures::default();
        let found = base_signatures(&d, "x.bb", &libs, &rules);
        // A thread of its own has nothing kept.
        let fresh = std::thread::scope(|scope| scope.spawn(|| base_signatures(&d, "x.bb", &libs, &rules)).join().unwrap());
        match (found, fresh) {
            (Ok(found), Ok(fresh)) => {
                assert_eq!(found, fresh, "round {round}");
                good += 1;
                again += found.gendeps.iter().filter(|(name, deps)| !met.insert(format!("{name} {deps:?} {:?}", found.varvals[*name]))).count();
            }
            (found, fresh) => assert_eq!(found.map_err(|e| e.to_string()), fresh.map_err(|e| e.to_string()), "round {round}"),
        }
        // What one recipe had is forgotten now and then.
        crate::packed::with_interner(|tables| tables.finish_round());
    }
    assert!(good > 1000 && again > 3 * good, "the rounds are worth something: {good}, {again}");
}

/// What a file says of the task hash stands in the order in which it was hashed.
#[test]
fn dependencies_and_files_are_in_the_order_of_the_hash() {
    let dependencies = vec![("b:do_x", "/b.bb:do_x", "2"), ("a:do_x", "/a2.bb:do_x", "1"), ("a:do_x", "/a1.bb:do_x", "3")];
    let files: Vec<(Str, Option<Str>)> = vec![("/z/a".into(), Some("f".into())), ("/d/./m".into(), None)];
    let run = RunData::new(dependencies, &files, "h".into(), "u".into(), &Rules::default());
    assert_eq!(run.runtaskdeps, ["a:do_x", "a:do_x", "b:do_x"].map(Str::from));
    // The last of a name counts.
    assert_eq!(run.runtaskhashes, [("a:do_x".into(), "1".into()), ("b:do_x".into(), "2".into())].into());
    assert_eq!(run.file_checksum_values, [("./m".into(), None), ("a".into(), Some("f".into()))]);
    assert_eq!((&*run.taskhash, &*run.unihash), ("h", "u"));
}
