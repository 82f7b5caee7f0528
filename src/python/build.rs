//! Rebuilds the crate when a module of `pylib/` changes: the whole folder is compiled into it.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    watch(std::path::Path::new("../../pylib"));
}

fn watch(dir: &std::path::Path) {
    println!("cargo::rerun-if-changed={}", dir.display());
    let Ok(entries) = std::fs::read_dir(dir) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        if path.is_dir() {
            watch(&path);
        } else {
            println!("cargo::rerun-if-changed={}", path.display());
        }
    }
}
