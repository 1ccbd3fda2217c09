//! What engines on the host share: the checks of a batch, and how images become normalised maps `[h, w, 3]` of f32.
//!
//! Not here: what is computed from the maps.

use half::f16;

use super::{Batch, BatchId, Engine, Image, LoadError, Options, PixelFormat, RunError};
use crate::program::{InputSpec, Program};

/// Checks images against a program's input and normalises them.
#[derive(Clone, Debug)]
pub(super) struct Ingest {
    input: InputSpec,
    max_batch: usize,
    /// Normalised value of each byte, by channel.
    normalised: [[f32; 256]; 3],
}

/// What every engine on the host asks of a program before it takes its weights: that it is whole, and has nothing that the engine lacks in this
/// precision. What is left is its way from images to maps.
///
/// # Errors
/// [`LoadError::Program`], [`LoadError::Unsupported`], and those of [`Ingest::new`].
pub(super) fn accept(
    engine: &impl Engine,
    device: &str,
    program: &Program,
    options: &Options,
) -> Result<Ingest, LoadError> {
    let broken = |why| LoadError::Program { architecture: program.architecture.clone(), why };
    program.check().map_err(broken)?;
    let operations = engine.unsupported(program, options.precision);
    if !operations.is_empty() {
        return Err(LoadError::Unsupported { device: device.to_owned(), precision: options.precision, operations });
    }
    Ingest::new(device, program.input, options)
}

impl Ingest {
    /// For images of this input, in batches of at most `max_batch`.
    fn new(device: &str, input: InputSpec, options: &Options) -> Result<Self, LoadError> {
        if options.max_batch == 0 {
            let why = "the largest batch has 0 images; at least 1 is needed".to_owned();
            return Err(LoadError::Device { device: device.to_owned(), why });
        }
        // in f64 and rounded once, so that the error is at most half a unit of the last digit
        let normalise = |channel: usize, byte: usize| {
            let (mean, std) = (f64::from(input.mean[channel]), f64::from(input.std[channel]));
            ((byte as f64 / 255.0 - mean) / std) as f32
        };
        let normalised = std::array::from_fn(|channel| std::array::from_fn(|byte| normalise(channel, byte)));
        Ok(Self { input, max_batch: options.max_batch, normalised })
    }

    /// The largest batch.
    pub(super) fn max_batch(&self) -> usize {
        self.max_batch
    }

    /// Floats of a normalised image, and bytes of an RGB image.
    pub(super) fn len(&self) -> usize {
        self.input.height * self.input.width * 3
    }

    /// Refuses a batch that cannot run.
    pub(super) fn check(&self, batch: &Batch) -> Result<(), RunError> {
        if batch.is_empty() || batch.len() > self.max_batch {
            let why = format!("a batch of {} images; it must have 1 to {}", batch.len(), self.max_batch);
            return Err(RunError::Input(why));
        }
        let InputSpec { height, width, .. } = self.input;
        for image in batch.images() {
            let (found, needed) = (image.bytes().len(), self.len() * image.format().bytes());
            if found != needed {
                return Err(RunError::Input(format!(
                    "an image of {found} bytes; {:?} pixels of {height}×{width}×3 take {needed}",
                    image.format()
                )));
            }
        }
        Ok(())
    }

    /// Writes an image, which passed the check, as `[h, w, 3]`, normalised.
    pub(super) fn normalise(&self, image: &Image, into: &mut [f32]) {
        let bytes = image.bytes();
        match image.format() {
            PixelFormat::Rgb8 => {
                for (out, pixel) in into.as_chunks_mut::<3>().0.iter_mut().zip(bytes.as_chunks::<3>().0) {
                    for channel in 0..3 {
                        out[channel] = self.normalised[channel][usize::from(pixel[channel])];
                    }
                }
            }
            PixelFormat::F32 => self.interleave(bytes.as_chunks().0, into, |bytes| f32::from_le_bytes(*bytes)),
            PixelFormat::F16 => self.interleave(bytes.as_chunks().0, into, |bytes| f16::from_le_bytes(*bytes).to_f32()),
        }
    }

    /// `[3, h, w]` to `[h, w, 3]`.
    fn interleave<T>(&self, planes: &[T], into: &mut [f32], number: impl Fn(&T) -> f32) {
        for (channel, plane) in planes.chunks_exact(self.input.height * self.input.width).enumerate() {
            into.iter_mut().skip(channel).step_by(3).zip(plane).for_each(|(out, value)| *out = number(value));
        }
    }
}

/// Refuses a second batch where only one may be in flight.
pub(super) fn may_launch(launched: bool) -> Result<(), RunError> {
    if launched { Err(RunError::Input("a batch is in flight already; only one may be".to_owned())) } else { Ok(()) }
}

/// Refuses to finish a batch that is not the `launched` one, or into `room` floats that are not the number of its logits.
pub(super) fn may_finish(batch: BatchId, launched: Option<(BatchId, usize)>, room: usize) -> Result<(), RunError> {
    match launched {
        Some((id, logits)) if id == batch && logits == room => Ok(()),
        Some((id, logits)) if id == batch => {
            Err(RunError::Input(format!("room for {room} logits; the batch has {logits}")))
        }
        _ => Err(RunError::Input(format!("batch {} is not in flight", batch.0))),
    }
}

/// A vector of zeros, or an error where `vec!` would abort the process.
pub(super) fn zeros(elements: usize) -> Result<Vec<f32>, ()> {
    let mut values = Vec::new();
    values.try_reserve_exact(elements).map_err(|_| ())?;
    values.resize(elements, 0.0);
    Ok(values)
}

/// Bytes that the machine has left, as Linux estimates them; None elsewhere.
pub(super) fn free_memory() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let kilobytes = text.lines().find_map(|line| line.strip_prefix("MemAvailable:")?.strip_suffix("kB"))?;
    kilobytes.trim().parse::<u64>().ok()?.checked_mul(1024)
}
