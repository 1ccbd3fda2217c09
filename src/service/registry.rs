//! The models by name and version: which of them a request gets, and what is known of each.
//! Not here: how they are loaded (`lifecycle`).

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use super::model::Model;
use super::options::{ModelOptions, STABLE};
use super::{ModelState, ModelStatus, ServiceError};
use crate::engine::Precision;
use crate::metrics::ModelMetrics;
use crate::model;

/// Why a model that is loaded does not serve.
const LOST: &str = "no device runs it any more: all of its devices have failed";

/// All models, those that were configured first.
#[derive(Debug, Default)]
pub(super) struct Registry {
    names: RwLock<Vec<Known>>,
}

/// What is known under a name.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) name: String,
    pub(super) options: ModelOptions,
    /// It was named on the command line or in a file, and not found in a repository.
    pub(super) configured: bool,
    /// The name of the model that it is measured against, where one was given.
    pub(super) baseline: Option<String>,
    pub(super) versions: BTreeMap<u64, Version>,
    /// Why nothing is known of its versions, or no more than before.
    pub(super) error: Option<String>,
    /// Its series, as long as it is meant to serve.
    pub(super) metrics: Option<Arc<ModelMetrics>>,
}

/// A version of a model.
#[derive(Clone, Debug, Default)]
pub(super) struct Version {
    /// What serves.
    pub(super) model: Option<Arc<Model>>,
    /// It, or its successor, is being loaded.
    pub(super) loading: bool,
    /// Why the last load failed; what was loaded before serves on.
    pub(super) error: Option<String>,
}

impl Registry {
    fn read(&self) -> RwLockReadGuard<'_, Vec<Known>> {
        self.names.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes a model's entry, which is made if there is none. What is returned is dropped by the caller, outside of the lock.
    pub(super) fn change<R>(&self, name: &str, change: impl FnOnce(&mut Known) -> R) -> R {
        let mut names = self.names.write().unwrap_or_else(PoisonError::into_inner);
        let index = names.iter().position(|known| known.name == name).unwrap_or_else(|| {
            names.push(Known {
                name: name.to_owned(),
                options: ModelOptions::default(),
                configured: false,
                baseline: None,
                versions: BTreeMap::new(),
                error: None,
                metrics: None,
            });
            names.len() - 1
        });
        change(&mut names[index])
    }

    /// Forgets a model.
    pub(super) fn forget(&self, name: &str) -> Option<Known> {
        let mut names = self.names.write().unwrap_or_else(PoisonError::into_inner);
        let index = names.iter().position(|known| known.name == name)?;
        Some(names.remove(index))
    }

    /// The versions of a model that serve, rising.
    pub(super) fn serving(&self, name: &str) -> Vec<u64> {
        self.read()
            .iter()
            .filter(|known| known.name == name)
            .flat_map(Known::serving)
            .map(|(number, _)| number)
            .collect()
    }

    /// Whether a name is known.
    pub(super) fn knows(&self, name: &str) -> bool {
        self.read().iter().any(|known| known.name == name)
    }

    /// The names that are known.
    pub(super) fn names(&self) -> Vec<String> {
        self.read().iter().map(|known| known.name.clone()).collect()
    }

    /// Brings the gauges of all models that are meant to serve up to date.
    pub(super) fn gauge(&self) {
        for known in self.read().iter() {
            let Some(metrics) = &known.metrics else { continue };
            metrics.queue(known.serving().map(|(_, model)| model.waiting()).sum());
            metrics.ready(known.serving().any(|(_, model)| model.is_open()));
        }
    }

    /// The model of a name (None: the default) and of a version's number or label (None: the one that it serves).
    ///
    /// # Errors
    /// `UnknownModel`, `UnknownVersion`, or `NotReady` where it is known and does not serve now.
    pub(super) fn find(&self, name: Option<&str>, version: Option<&str>) -> Result<Arc<Model>, ServiceError> {
        let names = self.read();
        let serving =
            || names.iter().filter(|known| known.serving().next().is_some()).map(|known| known.name.clone()).collect();
        let known = match name {
            Some(name) => names
                .iter()
                .find(|known| known.name == name)
                .ok_or_else(|| ServiceError::UnknownModel { name: name.to_owned(), known: serving() })?,
            None => default(&names).ok_or_else(|| match &names[..] {
                [] => ServiceError::NotReady("there is no model".to_owned()),
                _ => {
                    let names: Vec<String> = serving();
                    ServiceError::Invalid(format!("the request names no model; loaded are {}", names.join(", ")))
                }
            })?,
        };
        if known.serving().next().is_none() {
            let unknown = || ServiceError::UnknownModel { name: known.name.clone(), known: serving() };
            return Err(known.why_not().map_or_else(unknown, |why| known.not_ready(&why)));
        }
        let Some(model) = known.choose(version) else {
            return Err(match (version, known.options.labels.get(STABLE)) {
                (None, Some(stable)) => known.not_ready(&format!("version {stable}, which is {STABLE}, is not loaded")),
                _ => ServiceError::UnknownVersion {
                    model: known.name.clone(),
                    version: version.unwrap_or_default().to_owned(),
                    known: known.serving().map(|(number, _)| number.to_string()).collect(),
                },
            });
        };
        if model.is_open() { Ok(Arc::clone(model)) } else { Err(known.not_ready(LOST)) }
    }

    /// The models that are served beside what they are measured against, each with that: what requests get that name no version.
    pub(super) fn pairs(&self) -> Vec<(Arc<Model>, Arc<Model>)> {
        let names = self.read();
        let chosen = |known: &Known| known.choose(None).filter(|model| model.is_open()).cloned();
        let pair = |known: &Known| {
            let model = chosen(known)?;
            let baseline = known.baseline.clone().or_else(|| known_baseline(&model, &names))?;
            Some((model, names.iter().find(|other| other.name == baseline).and_then(chosen)?))
        };
        names.iter().filter_map(pair).collect()
    }

