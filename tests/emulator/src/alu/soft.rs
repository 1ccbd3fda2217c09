//! Binary fractions of any format and rounding, by exact integer arithmetic: unpack, compute with one sticky bit below, round once. It is right
//! and slow; what kernels do all the time has a faster twin in `native`. Not here: which NaN an instruction returns when it has a choice.

/// How a result becomes a number of its format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rounding {
    /// `.rn`: to the nearest, ties to even.
    Nearest,
    /// `.rna`: to the nearest, ties away from zero.
    Away,
    /// `.rz`
    Zero,
    /// `.rm`
    Down,
    /// `.rp`
    Up,
}

/// An IEEE-like format: a sign, a biased exponent, a mantissa with a hidden bit, subnormals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Format {
    exponent: u32,
    mantissa: u32,
    /// The NaN that instructions make.
    pub(super) nan: u64,
    /// The greatest finite number.
    pub(super) top: u64,
}

pub(super) const F16: Format = Format { exponent: 5, mantissa: 10, nan: 0x7FFF, top: 0x7BFF };
pub(super) const BF16: Format = Format { exponent: 8, mantissa: 7, nan: 0x7FFF, top: 0x7F7F };
pub(super) const TF32: Format = Format { exponent: 8, mantissa: 10, nan: 0x3_FFFF, top: 0x3_FBFF };
pub(super) const F32: Format = Format { exponent: 8, mantissa: 23, nan: 0x7FFF_FFFF, top: 0x7F7F_FFFF };
pub(super) const F64: Format =
    Format { exponent: 11, mantissa: 52, nan: 0xFFF8_0000_0000_0000, top: 0x7FEF_FFFF_FFFF_FFFF };
/// Its uppermost exponent has numbers too, and no infinity: only all ones is NaN.
pub(super) const E4M3: Format = Format { exponent: 4, mantissa: 3, nan: 0x7F, top: 0x7E };
pub(super) const E5M2: Format = Format { exponent: 5, mantissa: 2, nan: 0x7F, top: 0x7B };

impl Format {
    /// The sign bit.
    pub(super) const fn sign(self) -> u64 {
        1 << (self.exponent + self.mantissa)
    }

    /// The bits without the sign.
    pub(super) const fn magnitude(self, bits: u64) -> u64 {
        bits & (self.sign() - 1)
    }

    /// Positive infinity.
    pub(super) const fn infinity(self) -> u64 {
        self.top + 1
    }

    pub(super) const fn is_nan(self, bits: u64) -> bool {
        // E4M3 has no infinity, so that its NaN stands where infinity would
        self.magnitude(bits) > self.top && (self.magnitude(bits) != self.infinity() || self.infinity() == self.nan)
    }

    /// One, in this format.
    pub(super) const fn one(self) -> u64 {
        ((1 << (self.exponent - 1)) - 1) << self.mantissa
    }

    /// The least normal number.
    pub(super) const fn least(self) -> u64 {
        1 << self.mantissa
    }

    /// `.ftz`: a subnormal becomes a zero of its sign.
    pub(super) const fn flush(self, bits: u64) -> u64 {
        if self.magnitude(bits) < self.least() { bits & self.sign() } else { bits }
    }

    /// A NaN of this format as a quiet one of another, its sign and what fits of its payload kept.
    pub(super) const fn carry_nan(self, bits: u64, to: Self) -> u64 {
        let payload = bits & (self.least() - 1);
        let payload = if self.mantissa > to.mantissa {
            payload >> (self.mantissa - to.mantissa)
        } else {
            payload << (to.mantissa - self.mantissa)
        };
        let sign = if bits & self.sign() == 0 { 0 } else { to.sign() };
        sign | to.infinity() | to.least() >> 1 | payload
    }

    /// Of the unit in the last place of subnormals, as a power of two.
    const fn lowest(self) -> i32 {
        2 - (1 << (self.exponent - 1)) - self.mantissa.cast_signed()
    }
}

/// What bits of a format stand for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Number {
    Nan,
    /// Negative or not.
    Infinite(bool),
    Finite(Finite),
}

/// `significand · 2^exponent`. Where a significand is not exact, its lowest bit is set: it stands for all that is below.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Finite {
    pub(super) negative: bool,
    pub(super) significand: u128,
    pub(super) exponent: i32,
}

/// Where `normal` puts the highest bit: room for a carry and a sign above, and for more bits below than any product has.
const HIGHEST: u32 = 124;

impl Finite {
    pub(super) fn integer(value: i128) -> Self {
        Self { negative: value < 0, significand: value.unsigned_abs(), exponent: 0 }
    }

