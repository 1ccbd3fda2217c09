//! `cargo xtask emulator` and `cargo xtask emulate`: the driver that executes PTX without a GPU, where programs find it.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result};

use crate::run::{cargo, root, step, target};

/// Build the emulated CUDA driver, and print the folder for LD_LIBRARY_PATH.
///
/// Builds the crate `cuda-emulator` and copies it to target/emulator/ as libcuda.so and libcuda.so.1. A program that runs with
/// that folder on its LD_LIBRARY_PATH sees one NVIDIA GPU or several, which are emulated, and say so in their names. Variables that it reads:
///
/// CUDA_EMULATOR_SM=75|80|86|89|90      the card: T4, A100, A10, L4, H100 (80)
/// CUDA_EMULATOR_DEVICES=N              how many GPUs, 1 to 8, all the same card (1)
/// CUDA_EMULATOR_MULTIPROCESSORS=N      how many it has: 128 with SM=89 for an RTX 4090
/// CUDA_EMULATOR_SEED=N                 the order of what may run in any order; 0 is the natural one (1)
/// CUDA_EMULATOR_CHECKS=0               only count, and run faster
/// CUDA_EMULATOR_FAULT=kernel:N|oom:N|lost:N   a fault at the Nth launch or allocation; wrong:NAME   a kernel that stores wrong numbers
///                                      (kernel:N@D and so on: of GPU D alone, otherwise of GPU 0)
/// CUDA_EMULATOR_REPORT=FILE            counters of all launches, as JSON, or as a table in a file *.txt
/// CUDA_EMULATOR_SASS=FILE              the table of `cargo xtask kernels`, for registers and issue slots in the report
/// CUDA_EMULATOR_BLOCKS=N               run no more than N blocks of each launch, only to count
/// CUDA_EMULATOR_THREADS=N              blocks that run at once
/// CUDA_EMULATOR_STRICT=1               fail (status 86) when anything was found
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct EmulatorOptions {}

/// Run convnext on the emulated CUDA driver: `cargo xtask emulate classify --device cuda …`.
///
/// Builds both for release and passes on all arguments and the exit status. See `cargo xtask emulator --help` for the variables
/// that the driver reads.
#[derive(clap::Args)]
pub(crate) struct EmulateOptions {
    /// Arguments of convnext.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<OsString>,
}

/// Builds the driver and prints its folder, alone on standard output.
pub(crate) fn emulator() -> Result<()> {
    let folder = build()?;
    #[expect(clippy::print_stdout, reason = "what the command is for")]
    {
        println!("{}", folder.display());
    }
    Ok(())
}

/// Runs convnext with the driver.
pub(crate) fn emulate(options: &EmulateOptions) -> Result<ExitCode> {
    let folder = build()?;
    step(&mut cargo(&["build", "--release", "--bin", "convnext"]))?;
    let program = target().join("release").join("convnext");
    let before = env::var_os("LD_LIBRARY_PATH").filter(|path| !path.is_empty());
    let path = env::join_paths(
        std::iter::once(folder.clone())
            .chain(before.iter().flat_map(|path| env::split_paths(path).collect::<Vec<_>>())),
    )?;
    let table = env::var_os("CUDA_EMULATOR_SASS").unwrap_or_else(|| root().join("kernels/ptx/table.json").into());
    let report = env::var_os("CUDA_EMULATOR_REPORT").unwrap_or_else(|| folder.join("report.json").into());
    // Neither its folder nor its input is ours to choose: unlike the other programs that xtask runs, it is the user's.
    let status = Command::new(&program)
        .args(&options.arguments)
        .env("LD_LIBRARY_PATH", path)
        .env("CUDA_EMULATOR_SASS", table)
        .env("CUDA_EMULATOR_REPORT", report)
        .status();
    let status = status.with_context(|| format!("cannot start {}", program.display()))?;
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from))
}

/// Driver and product as tests have them.
pub(crate) struct Tested {
    /// The driver's folder.
    pub(crate) driver: PathBuf,
    pub(crate) program: PathBuf,
}

/// Builds both as part of the tests: after a run of these nothing is left to compile. A build of either alone would compile half of what they depend on
/// anew, for tests ask more of some crates.
pub(crate) fn of_tests() -> Result<Tested> {
    step(&mut cargo(&["test", "--workspace", "--no-run", "--test", "kernels"]))?;
    let debug = target().join("debug");
    let driver = laid_out(&debug.join("deps"), &target().join("emulator/dev"))?;
    Ok(Tested { driver, program: debug.join("convnext") })
}

/// Builds the driver for release; its folder.
fn build() -> Result<PathBuf> {
    step(&mut cargo(&["build", "--release", "--package", "cuda-emulator"]))?;
    laid_out(&target().join("release"), &target().join("emulator"))
}

/// Copies what was built to a folder, under the names that programs look for.
fn laid_out(built: &Path, folder: &Path) -> Result<PathBuf> {
    let built = built.join("libcuda_emulator.so");
    fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    for name in ["libcuda.so", "libcuda.so.1"] {
        // In place of the old file, not into it: a program may be running with that.
        let (target, new) = (folder.join(name), folder.join(format!("{name}.new")));
        fs::copy(&built, &new).with_context(|| format!("cannot copy {} to {}", built.display(), new.display()))?;
        fs::rename(&new, &target).with_context(|| format!("cannot replace {}", target.display()))?;
    }
    Ok(folder.to_owned())
}
