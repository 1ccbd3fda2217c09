//! A warp's registers, and what executes on them.

mod access;
mod barrier;
pub mod block;
mod call;
pub mod clocks;
mod copies;
mod format;
pub mod grid;
mod local;
pub mod mbarrier;
pub mod op;
pub mod order;
mod phases;
pub mod print;
pub mod registers;
pub mod shared;
mod special;
mod together;
mod unwritten;
pub mod warp;

use registers::{Mask, Registers};

/// What an instruction does to the registers of the lanes of a mask. It may compute other lanes too, but writes only those.
pub type Lanes = Box<dyn Fn(&mut Registers, Mask) + Send + Sync>;
