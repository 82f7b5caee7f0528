//! Runs a script of store operations from standard input and prints what every read gives, one
//! line each: to be compared with the same script run by another implementation. With `bench` as
//! argument: nanoseconds per read, expansion, write and copy.
//!
//! A line is an operation and its arguments, separated by tabs; `\n` and `\t` stand for the characters.

use hz_data::*;
use std::io::Read as _;
use std::sync::{Arc, Mutex};
use std::time::Instant;

/// Understands `'text'`, numbers, `d.getVar('X')`, `d.setVar('X', 'Y')`, `bb.utils.contains(…)`,
/// joined by `+` and `or`.
#[derive(Default)]
struct Mini(Mutex<Vec<String>>);

fn py(class: &str, message: String) -> RuntimeError {
    RuntimeError::Python(Box::new(PythonError { class: class.into(), message, ..PythonError::default() }))
}
fn back(error: DataError) -> RuntimeError {
    match error {
        DataError::Runtime(error) => error,
        other => py("bb.data_smart.ExpansionError", other.to_string()),
    }
}
fn split<'a>(text: &'a str, by: &str) -> Vec<&'a str> {
    let (mut parts, mut from, mut quoted, mut depth) = (Vec::new(), 0, false, 0);
    let mut i = 0;
    while i < text.len() {
        let c = text.as_bytes()[i];
        match c {
            b'\'' => quoted = !quoted,
            b'(' if !quoted => depth += 1,
            b')' if !quoted => depth -= 1,
            _ => {}
        }
        if !quoted && depth == 0 && text.is_char_boundary(i) && text[i..].starts_with(by) {
            parts.push(&text[from..i]);
            i += by.len();
            from = i;
            continue;
        }
        i += 1;
    }
    parts.push(&text[from..]);
    parts
}
fn literal(text: &str) -> &str {
    text.trim().trim_matches('\'')
}

fn eval(store: &DataStore, expr: &str) -> Result<Value, RuntimeError> {
    let expr = expr.trim();
    let ors = split(expr, " or ");
    if ors.len() > 1 {
        let mut last = Value::None;
        for part in ors {
            last = eval(store, part)?;
            if last.is_true() {
                break;
            }
        }
        return Ok(last);
    }
    let sums = split(expr, "+");
    if sums.len() > 1 {
        let mut text = String::new();
        for part in sums {
            match eval(store, part)? {
                Value::Str(s) => text.push_str(&s),
                _ => return Err(py("TypeError", "can only concatenate str (not \"NoneType\") to str".into())),
            }
        }
        return Ok(text.into());
    }
    if let Some(rest) = expr.strip_prefix("d.getVar(") {
        let args = split(rest.trim_end_matches(')'), ",");
        let read = if args.len() > 1 { RAW } else { Read::default() };
        return Ok(store.get_var(literal(args[0]), read).map_err(back)?.unwrap_or(Value::None));
    }
    if let Some(rest) = expr.strip_prefix("d.setVar(") {
        let args = split(rest.trim_end_matches(')'), ",");
        store.set_var(literal(args[0]), literal(args[1]), &SetInfo::default()).map_err(back)?;
        return Ok(Value::None);
    }
    if let Some(rest) = expr.strip_prefix("bb.utils.contains(") {
        let args = split(rest.trim_end_matches(')'), ",");
        let value = store.get_or_empty(literal(args[0])).map_err(back)?;
        let all = value.split_whitespace().collect::<Vec<_>>();
        let hit = !value.is_empty() && literal(args[1]).split_whitespace().all(|w| all.contains(&w));
        return Ok(literal(args[if hit { 2 } else { 3 }]).into());
    }
    if expr.starts_with('\'') {
        if expr.len() < 2 || expr.matches('\'').count() % 2 == 1 {
            return Err(py("SyntaxError", "unterminated string literal (detected at line 1) (x, line 1)".into()));
        }
        return Ok(literal(expr).into());
    }
    if let Ok(number) = expr.parse::<i64>() {
        return Ok(Value::Int(number));
    }
    Err(py("NameError", format!("name '{expr}' is not defined")))
}

impl Runtime for Mini {
    fn eval_inline(&self, store: &DataStore, expr: &str, _: Option<&str>) -> Result<Value, RuntimeError> {
        eval(store, expr)
    }
    fn apply_filter(&self, _: &DataStore, _: &str, value: &str, expr: &str) -> Result<Value, RuntimeError> {
        let suffix = literal(expr.trim_start_matches("suffix(val,").trim_end_matches(')'));
        Ok(value.split_whitespace().map(|w| format!("{w}{suffix}")).collect::<Vec<_>>().join(" ").into())
    }
    fn log(&self, level: u32, _: &str, message: &str) {
        self.0.lock().unwrap().push(format!("LOG {level} {message}"));
    }
}

