//! Runs a test again in a process of its own, whose library path leads to the emulated CUDA driver.
//!
//! Not here: the driver, a crate of the workspace that cargo builds beside the tests.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Set in the process that has the driver.
const INSIDE: &str = "CONVNEXT_TEST_EMULATED";

/// Whether this process has the emulated driver on its library path.
pub(crate) fn inside() -> bool {
    std::env::var_os(INSIDE).is_some()
}

/// Runs `act` on an emulated card of this compute capability: here, if this process has the driver; else by running the test of this name again
/// in a process that has it. The driver is strict: whatever it finds fails that process.
pub(crate) fn on_card(test: &str, capability: u32, environment: &[(&str, &str)], act: impl FnOnce()) {
    if inside() {
        return act();
    }
    let output = rerun(&[test, "--exact", "--nocapture", "--test-threads=1"], capability, environment);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{test} on sm_{capability}: {}\n{}{said}",
        output.status,
        String::from_utf8_lossy(&output.stdout)
    );
    assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"), "{test} is not the name of this test");
}

/// Runs this test program again with the driver and these arguments.
pub(crate) fn rerun(arguments: &[&str], capability: u32, environment: &[(&str, &str)]) -> std::process::Output {
    let folder = tempfile::tempdir().expect("a folder");
    std::os::unix::fs::symlink(library(), folder.path().join("libcuda.so")).expect("a link");
    std::os::unix::fs::symlink(library(), folder.path().join("libcuda.so.1")).expect("a link");
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command.args(arguments).env(INSIDE, "1").env("LD_LIBRARY_PATH", folder.path());
    command.env("CUDA_EMULATOR_SM", capability.to_string()).env("CUDA_EMULATOR_STRICT", "1");
    command.envs(environment.iter().copied()).output().expect("starts")
}

/// The driver of this build: cargo puts it beside the tests.
pub(crate) fn library() -> PathBuf {
    let test = std::env::current_exe().expect("this program");
    let folders =
        [test.parent().unwrap_or(Path::new("")), test.parent().and_then(Path::parent).unwrap_or(Path::new(""))];
    let found = folders.iter().map(|folder| folder.join("libcuda_emulator.so")).find(|file| file.exists());
    found.unwrap_or_else(|| panic!("no libcuda_emulator.so in {folders:?}"))
}
