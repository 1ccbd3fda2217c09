//! Load, unload and reload by command, before a mock engine: who is answered by which version, what is left on the device.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use convnext_server::checkpoint::{Checkpoint, CheckpointError};
use convnext_server::service::{Admission, Classifier, ModelError, ModelOptions, ModelState, ServiceError, Settings};
use tokio::task::JoinHandle;

use super::support::mock::{
    Conductor, Fault, MockEngine, PATIENCE, account, admit, becomes, broken, checkpoint, image, metric, model,
    model_from,
};
use super::{ask, error, label, request, status, text};

type Open = dyn Fn() -> Result<Checkpoint, CheckpointError> + Send + Sync;

/// What the model `m` is when it is opened the next time.
#[derive(Clone)]
struct Source(Arc<Mutex<Arc<Open>>>);

impl Source {
    fn is(&self, open: impl Fn() -> Result<Checkpoint, CheckpointError> + Send + Sync + 'static) {
        *self.0.lock().unwrap() = Arc::new(open);
    }
}

/// A checkpoint whose labels say which it is.
fn labelled(word: &'static str) -> impl Fn() -> Result<Checkpoint, CheckpointError> + Send + Sync {
    move || {
        let mut checkpoint = checkpoint(word);
        checkpoint.labels.iter_mut().for_each(|label| *label = format!("{word} {label}"));
        Ok(checkpoint)
    }
}

fn settings() -> Settings {
    Settings {
        model: ModelOptions { max_batch: 4, ..ModelOptions::default() },
        decode_threads: 1,
        ..Settings::default()
    }
}

/// The models `m`, which can be changed, and `other`, on an engine.
async fn start_on(engine: MockEngine, conductor: Conductor) -> (Classifier, Conductor, Source) {
    let source = Source(Arc::new(Mutex::new(Arc::new(labelled("old")))));
    let opened = source.clone();
    let open = move || {
        let open = Arc::clone(&opened.0.lock().unwrap());
        open()
    };
    let models = vec![model_from("m", Arc::new(open)), model("other", "other")];
    let (classifier, loading) = Classifier::start(Arc::new(engine), models, settings()).unwrap();
    loading.done().await.unwrap();
    conductor.forget();
    (classifier, conductor, source)
}

async fn start() -> (Classifier, Conductor, Source) {
    let conductor = Conductor::default();
    start_on(MockEngine::new(&conductor), conductor.clone()).await
}

/// Model `m` has this label for an image of class 2.
async fn answers(classifier: &Classifier) -> String {
    label(&ask(classifier, ("m", None), image(2)).await.unwrap())
}

/// A request for `m` whose batch is held on the device.
async fn held(classifier: &Classifier, conductor: &Conductor) -> JoinHandle<Result<String, ServiceError>> {
    conductor.forget();
    conductor.hold();
    let ticket = admit(classifier, "m").unwrap();
    let running = tokio::spawn(async { Ok(label(&ticket.classify(request(vec![image(2)])).await?)) });
    let begun = conductor.clone();
    becomes("a batch is held", || begun.has_begun(1)).await;
    running
}

#[tokio::test]
async fn an_unloaded_model_is_unknown_leaves_nothing_behind_and_comes_back_by_command() {
    let (classifier, conductor, _) = start().await;
    assert_eq!(answers(&classifier).await, "old class 2");
    assert_eq!(conductor.loaded(), 2);
    classifier.unload("m").await.unwrap();
    let refused = ask(&classifier, ("m", None), image(2)).await.unwrap_err();
    assert_eq!(refused.to_string(), "no model m; loaded are other");
    assert_eq!(status(&classifier, "m", 1).unwrap().state, ModelState::Unloaded);
    becomes("its memory is off the device", || conductor.loaded() == 1).await;
    becomes("its series are gone", || !text(&classifier).contains("model=\"m\"")).await;
    assert_eq!(label(&ask(&classifier, ("other", None), image(3)).await.unwrap()), "class 3");
    assert_eq!(classifier.ready().unwrap_err(), "m: not loaded", "it is required");

    classifier.load("m").await.unwrap();
    assert_eq!(answers(&classifier).await, "old class 2");
    assert_eq!(conductor.loaded(), 2);
    assert_eq!(metric(&classifier, "convnext_model_ready{model=\"m\"}"), 1.0);
    assert!(classifier.ready().is_ok());
}

#[tokio::test]
async fn the_default_model_that_is_unloaded_is_not_replaced_by_another() {
    let (classifier, _, _) = start().await;
    classifier.unload("m").await.unwrap();
    let refused = classifier.admit(Admission::default()).err().unwrap();
    assert_eq!(refused.to_string(), "no model m; loaded are other");
    classifier.load("m").await.unwrap();
    assert_eq!(classifier.admit(Admission::default()).unwrap().model(), "m");
}

