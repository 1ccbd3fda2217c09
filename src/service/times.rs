//! What batches of a model take on a device: a table that warm-up fills and serving keeps up to date, and what follows from it,
//! which is how many of the waiting images run next. Sans IO.

use std::time::Duration;

use crate::engine::Buckets;

/// How much longer than in the best batch an image may take, for the sake of a smaller batch and so of latency.
const SLACK: f64 = 1.05;
/// A batch as short as this makes nobody wait long, and under load a larger one is better than it measures alone: on a CPU
/// decoders take cores from the engine, and its threads wait for each other once per layer, not once per image and layer.
const SHORT: f64 = 0.03;
/// Seconds, of a batch or per image, that say nothing of a size: to wake threads and to answer takes longer. Where batches take next to
/// no time, as on the engine that computes nothing, all sizes are alike by it, and the largest runs.
const NOTHING: f64 = 1e-6;
/// Weight of the newest batch in the moving average of its size's time.
const NEWEST: f64 = 0.2;
/// One batch counts as at most this many times what was expected: a single hiccup must not decide which sizes run.
const MOST: f64 = 2.0;
/// What is passed over comes this much nearer to what is chosen each time, so that it is tried again one day.
const FORGET: f64 = 0.002;
/// Of the time of the chosen way, where what is known fades to: a little less, or it would never be preferred.
const TRIED_BELOW: f64 = 0.9;
/// No longer batch is guessed, and so tried for the sake of knowledge alone, for somebody waits for it.
pub(super) const LONGEST_GUESS: f64 = 0.25;
/// What one image more adds to a batch is guessed as what it added from the largest two sizes that are known, but as no less than this share of what an
/// image takes in the largest: one time that was disturbed must not promise too much.
const ADDED_AT_LEAST: f64 = 0.5;

/// Times of batches by their size.
#[derive(Clone, Debug, PartialEq)]
pub struct BatchTimes {
    /// Whether sizes between those of the table run without padding.
    any_size: bool,
    /// By rising size; never empty.
    table: Vec<Entry>,
    /// Index of the size that runs when enough images wait.
    preferred: usize,
}

/// A size of batch.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Entry {
    size: usize,
    seconds: f64,
    /// The time is a guess or has faded: the next batch of this size replaces it.
    stale: bool,
    /// No batch of this size has run.
    guessed: bool,
}

impl Entry {
    fn per_image(self) -> f64 {
        self.seconds / self.size.max(1) as f64
    }
}

impl BatchTimes {
    /// A table of sizes of these buckets, each with its seconds. Larger sizes that may run and were not measured are guessed from
    /// the largest that were. Without any, batches have one image and take no time.
    #[must_use]
    pub fn new(buckets: &Buckets, measured: Vec<(usize, f64)>) -> Self {
        let entry = |(size, seconds)| Entry { size, seconds, stale: false, guessed: false };
        let mut table: Vec<Entry> = measured.into_iter().map(entry).collect();
        table.sort_by_key(|entry| entry.size);
        if table.is_empty() {
            table.push(Entry { size: 1, seconds: 0.0, stale: true, guessed: false });
        }
        if let (Buckets::Any(max), Some(last)) = (buckets, table.last().copied()) {
            let sizes =
                std::iter::successors(Some(last.size * 2), |size| Some(size * 2)).take_while(|size| size <= max);
            table.extend(sizes.map(|size| Entry { size, seconds: 0.0, stale: true, guessed: true }));
        }
        let mut times = Self { any_size: matches!(buckets, Buckets::Any(_)), table, preferred: 0 };
        times.guess();
        times.preferred = times.prefer();
        times
    }

    /// Guesses the times of sizes that have not run: on the line through the two largest that have.
    fn guess(&mut self) {
        let known = self.known();
        let Some(last) = known.checked_sub(1).map(|index| self.table[index]) else { return };
        let before = known.checked_sub(2).map(|index| self.table[index]);
        let line = |before: Entry| (last.seconds - before.seconds) / (last.size - before.size).max(1) as f64;
        let most = last.per_image();
        let added = before.map_or(most, line).clamp(ADDED_AT_LEAST * most, most);
        for entry in &mut self.table[known..] {
            entry.seconds = last.seconds + added * (entry.size - last.size) as f64;
        }
        self.table.retain(|entry| !entry.guessed || entry.seconds <= LONGEST_GUESS);
    }

    /// How many sizes have run: the first of the table.
    fn known(&self) -> usize {
        self.table.iter().position(|entry| entry.guessed).unwrap_or(self.table.len())
    }

