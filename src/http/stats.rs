//! `GET /stats`: what the page reads: the models, what was measured of them, and the metrics as JSON. All numbers only grow, or stand; whoever asks
//! twice makes rates of them. Not here: Prometheus' text (`shared`).

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use prometheus::proto::{Metric, MetricFamily, MetricType};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa::openapi::Type;
use utoipa::openapi::schema::{ArrayBuilder, ObjectBuilder, SchemaType};

use super::shared::Model;
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

/// What the page reads.
#[derive(Serialize, ToSchema)]
pub(super) struct Stats {
    /// The server's.
    version: &'static str,
    uptime_seconds: f64,
    models: Vec<Model>,
    /// What was measured of models beside their baselines.
    comparisons: Vec<Compared>,
    /// Why there is no comparison; empty where nothing is amiss.
    why_not_measured: String,
    /// The series of each metric, by its name.
    metrics: BTreeMap<String, Vec<Series>>,
}

/// A model beside its baseline.
#[derive(Serialize, ToSchema)]
#[schema(as = Comparison)]
pub(crate) struct Compared {
    model: String,
    family: String,
    baseline: String,
    baseline_family: String,
    device: String,
    /// Images of a batch.
    batch: usize,
    /// Medians of all rounds.
    images_per_second: f64,
    baseline_images_per_second: f64,
    /// The model's over the baseline's, the median of all rounds.
    ratio: f64,
    rounds: usize,
}

impl From<Comparison> for Compared {
    fn from(one: Comparison) -> Self {
        Self {
            model: one.model,
            family: one.family,
            baseline: one.baseline,
            baseline_family: one.baseline_family,
            device: one.device,
            batch: one.batch,
            images_per_second: one.images_per_second,
            baseline_images_per_second: one.baseline_images_per_second,
            ratio: one.ratio,
            rounds: one.rounds,
        }
    }
}

/// A series: labels, and a value, or of a histogram buckets, sum and count.
#[derive(Serialize, ToSchema)]
struct Series {
    labels: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<f64>,
    /// `[bound, count]`, cumulative; the last bound is null.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = buckets)]
    buckets: Option<Vec<(Option<f64>, u64)>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sum: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<u64>,
}

fn buckets() -> ArrayBuilder {
    let number = ObjectBuilder::new().schema_type(SchemaType::from_iter([Type::Number, Type::Null]));
    ArrayBuilder::new().items(ArrayBuilder::new().items(number).min_items(Some(2)).max_items(Some(2)))
}

/// All of it.
pub(super) async fn stats(State(state): State<AppState>) -> Json<Stats> {
    let classifier = &state.classifier;
    let families = classifier.gather();
    let shown = families.iter().filter(|family| SHOWN.contains(&family.name()));
    Json(Stats {
        version: env!("CARGO_PKG_VERSION"),
        uptime_seconds: classifier.metrics().uptime().as_secs_f64(),
        models: classifier.models().into_iter().map(Model::from).collect(),
        comparisons: classifier.comparisons().into_iter().map(Compared::from).collect(),
        why_not_measured: classifier.why_not_measured(),
        metrics: shown.map(|one| (one.name().to_owned(), family(one))).collect(),
    })
}

fn family(family: &MetricFamily) -> Vec<Series> {
    let one = |metric: &Metric| {
        let labels = metric.get_label().iter().map(|label| (label.name().to_owned(), label.value().to_owned()));
        let mut series = Series { labels: labels.collect(), value: None, buckets: None, sum: None, count: None };
        match family.get_field_type() {
            MetricType::HISTOGRAM => {
                let histogram = metric.get_histogram();
                let bounded = histogram.get_bucket().iter().filter(|bucket| bucket.upper_bound().is_finite());
                let (sum, count) = (histogram.get_sample_sum(), histogram.get_sample_count());
                let buckets = bounded.map(|bucket| (Some(bucket.upper_bound()), bucket.cumulative_count()));
                series.buckets = Some(buckets.chain([(None, count)]).collect());
                (series.sum, series.count) = (Some(sum), Some(count));
            }
            MetricType::COUNTER => series.value = Some(metric.get_counter().get_value()),
            _ => series.value = Some(metric.get_gauge().get_value()),
        }
        series
    };
    family.get_metric().iter().map(one).collect()
}
