//! `convnext verify`: an engine against the reference engine, on images made by a seed.
//!
//! The reference runs the program as the model emits it, unfolded and in f64; the bound is that of 32-bit engines.

use std::time::Instant;

use anyhow::{Context, anyhow};
use serde_json::json;

use super::{Failure, device, model_ref, noise, print};
use crate::config::DEFAULT_MODEL;
use crate::engine::reference::Reference;
use crate::engine::{Engine, Executable, Input, Options, RunError};

/// Largest relative error of an image's logits, ‖out − ref‖ / ‖ref‖.
const BOUND: f64 = 1e-4;

/// Arguments of `verify`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A demo model, a folder, or the name of an architecture
    #[arg(default_value = DEFAULT_MODEL)]
    model: String,
    /// Side of the images in pixels, for an architecture [default: 224]
    #[arg(long, value_name = "PIXELS")]
    size: Option<usize>,
    /// auto, cpu, or cpu:avx2 for instructions
    #[arg(long, default_value = "auto")]
    device: String,
    /// Images that are compared
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..=1024))]
    images: u64,
    /// JSON instead of lines
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: Args) -> Result<(), Failure> {
    let engine = device::engine(&args.device).map_err(Failure::Usage)?;
    let network = model_ref::network(&args.model, args.size).map_err(Failure::Usage)?;
    let program = &network.program;
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let count = args.images as usize;
    eprintln!(
        "{} ({}) on {}: {count} images of {}×{}, {:.2} GMAC each; the reference engine is slow",
        program.architecture,
        network.origin,
        engine.device(),
        program.input.height,
        program.input.width,
        program.cost().macs as f64 / 1e9
    );
    let options = Options { max_batch: count.min(8), threads, profile: false };
    let compile = |engine: &dyn Engine| {
        engine.compile(program, &*network.weights, &options).with_context(|| format!("loading on {}", engine.device()))
    };
    let (mut tested, mut reference) = (compile(&*engine)?, compile(&Reference)?);
    let size = program.input.height * program.input.width * 3;
    let mut errors = Vec::with_capacity(count);
    let began = Instant::now();
    for first in (0..count).step_by(options.max_batch) {
        let images: Vec<Vec<u8>> =
            (first..count.min(first + options.max_batch)).map(|i| noise::image(i as u64, size)).collect();
        let run = |executable: &mut dyn Executable| run_batch(executable, &images).map_err(|error| anyhow!(error));
        let (out, expected) = (run(&mut *tested)?, run(&mut *reference)?);
        let classes = program.classes();
        for (out, expected) in out.chunks(classes).zip(expected.chunks(classes)) {
            errors.push(relative_error(out, expected));
            eprintln!("image {} of {count}: relative error {:.2e}", errors.len(), errors[errors.len() - 1]);
        }
    }
    // a NaN is over every bound
    let worst = errors.iter().copied().fold(0.0, |a: f64, b| if b > a || b.is_nan() { b } else { a });
    let passed = worst <= BOUND;
    let verdict = if passed { "within" } else { "OVER" };
    if args.json {
        let report = json!({"model": args.model, "architecture": program.architecture, "device": engine.device(),
                            "relative_errors": errors, "worst": worst, "bound": BOUND, "passed": passed});
        print(&format!("{report:#}\n"))?;
    } else {
        print(&format!(
            "{} on {}: worst relative error {worst:.2e}, {verdict} the bound of {BOUND:.0e}, {count} images in {:.1} s\n",
            program.architecture,
            engine.device(),
            began.elapsed().as_secs_f64()
        ))?;
    }
    if passed { Ok(()) } else { Err(anyhow!("{} differs from the reference engine", engine.device()).into()) }
}

fn run_batch(executable: &mut dyn Executable, images: &[Vec<u8>]) -> Result<Vec<f32>, RunError> {
    for (slot, image) in images.iter().enumerate() {
        executable.stage(slot, Input::Rgb8(image))?;
    }
    executable.launch(&(0..images.len()).collect::<Vec<_>>())?;
    Ok(executable.finish()?.to_vec())
}

fn relative_error(out: &[f32], expected: &[f32]) -> f64 {
    let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|x| x * x).sum::<f64>().sqrt();
    let difference = norm(&mut out.iter().zip(expected).map(|(a, b)| f64::from(*a) - f64::from(*b)));
    difference / norm(&mut expected.iter().map(|b| f64::from(*b)))
}
