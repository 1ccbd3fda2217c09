//! `cp.async` on its way: issued, committed in groups, landed when its thread waits for it and not before. Hardware may land it at any time
//! between, so whoever reads early reads poison.

use std::collections::VecDeque;

use super::clocks::{Clocks, Thread};
use super::registers::{LANES, Mask};
use super::shared::Shared;

/// The copies of a warp.
#[derive(Default)]
pub struct Copies {
    queue: VecDeque<Pending>,
    /// Groups that each lane has committed.
    committed: [u32; LANES],
}

struct Pending {
    lane: usize,
    group: u32,
    to: usize,
    size: usize,
    bytes: u128,
}

impl Copies {
    /// A lane has issued a copy of these bytes.
    pub fn issue(&mut self, lane: usize, to: usize, size: usize, bytes: u128) {
        self.queue.push_back(Pending { lane, group: self.committed[lane], to, size, bytes });
    }

    /// Lanes close their groups.
    pub fn commit(&mut self, mask: Mask) {
        (0..LANES).filter(|lane| mask >> lane & 1 == 1).for_each(|lane| self.committed[lane] += 1);
    }

    /// Lands what lanes wait for: all but their last `left` groups, or everything.
    pub fn wait(&mut self, warp: usize, mask: Mask, left: Option<u32>, shared: &mut Shared, clocks: &Clocks) {
        let committed = &self.committed;
        self.queue.retain(|copy| {
            let waited = mask >> copy.lane & 1 == 1
                && left.is_none_or(|left| copy.group < committed[copy.lane].saturating_sub(left));
            if waited {
                shared.store(copy.to, copy.size, copy.bytes);
                shared.land(Thread { warp, lane: copy.lane }, copy.to, copy.size, clocks);
            }
            !waited
        });
    }
}
