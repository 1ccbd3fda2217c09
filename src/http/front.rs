//! What happens to every request, whatever its route: its id, its line in the log, the 500 of a panic, and whether
//! its connection lives on.

use std::any::Any;
use std::panic::AssertUnwindSafe;

use axum::extract::{Request, State};
use axum::http::{HeaderValue, Version, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt as _;
use tracing::Instrument as _;

use super::access::{Line, Model};
use super::error::Error;
use super::request_id::{self, RequestId};
use super::routes::App;
use super::unread::Unread;

/// The outermost layer.
pub(super) async fn front(State(app): State<App>, request: Request, next: Next) -> Response {
    let id = RequestId::of(request.headers());
    // At the level of errors, so that whatever is logged at all is logged with its request.
    let span = tracing::error_span!("request", request_id = %id);
    async move {
        let http1 = request.version() <= Version::HTTP_11;
        let (request, unread) = Unread::of(request);
        let line = Line::begin(&request, unread.clone());
        let mut response = or_internal(next.run(request)).await.unwrap_or_else(Error::into_response);
        let closes = unread.drain() || app.classifier.draining();
        let headers = response.headers_mut();
        headers.insert(request_id::HEADER, id.header());
        if closes && http1 {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        line.end(response.status(), response.extensions_mut().remove::<Model>());
        response
    }
    .instrument(span)
    .await
}

/// The output, or [`Error::Internal`] for a panic, which is logged: the process and the connection live on.
pub(super) async fn or_internal<T>(work: impl Future<Output = T>) -> Result<T, Error> {
    AssertUnwindSafe(work).catch_unwind().await.map_err(|panic| {
        tracing::error!(panic = words(&*panic), "a request panicked");
        Error::Internal
    })
}

fn words(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("without a word")
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_an_internal_error() {
        assert_eq!(or_internal(async { 5 }).await, Ok(5));
        assert_eq!(or_internal(async { panic!("of {}", "a handler") }).await, Err::<(), _>(Error::Internal));
    }
}
