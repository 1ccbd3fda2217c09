//! `deploy/` by the programs that use it: Helm, kubectl, Docker Compose, KServe's types and clients, a real Prometheus; and the real server by what they
//! configure. Not here: systemd (`systemd`), the rules and the dashboard themselves (`prometheus`).

use std::path::Path;

use crate::provisioned;
use crate::server::{LABEL, PHOTO, output, script};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const BINARY: &str = env!("CARGO_BIN_EXE_convnext");

#[test]
fn every_variant_of_helm_kustomize_and_compose_is_valid_and_the_server_takes_its_configuration() {
    let Some(python) = provisioned("CONVNEXT_TEST_DEPLOY", "target/provision/deploy/bin/python") else { return };
    let Some(node) = provisioned("CONVNEXT_TEST_NODE", "/usr/bin/node") else { return };
    let Some(models) = provisioned("CONVNEXT_TEST_KUBERNETES_MODELS", "never there") else { return };
    let rendered = tempfile::tempdir().unwrap();
    let packages = std::env::split_paths(models.as_os_str());
    output(script(&python, "deploy.py", [Path::new(ROOT), rendered.path(), &node]).args(packages));
    output(&mut script(&python, "deploy_serve.py", [Path::new(ROOT), rendered.path(), Path::new(BINARY)]));
}

#[test]
fn composes_prometheus_sees_the_server_and_what_scales_it_tells_the_time_in_the_queue() {
    let Some(python) = provisioned("CONVNEXT_TEST_DEPLOY", "target/provision/deploy/bin/python") else { return };
    let Some(prometheus) = provisioned("CONVNEXT_TEST_PROMETHEUS", "/usr/bin/prometheus") else { return };
    let arguments = [Path::new(ROOT), Path::new(BINARY), &prometheus, Path::new(PHOTO)];
    output(&mut script(&python, "deploy_compose.py", arguments));
}

#[test]
fn the_container_of_each_kserve_runtime_does_what_kserve_expects() {
    let Some(python) = provisioned("CONVNEXT_TEST_KSERVE", "target/provision/kserve/bin/python") else { return };
    output(&mut script(&python, "kserve_runtime.py", [ROOT, BINARY, PHOTO, LABEL]));
}
