//! The base configuration: bblayers.conf, layer.conf of every layer, bitbake.conf, classes, and the
//! rounds that ConfigParsed handlers ask for; once per multiconfig.

use crate::environment::approved_variables;
use crate::error::{Error, Result, fatal, level, log};
use crate::handle::handle_included;
use crate::inherit::inherit;
use crate::origins;
use crate::paths::{exists, file_depends, unseen};
use crate::recipe::register_handlers;
use hz_data::{ClassEvent, DataError, DataStore, Origin, RENAMED, Read, ReadSet, Runtime, SetInfo, StoreObject, Value};
use hz_diagnostics::Str;
use hz_versions::paths::{absolute, cwd, dirname, join};
use indexmap::IndexMap;
use std::path::Path;
use std::sync::Arc;

/// What a configuration is made from.
#[derive(Clone)]
pub struct ConfigRequest {
    pub runtime: Arc<dyn Runtime>,
    /// Files read before bblayers.conf (`-r`, BBPRECONF).
    pub prefiles: Vec<String>,
    /// Files read after bitbake.conf (`-R`, BBPOSTCONF).
    pub postfiles: Vec<String>,
    /// Record the history of variables.
    pub tracking: bool,
    /// `addfragments` does nothing.
    pub skip_fragments: bool,
    /// The caller's environment, complete (`BB_ORIGENV`).
    pub env: IndexMap<String, String>,
    /// In a task process.
    pub worker: bool,
}

/// Things the configuration starts that live elsewhere.
pub trait ConfigHooks {
    /// A configuration has been read, ConfigParsed not yet fired (fetcher and signature generator
    /// start here). Called again for the final configuration with `last` true (signature generator
    /// only).
    fn ready(&mut self, store: &DataStore, last: bool) -> Result<()>;
}

impl ConfigHooks for () {
    fn ready(&mut self, _store: &DataStore, _last: bool) -> Result<()> {
        Ok(())
    }
}

/// The parsed configuration.
#[derive(Clone)]
pub struct Configuration {
    /// Before any file was read: environment only.
    pub base: DataStore,
    /// As parsed, per multiconfig; the default one is "" and first.
    pub original: IndexMap<Str, DataStore>,
    /// Copies of `original` for use; `reset` renews them.
    pub mcdata: IndexMap<Str, DataStore>,
    /// What code that runs once for all recipes read.
    pub common: ReadSet,
    /// Stands for Python functions and libraries that were defined meanwhile; whoever knows them sets it.
    pub code: String,
}

impl Configuration {
    /// The default multiconfig.
    pub fn data(&self) -> &DataStore {
        &self.mcdata[""]
    }
    pub fn reset(&mut self) {
        self.mcdata = self.original.iter().map(|(mc, d)| (mc.clone(), d.create_copy())).collect();
    }
}

/// `conf/FILE` along BBPATH, then in the current directory and its parents.
pub fn find_config_file(file: &str, bbpath: Option<&str>) -> Option<String> {
    let mut search: Vec<String> = Vec::new();
    if let Some(bbpath) = bbpath.filter(|p| !p.is_empty()) {
        search.extend(bbpath.split(':').map(|dir| join(&join(dir, "conf"), file)));
    }
    let cwd = cwd();
    let mut path = &*cwd;
    while path != "/" && !path.is_empty() {
        search.push(join(&join(path, "conf"), file));
        path = dirname(path);
    }
    search.into_iter().find(|p| exists(p))
}

/// The build directory: where `conf/bblayers.conf` is found, else the current directory.
pub fn find_topdir(env: &IndexMap<String, String>) -> String {
    match find_config_file("bblayers.conf", env.get("BBPATH").map(String::as_str)) {
        Some(file) => dirname(dirname(&file)).to_string(),
        None => cwd(),
    }
}

