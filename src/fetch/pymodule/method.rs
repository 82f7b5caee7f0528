//! Fetch methods that are Python objects, and which of them are exactly ours.
//!
//! Each Python class of ours names its native method in `_native`. An object of just that class,
//! unpatched, is replaced by the native method; anything else (a layer's own class, a subclass of
//! ours) is called through Python, where what it does not override comes back here.

use super::convert;
use super::host::python;
use crate::context::Cx;
use crate::error::{FetchError, Result};
use crate::methods::{self, Method};
use crate::mirror::Pair;
use crate::urldata::UrlData;
use hz_python::store::wrap;
use rustpython_vm::builtins::{PyList, PyStr};
use rustpython_vm::{AsObject, PyObjectRef, PyResult, VirtualMachine};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// A method that only Python knows.
pub struct PythonMethod(PyObjectRef);

static CHANGES: AtomicU64 = AtomicU64::new(0);

/// The methods as last seen: number of changes known then, the list's objects, what they are.
struct Known {
    changes: u64,
    objects: Vec<PyObjectRef>,
    methods: Arc<[Arc<dyn Method>]>,
}

impl Known {
    fn is(&self, changes: u64, objects: &[PyObjectRef]) -> bool {
        self.changes == changes && self.objects.len() == objects.len() && self.objects.iter().zip(objects).all(|(a, b)| a.is(b))
    }
}
static KNOWN: Mutex<Option<Known>> = Mutex::new(None);

pub fn forget() {
    CHANGES.fetch_add(1, Ordering::Relaxed);
}

/// `bb.fetch2.methods`, ours as ours.
pub fn all(vm: &VirtualMachine) -> Arc<[Arc<dyn Method>]> {
    let list = || hz_python::runtime::module(vm, "bb.fetch2")?.get_attr(vm.ctx.intern_str("methods"), vm);
    let Ok(list) = list() else { return methods::builtin() };
    let changes = CHANGES.load(Ordering::Relaxed);
    if let Some(list) = list.downcast_ref::<PyList>()
        && let Some(known) = KNOWN.lock().unwrap_or_else(|e| e.into_inner()).as_ref()
        && known.is(changes, &list.borrow_vec())
    {
        return known.methods.clone();
    }
    let Ok(objects) = vm.extract_elements_with(&list, Ok) else { return methods::builtin() };
    if let Some(known) = KNOWN.lock().unwrap_or_else(|e| e.into_inner()).as_ref()
        && known.is(changes, &objects)
    {
        return known.methods.clone();
    }
    let found: Arc<[Arc<dyn Method>]> = objects.iter().map(|o| classify(o, vm)).collect();
    let mut known = KNOWN.lock().unwrap_or_else(|e| e.into_inner());
    *known = Some(Known { changes, objects, methods: found.clone() });
    found
}

/// The method behind a Python object (`ud.method`).
pub fn of_object(object: &PyObjectRef, vm: &VirtualMachine) -> Arc<dyn Method> {
    let methods = all(vm);
    let known = KNOWN.lock().unwrap_or_else(|e| e.into_inner());
    let place = known.as_ref().and_then(|k| k.objects.iter().position(|o| o.is(object)));
    drop(known);
    match place.and_then(|at| methods.get(at)) {
        Some(method) => method.clone(),
        None => classify(object, vm),
    }
}

/// The Python object of a method.
pub fn object(method: &Arc<dyn Method>, vm: &VirtualMachine) -> PyResult {
    let methods = all(vm);
    let known = KNOWN.lock().unwrap_or_else(|e| e.into_inner());
    let place = methods.iter().position(|m| Arc::ptr_eq(m, method));
    Ok(match (place, known.as_ref()) {
        (Some(at), Some(k)) => k.objects.get(at).cloned().unwrap_or_else(|| vm.ctx.none()),
        _ => vm.ctx.none(),
    })
}

fn classify(object: &PyObjectRef, vm: &VirtualMachine) -> Arc<dyn Method> {
    let native = || -> Option<Arc<dyn Method>> {
        let class = object.class();
        if class.attributes.contains(vm.ctx.intern_str("_patched")) {
            return None;
        }
        let name = class.attributes.get(vm.ctx.intern_str("_native"))?;
        let patched = object.dict().is_some_and(|d| d.items_vec().iter().any(|(_, v)| v.is_callable()));
        if patched {
            return None;
        }
        methods::by_name(name.downcast_ref::<PyStr>()?.to_str()?)
    };
    native().unwrap_or_else(|| Arc::new(PythonMethod(object.clone())))
}

