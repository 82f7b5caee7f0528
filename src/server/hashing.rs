//! What the signature generator does once for every task of a graph, done natively: hashes, and the signature files of
//! `-S`. `bb._generator.native_hashing` and `native_dumps` say whether the generator's own code comes to no more than
//! that; its tables are filled as it would fill them. A task that anything is special about is left to Python.

use crate::bridge::{call, module, text};
use hz_diagnostics::Str;
use hz_exec::{checksums, signatures};
use hz_graph::{McId, RecipeId, TaskGraph, TaskId};
use hz_siggen::sigdata::{Prepared, RunData};
use hz_siggen::{Rules, SigData, TaskInputs};
use hz_python::Val;
use rustc_hash::{FxHashMap, FxHashSet};
use rustpython_vm::builtins::{PyDict, PyDictRef, PyStrRef, PyTuple};
use rustpython_vm::{AsObject, PyObjectRef, PyResult, VirtualMachine};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// The generator's tables, by task id.
struct Tables {
    basehash: PyDictRef,
    taskhash: PyDictRef,
    unihash: PyDictRef,
    runtaskdeps: PyDictRef,
    files: PyDictRef,
    taints: PyDictRef,
    pn: PyDictRef,
}

/// What a generator notes of each task besides.
struct Note {
    table: PyDictRef,
    /// The key is the task's id, not its recipe.
    by_task: bool,
    /// The table of recipe facts that has the value; without one it is the same for all.
    fact: Option<String>,
    value: PyObjectRef,
}

/// What `rundep_check` goes by besides recipes.
struct Told {
    tasks: FxHashSet<Str>,
    dependencies: FxHashSet<Str>,
}

impl Told {
    fn key(names: &FxHashSet<Str>, graph: &TaskGraph, task: TaskId) -> Asked {
        let task = graph.task(task);
        (task.mc, task.recipe, names.get(&task.name).cloned())
    }
}

type Asked = (McId, RecipeId, Option<Str>);

/// A task that was prepared here, and hashed as well once it has a hash.
struct Hashed {
    basehash: Str,
    /// Those that enter its hash.
    dependencies: Vec<TaskId>,
    files: Vec<(Str, Option<Str>)>,
    hash: Option<Str>,
}

/// The taint files of the folders looked at.
#[derive(Default)]
struct Taints {
    /// None: that cannot be told.
    folders: FxHashMap<String, Option<FxHashSet<String>>>,
}

impl Taints {
    /// May the task have one? Once a folder was looked at, what comes into it later does not count.
    fn may_have(&mut self, stamp: &str, task: &str) -> bool {
        let (folder, name) = stamp.rsplit_once('/').unwrap_or((".", stamp));
        if !self.folders.contains_key(folder) {
            self.folders.insert(folder.into(), taints_in(Path::new(folder)));
        }
        match &self.folders[folder] {
            Some(names) => !names.is_empty() && names.contains(&format!("{name}.{task}.taint")),
            None => true,
        }
    }
}

fn taints_in(folder: &Path) -> Option<FxHashSet<String>> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Some(FxHashSet::default()),
        Err(_) => return None,
    };
    let mut names = FxHashSet::default();
    for entry in entries {
        let name = entry.ok()?.file_name();
        let Some(name) = name.to_str() else { continue };
        if name.ends_with(".taint") {
            names.insert(name.to_owned());
        }
    }
    Some(names)
}

/// How files are written natively.
struct Dumps {
    ignored_vars: BTreeSet<Str>,
    ignored_tasks: Option<Str>,
    taints: Taints,
    /// Room for their texts.
    json: String,
}

