//! NVIDIA's compilers: where they are, and how they are called.
//!
//! Not here: what their answers mean (`ptx`, `sass`).

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use super::ptx;
use crate::provision;
use crate::run::{command, output, root, target};

/// The PTX versions to try, oldest first. 7.2 brought the `inlined_at` of the lines' positions; 8.0 is what driver 525 reads.
const VERSIONS: [&str; 8] = ["7.2", "7.3", "7.4", "7.5", "7.6", "7.7", "7.8", "8.0"];

/// The compilers, provisioned.
pub(super) struct Toolchain {
    python: PathBuf,
    /// `site-packages/nvidia`
    packages: PathBuf,
    /// The requirements, a line each.
    pub(super) pins: Vec<String>,
}

/// What ptxas has made for an architecture.
pub(super) struct Assembled {
    pub(super) cubin: PathBuf,
    /// What it said about registers and memory.
    pub(super) log: String,
}

impl Toolchain {
    /// Finds the compilers, or fetches them.
    pub(super) fn provision() -> Result<Self> {
        let requirements = root().join("kernels/toolchain.txt");
        let environment = provision::environment("cuda", &requirements).context(
            "the CUDA compilers that kernels/toolchain.txt names come from PyPI, or from where pip's settings say",
        )?;
        let pins =
            fs::read_to_string(&requirements).with_context(|| format!("cannot read {}", requirements.display()))?;
        let pins = pins.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).map(str::to_owned).collect();
        let toolchain = Self {
            python: environment.join("bin/python"),
            packages: provision::packages(&environment)?.join("nvidia"),
            pins,
        };
        let needed = [toolchain.nvrtc(), toolchain.include("cuda_runtime"), toolchain.ptxas(), toolchain.nvdisasm()];
        if let Some(missing) = needed.iter().find(|path| !path.exists()) {
            bail!("there is no {}: remove {}, and it is made anew", missing.display(), environment.display());
        }
        Ok(toolchain)
    }

    fn nvrtc(&self) -> PathBuf {
        self.packages.join("cuda_nvrtc/lib/libnvrtc.so.12")
    }

    fn ptxas(&self) -> PathBuf {
        self.packages.join("cuda_nvcc/bin/ptxas")
    }

    fn nvdisasm(&self) -> PathBuf {
        self.packages.join("cu13/bin/nvdisasm")
    }

    fn include(&self, package: &str) -> PathBuf {
        self.packages.join(package).join("include")
    }

    /// The PTX of a source in `kernels/` for a target, without anything of this machine in it.
    pub(super) fn compile(&self, source: &str, compute: u32) -> Result<String> {
        let path = root().join("kernels").join(source);
        let made = scratch()?.join(format!("{source}.{compute}.ptx"));
        let includes = [root().join("kernels"), self.include("cuda_runtime"), self.include("cuda_cccl")];
        let mut nvrtc = command(&self.python, &[]);
        nvrtc.arg(root().join("xtask/src/kernels/nvrtc.py")).arg(self.nvrtc()).arg(&path).arg(&made);
        nvrtc.args([&format!("--gpu-architecture=compute_{compute}"), "--std=c++17", "-lineinfo"]);
        nvrtc.args(includes.iter().map(|folder| format!("-I{}", folder.display())));
        output(&mut nvrtc)?;
        let text = fs::read_to_string(&made).with_context(|| format!("cannot read {}", made.display()))?;
        ptx::portable(&text, &includes)
    }

    /// Assembles PTX for each architecture, and says in which version: the oldest that all of them take.
    pub(super) fn assemble(&self, name: &str, ptx: &str, architectures: &[u32]) -> Result<(String, Vec<Assembled>)> {
        let mut refusal = None;
        for version in VERSIONS {
            let ptx = ptx::with_version(ptx, version)?;
            let path = scratch()?.join(name);
            fs::write(&path, &ptx).with_context(|| format!("cannot write {}", path.display()))?;
            match architectures.iter().map(|architecture| self.ptxas_for(&path, *architecture)).collect() {
                Ok(assembled) => return Ok((ptx, assembled)),
                Err(why) => refusal = Some(why),
            }
        }
        Err(refusal.unwrap_or_else(|| anyhow::anyhow!("no PTX version to try")))
            .with_context(|| format!("{name} assembles in no PTX version from {} to 8.0", VERSIONS[0]))
    }

    fn ptxas_for(&self, ptx: &Path, architecture: u32) -> Result<Assembled> {
        let cubin = ptx.with_extension(format!("{architecture}.cubin"));
        let mut ptxas = command(self.ptxas(), &["-v", "-lineinfo", &format!("-arch=sm_{architecture}"), "-o"]);
        let log = output(ptxas.arg(&cubin).arg(ptx))?.errors;
        if let Some(warning) = log.lines().find(|line| line.contains("warning")) {
            bail!("for sm_{architecture}: {warning}");
        }
        Ok(Assembled { cubin, log })
    }

    /// The machine code of a cubin, each instruction with its line in the PTX.
    pub(super) fn disassemble(&self, cubin: &Path) -> Result<String> {
        Ok(output(command(self.nvdisasm(), &["--print-code", "--print-line-info-ptx"]).arg(cubin))?.text)
    }
}

/// A folder for what is made on the way.
fn scratch() -> Result<PathBuf> {
    let folder = target().join("kernels");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    Ok(folder)
}