/// Reads the configuration and fires its events.
///
/// # Errors
/// [`Error::Handled`] for nearly all: the user has been told.
pub fn parse_base_configuration(request: &ConfigRequest, hooks: &mut dyn ConfigHooks) -> Result<Configuration> {
    crate::paths::clear_caches();
    crate::pylib::forget();
    hz_data::remember_origins();
    let base = initial_store(request)?;
    let mut common = ReadSet::new();
    let original = match parse_all(&base, request, hooks, &mut common) {
        Err(Error::Data(e, place)) => {
            let text = match place {
                Some(place) => format!("{place}: {e}"),
                None => e.to_string(),
            };
            request.runtime.log(level::ERROR, "", &text);
            return Err(Error::Handled);
        }
        other => other?,
    };
    check_renamed(&original[""])?;
    for store in original.values() {
        store.rename_var("__depends", "__base_depends", &unseen())?;
        store.set_var("__bbclasstype", "recipe", &unseen())?;
    }
    let mut out = Configuration { base, original, mcdata: IndexMap::new(), common, code: String::new() };
    out.reset();
    // The reference makes a hash of each configuration here. Nothing of it is wanted but what it cannot be made of.
    let multi = out.data().get_or_empty("BBMULTICONFIG")?;
    for mc in std::iter::once("").chain(hz_versions::words(&multi)) {
        if let Some(store) = out.mcdata.get(mc) {
            store.check_hash()?;
        }
    }
    Ok(out)
}

fn initial_store(request: &ConfigRequest) -> Result<DataStore> {
    let quiet = unseen();
    let base = DataStore::new(request.runtime.clone());
    if request.tracking {
        base.enable_tracking();
    }
    if request.skip_fragments {
        base.set_var("_BB_SKIP_FRAGMENTS", "1", &quiet)?;
    }
    let saved = DataStore::new(request.runtime.clone());
    for (name, value) in &request.env {
        saved.set_var(name, value.as_str(), &quiet)?;
        if let Some((_, new)) = RENAMED.iter().find(|(old, _)| old == name) {
            let message = format!("Shell environment variable {name} has been renamed to {new}");
            request.runtime.log(level::ERROR, "", &message);
            return Err(fatal(&base, "Exiting to allow enviroment variables to be corrected"));
        }
    }
    let approved = approved_variables(&request.env);
    let approved: Vec<&str> = approved.iter().map(String::as_str).collect();
    hz_data::emit::inherit_from_os(&base, &saved, &approved)?;
    base.set_var("BB_ORIGENV", Value::Object(Arc::new(StoreObject(saved))), &SetInfo::internal(origins::START))?;
    base.set_var("__bbclasstype", "global", &quiet)?;
    if request.worker {
        base.set_var("BB_WORKERCONTEXT", "1", &SetInfo::internal(origins::WORKER))?;
    }
    Ok(base)
}

fn parse_all(
    base: &DataStore, request: &ConfigRequest, hooks: &mut dyn ConfigHooks, common: &mut ReadSet,
) -> Result<IndexMap<Str, DataStore>> {
    let runtime = &request.runtime;
    let mut data = parse_files(base, request, "")?;
    // Handlers and hooks may leave something behind that no store shows and that recipes find there.
    let mut once = |work: &mut dyn FnMut() -> Result<()>| {
        let (done, reads) = hz_data::list_reads(work);
        common.join(&reads);
        done
    };
    let parsed = |store: &DataStore| Ok(runtime.fire(store, ClassEvent::ConfigParsed)?);
    once(&mut || hooks.ready(&data, false))?;
    once(&mut || parsed(&data))?;
    let mut rounds = 0;
    while matches!(data.get_raw("BB_INVALIDCONF"), Some(Value::Bool(true))) {
        if rounds > 20 {
            let message = "Configuration has been re-parsed over 20 times, breaking out of the loop...";
            runtime.log(level::ERROR, "", message);
            return Err(Error::Other(
                "Too deep config re-parse loop. Check locations where BB_INVALIDCONF is being set (ConfigParsed event \
                 handlers)"
                    .into(),
            ));
        }
        data.set_var("BB_INVALIDCONF", Value::Bool(false), &SetInfo::internal(origins::REREAD))?;
        data = parse_files(base, request, "")?;
        rounds += 1;
        once(&mut || parsed(&data))?;
    }
    once(&mut || hooks.ready(&data, true))?;
    let mut mcdata: IndexMap<Str, DataStore> = IndexMap::new();
    mcdata.insert("".into(), data.clone());
    let multi = data.get_or_empty("BBMULTICONFIG")?;
    for mc in hz_versions::words(&multi) {
        if mc.starts_with(|c: char| c.is_numeric()) {
            return Err(fatal(
                &data,
                &format!("Multiconfig name '{mc}' is invalid as multiconfigs cannot start with a digit"),
            ));
        }
        let store = parse_files(base, request, mc)?;
        once(&mut || parsed(&store))?;
        mcdata.insert(mc.into(), store);
    }
    if mcdata.len() > 1 {
        let all: Vec<(Str, DataStore)> = mcdata.iter().map(|(mc, d)| (mc.clone(), d.clone())).collect();
        once(&mut || Ok(runtime.fire(&data, ClassEvent::MultiConfigParsed { mcdata: &all })?))?;
    }
    Ok(mcdata)
}

