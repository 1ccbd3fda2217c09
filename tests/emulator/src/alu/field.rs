//! Bits by their place: fields, counts, searches, permutations of bytes. Not here: gates and shifts (`logic`).

use super::map::{binary, slow, ternary, unary};
use super::reader::Reader;
use crate::decode::Fault;
use crate::decode::types::Type;
use crate::exec::Lanes;

/// What position and length of a field are cut to: 32-bit forms see their low byte, 64-bit forms the register (recorded).
fn field_operand(bits: u64, long: bool) -> u32 {
    if long { bits as u32 } else { bits as u32 & 0xFF }
}

/// Ones in the bits from `position` on, as many as `length`.
fn ones(position: u32, length: u32, width: u32) -> u64 {
    let upto = |end: u64| if end >= 64 { u64::MAX } else { (1 << end) - 1 };
    let end = (u64::from(position) + u64::from(length)).min(u64::from(width));
    upto(end) & !upto(u64::from(position))
}

/// `bfe`: a field, extended from its highest bit, which is the register's own where the field goes past its end.
pub(super) fn extract(reader: &mut Reader) -> Result<Lanes, Fault> {
    let ty = reader.ty()?;
    if !matches!(ty, Type::U32 | Type::S32 | Type::U64 | Type::S64) {
        return Err(reader.unknown());
    }
    reader.end(4)?;
    let (into, a) = (reader.into(ty)?, reader.source(1, ty)?);
    let from = [a, reader.source(2, Type::U32)?, reader.source(3, Type::U32)?];
    let unsigned = |a: u64, position: u32, length: u32| {
        let above = 64 - length.min(64);
        if position > 63 || length == 0 { 0 } else { a >> position << above >> above }
    };
    let signed = |a: i64, position: u32, length: u32| {
        let above = 64 - length.min(64);
        if length == 0 { 0 } else { a >> position.min(63) << above >> above }
    };
    Ok(match ty {
        Type::U32 => ternary(into, from, move |a: u32, position: u32, length: u32| {
            unsigned(u64::from(a), position & 0xFF, length & 0xFF) as u32
        }),
        Type::S32 => ternary(into, from, move |a: i32, position: u32, length: u32| {
            signed(i64::from(a), position & 0xFF, length & 0xFF) as i32
        }),
        Type::U64 => ternary(into, from, unsigned),
        _ => ternary(into, from, signed),
    })
}

/// `bfi`: the low bits of `a` over a field of `b`.
pub(super) fn insert(reader: &mut Reader) -> Result<Lanes, Fault> {
    let ty = reader.ty()?;
    if !matches!(ty, Type::B32 | Type::B64) {
        return Err(reader.unknown());
    }
    reader.end(5)?;
    let (into, [a, b]) = (reader.into(ty)?, reader.sources(ty)?);
    let from = [a, b, reader.source(3, Type::U32)?, reader.source(4, Type::U32)?];
    let width = ty.bits();
    Ok(slow(into, from, move |[a, b, position, length]| {
        let [position, length] = [position, length].map(|operand| field_operand(operand, width == 64));
        let field = ones(position, length, width);
        b & !field | a.checked_shl(position).unwrap_or(0) & field
    }))
}

/// `bfind`: the highest bit that is no copy of the sign, as a place or as what shifts it to the top; all ones without one.
pub(super) fn find(reader: &mut Reader) -> Result<Lanes, Fault> {
    let shift = reader.take("shiftamt");
    let ty = reader.ty()?;
    reader.end(2)?;
    let (into, [a]) = (reader.into(Type::U32)?, reader.sources(ty)?);
    let place = move |zeros: u32, width: u32| match width - zeros {
        0 => u32::MAX,
        _ if shift => zeros,
        found => found - 1,
    };
    Ok(match ty {
        Type::U32 => unary(into, a, move |a: u32| place(a.leading_zeros(), 32)),
        Type::S32 => unary(into, a, move |a: i32| place((a ^ a >> 31).leading_zeros(), 32)),
        Type::U64 => unary(into, a, move |a: u64| place(a.leading_zeros(), 64)),
        Type::S64 => unary(into, a, move |a: i64| place((a ^ a >> 63).leading_zeros(), 64)),
        _ => return Err(reader.unknown()),
    })
}

/// `brev`, `clz`, `popc`
pub(super) fn count(reader: &mut Reader) -> Result<Lanes, Fault> {
    let ty = reader.ty()?;
    reader.end(2)?;
    let long = match ty {
        Type::B32 => false,
        Type::B64 => true,
        _ => return Err(reader.unknown()),
    };
    let name = reader.name();
    let (into, [a]) = (reader.into(if name == "brev" { ty } else { Type::U32 })?, reader.sources(ty)?);
    Ok(match (name, long) {
        ("brev", false) => unary(into, a, u32::reverse_bits),
        ("brev", true) => unary(into, a, u64::reverse_bits),
        ("clz", false) => unary(into, a, u32::leading_zeros),
        ("clz", true) => unary(into, a, u64::leading_zeros),
        (_, false) => unary(into, a, u32::count_ones),
        (_, true) => unary(into, a, u64::count_ones),
    })
}

