//! Servers of a page each, as one writes them by hand with axum and with tonic. They decode what ours decodes and hold sizes against
//! the model's; they have no admission, queue, deadlines, metrics or log. Their logits are as much computed as ours.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::serve::ListenerExt as _;
use axum::{Json, Router};
use bytes::Bytes;
use convnext_server::grpc::proto::inference as pb;
use convnext_server::grpc::proto::inference::grpc_inference_service_server::{
    GrpcInferenceService, GrpcInferenceServiceServer,
};
use convnext_server::pixels::{self, CropRounding, Filter, Fit, Transform};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Status};

const CLASSES: usize = 10;

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(crate) enum Rival {
    Axum,
    Tonic,
}

/// Serves until it is killed, as `serve` would: on the runtime of many threads.
pub(crate) fn serve(rival: Rival, side: usize) {
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        println!("{}", listener.local_addr().unwrap());
        match rival {
            Rival::Axum => {
                let pool = rayon::ThreadPoolBuilder::new().build().unwrap();
                let state = Arc::new(Shared { side, pool });
                let routes = Router::new()
                    .route("/v2/models/demo/infer", post(infer))
                    .route("/classify", post(classify))
                    .with_state(state);
                let listener = listener.tap_io(|stream| stream.set_nodelay(true).unwrap());
                #[expect(clippy::disallowed_methods, reason = "it is what ours is measured against")]
                axum::serve(listener, routes).await.unwrap();
            }
            Rival::Tonic => {
                let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
                let service = GrpcInferenceServiceServer::new(Inference { side });
                tonic::transport::Server::builder().add_service(service).serve_with_incoming(incoming).await.unwrap();
            }
        }
    });
}

struct Shared {
    side: usize,
    pool: rayon::ThreadPool,
}

/// The floats of a tensor of one image, and the logits of a network that there is not.
fn logits(side: usize, shape: &[i64], bytes: &[u8]) -> Result<Vec<u8>, String> {
    let side = side as i64;
    if shape != [1, 3, side, side] || bytes.len() as i64 != 4 * 3 * side * side {
        return Err(format!("a tensor of shape {shape:?} in {} bytes", bytes.len()));
    }
    let floats: Vec<f32> = bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
    std::hint::black_box(&floats);
    Ok([0.0_f32; CLASSES].iter().flat_map(|logit| logit.to_le_bytes()).collect())
}

#[derive(Deserialize)]
struct InferJson {
    inputs: Vec<InputJson>,
}

#[derive(Deserialize)]
struct InputJson {
    name: String,
    datatype: String,
    shape: Vec<i64>,
    parameters: SizeJson,
}

#[derive(Deserialize, Serialize)]
struct SizeJson {
    binary_data_size: usize,
}

#[derive(Serialize)]
struct AnswerJson {
    model_name: &'static str,
    model_version: &'static str,
    outputs: [OutputJson; 1],
}

#[derive(Serialize)]
struct OutputJson {
    name: &'static str,
    shape: [usize; 2],
    datatype: &'static str,
    parameters: SizeJson,
}

type Refused = (StatusCode, String);

fn refused(why: impl ToString) -> Refused {
    (StatusCode::BAD_REQUEST, why.to_string())
}

async fn infer(State(state): State<Arc<Shared>>, headers: HeaderMap, body: Bytes) -> Result<Response, Refused> {
    let length = headers.get("inference-header-content-length").and_then(|value| value.to_str().ok()?.parse().ok());
    let (json, tail) =
        length.and_then(|length| body.split_at_checked(length)).ok_or_else(|| refused("no such header"))?;
    let InferJson { inputs } = serde_json::from_slice(json).map_err(refused)?;
    let [input] = &inputs[..] else { return Err(refused("one input is needed")) };
    if input.name != "pixels" || input.datatype != "FP32" || input.parameters.binary_data_size != tail.len() {
        return Err(refused("FP32 pixels are needed"));
    }
    let logits = logits(state.side, &input.shape, tail).map_err(refused)?;
    let answer = AnswerJson {
        model_name: "demo",
        model_version: "1",
        outputs: [OutputJson {
            name: "logits",
            shape: [1, CLASSES],
            datatype: "FP32",
            parameters: SizeJson { binary_data_size: logits.len() },
        }],
    };
    let mut body = serde_json::to_vec(&answer).map_err(refused)?;
    let length = body.len().to_string();
    body.extend(logits);
    let headers =
        [("inference-header-content-length", length), ("content-type", "application/octet-stream".to_owned())];
    Ok((headers, body).into_response())
}

#[derive(Serialize)]
struct Label {
    label: String,
    score: f32,
}

