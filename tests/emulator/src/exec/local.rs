//! The local memory of a warp's threads: variables of functions and the parameters of calls.

use super::registers::{LANES, Mask};

/// Every lane's bytes, one lane after the other.
pub struct Local {
    size: usize,
    bytes: Vec<u8>,
    written: Vec<bool>,
}

impl Local {
    /// So many poisoned bytes a lane.
    pub fn new(size: usize) -> Self {
        Self { size, bytes: vec![0xFF; size * LANES], written: vec![false; size * LANES] }
    }

    /// Bytes a lane.
    pub fn size(&self) -> usize {
        self.size
    }

    fn at(&self, lane: usize, offset: u64, size: usize) -> Option<usize> {
        let offset = usize::try_from(offset).ok()?;
        (offset.checked_add(size)? <= self.size).then(|| lane * self.size + offset)
    }

    /// Up to 16 bytes of a lane; None past the end.
    pub fn load(&self, lane: usize, offset: u64, size: usize) -> Option<u128> {
        let at = self.at(lane, offset, size)?;
        let mut all = [0; 16];
        all[..size].copy_from_slice(&self.bytes[at..at + size]);
        Some(u128::from_le_bytes(all))
    }

    /// Whether a lane wrote all of these bytes, which lie within.
    pub fn written(&self, lane: usize, offset: u64, size: usize) -> bool {
        self.at(lane, offset, size).is_some_and(|at| self.written[at..at + size].iter().all(|written| *written))
    }

    /// A bit for each of up to 16 bytes of a lane, which lie within, that it has not written.
    pub fn missing(&self, lane: usize, offset: u64, size: usize) -> u16 {
        let Some(at) = self.at(lane, offset, size) else { return 0 };
        (0..size).filter(|byte| !self.written[at + byte]).fold(0, |missing, byte| missing | 1 << byte)
    }

    /// Says of bytes of a lane, which lie within, that nothing has written them.
    pub fn forget(&mut self, lane: usize, offset: u64, size: usize, bytes: u16) {
        let Some(at) = self.at(lane, offset, size) else { return };
        (0..size).filter(|byte| bytes >> byte & 1 == 1).for_each(|byte| self.written[at + byte] = false);
    }

    /// Stores up to 16 bytes of a lane; None past the end.
    pub fn store(&mut self, lane: usize, offset: u64, size: usize, value: u128) -> Option<()> {
        let at = self.at(lane, offset, size)?;
        self.bytes[at..at + size].copy_from_slice(&value.to_le_bytes()[..size]);
        self.written[at..at + size].fill(true);
        Some(())
    }

    /// Bytes of a lane that lie within, and whether they were written.
    pub fn copy_out(&self, lane: usize, from: usize, size: usize) -> Vec<(u8, bool)> {
        let at = lane * self.size + from;
        self.bytes[at..at + size].iter().copied().zip(self.written[at..at + size].iter().copied()).collect()
    }

    /// Puts back what `copy_out` gave.
    pub fn copy_in(&mut self, lane: usize, to: usize, bytes: &[(u8, bool)]) {
        let at = lane * self.size + to;
        for (offset, (byte, written)) in bytes.iter().enumerate() {
            self.bytes[at + offset] = *byte;
            self.written[at + offset] = *written;
        }
    }
}

/// The lanes of a mask.
#[inline(always)]
pub(super) fn lanes(mask: Mask) -> impl Iterator<Item = usize> {
    let mut left = mask;
    std::iter::from_fn(move || {
        (left != 0).then(|| {
            let lane = left.trailing_zeros() as usize;
            left &= left - 1;
            lane
        })
    })
}
