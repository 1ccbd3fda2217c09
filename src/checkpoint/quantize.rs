//! A checkpoint with the weights of its products in bytes, and the folder that it is written to. Not here: whether it is as good as before (`cli/quantize`).
//!
//! Quantised is each weight as engines multiply it, with the scale of the norm before it, which is then taken out again as steps of columns: engines
//! fold it back in, and have the bytes of the file. Where that norm has a shift the bias makes good what the bytes lose of it.

use std::collections::HashMap;
use std::path::Path;

use ::safetensors::tensor::TensorView;
use ::safetensors::{Dtype, serialize_to_file};
use ring::digest::{Context, SHA256};
use serde_json::{Value, json};

use super::files::{File, Files};
use super::steps::{COLUMNS, ROWS, Steps};
use super::weights::StoredWeights;
use super::{CONFIG, CheckpointError, Source, demo, found};
use crate::program::int8::{MIN_DEPTH, byte, step};
use crate::program::{Op, Program, Recipe, WeightError, WeightSource, fold};

const WEIGHTS: &str = "model.safetensors";
/// What transformers' checkpoints have beside.
const PREPROCESSOR: &str = "preprocessor_config.json";
/// Where a configuration says how its weights were quantised, as transformers has it.
const FIELD: &str = "quantization_config";
/// What is read at once of a file whose digest is made.
const CHUNK: usize = 1 << 20;

/// A checkpoint's weights, those of products in bytes. Engines read them as floats.
pub struct Quantized {
    source: Source,
    /// By canonical name.
    tensors: HashMap<String, Tensor>,
    /// Of each file of weights of the source, its name and its SHA-256.
    digests: Vec<(String, String)>,
}

/// A weight as it is stored.
struct Tensor {
    /// The library's names of its parts, which lie along the first dimension.
    names: Vec<String>,
    shape: Vec<usize>,
    numbers: Numbers,
}

enum Numbers {
    Floats(Vec<f32>),
    Bytes(Vec<i8>, Steps),
}

impl Quantized {
    /// Quantises what a source has.
    ///
    /// # Errors
    /// See [`CheckpointError`]; a source whose weights are bytes already is one.
    pub fn of(source: &Source) -> Result<Self, CheckpointError> {
        let files = files(source)?;
        let (_, _, stored, program) = found(files)?;
        if stored.are_bytes() {
            let why = "its weights are quantised already; quantise the checkpoint that they were made of".to_owned();
            return Err(CheckpointError::Config { path: files.path(CONFIG), why });
        }
        let digests = stored.files().iter().map(digest).collect::<Result<_, _>>()?;
        let tensors = tensors(&program, &stored).map_err(|error| unread(files, &error))?;
        Ok(Self { source: source.clone(), tensors, digests })
    }

    /// Weights that are bytes now, and all.
    #[must_use]
    pub fn parameters(&self) -> (usize, usize) {
        let count = |tensor: &Tensor| tensor.shape.iter().product::<usize>();
        let bytes = self.tensors.values().filter(|tensor| matches!(tensor.numbers, Numbers::Bytes(..)));
        (bytes.map(count).sum(), self.tensors.values().map(count).sum())
    }

    /// Writes the folder, which must not exist: weights, and the configuration of the source with how they were made and what `found` says of them.
    ///
    /// # Errors
    /// [`CheckpointError::Io`] or [`CheckpointError::Config`]. A folder that was begun is left for nobody.
    pub fn write(&self, folder: &Path, found: &Value) -> Result<(), CheckpointError> {
        let io = |path: &Path| {
            let path = path.to_owned();
            move |cause| CheckpointError::Io { path, cause }
        };
        if folder.exists() {
            let why = "it is there already; nothing is written over it".to_owned();
            return Err(CheckpointError::Config { path: folder.to_owned(), why });
        }
        // whole or not at all, for a server may watch the folder that it is in
        let mut begun = folder.as_os_str().to_owned();
        begun.push(".part");
        let begun = Path::new(&begun);
        std::fs::create_dir_all(begun).map_err(io(begun))?;
        let written = self.write_files(begun, found).and_then(|()| std::fs::rename(begun, folder).map_err(io(folder)));
        if written.is_err() {
            let _ = std::fs::remove_dir_all(begun);
        }
        written
    }

