//! The dependency tree of a build by names, for `-g`, the task explorer and the event that shows
//! it to metadata (`bb.cooker.buildDependTree`).

use crate::{BuildPlan, RecipeId, Result, TaskGraph};
use hz_diagnostics::Str;
use hz_events::{level, log};
use indexmap::{IndexMap, IndexSet};
use rustc_hash::FxHashSet;
use serde_json::{Map, Value, json};
use std::io::Write;
use std::path::Path;

/// Facts of a recipe in the tree.
#[derive(Clone, Debug)]
pub struct PnInfo {
    pub filename: Str,
    /// `PE:PV-PR`.
    pub version: String,
    pub inherits: Vec<Str>,
}

/// Where a package comes from.
#[derive(Clone, Debug)]
pub struct PackageInfo {
    pub pn: String,
    pub filename: Str,
    pub version: String,
}

/// Names and what they depend on. A PN of a named multiconfig is `mc:NAME:PN`.
#[derive(Clone, Debug, Default)]
pub struct DependTree {
    pub pn: IndexMap<String, PnInfo>,
    pub depends: IndexMap<String, Vec<Str>>,
    /// `PN.TASK` -> `PN.TASK`.
    pub tdepends: IndexMap<String, Vec<String>>,
    pub rdepends_pn: IndexMap<String, Vec<Str>>,
    pub packages: IndexMap<Str, PackageInfo>,
    pub rdepends_pkg: IndexMap<Str, Vec<Str>>,
    pub rrecs_pkg: IndexMap<Str, Vec<Str>>,
    /// Item -> PN and version, where they differ in name.
    pub providermap: IndexMap<Str, (String, String)>,
}

impl DependTree {
    pub fn new(graph: &TaskGraph) -> DependTree {
        let mut tree = DependTree::default();
        let with_mc = |mc: &str, pn: &str| if mc.is_empty() { pn.to_owned() } else { format!("mc:{mc}:{pn}") };
        for (mc, data) in &graph.plan.taskdata {
            let set = &graph.plan.sets[mc];
            for (item, recipe) in data.provider_map("") {
                let pn = with_mc(mc, set.pn(recipe));
                if *item != *pn {
                    tree.providermap.insert(item, (pn, set.version(recipe)));
                }
            }
        }
        let names: Vec<String> = (0..graph.tasks.len() as u32).map(|id| with_mc(graph.mc(id), graph.pn(id))).collect();
        let mut seen = FxHashSet::default();
        for (id, task) in graph.tasks.iter().enumerate() {
            let (set, pn) = (graph.set(id as u32), &names[id]);
            let recipe = set.recipe(task.recipe);
            let (filename, version) = (recipe.info.mcfn.clone(), set.version(task.recipe));
            let info = || PnInfo { filename: filename.clone(), version: version.clone(), inherits: recipe.info.inherits.clone() };
            tree.pn.entry(pn.clone()).or_insert_with(info);
            let deps = task.depends.iter().map(|dep| format!("{}.{}", names[*dep as usize], graph.task(*dep).name));
            tree.tdepends.entry(format!("{pn}.{}", task.name)).or_default().extend(deps);
            if !seen.insert((task.mc, task.recipe)) {
                continue;
            }
            let data = &graph.plan.taskdata[task.mc as usize];
            tree.depends.insert(pn.clone(), data.depids[&task.recipe].clone());
            tree.rdepends_pn.insert(pn.clone(), data.rdepids[&task.recipe].clone());
            let needs = recipe.needs();
            let packages: IndexSet<&Str> = needs.rundeps.keys().chain(needs.runrecs.keys()).collect();
            needs.rundeps.iter().for_each(|(package, deps)| { tree.rdepends_pkg.insert(package.clone(), deps.clone()); });
            needs.runrecs.iter().for_each(|(package, deps)| { tree.rrecs_pkg.insert(package.clone(), deps.clone()); });
            for package in packages {
                let info = || PackageInfo { pn: pn.clone(), filename: filename.clone(), version: version.clone() };
                tree.packages.entry(package.clone()).or_insert_with(info);
            }
        }
        tree
    }

    /// The same of what targets need, before it is known which tasks run: each recipe depends on
    /// recipes here, where they are known. Nothing is told of tasks, items and packages.
    pub fn of_recipes(plan: &BuildPlan) -> DependTree {
        let mut tree = DependTree::default();
        for (mc, data) in &plan.taskdata {
            let set = &plan.sets[mc];
            let with_mc = |name: &str| if mc.is_empty() { name.to_owned() } else { format!("mc:{mc}:{name}") };
            let mut seen = FxHashSet::default();
            for entry in &data.tasks {
                let recipe = set.recipe(entry.recipe);
                let pn = with_mc(set.pn(entry.recipe));
                tree.pn.entry(pn.clone()).or_insert_with(|| PnInfo {
                    filename: recipe.info.mcfn.clone(), version: set.version(entry.recipe), inherits: recipe.info.inherits.clone(),
                });
                if !seen.insert(entry.recipe) {
                    continue;
                }
                let named = |items: &[Str], provider: &dyn Fn(&str) -> Option<RecipeId>| -> Vec<Str> {
                    items.iter().map(|item| with_mc(provider(item).map_or(item, |id| set.pn(id))).into()).collect()
                };
                tree.depends.insert(pn.clone(), named(&data.depids[&entry.recipe], &|item| data.provider(item)));
                tree.rdepends_pn.insert(pn, named(&data.rdepids[&entry.recipe], &|item| data.runtime_provider(item)));
                let needs = recipe.needs();
                needs.rundeps.iter().for_each(|(package, deps)| { tree.rdepends_pkg.insert(package.clone(), deps.clone()); });
                needs.runrecs.iter().for_each(|(package, deps)| { tree.rrecs_pkg.insert(package.clone(), deps.clone()); });
            }
        }
        tree
    }

