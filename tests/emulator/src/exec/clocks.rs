//! Which accesses of a block's threads are ordered: vector clocks of its warps. Barriers order; running in lockstep does not, and neither does
//! `shfl.sync`. After Flanagan and Freund, "FastTrack" (2009), with a warp for a thread and `bar.warp.sync` inside it.

use std::collections::HashMap;

use super::registers::{LANES, Mask};

/// A thread of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Thread {
    /// Its warp.
    pub warp: usize,
    /// Its place in the warp.
    pub lane: usize,
}

/// What those who came to a barrier had seen: who leaves it has seen it too.
#[derive(Clone, Debug, Default)]
pub struct Released {
    /// Up to when of each warp's time all is ordered before.
    warps: Vec<u32>,
    /// Up to when what single lanes did is, where they came without the others of their warp.
    lanes: HashMap<usize, [u32; LANES]>,
}

impl Released {
    /// All that either has seen.
    pub fn join(&mut self, other: &Self) {
        if self.warps.len() < other.warps.len() {
            self.warps.resize(other.warps.len(), 0);
        }
        self.warps.iter_mut().zip(&other.warps).for_each(|(own, other)| *own = (*own).max(*other));
        join(&mut self.lanes, &other.lanes);
    }
}

/// The later of each lane's times.
fn join(own: &mut HashMap<usize, [u32; LANES]>, other: &HashMap<usize, [u32; LANES]>) {
    for (warp, times) in other {
        let own = own.entry(*warp).or_insert([0; LANES]);
        own.iter_mut().zip(times).for_each(|(own, other)| *own = (*own).max(*other));
    }
}

/// The clocks of a block.
pub struct Clocks {
    /// `[warp][other]`: up to when of the other's time all is ordered before this warp's next access.
    seen: Vec<Vec<u32>>,
    /// `[warp][lane]`: what other lanes of the warp did before this time is ordered before this lane's next access.
    joined: Vec<[u32; LANES]>,
    /// `[warp]`: what single lanes did, of each warp, that is ordered before this warp's next access beside what `seen` says.
    single: Vec<HashMap<usize, [u32; LANES]>>,
}

impl Clocks {
    /// Nothing has happened.
    pub fn new(warps: usize) -> Self {
        let mut clocks = Self {
            seen: vec![vec![0; warps]; warps],
            joined: vec![[0; LANES]; warps],
            single: vec![HashMap::new(); warps],
        };
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
        let together = if earlier.warp == now.warp {
            earlier.lane == now.lane || time < self.joined[now.warp][now.lane]
        } else {
            time <= self.seen[now.warp][earlier.warp]
        };
        together || self.saw_lane(earlier, time, now.warp)
    }

    /// Whether it is ordered by what the lane alone released.
    #[cold]
    #[inline(never)]
    fn saw_lane(&self, earlier: Thread, time: u32, now: usize) -> bool {
        self.single[now].get(&earlier.warp).is_some_and(|times| time <= times[earlier.lane])
    }

    /// What lanes release that arrive somewhere: what they did and have seen; all of the warp's where they are all of it.
    pub fn release(&mut self, warp: usize, mask: Mask, whole: bool) -> Released {
        let now = self.now(warp);
        let mut released = Released { warps: self.seen[warp].clone(), lanes: self.single[warp].clone() };
        if !whole {
            let of_mask = || (0..LANES).filter(|lane| mask >> lane & 1 == 1);
            // before they last met it is what all of the warp did
            released.warps[warp] = of_mask().map(|lane| self.joined[warp][lane]).max().unwrap_or(0).saturating_sub(1);
            let own = released.lanes.entry(warp).or_insert([0; LANES]);
            of_mask().for_each(|lane| own[lane] = now);
        }
        // what they do from now on is not what is waited for
        self.seen[warp][warp] += 1;
        released
    }

    /// Lanes of a warp go on behind what others released.
    pub fn acquire(&mut self, warp: usize, mask: Mask, released: &Released) {
        for (other, time) in released.warps.iter().enumerate() {
            if other == warp {
                let lanes = (0..LANES).filter(|lane| mask >> lane & 1 == 1);
                lanes.for_each(|lane| self.joined[warp][lane] = self.joined[warp][lane].max(time + 1));
            } else {
                self.seen[warp][other] = self.seen[warp][other].max(*time);
            }
        }
        join(&mut self.single[warp], &released.lanes);
    }

    /// The lanes of a mask have waited for each other.
    pub fn join_lanes(&mut self, warp: usize, mask: Mask) {
        self.seen[warp][warp] += 1;
        let now = self.now(warp);
        (0..LANES).filter(|lane| mask >> lane & 1 == 1).for_each(|lane| self.joined[warp][lane] = now);
    }

    /// What a warp that arrives at a barrier has seen.
    pub fn arrive(&mut self, warp: usize, together: &mut Released) {
        together.join(&Released { warps: self.seen[warp].clone(), lanes: self.single[warp].clone() });
        // what it does from now on is not what the others waited for
        self.seen[warp][warp] += 1;
    }

    /// Lanes of a warp leave a barrier at which all of these have arrived.
    pub fn leave(&mut self, warp: usize, mask: Mask, together: &Released) {
        let own = self.now(warp);
        self.seen[warp].iter_mut().zip(&together.warps).for_each(|(seen, all)| *seen = (*seen).max(*all));
        self.seen[warp][warp] = own;
        join(&mut self.single[warp], &together.lanes);
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
        let mut together = Released::default();
        clocks.arrive(0, &mut together);
        let after = clocks.now(0);
        clocks.arrive(1, &mut together);
        clocks.leave(1, Mask::MAX, &together);
        assert!(clocks.ordered(thread(0, 0), before, thread(1, 7)));
        assert!(!clocks.ordered(thread(0, 0), after, thread(1, 7)));
        clocks.leave(0, Mask::MAX, &together);
        assert!(clocks.ordered(thread(0, 0), before, thread(0, 1)));
    }

    #[test]
    fn a_lane_that_arrives_alone_releases_what_it_did_and_what_its_warp_did_before_they_met() {
        let mut clocks = Clocks::new(2);
        let before = clocks.now(0);
        clocks.join_lanes(0, Mask::MAX);
        let since = clocks.now(0);
        let released = clocks.release(0, 0b100, false);
        let after = clocks.now(0);
        clocks.acquire(1, Mask::MAX, &released);
        assert!(clocks.ordered(thread(0, 9), before, thread(1, 0)));
        assert!(clocks.ordered(thread(0, 2), since, thread(1, 0)));
        assert!(!clocks.ordered(thread(0, 9), since, thread(1, 0)));
        assert!(!clocks.ordered(thread(0, 2), after, thread(1, 0)));
    }
}
