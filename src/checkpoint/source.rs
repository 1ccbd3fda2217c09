//! Where a checkpoint comes from, as a value that outlives it, so that the checkpoint can be opened again. Not here: what the
//! files say.

use std::fmt;
use std::path::PathBuf;

use super::files::Files;
use super::{Checkpoint, CheckpointError, demo, open_files};

/// Where a checkpoint comes from. It can be opened any number of times; a folder may have changed in between.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A model of the binary itself, by one of the names of [`demo_names`](super::demo_names).
    BuiltIn(&'static str),
    /// A folder in timm's hub format or transformers'.
    Folder(PathBuf),
}

impl Source {
    /// Opens the checkpoint: of a folder `config.json`, `model.safetensors` (or the files that `model.safetensors.index.json`
    /// lists), and transformers' `preprocessor_config.json`.
    ///
    /// Classes without names are called as ImageNet-1k's when a timm checkpoint has a thousand, else `class_0`, `class_1`, ….
    ///
    /// # Errors
    /// See [`CheckpointError`].
    pub fn open(&self) -> Result<Checkpoint, CheckpointError> {
        let files = match self {
            Self::BuiltIn(name) => demo::files(name)?,
            Self::Folder(folder) => Files::Folder(folder),
        };
        open_files(files, self.to_string())
    }
}

/// In words, for people: the folder, or that it is built in.
impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BuiltIn(_) => f.write_str("built in"),
            Self::Folder(folder) => folder.display().fmt(f),
        }
    }
}