impl PythonMethod {
    /// Calls a Python method with the Python view of `ud`, then takes over what it changed.
    fn on<T>(
        &self, ud: &mut UrlData, name: &'static str, f: impl FnOnce(&PyObjectRef, PyObjectRef, &VirtualMachine) -> PyResult<T>,
    ) -> Result<T> {
        python(|vm| {
            let object = convert::object(ud, vm)?;
            let method = self.0.get_attr(name, vm)?;
            let result = f(&method, object.clone(), vm);
            // Also after an exception: the object may live on.
            let method = ud.method.clone();
            *ud = convert::read(&object, vm)?;
            if ud.method.name() == "none" {
                ud.method = method;
            }
            result
        })
    }
    fn ask(&self, ud: &mut UrlData, cx: &Cx<'_>, name: &'static str) -> Result<bool> {
        self.on(ud, name, |method, ud, vm| method.call((ud, wrap(cx.d, vm)?), vm)?.is_true(vm))
    }
    fn act(&self, ud: &mut UrlData, cx: &Cx<'_>, name: &'static str) -> Result<()> {
        self.on(ud, name, |method, ud, vm| method.call((ud, wrap(cx.d, vm)?), vm).map(drop))
    }
    fn plain(&self, name: &'static str) -> Result<bool> {
        python(|vm| vm.call_method(&self.0, name, ())?.is_true(vm))
    }
    fn has(&self, name: &'static str) -> bool {
        hz_python::enter(|vm| self.0.has_attr(name, vm).unwrap_or(false))
    }
}

/// The connection cache and the like that Python methods get as their `fetch` argument.
fn no_fetch(vm: &VirtualMachine) -> PyResult {
    let class = hz_python::errors::class(vm, "bb.fetch2", "_NoFetch");
    match class {
        Some(class) => class.as_object().call((), vm),
        None => Ok(vm.ctx.none()),
    }
}

