//! Admission, queue, batch and answer through the public classifier, with a mock engine that the tests conduct. Nothing sleeps:
//! the clock is tokio's, paused, and other threads are waited for by what they bring about.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod admission;
mod batches;
mod calibration;
mod devices;
mod faults;
mod random_schedule;
#[path = "../support/mod.rs"]
mod support;
mod tensors;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use convnext_server::metrics::Rejection;
use convnext_server::pixels::ImageError;
use convnext_server::service::{
    Admission, Answer, Classifier, Images, Limits, ModelOptions, ModelState, Request, ScoreFunction, ServiceError,
    Settings, Wanted,
};
use support::mock::{
    CLASSES, Conductor, Fault, MockEngine, account, admit, classifier, classifier_on, image, metric, model, until,
    waiting,
};
use tokio::task::JoinHandle;

type Outcome = Result<Answer, ServiceError>;

fn settings(queue_images: usize, max_batch: usize) -> Settings {
    let model = ModelOptions { queue_images, max_batch, ..ModelOptions::default() };
    Settings { model, decode_threads: 2, ..Settings::default() }
}

fn request(classes: &[usize]) -> Request {
    files(classes.iter().map(|class| image(*class)).collect())
}

fn files(images: Vec<Bytes>) -> Request {
    Request { images: Images::Files(images), wanted: labels(1) }
}

fn labels(top_k: i64) -> Wanted {
    Wanted::Labels { top_k, function: Some(ScoreFunction::Softmax) }
}

fn admit_within(classifier: &Classifier, deadline: Duration) -> Result<convnext_server::service::Ticket, ServiceError> {
    classifier.admit(Admission { model: Some("m"), deadline: Some(deadline), ..Admission::default() })
}

/// A request that runs beside the test.
fn send(classifier: &Classifier, model: &str, classes: &[usize]) -> JoinHandle<Outcome> {
    tokio::spawn(admit(classifier, model).unwrap().classify(request(classes)))
}

/// Lets spawned requests begin, then waits until so many images wait for the device.
async fn wait_for_queue(classifier: &Classifier, model: &str, images: usize) {
    for _ in 0..16 {
        tokio::task::yield_now().await;
    }
    until(&format!("{images} images wait"), || waiting(classifier, model) == images);
}

/// A classifier whose device is busy with an image of class 0 until it is released.
async fn busy(model: &str, settings: Settings) -> (Classifier, Conductor, JoinHandle<Outcome>) {
    let (classifier, conductor) = classifier(&[model], settings).await;
    conductor.hold();
    let first = send(&classifier, model, &[0]);
    wait_for_queue(&classifier, model, 0).await;
    conductor.wait_until_begun(1);
    (classifier, conductor, first)
}

fn classes(answer: &Answer) -> Vec<usize> {
    answer.images.iter().map(|image| image.predictions()[0].class).collect()
}
