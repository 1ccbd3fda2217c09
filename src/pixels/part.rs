//! As much of an image as a transform needs. Not here: how much that is (`transform`), decoding it (`decode`).

use super::Rgb;

/// Pixels of an image, all or a part of them, or of the image reduced.
#[derive(Clone, Debug)]
pub struct Part {
    pub(super) image: Rgb,
    pub(super) place: Place,
}

/// Where the whole image lies, in pixels of the part that was decoded: it may begin before them and end behind them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Place {
    pub(super) left: f64,
    pub(super) top: f64,
    pub(super) width: f64,
    pub(super) height: f64,
    /// Columns and rows of the whole image when it is not reduced.
    pub(super) size: (u32, u32),
}

impl Part {
    /// Columns and rows that were decoded.
    #[must_use]
    pub fn size(&self) -> (u32, u32) {
        (self.image.width(), self.image.height())
    }
}

impl From<Rgb> for Part {
    fn from(image: Rgb) -> Self {
        let place = Place::of(&image);
        Self { image, place }
    }
}

impl Place {
    /// Of an image that was decoded as it is.
    pub(super) fn of(image: &Rgb) -> Self {
        let size = (image.width(), image.height());
        Self { left: 0.0, top: 0.0, width: size.0.into(), height: size.1.into(), size }
    }
}
