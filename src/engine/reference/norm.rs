//! Norms by their definitions. Not here: speed.

use super::map::Map;
use crate::program::NormKind;

/// `normed(x) · scale + shift` over the channels of each pixel; without scale and shift where they were folded.
pub(crate) fn norm(input: &Map, kind: NormKind, affine: Option<(&[f32], &[f32])>, eps: f32) -> Map {
    let mut values = Vec::with_capacity(input.values.len());
    for pixel in input.pixels() {
        let channels = pixel.len() as f64;
        let mean = pixel.iter().sum::<f64>() / channels;
        let squares = pixel.iter().map(|x| (x - mean).powi(2)).sum::<f64>();
        let (centre, variance) = match kind {
            NormKind::Layer => (mean, squares / channels),
            NormKind::Rms => (0.0, pixel.iter().map(|x| x.powi(2)).sum::<f64>() / channels),
            NormKind::Simple => (0.0, squares / (channels - 1.0)),
        };
        let deviation = (variance + f64::from(eps)).sqrt();
        for (c, x) in pixel.iter().enumerate() {
            let normed = (x - centre) / deviation;
            values.push(match affine {
                Some((scale, shift)) => normed * f64::from(scale[c]) + f64::from(shift[c]),
                None => normed,
            });
        }
    }
    Map { shape: input.shape, values }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program::Shape;

    #[test]
    fn divides_by_the_biased_deviation_of_each_pixel() {
        let input = Map::new(Shape::map(1, 2, 2), &[1.0, 5.0, 7.0, 7.0]);
        // mean 3, variance ((−2)² + 2²) / 2 = 4
        assert_eq!(norm(&input, NormKind::Layer, None, 0.0).values[..2], [-1.0, 1.0]);
        // eps 5 makes the deviation sqrt(4 + 5) = 3; a pixel of equal channels has none
        let affine = norm(&input, NormKind::Layer, Some((&[3.0, 30.0], &[0.5, 0.25])), 5.0);
        assert_eq!(affine.values, [-1.5, 20.25, 0.5, 0.25]);
    }

    /// `timm.layers.RmsNorm` and `SimpleNorm`.
    #[test]
    fn other_norms_leave_the_mean_in() {
        let input = Map::new(Shape::map(1, 1, 2), &[1.0, 7.0]);
        // mean of squares (1 + 49) / 2 = 25
        assert_eq!(norm(&input, NormKind::Rms, Some((&[1.0, 10.0], &[0.0, 0.0])), 0.0).values, [0.2, 14.0]);
        // unbiased variance ((−3)² + 3²) / 1 = 18, and eps 7
        assert_eq!(norm(&input, NormKind::Simple, None, 7.0).values, [0.2, 1.4]);
    }
}
