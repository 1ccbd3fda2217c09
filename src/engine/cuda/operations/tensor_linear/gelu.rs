//! That the polynomial of `kernels/gelu.cuh` is near enough to the error function. Not here: the kernel.

/// The coefficients as the kernel has them, the highest first.
fn coefficients() -> Vec<f32> {
    let source = include_str!("../../../../../kernels/gelu.cuh");
    let numbers = source.split(['=', ',', '(', ')', ';', ' ']).filter_map(|word| word.strip_suffix('f'));
    numbers.filter_map(|number| number.parse().ok()).filter(|number| *number != 0.0).collect()
}

/// As the kernel computes it, but for the last digit of the power.
fn gelu(x: f32, coefficients: &[f32]) -> f32 {
    let a = x.abs();
    let exponent = coefficients.iter().copied().reduce(|sum, next| sum.mul_add(a, next)).unwrap_or_default();
    (-a).mul_add(exponent.exp2(), x.max(0.0))
}

#[test]
fn it_is_within_a_fraction_of_what_16_bits_tell_apart() {
    let coefficients = coefficients();
    assert_eq!(coefficients.len(), 6, "{coefficients:?}");
    for step in -40_000..=40_000_i32 {
        let x = step as f32 / 4000.0;
        let right = 0.5 * f64::from(x) * libm::erfc(-f64::from(x) / std::f64::consts::SQRT_2);
        let found = f64::from(gelu(x, &coefficients));
        let error = (found - right).abs();
        assert!(error <= 2.5e-5 * f64::from(x.abs()).min(1.0), "{x}: {found} for {right}");
        if (-4.0..0.0).contains(&x) {
            assert!(error <= 2e-4 * right.abs(), "{x}: {found} for {right}, of which no digits are left");
        }
    }
}

#[test]
fn far_from_zero_it_is_zero_or_the_number_itself() {
    for x in [8.0, 20.0, 1e3, 65504.0, 1e30] {
        assert_eq!(gelu(x, &coefficients()), x);
        assert!(gelu(-x, &coefficients()).abs() < 1e-12);
    }
}
