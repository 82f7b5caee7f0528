//! `_hz_data`: the data store as metadata sees it. `bb.data_smart.DataSmart` derives from the
//! native `Store`, which holds every method that is called often; the rest is Python over them.
//!
//! A store has one Python object as long as somebody holds that, so `d is event.data` answers as
//! it would if the store lived in Python.

use crate::convert::{option_to_python, text_of, to_own_value, to_python, to_value};
use crate::errors::from_data;
use crate::vm::waiting;
use hz_data::{DataStore, Expansion, HistoryEntry, Method, Read, SetInfo, Value};
use hz_diagnostics::Str;
use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use rustpython_vm::builtins::{PyDictRef, PyModuleDef, PySet, PyStr, PyTypeRef, PyWeak};
use rustpython_vm::function::FuncArgs;
use rustpython_vm::{AsObject, Context, Py, PyObject, PyObjectRef, PyPayload, PyRef, PyResult, VirtualMachine};
use std::sync::OnceLock;

pub use _hz_data::PyStore;

/// The module's definition, for the VM's start-up.
pub fn module_def(ctx: &Context) -> &'static PyModuleDef {
    _hz_data::module_def(ctx)
}

/// The class the objects of native stores get: `bb.data_smart.DataSmart`.
static CLASS: OnceLock<PyTypeRef> = OnceLock::new();
/// The methods by which a store is gone through, and what they were when the class was made.
const NAMING_METHODS: [&str; 3] = ["__iter__", "keys", "_names"];
static NAMING: OnceLock<Vec<PyObjectRef>> = OnceLock::new();
/// Store -> its Python object, while there is one.
static OBJECTS: Mutex<Option<FxHashMap<usize, PyRef<PyWeak>>>> = Mutex::new(None);

/// The Python object of a store.
pub fn wrap(store: &DataStore, vm: &VirtualMachine) -> PyResult {
    if let Some(object) = OBJECTS.lock().as_ref().and_then(|map| map.get(&store.id())).and_then(|weak| weak.upgrade()) {
        return Ok(object);
    }
    let class = match CLASS.get() {
        Some(class) => class.clone(),
        None => {
            vm.import("bb.data_smart", 0)?;
            CLASS.get().cloned().ok_or_else(|| vm.new_runtime_error("bb.data_smart brings no DataSmart"))?
        }
    };
    let object: PyObjectRef = PyStore::new(store.clone()).into_ref_with_type(vm, class)?.into();
    remember(&object, store, vm)?;
    Ok(object)
}

/// The store behind a Python object.
pub fn unwrap<'a>(object: &'a PyObject, vm: &VirtualMachine) -> PyResult<&'a DataStore> {
    match object.downcast_ref::<PyStore>() {
        Some(store) => Ok(store.payload().store()),
        None => Err(vm.new_type_error(format!("a data store is needed, not '{}'", object.class().slot_name()))),
    }
}

/// Has a class file of that name been inherited?
pub(crate) fn inherits_class(class: &str, store: &DataStore) -> bool {
    let name = format!("/{class}.bbclass");
    match store.get_raw("__inherit_cache") {
        Some(Value::List(files)) => files.iter().any(|file| file.to_text().ends_with(&name)),
        _ => false,
    }
}

/// The store behind an object of the class that stores have, not of one derived from it.
pub(crate) fn of_own_class(object: &PyObject) -> Option<&DataStore> {
    let store = object.downcast_ref::<PyStore>()?;
    CLASS.get().filter(|class| object.class().is(*class)).map(|_| store.payload().store())
}

/// Does going through a store, or its `keys()`, give the store's names, as the class had it at first? Metadata may put
/// methods of its own there.
pub(crate) fn names_are_its_own(store: &DataStore, vm: &VirtualMachine) -> PyResult<bool> {
    let object = wrap(store, vm)?;
    let Some(methods) = NAMING.get().filter(|_| CLASS.get().is_some_and(|class| object.class().is(class))) else { return Ok(false) };
    for (name, method) in NAMING_METHODS.iter().zip(methods) {
        let name = vm.ctx.intern_str(*name);
        let own = object.dict().is_some_and(|own| own.contains_key(name.as_object(), vm));
        if own || !object.class().get_attr(name).is_some_and(|found| found.is(method)) {
            return Ok(false);
        }
    }
    Ok(true)
}

fn remember(object: &PyObjectRef, store: &DataStore, vm: &VirtualMachine) -> PyResult<()> {
    let weak = object.downgrade(None, vm)?;
    OBJECTS.lock().get_or_insert_default().insert(store.id(), weak);
    Ok(())
}

/// As [`waiting`], for a method of the store that Python code calls: what metadata may have put in its
/// place has had its turn.
#[inline]
fn own<R>(vm: &VirtualMachine, method: Method, f: impl FnOnce() -> R) -> R {
    waiting(vm, || {
        method.original();
        f()
    })
}

/// The arguments of one call: positional first, then by name.
struct Arguments<'a> {
    method: &'static str,
    args: FuncArgs,
    vm: &'a VirtualMachine,
}

