//! What came of a simulation. Not here: what is made of it (`cli/plan`).

use std::time::Duration;

use crate::service::job::Computed;

/// Of the requests that were due in the measured time, what became of them; of the devices, what they did in it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    /// From when a request was due to its answer, of all that were answered, rising.
    latencies: Vec<Duration>,
    /// Of those, in the queue.
    queued: Duration,
    /// Refused, for the queue was full or would take longer than the deadline.
    pub rejected: u64,
    /// Not answered by their deadline.
    pub late: u64,
    /// The share of the time in which a device computed, the mean of all devices.
    pub busy: f64,
    /// The same of the decode pools' threads.
    pub decode_busy: f64,
    /// Images of a batch, the mean of all batches.
    pub mean_batch: f64,
}

impl Outcome {
    pub(super) fn answered(&mut self, latency: Duration, computed: &Computed) {
        self.latencies.push(latency);
        self.queued += computed.queue;
    }

    /// All have ended.
    pub(super) fn close(&mut self) {
        self.latencies.sort_unstable();
    }

    /// Requests that were answered in time.
    #[must_use]
    pub fn answers(&self) -> u64 {
        self.latencies.len() as u64
    }

    /// All requests.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.answers() + self.rejected + self.late
    }

    /// The share of requests that got no answer.
    #[must_use]
    pub fn failed(&self) -> f64 {
        (self.rejected + self.late) as f64 / (self.requests() as f64).max(1.0)
    }

    /// The latency that so large a share of the answered requests had at most; zero where there are none.
    #[must_use]
    pub fn latency(&self, share: f64) -> Duration {
        let rank = (share.clamp(0.0, 1.0) * self.latencies.len() as f64).ceil() as usize;
        self.latencies.get(rank.max(1) - 1).copied().unwrap_or_default()
    }

    /// Of an answered request, the mean: what `convnext_stage_duration_seconds{stage="queue"}` tells by its sum and count.
    #[must_use]
    pub fn mean_queue(&self) -> Duration {
        self.queued.checked_div(self.latencies.len() as u32).unwrap_or_default()
    }
}
