//! What is known of a request for classes however it ends, and its end: the answer, its count, the access log's model, the warning.

use axum::http::HeaderMap;
use axum::response::{IntoResponse as _, Response};

use super::access_log::ModelName;
use super::error::Error;
use super::warning;
use crate::metrics::{RequestTimer, TraceId};
use crate::service::Classifier;

/// A request from its head to its answer. One that is dropped before its end counts as cancelled.
pub(super) struct Counted<'a> {
    pub(super) timer: RequestTimer<'a>,
    pub(super) model: Option<String>,
    /// Names of what was not understood and so not heeded.
    pub(super) ignored: Vec<String>,
}

impl<'a> Counted<'a> {
    pub(super) fn begin(classifier: &'a Classifier, headers: &HeaderMap) -> Self {
        let mut timer = classifier.metrics().request("http");
        let header = headers.get("traceparent").and_then(|value| value.to_str().ok());
        timer.traced(header.and_then(TraceId::of_traceparent));
        Self { timer, model: None, ignored: Vec::new() }
    }

    /// The answer, or that of an error as `to_answer` writes it.
    pub(super) fn end(self, outcome: Result<Response, Error>, to_answer: fn(Error) -> Response) -> Response {
        let Self { timer, model, ignored } = self;
        let gone = matches!(outcome, Err(Error::BodyBrokeOff));
        let mut response = outcome.unwrap_or_else(to_answer);
        if gone {
            drop(timer); // counts the request as cancelled
        } else {
            timer.finish(response.status().as_str());
        }
        if let Some(name) = model {
            response.extensions_mut().insert(ModelName(name));
        }
        if let Some(warning) = warning::of(&ignored) {
            response.headers_mut().insert(axum::http::header::WARNING, warning);
        }
        response
    }
}

/// `{"error": text}`, as most routes answer.
pub(super) fn plain(error: Error) -> Response {
    error.into_response()
}
