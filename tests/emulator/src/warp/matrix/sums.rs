//! What a tensor core makes of the products of floats that it adds up. It is not IEEE arithmetic: all that is added at once is aligned to the
//! greatest exponent, and what sticks out below is cut off. Not here: where the factors come from, and how it is done fast (`floats`).

use super::half;

/// The element types that are multiplied so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Element {
    F16,
    Bf16,
    Tf32,
    /// e4m3 and e5m2.
    Eight,
}

/// The type that products are added up in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Total {
    F32,
    F16,
}

/// How one card adds up. A deeper product is as several instructions one after another, each with `group` products.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sums {
    /// Products that are added to the accumulator at once.
    pub(super) group: usize,
    /// Bits that are kept below the greatest exponent.
    pub(super) fraction: i32,
    /// The lowest exponent that is aligned to.
    pub(super) lowest: i32,
    /// The exponent of the least normal factor, which subnormal ones are given too.
    pub(super) factor: i32,
    /// The same of accumulators.
    pub(super) accumulator: i32,
    /// What the sum is rounded to.
    pub(super) total: Total,
    /// Bits of an f32 that the sum has not.
    pub(super) cut: u32,
}

/// The exponent of zero, which takes no part in the alignment: below all sums of two exponents even when one of them is large.
pub(super) const NOTHING: i32 = -2000;

impl Sums {
    /// The sum of a card of this compute capability.
    ///
    /// Only Hopper's is recorded by us (`hardware/recordings/matrix.json`). The others are those of Fasi, Higham, Mikaitis, Pranesh, "Numerical
    /// behavior of NVIDIA tensor cores", PeerJ CS 2021, and of Khattak, Mikaitis, "Accurate models of NVIDIA tensor cores", 2025, from where the
    /// lowest exponents and the groups of tf32 are too. What cards answered to the latter (github.com/north-numerical-computing/MATLAB-tensor-core:
    /// A100, A2, L40S, an Ada, V100; 5,000 sums a type) is given bit for bit. Assumed: that Turing, of whose details neither tells, is as Volta, and
    /// that between groups a sum is rounded to the type of the result. Of factors of 8 bits Zhang et al. found that sums have 13 bits of fraction
    /// on Ada and Hopper ("SageAttention2", 2024); that all of an instruction is added at once, and aligned as those of f16, is assumed.
    pub(super) fn of(sm: u32, element: Element, total: Total) -> Self {
        let (group, fraction, lowest, lowest_half) = match sm {
            ..80 => (4, 23, NOTHING, -19),
            80..90 => (8, 24, -132, -20),
            _ => (16, 25, -133, -21),
        };
        Self {
            // A word holds one tf32 and two of the others, or four.
            group: match element {
                Element::Tf32 => group / 2,
                Element::Eight => 32,
                _ => group,
            },
            fraction: if element == Element::Eight { 13 } else { fraction },
            lowest: if total == Total::F16 { lowest_half } else { lowest },
            factor: if matches!(element, Element::F16 | Element::Eight) { -14 } else { -126 },
            accumulator: if total == Total::F16 { -14 } else { -126 },
            total,
            cut: if element == Element::Eight { (1 << 10) - 1 } else { 0 },
        }
    }

    /// The accumulator and the products of factors: exact if it is finite, before it is rounded.
    pub(super) fn exact(&self, products: impl Iterator<Item = (f32, f32)> + Clone, accumulator: f32) -> f64 {
        let finite = products.clone().all(|(a, b)| a.is_finite() && b.is_finite()) && accumulator.is_finite();
        if !finite {
            // Infinities and NaN are as in any other order of adding.
            let start = if accumulator.is_finite() { 0.0 } else { f64::from(accumulator) };
            let infinite = products.filter(|(a, b)| !a.is_finite() || !b.is_finite());
            return infinite.fold(start, |sum, (a, b)| sum + f64::from(a) * f64::from(b));
        }
        let terms = products.map(|(a, b)| {
            let (a_exponent, b_exponent) = (exponent(a, self.factor), exponent(b, self.factor));
            (f64::from(a) * f64::from(b), a_exponent + b_exponent)
        });
        let terms = terms.chain([(f64::from(accumulator), exponent(accumulator, self.accumulator))]);
        let greatest = terms.clone().map(|(_, exponent)| exponent).fold(self.lowest, i32::max);
        if greatest <= NOTHING / 2 {
            return 0.0;
        }
        let (unit, units) = (power_of_two(greatest - self.fraction), power_of_two(self.fraction - greatest));
        // From +0, so that terms which cancel, or are all zero, leave +0.
        terms.fold(0.0, |sum, (term, _)| sum + (term * units).trunc()) * unit
    }

