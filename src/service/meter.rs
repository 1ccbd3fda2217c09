//! What holds whoever asks to so many images. Not here: who that is, and how many (`auth`).

use std::fmt;
use std::time::Duration;

/// Counts the images of whoever asks.
pub trait Meter: fmt::Debug + Send + Sync {
    /// A request for at least one image is about to be admitted.
    ///
    /// # Errors
    /// When there have been too many.
    fn begin(&self) -> Result<(), Spent>;

    /// The request has so many images beside the first.
    fn more(&self, images: u64);
}

/// There have been too many images.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spent {
    /// Of whom and how many there may be, in words.
    pub what: String,
    /// When there may be one again.
    pub retry_after: Duration,
}
