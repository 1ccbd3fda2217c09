//! The name of this engine's device, and the error of memory that the machine does not have.

use crate::engine::LoadError;
use crate::engine::host::free_memory;

/// The device's name.
pub(crate) const DEVICE: &str = "cpu";

/// The machine has no memory for this number of bytes.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("no memory for {} MB", .0.div_ceil(1_000_000))]
pub(crate) struct NoMemory(pub(crate) usize);

impl NoMemory {
    /// The error of loading, where the bytes were for `what`.
    pub(crate) fn loading(self, what: &'static str) -> LoadError {
        LoadError::OutOfMemory { device: DEVICE.to_owned(), what, needed: self.0 as u64, free: free_memory() }
    }
}
