//! What can be wrong with a checkpoint, in words that an operator can act on: each names the file. Not here: finding it out.

use std::fmt;
use std::path::PathBuf;

use crate::model::SpecError;

/// A checkpoint cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// A file cannot be opened or read.
    #[error("cannot read {}: {cause}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        cause: std::io::Error,
    },
    /// A file that is needed is not there.
    #[error("{} is missing: {why}", path.display())]
    NotFound {
        /// The file.
        path: PathBuf,
        /// What it is needed for, and what to do.
        why: String,
    },
    /// A file is not JSON, or larger than such a file is.
    #[error("{} is not JSON that can be read: {why}", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// What the parser said.
        why: String,
    },
    /// A configuration says what is not understood or not supported.
    #[error("{}: {why}", path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// The argument, its value and what would be possible.
        why: String,
    },
    /// The architecture is not known, or its numbers make no network.
    #[error("{}: {cause}", path.display())]
    Architecture {
        /// The file that names it.
        path: PathBuf,
        /// What is wrong with it.
        cause: SpecError,
    },
    /// A file is not safetensors: truncated, damaged or hostile.
    #[error("{} is not a valid safetensors file: {why}", path.display())]
    Safetensors {
        /// The file.
        path: PathBuf,
        /// What is wrong, with the tensor's name where there is one.
        why: String,
    },
    /// A weight is stored in a type that is not read.
    #[error("{}: tensor {tensor} is stored as {dtype}; F64, F32, F16, BF16, and I8 with steps can be read", path.display())]
    Dtype {
        /// The file.
        path: PathBuf,
        /// The tensor, as the file names it.
        tensor: String,
        /// Its type, as the file names it.
        dtype: String,
    },
    /// The stored tensors are not those of the architecture.
    #[error("{} does not fit {architecture}: {misfit}", path.display())]
    Tensors {
        /// The file.
        path: PathBuf,
        /// The architecture that its configuration names.
        architecture: String,
        /// Which tensors do not fit.
        misfit: Box<Misfit>,
    },
    /// It cannot be had from where it is kept.
    #[error("{0}")]
    Fetch(
        /// Why not, and what to do.
        String,
    ),
    /// No model of this name is built in.
    #[error("no model {name} is built in; there is {}", known.join(", "))]
    UnknownDemo {
        /// The name asked for.
        name: String,
        /// All names that there are.
        known: &'static [&'static str],
    },
}

/// The tensors in which a file differs from its architecture, as the file names them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Misfit {
    /// Needed but not there.
    pub missing: Vec<String>,
    /// There but not needed.
    pub extra: Vec<String>,
    /// Of another shape, with both shapes.
    pub misshapen: Vec<String>,
    /// What the file seems to be, and what to do, where that is known.
    pub hint: Option<&'static str>,
}

impl Misfit {
    /// Names of each kind that are printed; a wrong configuration makes hundreds.
    const SHOWN: usize = 10;

    /// Whether everything fits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.missing.is_empty() && self.extra.is_empty() && self.misshapen.is_empty()
    }
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kinds = [("missing", &self.missing), ("not expected", &self.extra), ("of another shape", &self.misshapen)];
        let mut separator = "";
        for (kind, tensors) in kinds.into_iter().filter(|(_, tensors)| !tensors.is_empty()) {
            let shown = &tensors[..tensors.len().min(Self::SHOWN)];
            write!(f, "{separator}{} {kind}: {}", tensors.len(), shown.join(", "))?;
            if shown.len() < tensors.len() {
                write!(f, " and {} more", tensors.len() - shown.len())?;
            }
            separator = "; ";
        }
        self.hint.map_or(Ok(()), |hint| write!(f, "; {hint}"))
    }
}
