//! What the scans answer, habits included. The expectations were taken from the reference.

use super::*;

fn commands(text: &str) -> Vec<String> {
    shell(text).unwrap().execs.iter().map(|s| s.to_string()).collect()
}

#[test]
fn commands_of_every_construct() {
    assert_eq!(commands("a b; c && d || e | f\n! g"), ["a", "c", "d", "e", "f", "g"]);
    assert_eq!(commands("if a; then b; elif c; then d; else e; fi >f"), ["a", "b", "c", "d", "e"]);
    assert_eq!(commands("for x in a $(b) c; do d; done\nwhile e; do f; done\nuntil g\ndo h; done"), ["b", "d", "e", "f", "g", "h"]);
    assert_eq!(commands("case $x in a|$(b)) c;; (d) e\n;; *) f; esac"), ["b", "c", "e", "f"]);
    assert_eq!(commands("f() { a; }\nf; g() ( b )\n{ c; } 2>&1; ( d )"), ["a", "b", "c", "d"]);
    assert_eq!(commands("cat <<A >x; a\nb\nA\nc <<'B' <<-C\nd\nB\n\te\n\tC\ng"), ["a", "c", "cat", "g"]);
    assert_eq!(commands(""), [""; 0]);
    assert_eq!(commands("\n# only a comment\n#"), [""; 0]);
}

#[test]
fn substitutions_where_the_reference_looks() {
    assert_eq!(commands("a \"b $(c)\" `d` ${e:-$(f)} '$(g)'"), ["a", "c", "d"]);
    assert_eq!(commands("x=$(a) b c"), ["a"]);
    assert_eq!(commands("x=1 y=2 b=3 c d\n"), ["c"]);
    assert_eq!(commands("x=$(a)"), ["a"]);
    // The word after a command word that was taken out is not searched.
    assert_eq!(commands("$(a) $(b) $(c)\n"), ["a", "c"]);
    assert_eq!(commands("eval a '$(b)' \"$(c)\"\n"), ["a", "c"]);
    assert_eq!(commands("$cmd a; \"$cmd\" b\n"), ["\"$cmd\""]);
}

#[test]
fn refusals() {
    for text in [
        "a $((1+1))", "for x; do a; done", "f() { a; } >b", "{ a & }", "echo while", "a (b", "echo foo$ bar", "cat <<E\nE\n",
        "cat <<E", "if a; then fi", "a ;; b", "echo \"x", "a; ; ; b", "case x\nin esac", "a &;", "a # b", "cat <<E x\n",
    ] {
        let error = shell(text).unwrap_err();
        if text.contains("foo$") {
            // The words of a script that was read are looked into without a message.
            assert_eq!(raised(&error).logged, None);
            continue;
        }
        assert!(error.message.starts_with("Error during parse shell code, the last 5 lines are:\n"), "{text}");
        assert!(error.message.ends_with(text.rsplit('\n').next().unwrap()), "{text}: {}", error.message);
    }
    let what = |text| {
        let raised = raised(&shell(text).unwrap_err());
        (raised.class.rsplit('.').next().unwrap().to_string(), raised.message)
    };
    let pair = |class: &str, message: &str| (class.to_string(), message.to_string());
    assert_eq!(what("a $((1+1))"), pair("NotImplementedError", "$(("));
    assert_eq!(what("echo \"x"), pair("NeedMore", ""));
    assert_eq!(what("if a"), pair("ShellSyntaxError", "Unexpected EOF"));
    let class = |text| raised(&python(text).unwrap_err()).class;
    assert_eq!(class("if d:\n    #\n"), "IndentationError");
    assert_eq!(class("a = 1\n  b = 2\n"), "IndentationError");
    assert_eq!(class("a = = 1\n"), "SyntaxError");
    assert_eq!(what("echo foo$ bar"), pair("ShellSyntaxError", "Invalid token \"%s\""));
    let shown = "LexToken(Rbrace,'}',0,0)\nfollowed by:\n  LexToken(COMMA,';',0,0)\n  LexToken(TOKEN,'b',0,0)\n  LexToken(NEWLINE,'\\n',0,0)\n";
    assert_eq!(what("a } ; b\n").1, shown);
    // Wider than POSIX at the outermost level.
    assert_eq!(commands("a b { c; } (d) while e; do f; done"), ["a", "c", "d", "e", "f"]);
    let deep = "(".repeat(100_000);
    assert!(shell(&deep).is_err());
    assert!(shell(&"$(".repeat(100_000)).is_err());
}

