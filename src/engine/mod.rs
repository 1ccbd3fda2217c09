//! Engines: what runs a [`Program`] on images, in three steps.
//!
//! [`Engine::load`] puts the weights on a device, from any thread. [`Loaded::instantiate`] makes buffers there, on the
//! thread that will drive the device. [`Executable::launch`] starts a batch and [`Executable::finish`] waits for it.
//! Not here: queues and threads that serve (`service`), decoding (`pixels`).

pub mod cpu;
pub mod cuda;
mod device;
mod error;
mod host;
mod image;
mod lease;
pub mod null;
mod profile;
pub mod reference;

use std::sync::Arc;

pub use device::{DeviceId, DeviceInfo, DeviceKind, MemoryUse, NOT_COMPUTED};
pub use error::{LoadError, RunError};
pub use image::{Batch, Image, PixelFormat};
pub use lease::{Lease, LeasePool, Memory};
pub use profile::{Launched, OpTime, Peak};

use crate::program::{Program, WeightSource};

/// A kind of device, and all devices of that kind that this machine has.
pub trait Engine: Send + Sync {
    /// Its devices, at least one; a [`DeviceId`] is an index of this list.
    fn devices(&self) -> &[DeviceInfo];

    /// What the engine cannot run of this program in this precision. Each entry names an operation and the reason. Empty when it can
    /// run all of it.
    fn unsupported(&self, program: &Program, precision: Precision) -> Vec<String>;

    /// The precision in which it computes where nobody names one: the fastest that agrees with f32 in what it answers.
    fn preferred_precision(&self) -> Precision {
        Precision::F32
    }

    /// Puts the weights of a program on a device. May be called on any thread, while other models run there.
    ///
    /// # Errors
    /// [`LoadError`]. Nothing stays on the device then.
    fn load(
        &self,
        device: DeviceId,
        program: &Program,
        weights: &dyn WeightSource,
        options: &Options,
    ) -> Result<Arc<dyn Loaded>, LoadError>;

    /// Bytes of a device's memory that are in use, by this process and others; None where the device has none of its own.
    fn memory_used(&self, _device: DeviceId) -> Option<u64> {
        None
    }

    /// The peak of this device with this number of threads in this precision, measured now; None where nobody measures against it.
    fn peak(&self, _threads: usize, _precision: Precision) -> Option<Peak> {
        None
    }
}

/// The precision in which an engine computes a program where nobody names one: int8 where the weights were made for it and the engine has it, else what it prefers.
#[must_use]
pub fn precision_for(engine: &dyn Engine, program: &Program, quantized: bool) -> Precision {
    match quantized && engine.unsupported(program, Precision::Int8).is_empty() {
        true => Precision::Int8,
        false => engine.preferred_precision(),
    }
}

/// A program whose weights are on a device. Executables made of it share them.
pub trait Loaded: Send + Sync {
    /// Bytes of the device's memory that it takes.
    fn memory(&self) -> MemoryUse;

    /// Allocates buffers and all else that a run needs. The executable stays on the calling thread.
    ///
    /// # Errors
    /// [`LoadError::OutOfMemory`] or [`LoadError::Device`]. Nothing stays on the device then.
    fn instantiate(&self) -> Result<Box<dyn Executable>, LoadError>;
}

/// A program ready to run. Not `Send`: the graphs of a GPU stay on the thread that made them.
pub trait Executable {
    /// The batch sizes that run without padding.
    fn buckets(&self) -> &Buckets;

    /// How many batches may be launched and not yet finished; at least 1.
    fn in_flight(&self) -> usize;

    /// Number of logits per image.
    fn classes(&self) -> usize;

    /// Memory for images that wait for this device. An image in other memory runs too, after one more copy.
    fn leases(&self) -> &Arc<LeasePool>;

    /// Compares what the device computes with what the program means. Call it after instantiation, before anything is served.
    /// Engines whose results cannot depend on the state of the machine have nothing to check.
    ///
    /// # Errors
    /// [`LoadError::SelfCheck`] when the device computes something else.
    fn self_check(&mut self, _program: &Program, _weights: &dyn WeightSource) -> Result<(), LoadError> {
        Ok(())
    }

