//! Which modules of a layer's Python library may be run when something of them is first named, rather
//! than when `addpylib` imports them: those whose running nobody notices.
//!
//! Judged by the module's own statements and those of every module of a layer that it imports. Standard
//! library and `bb` do not count: importing them changes nothing for anybody; changing something in them
//! does. A module that changes another module of a layer (a registry that its classes enter, say) follows
//! that one: it is run as soon as that is. In doubt a module is not quiet, and is run at once.

use ruff_python_ast::visitor::{Visitor, walk_expr, walk_stmt};
use ruff_python_ast::{Decorator, Expr, Stmt};
use rustc_hash::{FxHashMap, FxHashSet};
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// A module with all it imports from layers.
#[derive(Default, Debug)]
pub struct Examined {
    /// Modules of layers that are run with it and their files, its own first.
    pub files: Vec<(String, PathBuf)>,
    pub quiet: bool,
    /// Those of them after which it has to be run.
    pub follows: Vec<String>,
}

/// Functions that change nothing anybody else sees.
const QUIET_CALLS: &[&str] = &[
    "logging.getLogger", "namedtuple", "OrderedDict", "defaultdict", "frozenset", "set", "dict", "list", "tuple", "str", "int", "len",
    "sorted", "range", "object", "TypeVar", "threading.Lock", "threading.RLock", "auto", "field", "property", "staticmethod",
    "classmethod", "extend_path", "pkgutil.extend_path", "str.maketrans", "dir", "getattr", "hasattr", "isinstance", "issubclass", "callable",
    "zip", "enumerate", "map", "filter", "any", "all", "min", "max", "sum", "repr", "type", "super", "vars", "iter", "next", "reversed",
];

/// Modules all of whose functions do.
const QUIET_MODULES: &[&str] = &[
    "abc", "collections", "dataclasses", "enum", "functools", "inspect", "itertools", "math", "operator", "os.path", "re", "string", "struct",
    "typing",
];

/// Decorators of others that change nothing but what they decorate.
const QUIET_DECORATORS: &[&str] = &[
    "bb.parse.vardeps", "bb.parse.vardepsexclude", "wraps", "lru_cache", "cache", "total_ordering", "contextlib.contextmanager",
    "contextmanager", "dataclass", "property", "staticmethod", "classmethod", "abstractmethod", "unique", "cached_property", "overload",
];

/// Methods of texts and containers that give something new.
const QUIET_METHODS: &[&str] = &["split", "join", "format", "strip", "replace", "lower", "upper", "keys", "values", "items", "copy", "encode", "get", "startswith", "endswith"];

/// Methods that run when a class is made, derived from or called.
const MAKING: &[&str] = &["__new__", "__init__", "__post_init__", "__init_subclass__", "__set_name__", "__call__", "__class_getitem__"];

/// Where a dotted name is found in the layers' directories: the file, and whether it is a package.
pub fn find(dirs: &[String], dotted: &str) -> Option<(PathBuf, bool)> {
    let relative = dotted.replace('.', "/");
    dirs.iter().find_map(|dir| {
        let base = Path::new(dir).join(&relative);
        let package = base.join("__init__.py");
        if package.is_file() {
            return Some((package, true));
        }
        let module = base.with_file_name(format!("{}.py", base.file_name()?.to_str()?));
        module.is_file().then_some((module, false))
    })
}

/// Modules of the layers' directories, each read once.
pub struct Library<'a> {
    dirs: &'a [String],
    /// None: there is none of that name in them.
    modules: FxHashMap<String, Option<Rc<Found>>>,
}

/// A module's file, and what is in it, if that is Python.
struct Found {
    file: PathBuf,
    module: Option<Module>,
}

