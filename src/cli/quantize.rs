//! `convnext quantize`: a checkpoint with the weights of its products in bytes, and how often it answers as before. Not here: which weights and how (`checkpoint`).
//!
//! The images choose nothing: a weight's steps come of the weight, and activations are quantised as they come, when the model runs. They are what the
//! new checkpoint is held against the old one with, before it is written.

use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use serde_json::{Value, json};

use super::load::images::images;
use super::progress::Stages;
use super::{Failure, model_ref, print};
use crate::checkpoint::{Checkpoint, Quantized};
use crate::engine::cpu::Cpu;
use crate::engine::{DeviceId, Engine, Executable, Image, Options, PixelFormat, Precision};
use crate::pixels;
use crate::program::WeightSource;

/// Images that are computed at once.
const BATCH: usize = 8;
/// Most pixels of an image, as `serve` has it by default.
const MAX_PIXELS: u64 = 64 << 20;

/// Arguments of `quantize`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A demo model, a folder or hub:ORGANISATION/NAME
    model: String,
    /// A folder of images as the model will get them, or one file: they tell how often it answers as before
    #[arg(long, value_name = "DIR")]
    images: PathBuf,
    /// The folder to write, which must not exist [default: the model's name with -int8, in this folder]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Images of the folder that are classified at most, evenly from all of them
    #[arg(long, value_name = "IMAGES", default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..))]
    most: u64,
    /// Least share of images whose best label must stay; with fewer nothing is written
    #[arg(long, value_name = "SHARE", default_value_t = 0.98)]
    min_agreement: f64,
    /// JSON instead of lines
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: Args) -> Result<(), Failure> {
    if !(0.0..=1.0).contains(&args.min_agreement) {
        return Err(Failure::Usage(anyhow!("--min-agreement {}: a share from 0 to 1 is needed", args.min_agreement)));
    }
    let (name, source) = model_ref::source(&args.model)?;
    let out = args.out.unwrap_or_else(|| PathBuf::from(format!("{name}-int8")));
    if out.exists() {
        return Err(Failure::Usage(anyhow!("{}: it is there already; nothing is written over it", out.display())));
    }
    let files = images(&args.images).map_err(Failure::Usage)?;
    let step = files.len().div_ceil(args.most as usize).max(1);
    let stages = Stages::new(false);
    stages.begin("quantising");
    let checkpoint = source.open().map_err(anyhow::Error::from)?;
    let quantized = Quantized::of(&source).map_err(anyhow::Error::from)?;
    stages.begin("loading in f32 and in int8");
    let mut before = executable(&checkpoint, &*checkpoint.weights, Precision::F32)?;
    let mut after = executable(&checkpoint, &quantized, Precision::Int8)?;
    let (mut found, chosen) = (Found::default(), files.iter().step_by(step));
    let chosen: Vec<_> = chosen.collect();
    for (index, batch) in chosen.chunks(BATCH).enumerate() {
        stages.reach("image", (index * BATCH) as u64, chosen.len() as u64);
        let pixels = batch.iter().map(|bytes| {
            let header = pixels::probe(bytes, MAX_PIXELS)?;
            Ok(checkpoint.transform.apply(&pixels::decode(bytes, &header)?).bytes().to_vec())
        });
        let pixels = pixels.collect::<Result<Vec<Vec<u8>>, pixels::ImageError>>();
        let pixels = pixels.with_context(|| format!("--images {}", args.images.display()))?;
        let logits = |executable: &mut Box<dyn Executable>| {
            let images = pixels.iter().map(|bytes| Image::new(PixelFormat::Rgb8, bytes.clone()));
            executable.run(images.collect()).map_err(anyhow::Error::from)
        };
        let (before, after) = (logits(&mut before)?, logits(&mut after)?);
        let classes = checkpoint.program.classes();
        before.chunks(classes).zip(after.chunks(classes)).for_each(|(before, after)| found.add(before, after));
    }
    drop(stages);
    let agreement = found.agreement();
    if agreement < args.min_agreement {
        let why = anyhow!(
            "only {} of {} images keep their best label, fewer than --min-agreement {}: nothing is written",
            found.agree,
            found.images,
            args.min_agreement
        );
        return Err(why.into());
    }
    quantized.write(&out, &found.json(&args.images)).map_err(anyhow::Error::from)?;
    let (bytes, all) = quantized.parameters();
    print(&if args.json {
        let mut report = found.json(&args.images);
        report["model"] = json!(args.model);
        report["out"] = json!(out.display().to_string());
        report["parameters"] = json!({"int8": bytes, "all": all});
        format!("{report:#}\n")
    } else {
        format!(
            "{}: {:.2} of {:.2} M parameters in int8; {} of {} images keep their best label ({:.2} %), relative error of logits {:.1e} \
             (root mean square), {:.1e} at worst\n",
            out.display(),
            bytes as f64 / 1e6,
            all as f64 / 1e6,
            found.agree,
            found.images,
            100.0 * agreement,
            found.error(),
            found.worst
        )
    })
}

fn executable(
    checkpoint: &Checkpoint,
    weights: &dyn WeightSource,
    precision: Precision,
) -> Result<Box<dyn Executable>, Failure> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let options = Options { precision, max_batch: BATCH, threads, profile: false };
    let loaded = Cpu::default().load(DeviceId(0), &checkpoint.program, weights, &options);
    let executable = loaded.and_then(|loaded| loaded.instantiate());
    Ok(executable.with_context(|| format!("loading in {precision}"))?)
}

/// How logits before and after differ.
#[derive(Default)]
struct Found {
    images: usize,
    /// Images with the same best class.
    agree: usize,
    /// The largest relative error of an image.
    worst: f64,
    /// Sums of squares: of differences, and of the logits before.
    squares: [f64; 2],
}

impl Found {
    /// Adds an image.
    fn add(&mut self, before: &[f32], after: &[f32]) {
        let best = |logits: &[f32]| (0..logits.len()).max_by(|a, b| logits[*a].total_cmp(&logits[*b]));
        let difference: f64 = before.iter().zip(after).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum();
        let size: f64 = before.iter().map(|a| f64::from(*a).powi(2)).sum();
        self.images += 1;
        self.agree += usize::from(best(before) == best(after));
        self.squares = [self.squares[0] + difference, self.squares[1] + size];
        let error = (difference / size).sqrt();
        // what is no number is worse than any
        self.worst = if error > self.worst || error.is_nan() { error } else { self.worst };
    }

    fn agreement(&self) -> f64 {
        self.agree as f64 / self.images.max(1) as f64
    }

    fn error(&self) -> f64 {
        (self.squares[0] / self.squares[1]).sqrt()
    }

    fn json(&self, images: &Path) -> Value {
        json!({"images": self.images, "of": images.display().to_string(), "agreement": self.agreement(),
               "relative_error": self.error(), "worst_relative_error": self.worst})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_agrees_whose_best_class_stays() {
        let mut found = Found::default();
        found.add(&[3.0, 4.0], &[3.0, 4.5]);
        found.add(&[3.0, 4.0], &[4.0, 3.0]);
        assert_eq!((found.images, found.agree, found.agreement()), (2, 1, 0.5));
        assert!((found.worst - 2.0_f64.sqrt() / 5.0).abs() < 1e-12);
        assert!((found.error() - (2.25_f64 / 50.0).sqrt()).abs() < 1e-12);
        found.add(&[3.0, 4.0], &[f32::NAN, 4.0]);
        assert!(found.worst.is_nan());
    }
}
