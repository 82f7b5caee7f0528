//! The store as a script: what a task's shell or Python run file holds, and `bitbake -e`.

use crate::history::{FROM_ENVIRONMENT, FROM_ENVIRONMENT_EXPORT};
use crate::{DataError, DataStore, RAW, Read, Result, SetInfo, Value, text};
use hz_diagnostics::Str;
use std::collections::BTreeSet;
use std::io::Write;

/// Environment variables that keep their meaning in the metadata and are handed to tasks.
pub const PRESERVED_EXPORTED: [&str; 9] =
    ["BB_TASKHASH", "HOME", "LOGNAME", "PATH", "PWD", "SHELL", "USER", "LC_ALL", "BBSERVER"];

impl From<std::io::Error> for DataError {
    fn from(error: std::io::Error) -> Self {
        DataError::Other(error.to_string())
    }
}

fn flag_is_set(d: &DataStore, name: &str, flag: &str) -> Result<bool> {
    Ok(d.get_flag(name, flag, RAW)?.is_some_and(|value| value.is_true()))
}

/// Takes the permitted variables of the environment over into `d`. `environment` is a store of
/// its own (`BB_ORIGENV`).
pub fn inherit_from_os(d: &DataStore, environment: &DataStore, permitted: &[&str]) -> Result<()> {
    let info = |op, place| SetInfo { op, ..SetInfo::internal(place) };
    for name in environment.keys()? {
        if !permitted.contains(&&*name) {
            continue;
        }
        let value = environment.get_var(&name, Read::default())?.unwrap_or(Value::None);
        d.set_var(&name, value, &info("from env", FROM_ENVIRONMENT))?;
        if PRESERVED_EXPORTED.contains(&&*name) {
            d.set_flag(&name, "export", Value::Bool(true), &info("auto env export", FROM_ENVIRONMENT_EXPORT))?;
        }
    }
    Ok(())
}

/// Writes one variable or shell function so that a shell can source it. With `all` everything
/// is written, with its history. True: a function was written.
pub fn emit_var(name: &str, out: &mut dyn Write, d: &DataStore, all: bool) -> Result<bool> {
    let func = flag_is_set(d, name, "func")?;
    if func && flag_is_set(d, name, "python")? {
        return Ok(false);
    }
    let export = d.flag_is_true(name, "export")?;
    let unexport = d.flag_is_true(name, "unexport")?;
    if !all && !export && !unexport && !func {
        return Ok(false);
    }
    let read = || -> Result<(Option<Value>, Option<Value>)> {
        let raw = if all { d.get_var(name, RAW)? } else { None };
        Ok((raw, d.get_var(name, Read::default())?))
    };
    let (raw, value) = match read() {
        Ok(values) => values,
        Err(error) => {
            writeln!(out, "# expansion of {name} threw {}: {error}", error.class_name())?;
            return Ok(false);
        }
    };
    if all {
        d.history_emit(name, raw.as_ref(), out)?;
    }
    if !all && name.contains(['-', '.', '{', '}', '+']) {
        return Ok(false);
    }
    let name_expanded = d.expand(name, None)?;
    if unexport {
        writeln!(out, "unset {name_expanded}")?;
        return Ok(false);
    }
    let Some(value) = value else { return Ok(false) };
    let value = value.to_text();

    if let Some(function) = name_expanded.strip_prefix("BASH_FUNC_") {
        // A function the calling bash exported: `BASH_FUNC_name%%` holds "() {  body }".
        let end = function.char_indices().rev().nth(1).map_or(0, |(at, _)| at);
        let function = &function[..end];
        let body = value.char_indices().nth(3).map_or("", |(at, _)| &value[at..]);
        write!(out, "{function}() {body}\nexport -f {function}\n")?;
        return Ok(true);
    }
    if func {
        // Task failures are traced back to the metadata through this line.
        let text = |flag| -> Result<Str> {
            Ok(d.get_flag(name, flag, RAW)?.map_or_else(|| "None".into(), |value| value.to_text()))
        };
        writeln!(out, "# line: {}, file: {}", text("lineno")?, text("filename")?)?;
        write!(out, "{name_expanded}() {{\n{}\n}}\n", value.trim_end_matches('\n'))?;
        return Ok(true);
    }
    if export {
        write!(out, "export ")?;
    }
    writeln!(out, "{name_expanded}=\"{}\"", shell_quoted(&value))?;
    Ok(false)
}

/// Text as it stands between double quotes in a shell.
fn shell_quoted(value: &str) -> String {
    let mut out = String::with_capacity(value.len() + 8);
    for c in value.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '`' => out.push_str("\\`"),
            '\n' => out.push_str(" \\\n"),
            '$' => out.push_str("\\$"),
            c => out.push(c),
        }
    }
    out
}

fn emit_item(name: &str, out: &mut dyn Write, d: &DataStore, all: bool) -> Result<()> {
    if emit_var(name, out, d, all)? {
        writeln!(out)?;
    }
    Ok(())
}

