//! Which functions of Python can be run natively, and what they were compiled to.
//!
//! A function is known by the object it is; what it says is read from the text it was defined from: that of a
//! metadata file, as the parser handed it over, the file of a layer's library, if that has not been
//! written since the program started, or our own text of a module of `bb`. Functions of the standard library
//! stay with the VM.

use super::compile::{Body, Compiler, Lines};
use super::known::{self, Known};
use super::value::Val;
use hz_diagnostics::Str;
use ruff_python_ast::{ModModule, Stmt, StmtFunctionDef};
use ruff_text_size::Ranged;
use rustc_hash::FxHashMap;
use rustpython_vm::builtins::{PyDict, PyDictRef, PyFunction, PyTuple};
use rustpython_vm::{AsObject, PyObject, PyObjectRef, VirtualMachine};
use std::cell::RefCell;
use std::mem::ManuallyDrop;
use std::path::Path;
use std::rc::Rc;
use std::sync::OnceLock;
use std::time::SystemTime;

/// A function or expression ready to run.
pub struct Func {
    /// With the functions around it, as errors name it.
    pub path: Str,
    pub name: Str,
    pub file: Str,
    pub line: u32,
    /// The first of the names are the parameters,
    pub params: usize,
    /// then come those that are given by name only.
    pub named_only: usize,
    /// then one for what else is given by position,
    pub rest: bool,
    /// and one for what else is given by name.
    pub rest_named: bool,
    /// Of the places of a frame.
    pub names: Vec<Str>,
    pub body: Body,
    pub globals: PyDictRef,
    /// Of a layer's library: nobody defines it anew.
    pub library: bool,
}

/// A function object with its defaults.
pub struct Native {
    pub func: Rc<Func>,
    /// Of the last parameters.
    pub defaults: Vec<Val>,
    /// Of those that are given by name only.
    pub named: Vec<Option<Val>>,
}

/// A text that defined a function.
struct Source {
    text: Str,
    file: Str,
    line: u32,
}

struct Library {
    text: String,
    syntax: ModModule,
}

/// How a function of Python is done natively: in another way altogether, or as it stands; or why it is not.
#[derive(Clone)]
pub struct Form {
    pub known: Option<Known>,
    pub native: Result<Rc<Native>, &'static str>,
}

#[derive(Default)]
struct Functions {
    /// By the address of the code, which is kept from being another's.
    sources: FxHashMap<usize, (PyObjectRef, Source)>,
    /// Without defaults, by the address of the code.
    codes: FxHashMap<usize, (PyObjectRef, Result<Rc<Func>, &'static str>)>,
    /// By the address of the function.
    known: FxHashMap<usize, (PyObjectRef, Form)>,
    libraries: FxHashMap<String, Option<Rc<Library>>>,
}

thread_local! {
    /// Not taken apart when a thread ends: the VM's part of it may be gone.
    static FUNCTIONS: RefCell<ManuallyDrop<Functions>> = RefCell::default();
}

/// When the VM of this process started: what was written to a file later may not be what was imported.
static STARTED: OnceLock<SystemTime> = OnceLock::new();

pub fn note_start() {
    STARTED.get_or_init(SystemTime::now);
}

fn address(function: &PyObject) -> usize {
    std::ptr::from_ref(function) as usize
}

/// A function was defined by a text that stands after line `line` of `file`. What is defined twice by one text has
/// the same code.
pub fn note(function: &PyObjectRef, text: &str, file: &str, line: u32, vm: &VirtualMachine) {
    let Ok(code) = function.get_attr("__code__", vm) else { return };
    FUNCTIONS.with_borrow_mut(|functions| {
        let make = || (code.clone(), Source { text: text.into(), file: file.into(), line });
        functions.sources.entry(address(&code)).or_insert_with(make);
    });
}

/// A function is no longer the one of its name.
pub fn forget(function: &PyObject) {
    let gone = FUNCTIONS.with_borrow_mut(|functions| functions.known.remove(&address(function)));
    // What is freed may run code of Python.
    drop(gone);
}

/// The native form of a function object.
pub fn form(function: &PyObjectRef, vm: &VirtualMachine) -> Form {
    let at = address(function);
    if let Some(known) = FUNCTIONS.with_borrow(|functions| functions.known.get(&at).map(|(_, form)| form.clone())) {
        return known;
    }
    let made = Form { known: known::known(function, vm), native: make(function, vm).map(Rc::new) };
    FUNCTIONS.with_borrow_mut(|functions| functions.known.insert(at, (function.clone(), made.clone())));
    made
}

/// What a function object is compiled to, or why it is not.
pub fn native(function: &PyObjectRef, vm: &VirtualMachine) -> Result<Rc<Native>, &'static str> {
    form(function, vm).native
}

