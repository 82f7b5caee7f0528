//! Evaluation. What both operands' kinds allow is done here; anything else is asked of the VM, with the same
//! result and the same errors, so that nothing has to be undone.

use super::compile::{Body, Call, Comprehension, Kind, MethodCall, Name, Node, Piece, Statement, Target, Try};
use super::function::{self, Func, Native};
use super::known;
use super::text::{self, Method};
use super::value::{Shared, Val};
use crate::errors::from_data;
use crate::vm::waiting;
use hz_data::{DataStore, Read, SetInfo};
use hz_diagnostics::Str;
use indexmap::{IndexMap, IndexSet};
use ruff_python_ast::{CmpOp, Operator};
use rustpython_vm::builtins::{PyBaseExceptionRef, PyFunction, PyList, PyModule, PySet};
use rustpython_vm::function::{FuncArgs, KwArgs};
use rustpython_vm::protocol::{PyIter, PyIterReturn};
use rustpython_vm::types::PyComparisonOp;
use rustpython_vm::{AsObject, PyObjectRef, PyPayload, PyResult, VirtualMachine};
use std::cell::{Cell, RefCell};
use std::rc::Rc;

/// Calls within calls that are run here; deeper ones are the VM's, which knows where to stop.
const DEEPEST: u32 = 60;

/// Stands for the line of an error that knows this frame already.
const TRACED: u32 = u32::MAX;

thread_local! {
    static DEPTH: Cell<u32> = const { Cell::new(0) };
    static CALLER: RefCell<Option<Place>> = const { RefCell::new(None) };
}

struct Frame<'a> {
    values: RefCell<Vec<Val>>,
    /// The frame of the function around.
    outer: Option<&'a Frame<'a>>,
    func: &'a Func,
    /// Where an error came up, once one did.
    line: Cell<u32>,
    /// The exception that is being handled.
    handled: RefCell<Option<PyBaseExceptionRef>>,
}

/// File, function and line of native code that called something native of the VM, which has no frame to see its
/// caller by.
#[derive(Clone)]
pub struct Place {
    pub file: Str,
    pub func: Str,
    pub line: u32,
    /// The VM's innermost frame at that time.
    beneath: Option<PyObjectRef>,
}

/// Puts the former place back at its end.
struct Placed(Option<Place>);

impl Place {
    /// Only where somebody wants to know.
    fn enter(vm: &VirtualMachine, (func, line): (&Func, u32)) -> Option<Placed> {
        hz_data::is_anything_tracked().then(|| {
            let beneath = vm.current_frame().map(Into::into);
            Placed(CALLER.replace(Some(Place { file: func.file.clone(), func: func.name.clone(), line, beneath })))
        })
    }
}

impl Drop for Placed {
    fn drop(&mut self) {
        CALLER.set(self.0.take());
    }
}

/// Where native code stands that called what is running, unless functions of the VM stand between.
pub fn caller(vm: &VirtualMachine) -> Option<Place> {
    let place = CALLER.with_borrow(Clone::clone)?;
    let same = match (vm.current_frame(), &place.beneath) {
        (Some(now), Some(then)) => now.is(then),
        (None, None) => true,
        _ => false,
    };
    same.then_some(place)
}

/// How a statement ends.
enum Flow {
    Next,
    Break,
    Continue,
    Return(Val),
}

/// What is gone through.
enum Items {
    List(Rc<Shared<Vec<Val>>>, usize),
    Ours(std::vec::IntoIter<Val>),
    /// Of a dictionary or set, which must not change its size.
    Keys(std::vec::IntoIter<Val>, Val, usize),
    Object(PyObjectRef),
}

pub struct Run<'v> {
    vm: &'v VirtualMachine,
    /// The store of an expression, reads of which are seen by who evaluates it.
    store: Option<usize>,
    /// So far nothing but that store was asked.
    pure: Cell<bool>,
}

impl<'a> Frame<'a> {
    fn up(&self, levels: usize) -> Option<&Frame<'a>> {
        let mut frame = self;
        for _ in 0..levels {
            frame = frame.outer?;
        }
        Some(frame)
    }
    fn set(&self, place: usize, value: Val) {
        // What was there may be an object whose end runs Python.
        let old = std::mem::replace(&mut self.values.borrow_mut()[place], value);
        drop(old);
    }
    /// The error came up at this line, unless it is known better.
    fn at(&self, line: u32) {
        if self.line.get() == 0 {
            self.line.set(line);
        }
    }
}

/// Calls a native function.
pub fn call(vm: &VirtualMachine, native: &Native, args: Vec<Val>) -> PyResult<Val> {
    let run = Run { vm, store: None, pure: Cell::new(false) };
    let args = run.bound(&native.func, &native.defaults, args, Vec::new())?;
    run.run(&native.func, args, None)
}

/// Evaluates with the value of the one parameter. And whether the result depends on nothing but what was read of
/// the store that is.
pub fn evaluate(vm: &VirtualMachine, func: &Func, value: Val) -> PyResult<(Val, bool)> {
    let store = if let Val::Store(store) = &value { Some(store.id()) } else { None };
    let run = Run { vm, store, pure: Cell::new(true) };
    let found = run.run(func, vec![value], None)?;
    Ok((found, run.pure.get()))
}

impl<'v> Run<'v> {
    /// The VM is asked for something that may depend on anything, or change it.
    fn asked(&self) {
        self.pure.set(false);
    }

    fn run(&self, func: &Func, mut args: Vec<Val>, outer: Option<&Frame<'_>>) -> PyResult<Val> {
        args.resize(func.names.len(), Val::Unset);
        let frame = Frame { values: RefCell::new(args), outer, func, line: Cell::new(0), handled: RefCell::new(None) };
        match self.block(&func.body, &frame) {
            Ok(Flow::Return(value)) => Ok(value),
            Ok(_) => Ok(Val::None),
            Err(error) => {
                Err(match frame.line.get() {
                    TRACED => error,
                    0 => super::traced(self.vm, error, &func.file, &func.name, func.line),
                    line => super::traced(self.vm, error, &func.file, &func.name, line),
                })
            }
        }
    }

    fn block(&self, body: &Body, frame: &Frame<'_>) -> PyResult<Flow> {
        for (line, statement) in body {
            match self.statement(statement, frame).inspect_err(|_| frame.at(*line))? {
                Flow::Next => {}
                other => return Ok(other),
            }
        }
        Ok(Flow::Next)
    }

