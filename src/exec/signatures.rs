//! What base hashes are made of, recipe by recipe, for the signature files that tasks write. Filled
//! by whoever parses or loads recipes; tasks inherit it when forked.

use hz_diagnostics::Str;
use hz_siggen::packed::{Tables, with_interner};
use hz_siggen::share::Pieces;
use hz_siggen::{LibrarySignatures, PackedSignatures, RecipeSignatures, Rules, Share, SigData};
use indexmap::IndexMap;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

/// Looks at signatures, with the tables their numbers belong to.
pub type Look<'a> = &'a mut dyn FnMut(&PackedSignatures, &dyn Tables);

/// Shows the signatures of a recipe not set before; false if it knows none.
pub type Source = Box<dyn Fn(&str, Look<'_>) -> bool + Send>;

#[derive(Default)]
struct Known {
    /// With the numbers of this process.
    signatures: HashMap<Str, PackedSignatures>,
    /// The recipe asked for last: signature files are written recipe by recipe.
    share: Option<(Str, Arc<Share>)>,
    /// What it and those before were made of.
    pieces: Pieces,
    libraries: Option<Arc<LibrarySignatures>>,
    rules: Rules,
}

static KNOWN: Mutex<Option<Known>> = Mutex::new(None);
static SOURCE: Mutex<Option<Source>> = Mutex::new(None);

fn lock<T>(mutex: &'static Mutex<T>) -> MutexGuard<'static, T> {
    mutex.lock().unwrap_or_else(|e| e.into_inner())
}

fn known<T>(look: impl FnOnce(&mut Known) -> T) -> T {
    look(lock(&KNOWN).get_or_insert_default())
}

/// Sets what the base hashes of a recipe (`[mc:…:][virtual:…:]PATH`) are made of.
pub fn set(mcfn: &str, signatures: &RecipeSignatures) {
    set_packed(mcfn, with_interner(|tables| PackedSignatures::pack(signatures, tables)));
}

/// The same, with numbers of this process's tables.
pub fn set_packed(mcfn: &str, signatures: PackedSignatures) {
    known(|k| {
        k.share.take_if(|(of, _)| **of == *mcfn);
        k.signatures.insert(mcfn.into(), signatures);
    });
}

/// Sets where to look for recipes that were not parsed in this process.
pub fn set_source(source: Source) {
    known(|k| {
        k.share = None;
        k.pieces = Pieces::default();
    });
    *lock(&SOURCE) = Some(source);
}

/// Forgets every recipe.
pub fn clear() {
    known(|k| {
        k.share = None;
        k.pieces = Pieces::default();
        k.signatures.clear();
    });
}

/// Looks at what the base hashes of a recipe are made of; false if that is not known.
fn look(mcfn: &str, look: Look<'_>) -> bool {
    let own = known(|k| match k.signatures.get(mcfn) {
        Some(found) => {
            with_interner(|tables| look(found, tables));
            true
        }
        None => false,
    });
    own || lock(&SOURCE).as_ref().is_some_and(|source| source(mcfn, look))
}

/// Is it known what the base hashes of a recipe are made of?
pub fn knows(mcfn: &str) -> bool {
    look(mcfn, &mut |_, _| {})
}

/// What the base hashes of a recipe are made of, if that is known.
pub fn get(mcfn: &str) -> Option<RecipeSignatures> {
    let mut found = None;
    look(mcfn, &mut |packed, tables| found = Some(packed.unpack(IndexMap::new(), tables)));
    found
}

/// What the signature files of a recipe's tasks have in common, if it is known what its base hashes are made of.
pub fn share(mcfn: &str) -> Option<Arc<Share>> {
    if let Some(share) = known(|k| k.share.as_ref().filter(|(of, _)| **of == *mcfn).map(|(_, share)| share.clone())) {
        return Some(share);
    }
    let mut found = None;
    let mut pieces = known(|k| std::mem::take(&mut k.pieces));
    look(mcfn, &mut |packed, tables| found = Some(Arc::new(Share::with(packed, tables, &mut pieces))));
    known(|k| {
        k.pieces = pieces;
        k.share = found.clone().map(|share| (mcfn.into(), share));
    });
    found
}

/// A signature file that is written later, in a process that knows the recipe.
#[derive(Clone, Debug)]
pub struct PendingFile {
    pub mcfn: Str,
    pub task: Str,
    pub head: SigData,
    pub path: String,
}

impl PendingFile {
    /// Puts the file together and writes it; hashes that its content does not give are told.
    pub fn write(&self) -> std::io::Result<()> {
        let share = share(&self.mcfn).ok_or_else(|| std::io::Error::other(format!("nothing is known of the signatures of {}", self.mcfn)))?;
        let made = share.file(&self.task, &self.head);
        let (json, basehash) = made.map_err(|unknown| std::io::Error::other(format!("nothing is known of {} in {}", unknown.0, self.mcfn)))?;
        let (tid, mut path) = (format!("{}:{}", self.mcfn, self.task), self.path.clone());
        let mismatch = |what: &str, found: &str, known: &str| {
            hz_events::log(hz_events::level::ERROR, "", format!("{what} mismatch {found} versus {known} for {tid}"));
        };
        if basehash != self.head.basehash {
            mismatch("Basehash", &basehash, &self.head.basehash);
        }
        let known = self.head.run.as_ref().map(|run| run.taskhash.clone()).unwrap_or_default();
        if let Some(found) = hz_siggen::calc_taskhash(&self.head).filter(|found| *found != known) {
            mismatch("Taskhash", &found, &known);
            path = path.replace(&*known, &found);
        }
        hz_siggen::sigdata::write_file(std::path::Path::new(&path), &json)
    }
}

thread_local! {
    /// While signature files are not written but kept for later: the one kept.
    static KEPT: std::cell::RefCell<Option<Vec<PendingFile>>> = const { std::cell::RefCell::new(None) };
}

/// Are signature files kept at present?
pub fn keeps() -> bool {
    KEPT.with_borrow(Option::is_some)
}

/// Keeps a file.
pub fn keep(file: PendingFile) {
    KEPT.with_borrow_mut(|kept| kept.get_or_insert_default().push(file));
}

/// Calls `f` and gives, beside its result, the files it would have written, which were not.
pub fn keeping<R>(f: impl FnOnce() -> R) -> (R, Vec<PendingFile>) {
    KEPT.set(Some(Vec::new()));
    let result = f();
    (result, KEPT.take().unwrap_or_default())
}

static CHANGED: AtomicBool = AtomicBool::new(false);

/// A task's process gave a task another hash: what was known before of its files counts no more.
pub fn note_change() {
    CHANGED.store(true, Ordering::Relaxed);
}
pub fn changed() -> bool {
    CHANGED.load(Ordering::Relaxed)
}

/// Sets the functions that `addpylib` made known, for base hashes that Python code asks for.
pub fn set_libraries(libraries: Arc<LibrarySignatures>) {
    known(|k| k.libraries = Some(libraries));
}
pub fn libraries() -> Arc<LibrarySignatures> {
    known(|k| k.libraries.clone().unwrap_or_default())
}

/// Sets the rules of the release in use.
pub fn set_rules(rules: Rules) {
    known(|k| k.rules = rules);
}
pub fn rules() -> Rules {
    known(|k| k.rules.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recipe(task: &str) -> RecipeSignatures {
        let mut found = RecipeSignatures::default();
        found.gendeps.insert(task.into(), Vec::new());
        found.taskdeps.insert(task.into(), Vec::new());
        found.varvals.insert(task.into(), hz_siggen::VarVal::None);
        found
    }

    #[test]
    fn from_parsing_or_the_source() {
        set("/x/parsed.bb", &recipe("do_parsed"));
        set_source(Box::new(|mcfn, look| {
            if mcfn == "/x/cached.bb" {
                with_interner(|tables| look(&PackedSignatures::pack(&recipe("do_cached"), tables), tables));
            }
            mcfn == "/x/cached.bb"
        }));
        assert_eq!(get("/x/parsed.bb"), Some(recipe("do_parsed")));
        assert_eq!(get("/x/cached.bb"), Some(recipe("do_cached")));
        assert!(get("/x/unknown.bb").is_none() && share("/x/unknown.bb").is_none());
        let has = |mcfn: &str, task: &str| share(mcfn).unwrap().file(task, &Default::default()).is_ok();
        assert!(has("/x/parsed.bb", "do_parsed") && has("/x/cached.bb", "do_cached") && has("/x/parsed.bb", "do_parsed"));
        let head = SigData { task: Some("do_parsed".into()), basehash: "other".into(), ..SigData::default() };
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file").to_str().unwrap().to_owned();
        let file = PendingFile { mcfn: "/x/parsed.bb".into(), task: "do_parsed".into(), head, path };
        let ((), kept) = keeping(|| {
            assert!(keeps());
            keep(file);
        });
        assert!(!keeps() && kept.len() == 1);
        kept[0].write().unwrap();
        assert_eq!(hz_siggen::SigData::read(&dir.path().join("file")).unwrap().varvals["do_parsed"], hz_siggen::VarVal::None);
        set("/x/parsed.bb", &recipe("do_again"));
        assert!(has("/x/parsed.bb", "do_again"), "the one kept is that of the recipe as it was");
    }
}
