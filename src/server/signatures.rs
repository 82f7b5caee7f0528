//! The signature generator of the metadata (`bb.parse.siggen`, a Python object) as the run queue
//! sees it, and the recipe facts that generator reads.

use crate::bridge::{call, module, number, text, texts};
use crate::hashing::Hashing;
use crate::session::Uncollected;
use hz_cache::Recipe;
use hz_data::RuntimeError;
use hz_diagnostics::Str;
use hz_exec::stamps::Watched;
use hz_graph::{GraphError, Result, TaskGraph, TaskId};
use hz_runqueue::{Leavings, PreparedDump, Signatures};
use rustc_hash::FxHashMap;
use rustpython_vm::builtins::PyDictRef;
use rustpython_vm::{AsObject, PyObject, PyObjectRef, PyResult, VirtualMachine};
use std::cell::RefCell;

/// A failed call into Python, told, as the run queue's error.
pub fn graph_error(error: RuntimeError) -> GraphError {
    crate::bridge::tell(&error);
    GraphError::Handled(error.to_string())
}

fn python<R>(f: impl FnOnce(&VirtualMachine) -> PyResult<R>) -> Result<R> {
    crate::bridge::python(f).map_err(graph_error)
}

/// The generator and its datacaches.
pub struct PythonSignatures {
    caches: Option<PyObjectRef>,
    /// Unihashes that hold, by task id; the generator looks there first.
    unihashes: Option<PyDictRef>,
    /// Can it be told before a task runs what it leaves?
    leavings: bool,
    stamps: StampNames,
    folders: Watched,
    /// What is done natively for all tasks, if the generator's classes let it.
    hashing: Option<Hashing>,
    /// While tasks are hashed: what that makes stays.
    uncollected: Option<Uncollected>,
}

/// Who gives stamps their names.
enum StampNames {
    /// The generator.
    Generator,
    /// We, as `bb.siggen.SignatureGeneratorBasicHash` would: the names of many tasks are asked for while others
    /// run, and whatever Python touches then is copied for their processes. The object gives the hash; without one
    /// it is the one the generator knows.
    Plain(Option<PyObjectRef>),
}

impl PythonSignatures {
    pub fn new() -> PythonSignatures {
        PythonSignatures {
            caches: None,
            unihashes: None,
            leavings: false,
            stamps: StampNames::Generator,
            folders: Watched::default(),
            hashing: None,
            uncollected: None,
        }
    }

    fn siggen(vm: &VirtualMachine) -> PyResult {
        module(vm, "bb.parse")?.get_attr("siggen", vm)
    }

    fn method(vm: &VirtualMachine, name: &str, args: Vec<PyObjectRef>) -> PyResult {
        Self::siggen(vm)?.get_attr(&vm.ctx.new_str(name), vm)?.call(args, vm)
    }

    fn caches(&self, vm: &VirtualMachine) -> PyObjectRef {
        self.caches.clone().unwrap_or_else(|| vm.ctx.none())
    }

    /// The task's unihash has to be asked for anew.
    fn forget(&mut self, graph: &TaskGraph, task: TaskId, vm: &VirtualMachine) -> PyResult<()> {
        if let Some(hashing) = &mut self.hashing {
            hashing.forget(task);
        }
        match &self.unihashes {
            Some(unihashes) => unihashes.pop_item(&*graph.task(task).tid, vm).map(drop),
            None => Ok(()),
        }
    }

    fn dependencies(graph: &TaskGraph, task: TaskId, vm: &VirtualMachine) -> PyObjectRef {
        texts(vm, graph.task(task).depends.iter().map(|d| &graph.task(*d).tid))
    }

