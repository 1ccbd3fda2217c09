//! What kernels do all the time, rounded to nearest, with the processor's own arithmetic on 32 lanes at once. It gives the same bits as `float`;
//! here only is written how.

use std::marker::PhantomData;

use half::slice::{HalfBitsSliceExt, HalfFloatSliceExt};

use super::float::{self, Arithmetic, Finish, Operation, Shape};
use super::map::{Body, filled, lanes, read, write};
use super::soft::{BF16, F16, F32, F64, Format, Rounding};
use crate::exec::Lanes;
use crate::exec::registers::{LANES, Mask, Registers, Slot};

/// None where there is no fast way.
pub(super) fn decode(arithmetic: Arithmetic, shape: Shape, into: Slot, from: [Slot; 3]) -> Option<Lanes> {
    let Arithmetic { rounding, finish, .. } = arithmetic;
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
        F64 => Some(double(arithmetic.operation, into, from)),
        F16 => half::<F16Sums>(arithmetic, shape, into, from),
        BF16 => half::<Bf16Sums>(arithmetic, shape, into, from),
        _ => None,
    }
}

#[inline(always)]
pub(super) fn flush<const FTZ: bool>(value: f32) -> f32 {
    if FTZ && value.abs() < f32::MIN_POSITIVE { 0.0_f32.copysign(value) } else { value }
}

/// The NaN of f32 for any. On bits: the compiler takes one NaN for as good as another.
#[inline(always)]
pub(super) fn canonical(value: f32) -> u32 {
    let bits = value.to_bits();
    if bits & 0x7FFF_FFFF > 0x7F80_0000 { F32.nan as u32 } else { bits }
}

#[inline(always)]
fn finished<const FTZ: bool, const SAT: bool>(value: f32) -> u32 {
    let value = flush::<FTZ>(value);
    if !SAT {
        return canonical(value);
    }
    // a NaN is not above 0
    let value = if value > 0.0 { value } else { 0.0 };
    (if value < 1.0 { value } else { 1.0 }).to_bits()
}

fn single<const FTZ: bool, const SAT: bool>(arithmetic: Arithmetic, into: Slot, from: [Slot; 3]) -> Lanes {
    match arithmetic.operation {
        Operation::Add => single_of::<FTZ, SAT>(arithmetic, into, from, |a, b, _| a + b),
        Operation::Subtract => single_of::<FTZ, SAT>(arithmetic, into, from, |a, b, _| a - b),
        Operation::Multiply => single_of::<FTZ, SAT>(arithmetic, into, from, |a, b, _| a * b),
        Operation::Divide => single_of::<FTZ, SAT>(arithmetic, into, from, |a, b, _| a / b),
        Operation::Reciprocal => single_of::<FTZ, SAT>(arithmetic, into, from, |a, _, _| 1.0 / a),
        Operation::Root => single_of::<FTZ, SAT>(arithmetic, into, from, |a, _, _| a.sqrt()),
        Operation::Fused => single_of::<FTZ, SAT>(arithmetic, into, from, |a, b, c| a.mul_add(b, c)),
    }
}

/// An instruction of f32.
struct Single<const FTZ: bool, const SAT: bool, F> {
    arithmetic: Arithmetic,
    into: Slot,
    from: [Slot; 3],
    f: F,
}

fn single_of<const FTZ: bool, const SAT: bool>(
    arithmetic: Arithmetic,
    into: Slot,
    from: [Slot; 3],
    f: impl Fn(f32, f32, f32) -> f32 + Send + Sync + 'static,
) -> Lanes {
    lanes(Single::<FTZ, SAT, _> { arithmetic, into, from, f })
}

impl<const FTZ: bool, const SAT: bool, F> Body for Single<FTZ, SAT, F>
where
    F: Fn(f32, f32, f32) -> f32 + Send + Sync + 'static,
{
    #[inline(always)]
    fn run(&self, registers: &mut Registers, mask: Mask) {
        let [a, b, c] = self.from;
        let (a, b, c) = (read::<f32>(registers, a), read::<f32>(registers, b), read::<f32>(registers, c));
        let mut values = [0_u32; LANES];
        for lane in 0..LANES {
            let (a, b, c) = (flush::<FTZ>(a[lane]), flush::<FTZ>(b[lane]), flush::<FTZ>(c[lane]));
            values[lane] = finished::<FTZ, SAT>((self.f)(a, b, c));
        }
        if FTZ && values.iter().fold(false, |any, bits| any | is_least(*bits)) {
            repair(self.arithmetic, &mut values, [&a, &b, &c]);
        }
        write(registers, self.into, &values, mask);
    }
}

