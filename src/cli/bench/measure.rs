//! Rounds: in each, every case has its turn, so that a machine that changes its speed changes it for all; and statistics of
//! what the runs took. Not here: what a run is. This file reads no clock: a run says what it took.

use std::time::Duration;

const FEWEST_ROUNDS: u32 = 3;
/// More rounds than this say nothing new; with more time, turns get longer.
const MOST_ROUNDS: u32 = 30;
/// A turn is no shorter, so that a clock's noise and the first run after another case weigh little.
const SHORTEST_TURN: Duration = Duration::from_millis(250);
/// Warm-up takes a tenth of the measured time and at most this.
const LONGEST_WARM_UP: Duration = Duration::from_secs(1);

/// What the runs of a case took, in seconds, by round. No round is empty.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Times(pub(super) Vec<Vec<f64>>);

impl Times {
    /// Images per second of each round.
    pub(super) fn rates(&self, batch: usize) -> Vec<f64> {
        self.0.iter().map(|runs| (batch * runs.len()) as f64 / runs.iter().sum::<f64>()).collect()
    }

    /// Seconds within which this share of all runs ended.
    pub(super) fn latency(&self, share: f64) -> f64 {
        quantile(&self.0.concat(), share)
    }

    pub(super) fn runs(&self) -> usize {
        self.0.iter().map(Vec::len).sum()
    }
}

/// How many rounds, and the share of a case's time that a turn has.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Rounds {
    count: u32,
    turn: Duration,
}

impl Rounds {
    /// Of `time` a case, where the slowest case's run takes `slowest`: a turn has room for that run, if three have.
    fn new(time: Duration, slowest: Duration) -> Self {
        let fitting = time.as_secs_f64() / slowest.max(SHORTEST_TURN).as_secs_f64();
        let count = (fitting as u32).clamp(FEWEST_ROUNDS, MOST_ROUNDS);
        Self { count, turn: time / count }
    }
}

/// Runs `cases` cases for `time` each, in alternating rounds after a warm-up.
///
/// `run` runs a case once and says what it took; `before` is called before each round with its index and the number of
/// rounds. Every case has at least one run in each of at least three rounds, however long that takes.
///
/// # Errors
/// The first of `run`.
pub(super) fn alternate<E>(
    cases: usize,
    time: Duration,
    mut run: impl FnMut(usize) -> Result<Duration, E>,
    mut before: impl FnMut(u32, u32),
) -> Result<Vec<Times>, E> {
    let mut usual = Vec::with_capacity(cases);
    for case in 0..cases {
        usual.push(warm_up(case, (time / 10).min(LONGEST_WARM_UP), &mut run)?);
    }
    let rounds = Rounds::new(time, usual.iter().copied().max().unwrap_or_default());
    let mut times = vec![Times(Vec::new()); cases];
    let mut spent = vec![Duration::ZERO; cases];
    for round in 0..rounds.count {
        before(round, rounds.count);
        for case in 0..cases {
            // another case has emptied the caches: where a run is short against the turn, the first is not counted
            if usual[case] < rounds.turn / 4 {
                run(case)?;
            }
            let mut runs = Vec::new();
            // by the time of all turns so far, so that runs which overshoot a turn do not add up
            while runs.is_empty() || spent[case] < rounds.turn * (round + 1) {
                let took = run(case)?;
                spent[case] += took;
                runs.push(took.as_secs_f64());
            }
            times[case].0.push(runs);
        }
    }
    Ok(times)
}

/// Runs a case for `time`, at least once; what the last run took.
fn warm_up<E>(case: usize, time: Duration, run: &mut impl FnMut(usize) -> Result<Duration, E>) -> Result<Duration, E> {
    let mut spent = Duration::ZERO;
    loop {
        let took = run(case)?;
        spent += took;
        if spent >= time {
            return Ok(took);
        }
    }
}

/// The middle value, or the mean of the two in the middle; NaN of nothing.
pub(super) fn median(values: &[f64]) -> f64 {
    let sorted = sorted(values);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => f64::NAN,
        len if len % 2 == 0 => f64::midpoint(sorted[middle - 1], sorted[middle]),
        _ => sorted[middle],
    }
}

