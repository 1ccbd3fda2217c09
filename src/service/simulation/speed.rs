//! How fast a simulated device is: what its batches take, and what its thread pays for each. Not here: where the figures are from.

use std::time::Duration;

use crate::engine::Buckets;

/// The shares of runs of which it is known what they took at most. Closer to the end, where few runs are long and weigh much.
pub const SHARES: [f64; 12] = [0.0, 0.05, 0.25, 0.5, 0.75, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999, 1.0];

/// What batches of a size take.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BatchTime {
    /// Images of a batch.
    pub images: usize,
    /// Seconds that the runs took at most, of each of the [`SHARES`]; rising.
    pub quantiles: [f64; SHARES.len()],
}

impl BatchTime {
    /// All runs take the same.
    #[must_use]
    pub fn constant(images: usize, seconds: f64) -> Self {
        Self { images, quantiles: [seconds; SHARES.len()] }
    }

    /// The mean of all runs.
    fn mean(&self) -> f64 {
        let pieces = SHARES.windows(2).zip(self.quantiles.windows(2));
        pieces.map(|(share, seconds)| (share[1] - share[0]) * (seconds[0] + seconds[1]) / 2.0).sum()
    }

    /// What so large a share of the runs takes at most.
    fn at(&self, share: f64) -> f64 {
        let above = SHARES.partition_point(|known| *known < share).clamp(1, SHARES.len() - 1);
        let (from, to) = (SHARES[above - 1], SHARES[above]);
        let (low, high) = (self.quantiles[above - 1], self.quantiles[above]);
        low + (high - low) * (share - from) / (to - from)
    }
}

/// How fast a device runs a model.
#[derive(Clone, Debug, PartialEq)]
pub struct Speed {
    /// By rising size, the first of one image. Sizes between two are on the line between them.
    pub(in crate::service) times: Vec<BatchTime>,
    /// The sizes that run without padding.
    pub(in crate::service) buckets: Buckets,
    /// Batches that are launched and not finished, at most.
    pub(in crate::service) in_flight: usize,
    /// What the device's thread pays for a launch, and once more for waiting.
    pub(in crate::service) launch: Duration,
    /// What it pays for an answer: a channel, metrics, an allocation.
    pub(in crate::service) answer: Duration,
    /// To the device, an image; batches are copied while others compute.
    pub(in crate::service) copy: Duration,
}

/// These times are no speed of a device.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpeedError {
    /// None of one image.
    #[error("the time of a batch of one image is needed")]
    NoSingle,
    /// A time that is none.
    #[error("a batch of {0} takes no time that can be")]
    NoTime(usize),
    /// Nothing is known of the largest batch.
    #[error("batches of up to {wanted} images are to run, and times are known up to {known}")]
    Unknown {
        /// The largest batch.
        wanted: usize,
        /// The largest of the times.
        known: usize,
    },
}

impl Speed {
    /// A CPU: any size up to `max_batch`, one batch at a time. Launches, answers and copies are part of the times.
    ///
    /// # Errors
    /// [`SpeedError`].
    pub fn of_cpu(times: Vec<BatchTime>, max_batch: usize) -> Result<Self, SpeedError> {
        let buckets = Buckets::Any(max_batch);
        let zero = Duration::ZERO;
        Self { times, buckets, in_flight: 1, launch: zero, answer: zero, copy: zero }.checked()
    }

    /// A GPU as the CUDA engine drives it: sizes that double up to `max_batch`, two batches in flight, of which one is copied while the other
    /// computes. `launch`, `answer`: what its thread pays for a launch and for an image's answer; `copy`: of an image.
    ///
    /// # Errors
    /// [`SpeedError`].
    pub fn of_gpu(
        times: Vec<BatchTime>,
        max_batch: usize,
        [launch, answer, copy]: [Duration; 3],
    ) -> Result<Self, SpeedError> {
        let doubling = std::iter::successors(Some(1), |size| Some(size * 2)).take_while(|size| *size < max_batch);
        let buckets = Buckets::Fixed(doubling.chain([max_batch]).collect());
        Self { times, buckets, in_flight: 2, launch, answer, copy }.checked()
    }

    fn checked(mut self) -> Result<Self, SpeedError> {
        self.times.sort_by_key(|time| time.images);
        if self.times.first().is_none_or(|first| first.images != 1) {
            return Err(SpeedError::NoSingle);
        }
        let is_no_time = |time: &&BatchTime| {
            let are_times = time.quantiles.iter().all(|seconds| seconds.is_finite() && *seconds > 0.0);
            !are_times || !time.quantiles.is_sorted()
        };
        if let Some(wrong) = self.times.iter().find(is_no_time) {
            return Err(SpeedError::NoTime(wrong.images));
        }
        let known = self.times.last().map_or(0, |last| last.images);
        let wanted = self.buckets.max();
        if wanted > known { Err(SpeedError::Unknown { wanted, known }) } else { Ok(self) }
    }

