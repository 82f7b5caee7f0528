//! `addpylib`: imports a layer's Python library, or puts that off until it is used, and collects the source text of its functions and
//! classes, which signatures hash.
//!
//! The text is what the inspection module of Python 3.9 to 3.12 returns: from the first decorator
//! to the last line of the body, with the comment lines that follow at the body's indentation.

use crate::ahead::Ahead;
use crate::deferral::{self, Library};
use crate::metadata::context;
use hz_codeparser::{VisitorCall, VisitorFound};
use hz_data::{LibFunction, LibFunctions};
use hz_diagnostics::{Diagnostic, Str};
use hz_stored::{Kind, Stored};
use ruff_python_ast::visitor::{Visitor, walk_stmt};
use ruff_python_ast::Stmt;
use ruff_python_ast::token::{Token, TokenKind};
use ruff_text_size::Ranged;
use rustpython_vm::builtins::{PyDict, PyFunction, PyType};
use rustc_hash::FxHashMap;
use rustpython_vm::{AsObject, PyObjectRef, PyResult, VirtualMachine};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A module of BBIMPORTS as an earlier run met it.
#[derive(Serialize, Deserialize)]
struct Known {
    name: String,
    /// Every module of a layer that is run with it: name, file, SHA-256 of that.
    files: Vec<(String, PathBuf, String)>,
    /// Nobody notices when it is run.
    quiet: bool,
    /// Parts of the namespace after which it has to be run.
    follows: Vec<String>,
    /// Functions with a `visitorcode`, and the fingerprint of their text.
    visitors: Vec<(String, String)>,
}

impl Known {
    /// Would the same be run now?
    fn holds(&self, dirs: &[String], sums: &mut FxHashMap<PathBuf, String>) -> bool {
        self.files.iter().all(|(name, file, sum)| {
            let same = deferral::find(dirs, name).is_some_and(|(found, _)| found == *file);
            same && sums.entry(file.clone()).or_insert_with_key(|file| sum_of(file)) == sum
        })
    }
}

/// Directories of namespaces that were added, and what all of their Python files hold.
static ADDED: Mutex<BTreeMap<PathBuf, String>> = Mutex::new(BTreeMap::new());

/// Stands for the libraries of all namespaces added.
pub fn digest() -> String {
    ADDED.lock().iter().map(|(dir, sum)| format!("{}\0{sum}\0", dir.display())).collect()
}

/// The sum over all Python files below `dir`, also those that are only imported by functions.
fn sum_of_all(dir: &Path, sums: &mut FxHashMap<PathBuf, String>) -> String {
    let mut hash = Sha256::new();
    let mut pending = vec![dir.to_path_buf()];
    while let Some(dir) = pending.pop() {
        let mut entries: Vec<PathBuf> = std::fs::read_dir(&dir).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path())).collect();
        entries.sort();
        for path in entries {
            if path.extension().is_some_and(|end| end == "py") {
                hash.update(path.as_os_str().as_encoded_bytes());
                hash.update(&*sums.entry(path).or_insert_with_key(|path| sum_of(path)));
            } else if path.is_dir() && !path.ends_with("__pycache__") {
                pending.push(path);
            }
        }
    }
    hex::encode(hash.finalize())
}

fn sum_of(file: &Path) -> String {
    std::fs::read(file).map(|text| hex::encode(Sha256::digest(text))).unwrap_or_default()
}

/// What a module has: found now, or as it was stored (JSON of [`Function`]s).
enum Functions {
    Found(Vec<LibFunction>),
    Stored(String),
}

#[derive(Serialize, Deserialize)]
struct Function(Str, Str, u32, Str, Vec<Str>, Vec<Str>, bool);

impl From<&LibFunction> for Function {
    fn from(f: &LibFunction) -> Function {
        Function(f.name.clone(), f.file.clone(), f.line, f.source.clone(), f.vardeps.clone(), f.vardepsexclude.clone(), f.has_visitor)
    }
}

