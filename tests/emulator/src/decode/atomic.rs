//! `atom` and `red`: what each makes of the value that is there.

use half::{bf16, f16};

use super::Fault;
use super::memory::{address, modifiers, operand};
use super::names::{Names, written};
use super::types::Type;
use crate::exec::op::{Action, Address, Atomic, Change};
use crate::parse::syntax::{Instruction, Operand, Space};

/// Decodes an instruction; None when it is of another family.
pub(super) fn decode(instruction: &Instruction, names: &mut Names) -> Result<Option<Action>, Fault> {
    let returns = match instruction.name.as_str() {
        "atom" => true,
        "red" => false,
        _ => return Ok(None),
    };
    let unknown = || Fault::Unknown(written(instruction));
    let found = modifiers(instruction);
    let ty = found.ty.ok_or_else(unknown)?;
    // of halves the assembler takes no sum that does not say what becomes of subnormals
    let halves = matches!(ty, Type::F16 | Type::F16x2 | Type::Bf16 | Type::Bf16x2);
    if halves != found.rest.iter().any(|word| word == "noftz") {
        return Err(unknown());
    }
    let words: Vec<&str> = found.rest.iter().map(String::as_str).filter(|word| *word != "noftz").collect();
    let &[operation] = words.as_slice() else { return Err(unknown()) };
    if !returns && matches!(operation, "cas" | "exch") {
        return Err(unknown());
    }
    let vector = found.vector > 1;
    let (global, shared) = change(operation, ty, vector).ok_or_else(unknown)?;
    if vector && (found.space == Some(Space::Shared) || ty.bytes() as usize * found.vector > 16) {
        return Err(unknown());
    }
    let first = usize::from(returns);
    let sources = if operation == "cas" { 2 } else { 1 };
    let hint = usize::from(instruction.modifiers.iter().any(|word| word == "L2::cache_hint"));
    let arguments = || Fault::Arguments(written(instruction));
    if instruction.operands.len() != first + 1 + sources + hint {
        return Err(arguments());
    }
    let elements = |names: &Names, index: usize| {
        let elements = names.elements(operand(instruction, index)?)?;
        if elements.len() == found.vector { Ok(elements) } else { Err(arguments()) }
    };
    let into = match instruction.operands.first() {
        Some(Operand::Nothing) => vec![Operand::Nothing; found.vector],
        Some(_) if returns => elements(names, 0)?,
        _ => Vec::new(),
    };
    let address = address(instruction, names, operand(instruction, first)?, found.space)?;
    let values = elements(names, first + 1)?;
    let mut all = Vec::new();
    for (at, value) in values.iter().enumerate() {
        let into = match into.get(at) {
            None | Some(Operand::Nothing) => None,
            Some(into) => Some(names.destination(instruction, into, ty)?),
        };
        let value = names.source(instruction, value, ty)?;
        let second =
            if sources == 2 { names.source(instruction, operand(instruction, first + 2)?, ty)? } else { value };
        let offset = address.offset.wrapping_add((at as u64 * ty.bytes()).cast_signed());
        all.push(Atomic {
            address: Address { offset, ..address },
            size: ty.bytes() as usize,
            global,
            shared,
            into,
            operand: value,
            second,
            release: found.release,
            acquire: found.acquire,
            increments: operation == "inc",
        });
    }
    Ok(Some(if vector { Action::Atomics(all) } else { Action::Atomic(all.remove(0)) }))
}

