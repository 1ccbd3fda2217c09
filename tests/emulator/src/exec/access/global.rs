//! Global memory: where an address is, whether it was written, and which block was there before.

use super::missing::{Found, note};
use super::{Accessor, Manner, Values};
use crate::count;
use crate::exec::grid::{Fault, Grid, ILLEGAL_ADDRESS, LAUNCH_FAILED};
use crate::exec::local::lanes;
use crate::exec::registers::{LANES, Mask};
use crate::memory::{Allocation, Conflict, Kind};

/// What a kernel that is planted wrong stores otherwise: the fourth highest bit of an f16's fraction, the highest of a bf16's and an f32's.
const WRONG: u128 = 0x0040_0040_0040_0040_0040_0040_0040_0040;

impl Accessor<'_, '_> {
    /// The allocation that an address is in; the last one found is tried first.
    pub(super) fn allocation<'g>(
        &self,
        grid: &'g Grid<'_>,
        last: Option<&'g Allocation>,
        lane: usize,
        address: u64,
        size: usize,
    ) -> Result<&'g Allocation, Fault> {
        if let Some(last) = last.filter(|last| last.contains(address, size as u64)) {
            return Ok(last);
        }
        grid.find(address, size as u64).ok_or_else(|| {
            let why = grid.memory.reach(address, size as u64).err().map(|error| error.to_string());
            let text = format!("out of bounds: {}", why.unwrap_or_else(|| format!("{address:#x} was allocated since")));
            self.fault(lane, ILLEGAL_ADDRESS, text)
        })
    }

    pub(super) fn count_global(&mut self, addresses: &[u64; LANES], mask: Mask, size: usize) {
        let sectors = count::sectors(addresses, mask, size);
        let count = &mut self.team.counts[self.op];
        count.requests += 1;
        count.sectors += u64::from(sectors);
    }

    pub(super) fn conflicting(&self, lane: usize, what: &str, address: u64, size: usize, why: Conflict) -> Fault {
        let other = match why {
            Conflict::Written(block) if block == self.team.worker.block() => {
                "this launch writes it, and the read is by the constant path (.nc)".to_owned()
            }
            Conflict::Written(block) | Conflict::Overwritten(block) => format!("block {block} wrote it in this launch"),
            Conflict::Read(Some(block)) => format!("block {block} read it in this launch"),
            Conflict::Read(None) => "other blocks read it in this launch".to_owned(),
        };
        let text = format!("race between blocks: {what} of {size} bytes at {address:#x}: {other}");
        self.fault(lane, LAUNCH_FAILED, text)
    }

    pub(super) fn load_global(
        &mut self,
        addresses: &[u64; LANES],
        mask: Mask,
        size: usize,
        manner: Manner,
        values: &mut Values,
        missing: &mut Option<Box<Found>>,
    ) -> Result<(), Fault> {
        let grid = self.grid;
        let (mut last, mut sector) = (None, u64::MAX);
        for lane in lanes(mask) {
            let address = addresses[lane];
            let allocation = self.allocation(grid, last, lane, address, size)?;
            last = Some(allocation);
            let offset = (address - allocation.address) as usize;
            if grid.checks {
                if allocation.written.first_unset(offset, size).is_some() {
                    let why = || unwritten(allocation, offset, size);
                    note(missing, lane, allocation.written.missing(offset, size), why);
                }
                self.check_load(allocation, lane, offset, size, manner)?;
            }
            if address >> 5 != sector && allocation.kind != Kind::Constant {
                sector = address >> 5;
                self.team.reads(allocation, grid.launch, offset);
            }
            values[lane] = allocation.bytes.load(offset, size);
            if manner.strong && grid.orders && grid.checks {
                self.team.order.acquire(self.warp.number, address, &grid.released, manner.acquire);
            }
        }
        Ok(())
    }

    /// Whether something has written all of these bytes.
    pub(super) fn check_written(
        &self,
        allocation: &Allocation,
        lane: usize,
        offset: usize,
        size: usize,
    ) -> Result<(), Fault> {
        match allocation.written.first_unset(offset, size) {
            None => Ok(()),
            Some(_) => {
                let text = format!("unwritten: {}", unwritten(allocation, offset, size));
                Err(self.fault(lane, LAUNCH_FAILED, text))
            }
        }
    }

    #[inline(always)]
    pub(super) fn check_load(
        &mut self,
        allocation: &Allocation,
        lane: usize,
        offset: usize,
        size: usize,
        manner: Manner,
    ) -> Result<(), Fault> {
        let address = allocation.address + offset as u64;
        if manner.constants && allocation.kind != Kind::Constant {
            let text = format!("read of {size} bytes at {address:#x}, which is no constant memory, as a constant");
            return Err(self.fault(lane, ILLEGAL_ADDRESS, text));
        }
        let order = &self.team.order;
        let noted = allocation.shadow.read(
            self.team.worker,
            offset,
            size,
            self.grid.code.global_granule,
            [manner.constant, manner.strong],
            |block| order.knows(block),
        );
        noted.map_err(|why| self.conflicting(lane, "read", address, size, why))
    }

    pub(super) fn store_global(
        &mut self,
        addresses: &[u64; LANES],
        mask: Mask,
        size: usize,
        manner: Manner,
        values: &Values,
    ) -> Result<(), Fault> {
        self.count_global(addresses, mask, size);
        let grid = self.grid;
        let (mut last, mut sector) = (None, u64::MAX);
        for lane in lanes(mask) {
            let address = addresses[lane];
            let allocation = self.allocation(grid, last, lane, address, size)?;
            last = Some(allocation);
            let offset = (address - allocation.address) as usize;
            if grid.checks {
                self.check_store(allocation, lane, offset, size, manner)?;
                allocation.written.set(offset, size);
            }
            if address >> 5 != sector {
                sector = address >> 5;
                self.team.writes(allocation, grid.launch, offset);
            }
            // counters and flags, by which blocks know of each other, stay right
            let wrong = if grid.wrong && !manner.strong { WRONG } else { 0 };
            allocation.bytes.store(offset, size, values[lane] ^ wrong);
        }
        Ok(())
    }

    #[inline(always)]
    pub(super) fn check_store(
        &mut self,
        allocation: &Allocation,
        lane: usize,
        offset: usize,
        size: usize,
        manner: Manner,
    ) -> Result<(), Fault> {
        let address = allocation.address + offset as u64;
        if allocation.kind == Kind::Constant {
            let text = format!("write of {size} bytes at {address:#x}, in constant memory");
            return Err(self.fault(lane, ILLEGAL_ADDRESS, text));
        }
        if manner.strong {
            if self.grid.orders {
                self.team.order.release(self.warp.number, address, &self.grid.released, manner.release);
            }
            return Ok(());
        }
        self.team.order.wrote(self.warp.number);
        let order = &self.team.order;
        let granule = self.grid.code.global_granule;
        let noted = allocation.shadow.write(self.team.worker, offset, size, granule, |block| order.knows(block));
        noted.map_err(|why| self.conflicting(lane, "write", address, size, why))
    }
}

/// What was read.
fn unwritten(allocation: &Allocation, offset: usize, size: usize) -> String {
    let (address, first) =
        (allocation.address + offset as u64, allocation.written.first_unset(offset, size).unwrap_or(0));
    format!(
        "read of {size} bytes at {address:#x}, of which nothing has written the one at {first} in an allocation of {}",
        allocation.size
    )
}
