//! Logits to an answer: scores, their order, their names.

use std::sync::Arc;
use std::time::Duration;

/// How logits become scores.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ScoreFunction {
    /// `exp(x) / Σ exp(x)`: one class of all.
    #[default]
    Softmax,
    /// `1 / (1 + exp(−x))`: each class by itself.
    Sigmoid,
    /// The logits as they are.
    None,
}

/// A class and its score.
#[derive(Clone, Debug, PartialEq)]
pub struct Prediction {
    /// Index of the class.
    pub class: usize,
    /// Its name.
    pub label: Arc<str>,
    /// Its score.
    pub score: f32,
}

/// How long an image was where.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timings {
    /// Bytes to RGB.
    pub decode: Duration,
    /// Resize and crop.
    pub transform: Duration,
    /// Waiting for the device.
    pub queue: Duration,
    /// Its batch on the device.
    pub compute: Duration,
}

/// The answer for one image.
#[derive(Clone, Debug, PartialEq)]
pub struct Classified {
    /// The `top_k` classes by falling score.
    pub predictions: Vec<Prediction>,
    /// Images in the batch it ran in.
    pub batch_size: usize,
    /// How long it was where.
    pub timings: Timings,
}

/// The answer for a request.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The model's name.
    pub model: String,
    /// The model's version.
    pub version: String,
    /// The device that computed it.
    pub device: String,
    /// One for each image, in the request's order.
    pub images: Vec<Classified>,
}