impl<'a> Library<'a> {
    pub fn new(dirs: &'a [String]) -> Library<'a> {
        Library { dirs, modules: FxHashMap::default() }
    }

    fn module(&mut self, name: &str) -> Option<Rc<Found>> {
        if let Some(known) = self.modules.get(name) {
            return known.clone();
        }
        let found = find(self.dirs, name).map(|(file, package)| {
            let text = std::fs::read_to_string(&file).unwrap_or_default();
            let body = ruff_python_parser::parse_module(&text).map(|parsed| parsed.into_syntax().body.into_iter().collect());
            Rc::new(Found { file, module: body.ok().map(|body| Module::new(name.to_string(), package, body)) })
        });
        self.modules.insert(name.to_string(), found.clone());
        found
    }

    /// The modules that are run with those of the given names, these among them, in the order in which they are met.
    fn all(&mut self, names: &[&str]) -> Vec<(String, Rc<Found>)> {
        let mut all = Vec::new();
        let mut next: Vec<String> = names.iter().map(|name| name.to_string()).collect();
        let mut seen = FxHashSet::default();
        while let Some(name) = next.pop() {
            if !seen.insert(name.clone()) {
                continue;
            }
            let Some(found) = self.module(&name) else { continue };
            next.extend(found.module.iter().flat_map(|module| module.imports.iter().cloned()));
            all.push((name, found));
        }
        all
    }

    /// Names and files of the modules that are run with those of the given names, these among them.
    pub fn files(&mut self, names: &[&str]) -> Vec<(String, PathBuf)> {
        self.all(names).into_iter().map(|(name, found)| (name, found.file.clone())).collect()
    }
}

/// Looks at a module.
pub fn examine(library: &mut Library<'_>, name: &str) -> Examined {
    let all = library.all(&[name]);
    let parsed: Vec<&Module> = all.iter().filter_map(|(_, found)| found.module.as_ref()).collect();
    let files = all.iter().map(|(name, found)| (name.clone(), found.file.clone())).collect();
    let mut examined = Examined { files, quiet: parsed.len() == all.len(), follows: Vec::new() };
    examined.quiet &= parsed.first().is_some_and(|module| module.name == name);
    // A class of another of these modules may be made by its last name.
    let harmless: FxHashSet<String> = parsed.iter().flat_map(|module| module.harmless.iter().cloned()).collect();
    let of_layers: FxHashSet<String> = examined.files.iter().map(|(name, _)| name.clone()).collect();
    for module in parsed {
        let mut judge = Judge { module, harmless: &harmless, touches: module.announces };
        examined.quiet &= judge.quiet(&module.body);
        if judge.touches {
            let mut others: Vec<&String> = module.imports.iter().filter(|import| of_layers.contains(*import) && *import != name).collect();
            if module.announces && module.name != name {
                others.push(&module.name);
            }
            examined.follows.extend(others.into_iter().cloned());
        }
    }
    examined.follows.sort();
    examined.follows.dedup();
    examined
}

struct Module {
    name: String,
    body: Vec<Stmt>,
    /// What it imports when it is run.
    imports: FxHashSet<String>,
    /// Names that stand for something imported.
    imported: FxHashSet<String>,
    /// Functions and classes it defines itself.
    own: FxHashSet<String>,
    /// Those that touch nothing of `bb` or the standard library when they are called.
    harmless: FxHashSet<String>,
    /// A class of it learns of the classes derived from it.
    announces: bool,
}

/// `a.b.c` of a chain of attributes.
pub(crate) fn dotted(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Name(name) => Some(name.id.to_string()),
        Expr::Attribute(attribute) => Some(format!("{}.{}", dotted(&attribute.value)?, attribute.attr)),
        _ => None,
    }
}

fn is_quiet(name: &str, known: &[&str]) -> bool {
    let in_module = |module: &&str| name.strip_prefix(*module).is_some_and(|rest| rest.starts_with('.'));
    known.contains(&name) || QUIET_MODULES.iter().any(in_module) || QUIET_CALLS.contains(&name)
}

