//! How an image becomes a model's input, by each library's own rule (`timm`, `transformers`). Not here: doing it (`pixels`).

mod timm;
mod transformers;

pub(super) use timm::timm;
pub(super) use transformers::{Processor, transformers};

use super::CheckpointError;
use super::config::Section;
use crate::pixels::Transform;
use crate::program::InputSpec;

/// From the pixels of an image to the numbers that a network reads.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Preprocessing {
    /// Size and normalisation.
    pub(super) input: InputSpec,
    /// Resize and crop.
    pub(super) transform: Transform,
}

/// Longest side of an input, in pixels; so that no later product overflows.
const SIDE_LIMIT: usize = InputSpec::MAX_SIDE;

fn is_side(pixels: usize) -> bool {
    (1..=SIDE_LIMIT).contains(&pixels)
}

/// The part of the resized image that the crop keeps; above one, the image has a border. What is far from one is a mistake.
fn crop_pct(config: Section<'_>) -> Result<Option<f64>, CheckpointError> {
    match config.positive("crop_pct")? {
        Some(part) if !(0.05..=20.0).contains(&part) => Err(config.invalid("crop_pct", "0.05 to 20 is supported")),
        part => Ok(part),
    }
}

/// Standard deviations, by which pixels are divided.
fn deviations(config: Section<'_>, key: &str, std: Option<[f32; 3]>) -> Result<Option<[f32; 3]>, CheckpointError> {
    match std {
        Some(std) if std.iter().any(|std| *std <= 0.0) => Err(config.invalid(key, "numbers above zero are needed")),
        std => Ok(std),
    }
}
