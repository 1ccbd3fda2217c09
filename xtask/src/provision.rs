//! What the tests and `kernels` need from outside: found on this machine, or fetched into `target/provision`.
//!
//! Nothing is installed into the system but curl and Python, and those only as root and only when they are missing.
//! Not here: what becomes of a test whose need is not met (`tests/provisioned`).

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::run::{answers, command, in_ci, on_path, root, step, target};

/// What was found or fetched, and what was not.
#[derive(Default)]
pub(crate) struct Provisions {
    /// Variables by which the tests find it.
    pub(crate) environment: Vec<(&'static str, PathBuf)>,
    missing: Vec<String>,
}

/// Finds or fetches everything.
///
/// # Errors
/// In CI, when something cannot be had.
pub(crate) fn all() -> Result<Provisions> {
    let mut provisions = Provisions::default();
    provisions.add("CONVNEXT_TEST_FASHION_MNIST", "accuracy of the demo model on Fashion-MNIST", fashion_mnist());
    provisions.add("CONVNEXT_TEST_CURL", "plain curl as a client", program("curl", "curl"));
    provisions.add("CONVNEXT_TEST_PYTHON", "huggingface_hub, tritonclient, requests and httpx as clients", python());
    provisions.add("CONVNEXT_TEST_AB", "ApacheBench as a client", apache_bench());
    provisions.add("CONVNEXT_TEST_PROMTOOL", "promtool's judgement of /metrics", promtool());
    provisions.warn();
    if in_ci() && !provisions.missing.is_empty() {
        bail!("CI skips no test, and what they need could not be had (see above)");
    }
    Ok(provisions)
}

impl Provisions {
    fn add(&mut self, variable: &'static str, covers: &str, found: Result<PathBuf>) {
        match found {
            Ok(path) => self.environment.push((variable, path)),
            Err(why) => self.missing.push(format!("NOT COVERED: {covers}: {why:#}")),
        }
    }

    /// Says loudly what is not covered.
    pub(crate) fn warn(&self) {
        for missing in &self.missing {
            eprintln!("\n{missing}");
        }
    }
}

/// The folder of Fashion-MNIST's four files.
fn fashion_mnist() -> Result<PathBuf> {
    const FOLDER: &str = "usr/share/datasets/fashion-mnist";
    let installed = Path::new("/").join(FOLDER);
    if installed.is_dir() { Ok(installed) } else { Ok(unpacked("dataset-fashion-mnist")?.join(FOLDER)) }
}

/// Prometheus' own linter of metrics. The package is not installed because that would start a server.
fn promtool() -> Result<PathBuf> {
    match on_path("promtool") {
        Some(promtool) => Ok(promtool),
        None => Ok(unpacked("prometheus")?.join("usr/bin/promtool")),
    }
}

/// ApacheBench, with the libraries that its package needs beside it.
fn apache_bench() -> Result<PathBuf> {
    if let Some(ab) = on_path("ab") {
        return Ok(ab);
    }
    let program = unpacked("apache2-utils")?.join("usr/bin/ab");
    let mut libraries = Vec::new();
    for package in ["libapr1", "libaprutil1"] {
        let folder = unpacked(package)?.join("usr/lib");
        let inner = fs::read_dir(&folder)?.find_map(|entry| Some(entry.ok()?.path()));
        libraries.push(inner.with_context(|| format!("{package} has no libraries"))?.display().to_string());
    }
    let script = target().join("provision/ab");
    let text = format!("#!/bin/sh\nLD_LIBRARY_PATH={} exec {} \"$@\"\n", libraries.join(":"), program.display());
    fs::write(&script, text).with_context(|| format!("cannot write {}", script.display()))?;
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755))?;
    Ok(script)
}

/// A Python whose packages are those of `tests/clients/requirements.txt`.
fn python() -> Result<PathBuf> {
    Ok(environment("venv", &root().join("tests/clients/requirements.txt"))?.join("bin/python"))
}

