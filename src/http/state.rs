//! What the handlers share, and what an operator sets of HTTP.
//!
//! Not here: connections and their timeouts (`net`), and the budgets of admission ([`Limits`](crate::service::Limits)).

use std::sync::Arc;
use std::time::Duration;

use clap::ValueEnum;
use serde::Deserialize;

use super::access::Audience;
use super::cors::Origin;
use crate::auth::Access;
use crate::service::Classifier;

/// What an operator sets of HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// For the whole body of a request; over it 408.
    pub body_timeout: Duration,
    /// Whose web pages may use the port; empty: nobody's.
    pub cors_allow_origins: Vec<Origin>,
    /// Whether clients may load and unload models.
    pub allow_model_control: bool,
    /// Whose names metrics have beside our own.
    pub metrics_compat: MetricsCompat,
    /// Who may ask; None: everybody.
    pub access: Option<Access>,
}

/// Whose names metrics have beside our own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MetricsCompat {
    /// Nobody's.
    #[default]
    None,
    /// Those of Triton, `nv_inference_…`, which its dashboards and autoscalers read.
    Triton,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            body_timeout: Duration::from_secs(30),
            cors_allow_origins: Vec::new(),
            allow_model_control: false,
            metrics_compat: MetricsCompat::None,
            access: None,
        }
    }
}

/// What the handlers share. It is cloned a few times for each request.
#[derive(Clone)]
pub(crate) struct AppState {
    pub(crate) classifier: Classifier,
    pub(crate) options: Arc<Options>,
    pub(crate) audience: Audience,
}
