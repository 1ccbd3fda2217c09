//! Atomics in every space.

use super::{Accessor, Manner};
use crate::count::Access;
use crate::exec::grid::{Fault, ILLEGAL_ADDRESS, Team};
use crate::exec::local::lanes;
use crate::exec::op::Atomic;
use crate::exec::registers::{LANES, Mask};
use crate::memory::Kind;
use crate::parse::syntax::Space;

impl Accessor<'_, '_> {
    /// Those of a vector, whose elements are atomic each by itself. One request; the whole is aligned.
    pub(in crate::exec) fn atomics(&mut self, all: &[Atomic], mask: Mask) -> Result<(), Fault> {
        let Some(first) = all.first() else { return Ok(()) };
        let mut addresses = self.addresses(&first.address);
        let size = first.size * all.len();
        for (space, mask) in self.spaces(&first.address, mask, &mut addresses) {
            if mask != 0 && space != Space::Global {
                let lane = mask.trailing_zeros() as usize;
                let text = format!("an atomic on a vector at {:#x}, which is not in global memory", addresses[lane]);
                return Err(self.fault(lane, ILLEGAL_ADDRESS, text));
            }
        }
        self.aligned(&addresses, mask, size)?;
        let counts = &self.team.counts[self.op];
        let (requests, sectors) = (counts.requests, counts.sectors);
        all.iter().try_for_each(|atomic| self.atomic(atomic, mask))?;
        let counts = &mut self.team.counts[self.op];
        (counts.requests, counts.sectors) = (requests, sectors);
        self.count_global(&addresses, mask, size);
        Ok(())
    }

    pub(in crate::exec) fn atomic(&mut self, atomic: &Atomic, mask: Mask) -> Result<(), Fault> {
        let size = atomic.size;
        let mut addresses = self.addresses(&atomic.address);
        let operands: [u64; LANES] = self.warp.registers.read(atomic.operand);
        let seconds: [u64; LANES] = self.warp.registers.read(atomic.second);
        let mut old = [0u64; LANES];
        for (space, mask) in self.spaces(&atomic.address, mask, &mut addresses) {
            if mask == 0 {
                continue;
            }
            self.aligned(&addresses, mask, size)?;
            match space {
                Space::Shared => {
                    let offsets = self.shared_offsets(&addresses, mask, size, Access::Atomic)?;
                    for lane in lanes(mask) {
                        let (thread, offset) = (self.thread(lane), offsets[lane] as usize);
                        let Team { shared, clocks, .. } = &mut *self.team;
                        let noted = shared
                            .read(thread, offset, size, true, clocks)
                            .and_then(|()| shared.write(thread, offset, size, true, false, clocks));
                        old[lane] = shared.load(offset, size) as u64;
                        let new = (atomic.shared)(old[lane], operands[lane], seconds[lane]);
                        shared.store(offset, size, u128::from(new));
                        noted.map_err(|why| self.conflict(lane, "atomic", offsets[lane], size, why))?;
                    }
                }
                Space::Local => {
                    for lane in lanes(mask) {
                        let at = addresses[lane];
                        let found = self.warp.local.load(lane, at, size);
                        let found =
                            found.ok_or_else(|| self.outside(lane, "local", at, size, self.warp.local.size()))?;
                        old[lane] = found as u64;
                        let new = (atomic.shared)(old[lane], operands[lane], seconds[lane]);
                        self.warp.local.store(lane, at, size, u128::from(new));
                    }
                }
                _ => self.atomic_global(atomic, &addresses, mask, [&operands, &seconds], &mut old)?,
            }
        }
        if let Some(into) = atomic.into {
            match size {
                2 => self.warp.registers.write(into, &old.map(|bits| bits as u16), mask),
                4 => self.warp.registers.write(into, &old.map(|bits| bits as u32), mask),
                _ => self.warp.registers.write(into, &old, mask),
            }
        }
        Ok(())
    }

    pub(super) fn atomic_global(
        &mut self,
        atomic: &Atomic,
        addresses: &[u64; LANES],
        mask: Mask,
        [operands, seconds]: [&[u64; LANES]; 2],
        old: &mut [u64; LANES],
    ) -> Result<(), Fault> {
        let size = atomic.size;
        self.count_global(addresses, mask, size);
        let grid = self.grid;
        let mut last = None;
        for lane in lanes(mask) {
            let address = addresses[lane];
            let allocation = self.allocation(grid, last, lane, address, size)?;
            last = Some(allocation);
            let offset = (address - allocation.address) as usize;
            if grid.checks {
                let manner = Manner { strong: true, ..Manner::default() };
                self.check_written(allocation, lane, offset, size)?;
                self.check_load(allocation, lane, offset, size, manner)?;
                if allocation.kind == Kind::Constant {
                    let text = format!("atomic on {size} bytes at {address:#x}, in constant memory");
                    return Err(self.fault(lane, ILLEGAL_ADDRESS, text));
                }
                if grid.orders {
                    self.team.order.release(self.warp.number, address, &grid.released, atomic.release);
                }
            }
            self.team.reads(allocation, grid.launch, offset);
            self.team.writes(allocation, grid.launch, offset);
            old[lane] = match &mut self.team.sampled {
                Some(sampled) if atomic.increments => sampled.ticket(self.op, operands[lane]),
                _ => allocation.bytes.update(offset, size, |old| (atomic.global)(old, operands[lane], seconds[lane])),
            };
            if grid.checks && grid.orders {
                self.team.order.acquire(self.warp.number, address, &grid.released, atomic.acquire);
            }
        }
        Ok(())
    }
}
