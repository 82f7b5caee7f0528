//! From the syntax tree of a function or expression to what [`super::run`] evaluates: names become places,
//! constants values, and what is not known here makes the VM run the whole function.
//!
//! Left to the VM: classes, generators that are kept, `match`, `async`, `yield`, functions within functions that
//! are more than called, lambdas, names looked up by `locals()` and its like.

use super::function::Func;
use super::text::Method;
use super::value::Val;
use hz_diagnostics::Str;
use ruff_python_ast::{self as ast, BoolOp, CmpOp, Expr, ExprContext, Number, Operator, Stmt, UnaryOp};
use ruff_text_size::{Ranged, TextSize};
use rustc_hash::{FxHashMap, FxHashSet};
use rustpython_vm::VirtualMachine;
use rustpython_vm::builtins::{PyDictRef, PyStrInterned};
use std::rc::Rc;

/// Statements with their lines.
pub type Body = Vec<(u32, Statement)>;

pub type Name = &'static PyStrInterned;

pub enum Node {
    Const(Val),
    Local(usize),
    /// A name of the function around, that many levels up.
    Up(usize, usize),
    Global(Name, u32),
    Attribute(Box<Node>, Name, u32),
    Call(Box<Call>),
    MethodCall(Box<MethodCall>),
    SpreadCall(Box<SpreadCall>),
    And(Vec<Node>),
    Or(Vec<Node>),
    Not(Box<Node>),
    Negative(Box<Node>, u32),
    Binary(Operator, Box<[Node; 2]>, u32),
    Compare(Box<Node>, Vec<(CmpOp, Node)>, u32),
    If(Box<[Node; 3]>),
    Index(Box<[Node; 2]>, u32),
    Slice(Box<[Node; 4]>, u32),
    List(Vec<Node>),
    Tuple(Vec<Node>),
    Set(Vec<Node>),
    Dict(Vec<(Node, Node)>),
    /// Text in braces, and whether it is `repr`.
    Format(Vec<Piece>),
    Comprehension(Box<Comprehension>),
    /// `any(…)` and `all(…)` of a generator.
    Quantified(bool, Box<Comprehension>, u32),
}

pub enum Piece {
    Text(Str),
    Value(Node, bool),
}

pub struct Call {
    pub callee: Node,
    pub args: Vec<Node>,
    pub named: Vec<(Name, Node)>,
    pub line: u32,
}

/// A call with `*` or `**` among its arguments.
pub struct SpreadCall {
    pub callee: Node,
    /// With `*`, and the value.
    pub args: Vec<(bool, Node)>,
    /// Without a name: `**`.
    pub named: Vec<(Option<Name>, Node)>,
    pub line: u32,
}

pub struct MethodCall {
    pub object: Node,
    pub name: Name,
    pub method: Option<Method>,
    pub args: Vec<Node>,
    pub named: Vec<(Name, Node)>,
    /// What it gives is only gone through.
    pub gone_through: bool,
    pub line: u32,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    List,
    Set,
    Dict,
}

pub struct Comprehension {
    pub kind: Kind,
    pub element: Node,
    /// Of a dictionary.
    pub value: Option<Node>,
    pub parts: Vec<Part>,
    /// In braces, not in brackets.
    pub generator: bool,
    pub line: u32,
}

pub struct Part {
    pub target: Target,
    pub over: Node,
    pub conditions: Vec<Node>,
}

pub enum Target {
    Local(usize),
    Up(usize, usize),
    Global(Name),
    Tuple(Vec<Target>),
    Index(Box<[Node; 2]>),
    Attribute(Node, Name),
}

pub struct Handler {
    pub class: Option<Node>,
    pub name: Option<usize>,
    pub body: Body,
}

pub enum Statement {
    Expr(Node),
    Assign(Vec<Target>, Node),
    Augment(Target, Operator, Node),
    For(Box<(Target, Node)>, Body, Body),
    While(Node, Body, Body),
    If(Vec<(Node, Body)>, Body),
    Return(Option<Node>),
    Break,
    Continue,
    Delete(Vec<Target>),
    /// A module is imported, and `bound`, that or the package it is in, gets a name.
    Import { module: Str, bound: Str, target: Target },
    ImportFrom(Str, Vec<(Name, Target)>),
    Raise(Option<Node>, Option<Node>),
    Assert(Node, Option<Node>),
    Try(Box<Try>),
    /// A function within a function, with the defaults of its last parameters.
    Define(Target, Rc<Func>, Vec<Node>),
    /// The manager, what it gives, and what is done with it.
    With(Node, Option<Target>, Body),
}

