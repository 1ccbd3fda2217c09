//! A server over a mock device, and a client that speaks raw TCP: for the tests of `http`.
//!
//! The device "sees" the red of an image's first pixel and answers the class of that number, so that a test knows which
//! image got which answer. Its gate holds batches back for as long as a test needs them to be running.
#![allow(dead_code, unreachable_pub, reason = "each suite uses its part")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::future::Future;
use std::io::Cursor;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use base64::Engine as _;
use convnext_server::checkpoint::Checkpoint;
use convnext_server::engine::{Buckets, Engine, Executable, Input, LoadError, Options as Compile, RunError};
use convnext_server::http::{Drained, Options, serve};
use convnext_server::model::Spec;
use convnext_server::pixels::{Filter, Fit, Transform};
use convnext_server::program::{InputSpec, Program, WeightError, WeightSource};
use convnext_server::service::{Classifier, Limits, NamedModel, Settings};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

const SIDE: usize = 32;

/// Bounds a test, generously for a busy machine: what hangs fails.
pub async fn bounded<T>(test: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(30), test).await.expect("the test ends in time")
}

/// A PNG whose class is `red`.
pub fn png(red: u8) -> Vec<u8> {
    let mut file = Cursor::new(Vec::new());
    let image = image::RgbImage::from_pixel(40, 40, image::Rgb([red, 0, 0]));
    image.write_to(&mut file, image::ImageFormat::Png).unwrap();
    file.into_inner()
}

/// The label that the image of [`png`] gets.
pub fn label(red: u8) -> String {
    format!("class {red}")
}

