//! The exponential of numbers up to zero, in f32 and without a branch. Not here: softmax (`operations/attention`).

use pulp::Simd;

use crate::engine::cpu::simd::vector::multiply_add;

/// log₂ e.
const LOG2_E: f32 = std::f32::consts::LOG2_E;
/// ln 2 in two parts. The first has few digits, so that its product with a whole number is exact.
const LN_2: [f32; 2] = [0.693_359_4, -2.121_944_4e-4];
/// Added and subtracted again, it rounds to whole numbers. In between, the whole number stands in the lowest bits.
const ROUND: f32 = 12_582_912.0;
/// Taylor's coefficients 1/7! to 1/0!: on ±ln 2 / 2 the rest is below 1e-8 of the value.
const TAYLOR: [f32; 8] = [1.0 / 5040.0, 1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0];
/// Below this the result is zero, and at this: its exponent is one below those of normal numbers, as that of zero is.
///
/// A small number in place of zero would cost time. Its products are denormal, and a processor may take a hundred cycles for each.
const LOWEST: f32 = -88.0;
/// Exponent of 1 in an f32.
const BIAS: u32 = 127;
/// Bits of a fraction in an f32.
const FRACTION: u32 = 23;

/// `eˣ` for x ≤ 0: within 2e-7 of the value down to −87, zero below −87.7, minus infinity included, and one or the other in between.
///
/// `N` vectors are computed side by side, for each operation of one vector waits for the one before.
#[inline(always)]
pub(crate) fn exp<S: Simd, const N: usize>(simd: S, x: [S::f32s; N]) -> [S::f32s; N] {
    let splat = |value: f32| simd.splat_f32s(value);
    let (mut rest, mut whole, mut sum) = (x, x, [splat(TAYLOR[0]); N]);
    for i in 0..N {
        rest[i] = simd.max_f32s(x[i], splat(LOWEST));
        whole[i] = multiply_add(simd, rest[i], splat(LOG2_E), splat(ROUND));
        let rounded = simd.sub_f32s(whole[i], splat(ROUND));
        for part in LN_2 {
            rest[i] = multiply_add(simd, rounded, splat(-part), rest[i]);
        }
    }
    for coefficient in &TAYLOR[1..] {
        for i in 0..N {
            sum[i] = multiply_add(simd, sum[i], rest[i], splat(*coefficient));
        }
    }
    for i in 0..N {
        let exponent = simd.add_u32s(simd.transmute_u32s_f32s(whole[i]), simd.splat_u32s(BIAS));
        let power = simd.wrapping_dyn_shl_u32s(exponent, simd.splat_u32s(FRACTION));
        sum[i] = simd.mul_f32s(sum[i], simd.transmute_f32s_u32s(power));
    }
    sum
}

#[cfg(test)]
mod tests {
    use pulp::WithSimd;

    use super::*;
    use crate::engine::cpu::simd::instructions::Instructions;
    use crate::engine::cpu::simd::vector::{load, store};

    struct Each<'a>(&'a mut [f32]);

    impl WithSimd for Each<'_> {
        type Output = ();

        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) {
            self.0.chunks_mut(S::F32_LANES).for_each(|x| store(simd, x, exp(simd, [load(simd, x)])[0]));
        }
    }

    #[test]
    fn is_the_exponential_to_the_last_digits() {
        let inputs: Vec<f32> = (0..=870_000).map(|i| i as f32 * -1e-4).collect();
        for instructions in Instructions::available() {
            let mut outputs = inputs.clone();
            instructions.run(Each(&mut outputs));
            for (x, y) in inputs.iter().zip(&outputs) {
                let exact = f64::from(*x).exp();
                assert!((f64::from(*y) - exact).abs() <= 2e-7 * exact, "{instructions}: exp({x}) = {y}");
            }
            assert_eq!(outputs[0], 1.0, "{instructions}");
        }
    }

    #[test]
    fn is_zero_far_below() {
        for instructions in Instructions::available() {
            let mut values = [-87.7, -88.0, -100.0, -1e9, f32::MIN, f32::NEG_INFINITY];
            instructions.run(Each(&mut values));
            assert_eq!(values, [0.0; 6], "{instructions}");
            let mut values: Vec<f32> = (0..700).map(|i| -87.0 - i as f32 * 1e-3).collect();
            instructions.run(Each(&mut values));
            assert!(values.iter().all(|value| (0.0..2e-38).contains(value)), "{instructions}: {values:?}");
        }
    }
}
