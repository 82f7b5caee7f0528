//! Every call in a Python syntax tree, in the order in which CPython's breadth-first walk of its
//! own tree meets them.
//!
//! The order matters where a later call replaces what an earlier one found (library functions that
//! bring a visitor of their own), so depths are counted as CPython nests its nodes: an `elif` is an
//! `if` inside the `else`, an argument list is a node, the keys of a dictionary come before its values.

use ruff_python_ast::{
    Arguments, Comprehension, ExceptHandler, Expr, ExprCall, InterpolatedStringElement, Parameters, Pattern, Stmt, TypeParam,
    TypeParams,
};

/// The calls below `body`, outermost level first.
pub fn calls(body: &[Stmt]) -> Vec<&ExprCall> {
    let mut walk = Walk { found: Vec::new() };
    walk.body(body, 1);
    // Within one level the walk from left to right is already the breadth-first order.
    walk.found.sort_by_key(|(depth, _)| *depth);
    walk.found.into_iter().map(|(_, call)| call).collect()
}

struct Walk<'a> {
    found: Vec<(u32, &'a ExprCall)>,
}

impl<'a> Walk<'a> {
    fn body(&mut self, body: &'a [Stmt], depth: u32) {
        for stmt in body {
            self.stmt(stmt, depth);
        }
    }

    fn exprs(&mut self, exprs: impl IntoIterator<Item = &'a Expr>, depth: u32) {
        for expr in exprs {
            self.expr(expr, depth);
        }
    }

    fn maybe(&mut self, expr: &'a Option<Box<Expr>>, depth: u32) {
        if let Some(expr) = expr {
            self.expr(expr, depth);
        }
    }

    fn stmt(&mut self, stmt: &'a Stmt, at: u32) {
        let below = at + 1;
        match stmt {
            Stmt::FunctionDef(f) => {
                self.parameters(&f.parameters, below);
                self.body(&f.body, below);
                self.exprs(f.decorator_list.iter().map(|d| &d.expression), below);
                self.maybe(&f.returns, below);
                self.type_params(&f.type_params, below);
            }
            Stmt::ClassDef(c) => {
                if let Some(arguments) = &c.arguments {
                    self.arguments(arguments, below);
                }
                self.body(&c.body, below);
                self.exprs(c.decorator_list.iter().map(|d| &d.expression), below);
                self.type_params(&c.type_params, below);
            }
            Stmt::Return(s) => self.maybe(&s.value, below),
            Stmt::Delete(s) => self.exprs(&s.targets, below),
            Stmt::TypeAlias(s) => {
                self.expr(&s.name, below);
                self.type_params(&s.type_params, below);
                self.expr(&s.value, below);
            }
            Stmt::Assign(s) => {
                self.exprs(&s.targets, below);
                self.expr(&s.value, below);
            }
            Stmt::AugAssign(s) => {
                self.expr(&s.target, below);
                self.expr(&s.value, below);
            }
            Stmt::AnnAssign(s) => {
                self.expr(&s.target, below);
                self.expr(&s.annotation, below);
                self.maybe(&s.value, below);
            }
            Stmt::For(s) => {
                self.expr(&s.target, below);
                self.expr(&s.iter, below);
                self.body(&s.body, below);
                self.body(&s.orelse, below);
            }
            Stmt::While(s) => {
                self.expr(&s.test, below);
                self.body(&s.body, below);
                self.body(&s.orelse, below);
            }
            Stmt::If(s) => {
                self.expr(&s.test, below);
                self.body(&s.body, below);
                let mut level = below;
                for clause in &s.elif_else_clauses {
                    if let Some(test) = &clause.test {
                        self.expr(test, level + 1);
                        self.body(&clause.body, level + 1);
                        level += 1;
                    } else {
                        self.body(&clause.body, level);
                    }
                }
            }
            Stmt::With(s) => {
                for item in &s.items {
                    self.expr(&item.context_expr, below + 1);
                    self.maybe(&item.optional_vars, below + 1);
                }
                self.body(&s.body, below);
            }
            Stmt::Match(s) => {
                self.expr(&s.subject, below);
                for case in &s.cases {
                    self.pattern(&case.pattern, below + 1);
                    self.maybe(&case.guard, below + 1);
                    self.body(&case.body, below + 1);
                }
            }
            Stmt::Raise(s) => {
                self.maybe(&s.exc, below);
                self.maybe(&s.cause, below);
            }
            Stmt::Try(s) => {
                self.body(&s.body, below);
                for ExceptHandler::ExceptHandler(handler) in &s.handlers {
                    self.maybe(&handler.type_, below + 1);
                    self.body(&handler.body, below + 1);
                }
                self.body(&s.orelse, below);
                self.body(&s.finalbody, below);
            }
            Stmt::Assert(s) => {
                self.expr(&s.test, below);
                self.maybe(&s.msg, below);
            }
            Stmt::Expr(s) => self.expr(&s.value, below),
            Stmt::Import(_)
            | Stmt::ImportFrom(_)
            | Stmt::Global(_)
            | Stmt::Nonlocal(_)
            | Stmt::Pass(_)
            | Stmt::Break(_)
            | Stmt::Continue(_)
            | Stmt::IpyEscapeCommand(_) => {}
        }
    }