    /// The parts that [`DependTree::of_recipes`] fills, as the TargetsTreeGenerated event carries them.
    pub fn recipes_to_json(&self) -> Value {
        let Value::Object(mut all) = self.to_json(Value::Null) else { return Value::Null };
        all.retain(|name, _| ["depends", "pn", "rdepends-pn", "rdepends-pkg", "rrecs-pkg"].contains(&name.as_str()));
        Value::Object(all)
    }

    /// The tree as the DepTreeGenerated event carries it; `priorities` is `layer-priorities`.
    pub fn to_json(&self, priorities: Value) -> Value {
        let lists = |table: &IndexMap<String, Vec<Str>>| -> Map<String, Value> { table.iter().map(|(k, v)| (k.clone(), list(v))).collect() };
        let named = |table: &IndexMap<Str, Vec<Str>>| -> Map<String, Value> { table.iter().map(|(k, v)| (k.to_string(), list(v))).collect() };
        fn list(items: &[Str]) -> Value {
            items.iter().map(|item| Value::from(&**item)).collect()
        }
        let pn: Map<String, Value> = self.pn.iter().map(|(pn, info)| (pn.clone(), json!({
            "filename": &*info.filename, "version": info.version, "inherits": list(&info.inherits),
        }))).collect();
        let packages: Map<String, Value> = self.packages.iter().map(|(name, info)| (name.to_string(), json!({
            "pn": info.pn, "filename": &*info.filename, "version": info.version,
        }))).collect();
        let tdepends: Map<String, Value> = self.tdepends.iter().map(|(task, deps)| (task.clone(), json!(deps))).collect();
        let providermap: Map<String, Value> = self.providermap.iter().map(|(item, entry)| (item.to_string(), json!(entry))).collect();
        json!({
            "depends": lists(&self.depends), "tdepends": tdepends, "pn": pn, "rdepends-pn": lists(&self.rdepends_pn),
            "packages": packages, "rdepends-pkg": named(&self.rdepends_pkg), "rrecs-pkg": named(&self.rrecs_pkg),
            "providermap": providermap, "layer-priorities": priorities,
        })
    }

    /// `pn-buildlist`'s text.
    pub fn buildlist(&self) -> String {
        let mut names: Vec<&str> = self.pn.keys().map(String::as_str).collect();
        names.sort_unstable();
        names.join("\n") + "\n"
    }

    /// `task-depends.dot`'s text.
    pub fn dot(&self) -> String {
        let mut out = String::from("digraph depends {\n");
        let mut tasks: Vec<&String> = self.tdepends.keys().collect();
        tasks.sort_unstable();
        for task in tasks {
            let (pn, name) = task.rsplit_once('.').unwrap_or((task, ""));
            let Some(info) = self.pn.get(pn) else { continue };
            out += &format!("\"{task}\" [label=\"{pn} {name}\\n{}\\n{}\"]\n", info.version, info.filename);
            let mut deps: Vec<&String> = self.tdepends[task].iter().collect();
            deps.sort_unstable();
            for dep in deps {
                out += &format!("\"{task}\" -> \"{dep}\"\n");
            }
        }
        out + "}\n"
    }

    /// Writes both files into `directory` and removes those of old releases (`bitbake -g`).
    pub fn write_files(&self, directory: &Path) -> Result<()> {
        let failed = |name: &str, e: std::io::Error| crate::fatal("", format!("Unable to write {}: {e}", directory.join(name).display()));
        let write = |name: &str, text: &str| std::fs::File::create(directory.join(name)).and_then(|mut file| file.write_all(text.as_bytes())).map_err(|e| failed(name, e));
        if !self.pn.is_empty() {
            write("pn-buildlist", &self.buildlist())?;
            log(level::NOTE, "", "PN build list saved to 'pn-buildlist'");
        }
        for old in ["pn-depends.dot", "package-depends.dot", "recipe-depends.dot"] {
            match std::fs::remove_file(directory.join(old)) {
                Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(failed(old, e)),
                _ => {}
            }
        }
        write("task-depends.dot", &self.dot())?;
        log(level::NOTE, "", "Task dependencies saved to 'task-depends.dot'");
        Ok(())
    }
}
