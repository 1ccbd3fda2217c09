//! Requests that are refused: each with `{"error"}` in words that name what is wrong.

use convnext_server::service::Limits;
use serde_json::json;

use super::*;
use crate::support::http::{Server, bounded};
use crate::support::mock::account;

#[tokio::test]
async fn what_does_not_fit_the_model_is_400_and_says_what_would() {
    bounded(async {
        let server = Server::start().await;
        let right = || json!({ "data": numbers(&[1]) });
        let two = |output: &str| json!([{"name": "logits"}, {"name": output}]);
        let pixels = || request("pixels", "FP32", &[1, 3, 4, 4], right());
        let with = |field: &str, value: Value| {
            let mut json = pixels();
            json[field] = value;
            json
        };
        let table = [
            ("first", request("pixels", "FP32", &[1, 3, 4, 5], right()), "48 numbers for shape [1, 3, 4, 5]"),
            ("first", request("pixels", "FP32", &[1, 4, 4, 3], right()), "first takes [n, 3, 4, 4]"),
            ("first", request("pixels", "FP32", &[3, 4, 4], right()), "[images, 3, height, width] is needed"),
            ("first", request("pixels", "FP32", &[-1, 3, 4, 4], right()), "negative"),
            ("first", request("pixels", "INT8", &[1, 3, 4, 4], right()), "no model here takes it"),
            ("first", request("pixels", "FP16", &[1, 3, 4, 4], right()), "binary data only"),
            ("first", request("x", "FP32", &[1, 3, 4, 4], right()), "no input \"x\"; it takes pixels"),
            ("first", request("pixels", "FP32", &[0, 3, 4, 4], json!({"data": []})), "no image"),
            ("first", request("image", "BYTES", &[1, 1], json!({"data": ["aGk="]})), "takes pixels"),
            ("first_image", request("pixels", "FP32", &[1, 3, 4, 4], right()), "takes image"),
            ("first_image", request("image", "FP32", &[1, 1], json!({"data": [1]})), "tensors go to first"),
            (
                "first_image",
                request("image", "BYTES", &[2, 1], json!({"data": ["aGk="]})),
                "1 elements for shape [2, 1]",
            ),
            ("first_image", request("image", "BYTES", &[1, 2], json!({"data": ["aGk=", "aGk="]})), "[images, 1]"),
            ("first", with("outputs", json!([{"name": "prob"}])), "no output \"prob\"; it has logits"),
            ("first", with("outputs", two("logits")), "has one output"),
            ("first", with("parameters", json!({"timeout": "soon"})), "parameter timeout is \"soon\""),
            ("first", with("parameters", json!({"priority": -1})), "parameter priority is -1"),
            ("first", with("id", json!(7)), "expected a string"),
            ("first", with("inputs", json!([])), "no input"),
            ("first", with("inputs", json!({})), "not understood"),
        ];
        let count = table.len() as u64;
        for (model, json, words) in table {
            let error = server.ask(&post(&format!("/v2/models/{model}/infer")), json.to_string()).await.error(400);
            assert!(error.contains(words), "{json}: {error}");
        }
        let nothing_ran = account(&server.classifier);
        assert_eq!(nothing_ran, [count, 0, count, 0, 0]);
        assert_eq!(server.engine.batches(), []);
    })
    .await;
}

#[tokio::test]
async fn sizes_that_do_not_add_up_are_400() {
    bounded(async {
        let server = Server::start().await;
        let json = || request("pixels", "FP32", &[1, 3, 4, 4], json!({}));
        let ask = async |length: &str, size: u64, tail: usize| {
            let mut json = json();
            json["inputs"][0]["parameters"] = json!({ "binary_data_size": size });
            let json = json.to_string();
            let length = length.replace("JSON", &json.len().to_string());
            let head = format!("{}\r\n{LENGTH}: {length}", post("/v2/models/first/infer"));
            server.ask(&head, [json.as_bytes(), &vec![0; tail][..]].concat()).await.error(400)
        };
        for (length, size, tail, words) in [
            ("JSON", 192, 191, "binary_data_size is 192, and 191 bytes are left"),
            ("JSON", 192, 193, "1 bytes are left behind"),
            ("JSON", 191, 191, "191 bytes"),
            ("JSON", u64::MAX, 192, "and 192 bytes are left"),
            ("9999", 192, 192, "is 9999, and the body has"),
            ("99999999999999999999", 192, 192, "must be a number of bytes"),
            ("-1", 192, 192, "must be a number of bytes"),
            ("x", 192, 192, "must be a number of bytes"),
        ] {
            let error = ask(length, size, tail).await;
            assert!(error.contains(words), "{length}, {size}, {tail}: {error}");
        }
        let nan = f32_bytes(&[f32::NAN; 48]);
        let (head, body) = binary("/v2/models/first/infer", json(), &nan);
        assert!(server.ask(&head, body).await.error(400).contains("number 0 is not finite"));
        let (head, body) =
            binary("/v2/models/first_image/infer", request("image", "BYTES", &[1, 1], json!({})), &[9, 0, 0, 0, 1, 2]);
        assert!(
            server.ask(&head, body).await.error(400).contains("element 0 says that it has 9 bytes, and 2 are left")
        );
    })
    .await;
}

