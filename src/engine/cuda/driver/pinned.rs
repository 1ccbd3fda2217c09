//! Memory of the host that the GPU reads and writes by itself. Not here: who gets a piece of it (`lease`, `executable`).

use std::ptr::NonNull;
use std::sync::Arc;

use cudarc::driver::result;

use super::error::{Doing as _, DriverError};
use super::gpu::Gpu;

/// Pinned memory of the host, all zeros at first.
///
/// Not write-combined: whoever resizes an image reads back what it wrote.
pub(crate) struct Pinned {
    gpu: Arc<Gpu>,
    pointer: NonNull<u8>,
    bytes: usize,
}

// SAFETY: the memory is plain memory of the process, owned by this value alone.
unsafe impl Send for Pinned {}
// SAFETY: as above; shared references only read.
unsafe impl Sync for Pinned {}

impl Pinned {
    pub(crate) fn new(gpu: &Arc<Gpu>, bytes: usize) -> Result<Self, DriverError> {
        gpu.bind()?;
        let bytes = bytes.max(1);
        // SAFETY: the context is bound; the memory is freed in `drop`, and only there.
        let allocated = unsafe { result::malloc_host(bytes, 0) };
        let allocated = allocated.doing(|| format!("pinning {bytes} bytes of the host's memory"));
        let pointer = gpu.note(allocated)?.cast::<u8>();
        let Some(pointer) = NonNull::new(pointer) else {
            let doing = format!("pinning {bytes} bytes of the host's memory");
            return Err(DriverError { code: cudarc::driver::sys::CUresult::CUDA_ERROR_OUT_OF_MEMORY, doing });
        };
        // SAFETY: so many bytes were allocated just now, and nobody else has them.
        unsafe { pointer.as_ptr().write_bytes(0, bytes) };
        Ok(Self { gpu: Arc::clone(gpu), pointer, bytes })
    }
}

impl AsRef<[u8]> for Pinned {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: so many bytes, all initialised, live as long as this value. The GPU writes to pinned memory only between a launch and the
        // end of its batch, while the executable reads nothing of it.
        unsafe { std::slice::from_raw_parts(self.pointer.as_ptr(), self.bytes) }
    }
}

impl AsMut<[u8]> for Pinned {
    fn as_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, and nobody else has a reference. The GPU reads an image only while its batch holds the lease.
        unsafe { std::slice::from_raw_parts_mut(self.pointer.as_ptr(), self.bytes) }
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        // After a fault the driver refuses; the memory then goes with the process.
        let freed = self.gpu.context.bind_to_thread().and_then(|()| {
            // SAFETY: allocated in `new`, freed nowhere else, and no copy of it is under way: leases and slots outlive their batches.
            unsafe { result::free_host(self.pointer.as_ptr().cast()) }
        });
        let _ = self.gpu.note(freed.doing(|| "freeing pinned memory".to_owned()));
    }
}
