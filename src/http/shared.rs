//! What the HTTP port and the admin port share: the models, the metrics, liveness and readiness, and the layer around all routes.

use std::collections::BTreeMap;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router, middleware};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa::openapi::Type;

use super::access;
use super::compressed::{self, Wanted};
use super::cors;
use super::docs::{Operation, Port, Routes, get, schemas};
use super::error::Error;
use super::outer_layer::outer_layer;
use super::state::{AppState, MetricsCompat};
use crate::metrics::Exposition;
use crate::oip;
use crate::service::{ModelState, ModelStatus, ServiceError};

/// Paths of liveness, and what clients call them.
const LIVE: [(&str, &str); 2] = [("/livez", "isLive"), ("/v2/health/live", "isServerLive")];
/// Paths of readiness, beside `/ping`. Who asks by that or by the last two is a load balancer or a platform that wants to know where to send requests,
/// which a server that loads or drains should not get.
const READY: [(&str, &str); 4] = [
    ("/readyz", "isReady"),
    ("/v2/health/ready", "isServerReady"),
    ("/health", "isHealthy"),
    ("/healthz", "isHealthyToo"),
];

/// A port's own routes with the shared ones, under the layer that every request goes through.
pub(crate) fn with_shared(routes: Routes, port: Port, state: AppState) -> Router {
    let mut routes = routes.at("/models", get(models, of_models())).at("/metrics", get(metrics, of_metrics()));
    for (path, id) in LIVE {
        let said = Operation::new(id, "health", "Whether the process answers").json::<Live>("It does.");
        routes = routes.at(path, get(live, said));
    }
    for (path, id) in READY {
        let said = Operation::new(id, "health", "Whether every required model is ready and no drain has begun");
        routes = routes.at(path, get(ready, said.json::<Ready>("It is so.").refuses(&[503])));
    }
    let said = Operation::new("ping", "health", "The same in TorchServe's words, for it and SageMaker");
    routes = routes.at("/ping", get(ping, said.json::<Ping>("It is so.").refuses(&[503])));
    let mut routes = routes.documented(port).fallback(no_route).method_not_allowed_fallback(no_method);
    if state.options.access.is_some() {
        routes = routes.layer(middleware::from_fn_with_state(state.clone(), access::layer));
    }
    // around it, for a page must be able to read why it is refused
    if let Some(cors) = cors::layer(&state.options.cors_allow_origins) {
        routes = routes.layer(cors);
    }
    routes.layer(middleware::from_fn_with_state(state.clone(), outer_layer)).with_state(state)
}

/// That the process answers.
#[derive(Serialize, ToSchema)]
struct Live {
    live: bool,
}

/// That requests may come.
#[derive(Serialize, ToSchema)]
struct Ready {
    ready: bool,
    /// Devices that have failed, each with why; absent where none has.
    #[serde(skip_serializing_if = "Option::is_none")]
    failed_devices: Option<BTreeMap<String, String>>,
}

/// TorchServe's word for it.
#[derive(Serialize, ToSchema)]
struct Ping {
    status: &'static str,
}

/// A version of a model, and how it stands.
#[derive(Serialize, ToSchema)]
pub(crate) struct Model {
    name: String,
    /// Null where no version is known.
    version: Option<String>,
    /// The version's labels, as `stable`.
    labels: Vec<String>,
    /// `loading`, `ready`, `failed` or `unloaded`.
    state: &'static str,
    ready: bool,
    /// Why the last load failed, of this version or of one that was to replace it.
    error: Option<String>,
    /// Whether the server is ready only when it is.
    required: bool,
    /// Whether requests without a model get this one.
    default: bool,
    architecture: String,
    family: String,
    /// The served model that it is measured against.
    baseline: Option<String>,
    devices: Vec<String>,
    precision: &'static str,
    input: InputSize,
    classes: usize,
    parameters: u64,
    /// Multiply-accumulates of one image.
    macs: u64,
    /// Images of the largest batch.
    max_batch: usize,
    /// What it takes on all of its devices.
    memory_bytes: u64,
    /// Where it came from.
    origin: String,
}

/// Rows and columns of a model's input.
#[derive(Serialize, ToSchema)]
struct InputSize {
    height: usize,
    width: usize,
}

impl From<ModelStatus> for Model {
    fn from(status: ModelStatus) -> Self {
        let (height, width) = status.input;
        Self {
            name: status.name,
            version: status.version,
            labels: status.labels,
            state: status.state.name(),
            ready: status.state == ModelState::Ready,
            error: status.error,
            required: status.required,
            default: status.default,
            architecture: status.architecture,
            family: status.family,
            baseline: status.baseline,
            devices: status.devices,
            precision: status.precision,
            input: InputSize { height, width },
            classes: status.classes,
            parameters: status.parameters,
            macs: status.macs,
            max_batch: status.max_batch,
            memory_bytes: status.memory,
            origin: status.origin,
        }
    }
}

async fn models(State(state): State<AppState>) -> Json<Vec<Model>> {
    Json(state.classifier.models().into_iter().map(Model::from).collect())
}

fn of_models() -> Operation {
    Operation::new("listModels", "models", "The models, their versions and how they stand")
        .list::<Model>("All versions of all models, the default model first.")
}

fn of_metrics() -> Operation {
    let kinds = [Exposition::Text, Exposition::OpenMetrics].map(Exposition::content_type);
    Operation::new("getMetrics", "about", "The metrics, for Prometheus")
        .text("OpenMetrics for those whose `Accept` names it; gzip or deflate for those who accept that.")
        .answers("A line for each series.", kinds.map(|kind| (kind, schemas::text())))
        .with("content-encoding", "How the text is compressed, where the request accepts that.", Type::String)
}

/// The metrics in the form and the coding that whoever scrapes prefers.
async fn metrics(State(state): State<AppState>, headers: HeaderMap) -> Result<Response, Error> {
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let exposition = Exposition::accepted(&accepted.collect::<Vec<_>>().join(","));
    let mut families = state.classifier.gather();
    let text = match state.options.metrics_compat {
        MetricsCompat::None => Ok(Vec::new()),
        MetricsCompat::Triton => oip::nv_metrics(&state.classifier),
    };
    let text = text.and_then(|more| {
        families.extend(more);
        exposition.encode(&families, &state.classifier.metrics().exemplars())
    });
    let text = text.map_err(|fault| {
        tracing::error!(%fault, "the metrics cannot be encoded");
        Error::Internal
    })?;
    let mut response = compressed::response(text, Wanted::of(&headers)).await?;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(exposition.content_type()));
    Ok(response)
}

async fn live() -> Json<Live> {
    Json(Live { live: true })
}

async fn ready(State(state): State<AppState>) -> Response {
    let failed = state.classifier.failed_devices();
    match state.classifier.ready() {
        Ok(()) => {
            let failed: BTreeMap<_, _> = failed.into_iter().map(|(device, why)| (device.to_string(), why)).collect();
            Json(Ready { ready: true, failed_devices: (!failed.is_empty()).then_some(failed) }).into_response()
        }
        Err(why) => Error::Service(ServiceError::NotReady(why)).into_response(),
    }
}

/// Readiness, in TorchServe's word for it; SageMaker reads the status only.
async fn ping(state: State<AppState>) -> Response {
    let response = ready(state).await;
    if response.status().is_success() { Json(Ping { status: "Healthy" }).into_response() } else { response }
}

async fn no_route(request: Request) -> Error {
    Error::NoRoute { path: request.uri().path().to_owned() }
}

async fn no_method(request: Request) -> Error {
    Error::NoMethod { path: request.uri().path().to_owned(), method: request.method().to_string() }
}
