//! All recipes of one multiconfig and the tables made from them: who provides what.

use fancy_regex::Regex;
use hz_diagnostics::Str;
use hz_events::{level, log};
use indexmap::{IndexMap, IndexSet};
use rustc_hash::{FxBuildHasher, FxHashMap};
use std::sync::{Arc, OnceLock};

pub(crate) type Table<V> = IndexMap<Str, V, FxBuildHasher>;

/// Index of a recipe in its [`RecipeSet`], in the order in which they were added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecipeId(pub u32);

/// A recipe that can be built, with the lists the tables derive from it.
#[derive(Clone, Debug)]
pub struct Recipe {
    pub info: Arc<hz_cache::Recipe>,
    /// PN, then PROVIDES.
    pub provides: Vec<Str>,
    /// Priority of the recipe's layer.
    pub priority: i64,
    /// Made of the recipe's facts when somebody asks: most recipes are only looked at.
    needs: OnceLock<Needs>,
}

/// What a recipe needs, as it is looked for.
#[derive(Clone, Debug)]
pub struct Needs {
    /// DEPENDS, each once. Extra dependencies of the recipe's own function are added later.
    pub deps: Vec<Str>,
    /// Package -> what it needs at run time (RDEPENDS of the recipe and of the package).
    pub rundeps: IndexMap<Str, Vec<Str>>,
    /// Package -> what it recommends.
    pub runrecs: IndexMap<Str, Vec<Str>>,
}

impl Needs {
    fn of(info: &hz_cache::RecipeInfo) -> Needs {
        let of_packages = |table: &IndexMap<Str, Vec<Str>>, common: &[Str]| {
            let of = |package: &Str| common.iter().chain(table.get(package).into_iter().flatten()).cloned().collect();
            info.packages.iter().map(|package| (package.clone(), of(package))).collect()
        };
        let deps: IndexSet<&Str, FxBuildHasher> = info.depends.iter().collect();
        Needs {
            deps: deps.into_iter().cloned().collect(),
            rundeps: of_packages(&info.rdepends_pkg, &info.rdepends),
            runrecs: of_packages(&info.rrecommends_pkg, &info.rrecommends),
        }
    }
}

impl Recipe {
    pub fn needs(&self) -> &Needs {
        self.needs.get_or_init(|| Needs::of(&self.info))
    }
    /// Other build dependencies than DEPENDS says.
    pub(crate) fn set_deps(&mut self, deps: Vec<Str>) {
        self.needs();
        if let Some(needs) = self.needs.get_mut() {
            needs.deps = deps;
        }
    }
}

/// A recipe that was skipped, for the reasons in messages.
#[derive(Clone, Debug)]
pub struct SkippedRecipe {
    pub mcfn: Str,
    pub pn: Str,
    pub reason: Str,
    pub provides: Vec<Str>,
    /// PACKAGES, RPROVIDES and RPROVIDES of each package.
    pub rprovides: Vec<Str>,
}

/// A list of names that may be regular expressions: those that start with `^` or end in `$`.
#[derive(Clone, Debug, Default)]
pub struct NameMatcher {
    names: IndexSet<Str, FxBuildHasher>,
    expressions: Vec<Regex>,
}
impl NameMatcher {
    /// An expression that does not compile is logged and left out.
    pub fn new<'a>(names: impl IntoIterator<Item = &'a str>) -> NameMatcher {
        let mut matcher = NameMatcher::default();
        for name in names {
            if name.starts_with('^') || name.ends_with('$') {
                match Regex::new(&format!(r"\A(?:{name})")) {
                    Ok(regex) => matcher.expressions.push(regex),
                    Err(e) => log(level::ERROR, "Provider", format!("Error parsing regular expression '{name}' in ASSUME_PROVIDED: {e}")),
                }
            } else {
                matcher.names.insert(name.into());
            }
        }
        matcher
    }
    pub fn matches(&self, name: &str) -> bool {
        self.names.contains(name) || self.expressions.iter().any(|regex| regex.is_match(name).unwrap_or(false))
    }
}

