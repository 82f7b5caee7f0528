//! Inline expressions, `${@…}`: compiled once per distinct text, for native evaluation ([`crate::native`]) or,
//! where that does not know all of it, for the VM.

use crate::errors::to_runtime;
use crate::metadata::context;
use crate::native::{self, Expression, Val};
use crate::store::wrap;
use hz_data::{DataStore, Depends, Level, RuntimeError, TOO_DEEP, Value};
use hz_diagnostics::Str;
use ruff_python_ast::visitor::{Visitor, walk_expr};
use ruff_python_ast::{Expr, ExprContext};
use rustc_hash::FxHashMap;
use rustpython_vm::builtins::{PyCode, PyDictRef, PyInt, PyStr};
use rustpython_vm::compiler::Mode;
use rustpython_vm::function::ArgMapping;
use rustpython_vm::scope::Scope;
use rustpython_vm::{AsObject, PyPayload, PyRef, PyResult, VirtualMachine};
use std::cell::{Cell, OnceCell, RefCell};
use std::mem::ManuallyDrop;
use std::rc::Rc;

/// An expression, looked at once.
struct Inline {
    /// Names it reads, `d` left out.
    names: Vec<String>,
    /// Holds code of its own (lambda, generator), whose names are globals.
    nested: bool,
    code: OnceCell<PyRef<PyCode>>,
    /// None: the VM has to evaluate it.
    native: OnceCell<Option<Expression>>,
}

thread_local! {
    /// By text. What native code works with is one thread's; when that ends the VM's part of it may be gone, so
    /// nothing is taken apart then.
    static KNOWN: RefCell<ManuallyDrop<FxHashMap<Str, Rc<Inline>>>> = RefCell::default();
}

struct Names {
    names: Vec<String>,
    nested: bool,
}

impl<'a> Visitor<'a> for Names {
    fn visit_expr(&mut self, expr: &'a Expr) {
        match expr {
            Expr::Name(name) if name.ctx == ExprContext::Load => {
                if name.id.as_str() != "d" && !self.names.iter().any(|known| known == name.id.as_str()) {
                    self.names.push(name.id.to_string());
                }
            }
            Expr::Lambda(_) | Expr::Generator(_) | Expr::ListComp(_) | Expr::SetComp(_) | Expr::DictComp(_) => self.nested = true,
            _ => {}
        }
        walk_expr(self, expr);
    }
}

fn inspect(text: &str) -> Inline {
    let mut found = Names { names: Vec::new(), nested: false };
    if let Ok(parsed) = ruff_python_parser::parse_expression(text.trim()) {
        let body = &parsed.syntax().body;
        found.visit_expr(body);
    } else {
        // The VM tells what is wrong.
        found.nested = true;
    }
    Inline { names: found.names, nested: found.nested, code: OnceCell::new(), native: OnceCell::new() }
}

fn known(text: &str) -> Rc<Inline> {
    if let Some(found) = KNOWN.with_borrow(|known| known.get(text).cloned()) {
        return found;
    }
    let made = Rc::new(inspect(text));
    KNOWN.with_borrow_mut(|known| known.insert(text.into(), made.clone()));
    made
}

/// Evaluates `text` with `d` bound to `store`; gives text, or what turns into the same text.
/// And what that depends on: the VM may have asked anybody.
pub fn eval(store: &DataStore, text: &str, var: Option<&str>) -> Result<(Value, Depends), RuntimeError> {
    let inline = known(text);
    entered(text, var, |vm| {
        let globals = context(vm)?;
        if let Some(found) = natively(vm, &inline, &globals, store, text)? {
            hz_meter::count(hz_meter::Count::Native);
            return Ok(found);
        }
        hz_meter::count(hz_meter::Count::Vm);
        in_vm(vm, &inline, globals, store, text, var).map(|value| (value, Depends::Anything))
    })
}

/// Evaluates natively; None: the VM has to do it.
pub fn eval_natively(store: &DataStore, text: &str) -> Option<Value> {
    let inline = known(text);
    entered(text, None, |vm| natively(vm, &inline, &context(vm)?, store, text)).ok().flatten().map(|(value, _)| value)
}

/// Evaluates by the VM alone: the judge of the native evaluator. `var` is the variable that errors
/// name.
pub fn eval_in_vm(store: &DataStore, text: &str, var: Option<&str>) -> Result<Value, RuntimeError> {
    let inline = known(text);
    entered(text, var, |vm| in_vm(vm, &inline, context(vm)?, store, text, var))
}

/// Expressions within expressions (`${@d.getVar('A')}` where A holds another one) before it is a
/// RecursionError. The reference spends seven frames of Python on each, of the thousand it has; our
/// VM sees one, and an error that passes through a thousand levels takes seconds to tell.
const DEEPEST: u32 = 140;

