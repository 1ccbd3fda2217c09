//! Bytes that many threads read and write at once, as a GPU's do. Every access is a relaxed atomic of its width, so that a kernel with a race
//! has a wrong result, and the emulator stays defined.

#![expect(
    unsafe_code,
    reason = "memory that the client of a driver shares, and atomics of every width on the same bytes"
)]

use std::alloc::{Layout, alloc, alloc_zeroed, dealloc};
use std::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering::Relaxed};

/// What nothing has written: a NaN in every type.
const POISON: u8 = 0xFF;

/// A piece of memory at an address that never moves.
pub struct Bytes {
    pointer: *mut u8,
    layout: Layout,
    size: usize,
}

// SAFETY: every access goes through atomics or, in bulk, through calls whose callers order them against all others as the driver API asks of its
// clients; the pointer is owned and lives as long as this.
unsafe impl Send for Bytes {}
// SAFETY: as above.
unsafe impl Sync for Bytes {}

impl Bytes {
    /// Memory, poisoned or of zeros that take no room until they are touched; None where the machine has no more.
    pub fn new(size: usize, poisoned: bool) -> Option<Self> {
        // whole 16-byte words: the widest access
        let layout = Layout::from_size_align(size.max(1).checked_next_multiple_of(16)?, 4096).ok()?;
        // SAFETY: the layout is not empty.
        let pointer = unsafe { if poisoned { alloc(layout) } else { alloc_zeroed(layout) } };
        if pointer.is_null() {
            return None;
        }
        if poisoned {
            // SAFETY: as many bytes were just allocated.
            unsafe { pointer.write_bytes(POISON, layout.size()) };
        }
        Some(Self { pointer, layout, size })
    }

    /// Where it begins in this process.
    pub fn pointer(&self) -> *mut u8 {
        self.pointer
    }

    /// How many bytes.
    pub fn size(&self) -> usize {
        self.size
    }

    fn at(&self, offset: usize, size: usize) -> *mut u8 {
        assert!(
            offset.is_multiple_of(size) && offset + size <= self.layout.size(),
            "{size} bytes at {offset} of {}",
            self.size
        );
        // SAFETY: inside the allocation, as just checked.
        unsafe { self.pointer.add(offset) }
    }

    /// `size` bytes (1, 2, 4, 8 or 16) at a multiple of it, the first lowest.
    #[inline(always)]
    pub fn load(&self, offset: usize, size: usize) -> u128 {
        let at = self.at(offset, size);
        // SAFETY: inside the allocation and aligned; all accesses are atomic.
        unsafe {
            match size {
                1 => u128::from(AtomicU8::from_ptr(at).load(Relaxed)),
                2 => u128::from(AtomicU16::from_ptr(at.cast()).load(Relaxed)),
                4 => u128::from(AtomicU32::from_ptr(at.cast()).load(Relaxed)),
                8 => u128::from(AtomicU64::from_ptr(at.cast()).load(Relaxed)),
                _ => {
                    let low = AtomicU64::from_ptr(at.cast()).load(Relaxed);
                    let high = AtomicU64::from_ptr(at.add(8).cast()).load(Relaxed);
                    u128::from(high) << 64 | u128::from(low)
                }
            }
        }
    }

    /// Stores the low `size` bytes (1, 2, 4, 8 or 16) at a multiple of it.
    #[inline(always)]
    pub fn store(&self, offset: usize, size: usize, value: u128) {
        let at = self.at(offset, size);
        // SAFETY: inside the allocation and aligned; all accesses are atomic.
        unsafe {
            match size {
                1 => AtomicU8::from_ptr(at).store(value as u8, Relaxed),
                2 => AtomicU16::from_ptr(at.cast()).store(value as u16, Relaxed),
                4 => AtomicU32::from_ptr(at.cast()).store(value as u32, Relaxed),
                8 => AtomicU64::from_ptr(at.cast()).store(value as u64, Relaxed),
                _ => {
                    AtomicU64::from_ptr(at.cast()).store(value as u64, Relaxed);
                    AtomicU64::from_ptr(at.add(8).cast()).store((value >> 64) as u64, Relaxed);
                }
            }
        }
    }

    /// Replaces 2, 4 or 8 bytes at once by what a function makes of them, and gives back what was there.
    pub fn update(&self, offset: usize, size: usize, mut change: impl FnMut(u64) -> u64) -> u64 {
        let at = self.at(offset, size);
        // SAFETY: inside the allocation and aligned; all accesses are atomic.
        unsafe {
            match size {
                2 => {
                    let cell = AtomicU16::from_ptr(at.cast());
                    let old = cell.fetch_update(Relaxed, Relaxed, |old| Some(change(u64::from(old)) as u16));
                    u64::from(old.unwrap_or_default())
                }
                4 => {
                    let cell = AtomicU32::from_ptr(at.cast());
                    let old = cell.fetch_update(Relaxed, Relaxed, |old| Some(change(u64::from(old)) as u32));
                    u64::from(old.unwrap_or_default())
                }
                _ => {
                    let cell = AtomicU64::from_ptr(at.cast());
                    cell.fetch_update(Relaxed, Relaxed, |old| Some(change(old))).unwrap_or_default()
                }
            }
        }
    }

    /// Copies bytes out.
    pub fn read(&self, offset: usize, into: &mut [u8]) {
        assert!(offset + into.len() <= self.size, "a read past the end");
        // SAFETY: inside the allocation; `into` is borrowed and so elsewhere, or the client's own pinned memory, which it must not change now.
        unsafe { std::ptr::copy(self.pointer.add(offset), into.as_mut_ptr(), into.len()) };
    }

    /// Copies bytes in.
    pub fn write(&self, offset: usize, from: &[u8]) {
        assert!(offset + from.len() <= self.size, "a write past the end");
        // SAFETY: as for `read`.
        unsafe { std::ptr::copy(from.as_ptr(), self.pointer.add(offset), from.len()) };
    }
}

impl Drop for Bytes {
    fn drop(&mut self) {
        // SAFETY: allocated with this layout.
        unsafe { dealloc(self.pointer, self.layout) };
    }
}
