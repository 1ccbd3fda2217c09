//! Metrics as text: Prometheus' own format, and OpenMetrics 1.0 for those who ask for it. Not here: what is counted.

use std::fmt::Write as _;
use std::time::SystemTime;

use prometheus::proto::{LabelPair, MetricFamily, MetricType};
use prometheus::{Encoder as _, TextEncoder};

use super::{Exemplar, REQUESTS, Shown};

/// How metrics are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Exposition {
    /// Prometheus' text format 0.0.4, which everybody reads.
    #[default]
    Text,
    /// OpenMetrics 1.0.
    OpenMetrics,
}

const OPEN_METRICS: &str = "application/openmetrics-text";

impl Exposition {
    /// What an `Accept` header prefers: OpenMetrics only where it is named, and no less wanted than plain text.
    #[must_use]
    pub fn accepted(accept: &str) -> Self {
        let mut wanted = [0.0_f32; 2];
        for range in accept.split(',') {
            let mut parts = range.split(';').map(str::trim);
            let media = parts.next().unwrap_or_default();
            let (mut quality, mut version) = (1.0_f32, "1.0.0");
            for (name, value) in parts.filter_map(|part| part.split_once('=')) {
                match name.trim() {
                    "q" => quality = value.trim().parse().unwrap_or(0.0),
                    "version" => version = value.trim(),
                    _ => {}
                }
            }
            let which = match media {
                OPEN_METRICS if version == "1.0.0" => 1,
                "text/plain" | "text/*" => 0,
                _ => continue,
            };
            wanted[which] = wanted[which].max(quality);
        }
        let [text, open] = wanted;
        if open > 0.0 && open >= text { Self::OpenMetrics } else { Self::Text }
    }

    /// Its content type.
    #[must_use]
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }

    /// The families as text; OpenMetrics has the exemplars too.
    ///
    /// # Errors
    /// When a family cannot be written: a fault of whoever counts.
    pub fn encode(self, families: &[MetricFamily], exemplars: &Shown) -> Result<Vec<u8>, prometheus::Error> {
        let mut text = Vec::new();
        match self {
            Self::Text => TextEncoder::new().encode(families, &mut text)?,
            Self::OpenMetrics => text = open_metrics(families, exemplars).into_bytes(),
        }
        Ok(text)
    }
}

fn open_metrics(families: &[MetricFamily], exemplars: &Shown) -> String {
    let mut text = String::new();
    for family in families {
        let kind = family.get_field_type();
        // a counter's samples end in _total and its family does not; what is called otherwise cannot be a counter there
        let (name, kind_name) = match (kind, family.name().strip_suffix("_total")) {
            (MetricType::COUNTER, Some(stem)) => (stem, "counter"),
            (MetricType::COUNTER, None) | (MetricType::UNTYPED, _) => (family.name(), "unknown"),
            (MetricType::GAUGE, _) => (family.name(), "gauge"),
            (MetricType::HISTOGRAM, _) => (family.name(), "histogram"),
            (MetricType::SUMMARY, _) => (family.name(), "summary"),
        };
        let _ = writeln!(text, "# HELP {name} {}\n# TYPE {name} {kind_name}", escaped(family.help()));
        for metric in family.get_metric() {
            let labels = metric.get_label();
            match kind {
                MetricType::COUNTER => sample(&mut text, family.name(), labels, None, metric.get_counter().get_value()),
                MetricType::GAUGE => sample(&mut text, name, labels, None, metric.get_gauge().get_value()),
                MetricType::UNTYPED => {} // nobody makes any
                MetricType::HISTOGRAM => {
                    let histogram = metric.get_histogram();
                    let bucket = format!("{name}_bucket");
                    let named = labels.iter().map(|label| (label.name(), label.value())).collect();
                    let mut buckets: Vec<_> =
                        histogram.get_bucket().iter().map(|one| (one.upper_bound(), one.cumulative_count())).collect();
                    if !buckets.last().is_some_and(|(bound, _)| bound.is_infinite()) {
                        buckets.push((f64::INFINITY, histogram.get_sample_count()));
                    }
                    for (index, (bound, count)) in buckets.into_iter().enumerate() {
                        let of_requests = name == REQUESTS && count > 0;
                        let example = of_requests.then(|| exemplars.of(&named, index)).flatten();
                        sample(&mut text, &bucket, labels, Some(("le", number(bound))), count as f64);
                        if let Some(example) = example {
                            exemplar(&mut text, example);
                        }
                    }
                    sample(&mut text, &format!("{name}_sum"), labels, None, histogram.get_sample_sum());
                    sample(&mut text, &format!("{name}_count"), labels, None, histogram.get_sample_count() as f64);
                }
                MetricType::SUMMARY => {
                    let summary = metric.get_summary();
                    for one in summary.get_quantile() {
                        let quantile = ("quantile", number(one.quantile()));
                        sample(&mut text, name, labels, Some(quantile), one.value());
                    }
                    sample(&mut text, &format!("{name}_sum"), labels, None, summary.sample_sum());
                    sample(&mut text, &format!("{name}_count"), labels, None, summary.sample_count() as f64);
                }
            }
        }
    }
    text.push_str("# EOF\n");
    text
}

