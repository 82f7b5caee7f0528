//! The collector of recipe files as Python code may make one.

#[test]
fn python_code_collects_files() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/collect_files.py");
    assert_eq!(hz_server::run_script(vec![script.into()]), 0, "{script} failed");
}
