//! `match.sync`: which of the lanes that take part hold the same value.

use crate::decode::Fault;
use crate::decode::names::{Names, written};
use crate::decode::types::Type;
use crate::exec::registers::{LANES, Mask, Registers};
use crate::parse::syntax::Instruction;

use super::{Collective, Members, operands, result_and_predicate};

pub(super) fn decode(instruction: &Instruction, modifiers: &[&str], names: &mut Names) -> Result<Collective, Fault> {
    let (all, ty) = match modifiers {
        ["any", "sync", "b32"] => (false, Type::B32),
        ["any", "sync", "b64"] => (false, Type::B64),
        ["all", "sync", "b32"] => (true, Type::B32),
        ["all", "sync", "b64"] => (true, Type::B64),
        _ => return Err(Fault::Unknown(written(instruction))),
    };
    let [to, from, members] = operands(instruction)?;
    let (to, agree) = result_and_predicate(to);
    if !all && agree.is_some() {
        return Err(Fault::Arguments(written(instruction)));
    }
    let to = names.destination(instruction, to, Type::B32)?;
    let agree = agree.map(|agree| names.destination(instruction, agree, Type::Pred)).transpose()?;
    let from = names.source(instruction, from, ty)?;
    let members = names.source(instruction, members, Type::B32)?;
    let run = Box::new(move |registers: &mut Registers, mask: Mask| {
        let values: [u64; LANES] = registers.read(from);
        if all {
            let same = alike(&values, mask.trailing_zeros() as usize % LANES) & mask == mask;
            registers.write(to, &[if same { mask } else { 0 }; LANES], mask);
            if let Some(agree) = agree {
                registers.write_predicate(agree, if same { Mask::MAX } else { 0 }, mask);
            }
        } else {
            let same: [u32; LANES] = std::array::from_fn(|lane| alike(&values, lane) & mask);
            registers.write(to, &same, mask);
        }
    });
    Ok(Collective { run, members: Members::Named(members) })
}

/// The lanes that hold what this one holds.
fn alike(values: &[u64; LANES], lane: usize) -> Mask {
    (0..LANES).fold(0, |same, other| same | u32::from(values[other] == values[lane]) << other)
}
