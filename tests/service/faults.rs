//! What a fault of the engine, of a model or of a file costs, and whom.

use crate::*;

#[tokio::test]
async fn a_failed_batch_fails_its_images_and_the_next_one_runs() {
    let (classifier, conductor) = classifier(&["m"], settings(8, 4)).await;
    conductor.fault(Fault::Batch);
    let error = admit(&classifier, "m").unwrap().classify(request(&[1])).await.unwrap_err();
    assert!(matches!(&error, ServiceError::Internal(text) if text.contains("planted")), "{error}");
    assert!(classifier.ready().is_ok());
    assert!(admit(&classifier, "m").unwrap().classify(request(&[1])).await.is_ok());
}

#[tokio::test]
async fn a_panicking_engine_fails_its_images_turns_readiness_off_and_the_process_lives() {
    for fault in [Fault::Panic, Fault::DeviceLost] {
        let (classifier, conductor, first) = busy("m", settings(8, 1)).await;
        let waits = send(&classifier, "m", &[1]);
        wait_for_queue(&classifier, "m", 1).await;
        conductor.fault(fault);
        conductor.release();
        let error = first.await.unwrap().unwrap_err();
        assert!(matches!(&error, ServiceError::Internal(text) if text.contains("planted")), "{error}");
        assert!(matches!(waits.await.unwrap(), Err(ServiceError::NotReady(_))), "nothing waits for ever");
        assert!(classifier.ready().is_err());
        assert_eq!(classifier.models()[0].state, ModelState::Failed);
        assert!(matches!(admit(&classifier, "m"), Err(ServiceError::NotReady(_))));
        until("the metric says so", || metric(&classifier, "convnext_model_ready{model=\"m\"}") == 0.0);
    }
}

#[tokio::test]
async fn logits_that_are_not_finite_are_an_error_of_that_image() {
    let (classifier, conductor, first) = busy("m", settings(8, 4)).await;
    conductor.fault(Fault::NotANumber);
    let (bad, good) = (send(&classifier, "m", &[3]), send(&classifier, "m", &[2]));
    wait_for_queue(&classifier, "m", 2).await;
    conductor.release();
    first.await.unwrap().unwrap();
    let error = bad.await.unwrap().unwrap_err();
    assert!(matches!(&error, ServiceError::Internal(text) if text.contains("not finite")), "{error}");
    assert_eq!(classes(&good.await.unwrap().unwrap()), [2], "of the same batch");
    assert_eq!(conductor.batches()[1].1.len(), 2);
}

#[tokio::test]
async fn a_model_that_does_not_load_says_why_and_the_others_serve() {
    let engine = Arc::new(MockEngine::new(&Conductor::default()));
    let models = vec![model("good", "good"), model("bad", "unloadable")];
    let (classifier, loading) = Classifier::start(engine, models, settings(8, 1)).unwrap();
    assert!(classifier.ready().is_err());
    loading.done().await.unwrap();
    let why = classifier.ready().unwrap_err();
    assert!(why.contains("bad: mock has no memory for weights: 7 MB are needed, 5 MB are free"), "{why}");
    assert!(admit(&classifier, "good").unwrap().classify(request(&[1])).await.is_ok());
    assert!(matches!(admit(&classifier, "bad"), Err(ServiceError::NotReady(why)) if why.contains("no memory")));
    let status = classifier.models();
    assert_eq!((status[0].state, status[1].state), (ModelState::Ready, ModelState::Failed));
    assert!(status[1].error.as_ref().unwrap().contains("no memory"));
}

#[tokio::test]
async fn when_no_model_loads_nothing_starts() {
    let engine = Arc::new(MockEngine::new(&Conductor::default()));
    let (_classifier, loading) = Classifier::start(engine, vec![model("bad", "unloadable")], settings(8, 1)).unwrap();
    let error = loading.done().await.err().unwrap().to_string();
    assert!(error.contains("bad: mock has no memory"), "{error}");
}

#[tokio::test]
async fn what_fails_its_self_check_never_serves_unless_the_check_is_switched_off() {
    for self_check in [true, false] {
        let conductor = Conductor::default();
        conductor.fault(Fault::SelfCheck);
        let engine = Arc::new(MockEngine::new(&conductor));
        let settings = Settings { no_self_check: !self_check, ..settings(8, 1) };
        let (classifier, loading) = Classifier::start(engine, vec![model("m", "m")], settings).unwrap();
        let loaded = loading.done().await;
        assert_eq!(loaded.is_ok(), !self_check);
        if let Err(error) = loaded {
            assert!(error.to_string().contains("m: mock failed its self-check: logit 3 is 7, not 5"), "{error}");
            assert!(matches!(admit(&classifier, "m"), Err(ServiceError::NotReady(why)) if why.contains("self-check")));
            assert_eq!(conductor.loaded(), 0, "nothing is left on the device");
        }
    }
}
