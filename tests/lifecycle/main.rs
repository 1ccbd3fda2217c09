//! Models that come and go while others serve: by command, by what changes in a repository, and for long under load.
//!
//! Nothing sleeps for a fixed time: what another thread brings about is waited for, within a bound. Not here: the admin port
//! (`admin`), the arithmetic of schedules and options (beside their sources).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod commands;
mod logs;
mod options;
mod repository;
mod soak;
mod stop;
#[path = "../support/mod.rs"]
mod support;

use convnext_server::service::{
    Admission, Answer, Classifier, Images, ModelStatus, Request, ScoreFunction, ServiceError, Wanted,
};

/// A request for the first label of images of these bytes.
fn request(images: Vec<bytes::Bytes>) -> Request {
    Request {
        images: Images::Files(images),
        wanted: Wanted::Labels { top_k: 1, function: Some(ScoreFunction::Softmax) },
    }
}

/// Asks a model, of this version where one is given.
async fn ask(
    classifier: &Classifier,
    (model, version): (&str, Option<&str>),
    image: bytes::Bytes,
) -> Result<Answer, ServiceError> {
    let admission = Admission { model: Some(model), version, ..Admission::default() };
    classifier.admit(admission)?.classify(request(vec![image])).await
}

/// The first label of the only image.
fn label(answer: &Answer) -> String {
    answer.images[0].predictions()[0].label.to_string()
}

/// What is said of a version of a model.
fn status(classifier: &Classifier, model: &str, version: u64) -> Option<ModelStatus> {
    let number = version.to_string();
    classifier.models().into_iter().find(|status| status.name == model && status.version.as_ref() == Some(&number))
}

/// The error of a model's first version; empty where it has none.
fn error(classifier: &Classifier, model: &str) -> String {
    status(classifier, model, 1).and_then(|status| status.error).unwrap_or_default()
}

/// The metrics.
fn text(classifier: &Classifier) -> String {
    String::from_utf8(classifier.scrape().unwrap().0).unwrap()
}
