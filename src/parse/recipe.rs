//! One recipe with its appends -> the base recipe and a variant per BBCLASSEXTEND entry, each
//! complete: deferred inherits, events, key expansion, anonymous functions, tasks, signatures.

use crate::error::{Error, Result, fatal, warn};
use crate::handle::{handle_append, handle_recipe_grammar};
use crate::inherit::{inherit, inherit_defer};
use crate::origins;
use crate::paths::{Dependency, dependencies, file_depends, list, unseen};
use crate::tasks::collect_task_deps;
use hz_siggen::PackedSignatures;
use hz_data::{ClassEvent, DataError, DataStore, SetInfo, Value};
use hz_diagnostics::Str;
use indexmap::IndexMap;
use std::sync::Arc;

/// What the signature generator finds out about a finished recipe.
#[derive(Clone, Debug, Default)]
pub struct Signatures {
    /// task -> base hash.
    pub basehashes: IndexMap<Str, Str>,
    /// As numbers of this process.
    pub siggen: PackedSignatures,
}

/// The signature generator as parsing knows it.
pub trait Finalise {
    /// Base hashes of all tasks of the finished store. `mcfn`: `[mc:NAME:][virtual:VARIANT:]PATH`.
    ///
    /// # Errors
    /// Whatever stops the recipe; [`Error::Skip`] skips it.
    fn finalise(&self, mcfn: &str, store: &DataStore) -> Result<Signatures>;
}

/// For tools that need no signatures.
pub struct NoSignatures;

impl Finalise for NoSignatures {
    fn finalise(&self, _mcfn: &str, _store: &DataStore) -> Result<Signatures> {
        Ok(Signatures::default())
    }
}

/// A recipe or one variant of it.
#[derive(Clone)]
pub struct Variant {
    /// Empty for the recipe itself, else the BBCLASSEXTEND entry.
    pub name: Str,
    pub store: DataStore,
    /// Why it is left out; the store is then incomplete.
    pub skipped: Option<Str>,
    pub signatures: Option<Signatures>,
}

/// Which recipe to parse, and how the layers see it.
#[derive(Clone, Copy, Debug, Default)]
pub struct RecipeRequest<'a> {
    /// Path of the `.bb`.
    pub file: &'a str,
    /// Appends in the order of application.
    pub appends: &'a [String],
    /// Multiconfig; empty for the default.
    pub mc: &'a str,
    /// Layer the file belongs to.
    pub layer: Option<&'a str>,
    /// Only this variant (empty: only the base recipe); `None`: all.
    pub only: Option<&'a str>,
}

/// A recipe, parsed.
#[derive(Clone)]
pub struct RecipeParse {
    pub file: Str,
    pub mc: Str,
    pub appends: Vec<Str>,
    /// The base first.
    pub variants: Vec<Variant>,
    /// Every path that was read or looked for, once each, configuration files excluded.
    pub depends: Vec<Dependency>,
}

impl RecipeParse {
    pub fn variant(&self, name: &str) -> Option<&Variant> {
        self.variants.iter().find(|v| &*v.name == name)
    }
}

/// `[mc:NAME:][virtual:VARIANT:]PATH`.
pub fn mcfn(file: &str, variant: &str, mc: &str) -> String {
    let mut out = String::new();
    if !mc.is_empty() {
        out.push_str(&format!("mc:{mc}:"));
    }
    if !variant.is_empty() {
        out.push_str(&format!("virtual:{variant}:"));
    }
    out.push_str(file);
    out
}

/// The inverse of [`mcfn`]: path, variant, multiconfig.
pub fn realfn(mcfn: &str) -> (&str, &str, &str) {
    let (mut mc, mut rest) = ("", mcfn);
    if let Some(after) = mcfn.strip_prefix("mc:")
        && let Some((name, file)) = after.split_once(':')
    {
        (mc, rest) = (name, file);
    }
    if let Some(after) = rest.strip_prefix("virtual:") {
        return match after.rsplit_once(':') {
            Some((variant, file)) => (file, variant, mc),
            None => (after, "", mc),
        };
    }
    (rest, "", mc)
}

/// Parses a recipe in a copy of `config` (the store of its multiconfig).
///
/// # Errors
/// Anything but a recipe that skips itself.
pub fn parse_recipe_variants(
    config: &DataStore, request: RecipeRequest<'_>, finalise: &dyn Finalise,
) -> Result<RecipeParse> {
    let (mut depends, mut variants) = (Depends::new(), Vec::new());
    each_variant(config, request, finalise, &mut |variant| {
        add_depends(&mut depends, &variant);
        variants.push(variant);
    })?;
    Ok(RecipeParse {
        file: request.file.into(),
        mc: request.mc.into(),
        appends: request.appends.iter().map(|a| a.as_str().into()).collect(),
        variants,
        depends: depends.into_values().collect(),
    })
}

