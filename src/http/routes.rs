//! The routes of HTTP. What every port has beside its own routes stands in `shared`.

use axum::routing::{get, post, put};
use axum::{Json, Router};
use serde_json::{Value, json};

use super::access::Audience;
use super::classify::classify;
use super::shared::{route, with_shared};
use super::state::{AppState, Options};
use super::stats::stats;
use super::{others, page, v2};
use crate::service::Classifier;

/// All routes, under the layer that every request goes through.
pub fn router(classifier: Classifier, options: Options) -> Router {
    let routes = route(page::with_routes(Router::new()), "/classify", post(classify).put(classify));
    let routes = route(routes, "/stats", get(stats));
    // `curl -T photo.jpg …/classify/` adds the file's name
    let routes = routes.route("/classify/{file}", put(classify));
    let routes = others::with_routes(v2::with_routes(routes));
    with_shared(routes, AppState { classifier, options, audience: Audience::Clients })
}

/// What `/` answers to whoever is no browser.
pub(super) fn index() -> Json<Value> {
    Json(json!({
        "name": env!("CARGO_PKG_NAME"),
        "version": env!("CARGO_PKG_VERSION"),
        "routes": {
            "POST /classify?model=&version=&top_k=5&function_to_apply=softmax&detail=0&deadline_ms=":
                "labels of an image: its bytes, multipart/form-data (image or file, or images), or JSON {\"inputs\": base64}",
            "GET /v2, POST /v2/models/NAME/infer, …": "the Open Inference Protocol; NAME takes tensors, NAME_image image files",
            "POST /predictions/NAME, /v1/models/NAME:predict, /invocations": "as TorchServe, TensorFlow Serving and SageMaker have them",
            "GET /models": "the models, their versions and how they stand",
            "GET /metrics": "for Prometheus",
            "GET /stats": "what the page reads, which a browser gets at /",
            "PUT /classify, /classify/FILE": "the same, for curl -T",
            "GET /livez, /v2/health/live": "200 while the process answers",
            "GET /readyz, /health, /healthz, /ping, /v2/health/ready": "200 when every required model is ready and no drain has begun",
        },
    }))
}
