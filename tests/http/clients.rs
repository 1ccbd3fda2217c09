//! Clients as they are: they stall, leave, pipeline, shut one side, come in crowds and speak HTTP/2.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use convnext_server::service::Limits;
use futures_util::StreamExt as _;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::Frame;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

use super::POST;
use super::support::http::{Options, Server, bounded, label, request};
use super::support::mock::{CLASSES, account, image};

const CANCELLED: &str = r#"convnext_requests_total{code="cancelled",model="first",protocol="http"}"#;

#[tokio::test]
async fn a_connection_serves_one_request_after_the_other() {
    bounded(async {
        let server = Server::start().await;
        let mut client = server.connect().await;
        for class in 0..3 {
            client.send(request(POST, image(class))).await;
            assert_eq!(client.answer().await.ok()[0]["label"], label(class));
        }
    })
    .await;
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    bounded(async {
        let server = Server::start().await;
        let mut client = server.connect().await;
        client.send((0..4).flat_map(|class| request(POST, image(class))).collect::<Vec<_>>()).await;
        for class in 0..4 {
            assert_eq!(client.answer().await.ok()[0]["label"], label(class));
        }
    })
    .await;
}

#[tokio::test]
async fn a_body_in_chunks_without_a_length_is_read() {
    bounded(async {
        let server = Server::start().await;
        let mut client = server.connect().await;
        client.send("POST /classify HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n").await;
        for chunk in image(4).chunks(20) {
            client.send([format!("{:x}\r\n", chunk.len()).as_bytes(), chunk, b"\r\n"].concat()).await;
        }
        client.send("0\r\n\r\n").await;
        assert_eq!(client.answer().await.ok()[0]["label"], label(4));
    })
    .await;
}

#[tokio::test]
async fn a_client_that_waits_for_100_is_told_to_go_on_or_refused_without_its_body() {
    bounded(async {
        let server = Server::start().await;
        let expect = |query: &str, length: usize| {
            let head = format!("POST /classify{query} HTTP/1.1\r\nhost: a\r\nexpect: 100-continue");
            format!("{head}\r\ncontent-length: {length}\r\n\r\n")
        };
        let body = image(5);
        let mut client = server.connect().await;
        client.send(expect("", body.len())).await;
        assert_eq!(client.answer().await.status, 100);
        client.send(&body).await;
        assert_eq!(client.answer().await.ok()[0]["label"], label(5));

        let mut refused = server.connect().await;
        refused.send(expect("?model=third", body.len())).await;
        let answer = refused.answer().await;
        answer.error(404);
        assert_eq!(answer.header("connection"), Some("close"));
        refused.closed().await;
    })
    .await;
}

#[tokio::test]
async fn a_client_that_sends_it_all_before_it_reads_sees_its_refusal() {
    bounded(async {
        let server = Server::start().await;
        // more than all buffers of a socket, so that sending it needs somebody who reads
        let body = vec![0; 14 << 20];
        for head in ["POST /classify?model=third HTTP/1.1", "POST /nope HTTP/1.1", "DELETE /classify HTTP/1.1"] {
            let mut client = server.connect().await;
            client.send(request(head, &body)).await;
            let answer = client.answer().await;
            assert!([404, 405].contains(&answer.status), "{answer:?}");
            assert_eq!(answer.header("connection"), Some("close"), "{head}");
            client.closed().await;
        }
        // beyond the limit of a body too
        let limit = server.classifier.limits().max_body_bytes as usize;
        let mut client = server.connect().await;
        client.send(request(POST, vec![0; 2 * limit])).await;
        client.answer().await.error(413);
        client.closed().await;
    })
    .await;
}

#[tokio::test]
async fn a_client_that_leaves_while_the_device_works_is_cancelled_and_leaves_the_queue() {
    bounded(async {
        let server = Server::with_queue(1, Limits::default()).await;
        server.engine.hold();
        let mut client = server.connect().await;
        client.send(request(POST, image(1))).await;
        server.runs().await;
        drop(client);
        server.metric_becomes(CANCELLED, 1.0).await;
        assert_eq!(server.metric("convnext_cancelled_total"), 1.0);
        server.engine.release();
        server.classify("", image(2)).await.ok(); // the queue has room again
    })
    .await;
}

