//! The CPU engine: f32, folded, threaded, for vectors of any length.
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

pub use simd::instructions::Instructions;

use std::sync::Arc;

use error::DEVICE;
use executable::{CpuLoaded, Model};
use plan::{PackError, Plan};

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

    /// Nothing in f32: the engine has every operation.
    fn unsupported(&self, _program: &Program, precision: Precision) -> Vec<String> {
        if precision == Precision::F32 { Vec::new() } else { vec!["the CPU engine computes in f32 only".to_owned()] }
    }

    fn load(
        &self,
        _device: DeviceId,
        program: &Program,
        weights: &dyn WeightSource,
        options: &Options,
    ) -> Result<Arc<dyn Loaded>, LoadError> {
        let ingest = host::accept(self, DEVICE, program, options)?;
        let plan = Plan::new(self.instructions, &fold(program), weights).map_err(|error| match error {
            PackError::Weights(error) => LoadError::Weights(error),
            PackError::Memory(error) => error.loading("packed weights"),
        })?;
        let weights = program.weights.iter().map(|weight| 4 * weight.shape.iter().product::<usize>() as u64).sum();
        let model = Model { plan, ingest, weights, options: *options };
        Ok(Arc::new(CpuLoaded(Arc::new(model))))
    }

    fn peak(&self, threads: usize) -> Option<Peak> {
        peak::measure(self.instructions, threads)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod against_reference;