    fn statement(&self, statement: &Statement, frame: &Frame<'_>) -> PyResult<Flow> {
        match statement {
            Statement::Expr(node) => {
                self.eval(node, frame)?;
            }
            Statement::Assign(targets, node) => {
                let value = self.eval(node, frame)?;
                for target in targets {
                    self.assign(target, value.clone(), frame)?;
                }
            }
            Statement::Augment(target, op, node) => self.augment(target, *op, node, frame)?,
            Statement::If(branches, otherwise) => {
                for (test, body) in branches {
                    if self.test(test, frame)? {
                        return self.block(body, frame);
                    }
                }
                return self.block(otherwise, frame);
            }
            Statement::For(head, body, otherwise) => {
                let (target, over) = &**head;
                let mut items = self.iterate(self.eval(over, frame)?)?;
                while let Some(item) = self.next(&mut items)? {
                    // Ctrl-C ends a loop without end, and other threads get their turn.
                    self.vm.check_signals()?;
                    self.assign(target, item, frame)?;
                    match self.block(body, frame)? {
                        Flow::Next | Flow::Continue => {}
                        Flow::Break => return Ok(Flow::Next),
                        done => return Ok(done),
                    }
                }
                return self.block(otherwise, frame);
            }
            Statement::While(test, body, otherwise) => {
                while self.test(test, frame)? {
                    self.vm.check_signals()?;
                    match self.block(body, frame)? {
                        Flow::Next | Flow::Continue => {}
                        Flow::Break => return Ok(Flow::Next),
                        done => return Ok(done),
                    }
                }
                return self.block(otherwise, frame);
            }
            Statement::Return(node) => {
                return Ok(Flow::Return(match node {
                    Some(node) => self.eval(node, frame)?,
                    None => Val::None,
                }));
            }
            Statement::Break => return Ok(Flow::Break),
            Statement::Continue => return Ok(Flow::Continue),
            Statement::Delete(targets) => {
                for target in targets {
                    self.delete(target, frame)?;
                }
            }
            Statement::Import { module, bound, target } => {
                self.asked();
                let mut found = crate::runtime::module(self.vm, module)?;
                if bound != module {
                    found = crate::runtime::module(self.vm, bound)?;
                }
                self.assign(target, Val::from_object(found, self.vm), frame)?;
            }
            Statement::ImportFrom(module, names) => {
                self.asked();
                let found = crate::runtime::module(self.vm, module)?;
                for (name, target) in names {
                    let value = match self.vm.get_attribute_opt(&found, *name)? {
                        Some(value) => value,
                        // A module within a package.
                        None => {
                            let inner = format!("{module}.{name}");
                            crate::runtime::module(self.vm, &inner).map_err(|error| {
                                if error.class().slot_name().to_string() != "ModuleNotFoundError" {
                                    return error;
                                }
                                let file = found.get_attr("__file__", self.vm).and_then(|file| file.str(self.vm));
                                let file = file.map_or_else(|_| "unknown location".to_string(), |file| file.to_string_lossy().into_owned());
                                let text = format!("cannot import name '{name}' from '{module}' ({file})");
                                self.vm.new_import_error(text, self.vm.ctx.new_utf8_str(&**module))
                            })?
                        }
                    };
                    self.assign(target, Val::from_object(value, self.vm), frame)?;
                }
            }
            Statement::Raise(exception, cause) => {
                let error = self.raised(exception.as_ref(), cause.as_ref(), frame).unwrap_or_else(|error| error);
                if exception.is_none() {
                    frame.at(TRACED);
                }
                return Err(error);
            }
            Statement::Assert(test, message) => {
                if !self.test(test, frame)? {
                    let class = self.vm.ctx.exceptions.assertion_error.to_owned();
                    let args = match message {
                        Some(message) => vec![self.eval(message, frame)?.to_object(self.vm)?],
                        None => vec![],
                    };
                    return Err(self.vm.new_exception(class, args));
                }
            }
            Statement::Try(parts) => return self.attempt(parts, frame),
            Statement::Define(target, func, defaults) => {
                let defaults = self.evals(defaults, frame)?;
                self.assign(target, Val::Nested(func.clone(), defaults.into()), frame)?;
            }
            Statement::With(manager, target, body) => return self.with(manager, target.as_ref(), body, frame),
        }
        Ok(Flow::Next)
    }

    fn raised(&self, exception: Option<&Node>, cause: Option<&Node>, frame: &Frame<'_>) -> PyResult<PyBaseExceptionRef> {
        let Some(exception) = exception else {
            let mut around = Some(frame);
            while let Some(at) = around {
                if let Some(handled) = &*at.handled.borrow() {
                    return Ok(handled.clone());
                }
                around = at.outer;
            }
            return match self.vm.current_exception() {
                Some(error) => Ok(error),
                None => Err(self.vm.new_runtime_error("No active exception to reraise")),
            };
        };
        let error = self.exception(self.eval(exception, frame)?)?;
        if let Some(cause) = cause {
            let cause = self.eval(cause, frame)?;
            error.set_cause(if matches!(cause, Val::None) { None } else { Some(self.exception(cause)?) });
        }
        if let Some(around) = self.vm.current_exception()
            && !around.is(&error)
        {
            error.as_object().set_attr("__context__", around, self.vm)?;
        }
        Ok(error)
    }

    fn exception(&self, value: Val) -> PyResult<PyBaseExceptionRef> {
        let vm = self.vm;
        let wrong = || vm.new_type_error("exceptions must derive from BaseException");
        let Val::Object(object) = value else { return Err(wrong()) };
        let object = if object.class().fast_issubclass(vm.ctx.types.type_type) { object.call((), vm)? } else { object };
        object.downcast::<rustpython_vm::builtins::PyBaseException>().map_err(|_| wrong())
    }

    fn attempt(&self, parts: &Try, frame: &Frame<'_>) -> PyResult<Flow> {
        let done = self.caught(parts, frame);
        if parts.finally.is_empty() {
            return done;
        }
        // The line of an error is kept for when it goes on.
        let line = frame.line.replace(0);
        match self.block(&parts.finally, frame)? {
            Flow::Next => {
                frame.line.set(line);
                done
            }
            other => Ok(other),
        }
    }

    fn caught(&self, parts: &Try, frame: &Frame<'_>) -> PyResult<Flow> {
        let error = match self.block(&parts.body, frame) {
            Ok(Flow::Next) => return self.block(&parts.otherwise, frame),
            Ok(other) => return Ok(other),
            Err(error) => error,
        };
        let line = frame.line.replace(0);
        for handler in &parts.handlers {
            let wanted = match &handler.class {
                None => true,
                Some(class) => {
                    let class = self.eval(class, frame)?.to_object(self.vm)?;
                    error.as_object().is_instance(&class, self.vm)?
                }
            };
            if !wanted {
                continue;
            }
            // The exception's traceback has the frame that caught it.
            let error = if line == TRACED { error } else { super::traced(self.vm, error, &frame.func.file, &frame.func.name, line.max(1)) };
            if let Some(place) = handler.name {
                frame.set(place, Val::Object(error.clone().into()));
            }
            let before = self.vm.current_exception();
            let outer = frame.handled.replace(Some(error.clone()));
            self.vm.set_exception(Some(error.clone()));
            let done = self.block(&handler.body, frame);
            self.vm.set_exception(before);
            frame.handled.replace(outer);
            if let Some(place) = handler.name {
                frame.set(place, Val::Unset);
            }
            return done;
        }
        frame.line.set(line);
        Err(error)
    }

    fn with(&self, manager: &Node, target: Option<&Target>, body: &Body, frame: &Frame<'_>) -> PyResult<Flow> {
        let vm = self.vm;
        self.asked();
        let manager = self.eval(manager, frame)?.to_object(vm)?;
        let class: PyObjectRef = manager.class().to_owned().into();
        let method = |name: &'static str| class.get_attr(name, vm);
        let exit = method("__exit__")?;
        let given = method("__enter__").and_then(|enter| enter.call((manager.clone(),), vm))?;
        let entered = match target {
            Some(target) => self.assign(target, Val::from_object(given, vm), frame),
            None => Ok(()),
        };
        match entered.and_then(|()| self.block(body, frame)) {
            Ok(flow) => {
                let none = vm.ctx.none();
                exit.call((manager, none.clone(), none.clone(), none), vm)?;
                Ok(flow)
            }
            Err(error) => {
                let at = frame.line.replace(0);
                let error = if at == TRACED { error } else { super::traced(vm, error, &frame.func.file, &frame.func.name, at.max(1)) };
                let trace = error.as_object().get_attr("__traceback__", vm)?;
                let before = vm.current_exception();
                vm.set_exception(Some(error.clone()));
                let done = exit.call((manager, error.class().to_owned(), error.clone(), trace), vm).and_then(|done| done.is_true(vm));
                vm.set_exception(before);
                if done? {
                    return Ok(Flow::Next);
                }
                frame.at(TRACED);
                Err(error)
            }
        }
    }

    fn test(&self, node: &Node, frame: &Frame<'_>) -> PyResult<bool> {
        let value = self.eval(node, frame)?;
        if matches!(value, Val::Object(_)) {
            self.asked();
        }
        value.is_true(self.vm)
    }

