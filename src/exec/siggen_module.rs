//! `_hz_siggen`: the native half of `bb.siggen`, over `hz_siggen`.

use rustpython_vm::Context;
use rustpython_vm::builtins::PyModuleDef;

/// The module's definition, for the VM's start-up.
pub fn module_def(ctx: &Context) -> &'static PyModuleDef {
    _hz_siggen::module_def(ctx)
}

#[rustpython_vm::pymodule]
mod _hz_siggen {
    use crate::signatures;
    use hz_data::Value;
    use hz_diagnostics::Str;
    use hz_python::convert::{text_of, to_python, to_value};
    use hz_python::errors::from_data;
    use hz_python::store::unwrap;
    use hz_siggen::sigdata::RunData;
    use hz_siggen::{Colors, RecipeSignatures, Rules, SigData, TaskInputs, VarVal};
    use indexmap::IndexMap;
    use rustpython_vm::builtins::{PyBaseExceptionRef, PyDictRef, PyStr, PyStrRef, PyTuple};
    use rustpython_vm::convert::ToPyException;
    use rustpython_vm::function::OptionalArg;
    use rustpython_vm::{AsObject, Py, PyObject, PyObjectRef, PyPayload, PyResult, VirtualMachine, pyclass};
    use sha2::Digest;
    use std::cell::RefCell;
    use std::collections::BTreeSet;
    use std::path::Path;

    fn text(value: &PyObject, vm: &VirtualMachine) -> PyResult<Str> {
        match value.downcast_ref::<PyStr>() {
            Some(text) => Ok(text_of(text)),
            None => Err(vm.new_type_error(format!("text is needed, not '{}'", value.class().slot_name()))),
        }
    }

    fn items(value: &PyObject, vm: &VirtualMachine) -> PyResult<Vec<PyObjectRef>> {
        value.try_to_value(vm)
    }

    fn texts(value: &PyObject, vm: &VirtualMachine) -> PyResult<Vec<Str>> {
        items(value, vm)?.iter().map(|item| text(item, vm)).collect()
    }

    fn optional_text(value: &PyObject, vm: &VirtualMachine) -> PyResult<Option<Str>> {
        if vm.is_none(value) { Ok(None) } else { text(value, vm).map(Some) }
    }

    fn set(items: &[Str]) -> Value {
        Value::Set(std::sync::Arc::new(items.iter().cloned().collect()))
    }
    fn map<'a, T: 'a>(items: impl IntoIterator<Item = (&'a Str, T)>, value: impl Fn(T) -> Value) -> Value {
        Value::Map(std::sync::Arc::new(items.into_iter().map(|(k, v)| (k.clone(), value(v))).collect()))
    }
    fn texts_map(items: &IndexMap<Str, Str>) -> Value {
        map(items, |v| Value::Str(v.clone()))
    }
    #[pyfunction]
    fn sha256(value: PyStrRef) -> String {
        hex::encode(sha2::Sha256::digest(value.to_string_lossy().as_bytes()))
    }

    // -- Names of tasks

    /// (configuration, the rest) of a name that may begin with `mc:NAME:`.
    fn split<'a>(name: &'a str) -> (&'a str, &'a str) {
        match name.strip_prefix("mc:").and_then(|rest| rest.split_once(':')) {
            Some(parts) => parts,
            None => ("", name),
        }
    }

    #[pyfunction]
    fn split_mc(name: PyStrRef, vm: &VirtualMachine) -> PyObjectRef {
        let name = text_of(&name);
        let (mc, rest) = split(&name);
        vm.ctx.new_tuple(vec![vm.ctx.new_str(mc).into(), vm.ctx.new_str(rest).into()]).into()
    }

    #[pyfunction]
    fn mc_from_tid(tid: PyStrRef) -> String {
        split(&text_of(&tid)).0.to_owned()
    }

    /// (configuration, file, task, file with configuration) of a task's id.
    #[pyfunction]
    fn split_tid_mcfn(tid: PyStrRef, vm: &VirtualMachine) -> PyResult {
        let tid = text_of(&tid);
        let (mc, rest) = split(&tid);
        let Some((file, task)) = rest.rsplit_once(':') else {
            return Err(vm.new_value_error("not enough values to unpack (expected 2, got 1)"));
        };
        let parts = [mc, file, task, &tid[..tid.len() - task.len() - 1]];
        Ok(vm.ctx.new_tuple(parts.iter().map(|part| vm.ctx.new_str(*part).into()).collect()).into())
    }

