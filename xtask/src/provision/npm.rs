//! Programs from npm's registry, without npm: a package's archive, held to the hash that the registry publishes. Not here: which ones are needed.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result};

use super::debian::program;
use crate::run::{command, output, step, target};

/// A package of one version.
pub(super) struct Package {
    /// With its scope, as `@bufbuild/buf-linux-x64`.
    pub(super) name: &'static str,
    pub(super) version: &'static str,
    /// Of its archive, as `sha512sum` writes it.
    pub(super) sha512: &'static str,
}

/// The folder of a package's files.
pub(super) fn unpacked(package: &Package) -> Result<PathBuf> {
    let Package { name, version, sha512 } = package;
    let short = name.rsplit('/').next().unwrap_or(name);
    let folder = target().join("provision").join(format!("{short}-{version}"));
    if folder.is_dir() {
        return Ok(folder);
    }
    let partial = folder.with_extension("partial");
    fs::create_dir_all(&partial).with_context(|| format!("cannot make {}", partial.display()))?;
    let archive = partial.join("package.tgz");
    let url = format!("https://registry.npmjs.org/{name}/-/{short}-{version}.tgz");
    let curl = program("curl", "curl")?;
    step(
        command(curl, &["--silent", "--show-error", "--fail", "--location", "--max-time", "120"])
            .arg("--output")
            .arg(&archive)
            .arg(&url),
    )?;
    let found = output(command("sha512sum", &[]).arg(&archive))?.text;
    anyhow::ensure!(found.starts_with(sha512), "{url} has another hash than {sha512}: {found}");
    step(command("tar", &["--extract", "--gzip", "--file"]).arg(&archive).arg("--directory").arg(&partial))?;
    fs::remove_file(&archive).with_context(|| format!("cannot remove {}", archive.display()))?;
    fs::rename(&partial, &folder).with_context(|| format!("cannot make {}", folder.display()))?;
    Ok(folder)
}
