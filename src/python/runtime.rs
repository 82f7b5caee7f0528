//! [`hz_data::Runtime`] over the VM: the one door through which parsing, the data store and task
//! execution reach Python.

use crate::convert::{to_own_value, to_python, to_value};
use crate::errors::to_runtime;
use crate::native::{self, Expression};
use crate::{enter, inline, metadata, pylibs, store};
use hz_data::{ClassEvent, DataStore, Depends, LibFunctions, Runtime, RuntimeError, Value};
use hz_diagnostics::Str;
use indexmap::IndexSet;
use rustpython_vm::builtins::{PyDict, PyDictRef, PyFunction, PyStr, PyTuple};
use rustpython_vm::function::FuncArgs;
use rustpython_vm::{AsObject, PyObjectRef, PyResult, VirtualMachine};
use rustc_hash::{FxHashMap, FxHashSet};
use std::any::Any;
use std::cell::RefCell;
use std::mem::ManuallyDrop;
use std::rc::Rc;
use std::sync::{Arc, OnceLock};

/// The Python runtime of this process.
#[derive(Debug)]
pub struct PythonRuntime(());

/// The one runtime; stores made by Python code use it too.
pub fn shared() -> Arc<dyn Runtime> {
    static SHARED: OnceLock<Arc<PythonRuntime>> = OnceLock::new();
    SHARED.get_or_init(|| Arc::new(PythonRuntime(()))).clone()
}

/// Runs `f` in the VM; what it raises becomes a runtime error.
fn run<R>(f: impl FnOnce(&VirtualMachine) -> PyResult<R>) -> Result<R, RuntimeError> {
    enter(|vm| f(vm).map_err(|error| to_runtime(vm, error)))
}

/// A loaded module by its dotted name.
pub fn module(vm: &VirtualMachine, name: &str) -> PyResult {
    let modules = vm.sys_module.get_attr("modules", vm)?;
    // The import statement takes its time even for what is there.
    if let Some(modules) = modules.downcast_ref::<PyDict>()
        && let Some(module) = modules.get_item_opt(name, vm)?
    {
        return Ok(module);
    }
    vm.import(&vm.ctx.new_str(name), 0)?;
    modules.get_item(name, vm)
}

/// Does a class handler of the metadata want events of this class (`bb.event.BuildStarted`)?
pub fn has_handlers(class: &str) -> bool {
    // Where that cannot be told, firing the event tells.
    run(|vm| wanted_class(vm, &module(vm, "bb.event")?, class)).unwrap_or(true)
}

/// Does a registered handler's mask want events of this class of `bb.event`?
fn wanted(vm: &VirtualMachine, events: &PyObjectRef, class: &str) -> PyResult<bool> {
    wanted_class(vm, events, &format!("bb.event.{class}"))
}

fn wanted_class(vm: &VirtualMachine, events: &PyObjectRef, class: &str) -> PyResult<bool> {
    let (Some(any), Some(masks)) = (
        vm.get_attribute_opt(events, vm.ctx.intern_str("_catchall_handlers"))?,
        vm.get_attribute_opt(events, vm.ctx.intern_str("_event_handler_map"))?,
    ) else {
        return Ok(true);
    };
    if any.is_true(vm)? {
        return Ok(true);
    }
    match masks.downcast_ref::<PyDict>() {
        Some(masks) => match masks.get_item_opt(class, vm)? {
            Some(names) => names.is_true(vm),
            None => Ok(false),
        },
        None => Ok(true),
    }
}

/// Is a handler of that name known, and registered with this store? `bb.event.register` then changes
/// nothing.
fn is_registered(vm: &VirtualMachine, store: &DataStore, name: &str) -> PyResult<bool> {
    let events = module(vm, "bb.event")?;
    let Some(handlers) = vm.get_attribute_opt(&events, vm.ctx.intern_str("_handlers"))? else { return Ok(false) };
    let mc = store.get_raw("BB_CURRENT_MC").map(|mc| mc.to_text()).unwrap_or_else(|| "".into());
    let qualified: Str = if mc.is_empty() { name.into() } else { format!("{}{name}", mc.replace('-', "_")).into() };
    let known = match handlers.downcast_ref::<PyDict>() {
        Some(handlers) => handlers.get_item_opt(&*qualified, vm)?.is_some(),
        None => false,
    };
    Ok(known && registered_with(store).is_some_and(|names| names.contains(&qualified)))
}

