//! Pickled stores, what a read of one gives, and signal handlers: `values.py` runs in our VM.

use rustpython_vm::compiler::Mode;

#[test]
fn values() {
    hz_python::start(hz_python::Options::default());
    hz_python::enter(|vm| {
        let (text, file) = (include_str!("values.py"), "values.py");
        let scope = vm.new_scope_with_main().expect("__main__");
        let code = vm.compile(text, Mode::Exec, file).map_err(|e| e.into_pyexception(vm, Some(text)));
        if let Err(error) = code.and_then(|code| vm.run_code_obj(code, scope)) {
            vm.print_exception(&error);
            panic!("{file} failed");
        }
    });
}
