//! What the networks take on a GPU, beside what was computed for its kind before any card ran them (`kernels/budgets`). Not here: a benchmark, which takes
//! turns between cases and devices (`convnext bench`).

use std::time::{Duration, Instant};

use anyhow::Context as _;
use serde_json::{Value, json};

use crate::cli::budgets::{BATCHES, TABLES, computed};
use crate::cli::progress::Stages;
use crate::cli::{Failure, model_ref, noise};
use crate::engine::{Batch, DeviceId, DeviceInfo, DeviceKind, Engine, Image, Options, PixelFormat, Precision};

/// Runs whose median is told, or as many as end within the time; some before them are not counted.
const RUNS: usize = 50;
const LONGEST: Duration = Duration::from_secs(2);
const WARM_UP: usize = 3;

/// A network at a batch size.
pub(super) struct Timed {
    network: &'static str,
    batch: usize,
    /// µs, from and to.
    predicted: Option<(f64, f64)>,
    /// µs, the median of the runs: copies of images and logits included.
    measured: f64,
}

impl Timed {
    pub(super) fn json(&self) -> Value {
        let predicted = self.predicted.map(|(low, high)| json!([low, high]));
        json!({"network": self.network, "batch": self.batch, "predicted_us": predicted, "measured_us": self.measured})
    }
}

/// Times the published networks on a GPU, and tells each; nothing on an emulated one, whose speed says nothing, and on other devices.
///
/// # Errors
/// When a network does not load or run.
pub(super) fn time(engine: &dyn Engine, device: &DeviceInfo, stages: &Stages) -> Result<Vec<Timed>, Failure> {
    if device.kind != DeviceKind::Cuda || device.emulated {
        return Ok(Vec::new());
    }
    let mut times = Vec::new();
    for (network, table) in TABLES {
        stages.begin(format!("timing {network}"));
        let model = model_ref::network(network, None)?;
        let max_batch = BATCHES[BATCHES.len() - 1];
        let options = Options { precision: Precision::F16, max_batch, threads: super::threads(), profile: false };
        let loaded = engine.load(DeviceId(0), &model.program, &*model.weights, &options);
        let loaded = loaded.and_then(|loaded| loaded.instantiate());
        let mut executable = loaded.with_context(|| format!("loading {network}"))?;
        let size = model.program.input.height * model.program.input.width * 3;
        let images: Vec<Vec<u8>> = (0..8).map(|index| noise::image(index, size)).collect();
        for batch in BATCHES {
            let run = || -> Batch {
                (0..batch).map(|index| Image::new(PixelFormat::Rgb8, images[index % images.len()].clone())).collect()
            };
            let mut taken = Vec::new();
            let began = Instant::now();
            while taken.len() < WARM_UP + 1 || (taken.len() < WARM_UP + RUNS && began.elapsed() < LONGEST) {
                let batch = run();
                let start = Instant::now();
                executable.run(batch).map_err(anyhow::Error::from)?;
                taken.push(start.elapsed().as_secs_f64() * 1e6);
            }
            let timed = Timed {
                network,
                batch,
                predicted: computed(table, &device.model, batch),
                measured: median(&taken[WARM_UP..]),
            };
            let beside = timed.predicted.map_or_else(
                || "nothing was computed for this card".to_owned(),
                |(low, high)| format!("computed {low:.0} … {high:.0} µs without copies"),
            );
            stages.line(&format!("{network} in f16, batch {batch}: {:.0} µs; {beside}", timed.measured));
            times.push(timed);
        }
    }
    Ok(times)
}

fn median(times: &[f64]) -> f64 {
    let mut times = times.to_vec();
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn the_middle_one_is_the_median() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
    }
}
