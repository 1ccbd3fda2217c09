//! `received = succeeded + failed + rejected + cancelled`, and every permit is given back, whatever happens in whatever order: clients
//! that leave, batches that fail, devices that are lost, models that are loaded anew.

use proptest::prelude::*;

use crate::*;

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
    /// The next batch loses its device.
    Lose,
    /// A model is loaded anew.
    Reload(usize),
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
        1 => Just(Step::Lose),
        1 => (0..2usize).prop_map(Step::Reload),
        1 => (0..2_000u64).prop_map(Step::Pass),
    ]
}

async fn play(devices: usize, steps: Vec<Step>) {
    let conductor = Conductor::default();
    let engine = MockEngine::with_devices(&conductor, devices);
    let classifier = classifier_on(engine, &["a", "b"], settings(6, 4)).await;
    conductor.hold();
    let mut reloads = Vec::new();
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
            Step::Lose => conductor.fault(Fault::DeviceLost),
            Step::Reload(model) => {
                let classifier = classifier.clone();
                reloads.push(tokio::spawn(async move { classifier.reload(["a", "b"][model]).await }));
                tokio::task::yield_now().await;
            }
            Step::Pass(ms) => tokio::time::advance(Duration::from_millis(ms)).await,
        }
    }
    conductor.release();
    // from here on time is real, for other threads must have some
    tokio::time::resume();
    for request in running {
        let _ = request.await.unwrap();
    }
    for reload in reloads {
        // one that met a fault has failed, and what served before serves on
        let _ = reload.await.unwrap();
    }
    // aborted tasks end when the runtime comes to them
    for _ in 0..64 {
        tokio::task::yield_now().await;
    }
    let account = account(&classifier);
    assert_eq!(account[0], received);
    assert_eq!(received, account[1..].iter().sum::<u64>(), "{account:?}");
    assert!(conductor.batches().iter().all(|(_, images)| images.len() <= 4), "a batch is over the maximum");
    conductor.fault(Fault::None);
    let alive = devices - classifier.failed_devices().len();
    assert_eq!(classifier.ready().is_ok(), alive > 0, "{alive} devices are left: {:?}", classifier.ready());
    for name in ["a", "b"] {
        if alive == 0 {
            assert!(matches!(admit(&classifier, name), Err(ServiceError::NotReady(_))));
            continue;
        }
        assert_eq!(waiting(&classifier, name), 0);
        let whole = admit(&classifier, name).unwrap().classify(request(&[1; 6])).await;
        assert!(whole.is_ok(), "every permit is free again: {whole:?}");
    }
    // an image whose client has left may still be in the decode pool
    until("all image memory is given back", || conductor.lent() == 0);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn every_request_ends_in_one_way(devices in 1..4usize, steps in prop::collection::vec(step(), 0..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(play(devices, steps));
    }
}
