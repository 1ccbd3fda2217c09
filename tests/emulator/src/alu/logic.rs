//! Bits without a place: `and` to `lop3`, on words and on predicates, and shifts. Not here: fields of bits (`field`).

use super::map::{binary, ternary, unary};
use super::reader::Reader;
use crate::decode::Fault;
use crate::decode::types::Type;
use crate::exec::Lanes;
use crate::exec::registers::{Mask, Registers, Slot};

/// `.and`, `.or`, `.xor`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gate {
    And,
    Or,
    Xor,
}

pub(super) const GATES: &[(&str, Gate)] = &[("and", Gate::And), ("or", Gate::Or), ("xor", Gate::Xor)];

impl Gate {
    pub(super) fn of(self, a: Mask, b: Mask) -> Mask {
        match self {
            Self::And => a & b,
            Self::Or => a | b,
            Self::Xor => a ^ b,
        }
    }
}

/// A predicate that may be negated.
pub(super) fn condition(registers: &Registers, (slot, negated): (Slot, bool)) -> Mask {
    let bits = registers.predicate(slot);
    if negated { !bits } else { bits }
}

/// `and`, `or`, `xor`, `not`, `cnot`
pub(super) fn bitwise(reader: &mut Reader) -> Result<Lanes, Fault> {
    let ty = reader.ty()?;
    let name = reader.name();
    if !matches!(ty, Type::Pred | Type::B16 | Type::B32 | Type::B64) || name == "cnot" && ty == Type::Pred {
        return Err(reader.unknown());
    }
    let gate = GATES.iter().find(|(gate, _)| *gate == name).map(|(_, gate)| *gate);
    reader.end(if gate.is_some() { 3 } else { 2 })?;
    let into = reader.into(ty)?;
    if ty == Type::Pred {
        return predicates(reader, into, gate);
    }
    let long = ty.bits() == 64;
    Ok(match gate {
        None => {
            let [a] = reader.sources(ty)?;
            match (name, ty) {
                ("not", _) if long => unary(into, a, |a: u64| !a),
                ("not", _) => unary(into, a, |a: u32| !a),
                (_, Type::B64) => unary(into, a, |a: u64| u64::from(a == 0)),
                (_, Type::B32) => unary(into, a, |a: u32| u32::from(a == 0)),
                _ => unary(into, a, |a: u16| u16::from(a == 0)),
            }
        }
        Some(gate) => {
            let from = reader.sources(ty)?;
            match (gate, long) {
                (Gate::And, true) => binary(into, from, |a: u64, b: u64| a & b),
                (Gate::Or, true) => binary(into, from, |a: u64, b: u64| a | b),
                (Gate::Xor, true) => binary(into, from, |a: u64, b: u64| a ^ b),
                (Gate::And, false) => binary(into, from, |a: u32, b: u32| a & b),
                (Gate::Or, false) => binary(into, from, |a: u32, b: u32| a | b),
                (Gate::Xor, false) => binary(into, from, |a: u32, b: u32| a ^ b),
            }
        }
    })
}

fn predicates(reader: &mut Reader, into: Slot, gate: Option<Gate>) -> Result<Lanes, Fault> {
    let a = reader.predicate(1)?;
    let Some(gate) = gate else {
        return Ok(Box::new(move |registers, mask| {
            let bits = !condition(registers, a);
            registers.write_predicate(into, bits, mask);
        }));
    };
    let b = reader.predicate(2)?;
    Ok(Box::new(move |registers, mask| {
        let bits = gate.of(condition(registers, a), condition(registers, b));
        registers.write_predicate(into, bits, mask);
    }))
}

