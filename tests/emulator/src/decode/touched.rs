//! Which registers an instruction reads and writes, and whether it only moves what it reads: so that bytes which nothing has written can be
//! followed where they are copied, and found where they are used. Not here: following them (`exec::unwritten`).

use super::names::{Names, Symbol};
use super::types::{Kind, Type};
use crate::exec::op::{Moves, Touched};
use crate::exec::registers::Slot;
use crate::parse::syntax::{Instruction, Number, Operand};

/// Instructions whose first operand is no destination, though it is no address.
const WITHOUT_DESTINATION: &[&str] =
    &["bra", "brx", "call", "ret", "exit", "trap", "bar", "barrier", "setmaxnreg", "nanosleep"];

/// What stands for a number, which no register is.
const NUMBER: Slot = Slot::Predicate(u32::MAX);

/// All bytes of a register.
const ALL: u8 = 0xFF;

/// The registers of an instruction that was decoded.
pub(super) fn touched(instruction: &Instruction, names: &Names) -> Touched {
    let modifiers = &instruction.modifiers;
    let types: Vec<Type> = modifiers.iter().filter_map(|word| Type::named(word)).collect();
    let has_destination = !WITHOUT_DESTINATION.contains(&instruction.name.as_str())
        && !matches!(instruction.operands.first(), Some(Operand::Address { .. }) | None);
    let (written, read) = instruction.operands.split_at(usize::from(has_destination));
    let mut found = Touched { reads: Vec::new(), writes: slots(written, names), moves: Moves::Uses };
    let width = |ty: Type| ((1u16 << ty.bytes().min(8)) - 1) as u8;
    match (instruction.name.as_str(), types.as_slice()) {
        // of a store only the address is used here; the value is the store's to move
        ("st", _) => found.reads = all(slots(&read[..1], names), ALL),
        ("mov", [ty, ..]) if *ty != Type::Pred => {
            found.reads = all(slots(read, names), ALL);
            found.moves = Moves::Copies;
        }
        ("selp", [ty, ..]) if *ty != Type::Pred => {
            found.reads = all(slots(&read[..read.len().min(2)], names), ALL);
            if let ([_, _], Some(predicate)) = (found.reads.as_slice(), read.get(2)) {
                found.moves = slots(std::slice::from_ref(predicate), names)
                    .first()
                    .map_or(Moves::Uses, |slot| Moves::Selects(*slot));
            }
        }
        ("cvt", [to, from]) => {
            let integer = |ty: &Type| matches!(ty.kind(), Kind::Unsigned | Kind::Signed);
            found.reads = all(slots(read, names), width(*from));
            if integer(to) && integer(from) && to.bits() <= from.bits() && !modifiers.iter().any(|word| word == "sat") {
                found.moves = Moves::Copies;
            }
        }
        ("and", [Type::B32 | Type::B64]) => {
            // what a number masks is not used
            let mask = read.iter().find_map(|operand| match operand {
                Operand::Number(Number::Int(value)) => Some(value.to_le_bytes()),
                Operand::Number(Number::Unsigned(value)) => Some(value.to_le_bytes()),
                _ => None,
            });
            let used = mask.map_or(ALL, |bytes| (0..8).fold(0, |used, at| used | u8::from(bytes[at] != 0) << at));
            found.reads = all(slots(read, names), used);
        }
        _ => found.reads = all(slots(read, names), ALL),
    }
    found
}

fn all(slots: Vec<Slot>, bytes: u8) -> Vec<(Slot, u8)> {
    slots.into_iter().map(|slot| (slot, bytes)).collect()
}

/// The registers that operands name, bases of addresses among them.
fn slots(operands: &[Operand], names: &Names) -> Vec<Slot> {
    let mut found = Vec::new();
    for operand in operands {
        match operand {
            Operand::Vector(inner) | Operand::List(inner) | Operand::Places(inner) => found.extend(slots(inner, names)),
            Operand::Both(first, second) => {
                found.extend(slots(std::slice::from_ref(&**first), names));
                found.extend(slots(std::slice::from_ref(&**second), names));
            }
            Operand::Name { name, .. } | Operand::Not(name) | Operand::Address { base: Some(name), .. } => {
                match names.find(name) {
                    Ok(Symbol::Register(slot, _)) => found.push(*slot),
                    Ok(Symbol::Vector(all, _)) => found.extend(all),
                    _ => {}
                }
            }
            // in its place among the elements of a vector, or of a selection
            Operand::Number(_) => found.push(NUMBER),
            Operand::Part(name, part) => {
                let index = ["xr", "yg", "zb", "wa"].iter().position(|letters| letters.contains(*part));
                if let (Ok(Symbol::Vector(all, _)), Some(index)) = (names.find(name), index) {
                    found.extend(all.get(index));
                }
            }
            _ => {}
        }
    }
    found
}