async fn classify(
    State(state): State<Arc<Shared>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<Vec<Label>>, Refused> {
    if headers.get(header::CONTENT_TYPE).is_none_or(|value| !value.as_bytes().starts_with(b"image/")) {
        return Err(refused("an image is needed"));
    }
    let (answer, answered) = tokio::sync::oneshot::channel();
    let side = state.side;
    state.pool.spawn_fifo(move || drop(answer.send(decoded(&body, side))));
    let pixels = answered.await.map_err(refused)?.map_err(refused)?;
    std::hint::black_box(&pixels);
    let (logits, mut labels) = ([0.0_f32; CLASSES], Vec::new());
    let sum: f32 = logits.iter().map(|logit| logit.exp()).sum();
    for (class, logit) in logits.iter().enumerate().take(5) {
        labels.push(Label { label: format!("class_{class}"), score: logit.exp() / sum });
    }
    Ok(Json(labels))
}

/// The image as the demo model takes it.
fn decoded(bytes: &[u8], side: usize) -> Result<Vec<u8>, String> {
    let header = pixels::probe(bytes, 64_000_000).map_err(|error| error.to_string())?;
    let rgb = pixels::decode(bytes, &header).map_err(|error| error.to_string())?;
    let transform = Transform {
        height: side,
        width: side,
        fit: Fit::ShortestEdge(side),
        rounding: CropRounding::HalfToEven,
        filter: Filter::Bicubic,
        fill: [0; 3],
        grey: false,
    };
    let mut pixels = vec![0; transform.bytes()];
    transform.apply_into(&rgb, &mut pixels).map_err(|error| error.to_string())?;
    Ok(pixels)
}

struct Inference {
    side: usize,
}

/// Refuses every other call of the service.
macro_rules! others {
    ($($call:ident($request:ident) -> $response:ident;)*) => {
        #[tonic::async_trait]
        impl GrpcInferenceService for Inference {
            async fn model_infer(
                &self,
                request: Request<pb::ModelInferRequest>,
            ) -> Result<tonic::Response<pb::ModelInferResponse>, Status> {
                self.infer(request.into_inner()).map(tonic::Response::new)
            }

            type ModelStreamInferStream = futures_util::stream::Empty<Result<pb::ModelStreamInferResponse, Status>>;

            async fn model_stream_infer(
                &self,
                _: Request<tonic::Streaming<pb::ModelInferRequest>>,
            ) -> Result<tonic::Response<Self::ModelStreamInferStream>, Status> {
                Err(Status::unimplemented("streams"))
            }

            $(async fn $call(&self, _: Request<pb::$request>) -> Result<tonic::Response<pb::$response>, Status> {
                Err(Status::unimplemented(stringify!($call)))
            })*
        }
    };
}

others! {
    server_live(ServerLiveRequest) -> ServerLiveResponse;
    server_ready(ServerReadyRequest) -> ServerReadyResponse;
    model_ready(ModelReadyRequest) -> ModelReadyResponse;
    server_metadata(ServerMetadataRequest) -> ServerMetadataResponse;
    model_metadata(ModelMetadataRequest) -> ModelMetadataResponse;
    model_config(ModelConfigRequest) -> ModelConfigResponse;
    model_statistics(ModelStatisticsRequest) -> ModelStatisticsResponse;
    repository_index(RepositoryIndexRequest) -> RepositoryIndexResponse;
    repository_model_load(RepositoryModelLoadRequest) -> RepositoryModelLoadResponse;
    repository_model_unload(RepositoryModelUnloadRequest) -> RepositoryModelUnloadResponse;
}

impl Inference {
    fn infer(&self, request: pb::ModelInferRequest) -> Result<pb::ModelInferResponse, Status> {
        let ([input], [tensor]) = (&request.inputs[..], &request.raw_input_contents[..]) else {
            return Err(Status::invalid_argument("one input is needed"));
        };
        if request.model_name != "demo" || input.name != "pixels" || input.datatype != "FP32" {
            return Err(Status::invalid_argument("FP32 pixels are needed"));
        }
        let logits = logits(self.side, &input.shape, tensor).map_err(Status::invalid_argument)?;
        let output = pb::model_infer_response::InferOutputTensor {
            name: "logits".to_owned(),
            datatype: "FP32".to_owned(),
            shape: vec![1, CLASSES as i64],
            ..Default::default()
        };
        Ok(pb::ModelInferResponse {
            model_name: request.model_name,
            model_version: "1".to_owned(),
            id: request.id,
            outputs: vec![output],
            raw_output_contents: vec![logits.into()],
            ..Default::default()
        })
    }
}
