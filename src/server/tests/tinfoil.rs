//! Programs in our VM that use the cooker: `tinfoil.py` opens it on the example's layers.

#[test]
fn programs_use_the_cooker() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/tinfoil.py");
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/../../example");
    assert_eq!(hz_server::run_script(vec![script.into(), example.into()]), 0, "{script} failed");
}
