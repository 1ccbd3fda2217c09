//! Models from the Hugging Face hub, by a hub on this machine: what is asked of it, what stays in the cache, and what its faults come to. Beside the
//! library the command itself. Not here: what the hub is (`hub/server.rs`), and its own library in Python, whose cache it is (`conformance`).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

#[path = "hub/command.rs"]
mod command;
#[path = "hub/faults.rs"]
mod faults;
#[path = "support/process.rs"]
#[allow(dead_code, unreachable_pub, missing_docs, reason = "each suite uses a part")]
mod process;
#[path = "hub/server.rs"]
mod server;

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use convnext_server::hub::{self, Event, HubError, Reference, Settings, Snapshot};
use server::{COMMIT, Faults, Hub, LATER, REPOSITORY, git_hash, sha256};

/// A golden case of timm's, whose weights are large for this hub.
const TIMM: &str = "timm-convnext";
const TRANSFORMERS: &str = "transformers-convnext";
const WEIGHTS: &str = "model.safetensors";

/// A hub and an empty cache.
struct Setup {
    hub: Hub,
    home: tempfile::TempDir,
}

impl Setup {
    fn of(hub: Hub) -> Self {
        Self { hub, home: tempfile::tempdir().unwrap() }
    }

    fn golden(case: &str) -> Self {
        Self::of(Hub::of_golden(case))
    }

    fn settings(&self) -> Settings {
        let (endpoint, cache) = (self.hub.endpoint.clone(), self.home.path().join("hub"));
        Settings { endpoint, cache, token: None, offline: false, certificates: None }
    }

    fn repository(&self) -> PathBuf {
        self.home.path().join("hub/models--people--tiny")
    }

    fn pull(&self) -> Result<Snapshot, HubError> {
        hub::pull(&reference(), &self.settings(), &|_| {})
    }

    /// What it is that goes wrong.
    fn failure(&self) -> String {
        self.pull().unwrap_err().to_string()
    }

    /// The content of the weights on the hub, and their hash.
    fn weights(case: &str) -> (Vec<u8>, String) {
        let content = std::fs::read(golden(case).join(WEIGHTS)).unwrap();
        let hash = sha256(&content);
        (content, hash)
    }
}

fn golden(case: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(case)
}

fn reference() -> Reference {
    REPOSITORY.parse().unwrap()
}

fn names(snapshot: &Snapshot) -> Vec<&str> {
    snapshot.files.iter().map(|file| file.name.as_str()).collect()
}

#[test]
fn a_pull_makes_the_cache_of_hugging_faces_own_library() {
    let setup = Setup::golden(TIMM);
    let snapshot = setup.pull().unwrap();
    assert_eq!((snapshot.commit.as_str(), names(&snapshot)), (COMMIT, vec!["config.json", WEIGHTS]));
    assert!(snapshot.files.iter().all(|file| file.downloaded));
    let repository = setup.repository();
    assert_eq!(snapshot.folder, repository.join("snapshots").join(COMMIT));
    assert_eq!(std::fs::read_to_string(repository.join("refs/main")).unwrap(), COMMIT);
    let (weights, hash) = Setup::weights(TIMM);
    let link = std::fs::read_link(snapshot.folder.join(WEIGHTS)).unwrap();
    assert_eq!(link, Path::new("../../blobs").join(&hash));
    assert!(std::fs::read(snapshot.folder.join(WEIGHTS)).unwrap() == weights);
    let config = std::fs::read(snapshot.folder.join("config.json")).unwrap();
    let mut blobs: Vec<String> = vec![hash, git_hash(&config)];
    blobs.sort();
    let mut found: Vec<String> = repository
        .join("blobs")
        .read_dir()
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    found.sort();
    assert_eq!(found, blobs, "nothing else, and no parts");
}

#[test]
fn what_transformers_needs_comes_too() {
    let setup = Setup::golden(TRANSFORMERS);
    assert_eq!(names(&setup.pull().unwrap()), ["config.json", "preprocessor_config.json", WEIGHTS]);
    // as Python leaves it that has loaded the network alone
    std::fs::remove_file(setup.repository().join("snapshots").join(COMMIT).join("preprocessor_config.json")).unwrap();
    assert_eq!(hub::cached(&reference(), &setup.settings()), None);
}

#[test]
fn shards_come_as_their_index_lists_them() {
    let index = r#"{"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}"#;
    let names_there =
        ["config.json", "model.safetensors.index.json", "model-1.safetensors", "model-2.safetensors", "x.safetensors"];
    let content = |name: &str| if name.ends_with("index.json") { index.to_owned() } else { format!("{{}} {name}") };
    let setup = Setup::of(Hub::with(names_there.map(|name| (name.to_owned(), content(name).into_bytes()))));
    assert_eq!(names(&setup.pull().unwrap()), &names_there[..4]);
}

#[test]
fn the_token_is_told_to_the_hub_and_to_nobody_else() {
    let setup = Setup::golden(TIMM);
    let home = tempfile::tempdir().unwrap();
    setup
        .convnext(&["pull", REPOSITORY], &[("HF_TOKEN", "hf_secret"), ("HF_HOME", home.path().to_str().unwrap())])
        .success();
    let seen = setup.hub.seen();
    assert!(seen.iter().any(|request| request.at_second && request.method == "GET"), "{seen:?}");
    for request in seen {
        let expected = (!request.at_second).then(|| "Bearer hf_secret".to_owned());
        assert_eq!(request.authorization, expected, "{} {}", request.method, request.path);
    }
}

