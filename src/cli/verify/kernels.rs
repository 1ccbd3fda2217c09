//! Every kernel of a GPU against plain arithmetic, on shapes of real networks and at the edges. Not here: networks (`verify`).

use anyhow::anyhow;
use serde_json::{Value, json};

use crate::cli::Failure;
use crate::cli::progress::Stages;
use crate::engine::cuda::proof::{self, Outcome};
use crate::engine::{DeviceInfo, DeviceKind};

/// Which kernels are proved.
pub(super) enum Wanted {
    All,
    These(Vec<&'static str>),
}

impl Wanted {
    /// `all`, `none`, or kernels by their names.
    ///
    /// # Errors
    /// For a name that no kernel has.
    pub(super) fn read(names: &[String]) -> anyhow::Result<Self> {
        let known: Vec<&'static str> = proof::kernels().collect();
        match names {
            [all] if all == "all" => Ok(Self::All),
            [none] if none == "none" => Ok(Self::These(Vec::new())),
            names => names.iter().map(|name| find(name, &known)).collect::<anyhow::Result<_>>().map(Self::These),
        }
    }

    fn contain(&self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::These(names) => names.contains(&name),
        }
    }
}

fn find(name: &str, known: &[&'static str]) -> anyhow::Result<&'static str> {
    let found = known.iter().find(|known| **known == name);
    found
        .copied()
        .ok_or_else(|| anyhow!("no kernel is called {name:?}; there are {}, or all, or none", known.join(", ")))
}

/// What a kernel has shown.
pub(super) struct Kernel {
    name: &'static str,
    outcomes: Vec<Outcome>,
}

/// Proves kernels of a GPU, and tells how each ended; nothing on other devices.
///
/// # Errors
/// When a kernel is wrong.
pub(super) fn prove(device: &DeviceInfo, wanted: &Wanted, stages: &Stages) -> Result<Vec<Kernel>, Failure> {
    let number = device.name.strip_prefix("cuda:").and_then(|number| number.parse().ok());
    let Some(number) = number.filter(|_| device.kind == DeviceKind::Cuda) else { return Ok(Vec::new()) };
    let mut kernels = Vec::new();
    for name in proof::kernels().filter(|name| wanted.contain(name)) {
        stages.begin(format!("kernel {name}"));
        let outcomes = proof::prove(name, number).map_err(|why| anyhow!("{device}: {why}"))?;
        let kernel = Kernel { name, outcomes };
        let (cases, worst) = (kernel.outcomes.len(), kernel.worst());
        stages.line(&format!("kernel {name}: {cases} cases, the largest error {worst:.2} of its bound"));
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