/// Paths that were read or looked for.
pub(crate) type Depends = IndexMap<Str, Dependency>;

pub(crate) fn add_depends(depends: &mut Depends, variant: &Variant) {
    for d in dependencies(&variant.store, false) {
        depends.entry(d.path.clone()).or_insert(d);
    }
}

/// [`parse_recipe_variants`], handing each variant on when it is finished, the base first.
pub(crate) fn each_variant(
    config: &DataStore, request: RecipeRequest<'_>, finalise: &dyn Finalise, done: &mut dyn FnMut(Variant),
) -> Result<()> {
    let store = config.create_copy();
    let quiet = unseen();
    if let Some(only) = request.only {
        store.set_var("__ONLYFINALISE", if only.is_empty() { "default" } else { only }, &quiet)?;
    }
    store.set_var("__BBMULTICONFIG", request.mc, &quiet)?;
    store.set_var("FILE_LAYERNAME", request.layer.map_or(Value::None, Value::str), &SetInfo::internal(origins::LAYERNAME))?;
    store.set_var("__BB_RECIPE_FILE", request.file, &quiet)?;
    if !request.appends.is_empty() {
        store.set_var("__BBAPPEND", request.appends.join(" "), &quiet)?;
    }
    handle_each(request.file, &store, finalise, done)
}

/// `parseRecipe`: the complete store of one variant, named as `[mc:…:][virtual:…:]PATH`.
///
/// # Errors
/// As [`parse_recipe_variants`], and a variant that the recipe does not have.
pub fn parse_recipe(
    config: &DataStore, name: &str, appends: &[String], layer: Option<&str>, finalise: &dyn Finalise,
) -> Result<Variant> {
    let (file, variant, mc) = realfn(name);
    let request = RecipeRequest { file, appends, mc, layer, only: Some(variant) };
    let parsed = parse_recipe_variants(config, request, finalise)?;
    parsed
        .variants
        .into_iter()
        .find(|v| &*v.name == variant)
        .ok_or_else(|| Error::Other(format!("{file} has no variant {variant}")))
}

/// `bb.parse.handle(file, d)` for a recipe: evaluates it into `store` and finishes all variants.
///
/// # Errors
/// Anything but a recipe that skips itself.
pub fn handle_recipe(file: &str, store: &DataStore, finalise: &dyn Finalise) -> Result<Vec<Variant>> {
    let mut variants = Vec::new();
    handle_each(file, store, finalise, &mut |variant| variants.push(variant))?;
    Ok(variants)
}

fn handle_each(file: &str, store: &DataStore, finalise: &dyn Finalise, done: &mut dyn FnMut(Variant)) -> Result<()> {
    if hz_syntax::Grammar::of(file) != Some(hz_syntax::Grammar::Recipe) {
        return Err(Error::parse("not a BitBake file", file, 0));
    }
    store.include_enter(file);
    let result = handle_recipe_grammar(file, store, false).and_then(|complete| {
        if complete {
            finish_all(file, store, finalise, done)
        } else {
            let skipped = store.get_raw("__SKIPPED").map(|v| v.to_text());
            done(Variant { name: "".into(), store: store.clone(), skipped, signatures: None });
            Ok(())
        }
    });
    store.include_leave();
    result
}

