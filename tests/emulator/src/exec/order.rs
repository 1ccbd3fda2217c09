//! Which blocks' writes a block may rely on: those that were released to it, by a fence and an atomic of theirs and an atomic and a fence of
//! its own, as the memory model has it. At the grain of blocks: what one thread of a block has acquired counts for all, and for good.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// What blocks have released through each address.
#[derive(Default)]
pub struct Released {
    by_address: Mutex<HashMap<u64, Set>>,
}

/// Blocks by number.
#[derive(Clone, Debug, Default)]
struct Set {
    bits: Vec<u64>,
}

impl Set {
    fn add(&mut self, block: u32) {
        let word = block as usize / 64;
        if self.bits.len() <= word {
            self.bits.resize(word + 1, 0);
        }
        self.bits[word] |= 1 << (block % 64);
    }

    fn has(&self, block: u32) -> bool {
        self.bits.get(block as usize / 64).is_some_and(|word| word >> (block % 64) & 1 == 1)
    }

    fn join(&mut self, other: &Self) {
        if self.bits.len() < other.bits.len() {
            self.bits.resize(other.bits.len(), 0);
        }
        self.bits.iter_mut().zip(&other.bits).for_each(|(own, other)| *own |= other);
    }
}

/// What one block has acquired and can release.
pub struct Order {
    blocks: u64,
    own: u32,
    known: Set,
    /// Of each warp: seen through an atomic or a volatile read, but no fence of its own stands behind it yet.
    seen: Vec<Set>,
    /// Warps that wrote, or waited at a barrier with one that did, since their last fence.
    dirty: Vec<bool>,
}

impl Order {
    /// Of a block of so many warps, one of so many.
    pub fn new(blocks: u64, own: u32, warps: usize) -> Self {
        Self { blocks, own, known: Set::default(), seen: vec![Set::default(); warps], dirty: vec![false; warps] }
    }

    /// A warp has written global memory.
    #[inline(always)]
    pub fn wrote(&mut self, warp: usize) {
        self.dirty[warp] = true;
    }

    /// A barrier of the block: a fence behind it is one for the writes of all who came, and for what they have seen.
    pub fn join(&mut self) {
        let dirty = self.dirty.contains(&true);
        self.dirty.fill(dirty);
        if self.seen.iter().any(|seen| !seen.bits.is_empty()) {
            let all = self.seen.iter().fold(Set::default(), |mut all, seen| {
                all.join(seen);
                all
            });
            self.seen.fill(all);
        }
    }

    /// A warp's fence of the device's scope.
    pub fn fence(&mut self, warp: usize) {
        self.dirty[warp] = false;
        let seen = std::mem::take(&mut self.seen[warp]);
        self.known.join(&seen);
    }

    /// A warp is about to store, or to do an atomic, at an address; with `.release` or behind a fence others may rely on what it did before.
    pub fn release(&mut self, warp: usize, address: u64, released: &Released, releases: bool) {
        if releases || !self.dirty[warp] {
            let mut all = released.by_address.lock().unwrap_or_else(PoisonError::into_inner);
            let entry = all.entry(address).or_default();
            entry.join(&self.known);
            entry.add(self.own);
        }
    }

    /// A load or an atomic of a warp at an address is done; with `.acquire`, or once a fence follows, what was released there can be relied on.
    pub fn acquire(&mut self, warp: usize, address: u64, released: &Released, acquires: bool) {
        let all = released.by_address.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = all.get(&address) {
            if acquires { self.known.join(entry) } else { self.seen[warp].join(entry) }
        }
    }

    /// Whether another block's accesses are ordered before this one's; for None, those of all others.
    pub fn knows(&self, block: Option<u32>) -> bool {
        match block {
            Some(block) => self.known.has(block),
            None => {
                let known: u32 = self.known.bits.iter().map(|word| word.count_ones()).sum();
                u64::from(known - u32::from(self.known.has(self.own))) + 1 >= self.blocks
            }
        }
    }
}
