//! A log that cannot be written: every request is answered all the same, and what is lost is counted.

use std::fs::File;
use std::io;
use std::process::Stdio;

use crate::support::http::{Client, request};
use crate::support::process::Process;

const IMAGE: &[u8] = include_bytes!("../../models/images/bag.png");

/// Asks a server for what is logged, more of it than a pipe holds, and for labels; it must end as it should.
async fn serves_on(stderr: Stdio, lines_are_lost: bool) {
    let server = Process::serve_logging_to(stderr, &["--models", "convnext_atto"]);
    let mut client = Client::to(server.http).await;
    for index in 0..2000 {
        client.send(request("GET /nowhere HTTP/1.1", b"")).await;
        assert_eq!(client.answer().await.status, 404);
        if index % 500 == 0 {
            client.send(request("POST /classify?top_k=1 HTTP/1.1", IMAGE)).await;
            assert_eq!(client.answer().await.ok()[0]["label"], "Bag");
        }
    }
    client.send(request("GET /metrics HTTP/1.1", b"")).await;
    let metrics = String::from_utf8(client.answer().await.body).unwrap();
    let dropped = metrics.lines().find_map(|line| line.strip_prefix("convnext_log_lines_dropped_total "));
    let dropped: u64 = dropped.unwrap_or_else(|| panic!("{metrics}")).parse().unwrap();
    assert_eq!(dropped > 0, lines_are_lost, "{dropped}");
    drop(client);
    assert_eq!(server.terminate(), Some(0));
}

#[tokio::test]
async fn on_a_full_disk() {
    serves_on(File::create("/dev/full").unwrap().into(), true).await;
}

#[tokio::test]
async fn into_a_pipe_whose_reader_has_gone() {
    let (reader, writer) = io::pipe().unwrap();
    drop(reader);
    serves_on(writer.into(), true).await;
}

/// Some lines wait, and the pipe takes some: nothing need be lost.
#[tokio::test]
async fn into_a_pipe_that_nobody_reads() {
    let (reader, writer) = io::pipe().unwrap();
    serves_on(writer.into(), false).await;
    drop(reader);
}