    /// The size that runs when enough images wait: the smallest whose images take at most 5 % more than the best's, or a
    /// larger one of those that is over within 30 ms.
    #[must_use]
    pub fn preferred(&self) -> usize {
        self.table[self.preferred].size
    }

    /// Seconds per image in the preferred batch.
    #[must_use]
    pub fn image_seconds(&self) -> f64 {
        self.table[self.preferred].per_image()
    }

    /// Seconds of the longest batch that is chosen.
    #[must_use]
    pub fn longest(&self) -> f64 {
        self.table[..=self.preferred].iter().map(|entry| entry.seconds).fold(0.0, f64::max)
    }

    /// Seconds of a batch of so many images, padded where it must be.
    #[must_use]
    pub fn seconds(&self, images: usize) -> f64 {
        let above = self.index(images);
        match (above.checked_sub(1).map(|below| self.table[below]), self.table.get(above)) {
            (_, Some(entry)) if entry.size == images || !self.any_size => entry.seconds,
            (Some(low), Some(high)) => {
                let share = (images - low.size) as f64 / (high.size - low.size) as f64;
                low.seconds + (high.seconds - low.seconds) * share
            }
            (None, Some(first)) => first.per_image() * images as f64,
            (Some(last), None) => last.per_image() * images as f64,
            (None, None) => 0.0,
        }
    }

    /// How many of `waiting` images run next, and their seconds. Between a padded batch and two smaller ones it takes what is
    /// over sooner.
    #[must_use]
    pub fn choose(&self, waiting: usize) -> (usize, f64) {
        let images = waiting.min(self.preferred());
        let first = if self.any_size { images } else { self.split(images).0 };
        (first, self.seconds(first))
    }

    /// Index of the smallest size that holds so many images.
    fn index(&self, images: usize) -> usize {
        self.table.partition_point(|entry| entry.size < images)
    }

    /// The first batch of the soonest way through so many images, and the seconds of the whole way.
    fn split(&self, images: usize) -> (usize, f64) {
        let padded = self.seconds(images);
        // the largest size that is full
        let Some(full) = self.table.iter().rfind(|entry| entry.size < images) else { return (images, padded) };
        let way = full.seconds + self.split(images - full.size).1;
        if way + NOTHING < padded { (full.size, way) } else { (images, padded) }
    }

    /// So many images waited, and `chosen` of them run. Larger sizes that could have run, and did not because they seem to take
    /// longer, are not measured any more: what is known of them fades.
    pub fn passed_over(&mut self, waiting: usize, chosen: usize) {
        let per_image = self.seconds(chosen) / chosen.max(1) as f64;
        let bucket_of = |images: usize| self.table.get(self.index(images)).map(|entry| entry.size);
        let runs_as = if self.any_size { chosen } else { bucket_of(chosen).unwrap_or(chosen) };
        // the one that would have been padded, too
        let most = bucket_of(waiting).unwrap_or(usize::MAX);
        for entry in self.table.iter_mut().filter(|entry| runs_as < entry.size && entry.size <= most) {
            let chosen_way = per_image * entry.size.min(waiting) as f64;
            let change = FORGET * (chosen_way * TRIED_BELOW - entry.seconds);
            if change < 0.0 && entry.seconds > chosen_way * TRIED_BELOW + NOTHING {
                entry.seconds += change;
                entry.stale = true;
            }
        }
        self.preferred = self.prefer();
    }

    /// A batch of so many images has run in this time.
    pub fn ran(&mut self, images: usize, took: Duration) {
        let (expected, took) = (self.seconds(images), took.as_secs_f64());
        let above = self.index(images).min(self.table.len() - 1);
        let entry = &mut self.table[above];
        if expected <= 0.0 {
            (entry.seconds, entry.stale, entry.guessed) = (took, false, false);
        } else {
            // a size between two of the table says something of both
            let (size, stale) = (entry.size, entry.stale);
            let below = above.checked_sub(1).filter(|_| self.any_size && images < size);
            let share = below.map_or(1.0, |below| {
                let low = self.table[below].size;
                (images - low) as f64 / (size - low) as f64
            });
            let change = (took / expected).min(MOST) - 1.0;
            let weight = |stale: bool| if stale { 1.0 } else { NEWEST };
            self.table[above].seconds *= 1.0 + change * share * weight(stale);
            self.table[above].stale &= images < size;
            if self.table[above].guessed && images == size {
                self.table[above].guessed = false;
                self.guess();
            }
            if let Some(below) = below {
                self.table[below].seconds *= 1.0 + change * (1.0 - share) * NEWEST;
            }
        }
        self.preferred = self.prefer();
    }

