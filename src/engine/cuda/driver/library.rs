//! The driver's library: whether it is there, and its version. Not here: what an operator is told (`preflight`).

use cudarc::driver::{DriverError, sys};

/// Whether the library can be opened. Nothing else of the driver may be called before: cudarc panics without it.
pub(crate) fn is_present() -> bool {
    // SAFETY: opening a library runs its constructors; it is NVIDIA's driver, or what the operator has put in its place.
    unsafe { sys::is_culib_present() }
}

/// The CUDA version that the driver supports: 12040 is 12.4.
pub(crate) fn version() -> Result<i32, DriverError> {
    let mut version = 0;
    // SAFETY: a place for the result is given.
    let asked = unsafe { sys::cuDriverGetVersion(&raw mut version) };
    asked.result().map(|()| version)
}
