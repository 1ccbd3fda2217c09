//! Patchify by its definition: each output is a sum over its patch. Not here: speed.

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_each_patch_and_leaves_out_pixels_that_fill_none() {
        // rows of 5: the last column and the last row fill no patch
        let rows = [[1.0, 2.0, 3.0, 4.0, 9.0], [5.0, 6.0, 7.0, 8.0, 9.0], [9.0; 5]].concat();
        let input = Map::new(Shape::map(3, 5, 1), &rows);
        let weight = [1.0, 10.0, 100.0, 1000.0, 0.0, 0.0, 0.0, 1.0];
        let output = patchify(&input, 2, &weight, &[0.5, 0.0]);
        assert_eq!(output.shape, Shape::map(1, 2, 2));
        assert_eq!(output.values, [6521.5, 6.0, 8743.5, 8.0]);
    }

    #[test]
    fn reads_the_channels_of_a_pixel_together() {
        let input = Map::new(Shape::map(1, 2, 3), &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        let output = patchify(&input, 1, &[1.0, 10.0, 100.0], &[0.0]);
        assert_eq!(output.values, [321.0, 654.0]);
    }
}
