//! The command line: one file a subcommand, each a thin user of the library.
//!
//! Exit codes: 0 done, 1 it went wrong, 64 the command or its configuration makes no sense (`EX_USAGE` of sysexits).

mod bench;
mod budgets;
mod classify;
mod device;
mod health;
mod inspect;
mod key;
mod load;
mod model_ref;
mod noise;
mod notify;
mod plan;
mod progress;
mod pull;
mod quantize;
mod serve;
mod svg;
mod tls_client;
mod verify;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Serves image classification with ConvNeXt: a JPEG in, labels out.
#[derive(Debug, Parser)]
#[command(name = "convnext", version, max_term_width = 110, after_help = AFTER_HELP)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const AFTER_HELP: &str = "\
A MODEL is the name of a demo model (convnext_atto or swin_atto: ten kinds of clothing), a folder with config.json and model.safetensors
as timm or transformers publish them, hub:ORGANISATION/NAME[@REVISION] of the Hugging Face hub, or NAME= before either. For inspect,
verify and bench it may also be the name of an architecture (convnext_tiny, convnextv2_base, …), whose weights then are random.

Try:
  convnext serve                                      the demo models on http://127.0.0.1:8080
  convnext serve --models cats=./cats,convnext_atto   two models, the first by default
  convnext serve --model-repository ./models          every model in a folder of folders; changes are followed
  convnext pull timm/convnext_tiny.fb_in1k            a model of the Hugging Face hub into its cache
  convnext classify photo.jpg --top-k 3               labels on the terminal
  convnext quantize ./cats --images ./photos          ./cats-int8, and how often it answers as before
  convnext inspect convnext_tiny                      operations, shapes, costs
  convnext bench --models convnext_tiny --batch 1,8   images per second on this machine
  convnext load --images ./photos --rate 100          latency of a server at 100 requests/s
  convnext plan --card l4 --rate 5000 --p99 50ms      how many GPUs that takes, simulated";

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve models over HTTP
    Serve(Box<serve::Args>),
    /// Classify image files
    Classify(classify::Args),
    /// Fetch a model from the Hugging Face hub into its cache
    #[command(after_help = pull::VARIABLES)]
    Pull(pull::Args),
    /// Write a model with weights in int8, and tell how often it answers as before
    Quantize(quantize::Args),
    /// Show a model's operations, shapes and costs
    Inspect(inspect::Args),
    /// Measure images per second
    #[command(after_help = bench::METHOD)]
    Bench(bench::Args),
    /// Put a load on a server and tell its latency and throughput
    #[command(after_help = load::METHOD)]
    Load(load::Args),
    /// Simulate servers under load: how many devices, at what latency
    #[command(after_help = plan::METHOD)]
    Plan(Box<plan::Args>),
    /// Compare an engine with the reference engine
    Verify(verify::Args),
    /// Make an API key for `serve --api-keys`
    #[command(after_help = key::OUTPUT)]
    Key(key::Args),
    /// Ask a server whether it is ready; the exit code answers
    Health(health::Args),
}

/// What ended a command, with its exit code.
#[derive(Debug, thiserror::Error)]
enum Failure {
    /// The command or its configuration makes no sense.
    #[error("{0:#}")]
    Usage(anyhow::Error),
    /// It went wrong.
    #[error("{0:#}")]
    Failed(#[from] anyhow::Error),
}

impl Failure {
    fn usage(error: impl Into<anyhow::Error>) -> Self {
        Self::Usage(error.into())
    }

    fn code(&self) -> u8 {
        match self {
            Self::Usage(_) => 64,
            Self::Failed(_) => 1,
        }
    }
}

/// Runs the command of the process's arguments.
#[must_use]
pub fn run() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let asked = matches!(error.exit_code(), 0); // --help and --version
            let _ = error.print();
            return ExitCode::from(if asked { 0 } else { 64 });
        }
    };
    let result = match cli.command {
        Command::Serve(args) => serve::run(*args),
        Command::Classify(args) => classify::run(args),
        Command::Pull(args) => pull::run(args),
        Command::Quantize(args) => quantize::run(args),
        Command::Inspect(args) => inspect::run(args),
        Command::Bench(args) => bench::run(args),
        Command::Load(args) => load::run(args),
        Command::Plan(args) => plan::run(*args),
        Command::Verify(args) => verify::run(args),
        Command::Key(args) => key::run(args),
        Command::Health(args) => health::run(args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            use std::io::Write as _;
            // nobody may read it
            let _ = writeln!(std::io::stderr(), "convnext: {failure}");
            ExitCode::from(failure.code())
        }
    }
}

/// Writes to standard output; a reader that has gone (`convnext … | head`) is no failure.
fn print(text: &str) -> Result<(), Failure> {
    use std::io::Write;
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(Failure::Failed(error.into())),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_holds_together() {
        Cli::command().debug_assert();
    }
}
