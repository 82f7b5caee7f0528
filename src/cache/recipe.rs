//! What the rest of a build needs to know of one recipe (or one variant of it) once it is parsed.

use crate::encoded::Head;
use crate::store::Place;
use hz_diagnostics::Str;
use hz_siggen::PackedSignatures;
use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use std::sync::OnceLock;

/// Facts of one recipe variant. Field by field what the reference caches ("Recipe facts cached" in
/// the compatibility surface).
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct RecipeInfo {
    /// `[mc:NAME:][virtual:VARIANT:]PATH`.
    pub mcfn: Str,
    pub pn: Str,
    pub pe: Str,
    pub pv: Str,
    pub pr: Str,
    /// Text of SkipRecipe; the fields below `packages_dynamic` are then empty.
    pub skipped: Option<Str>,
    pub variants: Vec<Str>,
    pub appends: Vec<Str>,
    /// BB_DONT_CACHE is set.
    pub nocache: bool,
    pub provides: Vec<Str>,
    pub rprovides: Vec<Str>,
    /// Never empty: PN when PACKAGES is.
    pub packages: Vec<Str>,
    pub rprovides_pkg: IndexMap<Str, Vec<Str>>,
    pub packages_dynamic: Vec<Str>,

    /// `__BBTASKS` in order.
    pub tasks: Vec<Str>,
    pub task_deps: TaskDeps,
    pub default_preference: i64,
    pub exclude_from_world: bool,
    pub stamp: Str,
    pub stampclean: Str,
    /// task -> `stamp-extra-info`, where set.
    pub stamp_extrainfo: IndexMap<Str, Str>,
    /// task -> `file-checksums`, where not empty.
    pub file_checksums: IndexMap<Str, Str>,
    pub depends: Vec<Str>,
    pub rdepends: Vec<Str>,
    pub rrecommends: Vec<Str>,
    pub rdepends_pkg: IndexMap<Str, Vec<Str>>,
    pub rrecommends_pkg: IndexMap<Str, Vec<Str>>,
    /// Class files inherited, in order.
    pub inherits: Vec<Str>,
    pub hashfilename: Str,
    pub fakerootenv: Str,
    pub fakerootdirs: Str,
    pub fakerootlogs: Str,
    pub fakerootnoenv: Str,
    pub extradepsfunc: Str,
    /// task -> base hash, where the metadata's own generator makes them; see [`Recipe::base_hashes`].
    pub basehashes: IndexMap<Str, Str>,
    /// What sigdata files show, as numbers of the process that parsed the recipe. Travels and is stored
    /// apart from the rest ([`crate::RecipeCache::siggen`]): it is large and rarely read.
    #[serde(skip)]
    pub siggen: PackedSignatures,
}

/// `_task_deps`: what flags say about tasks.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct TaskDeps {
    pub tasks: Vec<Str>,
    /// task -> tasks of the same recipe that must run before (flag `deps`, expanded), known ones only.
    pub parents: IndexMap<Str, Vec<Str>>,
    /// flag -> task -> its expanded text, for `depends`, `rdepends`, `mcdepends`, `deptask`,
    /// `rdeptask`, `recrdeptask`, `recideptask`, `nostamp`, `fakeroot`, `noexec`, `umask`,
    /// `cleandirs` and whatever else the reference records there.
    pub flags: IndexMap<Str, IndexMap<Str, Str>>,
}

/// The part of the facts that decides who provides what, in the fields of [`RecipeInfo`] of the same names.
#[derive(Clone, Debug, Default)]
pub struct Providing {
    pub pe: Str,
    pub pv: Str,
    pub pr: Str,
    pub default_preference: i64,
    pub exclude_from_world: bool,
    pub provides: Vec<Str>,
    pub rprovides: Vec<Str>,
    pub packages: Vec<Str>,
    pub packages_dynamic: Vec<Str>,
    pub rprovides_pkg: IndexMap<Str, Vec<Str>>,
}

/// A recipe of this run. One that the cache file still knew is read from it when somebody asks for more
/// than stands here: most commands need all recipes' names and few recipes' facts.
#[derive(Clone, Debug)]
pub struct Recipe {
    pub mcfn: Str,
    pub pn: Str,
    pub skipped: Option<Str>,
    pub stamp: Str,
    providing: OnceLock<Providing>,
    info: OnceLock<RecipeInfo>,
    place: Option<Place>,
    /// Base hashes that the facts do not hold.
    hashes: OnceLock<Hashes>,
}

