//! An engine against the logits of the libraries that published the models (`golden`), in every precision that it has. Not here: its
//! kernels one by one (`kernels`).

use std::path::Path;

use anyhow::{Context as _, anyhow};
use serde_json::{Value, json};

use super::relative_error;
use crate::cli::Failure;
use crate::cli::progress::Stages;
use crate::engine::{Batch, DeviceId, Engine, Options, Precision};
use crate::golden::{Golden, OF_ALL, SAMPLE, mean};

/// How a case ended in a precision.
pub(super) struct Outcome {
    case: String,
    precision: Precision,
    /// The largest relative error of an image's logits in f32, in 16 bits the root mean square of all.
    error: f64,
    bound: f64,
    /// The same as a share of what torch loses, where torch was run.
    of_torch: Option<f64>,
}

impl Outcome {
    pub(super) fn passed(&self) -> bool {
        // a NaN is over every bound
        self.error <= self.bound
    }

    pub(super) fn json(&self) -> Value {
        json!({"case": self.case, "precision": self.precision.name(), "error": self.error, "bound": self.bound, "of_torch": self.of_torch, "passed": self.passed()})
    }
}

/// Compares every case of a folder, in this precision or in all that the engine has for it, and tells how each ended.
///
/// # Errors
/// When a case cannot be read or does not run, and when logits are too far off.
pub(super) fn compare(
    engine: &dyn Engine,
    folder: &Path,
    precision: Option<Precision>,
    stages: &Stages,
) -> Result<Vec<Outcome>, Failure> {
    let folders = Golden::folders(folder).map_err(|why| Failure::Usage(why.into()))?;
    let mut outcomes = Vec::new();
    for folder in folders {
        let golden = Golden::open(&folder).map_err(|why| Failure::Usage(why.into()))?;
        let program = &golden.checkpoint.program;
        let has = |precision: &Precision| engine.unsupported(program, *precision).is_empty();
        let all = [Precision::F32, Precision::F16, Precision::Bf16];
        let precisions = precision.map_or_else(|| all.into_iter().filter(has).collect(), |named| vec![named]);
        for precision in precisions {
            let Some(bound) = golden.bound(precision) else {
                stages.line(&format!("{} in {precision}: not compared, for torch was not run in it", golden.name));
                continue;
            };
            let expected = golden.logits(precision);
            stages.begin(format!("{} in {precision}", golden.name));
            let options = Options { precision, max_batch: expected.len(), threads: super::threads(), profile: false };
            let loaded = engine.load(DeviceId(0), program, &*golden.checkpoint.weights, &options);
            let loading = || format!("loading {} in {precision}", golden.name);
            let mut executable = loaded.and_then(|loaded| loaded.instantiate()).with_context(loading)?;
            let logits = executable.run(Batch::new(golden.images(precision))).map_err(anyhow::Error::from)?;
            let found = logits.chunks(program.classes()).zip(expected);
            let errors: Vec<f64> = found.map(|(found, expected)| relative_error(found, expected)).collect();
            let error = golden.error(precision, &errors);
            let of_torch = golden.torch(precision).map(|torch| error / torch);
            let outcome = Outcome { case: golden.name.clone(), precision, error, bound, of_torch };
            let verdict = if outcome.passed() { "within" } else { "OVER" };
            stages.line(&format!(
                "{} in {precision}: relative error {error:.1e}, {verdict} the bound of {bound:.1e}",
                golden.name
            ));
            outcomes.push(outcome);
        }
    }
    for precision in [Precision::F16, Precision::Bf16] {
        let shares: Vec<f64> = outcomes
            .iter()
            .filter(|outcome| outcome.precision == precision)
            .filter_map(|outcome| outcome.of_torch)
            .collect();
        if shares.len() < SAMPLE {
            continue;
        }
        let mean = mean(&shares);
        stages.line(&format!(
            "all golden cases in {precision}: {mean:.2} times what torch loses, the geometric mean; at most {OF_ALL} is right"
        ));
        if mean.is_nan() || mean > OF_ALL {
            return Err(anyhow!("the golden cases in {precision} lose {mean:.2} times what torch loses").into());
        }
    }
    let over: Vec<&Outcome> = outcomes.iter().filter(|outcome| !outcome.passed()).collect();
    if over.is_empty() {
        return Ok(outcomes);
    }
    let names: Vec<String> = over.iter().map(|outcome| format!("{} in {}", outcome.case, outcome.precision)).collect();
    Err(anyhow!("logits are too far from those of the model's own library: {}", names.join(", ")).into())
}
