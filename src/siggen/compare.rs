//! What a sigdata file says, and what differs between two of them, as text for people: the output
//! of `bitbake-dumpsig` and `bitbake-diffsigs`.

use crate::diff::{Change, by_runs, lines, unified};
use crate::hash::{calc_basehash, calc_taskhash};
use crate::sigdata::{RunData, SigData, VarVal};
use hz_data::python_repr;
use hz_diagnostics::Str;
use std::collections::{BTreeMap, BTreeSet};

/// Escape sequences of a terminal; all empty without colour.
#[derive(Clone, Copy, Debug, Default)]
pub struct Colors {
    pub title: &'static str,
    pub default: &'static str,
    pub add: &'static str,
    pub remove: &'static str,
}

impl Colors {
    pub fn new(enabled: bool) -> Colors {
        if enabled {
            Colors { title: "\x1b[1m", default: "\x1b[0m", add: "\x1b[0;32m", remove: "\x1b[0;31m" }
        } else {
            Colors::default()
        }
    }
}

fn list<'a>(items: impl IntoIterator<Item = &'a Str>) -> String {
    format!("[{}]", items.into_iter().map(|item| python_repr(item)).collect::<Vec<_>>().join(", "))
}

/// A set as Python shows it, but sorted, where Python's order is chance.
fn set<'a>(items: impl IntoIterator<Item = &'a Str>) -> String {
    let items: Vec<_> = items.into_iter().map(|item| python_repr(item)).collect();
    if items.is_empty() { "frozenset()".into() } else { format!("frozenset({{{}}})", items.join(", ")) }
}

fn sorted_repr<'a>(items: impl Iterator<Item = &'a Str>) -> String {
    list(items.collect::<BTreeSet<_>>())
}

fn or_none(text: &Option<Str>) -> &str {
    text.as_deref().unwrap_or("None")
}

fn shown_taint(taint: &str) -> String {
    if taint.starts_with("nostamp:") { taint.replace("nostamp:", "nostamp(uuid4):") } else { taint.into() }
}

/// Everything a file says, a line (or more, where a value has several) an item.
pub fn dump_sigfile(data: &SigData) -> Vec<String> {
    let mut out = vec![
        format!("basehash_ignore_vars: {}", list(&data.basehash_ignore_vars)),
        {
            // The reference sorts the letters of this text; scripts see a list of letters.
            let mut letters: Vec<char> = data.taskhash_ignore_tasks.as_deref().unwrap_or_default().chars().collect();
            letters.sort_unstable();
            let letters: Vec<String> = letters.into_iter().map(|c| python_repr(c.encode_utf8(&mut [0; 4]))).collect();
            format!("taskhash_ignore_tasks: [{}]", letters.join(", "))
        },
        format!("Task dependencies: {}", list(&data.taskdeps)),
        format!("basehash: {}", data.basehash),
    ];
    for (name, deps) in &data.gendeps {
        out.push(format!("List of dependencies for variable {name} is {}", list(deps)));
    }
    for (name, value) in &data.varvals {
        out.push(format!("Variable {name} value is {}", value.to_text()));
    }
    if let Some(run) = &data.run {
        let mut deps = run.runtaskdeps.clone();
        deps.sort();
        out.push(format!("Tasks this task depends on: {}", list(&deps)));
        let mut files = run.file_checksum_values.clone();
        files.sort();
        let files: Vec<String> = files
            .iter()
            .map(|(name, sum)| format!("[{}, {}]", python_repr(name), sum.as_deref().map_or("None".into(), python_repr)))
            .collect();
        out.push(format!("This task depends on the checksums of files: [{}]", files.join(", ")));
        for (dep, hash) in &run.runtaskhashes {
            out.push(format!("Hash for dependent task {dep} is {hash}"));
        }
    }
    if let Some(taint) = &data.taint {
        out.push(format!("Tainted (by forced/invalidated task): {}", shown_taint(taint)));
    }
    match calc_basehash(data) {
        Some(hash) => out.push(format!("Computed base hash is {hash} and from file {}", data.basehash)),
        None => out.push("Unable to compute base hash".into()),
    }
    match calc_taskhash(data) {
        Some(hash) => out.push(format!("Computed task hash is {hash}")),
        None => out.push("Unable to compute task hash".into()),
    }
    out
}

/// Names whose values differ, names only in `b`, names only in `a`.
fn differences<'a, T: PartialEq>(a: &'a BTreeMap<Str, T>, b: &'a BTreeMap<Str, T>) -> [Vec<&'a Str>; 3] {
    [
        a.iter().filter(|(name, value)| b.get(*name).is_some_and(|other| other != *value)).map(|(name, _)| name).collect(),
        b.keys().filter(|name| !a.contains_key(*name)).collect(),
        a.keys().filter(|name| !b.contains_key(*name)).collect(),
    ]
}

