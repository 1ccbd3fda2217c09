//! How a request ends: in exactly one way, which is counted.

use std::sync::Arc;
use std::time::Instant;

use super::ServiceError;
use crate::metrics::{Failure, Form, Metrics, Rejection, StageTimes, Statistics};

/// A request that was received and has not ended. One that is dropped was cancelled.
pub(super) struct Account {
    /// None once the end is counted.
    open: Option<Arc<Metrics>>,
    /// The version that it is for, once that is known.
    version: Option<(Arc<Statistics>, Form)>,
    began: Instant,
}

impl Account {
    pub(super) fn open(metrics: &Arc<Metrics>) -> Self {
        metrics.received();
        Self { open: Some(Arc::clone(metrics)), version: None, began: Instant::now() }
    }

    /// It is for a version, of which it is counted too.
    pub(super) fn is_of(&mut self, statistics: &Arc<Statistics>, form: Form) {
        self.version = Some((Arc::clone(statistics), form));
    }

    /// It has brought this.
    pub(super) fn has_brought(&mut self, found: Form) {
        if let Some((_, form)) = &mut self.version {
            *form = found;
        }
    }

    /// It was answered.
    pub(super) fn succeed(&mut self, images: usize, stages: StageTimes) {
        let Some(metrics) = self.open.take() else { return };
        metrics.succeeded();
        if let Some((statistics, form)) = &self.version {
            statistics.succeeded(*form, self.began.elapsed(), images, stages);
        }
    }

    /// It was malformed or met a fault.
    pub(super) fn fail(&mut self) {
        self.end_with(Failure::Other, Metrics::failed);
    }

    /// It got this error.
    pub(super) fn end(&mut self, error: &ServiceError) {
        match error {
            ServiceError::Overloaded { reason, .. } => self.reject(*reason),
            ServiceError::NotReady(_) => self.reject(Rejection::NotReady),
            // Triton's word for what has waited too long
            ServiceError::DeadlinePassed(_) => self.end_with(Failure::Rejected, Metrics::failed),
            ServiceError::Internal(_) => self.end_with(Failure::Backend, Metrics::failed),
            _ => self.fail(),
        }
    }

    fn reject(&mut self, reason: Rejection) {
        self.end_with(Failure::Rejected, |metrics| metrics.rejected(reason));
    }

    /// Counts an end without an answer, unless an end has been counted.
    fn end_with(&mut self, failure: Failure, count: impl FnOnce(&Metrics)) {
        let Some(metrics) = self.open.take() else { return };
        count(&metrics);
        if let Some((statistics, form)) = &self.version {
            statistics.failed(*form, self.began.elapsed(), failure);
        }
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        self.end_with(Failure::Cancelled, Metrics::cancelled);
    }
}
