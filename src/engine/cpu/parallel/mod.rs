//! Threads, and how an output is cut into tiles that they write at the same time.
//!
//! Not here: what is written into a tile.

pub(crate) mod caches;
pub(crate) mod clock;
pub(crate) mod context;
pub(crate) mod cores;
pub(crate) mod strips;
pub(crate) mod threads;
pub(crate) mod tile;