impl Module {
    fn new(name: String, package: bool, body: Vec<Stmt>) -> Module {
        let mut imports = Imports { name: &name, package, found: FxHashSet::default(), bound: FxHashSet::default() };
        imports.visit_body(&body);
        let (found, mut bound) = (imports.found, imports.bound);
        // Always there, without being imported.
        bound.extend(["bb", "os"].map(String::from));
        let mut module =
            Module { name, body, imports: found, imported: bound, own: FxHashSet::default(), harmless: FxHashSet::default(), announces: false };
        module.look_at_definitions();
        module
    }

    fn look_at_definitions(&mut self) {
        let mut calls: FxHashMap<String, Uses> = FxHashMap::default();
        for statement in &self.body {
            let mut uses = Uses { imported: &self.imported, called: FxHashSet::default(), touches: false };
            let name = match statement {
                Stmt::FunctionDef(def) => {
                    uses.visit_body(&def.body);
                    &def.name
                }
                Stmt::ClassDef(def) => {
                    for statement in &def.body {
                        if let Stmt::FunctionDef(method) = statement
                            && MAKING.contains(&&*method.name)
                        {
                            self.announces |= &*method.name == "__init_subclass__";
                            uses.visit_body(&method.body);
                        }
                    }
                    let keywords = def.arguments.iter().flat_map(|arguments| &arguments.keywords);
                    self.announces |= keywords.into_iter().any(|keyword| !dotted(&keyword.value).is_some_and(|name| name.ends_with("ABCMeta")));
                    &def.name
                }
                _ => continue,
            };
            self.own.insert(name.to_string());
            calls.insert(name.to_string(), uses);
        }
        // Harmless is what calls nothing of its own that is not.
        self.harmless = calls.iter().filter(|(_, uses)| !uses.touches).map(|(name, _)| name.clone()).collect();
        loop {
            let before = self.harmless.len();
            let harmful: Vec<String> = self
                .harmless
                .iter()
                .filter(|name| calls[*name].called.iter().any(|called| self.own.contains(called) && !self.harmless.contains(called)))
                .cloned()
                .collect();
            for name in &harmful {
                self.harmless.remove(name);
            }
            if self.harmless.len() == before {
                return;
            }
        }
    }
}

/// Gathers what a module imports when it is run, so not what its functions do.
struct Imports<'a> {
    name: &'a str,
    package: bool,
    found: FxHashSet<String>,
    bound: FxHashSet<String>,
}

impl Imports<'_> {
    fn import(&mut self, name: &str) {
        // A package's own statements run before those of what is in it.
        for (at, _) in name.match_indices('.') {
            self.found.insert(name[..at].to_string());
        }
        self.found.insert(name.to_string());
    }
}

impl<'a> Visitor<'a> for Imports<'_> {
    fn visit_stmt(&mut self, statement: &'a Stmt) {
        match statement {
            Stmt::FunctionDef(_) => {}
            Stmt::Import(import) => {
                for alias in &import.names {
                    self.import(&alias.name);
                    let bound: &str = alias.asname.as_ref().unwrap_or(&alias.name);
                    self.bound.insert(bound.split('.').next().unwrap_or(bound).to_string());
                }
            }
            Stmt::ImportFrom(import) => {
                let mut base = String::new();
                if import.level > 0 {
                    let mut parts: Vec<&str> = self.name.split('.').collect();
                    parts.truncate((parts.len() + usize::from(self.package)).saturating_sub(import.level as usize));
                    base = parts.join(".");
                }
                if let Some(module) = &import.module {
                    base = if base.is_empty() { module.to_string() } else { format!("{base}.{module}") };
                }
                self.import(&base);
                for alias in &import.names {
                    self.found.insert(format!("{base}.{}", alias.name));
                    self.bound.insert(alias.asname.as_ref().unwrap_or(&alias.name).to_string());
                }
            }
            _ => walk_stmt(self, statement),
        }
    }
    fn visit_expr(&mut self, _: &'a Expr) {}
}

/// What a function uses.
struct Uses<'a> {
    imported: &'a FxHashSet<String>,
    called: FxHashSet<String>,
    /// Something imported that is not known to be quiet.
    touches: bool,
}

