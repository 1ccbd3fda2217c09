//! Patchify by its definition: each output is a sum over its patch.

use super::map::Map;
use crate::program::Shape;

/// `[h, w, c] → [h/size, w/size, out]` with a weight `[out, size, size, c]` and a bias `[out]`.
pub(crate) fn patchify(input: &Map, size: usize, weight: &[f32], bias: &[f32]) -> Map {
    let Shape { height, width, channels } = input.shape;
    let mut output = Map::zeros(Shape::map(height / size, width / size, bias.len()));
    for y in 0..height / size {
        for x in 0..width / size {
            for (out, bias) in bias.iter().enumerate() {
                let mut sum = f64::from(*bias);
                for dy in 0..size {
                    for dx in 0..size {
                        for c in 0..channels {
                            let w = weight[((out * size + dy) * size + dx) * channels + c];
                            sum += f64::from(w) * input.at(y * size + dy, x * size + dx, c);
                        }
                    }
                }
                output.set(y, x, out, sum);
            }
        }
    }
    output
}
