//! The CPU engine: f32, folded, threaded, on any machine. `draft` says what is fused, `tile` how work is cut.
//!
//! A batch of n equals n singles bit for bit, whatever the number of threads. Not here: queues (`service`).

mod aligned;
mod arena;
mod attention;
mod block;
mod depthwise;
mod draft;
mod epilogue;
mod exp;
mod gelu;
mod grn;
mod ingest;
mod instructions;
mod linear;
mod maps;
mod matrix;
mod norm;
mod pack;
mod peak;
mod plan;
mod pool;
mod product;
mod projection;
mod run;
mod source;
mod strips;
mod threads;
mod tile;
#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod twins;
mod vector;

pub use instructions::Instructions;

use aligned::Aligned;
use draft::DraftError;
use plan::{Memory, Plan};
use threads::Threads;

use super::slots::Slots;
use super::{Buckets, Engine, Executable, Input, LoadError, OpTime, Options, Peak, RunError};
use crate::program::{Program, WeightSource, fold};

/// Images that are computed side by side, whatever the batch.
///
/// Each weight is read once for so many images, and buffers are as many times an image's: 10 MB of ConvNeXt-T at 224.
const IMAGES_IN_FLIGHT: usize = 4;

/// Runs programs on the processor's cores.
#[derive(Clone, Copy, Debug)]
pub struct Cpu {
    instructions: Instructions,
}

impl Cpu {
    /// With these instructions, which the machine has.
    #[must_use]
    pub fn new(instructions: Instructions) -> Self {
        Self { instructions }
    }
}

impl Default for Cpu {
    /// With the best instructions of the machine.
    fn default() -> Self {
        Self::new(Instructions::best())
    }
}

impl Engine for Cpu {
    fn device(&self) -> &str {
        "cpu"
    }

    fn compile(
        &self,
        program: &Program,
        weights: &dyn WeightSource,
        options: &Options,
    ) -> Result<Box<dyn Executable>, LoadError> {
        let failed = |why: String| LoadError::Device { device: self.device().to_owned(), why };
        let broken = |why| LoadError::Program { architecture: program.architecture.clone(), why };
        program.check().map_err(broken)?;
        let slots = Slots::new(self.device(), program.input, options)?;
        let plan = draft::plan(self.instructions, &fold(program), weights).map_err(|error| match error {
            DraftError::Weights(error) => LoadError::Weights(error),
            DraftError::Memory(_) => failed(error.to_string()),
        })?;
        let threads = Threads::new(options.threads, plan.thread_memory()).map_err(|error| failed(error.to_string()))?;
        let images = options.max_batch.min(IMAGES_IN_FLIGHT);
        let no_memory = |error| failed(format!("{error} for activations"));
        let buffers = plan.buffers.iter().map(|len| Aligned::zeros(len * images));
        let buffers = buffers.collect::<Result<_, _>>().map_err(no_memory)?;
        let shared = Aligned::zeros(plan.shared(threads.count())).map_err(no_memory)?;
        let logits = vec![0.0; options.max_batch * plan.classes()];
        let memory = Memory { buffers, shared };
        let profile = options.profile.then_some(0);
        Ok(Box::new(Processor { plan, threads, slots, memory, logits, launched: None, profile }))
    }

    fn peak(&self, threads: usize) -> Option<Peak> {
        peak::measure(self.instructions, threads)
    }
}

/// A plan with its buffers.
struct Processor {
    plan: Plan,
    threads: Threads,
    slots: Slots,
    memory: Memory,
    /// `[max_batch, classes]`
    logits: Vec<f32>,
    /// Images of the batch that waits to be finished.
    launched: Option<usize>,
    /// Images that were computed, where a profile is kept.
    profile: Option<u64>,
}

impl Executable for Processor {
    fn buckets(&self) -> Buckets {
        Buckets::Any(self.slots.count())
    }

    fn stage(&mut self, slot: usize, input: Input<'_>) -> Result<(), RunError> {
        self.slots.stage(slot, input)
    }

    fn launch(&mut self, slots: &[usize]) -> Result<(), RunError> {
        self.slots.check_batch(slots)?;
        let Self { plan, threads, slots: staged, memory, logits, profile, .. } = self;
        let (classes, profiled) = (plan.classes(), profile.is_some());
        let logits = logits[..slots.len() * classes].chunks_mut(IMAGES_IN_FLIGHT * classes);
        threads.enter(|| {
            for (group, logits) in slots.chunks(IMAGES_IN_FLIGHT).zip(logits) {
                plan.run((threads, profiled), (staged, group), memory, logits);
            }
        });
        *profile = profile.map(|images| images + slots.len() as u64);
        self.launched = Some(slots.len());
        Ok(())
    }

    fn finish(&mut self) -> Result<&[f32], RunError> {
        let batch = self.launched.take().ok_or_else(|| RunError::Input("no batch was launched".to_owned()))?;
        Ok(&self.logits[..batch * self.plan.classes()])
    }

    fn profile(&self) -> Vec<OpTime> {
        self.profile.map(|images| self.plan.times(images)).unwrap_or_default()
    }
}
