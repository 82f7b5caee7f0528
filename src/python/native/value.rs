//! Values of natively run code.
//!
//! What metadata's code works with nearly always (text, whole numbers, lists, dictionaries and sets of text) is
//! kept as Rust values; everything else is an object of the VM. A list, dictionary or set that is handed to
//! the VM becomes an object of it for good, so that both sides see the same one from then on.

use super::function::Func;
use crate::convert;
use hz_data::{DataStore, Value};
use hz_diagnostics::Str;
use indexmap::{IndexMap, IndexSet};
use rustpython_vm::builtins::{PyInt, PySet, PyStr, PyTuple};
use rustpython_vm::{AsObject, PyObject, PyObjectRef, PyPayload, PyResult, VirtualMachine};
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

#[derive(Clone)]
pub enum Val {
    /// No value yet: a local name before it is bound.
    Unset,
    None,
    Bool(bool),
    Int(i64),
    Str(Str),
    Tuple(Rc<[Val]>),
    List(Rc<Shared<Vec<Val>>>),
    /// Keys are text only.
    Dict(Rc<Shared<IndexMap<Str, Val>>>),
    /// Of texts only.
    Set(Rc<Shared<IndexSet<Str>>>),
    Store(DataStore),
    /// A function defined within a function, with its defaults; it is only ever called.
    Nested(Rc<Func>, Rc<[Val]>),
    Object(PyObjectRef),
}

/// Something that changes: ours, until the VM has seen it.
pub struct Shared<T>(RefCell<Owner<T>>);

enum Owner<T> {
    Ours(T),
    Vm(PyObjectRef),
}

impl<T> Shared<T> {
    pub fn new(content: T) -> Rc<Shared<T>> {
        Rc::new(Shared(RefCell::new(Owner::Ours(content))))
    }
    /// Looks at the content, while it is ours.
    pub fn read<R>(&self, look: impl FnOnce(&T) -> R) -> Option<R> {
        match &*self.0.borrow() {
            Owner::Ours(content) => Some(look(content)),
            Owner::Vm(_) => None,
        }
    }
    /// Changes the content, while it is ours.
    pub fn write<R>(&self, change: impl FnOnce(&mut T) -> R) -> Option<R> {
        match &mut *self.0.borrow_mut() {
            Owner::Ours(content) => Some(change(content)),
            Owner::Vm(_) => None,
        }
    }
    pub fn object(&self) -> Option<PyObjectRef> {
        match &*self.0.borrow() {
            Owner::Ours(_) => None,
            Owner::Vm(object) => Some(object.clone()),
        }
    }
    /// The object of the VM, made now if need be. `empty` makes an empty one, which is known before it is filled,
    /// as a list may hold itself.
    fn escape(
        &self, empty: impl FnOnce() -> PyObjectRef, fill: impl FnOnce(&PyObject, T) -> PyResult<()>,
    ) -> PyResult {
        if let Some(object) = self.object() {
            return Ok(object);
        }
        let object = empty();
        match self.0.replace(Owner::Vm(object.clone())) {
            Owner::Ours(content) => fill(&object, content)?,
            Owner::Vm(_) => {}
        }
        Ok(object)
    }
}

