//! A token bucket, sans IO: how many images may come now, and when the next may. Not here: whose it is (`limiter`).

use std::time::{Duration, Instant};

/// What sums of fractions may lack, so that who comes back exactly when told is let in.
const ROUNDING: f64 = 1e-6;

/// Tokens that come back at a steady rate, up to a burst. An image costs one.
///
/// A request begins where there is a token, and what it brings beyond its first image is owed: its size is known only after its
/// body. So a request larger than the burst is possible, and the rate holds all the same.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bucket {
    /// Tokens per second.
    rate: f64,
    burst: f64,
    /// Less than nothing while some are owed.
    tokens: f64,
    /// When they were counted.
    at: Instant,
}

impl Bucket {
    /// A full one.
    pub(super) fn new(rate: f64, burst: f64, now: Instant) -> Self {
        Self { rate, burst, tokens: burst, at: now }
    }

    /// The same tokens under other terms.
    pub(super) fn with(self, rate: f64, burst: f64, now: Instant) -> Self {
        let mut old = self;
        old.refill(now);
        Self { rate, burst, tokens: old.tokens.min(burst), at: now }
    }

    /// Takes a token.
    ///
    /// # Errors
    /// How long until there is one.
    pub(super) fn take(&mut self, now: Instant) -> Result<(), Duration> {
        self.refill(now);
        if self.tokens < 1.0 - ROUNDING {
            let seconds = (1.0 - self.tokens) / self.rate;
            return Err(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX));
        }
        self.tokens -= 1.0;
        Ok(())
    }

    /// Takes so many tokens, also those that are not there.
    pub(super) fn owe(&mut self, tokens: f64, now: Instant) {
        self.refill(now);
        self.tokens -= tokens;
    }

    fn refill(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.tokens = passed.mul_add(self.rate, self.tokens).min(self.burst);
        self.at = self.at.max(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_burst_passes_and_then_the_rate() {
        let start = Instant::now();
        let mut bucket = Bucket::new(2.0, 3.0, start);
        for _ in 0..3 {
            assert_eq!(bucket.take(start), Ok(()));
        }
        assert_eq!(bucket.take(start), Err(SECOND / 2));
        assert_eq!(bucket.take(start + SECOND / 4), Err(SECOND / 4), "a refusal costs nothing");
        assert_eq!(bucket.take(start + SECOND / 2), Ok(()));
        assert!(bucket.take(start + SECOND / 2).is_err());
        for _ in 0..3 {
            assert_eq!(bucket.take(start + 100 * SECOND), Ok(()), "no more than a burst is saved up");
        }
        assert_eq!(bucket.take(start + 100 * SECOND), Err(SECOND / 2));
    }

    #[test]
    fn who_comes_back_exactly_when_told_is_let_in_whatever_the_rate() {
        for rate in [0.001, 1.0 / 3.0, 0.7, 3.0, 7.0, 1000.0, 1e6] {
            let mut now = Instant::now();
            let mut bucket = Bucket::new(rate, 1.0, now);
            for image in 0..1000 {
                if let Err(wait) = bucket.take(now) {
                    now += wait;
                    assert_eq!(bucket.take(now), Ok(()), "image {image} at {rate}/s");
                }
            }
        }
    }

    #[test]
    fn what_a_request_brings_beyond_its_first_image_is_owed() {
        let start = Instant::now();
        let mut bucket = Bucket::new(10.0, 5.0, start);
        assert_eq!(bucket.take(start), Ok(()));
        bucket.owe(23.0, start); // of five tokens: 19 are owed
        assert_eq!(bucket.take(start), Err(2 * SECOND));
        assert_eq!(bucket.take(start + 2 * SECOND), Ok(()));
    }

    #[test]
    fn other_terms_leave_what_was_spent() {
        let start = Instant::now();
        let mut bucket = Bucket::new(1.0, 10.0, start);
        bucket.owe(10.0, start);
        let mut faster = bucket.with(4.0, 20.0, start + SECOND / 2);
        assert_eq!(faster.take(start + SECOND / 2), Err(SECOND / 8), "half a token of the old rate, half of the new");
        assert_eq!(Bucket::new(1.0, 10.0, start).with(1.0, 2.0, start).tokens, 2.0);
    }

    #[test]
    fn a_clock_that_goes_back_gives_nothing() {
        let start = Instant::now() + SECOND;
        let mut bucket = Bucket::new(1.0, 1.0, start);
        assert_eq!(bucket.take(start), Ok(()));
        assert!(bucket.take(start - SECOND).is_err());
        assert!(bucket.take(start).is_err());
    }
}
