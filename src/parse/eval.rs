//! What each statement does to a store.

use crate::error::{Result, fatal, warn};
use crate::handle::push;
use crate::include::{include, include_all};
use crate::inherit::{inherit, inherit_defer};
use crate::origins;
use crate::paths::list;
use crate::statements::File;
use crate::tasks::{add_task, del_task};
use crate::{fragments, pylib};
use hz_data::{DataStore, Read, SetInfo, Value};
use hz_diagnostics::Str;
use hz_syntax::{Assign, Function, Op, PythonDef, Statement, StatementKind};

/// Evaluates all statements of a file.
///
/// # Errors
/// The first error a statement raises, located.
pub(crate) fn eval(file: &File, store: &DataStore) -> Result<()> {
    for statement in &file.parsed.statements {
        statement_eval(&file.name, statement, store).map_err(|e| e.at(&file.name, statement.line))?;
    }
    Ok(())
}

fn at(file: &Str, line: u32, op: &'static str) -> SetInfo {
    SetInfo { file: Some(file.clone()), line, op, ..SetInfo::default() }
}

fn statement_eval(file: &Str, statement: &Statement, store: &DataStore) -> Result<()> {
    let line = statement.line;
    match &statement.kind {
        StatementKind::Assign(a) => assign(file, line, a, store),
        StatementKind::Function(f) => function(file, line, f, store),
        StatementKind::Def(d) => python_def(file, d, store),
        StatementKind::Inherit { classes } => inherit(classes, file, line, store, false),
        StatementKind::InheritDefer { classes } => inherit_defer(classes, file, line, store),
        StatementKind::Include { what, required } => {
            let what = store.expand(what, None)?;
            include(file, &what, line, store, required.then_some("include required"))
        }
        StatementKind::IncludeAll { what } => include_all(file, what, line, store),
        StatementKind::Export { name } => Ok(store.set_flag(name, "export", Value::Int(1), &SetInfo { op: "exported", ..SetInfo::internal(origins::EXPORT) })?),
        StatementKind::Unset { name } => Ok(store.del_var(name, &at(file, line, ""))?),
        StatementKind::UnsetFlag { name, flag } => Ok(store.del_flag(name, flag, &at(file, line, ""))?),
        StatementKind::ExportFunctions { names, class } => export_functions(names, class, store),
        StatementKind::AddTask { tasks, before, after } => {
            for task in hz_versions::words(tasks) {
                add_task(store, task, Some(before), Some(after))?;
            }
            Ok(())
        }
        StatementKind::DelTask { tasks } => {
            let tasks = store.expand(tasks, None)?;
            for task in hz_versions::words(&tasks) {
                del_task(store, task)?;
            }
            Ok(())
        }
        StatementKind::AddHandler { names } => {
            for name in names {
                store.set_flag(name, "handler", Value::Int(1), &SetInfo::internal(origins::HANDLER))?;
                push(store, "__BBHANDLERS", list(store, "__BBHANDLERS"), Value::Str(name.clone()))?;
            }
            Ok(())
        }
        StatementKind::AddPylib { dir, namespace } => pylib::add_pylib(dir, namespace, store),
        StatementKind::AddFragments { prefix, variable, flagged, builtin } => {
            fragments::add_fragments(file, line, prefix, variable, flagged, builtin, store)
        }
    }
}

/// The value an operator starts from: raw, without weak defaults, override variants and records of
/// `:append` left alone.
fn before(a: &Assign, store: &DataStore) -> Result<Option<Value>> {
    let read = Read { expand: false, noweakdefault: true, parsing: a.flag.is_none() };
    Ok(match &a.flag {
        Some(flag) => store.get_flag(&a.name, flag, read)?,
        None => store.get_var(&a.name, read)?,
    })
}

fn assign(file: &Str, line: u32, a: &Assign, store: &DataStore) -> Result<()> {
    if a.export {
        store.set_flag(&a.name, "export", Value::Int(1), &at(file, line, "exported"))?;
    }
    let old_text = || -> Result<Str> {
        Ok(match before(a, store)? {
            Some(v) if v.is_true() => v.to_text(),
            _ => "".into(),
        })
    };
    let text = |s: String| Value::Str(s.into());
    let (op, value) = match a.op {
        Op::Set | Op::WeakDefault => ("set", Value::Str(a.value.clone())),
        Op::Default => {
            let old = before(a, store)?.filter(|v| !matches!(v, Value::None));
            ("set?", old.unwrap_or_else(|| Value::Str(a.value.clone())))
        }
        Op::Immediate => {
            // In a copy, so that what is read on the way stays unseen.
            let copy = store.create_copy();
            ("immediate", Value::Str(copy.expand(&a.value, Some(&format!("{}[:=]", a.name)))?))
        }
        Op::Append => ("append", text(format!("{} {}", old_text()?, a.value))),
        Op::Prepend => ("prepend", text(format!("{} {}", a.value, old_text()?))),
        Op::AppendDot => ("postdot", text(format!("{}{}", old_text()?, a.value))),
        Op::PrependDot => ("predot", text(format!("{}{}", a.value, old_text()?))),
    };
    if matches!(a.op, Op::Append | Op::Prepend | Op::AppendDot | Op::PrependDot)
        && [":append", ":remove", ":prepend"].iter().any(|k| a.name.contains(k))
    {
        let message =
            format!("{} {} is not a recommended operator combination, please replace it.", a.name, a.op.text());
        warn(store, &message);
    }
    let info = SetInfo { detail: Some(Value::Str(a.value.clone())), ..at(file, line, op) };
    match (&a.flag, a.op) {
        (Some(flag), Op::WeakDefault) => store.set_flag(&a.name, &format!("_defaultval_flag_{flag}"), value, &info)?,
        (Some(flag), _) => store.set_flag(&a.name, flag, value, &info)?,
        (None, Op::WeakDefault) => store.set_flag(&a.name, "_defaultval", value, &info)?,
        (None, _) => store.set_var(&a.name, value, &SetInfo { parsing: true, ..info })?,
    }
    Ok(())
}

