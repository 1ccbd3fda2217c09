//! Golden cases: a checkpoint beside the logits that the library which published its format computes for it, and what that library itself
//! loses in 16 bits. `tests/golden` of the repository has them, and what made them.
//!
//! In f32 every image is held to its logits. In 16 bits one image says little: with other errors of approximate instructions alone, an image's error
//! moves by up to three times, torch's as ours. There the case's images are taken in four orientations each, and the root mean square of all
//! is held to torch's of the same images.
//!
//! Not here: whose logits are compared with them (`convnext verify`, the suite of all engines).

use std::path::{Path, PathBuf};

use safetensors::{Dtype, SafeTensors};

use crate::checkpoint::{Checkpoint, CheckpointError, open};
use crate::engine::{Image, PixelFormat, Precision};

/// Largest relative error of an image in f32, of any engine.
const F32: f64 = 1e-4;
/// How many times torch's error the error of a case in 16 bits may be.
const THAN_TORCH: f64 = 1.25;
/// The geometric mean over all cases of what an engine loses is at most so many times what torch loses: no worse than torch's own.
pub const OF_ALL: f64 = 1.0;
/// Fewer cases than this are no sample.
pub const SAMPLE: usize = 8;
/// Orientations of each image in 16 bits: turned by none to three quarters, counterclockwise.
pub const TURNS: usize = 4;

const EXPECTED: &str = "expected.json";
const TENSORS: &str = "expected.safetensors";
const TURNED: &str = "turned.safetensors";

/// A golden case.
pub struct Golden {
    /// The folder's name.
    pub name: String,
    /// The model.
    pub checkpoint: Checkpoint,
    /// Normalised images `[3, h, w]`.
    pixels: Vec<Vec<f32>>,
    /// Logits of each image in f32, as the library computes them.
    logits: Vec<Vec<f32>>,
    turned: Turned,
}

/// All images in all orientations, image by image.
struct Turned {
    logits: Vec<Vec<f32>>,
    /// Torch's own relative errors of these in 16 bits.
    float16: Vec<f32>,
    bfloat16: Vec<f32>,
}

/// Tensors of a file, which are all f32.
struct Floats<'a> {
    path: PathBuf,
    tensors: SafeTensors<'a>,
}

impl<'a> Floats<'a> {
    fn new(path: PathBuf, bytes: &'a [u8]) -> Result<Self, CheckpointError> {
        match SafeTensors::deserialize(bytes) {
            Ok(tensors) => Ok(Self { path, tensors }),
            Err(why) => Err(CheckpointError::Safetensors { path, why: why.to_string() }),
        }
    }

    fn wrong(&self, why: String) -> CheckpointError {
        CheckpointError::Safetensors { path: self.path.clone(), why }
    }