fn show(value: Result<Option<Value>>) -> String {
    match value {
        Ok(None) => "None".into(),
        Ok(Some(value)) => value.repr(),
        Err(error) => failed(error),
    }
}
fn failed(error: DataError) -> String {
    let text = error.to_string();
    if text.contains("recursion") || text.contains("itself") {
        return "ERR recursion".into();
    }
    format!("ERR {} {}", error.class_name(), python_repr(&text))
}
fn set<'a>(items: impl Iterator<Item = &'a hz_diagnostics::Str>) -> String {
    let mut items: Vec<String> = items.map(|s| python_repr(s)).collect();
    items.sort();
    format!("[{}]", items.join(", "))
}

fn run(script: &str) {
    let runtime = Arc::new(Mini::default());
    let mut d = DataStore::new(runtime.clone());
    let mut stores = vec![d.clone()];
    for (number, line) in script.lines().enumerate() {
        let args: Vec<String> = line.split('\t').map(|a| a.replace("\\n", "\n").replace("\\t", "\t")).collect();
        let a: Vec<&str> = args.iter().map(String::as_str).collect();
        let place = SetInfo { file: Some("/x/f.conf".into()), line: number as u32 + 1, ..SetInfo::default() };
        let parsing = SetInfo { parsing: true, ..place.clone() };
        let out = match a[0] {
            "new" => {
                d = DataStore::new(runtime.clone());
                stores = vec![d.clone()];
                continue;
            }
            "track" => {
                d.enable_tracking();
                continue;
            }
            "copy" => {
                d = d.create_copy();
                stores.push(d.clone());
                continue;
            }
            "use" => {
                d = stores[a[1].parse::<usize>().unwrap() % stores.len()].clone();
                continue;
            }
            "set" => d.set_var(a[1], a[2], &place).map(|_| String::new()).unwrap_or_else(failed),
            "pset" => d.set_var(a[1], a[2], &parsing).map(|_| String::new()).unwrap_or_else(failed),
            "seti" => d.set_var(a[1], a[2].parse::<i64>().unwrap(), &place).map(|_| String::new()).unwrap_or_else(failed),
            "append" => d.append_var(a[1], a[2], &place).map(|_| String::new()).unwrap_or_else(failed),
            "prepend" => d.prepend_var(a[1], a[2], &place).map(|_| String::new()).unwrap_or_else(failed),
            "flag" => d.set_flag(a[1], a[2], a[3], &place).map(|_| String::new()).unwrap_or_else(failed),
            "appflag" => d.append_flag(a[1], a[2], a[3], &place).map(|_| String::new()).unwrap_or_else(failed),
            "preflag" => d.prepend_flag(a[1], a[2], a[3], &place).map(|_| String::new()).unwrap_or_else(failed),
            "delflag" => d.del_flag(a[1], a[2], &place).map(|_| String::new()).unwrap_or_else(failed),
            "delflags" => d.del_flags(a[1], &place).map(|_| String::new()).unwrap_or_else(failed),
            "del" => d.del_var(a[1], &place).map(|_| String::new()).unwrap_or_else(failed),
            "rename" => d.rename_var(a[1], a[2], &place).map(|_| String::new()).unwrap_or_else(failed),
            "filter" => d.set_filter(a[1], Some(a[2])).map(|_| String::new()).unwrap_or_else(failed),
            "expandkeys" => d.expand_keys().map(|_| String::new()).unwrap_or_else(failed),
            "get" => show(d.get_var(a[1], Read::default())),
            "raw" => show(d.get_var(a[1], RAW)),
            "noweak" => show(d.get_var(a[1], Read { noweakdefault: true, parsing: true, expand: false })),
            "getflag" => show(d.get_flag(a[1], a[2], Read::default())),
            "expand" => d.expand(a[1], None).map(|s| python_repr(&s)).unwrap_or_else(failed),
            "flags" => match d.get_flags(a[1], Some(&["x"]), a[2] == "1") {
                Ok(None) => "None".into(),
                Ok(Some(mut flags)) => {
                    flags.sort_unstable_keys();
                    Value::Map(Arc::new(flags)).repr()
                }
                Err(error) => failed(error),
            },
            "refs" => match d.read_with_refs(a[1], a[2]) {
                Ok(e) => format!(
                    "{} {} refs={} execs={} contains={} removes={}",
                    e.unexpanded.map_or("None".into(), |v| v.repr()),
                    e.value.map_or("None".into(), |v| v.repr()),
                    set(e.references.iter()),
                    set(e.execs.iter()),
                    e.contains.iter().map(|(k, v)| format!("{k}:{}", set(v.iter()))).collect::<Vec<_>>().join(";"),
                    set(e.removes.iter()),
                ),
                Err(error) => failed(error),
            },
            "keys" => set(d.keys().unwrap_or_default().iter()),
            "has" => format!("{} {}", d.has_overrides(a[1]), d.contains(a[1])),
            "overrides" => d.overrides().map(|o| o.join(":")).unwrap_or_else(failed),
            "history" => {
                let mut text = Vec::new();
                d.history_emit(a[1], d.get_raw(a[1]).as_ref(), &mut text).unwrap();
                python_repr(&String::from_utf8(text).unwrap())
            }
            "emit" => {
                let mut text = Vec::new();
                match emit::emit_env(&mut text, &d, a[1] == "1") {
                    Ok(()) => python_repr(&String::from_utf8(text).unwrap()),
                    Err(error) => failed(error),
                }
            }
            "emitfunc" => {
                let mut text = Vec::new();
                match emit::emit_func(a[1], &mut text, &d) {
                    Ok(()) => python_repr(&String::from_utf8(text).unwrap()),
                    Err(error) => failed(error),
                }
            }
            other => panic!("{other}?"),
        };
        let out = if out.contains("recursion") || out.contains("itself") { "ERR recursion".to_string() } else { out };
        for message in runtime.0.lock().unwrap().drain(..) {
            println!("{}: {}", number + 1, python_repr(&message));
        }
        if !out.is_empty() {
            println!("{}: {} -> {out}", number + 1, a.join(" ").replace('\n', "\\n"));
        }
    }
}

