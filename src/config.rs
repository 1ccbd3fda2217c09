//! Configuration of `convnext serve`: flags, `CONVNEXT_*` variables and a TOML file say the same things in the same words.
//!
//! A flag wins over a variable, a variable over the file, the file over the default. Not here: acting on it (`cli`).

mod address;
pub mod engine;
mod flags;
mod model_table;
pub mod precision;
pub mod units;
mod written;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

pub use flags::Flags;
pub use model_table::ModelTable;

use crate::http;
use crate::net;
use crate::service::{Calibration, ModelOptions, Repository, Settings};
use crate::telemetry::LogFormat;
use engine::ChosenEngine;
use units::{Amount, Span};

/// The configuration cannot be used. The process exits with 64.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read or is not TOML of these keys.
    #[error("{}: {why}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A value of a model's table is out of its range.
    #[error("model.{model}: {why}")]
    Model {
        /// The model's name.
        model: String,
        /// The value and its range.
        why: String,
    },
    /// A value is out of its range.
    #[error("{name} is {value}; {range}")]
    Range {
        /// The flag.
        name: &'static str,
        /// What was given.
        value: String,
        /// What is possible.
        range: &'static str,
    },
}

/// Everything that a server needs to know, checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Models as written, the default first.
    pub models: Vec<String>,
    /// Baselines as written.
    pub baselines: Vec<String>,
    /// Device as written.
    pub device: String,
    /// Whether the models are computed.
    pub engine: ChosenEngine,
    /// Address of HTTP.
    pub http_addr: SocketAddr,
    /// Address of gRPC.
    pub grpc_addr: SocketAddr,
    /// Address of the admin port.
    pub admin_addr: SocketAddr,
    /// The certificate that all ports show, in PEM, with its chain; None: they speak without TLS.
    pub tls_cert: Option<PathBuf>,
    /// Its key.
    pub tls_key: Option<PathBuf>,
    /// The authorities of clients' certificates; None: clients need none.
    pub tls_client_ca: Option<PathBuf>,
    /// The revoked ones of them; None: nobody asks.
    pub tls_client_crl: Option<PathBuf>,
    /// What clients without one get.
    pub tls_client_auth: net::ClientAuth,
    /// The file of keys; None: requests need none.
    pub api_keys: Option<PathBuf>,
    /// Whether metrics need a key too.
    pub metrics_auth: bool,
    /// Batches, threads and budgets.
    pub settings: Settings,
    /// What the file says of single models, as [`Settings::models`] then has it.
    pub model_tables: BTreeMap<String, ModelTable>,
    /// A folder of models, as [`Settings::repository`] then has it.
    pub model_repository: Option<PathBuf>,
    /// How long nothing must change in it before changes count.
    pub repository_settle: Duration,
    /// Connections at a time, of HTTP and of gRPC each.
    pub max_connections: usize,
    /// What holds for HTTP alone.
    pub http: http::Options,
    /// Timeouts of connections and of the drain.
    pub net: net::Options,
    /// Form of the logs.
    pub log_format: LogFormat,
    /// Filter of the logs.
    pub log: String,
}

/// The models that are served when none is named.
pub const DEFAULT_MODELS: &[&str] = &[DEFAULT_MODEL, "swin_atto"];
/// The model that a command takes when none is named.
pub const DEFAULT_MODEL: &str = "convnext_atto";

/// What a server is without a word of configuration. `--help` and docs/configuration.md tell these values.
impl Default for Config {
    fn default() -> Self {
        Self {
            models: DEFAULT_MODELS.iter().map(|name| (*name).to_owned()).collect(),
            baselines: Vec::new(),
            device: "auto".to_owned(),
            engine: ChosenEngine::default(),
            http_addr: SocketAddr::from(([127, 0, 0, 1], 8080)),
            grpc_addr: SocketAddr::from(([127, 0, 0, 1], 9000)),
            admin_addr: SocketAddr::from(([127, 0, 0, 1], 9090)),
            tls_cert: None,
            tls_key: None,
            tls_client_ca: None,
            tls_client_crl: None,
            tls_client_auth: net::ClientAuth::default(),
            api_keys: None,
            metrics_auth: false,
            settings: Settings { calibration: Calibration::Quick, ..Settings::default() },
            model_tables: BTreeMap::new(),
            model_repository: None,
            repository_settle: Duration::from_secs(2),
            max_connections: net::Port::DEFAULT_MAX_CONNECTIONS,
            http: http::Options::default(),
            net: net::Options::default(),
            log_format: LogFormat::default(),
            log: "info".to_owned(),
        }
    }
}

impl Config {
    /// Works out what several flags say together.
    fn complete(&mut self) {
        let table = |(name, table): (&String, &ModelTable)| (name.clone(), table.over(&self.settings.model));
        self.settings.models = self.model_tables.iter().map(table).collect();
        let settle = self.repository_settle;
        self.settings.repository = self.model_repository.clone().map(|folder| Repository { folder, settle });
    }

