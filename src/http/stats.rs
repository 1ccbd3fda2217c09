//! `GET /stats`: what the page reads: the models, what was measured of them, and the metrics as JSON. All numbers only grow, or stand; whoever asks
//! twice makes rates of them. Not here: Prometheus' text (`shared`).

use axum::Json;
use axum::extract::State;
use prometheus::proto::{Metric, MetricFamily, MetricType};
use serde_json::{Map, Value, json};

use super::shared::model;
use super::state::AppState;
use crate::service::Comparison;

/// The metrics that the page shows.
const SHOWN: &[&str] = &[
    "convnext_images_total",
    "convnext_device_busy_seconds_total",
    "convnext_request_duration_seconds",
    "convnext_stage_duration_seconds",
    "convnext_batch_size",
    "convnext_queue_images",
    "convnext_rejected_total",
    "convnext_requests_total",
    "convnext_device_up",
];

/// All of it.
pub(super) async fn stats(State(state): State<AppState>) -> Json<Value> {
    let classifier = &state.classifier;
    let families = classifier.gather();
    let shown = families.iter().filter(|family| SHOWN.contains(&family.name()));
    let metrics: Map<String, Value> = shown.map(|one| (one.name().to_owned(), family(one))).collect();
    Json(json!({
        "version": env!("CARGO_PKG_VERSION"),
        "uptime_seconds": classifier.metrics().uptime().as_secs_f64(),
        "models": classifier.models().iter().map(model).collect::<Vec<_>>(),
        "comparisons": classifier.comparisons().iter().map(comparison).collect::<Vec<_>>(),
        "why_not_measured": classifier.why_not_measured(),
        "metrics": metrics,
    }))
}

/// A comparison as an answer shows it.
pub(crate) fn comparison(one: &Comparison) -> Value {
    json!({
        "model": one.model,
        "family": one.family,
        "baseline": one.baseline,
        "baseline_family": one.baseline_family,
        "device": one.device,
        "batch": one.batch,
        "images_per_second": one.images_per_second,
        "baseline_images_per_second": one.baseline_images_per_second,
        "ratio": one.ratio,
        "rounds": one.rounds,
    })
}

/// The series of a family: labels, and a value or cumulative buckets `[bound, count]`, where the last bound is null.
fn family(family: &MetricFamily) -> Value {
    let one = |metric: &Metric| {
        let labels: Map<String, Value> =
            metric.get_label().iter().map(|label| (label.name().to_owned(), label.value().into())).collect();
        match family.get_field_type() {
            MetricType::HISTOGRAM => {
                let histogram = metric.get_histogram();
                let mut buckets: Vec<Value> = histogram
                    .get_bucket()
                    .iter()
                    .filter(|bucket| bucket.upper_bound().is_finite())
                    .map(|bucket| json!([bucket.upper_bound(), bucket.cumulative_count()]))
                    .collect();
                buckets.push(json!([null, histogram.get_sample_count()]));
                let (sum, count) = (histogram.get_sample_sum(), histogram.get_sample_count());
                json!({ "labels": labels, "buckets": buckets, "sum": sum, "count": count })
            }
            MetricType::COUNTER => json!({ "labels": labels, "value": metric.get_counter().get_value() }),
            _ => json!({ "labels": labels, "value": metric.get_gauge().get_value() }),
        }
    };
    family.get_metric().iter().map(one).collect()
}
