//! Python for metadata: the RustPython VM, the native modules behind `bb.*`, and the calls of
//! metadata functions.

mod ahead;
pub mod codes;
pub mod convert;
mod deferral;
pub mod errors;
pub mod events_module;
pub mod imports;
pub mod inline;
mod metadata;
pub mod modules;
mod native;
mod pylibs;
mod quiet;
pub mod runtime;
mod snapshot;
pub mod store;
pub mod utils;
pub mod vm;
mod ways;

pub use native::{Val, is_true};
pub use quiet::is_quiet;
pub use runtime::{PythonRuntime, call_python_function, shared};
pub use vm::{ForkResult, Options, Python, add_native_modules, enter, flush, fork, fork_lightly, just_forked, run_deferred, start, started};
pub use metadata::{Definition, define_function, digest_of_code, prepare_function, record_definitions, replay_definitions};
