//! `bench` on an emulated GPU: each batch runs once, for the emulator's counters. Nothing is timed: an emulator's speed says nothing. What is told
//! are counts, and times that follow from them by computation.
//!
//! Not here: the counters and the computed times, which the emulator writes when its context ends.

mod counted;
mod table;
mod traffic;

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, bail};

use self::counted::{Case, Report, Run};
use self::traffic::Traffic;
use super::Model;
use crate::cli::noise;
use crate::engine::{Batch, DeviceId, Engine, Image, Options, PixelFormat};

/// Where the emulator is told to write what it counted.
const REPORT: &str = "CUDA_EMULATOR_REPORT";

/// Runs every model at every batch size once. What there is to say of it, as text or as JSON.
pub(super) fn run(
    engine: Arc<dyn Engine>,
    models: &[Model],
    batches: &[usize],
    options: Options,
    json: bool,
) -> anyhow::Result<String> {
    let mut runs = Vec::new();
    for Model { name, network } in models {
        let loaded = |max_batch: usize| {
            let options = Options { max_batch, ..options };
            let loaded = engine.load(DeviceId(0), &network.program, &*network.weights, &options);
            loaded.and_then(|loaded| loaded.instantiate()).with_context(|| format!("loading {name}"))
        };
        let mut all = loaded(options.max_batch)?;
        for batch in batches {
            // a size that would be padded is loaded by itself
            let mut own = if all.buckets().of(*batch) == *batch { None } else { Some(loaded(*batch)?) };
            let executable = own.as_mut().unwrap_or(&mut all);
            let size = network.program.input.height * network.program.input.width * 3;
            let image = |index| Image::new(PixelFormat::Rgb8, noise::image(index as u64, size));
            executable.run((0..*batch).map(image).collect::<Batch>())?;
            let traffic = Traffic::of(&network.program, options.precision);
            runs.push(Run {
                model: name.clone(),
                batch: *batch,
                launched: executable.launched(*batch),
                fused_bytes: traffic.bytes(*batch),
            });
            eprintln!("{name} at batch {batch}: computed");
        }
    }
    let device = engine.devices()[0].model.clone();
    // with the context the emulator ends its report
    drop(engine);
    let told = format!("{device}: nothing was measured, for an emulator has no speed to measure.\n");
    let path = std::env::var_os(REPORT).map(PathBuf::from);
    match path.filter(|path| path.extension().is_some_and(|extension| extension == "json")) {
        Some(path) => {
            let text = std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
            let report: Report = serde_json::from_str(&text).with_context(|| format!("reading {}", path.display()))?;
            let cases = Case::all(&report, &runs)?;
            Ok(if json { table::json(&device, &cases)? } else { told + &table::text(&cases) })
        }
        None if json => bail!("with {REPORT}=FILE.json the emulator's counters are told here as JSON"),
        None => Ok(format!("{told}With {REPORT}=FILE.json its counters are told here, by operation.\n")),
    }
}