    /// Whether it is below all normal numbers of a format even when it is rounded as if there were exponents enough.
    pub(super) fn is_tiny(self, format: Format, rounding: Rounding) -> bool {
        // doubled, what matters is in the least normal binade
        let doubled = Number::Finite(Self { exponent: self.exponent + 1, ..self });
        format.magnitude(pack(format, rounding, doubled)) < 2 * format.least()
    }

    fn zero(negative: bool) -> Self {
        Self { negative, significand: 0, exponent: 0 }
    }

    /// The same number, its highest bit moved to `HIGHEST`. Not for zero.
    fn normal(self) -> Self {
        let up = HIGHEST.cast_signed() - (127 - self.significand.leading_zeros().cast_signed());
        let significand = if up >= 0 { self.significand << up } else { self.significand >> -up };
        Self { significand, exponent: self.exponent - up, ..self }
    }
}

/// Shifts right, and keeps in the lowest bit whether anything was lost.
fn sticky(significand: u128, by: u32) -> u128 {
    match by {
        0 => significand,
        1..=127 => significand >> by | u128::from(significand << (128 - by) != 0),
        _ => u128::from(significand != 0),
    }
}

/// Reads a number.
pub(super) fn unpack(format: Format, bits: u64) -> Number {
    let negative = bits & format.sign() != 0;
    let magnitude = format.magnitude(bits);
    if format.is_nan(bits) {
        Number::Nan
    } else if magnitude > format.top {
        Number::Infinite(negative)
    } else {
        let (biased, fraction) = (magnitude >> format.mantissa, magnitude & (format.least() - 1));
        let hidden = if biased == 0 { 0 } else { format.least() };
        let exponent = format.lowest() + biased.saturating_sub(1) as i32;
        Number::Finite(Finite { negative, significand: u128::from(fraction | hidden), exponent })
    }
}

/// Rounds a number to a format. An infinity of a format that has none is its greatest number.
pub(super) fn pack(format: Format, rounding: Rounding, number: Number) -> u64 {
    let signed = |negative: bool, bits: u64| if negative { bits | format.sign() } else { bits };
    let finite = match number {
        Number::Nan => return format.nan,
        Number::Infinite(negative) => return signed(negative, format.infinity()),
        Number::Finite(finite) => finite,
    };
    if finite.significand == 0 {
        return signed(finite.negative, 0);
    }
    let highest = 127 - finite.significand.leading_zeros().cast_signed() + finite.exponent;
    // the unit in the last place that the result has, before a carry
    let unit = (highest - format.mantissa.cast_signed()).max(format.lowest());
    let cut = unit - finite.exponent;
    let (kept, rest, half) = match cut {
        ..=0 => (finite.significand << -cut, 0, 1),
        1..=127 => (finite.significand >> cut, finite.significand & ((1 << cut) - 1), 1 << (cut - 1)),
        _ => (0, finite.significand, u128::MAX),
    };
    let up = match rounding {
        Rounding::Nearest => rest > half || rest == half && kept & 1 == 1,
        Rounding::Away => rest >= half,
        Rounding::Zero => false,
        Rounding::Down => rest != 0 && finite.negative,
        Rounding::Up => rest != 0 && !finite.negative,
    };
    // the hidden bit adds one to the exponent, and so does a carry out of the mantissa
    let bits = (((unit - format.lowest()) as u64) << format.mantissa) + kept as u64 + u64::from(up);
    let toward_zero = match rounding {
        Rounding::Nearest | Rounding::Away => false,
        Rounding::Zero => true,
        Rounding::Down => !finite.negative,
        Rounding::Up => finite.negative,
    };
    let most = if toward_zero { format.top } else { format.infinity() };
    signed(finite.negative, bits.min(most))
}

/// `a + b`; the rounding says which zero `x - x` is.
fn sum(a: Finite, b: Finite, rounding: Rounding) -> Finite {
    match (a.significand, b.significand) {
        (0, 0) if a.negative == b.negative => return a,
        (0, 0) => return Finite::zero(rounding == Rounding::Down),
        (0, _) => return b,
        (_, 0) => return a,
        _ => {}
    }
    let (a, b) = (a.normal(), b.normal());
    let exponent = a.exponent.max(b.exponent);
    // exponents that differ by two or more cancel at most one bit, so that what is sticky stays below what is rounded
    let part = |number: Finite| {
        let significand = sticky(number.significand, (exponent - number.exponent).unsigned_abs()).cast_signed();
        if number.negative { -significand } else { significand }
    };
    let total = part(a) + part(b);
    if total == 0 {
        return Finite::zero(rounding == Rounding::Down);
    }
    Finite { negative: total < 0, significand: total.unsigned_abs(), exponent }
}

