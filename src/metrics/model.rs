//! The series of one model. They end with it: when the last of those who hold this are gone, its name leaves the metrics.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use prometheus::core::{Collector, MetricVec, MetricVecBuilder};
use prometheus::{Histogram, IntCounter, IntGauge};

use super::{Families, Stage};

/// What is counted of a model, whatever its versions. Shared by all who count: the service, and requests until their answer is sent.
#[derive(Debug)]
pub struct ModelMetrics {
    model: String,
    families: Arc<Families>,
    stages: [Histogram; Stage::ALL.len()],
    batch_size: Histogram,
    queue_images: IntGauge,
    ready: IntGauge,
    /// By protocol, from its first request on: to look a series up by its labels costs each request.
    requests: [OnceLock<OfProtocol>; PROTOCOLS.len()],
}

/// The protocols that requests come by.
const PROTOCOLS: [&str; 2] = ["http", "grpc"];

/// The series of a model's requests by one protocol.
#[derive(Debug)]
struct OfProtocol {
    duration: Histogram,
    /// The code of the first answer and its count. Most have the same.
    usual: OnceLock<(String, IntCounter)>,
}

impl ModelMetrics {
    /// Makes the model's series, so that they are seen at zero.
    pub(super) fn new(model: &str, families: &Arc<Families>) -> Self {
        Self {
            model: model.to_owned(),
            families: Arc::clone(families),
            stages: Stage::ALL.map(|stage| families.stage_duration.with_label_values(&[model, stage.name()])),
            batch_size: families.batch_size.with_label_values(&[model]),
            queue_images: families.queue_images.with_label_values(&[model]),
            ready: families.model_ready.with_label_values(&[model]),
            requests: Default::default(),
        }
    }

    /// A request has ended with this code, after so many seconds.
    pub(super) fn answered(&self, protocol: &'static str, code: &str, seconds: f64) {
        let Families { requests, request_duration, .. } = &*self.families;
        let look_up = || requests.with_label_values(&[&*self.model, protocol, code]);
        let Some(index) = PROTOCOLS.iter().position(|known| *known == protocol) else {
            look_up().inc();
            request_duration.with_label_values(&[&*self.model, protocol]).observe(seconds);
            return;
        };
        let series = self.requests[index].get_or_init(|| OfProtocol {
            duration: request_duration.with_label_values(&[&*self.model, protocol]),
            usual: OnceLock::new(),
        });
        match series.usual.get_or_init(|| (code.to_owned(), look_up())) {
            (usual, count) if usual == code => count.inc(),
            _ => look_up().inc(),
        }
        series.duration.observe(seconds);
    }

    /// The model's name.
    #[must_use]
    pub fn model(&self) -> &str {
        &self.model
    }

    /// Makes the series of a model's computing on a device, so that they are seen at zero.
    pub fn serves(&self, family: &str, device: &str) {
        self.families.images.with_label_values(&[&*self.model, family]);
        self.families.device_busy.with_label_values(&[&*self.model, family, device]);
    }

    /// Time of an image, or of a request for [`Stage::Respond`], in a stage.
    pub fn stage(&self, stage: Stage, time: Duration) {
        self.stages[stage as usize].observe(time.as_secs_f64());
    }

    /// A batch has run.
    pub fn batch(&self, family: &str, device: &str, images: usize, busy: Duration) {
        self.families.images.with_label_values(&[&*self.model, family]).inc_by(images as u64);
        self.families.device_busy.with_label_values(&[&*self.model, family, device]).inc_by(busy.as_secs_f64());
        self.batch_size.observe(images as f64);
    }

    /// Images per second on a device that did nothing else, in batches of this size.
    pub fn measured(&self, family: &str, device: &str, batch: usize, images_per_second: f64) {
        let labels = [&*self.model, family, device, &batch.to_string()];
        self.families.benchmark.with_label_values(&labels).set(images_per_second);
    }

    /// Its images per second over those of its baseline.
    pub fn measured_against(&self, baseline: &str, device: &str, batch: usize, ratio: f64) {
        let labels = [&*self.model, baseline, device, &batch.to_string()];
        self.families.speedup.with_label_values(&labels).set(ratio);
    }

    /// How many images wait for a device now.
    pub fn queue(&self, images: usize) {
        self.queue_images.set(images as i64);
    }

    /// Whether the model is ready now.
    pub fn ready(&self, ready: bool) {
        self.ready.set(i64::from(ready));
    }
}

impl Drop for ModelMetrics {
    fn drop(&mut self) {
        let mut models = self.families.models();
        // a model of the same name may have come in the meantime: then the series are its
        if models.get(&self.model).is_some_and(|other| other.strong_count() > 0) {
            return;
        }
        models.remove(&self.model);
        let Families { requests, request_duration, stage_duration, images, device_busy, batch_size, .. } =
            &*self.families;
        remove(requests, &self.model);
        remove(request_duration, &self.model);
        remove(stage_duration, &self.model);
        remove(images, &self.model);
        remove(device_busy, &self.model);
        remove(batch_size, &self.model);
        remove(&self.families.queue_images, &self.model);
        remove(&self.families.model_ready, &self.model);
        remove(&self.families.benchmark, &self.model);
        remove(&self.families.speedup, &self.model);
        self.families.exemplars.forget(&self.model);
    }
}

/// Removes all series of a model.
fn remove<B: MetricVecBuilder>(series: &MetricVec<B>, model: &str)
where
    MetricVec<B>: Collector,
{
    for family in series.collect() {
        for metric in family.get_metric() {
            let labels: HashMap<&str, &str> =
                metric.get_label().iter().map(|label| (label.name(), label.value())).collect();
            if labels.get("model") == Some(&model) {
                // gone already is as good
                let _ = series.remove(&labels);
            }
        }
    }
}