    /// Images of all models that are between admission and answer.
    pub(super) fn admitted_images(&self) -> u64 {
        self.read().iter().flat_map(Known::serving).map(|(_, model)| model.queue.used()).sum()
    }

    /// Every model that must be ready is; otherwise why not.
    pub(super) fn ready(&self) -> Result<(), String> {
        let names = self.read();
        if names.is_empty() {
            return Err("there is no model".to_owned());
        }
        for known in names.iter().filter(|known| known.options.required) {
            if !known.serving().any(|(_, model)| model.is_open()) {
                return Err(format!("{}: {}", known.name, known.why_not().unwrap_or_else(|| "not loaded".to_owned())));
            }
        }
        Ok(())
    }

    /// What is known of all versions of all models.
    pub(super) fn status(&self) -> Vec<ModelStatus> {
        let names = self.read();
        let mut all = Vec::new();
        let default_name = default(&names).map(|known| &known.name);
        for known in names.iter() {
            let is_default = default_name == Some(&known.name);
            let default = known.choose(None).map(|model| model.version).filter(|_| is_default);
            for (number, version) in &known.versions {
                let model = version.model.as_ref();
                let baseline = known.baseline.clone().or_else(|| known_baseline(model?, &names));
                all.push(known.status(Some(*number), version, baseline, default == Some(*number)));
            }
            if known.versions.is_empty() {
                let none = Version { error: known.error.clone(), ..Version::default() };
                all.push(known.status(None, &none, None, is_default));
            }
        }
        all
    }
}

/// The model of requests that name none: the first that was configured, or the only one.
fn default(names: &[Known]) -> Option<&Known> {
    names.iter().find(|known| known.configured).or(match names {
        [only] => Some(only),
        _ => None,
    })
}

/// The name of the served Swin that is known to be a ConvNeXt's.
fn known_baseline(model: &Model, names: &[Known]) -> Option<String> {
    let is_baseline = |other: &&Known| {
        let mut served = other.serving();
        served.any(|(_, other)| model::is_baseline(&other.program.architecture, &model.program.architecture))
    };
    names.iter().find(is_baseline).map(|other| other.name.clone())
}

impl Known {
    /// The versions that serve, rising.
    fn serving(&self) -> impl Iterator<Item = (u64, &Arc<Model>)> {
        self.versions.iter().filter_map(|(number, version)| Some((*number, version.model.as_ref()?)))
    }

    fn not_ready(&self, why: &str) -> ServiceError {
        ServiceError::NotReady(format!("{}: {why}", self.name))
    }

    /// The version of a number or label; without one the stable version, where that label is given, else the highest that serves.
    fn choose(&self, version: Option<&str>) -> Option<&Arc<Model>> {
        let labelled = |label: &str| self.versions.get(self.options.labels.get(label)?)?.model.as_ref();
        match version {
            None if self.options.labels.contains_key(STABLE) => labelled(STABLE),
            None => self.serving().last().map(|(_, model)| model),
            Some(text) => match text.parse() {
                Ok(number) => self.versions.get::<u64>(&number)?.model.as_ref(),
                Err(_) => labelled(text),
            },
        }
    }

    /// Why it does not serve, where it is meant to.
    fn why_not(&self) -> Option<String> {
        if self.versions.values().any(|version| version.loading) {
            return Some("the model is loading".to_owned());
        }
        if self.serving().next().is_some() && self.serving().all(|(_, model)| !model.is_open()) {
            return Some(LOST.to_owned());
        }
        let errors = self.versions.values().filter_map(|version| version.error.clone()).chain(self.error.clone());
        errors.last()
    }

    fn status(&self, number: Option<u64>, version: &Version, baseline: Option<String>, default: bool) -> ModelStatus {
        let model = version.model.as_deref();
        let program = model.map(|model| &*model.program);
        let running = || model.into_iter().flat_map(Model::running_devices);
        let labels = self.options.labels.iter().filter(|(_, labelled)| Some(**labelled) == number);
        ModelStatus {
            name: self.name.clone(),
            version: number.map(|number| number.to_string()),
            labels: labels.map(|(label, _)| label.clone()).collect(),
            state: match model {
                Some(model) if model.is_open() => ModelState::Ready,
                Some(_) => ModelState::Failed,
                None if version.loading => ModelState::Loading,
                None if version.error.is_some() => ModelState::Failed,
                None => ModelState::Unloaded,
            },
            error: version.error.clone().or_else(|| self.error.clone()),
            architecture: program.map(|program| program.architecture.clone()).unwrap_or_default(),
            family: program.map(|program| program.family.clone()).unwrap_or_default(),
            devices: running().map(|device| device.name.clone()).collect(),
            precision: model.map(|model| model.precision).or(self.options.precision).map_or("auto", Precision::name),
            origin: model.map(|model| model.origin.clone()).unwrap_or_default(),
            baseline,
            default,
            required: self.options.required,
            input: program.map(|program| (program.input.height, program.input.width)).unwrap_or_default(),
            classes: model.map(|model| model.classes.len()).unwrap_or_default(),
            parameters: program.map(|program| program.parameters()).unwrap_or_default(),
            macs: program.map(|program| program.cost().macs).unwrap_or_default(),
            max_batch: model.map_or(self.options.max_batch, |model| model.max_batch),
            memory: model.map(Model::memory).unwrap_or_default(),
            memory_on: running().map(|device| (device.name.clone(), device.memory)).collect(),
        }
    }
}
