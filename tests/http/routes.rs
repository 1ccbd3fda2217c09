//! The other routes, and what every answer has: JSON errors, request ids, HEAD.

use std::time::Duration;

use convnext_server::net;

use super::support::http::{Server, bounded, label, request};
use super::support::mock::{CLASSES, image};

#[tokio::test]
async fn models_are_listed_with_the_default_first() {
    bounded(async {
        let models = Server::start().await.get("/models").await.ok();
        assert_eq!(models.as_array().unwrap().len(), 2);
        let first = models[0].as_object().unwrap();
        assert_eq!((&first["name"], &first["default"], &first["ready"]), (&"first".into(), &true.into(), &true.into()));
        assert_eq!((&first["input"]["height"], &first["input"]["width"]), (&4.into(), &4.into()));
        assert_eq!((&first["classes"], &first["devices"]), (&CLASSES.into(), &serde_json::json!(["mock"])));
        assert_eq!((&first["state"], &first["precision"]), (&"ready".into(), &"f32".into()));
        assert_eq!((&first["family"], &first["origin"]), (&"convnext".into(), &"mock".into()));
        assert!(first["baseline"].is_null());
        for field in ["version", "architecture", "parameters", "macs", "max_batch"] {
            assert!(first.contains_key(field), "{field}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_server_that_is_ready_says_so_by_either_name() {
    bounded(async {
        let server = Server::start().await;
        for path in ["/livez", "/readyz", "/v2/health/live", "/v2/health/ready", "/health", "/healthz", "/ping"] {
            assert_eq!(server.get(path).await.status, 200, "{path}");
        }
    })
    .await;
}

#[tokio::test]
async fn the_probes_of_load_balancers_are_readiness_and_tell_a_drain() {
    bounded(async {
        let options = net::Options { drain_delay: Duration::from_secs(20), ..net::Options::default() };
        let mut server = Server::with_net(options).await;
        server.shut_down();
        while server.get("/readyz").await.status == 200 {}
        for path in ["/health", "/healthz", "/ping", "/v2/health/ready"] {
            assert!(server.get(path).await.error(503).contains("drain"), "{path}");
        }
        assert_eq!(server.get("/livez").await.status, 200);
    })
    .await;
}

#[tokio::test]
async fn a_slash_at_the_end_of_a_path_changes_nothing() {
    bounded(async {
        let server = Server::start().await;
        for path in ["/models", "/metrics", "/livez", "/readyz", "/health", "/v2/health/live"] {
            assert_eq!(server.get(&format!("{path}/")).await.status, 200, "{path}/");
        }
        let answer = server.ask("POST /classify/?top_k=1 HTTP/1.1", image(3)).await.ok();
        assert_eq!(answer[0]["label"], label(3));
        assert!(server.get("/models//").await.error(404).contains("/models//"));
    })
    .await;
}

#[tokio::test]
async fn put_is_post_for_those_who_upload_a_file() {
    bounded(async {
        let server = Server::start().await;
        for path in ["/classify", "/classify/", "/classify/photo.jpg", "/classify?model=second", "/classify/a?detail=0"]
        {
            let answer = server.ask(&format!("PUT {path} HTTP/1.1"), image(2)).await.ok();
            assert_eq!(answer[0]["label"], label(2), "{path}");
        }
        server.ask("POST /classify/photo.jpg HTTP/1.1", image(2)).await.error(405);
    })
    .await;
}

#[tokio::test]
async fn an_unknown_parameter_of_the_query_is_ignored_with_a_warning() {
    bounded(async {
        let server = Server::start().await;
        let answer = server.classify("?topk=1&top_k=2", image(1)).await;
        assert_eq!(answer.ok().as_array().unwrap().len(), 2);
        assert_eq!(answer.header("warning"), Some(r#"199 - "unknown query parameter topk""#));
        let answer = server.classify("?topk=1&a%0d%0ab=", "hello").await;
        answer.error(415);
        assert_eq!(answer.header("warning"), Some(r#"199 - "unknown query parameter topk, query parameter a\r\nb""#));
        assert_eq!(server.classify("?top_k=2", image(1)).await.header("warning"), None);
    })
    .await;
}

#[tokio::test]
async fn the_index_names_the_routes() {
    bounded(async {
        let index = Server::start().await.get("/").await.ok().to_string();
        for path in ["/classify", "/models", "/metrics", "/livez", "/readyz"] {
            assert!(index.contains(path), "{path}");
        }
    })
    .await;
}

#[tokio::test]
async fn metrics_are_prometheus_text() {
    bounded(async {
        let metrics = Server::start().await.get("/metrics").await;
        assert_eq!(metrics.status, 200);
        assert!(metrics.header("content-type").unwrap().starts_with("text/plain; version=0.0.4"));
        assert!(String::from_utf8(metrics.body).unwrap().contains("convnext_model_ready{model=\"first\"} 1"));
    })
    .await;
}

#[tokio::test]
async fn an_unknown_path_is_404_and_a_wrong_method_405_with_allow() {
    bounded(async {
        let server = Server::start().await;
        assert!(server.get("/predict").await.error(404).contains("/predict"));
        let answer = server.get("/classify").await;
        assert!(answer.error(405).contains("GET"));
        assert_eq!(answer.header("allow"), Some("POST,PUT"));
        let answer = server.ask("DELETE /models HTTP/1.1", "").await;
        answer.error(405);
        assert_eq!(answer.header("allow"), Some("GET,HEAD"));
    })
    .await;
}

#[tokio::test]
async fn head_is_get_without_its_body() {
    bounded(async {
        let server = Server::start().await;
        for path in ["/", "/models", "/metrics", "/livez", "/readyz"] {
            let mut client = server.connect().await;
            client.send(request(&format!("HEAD {path} HTTP/1.1"), "")).await;
            assert_eq!(client.head().await.status, 200, "{path}");
            client.send(request("GET /livez HTTP/1.1", "")).await;
            client.answer().await.ok(); // had HEAD a body, it would stand here
        }
    })
    .await;
}

#[tokio::test]
async fn every_answer_carries_the_id_of_its_request() {
    bounded(async {
        let server = Server::start().await;
        for (head, status) in [("GET /livez", 200), ("GET /nope", 404), ("PUT /", 405), ("POST /classify", 400)] {
            let answer = server.ask(&format!("{head} HTTP/1.1\r\nX-Request-Id: abc-1"), "").await;
            assert_eq!((answer.status, answer.header("x-request-id")), (status, Some("abc-1")), "{head}");
        }
        let answer = server.ask("GET / HTTP/1.1\r\nx-request-id: two words", "").await;
        assert_eq!(answer.header("x-request-id").unwrap().len(), 32);
        let answer = server.classify("", image(1)).await;
        assert_eq!(answer.header("x-request-id").unwrap().len(), 32);
    })
    .await;
}