    // -- Base hashes

    fn signature_error(error: hz_siggen::SignatureError, vm: &VirtualMachine) -> PyBaseExceptionRef {
        if let Some(report) = error.report() {
            hz_events::log(hz_events::level::ERROR, "Main", report);
        }
        if let Some(warning) = error.warning() {
            hz_events::log(hz_events::level::WARNING, "Main", warning);
        }
        from_data(vm, error.exception())
    }

    /// ({task: base hash}, {task: names}, {name: names}, {name: value}) of a finished recipe.
    #[pyfunction]
    fn base_signatures(d: PyObjectRef, mcfn: PyStrRef, ignored: PyObjectRef, vm: &VirtualMachine) -> PyResult {
        let store = unwrap(&d, vm)?;
        let mcfn = text_of(&mcfn);
        let rules = Rules { ignored_vars: texts(&ignored, vm)?.into_iter().collect(), ..signatures::rules() };
        let found = hz_siggen::base_signatures(store, &mcfn, &signatures::libraries(), &rules).map_err(|e| signature_error(e, vm))?;
        let parts = [texts_map(&found.basehashes), part_of(&found, "siggen_taskdeps"), part_of(&found, "siggen_gendeps"), part_of(&found, "siggen_varvals")];
        signatures::set(&mcfn, &found);
        let parts: PyResult<Vec<PyObjectRef>> = parts.iter().map(|part| to_python(part, vm)).collect();
        Ok(vm.ctx.new_tuple(parts?).into())
    }

    fn part_of(found: &RecipeSignatures, name: &str) -> Value {
        match name {
            "siggen_taskdeps" => map(&found.taskdeps, |v| set(v)),
            "siggen_gendeps" => map(&found.gendeps, |v| set(v)),
            _ => map(&found.varvals, VarVal::to_value),
        }
    }

    /// Is it known natively what the base hashes of a recipe are made of?
    #[pyfunction]
    fn has_signatures(mcfn: PyStrRef) -> bool {
        let mcfn = text_of(&mcfn);
        if signatures::keeps() { signatures::knows(&mcfn) } else { signatures::share(&mcfn).is_some() }
    }

    /// One part of them: `siggen_taskdeps`, `siggen_gendeps`, `siggen_varvals`.
    #[pyfunction]
    fn signature_part(mcfn: PyStrRef, name: PyStrRef, vm: &VirtualMachine) -> PyResult {
        match signatures::get(&text_of(&mcfn)) {
            Some(found) => to_python(&part_of(&found, &text_of(&name)), vm),
            None => Err(vm.new_key_error(mcfn.into())),
        }
    }

    // -- Checksums of local files

    /// Reads what is known from a directory (empty: nothing is kept).
    #[pyfunction]
    fn open_checksums(directory: PyStrRef) {
        crate::checksums::open(&text_of(&directory));
    }

    #[pyfunction]
    fn save_checksums(vm: &VirtualMachine) -> PyResult<()> {
        crate::checksums::save().map_err(|e| e.to_pyexception(vm))
    }

    /// [(path, checksum)] of a `file-checksums` list.
    #[pyfunction]
    fn file_checksums(files: PyStrRef, pn: PyStrRef, exclude: PyObjectRef, vm: &VirtualMachine) -> PyResult<Vec<PyObjectRef>> {
        let exclude: Vec<Str> = texts(&exclude, vm)?;
        let found = crate::checksums::of_list(&text_of(&files), &text_of(&pn), &exclude.join(" ")).map_err(|e| vm.new_value_error(e.message))?;
        let pair = |(path, sum): (Str, Str)| vm.ctx.new_tuple(vec![vm.ctx.new_str(&*path).into(), vm.ctx.new_str(&*sum).into()]).into();
        Ok(found.into_iter().map(pair).collect())
    }

    // -- Task hashes

    /// Tuples of as many texts; the last may be None.
    fn tuples<const N: usize>(value: &PyObject, vm: &VirtualMachine) -> PyResult<Vec<[Option<Str>; N]>> {
        items(value, vm)?
            .iter()
            .map(|tuple| {
                let parts: PyResult<Vec<Option<Str>>> = items(tuple, vm)?.iter().map(|part| optional_text(part, vm)).collect();
                <[Option<Str>; N]>::try_from(parts?).map_err(|_| vm.new_value_error(format!("tuples of {N} are needed")))
            })
            .collect()
    }