impl<'a> Visitor<'a> for Uses<'_> {
    fn visit_stmt(&mut self, statement: &'a Stmt) {
        self.touches |= matches!(statement, Stmt::Import(_) | Stmt::ImportFrom(_));
        walk_stmt(self, statement);
    }
    fn visit_expr(&mut self, expr: &'a Expr) {
        if let Some(name) = dotted(expr) {
            let root = name.split('.').next().unwrap_or_default();
            self.touches |= self.imported.contains(root) && !is_quiet(&name, QUIET_DECORATORS);
            self.called.insert(root.to_string());
            return;
        }
        walk_expr(self, expr);
    }
}

/// Goes through what a module does when it is run.
struct Judge<'a> {
    module: &'a Module,
    harmless: &'a FxHashSet<String>,
    /// It may change something of another module of a layer.
    touches: bool,
}

impl Judge<'_> {
    fn quiet(&mut self, body: &[Stmt]) -> bool {
        body.iter().all(|statement| self.quiet_statement(statement))
    }

    fn is_foreign(&self, name: &str) -> bool {
        name == "bb" || name == "os" || self.module.imported.contains(name)
    }

    fn quiet_statement(&mut self, statement: &Stmt) -> bool {
        match statement {
            Stmt::Pass(_) | Stmt::Continue(_) | Stmt::Break(_) | Stmt::Import(_) | Stmt::ImportFrom(_) => true,
            Stmt::Expr(expr) => match &*expr.value {
                Expr::StringLiteral(_) | Expr::EllipsisLiteral(_) => true,
                Expr::Call(_) => {
                    self.touches = true;
                    self.quiet_value(&expr.value)
                }
                _ => false,
            },
            Stmt::FunctionDef(def) => {
                let defaults: Vec<&Expr> = def.parameters.iter_non_variadic_params().filter_map(|parameter| parameter.default.as_deref()).collect();
                self.quiet_decorators(&def.decorator_list) && defaults.into_iter().all(|default| self.quiet_value(default))
            }
            Stmt::ClassDef(def) => {
                let arguments = def.arguments.iter().flat_map(|arguments| arguments.args.iter().chain(arguments.keywords.iter().map(|keyword| &keyword.value)));
                let arguments: Vec<&Expr> = arguments.collect();
                arguments.into_iter().all(|argument| self.quiet_value(argument)) && self.quiet_decorators(&def.decorator_list) && self.quiet(&def.body)
            }
            Stmt::Assign(assign) => assign.targets.iter().all(|target| self.quiet_target(target)) && self.quiet_value(&assign.value),
            Stmt::AnnAssign(assign) => self.quiet_target(&assign.target) && assign.value.as_deref().is_none_or(|value| self.quiet_value(value)),
            Stmt::AugAssign(assign) => self.quiet_target(&assign.target) && self.quiet_value(&assign.value),
            Stmt::For(repeat) => {
                self.touches = true;
                self.quiet_target(&repeat.target) && self.quiet_value(&repeat.iter) && self.quiet(&repeat.body) && self.quiet(&repeat.orelse)
            }
            Stmt::If(branch) => {
                let main = |test: &Expr| matches!(test, Expr::Compare(compare) if matches!(&*compare.left, Expr::Name(name) if name.id.as_str() == "__name__"));
                if main(&branch.test) && branch.elif_else_clauses.is_empty() {
                    return true;
                }
                let tests = std::iter::once(&*branch.test).chain(branch.elif_else_clauses.iter().filter_map(|clause| clause.test.as_ref()));
                tests.into_iter().all(|test| self.quiet_value(test))
                    && self.quiet(&branch.body)
                    && branch.elif_else_clauses.iter().all(|clause| self.quiet(&clause.body))
            }
            Stmt::Try(attempt) => {
                let handlers = attempt.handlers.iter().all(|handler| {
                    let ruff_python_ast::ExceptHandler::ExceptHandler(handler) = handler;
                    self.quiet(&handler.body)
                });
                handlers && self.quiet(&attempt.body) && self.quiet(&attempt.orelse) && self.quiet(&attempt.finalbody)
            }
            _ => false,
        }
    }

    /// Names of its own, and attributes and items of what they name.
    fn quiet_target(&mut self, target: &Expr) -> bool {
        match target {
            Expr::Name(_) => true,
            Expr::Tuple(tuple) => tuple.elts.iter().all(|part| self.quiet_target(part)),
            Expr::Attribute(_) | Expr::Subscript(_) => {
                let mut base = target;
                while let Expr::Attribute(ruff_python_ast::ExprAttribute { value, .. }) | Expr::Subscript(ruff_python_ast::ExprSubscript { value, .. }) = base {
                    base = value;
                }
                let Expr::Name(base) = base else { return false };
                self.touches |= !self.module.own.contains(base.id.as_str());
                !self.is_foreign(base.id.as_str())
            }
            _ => false,
        }
    }

    fn quiet_decorators(&mut self, decorators: &[Decorator]) -> bool {
        decorators.iter().all(|decorator| {
            let (name, arguments) = match &decorator.expression {
                Expr::Call(call) => (dotted(&call.func), Some(&call.arguments)),
                other => (dotted(other), None),
            };
            let Some(name) = name else { return false };
            let last = name.rsplit('.').next().unwrap_or_default();
            let known = is_quiet(&name, QUIET_DECORATORS) || matches!(last, "setter" | "getter" | "deleter") || self.module.harmless.contains(&name);
            known
                && arguments.is_none_or(|arguments| {
                    let all: Vec<&Expr> = arguments.args.iter().chain(arguments.keywords.iter().map(|keyword| &keyword.value)).collect();
                    all.into_iter().all(|value| self.quiet_value(value))
                })
        })
    }

    fn quiet_value(&mut self, value: &Expr) -> bool {
        let mut calls = Calls { module: self.module, harmless: self.harmless, quiet: true };
        calls.visit_expr(value);
        calls.quiet
    }
}

