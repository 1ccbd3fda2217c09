//! A tensor of one image in f64. Not here: operations on it.

use crate::program::Shape;

/// A map `[h, w, c]`, or a vector `[c]` as a map of one pixel.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Map {
    /// `[h, w, c]`
    pub(crate) shape: Shape,
    /// Channels are the fastest index.
    pub(crate) values: Vec<f64>,
}

impl Map {
    /// A map of zeros.
    pub(crate) fn zeros(shape: Shape) -> Self {
        Self { shape, values: vec![0.0; shape.len()] }
    }

    /// A map of these values.
    pub(crate) fn new(shape: Shape, values: &[f32]) -> Self {
        Self { shape, values: values.iter().map(|value| f64::from(*value)).collect() }
    }

    /// The value at a row, a column and a channel.
    pub(crate) fn at(&self, y: usize, x: usize, channel: usize) -> f64 {
        self.values[self.index(y, x, channel)]
    }

    /// Sets the value at a row, a column and a channel.
    pub(crate) fn set(&mut self, y: usize, x: usize, channel: usize, value: f64) {
        let index = self.index(y, x, channel);
        self.values[index] = value;
    }

    /// The channels `[c]` of each pixel, row by row.
    pub(crate) fn pixels(&self) -> impl Iterator<Item = &[f64]> {
        self.values.chunks_exact(self.shape.channels)
    }

    fn index(&self, y: usize, x: usize, channel: usize) -> usize {
        (y * self.shape.width + x) * self.shape.channels + channel
    }
}