fn names(set: &BTreeSet<Str>) -> Vec<&str> {
    set.iter().map(|s| &**s).collect()
}

#[test]
fn python_calls_are_seen() {
    let refs = python(
        "    if d.getVar('A') and e.data.getVarFlag('B', 'f'):\n        d.setVar('C', d.expand('${D}'))\n        bb.build.exec_func('E', d)\n        foo.bar(baz())\n    d.appendVar('F' 'G', f\"{oe.utils.conditional('H', 'x', 1, 2, d)}\")\n    x().getVar('no')\n",
    )
    .unwrap();
    assert_eq!(names(&refs.references), ["A", "B[f]", "FG", "H"]);
    assert_eq!(names(&refs.execs), ["E", "baz", "d.setVar", "foo.bar", "x"]);
    assert_eq!(names(&refs.expands), ["${D}"]);
    let refs = python("bb.utils.contains('A', 'x y', '', '', d) + bb.utils.filter('A', 'x z', d) + bb.utils.contains_any('B', v, 1, 2, d)").unwrap();
    assert_eq!(names(&refs.contains["A"]), ["x", "x y", "z"]);
    assert_eq!(names(&refs.references), ["B"]);
    let refs = python("d.getVar(x + 1)").unwrap();
    assert_eq!(refs.computed, [("d.getVar".into(), "x + 1".into())]);
    assert!(python("d.getVar()").is_err());
    assert!(python("1 +").is_err());
    assert_eq!(python("'x").unwrap_err().message, "unterminated string literal (detected at line 1)");
    assert!(python("  \n").unwrap().references.is_empty());
    assert!(python("\n\n  a()\n").unwrap().execs.contains("a"));
}

#[test]
fn library_functions() {
    let source = "@bb.parse.vardeps('A', 'B')\n@bb.parse.vardepsexclude('C')\ndef f(d):\n    d.getVar('C'); g(); h.g()\n";
    let refs = library_function("oe.x", source, &|name| name == "g", &|_| true).unwrap();
    assert_eq!(names(&refs.references), ["A", "B"]);
    assert_eq!(names(&refs.execs), ["bb.parse.vardeps", "bb.parse.vardepsexclude", "h.g", "oe.x.g"]);
    assert_eq!(visitors_of_module("def a(): pass\na.visitorcode = b\nx = 1").unwrap(), [("a".into(), "b".into())]);
}

#[test]
fn a_visitor_replaces_the_visit() {
    let visitor: Visitor = Arc::new(|call| {
        let mut found = VisitorFound::default();
        match &call.args[0].literal {
            Some(text) => drop(found.contains.insert("V".into(), BTreeSet::from([text.clone()]))),
            None => found.warn = Some(call.args[0].source.clone()),
        }
        Ok(found)
    });
    set_visitor("test.visited", "1", visitor);
    // The deeper call comes later and wins.
    let refs = python("if test.visited(x, 1):\n    test.visited('b')\ntest.visited('a')").unwrap();
    assert_eq!(names(&refs.contains["V"]), ["b"]);
    assert!(refs.execs.is_empty());
    assert_eq!(refs.computed.len(), 1);
}

#[test]
fn results_survive_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("deep/cache");
    python("getVar_of_a_file(d.getVar('CACHED'), bb.utils.contains('X', 'y', 1, 2, d))").unwrap();
    shell("cached_command $x").unwrap();
    save_cache(&path).unwrap();
    assert!(load_cache(&path));
    std::fs::write(&path, b"hz-codeparser-01 nonsense").unwrap();
    assert!(!load_cache(&path));
    assert!(!load_cache(folder.path()));
    let refs = python::scan("a(d.getVar('X'), d.getVar(y), d.expand('${Z}'))").unwrap();
    assert!(cache::round_trip(&refs, &shell::scan("a; $b").unwrap()));
}
