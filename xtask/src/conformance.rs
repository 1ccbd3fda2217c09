//! `cargo xtask conformance`: the server against programs that others wrote.

use anyhow::Result;

use crate::provision;
use crate::run::{answers, cargo, step};

/// The server against programs that others wrote: clients, load generators, linters. CI runs it behind `test`.
///
/// First fetches them: curl, ApacheBench, h2load and promtool (Debian packages, unpacked under target/, not installed), buf (npm's registry), and Python
/// environments with Hugging Face's, Triton's and KServe's clients, requests, httpx and NVIDIA's perf_analyzer; about 300 MB. What cannot be had is
/// named, and its tests are skipped; with CI=true it is a failure.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Run only the tests whose names contain one of these words.
    filters: Vec<String>,
}

/// Runs the suite, which is built as the tests are, from the same parts.
pub(crate) fn conformance(options: &Options) -> Result<()> {
    let provisions = provision::for_conformance()?;
    let suite = ["--workspace", "--test", "conformance"];
    let mut run = if answers(cargo(&["nextest", "--version"])) {
        cargo(&["nextest", "run"])
    } else {
        cargo(&["test", "--no-fail-fast"])
    };
    provisions.give(&mut run);
    step(run.args(suite).arg("--").args(&options.filters))?;
    provisions.warn();
    Ok(())
}