/// The names of the handlers that were registered with a store.
fn registered_with(store: &DataStore) -> Option<Arc<IndexSet<Str>>> {
    match store.get_raw("__BBHANDLERS_MC") {
        Some(Value::Set(names)) => Some(names),
        _ => None,
    }
}

fn list(names: &[Str], vm: &VirtualMachine) -> PyObjectRef {
    vm.ctx.new_list(names.iter().map(|name| vm.ctx.new_str(&**name).into()).collect()).into()
}

fn fire(vm: &VirtualMachine, store: &DataStore, event: ClassEvent<'_>) -> PyResult<()> {
    let text = |text: &str| -> PyObjectRef { vm.ctx.new_str(text).into() };
    let (class, args): (&'static str, Vec<PyObjectRef>) = match event {
        ClassEvent::ConfigParsed => ("ConfigParsed", vec![]),
        ClassEvent::MultiConfigParsed { mcdata } => {
            let dict = vm.ctx.new_dict();
            for (name, store) in mcdata {
                dict.set_item(&**name, store::wrap(store, vm)?, vm)?;
            }
            ("MultiConfigParsed", vec![dict.into()])
        }
        ClassEvent::RecipePreDeferredInherits { fn_, inherits } => ("RecipePreDeferredInherits", vec![text(fn_), list(inherits, vm)]),
        ClassEvent::RecipePreFinalise { fn_ } => ("RecipePreFinalise", vec![text(fn_)]),
        ClassEvent::RecipePostKeyExpansion { fn_ } => ("RecipePostKeyExpansion", vec![text(fn_)]),
        ClassEvent::RecipeTaskPreProcess { fn_, tasklist } => ("RecipeTaskPreProcess", vec![text(fn_), list(tasklist, vm)]),
        ClassEvent::RecipeParsed { fn_ } => ("RecipeParsed", vec![text(fn_)]),
    };
    let events = module(vm, "bb.event")?;
    if !wanted(vm, &events, class)? {
        return Ok(());
    }
    hz_meter::count(hz_meter::Count::Handler);
    hz_meter::expression(class, || {
        let event = events.get_attr(class, vm)?.call(args, vm)?;
        let d = store::wrap(store, vm)?;
        fire_at(vm, &events, store, &format!("bb.event.{class}"), event, d)
    })
}

/// `bb.event.fire(event, d)` for an event of that class: handlers run natively, where they can.
pub fn fire_event(vm: &VirtualMachine, class: &str, event: PyObjectRef, d: PyObjectRef) -> PyResult<()> {
    let events = module(vm, "bb.event")?;
    let store = store::unwrap(&d, vm)?.clone();
    fire_at(vm, &events, &store, class, event, d)
}

fn fire_at(vm: &VirtualMachine, events: &PyObjectRef, store: &DataStore, class: &str, event: PyObjectRef, d: PyObjectRef) -> PyResult<()> {
    let Some(handlers) = handlers(vm, events, store, class)? else {
        return events.get_attr("fire", vm)?.call((event, d), vm).map(drop);
    };
    for (name, handler) in handlers {
        handle(vm, events, &name, &handler, &event, &d)?;
    }
    native::call(vm, &events.get_attr("fire_to_others", vm)?, vec![event, d])
}

/// Makes the handlers that want events of these classes ready, in the process others will be forked from.
pub fn prepare_handlers(vm: &VirtualMachine, classes: &[&str]) -> PyResult<()> {
    let events = module(vm, "bb.event")?;
    let (Some(all), Some(masks)) = (table(vm, &events, "_handlers")?, table(vm, &events, "_event_handler_map")?) else { return Ok(()) };
    let mut seen = FxHashSet::default();
    for class in classes {
        let Some(wanting) = masks.get_item_opt(*class, vm)?.and_then(|names| names.downcast::<PyDict>().ok()) else { continue };
        for (name, _) in wanting.items_vec() {
            if let Some(handler) = all.get_item_opt(&*name, vm)? {
                prepare(vm, handler, &mut seen)?;
            }
        }
    }
    Ok(())
}

/// Makes a function ready that is called as handlers are.
pub fn prepare_handler(vm: &VirtualMachine, handler: PyObjectRef) -> PyResult<()> {
    prepare(vm, handler, &mut FxHashSet::default())
}

