//! Depthwise convolution by its definition, over a map that is zero outside.

use super::map::Map;
use crate::program::Shape;

/// `[h, w, c] → [h, w, c]` with a weight `[kernel, kernel, c]` and a bias `[c]`.
pub(crate) fn depthwise(input: &Map, kernel: usize, weight: &[f32], bias: &[f32]) -> Map {
    let Shape { height, width, channels } = input.shape;
    let mut output = Map::zeros(input.shape);
    for y in 0..height {
        for x in 0..width {
            for c in 0..channels {
                let mut sum = f64::from(bias[c]);
                for dy in 0..kernel {
                    for dx in 0..kernel {
                        // in coordinates of the padded map, whose first row and column is the input's −kernel/2
                        let (py, px) = (y + dy, x + dx);
                        let inside = |p: usize, side: usize| (kernel / 2..kernel / 2 + side).contains(&p);
                        if inside(py, height) && inside(px, width) {
                            let w = f64::from(weight[(dy * kernel + dx) * channels + c]);
                            sum += w * input.at(py - kernel / 2, px - kernel / 2, c);
                        }
                    }
                }
                output.set(y, x, c, sum);
            }
        }
    }
    output
}
