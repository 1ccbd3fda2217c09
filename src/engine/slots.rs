//! The slots of an engine on the host: staged images, normalised, and the checks that every engine makes of what it is
//! handed. Not here: what is computed of them.

use super::{Input, LoadError, Options, RunError};
use crate::program::InputSpec;

/// `max_batch` images `[h, w, 3]`, normalised, of which some are staged.
#[derive(Debug)]
pub(super) struct Slots {
    input: InputSpec,
    images: Vec<f32>,
    staged: Vec<bool>,
    /// Normalised value of each byte, by channel.
    normalised: [[f32; 256]; 3],
}

impl Slots {
    /// Slots for images of this input.
    pub(super) fn new(device: &str, input: InputSpec, options: &Options) -> Result<Self, LoadError> {
        let failed = |why: String| LoadError::Device { device: device.to_owned(), why };
        if options.max_batch == 0 {
            return Err(failed("a largest batch of 0 images; at least 1 is needed".to_owned()));
        }
        let elements = options.max_batch.saturating_mul(input.height * input.width * 3);
        let images = zeros(elements)
            .map_err(|()| failed(format!("no memory for {} input images; lower max_batch", options.max_batch)))?;
        // in f64 and rounded once: no byte is off by more than half a unit in the last place
        let normalise = |channel: usize, byte: usize| {
            let (mean, std) = (f64::from(input.mean[channel]), f64::from(input.std[channel]));
            ((byte as f64 / 255.0 - mean) / std) as f32
        };
        let normalised = std::array::from_fn(|channel| std::array::from_fn(|byte| normalise(channel, byte)));
        Ok(Self { input, images, staged: vec![false; options.max_batch], normalised })
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.staged.len()
    }

    /// The image of a staged slot, `[h, w, 3]`.
    pub(super) fn image(&self, slot: usize) -> &[f32] {
        &self.images[slot * self.len()..][..self.len()]
    }

    /// Normalises an image into a slot.
    pub(super) fn stage(&mut self, slot: usize, input: Input<'_>) -> Result<(), RunError> {
        let (len, InputSpec { height, width, .. }) = (self.len(), self.input);
        self.exists(slot)?;
        let (found, unit) = match input {
            Input::Rgb8(pixels) => (pixels.len(), "bytes"),
            Input::F32(tensor) => (tensor.len(), "numbers"),
        };
        if found != len {
            return Err(RunError::Input(format!(
                "an image of {found} {unit} where {height}×{width}×3 = {len} are needed"
            )));
        }
        let image = &mut self.images[slot * len..][..len];
        match input {
            Input::Rgb8(pixels) => {
                for (out, pixel) in image.chunks_exact_mut(3).zip(pixels.chunks_exact(3)) {
                    for channel in 0..3 {
                        out[channel] = self.normalised[channel][usize::from(pixel[channel])];
                    }
                }
            }
            Input::F32(tensor) => {
                for (channel, plane) in tensor.chunks_exact(height * width).enumerate() {
                    image.iter_mut().skip(channel).step_by(3).zip(plane).for_each(|(out, value)| *out = *value);
                }
            }
        }
        self.staged[slot] = true;
        Ok(())
    }

    /// Refuses a batch that cannot be launched.
    pub(super) fn check_batch(&self, slots: &[usize]) -> Result<(), RunError> {
        if slots.is_empty() || slots.len() > self.count() {
            return Err(RunError::Input(format!(
                "a batch of {}; 1 to {} images are possible",
                slots.len(),
                self.count()
            )));
        }
        for &slot in slots {
            self.exists(slot)?;
            if !self.staged[slot] {
                return Err(RunError::Input(format!("slot {slot} holds no image")));
            }
        }
        Ok(())
    }

    fn exists(&self, slot: usize) -> Result<(), RunError> {
        if slot < self.count() {
            return Ok(());
        }
        Err(RunError::Input(format!("there is no slot {slot}; the last is {}", self.count() - 1)))
    }

    fn len(&self) -> usize {
        self.input.height * self.input.width * 3
    }
}

/// Zeros, or an error where a plain vector would abort the process.
pub(super) fn zeros(elements: usize) -> Result<Vec<f32>, ()> {
    let mut values = Vec::new();
    values.try_reserve_exact(elements).map_err(|_| ())?;
    values.resize(elements, 0.0);
    Ok(values)
}
