//! `cvt` that rounds: integers to fractions and back, and from one format to another. Not here: which of them an instruction is (`convert`).

use super::convert::{Mode, Modifiers, Value, by_value};
use super::float::Finish;
use super::map::{read, slow, unary, write};
use super::native::{canonical, f16_to_f32, f32_to_bf16, f32_to_f16, join, read_halves};
use super::small::bounded;
use super::soft::{self, BF16, F16, F32, F64, Finite, Format, Number, Rounding};
use crate::decode::types::Type;
use crate::exec::Lanes;
use crate::exec::registers::{LANES, Slot};

const NEAREST: Option<Mode> = Some(Mode::Number(Rounding::Nearest));

pub(super) fn from_integer(into: Slot, to: Format, a: Slot, from: Type, modifiers: Modifiers) -> Option<Lanes> {
    let rounding = match modifiers.mode {
        Some(Mode::Number(rounding)) => rounding,
        _ => return None,
    };
    by_value!(from, integer_to(into, to, a, rounding, modifiers.finish))
}

fn integer_to<S: Value>(into: Slot, to: Format, a: Slot, rounding: Rounding, finish: Finish) -> Lanes {
    match (to, rounding) {
        (F32, Rounding::Nearest) if !finish.sat => unary(into, a, S::single),
        (F64, Rounding::Nearest) if !finish.sat => unary(into, a, S::double),
        _ => unary(into, a, move |value: S| {
            let number = Number::Finite(Finite::integer(value.wide()));
            finish.result(to, soft::pack(to, rounding, number))
        }),
    }
}

/// To a whole number, as a fraction.
#[inline(always)]
fn whole(value: f64, rounding: Rounding) -> f64 {
    match rounding {
        Rounding::Nearest => value.round_ties_even(),
        Rounding::Away => value.round(),
        Rounding::Zero => value.trunc(),
        Rounding::Down => value.floor(),
        Rounding::Up => value.ceil(),
    }
}

/// The value of a number in any format but f64's own NaNs.
fn value(format: Format, bits: u64) -> f64 {
    match format {
        F64 => f64::from_bits(bits),
        F32 => f64::from(f32::from_bits(bits as u32)),
        BF16 => f64::from(f32::from_bits((bits as u32) << 16)),
        _ => f64::from_bits(soft::pack(F64, Rounding::Nearest, soft::unpack(format, bits))),
    }
}

pub(super) fn to_integer(into: Slot, to: Type, a: Slot, from: Format, modifiers: Modifiers) -> Option<Lanes> {
    let rounding = match modifiers.mode {
        Some(Mode::Integer(rounding)) => rounding,
        _ => return None,
    };
    // what a NaN becomes: of f64 the top bit alone, of others 0, but the top bit where the result has 64
    let top = 1_u64 << (to.bits() - 1);
    let nan = if from == F64 || to.bits() == 64 { top } else { 0 };
    by_value!(to, number_to(into, a, from, rounding, modifiers.finish, nan))
}

fn number_to<T: Value>(into: Slot, a: Slot, from: Format, rounding: Rounding, finish: Finish, nan: u64) -> Lanes {
    let nan = T::low(nan);
    let convert = move |number: f64| if number.is_nan() { nan } else { T::of(whole(number, rounding)) };
    match (from, rounding) {
        (F32, Rounding::Zero) if !finish.ftz => {
            unary(into, a, move |value: f32| if value.is_nan() { nan } else { T::of(f64::from(value)) })
        }
        (F32, _) => unary(into, a, move |bits: u32| convert(value(F32, finish.operand(F32, u64::from(bits))))),
        (F64, _) => unary(into, a, convert),
        _ => unary(into, a, move |bits: u16| convert(value(from, u64::from(bits)))),
    }
}

