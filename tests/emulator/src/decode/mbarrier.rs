//! `mbarrier` and `cp.async.mbarrier.arrive`. Not here: what they do (`exec::mbarrier`).

use super::Fault;
use super::memory::{address, operand};
use super::names::{Names, written};
use super::types::Type;
use crate::exec::op::{Action, Awaited, Mbarrier, MbarrierUse};
use crate::exec::registers::LANES;
use crate::parse::syntax::{Instruction, Operand, Space};

/// What stands behind the name.
#[derive(Default)]
struct Words<'a> {
    shared: bool,
    relaxed: bool,
    rest: Vec<&'a str>,
}

fn words(instruction: &Instruction) -> Words<'_> {
    let mut words = Words::default();
    for modifier in &instruction.modifiers {
        match modifier.as_str() {
            "shared" | "shared::cta" | "shared::cluster" => words.shared = true,
            "relaxed" => words.relaxed = true,
            // a cluster is one block here
            "release" | "acquire" | "cta" | "cluster" => {}
            other => words.rest.push(other),
        }
    }
    words
}

/// Decodes an instruction; None when it is of another family.
pub(super) fn decode(instruction: &Instruction, names: &mut Names) -> Result<Option<Action>, Fault> {
    let Words { shared, relaxed, rest } = words(instruction);
    let space = shared.then_some(Space::Shared);
    let unknown = || Fault::Unknown(written(instruction));
    let (what, at) = match (instruction.name.as_str(), rest.as_slice()) {
        ("cp", ["async", "mbarrier", "arrive", "b64"]) => (MbarrierUse::Copies { counted: false }, 0),
        ("cp", ["async", "mbarrier", "arrive", "noinc", "b64"]) => (MbarrierUse::Copies { counted: true }, 0),
        ("mbarrier", ["init", "b64"]) => (MbarrierUse::Init(source(instruction, names, 1)?), 0),
        ("mbarrier", ["inval", "b64"]) => (MbarrierUse::Inval, 0),
        ("mbarrier", ["expect_tx", "b64"]) => (MbarrierUse::Expect(source(instruction, names, 1)?), 0),
        ("mbarrier", ["complete_tx", "b64"]) => (MbarrierUse::Complete(source(instruction, names, 1)?), 0),
        ("mbarrier", ["pending_count", "b64"]) => return pending_count(instruction, names).map(Some),
        ("mbarrier", [name @ ("arrive" | "arrive_drop"), more @ .., "b64"]) => {
            (arrive(instruction, names, *name == "arrive_drop", relaxed, more)?, 1)
        }
        ("mbarrier", ["test_wait" | "try_wait", more @ .., "b64"]) => {
            let into = names.destination(instruction, operand(instruction, 0)?, Type::Pred)?;
            let awaited = match more {
                [] => Awaited::Token(names.source(instruction, operand(instruction, 2)?, Type::B64)?),
                ["parity"] => Awaited::Parity(source(instruction, names, 2)?),
                _ => return Err(unknown()),
            };
            // how long it may wait at most: here no time passes
            if rest[0] == "try_wait" && instruction.operands.len() == 4 {
                source(instruction, names, 3)?;
            }
            (MbarrierUse::Wait { into, awaited, acquire: !relaxed }, 1)
        }
        ("mbarrier", _) => return Err(unknown()),
        _ => return Ok(None),
    };
    let operands = match what {
        MbarrierUse::Copies { .. } | MbarrierUse::Inval => 1..=1,
        MbarrierUse::Init(_) | MbarrierUse::Expect(_) | MbarrierUse::Complete(_) => 2..=2,
        MbarrierUse::Arrive { .. } => 2..=3,
        MbarrierUse::Wait { .. } => 3..=3 + usize::from(rest[0] == "try_wait"),
    };
    if !operands.contains(&instruction.operands.len()) {
        return Err(Fault::Arguments(written(instruction)));
    }
    let address = address(instruction, names, operand(instruction, at)?, space)?;
    Ok(Some(Action::Mbarrier(Mbarrier { address, what })))
}

fn source(instruction: &Instruction, names: &mut Names, index: usize) -> Result<crate::exec::registers::Slot, Fault> {
    names.source(instruction, operand(instruction, index)?, Type::U32)
}

/// `mbarrier.arrive.b64 state, [a], count;` and its forms.
fn arrive(
    instruction: &Instruction,
    names: &mut Names,
    drop: bool,
    relaxed: bool,
    more: &[&str],
) -> Result<MbarrierUse, Fault> {
    let into = match operand(instruction, 0)? {
        Operand::Nothing => None,
        // of another block's there is no token
        _ if instruction.modifiers.iter().any(|word| word == "shared::cluster") => {
            return Err(Fault::Arguments(written(instruction)));
        }
        into => Some(names.destination(instruction, into, Type::B64)?),
    };
    let given = instruction.operands.get(2).map(|_| source(instruction, names, 2)).transpose()?;
    let (count, expect, no_complete) = match (more, given) {
        ([], count) => (count, None, false),
        (["noComplete"], Some(count)) => (Some(count), None, true),
        (["expect_tx"], Some(bytes)) => (None, Some(bytes), false),
        (["noComplete" | "expect_tx"], None) => return Err(Fault::Arguments(written(instruction))),
        _ => return Err(Fault::Unknown(written(instruction))),
    };
    Ok(MbarrierUse::Arrive { into, count, expect, drop, no_complete, release: !relaxed })
}

/// The arrivals that were missing when a token was given.
fn pending_count(instruction: &Instruction, names: &mut Names) -> Result<Action, Fault> {
    let into = names.destination(instruction, operand(instruction, 0)?, Type::U32)?;
    let token = names.source(instruction, operand(instruction, 1)?, Type::B64)?;
    Ok(Action::Lanes(Box::new(move |registers, mask| {
        let tokens: [u64; LANES] = registers.read(token);
        registers.write(into, &tokens.map(crate::exec::mbarrier::pending_of), mask);
    })))
}
