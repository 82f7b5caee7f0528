//! Parses the build directory it is started in with a runtime in which every inline expression is
//! empty and no function runs, and prints what the stores hold: one digest per recipe variant, or
//! all of it for recipes whose path holds an argument. `reference_stores.py` prints the same from the
//! reference, so that a difference is one of evaluation, not of Python.

use hz_data::{ClassEvent, DataStore, LibFunction, RAW, Runtime, RuntimeError, Value};
use hz_diagnostics::Str;
use hz_parse::*;
use sha2::{Digest, Sha256};
use std::sync::Arc;

struct NoPython;

impl Runtime for NoPython {
    fn eval_inline(&self, _: &DataStore, _: &str, _: Option<&str>) -> Result<Value, RuntimeError> {
        Ok(Value::str(""))
    }
    fn apply_filter(&self, _: &DataStore, _: &str, value: &str, _: &str) -> Result<Str, RuntimeError> {
        Ok(value.into())
    }
    fn define(&self, _: &str, _: &str, _: &str, _: u32) -> Result<(), RuntimeError> {
        Ok(())
    }
    fn run_anonymous(&self, _: &DataStore, _: &[Str]) -> Result<(), RuntimeError> {
        Ok(())
    }
    fn fire(&self, _: &DataStore, _: ClassEvent<'_>) -> Result<(), RuntimeError> {
        Ok(())
    }
    fn register_handler(&self, _: &DataStore, _: &str, _: &str, _: &[&str], _: &str, _: u32) -> Result<(), RuntimeError> {
        Ok(())
    }
    fn save_handlers(&self) -> Box<dyn std::any::Any + Send> {
        Box::new(())
    }
    fn restore_handlers(&self, _: Box<dyn std::any::Any + Send>) {}
    fn add_pylib(&self, _: &DataStore, _: &str, _: &str) -> Result<Vec<LibFunction>, RuntimeError> {
        Ok(Vec::new())
    }
    fn add_global_modules(&self, _: &[&str]) -> Result<(), RuntimeError> {
        Ok(())
    }
    fn log(&self, level: u32, _: &str, message: &str) {
        if level >= 30 {
            eprintln!("{level}: {message}");
        }
    }
}

/// `__depends` holds file states; only the paths count.
fn shown(name: &str, value: &Value) -> String {
    match value {
        Value::List(l) if name.ends_with("depends") && name.starts_with("__") => l
            .iter()
            .map(|v| match v {
                Value::List(pair) => pair[0].to_text().to_string(),
                v => v.to_text().to_string(),
            })
            .collect::<Vec<_>>()
            .join(" "),
        Value::Object(_) => "object".into(),
        Value::Set(s) => {
            let mut sorted: Vec<Str> = s.iter().cloned().collect();
            sorted.sort();
            Value::Set(Arc::new(sorted.into_iter().collect())).repr()
        }
        v => v.repr(),
    }
}

fn dump(store: &DataStore) -> String {
    // The reference shares this set between stores, so it shows what others exported, too.
    let mut keys: Vec<Str> = store.keys().into_iter().filter(|k| &**k != "__exportlist").collect();
    keys.sort();
    let mut out = String::new();
    for key in keys {
        if let Some(v) = store.get_var(&key, RAW).unwrap_or(Some(Value::str("error"))) {
            out.push_str(&format!("{key}\t{}\n", shown(&key, &v)));
        }
        let mut flags: Vec<_> = store.get_flags(&key, None, true).unwrap_or_default().unwrap_or_default().into_iter().collect();
        flags.sort_by(|a, b| a.0.cmp(&b.0));
        for (flag, v) in flags {
            if !flag.starts_with(':') && &*flag != "_content" {
                out.push_str(&format!("{key}[{flag}]\t{}\n", shown(&flag, &v)));
            }
        }
    }
    out
}

fn show(name: &str, store: &DataStore, all: bool) {
    let text = dump(store);
    if all {
        println!("== {name}\n{text}");
    } else {
        println!("{name} {}", hex::encode(Sha256::digest(text.as_bytes())));
    }
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let wanted = |f: &str| args.iter().any(|a| f.contains(a.as_str()));
    let request = ConfigRequest {
        runtime: Arc::new(NoPython),
        prefiles: vec![],
        postfiles: vec![],
        tracking: false,
        skip_fragments: false,
        env: std::env::vars().collect(),
        worker: false,
    };
    let start = std::time::Instant::now();
    let config = match parse_base_configuration(&request, &mut ()) {
        Ok(c) => c,
        Err(e) => {
            eprintln!("configuration: {e}");
            std::process::exit(1);
        }
    };
    eprintln!("configuration {:?}", start.elapsed());
    let d = config.data();
    show("configuration", d, wanted("configuration"));
    let collections = handle_collections(d).unwrap();
    let mut files = FileCollector::new(&collections, "");
    let found = files.collect(d).unwrap();
    let start = std::time::Instant::now();
    let mut spent = std::time::Duration::ZERO;
    for f in &found.files {
        if !args.is_empty() && !wanted(f) {
            continue;
        }
        let appends = files.appends_of(f);
        let layer = files.priority(f).1.map(|s| &**s);
        let request = RecipeRequest { file: f, appends: &appends, mc: "", layer, only: None };
        let one = std::time::Instant::now();
        let parsed = parse_recipe_variants(d, request, &NoSignatures);
        spent += one.elapsed();
        match parsed {
            Ok(parsed) => {
                for v in parsed.variants[1..].iter().chain(&parsed.variants[..1]) {
                    show(&mcfn(f, &v.name, ""), &v.store, !args.is_empty());
                }
            }
            Err(e) => println!("{f} error {e}"),
        }
    }
    eprintln!("{} recipes, {spent:?} parsing, {:?} in all", found.files.len(), start.elapsed());
}