/// Whether rounding may have made a number normal only for want of exponents.
#[inline(always)]
fn is_least(bits: u32) -> bool {
    bits & 0x7FFF_FFFF == 0x80_0000
}

#[cold]
#[inline(never)]
fn repair(arithmetic: Arithmetic, values: &mut [u32; LANES], operands: [&[f32; LANES]; 3]) {
    for (lane, bits) in values.iter_mut().enumerate().filter(|(_, bits)| is_least(**bits)) {
        *bits = arithmetic.of(F32, operands.map(|operand| u64::from(operand[lane].to_bits()))) as u32;
    }
}

fn double(operation: Operation, into: Slot, from: [Slot; 3]) -> Lanes {
    match operation {
        Operation::Add => lanes(Double { operation, into, from, f: |a, b, _| a + b }),
        Operation::Subtract => lanes(Double { operation, into, from, f: |a, b, _| a - b }),
        Operation::Multiply => lanes(Double { operation, into, from, f: |a, b, _| a * b }),
        Operation::Divide => lanes(Double { operation, into, from, f: |a, b, _| a / b }),
        Operation::Reciprocal => lanes(Double { operation, into, from, f: |a, _, _| 1.0 / a }),
        Operation::Root => lanes(Double { operation, into, from, f: |a: f64, _, _| a.sqrt() }),
        Operation::Fused => lanes(Double { operation, into, from, f: |a: f64, b, c| a.mul_add(b, c) }),
    }
}

/// An instruction of f64.
struct Double<F> {
    operation: Operation,
    into: Slot,
    from: [Slot; 3],
    f: F,
}

impl<F: Fn(f64, f64, f64) -> f64 + Send + Sync + 'static> Body for Double<F> {
    #[inline(always)]
    fn run(&self, registers: &mut Registers, mask: Mask) {
        let [a, b, c] = self.from;
        let (a, b, c) = (read::<f64>(registers, a), read::<f64>(registers, b), read::<f64>(registers, c));
        let mut values = [0_u64; LANES];
        for lane in 0..LANES {
            values[lane] = (self.f)(a[lane], b[lane], c[lane]).to_bits();
        }
        if values.iter().fold(false, |any, bits| any | F64.is_nan(*bits)) {
            choose_nan(self.operation, &mut values, [&a, &b, &c]);
        }
        write(registers, self.into, &values, mask);
    }
}

/// Which NaN it is differs from the processor's choice.
#[cold]
#[inline(never)]
fn choose_nan(operation: Operation, values: &mut [u64; LANES], operands: [&[f64; LANES]; 3]) {
    for (lane, bits) in values.iter_mut().enumerate().filter(|(_, bits)| F64.is_nan(**bits)) {
        *bits = float::nan(operation, operands.map(|operand| operand[lane].to_bits()));
    }
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
    filled(|lane| u32::from(halves[lane]) | u32::from(halves[lane + LANES]) << 16)
}

/// Products and what is added to them, of many numbers.
trait Sums: Send + Sync + 'static {
    fn of(operands: [&Halves; 3], operation: Operation) -> Halves;
}

/// An instruction of f16 or bf16.
struct Half<S> {
    arithmetic: Arithmetic,
    shape: Shape,
    into: Slot,
    from: [Slot; 3],
    sums: PhantomData<fn() -> S>,
}

fn half<S: Sums>(arithmetic: Arithmetic, shape: Shape, into: Slot, from: [Slot; 3]) -> Option<Lanes> {
    let sum = !matches!(arithmetic.operation, Operation::Divide | Operation::Reciprocal | Operation::Root);
    sum.then(|| lanes(Half::<S> { arithmetic, shape, into, from, sums: PhantomData }))
}

impl<S: Sums> Body for Half<S> {
    #[inline(always)]
    fn run(&self, registers: &mut Registers, mask: Mask) {
        let (format, finish) = (self.shape.format, self.arithmetic.finish);
        let mut operands = self.from.map(|slot| read_halves(registers, slot, self.shape.pair));
        if finish.ftz {
            for bits in operands.iter_mut().flatten() {
                *bits = format.flush(u64::from(*bits)) as u16;
            }
        }
        let [a, b, c] = &operands;
        let mut values = S::of([a, b, c], self.arithmetic.operation);
        let infinity = format.infinity() as u16;
        for bits in &mut values {
            *bits = if *bits & 0x7FFF > infinity { 0x7FFF } else { *bits };
        }
        if finish != Finish::NONE {
            finish_halves(self.arithmetic, format, &mut values, &operands);
        }
        write(registers, self.into, &join(&values), mask);
    }
}

