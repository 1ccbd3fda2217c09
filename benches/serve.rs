//! Served against benched: images per second of `POST /classify` with JPEGs beside what the engine does alone, and the latency of one
//! client beside the time of the model. Server, clients and engine take turns in one process, so that a machine that changes its speed
//! changes it for all; the clients' own work is on the server's account. Weights are random.
//!
//!     cargo bench --bench serve -- --models convnext_tiny,convnext_atto --clients 8
//!
//! With `--url` the clients go to a server that runs already, and nothing is compared.
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a program for whoever builds the server")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use clap::Parser;
use convnext_server::checkpoint::{Checkpoint, ScoreFunction};
use convnext_server::engine::{Batch, DeviceId, Engine, Executable, Image, Options, PixelFormat, Precision, cpu::Cpu};
use convnext_server::http;
use convnext_server::model::Spec;
use convnext_server::net::{self, Port};
use convnext_server::pixels::{CropRounding, Filter, Fit, Transform};
use convnext_server::program::{InputSpec, Program, RandomWeights};
use convnext_server::service::{Classifier, ModelOptions, ModelSource, NamedModel, Settings};
use http_body_util::{BodyExt as _, Full};
use hyper::{Request, Uri, header::CONTENT_TYPE};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use tokio::runtime::Runtime;

/// A photo of the astronaut Eileen Collins (NASA, public domain) as `tests/images/astronaut.png`, cropped, quality 90.
const JPEG: &[u8] = include_bytes!("500x375.jpg");
const SIDE: usize = 224;
const GREY: &[u8] = &[128; SIDE * SIDE * 3];

