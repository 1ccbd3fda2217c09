//! Clients with a connection each, as cheap as clients can be: a request that is made once, an answer whose length is looked at.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::{BufMut as _, Bytes, BytesMut};
use convnext_server::grpc::proto::inference as pb;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::{http1, http2};
use hyper::{Request, Response, body::Incoming};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message as _;
use tokio::net::TcpStream;

use crate::Call;

const BAG: &[u8] = include_bytes!("../../models/images/bag.png");

/// What they ask, and their connections.
pub(crate) struct Clients {
    ask: Ask,
    connections: Vec<Connection>,
}

/// A request, again and again.
#[derive(Clone)]
struct Ask {
    uri: String,
    headers: Vec<(&'static str, String)>,
    body: Bytes,
}

enum Connection {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

/// What a turn of some clients came to.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) per_second: f64,
    /// Microseconds to the answer.
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    /// Requests.
    pub(crate) count: usize,
    /// Microseconds of the processor that the server used, of each.
    pub(crate) cpu: f64,
}

impl Clients {
    /// Connects so many, and asks once with each.
    pub(crate) async fn connect(call: Call, address: SocketAddr, side: usize, count: usize) -> Self {
        let ask = Ask::of(call, address, side);
        let mut connections = Vec::with_capacity(count);
        for _ in 0..count {
            let stream = TcpStream::connect(address).await.unwrap();
            stream.set_nodelay(true).unwrap();
            let io = TokioIo::new(stream);
            let mut connection = if call == Call::Grpc {
                let (sender, connection) = http2::handshake(TokioExecutor::new(), io).await.unwrap();
                tokio::spawn(connection);
                Connection::Http2(sender)
            } else {
                let (sender, connection) = http1::handshake(io).await.unwrap();
                tokio::spawn(connection);
                Connection::Http1(sender)
            };
            connection.ask(&ask).await;
            connections.push(connection);
        }
        Self { ask, connections }
    }

    /// So many of them ask for so long, and wait for what they asked.
    pub(crate) async fn ask(&mut self, count: usize, turn: Duration) -> Asked {
        let began = Instant::now();
        let end = began + turn;
        let tasks: Vec<_> =
            self.connections.drain(..count).map(|connection| ask_until(connection, self.ask.clone(), end)).collect();
        let tasks: Vec<_> = tasks.into_iter().map(tokio::spawn).collect();
        let mut times = Vec::new();
        for task in tasks {
            let (connection, took) = task.await.unwrap();
            self.connections.push(connection);
            times.extend(took);
        }
        let elapsed = began.elapsed().as_secs_f64();
        times.sort_unstable();
        let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize] as f64 / 1e3;
        Asked { per_second: times.len() as f64 / elapsed, p50: at(0.5), p99: at(0.99), count: times.len(), cpu: 0.0 }
    }
}

async fn ask_until(mut connection: Connection, ask: Ask, end: Instant) -> (Connection, Vec<u64>) {
    let mut times = Vec::new();
    let mut asked = Instant::now();
    while asked < end {
        connection.ask(&ask).await;
        let answered = Instant::now();
        times.push((answered - asked).as_nanos() as u64);
        asked = answered;
    }
    (connection, times)
}

impl Connection {
    async fn ask(&mut self, ask: &Ask) {
        let request = ask.request();
        match self {
            Self::Http1(sender) => {
                sender.ready().await.unwrap();
                check(sender.send_request(request).await.unwrap()).await;
            }
            Self::Http2(sender) => check(sender.send_request(request).await.unwrap()).await,
        }
    }
}

/// An answer that is no success would make a server look fast.
async fn check(response: Response<Incoming>) {
    let status = response.status();
    let refused = response.headers().get("grpc-status").cloned();
    let body = response.into_body().collect().await.unwrap();
    let of_grpc = body.trailers().and_then(|trailers| trailers.get("grpc-status").cloned()).or(refused);
    let bytes = body.to_bytes();
    assert!(status.is_success() && of_grpc.is_none_or(|code| code == "0") && bytes.len() >= 40, "{status}: {bytes:?}");
}

impl Ask {
    fn of(call: Call, address: SocketAddr, side: usize) -> Self {
        let tensor: Vec<u8> = (0..3 * side * side).flat_map(|index| (index as f32 / 1e4).to_le_bytes()).collect();
        let (path, headers, body) = match call {
            Call::Http => {
                let json = serde_json::json!({
                    "inputs": [{
                        "name": "pixels", "datatype": "FP32", "shape": [1, 3, side, side],
                        "parameters": { "binary_data_size": tensor.len() },
                    }],
                    "outputs": [{ "name": "logits", "parameters": { "binary_data": true } }],
                })
                .to_string();
                let headers = vec![
                    ("inference-header-content-length", json.len().to_string()),
                    ("content-type", "application/octet-stream".to_owned()),
                    ("host", address.to_string()),
                ];
                ("/v2/models/demo/infer", headers, [json.as_bytes(), &tensor].concat())
            }
            Call::Grpc => {
                let input = pb::model_infer_request::InferInputTensor {
                    name: "pixels".to_owned(),
                    datatype: "FP32".to_owned(),
                    shape: vec![1, 3, side as i64, side as i64],
                    ..Default::default()
                };
                let request = pb::ModelInferRequest {
                    model_name: "demo".to_owned(),
                    inputs: vec![input],
                    raw_input_contents: vec![tensor.into()],
                    ..Default::default()
                };
                let headers = vec![("content-type", "application/grpc".to_owned()), ("te", "trailers".to_owned())];
                ("/inference.GRPCInferenceService/ModelInfer", headers, framed(&request))
            }
            Call::Classify => {
                let headers = vec![("content-type", "image/png".to_owned()), ("host", address.to_string())];
                ("/classify", headers, BAG.to_vec())
            }
        };
        let uri = if call == Call::Grpc { format!("http://{address}{path}") } else { path.to_owned() };
        Self { uri, headers, body: body.into() }
    }

    fn request(&self) -> Request<Full<Bytes>> {
        let mut request = Request::post(&self.uri);
        for (name, value) in &self.headers {
            request = request.header(*name, value);
        }
        request.body(Full::new(self.body.clone())).unwrap()
    }
}

/// A message of gRPC behind its head.
fn framed(message: &pb::ModelInferRequest) -> Vec<u8> {
    let mut bytes = BytesMut::new();
    bytes.put_u8(0);
    bytes.put_u32(message.encoded_len() as u32);
    message.encode(&mut bytes).unwrap();
    bytes.to_vec()
}