/// The native side of a generator, for the tasks of one graph.
pub(crate) struct Hashing {
    /// Unihashes of earlier builds are known and others asked for; else they are the hashes.
    asks: bool,
    /// Is any task a set-scene task? The others have no unihash of their own then.
    scenes: bool,
    /// Do stamps name the unihash that is remembered, else the hash?
    stamps: bool,
    /// Unihashes that are remembered, once they were read.
    remembered: Option<PyDictRef>,
    told: Option<Told>,
    tables: Tables,
    notes: Vec<Note>,
    exclude: String,
    rules: Rules,
    caches: PyObjectRef,
    /// `rundep_check`, the function it passes everything on to if that is all it does, and what was said.
    check: PyObjectRef,
    passed_on: Option<(PyObjectRef, Val)>,
    answers: FxHashMap<Asked, FxHashMap<Asked, bool>>,
    taints: Taints,
    /// By task: its id as Python has it, `[mc:NAME:]pn:task`, the same as Python has it, what was made of it here and
    /// the unihash it has at present.
    tids: Vec<Option<PyStrRef>>,
    names: Vec<Str>,
    names_py: Vec<Option<PyStrRef>>,
    hashed: Vec<Option<Hashed>>,
    unihashes: Vec<Option<Str>>,
    /// Recipes of which the notes were made.
    noted: FxHashSet<(McId, RecipeId)>,
    /// All tasks have their first hash; hashes that change are the generator's.
    finished: bool,
    /// Made when the first file is written.
    dumps: Option<Option<Dumps>>,
}

fn elements<const N: usize>(vm: &VirtualMachine, value: &PyObjectRef) -> PyResult<[PyObjectRef; N]> {
    let items: Vec<PyObjectRef> = vm.extract_elements_with(value, Ok)?;
    items.try_into().map_err(|_| vm.new_value_error(format!("{N} values are needed")))
}

fn words<C: FromIterator<Str>>(vm: &VirtualMachine, value: &PyObjectRef) -> PyResult<C> {
    let words: Vec<String> = vm.extract_elements_with(value, |word| word.try_into_value(vm))?;
    Ok(words.into_iter().map(Str::from).collect())
}

fn dict(vm: &VirtualMachine, value: PyObjectRef) -> PyResult<PyDictRef> {
    value.downcast::<PyDict>().map_err(|_| vm.new_type_error("not a dict"))
}

fn note(vm: &VirtualMachine, value: &PyObjectRef) -> PyResult<Note> {
    let [table, by_task, fact, value] = elements(vm, value)?;
    let fact = if vm.is_none(&fact) { None } else { Some(fact.try_into_value(vm)?) };
    Ok(Note { table: dict(vm, table)?, by_task: by_task.is_true(vm)?, fact, value })
}

impl Hashing {
    /// None: the generator hashes in its own way.
    pub(crate) fn new(graph: &TaskGraph, caches: &PyObjectRef, vm: &VirtualMachine) -> PyResult<Option<Hashing>> {
        let found = call(vm, "bb._generator", "native_hashing", vec![])?;
        if vm.is_none(&found) {
            return Ok(None);
        }
        let [asks, told, tables, notes, exclude, passed_on, stamps] = elements(vm, &found)?;
        let generator = module(vm, "bb.parse")?.get_attr("siggen", vm)?;
        let told = if vm.is_none(&told) {
            None
        } else {
            let [tasks, dependencies] = elements(vm, &told)?;
            Some(Told { tasks: words(vm, &tasks)?, dependencies: words(vm, &dependencies)? })
        };
        let [basehash, taskhash, unihash, runtaskdeps, files, taints, pn] = elements(vm, &tables)?;
        let tables = Tables {
            basehash: dict(vm, basehash)?,
            taskhash: dict(vm, taskhash)?,
            unihash: dict(vm, unihash)?,
            runtaskdeps: dict(vm, runtaskdeps)?,
            files: dict(vm, files)?,
            taints: dict(vm, taints)?,
            pn: dict(vm, pn)?,
        };
        let notes: Vec<PyObjectRef> = vm.extract_elements_with(&notes, Ok)?;
        let name = |id: TaskId| {
            let (mc, pn, task) = (graph.mc(id), graph.pn(id), &graph.task(id).name);
            if mc.is_empty() { format!("{pn}:{task}") } else { format!("mc:{mc}:{pn}:{task}") }.into()
        };
        let count = graph.tasks.len();
        Ok(Some(Hashing {
            asks: asks.is_true(vm)?,
            scenes: graph.tasks.iter().any(|task| task.setscene),
            told,
            tables,
            notes: notes.iter().map(|value| note(vm, value)).collect::<PyResult<_>>()?,
            exclude: exclude.try_into_value(vm)?,
            rules: signatures::rules(),
            caches: caches.clone(),
            check: generator.get_attr("rundep_check", vm)?,
            passed_on: (!vm.is_none(&passed_on)).then(|| (passed_on, Val::from_object(generator, vm))),
            stamps: stamps.is_true(vm)?,
            remembered: None,
            answers: FxHashMap::default(),
            taints: Taints::default(),
            tids: vec![None; count],
            names: (0..count as TaskId).map(name).collect(),
            names_py: vec![None; count],
            hashed: (0..count).map(|_| None).collect(),
            unihashes: vec![None; count],
            noted: FxHashSet::default(),
            finished: false,
            dumps: None,
        }))
    }