    // -- Names and targets

    fn unbound(&self, frame: &Frame<'_>, place: usize) -> PyBaseExceptionRef {
        let name = &frame.func.names[place];
        self.vm.new_unbound_local_error(format!("cannot access local variable '{name}' where it is not associated with a value"))
    }

    fn local(&self, frame: &Frame<'_>, place: usize) -> PyResult<Val> {
        match &frame.values.borrow()[place] {
            Val::Unset => Err(self.unbound(frame, place)),
            value => Ok(value.clone()),
        }
    }

    /// What a module or the global names hold. Functions and modules stay what they are.
    fn fixed(&self, found: PyObjectRef) -> Val {
        let types = &self.vm.ctx.types;
        let class = found.class();
        let fixed = class.is(types.module_type)
            || class.is(types.function_type)
            || class.is(types.builtin_function_or_method_type)
            || class.is(types.type_type);
        if !fixed {
            self.asked();
        }
        Val::from_object(found, self.vm)
    }

    fn global(&self, name: Name, frame: &Frame<'_>) -> PyResult<Val> {
        if let Some(found) = frame.func.globals.get_item_opt(name.as_object(), self.vm)? {
            return Ok(self.fixed(found));
        }
        match self.vm.builtins.dict().get_item_opt(name.as_object(), self.vm)? {
            Some(found) => Ok(self.fixed(found)),
            None => Err(self.vm.new_name_error(format!("name '{name}' is not defined"), name.to_owned())),
        }
    }

    fn assign(&self, target: &Target, value: Val, frame: &Frame<'_>) -> PyResult<()> {
        match target {
            Target::Local(place) => frame.set(*place, value),
            Target::Up(levels, place) => {
                if let Some(frame) = frame.up(*levels) {
                    frame.set(*place, value);
                }
            }
            Target::Global(name) => {
                self.asked();
                frame.func.globals.set_item(name.as_object(), value.to_object(self.vm)?, self.vm)?;
            }
            Target::Tuple(parts) => {
                let items = self.unpacked(value, parts.len())?;
                for (part, item) in parts.iter().zip(items) {
                    self.assign(part, item, frame)?;
                }
            }
            Target::Index(parts) => {
                let object = self.eval(&parts[0], frame)?;
                let index = self.eval(&parts[1], frame)?;
                self.set_item(&object, &index, value)?;
            }
            Target::Attribute(object, name) => {
                self.asked();
                let object = self.eval(object, frame)?.to_object(self.vm)?;
                object.set_attr(*name, value.to_object(self.vm)?, self.vm)?;
            }
        }
        Ok(())
    }

    fn unpacked(&self, value: Val, wanted: usize) -> PyResult<Vec<Val>> {
        let vm = self.vm;
        // Of what is all there the error tells how much that is.
        let whole = matches!(value, Val::List(_) | Val::Tuple(_) | Val::Dict(_)) || matches!(&value, Val::Object(object) if object.downcast_ref::<PyList>().is_some());
        let class = if let Val::Object(_) = value { None } else { Some(value.clone()) };
        let mut items = match self.iterate(value) {
            Ok(items) => items,
            Err(error) => {
                let Some(value) = class else { return Err(error) };
                let object = value.to_object(vm)?;
                return Err(vm.new_type_error(format!("cannot unpack non-iterable {} object", object.class().slot_name())));
            }
        };
        let mut found = Vec::with_capacity(wanted);
        while let Some(item) = self.next(&mut items)? {
            found.push(item);
            if found.len() > wanted && !whole {
                return Err(vm.new_value_error(format!("too many values to unpack (expected {wanted})")));
            }
        }
        let got = found.len();
        match got.cmp(&wanted) {
            std::cmp::Ordering::Less => Err(vm.new_value_error(format!("not enough values to unpack (expected {wanted}, got {got})"))),
            std::cmp::Ordering::Greater => Err(vm.new_value_error(format!("too many values to unpack (expected {wanted}, got {got})"))),
            std::cmp::Ordering::Equal => Ok(found),
        }
    }

    fn set_item(&self, object: &Val, index: &Val, value: Val) -> PyResult<()> {
        match (object, index) {
            (Val::Dict(dict), Val::Str(key)) => {
                if let Some(old) = dict.write(|dict| dict.insert(key.clone(), value.clone())) {
                    drop(old);
                    return Ok(());
                }
            }
            (Val::List(list), Val::Int(index)) => {
                let set = list.write(|list| {
                    let at = text::position(*index, list.len())?;
                    Some(std::mem::replace(&mut list[at], value.clone()))
                });
                if let Some(Some(old)) = set {
                    drop(old);
                    return Ok(());
                }
            }
            // `d["NAME"] = …`
            _ => {}
        }
        self.asked();
        let index = index.to_object(self.vm)?;
        object.to_object(self.vm)?.set_item(&*index, value.to_object(self.vm)?, self.vm)
    }

    fn delete(&self, target: &Target, frame: &Frame<'_>) -> PyResult<()> {
        match target {
            Target::Local(place) => {
                self.local(frame, *place)?;
                frame.set(*place, Val::Unset);
            }
            Target::Up(levels, place) => {
                if let Some(frame) = frame.up(*levels) {
                    frame.set(*place, Val::Unset);
                }
            }
            // Nothing is kept of what deletes things.
            Target::Global(name) => frame.func.globals.del_item(name.as_object(), self.vm)?,
            Target::Tuple(parts) => parts.iter().try_for_each(|part| self.delete(part, frame))?,
            Target::Index(parts) => {
                let object = self.eval(&parts[0], frame)?;
                let index = self.eval(&parts[1], frame)?;
                if let (Val::Dict(dict), Val::Str(key)) = (&object, &index)
                    && let Some(Some(old)) = dict.write(|dict| dict.shift_remove(key))
                {
                    drop(old);
                    return Ok(());
                }
                self.asked();
                let index = index.to_object(self.vm)?;
                object.to_object(self.vm)?.del_item(&*index, self.vm)?;
            }
            Target::Attribute(object, name) => self.eval(object, frame)?.to_object(self.vm)?.del_attr(*name, self.vm)?,
        }
        Ok(())
    }

    fn augment(&self, target: &Target, op: Operator, node: &Node, frame: &Frame<'_>) -> PyResult<()> {
        match target {
            Target::Local(place) => {
                let left = self.local(frame, *place)?;
                let right = self.eval(node, frame)?;
                let value = self.in_place(op, left, right)?;
                frame.set(*place, value);
            }
            Target::Up(levels, place) => {
                let Some(at) = frame.up(*levels) else { return Ok(()) };
                let left = self.local(at, *place)?;
                let right = self.eval(node, frame)?;
                let value = self.in_place(op, left, right)?;
                at.set(*place, value);
            }
            Target::Global(name) => {
                let left = self.global(name, frame)?;
                let right = self.eval(node, frame)?;
                let value = self.in_place(op, left, right)?;
                self.assign(target, value, frame)?;
            }
            Target::Index(parts) => {
                let object = self.eval(&parts[0], frame)?;
                let index = self.eval(&parts[1], frame)?;
                let left = self.index(&object, &index)?;
                let right = self.eval(node, frame)?;
                let value = self.in_place(op, left, right)?;
                self.set_item(&object, &index, value)?;
            }
            Target::Attribute(object, name) => {
                let object = self.eval(object, frame)?;
                let left = self.attribute(&object, name)?;
                let right = self.eval(node, frame)?;
                let value = self.in_place(op, left, right)?;
                object.to_object(self.vm)?.set_attr(*name, value.to_object(self.vm)?, self.vm)?;
            }
            Target::Tuple(_) => {}
        }
        Ok(())
    }

    // -- Going through

