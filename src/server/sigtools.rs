//! `bitbake-dumpsig` and `bitbake-diffsigs`: a Python program (`bb._sigtools`) and the build
//! directory's configuration, read only if the program asks for it.

use crate::Request;
use crate::bridge::{call, text, texts};
use crate::program::{run_program, start_python};
use crate::session::{Features, Session, Terminal, check_place, environment, tell_error};
use hz_events::level;
use hz_ui::Options;
use rustpython_vm::VirtualMachine;
use std::cell::RefCell;
use std::path::Path;

thread_local! {
    /// The configuration once it is read.
    static OPEN: RefCell<Option<Session>> = const { RefCell::new(None) };
}

/// Runs the program its first argument names; gives the exit status.
pub fn signature_tool(args: Vec<String>) -> i32 {
    let name = args.first().map(|a| Path::new(a).file_name().unwrap_or_default().to_string_lossy().into_owned()).unwrap_or_default();
    let rest = args.get(1..).unwrap_or_default().to_vec();
    let status = run_program(start_python(args, None), |vm| {
        let configure = vm.new_function("configure", configure);
        call(vm, "bb._sigtools", "main", vec![text(vm, &name), texts(vm, rest), configure.into()]).map(drop)
    });
    if let Some(mut session) = OPEN.take() {
        session.close();
    }
    status
}

/// {multiconfig: store}, or None when the configuration cannot be read, which has been told then.
fn configure(vm: &VirtualMachine) -> rustpython_vm::PyResult {
    let terminal = Terminal::new(Options { quiet: 0, loglevel: level::WARNING, universe: false, domains: Vec::new() });
    hz_events::set_sink(Box::new(terminal.clone()));
    let features = Features { tracking: false, skip_fragments: false };
    let caller = environment();
    let session = match check_place(&caller).and_then(|()| Session::open(Request::default(), terminal, caller, features)) {
        Ok(opened) => opened,
        Err(error) => {
            tell_error(&error);
            return Ok(vm.ctx.none());
        }
    };
    let stores = vm.ctx.new_dict();
    for (mc, store) in &session.config.mcdata {
        stores.set_item(&**mc, hz_python::store::wrap(store, vm)?, vm)?;
    }
    OPEN.set(Some(session));
    Ok(stores.into())
}
