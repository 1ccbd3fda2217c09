//! `mma` of f16, bf16 and tf32: the sum of `sums`, eight columns at a time.

use super::Operands;
use super::fragments::{COLUMNS, Packed, accumulators, columns, result, rows};
use super::sums::{NOTHING, Sums, Total, exponent, to_f16};
use crate::exec::Lanes;
use crate::exec::registers::{LANES, Mask, Registers};

/// The rows of every product of floats.
const ROWS: usize = 16;

/// The element types, each computed as the f32 that holds it exactly.
pub(super) struct F16;
pub(super) struct Bf16;
pub(super) struct Tf32;

impl Packed for F16 {
    type Word = u32;
    type Value = f32;
    const PER: usize = 2;
    #[inline(always)]
    fn unpack(word: u32, part: usize) -> f32 {
        widen(word >> (16 * part))
    }
}

impl Packed for Bf16 {
    type Word = u32;
    type Value = f32;
    const PER: usize = 2;
    #[inline(always)]
    fn unpack(word: u32, part: usize) -> f32 {
        f32::from_bits(word >> (16 * part) << 16)
    }
}

/// Its low 13 bits are ignored (recorded).
impl Packed for Tf32 {
    type Word = u32;
    type Value = f32;
    const PER: usize = 1;
    #[inline(always)]
    fn unpack(word: u32, _part: usize) -> f32 {
        f32::from_bits(word & 0xFFFF_E000)
    }
}

/// What runs for this depth of this type.
pub(super) fn run<T: Packed<Word = u32, Value = f32> + 'static, const K: usize>(
    operands: Operands,
    sums: Sums,
) -> Lanes {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
        return Box::new(move |registers, mask| {
            // SAFETY: the processor has what the function is compiled for, as was just asked.
            #[expect(unsafe_code, reason = "calls a function that is compiled for what the processor has")]
            unsafe {
                execute_avx2::<T, K>(&operands, &sums, registers, mask);
            }
        });
    }
    Box::new(move |registers, mask| execute::<T, K>(&operands, &sums, registers, mask))
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn execute_avx2<T: Packed<Word = u32, Value = f32>, const K: usize>(
    operands: &Operands,
    sums: &Sums,
    registers: &mut Registers,
    mask: Mask,
) {
    execute::<T, K>(operands, sums, registers, mask);
}

#[inline(always)]
fn execute<T: Packed<Word = u32, Value = f32>, const K: usize>(
    operands: &Operands,
    sums: &Sums,
    registers: &mut Registers,
    mask: Mask,
) {
    let a = rows::<T, ROWS, K>(operands.a.iter().map(|slot| registers.read(*slot)));
    let b = columns::<T, K>(operands.b.iter().map(|slot| registers.read(*slot)));
    let c = operands.c.iter();
    let mut d = match sums.total {
        Total::F32 => accumulators(c.map(|slot| registers.read(*slot))),
        // A lane holds two neighbours of a row in one register, as if it were a factor.
        Total::F16 => rows::<F16, ROWS, COLUMNS>(c.map(|slot| registers.read(*slot))),
    };
    multiply(sums, &a, &b, &mut d);
    for (register, slot) in operands.d.iter().enumerate() {
        let values = match sums.total {
            Total::F32 => result(&d, register).map(canonical),
            Total::F16 => packed(&d, register),
        };
        registers.write(*slot, &values, mask);
    }
}

/// Adds the product of A and B to D, group by group.
#[inline(always)]
fn multiply<const K: usize>(
    sums: &Sums,
    a: &[[f32; K]; ROWS],
    b: &[[f32; COLUMNS]; K],
    d: &mut [[f32; COLUMNS]; ROWS],
) {
    let of_factor = |value: f32| exponent(value, sums.factor);
    let a_exponents = a.map(|row| row.map(of_factor));
    let b_exponents = b.map(|row| row.map(of_factor));
    let finite = a.iter().flatten().chain(b.iter().flatten()).all(|value| value.is_finite());
    for first in (0..K).step_by(sums.group) {
        let group = first..K.min(first + sums.group);
        for (row, d) in d.iter_mut().enumerate() {
            let (a, b) = (&a[row][group.clone()], &b[group.clone()]);
            let exponents = (&a_exponents[row][group.clone()], &b_exponents[group.clone()]);
            *d = fast(sums, a, b, exponents, d).filter(|_| finite).unwrap_or_else(|| {
                std::array::from_fn(|column| {
                    let products = a.iter().zip(b).map(|(a, b)| (*a, b[column]));
                    sums.round(sums.exact(products, d[column]))
                })
            });
        }
    }
}