impl Functions {
    fn all(self) -> Vec<LibFunction> {
        match self {
            Functions::Found(functions) => functions,
            Functions::Stored(text) => {
                let stored: Vec<Function> = serde_json::from_str(&text).unwrap_or_default();
                let whole = |Function(name, file, line, source, vardeps, vardepsexclude, has_visitor): Function| LibFunction {
                    name,
                    file,
                    line,
                    source,
                    vardeps,
                    vardepsexclude,
                    has_visitor,
                };
                stored.into_iter().map(whole).collect()
            }
        }
    }
    fn text(&self) -> String {
        match self {
            Functions::Found(functions) => {
                let functions: Vec<Function> = functions.iter().map(Function::from).collect();
                serde_json::to_string(&functions).unwrap_or_default()
            }
            Functions::Stored(text) => text.clone(),
        }
    }
}

const KIND: &Kind = b"hz-python-libs-1";

/// What earlier runs found out, by module: two lines each.
fn read_known(file: &Path) -> FxHashMap<String, (Known, String)> {
    let mut all = FxHashMap::default();
    let Some(stored) = Stored::open(file, KIND) else { return all };
    let mut lines = std::str::from_utf8(&stored).unwrap_or_default().lines();
    while let (Some(known), Some(functions)) = (lines.next(), lines.next()) {
        if let Ok(known) = serde_json::from_str::<Known>(known) {
            all.insert(known.name.clone(), (known, functions.to_string()));
        }
    }
    all
}

/// Imports `namespace` from `dir` with all it names in BBIMPORTS. Modules that an earlier run imported, and
/// that do nothing but define names, are run when somebody uses them. After an error the functions are those of
/// what came before it.
pub fn add(vm: &VirtualMachine, dir: &str, namespace: &str) -> (PyResult<()>, LibFunctions) {
    let mut parts = Vec::new();
    let done = add_parts(vm, dir, namespace, &mut parts);
    (done, LibFunctions::new(|| parts.into_iter().flat_map(|(_, functions)| functions.all()).collect()))
}

fn add_parts(vm: &VirtualMachine, dir: &str, namespace: &str, parts: &mut Vec<(Known, Functions)>) -> PyResult<()> {
    let path = vm.sys_module.get_attr("path", vm)?;
    let mut dirs: Vec<String> = path.try_to_value::<Vec<PyObjectRef>>(vm)?.into_iter().filter_map(|p| p.try_into_value(vm).ok()).collect();
    if !dirs.iter().any(|known| known == dir) {
        vm.call_method(&path, "append", (dir.to_string(),))?;
        dirs.push(dir.to_string());
    }
    let context = context(vm)?;
    let module = vm.import(&vm.ctx.new_str(namespace), 0)?;
    context.set_item(namespace, module.clone(), vm)?;
    let imports: Vec<String> = match vm.get_attribute_opt(&module, vm.ctx.intern_str("BBIMPORTS"))? {
        Some(names) => names.try_to_value(vm)?,
        None => Vec::new(),
    };
    let file = crate::vm::pycache().map(|cache| cache.join(format!("libraries-{namespace}")));
    let mut earlier = file.as_deref().map(read_known).unwrap_or_default();
    let mut sums = FxHashMap::default();
    let mut library = Library::new(&dirs);
    let mut new = false;
    let imports: Vec<(String, String)> = imports.into_iter().map(|name| (format!("{namespace}.{name}"), name)).collect();
    let _ahead = if file.is_some() && earlier.is_empty() {
        Ahead::start(&dirs, &imports.iter().map(|(dotted, _)| dotted.as_str()).collect::<Vec<_>>())
    } else {
        None
    };
    for (dotted, name) in imports {
        let met = earlier.remove(&dotted).filter(|(known, _)| known.holds(&dirs, &mut sums));
        if let Some((known, functions)) = met {
            if known.quiet {
                let lazy = crate::runtime::module(vm, "_hz_stdlib._lazy")?;
                lazy.get_attr("defer", vm)?.call((dotted.clone(),), vm)?;
                for leader in &known.follows {
                    lazy.get_attr("follow", vm)?.call((leader.clone(), dotted.clone()), vm)?;
                }
            } else {
                vm.import(&vm.ctx.new_str(&*dotted), 0)?;
                module.get_attr(&vm.ctx.new_str(name), vm)?;
            }
            for (function, fingerprint) in &known.visitors {
                let (module, function_name) = (dotted.clone(), function.clone());
                let call = move |call: &VisitorCall<'_>| visit(&|vm| visitor_of(vm, &module, &function_name), call);
                hz_codeparser::set_visitor(&format!("{dotted}.{function}"), fingerprint, Arc::new(call));
            }
            parts.push((known, Functions::Stored(functions)));
            continue;
        }
        new = true;
        context.set_item(namespace, vm.import(&vm.ctx.new_str(&*dotted), 0)?, vm)?;
        let loaded = module.get_attr(&vm.ctx.new_str(name), vm)?;
        let (mut found, mut visitors) = (Vec::new(), Vec::new());
        collect(vm, &loaded, &dotted, &mut found, &mut visitors)?;
        let examined = deferral::examine(&mut library, &dotted);
        // Of a package in the namespace all of it counts. Modules of other namespaces cannot lead.
        let part = |leader: &String| {
            let rest = leader.strip_prefix(namespace)?.strip_prefix('.')?;
            Some(format!("{namespace}.{}", rest.split('.').next().unwrap_or(rest)))
        };
        let inside = examined.follows.iter().all(|leader| leader == namespace || part(leader).is_some());
        let mut follows: Vec<String> = examined.follows.iter().filter_map(part).filter(|leader| *leader != dotted).collect();
        follows.dedup();
        let files = examined.files.into_iter().map(|(name, file)| {
            let sum = sums.entry(file.clone()).or_insert_with_key(|file| sum_of(file)).clone();
            (name, file, sum)
        });
        parts.push((Known { name: dotted, files: files.collect(), quiet: examined.quiet && inside, follows, visitors }, Functions::Found(found)));
    }
    let package = Path::new(dir).join(namespace);
    ADDED.lock().insert(package.clone(), sum_of_all(&package, &mut sums));
    if let Some(file) = file.filter(|_| new) {
        let mut text = String::new();
        for (known, functions) in &*parts {
            let Ok(known) = serde_json::to_string(known) else { continue };
            text.push_str(&format!("{known}\n{}\n", functions.text()));
        }
        // Without it the next start takes longer, that is all.
        let _ = hz_stored::write(&file, KIND, text.as_bytes());
    }
    Ok(())
}

