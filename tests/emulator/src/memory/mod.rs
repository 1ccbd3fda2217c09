//! The memory of the device: allocations at addresses of their own, with guards between them, and for each byte what is known about it. No
//! address is given twice, so that what is used after it was freed is always found. Not here: shared and local memory, which a block has.

mod bytes;
mod shadow;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, PoisonError, RwLock};

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
    /// What it holds.
    pub bytes: Bytes,
    /// Which bytes were written since it was made. The client's own memory counts as written.
    pub written: Bits,
    /// Who wrote and read which bytes in the present launch.
    pub shadow: Shadow,
}

impl Allocation {
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
}

/// All memory of the device.
pub struct Memory {
    capacity: u64,
    poisoned: bool,
    map: RwLock<Map>,
    launches: AtomicU32,
}

struct Map {
    live: BTreeMap<u64, Arc<Allocation>>,
    /// Size and kind of what was freed, for messages.
    freed: BTreeMap<u64, (u64, Kind)>,
    next: u64,
    used: u64,
}

/// The first address: far from everything that a process maps, so that a client that takes it for a pointer of its own crashes.
const FIRST: u64 = 0x3000_0000_0000;

/// The alignment of allocations, as recorded on an H100.
const ALIGNMENT: u64 = 512;

/// Between allocations at least so much belongs to nobody.
const GUARD: u64 = 64 << 10;

impl Memory {
    /// As many bytes as the device has.
    pub fn new(capacity: u64) -> Self {
        let map = Map { live: BTreeMap::new(), freed: BTreeMap::new(), next: FIRST, used: 0 };
        Self { capacity, poisoned: true, map: RwLock::new(map), launches: AtomicU32::new(0) }
    }

    /// The same, but allocations are of zeros and take no room of this machine's until they are touched.
    pub fn of_zeros(capacity: u64) -> Self {
        Self { poisoned: false, ..Self::new(capacity) }
    }

    /// Bytes of the device.
    pub fn capacity(&self) -> u64 {
        self.capacity
    }

    /// Bytes that nobody has. Pinned memory is the host's.
    pub fn free_bytes(&self) -> u64 {
        self.capacity - self.map.read().unwrap_or_else(PoisonError::into_inner).used
    }

    /// Makes an allocation, poisoned but in a memory of zeros.
    ///
    /// # Errors
    /// When there is no room, on the device or on this machine.
    pub fn allocate(&self, size: u64, kind: Kind) -> Result<Arc<Allocation>, Error> {
        let mut map = self.map.write().unwrap_or_else(PoisonError::into_inner);
        let refusal =
            |used: u64| Error::OutOfMemory { asked: size, free: self.capacity - used, capacity: self.capacity };
        let counted = if kind == Kind::Pinned { 0 } else { size };
        if size > self.capacity || counted > self.capacity - map.used {
            return Err(refusal(map.used));
        }
        let bytes = usize::try_from(size)
            .ok()
            .and_then(|size| Bytes::new(size, self.poisoned))
            .ok_or_else(|| refusal(map.used))?;
        let address = if kind == Kind::Pinned { bytes.pointer() as u64 } else { map.next };
        if kind != Kind::Pinned {
            map.next += size.next_multiple_of(ALIGNMENT) + GUARD;
            map.used += size;
        }
        let written = Bits::new(bytes.size());
        if kind == Kind::Pinned {
            written.set(0, bytes.size());
        }
        let shadow = Shadow::new(bytes.size());
        let allocation = Arc::new(Allocation { address, size, kind, bytes, written, shadow });
        map.freed.remove(&address); // pinned addresses come from this process's allocator, which gives them again
        map.live.insert(address, Arc::clone(&allocation));
        Ok(allocation)
    }

    /// Frees the allocation that begins at an address.
    ///
    /// # Errors
    /// When none does.
    pub fn free(&self, address: u64) -> Result<(), Error> {
        let unknown = self.unknown(address, 0);
        let mut map = self.map.write().unwrap_or_else(PoisonError::into_inner);
        let allocation = map.live.remove(&address).ok_or(unknown)?;
        if allocation.kind != Kind::Pinned {
            map.used -= allocation.size;
        }
        map.freed.insert(address, (allocation.size, allocation.kind));
        Ok(())
    }

    /// The allocation with these bytes.
    ///
    /// # Errors
    /// When there is none.
    pub fn find(&self, address: u64, size: u64) -> Result<Arc<Allocation>, Error> {
        let map = self.map.read().unwrap_or_else(PoisonError::into_inner);
        let found = map.live.range(..=address).next_back().filter(|(_, found)| found.contains(address, size));
        let found = found.map(|(_, found)| Arc::clone(found));
        drop(map);
        found.ok_or_else(|| self.unknown(address, size))
    }

    /// All allocations, by address.
    pub fn live(&self) -> Vec<Arc<Allocation>> {
        self.map.read().unwrap_or_else(PoisonError::into_inner).live.values().map(Arc::clone).collect()
    }

    /// The number of the next launch.
    pub fn next_launch(&self) -> u32 {
        let number = self.launches.fetch_add(1, Relaxed);
        if number.is_multiple_of(shadow::LAUNCHES) {
            self.live().iter().for_each(|allocation| allocation.shadow.forget());
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
        let map = self.map.read().unwrap_or_else(PoisonError::into_inner);
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
