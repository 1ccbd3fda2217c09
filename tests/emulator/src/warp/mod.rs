//! Instructions in which the lanes of a warp exchange registers: shuffles, votes, matches, reductions, matrix products.

use crate::decode::Fault;
use crate::decode::names::Names;
use crate::exec::Lanes;
use crate::exec::registers::Slot;
use crate::parse::syntax::Instruction;

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
/// When its modifiers or operands are none that it can have.
pub fn decode(_instruction: &Instruction, _names: &mut Names) -> Result<Option<Collective>, Fault> {
    Ok(None)
}
