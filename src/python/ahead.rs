//! Compiling a layer's library with a second processor.
//!
//! Where nothing is kept of it, half of what importing a library takes is compiling it, and everything else of a start waits
//! for that. So a process of its own compiles, too, what takes longest first, and leaves it where imports look
//! for what is compiled.

use crate::deferral::Library;
use crate::vm::{ForkResult, enter, fork_lightly};
use rustpython_vm::{PyResult, VirtualMachine};
use std::path::Path;

/// So many modules are compiled sooner than a process is made.
const FEW: usize = 4;

/// A process that compiles. Dropped, it is waited for.
pub struct Ahead(i32);

impl Ahead {
    /// Starts one that compiles modules with all they import from the layers' directories. None: that would bring nothing.
    pub fn start(dirs: &[String], names: &[&str]) -> Option<Ahead> {
        let processors = std::thread::available_parallelism().map_or(1, |n| n.get());
        if names.len() < FEW || processors < 2 {
            return None;
        }
        match fork_lightly() {
            Ok(ForkResult::Parent(pid)) => Some(Ahead(pid)),
            Ok(ForkResult::Child) => help(dirs, names),
            Err(_) => None,
        }
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        // It does what is left to compile, which is nothing when all was imported.
        while let Err(nix::errno::Errno::EINTR) = nix::sys::wait::waitpid(nix::unistd::Pid::from_raw(self.0), None) {}
    }
}

fn help(dirs: &[String], names: &[&str]) -> ! {
    // SAFETY: plain calls. Who interrupts means the process that is helped, and with that this one goes, too.
    unsafe {
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
        libc::signal(libc::SIGINT, libc::SIG_IGN);
    }
    let mut files = Library::new(dirs).files(names);
    files.sort_by_cached_key(|(_, file)| std::cmp::Reverse(std::fs::metadata(file).map_or(0, |found| found.len())));
    enter(|vm| {
        // What a compiler warns of is said to who imports the module: that one is to compile it.
        let warnings = vm.import("warnings", 0).and_then(|module| vm.call_method(&module, "simplefilter", ("error",)));
        for (name, file) in files.iter().take_while(|_| warnings.is_ok()) {
            // So are errors.
            let _ = compile(vm, name, file);
        }
    });
    // SAFETY: a plain call. What is to be done at the end of a process is the other one's.
    unsafe { libc::_exit(0) }
}

/// Compiles a module and keeps that, as its import does, unless it is kept already.
fn compile(vm: &VirtualMachine, name: &str, file: &Path) -> PyResult<()> {
    let loaders = crate::runtime::module(vm, "_frozen_importlib_external")?;
    let loader = loaders.get_attr("SourceFileLoader", vm)?.call((name.to_string(), file.to_string_lossy().into_owned()), vm)?;
    vm.call_method(&loader, "get_code", (name.to_string(),)).map(drop)
}
