//! The simplest calls of other servers, for their clients that have lost theirs: TorchServe's predictions, TensorFlow Serving's predict,
//! SageMaker's invocations. Each in its own shapes, over the same service.
//!
//! Not here: the Open Inference Protocol (`v2`); `GET /ping`, which TorchServe and SageMaker share (`shared`).

mod said;
mod tensorflow;
mod torchserve;

use super::classify::classify;
use super::docs::{self, Routes, get, post, put};
use super::routes::labels;
pub(super) use torchserve::error_response as torchserve_error;

/// Adds the routes.
pub(super) fn with_routes(mut routes: Routes) -> Routes {
    let predictions = |said: fn(&str) -> docs::Operation| {
        post(torchserve::predictions, said("predictions")).and(put(torchserve::predictions, said("predictionsPut")))
    };
    routes = routes.at("/predictions/{model}", predictions(said::predictions));
    routes = routes.at("/predictions/{model}/{version}", predictions(said::predictions_of_version));
    for (path, of) in [
        ("/v1/models/{model}", said::Of::Model),
        ("/v1/models/{model}/versions/{version}", said::Of::Version),
        ("/v1/models/{model}/labels/{version}", said::Of::Label),
    ] {
        let methods = get(tensorflow::status, said::status(of)).and(post(tensorflow::predict, said::predict(of)));
        routes = routes.at(path, methods);
        routes = routes.at(&format!("{path}/metadata"), get(tensorflow::metadata, said::metadata(of)));
    }
    // SageMaker leaves the shape to its container; Hugging Face's is this one
    routes.at("/invocations", post(classify, labels("invocations").tagged(said::TAG)))
}
