//! The sixteen barriers of a block: who waits, and what they reduce.

use super::registers::Mask;

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
    pub together: Vec<u32>,
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
pub(super) fn weight(aligned: bool, counted: bool, mask: Mask) -> u32 {
    if aligned && counted { 32 } else { mask.count_ones() }
}
