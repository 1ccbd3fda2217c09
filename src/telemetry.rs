//! Logs: to standard error, for people or as one JSON object a line. What is logged is each module's own affair.

use std::io::{self, IsTerminal as _};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::TryInitError;

/// How a line of the log looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people; in colours on a terminal.
    #[default]
    Pretty,
    /// For machines: an object a line, with the request's id under `span.request_id`.
    Json,
}

/// Logging cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter is not one.
    #[error("the log filter {filter:?} is not understood: {why}; write for example info or convnext_server=debug,warn")]
    Filter {
        /// As it was given.
        filter: String,
        /// What is wrong with it.
        why: String,
    },
    /// Somebody logs already.
    #[error("logging was begun before: {0}")]
    Twice(#[from] TryInitError),
}

/// Begins to log what `filter` lets through, as `info` or `convnext_server=debug,warn`. Once a process.
///
/// # Errors
/// A filter that is not understood; a second call.
pub fn init(format: LogFormat, filter: &str) -> Result<(), TelemetryError> {
    use tracing_subscriber::util::SubscriberInitExt as _;

    let lines = tracing_subscriber::fmt().with_writer(io::stderr).with_env_filter(parse(filter)?);
    match format {
        LogFormat::Pretty => lines.with_ansi(io::stderr().is_terminal()).finish().try_init()?,
        LogFormat::Json => lines.json().flatten_event(true).with_span_list(false).finish().try_init()?,
    }
    Ok(())
}

fn parse(filter: &str) -> Result<EnvFilter, TelemetryError> {
    EnvFilter::try_new(filter)
        .map_err(|error| TelemetryError::Filter { filter: filter.to_owned(), why: error.to_string() })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_read_or_its_fault_told() {
        for filter in ["info", "convnext_server=debug,warn", "off"] {
            assert!(parse(filter).is_ok(), "{filter}");
        }
        let error = parse("convnext_server=loud").unwrap_err().to_string();
        assert!(error.contains("convnext_server=loud") && error.contains("for example"), "{error}");
    }
}
