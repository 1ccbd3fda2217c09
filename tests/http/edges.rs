//! Each limit at its edge: the last that passes, and the first that does not.
//!
//! Not here: the budgets of all requests together, which stand exactly in `service`, and of a message (`grpc`).

use std::io::Write as _;

use convnext_server::service::Limits;
use flate2::Compression;
use flate2::write::GzEncoder;
use http_body_util::Empty;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::json;
use tokio::net::TcpStream;

use super::support::http::{Options, Server, base64, bounded, head_of, request};
use super::support::mock::image;
use super::{POST, POST_FORM, form_data};

/// Bytes of a head at most.
const HEAD: usize = 64 << 10;

/// Bytes of a head in HTTP/2, which must be fewer.
const HEAD_OF_HTTP_2: usize = 16 << 10;
/// Elements of a tensor of BYTES.
const ELEMENTS: usize = 65_536;

/// JSON for an image, filled up to so many bytes.
fn json_of(bytes: usize) -> String {
    let short = json!({"inputs": base64(&image(2)), "padding": ""}).to_string();
    json!({"inputs": base64(&image(2)), "padding": "x".repeat(bytes - short.len())}).to_string()
}

#[tokio::test]
async fn a_body_may_have_as_many_bytes_as_the_limit_and_not_one_more() {
    bounded(async {
        const MOST: usize = 5000;
        let server = Server::with_limits(Limits { max_body_bytes: MOST as u64, ..Limits::default() }).await;
        for (bytes, status) in [(MOST, 200), (MOST + 1, 413)] {
            let body = json_of(bytes);
            assert_eq!(body.len(), bytes);
            assert_eq!(server.classify("", &body).await.status, status, "{bytes} as declared");
            let mut client = server.connect().await;
            client.send(format!("{POST}\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n")).await;
            client.send(format!("{bytes:x}\r\n{body}\r\n0\r\n\r\n")).await;
            assert_eq!(client.answer().await.status, status, "{bytes} in a chunk");
            let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
            encoder.write_all(body.as_bytes()).unwrap();
            let head = format!("{POST}\r\ncontent-encoding: gzip");
            assert_eq!(server.ask(&head, encoder.finish().unwrap()).await.status, status, "{bytes} decompressed");
        }
    })
    .await;
}