impl<'a> Arguments<'a> {
    fn new(method: &'static str, args: FuncArgs, vm: &'a VirtualMachine) -> Self {
        Arguments { method, args, vm }
    }
    #[inline]
    fn optional(&mut self, index: usize, name: &str) -> Option<PyObjectRef> {
        match self.args.args.get(index) {
            Some(value) => Some(value.clone()),
            None if self.args.kwargs.is_empty() => None,
            None => self.args.take_keyword(name),
        }
    }
    fn required(&mut self, index: usize, name: &str) -> PyResult<PyObjectRef> {
        self.optional(index, name)
            .ok_or_else(|| self.vm.new_type_error(format!("{}() missing required argument: '{name}'", self.method)))
    }
    /// A name of a variable or flag.
    fn name(&mut self, index: usize, name: &str) -> PyResult<Str> {
        let value = self.required(index, name)?;
        text(&value, self.vm)
    }
    #[inline]
    fn truth(&mut self, index: usize, name: &str, default: bool) -> PyResult<bool> {
        match self.optional(index, name) {
            None => Ok(default),
            Some(value) if value.is(&self.vm.ctx.true_value) => Ok(true),
            Some(value) if value.is(&self.vm.ctx.false_value) => Ok(false),
            Some(value) => value.is_true(self.vm),
        }
    }
    fn read(&mut self, first: usize) -> PyResult<Read> {
        if self.args.args.len() == first && self.args.kwargs.is_empty() {
            return Ok(Read::default());
        }
        Ok(Read {
            expand: self.truth(first, "expand", true)?,
            noweakdefault: self.truth(first + 1, "noweakdefault", false)?,
            parsing: self.truth(first + 2, "parsing", false)?,
        })
    }
    /// What is left over by name tells where the value comes from; else it is the calling code, which
    /// is looked for only if `store` keeps a history.
    fn info(mut self, store: &DataStore) -> PyResult<SetInfo> {
        let tracking = store.is_tracking();
        if self.args.kwargs.is_empty() && !tracking {
            return Ok(SetInfo::default());
        }
        let vm = self.vm;
        let mut info = SetInfo::default();
        if let Some(value) = self.args.take_keyword("parsing") {
            info.parsing = value.is_true(vm)?;
        }
        if let Some(value) = self.args.take_keyword("ignore") {
            info.ignore = value.is_true(vm)?;
        }
        if let Some(value) = self.args.take_keyword("op") {
            info.op = operation(&text(&value, vm)?);
        }
        if let Some(value) = self.args.take_keyword("detail") {
            info.detail = Some(to_value(&value, vm));
        }
        if let Some(value) = self.args.take_keyword("func") {
            info.func = Some(text(&value, vm)?);
        }
        if let Some(value) = self.args.take_keyword("line") {
            info.line = value.try_into_value::<i64>(vm).unwrap_or(0).clamp(0, u32::MAX.into()) as u32;
        }
        match self.args.take_keyword("file") {
            Some(value) => info.file = Some(text(&value, vm)?),
            None if !info.ignore && tracking => caller(&mut info, vm),
            None => {}
        }
        Ok(info)
    }
}

/// The Python code that called us, as the place of a change.
fn caller(info: &mut SetInfo, vm: &VirtualMachine) {
    if let Some(place) = crate::native::caller(vm) {
        info.file = Some(place.file);
        info.func.get_or_insert(place.func);
        info.line = place.line;
        return;
    }
    let Some(frame) = vm.current_frame() else { return };
    let frame: PyObjectRef = frame.into();
    let code = frame.get_attr("f_code", vm);
    let get = |object: &PyResult, name: &'static str| object.as_ref().ok().and_then(|o| o.get_attr(name, vm).ok());
    info.file = get(&code, "co_filename").and_then(|f| f.try_into_value::<String>(vm).ok()).map(Into::into);
    if info.func.is_none() {
        info.func = get(&code, "co_name").and_then(|f| f.try_into_value::<String>(vm).ok()).map(Into::into);
    }
    if let Some(line) = frame.get_attr("f_lineno", vm).ok().and_then(|l| l.try_into_value::<u32>(vm).ok()) {
        info.line = line;
    }
}

/// History operations are few; unknown ones (an `op=` of somebody's own) are kept for good.
fn operation(name: &str) -> &'static str {
    const KNOWN: [&str; 16] = [
        "set", "set?", "immediate", "append", "prepend", "postdot", "predot", "exported", "del", "from env",
        "auto env export", "delFlag", "delete flags", "set??", "remove", "rename (to)",
    ];
    if let Some(known) = KNOWN.iter().find(|known| **known == name) {
        return known;
    }
    static OTHER: Mutex<Vec<&'static str>> = Mutex::new(Vec::new());
    let mut other = OTHER.lock();
    match other.iter().find(|known| **known == name) {
        Some(known) => known,
        None => {
            let kept: &'static str = Box::leak(name.to_string().into_boxed_str());
            other.push(kept);
            kept
        }
    }
}

pub(crate) fn text(value: &PyObject, vm: &VirtualMachine) -> PyResult<Str> {
    match value.downcast_ref::<PyStr>() {
        Some(text) => Ok(text_of(text)),
        None => Ok(text_of(&*value.str(vm)?)),
    }
}

/// What code stores as a flag. The records of operations are read natively.
fn flag_value(flag: &str, value: &PyObject, vm: &VirtualMachine) -> Value {
    if flag.starts_with(':') { to_own_value(value, vm) } else { to_value(value, vm) }
}

