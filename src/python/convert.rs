//! Values between the data store and Python.
//!
//! Text, numbers, truth values, and lists, sets and maps of these become the store's own values;
//! anything else is kept as the live object. A read hands out a fresh container each time, so
//! that changing what `getVar` returned changes nothing in the store.

use crate::store::{PyStore, wrap};
use hz_data::{Object, StoreObject, Value};
use hz_diagnostics::Str;
use indexmap::{IndexMap, IndexSet};
use parking_lot::Mutex;
use rustpython_vm::builtins::{PyDict, PyInt, PyList, PySet, PyStr, PyTuple};
use rustpython_vm::{AsObject, PyObject, PyObjectRef, PyPayload, PyRef, PyResult, VirtualMachine};
use std::any::Any;
use std::sync::Arc;

/// A live Python object inside the store.
#[derive(Clone)]
pub struct Held(pub PyObjectRef);

impl std::fmt::Debug for Held {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.to_text())
    }
}

impl Object for Held {
    fn to_text(&self) -> String {
        crate::enter(|vm| match self.0.str(vm) {
            Ok(text) => text.to_string_lossy().into_owned(),
            Err(_) => format!("<{} object>", self.0.class().slot_name()),
        })
    }
    fn to_json(&self) -> Option<String> {
        crate::enter(|vm| {
            let dump = crate::runtime::module(vm, "bb.siggen").ok()?.get_attr("_json_of", vm).ok()?;
            let text = dump.call((self.0.clone(),), vm).ok()?;
            text.downcast_ref::<PyStr>().map(|text| text.to_string_lossy().into_owned())
        })
    }
    fn is_true(&self) -> bool {
        crate::enter(|vm| self.0.clone().is_true(vm).unwrap_or(true))
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// A value that is made when somebody reads it for the first time.
pub struct Deferred {
    make: Box<dyn Fn(&VirtualMachine) -> PyResult + Send + Sync>,
    made: Mutex<Option<Held>>,
}

impl Deferred {
    pub fn new(make: impl Fn(&VirtualMachine) -> PyResult + Send + Sync + 'static) -> Deferred {
        Deferred { make: Box::new(make), made: Mutex::new(None) }
    }
    fn get(&self, vm: &VirtualMachine) -> PyResult<Held> {
        if let Some(held) = &*self.made.lock() {
            return Ok(held.clone());
        }
        let held = Held((self.make)(vm)?);
        Ok(self.made.lock().get_or_insert(held).clone())
    }
    fn held(&self) -> Option<Held> {
        crate::enter(|vm| self.get(vm).ok())
    }
}

impl std::fmt::Debug for Deferred {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a value that nobody has read")
    }
}

impl Object for Deferred {
    fn to_text(&self) -> String {
        self.held().map(|held| held.to_text()).unwrap_or_default()
    }
    fn to_json(&self) -> Option<String> {
        self.held()?.to_json()
    }
    fn is_true(&self) -> bool {
        self.held().is_none_or(|held| held.is_true())
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// The text of a Python string; unpaired surrogates become replacement characters.
pub fn text_of(text: &rustpython_vm::Py<PyStr>) -> Str {
    match text.to_str() {
        Some(text) => text.into(),
        None => text.to_string_lossy().into(),
    }
}

/// Python object -> value, keeping what the store does not know as the live object.
pub fn to_value(object: &PyObject, vm: &VirtualMachine) -> Value {
    simple(object, vm).unwrap_or_else(|| Value::Object(Arc::new(Held(object.to_owned()))))
}

/// The same for the engine's own variables (`__depends`, `__BBDEFINHERITS`, …), which native code
/// reads: lists and tuples within lists become values too.
pub fn to_own_value(object: &PyObject, vm: &VirtualMachine) -> Value {
    let items: Option<Vec<PyObjectRef>> = match (object.downcast_ref::<PyList>(), object.downcast_ref::<PyTuple>()) {
        (Some(list), _) => Some(list.borrow_vec().to_vec()),
        (_, Some(tuple)) => Some(tuple.as_slice().to_vec()),
        _ => None,
    };
    match items {
        Some(items) => Value::List(Arc::new(items.iter().map(|item| to_own_value(item, vm)).collect())),
        None => to_value(object, vm),
    }
}

fn simple(object: &PyObject, vm: &VirtualMachine) -> Option<Value> {
    if let Some(text) = object.downcast_ref::<PyStr>() {
        return Some(Value::Str(text_of(text)));
    }
    if vm.is_none(object) {
        return Some(Value::None);
    }
    if object.is(&vm.ctx.true_value) || object.is(&vm.ctx.false_value) {
        return Some(Value::Bool(object.is(&vm.ctx.true_value)));
    }
    let class = object.class();
    if class.is(vm.ctx.types.int_type) {
        let number = object.downcast_ref::<PyInt>()?;
        return i64::try_from(number.as_bigint()).ok().map(Value::Int);
    }
    if class.is(vm.ctx.types.list_type) {
        let list = object.downcast_ref::<PyList>()?;
        let items: Option<Vec<Value>> = list.borrow_vec().iter().map(|item| plain(item, vm)).collect();
        return items.map(|items| Value::List(Arc::new(items)));
    }
    if class.is(vm.ctx.types.set_type) {
        let set = object.downcast_ref::<PySet>()?;
        let items: Option<IndexSet<Str>> =
            set.elements().iter().map(|item| item.downcast_ref::<PyStr>().map(|text| text_of(text))).collect();
        return items.map(|items| Value::Set(Arc::new(items)));
    }
    if class.is(vm.ctx.types.dict_type) {
        let dict = object.downcast_ref::<PyDict>()?;
        let items: Option<IndexMap<Str, Value>> = dict
            .items_vec()
            .iter()
            .map(|(key, value)| Some((text_of(key.downcast_ref::<PyStr>()?), plain(value, vm)?)))
            .collect();
        return items.map(|items| Value::Map(Arc::new(items)));
    }
    object.downcast_ref::<PyStore>().map(|store| Value::Object(Arc::new(StoreObject(store.store().clone()))))
}

/// An element of a container: containers within containers stay live objects, since Python code
/// may share and change the inner ones.
fn plain(object: &PyObject, vm: &VirtualMachine) -> Option<Value> {
    let class = object.class();
    let types = &vm.ctx.types;
    if class.is(types.str_type) || class.is(types.int_type) || class.is(types.bool_type) || vm.is_none(object) {
        return simple(object, vm);
    }
    None
}

/// Texts read last, with their Python objects: reading a value twice gives the same object, as it does
/// where the store holds Python objects, and costs no copy.
static TEXTS: Mutex<Vec<Option<(Str, PyRef<PyStr>)>>> = Mutex::new(Vec::new());
const TEXT_SLOTS: usize = 512;

/// The Python object of a text that the store keeps.
pub(crate) fn shared_text(text: &Str, vm: &VirtualMachine) -> PyObjectRef {
    let slot = (text.address() >> 4) % TEXT_SLOTS;
    // The entry keeps the text alive, so no other can have its address.
    if let Some(Some((known, object))) = TEXTS.lock().get(slot)
        && Str::ptr_eq(known, text)
    {
        return object.clone().into();
    }
    // Made outside the lock: whatever an allocation sets off may read the store.
    let object = vm.ctx.new_str(&**text);
    let entry = Some((text.clone(), object.clone()));
    let mut texts = TEXTS.lock();
    if texts.is_empty() {
        texts.resize_with(TEXT_SLOTS, || None);
    }
    let old = std::mem::replace(&mut texts[slot], entry);
    drop(texts);
    drop(old);
    object.into()
}

/// Value -> Python object; containers are fresh.
pub fn to_python(value: &Value, vm: &VirtualMachine) -> PyResult {
    Ok(match value {
        Value::Str(text) => shared_text(text, vm),
        Value::None => vm.ctx.none(),
        Value::Int(number) => vm.ctx.new_int(*number).into(),
        Value::Bool(truth) => vm.ctx.new_bool(*truth).into(),
        Value::List(items) => {
            let items: PyResult<Vec<_>> = items.iter().map(|item| to_python(item, vm)).collect();
            vm.ctx.new_list(items?).into()
        }
        Value::Set(items) => {
            let set = PySet::default().into_ref(&vm.ctx);
            for item in items.iter() {
                set.add(vm.ctx.new_str(&**item).into(), vm)?;
            }
            set.into()
        }
        Value::Map(items) => {
            let dict = vm.ctx.new_dict();
            for (key, item) in items.iter() {
                dict.set_item(&**key, to_python(item, vm)?, vm)?;
            }
            dict.into()
        }
        Value::Object(object) => {
            if let Some(held) = object.as_any().downcast_ref::<Held>() {
                return copied(&held.0, vm);
            }
            if let Some(deferred) = object.as_any().downcast_ref::<Deferred>() {
                return copied(&deferred.get(vm)?.0, vm);
            }
            if let Some(store) = object.as_any().downcast_ref::<StoreObject>() {
                return wrap(&store.0, vm);
            }
            vm.ctx.new_str(object.to_text()).into()
        }
    })
}

pub fn option_to_python(value: Option<&Value>, vm: &VirtualMachine) -> PyResult {
    match value {
        Some(value) => to_python(value, vm),
        None => Ok(vm.ctx.none()),
    }
}

/// The shallow copy a read hands out. Objects that cannot change are given as they are.
fn copied(object: &PyObjectRef, vm: &VirtualMachine) -> PyResult {
    let class = object.class();
    let types = &vm.ctx.types;
    if class.is(types.tuple_type) || class.is(types.frozenset_type) || class.is(types.int_type) || class.is(types.float_type) {
        return Ok(object.clone());
    }
    if class.is(types.list_type)
        && let Some(list) = object.downcast_ref::<PyList>()
    {
        return Ok(vm.ctx.new_list(list.borrow_vec().to_vec()).into());
    }
    if class.is(types.dict_type)
        && let Some(dict) = object.downcast_ref::<PyDict>()
    {
        let copy = vm.ctx.new_dict();
        for (key, value) in dict.items_vec() {
            copy.set_item(&*key, value, vm)?;
        }
        return Ok(copy.into());
    }
    vm.import("copy", 0)?.get_attr("copy", vm)?.call((object.clone(),), vm)
}
