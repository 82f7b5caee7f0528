//! Inline expressions, `${@…}`: compiled once per distinct text, the plain ones evaluated without
//! the VM ([`crate::plain`]).

use crate::errors::to_runtime;
use crate::metadata::context;
use crate::plain::{self, Plan};
use crate::store::wrap;
use hz_data::{DataError, DataStore, Level, RuntimeError, TOO_DEEP, Value};
use hz_diagnostics::Str;
use parking_lot::Mutex;
use ruff_python_ast::visitor::{Visitor, walk_expr};
use ruff_python_ast::{Expr, ExprContext};
use rustc_hash::FxHashMap;
use rustpython_vm::builtins::{PyCode, PyDictRef, PyInt, PyStr};
use rustpython_vm::compiler::Mode;
use rustpython_vm::function::ArgMapping;
use rustpython_vm::scope::Scope;
use rustpython_vm::{AsObject, PyPayload, PyRef, PyResult, VirtualMachine};
use std::cell::Cell;
use std::sync::{Arc, OnceLock};

/// An expression, looked at once.
struct Inline {
    plan: Option<Plan>,
    /// Names it reads, `d` left out.
    names: Vec<String>,
    /// Holds code of its own (lambda, generator), whose names are globals.
    nested: bool,
    code: OnceLock<PyRef<PyCode>>,
}

static KNOWN: Mutex<Option<FxHashMap<Str, Arc<Inline>>>> = Mutex::new(None);

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
    let mut plan = None;
    if let Ok(parsed) = ruff_python_parser::parse_expression(text.trim()) {
        let body = &parsed.syntax().body;
        found.visit_expr(body);
        plan = plain::plan(body);
    } else {
        // The VM tells what is wrong.
        found.nested = true;
    }
    Inline { plan, names: found.names, nested: found.nested, code: OnceLock::new() }
}

fn known(text: &str) -> Arc<Inline> {
    if let Some(found) = KNOWN.lock().as_ref().and_then(|known| known.get(text)) {
        return found.clone();
    }
    let made = Arc::new(inspect(text));
    KNOWN.lock().get_or_insert_default().insert(text.into(), made.clone());
    made
}

/// Evaluates `text` with `d` bound to `store`; gives text, or what turns into the same text.
/// And whether all it depends on was read of `store`: the VM may have asked anybody.
pub fn eval(store: &DataStore, text: &str, var: Option<&str>) -> Result<(Value, bool), RuntimeError> {
    let inline = known(text);
    if let Some(plan) = &inline.plan
        && let Some(_level) = Level::enter(&DEPTH, DEEPEST)
    {
        plain::failure();
        if let Some(value) = plan.eval(store) {
            hz_meter::count(hz_meter::Count::Native);
            return Ok((value, true));
        }
        // Asking the VM as well at each level would double the work with each: only the outer
        // levels get a traceback.
        if let Some(error) = plain::failure()
            && (DEPTH.get() > TRACED || told_once(&error))
        {
            return Err(crate::enter(|vm| to_runtime(vm, crate::errors::from_data(vm, error))));
        }
    }
    Ok((eval_in_vm_known(&inline, store, text, var)?, false))
}

/// Would the VM not run into this error again? What is wrong with OVERRIDES is told to the first who
/// reads a variable that has variants; then there are none until it is written.
fn told_once(error: &DataError) -> bool {
    match error {
        DataError::Expansion { chain, cause, .. } => {
            matches!(cause, RuntimeError::Handled) || chain.iter().any(|name| name == "OVERRIDES")
        }
        DataError::Runtime(RuntimeError::Python(error)) => error.message.contains(" -> OVERRIDES"),
        DataError::Runtime(cause) => matches!(cause, RuntimeError::Handled),
        DataError::Other(_) => false,
    }
}

/// Evaluates without the VM; None: that it has to be asked.
pub fn eval_natively(store: &DataStore, text: &str) -> Option<Value> {
    known(text).plan.as_ref()?.eval(store)
}

/// Evaluates by the VM alone: the judge of the native evaluator. `var` is the variable that errors
/// name.
pub fn eval_in_vm(store: &DataStore, text: &str, var: Option<&str>) -> Result<Value, RuntimeError> {
    eval_in_vm_known(&known(text), store, text, var)
}

/// Expressions within expressions (`${@d.getVar('A')}` where A holds another one) before it is a
/// RecursionError. The reference spends seven frames of Python on each, of the thousand it has; our
/// VM sees one, and an error that passes through a thousand levels takes seconds to tell.
const DEEPEST: u32 = 140;

/// Levels whose failure is told with the VM's traceback.
const TRACED: u32 = 3;

thread_local! {
    static DEPTH: Cell<u32> = const { Cell::new(0) };
}

fn eval_in_vm_known(inline: &Inline, store: &DataStore, text: &str, var: Option<&str>) -> Result<Value, RuntimeError> {
    hz_meter::count(hz_meter::Count::Vm);
    let _timed = hz_meter::timed(hz_meter::Kind::Inline);
    hz_meter::expression(text, || crate::enter(|vm| {
        let evaluated = match Level::enter(&DEPTH, DEEPEST) {
            Some(_level) => in_vm(vm, inline, store, text, var),
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

fn in_vm(vm: &VirtualMachine, inline: &Inline, store: &DataStore, text: &str, var: Option<&str>) -> PyResult<Value> {
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
    let mut globals = context(vm)?;
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
