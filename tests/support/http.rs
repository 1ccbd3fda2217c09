//! A server over the mock engine, and a client that speaks raw TCP: for the suites of `http` and `grpc`.

use std::net::SocketAddr;
use std::time::Duration;

use base64::Engine as _;
use convnext_server::auth::{self, Access, Keys, Policy};
use convnext_server::net::{self, Drained, Port};
use convnext_server::service::{Classifier, Limits, ModelOptions, Settings};
use convnext_server::{grpc, http};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::mock::{self, Conductor};

/// Bounds a test, generously for a busy machine: what hangs fails.
pub async fn bounded<T>(test: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(30), test).await.expect("the test ends in time")
}

/// The label of [`image`](super::mock::image) of this class.
pub fn label(class: usize) -> String {
    format!("class {class}")
}

pub fn base64(bytes: &[u8]) -> String {
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

/// What a test sets of its server; the rest is as by default.
#[derive(Clone)]
pub struct Options {
    pub limits: Limits,
    pub model: ModelOptions,
    pub http: http::Options,
    pub net: net::Options,
    pub max_connections: usize,
    /// Who may ask; None: everybody.
    pub keys: Option<Keys>,
    pub policy: Policy,
}

impl Default for Options {
    fn default() -> Self {
        let (limits, http, net) = (Limits::default(), http::Options::default(), net::Options::default());
        let model = ModelOptions { max_batch: 4, ..ModelOptions::default() };
        Self {
            limits,
            model,
            http,
            net,
            max_connections: Port::DEFAULT_MAX_CONNECTIONS,
            keys: None,
            policy: Policy::default(),
        }
    }
}

/// A server on a port of its own, with the models `first` (the default) and `second`.
pub struct Server {
    pub address: SocketAddr,
    pub grpc: SocketAddr,
    pub classifier: Classifier,
    pub engine: Conductor,
    /// Where there are keys.
    pub access: Option<Access>,
    shutdown: Option<oneshot::Sender<()>>,
    served: Option<JoinHandle<Drained>>,
}

impl Server {
    pub async fn start() -> Self {
        Self::start_with(Options::default()).await
    }

    pub async fn with_limits(limits: Limits) -> Self {
        Self::start_with(Options { limits, ..Options::default() }).await
    }

    /// With room for so many images of each model.
    pub async fn with_queue(queue_images: usize, limits: Limits) -> Self {
        let options = Options::default();
        let model = ModelOptions { queue_images, ..options.model.clone() };
        Self::start_with(Options { limits, model, ..options }).await
    }

    pub async fn with_net(net: net::Options) -> Self {
        Self::start_with(Options { net, ..Options::default() }).await
    }

    /// With keys, as [`keys`] makes them.
    pub async fn with_keys(entries: &[(&str, &str, &str)]) -> Self {
        Self::start_with(Options { keys: Some(keys(entries)), ..Options::default() }).await
    }

    pub async fn start_with(options: Options) -> Self {
        let Options { limits, model, mut http, net, max_connections, keys, policy } = options;
        let settings = Settings { limits, model, decode_threads: 2, ..Settings::default() };
        let (classifier, engine) = mock::classifier(&["first", "second"], settings).await;
        let access = keys.map(|keys| Access::new(Some(&keys), policy, classifier.metrics().access()));
        http.access.clone_from(&access);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (shutdown, signal) = oneshot::channel::<()>();
        let grpc_listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let grpc_address = grpc_listener.local_addr().unwrap();
        let grpc = grpc::router(
            classifier.clone(),
            grpc::Options {
                body_timeout: http.body_timeout,
                allow_model_control: http.allow_model_control,
                access: access.clone(),
            },
        );
        let port =
            Port { name: "http", listener, router: http::router(classifier.clone(), http), max_connections, tls: None };
        let grpc = Port { name: "grpc", listener: grpc_listener, router: grpc, max_connections, tls: None };
        let of_server = classifier.clone();
        let served = tokio::spawn(async move {
            let begin_drain = || of_server.begin_drain();
            net::serve(vec![port, grpc], net, of_server.metrics(), begin_drain, async { drop(signal.await) }).await
        });
        Self { address, grpc: grpc_address, classifier, engine, access, shutdown: Some(shutdown), served: Some(served) }
    }

    /// Waits until the first batch since the start has begun.
    pub async fn runs(&self) {
        let engine = self.engine.clone();
        #[expect(clippy::disallowed_methods, reason = "the server runs on this very thread")]
        tokio::task::spawn_blocking(move || engine.wait_until_begun(1)).await.unwrap();
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
        Client::to(self.address).await
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
        self.engine.release(); // its thread ends with the classifier
    }
}

/// Keys that are their own names, each with its scopes and its rate, as the file has them.
pub fn keys(entries: &[(&str, &str, &str)]) -> Keys {
    let table = |(name, scopes, rate): &(&str, &str, &str)| {
        let sha256: String = auth::digest(name.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
        format!("[[key]]\nname = '{name}'\nsha256 = '{sha256}'\nscopes = [{scopes}]\n{rate}\n")
    };
    Keys::parse(entries.iter().map(table).collect::<String>().as_bytes()).unwrap()
}

/// The bytes of a request with its length; `head` is the request line and any further lines.
pub fn request(head: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let length = if body.is_empty() { String::new() } else { format!("content-length: {}\r\n", body.len()) };
    [format!("{head}\r\nhost: test\r\n{length}\r\n").as_bytes(), body].concat()
}

/// A request whose head has this size in HTTP/2, which counts names, values, and 32 bytes for each pair: it is filled up.
pub fn head_of<B>(size: usize, (method, uri): (&str, &str), headers: &[(&str, &str)], body: B) -> hyper::Request<B> {
    let target: hyper::Uri = uri.parse().unwrap();
    let (scheme, authority) = (target.scheme_str().unwrap(), target.authority().unwrap().as_str());
    let pseudo =
        [(":method", method), (":scheme", scheme), (":authority", authority), (":path", target.path()), ("x", "")];
    let counted: usize = pseudo.iter().chain(headers).map(|(name, value)| name.len() + value.len() + 32).sum();
    let mut request = hyper::Request::builder().method(method).uri(uri).header("x", "y".repeat(size - counted));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(body).unwrap()
}

/// A connection.
pub struct Client {
    stream: BufReader<TcpStream>,
}

impl Client {
    pub async fn to(address: SocketAddr) -> Self {
        Self { stream: BufReader::new(TcpStream::connect(address).await.unwrap()) }
    }

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
