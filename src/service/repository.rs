//! A model repository: a folder with a folder for each model, in it a folder for each version, as `cats/3/config.json`.
//!
//! A model's folder that has a `config.json` itself is its version 1. Not here: which versions are loaded (`options`), when
//! (`lifecycle`).

use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::names::check_name;

const CONFIG: &str = "config.json";

/// What a version's folder has. Another fingerprint is another model.
pub(super) type Fingerprint = Vec<Fingerprinted>;

/// A file: its name, its size, when it was written, and which one of the disk it is, for links may come to lead to another of the
/// same size and time.
type Fingerprinted = (PathBuf, u64, Option<SystemTime>, [u64; 2]);

/// A version on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stored {
    pub(super) folder: PathBuf,
    pub(super) fingerprint: Fingerprint,
}

/// The models of a repository by name, with their versions. What is no model is left out.
///
/// # Errors
/// Where the repository cannot be read; where a model's folder cannot be, that stands with its name.
pub(super) fn scan(repository: &Path) -> io::Result<BTreeMap<String, io::Result<BTreeMap<u64, Stored>>>> {
    let mut models = BTreeMap::new();
    for entry in std::fs::read_dir(repository)? {
        let path = entry?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
        if !path.is_dir() || name.starts_with('.') {
            continue;
        }
        if let Err(why) = check_name(name) {
            tracing::warn!(folder = %path.display(), why, "a folder of the model repository is left out");
            continue;
        }
        models.insert(name.to_owned(), versions(&path));
    }
    Ok(models)
}

/// The versions in a model's folder.
pub(super) fn versions(model: &Path) -> io::Result<BTreeMap<u64, Stored>> {
    let stored = |folder: PathBuf| Ok::<_, io::Error>(Stored { fingerprint: fingerprint(&folder)?, folder });
    if model.join(CONFIG).is_file() {
        return Ok(BTreeMap::from([(1, stored(model.to_owned())?)]));
    }
    let mut versions = BTreeMap::new();
    for entry in std::fs::read_dir(model)? {
        let path = entry?.path();
        // digits only: `+1` and `01` would be the same version as `1`
        let number = path.file_name().and_then(|name| name.to_str()).and_then(|name| {
            let number: u64 = name.parse().ok()?;
            (number.to_string() == name).then_some(number)
        });
        if let Some(number) = number.filter(|number| *number > 0 && path.is_dir()) {
            versions.insert(number, stored(path)?);
        }
    }
    Ok(versions)
}

fn fingerprint(folder: &Path) -> io::Result<Fingerprint> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        // follows links, as repositories of hubs are made of
        match std::fs::metadata(&path) {
            Ok(metadata) if metadata.is_file() => {
                let disk = [metadata.dev(), metadata.ino()];
                files.push((path, metadata.len(), metadata.modified().ok(), disk));
            }
            Ok(_) => {}
            // gone between two calls
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn file(folder: &Path, path: &str, text: &str) {
        let path = folder.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    #[test]
    fn versions_are_folders_of_whole_numbers() {
        let folder = tempfile::tempdir().unwrap();
        for path in ["cats/1/config.json", "cats/12/config.json", "cats/03/x", "cats/0/x", "cats/v2/x", "cats/5"] {
            file(folder.path(), path, "{}");
        }
        file(folder.path(), "plain/config.json", "{}");
        file(folder.path(), "empty/readme.txt", "");
        file(folder.path(), ".hidden/1/config.json", "{}");
        file(folder.path(), "no name/1/config.json", "{}");
        file(folder.path(), "readme.txt", "");
        let models = scan(folder.path()).unwrap();
        let brief: Vec<(&str, Vec<u64>)> =
            models.iter().map(|(name, found)| (&**name, found.as_ref().unwrap().keys().copied().collect())).collect();
        assert_eq!(brief, [("cats", vec![1, 12]), ("empty", vec![]), ("plain", vec![1])]);
        assert_eq!(models["plain"].as_ref().unwrap()[&1].folder, folder.path().join("plain"));
    }

    #[test]
    fn a_file_that_changes_changes_the_fingerprint_of_its_version_only() {
        let folder = tempfile::tempdir().unwrap();
        file(folder.path(), "m/1/config.json", "{}");
        file(folder.path(), "m/2/config.json", "{}");
        let before = versions(&folder.path().join("m")).unwrap();
        file(folder.path(), "m/2/model.safetensors", "12345");
        let after = versions(&folder.path().join("m")).unwrap();
        assert_eq!(before[&1], after[&1]);
        assert_ne!(before[&2], after[&2]);
    }
}
