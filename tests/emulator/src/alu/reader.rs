//! How the instructions of this family are read: modifiers one after the other in the order of the ISA, then operands by their type. What is
//! left over, or missing, is a fault; nothing is skipped. Not here: what any instruction means.

use super::soft::Rounding;
use crate::decode::Fault;
use crate::decode::names::{Names, written};
use crate::decode::types::Type;
use crate::exec::registers::Slot;
use crate::parse::syntax::{Instruction, Operand};

/// Modifiers of the ISA that the emulator does not have: those of targets above `sm_90`, and of formats without a user here.
const UNSUPPORTED: &[&str] = &[
    "b128", "f32x2", "oob", "rs", "scaled", "u2", "s2", "u4", "s4", "e2m1x2", "e2m3x2", "e3m2x2", "ue8m0x2", "s2f6x2",
    "e2m1x4", "e2m3x4", "e3m2x4", "e4m3x4", "e5m2x4", "u8x4", "s8x4",
];

/// An instruction while it is decoded.
pub(super) struct Reader<'a> {
    pub(super) instruction: &'a Instruction,
    pub(super) names: &'a mut Names,
    /// The first modifier that nobody has taken.
    next: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(instruction: &'a Instruction, names: &'a mut Names) -> Self {
        Self { instruction, names, next: 0 }
    }

    pub(super) fn name(&self) -> &'a str {
        &self.instruction.name
    }

    /// The next modifier, if there is one.
    pub(super) fn peek(&self) -> Option<&'a str> {
        self.instruction.modifiers.get(self.next).map(String::as_str)
    }

    /// Takes this modifier if it comes next.
    pub(super) fn take(&mut self, modifier: &str) -> bool {
        let there = self.peek() == Some(modifier);
        self.next += usize::from(there);
        there
    }

    /// Takes the next modifier if it is one of these, for what it means.
    pub(super) fn choose<T: Copy>(&mut self, choices: &[(&str, T)]) -> Option<T> {
        let (_, meaning) = choices.iter().find(|(name, _)| self.peek() == Some(*name))?;
        self.next += 1;
        Some(*meaning)
    }

    /// Takes the next modifier, which must be one of these.
    pub(super) fn one_of<T: Copy>(&mut self, choices: &[(&str, T)]) -> Result<T, Fault> {
        self.choose(choices).ok_or_else(|| self.unknown())
    }

    /// `.rn` and the like.
    pub(super) fn rounding(&mut self) -> Option<Rounding> {
        self.choose(&[("rn", Rounding::Nearest), ("rz", Rounding::Zero), ("rm", Rounding::Down), ("rp", Rounding::Up)])
    }

    /// Takes the next modifier, which must be a type.
    pub(super) fn ty(&mut self) -> Result<Type, Fault> {
        let ty = self.peek().and_then(Type::named).ok_or_else(|| self.unknown())?;
        self.next += 1;
        Ok(ty)
    }

    /// The type that stands last, without taking it.
    pub(super) fn last_type(&self) -> Option<Type> {
        self.instruction.modifiers.last().and_then(|modifier| Type::named(modifier))
    }

    /// No modifiers are left, and operands are so many.
    pub(super) fn end(&self, operands: usize) -> Result<(), Fault> {
        if self.peek().is_some() {
            Err(self.unknown())
        } else if self.instruction.operands.len() != operands {
            Err(self.arguments())
        } else {
            Ok(())
        }
    }

    /// The operand of this number, the destination being 0.
    pub(super) fn operand(&self, index: usize) -> Result<&'a Operand, Fault> {
        self.instruction.operands.get(index).ok_or_else(|| self.arguments())
    }

    /// Where the result goes.
    pub(super) fn into(&mut self, ty: Type) -> Result<Slot, Fault> {
        let operand = self.operand(0)?;
        self.names.destination(self.instruction, operand, ty)
    }

    /// The source of this number.
    pub(super) fn source(&mut self, index: usize, ty: Type) -> Result<Slot, Fault> {
        let operand = self.operand(index)?;
        self.names.source(self.instruction, operand, ty)
    }

    /// The sources from 1 on, all of one type.
    pub(super) fn sources<const N: usize>(&mut self, ty: Type) -> Result<[Slot; N], Fault> {
        let mut slots = [Slot::Word(0); N];
        for (index, slot) in slots.iter_mut().enumerate() {
            *slot = self.source(index + 1, ty)?;
        }
        Ok(slots)
    }

    /// The predicate at this place, and whether it is negated.
    pub(super) fn predicate(&mut self, index: usize) -> Result<(Slot, bool), Fault> {
        let operand = self.operand(index)?;
        self.names.predicate(self.instruction, operand)
    }

    /// The destinations `d|p`, of which p is a predicate.
    pub(super) fn pair(&mut self, ty: Type) -> Result<(Slot, Slot), Fault> {
        let Operand::Both(first, second) = self.operand(0)? else { return Err(self.arguments()) };
        let first = self.names.destination(self.instruction, first, ty)?;
        Ok((first, self.names.destination(self.instruction, second, Type::Pred)?))
    }

    /// A number that must be known now.
    pub(super) fn immediate(&mut self, index: usize) -> Result<u64, Fault> {
        let slot = self.source(index, Type::B32)?;
        self.names.constant_of(slot).ok_or_else(|| self.arguments())
    }

    /// The module must be for this target and in this version at least.
    pub(super) fn needs(&self, target: u32, version: (u32, u32)) -> Result<(), Fault> {
        let what = || written(self.instruction);
        if self.names.version < version {
            return Err(Fault::Version { what: what(), needs: version });
        }
        if self.names.target < target {
            return Err(Fault::Target { what: what(), needs: target });
        }
        Ok(())
    }

    /// There is no such instruction, or it is one that the emulator does not have.
    pub(super) fn unknown(&self) -> Fault {
        let modifiers = &self.instruction.modifiers;
        let known = modifiers.iter().any(|modifier| UNSUPPORTED.contains(&modifier.as_str()));
        if known { self.unsupported() } else { Fault::Unknown(written(self.instruction)) }
    }

    pub(super) fn unsupported(&self) -> Fault {
        Fault::Unsupported(written(self.instruction))
    }

    pub(super) fn arguments(&self) -> Fault {
        Fault::Arguments(written(self.instruction))
    }
}
