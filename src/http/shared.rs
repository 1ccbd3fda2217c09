//! What the HTTP port and the admin port share: the models, the metrics, liveness and readiness, and the layer around all routes.

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get};
use axum::{Json, Router, middleware};
use serde_json::{Value, json};

use super::access;
use super::compressed::{self, Wanted};
use super::cors;
use super::error::Error;
use super::outer_layer::outer_layer;
use super::state::{AppState, MetricsCompat};
use crate::metrics::Exposition;
use crate::oip;
use crate::service::{ModelState, ModelStatus, ServiceError};

/// Paths of liveness.
const LIVE: [&str; 2] = ["/livez", "/v2/health/live"];
/// Paths of readiness, beside `/ping`. Who asks by that or by the last two is a load balancer or a platform that wants to know where to send requests,
/// which a server that loads or drains should not get.
const READY: [&str; 4] = ["/readyz", "/v2/health/ready", "/health", "/healthz"];

/// A route that may be asked for with a slash at its end too.
pub(crate) fn route(routes: Router<AppState>, path: &str, methods: MethodRouter<AppState>) -> Router<AppState> {
    routes.route(path, methods.clone()).route(&format!("{path}/"), methods)
}

/// A port's own routes with the shared ones, under the layer that every request goes through.
pub(crate) fn with_shared(routes: Router<AppState>, state: AppState) -> Router {
    let mut routes = route(route(routes, "/models", get(models)), "/metrics", get(metrics));
    for path in LIVE {
        routes = route(routes, path, get(live));
    }
    for path in READY {
        routes = route(routes, path, get(ready));
    }
    routes = route(routes, "/ping", get(ping));
    routes = routes.fallback(no_route).method_not_allowed_fallback(no_method);
    if state.options.access.is_some() {
        routes = routes.layer(middleware::from_fn_with_state(state.clone(), access::layer));
    }
    // around it, for a page must be able to read why it is refused
    if let Some(cors) = cors::layer(&state.options.cors_allow_origins) {
        routes = routes.layer(cors);
    }
    routes.layer(middleware::from_fn_with_state(state.clone(), outer_layer)).with_state(state)
}

async fn models(State(state): State<AppState>) -> Json<Vec<Value>> {
    Json(state.classifier.models().iter().map(model).collect())
}

/// A version of a model.
pub(crate) fn model(status: &ModelStatus) -> Value {
    let (height, width) = status.input;
    json!({
        "name": status.name,
        "version": status.version,
        "labels": status.labels,
        "state": status.state.name(),
        "ready": status.state == ModelState::Ready,
        "error": status.error,
        "required": status.required,
        "default": status.default,
        "architecture": status.architecture,
        "family": status.family,
        "baseline": status.baseline,
        "devices": status.devices,
        "precision": status.precision,
        "input": { "height": height, "width": width },
        "classes": status.classes,
        "parameters": status.parameters,
        "macs": status.macs,
        "max_batch": status.max_batch,
        "memory_bytes": status.memory,
        "origin": status.origin,
    })
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
        exposition.encode(&families)
    });
    let text = text.map_err(|fault| {
        tracing::error!(%fault, "the metrics cannot be encoded");
        Error::Internal
    })?;
    let mut response = compressed::response(text, Wanted::of(&headers)).await?;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(exposition.content_type()));
    Ok(response)
}

async fn live() -> Json<Value> {
    Json(json!({ "live": true }))
}

async fn ready(State(state): State<AppState>) -> Response {
    let failed = state.classifier.failed_devices();
    match state.classifier.ready() {
        Ok(()) if failed.is_empty() => Json(json!({ "ready": true })).into_response(),
        Ok(()) => {
            let failed: serde_json::Map<String, Value> =
                failed.into_iter().map(|(device, why)| (device.to_string(), why.into())).collect();
            Json(json!({ "ready": true, "failed_devices": failed })).into_response()
        }
        Err(why) => Error::Service(ServiceError::NotReady(why)).into_response(),
    }
}

/// Readiness, in TorchServe's word for it; SageMaker reads the status only.
async fn ping(state: State<AppState>) -> Response {
    let response = ready(state).await;
    if response.status().is_success() { Json(json!({ "status": "Healthy" })).into_response() } else { response }
}

async fn no_route(request: Request) -> Error {
    Error::NoRoute { path: request.uri().path().to_owned() }
}

async fn no_method(request: Request) -> Error {
    Error::NoMethod { path: request.uri().path().to_owned(), method: request.method().to_string() }
}