fn visitor_of(vm: &VirtualMachine, module: &str, function: &str) -> PyResult {
    crate::runtime::module(vm, module)?.get_attr(&vm.ctx.new_str(function), vm)?.get_attr("visitorcode", vm)
}

/// The functions and classes of one module that its own file defines; `visitors` gets the names and
/// fingerprints of those with a `visitorcode`.
fn collect(
    vm: &VirtualMachine, module: &PyObjectRef, dotted: &str, found: &mut Vec<LibFunction>, visitors: &mut Vec<(String, String)>,
) -> PyResult<()> {
    let file: String = module.get_attr("__file__", vm)?.try_into_value(vm)?;
    let text = std::fs::read(&file)
        .map_err(|error| vm.new_os_error(format!("{file}: {error}")))?;
    let source = Source::new(String::from_utf8_lossy(&text).into_owned());
    let names: Vec<String> = {
        let list = vm.dir(Some(module.clone()))?;
        let items = list.borrow_vec().iter().filter_map(|name| name.clone().try_into_value(vm).ok()).collect();
        items
    };
    for name in names {
        if name.starts_with('_') {
            continue;
        }
        let object = module.get_attr(&vm.ctx.new_str(&*name), vm)?;
        let Some((first, text)) = text_of(vm, &object, &file, &source)? else { continue };
        let visitor = vm.get_attribute_opt(&object, vm.ctx.intern_str("visitorcode"))?;
        let has_visitor = visitor.is_some();
        if let Some(visitor) = visitor {
            let fingerprint = format!("{:016x}", crate::metadata::digest(&*source.text));
            let call = move |call: &VisitorCall<'_>| visit(&|_| Ok(visitor.clone()), call);
            hz_codeparser::set_visitor(&format!("{dotted}.{name}"), &fingerprint, Arc::new(call));
            visitors.push((name.clone(), fingerprint));
        }
        let words = |attribute: &'static str| -> Vec<Str> {
            let set = vm.get_attribute_opt(&object, vm.ctx.intern_str(attribute)).ok().flatten();
            let mut words: Vec<String> = set.and_then(|set| set.try_to_value(vm).ok()).unwrap_or_default();
            words.sort();
            words.into_iter().map(Into::into).collect()
        };
        found.push(LibFunction {
            name: format!("{dotted}.{name}").into(),
            file: file.as_str().into(),
            line: first,
            source: text.into(),
            vardeps: words("bb_vardeps"),
            vardepsexclude: words("bb_vardepsexclude"),
            has_visitor,
        });
    }
    Ok(())
}

