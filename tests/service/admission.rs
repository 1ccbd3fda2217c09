//! Who is admitted, what an admitted request holds, and what it gives back.

use crate::*;

#[tokio::test]
async fn without_a_name_the_first_model_answers_and_an_unknown_name_lists_those_there_are() {
    let (classifier, _) = classifier(&["first", "second"], settings(8, 2)).await;
    assert_eq!(classifier.admit(Admission::default()).unwrap().model(), "first");
    let error = admit(&classifier, "third").err().unwrap();
    assert_eq!(error.to_string(), "no model third; loaded are first, second");
}

#[tokio::test]
async fn the_one_over_the_limit_is_shed_at_once() {
    let (classifier, conductor, first) = busy("m", settings(3, 1)).await;
    let others = [send(&classifier, "m", &[1]), send(&classifier, "m", &[2])];
    let error = admit(&classifier, "m").err().unwrap();
    assert!(matches!(error, ServiceError::Overloaded { reason: Rejection::Queue, .. }), "{error}");
    conductor.release();
    for (request, class) in std::iter::once(first).chain(others).zip(0..) {
        assert_eq!(classes(&request.await.unwrap().unwrap()), [class]);
    }
    assert!(admit(&classifier, "m").is_ok(), "there is room again");
    assert_eq!(metric(&classifier, "convnext_rejected_total{reason=\"queue_full\"}"), 1.0);
}

#[tokio::test]
async fn a_list_is_admitted_whole_or_not_at_all() {
    let (classifier, conductor, first) = busy("m", settings(4, 4)).await;
    let error = admit(&classifier, "m").unwrap().classify(request(&[0, 1, 2, 3])).await.unwrap_err();
    assert!(matches!(error, ServiceError::Overloaded { reason: Rejection::Queue, .. }), "{error}");
    assert_eq!(waiting(&classifier, "m"), 0, "none of it waits");
    let fits = send(&classifier, "m", &[1, 2, 3]);
    wait_for_queue(&classifier, "m", 3).await;
    conductor.release();
    assert_eq!(classes(&fits.await.unwrap().unwrap()), [1, 2, 3]);
    first.await.unwrap().unwrap();
    let never = admit(&classifier, "m").unwrap().classify(request(&[0; 5])).await.unwrap_err();
    assert!(matches!(never, ServiceError::TooLarge(_)), "{never}");
}

#[tokio::test]
async fn senseless_requests_are_refused() {
    let (classifier, _) = classifier(&["m"], settings(8, 4)).await;
    for bad in
        [Request { wanted: labels(0), ..request(&[1]) }, Request { wanted: labels(-5), ..request(&[1]) }, request(&[])]
    {
        let error = admit(&classifier, "m").unwrap().classify(bad).await.unwrap_err();
        assert!(matches!(error, ServiceError::Invalid(_)), "{error}");
    }
    let most = Request { wanted: labels(1000), ..request(&[1]) };
    let answer = admit(&classifier, "m").unwrap().classify(most).await.unwrap();
    assert_eq!(answer.images[0].predictions().len(), CLASSES, "clamped to the classes");
}

#[tokio::test]
async fn a_wait_beyond_the_deadline_is_refused_with_the_time_to_try_again() {
    let (classifier, conductor, first) = busy("m", settings(64, 1)).await;
    let _held = send(&classifier, "m", &[1]);
    wait_for_queue(&classifier, "m", 1).await;
    let error = admit_within(&classifier, Duration::ZERO).err().unwrap();
    assert!(matches!(error, ServiceError::Overloaded { reason: Rejection::Wait, .. }), "{error}");
    conductor.release();
    first.await.unwrap().unwrap();
}

#[tokio::test]
async fn bodies_are_charged_as_they_come_within_their_budget() {
    let limits = Limits { body_bytes: 100, max_body_bytes: 80, ..Limits::default() };
    let (classifier, _) = classifier(&["m"], Settings { limits, ..settings(8, 1) }).await;
    let admit = |body_bytes| classifier.admit(Admission { body_bytes, ..Admission::default() });
    assert!(matches!(admit(Some(81)), Err(ServiceError::TooLarge(_))));
    // what is declared holds nothing: any number of uploads may stall
    let mut stalled: Vec<_> = (0..5).map(|_| admit(Some(80)).unwrap()).collect();
    stalled[0].body_is(70).unwrap();
    let shed = admit(Some(31)).err().unwrap();
    assert!(matches!(shed, ServiceError::Overloaded { reason: Rejection::Bodies, .. }), "{shed}");
    let mut streamed = admit(None).unwrap();
    streamed.body_is(30).unwrap();
    let shed = streamed.body_is(31).unwrap_err();
    assert!(matches!(shed, ServiceError::Overloaded { reason: Rejection::Bodies, .. }), "{shed}");
    drop((stalled, streamed));
    let mut alone = admit(None).unwrap();
    alone.body_is(80).unwrap();
    assert!(matches!(alone.body_is(81), Err(ServiceError::TooLarge(_))));
}

