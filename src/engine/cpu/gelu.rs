//! GELU by the error function, in f32 and without a branch.

use pulp::Simd;

use super::vector::multiply_add;

/// Abramowitz & Stegun 7.1.28: `erfc(z) ≈ (1 + a₁z + … + a₆z⁶)⁻¹⁶` for z ≥ 0, within 3e-7. Here aₖ / √2ᵏ, for z = |x| / √2.
const A: [f32; 6] = {
    const A: [f64; 6] =
        [0.070_523_078_4, 0.042_282_012_3, 0.009_270_527_2, 0.000_152_014_3, 0.000_276_567_2, 0.000_043_063_8];
    const ROOT: f64 = std::f64::consts::FRAC_1_SQRT_2;
    [
        (A[0] * ROOT) as f32,
        (A[1] * 0.5) as f32,
        (A[2] * 0.5 * ROOT) as f32,
        (A[3] * 0.25) as f32,
        (A[4] * 0.25 * ROOT) as f32,
        (A[5] * 0.125) as f32,
    ]
};

/// `x · Φ(x) = max(x, 0) − |x|/2 · erfc(|x|/√2)`, within 1e-6.
///
/// In this form the approximated term vanishes where x is large of either sign: no error grows with x.
#[inline(always)]
pub(super) fn gelu<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    let absolute = simd.abs_f32s(x);
    let mut series = simd.splat_f32s(A[5]);
    for a in [A[4], A[3], A[2], A[1], A[0], 1.0] {
        series = multiply_add(simd, series, absolute, simd.splat_f32s(a));
    }
    let squared = simd.mul_f32s(series, series);
    let fourth = simd.mul_f32s(squared, squared);
    let eighth = simd.mul_f32s(fourth, fourth);
    let half = simd.mul_f32s(absolute, simd.splat_f32s(0.5));
    let tail = simd.div_f32s(half, simd.mul_f32s(eighth, eighth));
    simd.sub_f32s(simd.max_f32s(x, simd.splat_f32s(0.0)), tail)
}

#[cfg(test)]
mod tests {
    use pulp::WithSimd;

    use super::*;
    use crate::engine::cpu::instructions::Instructions;
    use crate::engine::cpu::vector::{load, store};
    use crate::engine::reference;

    struct Each<'a>(&'a mut [f32]);

    impl WithSimd for Each<'_> {
        type Output = ();

        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) {
            self.0.chunks_mut(S::F32_LANES).for_each(|x| store(simd, x, gelu(simd, load(simd, x))));
        }
    }

    fn one(instructions: Instructions, x: f32) -> f32 {
        let mut value = [x];
        instructions.run(Each(&mut value));
        value[0]
    }

    #[test]
    fn is_within_a_millionth_of_the_error_function_everywhere() {
        let grid = (-1_200_000..=1_200_000).map(|i| i as f32 * 1e-5);
        let wide = (0..=400).flat_map(|i| [10f32.powf(i as f32 / 10.0 - 30.0), -(10f32.powf(i as f32 / 10.0 - 30.0))]);
        let inputs: Vec<f32> = grid.chain(wide).collect();
        for instructions in Instructions::available() {
            let mut outputs = inputs.clone();
            instructions.run(Each(&mut outputs));
            let errors = inputs.iter().zip(&outputs);
            let errors = errors.map(|(x, y)| ((f64::from(*y) - reference::gelu(f64::from(*x))).abs(), x));
            let worst = errors.max_by(|a, b| a.0.total_cmp(&b.0));
            assert!(worst.is_some_and(|(error, _)| error <= 1e-6), "{instructions}: worst (error, x): {worst:?}");
        }
    }

    #[test]
    fn is_exact_where_its_tail_has_vanished() {
        for instructions in Instructions::available() {
            for x in [1e3, 1e10, f32::MAX] {
                assert_eq!((one(instructions, x), one(instructions, -x)), (x, 0.0), "{instructions} at {x}");
            }
        }
    }

    #[test]
    fn hides_no_nan() {
        for instructions in Instructions::available() {
            assert!(one(instructions, f32::NAN).is_nan());
            assert!(!one(instructions, f32::INFINITY).is_finite());
        }
    }
}
