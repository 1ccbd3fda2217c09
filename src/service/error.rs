//! What can go wrong between admission and answer. The mapping to a status stands once in each protocol.

use std::time::Duration;

use crate::metrics::Rejection;
use crate::pixels::ImageError;

/// A request got no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ServiceError {
    /// No such model.
    #[error("no model {name}; {}", loaded(.known))]
    UnknownModel {
        /// The name asked for.
        name: String,
        /// Those that there are.
        known: Vec<String>,
    },
    /// The model has no such version.
    #[error("{model} has no version {version}; {}", loaded(.known))]
    UnknownVersion {
        /// The model's name.
        model: String,
        /// The number or label asked for.
        version: String,
        /// Those that there are.
        known: Vec<String>,
    },
    /// The request makes no sense.
    #[error("{0}")]
    Invalid(String),
    /// More than could ever be taken.
    #[error("{0}")]
    TooLarge(String),
    /// An image of the request cannot be had; the index is its own in the request.
    #[error("image {index}: {cause}")]
    Image {
        /// Its index in the request, from 0.
        index: usize,
        /// What is wrong with it.
        cause: ImageError,
    },
    /// More than can be taken now.
    #[error("{}{what}; try again in {} s", whose(*.reason), .retry_after.as_millis().div_ceil(1000).max(1))]
    Overloaded {
        /// Which budget is spent.
        what: String,
        /// Its name for metrics.
        reason: Rejection,
        /// When it is worth trying again.
        retry_after: Duration,
    },
    /// The model does not serve: loading, failed, or draining.
    #[error("not ready: {0}")]
    NotReady(String),
    /// The deadline passed.
    #[error("the deadline of {} ms passed", .0.as_millis())]
    DeadlinePassed(Duration),
    /// A fault of ours.
    #[error("{0}")]
    Internal(String),
}

/// It is the server that is overloaded, unless a key has spent its rate.
fn whose(reason: Rejection) -> &'static str {
    if reason == Rejection::Rate { "" } else { "overloaded: " }
}

fn loaded(names: &[String]) -> String {
    if names.is_empty() { "none is loaded".to_owned() } else { format!("loaded are {}", names.join(", ")) }
}
