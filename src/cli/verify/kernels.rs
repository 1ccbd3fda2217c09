//! Every kernel of a GPU against plain arithmetic, on shapes of real networks and at the edges. Not here: networks (`verify`).

use anyhow::anyhow;
use serde_json::{Value, json};

use crate::cli::Failure;
use crate::engine::cuda::proof::{self, Outcome};
use crate::engine::{DeviceInfo, DeviceKind};

/// What a kernel has shown.
pub(super) struct Kernel {
    name: &'static str,
    outcomes: Vec<Outcome>,
}

/// Proves every kernel of a GPU, and tells how each ended; nothing on other devices.
///
/// # Errors
/// When a kernel is wrong.
pub(super) fn prove(device: &DeviceInfo) -> Result<Vec<Kernel>, Failure> {
    let number = device.name.strip_prefix("cuda:").and_then(|number| number.parse().ok());
    let Some(number) = number.filter(|_| device.kind == DeviceKind::Cuda) else { return Ok(Vec::new()) };
    let mut kernels = Vec::new();
    for name in proof::kernels() {
        let outcomes = proof::prove(name, number).map_err(|why| anyhow!("{device}: {why}"))?;
        let kernel = Kernel { name, outcomes };
        let (cases, worst) = (kernel.outcomes.len(), kernel.worst());
        eprintln!("kernel {name}: {cases} cases, the largest error {worst:.2} of its bound");
        kernels.push(kernel);
    }
    let faults = kernels.iter().flat_map(|kernel| &kernel.outcomes);
    let faults: Vec<String> =
        faults.filter_map(|outcome| outcome.fault.as_ref().map(|fault| format!("{}: {fault}", outcome.case))).collect();
    if faults.is_empty() {
        Ok(kernels)
    } else {
        Err(anyhow!("kernels are wrong on {device}:\n  {}", faults.join("\n  ")).into())
    }
}

impl Kernel {
    fn worst(&self) -> f64 {
        self.outcomes.iter().map(|outcome| outcome.worst).fold(0.0, f64::max)
    }

    pub(super) fn json(&self) -> Value {
        json!({"kernel": self.name, "cases": self.outcomes.len(), "worst_share_of_bound": self.worst()})
    }
}
