//! How requests are counted.

use std::io::Read as _;

use convnext_server::http;
use flate2::read::GzDecoder;

use super::support::http::{Options, Server, bounded};
use super::support::mock::{account, image};

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
        assert_eq!(account(&server.classifier), [3, 2, 1, 0, 0]);
    })
    .await;
}

#[tokio::test]
async fn a_malformed_body_counts_as_failed_and_not_as_cancelled() {
    bounded(async {
        let server = Server::start().await;
        server.classify("", r#"{"inputs": 5}"#).await.error(400);
        assert_eq!(account(&server.classifier), [1, 0, 1, 0, 0]);
    })
    .await;
}

#[tokio::test]
async fn the_metrics_come_as_whoever_scrapes_prefers() {
    bounded(async {
        let http = http::Options { metrics_compat: http::MetricsCompat::Triton, ..http::Options::default() };
        let server = Server::start_with(Options { http, ..Options::default() }).await;
        let plain = server.get("/metrics").await;
        assert_eq!(plain.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
        let text = String::from_utf8(plain.body).unwrap();
        assert!(text.contains("# TYPE nv_inference_count counter\n") && !text.contains("# EOF"), "{text}");

        let head = "GET /metrics HTTP/1.1\r\naccept: application/openmetrics-text;version=1.0.0,text/plain;q=0.5\r\n\
            accept-encoding: gzip";
        let open = server.ask(head, "").await;
        let kind = Some("application/openmetrics-text; version=1.0.0; charset=utf-8");
        assert_eq!((open.header("content-type"), open.header("content-encoding")), (kind, Some("gzip")));
        let mut text = String::new();
        GzDecoder::new(&open.body[..]).read_to_string(&mut text).unwrap();
        assert!(text.contains("# TYPE convnext_received counter\n") && text.ends_with("# EOF\n"), "{text}");
        // a counter there ends in _total: Triton's names stay as they are, and are of no kind
        assert!(text.contains("# TYPE nv_inference_count unknown\n"), "{text}");
        assert!(text.contains("nv_inference_count{model=\"first_image\",version=\"1\"} 0.0\n"), "{text}");
    })
    .await;
}

#[tokio::test]
async fn a_request_whose_trace_is_recorded_is_the_exemplar_of_its_bucket() {
    bounded(async {
        let server = Server::start().await;
        let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
        let head = |traceparent: &str| format!("POST /classify HTTP/1.1\r\ntraceparent: {traceparent}");
        server.ask(&head(&format!("00-{trace}-00f067aa0ba902b7-01")), image(1)).await.ok();
        server.ask(&head("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"), image(1)).await.ok();
        server.ask(&head("no trace"), image(1)).await.ok();
        let open = server.ask("GET /metrics HTTP/1.1\r\naccept: application/openmetrics-text", "").await;
        let text = String::from_utf8(open.body).unwrap();
        let lines: Vec<&str> = text.lines().filter(|line| line.contains(" # {")).collect();
        let [line] = lines[..] else { panic!("{lines:?}") };
        let (sample, exemplar) = line.split_once(" # ").unwrap();
        assert!(
            sample.starts_with("convnext_request_duration_seconds_bucket{model=\"first\",protocol=\"http\",le="),
            "{line}"
        );
        let rest = exemplar.strip_prefix(&format!("{{trace_id=\"{trace}\"}} ")).unwrap();
        let (value, at) = rest.split_once(' ').unwrap();
        let bound: f64 = sample.split("le=\"").nth(1).unwrap().split('"').next().unwrap().parse().unwrap();
        assert!(value.parse::<f64>().unwrap() <= bound, "{line}");
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64();
        assert!((0.0..60.0).contains(&(now - at.parse::<f64>().unwrap())), "{line}");
        // nobody reads them in the text format
        assert!(!String::from_utf8(server.get("/metrics").await.body).unwrap().contains("trace_id"));
    })
    .await;
}
