//! GELU by the error function, in f32 and without a branch. Not here: which layers have one.

use pulp::Simd;

use crate::engine::cpu::simd::vector::multiply_add;

/// Coefficients, lowest power first, of a polynomial Q with `Q(z)¹⁶ ≈ erfc(z/√2) / 2` for z ≥ 0.
///
/// The 16th root of an exponential is nearly straight, so that few coefficients are enough and no division is needed. They were fitted
/// by least squares on Chebyshev nodes of [0, 5], reweighted until the largest error of `z · Q(z)¹⁶` was smallest: 2.4e-7, and 4.2e-7
/// in f32.
const Q: [f32; 7] = [
    0.957_604_4,
    -0.047_767_296,
    -0.017_805_956,
    -0.001_344_010_7,
    0.000_658_402_9,
    -0.000_035_218_92,
    -0.000_001_175_903_2,
];

/// Where Q, which falls everywhere, reaches zero. From here on its 16th power is exactly zero in f32.
const END: f32 = 7.9067;

/// `x · Φ(x) = max(x, 0) − |x| · erfc(|x|/√2) / 2`, within 1e-6.
///
/// In this form the approximated term vanishes where x is large of either sign: no error grows with x.
///
/// `N` vectors are computed side by side, for each operation of one vector waits for the one before.
#[inline(always)]
pub(crate) fn gelu<S: Simd, const N: usize>(simd: S, x: [S::f32s; N]) -> [S::f32s; N] {
    let mut absolute = x;
    let mut z = x;
    let mut root = [simd.splat_f32s(Q[6]); N];
    for i in 0..N {
        absolute[i] = simd.abs_f32s(x[i]);
        z[i] = simd.min_f32s(absolute[i], simd.splat_f32s(END));
    }
    for q in [Q[5], Q[4], Q[3], Q[2], Q[1], Q[0]] {
        for i in 0..N {
            root[i] = multiply_add(simd, root[i], z[i], simd.splat_f32s(q));
        }
    }
    for _ in 0..4 {
        for root in &mut root {
            *root = simd.mul_f32s(*root, *root);
        }
    }
    let mut y = x;
    for i in 0..N {
        let tail = simd.mul_f32s(absolute[i], root[i]);
        y[i] = simd.sub_f32s(simd.max_f32s(x[i], simd.splat_f32s(0.0)), tail);
    }
    y
}

#[cfg(test)]
mod tests {
    use pulp::WithSimd;

    use super::*;
    use crate::engine::cpu::simd::instructions::Instructions;
    use crate::engine::cpu::simd::vector::{load, store};
    use crate::engine::reference;

    struct Each<'a>(&'a mut [f32]);

    impl WithSimd for Each<'_> {
        type Output = ();

        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) {
            self.0.chunks_mut(S::F32_LANES).for_each(|x| store(simd, x, gelu(simd, [load(simd, x)])[0]));
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