/// Makes a function ready, and those of its namespace that it names.
fn prepare(vm: &VirtualMachine, function: PyObjectRef, seen: &mut FxHashSet<usize>) -> PyResult<()> {
    if function.downcast_ref::<PyFunction>().is_none() || !seen.insert(function.get_id()) {
        return Ok(());
    }
    // One that cannot be done natively runs in the VM.
    let _ = native::function::native(&function, vm);
    let Ok(globals) = function.get_attr("__globals__", vm)?.downcast::<PyDict>() else { return Ok(()) };
    let names = function.get_attr("__code__", vm)?.get_attr("co_names", vm)?;
    let Some(names) = names.downcast_ref::<PyTuple>() else { return Ok(()) };
    for name in names.as_slice() {
        if let Some(found) = globals.get_item_opt(&**name, vm)? {
            prepare(vm, found, seen)?;
        }
    }
    Ok(())
}

/// One of the dicts in which `bb.event` has its handlers; None: somebody put something else there.
fn table(vm: &VirtualMachine, events: &PyObjectRef, name: &'static str) -> PyResult<Option<PyDictRef>> {
    Ok(events.get_attr(name, vm)?.downcast::<PyDict>().ok())
}

/// The handlers `bb.event.fire_class_handlers` would call, in their order. None: somebody put functions of their own
/// there, or a filter.
fn handlers(vm: &VirtualMachine, events: &PyObjectRef, store: &DataStore, class: &str) -> PyResult<Option<Vec<(PyObjectRef, PyObjectRef)>>> {
    let own = events.get_attr("_FIRING", vm)?;
    let Some(own) = own.downcast_ref::<PyTuple>() else { return Ok(None) };
    for function in own.as_slice() {
        let name = function.get_attr("__name__", vm)?;
        let Some(name) = name.downcast_ref::<PyStr>() else { return Ok(None) };
        if !events.get_attr(name, vm)?.is(function) {
            return Ok(None);
        }
    }
    let dict = |name| table(vm, events, name);
    let (Some(all), Some(masks), Some(any)) = (dict("_handlers")?, dict("_event_handler_map")?, dict("_catchall_handlers")?) else {
        return Ok(None);
    };
    if events.get_attr("_eventfilter", vm)?.is_true(vm)? {
        return Ok(None);
    }
    let wanting = masks.get_item_opt(class, vm)?.and_then(|names| names.downcast::<PyDict>().ok());
    let mut found = Vec::new();
    let Some(ours) = registered_with(store) else { return Ok(Some(found)) };
    for (name, handler) in all.items_vec() {
        if !wanting.iter().chain([&any]).any(|names| names.contains_key(&*name, vm)) {
            continue;
        }
        let registered = name.downcast_ref::<PyStr>().is_some_and(|name| ours.contains(&crate::convert::text_of(name)));
        if registered {
            found.push((name, handler));
        }
    }
    Ok(Some(found))
}

/// As `bb.event.execute_handler`.
fn handle(
    vm: &VirtualMachine, events: &PyObjectRef, name: &PyObjectRef, handler: &PyObjectRef, event: &PyObjectRef, d: &PyObjectRef,
) -> PyResult<()> {
    event.set_attr("data", d.clone(), vm)?;
    let done = crate::native::call(vm, handler, vec![event.clone(), d.clone()]);
    let done = match done {
        Ok(()) => Ok(()),
        Err(error) => {
            events.get_attr("_tell_failed", vm)?.call((name.clone(), error.clone()), vm)?;
            Err(error)
        }
    };
    event.del_attr("data", vm)?;
    done
}

/// Calls a function with an event as a class handler is called.
pub fn call_as_handler(vm: &VirtualMachine, function: &PyObjectRef, event: PyObjectRef, d: PyObjectRef) -> PyResult<()> {
    event.set_attr("data", d.clone(), vm)?;
    native::call(vm, function, vec![event, d])
}

/// A filter's expression made ready, and what it made of values.
#[derive(Default)]
struct Filter {
    /// None: the VM evaluates it.
    expression: Option<Rc<Expression>>,
    found: FxHashMap<Str, Value>,
}

thread_local! {
    /// Not taken apart when a thread ends: the VM's part of it may be gone.
    static FILTERS: RefCell<ManuallyDrop<FxHashMap<Str, Filter>>> = RefCell::default();
}