/// Asks a library function's `visitorcode` what a call reads. It is given the arguments as the
/// syntax tree Python's `ast` module makes, and gives (contains, execs, argument not understood).
fn visit(visitor: &dyn Fn(&VirtualMachine) -> PyResult, call: &VisitorCall<'_>) -> Result<VisitorFound, Diagnostic> {
    crate::enter(|vm| {
        let asked = || -> PyResult<VisitorFound> {
            let ast = vm.import("ast", 0)?;
            let tree = vm.call_method(&ast, "parse", (call.call.to_string(), "<call>", "eval"))?;
            let args = tree.get_attr("body", vm)?.get_attr("args", vm)?;
            let found = visitor(vm)?.call((call.name.to_string(), args.clone()), vm)?;
            let found: Vec<PyObjectRef> = found.try_to_value(vm)?;
            let [contains, execs, warn] = &*found else {
                return Err(vm.new_type_error("a visitorcode function gives (contains, execs, warn)"));
            };
            let texts = |set: &PyObjectRef| -> PyResult<std::collections::BTreeSet<Str>> {
                Ok(set.try_to_value::<Vec<String>>(vm)?.into_iter().map(Into::into).collect())
            };
            let mut known = VisitorFound { execs: texts(execs)?, ..VisitorFound::default() };
            if let Some(contains) = contains.downcast_ref::<PyDict>() {
                for (name, items) in contains.items_vec() {
                    known.contains.insert(name.try_to_value::<String>(vm)?.into(), texts(&items)?);
                }
            }
            if !vm.is_none(warn) {
                let args: Vec<PyObjectRef> = args.try_to_value(vm)?;
                let at = args.iter().position(|arg| arg.is(warn));
                known.warn = Some(at.and_then(|at| call.args.get(at)).map_or_else(|| "".into(), |arg| arg.source.clone()));
            }
            Ok(known)
        };
        asked().map_err(|error| Diagnostic::error(format!("{}: {}", call.name, crate::errors::message(vm, &error))))
    })
}

/// First line and text of a function or class, if `file` is where it is defined.
fn text_of(vm: &VirtualMachine, object: &PyObjectRef, file: &str, source: &Source) -> PyResult<Option<(u32, String)>> {
    if object.downcast_ref::<PyType>().is_some() {
        let module = object.get_attr("__module__", vm)?;
        let Ok(module) = vm.sys_module.get_attr("modules", vm)?.get_item(&*module, vm) else { return Ok(None) };
        let defined = vm.get_attribute_opt(&module, vm.ctx.intern_str("__file__"))?;
        if defined.and_then(|f| f.try_into_value::<String>(vm).ok()).as_deref() != Some(file) {
            return Ok(None);
        }
        let name: String = object.get_attr("__qualname__", vm)?.try_into_value(vm)?;
        return Ok(source.class(&name));
    }
    let mut function = object.clone();
    if object.class().is(vm.ctx.types.bound_method_type) {
        function = object.get_attr("__func__", vm)?;
    }
    if function.downcast_ref::<PyFunction>().is_none() || place(vm, &function)?.0 != file {
        return Ok(None);
    }
    // A wrapper stands for what it wraps.
    for _ in 0..100 {
        match vm.get_attribute_opt(&function, vm.ctx.intern_str("__wrapped__"))? {
            Some(inner) => function = inner,
            None => break,
        }
    }
    if function.downcast_ref::<PyFunction>().is_none() {
        return Ok(None);
    }
    let (defined, first) = place(vm, &function)?;
    if defined == file {
        return Ok(source.function(first));
    }
    match std::fs::read(&defined) {
        Ok(text) => Ok(Source::new(String::from_utf8_lossy(&text).into_owned()).function(first)),
        Err(_) => Ok(None),
    }
}