fn words_differ(old: &str, new: &str, colors: &Colors) -> String {
    let old_words: Vec<&str> = old.split(' ').collect();
    let new_words: Vec<&str> = new.split(' ').collect();
    let parts: Vec<String> = by_runs(&old_words, &new_words)
        .into_iter()
        .map(|(change, words)| {
            let words = words.join(" ");
            match change {
                Change::Same => words,
                Change::Added => format!("{}{{+{words}+}}{}", colors.add, colors.default),
                Change::Removed => format!("{}[-{words}-]{}", colors.remove, colors.default),
            }
        })
        .collect();
    let only_blanks = old != new && old.split_whitespace().eq(new.split_whitespace());
    format!("\"{}\"{}", parts.join(" "), if only_blanks { " (whitespace changed)" } else { "" })
}

fn lists_differ(old: &[Str], new: &[Str], colors: &Colors) -> String {
    let parts: Vec<String> = by_runs(old, new)
        .into_iter()
        .map(|(change, items)| {
            let items = items.join(" ");
            match change {
                Change::Same => format!("'{items}'"),
                Change::Added => format!("{}+{items}{}", colors.add, colors.default),
                Change::Removed => format!("{}-{items}{}", colors.remove, colors.default),
            }
        })
        .collect();
    format!("[{}]", parts.join(", "))
}

fn value_change(name: &str, old: &VarVal, new: &VarVal, colors: &Colors) -> String {
    let Colors { title, default, add, remove } = *colors;
    let (old_text, new_text) = (old.to_text(), new.to_text());
    let texts = matches!((old, new), (VarVal::Str(a), VarVal::Str(b)) if !a.is_empty() && !b.is_empty());
    let either = |c: char| old_text.contains(c) || new_text.contains(c);
    if texts && either('\n') {
        let shown: Vec<String> = unified(&lines(&old_text), &lines(&new_text))
            .into_iter()
            .map(|line| match line.as_bytes().first() {
                Some(b'+') if !add.is_empty() => format!("{add}{line}{default}"),
                Some(b'-') if !remove.is_empty() => format!("{remove}{line}{default}"),
                _ => line,
            })
            .collect();
        format!("{title}Variable {name} value changed:{default}\n{}{default}", shown.join("\n"))
    } else if texts && either(' ') {
        format!("{title}Variable {name} value changed:{default}\n{}{default}", words_differ(&old_text, &new_text, colors))
    } else {
        format!("{title}Variable {name} value changed from '{default}{old_text}{title}' to '{default}{new_text}{title}'{default}")
    }
}

/// Files whose checksum changed, files that came, files that went. Names may be there twice.
#[allow(clippy::type_complexity)]
fn files_differ(
    a: &[(Str, Option<Str>)], b: &[(Str, Option<Str>)],
) -> (Vec<(Str, Option<Str>, Option<Str>)>, Vec<Str>, Vec<Str>) {
    fn surplus<'a>(of: &'a [(Str, Option<Str>)], over: &[(Str, Option<Str>)]) -> Vec<&'a (Str, Option<Str>)> {
        let mut balance: BTreeMap<&(Str, Option<Str>), i64> = BTreeMap::new();
        of.iter().for_each(|entry| *balance.entry(entry).or_default() += 1);
        over.iter().for_each(|entry| *balance.entry(entry).or_default() -= 1);
        of.iter()
            .filter(|entry| {
                let left = balance.entry(entry).or_default();
                *left -= 1;
                *left >= 0
            })
            .collect()
    }
    let mut added = surplus(b, a);
    let (mut changed, mut removed) = (Vec::new(), Vec::new());
    for (name, old) in surplus(a, b) {
        match added.iter().position(|(other, _)| other == name) {
            Some(at) => {
                let (_, new) = added.remove(at);
                changed.push((name.clone(), old.clone(), new.clone()));
            }
            None => removed.push(name.clone()),
        }
    }
    (changed, added.into_iter().map(|(name, _)| name.clone()).collect(), removed)
}

/// Told what a task the two depend on changed: (task, hash in `a`, hash in `b`) -> its own lines.
pub type Recurse<'a> = &'a mut dyn FnMut(&str, &str, &str) -> Option<Vec<String>>;

