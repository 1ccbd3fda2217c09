//! `convnext bench`: images per second of models and batches that take turns, against the machine's own peak.
//!
//! What is measured is the engine: pixels in memory to logits.

mod emulated;
mod execute;
mod machine;
mod measure;
mod pair;
mod pauses;
mod plot;
mod profile;
mod report;

use std::fs::OpenOptions;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, anyhow};

use self::execute::Bench;
use self::machine::Machine;
use self::pair::Pair;
use super::model_ref::{self, Network};
use super::{Failure, device, print, svg};
use crate::engine::Options;

/// The end of the command's help: how it measures, for those who compare the figures.
pub(super) const METHOD: &str = "\
A MODEL is the name of a published architecture, with random weights at 224 pixels or --size. Here that goes for convnext_atto \
and swin_atto too, which elsewhere are the demo models of 64 pixels: benchmarks compare with the published network. A folder with a checkpoint, \
hub:ORGANISATION/NAME, or NAME= before either, is measured with its own weights and size.

A run is the engine's part of a batch: from pixels of the model's size to logits. Decoding and resizing are not \
included. All models are loaded at once, so the peak memory is that of all together. After a warm-up every model and batch has \
its turn in each of at least three rounds, so that a machine that changes its speed changes it for all. Images per second are the \
median over the rounds; latencies are of all runs. Between the rounds the peak is measured: the fastest matrix product of this \
machine with as many threads, of which a model can have a share. GFLOP/s count two operations a multiply-accumulate of \
convolutions and linears, as the papers do.

Of a ConvNeXt and its Swin, or any --pair, also the ratio is told, taken round by round: both have their turn in each, whatever the machine's speed. Beside it stands what the paper measured on its GPUs, and the accuracies that it published.

With --profile everything is run again with a clock at each operation, which the other figures therefore do not contain. The \
time of an operation is summed over threads. Its bound is the longer of two times: of its operations at the peak, and of its \
bytes (activations in and out, weights once per batch, 4 bytes each) at the speed of a copy in memory. What fits in a cache can \
be faster than that: more than 100 % of the bound is possible.

With --pauses the smallest batch of each model is run again behind pauses of 1, 3, 10, 30 and 100 ms, as between the requests of a light load: caches go cold, cores \
rest, and it takes longer. `convnext plan --bench` simulates with that.

Try:
  convnext bench --models convnext_tiny,convnext_small --batch 1,8,32 --plot bench.svg
  convnext bench --pair convnext_tiny,swin_tiny --plot pair.svg
  convnext bench --batch 8 --threads 1 --profile";

/// Arguments of `bench`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Architectures, folders, hub:ORGANISATION/NAME, or NAME= before either; they take turns
    #[arg(long, value_name = "MODEL,…", value_delimiter = ',', default_value = "convnext_tiny")]
    models: Vec<String>,
    /// A model and its baseline, compared round by round; may be given several times
    #[arg(long, value_name = "MODEL,BASELINE", value_parser = pair::parse, conflicts_with = "models")]
    pair: Vec<Pair>,
    /// The paper's pairs: ConvNeXt-T, S, B and L with their Swins
    #[arg(long, conflicts_with_all = ["models", "pair"])]
    pairs: bool,
    /// Batch sizes, 1 to 1024; they take turns
    #[arg(long, value_name = "IMAGES,…", value_delimiter = ',', default_value = "1,8",
          value_parser = clap::value_parser!(u16).range(1..=1024))]
    batch: Vec<u16>,
    /// Measured time of each model and batch, 0.1 to 3600
    #[arg(long, default_value = "3", value_parser = seconds)]
    seconds: Duration,
    /// Threads that compute [default: cores]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
    #[command(flatten)]
    device: device::Choice,
    /// Side of the images in pixels, for architectures [default: 224]
    #[arg(long, value_name = "PIXELS")]
    size: Option<usize>,
    /// JSON instead of a table
    #[arg(long)]
    json: bool,
    /// Draw a chart, an SVG file
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
    /// Also tell what the smallest batch takes behind pauses, for `convnext plan`
    #[arg(long)]
    pauses: bool,
    /// Also tell what each operation takes
    #[arg(long)]
    profile: bool,
}

