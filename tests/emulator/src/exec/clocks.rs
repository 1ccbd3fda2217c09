//! Which accesses of a block's threads are ordered: vector clocks of its warps. Barriers order; running in lockstep does not, and neither does
//! `shfl.sync`. After Flanagan and Freund, "FastTrack" (2009), with a warp for a thread and `bar.warp.sync` inside it.

use super::registers::{LANES, Mask};

/// A thread of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Thread {
    /// Its warp.
    pub warp: usize,
    /// Its place in the warp.
    pub lane: usize,
}

/// The clocks of a block.
pub struct Clocks {
    /// `[warp][other]`: up to when of the other's time all is ordered before this warp's next access.
    seen: Vec<Vec<u32>>,
    /// `[warp][lane]`: what other lanes of the warp did before this time is ordered before this lane's next access.
    joined: Vec<[u32; LANES]>,
}

impl Clocks {
    /// Nothing has happened.
    pub fn new(warps: usize) -> Self {
        let mut clocks = Self { seen: vec![vec![0; warps]; warps], joined: vec![[0; LANES]; warps] };
        (0..warps).for_each(|warp| clocks.seen[warp][warp] = 1);
        clocks
    }

    /// The present time of a warp.
    #[inline(always)]
    pub fn now(&self, warp: usize) -> u32 {
        self.seen[warp][warp]
    }

    /// Whether what a thread did at a time is ordered before what another does now.
    #[inline(always)]
    pub fn ordered(&self, earlier: Thread, time: u32, now: Thread) -> bool {
        if earlier.warp == now.warp {
            earlier.lane == now.lane || time < self.joined[now.warp][now.lane]
        } else {
            time <= self.seen[now.warp][earlier.warp]
        }
    }

    /// The lanes of a mask have waited for each other.
    pub fn join_lanes(&mut self, warp: usize, mask: Mask) {
        self.seen[warp][warp] += 1;
        let now = self.now(warp);
        (0..LANES).filter(|lane| mask >> lane & 1 == 1).for_each(|lane| self.joined[warp][lane] = now);
    }

    /// What a warp that arrives at a barrier has seen.
    pub fn arrive(&mut self, warp: usize, together: &mut Vec<u32>) {
        together.resize(self.seen.len(), 0);
        together.iter_mut().zip(&self.seen[warp]).for_each(|(all, seen)| *all = (*all).max(*seen));
        // what it does from now on is not what the others waited for
        self.seen[warp][warp] += 1;
    }

    /// Lanes of a warp leave a barrier at which all of these have arrived.
    pub fn leave(&mut self, warp: usize, mask: Mask, together: &[u32]) {
        let own = self.now(warp);
        self.seen[warp].iter_mut().zip(together).for_each(|(seen, all)| *seen = (*seen).max(*all));
        self.seen[warp][warp] = own;
        (0..LANES).filter(|lane| mask >> lane & 1 == 1).for_each(|lane| self.joined[warp][lane] = own);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn thread(warp: usize, lane: usize) -> Thread {
        Thread { warp, lane }
    }

    #[test]
    fn lockstep_orders_nothing_and_a_warp_barrier_its_lanes() {
        let mut clocks = Clocks::new(2);
        let time = clocks.now(0);
        assert!(clocks.ordered(thread(0, 3), time, thread(0, 3)));
        assert!(!clocks.ordered(thread(0, 3), time, thread(0, 4)));
        clocks.join_lanes(0, 0b1_1000);
        assert!(clocks.ordered(thread(0, 3), time, thread(0, 4)));
        assert!(!clocks.ordered(thread(0, 3), time, thread(0, 5)));
        assert!(!clocks.ordered(thread(0, 3), time, thread(1, 4)));
    }

    #[test]
    fn a_barrier_orders_what_was_before_it_and_not_what_comes_after() {
        let mut clocks = Clocks::new(2);
        let before = clocks.now(0);
        let mut together = Vec::new();
        clocks.arrive(0, &mut together);
        let after = clocks.now(0);
        clocks.arrive(1, &mut together);
        clocks.leave(1, Mask::MAX, &together);
        assert!(clocks.ordered(thread(0, 0), before, thread(1, 7)));
        assert!(!clocks.ordered(thread(0, 0), after, thread(1, 7)));
        clocks.leave(0, Mask::MAX, &together);
        assert!(clocks.ordered(thread(0, 0), before, thread(0, 1)));
    }
}
