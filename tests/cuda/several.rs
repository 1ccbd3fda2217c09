//! The real server on two emulated GPUs behind its one dispatcher: both answer, each gives back its memory, and a fault of one leaves the other.
//!
//! Not here: what one GPU does (`served`), shares of several devices by a made-up clock (`src/service/scheduler`).

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::emulated::Driver;
use crate::served::{IMAGES, ask, metric, serve_on};
use crate::support::http::{Answer, Client};

const CLASSIFY: &str = "POST /classify?top_k=1&detail=1 HTTP/1.1";
const BOTH: [&str; 2] = ["cuda:0 (emulated)", "cuda:1 (emulated)"];

const ARGUMENTS: [&str; 4] = ["--models", "convnext_atto", "--max-batch", "1"];
/// Batches of one image that a device has in flight.
const IN_FLIGHT: usize = 2;

fn arguments() -> Vec<&'static str> {
    [&["--no-self-check"], &ARGUMENTS[..]].concat()
}

/// The demo images with their labels.
fn images() -> Arc<Vec<(String, Vec<u8>)>> {
    let paths = std::fs::read_dir(IMAGES).unwrap().map(|entry| entry.unwrap().path());
    let images = paths.filter(|path| path.extension().is_some_and(|extension| extension == "png"));
    let image = |path: &Path| (path.file_stem().unwrap().to_str().unwrap().to_owned(), std::fs::read(path).unwrap());
    let all: Vec<_> = images.map(|path| image(&path)).collect();
    assert_eq!(all.len(), 10);
    Arc::new(all)
}

/// The device that gave an answer, whose label must be right.
fn device(answer: &Answer, label: &str) -> String {
    let json: Value = answer.ok();
    let found = json["predictions"][0]["label"].as_str().unwrap().to_lowercase().replace([' ', '/'], "-");
    assert_eq!(found, label, "{json}");
    json["device"].as_str().unwrap().to_owned()
}

async fn both(admin: &mut Client, name: &str) -> [f64; 2] {
    let mut values = [0.0; 2];
    for (value, device) in values.iter_mut().zip(BOTH) {
        *value = metric(admin, &format!("{name}{{device=\"{device}\"}}")).await;
    }
    values
}

async fn devices(admin: &mut Client) -> Value {
    ask(admin, "GET /models HTTP/1.1", b"").await.ok()[0]["devices"].take()
}

/// A client that asks for one image after another until it is told to end, and then for so many more.
async fn client(
    address: SocketAddr,
    first: usize,
    more: usize,
    end: Arc<AtomicBool>,
) -> (BTreeMap<String, usize>, Vec<String>) {
    let (images, mut http) = (images(), Client::to(address).await);
    let (mut answers, mut failures, mut left) = (BTreeMap::new(), vec![], more);
    for (label, image) in images.iter().cycle().skip(first) {
        if end.load(Ordering::SeqCst) {
            let Some(one_less) = left.checked_sub(1) else { break };
            left = one_less;
        }
        let answer = ask(&mut http, CLASSIFY, image).await;
        if answer.status == 200 {
            *answers.entry(device(&answer, label)).or_default() += 1;
        } else {
            failures.push(answer.error(500));
            http = Client::to(address).await; // an error may close its connection
            end.store(true, Ordering::SeqCst);
        }
    }
    (answers, failures)
}

/// What several clients at once were answered, by device, and what failed.
async fn load(
    address: SocketAddr,
    clients: usize,
    more: usize,
    end: &Arc<AtomicBool>,
) -> (BTreeMap<String, usize>, Vec<String>) {
    let all: Vec<_> = (0..clients).map(|at| tokio::spawn(client(address, at, more, Arc::clone(end)))).collect();
    let (mut answers, mut failures) = (BTreeMap::new(), vec![]);
    for one in all {
        let (answered, failed) = one.await.expect("right labels or an error");
        answered.into_iter().for_each(|(device, count)| *answers.entry(device).or_default() += count);
        failures.extend(failed);
    }
    (answers, failures)
}

#[tokio::test]
async fn both_gpus_answer() {
    let driver = Driver::with_cards(2, 80);
    // each proves itself first
    let server = serve_on(&driver, "cuda:all", &ARGUMENTS, &[]);
    let mut admin = Client::to(server.admin).await;
    assert_eq!(devices(&mut admin).await, serde_json::json!(BOTH));
    assert_eq!(both(&mut admin, "convnext_device_up").await, [1.0, 1.0]);
    assert!(both(&mut admin, "convnext_device_memory_used_bytes").await.iter().all(|bytes| *bytes > 1e6));
    let (answers, failures) = load(server.http, 4, 4, &Arc::new(AtomicBool::new(true))).await;
    assert_eq!(failures, [""; 0]);
    assert_eq!(answers.keys().map(String::as_str).collect::<BTreeSet<_>>(), BTreeSet::from(BOTH));
    assert_eq!(answers.values().sum::<usize>(), 16);
    for device in BOTH {
        let labels = format!("device=\"{device}\",family=\"convnext\",model=\"convnext_atto\"");
        assert!(metric(&mut admin, &format!("convnext_device_busy_seconds_total{{{labels}}}")).await > 0.0);
    }
    drop(admin);
    assert_eq!(server.terminate(), Some(0), "the driver has found nothing, or this would be 86");
}

