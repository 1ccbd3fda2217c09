//! `cargo xtask conformance`: the server against programs that others wrote.

use anyhow::Result;

use crate::provision;
use crate::run::{answers, cargo, step};

/// The server against programs that others wrote: clients, load generators, linters, a browser; and golden cases on other emulated GPUs, which are slow.
/// CI runs it behind `test`.
///
/// First fetches them: ApacheBench, h2load, HAProxy and Prometheus (Debian packages, unpacked under target/, not installed), curl, Node and Chromium (installed, which
/// only root can), buf, axe and types of Kubernetes (npm's registry), systemd, and Python environments with Hugging Face's, Triton's and KServe's clients,
/// requests, httpx, Selenium, schemathesis, NVIDIA's perf_analyzer, Helm, kubectl and Docker Compose; about 650 MB. Builds the container image too (`cargo xtask image`). What
/// cannot be had is named, and its tests are skipped; with CI=true it is a failure.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Run only the tests whose names contain one of these words.
    filters: Vec<String>,
}

/// Runs the suite, which is built as the tests are, from the same parts; then what `test` leaves out because it is slow.
pub(crate) fn conformance(options: &Options) -> Result<()> {
    let mut provisions = provision::for_conformance()?;
    if options.filters.is_empty() {
        provisions.add_image()?;
    }
    let has_nextest = answers(cargo(&["nextest", "--version"]));
    let command = || if has_nextest { cargo(&["nextest", "run"]) } else { cargo(&["test", "--no-fail-fast"]) };
    let mut run = command();
    provisions.give(&mut run);
    step(run.args(["--workspace", "--test", "conformance", "--"]).args(&options.filters))?;
    if options.filters.is_empty() {
        let mut slow = command();
        provisions.give(&mut slow);
        step(slow.args(["--workspace", "--test", "engines", "--", "--ignored"]))?;
    }
    provisions.warn();
    Ok(())
}
