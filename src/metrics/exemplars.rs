//! Exemplars: of each bucket of the time of requests the last one whose trace is known, for those who look for it in their tracing. Not here: how they are
//! written (`exposition`).

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

/// The id of a trace, 128 bits of which not all are 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceId(u128);

impl TraceId {
    /// That of W3C's header `traceparent`, where it is valid and says that the trace is recorded: of others nothing would be found.
    #[must_use]
    pub fn of_traceparent(header: &str) -> Option<Self> {
        let mut parts = header.splitn(5, '-');
        let [version, trace, parent, flags] = [parts.next()?, parts.next()?, parts.next()?, parts.next()?];
        let hex = |text: &str, digits: usize| {
            let is_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
            (text.len() == digits && text.bytes().all(is_hex)).then(|| u128::from_str_radix(text, 16).ok()).flatten()
        };
        let (version, trace, parent) = (hex(version, 2)?, hex(trace, 32)?, hex(parent, 16)?);
        // later versions may say more behind the flags; 255 is none
        let ends = version != 0 || parts.next().is_none();
        let recorded = hex(flags, 2)? & 1 == 1;
        (version != 0xff && trace != 0 && parent != 0 && ends && recorded).then_some(Self(trace))
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// A request that a bucket counts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Exemplar {
    /// Its trace.
    pub trace: TraceId,
    /// What the histogram observed of it.
    pub value: f64,
    /// When that was.
    pub at: SystemTime,
}

/// The buckets of a series of the time of requests, by model and protocol; the last is that beyond all bounds.
type Buckets = HashMap<(String, &'static str), Vec<Option<Exemplar>>>;

/// The exemplars of all series.
#[derive(Debug, Default)]
pub(super) struct Exemplars(Mutex<Buckets>);

impl Exemplars {
    fn lock(&self) -> MutexGuard<'_, Buckets> {
        // a map that no panic leaves half changed
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the place of the one before in its bucket, of those with these upper bounds.
    pub(super) fn put(&self, model: &str, protocol: &'static str, bounds: &[f64], exemplar: Exemplar) {
        let bucket = bounds.iter().position(|bound| exemplar.value <= *bound).unwrap_or(bounds.len());
        let mut all = self.lock();
        let buckets = all.entry((model.to_owned(), protocol)).or_insert_with(|| vec![None; bounds.len() + 1]);
        buckets[bucket] = Some(exemplar);
    }

    /// Those of a model end with it.
    pub(super) fn forget(&self, model: &str) {
        self.lock().retain(|(other, _), _| other != model);
    }

    /// As they are now.
    pub(super) fn now(&self) -> Shown {
        Shown(self.lock().clone())
    }
}

/// The exemplars as they were at a time.
#[derive(Clone, Debug, Default)]
pub struct Shown(Buckets);

impl Shown {
    /// That of a bucket, counted from 0, of the series with these labels.
    pub(super) fn of(&self, labels: &HashMap<&str, &str>, bucket: usize) -> Option<&Exemplar> {
        let (model, protocol) = (labels.get("model")?, labels.get("protocol")?);
        let mut all = self.0.iter();
        let (_, buckets) = all.find(|((of_model, of_protocol), _)| of_model == model && of_protocol == protocol)?;
        buckets.get(bucket)?.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_traceparent_is_as_w3c_has_it_and_its_trace_is_recorded() {
        let id = |header: &str| TraceId::of_traceparent(header).map(|id| id.to_string());
        let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
        let valid = format!("00-{trace}-00f067aa0ba902b7-01");
        assert_eq!(id(&valid).as_deref(), Some(trace));
        assert_eq!(id(&format!("01-{trace}-00f067aa0ba902b7-03-more")).as_deref(), Some(trace));
        for invalid in [
            "",
            "00",
            &format!("{valid}-more"),
            &format!("ff-{trace}-00f067aa0ba902b7-01"),
            &format!("00-{trace}-0000000000000000-01"),
            &format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32)),
            &format!("00-{}-00f067aa0ba902b7-01", trace.to_uppercase()),
            &format!("00-{trace}0-00f067aa0ba902b7-01"),
            &format!("00-+{}-00f067aa0ba902b7-01", &trace[1..]),
            &format!("00-{trace}-00f067aa0ba902b7-00"),
        ] {
            assert_eq!(id(invalid), None, "{invalid}");
        }
    }

    #[test]
    fn a_bucket_has_the_last_request_that_it_counts_until_its_model_ends() {
        let exemplars = Exemplars::default();
        let exemplar = |trace, value| Exemplar { trace: TraceId(trace), value, at: SystemTime::UNIX_EPOCH };
        for (trace, value) in [(1, 0.25), (2, 0.5), (3, 2.0), (4, 0.75)] {
            exemplars.put("m", "http", &[0.5, 1.0], exemplar(trace, value));
        }
        let labels = HashMap::from([("model", "m"), ("protocol", "http")]);
        let traces = || [0, 1, 2, 3].map(|bucket| exemplars.now().of(&labels, bucket).map(|one| one.trace.0));
        assert_eq!(traces(), [Some(2), Some(4), Some(3), None]);
        assert!(exemplars.now().of(&HashMap::from([("model", "m"), ("protocol", "grpc")]), 0).is_none());
        exemplars.forget("m");
        assert_eq!(traces(), [None; 4]);
    }
}
