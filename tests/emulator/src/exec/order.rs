//! Which blocks' writes a block may rely on: those that were released to it, by a fence and an atomic of theirs and an atomic and a fence of
//! its own, as the memory model has it. At the grain of blocks: a block's barrier carries what one of its threads has acquired to all.

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
#[derive(Default)]
pub struct Order {
    known: Set,
    /// Seen through an atomic or a volatile read, but no fence stands behind it yet.
    seen: Set,
    /// Whether it wrote since its last fence.
    dirty: bool,
}

impl Order {
    /// It has written global memory.
    pub fn wrote(&mut self) {
        self.dirty = true;
    }

    /// A fence of the device's scope.
    pub fn fence(&mut self) {
        self.dirty = false;
        let seen = std::mem::take(&mut self.seen);
        self.known.join(&seen);
    }

    /// An atomic, or a strong load or store, at an address.
    pub fn touch(&mut self, own: u32, address: u64, released: &Released, [releases, acquires]: [Option<bool>; 2]) {
        let mut all = released.by_address.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = all.entry(address).or_default();
        if let Some(acquires) = acquires {
            if acquires { self.known.join(entry) } else { self.seen.join(entry) }
        }
        if releases.is_some_and(|releases| releases || !self.dirty) {
            entry.join(&self.known);
            entry.add(own);
        }
    }

    /// Whether another block's accesses are ordered before this one's; of several blocks nothing is known.
    pub fn knows(&self, block: Option<u32>) -> bool {
        block.is_some_and(|block| self.known.has(block))
    }
}
