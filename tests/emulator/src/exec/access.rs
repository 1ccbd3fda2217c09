//! Loads, stores and atomics: from addresses of lanes to bytes, with every check on the way. Not here: what is known of bytes (`memory`,
//! `shared`).

use super::clocks::Thread;
use super::grid::{Fault, Grid, ILLEGAL_ADDRESS, LAUNCH_FAILED, MISALIGNED, Team};
use super::local::lanes;
use super::op::{Address, Atomic, CALL_PARAMETERS, Copy, LOCAL_WINDOW, Load, Matrix, SHARED_WINDOW, Store, WINDOW};
use super::registers::{LANES, Lane, Mask, Registers, Slot};
use super::warp::Warp;
use crate::count::{self, Access};
use crate::decode::types::{Kind, Type};
use crate::memory::{Allocation, Conflict};
use crate::parse::syntax::Space;

/// The bytes of each lane's access, the first lowest.
type Values = [u128; LANES];

/// A warp that accesses memory.
pub(super) struct Accessor<'a, 'g> {
    pub(super) grid: &'a Grid<'g>,
    pub(super) team: &'a mut Team,
    pub(super) warp: &'a mut Warp,
    /// The instruction.
    pub(super) op: usize,
}

/// What an access is besides its direction.
#[derive(Clone, Copy, Default)]
struct Manner {
    constant: bool,
    strong: bool,
    acquire: bool,
    release: bool,
}

impl Accessor<'_, '_> {
    fn fault(&self, lane: usize, code: u32, text: String) -> Fault {
        Fault { code, op: self.op, thread: Some(self.warp.number * LANES + lane), text }
    }

    fn thread(&self, lane: usize) -> Thread {
        Thread { warp: self.warp.number, lane }
    }

    fn addresses(&self, address: &Address) -> [u64; LANES] {
        let base: [u64; LANES] = self.warp.registers.read(address.base);
        base.map(|base| base.wrapping_add_signed(address.offset))
    }

    /// Lanes by the space that their addresses are in; what is left is global.
    fn spaces(&self, address: &Address, mask: Mask, addresses: &mut [u64; LANES]) -> [(Space, Mask); 3] {
        let mut spaces = [(Space::Global, mask), (Space::Shared, 0), (Space::Local, 0)];
        match address.space {
            Some(Space::Shared) => spaces = [(Space::Global, 0), (Space::Shared, mask), (Space::Local, 0)],
            Some(Space::Local) => spaces = [(Space::Global, 0), (Space::Shared, 0), (Space::Local, mask)],
            None => {
                for lane in lanes(mask) {
                    for (space, window) in [(1, SHARED_WINDOW), (2, LOCAL_WINDOW)] {
                        if (window..window + WINDOW).contains(&addresses[lane]) {
                            addresses[lane] -= window;
                            spaces[0].1 &= !(1 << lane);
                            spaces[space].1 |= 1 << lane;
                        }
                    }
                }
            }
            Some(_) => {}
        }
        spaces
    }

    fn aligned(&self, addresses: &[u64; LANES], mask: Mask, size: usize) -> Result<(), Fault> {
        let bits = size as u64 - 1;
        match lanes(mask).find(|lane| addresses[*lane] & bits != 0) {
            None => Ok(()),
            Some(lane) => {
                let text = format!("misaligned: {size} bytes at {:#x}", addresses[lane]);
                Err(self.fault(lane, MISALIGNED, text))
            }
        }
    }

    pub(super) fn load(&mut self, load: &Load, mask: Mask) -> Result<(), Fault> {
        let size = load.ty.bytes() as usize * load.into.len();
        let mut addresses = self.addresses(&load.address);
        let mut values = [0; LANES];
        if load.address.space == Some(Space::Param) {
            self.parameters(&addresses, mask, size, &mut values)?;
        } else {
            let manner = Manner { constant: load.constant, strong: load.strong, acquire: load.acquire, release: false };
            for (space, mask) in self.spaces(&load.address, mask, &mut addresses) {
                if mask != 0 {
                    self.aligned(&addresses, mask, size)?;
                    match space {
                        Space::Shared => self.load_shared(&addresses, mask, size, manner, &mut values)?,
                        Space::Local => self.load_local(&addresses, mask, size, &mut values)?,
                        _ => self.load_global(&addresses, mask, size, manner, &mut values)?,
                    }
                }
            }
        }
        for (element, into) in load.into.iter().enumerate() {
            unpack(&mut self.warp.registers, *into, &values, load.ty, element, mask);
        }
        Ok(())
    }

