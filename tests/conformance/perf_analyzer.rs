//! NVIDIA's perf_analyzer loads the server, and counts what the server counts. Not here: how fast anything is.

use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::provisioned;
use crate::server::{PHOTO, Server, curl_command, output};

/// Clients at a time: 1, 22, 43 and 64.
const CLIENTS: &str = "1:64:21";

#[test]
fn perf_analyzer_at_1_to_64_clients_counts_over_http_what_we_count() {
    agrees("http", &[]);
}

#[test]
fn perf_analyzer_at_1_to_64_clients_counts_over_grpc_what_we_count() {
    agrees("grpc", &[]);
}

#[test]
fn perf_analyzer_streams_and_compresses_over_grpc() {
    agrees("grpc", &["--streaming", "--async"]);
    agrees("grpc", &["--grpc-compression-algorithm", "gzip"]);
}

#[test]
fn perf_analyzer_sends_tensors_and_takes_answers_in_json() {
    agrees("http", &["--input-tensor-format", "json", "--output-tensor-format", "json"]);
}

#[test]
fn perf_analyzer_sends_image_files_in_batches_and_to_torchserves_route() {
    let Some(tools) = Tools::find() else { return };
    let server = Server::start();
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, rows: Value| {
        let path = folder.path().join(name);
        std::fs::write(&path, json!({ "data": rows }).to_string()).unwrap();
        path.display().to_string()
    };
    let photo = std::fs::read(PHOTO).unwrap();
    // it sends such bytes as they are: an element's length is theirs to write
    let photo = STANDARD.encode([&u32::try_from(photo.len()).unwrap().to_le_bytes(), &*photo].concat());
    let files = write("files.json", json!([{"image": {"content": {"b64": photo}, "shape": [1]}}]));
    for protocol in ["http", "grpc"] {
        let levels = tools.load(&server, "convnext_atto_image", protocol, &["--input-data", &files, "-b", "3"], "8");
        assert!(levels[0].inferences >= 3 * levels[0].succeeded && levels[0].succeeded > 0, "{levels:?}");
    }
    let photos = write("photos.json", json!([{"TORCHSERVE_INPUT": [PHOTO]}]));
    let before = tools.answered(&server, "http");
    let of_torchserve = ["--service-kind", "torchserve", "--input-data", &photos];
    let levels = tools.load(&server, "convnext_atto", "http", &of_torchserve, "8");
    // its client of TorchServe asks nothing of the server but predictions
    assert!(levels[0].requests >= 100 && tools.answered(&server, "http") - before >= levels[0].requests, "{levels:?}");
}

/// Loads a server with 1 to 64 clients, and compares the counts of all levels.
fn agrees(protocol: &str, options: &[&str]) {
    let Some(tools) = Tools::find() else { return };
    let server = Server::start();
    let options = [&["--input-data", "zero"], options].concat();
    let levels = tools.load(&server, "convnext_atto", protocol, &options, CLIENTS);
    let clients: Vec<u64> = levels.iter().map(|level| level.clients).collect();
    assert_eq!(clients, [1, 22, 43, 64]);
    for level in &levels {
        // a request at either edge of a window may be counted on one side only
        let edges = 2 * level.clients;
        assert!(level.requests >= 100 && level.requests.abs_diff(level.succeeded) <= edges, "{level:?}");
        let executed = level.executions <= level.inferences + edges;
        assert!(level.inferences == level.succeeded && executed, "{level:?}");
    }
    // what it read of the statistics, level by level, is a part of what they say in the end
    let stats: Value = tools.get(&server, "/v2/models/convnext_atto/stats");
    let counted = &stats["model_stats"][0];
    let succeeded = counted["inference_stats"]["success"]["count"].as_u64().unwrap();
    assert!(levels.iter().map(|level| level.succeeded).sum::<u64>() <= succeeded, "{counted}");
    assert_eq!(counted["inference_count"], succeeded, "{counted}");
    assert_eq!(counted["inference_stats"]["fail"]["count"], 0, "{counted}");
    let spent = counted["inference_stats"]["compute_infer"]["ns"].as_u64().unwrap();
    let read: u64 = levels.iter().map(|level| level.succeeded * level.compute_us * 1_000).sum();
    assert!(0 < read && read <= spent, "{read} ns of {spent} ns");
    // and our metrics say the same as the statistics
    assert_eq!(tools.answered(&server, protocol), succeeded);
}

/// What perf_analyzer says of one number of clients.
#[derive(Debug, Default)]
struct Level {
    clients: u64,
    /// As its clients count them.
    requests: u64,
    /// As it read them from the server's statistics.
    succeeded: u64,
    inferences: u64,
    executions: u64,
    /// Of one request on the device, µs.
    compute_us: u64,
}

struct Tools {
    perf_analyzer: std::path::PathBuf,
    curl: std::path::PathBuf,
}

impl Tools {
    fn find() -> Option<Self> {
        let perf_analyzer = provisioned("CONVNEXT_TEST_PERF_ANALYZER", "target/provision/perf_analyzer")?;
        Some(Self { perf_analyzer, curl: provisioned("CONVNEXT_TEST_CURL", "/usr/bin/curl")? })
    }

    /// Windows of 100 requests and more, three for each number of clients, however they differ.
    fn load(&self, server: &Server, model: &str, protocol: &str, options: &[&str], clients: &str) -> Vec<Level> {
        let address = if protocol == "grpc" { &server.grpc } else { server.http() };
        let windows = ["--measurement-mode", "count_windows", "--measurement-request-count", "100", "-p", "300"];
        let stable = ["-r", "3", "-s", "999", "-v", "--concurrency-range", clients];
        let mut command = Command::new(&self.perf_analyzer);
        command.args(["-m", model, "-u", address, "-i", protocol]).args(windows).args(stable).args(options);
        levels(&output(&mut command))
    }

    fn get(&self, server: &Server, path: &str) -> Value {
        serde_json::from_str(&output(curl_command(&self.curl).arg(server.url(path)))).unwrap()
    }

    /// Requests to the model that `/metrics` says were answered.
    fn answered(&self, server: &Server, protocol: &str) -> u64 {
        let metrics = output(curl_command(&self.curl).arg(server.url("/metrics")));
        let code = if protocol == "grpc" { "OK" } else { "200" };
        let series =
            format!("convnext_requests_total{{code=\"{code}\",model=\"convnext_atto\",protocol=\"{protocol}\"}} ");
        let value = metrics.lines().find_map(|line| line.strip_prefix(&series));
        value.map_or(0, |value| value.parse().unwrap())
    }
}

/// The levels of a verbose report.
fn levels(report: &str) -> Vec<Level> {
    let mut levels: Vec<Level> = Vec::new();
    for line in report.lines().map(str::trim) {
        let Some((name, value)) = line.split_once(": ") else { continue };
        let number = || value.parse().unwrap_or_else(|_| panic!("{line}"));
        if name == "Request concurrency" {
            levels.push(Level { clients: number(), ..Level::default() });
        }
        let Some(level) = levels.last_mut() else { continue };
        match name {
            "Request count" => level.requests = number(),
            "Successful request count" => level.succeeded = number(),
            "Inference count" => level.inferences = number(),
            "Execution count" => level.executions = number(),
            "Avg request latency" => {
                let (_, after) = value.split_once("compute infer ").unwrap_or_else(|| panic!("{line}"));
                level.compute_us = after.split_whitespace().next().unwrap_or_default().parse().unwrap();
            }
            _ => {}
        }
    }
    levels
}
