//! What the networks take on a GPU, beside what was computed for its kind before any card ran them (`kernels/budgets`). Not here: a benchmark, which takes
//! turns between cases and devices (`convnext bench`).

use std::time::{Duration, Instant};

use anyhow::Context as _;
use serde_json::{Value, json};

use crate::cli::progress::Stages;
use crate::cli::{Failure, model_ref, noise};
use crate::engine::{Batch, DeviceId, DeviceInfo, DeviceKind, Engine, Image, Options, PixelFormat, Precision};

/// The tables, by the network. They are in f16, of images of 224 × 224.
const TABLES: [(&str, &str); 3] = [
    ("convnext_tiny", include_str!("../../../kernels/budgets/convnext_tiny.tsv")),
    ("convnext_base", include_str!("../../../kernels/budgets/convnext_base.tsv")),
    ("swin_tiny", include_str!("../../../kernels/budgets/swin_tiny.tsv")),
];
const BATCHES: [usize; 4] = [1, 8, 64, 256];
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
                predicted: predicted(table, &device.model, batch),
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

/// The interval of a card that is named as in the tables, for the whole of a network.
fn predicted(table: &str, model: &str, batch: usize) -> Option<(f64, f64)> {
    let mut lines = table.lines().map(|line| line.split('\t').collect::<Vec<_>>());
    let head = lines.next()?;
    let column = |name: &str| head.iter().position(|column| *column == name);
    let [card, size, operation] = [column("card")?, column("batch")?, column("operation")?];
    let [low, high] = [column("low_us")?, column("high_us")?];
    let words = |name: &str| name.split([' ', '-']).map(str::to_owned).collect::<Vec<_>>();
    let model = words(model);
    // of an A100 the table has the one of 80 GB
    let has = |word: &String| model.iter().any(|own| own == word || own.strip_suffix("GB") == Some(word));
    let wanted =
        |row: &Vec<&str>| row[size].parse() == Ok(batch) && row[operation] == "all" && words(row[card]).iter().all(has);
    let row = lines.filter(|row| row.len() == head.len()).find(wanted)?;
    Some((row[low].parse().ok()?, row[high].parse().ok()?))
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
    fn cards_are_found_by_the_names_that_drivers_give_them() {
        for (network, table) in TABLES {
            for (model, is_known) in [
                ("NVIDIA H100 80GB HBM3", true),
                ("NVIDIA A100-SXM4-80GB", true),
                ("NVIDIA A100-SXM4-40GB", false),
                ("Tesla T4", true),
                ("NVIDIA L4", true),
                ("NVIDIA L40S", false),
                ("NVIDIA GeForce RTX 4090", true),
                ("NVIDIA GeForce RTX 3070", false),
            ] {
                for batch in BATCHES {
                    let found = predicted(table, model, batch);
                    assert_eq!(found.is_some(), is_known, "{network} on {model} at {batch}");
                    assert!(found.is_none_or(|(low, high)| 0.0 < low && low < high));
                }
            }
        }
    }

    #[test]
    fn the_middle_one_is_the_median() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
    }
}
