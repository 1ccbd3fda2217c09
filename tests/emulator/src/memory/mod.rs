//! The memory of devices, in one address space: allocations at addresses of their own, with guards between them, and for each byte what is known
//! about it. No address is given twice, so that what is used after it was freed is always found. Not here: shared and local memory, which a
//! block has.

mod bytes;
mod shadow;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

pub use bytes::Bytes;
pub use shadow::{Bits, Conflict, Shadow, Worker};

/// What an allocation is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `cuMemAlloc`: only the device can use its address.
    Device,
    /// `cuMemHostAlloc`: the client's memory, which the device can use at the same address.
    Pinned,
    /// A module's `.global` variable.
    Variable,
    /// A module's `.const` variable.
    Constant,
}

/// A piece of memory.
pub struct Allocation {
    /// Where it begins: of pinned memory a pointer of this process, of other memory an address that is none.
    pub address: u64,
    /// In bytes.
    pub size: u64,
    /// What it is for.
    pub kind: Kind,
    /// The device that has it. Pinned memory all of them reach.
    pub device: usize,
    /// What it holds.
    pub bytes: Bytes,
    /// Which bytes were written since it was made. The client's own memory counts as written.
    pub written: Bits,
    /// Who wrote and read which bytes in the present launch.
    pub shadow: Shadow,
}

impl Allocation {
    /// Whether kernels of a device reach it: none reaches the memory of another.
    pub fn is_reached_by(&self, device: usize) -> bool {
        self.device == device || self.kind == Kind::Pinned
    }

    /// Whether so many bytes from an address lie within.
    pub fn contains(&self, address: u64, size: u64) -> bool {
        address >= self.address && address - self.address <= self.size && size <= self.size - (address - self.address)
    }
}

/// Why memory cannot be had or used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// More than there is.
    #[error("out of memory: {asked} bytes asked, {free} of {capacity} are free")]
    OutOfMemory {
        /// In bytes.
        asked: u64,
        /// In bytes.
        free: u64,
        /// In bytes.
        capacity: u64,
    },
    /// No allocation has these bytes.
    #[error("{size} bytes at {address:#x}: {near}")]
    Unknown {
        /// Where.
        address: u64,
        /// How many.
        size: u64,
        /// What lies there or nearby.
        near: String,
    },
    /// They are another device's.
    #[error(
        "{size} bytes at {address:#x} are memory of device {owner}, which device {device} does not reach: there is no peer access"
    )]
    Foreign {
        /// Where.
        address: u64,
        /// How many.
        size: u64,
        /// Whose they are.
        owner: usize,
        /// Who asked.
        device: usize,
    },
}

/// All memory of a device, and the addresses of the other devices' beside it.
pub struct Memory {
    device: usize,
    capacity: u64,
    /// Whether what is allocated has no defined bytes; else it is of zeros.
    poisoned: bool,
    space: Arc<Space>,
}

/// The addresses of all devices.
struct Space {
    map: RwLock<Map>,
    launches: AtomicU32,
}

struct Map {
    live: BTreeMap<u64, Arc<Allocation>>,
    /// Size and kind of what was freed, for messages.
    freed: BTreeMap<u64, (u64, Kind)>,
    next: u64,
    /// Bytes that were taken, by device.
    used: Vec<u64>,
}

impl Space {
    fn new(devices: usize) -> Self {
        let map = Map { live: BTreeMap::new(), freed: BTreeMap::new(), next: FIRST, used: vec![0; devices] };
        Self { map: RwLock::new(map), launches: AtomicU32::new(0) }
    }

