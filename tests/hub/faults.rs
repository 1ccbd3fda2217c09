//! What goes wrong on the way, and what it comes to: a whole file, or a cause with what to do, and never a wrong file.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use convnext_server::hub::{self, Event, Settings};

use super::server::{COMMIT, Faults, Gate, Hub};
use super::{Setup, TIMM, WEIGHTS, reference};

/// The ranges that were asked for of the weights, from their host.
fn ranges(setup: &Setup) -> Vec<Option<String>> {
    setup.hub.seen().into_iter().filter(|seen| seen.at_second && seen.method == "GET").map(|seen| seen.range).collect()
}

fn assert_whole(setup: &Setup) {
    let content = std::fs::read(setup.repository().join("snapshots").join(COMMIT).join(WEIGHTS)).unwrap();
    assert!(content == Setup::weights(TIMM).0);
}

#[test]
fn a_connection_that_breaks_twice_is_gone_on_with() {
    let setup = Setup::golden(TIMM);
    setup.hub.fail(Faults { breaks: vec![300_000, 1_000_000], ..Faults::default() });
    let waits = Mutex::new(Vec::new());
    let observer = |event: Event<'_>| {
        if let Event::Waits { why, pause } = event {
            waits.lock().unwrap().push((why.to_owned(), pause));
        }
    };
    hub::pull(&reference(), &setup.settings(), &observer).unwrap();
    let expected = [None, Some("bytes=300000-".to_owned()), Some("bytes=1300000-".to_owned())];
    assert_eq!(ranges(&setup), expected);
    assert_whole(&setup);
    let waits = waits.into_inner().unwrap();
    assert!(
        waits.len() == 2 && waits.iter().all(|(why, _)| why.starts_with("model.safetensors of people/tiny: ")),
        "{waits:?}"
    );
    assert!(
        waits.iter().all(|(_, pause)| *pause == Some(Duration::from_millis(250))),
        "each brought something: {waits:?}"
    );
}

#[test]
fn the_next_pull_goes_on_with_what_the_last_one_left() {
    let setup = Setup::golden(TIMM);
    let (weights, hash) = Setup::weights(TIMM);
    let blobs = setup.repository().join("blobs");
    std::fs::create_dir_all(&blobs).unwrap();
    std::fs::write(blobs.join(format!("{hash}.incomplete")), &weights[..500_000]).unwrap();
    setup.pull().unwrap();
    assert_eq!(ranges(&setup), [Some("bytes=500000-".to_owned())]);
    assert_whole(&setup);
}

#[test]
fn a_server_without_ranges_starts_again() {
    let setup = Setup::golden(TIMM);
    setup.hub.fail(Faults { breaks: vec![300_000], whole: true, ..Faults::default() });
    setup.pull().unwrap();
    assert_eq!(ranges(&setup), [None, Some("bytes=300000-".to_owned())]);
    assert_whole(&setup);
}

#[test]
fn a_part_that_is_longer_than_the_whole_is_thrown_away() {
    let setup = Setup::golden(TIMM);
    let (weights, hash) = Setup::weights(TIMM);
    let blobs = setup.repository().join("blobs");
    std::fs::create_dir_all(&blobs).unwrap();
    std::fs::write(blobs.join(format!("{hash}.incomplete")), [&weights[..], b"more"].concat()).unwrap();
    setup.pull().unwrap();
    assert_whole(&setup);
}

/// No weights, and no part of them.
fn assert_nothing_is_left(setup: &Setup) {
    let (_, hash) = Setup::weights(TIMM);
    let blobs = setup.repository().join("blobs");
    assert!(!blobs.join(format!("{hash}.incomplete")).exists() && !blobs.join(hash).exists());
    assert_eq!(hub::cached(&reference(), &setup.settings()), None);
}

#[test]
fn a_wrong_hash_names_the_file_and_both_and_nothing_is_left() {
    let setup = Setup::golden(TIMM);
    setup.hub.fail(Faults { spoilt: true, ..Faults::default() });
    let error = setup.failure();
    assert!(error.starts_with("config.json has the git hash "), "the first file that is wrong: {error}");
    // the small file comes, the large one does not
    setup.hub.fail(Faults::default());
    setup.pull().unwrap();
    let snapshot = setup.repository().join("snapshots").join(COMMIT);
    let (weights, hash) = Setup::weights(TIMM);
    std::fs::remove_file(snapshot.join(WEIGHTS)).unwrap();
    std::fs::remove_file(setup.repository().join("blobs").join(&hash)).unwrap();
    setup.hub.fail(Faults { spoilt: true, ..Faults::default() });
    let error = setup.failure();
    let mut wrong = weights;
    wrong[0] ^= 1;
    let found = super::sha256(&wrong);
    assert!(error.contains(WEIGHTS) && error.contains(&hash) && error.contains(&found), "{error}");
    assert_nothing_is_left(&setup);
}

#[test]
fn a_wrong_size_names_the_file_and_both_and_nothing_is_left() {
    let setup = Setup::golden(TIMM);
    setup.hub.fail(Faults { short: 100, ..Faults::default() });
    let error = setup.failure();
    let size = Setup::weights(TIMM).0.len();
    assert!(error.starts_with(&format!("{WEIGHTS} has {} bytes, and the hub says {size}", size - 100)), "{error}");
    assert_nothing_is_left(&setup);
}