#[tokio::test]
async fn decoded_pixels_are_held_within_their_budget() {
    let limits = Limits { decoded_pixels: 40, ..Limits::default() };
    let (classifier, _) = classifier(&["m"], Settings { limits, ..settings(8, 1) }).await;
    let error = admit(&classifier, "m").unwrap().classify(request(&[0, 1, 2])).await.unwrap_err();
    assert!(matches!(error, ServiceError::Overloaded { reason: Rejection::Pixels, .. }), "{error}");
    let answer = admit(&classifier, "m").unwrap().classify(request(&[0, 1])).await.unwrap();
    assert_eq!(classes(&answer), [0, 1]);
}

#[tokio::test]
async fn an_image_over_the_limit_of_pixels_is_refused_by_its_head() {
    let limits = Limits { max_image_pixels: 15, ..Limits::default() };
    let (classifier, _) = classifier(&["m"], Settings { limits, ..settings(8, 1) }).await;
    let error = admit(&classifier, "m").unwrap().classify(request(&[0])).await.unwrap_err();
    assert!(matches!(error, ServiceError::Image { index: 0, cause: ImageError::TooLarge { .. } }), "{error}");
}

#[tokio::test]
async fn names_are_given_once_and_fit_into_urls() {
    for names in [vec![], vec!["a", "a"], vec![""], vec!["a/b"], vec!["ä"]] {
        let models = names.iter().map(|name| model(name, "m")).collect();
        let engine = Arc::new(MockEngine::new(&Conductor::default()));
        assert!(Classifier::start(engine, models, settings(8, 1)).is_err(), "{names:?}");
    }
}

#[tokio::test]
async fn a_drain_turns_readiness_off_and_serves_on() {
    let (classifier, _) = classifier(&["m"], settings(8, 1)).await;
    classifier.begin_drain();
    assert!(classifier.draining() && classifier.ready().is_err());
    assert!(admit(&classifier, "m").unwrap().classify(request(&[1])).await.is_ok());
}

#[tokio::test]
async fn a_refused_body_is_a_failure_and_no_cancellation() {
    let (classifier, _) = classifier(&["m"], settings(8, 1)).await;
    admit(&classifier, "m").unwrap().refuse();
    drop(admit(&classifier, "m").unwrap());
    assert_eq!(account(&classifier), [2, 0, 1, 0, 1]);
}

#[tokio::test]
async fn a_deadline_beyond_the_models_is_the_models() {
    let model = ModelOptions { deadline: Duration::from_secs(2), ..settings(8, 1).model };
    let (classifier, _) = classifier(&["m"], Settings { model, ..settings(8, 1) }).await;
    let allowed = |deadline| {
        let admission = Admission { deadline, ..Admission::default() };
        classifier.admit(admission).unwrap().allowed()
    };
    let [second, two, minute] = [1, 2, 60].map(Duration::from_secs);
    assert_eq!([None, Some(second), Some(minute)].map(allowed), [two, second, two]);
}

#[tokio::test]
async fn a_convnext_has_its_swin_for_a_baseline_unless_another_is_given() {
    let baselines = async |given: Option<&str>| {
        let mut models = vec![model("ours", "convnext_tiny"), model("theirs", "swin_tiny"), model("other", "m")];
        models[0].baseline = given.map(str::to_owned);
        let engine = Arc::new(MockEngine::new(&Conductor::default()));
        let (classifier, loading) = Classifier::start(engine, models, settings(8, 1)).unwrap();
        loading.done().await.unwrap();
        classifier.models().into_iter().map(|status| status.baseline).collect::<Vec<_>>()
    };
    assert_eq!(baselines(None).await, [Some("theirs".to_owned()), None, None]);
    assert_eq!(baselines(Some("other")).await, [Some("other".to_owned()), None, None]);
}
