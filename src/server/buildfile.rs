//! `bitbake -b`: one recipe file alone, found by an expression, without what other recipes give it.

use crate::bridge::fire;
use crate::commands::{Names, run, set_build_variables};
use crate::graphs::{self, Metadata, default_task};
use crate::basehashes::BaseHashes;
use crate::parsing::{python_error, tell_cache, tell_failure};
use crate::session::Session;
use hz_data::DataStore;
use hz_events::{level, log};
use hz_graph::{BuildPlan, RecipeSet, Target, TaskData};
use hz_parse::{Error, FileCollector, RecipeRequest, Result};
use std::path::Path;
use std::sync::Arc;

fn config_of(session: &Session, mc: &str) -> Result<DataStore> {
    session.config.mcdata.get(mc).cloned().ok_or_else(|| {
        log(level::CRITICAL, "", format!("No multiconfig named \"{mc}\" found"));
        Error::Handled
    })
}

/// The one recipe file that `pattern` names: a path, or an expression that one file of BBFILES has a
/// match for.
///
/// # Errors
/// None or several; told.
pub fn matching(session: &mut Session, pattern: &str, mc: &str) -> Result<String> {
    let config = config_of(session, mc)?;
    let collections = session.begin_without_recipes()?;
    // Looked through for this question alone: the appends found on the way do not count (release
    // 2.18 ignores appends with -b).
    let files = FileCollector::new(&collections, mc).collect(&config)?.files;
    let outside = pattern.starts_with('/') || pattern.starts_with("../");
    let path = if outside { hz_parse::absolute(pattern) } else { pattern.to_string() };
    if Path::new(&path).exists() {
        return Ok(hz_parse::absolute(&path));
    }
    let expression =
        fancy_regex::Regex::new(&path).map_err(|e| Error::Other(format!("'{path}' is no regular expression: {e}")))?;
    let mut found: Vec<String> =
        files.into_iter().filter(|f| expression.is_match(f).unwrap_or(false) && Path::new(f).is_file()).collect();
    if found.len() == 1 {
        return Ok(found.remove(0));
    }
    let message = if found.is_empty() {
        format!("Unable to find any recipe file matching '{pattern}'")
    } else {
        let count = found.len();
        let list: String = found.iter().map(|f| format!("\n    {f}")).collect();
        format!("Unable to match '{pattern}' to a specific recipe file - {count} matches found:{list}")
    };
    log(level::ERROR, "Parsing", message);
    Err(Error::Handled)
}

/// Builds what the expression of `-b` names. `internal`: for a program, which does not want the
/// user told of it: no events of a build, no notes of the run queue.
pub fn build(session: &mut Session, pattern: &str, internal: bool) -> Result<()> {
    if internal {
        session.terminal.quieten_queue(true);
        let built = build_one(session, pattern, false);
        session.terminal.quieten_queue(false);
        return built;
    }
    fire(session.data(), "bb.event.BuildInit", |_| Ok(Vec::new())).map_err(python_error)?;
    log(
        level::WARNING,
        "",
        "Buildfile specified, dependencies will not be handled. If this is not what you want, do not use -b / --buildfile.",
    );
    build_one(session, pattern, true)
}

fn build_one(session: &mut Session, pattern: &str, told: bool) -> Result<()> {
    let mut task = default_task(session)?;
    if !task.starts_with("do_") {
        task.insert_str(0, "do_");
    }
    let (wanted, variant, mc) = hz_parse::realfn(pattern);
    let file = matching(session, wanted, mc)?;
    set_build_variables(session)?;
    tell_cache(&session.config)?;
    let config = config_of(session, mc)?;
    let layer = session.layer_of(&file, mc);
    let request = RecipeRequest { file: &file, appends: &[], mc, layer: layer.as_deref(), only: None };
    let parsed = hz_parse::parse_recipe_variants(&config, request, &BaseHashes::new(&config)?)
        .inspect_err(|e| tell_failure(&file, e))?;
    let infos = hz_parse::recipe_infos(&parsed)?;
    let name = hz_parse::mcfn(&file, variant, mc);
    let fatal = |message: String| {
        log(level::CRITICAL, "", message);
        Err(Error::Handled)
    };
    let Some(mut info) = infos.into_iter().find(|info| *info.mcfn == *name) else {
        return fatal(format!("{name} does not exist"));
    };
    if let Some(reason) = &info.skipped {
        return fatal(format!("{name} was skipped: {reason}"));
    }
    hz_exec::signatures::set_packed(&name, info.siggen.clone());

    // Nothing from outside of the recipe.
    info.task_deps.flags.shift_remove("depends");
    info.depends.clear();
    info.rdepends.clear();
    info.rrecommends.clear();
    info.rdepends_pkg.clear();
    info.rrecommends_pkg.clear();

    let item = info.pn.clone();
    let mut set = RecipeSet::new(hz_diagnostics::Str::from(mc));
    set.add(Arc::new(info.into()), 1);
    let mut data = TaskData::new(!session.request.keep_going, false);
    let stores = [(mc.into(), config.clone())].into_iter().collect();
    data.add_provider(&config, &mut set, &item, &mut Metadata::new(&stores)).map_err(graphs::told)?;
    let Some(recipe) = data.provider(&item) else { return Err(Error::Handled) };
    let target = Target { mc: mc.into(), item: item.clone(), task: task.into(), recipe };
    let plan = BuildPlan {
        sets: [(mc.into(), set)].into_iter().collect(),
        taskdata: [(mc.into(), data)].into_iter().collect(),
        targets: vec![target],
    };
    let names = if told { Names::One(item.to_string()) } else { Names::Untold };
    run(session, plan, &[config], &names)
}
