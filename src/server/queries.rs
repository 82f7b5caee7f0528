//! What a program may ask of the parsed recipes, as Python objects: the tables that the reference's
//! cooker offers as `recipecaches[mc]`, providers, appends and skipped recipes.

use crate::bridge::{text, texts};
use crate::graphs::RecipeSets;
use crate::parsing::Parsed;
use hz_data::DataStore;
use hz_diagnostics::Str;
use hz_graph::{Config, GraphError, RecipeId, RecipeSet};
use indexmap::IndexMap;
use rustpython_vm::builtins::PyDictRef;
use rustpython_vm::{PyObjectRef, PyResult, VirtualMachine};

/// What provider choice says, or the message of its failure as an exception.
fn checked<T>(vm: &VirtualMachine, result: hz_graph::Result<T>) -> PyResult<T> {
    result.map_err(|e| match e {
        GraphError::Config(message) => vm.new_runtime_error(message),
        _ => hz_python::errors::from_runtime(vm, &hz_data::RuntimeError::Handled),
    })
}

/// The recipes of one multiconfig and the store that its preferences are read from.
pub struct View<'a> {
    pub set: &'a RecipeSet,
    expanded: &'a DataStore,
    data: &'a DataStore,
    vm: &'a VirtualMachine,
}

type Version<'a> = (&'a str, &'a str, &'a str);

fn version_of(recipe: &hz_cache::Recipe) -> Version<'_> {
    let of = recipe.providing();
    (&of.pe, &of.pv, &of.pr)
}

impl<'a> View<'a> {
    /// None: there is no such multiconfig.
    pub fn new(sets: &'a RecipeSets, data: &'a DataStore, mc: &str, vm: &'a VirtualMachine) -> Option<View<'a>> {
        Some(View { set: sets.0.get(mc)?, expanded: sets.1.get(mc)?, data, vm })
    }

    fn mcfns(&self, ids: &[RecipeId]) -> PyObjectRef {
        texts(self.vm, ids.iter().map(|id| self.set.mcfn(*id)))
    }

    fn version(&self, (pe, pv, pr): Version) -> PyObjectRef {
        self.vm.ctx.new_tuple([pe, pv, pr].map(|part| text(self.vm, part)).to_vec()).into()
    }

    fn by_name<'t>(&self, table: impl IntoIterator<Item = (&'t Str, &'t Vec<RecipeId>)>) -> PyResult<PyDictRef> {
        let dict = self.vm.ctx.new_dict();
        for (name, ids) in table {
            dict.set_item(&**name, self.mcfns(ids), self.vm)?;
        }
        Ok(dict)
    }

    fn by_recipe(&self, value: impl Fn(&hz_graph::Recipe) -> PyResult<PyObjectRef>) -> PyResult<PyDictRef> {
        let dict = self.vm.ctx.new_dict();
        for recipe in &self.set.recipes {
            dict.set_item(&*recipe.info.mcfn, value(recipe)?, self.vm)?;
        }
        Ok(dict)
    }

    fn lists(&self, table: &IndexMap<Str, Vec<Str>>) -> PyResult<PyObjectRef> {
        let dict = self.vm.ctx.new_dict();
        for (name, list) in table {
            dict.set_item(&**name, texts(self.vm, list), self.vm)?;
        }
        Ok(dict.into())
    }

    /// A table of the reference's recipe cache by its name; None if it has no such.
    pub fn table(&self, name: &str) -> PyResult<Option<PyDictRef>> {
        let vm = self.vm;
        Ok(Some(match name {
            "pkg_pn" => self.by_name(&self.set.pkg_pn)?,
            "providers" => self.by_name(&self.set.providers)?,
            "rproviders" => self.by_name(&self.set.rproviders)?,
            "packages" => self.by_name(&self.set.packages)?,
            "packages_dynamic" => self.by_name(&self.set.packages_dynamic)?,
            "pkg_fn" => self.by_recipe(|r| Ok(text(vm, &r.info.pn)))?,
            "deps" => self.by_recipe(|r| Ok(texts(vm, &r.needs().deps)))?,
            "rundeps" => self.by_recipe(|r| self.lists(&r.needs().rundeps))?,
            "runrecs" => self.by_recipe(|r| self.lists(&r.needs().runrecs))?,
            "fn_provides" => self.by_recipe(|r| Ok(texts(vm, &r.provides)))?,
            "inherits" => self.by_recipe(|r| Ok(texts(vm, &r.info.inherits)))?,
            "pkg_pepvpr" => self.by_recipe(|r| Ok(self.version(version_of(&r.info))))?,
            "bbfile_priority" => self.by_recipe(|r| Ok(vm.ctx.new_int(r.priority).into()))?,
            "pkg_dp" => self.by_recipe(|r| Ok(vm.ctx.new_int(r.info.providing().default_preference).into()))?,
            _ => return Ok(None),
        }))
    }

