//! A client of gRPC that knows the server by its reflection alone, and KServe's clients. Not here: Triton's own.

use std::path::Path;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::provisioned;
use crate::server::{LABEL, PHOTO, Server, output, script};

#[test]
fn buf_finds_the_service_by_reflection_and_calls_it() {
    let Some(buf) = provisioned("CONVNEXT_TEST_BUF", "target/provision/buf-linux-x64-1.75.0/package/bin/buf") else {
        return;
    };
    let server = Server::start();
    let methods = output(&mut curl(&buf, &["--list-methods", &format!("http://{}", server.grpc)]));
    for method in ["inference.GRPCInferenceService/ModelInfer", "grpc.health.v1.Health/Check"] {
        assert!(methods.lines().any(|line| line == method), "{methods}");
    }
    let call = |method: &str, message: Value| -> Value {
        let url = format!("http://{}/{method}", server.grpc);
        serde_json::from_str(&output(&mut curl(&buf, &["--data", &message.to_string(), &url]))).unwrap()
    };
    let health = call("grpc.health.v1.Health/Check", json!({"service": "convnext_atto"}));
    assert_eq!(health, json!({"status": "SERVING"}));
    let metadata = call("inference.GRPCInferenceService/ModelMetadata", json!({"name": "convnext_atto_image"}));
    assert_eq!(metadata["inputs"], json!([{"name": "image", "datatype": "BYTES", "shape": ["-1", "1"]}]));
    let photo = STANDARD.encode(std::fs::read(PHOTO).unwrap());
    let input =
        json!({"name": "image", "datatype": "BYTES", "shape": ["1", "1"], "contents": {"bytesContents": [photo]}});
    let best = json!({"name": "logits", "parameters": {"classification": {"int64Param": "1"}}});
    let request = json!({"modelName": "convnext_atto_image", "id": "7", "inputs": [input], "outputs": [best]});
    let answer = call("inference.GRPCInferenceService/ModelInfer", request);
    assert_eq!((&answer["id"], &answer["outputs"][0]["datatype"]), (&json!("7"), &json!("BYTES")), "{answer}");
    let told = STANDARD.decode(answer["rawOutputContents"][0].as_str().unwrap()).unwrap();
    let told = String::from_utf8_lossy(&told);
    assert!(told.ends_with(&format!(":{LABEL}")), "{told}");
}

#[test]
fn kserves_clients_of_both_protocols_are_served() {
    let Some(python) = provisioned("CONVNEXT_TEST_KSERVE", "target/provision/kserve/bin/python") else { return };
    let server = Server::start();
    output(&mut script(&python, "kserve_client.py", [&*server.base, &server.grpc, PHOTO, LABEL]));
}

fn curl(buf: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(buf);
    command.args(["curl", "--protocol", "grpc", "--http2-prior-knowledge"]).args(arguments);
    command
}