/// Seconds of a measurement.
pub(super) fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse::<f64>().ok().filter(|seconds| (0.1..=3600.0).contains(seconds));
    seconds.map(Duration::from_secs_f64).ok_or_else(|| "0.1 to 3600 seconds are possible".to_owned())
}

/// A model under its name.
struct Model {
    name: String,
    network: Network,
}

pub(super) fn run(args: Args) -> Result<(), Failure> {
    let engine = args.device.engine().map_err(Failure::Usage)?;
    let (models, pairs) = models(&args).map_err(Failure::Usage)?;
    let batches: Vec<usize> = args.batch.iter().map(|batch| usize::from(*batch)).collect();
    once_each(&batches, "batch size").map_err(Failure::Usage)?;
    if let Some(path) = &args.plot {
        // now and not after the measurement; what is in the file stays until there is something better
        let opened = OpenOptions::new().append(true).create(true).open(path);
        opened.with_context(|| format!("--plot {}", path.display())).map_err(Failure::Usage)?;
    }
    let machine = Machine::this();
    let max_batch = batches.iter().copied().max().unwrap_or(1);
    let threads = args.threads.map_or(machine.cores, usize::from);
    // all models run in the same, so that they can be compared
    let quantized = models.iter().all(|model| model.network.quantized);
    let precision = args.device.precision(&*engine, &models[0].network.program, quantized);
    let options = Options { precision, max_batch, threads, profile: false };
    if engine.devices()[0].emulated {
        return print(&emulated::run(engine, &models, &batches, options, args.json)?);
    }
    let (time, pauses) = (args.seconds, args.pauses);
    let bench = Bench { engine: &*engine, models: &models, batches: &batches, options, time, pauses };
    let mut report = bench.measure(machine)?;
    report.pairs = pairs;
    if args.profile {
        report.profiles = Some(bench.profile(report.peak)?);
    }
    if let Some(path) = &args.plot {
        std::fs::write(path, plot::svg(&report)).with_context(|| format!("writing {}", path.display()))?;
    }
    print(&if args.json { format!("{:#}\n", report.json()) } else { report.table() })
}

/// Resolves the models, none twice, and the pairs among them.
fn models(args: &Args) -> anyhow::Result<(Vec<Model>, Vec<Pair>)> {
    let named = if args.pairs { Pair::published() } else { args.pair.clone() };
    let resolve = |text: &String| {
        let (name, network) = model_ref::benchmarked(text, args.size)?;
        anyhow::Ok(Model { name, network })
    };
    if named.is_empty() {
        let models: Vec<Model> = args.models.iter().map(resolve).collect::<Result<_, _>>()?;
        let names: Vec<&str> = models.iter().map(|model| &*model.name).collect();
        once_each(&names, "model")?;
        let pairs = Pair::among(&names);
        return Ok((models, pairs));
    }
    // a model may be in several pairs; a folder's name may be another folder's too
    let (mut models, mut texts): (Vec<Model>, Vec<&String>) = (Vec::new(), Vec::new());
    for text in named.iter().flat_map(|pair| [&pair.model, &pair.baseline]) {
        if !texts.contains(&text) {
            models.push(resolve(text)?);
            texts.push(text);
        }
    }
    once_each(&models.iter().map(|model| &model.name).collect::<Vec<_>>(), "model")?;
    let name = |text: &String| {
        let index = texts.iter().position(|known| *known == text).unwrap_or_default();
        models[index].name.clone()
    };
    let pairs: Vec<Pair> =
        named.iter().map(|pair| Pair { model: name(&pair.model), baseline: name(&pair.baseline) }).collect();
    once_each(&pairs.iter().map(|pair| format!("{},{}", pair.model, pair.baseline)).collect::<Vec<_>>(), "pair")?;
    Ok((models, pairs))
}

/// Refuses what is named twice: its figures would be told apart by nothing.
fn once_each<T: PartialEq + std::fmt::Display>(values: &[T], what: &str) -> anyhow::Result<()> {
    match values.iter().enumerate().find(|(index, value)| values[..*index].contains(value)) {
        Some((_, twice)) => Err(anyhow!("{what} {twice} is named twice")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_within_reason() {
        assert_eq!(seconds("0.5"), Ok(Duration::from_millis(500)));
        for wrong in ["0", "0.09", "3601", "-1", "NaN", "inf", "3s", ""] {
            assert!(seconds(wrong).is_err(), "{wrong}");
        }
    }
}