impl Method for PythonMethod {
    fn name(&self) -> &'static str {
        "python"
    }
    fn supports(&self, ud: &UrlData, cx: &Cx<'_>) -> Result<bool> {
        self.ask(&mut ud.clone(), cx, "supports")
    }
    fn urldata_init(&self, ud: &mut UrlData, cx: &Cx<'_>) -> Result<()> {
        if self.has("urldata_init") { self.act(ud, cx, "urldata_init") } else { Ok(()) }
    }
    fn is_local(&self) -> bool {
        hz_python::enter(|vm| {
            hz_python::errors::class(vm, "bb.fetch2.local", "Local").is_some_and(|class| self.0.class().fast_issubclass(&class))
        })
    }
    fn localpath(&self, ud: &mut UrlData, cx: &Cx<'_>) -> Result<String> {
        self.on(ud, "localpath", |method, ud, vm| {
            let path = method.call((ud, wrap(cx.d, vm)?), vm)?;
            Ok(convert::optional_text(&path, vm)?.unwrap_or_default())
        })
    }
    fn supports_checksum(&self, ud: &UrlData) -> Result<bool> {
        self.on(&mut ud.clone(), "supports_checksum", |method, ud, vm| method.call((ud,), vm)?.is_true(vm))
    }
    fn recommends_checksum(&self, ud: &UrlData) -> Result<bool> {
        self.on(&mut ud.clone(), "recommends_checksum", |method, ud, vm| method.call((ud,), vm)?.is_true(vm))
    }
    fn cleanup_upon_failure(&self) -> Result<bool> {
        self.plain("cleanup_upon_failure")
    }
    fn verify_donestamp(&self, ud: &mut UrlData, cx: &Cx<'_>) -> Result<bool> {
        self.ask(ud, cx, "verify_donestamp")
    }
    fn update_donestamp(&self, ud: &mut UrlData, cx: &Cx<'_>) -> Result<()> {
        self.act(ud, cx, "update_donestamp")
    }
    fn need_update(&self, ud: &mut UrlData, cx: &Cx<'_>) -> Result<bool> {
        self.ask(ud, cx, "need_update")
    }
    fn supports_srcrev(&self) -> Result<bool> {
        self.plain("supports_srcrev")
    }
    fn download(&self, ud: &mut UrlData, cx: &Cx<'_>) -> Result<()> {
        self.act(ud, cx, "download")
    }
    fn build_mirror_data(&self, ud: &mut UrlData, cx: &Cx<'_>) -> Result<()> {
        if self.has("build_mirror_data") { self.act(ud, cx, "build_mirror_data") } else { Ok(()) }
    }
    fn unpack(&self, ud: &mut UrlData, root: &str, cx: &Cx<'_>) -> Result<()> {
        self.on(ud, "unpack", |m, ud, vm| m.call((ud, vm.ctx.new_str(root), wrap(cx.d, vm)?), vm).map(drop))
    }
    fn unpack_update(&self, ud: &mut UrlData, root: &str, cx: &Cx<'_>) -> Result<()> {
        self.on(ud, "unpack_update", |m, ud, vm| m.call((ud, vm.ctx.new_str(root), wrap(cx.d, vm)?), vm).map(drop))
    }
    fn clean(&self, ud: &mut UrlData, cx: &Cx<'_>) -> Result<()> {
        self.act(ud, cx, "clean")
    }
    fn update_mirror_links(&self, ud: &UrlData, origin: &UrlData) -> Result<()> {
        self.on(&mut origin.clone(), "update_mirror_links", |m, origin, vm| {
            m.call((convert::object(ud, vm)?, origin), vm).map(drop)
        })
    }
    fn try_premirror(&self, ud: &mut UrlData, cx: &Cx<'_>) -> Result<bool> {
        self.ask(ud, cx, "try_premirror")
    }
    fn try_mirrors(&self, ud: &mut UrlData, cx: &Cx<'_>, mirrors: &[Pair], check: bool) -> Result<bool> {
        self.on(ud, "try_mirrors", |method, ud, vm| {
            let pairs = vm.ctx.new_list(mirrors.iter().map(|(a, b)| convert::pair(a, b, vm)).collect());
            let args: Vec<PyObjectRef> =
                vec![no_fetch(vm)?, ud, wrap(cx.d, vm)?, pairs.into(), vm.ctx.new_bool(check).into()];
            method.call(args, vm)?.is_true(vm)
        })
    }
    fn checkstatus(&self, ud: &mut UrlData, cx: &Cx<'_>) -> Result<bool> {
        self.on(ud, "checkstatus", |m, ud, vm| m.call((no_fetch(vm)?, ud, wrap(cx.d, vm)?), vm)?.is_true(vm))
    }
    fn asks_upstream(&self) -> bool {
        self.has("_latest_revision")
    }
    fn revision_key(&self, ud: &UrlData, cx: &Cx<'_>, name: &str) -> Result<String> {
        self.on(&mut ud.clone(), "generate_revision_key", |m, ud, vm| {
            let key = m.call((ud, wrap(cx.d, vm)?, vm.ctx.new_str(name)), vm)?;
            Ok(key.str(vm)?.to_string_lossy().into_owned())
        })
    }
    fn ask_latest_revision(&self, ud: &UrlData, cx: &Cx<'_>, name: &str) -> Result<String> {
        self.on(&mut ud.clone(), "_latest_revision", |m, ud, vm| {
            let revision = m.call((ud, wrap(cx.d, vm)?, vm.ctx.new_str(name)), vm)?;
            Ok(revision.str(vm)?.to_string_lossy().into_owned())
        })
    }
    fn formatted_revision(&self, ud: &mut UrlData, cx: &Cx<'_>, name: &str, form: &str) -> Result<(bool, String)> {
        python(|vm| {
            let object = convert::object(ud, vm)?;
            let method = self.0.get_attr(&vm.ctx.new_str(form), vm)?;
            let pair = method.call((object, wrap(cx.d, vm)?, vm.ctx.new_str(name)), vm)?;
            let parts: Vec<PyObjectRef> = vm.extract_elements_with(&pair, Ok)?;
            match parts.as_slice() {
                [floating, revision] => {
                    Ok((floating.clone().is_true(vm)?, revision.str(vm)?.to_string_lossy().into_owned()))
                }
                _ => Err(vm.new_value_error(format!("{form} gives no pair"))),
            }
        })
    }
    fn latest_versionstring(&self, ud: &mut UrlData, cx: &Cx<'_>) -> Result<(String, String)> {
        self.on(ud, "latest_versionstring", |m, ud, vm| {
            let pair = convert::strings(&m.call((ud, wrap(cx.d, vm)?), vm)?, vm)?;
            Ok((pair.first().cloned().unwrap_or_default(), pair.get(1).cloned().unwrap_or_default()))
        })
    }
    fn done(&self, ud: &mut UrlData, cx: &Cx<'_>) -> Result<bool> {
        self.ask(ud, cx, "done")
    }
    fn implicit_urldata(&self, ud: &mut UrlData, cx: &Cx<'_>) -> Result<Vec<UrlData>> {
        self.on(ud, "implicit_urldata", |m, ud, vm| {
            let list = m.call((ud, wrap(cx.d, vm)?), vm)?;
            vm.extract_elements_with(&list, |o| convert::read(&o, vm))
        })
    }
}

