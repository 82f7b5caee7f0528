//! All recipes of all layers: from the cache where nothing changed, from forked parsers otherwise.

use crate::bridge::{call, fire, number, python, text, trace};
use crate::farm::{Farm, Message, Outlet, add_part, fork, parts};
use hz_cache::{Base, Packer, ParsedFile, Recipe, RecipeCache};
use hz_data::{DataError, DataStore, RuntimeError};
use hz_diagnostics::Str;
use hz_events::{Event, level, log};
use crate::basehashes::BaseHashes;
use hz_parse::{Collection, Configuration, Error, FileCollector, RecipeRequest, Result};
use indexmap::IndexMap;
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// One recipe file to have.
#[derive(Clone)]
struct Job {
    mc: Str,
    file: String,
    appends: Vec<String>,
    layer: Option<Str>,
}

/// All recipes, parsed.
pub struct Parsed {
    /// Per multiconfig, in the order of the recipe files.
    pub recipes: IndexMap<Str, Vec<Arc<Recipe>>>,
    pub collectors: IndexMap<Str, FileCollector>,
    pub files: IndexMap<Str, Vec<String>>,
    /// In the order of BBFILE_COLLECTIONS.
    pub layers: Vec<Collection>,
    /// Of the recipes that are not skipped, per multiconfig.
    pub priorities: IndexMap<Str, IndexMap<Str, i64>>,
}

thread_local! {
    /// The recipe this process is parsing: what it logs meanwhile is about that.
    static PARSING: std::cell::RefCell<Option<String>> = const { std::cell::RefCell::new(None) };
}

/// Passes a helper's events on through its pipe.
struct OutletSink(Outlet);

impl hz_events::Sink for OutletSink {
    fn emit(&mut self, mut event: Event) {
        if let Event::Log(record) = &mut event
            && record.fn_.is_none()
        {
            record.fn_ = PARSING.with_borrow(Clone::clone);
        }
        if let Ok(json) = serde_json::to_vec(&event) {
            let urgent = !matches!(&event, Event::Log(record) if record.level < hz_events::level::WARNING);
            // The main process is gone if this fails; so will we be, presently.
            let _ = self.0.event(&json, urgent);
        }
    }
}

/// What all recipes depend on: the variables of the configuration, each for those who read it, and for all
/// of them its Python functions and other files (the layers' libraries).
fn base(config: &Configuration) -> Result<Base> {
    let mut hash = Sha256::new();
    let mut part = |text: &str| {
        hash.update((text.len() as u64).to_le_bytes());
        hash.update(text);
    };
    part(&config.code);
    let mut variables = Vec::new();
    for (mc, store) in &config.mcdata {
        part(mc);
        for dependency in hz_parse::dependencies(store, true) {
            // What these say has become variables and functions.
            if [".conf", ".inc", ".bbclass"].iter().any(|end| dependency.path.ends_with(end)) {
                continue;
            }
            part(&dependency.path);
            match hz_cache::FileState::of(Path::new(&*dependency.path)) {
                hz_cache::FileState::Absent => part(""),
                hz_cache::FileState::Present { sha256, .. } => part(&hex::encode(sha256)),
            }
        }
        let ignored = store.get_or_empty("BB_HASHCONFIG_IGNORE_VARS")?;
        // Files count by what they brought; the others are set by this program, anew at each start.
        let ignored = hz_versions::words(&ignored).chain(["__depends", "__base_depends", "BB_CONSOLELOG", "BB_CMDLINE"]).collect();
        variables.push((mc.to_string(), store.fingerprints(&ignored)));
    }
    let (rules, mut common) = hz_data::list_reads(|| hz_siggen::Rules::from_configuration(config.data()).map(drop));
    rules?;
    common.join(&config.common);
    Ok(Base::new(hex::encode(hash.finalize()), variables, &common))
}