pub fn base64(bytes: &[u8]) -> String {
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

/// The mock device: its gate, its count of batches, and whether it is to fail.
#[derive(Clone)]
pub struct Device(Arc<Shared>);

struct Shared {
    open: Mutex<bool>,
    opened: Condvar,
    launched: watch::Sender<usize>,
    panics: AtomicBool,
}

impl Device {
    fn new() -> Self {
        let (open, opened) = (Mutex::new(true), Condvar::new());
        Self(Arc::new(Shared { open, opened, launched: watch::Sender::new(0), panics: AtomicBool::new(false) }))
    }

    /// Batches that are launched from now on do not end.
    pub fn hold(&self) {
        *self.0.open.lock().unwrap() = false;
    }

    /// All of them end.
    pub fn release(&self) {
        *self.0.open.lock().unwrap() = true;
        self.0.opened.notify_all();
    }

    /// The next batch is a panic.
    pub fn break_down(&self) {
        self.0.panics.store(true, Ordering::SeqCst);
    }

    /// To be asked before a request: waits for the batches that are launched after.
    pub fn launches(&self) -> Launches {
        let mut launched = self.0.launched.subscribe();
        let before = *launched.borrow_and_update();
        Launches { launched, before }
    }
}

/// See [`Device::launches`].
pub struct Launches {
    launched: watch::Receiver<usize>,
    before: usize,
}

impl Launches {
    /// Waits for the next.
    pub async fn next(&mut self) {
        let before = self.before;
        self.before = *self.launched.wait_for(|launched| *launched > before).await.unwrap();
    }
}

impl Engine for Device {
    fn device(&self) -> &str {
        "mock"
    }

    fn compile(
        &self,
        program: &Program,
        _: &dyn WeightSource,
        options: &Compile,
    ) -> Result<Box<dyn Executable>, LoadError> {
        let (slots, classes) = (vec![0; options.max_batch], program.classes());
        Ok(Box::new(Batches { device: self.clone(), slots, classes, launch: Vec::new(), logits: Vec::new() }))
    }
}

struct Batches {
    device: Device,
    slots: Vec<u8>,
    classes: usize,
    launch: Vec<u8>,
    logits: Vec<f32>,
}

impl Executable for Batches {
    fn buckets(&self) -> Buckets {
        Buckets::Any(self.slots.len())
    }

    fn stage(&mut self, slot: usize, input: Input<'_>) -> Result<(), RunError> {
        let Input::Rgb8(pixels) = input else { return Err(RunError::Input("pixels only".into())) };
        self.slots[slot] = pixels[0];
        Ok(())
    }

    fn launch(&mut self, slots: &[usize]) -> Result<(), RunError> {
        self.launch = slots.iter().map(|slot| self.slots[*slot]).collect();
        self.device.0.launched.send_modify(|launched| *launched += 1);
        Ok(())
    }

    fn finish(&mut self) -> Result<&[f32], RunError> {
        let shared = &self.device.0;
        drop(shared.opened.wait_while(shared.open.lock().unwrap(), |open| !*open).unwrap());
        assert!(!shared.panics.load(Ordering::SeqCst), "told to break down");
        self.logits = vec![0.0; self.classes * self.launch.len()];
        for (logits, red) in self.logits.chunks_mut(self.classes).zip(&self.launch) {
            logits[usize::from(*red)] = 20.0;
        }
        Ok(&self.logits)
    }
}

struct NoWeights;

impl WeightSource for NoWeights {
    fn read(&self, name: &str, _: &mut [f32]) -> Result<(), WeightError> {
        panic!("nobody should read {name}")
    }
}

fn model(name: &str) -> NamedModel {
    let program = Spec::published("convnext_atto").unwrap().program(InputSpec::imagenet(SIDE)).unwrap();
    let transform = Transform { height: SIDE, width: SIDE, fit: Fit::Exact(SIDE, SIDE), filter: Filter::Bilinear };
    let labels = (0..program.classes()).map(|class| format!("class {class}")).collect();
    let checkpoint =
        Checkpoint { program, weights: Box::new(NoWeights), transform, labels, origin: "the test".to_owned() };
    NamedModel { name: name.to_owned(), checkpoint }
}

/// A server on a port of its own, with the models `first` (the default) and `second`.
pub struct Server {
    pub address: SocketAddr,
    pub classifier: Classifier,
    pub device: Device,
    shutdown: Option<oneshot::Sender<()>>,
    served: Option<JoinHandle<Drained>>,
}

impl Server {
    pub async fn start() -> Self {
        Self::start_with(Options::default(), Limits::default()).await
    }

    pub async fn start_with(options: Options, limits: Limits) -> Self {
        let device = Device::new();
        let models = vec![model("first"), model("second")];
        let settings = Settings { limits, max_batch: 4, decode_threads: 2, ..Settings::default() };
        let (classifier, loading) = Classifier::start(Arc::new(device.clone()), models, settings).unwrap();
        loading.done().await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (shutdown, signal) = oneshot::channel::<()>();
        let serving = serve(listener, classifier.clone(), options, async move { drop(signal.await) });
        let served = Some(tokio::spawn(serving));
        Self { address, classifier, device, shutdown: Some(shutdown), served }
    }

    /// The signal to stop.
    pub fn shut_down(&mut self) {
        drop(self.shutdown.take());
    }

    /// Waits for the end of the drain.
    pub async fn drained(&mut self) -> Drained {
        self.served.take().unwrap().await.unwrap()
    }

    pub async fn connect(&self) -> Client {
        Client { stream: BufReader::new(TcpStream::connect(self.address).await.unwrap()) }
    }

    /// One request on a connection of its own.
    pub async fn ask(&self, head: &str, body: impl AsRef<[u8]>) -> Answer {
        let mut client = self.connect().await;
        client.send(request(head, body)).await;
        client.answer().await
    }

    /// `POST /classify` with this query and no header that says what the body is.
    pub async fn classify(&self, query: &str, body: impl AsRef<[u8]>) -> Answer {
        self.ask(&format!("POST /classify{query} HTTP/1.1"), body).await
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.ask(&format!("GET {path} HTTP/1.1"), "").await
    }

    /// The value of a series of the metrics; 0 where there is none.
    pub fn metric(&self, series: &str) -> f64 {
        let (text, _) = self.classifier.scrape().unwrap();
        let text = String::from_utf8(text).unwrap();
        let value = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        value.map_or(0.0, |value| value.parse().unwrap())
    }

    /// Waits until a series has this value: what a client that has left brings about, nobody answers.
    pub async fn metric_becomes(&self, series: &str, value: f64) {
        while self.metric(series) != value {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.device.release(); // its thread ends with the classifier
    }
}

/// The bytes of a request with its length; `head` is the request line and any further lines.
pub fn request(head: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let length = if body.is_empty() { String::new() } else { format!("content-length: {}\r\n", body.len()) };
    [format!("{head}\r\nhost: test\r\n{length}\r\n").as_bytes(), body].concat()
}

/// A connection.
pub struct Client {
    stream: BufReader<TcpStream>,
}

impl Client {
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.unwrap();
    }

    /// Says that no more will be sent.
    pub async fn half_close(&mut self) {
        self.stream.shutdown().await.unwrap();
    }

    /// Reads one answer, `100 Continue` included.
    pub async fn answer(&mut self) -> Answer {
        self.answer_to(true).await
    }

    /// Reads the answer to a HEAD, which says the length of a body that does not come.
    pub async fn head(&mut self) -> Answer {
        self.answer_to(false).await
    }

    async fn answer_to(&mut self, with_body: bool) -> Answer {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(self.stream.read_u8().await.expect("an answer"));
        }
        let head = String::from_utf8(head).unwrap();
        let mut answer = Answer { status: head[9..12].parse().unwrap(), head, body: Vec::new() };
        if let Some(length) = answer.header("content-length").filter(|_| with_body) {
            answer.body = vec![0; length.parse().unwrap()];
            self.stream.read_exact(&mut answer.body).await.unwrap();
        }
        answer
    }

    /// Waits for the server to close the connection; anything but silence before it is an error.
    pub async fn closed(mut self) {
        let mut rest = Vec::new();
        // a reset is a close as well
        let _ = self.stream.read_to_end(&mut rest).await;
        assert_eq!(String::from_utf8_lossy(&rest), "");
    }
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    head: String,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(": ")?;
            key.eq_ignore_ascii_case(name).then_some(value)
        })
    }

    pub fn json(&self) -> Value {
        assert_eq!(self.header("content-type"), Some("application/json"), "{self:?}");
        serde_json::from_slice(&self.body).unwrap()
    }

    /// The text of an error of this status.
    pub fn error(&self, status: u16) -> String {
        assert_eq!(self.status, status, "{self:?} {}", String::from_utf8_lossy(&self.body));
        let json = self.json();
        assert_eq!(json.as_object().unwrap().len(), 1, "{json}");
        json["error"].as_str().unwrap().to_owned()
    }

    /// The JSON of a 200.
    pub fn ok(&self) -> Value {
        assert_eq!(self.status, 200, "{self:?} {}", String::from_utf8_lossy(&self.body));
        self.json()
    }
}