/// A row's sums where no value is infinite, and none so large or small that f32 cannot hold what happens on the way; else None. It is
/// `Sums::exact` and `Sums::round`, as integers in units of what is kept.
#[inline(always)]
fn fast(
    sums: &Sums,
    a: &[f32],
    b: &[[f32; COLUMNS]],
    (a_exponents, b_exponents): (&[i32], &[[i32; COLUMNS]]),
    c: &[f32; COLUMNS],
) -> Option<[f32; COLUMNS]> {
    let mut greatest = c.map(|c| exponent(c, sums.accumulator));
    for (a, b) in a_exponents.iter().zip(b_exponents) {
        for column in 0..COLUMNS {
            greatest[column] = greatest[column].max(a + b[column]);
        }
    }
    if sums.total == Total::F16 {
        greatest = greatest.map(|greatest| greatest.max(sums.lowest));
    }
    // Products stay below 2^127, and those below 2^-126, which lose bits, are less than half a unit; so is all of zeros only.
    let fits = |greatest: i32| (-100..=125).contains(&greatest) || greatest <= NOTHING / 2;
    if !greatest.iter().all(|greatest| fits(*greatest)) {
        return None;
    }
    let greatest = greatest.map(|greatest| greatest.max(-100));
    let to_units = greatest.map(|greatest| power_of_two(sums.fraction - greatest));
    let mut total: [f64; COLUMNS] = std::array::from_fn(|column| f64::from(units(c[column] * to_units[column])));
    // Each product is below 2^27 units: eight of them fit 32 bits.
    for (a, b) in a.chunks(8).zip(b.chunks(8)) {
        let mut partial = [0; COLUMNS];
        for (a, b) in a.iter().zip(b) {
            for column in 0..COLUMNS {
                partial[column] += units(a * b[column] * to_units[column]);
            }
        }
        for column in 0..COLUMNS {
            total[column] += f64::from(partial[column]);
        }
    }
    Some(std::array::from_fn(|column| {
        // 24 bits remain, so that the f32 is exact: it lies within what `fits` allows, or is infinite.
        let bits = total[column].to_bits();
        let cut = bits & !0x1FFF_FFFF;
        let from_units = power_of_two(greatest[column] - sums.fraction);
        match sums.total {
            Total::F32 => f64::from_bits(cut) as f32 * from_units,
            Total::F16 => {
                let sticky = u64::from(cut != bits) << 29;
                to_f16(f64::from_bits(cut | sticky) as f32 * from_units)
            }
        }
    }))
}

/// Whole units, cut towards zero.
#[inline(always)]
fn units(value: f32) -> i32 {
    // SAFETY: `fast` has looked that all values are finite, and scales them so that none reaches 2^27.
    #[expect(unsafe_code, reason = "the checked conversion takes three times as long")]
    unsafe {
        value.to_int_unchecked()
    }
}

/// 2 to a power that is normal in f32.
#[inline(always)]
fn power_of_two(power: i32) -> f32 {
    f32::from_bits((power + 127).cast_unsigned() << 23)
}

/// The low 16 bits as an f16. Its exponent in an f32's place is too small by a factor of 2^112, of subnormals as well.
#[inline(always)]
fn widen(bits: u32) -> f32 {
    let magnitude = (bits & 0x7FFF) << 13;
    let finite = (f32::from_bits(magnitude) * power_of_two(112)).to_bits();
    let wide = if magnitude >= 0x0F80_0000 { magnitude | 0x7F80_0000 } else { finite };
    f32::from_bits(wide | (bits & 0x8000) << 16)
}

/// An f32 that is a value of f16, as its bits.
#[inline(always)]
fn narrow(value: f32) -> u32 {
    let bits = canonical(value);
    let (sign, magnitude) = (bits >> 16 & 0x8000, bits & 0x7FFF_FFFF);
    sign | match magnitude {
        0x7F80_0000.. => 0x7C00 | magnitude >> 13 & 0x3FF,
        0x3880_0000.. => (magnitude - (112 << 23)) >> 13,
        _ => (f32::from_bits(magnitude) * power_of_two(24)) as u32,
    }
}

/// NaN has one form (recorded).
#[inline(always)]
fn canonical(value: f32) -> u32 {
    if value.is_nan() { 0x7FFF_FFFF } else { value.to_bits() }
}

/// The register of this number of a D of f16.
#[inline(always)]
fn packed(d: &[[f32; COLUMNS]; ROWS], register: usize) -> [u32; LANES] {
    std::array::from_fn(|lane| {
        let row = &d[register * 8 + lane / 4];
        narrow(row[lane % 4 * 2]) | narrow(row[lane % 4 * 2 + 1]) << 16
    })
}
