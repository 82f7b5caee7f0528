//! What base hashes are made of, recipe by recipe, for the signature files that tasks write. Filled
//! by whoever parses or loads recipes; tasks inherit it when forked.

use hz_diagnostics::Str;
use hz_siggen::{LibrarySignatures, RecipeSignatures, Rules};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

/// Gives the signatures of a recipe not set before, or None if it knows none.
pub type Source = Box<dyn Fn(&str) -> Option<RecipeSignatures> + Send>;

#[derive(Default)]
struct Known {
    signatures: HashMap<Str, Arc<RecipeSignatures>>,
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
pub fn set(mcfn: &str, signatures: Arc<RecipeSignatures>) {
    known(|k| k.signatures.insert(mcfn.into(), signatures));
}

/// Sets where to look for recipes that were not parsed in this process.
pub fn set_source(source: Source) {
    *lock(&SOURCE) = Some(source);
}

/// Forgets every recipe.
pub fn clear() {
    known(|k| k.signatures.clear());
}

/// What the base hashes of a recipe are made of, if that is known.
pub fn get(mcfn: &str) -> Option<Arc<RecipeSignatures>> {
    if let Some(found) = known(|k| k.signatures.get(mcfn).cloned()) {
        return Some(found);
    }
    let found = Arc::new(lock(&SOURCE).as_ref()?(mcfn)?);
    set(mcfn, found.clone());
    Some(found)
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

    #[test]
    fn from_parsing_or_the_source() {
        set("/x/parsed.bb", Arc::default());
        set_source(Box::new(|mcfn| (mcfn == "/x/cached.bb").then(RecipeSignatures::default)));
        assert!(get("/x/parsed.bb").is_some() && get("/x/cached.bb").is_some());
        assert!(get("/x/unknown.bb").is_none());
    }
}
