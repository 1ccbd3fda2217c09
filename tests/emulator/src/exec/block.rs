//! A block: its warps in turns drawn by lot, and its barriers.

use super::barrier::Barriers;
use super::clocks::Clocks;
use super::grid::{Fault, Grid, TIMEOUT, Team};
use super::mbarrier::Mbarriers;
use super::order::Order;
use super::registers::LANES;
use super::shared::Shared;
use super::warp::{Turn, Wait, Warp};
use crate::count::Count;
use crate::memory::Worker;
use crate::sample::Sampled;

/// A block on its way.
pub struct Block {
    warps: Vec<Warp>,
    team: Team,
    lots: u64,
    /// How often all who wait for phases were told that these are not over, since something happened, and when that was.
    refused: (u32, u64),
}

/// So often all may ask for the end of a phase while nothing happens.
const PATIENCE: u32 = 1000;

/// The longest turn of a warp, in instructions, where turns are drawn.
const TURN: u64 = 128;

/// And where they are not.
const LONG_TURN: u64 = 4096;

impl Block {
    /// The block of this number, with room for its counts; `sampled` where not all of the launch run.
    pub fn new(grid: &Grid<'_>, number: u64, sampled: Option<Sampled>, counts: Vec<Count>) -> Self {
        let warps = grid.threads().div_ceil(LANES);
        let worker = Worker::new(grid.launch, number);
        let team = Team {
            number,
            worker,
            shared: Shared::new(grid.shared[0] + grid.shared[1], warps, grid.code.shared_granule, grid.checks),
            clocks: Clocks::new(warps),
            barriers: Barriers::default(),
            mbarriers: Mbarriers::default(),
            progress: 0,
            order: Order::new(grid.grid.iter().map(|size| u64::from(*size)).product(), worker.block(), warps),
            counts,
            unique: [0; 3],
            sampled: sampled.map(Box::new),
            infinite: None,
            live: grid.threads() as u32,
        };
        let lots = if grid.seed == 0 { 0 } else { (grid.seed ^ number.wrapping_mul(0xD134_2543_DE82_EF95)) | 1 };
        Self { warps: (0..warps).map(|warp| Warp::new(grid, number, warp)).collect(), team, lots, refused: (0, 0) }
    }

    /// Runs up to about so many instructions; whether it has ended.
    ///
    /// # Errors
    /// What a check has found.
    pub fn run(&mut self, grid: &Grid<'_>, budget: u64) -> Result<bool, Fault> {
        let mut ready: Vec<usize> = (0..self.warps.len()).filter(|warp| self.ready(*warp)).collect();
        let mut used = 0;
        while used < budget {
            if ready.is_empty() {
                if self.team.live == 0 {
                    return Ok(true);
                }
                self.refuse(grid)?;
                ready = (0..self.warps.len()).filter(|warp| self.ready(*warp)).collect();
            }
            if grid.seed == 0 {
                self.lots += 1;
            } else {
                self.lots ^= self.lots << 13;
                self.lots ^= self.lots >> 7;
                self.lots ^= self.lots << 17;
            }
            let (place, turn) = match grid.seed {
                // in rotation, for one warp may wait for another
                0 => ((self.lots as usize) % ready.len(), LONG_TURN),
                _ => ((self.lots >> 33) as usize % ready.len(), 1 + (self.lots >> 16) % TURN),
            };
            let turn = turn.min(budget - used);
            let warp = &mut self.warps[ready[place]];
            let before = warp.steps();
            let ended = warp.run(grid, &mut self.team, turn)?;
            used += warp.steps() - before + 1;
            let complete: Vec<usize> = self.team.barriers.complete(self.team.live).collect();
            for &id in &complete {
                let barrier = self.team.barriers.take(id);
                self.team.order.join();
                self.warps.iter_mut().for_each(|warp| warp.release(grid, &mut self.team, id, &barrier));
            }
            let ended_phase = self.team.mbarriers.take_completed();
            if ended_phase {
                self.warps.iter_mut().for_each(|warp| warp.wake(&mut self.team));
            }
            if !complete.is_empty() || ended_phase {
                ready = (0..self.warps.len()).filter(|warp| self.ready(*warp)).collect();
            } else if ended != Turn::Over {
                ready.remove(place);
            }
        }
        Ok(self.team.live == 0)
    }

    fn ready(&self, warp: usize) -> bool {
        self.warps[warp].fragments.iter().any(|fragment| fragment.wait == Wait::Nothing)
    }

    /// What the block did.
    pub fn finish(self) -> Team {
        self.team
    }

    /// Every thread waits: those who do for a phase are told that it is not over.
    fn refuse(&mut self, grid: &Grid<'_>) -> Result<(), Fault> {
        let (times, when) = self.refused;
        self.refused = if when == self.team.progress { (times + 1, when) } else { (0, self.team.progress) };
        if times == PATIENCE
            && let Some(fault) = self.warps.iter().find_map(|warp| warp.endless(&self.team))
        {
            return Err(fault);
        }
        let mut any = false;
        self.warps.iter_mut().for_each(|warp| any |= warp.refuse(grid));
        if any { Ok(()) } else { Err(self.deadlock(grid)) }
    }

    /// Every thread waits, and nobody can come.
    fn deadlock(&self, grid: &Grid<'_>) -> Fault {
        for warp in &self.warps {
            if let Some(lost) = warp.fragments.iter().find(|fragment| fragment.wait == Wait::Lanes) {
                return warp.divergent(grid, lost);
            }
        }
        let waits: Vec<String> = self
            .team
            .barriers
            .waiting()
            .map(|(id, barrier)| {
                let expected = barrier.expected.unwrap_or(self.team.live);
                format!("barrier {id} has {} of {expected} threads", barrier.arrived)
            })
            .collect();
        let stuck = self.warps.iter().find_map(|warp| Some((warp, warp.fragments.first()?)));
        let (op, thread) = stuck.map_or((0, None), |(warp, fragment)| {
            (fragment.pc, Some(warp.number * LANES + fragment.mask.trailing_zeros() as usize % LANES))
        });
        Fault {
            code: TIMEOUT,
            op,
            thread,
            text: format!("deadlock: {}, and no thread is left to come", waits.join(", ")),
        }
    }
}
