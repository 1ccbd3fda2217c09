//! What every step of a run is handed: instructions, threads, a clock. Not here: the steps (`plan`).

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::engine::cpu::parallel::threads::Threads;
use crate::engine::cpu::simd::instructions::Instructions;

/// With what a step runs.
#[derive(Clone, Copy)]
pub(crate) struct Run<'a> {
    pub(crate) instructions: Instructions,
    pub(crate) threads: &'a Threads,
    pub(crate) clock: Clock<'a>,
}

/// Time that threads spend in the parts of a step, when somebody asks for it.
#[derive(Clone, Copy)]
pub(crate) struct Clock<'a>(pub(crate) Option<&'a [Busy]>);

/// Time spent in a part, summed over threads.
#[derive(Debug, Default)]
pub(crate) struct Busy(AtomicU64);

/// A part that has begun.
pub(crate) struct Lap<'a> {
    clock: Clock<'a>,
    began: Option<Instant>,
}

impl<'a> Clock<'a> {
    /// Begins a part.
    pub(crate) fn lap(self) -> Lap<'a> {
        Lap { clock: self, began: self.0.map(|_| Instant::now()) }
    }
}

impl Lap<'_> {
    /// Ends the part, which was this one of the step's, and begins the next.
    pub(crate) fn next(&mut self, part: usize) {
        if let (Some(began), Some(busy)) = (&mut self.began, self.clock.0) {
            let now = Instant::now();
            busy[part].add(now - *began);
            *began = now;
        }
    }

    /// Ends the part, which was this one of the step's.
    pub(crate) fn end(mut self, part: usize) {
        self.next(part);
    }
}

impl Busy {
    pub(crate) fn add(&self, time: Duration) {
        self.0.fetch_add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// The time so far.
    pub(crate) fn time(&self) -> Duration {
        Duration::from_nanos(self.0.load(Ordering::Relaxed))
    }
}
