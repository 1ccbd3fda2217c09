//! Bodies that are sent compressed.

use std::io::Write as _;

use convnext_server::service::Limits;
use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use serde_json::json;

use super::support::http::{Server, base64, bounded, label};
use super::support::mock::{account, image};
use super::{POST_FORM, form_data};

fn gzip(bytes: impl AsRef<[u8]>) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes.as_ref()).unwrap();
    encoder.finish().unwrap()
}

fn post(coding: &str) -> String {
    format!("POST /classify?top_k=1 HTTP/1.1\r\ncontent-encoding: {coding}")
}

#[tokio::test]
async fn a_compressed_body_of_any_form_is_read() {
    bounded(async {
        let server = Server::start().await;
        assert_eq!(server.ask(&post("gzip"), gzip(image(1))).await.ok()[0]["label"], label(1));
        let json = json!({"inputs": base64(&image(2))}).to_string();
        assert_eq!(server.ask(&post("x-gzip"), gzip(json)).await.ok()[0]["label"], label(2));
        let head = format!("{POST_FORM}\r\ncontent-encoding: gzip");
        assert_eq!(server.ask(&head, gzip(form_data(&[("image", &image(3))]))).await.ok()[0]["label"], label(3));
        let mut zlib = ZlibEncoder::new(Vec::new(), Compression::fast());
        zlib.write_all(&image(4)).unwrap();
        assert_eq!(server.ask(&post("deflate"), zlib.finish().unwrap()).await.ok()[0]["label"], label(4));
        assert_eq!(server.ask(&post("identity"), image(5)).await.ok()[0]["label"], label(5));
    })
    .await;
}

#[tokio::test]
async fn a_body_that_is_large_when_decoded_is_read_whole() {
    bounded(async {
        let server = Server::start().await;
        let json = json!({"padding": " ".repeat(12 << 20), "inputs": base64(&image(2))}).to_string();
        assert_eq!(server.ask(&post("gzip"), gzip(json)).await.ok()[0]["label"], label(2));
    })
    .await;
}

#[tokio::test]
async fn a_bomb_is_413_and_gives_everything_back() {
    bounded(async {
        let limits = Limits { max_body_bytes: 100_000, ..Limits::default() };
        let server = Server::with_limits(limits).await;
        let bomb = gzip(vec![0; 50 << 20]);
        assert!(bomb.len() < 100_000);
        assert!(server.ask(&post("gzip"), &bomb).await.error(413).contains("limit of 100000"));
        assert_eq!(account(&server.classifier), [1, 0, 1, 0, 0], "failed");
        server.classify("", image(1)).await.ok();
    })
    .await;
}

#[tokio::test]
async fn an_unknown_coding_is_415_and_says_which_are_known() {
    bounded(async {
        let server = Server::start().await;
        for coding in ["br", "zstd", "gzip, gzip", "utf-8"] {
            let answer = server.ask(&post(coding), image(1)).await;
            assert!(answer.error(415).contains("gzip and deflate"), "{coding}");
            assert_eq!(answer.header("accept-encoding"), Some("gzip, deflate"));
        }
        assert!(server.ask(&post("gzip"), image(1)).await.error(400).contains("not valid gzip"));
    })
    .await;
}
