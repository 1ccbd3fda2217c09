//! Warm-up: the first runs of an executable, one at a time so that others may be served in between. They fill the table of times.
//! Sans IO: whoever runs the batches says what they took.

use std::time::Duration;

use super::times::{BatchTimes, LONGEST_GUESS};
use crate::engine::Buckets;

/// Of sizes that are not fixed, larger ones are tried until the runs so far took this long, the discarded ones not counted: a demo
/// model must be ready in 300 ms. Batch 1 always is tried, and every fixed size, which a graph is made for. The second is tried too where it is not
/// expected to be too long to be guessed: of two sizes the times of all others can be.
const TIME: f64 = 0.05;
/// Counted runs per size: at most these, and enough once they took so many seconds.
const MOST_RUNS: usize = 5;
const ENOUGH: f64 = 0.0025;
/// At least these of a fixed size, of which there are few; of any size one, or large models would be long in coming.
const FEWEST_OF_FIXED: usize = 3;

/// Which sizes have run and how long they took.
#[derive(Debug)]
pub(super) struct WarmUp {
    buckets: Buckets,
    /// Sizes that are still to run, the next at the end.
    sizes: Vec<usize>,
    /// Whether the size at the end has had its first run, which touches all memory and is not counted.
    touched: bool,
    /// Seconds of its counted runs.
    runs: Vec<f64>,
    table: Vec<(usize, f64)>,
}

impl WarmUp {
    pub(super) fn new(buckets: &Buckets) -> Self {
        let mut sizes = sizes(buckets);
        sizes.reverse();
        Self { buckets: buckets.clone(), sizes, touched: false, runs: Vec::new(), table: Vec::new() }
    }

    /// Images of the next run; None when all is known.
    pub(super) fn next(&self) -> Option<usize> {
        self.sizes.last().copied()
    }

    /// The run has taken this long.
    pub(super) fn ran(&mut self, took: Duration) {
        if !std::mem::replace(&mut self.touched, true) {
            return;
        }
        self.runs.push(took.as_secs_f64());
        let spent: f64 = self.runs.iter().sum();
        let fewest = if matches!(self.buckets, Buckets::Fixed(_)) { FEWEST_OF_FIXED } else { 1 };
        if self.runs.len() < fewest || (self.runs.len() < MOST_RUNS && spent < ENOUGH) {
            return;
        }
        self.touched = false;
        if let Some(size) = self.sizes.pop() {
            self.table.push((size, median(&mut self.runs)));
        }
        self.runs.clear();
        // by the medians, which one slow run does not move
        let usual: f64 = self.table.iter().map(|(_, seconds)| 2.0 * seconds).sum();
        let second_helps = matches!(self.table[..], [(_, seconds)] if 2.0 * seconds <= LONGEST_GUESS);
        if matches!(self.buckets, Buckets::Any(_)) && usual > TIME && !second_helps {
            self.sizes.clear();
        }
    }

    /// What the runs found.
    pub(super) fn times(self) -> BatchTimes {
        BatchTimes::new(&self.buckets, self.table)
    }
}

/// 1, 2, 4 … and the largest; or the buckets there are.
fn sizes(buckets: &Buckets) -> Vec<usize> {
    match buckets {
        Buckets::Fixed(sizes) => sizes.clone(),
        Buckets::Any(max) => {
            let doubling = std::iter::successors(Some(1), |n| Some(n * 2)).take_while(|n| n < max);
            doubling.chain([*max.max(&1)]).collect()
        }
    }
}

/// The middle value, of an even number the smaller of the two.
fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get((values.len().max(1) - 1) / 2).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Warms up where a batch takes `time` of its size and of how many runs came before; the sizes in the order they ran.
    fn warm(buckets: &Buckets, time: impl Fn(usize, usize) -> f64) -> (BatchTimes, Vec<usize>) {
        let (mut warm_up, mut ran) = (WarmUp::new(buckets), Vec::new());
        while let Some(size) = warm_up.next() {
            warm_up.ran(Duration::from_secs_f64(time(size, ran.len())));
            ran.push(size);
        }
        (warm_up.times(), ran)
    }

    #[test]
    fn sizes_double_up_to_the_largest_batch() {
        assert_eq!(sizes(&Buckets::Any(1)), [1]);
        assert_eq!(sizes(&Buckets::Any(8)), [1, 2, 4, 8]);
        assert_eq!(sizes(&Buckets::Any(12)), [1, 2, 4, 8, 12]);
        assert_eq!(sizes(&Buckets::Fixed(vec![1, 3, 9])), [1, 3, 9]);
    }

    #[test]
    fn the_first_run_of_a_size_is_not_counted_and_of_the_others_the_median_is() {
        let buckets = Buckets::Fixed(vec![1, 8]);
        // a launch that compiles takes 3 s; later one is disturbed
        let times = |size: usize, run: usize| match run {
            0 => 3.0,
            3 => 0.5,
            _ => size as f64 * 1e-3,
        };
        let (table, ran) = warm(&buckets, times);
        assert!((table.seconds(1) - 1e-3).abs() < 1e-9 && (table.seconds(8) - 8e-3).abs() < 1e-9, "{table:?}");
        assert!(ran.iter().filter(|size| **size == 1).count() >= 3);
    }

    #[test]
    fn a_slow_first_launch_pins_nothing_to_batch_1() {
        let slow_start = |size: usize, run: usize| if run == 0 { 10.0 } else { 1e-3 + size as f64 * 1e-5 };
        for buckets in [Buckets::Fixed(vec![1, 2, 4, 8, 16, 32]), Buckets::Any(32)] {
            assert_eq!(warm(&buckets, slow_start).0.preferred(), 32, "{buckets:?}");
        }
    }

    #[test]
    fn any_size_stops_when_time_is_over_and_fixed_sizes_all_run() {
        let slow = |size: usize, _: usize| size as f64;
        assert_eq!(warm(&Buckets::Any(32), slow).1, [1, 1]);
        let medium = |size: usize, _: usize| size as f64 * 0.1;
        assert_eq!(warm(&Buckets::Any(32), medium).1, [1, 1, 2, 2], "two sizes tell of the others");
        let (_, ran) = warm(&Buckets::Fixed(vec![1, 2, 4]), slow);
        assert_eq!(ran, [1, 1, 1, 1, 2, 2, 2, 2, 4, 4, 4, 4]);
    }

    #[test]
    fn runs_that_take_no_time_end_and_give_the_largest_batch() {
        for buckets in [Buckets::Any(32), Buckets::Fixed(vec![1, 8, 32])] {
            let (table, ran) = warm(&buckets, |_, _| 0.0);
            assert_eq!((table.preferred(), table.image_seconds()), (32, 0.0), "{table:?}");
            assert!(ran.len() <= 6 * (MOST_RUNS + 1), "{ran:?}");
        }
    }

    #[test]
    fn a_demo_model_is_warm_within_its_time() {
        let (table, ran) = warm(&Buckets::Any(32), |size, _| size as f64 * 2.3e-3);
        let total: f64 = ran.iter().map(|size| *size as f64 * 2.3e-3).sum();
        assert!(total <= 0.1, "{total} s of {ran:?}");
        assert_eq!(table.preferred(), 8, "18 ms are short");
    }
}