    /// Name of a task's stamp, or what those of any hash match; empty: the recipe has none. None: the generator
    /// has to be asked.
    fn plain_stamp(&self, graph: &TaskGraph, task: TaskId, setscene: bool, clean: bool, extrainfo: bool) -> Result<Option<String>> {
        let StampNames::Plain(hash) = &self.stamps else { return Ok(None) };
        let info = graph.info(task);
        if info.stamp.is_empty() {
            return Ok(Some(String::new()));
        }
        let mut name = graph.task(task).name.to_string();
        if setscene {
            name.push_str("_setscene");
        }
        let plain = name.strip_suffix("_setscene").unwrap_or(&name);
        let hash = if clean {
            Some("*".to_string())
        } else {
            let tid = format!("{}:{plain}", graph.mcfn(task));
            python(|vm| {
                if let Some(hashing) = &self.hashing
                    && let Some(hash) = hashing.stamp_hash(graph, task, vm)?
                {
                    return Ok(Some(hash));
                }
                if let Some(hash) = hash {
                    return Ok(Some(hash.call((vm.ctx.new_str(tid),), vm)?.str(vm)?.to_string()));
                }
                let generator = Self::siggen(vm)?;
                for table in ["taskhash", "basehash"] {
                    let table = generator.get_attr(table, vm)?;
                    let Some(table) = table.downcast_ref::<rustpython_vm::builtins::PyDict>() else { return Ok(None) };
                    match table.get_item_opt(&*tid, vm)? {
                        Some(hash) if !vm.is_none(&hash) => return Ok(Some(hash.str(vm)?.to_string())),
                        _ => {}
                    }
                }
                Ok(None)
            })?
        };
        let extra = if extrainfo { info.stamp_extrainfo.get(plain).map_or("", |extra| extra) } else { "" };
        Ok(hash.map(|hash| format!("{}.{name}.{hash}.{extra}", info.stamp).trim_end_matches('.').to_string()))
    }

    /// What stamps of a task match whatever their hash, those of its set-scene variant included
    /// (`bb.build._get_cleanmask`).
    fn plain_masks(&self, graph: &TaskGraph, task: TaskId, setscene: bool) -> Result<Option<Vec<String>>> {
        let Some(mask) = self.plain_stamp(graph, task, setscene, true, true)? else { return Ok(None) };
        if mask.is_empty() {
            return Ok(Some(Vec::new()));
        }
        let plain = graph.task(task).name.replace("_setscene", "");
        let variant = mask.replace(&plain, &format!("{plain}_setscene"));
        Ok(Some(vec![mask, variant]))
    }

    fn stamp_call(&self, graph: &TaskGraph, task: TaskId, setscene: bool, name: &str, extra: Option<bool>) -> Result<String> {
        if let Some(found) = self.plain_stamp(graph, task, setscene, extra.is_none(), extra.unwrap_or(true))? {
            return Ok(found);
        }
        python(|vm| {
            let mut taskname = graph.task(task).name.to_string();
            if setscene {
                taskname.push_str("_setscene");
            }
            let mut args = vec![text(vm, &taskname), text(vm, graph.mcfn(task))];
            if let Some(extra) = extra {
                args.push(vm.ctx.new_bool(extra).into());
            }
            let found = Self::method(vm, name, args)?;
            // None, or an empty list: the recipe has no stamps.
            if found.clone().is_true(vm)? { Ok(found.str(vm)?.to_string()) } else { Ok(String::new()) }
        })
    }
}

/// The dictionaries of `bb.cache.CacheData` that generators read, for the recipes of a build.
struct Facts<'a> {
    vm: &'a VirtualMachine,
    object: PyObjectRef,
    /// Texts that many recipes have: names of tasks, class files.
    shared: &'a RefCell<FxHashMap<Str, PyObjectRef>>,
}