#[tokio::test]
async fn a_gpu_that_is_named_serves_alone() {
    let driver = Driver::with_cards(2, 80);
    let server = serve_on(&driver, "cuda:1", &arguments(), &[]);
    let mut admin = Client::to(server.admin).await;
    assert_eq!(devices(&mut admin).await, serde_json::json!([BOTH[1]]));
    let (answers, failures) = load(server.http, 2, 3, &Arc::new(AtomicBool::new(true))).await;
    assert_eq!((answers, failures), (BTreeMap::from([(BOTH[1].to_owned(), 6)]), vec![]));
    let text = ask(&mut admin, "GET /metrics HTTP/1.1", b"").await.body;
    assert!(!String::from_utf8(text).unwrap().contains("cuda:0"), "nothing is said of the other");
    drop(admin);
    assert_eq!(server.terminate(), Some(0), "the driver has found nothing, or this would be 86");
}

/// A fault of one GPU under load, some images after warm-up: what ran there fails, the other answers on, and rightly.
async fn one_goes(fault: &str, gone: usize) {
    let driver = Driver::with_cards(2, 80);
    let planted = [("CUDA_EMULATOR_FAULT", fault), ("CUDA_EMULATOR_STRICT", "0")];
    let server = serve_on(&driver, "cuda:all", &arguments(), &planted);
    let stays = 1 - gone;
    let (end, began) = (Arc::new(AtomicBool::new(false)), Instant::now());
    let watch = Arc::clone(&end);
    let bound = tokio::spawn(async move {
        while began.elapsed() < Duration::from_secs(60) && !watch.load(Ordering::SeqCst) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        watch.store(true, Ordering::SeqCst);
    });
    let (answers, failures) = load(server.http, 5, 4, &end).await;
    bound.await.unwrap();
    assert!((1..=IN_FLIGHT).contains(&failures.len()), "{failures:?}, {answers:?}");
    for why in &failures {
        assert!(why.contains(BOTH[gone]) && why.contains("lost"), "{why}");
    }
    assert!(answers.contains_key(BOTH[gone]), "it served before: {answers:?}");
    assert!(answers[BOTH[stays]] >= 15, "{answers:?}");
    let once = async |head: &str| ask(&mut Client::to(server.http).await, head, b"").await;
    // a model that has another device stays ready
    assert_eq!(once("GET /readyz HTTP/1.1").await.status, 200);
    assert_eq!(once("GET /livez HTTP/1.1").await.status, 200);
    let mut admin = Client::to(server.admin).await;
    let up = both(&mut admin, "convnext_device_up").await;
    assert_eq!((up[gone], up[stays]), (0.0, 1.0));
    assert_eq!(devices(&mut admin).await, serde_json::json!([BOTH[stays]]), "only what runs it is named");
    // a new version is loaded on what is left
    ask(&mut admin, "POST /models/convnext_atto/reload HTTP/1.1", b"").await.ok();
    assert_eq!(devices(&mut admin).await, serde_json::json!([BOTH[stays]]));
    let (answers, failures) = load(server.http, 3, 2, &end).await;
    assert_eq!((answers, failures), (BTreeMap::from([(BOTH[stays].to_owned(), 6)]), vec![]));
    drop(admin);
    assert_eq!(server.terminate(), Some(0));
}

#[tokio::test]
async fn a_kernel_that_faults_on_the_second_gpu_leaves_the_first() {
    one_goes("kernel:600@1", 1).await;
}

#[tokio::test]
async fn a_gpu_that_is_lost_leaves_the_other() {
    one_goes("lost:600", 0).await;
}

#[tokio::test]
async fn a_reload_under_load_gives_back_every_byte_of_both_gpus() {
    let driver = Driver::with_cards(2, 80);
    // leaks are found all the same, and this runs many images
    let server = serve_on(&driver, "cuda:all", &arguments(), &[("CUDA_EMULATOR_CHECKS", "0")]);
    let mut admin = Client::to(server.admin).await;
    let memory = "convnext_device_memory_used_bytes";
    load(server.http, 2, 2, &Arc::new(AtomicBool::new(true))).await;
    let before = both(&mut admin, memory).await;
    let end = Arc::new(AtomicBool::new(false));
    let loaded = tokio::spawn({
        let (address, end) = (server.http, Arc::clone(&end));
        async move { load(address, 2, 1, &end).await }
    });
    ask(&mut admin, "POST /models/convnext_atto/reload HTTP/1.1", b"").await.ok();
    end.store(true, Ordering::SeqCst);
    let (answers, failures) = loaded.await.expect("every request was answered");
    assert_eq!((answers.len(), failures), (2, vec![]));
    let began = Instant::now();
    // the last version leaves the devices once its last ticket has ended
    while both(&mut admin, memory).await != before {
        let now = both(&mut admin, memory).await;
        assert!(began.elapsed() < Duration::from_secs(20), "{now:?} bytes, before {before:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    drop(admin);
    assert_eq!(server.terminate(), Some(0), "the driver has found nothing, or this would be 86");
}
