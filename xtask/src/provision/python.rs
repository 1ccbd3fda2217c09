//! Python environments of pinned packages under `target/`. Not here: which ones are needed.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::debian::{install, program};
use crate::run::{answers, command, step, target};

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

/// `site-packages` of an environment.
///
/// # Errors
/// When there is none.
pub(crate) fn packages(environment: &Path) -> Result<PathBuf> {
    let versions = environment.join("lib");
    let found = fs::read_dir(&versions)?.find_map(|entry| Some(entry.ok()?.path().join("site-packages")));
    found.filter(|folder| folder.is_dir()).with_context(|| format!("{} has no packages", versions.display()))
}
