//! Where a device's thread has the time from. Not here: a clock that is simulated (`simulation`).

use std::time::Instant;

/// The system's clock, or a simulation's.
pub(in crate::service) trait Clock {
    fn now(&self) -> Instant;
}

/// The system's clock.
pub(in crate::service) struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Instant {
        Instant::now()
    }
}