/// An expression of PACKAGES_DYNAMIC, in which a plus is no operator. There are thousands and few
/// are ever needed: compiled when a name has its literal start.
#[derive(Clone, Debug)]
struct DynamicExpression {
    start: String,
    pattern: String,
    regex: OnceLock<Option<Regex>>,
}
impl DynamicExpression {
    fn new(expression: &str) -> DynamicExpression {
        let mut start = String::new();
        for c in expression.strip_prefix('^').unwrap_or(expression).chars() {
            if r".^$*?{}[]\|()".contains(c) {
                if "*?{".contains(c) {
                    start.pop();
                }
                break;
            }
            start.push(c);
        }
        if expression.contains('|') {
            start.clear();
        }
        DynamicExpression { start, pattern: expression.replace('+', r"\+"), regex: OnceLock::new() }
    }
    fn matches(&self, name: &str) -> bool {
        let regex = || {
            let regex = Regex::new(&format!(r"\A(?:{})", self.pattern));
            if regex.is_err() {
                log(level::ERROR, "Provider", format!("Error parsing regular expression '{}'", self.pattern));
            }
            regex.ok()
        };
        name.starts_with(&self.start) && self.regex.get_or_init(regex).as_ref().is_some_and(|regex| regex.is_match(name).unwrap_or(false))
    }
}

/// The recipes of one multiconfig.
#[derive(Clone, Debug, Default)]
pub struct RecipeSet {
    /// Name of the multiconfig, "" for the default one.
    pub mc: Str,
    pub recipes: Vec<Recipe>,
    by_mcfn: FxHashMap<Str, RecipeId>,
    /// PN -> recipes.
    pub pkg_pn: Table<Vec<RecipeId>>,
    /// Item of PROVIDES -> recipes.
    pub providers: Table<Vec<RecipeId>>,
    /// Item of RPROVIDES -> recipes.
    pub rproviders: Table<Vec<RecipeId>>,
    /// Package -> recipes.
    pub packages: Table<Vec<RecipeId>>,
    /// Expression of PACKAGES_DYNAMIC -> recipes.
    pub packages_dynamic: Table<Vec<RecipeId>>,
    dynamic_expressions: Vec<DynamicExpression>,
    /// PN -> everything provided by a recipe of that PN.
    pub pn_provides: Table<Vec<Str>>,
    /// Recipes without EXCLUDE_FROM_WORLD.
    pub possible_world: Vec<RecipeId>,
    /// What [`RecipeSet::world_targets`] found.
    world: Vec<Str>,
    /// PN of every recipe.
    pub universe_target: Vec<Str>,
    pub skipped: Vec<SkippedRecipe>,
    /// PREFERRED_PROVIDERS: item -> PN.
    pub preferred: Table<Str>,
    /// ASSUME_PROVIDED and what the command line adds to it.
    pub ignored: NameMatcher,
}

impl RecipeSet {
    pub fn new(mc: impl Into<Str>) -> RecipeSet {
        RecipeSet { mc: mc.into(), ..RecipeSet::default() }
    }

    /// Adds one recipe variant; a skipped one goes to `skipped`. `priority` is the layer's.
    pub fn add(&mut self, info: Arc<hz_cache::Recipe>, priority: i64) {
        let of = info.providing();
        if let Some(reason) = &info.skipped {
            let rprovides = of.packages.iter().chain(&of.rprovides).chain(of.rprovides_pkg.values().flatten()).cloned().collect();
            let (mcfn, pn, provides) = (info.mcfn.clone(), info.pn.clone(), of.provides.clone());
            self.skipped.push(SkippedRecipe { mcfn, pn, reason: reason.clone(), provides, rprovides });
            return;
        }
        let id = RecipeId(self.recipes.len() as u32);
        self.by_mcfn.insert(info.mcfn.clone(), id);
        self.pkg_pn.entry(info.pn.clone()).or_default().push(id);

        let mut provides = vec![info.pn.clone()];
        for item in &of.provides {
            if !provides.contains(item) {
                provides.push(item.clone());
            }
        }
        let of_pn = self.pn_provides.entry(info.pn.clone()).or_default();
        for item in &provides {
            self.providers.entry(item.clone()).or_default().push(id);
            if !of_pn.contains(item) {
                of_pn.push(item.clone());
            }
        }

        for package in &of.packages {
            self.packages.entry(package.clone()).or_default().push(id);
        }
        let by_package = of.packages.iter().filter_map(|package| of.rprovides_pkg.get(package)).flatten();
        for item in of.rprovides.iter().chain(by_package) {
            let list = self.rproviders.entry(item.clone()).or_default();
            if list.last() != Some(&id) {
                list.push(id);
            }
        }
        for expression in &of.packages_dynamic {
            let (index, new) = match self.packages_dynamic.get_index_of(expression) {
                Some(index) => (index, false),
                None => (self.packages_dynamic.insert_full(expression.clone(), Vec::new()).0, true),
            };
            if new {
                self.dynamic_expressions.push(DynamicExpression::new(expression));
            }
            self.packages_dynamic[index].push(id);
        }
        if !of.exclude_from_world {
            self.possible_world.push(id);
        }
        self.universe_target.push(info.pn.clone());
        self.recipes.push(Recipe { info, provides, priority, needs: OnceLock::new() });
    }

