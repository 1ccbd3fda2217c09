//! `cargo xtask test`: every test, with what the tests need.

use anyhow::Result;

use crate::provision;
use crate::run::{answers, cargo, step};

/// All tests: the command of the README. CI runs `check` before it.
///
/// First fetches what the tests need and this machine lacks: the Fashion-MNIST test images (a Debian package, unpacked under target/, not installed).
/// What cannot be had is named, and its tests are skipped; with CI=true it is a failure.
/// Then all tests with cargo-nextest where it is installed, else with `cargo test`. Those with programs of others are `cargo xtask conformance`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Run only the tests whose names contain one of these words.
    filters: Vec<String>,
}

/// Runs everything.
pub(crate) fn test(options: &Options) -> Result<()> {
    let provisions = provision::for_tests()?;
    let mut runs = if answers(cargo(&["nextest", "--version"])) {
        // nextest leaves out doctests.
        vec![cargo(&["test", "--workspace", "--doc"]), cargo(&["nextest", "run", "--workspace"])]
    } else {
        vec![cargo(&["test", "--workspace", "--no-fail-fast"])]
    };
    for run in &mut runs {
        provisions.give(run);
        step(run.arg("--").args(&options.filters))?;
    }
    provisions.warn();
    Ok(())
}
