//! The real binary for long: a demo model on the CPU engine is reloaded over and over through the admin port.
//!
//! Under load (200 requests/s over HTTP, 50 reloads, every fifth of a broken file) no request fails, and each broken reload is
//! told to who asked for it and in `/models`. At rest (200 reloads) the resident memory stays what it was after the twentieth.
//! A machine that is too slow for the pace sends less; what was sent is counted, and the pace is not judged.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

use super::support::http::{Answer, Client, request};
use super::support::process::Process;

const MODEL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/models/convnext_atto");
const IMAGE: &[u8] = include_bytes!("../../models/images/bag.png");
const CLASSIFY: &str = "POST /classify?top_k=1 HTTP/1.1";

const RELOADS: usize = 50;
/// Each so manieth reload is of a broken file.
const BROKEN: usize = 5;
const CLIENTS: usize = 4;
/// Of all clients together.
const REQUESTS_PER_SECOND: u32 = 200;

/// A copy of the demo model, whose files are replaced as an operator would: by renaming another into their place.
struct Checkpoint(TempDir);

impl Checkpoint {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for file in ["config.json", "model.safetensors"] {
            std::fs::copy(Path::new(MODEL).join(file), folder.path().join(file)).unwrap();
        }
        Self(folder)
    }

    /// As `--models` names it.
    fn named(&self) -> String {
        format!("convnext_atto={}", self.0.path().display())
    }

    fn replace(&self, file: &str, content: &[u8]) {
        let staged = self.0.path().join("staged");
        std::fs::write(&staged, content).unwrap();
        std::fs::rename(staged, self.0.path().join(file)).unwrap();
    }

    /// Cuts a file short. Gives what it was.
    fn cut(&self, file: &str) -> Vec<u8> {
        let whole = std::fs::read(self.0.path().join(file)).unwrap();
        self.replace(file, &whole[..whole.len() / 2]);
        whole
    }
}

async fn ask(client: &mut Client, head: &str, body: &[u8]) -> Answer {
    client.send(request(head, body)).await;
    client.answer().await
}

async fn reload(admin: &mut Client) -> Answer {
    ask(admin, "POST /models/convnext_atto/reload HTTP/1.1", b"").await
}

/// The answer must be the label of the image.
fn check(answer: &Answer) {
    assert_eq!(answer.ok()[0]["label"], "Bag");
}

/// Sends requests at its share of the pace until told to stop. Gives how many were answered; one that fails is a panic.
fn load(server: &Process, stop: &Arc<AtomicBool>) -> JoinHandle<usize> {
    let (http, stop) = (server.http, Arc::clone(stop));
    tokio::spawn(async move {
        let mut client = Client::to(http).await;
        let mut pace = interval(Duration::from_secs(1) * CLIENTS as u32 / REQUESTS_PER_SECOND);
        // what a pause of the device held up is sent after it
        pace.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let mut answered = 0;
        while !stop.load(Ordering::Relaxed) {
            pace.tick().await;
            check(&ask(&mut client, CLASSIFY, IMAGE).await);
            answered += 1;
        }
        answered
    })
}

#[tokio::test]
async fn under_load_no_request_fails_while_models_are_reloaded_and_broken_ones_refused() {
    let checkpoint = Checkpoint::new();
    let server = Process::serve(&["--models", &checkpoint.named()]);
    let stop = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..CLIENTS).map(|_| load(&server, &stop)).collect();
    let mut admin = Client::to(server.admin).await;
    for number in 1..=RELOADS {
        let broken = number % BROKEN == 0;
        let file = if number % (2 * BROKEN) == 0 { "config.json" } else { "model.safetensors" };
        let whole = broken.then(|| checkpoint.cut(file));
        let answer = reload(&mut admin).await;
        let models = ask(&mut admin, "GET /models HTTP/1.1", b"").await.ok();
        assert_eq!(models[0]["ready"], true, "reload {number}: {models}");
        match whole {
            None => {
                assert_eq!(answer.ok()[0]["state"], "ready", "reload {number}");
                assert!(models[0]["error"].is_null(), "reload {number}: {models}");
            }
            Some(whole) => {
                let (why, told) = (answer.error(422), models[0]["error"].as_str().unwrap_or_default());
                assert!(why.contains(file) && told.contains(file), "reload {number}: {why}; {told}");
                checkpoint.replace(file, &whole);
            }
        }
    }
    stop.store(true, Ordering::Relaxed);
    let mut answered = 0;
    for client in clients {
        answered += client.await.expect("every request was answered");
    }
    let metrics = ask(&mut admin, "GET /metrics HTTP/1.1", b"").await;
    let metrics = String::from_utf8(metrics.body).unwrap();
    for (outcome, requests) in [("received", answered), ("succeeded", answered), ("failed", 0), ("cancelled", 0)] {
        let line = format!("convnext_{outcome}_total {requests}");
        assert!(metrics.lines().any(|other| other == line), "{line} in\n{metrics}");
    }
    println!("{answered} requests were answered during {RELOADS} reloads");
}

#[tokio::test]
async fn the_resident_memory_after_200_reloads_is_that_after_20() {
    let checkpoint = Checkpoint::new();
    // small batches are measured sooner before a model serves
    // what is freed goes back at once: how much an allocator keeps for later, and for how long, hides what was never freed
    let allocator = ("MIMALLOC_PURGE_DELAY", "0");
    let server = Process::serve_with(&["--models", &checkpoint.named(), "--max-batch", "4"], &[allocator]);
    let (mut http, mut admin) = (Client::to(server.http).await, Client::to(server.admin).await);
    let mut resident = Vec::new();
    for _ in 1..=200 {
        reload(&mut admin).await.ok();
        // its answer comes after the device has let go of the old model
        check(&ask(&mut http, CLASSIFY, IMAGE).await);
        resident.push(server.resident());
    }
    let (early, late) = (resident[19], resident[199]);
    println!("resident after 20 reloads: {early} KiB, after 200: {late} KiB, at most {:?}", resident.iter().max());
    assert!(late * 100 <= early * 105, "{early} KiB after 20 reloads, {late} KiB after 200: {resident:?}");
}