#[inline(never)]
fn finish_halves(arithmetic: Arithmetic, format: Format, values: &mut Halves, operands: &[Halves; 3]) {
    for (at, bits) in values.iter_mut().enumerate() {
        *bits = if arithmetic.is_doubtful(format, u64::from(*bits)) {
            arithmetic.of(format, operands.each_ref().map(|operand| u64::from(operand[at]))) as u16
        } else {
            arithmetic.finish.result(format, u64::from(*bits)) as u16
        };
    }
}

/// f16: products are exact in f32. The sum is rounded to odd there, so that rounding it again gives what rounding once would have given.
struct F16Sums;

impl Sums for F16Sums {
    #[inline(always)]
    fn of(operands: [&Halves; 3], operation: Operation) -> Halves {
        let [a, b, c] = operands.map(f16_to_f32);
        f32_to_f16(&match operation {
            Operation::Add => f16_of(&a, &b, &c, |a, b, _| (a, b)),
            Operation::Subtract => f16_of(&a, &b, &c, |a, b, _| (a, -b)),
            // -0 changes no product
            Operation::Multiply => f16_of(&a, &b, &c, |a, b, _| (a * b, -0.0)),
            _ => f16_of(&a, &b, &c, |a, b, c| (a * b, c)),
        })
    }
}

type Singles = [f32; 2 * LANES];

#[inline(always)]
fn f16_of(a: &Singles, b: &Singles, c: &Singles, terms: impl Fn(f32, f32, f32) -> (f32, f32)) -> Singles {
    let mut values = [0.0; 2 * LANES];
    for at in 0..2 * LANES {
        let (product, term) = terms(a[at], b[at], c[at]);
        let sum = product + term;
        // what the sum has lost, exactly
        let part = sum - product;
        let error = (product - (sum - part)) + (term - part);
        values[at] = odd(sum, error.abs() > 0.0, (error > 0.0) == (sum > 0.0));
    }
    values
}

/// bf16 has the exponents of f32, so that products are exact only in f64; from there it goes through f32, both rounded to odd.
struct Bf16Sums;

impl Sums for Bf16Sums {
    #[inline(always)]
    fn of([a, b, c]: [&Halves; 3], operation: Operation) -> Halves {
        match operation {
            Operation::Add => bf16_of(a, b, c, |a, b, _| (a, b)),
            Operation::Subtract => bf16_of(a, b, c, |a, b, _| (a, -b)),
            Operation::Multiply => bf16_of(a, b, c, |a, b, _| (a * b, -0.0)),
            _ => bf16_of(a, b, c, |a, b, c| (a * b, c)),
        }
    }
}

#[inline(always)]
fn bf16_of(a: &Halves, b: &Halves, c: &Halves, terms: impl Fn(f64, f64, f64) -> (f64, f64)) -> Halves {
    let wide = |bits: u16| f64::from(f32::from_bits(u32::from(bits) << 16));
    let mut values = [0; 2 * LANES];
    for at in 0..2 * LANES {
        let (product, term) = terms(wide(a[at]), wide(b[at]), wide(c[at]));
        let sum = product + term;
        let part = sum - product;
        let error = (product - (sum - part)) + (term - part);
        let bits = sum.to_bits();
        let step = if (error > 0.0) == (sum > 0.0) { 1 } else { u64::MAX };
        let inexact = (error.abs() > 0.0) & (bits & 1 == 0);
        let sum = f64::from_bits(bits.wrapping_add(if inexact { step } else { 0 }));
        let near = sum as f32;
        let error = sum - f64::from(near);
        values[at] = f32_to_bf16(odd(near, error.abs() > 0.0, (error > 0.0) == (sum > 0.0)));
    }
    values
}

/// Of an inexact value the neighbour with an odd last bit, away from zero or towards it; itself if it is odd.
#[inline(always)]
fn odd(value: f32, inexact: bool, away: bool) -> f32 {
    let bits = value.to_bits();
    let step = if away { 1 } else { u32::MAX };
    f32::from_bits(bits.wrapping_add(if inexact & (bits & 1 == 0) { step } else { 0 }))
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
