//! The real server on an emulated GPU: labels over HTTP, what is said of the device, and what happens when it is lost.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::emulated::Driver;
use crate::support::http::{Answer, Client, request};
use crate::support::process::Process;

pub(crate) const IMAGES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/models/images");
const CLASSIFY: &str = "POST /classify?top_k=1 HTTP/1.1";

/// A server on an emulated card, which lives as long as its driver.
fn serve(driver: &Driver, arguments: &[&str], environment: &[(&str, &str)]) -> Process {
    serve_on(driver, "cuda", arguments, environment)
}

/// The same on these cards.
pub(crate) fn serve_on(driver: &Driver, devices: &str, arguments: &[&str], environment: &[(&str, &str)]) -> Process {
    let driver = driver.environment();
    let driver: Vec<(&str, &str)> = driver.iter().map(|(name, value)| (*name, value.as_str())).collect();
    Process::serve_with(&[&["--device", devices], arguments].concat(), &[&driver, environment].concat())
}

pub(crate) async fn ask(client: &mut Client, head: &str, body: &[u8]) -> Answer {
    client.send(request(head, body)).await;
    client.answer().await
}

pub(crate) async fn metric(admin: &mut Client, series: &str) -> f64 {
    let text = String::from_utf8(ask(admin, "GET /metrics HTTP/1.1", b"").await.body).unwrap();
    let value = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    value.unwrap_or_else(|| panic!("no {series} in\n{text}")).parse().unwrap()
}

fn bag() -> Vec<u8> {
    std::fs::read(Path::new(IMAGES).join("bag.png")).unwrap()
}

#[tokio::test]
async fn both_demo_models_answer_over_http_and_say_where_and_in_what() {
    let driver = Driver::new(80);
    let arguments = ["--models", "convnext_atto,swin_atto", "--max-batch", "1", "--metrics-compat", "triton"];
    let server = serve(&driver, &arguments, &[]);
    let (mut http, mut admin) = (Client::to(server.http).await, Client::to(server.admin).await);
    let models = ask(&mut admin, "GET /models HTTP/1.1", b"").await.ok();
    for (index, name) in ["convnext_atto", "swin_atto"].iter().enumerate() {
        let model = &models[index];
        assert_eq!(model["name"], *name);
        assert_eq!(model["devices"][0], "cuda:0 (emulated)", "{model}");
        assert_eq!(model["precision"], "f16");
        for entry in std::fs::read_dir(IMAGES).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "png") {
                let head = format!("POST /classify?top_k=1&model={name} HTTP/1.1");
                let answer = ask(&mut http, &head, &std::fs::read(&path).unwrap()).await.ok();
                let label = answer[0]["label"].as_str().unwrap().to_lowercase().replace([' ', '/'], "-");
                assert_eq!(label, path.file_stem().unwrap().to_str().unwrap(), "{name}");
            }
        }
    }
    let version = env!("CARGO_PKG_VERSION");
    let series = format!("convnext_build_info{{device=\"cuda:0 (emulated)\",version=\"{version}\"}}");
    assert_eq!(metric(&mut admin, &series).await, 1.0);
    assert!(metric(&mut admin, "convnext_device_memory_used_bytes{device=\"cuda:0 (emulated)\"}").await > 1e6);
    // under Triton's names by the card's own: "emulated sm_80"
    let of_card = async |admin: &mut Client, name: &str| {
        metric(admin, &format!("{name}{{gpu_uuid=\"GPU-656d756c-6174-6564-2073-6d5f38300000\"}}")).await
    };
    let used = of_card(&mut admin, "nv_gpu_memory_used_bytes").await;
    assert!(used > 1e6 && used < of_card(&mut admin, "nv_gpu_memory_total_bytes").await);
    let stats = ask(&mut http, "GET /v2/models/swin_atto/stats HTTP/1.1", b"").await.ok();
    let memory = &stats["model_stats"][0]["memory_usage"];
    assert_eq!((&memory[0]["type"], &memory[0]["id"], memory.as_array().unwrap().len()), (&"GPU".into(), &0.into(), 1));
    assert_eq!(memory[0]["byte_size"], models[1]["memory_bytes"], "{stats}");
    drop((http, admin));
    assert_eq!(server.terminate(), Some(0), "the driver has found nothing, or this would be 86");
}

#[tokio::test]
async fn after_a_fault_of_the_gpu_readiness_is_off_and_no_answer_ever_comes() {
    let driver = Driver::new(80);
    let arguments = ["--no-self-check", "--models", "convnext_atto", "--max-batch", "1"];
    // some requests after warm-up
    let planted = [("CUDA_EMULATOR_FAULT", "kernel:1500"), ("CUDA_EMULATOR_STRICT", "0")];
    let server = serve(&driver, &arguments, &planted);
    let mut http = Client::to(server.http).await;
    let image = bag();
    let failed = loop {
        let answer = ask(&mut http, CLASSIFY, &image).await;
        if answer.status != 200 {
            break answer;
        }
        assert_eq!(answer.ok()[0]["label"], "Bag");
    };
    let since = Instant::now();
    let why = failed.error(500);
    assert!(why.contains("cuda:0") && why.contains("lost"), "{why}");
    // an error may close its connection
    let once = async |head: &str, body: &[u8]| ask(&mut Client::to(server.http).await, head, body).await;
    while once("GET /readyz HTTP/1.1", b"").await.status == 200 {
        assert!(since.elapsed() < Duration::from_secs(1), "readiness stays on");
    }
    for _ in 0..20 {
        once(CLASSIFY, &image).await.error(503);
    }
    assert_eq!(once("GET /livez HTTP/1.1", b"").await.status, 200, "the process lives");
    let mut admin = Client::to(server.admin).await;
    assert_eq!(metric(&mut admin, "convnext_device_up{device=\"cuda:0 (emulated)\"}").await, 0.0);
}

#[tokio::test]
async fn reloads_under_load_give_back_every_byte_of_the_device() {
    let driver = Driver::new(80);
    let server = serve(&driver, &["--no-self-check", "--models", "convnext_atto", "--max-batch", "1"], &[]);
    let image = bag();
    let (mut http, mut admin) = (Client::to(server.http).await, Client::to(server.admin).await);
    let memory = "convnext_device_memory_used_bytes{device=\"cuda:0 (emulated)\"}";
    ask(&mut http, CLASSIFY, &image).await.ok();
    let before = metric(&mut admin, memory).await;
    let address = server.http;
    let load = tokio::spawn(async move {
        let mut client = Client::to(address).await;
        for _ in 0..20 {
            assert_eq!(ask(&mut client, CLASSIFY, &image).await.ok()[0]["label"], "Bag");
        }
    });
    for _ in 0..3 {
        ask(&mut admin, "POST /models/convnext_atto/reload HTTP/1.1", b"").await.ok();
    }
    load.await.expect("every request was answered");
    let began = Instant::now();
    // the last version leaves the device once its last ticket has ended
    while metric(&mut admin, memory).await != before {
        assert!(
            began.elapsed() < Duration::from_secs(10),
            "{} bytes, before {before}",
            metric(&mut admin, memory).await
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
