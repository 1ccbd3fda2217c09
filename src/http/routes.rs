//! The routes of HTTP. What every port has beside its own routes stands in `shared`.

use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};

use super::classify::classify;
use super::shared::with_shared;
use super::state::{AppState, Options};
use crate::service::Classifier;

/// All routes, under the layer that every request goes through.
pub fn router(classifier: Classifier, options: Options) -> Router {
    let routes = Router::new().route("/", get(index)).route("/classify", post(classify));
    with_shared(routes, AppState { classifier, options })
}

async fn index() -> Json<Value> {
    Json(json!({
        "name": env!("CARGO_PKG_NAME"),
        "version": env!("CARGO_PKG_VERSION"),
        "routes": {
            "POST /classify?model=&version=&top_k=5&function_to_apply=softmax&detail=0&deadline_ms=":
                "labels of an image: its bytes, multipart/form-data (image, or images), or JSON {\"inputs\": base64}",
            "GET /models": "the models, their versions and how they stand",
            "GET /metrics": "for Prometheus",
            "GET /livez, /v2/health/live": "200 while the process answers",
            "GET /readyz, /v2/health/ready": "200 when every required model is ready and no drain has begun",
        },
    }))
}
