//! What Triton has and this server does not: shared memory, traces, settings of the log. Clients that ask hear so, in a shape that they
//! read; clients that tidy up before they begin are not held up.

use axum::Json;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa::openapi::Schema;

use super::said::unserved;
use crate::http::Error;
use crate::http::docs::{Operation, Routes, get, post, schemas};

/// Adds the routes.
pub(super) fn with_routes(mut routes: Routes) -> Routes {
    for (memory, name) in
        [("/v2/systemsharedmemory", "SystemSharedMemory"), ("/v2/cudasharedmemory", "CudaSharedMemory")]
    {
        let region = |said: Operation| said.path("region", "The region's name.", "input");
        let of_region = format!("{memory}/region/{{region}}");
        let status = |id: &str| {
            unserved(&format!("{id}{name}"), "No region is registered").answers(
                "None.",
                [(
                    "application/json",
                    Schema::from(schemas::several(schemas::anything()).min_items(None).max_items(Some(0))),
                )],
            )
        };
        let unregister = |id: &str| {
            unserved(&format!("{id}{name}"), "Nothing is registered, so that nothing is to be done")
                .answers::<Schema>("Nothing was done.", [])
        };
        let register = unserved(&format!("register{name}"), "Refused: shared memory is not served").refuses(&[400]);
        routes = routes
            .at(&format!("{memory}/status"), get(no_regions, status("statusOf")))
            .at(&format!("{of_region}/status"), get(no_regions, region(status("statusOfRegionOf"))))
            .at(&format!("{memory}/unregister"), post(nothing_to_unregister, unregister("unregister")))
            .at(
                &format!("{of_region}/unregister"),
                post(nothing_to_unregister, region(unregister("unregisterRegionOf"))),
            )
            .at(&format!("{of_region}/register"), post(no_shared_memory, region(register)));
    }
    let told = |id: &str| unserved(id, "No traces are kept").json::<TraceSetting>("They are off.");
    let set = |id: &str| unserved(id, "Refused: traces are not served").refuses(&[400]);
    let model = |said: Operation| said.path("model", "Any name.", "convnext_atto");
    let of_all = get(trace_is_off, told("getTraceSetting")).and(post(no_tracing, set("setTraceSetting")));
    let of_one = get(trace_is_off, model(told("getModelTraceSetting")))
        .and(post(no_tracing, model(set("setModelTraceSetting"))));
    let logging = |id: &str| unserved(id, "Refused: the log has no settings here").refuses(&[400]);
    let of_log = get(no_logging, logging("getLogging")).and(post(no_logging, logging("setLogging")));
    routes.at("/v2/trace/setting", of_all).at("/v2/models/{model}/trace/setting", of_one).at("/v2/logging", of_log)
}

/// Which traces are kept.
#[derive(Serialize, ToSchema)]
struct TraceSetting {
    /// `OFF`.
    trace_level: [&'static str; 1],
}

/// No region is registered.
async fn no_regions() -> Json<[(); 0]> {
    Json([])
}

/// Nothing is registered, so that nothing is to be done.
async fn nothing_to_unregister() {}

async fn no_shared_memory() -> Error {
    Error::Malformed("shared memory is not served: send tensors in the request".to_owned())
}

async fn trace_is_off() -> Json<TraceSetting> {
    Json(TraceSetting { trace_level: ["OFF"] })
}

async fn no_tracing() -> Error {
    Error::Malformed("traces are not served".to_owned())
}

async fn no_logging() -> Error {
    Error::Malformed("the log has no settings here; the admin port has /log-level".to_owned())
}