    /// All tasks have their hashes.
    pub(crate) fn finish(&mut self) {
        self.finished = true;
        self.answers.clear();
        self.taints = Taints::default();
    }

    /// A task gets another hash or unihash.
    pub(crate) fn forget(&mut self, task: TaskId) {
        if self.finished {
            self.hashed[task as usize] = None;
            self.unihashes[task as usize] = None;
        }
    }

    fn tid(&mut self, graph: &TaskGraph, task: TaskId, vm: &VirtualMachine) -> PyStrRef {
        self.tids[task as usize].get_or_insert_with(|| vm.ctx.new_str(&*graph.task(task).tid)).clone()
    }

    fn name(&mut self, task: TaskId, vm: &VirtualMachine) -> PyStrRef {
        let name = &self.names[task as usize];
        self.names_py[task as usize].get_or_insert_with(|| vm.ctx.new_str(&**name)).clone()
    }

    fn ask(&self, graph: &TaskGraph, task: TaskId, dependency: TaskId, vm: &VirtualMachine) -> PyResult<bool> {
        let (own, other) = (graph.task(task), graph.task(dependency));
        let args = [graph.mcfn(task), graph.pn(task), &own.name, &other.tid, graph.pn(dependency)];
        if let Some((function, generator)) = &self.passed_on {
            let texts = args.into_iter().map(|text| Val::Str(text.clone()));
            let args = std::iter::once(generator.clone()).chain(texts).chain([Val::from_object(self.caches.clone(), vm)]);
            return hz_python::is_true(vm, function, args.collect());
        }
        let args = args.map(|t| text(vm, t));
        let mut args = args.to_vec();
        args.push(self.caches.clone());
        self.check.call(args, vm)?.is_true(vm)
    }

    /// The dependencies that enter a task's hash.
    fn dependencies(&mut self, graph: &TaskGraph, task: TaskId, vm: &VirtualMachine) -> PyResult<Vec<TaskId>> {
        let all = &graph.task(task).depends;
        let Some(told) = &self.told else {
            return all.iter().filter_map(|dep| self.ask(graph, task, *dep, vm).map(|keep| keep.then_some(*dep)).transpose()).collect();
        };
        let asked = Told::key(&told.tasks, graph, task);
        let mut answers = self.answers.remove(&asked).unwrap_or_default();
        let mut kept = Vec::with_capacity(all.len());
        for dep in all {
            let key = Told::key(&told.dependencies, graph, *dep);
            let keep = match answers.get(&key) {
                Some(keep) => *keep,
                None => {
                    let keep = self.ask(graph, task, *dep, vm)?;
                    answers.insert(key, keep);
                    keep
                }
            };
            if keep {
                kept.push(*dep);
            }
        }
        self.answers.insert(asked, answers);
        Ok(kept)
    }