#[test]
fn what_is_there_is_not_asked_for_again() {
    let setup = Setup::golden(TIMM);
    let first = setup.pull().unwrap();
    setup.hub.seen();
    let second = setup.pull().unwrap();
    assert!(second.folder == first.folder && second.files.iter().all(|file| !file.downloaded));
    let seen = setup.hub.seen();
    assert_eq!(seen.len(), 1, "only what the branch is: {seen:?}");
    // a commit, and whoever serves, ask nothing
    let commit = reference().at(COMMIT).unwrap();
    assert_eq!(hub::pull(&commit, &setup.settings(), &|_| {}).unwrap(), second);
    assert_eq!(hub::cached_or_pulled(&reference(), &setup.settings(), &|_| {}).unwrap(), second);
    let offline = Settings { offline: true, ..setup.settings() };
    assert_eq!(hub::pull(&reference(), &offline, &|_| {}).unwrap(), second);
    assert!(setup.hub.seen().is_empty());
}

#[test]
fn offline_asks_nobody_and_says_what_is_missing() {
    let setup = Setup::golden(TIMM);
    let offline = Settings { offline: true, ..setup.settings() };
    let error = hub::pull(&reference(), &offline, &|_| {}).unwrap_err().to_string();
    assert!(error.contains("HF_HUB_OFFLINE") && error.contains("convnext pull people/tiny"), "{error}");
    setup.pull().unwrap();
    // a link to nothing is no file
    std::fs::remove_file(setup.repository().join("blobs").join(Setup::weights(TIMM).1)).unwrap();
    assert!(hub::pull(&reference(), &offline, &|_| {}).is_err());
}

#[test]
fn a_branch_that_went_on_is_served_once_all_of_it_is_there() {
    let setup = Setup::golden(TIMM);
    let first = setup.pull().unwrap();
    let (mut weights, _) = Setup::weights(TIMM);
    weights.extend(b"more");
    setup.hub.commit(&[(WEIGHTS, &weights)]);
    setup.hub.fail(Faults { spoilt: true, ..Faults::default() });
    setup.failure();
    assert_eq!(hub::cached(&reference(), &setup.settings()).unwrap().commit, first.commit);
    setup.hub.fail(Faults::default());
    let second = setup.pull().unwrap();
    assert_eq!(second.commit, LATER);
    assert!(!second.files[0].downloaded || second.files[0].name != "config.json", "it has not changed: {second:?}");
    assert_eq!(hub::cached(&reference(), &setup.settings()).unwrap().commit, LATER);
    assert!(first.folder.join(WEIGHTS).is_file(), "the first commit is still there");
}

#[test]
fn a_revision_may_have_a_path_for_a_name() {
    let setup = Setup::golden(TIMM);
    let reference = reference().at("refs/pr/1").unwrap();
    let snapshot = hub::pull(&reference, &setup.settings(), &|_| {}).unwrap();
    assert_eq!(std::fs::read_to_string(setup.repository().join("refs/refs/pr/1")).unwrap(), COMMIT);
    assert_eq!(hub::cached(&reference, &setup.settings()).unwrap().folder, snapshot.folder);
}

#[test]
fn two_pulls_at_a_time_download_once() {
    let setup = Setup::golden(TIMM);
    setup.hub.fail(Faults { slow: std::time::Duration::from_millis(300), ..Faults::default() });
    let waits = Mutex::new(0);
    let pull = || {
        let observer = |event: Event<'_>| {
            if let Event::Waits { why, pause: None } = event {
                assert!(why.contains("another process"));
                *waits.lock().unwrap() += 1;
            }
        };
        hub::pull(&reference(), &setup.settings(), &observer).unwrap()
    };
    let (a, b) = std::thread::scope(|scope| {
        let other = scope.spawn(pull);
        (pull(), other.join().unwrap())
    });
    assert_eq!((a.commit, a.folder), (b.commit, b.folder));
    let downloads = setup.hub.seen().iter().filter(|request| request.at_second && request.method == "GET").count();
    assert_eq!(downloads, 1);
    assert!(*waits.lock().unwrap() > 0, "one waits for the other");
}

#[test]
fn whoever_watches_is_told_how_far_it_is() {
    let setup = Setup::golden(TIMM);
    let (weights, _) = Setup::weights(TIMM);
    let events = Mutex::new(Vec::new());
    hub::pull(&reference(), &setup.settings(), &|event| events.lock().unwrap().push(format!("{event:?}"))).unwrap();
    let events = events.into_inner().unwrap();
    let size = weights.len();
    let tail: Vec<&String> = events.iter().skip_while(|event| !event.contains(WEIGHTS)).collect();
    assert_eq!(tail[0], &format!("Begins {{ file: \"{WEIGHTS}\", size: Some({size}) }}"));
    assert_eq!(tail[tail.len() - 2..], [&format!("Reached({size})"), "Ends"]);
}
