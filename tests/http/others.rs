//! The calls of TorchServe, TensorFlow Serving and SageMaker, in their own shapes.

use serde_json::{Value, json};

use super::form_data;
use super::support::http::{Server, base64, bounded, label};
use super::support::mock::{account, image};

/// The logits of the mock engine for an image of a class.
fn logits(class: usize) -> Value {
    (0..6).map(|other| -(class.abs_diff(other) as f32)).collect()
}

fn numbers(class: usize) -> Value {
    json!(vec![vec![vec![class as f32; 4]; 4]; 3])
}

#[tokio::test]
async fn torchserves_predictions_are_an_object_from_label_to_score() {
    bounded(async {
        let server = Server::start().await;
        for head in [
            "POST /predictions/first HTTP/1.1",
            "PUT /predictions/first/ HTTP/1.1",
            "PUT /predictions/first/1.0 HTTP/1.1",
            "POST /predictions/second/1 HTTP/1.1",
        ] {
            let answer = server.ask(head, image(2)).await.ok();
            let scores = answer.as_object().unwrap();
            assert_eq!((scores.len(), scores.keys().next()), (5, Some(&label(2))), "{answer}");
            assert!(scores.values().all(|score| score.as_f64().unwrap() > 0.0), "{answer}");
        }
        let head = "POST /predictions/first HTTP/1.1\r\ncontent-type: multipart/form-data; boundary=XX";
        let answer = server.ask(head, form_data(&[("data", &image(4))])).await.ok();
        assert_eq!(answer.as_object().unwrap().keys().next(), Some(&label(4)));
        assert_eq!(server.get("/ping").await.ok(), json!({"status": "Healthy"}));
    })
    .await;
}

#[tokio::test]
async fn torchserves_errors_have_a_code_a_type_and_a_message() {
    bounded(async {
        let server = Server::start().await;
        for (path, body, code, kind) in [
            ("/predictions/third", image(1), 404, "ModelNotFoundException"),
            ("/predictions/first/2.0", image(1), 404, "ModelVersionNotFoundException"),
            ("/predictions/first", "no image".into(), 415, "BadRequestException"),
            ("/predictions/first", "".into(), 400, "BadRequestException"),
        ] {
            let answer = server.ask(&format!("POST {path} HTTP/1.1"), body).await;
            assert_eq!(answer.status, code);
            let json = answer.json();
            assert_eq!((&json["code"], &json["type"]), (&json!(code), &json!(kind)), "{json}");
            assert!(!json["message"].as_str().unwrap().is_empty() && json.as_object().unwrap().len() == 3, "{json}");
        }
        assert_eq!(account(&server.classifier), [3, 0, 3, 0, 0]);
    })
    .await;
}

#[tokio::test]
async fn tensorflow_servings_predict_takes_rows_or_columns_and_gives_logits() {
    bounded(async {
        let server = Server::start().await;
        let (a, b) = (json!({"b64": base64(&image(1))}), json!({"b64": base64(&image(5))}));
        let both = json!([logits(1), logits(5)]);
        for (body, answer) in [
            (json!({"instances": [a, b]}), json!({"predictions": both})),
            (
                json!({"signature_name": "serving_default", "instances": [{"image_bytes": a}]}),
                json!({"predictions": [logits(1)]}),
            ),
            (json!({"instances": [numbers(1), numbers(5)]}), json!({"predictions": both})),
            (json!({"inputs": {"image": [a, b]}}), json!({"outputs": both})),
            (json!({"inputs": a}), json!({"outputs": [logits(1)]})),
            (json!({"inputs": [numbers(5)]}), json!({"outputs": [logits(5)]})),
        ] {
            for path in ["first:predict", "first/versions/1:predict"] {
                let found = server.ask(&format!("POST /v1/models/{path} HTTP/1.1"), body.to_string()).await.ok();
                assert_eq!(found, answer, "{body}");
            }
        }
        // tensors count as those of the protocol's name for them
        for (name, images) in [("first", 3 * 2), ("first_image", 6 * 2)] {
            let stats = server.get(&format!("/v2/models/{name}/stats")).await.ok();
            assert_eq!(stats["model_stats"][0]["inference_count"], images, "{stats}");
        }
    })
    .await;
}

#[tokio::test]
async fn tensorflow_servings_errors_and_status_have_its_shapes() {
    bounded(async {
        let server = Server::start().await;
        let one = json!({"instances": [numbers(1)]}).to_string();
        let predict =
            async |path: &str, body: &str| server.ask(&format!("POST /v1/models/{path} HTTP/1.1"), body).await;
        assert!(predict("third:predict", &one).await.error(404).contains("no model third"));
        assert!(predict("first/versions/3:predict", &one).await.error(404).contains("no version 3"));
        assert!(predict("first/labels/stable:predict", &one).await.error(404).contains("no version stable"));
        for method in ["regress", "classify"] {
            let error = predict(&format!("first:{method}"), &one).await.error(400);
            assert!(error.contains("is not served; :predict") && error.contains("/classify?model=first"), "{error}");
        }
        assert!(predict("first:predict", "{}").await.error(400).contains("one of instances and inputs"));
        assert!(
            predict("first:predict", r#"{"instances": [1, 2]}"#).await.error(400).contains("2 numbers for 2 images")
        );
        assert!(predict("first:predict", r#"{"instances": []}"#).await.error(400).contains("no image"));
        let available =
            json!({"version": "1", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}});
        for path in ["/v1/models/first", "/v1/models/first/versions/1"] {
            assert_eq!(server.get(path).await.ok(), json!({"model_version_status": [available]}));
        }
        let signature = json!({
            "inputs": {"image": {
                "dtype": "DT_STRING",
                "tensor_shape": {"dim": [{"size": "-1", "name": ""}], "unknown_rank": false},
                "name": "image:0",
            }},
            "outputs": {"logits": {
                "dtype": "DT_FLOAT",
                "tensor_shape": {"dim": [{"size": "-1", "name": ""}, {"size": "6", "name": ""}], "unknown_rank": false},
                "name": "logits:0",
            }},
            "method_name": "tensorflow/serving/predict",
        });
        for path in ["/v1/models/first/metadata", "/v1/models/first/versions/1/metadata"] {
            let expected = json!({
                "model_spec": {"name": "first", "signature_name": "", "version": "1"},
                "metadata": {"signature_def": {"signature_def": {"serving_default": signature}}},
            });
            assert_eq!(server.get(path).await.ok(), expected);
        }
        for path in ["third/metadata", "first/versions/9/metadata", "first/labels/stable/metadata"] {
            server.get(&format!("/v1/models/{path}")).await.error(404);
        }
        server.get("/v1/models/third").await.error(404);
        server.get("/v1/models/first/versions/9").await.error(404);
    })
    .await;
}

#[tokio::test]
async fn sagemakers_invocations_are_classifications() {
    bounded(async {
        let server = Server::start().await;
        let head = "POST /invocations HTTP/1.1\r\ncontent-type: application/x-image";
        let answer = server.ask(head, image(3)).await.ok();
        assert_eq!(answer[0]["label"], label(3));
        server.ask(head, "no image").await.error(415);
    })
    .await;
}
