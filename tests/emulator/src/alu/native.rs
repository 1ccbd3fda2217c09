//! What kernels do all the time, rounded to nearest, with the processor's own arithmetic on 32 lanes at once. It gives the same bits as `float`;
//! here only is written how.

use half::slice::{HalfBitsSliceExt, HalfFloatSliceExt};

use super::float::{self, Arithmetic, Finish, Operation, Shape};
use super::map::{read, write};
use super::soft::{BF16, F16, F32, F64, Rounding};
use crate::exec::Lanes;
use crate::exec::registers::{LANES, Registers, Slot};

/// None where there is no fast way.
pub(super) fn decode(arithmetic: Arithmetic, shape: Shape, into: Slot, from: [Slot; 3]) -> Option<Lanes> {
    let Arithmetic { operation, rounding, finish } = arithmetic;
    if rounding != Rounding::Nearest {
        return None;
    }
    match shape.format {
        F32 => Some(match (finish.ftz, finish.sat) {
            (false, false) => single::<false, false>(arithmetic, into, from),
            (true, false) => single::<true, false>(arithmetic, into, from),
            (false, true) => single::<false, true>(arithmetic, into, from),
            (true, true) => single::<true, true>(arithmetic, into, from),
        }),
        F64 => Some(double(operation, into, from)),
        F16 => half(arithmetic, shape, into, from, f16_sums),
        BF16 => half(arithmetic, shape, into, from, bf16_sums),
        _ => None,
    }
}

/// Whether the processor multiplies and adds in one; without it, a library does.
#[cfg(target_arch = "x86_64")]
fn has_fma() -> bool {
    is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")
}

#[inline(always)]
pub(super) fn flush<const FTZ: bool>(value: f32) -> f32 {
    if FTZ && value.abs() < f32::MIN_POSITIVE { 0.0_f32.copysign(value) } else { value }
}

#[inline(always)]
fn finished<const FTZ: bool, const SAT: bool>(value: f32) -> f32 {
    let value = flush::<FTZ>(value);
    if SAT {
        // a NaN is not above 0
        let value = if value > 0.0 { value } else { 0.0 };
        if value < 1.0 { value } else { 1.0 }
    } else if value.is_nan() {
        f32::from_bits(F32.nan as u32)
    } else {
        value
    }
}

fn single<const FTZ: bool, const SAT: bool>(arithmetic: Arithmetic, into: Slot, from: [Slot; 3]) -> Lanes {
    match arithmetic.operation {
        Operation::Add => single_of::<FTZ, SAT>(arithmetic, into, from, |a, b| a + b),
        Operation::Subtract => single_of::<FTZ, SAT>(arithmetic, into, from, |a, b| a - b),
        Operation::Multiply => single_of::<FTZ, SAT>(arithmetic, into, from, |a, b| a * b),
        Operation::Divide => single_of::<FTZ, SAT>(arithmetic, into, from, |a, b| a / b),
        Operation::Reciprocal => single_of::<FTZ, SAT>(arithmetic, into, from, |a, _| 1.0 / a),
        Operation::Root => single_of::<FTZ, SAT>(arithmetic, into, from, |a, _| a.sqrt()),
        Operation::Fused => single_fused::<FTZ, SAT>(arithmetic, into, from),
    }
}

fn single_of<const FTZ: bool, const SAT: bool>(
    arithmetic: Arithmetic,
    into: Slot,
    [a, b, _]: [Slot; 3],
    f: impl Fn(f32, f32) -> f32 + Send + Sync + 'static,
) -> Lanes {
    single_by::<FTZ>(arithmetic, into, [a, b, b], move |[a, b, _]| {
        std::array::from_fn(|lane| finished::<FTZ, SAT>(f(flush::<FTZ>(a[lane]), flush::<FTZ>(b[lane]))))
    })
}

fn single_fused<const FTZ: bool, const SAT: bool>(arithmetic: Arithmetic, into: Slot, from: [Slot; 3]) -> Lanes {
    #[cfg(target_arch = "x86_64")]
    if has_fma() {
        return single_by::<FTZ>(arithmetic, into, from, |[a, b, c]| {
            // SAFETY: the processor has the features, as `has_fma` has found
            #[expect(unsafe_code, reason = "a function for processors with fma can be called only so")]
            unsafe {
                single_unit::<FTZ, SAT>(a, b, c)
            }
        });
    }
    single_by::<FTZ>(arithmetic, into, from, |[a, b, c]| {
        std::array::from_fn(|lane| single_sum::<FTZ, SAT>(a[lane], b[lane], c[lane]))
    })
}

