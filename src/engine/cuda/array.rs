//! Numbers in the device's memory, by address, and how the host reads them. Not here: who allocated it (`driver/memory`).

use std::ops::Range;

use super::driver::error::DriverError;
use super::number::Type;

/// Numbers of one type in the device's memory. It owns nothing: plans and executables own the memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Array {
    /// Where they begin; aligned to [`ALIGNMENT`](super::driver::memory::ALIGNMENT) bytes.
    pub(crate) address: u64,
    /// How many there are.
    pub(crate) len: usize,
    pub(crate) ty: Type,
}

impl Array {
    /// Its size.
    pub(crate) fn bytes(&self) -> usize {
        self.len * self.ty.bytes()
    }

    /// The first numbers of it.
    pub(crate) fn first(self, len: usize) -> Self {
        debug_assert!(len <= self.len, "{len} of {} numbers", self.len);
        Self { len, ..self }
    }
}

/// The address of what may not be there: 0, as kernels expect it.
pub(crate) fn address(array: Option<Array>) -> u64 {
    array.map_or(0, |array| array.address)
}

/// What is in the device's memory, for a judge.
pub(crate) trait Contents {
    /// The numbers of a part of an array.
    ///
    /// # Errors
    /// When the device does not give them.
    fn read(&self, array: Array, range: Range<usize>) -> Result<Vec<f64>, DriverError>;
}
