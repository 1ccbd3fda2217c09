//! Integer arithmetic: `add` to `sad`, in all widths. Not here: carries (`carry`), 16-bit pairs and dot products (`packed`), bits (`logic`, `field`).

use super::map::{binary, ternary, unary};
use super::packed;
use super::reader::Reader;
use crate::decode::Fault;
use crate::decode::types::Type;
use crate::exec::Lanes;
use crate::exec::registers::{Lane, Slot};

/// An integer of a lane; arithmetic wraps.
pub(super) trait Integer: Lane + Ord + Send + Sync + 'static {
    fn plus(self, other: Self) -> Self;
    /// The upper half of the product.
    fn high(self, other: Self) -> Self;
    fn over(self, other: Self) -> Self;
    fn rest(self, other: Self) -> Self;
    fn distance(self, other: Self) -> Self;
    fn negative(self) -> Self;
    fn magnitude(self) -> Self;
}

macro_rules! integers {
    ($($ty:ty, $twice:ty;)*) => {
        $(impl Integer for $ty {
            #[inline(always)]
            fn plus(self, other: Self) -> Self { self.wrapping_add(other) }
            #[inline(always)]
            fn high(self, other: Self) -> Self { ((self as $twice * other as $twice) >> <$ty>::BITS) as $ty }
            // by zero the card gives all ones, both as quotient and as rest
            #[inline(always)]
            fn over(self, other: Self) -> Self { if other == 0 { !0 } else { self.wrapping_div(other) } }
            #[inline(always)]
            fn rest(self, other: Self) -> Self { if other == 0 { !0 } else { self.wrapping_rem(other) } }
            #[inline(always)]
            fn distance(self, other: Self) -> Self { self.max(other).wrapping_sub(self.min(other)) }
            #[inline(always)]
            fn negative(self) -> Self { (0 as $ty).wrapping_sub(self) }
            #[inline(always)]
            fn magnitude(self) -> Self { self.max(self.negative()) }
        })*
    };
}

integers! { u16, u32; i16, i32; u32, u64; i32, i64; u64, u128; i64, i128; }

/// Calls a generic function for the integer type of a `Type`; None for any other type.
macro_rules! by_integer {
    ($ty:expr, $function:ident $arguments:tt) => {
        match $ty {
            Type::U16 => Some($function::<u16> $arguments),
            Type::S16 => Some($function::<i16> $arguments),
            Type::U32 => Some($function::<u32> $arguments),
            Type::S32 => Some($function::<i32> $arguments),
            Type::U64 => Some($function::<u64> $arguments),
            Type::S64 => Some($function::<i64> $arguments),
            _ => None,
        }
    };
}

/// Whether `Integer` has this type.
pub(super) fn is_integer(ty: Type) -> bool {
    matches!(ty, Type::U16 | Type::S16 | Type::U32 | Type::S32 | Type::U64 | Type::S64)
}

