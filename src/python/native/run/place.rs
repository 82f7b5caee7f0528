//! Where native code stands that calls something native of the VM: a change of the store is told with the place it
//! was made at, and what is native there has no frame to see its caller by.

use super::Func;
use hz_diagnostics::Str;
use rustpython_vm::{AsObject, PyObjectRef, VirtualMachine};
use std::cell::RefCell;

thread_local! {
    static CALLER: RefCell<Option<Place>> = const { RefCell::new(None) };
}

/// File, function and line of native code that called something native of the VM, which has no frame to see its
/// caller by.
#[derive(Clone)]
pub struct Place {
    pub file: Str,
    pub func: Str,
    pub line: u32,
    /// The VM's innermost frame at that time.
    beneath: Option<PyObjectRef>,
}

/// Puts the former place back at its end.
pub(super) struct Placed(Option<Place>);

impl Place {
    /// Only where somebody wants to know.
    pub(super) fn enter(vm: &VirtualMachine, (func, line): (&Func, u32)) -> Option<Placed> {
        hz_data::is_anything_tracked().then(|| {
            let beneath = vm.current_frame().map(Into::into);
            Placed(CALLER.replace(Some(Place { file: func.file.clone(), func: func.name.clone(), line, beneath })))
        })
    }
}

impl Drop for Placed {
    fn drop(&mut self) {
        CALLER.set(self.0.take());
    }
}

/// Where native code stands that called what is running, unless functions of the VM stand between.
pub fn caller(vm: &VirtualMachine) -> Option<Place> {
    let place = CALLER.with_borrow(Clone::clone)?;
    let same = match (vm.current_frame(), &place.beneath) {
        (Some(now), Some(then)) => now.is(then),
        (None, None) => true,
        _ => false,
    };
    same.then_some(place)
}