pub struct Try {
    pub body: Body,
    pub handlers: Vec<Handler>,
    pub otherwise: Body,
    pub finally: Body,
}

/// Why something is left to the VM.
pub type Result<T> = std::result::Result<T, &'static str>;

/// Names whose functions look at the frame they are called from.
const FRAME: [&str; 8] = ["locals", "vars", "dir", "eval", "exec", "super", "__import__", "__class__"];

#[derive(Default)]
struct Scope {
    places: FxHashMap<String, usize>,
    names: Vec<Str>,
    globals: FxHashSet<String>,
    outer: FxHashSet<String>,
    /// Names that functions defined here have.
    defined: FxHashSet<String>,
    /// Names of comprehensions and lambdas, innermost last.
    inner: Vec<(String, usize)>,
}

impl Scope {
    fn place(&mut self, name: &str) -> usize {
        self.names.push(name.into());
        self.names.len() - 1
    }
    fn bind(&mut self, name: &str) {
        if !self.places.contains_key(name) {
            let place = self.place(name);
            self.places.insert(name.to_string(), place);
        }
    }
}

/// Where the lines of a text begin.
pub struct Lines {
    starts: Vec<u32>,
    /// Number of the line before the first.
    before: u32,
}

impl Lines {
    pub fn new(text: &str, before: u32) -> Lines {
        let starts = std::iter::once(0).chain(memchr_lines(text)).collect();
        Lines { starts, before }
    }
    pub fn of(&self, at: TextSize) -> u32 {
        self.before + self.starts.partition_point(|start| *start <= at.to_u32()) as u32
    }
}

fn memchr_lines(text: &str) -> impl Iterator<Item = u32> {
    text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at as u32 + 1)
}

pub struct Compiler<'a> {
    vm: &'a VirtualMachine,
    lines: &'a Lines,
    file: Str,
    globals: PyDictRef,
    scopes: Vec<Scope>,
    /// Names of the functions around.
    around: Vec<Str>,
    /// Of the classes around, `A.B.`; attributes are not found by the names that are written there if these are private.
    class: String,
    /// Names that were found in no scope.
    pub read: Vec<Name>,
}

fn name_of(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Name(name) => Some(name.id.as_str()),
        _ => None,
    }
}