    fn part(text: &Option<Str>) -> &str {
        text.as_deref().unwrap_or("")
    }

    /// [(pnid, tid, unihash)] of [(pnid, tid)]; a unihash that is not in `known` is asked for.
    #[pyfunction]
    fn with_unihashes(dependencies: PyObjectRef, known: PyDictRef, ask: PyObjectRef, vm: &VirtualMachine) -> PyResult<Vec<PyObjectRef>> {
        let pair = |pair: &PyObjectRef| {
            let Some(pair) = pair.downcast_ref::<PyTuple>() else { return Err(vm.new_type_error("tuples are needed")) };
            let [pnid, tid] = pair.as_slice() else { return Err(vm.new_value_error("tuples of 2 are needed")) };
            let unihash = match known.get_item_opt(&**tid, vm)? {
                Some(unihash) => unihash,
                None => ask.call((tid.clone(),), vm)?,
            };
            Ok(vm.ctx.new_tuple(vec![pnid.clone(), tid.clone(), unihash]).into())
        };
        items(&dependencies, vm)?.iter().map(pair).collect()
    }

    /// The task hash from the base hash, [(pnid, tid, unihash)], [(path, checksum)] and the taint.
    #[pyfunction]
    fn task_hash(
        basehash: PyStrRef, dependencies: PyObjectRef, files: PyObjectRef, taint: Option<PyStrRef>, vm: &VirtualMachine,
    ) -> PyResult<String> {
        let dependencies = tuples::<3>(&dependencies, vm)?;
        let files = tuples::<2>(&files, vm)?;
        let taint = taint.map(|t| text_of(&t));
        let inputs = TaskInputs {
            dependencies: dependencies.iter().map(|[pnid, tid, unihash]| (part(pnid), part(tid), part(unihash))).collect(),
            files: files.iter().map(|[path, sum]| (part(path), sum.as_deref())).collect(),
            taint: taint.as_deref(),
        };
        Ok(hz_siggen::task_hash(&text_of(&basehash), &inputs, &signatures::rules()).to_string())
    }

    // -- Signature files

    /// A signature file about to be written: its JSON, and the hashes this content gives.
    #[pyattr]
    #[pyclass(module = "_hz_siggen", name = "SignatureFile")]
    #[derive(Debug, PyPayload)]
    struct SignatureFile {
        json: String,
        basehash: Option<Str>,
        taskhash: Option<Str>,
        /// Put together when it is written.
        pending: Option<signatures::PendingFile>,
    }

    #[pyclass]
    impl SignatureFile {
        /// The base hash its content gives.
        #[pygetset]
        fn basehash(zelf: &Py<Self>) -> Option<String> {
            zelf.payload().basehash.as_deref().map(str::to_owned)
        }
        /// The task hash its content gives; None if it has none.
        #[pygetset]
        fn taskhash(zelf: &Py<Self>) -> Option<String> {
            zelf.payload().taskhash.as_deref().map(str::to_owned)
        }
        #[pymethod]
        fn write(zelf: &Py<Self>, path: PyStrRef, vm: &VirtualMachine) -> PyResult<()> {
            if let Some(pending) = &zelf.payload().pending {
                signatures::keep(signatures::PendingFile { path: text_of(&path).to_string(), ..pending.clone() });
                return Ok(());
            }
            hz_siggen::sigdata::write_file(Path::new(&*text_of(&path)), &zelf.payload().json).map_err(|e| e.to_pyexception(vm))
        }
    }

    /// A task got another hash in this process.
    #[pyfunction]
    fn note_change() {
        signatures::note_change();
    }

    /// The text of a taint file, or None.
    #[pyfunction]
    fn read_taint(path: PyStrRef) -> Option<String> {
        std::fs::read_to_string(&*text_of(&path)).ok()
    }

    thread_local! {
        /// Names left out of base hashes, as Python has them and as files show them: the same ones all the time.
        static IGNORED: RefCell<(Vec<PyObjectRef>, BTreeSet<Str>)> = RefCell::default();
    }

    fn ignored(names: &PyObject, vm: &VirtualMachine) -> PyResult<BTreeSet<Str>> {
        let names = items(names, vm)?;
        IGNORED.with_borrow_mut(|(known, ignored)| {
            if known.len() != names.len() || !known.iter().zip(&names).all(|(a, b)| a.is(b)) {
                *ignored = names.iter().map(|name| text(name, vm)).collect::<PyResult<_>>()?;
                *known = names;
            }
            Ok(ignored.clone())
        })
    }

