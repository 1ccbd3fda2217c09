//! Models as people send them, rebuilt from public reports: what the library that published their format answers for a photograph
//! (`field/models.json`), our service answers too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use convnext_server::checkpoint::Source;
use convnext_server::engine::cpu::Cpu;
use convnext_server::service::{Admission, Classifier, Images, NamedModel, Request, Settings, Wanted};
use serde::Deserialize;

/// Of a score: Pillow's filters and ours differ by a step of 255 here and there.
const TOLERANCE: f64 = 0.01;

#[derive(Deserialize)]
struct Expected {
    /// What is unusual, for people.
    what: String,
    /// The library that computed the scores, and its function.
    by: String,
    /// Labels and scores, the best first.
    top: Vec<(String, f64)>,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/field")
}

#[tokio::test]
async fn models_of_the_field_answer_as_their_libraries_do() {
    let text = std::fs::read(folder().join("models.json")).unwrap();
    let expected: BTreeMap<String, Expected> = serde_json::from_slice(&text).unwrap();
    let model = |name: &String| {
        let source = Source::Folder(folder().join("models").join(name));
        NamedModel { name: name.clone(), source: Arc::new(move || source.open()), baseline: None }
    };
    let models = expected.keys().map(model).collect();
    let (classifier, loading) = Classifier::start(Arc::new(Cpu::default()), models, Settings::default()).unwrap();
    loading.done().await.unwrap();
    let photo = Bytes::from(std::fs::read(folder().join("cat.png")).unwrap());
    let mut wrong = Vec::new();
    for (name, Expected { what, by, top }) in &expected {
        let ticket = classifier.admit(Admission { model: Some(name), ..Admission::default() }).unwrap();
        let wanted = Wanted::Labels { top_k: top.len() as i64, function: None };
        let answer = ticket.classify(Request { images: Images::Files(vec![photo.clone()]), wanted }).await.unwrap();
        let function = answer.function.unwrap();
        let found: Vec<_> =
            answer.images[0].predictions().iter().map(|p| (p.label.to_string(), f64::from(p.score))).collect();
        let near = |(a, b): (&(String, f64), &(String, f64))| a.0 == b.0 && (a.1 - b.1).abs() <= TOLERANCE;
        if !by.ends_with(function.name()) || found.len() != top.len() || !found.iter().zip(top).all(near) {
            wrong.push(format!("{name} ({what}): {found:?} by {function}, expected {top:?} by {by}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// What cannot be served is refused with its cause, and with what to do.
#[test]
fn what_is_no_model_that_can_be_read_is_refused_with_the_remedy() {
    for (name, words) in [
        ("e_lfs", ["Git LFS pointer", "git lfs pull"]),
        ("x_binonly", ["pytorch_model.bin is a pickle", "timm.create_model('local-dir:"]),
        (
            "h_ch1",
            ["num_channels is 1; transformers' own processor makes three channels", "each a third of its weight"],
        ),
        ("x_model", ["every name begins with model.", "save the model's own state_dict"]),
    ] {
        let Err(error) = Source::Folder(folder().join("models").join(name)).open() else { panic!("{name} opens") };
        let error = error.to_string();
        assert!(words.iter().all(|word| error.contains(word)), "{name}: {error}");
    }
}
