//! Base hashes at the end of a recipe's parsing: made natively, unless the metadata's signature
//! generator makes them itself.

use crate::bridge::{call, module, python, text};
use crate::farm::{Farm, Message, add_part, fork, parts};
use crate::parsing::python_error;
use hz_cache::Recipe;
use hz_data::DataStore;
use hz_diagnostics::Str;
use hz_events::{level, log};
use hz_graph::TaskGraph;
use hz_parse::{Error, Finalise, Result, Signatures};
use hz_siggen::packed::with_interner;
use hz_siggen::{LibrarySignatures, PackedSignatures, RecipeSignatures, Rules, VarVal, packed_signatures};
use indexmap::IndexMap;
use rustc_hash::FxHashSet;
use rustpython_vm::builtins::PyDict;
use rustpython_vm::{PyObject, PyObjectRef, PyResult, VirtualMachine};
use std::sync::Arc;

/// Who makes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Maker {
    /// Nobody: the generator does not hash what tasks are made of.
    Nobody,
    /// This program: the generator's `finalise` and `_build_data` are ours.
    Native,
    /// The generator's own Python.
    Generator,
}

/// Base hashes at the end of a recipe's parsing.
pub struct BaseHashes {
    libs: Arc<LibrarySignatures>,
    rules: Rules,
    maker: Maker,
    /// The generator has a `postparsing_clean_cache` of its own.
    cleans: bool,
    /// What this program makes is made of the signatures once somebody asks.
    later: bool,
}

/// What `bb.siggen` says of the generator in use: who makes base hashes, the variables left out of
/// them, whether it cleans up after each recipe. None if there is no generator yet.
fn generator() -> Result<Option<(Maker, Vec<Str>, bool)>> {
    python(|vm| {
        let found = call(vm, "bb._generator", "base_hash_maker", vec![])?;
        if vm.is_none(&found) {
            return Ok(None);
        }
        let parts: Vec<PyObjectRef> = vm.extract_elements_with(&found, Ok)?;
        let [maker, ignored, cleans] = &parts[..] else { return Err(vm.new_value_error("three values are needed")) };
        let maker = match maker.str(vm)?.to_string().as_str() {
            "native" => Maker::Native,
            "generator" => Maker::Generator,
            _ => Maker::Nobody,
        };
        let ignored: Vec<PyObjectRef> = vm.extract_elements_with(ignored, Ok)?;
        let ignored = ignored.iter().map(|name| word(vm, name)).collect::<PyResult<_>>()?;
        Ok(Some((maker, ignored, cleans.clone().is_true(vm)?)))
    })
    .map_err(python_error)
}

impl BaseHashes {
    /// `store` is the configuration, whose rules hold as long as no generator was made.
    pub fn new(store: &DataStore) -> Result<BaseHashes> {
        crate::parsing::know_code(store)?;
        let functions = hz_parse::lib_functions(store);
        let libs = LibrarySignatures::new(&functions, store).map_err(|e| Error::Other(e.to_string()))?;
        let mut rules = Rules::from_configuration(store)?;
        let (maker, cleans) = match generator()? {
            Some((maker, ignored, cleans)) => {
                rules.ignored_vars = ignored.into_iter().collect();
                (maker, cleans)
            }
            None if matches!(&*store.get_or_empty("BB_SIGNATURE_HANDLER")?, "" | "noop") => (Maker::Nobody, false),
            None => (Maker::Native, false),
        };
        let libs = Arc::new(libs);
        hz_exec::signatures::set_libraries(libs.clone());
        hz_exec::signatures::set_rules(rules.clone());
        Ok(BaseHashes { libs, rules, maker, cleans, later: false })
    }

    /// For recipes that go into the cache, which makes them of what it has ([`hz_cache::Recipe::base_hashes`]).
    pub fn later(self) -> BaseHashes {
        BaseHashes { later: true, ..self }
    }

    /// Does the generator make base hashes at all?
    pub fn makes(&self) -> bool {
        self.maker != Maker::Nobody
    }

    /// To be called when a recipe file and its variants are parsed.
    pub fn clean(&self) -> Result<()> {
        if !self.cleans {
            return Ok(());
        }
        python(|vm| {
            let siggen = module(vm, "bb.parse")?.get_attr("siggen", vm)?;
            vm.call_method(&siggen, "postparsing_clean_cache", ()).map(drop)
        })
        .map_err(python_error)
    }

    /// Tells of base hashes that differ from those the task graph was made with: the recipe says
    /// something else each time it is parsed. A generator with a `finalise` of its own looks itself.
    pub fn check_reparsed(&self, mcfn: &str, basehashes: &IndexMap<Str, Str>, store: &DataStore) -> Result<()> {
        if self.maker != Maker::Native {
            return Ok(());
        }
        python(|vm| {
            let hashes = vm.ctx.new_dict();
            for (task, hash) in basehashes {
                hashes.set_item(&**task, text(vm, hash), vm)?;
            }
            let args = vec![text(vm, mcfn), hashes.into(), hz_python::store::wrap(store, vm)?];
            call(vm, "bb._generator", "check_reparsed", args).map(drop)
        })
        .map_err(python_error)
    }
}

/// So many recipes without base hashes are worth processes of their own, and a file for those of the next run.
const MANY: usize = 32;
/// Recipes that a process takes at once.
const AT_ONCE: usize = 8;