    pub(super) fn store(&mut self, store: &Store, mask: Mask) -> Result<(), Fault> {
        let bits = store.ty.bits();
        let size = store.ty.bytes() as usize * store.from.len();
        let mut addresses = self.addresses(&store.address);
        let mut values = [0u128; LANES];
        for (element, from) in store.from.iter().enumerate() {
            let words: [u64; LANES] = self.warp.registers.read(*from);
            let keep = if bits == 64 { u64::MAX } else { (1 << bits) - 1 };
            for lane in 0..LANES {
                values[lane] |= u128::from(words[lane] & keep) << (element as u32 * bits);
            }
        }
        if store.address.space == Some(Space::Param) {
            // a call's parameters become registers, whatever their alignment
            addresses = addresses.map(|address| address.wrapping_sub(CALL_PARAMETERS));
            return self.store_local(&addresses, mask, size, &values);
        }
        let manner = Manner { constant: false, strong: store.strong, acquire: false, release: store.release };
        for (space, mask) in self.spaces(&store.address, mask, &mut addresses) {
            if mask != 0 {
                self.aligned(&addresses, mask, size)?;
                match space {
                    Space::Shared => self.store_shared(&addresses, mask, size, manner, &values)?,
                    Space::Local => self.store_local(&addresses, mask, size, &values)?,
                    _ => self.store_global(&addresses, mask, size, manner, &values)?,
                }
            }
        }
        Ok(())
    }

    /// The kernel's parameters, or those of a call.
    fn parameters(
        &mut self,
        addresses: &[u64; LANES],
        mask: Mask,
        size: usize,
        values: &mut Values,
    ) -> Result<(), Fault> {
        let first = mask.trailing_zeros() as usize % LANES;
        if addresses[first] >= CALL_PARAMETERS {
            return self.load_local(
                &addresses.map(|address| address.wrapping_sub(CALL_PARAMETERS)),
                mask,
                size,
                values,
            );
        }
        for lane in lanes(mask) {
            let at = addresses[lane] as usize;
            let Some(bytes) = self.grid.parameters.get(at..at + size) else {
                let text = format!("{size} bytes at {at} of {} bytes of parameters", self.grid.parameters.len());
                return Err(self.fault(lane, ILLEGAL_ADDRESS, text));
            };
            values[lane] = from_bytes(bytes);
        }
        Ok(())
    }

    fn load_local(
        &mut self,
        addresses: &[u64; LANES],
        mask: Mask,
        size: usize,
        values: &mut Values,
    ) -> Result<(), Fault> {
        for lane in lanes(mask) {
            let at = addresses[lane];
            match self.warp.local.load(lane, at, size) {
                Some(value) => values[lane] = value,
                None => return Err(self.outside(lane, "local", at, size, self.warp.local.size())),
            }
            if self.grid.checks && !self.warp.local.written(lane, at, size) {
                let text = format!("read of {size} bytes of local memory at {at:#x} that nothing has written");
                return Err(self.fault(lane, LAUNCH_FAILED, text));
            }
        }
        Ok(())
    }

    fn store_local(&mut self, addresses: &[u64; LANES], mask: Mask, size: usize, values: &Values) -> Result<(), Fault> {
        for lane in lanes(mask) {
            let at = addresses[lane];
            if self.warp.local.store(lane, at, size, values[lane]).is_none() {
                return Err(self.outside(lane, "local", at, size, self.warp.local.size()));
            }
        }
        Ok(())
    }

    fn outside(&self, lane: usize, space: &str, at: u64, size: usize, end: usize) -> Fault {
        let text = format!("out of bounds: {size} bytes at {at:#x} of {end:#x} bytes of {space} memory");
        self.fault(lane, ILLEGAL_ADDRESS, text)
    }

