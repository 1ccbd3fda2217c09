//! The classifier: admission, then the way of an image.

use std::time::Duration;

use bytes::Bytes;

use super::{Answer, Limits, ScoreFunction, ServiceError};
use crate::metrics::Metrics;

/// Serves several models; cheap to clone.
#[derive(Clone)]
pub struct Classifier {}

/// What is known of a model.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelStatus {
    /// The name under which it is served.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its architecture, as `convnext_tiny`.
    pub architecture: String,
    /// Its program's family.
    pub family: String,
    /// The device that runs it.
    pub device: String,
    /// Where it came from.
    pub origin: String,
    /// Loaded, warm, and its worker alive.
    pub ready: bool,
    /// Whether requests without a model get this one.
    pub default: bool,
    /// Rows and columns of its input.
    pub input: (usize, usize),
    /// Number of classes.
    pub classes: usize,
    /// Stored parameters.
    pub parameters: u64,
    /// Multiply-accumulates of one image.
    pub macs: u64,
    /// The largest batch.
    pub max_batch: usize,
}

/// The images of a request, and what is asked of them.
#[derive(Clone, Debug)]
pub struct Request {
    /// Files, one for each image.
    pub images: Vec<Bytes>,
    /// Classes in the answer; 0 and less are refused, more than there are is clamped.
    pub top_k: i64,
    /// How logits become scores.
    pub function: ScoreFunction,
}

/// A place in the queue and a share of the byte budget, held from before the body is read; dropping it gives all back.
pub struct Ticket {}

impl Classifier {
    /// Takes a place for one image of a model (None: the default) and `body_bytes` of the byte budget, before the body is read.
    ///
    /// # Errors
    /// `UnknownModel`, `NotReady`, `TooLarge` for a body over the limit, `Overloaded` when a budget is spent.
    pub fn admit(
        &self,
        _model: Option<&str>,
        _body_bytes: Option<u64>,
        _deadline: Option<Duration>,
    ) -> Result<Ticket, ServiceError> {
        todo!()
    }

    /// All models, in the order of the configuration.
    #[must_use]
    pub fn models(&self) -> Vec<ModelStatus> {
        todo!()
    }

    /// Every model is ready and no drain has begun; otherwise why not.
    ///
    /// # Errors
    /// The reason in words.
    pub fn ready(&self) -> Result<(), String> {
        todo!()
    }

    /// Turns readiness off; requests are still served.
    pub fn begin_drain(&self) {
        todo!()
    }

    /// Whether a drain has begun: answers then carry `Connection: close`.
    #[must_use]
    pub fn draining(&self) -> bool {
        todo!()
    }

    /// The budgets.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        todo!()
    }

    /// The metrics.
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        todo!()
    }
}

impl Ticket {
    /// The model's name, which may be a label of metrics.
    #[must_use]
    pub fn model(&self) -> &str {
        todo!()
    }

    /// Says that the body so far is `total` bytes long: of a body without a declared length, as it arrives.
    ///
    /// # Errors
    /// `TooLarge` over the limit of one body, `Overloaded` when the budget is spent.
    pub fn body_is(&mut self, _total: u64) -> Result<(), ServiceError> {
        todo!()
    }

    /// Decodes, queues, computes, answers. Dropping the future cancels all of it. The deadline counts from admission.
    ///
    /// # Errors
    /// Any [`ServiceError`].
    pub async fn classify(self, _request: Request) -> Result<Answer, ServiceError> {
        todo!()
    }
}
