//! `mma` of f16, bf16 and tf32: fragments in and out of `sums`. Here is the definition; on processors that have AVX2, `avx2` does the same.

#[cfg(target_arch = "x86_64")]
use super::avx2;
use super::fragments::{COLUMNS, Packed, accumulators, columns, read, result, rows};
use super::sums::{Element, Sums, Total};
use super::{Operands, half};
use crate::exec::Lanes;
use crate::exec::registers::{LANES, Mask, Registers};

/// The rows of every product of floats.
pub(super) const ROWS: usize = 16;

/// A type of factors, each of which an f32 holds exactly.
pub(super) trait Factor: Packed<Word = u32, Value = f32> + 'static {
    const ELEMENT: Element;
}

pub(super) struct F16;
pub(super) struct Bf16;
pub(super) struct Tf32;

impl Packed for F16 {
    type Word = u32;
    type Value = f32;
    const PER: usize = 2;
    fn unpack(word: u32, part: usize) -> f32 {
        half::widen(word >> (16 * part))
    }
}

impl Packed for Bf16 {
    type Word = u32;
    type Value = f32;
    const PER: usize = 2;
    fn unpack(word: u32, part: usize) -> f32 {
        f32::from_bits(word >> (16 * part) << 16)
    }
}

impl Packed for Tf32 {
    type Word = u32;
    type Value = f32;
    const PER: usize = 1;
    /// The low 13 bits are ignored (recorded).
    fn unpack(word: u32, _part: usize) -> f32 {
        f32::from_bits(word & !0x1FFF)
    }
}

impl Factor for F16 {
    const ELEMENT: Element = Element::F16;
}

impl Factor for Bf16 {
    const ELEMENT: Element = Element::Bf16;
}

impl Factor for Tf32 {
    const ELEMENT: Element = Element::Tf32;
}

/// What runs for this depth of this type.
pub(super) fn run<T: Factor, const K: usize>(operands: Operands, sums: Sums) -> Lanes {
    match sums.group.min(K) {
        4 => grouped::<T, K, 4>(operands, sums),
        8 => grouped::<T, K, 8>(operands, sums),
        _ => grouped::<T, K, K>(operands, sums),
    }
}

/// The same with G products added at once.
fn grouped<T: Factor, const K: usize, const G: usize>(operands: Operands, sums: Sums) -> Lanes {
    #[cfg(target_arch = "x86_64")]
    if T::PER == 2 && avx2::available() {
        return Box::new(move |registers, mask| {
            // SAFETY: the processor has what the function is compiled for, as was just asked.
            #[expect(unsafe_code, reason = "calls a function that is compiled for what the processor has")]
            unsafe {
                avx2::execute::<T, K, G>(&operands, &sums, registers, mask);
            }
        });
    }
    Box::new(move |registers, mask| execute::<T, K, G>(&operands, &sums, registers, mask))
}

fn execute<T: Factor, const K: usize, const G: usize>(
    operands: &Operands,
    sums: &Sums,
    registers: &mut Registers,
    mask: Mask,
) {
    let a = rows::<T, ROWS, K>(&read::<u32, 4>(registers, &operands.a));
    let b = columns::<T, K>(&read::<u32, 2>(registers, &operands.b));
    let mut d = match sums.total {
        Total::F32 => accumulators::<f32, ROWS>(&read::<f32, 4>(registers, &operands.c)),
        // A lane holds two neighbours of a row in one register, as if it were a factor.
        Total::F16 => rows::<F16, ROWS, COLUMNS>(&read::<u32, 2>(registers, &operands.c)),
    };
    for (a, d) in a.iter().zip(&mut d) {
        for (a, b) in a.as_chunks::<G>().0.iter().zip(b.as_chunks::<G>().0) {
            add(sums, a, b, d);
        }
    }
    for (register, slot) in operands.d.iter().enumerate() {
        let values = match sums.total {
            Total::F32 => result(&d, register).map(canonical),
            Total::F16 => packed(&d, register),
        };
        registers.write(*slot, &values, mask);
    }
}

/// Adds G products to each column of a row of D.
pub(super) fn add<const G: usize>(sums: &Sums, a: &[f32; G], b: &[[f32; COLUMNS]; G], d: &mut [f32; COLUMNS]) {
    for (column, d) in d.iter_mut().enumerate() {
        let products = a.iter().zip(b).map(|(a, b)| (*a, b[column]));
        *d = sums.round(sums.exact(products, *d));
    }
}

/// NaN has one form (recorded).
pub(super) fn canonical(value: f32) -> u32 {
    if value.is_nan() { 0x7FFF_FFFF } else { value.to_bits() }
}