/// Tells what went wrong with a file of the configuration; everything is [`Error::Handled`] then.
fn told(store: &DataStore, file: &str, result: Result<()>) -> Result<()> {
    let Err(e) = result else { return Ok(()) };
    let Some(d) = e.to_diagnostic() else { return Err(Error::Handled) };
    // The place goes in front, unless the error names it; then Python's frames, and the error.
    let mut text = match &d.place {
        Some(p) if !d.message.contains(&p.to_string()) => format!("Unable to parse {p}"),
        _ => format!("Unable to parse {file}"),
    };
    if !d.chain.is_empty() {
        text.push_str("\nTraceback (most recent call last):");
    }
    for (what, place) in d.chain.iter().rev() {
        match place {
            Some(p) => text.push_str(&format!("\n  File \"{}\", line {}, {what}", p.file, p.line)),
            None => text.push_str(&format!("\n  {what}")),
        }
    }
    let class = match &e {
        Error::Parse(_) => "bb.parse.ParseError: ",
        Error::File { not_found: true, .. } => "FileNotFoundError: ",
        Error::File { .. } => "OSError: ",
        Error::Data(e, _) if matches!(**e, DataError::Expansion { .. }) => "bb.data_smart.ExpansionError: ",
        _ => "",
    };
    text.push_str(&format!("\n{class}{}", d.message));
    log(store, level::CRITICAL, &text);
    Err(Error::Handled)
}

fn config_file(file: &str, store: &DataStore) -> Result<()> {
    told(store, file, handle_included(file, store, true))
}

fn parse_files(base: &DataStore, request: &ConfigRequest, mc: &str) -> Result<DataStore> {
    let mut data = base.create_copy();
    data.set_var("BB_CURRENT_MC", mc, &SetInfo::internal(origins::CURRENT_MC))?;
    for file in &request.prefiles {
        config_file(file, &data)?;
    }
    let bbpath = data.get("BBPATH")?;
    let bblayers = find_config_file("bblayers.conf", bbpath.as_deref());
    if let Some(file) = &bblayers {
        data = parse_layers(data, file, request)?;
    }
    if data.get_or_empty("BBPATH")?.is_empty() {
        let mut message = "The BBPATH variable is not set".to_string();
        if bblayers.is_none() {
            message.push_str(
                " and bitbake did not find a conf/bblayers.conf file in the expected location.\nMaybe you \
                 accidentally invoked bitbake from the wrong directory?",
            );
        }
        return Err(fatal(&data, &message));
    }
    if data.get_or_empty("TOPDIR")?.is_empty() {
        data.set_var("TOPDIR", absolute("."), &SetInfo::internal(origins::TOPDIR_HERE))?;
    }
    default_cachedir(&data, origins::CACHEDIR_HERE)?;
    config_file("conf/bitbake.conf", &data)?;
    for file in &request.postfiles {
        config_file(file, &data)?;
    }
    let inherits = data.get_or_empty("INHERIT")?;
    for class in std::iter::once("base").chain(hz_versions::words(&inherits)) {
        told(&data, class, inherit(class, "configuration INHERITs", 0, &data, false))?;
    }
    register_handlers(&data, |name| {
        log(&data, level::CRITICAL, &format!("Undefined event handler function '{name}'"));
        Error::Handled
    })?;
    data.set_var("BBINCLUDED", file_depends(&data), &SetInfo::internal(origins::CONFIG_INCLUDED))?;
    Ok(data)
}