#[test]
fn a_name_that_is_no_hash_is_refused() {
    let setup = Setup::golden(TIMM);
    setup.hub.fail(Faults { etag: Some("../../../../../evil".to_owned()), ..Faults::default() });
    let error = setup.failure();
    assert!(error.contains("neither a SHA-256 nor a hash of git"), "{error}");
    assert_nothing_is_left(&setup);
}

#[test]
fn a_gated_model_says_where_its_terms_are() {
    let setup = Setup::golden(TIMM);
    setup.hub.fail(Faults { gated: Some(Gate::Everybody), ..Faults::default() });
    let page = format!("{}/people/tiny", setup.hub.endpoint);
    let error = setup.failure();
    assert!(error.contains("gated") && error.contains(&page) && error.contains("set HF_TOKEN"), "{error}");
    let token = [("HF_TOKEN", "hf_secret")];
    let (code, error) = setup.convnext(&["pull", "people/tiny"], &token).failure();
    assert!(code == 1 && error.contains(&page) && error.contains("may not read it"), "{error}");
    assert!(!error.contains("hf_secret"));
    setup.hub.fail(Faults { gated: Some(Gate::WithoutToken), ..Faults::default() });
    setup.convnext(&["pull", "people/tiny"], &token).success();
}

#[test]
fn what_is_not_there_is_told_apart() {
    let setup = Setup::golden(TIMM);
    let failure = |text: &str| hub::pull(&text.parse().unwrap(), &setup.settings(), &|_| {}).unwrap_err().to_string();
    let error = failure("people/other");
    assert!(
        error.contains("has no repository people/other, or it is private") && error.contains("HF_TOKEN"),
        "{error}"
    );
    assert_eq!(failure("people/tiny@v9"), "repository people/tiny has no revision v9");
    setup.hub.fail(Faults { lost: Some("config.json"), ..Faults::default() });
    assert_eq!(setup.failure(), "repository people/tiny has no file config.json");
}

#[test]
fn a_repository_of_pickles_says_how_to_convert_it() {
    let config = r#"{"architecture": "convnext_atto"}"#;
    let setup = Setup::of(Hub::with(
        [("config.json", config), ("pytorch_model.bin", "pickle")]
            .map(|(name, content)| (name.to_owned(), content.into())),
    ));
    let error = setup.failure();
    assert!(
        error.contains("pytorch_model.bin, a pickle") && error.contains("timm.create_model('hf-hub:people/tiny'"),
        "{error}"
    );
    assert!(!setup.hub.seen().iter().any(|seen| seen.path.ends_with(".bin")), "it was not fetched");
}

#[test]
fn a_busy_hub_is_waited_for_as_long_as_it_asks() {
    let setup = Setup::golden(TIMM);
    let busy = |status, seconds: &str| (status, vec![("retry-after", seconds.to_owned())]);
    setup.hub.fail(Faults { answers: vec![busy(429, "1"), busy(503, "")], ..Faults::default() });
    let waits = Mutex::new(Vec::new());
    let observer = |event: Event<'_>| {
        if let Event::Waits { pause, .. } = event {
            waits.lock().unwrap().extend(pause);
        }
    };
    hub::pull(&reference(), &setup.settings(), &observer).unwrap();
    assert_eq!(*waits.lock().unwrap(), [Duration::from_secs(1), Duration::from_millis(500)]);
    setup.hub.fail(Faults { answers: vec![busy(429, "1000")], ..Faults::default() });
    let error = setup.failure();
    assert!(error.contains("429") && error.contains("wait 1000 s"), "{error}");
}

#[test]
fn a_hub_that_is_not_there_ends_the_pull_in_time_and_the_cache_is_named() {
    let setup = Setup::golden(TIMM);
    setup.pull().unwrap();
    let began = Instant::now();
    let nobody = "http://127.0.0.1:1";
    let (code, error) = setup.convnext(&["pull", "people/tiny"], &[("HF_ENDPOINT", nobody)]).failure();
    assert!(code == 1 && began.elapsed() < Duration::from_secs(10), "{code} after {:?}", began.elapsed());
    let last = error.lines().last().unwrap();
    assert!(last.starts_with(&format!("convnext: {nobody}")) && last.contains("5 attempts"), "{error}");
    assert!(last.contains(&format!("Commit {COMMIT} of it is in the cache: --offline")), "{error}");
}

#[test]
fn what_is_no_hub_is_named() {
    let setup = Setup::golden(TIMM);
    setup.hub.fail(Faults { answers: vec![(200, Vec::new())], ..Faults::default() });
    assert!(setup.failure().contains("Is HF_ENDPOINT a Hugging Face hub"));
    let round = std::iter::repeat_n((302, vec![("location", "/again".to_owned())]), 12).collect();
    setup.hub.fail(Faults { answers: round, ..Faults::default() });
    assert!(setup.failure().contains("more than 10 redirects"));
}

#[test]
fn a_cache_that_cannot_be_written_says_so() {
    let setup = Setup::golden(TIMM);
    let file = setup.home.path().join("file");
    std::fs::write(&file, "").unwrap();
    let settings = Settings { cache: file.join("hub"), ..setup.settings() };
    let error = hub::pull(&reference(), &settings, &|_| {}).unwrap_err().to_string();
    assert!(error.starts_with(&format!("cannot write {}", file.display())), "{error}");
}
