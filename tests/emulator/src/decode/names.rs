//! What names mean while a kernel is decoded: registers are slots, constants are registers that every warp starts with, variables are addresses.
//! Not here: where variables are put (`layout`).

use std::collections::HashMap;

use super::Fault;
use super::types::{Kind, Type};
use crate::exec::registers::{Sizes, Slot};
use crate::parse::syntax::{Instruction, Number, Operand, Space};

/// What a name stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Symbol {
    /// A register.
    Register(Slot, Type),
    /// The parts of a vector register, `.x` first.
    Vector(Vec<Slot>, Type),
    /// A variable: of the shared, local and parameter space an offset, of the global and constant space an address.
    Variable {
        /// Where it lives.
        space: Space,
        /// Where it begins.
        address: u64,
        /// Its bytes.
        size: u64,
    },
    /// A function, by its number in the module.
    Function(usize),
}

/// A register of the hardware that PTX shows, `%tid.x` and the like; those whose value is fixed while a warp runs.
pub type Special = String;

/// The names of one kernel and the functions that it calls.
pub struct Names {
    scopes: Vec<HashMap<String, Symbol>>,
    sizes: Sizes,
    constants: HashMap<Slot, u64>,
    interned: HashMap<(bool, u64), Slot>,
    specials: HashMap<Special, Slot>,
    carry: Slot,
    /// The architecture, as 80, that the module is for.
    pub target: u32,
    /// The architecture of the card that runs it, which is at least the target; what `mma` adds up depends on it.
    pub sm: u32,
    /// The module's version of PTX.
    pub version: (u32, u32),
}

/// Special registers that hold one value while a warp runs, with their width.
const SPECIALS: &[(&str, u32)] = &[
    ("%tid.x", 32),
    ("%tid.y", 32),
    ("%tid.z", 32),
    ("%ntid.x", 32),
    ("%ntid.y", 32),
    ("%ntid.z", 32),
    ("%ctaid.x", 32),
    ("%ctaid.y", 32),
    ("%ctaid.z", 32),
    ("%nctaid.x", 32),
    ("%nctaid.y", 32),
    ("%nctaid.z", 32),
    ("%laneid", 32),
    ("%warpid", 32),
    ("%nwarpid", 32),
    ("%smid", 32),
    ("%nsmid", 32),
    ("%gridid", 64),
    ("%lanemask_eq", 32),
    ("%lanemask_le", 32),
    ("%lanemask_lt", 32),
    ("%lanemask_ge", 32),
    ("%lanemask_gt", 32),
    ("%dynamic_smem_size", 32),
    ("%total_smem_size", 32),
    ("%aggr_smem_size", 32),
    ("%envreg1", 32),
    ("%envreg2", 32),
    ("%clusterid.x", 32),
    ("%clusterid.y", 32),
    ("%clusterid.z", 32),
    ("%nclusterid.x", 32),
    ("%nclusterid.y", 32),
    ("%nclusterid.z", 32),
    ("%cluster_ctaid.x", 32),
    ("%cluster_ctaid.y", 32),
    ("%cluster_ctaid.z", 32),
    ("%cluster_nctaid.x", 32),
    ("%cluster_nctaid.y", 32),
    ("%cluster_nctaid.z", 32),
    ("%cluster_ctarank", 32),
    ("%cluster_nctarank", 32),
    ("%is_explicit_cluster", 1),
];

impl Names {
    /// None yet, for a module of this target and version, on a card of this target.
    pub fn new(target: u32, version: (u32, u32)) -> Self {
        let mut names = Self {
            scopes: vec![HashMap::new()],
            sizes: Sizes::default(),
            constants: HashMap::new(),
            interned: HashMap::new(),
            specials: HashMap::new(),
            carry: Slot::Predicate(0),
            target,
            sm: target,
            version,
        };
        names.carry = names.scratch(Type::Pred);
        names
    }

    /// Opens a scope.
    pub fn enter(&mut self) {
        self.scopes.push(HashMap::new());
    }

    /// Closes the last scope.
    pub fn leave(&mut self) {
        self.scopes.pop();
    }

    /// Declares a name in the last scope.
    ///
    /// # Errors
    /// When the scope has it already.
    pub fn declare(&mut self, name: &str, symbol: Symbol) -> Result<(), Fault> {
        let duplicate = self.scopes.last_mut().is_some_and(|scope| scope.insert(name.to_owned(), symbol).is_some());
        if duplicate { Err(Fault::Duplicate(name.to_owned())) } else { Ok(()) }
    }

    /// What a name stands for, in the nearest scope that has it.
    ///
    /// # Errors
    /// When none has.
    pub fn find(&self, name: &str) -> Result<&Symbol, Fault> {
        let found = self.scopes.iter().rev().find_map(|scope| scope.get(name));
        found.ok_or_else(|| Fault::Symbol(name.to_owned()))
    }

