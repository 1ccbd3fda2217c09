//! From the file of a photo to scores, the whole way through the service on the CPU engine and on an emulated GPU, against timm and transformers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

#[path = "support/emulated.rs"]
#[allow(dead_code, reason = "each suite uses a part")]
mod emulated;

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use convnext_server::checkpoint::Source;
use convnext_server::engine::cpu::Cpu;
use convnext_server::engine::cuda::{Cuda, Gpus};
use convnext_server::engine::{Engine, Precision};
use convnext_server::service::{
    Admission, Classifier, Images, ModelOptions, NamedModel, Request, ScoreFunction, Settings, Wanted,
};

/// For formats that all decoders decode alike. Measured is 0.005 at most; a crop that is one pixel off shows as 0.007 to 0.5.
const EXACT: f64 = 0.006;
/// For JPEG, whose decoders differ by a step of 255 here and there: measured is 0.017 at most.
const JPEG: f64 = 0.02;
const CASES: [&str; 14] = [
    "timm-convnext",
    "timm-convnext-wide-norm",
    "timm-convnextv2",
    "transformers-convnext",
    "transformers-convnextv2",
    "timm-swin",
    "timm-swin-window4",
    "timm-swin-padded",
    "transformers-swin",
    "transformers-swin-padded",
    "timm-convnext-overlap-simple",
    "timm-convnext-rms-mlp",
    "timm-swin-s3",
    "transformers-swin-positions",
];

/// One of each library and architecture, for an emulator is slow.
const ON_A_GPU: [&str; 4] = ["timm-convnext", "transformers-convnextv2", "timm-swin-padded", "transformers-swin"];

fn tests_folder() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests"))
}

/// The photo of a row. The golden Swins and the variants of ConvNeXt magnify the steps by which JPEG decoders differ to 0.04: they get the pixels that
/// Pillow decoded, under the stricter bound, as a PNG (`Image.open("cat.jpg").convert("RGB").save("cat.png")`).
fn file(case: &str, row: &serde_json::Value) -> String {
    let name = row["image"].as_str().unwrap();
    if ["swin", "overlap", "rms"].iter().any(|word| case.contains(word)) {
        name.replace(".jpg", ".png")
    } else {
        name.to_owned()
    }
}

#[tokio::test]
async fn photos_get_the_scores_of_the_library_that_published_the_model() {
    compare(&CASES, Arc::new(Cpu::default()), Settings::default()).await;
}

/// In f32, for the bounds are those of decoders, not of 16 bits.
#[test]
fn photos_get_the_same_scores_on_a_gpu() {
    emulated::on_card("photos_get_the_same_scores_on_a_gpu", 80, &[], || {
        let model = ModelOptions { precision: Some(Precision::F32), max_batch: 1, ..ModelOptions::default() };
        let settings = Settings { model, no_self_check: true, ..Settings::default() };
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(compare(&ON_A_GPU, Arc::new(Cuda::new(Gpus::First).unwrap()), settings));
    });
}

/// Classifies the photos of every case, and compares the scores with those of its library.
async fn compare(cases: &[&str], engine: Arc<dyn Engine>, settings: Settings) {
    let golden = tests_folder().join("golden");
    let model = |case: &&str| {
        let source = Source::Folder(golden.join(case));
        NamedModel { name: (*case).to_owned(), source: Arc::new(move || source.open()), baseline: None }
    };
    let models = cases.iter().map(model).collect();
    let (classifier, loading) = Classifier::start(engine, models, settings).unwrap();
    loading.done().await.unwrap();
    for &case in cases {
        let text = std::fs::read(golden.join(case).join("expected.json")).unwrap();
        let expected: serde_json::Value = serde_json::from_slice(&text).unwrap();
        let expected = expected["images"].as_array().unwrap();
        let photo = |row: &serde_json::Value| {
            let name = file(case, row);
            Bytes::from(std::fs::read(tests_folder().join("images").join(name)).unwrap())
        };
        let images: Vec<Bytes> = expected.iter().map(photo).collect();
        assert_eq!(images.len(), 3);
        let wanted = Wanted::Labels { top_k: 7, function: Some(ScoreFunction::Softmax) };
        let request = Request { images: Images::Files(images), wanted };
        let ticket = classifier.admit(Admission { model: Some(case), ..Admission::default() }).unwrap();
        let answer = ticket.classify(request).await.unwrap();
        for (row, image) in expected.iter().zip(&answer.images) {
            let predictions = row["predictions"].as_array().unwrap();
            let of = |p: &serde_json::Value| (p["label"].as_str().unwrap().to_owned(), p["score"].as_f64().unwrap());
            let scores: HashMap<String, f64> = predictions.iter().map(of).collect();
            assert_eq!(scores.len(), image.predictions().len());
            let tolerance = if file(case, row).ends_with(".jpg") { JPEG } else { EXACT };
            assert_eq!(predictions[0]["label"], *image.predictions()[0].label, "{case}, {}", row["image"]);
            for prediction in image.predictions() {
                let difference = (scores[&*prediction.label] - f64::from(prediction.score)).abs();
                assert!(
                    difference <= tolerance,
                    "{case}, {}: {} is off by {difference}",
                    row["image"],
                    prediction.label
                );
            }
        }
    }
}