/// Folder of our own caches.
pub fn cache_dir(store: &DataStore) -> Result<PathBuf> {
    let cache = store.get_or_empty("CACHE")?;
    let dir = if cache.is_empty() { store.get_or_empty("BB_CACHEDIR")? } else { cache };
    Ok(PathBuf::from(&*dir))
}

/// Where what code bodies read and call is kept.
fn code_cache(data: &DataStore) -> Result<PathBuf> {
    Ok(Path::new(&*data.get_or_empty("BB_CACHEDIR")?).join("hitzeleiter-codeparser"))
}

/// Reads what is known of code bodies, once a process.
pub fn know_code(data: &DataStore) -> Result<()> {
    static KNOWN: std::sync::Once = std::sync::Once::new();
    let file = code_cache(data)?;
    KNOWN.call_once(|| {
        hz_codeparser::load_cache(&file);
    });
    Ok(())
}

/// Says how many recipes the cache of this configuration knows, for a command that parses one recipe
/// in any case.
pub fn tell_cache(config: &Configuration) -> Result<()> {
    let data = config.data();
    let known = RecipeCache::open(&cache_dir(data)?.join("hitzeleiter-recipes"), base(config)?).len();
    fire(data, "bb.event.CacheLoadStarted", |vm| Ok(vec![number(vm, known)])).map_err(python_error)?;
    fire(data, "bb.event.CacheLoadCompleted", |vm| Ok(vec![number(vm, known), number(vm, known)])).map_err(python_error)
}

/// The recipe files there are.
struct Files {
    collectors: IndexMap<Str, FileCollector>,
    files: IndexMap<Str, Vec<String>>,
    jobs: Vec<Job>,
    masked: usize,
}

/// Finds the recipe files. A configuration without BBFILES ends it, unless `nowhere_is_fine`.
fn find_files(config: &Configuration, collections: &[Collection], nowhere_is_fine: bool) -> Result<Files> {
    let mut all = Files { collectors: IndexMap::new(), files: IndexMap::new(), jobs: Vec::new(), masked: 0 };
    for (mc, store) in &config.mcdata {
        let mut collector = FileCollector::new(collections, mc);
        let found = collector.collect(store)?;
        if found.nowhere && !nowhere_is_fine {
            return Err(Error::Handled);
        }
        all.masked += found.masked;
        for file in &found.files {
            let layer = collector.collection(file).map(|c| c.name.clone());
            all.jobs.push(Job { mc: mc.clone(), file: file.clone(), appends: collector.appends_of(file), layer });
        }
        all.files.insert(mc.clone(), found.files);
        all.collectors.insert(mc.clone(), collector);
    }
    Ok(all)
}

/// The recipes that the cache knows of those files, and which are left to parse.
struct Known {
    cache: RecipeCache,
    results: Vec<Option<Vec<Recipe>>>,
    todo: Vec<usize>,
}

fn look_up(mut cache: RecipeCache, jobs: &[Job]) -> Known {
    let results: Vec<Option<Vec<Recipe>>> = jobs.iter().map(|j| cache.take(&j.mc, &j.file, &j.appends, j.layer.as_deref())).collect();
    let todo: Vec<usize> = (0..jobs.len()).filter(|n| results[*n].is_none()).collect();
    let todo = large_early(todo, |n| size(&jobs[n]));
    Known { cache, results, todo }
}

fn open_cache(config: &Configuration) -> Result<RecipeCache> {
    Ok(RecipeCache::open(&cache_dir(config.data())?.join("hitzeleiter-recipes"), base(config)?))
}

/// What recipes see of the process that parsers are forked from, as far as the metadata's own code could change it
/// meanwhile.
#[derive(PartialEq)]
struct Ground {
    stores: Vec<u64>,
    definitions: u64,
    environment: Vec<(std::ffi::OsString, std::ffi::OsString)>,
    place: Option<PathBuf>,
}

