//! What a run found, as lines to read and as JSON. Not here: the chart (`plot`).

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::{Value, json};

use super::record::Record;

/// The quantiles that are told, with their names.
const QUANTILES: [(&str, f64); 5] = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999), ("max", 1.0)];

/// A run, and what became of it.
pub(super) struct Report {
    /// Where the requests went.
    pub(super) url: String,
    pub(super) model: String,
    pub(super) load: Load,
    pub(super) measured: Duration,
    pub(super) record: Record,
}

/// How requests came.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Load {
    /// From so many clients, each of which waits for its answer.
    Closed { clients: usize },
    /// So many a second, of which at most so many are in flight.
    Open { rate: f64, spacing: &'static str, most: usize },
}

impl Load {
    pub(super) fn text(self) -> String {
        match self {
            Self::Closed { clients: 1 } => "1 client".to_owned(),
            Self::Closed { clients } => format!("{clients} clients"),
            Self::Open { rate, spacing, most } => {
                format!("{rate} requests/s, {spacing}, at most {most} in flight")
            }
        }
    }
}

impl Report {
    /// Answers with success a second, each for one image.
    pub(super) fn throughput(&self) -> f64 {
        self.record.answered_meanwhile as f64 / self.measured.as_secs_f64()
    }

    /// Lines to read.
    pub(super) fn text(&self) -> String {
        let Self { url, model, load, measured, record } = self;
        let mut text = String::new();
        let mut line = |name: &str, value: String| {
            let _ = writeln!(text, "{name:<12}{value}"); // a String takes everything
        };
        line("to", format!("{url}, model {model}"));
        line("load", format!("{}, for {} s", load.text(), measured.as_secs_f64()));
        line("requests", format!("{}, {} failed", record.requests, record.failed()));
        for (status, count) in &record.statuses {
            line("", format!("{status}: {count}"));
        }
        if record.timed_out > 0 {
            line("", format!("no answer in time: {}", record.timed_out));
        }
        for (why, count) in &record.errors {
            line("", format!("no answer, {why}: {count}"));
        }
        line("throughput", format!("{:.1} images/s", self.throughput()));
        if record.known() > 0 {
            let quantiles = QUANTILES.map(|(name, quantile)| format!("{name} {}", ms(record.latency(quantile))));
            line("latency", format!("mean {}, {} ms", ms(record.mean()), quantiles.join(", ")));
        }
        if let Load::Open { most, .. } = load {
            line("late", format!("{} found {most} in flight, and waited", record.late));
            line("lag", format!("at most {} ms from an arrival to its being sent", ms(record.lag)));
        }
        text
    }

    pub(super) fn json(&self) -> Value {
        let Self { url, model, load, measured, record } = self;
        let in_ms = |time: Duration| time.as_secs_f64() * 1e3;
        let mut latency = serde_json::Map::new();
        if record.known() > 0 {
            latency.insert("mean".to_owned(), json!(in_ms(record.mean())));
            latency.extend(QUANTILES.map(|(name, quantile)| (name.to_owned(), json!(in_ms(record.latency(quantile))))));
        }
        let load = match load {
            Load::Closed { clients } => json!({ "clients": clients }),
            Load::Open { rate, spacing, most } => json!({ "rate": rate, "arrivals": spacing, "most_in_flight": most }),
        };
        let statuses: serde_json::Map<String, Value> =
            record.statuses.iter().map(|(status, count)| (status.clone(), json!(count))).collect();
        json!({
            "url": url,
            "model": model,
            "load": load,
            "seconds": measured.as_secs_f64(),
            "requests": record.requests,
            "failed": record.failed(),
            "statuses": statuses,
            "timed_out": record.timed_out,
            "errors": record.errors,
            "images_per_second": self.throughput(),
            "latency_ms": latency,
            "late": record.late,
            "lag_ms": in_ms(record.lag),
        })
    }
}

/// Milliseconds with as many digits as mean something.
fn ms(time: Duration) -> String {
    let ms = time.as_secs_f64() * 1e3;
    if ms < 100.0 { format!("{ms:.2}") } else { format!("{ms:.0}") }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::super::record::Outcome;
    use super::*;

    fn report(load: Load) -> Report {
        let mut record = Record::new().unwrap();
        for _ in 0..10 {
            record.ended(Duration::from_millis(4), Outcome::Status(200));
        }
        record.ended(Duration::ZERO, Outcome::Status(429));
        record.ended(Duration::ZERO, Outcome::NoAnswer("Connection refused".into()));
        (record.answered_meanwhile, record.late) = (9, 3);
        let (url, model) = ("http://h:1/classify".to_owned(), "m".to_owned());
        Report { url, model, load, measured: Duration::from_secs(2), record }
    }

    #[test]
    fn an_open_loop_says_how_many_found_no_place() {
        let open = report(Load::Open { rate: 6.0, spacing: "even", most: 2 }).text();
        for words in [
            "12, 2 failed",
            "429: 1",
            "no answer, Connection refused: 1",
            "4.5 images/s",
            "3 found 2 in flight",
            "p99.9 4.00",
        ] {
            assert!(open.contains(words), "{words}: {open}");
        }
        let closed = report(Load::Closed { clients: 8 });
        assert!(closed.text().contains("8 clients") && !closed.text().contains("in flight"));
        let json = closed.json();
        assert_eq!(
            (&json["failed"], &json["statuses"]["200"], &json["images_per_second"]),
            (&json!(2), &json!(10), &json!(4.5))
        );
    }

    #[test]
    fn without_an_answer_no_latency_is_told() {
        let mut none = report(Load::Closed { clients: 1 });
        none.record = Record::new().unwrap();
        assert!(!none.text().contains("latency"));
        assert_eq!(none.json()["latency_ms"], json!({}));
    }
}