/// `bmsk`: ones from bit `a` on, as many as `b`.
pub(super) fn mask(reader: &mut Reader) -> Result<Lanes, Fault> {
    let clamp = reader.one_of(&[("clamp", true), ("wrap", false)])?;
    if reader.ty()? != Type::B32 {
        return Err(reader.unknown());
    }
    reader.needs(70, (7, 6))?;
    reader.end(3)?;
    let (into, from) = (reader.into(Type::B32)?, reader.sources(Type::U32)?);
    let limit = move |value: u32| if clamp { value.min(32) } else { value & 31 };
    Ok(binary(into, from, move |a, b| ones(limit(a), limit(b), 32) as u32))
}

/// `szext`: the low bits of `a`, as many as `b`, extended.
pub(super) fn extend(reader: &mut Reader) -> Result<Lanes, Fault> {
    let clamp = reader.one_of(&[("clamp", true), ("wrap", false)])?;
    let ty = reader.ty()?;
    if !matches!(ty, Type::U32 | Type::S32) {
        return Err(reader.unknown());
    }
    reader.needs(70, (7, 6))?;
    reader.end(3)?;
    let (into, a) = (reader.into(ty)?, reader.source(1, ty)?);
    let from = [a, reader.source(2, Type::U32)?];
    let limit = move |value: u32| if clamp { value.min(32) } else { value & 31 };
    Ok(match ty {
        Type::S32 => binary(into, from, move |a: u32, length| {
            // in 64 bits a shift by 32 is one too, as values of no bits need
            let away = 32 - limit(length);
            ((i64::from(a) << away) as i32 as i64 >> away) as u32
        }),
        _ => binary(into, from, move |a: u32, length| a & ones(0, limit(length), 32) as u32),
    })
}

/// `fns`: the place of the so many-th set bit from `base` on, upwards or downwards.
pub(super) fn nth_set(reader: &mut Reader) -> Result<Lanes, Fault> {
    if reader.ty()? != Type::B32 {
        return Err(reader.unknown());
    }
    reader.end(4)?;
    let (into, mask) = (reader.into(Type::B32)?, reader.source(1, Type::B32)?);
    let from = [mask, reader.source(2, Type::B32)?, reader.source(3, Type::S32)?];
    Ok(slow(into, from, |[mask, base, offset]| {
        let (base, offset) = (base as u32, offset as i32);
        let set = |place: &u32| *place < 32 && mask >> place & 1 == 1;
        let nth = offset.unsigned_abs().saturating_sub(1) as usize;
        let found = match offset {
            0 => Some(base).filter(set),
            // its magnitude is no i32; recorded
            i32::MIN => Some(0),
            1.. => (base..32).filter(set).nth(nth),
            _ => (0..=base.min(31)).rev().filter(set).nth(nth),
        };
        u64::from(found.unwrap_or(u32::MAX))
    }))
}

/// Which bytes of `b:a` the modes of `prmt` take for each value of the selector, the lowest byte's in the lowest digit.
const MODES: &[(&str, [u32; 4])] = &[
    ("f4e", [0x3210, 0x4321, 0x5432, 0x6543]),
    ("b4e", [0x5670, 0x6701, 0x7012, 0x0123]),
    ("rc8", [0x0000, 0x1111, 0x2222, 0x3333]),
    ("ecl", [0x3210, 0x3211, 0x3222, 0x3333]),
    ("ecr", [0x0000, 0x1110, 0x2210, 0x3210]),
    ("rc16", [0x1010, 0x3232, 0x1010, 0x3232]),
];

/// `prmt`: four of the eight bytes of `b:a`, or copies of their signs.
pub(super) fn permute(reader: &mut Reader) -> Result<Lanes, Fault> {
    // the assembler takes the mode on either side of the type
    let before = reader.choose(MODES);
    if reader.ty()? != Type::B32 {
        return Err(reader.unknown());
    }
    let mode = before.or_else(|| reader.choose(MODES));
    reader.end(4)?;
    let (into, from) = (reader.into(Type::B32)?, reader.sources(Type::B32)?);
    let take = |a: u32, b: u32, choice: u32| {
        let bytes = u64::from(b) << 32 | u64::from(a);
        (0..4).fold(0, |word, place| {
            let digit = choice >> (4 * place);
            let byte = (bytes >> (8 * (digit & 7))) as u8;
            let byte = if digit & 8 == 0 { byte } else { (byte.cast_signed() >> 7).cast_unsigned() };
            word | u32::from(byte) << (8 * place)
        })
    };
    Ok(match mode {
        None => ternary(into, from, take),
        Some(choices) => ternary(into, from, move |a, b, c: u32| take(a, b, choices[c as usize & 3])),
    })
}
