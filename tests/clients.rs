//! The real binary against clients that others wrote: curl, Hugging Face's client, Triton's, promtool, and a signal.
//!
//! Not here: the table of routes and errors, which is tested inside the process (`http`).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

#[path = "support/emulated.rs"]
#[allow(dead_code, reason = "each suite uses a part")]
mod emulated;
mod provisioned;

use std::env;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread;
use std::time::Duration;

use provisioned::provisioned;

const PHOTO: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/models/images/ankle-boot.png");
const LABEL: &str = "Ankle boot";
/// Longer than anything here takes on a busy machine.
const BOUND: Duration = Duration::from_secs(30);

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
    let Some(python) = provisioned("CONVNEXT_TEST_PYTHON", "target/provision/venv/bin/python") else { return };
    let server = Server::start();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/hf_client.py");
    output(Command::new(python).args([script, &server.url("/classify"), PHOTO, LABEL]));
}

#[test]
fn tritons_own_client_is_served_over_http() {
    let Some(python) = provisioned("CONVNEXT_TEST_PYTHON", "target/provision/venv/bin/python") else { return };
    let server = Server::start();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/triton_http.py");
    output(Command::new(python).args([script, &server.base, PHOTO, LABEL]));
}

#[test]
fn tritons_own_client_and_grpcs_are_served_over_grpc() {
    let Some(python) = provisioned("CONVNEXT_TEST_PYTHON", "target/provision/venv/bin/python") else { return };
    let server = Server::start();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/triton_grpc.py");
    output(Command::new(python).args([script, &server.grpc, PHOTO, LABEL]));
}

#[test]
fn tritons_client_and_requests_lose_nothing_as_connections_and_then_the_server_end() {
    let Some(python) = provisioned("CONVNEXT_TEST_PYTHON", "target/provision/venv/bin/python") else { return };
    let server = Server::start_with(&["--max-connection-age", "300ms", "--drain-delay", "2s"]);
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/come_and_go.py");
    let mut command = Command::new(python);
    command.args([script, &server.base, &server.grpc, PHOTO]).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut clients = command.stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(clients.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "under way\n");
    assert_eq!(server.terminate().code(), Some(0), "a drain that cut nothing off");
    let told = clients.wait_with_output().unwrap();
    assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
}

#[test]
fn refusals_reach_requests_urllib_and_httpx_and_a_half_close_gets_its_answer() {
    let Some(python) = provisioned("CONVNEXT_TEST_PYTHON", "target/provision/venv/bin/python") else { return };
    let server = Server::start();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/refusals.py");
    output(Command::new(python).args([script, &server.base, PHOTO]));
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

#[test]
fn a_sigterm_ends_the_server_with_exit_code_0() {
    let server = Server::start();
    assert_eq!(server.terminate().code(), Some(0));
}

/// The tests of few images again, with a server that finds an emulated GPU.
#[test]
fn it_is_the_same_to_clients_that_a_gpu_answers() {
    if emulated::inside() {
        return;
    }
    let skipped = ["--skip", "refusals_", "--skip", "apache_", "--skip", "tritons_"];
    let output = emulated::rerun(&[&["--test-threads=1"], &skipped[..]].concat(), 80, &[]);
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{told}{}", String::from_utf8_lossy(&output.stderr));
    assert!(told.contains("5 passed"), "{told}");
}

/// A served demo model on a port of its own; killed when dropped.
struct Server {
    process: Child,
    /// What it prints. Closed when it ends.
    lines: Receiver<String>,
    base: String,
    /// The address of gRPC.
    grpc: String,
}

impl Server {
    fn start() -> Self {
        Self::start_with(&["--drain-delay", "0s"])
    }

    fn start_with(args: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_convnext"));
        let ports = ["--http-addr", "127.0.0.1:0", "--admin-addr", "127.0.0.1:0", "--grpc-addr", "127.0.0.1:0"];
        command.arg("serve").args(ports).args(args);
        if emulated::inside() {
            // larger buckets and their checks take an emulator minutes
            command.args(["--device", "cuda", "--max-batch", "1"]);
        }
        // The configuration of whoever runs the tests is not the test's.
        env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("CONVNEXT_")).for_each(|(name, _)| {
            command.env_remove(name);
        });
        let mut process = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let stdout = BufReader::new(process.stdout.take().unwrap());
        let (sender, lines) = sync_channel(1_000);
        let reader = thread::Builder::new().name("stdout".to_owned());
        // Reads on to the end, so that the server never waits for us; what we no longer take is let go.
        reader
            .spawn(move || stdout.lines().map_while(Result::ok).for_each(|line| drop(sender.try_send(line))))
            .unwrap();

        let mut server = Self { process, lines, base: String::new(), grpc: String::new() };
        while server.base.is_empty() || server.grpc.is_empty() {
            let line = server.lines.recv_timeout(BOUND).expect("the server says where it listens");
            if let Some(base) = line.strip_prefix("listening on ") {
                base.trim().clone_into(&mut server.base);
            }
            if let Some(address) = line.strip_prefix("grpc on http://") {
                address.trim().clone_into(&mut server.grpc);
            }
        }
        assert!(server.base.starts_with("http://127.0.0.1:"), "{}", server.base);
        server
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// SIGTERM, and the exit that follows.
    fn terminate(mut self) -> ExitStatus {
        let pid = self.process.id().to_string();
        assert!(Command::new("sh").args(["-c", "kill -TERM \"$1\"", "sh", &pid]).status().unwrap().success());
        loop {
            match self.lines.recv_timeout(BOUND) {
                Ok(_) => {}
                Err(RecvTimeoutError::Disconnected) => return self.process.wait().unwrap(),
                Err(RecvTimeoutError::Timeout) => panic!("the server still runs {BOUND:?} after SIGTERM"),
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Fails when it has ended already, which is as good.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// A curl that fails on an error status, and speaks only then.
fn curl_command(curl: &Path) -> Command {
    let mut command = Command::new(curl);
    command.args(["--silent", "--show-error", "--fail-with-body", "--noproxy", "*"]);
    command.arg("--max-time").arg(BOUND.as_secs().to_string());
    command
}

/// What a program that succeeds says.
fn output(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}\n{errors}", output.status);
    String::from_utf8(output.stdout).unwrap()
}
