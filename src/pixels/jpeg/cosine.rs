//! The inverse cosine transform, bit for bit as libjpeg's `jpeg_idct_islow`: the algorithm of Loeffler, Ligtenberg and Moschytz (1989)
//! with 13 bits of its constants, and 2 bits of fraction between its two passes.

use std::num::Wrapping;

use super::scan::Block;
use super::tables::Quantisation;

const CONSTANT_BITS: usize = 13;
const PASS_BITS: usize = 2;

/// Broken files have coefficients that pass an `i32`.
type Number = Wrapping<i32>;

/// Writes the 8×8 samples of a block into rows that lie `stride` apart.
pub(super) fn inverse(block: &Block, steps: &Quantisation, samples: &mut [u8], stride: usize) {
    if block[1..] == [0; 63] {
        let dc = Wrapping(i32::from(block[0])) * Wrapping(i32::from(steps[0]));
        let sample = level((dc + Wrapping(4)) >> 3);
        samples.chunks_mut(stride).take(8).for_each(|row| row[..8].fill(sample));
        return;
    }
    let mut between = [[Wrapping(0); 8]; 8];
    for column in 0..8 {
        let input = std::array::from_fn(|row| {
            let at = 8 * row + column;
            Wrapping(i32::from(block[at])) * Wrapping(i32::from(steps[at]))
        });
        // most columns are of one value, and what is exact needs no rounding
        let output = if input[1..] == [Wrapping(0); 7] {
            [input[0] << PASS_BITS; 8]
        } else {
            eight(input, CONSTANT_BITS - PASS_BITS)
        };
        for (between, value) in between.iter_mut().zip(output) {
            between[column] = value;
        }
    }
    for (row, input) in samples.chunks_mut(stride).zip(between) {
        let output = eight(input, CONSTANT_BITS + PASS_BITS + 3);
        row[..8].iter_mut().zip(output).for_each(|(sample, value)| *sample = level(value));
    }
}

/// A value around 0 to one around 128.
fn level(value: Number) -> u8 {
    (value + Wrapping(128)).0.clamp(0, 255) as u8
}

/// One pass over eight values, `shift` bits taken off, rounded.
fn eight(input: [Number; 8], shift: usize) -> [Number; 8] {
    /// A constant in 13 bits.
    const fn fixed(value: f64) -> Number {
        Wrapping((value * (1 << CONSTANT_BITS) as f64 + 0.5) as i32)
    }
    const C0_298: Number = fixed(0.298_631_336);
    const C0_390: Number = fixed(0.390_180_644);
    const C0_541: Number = fixed(0.541_196_100);
    const C0_765: Number = fixed(0.765_366_865);
    const C0_899: Number = fixed(0.899_976_223);
    const C1_175: Number = fixed(1.175_875_602);
    const C1_501: Number = fixed(1.501_321_110);
    const C1_847: Number = fixed(1.847_759_065);
    const C1_961: Number = fixed(1.961_570_560);
    const C2_053: Number = fixed(2.053_119_869);
    const C2_562: Number = fixed(2.562_915_447);
    const C3_072: Number = fixed(3.072_711_026);

    // the even ones
    let [x0, x1, x2, x3, x4, x5, x6, x7] = input;
    let rotated = (x2 + x6) * C0_541;
    let (low, high) = (rotated - x6 * C1_847, rotated + x2 * C0_765);
    let (sum, difference) = ((x0 + x4) << CONSTANT_BITS, (x0 - x4) << CONSTANT_BITS);
    let even = [sum + high, difference + low, difference - low, sum - high];

    // the odd ones
    let (z1, z2, z3, z4) = (x7 + x1, x5 + x3, x7 + x3, x5 + x1);
    let z5 = (z3 + z4) * C1_175;
    let (z1, z2) = (z1 * -C0_899, z2 * -C2_562);
    let (z3, z4) = (z5 - z3 * C1_961, z5 - z4 * C0_390);
    let odd = [x1 * C1_501 + z1 + z4, x3 * C3_072 + z2 + z3, x5 * C2_053 + z2 + z4, x7 * C0_298 + z1 + z3];

    let half = Wrapping(1 << (shift - 1));
    std::array::from_fn(|i| {
        let value = if i < 4 { even[i] + odd[i] } else { even[7 - i] - odd[7 - i] };
        (value + half) >> shift
    })
}