#[tokio::test]
async fn requests_that_have_begun_end_although_their_model_is_unloaded() {
    let (classifier, conductor, _) = start().await;
    let first = held(&classifier, &conductor).await;
    let waits = admit(&classifier, "m").unwrap().classify(request(vec![image(4)]));
    let waits = tokio::spawn(waits);
    becomes("one more waits", || metric(&classifier, "convnext_queue_images{model=\"m\"}") == 1.0).await;
    let no_body_yet = admit(&classifier, "m").unwrap();
    classifier.unload("m").await.unwrap();
    assert_eq!(metric(&classifier, "convnext_model_ready{model=\"m\"}"), 0.0, "while its requests are answered");
    assert!(admit(&classifier, "m").is_err());
    conductor.release();
    assert_eq!(first.await.unwrap().unwrap(), "old class 2");
    assert_eq!(label(&waits.await.unwrap().unwrap()), "old class 4");
    assert_eq!(label(&no_body_yet.classify(request(vec![image(1)])).await.unwrap()), "old class 1");
    becomes("its memory is off the device", || conductor.loaded() == 1).await;
    becomes("its series are gone", || !text(&classifier).contains("model=\"m\"")).await;
    assert_eq!(account(&classifier), [4, 3, 1, 0, 0]);
}

#[tokio::test]
async fn a_reload_swaps_the_model_and_requests_that_have_begun_end_with_the_old_one() {
    let (classifier, conductor, source) = start().await;
    let first = held(&classifier, &conductor).await;
    let no_body_yet = admit(&classifier, "m").unwrap();
    source.is(labelled("new"));
    let reload = tokio::spawn({
        let classifier = classifier.clone();
        async move { classifier.reload("m").await }
    });
    // the new one is on the device beside the old one, and waits for its turn to warm up
    becomes("the new one is put on the device", || conductor.loaded() == 3).await;
    conductor.release();
    assert_eq!(first.await.unwrap().unwrap(), "old class 2");
    reload.await.unwrap().unwrap();
    assert_eq!(answers(&classifier).await, "new class 2");
    assert_eq!(status(&classifier, "m", 1).unwrap().architecture, "new");
    assert_eq!(label(&no_body_yet.classify(request(vec![image(1)])).await.unwrap()), "old class 1");
    becomes("the old one is off the device", || conductor.loaded() == 2).await;
    assert_eq!(account(&classifier), [3, 3, 0, 0, 0]);
}

#[tokio::test]
async fn load_of_what_is_loaded_does_nothing() {
    let (classifier, conductor, source) = start().await;
    source.is(|| panic!("it is not opened"));
    classifier.load("m").await.unwrap();
    assert_eq!((answers(&classifier).await.as_str(), conductor.loaded()), ("old class 2", 2));
}

#[tokio::test]
async fn a_broken_reload_leaves_the_old_one_serving_and_says_why() {
    let (classifier, conductor, source) = start().await;
    let cases: [(&str, Fault, &str, Arc<Open>); 5] = [
        ("a broken file", Fault::None, "truncated", Arc::new(|| Err(broken("model.safetensors is truncated")))),
        ("no memory", Fault::None, "mock has no memory for weights", Arc::new(|| Ok(checkpoint("unloadable")))),
        ("wrong logits", Fault::SelfCheck, "logit 3 is 7, not 5", Arc::new(labelled("wrong"))),
        ("a failed warm-up", Fault::Batch, "grey images does not run", Arc::new(labelled("slow"))),
        ("a panic", Fault::None, "panicked: planted", Arc::new(|| panic!("planted"))),
    ];
    for (case, fault, why, open) in cases {
        conductor.fault(fault);
        source.is(move || open());
        let failed = classifier.reload("m").await.unwrap_err();
        conductor.fault(Fault::None);
        assert!(matches!(&failed, ModelError::Failed { model, .. } if model == "m"), "{case}: {failed:?}");
        assert!(failed.to_string().contains(why), "{case}: {failed}");
        assert!(error(&classifier, "m").contains(why), "{case}: {}", error(&classifier, "m"));
        assert_eq!(status(&classifier, "m", 1).unwrap().state, ModelState::Ready, "{case}");
        assert_eq!(answers(&classifier).await, "old class 2", "{case}");
        assert!(classifier.ready().is_ok(), "{case}");
        becomes(&format!("{case}: nothing of it is left on the device"), || conductor.loaded() == 2).await;
    }
    source.is(labelled("new"));
    classifier.reload("m").await.unwrap();
    assert_eq!((answers(&classifier).await.as_str(), error(&classifier, "m").as_str()), ("new class 2", ""));
}

