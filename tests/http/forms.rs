//! The three forms of a classification, their options, and the shapes of the answer.

use serde_json::json;

use super::support::http::{Server, base64, bounded, label};
use super::support::mock::{CLASSES, image};
use super::{POST_FORM, form_data};

#[tokio::test]
async fn the_bytes_of_an_image_are_answered_by_its_labels() {
    bounded(async {
        let server = Server::start().await;
        let answer = server.classify("", image(5)).await;
        let labels = answer.ok();
        assert_eq!(labels[0]["label"], label(5));
        assert!(labels[0]["score"].as_f64().unwrap() > labels[1]["score"].as_f64().unwrap());
        assert_eq!(labels.as_array().unwrap().len(), 5, "top_k is 5 where nobody says");
        assert_eq!(labels[0].as_object().unwrap().len(), 2, "as huggingface_hub reads it");
    })
    .await;
}

#[tokio::test]
async fn the_declared_type_of_bytes_does_not_matter() {
    bounded(async {
        let server = Server::start().await;
        for declared in ["application/x-www-form-urlencoded", "application/json", "multipart/form-data; boundary=XX"] {
            let head = format!("POST /classify?top_k=1 HTTP/1.1\r\ncontent-type: {declared}");
            assert_eq!(server.ask(&head, image(3)).await.ok()[0]["label"], label(3), "{declared}");
        }
    })
    .await;
}

#[tokio::test]
async fn json_of_one_string_is_one_and_of_a_list_a_list() {
    bounded(async {
        let server = Server::start().await;
        let (one, two) = (base64(&image(1)), base64(&image(2)));
        let answer = server.classify("?top_k=1", json!({"inputs": one}).to_string()).await.ok();
        assert_eq!(answer[0]["label"], label(1));
        let answer = server.classify("?top_k=1", json!({"inputs": [one]}).to_string()).await.ok();
        assert_eq!(answer[0][0]["label"], label(1));
        let answer = server.classify("?top_k=1", json!({"inputs": [one, two, one]}).to_string()).await.ok();
        let labels: Vec<_> = answer.as_array().unwrap().iter().map(|image| image[0]["label"].clone()).collect();
        assert_eq!(labels, [label(1), label(2), label(1)]);
    })
    .await;
}

#[tokio::test]
async fn a_part_image_is_one_and_parts_images_are_a_list() {
    bounded(async {
        let server = Server::start().await;
        let (one, two) = (image(1), image(2));
        let answer = server.ask(POST_FORM, form_data(&[("image", &one)])).await.ok();
        assert_eq!(answer[0]["label"], label(1));
        let answer = server.ask(POST_FORM, form_data(&[("images", &two)])).await.ok();
        assert_eq!(answer[0][0]["label"], label(2));
        let answer = server.ask(POST_FORM, form_data(&[("images", &one), ("images", &two)])).await.ok();
        assert_eq!((&answer[0][0]["label"], &answer[1][0]["label"]), (&json!(label(1)), &json!(label(2))));
    })
    .await;
}

#[tokio::test]
async fn parts_have_the_names_that_clients_give_them() {
    bounded(async {
        let server = Server::start().await;
        let (one, two) = (image(1), image(2));
        for name in ["image", "file", "data"] {
            let answer = server.ask(POST_FORM, form_data(&[(name, &one)])).await.ok();
            assert_eq!(answer[0]["label"], label(1), "{name}");
            let answer = server.ask(POST_FORM, form_data(&[(name, &one), (name, &two)])).await.ok();
            assert_eq!(answer[1][0]["label"], label(2), "several {name} are a list");
        }
        for name in ["images", "files", "image[]", "images[]"] {
            let answer = server.ask(POST_FORM, form_data(&[(name, &two)])).await.ok();
            assert_eq!(answer[0][0]["label"], label(2), "{name} is a list of one");
        }
        let answer = server.ask(POST_FORM, form_data(&[("csrf_token", b"x"), ("image", &one)])).await;
        assert_eq!(answer.ok()[0]["label"], label(1));
        assert_eq!(answer.header("warning"), Some(r#"199 - "unknown part csrf_token""#));
    })
    .await;
}

#[tokio::test]
async fn base64_may_be_url_safe() {
    bounded(async {
        let server = Server::start().await;
        // bytes behind the end of a PNG change nothing, and these have both characters in which the alphabets differ
        let standard = base64(&[&image(3)[..], &[0xfb; 6], &[0xff; 6]].concat());
        let url_safe = standard.replace('+', "-").replace('/', "_");
        assert!(url_safe.contains('-') && url_safe.contains('_'), "{url_safe}");
        for text in [url_safe.trim_end_matches('='), &url_safe] {
            let answer = server.classify("?top_k=1", json!({"inputs": text}).to_string()).await.ok();
            assert_eq!(answer[0]["label"], label(3));
        }
    })
    .await;
}

#[tokio::test]
async fn what_the_body_asks_for_wins_over_the_query() {
    bounded(async {
        let server = Server::start().await;
        let body = json!({"inputs": base64(&image(1)), "parameters": {"top_k": 3, "function_to_apply": "none"}});
        let answer = server.classify("?top_k=1&function_to_apply=softmax", body.to_string()).await.ok();
        assert_eq!(answer.as_array().unwrap().len(), 3);
        assert_eq!((&answer[0]["score"], &answer[2]["score"]), (&json!(0.0), &json!(-1.0)), "the logits");
        let image = image(1);
        let parts: [(&str, &[u8]); 3] = [("image", &image), ("top_k", b"2"), ("function_to_apply", b"sigmoid")];
        let answer = server.ask(POST_FORM, form_data(&parts)).await.ok();
        assert_eq!(answer.as_array().unwrap().len(), 2);
        assert_eq!(answer[0]["score"], 0.5, "sigmoid of 0");
    })
    .await;
}

#[tokio::test]
async fn more_labels_than_there_are_classes_are_all_of_them() {
    bounded(async {
        let server = Server::start().await;
        assert_eq!(server.classify("?top_k=100000", image(1)).await.ok().as_array().unwrap().len(), CLASSES);
    })
    .await;
}

#[tokio::test]
async fn detail_says_how_the_answer_came_about() {
    bounded(async {
        let server = Server::start().await;
        let answer = server.classify("?detail=1&model=second&top_k=1", image(4)).await.ok();
        assert_eq!(
            (&answer["model"], &answer["device"], &answer["index"]),
            (&json!("second"), &json!("mock"), &json!(0))
        );
        assert_eq!(answer["predictions"][0]["label"], label(4));
        assert_eq!(answer["batch_size"], 1);
        for stage in ["decode", "transform", "queue", "compute"] {
            assert!(answer["timings_ms"][stage].as_f64().unwrap() >= 0.0, "{answer}");
        }
        let list = json!({"inputs": [base64(&image(1)), base64(&image(2))]}).to_string();
        let answer = server.classify("?detail=1", list).await.ok();
        assert_eq!((&answer[0]["index"], &answer[1]["index"]), (&json!(0), &json!(1)));
    })
    .await;
}

#[tokio::test]
async fn json_and_bytes_of_the_same_image_get_the_same_answer() {
    bounded(async {
        let server = Server::start().await;
        let bytes = server.classify("", image(3)).await.ok();
        let json = format!(r#"{{"inputs": "data:image/png;base64,{}"}}"#, base64(&image(3)));
        assert_eq!(server.classify("", json).await.ok(), bytes);
    })
    .await;
}
