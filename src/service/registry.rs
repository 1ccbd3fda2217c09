//! The models that are served: names, labels, preprocessing, places, and the worker that runs each.

use std::collections::HashSet;
use std::sync::Arc;

use super::budget::Budget;
use super::scheduler::ModelId;
use super::worker::Worker;
use super::{ModelStatus, ServiceError};
use crate::checkpoint::Checkpoint;
use crate::metrics::ModelLabels;
use crate::pixels::Transform;
use crate::program::Program;

/// A model to serve, under a name.
pub struct NamedModel {
    /// The name in requests, answers and metrics.
    pub name: String,
    /// All the rest.
    pub checkpoint: Checkpoint,
    /// The name of the model that it is measured against, if one is.
    pub baseline: Option<String>,
}

/// A served model.
#[derive(Debug)]
pub(super) struct Model {
    pub(super) metric_labels: ModelLabels,
    pub(super) program: Arc<Program>,
    pub(super) transform: Transform,
    /// Names of the classes.
    pub(super) classes: Vec<Arc<str>>,
    pub(super) origin: String,
    pub(super) baseline: Option<String>,
    /// Images between admission and answer.
    pub(super) places: Arc<Budget>,
    pub(super) worker: Arc<Worker>,
    /// Its index at the worker.
    pub(super) id: ModelId,
    pub(super) max_batch: usize,
}

/// The version that every model has until versions are served.
pub(super) const VERSION: &str = "1";

impl Model {
    pub(super) fn name(&self) -> &str {
        &self.metric_labels.model
    }

    pub(super) fn status(&self, default: bool) -> ModelStatus {
        let input = self.program.input;
        ModelStatus {
            name: self.name().to_owned(),
            version: VERSION.to_owned(),
            architecture: self.program.architecture.clone(),
            family: self.program.family.clone(),
            device: self.metric_labels.device.clone(),
            origin: self.origin.clone(),
            baseline: self.baseline.clone(),
            ready: self.worker.ready(),
            default,
            input: (input.height, input.width),
            classes: self.classes.len(),
            parameters: self.program.parameters(),
            macs: self.program.cost().macs,
            max_batch: self.max_batch,
        }
    }
}

/// All models, the default first.
#[derive(Debug)]
pub(super) struct Registry {
    models: Vec<Arc<Model>>,
}

impl Registry {
    pub(super) fn new(models: Vec<Arc<Model>>) -> Self {
        Self { models }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<Model>> {
        self.models.iter()
    }

    /// The model of this name, or the default.
    pub(super) fn find(&self, name: Option<&str>) -> Result<&Arc<Model>, ServiceError> {
        let found = match name {
            Some(name) => self.models.iter().find(|model| model.name() == name),
            None => self.models.first(),
        };
        found.ok_or_else(|| ServiceError::UnknownModel {
            name: name.unwrap_or_default().to_owned(),
            known: self.models.iter().map(|model| model.name().to_owned()).collect(),
        })
    }
}

/// Names are given once, and are such that URLs, metrics and logs take them.
pub(super) fn check_names(models: &[NamedModel]) -> Result<(), String> {
    let mut seen = HashSet::new();
    if models.is_empty() {
        return Err("there is no model to serve".to_owned());
    }
    for NamedModel { name, .. } in models {
        let fits = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        if name.is_empty() || name.len() > 128 || !name.chars().all(fits) {
            return Err(format!(
                "model name {name:?}: 1 to 128 letters, digits, dots, dashes and underscores are possible"
            ));
        }
        if !seen.insert(name) {
            return Err(format!("two models are named {name}"));
        }
    }
    let missing = |model: &&NamedModel| model.baseline.as_ref().is_some_and(|baseline| !seen.contains(baseline));
    if let Some(NamedModel { name, baseline: Some(baseline), .. }) = models.iter().find(missing) {
        return Err(format!("model {name} is to be measured against {baseline}, which is not served"));
    }
    Ok(())
}