    /// A register that no name has.
    pub fn scratch(&mut self, ty: Type) -> Slot {
        let (count, slot): (&mut u32, fn(u32) -> Slot) = match ty.bits() {
            1 => (&mut self.sizes.predicates, Slot::Predicate),
            64 => (&mut self.sizes.longs, Slot::Long),
            _ => (&mut self.sizes.words, Slot::Word),
        };
        *count += 1;
        slot(*count - 1)
    }

    /// The carry flag of `add.cc` and its like, a predicate.
    pub fn carry(&self) -> Slot {
        self.carry
    }

    /// How many registers there are by now.
    pub fn sizes(&self) -> Sizes {
        self.sizes
    }

    /// Registers that every warp starts with, and their bits in every lane; predicates are all ones for true.
    pub fn constants(&self) -> impl Iterator<Item = (Slot, u64)> + '_ {
        self.constants.iter().map(|(slot, bits)| (*slot, *bits))
    }

    /// Special registers that are used.
    pub fn specials(&self) -> impl Iterator<Item = (&str, Slot)> + '_ {
        self.specials.iter().map(|(name, slot)| (name.as_str(), *slot))
    }

    /// The bits of a constant register; None for one that the kernel computes.
    pub fn constant_of(&self, slot: Slot) -> Option<u64> {
        self.constants.get(&slot).copied()
    }

    /// A register that holds these bits in every lane.
    pub fn constant(&mut self, ty: Type, bits: u64) -> Slot {
        if ty == Type::Pred {
            let slot = self.scratch(ty);
            self.constants.insert(slot, bits);
            return slot;
        }
        let long = ty.bits() == 64;
        if let Some(slot) = self.interned.get(&(long, bits)) {
            return *slot;
        }
        let slot = self.scratch(ty);
        self.interned.insert((long, bits), slot);
        self.constants.insert(slot, bits);
        slot
    }

    /// A source operand of an instruction of this type.
    ///
    /// # Errors
    /// When its name is unknown, or its register of another size or kind.
    pub fn source(&mut self, instruction: &Instruction, operand: &Operand, ty: Type) -> Result<Slot, Fault> {
        let (slot, register) = self.any_source(instruction, operand, ty)?;
        if ty.fits(register) { Ok(slot) } else { Err(Fault::Arguments(written(instruction))) }
    }

    /// A source operand whose register may be wider than the type, as `cvt` and `st` allow. Reading it as the type takes the low bits.
    ///
    /// # Errors
    /// When its name is unknown, or its register too narrow.
    pub fn wide_source(&mut self, instruction: &Instruction, operand: &Operand, ty: Type) -> Result<Slot, Fault> {
        let (slot, register) = self.any_source(instruction, operand, ty)?;
        if register.bits() >= ty.bits() { Ok(slot) } else { Err(Fault::Arguments(written(instruction))) }
    }

    /// The destination of an instruction of this type; `_` is a register that nobody reads.
    ///
    /// # Errors
    /// When its name is unknown, or its register of another size or kind.
    pub fn destination(&mut self, instruction: &Instruction, operand: &Operand, ty: Type) -> Result<Slot, Fault> {
        let (slot, register) = self.any_destination(instruction, operand, ty)?;
        if ty.fits(register) { Ok(slot) } else { Err(Fault::Arguments(written(instruction))) }
    }

    /// A destination whose register may be wider than the type, as `cvt` and `ld` allow, and what it is declared as.
    ///
    /// # Errors
    /// When its name is unknown, or its register too narrow.
    pub fn wide_destination(
        &mut self,
        instruction: &Instruction,
        operand: &Operand,
        ty: Type,
    ) -> Result<(Slot, Type), Fault> {
        let (slot, register) = self.any_destination(instruction, operand, ty)?;
        if register.bits() >= ty.bits() { Ok((slot, register)) } else { Err(Fault::Arguments(written(instruction))) }
    }

    /// A predicate as a source, and whether it is negated (`!p`).
    ///
    /// # Errors
    /// When it is no predicate.
    pub fn predicate(&mut self, instruction: &Instruction, operand: &Operand) -> Result<(Slot, bool), Fault> {
        let (slot, negated) = match operand {
            Operand::Not(name) => {
                let name = Operand::Name { name: name.clone(), offset: 0 };
                (self.source(instruction, &name, Type::Pred)?, true)
            }
            other => (self.source(instruction, other, Type::Pred)?, false),
        };
        Ok((slot, negated))
    }

    /// The elements of a vector operand, `{a, b}` or a vector register; of another operand itself alone.
    ///
    /// # Errors
    /// When a name is unknown.
    pub fn elements(&self, operand: &Operand) -> Result<Vec<Operand>, Fault> {
        Ok(match operand {
            Operand::Vector(elements) => elements.clone(),
            Operand::Name { name, offset: 0 } => match self.find(name) {
                Ok(Symbol::Vector(slots, _)) => {
                    "xyzw".chars().take(slots.len()).map(|part| Operand::Part(name.clone(), part)).collect()
                }
                _ => vec![operand.clone()],
            },
            other => vec![other.clone()],
        })
    }

    fn any_destination(
        &mut self,
        instruction: &Instruction,
        operand: &Operand,
        ty: Type,
    ) -> Result<(Slot, Type), Fault> {
        if *operand == Operand::Nothing {
            return Ok((self.scratch(ty), ty));
        }
        let found = self.register(operand)?;
        found.ok_or_else(|| Fault::Arguments(written(instruction)))
    }

    fn any_source(&mut self, instruction: &Instruction, operand: &Operand, ty: Type) -> Result<(Slot, Type), Fault> {
        let mismatch = || Fault::Arguments(written(instruction));
        if let Some(found) = self.register(operand)? {
            return Ok(found);
        }
        if let Some(found) = self.special(operand) {
            return Ok(found);
        }
        match operand {
            Operand::Number(number) => {
                let bits = bits_of(*number, ty).ok_or_else(mismatch)?;
                Ok((self.constant(ty, bits), ty))
            }
            Operand::Name { name, offset } => {
                let address = match self.find(name)? {
                    Symbol::Variable { address, .. } => address.wrapping_add_signed(*offset),
                    Symbol::Function(number) => *number as u64,
                    _ => return Err(mismatch()),
                };
                if ty.bits() < 32 {
                    return Err(mismatch());
                }
                Ok((self.constant(ty, if ty.bits() == 32 { address & 0xFFFF_FFFF } else { address }), ty))
            }
            _ => Err(mismatch()),
        }
    }

    /// The register that an operand names, if it names one.
    fn register(&self, operand: &Operand) -> Result<Option<(Slot, Type)>, Fault> {
        match operand {
            Operand::Name { name, offset: 0 } => match self.find(name) {
                Ok(Symbol::Register(slot, ty)) => Ok(Some((*slot, *ty))),
                Ok(_) => Ok(None),
                Err(_) if name.starts_with('%') && is_special(name) => Ok(None),
                Err(fault) => Err(fault),
            },
            Operand::Part(name, part) => match self.find(name) {
                Ok(Symbol::Vector(slots, ty)) => {
                    let index = ["xr", "yg", "zb", "wa"].iter().position(|letters| letters.contains(*part));
                    Ok(index.and_then(|index| slots.get(index)).map(|slot| (*slot, *ty)))
                }
                Ok(_) => Ok(None),
                Err(_) if is_special(&format!("{name}.{part}")) => Ok(None),
                Err(fault) => Err(fault),
            },
            _ => Ok(None),
        }
    }

    /// The slot of a special register.
    fn special(&mut self, operand: &Operand) -> Option<(Slot, Type)> {
        let name = match operand {
            Operand::Name { name, offset: 0 } => name.clone(),
            Operand::Part(name, part) => format!("{name}.{part}"),
            _ => return None,
        };
        let (_, bits) = SPECIALS.iter().find(|(special, _)| *special == name)?;
        let ty = match bits {
            1 => Type::Pred,
            64 => Type::B64,
            _ => Type::B32,
        };
        if let Some(slot) = self.specials.get(&name) {
            return Some((*slot, ty));
        }
        let slot = self.scratch(ty);
        self.specials.insert(name, slot);
        Some((slot, ty))
    }
}