/// `a · b + c`, exact but for what is sticky.
pub(super) fn fma(a: Number, b: Number, c: Number, rounding: Rounding) -> Number {
    let product = match (a, b) {
        (Number::Nan, _) | (_, Number::Nan) => return Number::Nan,
        (Number::Finite(a), Number::Finite(b)) => Number::Finite(Finite {
            negative: a.negative != b.negative,
            significand: a.significand * b.significand,
            exponent: a.exponent + b.exponent,
        }),
        (Number::Infinite(_), Number::Finite(Finite { significand: 0, .. }))
        | (Number::Finite(Finite { significand: 0, .. }), Number::Infinite(_)) => return Number::Nan,
        (a, b) => Number::Infinite(a.is_negative() != b.is_negative()),
    };
    match (product, c) {
        (_, Number::Nan) => Number::Nan,
        (Number::Infinite(product), Number::Infinite(c)) if product != c => Number::Nan,
        (Number::Infinite(negative), _) | (_, Number::Infinite(negative)) => Number::Infinite(negative),
        (Number::Finite(product), Number::Finite(c)) => Number::Finite(sum(product, c, rounding)),
        (Number::Nan, _) => Number::Nan,
    }
}

/// `a / b`
pub(super) fn quotient(a: Number, b: Number) -> Number {
    let negative = a.is_negative() != b.is_negative();
    match (a, b) {
        (Number::Nan, _) | (_, Number::Nan) | (Number::Infinite(_), Number::Infinite(_)) => Number::Nan,
        (Number::Infinite(_), Number::Finite(_)) => Number::Infinite(negative),
        (Number::Finite(_), Number::Infinite(_)) => Number::Finite(Finite::zero(negative)),
        (Number::Finite(a), Number::Finite(b)) => match (a.significand, b.significand) {
            (0, 0) => Number::Nan,
            (_, 0) => Number::Infinite(negative),
            (0, _) => Number::Finite(Finite::zero(negative)),
            (_, divisor) => {
                let a = a.normal();
                let inexact = u128::from(a.significand % divisor != 0);
                let significand = (a.significand / divisor) | inexact;
                Number::Finite(Finite { negative, significand, exponent: a.exponent - b.exponent })
            }
        },
    }
}

/// The square root.
pub(super) fn root(a: Number) -> Number {
    match a {
        Number::Nan | Number::Infinite(true) => Number::Nan,
        Number::Infinite(false) => a,
        Number::Finite(Finite { significand: 0, .. }) => a,
        Number::Finite(Finite { negative: true, .. }) => Number::Nan,
        Number::Finite(a) => {
            let a = a.normal();
            // half of the exponent must be whole
            let odd = a.exponent & 1;
            let significand = a.significand << odd;
            let root = significand.isqrt();
            let inexact = u128::from(root * root != significand);
            // two more bits keep the sticky one below what is rounded
            let significand = root << 2 | inexact;
            Number::Finite(Finite { negative: false, significand, exponent: (a.exponent - odd) / 2 - 2 })
        }
    }
}

impl Number {
    fn is_negative(self) -> bool {
        match self {
            Self::Nan => false,
            Self::Infinite(negative) | Self::Finite(Finite { negative, .. }) => negative,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUNDINGS: [Rounding; 4] = [Rounding::Nearest, Rounding::Zero, Rounding::Down, Rounding::Up];

    #[test]
    fn every_number_of_a_small_format_survives_in_every_rounding() {
        for format in [F16, BF16] {
            for bits in 0..1 << 16 {
                for rounding in ROUNDINGS {
                    let wanted = if format.is_nan(bits) { format.nan } else { bits };
                    assert_eq!(pack(format, rounding, unpack(format, bits)), wanted);
                }
            }
        }
    }

    #[test]
    fn rounding_to_nearest_is_what_the_processor_does() {
        let mut state = 1_u64;
        let mut next = || {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            f64::from_bits(state ^ state >> 29)
        };
        for _ in 0..20_000 {
            let [a, b, c] = [next(), next(), next()];
            let [x, y, z] = [a, b, c].map(|value| unpack(F64, value.to_bits()));
            let same = |native: f64, soft: Number| {
                let soft = f64::from_bits(pack(F64, Rounding::Nearest, soft));
                assert!(native.to_bits() == soft.to_bits() || native.is_nan() && soft.is_nan(), "{a:e} {b:e} {c:e}");
            };
            same(a.mul_add(b, c), fma(x, y, z, Rounding::Nearest));
            same(a / b, quotient(x, y));
            same(a.abs().sqrt(), root(unpack(F64, a.abs().to_bits())));
            if !a.is_nan() {
                assert_eq!(u64::from((a as f32).to_bits()), pack(F32, Rounding::Nearest, x));
            }
        }
    }
}
