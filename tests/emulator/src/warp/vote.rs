//! `vote.sync`, `activemask` and `elect.sync`: what the lanes that take part say, who they are, and which of them leads.

use crate::decode::Fault;
use crate::decode::names::{Names, written};
use crate::decode::types::Type;
use crate::exec::registers::{LANES, Mask, Registers};
use crate::parse::syntax::Instruction;

use super::{Collective, Members, operands, result_and_predicate};

pub(super) fn vote(instruction: &Instruction, modifiers: &[&str], names: &mut Names) -> Result<Collective, Fault> {
    // Of the lanes that say yes and of all that take part.
    let decide: fn(Mask, Mask) -> bool = match modifiers {
        ["sync", "all", "pred"] => |yes, all| yes == all,
        ["sync", "any", "pred"] => |yes, _| yes != 0,
        ["sync", "uni", "pred"] => |yes, all| yes == all || yes == 0,
        ["sync", "ballot", "b32"] => return ballot(instruction, names),
        _ => return Err(Fault::Unknown(written(instruction))),
    };
    let [to, from, members] = operands(instruction)?;
    let to = names.destination(instruction, to, Type::Pred)?;
    let (from, negated) = names.predicate(instruction, from)?;
    let members = names.source(instruction, members, Type::B32)?;
    let run = Box::new(move |registers: &mut Registers, mask: Mask| {
        let yes = (registers.predicate(from) ^ everywhere(negated)) & mask;
        registers.write_predicate(to, everywhere(decide(yes, mask)), mask);
    });
    Ok(Collective { run, members: Members::Named(members) })
}

fn ballot(instruction: &Instruction, names: &mut Names) -> Result<Collective, Fault> {
    let [to, from, members] = operands(instruction)?;
    let to = names.destination(instruction, to, Type::B32)?;
    let (from, negated) = names.predicate(instruction, from)?;
    let members = names.source(instruction, members, Type::B32)?;
    let run = Box::new(move |registers: &mut Registers, mask: Mask| {
        let yes = (registers.predicate(from) ^ everywhere(negated)) & mask;
        registers.write(to, &[yes; LANES], mask);
    });
    Ok(Collective { run, members: Members::Named(members) })
}

pub(super) fn activemask(
    instruction: &Instruction,
    modifiers: &[&str],
    names: &mut Names,
) -> Result<Collective, Fault> {
    if modifiers != ["b32"] {
        return Err(Fault::Unknown(written(instruction)));
    }
    let [to] = operands(instruction)?;
    let to = names.destination(instruction, to, Type::B32)?;
    let run = Box::new(move |registers: &mut Registers, mask: Mask| registers.write(to, &[mask; LANES], mask));
    Ok(Collective { run, members: Members::Present })
}

/// The ISA lets any lane of the mask lead; a card takes the lowest (recorded).
pub(super) fn elect(instruction: &Instruction, modifiers: &[&str], names: &mut Names) -> Result<Collective, Fault> {
    if modifiers != ["sync"] {
        return Err(Fault::Unknown(written(instruction)));
    }
    let [to, members] = operands(instruction)?;
    let (to, Some(leads)) = result_and_predicate(to) else { return Err(Fault::Arguments(written(instruction))) };
    let to = names.destination(instruction, to, Type::B32)?;
    let leads = names.destination(instruction, leads, Type::Pred)?;
    let members = names.source(instruction, members, Type::B32)?;
    let run = Box::new(move |registers: &mut Registers, mask: Mask| {
        registers.write(to, &[mask.trailing_zeros(); LANES], mask);
        registers.write_predicate(leads, mask & mask.wrapping_neg(), mask);
    });
    Ok(Collective { run, members: Members::Named(members) })
}

/// True or false in all lanes.
fn everywhere(flag: bool) -> Mask {
    if flag { Mask::MAX } else { 0 }
}