    /// `prep_taskhash`; None: the generator has to be asked.
    pub(crate) fn prepare(&mut self, graph: &TaskGraph, task: TaskId, vm: &VirtualMachine) -> PyResult<Option<Vec<Str>>> {
        let (item, info) = (graph.task(task), graph.info(task));
        let always = info.task_deps.flags.get("nostamp").is_some_and(|tasks| tasks.contains_key(&item.name));
        let Some(basehash) = info.base_hashes().get(&item.name) else { return Ok(None) };
        let tid = self.tid(graph, task, vm);
        if self.finished || always || self.taints.may_have(&info.stamp, &item.name) || self.tables.taints.get_item_opt(tid.as_object(), vm)?.is_some() {
            return Ok(None);
        }
        let dependencies = self.dependencies(graph, task, vm)?;
        let files = match info.file_checksums.get(&item.name).filter(|files| !files.is_empty()) {
            Some(files) => match checksums::of_list(files, &info.pn, &self.exclude) {
                Ok(found) => found,
                Err(_) => return Ok(None),
            },
            None => Vec::new(),
        };

        self.tables.basehash.set_item(tid.as_object(), text(vm, basehash), vm)?;
        self.tables.pn.set_item(tid.as_object(), text(vm, &info.pn), vm)?;
        let pairs = dependencies.iter().map(|dep| {
            let pair = vec![self.name(*dep, vm).into(), self.tid(graph, *dep, vm).into()];
            vm.ctx.new_tuple(pair).into()
        });
        let pairs = vm.ctx.new_list(pairs.collect());
        self.tables.runtaskdeps.set_item(tid.as_object(), pairs.into(), vm)?;
        let shown = files.iter().map(|(path, sum)| vm.ctx.new_tuple(vec![text(vm, path), text(vm, sum)]).into());
        self.tables.files.set_item(tid.as_object(), vm.ctx.new_list(shown.collect()).into(), vm)?;

        let tids = dependencies.iter().map(|dep| graph.task(*dep).tid.clone()).collect();
        let files = files.into_iter().map(|(path, sum)| (path, Some(sum))).collect();
        self.hashed[task as usize] = Some(Hashed { basehash: basehash.clone(), dependencies, files, hash: None });
        Ok(Some(tids))
    }