impl<'a> Compiler<'a> {
    pub fn new(vm: &'a VirtualMachine, lines: &'a Lines, file: Str, globals: PyDictRef) -> Compiler<'a> {
        Compiler { vm, lines, file, globals, scopes: Vec::new(), around: Vec::new(), class: String::new(), read: Vec::new() }
    }

    /// For methods of a class, `A.B.`.
    pub fn within(mut self, class: String) -> Compiler<'a> {
        self.class = class;
        self
    }

    fn scope(&mut self) -> &mut Scope {
        if self.scopes.is_empty() {
            self.scopes.push(Scope::default());
        }
        let last = self.scopes.len() - 1;
        &mut self.scopes[last]
    }

    fn intern(&self, name: &str) -> Name {
        self.vm.ctx.intern_str(name)
    }

    fn line(&self, node: &impl Ranged) -> u32 {
        self.lines.of(node.range().start())
    }

    /// A function, also one within a function. Its defaults are not part of it.
    pub fn function(&mut self, def: &ast::StmtFunctionDef, nested: bool) -> Result<Func> {
        if def.is_async || def.type_params.is_some() {
            return Err("async");
        }
        if nested && !def.decorator_list.is_empty() {
            return Err("decorators");
        }
        let parameters = &def.parameters;
        if !parameters.posonlyargs.is_empty() || (nested && !parameters.kwonlyargs.is_empty()) {
            return Err("parameters");
        }
        let mut scope = Scope::default();
        for parameter in &parameters.args {
            scope.bind(parameter.parameter.name.as_str());
        }
        let params = scope.names.len();
        for parameter in &parameters.kwonlyargs {
            scope.bind(parameter.parameter.name.as_str());
        }
        let named_only = scope.names.len() - params;
        for parameter in parameters.vararg.iter().chain(&parameters.kwarg) {
            scope.bind(parameter.name.as_str());
        }
        collect(&def.body, &mut scope)?;
        for name in scope.globals.iter().chain(&scope.outer) {
            if scope.places.contains_key(name) {
                return Err("global");
            }
        }
        self.scopes.push(scope);
        self.around.push(def.name.as_str().into());
        let body = self.body(&def.body);
        self.around.pop();
        let scope = self.scopes.pop().unwrap_or_default();
        Ok(Func {
            path: self.path(def.name.as_str(), nested),
            name: def.name.as_str().into(),
            file: self.file.clone(),
            line: self.line(def),
            params,
            named_only,
            rest: parameters.vararg.is_some(),
            rest_named: parameters.kwarg.is_some(),
            names: scope.names,
            body: body?,
            globals: self.globals.clone(),
            library: false,
        })
    }

    /// Python's `__qualname__`.
    fn path(&self, name: &str, nested: bool) -> Str {
        if !nested {
            return format!("{}{name}", self.class).into();
        }
        let around: String = self.around.iter().map(|name| format!("{name}.<locals>.")).collect();
        format!("{}{around}{name}", self.class).into()
    }

    /// An expression of its own with one parameter.
    pub fn expression(&mut self, expr: &Expr, parameter: &str) -> Result<Func> {
        let mut scope = Scope::default();
        scope.bind(parameter);
        self.scopes.push(scope);
        let node = self.expr(expr);
        let scope = self.scopes.pop().unwrap_or_default();
        Ok(Func {
            path: "<module>".into(),
            name: "<module>".into(),
            file: self.file.clone(),
            line: 1,
            params: 1,
            named_only: 0,
            rest: false,
            rest_named: false,
            names: scope.names,
            body: vec![(1, Statement::Return(Some(node?)))],
            globals: self.globals.clone(),
            library: false,
        })
    }

    fn body(&mut self, body: &[Stmt]) -> Result<Body> {
        let mut out = Vec::with_capacity(body.len());
        for stmt in body {
            match stmt {
                Stmt::Pass(_) | Stmt::Global(_) | Stmt::Nonlocal(_) => {}
                Stmt::Expr(stmt) if stmt.value.is_string_literal_expr() => {}
                Stmt::Import(stmt) => {
                    for alias in &stmt.names {
                        out.push((self.line(stmt), self.import(alias)?));
                    }
                }
                stmt => out.push((self.line(stmt), self.statement(stmt)?)),
            }
        }
        Ok(out)
    }

    fn statement(&mut self, stmt: &Stmt) -> Result<Statement> {
        Ok(match stmt {
            Stmt::Expr(stmt) => Statement::Expr(self.expr(&stmt.value)?),
            Stmt::Assign(stmt) => {
                let value = self.expr(&stmt.value)?;
                let targets: Result<Vec<_>> = stmt.targets.iter().map(|target| self.target(target)).collect();
                Statement::Assign(targets?, value)
            }
            Stmt::AnnAssign(stmt) => match &stmt.value {
                Some(value) if stmt.target.is_name_expr() => {
                    let value = self.expr(value)?;
                    Statement::Assign(vec![self.target(&stmt.target)?], value)
                }
                _ => return Err("annotation"),
            },
            Stmt::AugAssign(stmt) => {
                let value = self.expr(&stmt.value)?;
                Statement::Augment(self.target(&stmt.target)?, stmt.op, value)
            }
            Stmt::For(stmt) => {
                if stmt.is_async {
                    return Err("async");
                }
                let over = self.over(&stmt.iter)?;
                let target = self.target(&stmt.target)?;
                Statement::For(Box::new((target, over)), self.body(&stmt.body)?, self.body(&stmt.orelse)?)
            }
            Stmt::While(stmt) => Statement::While(self.expr(&stmt.test)?, self.body(&stmt.body)?, self.body(&stmt.orelse)?),
            Stmt::If(stmt) => {
                let mut branches = vec![(self.expr(&stmt.test)?, self.body(&stmt.body)?)];
                let mut otherwise = Vec::new();
                for clause in &stmt.elif_else_clauses {
                    let body = self.body(&clause.body)?;
                    match &clause.test {
                        Some(test) => branches.push((self.expr(test)?, body)),
                        None => otherwise = body,
                    }
                }
                Statement::If(branches, otherwise)
            }
            Stmt::Return(stmt) => Statement::Return(stmt.value.as_ref().map(|value| self.expr(value)).transpose()?),
            Stmt::Break(_) => Statement::Break,
            Stmt::Continue(_) => Statement::Continue,
            Stmt::Delete(stmt) => {
                let targets: Result<Vec<_>> = stmt.targets.iter().map(|target| self.target(target)).collect();
                Statement::Delete(targets?)
            }
            Stmt::ImportFrom(stmt) => {
                let module = stmt.module.as_ref().ok_or("relative import")?;
                if stmt.level != 0 || module.as_str() == "__future__" {
                    return Err("relative import");
                }
                let mut names = Vec::new();
                for alias in &stmt.names {
                    if alias.name.as_str() == "*" {
                        return Err("import *");
                    }
                    let bound = alias.asname.as_ref().unwrap_or(&alias.name);
                    names.push((self.intern(alias.name.as_str()), self.name_target(bound.as_str())?));
                }
                Statement::ImportFrom(module.as_str().into(), names)
            }
            Stmt::Raise(stmt) => {
                let exception = stmt.exc.as_ref().map(|e| self.expr(e)).transpose()?;
                Statement::Raise(exception, stmt.cause.as_ref().map(|e| self.expr(e)).transpose()?)
            }
            Stmt::Assert(stmt) => {
                let test = self.expr(&stmt.test)?;
                Statement::Assert(test, stmt.msg.as_ref().map(|e| self.expr(e)).transpose()?)
            }
            Stmt::Try(stmt) => {
                if stmt.is_star {
                    return Err("except*");
                }
                let mut handlers = Vec::new();
                let body = self.body(&stmt.body)?;
                for handler in &stmt.handlers {
                    let ast::ExceptHandler::ExceptHandler(handler) = handler;
                    let class = handler.type_.as_ref().map(|class| self.expr(class)).transpose()?;
                    let name = match &handler.name {
                        Some(name) => match self.name_target(name.as_str())? {
                            Target::Local(place) => Some(place),
                            _ => return Err("name of an exception"),
                        },
                        None => None,
                    };
                    handlers.push(Handler { class, name, body: self.body(&handler.body)? });
                }
                let (otherwise, finally) = (self.body(&stmt.orelse)?, self.body(&stmt.finalbody)?);
                Statement::Try(Box::new(Try { body, handlers, otherwise, finally }))
            }
            Stmt::FunctionDef(def) => {
                let defaults: Result<Vec<_>> = def.parameters.args.iter().filter_map(|p| p.default.as_ref()).map(|value| self.expr(value)).collect();
                let func = self.function(def, true)?;
                Statement::Define(self.name_target(def.name.as_str())?, Rc::new(func), defaults?)
            }
            Stmt::With(stmt) => {
                let [item] = &*stmt.items else { return Err("several managers") };
                if stmt.is_async {
                    return Err("async");
                }
                let manager = self.expr(&item.context_expr)?;
                let target = item.optional_vars.as_ref().map(|target| self.target(target)).transpose()?;
                Statement::With(manager, target, self.body(&stmt.body)?)
            }
            _ => return Err("statement"),
        })
    }

    fn import(&mut self, alias: &ast::Alias) -> Result<Statement> {
        let module = alias.name.as_str();
        let first = module.split('.').next().unwrap_or(module);
        Ok(match &alias.asname {
            Some(name) => Statement::Import { module: module.into(), bound: module.into(), target: self.name_target(name.as_str())? },
            None => Statement::Import { module: module.into(), bound: first.into(), target: self.name_target(first)? },
        })
    }

    /// Within a class Python gives names another form that begin with two underscores.
    fn not_private(&self, name: &str) -> Result<()> {
        if !self.class.is_empty() && name.starts_with("__") && !name.ends_with("__") { Err("private name") } else { Ok(()) }
    }

    fn name_target(&mut self, name: &str) -> Result<Target> {
        self.not_private(name)?;
        let scope = self.scope();
        if scope.globals.contains(name) {
            return Ok(Target::Global(self.intern(name)));
        }
        if scope.outer.contains(name) {
            return match self.find(name) {
                Some(Node::Up(levels, place)) => Ok(Target::Up(levels, place)),
                _ => Err("nonlocal"),
            };
        }
        match scope.inner.iter().rev().find(|(known, _)| known == name) {
            Some((_, place)) => Ok(Target::Local(*place)),
            None => scope.places.get(name).map(|place| Target::Local(*place)).ok_or("unknown name"),
        }
    }

    fn target(&mut self, target: &Expr) -> Result<Target> {
        Ok(match target {
            Expr::Name(name) => {
                if self.scope().defined.contains(name.id.as_str()) {
                    return Err("function bound anew");
                }
                self.name_target(name.id.as_str())?
            }
            Expr::Tuple(tuple) => {
                let parts: Result<Vec<_>> = tuple.elts.iter().map(|part| self.target(part)).collect();
                Target::Tuple(parts?)
            }
            Expr::List(list) => {
                let parts: Result<Vec<_>> = list.elts.iter().map(|part| self.target(part)).collect();
                Target::Tuple(parts?)
            }
            Expr::Subscript(part) if !part.slice.is_slice_expr() => {
                Target::Index(Box::new([self.expr(&part.value)?, self.expr(&part.slice)?]))
            }
            Expr::Attribute(attribute) => {
                self.not_private(attribute.attr.as_str())?;
                Target::Attribute(self.expr(&attribute.value)?, self.intern(attribute.attr.as_str()))
            }
            _ => return Err("target"),
        })
    }

    /// Where a name is read from.
    fn find(&self, name: &str) -> Option<Node> {
        for (levels, scope) in self.scopes.iter().rev().enumerate() {
            if levels == 0 && scope.globals.contains(name) {
                return None;
            }
            let inner = scope.inner.iter().rev().find(|(known, _)| known == name).map(|(_, place)| *place);
            let skip = levels == 0 && scope.outer.contains(name);
            if let Some(place) = inner.or_else(|| scope.places.get(name).copied()).filter(|_| !skip) {
                return Some(if levels == 0 { Node::Local(place) } else { Node::Up(levels, place) });
            }
        }
        None
    }

    fn is_defined(&self, name: &str) -> bool {
        self.scopes.iter().any(|scope| scope.defined.contains(name))
    }

    fn name(&mut self, name: &str, called: bool, line: u32) -> Result<Node> {
        self.not_private(name)?;
        if !called && self.is_defined(name) {
            return Err("a nested function that is not just called");
        }
        if let Some(found) = self.find(name) {
            return Ok(found);
        }
        if FRAME.contains(&name) {
            return Err("looks at its frame");
        }
        let name = self.intern(name);
        self.read.push(name);
        Ok(Node::Global(name, line))
    }

    fn exprs(&mut self, exprs: &[Expr]) -> Result<Vec<Node>> {
        exprs.iter().map(|expr| self.expr(expr)).collect()
    }

    fn boxed(&mut self, expr: &Expr) -> Result<Box<Node>> {
        self.expr(expr).map(Box::new)
    }

    /// Something that is gone through at once.
    fn over(&mut self, expr: &Expr) -> Result<Node> {
        match expr {
            Expr::Generator(generator) => self.comprehension(Kind::List, &generator.elt, None, &generator.generators, expr),
            expr => {
                let mut node = self.expr(expr)?;
                if let Node::MethodCall(call) = &mut node {
                    call.gone_through = true;
                }
                Ok(node)
            }
        }
    }

    fn comprehension(
        &mut self, kind: Kind, element: &Expr, value: Option<&Expr>, parts: &[ast::Comprehension], whole: &Expr,
    ) -> Result<Node> {
        Ok(Node::Comprehension(Box::new(self.comprehended(kind, element, value, parts, whole)?)))
    }

    fn comprehended(
        &mut self, kind: Kind, element: &Expr, value: Option<&Expr>, parts: &[ast::Comprehension], whole: &Expr,
    ) -> Result<Comprehension> {
        let before = self.scope().inner.len();
        let mut made = Vec::new();
        for part in parts {
            if part.is_async {
                return Err("async");
            }
            let over = self.over(&part.iter)?;
            let mut names = Vec::new();
            target_names(&part.target, &mut names)?;
            for name in names {
                let scope = self.scope();
                let place = scope.place(&name);
                scope.inner.push((name, place));
            }
            let target = self.target(&part.target)?;
            let conditions = self.exprs(&part.ifs)?;
            made.push(Part { target, over, conditions });
        }
        let element = self.expr(element)?;
        let value = value.map(|value| self.expr(value)).transpose()?;
        self.scope().inner.truncate(before);
        Ok(Comprehension { kind, element, value, parts: made, generator: whole.is_generator_expr(), line: self.line(whole) })
    }

    /// `lambda x: …` with one parameter, as the place of that and the expression.
    fn lambda(&mut self, expr: &Expr) -> Result<(usize, Node)> {
        let Expr::Lambda(lambda) = expr else { return Err("key") };
        let Some(parameters) = lambda.parameters.as_deref() else { return Err("lambda") };
        let [parameter] = &*parameters.args else { return Err("lambda") };
        if parameter.default.is_some() || parameters.len() != 1 {
            return Err("lambda");
        }
        let name = parameter.parameter.name.to_string();
        let scope = self.scope();
        let place = scope.place(&name);
        scope.inner.push((name, place));
        let body = self.expr(&lambda.body);
        self.scope().inner.pop();
        Ok((place, body?))
    }

    fn expr(&mut self, expr: &Expr) -> Result<Node> {
        let line = self.line(expr);
        Ok(match expr {
            Expr::StringLiteral(text) => Node::Const(Val::Str(text.value.to_str().into())),
            Expr::NumberLiteral(number) => match &number.value {
                Number::Int(number) => Node::Const(Val::Int(number.as_i64().ok_or("big number")?)),
                _ => return Err("number"),
            },
            Expr::BooleanLiteral(truth) => Node::Const(Val::Bool(truth.value)),
            Expr::NoneLiteral(_) => Node::Const(Val::None),
            Expr::List(list) => Node::List(self.exprs(&list.elts)?),
            Expr::Tuple(list) => tuple(self.exprs(&list.elts)?),
            Expr::Set(set) => Node::Set(self.exprs(&set.elts)?),
            Expr::Dict(dict) => {
                let mut items = Vec::new();
                for item in &dict.items {
                    let key = item.key.as_ref().ok_or("**")?;
                    items.push((self.expr(key)?, self.expr(&item.value)?));
                }
                Node::Dict(items)
            }
            Expr::BoolOp(op) => match op.op {
                BoolOp::Or => Node::Or(self.exprs(&op.values)?),
                BoolOp::And => Node::And(self.exprs(&op.values)?),
            },
            Expr::UnaryOp(op) => match op.op {
                UnaryOp::Not => Node::Not(self.boxed(&op.operand)?),
                UnaryOp::USub => Node::Negative(self.boxed(&op.operand)?, line),
                _ => return Err("unary operator"),
            },
            Expr::If(choice) => {
                // In the order in which they are evaluated.
                let test = self.expr(&choice.test)?;
                Node::If(Box::new([test, self.expr(&choice.body)?, self.expr(&choice.orelse)?]))
            }
            Expr::Compare(compare) => {
                let left = self.boxed(&compare.left)?;
                let mut rest = Vec::new();
                for (op, right) in compare.ops.iter().zip(compare.comparators.iter()) {
                    let right = match (op, right) {
                        // What is only searched need not be a list.
                        (CmpOp::In | CmpOp::NotIn, Expr::List(list)) => match tuple(self.exprs(&list.elts)?) {
                            Node::Tuple(parts) => Node::List(parts),
                            constant => constant,
                        },
                        (_, right) => self.expr(right)?,
                    };
                    rest.push((*op, right));
                }
                Node::Compare(left, rest, line)
            }
            Expr::BinOp(op) => Node::Binary(op.op, Box::new([self.expr(&op.left)?, self.expr(&op.right)?]), line),
            Expr::Subscript(part) => match &*part.slice {
                Expr::Slice(slice) => {
                    let value = self.expr(&part.value)?;
                    let mut end = |end: &Option<Box<Expr>>| match end {
                        Some(end) => self.expr(end),
                        None => Ok(Node::Const(Val::None)),
                    };
                    let (from, to, step) = (end(&slice.lower)?, end(&slice.upper)?, end(&slice.step)?);
                    Node::Slice(Box::new([value, from, to, step]), line)
                }
                index => Node::Index(Box::new([self.expr(&part.value)?, self.expr(index)?]), line),
            },
            Expr::Name(name) if name.ctx == ExprContext::Load => self.name(name.id.as_str(), false, line)?,
            Expr::Attribute(attribute) => {
                self.not_private(attribute.attr.as_str())?;
                Node::Attribute(self.boxed(&attribute.value)?, self.intern(attribute.attr.as_str()), line)
            }
            Expr::ListComp(list) => self.comprehension(Kind::List, &list.elt, None, &list.generators, expr)?,
            Expr::SetComp(set) => self.comprehension(Kind::Set, &set.elt, None, &set.generators, expr)?,
            Expr::DictComp(dict) => {
                let key = dict.key.as_ref().ok_or("**")?;
                self.comprehension(Kind::Dict, key, Some(&dict.value), &dict.generators, expr)?
            }
            Expr::FString(text) => {
                let mut pieces = Vec::new();
                for part in text.value.iter() {
                    match part {
                        ast::FStringPart::Literal(text) => pieces.push(Piece::Text((&*text.value).into())),
                        ast::FStringPart::FString(text) => {
                            for element in text.elements.iter() {
                                pieces.push(match element {
                                    ast::InterpolatedStringElement::Literal(text) => Piece::Text((&*text.value).into()),
                                    ast::InterpolatedStringElement::Interpolation(part) => {
                                        if part.debug_text.is_some() || part.format_spec.is_some() {
                                            return Err("format");
                                        }
                                        let repr = match part.conversion {
                                            ast::ConversionFlag::None | ast::ConversionFlag::Str => false,
                                            ast::ConversionFlag::Repr => true,
                                            ast::ConversionFlag::Ascii => return Err("format"),
                                        };
                                        Piece::Value(self.expr(&part.expression)?, repr)
                                    }
                                });
                            }
                        }
                    }
                }
                Node::Format(pieces)
            }
            Expr::Call(call) => self.call(call, line)?,
            _ => return Err("expression"),
        })
    }

    fn call(&mut self, call: &ast::ExprCall, line: u32) -> Result<Node> {
        let arguments = &call.arguments;
        if arguments.args.iter().any(|arg| arg.is_starred_expr()) || arguments.keywords.iter().any(|keyword| keyword.arg.is_none()) {
            return self.spread_call(call, line);
        }
        // `any(… for …)`: as far as it has to.
        if let (Some(name @ ("any" | "all")), [Expr::Generator(generator)], []) =
            (name_of(&call.func), &*arguments.args, &*arguments.keywords)
            && self.find(name).is_none()
        {
            let found = self.comprehended(Kind::List, &generator.elt, None, &generator.generators, &arguments.args[0])?;
            return Ok(Node::Quantified(name == "any", Box::new(found), line));
        }
        if name_of(&call.func) == Some("globals") && self.find("globals").is_none() && arguments.is_empty() {
            return Ok(Node::Const(Val::Object(self.globals.clone().into())));
        }
        let method = match &*call.func {
            Expr::Attribute(attribute) => Some(attribute),
            _ => None,
        };
        if let Some(attribute) = method {
            self.not_private(attribute.attr.as_str())?;
        }
        let consumes = match (&method, name_of(&call.func)) {
            (Some(attribute), _) => attribute.attr.as_str() == "join" || attribute.attr.as_str() == "extend",
            (None, Some(name)) => ["list", "set", "sorted", "tuple", "dict", "sum", "min", "max", "len"].contains(&name) && self.find(name).is_none(),
            _ => false,
        };
        let callee = match &method {
            Some(attribute) => self.expr(&attribute.value)?,
            None => match &*call.func {
                Expr::Name(name) => self.name(name.id.as_str(), true, line)?,
                other => self.expr(other)?,
            },
        };
        let mut args = Vec::new();
        for (at, arg) in arguments.args.iter().enumerate() {
            args.push(if consumes && at == 0 { self.consumed(arg)? } else { self.expr(arg)? });
        }
        let mut named = Vec::new();
        for keyword in &arguments.keywords {
            let name = keyword.arg.as_ref().ok_or("**")?.as_str();
            named.push((self.intern(name), self.expr(&keyword.value)?));
        }
        Ok(match method {
            Some(attribute) => {
                let name = attribute.attr.as_str();
                Node::MethodCall(Box::new(MethodCall {
                    object: callee,
                    name: self.intern(name),
                    method: Method::of(name),
                    args,
                    named,
                    gone_through: false,
                    line,
                }))
            }
            None => Node::Call(Box::new(Call { callee, args, named, line })),
        })
    }

    fn spread_call(&mut self, call: &ast::ExprCall, line: u32) -> Result<Node> {
        let callee = match &*call.func {
            Expr::Name(name) => self.name(name.id.as_str(), true, line)?,
            other => self.expr(other)?,
        };
        let mut args = Vec::new();
        for arg in &call.arguments.args {
            args.push(match arg {
                Expr::Starred(starred) => (true, self.over(&starred.value)?),
                arg => (false, self.expr(arg)?),
            });
        }
        let mut named = Vec::new();
        for keyword in &call.arguments.keywords {
            let name = keyword.arg.as_ref().map(|name| self.intern(name.as_str()));
            named.push((name, self.expr(&keyword.value)?));
        }
        Ok(Node::SpreadCall(Box::new(SpreadCall { callee, args, named, line })))
    }

    /// An argument that the called function goes through at once.
    fn consumed(&mut self, arg: &Expr) -> Result<Node> {
        if let Expr::Call(call) = arg
            && let (Some("map" | "filter"), [Expr::Lambda(_), over], []) = (name_of(&call.func), &*call.arguments.args, &*call.arguments.keywords)
        {
            let kind = name_of(&call.func).unwrap_or_default();
            if self.find(kind).is_some() {
                return Err("map");
            }
            let over = self.over(over)?;
            let (place, body) = self.lambda(&call.arguments.args[0])?;
            let (element, conditions) = if kind == "map" { (body, vec![]) } else { (Node::Local(place), vec![body]) };
            let parts = vec![Part { target: Target::Local(place), over, conditions }];
            return Ok(Node::Comprehension(Box::new(Comprehension { kind: Kind::List, element, value: None, parts, generator: false, line: self.line(arg) })));
        }
        self.over(arg)
    }
}

