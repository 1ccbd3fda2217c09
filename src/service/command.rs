//! What a device's thread is told of models: one comes, one goes, one is to be measured. Not here: how it follows (`device`).

use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::Duration;

use tokio::sync::oneshot;

use super::scheduler::ModelId;
use crate::engine::{LeasePool, LoadError, Loaded};
use crate::metrics::{ModelMetrics, Statistics};
use crate::program::{Program, WeightSource};

/// A model comes or goes.
pub(super) enum ModelCommand {
    /// Make an executable, warm it, serve with it.
    Add(Box<Addition>),
    /// Drop the executable.
    Remove(ModelId),
}

/// A run that is only measured, which a device takes when it has nothing else to do.
#[derive(Debug)]
pub(super) struct Measurement {
    pub(super) model: ModelId,
    /// Images of a batch.
    pub(super) images: usize,
    /// Told what it took; dropped where it did not run.
    pub(super) ran: SyncSender<Ran>,
}

/// A measured run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ran {
    /// Images of all batches that were in flight together.
    pub(super) images: usize,
    pub(super) took: Duration,
}

/// A model that a device is to serve.
pub(super) struct Addition {
    pub(super) model: ModelId,
    pub(super) loaded: Arc<dyn Loaded>,
    pub(super) program: Arc<Program>,
    /// For the self-check; None where it is switched off.
    pub(super) weights: Option<Arc<dyn WeightSource + Send + Sync>>,
    pub(super) metrics: Arc<ModelMetrics>,
    /// Of its version.
    pub(super) statistics: Arc<Statistics>,
    /// Told when the model is warm, or why it never will be.
    pub(super) added: oneshot::Sender<Result<Added, LoadError>>,
}

/// A model serves on a device.
#[derive(Debug)]
pub(super) struct Added {
    pub(super) leases: Arc<LeasePool>,
    /// What was found, for the log.
    pub(super) preferred_batch: usize,
    pub(super) image_seconds: f64,
}

impl std::fmt::Debug for ModelCommand {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Add(addition) => f.debug_tuple("Add").field(&addition.model).finish(),
            Self::Remove(model) => f.debug_tuple("Remove").field(model).finish(),
        }
    }
}