    fn write_files(&self, folder: &Path, found: &Value) -> Result<(), CheckpointError> {
        let files = files(&self.source)?;
        let made = self.made(found);
        let io = |path: std::path::PathBuf| move |cause| CheckpointError::Io { path, cause };
        let mut config = files.json(CONFIG)?.unwrap_or_default();
        config[FIELD] = made.clone();
        let text = format!("{config:#}\n");
        std::fs::write(folder.join(CONFIG), text).map_err(io(folder.join(CONFIG)))?;
        if let Some(preprocessor) = files.json(PREPROCESSOR)? {
            let path = folder.join(PREPROCESSOR);
            std::fs::write(&path, format!("{preprocessor:#}\n")).map_err(io(path.clone()))?;
        }
        let metadata = HashMap::from([("format".to_owned(), "pt".to_owned()), (FIELD.to_owned(), made.to_string())]);
        let path = folder.join(WEIGHTS);
        let stored = self.stored();
        let views = stored.iter().map(|(name, dtype, shape, bytes)| {
            let view = TensorView::new(*dtype, shape.clone(), bytes);
            view.map(|view| (name, view))
        });
        let invalid = |cause: ::safetensors::SafeTensorError| CheckpointError::Safetensors {
            path: path.clone(),
            why: cause.to_string(),
        };
        let views = views.collect::<Result<Vec<_>, _>>().map_err(invalid)?;
        serialize_to_file(views, Some(metadata), &path).map_err(invalid)
    }

    /// How it was made, for whoever finds it.
    fn made(&self, found: &Value) -> Value {
        let digests: Vec<Value> =
            self.digests.iter().map(|(file, digest)| json!({"file": file, "sha256": digest})).collect();
        let (bytes, all) = self.parameters();
        json!({
            "quant_method": "convnext-int8",
            "weights": format!(
                "I8, symmetric, a step per output channel (NAME{ROWS}); where a norm comes before, also one per input channel (NAME{COLUMNS}), \
                 the inverse of the norm's scale: weight = byte * {} * {}", &ROWS[1..], &COLUMNS[1..]),
            "activations": "quantised as they come, a step and a zero per row and at most 384 channels; nothing is calibrated",
            "kept in floats": "depthwise convolutions, norms, biases, scales, layers of fewer than 16 inputs",
            "parameters": {"int8": bytes, "all": all},
            "tool": concat!("convnext ", env!("CARGO_PKG_VERSION")),
            "source": {"origin": self.source.to_string(), "files": digests},
            "found": found,
        })
    }

    /// All tensors of the file: name, type, shape, bytes.
    fn stored(&self) -> Vec<(String, Dtype, Vec<usize>, Vec<u8>)> {
        let floats = |values: &[f32]| values.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>();
        let mut all = Vec::new();
        for tensor in self.tensors.values() {
            let parts = tensor.names.len();
            let mut shape = tensor.shape.clone();
            shape[0] /= parts;
            let (rows, elements) = (shape[0], shape.iter().product::<usize>());
            for (index, name) in tensor.names.iter().enumerate() {
                let of = index * elements..(index + 1) * elements;
                match &tensor.numbers {
                    Numbers::Floats(values) => all.push((name.clone(), Dtype::F32, shape.clone(), floats(&values[of]))),
                    Numbers::Bytes(bytes, steps) => {
                        let bytes = bytes[of].iter().map(|byte| *byte as u8).collect();
                        all.push((name.clone(), Dtype::I8, shape.clone(), bytes));
                        let of_rows = floats(&steps.rows[index * rows..(index + 1) * rows]);
                        all.push((format!("{name}{ROWS}"), Dtype::F32, vec![rows], of_rows));
                        if let Some(columns) = &steps.columns {
                            all.push((format!("{name}{COLUMNS}"), Dtype::F32, vec![columns.len()], floats(columns)));
                        }
                    }
                }
            }
        }
        all
    }
}

impl WeightSource for Quantized {
    fn read(&self, name: &str, into: &mut [f32]) -> Result<(), WeightError> {
        let source_name = || format!("{}, quantised", self.source);
        let Some(tensor) = self.tensors.get(name) else {
            return Err(WeightError::Missing { source_name: source_name(), tensor: name.to_owned() });
        };
        let found = tensor.shape.iter().product();
        if into.len() != found {
            let (source_name, tensor, needed) = (source_name(), name.to_owned(), into.len());
            return Err(WeightError::Size { source_name, tensor, found, needed });
        }
        match &tensor.numbers {
            Numbers::Floats(values) => into.copy_from_slice(values),
            Numbers::Bytes(bytes, steps) => {
                into.iter_mut().zip(bytes).for_each(|(x, byte)| *x = f32::from(*byte));
                steps.multiply(into);
            }
        }
        Ok(())
    }
}