/// Fails where an override variant that stands in for the name cannot be expanded.
fn is_set(store: &DataStore, name: &str) -> Result<bool> {
    Ok(store.get_var(name, hz_data::RAW)?.is_some_and(|v| v.is_true()))
}

/// The name an anonymous function gets: its line and its file in letters a function can have.
fn anonymous_name(file: &str, line: u32) -> String {
    let file: String =
        file.chars().map(|c| if "/.+-@%&~".contains(c) { '_' } else { c }).collect();
    format!("__anon_{line}_{file}")
}

fn function(file: &Str, line: u32, f: &Function, store: &DataStore) -> Result<()> {
    let (name, text, python): (Str, Str, bool) = if &*f.name == "__anonymous" {
        let name: Str = anonymous_name(file, line).into();
        let text = format!("def {name}(d):\n{}", f.body);
        store.runtime().define(&name, &text, file, f.first_line - 1)?;
        push(store, "__BBANONFUNCS", list(store, "__BBANONFUNCS"), Value::Str(name.clone()))?;
        (name, text.into(), true)
    } else {
        (f.name.clone(), f.body.clone(), f.python)
    };
    let own = SetInfo::internal;
    if is_set(store, &name)? {
        // Flags of an earlier function of that name must not survive.
        store.del_flag(&name, "python", &own(origins::FUNCTION_NOT_PYTHON))?;
        store.del_flag(&name, "fakeroot", &own(origins::FUNCTION_NOT_FAKEROOT))?;
    }
    if python {
        store.set_flag(&name, "python", "1", &own(origins::FUNCTION_PYTHON))?;
    }
    if f.fakeroot {
        store.set_flag(&name, "fakeroot", "1", &own(origins::FUNCTION_FAKEROOT))?;
    }
    store.set_flag(&name, "func", Value::Int(1), &own(origins::FUNCTION_FUNC))?;
    store.set_var(&name, Value::Str(text), &SetInfo { parsing: true, ..own(origins::FUNCTION_BODY) })?;
    store.set_flag(&name, "filename", Value::Str(file.clone()), &own(origins::FUNCTION_FILE))?;
    store.set_flag(&name, "lineno", f.first_line.to_string(), &own(origins::FUNCTION_LINE))?;
    Ok(())
}

fn python_def(file: &Str, d: &PythonDef, store: &DataStore) -> Result<()> {
    store.runtime().define(hz_syntax::base_name(file), &d.text, file, d.line_before)?;
    let own = SetInfo::internal;
    store.set_flag(&d.name, "func", Value::Int(1), &own(origins::DEF_FUNC))?;
    store.set_flag(&d.name, "python", Value::Int(1), &own(origins::DEF_PYTHON))?;
    let info = SetInfo { parsing: true, ..own(origins::DEF_BODY) };
    store.set_var(&d.name, Value::Str(d.text.clone()), &info)?;
    store.set_flag(&d.name, "filename", Value::Str(file.clone()), &own(origins::DEF_FILE))?;
    store.set_flag(&d.name, "lineno", d.line_before.to_string(), &own(origins::DEF_LINE))?;
    Ok(())
}

/// Marks the body of a function made by EXPORT_FUNCTIONS; part of task hashes.
const EXPORTED: &str = "    # Export function set\n";

fn export_functions(names: &[Str], class: &str, store: &DataStore) -> Result<()> {
    const FLAG: Read = hz_data::RAW;
    let own = SetInfo::internal;
    let truthy = |v: Option<Value>| v.filter(Value::is_true);
    for name in names {
        let called = format!("{class}_{name}");
        if let Some(body) = truthy(store.get_var(name, FLAG)?) {
            if !body.to_text().contains(EXPORTED) {
                continue;
            }
            store.set_flag(name, "python", Value::None, &own(origins::EXPORTED_NOT_PYTHON))?;
            store.set_flag(name, "func", Value::None, &own(origins::EXPORTED_NOT_FUNC))?;
        }
        for flag in ["func", "python"] {
            if let Some(v) = truthy(store.get_flag(&called, flag, FLAG)?) {
                store.set_flag(name, flag, v, &own(origins::EXPORTED_KIND))?;
            }
        }
        for flag in ["dirs", "cleandirs", "fakeroot"] {
            if let Some(v) = truthy(store.get_flag(name, flag, FLAG)?) {
                store.set_flag(&called, flag, v, &own(origins::EXPORTED_FLAG))?;
            }
        }
        store.set_flag(name, "filename", "autogenerated", &own(origins::EXPORTED_FILE))?;
        store.set_flag(name, "lineno", Value::Int(1), &own(origins::EXPORTED_LINE))?;
        let parsing = |origin| SetInfo { parsing: true, ..own(origin) };
        if truthy(store.get_flag(&called, "python", FLAG)?).is_some() {
            let body = format!("{EXPORTED}    bb.build.exec_func('{called}', d)\n");
            store.set_var(name, body, &parsing(origins::EXPORTED_PYTHON))?;
        } else if class.contains('-') {
            return Err(fatal(
                store,
                &format!(
                    "The classname {class} contains a dash character and is calling an sh function {called} using \
                     EXPORT_FUNCTIONS. Since a dash is illegal in sh function names, this cannot work, please rename \
                     the class or don't use EXPORT_FUNCTIONS."
                ),
            ));
        } else {
            store.set_var(name, format!("{EXPORTED}    {called}\n"), &parsing(origins::EXPORTED_SHELL))?;
        }
    }
    Ok(())
}
