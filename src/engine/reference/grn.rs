//! Global response normalisation by its definition (ConvNeXt V2, section 3.2).

use super::map::Map;

/// `x + scale · (x · n) + shift` with vectors `[c]`; `n` is each channel's norm over all places, divided by the channels' mean norm.
pub(crate) fn grn(input: &Map, scale: &[f32], shift: &[f32], eps: f32) -> Map {
    let channels = input.shape.channels;
    let norm = |c: usize| input.places().map(|place| place[c].powi(2)).sum::<f64>().sqrt();
    let norms: Vec<f64> = (0..channels).map(norm).collect();
    let mean = norms.iter().sum::<f64>() / channels as f64;
    let mut output = input.clone();
    for place in output.values.chunks_exact_mut(channels) {
        for (c, x) in place.iter_mut().enumerate() {
            let normalised = *x * norms[c] / (mean + f64::from(eps));
            *x += f64::from(scale[c]) * normalised + f64::from(shift[c]);
        }
    }
    output
}
