//! A repository of real folders on the CPU engine: which versions serve, and what follows changes on disk.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use convnext_server::engine::cpu::Cpu;
use convnext_server::service::{
    Classifier, ModelError, ModelOptions, ModelState, NamedModel, Repository, ServiceError, Settings, VersionPolicy,
};
use tempfile::TempDir;

use super::support::mock::{Conductor, MockEngine, PATIENCE, becomes, model};
use super::{ask, label, status};

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/timm-convnext-wide-norm");
const IMAGE: &[u8] = include_bytes!("../../models/images/bag.png");

/// A repository, and what is put into it.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    /// Puts a checkpoint at `path` whose labels all are `word`; what stood there goes. It is there all at once.
    fn put(&self, path: &str, word: &str) {
        let (staged, target) = (self.path(".staged"), self.path(path));
        std::fs::create_dir(&staged).unwrap();
        std::fs::copy(Path::new(GOLDEN).join("model.safetensors"), staged.join("model.safetensors")).unwrap();
        let text = std::fs::read_to_string(Path::new(GOLDEN).join("config.json")).unwrap();
        let mut config: serde_json::Value = serde_json::from_str(&text).unwrap();
        for name in config["pretrained_cfg"]["label_names"].as_array_mut().unwrap() {
            *name = word.into();
        }
        std::fs::write(staged.join("config.json"), config.to_string()).unwrap();
        std::fs::create_dir_all(target.parent().unwrap()).unwrap();
        if target.exists() {
            std::fs::remove_dir_all(&target).unwrap();
        }
        std::fs::rename(staged, target).unwrap();
    }

    /// A checkpoint whose weights end early.
    fn put_broken(&self, path: &str) {
        self.put(path, "broken");
        std::fs::write(self.path(path).join("model.safetensors"), "no weights").unwrap();
    }

    fn remove(&self, path: &str) {
        std::fs::remove_dir_all(self.path(path)).unwrap();
    }
}

fn options(versions: VersionPolicy, labels: &[(&str, u64)]) -> ModelOptions {
    let labels = labels.iter().map(|(label, version)| ((*label).to_owned(), *version)).collect();
    // one image a batch: what is measured before a model serves is over soonest
    ModelOptions { versions, labels, max_batch: 1, ..ModelOptions::default() }
}

fn latest(count: usize) -> ModelOptions {
    options(VersionPolicy::Latest(count), &[])
}

/// A classifier that follows the folder, beside configured models.
fn start_with(folder: &Folder, configured: Vec<NamedModel>, model: ModelOptions) -> Classifier {
    let repository = Some(Repository { folder: folder.path(""), settle: Duration::from_millis(50) });
    let settings = Settings { repository, model, engine_threads: 1, decode_threads: 1, ..Settings::default() };
    let (classifier, loading) = Classifier::start(Arc::new(Cpu::default()), configured, settings).unwrap();
    drop(loading);
    classifier
}

fn start(folder: &Folder, model: ModelOptions) -> Classifier {
    start_with(folder, vec![], model)
}

async fn ready(classifier: &Classifier) {
    becomes("it is ready", || classifier.ready().is_ok()).await;
}

/// The word of the version that answers.
async fn word(classifier: &Classifier, model: &str, version: Option<&str>) -> Result<String, ServiceError> {
    Ok(label(&ask(classifier, (model, version), IMAGE.into()).await?))
}

