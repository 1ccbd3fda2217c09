//! The hub's own library in Python: it finds what was pulled here, and what it has downloaded is served here.

use std::process::{Command, Stdio};

use convnext_server::hub::{self, Settings};

use super::provisioned::provisioned;
use super::{Setup, TIMM, TRANSFORMERS, WEIGHTS, names, reference};

/// What a script with the library says. Its cache and hub are those of the setup.
fn python(setup: &Setup, script: &str) -> Option<String> {
    let python = provisioned("CONVNEXT_TEST_PYTHON", "target/provision/venv/bin/python")?;
    let mut command = Command::new(python);
    // an empty token is one to it
    for (name, value) in setup.environment() {
        if value.is_empty() {
            command.env_remove(name)
        } else {
            command.env(name, value)
        };
    }
    let output = command.args(["-c", script]).stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8(output.stdout).unwrap().trim().to_owned())
}

#[test]
fn pythons_library_finds_what_was_pulled() {
    let setup = Setup::golden(TIMM);
    let folder = setup.pull().unwrap().folder;
    setup.hub.seen();
    let found = "import huggingface_hub as h; print(h.snapshot_download('people/tiny', local_files_only=True)); \
                 print(h.try_to_load_from_cache('people/tiny', 'model.safetensors'))";
    let Some(found) = python(&setup, found) else { return };
    assert_eq!(found, format!("{0}\n{0}/{WEIGHTS}", folder.display()));
    assert!(setup.hub.seen().is_empty());
    // and asked about the hub it downloads nothing of these
    let again = "import huggingface_hub as h; print(h.hf_hub_download('people/tiny', 'model.safetensors'))";
    assert_eq!(python(&setup, again).unwrap(), format!("{}/{WEIGHTS}", folder.display()));
    assert!(setup.hub.seen().iter().all(|seen| !seen.at_second));
}

#[test]
fn what_pythons_library_has_downloaded_is_served_offline() {
    for case in [TIMM, TRANSFORMERS] {
        let setup = Setup::golden(case);
        let download = "import huggingface_hub as h; print(h.snapshot_download('people/tiny'))";
        let Some(folder) = python(&setup, download) else { return };
        setup.hub.seen();
        let offline = Settings { offline: true, ..setup.settings() };
        let snapshot = hub::pull(&reference(), &offline, &|_| {}).unwrap();
        assert_eq!(snapshot.folder.display().to_string(), folder);
        assert!(names(&snapshot).contains(&WEIGHTS) && snapshot.files.iter().all(|file| !file.downloaded));
        let pulled = setup.pull().unwrap();
        assert!(pulled.files.iter().all(|file| !file.downloaded), "{pulled:?}");
        assert_eq!(setup.hub.seen().len(), 1, "only what the branch is");
    }
}
