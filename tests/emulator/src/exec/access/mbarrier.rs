//! Where mbarriers lie, and whether a thread may use them there.

use super::{Accessor, Space};
use crate::count::Access;
use crate::exec::grid::{Fault, ILLEGAL_ADDRESS, LAUNCH_FAILED, Team};
use crate::exec::local::lanes;
use crate::exec::mbarrier::Misuse;
use crate::exec::op::Address;
use crate::exec::registers::{LANES, Mask};

/// Bytes of an mbarrier.
const SIZE: usize = 8;

/// How a thread uses one.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::exec) enum Claim {
    Begin,
    Use,
    End,
}

impl Accessor<'_, '_> {
    /// The offsets of the mbarriers that lanes name.
    pub(in crate::exec) fn mbarriers(&mut self, address: &Address, mask: Mask) -> Result<[u32; LANES], Fault> {
        let mut addresses = self.addresses(address);
        for (space, mask) in self.spaces(address, mask, &mut addresses) {
            if mask != 0 && space != Space::Shared {
                let lane = mask.trailing_zeros() as usize;
                let text = format!("an mbarrier at {:#x}, which is not in shared memory", addresses[lane]);
                return Err(self.fault(lane, ILLEGAL_ADDRESS, text));
            }
        }
        self.aligned(&addresses, mask, SIZE)?;
        self.shared_offsets(&addresses, mask, SIZE, Access::Atomic)
    }

    /// Whether lanes may use them so.
    pub(in crate::exec) fn claim(&mut self, offsets: &[u32; LANES], mask: Mask, claim: Claim) -> Result<(), Fault> {
        for lane in lanes(mask) {
            let (thread, offset) = (self.thread(lane), offsets[lane] as usize);
            let Team { shared, clocks, .. } = &mut *self.team;
            let noted = match claim {
                Claim::Begin => shared.claim(thread, offset, SIZE, clocks),
                Claim::Use => shared.use_claimed(thread, offset, SIZE, clocks),
                Claim::End => shared.end_claim(thread, offset, SIZE, clocks),
            };
            noted.map_err(|why| self.conflict(lane, "mbarrier", offsets[lane], SIZE, why))?;
        }
        Ok(())
    }

    pub(in crate::exec) fn misuse(&self, lane: usize, offset: u32, why: &Misuse) -> Fault {
        self.fault(lane, LAUNCH_FAILED, format!("mbarrier at {offset:#x} of shared memory: {why}"))
    }
}
