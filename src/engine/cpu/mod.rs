//! The CPU engine: f32, folded, threaded, on any machine. `plan` says what is fused, `tile` how work is cut.
//!
//! A batch of n equals n singles bit for bit, whatever the number of threads. Not here: queues (`service`).

mod arena;
mod depthwise;
mod gelu;
mod grn;
mod linear;
mod maps;
mod norm;
mod patchify;
mod plan;
mod pool;
mod threads;
mod tile;

use plan::Plan;
use threads::Threads;

use super::slots::{Slots, zeros};
use super::{Buckets, Engine, Executable, Input, LoadError, Options, RunError};
use crate::program::{Program, WeightSource, fold};

/// Images that are computed side by side, whatever the batch.
///
/// Each weight is read once for so many images, and buffers are as many times an image's: 34 MB of ConvNeXt-T at 224. More
/// gains little, for the cut into tiles feeds many threads with few images; it would only cost memory.
const IMAGES_IN_FLIGHT: usize = 4;

/// Runs programs on the processor's cores.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cpu;

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
        let plan = Plan::new(&fold(program), weights)?;
        let threads = Threads::new(options.threads)
            .map_err(|cause| failed(format!("{} threads cannot be started: {cause}", options.threads)))?;
        let images = options.max_batch.min(IMAGES_IN_FLIGHT);
        let total: usize = plan.buffers().iter().sum();
        let buffers = plan.buffers().iter().map(|len| zeros(len * images)).collect::<Result<_, _>>();
        let buffers = buffers.map_err(|()| {
            failed(format!("no memory for activations, {} MB", (total * images * 4).div_ceil(1_000_000)))
        })?;
        let logits = vec![0.0; options.max_batch * plan.classes()];
        Ok(Box::new(Processor { plan, threads, slots, buffers, logits, launched: None }))
    }
}

/// A plan with its buffers.
struct Processor {
    plan: Plan,
    threads: Threads,
    slots: Slots,
    /// As [`Plan::buffers`], each for `IMAGES_IN_FLIGHT` images.
    buffers: Vec<Vec<f32>>,
    /// `[max_batch, classes]`
    logits: Vec<f32>,
    /// Images of the batch that waits to be finished.
    launched: Option<usize>,
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
        let Self { plan, threads, slots: staged, buffers, logits, .. } = self;
        let classes = plan.classes();
        let logits = logits[..slots.len() * classes].chunks_mut(IMAGES_IN_FLIGHT * classes);
        threads.enter(|| {
            for (group, logits) in slots.chunks(IMAGES_IN_FLIGHT).zip(logits) {
                plan.run(threads, (staged, group), buffers, logits);
            }
        });
        self.launched = Some(slots.len());
        Ok(())
    }

    fn finish(&mut self) -> Result<&[f32], RunError> {
        let batch = self.launched.take().ok_or_else(|| RunError::Input("no batch was launched".to_owned()))?;
        Ok(&self.logits[..batch * self.plan.classes()])
    }
}
