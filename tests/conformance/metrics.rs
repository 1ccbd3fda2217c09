//! Prometheus' own linter reads /metrics. Not here: what the metrics count (`tests/http`).

use std::io::Write as _;
use std::process::{Command, Stdio};

use crate::provisioned;
use crate::server::{PHOTO, Server, curl_command, output};

#[test]
fn promtool_finds_nothing_to_say_about_the_metrics() {
    let Some(curl) = provisioned("CONVNEXT_TEST_CURL", "/usr/bin/curl") else { return };
    let Some(promtool) = provisioned("CONVNEXT_TEST_PROMTOOL", "/usr/bin/promtool") else { return };
    let server = Server::start();
    // A request of each outcome first, so that every series is there.
    output(curl_command(&curl).arg("--data-binary").arg(format!("@{PHOTO}")).arg(server.url("/classify")));
    let metrics = output(curl_command(&curl).arg(server.url("/metrics")));
    assert!(metrics.contains("convnext_requests_total{"), "{metrics}");

    let mut linter = Command::new(promtool);
    linter.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut linter = linter.spawn().unwrap();
    linter.stdin.take().unwrap().write_all(metrics.as_bytes()).unwrap();
    let verdict = linter.wait_with_output().unwrap();
    let words = String::from_utf8_lossy(&[verdict.stdout, verdict.stderr].concat()).into_owned();
    assert!(verdict.status.success() && words.is_empty(), "{}: {words}", verdict.status);
}
