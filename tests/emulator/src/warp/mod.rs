//! Instructions in which the lanes of a warp exchange registers: shuffles, votes, matches, reductions, matrix products. Not here: those that
//! touch memory (`ldmatrix`, `stmatrix`) or wait (`bar`, `barrier`).

mod matching;
mod matrix;
mod reduction;
mod shuffle;
mod vote;

use crate::decode::Fault;
use crate::decode::names::{Names, written};
use crate::exec::Lanes;
use crate::exec::registers::Slot;
use crate::parse::syntax::{Instruction, Operand};

/// What a lane gets that hardware promises nothing to, as from a lane that does not take part.
const UNDEFINED: u32 = 0xDEAD_BEEF;

/// What lanes do together. It runs when all that take part have come to it.
pub struct Collective {
    /// On the registers of the lanes that take part.
    pub run: Lanes,
    /// Who takes part.
    pub members: Members,
}

/// Which lanes take part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Members {
    /// Those of a mask in a register, which each of them names alike (`.sync` with a member mask).
    Named(Slot),
    /// All of the warp (`.sync.aligned` without a mask, as `mma`).
    All,
    /// Those that happen to be there (`activemask`).
    Present,
}

/// Decodes an instruction; None when it is of another family.
///
/// # Errors
/// When its modifiers or operands are none that it can have. The forms without `.sync`, which sm_70 and later do not have, are unknown.
pub fn decode(instruction: &Instruction, names: &mut Names) -> Result<Option<Collective>, Fault> {
    let modifiers: Vec<&str> = instruction.modifiers.iter().map(String::as_str).collect();
    let collective = match instruction.name.as_str() {
        "shfl" => shuffle::decode(instruction, &modifiers, names),
        "vote" => vote::vote(instruction, &modifiers, names),
        "activemask" => vote::activemask(instruction, &modifiers, names),
        "elect" => vote::elect(instruction, &modifiers, names),
        "match" => matching::decode(instruction, &modifiers, names),
        "redux" => reduction::decode(instruction, &modifiers, names),
        "movmatrix" => matrix::transpose(instruction, &modifiers, names),
        "mma" => matrix::decode(instruction, &modifiers, names),
        "wmma" | "wgmma" => Err(Fault::Unsupported(written(instruction))),
        _ => return Ok(None),
    };
    collective.map(Some)
}

/// Just as many operands as an instruction has.
fn operands<const N: usize>(instruction: &Instruction) -> Result<&[Operand; N], Fault> {
    instruction.operands.as_slice().try_into().map_err(|_| Fault::Arguments(written(instruction)))
}

/// `d|p` as both, `d` as itself.
fn result_and_predicate(operand: &Operand) -> (&Operand, Option<&Operand>) {
    match operand {
        Operand::Both(result, predicate) => (result, Some(predicate)),
        other => (other, None),
    }
}
