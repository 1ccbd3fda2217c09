//! What happens to every request, whatever its route: its id, its line in the access log, the 500 of a panic, and whether its
//! connection stays open.

use axum::extract::{Request, State};
use axum::http::{HeaderValue, Version, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tracing::Instrument as _;

use super::access::KeyName;
use super::access_log::{LogLine, ModelName};
use super::body_tracker::BodyTracker;
use super::error::Error;
use super::panics::catch_panic;
use super::state::AppState;
use crate::net::request_id::{self, RequestId};

/// Room for the name of the request's key, where there are keys.
fn with_key_name(mut request: Request, state: &AppState) -> (Request, Option<KeyName>) {
    let key = state.options.access.as_ref().map(|_| KeyName::default());
    if let Some(key) = &key {
        request.extensions_mut().insert(key.clone());
    }
    (request, key)
}

/// The layer around all routes.
pub(super) async fn outer_layer(State(state): State<AppState>, request: Request, next: Next) -> Response {
    let id = RequestId::from_headers(request.headers());
    // At the level of errors, so that whatever is logged carries the id of its request.
    let span = tracing::error_span!("request", request_id = %id);
    async move {
        let http1 = request.version() <= Version::HTTP_11;
        let (request, body) = BodyTracker::attach(request, state.classifier.limits().max_body_bytes);
        let (request, key) = with_key_name(request, &state);
        let line = LogLine::begin(&request, body.clone(), key);
        let mut response = catch_panic(next.run(request)).await.unwrap_or_else(Error::into_response);
        let closes = body.discard_rest() || state.classifier.draining();
        let headers = response.headers_mut();
        headers.insert(request_id::HEADER, id.header());
        if closes && http1 {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        line.end(response.status(), response.extensions_mut().remove::<ModelName>());
        response
    }
    .instrument(span)
    .await
}
