//! Requests that are answered: each form of input, each form of output.

use std::io::{Read as _, Write as _};

use flate2::Compression;
use flate2::read::{GzDecoder, ZlibDecoder};
use flate2::write::{GzEncoder, ZlibEncoder};
use half::f16;
use serde_json::{Value, json};

use super::*;
use crate::support::http::{Server, base64, bounded};
use crate::support::mock::{account, image};

const TENSORS: &str = "/v2/models/first/infer";
const FILES: &str = "/v2/models/first_image/infer";

/// Numbers in lists of lists, as `numpy.ndarray.tolist` has them.
fn nested(numbers: &[f32], shape: &[usize]) -> Value {
    match shape {
        [] => json!(numbers[0]),
        [first, rest @ ..] => numbers.chunks(numbers.len() / first).map(|part| nested(part, rest)).collect(),
    }
}

#[tokio::test]
async fn a_tensor_in_json_is_flat_or_nested() {
    bounded(async {
        let server = Server::start().await;
        let flat = json!(numbers(&[2, 5]));
        let lists = nested(&numbers(&[2, 5]), &[2, 3, 4, 4]);
        for data in [flat, lists] {
            let body = request("pixels", "FP32", &[2, 3, 4, 4], json!({ "data": data }));
            for path in [TENSORS, "/v2/models/first/versions/1/infer/"] {
                let answer = server.ask(&post(path), body.to_string()).await.ok();
                assert_eq!((&answer["model_name"], &answer["model_version"]), (&json!("first"), &json!("1")));
                let output = &answer["outputs"][0];
                assert_eq!(output["shape"], json!([2, 6]));
                assert_eq!((&output["name"], &output["datatype"]), (&json!("logits"), &json!("FP32")));
                assert_eq!(super::data(&answer), [logits(2), logits(5)].concat());
                assert!(answer.get("id").is_none(), "{answer}");
            }
        }
    })
    .await;
}

#[tokio::test]
async fn tensors_come_and_go_as_bytes_in_any_mixture() {
    bounded(async {
        let server = Server::start().await;
        let (shape, pixels) = ([2, 3, 4, 4], numbers(&[1, 3]));
        let halves: Vec<u8> = pixels.iter().flat_map(|number| f16::from_f32(*number).to_le_bytes()).collect();
        let expected = [logits(1), logits(3)].concat();
        for (datatype, tail) in [("FP32", f32_bytes(&pixels)), ("FP16", halves)] {
            let json = request("pixels", datatype, &shape, json!({}));
            let (head, body) = binary(TENSORS, json.clone(), &tail);
            assert_eq!(super::data(&server.ask(&head, &body).await.ok()), expected, "{datatype}");

            let whole = json!({"inputs": json["inputs"], "parameters": {"binary_data_output": true}, "id": "7"});
            let (head, body) = binary(TENSORS, whole, &tail);
            let answer = server.ask(&head, &body).await;
            let (json, tail) = parts(&answer);
            assert_eq!(json["outputs"][0]["parameters"], json!({"binary_data_size": 48}));
            assert_eq!((tail, &json["id"]), (&f32_bytes(&expected)[..], &json!("7")));
        }
        // numbers in, bytes out, by the output's own word
        let mut json = request("pixels", "FP32", &shape, json!({ "data": pixels }));
        json["outputs"] = json!([{"name": "logits", "parameters": {"binary_data": true}}]);
        let answer = server.ask(&post(TENSORS), json.to_string()).await;
        assert_eq!(parts(&answer).1, f32_bytes(&expected));
    })
    .await;
}

#[tokio::test]
async fn image_files_are_elements_of_bytes() {
    bounded(async {
        let server = Server::start().await;
        let (first, second) = (image(4), image(0));
        let expected = [logits(4), logits(0)].concat();
        for shape in [&[2, 1][..], &[2]] {
            let json = request("image", "BYTES", shape, json!({}));
            let (head, body) = binary(FILES, json, &elements(&[&first, &second]));
            let answer = server.ask(&head, &body).await.ok();
            assert_eq!(super::data(&answer), expected);
            assert_eq!(answer["model_name"], "first_image");
        }
        let [a, b] = [base64(&first), base64(&second)];
        for data in [json!([a, b]), json!([[a], [b]]), json!([{"b64": a}, {"b64": b}])] {
            let json = request("image", "BYTES", &[2, 1], json!({ "data": data }));
            assert_eq!(super::data(&server.ask(&post(FILES), json.to_string()).await.ok()), expected);
        }
    })
    .await;
}