    /// PN -> list of (version, recipe).
    pub fn all_providers(&self) -> PyResult<PyDictRef> {
        let dict = self.vm.ctx.new_dict();
        for (pn, ids) in &self.set.pkg_pn {
            let entries = ids.iter().map(|id| {
                let info = &self.set.recipe(*id).info;
                self.vm.ctx.new_tuple(vec![self.version(version_of(info)), text(self.vm, &info.mcfn)]).into()
            });
            dict.set_item(&**pn, self.vm.ctx.new_list(entries.collect()).into(), self.vm)?;
        }
        Ok(dict)
    }

    fn versioned(&self, entry: Option<&(hz_graph::providers::PePvPr, RecipeId)>) -> [PyObjectRef; 2] {
        match entry {
            Some(((pe, pv, pr), id)) => [self.version((pe, pv, pr)), text(self.vm, self.set.mcfn(*id))],
            None => [self.vm.ctx.none(), self.vm.ctx.none()],
        }
    }

    /// Latest, preferred and required version of every PN, as three tables.
    pub fn find_providers(&self) -> PyResult<PyObjectRef> {
        let vm = self.vm;
        let (latest, preferred, required) = (vm.ctx.new_dict(), vm.ctx.new_dict(), vm.ctx.new_dict());
        for (pn, best) in checked(vm, hz_graph::providers::find_providers(self.expanded, self.set))? {
            let pair = |entry| vm.ctx.new_tuple(self.versioned(entry).to_vec()).into();
            latest.set_item(&*pn, pair(best.latest.as_ref()), vm)?;
            preferred.set_item(&*pn, pair(best.preferred.as_ref()), vm)?;
            required.set_item(&*pn, vm.ctx.new_bool(best.required).into(), vm)?;
        }
        Ok(vm.ctx.new_tuple(vec![latest.into(), preferred.into(), required.into()]).into())
    }

    /// (latest version, its recipe, preferred version, its recipe) for something provided. Only the
    /// last is known unless the name is that of a recipe which provides nothing.
    pub fn find_best_provider(&self, name: &str) -> PyResult<PyObjectRef> {
        let vm = self.vm;
        let none = || vm.ctx.none();
        let row = if let Some(ids) = self.set.providers.get(name) {
            let (found, _) = checked(vm, hz_graph::providers::filter_providers(ids, name, self.data as &dyn Config, self.set))?;
            let best = found.first().map_or_else(none, |id| text(vm, self.set.mcfn(*id)));
            vec![none(), none(), none(), best]
        } else if let Some(ids) = self.set.pkg_pn.get(name) {
            let best = checked(vm, hz_graph::providers::find_best_provider(name, self.data as &dyn Config, self.set, ids, None))?;
            if best.required && best.preferred.is_none() {
                vec![none(); 4]
            } else {
                [self.versioned(best.latest.as_ref()), self.versioned(best.preferred.as_ref())].concat()
            }
        } else {
            vec![none(); 4]
        };
        Ok(vm.ctx.new_tuple(row).into())
    }

    /// (all recipes that provide a package at run time, the best of them or None).
    pub fn runtime_providers(&self, name: &str) -> PyResult<PyObjectRef> {
        let vm = self.vm;
        let all = self.set.runtime_providers(name);
        let best = match all.is_empty() {
            true => None,
            false => checked(vm, hz_graph::providers::filter_runtime_providers(&all, name, self.data as &dyn Config, self.set))?.0.first().copied(),
        };
        let best = best.map_or_else(|| vm.ctx.none(), |id| text(vm, self.set.mcfn(id)));
        Ok(vm.ctx.new_tuple(vec![self.mcfns(&all), best]).into())
    }
}

/// The skipped recipes of a multiconfig, those of high priority first: (recipe, PN, reason,
/// PROVIDES, what they provide at run time).
pub fn skipped(vm: &VirtualMachine, sets: &RecipeSets, parsed: &Parsed, mc: &str) -> Vec<PyObjectRef> {
    let (Some(set), Some(collector)) = (sets.0.get(mc), parsed.collectors.get(mc)) else { return Vec::new() };
    let mut list: Vec<_> = set.skipped.iter().collect();
    list.sort_by_cached_key(|recipe| (-collector.priority(hz_parse::realfn(&recipe.mcfn).0).0, recipe.mcfn.clone()));
    let row = |recipe: &&hz_graph::SkippedRecipe| {
        let row = [text(vm, &recipe.mcfn), text(vm, &recipe.pn), text(vm, &recipe.reason), texts(vm, &recipe.provides), texts(vm, &recipe.rprovides)];
        vm.ctx.new_tuple(row.to_vec()).into()
    };
    list.iter().map(row).collect()
}