#[derive(Clone, Debug, Default)]
struct Hashes {
    named: IndexMap<Str, Str>,
    /// In the order of the tasks, where they were made in this run.
    made: Option<Vec<[u8; 32]>>,
}

impl Recipe {
    pub(crate) fn at(place: Place, head: Head) -> Recipe {
        let Head { mcfn, pn, stamp, skipped } = head;
        Recipe { mcfn, pn, skipped, stamp, providing: OnceLock::new(), info: OnceLock::new(), place: Some(place), hashes: OnceLock::new() }
    }

    /// task -> base hash: as the metadata's own generator made them, as they were kept, or made now of the recipe's
    /// signatures.
    pub fn base_hashes(&self) -> &IndexMap<Str, Str> {
        if !self.basehashes.is_empty() {
            return &self.basehashes;
        }
        &self.known_hashes().unwrap_or_else(|| self.put_hashes(self.made_now())).named
    }

    /// None: they have to be made.
    fn known_hashes(&self) -> Option<&Hashes> {
        if let Some(known) = self.hashes.get() {
            return Some(known);
        }
        let Some(place) = &self.place else { return Some(self.hashes.get_or_init(Hashes::default)) };
        let kept = place.kept_hashes()?;
        Some(self.hashes.get_or_init(|| Hashes { named: place.named_hashes(&kept), made: None }))
    }

    fn put_hashes(&self, made: Vec<[u8; 32]>) -> &Hashes {
        self.hashes.get_or_init(|| {
            let named = self.place.as_ref().map(|place| place.named_hashes(&made)).unwrap_or_default();
            Hashes { named, made: Some(made) }
        })
    }

    fn made_now(&self) -> Vec<[u8; 32]> {
        self.place.as_ref().map(Place::make_hashes).unwrap_or_default()
    }

    /// Do its base hashes have to be made ([`Self::make_base_hashes`])?
    pub fn lacks_base_hashes(&self) -> bool {
        self.basehashes.is_empty() && self.known_hashes().is_none()
    }

    /// Base hashes as bytes, for another process's [`Self::take_base_hashes`].
    pub fn make_base_hashes(&self) -> Vec<u8> {
        self.made_now().concat()
    }

    pub fn take_base_hashes(&self, bytes: &[u8]) {
        self.put_hashes(bytes.as_chunks().0.to_vec());
    }

    /// Where the recipe is, and its base hashes, if they were made in this run.
    pub(crate) fn made_hashes(&self) -> Option<(&Place, &[[u8; 32]])> {
        self.place.as_ref().zip(self.hashes.get()?.made.as_deref())
    }

    /// Were its base hashes made in this run, of its signatures as they are?
    pub fn has_new_base_hashes(&self) -> bool {
        self.basehashes.is_empty() && self.made_hashes().is_some()
    }

    /// What of the facts all recipes are asked for where one is looked for. Does not read the rest.
    pub fn providing(&self) -> &Providing {
        self.providing.get_or_init(|| match (self.info.get(), &self.place) {
            (Some(info), _) => Providing {
                pe: info.pe.clone(),
                pv: info.pv.clone(),
                pr: info.pr.clone(),
                default_preference: info.default_preference,
                exclude_from_world: info.exclude_from_world,
                provides: info.provides.clone(),
                rprovides: info.rprovides.clone(),
                packages: info.packages.clone(),
                packages_dynamic: info.packages_dynamic.clone(),
                rprovides_pkg: info.rprovides_pkg.clone(),
            },
            (None, Some(place)) => place.providing(),
            (None, None) => Providing::default(),
        })
    }
}

impl From<RecipeInfo> for Recipe {
    fn from(info: RecipeInfo) -> Recipe {
        Recipe {
            mcfn: info.mcfn.clone(),
            pn: info.pn.clone(),
            skipped: info.skipped.clone(),
            stamp: info.stamp.clone(),
            providing: OnceLock::new(),
            info: info.into(),
            place: None,
            hashes: OnceLock::new(),
        }
    }
}

impl std::ops::Deref for Recipe {
    type Target = RecipeInfo;
    fn deref(&self) -> &RecipeInfo {
        self.info.get_or_init(|| self.place.as_ref().map(Place::read).unwrap_or_default())
    }
}
