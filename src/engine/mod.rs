//! Engines: what runs a [`Program`] on images. Each has a folder, with a plan of what it fuses and one file an operation.
//!
//! An engine compiles a program and its weights into an [`Executable`], which one thread owns and drives:
//! `stage` pixels into slots, `launch` some of the slots as a batch, `finish` for the logits.
//! Not here: queues and threads that serve (`service`), decoding (`pixels`).

pub mod cpu;
pub mod reference;
mod slots;

use std::time::Duration;

use crate::program::{Cost, Program, WeightError, WeightSource};

/// A kind of device that runs programs.
pub trait Engine: Send + Sync {
    /// The device in words, as answers and metrics name it: `cpu`, `reference`.
    fn device(&self) -> &str;

    /// Makes a program runnable on the calling thread, which then owns the executable.
    ///
    /// # Errors
    /// When the weights cannot be had or the device cannot hold them.
    fn compile(
        &self,
        program: &Program,
        weights: &dyn WeightSource,
        options: &Options,
    ) -> Result<Box<dyn Executable>, LoadError>;

    /// The fastest that this device goes with so many threads, measured now; None where nobody asks for speed.
    fn peak(&self, _threads: usize) -> Option<Peak> {
        None
    }
}

/// The fastest that a device can go: what its operations are measured against.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Peak {
    /// Floating-point operations a second (two a multiply-accumulate), of a matrix product whose operands are in the cache.
    pub flops: f64,
    /// Bytes a second, read and written, of a copy in memory.
    pub bytes: f64,
}

/// What the one who compiles may choose.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// The largest batch that will be launched; as many slots are made.
    pub max_batch: usize,
    /// Threads that compute; on engines without threads of their own this says nothing.
    pub threads: usize,
    /// Whether [`Executable::profile`] is kept, which costs a clock reading an operation and thread.
    pub profile: bool,
}

/// A program with its weights, ready to run. Not `Send`: a GPU's graphs stay on the thread that made them.
pub trait Executable {
    /// The batch sizes that run without padding.
    fn buckets(&self) -> Buckets;

    /// Puts one image into a slot (`0..max_batch`), replacing what was there.
    ///
    /// # Errors
    /// [`RunError::Input`] when the image is of another size or the slot does not exist.
    fn stage(&mut self, slot: usize, input: Input<'_>) -> Result<(), RunError>;

    /// Starts a batch of staged slots, in this order; at most `max_batch`, at least one. A slot keeps its image.
    ///
    /// # Errors
    /// [`RunError::Input`] for slots that do not exist or hold no image, and for no slots or too many;
    /// [`RunError::Batch`] or [`RunError::DeviceLost`] from the device.
    fn launch(&mut self, slots: &[usize]) -> Result<(), RunError>;

    /// Waits for the launched batch; its logits `[batch, classes]`, row `i` that of the `i`th slot of the launch.
    ///
    /// # Errors
    /// [`RunError::Input`] when no batch was launched since the last one was finished; [`RunError::Batch`] or
    /// [`RunError::DeviceLost`] from the device.
    fn finish(&mut self) -> Result<&[f32], RunError>;

    /// What each operation took since compilation, in running order; empty where [`Options::profile`] is off or unknown.
    fn profile(&self) -> Vec<OpTime> {
        Vec::new()
    }
}

/// What an operation took, or several that the engine computes as one.
#[derive(Clone, Debug, PartialEq)]
pub struct OpTime {
    /// Its place in the network, as `stages.2.blocks.0.fc1`.
    pub name: String,
    /// What is computed, as `linear + gelu`.
    pub kind: &'static str,
    /// What it costs an image.
    pub cost: Cost,
    /// Images that went through it.
    pub images: u64,
    /// Time that threads spent in it, summed over them.
    pub busy: Duration,
}

/// Batch sizes of an executable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Buckets {
    /// Any size up to this one.
    Any(usize),
    /// These sizes, rising; smaller batches are padded to the next.
    Fixed(Vec<usize>),
}

impl Buckets {
    /// The largest batch.
    #[must_use]
    pub fn max(&self) -> usize {
        match self {
            Self::Any(max) => *max,
            Self::Fixed(sizes) => sizes.last().copied().unwrap_or(1),
        }
    }
}

/// One image for [`Executable::stage`].
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// Pixels `[h, w, 3]`, 0 to 255, which the engine normalises by the program's [`InputSpec`](crate::program::InputSpec).
    Rgb8(&'a [u8]),
    /// A normalised image `[3, h, w]`, as tensor protocols send it.
    F32(&'a [f32]),
}

/// A program could not be made runnable.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// Weights could not be had.
    #[error(transparent)]
    Weights(#[from] WeightError),
    /// The program breaks its own invariants.
    #[error("the program of {architecture} does not hold together: {why}")]
    Program {
        /// Its architecture.
        architecture: String,
        /// The operation and its reason.
        why: String,
    },
    /// The device cannot do it.
    #[error("{device}: {why}")]
    Device {
        /// As [`Engine::device`].
        device: String,
        /// What was found, what is needed, what helps.
        why: String,
    },
}

/// A run failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RunError {
    /// What was handed in does not fit the program; the executable is as before.
    #[error("input: {0}")]
    Input(String),
    /// This batch failed; the next may not.
    #[error("the batch failed: {0}")]
    Batch(String),
    /// No later run can succeed.
    #[error("the device is lost: {0}")]
    DeviceLost(String),
}
