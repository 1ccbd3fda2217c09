//! Keys over HTTP: what needs one, what one opens, what is said without, and their rate.

use std::time::Duration;

use convnext_server::auth::{Access, Policy};
use convnext_server::http;
use serde_json::json;

use super::support::http::{Answer, Options, Server, base64, bounded, keys, label, request};
use super::support::mock::image;
use super::{POST, form_data};

const BOTH: &[(&str, &str, &str)] = &[("shop", "'infer'", ""), ("ops", "'admin'", "")];

/// Routes that a key of scope infer opens.
const INFER: &[&str] = &[
    "POST /classify",
    "PUT /classify/photo.jpg",
    "POST /classify/",
    "POST /invocations",
    "POST /v1/models/first:predict",
    "POST /v2/models/first/infer",
    "POST /v2/models/first_image/versions/1/infer",
    "POST /v2/repository/index",
    "GET /models",
    "GET /stats",
    "GET /v1/models/first",
    "GET /v2",
    "GET /v2/models/first",
    "GET /v2/models/first/ready",
    "GET /v2/models/first/stats",
    "GET /v2/systemsharedmemory/status",
    "GET /v2/logging",
    "GET /classify",
    "GET /nope",
    "DELETE /livez/x",
];

async fn ask(server: &Server, line: &str, headers: &str) -> Answer {
    server.ask(&format!("{line} HTTP/1.1{headers}"), "").await
}

fn challenge(answer: &Answer) -> Option<&str> {
    answer.header("www-authenticate")
}

#[tokio::test]
async fn without_a_key_only_probes_metrics_and_the_page_are_answered() {
    bounded(async {
        let server = Server::with_keys(BOTH).await;
        for line in INFER {
            let answer = ask(&server, line, "").await;
            assert!(answer.error(401).contains("an API key is needed"), "{line}");
            assert_eq!(challenge(&answer), Some("Bearer"), "{line}");
            assert!(answer.header("x-request-id").is_some());
        }
        for path in ["/livez", "/readyz", "/v2/health/live", "/v2/health/ready", "/health", "/healthz", "/ping"] {
            ask(&server, &format!("GET {path}"), "").await.ok();
            ask(&server, &format!("GET {path}/"), "").await.ok();
        }
        for path in ["/", "/metrics", "/page/page.js", "/page/style.css", "/page/samples/bag.png"] {
            assert_eq!(server.get(path).await.status, 200, "{path}");
        }
        assert_eq!(server.metric("convnext_received_total"), 0.0, "nobody was admitted");
        assert_eq!(server.metric("convnext_unauthorized_total{reason=\"no_key\"}"), INFER.len() as f64);
    })
    .await;
}

#[tokio::test]
async fn a_key_opens_what_it_is_for_in_either_header() {
    bounded(async {
        let server = Server::with_keys(BOTH).await;
        for header in ["x-api-key: shop", "authorization: Bearer shop", "Authorization: bearer shop"] {
            let answer = server.ask(&format!("{POST}\r\n{header}"), image(2)).await;
            assert_eq!(answer.ok()[0]["label"], label(2), "{header}");
        }
        for line in INFER {
            let status = ask(&server, line, "\r\nx-api-key: shop").await.status;
            assert!(![401, 403].contains(&status), "{line}: {status}");
            let answer = ask(&server, line, "\r\nx-api-key: ops").await;
            assert_eq!(answer.error(403), "key ops has not the scope infer", "{line}");
            assert_eq!(challenge(&answer), Some("Bearer error=\"insufficient_scope\""), "{line}");
        }
    })
    .await;
}

#[tokio::test]
async fn commands_about_models_need_the_scope_admin() {
    bounded(async {
        let http = http::Options { allow_model_control: true, ..http::Options::default() };
        let server = Server::start_with(Options { http, keys: Some(keys(BOTH)), ..Options::default() }).await;
        for action in ["load", "unload", "load/", "unload/"] {
            let line = format!("POST /v2/repository/models/second/{action}");
            ask(&server, &line, "").await.error(401);
            ask(&server, &line, "\r\nx-api-key: shop").await.error(403);
        }
        assert_eq!(ask(&server, "GET /v2/models/second/ready", "\r\nx-api-key: shop").await.status, 200);
        assert_eq!(ask(&server, "POST /v2/repository/models/second/unload", "\r\nx-api-key: ops").await.status, 200);
    })
    .await;
}

