//! The CUDA engine: f16, bf16 and f32 on NVIDIA GPUs, by the project's own kernels (`kernels/`) through the driver alone.
//!
//! Its parts, each of which knows only those after it: `self_check`, `executable` (memory, streams, graphs), `loaded`, `plan/` (what is fused, where values lie), `weights`,
//! `operations/` (a kernel's launcher and what it must compute), `driver/` (all `unsafe`). `proof/` runs every kernel against plain
//! arithmetic. Not here: queues and threads that serve (`service`).

mod array;
mod card;
mod driver;
mod executable;
mod images;
mod launch;
mod loaded;
mod number;
mod operations;
mod plan;
mod preflight;
pub mod proof;
mod self_check;
mod weights;

use std::sync::Arc;

use driver::gpu::Gpu;
use loaded::{CudaLoaded, Model};
pub use preflight::{Gpus, PreflightError};

use super::{DeviceId, DeviceInfo, DeviceKind, Engine, LoadError, Loaded, Options, Precision};
use crate::program::{Program, WeightSource};

/// How the name of an emulated GPU begins.
const EMULATED: &str = "Emulated";

/// Runs programs on NVIDIA GPUs.
#[derive(Debug)]
pub struct Cuda {
    gpus: Vec<Arc<Gpu>>,
    devices: Vec<DeviceInfo>,
}

impl Cuda {
    /// An engine with these GPUs.
    ///
    /// # Errors
    /// [`PreflightError`], which says what helps.
    pub fn new(wanted: Gpus) -> Result<Self, PreflightError> {
        let gpus = preflight::open(wanted)?;
        let device = |gpu: &Arc<Gpu>| DeviceInfo {
            model: gpu.model.clone(),
            memory: Some(gpu.memory),
            uuid: gpu.uuid.clone(),
            emulated: gpu.model.starts_with(EMULATED),
            ..DeviceInfo::named(&gpu.name, DeviceKind::Cuda)
        };
        Ok(Self { devices: gpus.iter().map(device).collect(), gpus })
    }
}

impl Engine for Cuda {
    fn devices(&self) -> &[DeviceInfo] {
        &self.devices
    }

    fn unsupported(&self, program: &Program, precision: Precision) -> Vec<String> {
        self.gpus.first().map_or_else(Vec::new, |gpu| loaded::unsupported(gpu, program, precision))
    }

    /// f16: its tensor cores are on every card that there are kernels for.
    fn preferred_precision(&self) -> Precision {
        Precision::F16
    }

    fn memory_used(&self, device: DeviceId) -> Option<u64> {
        let gpu = self.gpus.get(device.0)?;
        Some(gpu.memory.saturating_sub(gpu.free_memory()?))
    }

    fn load(
        &self,
        device: DeviceId,
        program: &Program,
        weights: &dyn WeightSource,
        options: &Options,
    ) -> Result<Arc<dyn Loaded>, LoadError> {
        let Some(gpu) = self.gpus.get(device.0) else {
            let why = format!("there are {} GPUs", self.gpus.len());
            return Err(LoadError::Device { device: format!("GPU {}", device.0), why });
        };
        Ok(Arc::new(CudaLoaded(Model::load(gpu, program, weights, options)?)))
    }
}