/// The register of this number of a D of f16.
fn packed(d: &[[f32; COLUMNS]; ROWS], register: usize) -> [u32; LANES] {
    std::array::from_fn(|lane| {
        let row = &d[register * 8 + lane / 4];
        half::narrow(row[lane % 4 * 2]) | half::narrow(row[lane % 4 * 2 + 1]) << 16
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::names::Names;
    use crate::decode::types::Type;

    fn mix(z: u64) -> u64 {
        let z = (z ^ z >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ z >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ z >> 31
    }

    /// A word of a kind that a whole warp has: anything; all alike in size; the largest; few bits among zeros; the smallest.
    fn word(kind: u64, random: u64, narrow: bool) -> u32 {
        let (random, near) = (random as u32, if narrow { 0x3C00_3C00 } else { 0x3F80_3F80 });
        let (mantissa, top) = if narrow { (0x83FF_83FF, 0x7BFF_7BFF) } else { (0x807F_807F, 0x7F7F_7F7F) };
        match kind {
            0 => random,
            1 | 2 => random & mantissa | near,
            3 => top,
            4 => random & 0x0300_0003 & (random >> 7),
            _ => random & mantissa,
        }
    }

    /// How often what runs here and the definition differ, over warps of all kinds of operands.
    fn differences<T: Factor, const K: usize, const G: usize>(sums: Sums) -> usize {
        let mut names = Names::new(90, (7, 8));
        let mut slots = |count: usize| -> Vec<_> { (0..count).map(|_| names.scratch(Type::B32)).collect() };
        let registers = if sums.total == Total::F32 { 4 } else { 2 };
        let mut operands = || Operands {
            d: slots(registers),
            a: slots(K * ROWS / LANES / T::PER),
            b: slots(K * COLUMNS / LANES / T::PER),
            c: slots(registers),
        };
        let (defined, run) = (operands(), operands());
        let (ours, theirs) = (run.d.clone(), defined.d.clone());
        let same = [&run.a, &run.b, &run.c].map(Clone::clone);
        let here = super::run::<T, K>(run, sums);
        let mut registers = Registers::new(names.sizes());
        let mut seed = 0;
        let mut differ = 0;
        for warp in 0..6 * 6 * 6 * 4 {
            let kinds = [warp % 6, warp / 6 % 6, warp / 36 % 6];
            for (operand, (slots, copies)) in [&defined.a, &defined.b, &defined.c].into_iter().zip(&same).enumerate() {
                let narrow = match operand {
                    2 => sums.total == Total::F16,
                    _ => T::ELEMENT == Element::F16,
                };
                for (slot, copy) in slots.iter().zip(copies) {
                    let words: [u32; LANES] = std::array::from_fn(|_| {
                        seed += 1;
                        word(kinds[operand], mix(seed), narrow)
                    });
                    registers.write(*slot, &words, Mask::MAX);
                    registers.write(*copy, &words, Mask::MAX);
                }
            }
            execute::<T, K, G>(&defined, &sums, &mut registers, Mask::MAX);
            here(&mut registers, Mask::MAX);
            for (ours, theirs) in ours.iter().zip(&theirs) {
                let (ours, theirs): ([u32; LANES], [u32; LANES]) = (registers.read(*ours), registers.read(*theirs));
                differ += (0..LANES).filter(|lane| ours[*lane] != theirs[*lane]).count();
            }
        }
        differ
    }

    #[test]
    fn what_runs_here_is_the_definition() {
        let of = |sm, element, total| Sums::of(sm, element, total);
        assert_eq!(differences::<F16, 16, 16>(of(90, Element::F16, Total::F32)), 0);
        assert_eq!(differences::<F16, 16, 16>(of(90, Element::F16, Total::F16)), 0);
        assert_eq!(differences::<F16, 16, 8>(of(80, Element::F16, Total::F32)), 0);
        assert_eq!(differences::<F16, 16, 8>(of(80, Element::F16, Total::F16)), 0);
        assert_eq!(differences::<F16, 8, 8>(of(90, Element::F16, Total::F32)), 0);
        assert_eq!(differences::<F16, 8, 4>(of(75, Element::F16, Total::F32)), 0);
        assert_eq!(differences::<F16, 8, 4>(of(75, Element::F16, Total::F16)), 0);
        assert_eq!(differences::<Bf16, 16, 16>(of(90, Element::Bf16, Total::F32)), 0);
        assert_eq!(differences::<Bf16, 16, 8>(of(80, Element::Bf16, Total::F32)), 0);
        assert_eq!(differences::<Bf16, 8, 8>(of(89, Element::Bf16, Total::F32)), 0);
        assert_eq!(differences::<Tf32, 8, 8>(of(90, Element::Tf32, Total::F32)), 0);
        assert_eq!(differences::<Tf32, 8, 4>(of(80, Element::Tf32, Total::F32)), 0);
        assert_eq!(differences::<Tf32, 4, 4>(of(80, Element::Tf32, Total::F32)), 0);
    }
}
