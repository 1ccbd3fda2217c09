//! `bench` on an emulated GPU: each batch runs once, for the emulator's counters. Nothing is timed: an emulator's speed says nothing.
//!
//! Not here: the counters, which the emulator writes when its context ends.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;

use super::Model;
use crate::cli::noise;
use crate::engine::{Batch, DeviceId, Engine, Image, Options, PixelFormat};

/// Where the emulator is told to write what it counted.
const REPORT: &str = "CUDA_EMULATOR_REPORT";

/// Runs every model at every batch size once. What there is to say of it.
pub(super) fn run(
    engine: Arc<dyn Engine>,
    models: &[Model],
    batches: &[usize],
    options: Options,
) -> anyhow::Result<String> {
    for Model { name, network } in models {
        for batch in batches {
            let options = Options { max_batch: *batch, ..options };
            let loaded = engine.load(DeviceId(0), &network.program, &*network.weights, &options);
            let executable = loaded.and_then(|loaded| loaded.instantiate());
            let mut executable = executable.with_context(|| format!("loading {name}"))?;
            let size = network.program.input.height * network.program.input.width * 3;
            let image = |index| Image::new(PixelFormat::Rgb8, noise::image(index as u64, size));
            executable.run((0..*batch).map(image).collect::<Batch>())?;
            eprintln!("{name} at batch {batch}: computed");
        }
    }
    let device = engine.devices()[0].model.clone();
    // with the context the emulator ends its report
    drop(engine);
    let told = format!("{device}: nothing was measured, for an emulator has no speed to measure.\n");
    match std::env::var_os(REPORT).map(PathBuf::from) {
        Some(path) if path.extension().is_some_and(|extension| extension == "txt") => {
            let report = std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
            Ok(format!("{told}What it counted, and the times that follow from that by computation:\n\n{report}"))
        }
        Some(path) => Ok(format!("{told}What it counted is in {}.\n", path.display())),
        None => Ok(format!("{told}With {REPORT}=FILE.txt its counters are told here.\n")),
    }
}
