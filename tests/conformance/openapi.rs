//! schemathesis asks the server for everything that its documents at `/openapi.json` say, and for much that they forbid; no answer is other than they say.
//! Not here: that documents and routers have the same routes (`tests/http`, `tests/admin`).

use std::path::Path;
use std::process::Command;

use crate::provisioned;
use crate::server::{Server, output};

/// Runs the document of a port, which makes so many requests at least.
fn schemathesis(port: &str, least: u32) {
    let Some(program) = provisioned("CONVNEXT_TEST_SCHEMATHESIS", "target/provision/schemathesis/bin/schemathesis")
    else {
        return;
    };
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance");
    let folder = tempfile::tempdir().unwrap(); // it leaves files behind
    let mut command = Command::new(std::path::absolute(program).unwrap());
    command.current_dir(&folder).env("SCHEMATHESIS_HOOKS", here.join("openapi.py"));
    command.arg("--config-file").arg(here.join("openapi.toml"));
    let report = output(command.args(["run", "--no-color"]).arg(format!("{port}/openapi.json")));
    // that nothing was found must not mean that nothing was asked
    let generated = report.lines().find_map(|line| line.trim().strip_suffix(" passed")?.split_once(" generated, "));
    let cases: u32 = generated.and_then(|(count, _)| count.split(' ').next()?.parse().ok()).unwrap_or_default();
    assert!(cases >= least, "{report}");
}

#[test]
fn schemathesis_finds_no_answer_that_the_document_of_http_does_not_have() {
    schemathesis(&Server::start().base, 2_000);
}

#[test]
fn schemathesis_finds_no_answer_that_the_document_of_the_admin_port_does_not_have() {
    schemathesis(&Server::start().admin, 200);
}