impl Val {
    pub fn text(text: &str) -> Val {
        Val::Str(text.into())
    }
    pub fn list(items: Vec<Val>) -> Val {
        Val::List(Shared::new(items))
    }
    pub fn words<'a>(words: impl Iterator<Item = &'a str>) -> Val {
        Val::list(words.map(Val::text).collect())
    }
    pub fn tuple(items: Vec<Val>) -> Val {
        Val::Tuple(items.into())
    }

    pub fn as_str(&self) -> Option<&Str> {
        match self {
            Val::Str(text) => Some(text),
            _ => None,
        }
    }
    /// A whole number, truth values included.
    pub fn number(&self) -> Option<i64> {
        match self {
            Val::Int(number) => Some(*number),
            Val::Bool(truth) => Some(i64::from(*truth)),
            _ => None,
        }
    }

    pub fn is_true(&self, vm: &VirtualMachine) -> PyResult<bool> {
        Ok(match self {
            Val::Unset | Val::None => false,
            Val::Bool(truth) => *truth,
            Val::Int(number) => *number != 0,
            Val::Str(text) => !text.is_empty(),
            Val::Tuple(items) => !items.is_empty(),
            Val::List(list) if let Some(any) = list.read(|items| !items.is_empty()) => any,
            Val::Dict(dict) if let Some(any) = dict.read(|items| !items.is_empty()) => any,
            Val::Set(set) if let Some(any) = set.read(|items| !items.is_empty()) => any,
            Val::Nested(..) => true,
            other => return other.to_object(vm)?.is_true(vm),
        })
    }

    /// The items, where that is a list or tuple of ours.
    pub fn items<R>(&self, look: impl FnOnce(&[Val]) -> R) -> Option<R> {
        match self {
            Val::Tuple(items) => Some(look(items)),
            Val::List(list) => list.read(|items| look(items)),
            _ => None,
        }
    }

    /// Whether both are equal, if that can be told without the VM.
    pub fn equals(&self, other: &Val) -> Option<bool> {
        if let (Some(a), Some(b)) = (self.number(), other.number()) {
            return Some(a == b);
        }
        let all = |a: &[Val], b: &[Val]| -> Option<bool> {
            if a.len() != b.len() {
                return Some(false);
            }
            for (a, b) in a.iter().zip(b) {
                if !a.equals(b)? {
                    return Some(false);
                }
            }
            Some(true)
        };
        match (self, other) {
            (Val::Str(a), Val::Str(b)) => Some(a == b),
            (Val::None, Val::None) => Some(true),
            (Val::List(a), Val::List(b)) if Rc::ptr_eq(a, b) => Some(true),
            (Val::List(a), Val::List(b)) => a.read(|a| b.read(|b| all(a, b)))??,
            (Val::Tuple(a), Val::Tuple(b)) => all(a, b),
            (Val::Set(a), Val::Set(b)) if Rc::ptr_eq(a, b) => Some(true),
            (Val::Set(a), Val::Set(b)) => a.read(|a| b.read(|b| a == b))?,
            (Val::Object(_), _) | (_, Val::Object(_)) | (Val::Dict(_), Val::Dict(_)) | (Val::Store(_), _) | (_, Val::Store(_)) => None,
            // What the VM has is a list, dictionary or set there, too: of another kind than the other one.
            _ => Some(false),
        }
    }

    /// Python's `is`.
    pub fn is(&self, other: &Val, vm: &VirtualMachine) -> PyResult<bool> {
        Ok(match (self, other) {
            (Val::None, Val::None) => true,
            (Val::Bool(a), Val::Bool(b)) => a == b,
            (Val::None | Val::Bool(_), Val::Object(_)) | (Val::Object(_), Val::None | Val::Bool(_)) => false,
            (Val::List(a), Val::List(b)) if Rc::ptr_eq(a, b) => true,
            (Val::Dict(a), Val::Dict(b)) if Rc::ptr_eq(a, b) => true,
            (Val::Set(a), Val::Set(b)) if Rc::ptr_eq(a, b) => true,
            (Val::Str(a), Val::Str(b)) => Str::ptr_eq(a, b) || (a.len() <= 1 && a == b),
            (Val::Int(a), Val::Int(b)) => a == b,
            (Val::Object(a), Val::Object(b)) => a.is(b),
            (Val::Store(a), Val::Store(b)) => a.id() == b.id(),
            (Val::None | Val::Bool(_) | Val::Int(_) | Val::Str(_), _) | (_, Val::None | Val::Bool(_) | Val::Int(_) | Val::Str(_)) => false,
            (a, b) => a.to_object(vm)?.is(&b.to_object(vm)?),
        })
    }

    /// As an object of the VM.
    pub fn to_object(&self, vm: &VirtualMachine) -> PyResult {
        Ok(match self {
            Val::Unset => return Err(vm.new_runtime_error("a name without value")),
            Val::None => vm.ctx.none(),
            Val::Bool(truth) => vm.ctx.new_bool(*truth).into(),
            Val::Int(number) => vm.ctx.new_int(*number).into(),
            Val::Str(text) => convert::shared_text(text, vm),
            Val::Tuple(items) => {
                let items: PyResult<Vec<_>> = items.iter().map(|item| item.to_object(vm)).collect();
                vm.ctx.new_tuple(items?).into()
            }
            Val::List(list) => list.escape(
                || vm.ctx.new_list(Vec::new()).into(),
                |object, items| {
                    let items: PyResult<Vec<_>> = items.iter().map(|item| item.to_object(vm)).collect();
                    if let Some(list) = object.downcast_ref::<rustpython_vm::builtins::PyList>() {
                        *list.borrow_vec_mut() = items?;
                    }
                    Ok(())
                },
            )?,
            Val::Dict(dict) => dict.escape(
                || vm.ctx.new_dict().into(),
                |object, items| {
                    for (key, item) in items {
                        object.set_item(&*convert::shared_text(&key, vm), item.to_object(vm)?, vm)?;
                    }
                    Ok(())
                },
            )?,
            Val::Set(set) => set.escape(
                || PySet::default().into_ref(&vm.ctx).into(),
                |object, items| {
                    if let Some(set) = object.downcast_ref::<PySet>() {
                        for item in &items {
                            set.add(convert::shared_text(item, vm), vm)?;
                        }
                    }
                    Ok(())
                },
            )?,
            Val::Store(store) => crate::store::wrap(store, vm)?,
            Val::Nested(..) => return Err(vm.new_runtime_error("a function within a function is only called")),
            Val::Object(object) => object.clone(),
        })
    }

    /// What the VM gave, ours where it can be.
    pub fn from_object(object: PyObjectRef, vm: &VirtualMachine) -> Val {
        if let Some(text) = object.downcast_ref::<PyStr>() {
            if object.class().is(vm.ctx.types.str_type)
                && let Some(text) = text.to_str()
            {
                return Val::Str(text.into());
            }
            return Val::Object(object);
        }
        if vm.is_none(&object) {
            return Val::None;
        }
        if object.is(&vm.ctx.true_value) {
            return Val::Bool(true);
        }
        if object.is(&vm.ctx.false_value) {
            return Val::Bool(false);
        }
        if object.class().is(vm.ctx.types.int_type)
            && let Some(number) = object.downcast_ref::<PyInt>().and_then(|number| i64::try_from(number.as_bigint()).ok())
        {
            return Val::Int(number);
        }
        if object.class().is(vm.ctx.types.tuple_type)
            && let Some(tuple) = object.downcast_ref::<PyTuple>()
        {
            return Val::Tuple(tuple.as_slice().iter().map(|item| Val::from_object(item.clone(), vm)).collect());
        }
        match crate::store::of_own_class(&object) {
            Some(store) => Val::Store(store.clone()),
            None => Val::Object(object),
        }
    }

    /// What a read of the store gives.
    pub fn from_value(value: Option<Value>, vm: &VirtualMachine) -> PyResult<Val> {
        Ok(match value {
            None | Some(Value::None) => Val::None,
            Some(Value::Str(text)) => Val::Str(text),
            Some(Value::Int(number)) => Val::Int(number),
            Some(Value::Bool(truth)) => Val::Bool(truth),
            Some(Value::List(items)) => {
                let items: PyResult<Vec<Val>> = items.iter().map(|item| Val::from_value(Some(item.clone()), vm)).collect();
                Val::list(items?)
            }
            Some(Value::Set(items)) => Val::Set(Shared::new(Arc::unwrap_or_clone(items))),
            Some(other) => Val::from_object(convert::to_python(&other, vm)?, vm),
        })
    }

    /// What a write puts into the store: as [`convert::to_value`] has it, and for the engine's own variables
    /// [`convert::to_own_value`].
    pub fn to_value(&self, own: bool, vm: &VirtualMachine) -> PyResult<Value> {
        let plain = |item: &Val| -> Option<Value> {
            Some(match item {
                Val::None => Value::None,
                Val::Bool(truth) => Value::Bool(*truth),
                Val::Int(number) => Value::Int(*number),
                Val::Str(text) => Value::Str(text.clone()),
                _ => return None,
            })
        };
        if let Some(value) = plain(self) {
            return Ok(value);
        }
        if let Val::List(list) = self
            && let Some(Some(items)) = list.read(|items| items.iter().map(plain).collect::<Option<Vec<Value>>>())
        {
            return Ok(Value::List(Arc::new(items)));
        }
        if let Val::Set(set) = self
            && let Some(items) = set.read(|items| items.clone())
        {
            return Ok(Value::Set(Arc::new(items)));
        }
        let object = self.to_object(vm)?;
        Ok(if own { convert::to_own_value(&object, vm) } else { convert::to_value(&object, vm) })
    }
}
