//! The signature generator of the metadata (`bb.parse.siggen`, a Python object) as the run queue
//! sees it, and the recipe facts that generator reads.

use crate::bridge::{call, module, number, text, texts};
use hz_cache::RecipeInfo;
use hz_data::RuntimeError;
use hz_diagnostics::Str;
use hz_exec::stamps::Watched;
use hz_graph::{GraphError, Result, TaskGraph, TaskId};
use hz_runqueue::{Leavings, Signatures};
use rustpython_vm::builtins::PyDictRef;
use rustpython_vm::{PyObjectRef, PyResult, VirtualMachine};

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
        PythonSignatures { caches: None, unihashes: None, leavings: false, stamps: StampNames::Generator, folders: Watched::default() }
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
    fn forget(&self, graph: &TaskGraph, task: TaskId, vm: &VirtualMachine) -> PyResult<()> {
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
}

impl Facts<'_> {
    fn table(&self, name: &str) -> PyResult<PyDictRef> {
        let table = self.object.get_attr(&self.vm.ctx.new_str(name), self.vm)?;
        table.downcast::<rustpython_vm::builtins::PyDict>().map_err(|_| self.vm.new_type_error("not a dict"))
    }

    fn put(&self, table: &str, key: &str, value: PyObjectRef) -> PyResult<()> {
        self.table(table)?.set_item(key, value, self.vm)
    }

    fn add(&self, r: &RecipeInfo) -> PyResult<()> {
        let vm = self.vm;
        let key = &*r.mcfn;
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
                dict.set_item(&**k, text(vm, v), vm)?;
            }
            Ok(dict.into())
        };
        let lists = |items: &indexmap::IndexMap<Str, Vec<Str>>, first: &[Str]| -> PyResult {
            let dict = vm.ctx.new_dict();
            for (k, v) in items {
                dict.set_item(&**k, texts(vm, first.iter().chain(v)), vm)?;
            }
            Ok(dict.into())
        };
        self.put("stamp_extrainfo", key, pairs(&r.stamp_extrainfo)?)?;
        self.put("file_checksums", key, pairs(&r.file_checksums)?)?;
        self.put("inherits", key, texts(vm, &r.inherits))?;
        self.put("deps", key, texts(vm, &r.depends))?;
        let version = [&r.pe, &r.pv, &r.pr].map(|t| text(vm, t));
        self.put("pkg_pepvpr", key, vm.ctx.new_tuple(version.to_vec()).into())?;
        self.put("pkg_dp", key, number(vm, r.default_preference.max(0) as usize))?;
        let provides = std::iter::once(&r.pn).chain(r.provides.iter().filter(|p| **p != r.pn));
        self.put("fn_provides", key, texts(vm, provides))?;
        self.put("rundeps", key, lists(&r.rdepends_pkg, &r.rdepends)?)?;
        self.put("runrecs", key, lists(&r.rrecommends_pkg, &r.rrecommends)?)?;
        let deps = vm.ctx.new_dict();
        deps.set_item("tasks", texts(vm, &r.task_deps.tasks), vm)?;
        deps.set_item("parents", lists(&r.task_deps.parents, &[])?, vm)?;
        for (flag, tasks) in &r.task_deps.flags {
            deps.set_item(&**flag, pairs(tasks)?, vm)?;
        }
        self.put("task_deps", key, deps.into())?;
        let hashes = self.table("basetaskhash")?;
        for (task, hash) in &r.basehashes {
            hashes.set_item(format!("{key}:{task}").as_str(), text(vm, hash), vm)?;
        }
        let by_pn = self.table("pkg_pn")?;
        match by_pn.get_item_opt(&*r.pn, vm)? {
            Some(list) => drop(vm.call_method(&list, "append", (text(vm, key),))?),
            None => by_pn.set_item(&*r.pn, texts(vm, [key]), vm)?,
        }
        Ok(())
    }
}

impl Signatures for PythonSignatures {
    fn setup(&mut self, graph: &TaskGraph) -> Result<()> {
        let caches = python(|vm| {
            let caches = vm.ctx.new_dict();
            let mut seen = rustc_hash::FxHashSet::default();
            for (mc, set) in &graph.plan.sets {
                let facts = Facts { vm, object: call(vm, "bb._cooker", "CacheData", vec![text(vm, mc)])? };
                for task in graph.tasks.iter().filter(|t| *graph.plan.sets[t.mc as usize].mc == **mc) {
                    if seen.insert((task.mc, task.recipe)) {
                        facts.add(&set.recipe(task.recipe).info)?;
                    }
                }
                caches.set_item(&**mc, facts.object, vm)?;
            }
            let caches: PyObjectRef = caches.into();
            Self::method(vm, "setup_datacache", vec![caches.clone()])?;
            let known = call(vm, "bb.siggen", "_leavings_known", vec![])?.is_true(vm)?;
            let names = call(vm, "bb.siggen", "_stamp_hash", vec![])?;
            let names: Vec<PyObjectRef> = vm.extract_elements_with(&names, Ok)?;
            let names = match &names[..] {
                [ours, hash] if ours.clone().is_true(vm)? => StampNames::Plain((!vm.is_none(hash)).then(|| hash.clone())),
                _ => StampNames::Generator,
            };
            Ok((Some(caches), call(vm, "bb.siggen", "_queue_memory", vec![])?.downcast().ok(), known, names))
        })?;
        (self.caches, self.unihashes, self.leavings, self.stamps) = caches;
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
            let args = vec![text(vm, &graph.task(task).tid), Self::dependencies(graph, task, vm), self.caches(vm)];
            Ok(Self::method(vm, "get_taskhash", args)?.str(vm)?.to_string().into())
        })
    }

    fn get_unihashes(&mut self, graph: &TaskGraph, tasks: &[TaskId]) -> Result<Vec<Str>> {
        python(|vm| {
            let list = texts(vm, tasks.iter().map(|t| &graph.task(*t).tid));
            let found = Self::method(vm, "get_unihashes", vec![list])?;
            let unihash = |t: &TaskId| {
                let tid = &*graph.task(*t).tid;
                let unihash = found.get_item(tid, vm)?;
                if let Some(unihashes) = &self.unihashes {
                    unihashes.set_item(tid, unihash.clone(), vm)?;
                }
                Ok(unihash.str(vm)?.to_string().into())
            };
            tasks.iter().map(unihash).collect()
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
            let base = text(vm, &graph.info(task).stamp);
            let args = vec![text(vm, graph.mcfn(task)), text(vm, &graph.task(task).name), base, vm.ctx.new_bool(true).into()];
            Self::method(vm, "dump_sigtask", args).map(drop)
        })
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
                let found = call(vm, "bb.siggen", "_leavings", args)?;
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
        python(|vm| Self::method(vm, "writeout_file_checksum_cache", vec![]).map(drop))
    }

    fn save_unitaskhashes(&mut self) -> Result<()> {
        python(|vm| Self::method(vm, "save_unitaskhashes", vec![]).map(drop))
    }
}
