//! What Python reads and calls, from its call nodes alone.

use crate::python_calls::calls;
use crate::{Diagnostic, PythonRefs, Str, VisitorArg, VisitorCall, visitor_of};
use ruff_python_ast::{Expr, ExprCall, Stmt};
use ruff_text_size::Ranged;
use std::borrow::Cow;
use std::collections::BTreeSet;

/// Bodies of functions are indented; what parses them must stand under something.
fn under_a_block(text: &str) -> Cow<'_, str> {
    let blank = text.len() - text.trim_start_matches(['\n', '\t', ' ']).len();
    match text.as_bytes().get(blank.wrapping_sub(1)) {
        Some(b' ' | b'\t') => Cow::Owned(format!("if 1:\n{}", text.strip_prefix('\n').unwrap_or(text))),
        _ => Cow::Borrowed(text),
    }
}

fn parsed(source: &str) -> Result<ruff_python_ast::ModModule, Diagnostic> {
    ruff_python_parser::parse_module(source).map(|parsed| parsed.into_syntax()).map_err(|error| {
        let line = source[..usize::from(error.location.start()).min(source.len())].matches('\n').count() + 1;
        let mut message = error.error.to_string();
        // Expansion looks for CPython's words for this one.
        if message == "missing closing quote in string literal" {
            message = format!("unterminated string literal (detected at line {line})");
        }
        let text = source.lines().nth(line - 1).unwrap_or_default().trim().to_string();
        // Whoever knows the file adds it.
        Diagnostic::error(message).via(text, Some(hz_diagnostics::Place::new("", line as u32)))
    })
}

/// Scans without the cache.
pub fn scan(text: &str) -> Result<PythonRefs, Diagnostic> {
    if text.trim().is_empty() {
        return Ok(PythonRefs::default());
    }
    let source = under_a_block(text);
    let module = parsed(&source)?;
    collect(&source, &module.body, &|_| true)
}

/// Scans one function or class of a library module. `siblings` tells the names of its module.
pub fn scan_library(
    prefix: &str, source: &str, siblings: &dyn Fn(&str) -> bool, visited: &dyn Fn(&str) -> bool,
) -> Result<PythonRefs, Diagnostic> {
    let source = under_a_block(source);
    let module = parsed(&source)?;
    let mut refs = collect(&source, &module.body, visited)?;
    let (mut added, mut excluded) = (BTreeSet::new(), BTreeSet::new());
    if let [definition] = module.body.as_slice() {
        decorated(definition, &mut added, &mut excluded);
    }
    refs.references.append(&mut added);
    refs.references.retain(|name| !excluded.contains(name));
    refs.execs = refs.execs.iter().map(|name| if siblings(name) { format!("{prefix}.{name}").into() } else { name.clone() }).collect();
    Ok(refs)
}

/// The names that `@bb.parse.vardeps(…)` and `@bb.parse.vardepsexclude(…)` give.
fn decorated(definition: &Stmt, added: &mut BTreeSet<Str>, excluded: &mut BTreeSet<Str>) {
    let decorators = match definition {
        Stmt::FunctionDef(f) => &f.decorator_list,
        Stmt::ClassDef(c) => &c.decorator_list,
        _ => return,
    };
    for decorator in decorators {
        let Expr::Call(call) = &decorator.expression else { continue };
        let name = dotted(&call.func).unwrap_or_default();
        let into = match name.rsplit('.').next() {
            Some("vardeps") => &mut *added,
            Some("vardepsexclude") => &mut *excluded,
            _ => continue,
        };
        into.extend(call.arguments.args.iter().filter_map(text_literal).map(Str::from));
    }
}

/// `a.b.c` as written, if the expression is nothing else.
fn dotted(mut expr: &Expr) -> Option<String> {
    let mut parts = Vec::new();
    loop {
        match expr {
            Expr::Attribute(attribute) => {
                parts.push(attribute.attr.as_str());
                expr = &attribute.value;
            }
            Expr::Name(name) => {
                parts.push(name.id.as_str());
                parts.reverse();
                return Some(parts.join("."));
            }
            _ => return None,
        }
    }
}

fn text_literal(expr: &Expr) -> Option<String> {
    match expr {
        Expr::StringLiteral(literal) => Some(literal.value.to_str().to_string()),
        _ => None,
    }
}

/// Any constant, as Python's `str()` shows it; `Err` for what is not one.
enum Literal {
    Text(String),
    /// A constant that is not text.
    Other(String),
    Computed,
}

fn literal(expr: &Expr, source: &str) -> Literal {
    match expr {
        Expr::StringLiteral(literal) => Literal::Text(literal.value.to_str().to_string()),
        Expr::BytesLiteral(_) | Expr::NumberLiteral(_) => Literal::Other(source[expr.range()].to_string()),
        Expr::BooleanLiteral(b) => Literal::Other(if b.value { "True" } else { "False" }.into()),
        Expr::NoneLiteral(_) => Literal::Other("None".into()),
        Expr::EllipsisLiteral(_) => Literal::Other("Ellipsis".into()),
        _ => Literal::Computed,
    }
}

