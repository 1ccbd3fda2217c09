//! What is told of the server and of its models: metadata, and a configuration such as clients of Triton read. Not here: counts
//! (`statistics`), models that do not serve (`repository`).

use super::Error;
use super::names::{OUTPUT, Target, input_name, input_type, version};
use super::tensor::Datatype;
use crate::service::{Classifier, Form, ModelState, ModelStatus, NOT_COMPUTED};

/// What runs the models; the protocol has a place for it.
const PLATFORM: &str = "convnext";
/// The same, where nothing runs them.
const NO_PLATFORM: &str = "null (no network is computed)";

/// What is told of the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerMetadata {
    /// Its name.
    pub name: &'static str,
    /// Its version.
    pub version: &'static str,
    /// The extensions that it serves, by Triton's names.
    pub extensions: Vec<&'static str>,
}

/// What is told of the server; `model_control` says that clients may load and unload models.
#[must_use]
pub fn server(model_control: bool) -> ServerMetadata {
    let (name, version) = (env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"));
    ServerMetadata { name, version, extensions: extensions(model_control) }
}

/// The extensions that are served.
#[must_use]
pub fn extensions(model_control: bool) -> Vec<&'static str> {
    let mut all = vec!["classification", "model_configuration", "binary_tensor_data", "parameters", "statistics"];
    if model_control {
        all.push("model_repository");
    }
    all
}

/// A tensor that a model takes or gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorMetadata {
    /// Its name.
    pub name: &'static str,
    /// The type of its elements.
    pub datatype: Datatype,
    /// With the batch, which may have any size (-1).
    pub shape: Vec<i64>,
}

/// What is told of a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelMetadata {
    /// The name that was asked for.
    pub name: String,
    /// The versions that serve.
    pub versions: Vec<String>,
    /// What runs it.
    pub platform: &'static str,
    /// One.
    pub inputs: Vec<TensorMetadata>,
    /// One.
    pub outputs: Vec<TensorMetadata>,
}

/// A model's configuration, as far as one has a meaning here. Shapes in it have no batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelConfig {
    /// The name that was asked for.
    pub name: String,
    /// What runs it.
    pub platform: &'static str,
    /// Images of the largest batch that runs at once; a request may have more.
    pub max_batch_size: usize,
    /// Its input.
    pub input: TensorMetadata,
    /// `FORMAT_NCHW` of a tensor of images, otherwise `FORMAT_NONE`.
    pub input_format: &'static str,
    /// Its output.
    pub output: TensorMetadata,
    /// The devices that run it, each with the protocol's kind and, of a GPU, its number.
    pub devices: Vec<(String, &'static str, Option<u32>)>,
}

/// A version that serves, under the name that was asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Served {
    target: Target,
    status: ModelStatus,
    versions: Vec<String>,
}

impl Served {
    /// The version that a request for this name and version would get; an empty version is the server's choice.
    ///
    /// # Errors
    /// `UnknownModel`, `UnknownVersion`, `NotReady`.
    pub fn find(classifier: &Classifier, name: &str, of_version: &str) -> Result<Self, Error> {
        let target = Target::of(classifier, name);
        let (status, _) = classifier.serving(&target.model, version(of_version))?;
        let all = classifier.models().into_iter();
        let versions = all
            .filter(|status| status.name == target.model && status.state == ModelState::Ready)
            .filter_map(|status| status.version)
            .collect();
        Ok(Self { target, status, versions })
    }

    /// What is told of it.
    #[must_use]
    pub fn metadata(&self) -> ModelMetadata {
        let batched = |tensor: TensorMetadata| TensorMetadata { shape: [vec![-1], tensor.shape].concat(), ..tensor };
        ModelMetadata {
            name: self.target.name.clone(),
            versions: self.versions.clone(),
            platform: self.platform(),
            inputs: vec![batched(self.input())],
            outputs: vec![batched(self.output())],
        }
    }

    /// Its configuration.
    #[must_use]
    pub fn config(&self) -> ModelConfig {
        ModelConfig {
            name: self.target.name.clone(),
            platform: self.platform(),
            max_batch_size: self.status.max_batch,
            input: self.input(),
            input_format: if self.target.form == Form::Tensor { "FORMAT_NCHW" } else { "FORMAT_NONE" },
            output: self.output(),
            devices: self.status.devices.iter().map(|device| instance(device)).collect(),
        }
    }

    fn platform(&self) -> &'static str {
        let computes_nothing = self.status.devices.iter().any(|device| device.ends_with(NOT_COMPUTED));
        if computes_nothing { NO_PLATFORM } else { PLATFORM }
    }

    fn input(&self) -> TensorMetadata {
        let shape = match self.target.form {
            Form::Tensor => dims(self.status.input),
            Form::Files => vec![1],
        };
        TensorMetadata { name: input_name(self.target.form), datatype: input_type(self.target.form), shape }
    }

    fn output(&self) -> TensorMetadata {
        TensorMetadata { name: OUTPUT, datatype: Datatype::Fp32, shape: vec![self.status.classes as i64] }
    }
}

/// A device by name, kind and number.
pub(super) fn instance(device: &str) -> (String, &'static str, Option<u32>) {
    let number = device.strip_prefix("cuda:").map(|rest| rest.split(' ').next().unwrap_or_default());
    match number {
        Some(digits) => (device.to_owned(), "KIND_GPU", digits.parse().ok()),
        None => (device.to_owned(), "KIND_CPU", None),
    }
}

/// The shape of an image of so many rows and columns.
pub(super) fn dims((height, width): (usize, usize)) -> Vec<i64> {
    vec![3, height as i64, width as i64]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_of_a_kind() {
        assert_eq!(instance("cuda:1 (emulated)").1, "KIND_GPU");
        assert_eq!(instance("cuda:1 (emulated)").2, Some(1));
        assert_eq!((instance("cpu").1, instance("cpu").2), ("KIND_CPU", None));
    }

    #[test]
    fn models_are_controlled_only_where_that_is_allowed() {
        assert!(!extensions(false).contains(&"model_repository"));
        assert!(extensions(true).contains(&"model_repository"));
    }
}
