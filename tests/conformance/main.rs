//! The real binary against programs that others wrote: clients of each protocol, NVIDIA's load generator, linters, and a signal.
//!
//! `cargo xtask conformance` fetches them and runs this; `cargo xtask test` leaves it out. Not here: the table of routes and errors, which is
//! tested inside the process (`http`, `grpc`).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

#[path = "../http/certificates.rs"]
#[allow(dead_code, reason = "each suite uses a part")]
mod certificates;
mod deploy;
mod docs;
#[path = "../support/emulated.rs"]
#[allow(dead_code, reason = "each suite uses a part")]
mod emulated;
mod grpc_clients;
mod http_clients;
mod hub_library;
mod image;
mod metrics;
mod openapi;
mod page;
mod perf_analyzer;
mod prometheus;
#[path = "../provisioned/mod.rs"]
mod provisioned;
mod rolling;
mod server;
mod systemd;
mod tls;
mod triton;

use provisioned::provisioned;
use server::Server;

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
    let few = ["a_sigterm_ends", "plain_curl", "hugging_faces_client", "promtool_finds", "every_form", "buf_finds"];
    let output = emulated::rerun(&[&["--test-threads=1"], &few[..]].concat(), 80, &[]);
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{told}{}", String::from_utf8_lossy(&output.stderr));
    assert!(told.contains("6 passed"), "{told}");
}

/// The Python that has the clients of `requirements.txt`.
fn python() -> Option<std::path::PathBuf> {
    provisioned("CONVNEXT_TEST_PYTHON", "target/provision/venv/bin/python")
}