/// What `bb.filter.apply_filters` gives for one expression, if that can be evaluated natively.
fn filter_natively(vm: &VirtualMachine, filters: &PyObjectRef, value: &str, expr: &str) -> PyResult<Option<Value>> {
    let names = filters.get_attr("FILTERS", vm)?;
    let own = filters.get_attr("_APPLY", vm)?.is(&filters.get_attr("apply_filters", vm)?);
    let Ok(names) = names.downcast::<PyDict>() else { return Ok(None) };
    if !own {
        return Ok(None);
    }
    let expression = match FILTERS.with_borrow(|filters| filters.get(expr).map(|filter| filter.expression.clone())) {
        Some(known) => known,
        None => {
            let made = native::expression(vm, expr.trim(), "val", &names).map(Rc::new);
            FILTERS.with_borrow_mut(|filters| filters.entry(expr.into()).or_default().expression = made.clone());
            made
        }
    };
    let Some(expression) = expression else { return Ok(None) };
    let found = expression.eval(vm, native::Val::text(value), &names, false)?;
    found.map(|(found, _)| found.to_value(false, vm)).transpose()
}

impl Runtime for PythonRuntime {
    fn eval_inline(&self, store: &DataStore, expr: &str, var: Option<&str>) -> Result<Value, RuntimeError> {
        inline::eval(store, expr, var).map(|(value, _)| value)
    }

    fn eval_seen(&self, store: &DataStore, expr: &str, var: Option<&str>) -> Result<(Value, Depends), RuntimeError> {
        inline::eval(store, expr, var)
    }

    fn apply_filter(&self, _store: &DataStore, _var: &str, value: &str, expr: &str) -> Result<Value, RuntimeError> {
        hz_meter::count(hz_meter::Count::Filter);
        // Filters are pure: `bb.filter` keeps what it found for good, too.
        if let Some(found) = FILTERS.with_borrow(|known| known.get(expr).and_then(|known| known.found.get(value)).cloned()) {
            return Ok(found);
        }
        let _timed = hz_meter::timed(hz_meter::Kind::Filters);
        let found = run(|vm| {
            let filters = module(vm, "bb.filter")?;
            if let Some(found) = filter_natively(vm, &filters, value, expr)? {
                return Ok(found);
            }
            let apply = filters.get_attr("apply_filters", vm)?;
            let expressions = vm.ctx.new_list(vec![vm.ctx.new_str(expr).into()]);
            Ok(to_value(&*apply.call((vm.ctx.new_str(value), expressions), vm)?, vm))
        })?;
        FILTERS.with_borrow_mut(|known| known.entry(expr.into()).or_default().found.insert(value.into(), found.clone()));
        Ok(found)
    }

    fn define(&self, _module: &str, text: &str, file: &str, line: u32) -> Result<(), RuntimeError> {
        let _timed = hz_meter::timed(hz_meter::Kind::Definitions);
        enter(|vm| metadata::define(vm, text, file, line))
    }

    fn run_anonymous(&self, store: &DataStore, names: &[Str]) -> Result<(), RuntimeError> {
        if names.is_empty() {
            return Ok(());
        }
        let _timed = hz_meter::timed(hz_meter::Kind::Anonymous);
        enter(|vm| metadata::run_anonymous(vm, store, names))
    }

    fn fire(&self, store: &DataStore, event: ClassEvent<'_>) -> Result<(), RuntimeError> {
        let _timed = hz_meter::timed(hz_meter::Kind::Handlers);
        run(|vm| fire(vm, store, event))
    }

    fn register_handler(
        &self, store: &DataStore, name: &str, text: &str, mask: &[&str], file: &str, line: u32,
    ) -> Result<(), RuntimeError> {
        run(|vm| {
            metadata::context(vm)?;
            if is_registered(vm, store, name)? {
                return Ok(());
            }
            let register = module(vm, "bb.event")?.get_attr("register", vm)?;
            let mask = vm.ctx.new_list(mask.iter().map(|name| vm.ctx.new_str(*name).into()).collect());
            let args: Vec<PyObjectRef> = vec![
                vm.ctx.new_str(name).into(),
                vm.ctx.new_str(text).into(),
                mask.into(),
                vm.ctx.new_str(file).into(),
                vm.ctx.new_int(line).into(),
                store::wrap(store, vm)?,
            ];
            register.call(args, vm)?;
            Ok(())
        })
    }