/// `lop3.b32 d, a, b, c, table`, and `lop3.and.b32 d|p, a, b, c, table, q`: p is `d != 0`, combined with q.
pub(super) fn lop3(reader: &mut Reader) -> Result<Lanes, Fault> {
    let gate = reader.choose(&GATES[..2]);
    if reader.ty()? != Type::B32 {
        return Err(reader.unknown());
    }
    reader.end(if gate.is_some() { 6 } else { 5 })?;
    let from = reader.sources(Type::B32)?;
    let table = reader.immediate(4)?;
    if table > 0xFF {
        return Err(reader.arguments());
    }
    // each entry of the table as a whole word; a, b and c then choose among them
    let entries: [u32; 8] = std::array::from_fn(|entry| if table >> entry & 1 == 1 { !0 } else { 0 });
    let choose = |by: u32, high: u32, low: u32| by & high | !by & low;
    let [e0, e1, e2, e3, e4, e5, e6, e7] = entries;
    let f = move |a: u32, b: u32, c: u32| {
        let without_a = choose(b, choose(c, e3, e2), choose(c, e1, e0));
        let with_a = choose(b, choose(c, e7, e6), choose(c, e5, e4));
        choose(a, with_a, without_a)
    };
    let Some(gate) = gate else {
        let into = reader.into(Type::B32)?;
        return Ok(ternary(into, from, f));
    };
    let (value, predicate) = reader.pair(Type::B32)?;
    let condition_of = reader.predicate(5)?;
    let compute = ternary(value, from, f);
    Ok(Box::new(move |registers, mask| {
        // before `compute`, which must not see it change, the other operand of the gate is read
        let other = condition(registers, condition_of);
        compute(registers, mask);
        let bits = gate.of(registers.predicate(value), other);
        registers.write_predicate(predicate, bits, mask);
    }))
}

/// `shl` and `shr`: all of the amount counts, and what is shifted past the end is gone.
pub(super) fn shift(reader: &mut Reader) -> Result<Lanes, Fault> {
    let ty = reader.ty()?;
    reader.end(3)?;
    let (into, a) = (reader.into(ty)?, reader.source(1, ty)?);
    let from = [a, reader.source(2, Type::U32)?];
    let left = reader.name() == "shl";
    Ok(match ty {
        Type::B16 if left => binary(into, from, |a: u16, by: u32| if by < 16 { a << by } else { 0 }),
        Type::B32 if left => binary(into, from, |a: u32, by: u32| if by < 32 { a << by } else { 0 }),
        Type::B64 if left => binary(into, from, |a: u64, by: u32| if by < 64 { a << by } else { 0 }),
        _ if left => return Err(reader.unknown()),
        Type::B16 | Type::U16 => binary(into, from, |a: u16, by: u32| if by < 16 { a >> by } else { 0 }),
        Type::B32 | Type::U32 => binary(into, from, |a: u32, by: u32| if by < 32 { a >> by } else { 0 }),
        Type::B64 | Type::U64 => binary(into, from, |a: u64, by: u32| if by < 64 { a >> by } else { 0 }),
        Type::S16 => binary(into, from, |a: i16, by: u32| a >> by.min(15)),
        Type::S32 => binary(into, from, |a: i32, by: u32| a >> by.min(31)),
        Type::S64 => binary(into, from, |a: i64, by: u32| a >> by.min(63)),
        _ => return Err(reader.unknown()),
    })
}

/// `shf`: 32 of the 64 bits of `b:a`.
pub(super) fn funnel(reader: &mut Reader) -> Result<Lanes, Fault> {
    let left = reader.one_of(&[("l", true), ("r", false)])?;
    let clamp = reader.one_of(&[("clamp", true), ("wrap", false)])?;
    if reader.ty()? != Type::B32 {
        return Err(reader.unknown());
    }
    reader.end(4)?;
    let (into, [a, b]) = (reader.into(Type::B32)?, reader.sources(Type::B32)?);
    let from = [a, b, reader.source(3, Type::U32)?];
    let amount = move |by: u32| if clamp { by.min(32) } else { by & 31 };
    let joined = |low: u32, high: u32| u64::from(high) << 32 | u64::from(low);
    Ok(if left {
        ternary(into, from, move |a, b, by| ((joined(a, b) << amount(by)) >> 32) as u32)
    } else {
        ternary(into, from, move |a, b, by| (joined(a, b) >> amount(by)) as u32)
    })
}
