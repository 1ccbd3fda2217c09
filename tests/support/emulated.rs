//! Runs tests and servers in processes of their own, whose library path leads to the emulated CUDA driver.
//!
//! Not here: the driver, a crate of the workspace that cargo builds beside the tests.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

/// Set in the process that has the driver.
const INSIDE: &str = "CONVNEXT_TEST_EMULATED";

/// Whether this process has the emulated driver on its library path.
pub(crate) fn inside() -> bool {
    std::env::var_os(INSIDE).is_some()
}

/// The driver where programs find it, with emulated cards.
pub(crate) struct Driver {
    folder: TempDir,
    capability: u32,
    cards: usize,
}

impl Driver {
    /// A card of this compute capability: 75, 80, 86, 89 or 90.
    pub(crate) fn new(capability: u32) -> Self {
        Self::with_cards(1, capability)
    }

    /// So many cards of one compute capability.
    pub(crate) fn with_cards(cards: usize, capability: u32) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        for name in ["libcuda.so", "libcuda.so.1"] {
            std::os::unix::fs::symlink(library(), folder.path().join(name)).expect("a link");
        }
        Self { folder, capability, cards }
    }

    /// What a process needs to find it. It is strict: whatever it finds fails that process.
    pub(crate) fn environment(&self) -> [(&'static str, String); 4] {
        let folder = self.folder.path().display().to_string();
        [
            ("LD_LIBRARY_PATH", folder),
            ("CUDA_EMULATOR_SM", self.capability.to_string()),
            ("CUDA_EMULATOR_DEVICES", self.cards.to_string()),
            ("CUDA_EMULATOR_STRICT", "1".to_owned()),
        ]
    }
}

/// Runs `act` on an emulated card: here, if this process has the driver; else by running the test of this name again in a process that has it.
pub(crate) fn on_card(test: &str, capability: u32, environment: &[(&str, &str)], act: impl FnOnce()) {
    if inside() {
        return act();
    }
    let output = rerun(&[test, "--exact", "--nocapture", "--test-threads=1"], capability, environment);
    let (told, said) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{test} on sm_{capability}: {}\n{told}{said}", output.status);
    assert!(told.contains("1 passed"), "{test} is not the name of this test");
    // shown with --nocapture
    eprintln!("{said}");
}

/// The same where faults are planted, which the driver would report.
pub(crate) fn on_card_with_faults(test: &str, capability: u32, environment: &[(&str, &str)], act: impl FnOnce()) {
    on_card(test, capability, &[environment, &[("CUDA_EMULATOR_STRICT", "0")]].concat(), act);
}

/// Runs this test program again with the driver and these arguments.
pub(crate) fn rerun(arguments: &[&str], capability: u32, environment: &[(&str, &str)]) -> Output {
    let driver = Driver::new(capability);
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command.args(arguments).env(INSIDE, "1").envs(driver.environment());
    command.envs(environment.iter().copied()).output().expect("starts")
}

/// The driver of this build: cargo puts it beside the tests.
fn library() -> PathBuf {
    let test = std::env::current_exe().expect("this program");
    let beside = test.parent().unwrap_or(Path::new(""));
    let folders = [beside, beside.parent().unwrap_or(beside)];
    let found = folders.iter().map(|folder| folder.join("libcuda_emulator.so")).find(|file| file.exists());
    found.unwrap_or_else(|| panic!("no libcuda_emulator.so in {folders:?}"))
}