impl Facts<'_> {
    fn table(&self, name: &str) -> PyResult<PyDictRef> {
        let table = self.object.get_attr(&self.vm.ctx.new_str(name), self.vm)?;
        table.downcast::<rustpython_vm::builtins::PyDict>().map_err(|_| self.vm.new_type_error("not a dict"))
    }

    fn shared(&self, text: &Str) -> PyObjectRef {
        self.shared.borrow_mut().entry(text.clone()).or_insert_with(|| self.vm.ctx.new_str(&**text).into()).clone()
    }

    fn all_shared<'s>(&self, texts: impl IntoIterator<Item = &'s Str>) -> PyObjectRef {
        self.vm.ctx.new_list(texts.into_iter().map(|text| self.shared(text)).collect()).into()
    }

    fn put(&self, table: &str, key: &PyObject, value: PyObjectRef) -> PyResult<()> {
        self.table(table)?.set_item(key, value, self.vm)
    }

    fn add(&self, r: &Recipe) -> PyResult<()> {
        let vm = self.vm;
        let own = text(vm, &r.mcfn);
        let key = &*own;
        for (table, value) in [
            ("pkg_fn", &r.pn),
            ("stamp", &r.stamp),
            ("stampclean", &r.stampclean),
            ("hashfn", &r.hashfilename),
            ("fakerootenv", &r.fakerootenv),
            ("fakerootnoenv", &r.fakerootnoenv),
            ("fakerootdirs", &r.fakerootdirs),
            ("fakerootlogs", &r.fakerootlogs),
        ] {
            self.put(table, key, text(vm, value))?;
        }
        let pairs = |items: &indexmap::IndexMap<Str, Str>| -> PyResult {
            let dict = vm.ctx.new_dict();
            for (k, v) in items {
                dict.set_item(&*self.shared(k), text(vm, v), vm)?;
            }
            Ok(dict.into())
        };
        let lists = |items: &indexmap::IndexMap<Str, Vec<Str>>, first: &[Str]| -> PyResult {
            let dict = vm.ctx.new_dict();
            for (k, v) in items {
                dict.set_item(&*self.shared(k), self.all_shared(first.iter().chain(v)), vm)?;
            }
            Ok(dict.into())
        };
        self.put("stamp_extrainfo", key, pairs(&r.stamp_extrainfo)?)?;
        self.put("file_checksums", key, pairs(&r.file_checksums)?)?;
        self.put("inherits", key, self.all_shared(&r.inherits))?;
        self.put("deps", key, self.all_shared(&r.depends))?;
        let version = [&r.pe, &r.pv, &r.pr].map(|t| text(vm, t));
        self.put("pkg_pepvpr", key, vm.ctx.new_tuple(version.to_vec()).into())?;
        self.put("pkg_dp", key, number(vm, r.default_preference.max(0) as usize))?;
        let provides = std::iter::once(&r.pn).chain(r.provides.iter().filter(|p| **p != r.pn));
        self.put("fn_provides", key, texts(vm, provides))?;
        self.put("rundeps", key, lists(&r.rdepends_pkg, &r.rdepends)?)?;
        self.put("runrecs", key, lists(&r.rrecommends_pkg, &r.rrecommends)?)?;
        let deps = vm.ctx.new_dict();
        deps.set_item("tasks", self.all_shared(&r.task_deps.tasks), vm)?;
        deps.set_item("parents", lists(&r.task_deps.parents, &[])?, vm)?;
        for (flag, tasks) in &r.task_deps.flags {
            deps.set_item(&*self.shared(flag), pairs(tasks)?, vm)?;
        }
        self.put("task_deps", key, deps.into())?;
        let hashes = self.table("basetaskhash")?;
        for (task, hash) in r.base_hashes() {
            hashes.set_item(format!("{}:{task}", r.mcfn).as_str(), text(vm, hash), vm)?;
        }
        let by_pn = self.table("pkg_pn")?;
        match by_pn.get_item_opt(&*r.pn, vm)? {
            Some(list) => drop(vm.call_method(&list, "append", (own,))?),
            None => by_pn.set_item(&*r.pn, vm.ctx.new_list(vec![own]).into(), vm)?,
        }
        Ok(())
    }
}

impl Signatures for PythonSignatures {
    fn setup(&mut self, graph: &TaskGraph) -> Result<()> {
        self.uncollected = Uncollected::begin().ok();
        crate::basehashes::make_ahead(graph);
        let found = python(|vm| {
            let caches = vm.ctx.new_dict();
            let shared = RefCell::default();
            let mut seen = rustc_hash::FxHashSet::default();
            for (mc, set) in &graph.plan.sets {
                let facts = Facts { vm, object: call(vm, "bb._cooker", "CacheData", vec![text(vm, mc)])?, shared: &shared };
                for task in graph.tasks.iter().filter(|t| *graph.plan.sets[t.mc as usize].mc == **mc) {
                    if seen.insert((task.mc, task.recipe)) {
                        facts.add(&set.recipe(task.recipe).info)?;
                    }
                }
                caches.set_item(&**mc, facts.object, vm)?;
            }
            let caches: PyObjectRef = caches.into();
            Self::method(vm, "setup_datacache", vec![caches.clone()])?;
            let known = call(vm, "bb._generator", "leavings_known", vec![])?.is_true(vm)?;
            let names = call(vm, "bb._generator", "stamp_hash", vec![])?;
            let names: Vec<PyObjectRef> = vm.extract_elements_with(&names, Ok)?;
            let names = match &names[..] {
                [ours, hash] if ours.clone().is_true(vm)? => StampNames::Plain((!vm.is_none(hash)).then(|| hash.clone())),
                _ => StampNames::Generator,
            };
            let memory = call(vm, "bb._generator", "queue_memory", vec![])?.downcast().ok();
            let hashing = Hashing::new(graph, &caches, vm)?;
            Ok((Some(caches), memory, known, names, hashing))
        })?;
        (self.caches, self.unihashes, self.leavings, self.stamps, self.hashing) = found;
        Ok(())
    }

    fn invalidate_task(&mut self, _graph: &TaskGraph, mcfn: &str, task: &str) -> Result<()> {
        python(|vm| Self::method(vm, "invalidate_task", vec![text(vm, task), text(vm, mcfn)]).map(drop))
    }

