//! Instructions that compute in every lane by itself: integers, fractions, conversions, comparisons, bits.

use crate::decode::Fault;
use crate::decode::names::Names;
use crate::exec::Lanes;
use crate::parse::syntax::Instruction;

/// Decodes an instruction; None when it is of another family.
///
/// # Errors
/// When its modifiers or operands are none that it can have.
pub fn decode(_instruction: &Instruction, _names: &mut Names) -> Result<Option<Lanes>, Fault> {
    Ok(None)
}
