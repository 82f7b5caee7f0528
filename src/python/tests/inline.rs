//! The native evaluator of inline expressions against the VM: whatever it answers, the VM answers
//! the same. One test function: the VM belongs to one thread.

use hz_data::{DataStore, SetInfo};

const EXPRESSIONS: &[&str] = &[
    "d.getVar('PN')",
    "d.getVar(\"PN\", True)",
    "d.getVar('RAW', False)",
    "d.getVar('RAW', expand=False)",
    "d.getVar('NONE') or ''",
    "d.getVar('NONE') or d.getVar('PN') or 'x'",
    "d.getVar('NONE') and 'x'",
    "d.getVarFlag('PN', 'doc')",
    "d.getVarFlag('PN', 'doc') or 'none'",
    "d.getVarFlag('FLAGGED', 'count', False)",
    "bb.utils.contains('LIST', 'b', 'yes', 'no', d)",
    "bb.utils.contains('LIST', 'b z', 'yes', 'no', d)",
    "bb.utils.contains('LIST', ['a', 'b'], 'yes', 'no', d)",
    "bb.utils.contains('LIST', '', 'yes', 'no', d)",
    "bb.utils.contains('NONE', 'b', 'yes', 'no', d)",
    "bb.utils.contains('EMPTY', '', True, False, d)",
    "bb.utils.contains('LIST', 'a', d.getVar('PN'), '', d)",
    "bb.utils.contains_any('LIST', 'z b', 'yes', 'no', d)",
    "bb.utils.contains_any('LIST', 'z', 'yes', 'no', d)",
    "bb.utils.contains_any('LIST', ['z', 'c'], 'yes', 'no', d)",
    "bb.utils.filter('LIST', 'c z a', d)",
    "bb.utils.filter('LIST', ['c', 'z'], d)",
    "bb.utils.filter('NONE', 'c', d)",
    "bb.utils.to_boolean('YES')",
    "bb.utils.to_boolean(d.getVar('NONE'))",
    "bb.utils.to_boolean(d.getVar('NONE'), True)",
    "bb.utils.to_boolean('0', 'x')",
    "bb.utils.to_boolean('maybe')",
    "bb.utils.to_boolean(2)",
    "bb.parse.vars_from_file(d.getVar('FILE', False),d)[0] or 'defaultpkgname'",
    "bb.parse.vars_from_file('/a/b_1.0_r2.bb', d)[2]",
    "bb.parse.vars_from_file('/a/b_1.0_r2.bb', d)",
    "bb.parse.vars_from_file('/a/b.conf', d)",
    "bb.parse.vars_from_file(None, d)[1] or '1.0'",
    "bb.parse.vars_from_file('a_b_c_d.bb', d)[0]",
    "bb.parse.vars_from_file('.bb', d)",
    "'yes' if d.getVar('PN') == 'tool' else 'no'",
    "'yes' if d.getVar('PN') != 'tool' else 'no'",
    "['no', 'yes'][d.getVar('PN') == 'tool']",
    "('no', 'yes')['b' in d.getVar('LIST').split()]",
    "['a', 'b'][d.getVar('NONE') is None]",
    "'x' not in d.getVar('LIST')",
    "d.getVar('LIST').split()",
    "d.getVar('LIST').split()[0]",
    "d.getVar('LIST').split()[-1]",
    "d.getVar('LIST').split()[7]",
    "d.getVar('LIST').split(' ')",
    "d.getVar('PV').split('.')[0]",
    "'.'.join(d.getVar('PV').split('.')[0:2])",
    "d.getVar('PV').rsplit('.', 1)[0]",
    "d.getVar('PV').split('.', 1)",
    "d.getVar('PV').rsplit('.')",
    "d.getVar('PV').split('')",
    "d.getVar('PN').replace('o', '0')",
    "d.getVar('PN').replace('', '-')",
    "d.getVar('PN').upper().lower()",
    "d.getVar('PN').startswith('to')",
    "d.getVar('PN').endswith(('x', 'ol'))",
    "d.getVar('SPACE').strip()",
    "d.getVar('SPACE').lstrip() + '|'",
    "d.getVar('SPACE').rstrip() + '|'",
    "d.getVar('PN').strip('tl')",
    "d.getVar('PN').find('o')",
    "d.getVar('PN').find('zz')",
    "d.getVar('PN')[1]",
    "d.getVar('PN')[1:]",
    "d.getVar('PN')[:-1]",
    "d.getVar('PN')[-2:9]",
    "d.getVar('PN')[3:1]",
    "d.getVar('PN') + '-' + d.getVar('PV')",
    "'%s-%s' % (d.getVar('PN'), d.getVar('PV'))",
    "'%s' % d.getVar('PN')",
    "'%d%%' % 5",
    "'%s' % None",
    "'%s %s' % ('a',)",
    "'%05d' % 3",
    "'a' + 1",
    "f\"{d.getVar('PN')}_{1 + 1}\"",
    "f'{1:>3}'",
    "int(d.getVar('NUMBER')) + 1",
    "int('x')",
    "int(' -7 ')",
    "int('1_000')",
    "str(5)",
    "len(d.getVar('LIST').split())",
    "len(d.getVar('NONE'))",
    "bool(d.getVar('EMPTY'))",
    "not d.getVar('PN')",
    "-int('3')",
    "1 < 2 < 3",
    "1 < 2 > 5",
    "'a' < 'b'",
    "'a' < 1",
    "True == 1",
    "'1' == 1",
    "None",
    "True",
    "(1,)",
    "[None, 'a', \"it's\", True, 3]",
    "'a' in ['a', 'b']",
    "1 in (True, 2)",
    "None is not None",
    "os.path.basename('/a/b/c')",
    "os.path.basename('/a/b/')",
    "os.path.normpath('/a//b/./c/..')",
    "os.path.normpath('/../a/')",
    "os.path.normpath('//a/../..')",
    "os.path.normpath('///a')",
    "os.path.normpath('a/../../b/../..')",
    "os.path.normpath('')",
    "os.path.normpath('./.')",
    "os.path.normpath(d.getVar('NONE'))",
    "os.path.dirname('/a/b/c')",
    "os.path.dirname('//')",
    "os.path.dirname('c')",
    "'héé'.upper()",
    "'é' + d.getVar('UNICODE')[1:]",
    "['é']",
    "','.join(x for x in d.getVar('LIST').split())",
    "' '.join(sorted(d.getVar('LIST').split()))",
    "[x for x in (d.getVar('LIST') or '').split() if x != 'a']",
    "(lambda: d.getVar('PN'))()",
    "any(x == 'a' for x in d.getVar('LIST').split())",
    "PN",
    "PN + PV",
    "NOSUCH",
    "d.getVar('BROKEN')",
    "d.getVar('BROKEN') or 'x'",
    "1 +",
    "d.getVar('LISTVALUE')",
    "d.getVar('LISTVALUE')[0]",
    "oe",
    "time.sleep(0)",
    "bb.__version__",
    "d.expand('${PN}-x')",
    "{'a': 'b'}.get('a', '')",
];