    fn arguments(&mut self, arguments: &'a Arguments, at: u32) {
        self.exprs(arguments.args.iter(), at);
        self.exprs(arguments.keywords.iter().map(|k| &k.value), at + 1);
    }

    fn parameters(&mut self, parameters: &'a Parameters, at: u32) {
        let p = parameters;
        let positional = || p.posonlyargs.iter().chain(p.args.iter());
        for parameter in positional()
            .map(|a| &a.parameter)
            .chain(p.vararg.as_deref())
            .chain(p.kwonlyargs.iter().map(|a| &a.parameter))
        {
            self.maybe(&parameter.annotation, at + 2);
        }
        for argument in &p.kwonlyargs {
            self.maybe(&argument.default, at + 1);
        }
        if let Some(kwarg) = &p.kwarg {
            self.maybe(&kwarg.annotation, at + 2);
        }
        for argument in positional() {
            self.maybe(&argument.default, at + 1);
        }
    }

    fn type_params(&mut self, params: &'a Option<Box<TypeParams>>, at: u32) {
        for param in params.iter().flat_map(|p| &p.type_params) {
            match param {
                TypeParam::TypeVar(t) => {
                    self.maybe(&t.bound, at + 1);
                    self.maybe(&t.default, at + 1);
                }
                TypeParam::TypeVarTuple(t) => self.maybe(&t.default, at + 1),
                TypeParam::ParamSpec(t) => self.maybe(&t.default, at + 1),
            }
        }
    }

    fn pattern(&mut self, pattern: &'a Pattern, at: u32) {
        let below = at + 1;
        match pattern {
            Pattern::MatchValue(p) => self.expr(&p.value, below),
            Pattern::MatchSequence(p) => p.patterns.iter().for_each(|p| self.pattern(p, below)),
            Pattern::MatchMapping(p) => {
                self.exprs(&p.keys, below);
                p.patterns.iter().for_each(|p| self.pattern(p, below));
            }
            Pattern::MatchClass(p) => {
                self.expr(&p.cls, below);
                p.arguments.patterns.iter().for_each(|p| self.pattern(p, below));
                p.arguments.keywords.iter().for_each(|k| self.pattern(&k.pattern, below));
            }
            Pattern::MatchAs(p) => p.pattern.iter().for_each(|p| self.pattern(p, below)),
            Pattern::MatchOr(p) => p.patterns.iter().for_each(|p| self.pattern(p, below)),
            Pattern::MatchSingleton(_) | Pattern::MatchStar(_) => {}
        }
    }

