//! Functions of each number, and a weight that is added to a map. Not here: speed; GELU (`linear`).

use super::map::Map;
use crate::program::Function;

/// `f(x)` of each number.
pub(crate) fn activate(input: &Map, function: Function) -> Map {
    Map { shape: input.shape, values: input.values.iter().map(|x| value(function, *x)).collect() }
}

/// `x + weight`
pub(crate) fn offset(input: &Map, weight: &[f32]) -> Map {
    let sums = input.values.iter().zip(weight).map(|(x, w)| x + f64::from(*w));
    Map { shape: input.shape, values: sums.collect() }
}

/// A function of one number.
pub(crate) fn value(function: Function, x: f64) -> f64 {
    match function {
        // (1 + tanh z) / 2 = 1 / (1 + e^−2z), which keeps its digits far below zero
        Function::GeluTanh => {
            let z = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x.powi(3));
            x / (1.0 + (-2.0 * z).exp())
        }
        Function::Silu => x / (1.0 + (-x).exp()),
        Function::Relu => x.max(0.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `torch.nn.functional.gelu(x, approximate="tanh")`, `silu` and `relu` in float64.
    #[test]
    fn functions_are_torchs() {
        for (function, at_minus_two, at_one) in [
            (Function::GeluTanh, -0.045_402_305_912_224_94, 0.841_191_990_608_276_8),
            (Function::Silu, -0.238_405_844_044_235_13, 0.731_058_578_630_004_9),
            (Function::Relu, 0.0, 1.0),
        ] {
            for (x, expected) in [(-2.0, at_minus_two), (1.0, at_one), (0.0, 0.0)] {
                let found = value(function, x);
                assert!((found - expected).abs() < 1e-14, "{function:?} of {x} is {found}");
            }
        }
    }
}
