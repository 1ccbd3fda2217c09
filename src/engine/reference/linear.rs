//! Matrix product with its epilogue, by their definitions.

use super::map::Map;
use crate::program::{Activation, Shape};

/// `act(x·Wᵀ + bias) · scale + residual` with a weight `[out, in]` and vectors `[out]`.
pub(crate) fn linear(
    input: &Map,
    weight: &[f32],
    bias: &[f32],
    activation: Option<Activation>,
    scale: Option<&[f32]>,
    residual: Option<&Map>,
) -> Map {
    let Shape { height, width, channels } = input.shape;
    let mut values = Vec::with_capacity(input.shape.rows() * bias.len());
    for place in input.places() {
        for (out, row) in weight.chunks_exact(channels).enumerate() {
            let product: f64 = place.iter().zip(row).map(|(x, w)| x * f64::from(*w)).sum();
            let mut value = product + f64::from(bias[out]);
            if let Some(Activation::Gelu) = activation {
                value = gelu(value);
            }
            if let Some(scale) = scale {
                value *= f64::from(scale[out]);
            }
            if let Some(residual) = residual {
                value += residual.values[values.len()];
            }
            values.push(value);
        }
    }
    Map { shape: Shape::map(height, width, bias.len()), values }
}

/// `x · Φ(x)`, with `Φ(x) = erfc(−x/√2) / 2`, which unlike `(1 + erf(x/√2)) / 2` loses nothing where x is far below zero.
pub(crate) fn gelu(x: f64) -> f64 {
    x * 0.5 * libm::erfc(-x * std::f64::consts::FRAC_1_SQRT_2)
}