/// Without copying, where the text is one already.
fn with_name<R>(value: &PyObject, vm: &VirtualMachine, f: impl FnOnce(&str) -> R) -> PyResult<R> {
    match value.downcast_ref::<PyStr>().and_then(|text| text.to_str()) {
        Some(text) => Ok(f(text)),
        None => text(value, vm).map(|text| f(&text)),
    }
}

fn set_of<'a>(items: impl IntoIterator<Item = &'a Str>, vm: &VirtualMachine) -> PyResult {
    let set = PySet::default().into_ref(&vm.ctx);
    for item in items {
        set.add(vm.ctx.new_str(&**item).into(), vm)?;
    }
    Ok(set.into())
}

/// (value, unexpanded, references, execs, contains, removes)
fn expansion(found: &Expansion, vm: &VirtualMachine) -> PyResult {
    let contains = vm.ctx.new_dict();
    for (name, items) in &found.contains {
        contains.set_item(&**name, set_of(items, vm)?, vm)?;
    }
    let parts = vec![
        option_to_python(found.value.as_ref(), vm)?,
        option_to_python(found.unexpanded.as_ref(), vm)?,
        set_of(&found.references, vm)?,
        set_of(&found.execs, vm)?,
        contains.into(),
        set_of(&found.removes, vm)?,
    ];
    Ok(vm.ctx.new_tuple(parts).into())
}

/// One history entry as the dictionary the reference records.
pub(crate) fn entry(found: &HistoryEntry, vm: &VirtualMachine) -> PyResult {
    let dict = vm.ctx.new_dict();
    dict.set_item("variable", vm.ctx.new_str(&*found.variable).into(), vm)?;
    dict.set_item("file", vm.ctx.new_str(&*found.file).into(), vm)?;
    dict.set_item("line", vm.ctx.new_int(found.line).into(), vm)?;
    dict.set_item("op", vm.ctx.new_str(&*found.op).into(), vm)?;
    dict.set_item("detail", to_python(&found.detail, vm)?, vm)?;
    if let Some(flag) = &found.flag {
        dict.set_item("flag", vm.ctx.new_str(&**flag).into(), vm)?;
    }
    if let Some(func) = &found.func {
        dict.set_item("func", vm.ctx.new_str(&**func).into(), vm)?;
    }
    Ok(dict.into())
}

pub(crate) fn record(dict: &Py<rustpython_vm::builtins::PyDict>, vm: &VirtualMachine) -> PyResult<HistoryEntry> {
    let get = |name: &str| dict.get_item_opt(name, vm);
    let word = |name: &str| -> PyResult<Option<Str>> { get(name)?.map(|value| text(&value, vm)).transpose() };
    Ok(HistoryEntry {
        variable: word("variable")?.unwrap_or_else(|| "".into()),
        file: word("file")?.unwrap_or_else(|| "".into()),
        line: get("line")?.and_then(|line| line.try_into_value::<u32>(vm).ok()).unwrap_or(0),
        op: word("op")?.filter(|op| !op.is_empty()).unwrap_or_else(|| "set".into()),
        detail: get("detail")?.map_or(Value::None, |detail| to_value(&detail, vm)),
        flag: word("flag")?,
        func: word("func")?,
    })
}

#[rustpython_vm::pymodule]
pub mod _hz_data {
    use super::*;
    use rustpython_vm::pyclass;
    use rustpython_vm::types::Constructor;

    /// A handle on a data store.
    #[pyattr]
    #[pyclass(module = "bb.data_smart", name = "Store")]
    #[derive(Debug, PyPayload)]
    pub struct PyStore {
        store: Handle,
    }