/// The smallest value that `share` of all do not exceed (nearest rank); NaN of nothing.
fn quantile(values: &[f64], share: f64) -> f64 {
    let sorted = sorted(values);
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.max(1) - 1).copied().unwrap_or(f64::NAN)
}

fn sorted(values: &[f64]) -> Vec<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Measures cases whose runs take these milliseconds; the order of all runs, `None` where a round begins.
    fn order(milliseconds: &[u64], time: Duration) -> (Vec<Times>, Vec<Option<usize>>) {
        let order = std::cell::RefCell::new(Vec::new());
        let run = |case: usize| {
            order.borrow_mut().push(Some(case));
            Ok::<_, ()>(Duration::from_millis(milliseconds[case]))
        };
        let times = alternate(milliseconds.len(), time, run, |_, _| order.borrow_mut().push(None)).unwrap();
        (times, order.into_inner())
    }

    #[test]
    fn in_every_round_every_case_has_its_turn() {
        let (times, order) = order(&[400, 1000], 3 * SECOND);
        // warm-up of 0.3 s, then turns of 1 s: three runs, two, three, for those that overshoot are made up for
        let rounds = [None, Some(0), Some(0), Some(0), Some(1), None, Some(0), Some(0), Some(1)];
        assert_eq!(order[..11], [&[Some(0), Some(1)][..], &rounds].concat());
        assert_eq!(times[0].0.iter().map(Vec::len).collect::<Vec<_>>(), [3, 2, 3]);
        assert_eq!(times[1].0, [[1.0], [1.0], [1.0]]);
    }

    #[test]
    fn short_runs_are_not_counted_when_they_follow_another_case() {
        let (times, order) = order(&[10], SECOND);
        assert_eq!((times[0].0.len(), times[0].runs()), (4, 100));
        // a warm-up of 100 ms, and four turns that each begin with a run that is not counted
        assert_eq!(order.iter().flatten().count(), 10 + 4 + 100);
    }

    #[test]
    fn runs_longer_than_all_the_time_still_get_three_rounds() {
        let (times, order) = order(&[90_000, 1], SECOND);
        assert_eq!(times[0].0, [[90.0], [90.0], [90.0]]);
        assert!(times[1].runs() >= 999);
        assert_eq!(order.iter().filter(|entry| entry.is_none()).count(), 3);
    }

    #[test]
    fn time_is_divided_into_turns_that_are_neither_short_nor_countless() {
        let rounds =
            |time: f64, slowest: f64| Rounds::new(Duration::from_secs_f64(time), Duration::from_secs_f64(slowest));
        assert_eq!(rounds(3.0, 0.001), Rounds { count: 12, turn: SECOND / 4 });
        assert_eq!(rounds(3.0, 0.6).count, 5);
        assert_eq!(rounds(0.1, 0.001).count, 3);
        assert_eq!(rounds(3600.0, 1.0), Rounds { count: 30, turn: 120 * SECOND });
    }

    #[test]
    fn the_first_failure_ends_it() {
        let failing = |case| if case == 1 { Err("lost") } else { Ok(SECOND) };
        assert_eq!(alternate(2, SECOND, failing, |_, _| ()), Err("lost"));
    }

    #[test]
    fn medians_and_quantiles_are_those_of_the_textbook() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median(&[]).is_nan() && quantile(&[], 0.5).is_nan());
        let hundred: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        assert_eq!(quantile(&hundred, 0.99), 99.0);
        assert_eq!(quantile(&hundred[..99], 0.99), 100.0);
        assert_eq!(quantile(&[7.0], 0.99), 7.0);
        assert_eq!(quantile(&[7.0], 0.0), 7.0);
    }

    #[test]
    fn a_rounds_rate_is_its_images_over_its_time() {
        let times = Times(vec![vec![1.0, 3.0], vec![0.5]]);
        assert_eq!(times.rates(8), [4.0, 16.0]);
        assert_eq!((times.latency(0.5), times.latency(0.99), times.runs()), (1.0, 3.0, 3));
    }
}
