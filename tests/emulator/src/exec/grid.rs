//! What all blocks of a launch share, and what a team of warps, a block, has in common.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::barrier::Barriers;
use super::clocks::Clocks;
use super::mbarrier::Mbarriers;
use super::op::Code;
use super::order::{Order, Released};
use super::print::Printed;
use super::shared::Shared;
use crate::count::Count;
use crate::memory::{Allocation, Memory, Worker};
use crate::sample::Sampled;

/// A launch as its blocks see it.
pub struct Grid<'a> {
    /// The kernel.
    pub code: &'a Code,
    /// Its allocations, by address.
    pub allocations: Vec<Arc<Allocation>>,
    /// For messages about addresses that are none.
    pub memory: &'a Memory,
    /// The launch's number.
    pub launch: u32,
    /// Blocks in x, y, z.
    pub grid: [u32; 3],
    /// Threads of a block.
    pub block: [u32; 3],
    /// The block of parameters.
    pub parameters: &'a [u8],
    /// Static and dynamic bytes.
    pub shared: [usize; 2],
    /// Whether anything is checked that hardware does not.
    pub checks: bool,
    /// Whether what it stores is made wrong, as planted.
    pub wrong: bool,
    /// Whether values matter: not where blocks are sampled, whose inputs nobody computed.
    pub computes: bool,
    /// From where approximate instructions take their errors, in every launch alike; 0 for none.
    pub noise: u64,
    /// Of all that is drawn by lot; 0 for the natural order.
    pub seed: u64,
    /// Multiprocessors of the device, and warps of one.
    pub multiprocessors: u32,
    /// What blocks have released.
    pub released: Released,
    /// Whether the kernel has what orders blocks: fences, acquiring or releasing atomics.
    pub orders: bool,
    /// Memory in which a cooperative launch counts the blocks that wait for the others; 0 of other launches.
    pub workspace: u64,
    /// What the kernel has printed.
    pub printed: Printed,
    /// A block has failed: the others need not go on.
    pub stop: AtomicBool,
}

impl Grid<'_> {
    /// The allocation with these bytes.
    #[inline(always)]
    pub fn find(&self, address: u64, size: u64) -> Option<&Allocation> {
        let after = self.allocations.partition_point(|allocation| allocation.address <= address);
        let found = self.allocations[..after].last()?;
        found.contains(address, size).then_some(&**found)
    }

    /// Threads of a block.
    pub fn threads(&self) -> usize {
        self.block.iter().map(|size| *size as usize).product()
    }
}

/// What the warps of a block share.
pub struct Team {
    /// The block's number, x fastest.
    pub number: u64,
    /// As shadows of memory name it.
    pub worker: Worker,
    /// Shared memory.
    pub shared: Shared,
    /// What is ordered.
    pub clocks: Clocks,
    /// Barriers.
    pub barriers: Barriers,
    /// Those in shared memory.
    pub mbarriers: Mbarriers,
    /// Grows with every arrival at an mbarrier, and whatever else may end a wait: what reads memory that others change, threads that end.
    pub progress: u64,
    /// Order among blocks.
    pub order: Order,
    /// What each instruction did.
    pub counts: Vec<Count>,
    /// Sectors of global memory as [`Outcome::unique`](crate::launch::Outcome::unique) has them; where all blocks run.
    pub unique: [u64; 3],
    /// Where only some do.
    pub sampled: Option<Box<Sampled>>,
    /// The first value that is not finite: the instruction and the thread.
    pub infinite: Option<(usize, usize)>,
    /// Threads that have not ended.
    pub live: u32,
}

impl Team {
    /// Notes a read of global memory.
    #[inline(always)]
    pub fn reads(&mut self, allocation: &Allocation, launch: u32, offset: usize) {
        match &mut self.sampled {
            Some(sampled) => sampled.touch(0, allocation.address + offset as u64),
            None if allocation.shadow.first_read(launch, offset) => {
                self.unique[if allocation.shadow.is_written(launch, offset) { 2 } else { 0 }] += 1;
            }
            None => {}
        }
    }

    /// Notes a write of global memory.
    #[inline(always)]
    pub fn writes(&mut self, allocation: &Allocation, launch: u32, offset: usize) {
        match &mut self.sampled {
            Some(sampled) => sampled.touch(1, allocation.address + offset as u64),
            None => self.unique[1] += u64::from(allocation.shadow.first_written(launch, offset)),
        }
    }
}

/// Why a block cannot go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// `CUresult`
    pub code: u32,
    /// The instruction.
    pub op: usize,
    /// The thread, by its number in the block, where it is one thread's.
    pub thread: Option<usize>,
    /// What is wrong.
    pub text: String,
}

/// `CUresult` of an access to memory that is none.
pub const ILLEGAL_ADDRESS: u32 = 700;
/// `CUresult` of waiting for what never comes; hardware hangs.
pub const TIMEOUT: u32 = 702;
/// `CUresult` of a misaligned access.
pub const MISALIGNED: u32 = 716;
/// `CUresult` of what the emulator finds and hardware would pass over.
pub const LAUNCH_FAILED: u32 = 719;