/// File and first line of a function's code.
fn place(vm: &VirtualMachine, function: &PyObjectRef) -> PyResult<(String, u32)> {
    let code = function.get_attr("__code__", vm)?;
    let file = code.get_attr("co_filename", vm)?.try_into_value(vm)?;
    Ok((file, code.get_attr("co_firstlineno", vm)?.try_into_value(vm)?))
}

/// The definitions of one file.
struct Source {
    text: String,
    /// Where each line starts; one more at the end.
    starts: Vec<usize>,
    blocks: Vec<Block>,
    /// For each `lambda` the lines of its text, which end where the line does that it goes on in.
    lambdas: Vec<(u32, u32)>,
}

struct Block {
    /// Line of the first decorator, or of the definition.
    first: u32,
    /// Line of `def` or `class` itself.
    head: u32,
    /// Last line of the last statement.
    last: u32,
    /// Indentation of the body, unless it stands on the head's line.
    body: Option<usize>,
    /// Dotted name of a class.
    class: Option<String>,
}

impl Source {
    fn new(text: String) -> Source {
        let text = text.replace("\r\n", "\n");
        let starts: Vec<usize> =
            std::iter::once(0).chain(memchr_lines(&text)).filter(|start| *start < text.len()).chain([text.len()]).collect();
        let mut source = Source { text, starts, blocks: Vec::new(), lambdas: Vec::new() };
        if let Ok(parsed) = ruff_python_parser::parse_module(&source.text) {
            let mut finder = Finder { source: &source, stack: Vec::new(), blocks: Vec::new() };
            for statement in &parsed.syntax().body {
                finder.visit_stmt(statement);
            }
            source.blocks = finder.blocks;
            source.lambdas = lambdas(parsed.tokens(), |offset| source.line(offset));
        }
        source
    }

    /// Line (from 1) of a byte offset.
    fn line(&self, offset: usize) -> u32 {
        self.starts.partition_point(|start| *start <= offset).min(self.starts.len() - 1).max(1) as u32
    }
    fn text_of_line(&self, line: u32) -> Option<&str> {
        let index = (line as usize).checked_sub(1)?;
        self.text.get(*self.starts.get(index)?..*self.starts.get(index + 1)?)
    }

    fn function(&self, first: u32) -> Option<(u32, String)> {
        let block = self.blocks.iter().find(|block| block.first == first).or_else(|| self.blocks.iter().find(|block| block.head == first));
        if let Some(block) = block {
            return Some(self.cut(block));
        }
        let (_, last) = self.lambdas.iter().find(|(line, _)| *line == first)?;
        let to = self.starts.get(*last as usize).copied().unwrap_or(self.text.len());
        Some((first, self.text[self.starts[first as usize - 1]..to].to_string()))
    }
    fn class(&self, name: &str) -> Option<(u32, String)> {
        self.blocks.iter().find(|block| block.class.as_deref() == Some(name)).map(|block| self.cut(block))
    }

    fn cut(&self, block: &Block) -> (u32, String) {
        let mut last = block.last;
        if let Some(body) = block.body {
            let mut at = last;
            while let Some(line) = self.text_of_line(at + 1) {
                at += 1;
                let rest = line.trim_start_matches([' ', '\t', '\x0c']);
                if rest.trim_end().is_empty() {
                    continue;
                }
                if !rest.starts_with('#') {
                    break;
                }
                if line.len() - rest.len() >= body {
                    last = at;
                }
            }
        }
        let from = self.starts[block.first as usize - 1];
        let to = self.starts.get(last as usize).copied().unwrap_or(self.text.len());
        (block.first, self.text[from..to].to_string())
    }
}

fn memchr_lines(text: &str) -> impl Iterator<Item = usize> + '_ {
    text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1)
}

