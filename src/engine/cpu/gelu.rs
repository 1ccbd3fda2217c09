//! GELU by the error function, in f32 and without a branch, so that the compiler makes vectors of it.

/// Abramowitz & Stegun 7.1.28: `erfc(z) ≈ (1 + a₁z + … + a₆z⁶)⁻¹⁶` for z ≥ 0, within 3e-7.
const A: [f32; 6] = [0.070_523_078, 0.042_282_01, 0.009_270_527, 0.000_152_014_3, 0.000_276_567_2, 0.000_043_063_8];

/// `x · Φ(x) = max(x, 0) − |x|/2 · erfc(|x|/√2)`, within 1e-6.
///
/// In this form the approximated term vanishes where x is large of either sign: no error grows with x.
#[inline]
pub(super) fn gelu(x: f32) -> f32 {
    let z = x.abs() * std::f32::consts::FRAC_1_SQRT_2;
    let series = 1.0 + z * (A[0] + z * (A[1] + z * (A[2] + z * (A[3] + z * (A[4] + z * A[5])))));
    let squared = series * series;
    let fourth = squared * squared;
    let eighth = fourth * fourth;
    x.max(0.0) - 0.5 * x.abs() / (eighth * eighth)
}

#[cfg(test)]
mod tests {
    use super::gelu;
    use crate::engine::reference;

    #[test]
    fn is_within_a_millionth_of_the_error_function_everywhere() {
        let grid = (-1_200_000..=1_200_000).map(|i| i as f32 * 1e-5);
        let wide = (0..=400).flat_map(|i| [10f32.powf(i as f32 / 10.0 - 30.0), -(10f32.powf(i as f32 / 10.0 - 30.0))]);
        let error = |x: f32| (f64::from(gelu(x)) - reference::gelu(f64::from(x))).abs();
        let worst = grid.chain(wide).map(|x| (error(x), x)).max_by(|a, b| a.0.total_cmp(&b.0));
        assert!(worst.is_some_and(|(error, _)| error <= 1e-6), "worst (error, x): {worst:?}");
    }

    #[test]
    fn is_exact_where_its_tail_has_vanished() {
        for x in [12.0, 1e3, 1e10, f32::MAX] {
            assert_eq!((gelu(x), gelu(-x)), (x, 0.0), "at {x}");
        }
    }

    #[test]
    fn hides_no_nan() {
        assert!(gelu(f32::NAN).is_nan());
        assert!(!gelu(f32::INFINITY).is_finite());
    }
}
