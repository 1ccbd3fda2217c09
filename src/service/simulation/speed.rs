//! How fast a simulated device is: what its batches take, and what its thread pays for each. Not here: where the figures are from.

use std::time::Duration;

use super::slowness::Slowness;
use crate::engine::Buckets;

/// The shares of runs of which it is known what they took at most. Closer to the end, where few runs are long and weigh much.
pub const SHARES: [f64; 12] = [0.0, 0.05, 0.25, 0.5, 0.75, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999, 1.0];

/// Seconds that runs took at most, of each of the [`SHARES`]; rising.
pub type Quantiles = [f64; SHARES.len()];

/// What batches of a size take.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BatchTime {
    /// Images of a batch.
    pub images: usize,
    /// Of its runs, one behind the other.
    pub quantiles: Quantiles,
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
        at(&self.quantiles, share)
    }
}

/// What so large a share has at most, on the line between those that are known.
fn at(quantiles: &Quantiles, share: f64) -> f64 {
    let above = SHARES.partition_point(|known| *known < share).clamp(1, SHARES.len() - 1);
    let (from, to) = (SHARES[above - 1], SHARES[above]);
    let (low, high) = (quantiles[above - 1], quantiles[above]);
    low + (high - low) * (share - from) / (to - from)
}

/// What a batch of one image takes behind a pause of its device, in which caches go cold and cores rest.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AfterPause {
    /// Seconds without work.
    pub pause: f64,
    /// As those of a [`BatchTime`].
    pub quantiles: Quantiles,
}

