//! A service over the mock engine: its models, its images, and what its metrics say.

use std::sync::Arc;

use bytes::Bytes;
use convnext_server::checkpoint::{Checkpoint, CheckpointError, ScoreFunction};
use convnext_server::model::{Spec, convnext};
use convnext_server::pixels::{CropRounding, Filter, Fit, Transform};
use convnext_server::program::{InputSpec, RandomWeights};
use convnext_server::service::{Admission, Classifier, ModelSource, NamedModel, Settings, Ticket};

use super::conductor::{CLASSES, Conductor};
use super::engine::MockEngine;

/// A checkpoint that the mock engine runs, known in its batches by `architecture`.
pub fn checkpoint(architecture: &str) -> Checkpoint {
    let spec = convnext::Spec {
        name: architecture.to_owned(),
        depths: vec![1],
        widths: vec![4],
        classes: CLASSES,
        kernels: vec![7],
        ..convnext::Spec::published("convnext_atto").unwrap()
    };
    let program = Spec::ConvNext(spec).program(InputSpec::imagenet(4)).unwrap();
    Checkpoint {
        weights: Box::new(RandomWeights::new(&program, 0)),
        program,
        transform: Transform {
            height: 4,
            width: 4,
            fit: Fit::Exact(4, 4),
            rounding: CropRounding::Down,
            filter: Filter::Bilinear,
            fill: [0; 3],
            grey: false,
        },
        labels: (0..CLASSES).map(|class| format!("class {class}")).collect(),
        scores: ScoreFunction::Softmax,
        quantized: false,
        origin: "mock".to_owned(),
    }
}

/// A model of the mock engine.
pub fn model(name: &str, architecture: &str) -> NamedModel {
    let architecture = architecture.to_owned();
    model_from(name, Arc::new(move || Ok(checkpoint(&architecture))))
}

/// A model that is opened each time as the test says.
pub fn model_from(name: &str, source: ModelSource) -> NamedModel {
    NamedModel { name: name.to_owned(), source, baseline: None }
}

/// An error of a checkpoint.
pub fn broken(why: &str) -> CheckpointError {
    CheckpointError::NotFound { path: "mock".into(), why: why.to_owned() }
}

/// A BMP of 4×4 pixels of the class; a format whose bytes a test can write down.
pub fn image(class: usize) -> Bytes {
    let (grey, side) = (40 * class as u8 + 1, 4u32);
    let mut file = b"BM".to_vec();
    let size = 54 + side * side * 3;
    for word in [size, 0, 54, 40, side, side] {
        file.extend(word.to_le_bytes());
    }
    file.extend([1, 0, 24, 0]);
    file.extend([0; 24]);
    file.extend(vec![grey; (side * side * 3) as usize]);
    file.into()
}

/// A loaded classifier over the models of these names, and its conductor, which has forgotten the warm-up.
pub async fn classifier(models: &[&str], settings: Settings) -> (Classifier, Conductor) {
    let conductor = Conductor::default();
    let engine = MockEngine::new(&conductor);
    (classifier_on(engine, models, settings).await, conductor)
}

/// The same on an engine of the test's own.
pub async fn classifier_on(engine: MockEngine, models: &[&str], settings: Settings) -> Classifier {
    let conductor = engine.conductor.clone();
    let models = models.iter().map(|name| model(name, name)).collect();
    let (classifier, loading) = Classifier::start(Arc::new(engine), models, settings).unwrap();
    loading.done().await.unwrap();
    conductor.forget();
    classifier
}

/// A ticket for a model.
pub fn admit(classifier: &Classifier, model: &str) -> Result<Ticket, convnext_server::service::ServiceError> {
    classifier.admit(Admission { model: Some(model), body_bytes: Some(10), ..Admission::default() })
}

/// Images of a model that wait in its queue, as the metrics say.
pub fn waiting(classifier: &Classifier, model: &str) -> usize {
    metric(classifier, &format!("convnext_queue_images{{model=\"{model}\"}}")) as usize
}

/// The account of requests: received, succeeded, failed, rejected, cancelled.
pub fn account(classifier: &Classifier) -> [u64; 5] {
    let text = String::from_utf8(classifier.scrape().unwrap().0).unwrap();
    ["received_total", "succeeded_total", "failed_total", "rejected_total", "cancelled_total"].map(|name| {
        let series = format!("convnext_{name}");
        let lines = text.lines().filter_map(|line| line.strip_prefix(&series));
        lines.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
    })
}

/// The value of a series.
pub fn metric(classifier: &Classifier, series: &str) -> f64 {
    let text = String::from_utf8(classifier.scrape().unwrap().0).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no series {series} in\n{text}")).parse().unwrap()
}