/// Makes the base hashes of a graph's recipes that nobody has made yet, with all processors.
pub fn make_ahead(graph: &TaskGraph) {
    let mut seen = FxHashSet::default();
    let tasks = graph.tasks.iter().filter(|task| seen.insert((task.mc, task.recipe)));
    let recipes = tasks.map(|task| &*graph.plan.sets[task.mc as usize].recipe(task.recipe).info);
    let lacking: Vec<&Recipe> = recipes.filter(|recipe| recipe.lacks_base_hashes()).collect();
    if lacking.len() < MANY {
        return;
    }
    let _timed = hz_meter::timed(hz_meter::Kind::Dependencies);
    if let Err(error) = spread(&lacking) {
        // Each is made when it is asked for.
        log(level::DEBUG, "SigGen", format!("base hashes are made by one process: {error}"));
    }
    if let Err(error) = hz_cache::keep_base_hashes(lacking.into_iter()) {
        log(level::DEBUG, "SigGen", format!("base hashes are not kept: {error}"));
    }
}

fn spread(recipes: &[&Recipe]) -> std::io::Result<()> {
    let workers = std::thread::available_parallelism().map_or(1, |n| n.get());
    if workers == 1 {
        recipes.iter().for_each(|recipe| recipe.take_base_hashes(&recipe.make_base_hashes()));
        return Ok(());
    }
    let chunks: Vec<&[&Recipe]> = recipes.chunks(AT_ONCE).collect();
    let make = |_: &mut (), n: usize| {
        let mut bytes = Vec::new();
        chunks[n].iter().for_each(|recipe| add_part(&mut bytes, &recipe.make_base_hashes()));
        bytes
    };
    let mut farm = Farm::start(workers, chunks.len(), fork, |_, _| (), make, |()| Vec::new())?;
    while let Some(messages) = farm.wait(250) {
        for message in messages {
            let Message::Done { job, bytes, .. } = message else { continue };
            chunks[job].iter().zip(parts(&bytes)).for_each(|(recipe, hashes)| recipe.take_base_hashes(hashes));
        }
    }
    Ok(())
}

impl Finalise for BaseHashes {
    fn finalise(&self, mcfn: &str, store: &DataStore) -> Result<Signatures> {
        match self.maker {
            Maker::Nobody => Ok(Signatures::default()),
            Maker::Generator => by_generator(mcfn, store),
            Maker::Native => {
                let _timed = hz_meter::timed(hz_meter::Kind::Dependencies);
                let siggen = packed_signatures(store, mcfn, &self.libs, &self.rules).map_err(|e| crate::raised::unsigned(&e))?;
                let made = || with_interner(|tables| siggen.by_task(&siggen.base_hashes(tables), tables));
                let basehashes = if self.later { IndexMap::new() } else { made() };
                Ok(Signatures { basehashes, siggen })
            }
        }
    }
}

/// Has `bb.parse.siggen.finalise` do it and takes what it leaves in the recipe's store.
fn by_generator(mcfn: &str, store: &DataStore) -> Result<Signatures> {
    let (file, variant, _) = hz_parse::realfn(mcfn);
    python(|vm| {
        let d = hz_python::store::wrap(store, vm)?;
        let siggen = module(vm, "bb.parse")?.get_attr("siggen", vm)?;
        vm.call_method(&siggen, "finalise", (text(vm, file), d.clone(), text(vm, variant)))?;
        let made = call(vm, "bb._generator", "take_base_hashes", vec![d])?;
        let parts: Vec<PyObjectRef> = vm.extract_elements_with(&made, Ok)?;
        let [basehashes, taskdeps, gendeps, varvals] = &parts[..] else { return Err(vm.new_value_error("four values are needed")) };
        let found = RecipeSignatures {
            basehashes: IndexMap::new(),
            gendeps: pairs(vm, gendeps, words)?,
            varvals: pairs(vm, varvals, |vm, value| Ok(VarVal::from(Some(&hz_python::convert::to_value(value, vm)))))?,
            taskdeps: pairs(vm, taskdeps, words)?,
        };
        let siggen = with_interner(|tables| PackedSignatures::pack(&found, tables));
        Ok(Signatures { basehashes: pairs(vm, basehashes, word)?, siggen })
    })
    .map_err(python_error)
}

fn word(vm: &VirtualMachine, value: &PyObject) -> PyResult<Str> {
    Ok(value.str(vm)?.to_string().into())
}

fn words(vm: &VirtualMachine, value: &PyObject) -> PyResult<Vec<Str>> {
    let items: Vec<PyObjectRef> = vm.extract_elements_with(value, Ok)?;
    items.iter().map(|item| word(vm, item)).collect()
}

/// A Python dict with names for keys.
fn pairs<T>(vm: &VirtualMachine, dict: &PyObject, convert: impl Fn(&VirtualMachine, &PyObject) -> PyResult<T>) -> PyResult<IndexMap<Str, T>> {
    let Some(dict) = dict.downcast_ref::<PyDict>() else { return Err(vm.new_type_error("a dict is needed")) };
    dict.items_vec().iter().map(|(name, value)| Ok((word(vm, name)?, convert(vm, value)?))).collect()
}
