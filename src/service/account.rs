//! How a request ends: in exactly one way, which is counted.

use std::sync::Arc;
use std::time::Instant;

use super::ServiceError;
use crate::metrics::{Form, Metrics, Rejection, StageTimes, Statistics};

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
        self.end_with(Metrics::failed);
    }

    /// It got this error.
    pub(super) fn end(&mut self, error: &ServiceError) {
        match error {
            ServiceError::Overloaded { reason, .. } => self.end_with(|metrics| metrics.rejected(*reason)),
            ServiceError::NotReady(_) => self.end_with(|metrics| metrics.rejected(Rejection::NotReady)),
            _ => self.fail(),
        }
    }

    /// Counts an end without an answer, unless an end has been counted.
    fn end_with(&mut self, count: impl FnOnce(&Metrics)) {
        let Some(metrics) = self.open.take() else { return };
        count(&metrics);
        if let Some((statistics, form)) = &self.version {
            statistics.failed(*form, self.began.elapsed());
        }
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        self.end_with(Metrics::cancelled);
    }
}
