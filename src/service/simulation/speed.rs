//! How fast a simulated device is: what its batches take, and what its thread pays for each. Not here: where the figures are from.

use std::time::Duration;

use crate::engine::Buckets;

/// Of a normal distribution, deviations from its middle to its 99th percentile.
const P99: f64 = 2.326;

/// What a batch of a size takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BatchTime {
    /// Its images.
    pub images: usize,
    /// Seconds, in half of all runs at most.
    pub median: f64,
    /// Seconds, in 99 of 100 runs at most; the median where all runs take the same.
    pub p99: f64,
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
        let is_no_time = |time: &&BatchTime| !(time.median.is_finite() && time.median > 0.0 && time.p99.is_finite());
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
            let compute = self.time(images).0;
            let thread = 2.0 * self.launch.as_secs_f64() + self.answer.as_secs_f64() * images as f64;
            images as f64 / compute.max(thread).max(self.copy.as_secs_f64() * images as f64)
        };
        (1..=self.buckets.max()).map(rate).fold(0.0, f64::max)
    }

    /// Median and 99th percentile of a batch, padded where it must be.
    fn time(&self, images: usize) -> (f64, f64) {
        let size = self.buckets.of(images);
        let above = self.times.partition_point(|time| time.images < size).min(self.times.len() - 1);
        let (low, high) = (self.times[above.saturating_sub(1)], self.times[above]);
        if high.images == size || low.images == high.images {
            return (high.median, high.p99);
        }
        let share = (size - low.images) as f64 / (high.images - low.images) as f64;
        let between = |low: f64, high: f64| low + (high - low) * share;
        (between(low.median, high.median), between(low.p99, high.p99))
    }

    /// What a batch takes this time. Times spread log-normally: they are never below zero, and some are much longer than most.
    pub(super) fn compute(&self, images: usize, random: &mut fastrand::Rng) -> Duration {
        let (median, p99) = self.time(images);
        let deviation = (p99 / median).ln().max(0.0) / P99;
        let seconds = if deviation > 0.0 { median * (deviation * normal(random)).exp() } else { median };
        Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
    }
}

/// A number of the standard normal distribution (Box and Muller, 1958).
fn normal(random: &mut fastrand::Rng) -> f64 {
    let radius = (-2.0 * (1.0 - random.f64()).ln()).sqrt();
    radius * (std::f64::consts::TAU * random.f64()).cos()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn times(of: &[(usize, f64, f64)]) -> Vec<BatchTime> {
        of.iter().map(|&(images, median, p99)| BatchTime { images, median, p99 }).collect()
    }

    const FREE: [Duration; 3] = [Duration::ZERO; 3];

    #[test]
    fn sizes_between_are_on_the_line_and_a_gpu_pads_to_its_bucket() {
        let known = times(&[(8, 8.0, 8.0), (1, 1.0, 1.0), (4, 2.5, 2.5)]);
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
    fn the_spread_has_the_median_and_the_percentile_that_were_given() {
        let cpu = Speed::of_cpu(times(&[(1, 0.01, 0.015)]), 1).unwrap();
        let mut random = fastrand::Rng::with_seed(3);
        let mut taken: Vec<f64> = (0..50_000).map(|_| cpu.compute(1, &mut random).as_secs_f64()).collect();
        taken.sort_by(f64::total_cmp);
        assert!((taken[25_000] / 0.01 - 1.0).abs() < 0.01, "{}", taken[25_000]);
        assert!((taken[49_500] / 0.015 - 1.0).abs() < 0.02, "{}", taken[49_500]);
    }

    #[test]
    fn times_that_say_too_little_are_refused() {
        assert_eq!(Speed::of_cpu(times(&[(2, 1.0, 1.0)]), 2), Err(SpeedError::NoSingle));
        assert_eq!(Speed::of_cpu(times(&[(1, 0.0, 0.0)]), 1), Err(SpeedError::NoTime(1)));
        let unknown = SpeedError::Unknown { wanted: 64, known: 8 };
        assert_eq!(Speed::of_gpu(times(&[(1, 1.0, 1.0), (8, 1.0, 1.0)]), 64, FREE), Err(unknown));
    }
}
