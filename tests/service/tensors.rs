//! Requests that bring tensors and take logits, as tensor protocols do.

use convnext_server::service::{Scores, Tensor, TensorType};
use half::f16;

use crate::*;

/// A tensor `[n, 3, 4, 4]` of images of these classes.
fn tensor(number: TensorType, classes: &[usize]) -> Tensor {
    let numbers = classes.iter().flat_map(|class| std::iter::repeat_n(*class as f32, 3 * 4 * 4));
    let data: Vec<u8> = match number {
        TensorType::F32 => numbers.flat_map(f32::to_le_bytes).collect(),
        TensorType::F16 => numbers.flat_map(|number| f16::from_f32(number).to_le_bytes()).collect(),
    };
    Tensor { number, shape: [classes.len(), 3, 4, 4], data: data.into() }
}

fn of_tensor(tensor: Tensor, wanted: Wanted) -> Request {
    Request { images: Images::Tensor(tensor), wanted }
}

#[tokio::test]
async fn a_tensor_of_either_type_gets_labels_or_logits_in_its_order() {
    let (classifier, _) = classifier(&["m"], settings(8, 2)).await;
    for number in [TensorType::F32, TensorType::F16] {
        let request = of_tensor(tensor(number, &[2, 0, 5]), labels(1));
        let answer = admit(&classifier, "m").unwrap().classify(request).await.unwrap();
        assert_eq!(classes(&answer), [2, 0, 5]);
        let request = of_tensor(tensor(number, &[1, 4]), Wanted::Logits);
        let answer = admit(&classifier, "m").unwrap().classify(request).await.unwrap();
        let expected = [[-1.0, 0.0, -1.0, -2.0, -3.0, -4.0], [-4.0, -3.0, -2.0, -1.0, 0.0, -1.0]];
        for (image, expected) in answer.images.iter().zip(expected) {
            assert_eq!(image.scores, Scores::Logits(expected.to_vec()));
            assert_eq!((image.timings.decode, image.timings.transform), (Duration::ZERO, Duration::ZERO));
        }
    }
}

#[tokio::test]
async fn files_may_ask_for_logits_too() {
    let (classifier, _) = classifier(&["m"], settings(8, 2)).await;
    let request = Request { wanted: Wanted::Logits, ..request(&[3]) };
    let answer = admit(&classifier, "m").unwrap().classify(request).await.unwrap();
    assert_eq!(answer.images[0].scores, Scores::Logits(vec![-3.0, -2.0, -1.0, 0.0, -1.0, -2.0]));
}

#[tokio::test]
async fn logits_that_are_not_finite_are_an_error_whoever_asks() {
    let (classifier, conductor) = classifier(&["m"], settings(8, 2)).await;
    conductor.fault(Fault::NotANumber);
    let request = of_tensor(tensor(TensorType::F32, &[3]), Wanted::Logits);
    let error = admit(&classifier, "m").unwrap().classify(request).await.unwrap_err();
    assert!(matches!(&error, ServiceError::Internal(text) if text.contains("not finite")), "{error}");
}

#[tokio::test]
async fn tensors_and_files_share_a_batch_and_the_queue() {
    let (classifier, conductor, first) = busy("m", settings(6, 8)).await;
    let file = send(&classifier, "m", &[4]);
    wait_for_queue(&classifier, "m", 1).await;
    let request = of_tensor(tensor(TensorType::F32, &[1, 2, 3]), labels(1));
    let tensors = tokio::spawn(admit(&classifier, "m").unwrap().classify(request));
    wait_for_queue(&classifier, "m", 4).await;
    let too_many = of_tensor(tensor(TensorType::F32, &[0, 0]), labels(1));
    let error = admit(&classifier, "m").unwrap().classify(too_many).await.unwrap_err();
    assert!(matches!(error, ServiceError::Overloaded { reason: Rejection::Queue, .. }), "{error}");
    conductor.release();
    first.await.unwrap().unwrap();
    assert_eq!(classes(&file.await.unwrap().unwrap()), [4]);
    assert_eq!(classes(&tensors.await.unwrap().unwrap()), [1, 2, 3]);
    assert_eq!(conductor.batches()[1].1, [4, 1, 2, 3]);
}

#[tokio::test]
async fn a_tensor_that_is_not_the_models_is_refused_with_what_is_needed() {
    let (classifier, conductor) = classifier(&["m"], settings(8, 2)).await;
    let right = tensor(TensorType::F32, &[1, 2]);
    let wrong = [
        (Tensor { shape: [2, 3, 4, 5], ..right.clone() }, "m takes [n, 3, 4, 4]"),
        (Tensor { shape: [2, 4, 4, 3], ..right.clone() }, "m takes [n, 3, 4, 4]"),
        (Tensor { shape: [3, 3, 4, 4], ..right.clone() }, "has 576"),
        (Tensor { number: TensorType::F16, ..right.clone() }, "a tensor of 384 bytes"),
        (Tensor { data: right.data.slice(1..), ..right.clone() }, "a tensor of 383 bytes"),
        (Tensor { shape: [0, 3, 4, 4], data: Bytes::new(), ..right.clone() }, "no image"),
        (Tensor { shape: [usize::MAX, 3, 4, 4], ..right.clone() }, "more than the 8"),
    ];
    for (tensor, words) in wrong {
        let error = admit(&classifier, "m").unwrap().classify(of_tensor(tensor, Wanted::Logits)).await.unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
    }
    assert_eq!(conductor.batches(), [], "nothing ran");
}