impl Ground {
    fn of(config: &Configuration) -> Result<Ground> {
        let stores = config.mcdata.values().map(|store| {
            // Finding them out is no change.
            store.overrides()?;
            Ok(store.generation())
        });
        Ok(Ground {
            stores: stores.collect::<Result<_>>()?,
            definitions: hz_data::definitions(),
            environment: std::env::vars_os().collect(),
            place: std::env::current_dir().ok(),
        })
    }
}

/// Recipes that are being parsed while the metadata still looks at the configuration: its checks run commands and wait
/// for them, and nearly always let everything pass.
pub struct Begun {
    files: Files,
    known: Known,
    /// None: there is too little to parse.
    farm: Option<Farm>,
    /// What is told of this once the checks are done.
    events: Vec<Event>,
    ground: Ground,
}

impl Begun {
    /// None: something is wrong, which will be told in its time.
    pub fn begin(config: &Configuration, collections: &[Collection]) -> Option<Begun> {
        let (begun, events) = hz_events::captured(|| -> Result<Begun> {
            let files = find_files(config, collections, false)?;
            let known = look_up(open_cache(config)?, &files.jobs);
            let many = known.todo.len() > MANY;
            let farm = many.then(|| start_parsers(config, &files.jobs, &known.todo)).transpose()?;
            // Parsers may have needed more to be found out than is known now: what counts is the same.
            let ground = Ground::of(config)?;
            Ok(Begun { files, known, farm, events: Vec::new(), ground })
        });
        Some(Begun { events, ..begun.ok()? })
    }
}

/// Parses everything. `stop` is asked now and then; true ends it with [`Error::Handled`], and so does
/// a configuration without BBFILES, unless `nowhere_is_fine`. What was begun counts as long as nothing changed that it
/// was begun with.
pub fn parse_all(
    config: &Configuration, collections: &[Collection], nowhere_is_fine: bool, begun: Option<Begun>, stop: &dyn Fn() -> bool,
) -> Result<Parsed> {
    let data = config.data();
    let begun = match begun {
        Some(begun) if begun.ground == Ground::of(config)? => Some(begun),
        _ => None,
    };
    let (files, found, farm) = match begun {
        Some(Begun { files, known, farm, events, ground }) => {
            events.into_iter().for_each(hz_events::emit);
            (files, known, farm.map(|farm| (farm, ground)))
        }
        None => {
            let files = find_files(config, collections, nowhere_is_fine)?;
            let known = look_up(open_cache(config)?, &files.jobs);
            (files, known, None)
        }
    };
    let Files { collectors, files, jobs, masked } = files;
    let Known { mut cache, mut results, todo } = found;
    let known = cache.len();
    fire(data, "bb.event.CacheLoadStarted", |vm| Ok(vec![number(vm, known)])).map_err(python_error)?;
    fire(data, "bb.event.CacheLoadCompleted", |vm| Ok(vec![number(vm, known), number(vm, known)])).map_err(python_error)?;

    let cached = jobs.len() - todo.len();
    if !todo.is_empty() {
        let outcome = run_parsers(config, &jobs, &todo, &mut cache, &mut results, farm, stop);
        let code_cache = code_cache(data)?;
        if let Err(e) = hz_codeparser::save_cache(&code_cache) {
            log(level::DEBUG, "CodeParser", format!("cannot write {}: {e}", code_cache.display()));
        }
        let failed = outcome?;
        if failed > 0 {
            // What was parsed well need not be parsed again once the mistake is mended.
            let _ = cache.save();
            return Err(halted(data));
        }
    }
    let (mut virtuals, mut skipped) = (0, 0);
    let mut recipes: IndexMap<Str, Vec<Arc<Recipe>>> = config.mcdata.keys().map(|mc| (mc.clone(), Vec::new())).collect();
    for (job, infos) in jobs.iter().zip(results) {
        for info in infos.unwrap_or_default() {
            virtuals += 1;
            skipped += usize::from(info.skipped.is_some());
            if let Some(list) = recipes.get_mut(&job.mc) {
                list.push(Arc::new(info));
            }
        }
    }
    if !todo.is_empty() {
        let (total, parsed) = (jobs.len(), todo.len());
        fire(data, "bb.event.ParseCompleted", |vm| {
            Ok([cached, parsed, skipped, masked, virtuals, 0, total].map(|n| number(vm, n)).to_vec())
        })
        .map_err(python_error)?;
    }
    let _timed = hz_meter::timed(hz_meter::Kind::Cache);
    if let Err(e) = cache.save() {
        // A full disk costs the next start some time, not this build.
        log(level::WARNING, "Cache", e.to_string());
    }
    dangling_appends(&recipes, &collectors)?;
    let known = std::sync::Mutex::new(cache);
    hz_exec::signatures::set_source(Box::new(move |mcfn, look| {
        known.lock().unwrap_or_else(|e| e.into_inner()).siggen(mcfn, look)
    }));
    // Layers without a recipe are told of here, whatever the command.
    let mut priorities = IndexMap::new();
    for (mc, store) in &config.mcdata {
        let names: Vec<Str> = recipes[mc].iter().filter(|r| r.skipped.is_none()).map(|r| r.mcfn.clone()).collect();
        priorities.insert(mc.clone(), collectors[mc].priorities(&names, &files[mc], store)?);
    }
    Ok(Parsed { recipes, collectors, files, layers: collections.to_vec(), priorities })
}

