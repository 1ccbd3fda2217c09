//! The queue of one model, sans IO: it holds entries and says which may run, and knows neither clock, thread nor channel.
//!
//! Every method takes the time as an argument, so that tests and simulations drive it with a clock of their own. Several queues
//! share the devices through the [`Scheduler`](super::scheduler::Scheduler).

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Names an entry from before it is pushed, so that its owner can cancel it at any time. Rises in the order of admission,
/// which is the order of service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EntryId(pub u64);

/// An image that waits.
#[derive(Debug, PartialEq, Eq)]
pub struct Entry<T> {
    /// Its name.
    pub id: EntryId,
    /// When it was pushed.
    pub enqueued: Instant,
    /// When its answer is worth nothing any more.
    pub deadline: Instant,
    /// When it need not wait for company any longer.
    ripe: Instant,
    /// What the owner wants back.
    pub payload: T,
}

/// Whether a batch may run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Readiness {
    /// This many entries wait and may run now.
    Now(usize),
    /// The first entry becomes ripe then, if no more come before.
    RipeAt(Instant),
    /// Nothing waits.
    Empty,
}

/// Entries of one model by admission.
#[derive(Debug)]
pub struct Queue<T> {
    entries: BTreeMap<EntryId, Entry<T>>,
    max_delay: Duration,
    /// No deadline of an entry is earlier: until then nobody need look at them all.
    first_deadline: Option<Instant>,
}

impl<T> Queue<T> {
    /// An empty queue whose entries wait up to `max_delay` for company while a device idles.
    #[must_use]
    pub fn new(max_delay: Duration) -> Self {
        Self { entries: BTreeMap::new(), max_delay, first_deadline: None }
    }

    /// Entries that wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// What waits, in the order of service.
    pub(super) fn payloads(&self) -> impl Iterator<Item = &T> {
        self.entries.values().map(|entry| &entry.payload)
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Adds an entry. One that comes while every device is busy has its delay behind it when one becomes free; one that is in a hurry
    /// waits for company for half of its time at most.
    pub(super) fn push(&mut self, id: EntryId, now: Instant, deadline: Instant, device_idles: bool, payload: T) {
        let delay = if device_idles { self.max_delay } else { Duration::ZERO };
        let ripe = now + delay.min(deadline.saturating_duration_since(now) / 2);
        self.first_deadline = Some(self.first_deadline.map_or(deadline, |first| first.min(deadline)));
        self.entries.insert(id, Entry { id, enqueued: now, deadline, ripe, payload });
    }

    /// Takes an entry out, if it still waits.
    pub(super) fn cancel(&mut self, id: EntryId) -> Option<T> {
        self.entries.remove(&id).map(|entry| entry.payload)
    }

    /// Takes out the entries whose deadline has come.
    pub(super) fn expire(&mut self, now: Instant) -> Vec<Entry<T>> {
        if self.first_deadline.is_none_or(|first| first > now) {
            return Vec::new();
        }
        let expired = self.entries.extract_if(.., |_, entry| entry.deadline <= now).map(|(_, entry)| entry).collect();
        self.first_deadline = self.entries.values().map(|entry| entry.deadline).min();
        expired
    }

    /// Whether a batch may run now, where no more than `largest` entries run at once.
    pub(super) fn readiness(&self, now: Instant, largest: usize) -> Readiness {
        if self.is_empty() {
            return Readiness::Empty;
        }
        if self.max_delay.is_zero() || self.len() >= largest {
            return Readiness::Now(self.len());
        }
        let ripe = self.entries.values().map(|entry| entry.ripe).min().unwrap_or(now);
        if ripe <= now { Readiness::Now(self.len()) } else { Readiness::RipeAt(ripe) }
    }

    /// Takes out the first `count` entries.
    pub(super) fn take(&mut self, count: usize) -> Vec<Entry<T>> {
        std::iter::from_fn(|| self.entries.pop_first()).take(count).map(|(_, entry)| entry).collect()
    }
}