/// `add`, `sub`, `div`, `rem`, `min`, `max`, `neg`, `abs`, `sad`.
pub(super) fn arithmetic(reader: &mut Reader) -> Result<Lanes, Fault> {
    let name = reader.name();
    if matches!(name, "add" | "sub") && reader.take("sat") {
        return saturated(reader);
    }
    let relu = matches!(name, "min" | "max") && reader.take("relu");
    let ty = reader.ty()?;
    if matches!(ty, Type::U16x2 | Type::S16x2) {
        return packed::pairs(reader, ty, relu);
    }
    if relu {
        reader.needs(90, (8, 0))?;
    }
    let signed = matches!(ty, Type::S16 | Type::S32 | Type::S64);
    if !is_integer(ty) || relu && ty != Type::S32 || matches!(name, "neg" | "abs") && !signed {
        return Err(reader.unknown());
    }
    let done = match name {
        "neg" | "abs" => {
            reader.end(2)?;
            let (into, [a]) = (reader.into(ty)?, reader.sources(ty)?);
            by_integer!(ty, one(name, into, a))
        }
        "sad" => {
            reader.end(4)?;
            let (into, from) = (reader.into(ty)?, reader.sources(ty)?);
            by_integer!(ty, distance(into, from))
        }
        _ => {
            reader.end(3)?;
            let (into, from) = (reader.into(ty)?, reader.sources(ty)?);
            match (name, relu) {
                ("min", true) => Some(binary(into, from, |a: i32, b| a.min(b).max(0))),
                ("max", true) => Some(binary(into, from, |a: i32, b| a.max(b).max(0))),
                ("add", _) if ty.bits() == 64 => Some(binary(into, from, u64::wrapping_add)),
                ("sub", _) if ty.bits() == 64 => Some(binary(into, from, u64::wrapping_sub)),
                // what wraps has no sign, and 16 bits are the lower ones of 32
                ("add", _) => Some(binary(into, from, u32::wrapping_add)),
                ("sub", _) => Some(binary(into, from, u32::wrapping_sub)),
                _ => by_integer!(ty, two(name, into, from)).flatten(),
            }
        }
    };
    done.ok_or_else(|| reader.unknown())
}

fn one<T: Integer>(name: &str, into: Slot, a: Slot) -> Lanes {
    if name == "neg" { unary(into, a, T::negative) } else { unary(into, a, T::magnitude) }
}

fn two<T: Integer>(name: &str, into: Slot, from: [Slot; 2]) -> Option<Lanes> {
    Some(match name {
        "div" => binary(into, from, T::over),
        "rem" => binary(into, from, T::rest),
        "min" => binary(into, from, T::min),
        "max" => binary(into, from, T::max),
        _ => return None,
    })
}

fn distance<T: Integer>(into: Slot, from: [Slot; 3]) -> Lanes {
    ternary(into, from, |a: T, b: T, c: T| a.distance(b).plus(c))
}

/// `add.sat.s32`, `sub.sat.s32`
fn saturated(reader: &mut Reader) -> Result<Lanes, Fault> {
    if reader.ty()? != Type::S32 {
        return Err(reader.unknown());
    }
    reader.end(3)?;
    let (into, from) = (reader.into(Type::S32)?, reader.sources(Type::S32)?);
    Ok(match reader.name() {
        "add" => binary(into, from, i32::saturating_add),
        _ => binary(into, from, i32::saturating_sub),
    })
}

/// Which part of a product.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Low,
    High,
    Wide,
}

pub(super) const PARTS: &[(&str, Part)] = &[("lo", Part::Low), ("hi", Part::High), ("wide", Part::Wide)];

