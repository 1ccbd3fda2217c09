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

/// A copy that has not landed.
pub struct Pending {
    lane: usize,
    group: u32,
    to: usize,
    size: usize,
    bytes: u128,
    /// Those of them that nothing has written.
    unwritten: u16,
}

impl Pending {
    /// Lands it, as a write of a thread at a time.
    pub fn land(&self, thread: Thread, time: u32, shared: &mut Shared) {
        shared.store(self.to, self.size, self.bytes);
        shared.land(thread, time, self.to, self.size);
        shared.forget(self.to, self.unwritten);
    }
}

impl Copies {
    /// A lane has issued a copy of these bytes.
    pub fn issue(&mut self, lane: usize, to: usize, size: usize, (bytes, unwritten): (u128, u16)) {
        self.queue.push_back(Pending { lane, group: self.committed[lane], to, size, bytes, unwritten });
    }

    /// Lanes close their groups.
    pub fn commit(&mut self, mask: Mask) {
        (0..LANES).filter(|lane| mask >> lane & 1 == 1).for_each(|lane| self.committed[lane] += 1);
    }

    /// Lands what lanes wait for: all but their last `left` groups, or everything.
    pub fn wait(&mut self, warp: usize, mask: Mask, left: Option<u32>, shared: &mut Shared, clocks: &Clocks) {
        let committed = &self.committed;
        self.queue.retain(|copy| {
            let waited = mask >> copy.lane & 1 == 1 && is_waited(committed[copy.lane], copy, left);
            if waited {
                copy.land(Thread { warp, lane: copy.lane }, clocks.now(warp), shared);
            }
            !waited
        });
    }

    /// Whether a lane that waits for all but its last `left` groups, or for everything, waits for a copy of its own.
    pub fn is_waited(&self, lane: usize, copy: &Pending, left: Option<u32>) -> bool {
        is_waited(self.committed[lane], copy, left)
    }

    /// Gives away the copies of a lane, which an mbarrier tracks from now on.
    pub fn take(&mut self, lane: usize) -> Vec<Pending> {
        let (taken, left) = std::mem::take(&mut self.queue).into_iter().partition(|copy| copy.lane == lane);
        self.queue = left;
        Vec::from_iter::<VecDeque<_>>(taken)
    }
}

fn is_waited(committed: u32, copy: &Pending, left: Option<u32>) -> bool {
    left.is_none_or(|left| copy.group < committed.saturating_sub(left))
}
