//! Which GPUs can be used, and if none: what was found, what is needed, and what helps.
//!
//! The driver library is looked up when the program runs, so all that can be wrong with it shows here, before any model is loaded. Not here: using
//! a GPU (`driver`).

use std::sync::Arc;

use cudarc::driver::result;
use cudarc::driver::sys::CUresult;

use super::driver::gpu::Gpu;
use super::driver::library;
use super::loaded::capability;

/// The oldest CUDA version that the driver must support: that of driver 525, which reads the PTX of `kernels/`.
const OLDEST_DRIVER: i32 = 12_000;
/// The oldest compute capability that there are kernels for.
const OLDEST_CAPABILITY: u32 = 75;
/// What works everywhere.
const OTHERWISE: &str = "or use --device cpu";

/// Which GPUs are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gpus {
    /// The first.
    First,
    /// The one of this number, as the driver counts.
    Number(usize),
    /// All.
    All,
}

/// Why no GPU can be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PreflightError {
    /// There is no driver library.
    #[error(
        "no NVIDIA driver: libcuda.so.1 was not found. Install driver 525 or later; in a container, give it the GPU (docker run --gpus all), {OTHERWISE}"
    )]
    NoDriver,
    /// The library is the one of the CUDA toolkit that programs are only linked with.
    #[error(
        "libcuda.so is the CUDA toolkit's stub and no driver: remove its folder (…/stubs) from LD_LIBRARY_PATH and install driver 525 or later, {OTHERWISE}"
    )]
    Stub,
    /// The driver is too old.
    #[error("the NVIDIA driver supports CUDA {found}; CUDA 12.0 is needed: install driver 525 or later, {OTHERWISE}")]
    OldDriver {
        /// The version that it supports.
        found: String,
    },
    /// The driver does not start.
    #[error(
        "the NVIDIA driver does not start: {why}. See whether `nvidia-smi` works and `dmesg` says why, {OTHERWISE}"
    )]
    DoesNotStart {
        /// Its error.
        why: String,
    },
    /// The driver sees no GPU.
    #[error("the NVIDIA driver sees no GPU{visible}: give the container the GPU (docker run --gpus all), {OTHERWISE}")]
    NoGpu {
        /// What `CUDA_VISIBLE_DEVICES` says, where it is set.
        visible: String,
    },
    /// There is no GPU of this number.
    #[error("there is no cuda:{number}: the driver sees {count} GPUs, cuda:0 to cuda:{}", count - 1)]
    NoSuchGpu {
        /// The number that was asked for.
        number: usize,
        /// How many there are.
        count: usize,
    },
    /// A GPU cannot be opened.
    #[error(
        "{gpu} cannot be used: {why}; see whether another program holds it exclusively (`nvidia-smi`), {OTHERWISE}"
    )]
    Unusable {
        /// Its name.
        gpu: String,
        /// The driver's error.
        why: String,
    },
    /// A GPU is too old.
    #[error("{gpu}, {model}, has compute capability {found}; 7.5 or later is needed (Turing, as T4), {OTHERWISE}")]
    OldGpu {
        /// Its name.
        gpu: String,
        /// As NVIDIA calls it.
        model: String,
        /// Its compute capability.
        found: String,
    },
}

impl PreflightError {
    /// Whether there is simply no GPU, which nobody need be told who did not ask for one.
    #[must_use]
    pub fn is_absence(&self) -> bool {
        matches!(self, Self::NoDriver)
    }
}

/// Opens the GPUs that are wanted.
pub(super) fn open(wanted: Gpus) -> Result<Vec<Arc<Gpu>>, PreflightError> {
    let count = count()?;
    let numbers = match wanted {
        Gpus::First => 0..1,
        Gpus::Number(number) if number < count => number..number + 1,
        Gpus::Number(number) => return Err(PreflightError::NoSuchGpu { number, count }),
        Gpus::All => 0..count,
    };
    numbers.map(gpu).collect()
}

/// How many GPUs the driver sees: at least one.
fn count() -> Result<usize, PreflightError> {
    if !library::is_present() {
        return Err(PreflightError::NoDriver);
    }
    match result::init().map_err(|error| error.0) {
        Ok(()) => {}
        Err(CUresult::CUDA_ERROR_STUB_LIBRARY) => return Err(PreflightError::Stub),
        Err(CUresult::CUDA_ERROR_NO_DEVICE) => return Err(no_gpu()),
        Err(code) => return Err(PreflightError::DoesNotStart { why: format!("{code:?} ({})", code as u32) }),
    }
    let starts = |error: cudarc::driver::DriverError| PreflightError::DoesNotStart { why: format!("{:?}", error.0) };
    let version = library::version().map_err(starts)?;
    if version < OLDEST_DRIVER {
        let found = format!("{}.{}", version / 1000, version % 1000 / 10);
        return Err(PreflightError::OldDriver { found });
    }
    match result::device::get_count().map_err(starts)? {
        count if count > 0 => Ok(count as usize),
        _ => Err(no_gpu()),
    }
}

fn no_gpu() -> PreflightError {
    let visible = std::env::var("CUDA_VISIBLE_DEVICES");
    PreflightError::NoGpu {
        visible: visible.map(|value| format!(" (CUDA_VISIBLE_DEVICES is {value:?})")).unwrap_or_default(),
    }
}

fn gpu(number: usize) -> Result<Arc<Gpu>, PreflightError> {
    let name = format!("cuda:{number}");
    let gpu =
        Gpu::open(number).map_err(|error| PreflightError::Unusable { gpu: name.clone(), why: error.to_string() })?;
    if gpu.card.capability < OLDEST_CAPABILITY {
        return Err(PreflightError::OldGpu { gpu: name, model: gpu.model.clone(), found: capability(&gpu) });
    }
    Ok(gpu)
}