#[tokio::test]
async fn an_image_may_have_as_many_pixels_as_either_limit_and_not_one_more() {
    bounded(async {
        for (most, status) in [(16, 200), (15, 413)] {
            let server = Server::with_limits(Limits { max_image_pixels: most, ..Limits::default() }).await;
            assert_eq!(server.classify("", image(1)).await.status, status, "of an image: {most}");
            let limits = Limits { decoded_pixels: most, max_image_pixels: 16, ..Limits::default() };
            let server = Server::with_limits(limits).await;
            assert_eq!(server.classify("", image(1)).await.status, status, "of all images: {most}");
        }
        let two = form_data(&[("images", &image(1)), ("images", &image(2))]);
        for (most, status) in [(32, 200), (31, 429)] {
            let server = Server::with_limits(Limits { decoded_pixels: most, ..Limits::default() }).await;
            assert_eq!(server.ask(POST_FORM, &two).await.status, status, "of two images: {most}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_request_may_have_as_many_images_as_the_queue_and_not_one_more() {
    bounded(async {
        let server = Server::with_queue(3, Limits::default()).await;
        let body = |count: usize| json!({"inputs": vec![base64(&image(1)); count]}).to_string();
        assert_eq!(server.classify("", body(3)).await.ok().as_array().unwrap().len(), 3);
        server.classify("", body(4)).await.error(413);
    })
    .await;
}

#[tokio::test]
async fn the_last_place_of_the_queue_is_given_and_none_beyond() {
    bounded(async {
        let server = Server::with_queue(2, Limits::default()).await;
        server.engine.hold();
        let (mut first, mut second) = (server.connect().await, server.connect().await);
        first.send(request(POST, image(1))).await;
        server.runs().await;
        second.send(request(POST, image(2))).await;
        server.metric_becomes("convnext_received_total", 2.0).await;
        server.classify("", image(3)).await.error(429);
        server.engine.release();
        first.answer().await.ok();
        second.answer().await.ok();
    })
    .await;
}

#[tokio::test]
async fn top_k_may_be_one_and_not_zero() {
    bounded(async {
        let server = Server::start().await;
        assert_eq!(server.classify("?top_k=1", image(1)).await.ok().as_array().unwrap().len(), 1);
        server.classify("?top_k=0", image(1)).await.error(400);
        server.classify("?deadline_ms=0", image(1)).await.error(400);
    })
    .await;
}

#[tokio::test]
async fn a_head_of_64_kib_is_read_and_one_that_has_not_ended_by_then_refused() {
    bounded(async {
        let server = Server::start().await;
        let (begin, end) = ("GET /livez HTTP/1.1\r\nhost: a\r\nx: ", "\r\n\r\n");
        let mut client = server.connect().await;
        client.send(format!("{begin}{}{end}", "x".repeat(HEAD - begin.len() - end.len()))).await;
        client.answer().await.ok();
        let mut client = server.connect().await;
        client.send(format!("{begin}{}", "x".repeat(HEAD - begin.len()))).await; // and nothing more
        assert!(client.answer().await.error(431).contains("64 KiB"));
    })
    .await;
}

#[tokio::test]
async fn over_http_2_a_head_below_16_kib_is_read_one_of_them_refused_and_one_of_many_more_ends_its_connection() {
    bounded(async {
        let server = Server::start().await;
        let connect = async || {
            let io = TokioIo::new(TcpStream::connect(server.address).await.unwrap());
            let (sender, connection) = http2::handshake(TokioExecutor::new(), io).await.unwrap();
            tokio::spawn(connection);
            sender
        };
        let uri = format!("http://{}/livez", server.address);
        let of = |size: usize| head_of(size, ("GET", &uri), &[], Empty::<bytes::Bytes>::new());
        let mut sender = connect().await;
        // the connection outlives what it refuses
        for (size, status) in [(HEAD_OF_HTTP_2 - 1, 200), (HEAD_OF_HTTP_2, 431), (3 * HEAD_OF_HTTP_2, 431), (1000, 200)]
        {
            assert_eq!(sender.send_request(of(size)).await.unwrap().status(), status, "{size}");
        }
        let error = sender.send_request(of(5 * HEAD_OF_HTTP_2)).await.unwrap_err();
        assert!(!error.is_timeout(), "{error}");
        assert_eq!(connect().await.send_request(of(1000)).await.unwrap().status(), 200);
    })
    .await;
}

#[tokio::test]
async fn a_tensor_of_bytes_may_have_65_536_elements_and_not_one_more() {
    bounded(async {
        let server = Server::start().await;
        let path = "POST /v2/models/first_image/infer HTTP/1.1";
        for (elements, words) in
            [(ELEMENTS, "65536 elements for shape [1, 1]"), (ELEMENTS + 1, "more than 65536 elements")]
        {
            let of = |rest: serde_json::Value| {
                let mut tensor = json!({"name": "image", "datatype": "BYTES", "shape": [1, 1]});
                tensor.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
                json!({"inputs": [tensor]}).to_string()
            };
            let error = server.ask(path, of(json!({"data": vec!["aGk="; elements]}))).await.error(400);
            assert!(error.contains(words), "JSON: {error}");
            // each element of no bytes is its length alone
            let tail = vec![0; 4 * elements];
            let json = of(json!({"parameters": {"binary_data_size": tail.len()}}));
            let head = format!("{path}\r\ninference-header-content-length: {}", json.len());
            let error = server.ask(&head, [json.as_bytes(), &tail].concat()).await.error(400);
            assert!(error.contains(words), "binary: {error}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_hundred_headers_are_read_and_one_more_is_refused() {
    bounded(async {
        let server = Server::start().await;
        for (count, status) in [(100, 200), (101, 431)] {
            let headers: String = (1..count).map(|index| format!("x-{index}: y\r\n")).collect();
            let mut client = server.connect().await;
            client.send(format!("GET /livez HTTP/1.1\r\nhost: a\r\n{headers}\r\n")).await;
            assert_eq!(client.answer().await.status, status, "{count}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_command_of_the_open_inference_protocol_may_have_64_kib() {
    bounded(async {
        let server = Server::start().await;
        for (bytes, status) in [(64 << 10, 200), ((64 << 10) + 1, 400)] {
            let body = format!("{{{}}}", " ".repeat(bytes - 2));
            assert_eq!(server.ask("POST /v2/repository/index HTTP/1.1", body).await.status, status, "{bytes}");
        }
    })
    .await;
}

#[tokio::test]
async fn the_last_connection_is_served_and_the_next_refused() {
    bounded(async {
        let server = Server::start_with(Options { max_connections: 2, ..Options::default() }).await;
        let mut held = Vec::new();
        for _ in 0..2 {
            let mut client = server.connect().await;
            client.send(request("GET /livez HTTP/1.1", "")).await;
            client.answer().await.ok();
            held.push(client);
        }
        let mut next = server.connect().await;
        next.send(request("GET /livez HTTP/1.1", "")).await;
        next.answer().await.error(503);
    })
    .await;
}

#[tokio::test]
async fn nothing_is_fetched_uploaded_or_shared() {
    bounded(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/cat.jpg", listener.local_addr().unwrap());
        let server = Server::start().await;
        for inputs in [json!(url), json!([url]), json!("file:///etc/passwd"), json!("s3://bucket/cat.jpg")] {
            let error = server.classify("", json!({"inputs": inputs}).to_string()).await.error(400);
            assert!(error.contains("not fetched") || error.contains("base64"), "{error}");
        }
        let instances = json!({"instances": [{"b64": url}]}).to_string();
        server.ask("POST /v1/models/first:predict HTTP/1.1", instances).await.error(400);
        server.classify("", &url).await.error(415);
        let fetched = tokio::time::timeout(std::time::Duration::from_millis(50), listener.accept()).await;
        assert!(fetched.is_err(), "nobody came for {url}");
        let load = json!({"parameters": {"config": "{}", "file:1/model.safetensors": "aGk="}}).to_string();
        server.ask("POST /v2/repository/models/first/load HTTP/1.1", load).await.error(403);
        for memory in ["system", "cuda"] {
            let path = format!("POST /v2/{memory}sharedmemory/region/a/register HTTP/1.1");
            assert!(server.ask(&path, r#"{"key": "/a", "byte_size": 1}"#).await.error(400).contains("not served"));
        }
    })
    .await;
}
