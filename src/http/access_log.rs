//! The access log: one line per request, also where the client left. It holds no body, no query, and of a key the name.

use std::time::Instant;

use axum::extract::Request;
use axum::http::{Method, StatusCode};

use super::access::KeyName;
use super::body_tracker::BodyTracker;

/// Characters of a path that are logged: a path may be as long as a head.
const MAX_PATH: usize = 256;

/// The model that answered. Handlers add it to the response's extensions.
#[derive(Clone, Debug)]
pub(super) struct ModelName(pub(super) String);

/// The log line of one request, written when this is dropped. Without [`end`](Self::end) the request was cancelled: its future
/// was dropped.
pub(super) struct LogLine {
    began: Instant,
    method: Method,
    path: String,
    body: BodyTracker,
    model: Option<ModelName>,
    key: Option<KeyName>,
    status: Option<StatusCode>,
}

impl LogLine {
    pub(super) fn begin(request: &Request, body: BodyTracker, key: Option<KeyName>) -> Self {
        let path = request.uri().path();
        let end = path.char_indices().nth(MAX_PATH).map_or(path.len(), |(end, _)| end);
        Self {
            began: Instant::now(),
            method: request.method().clone(),
            path: path[..end].to_owned(),
            body,
            model: None,
            key,
            status: None,
        }
    }

    pub(super) fn end(mut self, status: StatusCode, model: Option<ModelName>) {
        self.status = Some(status);
        self.model = model;
    }
}

impl Drop for LogLine {
    fn drop(&mut self) {
        let latency_ms = self.began.elapsed().as_micros() as f64 / 1000.0;
        let model = self.model.as_ref().map(|ModelName(name)| name.as_str());
        let key = self.key.as_ref().and_then(KeyName::get);
        let Self { method, path, .. } = self;
        let bytes = self.body.bytes_read();
        // Probes and scrapes come every few seconds: they are for debugging only. A level must be constant in its macro.
        match self.status.map(|status| status.as_u16()) {
            Some(status) if !matches!(*method, Method::POST | Method::PUT) && status < 400 => {
                tracing::debug!(%method, path, status, latency_ms, model, key, bytes, "request");
            }
            Some(status) => tracing::info!(%method, path, status, latency_ms, model, key, bytes, "request"),
            None => tracing::info!(%method, path, status = "cancelled", latency_ms, model, key, bytes, "request"),
        }
    }
}