/// The folder of a Python environment with the packages of a requirements file.
///
/// # Errors
/// When Python or the packages cannot be had.
pub(crate) fn environment(name: &str, requirements: &Path) -> Result<PathBuf> {
    let pins = fs::read_to_string(requirements).with_context(|| format!("cannot read {}", requirements.display()))?;
    let environment = target().join("provision").join(name);
    let python = environment.join("bin/python");
    let stamp = environment.join("requirements.txt"); // written last: it says that all before was done
    if fs::read_to_string(&stamp).is_ok_and(|made| made == pins) {
        return Ok(environment);
    }
    let system = program("python3", "python3")?;
    // Debian splits what `venv` needs from Python into a package of its own.
    if !answers(command(&system, &["-c", "import ensurepip, venv"])) {
        install("python3-venv")?;
    }
    step(command(&system, &["-m", "venv", "--clear"]).arg(&environment))?;
    let quiet = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--timeout=30", "--requirement"];
    step(command(&python, &quiet).arg(requirements))?;
    fs::write(&stamp, pins).with_context(|| format!("cannot write {}", stamp.display()))?;
    Ok(environment)
}

/// A program of the system, installed when it is missing.
fn program(name: &str, package: &str) -> Result<PathBuf> {
    if let Some(found) = on_path(name) {
        return Ok(found);
    }
    install(package)?;
    on_path(name).with_context(|| format!("{package} was installed, but there is no {name} on the PATH"))
}

/// Installs a Debian package.
fn install(package: &str) -> Result<()> {
    if !is_root() {
        bail!("{package} is missing: install it (here only root could)");
    }
    with_update(|| step(apt(&["install", "--yes", "--no-install-recommends", package]).current_dir(root())))
}

/// The files of a Debian package, unpacked into a folder of ours. Needs no root; apt checks the signature.
fn unpacked(package: &str) -> Result<PathBuf> {
    let folder = target().join("provision").join(package);
    if folder.is_dir() {
        return Ok(folder);
    }
    // Made under another name and renamed when it is whole.
    let partial = folder.with_extension("partial");
    if partial.exists() {
        fs::remove_dir_all(&partial).with_context(|| format!("cannot remove {}", partial.display()))?;
    }
    fs::create_dir_all(&partial).with_context(|| format!("cannot make {}", partial.display()))?;
    with_update(|| step(apt(&["download", package]).current_dir(&partial)))?;
    let archive = fs::read_dir(&partial)?.find_map(|entry| Some(entry.ok()?.path()));
    let archive = archive.with_context(|| format!("apt-get downloaded no {package}"))?;
    step(command("dpkg", &["--extract"]).arg(&archive).arg(&partial))?;
    fs::remove_file(&archive).with_context(|| format!("cannot remove {}", archive.display()))?;
    fs::rename(&partial, &folder).with_context(|| format!("cannot make {}", folder.display()))?;
    Ok(folder)
}

/// Tries once more with fresh package lists, which a new machine lacks and only root can fetch.
fn with_update(attempt: impl Fn() -> Result<()>) -> Result<()> {
    match attempt() {
        Err(_) if is_root() => {
            step(&mut apt(&["update"]))?;
            attempt()
        }
        outcome => outcome,
    }
}

/// `apt-get` that asks nothing, and gives up rather than hang.
fn apt(arguments: &[&str]) -> Command {
    let mut apt = command("apt-get", &["-qq", "-o=Acquire::http::Timeout=30", "-o=DPkg::Lock::Timeout=60"]);
    // Without this, root's downloads into a folder of ours are a warning.
    apt.arg("-o=APT::Sandbox::User=root").args(arguments).env("DEBIAN_FRONTEND", "noninteractive");
    apt
}

fn is_root() -> bool {
    answers(command("sh", &["-c", "test \"$(id -u)\" = 0"]))
}
