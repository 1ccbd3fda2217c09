//! The clock of a simulated device: what its thread takes for the time, and until when the device computes. Not here: what moves it (`executable`, `fleet`).

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::service::device::Clock;

/// Cheap to clone; all clones show the same time.
#[derive(Clone, Debug)]
pub(in crate::service) struct SimulatedClock(Arc<Mutex<Shown>>);

#[derive(Debug)]
struct Shown {
    /// When requests begin to come.
    start: Instant,
    /// What the device's thread sees.
    now: Instant,
    /// When the device is done with all that was launched.
    computed: Instant,
    /// When all is copied to it that was launched.
    copied: Instant,
    /// When each of the launched batches is through, the oldest first.
    ends: VecDeque<Instant>,
    /// What is counted: work in this time.
    window: Range<Instant>,
    /// Of the window, in which the device computed.
    busy: Duration,
    batches: u64,
    images: u64,
}

/// What a device did in the window.
#[derive(Clone, Copy, Debug)]
pub(in crate::service) struct Worked {
    /// In which it computed.
    pub(in crate::service) busy: Duration,
    /// Launched in the window.
    pub(in crate::service) batches: u64,
    pub(in crate::service) images: u64,
}

impl SimulatedClock {
    pub(in crate::service) fn new(start: Instant) -> Self {
        Self(Arc::new(Mutex::new(Shown {
            start,
            now: start,
            computed: start,
            copied: start,
            ends: VecDeque::new(),
            window: start..start,
            busy: Duration::ZERO,
            batches: 0,
            images: 0,
        })))
    }

    fn lock(&self) -> MutexGuard<'_, Shown> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The thread works, or waits, for so long.
    pub(in crate::service) fn pass(&self, time: Duration) {
        self.lock().now += time;
    }

    /// The thread waits until then, unless that has passed.
    pub(in crate::service) fn reach(&self, at: Instant) {
        let mut shown = self.lock();
        shown.now = shown.now.max(at);
    }

    /// Requests begin to come at this time, which the thread waits for.
    pub(in crate::service) fn start(&self, at: Instant) {
        self.reach(at);
        self.lock().start = at;
    }

    /// From now on work in this window counts, and nothing before.
    pub(in crate::service) fn count(&self, window: Range<Instant>) {
        let mut shown = self.lock();
        shown.window = window;
        (shown.busy, shown.batches, shown.images) = (Duration::ZERO, 0, 0);
    }

    pub(in crate::service) fn worked(&self) -> Worked {
        let shown = self.lock();
        Worked { busy: shown.busy, batches: shown.batches, images: shown.images }
    }

    /// When the thread, which waits for the oldest batch, goes on.
    pub(in crate::service) fn wakes(&self) -> Instant {
        let shown = self.lock();
        shown.ends.front().map_or(shown.now, |end| shown.now.max(*end))
    }

    /// A batch was launched: it is copied behind those before it, and computed behind those before it. `compute` is told for how long the device had
    /// nothing to compute, and how long behind the start it begins, and says what it takes.
    pub(super) fn launch(&self, images: usize, copy: Duration, compute: impl FnOnce(Duration, Duration) -> Duration) {
        let mut shown = self.lock();
        let pause = shown.now.saturating_duration_since(shown.computed);
        shown.copied = shown.copied.max(shown.now) + copy;
        let begin = shown.computed.max(shown.copied);
        let end = begin + compute(pause, begin.saturating_duration_since(shown.start));
        shown.computed = end;
        shown.ends.push_back(end);
        let Range { start, end: last } = shown.window;
        shown.busy += end.min(last).saturating_duration_since(begin.max(start));
        if shown.window.contains(&shown.now) {
            shown.batches += 1;
            shown.images += images as u64;
        }
    }

    /// The thread waits for the oldest batch.
    pub(super) fn finish(&self) {
        let wakes = self.wakes();
        let mut shown = self.lock();
        shown.ends.pop_front();
        shown.now = wakes;
    }
}

impl Clock for SimulatedClock {
    fn now(&self) -> Instant {
        self.lock().now
    }
}
