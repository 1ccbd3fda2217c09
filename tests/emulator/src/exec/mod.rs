//! A warp's registers, and what executes on them.

pub mod registers;

use registers::{Mask, Registers};

/// What an instruction does to the registers of the lanes of a mask. It may compute other lanes too, but writes only those.
pub type Lanes = Box<dyn Fn(&mut Registers, Mask) + Send + Sync>;