fn halted(data: &DataStore) -> Error {
    let _ = fire(data, "bb.event.ParseError", |vm| Ok(vec![text(vm, "Parsing halted due to errors")]));
    log(level::ERROR, "", "Parsing halted due to errors, see error messages above");
    Error::Handled
}

/// Recipe files of so many bytes take long and much memory, so each gets a process of its own: what is kept for others
/// would lie among what it needs for a moment, and hold that.
const LARGE: u64 = 100_000;

/// So many recipes are parsed before them, so that what most recipes have is known.
const LEAD: usize = 16;

/// Bytes of a recipe file.
fn size(job: &Job) -> u64 {
    std::fs::metadata(&job.file).map_or(0, |found| found.len())
}

/// Large ones are parsed early: while there is little else in memory, and nobody waits for the last one.
fn large_early(todo: Vec<usize>, size: impl Fn(usize) -> u64) -> Vec<usize> {
    let (large, mut order): (Vec<usize>, Vec<usize>) = todo.into_iter().partition(|n| size(*n) >= LARGE);
    let lead = order.len().min(LEAD);
    order.splice(lead..lead, large);
    order
}

/// So many recipes use most of the layers' Python libraries: they are run once, for all parsers.
const MANY: usize = 50;

/// Forks parsers for `todo`.
fn start_parsers(config: &Configuration, jobs: &[Job], todo: &[usize]) -> Result<Farm> {
    let data = config.data();
    let threads = data.get_or_empty("BB_NUMBER_PARSE_THREADS")?;
    let workers = match threads.trim().parse::<usize>() {
        Ok(n) if n > 0 => n,
        _ => std::thread::available_parallelism().map_or(1, |n| n.get()),
    };
    let finalise: IndexMap<Str, BaseHashes> =
        config.mcdata.iter().map(|(mc, store)| Ok((mc.clone(), BaseHashes::new(store)?.later()))).collect::<Result<_>>()?;
    if todo.len() > MANY {
        crate::resident::let_go();
    }
    // What there is now stays. Looking at it for garbage would make every parser a copy of its own of all of it.
    python(|vm| call(vm, "gc", "freeze", Vec::new())).map_err(python_error)?;
    let fork = || {
        let pid = fork()?;
        if pid == 0 {
            hz_meter::forked();
            hz_python::codes::forked();
        }
        Ok(pid)
    };
    let make = |_: usize, outlet: &Outlet| {
        if let Ok(outlet) = outlet.try_clone() {
            hz_events::set_sink(Box::new(OutletSink(outlet)));
        }
        Packer::new()
    };
    let work = |packer: &mut Packer, n: usize| {
        let job = &jobs[todo[n]];
        PARSING.set(Some(job.file.clone()));
        hz_meter::count(hz_meter::Count::Recipe);
        let parsed = hz_meter::span(hz_meter::Kind::Store, || job.file.clone(), || parse_one(config, job, &finalise));
        PARSING.set(None);
        match parsed {
            Ok(parsed) => {
                let _timed = hz_meter::timed(hz_meter::Kind::Cache);
                packer.pack(parsed)
            }
            Err(error) => {
                tell_failure(&job.file, &error);
                Vec::new()
            }
        }
    };
    let rest = |_| {
        let mut bytes = Vec::new();
        for part in [hz_codeparser::take_new().unwrap_or_default(), hz_python::codes::take_new(), hz_meter::take()] {
            add_part(&mut bytes, &part);
        }
        bytes
    };
    let is_large = |n: usize| size(&jobs[todo[n]]) >= LARGE;
    Farm::start_with_asides(workers, todo.len(), fork, make, (work, is_large), rest).map_err(|e| Error::Other(e.to_string()))
}

