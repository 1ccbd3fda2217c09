//! Programs of Debian packages: found, installed, or unpacked under `target/`. Not here: which ones are needed.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, Result, bail};

use crate::run::{answers, command, on_path, root, step, target};

/// A program of the system, installed when it is missing.
pub(super) fn program(name: &str, package: &str) -> Result<PathBuf> {
    if let Some(found) = on_path(name) {
        return Ok(found);
    }
    install(package)?;
    on_path(name).with_context(|| format!("{package} was installed, but there is no {name} on the PATH"))
}

/// Installs a Debian package.
pub(super) fn install(package: &str) -> Result<()> {
    if !is_root() {
        bail!("{package} is missing: install it (here only root could)");
    }
    with_update(|| step(apt(&["install", "--yes", "--no-install-recommends", package]).current_dir(root())))
}

/// A program of the system, or else of a package that is unpacked, which finds the libraries of these packages beside it.
pub(super) fn with_libraries(name: &str, package: &str, libraries: &[&str]) -> Result<PathBuf> {
    if let Some(found) = on_path(name) {
        return Ok(found);
    }
    script(name, &unpacked(package)?.join("usr/bin").join(name), libraries, &[])
}

/// A script of this name that starts a program which finds the libraries of these packages, and those of these folders.
pub(super) fn script(name: &str, program: &Path, packages: &[&str], folders: &[PathBuf]) -> Result<PathBuf> {
    let mut paths: Vec<String> = folders.iter().map(|folder| folder.display().to_string()).collect();
    for package in packages {
        let folder = unpacked(package)?.join("usr/lib");
        // the folder of this machine's architecture
        let inner = fs::read_dir(&folder)?.find_map(|entry| Some(entry.ok()?.path()).filter(|path| path.is_dir()));
        paths.push(inner.with_context(|| format!("{package} has no libraries"))?.display().to_string());
    }
    let script = target().join("provision").join(name);
    let text = format!("#!/bin/sh\nLD_LIBRARY_PATH={} exec {} \"$@\"\n", paths.join(":"), program.display());
    fs::write(&script, text).with_context(|| format!("cannot write {}", script.display()))?;
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755))?;
    Ok(script)
}

/// The files of a Debian package, unpacked into a folder of ours. Needs no root; apt checks the signature.
pub(super) fn unpacked(package: &str) -> Result<PathBuf> {
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

/// apt gives up where another has its lists.
static APT: Mutex<()> = Mutex::new(());

/// Tries once more with fresh package lists, which a new machine lacks and only root can fetch.
fn with_update(attempt: impl Fn() -> Result<()>) -> Result<()> {
    let _alone = APT.lock().unwrap_or_else(PoisonError::into_inner);
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
