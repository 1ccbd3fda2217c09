//! A linear layer by its definition: matrix product, bias, activation, scale and residual. Not here: what is fused with it.

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
    for row in input.pixels() {
        for (out, weights) in weight.chunks_exact(channels).enumerate() {
            let product: f64 = row.iter().zip(weights).map(|(x, w)| x * f64::from(*w)).sum();
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

/// `x · Φ(x)` with `Φ(x) = erfc(−x/√2) / 2`. The other form, `(1 + erf(x/√2)) / 2`, loses digits far below zero.
pub(crate) fn gelu(x: f64) -> f64 {
    x * 0.5 * libm::erfc(-x * std::f64::consts::FRAC_1_SQRT_2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn follows_the_order_bias_activation_scale_residual() {
        let input = Map::new(Shape::map(1, 1, 2), &[1.0, 2.0]);
        let residual = Map::new(Shape::map(1, 1, 2), &[1000.0, 2000.0]);
        let (weight, bias) = ([3.0, 4.0, 0.0, 0.0], [-10.0, 1.0]);
        assert_eq!(linear(&input, &weight, &bias, None, None, None).values, [1.0, 1.0]);
        let whole = linear(&input, &weight, &bias, Some(Activation::Gelu), Some(&[10.0, 100.0]), Some(&residual));
        // Φ(1) = 0.841344746068543 (any table of the normal distribution)
        for (found, expected) in whole.values.iter().zip([1_008.413_447_460_685, 2_084.134_474_606_854]) {
            assert!((found - expected).abs() < 1e-9, "{found} for {expected}");
        }
    }

    #[test]
    fn gelu_keeps_its_digits_far_below_zero() {
        // Φ(−6) = 9.865876450376946e-10
        assert!((gelu(-6.0) / (-6.0 * 9.865_876_450_376_946e-10) - 1.0).abs() < 1e-12);
        assert_eq!(gelu(0.0), 0.0);
    }
}