/// A tuple, made once if it is always the same.
fn tuple(parts: Vec<Node>) -> Node {
    let constants: Option<Vec<Val>> = parts.iter().map(|part| if let Node::Const(value) = part { Some(value.clone()) } else { None }).collect();
    match constants {
        Some(values) => Node::Const(Val::tuple(values)),
        None => Node::Tuple(parts),
    }
}

/// The names a target binds.
fn target_names(target: &Expr, names: &mut Vec<String>) -> Result<()> {
    match target {
        Expr::Name(name) => names.push(name.id.to_string()),
        Expr::Tuple(tuple) => tuple.elts.iter().try_for_each(|part| target_names(part, names))?,
        Expr::List(list) => list.elts.iter().try_for_each(|part| target_names(part, names))?,
        Expr::Subscript(_) | Expr::Attribute(_) => {}
        _ => return Err("target"),
    }
    Ok(())
}

/// The names a function's statements bind.
fn collect(body: &[Stmt], scope: &mut Scope) -> Result<()> {
    let bind = |target: &Expr, scope: &mut Scope| -> Result<()> {
        let mut names = Vec::new();
        target_names(target, &mut names)?;
        for name in names.iter().filter(|name| !scope.globals.contains(*name) && !scope.outer.contains(*name)).cloned().collect::<Vec<_>>() {
            scope.bind(&name);
        }
        Ok(())
    };
    for stmt in body {
        match stmt {
            Stmt::Global(stmt) => scope.globals.extend(stmt.names.iter().map(ToString::to_string)),
            Stmt::Nonlocal(stmt) => scope.outer.extend(stmt.names.iter().map(ToString::to_string)),
            _ => {}
        }
    }
    for stmt in body {
        match stmt {
            Stmt::Assign(stmt) => stmt.targets.iter().try_for_each(|target| bind(target, scope))?,
            Stmt::AugAssign(stmt) => bind(&stmt.target, scope)?,
            Stmt::AnnAssign(stmt) => bind(&stmt.target, scope)?,
            Stmt::Delete(stmt) => stmt.targets.iter().try_for_each(|target| bind(target, scope))?,
            Stmt::For(stmt) => {
                bind(&stmt.target, scope)?;
                collect(&stmt.body, scope)?;
                collect(&stmt.orelse, scope)?;
            }
            Stmt::While(stmt) => {
                collect(&stmt.body, scope)?;
                collect(&stmt.orelse, scope)?;
            }
            Stmt::If(stmt) => {
                collect(&stmt.body, scope)?;
                stmt.elif_else_clauses.iter().try_for_each(|clause| collect(&clause.body, scope))?;
            }
            Stmt::Try(stmt) => {
                collect(&stmt.body, scope)?;
                for ast::ExceptHandler::ExceptHandler(handler) in &stmt.handlers {
                    if let Some(name) = &handler.name {
                        scope.bind(name.as_str());
                    }
                    collect(&handler.body, scope)?;
                }
                collect(&stmt.orelse, scope)?;
                collect(&stmt.finalbody, scope)?;
            }
            Stmt::Import(stmt) => {
                for alias in &stmt.names {
                    let name = alias.asname.as_ref().unwrap_or(&alias.name).as_str();
                    let name = if alias.asname.is_some() { name } else { name.split('.').next().unwrap_or(name) };
                    if !scope.globals.contains(name) {
                        scope.bind(name);
                    }
                }
            }
            Stmt::ImportFrom(stmt) => {
                for alias in &stmt.names {
                    let name = alias.asname.as_ref().unwrap_or(&alias.name).as_str();
                    if !scope.globals.contains(name) {
                        scope.bind(name);
                    }
                }
            }
            Stmt::FunctionDef(def) => {
                if !scope.defined.insert(def.name.to_string()) || scope.globals.contains(def.name.as_str()) {
                    return Err("function defined twice");
                }
                scope.bind(def.name.as_str());
            }
            Stmt::With(stmt) => {
                stmt.items.iter().filter_map(|item| item.optional_vars.as_ref()).try_for_each(|target| bind(target, scope))?;
                collect(&stmt.body, scope)?;
            }
            Stmt::Match(_) | Stmt::ClassDef(_) => return Err("statement"),
            _ => {}
        }
    }
    Ok(())
}
