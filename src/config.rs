//! Configuration of `convnext serve`: flags, `CONVNEXT_*` variables and a TOML file say the same things in the same words.
//!
//! A flag wins over a variable, a variable over the file, the file over the default. Not here: acting on it (`cli`).

mod flags;
pub mod units;
mod written;

use std::net::SocketAddr;
use std::path::PathBuf;

pub use flags::Flags;

use crate::http;
use crate::service::Settings;
use crate::telemetry::LogFormat;
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
    /// Address of HTTP.
    pub http_addr: SocketAddr,
    /// Batches, threads and budgets.
    pub settings: Settings,
    /// Caps and timeouts of HTTP.
    pub http: http::Options,
    /// Form of the logs.
    pub log_format: LogFormat,
    /// Filter of the logs.
    pub log: String,
}

/// The models that are served when none is named.
pub const DEFAULT_MODELS: &[&str] = &[DEFAULT_MODEL, "swin_atto"];
/// The model that a command takes when none is named.
pub const DEFAULT_MODEL: &str = "convnext_atto";

/// What a server is without a word of configuration. `--help` and the README tell these values.
impl Default for Config {
    fn default() -> Self {
        Self {
            models: DEFAULT_MODELS.iter().map(|name| (*name).to_owned()).collect(),
            baselines: Vec::new(),
            device: "auto".to_owned(),
            http_addr: SocketAddr::from(([127, 0, 0, 1], 8080)),
            settings: Settings::default(),
            http: http::Options::default(),
            log_format: LogFormat::default(),
            log: "info".to_owned(),
        }
    }
}

impl Config {
    /// Holds every number against its range.
    fn check(&self) -> Result<(), ConfigError> {
        let Settings { limits, max_batch, engine_threads, decode_threads, .. } = self.settings;
        let counts = [
            ("max-batch", max_batch, 1..=1024, "1 to 1024 images are possible"),
            ("engine-threads", engine_threads, 1..=1024, "1 to 1024 threads are possible"),
            ("decode-threads", decode_threads, 1..=1024, "1 to 1024 threads are possible"),
            ("queue-images", limits.queue_images, 1..=1_000_000, "1 to 1,000,000 images are possible"),
            ("max-connections", self.http.max_connections, 1..=1_000_000, "1 to 1,000,000 connections are possible"),
        ];
        for (name, value, possible, range) in counts {
            if !possible.contains(&value) {
                return Err(ConfigError::Range { name, value: value.to_string(), range });
            }
        }
        let spans = [
            ("deadline", limits.deadline),
            ("header-timeout", self.http.header_timeout),
            ("body-timeout", self.http.body_timeout),
            ("idle-timeout", self.http.idle_timeout),
        ];
        for (name, span) in spans {
            if span.is_zero() {
                return Err(ConfigError::Range {
                    name,
                    value: Span(span).to_string(),
                    range: "it must be more than 0s",
                });
            }
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
        if self.http.drain_delay > self.http.drain_timeout {
            let value = Span(self.http.drain_delay).to_string();
            return Err(ConfigError::Range {
                name: "drain-delay",
                value,
                range: "it must be at most drain-timeout, which includes it",
            });
        }
        Ok(())
    }
}
