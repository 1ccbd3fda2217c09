//! One GPU: its context, its figures, and whether it is lost. Not here: which GPUs there are (`preflight`).

use std::sync::{Arc, OnceLock};

use cudarc::driver::CudaContext;
use cudarc::driver::sys::CUdevice_attribute_enum as Attribute;

use super::error::{Doing as _, DriverError};
use super::modules::Modules;
use crate::engine::cuda::card::Card;

/// A GPU that the process uses.
pub(crate) struct Gpu {
    /// `cuda:0`
    pub(crate) name: String,
    /// As NVIDIA calls it.
    pub(crate) model: String,
    pub(crate) card: Card,
    /// Bytes of its memory.
    pub(crate) memory: u64,
    /// As `nvidia-smi` writes it; None where the driver does not tell.
    pub(crate) uuid: Option<String>,
    pub(crate) context: Arc<CudaContext>,
    pub(super) modules: Modules,
    /// The first error after which nothing can succeed. The driver reports some of them once only.
    lost: OnceLock<DriverError>,
}

impl Gpu {
    /// Opens the GPU of this number.
    pub(crate) fn open(ordinal: usize) -> Result<Arc<Self>, DriverError> {
        let context = CudaContext::new(ordinal).doing(|| format!("opening cuda:{ordinal}"))?;
        // SAFETY: no stream waits for another by cudarc's events: each executable orders its own two streams with events of its own.
        unsafe { context.disable_event_tracking() };
        let ask = |attribute| context.attribute(attribute).doing(|| format!("asking for {attribute:?}"));
        let card = Card {
            capability: (10 * ask(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?
                + ask(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?) as u32,
            multiprocessors: ask(Attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)? as u32,
            shared_per_block: ask(Attribute::CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN)? as u32,
        };
        let model = context.name().doing(|| "asking for the name".to_owned())?;
        let memory = context.total_mem().doing(|| "asking for the memory".to_owned())? as u64;
        let uuid = context.uuid().ok().map(|uuid| uuid_text(uuid.bytes.map(|byte| byte as u8)));
        let (modules, lost) = (Modules::default(), OnceLock::new());
        Ok(Arc::new(Self { name: format!("cuda:{ordinal}"), model, card, memory, uuid, context, modules, lost }))
    }

    /// Makes this thread's calls go to this GPU.
    pub(crate) fn bind(&self) -> Result<(), DriverError> {
        match self.lost.get() {
            Some(error) => Err(error.clone()),
            None => self.note(self.context.bind_to_thread().doing(|| format!("using {}", self.name))),
        }
    }

    /// Remembers an error after which nothing can succeed. Every result of the driver goes through here.
    pub(crate) fn note<T>(&self, result: Result<T, DriverError>) -> Result<T, DriverError> {
        if let Err(error) = &result
            && error.is_sticky()
        {
            let _ = self.lost.set(error.clone());
        }
        result
    }

    /// Why the GPU can no longer be used; None while it can.
    pub(crate) fn lost(&self) -> Option<&DriverError> {
        self.lost.get()
    }

    /// Bytes that are free now.
    pub(crate) fn free_memory(&self) -> Option<u64> {
        self.bind().ok()?;
        self.context.mem_get_info().ok().map(|(free, _)| free as u64)
    }

    /// Waits until what was copied with [`Allocation::write`](super::memory::Allocation::write) is on the device. Streams do not wait for it by
    /// themselves, for none of ours is ordered behind the driver's default stream.
    pub(crate) fn settle(&self) -> Result<(), DriverError> {
        self.bind()?;
        self.note(self.context.default_stream().synchronize().doing(|| "waiting for copies".to_owned()))
    }

    /// Waits until the GPU has done all that it was given.
    pub(crate) fn synchronize(&self) -> Result<(), DriverError> {
        self.bind()?;
        self.note(self.context.synchronize().doing(|| format!("waiting for {}", self.name)))
    }
}

/// `GPU-` and 32 hexadecimal digits in groups of 8, 4, 4, 4 and 12.
fn uuid_text(bytes: [u8; 16]) -> String {
    let groups = [&bytes[..4], &bytes[4..6], &bytes[6..8], &bytes[8..10], &bytes[10..]];
    let hex = |group: &[u8]| group.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    format!("GPU-{}", groups.map(hex).join("-"))
}

impl std::fmt::Debug for Gpu {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { name, model, card, .. } = self;
        f.debug_struct("Gpu").field("name", name).field("model", model).field("card", card).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uuid_is_written_as_nvidia_smi_does() {
        let bytes = std::array::from_fn(|index| 16 * (index as u8) + 1);
        assert_eq!(uuid_text(bytes), "GPU-01112131-4151-6171-8191-a1b1c1d1e1f1");
    }
}
