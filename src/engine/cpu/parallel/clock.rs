//! The time that threads spend in each operation of a step. It is measured only for a profile.
//!
//! Not here: which operations are timed (`plan/fuse`).

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The clock of a step: a busy time for each of its timed operations, or None where nobody asks for a profile.
#[derive(Clone, Copy)]
pub(crate) struct Clock<'a>(pub(crate) Option<&'a [BusyTime]>);

/// Time spent in an operation, summed over threads.
#[derive(Debug, Default)]
pub(crate) struct BusyTime(AtomicU64);

/// Measures one task of a step.
pub(crate) struct Stopwatch<'a> {
    clock: Clock<'a>,
    started: Option<Instant>,
}

impl<'a> Clock<'a> {
    /// Starts to measure.
    pub(crate) fn start(self) -> Stopwatch<'a> {
        Stopwatch { clock: self, started: self.0.map(|_| Instant::now()) }
    }
}

impl Stopwatch<'_> {
    /// Adds the time since the start or the last lap to the timed operation with this index.
    pub(crate) fn lap(&mut self, op: usize) {
        if let (Some(started), Some(times)) = (&mut self.started, self.clock.0) {
            let now = Instant::now();
            times[op].add(now - *started);
            *started = now;
        }
    }

    /// The last lap.
    pub(crate) fn stop(mut self, op: usize) {
        self.lap(op);
    }
}

impl BusyTime {
    /// Adds a time, from any thread.
    pub(crate) fn add(&self, time: Duration) {
        self.0.fetch_add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// The time so far.
    pub(crate) fn get(&self) -> Duration {
        Duration::from_nanos(self.0.load(Ordering::Relaxed))
    }
}