#[tokio::test]
async fn a_body_may_be_the_input_and_nothing_else() {
    bounded(async {
        let server = Server::start().await;
        let raw = |path: &str| format!("POST {path} HTTP/1.1\r\n{LENGTH}: 0");
        let answer = server.ask(&raw(FILES), image(3)).await;
        assert_eq!(parts(&answer).1, f32_bytes(&logits(3)));
        let answer = server.ask(&raw(TENSORS), f32_bytes(&numbers(&[5]))).await;
        let (json, tail) = parts(&answer);
        assert_eq!((tail, &json["outputs"][0]["shape"]), (&f32_bytes(&logits(5))[..], &json!([1, 6])));
        let error = server.ask(&raw(TENSORS), f32_bytes(&numbers(&[5, 5]))).await.error(400);
        assert!(error.contains("384 bytes"), "{error}");
        server.ask(&raw(FILES), "no image").await.error(415);
    })
    .await;
}

#[tokio::test]
async fn classification_gives_the_best_classes_with_their_logits_and_labels() {
    bounded(async {
        let server = Server::start().await;
        let ask = |k: u32, binary: bool| {
            let mut json = request("pixels", "FP32", &[1, 3, 4, 4], json!({ "data": numbers(&[2]) }));
            json["outputs"] = json!([{"name": "logits", "parameters": {"classification": k, "binary_data": binary}}]);
            json.to_string()
        };
        let best = ["-0:2:class 2", "-1:1:class 1", "-1:3:class 3"];
        let answer = server.ask(&post(TENSORS), ask(3, false)).await.ok();
        let output = json!({"name": "logits", "shape": [1, 3], "datatype": "BYTES", "data": best});
        assert_eq!(answer["outputs"], json!([output]));
        let answer = server.ask(&post(TENSORS), ask(3, true)).await;
        let texts: Vec<&[u8]> = best.iter().map(|text| text.as_bytes()).collect();
        assert_eq!(parts(&answer).1, elements(&texts));
        let all = server.ask(&post(TENSORS), ask(100, false)).await.ok();
        assert_eq!(all["outputs"][0]["shape"], json!([1, 6]), "more than there are is clamped");
    })
    .await;
}

#[tokio::test]
async fn a_timeout_in_microseconds_ends_a_request_while_a_batch_runs() {
    bounded(async {
        let server = Server::start().await;
        server.engine.hold();
        let mut json = request("pixels", "FP32", &[1, 3, 4, 4], json!({ "data": numbers(&[2]) }));
        json["parameters"] = json!({"timeout": 30_000, "priority": 1, "unknown": "x"});
        let error = server.ask(&post(TENSORS), json.to_string()).await.error(504);
        assert!(error.contains("deadline of 30 ms"), "{error}");
        server.engine.release();
        json["parameters"] = json!({"timeout": 0, "priority": 0});
        server.ask(&post(TENSORS), json.to_string()).await.ok();
    })
    .await;
}

#[tokio::test]
async fn bodies_come_compressed_and_answers_go_so_where_that_is_wanted() {
    bounded(async {
        let server = Server::start().await;
        let json = request("pixels", "FP32", &[1, 3, 4, 4], json!({}));
        let (head, body) = binary(TENSORS, json, &f32_bytes(&numbers(&[4])));
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        gzip.write_all(&body).unwrap();
        let mut zlib = ZlibEncoder::new(Vec::new(), Compression::fast());
        zlib.write_all(&body).unwrap();
        for (coding, body) in [("gzip", gzip.finish().unwrap()), ("deflate", zlib.finish().unwrap())] {
            let head = format!("{head}\r\ncontent-encoding: {coding}\r\naccept-encoding: {coding}");
            let answer = server.ask(&head, body).await;
            assert_eq!(answer.header("content-encoding"), Some(coding));
            let mut text = Vec::new();
            match coding {
                "gzip" => GzDecoder::new(&answer.body[..]).read_to_end(&mut text).unwrap(),
                _ => ZlibDecoder::new(&answer.body[..]).read_to_end(&mut text).unwrap(),
            };
            assert_eq!(super::data(&serde_json::from_slice(&text).unwrap()), logits(4));
        }
        assert_eq!(server.ask(&head, &body).await.header("content-encoding"), None);
    })
    .await;
}

#[tokio::test]
async fn every_request_is_counted_once_under_the_models_own_name() {
    bounded(async {
        let server = Server::start().await;
        let json = request("pixels", "FP32", &[1, 3, 4, 4], json!({ "data": numbers(&[1]) })).to_string();
        server.ask(&post(TENSORS), &json).await.ok();
        server.ask(&post(FILES), &json).await.error(400);
        server.ask(&post("/v2/models/third/infer"), &json).await.error(404);
        assert_eq!(account(&server.classifier), [3, 1, 2, 0, 0]);
        for (code, count) in [("200", 1.0), ("400", 1.0)] {
            let series = format!("convnext_requests_total{{code=\"{code}\",model=\"first\",protocol=\"http\"}}");
            assert_eq!(server.metric(&series), count);
        }
    })
    .await;
}
