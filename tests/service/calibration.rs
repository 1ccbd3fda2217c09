//! Models beside their baselines, measured while nobody asks for anything else. The thread that measures waits for quiet by the system's clock: a
//! test here takes up to a second.

use std::sync::Arc;

use convnext_server::service::{BenchError, BenchRequest, Calibration, NamedModel};

use crate::*;

/// A classifier of `m`, which is measured against `swin`.
async fn pair(engine: MockEngine, calibration: Calibration) -> Classifier {
    let models = vec![NamedModel { baseline: Some("swin".to_owned()), ..model("m", "m") }, model("swin", "swin")];
    let settings = Settings { calibration, ..settings(64, 4) };
    let (classifier, loading) = Classifier::start(Arc::new(engine), models, settings).unwrap();
    loading.done().await.unwrap();
    classifier
}

fn asked(batches: &[usize]) -> BenchRequest {
    BenchRequest { model: None, batches: batches.to_vec(), duration: Duration::from_millis(20) }
}

/// A measurement that runs beside the test.
fn bench(classifier: &Classifier) -> JoinHandle<Result<Vec<convnext_server::service::Comparison>, BenchError>> {
    let classifier = classifier.clone();
    tokio::spawn(async move { classifier.bench(asked(&[2])).await })
}

async fn soon(what: &str, condition: impl FnMut() -> bool) {
    support::mock::becomes(what, condition).await;
}

#[tokio::test]
async fn a_model_and_its_baseline_take_turns_and_the_metrics_say_what_was_found() {
    let conductor = Conductor::default();
    let classifier = pair(MockEngine::new(&conductor), Calibration::Off).await;
    conductor.forget();
    // 9 is over the models' largest batch
    let found = classifier.bench(asked(&[1, 9])).await.unwrap();
    assert_eq!(found.iter().map(|one| one.batch).collect::<Vec<_>>(), [1, 4]);
    for one in &found {
        assert_eq!((&*one.model, &*one.baseline, &*one.device), ("m", "swin", "mock"));
        assert!(one.rounds >= 3 && one.ratio > 0.0, "{one:?}");
        let of = |model: &str| {
            let series = "convnext_benchmark_images_per_second";
            let labels = format!("batch=\"{}\",device=\"mock\",family=\"convnext\",model=\"{model}\"", one.batch);
            metric(&classifier, &format!("{series}{{{labels}}}"))
        };
        assert_eq!([of("m"), of("swin")], [one.images_per_second, one.baseline_images_per_second]);
        let labels = format!("baseline=\"swin\",batch=\"{}\",device=\"mock\",model=\"m\"", one.batch);
        assert_eq!(metric(&classifier, &format!("convnext_speedup_ratio{{{labels}}}")), one.ratio);
    }
    assert_eq!(classifier.comparisons(), found);
    // a run of nobody's images is no work that was done for anybody
    assert_eq!(metric(&classifier, "convnext_images_total{family=\"convnext\",model=\"m\"}"), 0.0);
    assert_eq!(conductor.lent(), 0);
    let ran: Vec<String> = conductor.batches().into_iter().map(|(model, _)| model).collect();
    let changes = ran.windows(2).filter(|two| two[0] != two[1]).count();
    assert!(changes >= 6, "they took turns {changes} times");
}

#[tokio::test]
async fn a_request_waits_for_one_measured_run_at_most_and_its_round_is_repeated() {
    let conductor = Conductor::default();
    let classifier = pair(MockEngine::new(&conductor), Calibration::Off).await;
    conductor.forget();
    conductor.hold();
    let measured = bench(&classifier);
    soon("a measured run", || conductor.has_begun(1)).await;
    let request = send(&classifier, "m", &[5]);
    soon("it waits", || waiting(&classifier, "m") == 1).await;
    // the run that is under way, and then the request's
    conductor.permit(2);
    assert_eq!(classes(&request.await.unwrap().unwrap()), [5]);
    assert_eq!(conductor.batches().last().unwrap(), &("m".to_owned(), vec![5]));
    conductor.release();
    let found = measured.await.unwrap().unwrap();
    assert!(found[0].rounds >= 3, "{found:?}");
}

#[tokio::test]
async fn without_being_asked_it_measures_what_is_served_and_forgets_what_no_longer_is() {
    let conductor = Conductor::default();
    let classifier = pair(MockEngine::new(&conductor), Calibration::Quick).await;
    soon("both sizes", || classifier.comparisons().len() == 2).await;
    let sizes: Vec<usize> = classifier.comparisons().iter().map(|one| one.batch).collect();
    assert_eq!(sizes, [1, 4]);
    classifier.unload("swin").await.unwrap();
    soon("it is forgotten", || classifier.comparisons().is_empty()).await;
    let text = String::from_utf8(classifier.scrape().unwrap().0).unwrap();
    assert!(!text.contains("convnext_speedup_ratio{"), "{text}");
    assert!(matches!(classifier.bench(asked(&[1])).await, Err(BenchError::Nothing(why)) if why.contains("no model")));
    classifier.load("swin").await.unwrap();
    soon("it is measured anew", || classifier.comparisons().len() == 2).await;
}

#[tokio::test]
async fn of_an_emulated_device_nothing_is_measured_and_that_is_said() {
    let conductor = Conductor::default();
    let classifier = pair(MockEngine::emulated(&conductor), Calibration::Full).await;
    let refused = classifier.bench(asked(&[1])).await.unwrap_err().to_string();
    assert!(refused.contains("mock (emulated): an emulated device's speed says nothing"), "{refused}");
    assert_eq!(classifier.comparisons(), []);
}

#[tokio::test]
async fn one_measurement_runs_and_one_waits_and_a_device_that_goes_ends_them() {
    let conductor = Conductor::default();
    let classifier = pair(MockEngine::new(&conductor), Calibration::Off).await;
    for (request, words) in [(asked(&[]), "at least one"), (asked(&[0]), "at least one")] {
        assert!(matches!(classifier.bench(request).await, Err(BenchError::Invalid(why)) if why.contains(words)));
    }
    let unknown = BenchRequest { model: Some("nobody".to_owned()), ..asked(&[1]) };
    assert!(matches!(classifier.bench(unknown).await, Err(BenchError::Nothing(why)) if why.contains("nobody")));
    conductor.forget();
    conductor.hold();
    let first = bench(&classifier);
    soon("the first runs", || conductor.has_begun(1)).await;
    let second = bench(&classifier);
    // the second takes its place when it is polled
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert_eq!(classifier.bench(asked(&[1])).await, Err(BenchError::Busy));
    conductor.fault(Fault::DeviceLost);
    conductor.release();
    assert!(matches!(first.await.unwrap(), Err(BenchError::Nothing(why)) if why.contains("has gone")));
    assert!(matches!(second.await.unwrap(), Err(BenchError::Nothing(_))));
}