struct Calls<'a> {
    module: &'a Module,
    harmless: &'a FxHashSet<String>,
    quiet: bool,
}

impl<'a> Visitor<'a> for Calls<'_> {
    fn visit_expr(&mut self, expr: &'a Expr) {
        match expr {
            // Not run now.
            Expr::Lambda(_) => return,
            Expr::Call(call) => {
                let name = dotted(&call.func);
                let known = name.as_deref().is_some_and(|name| {
                    let last = name.rsplit('.').next().unwrap_or_default();
                    let of_layer = last.starts_with(|c: char| c.is_uppercase()) && !name.starts_with("bb.");
                    is_quiet(name, &[]) || self.module.harmless.contains(name) || of_layer && self.harmless.contains(last)
                });
                let method = matches!(&*call.func, Expr::Attribute(attribute) if QUIET_METHODS.contains(&attribute.attr.as_str()));
                self.quiet &= known || method;
            }
            Expr::Await(_) | Expr::Yield(_) | Expr::YieldFrom(_) | Expr::Named(_) => self.quiet = false,
            _ => {}
        }
        walk_expr(self, expr);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quiet(text: &str) -> bool {
        let dir = tempfile::tempdir().unwrap();
        let lib = dir.path().join("own");
        std::fs::create_dir_all(&lib).unwrap();
        std::fs::write(lib.join("__init__.py"), "").unwrap();
        std::fs::write(lib.join("loud.py"), "import bb\nbb.fetch2.methods.append(1)\n").unwrap();
        std::fs::write(lib.join("still.py"), "X = 1\n").unwrap();
        std::fs::write(lib.join("m.py"), text).unwrap();
        examine(&mut Library::new(&[dir.path().to_str().unwrap().into()]), "own.m").quiet
    }

    #[test]
    fn what_only_defines_names_is_quiet() {
        for text in [
            "'''doc'''\nimport os, bb\nfrom own import still\nlogger = logging.getLogger('x')\n",
            "@bb.parse.vardeps('A')\ndef f(d):\n    d.setVar('A', '1')\n    import own.loud\nf.visitorcode = 1\n",
            "class C(bb.siggen.X):\n    name = 'c'\n    table = {k: v for k, v in pairs}\n    @property\n    def m(self): g()\n",
            "if sys.version_info > (3,):\n    try:\n        import json\n    except ImportError:\n        json = None\n",
            "def register(c):\n    return c\n@register\nclass C: pass\nif __name__ == '__main__':\n    main()\n",
            "def f(): return 1\nX = f()\nTABLE = {}\nTABLE['x'] = X\nfor n in dir(still):\n    f()\n",
            "class C:\n    def __init__(self): self.x = 1\nX = C()\n",
            "from . import still\nA, B = 'a b'.split()\nHANDLER = lambda d: call(d)\n",
        ] {
            assert!(quiet(text), "{text}");
        }
    }

    #[test]
    fn what_others_could_notice_is_not() {
        for text in [
            "bb.siggen.Mine = 1\n",
            "bb.fetch2.methods.append(Mine())\n",
            "import own.loud\n",
            "from . import loud\n",
            "from own.loud import x\n",
            "def f(): pass\nX = register(f)\n",
            "@somewhere.register\ndef f(): pass\n",
            "def register(c):\n    bb.fetch2.methods.append(c)\n@register\nclass C: pass\n",
            "class C:\n    print('x')\n",
            "def f(x=call()): pass\n",
            "for x in bb.y: bb.z(x)\n",
            "os.environ['x'] = 1\n",
            "import sys\ndef f(): sys.path.append('x')\nf()\n",
            "import sys\ndef g(): sys.path.append('x')\ndef f(): g()\nclass C:\n    def __init__(self): f()\nX = C()\n",
            "this is no Python\n",
            "del x\n",
        ] {
            assert!(!quiet(text), "{text}");
        }
    }

    #[test]
    fn who_changes_another_module_follows_it() {
        let dir = tempfile::tempdir().unwrap();
        let lib = dir.path().join("own");
        std::fs::create_dir_all(&lib).unwrap();
        for (file, text) in [
            ("__init__.py", ""),
            ("base.py", "class Base:\n    known = {}\n    def __init_subclass__(cls):\n        Base.known[cls.__name__] = cls\n"),
            ("derived.py", "import own.base\nclass D(own.base.Base): pass\n"),
            ("marks.py", "import own.still\ndef mark(o): o.marked = True\nfor n in dir(own.still):\n    mark(n)\n"),
            ("still.py", "import own.base\nX = 1\n"),
        ] {
            std::fs::write(lib.join(file), text).unwrap();
        }
        let follows = |name: &str| {
            let examined = examine(&mut Library::new(&[dir.path().to_str().unwrap().into()]), name);
            assert!(examined.quiet);
            examined.follows.join(" ")
        };
        assert_eq!(follows("own.base"), "");
        assert!(follows("own.derived").contains("own.base"));
        assert!(follows("own.marks").contains("own.still"));
    }

    #[test]
    fn all_files_that_run_are_named() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("own/sub")).unwrap();
        for (file, text) in [("__init__.py", ""), ("m.py", "from .sub import n\nimport os.path\n"), ("sub/__init__.py", ""), ("sub/n.py", "from .. import m\n")] {
            std::fs::write(dir.path().join("own").join(file), text).unwrap();
        }
        let dirs = [dir.path().to_str().unwrap().into()];
        let mut library = Library::new(&dirs);
        let examined = examine(&mut library, "own.m");
        let mut files: Vec<&str> = examined.files.iter().map(|(_, file)| file.strip_prefix(dir.path()).unwrap().to_str().unwrap()).collect();
        files[1..].sort();
        assert_eq!(files, ["own/m.py", "own/__init__.py", "own/sub/__init__.py", "own/sub/n.py"]);
        assert_eq!(library.files(&["own.sub.n", "own.missing"]).len(), 4, "what imports each other is named once");
        assert!(examined.quiet);
    }
}
