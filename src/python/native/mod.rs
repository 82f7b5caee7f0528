//! A native evaluator for the metadata's Python.
//!
//! The VM is several times slower than CPython, and parsing runs hundreds of thousands of small functions and
//! expressions. They are compiled here to a tree that is evaluated over Rust values ([`value`]); whatever the
//! tree's nodes do not know (an object of a class, an unusual method) is asked of the VM there and then
//! ([`run`]), with the VM's objects, results and errors. Functions that hold what is not known at all
//! ([`compile`]) run in the VM as a whole.
//!
//! An error carries the same traceback as from the VM: for each native frame an entry with file, line and name
//! is put in ([`traced`]). What can be told apart: there is no frame object, so code that walks the frames of
//! its callers (`sys._getframe`) does not see native ones.

mod compile;
pub mod function;
mod known;
mod run;
mod text;
mod value;

use hz_data::Depends;
use compile::{Compiler, Lines, Name};
use function::Func;
use hz_diagnostics::Str;
use rustc_hash::FxHashMap;
use rustpython_vm::builtins::{PyBaseExceptionRef, PyCode, PyDictRef, PyFunction};
use rustpython_vm::compiler::Mode;
use rustpython_vm::function::ArgMapping;
use rustpython_vm::scope::Scope;
use rustpython_vm::{AsObject, PyObjectRef, PyRef, PyResult, VirtualMachine};
use std::cell::RefCell;
use std::mem::ManuallyDrop;
pub use run::caller;
pub use value::Val;

/// By file, line and name.
type Raising = FxHashMap<Str, FxHashMap<u32, FxHashMap<Str, PyRef<PyCode>>>>;

thread_local! {
    /// Code of [`raising`]. Not taken apart when a thread ends: the VM's part of it may be gone.
    static RAISING: RefCell<ManuallyDrop<Raising>> = RefCell::default();
}

/// An inline expression made ready.
pub struct Expression {
    func: Func,
    /// The global names it reads.
    reads: Vec<Name>,
}

/// Makes an expression ready that has one parameter besides the globals. None: the VM has to evaluate it.
pub fn expression(vm: &VirtualMachine, text: &str, parameter: &str, globals: &PyDictRef) -> Option<Expression> {
    let parsed = ruff_python_parser::parse_expression(text).ok()?;
    let lines = Lines::new(text, 0);
    let mut compiler = Compiler::new(vm, &lines, "<expansion>".into(), globals.clone());
    let func = compiler.expression(&parsed.syntax().body, parameter).ok()?;
    Some(Expression { func, reads: compiler.read })
}

impl Expression {
    /// Evaluates with the parameter bound to a value. None: a name is neither a global one nor, with `builtins`,
    /// one of Python's (in metadata it is a variable of the store then), or the globals are others by now.
    ///
    /// And what the value depends on; the store is the one that the parameter is.
    pub fn eval(&self, vm: &VirtualMachine, value: Val, globals: &PyDictRef, builtins: bool) -> PyResult<Option<(Val, Depends)>> {
        if !self.func.globals.is(globals) {
            return Ok(None);
        }
        for name in &self.reads {
            let known = globals.get_item_opt(name.as_object(), vm)?.is_some()
                || (builtins && vm.builtins.dict().get_item_opt(name.as_object(), vm)?.is_some());
            if !known {
                return Ok(None);
            }
        }
        run::evaluate(vm, &self.func, value).map(Some)
    }
}

/// Calls a function object, natively if that can be.
pub fn call(vm: &VirtualMachine, function: &PyObjectRef, args: Vec<PyObjectRef>) -> PyResult<()> {
    if function.downcast_ref::<PyFunction>().is_some()
        && let Ok(native) = function::native(function, vm)
        && native.takes(args.len())
    {
        let args = args.into_iter().map(|arg| Val::from_object(arg, vm)).collect();
        return run::call(vm, &native, args).map(drop);
    }
    function.call(args, vm).map(drop)
}

/// Is what a function gives for these values true? Natively, if that can be.
pub fn is_true(vm: &VirtualMachine, function: &PyObjectRef, args: Vec<Val>) -> PyResult<bool> {
    if let Ok(native) = function::native(function, vm)
        && native.takes(args.len())
    {
        return match run::call(vm, &native, args)? {
            Val::Bool(found) => Ok(found),
            found => found.to_object(vm)?.is_true(vm),
        };
    }
    let args: Vec<PyObjectRef> = args.iter().map(|arg| arg.to_object(vm)).collect::<PyResult<_>>()?;
    function.call(args, vm)?.is_true(vm)
}

/// Code that makes a frame of that place.
fn raising(vm: &VirtualMachine, file: &str, name: &str, line: u32) -> PyResult<PyRef<PyCode>> {
    let known = RAISING.with_borrow(|known| known.get(file).and_then(|lines| lines.get(&line)).and_then(|names| names.get(name)).cloned());
    if let Some(code) = known {
        return Ok(code);
    }
    let lines = "\n".repeat(line.saturating_sub(1) as usize);
    let source = match name {
        "<module>" => format!("{lines}raise error"),
        "<genexpr>" => format!("{lines}frame = (_ for _ in ())"),
        name => format!("{lines}def {name}(error): raise error"),
    };
    let code = vm.compile(&source, Mode::Exec, file).map_err(|error| error.into_pyexception(vm, None))?;
    RAISING.with_borrow_mut(|known| known.entry(file.into()).or_default().entry(line).or_default().insert(name.into(), code.clone()));
    Ok(code)
}

/// Puts an entry of that place in front of the traceback of an error: the VM makes one for a frame that an
/// error passes through, so a frame is made there.
fn traced(vm: &VirtualMachine, error: PyBaseExceptionRef, file: &str, name: &str, line: u32) -> PyBaseExceptionRef {
    let raise = || -> PyResult<()> {
        let code = raising(vm, file, name, line)?;
        let names = vm.ctx.new_dict();
        names.set_item("error", error.clone().into(), vm)?;
        vm.run_code_obj(code, Scope::new(Some(ArgMapping::from_dict_exact(names.clone())), names.clone()))?;
        match name {
            "<module>" => {}
            "<genexpr>" => drop(vm.call_method(&*names.get_item("frame", vm)?, "throw", (error.clone(),))?),
            name => drop(names.get_item(name, vm)?.call((error.clone(),), vm)?),
        }
        Ok(())
    };
    // Should that fail, the error itself is what counts.
    match raise() {
        Err(raised) if raised.is(&error) => raised,
        _ => error,
    }
}
