//! `cvt` to and from small formats: pairs of f16 and bf16, tf32, fp8, and `cvt.pack`. Not here: conversions of one number (`round`).

use super::convert::{Mode, Modifiers};
use super::map::{slow, unary};
use super::reader::Reader;
use super::round::{bf16_pair, f16s};
use super::soft::{self, BF16, E4M3, E5M2, F16, F32, Format, Rounding, TF32};
use crate::decode::Fault;
use crate::decode::types::Type;
use crate::exec::Lanes;

const EIGHTS: &[(&str, Format)] = &[("e4m3x2", E4M3), ("e5m2x2", E5M2)];

/// From the destination's type on.
pub(super) fn decode(reader: &mut Reader, modifiers: Modifiers) -> Result<Lanes, Fault> {
    let Some(Mode::Number(rounding)) = modifiers.mode else { return Err(reader.unknown()) };
    if modifiers.finish.ftz || modifiers.finish.sat {
        return Err(reader.unknown());
    }
    if let Some(format) = reader.choose(EIGHTS) {
        return to_eights(reader, modifiers, rounding, format);
    }
    let to = reader.ty()?;
    if let Some(format) = reader.choose(EIGHTS) {
        return from_eights(reader, modifiers, rounding, format, to);
    }
    if reader.ty()? != Type::F32 {
        return Err(reader.unknown());
    }
    match (to, rounding) {
        (Type::Tf32, _) => tf32(reader, modifiers, rounding),
        (_, Rounding::Nearest | Rounding::Zero) => pair(reader, modifiers, rounding, to),
        _ => Err(reader.unknown()),
    }
}

/// Two f32 to a pair, the first to the upper half.
fn pair(reader: &mut Reader, modifiers: Modifiers, rounding: Rounding, to: Type) -> Result<Lanes, Fault> {
    reader.needs(80, (7, 0))?;
    reader.end(3)?;
    let (into, from) = (reader.into(to)?, reader.sources(Type::F32)?);
    let format = if to == Type::F16x2 { F16 } else { BF16 };
    if rounding == Rounding::Nearest && !modifiers.finish.relu && !modifiers.satfinite {
        return Ok(if format == F16 { f16s(into, from, true) } else { bf16_pair(into, from) });
    }
    Ok(slow(into, from, move |numbers| {
        let [high, low] = numbers.map(|bits| {
            let bits = soft::pack(format, rounding, soft::unpack(F32, bits & 0xFFFF_FFFF));
            modifiers.finish.result(format, bounded(format, modifiers.satfinite, bits))
        });
        high << 16 | low
    }))
}

/// f32 with the mantissa of f16, in the upper 19 bits of a word.
fn tf32(reader: &mut Reader, modifiers: Modifiers, rounding: Rounding) -> Result<Lanes, Fault> {
    reader.end(2)?;
    let away = rounding == Rounding::Away;
    match rounding {
        Rounding::Away if !modifiers.finish.relu => reader.needs(80, (7, 0))?,
        Rounding::Nearest | Rounding::Zero => reader.needs(90, (7, 8))?,
        _ => return Err(reader.unknown()),
    }
    let (into, [a]) = (reader.into(Type::B32)?, reader.sources(Type::F32)?);
    if away {
        // no arithmetic on infinities and NaNs: one whose payload is cut off becomes an infinity (recorded)
        let finite = |bits: u32| bits & 0x7F80_0000 != 0x7F80_0000;
        let satfinite = modifiers.satfinite;
        return Ok(unary(into, a, move |bits: u32| {
            let rounded = (if finite(bits) { bits.wrapping_add(0x1000) } else { bits }) & !0x1FFF;
            let nan = f32::from_bits(bits).is_nan();
            if satfinite && !nan && !finite(rounded) { rounded & 0x8000_0000 | 0x7F7F_E000 } else { rounded }
        }));
    }
    Ok(slow(into, [a], move |[bits]| {
        let bits = soft::pack(TF32, rounding, soft::unpack(F32, bits & 0xFFFF_FFFF));
        modifiers.finish.result(TF32, bounded(TF32, modifiers.satfinite, bits)) << 13
    }))
}

/// From sm_90 on they came with PTX 7.8, for sm_89 with 8.1.
fn needs_eights(reader: &Reader) -> Result<(), Fault> {
    reader.needs(89, if reader.names.target >= 90 { (7, 8) } else { (8, 1) })
}

