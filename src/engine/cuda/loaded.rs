//! A program whose weights are on a GPU, with a plan for each bucket. Not here: running (`executable`).
//!
//! No norm is folded into a weight, in any type: in f16 and bf16 that would round once more what a checkpoint of that type holds exactly, and kernels take
//! scale and shift where they norm.

use std::sync::Arc;

use super::driver::error::DriverError;
use super::driver::gpu::Gpu;
use super::executable::CudaExecutable;
use super::number::Type;
use super::operations::patch_embedding;
use super::plan::{self, Plan};
use super::weights::{UploadError, Weights};
use crate::engine::{Executable, LoadError, Loaded, MemoryUse, Options, Precision};
use crate::program::{InputSpec, Program, WeightSource};

/// Batches that may be launched and not yet finished: one runs, one is behind it.
pub(crate) const IN_FLIGHT: usize = 2;

/// A model on a GPU.
pub(crate) struct Model {
    pub(crate) gpu: Arc<Gpu>,
    pub(crate) input: InputSpec,
    pub(crate) classes: usize,
    pub(crate) ty: Type,
    /// Held as long as anything reads them.
    pub(crate) weights: Weights,
    /// One for each bucket, rising.
    pub(crate) plans: Vec<Plan>,
}

/// The sizes of batches: powers of two, and the largest batch.
fn buckets(max_batch: usize) -> Vec<usize> {
    let powers = std::iter::successors(Some(1), |size| Some(2 * size));
    powers.take_while(|size| *size < max_batch).chain([max_batch]).collect()
}

/// The type that a precision is stored in; None where there are no kernels for it.
pub(crate) fn stored(precision: Precision) -> Option<Type> {
    match precision {
        Precision::F32 => Some(Type::F32),
        Precision::F16 => Some(Type::F16),
        Precision::Bf16 => Some(Type::Bf16),
        Precision::Int8 => None,
    }
}

/// What a GPU cannot run of a program.
pub(crate) fn unsupported(gpu: &Gpu, program: &Program, precision: Precision) -> Vec<String> {
    match stored(precision) {
        None => vec![format!("the CUDA engine computes in f32, f16 and bf16, not in {precision}")],
        Some(Type::Bf16) if gpu.card.capability < 80 => {
            vec![format!("{} has no bf16: compute capability 8.0 is needed, it has {}", gpu.model, capability(gpu))]
        }
        Some(_) => plan::unsupported(program),
    }
}

/// As NVIDIA writes it: `8.0`.
pub(crate) fn capability(gpu: &Gpu) -> String {
    format!("{}.{}", gpu.card.capability / 10, gpu.card.capability % 10)
}

impl Model {
    /// Puts the weights of a program on a GPU, and plans it.
    pub(crate) fn load(
        gpu: &Arc<Gpu>,
        program: &Program,
        source: &dyn WeightSource,
        options: &Options,
    ) -> Result<Arc<Self>, LoadError> {
        let device = || gpu.name.clone();
        program.check().map_err(|why| LoadError::Program { architecture: program.architecture.clone(), why })?;
        if options.max_batch == 0 {
            let why = "the largest batch has 0 images; at least 1 is needed".to_owned();
            return Err(LoadError::Device { device: device(), why });
        }
        let operations = unsupported(gpu, program, options.precision);
        let ty = stored(options.precision).filter(|_| operations.is_empty());
        let Some(ty) = ty else {
            return Err(LoadError::Unsupported { device: device(), precision: options.precision, operations });
        };
        let needed = Weights::bytes(program, ty);
        let weights = Weights::upload(gpu, program, source, ty).map_err(|error| match error {
            UploadError::Weights(error) => LoadError::Weights(error),
            UploadError::Driver(error) => failed(gpu, "weights", needed, error),
        })?;
        let rounding = weights.rounding;
        if rounding.overflows > 0 {
            let tensor = rounding.tensor.map_or("", |tensor| &program.weights[tensor].name);
            let precision = options.precision;
            let why = format!(
                "{} weights are too large for {precision}, the first in {tensor}; use --precision bf16 or f32",
                rounding.overflows
            );
            return Err(LoadError::Device { device: device(), why });
        }
        if rounding.subnormal > 0 {
            let (count, precision) = (rounding.subnormal, options.precision);
            tracing::info!(device = %gpu.name, count, %precision, "weights below the smallest normal number lose digits");
        }
        let plan = |images| Plan::new(program, &weights, &gpu.card, ty, images);
        let plans: Vec<Plan> = buckets(options.max_batch).into_iter().map(plan).collect();
        let broken = |why| LoadError::Program { architecture: program.architecture.clone(), why };
        plans.iter().try_for_each(|plan| plan.check(&gpu.card)).map_err(broken)?;
        let (input, classes) = (program.input, program.classes());
        Ok(Arc::new(Self { gpu: Arc::clone(gpu), input, classes, ty, weights, plans }))
    }

    /// The largest batch.
    pub(crate) fn max_batch(&self) -> usize {
        self.plans.last().map_or(1, |plan| plan.images)
    }

    /// Bytes of the memory that all buckets share.
    pub(crate) fn arena_bytes(&self) -> usize {
        self.plans.iter().map(|plan| plan.arena).max().unwrap_or(0)
    }

    /// Bytes of the counters that all buckets share.
    pub(crate) fn tickets_bytes(&self) -> usize {
        self.plans.iter().map(|plan| plan.tickets).max().unwrap_or(0)
    }

    /// Bytes of a slot: the images of a batch as they came.
    pub(crate) fn slot_bytes(&self) -> usize {
        patch_embedding::slot_bytes(&self.input, self.max_batch())
    }

    /// Bytes of the logits of a batch.
    pub(crate) fn logits_bytes(&self) -> usize {
        self.max_batch() * self.classes * Type::F32.bytes()
    }

    /// What an executable takes of the device's memory.
    pub(crate) fn executable_bytes(&self) -> usize {
        self.arena_bytes() + self.tickets_bytes() + IN_FLIGHT * (self.slot_bytes() + self.logits_bytes())
    }
}

/// What the driver said while a model was loaded, as an operator reads it.
pub(crate) fn failed(gpu: &Gpu, what: &'static str, needed: usize, error: DriverError) -> LoadError {
    let device = gpu.name.clone();
    if error.is_out_of_memory() {
        return LoadError::OutOfMemory { device, what, needed: needed as u64, free: gpu.free_memory() };
    }
    LoadError::Device { device, why: error.to_string() }
}

/// The model, as the engine gives it.
pub(crate) struct CudaLoaded(pub(crate) Arc<Model>);

impl Loaded for CudaLoaded {
    fn memory(&self) -> MemoryUse {
        MemoryUse { weights: self.0.weights.size() as u64, executable: self.0.executable_bytes() as u64 }
    }

    fn instantiate(&self) -> Result<Box<dyn Executable>, LoadError> {
        let executable = CudaExecutable::new(&self.0);
        let executable =
            executable.map_err(|error| failed(&self.0.gpu, "activations", self.0.executable_bytes(), error))?;
        Ok(Box::new(executable))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_powers_of_two_and_the_largest_batch() {
        assert_eq!(buckets(1), [1]);
        assert_eq!(buckets(8), [1, 2, 4, 8]);
        assert_eq!(buckets(12), [1, 2, 4, 8, 12]);
    }
}
