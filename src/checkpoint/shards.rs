//! Which tensors a checkpoint has, in its one safetensors file or in those that an index lists. Not here: which tensors a
//! model needs (`weights`), and what a file's head looks like (`safetensors`).

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use serde_json::Value;

use super::CheckpointError;
use super::config::Section;
use super::files::{File, Files};
use super::names::Naming;
use super::names::written::unwrapped;
use super::safetensors::{self, Tensor};

const SINGLE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";

/// The files of a checkpoint with all their tensors.
pub(super) struct Shards {
    /// The one file, or the index: what messages name.
    pub(super) path: PathBuf,
    /// The open files.
    pub(super) files: Vec<File>,
    /// By the name that the file gives, or after [`rename`](Self::rename) the library.
    pub(super) tensors: BTreeMap<String, Located>,
}

/// A tensor and the index of its file.
pub(super) struct Located {
    pub(super) file: usize,
    pub(super) tensor: Tensor,
}

/// Opens `model.safetensors`, or else the files of `model.safetensors.index.json`, or else the only safetensors file that there is, and reads their
/// heads.
///
/// # Errors
/// [`CheckpointError::NotFound`] when there is none, which says how to convert what there is; whatever is wrong with one of the files.
pub(super) fn open(files: Files<'_>, timm: bool) -> Result<Shards, CheckpointError> {
    let mut shards = Shards { path: files.path(SINGLE), files: Vec::new(), tensors: BTreeMap::new() };
    if let Some(file) = files.open(SINGLE)? {
        shards.add(file)?;
        return Ok(shards);
    }
    let Some(index) = files.json(INDEX)? else {
        let name = only(files, timm)?;
        shards.path = files.path(&name);
        if let Some(file) = files.open(&name)? {
            shards.add(file)?;
        }
        return Ok(shards);
    };
    let path = files.path(INDEX);
    let weight_map = weight_map(&index, &path)?;
    let mut numbers = BTreeMap::new();
    for name in weight_map.values() {
        if numbers.contains_key(name) {
            continue;
        }
        let Some(file) = files.open(name)? else {
            let why = format!("{INDEX} lists it");
            return Err(CheckpointError::NotFound { path: files.path(name), why });
        };
        numbers.insert(name, shards.files.len());
        shards.add(file)?;
    }
    for (tensor, name) in &weight_map {
        if shards.tensors.get(*tensor).map(|located| located.file) != numbers.get(name).copied() {
            let why = format!("weight_map says that tensor {tensor} is in {name}, which does not have it");
            return Err(CheckpointError::Config { path, why });
        }
    }
    Ok(Shards { path, ..shards })
}

/// The name of the only safetensors file of a folder.
fn only(files: Files<'_>, timm: bool) -> Result<String, CheckpointError> {
    let path = files.path(SINGLE);
    let names = files.names()?;
    let of = |end: &str| -> Vec<&String> {
        names.iter().filter(|name| name.ends_with(end) && !name.starts_with('.')).collect()
    };
    let safetensors = of(".safetensors");
    match safetensors.as_slice() {
        [] => {}
        [name] => return Ok((*name).clone()),
        several => {
            let names: Vec<&str> = several.iter().map(|name| name.as_str()).collect();
            let why = format!("there are {}; name the one that is to be served {SINGLE}", names.join(", "));
            return Err(CheckpointError::NotFound { path, why });
        }
    }
    let pickled = [".bin", ".pth", ".pt", ".ckpt", ".tar"].iter().find_map(|end| of(end).first().copied().cloned());
    let why = match pickled {
        None => format!("there is no {INDEX} either; the weights must be in safetensors"),
        Some(pickled) => {
            let folder = path.parent().unwrap_or(Path::new("")).display();
            let command = if timm {
                format!(
                    "python -c \"import timm, safetensors.torch as s; s.save_file(timm.create_model('local-dir:{folder}', \
                     pretrained=True).state_dict(), '{folder}/{SINGLE}')\""
                )
            } else {
                format!(
                    "python -c \"from transformers import AutoModelForImageClassification as M; \
                     M.from_pretrained('{folder}').save_pretrained('{folder}')\""
                )
            };
            format!("{pickled} is a pickle, which can run code and is not read; convert it: {command}")
        }
    };
    Err(CheckpointError::NotFound { path, why })
}

impl Shards {
    /// Gives tensors the names that the library's loader gives them. A name that is taken stays as it is.
    pub(super) fn rename(&mut self, naming: Naming) {
        let names: BTreeSet<String> = self.tensors.keys().map(|name| unwrapped(name).to_owned()).collect();
        for (stored, located) in std::mem::take(&mut self.tensors) {
            let loaded = naming.loaded(&stored, |name| names.contains(name));
            let name = if self.tensors.contains_key(&loaded) { stored } else { loaded };
            self.tensors.insert(name, located);
        }
    }

    fn add(&mut self, file: File) -> Result<(), CheckpointError> {
        for tensor in safetensors::tensors(&file)? {
            if let Some(Located { file: first, tensor }) = self.tensors.get(&tensor.name) {
                let why = format!("tensor {} is also in {}", tensor.name, self.files[*first].path.display());
                return Err(CheckpointError::Safetensors { path: file.path, why });
            }
            self.tensors.insert(tensor.name.clone(), Located { file: self.files.len(), tensor });
        }
        self.files.push(file);
        Ok(())
    }
}

/// The files of an index by tensor; each a plain name, for a path could lead anywhere.
fn weight_map<'a>(index: &'a Value, path: &'a Path) -> Result<BTreeMap<&'a str, &'a str>, CheckpointError> {
    let missing = || CheckpointError::Config { path: path.to_owned(), why: "it has no weight_map".to_owned() };
    let weight_map = Section::new(path, index)?.section("weight_map")?.ok_or_else(missing)?;
    let entries = weight_map.entries().map(|(tensor, value)| {
        let name = value.as_str().filter(|name| is_plain(name));
        Ok((tensor, name.ok_or_else(|| weight_map.invalid(tensor, "the name of a file beside the index is needed"))?))
    });
    entries.collect()
}

/// Whether this names a file in a folder, and no way to another.
fn is_plain(name: &str) -> bool {
    let mut components = Path::new(name).components();
    matches!((components.next(), components.next()), (Some(Component::Normal(only)), None) if only == name)
}
