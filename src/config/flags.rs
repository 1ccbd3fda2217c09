//! The flags of `convnext serve`, each with the field of [`Config`] that it sets: the one list that clap, the TOML file, the
//! defaults in `--help` and the merge of two sources are made of.
//!
//! Not here: the defaults themselves (`Default` of [`Config`]), ranges ([`Config::check`]).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::address::Address;
use super::engine::ChosenEngine;
use super::precision::ChosenPrecision;
use super::units::{Amount, Span};
use super::written::Written;
use super::{Config, ConfigError, ModelTable};
use crate::http::{MetricsCompat, Origin};
use crate::net::ClientAuth;
use crate::service::Calibration;
use crate::telemetry::LogFormat;

/// Makes the struct that clap and serde read alike, the merge of two of them, and the way from them to a [`Config`].
///
/// A line is `flag: type => field of Config,`; the type becomes the field's by `From`. The field's default is told in `--help` as
/// [`Written`] says, or in words where it is another on every machine: `=> field as "words",`.
macro_rules! flags {
    ($($(#[$meta:meta])* $flag:ident: $type:ty => $($field:ident).+ $(as $words:literal)?,)*) => {
        /// What may be said of a server; None where nothing was said.
        #[derive(Clone, Debug, Default, PartialEq, clap::Args, Deserialize)]
        #[command(mut_args(with_default))]
        #[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
        pub struct Flags {
            $($(#[$meta])* pub $flag: Option<$type>,)*
        }

        impl Flags {
            /// What was said here, and where nothing was, what was said there.
            #[must_use]
            pub fn or(self, other: Self) -> Self {
                Self { $($flag: self.$flag.or(other.$flag),)* }
            }

            /// The defaults, and over them what was said.
            fn fill(self) -> Config {
                let mut config = Config::default();
                $(if let Some(value) = self.$flag {
                    config.$($field).+ = value.into();
                })*
                config
            }

            /// The default of a flag, by its name in Rust, as it would be written; None where there is none.
            fn default_of(flag: &str) -> Option<String> {
                let default = Config::default();
                match flag {
                    $(stringify!($flag) => {
                        let words: &[&str] = &[$($words)?];
                        words.first().map(|words| (*words).to_owned()).or_else(|| default.$($field).+.written())
                    })*
                    _ => None,
                }
            }
        }
    };
}

flags! {
    /// Models to serve, the first by default: a demo model's NAME, a folder, hub:ORGANISATION/NAME, or NAME= before either
    #[arg(long, env = "CONVNEXT_MODELS", value_name = "MODEL,…", value_delimiter = ',')]
    models: Vec<String> => models,
    /// What models are measured against, where it is not the Swin of a ConvNeXt's size
    #[arg(long, env = "CONVNEXT_BASELINE", value_name = "MODEL=BASELINE,…", value_delimiter = ',')]
    baseline: Vec<String> => baselines,
    /// Where the models run: auto, cpu, cuda, cuda:N, cuda:all, or cpu:avx2 for instructions
    #[arg(long, env = "CONVNEXT_DEVICE", value_name = "DEVICE")]
    device: String => device,
    /// auto computes the models; null computes nothing, to measure the server alone: its answers are no predictions
    #[arg(long, env = "CONVNEXT_ENGINE", value_name = "ENGINE", value_enum)]
    engine: ChosenEngine => engine,
    /// In what the models are computed: auto, f16, bf16, int8 or f32
    #[arg(long, env = "CONVNEXT_PRECISION", value_name = "PRECISION")]
    precision: ChosenPrecision => settings.model.precision,
    /// Address of HTTP, as 127.0.0.1:8080, localhost:8080, or :8080 for all; port 0 takes a free one
    #[arg(long, env = "CONVNEXT_HTTP_ADDR", value_name = "ADDR:PORT")]
    http_addr: Address => http_addr,
    /// Address of gRPC: the Open Inference Protocol, health, reflection
    #[arg(long, env = "CONVNEXT_GRPC_ADDR", value_name = "ADDR:PORT")]
    grpc_addr: Address => grpc_addr,
    /// Address of the admin port: commands about models, log level, metrics. Beyond loopback it needs keys or client certificates
    #[arg(long, env = "CONVNEXT_ADMIN_ADDR", value_name = "ADDR:PORT")]
    admin_addr: Address => admin_addr,
    /// The certificate of all ports in PEM, with its chain; they then speak TLS. Read again when it changes, as the next four
    #[arg(long, env = "CONVNEXT_TLS_CERT", value_name = "FILE")]
    tls_cert: PathBuf => tls_cert,
    /// Its key, without a password
    #[arg(long, env = "CONVNEXT_TLS_KEY", value_name = "FILE")]
    tls_key: PathBuf => tls_key,
    /// Authorities of clients: who asks then needs a certificate that one of them has signed
    #[arg(long, env = "CONVNEXT_TLS_CLIENT_CA", value_name = "FILE")]
    tls_client_ca: PathBuf => tls_client_ca,
    /// Client certificates that these authorities have revoked: their lists (CRLs) in PEM, one of each
    #[arg(long, env = "CONVNEXT_TLS_CLIENT_CRL", value_name = "FILE")]
    tls_client_crl: PathBuf => tls_client_crl,
    /// API keys as `convnext key` makes them: who asks then needs one
    #[arg(long, env = "CONVNEXT_API_KEYS", value_name = "FILE")]
    api_keys: PathBuf => api_keys,
    /// What clients without a certificate get: require gives no connection, except-probes liveness and readiness
    #[arg(long, env = "CONVNEXT_TLS_CLIENT_AUTH", value_name = "HOW", value_enum, hide_possible_values = true)]
    tls_client_auth: ClientAuth => tls_client_auth,
    /// Metrics need an API key too, of any scope
    #[arg(long, env = "CONVNEXT_METRICS_AUTH", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    metrics_auth: bool => metrics_auth,
    /// A folder with models to serve, as NAME/VERSION/config.json; changes in it are followed
    #[arg(long, env = "CONVNEXT_MODEL_REPOSITORY", value_name = "DIR")]
    model_repository: PathBuf => model_repository,
    /// How long nothing must change in the repository before changes count
    #[arg(long, env = "CONVNEXT_REPOSITORY_SETTLE", value_name = "DURATION")]
    repository_settle: Span => repository_settle,
    /// What holds for single models: a table [model.NAME] of the file
    #[arg(skip)]
    model: BTreeMap<String, ModelTable> => model_tables,
    /// What is measured after the start, while idle, of models beside their baselines: off, quick or full
    #[arg(long, env = "CONVNEXT_CALIBRATE", value_name = "HOW", value_enum)]
    calibrate: Calibration => settings.calibration,
    /// Models serve without proving themselves on their device first
    #[arg(long, env = "CONVNEXT_NO_SELF_CHECK", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    no_self_check: bool => settings.no_self_check,
    /// Largest batch; warm-up chooses the smallest that is as fast, or a larger one that is short
    #[arg(long, env = "CONVNEXT_MAX_BATCH", value_name = "IMAGES")]
    max_batch: usize => settings.model.max_batch,
    /// How long an image waits for company while the device idles
    #[arg(long, env = "CONVNEXT_MAX_DELAY", value_name = "DURATION")]
    max_delay: Span => settings.model.max_delay,
    /// Threads of the CPU engine
    #[arg(long, env = "CONVNEXT_ENGINE_THREADS", value_name = "THREADS")]
    engine_threads: usize => settings.engine_threads as "cores",
    /// Threads that decode and resize
    #[arg(long, env = "CONVNEXT_DECODE_THREADS", value_name = "THREADS")]
    decode_threads: usize => settings.decode_threads as "cores",
    /// Images of a model between admission and answer
    #[arg(long, env = "CONVNEXT_QUEUE_IMAGES", value_name = "IMAGES")]
    queue_images: usize => settings.model.queue_images,
    /// Longest time from admission to answer
    #[arg(long, env = "CONVNEXT_DEADLINE", value_name = "DURATION")]
    deadline: Span => settings.model.deadline,
    /// Largest body of a request
    #[arg(long, env = "CONVNEXT_MAX_BODY", value_name = "BYTES")]
    max_body: Amount => settings.limits.max_body_bytes,
    /// Bytes of all bodies that are held
    #[arg(long, env = "CONVNEXT_BODY_BUDGET", value_name = "BYTES")]
    body_budget: Amount => settings.limits.body_bytes,
    /// Pixels of the largest image
    #[arg(long, env = "CONVNEXT_MAX_PIXELS", value_name = "PIXELS")]
    max_pixels: Amount => settings.limits.max_image_pixels,
    /// Decoded pixels of all images that are held
    #[arg(long, env = "CONVNEXT_PIXEL_BUDGET", value_name = "PIXELS")]
    pixel_budget: Amount => settings.limits.decoded_pixels,
    /// Connections at a time, of HTTP and of gRPC
    #[arg(long, env = "CONVNEXT_MAX_CONNECTIONS", value_name = "CONNECTIONS")]
    max_connections: usize => max_connections,
    /// For the head of a request to arrive
    #[arg(long, env = "CONVNEXT_HEADER_TIMEOUT", value_name = "DURATION")]
    header_timeout: Span => net.header_timeout,
    /// For the body of a request to arrive
    #[arg(long, env = "CONVNEXT_BODY_TIMEOUT", value_name = "DURATION")]
    body_timeout: Span => http.body_timeout,
    /// Origins whose web pages may use HTTP from a browser, with their scheme, or * for all
    #[arg(long, env = "CONVNEXT_CORS_ALLOW_ORIGIN", value_name = "ORIGIN,…", value_delimiter = ',')]
    cors_allow_origin: Vec<Origin> => http.cors_allow_origins,
    /// Clients of HTTP and gRPC may load and unload models, as the Open Inference Protocol has it
    #[arg(long, env = "CONVNEXT_ALLOW_MODEL_CONTROL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    allow_model_control: bool => http.allow_model_control,
    /// Whose names metrics have beside our own: none, or triton's (nv_inference_…)
    #[arg(long, env = "CONVNEXT_METRICS_COMPAT", value_name = "NAMES", value_enum, hide_possible_values = true)]
    metrics_compat: MetricsCompat => http.metrics_compat,
    /// Between two requests of a connection
    #[arg(long, env = "CONVNEXT_IDLE_TIMEOUT", value_name = "DURATION")]
    idle_timeout: Span => net.idle_timeout,
    /// Age at which a connection is ended, a tenth more or less; 0s: never
    #[arg(long, env = "CONVNEXT_MAX_CONNECTION_AGE", value_name = "DURATION")]
    max_connection_age: Span => net.max_connection_age,
    /// For the requests that run on a connection of that age
    #[arg(long, env = "CONVNEXT_MAX_CONNECTION_AGE_GRACE", value_name = "DURATION")]
    max_connection_age_grace: Span => net.max_connection_age_grace,
    /// After SIGTERM: not ready, yet serving, for this long
    #[arg(long, env = "CONVNEXT_DRAIN_DELAY", value_name = "DURATION")]
    drain_delay: Span => net.drain_delay,
    /// The whole drain at most
    #[arg(long, env = "CONVNEXT_DRAIN_TIMEOUT", value_name = "DURATION")]
    drain_timeout: Span => net.drain_timeout,
    /// Form of the logs
    #[arg(long, env = "CONVNEXT_LOG_FORMAT", value_name = "FORMAT", value_enum)]
    log_format: LogFormat => log_format,
    /// Which logs, as error, warn, info, debug or a tracing filter
    #[arg(long, env = "CONVNEXT_LOG", value_name = "FILTER")]
    log: String => log,
}

/// Tells a flag's default behind its help.
fn with_default(arg: clap::Arg) -> clap::Arg {
    match (Flags::default_of(arg.get_id().as_str()), arg.get_help()) {
        (Some(default), Some(help)) => {
            let help = format!("{help} [default: {default}]");
            arg.help(help)
        }
        _ => arg,
    }
}

impl Flags {
    /// Fills in the defaults and checks the ranges.
    ///
    /// # Errors
    /// [`ConfigError::Range`], the first that is found.
    pub fn resolve(self) -> Result<Config, ConfigError> {
        let models_are_named = self.models.is_some();
        let mut config = self.fill();
        if config.model_repository.is_some() && !models_are_named {
            // the demo models are for whoever has none
            config.models.clear();
        }
        config.complete();
        config.check()?;
        Ok(config)
    }

    /// Reads a TOML file whose keys are the flags.
    ///
    /// # Errors
    /// [`ConfigError::File`] for a file that cannot be read, unknown keys and wrong values.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let file = |why: String| ConfigError::File { path: path.to_owned(), why };
        let text = std::fs::read_to_string(path).map_err(|e| file(e.to_string()))?;
        toml::from_str(&text).map_err(|e| file(e.to_string()))
    }
}

#[cfg(test)]
mod tests;