    /// Holds what is said of certificates and keys together.
    fn check_secured(&self) -> Result<(), ConfigError> {
        let needs = |name, path: &Option<PathBuf>, range| {
            let value = path.as_ref().map(|path| path.display().to_string()).unwrap_or_default();
            Err(ConfigError::Range { name, value, range })
        };
        match (&self.tls_cert, &self.tls_key) {
            (Some(_), None) => return needs("tls-cert", &self.tls_cert, "it needs tls-key beside it"),
            (None, Some(_)) => return needs("tls-key", &self.tls_key, "it needs tls-cert beside it"),
            _ if self.tls_client_auth == net::ClientAuth::ExceptProbes && self.tls_client_ca.is_none() => {
                let (name, value) = ("tls-client-auth", "except-probes".to_owned());
                return Err(ConfigError::Range { name, value, range: "it needs tls-client-ca beside it" });
            }
            _ if self.tls_client_crl.is_some() && self.tls_client_ca.is_none() => {
                return needs("tls-client-crl", &self.tls_client_crl, "it needs tls-client-ca beside it");
            }
            (None, None) if self.tls_client_ca.is_some() => {
                return needs("tls-client-ca", &self.tls_client_ca, "it needs tls-cert and tls-key beside it");
            }
            _ => {}
        }
        if self.metrics_auth && self.api_keys.is_none() {
            let value = self.metrics_auth.to_string();
            return Err(ConfigError::Range { name: "metrics-auth", value, range: "it needs api-keys beside it" });
        }
        if !self.admin_addr.ip().is_loopback() && self.api_keys.is_none() && self.tls_client_ca.is_none() {
            let range = "beyond loopback it needs api-keys with a key of scope admin, or tls-client-ca";
            return Err(ConfigError::Range { name: "admin-addr", value: self.admin_addr.to_string(), range });
        }
        Ok(())
    }

    /// Holds every number against its range.
    fn check(&self) -> Result<(), ConfigError> {
        self.check_secured()?;
        let Settings { limits, ref model, engine_threads, decode_threads, .. } = self.settings;
        for (name, options) in &self.settings.models {
            check_model(options).map_err(|error| error.of_model(name))?;
        }
        check_model(model)?;
        let counts = [
            ("engine-threads", engine_threads, 1..=1024, "1 to 1024 threads are possible"),
            ("decode-threads", decode_threads, 1..=1024, "1 to 1024 threads are possible"),
            ("max-connections", self.max_connections, 1..=1_000_000, "1 to 1,000,000 connections are possible"),
        ];
        check_counts(&counts)?;
        let spans = [
            ("header-timeout", self.net.header_timeout),
            ("body-timeout", self.http.body_timeout),
            ("idle-timeout", self.net.idle_timeout),
        ];
        for (name, span) in spans {
            more_than_nothing(name, span)?;
        }
        let within = [
            ("max-body", limits.max_body_bytes, limits.body_bytes, "1 to body-budget bytes are possible"),
            ("max-pixels", limits.max_image_pixels, limits.decoded_pixels, "1 to pixel-budget pixels are possible"),
        ];
        for (name, value, most, range) in within {
            if !(1..=most).contains(&value) {
                return Err(ConfigError::Range { name, value: Amount(value).to_string(), range });
            }
        }
        if self.net.drain_delay > self.net.drain_timeout {
            let value = Span(self.net.drain_delay).to_string();
            return Err(ConfigError::Range {
                name: "drain-delay",
                value,
                range: "it must be at most drain-timeout, which includes it",
            });
        }
        Ok(())
    }
}

/// Holds what is said of a model against its ranges.
fn check_model(options: &ModelOptions) -> Result<(), ConfigError> {
    check_counts(&[
        ("max-batch", options.max_batch, 1..=1024, "1 to 1024 images are possible"),
        ("queue-images", options.queue_images, 1..=1_000_000, "1 to 1,000,000 images are possible"),
    ])?;
    more_than_nothing("deadline", options.deadline)?;
    if options.max_delay >= options.deadline {
        let value = Span(options.max_delay).to_string();
        return Err(ConfigError::Range { name: "max-delay", value, range: "it must be less than deadline" });
    }
    Ok(())
}

/// A name, its value, what is possible, and that in words.
type Count = (&'static str, usize, std::ops::RangeInclusive<usize>, &'static str);

fn check_counts(counts: &[Count]) -> Result<(), ConfigError> {
    match counts.iter().find(|(_, value, possible, _)| !possible.contains(value)) {
        Some((name, value, _, range)) => Err(ConfigError::Range { name, value: value.to_string(), range }),
        None => Ok(()),
    }
}

fn more_than_nothing(name: &'static str, span: Duration) -> Result<(), ConfigError> {
    if span.is_zero() {
        let value = Span(span).to_string();
        return Err(ConfigError::Range { name, value, range: "it must be more than 0s" });
    }
    Ok(())
}

impl ConfigError {
    /// The same, of a model's table.
    fn of_model(self, model: &str) -> Self {
        Self::Model { model: model.to_owned(), why: self.to_string() }
    }
}
