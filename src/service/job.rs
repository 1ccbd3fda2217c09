//! What a device is handed and what it gives back: an image that may be abandoned, and the image's logits. Not here: whose image
//! it is (`image`), what a device does with it (`device`).

use std::sync::Arc;
use std::time::Duration;

use super::ServiceError;
use crate::engine::Image;

/// An image on its way through a device.
pub(super) trait Job: Send + 'static {
    /// Gives the image, once.
    fn image(&mut self) -> Image;

    /// Whether nobody waits for the answer any more.
    fn is_abandoned(&self) -> bool;

    /// Tells the owner.
    fn answer(self, result: Result<Computed, ServiceError>);
}

/// What a device says of an image.
#[derive(Debug)]
pub(super) struct Computed {
    /// One per class.
    pub(super) logits: Vec<f32>,
    /// Images in its batch.
    pub(super) batch_size: usize,
    /// The device's name.
    pub(super) device: Arc<str>,
    /// From the queue to the device.
    pub(super) queue: Duration,
    /// The batch on the device.
    pub(super) compute: Duration,
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
