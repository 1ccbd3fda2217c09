//! The Prometheus metrics, their names and buckets: one struct, made once, shared by reference.
//!
//! Only names of loaded models become labels: a client's words never do. Not here: the route that serves them (`http`).

mod exemplars;
mod exposition;
mod labels;
mod model;
mod secured;
mod statistics;
mod timer;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use exemplars::Exemplars;
pub use exemplars::{Exemplar, Shown, TraceId};
pub use exposition::Exposition;
pub use labels::{Rejection, Stage};
pub use model::ModelMetrics;
use prometheus::proto::MetricFamily;
use prometheus::{
    CounterVec, GaugeVec, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGaugeVec, Opts, Registry,
};

pub use secured::{AccessCounts, Reloads, TlsCounts};
pub use statistics::{Failure, Form, Requests, StageTimes, Statistics, Tally};
pub use timer::RequestTimer;

use crate::telemetry;

/// Seconds; OpenTelemetry's buckets for HTTP servers with finer ones below 5 ms, where GPUs and small models answer.
const SECONDS: &[f64] =
    &[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 30.0];
/// The time of requests, whose buckets have exemplars.
const REQUESTS: &str = "convnext_request_duration_seconds";
/// Seconds of one stage of the way of an image.
const STAGE_SECONDS: &[f64] =
    &[0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
/// Images in a batch.
const BATCH_SIZES: &[f64] = &[1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0, 24.0, 32.0, 48.0, 64.0, 96.0, 128.0, 256.0];

/// All metrics of the process.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    began: Instant,
    families: Arc<Families>,
    outcomes: Outcomes,
    rejected: IntCounterVec,
    build_info: IntGaugeVec,
    device_up: IntGaugeVec,
    device_memory: IntGaugeVec,
    access: AccessCounts,
    tls: TlsCounts,
    reloads: Reloads,
}

/// The metrics that have a label `model`.
#[derive(Debug)]
struct Families {
    requests: IntCounterVec,
    request_duration: HistogramVec,
    stage_duration: HistogramVec,
    images: IntCounterVec,
    device_busy: CounterVec,
    batch_size: HistogramVec,
    queue_images: IntGaugeVec,
    model_ready: IntGaugeVec,
    benchmark: GaugeVec,
    speedup: GaugeVec,
    exemplars: Exemplars,
    /// The models that are counted now.
    models: Mutex<HashMap<String, Weak<ModelMetrics>>>,
}