#[derive(Parser)]
struct Args {
    /// Architectures, with random weights
    #[arg(long, value_delimiter = ',', default_value = "convnext_tiny,convnext_atto")]
    models: Vec<String>,
    /// Clients that ask at the same time, each as soon as it has its answer
    #[arg(long, default_value_t = 8)]
    clients: usize,
    /// The largest batch of the server; warm-up may find a smaller one to be as good
    #[arg(long, default_value_t = 32)]
    max_batch: usize,
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Of each turn
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// A server that runs already, as http://127.0.0.1:8080
    #[arg(long)]
    url: Option<Uri>,
    /// Cargo says so
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() {
    let args = Args::parse();
    let turn = Duration::from_secs_f64(args.seconds);
    let clients = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    if let Some(url) = &args.url {
        let ask = |count| clients.block_on(load(url, "", count, turn));
        for _ in 0..args.rounds {
            let ((many, p50), (_, one)) = (ask(args.clients), ask(1));
            println!("{} clients: {many:.1} images/s, median {p50:.1} ms; 1 client: median {one:.1} ms", args.clients);
        }
        return;
    }
    let server = Runtime::new().unwrap();
    for name in &args.models {
        let program = Spec::published(name).unwrap().program(InputSpec::imagenet(SIDE)).unwrap();
        let mut engine = executable(&program, args.clients.max(1));
        let url = server.block_on(serve(name, program, args.max_batch));
        let mut rounds = Vec::new();
        for round in 0..=args.rounds {
            let (batch, _) = alone(&mut *engine, args.clients, turn);
            let (served, _) = clients.block_on(load(&url, name, args.clients, turn));
            let (_, model) = alone(&mut *engine, 1, turn);
            let (_, answer) = clients.block_on(load(&url, name, 1, turn));
            // the first round is the warm-up
            if round > 0 {
                rounds.push([batch, served, served / batch, model, answer, answer - model]);
            }
        }
        let [batch, served, share, model, answer, extra] = std::array::from_fn(|column| {
            let mut values: Vec<f64> = rounds.iter().map(|round| round[column]).collect();
            values.sort_by(f64::total_cmp);
            values[values.len() / 2]
        });
        println!(
            "{name}: engine alone, batch {0}: {batch:.1} images/s; served to {0} clients: {served:.1}, {1:.0} %. \
             One image: model {model:.2} ms, answer {answer:.2} ms, {extra:.2} ms more",
            args.clients,
            share * 100.0
        );
    }
}

fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// A model on an engine of its own.
fn executable(program: &Program, max_batch: usize) -> Box<dyn Executable> {
    let options = Options { precision: Precision::F32, max_batch, threads: threads(), profile: false };
    let loaded = Cpu::default().load(DeviceId(0), program, &RandomWeights::new(program, 0), &options).unwrap();
    loaded.instantiate().unwrap()
}

/// Images a second of a batch again and again, and the median time of a run in ms.
fn alone(executable: &mut dyn Executable, batch: usize, turn: Duration) -> (f64, f64) {
    let images = || -> Batch { (0..batch).map(|_| Image::new(PixelFormat::Rgb8, GREY)).collect() };
    let (began, mut times) = (Instant::now(), Vec::new());
    while began.elapsed() < turn {
        let run = Instant::now();
        executable.run(images()).unwrap();
        times.push(run.elapsed());
    }
    let (runs, median) = rates(&times, began.elapsed());
    (runs * batch as f64, median)
}

/// Serves a model on a free port.
async fn serve(name: &str, program: Program, max_batch: usize) -> Uri {
    let labels = (0..program.classes()).map(|class| format!("class_{class}")).collect();
    let weights = Box::new(RandomWeights::new(&program, 0));
    let fit = Fit::ShortestEdge(256);
    let transform = Transform {
        height: SIDE,
        width: SIDE,
        fit,
        rounding: CropRounding::HalfToEven,
        filter: Filter::Bicubic,
        fill: [0; 3],
        grey: false,
    };
    let checkpoint = Checkpoint {
        program,
        weights,
        transform,
        labels,
        scores: ScoreFunction::Softmax,
        origin: "random weights".to_owned(),
        quantized: false,
    };
    // it is opened once
    let checkpoint = std::sync::Mutex::new(Some(checkpoint));
    let source: ModelSource = Arc::new(move || Ok(checkpoint.lock().unwrap().take().unwrap()));
    let models = vec![NamedModel { name: name.to_owned(), source, baseline: None }];
    let model = ModelOptions { max_batch, ..ModelOptions::default() };
    let settings = Settings { model, ..Settings::default() };
    let (classifier, loading) = Classifier::start(Arc::new(Cpu::default()), models, settings).unwrap();
    loading.done().await.unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address: SocketAddr = listener.local_addr().unwrap();
    let router = http::router(classifier.clone(), http::Options::default());
    let port = Port { name: "http", listener, router, max_connections: Port::DEFAULT_MAX_CONNECTIONS, tls: None };
    let stop = std::future::pending();
    tokio::spawn(
        async move { net::serve(vec![port], net::Options::default(), classifier.metrics(), || (), stop).await },
    );
    format!("http://{address}").parse().unwrap()
}

/// Images a second, and the median time of an answer in ms, of `count` clients who ask for this long and wait for what they asked.
async fn load(url: &Uri, model: &str, count: usize, turn: Duration) -> (f64, f64) {
    let client: Client<HttpConnector, Full<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
    let query = if model.is_empty() { String::new() } else { format!("?model={model}") };
    let uri: Uri = format!("{}/classify{query}", url.to_string().trim_end_matches('/')).parse().unwrap();
    let began = Instant::now();
    let end = began + turn;
    let one = move |client: Client<HttpConnector, Full<Bytes>>, uri: Uri| async move {
        let mut times = Vec::new();
        while Instant::now() < end {
            let request = Request::post(&uri).header(CONTENT_TYPE, "image/jpeg");
            let request = request.body(Full::new(Bytes::from_static(JPEG))).unwrap();
            let asked = Instant::now();
            let response = client.request(request).await.unwrap();
            let status = response.status();
            let body = response.into_body().collect().await.unwrap().to_bytes();
            assert!(status.is_success(), "{status}: {body:?}");
            times.push(asked.elapsed());
        }
        times
    };
    let tasks: Vec<_> = (0..count).map(|_| tokio::spawn(one(client.clone(), uri.clone()))).collect();
    let mut times = Vec::new();
    for task in tasks {
        times.extend(task.await.unwrap());
    }
    rates(&times, began.elapsed())
}

/// How many a second, and their median in ms.
fn rates(times: &[Duration], turn: Duration) -> (f64, f64) {
    let mut sorted = times.to_vec();
    sorted.sort();
    (times.len() as f64 / turn.as_secs_f64(), sorted[sorted.len() / 2].as_secs_f64() * 1e3)
}
