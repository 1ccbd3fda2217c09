//! NVIDIA's `tritonclient` over HTTP and gRPC, and a golden case in every form that a request can have. Not here: NVIDIA's load generator.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::Stdio;

use crate::server::{LABEL, PHOTO, Server, output, script};
use crate::{emulated, python};

#[test]
fn tritons_own_client_is_served_over_http() {
    let Some(python) = python() else { return };
    let server = Server::start();
    output(&mut script(&python, "triton_http.py", [&*server.base, PHOTO, LABEL]));
}

#[test]
fn tritons_own_client_and_grpcs_are_served_over_grpc() {
    let Some(python) = python() else { return };
    let server = Server::start();
    output(&mut script(&python, "triton_grpc.py", [&*server.grpc, PHOTO, LABEL]));
}

#[test]
fn tritons_client_and_requests_lose_nothing_as_connections_and_then_the_server_end() {
    let Some(python) = python() else { return };
    let server = Server::start_with(&["--max-connection-age", "300ms", "--drain-delay", "2s"]);
    let mut command = script(&python, "come_and_go.py", [&*server.base, &server.grpc, PHOTO]);
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    let mut clients = command.stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(clients.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "under way\n");
    assert_eq!(server.terminate().code(), Some(0), "a drain that cut nothing off");
    let told = clients.wait_with_output().unwrap();
    assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
}

#[test]
fn every_form_of_a_golden_case_has_the_same_logits_bit_for_bit() {
    let Some(python) = python() else { return };
    let case = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/timm-convnext");
    let model = format!("golden={}", case.display());
    let server = Server::start_with(&["--models", &model, "--precision", "f32"]);
    let device = if emulated::inside() { "gpu" } else { "cpu" };
    output(&mut script(&python, "forms.py", [&*server.base, &server.grpc, &case.display().to_string(), device]));
}
