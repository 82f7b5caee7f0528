//! Tasks of a store: `addtask`, `deltask`, and what their flags say once a recipe is complete.

use crate::error::{Result, warn};
use crate::handle::push;
use crate::origins;
use crate::paths::{list, unseen};
use hz_data::{DataStore, Origin, RAW, SetInfo, Value};
use hz_diagnostics::Str;
use indexmap::IndexMap;
use std::sync::Arc;

fn task_name(name: &str) -> Str {
    if name.starts_with("do_") { name.into() } else { format!("do_{name}").into() }
}

/// The entries of the flag `deps` (a list, unless metadata wrote text into it).
fn deps(store: &DataStore, task: &str) -> Result<Vec<Value>> {
    Ok(match store.get_flag(task, "deps", RAW)? {
        Some(Value::List(l)) => l.to_vec(),
        Some(Value::Str(s)) => hz_versions::words(&s).map(Value::str).collect(),
        _ => Vec::new(),
    })
}

fn has(values: &[Value], text: &str) -> bool {
    values.iter().any(|v| v.as_str().is_some_and(|s| **s == *text))
}

fn set_deps(store: &DataStore, task: &str, deps: Vec<Value>, origin: Origin) -> Result<()> {
    store.set_flag(task, "deps", Value::List(Arc::new(deps)), &SetInfo::internal(origin))?;
    Ok(())
}

/// `bb.build.addtask(task, before, after, d)`; `before` and `after` are lists of words. `do_` is
/// put in front of names that lack it.
pub fn add_task(store: &DataStore, task: &str, before: Option<&str>, after: Option<&str>) -> Result<()> {
    let task = task_name(task);
    store.set_flag(&task, "task", Value::Int(1), &SetInfo::internal(origins::ADD_TASK))?;
    let tasks = list(store, "__BBTASKS");
    if !has(&tasks, &task) {
        push(store, "__BBTASKS", tasks, Value::Str(task.clone()))?;
    }
    let mut own = deps(store, &task)?;
    for entry in hz_versions::words(after.unwrap_or_default()) {
        let entry = task_name(entry);
        if !has(&own, &entry) {
            own.push(Value::Str(entry));
        }
    }
    set_deps(store, &task, own, origins::ADD_TASK_DEPS)?;
    for entry in hz_versions::words(before.unwrap_or_default()) {
        let entry = task_name(entry);
        let existing = deps(store, &entry)?;
        if !has(&existing, &task) {
            let mut all = Vec::with_capacity(existing.len() + 1);
            all.push(Value::Str(task.clone()));
            all.extend(existing);
            set_deps(store, &entry, all, origins::ADD_TASK_BEFORE)?;
        }
    }
    Ok(())
}

/// `bb.build.deltask(task, d)`.
pub fn del_task(store: &DataStore, task: &str) -> Result<()> {
    let task = task_name(task);
    let tasks = list(store, "__BBTASKS");
    if has(&tasks, &task) {
        let mut rest = tasks.to_vec();
        if let Some(at) = rest.iter().position(|v| v.as_str() == Some(&task)) {
            rest.remove(at);
        }
        store.del_flag(&task, "task", &SetInfo::internal(origins::DEL_TASK))?;
        store.set_var("__BBTASKS", Value::List(Arc::new(rest)), &unseen())?;
    }
    store.del_flag(&task, "deps", &SetInfo::internal(origins::DEL_TASK_DEPS))?;
    for other in list(store, "__BBTASKS").iter() {
        let other = other.to_text();
        let mut existing = deps(store, &other)?;
        if let Some(at) = existing.iter().position(|v| v.as_str() == Some(&task)) {
            existing.remove(at);
            set_deps(store, &other, existing, origins::DEL_TASK_OTHER)?;
        }
    }
    Ok(())
}

/// Flags whose expanded texts are collected per task.
const COLLECTED: [&str; 11] = [
    "mcdepends", "depends", "rdepends", "deptask", "rdeptask", "recrdeptask", "recideptask", "nostamp", "fakeroot",
    "noexec", "umask",
];

/// Fills `_task_deps` from the tasks' flags when a recipe is complete.
pub(crate) fn collect_task_deps(store: &DataStore, tasks: &[Value]) -> Result<()> {
    let mut all: IndexMap<Str, Value> = match store.get_raw("_task_deps") {
        Some(Value::Map(m)) => (*m).clone(),
        _ => IndexMap::new(),
    };
    let mut names = match all.get("tasks") {
        Some(Value::List(l)) => l.to_vec(),
        _ => Vec::new(),
    };
    let mut maps: IndexMap<Str, IndexMap<Str, Value>> = IndexMap::new();
    for name in std::iter::once("parents").chain(COLLECTED) {
        let map = match all.get(name) {
            Some(Value::Map(m)) => (**m).clone(),
            _ => IndexMap::new(),
        };
        // Only `parents` is there for a recipe without tasks.
        if name == "parents" || !tasks.is_empty() || !map.is_empty() {
            maps.insert(name.into(), map);
        }
    }
    for task in tasks {
        let task = store.expand(&task.to_text(), None)?;
        store.set_flag(&task, "task", Value::Int(1), &SetInfo::internal(origins::TASK_COMPLETE))?;
        if !has(&names, &task) {
            names.push(Value::Str(task.clone()));
        }
        let flags = store.get_flags(&task, None, false)?.unwrap_or_default();
        for flag in COLLECTED {
            let Some(value) = flags.get(flag) else { continue };
            let value = match value {
                Value::Str(s) => Value::Str(store.expand(s, None)?),
                other => other.clone(),
            };
            if matches!(flag, "noexec" | "fakeroot" | "nostamp") && value.as_str().is_none_or(|s| &**s != "1") {
                warn(
                    store,
                    &format!(
                        "In a future version of BitBake, setting the '{flag}' flag to something other than '1' will \
                         result in the flag not being set. See YP bug #13808."
                    ),
                );
            }
            maps.entry(flag.into()).or_default().insert(task.clone(), value);
        }
        let mut parents = Vec::new();
        if flags.contains_key("deps") {
            for dep in deps(store, &task)? {
                parents.push(Value::Str(store.expand(&dep.to_text(), None)?));
            }
        }
        maps.entry("parents".into()).or_default().insert(task, Value::List(Arc::new(parents)));
    }
    all.insert("tasks".into(), Value::List(Arc::new(names)));
    for (name, map) in maps {
        all.insert(name, Value::Map(Arc::new(map)));
    }
    store.set_var("_task_deps", Value::Map(Arc::new(all)), &SetInfo::internal(origins::TASK_DEPS))?;
    Ok(())
}
