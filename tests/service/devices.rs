//! Several devices behind one dispatcher: who runs what, what a failed one leaves behind, where images wait.

use convnext_server::service::ModelOptions;

use crate::*;

/// A classifier of one model on so many devices, and its conductor.
async fn on_devices(count: usize, settings: Settings) -> (Classifier, Conductor) {
    let conductor = Conductor::default();
    (classifier_on(MockEngine::with_devices(&conductor, count), &["m"], settings).await, conductor)
}

#[tokio::test]
async fn devices_compute_side_by_side() {
    let (classifier, conductor) = on_devices(3, settings(64, 4)).await;
    conductor.hold();
    let requests: Vec<_> = (0..12).map(|i| send(&classifier, "m", &[i % 6])).collect();
    for _ in 0..16 {
        tokio::task::yield_now().await;
    }
    // each device waits in a batch of its own
    conductor.wait_until_begun(3);
    conductor.release();
    for (i, request) in requests.into_iter().enumerate() {
        let answer = request.await.unwrap().unwrap();
        assert_eq!(classes(&answer), [i % 6]);
        assert!(answer.images[0].device.starts_with("mock:"), "{}", answer.images[0].device);
    }
    let mut devices = conductor.devices();
    devices.sort_unstable();
    devices.dedup();
    assert_eq!(devices, [0, 1, 2]);
}

#[tokio::test]
async fn what_waits_for_a_failed_device_runs_on_the_others() {
    let (classifier, conductor) = on_devices(2, settings(64, 4)).await;
    conductor.hold();
    let requests: Vec<_> = (0..20).map(|i| send(&classifier, "m", &[i % 6])).collect();
    for _ in 0..16 {
        tokio::task::yield_now().await;
    }
    conductor.wait_until_begun(2);
    conductor.fault(Fault::DeviceLost);
    conductor.release();
    let mut lost = 0;
    for (i, request) in requests.into_iter().enumerate() {
        match request.await.unwrap() {
            Ok(answer) => assert_eq!(classes(&answer), [i % 6]),
            Err(ServiceError::Internal(why)) => {
                assert!(why.contains("is lost: planted"), "{why}");
                lost += 1;
            }
            Err(other) => panic!("{other}"),
        }
    }
    // the batch that met the fault, and the one that was launched behind it
    assert!((1..=8).contains(&lost), "{lost} of 20 requests were lost with their device");
    assert!(classifier.ready().is_ok(), "the other one serves");
    let failed = classifier.failed_devices();
    assert_eq!(failed.len(), 1);
    assert_eq!(failed[0].1, "planted");
    let up = |device| metric(&classifier, &format!("convnext_device_up{{device=\"{device}\"}}"));
    assert_eq!(up("mock:0") + up("mock:1"), 1.0);
    let answer = admit(&classifier, "m").unwrap().classify(request(&[5])).await.unwrap();
    assert_ne!(&*answer.images[0].device, failed[0].0.name);
}

#[tokio::test]
async fn the_last_devices_images_fail_and_readiness_says_so() {
    let (classifier, conductor) = on_devices(2, settings(64, 4)).await;
    for _ in 0..2 {
        assert!(classifier.ready().is_ok());
        conductor.fault(Fault::Panic);
        let error = admit(&classifier, "m").unwrap().classify(request(&[1])).await.unwrap_err();
        assert!(matches!(&error, ServiceError::Internal(why) if why.contains("panicked: planted")), "{error}");
    }
    assert!(classifier.ready().unwrap_err().contains("all of its devices have failed"));
    assert!(matches!(admit(&classifier, "m"), Err(ServiceError::NotReady(_))));
    // what has failed does not come back by itself, and a command says why
    let error = classifier.reload("m").await.unwrap_err().to_string();
    assert!(error.contains("its devices have failed: panicked: planted"), "{error}");
}

#[tokio::test]
async fn a_device_that_goes_while_it_idles_turns_readiness_off_within_a_second() {
    let (classifier, conductor) = on_devices(1, settings(64, 4)).await;
    assert!(classifier.ready().is_ok());
    let gone = std::time::Instant::now();
    conductor.fault(Fault::Gone);
    while classifier.ready().is_ok() {
        assert!(gone.elapsed() < std::time::Duration::from_secs(10), "nobody asks an idle device");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    // the second that is promised, and some for a busy machine
    assert!(gone.elapsed() < std::time::Duration::from_secs(3), "{:?}", gone.elapsed());
    assert_eq!(classifier.failed_devices()[0].1, "fallen off the bus");
    assert_eq!(metric(&classifier, "convnext_device_up{device=\"mock:0\"}"), 0.0);
    assert!(matches!(admit(&classifier, "m"), Err(ServiceError::NotReady(_))));
}

#[tokio::test]
async fn a_batch_of_three_is_padded_and_answers_three() {
    let (classifier, conductor) = on_devices(1, settings(64, 4)).await;
    let answer = admit(&classifier, "m").unwrap().classify(request(&[2, 1, 0])).await.unwrap();
    assert_eq!(classes(&answer), [2, 1, 0]);
    assert!(conductor.batches().iter().all(|(_, images)| images.len() <= 4));
}

#[tokio::test]
async fn a_model_runs_on_the_device_that_it_is_given() {
    let only = ModelOptions { device: Some("mock:1".to_owned()), ..settings(64, 4).model };
    let models = [("m".to_owned(), only)].into();
    let (classifier, conductor) = on_devices(2, Settings { models, ..settings(64, 4) }).await;
    for _ in 0..8 {
        admit(&classifier, "m").unwrap().classify(request(&[1, 2])).await.unwrap();
    }
    assert!(conductor.devices().iter().all(|device| *device == 1), "{:?}", conductor.devices());
    assert_eq!(classifier.models()[0].devices, ["mock:1"]);
}

#[tokio::test]
async fn images_wait_in_leased_memory_as_long_as_there_is_some_and_then_in_any() {
    let (classifier, conductor, first) = busy("m", settings(64, 4)).await;
    let others: Vec<_> = (0..12).map(|i| send(&classifier, "m", &[i % 6])).collect();
    wait_for_queue(&classifier, "m", 12).await;
    // the mock's device has memory for three
    assert_eq!(conductor.lent(), 3);
    conductor.release();
    first.await.unwrap().unwrap();
    for (i, other) in others.into_iter().enumerate() {
        assert_eq!(classes(&other.await.unwrap().unwrap()), [i % 6]);
    }
    until("all memory is given back", || conductor.lent() == 0);
}

#[tokio::test]
async fn a_client_that_leaves_gives_its_leased_memory_back() {
    let (classifier, conductor, first) = busy("m", settings(64, 4)).await;
    let gone = send(&classifier, "m", &[1]);
    wait_for_queue(&classifier, "m", 1).await;
    let lent = conductor.lent();
    gone.abort();
    assert!(gone.await.unwrap_err().is_cancelled());
    assert_eq!(conductor.lent(), lent - 1);
    conductor.release();
    first.await.unwrap().unwrap();
}
