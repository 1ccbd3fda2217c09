//! Each error of a classification: its status, its words, its headers.

use std::time::Duration;

use convnext_server::http;
use convnext_server::service::Limits;
use serde_json::json;

use super::support::http::{Options, Server, base64, bounded, request};
use super::support::mock::{Fault, image};
use super::{POST, POST_FORM, form_data};

#[tokio::test]
async fn malformed_requests_are_400_and_say_what_is_wrong() {
    bounded(async {
        let server = Server::start().await;
        for (query, body, words) in [
            ("?top_k=1&top_k=1", &image(1)[..], "top_k twice"),
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
        let error = server.ask(POST_FORM, form_data(&[("photo", b"x")])).await.error(400);
        assert!(error.contains("image") && error.contains("images"), "{error}");
        let error = server.ask(POST_FORM, form_data(&[("image", b"")])).await.error(400);
        assert!(error.contains("part image is empty"), "{error}");
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
        let http = http::Options { body_timeout: Duration::from_millis(50), ..http::Options::default() };
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
        let limits = Limits { max_image_pixels: 15, ..Limits::default() };
        let server = Server::with_queue(2, limits).await;
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
        for (body, name) in [
            (&b"<?xml version='1.0'?><svg />"[..], "SVG"),
            (b"%PDF-1.7", "PDF"),
            (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC"),
            (b"\0\0\0\x18ftypavif\0\0\0\0mif1miaf", "AVIF"),
            (b"\xff\x0a\0", "JPEG XL"),
        ] {
            let error = server.classify("", body).await.error(415);
            assert!(error.contains(&format!("seems to be {name}")) && error.contains("TIFF"), "{error}");
        }
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
        let server = Server::with_queue(1, Limits::default()).await;
        server.engine.hold();
        let mut first = server.connect().await;
        first.send(request(POST, image(1))).await;
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
