//! The access log: one line a request, also for one whose client left. Never a body, never a query.

use std::time::Instant;

use axum::extract::Request;
use axum::http::{Method, StatusCode};

use super::unread::Unread;

/// A path may be as long as a head; of a longer one the start is logged.
const MAX_PATH: usize = 256;

/// The model that answered, as an extension of the response.
#[derive(Clone, Debug)]
pub(super) struct Model(pub(super) String);

/// The line of a request, written when it is dropped: a future that is dropped is a request that was cancelled.
pub(super) struct Line {
    began: Instant,
    method: Method,
    path: String,
    unread: Unread,
    model: Option<Model>,
    status: Option<StatusCode>,
}

impl Line {
    pub(super) fn begin(request: &Request, unread: Unread) -> Self {
        let path = request.uri().path();
        let end = path.char_indices().nth(MAX_PATH).map_or(path.len(), |(end, _)| end);
        Self {
            began: Instant::now(),
            method: request.method().clone(),
            path: path[..end].to_owned(),
            unread,
            model: None,
            status: None,
        }
    }

    pub(super) fn end(mut self, status: StatusCode, model: Option<Model>) {
        self.status = Some(status);
        self.model = model;
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let latency_ms = self.began.elapsed().as_micros() as f64 / 1000.0;
        let model = self.model.as_ref().map(|Model(name)| name.as_str());
        let Self { method, path, .. } = self;
        let bytes = self.unread.bytes();
        // Probes and scrapes come every few seconds and say nothing; tracing wants each level by itself.
        match self.status.map(|status| status.as_u16()) {
            Some(status) if *method != Method::POST && status < 400 => {
                tracing::debug!(%method, path, status, latency_ms, model, bytes, "request");
            }
            Some(status) => tracing::info!(%method, path, status, latency_ms, model, bytes, "request"),
            None => tracing::info!(%method, path, status = "cancelled", latency_ms, model, bytes, "request"),
        }
    }
}