    fn tasks_resolved(&mut self, _graph: &TaskGraph, mc: &str, items: &[(Str, Str, Str)]) -> Result<()> {
        python(|vm| {
            let siggen = Self::siggen(vm)?;
            let Some(method) = vm.get_attribute_opt(&siggen, vm.ctx.intern_str("tasks_resolved"))? else { return Ok(()) };
            let (virtmap, virtpnmap) = (vm.ctx.new_dict(), vm.ctx.new_dict());
            for (item, mcfn, pn) in items {
                virtmap.set_item(&**item, text(vm, mcfn), vm)?;
                virtpnmap.set_item(&**item, text(vm, pn), vm)?;
            }
            let caches = self.caches(vm).get_item(mc, vm)?;
            method.call(vec![virtmap.into(), virtpnmap.into(), caches], vm).map(drop)
        })
    }

    fn set_setscene_tasks(&mut self, graph: &TaskGraph, tasks: &[TaskId]) -> Result<()> {
        python(|vm| {
            let list = texts(vm, tasks.iter().map(|t| &graph.task(*t).tid));
            Self::method(vm, "set_setscene_tasks", vec![list]).map(drop)
        })
    }

    fn prep_taskhash(&mut self, graph: &TaskGraph, task: TaskId) -> Result<Vec<Str>> {
        python(|vm| {
            if let Some(hashing) = &mut self.hashing
                && let Some(found) = hashing.prepare(graph, task, vm)?
            {
                return Ok(found);
            }
            let args = vec![text(vm, &graph.task(task).tid), Self::dependencies(graph, task, vm), self.caches(vm)];
            let found = Self::method(vm, "prep_taskhash", args)?;
            if vm.is_none(&found) {
                return Ok(Vec::new());
            }
            let items: Vec<PyObjectRef> = vm.extract_elements_with(&found, Ok)?;
            items.into_iter().map(|item| Ok(item.str(vm)?.to_string().into())).collect()
        })
    }

    fn get_taskhash(&mut self, graph: &TaskGraph, task: TaskId) -> Result<Str> {
        python(|vm| {
            self.forget(graph, task, vm)?;
            if let Some(hashing) = &mut self.hashing
                && let Some(hash) = hashing.hash(graph, task, vm)?
            {
                return Ok(hash);
            }
            let args = vec![text(vm, &graph.task(task).tid), Self::dependencies(graph, task, vm), self.caches(vm)];
            Ok(Self::method(vm, "get_taskhash", args)?.str(vm)?.to_string().into())
        })
    }

    fn get_unihashes(&mut self, graph: &TaskGraph, tasks: &[TaskId]) -> Result<Vec<Str>> {
        python(|vm| {
            let known = match &mut self.hashing {
                Some(hashing) => hashing.unihashes(graph, tasks, vm)?,
                None => vec![None; tasks.len()],
            };
            let asked = tasks.iter().zip(&known).filter(|(_, known)| known.is_none()).map(|(task, _)| *task);
            let (missing, others): (Vec<TaskId>, Vec<TaskId>) = asked.partition(|task| self.hashing.as_ref().is_some_and(|hashing| hashing.knows(*task)));
            let found = vm.ctx.new_dict();
            for (asked, method) in [(missing, "_ask_unihashes"), (others, "get_unihashes")].into_iter().filter(|(asked, _)| !asked.is_empty()) {
                let answers = Self::method(vm, method, vec![texts(vm, asked.iter().map(|t| &graph.task(*t).tid))])?;
                vm.call_method(found.as_object(), "update", (answers,))?;
            }
            let found: PyObjectRef = found.into();
            let unihash = |(task, known): (&TaskId, Option<Str>)| {
                let tid = &*graph.task(*task).tid;
                let (unihash, shown) = match known {
                    Some(known) => (known.clone(), text(vm, &known)),
                    None => {
                        let found = found.get_item(tid, vm)?;
                        (found.str(vm)?.to_string().into(), found)
                    }
                };
                if let Some(unihashes) = &self.unihashes {
                    unihashes.set_item(tid, shown, vm)?;
                }
                if let Some(hashing) = &mut self.hashing {
                    hashing.set_unihash(*task, &unihash);
                }
                Ok(unihash)
            };
            tasks.iter().zip(known).map(unihash).collect()
        })
    }

    fn set_unihash(&mut self, graph: &TaskGraph, task: TaskId, unihash: &str) -> Result<()> {
        python(|vm| {
            self.forget(graph, task, vm)?;
            Self::method(vm, "set_unihash", vec![text(vm, &graph.task(task).tid), text(vm, unihash)]).map(drop)
        })
    }