fn sample(text: &mut String, name: &str, labels: &[LabelPair], more: Option<(&str, String)>, value: f64) {
    text.push_str(name);
    let mut opens = '{';
    let pairs = labels.iter().map(|pair| (pair.name(), pair.value()));
    for (name, value) in pairs.chain(more.iter().map(|(name, value)| (*name, &**value))) {
        let _ = write!(text, "{opens}{name}=\"{}\"", escaped(value));
        opens = ',';
    }
    if opens == ',' {
        text.push('}');
    }
    let _ = writeln!(text, " {}", number(value));
}

/// Puts an exemplar behind the last sample.
fn exemplar(text: &mut String, Exemplar { trace, value, at }: &Exemplar) {
    let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_millis() as f64 / 1000.0;
    text.pop(); // the end of the line
    let _ = writeln!(text, " # {{trace_id=\"{trace}\"}} {} {}", number(*value), number(since));
}

/// A number in its canonical form: whole ones have a point too.
fn number(value: f64) -> String {
    match value {
        _ if value.is_nan() => "NaN".to_owned(),
        f64::INFINITY => "+Inf".to_owned(),
        f64::NEG_INFINITY => "-Inf".to_owned(),
        _ => format!("{value:?}"),
    }
}

fn escaped(text: &str) -> String {
    text.replace('\\', r"\\").replace('"', r#"\""#).replace('\n', r"\n")
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, IntGauge, Opts, Registry};

    use super::*;

    #[test]
    fn open_metrics_is_for_those_who_name_it_and_want_it_no_less_than_text() {
        // what Prometheus 2.42 sends
        let prometheus = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        for (accept, expected) in [
            (prometheus, Exposition::OpenMetrics),
            ("application/openmetrics-text", Exposition::OpenMetrics),
            ("application/openmetrics-text; version=1.0.0; q=0.5, text/plain", Exposition::Text),
            ("application/openmetrics-text;version=0.0.1", Exposition::Text),
            ("application/openmetrics-text;q=0", Exposition::Text),
            ("*/*", Exposition::Text),
            ("", Exposition::Text),
        ] {
            assert_eq!(Exposition::accepted(accept), expected, "{accept}");
        }
    }

    #[test]
    fn counters_lose_their_suffix_in_their_family_and_numbers_are_canonical() {
        let registry = Registry::new();
        let counter = IntCounterVec::new(Opts::new("a_total", "Things."), &["kind"]).unwrap();
        let odd = IntCounterVec::new(Opts::new("nv_count", "Others."), &["kind"]).unwrap();
        let gauge = IntGauge::new("g", "A \"gauge\".").unwrap();
        let options = HistogramOpts::new("h_seconds", "Time.").buckets(vec![0.0005, 1.0]);
        let histogram = HistogramVec::new(options, &["kind"]).unwrap();
        registry.register(Box::new(counter.clone())).unwrap();
        registry.register(Box::new(odd.clone())).unwrap();
        registry.register(Box::new(gauge.clone())).unwrap();
        registry.register(Box::new(histogram.clone())).unwrap();
        counter.with_label_values(&["a\\b\"c\nd"]).inc_by(3);
        odd.with_label_values(&["x"]).inc();
        gauge.set(-2);
        histogram.with_label_values(&["x"]).observe(0.25);
        let text =
            String::from_utf8(Exposition::OpenMetrics.encode(&registry.gather(), &Shown::default()).unwrap()).unwrap();
        let expected = r#"# HELP a Things.
# TYPE a counter
a_total{kind="a\\b\"c\nd"} 3.0
# HELP g A \"gauge\".
# TYPE g gauge
g -2.0
# HELP h_seconds Time.
# TYPE h_seconds histogram
h_seconds_bucket{kind="x",le="0.0005"} 0.0
h_seconds_bucket{kind="x",le="1.0"} 1.0
h_seconds_bucket{kind="x",le="+Inf"} 1.0
h_seconds_sum{kind="x"} 0.25
h_seconds_count{kind="x"} 1.0
# HELP nv_count Others.
# TYPE nv_count unknown
nv_count{kind="x"} 1.0
# EOF
"#;
        assert_eq!(text, expected);
    }
}
