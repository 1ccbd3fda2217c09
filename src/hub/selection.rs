//! Which files of a repository serving needs: the descriptions, and the weights in safetensors. Not here: what they say (`checkpoint`).

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

use super::{HubError, Reference};

const CONFIG: &str = "config.json";
/// What transformers' checkpoints need beside it.
const PREPROCESSOR: &str = "preprocessor_config.json";
const SINGLE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";
/// Ends of the names of weights that are not read.
const PICKLED: [&str; 6] = [".bin", ".pth", ".pt", ".ckpt", ".tar", ".pkl"];
/// Largest configuration or index that is read, in bytes.
const JSON_LIMIT: u64 = 8 << 20;

/// The names of the files in a repository's first folder, or in a snapshot.
pub(super) struct Files {
    names: BTreeSet<String>,
}

impl Files {
    /// Of all paths of a repository; those in folders are not for us.
    pub(super) fn listed(paths: &[String]) -> Self {
        let plain = |path: &&String| !path.contains(['/', '\\', '\0']) && !path.starts_with('.') && !path.is_empty();
        Self { names: paths.iter().filter(plain).cloned().collect() }
    }

    /// Of a snapshot, without those whose content is not there.
    pub(super) fn within(folder: &Path) -> std::io::Result<Self> {
        let paths = folder.read_dir()?.flatten().filter(|entry| entry.path().is_file());
        let names: Vec<String> = paths.filter_map(|entry| entry.file_name().into_string().ok()).collect();
        Ok(Self::listed(&names))
    }

    fn has(&self, name: &str) -> bool {
        self.names.contains(name)
    }

    /// The files that say what the weights are.
    ///
    /// # Errors
    /// [`HubError::NoModel`] where there is no configuration.
    pub(super) fn descriptions(&self, reference: &Reference) -> Result<Vec<&'static str>, HubError> {
        if !self.has(CONFIG) {
            let why = format!("it has no {CONFIG}; a model in timm's format or transformers' is needed");
            return Err(no_model(reference, why));
        }
        let wanted = [CONFIG, PREPROCESSOR, INDEX];
        Ok(wanted.into_iter().filter(|name| self.has(name) && (*name != INDEX || !self.has(SINGLE))).collect())
    }

    /// The files of the weights. `folder` has the descriptions.
    ///
    /// # Errors
    /// [`HubError::NoModel`] where there are none in safetensors, with what to do.
    pub(super) fn weights(&self, folder: &Path, reference: &Reference) -> Result<Vec<String>, HubError> {
        if self.has(SINGLE) {
            return Ok(vec![SINGLE.to_owned()]);
        }
        if self.has(INDEX) {
            let shards = shards(&folder.join(INDEX)).map_err(|why| no_model(reference, format!("{INDEX}: {why}")))?;
            return match shards.iter().find(|name| !self.has(name)) {
                Some(missing) => Err(no_model(reference, format!("{INDEX} lists {missing:?}, which is not there"))),
                None => Ok(shards.into_iter().collect()),
            };
        }
        let ending = |end: &str| -> Vec<&String> { self.names.iter().filter(|name| name.ends_with(end)).collect() };
        match ending(".safetensors").as_slice() {
            [name] => Ok(vec![(*name).clone()]),
            [] => {
                let pickled = PICKLED.iter().find_map(|end| ending(end).first().copied());
                Err(no_model(reference, without_safetensors(pickled, is_timm(folder), reference)))
            }
            several => {
                let names: Vec<&str> = several.iter().map(|name| name.as_str()).collect();
                let why =
                    format!("it has no {SINGLE}, but {}; which of them is the model cannot be told", names.join(", "));
                Err(no_model(reference, why))
            }
        }
    }

    /// Whether a snapshot is all that serving needs.
    pub(super) fn are_complete(&self, folder: &Path, reference: &Reference) -> bool {
        self.has(CONFIG) && (is_timm(folder) || self.has(PREPROCESSOR)) && self.weights(folder, reference).is_ok()
    }

    /// The names that serving needs, of files that are there.
    pub(super) fn needed(&self, folder: &Path, reference: &Reference) -> Result<Vec<String>, HubError> {
        let mut names: Vec<String> = self.descriptions(reference)?.into_iter().map(str::to_owned).collect();
        names.extend(self.weights(folder, reference)?);
        Ok(names)
    }
}

/// Whether the configuration is timm's, which needs no other description.
fn is_timm(folder: &Path) -> bool {
    read(&folder.join(CONFIG)).is_ok_and(|text| text.contains("\"architecture\""))
}

fn no_model(reference: &Reference, why: String) -> HubError {
    HubError::NoModel { repository: reference.to_string(), why }
}

