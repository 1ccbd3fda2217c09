//! The matrix product: a packed weight, the kernel that multiplies by it, and what becomes of the sums.
//!
//! Not here: how a product is cut into tasks for threads (`operations/linear`, `fused`).

pub(crate) mod epilogue;
pub(crate) mod factors;
pub(crate) mod int8;
pub(crate) mod multiply;
pub(crate) mod numbers;
pub(crate) mod packed;
pub(crate) mod rows;
mod tiled;
