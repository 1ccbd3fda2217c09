//! The sixteen barriers of a block: who waits, and what they reduce.

use super::clocks::Released;
use super::grid::{Fault, Grid, LAUNCH_FAILED, Team};
use super::op::{self, Action, Vote};
use super::registers::{LANES, Mask};
use super::warp::{Fragment, Wait, Warp};

/// All of a block.
#[derive(Default)]
pub struct Barriers {
    all: [Barrier; 16],
}

/// One barrier, until all have come.
#[derive(Clone, Debug, Default)]
pub struct Barrier {
    /// Threads that have come, whether they wait or not.
    pub arrived: u32,
    /// How many must come; None for all that are alive.
    pub expected: Option<u32>,
    /// Threads that wait.
    pub waiting: u32,
    /// What those who came have seen.
    pub together: Released,
    /// How many brought a true predicate.
    pub votes: u32,
    /// How many brought one.
    pub voters: u32,
}

impl Barriers {
    /// The barrier of a number; there are 16.
    pub fn get(&mut self, id: usize) -> Option<&mut Barrier> {
        self.all.get_mut(id)
    }

    /// Barriers at which all have come, when so many threads are alive.
    pub fn complete(&self, live: u32) -> impl Iterator<Item = usize> + '_ {
        self.all.iter().enumerate().filter_map(move |(id, barrier)| {
            let done = barrier.waiting > 0 && barrier.arrived >= barrier.expected.unwrap_or(live);
            done.then_some(id)
        })
    }

    /// Takes a barrier that is complete; it begins anew.
    pub fn take(&mut self, id: usize) -> Barrier {
        std::mem::take(&mut self.all[id])
    }

    /// Barriers at which someone waits.
    pub fn waiting(&self) -> impl Iterator<Item = (usize, &Barrier)> {
        self.all.iter().enumerate().filter(|(_, barrier)| barrier.waiting > 0)
    }
}

/// How many threads a warp counts as at a barrier that all its lanes reach together: those of a count are multiples of 32.
fn weight(aligned: bool, counted: bool, mask: Mask) -> u32 {
    if aligned && counted { 32 } else { mask.count_ones() }
}

impl Warp {
    /// A barrier of the block.
    pub(super) fn barrier(
        &mut self,
        team: &mut Team,
        index: usize,
        barrier: &op::Barrier,
        mask: Mask,
    ) -> Result<bool, Fault> {
        let pc = self.fragments[index].pc;
        if barrier.aligned && mask != self.live {
            self.uncount(team, pc, mask);
            self.skip(index, mask);
            self.fragments[index].wait = Wait::Lanes;
            return Ok(false);
        }
        let first = mask.trailing_zeros() as usize % LANES;
        let id = self.registers.lane(barrier.id, first) as u32 as usize;
        let count = barrier.count.map(|slot| self.registers.lane(slot, first) as u32);
        let votes = barrier.reduction.map(|reduction| {
            let (slot, negated) = reduction.predicate;
            let bits = self.registers.predicate(slot);
            mask & if negated { !bits } else { bits }
        });
        let Some(state) = team.barriers.get(id) else {
            return Err(self.fault(pc, mask, LAUNCH_FAILED, format!("barrier {id} of 16")));
        };
        if count.is_some_and(|count| count == 0 || !count.is_multiple_of(32))
            || state.waiting > 0 && state.expected != count
        {
            let text = format!("barrier {id} for {count:?} threads, while others wait for {:?}", state.expected);
            return Err(self.fault(pc, mask, LAUNCH_FAILED, text));
        }
        state.expected = count;
        state.arrived += weight(barrier.aligned, count.is_some(), mask);
        team.clocks.arrive(self.number, &mut state.together);
        if let Some(votes) = votes {
            state.votes += votes.count_ones();
            state.voters += mask.count_ones();
        }
        if !barrier.arrive {
            state.waiting += mask.count_ones();
        }
        self.skip(index, mask);
        if barrier.arrive {
            self.fragments[index].pc += 1;
        } else {
            self.fragments[index].wait = Wait::Barrier(id);
        }
        Ok(true)
    }

    /// Leaves a barrier that is complete.
    pub(super) fn release(&mut self, grid: &Grid<'_>, team: &mut Team, id: usize, barrier: &Barrier) {
        for index in 0..self.fragments.len() {
            let Fragment { mask, pc, wait, .. } = self.fragments[index];
            if wait != Wait::Barrier(id) {
                continue;
            }
            if let Action::Barrier(op::Barrier { reduction: Some(reduction), .. }) = &grid.code.ops[pc].action {
                let value = match reduction.kind {
                    Vote::Count => barrier.votes,
                    Vote::All => u32::from(barrier.votes == barrier.voters),
                    Vote::Any => u32::from(barrier.votes > 0),
                };
                self.registers.write(reduction.into, &[value; LANES], mask);
            }
            team.clocks.leave(self.number, mask, &barrier.together);
            self.fragments[index].pc += 1;
            self.fragments[index].wait = Wait::Nothing;
        }
    }
}