    /// (name, id, unihash) of each dependency; None: not all are known.
    fn with_unihashes<'a>(&'a self, graph: &'a TaskGraph, hashed: &'a Hashed) -> Option<Vec<(&'a str, &'a str, &'a str)>> {
        let one = |dep: &TaskId| Some((&*self.names[*dep as usize], &*graph.task(*dep).tid, &**self.unihashes[*dep as usize].as_ref()?));
        hashed.dependencies.iter().map(one).collect()
    }

    /// `get_taskhash`; None: the generator has to be asked.
    pub(crate) fn hash(&mut self, graph: &TaskGraph, task: TaskId, vm: &VirtualMachine) -> PyResult<Option<Str>> {
        let hash = {
            let Some(hashed) = self.hashed[task as usize].as_ref().filter(|_| !self.finished) else { return Ok(None) };
            let Some(dependencies) = self.with_unihashes(graph, hashed) else { return Ok(None) };
            let files = hashed.files.iter().map(|(path, sum)| (&**path, sum.as_deref())).collect();
            hz_siggen::task_hash(&hashed.basehash, &TaskInputs { dependencies, files, taint: None }, &self.rules)
        };
        let tid = self.tid(graph, task, vm);
        self.tables.taskhash.set_item(tid.as_object(), text(vm, &hash), vm)?;
        self.take_notes(graph, task, &tid, vm)?;
        if let Some(hashed) = &mut self.hashed[task as usize] {
            hashed.hash = Some(hash.clone());
        }
        Ok(Some(hash))
    }

    fn take_notes(&mut self, graph: &TaskGraph, task: TaskId, tid: &PyStrRef, vm: &VirtualMachine) -> PyResult<()> {
        let first = self.noted.insert((graph.task(task).mc, graph.task(task).recipe));
        for note in self.notes.iter().filter(|note| first || note.by_task) {
            let mcfn = text(vm, graph.mcfn(task));
            let value = match &note.fact {
                Some(table) => self.caches.get_item(&**graph.mc(task), vm)?.get_attr(&vm.ctx.new_str(&**table), vm)?.get_item(&*mcfn, vm)?,
                None => note.value.clone(),
            };
            note.table.set_item(if note.by_task { tid.as_object() } else { &*mcfn }, value, vm)?;
        }
        Ok(())
    }

    /// What earlier builds say of a task's unihash.
    fn remembered(&self, graph: &TaskGraph, task: TaskId, hash: &str, vm: &VirtualMachine) -> PyResult<Option<PyStrRef>> {
        let Some(known) = &self.remembered else { return Ok(None) };
        let key = format!("{}:{}:{}", graph.mc(task), graph.pn(task), graph.task(task).name);
        let Some(pair) = known.get_item_opt(&*key, vm)? else { return Ok(None) };
        let Some([old, unihash]) = pair.downcast_ref::<PyTuple>().map(|pair| pair.as_slice()) else { return Ok(None) };
        let of = |value: &PyObjectRef| value.clone().downcast::<rustpython_vm::builtins::PyStr>().ok();
        Ok(of(old).filter(|old| old.as_bytes() == hash.as_bytes()).and_then(|_| of(unihash)).filter(|unihash| !unihash.is_empty()))
    }

    /// The unihash of a task that was hashed here, if nobody has to be asked for it.
    fn unihash(&mut self, graph: &TaskGraph, task: TaskId, vm: &VirtualMachine) -> PyResult<Option<Str>> {
        let Some(hash) = self.hashed[task as usize].as_ref().and_then(|hashed| hashed.hash.clone()) else { return Ok(None) };
        if !self.asks {
            return Ok(Some(hash));
        }
        let tid = self.tid(graph, task, vm);
        if self.scenes && !graph.task(task).setscene {
            self.tables.unihash.set_item(tid.as_object(), vm.ctx.none(), vm)?;
            return Ok(Some(hash));
        }
        let Some(unihash) = self.remembered(graph, task, &hash, vm)? else { return Ok(None) };
        let found = hz_python::convert::text_of(&unihash);
        self.tables.unihash.set_item(tid.as_object(), unihash.into(), vm)?;
        Ok(Some(found))
    }

    /// `get_unihashes`: those that nobody has to be asked for; None for the others.
    pub(crate) fn unihashes(&mut self, graph: &TaskGraph, tasks: &[TaskId], vm: &VirtualMachine) -> PyResult<Vec<Option<Str>>> {
        if self.finished {
            return Ok(vec![None; tasks.len()]);
        }
        let generator = module(vm, "bb.parse")?.get_attr("siggen", vm)?;
        if self.asks {
            self.remembered = Some(dict(vm, generator.get_attr("unitaskhashes", vm)?)?);
        }
        tasks.iter().map(|task| self.unihash(graph, *task, vm)).collect()
    }

    /// Was the task hashed here? Then nothing is remembered of it that was not found.
    pub(crate) fn knows(&self, task: TaskId) -> bool {
        !self.finished && self.hashed[task as usize].as_ref().is_some_and(|hashed| hashed.hash.is_some())
    }

    /// `get_stampfile_hash`; None: the generator has to be asked.
    pub(crate) fn stamp_hash(&self, graph: &TaskGraph, task: TaskId, vm: &VirtualMachine) -> PyResult<Option<String>> {
        let hash = self.hashed[task as usize].as_ref().filter(|_| self.stamps).and_then(|hashed| hashed.hash.as_ref());
        let (Some(hash), true) = (hash, self.remembered.is_some()) else { return Ok(None) };
        Ok(Some(self.remembered(graph, task, hash, vm)?.map_or_else(|| hash.to_string(), |unihash| unihash.to_string())))
    }

    /// The unihash a task has.
    pub(crate) fn set_unihash(&mut self, task: TaskId, unihash: &Str) {
        self.unihashes[task as usize] = Some(unihash.clone());
    }

    fn dumps(&mut self, vm: &VirtualMachine) -> PyResult<&mut Option<Dumps>> {
        if self.dumps.is_none() {
            let found = call(vm, "bb._generator", "native_dumps", vec![])?;
            self.dumps = Some(if vm.is_none(&found) {
                None
            } else {
                let [ignored, tasks] = elements(vm, &found)?;
                let ignored_tasks = if vm.is_none(&tasks) { None } else { Some(tasks.try_into_value::<String>(vm)?.into()) };
                Some(Dumps { ignored_vars: words(vm, &ignored)?, ignored_tasks, taints: Taints::default(), json: String::new() })
            });
        }
        Ok(self.dumps.get_or_insert_default())
    }

    /// `dump_sigtask` with the task's hash; false: the generator has to do it, or to say what is wrong.
    pub(crate) fn dump(&mut self, graph: &TaskGraph, task: TaskId, vm: &VirtualMachine) -> PyResult<bool> {
        let Some(file) = self.file(graph, task, vm)? else { return Ok(false) };
        let Some(Some(dumps)) = &mut self.dumps else { return Ok(false) };
        Ok(file.compose(&mut dumps.json) && hz_siggen::sigdata::write_file(&file.path, &dumps.json).is_ok())
    }

    /// The file that this will write, if there is none yet.
    pub(crate) fn prepare_dump(&mut self, graph: &TaskGraph, task: TaskId, vm: &VirtualMachine) -> PyResult<Option<Prepared>> {
        let Some(file) = self.file(graph, task, vm)? else { return Ok(None) };
        let Some(Some(dumps)) = &mut self.dumps else { return Ok(None) };
        if file.path.symlink_metadata().is_ok() || !file.compose(&mut dumps.json) {
            return Ok(None);
        }
        Ok(Prepared::new(&file.path, &dumps.json).ok())
    }

    /// What is to be in a task's file. None: the generator has to say it.
    fn file<'a>(&mut self, graph: &'a TaskGraph, task: TaskId, vm: &VirtualMachine) -> PyResult<Option<File<'a>>> {
        let (item, info) = (graph.task(task), graph.info(task));
        let at = task as usize;
        let head = {
            let Some(dumps) = self.dumps(vm)? else { return Ok(None) };
            if dumps.taints.may_have(&info.stamp, &item.name) {
                return Ok(None);
            }
            SigData {
                task: Some(item.name.clone()),
                basehash_ignore_vars: dumps.ignored_vars.clone(),
                taskhash_ignore_tasks: dumps.ignored_tasks.clone(),
                ..SigData::default()
            }
        };
        let (Some(hashed), Some(unihash)) = (&self.hashed[at], &self.unihashes[at]) else { return Ok(None) };
        let (Some(hash), Some(dependencies)) = (&hashed.hash, self.with_unihashes(graph, hashed)) else { return Ok(None) };
        let run = RunData::new(dependencies, &hashed.files, hash.clone(), unihash.clone(), &self.rules);
        Ok(Some(File {
            mcfn: &info.mcfn,
            path: format!("{}.{}.sigdata.{unihash}", info.stamp, item.name).into(),
            head: SigData { basehash: hashed.basehash.clone(), run: Some(run), ..head },
            sure: graph.plan.sets[item.mc as usize].recipe(item.recipe).info.has_new_base_hashes(),
        }))
    }
}

