//! The access log: one line a request, with its id, also of a request whose client left. Never what a client sent.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod support;

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use convnext_server::auth::{self, Keys};
use serde_json::Value;
use support::http::{Options, Server, bounded, request};
use support::mock::image;
use tracing::subscriber::DefaultGuard;

/// What is logged on this thread, on which everything of such a test runs but for decoding and the device.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn begin() -> (Self, DefaultGuard) {
        let log = Self::default();
        let writer = log.clone();
        let lines = tracing_subscriber::fmt().json().flatten_event(true).with_writer(move || writer.clone());
        let guard = tracing::subscriber::set_default(lines.with_max_level(tracing::Level::TRACE).finish());
        (log, guard)
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    /// The lines of the access log of one request.
    fn of(&self, id: &str) -> Vec<Value> {
        let lines = self.text();
        let lines = lines.lines().map(|line| serde_json::from_str(line).unwrap());
        lines.filter(|line: &Value| line["message"] == "request" && line["span"]["request_id"] == id).collect()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_request_has_one_line_that_says_how_it_went() {
    let (log, _guard) = Log::begin();
    bounded(async {
        let server = Server::start().await;
        let body = image(1);
        let head = "POST /classify?model=second HTTP/1.1\r\nx-request-id: good-1";
        server.ask(head, &body).await.ok();
        let lines = log.of("good-1");
        assert_eq!(lines.len(), 1);
        let line = &lines[0];
        assert_eq!((&line["method"], &line["path"]), (&"POST".into(), &"/classify".into()));
        assert_eq!((&line["status"], &line["model"]), (&200.into(), &"second".into()));
        assert_eq!((&line["bytes"], &line["level"]), (&body.len().into(), &"INFO".into()));
        assert!(line["latency_ms"].as_f64().unwrap() > 0.0);
    })
    .await;
}

#[tokio::test]
async fn what_a_client_sent_is_not_logged() {
    let (log, _guard) = Log::begin();
    bounded(async {
        let server = Server::start().await;
        let head = "POST /classify?top_k=1 HTTP/1.1\r\nx-request-id: bad-1";
        server.ask(head, r#"{"inputs": "private!"}"#).await.error(400);
        let lines = log.of("bad-1");
        assert_eq!((lines.len(), &lines[0]["status"], &lines[0]["model"]), (1, &400.into(), &"first".into()));
        assert!(!log.text().contains("private"), "{}", log.text());
        assert!(!log.text().contains("top_k"), "{}", log.text());
    })
    .await;
}

#[tokio::test]
async fn probes_are_logged_for_those_who_debug() {
    let (log, _guard) = Log::begin();
    bounded(async {
        let server = Server::start().await;
        server.ask("GET /livez HTTP/1.1\r\nx-request-id: probe-1", "").await.ok();
        assert_eq!(log.of("probe-1")[0]["level"], "DEBUG");
        server.ask("GET /nope HTTP/1.1\r\nx-request-id: lost-1", "").await.error(404);
        assert_eq!(log.of("lost-1")[0]["level"], "INFO");
    })
    .await;
}

#[tokio::test]
async fn a_request_whose_client_left_has_its_line_too() {
    let (log, _guard) = Log::begin();
    bounded(async {
        let server = Server::start().await;
        server.engine.hold();
        let mut client = server.connect().await;
        client.send(request("POST /classify HTTP/1.1\r\nx-request-id: gone-1", image(1))).await;
        server.runs().await;
        drop(client);
        server.metric_becomes("convnext_cancelled_total", 1.0).await;
        let lines = log.of("gone-1");
        assert_eq!((lines.len(), &lines[0]["status"]), (1, &"cancelled".into()));
    })
    .await;
}

#[tokio::test]
async fn a_head_that_is_no_http_is_logged_though_nobody_handles_it() {
    let (log, _guard) = Log::begin();
    bounded(async {
        let server = Server::start().await;
        let mut client = server.connect().await;
        client.send("private\r\n\r\n").await;
        client.answer().await.error(400);
        let text = log.text();
        let line = text.lines().find(|line| line.contains("a head was refused")).unwrap();
        assert!(line.contains("400 Bad Request") && line.contains("INFO"), "{line}");
        assert!(!text.contains("private"), "{text}");
    })
    .await;
}

#[tokio::test]
async fn the_name_of_a_key_is_logged_and_the_key_never() {
    let (log, _guard) = Log::begin();
    bounded(async {
        let keys = Keys::parse(
            format!(
                "[[key]]\nname = 'shop'\nscopes = ['infer']\nsha256 = '{}'",
                auth::digest(b"cvn_secret").iter().map(|byte| format!("{byte:02x}")).collect::<String>()
            )
            .as_bytes(),
        );
        let server = Server::start_with(Options { keys: Some(keys.unwrap()), ..Options::default() }).await;
        for (id, header, status) in [
            ("named-1", "x-api-key: cvn_secret", 200),
            ("named-2", "authorization: Bearer cvn_secret", 200),
            ("named-3", "x-api-key: cvn_secret_of_another", 401),
            ("named-4", "authorization: Bearer cvn_secret_of_another", 401),
        ] {
            let head = format!("POST /classify HTTP/1.1\r\nx-request-id: {id}\r\n{header}");
            assert_eq!(server.ask(&head, image(1)).await.status, status, "{id}");
            let lines = log.of(id);
            let key = if status == 200 { Value::from("shop") } else { Value::Null };
            assert_eq!((lines.len(), &lines[0]["status"], &lines[0]["key"]), (1, &status.into(), &key), "{id}");
        }
        server.engine.hold();
        let mut client = server.connect().await;
        client
            .send(request("POST /classify HTTP/1.1\r\nx-request-id: named-5\r\nx-api-key: cvn_secret", image(1)))
            .await;
        server.runs().await;
        drop(client);
        server.metric_becomes("convnext_cancelled_total", 1.0).await;
        assert_eq!(log.of("named-5")[0]["key"], "shop", "also of a client that left");
        let (metrics, _) = server.classifier.scrape().unwrap();
        for text in [log.text(), String::from_utf8(metrics).unwrap()] {
            assert!(!text.contains("secret"), "{text}");
        }
    })
    .await;
}
