//! `mma` of f64: IEEE arithmetic, a chain of fused multiply-adds along k.

use super::Operands;
use super::fragments::{Packed, accumulators, columns, read, result, rows};
use crate::exec::Lanes;
use crate::exec::registers::{Mask, Registers};

pub(super) struct F64;

impl Packed for F64 {
    type Word = f64;
    type Value = f64;
    const PER: usize = 1;
    fn unpack(word: f64, _part: usize) -> f64 {
        word
    }
}

/// What runs for this shape.
pub(super) fn run<const M: usize, const K: usize>(operands: Operands) -> Lanes {
    Box::new(move |registers: &mut Registers, mask: Mask| {
        let a = rows::<F64, M, K>(&read::<f64, 8>(registers, &operands.a));
        let b = columns::<F64, K>(&read::<f64, 4>(registers, &operands.b));
        let mut d = accumulators::<f64, M>(&read::<f64, 4>(registers, &operands.c));
        for (a, d) in a.iter().zip(&mut d) {
            for (a, b) in a.iter().zip(&b) {
                for (d, b) in d.iter_mut().zip(b) {
                    *d = a.mul_add(*b, *d);
                }
            }
        }
        for (register, slot) in operands.d.iter().enumerate() {
            registers.write(*slot, &result(&d, register), mask);
        }
    })
}
