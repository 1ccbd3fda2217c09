//! `convnext bench`: images a second of models and batches that take turns, against the machine's own peak.
//!
//! What is measured is the engine: the images are staged once, before the first run.

mod machine;
mod measure;
mod plot;
mod profile;
mod report;
mod svg;

use std::fs::OpenOptions;
use std::io::{IsTerminal, stderr};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};

use self::machine::{Machine, peak_memory};
use self::measure::{alternate, median};
use self::profile::Profile;
use self::report::{Case, Report};
use super::model_ref::{self, Network};
use super::{Failure, device, noise, print};
use crate::engine::{Engine, Executable, Input, Options, Peak, RunError};

/// The end of the command's help: how it measures, for those who compare the figures.
pub(super) const METHOD: &str = "\
A MODEL is the name of a published architecture, with random weights at 224 pixels or --size. Here that goes for convnext_atto
too, which elsewhere is the demo model of 64 pixels: benchmarks compare with the published network. A folder with a checkpoint,
or NAME=FOLDER, is measured with its own weights and size.

A run is the engine's part of a batch: from normalised images in their slots to logits. Decoding, resizing and staging are not
included. All models are loaded at once, so the peak memory is that of all together. After a warm-up every model and batch has
its turn in each of at least three rounds, so that a machine that changes its speed changes it for all. Images a second are the
median over the rounds; latencies are of all runs. Between the rounds the peak is measured: the fastest matrix product of this
machine with as many threads, of which a model can have a share. GFLOP/s count two operations a multiply-accumulate of
convolutions and linears, as the papers do.

With --profile everything is run again with a clock at each operation, which the other figures therefore do not contain. The
time of an operation is summed over threads. Its bound is the longer of two times: of its operations at the peak, and of its
bytes (activations in and out, weights once a batch, 4 bytes each) at the speed of a copy in memory. What fits in a cache can
be faster than that: more than 100 % of the bound is possible.

Try:
  convnext bench --models convnext_tiny,convnext_small --batch 1,8,32 --plot bench.svg
  convnext bench --batch 8 --threads 1 --profile";

/// How often at most the machine's peak is measured.
const PEAKS: u32 = 5;
/// Without a terminal, progress is told of a benchmark that takes longer than this.
const LONG: Duration = Duration::from_secs(30);

/// Arguments of `bench`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Architectures, folders or NAME=FOLDER; they take turns
    #[arg(long, value_name = "MODEL,…", value_delimiter = ',', default_value = "convnext_tiny")]
    models: Vec<String>,
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
    /// auto or cpu
    #[arg(long, default_value = "auto")]
    device: String,
    /// Side of the images in pixels, for architectures [default: 224]
    #[arg(long, value_name = "PIXELS")]
    size: Option<usize>,
    /// JSON instead of a table
    #[arg(long)]
    json: bool,
    /// Draw a chart, an SVG file
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
    /// Also tell what each operation takes
    #[arg(long)]
    profile: bool,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse::<f64>().ok().filter(|seconds| (0.1..=3600.0).contains(seconds));
    seconds.map(Duration::from_secs_f64).ok_or_else(|| "0.1 to 3600 seconds are possible".to_owned())
}

/// A model under its name.
struct Model {
    name: String,
    network: Network,
}

pub(super) fn run(args: Args) -> Result<(), Failure> {
    let engine = device::engine(&args.device).map_err(Failure::Usage)?;
    let models = models(&args).map_err(Failure::Usage)?;
    let batches: Vec<usize> = args.batch.iter().map(|batch| usize::from(*batch)).collect();
    once_each(&batches, "batch size").map_err(Failure::Usage)?;
    if let Some(path) = &args.plot {
        // now and not after the measurement; what is in the file stays until there is something better
        let opened = OpenOptions::new().append(true).create(true).open(path);
        opened.with_context(|| format!("--plot {}", path.display())).map_err(Failure::Usage)?;
    }
    let machine = Machine::this();
    let max_batch = batches.iter().copied().max().unwrap_or(1);
    let options = Options { max_batch, threads: args.threads.map_or(machine.cores, usize::from), profile: false };
    let bench = Bench { engine: &*engine, models: &models, batches: &batches, options, time: args.seconds };
    let mut report = bench.measure(machine)?;
    if args.profile {
        report.profiles = Some(bench.profile(report.peak)?);
    }
    if let Some(path) = &args.plot {
        std::fs::write(path, plot::svg(&report)).with_context(|| format!("writing {}", path.display()))?;
    }
    print(&if args.json { format!("{:#}\n", report.json()) } else { report.table() })
}

/// Resolves the models, none twice.
fn models(args: &Args) -> anyhow::Result<Vec<Model>> {
    let models: Vec<Model> = args
        .models
        .iter()
        .map(|text| model_ref::benchmarked(text, args.size).map(|(name, network)| Model { name, network }))
        .collect::<Result<_, _>>()?;
    once_each(&models.iter().map(|model| &model.name).collect::<Vec<_>>(), "model")?;
    Ok(models)
}

/// Refuses what is named twice: its figures would be told apart by nothing.
fn once_each<T: PartialEq + std::fmt::Display>(values: &[T], what: &str) -> anyhow::Result<()> {
    match values.iter().enumerate().find(|(index, value)| values[..*index].contains(value)) {
        Some((_, twice)) => Err(anyhow!("{what} {twice} is named twice")),
        None => Ok(()),
    }
}