    /// The exact sum in the type of the result, held in an f32: towards zero to f32, to nearest even to f16.
    pub(super) fn round(&self, exact: f64) -> f32 {
        match self.total {
            Total::F32 if self.cut == 0 => towards_zero(exact),
            // of a NaN nothing is cut
            Total::F32 if exact.is_nan() => f32::NAN,
            Total::F32 => f32::from_bits(towards_zero(exact).to_bits() & !self.cut),
            Total::F16 => half::round(to_odd(exact)),
        }
    }
}

/// The exponent that a value is aligned with: its own, but at least that of the type's least normal one, and none of zero.
pub(super) fn exponent(value: f32, least: i32) -> i32 {
    let magnitude = value.to_bits() & 0x7FFF_FFFF;
    let own = (magnitude >> 23).cast_signed() - 127;
    if magnitude == 0 { NOTHING } else { own.max(least) }
}

/// 2 to a power that is normal in f64.
fn power_of_two(power: i32) -> f64 {
    f64::from_bits(u64::from((power + 1023).cast_unsigned()) << 52)
}

/// A sum as f32; from 2^128 on, infinity.
fn towards_zero(exact: f64) -> f32 {
    let near = exact as f32;
    let over = f64::from(near).abs() > exact.abs() && exact.abs() < power_of_two(128);
    if over { f32::from_bits(near.to_bits() - 1) } else { near }
}

/// As f32, whose last bit says too that something was cut: with it, rounding once more is as rounding once.
fn to_odd(exact: f64) -> f32 {
    let cut = towards_zero(exact);
    let inexact = cut.is_finite() && f64::from(cut) != exact;
    f32::from_bits(cut.to_bits() | u32::from(inexact))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cards_keep_23_24_and_25_bits() {
        // One, and so many small ones that their sum would be its last bit, if they were not cut.
        let sum = |sm, small: i32| {
            let sums = Sums::of(sm, Element::F16, Total::F32);
            let pair = (power_of_two(-small / 2) as f32, power_of_two(small / 2 - small) as f32);
            let products = std::iter::once((1.0, 1.0)).chain(std::iter::repeat_n(pair, 1 << (small - 23)));
            sums.round(sums.exact(products, 0.0))
        };
        let more = f32::from_bits(1_f32.to_bits() + 1);
        assert_eq!([23, 24, 25].map(|small| sum(75, small)), [more, 1.0, 1.0]);
        for sm in [80, 86, 89] {
            assert_eq!([23, 24, 25, 26].map(|small| sum(sm, small)), [more, more, 1.0, 1.0]);
        }
        assert_eq!([23, 24, 25, 26].map(|small| sum(90, small)), [more, more, more, 1.0]);
    }

    #[test]
    fn sums_of_bytes_keep_13_bits() {
        let sums = Sums::of(89, Element::Eight, Total::F32);
        let sum = |small: i32, accumulator| {
            let pairs = std::iter::once((1.0, 1.0)).chain(std::iter::repeat_n(((-small as f32).exp2(), 1.0), 2));
            sums.round(sums.exact(pairs, accumulator))
        };
        assert_eq!([sum(13, 0.0), sum(14, 0.0)], [1.0 + (-12f32).exp2(), 1.0]);
        // an accumulator of more bits loses them
        assert_eq!(sum(13, 1.0 + (-20f32).exp2()), 2.0 + (-12f32).exp2());
        assert!(sum(13, f32::NAN).is_nan());
    }

    #[test]
    fn what_cannot_be_added_is_as_recorded() {
        let sums = Sums::of(90, Element::F16, Total::F32);
        let sum = |products: &[(f32, f32)], accumulator| sums.round(sums.exact(products.iter().copied(), accumulator));
        let infinity = f32::INFINITY;
        assert_eq!(sum(&[(infinity, -2.0)], 1.0), -infinity);
        assert!(sum(&[(infinity, 0.0)], 1.0).is_nan() && sum(&[(infinity, 1.0)], -infinity).is_nan());
        assert_eq!(sum(&[(0.0, -1.0), (-0.0, 1.0)], -0.0).to_bits(), 0, "a sum that is zero is +0");
        assert_eq!(sum(&[(65504.0, 65504.0)], f32::MAX), f32::MAX, "towards zero");
    }
}
