//! Runs straight-line PTX of collectives and lane-wise instructions on one warp, without memory or branches.
#![allow(unreachable_pub, reason = "a part of a test")]

pub mod isa;

use cuda_emulator::decode::Fault;
use cuda_emulator::decode::names::{Names, Symbol};
use cuda_emulator::decode::types::Type;
use cuda_emulator::exec::Lanes;
use cuda_emulator::exec::registers::{LANES, Mask, Registers, Slot};
use cuda_emulator::parse::parse;
use cuda_emulator::parse::syntax::{Instruction, Statement};
use cuda_emulator::warp::Members;
use cuda_emulator::{alu, warp};

use super::recordings::Case;

/// Instructions on the registers of a warp.
pub struct Program {
    names: Names,
    steps: Vec<Step>,
}

struct Step {
    guard: Option<(Slot, bool)>,
    run: Lanes,
    members: Option<Members>,
}

impl Program {
    /// A case's code with the registers of its frame, which it would load from memory and store there.
    pub fn of(case: &Case, sm: u32) -> Result<Self, Fault> {
        let kept = case
            .ptx
            .lines()
            .zip(case.empty.lines())
            .filter(|(line, empty)| line != empty || line.trim_start().starts_with(['.', '{', '}']));
        let text: Vec<_> = kept.map(|(line, _)| line).collect();
        Self::decode(&text.join("\n"), case.target, case.version, sm)
    }

    /// Of the first kernel of a module, whose body declares registers and computes.
    pub fn decode(text: &str, target: u32, version: (u32, u32), sm: u32) -> Result<Self, Fault> {
        let module = parse(text).unwrap_or_else(|error| panic!("{error}\n{text}"));
        let mut names = Names::new(target, version);
        names.sm = sm;
        let mut steps = Vec::new();
        for statement in module.functions[0].body.as_ref().unwrap() {
            match statement {
                Statement::Variable(variable) => {
                    let ty = Type::named(&variable.ty).unwrap();
                    let numbered = |number| format!("{}{number}", variable.name);
                    let all =
                        variable.count.map_or(vec![variable.name.clone()], |count| (0..count).map(numbered).collect());
                    for name in all {
                        let slot = names.scratch(ty);
                        names.declare(&name, Symbol::Register(slot, ty))?;
                    }
                }
                Statement::Instruction(instruction) => steps.push(Step::decode(instruction, &mut names)?),
                other => panic!("{other:?}"),
            }
        }
        Ok(Self { names, steps })
    }

    /// All warps of inputs `%a`, `%b`, …; for each thread `%r0`, `%r1`, ….
    pub fn run_all(&self, inputs: &[Vec<u64>], results: usize) -> Vec<u64> {
        let slot = |name: &str| match self.names.find(name).unwrap() {
            Symbol::Register(slot, _) => *slot,
            other => panic!("{other:?}"),
        };
        let inputs: Vec<_> =
            inputs.iter().zip('a'..).map(|(column, letter)| (slot(&format!("%{letter}")), column)).collect();
        let outputs: Vec<_> = (0..results).map(|number| slot(&format!("%r{number}"))).collect();
        let threads = inputs[0].1.len();
        assert_eq!(threads % LANES, 0, "whole warps");
        let mut out = Vec::with_capacity(threads * results);
        let mut registers = self.registers();
        for first in (0..threads).step_by(LANES) {
            for (slot, column) in &inputs {
                let values: [u64; LANES] = column[first..first + LANES].try_into().unwrap();
                registers.write(*slot, &values, Mask::MAX);
            }
            self.run(&mut registers);
            for lane in 0..LANES {
                out.extend(outputs.iter().map(|slot| registers.lane(*slot, lane)));
            }
        }
        out
    }

    fn run(&self, registers: &mut Registers) {
        for step in &self.steps {
            let mask = step
                .guard
                .map_or(Mask::MAX, |(slot, negated)| registers.predicate(slot) ^ if negated { Mask::MAX } else { 0 });
            match step.members {
                // The lanes that are here must be just those that take part.
                Some(Members::Named(slot)) => {
                    let named = (0..LANES).filter(|lane| mask >> lane & 1 == 1).map(|lane| registers.lane(slot, lane));
                    named.for_each(|named| assert_eq!(named, u64::from(mask), "members"));
                }
                Some(Members::All) => assert_eq!(mask, Mask::MAX, "members"),
                Some(Members::Present) | None => {}
            }
            (step.run)(registers, mask);
        }
    }

    fn registers(&self) -> Registers {
        let mut registers = Registers::new(self.names.sizes());
        for (slot, bits) in self.names.constants() {
            registers.write(slot, &[bits; LANES], Mask::MAX);
        }
        for (name, slot) in self.names.specials() {
            let value = |lane: u64| match name {
                "%laneid" | "%tid.x" => lane,
                "%lanemask_eq" => 1 << lane,
                "%lanemask_lt" => (1 << lane) - 1,
                "%lanemask_le" => (2 << lane) - 1,
                "%lanemask_gt" => !((2 << lane) - 1) & 0xFFFF_FFFF,
                "%lanemask_ge" => !((1 << lane) - 1) & 0xFFFF_FFFF,
                other => panic!("{other}"),
            };
            registers.write(slot, &std::array::from_fn::<u64, LANES, _>(|lane| value(lane as u64)), Mask::MAX);
        }
        registers
    }
}

impl Step {
    fn decode(instruction: &Instruction, names: &mut Names) -> Result<Self, Fault> {
        let guard = instruction.guard.as_ref().map(|(name, negated)| match names.find(name) {
            Ok(Symbol::Register(slot, Type::Pred)) => (*slot, *negated),
            other => panic!("{other:?}"),
        });
        Ok(match warp::decode(instruction, names)? {
            Some(collective) => Self { guard, run: collective.run, members: Some(collective.members) },
            None => {
                let run = alu::decode(instruction, names)?;
                Self { guard, run: run.ok_or_else(|| Fault::Unknown(instruction.name.clone()))?, members: None }
            }
        })
    }
}