fn finish_all(file: &str, store: &DataStore, finalise: &dyn Finalise, done: &mut dyn FnMut(Variant)) -> Result<()> {
    let appends = store.get_or_empty("__BBAPPEND")?;
    for append in hz_versions::words(&appends) {
        handle_append(append, store)?;
    }
    let only = store.get_raw("__ONLYFINALISE").map(|v| v.to_text());
    // A name that is part of the wanted one is made, too; nobody minds.
    let wanted = |name: &str| only.as_deref().is_none_or(|o| o.contains(name));

    let base = store.create_copy();
    done(finish_or_skip(file, base.clone(), "", finalise)?);

    let extended = base.get_or_empty("BBCLASSEXTEND")?;
    if !extended.is_empty() {
        let pn = base.get("PN")?;
        // The reference's base recipe is a view of this store, and shows what is written here unless it
        // wrote the variable itself; the expanded text is therefore what it shows, too.
        let shown = if base.owns("BBCLASSEXTEND") { None } else { Some(&base) };
        for store in std::iter::once(store).chain(shown) {
            store.set_var("BBCLASSEXTEND", Value::Str(extended.clone()), &SetInfo::internal(origins::EXTENDED))?;
        }
        let mut seen: Vec<&str> = Vec::new();
        let mut stores = Vec::new();
        for name in hz_versions::words(&extended) {
            if seen.contains(&name) || !wanted(name) {
                continue;
            }
            seen.push(name);
            let variant = store.create_copy();
            let mut parts = name.splitn(3, ':');
            let class = parts.next().unwrap_or_default();
            match parts.next() {
                Some(argument) => {
                    variant.set_var("BBEXTENDCURR", class, &SetInfo::internal(origins::EXTEND_CLASS))?;
                    variant.set_var("BBEXTENDVARIANT", argument, &SetInfo::internal(origins::EXTEND_VARIANT))?;
                }
                None => {
                    let pn = pn.as_deref().unwrap_or("None");
                    variant.set_var("PN", format!("{pn}-{name}"), &SetInfo::internal(origins::EXTEND_NAME))?;
                }
            }
            inherit_defer(class, file, 0, &variant)?;
            stores.push((name, variant));
        }
        for (name, variant) in stores {
            done(finish_or_skip(file, variant, name, finalise)?);
        }
    }
    Ok(())
}

fn finish_or_skip(file: &str, store: DataStore, name: &str, finalise: &dyn Finalise) -> Result<Variant> {
    let runtime = store.runtime();
    let handlers = runtime.save_handlers();
    let result = finish(file, &store, name, finalise);
    runtime.restore_handlers(handlers);
    let signatures = match result {
        Ok(signatures) => Some(signatures),
        Err(Error::Skip(reason)) => {
            store.set_var("__SKIPPED", reason, &unseen())?;
            None
        }
        Err(e) => return Err(e),
    };
    // Set by the line above, or by an append that skipped itself.
    let skipped = store.get_raw("__SKIPPED").filter(Value::is_true).map(|v| v.to_text());
    Ok(Variant { name: name.into(), store, skipped, signatures })
}

fn finish(file: &str, store: &DataStore, variant: &str, finalise: &dyn Finalise) -> Result<Signatures> {
    let runtime = store.runtime();
    let quiet = unseen();
    if matches!(store.get_raw("_FAILPARSINGERRORHANDLED"), Some(Value::Bool(true))) {
        return Err(Error::Handled);
    }
    let mut deferred: Vec<Str> = list(store, "__BBDEFINHERITS")
        .iter()
        .filter_map(|v| if let Value::List(l) = v { l.first().map(Value::to_text) } else { None })
        .collect();
    if deferred.is_empty() {
        deferred.push("".into());
    }
    runtime.fire(store, ClassEvent::RecipePreDeferredInherits { fn_: file, inherits: &deferred })?;
    loop {
        let pending = list(store, "__BBDEFINHERITS");
        let Some(Value::List(entry)) = pending.first() else { break };
        store.set_var("__BBDEFINHERITS", Value::List(Arc::new(pending[1..].to_vec())), &quiet)?;
        let classes = entry.first().map(Value::to_text).unwrap_or_default();
        let from = entry.get(1).map(Value::to_text).unwrap_or_default();
        let line = match entry.get(2) {
            Some(Value::Int(n)) => *n as u32,
            _ => 0,
        };
        inherit(&classes, &from, line, store, true)?;
    }
    register_handlers(store, |name| fatal(store, &format!("Undefined event handler function '{name}'")))?;
    runtime.fire(store, ClassEvent::RecipePreFinalise { fn_: file })?;
    store.expand_keys()?;
    runtime.fire(store, ClassEvent::RecipePostKeyExpansion { fn_: file })?;

    let anonymous: Vec<Str> = list(store, "__BBANONFUNCS").iter().map(Value::to_text).collect();
    runtime.run_anonymous(store, &anonymous)?;

    let tasks = list(store, "__BBTASKS");
    let names: Vec<Str> = tasks.iter().map(Value::to_text).collect();
    runtime.fire(store, ClassEvent::RecipeTaskPreProcess { fn_: file, tasklist: &names })?;
    map_virtual_providers(&names, store)?;
    collect_task_deps(store, &tasks)?;

    let mc = store.get_raw("__BBMULTICONFIG").map(|v| v.to_text()).unwrap_or_default();
    let name = mcfn(file, variant, &mc);
    let signatures = finalise.finalise(&name, store).inspect_err(|e| {
        if !matches!(e, Error::Skip(_)) {
            warn(store, &format!("Error during finalise of {name}"));
        }
    })?;

    // A recipe can have hundreds of variants, all of which are there until the last one is finished.
    store.forget_references();
    store.set_var("BBINCLUDED", file_depends(store), &SetInfo::internal(origins::RECIPE_INCLUDED))?;
    let set = |name: &str| -> Result<bool> {
        Ok(store.get_var(name, hz_data::Read::default())?.is_some_and(|v| v.is_true()))
    };
    if set("__BBAUTOREV_SEEN")? && set("__BBSRCREV_SEEN")? && !set("__BBAUTOREV_ACTED_UPON")? {
        return Err(fatal(
            store,
            "AUTOREV/SRCPV set too late for the fetcher to work properly, please set the variables earlier in \
             parsing. Erroring instead of later obtuse build failures.",
        ));
    }
    runtime.fire(store, ClassEvent::RecipeParsed { fn_: file })?;
    Ok(signatures)
}

