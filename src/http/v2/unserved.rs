//! What Triton has and this server does not: shared memory, traces, settings of the log. Clients that ask hear so, in a shape that they
//! read; clients that tidy up before they begin are not held up.

use axum::Json;
use serde_json::{Value, json};

use crate::http::Error;

/// No region is registered.
pub(super) async fn no_regions() -> Json<Value> {
    Json(json!([]))
}

/// Nothing is registered, so that nothing is to be done.
pub(super) async fn nothing_to_unregister() {}

pub(super) async fn no_shared_memory() -> Error {
    Error::Malformed("shared memory is not served: send tensors in the request".to_owned())
}

pub(super) async fn trace_is_off() -> Json<Value> {
    Json(json!({ "trace_level": ["OFF"] }))
}

pub(super) async fn no_tracing() -> Error {
    Error::Malformed("traces are not served".to_owned())
}

pub(super) async fn no_logging() -> Error {
    Error::Malformed("the log has no settings here; the admin port has /log-level".to_owned())
}
