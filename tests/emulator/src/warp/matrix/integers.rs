//! `mma` of 8-bit integers: exact, and what does not fit the result wraps or saturates.

use super::Operands;
use super::fragments::{COLUMNS, Packed, accumulators, columns, read, result, rows};
use crate::exec::Lanes;
use crate::exec::registers::{Mask, Registers};

pub(super) struct S8;
pub(super) struct U8;

impl Packed for S8 {
    type Word = u32;
    type Value = i32;
    const PER: usize = 4;
    fn unpack(word: u32, part: usize) -> i32 {
        i32::from((word >> (8 * part)) as i8)
    }
}

impl Packed for U8 {
    type Word = u32;
    type Value = i32;
    const PER: usize = 4;
    fn unpack(word: u32, part: usize) -> i32 {
        i32::from((word >> (8 * part)) as u8)
    }
}

/// What runs for this shape of these types.
pub(super) fn run<A, B, const M: usize, const K: usize>(operands: Operands, saturate: bool) -> Lanes
where
    A: Packed<Word = u32, Value = i32> + 'static,
    B: Packed<Word = u32, Value = i32> + 'static,
{
    let add = if saturate { i32::saturating_add } else { i32::wrapping_add };
    Box::new(move |registers: &mut Registers, mask: Mask| {
        let a = rows::<A, M, K>(&read::<u32, 4>(registers, &operands.a));
        let b = columns::<B, K>(&read::<u32, 2>(registers, &operands.b));
        let mut d = accumulators::<i32, M>(&read::<i32, 4>(registers, &operands.c));
        for (a, d) in a.iter().zip(&mut d) {
            // 32 products of 16 bits: no sum of them is near the rim.
            let mut products = [0; COLUMNS];
            for (a, b) in a.iter().zip(&b) {
                for (product, b) in products.iter_mut().zip(b) {
                    *product += a * b;
                }
            }
            for (d, product) in d.iter_mut().zip(products) {
                *d = add(*d, product);
            }
        }
        for (register, slot) in operands.d.iter().enumerate() {
            registers.write(*slot, &result(&d, register), mask);
        }
    })
}