    fn comprehensions(&mut self, generators: &'a [Comprehension], at: u32) {
        for generator in generators {
            self.expr(&generator.target, at + 1);
            self.expr(&generator.iter, at + 1);
            self.exprs(&generator.ifs, at + 1);
        }
    }

    fn interpolated(&mut self, elements: impl IntoIterator<Item = &'a InterpolatedStringElement>, at: u32) {
        for element in elements {
            if let InterpolatedStringElement::Interpolation(element) = element {
                self.expr(&element.expression, at + 1);
                if let Some(spec) = &element.format_spec {
                    self.interpolated(&spec.elements, at + 2);
                }
            }
        }
    }

    fn expr(&mut self, expr: &'a Expr, at: u32) {
        let below = at + 1;
        match expr {
            Expr::Call(call) => {
                self.found.push((at, call));
                self.expr(&call.func, below);
                self.arguments(&call.arguments, below);
            }
            Expr::BoolOp(e) => self.exprs(&e.values, below),
            Expr::Named(e) => {
                self.expr(&e.target, below);
                self.expr(&e.value, below);
            }
            Expr::BinOp(e) => {
                self.expr(&e.left, below);
                self.expr(&e.right, below);
            }
            Expr::UnaryOp(e) => self.expr(&e.operand, below),
            Expr::Lambda(e) => {
                if let Some(parameters) = &e.parameters {
                    self.parameters(parameters, below);
                }
                self.expr(&e.body, below);
            }
            Expr::If(e) => {
                self.expr(&e.test, below);
                self.expr(&e.body, below);
                self.expr(&e.orelse, below);
            }
            Expr::Dict(e) => {
                self.exprs(e.items.iter().filter_map(|item| item.key.as_ref()), below);
                self.exprs(e.items.iter().map(|item| &item.value), below);
            }
            Expr::Set(e) => self.exprs(&e.elts, below),
            Expr::ListComp(e) => {
                self.expr(&e.elt, below);
                self.comprehensions(&e.generators, below);
            }
            Expr::SetComp(e) => {
                self.expr(&e.elt, below);
                self.comprehensions(&e.generators, below);
            }
            Expr::DictComp(e) => {
                self.maybe(&e.key, below);
                self.expr(&e.value, below);
                self.comprehensions(&e.generators, below);
            }
            Expr::Generator(e) => {
                self.expr(&e.elt, below);
                self.comprehensions(&e.generators, below);
            }
            Expr::Await(e) => self.expr(&e.value, below),
            Expr::Yield(e) => self.maybe(&e.value, below),
            Expr::YieldFrom(e) => self.expr(&e.value, below),
            Expr::Compare(e) => {
                self.expr(&e.left, below);
                self.exprs(e.comparators.iter(), below);
            }
            Expr::FString(e) => self.interpolated(e.value.elements(), below),
            Expr::TString(e) => self.interpolated(e.value.elements(), below),
            Expr::Attribute(e) => self.expr(&e.value, below),
            Expr::Subscript(e) => {
                self.expr(&e.value, below);
                self.expr(&e.slice, below);
            }
            Expr::Starred(e) => self.expr(&e.value, below),
            Expr::List(e) => self.exprs(&e.elts, below),
            Expr::Tuple(e) => self.exprs(&e.elts, below),
            Expr::Slice(e) => {
                self.maybe(&e.lower, below);
                self.maybe(&e.upper, below);
                self.maybe(&e.step, below);
            }
            Expr::StringLiteral(_)
            | Expr::BytesLiteral(_)
            | Expr::NumberLiteral(_)
            | Expr::BooleanLiteral(_)
            | Expr::NoneLiteral(_)
            | Expr::EllipsisLiteral(_)
            | Expr::Constant(_)
            | Expr::Name(_)
            | Expr::IpyEscapeCommand(_) => {}
        }
    }
}