#[test]
fn the_evaluator_agrees_with_the_vm() {
    let store = DataStore::new(hz_python::shared());
    let info = SetInfo { ignore: true, ..SetInfo::default() };
    for (name, value) in [
        ("PN", "tool"),
        ("PV", "1.22.3"),
        ("RAW", "${PN}"),
        ("LIST", "a b  c"),
        ("EMPTY", ""),
        ("SPACE", " \t x \n"),
        ("NUMBER", "41"),
        ("FILE", "/layer/tool_1.0.bb"),
        ("UNICODE", "äöü"),
        ("BROKEN", "${@1/0}"),
    ] {
        store.set_var(name, value, &info).unwrap();
    }
    store.set_flag("PN", "doc", "a name", &info).unwrap();
    store.set_flag("FLAGGED", "count", hz_data::Value::Int(3), &info).unwrap();
    store.set_var("LISTVALUE", hz_data::Value::List(std::sync::Arc::new(vec!["x".into()])), &info).unwrap();
    let mut native = 0;
    for text in EXPRESSIONS {
        let vm = hz_python::inline::eval_in_vm(&store, text, Some("X"));
        native += usize::from(hz_python::inline::eval_natively(&store, text).is_some());
        let both = hz_python::inline::eval(&store, text, Some("X")).map(|(value, _)| value);
        match (&both, &vm) {
            (Ok(a), Ok(b)) => assert_eq!(a.to_text(), b.to_text(), "{text}"),
            (Err(a), Err(b)) => assert_eq!(a.to_string(), b.to_string(), "{text}"),
            _ => panic!("{text}: {both:?} against {vm:?}"),
        }
    }
    // A failure that passes through many expressions costs each of them once.
    store.set_var("V0", "${BROKEN}", &info).unwrap();
    for n in 1..=60 {
        store.set_var(&format!("V{n}"), format!("${{@d.getVar('V{}')}}", n - 1), &info).unwrap();
    }
    let text = store.get("V60").unwrap_err().to_string();
    assert!(text.starts_with("Failure expanding variable BROKEN, expression was ${@1/0} which triggered exception ZeroDivisionError"), "{text}");
    assert!(text.contains("-> V0 -> V1 ->") && text.ends_with("-> V59 -> V60"), "{text}");
    store.set_var("ROUND", "${@d.getVar('AROUND')}", &info).unwrap();
    store.set_var("AROUND", "${@d.getVar('ROUND')}", &info).unwrap();
    assert!(store.get("ROUND").unwrap_err().to_string().contains("RecursionError: maximum recursion depth exceeded"));
    assert!(native > 85, "only {native} of {} evaluated natively", EXPRESSIONS.len());
}