    /// The batch sizes that run without padding.
    #[must_use]
    pub fn buckets(&self) -> &Buckets {
        &self.buckets
    }

    /// Images a second at most: those of the best batch again and again.
    #[must_use]
    pub fn capacity(&self) -> f64 {
        let rate = |images: usize| {
            let compute = self.time(images).mean();
            let thread = 2.0 * self.launch.as_secs_f64() + self.answer.as_secs_f64() * images as f64;
            images as f64 / compute.max(thread).max(self.copy.as_secs_f64() * images as f64)
        };
        (1..=self.buckets.max()).map(rate).fold(0.0, f64::max)
    }

    /// What batches of so many images take, padded where they must be.
    fn time(&self, images: usize) -> BatchTime {
        let size = self.buckets.of(images);
        let above = self.times.partition_point(|time| time.images < size).min(self.times.len() - 1);
        let (low, high) = (self.times[above.saturating_sub(1)], self.times[above]);
        if high.images == size || low.images == high.images {
            return high;
        }
        let share = (size - low.images) as f64 / (high.images - low.images) as f64;
        let between = |index: usize| low.quantiles[index] + (high.quantiles[index] - low.quantiles[index]) * share;
        BatchTime { images: size, quantiles: std::array::from_fn(between) }
    }

    /// What a batch takes this time.
    pub(super) fn compute(&self, images: usize, random: &mut fastrand::Rng) -> Duration {
        Duration::try_from_secs_f64(self.time(images).at(random.f64())).unwrap_or(Duration::MAX)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn times(of: &[(usize, f64)]) -> Vec<BatchTime> {
        of.iter().map(|&(images, seconds)| BatchTime::constant(images, seconds)).collect()
    }

    const FREE: [Duration; 3] = [Duration::ZERO; 3];

    #[test]
    fn sizes_between_are_on_the_line_and_a_gpu_pads_to_its_bucket() {
        let known = times(&[(8, 8.0), (1, 1.0), (4, 2.5)]);
        let mut random = fastrand::Rng::with_seed(0);
        let mut seconds = |speed: &Speed, images| speed.compute(images, &mut random).as_secs_f64();
        let cpu = Speed::of_cpu(known.clone(), 8).unwrap();
        assert_eq!((seconds(&cpu, 1), seconds(&cpu, 2), seconds(&cpu, 6)), (1.0, 1.5, 5.25));
        let gpu = Speed::of_gpu(known, 8, FREE).unwrap();
        assert_eq!((seconds(&gpu, 1), seconds(&gpu, 3), seconds(&gpu, 5)), (1.0, 2.5, 8.0));
        assert_eq!(*gpu.buckets(), Buckets::Fixed(vec![1, 2, 4, 8]));
        assert!((gpu.capacity() - 4.0 / 2.5).abs() < 1e-12);
    }

    #[test]
    fn the_spread_of_batches_is_the_one_that_was_given() {
        let quantiles = [8.0, 9.0, 9.5, 10.0, 11.0, 13.0, 14.0, 15.0, 16.0, 18.0, 25.0, 60.0];
        let cpu = Speed::of_cpu(vec![BatchTime { images: 1, quantiles }], 1).unwrap();
        let mut random = fastrand::Rng::with_seed(3);
        let mut taken: Vec<f64> = (0..100_000).map(|_| cpu.compute(1, &mut random).as_secs_f64()).collect();
        let mean = taken.iter().sum::<f64>() / taken.len() as f64;
        taken.sort_by(f64::total_cmp);
        // beyond 0.995 too few are drawn to tell
        for (share, seconds) in SHARES.into_iter().zip(quantiles).take(SHARES.len() - 2) {
            let found = taken[(share * taken.len() as f64) as usize];
            assert!((found / seconds - 1.0).abs() < 0.03, "{share}: {found}");
        }
        assert!((mean * cpu.capacity() - 1.0).abs() < 0.01, "{mean}");
    }

    #[test]
    fn times_that_say_too_little_are_refused() {
        assert_eq!(Speed::of_cpu(times(&[(2, 1.0)]), 2), Err(SpeedError::NoSingle));
        assert_eq!(Speed::of_cpu(times(&[(1, 0.0)]), 1), Err(SpeedError::NoTime(1)));
        let unknown = SpeedError::Unknown { wanted: 64, known: 8 };
        assert_eq!(Speed::of_gpu(times(&[(1, 1.0), (8, 1.0)]), 64, FREE), Err(unknown));
    }
}