/// What differs from `a` to `b`. `collapsed` leaves out what only follows from deeper changes.
pub fn compare_sigfiles(a: &SigData, b: &SigData, mut recurse: Option<Recurse<'_>>, colors: Colors, collapsed: bool) -> Vec<String> {
    let Colors { title, default, .. } = colors;
    let mut out = Vec::new();
    let both = |a: &BTreeSet<Str>, b: &BTreeSet<Str>| {
        (!a.is_empty() && !b.is_empty()).then(|| format!("changed items: {}", set(a.symmetric_difference(b))))
    };

    if a.basehash_ignore_vars != b.basehash_ignore_vars {
        out.push(format!(
            "{title}basehash_ignore_vars changed{default} from '{}' to '{}'{default}",
            set(&a.basehash_ignore_vars),
            set(&b.basehash_ignore_vars)
        ));
        out.extend(both(&a.basehash_ignore_vars, &b.basehash_ignore_vars));
    }
    if a.taskhash_ignore_tasks != b.taskhash_ignore_tasks {
        out.push(format!(
            "{title}taskhash_ignore_tasks changed{default} from '{}' to '{}'{default}",
            or_none(&a.taskhash_ignore_tasks),
            or_none(&b.taskhash_ignore_tasks)
        ));
    }
    if a.taskdeps != b.taskdeps {
        out.push(format!(
            "{title}Task dependencies changed{default} from:\n{}\nto:\n{}{default}",
            sorted_repr(a.taskdeps.iter()),
            sorted_repr(b.taskdeps.iter())
        ));
    }
    if a.basehash != b.basehash && !collapsed {
        out.push(format!("{title}basehash changed{default} from {} to {}{default}", a.basehash, b.basehash));
    }

    let [changed, added, removed] = differences(&a.gendeps, &b.gendeps);
    for name in changed {
        if a.basehash_ignore_vars.contains(name) && b.basehash_ignore_vars.contains(name) {
            continue;
        }
        let (old, new) = (&a.gendeps[name], &b.gendeps[name]);
        out.push(format!(
            "{title}List of dependencies for variable {name} changed from '{default}{}{title}' to '{default}{}{title}'{default}",
            set(old),
            set(new)
        ));
        out.extend(both(old, new));
    }
    out.extend(added.iter().map(|name| format!("{title}Dependency on variable {name} was added{default}")));
    out.extend(removed.iter().map(|name| format!("{title}Dependency on Variable {name} was removed{default}")));

    for name in &differences(&a.varvals, &b.varvals)[0] {
        out.push(value_change(name, &a.varvals[*name], &b.varvals[*name], &colors));
    }

    let nothing = RunData::default();
    let (run_a, run_b) = (a.run.as_ref().unwrap_or(&nothing), b.run.as_ref().unwrap_or(&nothing));
    let (changed, added, removed) = files_differ(&run_a.file_checksum_values, &run_b.file_checksum_values);
    for (name, old, new) in changed {
        out.push(format!(
            "{title}Checksum for file {name} changed{default} from {} to {}{default}",
            or_none(&old),
            or_none(&new)
        ));
    }
    out.extend(added.iter().map(|name| format!("{title}Dependency on checksum of file {name} was added{default}")));
    out.extend(removed.iter().map(|name| format!("{title}Dependency on checksum of file {name} was removed{default}")));

    if !collapsed {
        let mut changed = Vec::new();
        if run_a.runtaskdeps.len() != run_b.runtaskdeps.len() {
            changed.push("Number of task dependencies changed".to_string());
        } else {
            for (task_a, task_b) in run_a.runtaskdeps.iter().zip(&run_b.runtaskdeps) {
                let (hash_a, hash_b) = (run_a.runtaskhashes.get(task_a).cloned(), run_b.runtaskhashes.get(task_b).cloned());
                if hash_a != hash_b {
                    let (hash_a, hash_b) = (or_none(&hash_a), or_none(&hash_b));
                    changed.push(format!("{task_a} with hash {hash_a}\n changed to\n{task_b} with hash {hash_b}"));
                }
            }
        }
        if !changed.is_empty() {
            if run_a.runtaskdeps != run_b.runtaskdeps {
                out.push(format!(
                    "{title}runtaskdeps changed:{default}\n{}{default}",
                    lists_differ(&run_a.runtaskdeps, &run_b.runtaskdeps, &colors)
                ));
            } else {
                out.push(format!("{title}runtaskdeps changed:{default}"));
            }
            out.push(changed.join("\n"));
        }
    }

    if let (Some(run_a), Some(run_b)) = (&a.run, &b.run) {
        let (old, new) = (&run_a.runtaskhashes, &run_b.runtaskhashes);
        let [changed, added, removed] = differences(old, new);
        for name in &added {
            if !removed.iter().any(|gone| old[*gone] == new[*name]) {
                out.push(format!("{title}Dependency on task {name} was added{default} with hash {}{default}", new[*name]));
            }
        }
        for name in &removed {
            if !added.iter().any(|come| new[*come] == old[*name]) {
                out.push(format!("{title}Dependency on task {name} was removed{default} with hash {}{default}", old[*name]));
            }
        }
        for name in changed {
            if !collapsed {
                out.push(format!(
                    "{title}Hash for task dependency {name} changed{default} from {} to {}{default}",
                    old[name], new[name]
                ));
            }
            let Some(deeper) = recurse.as_mut().and_then(|recurse| recurse(name, &old[name], &new[name])) else { continue };
            if deeper.is_empty() {
                continue;
            }
            if collapsed {
                out.extend(deeper);
            } else {
                // What changed below explains all else: show only that, under the line above.
                out = out.split_off(out.len() - 1);
                out.extend(deeper);
                break;
            }
        }
    }

    if a.taint != b.taint {
        let shown = |taint: &Option<Str>| taint.as_deref().map_or("None".into(), shown_taint);
        out.push(format!(
            "{title}Taint (by forced/invalidated task) changed{default} from {} to {}{default}",
            shown(&a.taint),
            shown(&b.taint)
        ));
    }
    out
}