    /// The recipe's part of a file, by task: names of its closure, and what each depends on and is.
    fn closure(
        data: &mut SigData, task: &str, deps: Vec<Str>, gendeps: impl Fn(&str) -> PyResult<BTreeSet<Str>>,
        varvals: impl Fn(&str) -> PyResult<VarVal>,
    ) -> PyResult<()> {
        data.varvals.insert(task.into(), varvals(task)?);
        for dep in &deps {
            if !data.basehash_ignore_vars.contains(dep) {
                data.gendeps.insert(dep.clone(), gendeps(dep)?);
                data.varvals.insert(dep.clone(), varvals(dep)?);
            }
        }
        data.taskdeps = deps.into_iter().collect();
        Ok(())
    }

    fn run_part(run: &PyDictRef, vm: &VirtualMachine) -> PyResult<RunData> {
        let dependencies = tuples::<3>(&*run.get_item("dependencies", vm)?, vm)?;
        let dependencies = dependencies.iter().map(|[pnid, tid, unihash]| (part(pnid), part(tid), part(unihash))).collect();
        let files = tuples::<2>(&*run.get_item("files", vm)?, vm)?;
        let files: Vec<(Str, Option<Str>)> = files.into_iter().map(|[path, sum]| (path.unwrap_or_default(), sum)).collect();
        let (taskhash, unihash) = (text(&*run.get_item("taskhash", vm)?, vm)?, text(&*run.get_item("unihash", vm)?, vm)?);
        Ok(RunData::new(dependencies, &files, taskhash, unihash, &signatures::rules()))
    }

    /// What `bb.siggen` puts together for a file.
    #[derive(rustpython_vm::FromArgs)]
    struct Content {
        #[pyarg(positional)]
        mcfn: PyStrRef,
        #[pyarg(positional)]
        task: PyStrRef,
        #[pyarg(positional)]
        basehash: PyStrRef,
        #[pyarg(positional)]
        basehash_ignore_vars: PyObjectRef,
        #[pyarg(positional)]
        taskhash_ignore_tasks: Option<PyStrRef>,
        #[pyarg(positional)]
        run: Option<PyDictRef>,
        #[pyarg(positional)]
        taint: Option<PyStrRef>,
        /// (taskdeps, gendeps, varvals) of the recipe if Python holds them.
        #[pyarg(positional, optional)]
        given: OptionalArg<Option<PyObjectRef>>,
    }

    #[pyfunction]
    fn signature_file(content: Content, vm: &VirtualMachine) -> PyResult<SignatureFile> {
        let (mcfn, task) = (text_of(&content.mcfn), text_of(&content.task));
        let mut data = SigData {
            task: Some(task.clone()),
            basehash_ignore_vars: ignored(&content.basehash_ignore_vars, vm)?,
            taskhash_ignore_tasks: content.taskhash_ignore_tasks.map(|t| text_of(&t)),
            basehash: text_of(&content.basehash),
            run: content.run.map(|run| run_part(&run, vm)).transpose()?,
            taint: content.taint.map(|t| text_of(&t)),
            ..SigData::default()
        };
        if let Some(given) = content.given.flatten() {
            let given = items(&given, vm)?;
            let [taskdeps, gendeps, varvals] = given.as_slice() else {
                return Err(vm.new_value_error("taskdeps, gendeps and varvals are needed"));
            };
            let deps = texts(&*taskdeps.get_item(&*task, vm)?, vm)?;
            let sets = |name: &str| Ok(texts(&*gendeps.get_item(name, vm)?, vm)?.into_iter().collect());
            let value = |name: &str| Ok(VarVal::from(Some(&to_value(&*varvals.get_item(name, vm)?, vm))));
            closure(&mut data, &task, deps, sets, value)?;
            return Ok(SignatureFile {
                json: data.to_json(),
                basehash: hz_siggen::calc_basehash(&data),
                taskhash: hz_siggen::calc_taskhash(&data),
                pending: None,
            });
        }
        if signatures::keeps() {
            // Whether the hashes are right is seen by whoever puts the file together.
            let (basehash, taskhash) = (Some(data.basehash.clone()), data.run.as_ref().map(|run| run.taskhash.clone()));
            let pending = Some(signatures::PendingFile { mcfn, task, head: data, path: String::new() });
            return Ok(SignatureFile { json: String::new(), basehash, taskhash, pending });
        }
        let share = signatures::share(&mcfn)
            .ok_or_else(|| vm.new_runtime_error(format!("Nothing is known of what the base hashes of {mcfn} are made of")))?;
        let (json, basehash) = share.file(&task, &data).map_err(|unknown| vm.new_key_error(vm.ctx.new_str(&*unknown.0).into()))?;
        Ok(SignatureFile { json, basehash: Some(basehash), taskhash: hz_siggen::calc_taskhash(&data), pending: None })
    }

