//! `cargo xtask conformance`: the server against programs that others wrote.

use std::thread;

use anyhow::{Result, anyhow};

use crate::run::{answers, cargo, step};
use crate::{image, provision};

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
    let all = options.filters.is_empty();
    // The image is compiled while the network is waited for: half of what is fetched, or what it takes, is waiting.
    let (provisions, image) = thread::scope(|scope| {
        let image = all.then(|| scope.spawn(image::built));
        let provisions = provision::for_conformance();
        (
            provisions,
            image.map(|image| image.join().unwrap_or_else(|_| Err(anyhow!("the build of the image panicked")))),
        )
    });
    let mut provisions = provisions?;
    if let Some(image) = image {
        provisions.add_image(image)?;
    }
    let has_nextest = answers(cargo(&["nextest", "--version"]));
    let command = || if has_nextest { cargo(&["nextest", "run"]) } else { cargo(&["test", "--no-fail-fast"]) };
    let mut run = command();
    provisions.give(&mut run);
    step(run.args(["--workspace", "--test", "conformance", "--"]).args(&options.filters))?;
    if all {
        let mut slow = command();
        provisions.give(&mut slow);
        step(slow.args(["--workspace", "--test", "engines", "--", "--ignored"]))?;
    }
    provisions.warn();
    Ok(())
}
