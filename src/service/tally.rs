//! The account of requests: `received = succeeded + failed + rejected + cancelled` once all have ended.

use std::sync::atomic::{AtomicU64, Ordering};

use super::ServiceError;
use crate::metrics::Metrics;

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It was answered.
    Succeeded,
    /// It got an error.
    Failed,
    /// It was turned away for want of room or readiness.
    Rejected,
    /// Its client left.
    Cancelled,
}

impl Outcome {
    pub(super) fn of(error: &ServiceError) -> Self {
        match error {
            ServiceError::Overloaded { .. } | ServiceError::NotReady(_) => Self::Rejected,
            _ => Self::Failed,
        }
    }
}

/// Counts of requests since the start.
#[derive(Debug, Default)]
pub(super) struct Tally {
    received: AtomicU64,
    ended: [AtomicU64; 4],
}

/// The account at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Requests that asked for admission.
    pub received: u64,
    /// Answered.
    pub succeeded: u64,
    /// Ended by an error of the request or of ours.
    pub failed: u64,
    /// Turned away: overloaded or not ready.
    pub rejected: u64,
    /// Dropped by their client.
    pub cancelled: u64,
}

impl Tally {
    pub(super) fn receive(&self) {
        self.received.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn end(&self, outcome: Outcome, metrics: &Metrics) {
        if outcome == Outcome::Cancelled {
            metrics.cancelled();
        }
        self.ended[outcome as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn counts(&self) -> Counts {
        let ended = |outcome: Outcome| self.ended[outcome as usize].load(Ordering::Relaxed);
        Counts {
            received: self.received.load(Ordering::Relaxed),
            succeeded: ended(Outcome::Succeeded),
            failed: ended(Outcome::Failed),
            rejected: ended(Outcome::Rejected),
            cancelled: ended(Outcome::Cancelled),
        }
    }
}
