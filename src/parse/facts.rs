//! A finished recipe -> the facts that the cache keeps and the rest of a build works with.

use crate::error::{Error, Result};
use crate::paths::{Dependency, list, vars_from_file};
use crate::recipe::{Depends, Finalise, RecipeParse, RecipeRequest, Variant, add_depends, each_variant, mcfn};
use hz_cache::{RecipeInfo, TaskDeps};
use hz_data::{DataStore, Read, Value};
use hz_diagnostics::Str;
use indexmap::IndexMap;

/// `bb.utils.to_boolean` without a default: empty is `None`.
///
/// # Errors
/// A text that is neither.
pub fn to_boolean(text: &str) -> Result<Option<bool>> {
    match &*text.to_lowercase() {
        "" => Ok(None),
        "y" | "yes" | "1" | "true" => Ok(Some(true)),
        "n" | "no" | "0" | "false" => Ok(Some(false)),
        _ => Err(Error::Other(format!("Invalid value for to_boolean: {text}"))),
    }
}

/// Reader of one store with the shapes facts have.
struct Facts<'a>(&'a DataStore);

impl Facts<'_> {
    /// Empty when unset or false.
    fn text(&self, name: &str) -> Result<Str> {
        Ok(match self.0.get_var(name, Read::default())? {
            Some(v) if v.is_true() => v.to_text(),
            _ => "".into(),
        })
    }
    fn words(&self, name: &str) -> Result<Vec<Str>> {
        Ok(hz_versions::words(&self.text(name)?).map(Into::into).collect())
    }
    fn deps(&self, name: &str) -> Result<Vec<Str>> {
        Ok(hz_versions::explode_deps(&self.text(name)?).into_iter().map(Into::into).collect())
    }
    fn package_deps(&self, name: &str, packages: &[Str]) -> Result<IndexMap<Str, Vec<Str>>> {
        packages.iter().map(|p| Ok((p.clone(), self.deps(&format!("{name}:{p}"))?))).collect()
    }
    fn flags(&self, flag: &str, tasks: &[Str], keep_empty: bool) -> Result<IndexMap<Str, Str>> {
        let mut out = IndexMap::new();
        for task in tasks {
            if let Some(text) = self.0.flag_text(task, flag)?
                && (keep_empty || !text.is_empty())
            {
                out.insert(task.clone(), text);
            }
        }
        Ok(out)
    }
    fn list(&self, name: &str) -> Vec<Str> {
        list(self.0, name).iter().map(Value::to_text).collect()
    }
}

fn task_deps(store: &DataStore) -> TaskDeps {
    let mut out = TaskDeps::default();
    let Some(Value::Map(all)) = store.get_raw("_task_deps") else { return out };
    for (name, value) in all.iter() {
        match (&**name, value) {
            ("tasks", Value::List(l)) => out.tasks = l.iter().map(Value::to_text).collect(),
            ("parents", Value::Map(m)) => {
                for (task, parents) in m.iter() {
                    let parents = match parents {
                        Value::List(l) => l.iter().map(Value::to_text).collect(),
                        _ => Vec::new(),
                    };
                    out.parents.insert(task.clone(), parents);
                }
            }
            (_, Value::Map(m)) => {
                let texts = m.iter().map(|(task, text)| (task.clone(), text.to_text())).collect();
                out.flags.insert(name.clone(), texts);
            }
            _ => {}
        }
    }
    out
}

