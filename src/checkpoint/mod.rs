//! Checkpoints: whose names, whose config, from a folder to a program, its weights, its preprocessing and its labels.

use std::path::Path;

use crate::pixels::Transform;
use crate::program::{Program, WeightSource};

/// A model as published: everything that serving it needs.
pub struct Checkpoint {
    /// The network.
    pub program: Program,
    /// Its weights by canonical name.
    pub weights: Box<dyn WeightSource + Send>,
    /// Bytes of an image to the pixels of the program's input.
    pub transform: Transform,
    /// Names of the classes, by index.
    pub labels: Vec<String>,
    /// Where it came from, in words: a folder, or built in.
    pub origin: String,
}

/// A checkpoint cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {}

/// Opens a folder in timm's hub format or transformers'.
///
/// # Errors
/// See [`CheckpointError`].
pub fn open(_folder: &Path) -> Result<Checkpoint, CheckpointError> {
    todo!()
}

/// The names of the models that are built into the binary.
#[must_use]
pub fn demo_names() -> &'static [&'static str] {
    &["convnext_atto"]
}

/// A model that is built into the binary.
///
/// # Errors
/// See [`CheckpointError`].
pub fn demo(_name: &str) -> Result<Checkpoint, CheckpointError> {
    todo!()
}
