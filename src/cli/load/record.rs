//! What became of the requests of a run: how many ended how, and how long they took. Not here: how that is told (`report`).

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::{CreationError, Histogram};
use tonic::Code;

/// Kinds of errors that are told apart; more are told as one.
const MAX_KINDS: usize = 16;
/// Digits of a latency that are kept.
const DIGITS: u8 = 3;
/// The longest latency that is told apart, in microseconds: an hour.
const LONGEST: u64 = 3_600_000_000;

/// How a request ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It was answered over HTTP with this status.
    Status(u16),
    /// It was answered over gRPC with this code.
    Code(Code),
    /// It was not answered in time.
    TimedOut,
    /// It was not answered, and why.
    NoAnswer(String),
}

impl Outcome {
    pub(super) fn is_success(&self) -> bool {
        matches!(self, Self::Status(200..=299) | Self::Code(Code::Ok))
    }
}

/// The requests that were due in the measured time.
#[derive(Clone, Debug)]
pub(super) struct Record {
    /// In microseconds, of those that were answered with success or not in time: the latter with the time that they waited, for without them
    /// the slowest would be missing.
    latencies: Histogram<u64>,
    pub(super) requests: u64,
    /// Those with an answer, by its status or code.
    pub(super) statuses: BTreeMap<String, u64>,
    pub(super) succeeded: u64,
    pub(super) timed_out: u64,
    /// Those without an answer, by what was said of it.
    pub(super) errors: BTreeMap<String, u64>,
    /// Answers with success that came in the measured time, whenever they were asked for.
    pub(super) answered_meanwhile: u64,
    /// Arrivals of an open loop that found no free place.
    pub(super) late: u64,
    /// The longest from an arrival's time to its being sent, where a place was free.
    pub(super) lag: Duration,
}

impl Record {
    /// Of no requests.
    ///
    /// # Errors
    /// When the bounds of latencies make no sense: a fault of this file.
    pub(super) fn new() -> Result<Self, CreationError> {
        Ok(Self {
            latencies: Histogram::new_with_bounds(1, LONGEST, DIGITS)?,
            requests: 0,
            statuses: BTreeMap::new(),
            succeeded: 0,
            timed_out: 0,
            errors: BTreeMap::new(),
            answered_meanwhile: 0,
            late: 0,
            lag: Duration::ZERO,
        })
    }

    /// A request has ended so long after it was due.
    pub(super) fn ended(&mut self, took: Duration, outcome: Outcome) {
        self.requests += 1;
        let is_told = outcome.is_success() || outcome == Outcome::TimedOut;
        self.succeeded += u64::from(outcome.is_success());
        match outcome {
            Outcome::Status(status) => *self.statuses.entry(status.to_string()).or_default() += 1,
            Outcome::Code(code) => *self.statuses.entry(format!("{code:?}")).or_default() += 1,
            Outcome::TimedOut => self.timed_out += 1,
            Outcome::NoAnswer(why) => {
                let is_new = !self.errors.contains_key(&why);
                let kind = if is_new && self.errors.len() >= MAX_KINDS { "other".to_owned() } else { why };
                *self.errors.entry(kind).or_default() += 1;
            }
        }
        if is_told {
            self.latencies.saturating_record(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
        }
    }

    /// Requests that were not answered with success.
    pub(super) fn failed(&self) -> u64 {
        self.requests - self.succeeded
    }

    /// The latency that this share of requests had at most; 0 where none is known.
    pub(super) fn latency(&self, quantile: f64) -> Duration {
        Duration::from_micros(self.latencies.value_at_quantile(quantile))
    }

    pub(super) fn mean(&self) -> Duration {
        Duration::from_secs_f64(self.latencies.mean().max(0.0) / 1e6)
    }

    /// How many latencies are known.
    pub(super) fn known(&self) -> u64 {
        self.latencies.len()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn latencies_are_of_answers_and_of_what_waited_in_vain() {
        let mut record = Record::new().unwrap();
        for ms in 1..=98 {
            record.ended(Duration::from_millis(ms), Outcome::Status(200));
        }
        record.ended(Duration::from_millis(1), Outcome::Status(429)); // a refusal is fast, and no answer
        record.ended(Duration::ZERO, Outcome::NoAnswer("refused".into()));
        record.ended(Duration::from_millis(1), Outcome::Code(Code::Ok));
        record.ended(Duration::from_millis(1), Outcome::Code(Code::ResourceExhausted));
        record.ended(Duration::from_secs(5), Outcome::TimedOut);
        assert_eq!((record.requests, record.failed(), record.known()), (103, 4, 100));
        assert_eq!(record.latency(0.5).as_millis(), 49);
        assert!((4990..=5010).contains(&record.latency(1.0).as_millis()));
        let statuses = [("200", 98), ("429", 1), ("Ok", 1), ("ResourceExhausted", 1)];
        assert_eq!(record.statuses, statuses.map(|(name, count)| (name.to_owned(), count)).into());
    }

    #[test]
    fn errors_of_many_kinds_take_bounded_room() {
        let mut record = Record::new().unwrap();
        for kind in 0..100 {
            record.ended(Duration::ZERO, Outcome::NoAnswer(format!("error {kind}")));
        }
        assert_eq!((record.errors.len(), record.errors["other"]), (MAX_KINDS + 1, 100 - MAX_KINDS as u64));
    }
}