/// What an operation does in global and in shared memory.
fn change(operation: &str, ty: Type, vector: bool) -> Option<(Change, Change)> {
    let both = |change: Change| Some((change, change));
    if vector {
        return match (operation, ty) {
            ("add", Type::F32 | Type::F16 | Type::Bf16 | Type::F16x2 | Type::Bf16x2) => change(operation, ty, false),
            ("min", Type::F16) => both(|old, by, _| u64::from(extreme_f16(old as u16, by as u16, true))),
            ("max", Type::F16) => both(|old, by, _| u64::from(extreme_f16(old as u16, by as u16, false))),
            ("min", Type::Bf16) => both(|old, by, _| u64::from(extreme_bf16(old as u16, by as u16, true))),
            ("max", Type::Bf16) => both(|old, by, _| u64::from(extreme_bf16(old as u16, by as u16, false))),
            ("min", Type::F16x2) => both(|old, by, _| halves(old, by, |old, by| extreme_f16(old, by, true))),
            ("max", Type::F16x2) => both(|old, by, _| halves(old, by, |old, by| extreme_f16(old, by, false))),
            ("min", Type::Bf16x2) => both(|old, by, _| halves(old, by, |old, by| extreme_bf16(old, by, true))),
            ("max", Type::Bf16x2) => both(|old, by, _| halves(old, by, |old, by| extreme_bf16(old, by, false))),
            _ => None,
        };
    }
    let bits = ty.bits();
    let integer = matches!(bits, 32 | 64) && !matches!(ty, Type::F32 | Type::F64 | Type::F16x2 | Type::Bf16x2);
    match (operation, ty) {
        ("cas", Type::B16 | Type::B32 | Type::B64) => {
            both(|old, expected, new| if old == expected { new } else { old })
        }
        ("exch", Type::B32 | Type::B64) => both(|_, new, _| new),
        ("and", Type::B32 | Type::B64) => both(|old, by, _| old & by),
        ("or", Type::B32 | Type::B64) => both(|old, by, _| old | by),
        ("xor", Type::B32 | Type::B64) => both(|old, by, _| old ^ by),
        ("inc", Type::U32) => both(|old, limit, _| if old >= limit { 0 } else { old + 1 }),
        ("dec", Type::U32) => both(|old, limit, _| if old == 0 || old > limit { limit } else { old - 1 }),
        ("add", Type::F32) => Some((add_flushed, add_f32)),
        ("add", Type::F64) => Some((add_kept, add_f64)),
        ("add", Type::F16) => both(|old, by, _| u64::from(add_f16(old as u16, by as u16))),
        ("add", Type::Bf16) => both(|old, by, _| u64::from(add_bf16(old as u16, by as u16))),
        ("add", Type::F16x2) => both(|old, by, _| halves(old, by, add_f16)),
        ("add", Type::Bf16x2) => both(|old, by, _| halves(old, by, add_bf16)),
        // a word is written by its low 32 bits, whatever stands above
        ("add", _) if integer => both(|old, by, _| old.wrapping_add(by)),
        ("min", Type::U32 | Type::U64) => both(|old, by, _| old.min(by)),
        ("max", Type::U32 | Type::U64) => both(|old, by, _| old.max(by)),
        ("min", Type::S32) => both(|old, by, _| u64::from((old as i32).min(by as i32) as u32)),
        ("max", Type::S32) => both(|old, by, _| u64::from((old as i32).max(by as i32) as u32)),
        ("min", Type::S64) => both(|old, by, _| (old as i64).min(by as i64) as u64),
        ("max", Type::S64) => both(|old, by, _| (old as i64).max(by as i64) as u64),
        _ => None,
    }
}

/// A NaN is always this one, as recorded.
fn canonical(value: f32) -> u64 {
    u64::from(if value.is_nan() { 0x7FFF_FFFF } else { value.to_bits() })
}

fn add_f32(old: u64, by: u64, _: u64) -> u64 {
    canonical(f32::from_bits(old as u32) + f32::from_bits(by as u32))
}

/// In global memory subnormals count as zeros, before and after.
fn add_flushed(old: u64, by: u64, _: u64) -> u64 {
    let flushed = |value: f32| if value.is_subnormal() { 0.0f32.copysign(value) } else { value };
    canonical(flushed(flushed(f32::from_bits(old as u32)) + flushed(f32::from_bits(by as u32))))
}

fn add_f64(old: u64, by: u64, _: u64) -> u64 {
    (f64::from_bits(old) + f64::from_bits(by)).to_bits()
}

/// In global memory a NaN that is there stays as it is, quiet or not.
fn add_kept(old: u64, by: u64, _: u64) -> u64 {
    if f64::from_bits(old).is_nan() { old } else { add_f64(old, by, 0) }
}

fn add_f16(old: u16, by: u16) -> u16 {
    // exact in f32, whose 24 bits are twice 11 and two more: rounding twice is rounding once
    let sum = f16::from_f32(f16::from_bits(old).to_f32() + f16::from_bits(by).to_f32());
    if sum.is_nan() { 0x7FFF } else { sum.to_bits() }
}

fn add_bf16(old: u16, by: u16) -> u16 {
    let sum = bf16::from_f32(bf16::from_bits(old).to_f32() + bf16::from_bits(by).to_f32());
    if sum.is_nan() { 0x7FFF } else { sum.to_bits() }
}

/// The lesser or the greater of two numbers: of a number and a NaN the number, and -0 is less than 0.
fn extreme<T: Copy>(old: (T, f32), by: (T, f32), nan: T, least: bool) -> T {
    let less = |a: f32, b: f32| a < b || a == b && a.is_sign_negative();
    match (old.1.is_nan(), by.1.is_nan()) {
        (true, true) => nan,
        (true, false) => by.0,
        (false, true) => old.0,
        (false, false) => {
            if less(old.1, by.1) == least {
                old.0
            } else {
                by.0
            }
        }
    }
}

fn extreme_f16(old: u16, by: u16, least: bool) -> u16 {
    extreme((old, f16::from_bits(old).to_f32()), (by, f16::from_bits(by).to_f32()), 0x7FFF, least)
}

fn extreme_bf16(old: u16, by: u16, least: bool) -> u16 {
    extreme((old, bf16::from_bits(old).to_f32()), (by, bf16::from_bits(by).to_f32()), 0x7FFF, least)
}

fn halves(old: u64, by: u64, add: fn(u16, u16) -> u16) -> u64 {
    let high = add((old >> 16) as u16, (by >> 16) as u16);
    u64::from(high) << 16 | u64::from(add(old as u16, by as u16))
}
