//! What is said of single models: options that hold for one and not for the other, and tables of the file.

use std::sync::Arc;
use std::time::Duration;

use convnext_server::metrics::Rejection;
use convnext_server::service::{Admission, Classifier, ModelOptions, ModelState, Precision, ServiceError, Settings};

use super::support::mock::{Conductor, MockEngine, admit, becomes, image, metric, model};
use super::{ask, error, label, request, status, support, text};

/// The models `plain`, of which nothing is said, and `special`, loaded or not, on this many devices.
async fn start(devices: usize, special: ModelOptions) -> (Classifier, Conductor) {
    let conductor = Conductor::default();
    let engine = match devices {
        1 => MockEngine::new(&conductor),
        _ => MockEngine::with_devices(&conductor, devices),
    };
    let settings =
        Settings { models: [("special".to_owned(), special)].into(), decode_threads: 1, ..Settings::default() };
    let models = vec![model("plain", "plain"), model("special", "special")];
    let (classifier, loading) = Classifier::start(Arc::new(engine), models, settings).unwrap();
    loading.done().await.unwrap();
    conductor.forget();
    (classifier, conductor)
}

#[tokio::test]
async fn the_largest_batch_is_the_models_own() {
    let (classifier, conductor) = start(1, ModelOptions { max_batch: 2, ..ModelOptions::default() }).await;
    assert_eq!(status(&classifier, "special", 1).unwrap().max_batch, 2);
    assert_eq!(status(&classifier, "plain", 1).unwrap().max_batch, 32);
    let images = (0..5).map(|_| image(1)).collect();
    admit(&classifier, "special").unwrap().classify(request(images)).await.unwrap();
    assert!(conductor.batches().iter().all(|(_, images)| images.len() <= 2), "{:?}", conductor.batches());
}

#[tokio::test]
async fn the_limit_of_the_queue_is_the_models_own() {
    let (classifier, conductor) = start(1, ModelOptions { queue_images: 1, ..ModelOptions::default() }).await;
    conductor.hold();
    let running = tokio::spawn(admit(&classifier, "special").unwrap().classify(request(vec![image(1)])));
    let over = admit(&classifier, "special").err().unwrap();
    assert!(matches!(over, ServiceError::Overloaded { reason: Rejection::Queue, .. }), "{over}");
    assert!(admit(&classifier, "plain").is_ok(), "the other model has its own");
    conductor.release();
    running.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_deadline_is_the_models_own() {
    let short = Duration::from_secs(2);
    let (classifier, conductor) = start(1, ModelOptions { deadline: short, ..ModelOptions::default() }).await;
    let (special, plain) = (admit(&classifier, "special").unwrap(), admit(&classifier, "plain").unwrap());
    assert_eq!((special.allowed(), plain.allowed()), (short, Duration::from_secs(30)));
    let longer = Admission { model: Some("special"), deadline: Some(Duration::from_secs(9)), ..Admission::default() };
    assert_eq!(classifier.admit(longer).unwrap().allowed(), short, "a client may shorten it only");
    conductor.hold();
    let late = special.classify(request(vec![image(1)])).await.unwrap_err();
    assert_eq!(late, ServiceError::DeadlinePassed(short));
    conductor.release();
}

#[tokio::test]
async fn a_precision_that_the_engine_lacks_is_refused_with_the_operations() {
    let (classifier, _) = start(1, ModelOptions { precision: Some(Precision::F16), ..ModelOptions::default() }).await;
    assert_eq!(status(&classifier, "special", 1).unwrap().state, ModelState::Failed);
    let why = error(&classifier, "special");
    assert!(why.contains("f16") && why.contains("stem: nobody taught the mock"), "{why}");
    assert!(classifier.ready().unwrap_err().contains("special: "));
    assert_eq!(label(&ask(&classifier, ("plain", None), image(2)).await.unwrap()), "class 2");
}

#[tokio::test]
async fn a_model_runs_on_the_one_device_that_is_named() {
    let on = |name: &str| ModelOptions { device: Some(name.to_owned()), ..ModelOptions::default() };
    let (classifier, conductor) = start(2, on("mock:1")).await;
    assert_eq!(status(&classifier, "special", 1).unwrap().devices.len(), 1);
    assert_eq!(conductor.loaded(), 3, "plain is on both");
    for _ in 0..8 {
        ask(&classifier, ("special", None), image(1)).await.unwrap();
    }
    assert!(conductor.devices().iter().all(|device| *device == 1), "{:?}", conductor.devices());

    let (classifier, _) = start(2, on("mock:7")).await;
    let why = error(&classifier, "special");
    assert_eq!(why, "device \"mock:7\" is not one of this server's: mock:0, mock:1");
}

#[tokio::test]
async fn a_model_that_is_not_required_leaves_the_server_ready() {
    let optional = ModelOptions { required: false, precision: Some(Precision::F16), ..ModelOptions::default() };
    let (classifier, _) = start(1, optional.clone()).await;
    assert_eq!(status(&classifier, "special", 1).unwrap().state, ModelState::Failed);
    assert!(classifier.ready().is_ok());

    let (classifier, _) = start(1, ModelOptions { precision: Some(Precision::F32), ..optional }).await;
    classifier.unload("special").await.unwrap();
    assert!(classifier.ready().is_ok());
    classifier.unload("plain").await.unwrap();
    assert!(classifier.ready().is_err(), "that one is required");
    becomes("no series are left", || !text(&classifier).contains("model=\"")).await;
    classifier.load("special").await.unwrap();
    assert_eq!(metric(&classifier, "convnext_model_ready{model=\"special\"}"), 1.0);
}

#[test]
fn a_table_of_a_model_that_is_not_served_is_a_usage_error() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("convnext.toml");
    std::fs::write(&file, "models = [\"convnext_atto\"]\n[model.convnext_ato]\nmax-batch = 4\n").unwrap();
    let output = support::process::command(&["--config", file.to_str().unwrap()]).output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(64), "{text}");
    assert!(text.contains("table model.convnext_ato: no such model is served; there are convnext_atto"), "{text}");
}
