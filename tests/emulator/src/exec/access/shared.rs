//! Shared memory.

use super::missing::{Found, note};
use super::{Accessor, Manner, Values};
use crate::count::{self, Access};
use crate::exec::grid::{Fault, LAUNCH_FAILED, Team};
use crate::exec::local::lanes;
use crate::exec::registers::{LANES, Mask};
use crate::exec::shared::Conflict;

impl Accessor<'_, '_> {
    /// Counts a shared access, and checks that it lies within.
    pub(super) fn shared_offsets(
        &mut self,
        addresses: &[u64; LANES],
        mask: Mask,
        size: usize,
        access: Access,
    ) -> Result<[u32; LANES], Fault> {
        let end = self.grid.shared[0] + self.grid.shared[1];
        for lane in lanes(mask) {
            if addresses[lane] > end as u64 || end - (addresses[lane] as usize) < size {
                return Err(self.outside(lane, "shared", addresses[lane], size, end));
            }
        }
        let offsets = addresses.map(|address| address as u32);
        let wavefronts = count::wavefronts(&offsets, mask, size, access);
        let count = &mut self.team.counts[self.op];
        count.wavefronts += u64::from(wavefronts.actual);
        count.ideal += u64::from(wavefronts.ideal);
        Ok(offsets)
    }

    pub(super) fn conflict(&self, lane: usize, what: &str, offset: u32, size: usize, why: Conflict) -> Fault {
        let kind = match why {
            Conflict::Unwritten => "unwritten",
            Conflict::Pending => "too early",
            Conflict::Claimed | Conflict::Unclaimed => "mbarrier",
            Conflict::AfterWrite(_) | Conflict::AfterRead(_) => "race",
        };
        let text = format!("{kind}: {what} of {size} bytes of shared memory at {offset:#x}: {why}");
        self.fault(lane, LAUNCH_FAILED, text)
    }

    pub(super) fn load_shared(
        &mut self,
        addresses: &[u64; LANES],
        mask: Mask,
        size: usize,
        manner: Manner,
        values: &mut Values,
        missing: &mut Option<Box<Found>>,
    ) -> Result<(), Fault> {
        let offsets = self.shared_offsets(addresses, mask, size, Access::Load)?;
        for lane in lanes(mask) {
            let thread = self.thread(lane);
            let Team { shared, clocks, .. } = &mut *self.team;
            let at = offsets[lane] as usize;
            let mut noted = shared.read(thread, at, size, manner.strong, clocks);
            if noted == Err(Conflict::Unwritten) {
                note(missing, lane, shared.missing(at, size), || {
                    format!("read of {size} bytes of shared memory at {at:#x} that nothing has written")
                });
                noted = shared.read_written(thread, at, size, manner.strong, clocks);
            }
            values[lane] = shared.load(at, size);
            noted.map_err(|why| self.conflict(lane, "read", offsets[lane], size, why))?;
        }
        Ok(())
    }

    pub(super) fn store_shared(
        &mut self,
        addresses: &[u64; LANES],
        mask: Mask,
        size: usize,
        manner: Manner,
        values: &Values,
    ) -> Result<(), Fault> {
        let offsets = self.shared_offsets(addresses, mask, size, Access::Store)?;
        for lane in lanes(mask) {
            let (thread, offset) = (self.thread(lane), offsets[lane] as usize);
            let Team { shared, clocks, .. } = &mut *self.team;
            let same = shared.load(offset, size) == values[lane];
            let noted = shared.write(thread, offset, size, manner.strong, same, clocks);
            shared.store(offset, size, values[lane]);
            noted.map_err(|why| self.conflict(lane, "write", offsets[lane], size, why))?;
        }
        Ok(())
    }
}
