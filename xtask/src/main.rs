//! `cargo xtask`: the one door to checks and tests, for people and CI alike.
//!
//! It only runs other programs, in the right order and with the right environment. What is tested stands in `tests/` and
//! in the crates, what is forbidden in `clippy.toml` and `deny.toml`.

mod budgets;
mod check;
mod conformance;
mod emulator;
mod image;
mod kernels;
mod provision;
mod run;
mod sbom;
mod test;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The one door to checks and tests of this repository.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", after_help = AFTER_HELP)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const AFTER_HELP: &str = "\
Before a commit:    cargo xtask check
Before a push:      cargo xtask test, cargo xtask conformance      (CI runs all: see .ci/run)
One test, quickly:  cargo xtask test fashion_mnist
A kernel changed:   cargo xtask kernels, then cargo xtask budgets

Everything that is fetched or built lies under target/: `cargo clean` undoes it.";

#[derive(Subcommand)]
enum Command {
    Budgets(budgets::Options),
    Check(check::Options),
    Conformance(conformance::Options),
    Emulate(emulator::EmulateOptions),
    Emulator(emulator::EmulatorOptions),
    Image(image::Options),
    Kernels(kernels::Options),
    Sbom(sbom::Options),
    Test(test::Options),
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Budgets(options) => budgets::budgets(&options),
        Command::Check(options) => check::check(&options),
        Command::Conformance(options) => conformance::conformance(&options),
        Command::Emulate(options) => match emulator::emulate(&options) {
            Ok(status) => return status,
            Err(why) => Err(why),
        },
        Command::Emulator(_) => emulator::emulator(),
        Command::Image(options) => image::image(&options),
        Command::Kernels(options) => kernels::kernels(&options),
        Command::Sbom(options) => sbom::sbom(&options),
        Command::Test(options) => test::test(&options),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            // In one line: a backtrace would bury what the program that failed has said.
            eprintln!("\nerror: {why:#}");
            ExitCode::FAILURE
        }
    }
}