fn default_cachedir(data: &DataStore, origin: Origin) -> Result<()> {
    if data.get_or_empty("BB_CACHEDIR")?.is_empty() {
        data.set_var("BB_CACHEDIR", "${TOPDIR}/cache", &SetInfo::internal(origin))?;
    }
    Ok(())
}

fn words_of(data: &DataStore, name: &str) -> Result<Vec<String>> {
    Ok(hz_versions::words(&data.get_or_empty(name)?).map(Into::into).collect())
}

fn sorted_set(words: Vec<String>) -> Vec<String> {
    let mut words = words;
    words.sort();
    words.dedup();
    words
}

fn parse_layers(data: DataStore, bblayers: &str, request: &ConfigRequest) -> Result<DataStore> {
    // bblayers.conf is in conf/ of the build directory, wherever the command was started.
    data.set_var("TOPDIR", dirname(dirname(bblayers)), &SetInfo::internal(origins::TOPDIR))?;
    config_file(bblayers, &data)?;
    default_cachedir(&data, origins::CACHEDIR)?;
    let layers = words_of(&data, "BBLAYERS")?;
    if layers.is_empty() {
        return Err(fatal(&data, "The bblayers.conf file doesn't contain any BBLAYERS definition"));
    }
    let data = data.create_copy();
    let missing: Vec<&String> = layers.iter().filter(|l| !Path::new(l).is_dir()).collect();
    if !missing.is_empty() {
        log(&data, level::CRITICAL, "The following layer directories do not exist:");
        for layer in missing {
            log(&data, level::CRITICAL, &format!("   {layer}"));
        }
        log(&data, level::CRITICAL, &format!("Please check BBLAYERS in {bblayers}"));
        return Err(Error::Handled);
    }

    let mut series: Vec<String> = Vec::new();
    let mut compat: IndexMap<String, Vec<String>> = IndexMap::new();
    for layer in &layers {
        let mut layer = layer.clone();
        if let Some(rest) = layer.strip_prefix("~/")
            && let Some(home) = request.env.get("HOME")
        {
            layer = join(home, rest);
        }
        if layer.ends_with('/') {
            layer.truncate(layer.trim_end_matches('/').len());
        }
        data.set_var("LAYERDIR", layer.as_str(), &SetInfo::internal(origins::LAYERDIR))?;
        data.set_var("LAYERDIR_RE", regex_escape(&layer), &SetInfo::internal(origins::LAYERDIR_RE))?;
        config_file(&join(&layer, "conf/layer.conf"), &data)?;
        data.expand_varref("LAYERDIR", false)?;
        data.expand_varref("LAYERDIR_RE", false)?;
        // A layer must say what it is made for by itself, not by quoting another layer's variable:
        // so these exist only while their own layer is read.
        for c in words_of(&data, "BBFILE_COLLECTIONS")? {
            let name = format!("LAYERSERIES_COMPAT_{c}");
            let entry = words_of(&data, &name)?;
            if !data.get_or_empty(&name)?.is_empty() {
                compat.insert(c, sorted_set(entry));
                data.del_var(&name, &SetInfo::internal(origins::DEL_COMPAT))?;
            }
        }
        if series.is_empty() {
            series = sorted_set(words_of(&data, "LAYERSERIES_CORENAMES")?);
            if !series.is_empty() {
                data.del_var("LAYERSERIES_CORENAMES", &SetInfo::internal(origins::DEL_CORENAMES))?;
            }
        }
    }
    data.del_var("LAYERDIR_RE", &SetInfo::internal(origins::DEL_LAYERDIR_RE))?;
    data.del_var("LAYERDIR", &SetInfo::internal(origins::DEL_LAYERDIR))?;
    for (c, names) in &compat {
        data.set_var(&format!("LAYERSERIES_COMPAT_{c}"), names.join(" "), &SetInfo::internal(origins::COMPAT))?;
    }

    let collections = words_of(&data, "BBFILE_COLLECTIONS")?;
    add_dynamic_files(&data, &collections)?;
    for (i, c) in collections.iter().enumerate() {
        if collections[i + 1..].contains(c) {
            return Err(fatal(
                &data,
                &format!(
                    "Found duplicated BBFILE_COLLECTIONS '{c}', check bblayers.conf or layer.conf to fix it."
                ),
            ));
        }
        let mine = compat.get(c).map(Vec::as_slice).unwrap_or_default();
        if mine.is_empty() {
            if data.get_or_empty("BB_WORKERCONTEXT")?.is_empty() {
                crate::error::warn(
                    &data,
                    &format!(
                        "Layer {c} should set LAYERSERIES_COMPAT_{c} in its conf/layer.conf file to list the core \
                         layer names it is compatible with."
                    ),
                );
            }
        } else if series.is_empty() {
            return Err(fatal(
                &data,
                &format!("No core layer found to work with layer '{c}'. Missing entry in bblayers.conf?"),
            ));
        } else if !mine.iter().any(|m| series.contains(m)) {
            return Err(fatal(
                &data,
                &format!(
                    "Layer {c} is not compatible with the core layer which only supports these series: {} (layer is \
                     compatible with {})",
                    series.join(" "),
                    mine.join(" ")
                ),
            ));
        }
    }
    data.set_var("LAYERSERIES_CORENAMES", series.join(" "), &SetInfo::internal(origins::CORENAMES))?;
    Ok(data)
}

