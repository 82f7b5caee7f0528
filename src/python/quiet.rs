//! Whether anybody notices that methods of some classes were called: whether they say something, change
//! anything but their own object, or raise.
//!
//! Judged by their statements and those of every method and function they call. In doubt somebody does. What a
//! statement raises unasked (a KeyError, say) is not seen.

use crate::deferral::dotted;
use ruff_python_ast::visitor::{Visitor, walk_expr, walk_stmt};
use ruff_python_ast::{Expr, Stmt, StmtFunctionDef};
use rustc_hash::{FxHashMap, FxHashSet};
use std::path::Path;

/// Methods of texts and containers.
const METHODS: &[&str] = &[
    "add", "append", "copy", "count", "discard", "endswith", "extend", "find", "format", "get", "index", "insert", "items", "join", "keys",
    "lower", "lstrip", "partition", "pop", "remove", "replace", "rfind", "rpartition", "rsplit", "rstrip", "setdefault", "sort", "split",
    "splitlines", "startswith", "strip", "union", "update", "upper", "values",
];

const FUNCTIONS: &[&str] = &[
    "all", "any", "bool", "dict", "enumerate", "frozenset", "getattr", "hasattr", "int", "isinstance", "len", "list", "max", "min", "range",
    "reversed", "set", "sorted", "str", "sum", "tuple", "zip", "bb.runqueue.build_tid", "bb.runqueue.fn_from_tid", "bb.runqueue.mc_from_tid",
    "bb.runqueue.split_mc", "bb.runqueue.split_tid", "bb.runqueue.split_tid_mcfn", "bb.runqueue.taskname_from_tid", "bb.siggen.build_pnid",
];

/// Classes by name, each with its methods, and functions of a module.
struct Module {
    functions: FxHashMap<String, StmtFunctionDef>,
    classes: FxHashMap<String, FxHashMap<String, StmtFunctionDef>>,
}

fn definitions(body: impl IntoIterator<Item = Stmt>) -> FxHashMap<String, StmtFunctionDef> {
    let defined = |statement| match statement {
        Stmt::FunctionDef(def) => Some((def.name.to_string(), def)),
        _ => None,
    };
    body.into_iter().filter_map(defined).collect()
}

impl Module {
    fn read(file: &Path) -> Option<Module> {
        let text = std::fs::read_to_string(file).ok()?;
        let body: Vec<Stmt> = ruff_python_parser::parse_module(&text).ok()?.into_syntax().body.into_iter().collect();
        let classes = body.iter().filter_map(|statement| match statement {
            Stmt::ClassDef(class) => Some((class.name.to_string(), definitions(class.body.iter().cloned()))),
            _ => None,
        });
        Some(Module { classes: classes.collect(), functions: definitions(body) })
    }
}

/// Does nobody notice calls of `methods` of an object? `classes` are those of its classes that have code to be
/// looked at, with their files; every method of the others that those call is `known` to be quiet.
pub fn is_quiet(classes: &[(String, String)], methods: &[&str], known: &[&str]) -> bool {
    let mut modules: FxHashMap<&str, Module> = FxHashMap::default();
    for (file, _) in classes {
        if !modules.contains_key(&**file) {
            let Some(module) = Module::read(Path::new(file)) else { return false };
            modules.insert(file, module);
        }
    }
    let mut called: Vec<String> = methods.iter().map(|name| name.to_string()).collect();
    let mut seen: FxHashSet<String> = called.iter().cloned().collect();
    while let Some(name) = called.pop() {
        let mut found = known.contains(&&*name) || methods.contains(&&*name);
        for (file, class) in classes {
            let module = &modules[&**file];
            let Some(own) = module.classes.get(class) else { return false };
            let Some(method) = own.get(&name) else { continue };
            found = true;
            let mut judged = FxHashSet::default();
            let mut next = vec![method];
            while let Some(def) = next.pop() {
                let mut look = Look::at(def, module);
                look.visit_body(&def.body);
                if !look.quiet || !def.decorator_list.is_empty() {
                    return false;
                }
                called.extend(look.methods.into_iter().filter(|name| seen.insert(name.clone())));
                let functions = look.functions.into_iter().filter(|name| judged.insert(name.clone()));
                next.extend(functions.filter_map(|name| module.functions.get(&name)));
            }
        }
        if !found {
            return false;
        }
    }
    true
}

/// Goes through a function.
struct Look<'a> {
    module: &'a Module,
    /// The object, or the class's.
    own: &'a str,
    nested: FxHashSet<String>,
    methods: Vec<String>,
    functions: Vec<String>,
    quiet: bool,
}

