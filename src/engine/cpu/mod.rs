//! The CPU engine: f32, bf16 or int8, folded, threaded, for vectors of any length.
//!
//! `plan/fuse` says what is fused, `parallel/tile` how an output is cut for threads, and `product` is where the time goes. A folder imports
//! only those after it: `plan`, `fused`, `operations`, `product`, `parallel`, `simd`. A batch of n equals n singles bit for bit, whatever
//! the number of threads. Not here: queues (`service`).

mod error;
mod executable;
mod fused;
mod operations;
mod parallel;
mod peak;
mod plan;
mod product;
mod simd;

pub use parallel::cores::Cores;
pub use simd::instructions::Instructions;

use std::sync::Arc;

use error::DEVICE;
use executable::{CpuLoaded, Model};
use plan::{PackError, Plan};
use product::int8::Bytes;
use product::numbers::Numbers;

use super::host;
use super::{DeviceId, DeviceInfo, DeviceKind, Engine, LoadError, Loaded, Options, Peak, Precision};
use crate::program::{Program, WeightSource, fold};

/// Runs programs on the processor's cores.
#[derive(Clone, Debug)]
pub struct Cpu {
    instructions: Instructions,
    devices: [DeviceInfo; 1],
}

impl Cpu {
    /// An engine with this instruction set.
    #[must_use]
    pub fn new(instructions: Instructions) -> Self {
        let model = instructions.to_string();
        Self { instructions, devices: [DeviceInfo { model, ..DeviceInfo::named(DEVICE, DeviceKind::Cpu) }] }
    }

    /// The largest byte to which int8 quantises activations: 255, or 127 where the instructions add products in 16 bits, which more would overflow.
    #[must_use]
    pub fn largest_byte(&self) -> u8 {
        Bytes::of(self.instructions).largest()
    }
}

impl Default for Cpu {
    /// An engine with the fastest instruction set of the machine.
    fn default() -> Self {
        Self::new(Instructions::best())
    }
}

impl Engine for Cpu {
    fn devices(&self) -> &[DeviceInfo] {
        &self.devices
    }

    /// Nothing in f32, bf16 and int8: the engine has every operation. Without AVX512-BF16 the numbers of bf16 are multiplied as floats.
    fn unsupported(&self, _program: &Program, precision: Precision) -> Vec<String> {
        match precision {
            Precision::F32 | Precision::Bf16 | Precision::Int8 => Vec::new(),
            Precision::F16 => vec!["the CPU engine computes in f32, bf16 and int8 only".to_owned()],
        }
    }

    fn load(
        &self,
        _device: DeviceId,
        program: &Program,
        weights: &dyn WeightSource,
        options: &Options,
    ) -> Result<Arc<dyn Loaded>, LoadError> {
        let ingest = host::accept(self, DEVICE, program, options)?;
        let numbers = Numbers::of(self.instructions, options.precision);
        if matches!(numbers, Numbers::Rounded) {
            tracing::warn!(
                instructions = %self.instructions,
                "bf16 without AVX512-BF16 is emulated: it is no faster than f32, takes as much memory, and loses digits"
            );
        }
        if let Numbers::Bytes(bytes) = numbers
            && !bytes.is_fast()
        {
            tracing::warn!(
                instructions = %self.instructions,
                "int8 without AVX2 or NEON is computed a number at a time: it takes a quarter of the memory, and longer than f32"
            );
        }
        let plan = Plan::new((self.instructions, numbers), &fold(program), weights).map_err(|error| match error {
            PackError::Weights(error) => LoadError::Weights(error),
            PackError::Memory(error) => error.loading("packed weights"),
        })?;
        let floats = program.weights.iter().map(|weight| weight.shape.iter().product::<usize>() as u64).sum::<u64>();
        let weights = (4 * floats).saturating_sub(plan.saved());
        let model = Model { plan, ingest, weights, options: *options };
        Ok(Arc::new(CpuLoaded(Arc::new(model))))
    }

    fn peak(&self, threads: usize, precision: Precision) -> Option<Peak> {
        peak::measure((self.instructions, Numbers::of(self.instructions, precision)), threads)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod against_reference;
