//! What is counted of models, as the protocol tells it. Not here: the counting (`metrics`).

use std::time::{Duration, SystemTime};

use super::Error;
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
            version: status.version.unwrap_or_default(),
            last_inference: requests.last.map_or(0, milliseconds),
            requests,
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

fn milliseconds(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
