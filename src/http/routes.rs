//! The routes, and what the small ones answer.

use axum::extract::{Request, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router, middleware};
use serde_json::{Value, json};

use super::classify::classify;
use super::error::Error;
use super::outer_layer::outer_layer;
use super::state::{AppState, Options};
use crate::service::{Classifier, ModelStatus, ServiceError};

/// All routes, under the layer that every request goes through.
pub fn router(classifier: Classifier, options: Options) -> Router {
    let state = AppState { classifier, options };
    Router::new()
        .route("/", get(index))
        .route("/classify", post(classify))
        .route("/models", get(models))
        .route("/metrics", get(metrics))
        .route("/livez", get(live))
        .route("/readyz", get(ready))
        .route("/v2/health/live", get(live))
        .route("/v2/health/ready", get(ready))
        .fallback(no_route)
        .method_not_allowed_fallback(no_method)
        .layer(middleware::from_fn_with_state(state.clone(), outer_layer))
        .with_state(state)
}

async fn index() -> Json<Value> {
    Json(json!({
        "name": env!("CARGO_PKG_NAME"),
        "version": env!("CARGO_PKG_VERSION"),
        "routes": {
            "POST /classify?model=&top_k=5&function_to_apply=softmax&detail=0&deadline_ms=":
                "labels of an image: its bytes, multipart/form-data (image, or images), or JSON {\"inputs\": base64}",
            "GET /models": "the loaded models",
            "GET /metrics": "for Prometheus",
            "GET /livez, /v2/health/live": "200 while the process answers",
            "GET /readyz, /v2/health/ready": "200 when every model is ready and no drain has begun",
        },
    }))
}

async fn models(State(state): State<AppState>) -> Json<Vec<Value>> {
    Json(state.classifier.models().iter().map(model).collect())
}

fn model(status: &ModelStatus) -> Value {
    let (height, width) = status.input;
    json!({
        "name": status.name,
        "version": status.version,
        "architecture": status.architecture,
        "family": status.family,
        "baseline": status.baseline,
        "device": status.device,
        "ready": status.ready,
        "default": status.default,
        "input": { "height": height, "width": width },
        "classes": status.classes,
        "parameters": status.parameters,
        "macs": status.macs,
        "max_batch": status.max_batch,
        "origin": status.origin,
    })
}

async fn metrics(State(state): State<AppState>) -> Response {
    match state.classifier.scrape() {
        Ok((text, content_type)) => ([(header::CONTENT_TYPE, content_type)], text).into_response(),
        Err(fault) => {
            tracing::error!(%fault, "the metrics cannot be encoded");
            Error::Internal.into_response()
        }
    }
}

async fn live() -> Json<Value> {
    Json(json!({ "live": true }))
}

async fn ready(State(state): State<AppState>) -> Response {
    match state.classifier.ready() {
        Ok(()) => Json(json!({ "ready": true })).into_response(),
        Err(why) => Error::Service(ServiceError::NotReady(why)).into_response(),
    }
}

async fn no_route(request: Request) -> Error {
    Error::NoRoute { path: request.uri().path().to_owned() }
}

async fn no_method(request: Request) -> Error {
    Error::NoMethod { path: request.uri().path().to_owned(), method: request.method().to_string() }
}