/// How fast a device runs a model.
#[derive(Clone, Debug, PartialEq)]
pub struct Speed {
    /// By rising size, the first of one image. Sizes between two are on the line between them.
    pub(in crate::service) times: Vec<BatchTime>,
    /// By rising pause, what it adds to a batch; pauses between two are on the line between them, longer ones add what the longest does.
    pub(in crate::service) pauses: Vec<AfterPause>,
    /// By how much all of this is longer at a time; None is never.
    pub(in crate::service) slowness: Option<Slowness>,
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
    /// A pause, or a time behind one, that is none.
    #[error("a pause or what a batch takes behind it is no time that can be")]
    NoPause,
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
        let speed = Self {
            times,
            pauses: Vec::new(),
            slowness: None,
            buckets,
            in_flight: 1,
            launch: zero,
            answer: zero,
            copy: zero,
        };
        speed.checked()
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
        Self { times, pauses: Vec::new(), slowness: None, buckets, in_flight: 2, launch, answer, copy }.checked()
    }

    fn checked(mut self) -> Result<Self, SpeedError> {
        self.times.sort_by_key(|time| time.images);
        if self.times.first().is_none_or(|first| first.images != 1) {
            return Err(SpeedError::NoSingle);
        }
        if let Some(wrong) = self.times.iter().find(|time| !are_times(&time.quantiles)) {
            return Err(SpeedError::NoTime(wrong.images));
        }
        let known = self.times.last().map_or(0, |last| last.images);
        let wanted = self.buckets.max();
        if wanted > known { Err(SpeedError::Unknown { wanted, known }) } else { Ok(self) }
    }

    /// The same device, which takes longer behind pauses. A pause adds to larger batches what it adds to a batch of one: what went cold is the same.
    ///
    /// # Errors
    /// [`SpeedError::NoPause`].
    pub fn with_pauses(mut self, mut pauses: Vec<AfterPause>) -> Result<Self, SpeedError> {
        let is_time = |after: &AfterPause| after.pause.is_finite() && after.pause > 0.0 && are_times(&after.quantiles);
        let Some(single) = self.times.first().filter(|_| pauses.iter().all(is_time)) else {
            return Err(SpeedError::NoPause);
        };
        for AfterPause { quantiles, .. } in &mut pauses {
            *quantiles = std::array::from_fn(|index| quantiles[index] - single.quantiles[index]);
        }
        pauses.sort_by(|a, b| a.pause.total_cmp(&b.pause));
        self.pauses = pauses;
        Ok(self)
    }

    /// The same device, which is slow at times. Only computing is: copies, launches and answers are not.
    #[must_use]
    pub fn with_slowness(self, slowness: Slowness) -> Self {
        Self { slowness: Some(slowness), ..self }
    }

    /// Until its slowness begins again: less than this of it says little of the rest.
    #[must_use]
    pub fn period(&self) -> Duration {
        self.slowness.as_ref().map_or(Duration::ZERO, Slowness::period)
    }

    /// The batch sizes that run without padding.
    #[must_use]
    pub fn buckets(&self) -> &Buckets {
        &self.buckets
    }

    /// Images a second at most, in the long run: those of the best batch again and again.
    #[must_use]
    pub fn capacity(&self) -> f64 {
        let rate_at_times = self.slowness.as_ref().map_or(1.0, Slowness::rate);
        let rate = |images: usize| {
            let compute = self.time(images).mean() / rate_at_times;
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

    /// What a batch takes this time, behind so long a pause and so long behind the start.
    pub(super) fn compute(
        &self,
        images: usize,
        pause: Duration,
        since: Duration,
        random: &mut fastrand::Rng,
    ) -> Duration {
        let share = random.f64();
        let seconds = self.time(images).at(share) + self.added(pause.as_secs_f64(), share);
        let factor = self.slowness.as_ref().map_or(1.0, |slowness| slowness.at(since));
        Duration::try_from_secs_f64((seconds * factor).max(0.0)).unwrap_or(Duration::MAX)
    }

    /// What a pause adds to the runs of this share, in seconds.
    fn added(&self, pause: f64, share: f64) -> f64 {
        let above = self.pauses.partition_point(|after| after.pause < pause);
        let known = |index: usize| self.pauses.get(index).map(|after| (after.pause, at(&after.quantiles, share)));
        // no pause adds nothing
        let low = above.checked_sub(1).and_then(known).unwrap_or((0.0, 0.0));
        let Some(high) = known(above) else { return low.1 };
        low.1 + (high.1 - low.1) * (pause - low.0) / (high.0 - low.0)
    }
}

fn are_times(quantiles: &Quantiles) -> bool {
    quantiles.iter().all(|seconds| seconds.is_finite() && *seconds > 0.0) && quantiles.is_sorted()
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
        let zero = Duration::ZERO;
        let mut seconds = |speed: &Speed, images| speed.compute(images, zero, zero, &mut random).as_secs_f64();
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
        let mut taken: Vec<f64> =
            (0..100_000).map(|_| cpu.compute(1, Duration::ZERO, Duration::ZERO, &mut random).as_secs_f64()).collect();
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
    fn a_pause_adds_to_any_batch_what_it_adds_to_one_image() {
        let after = |pause, seconds| AfterPause { pause, quantiles: [seconds; SHARES.len()] };
        let cpu = Speed::of_cpu(times(&[(1, 1.0), (4, 2.5)]), 4).unwrap();
        let capacity = cpu.capacity();
        let cpu = cpu.with_pauses(vec![after(0.1, 1.6), after(0.01, 1.2)]).unwrap();
        let mut random = fastrand::Rng::with_seed(0);
        for (images, pause, seconds) in
            [(1, 0, 1.0), (1, 5, 1.1), (1, 10, 1.2), (4, 10, 2.7), (1, 55, 1.4), (4, 100, 3.1), (1, 5000, 1.6)]
        {
            let took = cpu.compute(images, Duration::from_millis(pause), Duration::ZERO, &mut random).as_secs_f64();
            assert!((took - seconds).abs() < 1e-9, "{images} behind {pause} ms: {took}");
        }
        // a device that never rests never pays for it
        assert!((cpu.capacity() - capacity).abs() < 1e-12);
        for wrong in [after(0.0, 1.0), after(f64::NAN, 1.0), after(0.1, -1.0)] {
            assert_eq!(cpu.clone().with_pauses(vec![wrong]), Err(SpeedError::NoPause));
        }
    }

    #[test]
    fn a_slow_stretch_makes_its_batches_and_what_pauses_add_longer() {
        let after = AfterPause { pause: 0.1, quantiles: [1.5; SHARES.len()] };
        let cpu = Speed::of_cpu(times(&[(1, 1.0), (4, 2.5)]), 4).unwrap().with_pauses(vec![after]).unwrap();
        let capacity = cpu.capacity();
        let cpu = cpu.with_slowness(Slowness::new(Duration::from_secs(1), vec![1.0, 3.0]).unwrap());
        let mut random = fastrand::Rng::with_seed(0);
        for (images, pause, since, seconds) in
            [(1, 0, 0, 1.0), (1, 0, 1000, 3.0), (4, 0, 3999, 7.5), (1, 100, 1500, 4.5)]
        {
            let [pause, since] = [pause, since].map(Duration::from_millis);
            let took = cpu.compute(images, pause, since, &mut random).as_secs_f64();
            assert!((took - seconds).abs() < 1e-9, "{images} behind {pause:?} at {since:?}: {took}");
        }
        // half of the time all of the images, and half of it a third
        assert!((cpu.capacity() / capacity - 2.0 / 3.0).abs() < 1e-12);
    }

    #[test]
    fn times_that_say_too_little_are_refused() {
        assert_eq!(Speed::of_cpu(times(&[(2, 1.0)]), 2), Err(SpeedError::NoSingle));
        assert_eq!(Speed::of_cpu(times(&[(1, 0.0)]), 1), Err(SpeedError::NoTime(1)));
        let unknown = SpeedError::Unknown { wanted: 64, known: 8 };
        assert_eq!(Speed::of_gpu(times(&[(1, 1.0), (8, 1.0)]), 64, FREE), Err(unknown));
    }
}
