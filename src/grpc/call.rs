//! What is known of a call from its head to its end; handlers learn from it and add to it. Not here: who writes it down
//! (`outer_layer`).

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use axum::http::HeaderMap;
use tokio::time::Instant;
use tonic::Status;

use super::deadline;
use crate::auth::Caller;
use crate::metrics::ModelMetrics;
use crate::service::{BodyBytes, Classifier, ServiceError};

/// A call; clones are the same one.
#[derive(Clone)]
pub(super) struct Call(Arc<State>);

struct State {
    began: Instant,
    /// `grpc-timeout`
    allowed: Option<Duration>,
    /// What has come and belongs to no request yet.
    bytes: Mutex<BodyBytes>,
    /// All that has come.
    received: AtomicU64,
    handled: AtomicBool,
    model: OnceLock<Arc<ModelMetrics>>,
    /// Whose call it is, where there are keys.
    caller: OnceLock<Caller>,
}

impl Call {
    /// A call that begins now.
    ///
    /// # Errors
    /// INVALID_ARGUMENT for a `grpc-timeout` that is none.
    pub(super) fn begin(headers: &HeaderMap, classifier: &Classifier) -> Result<Self, Status> {
        Ok(Self(Arc::new(State {
            began: Instant::now(),
            allowed: deadline::of(headers)?,
            bytes: Mutex::new(classifier.body_bytes()),
            received: AtomicU64::new(0),
            handled: AtomicBool::new(false),
            model: OnceLock::new(),
            caller: OnceLock::new(),
        })))
    }

    /// From the head to the deadline that the client has set.
    pub(super) fn allowed(&self) -> Option<Duration> {
        self.0.allowed
    }

    /// When the client no longer waits.
    pub(super) fn deadline(&self) -> Option<Instant> {
        // one that lies beyond all times is none
        self.0.allowed.and_then(|allowed| self.0.began.checked_add(allowed))
    }

    /// From now to the deadline.
    pub(super) fn remaining(&self) -> Option<Duration> {
        self.deadline().map(|deadline| deadline.saturating_duration_since(Instant::now()))
    }

    /// So many more bytes have come.
    ///
    /// # Errors
    /// As of [`BodyBytes::more`].
    pub(super) fn bytes_came(&self, count: u64) -> Result<(), ServiceError> {
        self.0.received.fetch_add(count, Ordering::Relaxed);
        self.0.bytes.lock().unwrap_or_else(PoisonError::into_inner).more(count)
    }

    /// What has come since this was asked last. A message was made of it, and maybe a few bytes of the next.
    pub(super) fn take_bytes(&self) -> BodyBytes {
        self.0.bytes.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Bytes that have come in all.
    pub(super) fn received(&self) -> u64 {
        self.0.received.load(Ordering::Relaxed)
    }

    /// A handler has the message: what becomes of the call is its doing.
    pub(super) fn is_handled(&self) {
        self.0.handled.store(true, Ordering::Relaxed);
    }

    /// Whether a handler has got the message.
    pub(super) fn was_handled(&self) -> bool {
        self.0.handled.load(Ordering::Relaxed)
    }

    /// The loaded model that the call is for.
    pub(super) fn is_for(&self, model: Arc<ModelMetrics>) {
        let _ = self.0.model.set(model); // the first stays
    }

    /// The call is made with this key.
    pub(super) fn is_by(&self, caller: Caller) {
        let _ = self.0.caller.set(caller); // the first stays
    }

    /// The key of the call, where there are keys.
    pub(super) fn caller(&self) -> Option<&Caller> {
        self.0.caller.get()
    }

    /// The model, once it is known.
    pub(super) fn model(&self) -> Option<&Arc<ModelMetrics>> {
        self.0.model.get()
    }
}
