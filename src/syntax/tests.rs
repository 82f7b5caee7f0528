//! The corpus in `test_data`: files the reference accepts, with its statement list, and files it
//! rejects, with its message. Plus the properties that hold for every text.

use super::*;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

fn corpus(kind: &str) -> Vec<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("test_data").join(kind);
    let mut files: Vec<PathBuf> = std::fs::read_dir(dir)
        .unwrap()
        .map(|e| e.unwrap().path())
        .filter(|p| p.extension().is_some_and(|e| e != "expected"))
        .collect();
    files.sort();
    files
}

fn read(path: &Path) -> (String, Parsed) {
    let name = path.file_name().unwrap().to_str().unwrap();
    let text = std::fs::read_to_string(path).unwrap();
    let grammar = Grammar::of(name).unwrap_or(Grammar::Recipe);
    let options = Options { file: name, grammar, baseconfig: true };
    let parsed = parse(&text, options);
    assert_eq!(tree(&text, options).text().to_string(), text, "{name}: the tree is lossless");
    (text, parsed)
}

fn check(path: &Path, got: &str) {
    let expected = PathBuf::from(format!("{}.expected", path.display()));
    if std::env::var_os("UPDATE_EXPECTED").is_some() {
        std::fs::write(&expected, got).unwrap();
    }
    let want = std::fs::read_to_string(&expected).unwrap_or_default();
    assert_eq!(got, want, "{}", path.display());
}

#[test]
fn a_backslash_alone_begins_no_continued_line() {
    let options = Options { file: "x.bb", grammar: Grammar::Recipe, baseconfig: false };
    let parsed = parse("A = \"1\"\n\\\nB = \"2\"\n", options);
    assert_eq!(parsed.error().unwrap().diagnostic.place.as_ref().unwrap().line, 2);
    // At the end of the file nothing follows.
    assert!(parse("\\\n", options).error().is_none_or(|e| e.diagnostic.message.contains("Unparsed lines")));
}

#[test]
fn accepted_files() {
    let files = corpus("ok");
    assert!(!files.is_empty());
    for path in files {
        let (_, parsed) = read(&path);
        assert_eq!(parsed.error().map(|e| e.diagnostic.message.clone()), None, "{}", path.display());
        let mut got = dump(&parsed);
        for w in &parsed.warnings {
            writeln!(got, "warning\t{}", w.message).unwrap();
        }
        check(&path, &got);
    }
}

#[test]
fn rejected_files() {
    let files = corpus("err");
    assert!(!files.is_empty());
    for path in files {
        let (_, parsed) = read(&path);
        let diagnostic = match (parsed.error(), &parsed.unclosed) {
            (Some(e), _) => e.diagnostic.clone(),
            (None, Some(d)) => d.clone(),
            (None, None) => panic!("{} is accepted", path.display()),
        };
        check(&path, &format!("{}\n", diagnostic.message));
    }
}

fn parse_as(file: &str, text: &str) -> Parsed {
    parse(text, Options { file, grammar: Grammar::of(file).unwrap(), baseconfig: false })
}

#[test]
fn grammars_differ() {
    assert!(parse_as("a.conf", "inherit x\n").error().is_some());
    assert!(parse_as("a.bb", "inherit x\n").error().is_none());
    assert!(parse_as("a.bb", "addpylib a b\n").error().is_some());
    assert!(parse_as("a.conf", "addpylib a b\n").error().is_some(), "only in the base configuration");
    assert_eq!(Grammar::of("x.bbappend"), None);
    assert_eq!(Grammar::of("x.txt"), None);
}

#[test]
fn line_ends_of_all_kinds_count() {
    let parsed = parse_as("a.bb", "A = \"1\"\r\nB = \"2\"\rC = \"3\"\n");
    assert_eq!(parsed.statements.iter().map(|s| s.line).collect::<Vec<_>>(), [1, 2, 3]);
}

#[test]
fn def_at_the_end_of_a_file_without_line_end() {
    let parsed = parse_as("a.bb", "A = \"1\"\ndef f(d):\n    return 1");
    let StatementKind::Def(def) = &parsed.statements[1].kind else { panic!() };
    assert_eq!((&*def.text, def.line_before, parsed.statements[1].line), ("def f(d):\n    return 1", 1, 4));
}

#[test]
fn the_tree_of_any_text_is_lossless() {
    // Random texts from the pieces that mean something to the reader.
    let pieces = [
        "A", " ", "=", "\"", "'", "\\\n", "\n", "\r\n", "#", "def f(d):\n", "python x() {\n", "}\n", "    pass\n",
        "inherit", "include", "${", "}", "[", "]", ":append", "ü", "\t", "\\", "+", ".", "?", "unset ", "addtask a\n",
    ];
    let mut state = 1u64;
    for _ in 0..4000 {
        let mut text = String::new();
        for _ in 0..(state % 40) {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            text.push_str(pieces[(state >> 33) as usize % pieces.len()]);
        }
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        for file in ["x.conf", "x.bbclass"] {
            let options = Options { file, grammar: Grammar::of(file).unwrap(), baseconfig: true };
            assert_eq!(tree(&text, options).text().to_string(), text);
        }
    }
}

#[test]
fn views() {
    let text = "# c\nexport FOO[x] = \"a\"\npython do_x () {\n}\n";
    let options = Options { file: "x.bb", grammar: Grammar::Recipe, baseconfig: false };
    let file = SourceFile::cast(tree(text, options)).unwrap();
    let names: Vec<_> = file.statements().map(|s| (s.kind(), s.name().map(|n| n.text().to_string()))).collect();
    assert_eq!(
        names,
        [(SyntaxKind::Assignment, Some("FOO".to_string())), (SyntaxKind::Function, Some("do_x".to_string()))]
    );
    assert_eq!(file.statements().next().unwrap().operator().unwrap().text(), "=");
}