    fn get(&self, name: &str) -> Result<Vec<f32>, CheckpointError> {
        match self.tensors.tensor(name) {
            Ok(tensor) if tensor.dtype() == Dtype::F32 => {
                Ok(tensor.data().as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
            }
            Ok(tensor) => Err(self.wrong(format!("{name} is {:?}; F32 is needed", tensor.dtype()))),
            Err(why) => Err(self.wrong(why.to_string())),
        }
    }
}

impl Golden {
    /// Opens a case: a checkpoint's folder with `expected.json`, `expected.safetensors` and `turned.safetensors`.
    ///
    /// # Errors
    /// See [`CheckpointError`].
    pub fn open(folder: &Path) -> Result<Self, CheckpointError> {
        let checkpoint = open(folder)?;
        let path = folder.join(TENSORS);
        let bytes = read(&path)?;
        let file = Floats::new(path, &bytes)?;
        let count = file.tensors.names().iter().filter(|name| name.starts_with("logits.")).count();
        let all = |name: &str| (0..count).map(|image| file.get(&format!("{name}.{image}"))).collect();
        let (pixels, logits): (Result<Vec<_>, _>, Result<Vec<_>, _>) = (all("pixels"), all("logits"));
        let (pixels, logits) = (pixels?, logits?);

        let input = checkpoint.program.input;
        let path = folder.join(TURNED);
        let bytes = read(&path)?;
        let file = Floats::new(path, &bytes)?;
        let turned = Turned {
            logits: file.get("logits")?.chunks(checkpoint.program.classes()).map(<[f32]>::to_vec).collect(),
            float16: file.get("float16")?,
            bfloat16: file.get("bfloat16")?,
        };
        let counts = [turned.logits.len(), turned.float16.len(), turned.bfloat16.len()];
        if counts != [count * TURNS; 3] {
            return Err(file.wrong(format!("it is of {counts:?} images; {count} in {TURNS} orientations are needed")));
        }
        if input.height != input.width || pixels.iter().any(|image| image.len() != 3 * input.height * input.width) {
            return Err(file.wrong("its images are not square, or not of the network's size".to_owned()));
        }
        let name = folder.file_name().unwrap_or(folder.as_os_str()).to_string_lossy().into_owned();
        Ok(Self { name, checkpoint, pixels, logits, turned })
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

    /// The normalised images that a precision is judged by: as they are in f32, in 16 bits in all orientations.
    #[must_use]
    pub fn images(&self, precision: Precision) -> Vec<Image> {
        let side = self.checkpoint.program.input.height;
        let orientations = if precision == Precision::F32 { 1 } else { TURNS };
        let image = |pixels: &Vec<f32>, turns| {
            let bytes = turned(pixels, side, turns).into_iter().flat_map(f32::to_le_bytes).collect::<Vec<u8>>();
            Image::new(PixelFormat::F32, bytes)
        };
        self.pixels.iter().flat_map(|pixels| (0..orientations).map(move |turns| image(pixels, turns))).collect()
    }

    /// The logits of these images in f32, as the library computes them.
    #[must_use]
    pub fn logits(&self, precision: Precision) -> &[Vec<f32>] {
        if precision == Precision::F32 { &self.logits } else { &self.turned.logits }
    }

    /// What a precision loses, of the relative errors ‖out − expected‖ / ‖expected‖ of these images: the largest in f32, in 16 bits the root of their mean
    /// square.
    #[must_use]
    pub fn error(&self, precision: Precision, errors: &[f64]) -> f64 {
        match precision {
            // a NaN is over every bound
            Precision::F32 => errors.iter().fold(0.0, |a: f64, &b| if b > a || b.is_nan() { b } else { a }),
            _ => root_mean_square(errors.iter().copied()),
        }
    }

    /// What torch itself loses of these images in 16 bits; None for what torch was not run in.
    #[must_use]
    pub fn torch(&self, precision: Precision) -> Option<f64> {
        let errors = match precision {
            Precision::F16 => &self.turned.float16,
            Precision::Bf16 => &self.turned.bfloat16,
            Precision::F32 | Precision::Int8 => return None,
        };
        Some(root_mean_square(errors.iter().copied().map(f64::from)))
    }

    /// What an engine may lose at most: in f32 what every engine keeps, in 16 bits a quarter more than torch itself. None for what torch was not run in.
    #[must_use]
    pub fn bound(&self, precision: Precision) -> Option<f64> {
        match precision {
            Precision::F32 => Some(F32),
            _ => self.torch(precision).map(|torch| THAN_TORCH * torch),
        }
    }
}

/// A square image `[3, side, side]`, turned by so many quarters counterclockwise.
fn turned(pixels: &[f32], side: usize, turns: usize) -> Vec<f32> {
    let quarter = |pixels: Vec<f32>| -> Vec<f32> {
        let plane = side * side;
        let at = |index| (index / plane, index % plane / side, index % side);
        (0..pixels.len()).map(at).map(|(c, y, x)| pixels[c * plane + x * side + side - 1 - y]).collect()
    };
    (0..turns).fold(pixels.to_vec(), |pixels, _| quarter(pixels))
}

fn root_mean_square(values: impl ExactSizeIterator<Item = f64>) -> f64 {
    let count = values.len() as f64;
    (values.map(|value| value * value).sum::<f64>() / count).sqrt()
}

/// The geometric mean of shares of what torch loses.
#[must_use]
pub fn mean(shares: &[f64]) -> f64 {
    (shares.iter().map(|share| share.ln()).sum::<f64>() / shares.len() as f64).exp()
}

fn read(path: &Path) -> Result<Vec<u8>, CheckpointError> {
    std::fs::read(path).map_err(|cause| CheckpointError::Io { path: path.to_owned(), cause })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quarter_turns_counterclockwise() {
        let image = [1.0, 2.0, 3.0, 4.0];
        let pixels: Vec<f32> = [image, image, image].concat();
        for (turns, expected) in [(0, image), (1, [2.0, 4.0, 1.0, 3.0]), (2, [4.0, 3.0, 2.0, 1.0])] {
            assert_eq!(turned(&pixels, 2, turns), [expected; 3].concat(), "{turns}");
        }
        assert_eq!(turned(&pixels, 2, 4), pixels);
    }
}
