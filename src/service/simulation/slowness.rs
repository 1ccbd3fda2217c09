//! How a simulated device's speed changes with time: a machine that others share is slow for seconds at a time, and in such a stretch queues grow as they do not
//! where as many slow batches are spread evenly. Not here: what batches take otherwise (`speed`).

use std::time::Duration;

/// All stretches together: a simulation runs through each of them at least once.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// How much longer than by their own times batches take, stretch after stretch; behind the last comes the first again.
#[derive(Clone, Debug, PartialEq)]
pub struct Slowness {
    /// How long a stretch is.
    every: Duration,
    /// Of each stretch; never empty.
    factors: Vec<f64>,
}

impl Slowness {
    /// None where this is no slowness that can be: no stretch, one of no length, more than a day of them, a factor that is no positive number.
    #[must_use]
    pub fn new(every: Duration, factors: Vec<f64>) -> Option<Self> {
        let are_factors = factors.iter().all(|factor| factor.is_finite() && *factor > 0.0);
        let slowness = Self { every, factors };
        (are_factors && !every.is_zero() && (every..=LONGEST).contains(&slowness.period())).then_some(slowness)
    }

    /// How much longer a batch takes that begins so long behind the start.
    pub(super) fn at(&self, since: Duration) -> f64 {
        let stretch = since.as_nanos() / self.every.as_nanos();
        let index = (stretch % self.factors.len() as u128) as usize;
        self.factors[index]
    }

    /// Images a second, as a share of those at a factor of 1, of a device that is never idle.
    pub(super) fn rate(&self) -> f64 {
        self.factors.iter().map(|factor| factor.recip()).sum::<f64>() / self.factors.len() as f64
    }

    /// Until it begins again.
    pub(super) fn period(&self) -> Duration {
        self.every.saturating_mul(u32::try_from(self.factors.len()).unwrap_or(u32::MAX))
    }

    /// Any time of it, for a machine that is slow at other times than the next one.
    pub(super) fn any(&self, random: &mut fastrand::Rng) -> Duration {
        self.period().mul_f64(random.f64())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    const EVERY: Duration = Duration::from_millis(250);

    #[test]
    fn stretches_follow_each_other_and_begin_again() {
        let slowness = Slowness::new(EVERY, vec![1.0, 2.0, 4.0]).unwrap();
        for (ms, factor) in [(0, 1.0), (249, 1.0), (250, 2.0), (500, 4.0), (749, 4.0), (750, 1.0), (60_250, 2.0)] {
            assert_eq!(slowness.at(Duration::from_millis(ms)), factor, "{ms} ms");
        }
        assert_eq!(slowness.period(), 3 * EVERY);
        // of 250 ms each: 1, 1/2 and 1/4 of the images
        assert!((slowness.rate() - 1.75 / 3.0).abs() < 1e-12);
        let mut random = fastrand::Rng::with_seed(1);
        let mut seen: Vec<u64> = (0..100).map(|_| slowness.at(slowness.any(&mut random)) as u64).collect();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen, [1, 2, 4]);
    }

    #[test]
    fn what_is_no_slowness_is_refused() {
        assert_eq!(Slowness::new(EVERY, Vec::new()), None);
        assert_eq!(Slowness::new(Duration::ZERO, vec![1.0]), None);
        assert!(Slowness::new(LONGEST, vec![1.0]).is_some());
        assert_eq!(Slowness::new(LONGEST, vec![1.0, 1.0]), None);
        for wrong in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert_eq!(Slowness::new(EVERY, vec![1.0, wrong]), None, "{wrong}");
        }
    }
}
