//! Python for metadata: the RustPython VM, the native modules behind `bb.*`, and the calls of
//! metadata functions.

pub mod events_module;
pub mod utils;
pub mod vm;

pub use vm::{Options, Python, enter, start};
