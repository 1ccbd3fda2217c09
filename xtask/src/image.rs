//! `cargo xtask image`: the container image, built by the Dockerfile as it stands, without a registry. Not here: what is tested of it (`tests/conformance/image.rs`).

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::provision;
use crate::run::{answers, cargo, command, output, root, step, target};

/// The base image that the Dockerfile names. What it has of the real one is Debian and a C compiler; the toolchain is this machine's, mounted.
const BASE: &str = "docker.io/library/rust:1.95.0-slim-bookworm";
const NAME: &str = "localhost/convnext-server";

/// Build the container image and run it: size, contents, start, answers, drain, an emulated GPU.
///
/// buildah builds the Dockerfile in a chroot, on a base image made by debootstrap (both Debian packages, which only root can install and run); crates and the
/// toolchain are this machine's. Takes minutes: the binary is compiled for release.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Build twice, and compare the binaries bit for bit.
    #[arg(long)]
    twice: bool,
}

/// Builds the image and runs the tests that use it.
pub(crate) fn image(options: &Options) -> Result<()> {
    let root = built()?;
    if options.twice {
        let binary = root.join("usr/bin/convnext");
        let first = fs::read(&binary).context("cannot read the first binary")?;
        built()?;
        let second = fs::read(&binary).context("cannot read the second binary")?;
        if second != first {
            // to be looked at: what differs says what it came from
            let kept = target().join("image/first");
            fs::write(&kept, &first).context("cannot keep the first binary")?;
            let differing = first.iter().zip(&second).filter(|(one, other)| one != other).count();
            bail!(
                "two builds gave two binaries, of {} and {} bytes, {differing} of which differ: compare {} with {}",
                first.len(),
                second.len(),
                kept.display(),
                binary.display()
            );
        }
        eprintln!("\ntwo builds gave one binary, of {} bytes", first.len());
    }
    let mut tests = cargo(&["test", "--workspace", "--test", "conformance", "--", "image::"]);
    step(provision::with_image(&mut tests, &root))
}

/// The image as a folder: its root, and beside it `config.json` as buildah tells it.
///
/// # Errors
/// When the machine is not Debian, or we are not root, or the build fails.
pub(crate) fn built() -> Result<PathBuf> {
    provision::buildah()?;
    let folder = target().join("image");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let store = Store { folder };
    if !answers(store.buildah(&["inspect", "--type=image", BASE])) {
        store.make_base()?;
    }

    let sysroot = output(&mut command("rustc", &["--print", "sysroot"]))?.text;
    let sysroot = fs::canonicalize(sysroot.trim()).context("cannot find the toolchain")?;
    let home = std::env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo")));
    let registry = home.context("there is neither CARGO_HOME nor HOME")?.join("registry");
    let mount = |from: &Path, to: &str| format!("--volume={}:{to}", from.display());
    let build = ["build", "--quiet", "--format=docker", "--tag", NAME];
    let mounts = [mount(&sysroot, "/toolchain:ro"), mount(&registry, "/usr/local/cargo/registry")];
    step(store.buildah(&build).args(mounts).arg(root()))?;
    store.unpack()
}

/// Where buildah keeps its images, apart from those of this machine.
struct Store {
    folder: PathBuf,
}

impl Store {
    fn buildah(&self, arguments: &[&str]) -> Command {
        let mut buildah = command("buildah", &[]);
        buildah.arg("--root").arg(self.folder.join("storage")).arg("--runroot").arg(self.folder.join("run"));
        // neither needs anything of the kernel that a container lacks
        buildah.args(arguments).env("STORAGE_DRIVER", "vfs").env("BUILDAH_ISOLATION", "chroot");
        buildah
    }

    /// A Debian with a C compiler under the name that the Dockerfile uses.
    fn make_base(&self) -> Result<()> {
        let base = self.folder.join("base");
        if base.exists() {
            fs::remove_dir_all(&base).context("cannot remove what is left of another try")?;
        }
        let packages = "--include=gcc,libc6-dev";
        step(
            command("debootstrap", &["--variant=minbase", packages, "bookworm"])
                .arg(&base)
                .arg("http://deb.debian.org/debian"),
        )?;
        let programs = base.join("usr/local/cargo/bin");
        fs::create_dir_all(&programs).context("cannot make a folder for cargo")?;
        for program in ["cargo", "rustc"] {
            std::os::unix::fs::symlink(Path::new("/toolchain/bin").join(program), programs.join(program))
                .context("cannot link the toolchain")?;
        }
        let container = self.container("scratch")?;
        step(self.buildah(&["add", "--quiet", &container]).arg(&base).arg("/"))?;
        let path = "PATH=/usr/local/cargo/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
        let config = [
            "config",
            "--env",
            path,
            "--env",
            "CARGO_HOME=/usr/local/cargo",
            "--env",
            "CARGO_NET_OFFLINE=true",
            &container,
        ];
        step(&mut self.buildah(&config))?;
        step(&mut self.buildah(&["commit", "--quiet", "--rm", &container, BASE]))?;
        fs::remove_dir_all(&base).context("cannot remove the folder of the base image")
    }

    fn container(&self, image: &str) -> Result<String> {
        Ok(output(&mut self.buildah(&["from", "--pull-never", image]))?.text.trim().to_owned())
    }

    /// The image's files in a folder of their own, and what buildah says of it.
    fn unpack(&self) -> Result<PathBuf> {
        let files = self.folder.join("root");
        if files.exists() {
            fs::remove_dir_all(&files).context("cannot remove the image before")?;
        }
        let container = self.container(NAME)?;
        let mounted = output(&mut self.buildah(&["mount", &container]))?.text;
        step(command("cp", &["--archive", mounted.trim()]).arg(&files))?;
        let config = output(&mut self.buildah(&["inspect", "--type=image", NAME]))?.text;
        fs::write(self.folder.join("config.json"), config).context("cannot write what buildah says of the image")?;
        // what earlier builds left behind
        step(&mut self.buildah(&["rm", &container]))?;
        step(&mut self.buildah(&["rmi", "--prune"]))?;
        Ok(files)
    }
}
