//! How a request ends: in exactly one way, which is counted.

use std::sync::Arc;

use super::ServiceError;
use crate::metrics::{Metrics, Rejection};

/// A request that was received and has not ended. One that is dropped was cancelled.
pub(super) struct Account {
    /// None once the end is counted.
    open: Option<Arc<Metrics>>,
}

impl Account {
    pub(super) fn open(metrics: &Arc<Metrics>) -> Self {
        metrics.received();
        Self { open: Some(Arc::clone(metrics)) }
    }

    /// It was answered.
    pub(super) fn succeed(&mut self) {
        if let Some(metrics) = self.open.take() {
            metrics.succeeded();
        }
    }

    /// It was malformed or met a fault.
    pub(super) fn fail(&mut self) {
        if let Some(metrics) = self.open.take() {
            metrics.failed();
        }
    }

    /// It got this error.
    pub(super) fn end(&mut self, error: &ServiceError) {
        let reason = match error {
            ServiceError::Overloaded { reason, .. } => *reason,
            ServiceError::NotReady(_) => Rejection::NotReady,
            _ => return self.fail(),
        };
        if let Some(metrics) = self.open.take() {
            metrics.rejected(reason);
        }
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        if let Some(metrics) = self.open.take() {
            metrics.cancelled();
        }
    }
}
