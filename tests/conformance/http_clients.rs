//! Clients of plain HTTP: curl, Hugging Face's, Python's, ApacheBench, h2load, and a strict reader of HTTP/2. Not here: Triton's protocol.

use std::process::Command;

use crate::server::{LABEL, PHOTO, Server, curl_command, output, script};
use crate::{provisioned, python};

#[test]
fn plain_curl_posts_a_photo_and_reads_labels() {
    let Some(curl) = provisioned("CONVNEXT_TEST_CURL", "/usr/bin/curl") else { return };
    let server = Server::start();
    let answer = output(curl_command(&curl).arg("--data-binary").arg(format!("@{PHOTO}")).arg(server.url("/classify")));
    let answer: serde_json::Value = serde_json::from_str(&answer).unwrap();
    assert_eq!(answer[0]["label"], LABEL);
    assert!(answer[0]["score"].as_f64().unwrap() > 0.5, "{answer}");
    assert_eq!(answer.as_array().unwrap().len(), 5);
}

#[test]
fn hugging_faces_client_classifies_a_photo() {
    let Some(python) = python() else { return };
    let server = Server::start();
    output(&mut script(&python, "hf_client.py", [&*server.url("/classify"), PHOTO, LABEL]));
}

#[test]
fn refusals_reach_requests_urllib_and_httpx_and_a_half_close_gets_its_answer() {
    let Some(python) = python() else { return };
    let server = Server::start();
    output(&mut script(&python, "refusals.py", [&*server.base, PHOTO]));
}

#[test]
fn apache_bench_loses_no_answer_with_and_without_keep_alive() {
    let Some(ab) = provisioned("CONVNEXT_TEST_AB", "target/provision/ab") else { return };
    let server = Server::start();
    for keep_alive in [&[][..], &["-k"]] {
        let options = ["-q", "-n", "120", "-c", "6", "-s", "30", "-T", "image/png", "-p", PHOTO];
        let report = output(Command::new(&ab).args(keep_alive).args(options).arg(server.url("/classify")));
        let line = |name: &str| report.lines().find(|line| line.starts_with(name)).unwrap_or_default().to_owned();
        assert!(line("Complete requests:").ends_with(" 120"), "{report}");
        assert!(line("Failed requests:").ends_with(" 0"), "{report}");
        assert_eq!(line("Non-2xx responses:"), "", "{report}");
    }
}

#[test]
fn h2load_loses_no_answer_on_connections_of_many_streams() {
    let Some(h2load) = provisioned("CONVNEXT_TEST_H2LOAD", "target/provision/h2load") else { return };
    let server = Server::start();
    let options = ["-n", "240", "-c", "4", "-m", "16", "-T", "30", "-d", PHOTO, "-H", "content-type: image/png"];
    let report = output(Command::new(h2load).args(options).arg(server.url("/classify")));
    assert!(
        report.contains("240 total, 240 started, 240 done, 240 succeeded, 0 failed, 0 errored, 0 timeout"),
        "{report}"
    );
    assert!(report.contains("240 2xx, 0 3xx, 0 4xx, 0 5xx"), "{report}");
}

#[test]
fn what_http_2_forbids_ends_the_connection_or_the_stream_as_the_standard_says() {
    let Some(python) = python() else { return };
    let server = Server::start();
    for address in [server.http(), &server.grpc] {
        output(&mut script(&python, "http2.py", [address]));
    }
}