/// Names that are not internal, sorted, and whether each is a function.
fn sorted_names(d: &DataStore) -> Result<Vec<(Str, bool)>> {
    let mut names = d.keys()?;
    names.retain(|name| !name.starts_with("__"));
    names.sort_unstable();
    names.into_iter().map(|name| flag_is_set(d, &name, "func").map(|func| (name, func))).collect()
}

/// The whole store: variables first, then functions. `all` is `bitbake -e`.
pub fn emit_env(out: &mut dyn Write, d: &DataStore, all: bool) -> Result<()> {
    let names = sorted_names(d)?;
    for functions in [false, true] {
        for (name, _) in names.iter().filter(|(_, func)| *func == functions) {
            emit_item(name, out, d, all && !functions)?;
        }
    }
    Ok(())
}

/// Names with a true `export` and no true `unexport` flag.
pub fn exported_keys(d: &DataStore) -> Result<Vec<Str>> {
    let mut exported = Vec::new();
    for name in d.keys_with_flag_or_default(&["export"])? {
        if !name.starts_with("__") && d.flag_is_true(&name, "export")? && !d.flag_is_true(&name, "unexport")? {
            exported.push(name);
        }
    }
    Ok(exported)
}

/// Exported variables with their values. What cannot be expanded is left out with a warning.
pub fn exported_vars(d: &DataStore) -> Result<Vec<(Str, Str)>> {
    let mut vars = Vec::new();
    for name in exported_keys(d)? {
        match d.get_var(&name, Read::default()) {
            Ok(Some(value)) => vars.push((name, value.to_text())),
            Ok(None) => {}
            Err(error) => {
                let file = d.get("FILE")?.unwrap_or_else(|| "None".into());
                d.warn(&format!("{file}: Unable to export ${{{name}}}: {error}"));
            }
        }
    }
    Ok(vars)
}

/// Expands what [`exported_vars`] would give, for the store to keep it. What cannot be expanded is told there.
pub fn expand_exported(d: &DataStore) {
    for name in exported_keys(d).unwrap_or_default() {
        let _ = d.get_var(&name, Read::default());
    }
}

/// The commands a shell function calls and its `vardeps`.
fn shell_deps(d: &DataStore, function: &str) -> Result<BTreeSet<Str>> {
    let body = d.get_or_empty(function)?;
    let refs = hz_codeparser::shell(&body).map_err(|problem| d.code_error(&problem))?;
    let mut deps = refs.execs.clone();
    deps.extend(vardeps(d, function)?);
    Ok(deps)
}

fn vardeps(d: &DataStore, function: &str) -> Result<Vec<Str>> {
    let words = d.flag_text(function, "vardeps")?.unwrap_or_else(|| "".into());
    Ok(text::words(&words).map(Str::from).collect())
}

/// Follows `deps` of a function and of each function `visit` says yes to, each once, those found
/// together in the order of their names.
fn follow(
    first: BTreeSet<Str>,
    mut visit: impl FnMut(&str) -> Result<Option<BTreeSet<Str>>>,
) -> Result<()> {
    let mut seen: BTreeSet<Str> = BTreeSet::new();
    let mut next = first;
    while !next.is_empty() {
        let deps = next;
        seen.extend(deps.iter().cloned());
        next = BTreeSet::new();
        for dep in &deps {
            if let Some(found) = visit(dep)? {
                next.extend(found);
            }
        }
        next.retain(|name| !seen.contains(name));
    }
    Ok(())
}

/// A shell function with all exported variables before and all functions it calls behind it: the
/// body of a task's run file.
pub fn emit_func(function: &str, out: &mut dyn Write, d: &DataStore) -> Result<()> {
    // Of the thousands of variables those few that something is written of.
    for name in d.marked_keys()? {
        if !name.starts_with("__") && !flag_is_set(d, &name, "func")? {
            emit_var(&name, out, d, false)?;
        }
    }
    writeln!(out)?;
    emit_item(function, out, d, false)?;
    follow(shell_deps(d, function)?, |name| {
        if !flag_is_set(d, name, "func")? || flag_is_set(d, name, "python")? {
            return Ok(None);
        }
        emit_item(name, out, d, false)?;
        shell_deps(d, name).map(Some)
    })
}

/// A Python function with a call of it, and all Python functions of the store it calls.
pub fn emit_func_python(function: &str, out: &mut dyn Write, d: &DataStore) -> Result<()> {
    let mut write_function = |name: &str, call: bool| -> Result<BTreeSet<Str>> {
        let body = d.get_var(name, RAW)?.map_or_else(|| "".into(), |value| value.to_text());
        let mut definition = body.to_string();
        if !body.starts_with("def") {
            definition = format!("\ndef {name}(d):\n{body}");
        }
        write!(out, "{}\n\n", definition.trim_matches(text::is_space))?;
        if call {
            write!(out, "{name}(d)\n\n")?;
        }
        let mut deps = d.scan_python(&body, Some(name))?.execs;
        deps.extend(vardeps(d, name)?);
        Ok(deps)
    };
    let first = write_function(function, true)?;
    follow(first, |name| {
        if !flag_is_set(d, name, "func")? || !flag_is_set(d, name, "python")? {
            return Ok(None);
        }
        write_function(name, false).map(Some)
    })
}
