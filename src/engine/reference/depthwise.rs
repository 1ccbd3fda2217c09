//! Depthwise convolution by its definition, with zero padding. Not here: speed.

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
                        // coordinates of the padded map: its first row and column are row and column −kernel/2 of the input
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn correlates_each_channel_with_its_own_kernel_over_a_border_of_zeros() {
        // two channels: the numbers 1 to 6, and their negatives
        let values: Vec<f32> = (1..=6).flat_map(|i| [i as f32, -(i as f32)]).collect();
        let input = Map::new(Shape::map(2, 3, 2), &values);
        // the first kernel takes the pixel to the right and ten times the one below; the second takes the pixel itself
        let mut weight = [0.0; 18];
        weight[5 * 2] = 1.0;
        weight[7 * 2] = 10.0;
        weight[4 * 2 + 1] = 1.0;
        let output = depthwise(&input, 3, &weight, &[0.5, 0.0]);
        let first: Vec<f64> = output.values.iter().copied().step_by(2).collect();
        let second: Vec<f64> = output.values.iter().copied().skip(1).step_by(2).collect();
        assert_eq!(first, [42.5, 53.5, 60.5, 5.5, 6.5, 0.5]);
        assert_eq!(second, [-1.0, -2.0, -3.0, -4.0, -5.0, -6.0]);
    }
}