const READS: [&str; 4] = [".getVar", ".appendVar", ".prependVar", "oe.utils.conditional"];
const FLAG_READS: [&str; 3] = [".getVarFlag", ".appendVarFlag", ".prependVarFlag"];

fn collect(source: &str, body: &[Stmt], visited: &dyn Fn(&str) -> bool) -> Result<PythonRefs, Diagnostic> {
    let mut refs = PythonRefs::default();
    for call in calls(body) {
        if let Some(name) = dotted(&call.func) {
            visit(source, call, &name, visited, &mut refs)?;
        }
    }
    Ok(refs)
}

fn visit(
    source: &str, call: &ExprCall, name: &str, visited: &dyn Fn(&str) -> bool, refs: &mut PythonRefs,
) -> Result<(), Diagnostic> {
    let args = &call.arguments.args;
    let written = |expr: &Expr| Str::from(&source[expr.range()]);
    let argument = |n: usize| {
        args.get(n).ok_or_else(|| {
            Diagnostic::error("IndexError: list index out of range")
                .via(format!("in the call {}", &source[call.range()]), None)
                .help(format!("{name} needs its variable name as a positional argument"))
        })
    };
    let ends = |list: &[&str]| list.iter().any(|end| name.ends_with(end));
    let contains = matches!(name, "bb.utils.contains" | "base_contains");
    let contains_any = matches!(name, "bb.utils.contains_any" | "bb.utils.filter");

    if let Some(visitor) = visitor_of(name).filter(|_| visited(name)) {
        let parts: Vec<VisitorArg> = args.iter().map(|a| VisitorArg { literal: text_literal(a).map(Str::from), source: written(a) }).collect();
        let found = visitor(&VisitorCall { name, call: &source[call.range()], args: &parts })?;
        // A visitor's answer replaces what stood there, as the reference has it.
        refs.contains.extend(found.contains);
        refs.execs.extend(found.execs);
        if let Some(what) = found.warn {
            refs.computed.push((written(&call.func), what));
        }
    } else if ends(&READS) || ends(&FLAG_READS) || contains || contains_any {
        let first = argument(0)?;
        let Literal::Text(variable) = literal(first, source) else {
            refs.computed.push((written(&call.func), written(first)));
            return Ok(());
        };
        let variable = Str::from(variable);
        if contains || contains_any {
            match literal(argument(1)?, source) {
                Literal::Computed => drop(refs.references.insert(variable)),
                Literal::Other(_) => {
                    return Err(Diagnostic::error("AttributeError: the items of contains are not text")
                        .via(format!("in the call {}", &source[call.range()]), None));
                }
                Literal::Text(items) if contains => {
                    refs.contains.entry(variable).or_default().insert(items.into());
                }
                Literal::Text(items) => {
                    refs.contains.entry(variable).or_default().extend(items.split_whitespace().map(Str::from));
                }
            }
        } else if ends(&FLAG_READS) {
            let second = argument(1)?;
            match literal(second, source) {
                Literal::Text(flag) | Literal::Other(flag) => drop(refs.references.insert(format!("{variable}[{flag}]").into())),
                Literal::Computed => refs.computed.push((written(&call.func), written(second))),
            }
        } else {
            refs.references.insert(variable);
        }
    } else if name.ends_with(".expand") {
        if let Literal::Text(text) = literal(argument(0)?, source) {
            refs.expands.insert(text.into());
        }
    } else if matches!(name, "bb.build.exec_func" | "bb.build.exec_task") {
        let first = argument(0)?;
        match literal(first, source) {
            Literal::Text(function) | Literal::Other(function) => drop(refs.execs.insert(function.into())),
            Literal::Computed => refs.computed.push((written(&call.func), written(first))),
        }
    } else {
        refs.execs.insert(name.into());
    }
    Ok(())
}

/// The `NAME.visitorcode = FUNCTION` statements of a library module's file: (NAME, FUNCTION).
pub fn visitors_of_module(source: &str) -> Result<Vec<(Str, Str)>, Diagnostic> {
    let mut found = Vec::new();
    for stmt in &parsed(source)?.body {
        let Stmt::Assign(assign) = stmt else { continue };
        for target in &assign.targets {
            if let (Expr::Attribute(target), Expr::Name(function)) = (target, &*assign.value)
                && target.attr.as_str() == "visitorcode"
                && let Expr::Name(name) = &*target.value
            {
                found.push((name.id.as_str().into(), function.id.as_str().into()));
            }
        }
    }
    Ok(found)
}