fn single_by<const FTZ: bool>(
    arithmetic: Arithmetic,
    into: Slot,
    from: [Slot; 3],
    f: impl Fn([&[f32; LANES]; 3]) -> [f32; LANES] + Send + Sync + 'static,
) -> Lanes {
    Box::new(move |registers, mask| {
        let [a, b, c] = from.map(|slot| read::<f32>(registers, slot));
        let mut values = f([&a, &b, &c]);
        if FTZ {
            for lane in 0..LANES {
                if arithmetic.is_doubtful(F32, u64::from(values[lane].to_bits())) {
                    let operands = [a, b, c].map(|operand| u64::from(operand[lane].to_bits()));
                    values[lane] = f32::from_bits(arithmetic.of(F32, operands) as u32);
                }
            }
        }
        write(registers, into, &values, mask);
    })
}

#[inline(always)]
fn single_sum<const FTZ: bool, const SAT: bool>(a: f32, b: f32, c: f32) -> f32 {
    finished::<FTZ, SAT>(flush::<FTZ>(a).mul_add(flush::<FTZ>(b), flush::<FTZ>(c)))
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn single_unit<const FTZ: bool, const SAT: bool>(a: &[f32; LANES], b: &[f32; LANES], c: &[f32; LANES]) -> [f32; LANES] {
    let mut values = [0.0; LANES];
    for lane in 0..LANES {
        values[lane] = single_sum::<FTZ, SAT>(a[lane], b[lane], c[lane]);
    }
    values
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn double_unit(a: &[f64; LANES], b: &[f64; LANES], c: &[f64; LANES]) -> [f64; LANES] {
    let mut values = [0.0; LANES];
    for lane in 0..LANES {
        values[lane] = a[lane].mul_add(b[lane], c[lane]);
    }
    values
}

fn double(operation: Operation, into: Slot, from: [Slot; 3]) -> Lanes {
    match operation {
        Operation::Add => double_of(operation, into, from, |[a, b, _]| each(|lane| a[lane] + b[lane])),
        Operation::Subtract => double_of(operation, into, from, |[a, b, _]| each(|lane| a[lane] - b[lane])),
        Operation::Multiply => double_of(operation, into, from, |[a, b, _]| each(|lane| a[lane] * b[lane])),
        Operation::Divide => double_of(operation, into, from, |[a, b, _]| each(|lane| a[lane] / b[lane])),
        Operation::Reciprocal => double_of(operation, into, from, |[a, ..]| each(|lane| 1.0 / a[lane])),
        Operation::Root => double_of(operation, into, from, |[a, ..]| each(|lane| a[lane].sqrt())),
        Operation::Fused => {
            #[cfg(target_arch = "x86_64")]
            if has_fma() {
                return double_of(operation, into, from, |[a, b, c]| {
                    // SAFETY: the processor has the features, as `has_fma` has found
                    #[expect(unsafe_code, reason = "a function for processors with fma can be called only so")]
                    unsafe {
                        double_unit(a, b, c)
                    }
                });
            }
            double_of(operation, into, from, |[a, b, c]| each(|lane| a[lane].mul_add(b[lane], c[lane])))
        }
    }
}

#[inline(always)]
fn each(f: impl Fn(usize) -> f64) -> [f64; LANES] {
    std::array::from_fn(f)
}

fn double_of(
    operation: Operation,
    into: Slot,
    from: [Slot; 3],
    f: impl Fn([&[f64; LANES]; 3]) -> [f64; LANES] + Send + Sync + 'static,
) -> Lanes {
    Box::new(move |registers, mask| {
        let [a, b, c] = from.map(|slot| read::<f64>(registers, slot));
        let mut values = f([&a, &b, &c]);
        // which NaN it is differs from the processor's choice
        for lane in 0..LANES {
            if values[lane].is_nan() {
                let operands = [a[lane], b[lane], c[lane]].map(f64::to_bits);
                values[lane] = f64::from_bits(float::nan(operation, operands));
            }
        }
        write(registers, into, &values, mask);
    })
}

/// The 16-bit numbers of a warp's register; the second half are the upper ones of pairs.
pub(super) type Halves = [u16; 2 * LANES];

#[inline(always)]
pub(super) fn read_halves(registers: &Registers, slot: Slot, pair: bool) -> Halves {
    let words: [u32; LANES] = read(registers, slot);
    let mut halves = [0; 2 * LANES];
    for lane in 0..LANES {
        halves[lane] = words[lane] as u16;
        halves[lane + LANES] = if pair { (words[lane] >> 16) as u16 } else { 0 };
    }
    halves
}

/// Both halves as words.
#[inline(always)]
pub(super) fn join(halves: &Halves) -> [u32; LANES] {
    std::array::from_fn(|lane| u32::from(halves[lane]) | u32::from(halves[lane + LANES]) << 16)
}

/// Products and what is added to them, of many numbers.
type Sums = fn([&Halves; 3], Operation) -> Halves;

fn half(
    arithmetic: Arithmetic,
    Shape { format, pair }: Shape,
    into: Slot,
    from: [Slot; 3],
    sums: Sums,
) -> Option<Lanes> {
    let Arithmetic { operation, finish, .. } = arithmetic;
    if matches!(operation, Operation::Divide | Operation::Reciprocal | Operation::Root) {
        return None;
    }
    let changed = finish != Finish::NONE;
    Some(Box::new(move |registers, mask| {
        let mut operands = from.map(|slot| read_halves(registers, slot, pair));
        if finish.ftz {
            for bits in operands.iter_mut().flatten() {
                *bits = format.flush(u64::from(*bits)) as u16;
            }
        }
        let [a, b, c] = &operands;
        let mut values = sums([a, b, c], operation);
        for (at, bits) in values.iter_mut().enumerate() {
            let nan = *bits & 0x7FFF > format.infinity() as u16;
            *bits = if nan { format.nan as u16 } else { *bits };
            if arithmetic.is_doubtful(format, u64::from(*bits)) {
                *bits = arithmetic.of(format, operands.each_ref().map(|operand| u64::from(operand[at]))) as u16;
            } else if changed {
                *bits = finish.result(format, u64::from(*bits)) as u16;
            }
        }
        write(registers, into, &join(&values), mask);
    }))
}

/// As `a·b + c`: what is multiplied, and what is added.
#[inline(always)]
fn terms<T: std::ops::Mul<Output = T> + std::ops::Neg<Output = T>>(
    operation: Operation,
    [a, b, c]: [T; 3],
    nothing: T,
) -> (T, T) {
    match operation {
        Operation::Add => (a, b),
        Operation::Subtract => (a, -b),
        // -0 changes no product
        Operation::Multiply => (a * b, nothing),
        _ => (a * b, c),
    }
}

/// f16: products are exact in f32. The sum is rounded to odd there, so that rounding it again gives what rounding once would have given.
fn f16_sums([a, b, c]: [&Halves; 3], operation: Operation) -> Halves {
    let [a, b, c] = [a, b, c].map(f16_to_f32);
    let sums: [f32; 2 * LANES] = std::array::from_fn(|at| {
        let (product, term) = terms(operation, [a[at], b[at], c[at]], -0.0);
        let sum = product + term;
        let part = sum - product;
        let error = (product - (sum - part)) + (term - part);
        if error.abs() > 0.0 { odd(sum, (error > 0.0) == (sum > 0.0)) } else { sum }
    });
    f32_to_f16(&sums)
}

/// bf16 has the exponents of f32, so that products are exact only in f64; from there it goes through f32, both rounded to odd.
fn bf16_sums([a, b, c]: [&Halves; 3], operation: Operation) -> Halves {
    let wide = |bits: u16| f64::from(f32::from_bits(u32::from(bits) << 16));
    std::array::from_fn(|at| {
        let (product, term) = terms(operation, [wide(a[at]), wide(b[at]), wide(c[at])], -0.0);
        let sum = product + term;
        let part = sum - product;
        let error = (product - (sum - part)) + (term - part);
        let bits = sum.to_bits();
        let step = if (error > 0.0) == (sum > 0.0) { 1 } else { u64::MAX };
        let inexact = error.abs() > 0.0 && bits & 1 == 0;
        let sum = f64::from_bits(if inexact { bits.wrapping_add(step) } else { bits });
        let near = sum as f32;
        let error = sum - f64::from(near);
        let near = if error.abs() > 0.0 { odd(near, (error > 0.0) == (sum > 0.0)) } else { near };
        f32_to_bf16(near)
    })
}

/// The neighbour with an odd last bit, where the exact value lies away from zero or towards it; itself if it is odd.
#[inline(always)]
fn odd(value: f32, away: bool) -> f32 {
    let bits = value.to_bits();
    let step = if away { 1 } else { u32::MAX };
    f32::from_bits(if bits & 1 == 0 { bits.wrapping_add(step) } else { bits })
}

/// To nearest; a NaN is canonical.
#[inline(always)]
pub(super) fn f32_to_bf16(value: f32) -> u16 {
    let bits = value.to_bits();
    let rounded = (bits.wrapping_add(0x7FFF + (bits >> 16 & 1)) >> 16) as u16;
    if value.is_nan() { BF16.nan as u16 } else { rounded }
}

pub(super) fn f16_to_f32(bits: &Halves) -> [f32; 2 * LANES] {
    let mut values = [0.0; 2 * LANES];
    bits.reinterpret_cast::<half::f16>().convert_to_f32_slice(&mut values);
    values
}

/// To nearest; NaNs keep what fits of their payload.
pub(super) fn f32_to_f16(values: &[f32; 2 * LANES]) -> Halves {
    let mut bits = [0; 2 * LANES];
    bits.reinterpret_cast_mut::<half::f16>().convert_from_f32_slice(values);
    bits
}
