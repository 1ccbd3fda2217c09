//! What the handlers share, and what an operator sets of HTTP.
//!
//! Not here: connections and their timeouts (`net`), and the budgets of admission ([`Limits`](crate::service::Limits)).

use std::time::Duration;

use crate::service::Classifier;

/// What an operator sets of HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// For the whole body of a request; over it 408.
    pub body_timeout: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self { body_timeout: Duration::from_secs(30) }
    }
}

/// What the handlers share; cheap to clone.
#[derive(Clone)]
pub(crate) struct AppState {
    pub(crate) classifier: Classifier,
    pub(crate) options: Options,
}
