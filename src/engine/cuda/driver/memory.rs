//! Memory of the device that is allocated once and given back when it is dropped. Not here: which part of it is what (`plan`).

use std::ops::Range;
use std::sync::Arc;

use cudarc::driver::result;

use super::error::{Doing as _, DriverError};
use super::gpu::Gpu;
use crate::engine::cuda::array::{Array, Contents};
use crate::engine::cuda::number::Type;

/// Bytes to which every array is aligned: the driver's own granularity, and more than any load needs.
pub(crate) const ALIGNMENT: usize = 256;

/// Memory of the device.
pub(crate) struct Allocation {
    gpu: Arc<Gpu>,
    address: u64,
    bytes: usize,
}

impl Allocation {
    /// Allocates; what is in it is not defined. Not stream ordered, so that a lack of memory shows here and a drop gives it back at once.
    pub(crate) fn new(gpu: &Arc<Gpu>, bytes: usize) -> Result<Self, DriverError> {
        gpu.bind()?;
        let bytes = bytes.max(1);
        // SAFETY: the context is bound. The memory is freed in `drop`, and only there.
        let address = gpu.note(unsafe { result::malloc_sync(bytes) }.doing(|| format!("allocating {bytes} bytes")))?;
        Ok(Self { gpu: Arc::clone(gpu), address, bytes })
    }

    /// Its size in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Numbers that lie in it, from this byte on.
    pub(crate) fn array(&self, offset: usize, len: usize, ty: Type) -> Array {
        debug_assert!(offset.is_multiple_of(ALIGNMENT) && offset + len * ty.bytes() <= self.bytes, "outside");
        Array { address: self.address + offset as u64, len, ty }
    }

    /// Copies bytes into it, from this byte on, which are read now. They are there once [`Gpu::settle`] has returned: the driver may only have staged
    /// them.
    pub(crate) fn write(&self, offset: usize, bytes: &[u8]) -> Result<(), DriverError> {
        self.check(offset, bytes.len())?;
        self.gpu.bind()?;
        // SAFETY: the bytes lie within the allocation; the call returns when the source has been read.
        let copied = unsafe { result::memcpy_htod_sync(self.address + offset as u64, bytes) };
        self.gpu.note(copied.doing(|| format!("copying {} bytes to the device", bytes.len())))
    }

    /// What the allocation has no room for is refused, whoever computed it.
    fn check(&self, offset: usize, bytes: usize) -> Result<(), DriverError> {
        if offset + bytes <= self.bytes {
            return Ok(());
        }
        let doing = format!("{bytes} bytes from byte {offset} of {}", self.bytes);
        Err(DriverError { code: cudarc::driver::sys::CUresult::CUDA_ERROR_INVALID_VALUE, doing })
    }
}

impl Drop for Allocation {
    fn drop(&mut self) {
        // after a fault nothing can be freed any more: the context takes it along
        let freed = self.gpu.bind().and_then(|()| {
            // SAFETY: allocated in `new`, freed nowhere else. Launches that use it have ended: an executable waits for its streams
            // before it drops its memory, and weights live in every executable that reads them.
            unsafe { result::free_sync(self.address) }.doing(|| format!("freeing {} bytes", self.bytes))
        });
        let _ = self.gpu.note(freed);
    }
}

/// Copies on request, each at once.
impl Contents for Gpu {
    fn read(&self, array: Array, range: Range<usize>) -> Result<Vec<f64>, DriverError> {
        debug_assert!(range.end <= array.len, "{range:?} of {array:?}");
        self.bind()?;
        let size = array.ty.bytes();
        let mut bytes = vec![0u8; range.len() * size];
        if bytes.is_empty() {
            return Ok(Vec::new());
        }
        // SAFETY: arrays are parts of allocations that live (their owner holds them while it reads); the range lies within.
        let copied = unsafe { result::memcpy_dtoh_sync(&mut bytes, array.address + (range.start * size) as u64) };
        self.note(copied.doing(|| format!("copying {} bytes from the device", range.len() * size)))?;
        Ok(array.ty.decode(&bytes))
    }
}
