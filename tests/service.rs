//! Admission, queue, batch and answer through the public classifier, with a mock engine that the tests conduct. Nothing sleeps:
//! the clock is tokio's, paused, and other threads are waited for by what they bring about.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod support;

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
    CLASSES, Conductor, Fault, MockEngine, account, admit, classifier, image, metric, model, until, waiting,
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
    Wanted::Labels { top_k, function: ScoreFunction::Softmax }
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

#[tokio::test]
async fn a_request_is_answered_in_the_order_of_its_images() {
    let (classifier, _) = classifier(&["m"], settings(8, 2)).await;
    let answer = admit(&classifier, "m").unwrap().classify(request(&[2, 0, 3, 1])).await.unwrap();
    assert_eq!(classes(&answer), [2, 0, 3, 1]);
    assert_eq!((answer.model.as_str(), &*answer.images[0].device), ("m", "mock"));
    assert_eq!(&*answer.images[0].predictions()[0].label, "class 2");
}

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

#[tokio::test(start_paused = true)]
async fn a_deadline_fires_while_a_batch_runs() {
    let (classifier, conductor, first) = busy("m", settings(8, 1)).await;
    let second = admit_within(&classifier, Duration::from_secs(2)).unwrap();
    let began = tokio::time::Instant::now();
    let error = second.classify(request(&[1])).await.unwrap_err();
    assert_eq!(error, ServiceError::DeadlinePassed(Duration::from_secs(2)));
    assert_eq!(began.elapsed().as_secs(), 2, "by its own timer, and the first still runs");
    assert_eq!(waiting(&classifier, "m"), 0, "its place in the queue is free");
    conductor.release();
    // the paused clock has run past the first one's deadline or not: either way it has one answer
    let _ = first.await.unwrap();
    until("the batch is through", || conductor.batches().len() == 1);
    assert_eq!(conductor.batches(), [("m".to_owned(), vec![0])], "the late image never ran");
}

#[tokio::test]
async fn a_client_that_leaves_frees_its_place_at_once_and_its_image_never_runs() {
    let (classifier, conductor, first) = busy("m", settings(2, 1)).await;
    let gone = send(&classifier, "m", &[1]);
    wait_for_queue(&classifier, "m", 1).await;
    assert!(admit(&classifier, "m").is_err(), "full");
    gone.abort();
    assert!(gone.await.unwrap_err().is_cancelled());
    assert_eq!(waiting(&classifier, "m"), 0);
    let third = send(&classifier, "m", &[3]);
    conductor.release();
    first.await.unwrap().unwrap();
    third.await.unwrap().unwrap();
    assert_eq!(conductor.batches(), [("m".to_owned(), vec![0]), ("m".to_owned(), vec![3])]);
    assert_eq!(metric(&classifier, "convnext_cancelled_total"), 1.0);
}