/// A signature file.
struct File<'a> {
    mcfn: &'a str,
    path: PathBuf,
    head: SigData,
    /// Was the base hash made of the content there will be?
    sure: bool,
}

impl File<'_> {
    /// Its text, if that gives the hashes it shows.
    fn compose(&self, json: &mut String) -> bool {
        let head = &self.head;
        let (Some(share), Some(task)) = (signatures::share(self.mcfn), &head.task) else { return false };
        json.clear();
        let right = if self.sure {
            share.text_into(task, head, json).is_ok()
        } else {
            share.file_into(task, head, json).is_ok_and(|basehash| basehash == head.basehash)
        };
        right && hz_siggen::calc_taskhash(head) == head.run.as_ref().map(|run| run.taskhash.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn taints_are_those_of_the_folder() {
        let dir = tempfile::tempdir().unwrap();
        let stamp = dir.path().join("1.0-r0").to_str().unwrap().to_owned();
        std::fs::write(format!("{stamp}.do_a.taint"), "").unwrap();
        let mut taints = Taints::default();
        assert!(taints.may_have(&stamp, "do_a") && !taints.may_have(&stamp, "do_b"));
        assert!(!taints.may_have(&format!("{stamp}/nowhere/1.0"), "do_a"));
        std::fs::write(dir.path().join("file"), "").unwrap();
        assert!(taints.may_have(dir.path().join("file/1.0").to_str().unwrap(), "do_a"), "who knows");
    }
}