    fn iterate(&self, value: Val) -> PyResult<Items> {
        Ok(match value {
            Val::List(list) if list.object().is_none() => Items::List(list, 0),
            Val::Tuple(items) => Items::Ours(items.to_vec().into_iter()),
            value => match known::snapshot(&value) {
                Some(items) if matches!(value, Val::Dict(_) | Val::Set(_)) => {
                    let size = items.len();
                    Items::Keys(items.into_iter(), value, size)
                }
                Some(items) => Items::Ours(items.into_iter()),
                None => {
                    self.asked();
                    let object = value.to_object(self.vm)?;
                    Items::Object(object.get_iter(self.vm)?.into())
                }
            },
        })
    }

    fn next(&self, items: &mut Items) -> PyResult<Option<Val>> {
        Ok(match items {
            Items::Ours(items) => items.next(),
            Items::Keys(items, owner, size) => {
                let now = match owner {
                    Val::Dict(dict) => dict.read(IndexMap::len),
                    Val::Set(set) => set.read(IndexSet::len),
                    _ => None,
                };
                let what = if matches!(owner, Val::Dict(_)) { "dictionary" } else { "Set" };
                if now.is_some_and(|now| now != *size) {
                    return Err(self.vm.new_runtime_error(format!("{what} changed size during iteration")));
                }
                items.next()
            }
            Items::List(list, at) => {
                *at += 1;
                match list.read(|items| items.get(*at - 1).cloned()) {
                    Some(item) => item,
                    None => list.object().and_then(|object| {
                        let items = object.downcast_ref::<PyList>()?.borrow_vec().get(*at - 1).cloned();
                        items.map(|item| Val::from_object(item, self.vm))
                    }),
                }
            }
            Items::Object(iterator) => match PyIter::new(&**iterator).next(self.vm)? {
                PyIterReturn::Return(item) => Some(Val::from_object(item, self.vm)),
                PyIterReturn::StopIteration(_) => None,
            },
        })
    }

    fn all(&self, value: Val) -> PyResult<Vec<Val>> {
        if let Some(items) = known::snapshot(&value) {
            return Ok(items);
        }
        let mut items = self.iterate(value)?;
        let mut found = Vec::new();
        while let Some(item) = self.next(&mut items)? {
            found.push(item);
        }
        Ok(found)
    }

    fn comprehend(&self, found: &Comprehension, frame: &Frame<'_>) -> PyResult<Val> {
        let mut items = Vec::new();
        let mut pairs = Vec::new();
        self.rounds(found, frame, &mut |run| {
            let element = run.eval(&found.element, frame)?;
            match &found.value {
                None => items.push(element),
                Some(value) => pairs.push((element, run.eval(value, frame)?)),
            }
            Ok(true)
        })?;
        match found.kind {
            Kind::List => Ok(Val::list(items)),
            Kind::Set => self.set_of(items).inspect_err(|_| frame.at(found.line)),
            Kind::Dict => self.dict_of(pairs).inspect_err(|_| frame.at(found.line)),
        }
    }

    /// Calls `found` for each round of the innermost loop until it says no. A generator's errors come out of a frame
    /// of its own.
    fn rounds(&self, parts: &Comprehension, frame: &Frame<'_>, found: &mut dyn FnMut(&Self) -> PyResult<bool>) -> PyResult<()> {
        let Some(first) = parts.parts.first() else { return Ok(()) };
        let items = self.iterate(self.eval(&first.over, frame)?).inspect_err(|_| frame.at(parts.line))?;
        let done = self.each(parts, 0, items, frame, found);
        match done {
            Err(error) if parts.generator => {
                let line = frame.line.replace(0);
                Err(super::traced(self.vm, error, &frame.func.file, "<genexpr>", if line == 0 { parts.line } else { line }))
            }
            done => done.map(drop),
        }
    }