    fn report_unihash_equiv(&mut self, graph: &TaskGraph, task: TaskId, taskhash: &str, wanted: &str, current: &str) -> Result<()> {
        python(|vm| {
            let args = [&*graph.task(task).tid, taskhash, wanted, current].map(|t| text(vm, t));
            let mut args = args.to_vec();
            args.push(self.caches(vm));
            Self::method(vm, "report_unihash_equiv", args).map(drop)
        })
    }

    fn stampfile(&self, graph: &TaskGraph, task: TaskId, setscene: bool, extrainfo: bool) -> Result<String> {
        self.stamp_call(graph, task, setscene, "stampfile_mcfn", Some(extrainfo))
    }

    fn stampcleanmask(&self, graph: &TaskGraph, task: TaskId, setscene: bool) -> Result<String> {
        self.stamp_call(graph, task, setscene, "stampcleanmask_mcfn", None)
    }

    fn dump_sigtask(&mut self, graph: &TaskGraph, task: TaskId) -> Result<()> {
        python(|vm| {
            if let Some(hashing) = &mut self.hashing
                && hashing.dump(graph, task, vm)?
            {
                return Ok(());
            }
            let base = text(vm, &graph.info(task).stamp);
            let args = vec![text(vm, graph.mcfn(task)), text(vm, &graph.task(task).name), base, vm.ctx.new_bool(true).into()];
            Self::method(vm, "dump_sigtask", args).map(drop)
        })
    }

    fn prepare_dump(&mut self, graph: &TaskGraph, task: TaskId) -> Option<PreparedDump> {
        let hashing = self.hashing.as_mut()?;
        // What goes wrong is told when the file is written.
        let file = crate::bridge::python(|vm| hashing.prepare_dump(graph, task, vm)).ok()??;
        Some(PreparedDump { size: file.size(), write: Box::new(move || file.write().is_ok()) })
    }

    fn dump_sigs(&mut self, _graph: &TaskGraph, options: &[String]) -> Result<()> {
        python(|vm| Self::method(vm, "dump_sigs", vec![self.caches(vm), texts(vm, options)]).map(drop))
    }

    fn leavings(&mut self, graph: &TaskGraph, task: TaskId, setscene: bool) -> Result<Option<Leavings>> {
        if !self.leavings {
            return Ok(None);
        }
        let name = &graph.task(task).name;
        let stamp = self.plain_stamp(graph, task, setscene, false, true)?;
        let named = stamp.zip(self.plain_masks(graph, task, setscene)?);
        let (found, mut kept) = hz_exec::signatures::keeping(|| {
            python(|vm| {
                let taskname = if setscene { format!("{name}_setscene") } else { name.to_string() };
                let args = [&**graph.mcfn(task), &taskname, &graph.info(task).stamp].map(|t| text(vm, t));
                let mut args = args.to_vec();
                // What a set-scene task restores has its data already.
                args.push(vm.ctx.new_bool(!setscene).into());
                args.push(vm.ctx.new_bool(named.is_some()).into());
                let found = call(vm, "bb._generator", "leavings", args)?;
                if vm.is_none(&found) {
                    return Ok(None);
                }
                let found: Vec<PyObjectRef> = vm.extract_elements_with(&found, Ok)?;
                let [stamp, masks] = &found[..] else { return Err(vm.new_value_error("two values are needed")) };
                let masks: Vec<PyObjectRef> = vm.extract_elements_with(masks, Ok)?;
                let masks = masks.iter().map(|mask| Ok(mask.str(vm)?.to_string())).collect::<PyResult<_>>()?;
                Ok(Some((stamp.str(vm)?.to_string(), masks)))
            })
        });
        Ok(found?.map(|asked| {
            let (stamp, masks) = named.unwrap_or(asked);
            let old = self.folders.matching(&masks);
            Leavings { stamp, masks, old, signature: kept.pop() }
        }))
    }

    fn leaves_still(&mut self, leavings: &Leavings) -> bool {
        leavings.old.is_none() || leavings.old == self.folders.matching(&leavings.masks)
    }

    fn writeout_file_checksum_cache(&mut self) -> Result<()> {
        if let Some(hashing) = &mut self.hashing {
            hashing.finish();
        }
        self.uncollected = None;
        python(|vm| Self::method(vm, "writeout_file_checksum_cache", vec![]).map(drop))
    }

    fn save_unitaskhashes(&mut self) -> Result<()> {
        python(|vm| Self::method(vm, "save_unitaskhashes", vec![]).map(drop))
    }
}
