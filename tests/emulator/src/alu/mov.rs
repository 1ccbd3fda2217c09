//! `mov`: registers, constants, addresses, special registers, and vectors to and from one register. Not here: clocks, which no register holds.

use super::logic::condition;
use super::map::unary;
use super::reader::Reader;
use crate::decode::Fault;
use crate::decode::types::Type;
use crate::exec::Lanes;
use crate::exec::registers::{LANES, Slot};
use crate::parse::syntax::Operand;

/// None where the source is a register of the hardware that changes while a warp runs.
pub(super) fn decode(reader: &mut Reader) -> Result<Option<Lanes>, Fault> {
    let ty = reader.ty()?;
    let packed = matches!(ty, Type::F16x2 | Type::Bf16 | Type::Bf16x2 | Type::Tf32 | Type::U16x2 | Type::S16x2);
    if packed || ty.bits() == 8 {
        return Err(reader.unknown());
    }
    if ty == Type::B128 {
        return Err(reader.unsupported());
    }
    reader.end(2)?;
    if is_changing(reader)? {
        return Ok(None);
    }
    let (into, from) = (elements(reader, 0)?, elements(reader, 1)?);
    Ok(Some(match (into.len(), from.len()) {
        (1, 1) if ty == Type::Pred => predicate(reader)?,
        (1, 1) => {
            let (into, [a]) = (reader.into(ty)?, reader.sources(ty)?);
            if ty.bits() == 64 { unary(into, a, |a: u64| a) } else { unary(into, a, |a: u32| a) }
        }
        (1, count) => pack(reader, ty, count, &from)?,
        (count, 1) => unpack(reader, ty, count, &into)?,
        _ => return Err(reader.arguments()),
    }))
}

/// Beginnings of the names of special registers that change while a warp runs, or that a card gives and no launch.
const CHANGING: &[&str] = &["%clock", "%globaltimer", "%pm"];

/// Whether the source is one that no slot holds.
fn is_changing(reader: &Reader) -> Result<bool, Fault> {
    let (Operand::Name { name, .. } | Operand::Part(name, _)) = reader.operand(1)? else { return Ok(false) };
    Ok(CHANGING.iter().any(|begin| name.starts_with(begin)) && reader.names.find(name).is_err())
}

fn elements(reader: &Reader, index: usize) -> Result<Vec<Operand>, Fault> {
    reader.names.elements(reader.operand(index)?)
}

fn predicate(reader: &mut Reader) -> Result<Lanes, Fault> {
    let (into, a) = (reader.into(Type::Pred)?, reader.predicate(1)?);
    if a.1 {
        return Err(reader.arguments());
    }
    Ok(Box::new(move |registers, mask| {
        let bits = condition(registers, a);
        registers.write_predicate(into, bits, mask);
    }))
}

/// The type of one of so many elements.
fn element(reader: &Reader, ty: Type, count: usize) -> Result<Type, Fault> {
    match (ty, count) {
        (Type::B16, 2) | (Type::B32, 4) => Ok(Type::B8),
        (Type::B32, 2) | (Type::B64, 4) => Ok(Type::B16),
        (Type::B64, 2) => Ok(Type::B32),
        _ => Err(reader.arguments()),
    }
}

/// `mov.b32 d, {a, b}`, the first lowest.
fn pack(reader: &mut Reader, ty: Type, count: usize, from: &[Operand]) -> Result<Lanes, Fault> {
    let part = element(reader, ty, count)?;
    let into = reader.into(ty)?;
    let instruction = reader.instruction;
    let slots: Vec<Slot> =
        from.iter().map(|operand| reader.names.source(instruction, operand, part)).collect::<Result<_, _>>()?;
    let width = part.bits();
    let ones = (1_u64 << width) - 1;
    Ok(Box::new(move |registers, mask| {
        let mut values = [0_u64; LANES];
        for (slot, place) in slots.iter().zip(0_u32..) {
            let elements: [u64; LANES] = registers.read(*slot);
            for (value, element) in values.iter_mut().zip(elements) {
                *value |= (element & ones) << (place * width);
            }
        }
        registers.write(into, &values, mask);
    }))
}

/// `mov.b32 {a, b}, c`
fn unpack(reader: &mut Reader, ty: Type, count: usize, into: &[Operand]) -> Result<Lanes, Fault> {
    let part = element(reader, ty, count)?;
    let instruction = reader.instruction;
    let slots: Vec<Slot> =
        into.iter().map(|operand| reader.names.destination(instruction, operand, part)).collect::<Result<_, _>>()?;
    let [from] = reader.sources(ty)?;
    let width = part.bits();
    Ok(Box::new(move |registers, mask| {
        let whole: [u64; LANES] = registers.read(from);
        for (slot, place) in slots.iter().zip(0_u32..) {
            registers.write(*slot, &whole.map(|bits| bits >> (place * width)), mask);
        }
    }))
}
