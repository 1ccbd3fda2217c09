//! What only looks at fractions or changes their sign: `min`, `max`, `abs`, `neg`, `copysign`, `testp`. Not here: `setp` (`compare`).

use super::float::{Finish, Shape, quiet};
use super::map::{binary, read, unary};
use super::native::{canonical, flush};
use super::reader::Reader;
use super::soft::{BF16, F16, F32, F64, Format};
use crate::decode::Fault;
use crate::decode::types::Type;
use crate::exec::Lanes;
use crate::exec::registers::{LANES, Slot};

/// Grows with the number, -0 being below 0. Not for NaN.
fn key(format: Format, bits: u64) -> i64 {
    let magnitude = format.magnitude(bits).cast_signed();
    if bits & format.sign() == 0 { magnitude } else { !magnitude }
}

/// `min` and `max`
pub(super) fn extreme(reader: &mut Reader) -> Result<Lanes, Fault> {
    let least = reader.name() == "min";
    let ftz = reader.take("ftz");
    let propagate = reader.take("NaN");
    let xorsign = reader.take("xorsign");
    if xorsign && !reader.take("abs") {
        return Err(reader.unknown());
    }
    let ty = reader.ty()?;
    let shape = Shape::of(ty).ok_or_else(|| reader.unknown())?;
    let format = shape.format;
    let plain = !ftz && !propagate && !xorsign;
    if format == F64 && !plain || format == BF16 && ftz {
        return Err(reader.unknown());
    }
    match format {
        _ if xorsign => reader.needs(86, (7, 2))?,
        F16 | BF16 => reader.needs(80, (7, 0))?,
        _ if propagate => reader.needs(80, (7, 0))?,
        _ => {}
    }
    reader.end(3)?;
    let (into, from) = (reader.into(ty)?, reader.sources(ty)?);
    if format == F32 && !propagate && !xorsign {
        return Ok(match (least, ftz) {
            (true, false) => binary(into, from, |a, b| single::<false>(a, b, true)),
            (true, true) => binary(into, from, |a, b| single::<true>(a, b, true)),
            (false, false) => binary(into, from, |a, b| single::<false>(a, b, false)),
            (false, true) => binary(into, from, |a, b| single::<true>(a, b, false)),
        });
    }
    let finish = Finish { ftz, ..Finish::NONE };
    Ok(shape.each(into, from, move |operands| {
        let [mut a, mut b] = operands.map(|bits| finish.operand(format, bits));
        let sign = if xorsign { (a ^ b) & format.sign() } else { 0 };
        if xorsign {
            [a, b] = [a, b].map(|bits| format.magnitude(bits));
        }
        match (format.is_nan(a), format.is_nan(b)) {
            (true, true) if format == F64 => quiet(b),
            (true, true) => format.nan,
            (true, false) | (false, true) if propagate => format.nan,
            (true, false) => b | sign,
            (false, true) => a | sign,
            (false, false) if (key(format, a) < key(format, b)) == least => a | sign,
            (false, false) => b | sign,
        }
    }))
}

#[inline(always)]
fn single<const FTZ: bool>(a: f32, b: f32, least: bool) -> u32 {
    let (a, b) = (flush::<FTZ>(a), flush::<FTZ>(b));
    let equal = a.to_bits() >> 31 == u32::from(least);
    let first = if least { a < b } else { a > b };
    canonical(if first | b.is_nan() | (a == b) & equal { a } else { b })
}

/// `abs` and `neg`: a NaN is canonical, but of f64, where it keeps even its sign.
pub(super) fn sign(reader: &mut Reader) -> Result<Lanes, Fault> {
    let ftz = reader.take("ftz");
    let ty = reader.ty()?;
    let shape = Shape::of(ty).ok_or_else(|| reader.unknown())?;
    let format = shape.format;
    if ftz && matches!(format, F64 | BF16) {
        return Err(reader.unknown());
    }
    if format == BF16 {
        reader.needs(80, (7, 0))?;
    }
    reader.end(2)?;
    let (into, [a]) = (reader.into(ty)?, reader.sources(ty)?);
    let absolute = reader.name() == "abs";
    if format == F32 {
        let change = move |bits: u32| if absolute { bits & 0x7FFF_FFFF } else { bits ^ 0x8000_0000 };
        return Ok(if ftz {
            unary(into, a, move |a| canonical(f32::from_bits(change(flush::<true>(a).to_bits()))))
        } else {
            unary(into, a, move |a: u32| canonical(f32::from_bits(change(a))))
        });
    }
    let finish = Finish { ftz, ..Finish::NONE };
    Ok(shape.each(into, [a], move |[bits]| {
        let bits = finish.operand(format, bits);
        match format.is_nan(bits) {
            true if format == F64 => quiet(bits),
            true => format.nan,
            false if absolute => format.magnitude(bits),
            false => bits ^ format.sign(),
        }
    }))
}

/// `copysign d, a, b`: b with the sign of a.
pub(super) fn copy(reader: &mut Reader) -> Result<Lanes, Fault> {
    let ty = reader.ty()?;
    reader.end(3)?;
    let (into, from) = (reader.into(ty)?, reader.sources(ty)?);
    Ok(match ty {
        Type::F32 => binary(into, from, |a: u32, b: u32| a & 1 << 31 | b & !(1 << 31)),
        Type::F64 => binary(into, from, |a: u64, b: u64| a & 1 << 63 | b & !(1 << 63)),
        _ => return Err(reader.unknown()),
    })
}

/// Of what class a number is.
type Test = fn(Format, u64) -> bool;

const TESTS: &[(&str, Test)] = &[
    ("finite", |format, bits| format.magnitude(bits) <= format.top),
    ("infinite", |format, bits| format.magnitude(bits) == format.infinity()),
    ("number", |format, bits| !format.is_nan(bits)),
    ("notanumber", Format::is_nan),
    // zero is normal
    ("normal", |format, bits| format.magnitude(bits) <= format.top && !is_subnormal(format, bits)),
    ("subnormal", is_subnormal),
];

fn is_subnormal(format: Format, bits: u64) -> bool {
    (1..format.least()).contains(&format.magnitude(bits))
}

/// `testp`
pub(super) fn test(reader: &mut Reader) -> Result<Lanes, Fault> {
    let test = reader.one_of(TESTS)?;
    let ty = reader.ty()?;
    let format = match ty {
        Type::F32 => F32,
        Type::F64 => F64,
        _ => return Err(reader.unknown()),
    };
    reader.end(2)?;
    let (into, [a]): (Slot, _) = (reader.into(Type::Pred)?, reader.sources(ty)?);
    Ok(Box::new(move |registers, mask| {
        let values: [u64; LANES] = read(registers, a);
        let bits = (0..LANES).fold(0, |bits, lane| bits | u32::from(test(format, values[lane])) << lane);
        registers.write_predicate(into, bits, mask);
    }))
}