    fn each(
        &self, parts: &Comprehension, at: usize, mut items: Items, frame: &Frame<'_>, found: &mut dyn FnMut(&Self) -> PyResult<bool>,
    ) -> PyResult<bool> {
        let part = &parts.parts[at];
        'items: while let Some(item) = self.next(&mut items).inspect_err(|_| frame.at(parts.line))? {
            self.assign(&part.target, item, frame).inspect_err(|_| frame.at(parts.line))?;
            for condition in &part.conditions {
                if !self.test(condition, frame)? {
                    continue 'items;
                }
            }
            let goes_on = match parts.parts.get(at + 1) {
                None => found(self)?,
                Some(next) => {
                    let inner = self.iterate(self.eval(&next.over, frame)?).inspect_err(|_| frame.at(parts.line))?;
                    self.each(parts, at + 1, inner, frame, found)?
                }
            };
            if !goes_on {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn set_of(&self, items: Vec<Val>) -> PyResult<Val> {
        if items.iter().all(|item| item.as_str().is_some()) {
            return Ok(Val::Set(Shared::new(items.iter().filter_map(Val::as_str).cloned().collect())));
        }
        self.asked();
        let set = PySet::default().into_ref(&self.vm.ctx);
        for item in items {
            set.add(item.to_object(self.vm)?, self.vm)?;
        }
        Ok(Val::Object(set.into()))
    }

    fn dict_of(&self, items: Vec<(Val, Val)>) -> PyResult<Val> {
        if items.iter().all(|(key, _)| key.as_str().is_some()) {
            let mut dict = IndexMap::with_capacity(items.len());
            for (key, value) in items {
                if let Val::Str(key) = key {
                    dict.insert(key, value);
                }
            }
            return Ok(Val::Dict(Shared::new(dict)));
        }
        self.asked();
        let dict = self.vm.ctx.new_dict();
        for (key, value) in items {
            dict.set_item(&*key.to_object(self.vm)?, value.to_object(self.vm)?, self.vm)?;
        }
        Ok(Val::Object(dict.into()))
    }

    // -- Expressions

    fn eval(&self, node: &Node, frame: &Frame<'_>) -> PyResult<Val> {
        Ok(match node {
            Node::Const(value) => value.clone(),
            Node::Local(place) => return self.local(frame, *place),
            Node::Up(levels, place) => {
                let at = frame.up(*levels).unwrap_or(frame);
                return self.local(at, *place);
            }
            Node::Global(name, line) => return self.global(name, frame).inspect_err(|_| frame.at(*line)),
            Node::Attribute(object, name, line) => {
                let object = self.eval(object, frame)?;
                return self.attribute(&object, name).inspect_err(|_| frame.at(*line));
            }
            Node::Call(call) => return self.call(call, frame),
            Node::MethodCall(call) => return self.method_call(call, frame),
            Node::And(parts) => {
                let mut value = Val::None;
                for (at, part) in parts.iter().enumerate() {
                    value = self.eval(part, frame)?;
                    if at + 1 < parts.len() && !value.is_true(self.vm)? {
                        break;
                    }
                }
                value
            }
            Node::Or(parts) => {
                let mut value = Val::None;
                for (at, part) in parts.iter().enumerate() {
                    value = self.eval(part, frame)?;
                    if at + 1 < parts.len() && value.is_true(self.vm)? {
                        break;
                    }
                }
                value
            }
            Node::Not(node) => Val::Bool(!self.test(node, frame)?),
            Node::Negative(node, line) => match self.eval(node, frame)? {
                Val::Int(number) if number != i64::MIN => Val::Int(-number),
                other => {
                    let negative = other.to_object(self.vm).and_then(|object| self.vm._neg(&object)).inspect_err(|_| frame.at(*line))?;
                    Val::from_object(negative, self.vm)
                }
            },
            Node::Binary(op, parts, line) => {
                let left = self.eval(&parts[0], frame)?;
                let right = self.eval(&parts[1], frame)?;
                return self.binary(*op, &left, &right).inspect_err(|_| frame.at(*line));
            }
            Node::Compare(left, rest, line) => {
                let mut left = self.eval(left, frame)?;
                for (at, (op, right)) in rest.iter().enumerate() {
                    let right = self.eval(right, frame)?;
                    let found = self.compare(*op, &left, &right).inspect_err(|_| frame.at(*line))?;
                    if at + 1 == rest.len() || !found.is_true(self.vm)? {
                        return Ok(found);
                    }
                    left = right;
                }
                left
            }
            Node::If(parts) => {
                let part = if self.test(&parts[0], frame)? { &parts[1] } else { &parts[2] };
                return self.eval(part, frame);
            }
            Node::Index(parts, line) => {
                let object = self.eval(&parts[0], frame)?;
                let index = self.eval(&parts[1], frame)?;
                return self.index(&object, &index).inspect_err(|_| frame.at(*line));
            }
            Node::Slice(parts, line) => {
                let object = self.eval(&parts[0], frame)?;
                let ends = [self.eval(&parts[1], frame)?, self.eval(&parts[2], frame)?, self.eval(&parts[3], frame)?];
                return self.slice(&object, ends).inspect_err(|_| frame.at(*line));
            }
            Node::List(parts) => Val::list(self.evals(parts, frame)?),
            Node::Tuple(parts) => Val::tuple(self.evals(parts, frame)?),
            Node::Set(parts) => return self.set_of(self.evals(parts, frame)?),
            Node::Dict(parts) => {
                let mut items = Vec::with_capacity(parts.len());
                for (key, value) in parts {
                    items.push((self.eval(key, frame)?, self.eval(value, frame)?));
                }
                return self.dict_of(items);
            }
            Node::Format(pieces) => {
                let mut out = String::new();
                for piece in pieces {
                    match piece {
                        Piece::Text(text) => out.push_str(text),
                        Piece::Value(node, repr) => {
                            let value = self.eval(node, frame)?;
                            let known = if *repr { value.repr().map(Into::into) } else { value.shown() };
                            match known {
                                Some(text) => out.push_str(&text),
                                None => {
                                    self.asked();
                                    let object = value.to_object(self.vm)?;
                                    let text = if *repr {
                                        object.repr(self.vm)?
                                    } else {
                                        self.vm.format(&object, self.vm.ctx.empty_str.to_owned())?
                                    };
                                    out.push_str(&crate::convert::text_of(&text));
                                }
                            }
                        }
                    }
                }
                Val::Str(out.into())
            }
            Node::Comprehension(found) => return self.comprehend(found, frame),
            Node::Quantified(any, found, line) => {
                let mut answer = !any;
                self.rounds(found, frame, &mut |run| {
                    if run.test(&found.element, frame)? == *any {
                        answer = *any;
                        return Ok(false);
                    }
                    Ok(true)
                })
                .inspect_err(|_| frame.at(*line))?;
                Val::Bool(answer)
            }
        })
    }

    fn evals(&self, nodes: &[Node], frame: &Frame<'_>) -> PyResult<Vec<Val>> {
        let mut values = Vec::with_capacity(nodes.len() + 2);
        for node in nodes {
            values.push(self.eval(node, frame)?);
        }
        Ok(values)
    }

    fn attribute(&self, object: &Val, name: Name) -> PyResult<Val> {
        let text = matches!(object, Val::Str(_));
        let object = object.to_object(self.vm)?;
        if object.class().is(self.vm.ctx.types.module_type)
            && let Some(module) = object.downcast_ref::<PyModule>()
            && let Some(found) = module.dict().get_item_opt(name.as_object(), self.vm)?
        {
            return Ok(self.fixed(found));
        }
        if !text {
            self.asked();
        }
        Ok(Val::from_object(object.get_attr(name, self.vm)?, self.vm))
    }

    fn index(&self, object: &Val, index: &Val) -> PyResult<Val> {
        match (object, index) {
            (Val::Str(text), Val::Int(at)) => {
                if let Some(found) = text::char_at(text, *at) {
                    return Ok(Val::Str(found));
                }
            }
            (Val::Dict(dict), Val::Str(key)) => {
                if let Some(Some(found)) = dict.read(|dict| dict.get(key).cloned()) {
                    return Ok(found);
                }
            }
            (object, Val::Int(at)) => {
                if let Some(Some(found)) = object.items(|items| text::position(*at, items.len()).map(|at| items[at].clone())) {
                    return Ok(found);
                }
            }
            _ => {}
        }
        self.asked();
        let index = index.to_object(self.vm)?;
        Ok(Val::from_object(object.to_object(self.vm)?.get_item(&*index, self.vm)?, self.vm))
    }

    fn slice(&self, object: &Val, ends: [Val; 3]) -> PyResult<Val> {
        let end = |end: &Val| match end {
            Val::None => Some(None),
            Val::Int(number) => Some(Some(*number)),
            _ => None,
        };
        if let (Some(from), Some(to), Val::None) = (end(&ends[0]), end(&ends[1]), &ends[2]) {
            match object {
                Val::Str(text) => return Ok(Val::Str(text::slice(text, from, to))),
                Val::Tuple(items) => return Ok(Val::tuple(items[text::range(from, to, items.len())].to_vec())),
                Val::List(list) => {
                    if let Some(part) = list.read(|items| items[text::range(from, to, items.len())].to_vec()) {
                        return Ok(Val::list(part));
                    }
                }
                _ => {}
            }
        }
        self.asked();
        let vm = self.vm;
        let [from, to, step] = ends;
        let slice = vm.ctx.types.slice_type.as_object().to_owned();
        let slice = slice.call((from.to_object(vm)?, to.to_object(vm)?, step.to_object(vm)?), vm)?;
        Ok(Val::from_object(object.to_object(vm)?.get_item(&*slice, vm)?, vm))
    }

    fn in_place(&self, op: Operator, left: Val, right: Val) -> PyResult<Val> {
        match (op, &left) {
            (Operator::Add, Val::List(list)) if list.object().is_none() => {
                let more = self.all(right)?;
                if list.write(|list| list.extend(more.iter().cloned())).is_some() {
                    return Ok(left);
                }
                let more = Val::list(more).to_object(self.vm)?;
                return Ok(Val::from_object(self.vm._iadd(&*left.to_object(self.vm)?, &more)?, self.vm));
            }
            (Operator::BitOr, Val::Set(set)) => {
                if let Val::Set(more) = &right
                    && let Some(more) = more.read(Clone::clone)
                    && set.write(|set| set.extend(more)).is_some()
                {
                    return Ok(left);
                }
            }
            (Operator::Sub, Val::Set(set)) => {
                if let Val::Set(less) = &right
                    && let Some(less) = less.read(Clone::clone)
                    && set.write(|set| set.retain(|item| !less.contains(item))).is_some()
                {
                    return Ok(left);
                }
            }
            // Of what cannot change: as the plain operator.
            (_, Val::Str(_) | Val::Int(_) | Val::Tuple(_) | Val::Bool(_) | Val::None) => return self.binary(op, &left, &right),
            _ => {}
        }
        self.asked();
        let vm = self.vm;
        let (a, b) = (left.to_object(vm)?, right.to_object(vm)?);
        let found = match op {
            Operator::Add => vm._iadd(&a, &b),
            Operator::Sub => vm._isub(&a, &b),
            Operator::Mult => vm._imul(&a, &b),
            Operator::Mod => vm._imod(&a, &b),
            Operator::BitOr => vm._ior(&a, &b),
            Operator::BitAnd => vm._iand(&a, &b),
            Operator::BitXor => vm._ixor(&a, &b),
            Operator::FloorDiv => vm._ifloordiv(&a, &b),
            Operator::Div => vm._itruediv(&a, &b),
            Operator::LShift => vm._ilshift(&a, &b),
            Operator::RShift => vm._irshift(&a, &b),
            Operator::Pow => vm._ipow(&a, &b, &vm.ctx.none()),
            Operator::MatMult => vm._imatmul(&a, &b),
        }?;
        // The same object: what is ours of it stays what it is.
        if found.is(&a) { Ok(left) } else { Ok(Val::from_object(found, vm)) }
    }

    fn binary(&self, op: Operator, left: &Val, right: &Val) -> PyResult<Val> {
        let known = match (op, left, right) {
            (Operator::Add, Val::Str(a), Val::Str(b)) => {
                let mut text = String::with_capacity(a.len() + b.len());
                text.push_str(a);
                text.push_str(b);
                Some(Val::Str(text.into()))
            }
            (Operator::Add, Val::List(a), Val::List(b)) => {
                a.read(|a| b.read(|b| Val::list([a.as_slice(), b.as_slice()].concat()))).flatten()
            }
            (Operator::Add, Val::Tuple(a), Val::Tuple(b)) => Some(Val::tuple([&**a, &**b].concat())),
            (Operator::Add, Val::Int(a), Val::Int(b)) => a.checked_add(*b).map(Val::Int),
            (Operator::Sub, Val::Int(a), Val::Int(b)) => a.checked_sub(*b).map(Val::Int),
            (Operator::Mult, Val::Int(a), Val::Int(b)) => a.checked_mul(*b).map(Val::Int),
            (Operator::Mod, Val::Str(format), args) => match args {
                Val::Tuple(items) => text::formatted(format, items),
                Val::Dict(_) | Val::Object(_) | Val::Store(_) => None,
                one => text::formatted(format, std::slice::from_ref(one)),
            }
            .map(|text| Val::Str(text.into())),
            (Operator::BitOr, Val::Set(a), Val::Set(b)) => a
                .read(|a| b.read(|b| Val::Set(Shared::new(a.iter().chain(b).cloned().collect()))))
                .flatten(),
            (Operator::Sub, Val::Set(a), Val::Set(b)) => a
                .read(|a| b.read(|b| Val::Set(Shared::new(a.iter().filter(|item| !b.contains(*item)).cloned().collect()))))
                .flatten(),
            (Operator::BitAnd, Val::Set(a), Val::Set(b)) => a
                .read(|a| {
                    b.read(|b| {
                        // In the order of the smaller one, as in the VM.
                        let (smaller, larger) = if a.len() < b.len() { (a, b) } else { (b, a) };
                        Val::Set(Shared::new(smaller.iter().filter(|item| larger.contains(*item)).cloned().collect()))
                    })
                })
                .flatten(),
            _ => None,
        };
        if let Some(value) = known {
            return Ok(value);
        }
        self.asked();
        let vm = self.vm;
        let (a, b) = (left.to_object(vm)?, right.to_object(vm)?);
        let found = match op {
            Operator::Add => vm._add(&a, &b),
            Operator::Sub => vm._sub(&a, &b),
            Operator::Mult => vm._mul(&a, &b),
            Operator::Mod => vm._mod(&a, &b),
            Operator::BitOr => vm._or(&a, &b),
            Operator::BitAnd => vm._and(&a, &b),
            Operator::BitXor => vm._xor(&a, &b),
            Operator::FloorDiv => vm._floordiv(&a, &b),
            Operator::Div => vm._truediv(&a, &b),
            Operator::LShift => vm._lshift(&a, &b),
            Operator::RShift => vm._rshift(&a, &b),
            Operator::Pow => vm._pow(&a, &b, &vm.ctx.none()),
            Operator::MatMult => vm._matmul(&a, &b),
        }?;
        Ok(Val::from_object(found, vm))
    }

    fn compare(&self, op: CmpOp, left: &Val, right: &Val) -> PyResult<Val> {
        let vm = self.vm;
        let rich = match op {
            CmpOp::Is => return Ok(Val::Bool(left.is(right, vm)?)),
            CmpOp::IsNot => return Ok(Val::Bool(!left.is(right, vm)?)),
            CmpOp::In => return Ok(Val::Bool(self.holds(right, left)?)),
            CmpOp::NotIn => return Ok(Val::Bool(!self.holds(right, left)?)),
            CmpOp::Eq => {
                if let Some(equal) = left.equals(right) {
                    return Ok(Val::Bool(equal));
                }
                PyComparisonOp::Eq
            }
            CmpOp::NotEq => {
                if let Some(equal) = left.equals(right) {
                    return Ok(Val::Bool(!equal));
                }
                PyComparisonOp::Ne
            }
            CmpOp::Lt => PyComparisonOp::Lt,
            CmpOp::LtE => PyComparisonOp::Le,
            CmpOp::Gt => PyComparisonOp::Gt,
            CmpOp::GtE => PyComparisonOp::Ge,
        };
        let order = match (left, right) {
            (Val::Str(a), Val::Str(b)) => Some(a.cmp(b)),
            (a, b) => a.number().zip(b.number()).map(|(a, b)| a.cmp(&b)),
        };
        if let Some(order) = order {
            return Ok(Val::Bool(rich.eval_ord(order)));
        }
        self.asked();
        let (a, b) = (left.to_object(vm)?, right.to_object(vm)?);
        Ok(Val::from_object(a.rich_compare(b, rich, vm)?, vm))
    }

    fn holds(&self, container: &Val, item: &Val) -> PyResult<bool> {
        let known = match (container, item) {
            (Val::Str(text), Val::Str(part)) => Some(text.contains(&**part)),
            (Val::Dict(dict), Val::Str(key)) => dict.read(|dict| dict.contains_key(key)),
            (Val::Set(set), Val::Str(key)) => set.read(|set| set.contains(key)),
            (container, item) => container.items(|items| {
                for known in items {
                    if known.equals(item)? {
                        return Some(true);
                    }
                }
                Some(false)
            }).flatten(),
        };
        match known {
            Some(found) => Ok(found),
            None => {
                self.asked();
                self.vm._contains(&*container.to_object(self.vm)?, &*item.to_object(self.vm)?)
            }
        }
    }

    // -- Calls

    fn named(&self, named: &[(Name, Node)], frame: &Frame<'_>) -> PyResult<Vec<(Name, Val)>> {
        let mut values = Vec::with_capacity(named.len());
        for (name, node) in named {
            values.push((*name, self.eval(node, frame)?));
        }
        Ok(values)
    }

    fn call(&self, call: &Call, frame: &Frame<'_>) -> PyResult<Val> {
        let callee = self.eval(&call.callee, frame).inspect_err(|_| frame.at(call.line))?;
        let args = self.evals(&call.args, frame)?;
        if let Val::Nested(func, defaults) = &callee {
            // Defined in the frame its name was found in.
            let around = match &call.callee {
                Node::Up(levels, _) => frame.up(*levels),
                _ => Some(frame),
            };
            let named = self.named(&call.named, frame)?;
            let found = self.bound(func, defaults, args, named).and_then(|args| self.deeper(|| self.run(func, args, around)));
            return found.inspect_err(|_| frame.at(call.line));
        }
        let named = self.named(&call.named, frame)?;
        self.invoke(&callee, args, named, (frame.func, call.line)).inspect_err(|_| frame.at(call.line))
    }

    fn deeper<R>(&self, work: impl FnOnce() -> PyResult<R>) -> PyResult<R> {
        let depth = DEPTH.get();
        if depth > 4 * DEEPEST {
            return Err(self.vm.new_recursion_error("maximum recursion depth exceeded".to_string()));
        }
        DEPTH.set(depth + 1);
        let result = work();
        DEPTH.set(depth);
        result
    }

    /// The values of the parameters.
    fn bound(&self, func: &Func, defaults: &[Val], mut args: Vec<Val>, named: Vec<(Name, Val)>) -> PyResult<Vec<Val>> {
        let wrong = |text: String| self.vm.new_type_error(format!("{}() {text}", func.path));
        let (given, most) = (args.len(), func.params);
        let least = most - defaults.len();
        args.resize(most.max(given), Val::Unset);
        for (name, value) in named {
            let Some(place) = func.names[..most].iter().position(|known| name.as_str() == &**known) else {
                return Err(wrong(format!("got an unexpected keyword argument '{name}'")));
            };
            if !matches!(args[place], Val::Unset) {
                return Err(wrong(format!("got multiple values for argument '{name}'")));
            }
            args[place] = value;
        }
        if given > most {
            let takes = if least == most { most.to_string() } else { format!("from {least} to {most}") };
            let s = if most == 1 { "" } else { "s" };
            let were = if given == 1 { "was" } else { "were" };
            return Err(wrong(format!("takes {takes} positional argument{s} but {given} {were} given")));
        }
        let mut missing = Vec::new();
        for (at, arg) in args.iter_mut().enumerate().filter(|(_, arg)| matches!(arg, Val::Unset)) {
            match at.checked_sub(least).and_then(|at| defaults.get(at)) {
                Some(default) => *arg = default.clone(),
                None => missing.push(format!("'{}'", func.names[at])),
            }
        }
        match &*missing {
            [] => Ok(args),
            [one] => Err(wrong(format!("missing 1 required positional argument: {one}"))),
            [one, two] => Err(wrong(format!("missing 2 required positional arguments: {one} and {two}"))),
            [others @ .., last] => {
                Err(wrong(format!("missing {} required positional arguments: {}, and {last}", missing.len(), others.join(", "))))
            }
        }
    }

    /// Can the call be made as it stands?
    fn fits(native: &Native, args: usize, named: &[(Name, Val)]) -> bool {
        let params = &native.func.names[..native.func.params];
        let mut have = vec![false; params.len()];
        if args > params.len() {
            return false;
        }
        have[..args].fill(true);
        for (name, _) in named {
            match params.iter().position(|known| name.as_str() == &**known) {
                Some(place) if !have[place] => have[place] = true,
                _ => return false,
            }
        }
        have[..native.required()].iter().all(|have| *have)
    }

    fn invoke(&self, callee: &Val, args: Vec<Val>, named: Vec<(Name, Val)>, place: (&Func, u32)) -> PyResult<Val> {
        let vm = self.vm;
        let object = callee.to_object(vm)?;
        if let Some(known) = known::known(&object, vm)
            && let Some(value) = if named.is_empty() { known::call(known, &args, vm)? } else { known::call_named(known, &args, &named) }
        {
            let other = args.iter().any(|arg| matches!(arg, Val::Store(store) if Some(store.id()) != self.store));
            if other || !known.is_pure() {
                self.asked();
            }
            return Ok(value);
        }
        let function = object.downcast_ref::<PyFunction>().is_some();
        let mut reason = "";
        if function && DEPTH.get() < DEEPEST {
            match function::native(&object, vm) {
                // Otherwise the VM says what is wrong.
                Ok(native) if Self::fits(&native, args.len(), &named) => {
                    if !native.func.library || native.defaults.iter().any(|value| matches!(value, Val::Object(_))) {
                        self.asked();
                    }
                    let args = self.bound(&native.func, &native.defaults, args, named)?;
                    return self.deeper(|| self.run(&native.func, args, None));
                }
                Ok(_) => {}
                Err(why) => reason = why,
            }
        }
        self.asked();
        let objects: PyResult<Vec<PyObjectRef>> = args.iter().map(|arg| arg.to_object(vm)).collect();
        let mut arguments = FuncArgs::new(objects?, KwArgs::default());
        for (name, value) in &named {
            arguments.kwargs.insert(name.as_str().to_string().into(), value.to_object(vm)?);
        }
        // A function of Python has a frame of its own.
        let _place = if function { None } else { Place::enter(vm, place) };
        let found = if hz_meter::profiling() {
            let name = object.get_attr("__qualname__", vm).and_then(|name| name.str(vm)).map(|name| name.to_string_lossy().into_owned());
            let name = name.unwrap_or_else(|_| object.class().slot_name().to_string());
            let why = if reason.is_empty() { String::new() } else { format!(" ({reason})") };
            hz_meter::expression(&format!("within native code, in the VM: {name}{why}"), || object.call(arguments, vm))
        } else {
            object.call(arguments, vm)
        };
        Ok(Val::from_object(found?, vm))
    }

    fn method_call(&self, call: &MethodCall, frame: &Frame<'_>) -> PyResult<Val> {
        let object = self.eval(&call.object, frame)?;
        // A module's function.
        if let Val::Object(module) = &object
            && module.downcast_ref::<PyModule>().is_some()
        {
            let callee = self.attribute(&object, call.name).inspect_err(|_| frame.at(call.line))?;
            let args = self.evals(&call.args, frame)?;
            let named = self.named(&call.named, frame)?;
            return self.invoke(&callee, args, named, (frame.func, call.line)).inspect_err(|_| frame.at(call.line));
        }
        let known = call.method.is_some() && !matches!(object, Val::Object(_));
        if !known {
            // The attribute is looked up before the arguments are evaluated.
            let callee = self.attribute(&object, call.name).inspect_err(|_| frame.at(call.line))?;
            let args = self.evals(&call.args, frame)?;
            let named = self.named(&call.named, frame)?;
            return self.invoke(&callee, args, named, (frame.func, call.line)).inspect_err(|_| frame.at(call.line));
        }
        let args = self.evals(&call.args, frame)?;
        let named = self.named(&call.named, frame)?;
        if let Some(method) = call.method {
            let done = match &object {
                Val::Str(text) if named.is_empty() => {
                    // Joining goes through whatever it gets.
                    if let (Method::Join, [value]) = (method, &*args)
                        && matches!(value, Val::Object(_))
                    {
                        let items = self.all(value.clone()).inspect_err(|_| frame.at(call.line))?;
                        text::call(text, method, &[Val::list(items)])
                    } else {
                        text::call(text, method, &args)
                    }
                }
                Val::List(list) if named.is_empty() => self.list_method(list, method, &args).inspect_err(|_| frame.at(call.line))?,
                Val::Dict(dict) if named.is_empty() => self.dict_method(dict, method, &args, call.gone_through),
                Val::Set(set) if named.is_empty() => self.set_method(set, method, &args).inspect_err(|_| frame.at(call.line))?,
                Val::Store(store) => self.store_method(store, method, &args, &named, (frame.func, call.line)).inspect_err(|_| frame.at(call.line))?,
                _ => None,
            };
            if let Some(value) = done {
                return Ok(value);
            }
        }
        let callee = self.attribute(&object, call.name).inspect_err(|_| frame.at(call.line))?;
        self.invoke(&callee, args, named, (frame.func, call.line)).inspect_err(|_| frame.at(call.line))
    }

    fn list_method(&self, list: &Rc<Shared<Vec<Val>>>, method: Method, args: &[Val]) -> PyResult<Option<Val>> {
        let done = |done: Option<()>| done.map(|()| Val::None);
        Ok(match (method, args) {
            (Method::Append, [item]) => done(list.write(|list| list.push(item.clone()))),
            (Method::Extend, [more]) => {
                if list.object().is_some() {
                    return Ok(None);
                }
                let more = self.all(more.clone())?;
                match list.write(|list| list.extend(more.iter().cloned())) {
                    Some(()) => Some(Val::None),
                    None => {
                        let object = list.object().unwrap_or_else(|| self.vm.ctx.none());
                        self.vm.call_method(&object, "extend", (Val::list(more).to_object(self.vm)?,))?;
                        Some(Val::None)
                    }
                }
            }
            (Method::Insert, [Val::Int(at), item]) => done(list.write(|list| {
                let at = text::range(Some(*at), None, list.len()).start;
                list.insert(at, item.clone());
            })),
            (Method::Remove, [item]) => list
                .write(|list| {
                    for at in 0..list.len() {
                        if list[at].equals(item)? {
                            return Some(list.remove(at));
                        }
                    }
                    None
                })
                .flatten()
                .map(|_| Val::None),
            (Method::Pop, []) => list.write(Vec::pop).flatten(),
            (Method::Pop, [Val::Int(at)]) => list.write(|list| text::position(*at, list.len()).map(|at| list.remove(at))).flatten(),
            (Method::Reverse, []) => done(list.write(|list| list.reverse())),
            (Method::Copy, []) => list.read(|list| Val::list(list.clone())),
            (Method::Sort, []) => list.write(|list| known::sort(list)).flatten().map(|()| Val::None),
            (Method::Count, [item]) => list
                .read(|list| {
                    let mut count = 0;
                    for known in list {
                        count += i64::from(known.equals(item)?);
                    }
                    Some(Val::Int(count))
                })
                .flatten(),
            _ => None,
        })
    }

    fn dict_method(&self, dict: &Rc<Shared<IndexMap<Str, Val>>>, method: Method, args: &[Val], gone_through: bool) -> Option<Val> {
        match (method, args) {
            (Method::Get, [Val::Str(key)]) => dict.read(|dict| dict.get(key).cloned().unwrap_or(Val::None)),
            (Method::Get, [Val::Str(key), default]) => dict.read(|dict| dict.get(key).unwrap_or(default).clone()),
            (Method::SetDefault, [Val::Str(key), default]) => {
                dict.write(|dict| dict.entry(key.clone()).or_insert_with(|| default.clone()).clone())
            }
            (Method::Pop, [Val::Str(key)]) => dict.write(|dict| dict.shift_remove(key)).flatten(),
            (Method::Pop, [Val::Str(key), default]) => dict.write(|dict| dict.shift_remove(key).unwrap_or_else(|| default.clone())),
            (Method::Copy, []) => dict.read(|dict| Val::Dict(Shared::new(dict.clone()))),
            (Method::Update, [Val::Dict(more)]) => {
                let more = more.read(Clone::clone)?;
                dict.write(|dict| dict.extend(more)).map(|()| Val::None)
            }
            (Method::Items, []) if gone_through => dict.read(|dict| {
                Val::list(dict.iter().map(|(key, value)| Val::tuple(vec![Val::Str(key.clone()), value.clone()])).collect())
            }),
            (Method::Keys, []) if gone_through => dict.read(|dict| Val::list(dict.keys().cloned().map(Val::Str).collect())),
            (Method::Values, []) if gone_through => dict.read(|dict| Val::list(dict.values().cloned().collect())),
            _ => None,
        }
    }

    fn set_method(&self, set: &Rc<Shared<IndexSet<Str>>>, method: Method, args: &[Val]) -> PyResult<Option<Val>> {
        Ok(match (method, args) {
            (Method::Add, [Val::Str(item)]) => set.write(|set| set.insert(item.clone())).map(|_| Val::None),
            (Method::Discard, [Val::Str(item)]) => set.write(|set| set.shift_remove(item)).map(|_| Val::None),
            (Method::Copy, []) => set.read(|set| Val::Set(Shared::new(set.clone()))),
            (Method::Update, [more]) => {
                let Some(items) = known::snapshot(more) else { return Ok(None) };
                if !items.iter().all(|item| item.as_str().is_some()) {
                    return Ok(None);
                }
                set.write(|set| set.extend(items.iter().filter_map(Val::as_str).cloned())).map(|()| Val::None)
            }
            _ => None,
        })
    }

    /// A method of the data store; None: the VM has to call it.
    fn store_method(&self, store: &DataStore, method: Method, args: &[Val], named: &[(Name, Val)], place: (&Func, u32)) -> PyResult<Option<Val>> {
        let vm = self.vm;
        if hz_data::is_any_replaced() {
            return Ok(None);
        }
        if Some(store.id()) != self.store {
            self.asked();
        }
        let failed = |error| from_data(vm, error);
        let reads = matches!(method, Method::GetVar | Method::GetVarFlag);
        // How a read is made, by position or by name.
        let how = |first: usize| -> Option<Read> {
            let mut how = Read::default();
            let mut set = |name: &str, value: &Val| -> Option<()> {
                let Val::Bool(truth) = value else { return None };
                match name {
                    "expand" => how.expand = *truth,
                    "noweakdefault" => how.noweakdefault = *truth,
                    "parsing" => how.parsing = *truth,
                    _ => return None,
                }
                Some(())
            };
            for (at, value) in args.iter().enumerate().skip(first) {
                set(["expand", "noweakdefault", "parsing"].get(at - first)?, value)?;
            }
            for (name, value) in named {
                set(name.as_str(), value)?;
            }
            Some(how)
        };
        if reads {
            return Ok(match (method, args) {
                (Method::GetVar, [Val::Str(name), ..]) => match how(1) {
                    Some(how) => Some(Val::from_value(waiting(vm, || store.get_var(name, how)).map_err(failed)?, vm)?),
                    None => None,
                },
                (Method::GetVarFlag, [Val::Str(name), Val::Str(flag), ..]) => match how(2) {
                    Some(how) => Some(Val::from_value(waiting(vm, || store.get_flag(name, flag, how)).map_err(failed)?, vm)?),
                    None => None,
                },
                _ => None,
            });
        }
        self.asked();
        if !named.is_empty() {
            return Ok(None);
        }
        let mut info = SetInfo::default();
        if store.is_tracking() {
            (info.file, info.func, info.line) = (Some(place.0.file.clone()), Some(place.0.name.clone()), place.1);
        }
        let value = |name: &str, value: &Val| value.to_value(name.starts_with("__"), vm);
        let flag_value = |flag: &str, value: &Val| value.to_value(flag.starts_with(':'), vm);
        let done = match (method, args) {
            (Method::SetVar, [Val::Str(name), new]) => {
                let new = value(name, new)?;
                waiting(vm, || store.set_var(name, new, &info))
            }
            (Method::AppendVar, [Val::Str(name), more]) => {
                let more = more.to_value(false, vm)?;
                waiting(vm, || store.append_var(name, more, &info))
            }
            (Method::PrependVar, [Val::Str(name), more]) => {
                let more = more.to_value(false, vm)?;
                waiting(vm, || store.prepend_var(name, more, &info))
            }
            (Method::DelVar, [Val::Str(name)]) => waiting(vm, || store.del_var(name, &info)),
            (Method::SetVarFlag, [Val::Str(name), Val::Str(flag), new]) => {
                let new = flag_value(flag, new)?;
                waiting(vm, || store.set_flag(name, flag, new, &info))
            }
            (Method::AppendVarFlag, [Val::Str(name), Val::Str(flag), more]) => {
                let more = more.to_value(false, vm)?;
                waiting(vm, || store.append_flag(name, flag, more, &info))
            }
            (Method::PrependVarFlag, [Val::Str(name), Val::Str(flag), more]) => {
                let more = more.to_value(false, vm)?;
                waiting(vm, || store.prepend_flag(name, flag, more, &info))
            }
            (Method::DelVarFlag, [Val::Str(name), Val::Str(flag)]) => waiting(vm, || store.del_flag(name, flag, &info)),
            (Method::GetVarFlags, [Val::Str(name)]) => {
                let flags = waiting(vm, || store.get_flags(name, None, false)).map_err(failed)?;
                let Some(flags) = flags else { return Ok(Some(Val::None)) };
                let mut dict = IndexMap::with_capacity(flags.len());
                for (flag, value) in flags {
                    dict.insert(flag, Val::from_value(Some(value), vm)?);
                }
                return Ok(Some(Val::Dict(Shared::new(dict))));
            }
            (Method::Expand, [Val::Str(source)]) => {
                return Ok(Some(Val::Str(waiting(vm, || store.expand(source, None)).map_err(failed)?)));
            }
            _ => return Ok(None),
        };
        done.map_err(failed)?;
        Ok(Some(Val::None))
    }
}