/// All weights of a program, quantised where products read them.
fn tensors(program: &Program, stored: &StoredWeights) -> Result<HashMap<String, Tensor>, WeightError> {
    let mut tensors = HashMap::new();
    for (name, shape) in program.weights.iter().flat_map(|weight| weight.recipe.stored()) {
        let mut values = vec![0.0; shape.iter().product()];
        stored.read(name, &mut values)?;
        let (names, numbers) = (stored.naming.stored(name), Numbers::Floats(values));
        tensors.insert(name.to_owned(), Tensor { names, shape: shape.to_vec(), numbers });
    }
    let folded = fold(program);
    for (_, op) in &folded.ops {
        let (weight, bias) = match op {
            Op::Linear(op) => (op.weight, op.bias),
            Op::Patchify(op) => (op.weight, op.bias),
            _ => continue,
        };
        let (name, scale) = match &folded.weight(weight).recipe {
            Recipe::Stored { name, .. } => (name, None),
            Recipe::ScaleColumns { weight, scale } => match (&**weight, &**scale) {
                (Recipe::Stored { name, .. }, Recipe::Stored { name: scale, .. }) => (name, Some(scale)),
                _ => continue,
            },
            _ => continue,
        };
        let floats = |name: &str| match tensors.get(name).map(|tensor: &Tensor| &tensor.numbers) {
            Some(Numbers::Floats(values)) => Some(values.clone()),
            _ => None,
        };
        let Some(values) = floats(name) else { continue };
        let scale = scale.and_then(|scale| floats(scale));
        let Some(shape) = tensors.get(name).map(|tensor| tensor.shape.clone()) else { continue };
        let rows = shape[0];
        if values.len() / rows < MIN_DEPTH {
            continue;
        }
        let (bytes, steps) = quantized(&values, (rows, shape.get(1).copied().unwrap_or(1)), scale);
        // a shift that is folded into the bias passes through this weight as it was
        if let Recipe::AddProduct { bias, shift, .. } = &folded.weight(bias).recipe
            && let (Recipe::Stored { name: bias, .. }, Recipe::Stored { name: shift, .. }) = (&**bias, &**shift)
            && let (Some(mut values_of_bias), Some(shift)) = (floats(bias), floats(shift))
        {
            let mut lost: Vec<f32> = bytes.iter().map(|byte| f32::from(*byte)).collect();
            steps.multiply(&mut lost);
            lost.iter_mut().zip(&values).for_each(|(found, was)| *found = was - *found);
            let row = values.len() / rows;
            let taps = (row / shift.len()).max(1);
            for (bias, lost) in values_of_bias.iter_mut().zip(lost.chunks(row)) {
                let sum: f64 = lost
                    .chunks(taps)
                    .zip(&shift)
                    .flat_map(|(taps, t)| taps.iter().map(move |w| f64::from(*w) * f64::from(*t)))
                    .sum();
                *bias = (f64::from(*bias) + sum) as f32;
            }
            tensors.entry(bias.clone()).and_modify(|tensor| tensor.numbers = Numbers::Floats(values_of_bias));
        }
        tensors.entry(name.clone()).and_modify(|tensor| tensor.numbers = Numbers::Bytes(bytes, steps));
    }
    Ok(tensors)
}

/// A weight `[rows, columns, …]` whose columns are scaled when it is multiplied, in bytes.
fn quantized(values: &[f32], (rows, columns): (usize, usize), scale: Option<Vec<f32>>) -> (Vec<i8>, Steps) {
    let mut scaled = values.to_vec();
    let columns = scale
        .map(|scale| {
            Steps { rows: vec![1.0; rows], columns: Some(scale.clone()) }.multiply(&mut scaled);
            // a column that is multiplied by zero has bytes of zero, whatever its step
            scale.iter().map(|scale| if *scale == 0.0 { 1.0 } else { 1.0 / scale }).collect::<Vec<f32>>()
        })
        .filter(|found| found.len() == columns);
    let row = values.len() / rows;
    let of_rows: Vec<f32> = scaled.chunks(row).map(step).collect();
    let bytes = scaled.chunks(row).zip(&of_rows).flat_map(|(row, step)| row.iter().map(|x| byte(*x, *step)));
    (bytes.collect(), Steps { rows: of_rows, columns })
}

fn files(source: &Source) -> Result<Files<'_>, CheckpointError> {
    match source {
        Source::BuiltIn(name) => demo::files(name),
        Source::Folder(folder) => Ok(Files::Folder(folder)),
    }
}

fn unread(files: Files<'_>, error: &WeightError) -> CheckpointError {
    CheckpointError::Io { path: files.path(WEIGHTS), cause: std::io::Error::other(error.to_string()) }
}

/// A file's name and its SHA-256.
fn digest(file: &File) -> Result<(String, String), CheckpointError> {
    let mut context = Context::new(&SHA256);
    for offset in (0..file.len).step_by(CHUNK) {
        context.update(&file.bytes(offset, CHUNK.min((file.len - offset) as usize))?);
    }
    let hex = context.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let name = file.path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    Ok((name, hex))
}
