//! From the file of a photo to scores, the whole way through the service on the CPU engine, against timm and transformers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use convnext_server::checkpoint;
use convnext_server::engine::cpu::Cpu;
use convnext_server::service::{Classifier, NamedModel, Request, ScoreFunction, Settings};

/// A crop that is one pixel off shows as 0.1 and more; decoders of JPEG differ by less.
const TOLERANCE: f64 = 0.02;
const CASES: [&str; 5] =
    ["timm-convnext", "timm-convnext-wide-norm", "timm-convnextv2", "transformers-convnext", "transformers-convnextv2"];

fn tests_folder() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests"))
}

#[tokio::test]
async fn photos_get_the_scores_of_the_library_that_published_the_model() {
    let golden = tests_folder().join("golden");
    let model = |case: &&str| NamedModel {
        name: (*case).to_owned(),
        checkpoint: checkpoint::open(&golden.join(case)).unwrap(),
    };
    let models = CASES.iter().map(model).collect();
    let (classifier, loading) = Classifier::start(Arc::new(Cpu::default()), models, Settings::default()).unwrap();
    loading.done().await.unwrap();
    for case in CASES {
        let text = std::fs::read(golden.join(case).join("expected.json")).unwrap();
        let expected: serde_json::Value = serde_json::from_slice(&text).unwrap();
        let expected = expected["images"].as_array().unwrap();
        let photo = |row: &serde_json::Value| {
            let name = row["image"].as_str().unwrap();
            Bytes::from(std::fs::read(tests_folder().join("images").join(name)).unwrap())
        };
        let images: Vec<Bytes> = expected.iter().map(photo).collect();
        assert_eq!(images.len(), 3);
        let request = Request { images, top_k: 7, function: ScoreFunction::Softmax };
        let answer = classifier.admit(Some(case), None, None).unwrap().classify(request).await.unwrap();
        for (row, image) in expected.iter().zip(&answer.images) {
            let predictions = row["predictions"].as_array().unwrap();
            let of = |p: &serde_json::Value| (p["label"].as_str().unwrap().to_owned(), p["score"].as_f64().unwrap());
            let scores: HashMap<String, f64> = predictions.iter().map(of).collect();
            assert_eq!(scores.len(), image.predictions.len());
            assert_eq!(predictions[0]["label"], *image.predictions[0].label, "{case}, {}", row["image"]);
            for prediction in &image.predictions {
                let difference = (scores[&*prediction.label] - f64::from(prediction.score)).abs();
                assert!(
                    difference <= TOLERANCE,
                    "{case}, {}: {} is off by {difference}",
                    row["image"],
                    prediction.label
                );
            }
        }
    }
}
