//! A statement list as text, one line each: for comparing with the reference's list of the same
//! file, and for looking at.

use crate::{Parsed, StatementKind};

/// `LINE<TAB>KIND<TAB>FIELD…`; tabs, line ends and backslashes in fields are escaped.
pub fn dump(parsed: &Parsed) -> String {
    let mut out = String::new();
    for s in &parsed.statements {
        let (kind, fields) = fields(&s.kind);
        out.push_str(&s.line.to_string());
        out.push('\t');
        out.push_str(kind);
        for field in fields {
            out.push('\t');
            out.push_str(&field.replace('\\', "\\\\").replace('\t', "\\t").replace('\n', "\\n"));
        }
        out.push('\n');
    }
    out
}

fn fields(kind: &StatementKind) -> (&'static str, Vec<String>) {
    let text = |s: &str| s.to_string();
    let flag = |b: bool| if b { "1".to_string() } else { String::new() };
    match kind {
        StatementKind::Assign(a) => (
            "assign",
            vec![flag(a.export), text(&a.name), text(a.flag.as_deref().unwrap_or("")), text(a.op.text()), text(&a.value)],
        ),
        StatementKind::Include { what, required } => ("include", vec![text(what), flag(*required)]),
        StatementKind::IncludeAll { what } => ("include_all", vec![text(what)]),
        StatementKind::Export { name } => ("export", vec![text(name)]),
        StatementKind::Unset { name } => ("unset", vec![text(name)]),
        StatementKind::UnsetFlag { name, flag } => ("unset", vec![text(name), text(flag)]),
        StatementKind::Function(f) => (
            "function",
            vec![text(&f.name), flag(f.python), flag(f.fakeroot), f.first_line.to_string(), text(&f.body)],
        ),
        StatementKind::Def(d) => ("def", vec![text(&d.name), d.line_before.to_string(), text(&d.text)]),
        StatementKind::ExportFunctions { names, class } => ("EXPORT_FUNCTIONS", vec![names.join(" "), text(class)]),
        StatementKind::AddTask { tasks, before, after } => ("addtask", vec![text(tasks), text(before), text(after)]),
        StatementKind::DelTask { tasks } => ("deltask", vec![text(tasks)]),
        StatementKind::AddHandler { names } => ("addhandler", vec![names.join(" ")]),
        StatementKind::AddPylib { dir, namespace } => ("addpylib", vec![text(dir), text(namespace)]),
        StatementKind::Inherit { classes } => ("inherit", vec![text(classes)]),
        StatementKind::InheritDefer { classes } => ("inherit_defer", vec![text(classes)]),
        StatementKind::AddFragments { prefix, variable, flagged, builtin } => {
            ("addfragments", vec![text(prefix), text(variable), text(flagged), text(builtin)])
        }
    }
}
