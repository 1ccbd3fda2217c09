//! gRPC: the Open Inference Protocol with Triton's extensions, health, and reflection.
//!
//! Thin on purpose: messages become what `oip` understands, the [`Classifier`](crate::service::Classifier) is called, and its answer
//! becomes a message. tonic reads and writes messages; connections, limits and the drain are `net`'s, as for HTTP.

mod access;
mod call;
mod charged_body;
mod deadline;
mod error;
mod framing;
mod health;
mod inference;
mod message;
mod outer_layer;
pub mod proto;
mod routes;
mod stream;

use std::time::Duration;

pub use routes::router;

use crate::auth::Access;

/// What an operator sets of gRPC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// For the message of a call to arrive.
    pub body_timeout: Duration,
    /// Whether clients may load and unload models.
    pub allow_model_control: bool,
    /// Who may ask; None: everybody.
    pub access: Option<Access>,
}

impl Default for Options {
    fn default() -> Self {
        Self { body_timeout: Duration::from_secs(30), allow_model_control: false, access: None }
    }
}