/// First and last line of every lambda: from the line it starts in to the first line end that is
/// outside of the brackets opened since.
fn lambdas(tokens: &[Token], line: impl Fn(usize) -> u32) -> Vec<(u32, u32)> {
    let mut found = Vec::new();
    for (at, token) in tokens.iter().enumerate().filter(|(_, token)| token.kind() == TokenKind::Lambda) {
        let first = line(token.start().to_usize());
        let begin = tokens[..at].iter().rposition(|token| line(token.start().to_usize()) != first).map_or(0, |before| before + 1);
        let mut open = 0;
        for token in &tokens[begin..] {
            match token.kind() {
                TokenKind::Lpar | TokenKind::Lsqb | TokenKind::Lbrace => open += 1,
                TokenKind::Rpar | TokenKind::Rsqb | TokenKind::Rbrace => open -= 1,
                TokenKind::Newline | TokenKind::NonLogicalNewline if open <= 0 => {
                    found.push((first, line(token.start().to_usize())));
                    break;
                }
                _ => {}
            }
        }
    }
    found
}

struct Finder<'a> {
    source: &'a Source,
    stack: Vec<String>,
    blocks: Vec<Block>,
}

impl Finder<'_> {
    fn block(&mut self, statement: &Stmt, name: &str, body: &[Stmt], class: bool) {
        let range = statement.range();
        let first = self.source.line(range.start().to_usize());
        let last = self.source.line(range.end().to_usize().saturating_sub(1));
        let decorators = match statement {
            Stmt::FunctionDef(def) => &def.decorator_list,
            Stmt::ClassDef(def) => &def.decorator_list,
            _ => return,
        };
        let name_at = match statement {
            Stmt::FunctionDef(def) => def.name.range().start(),
            Stmt::ClassDef(def) => def.name.range().start(),
            _ => return,
        };
        let head = self.source.line(name_at.to_usize());
        let first = decorators.first().map_or(first, |decorator| self.source.line(decorator.range().start().to_usize()));
        let indent = body.first().and_then(|statement| {
            let start = statement.range().start().to_usize();
            let line_start = self.source.starts[self.source.line(start) as usize - 1];
            let lead = &self.source.text[line_start..start];
            lead.trim_matches([' ', '\t']).is_empty().then_some(lead.len())
        });
        let mut dotted = self.stack.clone();
        dotted.push(name.to_string());
        self.blocks.push(Block { first, head, last, body: indent, class: class.then(|| dotted.join(".")) });
    }
}

impl<'a> Visitor<'a> for Finder<'_> {
    fn visit_stmt(&mut self, statement: &'a Stmt) {
        match statement {
            Stmt::FunctionDef(def) => {
                self.block(statement, &def.name, &def.body, false);
                self.stack.push(def.name.to_string());
                self.stack.push("<locals>".into());
                walk_stmt(self, statement);
                self.stack.truncate(self.stack.len() - 2);
            }
            Stmt::ClassDef(def) => {
                self.block(statement, &def.name, &def.body, true);
                self.stack.push(def.name.to_string());
                walk_stmt(self, statement);
                self.stack.pop();
            }
            _ => walk_stmt(self, statement),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Source;

    #[test]
    fn blocks_end_as_the_inspection_module_ends_them() {
        let text = "import os\n\n@one\n@two\ndef f(a):\n    x = 1\n\n    # inside\n  # less\n\n# outside\ndef g(): return 1\n    \nclass C:\n\n    def m(self):\n        pass\n\n    # tail\n\nx = 2\n";
        let source = Source::new(text.into());
        assert_eq!(source.function(3), Some((3, "@one\n@two\ndef f(a):\n    x = 1\n\n    # inside\n".into())));
        assert_eq!(source.function(12), Some((12, "def g(): return 1\n".into())));
        assert_eq!(source.class("C"), Some((14, "class C:\n\n    def m(self):\n        pass\n\n    # tail\n".into())));
        let text = "a = lambda d: d\nb = (1, lambda x: [\n    x], 2)\nc = call(\n    lambda y: (y,\n     y),\n)\n";
        let lambdas = Source::new(text.into());
        assert_eq!(lambdas.function(1), Some((1, "a = lambda d: d\n".into())));
        assert_eq!(lambdas.function(2), Some((2, "b = (1, lambda x: [\n    x], 2)\n".into())));
        assert_eq!(lambdas.function(5), Some((5, "    lambda y: (y,\n     y),\n".into())));
        assert_eq!(source.function(16), Some((16, "    def m(self):\n        pass\n\n".trim_end_matches('\n').to_string() + "\n")));
    }
}