#[tokio::test]
async fn a_client_that_only_ends_what_it_sends_gets_its_answer_however_long_that_takes() {
    bounded(async {
        let server = Server::start().await;
        server.engine.hold();
        let mut client = server.connect().await;
        client.send(request(POST, image(1))).await;
        server.runs().await;
        client.half_close().await;
        assert_eq!(client.answer().await.status, 100, "whether it is there is asked by an answer that it skips");
        server.engine.release();
        assert_eq!(client.answer().await.ok()[0]["label"], label(1));
        client.closed().await;
        assert_eq!(server.metric(CANCELLED), 0.0);
    })
    .await;
}

#[tokio::test]
async fn an_answer_comes_after_every_half_close() {
    bounded(async {
        let server = Server::start().await;
        for round in 0..60 {
            for head in ["GET /livez HTTP/1.0", "GET /readyz HTTP/1.1", "GET /metrics HTTP/1.0"] {
                let mut client = server.connect().await;
                client.send(request(head, "")).await;
                client.half_close().await;
                assert_eq!(client.answer().await.status, 200, "{head}, round {round}");
                client.closed().await;
            }
            let mut client = server.connect().await;
            let sent = request("POST /classify HTTP/1.0", image(round % CLASSES));
            let (start, rest) = sent.split_at(sent.len() * round / 60);
            client.send(start).await;
            tokio::task::yield_now().await;
            client.send(rest).await;
            client.half_close().await;
            assert_eq!(client.answer().await.ok()[0]["label"], label(round % CLASSES), "round {round}");
            client.closed().await;
        }
        assert_eq!(server.metric(CANCELLED), 0.0);
    })
    .await;
}

