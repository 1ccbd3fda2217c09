//! Vectors: the instruction sets of this machine, memory for vectors, and functions of them.
//!
//! Not here: operations of a network, threads.

pub(crate) mod aligned;
pub(crate) mod amx;
pub(crate) mod bf16;
pub(crate) mod exp;
pub(crate) mod gelu;
pub(crate) mod instructions;
pub(crate) mod int8;
pub(crate) mod vector;