    fn read(path: &PyStrRef, vm: &VirtualMachine) -> PyResult<SigData> {
        SigData::read(Path::new(&*text_of(path))).map_err(|e| vm.new_os_error(e.to_string()))
    }

    fn lines(lines: Vec<String>, vm: &VirtualMachine) -> Vec<PyObjectRef> {
        lines.into_iter().map(|line| vm.ctx.new_str(line).into()).collect()
    }

    #[pyfunction]
    fn dump_sigfile(path: PyStrRef, vm: &VirtualMachine) -> PyResult<Vec<PyObjectRef>> {
        Ok(lines(hz_siggen::dump_sigfile(&read(&path, vm)?), vm))
    }

    #[pyfunction]
    fn compare_sigfiles(
        a: PyStrRef, b: PyStrRef, recurse: Option<PyObjectRef>, color: bool, collapsed: bool, vm: &VirtualMachine,
    ) -> PyResult<Vec<PyObjectRef>> {
        let (a, b) = (read(&a, vm)?, read(&b, vm)?);
        let mut failed = None;
        let mut ask = |dep: &str, a: &str, b: &str| -> Option<Vec<String>> {
            let callback = recurse.as_ref()?;
            let answer = callback.call((vm.ctx.new_str(dep), vm.ctx.new_str(a), vm.ctx.new_str(b)), vm);
            let found = answer.and_then(|answer| if answer.clone().is_true(vm)? { texts(&answer, vm).map(Some) } else { Ok(None) });
            match found {
                Ok(found) => found.map(|lines| lines.iter().map(|l| l.to_string()).collect()),
                Err(e) => {
                    failed.get_or_insert(e);
                    None
                }
            }
        };
        let callback: Option<hz_siggen::compare::Recurse<'_>> = if recurse.is_some() { Some(&mut ask) } else { None };
        let found = hz_siggen::compare_sigfiles(&a, &b, callback, Colors::new(color), collapsed);
        match failed {
            Some(error) => Err(error),
            None => Ok(lines(found, vm)),
        }
    }

    /// [(`=`, `+` or `-`, items)]: how one list of texts becomes another, by longest common runs.
    #[pyfunction]
    fn runs(old: PyObjectRef, new: PyObjectRef, vm: &VirtualMachine) -> PyResult<Vec<PyObjectRef>> {
        let shown = |(change, items): (hz_siggen::Change, Vec<Str>)| {
            let sign = match change {
                hz_siggen::Change::Same => "=",
                hz_siggen::Change::Added => "+",
                hz_siggen::Change::Removed => "-",
            };
            let items = items.iter().map(|item| vm.ctx.new_str(&**item).into()).collect();
            vm.ctx.new_tuple(vec![vm.ctx.new_str(sign).into(), vm.ctx.new_list(items).into()]).into()
        };
        Ok(hz_siggen::by_runs(&texts(&old, vm)?, &texts(&new, vm)?).into_iter().map(shown).collect())
    }

    fn parsed(json: &PyStrRef, vm: &VirtualMachine) -> PyResult<SigData> {
        SigData::from_json(&text_of(json)).map_err(|e| vm.new_value_error(e))
    }

    /// The base hash of a file's content, as JSON.
    #[pyfunction]
    fn calc_basehash(json: PyStrRef, vm: &VirtualMachine) -> PyResult<Option<String>> {
        Ok(hz_siggen::calc_basehash(&parsed(&json, vm)?).map(|h| h.to_string()))
    }

    /// The task hash of a file's content, as JSON.
    #[pyfunction]
    fn calc_taskhash(json: PyStrRef, vm: &VirtualMachine) -> PyResult<Option<String>> {
        Ok(hz_siggen::calc_taskhash(&parsed(&json, vm)?).map(|h| h.to_string()))
    }
}