/// Registers the functions that `addhandler` named so far; `undefined` makes the error for a name
/// without a function.
pub(crate) fn register_handlers(store: &DataStore, undefined: impl Fn(&str) -> Error) -> Result<()> {
    let runtime = store.runtime();
    for name in list(store, "__BBHANDLERS").iter() {
        let name = name.to_text();
        let file = store.get_flag(&name, "filename", hz_data::RAW)?.filter(Value::is_true);
        let Some(file) = file else { return Err(undefined(&name)) };
        let file = file.to_text();
        let line = match store.get_flag(&name, "lineno", hz_data::RAW)? {
            Some(v) => v.to_text().trim().parse().unwrap_or(0),
            None => 0,
        };
        let mask = store.flag_text(&name, "eventmask")?.unwrap_or_default();
        let mask: Vec<&str> = hz_versions::words(&mask).collect();
        let text = store.get_raw(&name).map(|v| v.to_text()).unwrap_or_default();
        runtime.register_handler(store, &name, &text, &mask, &file, line).map_err(|e| Error::from(e).at(&file, line))?;
    }
    Ok(())
}

/// Replaces the names in BB_RECIPE_VIRTUAL_PROVIDERS by their preferred providers, in DEPENDS and
/// in the tasks' `depends`; rewrites both in any case.
fn map_virtual_providers(tasks: &[Str], store: &DataStore) -> Result<()> {
    let virtuals = store.get_or_empty("BB_RECIPE_VIRTUAL_PROVIDERS")?;
    let virtuals: Vec<&str> = hz_versions::words(&virtuals).collect();
    let depends = store.get_or_empty("DEPENDS")?;
    let mut mapped: Vec<Str> = Vec::new();
    for dep in hz_versions::words(&depends) {
        if !virtuals.contains(&dep) {
            mapped.push(dep.into());
            continue;
        }
        let preferred = store.get_or_empty(&format!("PREFERRED_PROVIDER_{dep}"))?;
        if preferred.is_empty() {
            return Err(fatal(
                store,
                &format!("Error, recipe virtual provider PREFERRED_PROVIDER_{dep} not set"),
            ));
        }
        mapped.push(preferred);
    }
    store.set_var("DEPENDS", mapped.join(" "), &SetInfo::internal(origins::DEPENDS))?;
    for task in tasks {
        let depends = store.flag_text(task, "depends")?.unwrap_or_default();
        let mut mapped = Vec::new();
        for entry in hz_versions::words(&depends) {
            let parts: Vec<&str> = entry.split(':').collect();
            let [recipe, wanted] = parts[..] else {
                let (problem, count) = if parts.len() < 2 {
                    ("not enough", format!(", got {}", parts.len()))
                } else {
                    ("too many", String::new())
                };
                return Err(DataError::python("ValueError", format!(
                    "{problem} values to unpack (expected 2{count}) in {task}[depends]: '{entry}'"
                ))
                .into());
            };
            if virtuals.contains(&recipe) {
                let preferred = store.get(&format!("PREFERRED_PROVIDER_{recipe}"))?;
                mapped.push(format!("{}:{wanted}", preferred.as_deref().unwrap_or("None")));
            } else {
                mapped.push(entry.to_string());
            }
        }
        store.set_flag(task, "depends", mapped.join(" "), &SetInfo::internal(origins::TASK_DEPENDS))?;
    }
    Ok(())
}