#[tokio::test]
async fn a_model_that_failed_at_the_start_comes_by_command() {
    let engine = Arc::new(MockEngine::new(&Conductor::default()));
    let open = Source(Arc::new(Mutex::new(Arc::new(|| Err(broken("not there yet"))))));
    let opened = open.clone();
    let source = move || {
        let open = Arc::clone(&opened.0.lock().unwrap());
        open()
    };
    let models = vec![model("other", "other"), model_from("m", Arc::new(source))];
    let (classifier, loading) = Classifier::start(engine, models, settings()).unwrap();
    loading.done().await.unwrap();
    assert!(classifier.ready().unwrap_err().contains("m: mock is missing: not there yet"), "{:?}", classifier.ready());
    assert!(classifier.load("m").await.is_err());
    open.is(labelled("late"));
    classifier.load("m").await.unwrap();
    assert_eq!(answers(&classifier).await, "late class 2");
    assert!(classifier.ready().is_ok());
}

#[tokio::test]
async fn commands_about_unknown_models_name_them() {
    let (classifier, _, _) = start().await;
    let unknown = ModelError::Unknown("nobody".to_owned());
    assert_eq!(classifier.load("nobody").await, Err(unknown.clone()));
    assert_eq!(classifier.reload("nobody").await, Err(unknown.clone()));
    assert_eq!(classifier.unload("nobody").await, Err(unknown));
    assert_eq!(classifier.models().len(), 2);
    assert!(classifier.load("../m").await.is_err(), "no path is followed");
}

#[tokio::test]
async fn more_commands_than_are_held_are_refused() {
    let (classifier, conductor, _) = start().await;
    conductor.hold_loads();
    let given = Arc::new(AtomicUsize::new(0));
    let command = || {
        let (classifier, given) = (classifier.clone(), Arc::clone(&given));
        tokio::spawn(async move {
            given.fetch_add(1, Ordering::Relaxed);
            classifier.reload("m").await
        })
    };
    let first = command();
    becomes("a load is held", || conductor.loading() == 1).await;
    let others: Vec<_> = (0..80).map(|_| command()).collect();
    becomes("all are given", || given.load(Ordering::Relaxed) == 81).await;
    conductor.release_loads();
    first.await.unwrap().unwrap();
    let mut busy = 0;
    for other in others {
        busy += usize::from(other.await.unwrap() == Err(ModelError::Busy));
    }
    // two were configured, which left room for 2 more than wait usually
    assert_eq!(busy, 80 - 66);
    becomes("all that was replaced is off the device", || conductor.loaded() == 2).await;
}

#[tokio::test]
async fn a_device_that_is_lost_while_a_model_loads_fails_the_load_and_holds_up_nothing() {
    let (classifier, conductor, _) = start().await;
    conductor.hold_loads();
    let reload = tokio::spawn({
        let classifier = classifier.clone();
        async move { classifier.reload("m").await }
    });
    becomes("a load is held", || conductor.loading() == 1).await;
    conductor.fault(Fault::DeviceLost);
    assert!(ask(&classifier, ("m", None), image(2)).await.is_err());
    conductor.release_loads();
    let failed = tokio::time::timeout(PATIENCE, reload).await.expect("the load ends").unwrap().unwrap_err();
    assert!(failed.to_string().contains("planted"), "{failed}");
    let next = classifier.reload("m").await.unwrap_err();
    assert!(next.to_string().contains("its devices have failed: planted"), "{next}");
    classifier.unload("m").await.unwrap();
    becomes("nothing is left on the device", || conductor.loaded() == 0).await;
}

#[tokio::test]
async fn on_several_devices_a_model_comes_and_goes_everywhere() {
    let conductor = Conductor::default();
    let (classifier, conductor, source) = start_on(MockEngine::with_devices(&conductor, 3), conductor.clone()).await;
    assert_eq!((conductor.loaded(), status(&classifier, "m", 1).unwrap().devices.len()), (6, 3));
    source.is(labelled("new"));
    classifier.reload("m").await.unwrap();
    assert_eq!(answers(&classifier).await, "new class 2");
    becomes("the old one is off all devices", || conductor.loaded() == 6).await;
    source.is(|| Ok(checkpoint("unloadable")));
    classifier.reload("m").await.unwrap_err();
    becomes("nothing is left of what failed", || conductor.loaded() == 6).await;
    classifier.unload("m").await.unwrap();
    becomes("it is off all devices", || conductor.loaded() == 3).await;
}
