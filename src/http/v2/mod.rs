//! The Open Inference Protocol over HTTP, as clients of Triton and KServe speak it: paths, JSON, tensors as bytes behind the JSON.
//!
//! Not here: what names, tensors and requests mean (`oip`); liveness and readiness, which stand beside those of other names (`shared`).

mod answer;
mod control;
mod describe;
mod infer;
mod request;
mod said;
mod told;
mod unserved;

use axum::handler::Handler;
use axum::http::HeaderName;

use super::docs::{Methods, Operation, Routes, get, post};
use super::state::AppState;

/// How many bytes of a body are JSON; what follows them is tensors.
pub(super) const HEADER_LENGTH: HeaderName = HeaderName::from_static("inference-header-content-length");

/// Adds the routes of the protocol.
pub(super) fn with_routes(routes: Routes) -> Routes {
    let mut routes = routes.at("/v2", get(describe::server, said::server()));
    for (action, methods) in [
        ("", of_versions(get, describe::metadata, said::metadata())),
        ("/ready", of_versions(get, describe::ready, said::ready())),
        ("/config", of_versions(get, describe::config, said::config())),
        ("/stats", of_versions(get, describe::stats, said::statistics())),
        ("/infer", of_versions(post, infer::infer, said::infer())),
    ] {
        let [of_model, of_version] = methods;
        routes = routes.at(&format!("/v2/models/{{model}}{action}"), of_model);
        routes = routes.at(&format!("/v2/models/{{model}}/versions/{{version}}{action}"), of_version);
    }
    let routes = routes
        .at("/v2/models/stats", get(describe::all_stats, said::all_statistics()))
        .at("/v2/repository/index", post(control::index, said::index()))
        .at("/v2/repository/models/{model}/load", post(control::load, said::load()))
        .at("/v2/repository/models/{model}/unload", post(control::unload, said::unload()));
    unserved::with_routes(routes)
}

/// The methods of a route of a model, without and with a version.
fn of_versions<H: Handler<T, AppState>, T: 'static>(
    method: fn(H, Operation) -> Methods,
    handler: H,
    said: Operation,
) -> [Methods; 2] {
    [method(handler.clone(), said.clone()), method(handler, said.of_version())]
}
