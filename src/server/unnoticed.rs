//! Graphs for commands that show no hashes.
//!
//! The reference hashes every task even for `-g`. Half of such a command's time goes into that, and mostly
//! nobody can tell: then it is left out, but for what it would warn of.

use crate::bridge::{call, python};
use crate::graphs::{graph_options, told};
use crate::parsing::python_error;
use crate::session::Session;
use crate::signatures::PythonSignatures;
use crate::tasks::BuildHooks;
use hz_exec::checksums;
use hz_graph::{BuildPlan, TaskGraph};
use hz_parse::{Error, Result};
use hz_runqueue::Work;
use rustpython_vm::PyObjectRef;
use std::path::Path;

/// The task graph of a plan, as the reference would have it with all its hashes. None: there is nothing to do.
pub fn graph(session: &Session, plan: BuildPlan) -> Result<Option<TaskGraph>> {
    let Some(graph) = TaskGraph::build(plan, session.data(), &graph_options(session)).map_err(told)? else { return Ok(None) };
    if graph.invalidations.is_empty() && is_hashing_quiet(session)? && !is_tainted(&graph) {
        check_files(&graph)?;
        return Ok(Some(graph));
    }
    let (mut sigs, mut hooks) = (PythonSignatures::new(), BuildHooks::new(session));
    Ok(Some(Work::of_graph(graph, &mut sigs, &mut hooks).map_err(told)?.graph))
}

/// Would nobody notice that the generator hashes tasks? Judged by its code; a server that is not this command's own
/// is asked in any case, as it may not answer.
fn is_hashing_quiet(session: &Session) -> Result<bool> {
    let code = python(|vm| {
        let found = call(vm, "bb._generator", "code_of_hashing", vec![])?;
        if vm.is_none(&found) {
            return Ok(None);
        }
        let parts: Vec<PyObjectRef> = vm.extract_elements_with(&found, Ok)?;
        let [classes, methods, asks] = &parts[..] else { return Err(vm.new_value_error("three values are needed")) };
        let classes: Vec<PyObjectRef> = vm.extract_elements_with(classes, Ok)?;
        let classes = classes.iter().map(|pair| {
            let pair: Vec<String> = vm.extract_elements_with(pair, |text| text.try_into_value(vm))?;
            <[String; 2]>::try_from(pair).map(|[file, class]| (file, class)).map_err(|_| vm.new_value_error("pairs are needed"))
        });
        let classes: Vec<(String, String)> = classes.collect::<rustpython_vm::PyResult<_>>()?;
        let methods: Vec<String> = vm.extract_elements_with(methods, |text| text.try_into_value(vm))?;
        Ok(Some((classes, methods, asks.clone().is_true(vm)?)))
    });
    let Some((classes, methods, asks)) = code.map_err(python_error)? else { return Ok(false) };
    let methods: Vec<&str> = methods.iter().map(String::as_str).collect();
    Ok((!asks || session.has_own_hashserv()) && hz_python::is_quiet(&classes, &methods, &methods))
}

/// Was any task's hash changed by hand? That is told while it is hashed.
fn is_tainted(graph: &TaskGraph) -> bool {
    let mut there = None;
    graph.tasks.iter().enumerate().any(|(id, task)| {
        let stamp = &graph.info(id as u32).stamp;
        let dir = Path::new(&**stamp).parent();
        // The tasks of a recipe stand together.
        if there.as_ref().is_none_or(|(known, _)| *known != dir) {
            there = Some((dir, dir.is_some_and(Path::exists)));
        }
        there.is_some_and(|(_, there)| there) && Path::new(&format!("{stamp}.{}.taint", task.name)).exists()
    })
}

/// Takes the checksums of the files that tasks name, in the order in which the tasks would be hashed.
fn check_files(graph: &TaskGraph) -> Result<()> {
    let exclude = python(|vm| {
        let siggen = crate::bridge::module(vm, "bb.parse")?.get_attr("siggen", vm)?;
        let words: Vec<String> = vm.extract_elements_with(&*siggen.get_attr("localdirsexclude", vm)?, |word| word.try_into_value(vm))?;
        Ok(words.join(" "))
    });
    let exclude = exclude.map_err(python_error)?;
    for id in hz_runqueue::layers(graph).flatten() {
        let info = graph.info(id);
        if let Some(files) = info.file_checksums.get(&graph.task(id).name) {
            checksums::of_list(files, &info.pn, &exclude).map_err(|e| Error::Other(e.message))?;
        }
    }
    // As far as it goes, what was found out is kept for the next command.
    checksums::save().map_err(|e| Error::Other(format!("cannot keep checksums of files: {e}")))
}