/// What an operation answers.
pub enum Answer {
    Nothing,
    Truth(bool),
    Text(String),
    Pair(String, String),
    Revision(bool, String),
    Urls(Vec<UrlData>),
}

/// The operation `name` of a method, as Python calls it; `extra` is its further text argument.
pub fn dispatch(method: &dyn Method, name: &str, ud: &mut UrlData, extra: &str, cx: &Cx<'_>) -> Result<Answer> {
    use Answer::{Nothing, Pair as Two, Revision, Text, Truth, Urls};
    Ok(match name {
        "supports" => Truth(method.supports(ud, cx)?),
        "urldata_init" => {
            method.urldata_init(ud, cx)?;
            Nothing
        }
        "localpath" => Text(method.localpath(ud, cx)?),
        "supports_checksum" => Truth(method.supports_checksum(ud)?),
        "recommends_checksum" => Truth(method.recommends_checksum(ud)?),
        "cleanup_upon_failure" => Truth(method.cleanup_upon_failure()?),
        "need_update" => Truth(method.need_update(ud, cx)?),
        "supports_srcrev" => Truth(method.supports_srcrev()?),
        "download" => {
            method.download(ud, cx)?;
            Truth(true)
        }
        "build_mirror_data" => {
            method.build_mirror_data(ud, cx)?;
            Nothing
        }
        "unpack" => {
            method.unpack(ud, extra, cx)?;
            Nothing
        }
        "unpack_update" => {
            method.unpack_update(ud, extra, cx)?;
            Truth(true)
        }
        "clean" => {
            method.clean(ud, cx)?;
            Nothing
        }
        "try_premirror" => Truth(method.try_premirror(ud, cx)?),
        "checkstatus" => Truth(method.checkstatus(ud, cx)?),
        "revision_key" => Text(method.revision_key(ud, cx, extra)?),
        "ask_latest_revision" => Text(method.ask_latest_revision(ud, cx, extra)?),
        "sortable_revision" | "gitpkgv_revision" => {
            let (floating, revision) = method.formatted_revision(ud, cx, extra, name)?;
            Revision(floating, revision)
        }
        "latest_versionstring" => {
            let (version, revision) = method.latest_versionstring(ud, cx)?;
            Two(version, revision)
        }
        "done" => Truth(method.done(ud, cx)?),
        "implicit_urldata" => Urls(method.implicit_urldata(ud, cx)?),
        other => return Err(FetchError::Runtime(format!("no operation {other}"))),
    })
}

pub fn answer(answer: Answer, vm: &VirtualMachine) -> PyResult {
    let new = |s: &str| -> PyObjectRef { vm.ctx.new_str(s).into() };
    Ok(match answer {
        Answer::Nothing => vm.ctx.none(),
        Answer::Truth(b) => vm.ctx.new_bool(b).into(),
        Answer::Text(t) => new(&t),
        Answer::Pair(a, b) => convert::pair(&a, &b, vm),
        Answer::Revision(floating, revision) => {
            vm.ctx.new_tuple(vec![vm.ctx.new_bool(floating).into(), new(&revision)]).into()
        }
        Answer::Urls(list) => {
            let objects = list.iter().map(|ud| convert::object(ud, vm)).collect::<PyResult<Vec<_>>>()?;
            vm.ctx.new_list(objects).into()
        }
    })
}
