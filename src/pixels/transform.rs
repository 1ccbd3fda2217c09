//! Resize and crop to a model's input.

use super::{Filter, Rgb};

/// How an image is brought to the size of the input.
#[derive(Clone, Debug, PartialEq)]
pub struct Transform {
    /// Rows of the result.
    pub height: usize,
    /// Columns of the result.
    pub width: usize,
    /// What is done with the aspect ratio.
    pub fit: Fit,
    /// Interpolation.
    pub filter: Filter,
}

/// What is done with the aspect ratio, before the centre is cropped to the size of the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    /// The shorter edge becomes this long, the other in proportion.
    ShortestEdge(usize),
    /// Warped to these rows and columns.
    Exact(usize, usize),
}

/// Pixels `[height, width, 3]` of exactly a model's input, 0 to 255.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pixels(Vec<u8>);

impl Pixels {
    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl Transform {
    /// Brings an image to the size of the input.
    #[must_use]
    pub fn apply(&self, _image: &Rgb) -> Pixels {
        todo!()
    }
}