/// The facts of one variant of the recipe file. `variants` are the names of all variants (for the base recipe).
///
/// # Errors
/// A failing expansion, or a number or truth value that is none.
fn recipe_info(file: &str, mc: &str, variant: &Variant, variants: &[Str]) -> Result<RecipeInfo> {
    let store = &variant.store;
    let f = Facts(store);
    let mut info = RecipeInfo { mcfn: mcfn(file, &variant.name, mc).into(), ..Default::default() };
    info.variants = variants.to_vec();
    info.appends = f.words("__BBAPPEND")?;
    info.nocache = !f.text("BB_DONT_CACHE")?.is_empty();
    info.provides = f.deps("PROVIDES")?;
    info.rprovides = f.deps("RPROVIDES")?;
    info.pn = f.text("PN")?;
    if info.pn.is_empty() {
        info.pn = vars_from_file(file)?[0].clone().unwrap_or_default();
    }
    info.packages = f.words("PACKAGES")?;
    if info.packages.is_empty() {
        info.packages.push(info.pn.clone());
    }
    info.packages_dynamic = f.words("PACKAGES_DYNAMIC")?;
    info.rprovides_pkg = f.package_deps("RPROVIDES", &info.packages)?;
    if let Some(reason) = &variant.skipped
        && !reason.is_empty()
    {
        info.skipped = Some(reason.clone());
        return Ok(info);
    }

    info.tasks = f.list("__BBTASKS");
    info.hashfilename = f.text("BB_HASHFILENAME")?;
    info.task_deps = task_deps(store);
    info.pe = f.text("PE")?;
    info.pv = f.text("PV")?;
    info.pr = f.text("PR")?;
    let preference = f.text("DEFAULT_PREFERENCE")?;
    info.default_preference = match preference.trim() {
        "" => 0,
        text => text.parse().map_err(|_| {
            Error::Other(format!(
                "ValueError: invalid literal for int() with base 10: {} in DEFAULT_PREFERENCE of {}",
                hz_data::python_repr(&preference),
                info.mcfn
            ))
        })?,
    };
    info.exclude_from_world = to_boolean(&f.text("EXCLUDE_FROM_WORLD")?)?.unwrap_or(false);
    info.stamp = f.text("STAMP")?;
    info.stampclean = f.text("STAMPCLEAN")?;
    info.stamp_extrainfo = f.flags("stamp-extra-info", &info.tasks, true)?;
    info.file_checksums = f.flags("file-checksums", &info.tasks, false)?;
    info.depends = f.deps("DEPENDS")?;
    info.rdepends = f.deps("RDEPENDS")?;
    info.rrecommends = f.deps("RRECOMMENDS")?;
    info.rdepends_pkg = f.package_deps("RDEPENDS", &info.packages)?;
    info.rrecommends_pkg = f.package_deps("RRECOMMENDS", &info.packages)?;
    info.inherits = f.list("__inherit_cache");
    info.fakerootenv = f.text("FAKEROOTENV")?;
    info.fakerootdirs = f.text("FAKEROOTDIRS")?;
    info.fakerootlogs = f.text("FAKEROOTLOGS")?;
    info.fakerootnoenv = f.text("FAKEROOTNOENV")?;
    info.extradepsfunc = f.text("calculate_extra_depends")?;
    if let Some(s) = &variant.signatures {
        info.basehashes = s.basehashes.clone();
        info.siggen = s.siggen.clone();
    }
    Ok(info)
}

/// The facts of all variants, the base recipe last, as the reference lists them.
///
/// # Errors
/// A failing expansion, or a number or truth value that is none.
pub fn recipe_infos(recipe: &RecipeParse) -> Result<Vec<RecipeInfo>> {
    let mut variants: Vec<&Variant> = recipe.variants.iter().collect();
    variants.sort_by(|a, b| b.name.cmp(&a.name));
    let names: Vec<Str> = variants.iter().map(|v| v.name.clone()).collect();
    variants
        .into_iter()
        .map(|v| {
            let own: &[Str] = if v.name.is_empty() { &names } else { &[Str::from("")] };
            recipe_info(&recipe.file, &recipe.mc, v, own)
        })
        .collect()
}

/// Parses a recipe as [`crate::parse_recipe_variants`] does, for its [`recipe_infos`] and dependencies alone: of each variant but the
/// base the facts are taken once it is finished, so that the stores of a hundred variants are not in memory at once. Told
/// of is that only in its place, behind the last variant.
///
/// # Errors
/// As those.
pub fn parse_recipe_facts(
    config: &DataStore, request: RecipeRequest<'_>, finalise: &dyn Finalise,
) -> Result<(Vec<RecipeInfo>, Vec<Dependency>)> {
    let (mut depends, mut base, mut early) = (Depends::new(), None, Vec::new());
    let facts = |variant: &Variant, names: &[Str]| {
        let _timed = hz_meter::timed(hz_meter::Kind::Facts);
        recipe_info(request.file, request.mc, variant, names)
    };
    each_variant(config, request, finalise, &mut |variant| {
        add_depends(&mut depends, &variant);
        if variant.name.is_empty() {
            base = Some(variant);
        } else {
            let found = hz_events::captured(|| facts(&variant, &["".into()]));
            early.push((variant.name, found));
        }
    })?;
    early.sort_by(|a, b| b.0.cmp(&a.0));
    let names: Vec<Str> = early.iter().map(|(name, _)| name.clone()).chain(base.iter().map(|base| base.name.clone())).collect();
    let mut infos = Vec::with_capacity(names.len());
    for (_, (info, events)) in early {
        events.into_iter().for_each(hz_events::emit);
        infos.push(info?);
    }
    if let Some(base) = &base {
        infos.push(facts(base, &names)?);
    }
    Ok((infos, depends.into_values().collect()))
}
