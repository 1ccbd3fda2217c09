//! The weights of a program in the files of a checkpoint: found and held against the program when it is opened, read at
//! their positions when an engine asks. Not here: which files and tensors there are (`shards`), whose names (`names`).

use std::collections::HashMap;
use std::io;

use super::CheckpointError;
use super::error::Misfit;
use super::files::{File, Files};
use super::float::Float;
use super::names::{Naming, written};
use super::shards::{self, Located, Shards};
use super::steps::{self, Steps};
use crate::program::{Program, WeightError, WeightSource};

/// Bytes that are read at once: enough to hide the call, little beside a model.
const CHUNK: usize = 1 << 20;

/// The weights of a program, of which all are known to be there and in their shape.
pub(super) struct StoredWeights {
    files: Vec<File>,
    /// By canonical name: the one tensor, or the several that follow each other along the weight's first dimension.
    parts: HashMap<String, Vec<Part>>,
    /// The naming of the files.
    pub(super) naming: Naming,
}

/// Where a stored tensor lies.
struct Part {
    /// As the file names it.
    stored: String,
    /// Index of its file.
    file: usize,
    float: Float,
    offset: u64,
    elements: usize,
    /// What whole bytes are multiplied with.
    steps: Option<Steps>,
}

impl StoredWeights {
    /// Finds the program's weights. Reads no more than the heads of the files.
    ///
    /// # Errors
    /// Missing or damaged files, [`CheckpointError::Dtype`], and [`CheckpointError::Tensors`] unless the files have just the
    /// tensors that the program reads, and buffers that the library itself ignores.
    pub(super) fn open(files: Files<'_>, program: &Program, naming: Naming) -> Result<Self, CheckpointError> {
        let mut shards = shards::open(files, naming.is_timm())?;
        shards.rename(naming);
        let naming = naming.of_file(|name| shards.tensors.contains_key(name));
        shards.tensors.retain(|name, _| !naming.ignores(name));
        let mut misfit = Misfit::default();
        let mut parts_of = HashMap::new();
        for (canonical, shape) in program.weights.iter().flat_map(|weight| weight.recipe.stored()) {
            let names = naming.stored(canonical);
            let mut shape = shape.to_vec();
            if let Some(first) = shape.first_mut() {
                *first /= names.len();
            }
            let mut parts = Vec::with_capacity(names.len());
            for stored in names {
                parts.extend(find(&mut shards, stored, &shape, &mut misfit)?);
            }
            parts_of.insert(canonical.to_owned(), parts);
        }
        let stored = shards.tensors.values().map(|located| located.tensor.name.as_str());
        misfit.hint = written::hint(stored.clone());
        misfit.extra = stored.map(str::to_owned).collect();
        if !misfit.is_empty() {
            let architecture = program.architecture.clone();
            return Err(CheckpointError::Tensors { path: shards.path, architecture, misfit: Box::new(misfit) });
        }
        Ok(Self { files: shards.files, parts: parts_of, naming })
    }

    /// Whether any of them is stored in bytes.
    pub(super) fn are_bytes(&self) -> bool {
        self.parts.values().flatten().any(|part| part.steps.is_some())
    }

    /// The files that they are in.
    pub(super) fn files(&self) -> &[File] {
        &self.files
    }
}

/// Takes a weight of this name and shape out of the tensors that are there, and with one in bytes its steps, which are tensors of their own.
fn find(
    shards: &mut Shards,
    name: String,
    shape: &[usize],
    misfit: &mut Misfit,
) -> Result<Option<Part>, CheckpointError> {
    let [rows, columns] = [steps::ROWS, steps::COLUMNS].map(|behind| format!("{name}{behind}"));
    let part = match take(shards, name, shape, misfit)? {
        Some(part) if part.float == Float::I8 => part,
        other => return Ok(other),
    };
    let Some(rows) = take(shards, rows, &shape[..1], misfit)? else { return Ok(None) };
    let columns = match shards.tensors.contains_key(&columns) {
        true => take(shards, columns, shape.get(1..2).unwrap_or_default(), misfit)?,
        false => None,
    };
    let read = |part: Part| {
        let (file, mut into) = (&shards.files[part.file], vec![0.0; part.elements]);
        if part.float == Float::I8 {
            return Err(CheckpointError::Dtype {
                path: file.path.clone(),
                tensor: part.stored,
                dtype: "I8".to_owned(),
            });
        }
        part.read(file, &mut into).map_err(|cause| CheckpointError::Io { path: file.path.clone(), cause })?;
        Ok(into)
    };
    let steps = Steps { rows: read(rows)?, columns: columns.map(read).transpose()? };
    Ok(Some(Part { steps: Some(steps), ..part }))
}