impl Families {
    fn models(&self) -> MutexGuard<'_, HashMap<String, Weak<ModelMetrics>>> {
        // a map that no panic leaves half changed
        self.models.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The account of requests: `received = succeeded + failed + rejected + cancelled` once all have ended, where connections that
/// were turned away are no requests.
#[derive(Debug)]
struct Outcomes {
    received: IntCounter,
    succeeded: IntCounter,
    failed: IntCounter,
    cancelled: IntCounter,
}

impl Metrics {
    /// Registers every metric in a registry of its own.
    ///
    /// # Errors
    /// When a name is invalid or taken twice: a fault of this file.
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let counters = |name: &str, help: &str, labels: &[&str]| {
            let metric = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(metric.clone()))?;
            Ok::<_, prometheus::Error>(metric)
        };
        let gauges = |name: &str, help: &str, labels: &[&str]| {
            let metric = IntGaugeVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(metric.clone()))?;
            Ok::<_, prometheus::Error>(metric)
        };
        let histograms = |name: &str, help: &str, labels: &[&str], buckets: &[f64]| {
            let opts = HistogramOpts::new(name, help).buckets(buckets.to_vec());
            let metric = HistogramVec::new(opts, labels)?;
            registry.register(Box::new(metric.clone()))?;
            Ok::<_, prometheus::Error>(metric)
        };
        let requests = counters(
            "convnext_requests_total",
            "Classification requests by their answer: an HTTP status or gRPC code, or cancelled.",
            &["model", "protocol", "code"],
        )?;
        let request_duration =
            histograms(REQUESTS, "From the head of a request to its answer.", &["model", "protocol"], SECONDS)?;
        let stage_duration = histograms(
            "convnext_stage_duration_seconds",
            "Time of an image in each stage of its way; compute is that of its batch.",
            &["model", "stage"],
            STAGE_SECONDS,
        )?;
        let images = counters("convnext_images_total", "Images that a device has computed.", &["model", "family"])?;
        let device_busy = CounterVec::new(
            Opts::new("convnext_device_busy_seconds_total", "Time in which a device computed."),
            &["model", "family", "device"],
        )?;
        registry.register(Box::new(device_busy.clone()))?;
        let batch_size = histograms("convnext_batch_size", "Images in each batch that ran.", &["model"], BATCH_SIZES)?;
        let queue_images = gauges("convnext_queue_images", "Images that wait for the device.", &["model"])?;
        let rejected = counters("convnext_rejected_total", "Requests turned away at admission.", &["reason"])?;
        for reason in Rejection::ALL {
            rejected.with_label_values(&[reason.name()]); // so that each is seen at zero
        }
        let counter = |name: &str, help: &str| {
            let metric = IntCounter::new(name, help)?;
            registry.register(Box::new(metric.clone()))?;
            Ok::<_, prometheus::Error>(metric)
        };
        let outcomes = Outcomes {
            received: counter("convnext_received_total", "Requests that asked for admission.")?,
            succeeded: counter("convnext_succeeded_total", "Requests that were answered.")?,
            failed: counter("convnext_failed_total", "Requests that got an error other than a rejection.")?,
            cancelled: counter("convnext_cancelled_total", "Requests whose client left before the answer.")?,
        };
        let model_ready = gauges("convnext_model_ready", "1 when the model is loaded and warm.", &["model"])?;
        let measured = |name: &str, help: &str, labels: &[&str]| {
            let metric = GaugeVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(metric.clone()))?;
            Ok::<_, prometheus::Error>(metric)
        };
        let benchmark = measured(
            "convnext_benchmark_images_per_second",
            "Images per second of a model alone on the device, measured in turns with its baseline while nothing else ran.",
            &["model", "family", "device", "batch"],
        )?;
        let speedup = measured(
            "convnext_speedup_ratio",
            "Images per second of a model over those of its baseline, the median of rounds in which both took turns.",
            &["model", "baseline", "device", "batch"],
        )?;
        let families = Arc::new(Families {
            requests,
            request_duration,
            stage_duration,
            images,
            device_busy,
            batch_size,
            queue_images,
            model_ready,
            benchmark,
            speedup,
            exemplars: Exemplars::default(),
            models: Mutex::default(),
        });
        let build_info =
            gauges("convnext_build_info", "Version and devices of this process; always 1.", &["version", "device"])?;
        let device_up = gauges("convnext_device_up", "0 once a device has failed.", &["device"])?;
        let help = "Bytes of a device's memory that are in use, by this process and others.";
        let device_memory = gauges("convnext_device_memory_used_bytes", help, &["device"])?;
        if let Some(dropped) = telemetry::dropped() {
            registry.register(Box::new(dropped))?;
        }
        let (access, tls, reloads) =
            (AccessCounts::new(&registry)?, TlsCounts::new(&registry)?, Reloads::new(&registry)?);
        Ok(Self {
            registry,
            began: Instant::now(),
            families,
            outcomes,
            rejected,
            build_info,
            device_up,
            device_memory,
            access,
            tls,
            reloads,
        })
    }

    /// Says what runs here, for each device; the value is always 1.
    pub fn build_info(&self, device: &str) {
        self.build_info.with_label_values(&[env!("CARGO_PKG_VERSION"), device]).set(1);
    }

    /// Whether a device runs.
    pub fn device_up(&self, device: &str, up: bool) {
        self.device_up.with_label_values(&[device]).set(i64::from(up));
    }

    /// Bytes of a device's memory that are in use.
    pub fn device_memory_used(&self, device: &str, bytes: u64) {
        self.device_memory.with_label_values(&[device]).set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    /// What is counted of those who ask.
    #[must_use]
    pub fn access(&self) -> AccessCounts {
        self.access.clone()
    }

    /// What is counted of TLS.
    #[must_use]
    pub fn tls(&self) -> TlsCounts {
        self.tls.clone()
    }

    /// Whether files that are read again are in use.
    #[must_use]
    pub fn reloads(&self) -> Reloads {
        self.reloads.clone()
    }

    /// How long this has counted.
    #[must_use]
    pub fn uptime(&self) -> Duration {
        self.began.elapsed()
    }

    /// All of them as they are now, for an [`Exposition`].
    #[must_use]
    pub fn gather(&self) -> Vec<MetricFamily> {
        self.registry.gather()
    }

    /// The requests that buckets have for examples, as they are now.
    #[must_use]
    pub fn exemplars(&self) -> Shown {
        self.families.exemplars.now()
    }

    /// The text that Prometheus scrapes, and its content type.
    ///
    /// # Errors
    /// When a metric cannot be encoded.
    pub fn encode(&self) -> Result<(Vec<u8>, String), prometheus::Error> {
        let text = Exposition::Text;
        Ok((text.encode(&self.gather(), &Shown::default())?, text.content_type().to_owned()))
    }

    /// The series of a model of this name, which live as long as anybody holds this.
    #[must_use]
    pub fn model(&self, name: &str) -> Arc<ModelMetrics> {
        let mut models = self.families.models();
        if let Some(known) = models.get(name).and_then(Weak::upgrade) {
            return known;
        }
        let new = Arc::new(ModelMetrics::new(name, &self.families));
        models.insert(name.to_owned(), Arc::downgrade(&new));
        new
    }

    /// Begins to time a request. Until [`RequestTimer::model`] says otherwise it belongs to no model.
    #[must_use]
    pub fn request(&self, protocol: &'static str) -> RequestTimer<'_> {
        RequestTimer::begin(&self.families, protocol)
    }

    /// A request asks for admission.
    pub fn received(&self) {
        self.outcomes.received.inc();
    }

    /// Requests that have asked for admission so far.
    #[must_use]
    pub fn received_so_far(&self) -> u64 {
        self.outcomes.received.get()
    }

    /// A model is no longer served beside what it was measured against.
    pub fn forget_comparison(&self, model: &str, baseline: &str, device: &str, batch: usize) {
        // gone already is as good
        let _ = self.families.speedup.remove_label_values(&[model, baseline, device, &batch.to_string()]);
    }

    /// A request was answered.
    pub fn succeeded(&self) {
        self.outcomes.succeeded.inc();
    }

    /// A request got an error.
    pub fn failed(&self) {
        self.outcomes.failed.inc();
    }

    /// A request, or a connection, was turned away.
    pub fn rejected(&self, reason: Rejection) {
        self.rejected.with_label_values(&[reason.name()]).inc();
    }

    /// A client left before its answer.
    pub fn cancelled(&self) {
        self.outcomes.cancelled.inc();
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests;