    /// Counts a shared access, and checks that it lies within.
    fn shared_offsets(
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

    fn conflict(&self, lane: usize, what: &str, offset: u32, size: usize, why: super::shared::Conflict) -> Fault {
        use super::shared::Conflict;
        let kind = match why {
            Conflict::Unwritten => "unwritten",
            Conflict::Pending => "too early",
            Conflict::AfterWrite(_) | Conflict::AfterRead(_) => "race",
        };
        let text = format!("{kind}: {what} of {size} bytes of shared memory at {offset:#x}: {why}");
        self.fault(lane, LAUNCH_FAILED, text)
    }

    fn load_shared(
        &mut self,
        addresses: &[u64; LANES],
        mask: Mask,
        size: usize,
        manner: Manner,
        values: &mut Values,
    ) -> Result<(), Fault> {
        let offsets = self.shared_offsets(addresses, mask, size, Access::Load)?;
        for lane in lanes(mask) {
            let thread = self.thread(lane);
            let Team { shared, clocks, .. } = &mut *self.team;
            let noted = shared.read(thread, offsets[lane] as usize, size, manner.strong, clocks);
            values[lane] = shared.load(offsets[lane] as usize, size);
            noted.map_err(|why| self.conflict(lane, "read", offsets[lane], size, why))?;
        }
        Ok(())
    }

    fn store_shared(
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

    /// The allocation that an address is in; the last one found is tried first.
    fn allocation<'g>(
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
            let why = grid.memory.find(address, size as u64).err().map(|error| error.to_string());
            let text = format!("out of bounds: {}", why.unwrap_or_else(|| format!("{address:#x} was allocated since")));
            self.fault(lane, ILLEGAL_ADDRESS, text)
        })
    }

    fn count_global(&mut self, addresses: &[u64; LANES], mask: Mask, size: usize) {
        let sectors = count::sectors(addresses, mask, size);
        let count = &mut self.team.counts[self.op];
        count.requests += 1;
        count.sectors += u64::from(sectors);
    }

    fn conflicting(&self, lane: usize, what: &str, address: u64, size: usize, why: Conflict) -> Fault {
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

    fn load_global(
        &mut self,
        addresses: &[u64; LANES],
        mask: Mask,
        size: usize,
        manner: Manner,
        values: &mut Values,
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
                self.check_load(allocation, lane, offset, size, manner)?;
            }
            if address >> 5 != sector {
                sector = address >> 5;
                self.team.unique[0] += u64::from(allocation.shadow.first_read(grid.launch, offset));
            }
            values[lane] = allocation.bytes.load(offset, size);
        }
        Ok(())
    }

    #[inline(always)]
    fn check_load(
        &mut self,
        allocation: &Allocation,
        lane: usize,
        offset: usize,
        size: usize,
        manner: Manner,
    ) -> Result<(), Fault> {
        let address = allocation.address + offset as u64;
        if let Some(first) = allocation.written.first_unset(offset, size) {
            let text = format!(
                "unwritten: read of {size} bytes at {address:#x}, of which nothing has written the one at {first} in an allocation of {}",
                allocation.size
            );
            return Err(self.fault(lane, LAUNCH_FAILED, text));
        }
        if manner.strong {
            if self.grid.orders {
                let own = self.team.worker.block();
                self.team.order.touch(own, address, &self.grid.released, [None, Some(manner.acquire)]);
            }
            return Ok(());
        }
        let order = &self.team.order;
        let noted = allocation.shadow.read(
            self.team.worker,
            offset,
            size,
            self.grid.code.global_granule,
            manner.constant,
            |block| order.knows(block),
        );
        noted.map_err(|why| self.conflicting(lane, "read", address, size, why))
    }

    fn store_global(
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
                self.team.unique[1] += u64::from(allocation.shadow.first_written(grid.launch, offset));
            }
            allocation.bytes.store(offset, size, values[lane]);
        }
        Ok(())
    }

    #[inline(always)]
    fn check_store(
        &mut self,
        allocation: &Allocation,
        lane: usize,
        offset: usize,
        size: usize,
        manner: Manner,
    ) -> Result<(), Fault> {
        let address = allocation.address + offset as u64;
        if allocation.kind == crate::memory::Kind::Constant {
            let text = format!("write of {size} bytes at {address:#x}, in constant memory");
            return Err(self.fault(lane, ILLEGAL_ADDRESS, text));
        }
        if manner.strong {
            if self.grid.orders {
                let own = self.team.worker.block();
                self.team.order.touch(own, address, &self.grid.released, [Some(manner.release), None]);
            }
            return Ok(());
        }
        self.team.order.wrote();
        let order = &self.team.order;
        let granule = self.grid.code.global_granule;
        let noted = allocation.shadow.write(self.team.worker, offset, size, granule, |block| order.knows(block));
        noted.map_err(|why| self.conflicting(lane, "write", address, size, why))
    }

    pub(super) fn atomic(&mut self, atomic: &Atomic, mask: Mask) -> Result<(), Fault> {
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

    fn atomic_global(
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
                self.check_load(allocation, lane, offset, size, manner)?;
                if grid.orders {
                    let own = self.team.worker.block();
                    let both = [Some(atomic.release), Some(atomic.acquire)];
                    self.team.order.touch(own, address, &grid.released, both);
                }
            }
            self.team.unique[0] += u64::from(allocation.shadow.first_read(grid.launch, offset));
            self.team.unique[1] += u64::from(allocation.shadow.first_written(grid.launch, offset));
            old[lane] =
                allocation.bytes.update(offset, size, |old| (atomic.global)(old, operands[lane], seconds[lane]));
        }
        Ok(())
    }

    pub(super) fn copy(&mut self, copy: &Copy, mask: Mask) -> Result<(), Fault> {
        let to = self.addresses(&copy.to);
        let from = self.addresses(&copy.from);
        self.aligned(&to, mask, copy.size)?;
        self.aligned(&from, mask, copy.size)?;
        let offsets = self.shared_offsets(&to, mask, copy.size, Access::CopyAsync)?;
        let ignored = copy.ignore.map_or(0, |(slot, negated)| {
            let bits = self.warp.registers.predicate(slot);
            if negated { !bits } else { bits }
        });
        let read: [u32; LANES] = match copy.read {
            Some(slot) => self.warp.registers.read(slot),
            None => [copy.size as u32; LANES],
        };
        let mut values = [0; LANES];
        let full = lanes(mask & !ignored).filter(|lane| read[*lane] as usize >= copy.size);
        let full = full.fold(0, |mask, lane| mask | 1 << lane);
        if full != 0 {
            self.load_global(&from, full, copy.size, Manner::default(), &mut values)?;
        }
        for lane in lanes(mask & !ignored & !full) {
            // fewer bytes than are written: one by one, for nothing says that they are a power of two
            for byte in 0..read[lane] as usize {
                let at = from.map(|address| address + byte as u64);
                let mut one = [0; LANES];
                self.load_global(&at, 1 << lane, 1, Manner { strong: true, ..Manner::default() }, &mut one)?;
                values[lane] |= one[lane] << (8 * byte);
            }
        }
        for lane in lanes(mask) {
            let (thread, offset) = (self.thread(lane), offsets[lane] as usize);
            let Team { shared, clocks, .. } = &mut *self.team;
            let noted = shared.issue(thread, offset, copy.size, clocks);
            noted.map_err(|why| self.conflict(lane, "copy", offsets[lane], copy.size, why))?;
            self.warp.copies.issue(lane, offset, copy.size, values[lane]);
        }
        Ok(())
    }

    /// The rows that lanes 8·m to 8·m+7 name, each of 16 bytes, in the space of their addresses: shared.
    fn rows(&mut self, matrix: &Matrix) -> Result<[u64; LANES], Fault> {
        let mut addresses = self.addresses(&matrix.address);
        let mask = Mask::MAX >> (LANES - 8 * matrix.registers.len());
        if matrix.address.space.is_none() {
            addresses = addresses.map(|address| address.wrapping_sub(SHARED_WINDOW));
        }
        self.aligned(&addresses, mask, 16)?;
        Ok(addresses)
    }

    pub(super) fn load_matrix(&mut self, matrix: &Matrix) -> Result<(), Fault> {
        let rows = self.rows(matrix)?;
        for (index, into) in matrix.registers.iter().enumerate() {
            let mask = 0xFF << (8 * index);
            let offsets = self.shared_offsets(&rows, mask, 16, Access::Matrix)?;
            let mut words = [[0u16; 8]; 8];
            for row in 0..8 {
                let lane = 8 * index + row;
                let thread = self.thread(lane);
                let Team { shared, clocks, .. } = &mut *self.team;
                let noted = shared.read(thread, offsets[lane] as usize, 16, false, clocks);
                let value = shared.load(offsets[lane] as usize, 16);
                words[row] = std::array::from_fn(|column| (value >> (16 * column)) as u16);
                noted.map_err(|why| self.conflict(lane, "read", offsets[lane], 16, why))?;
            }
            // lane i holds the elements 2·(i mod 4) and the next of row i / 4 (PTX ISA, "ldmatrix")
            let values: [u32; LANES] = std::array::from_fn(|lane| {
                let (row, column) = (lane / 4, lane % 4 * 2);
                let [low, high] = if matrix.transposed {
                    [words[column][row], words[column + 1][row]]
                } else {
                    [words[row][column], words[row][column + 1]]
                };
                u32::from(high) << 16 | u32::from(low)
            });
            self.warp.registers.write(*into, &values, Mask::MAX);
        }
        Ok(())
    }

    pub(super) fn store_matrix(&mut self, matrix: &Matrix) -> Result<(), Fault> {
        let rows = self.rows(matrix)?;
        for (index, from) in matrix.registers.iter().enumerate() {
            let mask = 0xFF << (8 * index);
            let offsets = self.shared_offsets(&rows, mask, 16, Access::Matrix)?;
            let values: [u32; LANES] = self.warp.registers.read(*from);
            for row in 0..8 {
                let lane = 8 * index + row;
                let half = |row: usize, column: usize| (values[4 * row + column / 2] >> (16 * (column % 2))) as u16;
                let value = (0..8).fold(0u128, |value, column| {
                    let half = if matrix.transposed { half(column, row) } else { half(row, column) };
                    value | u128::from(half) << (16 * column)
                });
                let (thread, offset) = (self.thread(lane), offsets[lane] as usize);
                let Team { shared, clocks, .. } = &mut *self.team;
                let noted = shared.write(thread, offset, 16, false, false, clocks);
                shared.store(offset, 16, value);
                noted.map_err(|why| self.conflict(lane, "write", offsets[lane], 16, why))?;
            }
        }
        Ok(())
    }
}