#[tokio::test]
async fn a_refusal_comes_after_every_half_close_too() {
    bounded(async {
        let limits = Limits { max_body_bytes: 200_000, ..Limits::default() };
        let server = Server::with_limits(limits).await;
        for round in 0..60 {
            for (head, status) in [
                ("POST /nope HTTP/1.1", 404),
                ("POST /classify?model=third HTTP/1.0", 404),
                ("POST /classify?top_k=0 HTTP/1.1", 400),
                ("POST /classify HTTP/1.1", 413),
            ] {
                let mut client = server.connect().await;
                client.send(request(head, vec![0; 300_000])).await;
                client.half_close().await;
                let answer = client.answer().await;
                assert_eq!(answer.status, status, "{head}, round {round}");
                answer.error(status);
                client.closed().await;
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_half_close_within_a_body_is_its_breaking_off() {
    bounded(async {
        let server = Server::start().await;
        let mut client = server.connect().await;
        client.send("POST /classify HTTP/1.1\r\nhost: a\r\ncontent-length: 1500\r\n\r\nstart").await;
        client.half_close().await;
        server.metric_becomes(CANCELLED, 1.0).await;
    })
    .await;
}

#[tokio::test]
async fn a_client_that_leaves_within_its_body_is_cancelled_and_gives_its_bytes_back() {
    bounded(async {
        let limits = Limits { body_bytes: 1500, ..Limits::default() };
        let server = Server::with_limits(limits).await;
        let mut client = server.connect().await;
        client.send("POST /classify HTTP/1.1\r\nhost: a\r\ncontent-length: 1500\r\n\r\n").await;
        client.send([b'x'; 1499]).await;
        // once they have arrived, the budget has one byte left
        let body = image(1);
        while server.classify("", &body).await.status != 429 {}
        drop(client);
        server.metric_becomes(CANCELLED, 1.0).await;
        assert_eq!(account(&server.classifier)[4], 1);
        server.classify("", &body).await.ok();
    })
    .await;
}

#[tokio::test]
async fn uploads_that_stall_hold_what_they_have_sent_and_not_what_they_declared() {
    bounded(async {
        let server = Server::start().await;
        let Limits { max_body_bytes, body_bytes, .. } = *server.classifier.limits();
        let mut stalled = Vec::new();
        // together they declare the whole budget
        for _ in 0..body_bytes / max_body_bytes {
            let mut client = server.connect().await;
            let head = "POST /classify HTTP/1.1\r\nhost: a\r\nexpect: 100-continue";
            client.send(format!("{head}\r\ncontent-length: {max_body_bytes}\r\n\r\n")).await;
            assert_eq!(client.answer().await.status, 100, "admitted, and its body is being read");
            stalled.push(client);
        }
        assert_eq!(stalled.len(), 16);
        assert_eq!(server.classify("", image(4)).await.ok()[0]["label"], label(4));
        for client in &mut stalled {
            client.send([b'x'; 10]).await;
        }
        assert_eq!(server.classify("", image(5)).await.ok()[0]["label"], label(5));
    })
    .await;
}

#[tokio::test]
async fn connections_over_the_cap_are_told_so_and_closed() {
    bounded(async {
        let server = Server::start_with(Options { max_connections: 1, ..Options::default() }).await;
        let mut first = server.connect().await;
        first.send(request("GET /livez HTTP/1.1", "")).await;
        first.answer().await.ok();
        let mut second = server.connect().await;
        let answer = second.answer().await; // without having asked
        assert!(answer.error(503).contains("connections"));
        assert_eq!((answer.header("connection"), answer.header("retry-after")), (Some("close"), Some("1")));
        second.closed().await;
        assert_eq!(server.metric(r#"convnext_rejected_total{reason="connections"}"#), 1.0);
        first.send(request("GET /livez HTTP/1.1", "")).await;
        first.answer().await.ok();
    })
    .await;
}

#[tokio::test]
async fn http2_with_prior_knowledge_is_spoken() {
    bounded(async {
        let server = Server::start().await;
        let stream = TcpStream::connect(server.address).await.unwrap();
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let uri = format!("http://{}/classify?top_k=1", server.address);
        let mut asked = Vec::new();
        for class in 0..CLASSES {
            let request = hyper::Request::post(&uri).body(Full::new(image(class))).unwrap();
            asked.push(sender.send_request(request));
        }
        for (class, answer) in (0..CLASSES).zip(asked) {
            let answer = answer.await.unwrap();
            assert_eq!(answer.status(), 200);
            assert!(!answer.headers().contains_key("connection"), "HTTP/2 has no such header");
            let body = answer.into_body().collect().await.unwrap().to_bytes();
            let labels: serde_json::Value = serde_json::from_slice(&body).unwrap();
            assert_eq!(labels[0]["label"], label(class));
        }
        // refused before its body is read; the connection lives on
        let refused = hyper::Request::post(format!("http://{}/nope", server.address));
        let refused = refused.body(Full::new(bytes::Bytes::from(vec![0; 100_000]))).unwrap();
        assert_eq!(sender.send_request(refused).await.unwrap().status(), 404);
        let live = hyper::Request::get(format!("http://{}/livez", server.address)).body(Full::default()).unwrap();
        assert_eq!(sender.send_request(live).await.unwrap().status(), 200);
    })
    .await;
}

#[tokio::test]
async fn a_refused_stream_of_http2_is_read_to_its_end_and_not_reset() {
    bounded(async {
        const CHUNKS: usize = 200;
        let server = Server::start().await;
        let stream = TcpStream::connect(server.address).await.unwrap();
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        for (path, status) in
            [("nope", 404), ("classify?model=third", 404), ("classify?top_k=0", 400), ("classify", 413)]
        {
            let sent = Arc::new(AtomicUsize::new(0));
            let counted = Arc::clone(&sent);
            let chunks = futures_util::stream::iter(0..CHUNKS).map(move |_| {
                counted.fetch_add(1, Ordering::Relaxed);
                Ok::<_, std::io::Error>(Frame::data(bytes::Bytes::from(vec![0; 100_000])))
            });
            let request = hyper::Request::post(format!("http://{}/{path}", server.address));
            let answer = sender.send_request(request.body(StreamBody::new(chunks)).unwrap()).await.unwrap();
            assert_eq!(answer.status(), status, "{path}");
            let body = answer.into_body().collect().await.unwrap().to_bytes();
            assert!(body.starts_with(b"{\"error\":"), "{body:?}");
            // a stream that is reset takes no more
            while sent.load(Ordering::Relaxed) < CHUNKS {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_head_that_is_no_http_is_refused_in_json_like_everything_else() {
    bounded(async {
        let server = Server::start().await;
        let large = format!("GET /livez HTTP/1.1\r\nhost: a\r\ncookie: {}\r\n\r\n", "x".repeat(200_000));
        let long = format!("GET /{} HTTP/1.1\r\nhost: a\r\n\r\n", "x".repeat(70_000));
        // how much of a long path comes at a time decides which of the two it gets
        for (sent, status) in [("\x16\x03\x01 hello\r\n\r\n", &[400][..]), (&large, &[431]), (&long, &[414, 431])] {
            for after_another in [false, true] {
                let mut client = server.connect().await;
                if after_another {
                    client.send(request("GET /livez HTTP/1.1", "")).await;
                    client.answer().await.ok();
                }
                client.send(sent).await;
                let answer = client.answer().await;
                assert!(status.contains(&answer.status), "{answer:?}");
                answer.error(answer.status);
                assert_eq!(answer.header("connection"), Some("close"));
                client.closed().await;
            }
        }
    })
    .await;
}
