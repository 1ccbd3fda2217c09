//! `redux.sync`: one value of all lanes that take part.

use crate::decode::Fault;
use crate::decode::names::{Names, written};
use crate::decode::types::Type;
use crate::exec::registers::{LANES, Mask, Registers};
use crate::parse::syntax::Instruction;

use super::{Collective, Members, operands};

pub(super) fn decode(instruction: &Instruction, modifiers: &[&str], names: &mut Names) -> Result<Collective, Fault> {
    let (ty, combine): (Type, fn(u32, u32) -> u32) = match modifiers {
        ["sync", "add", "u32"] => (Type::U32, u32::wrapping_add),
        ["sync", "add", "s32"] => (Type::S32, u32::wrapping_add),
        ["sync", "min", "u32"] => (Type::U32, u32::min),
        ["sync", "max", "u32"] => (Type::U32, u32::max),
        ["sync", "min", "s32"] => (Type::S32, |a, b| a.cast_signed().min(b.cast_signed()).cast_unsigned()),
        ["sync", "max", "s32"] => (Type::S32, |a, b| a.cast_signed().max(b.cast_signed()).cast_unsigned()),
        ["sync", "and", "b32"] => (Type::B32, |a, b| a & b),
        ["sync", "or", "b32"] => (Type::B32, |a, b| a | b),
        ["sync", "xor", "b32"] => (Type::B32, |a, b| a ^ b),
        // Floats, which only later cards than ours can reduce, among them.
        _ => return Err(Fault::Unknown(written(instruction))),
    };
    let [to, from, members] = operands(instruction)?;
    let to = names.destination(instruction, to, ty)?;
    let from = names.source(instruction, from, ty)?;
    let members = names.source(instruction, members, Type::B32)?;
    let run = Box::new(move |registers: &mut Registers, mask: Mask| {
        let values: [u32; LANES] = registers.read(from);
        let taking_part = (0..LANES).filter(|lane| mask >> lane & 1 == 1).map(|lane| values[lane]);
        if let Some(reduced) = taking_part.reduce(combine) {
            registers.write(to, &[reduced; LANES], mask);
        }
    });
    Ok(Collective { run, members: Members::Named(members) })
}
