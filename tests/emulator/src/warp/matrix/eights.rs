//! `mma` of numbers of 8 bits, e4m3 and e5m2 in any pair, added up in f32. Every product is exact; sums keep 13 bits (`sums`), which no card
//! of ours has recorded.

use super::Operands;
use super::floats::{ROWS, add, canonical};
use super::fragments::{Packed, accumulators, columns, read, result, rows};
use super::half;
use super::sums::Sums;
use crate::exec::Lanes;

/// 4 bits of exponent, no infinities.
pub(super) struct E4M3;
/// The upper half of an f16.
pub(super) struct E5M2;

impl Packed for E4M3 {
    type Word = u32;
    type Value = f32;
    const PER: usize = 4;
    fn unpack(word: u32, part: usize) -> f32 {
        let byte = word >> (8 * part) & 0xFF;
        let (exponent, mantissa) = (byte >> 3 & 15, (byte & 7) as f32);
        let size = match (exponent, byte & 7) {
            (15, 7) => f32::NAN,
            (0, _) => mantissa * (-9f32).exp2(),
            _ => (8.0 + mantissa) * f32::from_bits((exponent + 127 - 10) << 23),
        };
        if byte & 0x80 == 0 { size } else { -size }
    }
}

impl Packed for E5M2 {
    type Word = u32;
    type Value = f32;
    const PER: usize = 4;
    fn unpack(word: u32, part: usize) -> f32 {
        half::widen((word >> (8 * part) & 0xFF) << 8)
    }
}

/// What runs for this depth of these types.
pub(super) fn run<A, B, const K: usize>(operands: Operands, sums: Sums) -> Lanes
where
    A: Packed<Word = u32, Value = f32> + 'static,
    B: Packed<Word = u32, Value = f32> + 'static,
{
    Box::new(move |registers, mask| {
        let a = rows::<A, ROWS, K>(&read::<u32, 4>(registers, &operands.a));
        let b = columns::<B, K>(&read::<u32, 2>(registers, &operands.b));
        let mut d = accumulators::<f32, ROWS>(&read::<f32, 4>(registers, &operands.c));
        for (a, d) in a.iter().zip(&mut d) {
            add(&sums, a, &b, d);
        }
        for (register, slot) in operands.d.iter().enumerate() {
            registers.write(*slot, &result(&d, register).map(canonical), mask);
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_the_numbers_of_their_formats() {
        let values = |bytes: [u8; 4]| {
            let word = u32::from_le_bytes(bytes);
            (0..4).map(|part| (E4M3::unpack(word, part), E5M2::unpack(word, part))).collect::<Vec<_>>()
        };
        // 1, the least, the greatest of e4m3, and a negative one
        let all = values([0x38, 0x01, 0x7E, 0xC4]);
        assert_eq!(all[0], (1.0, 0.5));
        assert_eq!(all[1], ((-9f32).exp2(), (-16f32).exp2()));
        assert_eq!(all[2].0, 448.0);
        assert_eq!(all[3], (-3.0, -4.0));
        let all = values([0x7F, 0x7C, 0x7B, 0x80]);
        assert!(all[0].0.is_nan() && all[0].1.is_nan());
        assert_eq!([all[1].1, all[2].1], [f32::INFINITY, 57344.0]);
        assert!(all[3].0 == 0.0 && all[3].0.is_sign_negative());
    }
}
