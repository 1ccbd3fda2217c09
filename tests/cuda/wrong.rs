//! A kernel that computes wrong numbers: no model with it serves, and `verify` names it. The emulated driver spoils what the kernel stores.

use std::collections::BTreeSet;
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::emulated::Driver;

/// Longer than any command here takes on a busy machine.
const BOUND: Duration = Duration::from_secs(60);

/// Runs `convnext` on an emulated card.
fn convnext(driver: &Driver, arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_convnext"));
    command.args(arguments).envs(driver.environment()).env("CUDA_EMULATOR_STRICT", "0");
    let command = command.envs(environment.iter().copied()).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    // a server that should not have started would never end
    let began = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if began.elapsed() > BOUND {
            child.kill().unwrap();
            panic!("{arguments:?} {environment:?} still runs after {BOUND:?}");
        }
        #[expect(clippy::disallowed_methods, reason = "a process of its own, within a bound")]
        thread::sleep(Duration::from_millis(20));
    }
    child.wait_with_output().unwrap()
}

/// The kernels that a model launches for one image.
fn kernels(driver: &Driver, model: &str) -> BTreeSet<String> {
    let folder = tempfile::tempdir().unwrap();
    let report = folder.path().join("report.json");
    let arguments = ["verify", model, "--device", "cuda", "--kernels", "none", "--images", "1"];
    let output = convnext(driver, &arguments, &[("CUDA_EMULATOR_REPORT", report.to_str().unwrap())]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report: serde_json::Value = serde_json::from_slice(&std::fs::read(report).unwrap()).unwrap();
    let launches = report["kernels"].as_array().unwrap();
    launches.iter().map(|launch| launch["kernel"].as_str().unwrap().to_owned()).collect()
}

/// Plants each kernel of a model wrong in turn; the server must end with the self-check's word.
fn none_is_served(model: &str) {
    let driver = Driver::new(80);
    let kernels = kernels(&driver, model);
    assert!(kernels.len() >= 5, "{kernels:?}");
    let ports = ["--http-addr", "127.0.0.1:0", "--admin-addr", "127.0.0.1:0", "--grpc-addr", "127.0.0.1:0"];
    for kernel in kernels {
        let arguments = [&["serve", "--device", "cuda", "--models", model, "--max-batch", "1"], &ports[..]].concat();
        let output = convnext(&driver, &arguments, &[("CUDA_EMULATOR_FAULT", &format!("wrong:{kernel}"))]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{kernel}: {said}");
        assert!(said.contains("self-check") && said.contains("cuda:0"), "{kernel}: {said}");
    }
}

#[test]
fn with_any_kernel_wrong_the_demo_convnext_does_not_serve() {
    none_is_served("convnext_atto");
}

#[test]
fn with_any_kernel_wrong_the_demo_swin_does_not_serve() {
    none_is_served("swin_atto");
}

#[test]
fn verify_names_the_kernel_that_is_wrong() {
    let driver = Driver::new(80);
    let verify = |kernels: &str, fault: &[(&str, &str)]| {
        let arguments = ["verify", "convnext_atto", "--device", "cuda", "--images", "1", "--kernels", kernels];
        let output = convnext(&driver, &arguments, fault);
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let wrong = [("CUDA_EMULATOR_FAULT", "wrong:layer_norm_f16")];
    let (code, said) = verify("layer_norm", &wrong);
    assert!(code == Some(1) && said.contains("kernels are wrong on cuda:0"), "{said}");
    assert!(said.contains("is right"), "{said}");
    let (code, said) = verify("layer_norm,pool", &[]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("kernel layer_norm: ") && !said.contains("kernel attention: "), "{said}");
    let (code, said) = verify("softmax", &[]);
    assert!(code == Some(64) && said.contains("no kernel is called \"softmax\""), "{said}");
}