thread_local! {
    static DEPTH: Cell<u32> = const { Cell::new(0) };
}

/// Runs `work`, which evaluates `text`, in the VM; what it raises is told of under the variable's name.
fn entered<T>(text: &str, var: Option<&str>, work: impl FnOnce(&VirtualMachine) -> PyResult<T>) -> Result<T, RuntimeError> {
    let _timed = hz_meter::timed(hz_meter::Kind::Inline);
    hz_meter::expression(text, || crate::enter(|vm| {
        let evaluated = match Level::enter(&DEPTH, DEEPEST) {
            Some(_level) => work(vm),
            None => Err(vm.new_recursion_error(TOO_DEEP.to_string())),
        };
        evaluated.map_err(|error| {
            let mut error = to_runtime(vm, error);
            if let RuntimeError::Python(found) = &mut error {
                for frame in found.frames.iter_mut().filter(|frame| &*frame.file == "<expansion>") {
                    if let Some(var) = var {
                        frame.file = format!("Var <{var}>").into();
                    }
                    frame.text = Some(text.trim().to_string());
                }
            }
            error
        })
    }))
}

/// The value, and what it depends on.
fn natively(vm: &VirtualMachine, inline: &Inline, globals: &PyDictRef, store: &DataStore, text: &str) -> PyResult<Option<(Value, Depends)>> {
    let native = inline.native.get_or_init(|| native::expression(vm, text.trim(), "d", globals));
    let found = match native {
        Some(native) => native.eval(vm, Val::Store(store.clone()), globals, true)?,
        None => None,
    };
    let Some((found, depends)) = found else { return Ok(None) };
    let value = match &found {
        Val::Str(text) => Value::Str(text.clone()),
        Val::None => Value::None,
        Val::Int(number) => Value::Int(*number),
        other => match other.shown() {
            Some(text) => Value::Str(text),
            None => Value::Str(crate::convert::text_of(&*other.to_object(vm)?.str(vm)?)),
        },
    };
    Ok(Some((value, depends)))
}

fn in_vm(vm: &VirtualMachine, inline: &Inline, globals: PyDictRef, store: &DataStore, text: &str, var: Option<&str>) -> PyResult<Value> {
    let code = match inline.code.get() {
        Some(code) => code.clone(),
        None => {
            let text = text.trim();
            // A text that does not compile is told of under the variable's name.
            let code = vm.compile(text, Mode::Eval, "<expansion>").or_else(|_| {
                let name = var.map_or_else(|| "<expansion>".to_string(), |var| format!("Var <{var}>"));
                vm.compile(text, Mode::Eval, &name).map_err(|error| crate::metadata::syntax_error(vm, error.into_pyexception(vm, Some(text))))
            })?;
            inline.code.get_or_init(|| code).clone()
        }
    };
    let mut globals = globals;
    let d = wrap(store, vm)?;
    if inline.nested {
        globals = globals.copy().into_ref(&vm.ctx);
        globals.set_item("d", d.clone(), vm)?;
    }
    let locals = match plain_locals(vm, inline, &globals)? {
        Some(locals) => {
            locals.set_item("d", d, vm)?;
            ArgMapping::from_dict_exact(locals)
        }
        None => {
            let class = vm.import("bb.data_smart", 0).and_then(|_| {
                let modules = vm.sys_module.get_attr("modules", vm)?;
                modules.get_item("bb.data_smart", vm)?.get_attr("DataContext", vm)
            })?;
            ArgMapping::new(class.call((d,), vm)?)
        }
    };
    let value = vm.run_code_obj(code, Scope::new(Some(locals), globals))?;
    if let Some(text) = value.downcast_ref::<PyStr>() {
        return Ok(Value::Str(crate::convert::text_of(text)));
    }
    if vm.is_none(&value) {
        return Ok(Value::None);
    }
    if value.class().is(vm.ctx.types.int_type)
        && let Some(number) = value.downcast_ref::<PyInt>().and_then(|number| i64::try_from(number.as_bigint()).ok())
    {
        return Ok(Value::Int(number));
    }
    Ok(Value::Str(crate::convert::text_of(&*value.str(vm)?)))
}

/// Ordinary locals, if no name has to be looked for among the variables of the store.
fn plain_locals(vm: &VirtualMachine, inline: &Inline, globals: &PyDictRef) -> PyResult<Option<PyDictRef>> {
    for name in &inline.names {
        if globals.get_item_opt(&**name, vm)?.is_none() && vm.builtins.get_attr(&vm.ctx.new_str(&**name), vm).is_err() {
            return Ok(None);
        }
    }
    Ok(Some(vm.ctx.new_dict()))
}