fn bench() {
    fn time(name: &str, count: u32, mut work: impl FnMut(u32)) {
        let start = Instant::now();
        for i in 0..count {
            work(i);
        }
        println!("{name:>32} {:>8.1} ns", start.elapsed().as_nanos() as f64 / f64::from(count));
    }
    let d = DataStore::new(Arc::new(Mini::default()));
    let info = SetInfo { parsing: true, ..SetInfo::default() };
    let names: Vec<String> = (0..2500).map(|i| format!("SOME_VARIABLE_{i}")).collect();
    d.set_var("OVERRIDES", "a:b:c:${SOME_VARIABLE_1}", &info).unwrap();
    for (i, name) in names.iter().enumerate() {
        let value = if i % 2 == 0 || i == 1 { format!("plain {i}") } else { format!("x ${{{}}} y ${{{}}}", names[i - 1], names[i / 4 * 2]) };
        d.set_var(name, value, &info).unwrap();
        d.set_flag(name, "doc", "text", &info).unwrap();
    }
    time("plain get", 5_000_000, |i| {
        d.get(&names[(i as usize * 2) % 2500]).unwrap();
    });
    time("missing get", 5_000_000, |_| {
        d.get("MISSING_VARIABLE").unwrap();
    });
    time("cached expanded get", 5_000_000, |i| {
        d.get(&names[(i as usize * 2 + 1) % 2500]).unwrap();
    });
    time("get after write, two variables", 1_000_000, |i| {
        d.set_var("X", "1", &info).unwrap();
        d.get(&names[(i as usize * 2 + 1) % 2500]).unwrap();
    });
    time("set", 2_000_000, |i| d.set_var(&names[i as usize % 2500], "plain", &info).unwrap());
    time("flag", 5_000_000, |i| {
        d.flag_text(&names[i as usize % 2500], "doc").unwrap();
    });
    time("copy and drop", 100_000, |_| {
        d.create_copy();
    });
    time("copy, 10 writes, drop", 50_000, |i| {
        let copy = d.create_copy();
        for j in 0..10 {
            copy.set_var(&names[(i as usize * 10 + j) % 2500], "other", &info).unwrap();
        }
    });
    time("keys", 1000, |_| {
        let _ = d.keys();
    });
}

fn main() {
    if std::env::args().nth(1).as_deref() == Some("bench") {
        return bench();
    }
    let mut script = String::new();
    std::io::stdin().read_to_string(&mut script).expect("script on standard input");
    run(&script);
}