#[tokio::test]
async fn what_waits_when_the_device_becomes_free_runs_in_one_batch_of_at_most_the_maximum() {
    let (classifier, conductor, first) = busy("m", settings(16, 4)).await;
    let others: Vec<_> = (0..6).map(|i| send(&classifier, "m", &[i % 4])).collect();
    wait_for_queue(&classifier, "m", 6).await;
    conductor.release();
    first.await.unwrap().unwrap();
    for (i, other) in others.into_iter().enumerate() {
        assert_eq!(classes(&other.await.unwrap().unwrap()), [i % 4]);
    }
    let sizes: Vec<usize> = conductor.batches().iter().map(|(_, images)| images.len()).collect();
    assert_eq!(sizes, [1, 4, 2]);
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
async fn no_model_starves_another() {
    let (classifier, conductor) = classifier(&["a", "b"], settings(64, 2)).await;
    conductor.hold();
    let first = send(&classifier, "a", &[0]);
    for _ in 0..16 {
        tokio::task::yield_now().await;
    }
    conductor.wait_until_begun(1);
    let many: Vec<_> = (0..40).map(|_| send(&classifier, "a", &[0])).collect();
    wait_for_queue(&classifier, "a", 40).await;
    let one = send(&classifier, "b", &[1]);
    wait_for_queue(&classifier, "b", 1).await;
    conductor.release();
    assert_eq!(classes(&one.await.unwrap().unwrap()), [1]);
    for request in std::iter::once(first).chain(many) {
        request.await.unwrap().unwrap();
    }
    let place = conductor.batches().iter().position(|(model, _)| model == "b").unwrap();
    assert!(place <= 5, "b ran as batch {place} of 21");
}

#[tokio::test]
async fn one_undecodable_image_fails_its_request_and_no_other() {
    let (classifier, _) = classifier(&["m"], settings(8, 4)).await;
    let broken = files(vec![image(0), image(1).slice(..60), image(2)]);
    let other = send(&classifier, "m", &[3]);
    let error = admit(&classifier, "m").unwrap().classify(broken).await.unwrap_err();
    assert!(matches!(error, ServiceError::Image { index: 1, cause: ImageError::Undecodable { .. } }), "{error}");
    assert_eq!(classes(&other.await.unwrap().unwrap()), [3]);
    let nothing = files(vec![Bytes::from_static(b"hello")]);
    let error = admit(&classifier, "m").unwrap().classify(nothing).await.unwrap_err();
    assert_eq!(error, ServiceError::Image { index: 0, cause: ImageError::UnknownFormat });
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

mod random_schedule {
    //! `received = succeeded + failed + rejected + cancelled`, and every place is given back, whatever happens in whatever order.

    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Step {
        /// A request with so many images to one of the models, some of them broken.
        Send { model: usize, images: usize, broken: bool },
        /// The nth request still running loses its client.
        Leave(usize),
        /// A ticket whose body never comes.
        NoBody,
        /// So many held batches run.
        Permit(usize),
        /// The next batch fails.
        Fail,
        /// The clock moves.
        Pass(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            6 => (0..2usize, 1..5usize, prop::bool::weighted(0.1))
                .prop_map(|(model, images, broken)| Step::Send { model, images, broken }),
            2 => (0..8usize).prop_map(Step::Leave),
            1 => Just(Step::NoBody),
            3 => (1..4usize).prop_map(Step::Permit),
            1 => Just(Step::Fail),
            1 => (0..2_000u64).prop_map(Step::Pass),
        ]
    }

    async fn play(steps: Vec<Step>) {
        let (classifier, conductor) = classifier(&["a", "b"], settings(6, 3)).await;
        conductor.hold();
        let mut running: Vec<JoinHandle<Outcome>> = Vec::new();
        let mut received = 0;
        for step in steps {
            match step {
                Step::Send { model, images, broken } => {
                    received += 1;
                    let name = ["a", "b"][model];
                    let allowed = Some(Duration::from_secs(1));
                    let admission = Admission { model: Some(name), deadline: allowed, ..Admission::default() };
                    let Ok(ticket) = classifier.admit(admission) else { continue };
                    let mut images = vec![image(model); images];
                    if broken {
                        images[0] = Bytes::from_static(b"BM no image");
                    }
                    running.push(tokio::spawn(ticket.classify(files(images))));
                    tokio::task::yield_now().await;
                }
                Step::Leave(nth) if nth < running.len() => running.swap_remove(nth).abort(),
                Step::Leave(_) => {}
                Step::NoBody => {
                    received += 1;
                    drop(classifier.admit(Admission::default()));
                }
                Step::Permit(count) => conductor.permit(count),
                Step::Fail => conductor.fault(Fault::Batch),
                Step::Pass(ms) => tokio::time::advance(Duration::from_millis(ms)).await,
            }
        }
        conductor.release();
        // from here on time is real, for other threads must have some
        tokio::time::resume();
        for request in running {
            let _ = request.await.unwrap();
        }
        // aborted tasks end when the runtime comes to them
        for _ in 0..64 {
            tokio::task::yield_now().await;
        }
        let account = account(&classifier);
        assert_eq!(account[0], received);
        assert_eq!(received, account[1..].iter().sum::<u64>(), "{account:?}");
        assert!(conductor.batches().iter().all(|(_, images)| images.len() <= 3), "a batch is over the maximum");
        for name in ["a", "b"] {
            assert_eq!(waiting(&classifier, name), 0);
            conductor.fault(Fault::None);
            let whole = admit(&classifier, name).unwrap().classify(request(&[1; 6])).await;
            assert!(whole.is_ok(), "every place is free again: {whole:?}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
        #[test]
        fn every_request_ends_in_one_way(steps in prop::collection::vec(step(), 0..40)) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
            runtime.block_on(play(steps));
        }
    }
}