/// Takes a tensor of this name and shape out of those that are there; without one, tells the misfit.
fn take(
    shards: &mut Shards,
    name: String,
    shape: &[usize],
    misfit: &mut Misfit,
) -> Result<Option<Part>, CheckpointError> {
    let Some(Located { file, tensor }) = shards.tensors.remove(&name) else {
        misfit.missing.push(name);
        return Ok(None);
    };
    let stored = tensor.name;
    if !agree(&tensor.shape, shape) {
        misfit.misshapen.push(format!("{stored} {:?} instead of {shape:?}", tensor.shape));
        return Ok(None);
    }
    let Some(float) = Float::of(tensor.dtype) else {
        let path = shards.files[file].path.clone();
        return Err(CheckpointError::Dtype { path, tensor: stored, dtype: tensor.dtype.to_string() });
    };
    Ok(Some(Part { stored, file, float, offset: tensor.offset, elements: shape.iter().product(), steps: None }))
}

/// Whether shapes are the same but for dimensions of one, which move no element: a linear layer may be stored as a 1×1
/// convolution, and GRN's vectors as `[1, 1, 1, c]`.
fn agree(found: &[usize], needed: &[usize]) -> bool {
    let moving = |dims: &[usize]| dims.iter().copied().filter(|dim| *dim != 1).collect::<Vec<_>>();
    moving(found) == moving(needed)
}

impl WeightSource for StoredWeights {
    fn read(&self, name: &str, into: &mut [f32]) -> Result<(), WeightError> {
        let source_name = |file: usize| self.files.get(file).map(|f| f.path.display().to_string()).unwrap_or_default();
        let Some(parts) = self.parts.get(name) else {
            return Err(WeightError::Missing { source_name: source_name(0), tensor: name.to_owned() });
        };
        let found = parts.iter().map(|part| part.elements).sum();
        if into.len() != found {
            let names: Vec<&str> = parts.iter().map(|part| part.stored.as_str()).collect();
            let source_name = source_name(parts.first().map_or(0, |part| part.file));
            return Err(WeightError::Size { source_name, tensor: names.join(", "), found, needed: into.len() });
        }
        let mut rest = into;
        for part in parts {
            let (elements, later) = rest.split_at_mut(part.elements);
            part.read(&self.files[part.file], elements).map_err(|cause| {
                let (source_name, tensor) = (source_name(part.file), part.stored.clone());
                WeightError::Read { source_name, tensor, cause }
            })?;
            rest = later;
        }
        Ok(())
    }
}

impl Part {
    fn read(&self, file: &File, into: &mut [f32]) -> io::Result<()> {
        let size = self.float.size();
        let mut buffer = vec![0; CHUNK.min(into.len() * size)];
        let mut offset = self.offset;
        for chunk in into.chunks_mut(CHUNK / size) {
            let bytes = &mut buffer[..chunk.len() * size];
            file.read_exact_at(bytes, offset)?;
            self.float.widen(bytes, chunk);
            offset += bytes.len() as u64;
        }
        if let Some(steps) = &self.steps {
            steps.multiply(into);
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_tensor_longer_than_a_chunk_is_read_whole_and_from_its_offset() {
        // more than two chunks, of which the last is short
        let numbers: Vec<f32> = (0..2 * CHUNK / 4 + 1001).map(|i| i as f32).collect();
        let bytes: Vec<u8> = [0xff; 6].into_iter().chain(numbers.iter().flat_map(|n| n.to_le_bytes())).collect();
        let len = bytes.len() as u64;
        let file = File::of(&*bytes.leak(), len);
        let part =
            Part { stored: "t".into(), file: 0, float: Float::F32, offset: 6, elements: numbers.len(), steps: None };
        let mut read = vec![f32::NAN; numbers.len()];
        part.read(&file, &mut read).unwrap();
        assert!(read == numbers);
    }
}
