//! One file per operation of a network.
//!
//! Not here: operations that are computed together (`fused`).

pub(crate) mod attention;
pub(crate) mod depthwise;
pub(crate) mod grn;
pub(crate) mod linear;
pub(crate) mod norm;
pub(crate) mod pointwise;
pub(crate) mod pool;
