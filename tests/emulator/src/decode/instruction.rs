//! One instruction: which family has it, branches and calls, and what is watched of it.

use super::body::Builder;
use super::names::{Symbol, written};
use super::types::{Kind, Type};
use super::{Fault, atomic, control, features, mbarrier, memory, refused, touched};
use crate::exec::op::{Action, CALL_PARAMETERS, Call, Op, Place, Print};
use crate::exec::registers::{LANES, Slot};
use crate::parse::syntax::{Instruction, Operand, Space};
use crate::{alu, count, warp};

/// `CUresult` of a failed assertion in a kernel.
const ASSERT: u32 = 710;

impl Builder<'_> {
    pub(super) fn instruction(&mut self, instruction: &Instruction) -> Result<(), Fault> {
        features::check(instruction, self.names.target, self.names.version)?;
        let guard = match &instruction.guard {
            None => None,
            Some((name, negated)) => {
                let name = Operand::Name { name: name.clone(), offset: 0 };
                Some((self.names.source(instruction, &name, Type::Pred)?, *negated))
            }
        };
        let action = self.action(instruction).map_err(|fault| refused::named(fault, instruction))?;
        let float = self.float(instruction);
        let class = count::class(instruction);
        let touched = Box::new(touched::touched(instruction, &self.names));
        let (line, text) = (instruction.line, written(instruction));
        self.ops.push(Op { line, text, guard, action, class, float, touched });
        Ok(())
    }

    fn action(&mut self, instruction: &Instruction) -> Result<Action, Fault> {
        match instruction.name.as_str() {
            "bra" => return Ok(Action::Branch(self.label(instruction, 0)?)),
            "brx" => return self.table(instruction),
            "call" => return self.call(instruction),
            "ret" => return Ok(Action::Return),
            "mov" if matches!(instruction.modifiers.first().map(String::as_str), Some("v2" | "v4")) => {
                return self.move_vector(instruction);
            }
            _ => {}
        }
        let names = &mut self.names;
        if let Some(action) = control::decode(instruction, names)? {
            return Ok(action);
        }
        if let Some(action) = mbarrier::decode(instruction, names)? {
            return Ok(action);
        }
        if let Some(action) = memory::decode(instruction, names)? {
            return Ok(action);
        }
        if let Some(action) = atomic::decode(instruction, names)? {
            return Ok(action);
        }
        if let Some(lanes) = alu::decode(instruction, names)? {
            return Ok(Action::Lanes(lanes));
        }
        if let Some(collective) = warp::decode(instruction, names)? {
            return Ok(Action::Collective(collective));
        }
        Err(Fault::Unknown(written(instruction)))
    }

    /// `mov.v4.b32 a, b;`: all elements are read before one is written.
    fn move_vector(&mut self, instruction: &Instruction) -> Result<Action, Fault> {
        let arguments = || Fault::Arguments(written(instruction));
        let ty = instruction.modifiers.get(1).and_then(|word| Type::named(word)).ok_or_else(arguments)?;
        let [into, from] = instruction.operands.as_slice() else { return Err(arguments()) };
        let [into, from] = [self.names.elements(into)?, self.names.elements(from)?];
        if into.len() != from.len() {
            return Err(arguments());
        }
        let into = into.iter().map(|element| self.names.destination(instruction, element, ty));
        let into = into.collect::<Result<Vec<_>, _>>()?;
        let from = from.iter().map(|element| self.names.source(instruction, element, ty));
        let from = from.collect::<Result<Vec<_>, _>>()?;
        Ok(Action::Lanes(Box::new(move |registers, mask| {
            let values: Vec<[u64; LANES]> = from.iter().map(|slot| registers.read(*slot)).collect();
            into.iter().zip(&values).for_each(|(slot, values)| registers.write(*slot, values, mask));
        })))
    }

    fn find_label(&self, name: &str) -> Result<usize, Fault> {
        let found = self.labels.iter().rev().find_map(|labels| labels.get(name));
        found.copied().ok_or_else(|| Fault::Symbol(name.to_owned()))
    }

    fn label(&self, instruction: &Instruction, operand: usize) -> Result<usize, Fault> {
        match instruction.operands.get(operand) {
            Some(Operand::Name { name, offset: 0 }) => self.find_label(name),
            _ => Err(Fault::Arguments(written(instruction))),
        }
    }

    fn table(&mut self, instruction: &Instruction) -> Result<Action, Fault> {
        let index = self.names.source(instruction, memory::operand(instruction, 0)?, Type::U32)?;
        let Some(Operand::Name { name, .. }) = instruction.operands.get(1) else {
            return Err(Fault::Arguments(written(instruction)));
        };
        let targets = self.prototypes.iter().rev().find_map(|targets| targets.get(name));
        let targets = targets.cloned().ok_or_else(|| Fault::Symbol(name.clone()))?;
        let targets = targets.iter().map(|target| self.find_label(target)).collect::<Result<_, _>>()?;
        Ok(Action::Table(index, targets))
    }

    /// `call (results), function, (arguments), prototype;` with lists left out where they are empty.
    fn call(&mut self, instruction: &Instruction) -> Result<Action, Fault> {
        let arguments = || Fault::Arguments(written(instruction));
        let at = instruction.operands.iter().position(|operand| matches!(operand, Operand::Name { .. }));
        let at = at.ok_or_else(arguments)?;
        let Operand::Name { name, .. } = &instruction.operands[at] else { return Err(arguments()) };
        let list = |operand: Option<&Operand>| match operand {
            Some(Operand::List(all)) => all.clone(),
            _ => Vec::new(),
        };
        let (given_results, given) = (
            if at > 0 { list(instruction.operands.first()) } else { Vec::new() },
            list(instruction.operands.get(at + 1)),
        );
        let function = match self.names.find(name)?.clone() {
            Symbol::Function(number) => {
                let called = &self.module.functions[number];
                if called.body.is_none() {
                    return self.call_of_system(instruction, name, &given, &given_results);
                }
                if called.parameters.len() != given.len() || called.results.len() != given_results.len() {
                    return Err(arguments());
                }
                self.names.constant(Type::B64, number as u64)
            }
            Symbol::Register(slot @ Slot::Long(_), _) => slot,
            _ => return Err(arguments()),
        };
        let mut places = |operands: &[Operand]| {
            operands.iter().map(|operand| self.place(instruction, operand)).collect::<Result<Vec<_>, Fault>>()
        };
        let (arguments, results) = (places(&given)?, places(&given_results)?);
        Ok(Action::Call(Call { function, arguments, results }))
    }

    /// A call of a function that no module has, but the driver.
    fn call_of_system(
        &mut self,
        instruction: &Instruction,
        name: &str,
        given: &[Operand],
        results: &[Operand],
    ) -> Result<Action, Fault> {
        match (name, given) {
            ("__assertfail", _) => Ok(Action::Trap(ASSERT)),
            ("vprintf", [format, arguments]) => Ok(Action::Print(Print {
                format: self.place(instruction, format)?,
                arguments: self.place(instruction, arguments)?,
                result: results.first().map(|result| self.place(instruction, result)).transpose()?,
            })),
            ("vprintf", _) => Err(Fault::Arguments(written(instruction))),
            ("malloc" | "free", _) => Err(Fault::Unsupported(format!("{name} in a kernel"))),
            _ if name.starts_with("cuda") => Err(Fault::Unsupported(format!("{name} in a kernel"))),
            _ => Err(Fault::Symbol(name.to_owned())),
        }
    }

    fn place(&mut self, instruction: &Instruction, operand: &Operand) -> Result<Place, Fault> {
        match operand {
            Operand::Name { name, offset: 0 } => match self.names.find(name)?.clone() {
                Symbol::Variable { space: Space::Param, address, size } if memory::of_a_call(address) => {
                    Ok(Place::Local((address - CALL_PARAMETERS) as usize, size as usize))
                }
                Symbol::Register(slot, _) => Ok(Place::Register(slot)),
                _ => Err(Fault::Arguments(written(instruction))),
            },
            Operand::Number(_) => Ok(Place::Register(self.names.source(instruction, operand, Type::B32)?)),
            _ => Err(Fault::Arguments(written(instruction))),
        }
    }

    /// The fractions that an instruction computes, to be watched for the first that is not finite.
    fn float(&mut self, instruction: &Instruction) -> Option<(Vec<Slot>, Type)> {
        const COMPUTE: &[&str] =
            &["add", "sub", "mul", "fma", "mad", "div", "rcp", "sqrt", "rsqrt", "ex2", "lg2", "cvt", "tanh", "mma"];
        if !COMPUTE.contains(&instruction.name.as_str()) {
            return None;
        }
        let ty = instruction.modifiers.iter().find_map(|word| Type::named(word))?;
        let packed = matches!(ty, Type::F16x2 | Type::Bf16 | Type::Bf16x2);
        if ty.kind() != Kind::Float && !packed {
            return None;
        }
        // a fragment of halves is packed in words
        let ty = if instruction.name == "mma" && ty == Type::F16 { Type::F16x2 } else { ty };
        let elements = self.names.elements(instruction.operands.first()?).ok()?;
        let slots = elements.iter().filter_map(|element| match element {
            Operand::Name { name, .. } => match self.names.find(name) {
                Ok(Symbol::Register(slot, _)) => Some(*slot),
                _ => None,
            },
            _ => None,
        });
        Some((slots.collect(), ty))
    }
}
