//! From the queue to the answer: order, batches, deadlines, clients that leave.

use crate::*;

#[tokio::test]
async fn a_request_is_answered_in_the_order_of_its_images() {
    let (classifier, _) = classifier(&["m"], settings(8, 2)).await;
    let answer = admit(&classifier, "m").unwrap().classify(request(&[2, 0, 3, 1])).await.unwrap();
    assert_eq!(classes(&answer), [2, 0, 3, 1]);
    assert_eq!((answer.model.as_str(), &*answer.images[0].device), ("m", "mock"));
    assert_eq!(&*answer.images[0].predictions()[0].label, "class 2");
}

#[tokio::test(start_paused = true)]
async fn a_deadline_fires_while_a_batch_runs() {
    let (classifier, conductor, first) = busy("m", settings(8, 1)).await;
    let second = admit_within(&classifier, Duration::from_secs(2)).unwrap();
    let began = tokio::time::Instant::now();
    let error = second.classify(request(&[1])).await.unwrap_err();
    assert_eq!(error, ServiceError::DeadlinePassed(Duration::from_secs(2)));
    assert_eq!(began.elapsed().as_secs(), 2, "by its own timer, and the first still runs");
    assert_eq!(waiting(&classifier, "m"), 0, "it waits no more");
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
    let index = conductor.batches().iter().position(|(model, _)| model == "b").unwrap();
    assert!(index <= 5, "b ran as batch {index} of 21");
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