/// Waits until the version that answers has this word.
async fn word_becomes(classifier: &Classifier, model: &str, expected: &str) {
    let answers = async {
        while word(classifier, model, None).await.as_deref() != Ok(expected) {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    let in_time = tokio::time::timeout(PATIENCE, answers).await;
    assert!(in_time.is_ok(), "{model} never answers {expected}: {:?}", classifier.models());
}

/// The versions of a model that serve.
fn serving(classifier: &Classifier, model: &str) -> Vec<String> {
    let models = classifier.models().into_iter();
    models.filter(|s| s.name == model && s.state == ModelState::Ready).filter_map(|s| s.version).collect()
}

fn three_versions() -> Folder {
    let folder = Folder::new();
    for (path, word) in [("cats/1", "one"), ("cats/2", "two"), ("cats/10", "ten")] {
        folder.put(path, word);
    }
    folder
}

#[tokio::test]
async fn versions_are_loaded_by_policy_and_named_by_number_or_label() {
    let folder = three_versions();
    let cases: [(ModelOptions, &[&str], &str); 5] = [
        (latest(1), &["10"], "ten"),
        (latest(2), &["2", "10"], "ten"),
        (options(VersionPolicy::All, &[]), &["1", "2", "10"], "ten"),
        (options(VersionPolicy::Named(vec![1, 2, 7]), &[]), &["1", "2"], "two"),
        (options(VersionPolicy::Latest(1), &[("stable", 2), ("canary", 10)]), &["2", "10"], "two"),
    ];
    for (options, versions, default) in cases {
        let classifier = start(&folder, options.clone());
        ready(&classifier).await;
        assert_eq!(word(&classifier, "cats", None).await.unwrap(), default, "with the first: {options:?}");
        becomes(&format!("{versions:?} serve"), || serving(&classifier, "cats") == versions).await;
        assert_eq!(word(&classifier, "cats", None).await.unwrap(), default, "{options:?}");
        let default = classifier.models().into_iter().filter(|status| status.default).map(|status| status.version);
        assert_eq!(default.count(), 1);
        for (version, text) in [("1", "one"), ("2", "two"), ("10", "ten")] {
            let found = word(&classifier, "cats", Some(version)).await;
            if versions.contains(&version) {
                assert_eq!(found.unwrap(), text);
            } else {
                let error = found.unwrap_err().to_string();
                assert_eq!(error, format!("cats has no version {version}; loaded are {}", versions.join(", ")));
            }
        }
        for (label, version) in &options.labels {
            let number = version.to_string();
            assert_eq!(status(&classifier, "cats", *version).unwrap().labels, [label.as_str()]);
            let by_number = word(&classifier, "cats", Some(&number)).await.unwrap();
            assert_eq!(word(&classifier, "cats", Some(label)).await.unwrap(), by_number);
        }
        assert!(matches!(word(&classifier, "cats", Some("beta")).await, Err(ServiceError::UnknownVersion { .. })));
    }
}

#[tokio::test]
async fn a_new_version_replaces_the_old_one_and_comes_back_when_that_is_taken_away_again() {
    let folder = Folder::new();
    folder.put("cats/1", "one");
    let classifier = start(&folder, latest(1));
    ready(&classifier).await;
    assert_eq!(word(&classifier, "cats", None).await.unwrap(), "one");
    folder.put("cats/2", "two");
    word_becomes(&classifier, "cats", "two").await;
    becomes("only the new one serves", || serving(&classifier, "cats") == ["2"]).await;
    assert!(status(&classifier, "cats", 1).is_none());
    folder.remove("cats/2");
    word_becomes(&classifier, "cats", "one").await;
    becomes("only the old one serves", || serving(&classifier, "cats") == ["1"]).await;
}

#[tokio::test]
async fn a_version_whose_files_change_is_loaded_anew() {
    let folder = Folder::new();
    folder.put("cats", "first");
    let classifier = start(&folder, latest(1));
    ready(&classifier).await;
    assert_eq!(word(&classifier, "cats", Some("1")).await.unwrap(), "first", "without versions it is version 1");
    folder.put("cats", "second");
    word_becomes(&classifier, "cats", "second").await;
    // a file of the folder that came last
    let config = folder.path("cats/config.json");
    let text = std::fs::read_to_string(&config).unwrap().replace("second", "the third");
    std::fs::write(&config, text).unwrap();
    word_becomes(&classifier, "cats", "the third").await;
}

#[tokio::test]
async fn a_broken_new_version_leaves_the_old_one_serving_and_is_tried_again_when_it_changes() {
    let folder = Folder::new();
    folder.put("cats/1", "one");
    let classifier = start(&folder, latest(1));
    ready(&classifier).await;
    folder.put_broken("cats/2");
    let failed = || status(&classifier, "cats", 2).is_some_and(|status| status.state == ModelState::Failed);
    becomes("version 2 fails", failed).await;
    let why = status(&classifier, "cats", 2).unwrap().error.unwrap();
    assert!(why.contains("model.safetensors"), "{why}");
    assert_eq!(word(&classifier, "cats", None).await.unwrap(), "one");
    assert!(classifier.ready().is_ok());
    folder.put("cats/2", "mended");
    word_becomes(&classifier, "cats", "mended").await;
    assert_eq!(status(&classifier, "cats", 2).unwrap().error, None);

    // the folder of the one that serves
    std::fs::write(folder.path("cats/2/model.safetensors"), "no weights").unwrap();
    becomes("its error is told", || status(&classifier, "cats", 2).unwrap().error.is_some()).await;
    assert_eq!(word(&classifier, "cats", None).await.unwrap(), "mended", "it serves on");
    assert!(classifier.reload("cats").await.is_err());
    assert_eq!(word(&classifier, "cats", None).await.unwrap(), "mended");
}

#[tokio::test]
async fn what_disappears_is_unloaded_and_what_appears_is_loaded() {
    let folder = three_versions();
    folder.put("dogs/1", "wow");
    let classifier = start(&folder, options(VersionPolicy::All, &[]));
    ready(&classifier).await;
    folder.remove("cats/2");
    becomes("version 2 goes", || serving(&classifier, "cats") == ["1", "10"]).await;
    // beside a version that does not load, those that have gone go as well
    folder.put_broken("cats/11");
    becomes("version 11 fails", || status(&classifier, "cats", 11).is_some_and(|s| s.error.is_some())).await;
    folder.remove("cats/1");
    becomes("version 1 goes", || serving(&classifier, "cats") == ["10"]).await;
    folder.remove("cats");
    becomes("all of it goes", || classifier.models().iter().all(|status| status.name == "dogs")).await;
    let error = word(&classifier, "cats", None).await.unwrap_err();
    assert_eq!(error.to_string(), "no model cats; loaded are dogs");

    folder.put("birds/4", "tweet");
    becomes("the new model serves", || serving(&classifier, "birds") == ["4"]).await;
    assert_eq!(word(&classifier, "birds", None).await.unwrap(), "tweet");
    assert!(!classifier.models().iter().any(|status| status.name == "birds" && status.default));
    folder.remove("birds/4");
    becomes("its only version goes", || serving(&classifier, "birds").is_empty()).await;
    assert!(classifier.ready().unwrap_err().contains("birds: it has no version"));
}

#[tokio::test]
async fn a_model_that_a_command_has_unloaded_stays_so_until_a_command_loads_it() {
    let folder = Folder::new();
    folder.put("cats/1", "one");
    folder.put("dogs/1", "wow");
    let classifier = start(&folder, latest(1));
    ready(&classifier).await;
    classifier.unload("cats").await.unwrap();
    folder.put("cats/2", "two");
    folder.put("dogs/2", "wuff");
    word_becomes(&classifier, "dogs", "wuff").await; // what came later has been followed
    assert!(matches!(word(&classifier, "cats", None).await, Err(ServiceError::UnknownModel { .. })));
    classifier.load("cats").await.unwrap();
    assert_eq!(word(&classifier, "cats", None).await.unwrap(), "two");
    folder.put("cats/3", "three");
    word_becomes(&classifier, "cats", "three").await;
}

#[tokio::test]
async fn commands_reach_models_of_the_repository() {
    let folder = Folder::new();
    folder.put("cats/1", "one");
    std::fs::create_dir(folder.path("empty")).unwrap();
    let classifier = start(&folder, ModelOptions { required: false, ..latest(1) });
    becomes("cats serve", || serving(&classifier, "cats") == ["1"]).await;
    classifier.reload("cats").await.unwrap();
    assert_eq!(word(&classifier, "cats", None).await.unwrap(), "one");
    let failed = classifier.load("empty").await.unwrap_err();
    let why = "it has no version: a folder with a number for its name is needed, as 1";
    assert_eq!(failed.to_string(), format!("empty: {why}"));
    let empty = classifier.models().into_iter().find(|status| status.name == "empty").unwrap();
    assert_eq!((empty.version, empty.error.as_deref()), (None, Some(why)));
    assert_eq!(classifier.reload("birds").await, Err(ModelError::Unknown("birds".to_owned())));
}

#[tokio::test]
async fn what_is_no_model_is_left_out_and_what_cannot_be_read_stops_no_other() {
    let folder = Folder::new();
    folder.put("no name/1", "never");
    folder.put("cats/1", "one");
    std::fs::write(folder.path("notes.txt"), "cats are good").unwrap();
    let classifier = start(&folder, latest(1));
    ready(&classifier).await;
    let names: Vec<String> = classifier.models().into_iter().map(|status| status.name).collect();
    assert_eq!(names, ["cats"]);
    // a link to itself has no size
    std::os::unix::fs::symlink("loop", folder.path("cats/1/loop")).unwrap();
    folder.put("dogs/1", "wow");
    becomes("dogs serve", || serving(&classifier, "dogs") == ["1"]).await;
    assert_eq!(serving(&classifier, "cats"), ["1"], "as before");
    let why = status(&classifier, "cats", 1).unwrap().error.unwrap();
    assert!(why.contains("its folder cannot be read"), "{why}");
    std::fs::remove_file(folder.path("cats/1/loop")).unwrap();
    becomes("it can be read again", || status(&classifier, "cats", 1).unwrap().error.is_none()).await;
}

#[tokio::test]
async fn an_empty_repository_is_live_and_becomes_ready_with_its_first_model() {
    let folder = Folder::new();
    let repository = Some(Repository { folder: folder.path(""), settle: Duration::from_millis(50) });
    let settings = Settings { repository, model: latest(1), ..Settings::default() };
    let (classifier, loading) = Classifier::start(Arc::new(Cpu::default()), vec![], settings).unwrap();
    loading.done().await.expect("models may come later");
    assert_eq!(classifier.ready(), Err("there is no model".to_owned()));
    assert!(matches!(word(&classifier, "cats", None).await, Err(ServiceError::UnknownModel { .. })));
    folder.put("cats/1", "one");
    ready(&classifier).await;
    assert_eq!(word(&classifier, "cats", None).await.unwrap(), "one");
}

#[tokio::test]
async fn at_the_start_the_server_is_ready_with_the_last_of_its_models_and_not_with_the_first() {
    let folder = three_versions();
    folder.put("dogs/1", "wow");
    folder.put("eels/1", "blub");
    let demo = NamedModel {
        name: "demo".to_owned(),
        source: Arc::new(|| convnext_server::checkpoint::open(Path::new(GOLDEN))),
        baseline: None,
    };
    let classifier = start_with(&folder, vec![demo], latest(1));
    ready(&classifier).await;
    let names: Vec<(String, bool)> = classifier.models().into_iter().map(|s| (s.name, s.default)).collect();
    let expected = [("demo", true), ("cats", false), ("dogs", false), ("eels", false)];
    assert_eq!(names, expected.map(|(name, default)| (name.to_owned(), default)));
    assert!(classifier.models().iter().all(|status| status.state == ModelState::Ready));
}

#[tokio::test]
async fn many_changes_on_disk_leave_room_for_commands() {
    let folder = Folder::new();
    let conductor = Conductor::default();
    let repository = Some(Repository { folder: folder.path(""), settle: Duration::from_millis(50) });
    let settings = Settings { repository, model: latest(1), ..Settings::default() };
    let (classifier, loading) =
        Classifier::start(Arc::new(MockEngine::new(&conductor)), vec![model("m", "m")], settings).unwrap();
    drop(loading);
    ready(&classifier).await;
    conductor.hold_loads();
    let first = tokio::spawn({
        let classifier = classifier.clone();
        async move { classifier.reload("m").await }
    });
    becomes("a load is held", || conductor.loading() == 1).await;
    for number in 0..1000 {
        std::fs::write(folder.path(&format!("{number}.txt")), "more").unwrap();
    }
    let second = classifier.load("m");
    tokio::pin!(second);
    tokio::select! {
        biased;
        refused = &mut second => panic!("{refused:?}"),
        () = std::future::ready(()) => {}
    }
    conductor.release_loads();
    first.await.unwrap().unwrap();
    second.await.unwrap();
}

#[tokio::test]
async fn while_the_stable_version_does_not_serve_no_other_stands_in_for_it() {
    let folder = Folder::new();
    folder.put_broken("cats/1");
    folder.put("cats/2", "two");
    let classifier = start(&folder, options(VersionPolicy::Latest(1), &[("stable", 1), ("canary", 2)]));
    becomes("the canary serves", || serving(&classifier, "cats") == ["2"]).await;
    let error = word(&classifier, "cats", None).await.unwrap_err();
    assert_eq!(error.to_string(), "not ready: cats: version 1, which is stable, is not loaded");
    assert_eq!(word(&classifier, "cats", Some("canary")).await.unwrap(), "two");
    folder.put("cats/1", "one");
    word_becomes(&classifier, "cats", "one").await;
}

#[tokio::test]
async fn among_several_models_of_a_repository_none_is_taken_for_the_default() {
    let folder = Folder::new();
    folder.put("cats/1", "one");
    let classifier = start(&folder, latest(1));
    ready(&classifier).await;
    assert_eq!(
        classifier.admit(convnext_server::service::Admission::default()).unwrap().model(),
        "cats",
        "the only one"
    );
    folder.put("birds/1", "tweet");
    becomes("birds serve", || serving(&classifier, "birds") == ["1"]).await;
    let error = classifier.admit(convnext_server::service::Admission::default()).err().unwrap();
    assert_eq!(error.to_string(), "the request names no model; loaded are cats, birds");
    assert!(!classifier.models().iter().any(|status| status.default));
}