impl<'a> Look<'a> {
    fn at(def: &'a StmtFunctionDef, module: &'a Module) -> Look<'a> {
        let own = def.parameters.iter_non_variadic_params().next().map_or("", |parameter| parameter.parameter.name.as_str());
        Look { module, own, nested: FxHashSet::default(), methods: Vec::new(), functions: Vec::new(), quiet: true }
    }

    fn call(&mut self, func: &Expr) -> bool {
        if let Some(name) = dotted(func) {
            if FUNCTIONS.contains(&&*name) || self.nested.contains(&name) {
                return true;
            }
            if self.module.functions.contains_key(&name) {
                self.functions.push(name);
                return true;
            }
        }
        let Expr::Attribute(attribute) = func else { return matches!(func, Expr::Name(name) if name.id.as_str() == "super") };
        let of_own = match &*attribute.value {
            Expr::Name(name) => name.id.as_str() == self.own,
            Expr::Call(call) => matches!(&*call.func, Expr::Name(name) if name.id.as_str() == "super"),
            _ => false,
        };
        if of_own {
            self.methods.push(attribute.attr.to_string());
            return true;
        }
        let foreign = matches!(&*attribute.value, Expr::Name(name) if matches!(name.id.as_str(), "bb" | "os" | "sys" | "oe"));
        !foreign && METHODS.contains(&attribute.attr.as_str())
    }
}

impl<'a> Visitor<'a> for Look<'_> {
    fn visit_stmt(&mut self, statement: &'a Stmt) {
        match statement {
            Stmt::FunctionDef(def) => {
                self.quiet &= def.decorator_list.is_empty();
                self.nested.insert(def.name.to_string());
            }
            Stmt::If(_) | Stmt::For(_) | Stmt::Return(_) | Stmt::Assign(_) | Stmt::AugAssign(_) | Stmt::Expr(_) | Stmt::Pass(_) | Stmt::Continue(_) | Stmt::Break(_) => {}
            _ => self.quiet = false,
        }
        walk_stmt(self, statement);
    }
    fn visit_expr(&mut self, expr: &'a Expr) {
        match expr {
            Expr::Call(call) => self.quiet &= self.call(&call.func),
            Expr::Await(_) | Expr::Yield(_) | Expr::YieldFrom(_) => self.quiet = false,
            _ => {}
        }
        walk_expr(self, expr);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quiet(text: &str) -> bool {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let path = file.path().to_str().unwrap().to_string();
        is_quiet(&[(path.clone(), "Generator".into()), (path, "Mixin".into())], &["hash", "prepare"], &["ours"])
    }

    fn with_method(body: &str) -> String {
        format!("class Mixin(object):\n    def other(self): pass\nclass Generator(Mixin):\n    def hash(self, tid):\n        {body}\n")
    }

    #[test]
    fn what_only_works_on_itself_is_quiet() {
        for body in [
            "return super().hash(tid)",
            "self.known[tid] = self.other()\n        self.list.append('%s' % tid)",
            "def one(x):\n            return x.split(':')[0]\n        return any(one(x) for x in self.names)",
            "(mc, _, task, fn) = bb.runqueue.split_tid_mcfn(tid)\n        if task in self.locked:\n            return self.ours(tid)",
        ] {
            assert!(quiet(&with_method(body)), "{body}");
        }
        assert!(quiet("def told(g, x):\n    return x in g.names\nclass Mixin: pass\nclass Generator:\n    def hash(self, tid):\n        return told(self, tid)\n"));
    }

    #[test]
    fn what_speaks_or_reaches_out_is_not() {
        for body in [
            "bb.warn(tid)",
            "raise ValueError(tid)",
            "print(tid)",
            "open(tid)",
            "os.remove(tid)",
            "self.unheard_of()",
            "import loud",
            "global X\n        X = 1",
            "yield tid",
            "return tid()",
        ] {
            assert!(!quiet(&with_method(body)), "{body}");
        }
        assert!(!quiet("def told(x):\n    bb.note(x)\nclass Mixin: pass\nclass Generator:\n    def hash(self, tid):\n        return told(tid)\n"));
        assert!(!quiet("class Mixin:\n    def other(self): bb.note('x')\nclass Generator(Mixin):\n    def hash(self, tid):\n        self.other()\n"));
        assert!(!quiet("class Generator: pass\n"), "a class that is not there");
    }
}
