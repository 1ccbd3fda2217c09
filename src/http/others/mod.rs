//! The simplest calls of other servers, for their clients that have lost theirs: TorchServe's predictions, TensorFlow Serving's predict,
//! SageMaker's invocations. Each in its own shapes, over the same service.
//!
//! Not here: the Open Inference Protocol (`v2`); `GET /ping`, which TorchServe and SageMaker share (`shared`).

mod tensorflow;
mod torchserve;

use axum::Router;
use axum::routing::{get, post};

use super::classify::classify;
use super::shared::route;
use super::state::AppState;
pub(super) use torchserve::error_response as torchserve_error;

/// Adds the routes.
pub(super) fn with_routes(mut routes: Router<AppState>) -> Router<AppState> {
    for path in ["/predictions/{model}", "/predictions/{model}/{version}"] {
        routes = route(routes, path, post(torchserve::predictions).put(torchserve::predictions));
    }
    for path in ["/v1/models/{model}", "/v1/models/{model}/versions/{version}", "/v1/models/{model}/labels/{version}"] {
        routes = route(routes, path, get(tensorflow::status).post(tensorflow::predict));
        routes = route(routes, &format!("{path}/metadata"), get(tensorflow::metadata));
    }
    // SageMaker leaves the shape to its container; Hugging Face's is this one
    route(routes, "/invocations", post(classify))
}
