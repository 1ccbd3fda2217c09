//! What happens to every call: its id, the budget of its bytes, its line in the log, its count in the metrics, and the INTERNAL of a
//! panic. Not here: what calls do (`inference`, `health`).

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt as _;
use http_body_util::BodyExt as _;
use tonic::{Code, Status};
use tracing::Instrument as _;

use super::Options;
use super::access;
use super::call::Call;
use super::charged_body::ChargedBody;
use super::error;
use crate::metrics::RequestTimer;
use crate::net::Stopping;
use crate::net::request_id::{self, RequestId};
use crate::panics;
use crate::service::Classifier;

/// The calls whose requests are counted as classifications. A stream counts each of its requests by itself.
const INFER: &str = "/inference.GRPCInferenceService/ModelInfer";
const STREAM: &str = "/inference.GRPCInferenceService/ModelStreamInfer";
/// The other calls of many messages.
const OTHER_STREAMS: [&str; 2] = [
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
];
/// Characters of a path that are logged: a path may be as long as a head.
const MAX_PATH: usize = 256;
const CODE: &str = "grpc-status";
/// For a message that is not wanted to be read on.
const DISCARDED_FOR: Duration = Duration::from_secs(5);

/// The layer around all calls.
pub(super) async fn outer_layer(
    State((classifier, options)): State<(Classifier, Options)>,
    request: Request,
    next: Next,
) -> Response {
    if !is_grpc(request.headers()) {
        let text = "this port speaks gRPC; its requests have the content-type application/grpc\n";
        return (StatusCode::UNSUPPORTED_MEDIA_TYPE, text).into_response();
    }
    let id = RequestId::from_headers(request.headers());
    // at the level of errors, so that whatever is logged carries the id of its call
    let span = tracing::error_span!("call", request_id = %id);
    let mut response = answer(&classifier, options, request, next).instrument(span).await;
    response.headers_mut().insert(request_id::HEADER, id.header());
    response
}

async fn answer(classifier: &Classifier, options: Options, mut request: Request, next: Next) -> Response {
    let call = match Call::begin(request.headers(), classifier) {
        Ok(call) => call,
        Err(status) => return status.into_http(),
    };
    let path = request.uri().path().to_owned();
    let may = options.access.as_ref().map_or(Ok(None), |access| access::check(access, &request));
    let timer = (path == INFER && may.is_ok()).then(|| classifier.metrics().request("grpc"));
    let mut line = Line { began: Instant::now(), path, call: call.clone(), code: None, timer };
    let limit = classifier.limits().max_body_bytes;
    match may {
        Ok(caller) => drop(caller.map(|caller| call.is_by(caller))),
        Err(status) => {
            line.code = Some(status.code());
            tokio::spawn(discard(request.into_body(), limit));
            return status.into_http();
        }
    }
    request.extensions_mut().insert(call.clone());
    let stopping = request.extensions().get::<Stopping>().cloned();
    let request = request.map(|body| {
        let call = call.clone();
        Body::new(match &*line.path {
            STREAM => ChargedBody::of_stream(body, call, limit, None), // it ends with a word
            path if OTHER_STREAMS.contains(&path) => ChargedBody::of_stream(body, call, limit, stopping),
            _ => ChargedBody::of_message(body, call, limit, options.body_timeout),
        })
    });
    let answered = AssertUnwindSafe(next.run(request)).catch_unwind().await;
    let mut response = answered.unwrap_or_else(|panic| {
        tracing::error!(panic = panics::text(&*panic), "a call panicked");
        call.is_handled();
        Status::internal("internal error; the log has more under this call's x-request-id").into_http()
    });
    line.code = Some(code_of(&mut response, &call)).filter(|code| *code != Code::Cancelled);
    response
}

/// Reads on what is not wanted, as long as a message may be: a stream that ends over unread bytes is reset, and some clients then forget
/// the answer that they have.
async fn discard(mut body: Body, most: u64) {
    let mut left = most;
    let all = async {
        while let Some(Ok(frame)) = body.frame().await {
            left = left.saturating_sub(frame.data_ref().map_or(0, |bytes| bytes.len() as u64));
            if left == 0 {
                return;
            }
        }
    };
    let _ = tokio::time::timeout(DISCARDED_FOR, all).await;
}

fn is_grpc(headers: &HeaderMap) -> bool {
    let declared = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
    let rest = declared.and_then(|declared| declared.strip_prefix(b"application/grpc"));
    rest.is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';')))
}

/// The code of an answer that is an error; of one that has a body it is OK as far as is known. That of a message that could not be
/// read is put right.
fn code_of(response: &mut Response, call: &Call) -> Code {
    let Some(code) = response.headers().get(CODE).map(|code| Code::from_bytes(code.as_bytes())) else {
        return Code::Ok;
    };
    if call.was_handled() {
        return code;
    }
    let right = error::of_unread_message(code);
    if right != code {
        response.headers_mut().insert(CODE, HeaderValue::from(i32::from(right)));
    }
    right
}

/// What is said of one call, in the log and of an inference in the metrics, when this is dropped. Without a code the call was
/// cancelled: its future was dropped.
struct Line<'a> {
    began: Instant,
    path: String,
    call: Call,
    code: Option<Code>,
    timer: Option<RequestTimer<'a>>,
}

impl Drop for Line<'_> {
    fn drop(&mut self) {
        let latency_ms = self.began.elapsed().as_micros() as f64 / 1000.0;
        let code = self.code.map_or("cancelled", error::name);
        let end = self.path.char_indices().nth(MAX_PATH).map_or(self.path.len(), |(end, _)| end);
        let (path, bytes) = (&self.path[..end], self.call.received());
        if let Some(mut timer) = self.timer.take() {
            if let Some(model) = self.call.model() {
                timer.model(Arc::clone(model));
            }
            if let Some(code) = self.code {
                timer.finish(error::name(code));
            }
        }
        let model = self.call.model().map(|model| model.model());
        let key = self.call.caller().map(|caller| &**caller.name());
        // probes come every few seconds: they are for debugging only
        if self.code == Some(Code::Ok) && self.path != INFER {
            tracing::debug!(path, code, latency_ms, model, key, bytes, "call");
        } else {
            tracing::info!(path, code, latency_ms, model, key, bytes, "call");
        }
    }
}