fn from_bytes(bytes: &[u8]) -> u128 {
    let mut all = [0; 16];
    all[..bytes.len()].copy_from_slice(bytes);
    u128::from_le_bytes(all)
}

/// Writes an element of each lane's bytes to a register, extended as its type says.
fn unpack(registers: &mut Registers, into: Slot, values: &Values, ty: Type, element: usize, mask: Mask) {
    fn write<T: Lane>(
        registers: &mut Registers,
        into: Slot,
        values: &Values,
        shift: u32,
        mask: Mask,
        narrow: impl Fn(u64) -> T,
    ) {
        let lanes: [T; LANES] = std::array::from_fn(|lane| narrow((values[lane] >> shift) as u64));
        registers.write(into, &lanes, mask);
    }
    let shift = element as u32 * ty.bits();
    let signed = ty.kind() == Kind::Signed;
    match (ty.bits(), signed) {
        (8, false) => write(registers, into, values, shift, mask, |bits| bits as u8),
        (8, true) => write(registers, into, values, shift, mask, |bits| bits as i8),
        (16, false) => write(registers, into, values, shift, mask, |bits| bits as u16),
        (16, true) => write(registers, into, values, shift, mask, |bits| bits as i16),
        (32, false) => write(registers, into, values, shift, mask, |bits| bits as u32),
        (32, true) => write(registers, into, values, shift, mask, |bits| bits as i32),
        _ => write(registers, into, values, shift, mask, |bits| bits),
    }
}
