//! From the tree of a module to what executes: every name becomes a slot or an address, every instruction an operation. What does not exist,
//! does not fit its operands or is not for the target is an error here, as ptxas would give it; nothing is skipped.

mod atomic;
mod body;
mod control;
pub mod features;
mod instruction;
pub(crate) mod kernel;
pub(crate) mod layout;
mod mbarrier;
mod memory;
pub mod names;
mod refused;
mod touched;
pub mod types;

/// An instruction cannot be decoded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// There is no such instruction, or not with these modifiers.
    #[error("unknown instruction '{0}'")]
    Unknown(String),
    /// It exists, but the emulator does not have it.
    #[error("'{0}' is not emulated")]
    Unsupported(String),
    /// The module's `.target` is too low.
    #[error("'{what}' requires .target sm_{needs} or higher")]
    Target {
        /// The instruction or modifier.
        what: String,
        /// The least target.
        needs: u32,
    },
    /// The module's `.version` is too low.
    #[error("'{what}' requires PTX ISA .version {}.{} or later", needs.0, needs.1)]
    Version {
        /// The instruction or modifier.
        what: String,
        /// The least version.
        needs: (u32, u32),
    },
    /// Operands are too many, too few or of another type.
    #[error("arguments mismatch for instruction '{0}'")]
    Arguments(String),
    /// A name that nothing declares.
    #[error("unknown symbol '{0}'")]
    Symbol(String),
    /// A name that is declared twice in a scope.
    #[error("duplicate definition of '{0}'")]
    Duplicate(String),
}

/// A fault and the line where it is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}; error: {fault}")]
pub struct Error {
    /// In the PTX text, from 1.
    pub line: usize,
    /// What is wrong.
    pub fault: Fault,
}