/// `mul` and `mad`
pub(super) fn product(reader: &mut Reader) -> Result<Lanes, Fault> {
    let part = reader.one_of(PARTS)?;
    let sum = reader.name() == "mad";
    let sat = sum && part == Part::High && reader.take("sat");
    let ty = reader.ty()?;
    if !is_integer(ty) || sat && ty != Type::S32 || part == Part::Wide && ty.bits() == 64 {
        return Err(reader.unknown());
    }
    let wide = match (part, ty) {
        (Part::Wide, Type::U16) => Type::U32,
        (Part::Wide, Type::S16) => Type::S32,
        (Part::Wide, Type::U32) => Type::U64,
        (Part::Wide, _) => Type::S64,
        _ => ty,
    };
    reader.end(if sum { 4 } else { 3 })?;
    let (into, [a, b]) = (reader.into(wide)?, reader.sources(ty)?);
    let done = if sum {
        let c = reader.source(3, wide)?;
        match (part, ty) {
            _ if sat => Some(ternary(into, [a, b, c], |a: i32, b, c| a.high(b).saturating_add(c))),
            (Part::Wide, Type::U16) => {
                Some(ternary(into, [a, b, c], |a: u16, b: u16, c| (u32::from(a) * u32::from(b)).wrapping_add(c)))
            }
            (Part::Wide, Type::S16) => {
                Some(ternary(into, [a, b, c], |a: i16, b: i16, c| (i32::from(a) * i32::from(b)).wrapping_add(c)))
            }
            (Part::Wide, Type::U32) => {
                Some(ternary(into, [a, b, c], |a: u32, b: u32, c| (u64::from(a) * u64::from(b)).wrapping_add(c)))
            }
            (Part::Wide, _) => {
                Some(ternary(into, [a, b, c], |a: i32, b: i32, c| (i64::from(a) * i64::from(b)).wrapping_add(c)))
            }
            (Part::High, _) => by_integer!(ty, upper_and(into, [a, b, c])),
            _ if ty.bits() == 64 => {
                Some(ternary(into, [a, b, c], |a: u64, b: u64, c: u64| a.wrapping_mul(b).wrapping_add(c)))
            }
            _ => Some(ternary(into, [a, b, c], |a: u32, b: u32, c: u32| a.wrapping_mul(b).wrapping_add(c))),
        }
    } else {
        match (part, ty) {
            (Part::Wide, Type::U16) => Some(binary(into, [a, b], |a: u16, b: u16| u32::from(a) * u32::from(b))),
            (Part::Wide, Type::S16) => Some(binary(into, [a, b], |a: i16, b: i16| i32::from(a) * i32::from(b))),
            (Part::Wide, Type::U32) => Some(binary(into, [a, b], |a: u32, b: u32| u64::from(a) * u64::from(b))),
            (Part::Wide, _) => Some(binary(into, [a, b], |a: i32, b: i32| i64::from(a) * i64::from(b))),
            (Part::High, _) => by_integer!(ty, upper(into, [a, b])),
            _ if ty.bits() == 64 => Some(binary(into, [a, b], u64::wrapping_mul)),
            _ => Some(binary(into, [a, b], u32::wrapping_mul)),
        }
    };
    done.ok_or_else(|| reader.unknown())
}

fn upper<T: Integer>(into: Slot, from: [Slot; 2]) -> Lanes {
    binary(into, from, T::high)
}

fn upper_and<T: Integer>(into: Slot, from: [Slot; 3]) -> Lanes {
    ternary(into, from, |a: T, b: T, c: T| a.high(b).plus(c))
}

/// `mul24` and `mad24`: the lower or the upper 32 of the 48 bits of a product of 24-bit factors.
pub(super) fn product24(reader: &mut Reader) -> Result<Lanes, Fault> {
    let part = reader.one_of(&PARTS[..2])?;
    let sum = reader.name() == "mad24";
    let sat = sum && part == Part::High && reader.take("sat");
    let ty = reader.ty()?;
    if !matches!(ty, Type::U32 | Type::S32) || sat && ty != Type::S32 {
        return Err(reader.unknown());
    }
    reader.end(if sum { 4 } else { 3 })?;
    let (into, [a, b]) = (reader.into(ty)?, reader.sources(ty)?);
    let shift = if part == Part::High { 16 } else { 0 };
    let signed = move |a: i32, b: i32| ((i64::from(a << 8 >> 8) * i64::from(b << 8 >> 8)) >> shift) as i32;
    let unsigned = move |a: u32, b: u32| ((u64::from(a & 0xFF_FFFF) * u64::from(b & 0xFF_FFFF)) >> shift) as u32;
    if !sum {
        return Ok(if ty == Type::S32 { binary(into, [a, b], signed) } else { binary(into, [a, b], unsigned) });
    }
    let from = [a, b, reader.source(3, ty)?];
    Ok(match ty {
        _ if sat => ternary(into, from, move |a, b, c| signed(a, b).saturating_add(c)),
        Type::S32 => ternary(into, from, move |a, b, c| signed(a, b).wrapping_add(c)),
        _ => ternary(into, from, move |a, b, c| unsigned(a, b).wrapping_add(c)),
    })
}