/// Runs the parsers over `todo`, those of `begun` if nothing changed since; gives the number of recipes that failed.
fn run_parsers(
    config: &Configuration, jobs: &[Job], todo: &[usize], cache: &mut RecipeCache,
    results: &mut [Option<Vec<Recipe>>], begun: Option<(Farm, Ground)>, stop: &dyn Fn() -> bool,
) -> Result<usize> {
    fire(config.data(), "bb.event.ParseStarted", |vm| Ok(vec![number(vm, todo.len())])).map_err(python_error)?;
    let begun = match begun {
        Some((farm, ground)) if ground == Ground::of(config)? => Some(farm),
        _ => None,
    };
    let mut farm = match begun {
        Some(farm) => farm,
        None => start_parsers(config, jobs, todo)?,
    };
    let (mut failed, mut done) = (0, 0);
    let chunk = (todo.len() / 100).max(1);
    while let Some(messages) = {
        let _timed = hz_meter::timed(hz_meter::Kind::Wait);
        farm.wait(250)
    } {
        if stop() {
            return Err(Error::Handled);
        }
        for message in messages {
            match message {
                Message::Event(json) => {
                    if let Ok(event) = serde_json::from_slice(&json) {
                        hz_events::emit(event);
                    }
                }
                Message::Done { bytes, .. } if bytes.is_empty() => {
                    failed += 1;
                    farm.stop();
                }
                Message::Done { worker, job, bytes } => {
                    let _timed = hz_meter::timed(hz_meter::Kind::Cache);
                    let infos = cache.absorb(worker, &bytes).map_err(|e| Error::Other(e.to_string()))?;
                    results[todo[job]] = Some(infos);
                    done += 1;
                    if done % chunk == 0 {
                        hz_events::emit(Event::ParseProgress { current: done, total: todo.len() });
                    }
                }
                Message::Rest(bytes) => {
                    let absorb = [|scans: &[u8]| _ = hz_codeparser::absorb(scans), hz_python::codes::absorb, hz_meter::absorb];
                    absorb.into_iter().zip(parts(&bytes)).for_each(|(absorb, part)| absorb(part));
                }
                Message::Died { job, status } => {
                    let file = job.map_or("nothing", |n| jobs[todo[n]].file.as_str());
                    log(level::ERROR, "", format!("A parsing process ended while it worked on {file}: {status}"));
                    failed += 1;
                    farm.stop();
                }
            }
        }
    }
    Ok(failed)
}

