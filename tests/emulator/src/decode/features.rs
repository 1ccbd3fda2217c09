//! What each instruction needs of the module's `.target` and `.version`.

use super::Fault;
use crate::parse::syntax::Instruction;

/// Whether a module of this target and version may hold the instruction.
///
/// # Errors
/// When either is too low.
pub fn check(_instruction: &Instruction, _target: u32, _version: (u32, u32)) -> Result<(), Fault> {
    Ok(())
}
