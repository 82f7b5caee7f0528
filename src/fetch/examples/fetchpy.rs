//! Runs a Python script (or `-c CODE`) in our VM with `bb` importable, for work on `pylib/`:
//! `cargo run -p hz-fetch --example fetchpy -- file.py ARGS`.

use rustpython_vm::AsObject;
use rustpython_vm::compiler::Mode;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut args: Vec<String> = std::env::args().skip(1).collect();
    if args.is_empty() {
        eprintln!("usage: py FILE [ARG…] | py -c CODE [ARG…]");
        return ExitCode::from(2);
    }
    let (file, text) = if args[0] == "-c" {
        args.remove(0);
        ("<string>".to_string(), args.first().cloned().unwrap_or_default())
    } else {
        match std::fs::read_to_string(&args[0]) {
            Ok(text) => (args[0].clone(), text),
            Err(e) => {
                eprintln!("{}: {e}", args[0]);
                return ExitCode::from(2);
            }
        }
    };
    let ctx = rustpython_vm::Context::genesis();
    let defs = vec![hz_fetch::pymodule::module_def(ctx)];
    hz_python::add_native_modules(&defs);
    let python = hz_python::start(hz_python::Options { argv: args, ..Default::default() });
    let status = python.enter(|vm| {
        let scope = vm.new_scope_with_main().expect("__main__");
        let result = vm
            .compile(&text, Mode::Exec, &file)
            .map_err(|e| e.into_pyexception(vm, Some(&text)))
            .and_then(|code| vm.run_code_obj(code, scope));
        match result {
            Ok(_) => ExitCode::SUCCESS,
            Err(e) if e.fast_isinstance(vm.ctx.exceptions.system_exit) => {
                let code = e.as_object().get_attr("code", vm).ok().and_then(|c| c.try_into_value::<i32>(vm).ok());
                ExitCode::from(code.unwrap_or(0) as u8)
            }
            Err(e) => {
                vm.print_exception(&e);
                ExitCode::FAILURE
            }
        }
    });
    hz_python::flush();
    status
}
