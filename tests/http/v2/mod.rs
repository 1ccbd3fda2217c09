//! The Open Inference Protocol over HTTP, before a mock engine; and one golden case on the CPU engine.

mod control;
mod describe;
mod golden;
mod infer;
mod refused;

use serde_json::{Value, json};

use super::support::http::Answer;

/// The header that says how long the JSON is.
const LENGTH: &str = "inference-header-content-length";

/// The logits that the mock engine gives for an image of a class.
fn logits(class: usize) -> Vec<f32> {
    (0..6).map(|other| -(class.abs_diff(other) as f32)).collect()
}

/// The numbers of images `[3, 4, 4]` of these classes.
fn numbers(classes: &[usize]) -> Vec<f32> {
    classes.iter().flat_map(|class| std::iter::repeat_n(*class as f32, 3 * 4 * 4)).collect()
}

fn f32_bytes(numbers: &[f32]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
}

/// Elements of a BYTES tensor, each after its length.
fn elements(all: &[&[u8]]) -> Vec<u8> {
    all.iter().flat_map(|bytes| [&(bytes.len() as u32).to_le_bytes()[..], bytes].concat()).collect()
}

/// A request with one input; `rest` are its further fields, as `"data"`.
fn request(input: &str, datatype: &str, shape: &[i64], rest: Value) -> Value {
    let mut tensor = json!({"name": input, "datatype": datatype, "shape": shape});
    tensor.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
    json!({"inputs": [tensor]})
}

/// The same with its data as bytes behind the JSON: the head's lines for it, and the body.
fn binary(path: &str, mut json: Value, tail: &[u8]) -> (String, Vec<u8>) {
    json["inputs"][0]["parameters"] = json!({"binary_data_size": tail.len()});
    let json = json.to_string();
    (format!("POST {path} HTTP/1.1\r\n{LENGTH}: {}", json.len()), [json.as_bytes(), tail].concat())
}

fn post(path: &str) -> String {
    format!("POST {path} HTTP/1.1")
}

/// The JSON of an answer, and the bytes behind it.
fn parts(answer: &Answer) -> (Value, &[u8]) {
    assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
    assert_eq!(answer.header("content-type"), Some("application/octet-stream"));
    let (json, tail) = answer.body.split_at(answer.header(LENGTH).unwrap().parse().unwrap());
    (serde_json::from_slice(json).unwrap(), tail)
}

/// The logits of the first output of an answer in JSON.
fn data(answer: &Value) -> Vec<f32> {
    serde_json::from_value(answer["outputs"][0]["data"].clone()).unwrap()
}
