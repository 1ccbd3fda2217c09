//! The Open Inference Protocol over HTTP, as clients of Triton and KServe speak it: paths, JSON, tensors as bytes behind the JSON.
//!
//! Not here: what names, tensors and requests mean (`oip`); liveness and readiness, which stand beside those of other names (`shared`).

mod answer;
mod control;
mod describe;
mod infer;
mod request;
mod unserved;

use axum::Router;
use axum::http::HeaderName;
use axum::routing::{MethodRouter, get, post};

use super::shared::route;
use super::state::AppState;

/// How many bytes of a body are JSON; what follows them is tensors.
pub(super) const HEADER_LENGTH: HeaderName = HeaderName::from_static("inference-header-content-length");

/// Adds the routes of the protocol.
pub(super) fn with_routes(routes: Router<AppState>) -> Router<AppState> {
    let mut routes = route(routes, "/v2", get(describe::server));
    for (action, methods) in [
        ("", get(describe::metadata)),
        ("/ready", get(describe::ready)),
        ("/config", get(describe::config)),
        ("/stats", get(describe::stats)),
        ("/infer", post(infer::infer)),
    ] {
        routes = of_model(routes, action, &methods);
    }
    routes = route(routes, "/v2/models/stats", get(describe::all_stats));
    routes = route(routes, "/v2/repository/index", post(control::index));
    routes = route(routes, "/v2/repository/models/{model}/load", post(control::load));
    routes = route(routes, "/v2/repository/models/{model}/unload", post(control::unload));
    for memory in ["/v2/systemsharedmemory", "/v2/cudasharedmemory"] {
        let region = format!("{memory}/region/{{region}}");
        for of in [memory, &region] {
            routes = route(routes, &format!("{of}/status"), get(unserved::no_regions));
            routes = route(routes, &format!("{of}/unregister"), post(unserved::nothing_to_unregister));
        }
        routes = route(routes, &format!("{region}/register"), post(unserved::no_shared_memory));
    }
    let tracing = get(unserved::trace_is_off).post(unserved::no_tracing);
    routes = route(routes, "/v2/trace/setting", tracing.clone());
    routes = route(routes, "/v2/models/{model}/trace/setting", tracing);
    route(routes, "/v2/logging", get(unserved::no_logging).post(unserved::no_logging))
}

/// A route of a model, with and without a version.
fn of_model(routes: Router<AppState>, action: &str, methods: &MethodRouter<AppState>) -> Router<AppState> {
    let routes = route(routes, &format!("/v2/models/{{model}}{action}"), methods.clone());
    route(routes, &format!("/v2/models/{{model}}/versions/{{version}}{action}"), methods.clone())
}
