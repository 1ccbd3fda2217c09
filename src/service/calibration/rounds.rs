//! Rounds of a model and its baseline: which is first, when they are enough, what they say. Sans IO.

use std::time::Duration;

/// What is measured of a pair, and for how long.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Plan {
    /// Images of a batch.
    pub(super) batches: Vec<usize>,
    /// Sizes that take longer than this, by what a single image takes, are made smaller.
    pub(super) longest: Duration,
    /// Rounds that count, at most.
    pub(super) rounds: usize,
    /// Of each of the two in a round, at least one run.
    pub(super) turn: Duration,
    /// Of all rounds, where that is said.
    pub(super) duration: Duration,
}

/// The rounds of one pair and batch size.
#[derive(Debug, Default)]
pub(super) struct Rounds {
    /// The first touches memory that was not used for a while, and does not count.
    warm: bool,
    /// Images per second of the model and of the baseline.
    speeds: Vec<[f64; 2]>,
    spent: Duration,
}

/// What rounds say: medians.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Medians {
    pub(super) images_per_second: [f64; 2],
    pub(super) ratio: f64,
    pub(super) rounds: usize,
}

impl Rounds {
    /// The model is 0, the baseline 1: whoever was last is first in the next round, so that a drift favours neither.
    pub(super) fn order(&self) -> [usize; 2] {
        if self.speeds.len().is_multiple_of(2) { [0, 1] } else { [1, 0] }
    }

    /// A round that nothing disturbed.
    pub(super) fn add(&mut self, speeds: [f64; 2], took: Duration) {
        if std::mem::replace(&mut self.warm, true) {
            self.speeds.push(speeds);
            self.spent += took;
        }
    }

    /// Whether they are enough: at least three, for a median.
    pub(super) fn are_enough(&self, plan: &Plan) -> bool {
        self.speeds.len() >= plan.rounds || (self.speeds.len() >= 3 && self.spent >= plan.duration)
    }

    /// What they say; None without any.
    pub(super) fn medians(&self) -> Option<Medians> {
        let of = |value: fn(&[f64; 2]) -> f64| median(self.speeds.iter().map(value).collect());
        Some(Medians {
            images_per_second: [of(|[model, _]| *model)?, of(|[_, baseline]| *baseline)?],
            ratio: of(|[model, baseline]| model / baseline)?,
            rounds: self.speeds.len(),
        })
    }
}

/// The largest size up to `batch` whose run is over in time, where an image takes so long: halves of it are tried.
pub(super) fn within(longest: Duration, batch: usize, image_seconds: f64) -> usize {
    let fits = |images: &usize| image_seconds * *images as f64 <= longest.as_secs_f64();
    std::iter::successors(Some(batch), |images| Some(images / 2).filter(|half| *half > 0)).find(fits).unwrap_or(1)
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        odd if odd % 2 == 1 => Some(values[middle]),
        _ => Some(f64::midpoint(values[middle - 1], values[middle])),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn plan() -> Plan {
        Plan {
            batches: vec![1],
            longest: Duration::from_millis(50),
            rounds: 5,
            turn: Duration::from_millis(10),
            duration: Duration::from_secs(1),
        }
    }

    #[test]
    fn the_ratio_is_the_median_of_the_rounds_ratios_and_one_that_was_disturbed_moves_nothing() {
        let mut rounds = Rounds::default();
        assert_eq!(rounds.medians(), None);
        let took = Duration::from_millis(20);
        rounds.add([1.0, 99.0], took); // the first, which does not count
        for speeds in [[120.0, 100.0], [60.0, 50.0], [12.0, 100.0], [121.0, 100.0], [118.0, 100.0]] {
            assert!(!rounds.are_enough(&plan()));
            rounds.add(speeds, took);
        }
        assert!(rounds.are_enough(&plan()));
        let medians = rounds.medians().unwrap();
        assert_eq!((medians.images_per_second, medians.ratio, medians.rounds), ([118.0, 100.0], 1.2, 5));
    }

    #[test]
    fn whoever_was_last_is_first_in_the_next_round() {
        let mut rounds = Rounds::default();
        let mut orders = Vec::new();
        for _ in 0..4 {
            orders.push(rounds.order());
            rounds.add([1.0, 1.0], Duration::ZERO);
        }
        assert_eq!(orders, [[0, 1], [0, 1], [1, 0], [0, 1]]);
    }

    #[test]
    fn when_time_is_over_three_rounds_are_enough() {
        let mut rounds = Rounds::default();
        for count in 0..4 {
            assert!(!rounds.are_enough(&plan()), "{count}");
            rounds.add([1.0, 1.0], Duration::from_secs(9));
        }
        assert!(rounds.are_enough(&plan()));
    }

    #[test]
    fn a_batch_that_would_hold_up_a_request_for_long_is_made_smaller() {
        let longest = Duration::from_millis(50);
        assert_eq!([0.002, 0.01, 0.03, 0.4].map(|image| within(longest, 8, image)), [8, 4, 1, 1]);
        assert_eq!(within(longest, 6, 0.0), 6);
    }
}