/// BBFILES_DYNAMIC: patterns that count when a collection is (`!`: is not) there.
fn add_dynamic_files(data: &DataStore, collections: &[String]) -> Result<()> {
    let mut invalid = Vec::new();
    for entry in words_of(data, "BBFILES_DYNAMIC")? {
        let Some((collection, files)) = entry.split_once(':') else {
            invalid.push(entry);
            continue;
        };
        let (invert, collection) = match collection.strip_prefix('!') {
            Some(rest) => (true, rest),
            None => (false, collection),
        };
        if collections.iter().any(|c| c == collection) != invert {
            data.append_var("BBFILES", format!(" {files}"), &SetInfo::internal(origins::DYNAMIC_FILES))?;
        }
    }
    if invalid.is_empty() {
        return Ok(());
    }
    Err(fatal(
        data,
        &format!(
            "BBFILES_DYNAMIC entries must be of the form {{!}}<collection name>:<filename pattern>, not:\n    {}",
            invalid.join("\n    ")
        ),
    ))
}

/// `re.escape`.
fn regex_escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if "()[]{}?*+-|^$\\.&~# \t\n\r\x0b\x0c".contains(c) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

/// Variables under names they no longer have are errors.
fn check_renamed(data: &DataStore) -> Result<()> {
    let mut renamed: IndexMap<Str, String> = IndexMap::new();
    for (name, value) in data.get_flags("BB_RENAMED_VARIABLES", None, false)?.unwrap_or_default() {
        renamed.insert(name, value.to_text().to_string());
    }
    for (name, value) in RENAMED {
        renamed.insert(name.into(), value.into());
    }
    let mut issues = false;
    for (name, hint) in &renamed {
        let value = data.get_var(name, Read::default())?;
        if value.is_none_or(|v| matches!(v, Value::None)) && !data.has_overrides(name) {
            continue;
        }
        issues = true;
        let text = if hint.contains(' ') {
            format!("Variable {name} {hint}")
        } else {
            format!("Variable {name} has been renamed to {hint}")
        };
        let mut places: Vec<String> =
            data.history(name).iter().map(|h| format!(" (file: {} line: {})", h.file, h.line)).collect();
        places.dedup();
        if places.is_empty() {
            places.push(String::new());
        }
        for place in places {
            // As where it is set: shown once, whoever says it.
            data.runtime().log(level::ERRORONCE, "Main", &format!("{text}{place}"));
        }
    }
    if issues { Err(Error::Handled) } else { Ok(()) }
}