    fn save_handlers(&self) -> Box<dyn Any + Send> {
        let saved = run(|vm| {
            let handlers = module(vm, "bb.event")?.get_attr("_handlers", vm)?;
            vm.call_method(&handlers, "copy", ())
        });
        Box::new(saved.ok())
    }

    fn restore_handlers(&self, saved: Box<dyn Any + Send>) {
        let Ok(saved) = saved.downcast::<Option<PyObjectRef>>() else { return };
        let Some(handlers) = *saved else { return };
        // A failure would mean that bb.event itself is broken; the next event tells.
        let _ = run(|vm| {
            let events = module(vm, "bb.event")?;
            let current = events.get_attr("_handlers", vm)?;
            if let (Some(current), Some(saved)) = (current.downcast_ref::<PyDict>(), handlers.downcast_ref::<PyDict>())
                && current.__len__() == saved.__len__()
                && current.items_vec().iter().zip(saved.items_vec()).all(|(a, b)| a.0.is(&b.0) && a.1.is(&b.1))
            {
                return Ok(());
            }
            match vm.get_attribute_opt(&events, vm.ctx.intern_str("set_class_handlers"))? {
                Some(set) => set.call((handlers,), vm).map(drop),
                None => events.set_attr("_handlers", handlers, vm),
            }
        });
    }

    fn add_pylib(&self, store: &DataStore, dir: &str, namespace: &str) -> Result<LibFunctions, RuntimeError> {
        let modules = store.get_or_empty("BB_GLOBAL_PYMODULES").map(|text| text.to_string()).unwrap_or_default();
        let modules: Vec<&str> = modules.split_whitespace().collect();
        self.add_global_modules(&modules)?;
        hz_meter::span(hz_meter::Kind::Definitions, || format!("addpylib {dir}"), || {
            enter(|vm| match pylibs::add(vm, dir, namespace) {
                (Err(error), found) if error.class().fast_issubclass(vm.ctx.exceptions.attribute_error) => {
                    let text = format!("Error importing OE modules: {}", crate::errors::message(vm, &error));
                    hz_events::log(hz_events::level::ERROR, "Main", text);
                    Ok(found)
                }
                (Err(error), _) => Err(to_runtime(vm, error)),
                (Ok(()), found) => Ok(found),
            })
        })
    }

    fn add_global_modules(&self, names: &[&str]) -> Result<(), RuntimeError> {
        run(|vm| {
            let context = metadata::context(vm)?;
            for name in names {
                if context.get_item_opt(*name, vm)?.is_none() {
                    context.set_item(*name, vm.import(&vm.ctx.new_str(*name), 0)?, vm)?;
                }
            }
            Ok(())
        })
    }

    fn call_method(&self, store: &DataStore, name: &str, values: &[Value], named: &[(&str, Value)]) -> Result<Value, RuntimeError> {
        run(|vm| {
            let method = store::wrap(store, vm)?.get_attr(&vm.ctx.new_str(name), vm)?;
            // The engine's own variables are read natively, whatever they hold.
            let own = values.first().is_some_and(|value| value.to_text().starts_with("__"));
            let values: PyResult<Vec<PyObjectRef>> = values.iter().map(|value| to_python(value, vm)).collect();
            let mut args = FuncArgs::from(values?);
            for (name, value) in named {
                args.kwargs.insert(name.to_string().into(), to_python(value, vm)?);
            }
            let found = method.call(args, vm)?;
            Ok(match found.downcast_ref::<PyDict>() {
                Some(dict) => {
                    let item = |(name, value): &(PyObjectRef, PyObjectRef)| Ok((store::text(name, vm)?, to_value(value, vm)));
                    Value::Map(Arc::new(dict.items_vec().iter().map(item).collect::<PyResult<_>>()?))
                }
                None if own => to_own_value(&found, vm),
                None => to_value(&found, vm),
            })
        })
    }

    fn log(&self, level: u32, domain: &str, message: &str) {
        hz_events::log(level, domain, message);
    }
}

/// Runs the metadata function `name` (body text `body`, standing after line `line` of `file`) as
/// a task or `bb.build.exec_func` does. What goes wrong has been told when `Handled` comes back.
pub fn call_python_function(store: &DataStore, name: &str, body: &str, file: &str, line: u32) -> Result<(), RuntimeError> {
    enter(|vm| metadata::call_function(vm, store, name, body, file, line))
}
