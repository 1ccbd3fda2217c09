//! Checkpoints: whose names, whose config, from a folder to a program, its weights, its preprocessing and its labels.
//!
//! Folders in timm's hub format and in transformers' are read, each by the rules of its own library. Everything is checked
//! when a folder is opened, before a weight is read, and nothing that a file says is believed. Not here: what a network
//! computes (`model`), how weights are packed (`engine`), downloading (`hub`).

mod config;
mod demo;
mod error;
mod files;
mod float;
mod json;
mod labels;
mod misplaced;
mod names;
mod preprocessing;
mod quantize;
mod safetensors;
mod score_function;
mod shards;
mod source;
mod steps;
mod timm;
mod transformers;
mod weights;

use std::path::Path;

use config::Section;
pub use demo::{demo, demo_names};
pub use error::{CheckpointError, Misfit};
use files::Files;
use names::Naming;
use preprocessing::Preprocessing;
pub use quantize::Quantized;
pub use score_function::{ScoreFunction, UnknownScoreFunction};
pub use source::Source;
use weights::StoredWeights;

use crate::model::Spec;
use crate::pixels::Transform;
use crate::program::{Program, WeightSource};

const CONFIG: &str = "config.json";

/// A model as published: everything that serving it needs.
pub struct Checkpoint {
    /// The network.
    pub program: Program,
    /// Its weights by canonical name, which any thread may read.
    pub weights: Box<dyn WeightSource + Send + Sync>,
    /// Bytes of an image to the pixels of the program's input.
    pub transform: Transform,
    /// Names of the classes, by index. Two classes may have the same name, as ImageNet's two cranes do.
    pub labels: Vec<String>,
    /// How logits become scores where a request does not say.
    pub scores: ScoreFunction,
    /// Where it came from, in words: a folder, or built in.
    pub origin: String,
    /// Whether its weights are stored in bytes, with steps: it was made to run in int8.
    pub quantized: bool,
}

/// What a configuration says of a model.
struct Description {
    spec: Spec,
    naming: Naming,
    preprocessing: Preprocessing,
    /// One for each class, where they are known.
    labels: Option<Vec<String>>,
}

/// Opens a folder in timm's hub format or transformers', as [`Source::open`] does.
///
/// # Errors
/// See [`CheckpointError`].
pub fn open(folder: &Path) -> Result<Checkpoint, CheckpointError> {
    Source::Folder(folder.to_owned()).open()
}

fn open_files(files: Files<'_>, origin: String) -> Result<Checkpoint, CheckpointError> {
    let (description, scores, stored, program) = found(files)?;
    let Description { preprocessing, labels, .. } = description;
    let labels = labels.unwrap_or_else(|| (0..program.classes()).map(labels::class).collect());
    let (quantized, transform) = (stored.are_bytes(), preprocessing.transform);
    Ok(Checkpoint { program, weights: Box::new(stored), transform, labels, scores, origin, quantized })
}

/// What the files of a checkpoint describe, its weights as they are stored, and its program.
fn found(files: Files<'_>) -> Result<(Description, ScoreFunction, StoredWeights, Program), CheckpointError> {
    let path = files.path(CONFIG);
    let missing = || {
        let why = "a model is a folder with config.json and model.safetensors, in timm's format or transformers'";
        CheckpointError::NotFound { path: path.clone(), why: why.to_owned() }
    };
    let config = files.json(CONFIG)?.ok_or_else(missing)?;
    let config = Section::new(&path, &config)?;
    let description = if config.has("architecture") {
        timm::describe(config)?
    } else if config.has("architectures") || config.has("model_type") {
        transformers::describe(config, files)?
    } else {
        let why = "it has neither architecture, as timm's has, nor architectures, as transformers' has".to_owned();
        return Err(CheckpointError::Config { path, why });
    };
    let (input, naming) = (description.preprocessing.input, description.naming);
    let program =
        description.spec.program(input).map_err(|cause| CheckpointError::Architecture { path: path.clone(), cause })?;
    let weights = StoredWeights::open(files, &program, naming)?;
    let scores = ScoreFunction::of(config, program.classes())?;
    Ok((description, scores, weights, program))
}