#[tokio::test]
async fn what_is_no_key_is_told_so() {
    bounded(async {
        let server = Server::with_keys(BOTH).await;
        let no_key =
            ["", "authorization: Basic c2hvcDo=", "authorization: shop", "x-api-key:", "authorization: Bearer"];
        let unknown = ["x-api-key: shopp", "x-api-key: sho", "authorization: Bearer SHOP", "x-api-key: \u{e9}"];
        for (headers, challenged) in [(&no_key[..], "Bearer"), (&unknown, "Bearer error=\"invalid_token\"")] {
            for header in headers {
                let separator = if header.is_empty() { "" } else { "\r\n" };
                let answer = server.ask(&format!("{POST}{separator}{header}"), image(1)).await;
                let error = answer.error(401);
                assert_eq!(challenge(&answer), Some(challenged), "{header}");
                assert!(!error.to_lowercase().contains("shop"), "{error}");
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_refusal_comes_before_the_body_is_asked_for() {
    bounded(async {
        let server = Server::with_keys(BOTH).await;
        let mut client = server.connect().await;
        client.send(format!("{POST}\r\nhost: test\r\nexpect: 100-continue\r\ncontent-length: 100000\r\n\r\n")).await;
        let answer = client.answer().await;
        answer.error(401);
        assert_eq!(answer.header("connection"), Some("close"));
        // who sends all of it first gets the answer as well
        let answer = server.classify("", vec![0; 3 << 20]).await;
        answer.error(401);
    })
    .await;
}

#[tokio::test]
async fn each_route_refuses_in_its_own_shape() {
    bounded(async {
        let server = Server::with_keys(BOTH).await;
        for (headers, code) in [("", 401), ("\r\nx-api-key: ops", 403)] {
            let answer = server.ask(&format!("POST /predictions/first HTTP/1.1{headers}"), image(1)).await;
            assert_eq!(answer.status, code);
            let error = answer.json();
            assert_eq!((&error["code"], &error["type"]), (&json!(code), &json!("InvalidKeyException")));
            assert!(error["message"].as_str().unwrap().contains("key"));
        }
        let answer = server.ask("POST /predictions/first HTTP/1.1\r\nx-api-key: shop", image(1)).await;
        assert!(answer.ok().as_object().unwrap().contains_key(&label(1)));
    })
    .await;
}

#[tokio::test]
async fn a_page_of_an_allowed_origin_can_read_why_it_is_refused() {
    bounded(async {
        let http = http::Options { cors_allow_origins: vec!["https://a.example".parse().unwrap()], ..http::Options::default() };
        let server = Server::start_with(Options { http, keys: Some(keys(BOTH)), ..Options::default() }).await;
        let preflight = "OPTIONS /classify\u{20}HTTP/1.1\r\norigin: https://a.example\r\naccess-control-request-method: POST\r\n\
                         access-control-request-headers: x-api-key";
        let answer = server.ask(preflight, "").await;
        assert_eq!((answer.status, answer.header("access-control-allow-headers")), (200, Some("x-api-key")));
        let answer = server.ask(&format!("{POST}\r\norigin: https://a.example"), image(1)).await;
        answer.error(401);
        assert_eq!(answer.header("access-control-allow-origin"), Some("https://a.example"));
    })
    .await;
}

#[tokio::test]
async fn metrics_need_a_key_where_the_operator_wants_it() {
    bounded(async {
        let policy = Policy { metrics: true, ..Policy::default() };
        let server = Server::start_with(Options { keys: Some(keys(BOTH)), policy, ..Options::default() }).await;
        ask(&server, "GET /metrics", "").await.error(401);
        for key in ["shop", "ops"] {
            assert_eq!(ask(&server, "GET /metrics", &format!("\r\nauthorization: Bearer {key}")).await.status, 200);
        }
    })
    .await;
}

#[tokio::test]
async fn certificates_that_a_connection_has_not_are_missed_by_all_but_probes() {
    bounded(async {
        let policy = Policy { certificates: true, ..Policy::default() };
        let server = Server::start_with(Options { keys: Some(keys(BOTH)), policy, ..Options::default() }).await;
        for line in [POST, "GET / HTTP/1.1", "GET /metrics HTTP/1.1"] {
            let error = server.ask(&format!("{line}\r\nx-api-key: shop"), "").await.error(401);
            assert!(error.contains("client certificate"), "{error}");
        }
        server.get("/readyz").await.ok();
        assert_eq!(server.metric("convnext_unauthorized_total{reason=\"no_certificate\"}"), 3.0);
    })
    .await;
}

#[tokio::test]
async fn other_keys_hold_for_the_next_request_of_an_open_connection() {
    bounded(async {
        let server = Server::with_keys(BOTH).await;
        let mut client = server.connect().await;
        let ask = request("GET /models HTTP/1.1\r\nx-api-key: shop", "");
        client.send(&ask).await;
        client.answer().await.ok();
        server.access.as_ref().unwrap().replace(&keys(&[("other", "'infer'", "")]));
        client.send(&ask).await;
        client.answer().await.error(401);
        client.send(request("GET /models HTTP/1.1\r\nx-api-key: other", "")).await;
        client.answer().await.ok();
    })
    .await;
}

#[tokio::test]
async fn over_its_rate_a_key_is_told_when_to_come_back() {
    bounded(async {
        // a tenth of an image a second: nothing comes back while the test runs
        let server = Server::with_keys(&[("slow", "'infer'", "rate = 0.1\nburst = 2"), ("free", "'infer'", "")]).await;
        let classify = async |key: &str| server.ask(&format!("{POST}\r\nx-api-key: {key}"), image(1)).await;
        for _ in 0..2 {
            classify("slow").await.ok();
        }
        let refused = classify("slow").await;
        let error = refused.error(429);
        assert!(error.starts_with("key slow may have 0.1 images/s, 2 at once; try again in "), "{error}");
        let wait: u64 = refused.header("retry-after").unwrap().parse().unwrap();
        assert!((9..=10).contains(&wait), "{wait}");
        classify("free").await.ok();
        assert_eq!(ask(&server, "GET /models", "\r\nx-api-key: slow").await.status, 200, "images are what costs");
        assert_eq!(server.metric("convnext_rate_limited_total{key=\"slow\"}"), 1.0);
        assert_eq!(server.metric("convnext_rejected_total{reason=\"rate\"}"), 1.0);
        assert_eq!(server.metric("convnext_received_total"), 4.0);
        assert_eq!(server.metric("convnext_succeeded_total"), 3.0);
    })
    .await;
}

#[tokio::test]
async fn each_image_of_a_request_counts_and_what_is_not_classified_does_not() {
    bounded(async {
        let server = Server::with_keys(&[("slow", "'infer'", "rate = 0.1\nburst = 3")]).await;
        let ask = async |head: &str, body: &[u8]| server.ask(&format!("{head}\r\nx-api-key: slow"), body).await;
        ask("POST /classify?model=none HTTP/1.1", &image(1)).await.error(404);
        ask(POST, b"").await.error(400);
        let four =
            form_data(&[("images", &image(1)), ("images", &image(2)), ("images", &image(3)), ("images", &image(4))]);
        let head = "POST /classify?top_k=1 HTTP/1.1\r\ncontent-type: multipart/form-data; boundary=XX";
        assert_eq!(ask(head, &four).await.ok().as_array().unwrap().len(), 4, "more than a burst, in one request");
        let refused = ask(POST, &image(1)).await;
        refused.error(429);
        // four of three were spent: one is owed, and one must be there
        let wait: u64 = refused.header("retry-after").unwrap().parse().unwrap();
        assert!((19..=20).contains(&wait), "{wait}");
    })
    .await;
}

#[tokio::test]
async fn every_route_of_images_is_held_to_the_rate() {
    bounded(async {
        let body = image(1);
        let base64 = base64(&body);
        let instances = format!("{{\"instances\": [{{\"b64\": \"{base64}\"}}]}}");
        let oip = "POST /v2/models/first_image/infer HTTP/1.1\r\ninference-header-content-length: 0";
        for (head, body) in [
            (POST, &body[..]),
            ("PUT /classify/a.jpg HTTP/1.1", &body),
            ("POST /invocations HTTP/1.1", &body),
            ("POST /predictions/first HTTP/1.1", &body),
            ("POST /v1/models/first:predict HTTP/1.1", instances.as_bytes()),
            (oip, &body),
        ] {
            let server = Server::with_keys(&[("slow", "'infer'", "rate = 0.1\nburst = 1")]).await;
            let head = format!("{head}\r\nx-api-key: slow");
            assert_eq!(server.ask(&head, body).await.status, 200, "{head}");
            let refused = server.ask(&head, body).await;
            assert_eq!(refused.status, 429, "{head}");
            assert!(refused.header("retry-after").is_some(), "{head}");
        }
    })
    .await;
}

#[tokio::test]
async fn who_is_over_the_rate_is_let_in_again_in_time() {
    bounded(async {
        let server = Server::with_keys(&[("fast", "'infer'", "rate = 20\nburst = 1")]).await;
        let classify = async || server.ask(&format!("{POST}\r\nx-api-key: fast"), image(1)).await.status;
        assert_eq!(classify().await, 200);
        while classify().await != 200 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

#[test]
fn an_access_that_is_shown_tells_no_keys() {
    let counts = convnext_server::metrics::Metrics::new().unwrap().access();
    let access = Access::new(Some(&keys(BOTH)), Policy::default(), counts);
    let shown = format!("{access:?}");
    assert!(!shown.contains("shop") && !shown.contains("digest"), "{shown}");
}