    fn read(&self) -> RwLockReadGuard<'_, Map> {
        self.map.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Map> {
        self.map.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The first address: far from everything that a process maps, so that a client that takes it for a pointer of its own crashes.
const FIRST: u64 = 0x3000_0000_0000;

/// The alignment of allocations, as recorded on an H100.
const ALIGNMENT: u64 = 512;

/// Between allocations at least so much belongs to nobody.
const GUARD: u64 = 64 << 10;

impl Memory {
    /// As many bytes as the only device has.
    pub fn new(capacity: u64) -> Self {
        Self { device: 0, capacity, poisoned: true, space: Arc::new(Space::new(1)) }
    }

    /// As many bytes for each of several devices, no two of which have an address in common. What is not poisoned is of zeros, and takes no room of this
    /// machine's until it is touched.
    pub fn of_several(devices: usize, capacity: u64, poisoned: bool) -> Vec<Self> {
        let space = Arc::new(Space::new(devices));
        (0..devices).map(|device| Self { device, capacity, poisoned, space: Arc::clone(&space) }).collect()
    }

    /// Bytes of the device.
    pub fn capacity(&self) -> u64 {
        self.capacity
    }

    /// Bytes that nobody has. Pinned memory is the host's.
    pub fn free_bytes(&self) -> u64 {
        self.capacity - self.space.read().used[self.device]
    }

    /// Makes an allocation, poisoned but in a memory of zeros.
    ///
    /// # Errors
    /// When there is no room, on the device or on this machine.
    pub fn allocate(&self, size: u64, kind: Kind) -> Result<Arc<Allocation>, Error> {
        let mut map = self.space.write();
        let used = map.used[self.device];
        let refusal = || Error::OutOfMemory { asked: size, free: self.capacity - used, capacity: self.capacity };
        let counted = if kind == Kind::Pinned { 0 } else { size };
        if size > self.capacity || counted > self.capacity - used {
            return Err(refusal());
        }
        let bytes = usize::try_from(size).ok().and_then(|size| Bytes::new(size, self.poisoned)).ok_or_else(refusal)?;
        let address = if kind == Kind::Pinned { bytes.pointer() as u64 } else { map.next };
        if kind != Kind::Pinned {
            map.next += size.next_multiple_of(ALIGNMENT) + GUARD;
            map.used[self.device] += size;
        }
        let written = Bits::new(bytes.size());
        if kind == Kind::Pinned {
            written.set(0, bytes.size());
        }
        let shadow = Shadow::new(bytes.size());
        let allocation = Arc::new(Allocation { address, size, kind, device: self.device, bytes, written, shadow });
        map.freed.remove(&address); // pinned addresses come from this process's allocator, which gives them again
        map.live.insert(address, Arc::clone(&allocation));
        Ok(allocation)
    }

    /// Frees the allocation that begins at an address, whichever device's it is.
    ///
    /// # Errors
    /// When none does.
    pub fn free(&self, address: u64) -> Result<(), Error> {
        let unknown = self.unknown(address, 0);
        let mut map = self.space.write();
        let allocation = map.live.remove(&address).ok_or(unknown)?;
        if allocation.kind != Kind::Pinned {
            map.used[allocation.device] -= allocation.size;
        }
        map.freed.insert(address, (allocation.size, allocation.kind));
        Ok(())
    }

    /// The allocation with these bytes, whichever device's it is.
    ///
    /// # Errors
    /// When there is none.
    pub fn find(&self, address: u64, size: u64) -> Result<Arc<Allocation>, Error> {
        let map = self.space.read();
        let found = map.live.range(..=address).next_back().filter(|(_, found)| found.contains(address, size));
        let found = found.map(|(_, found)| Arc::clone(found));
        drop(map);
        found.ok_or_else(|| self.unknown(address, size))
    }

    /// The allocation with these bytes, if kernels of the device reach it.
    ///
    /// # Errors
    /// When there is none, or it is another device's.
    pub fn reach(&self, address: u64, size: u64) -> Result<Arc<Allocation>, Error> {
        let found = self.find(address, size)?;
        if found.is_reached_by(self.device) {
            return Ok(found);
        }
        Err(Error::Foreign { address, size, owner: found.device, device: self.device })
    }

    /// All allocations that kernels of the device reach, by address.
    pub fn live(&self) -> Vec<Arc<Allocation>> {
        let map = self.space.read();
        map.live.values().filter(|allocation| allocation.is_reached_by(self.device)).map(Arc::clone).collect()
    }

    /// The number of the next launch, of all devices'.
    pub fn next_launch(&self) -> u32 {
        let number = self.space.launches.fetch_add(1, Relaxed);
        if number.is_multiple_of(shadow::LAUNCHES) {
            self.space.read().live.values().for_each(|allocation| allocation.shadow.forget());
        }
        number
    }

    /// Copies bytes out, written or not.
    ///
    /// # Errors
    /// When no allocation has them all.
    pub fn read(&self, address: u64, into: &mut [u8]) -> Result<(), Error> {
        let allocation = self.find(address, into.len() as u64)?;
        allocation.bytes.read((address - allocation.address) as usize, into);
        Ok(())
    }

    /// Copies bytes in; they count as written.
    ///
    /// # Errors
    /// When no allocation has room for them.
    pub fn write(&self, address: u64, from: &[u8]) -> Result<(), Error> {
        let allocation = self.find(address, from.len() as u64)?;
        let offset = (address - allocation.address) as usize;
        allocation.bytes.write(offset, from);
        allocation.written.set(offset, from.len());
        Ok(())
    }

    /// Whether the device has written all of these bytes, or someone for it; the first that nobody wrote otherwise.
    ///
    /// # Errors
    /// When no allocation has them all.
    pub fn unwritten(&self, address: u64, size: u64) -> Result<Option<u64>, Error> {
        let allocation = self.find(address, size)?;
        let offset = (address - allocation.address) as usize;
        Ok(allocation.written.first_unset(offset, size as usize).map(|at| allocation.address + at as u64))
    }

    /// What lies at an address that cannot be used.
    fn unknown(&self, address: u64, size: u64) -> Error {
        let map = self.space.read();
        let inside = |start: u64, length: u64| address >= start && address < start.saturating_add(length);
        let freed = map.freed.range(..=address).next_back().filter(|(start, (length, _))| inside(**start, *length));
        let near = if let Some((start, (length, _))) = freed {
            format!("inside {length} bytes at {start:#x} that were freed")
        } else if let Some((start, before)) = map.live.range(..=address).next_back() {
            let past = (address - start).wrapping_sub(before.size);
            let size = before.size;
            if address - start < before.size {
                format!("begins {} bytes into an allocation of {size} at {start:#x} and ends past it", address - start)
            } else {
                format!("{past} bytes past the end of an allocation of {size} at {start:#x}")
            }
        } else {
            "before every allocation".to_owned()
        };
        Error::Unknown { address, size, near }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_have_their_own_room_and_share_only_pinned_memory() {
        let devices = Memory::of_several(2, 1000, true);
        let own = devices[0].allocate(600, Kind::Device).unwrap();
        assert!(matches!(devices[0].allocate(600, Kind::Device), Err(Error::OutOfMemory { free: 400, .. })));
        let other = devices[1].allocate(600, Kind::Variable).unwrap();
        let pinned = devices[1].allocate(600, Kind::Pinned).unwrap();
        assert!(own.address + own.size <= other.address);
        assert_eq!(devices[1].find(own.address, 600).unwrap().device, 0);
        assert!(matches!(devices[1].reach(own.address, 4), Err(Error::Foreign { owner: 0, device: 1, .. })));
        assert!(devices[0].reach(pinned.address, 600).is_ok());
        assert_eq!(devices.iter().map(|memory| memory.live().len()).collect::<Vec<_>>(), [2, 2]);
        // whoever frees it, it was the other's
        devices[1].free(own.address).unwrap();
        assert_eq!(devices.iter().map(Memory::free_bytes).collect::<Vec<_>>(), [1000, 400]);
        assert!(matches!(devices[0].find(own.address, 1), Err(Error::Unknown { .. })));
    }
}
