//! Hugging Face's own library of the hub, and our cache: it finds what was pulled here, and what it has downloaded is served here. Not here: what is asked
//! of a hub, and its faults (`tests/hub.rs`).

use std::path::PathBuf;
use std::process::{Command, Stdio};

use convnext_server::hub::{self, Settings, Snapshot};
use hub_server::{Hub, REPOSITORY};

use crate::python;
use crate::server::output;

#[path = "../hub/server.rs"]
#[allow(dead_code, reason = "each suite uses a part")]
mod hub_server;

const WEIGHTS: &str = "model.safetensors";

/// A hub with a golden case, and an empty cache that both use.
struct Both {
    hub: Hub,
    home: tempfile::TempDir,
    python: PathBuf,
}

impl Both {
    fn new(case: &str) -> Option<Self> {
        Some(Self { hub: Hub::of_golden(case), home: tempfile::tempdir().unwrap(), python: python()? })
    }

    /// What this prints, with the library as `h`.
    fn library(&self, script: &str) -> String {
        let mut command = Command::new(&self.python);
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("HF_")) {
            command.env_remove(name);
        }
        command.env("HF_HOME", self.home.path()).env("HF_ENDPOINT", &self.hub.endpoint).env("NO_PROXY", "127.0.0.1");
        let script = format!("import huggingface_hub as h\n{script}");
        output(command.args(["-c", &script]).stdin(Stdio::null())).trim().to_owned()
    }

    fn pull(&self, offline: bool) -> Snapshot {
        let (endpoint, cache) = (self.hub.endpoint.clone(), self.home.path().join("hub"));
        let settings = Settings { endpoint, cache, token: None, offline, certificates: None };
        hub::pull(&REPOSITORY.parse().unwrap(), &settings, &|_| {}).unwrap()
    }
}

#[test]
fn hugging_faces_library_finds_what_was_pulled() {
    let Some(both) = Both::new("timm-convnext") else { return };
    let folder = both.pull(false).folder.display().to_string();
    both.hub.seen();
    let local = "print(h.snapshot_download('people/tiny', local_files_only=True))\n\
                 print(h.try_to_load_from_cache('people/tiny', 'model.safetensors'))";
    assert_eq!(both.library(local), format!("{folder}\n{folder}/{WEIGHTS}"));
    assert!(both.hub.seen().is_empty());
    // and with the hub at hand it downloads nothing of these
    let again = "print(h.hf_hub_download('people/tiny', 'model.safetensors'))";
    assert_eq!(both.library(again), format!("{folder}/{WEIGHTS}"));
    assert!(both.hub.seen().iter().all(|seen| !seen.at_second));
}

#[test]
fn what_hugging_faces_library_has_downloaded_is_served_offline() {
    for case in ["timm-convnext", "transformers-convnext"] {
        let Some(both) = Both::new(case) else { return };
        let folder = both.library("print(h.snapshot_download('people/tiny'))");
        both.hub.seen();
        let snapshot = both.pull(true);
        assert_eq!(snapshot.folder.display().to_string(), folder);
        assert!(snapshot.files.iter().any(|file| file.name == WEIGHTS), "{snapshot:?}");
        assert!(snapshot.files.iter().all(|file| !file.downloaded), "{snapshot:?}");
        let pulled = both.pull(false);
        assert!(pulled.files.iter().all(|file| !file.downloaded), "{pulled:?}");
        assert_eq!(both.hub.seen().len(), 1, "only what the branch is");
    }
}