fn is_special(name: &str) -> bool {
    SPECIALS.iter().any(|(special, _)| *special == name)
}

/// An instruction's name with its modifiers.
pub fn written(instruction: &Instruction) -> String {
    let mut all = instruction.name.clone();
    for modifier in &instruction.modifiers {
        all.push('.');
        all.push_str(modifier);
    }
    all
}

/// A number as an operand of a type; None where it cannot be one.
fn bits_of(number: Number, ty: Type) -> Option<u64> {
    let integer = |bits: u64| match ty.bits() {
        64 => bits,
        1 => u64::from(bits != 0),
        width => bits & ((1 << width) - 1),
    };
    Some(match (number, ty) {
        (Number::Single(bits), Type::F32 | Type::B32) => u64::from(bits),
        (Number::Single(bits), Type::F64) => f64::from(f32::from_bits(bits)).to_bits(),
        (Number::Double(bits), Type::F64 | Type::B64) => bits,
        (Number::Double(bits), Type::F32) => u64::from((f64::from_bits(bits) as f32).to_bits()),
        (Number::Single(_) | Number::Double(_), _) => return None,
        (_, ty) if ty.kind() == Kind::Float && ty != Type::F16 => return None,
        (Number::Int(value), _) => integer(value.cast_unsigned()),
        (Number::Unsigned(value), _) => integer(value),
    })
}
