//! `cvt` among integers and fractions: which conversion it is, and those that change no fraction's format. Not here: rounding to another format
//! (`round`), formats of 8 bits, and packs (`small`).

use super::float::Finish;
use super::map::{slow, unary};
use super::reader::Reader;
use super::soft::{BF16, F16, F32, F64, Format, Rounding};
use super::{round, small};
use crate::decode::Fault;
use crate::decode::types::{Kind, Type};
use crate::exec::Lanes;
use crate::exec::registers::{Lane, Slot};

/// How a `cvt` rounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// `.rn`: to a number of the format.
    Number(Rounding),
    /// `.rni`: to an integer.
    Integer(Rounding),
}

const MODES: &[(&str, Mode)] = &[
    ("rn", Mode::Number(Rounding::Nearest)),
    ("rna", Mode::Number(Rounding::Away)),
    ("rz", Mode::Number(Rounding::Zero)),
    ("rm", Mode::Number(Rounding::Down)),
    ("rp", Mode::Number(Rounding::Up)),
    ("rni", Mode::Integer(Rounding::Nearest)),
    ("rzi", Mode::Integer(Rounding::Zero)),
    ("rmi", Mode::Integer(Rounding::Down)),
    ("rpi", Mode::Integer(Rounding::Up)),
];

/// What stands before the types.
#[derive(Clone, Copy, Debug)]
pub(super) struct Modifiers {
    pub(super) mode: Option<Mode>,
    pub(super) finish: Finish,
    /// `.satfinite`: what is too large is the greatest number, no infinity.
    pub(super) satfinite: bool,
}

/// The format of a fraction of one number.
pub(super) fn format(ty: Type) -> Option<Format> {
    match ty {
        Type::F16 => Some(F16),
        Type::Bf16 => Some(BF16),
        Type::F32 => Some(F32),
        Type::F64 => Some(F64),
        _ => None,
    }
}

fn integer(ty: Type) -> bool {
    matches!(ty.kind(), Kind::Unsigned | Kind::Signed)
}

pub(super) fn decode(reader: &mut Reader) -> Result<Lanes, Fault> {
    if reader.take("pack") {
        return small::pack(reader);
    }
    let mode = reader.choose(MODES);
    let mut modifiers = Modifiers { mode, finish: Finish::NONE, satfinite: false };
    let taken = |reader: &mut Reader, name, flag: &mut bool| {
        let there = !*flag && reader.take(name);
        *flag |= there;
        there
    };
    // in any order: the ISA's own examples differ
    while taken(reader, "ftz", &mut modifiers.finish.ftz)
        || taken(reader, "sat", &mut modifiers.finish.sat)
        || taken(reader, "relu", &mut modifiers.finish.relu)
        || taken(reader, "satfinite", &mut modifiers.satfinite)
    {}
    if matches!(reader.peek(), Some("e4m3x2" | "e5m2x2" | "f16x2" | "bf16x2" | "tf32")) {
        return small::decode(reader, modifiers);
    }
    let (to, from) = (reader.ty()?, reader.ty()?);
    reader.end(2)?;
    allowed(reader, modifiers, to, from)?;
    let (operand, source) = (reader.operand(0)?, reader.operand(1)?);
    let (into, _) = reader.names.wide_destination(reader.instruction, operand, to)?;
    let a = reader.names.wide_source(reader.instruction, source, from)?;
    let lanes = match (format(to), format(from)) {
        (None, None) => integers(into, to, a, from, modifiers.finish.sat),
        (Some(to), None) => round::from_integer(into, to, a, from, modifiers),
        (None, Some(from)) => round::to_integer(into, to, a, from, modifiers),
        (Some(to), Some(from)) => Some(round::between(into, to, a, from, modifiers)),
    };
    lanes.ok_or_else(|| reader.unknown())
}

/// Which modifiers go with which types.
fn allowed(reader: &Reader, modifiers: Modifiers, to: Type, from: Type) -> Result<(), Fault> {
    let Modifiers { mode, finish: Finish { ftz, relu, .. }, satfinite } = modifiers;
    let single = to == Type::F32 || from == Type::F32;
    let to_integer = matches!(mode, Some(Mode::Integer(_)));
    let to_number = matches!(mode, Some(Mode::Number(_)));
    let right = match (format(to), format(from)) {
        (None, None) => mode.is_none() && integer(to) && integer(from),
        (Some(_), None) => to_number && integer(from),
        (None, Some(_)) => to_integer && integer(to),
        (Some(_), Some(_)) if to == from => !to_number,
        // f16 and bf16 have numbers that the other has not
        (Some(_), Some(_)) => to_number == (to.bits() <= from.bits()) && !to_integer,
    };
    let away = mode == Some(Mode::Number(Rounding::Away));
    let directed = matches!(mode, Some(Mode::Number(Rounding::Down | Rounding::Up)));
    let small = matches!(to, Type::F16 | Type::Bf16) && from == Type::F32;
    let finite = small && !directed && !ftz && !modifiers.finish.sat;
    if !right || away || satfinite && !finite || ftz && !single {
        return Err(reader.unknown());
    }
    if satfinite {
        reader.needs(70, (8, 1))?;
    }
    if relu {
        let rounding = matches!(mode, Some(Mode::Number(Rounding::Nearest | Rounding::Zero)));
        if !rounding || from != Type::F32 || to.bits() != 16 || modifiers.finish.sat {
            return Err(reader.unknown());
        }
        reader.needs(80, (7, 0))?;
    }
    let brain = to == Type::Bf16 || from == Type::Bf16;
    match brain {
        true if to == Type::Bf16 && from == Type::F32 => reader.needs(80, (7, 0)),
        true if to == Type::F32 && from == Type::Bf16 => reader.needs(80, (7, 1)),
        true => reader.needs(90, (7, 8)),
        false => Ok(()),
    }
}

