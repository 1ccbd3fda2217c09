//! Golden cases: a checkpoint beside the logits that the library which published its format computes for it, and what that library itself
//! loses in 16 bits. `tests/golden` of the repository has them, and what made them.
//!
//! Not here: whose logits are compared with them (`convnext verify`, the suite of all engines).

use std::path::{Path, PathBuf};

use safetensors::{Dtype, SafeTensors};
use serde::Deserialize;

use crate::checkpoint::{Checkpoint, CheckpointError, open};
use crate::engine::{Image, PixelFormat, Precision};

/// Largest relative error in f32, of any engine.
const F32: f64 = 1e-4;
/// How much worse than torch an engine may be on a single case in 16 bits. What torch loses of a case, and what an engine loses, are each one draw of rounding
/// noise: with other errors of approximate instructions alone, an engine's varies up to two times. One case shows what is wrong, not what is a little worse.
const OF_ONE: f64 = 2.0;
/// All cases together show that: the geometric mean of what an engine loses over what torch loses is at most this. No worse than torch's own.
pub const OF_ALL: f64 = 1.0;
/// Fewer cases than this are no sample.
pub const SAMPLE: usize = 8;

const EXPECTED: &str = "expected.json";
const TENSORS: &str = "expected.safetensors";

/// A golden case.
pub struct Golden {
    /// The folder's name.
    pub name: String,
    /// The model.
    pub checkpoint: Checkpoint,
    /// Normalised images `[3, h, w]` in f32, as bytes.
    pixels: Vec<Vec<u8>>,
    /// Logits of each image in f32, as the library computes them.
    pub logits: Vec<Vec<f32>>,
    torch: Torch,
}

/// What torch loses of these logits, the worst of the images.
#[derive(Deserialize)]
struct Torch {
    float16: f64,
    bfloat16: f64,
}

#[derive(Deserialize)]
struct Expected {
    torch_relative_error: Torch,
}

impl Golden {
    /// Opens a case: a checkpoint's folder with `expected.json` and `expected.safetensors`.
    ///
    /// # Errors
    /// See [`CheckpointError`].
    pub fn open(folder: &Path) -> Result<Self, CheckpointError> {
        let checkpoint = open(folder)?;
        let path = folder.join(EXPECTED);
        let expected: Expected = serde_json::from_slice(&read(&path)?)
            .map_err(|why| CheckpointError::Json { path, why: why.to_string() })?;
        let path = folder.join(TENSORS);
        let bytes = read(&path)?;
        let wrong = |why: String| CheckpointError::Safetensors { path: path.clone(), why };
        let tensors = SafeTensors::deserialize(&bytes).map_err(|why| wrong(why.to_string()))?;
        let tensor = |name: String| match tensors.tensor(&name) {
            Ok(tensor) if tensor.dtype() == Dtype::F32 => Ok(tensor.data().to_vec()),
            Ok(tensor) => Err(wrong(format!("{name} is {:?}; F32 is needed", tensor.dtype()))),
            Err(why) => Err(wrong(why.to_string())),
        };
        let count = tensors.names().iter().filter(|name| name.starts_with("logits.")).count();
        let (mut pixels, mut logits) = (Vec::new(), Vec::new());
        for image in 0..count {
            pixels.push(tensor(format!("pixels.{image}"))?);
            let bytes = tensor(format!("logits.{image}"))?;
            logits.push(bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect());
        }
        let name = folder.file_name().unwrap_or(folder.as_os_str()).to_string_lossy().into_owned();
        Ok(Self { name, checkpoint, pixels, logits, torch: expected.torch_relative_error })
    }

    /// The folders of the cases in a folder, by their names, or the folder itself if it is a case.
    ///
    /// # Errors
    /// When the folder cannot be read, or has none.
    pub fn folders(folder: &Path) -> Result<Vec<PathBuf>, CheckpointError> {
        let is_case = |folder: &Path| folder.join(EXPECTED).is_file();
        if is_case(folder) {
            return Ok(vec![folder.to_owned()]);
        }
        let io = |cause| CheckpointError::Io { path: folder.to_owned(), cause };
        let entries = folder.read_dir().map_err(io)?.collect::<Result<Vec<_>, _>>().map_err(io)?;
        let mut folders: Vec<PathBuf> =
            entries.into_iter().map(|entry| entry.path()).filter(|path| is_case(path)).collect();
        folders.sort();
        if folders.is_empty() {
            let why = "a golden case is a model's folder with this file, as those of tests/golden".to_owned();
            return Err(CheckpointError::NotFound { path: folder.join(EXPECTED), why });
        }
        Ok(folders)
    }

    /// The normalised images.
    #[must_use]
    pub fn images(&self) -> Vec<Image> {
        self.pixels.iter().map(|bytes| Image::new(PixelFormat::F32, bytes.clone())).collect()
    }

    /// The largest relative error of torch itself in 16 bits; None for what torch was not run in.
    #[must_use]
    pub fn torch(&self, precision: Precision) -> Option<f64> {
        match precision {
            Precision::F16 => Some(self.torch.float16),
            Precision::Bf16 => Some(self.torch.bfloat16),
            Precision::F32 | Precision::Int8 => None,
        }
    }

    /// Largest relative error of an image's logits, ‖out − expected‖ / ‖expected‖: in f32 what every engine keeps, in 16 bits twice what torch itself loses
    /// on this case; for all cases together [`OF_ALL`] holds. None for what torch was not run in.
    #[must_use]
    pub fn bound(&self, precision: Precision) -> Option<f64> {
        match precision {
            Precision::F32 => Some(F32),
            _ => self.torch(precision).map(|torch| OF_ONE * torch),
        }
    }
}

/// The geometric mean of shares of what torch loses.
#[must_use]
pub fn mean(shares: &[f64]) -> f64 {
    (shares.iter().map(|share| share.ln()).sum::<f64>() / shares.len() as f64).exp()
}

fn read(path: &Path) -> Result<Vec<u8>, CheckpointError> {
    std::fs::read(path).map_err(|cause| CheckpointError::Io { path: path.to_owned(), cause })
}
