//! The mean over all places.

use super::map::Map;
use crate::program::Shape;

/// `[h, w, c] → [c]`.
pub(crate) fn pool(input: &Map) -> Map {
    let Shape { channels, .. } = input.shape;
    let mean = |c: usize| input.places().map(|place| place[c]).sum::<f64>() / input.shape.rows() as f64;
    Map { shape: Shape::vector(channels), values: (0..channels).map(mean).collect() }
}
