//! A golden case on the CPU engine: the same logits bit for bit, whether the service is asked or HTTP in any of its forms.

use std::path::Path;
use std::sync::Arc;

use axum::body::Body;
use axum::http::Request as HttpRequest;
use bytes::Bytes;
use convnext_server::checkpoint::Source;
use convnext_server::engine::cpu::Cpu;
use convnext_server::http;
use convnext_server::service::{
    Admission, Classifier, Images, NamedModel, Request, Scores, Settings, Tensor, TensorType, Wanted,
};
use http_body_util::BodyExt as _;
use safetensors::SafeTensors;
use serde_json::json;
use tower::ServiceExt as _;

use super::*;
use crate::support::http::base64;

const CASE: &str = "timm-convnext";

#[tokio::test]
async fn a_golden_case_has_the_logits_of_the_service_in_every_form() {
    let tests = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests"));
    let folder = tests.join("golden").join(CASE);
    let source = Source::Folder(folder.clone());
    let model = NamedModel { name: CASE.to_owned(), source: Arc::new(move || source.open()), baseline: None };
    let (classifier, loading) = Classifier::start(Arc::new(Cpu::default()), vec![model], Settings::default()).unwrap();
    loading.done().await.unwrap();

    let file = std::fs::read(folder.join("expected.safetensors")).unwrap();
    let expected = SafeTensors::deserialize(&file).unwrap();
    let pixels = expected.tensor("pixels.0").unwrap();
    let shape: [usize; 3] = pixels.shape().try_into().unwrap();
    let raw = Bytes::copy_from_slice(pixels.data());
    let tensor = Tensor { number: TensorType::F32, shape: [1, shape[0], shape[1], shape[2]], data: raw.clone() };
    let photo = Bytes::from(std::fs::read(tests.join("images/cat.jpg")).unwrap());
    let of_tensor = of_service(&classifier, Images::Tensor(tensor)).await;
    let of_photo = of_service(&classifier, Images::Files(vec![photo.clone()])).await;

    let shape = [1, shape[0] as i64, shape[1] as i64, shape[2] as i64];
    let numbers: Vec<f32> = raw.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
    let (tensors, files) = (format!("/v2/models/{CASE}/infer"), format!("/v2/models/{CASE}_image/infer"));
    let fp32 = |rest| request("pixels", "FP32", &shape, rest);
    let with_length = |json: Value, tail: &[u8]| {
        let (head, body) = binary("", json, tail);
        (head.rsplit(' ').next().unwrap().parse().ok(), body)
    };
    let in_json = |json: Value| (None::<usize>, json.to_string().into_bytes());
    let image = |rest| request("image", "BYTES", &[1, 1], rest);
    let predict = format!("/v1/models/{CASE}:predict");
    let nested: Vec<_> =
        numbers.chunks(numbers.len() / 3).map(|plane| plane.chunks(shape[3] as usize).collect::<Vec<_>>()).collect();
    for (what, path, (length, body), logits) in [
        ("TensorFlow's numbers", &predict, in_json(json!({ "instances": [nested] })), &of_tensor),
        ("TensorFlow's file", &predict, in_json(json!({"instances": [{"b64": base64(&photo)}]})), &of_photo),
        ("numbers", &tensors, in_json(fp32(json!({ "data": numbers }))), &of_tensor),
        ("bytes", &tensors, with_length(fp32(json!({})), &raw), &of_tensor),
        ("raw numbers", &tensors, (Some(0), raw.to_vec()), &of_tensor),
        ("base64", &files, in_json(image(json!({"data": [base64(&photo)]}))), &of_photo),
        ("an element", &files, with_length(image(json!({})), &elements(&[&photo])), &of_photo),
        ("a raw file", &files, (Some(0), photo.to_vec()), &of_photo),
    ] {
        let found = of_http(&classifier, path, length, body).await;
        assert!(found.iter().map(|x| x.to_bits()).eq(logits.iter().map(|x| x.to_bits())), "{what}");
    }
}

async fn of_service(classifier: &Classifier, images: Images) -> Vec<f32> {
    let ticket = classifier.admit(Admission::default()).unwrap();
    let answer = ticket.classify(Request { images, wanted: Wanted::Logits }).await.unwrap();
    match &answer.images[0].scores {
        Scores::Logits(logits) => logits.clone(),
        Scores::Labels(_) => panic!("logits were wanted"),
    }
}

/// The logits of an answer, as numbers or as bytes.
async fn of_http(classifier: &Classifier, path: &str, length: Option<usize>, body: Vec<u8>) -> Vec<f32> {
    let mut request = HttpRequest::post(path);
    if let Some(length) = length {
        request = request.header(LENGTH, length);
    }
    let router = http::router(classifier.clone(), http::Options::default());
    let answer = router.oneshot(request.body(Body::from(body)).unwrap()).await.unwrap();
    let (head, body) = answer.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    assert_eq!(head.status, 200, "{}", String::from_utf8_lossy(&body));
    match head.headers.get(LENGTH) {
        Some(length) => {
            let (_, tail) = body.split_at(length.to_str().unwrap().parse().unwrap());
            tail.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
        }
        None => {
            let json: Value = serde_json::from_slice(&body).unwrap();
            match json.get("predictions") {
                Some(predictions) => serde_json::from_value(predictions[0].clone()).unwrap(),
                None => data(&json),
            }
        }
    }
}
