//! Layer norm by its definition.

use super::map::Map;

/// `(x − mean) / sqrt(var + eps) · scale + shift` over the channels of each place; without an affine part where it was folded.
pub(crate) fn norm(input: &Map, affine: Option<(&[f32], &[f32])>, eps: f32) -> Map {
    let mut values = Vec::with_capacity(input.values.len());
    for place in input.places() {
        let channels = place.len() as f64;
        let mean = place.iter().sum::<f64>() / channels;
        let variance = place.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / channels;
        let deviation = (variance + f64::from(eps)).sqrt();
        for (c, x) in place.iter().enumerate() {
            let normed = (x - mean) / deviation;
            values.push(match affine {
                Some((scale, shift)) => normed * f64::from(scale[c]) + f64::from(shift[c]),
                None => normed,
            });
        }
    }
    Map { shape: input.shape, values }
}