    struct Handle(DataStore);
    impl std::fmt::Debug for Handle {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("DataStore")
        }
    }

    impl Drop for PyStore {
        fn drop(&mut self) {
            if let Some(map) = OBJECTS.lock().as_mut() {
                map.remove(&self.store.0.id());
            }
        }
    }

    impl PyStore {
        pub fn new(store: DataStore) -> PyStore {
            PyStore { store: Handle(store) }
        }
        pub fn store(&self) -> &DataStore {
            &self.store.0
        }
    }

    /// The class that stores made outside Python get.
    #[pyfunction]
    fn set_class(class: PyTypeRef, vm: &VirtualMachine) {
        let methods: Option<Vec<_>> = NAMING_METHODS.iter().map(|name| class.get_attr(vm.ctx.intern_str(*name))).collect();
        if let Some(methods) = methods {
            let _ = NAMING.set(methods);
        }
        let _ = CLASS.set(class);
    }

    /// Names of the methods that native code calls too and that metadata may replace.
    #[pyfunction]
    fn replaceable(vm: &VirtualMachine) -> PyObjectRef {
        vm.ctx.new_tuple(hz_data::REPLACEABLE.iter().map(|name| vm.ctx.new_str(*name).into()).collect()).into()
    }
    /// These of them somebody replaced in the class; native code asks the class for them from now on.
    #[pyfunction]
    fn set_replaced(names: Vec<String>) {
        hz_data::set_replaced(names.iter().map(String::as_str));
    }

    /// Content of a store, as what `pickle` can write; a store of that content.
    #[pyfunction]
    fn state(d: PyObjectRef, vm: &VirtualMachine) -> PyResult {
        crate::snapshot::save(&d, vm)
    }
    #[pyfunction]
    fn restore(d: PyObjectRef, state: PyObjectRef, vm: &VirtualMachine) -> PyResult<()> {
        crate::snapshot::restore(&d, &state, vm)
    }

    fn emitted(
        d: &PyObject, vm: &VirtualMachine, emit: impl FnOnce(&mut Vec<u8>, &DataStore) -> hz_data::Result<bool>,
    ) -> PyResult {
        let store = unwrap(d, vm)?;
        let mut out = Vec::new();
        let told = waiting(vm, || emit(&mut out, store)).map_err(|error| from_data(vm, error))?;
        let text: PyObjectRef = vm.ctx.new_str(String::from_utf8_lossy(&out).into_owned()).into();
        Ok(vm.ctx.new_tuple(vec![text, vm.ctx.new_bool(told).into()]).into())
    }

    /// A function was defined by this text, which stands after line `before` of `file`.
    #[pyfunction]
    fn note_source(function: PyObjectRef, text: PyObjectRef, file: PyObjectRef, before: u32, vm: &VirtualMachine) -> PyResult<()> {
        let (text, file) = (super::text(&text, vm)?, super::text(&file, vm)?);
        crate::native::function::note(&function, &text, &file, before, vm);
        Ok(())
    }

    /// Has a class file of that name been inherited?
    #[pyfunction]
    fn inherits_class(class: PyObjectRef, d: PyObjectRef, vm: &VirtualMachine) -> PyResult<bool> {
        Ok(super::inherits_class(&text(&class, vm)?, unwrap(&d, vm)?))
    }

    /// Does the set in a variable hold a text?
    #[pyfunction]
    fn set_holds(d: PyObjectRef, var: PyObjectRef, item: PyObjectRef, vm: &VirtualMachine) -> PyResult<bool> {
        let (var, item) = (text(&var, vm)?, text(&item, vm)?);
        Ok(matches!(unwrap(&d, vm)?.get_raw(&var), Some(Value::Set(items)) if items.contains(&item)))
    }

    /// The tasks, each with those it runs after.
    fn task_deps(store: &DataStore, vm: &VirtualMachine) -> PyResult<Vec<(Str, Vec<Str>)>> {
        let read = |name: &str, flag: &str, how| waiting(vm, || store.get_flag(name, flag, how)).map_err(|error| from_data(vm, error));
        let mut found = Vec::new();
        for name in store.keys_with_flag("task").map_err(|error| from_data(vm, error))? {
            if read(&name, "task", Read::default())?.is_some_and(|value| value.is_true()) {
                let deps = match read(&name, "deps", hz_data::RAW)? {
                    Some(Value::List(deps)) => deps.iter().map(Value::to_text).collect(),
                    Some(Value::Set(deps)) => deps.iter().cloned().collect(),
                    _ => Vec::new(),
                };
                found.push((name, deps));
            }
        }
        Ok(found)
    }

    /// The tasks on the ways from one task to another one that depends on it, and, where a way comes back to a task it
    /// leads through, (that task, the way to it).
    #[pyfunction]
    fn tasks_between(d: PyObjectRef, start: PyObjectRef, end: PyObjectRef, vm: &VirtualMachine) -> PyResult {
        let store = unwrap(&d, vm)?;
        let (start, end) = (text(&start, vm)?, text(&end, vm)?);
        let found = crate::ways::between(&task_deps(store, vm)?, &start, &end);
        let list = |names: &[Str]| -> PyObjectRef { vm.ctx.new_list(names.iter().map(|name| vm.ctx.new_str(&**name).into()).collect()).into() };
        Ok(match found {
            Ok(between) => vm.ctx.new_tuple(vec![list(&between), vm.ctx.none()]).into(),
            Err((task, way)) => {
                let circle = vm.ctx.new_tuple(vec![vm.ctx.new_str(&*task).into(), list(&way)]);
                vm.ctx.new_tuple(vec![list(&[]), circle.into()]).into()
            }
        })
    }

    /// (script text, was it a function) of one variable.
    #[pyfunction]
    fn emit_var(var: PyObjectRef, d: PyObjectRef, all: bool, vm: &VirtualMachine) -> PyResult {
        let name = text(&var, vm)?;
        emitted(&d, vm, |out, store| hz_data::emit::emit_var(&name, out, store, all))
    }
    #[pyfunction]
    fn emit_env(d: PyObjectRef, all: bool, vm: &VirtualMachine) -> PyResult {
        emitted(&d, vm, |out, store| hz_data::emit::emit_env(out, store, all).map(|()| false))
    }
    #[pyfunction]
    fn emit_func(func: PyObjectRef, d: PyObjectRef, vm: &VirtualMachine) -> PyResult {
        let name = text(&func, vm)?;
        emitted(&d, vm, |out, store| hz_data::emit::emit_func(&name, out, store).map(|()| false))
    }
    #[pyfunction]
    fn emit_func_python(func: PyObjectRef, d: PyObjectRef, vm: &VirtualMachine) -> PyResult {
        let name = text(&func, vm)?;
        emitted(&d, vm, |out, store| hz_data::emit::emit_func_python(&name, out, store).map(|()| false))
    }
    #[pyfunction]
    fn exported_keys(d: PyObjectRef, vm: &VirtualMachine) -> PyResult {
        let names = waiting(vm, || Ok(hz_data::emit::exported_keys(unwrap(&d, vm)?)))?.map_err(|error| from_data(vm, error))?;
        Ok(vm.ctx.new_list(names.iter().map(|name| vm.ctx.new_str(&**name).into()).collect()).into())
    }
    #[pyfunction]
    fn exported_vars(d: PyObjectRef, vm: &VirtualMachine) -> PyResult {
        let vars = waiting(vm, || Ok(hz_data::emit::exported_vars(unwrap(&d, vm)?)))?.map_err(|error| from_data(vm, error))?;
        let pair = |(name, value): &(Str, Str)| -> PyObjectRef {
            vm.ctx.new_tuple(vec![vm.ctx.new_str(&**name).into(), vm.ctx.new_str(&**value).into()]).into()
        };
        Ok(vm.ctx.new_list(vars.iter().map(pair).collect()).into())
    }
    #[pyfunction]
    fn inherit_from_os(d: PyObjectRef, environment: PyObjectRef, permitted: Vec<String>, vm: &VirtualMachine) -> PyResult<()> {
        let permitted: Vec<&str> = permitted.iter().map(String::as_str).collect();
        let found = hz_data::emit::inherit_from_os(unwrap(&d, vm)?, unwrap(&environment, vm)?, &permitted);
        found.map_err(|error| from_data(vm, error))
    }
    /// (references, execs, contains) of a piece of Python.
    #[pyfunction]
    fn scan_python(code: PyObjectRef, name: PyObjectRef, vm: &VirtualMachine) -> PyResult {
        let code = text(&code, vm)?;
        let name = if vm.is_none(&name) { None } else { Some(text(&name, vm)?) };
        let store = DataStore::new(crate::runtime::shared());
        let found = store.scan_python(&code, name.as_deref()).map_err(|error| from_data(vm, error))?;
        let contains = vm.ctx.new_dict();
        for (name, items) in &found.contains {
            contains.set_item(&**name, set_of(items, vm)?, vm)?;
        }
        Ok(vm.ctx.new_tuple(vec![set_of(&found.references, vm)?, set_of(&found.execs, vm)?, contains.into()]).into())
    }

    impl Constructor for PyStore {
        type Args = FuncArgs;

        fn slot_new(class: PyTypeRef, _args: FuncArgs, vm: &VirtualMachine) -> PyResult {
            let store = DataStore::new(crate::runtime::shared());
            let object: PyObjectRef = PyStore::new(store.clone()).into_ref_with_type(vm, class)?.into();
            remember(&object, &store, vm)?;
            Ok(object)
        }
        fn py_new(_class: &Py<rustpython_vm::builtins::PyType>, _args: FuncArgs, _vm: &VirtualMachine) -> PyResult<Self> {
            Ok(PyStore::new(DataStore::new(crate::runtime::shared())))
        }
    }

    #[pyclass(with(Constructor), flags(BASETYPE, HAS_DICT, HAS_WEAKREF))]
    impl PyStore {
        #[pymethod(name = "getVar")]
        fn get_var(zelf: &Py<Self>, args: FuncArgs, vm: &VirtualMachine) -> PyResult {
            let mut args = Arguments::new("getVar", args, vm);
            let name = args.required(0, "var")?;
            let read = args.read(1)?;
            match with_name(&name, vm, |name| own(vm, Method::GetVar, || zelf.store().get_var(name, read)))? {
                Ok(value) => option_to_python(value.as_ref(), vm),
                Err(error) => Err(from_data(vm, error)),
            }
        }

        #[pymethod(name = "getVarFlag")]
        fn get_var_flag(zelf: &Py<Self>, args: FuncArgs, vm: &VirtualMachine) -> PyResult {
            let mut args = Arguments::new("getVarFlag", args, vm);
            let name = args.required(0, "var")?;
            let flag = args.required(1, "flag")?;
            let read = args.read(2)?;
            if args.truth(5, "retparser", false)? {
                return vm.call_method(zelf.as_object(), "_flag_with_parser", (name, flag, read.expand));
            }
            let flag = if vm.is_none(&flag) { vm.ctx.empty_str.to_owned().into() } else { flag };
            let value = with_name(&name, vm, |name| with_name(&flag, vm, |flag| own(vm, Method::GetVarFlag, || zelf.store().get_flag(name, flag, read))))??;
            match value {
                Ok(value) => option_to_python(value.as_ref(), vm),
                Err(error) => Err(from_data(vm, error)),
            }
        }

        #[pymethod(name = "getVarFlags")]
        fn get_var_flags(zelf: &Py<Self>, args: FuncArgs, vm: &VirtualMachine) -> PyResult {
            let mut args = Arguments::new("getVarFlags", args, vm);
            let name = args.name(0, "var")?;
            let expand: Option<Vec<String>> = match args.optional(1, "expand") {
                Some(list) if list.clone().is_true(vm)? => Some(list.try_to_value(vm)?),
                _ => None,
            };
            let internal = args.truth(2, "internalflags", false)?;
            let expand: Option<Vec<&str>> = expand.as_ref().map(|list| list.iter().map(String::as_str).collect());
            let flags = own(vm, Method::GetVarFlags, || zelf.store().get_flags(&name, expand.as_deref(), internal)).map_err(|error| from_data(vm, error))?;
            let Some(flags) = flags else { return Ok(vm.ctx.none()) };
            let dict = vm.ctx.new_dict();
            for (flag, value) in &flags {
                dict.set_item(&**flag, to_python(value, vm)?, vm)?;
            }
            Ok(dict.into())
        }

        #[pymethod(name = "setVar")]
        fn set_var(zelf: &Py<Self>, args: FuncArgs, vm: &VirtualMachine) -> PyResult<()> {
            let mut args = Arguments::new("setVar", args, vm);
            let name = args.name(0, "var")?;
            let value = args.required(1, "value")?;
            let value = if name.starts_with("__") { to_own_value(&value, vm) } else { to_value(&value, vm) };
            let info = args.info(zelf.store())?;
            own(vm, Method::SetVar, || zelf.store().set_var(&name, value, &info)).map_err(|error| from_data(vm, error))
        }

        #[pymethod(name = "appendVar")]
        fn append_var(zelf: &Py<Self>, args: FuncArgs, vm: &VirtualMachine) -> PyResult<()> {
            let mut args = Arguments::new("appendVar", args, vm);
            let name = args.name(0, "var")?;
            let value = to_value(&*args.required(1, "value")?, vm);
            let info = args.info(zelf.store())?;
            own(vm, Method::AppendVar, || zelf.store().append_var(&name, value, &info)).map_err(|error| from_data(vm, error))
        }

        #[pymethod(name = "prependVar")]
        fn prepend_var(zelf: &Py<Self>, args: FuncArgs, vm: &VirtualMachine) -> PyResult<()> {
            let mut args = Arguments::new("prependVar", args, vm);
            let name = args.name(0, "var")?;
            let value = to_value(&*args.required(1, "value")?, vm);
            let info = args.info(zelf.store())?;
            own(vm, Method::PrependVar, || zelf.store().prepend_var(&name, value, &info)).map_err(|error| from_data(vm, error))
        }

        #[pymethod(name = "delVar")]
        fn del_var(zelf: &Py<Self>, args: FuncArgs, vm: &VirtualMachine) -> PyResult<()> {
            let mut args = Arguments::new("delVar", args, vm);
            let name = args.name(0, "var")?;
            let info = args.info(zelf.store())?;
            own(vm, Method::DelVar, || zelf.store().del_var(&name, &info)).map_err(|error| from_data(vm, error))
        }

        #[pymethod(name = "renameVar")]
        fn rename_var(zelf: &Py<Self>, args: FuncArgs, vm: &VirtualMachine) -> PyResult<()> {
            let mut args = Arguments::new("renameVar", args, vm);
            let name = args.name(0, "key")?;
            let new = args.name(1, "newkey")?;
            let info = args.info(zelf.store())?;
            own(vm, Method::RenameVar, || zelf.store().rename_var(&name, &new, &info)).map_err(|error| from_data(vm, error))
        }

        #[pymethod(name = "setVarFlag")]
        fn set_var_flag(zelf: &Py<Self>, args: FuncArgs, vm: &VirtualMachine) -> PyResult<()> {
            let mut args = Arguments::new("setVarFlag", args, vm);
            let name = args.name(0, "var")?;
            let flag = args.name(1, "flag")?;
            let value = flag_value(&flag, &*args.required(2, "value")?, vm);
            let info = args.info(zelf.store())?;
            own(vm, Method::SetVarFlag, || zelf.store().set_flag(&name, &flag, value, &info)).map_err(|error| from_data(vm, error))
        }

        #[pymethod(name = "appendVarFlag")]
        fn append_var_flag(zelf: &Py<Self>, args: FuncArgs, vm: &VirtualMachine) -> PyResult<()> {
            let mut args = Arguments::new("appendVarFlag", args, vm);
            let name = args.name(0, "var")?;
            let flag = args.name(1, "flag")?;
            let value = to_value(&*args.required(2, "value")?, vm);
            let info = args.info(zelf.store())?;
            own(vm, Method::AppendVarFlag, || zelf.store().append_flag(&name, &flag, value, &info)).map_err(|error| from_data(vm, error))
        }

        #[pymethod(name = "prependVarFlag")]
        fn prepend_var_flag(zelf: &Py<Self>, args: FuncArgs, vm: &VirtualMachine) -> PyResult<()> {
            let mut args = Arguments::new("prependVarFlag", args, vm);
            let name = args.name(0, "var")?;
            let flag = args.name(1, "flag")?;
            let value = to_value(&*args.required(2, "value")?, vm);
            let info = args.info(zelf.store())?;
            own(vm, Method::PrependVarFlag, || zelf.store().prepend_flag(&name, &flag, value, &info)).map_err(|error| from_data(vm, error))
        }

        #[pymethod(name = "delVarFlag")]
        fn del_var_flag(zelf: &Py<Self>, args: FuncArgs, vm: &VirtualMachine) -> PyResult<()> {
            let mut args = Arguments::new("delVarFlag", args, vm);
            let name = args.name(0, "var")?;
            let flag = args.name(1, "flag")?;
            let info = args.info(zelf.store())?;
            own(vm, Method::DelVarFlag, || zelf.store().del_flag(&name, &flag, &info)).map_err(|error| from_data(vm, error))
        }

        #[pymethod(name = "setVarFlags")]
        fn set_var_flags(zelf: &Py<Self>, args: FuncArgs, vm: &VirtualMachine) -> PyResult<()> {
            let mut args = Arguments::new("setVarFlags", args, vm);
            let name = args.name(0, "var")?;
            let flags: PyDictRef = args.required(1, "flags")?.try_into_value(vm)?;
            let mut list = Vec::new();
            for (flag, value) in flags.items_vec() {
                let flag = text(&flag, vm)?;
                let value = flag_value(&flag, &value, vm);
                list.push((flag, value));
            }
            let list: Vec<(&str, Value)> = list.iter().map(|(flag, value)| (&**flag, value.clone())).collect();
            let info = args.info(zelf.store())?;
            own(vm, Method::SetVarFlags, || zelf.store().set_flags(&name, &list, &info)).map_err(|error| from_data(vm, error))
        }

        #[pymethod(name = "delVarFlags")]
        fn del_var_flags(zelf: &Py<Self>, args: FuncArgs, vm: &VirtualMachine) -> PyResult<()> {
            let mut args = Arguments::new("delVarFlags", args, vm);
            let name = args.name(0, "var")?;
            let info = args.info(zelf.store())?;
            own(vm, Method::DelVarFlags, || zelf.store().del_flags(&name, &info)).map_err(|error| from_data(vm, error))
        }

        #[pymethod(name = "setVarFilter")]
        fn set_var_filter(zelf: &Py<Self>, var: PyObjectRef, filter: PyObjectRef, vm: &VirtualMachine) -> PyResult<()> {
            let name = text(&var, vm)?;
            let filter = if filter.clone().is_true(vm)? { Some(text(&filter, vm)?) } else { None };
            waiting(vm, || zelf.store().set_filter(&name, filter.as_deref())).map_err(|error| from_data(vm, error))
        }

        /// Text is expanded; anything else is given back.
        #[pymethod]
        fn expand(zelf: &Py<Self>, args: FuncArgs, vm: &VirtualMachine) -> PyResult {
            let mut args = Arguments::new("expand", args, vm);
            let value = args.required(0, "s")?;
            let Some(source) = value.downcast_ref::<PyStr>() else { return Ok(value) };
            let source = text_of(source);
            let name = match args.optional(1, "varname") {
                Some(name) if !vm.is_none(&name) => Some(text(&name, vm)?),
                _ => None,
            };
            match own(vm, Method::Expand, || zelf.store().expand(&source, name.as_deref())) {
                Ok(found) if *found == *source => Ok(value),
                Ok(found) => Ok(vm.ctx.new_str(&*found).into()),
                Err(error) => Err(from_data(vm, error)),
            }
        }

        #[pymethod(name = "_expand_with_refs")]
        fn expand_with_refs(zelf: &Py<Self>, source: PyObjectRef, varname: PyObjectRef, vm: &VirtualMachine) -> PyResult {
            let source = text(&source, vm)?;
            let name = if vm.is_none(&varname) { None } else { Some(text(&varname, vm)?) };
            let found = waiting(vm, || zelf.store().expand_with_refs(&source, name.as_deref())).map_err(|error| from_data(vm, error))?;
            expansion(&found, vm)
        }

        #[pymethod(name = "_read_with_refs")]
        fn read_with_refs(zelf: &Py<Self>, var: PyObjectRef, flag: PyObjectRef, vm: &VirtualMachine) -> PyResult {
            let (name, flag) = (text(&var, vm)?, text(&flag, vm)?);
            let found = waiting(vm, || zelf.store().read_with_refs(&name, &flag)).map_err(|error| from_data(vm, error))?;
            expansion(&found, vm)
        }

        #[pymethod(name = "createCopy")]
        fn create_copy(zelf: &Py<Self>, vm: &VirtualMachine) -> PyResult {
            Method::CreateCopy.original();
            wrap(&zelf.store().create_copy(), vm)
        }

        #[pymethod(name = "_names")]
        fn names(zelf: &Py<Self>, vm: &VirtualMachine) -> PyResult {
            let names = waiting(vm, || zelf.store().keys()).map_err(|error| from_data(vm, error))?;
            let names = names.iter().map(|name| vm.ctx.new_str(&**name).into()).collect();
            Ok(vm.ctx.new_list(names).into())
        }

        #[pymethod(name = "_local_names")]
        fn local_names(zelf: &Py<Self>, vm: &VirtualMachine) -> PyObjectRef {
            let names = zelf.store().local_keys().iter().map(|name| vm.ctx.new_str(&**name).into()).collect();
            vm.ctx.new_list(names).into()
        }

        #[pymethod(name = "_has")]
        fn has(zelf: &Py<Self>, var: PyObjectRef, vm: &VirtualMachine) -> PyResult<bool> {
            Ok(var.downcast_ref::<PyStr>().is_some_and(|name| zelf.store().contains(&text_of(name))) && !vm.is_none(&var))
        }

        #[pymethod(name = "hasOverrides")]
        fn has_overrides(zelf: &Py<Self>, var: PyObjectRef, vm: &VirtualMachine) -> PyResult<bool> {
            with_name(&var, vm, |name| zelf.store().has_overrides(name))
        }

        #[pymethod(name = "_overrides")]
        fn overrides(zelf: &Py<Self>, vm: &VirtualMachine) -> PyResult {
            let list = waiting(vm, || zelf.store().overrides()).map_err(|error| from_data(vm, error))?;
            Ok(vm.ctx.new_list(list.iter().map(|name| vm.ctx.new_str(&**name).into()).collect()).into())
        }

        #[pymethod]
        fn get_hash(zelf: &Py<Self>, vm: &VirtualMachine) -> PyResult<String> {
            waiting(vm, || zelf.store().get_hash()).map_err(|error| from_data(vm, error))
        }

        #[pymethod(name = "_expand_keys")]
        fn expand_keys(zelf: &Py<Self>, vm: &VirtualMachine) -> PyResult<()> {
            waiting(vm, || zelf.store().expand_keys()).map_err(|error| from_data(vm, error))
        }

        #[pymethod(name = "enableTracking")]
        fn enable_tracking(zelf: &Py<Self>) {
            zelf.store().enable_tracking();
        }

        #[pymethod(name = "disableTracking")]
        fn disable_tracking(zelf: &Py<Self>) {
            zelf.store().disable_tracking();
        }

        #[pygetset(name = "_tracking")]
        fn tracking(zelf: &Py<Self>) -> bool {
            zelf.store().is_tracking()
        }

        #[pymethod(name = "_history")]
        fn history(zelf: &Py<Self>, var: PyObjectRef, vm: &VirtualMachine) -> PyResult {
            let found = zelf.store().history(&text(&var, vm)?);
            let list: PyResult<Vec<_>> = found.iter().map(|found| entry(found, vm)).collect();
            Ok(vm.ctx.new_list(list?).into())
        }

        #[pymethod(name = "_history_record")]
        fn history_record(zelf: &Py<Self>, info: PyDictRef, vm: &VirtualMachine) -> PyResult<()> {
            zelf.store().history_record(record(&info, vm)?);
            Ok(())
        }

        #[pymethod(name = "_history_emit")]
        fn history_emit(zelf: &Py<Self>, var: PyObjectRef, value: PyObjectRef, vm: &VirtualMachine) -> PyResult<String> {
            let value = to_value(&value, vm);
            let mut out = Vec::new();
            let value = (!matches!(value, Value::None)).then_some(value);
            zelf.store().history_emit(&text(&var, vm)?, value.as_ref(), &mut out).map_err(|error| vm.new_os_error(error.to_string()))?;
            Ok(String::from_utf8_lossy(&out).into_owned())
        }

        #[pymethod(name = "_history_items_files")]
        fn history_items_files(zelf: &Py<Self>, var: PyObjectRef, vm: &VirtualMachine) -> PyResult {
            let name = text(&var, vm)?;
            let found = waiting(vm, || zelf.store().history_items_files(&name)).map_err(|error| from_data(vm, error))?;
            let dict = vm.ctx.new_dict();
            for (item, file) in &found {
                dict.set_item(&**item, vm.ctx.new_str(&**file).into(), vm)?;
            }
            Ok(dict.into())
        }

        #[pymethod(name = "_history_delete_at")]
        fn history_delete_at(zelf: &Py<Self>, var: PyObjectRef, file: PyObjectRef, line: u32, vm: &VirtualMachine) -> PyResult<()> {
            zelf.store().history_delete_at(&text(&var, vm)?, &text(&file, vm)?, line);
            Ok(())
        }

        #[pymethod(name = "_includes_emit")]
        fn includes_emit(zelf: &Py<Self>, vm: &VirtualMachine) -> PyResult<String> {
            let mut out = Vec::new();
            zelf.store().includes_emit(&mut out).map_err(|error| vm.new_os_error(error.to_string()))?;
            Ok(String::from_utf8_lossy(&out).into_owned())
        }

        #[pymethod(name = "initVar")]
        fn init_var(zelf: &Py<Self>, var: PyObjectRef, vm: &VirtualMachine) -> PyResult<()> {
            zelf.store().init_var(&text(&var, vm)?);
            Ok(())
        }

        #[pymethod(name = "expandVarref")]
        fn expand_varref(zelf: &Py<Self>, args: FuncArgs, vm: &VirtualMachine) -> PyResult<()> {
            let mut args = Arguments::new("expandVarref", args, vm);
            let name = args.name(0, "variable")?;
            let parents = args.truth(1, "parents", false)?;
            waiting(vm, || zelf.store().expand_varref(&name, parents)).map_err(|error| from_data(vm, error))
        }

        #[pymethod(name = "_history_delete")]
        fn history_delete(zelf: &Py<Self>, var: PyObjectRef, vm: &VirtualMachine) -> PyResult<()> {
            zelf.store().history_delete(&text(&var, vm)?);
            Ok(())
        }

        #[pymethod(name = "_history_rename")]
        fn history_rename(zelf: &Py<Self>, var: PyObjectRef, new: PyObjectRef, vm: &VirtualMachine) -> PyResult<()> {
            zelf.store().history_rename(&text(&var, vm)?, &text(&new, vm)?);
            Ok(())
        }

        #[pymethod(name = "_include_enter")]
        fn include_enter(zelf: &Py<Self>, file: PyObjectRef, vm: &VirtualMachine) -> PyResult<()> {
            zelf.store().include_enter(&text(&file, vm)?);
            Ok(())
        }

        #[pymethod(name = "_include_leave")]
        fn include_leave(zelf: &Py<Self>) {
            zelf.store().include_leave();
        }
    }
}