fn parse_one(config: &Configuration, job: &Job, finalise: &IndexMap<Str, BaseHashes>) -> Result<ParsedFile> {
    let request =
        RecipeRequest { file: &job.file, appends: &job.appends, mc: &job.mc, layer: job.layer.as_deref(), only: None };
    let (done, reads) = hz_data::collect_reads(|| -> Result<_> {
        let done = hz_parse::parse_recipe_facts(&config.mcdata[&job.mc], request, &finalise[&job.mc])?;
        finalise[&job.mc].clean()?;
        Ok(done)
    });
    let (infos, depends) = done?;
    Ok(ParsedFile {
        mc: job.mc.to_string(),
        path: job.file.clone(),
        appends: job.appends.clone(),
        infos,
        depends: depends.iter().map(|d| d.path.to_string()).collect(),
        layer: job.layer.as_deref().map(str::to_string),
        reads,
    })
}

/// A Python error that reached the cooker.
pub fn python_error(error: RuntimeError) -> Error {
    match error {
        RuntimeError::Handled => Error::Handled,
        other => Error::Python(Box::new(other), None),
    }
}

/// Tells why a recipe could not be parsed, in the words people look for.
pub fn tell_failure(file: &str, error: &Error) {
    let text = match error {
        Error::Handled => return,
        Error::Parse(diagnostic) => diagnostic.message.clone(),
        Error::Data(e, _) => match &**e {
            DataError::Runtime(RuntimeError::Handled) | DataError::Expansion { cause: RuntimeError::Handled, .. } => return,
            DataError::Runtime(RuntimeError::Python(e)) => format!("Unable to parse {file}\n{}", trace(e)),
            e => format!("ExpansionError during parsing {file}\nbb.data_smart.ExpansionError: {e}\n"),
        },
        Error::Python(e, _) => match &**e {
            RuntimeError::Handled => return,
            RuntimeError::Skip(reason) => format!("Unable to parse {file}: {reason}"),
            RuntimeError::Python(e) => format!("Unable to parse {file}\n{}", trace(e)),
        },
        other => format!("Unable to parse {file}: {other}"),
    };
    log(level::ERROR, "", text);
}

/// Appends that no recipe takes are fatal.
fn dangling_appends(recipes: &IndexMap<Str, Vec<Arc<Recipe>>>, collectors: &IndexMap<Str, FileCollector>) -> Result<()> {
    let mut messages = Vec::new();
    let mut sorted: Vec<_> = collectors.iter().collect();
    sorted.sort_by(|a, b| a.0.cmp(b.0));
    for (mc, collector) in sorted {
        let mut left: Vec<&str> = collector.appends().iter().map(|(_, path)| path.as_str()).collect();
        if left.is_empty() {
            continue;
        }
        for info in recipes.get(mc).into_iter().flatten() {
            let applied = collector.appends_of(hz_parse::realfn(&info.mcfn).0);
            left.retain(|path| !applied.iter().any(|a| a == path));
        }
        if !left.is_empty() {
            let mc = if mc.is_empty() { "default" } else { mc };
            messages.push(format!("No recipes in {mc} available for:\n  {}", left.join("\n  ")));
        }
    }
    if messages.is_empty() {
        return Ok(());
    }
    log(level::CRITICAL, "", messages.join("\n"));
    Err(Error::Handled)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_recipes_come_early_and_the_others_in_their_order() {
        let sizes = [10, LARGE - 1, LARGE, 5, 3 * LARGE];
        let size = |n: usize| sizes.get(n).copied().unwrap_or_default();
        assert_eq!(large_early(vec![0, 1, 2, 4], size), [0, 1, 2, 4]);
        assert_eq!(large_early(vec![2, 0, 4, 1], size), [0, 1, 2, 4]);
        let many = large_early((0..LEAD + 10).collect(), size);
        assert_eq!(many[..3], [0, 1, 3]);
        assert_eq!(many[LEAD..LEAD + 4], [2, 4, LEAD + 2, LEAD + 3]);
    }
}
