//! Shapes and indices of tensors. Not here: their contents.

use std::fmt;

/// Index of a tensor in [`Program::tensors`](super::Program::tensors).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TensorId(pub usize);

/// Index of a weight in [`Program::weights`](super::Program::weights).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WeightId(pub usize);

/// Shape of one image's tensor, channels last: a map `[h, w, c]`, or a vector `[c]` as a map of one position.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Shape {
    /// Rows; 1 for a vector.
    pub height: usize,
    /// Columns; 1 for a vector.
    pub width: usize,
    /// Channels, the fastest index.
    pub channels: usize,
}

impl Shape {
    /// A map `[h, w, c]`.
    #[must_use]
    pub const fn map(height: usize, width: usize, channels: usize) -> Self {
        Self { height, width, channels }
    }

    /// A vector `[c]`.
    #[must_use]
    pub const fn vector(channels: usize) -> Self {
        Self::map(1, 1, channels)
    }

    /// Positions, `h · w`: the rows of the matrix `[h·w, c]` that linear operations see.
    #[must_use]
    pub const fn rows(self) -> usize {
        self.height * self.width
    }

    /// Elements.
    #[must_use]
    #[allow(clippy::len_without_is_empty, reason = "no shape of a program is empty")]
    pub const fn len(self) -> usize {
        self.rows() * self.channels
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = if self.rows() == 1 {
            self.channels.to_string()
        } else {
            format!("{}×{}×{}", self.height, self.width, self.channels)
        };
        f.pad(&text)
    }
}

/// What a program takes: the size of its image, and how bytes become numbers, `(u8 / 255 − mean) / std` by channel.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct InputSpec {
    /// Rows of the image.
    pub height: usize,
    /// Columns of the image.
    pub width: usize,
    /// Mean of each channel, in units of white (0 to 1).
    pub mean: [f32; 3],
    /// Standard deviation of each channel, in units of white.
    pub std: [f32; 3],
}

impl InputSpec {
    /// The longest side of an image that a program takes; far beyond any network, so that no product of shapes overflows.
    pub const MAX_SIDE: usize = 4096;
    /// Mean of ImageNet's channels, as timm and transformers publish it.
    pub const IMAGENET_MEAN: [f32; 3] = [0.485, 0.456, 0.406];
    /// Standard deviation of ImageNet's channels, as timm and transformers publish it.
    pub const IMAGENET_STD: [f32; 3] = [0.229, 0.224, 0.225];

    /// A square image normalised as ImageNet's.
    #[must_use]
    pub const fn imagenet(side: usize) -> Self {
        Self { height: side, width: side, mean: Self::IMAGENET_MEAN, std: Self::IMAGENET_STD }
    }
}
