//! `convnext verify`: an engine against the reference engine, on images made by a seed. Before that on a GPU every kernel against plain arithmetic, and
//! where there are golden cases, these; at last what the published networks take, beside what was computed.
//!
//! The reference runs the program as the model emits it, unfolded and in f64.

mod golden;
mod kernels;
mod times;

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, anyhow};
use serde_json::json;

use super::progress::Stages;
use super::{Failure, device, model_ref, noise, print};
use crate::config::DEFAULT_MODEL;
use crate::engine::reference::Reference;
use crate::engine::{Batch, DeviceId, Engine, Image, Options, PixelFormat, Precision};
use kernels::Kernel;

/// Largest relative error of an image's logits, ‖out − ref‖ / ‖ref‖. In f16 and bf16 a quarter more than torch itself loses in the worst of the
/// golden cases, whose networks are made to magnify errors; in int8 the same.
fn bound(precision: Precision) -> f64 {
    match precision {
        Precision::F32 => 1e-4,
        Precision::F16 => 0.028,
        Precision::Bf16 | Precision::Int8 => 0.29,
    }
}

/// Arguments of `verify`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A demo model, a folder, hub:ORGANISATION/NAME, or the name of an architecture
    #[arg(default_value = DEFAULT_MODEL)]
    model: String,
    /// Side of the images in pixels, for an architecture [default: 224]
    #[arg(long, value_name = "PIXELS")]
    size: Option<usize>,
    #[command(flatten)]
    device: device::Choice,
    /// Kernels of a GPU that are proved, by their names: all of them by default, or none
    #[arg(long, value_name = "NAMES", value_delimiter = ',', default_value = "all")]
    kernels: Vec<String>,
    /// A folder of golden cases to compare too, as tests/golden of the repository; in every precision, or in the one that is named
    #[arg(long, value_name = "FOLDER")]
    golden: Option<PathBuf>,
    /// Images that are compared
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..=1024))]
    images: u64,
    /// JSON instead of lines
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: Args) -> Result<(), Failure> {
    let engine = args.device.engine().map_err(Failure::Usage)?;
    let device = engine.devices()[0].to_string();
    let network = model_ref::network(&args.model, args.size).map_err(Failure::Usage)?;
    let wanted = kernels::Wanted::read(&args.kernels).map_err(Failure::Usage)?;
    let stages = Stages::new(false);
    let kernels = kernels::prove(&engine.devices()[0], &wanted, &stages)?;
    let golden = match &args.golden {
        Some(folder) => golden::compare(&*engine, folder, args.device.named_precision(), &stages)?,
        None => Vec::new(),
    };
    let program = &network.program;
    let count = args.images as usize;
    stages.line(&format!(
        "{} ({}) on {}: {count} images of {}×{}, {:.2} GMAC each; the reference engine is slow",
        program.architecture,
        network.origin,
        device,
        program.input.height,
        program.input.width,
        program.cost().macs as f64 / 1e9
    ));
    let precision = args.device.precision(&*engine, program, network.quantized);
    let options = Options { precision, max_batch: count.min(8), threads: threads(), profile: false };
    let executable = |engine: &dyn Engine, precision| {
        let loaded = engine.load(DeviceId(0), program, &*network.weights, &Options { precision, ..options });
        loaded.and_then(|loaded| loaded.instantiate()).with_context(|| format!("loading on {}", engine.devices()[0]))
    };
    stages.begin("loading");
    let mut tested = executable(&*engine, precision)?;
    stages.begin("self-check");
    tested.self_check(program, &*network.weights).map_err(anyhow::Error::from)?;
    stages.begin("loading the reference engine");
    let mut reference = executable(&Reference::default(), Precision::F32)?;
    let size = program.input.height * program.input.width * 3;
    let mut errors = Vec::with_capacity(count);
    let began = Instant::now();
    for first in (0..count).step_by(options.max_batch) {
        let images = first..count.min(first + options.max_batch);
        stages.reach("image", first as u64, args.images);
        let batch = || -> Batch {
            let image = |index| Image::new(PixelFormat::Rgb8, noise::image(index as u64, size));
            images.clone().map(image).collect()
        };
        let (out, expected) = (tested.run(batch()), reference.run(batch()));
        let (out, expected) = (out.map_err(anyhow::Error::from)?, expected.map_err(anyhow::Error::from)?);
        let classes = program.classes();
        for (out, expected) in out.chunks(classes).zip(expected.chunks(classes)) {
            errors.push(relative_error(out, expected));
            stages.line(&format!("image {} of {count}: relative error {:.2e}", errors.len(), errors[errors.len() - 1]));
        }
    }
    let worst = worst(errors.iter().copied());
    let times = times::time(&*engine, &engine.devices()[0], &stages)?;
    drop(stages);
    let bound = bound(precision);
    let passed = worst <= bound;
    let verdict = if passed { "within" } else { "OVER" };
    if args.json {
        let report = json!({"model": args.model, "architecture": program.architecture, "device": device,
                            "precision": precision.name(), "kernels": kernels.iter().map(Kernel::json).collect::<Vec<_>>(),
                            "golden": golden.iter().map(golden::Outcome::json).collect::<Vec<_>>(),
                            "times": times.iter().map(times::Timed::json).collect::<Vec<_>>(),
                            "relative_errors": errors, "worst": worst, "bound": bound, "passed": passed});
        print(&format!("{report:#}\n"))?;
    } else {
        print(&format!(
            "{} in {precision} on {}: worst relative error {worst:.2e}, {verdict} the bound of {bound:.0e}, {count} images in {:.1} s\n",
            program.architecture,
            device,
            began.elapsed().as_secs_f64()
        ))?;
    }
    if passed { Ok(()) } else { Err(anyhow!("{} differs from the reference engine", device).into()) }
}

fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// The largest error; a NaN, if there is one, which is over every bound.
fn worst(errors: impl Iterator<Item = f64>) -> f64 {
    errors.fold(0.0, |a: f64, b| if b > a || b.is_nan() { b } else { a })
}

fn relative_error(out: &[f32], expected: &[f32]) -> f64 {
    let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|x| x * x).sum::<f64>().sqrt();
    let difference = norm(&mut out.iter().zip(expected).map(|(a, b)| f64::from(*a) - f64::from(*b)));
    difference / norm(&mut expected.iter().map(|b| f64::from(*b)))
}
