//! Global response normalisation by its definition (ConvNeXt V2, section 3.2). Not here: speed.

use super::map::Map;

/// `x + scale · (x · n) + shift` with vectors `[c]`. `n` is each channel's norm over all pixels, divided by the mean norm of all channels.
pub(crate) fn grn(input: &Map, scale: &[f32], shift: &[f32], eps: f32) -> Map {
    let channels = input.shape.channels;
    let norm = |c: usize| input.pixels().map(|pixel| pixel[c].powi(2)).sum::<f64>().sqrt();
    let norms: Vec<f64> = (0..channels).map(norm).collect();
    let mean = norms.iter().sum::<f64>() / channels as f64;
    let mut output = input.clone();
    for pixel in output.values.chunks_exact_mut(channels) {
        for (c, x) in pixel.iter_mut().enumerate() {
            let normalised = *x * norms[c] / (mean + f64::from(eps));
            *x += f64::from(scale[c]) * normalised + f64::from(shift[c]);
        }
    }
    output
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program::Shape;

    #[test]
    fn weighs_each_channel_by_its_share_of_the_mean_norm() {
        // norms over the pixels: 5 and 15, their mean 10
        let input = Map::new(Shape::map(2, 1, 2), &[3.0, 9.0, 4.0, 12.0]);
        // with an eps of 2.5 the shares are 5/12.5 = 0.4 and 15/12.5 = 1.2
        let output = grn(&input, &[10.0, 1.0], &[0.25, 0.5], 2.5);
        let expected = [3.0 + 12.0 + 0.25, 9.0 + 10.8 + 0.5, 4.0 + 16.0 + 0.25, 12.0 + 14.4 + 0.5];
        for (found, expected) in output.values.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-12, "{found} for {expected}");
        }
    }
}