/// A rounded number, of `.satfinite` the greatest in place of an infinity.
pub(super) fn bounded(format: Format, satfinite: bool, bits: u64) -> u64 {
    let infinite = format.magnitude(bits) > format.top && !format.is_nan(bits);
    if satfinite && infinite { bits - (format.magnitude(bits) - format.top) } else { bits }
}

/// Two f32, or a pair of f16, to two numbers of 8 bits.
fn to_eights(reader: &mut Reader, modifiers: Modifiers, rounding: Rounding, to: Format) -> Result<Lanes, Fault> {
    let from = reader.ty()?;
    let right = matches!(from, Type::F32 | Type::F16x2);
    if !right || rounding != Rounding::Nearest || !modifiers.satfinite {
        return Err(reader.unknown());
    }
    needs_eights(reader)?;
    let rounded = move |format: Format, bits: u64| {
        let number = soft::unpack(format, bits);
        let bits = soft::pack(to, Rounding::Nearest, number);
        let finite = if to.magnitude(bits) > to.top && number != soft::Number::Nan { bits - 1 } else { bits };
        modifiers.finish.result(to, finite)
    };
    if from == Type::F32 {
        reader.end(3)?;
        let (into, from) = (reader.into(Type::B16)?, reader.sources(Type::F32)?);
        return Ok(slow(into, from, move |[high, low]| {
            rounded(F32, high & 0xFFFF_FFFF) << 8 | rounded(F32, low & 0xFFFF_FFFF)
        }));
    }
    reader.end(2)?;
    let (into, from) = (reader.into(Type::B16)?, reader.sources(from)?);
    Ok(slow(into, from, move |[pair]| rounded(F16, pair >> 16 & 0xFFFF) << 8 | rounded(F16, pair & 0xFFFF)))
}

/// Two numbers of 8 bits to a pair of f16, which has all of them.
fn from_eights(
    reader: &mut Reader,
    modifiers: Modifiers,
    rounding: Rounding,
    from: Format,
    to: Type,
) -> Result<Lanes, Fault> {
    if to != Type::F16x2 || rounding != Rounding::Nearest || modifiers.satfinite {
        return Err(reader.unknown());
    }
    needs_eights(reader)?;
    reader.end(2)?;
    let (into, source) = (reader.into(to)?, reader.sources(Type::B16)?);
    Ok(slow(into, source, move |[pair]| {
        let [high, low] = [pair >> 8 & 0xFF, pair & 0xFF]
            .map(|bits| modifiers.finish.result(F16, soft::pack(F16, Rounding::Nearest, soft::unpack(from, bits))));
        high << 16 | low
    }))
}

/// `cvt.pack.sat.u8.s32.b32 d, a, b, c`: a and b saturated, b lowest, and above them what c has.
pub(super) fn pack(reader: &mut Reader) -> Result<Lanes, Fault> {
    if !reader.take("sat") {
        return Err(reader.unknown());
    }
    let to = reader.one_of(&[("s8", Type::S8), ("u8", Type::U8), ("s16", Type::S16), ("u16", Type::U16)])?;
    if reader.ty()? != Type::S32 {
        return Err(reader.unknown());
    }
    let third = to.bits() == 8;
    if third && reader.ty()? != Type::B32 {
        return Err(reader.unknown());
    }
    reader.needs(72, (6, 5))?;
    reader.end(if third { 4 } else { 3 })?;
    let (into, [a, b]) = (reader.into(Type::B32)?, reader.sources(Type::S32)?);
    let c = if third { reader.source(3, Type::B32)? } else { b };
    let width = to.bits();
    let ones = (1_i64 << width) - 1;
    let (least, most) = match to {
        Type::S8 | Type::S16 => (-1 - (ones >> 1), ones >> 1),
        _ => (0, ones),
    };
    let saturated = move |bits: u64| (i64::from(bits as u32 as i32).clamp(least, most) & ones).cast_unsigned();
    Ok(slow(into, [a, b, c], move |[a, b, c]| {
        let above = if third { c << (2 * width) } else { 0 };
        above & 0xFFFF_FFFF | saturated(a) << width | saturated(b)
    }))
}
