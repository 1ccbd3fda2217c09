//! Configuration of `convnext serve`: flags, `CONVNEXT_*` variables and a TOML file say the same things in the same words.
//!
//! A flag wins over a variable, a variable over the file, the file over the default. Not here: acting on it (`cli`).

pub mod units;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::http;
use crate::net;
use crate::service::{Limits, Settings};
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

/// Makes the struct that clap and serde read alike, and the merge of two of them.
macro_rules! flags {
    ($($(#[$meta:meta])* $field:ident: $type:ty,)*) => {
        /// What may be said of a server; None where nothing was said.
        #[derive(Clone, Debug, Default, PartialEq, clap::Args, Deserialize)]
        #[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
        pub struct Flags {
            $($(#[$meta])* pub $field: Option<$type>,)*
        }

        impl Flags {
            /// What was said here, and where nothing was, what was said there.
            #[must_use]
            pub fn or(self, other: Self) -> Self {
                Self { $($field: self.$field.or(other.$field),)* }
            }
        }
    };
}

flags! {
    /// Models to serve, the first by default: a demo model's NAME, NAME=DIR, or a folder [default: convnext_atto,swin_atto]
    #[arg(long, env = "CONVNEXT_MODELS", value_name = "MODEL,…", value_delimiter = ',')]
    models: Vec<String>,
    /// What models are measured against, where it is not the Swin of a ConvNeXt's size
    #[arg(long, env = "CONVNEXT_BASELINE", value_name = "MODEL=BASELINE,…", value_delimiter = ',')]
    baseline: Vec<String>,
    /// Where the models run: auto, cpu, or cpu:avx2 for instructions [default: auto]
    #[arg(long, env = "CONVNEXT_DEVICE", value_name = "DEVICE")]
    device: String,
    /// Address of HTTP; port 0 takes a free one [default: 127.0.0.1:8080]
    #[arg(long, env = "CONVNEXT_HTTP_ADDR", value_name = "ADDR:PORT")]
    http_addr: SocketAddr,
    /// Largest batch; warm-up chooses the smallest that is as fast, or a larger one that is short [default: 32]
    #[arg(long, env = "CONVNEXT_MAX_BATCH", value_name = "IMAGES")]
    max_batch: usize,
    /// How long an image waits for company while the device idles [default: 0s]
    #[arg(long, env = "CONVNEXT_MAX_DELAY", value_name = "DURATION")]
    max_delay: Span,
    /// Threads of the CPU engine [default: cores]
    #[arg(long, env = "CONVNEXT_ENGINE_THREADS", value_name = "THREADS")]
    engine_threads: usize,
    /// Threads that decode and resize [default: cores]
    #[arg(long, env = "CONVNEXT_DECODE_THREADS", value_name = "THREADS")]
    decode_threads: usize,
    /// Images of a model between admission and answer [default: 512]
    #[arg(long, env = "CONVNEXT_QUEUE_IMAGES", value_name = "IMAGES")]
    queue_images: usize,
    /// Longest time from admission to answer [default: 30s]
    #[arg(long, env = "CONVNEXT_DEADLINE", value_name = "DURATION")]
    deadline: Span,
    /// Largest body of a request [default: 16MiB]
    #[arg(long, env = "CONVNEXT_MAX_BODY", value_name = "BYTES")]
    max_body: Amount,
    /// Bytes of all bodies that are held [default: 256MiB]
    #[arg(long, env = "CONVNEXT_BODY_BUDGET", value_name = "BYTES")]
    body_budget: Amount,
    /// Pixels of the largest image [default: 64M]
    #[arg(long, env = "CONVNEXT_MAX_PIXELS", value_name = "PIXELS")]
    max_pixels: Amount,
    /// Decoded pixels of all images that are held [default: 256M]
    #[arg(long, env = "CONVNEXT_PIXEL_BUDGET", value_name = "PIXELS")]
    pixel_budget: Amount,
    /// Connections at a time [default: 4096]
    #[arg(long, env = "CONVNEXT_MAX_CONNECTIONS", value_name = "CONNECTIONS")]
    max_connections: usize,
    /// For the head of a request to arrive [default: 10s]
    #[arg(long, env = "CONVNEXT_HEADER_TIMEOUT", value_name = "DURATION")]
    header_timeout: Span,
    /// For the body of a request to arrive [default: 30s]
    #[arg(long, env = "CONVNEXT_BODY_TIMEOUT", value_name = "DURATION")]
    body_timeout: Span,
    /// Between two requests of a connection [default: 75s]
    #[arg(long, env = "CONVNEXT_IDLE_TIMEOUT", value_name = "DURATION")]
    idle_timeout: Span,
    /// After SIGTERM: not ready, yet serving, for this long [default: 5s]
    #[arg(long, env = "CONVNEXT_DRAIN_DELAY", value_name = "DURATION")]
    drain_delay: Span,
    /// The whole drain at most [default: 30s]
    #[arg(long, env = "CONVNEXT_DRAIN_TIMEOUT", value_name = "DURATION")]
    drain_timeout: Span,
    /// Form of the logs [default: pretty]
    #[arg(long, env = "CONVNEXT_LOG_FORMAT", value_name = "FORMAT", value_enum)]
    log_format: LogFormat,
    /// Which logs, as error, warn, info, debug or a tracing filter [default: info]
    #[arg(long, env = "CONVNEXT_LOG", value_name = "FILTER")]
    log: String,
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
    /// Connections of HTTP at a time.
    pub max_connections: usize,
    /// Timeouts of HTTP.
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

impl Flags {
    /// Reads a TOML file whose keys are the flags.
    ///
    /// # Errors
    /// [`ConfigError::File`] for a file that cannot be read, unknown keys and wrong values.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let file = |why: String| ConfigError::File { path: path.to_owned(), why };
        let text = std::fs::read_to_string(path).map_err(|e| file(e.to_string()))?;
        toml::from_str(&text).map_err(|e| file(e.to_string()))
    }

    /// Fills in the defaults and checks the ranges.
    ///
    /// # Errors
    /// [`ConfigError::Range`], the first that is found.
    pub fn resolve(self) -> Result<Config, ConfigError> {
        let (settings, limits) = (Settings::default(), Limits::default());
        let (http, net) = (http::Options::default(), net::Options::default());
        let config = Config {
            models: self.models.unwrap_or_else(|| DEFAULT_MODELS.iter().map(|name| (*name).to_owned()).collect()),
            baselines: self.baseline.unwrap_or_default(),
            device: self.device.unwrap_or_else(|| "auto".to_owned()),
            http_addr: self.http_addr.unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 8080))),
            settings: Settings {
                limits: Limits {
                    queue_images: self.queue_images.unwrap_or(limits.queue_images),
                    body_bytes: self.body_budget.map_or(limits.body_bytes, |amount| amount.0),
                    decoded_pixels: self.pixel_budget.map_or(limits.decoded_pixels, |amount| amount.0),
                    max_body_bytes: self.max_body.map_or(limits.max_body_bytes, |amount| amount.0),
                    max_image_pixels: self.max_pixels.map_or(limits.max_image_pixels, |amount| amount.0),
                    deadline: self.deadline.map_or(limits.deadline, |span| span.0),
                },
                max_batch: self.max_batch.unwrap_or(settings.max_batch),
                max_delay: self.max_delay.map_or(settings.max_delay, |span| span.0),
                engine_threads: self.engine_threads.unwrap_or(settings.engine_threads),
                decode_threads: self.decode_threads.unwrap_or(settings.decode_threads),
            },
            max_connections: self.max_connections.unwrap_or(net::Port::DEFAULT_MAX_CONNECTIONS),
            http: http::Options { body_timeout: self.body_timeout.map_or(http.body_timeout, |span| span.0) },
            net: net::Options {
                header_timeout: self.header_timeout.map_or(net.header_timeout, |span| span.0),
                idle_timeout: self.idle_timeout.map_or(net.idle_timeout, |span| span.0),
                drain_delay: self.drain_delay.map_or(net.drain_delay, |span| span.0),
                drain_timeout: self.drain_timeout.map_or(net.drain_timeout, |span| span.0),
            },
            log_format: self.log_format.unwrap_or_default(),
            log: self.log.unwrap_or_else(|| "info".to_owned()),
        };
        config.check()?;
        Ok(config)
    }
}

impl Config {
    fn check(&self) -> Result<(), ConfigError> {
        let Settings { limits, max_batch, engine_threads, decode_threads, .. } = self.settings;
        let counts = [
            ("max-batch", max_batch, 1..=1024, "1 to 1024 images are possible"),
            ("engine-threads", engine_threads, 1..=1024, "1 to 1024 threads are possible"),
            ("decode-threads", decode_threads, 1..=1024, "1 to 1024 threads are possible"),
            ("queue-images", limits.queue_images, 1..=1_000_000, "1 to 1,000,000 images are possible"),
            ("max-connections", self.max_connections, 1..=1_000_000, "1 to 1,000,000 connections are possible"),
        ];
        for (name, value, possible, range) in counts {
            if !possible.contains(&value) {
                return Err(ConfigError::Range { name, value: value.to_string(), range });
            }
        }
        let spans = [
            ("deadline", limits.deadline),
            ("header-timeout", self.net.header_timeout),
            ("body-timeout", self.http.body_timeout),
            ("idle-timeout", self.net.idle_timeout),
        ];
        for (name, span) in spans {
            if span.is_zero() {
                return Err(ConfigError::Range {
                    name,
                    value: Span(span).to_string(),
                    range: "it must not be nothing",
                });
            }
        }
        let within = [
            ("max-body", limits.max_body_bytes, limits.body_bytes, "at least 1 and at most body-budget are possible"),
            (
                "max-pixels",
                limits.max_image_pixels,
                limits.decoded_pixels,
                "at least 1 and at most pixel-budget are possible",
            ),
        ];
        for (name, value, most, range) in within {
            if !(1..=most).contains(&value) {
                return Err(ConfigError::Range { name, value: Amount(value).to_string(), range });
            }
        }
        if self.net.drain_delay > self.net.drain_timeout {
            let value = Span(self.net.drain_delay).to_string();
            return Err(ConfigError::Range { name: "drain-delay", value, range: "drain-timeout is the whole drain" });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use clap::{Args, Command, FromArgMatches};

    use super::*;

    fn flags(args: &[&str]) -> Flags {
        let matches = Flags::augment_args(Command::new("serve").no_binary_name(true)).get_matches_from(args);
        Flags::from_arg_matches(&matches).unwrap()
    }

    #[test]
    fn without_a_word_the_defaults_hold_and_are_those_of_the_readme() {
        let config = Flags::default().resolve().unwrap();
        assert_eq!(config.models, DEFAULT_MODELS);
        assert_eq!(config.http_addr.to_string(), "127.0.0.1:8080");
        assert_eq!(config.settings, Settings::default());
        assert_eq!(config.max_connections, net::Port::DEFAULT_MAX_CONNECTIONS);
        assert_eq!((config.http, config.net), (http::Options::default(), net::Options::default()));
    }

    #[test]
    fn a_flag_wins_over_the_file_and_the_file_over_the_default() {
        let file: Flags = toml::from_str("max-batch = 8\ndeadline = \"2s\"\nmax-body = \"1MiB\"").unwrap();
        let config = flags(&["--max-batch", "4"]).or(file).resolve().unwrap();
        assert_eq!(config.settings.max_batch, 4);
        assert_eq!(config.settings.limits.deadline.as_secs(), 2);
        assert_eq!(config.settings.limits.max_body_bytes, 1 << 20);
        assert_eq!(config.settings.decode_threads, Settings::default().decode_threads);
    }

    #[test]
    fn the_file_knows_every_flag_by_its_name() {
        let command = Flags::augment_args(Command::new("serve"));
        for arg in command.get_arguments() {
            let name = arg.get_long().unwrap();
            let text = format!("{name} = {{}}");
            let error = toml::from_str::<Flags>(&text).unwrap_err().to_string();
            assert!(!error.contains("unknown field"), "{name}: {error}");
            let variable = format!("CONVNEXT_{}", name.to_uppercase().replace('-', "_"));
            assert_eq!(arg.get_env().unwrap(), variable.as_str());
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused_by_name() {
        let wrong = [
            &["--max-batch", "0"][..],
            &["--decode-threads", "0"],
            &["--queue-images", "0"],
            &["--deadline", "0s"],
            &["--max-body", "512MiB"],
            &["--max-pixels", "0"],
            &["--drain-delay", "31s"],
        ];
        for args in wrong {
            let error = flags(args).resolve().unwrap_err().to_string();
            assert!(error.starts_with(&args[0][2..]), "{error}");
        }
        assert!(toml::from_str::<Flags>("max-bach = 8").unwrap_err().to_string().contains("max-bach"));
    }
}
