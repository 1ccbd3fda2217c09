//! Instructions that order threads: barriers, fences, and how a kernel ends. Not here: branches and calls, which need labels (`kernel`).

use super::Fault;
use super::memory::operand;
use super::names::{Names, written};
use super::types::Type;
use crate::exec::op::{Action, Barrier, Clock, Reduction, Vote};
use crate::parse::syntax::{Instruction, Operand};

/// `CUresult` of a kernel that ended itself.
const LAUNCH_FAILED: u32 = 719;

/// Decodes an instruction; None when it is of another family.
pub(super) fn decode(instruction: &Instruction, names: &mut Names) -> Result<Option<Action>, Fault> {
    Ok(Some(match instruction.name.as_str() {
        "exit" => Action::Exit,
        "trap" | "brkpt" => Action::Trap(LAUNCH_FAILED),
        "bar" | "barrier" => barrier(instruction, names)?,
        "membar" => match instruction.modifiers.as_slice() {
            [level] if level == "cta" => Action::Fence(false),
            [level] if level == "gl" || level == "sys" => Action::Fence(true),
            _ => return Err(Fault::Unknown(written(instruction))),
        },
        "fence" => {
            let modifiers = &instruction.modifiers;
            // nothing here goes by another path than that of loads and stores, and an mbarrier is initialised for who is ordered behind it
            if modifiers.iter().any(|word| word == "proxy" || word == "mbarrier_init") {
                return Ok(Some(Action::Nothing));
            }
            Action::Fence(modifiers.iter().any(|word| matches!(word.as_str(), "gpu" | "sys" | "cluster")))
        }
        // a dependent grid may begin when the one before it has ended
        "nanosleep" | "pmevent" | "griddepcontrol" => Action::Nothing,
        "mov" => return clock(instruction, names),
        _ => return Ok(None),
    }))
}

/// `mov` of a register that counts time.
fn clock(instruction: &Instruction, names: &mut Names) -> Result<Option<Action>, Fault> {
    let Some(Operand::Name { name, .. }) = instruction.operands.get(1) else { return Ok(None) };
    let (ty, clock) = match name.as_str() {
        "%clock" => (Type::U32, Clock::Cycles),
        "%clock64" => (Type::U64, Clock::Cycles),
        "%globaltimer" => (Type::U64, Clock::Nanoseconds),
        "%globaltimer_lo" => (Type::U32, Clock::Nanoseconds),
        _ => return Ok(None),
    };
    Ok(Some(Action::Clock(names.destination(instruction, operand(instruction, 0)?, ty)?, clock)))
}

fn barrier(instruction: &Instruction, names: &mut Names) -> Result<Action, Fault> {
    let unknown = || Fault::Unknown(written(instruction));
    let words: Vec<&str> = instruction.modifiers.iter().map(String::as_str).filter(|word| *word != "cta").collect();
    if words == ["warp", "sync"] {
        return Ok(Action::WarpBarrier(names.source(instruction, operand(instruction, 0)?, Type::B32)?));
    }
    if words.first() == Some(&"cluster") {
        return Err(Fault::Unsupported(written(instruction)));
    }
    let aligned = instruction.name == "bar" || words.contains(&"aligned");
    let words: Vec<&str> = words.into_iter().filter(|word| *word != "aligned").collect();
    let operands = &instruction.operands;
    let arguments = || Fault::Arguments(written(instruction));
    let mut number = |index: usize| names.source(instruction, operands.get(index).ok_or_else(arguments)?, Type::U32);
    match words.as_slice() {
        ["sync"] if (1..=2).contains(&operands.len()) => {
            let id = number(0)?;
            let count = if operands.len() == 2 { Some(number(1)?) } else { None };
            Ok(Action::Barrier(Barrier { id, count, arrive: false, aligned, reduction: None }))
        }
        ["arrive"] if operands.len() == 2 => {
            let (id, count) = (number(0)?, Some(number(1)?));
            Ok(Action::Barrier(Barrier { id, count, arrive: true, aligned, reduction: None }))
        }
        ["red", operation, ty] if (3..=4).contains(&operands.len()) => {
            let (kind, into) = match (*operation, *ty) {
                ("popc", "u32") => (Vote::Count, Type::U32),
                ("and", "pred") => (Vote::All, Type::Pred),
                ("or", "pred") => (Vote::Any, Type::Pred),
                _ => return Err(unknown()),
            };
            let id = number(1)?;
            let count = if operands.len() == 4 { Some(number(2)?) } else { None };
            let into = names.destination(instruction, operand(instruction, 0)?, into)?;
            let predicate = names.predicate(instruction, operand(instruction, operands.len() - 1)?)?;
            let reduction = Some(Reduction { kind, into, predicate });
            Ok(Action::Barrier(Barrier { id, count, arrive: false, aligned, reduction }))
        }
        ["sync" | "arrive" | "red", ..] => Err(arguments()),
        _ => Err(unknown()),
    }
}