fn read(path: &Path) -> Result<String, String> {
    let size = path.metadata().map_err(|error| error.to_string())?.len();
    if size > JSON_LIMIT {
        return Err(format!("it has {size} bytes, more than the {JSON_LIMIT} allowed"));
    }
    std::fs::read_to_string(path).map_err(|error| error.to_string())
}

/// The files of an index.
fn shards(path: &Path) -> Result<BTreeSet<String>, String> {
    let index: Value = serde_json::from_str(&read(path)?).map_err(|error| error.to_string())?;
    let files = index.get("weight_map").and_then(Value::as_object).ok_or("it has no weight_map")?;
    let name = |value: &Value| value.as_str().map(str::to_owned).ok_or("weight_map names a file by no text");
    Ok(files.values().map(name).collect::<Result<_, _>>()?)
}

/// What to do about a repository without safetensors.
fn without_safetensors(pickled: Option<&String>, timm: bool, reference: &Reference) -> String {
    let Some(pickled) = pickled else { return "it has no weights in safetensors".to_owned() };
    let (repository, name) = (reference.repository(), &reference.name);
    let command = if timm {
        format!(
            "python -c \"import timm; timm.models.save_for_hf(timm.create_model('hf-hub:{reference}', pretrained=True), \
             '{name}', safe_serialization=True)\""
        )
    } else {
        let revision = &reference.revision;
        format!(
            "python -c \"from transformers import AutoImageProcessor as P, AutoModelForImageClassification as M; \
             [c.from_pretrained('{repository}', revision='{revision}').save_pretrained('{name}') for c in (P, M)]\""
        )
    };
    format!(
        "its weights are in {pickled}, a pickle, which can run code and is not read; convert it, and serve the folder {name}: {command}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reference() -> Reference {
        "o/n".parse().unwrap()
    }

    fn files(names: &[&str]) -> Files {
        Files::listed(&names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>())
    }

    /// The files that are fetched of a repository with these, whose configuration and index are these.
    fn fetched(names: &[&str], config: &str, index: &str) -> Result<Vec<String>, String> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(CONFIG), config).unwrap();
        std::fs::write(folder.path().join(INDEX), index).unwrap();
        files(names).needed(folder.path(), &reference()).map_err(|error| error.to_string())
    }

    #[test]
    fn only_what_serving_needs_is_fetched() {
        let timm =
            ["README.md", ".gitattributes", "config.json", "model.safetensors", "pytorch_model.bin", "onnx/model.onnx"];
        assert_eq!(fetched(&timm, "{}", "").unwrap(), [CONFIG, SINGLE]);
        let transformers = ["config.json", "preprocessor_config.json", "model.safetensors", INDEX, "tf_model.h5"];
        assert_eq!(fetched(&transformers, "{}", "").unwrap(), [CONFIG, PREPROCESSOR, SINGLE]);
        assert_eq!(
            fetched(&["config.json", "weights.safetensors"], "{}", "").unwrap(),
            [CONFIG, "weights.safetensors"]
        );
        let sharded = ["config.json", INDEX, "a-1.safetensors", "a-2.safetensors", "b.safetensors"];
        let index = r#"{"weight_map": {"x": "a-2.safetensors", "y": "a-1.safetensors", "z": "a-2.safetensors"}}"#;
        assert_eq!(fetched(&sharded, "{}", index).unwrap(), [CONFIG, INDEX, "a-1.safetensors", "a-2.safetensors"]);
    }

    #[test]
    fn what_cannot_be_served_says_what_to_do() {
        let wrong = |names: &[&str], config: &str, index: &str| fetched(names, config, index).unwrap_err();
        assert!(wrong(&["model.safetensors"], "{}", "").contains("no config.json"));
        assert!(wrong(&["config.json"], "{}", "").contains("no weights in safetensors"));
        let bin = ["config.json", "pytorch_model.bin"];
        let timm = wrong(&bin, r#"{"architecture": "convnext_tiny"}"#, "");
        assert!(timm.contains("pytorch_model.bin, a pickle") && timm.contains("'hf-hub:o/n'"), "{timm}");
        let transformers = wrong(&bin, r#"{"architectures": ["ConvNext"]}"#, "");
        assert!(transformers.contains("from_pretrained('o/n', revision='main')"), "{transformers}");
        assert!(
            wrong(&["config.json", "a.safetensors", "b.safetensors"], "{}", "")
                .contains("a.safetensors, b.safetensors")
        );
        for (index, why) in [
            ("", "EOF"),
            ("{}", "no weight_map"),
            (r#"{"weight_map": {"x": 1}}"#, "by no text"),
            (r#"{"weight_map": {"x": "../../a"}}"#, "not there"),
            (r#"{"weight_map": {"x": "c.safetensors"}}"#, "c.safetensors"),
        ] {
            let wrong = wrong(&["config.json", INDEX, "a.safetensors"], "{}", index);
            assert!(wrong.contains(why), "{wrong}");
        }
    }
}