#[tokio::test]
async fn the_other_errors_are_those_of_every_route() {
    bounded(async {
        let server = Server::with_limits(Limits { max_body_bytes: 5000, ..Limits::default() }).await;
        let json = request("pixels", "FP32", &[1, 3, 4, 4], json!({ "data": numbers(&[1]) })).to_string();
        let infer = async |path: &str, body: &str| server.ask(&post(path), body).await;
        assert!(infer("/v2/models/third/infer", &json).await.error(404).contains("no model third; loaded are first"));
        assert!(infer("/v2/models/third_image/infer", &json).await.error(404).contains("third_image"));
        assert!(infer("/v2/models/first/versions/9/infer", &json).await.error(404).contains("no version 9"));
        assert!(infer("/v2/models/first/infer", &" ".repeat(6000)).await.error(413).contains("5000"));
        assert!(infer("/v2/models/first/infer", "").await.error(400).contains("empty"));
        assert!(infer("/v2/models/first/infer", "[").await.error(400).contains("not understood"));
        assert!(infer("/v2/models/first/nothing", &json).await.error(404).contains("no route"));
        server.get("/v2/models/first/infer").await.error(405);
        let deep = format!("{}1{}", "[".repeat(1000), "]".repeat(1000));
        let deep = format!(r#"{{"inputs":[{{"name":"pixels","datatype":"FP32","shape":[1],"data":{deep}}}]}}"#);
        assert!(infer("/v2/models/first/infer", &deep).await.error(400).contains("recursion"));
        let no_image = request("image", "BYTES", &[1, 1], json!({"data": ["aGVsbG8="]})).to_string();
        assert!(infer("/v2/models/first_image/infer", &no_image).await.error(415).contains("image 0"));
        let head = format!("{}\r\ncontent-encoding: br", post("/v2/models/first/infer"));
        server.ask(&head, &json).await.error(415);
        server.get("/v2/models/%ff").await.error(400);
    })
    .await;
}

#[tokio::test]
async fn what_the_numbers_of_json_take_is_charged_before_they_are_read() {
    bounded(async {
        // of the shortest numbers, which take most beside their text
        let json = request("pixels", "FP32", &[1, 3, 4, 4], json!({ "data": vec![1; 48] })).to_string();
        let most = json.len() as u64 + 8 * 48 + 8 * 20 + 100; // lists, further commas, names
        let limits = |body_bytes| Limits { max_body_bytes: json.len() as u64, body_bytes, ..Limits::default() };
        let small = Server::with_limits(limits(json.len() as u64 + 100)).await;
        let error = small.ask(&post("/v2/models/first/infer"), &json).await.error(413);
        assert!(error.contains("when it is decoded"), "{error}");
        let rows = json!({"instances": [vec![vec![vec![1; 4]; 4]; 3]]}).to_string();
        small.ask(&post("/v1/models/first:predict"), &rows).await.error(413);
        assert_eq!(account(&small.classifier), [2, 0, 2, 0, 0]);

        let server = Server::with_limits(limits(most)).await;
        server.engine.hold();
        let mut first = server.connect().await;
        first.send(crate::support::http::request(&post("/v2/models/first/infer"), &json)).await;
        server.runs().await;
        let answer = server.ask(&post("/v2/models/second/infer"), &json).await;
        assert!(answer.error(429).contains("bytes of bodies are held"));
        assert!(answer.header("retry-after").is_some());
        server.engine.release();
        first.answer().await.ok();
        server.ask(&post("/v2/models/second/infer"), &json).await.ok();
        assert_eq!(account(&server.classifier), [3, 2, 0, 1, 0]);
    })
    .await;
}
