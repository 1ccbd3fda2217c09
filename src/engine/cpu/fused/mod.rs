//! Several operations in one pass over strips of rows, so that what lies between them stays in the cache.
//!
//! Not here: which operations are fused (`plan/fuse`).

pub(crate) mod block;
pub(crate) mod maps;
pub(crate) mod projection;
pub(crate) mod source;