/// From one format to another, or to a whole number of the same.
pub(super) fn between(into: Slot, to: Format, a: Slot, from: Format, modifiers: Modifiers) -> Lanes {
    let Modifiers { mode, finish, .. } = modifiers;
    if let Some(fast) = fast(into, to, a, from, mode, finish).filter(|_| !modifiers.satfinite) {
        return fast;
    }
    let rounding = match mode {
        Some(Mode::Number(rounding) | Mode::Integer(rounding)) => rounding,
        None => Rounding::Nearest,
    };
    let integer = matches!(mode, Some(Mode::Integer(_)));
    // recorded: towards an infinity, f16 is made of a subnormal as if nothing were to be flushed
    let directed = to == F16 && matches!(rounding, Rounding::Down | Rounding::Up);
    let before = Finish { ftz: finish.ftz && from == F32 && !directed, ..Finish::NONE };
    let after = Finish { ftz: finish.ftz && to == F32, ..finish };
    let ones = from.sign() | (from.sign() - 1);
    slow(into, [a], move |[bits]| {
        let bits = before.operand(from, bits & ones);
        // flushing f32 makes its NaNs canonical
        let bits = if before.ftz && from.is_nan(bits) { from.nan } else { bits };
        let result = if from.is_nan(bits) {
            nan(to, from, bits)
        } else if integer {
            soft::pack(to, rounding, soft::unpack(F64, whole(value(from, bits), rounding).to_bits()))
        } else {
            soft::pack(to, rounding, soft::unpack(from, bits))
        };
        after.result(to, bounded(to, modifiers.satfinite, result))
    })
}

/// To and from f64 a NaN keeps its payload; among smaller formats it is canonical.
fn nan(to: Format, from: Format, bits: u64) -> u64 {
    if to == F64 || from == F64 { from.carry_nan(bits, to) } else { to.nan }
}

/// What kernels do all the time.
fn fast(into: Slot, to: Format, a: Slot, from: Format, mode: Option<Mode>, finish: Finish) -> Option<Lanes> {
    if finish != Finish::NONE || !matches!(mode, None | NEAREST) {
        return None;
    }
    Some(match (to, from) {
        // not even a signalling NaN changes
        (F32, F32) if mode.is_none() => unary(into, a, |bits: u32| bits),
        (F64, F64) if mode.is_none() => unary(into, a, |bits: u64| bits),
        (F64, F32) => unary(into, a, |value: f32| {
            let nan = F32.carry_nan(u64::from(value.to_bits()), F64);
            if value.is_nan() { nan } else { f64::from(value).to_bits() }
        }),
        (F32, F16) => Box::new(move |registers, mask| {
            let values = f16_to_f32(&read_halves(registers, a, false));
            let values: [u32; LANES] = std::array::from_fn(|lane| canonical(values[lane]));
            write(registers, into, &values, mask);
        }),
        (F32, BF16) => unary(into, a, |bits: u16| u32::from(bits) << 16),
        (F32, F64) => unary(into, a, |value: f64| {
            let nan = F64.carry_nan(value.to_bits(), F32) as u32;
            if value.is_nan() { nan } else { (value as f32).to_bits() }
        }),
        (F16, F32) => f16s(into, [a, a], false),
        (BF16, F32) => unary(into, a, f32_to_bf16),
        _ => return None,
    })
}

/// f32 to f16, to nearest; of two the second lowest.
pub(super) fn f16s(into: Slot, [high, low]: [Slot; 2], pair: bool) -> Lanes {
    Box::new(move |registers, mask| {
        let mut values = [0.0; 2 * LANES];
        values[..LANES].copy_from_slice(&read::<f32>(registers, low));
        if pair {
            values[LANES..].copy_from_slice(&read::<f32>(registers, high));
        }
        let mut bits = f32_to_f16(&values);
        for bits in &mut bits {
            *bits = if *bits & 0x7FFF > 0x7C00 { F16.nan as u16 } else { *bits };
        }
        write(registers, into, &join(&bits), mask);
    })
}

/// f32 to bf16, to nearest, two at a time.
pub(super) fn bf16_pair(into: Slot, from: [Slot; 2]) -> Lanes {
    super::map::binary(into, from, |high, low| u32::from(f32_to_bf16(low)) | u32::from(f32_to_bf16(high)) << 16)
}
