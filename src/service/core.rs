//! What all parts of the service share: the models, the budgets, the threads. Not here: what is done with them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::Limits;
use super::budget::Budget;
use super::calibration::Calibrator;
use super::decoder::Decoder;
use super::dispatcher::Dispatcher;
use super::image::ImageJob;
use super::lifecycle::Lifecycle;
use super::queue::EntryId;
use super::registry::Registry;
use super::threads::WaitsFor;
use crate::metrics::Metrics;

/// Shared by the classifier's clones and by tickets. Its devices end with it.
pub(super) struct Core {
    pub(super) registry: Arc<Registry>,
    pub(super) dispatcher: Arc<Dispatcher<ImageJob>>,
    pub(super) lifecycle: Lifecycle,
    pub(super) calibrator: Calibrator,
    pub(super) limits: Limits,
    pub(super) metrics: Arc<Metrics>,
    pub(super) decoder: Decoder,
    /// Bytes of bodies.
    pub(super) bodies: Arc<Budget>,
    /// Pixels of decoded images.
    pub(super) pixels: Arc<Budget>,
    pub(super) draining: AtomicBool,
    pub(super) next_entry: AtomicU64,
    /// Last: by then all else has gone that keeps a thread from ending.
    pub(super) _threads: WaitsFor,
}

impl Core {
    /// A name for an image. Names rise in the order of admission, which is the order of service.
    pub(super) fn entry_id(&self) -> EntryId {
        EntryId(self.next_entry.fetch_add(1, Ordering::Relaxed))
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        self.dispatcher.end();
    }
}