    pub fn recipe(&self, id: RecipeId) -> &Recipe {
        &self.recipes[id.0 as usize]
    }
    pub fn find(&self, mcfn: &str) -> Option<RecipeId> {
        self.by_mcfn.get(mcfn).copied()
    }
    pub fn pn(&self, id: RecipeId) -> &Str {
        &self.recipe(id).info.pn
    }
    pub fn mcfn(&self, id: RecipeId) -> &Str {
        &self.recipe(id).info.mcfn
    }
    /// `PE:PV-PR`, as dependency trees show it.
    pub fn version(&self, id: RecipeId) -> String {
        let of = self.recipe(id).info.providing();
        format!("{}:{}-{}", of.pe, of.pv, of.pr)
    }

    /// Recipes that provide `name` at run time: by RPROVIDES and PACKAGES, and only if there is
    /// none by the expressions of PACKAGES_DYNAMIC.
    pub fn runtime_providers(&self, name: &str) -> Vec<RecipeId> {
        let mut found: Vec<RecipeId> = Vec::new();
        found.extend(self.rproviders.get(name).into_iter().flatten());
        found.extend(self.packages.get(name).into_iter().flatten());
        if found.is_empty() {
            for (index, expression) in self.dynamic_expressions.iter().enumerate() {
                if expression.matches(name) {
                    found.extend(&self.packages_dynamic[index]);
                }
            }
        }
        found
    }

    /// Reads PREFERRED_PROVIDERS and ASSUME_PROVIDED (with `extra`, the names of `-I`).
    pub fn read_preferences(&mut self, config: &dyn crate::Config, extra: &[String]) -> crate::Result<()> {
        for entry in hz_versions::words(&config.get_or_empty("PREFERRED_PROVIDERS")?) {
            let mut parts = entry.split(':');
            let (Some(item), Some(pn), None) = (parts.next(), parts.next(), parts.next()) else {
                log(level::CRITICAL, "Provider", format!("Malformed option in PREFERRED_PROVIDERS variable: {entry}"));
                continue;
            };
            if let Some(old) = self.preferred.get(item).filter(|old| &***old != pn) {
                log(level::ERROR, "Provider", format!("conflicting preferences for {item}: both {pn} and {old} specified"));
            }
            self.preferred.insert(item.into(), pn.into());
        }
        let assumed = config.get_or_empty("ASSUME_PROVIDED")?;
        self.ignored = NameMatcher::new(hz_versions::words(&assumed).chain(extra.iter().map(String::as_str)));
        Ok(())
    }

    /// PNs that `bitbake world` means: recipes not excluded that have `task` and provide nothing
    /// that is virtual or that another recipe provides too. Worked out once: whoever asks later
    /// gets the list of the first task, as on the reference.
    pub fn world_targets(&mut self, task: Option<&str>) -> Vec<Str> {
        if self.world.is_empty() {
            self.world = self.find_world_targets(task);
        }
        self.world.clone()
    }

    fn find_world_targets(&self, task: Option<&str>) -> Vec<Str> {
        let mut targets: IndexSet<Str, FxBuildHasher> = IndexSet::default();
        for id in &self.possible_world {
            let info = &self.recipe(*id).info;
            let has_task = task.is_none_or(|task| info.task_deps.tasks.iter().any(|t| &**t == task));
            let alone = || {
                self.pn_provides[&info.pn].iter().all(|item| {
                    !item.starts_with("virtual/") && self.providers[item].iter().all(|other| *self.pn(*other) == info.pn)
                })
            };
            if has_task && alone() {
                targets.insert(info.pn.clone());
            }
        }
        targets.into_iter().collect()
    }
}
