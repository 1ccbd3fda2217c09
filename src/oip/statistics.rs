//! What is counted of models, as the protocol tells it. Not here: the counting (`metrics`).

use std::time::{Duration, SystemTime};

use super::Error;
use super::metadata::instance;
use super::names::{Target, version};
use crate::metrics::{Requests, Tally};
use crate::service::{Classifier, ModelState};

/// The counts of a version under one of its names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelStatistics {
    /// One of its names. Requests for labels that brought image files count under `NAME_image`.
    pub name: String,
    /// The version.
    pub version: String,
    /// When the last request was answered, in ms since 1970; 0 before the first.
    pub last_inference: u64,
    /// Requests under this name, whatever the protocol.
    pub requests: Requests,
    /// Batches of the version by their size, of both names together: a batch has images of both.
    pub executions: Vec<Executions>,
    /// Images under this name that wait for a device now.
    pub waiting: usize,
    /// What the version takes on each device that runs it, which is the same under both names.
    pub memory: Vec<MemoryUsage>,
}

/// Memory that a model takes on a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryUsage {
    /// `GPU`, or `CPU` for the machine's own.
    pub kind: &'static str,
    /// The GPU's number, otherwise 0.
    pub id: u32,
    /// Bytes.
    pub bytes: u64,
}

/// Batches of one size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Executions {
    /// Images.
    pub batch_size: usize,
    /// How many there were, and their time on the device.
    pub tally: Tally,
}

impl ModelStatistics {
    /// Batches of all sizes.
    #[must_use]
    pub fn execution_count(&self) -> u64 {
        self.executions.iter().map(|executions| executions.tally.count).sum()
    }
}

/// The counts of one version, of all versions of a model, or of all models, of those that serve. An empty name is all models, an
/// empty version all versions.
///
/// # Errors
/// `UnknownModel`, `UnknownVersion`, `NotReady`.
pub fn statistics(classifier: &Classifier, name: &str, of_version: &str) -> Result<Vec<ModelStatistics>, Error> {
    let of = |target: &Target, number: Option<&str>| -> Result<ModelStatistics, Error> {
        let (status, counted) = classifier.serving(&target.model, number)?;
        let requests = counted.requests(target.form);
        Ok(ModelStatistics {
            name: target.name.clone(),
            last_inference: requests.last.map_or(0, milliseconds),
            requests,
            waiting: classifier.waiting(&target.model, status.version.as_deref(), target.form),
            memory: status.memory_on.iter().map(|(device, bytes)| memory_usage(device, *bytes)).collect(),
            version: status.version.unwrap_or_default(),
            executions: counted
                .batches()
                .into_iter()
                .map(|(batch_size, tally)| Executions { batch_size, tally })
                .collect(),
        })
    };
    let target = (!name.is_empty()).then(|| Target::of(classifier, name));
    if let (Some(target), Some(number)) = (&target, version(of_version)) {
        return Ok(vec![of(target, Some(number))?]);
    }
    let mut all = Vec::new();
    for status in classifier.models().into_iter().filter(|status| status.state == ModelState::Ready) {
        let targets = match &target {
            Some(target) if target.model == status.name => vec![target.clone()],
            Some(_) => continue,
            None => Target::both(classifier, &status.name),
        };
        // one that was unloaded just now is left out
        all.extend(targets.iter().filter_map(|target| of(target, status.version.as_deref()).ok()));
    }
    match target {
        // why there is none
        Some(target) if all.is_empty() => Ok(vec![of(&target, None)?]),
        _ => Ok(all),
    }
}

fn memory_usage(device: &str, bytes: u64) -> MemoryUsage {
    match instance(device) {
        (_, "KIND_GPU", number) => MemoryUsage { kind: "GPU", id: number.unwrap_or_default(), bytes },
        _ => MemoryUsage { kind: "CPU", id: 0, bytes },
    }
}

fn milliseconds(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_a_gpus_by_its_number_or_the_machines() {
        let usage = |device| memory_usage(device, 7);
        assert_eq!(usage("cpu"), MemoryUsage { kind: "CPU", id: 0, bytes: 7 });
        assert_eq!(usage("cuda:3"), MemoryUsage { kind: "GPU", id: 3, bytes: 7 });
        assert_eq!(usage("cuda:1 (emulated)"), MemoryUsage { kind: "GPU", id: 1, bytes: 7 });
    }
}
