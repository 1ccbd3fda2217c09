//! Integers that share a register: arithmetic on pairs of 16 bits, and dot products of bytes.

use super::map::{binary, ternary};
use super::reader::Reader;
use crate::decode::Fault;
use crate::decode::types::Type;
use crate::exec::Lanes;

/// `add`, `min`, `max` of `.u16x2` and `.s16x2`, from the type on.
pub(super) fn pairs(reader: &mut Reader, ty: Type, relu: bool) -> Result<Lanes, Fault> {
    let signed = ty == Type::S16x2;
    if relu && !signed {
        return Err(reader.unknown());
    }
    reader.needs(90, (8, 0))?;
    reader.end(3)?;
    let (into, from) = (reader.into(ty)?, reader.sources(ty)?);
    let floor = if relu { 0 } else { i16::MIN };
    Ok(match (reader.name(), signed) {
        ("add", _) => binary(into, from, |a, b| both(a, b, u16::wrapping_add)),
        ("min", false) => binary(into, from, |a, b| both(a, b, u16::min)),
        ("max", false) => binary(into, from, |a, b| both(a, b, u16::max)),
        ("min", true) => binary(into, from, move |a, b| both_signed(a, b, |a, b| a.min(b).max(floor))),
        ("max", true) => binary(into, from, move |a, b| both_signed(a, b, |a, b| a.max(b).max(floor))),
        _ => return Err(reader.unknown()),
    })
}

#[inline(always)]
fn both(a: u32, b: u32, f: impl Fn(u16, u16) -> u16) -> u32 {
    u32::from(f(a as u16, b as u16)) | u32::from(f((a >> 16) as u16, (b >> 16) as u16)) << 16
}

#[inline(always)]
fn both_signed(a: u32, b: u32, f: impl Fn(i16, i16) -> i16) -> u32 {
    both(a, b, |a, b| f(a.cast_signed(), b.cast_signed()).cast_unsigned())
}

/// `dp4a` and `dp2a`: `c` and the products of the bytes of `b` with the bytes, or the halves, of `a`.
pub(super) fn dot(reader: &mut Reader) -> Result<Lanes, Fault> {
    let signs = &[("u32", Type::U32), ("s32", Type::S32)];
    let four = reader.name() == "dp4a";
    // dp2a takes one half of b
    let first = if four { 0 } else { reader.one_of(&[("lo", 0), ("hi", 2)])? };
    let (left, right) = (reader.one_of(signs)?, reader.one_of(signs)?);
    reader.end(4)?;
    let result = if left == Type::U32 && right == Type::U32 { Type::U32 } else { Type::S32 };
    let (into, a, b) = (reader.into(result)?, reader.source(1, left)?, reader.source(2, right)?);
    let from = [a, b, reader.source(3, result)?];
    let width = if four { 8 } else { 16 };
    let left = move |word: u32, index| part(word, index, width, left == Type::S32);
    let right = move |word: u32, index| part(word, index + first, 8, right == Type::S32);
    let count = 32 / width;
    Ok(ternary(into, from, move |a: u32, b: u32, c: u32| {
        let sum = (0..count).fold(0, |sum, index| sum + left(a, index) * right(b, index));
        (sum as u32).wrapping_add(c)
    }))
}

/// A field of a word, extended.
#[inline(always)]
fn part(word: u32, index: u32, width: u32, signed: bool) -> i64 {
    let up = word << (32 - width - index * width);
    if signed { i64::from(up.cast_signed() >> (32 - width)) } else { i64::from(up >> (32 - width)) }
}
