//! `POST /classify` over a socket: the three forms of a request, the shapes of its answer, and a test for each error.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod support;

use std::time::Duration;

use convnext_server::http;
use convnext_server::service::Limits;
use serde_json::json;
use support::http::{Options, Server, base64, bounded, label, request};
use support::mock::{CLASSES, Fault, image};

fn form_data(parts: &[(&str, &[u8])]) -> Vec<u8> {
    let mut body = Vec::new();
    for (name, content) in parts {
        body.extend(format!("--XX\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n").bytes());
        body.extend(*content);
        body.extend(b"\r\n");
    }
    [&body[..], b"--XX--\r\n"].concat()
}

const FORM: &str = "POST /classify?top_k=1 HTTP/1.1\r\ncontent-type: multipart/form-data; boundary=XX";

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
        let answer = server.ask(FORM, form_data(&[("image", &one)])).await.ok();
        assert_eq!(answer[0]["label"], label(1));
        let answer = server.ask(FORM, form_data(&[("images", &two)])).await.ok();
        assert_eq!(answer[0][0]["label"], label(2));
        let answer = server.ask(FORM, form_data(&[("images", &one), ("images", &two)])).await.ok();
        assert_eq!((&answer[0][0]["label"], &answer[1][0]["label"]), (&json!(label(1)), &json!(label(2))));
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
        let answer = server.ask(FORM, form_data(&parts)).await.ok();
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
async fn malformed_requests_are_400_and_say_what_is_wrong() {
    bounded(async {
        let server = Server::start().await;
        for (query, body, words) in [
            ("?topk=1", &image(1)[..], "topk"),
            ("?top_k=0", &image(1)[..], "top_k"),
            ("?deadline_ms=0", &image(1)[..], "deadline_ms"),
            ("", b"", "empty"),
            ("", b"  ", "empty"),
            ("", br#"{"inputs": []}"#, "inputs"),
            ("", br#"{"inputs": "https://example.org/cat.jpg"}"#, "not fetched"),
            ("", br#"{"inputs": "!!"}"#, "base64"),
            ("", b"--XX\r\n", "boundary"),
        ] {
            let error = server.classify(query, body).await.error(400);
            assert!(error.contains(words), "{query}: {error}");
        }
        let error = server.ask(FORM, form_data(&[("photo", b"x")])).await.error(400);
        assert!(error.contains("image") && error.contains("images"), "{error}");
        let chunks = "POST /classify HTTP/1.1\r\ntransfer-encoding: chunked";
        let mut client = server.connect().await;
        client.send(request(chunks, "")).await;
        client.send("no chunk\r\n").await;
        assert!(client.answer().await.error(400).contains("valid HTTP"));
    })
    .await;
}

#[tokio::test]
async fn an_unknown_model_is_404_and_names_those_that_there_are() {
    bounded(async {
        let server = Server::start().await;
        let error = server.classify("?model=third", image(1)).await.error(404);
        assert!(error.contains("first, second"), "{error}");
        assert_eq!(server.metric(r#"convnext_requests_total{code="404",model="",protocol="http"}"#), 1.0);
        assert!(!server.get("/metrics").await.body.windows(5).any(|words| words == b"third"), "no label by a client");
    })
    .await;
}

#[tokio::test]
async fn a_body_that_does_not_come_is_408() {
    bounded(async {
        let http = http::Options { body_timeout: Duration::from_millis(50) };
        let server = Server::start_with(Options { http, ..Options::default() }).await;
        let mut client = server.connect().await;
        client.send("POST /classify HTTP/1.1\r\nhost: a\r\ncontent-length: 1000\r\n\r\nstart").await;
        let answer = client.answer().await;
        assert!(answer.error(408).contains("50 ms"));
        assert_eq!(answer.header("connection"), Some("close"));
    })
    .await;
}

#[tokio::test]
async fn a_body_slower_than_its_deadline_is_504() {
    bounded(async {
        let server = Server::start().await;
        let mut client = server.connect().await;
        client.send("POST /classify?deadline_ms=50 HTTP/1.1\r\nhost: a\r\ncontent-length: 1000\r\n\r\nstart").await;
        assert!(client.answer().await.error(504).contains("50 ms"));
    })
    .await;
}

#[tokio::test]
async fn a_body_over_the_limit_is_413_by_its_head_or_as_it_comes() {
    bounded(async {
        let limits = Limits { max_body_bytes: 1000, ..Limits::default() };
        let server = Server::with_limits(limits).await;
        let mut client = server.connect().await;
        client.send("POST /classify HTTP/1.1\r\nhost: a\r\ncontent-length: 1001\r\n\r\n").await;
        let answer = client.answer().await; // nothing of the body was sent
        assert!(answer.error(413).contains("1000"));
        assert_eq!(answer.header("connection"), Some("close"));

        let mut client = server.connect().await;
        client.send("POST /classify HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n").await;
        client.send(format!("3e8\r\n{}\r\n", "x".repeat(1000))).await;
        client.send("1\r\nx\r\n").await; // and no last chunk
        assert!(client.answer().await.error(413).contains("1000"));
    })
    .await;
}

#[tokio::test]
async fn too_many_pixels_or_images_are_413() {
    bounded(async {
        let limits = Limits { max_image_pixels: 15, queue_images: 2, ..Limits::default() };
        let server = Server::with_limits(limits).await;
        assert!(server.classify("", image(1)).await.error(413).contains("4×4"));
        let three = json!({"inputs": ["aGk", "aGk", "aGk"]}).to_string();
        assert!(server.classify("", three).await.error(413).contains('2'));
    })
    .await;
}

#[tokio::test]
async fn what_is_no_image_is_415_and_what_does_not_decode_422() {
    bounded(async {
        let server = Server::start().await;
        assert!(server.classify("", "hello").await.error(415).contains("JPEG"));
        let cut = &image(1)[..60];
        server.classify("", cut).await.error(422);
        let list = json!({"inputs": [base64(&image(1)), base64(cut)]}).to_string();
        let error = server.classify("", list).await.error(422);
        assert!(error.contains("image 1"), "{error}");
    })
    .await;
}

#[tokio::test]
async fn a_full_queue_is_429_with_retry_after() {
    bounded(async {
        let limits = Limits { queue_images: 1, ..Limits::default() };
        let server = Server::with_limits(limits).await;
        server.engine.hold();
        let mut first = server.connect().await;
        first.send(request("POST /classify HTTP/1.1", image(1))).await;
        server.runs().await;
        let answer = server.classify("", image(2)).await;
        answer.error(429);
        assert!(answer.header("retry-after").unwrap().parse::<u64>().unwrap() >= 1);
        assert_eq!(server.metric(r#"convnext_rejected_total{reason="queue_full"}"#), 1.0);
        server.engine.release();
        first.answer().await.ok();
    })
    .await;
}

#[tokio::test]
async fn a_deadline_that_passes_while_the_device_works_is_504() {
    bounded(async {
        let server = Server::start().await;
        server.engine.hold();
        let error = server.classify("?deadline_ms=50", image(1)).await.error(504);
        assert!(error.contains("50 ms"), "{error}");
    })
    .await;
}

#[tokio::test]
async fn an_engine_that_panics_is_500_and_from_then_on_503() {
    bounded(async {
        let server = Server::start().await;
        server.engine.fault(Fault::Panic);
        server.classify("", image(1)).await.error(500);
        let answer = server.classify("", image(1)).await;
        answer.error(503);
        assert_eq!(answer.header("retry-after"), Some("1"));
        server.get("/readyz").await.error(503);
        assert_eq!(server.get("/livez").await.status, 200);
    })
    .await;
}

#[tokio::test]
async fn requests_are_counted_by_model_and_code() {
    bounded(async {
        let server = Server::start().await;
        server.classify("", image(1)).await.ok();
        server.classify("?model=second", image(1)).await.ok();
        server.classify("?model=second", "hello").await.error(415);
        let count = |model, code| {
            server.metric(&format!(r#"convnext_requests_total{{code="{code}",model="{model}",protocol="http"}}"#))
        };
        assert_eq!((count("first", 200), count("second", 200), count("second", 415)), (1.0, 1.0, 1.0));
        let respond = server.metric(r#"convnext_stage_duration_seconds_count{model="first",stage="respond"}"#);
        assert_eq!(respond, 1.0);
        let counts = server.classifier.counts();
        assert_eq!((counts.received, counts.succeeded, counts.failed), (3, 2, 1));
    })
    .await;
}

#[tokio::test]
async fn a_malformed_body_counts_as_failed_and_not_as_cancelled() {
    bounded(async {
        let server = Server::start().await;
        server.classify("", r#"{"inputs": 5}"#).await.error(400);
        let counts = server.classifier.counts();
        assert_eq!((counts.received, counts.failed, counts.cancelled), (1, 1, 0));
    })
    .await;
}
