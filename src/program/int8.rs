//! How a weight becomes bytes: a step for each row, its largest number the largest byte. Who multiplies bytes and who stores them round alike.
//!
//! Not here: which weights become bytes (`checkpoint`), how they are packed (`engine`).

/// The largest byte, of either sign.
pub const MOST: f32 = 127.0;
/// Rows of fewer numbers stay floats, in files and on the CPU: they are few, and their steps would take as much.
pub const MIN_DEPTH: usize = 16;

/// The step of a row. It is no number where one of the row is none or infinite, so that such a row is not lost.
#[must_use]
pub fn step(row: &[f32]) -> f32 {
    let fault = row.iter().map(|x| x * 0.0).sum::<f32>();
    row.iter().fold(0.0_f32, |most, x| most.max(x.abs())) / MOST + fault
}

/// The byte that is nearest to a number in this step.
#[must_use]
pub fn byte(x: f32, step: f32) -> i8 {
    if step > 0.0 { (x / step).round_ties_even().clamp(-MOST, MOST) as i8 } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_number_is_the_largest_byte_and_all_are_within_half_a_step() {
        let mut random = fastrand::Rng::with_seed(1);
        for len in [1, 7, 100] {
            let row: Vec<f32> = (0..len).map(|_| random.f32() * 3.0 - 1.5).collect();
            let step = step(&row);
            let bytes: Vec<i8> = row.iter().map(|x| byte(*x, step)).collect();
            assert_eq!(bytes.iter().map(|byte| byte.unsigned_abs()).max(), Some(127));
            for (byte, x) in bytes.iter().zip(&row) {
                assert!((f32::from(*byte) * step - x).abs() <= step * 0.500_01, "{x} as {byte}");
            }
        }
    }

    #[test]
    fn bytes_that_became_floats_become_the_same_bytes() {
        let mut random = fastrand::Rng::with_seed(2);
        let row: Vec<f32> = (0..200).map(|_| random.f32() - 0.5).collect();
        let first = step(&row);
        let bytes: Vec<i8> = row.iter().map(|x| byte(*x, first)).collect();
        // through a column's scale and back, as a checkpoint stores them
        let again: Vec<f32> = bytes.iter().map(|byte| f32::from(*byte) * first * (1.0 / 0.7) * 0.7).collect();
        let second = step(&again);
        assert_eq!(bytes, again.iter().map(|x| byte(*x, second)).collect::<Vec<i8>>());
    }

    #[test]
    fn zeros_are_zeros_and_what_is_no_number_shows() {
        assert_eq!((step(&[0.0; 3]), byte(0.0, 0.0)), (0.0, 0));
        assert!(step(&[1.0, f32::NAN]).is_nan() && step(&[f32::INFINITY, 1.0]).is_nan());
    }
}