fn make(function: &PyObjectRef, vm: &VirtualMachine) -> Result<Native, &'static str> {
    if function.downcast_ref::<PyFunction>().is_none() {
        return Err("no function");
    }
    let attribute = |name: &'static str| function.get_attr(name, vm).map_err(|_| "no attribute");
    if !vm.is_none(&*attribute("__closure__")?) {
        return Err("closure");
    }
    let globals = attribute("__globals__")?.downcast::<PyDict>().map_err(|_| "globals")?;
    let defaults = attribute("__defaults__")?;
    let defaults: Vec<Val> = match defaults.downcast_ref::<PyTuple>() {
        Some(defaults) => defaults.as_slice().iter().map(|value| Val::from_object(value.clone(), vm)).collect(),
        None => Vec::new(),
    };
    let code = attribute("__code__")?;
    let known = FUNCTIONS.with_borrow(|functions| functions.codes.get(&address(&code)).map(|(_, func)| func.clone()));
    let func = match known {
        Some(Ok(func)) if func.globals.is(&globals) => func,
        Some(Ok(_)) => return Err("other globals"),
        Some(Err(reason)) => return Err(reason),
        None => {
            let made = compiled(&code, globals, vm).map(Rc::new);
            FUNCTIONS.with_borrow_mut(|functions| functions.codes.insert(address(&code), (code.clone(), made.clone())));
            made?
        }
    };
    if defaults.len() > func.params {
        return Err("defaults");
    }
    let given = attribute("__kwdefaults__")?;
    let given = given.downcast_ref::<PyDict>();
    let named = func.names[func.params..func.params + func.named_only].iter().map(|name| match given {
        Some(given) => Ok(given.get_item_opt(&**name, vm).map_err(|_| "defaults")?.map(|value| Val::from_object(value, vm))),
        None => Ok(None),
    });
    let named = named.collect::<Result<Vec<_>, &str>>()?;
    Ok(Native { func, defaults, named })
}

fn compiled(code: &PyObjectRef, globals: PyDictRef, vm: &VirtualMachine) -> Result<Func, &'static str> {
    let source = FUNCTIONS.with_borrow(|functions| {
        functions.sources.get(&address(code)).map(|(_, source)| (source.text.clone(), source.file.clone(), source.line))
    });
    if let Some((text, file, line)) = source {
        let parsed = ruff_python_parser::parse_module(&text).map_err(|_| "syntax")?;
        let [Stmt::FunctionDef(def)] = &*parsed.syntax().body else { return Err("not one function") };
        if !def.decorator_list.is_empty() {
            return Err("decorators");
        }
        let lines = Lines::new(&text, line);
        return Compiler::new(vm, &lines, file, globals).function(def, false);
    }
    let attribute = |name: &'static str| code.get_attr(name, vm).map_err(|_| "no attribute");
    let text = |name| attribute(name).and_then(|value| value.str(vm).map(|text| text.to_string_lossy().into_owned()).map_err(|_| "text"));
    let (file, name) = (text("co_filename")?, text("co_name")?);
    let first: u32 = attribute("co_firstlineno")?.try_into_value(vm).map_err(|_| "line")?;
    if let Some(block) = own_text(&file).and_then(|text| block(text, first))
        && let Ok(parsed) = ruff_python_parser::parse_module(block)
        && let [Stmt::FunctionDef(def)] = &*parsed.syntax().body
        && def.name.as_str() == name
    {
        let lines = Lines::new(block, first - 1);
        let func = Compiler::new(vm, &lines, file.into(), globals).function(def, false)?;
        return Ok(Func { library: true, ..func });
    }
    let library = own_module(&file).or_else(|| library(&file)).ok_or("no library")?;
    let lines = Lines::new(&library.text, 0);
    let (class, def) = definition(&library.syntax.body, "", &name, &lines, first).ok_or("not found")?;
    let mut func = Compiler::new(vm, &lines, file.into(), globals).within(class).function(def, false)?;
    func.library = true;
    Ok(func)
}

/// The function that is defined in that line, also in a class, and the names of the classes it is in.
fn definition<'a>(body: &'a [Stmt], class: &str, name: &str, lines: &Lines, first: u32) -> Option<(String, &'a StmtFunctionDef)> {
    body.iter().find_map(|stmt| match stmt {
        Stmt::FunctionDef(def) if def.name.as_str() == name && begins(def, lines, first) => Some((class.to_string(), def)),
        Stmt::ClassDef(inner) => definition(&inner.body, &format!("{class}{}.", inner.name), name, lines, first),
        _ => None,
    })
}