/// What is to be measured, and how.
struct Bench<'a> {
    engine: &'a dyn Engine,
    models: &'a [Model],
    batches: &'a [usize],
    options: Options,
    time: Duration,
}

impl Bench<'_> {
    fn measure(&self, machine: Machine) -> Result<Report, Failure> {
        let cases: Vec<(usize, usize)> =
            (0..self.models.len()).flat_map(|model| self.batches.iter().map(move |batch| (model, *batch))).collect();
        let progress = Progress::new(self.time * cases.len() as u32);
        progress.tell("loading");
        let mut executables: Vec<Box<dyn Executable>> =
            self.models.iter().map(|model| self.load(model, self.options)).collect::<Result<_, _>>()?;
        progress.tell("warming up");
        let mut peaks = Vec::new();
        let mut rounds = 0;
        let run = |case: usize| {
            let (model, batch) = cases[case];
            time(&mut *executables[model], batch)
        };
        let before = |round: u32, count: u32| {
            progress.tell(&format!("round {} of {count}", round + 1));
            if round.is_multiple_of(count.div_ceil(PEAKS)) {
                peaks.extend(self.engine.peak(self.options.threads));
            }
            rounds = count;
        };
        let times = alternate(cases.len(), self.time, run, before).map_err(|error| anyhow!(error))?;
        let result = |((model, batch), times): (&(usize, usize), _)| {
            let Model { name, network } = &self.models[*model];
            Case::new(name, &network.program, *batch, times)
        };
        Ok(Report {
            device: self.engine.device().to_owned(),
            threads: self.options.threads,
            machine,
            seconds: self.time.as_secs_f64(),
            rounds,
            peak: middle(&peaks),
            peak_memory: peak_memory(),
            cases: cases.iter().zip(times).map(result).collect(),
            profiles: None,
        })
    }

    /// Runs every case again, one model after the other, with executables that keep a profile.
    fn profile(&self, peak: Option<Peak>) -> Result<Vec<Profile>, Failure> {
        let progress = Progress::new(self.time * (self.models.len() * self.batches.len()) as u32);
        let mut profiles = Vec::new();
        for model in self.models {
            let mut executable = self.load(model, Options { profile: true, ..self.options })?;
            for &batch in self.batches {
                progress.tell(&format!("profiling {}, batch {batch}", model.name));
                let mut run = || time(&mut *executable, batch).map_err(|error| anyhow!(error));
                run()?;
                let before = executable.profile();
                let (began, mut runs) = (Instant::now(), 0);
                while runs < 2 || began.elapsed() < self.time {
                    time(&mut *executable, batch).map_err(|error| anyhow!(error))?;
                    runs += 1;
                }
                let elapsed = began.elapsed();
                let ops = profile::since(&before, executable.profile());
                profiles.push(Profile {
                    model: model.name.clone(),
                    batch,
                    threads: self.options.threads,
                    image_time: elapsed.as_secs_f64() / (runs * batch) as f64,
                    peak,
                    ops,
                });
            }
        }
        Ok(profiles)
    }

    /// Compiles a model and fills its slots.
    fn load(&self, model: &Model, options: Options) -> anyhow::Result<Box<dyn Executable>> {
        let Network { program, weights, .. } = &model.network;
        let context = || format!("loading {} on {}", model.name, self.engine.device());
        let mut executable = self.engine.compile(program, &**weights, &options).with_context(context)?;
        for slot in 0..options.max_batch {
            let image = noise::image(slot as u64, program.input.height * program.input.width * 3);
            executable.stage(slot, Input::Rgb8(&image)).with_context(context)?;
        }
        Ok(executable)
    }
}

/// What a run of the first `batch` slots takes.
fn time(executable: &mut dyn Executable, batch: usize) -> Result<Duration, RunError> {
    let slots: Vec<usize> = (0..batch).collect();
    let began = Instant::now();
    executable.launch(&slots)?;
    executable.finish()?;
    Ok(began.elapsed())
}

/// The median of each of a peak's two speeds.
fn middle(peaks: &[Peak]) -> Option<Peak> {
    let of = |speed: fn(&Peak) -> f64| median(&peaks.iter().map(speed).collect::<Vec<_>>());
    (!peaks.is_empty()).then(|| Peak { flops: of(|peak| peak.flops), bytes: of(|peak| peak.bytes) })
}

/// Tells on standard error what goes on: in one line of a terminal, else only where it takes long.
struct Progress {
    terminal: bool,
    long: bool,
}

impl Progress {
    fn new(expected: Duration) -> Self {
        Self { terminal: stderr().is_terminal(), long: expected > LONG }
    }

    fn tell(&self, text: &str) {
        if self.terminal {
            eprint!("\r\x1b[K{text} …");
        } else if self.long {
            eprintln!("{text}");
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.terminal {
            eprint!("\r\x1b[K");
        }
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

    #[test]
    fn a_peak_is_the_median_of_each_of_its_speeds() {
        let peaks = [(1.0, 30.0), (9.0, 20.0), (2.0, 10.0)].map(|(flops, bytes)| Peak { flops, bytes });
        assert_eq!(middle(&peaks), Some(Peak { flops: 2.0, bytes: 20.0 }));
        assert_eq!(middle(&[]), None);
    }
}
