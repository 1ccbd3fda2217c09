//! The Prometheus metrics, their names and buckets: one struct, made once, shared by reference.
//!
//! Only names of loaded models become labels: a client's words never do. Not here: the route that serves them (`http`).

use std::time::{Duration, Instant};

use prometheus::{
    Counter, CounterVec, Encoder, GaugeVec, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, Registry, TextEncoder,
};

/// Seconds; OpenTelemetry's buckets for HTTP servers with finer ones below 5 ms, where GPUs and small models answer.
const SECONDS: &[f64] =
    &[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 30.0];
/// Seconds of one stage of the way of an image.
const STAGE_SECONDS: &[f64] =
    &[0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
/// Images in a batch.
const BATCH_SIZES: &[f64] = &[1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0, 24.0, 32.0, 48.0, 64.0, 96.0, 128.0, 256.0];

/// All metrics of the process.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    requests: IntCounterVec,
    request_duration: HistogramVec,
    stage_duration: HistogramVec,
    images: IntCounterVec,
    device_busy: CounterVec,
    batch_size: HistogramVec,
    queue_images: IntGaugeVec,
    rejected: IntCounterVec,
    cancelled: IntCounter,
    model_ready: IntGaugeVec,
}

/// A stage of the way of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Bytes to RGB.
    Decode,
    /// Resize and crop.
    Transform,
    /// Waiting for the device.
    Queue,
    /// On the device.
    Compute,
    /// Scores to bytes.
    Respond,
}

impl Stage {
    /// The value of the label `stage`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Decode => "decode",
            Self::Transform => "transform",
            Self::Queue => "queue",
            Self::Compute => "compute",
            Self::Respond => "respond",
        }
    }
}

/// Why a request was rejected at admission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// The model's places are taken.
    Queue,
    /// The bytes of all bodies are spent.
    Bodies,
    /// The decoded pixels of all images are spent.
    Pixels,
    /// The queue is longer than the deadline.
    Wait,
    /// The model is not ready, or a drain has begun.
    NotReady,
    /// More connections than are allowed.
    Connections,
}

impl Rejection {
    const ALL: [Self; 6] = [Self::Queue, Self::Bodies, Self::Pixels, Self::Wait, Self::NotReady, Self::Connections];

    /// The value of the label `reason`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Queue => "queue_full",
            Self::Bodies => "body_bytes",
            Self::Pixels => "pixels",
            Self::Wait => "estimated_wait",
            Self::NotReady => "not_ready",
            Self::Connections => "connections",
        }
    }
}

/// A model as metrics name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelLabels {
    /// The name under which it is served.
    pub model: String,
    /// Its program's family.
    pub family: String,
    /// The device that runs it.
    pub device: String,
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
        let request_duration = histograms(
            "convnext_request_duration_seconds",
            "From the head of a request to its answer.",
            &["model", "protocol"],
            SECONDS,
        )?;
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
        let cancelled = IntCounter::new("convnext_cancelled_total", "Requests whose client left before the answer.")?;
        registry.register(Box::new(cancelled.clone()))?;
        let model_ready = gauges("convnext_model_ready", "1 when the model is loaded and warm.", &["model"])?;
        Ok(Self {
            registry,
            requests,
            request_duration,
            stage_duration,
            images,
            device_busy,
            batch_size,
            queue_images,
            rejected,
            cancelled,
            model_ready,
        })
    }

    /// Says what runs here; the value is always 1.
    ///
    /// # Errors
    /// When it was said before.
    pub fn build_info(&self, device: &str) -> Result<(), prometheus::Error> {
        let info = GaugeVec::new(
            Opts::new("convnext_build_info", "Version and device of this process; always 1."),
            &["version", "device"],
        )?;
        info.with_label_values(&[env!("CARGO_PKG_VERSION"), device]).set(1.0);
        self.registry.register(Box::new(info))
    }

    /// The text that Prometheus scrapes, and its content type.
    ///
    /// # Errors
    /// When a metric cannot be encoded.
    pub fn encode(&self) -> Result<(Vec<u8>, String), prometheus::Error> {
        let encoder = TextEncoder::new();
        let mut text = Vec::new();
        encoder.encode(&self.registry.gather(), &mut text)?;
        Ok((text, encoder.format_type().to_owned()))
    }

    /// Begins to time a request. Until [`RequestTimer::model`] says otherwise it belongs to no model.
    #[must_use]
    pub fn request(&self, protocol: &'static str) -> RequestTimer<'_> {
        RequestTimer { metrics: self, began: Instant::now(), protocol, model: String::new(), finished: false }
    }

    /// Time of an image, or of a request for [`Stage::Respond`], in a stage.
    pub fn stage(&self, model: &str, stage: Stage, time: Duration) {
        self.stage_duration.with_label_values(&[model, stage.name()]).observe(time.as_secs_f64());
    }

    /// A batch has run.
    pub fn batch(&self, labels: &ModelLabels, images: usize, busy: Duration) {
        let ModelLabels { model, family, device } = labels;
        self.images.with_label_values(&[model, family]).inc_by(images as u64);
        let busy_total: Counter = self.device_busy.with_label_values(&[model, family, device]);
        busy_total.inc_by(busy.as_secs_f64());
        self.batch_size.with_label_values(&[model]).observe(images as f64);
    }

    /// The images of a model that wait.
    #[must_use]
    pub fn queue(&self, model: &str) -> IntGauge {
        self.queue_images.with_label_values(&[model])
    }

    /// Whether a model is ready. The first call makes its series, the histograms' too, so that they are seen at zero.
    pub fn ready(&self, labels: &ModelLabels, ready: bool) {
        let ModelLabels { model, family, device } = labels;
        self.model_ready.with_label_values(&[model]).set(i64::from(ready));
        self.images.with_label_values(&[model, family]);
        self.device_busy.with_label_values(&[model, family, device]);
        self.batch_size.with_label_values(&[model]);
        self.queue_images.with_label_values(&[model]);
        for stage in [Stage::Decode, Stage::Transform, Stage::Queue, Stage::Compute, Stage::Respond] {
            self.stage_duration.with_label_values(&[model, stage.name()]);
        }
    }

    /// A request was turned away.
    pub fn rejected(&self, reason: Rejection) {
        self.rejected.with_label_values(&[reason.name()]).inc();
    }

    /// A client left before its answer.
    pub fn cancelled(&self) {
        self.cancelled.inc();
    }
}

/// Times a request; one that is dropped before [`finish`](Self::finish) counts as cancelled.
#[derive(Debug)]
pub struct RequestTimer<'a> {
    metrics: &'a Metrics,
    began: Instant,
    protocol: &'static str,
    model: String,
    finished: bool,
}

impl RequestTimer<'_> {
    /// The loaded model that the request is for.
    pub fn model(&mut self, name: &str) {
        name.clone_into(&mut self.model);
    }

    /// The answer is known: an HTTP status or a gRPC code.
    pub fn finish(mut self, code: &str) {
        self.finished = true;
        self.record(code);
    }

    fn record(&self, code: &str) {
        self.metrics.requests.with_label_values(&[&self.model, self.protocol, code]).inc();
        let seconds = self.began.elapsed().as_secs_f64();
        self.metrics.request_duration.with_label_values(&[self.model.as_str(), self.protocol]).observe(seconds);
    }
}

impl Drop for RequestTimer<'_> {
    fn drop(&mut self) {
        if !self.finished {
            self.record("cancelled");
        }
    }
}