/// An integer of any width that a conversion can start or end with.
pub(super) trait Value: Lane + Send + Sync + 'static {
    fn wide(self) -> i128;
    fn saturated(value: i128) -> Self;
    /// Saturated; a NaN is 0.
    fn of(value: f64) -> Self;
    fn single(self) -> f32;
    fn double(self) -> f64;
    fn long(self) -> u64;
    fn low(bits: u64) -> Self;
}

macro_rules! values {
    ($($ty:ty)*) => {
        $(impl Value for $ty {
            #[inline(always)]
            fn wide(self) -> i128 { self as i128 }
            #[inline(always)]
            fn saturated(value: i128) -> Self { value.clamp(<$ty>::MIN as i128, <$ty>::MAX as i128) as $ty }
            #[inline(always)]
            fn of(value: f64) -> Self { value as $ty }
            #[inline(always)]
            fn single(self) -> f32 { self as f32 }
            #[inline(always)]
            fn double(self) -> f64 { self as f64 }
            #[inline(always)]
            fn long(self) -> u64 { self as u64 }
            #[inline(always)]
            fn low(bits: u64) -> Self { bits as $ty }
        })*
    };
}

values! { u8 i8 u16 i16 u32 i32 u64 i64 }

/// Calls a generic function for the integer type of a `Type`; None for any other type.
macro_rules! by_value {
    ($ty:expr, $function:ident ($($argument:expr),*)) => {
        match $ty {
            Type::U8 => Some($function::<u8> ($($argument),*)),
            Type::S8 => Some($function::<i8> ($($argument),*)),
            Type::U16 => Some($function::<u16> ($($argument),*)),
            Type::S16 => Some($function::<i16> ($($argument),*)),
            Type::U32 => Some($function::<u32> ($($argument),*)),
            Type::S32 => Some($function::<i32> ($($argument),*)),
            Type::U64 => Some($function::<u64> ($($argument),*)),
            Type::S64 => Some($function::<i64> ($($argument),*)),
            _ => None,
        }
    };
}
pub(super) use by_value;

/// Those that addresses are made with are vectors; the rest goes through the widest integer.
fn integers(into: Slot, to: Type, a: Slot, from: Type, sat: bool) -> Option<Lanes> {
    let same_or_narrower = to.bits() <= from.bits();
    Some(match (to, from, sat) {
        (Type::U64 | Type::S64, Type::U32, false) => unary(into, a, |value: u32| u64::from(value)),
        (Type::U64 | Type::S64, Type::S32, false) => unary(into, a, |value: i32| i64::from(value)),
        (Type::U32 | Type::S32 | Type::U64 | Type::S64, _, false) if same_or_narrower => match (to.bits(), from.bits())
        {
            (64, _) => unary(into, a, |bits: u64| bits),
            (_, 64) => unary(into, a, |bits: u64| bits as u32),
            _ => unary(into, a, |bits: u32| bits),
        },
        (Type::U16, Type::U16 | Type::S16 | Type::U32 | Type::S32, false) => unary(into, a, |bits: u16| bits),
        (Type::S16, Type::U16 | Type::S16 | Type::U32 | Type::S32, false) => unary(into, a, |bits: i16| bits),
        (Type::U32 | Type::S32, Type::U16, false) => unary(into, a, |value: u16| u32::from(value)),
        (Type::U32 | Type::S32, Type::S16, false) => unary(into, a, |value: i16| i32::from(value)),
        _ => {
            let value = by_value!(from, reader_of())?;
            let bits = by_value!(to, bits_of())?;
            slow(into, [a], move |[bits_of_a]| bits(value(bits_of_a), sat))
        }
    })
}

fn reader_of<S: Value>() -> fn(u64) -> i128 {
    |bits| S::low(bits).wide()
}

/// As a register gets it: extended by the sign.
fn bits_of<T: Value>() -> fn(i128, bool) -> u64 {
    |value, sat| if sat { T::saturated(value).long() } else { T::low(value as u64).long() }
}