/// Modules of `bb` whose functions metadata calls often while recipes are parsed, by the name that their code gives as its
/// file.
const OWN: [(&str, &str); 4] = [
    ("bb", include_str!("../../../pylib/bb/__init__.py")),
    ("bb.build", include_str!("../../../pylib/bb/build.py")),
    ("bb.event", include_str!("../../../pylib/bb/event.py")),
    ("bb.utils", include_str!("../../../pylib/bb/utils.py")),
];

fn own_text(file: &str) -> Option<&'static str> {
    OWN.iter().find(|(name, _)| *name == file).map(|(_, text)| *text)
}

/// The text of a function that begins in that line and is in no class, so that not all of a module has to be parsed
/// for it. Where it is cut short because a text in it goes on at the margin, it is no Python.
fn block(text: &str, first: u32) -> Option<&str> {
    let start = match first.checked_sub(2) {
        None => 0,
        Some(before) => text.match_indices('\n').nth(before as usize)?.0 + 1,
    };
    let rest = text.get(start..)?;
    if !rest.starts_with("def ") {
        return None;
    }
    let ends = |at: &usize| !rest[at + 1..].starts_with([' ', '\t', '\n', '#', ')']);
    let end = rest.match_indices('\n').map(|(at, _)| at).find(ends).map_or(rest.len(), |at| at + 1);
    rest.get(..end)
}

/// One of our own modules. From a directory (`HITZELEITER_PYLIB`) their code has paths.
fn own_module(file: &str) -> Option<Rc<Library>> {
    let text = own_text(file)?;
    if let Some(known) = FUNCTIONS.with_borrow(|functions| functions.libraries.get(file).cloned()) {
        return known;
    }
    let read = || Some(Rc::new(Library { text: text.to_string(), syntax: ruff_python_parser::parse_module(text).ok()?.into_syntax() }));
    let found = read();
    FUNCTIONS.with_borrow_mut(|functions| functions.libraries.insert(file.to_string(), found.clone()));
    found
}

fn begins(def: &StmtFunctionDef, lines: &Lines, line: u32) -> bool {
    lines.of(def.name.range().start()) == line || def.decorator_list.first().is_some_and(|first| lines.of(first.range().start()) == line)
}

/// A file of a layer's library, as it was when it was imported.
fn library(file: &str) -> Option<Rc<Library>> {
    if let Some(known) = FUNCTIONS.with_borrow(|functions| functions.libraries.get(file).cloned()) {
        return known;
    }
    let read = || {
        let path = Path::new(file);
        if !path.is_absolute() || path.extension()? != "py" {
            return None;
        }
        let written = path.metadata().ok()?.modified().ok()?;
        if written >= *STARTED.get()? {
            return None;
        }
        let text = std::fs::read_to_string(path).ok()?;
        let syntax = ruff_python_parser::parse_module(&text).ok()?.into_syntax();
        Some(Rc::new(Library { text, syntax }))
    };
    let found = read();
    FUNCTIONS.with_borrow_mut(|functions| functions.libraries.insert(file.to_string(), found.clone()));
    found
}

impl Native {
    pub fn required(&self) -> usize {
        self.func.params - self.defaults.len()
    }

    /// Can it be called with so many values, and none by name?
    pub fn takes(&self, values: usize) -> bool {
        values >= self.required() && (values <= self.func.params || self.func.rest) && self.named.iter().all(Option::is_some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_by_their_lines() {
        let text = "import x\n\ndef a(b,\n):\n    return 1\n\n# a remark\n    # another\ndef c(): pass\nclass D:\n    def e(self): pass\n\ndef f():\n    return 2";
        assert_eq!(block(text, 3).map(|block| block.lines().count()), Some(6));
        assert_eq!(block(text, 9), Some("def c(): pass\n"));
        assert_eq!(block(text, 13), Some("def f():\n    return 2"));
        for line in [0, 1, 2, 10, 11, 20] {
            assert_eq!(block(text, line), None, "{line}");
        }
        assert_eq!(block("def a(): pass\n", 1), Some("def a(): pass\n"));
    }

    /// What is found by its line is what the whole module has there.
    #[test]
    fn blocks_of_our_modules_are_functions() {
        for (module, text) in OWN {
            let parsed = ruff_python_parser::parse_module(text).unwrap();
            let lines = Lines::new(text, 0);
            for stmt in &parsed.syntax().body {
                let Stmt::FunctionDef(def) = stmt else { continue };
                let line = lines.of(def.name.range().start());
                let block = block(text, line).unwrap();
                let alone = ruff_python_parser::parse_module(block).unwrap();
                let [Stmt::FunctionDef(found)] = &*alone.syntax().body else { panic!("{module}:{line}") };
                assert_eq!((found.name.as_str(), found.body.len()), (def.name.as_str(), def.body.len()), "{module}:{line}");
            }
        }
    }
}