    fn prefer(&self) -> usize {
        // of guesses the first only: it tells more of those behind it than the guess that they were made of
        let table = &self.table[..self.table.len().min(self.known() + 1)];
        let best = table.iter().map(|entry| entry.per_image()).fold(f64::INFINITY, f64::min);
        let cheap = |entry: &Entry| entry.per_image() <= best * SLACK + NOTHING;
        // a guess is no reason to take a larger batch than is known to be good
        let short = table.iter().rposition(|entry| cheap(entry) && !entry.stale && entry.seconds <= SHORT);
        let smallest = table.iter().position(cheap).unwrap_or(0);
        short.map_or(smallest, |short| short.max(smallest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn any(table: &[(usize, f64)]) -> BatchTimes {
        BatchTimes::new(&Buckets::Any(64), table.to_vec())
    }

    fn fixed(table: &[(usize, f64)]) -> BatchTimes {
        BatchTimes::new(&Buckets::Fixed(table.iter().map(|(size, _)| *size).collect()), table.to_vec())
    }

    #[test]
    fn the_smallest_batch_within_five_per_cent_of_the_best_is_preferred() {
        assert_eq!(any(&[(1, 2.0), (2, 2.08), (4, 4.0), (8, 12.0)]).preferred(), 2);
        assert_eq!(any(&[(1, 2.0), (2, 2.12), (4, 4.0)]).preferred(), 4);
        let ms = |cost: &[(usize, f64)]| any(&cost.iter().map(|(n, t)| (*n, *n as f64 * t / 1e3)).collect::<Vec<_>>());
        assert_eq!(ms(&[(1, 7.4), (2, 7.3), (4, 7.4), (8, 7.3)]).preferred(), 4, "29.6 ms are short");
        assert_eq!(ms(&[(1, 7.4), (2, 9.0), (4, 9.0)]).preferred(), 1, "a larger one costs more");
        assert_eq!(any(&[(1, 1.0)]).preferred(), 1);
        assert_eq!(any(&[]).preferred(), 1);
    }

    #[test]
    fn of_33_images_the_way_that_is_over_sooner_is_taken() {
        // a padded 64 costs less than 32 and one more
        let cheap = || fixed(&[(1, 0.9), (32, 1.0), (64, 1.8)]);
        assert_eq!(cheap().preferred(), 64);
        assert_eq!(cheap().choose(33), (33, 1.8));
        // it costs more
        let dear = || fixed(&[(1, 0.1), (32, 1.0), (64, 1.8)]);
        assert_eq!(dear().choose(33), (32, 1.0));
        assert_eq!(dear().choose(1), (1, 0.1));
        assert_eq!(dear().choose(64), (64, 1.8));
        assert_eq!(dear().choose(1000), (64, 1.8), "never more than the preferred");
    }

    #[test]
    fn a_rest_may_be_split_again() {
        let times = || fixed(&[(1, 1.0), (2, 1.1), (4, 1.5), (8, 2.4), (16, 4.0)]);
        assert_eq!(times().choose(16).0, 16);
        // 8 + 4 cost 3.9, less than a padded 16
        assert_eq!(times().choose(12), (8, 2.4));
        // 8 + padded 8 cost more
        assert_eq!(times().choose(13), (13, 4.0));
    }

    #[test]
    fn sizes_between_are_interpolated_where_they_run_unpadded() {
        let times = any(&[(1, 1.0), (4, 2.5), (8, 4.0)]);
        assert!((times.seconds(2) - 1.5).abs() < 1e-12 && (times.seconds(6) - 3.25).abs() < 1e-12);
        assert!((times.seconds(16) - 8.0).abs() < 1e-12);
        let times = fixed(&[(1, 1.0), (4, 2.5), (8, 4.0)]);
        assert_eq!((times.seconds(2), times.seconds(4), times.seconds(5)), (2.5, 2.5, 4.0));
    }

    #[test]
    fn a_size_that_warm_up_did_not_reach_is_tried_under_load_and_kept_if_it_is_better() {
        // 60 ms per image alone, 50 ms in a batch of four
        let truth = |images: usize| if images >= 4 { 0.05 } else { 0.06 } * images as f64;
        let mut times = any(&[(1, truth(1))]);
        assert_eq!(times.preferred(), 1);
        for _ in 0..3000 {
            let (images, _) = times.choose(64);
            times.passed_over(64, images);
            times.ran(images, Duration::from_secs_f64(truth(images)));
        }
        assert_eq!(times.preferred(), 4, "{times:?}");
        assert!(times.table.iter().all(|entry| entry.seconds <= LONGEST_GUESS), "no long batch is tried: {times:?}");
    }

    #[test]
    fn sizes_that_warm_up_did_not_reach_are_guessed_on_a_line_and_tried_one_after_the_other() {
        // 9 ms a batch and 1 ms an image
        let truth = |images: usize| 0.009 + 0.001 * images as f64;
        let mut times = any(&[(1, truth(1)), (2, truth(2))]);
        assert!(
            (times.seconds(64) - (truth(2) + 62.0 * truth(2) / 4.0)).abs() < 1e-9,
            "half of 5.5 ms an image at least"
        );
        let mut sizes = Vec::new();
        for _ in 0..20 {
            let (images, _) = times.choose(64);
            sizes.push(images);
            times.passed_over(64, images);
            times.ran(images, Duration::from_secs_f64(truth(images)));
        }
        assert_eq!(
            sizes[..6],
            [4, 8, 16, 32, 64, 64],
            "each guess is tried once, and what is right is known after five batches"
        );
        // where a batch saves nothing none is tried for it
        let linear = any(&[(1, 0.01), (2, 0.02)]);
        assert_eq!((linear.preferred(), linear.seconds(16)), (2, 0.16));
        // a time that was disturbed promises no batch for nothing
        assert!(any(&[(1, 0.02), (2, 0.02)]).seconds(8) >= 0.02 + 6.0 * 0.005);
    }

    #[test]
    fn where_batches_take_no_time_the_largest_runs_and_noise_does_not_change_that() {
        let none: Vec<(usize, f64)> = [1, 2, 4, 8, 16, 32].map(|size| (size, 0.0)).to_vec();
        for mut times in [BatchTimes::new(&Buckets::Any(32), none.clone()), fixed(&none)] {
            assert_eq!((times.preferred(), times.image_seconds(), times.longest()), (32, 0.0, 0.0));
            assert_eq!(times.choose(100), (32, 0.0));
            for took in [0, 300, 0, 900, 50, 0].map(Duration::from_nanos).repeat(100) {
                for waiting in [1, 3, 40] {
                    let (images, seconds) = times.choose(waiting);
                    assert!(images >= 1 && seconds.is_finite(), "{times:?}");
                    times.passed_over(waiting, images);
                    times.ran(images, took);
                }
            }
            assert_eq!(times.preferred(), 32, "{times:?}");
        }
    }

    #[test]
    fn serving_updates_the_table() {
        for mut times in [any(&[(1, 1.0), (4, 3.0)]), fixed(&[(1, 1.0), (4, 3.0)])] {
            for _ in 0..100 {
                times.ran(4, Duration::from_secs(5));
            }
            assert!((times.seconds(4) - 5.0).abs() < 0.01 && times.seconds(1) == 1.0, "{times:?}");
            assert_eq!(times.preferred(), 1, "four take longer than four times one");
        }
        let mut between = any(&[(1, 1.0), (5, 5.0)]);
        for _ in 0..200 {
            between.ran(3, Duration::from_secs(6));
        }
        assert!((between.seconds(3) - 6.0).abs() < 0.05, "{between:?}");
    }

    #[test]
    fn one_slow_batch_does_not_rule_its_size_out_for_good() {
        for mut times in [fixed(&[(1, 1.0), (2, 1.9)]), any(&[(1, 1.0), (2, 1.9)])] {
            times.ran(2, Duration::from_secs(1000));
            assert_eq!(times.choose(2).0, 1, "two singles are sooner now");
            let tries = (1..2000).find(|_| {
                times.passed_over(2, 1);
                times.choose(2).0 == 2
            });
            assert!(tries.is_some(), "it is tried again one day: {times:?}");
        }
        // what really is slower is tried seldom
        let mut times = any(&[(1, 1.0), (2, 2.6)]);
        let mut slow = 0;
        for _ in 0..10_000 {
            let (images, _) = times.choose(2);
            times.passed_over(2, images);
            times.ran(images, Duration::from_secs_f64(if images == 2 { 2.6 } else { 1.0 }));
            slow += usize::from(images == 2);
        }
        assert!((1..100).contains(&slow), "{slow} of 10,000 batches were slow");
    }
}