    /// Asks the device for a sign of life, while nothing is in flight. Engines that cannot lose their device have nothing to ask.
    ///
    /// # Errors
    /// [`RunError::DeviceLost`] when no later run can succeed.
    fn probe(&mut self) -> Result<(), RunError> {
        Ok(())
    }

    /// Starts a batch. Where the device works by itself, this returns before the batch has run. The images are held until it is
    /// finished. A batch smaller than its bucket is padded.
    ///
    /// # Errors
    /// [`RunError::Input`] for no images, too many images, an image of the wrong size, and more batches than
    /// [`in_flight`](Self::in_flight): then nothing has changed. [`RunError::Batch`] or [`RunError::DeviceLost`] from the device.
    fn launch(&mut self, batch: Batch) -> Result<BatchId, RunError>;

    /// Waits for a launched batch and writes its logits `[n, classes]`, in the order of its images. Batches may be finished in
    /// any order. After any result but [`RunError::Input`] the batch is no longer in flight.
    ///
    /// # Errors
    /// [`RunError::Input`] for a batch that is not in flight and for a slice of the wrong length; [`RunError::Batch`] or
    /// [`RunError::DeviceLost`] from the device.
    fn finish(&mut self, batch: BatchId, logits: &mut [f32]) -> Result<(), RunError>;

    /// Launches one batch and waits for its logits.
    ///
    /// # Errors
    /// As [`launch`](Self::launch) and [`finish`](Self::finish).
    fn run(&mut self, batch: Batch) -> Result<Vec<f32>, RunError> {
        let mut logits = vec![0.0; batch.len() * self.classes()];
        let id = self.launch(batch)?;
        self.finish(id, &mut logits)?;
        Ok(logits)
    }

    /// What a batch of a bucket's size launches, in its order. Empty on engines that launch nothing, and for other sizes.
    fn launched(&self, _images: usize) -> Vec<Launched> {
        Vec::new()
    }

    /// The time of each operation since instantiation, in running order. Empty where [`Options::profile`] is off, and on engines
    /// that keep none.
    fn profile(&self) -> Vec<OpTime> {
        Vec::new()
    }
}

/// The id of a launched batch. An executable never gives the same id twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BatchId(pub u64);

/// How a program is loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// The number format in which weights are stored and multiplied.
    pub precision: Precision,
    /// The largest batch that will be launched, in images.
    pub max_batch: usize,
    /// Threads that compute. Engines without threads of their own ignore it.
    pub threads: usize,
    /// Whether [`Executable::profile`] is kept. It costs a clock reading per operation and thread.
    pub profile: bool,
}

/// The number format in which weights and activations are stored and multiplied. Sums, norms and softmax are f32 in each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Precision {
    /// 32-bit floating point.
    #[default]
    F32,
    /// IEEE half precision.
    F16,
    /// The upper half of f32.
    Bf16,
    /// 8-bit integers with scales.
    Int8,
}

impl Precision {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::F32, Self::F16, Self::Bf16, Self::Int8];

    /// Its name, as flags and answers write it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
            Self::Int8 => "int8",
        }
    }
}

impl std::fmt::Display for Precision {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl std::str::FromStr for Precision {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|precision| precision.name() == text);
        found.ok_or_else(|| format!("{text:?} is no precision; f32, f16, bf16 and int8 are possible"))
    }
}

/// The batch sizes of an executable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Buckets {
    /// Any size up to this one.
    Any(usize),
    /// These sizes, in rising order. Other batches are padded to the next size.
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

    /// The size that a batch of `images` runs as.
    #[must_use]
    pub fn of(&self, images: usize) -> usize {
        match self {
            Self::Any(_) => images,
            Self::Fixed(sizes) => sizes.iter().copied().find(|size| *size >= images).unwrap_or(images),
        }
    }
}
